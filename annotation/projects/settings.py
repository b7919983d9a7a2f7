"""Stage: projects, settings. What a change does to work in progress is said in numbers before it is stored.

A setting that would orphan work is refused. Of two people who change settings at once, the second one sees what the first one did.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from annotation import queue
from annotation.models import (
    AdjudicationExport,
    Annotation,
    Assignment,
    AssignmentState,
    BatchState,
    Event,
    Membership,
    Project,
    Role,
    StepSource,
    Task,
    TaskKind,
    TextKind,
)
from annotation.projects.guidelines import sign_version
from trainer.counting import counted

VERB = "change settings"
CUT = 200  # characters of a text that an event keeps
# The columns that people change here, in words, in the order of the page. Schedules and redundancy have their own pages.
WORDS = {
    "name": "name",
    "guidelines": "guidelines",
    "step_source": "kind of labeling",
    "alternatives_after_error": "better steps in place of the first mistake",
    "completions_per_step": "number of next steps",
    "text_kind": "way in which texts are shown",
    "overlap": "overlap",
    "redundancy_limit": "most people for one solution",
    "redundancy_model": "certainty of a model that contradicts a label",
    "redundancy_gold": "least share of right answers on gold",
    "redundancy_spread": "most entropy after one label",
    "lease_minutes": "time for one solution",
    "show_reference_answer": "reference answer on the labeling page",
    "calculator": "calculator on the labeling page",
    "gold_percent": "share of gold",
    "screening_size": "number of screening questions",
    "qualify_rate": "share of right screening answers",
    "adjudications": "place of reviewers’ decisions in exports",
    "accept_unreduced": "rule for fractions that are not in lowest terms",
    "accept_percent": "rule for percentages",
    "base_model": "base model",
    "frozen_base": "frozen base",
    "batch_size": "size of a round's batch",
    "per_problem": "limit per problem",
}
RULES = ("accept_unreduced", "accept_percent")  # a change of these asks for a regrade


class SettingsRefused(ValueError):
    """Settings that cannot be stored. `faults` holds a sentence for each column. Nothing was changed."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(" ".join(faults.values()))
        self.faults = faults


class SettingsChangedMeanwhile(RuntimeError):
    """Somebody changed settings after this person opened the page. The message says who and what. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that changes, and what that does to work in progress."""

    column: str
    old: Any
    new: Any
    effect: str

    def __str__(self) -> str:
        return said(self.column, self.old, self.new)


@dataclass(frozen=True, slots=True)
class SettingsPlan:
    """What new settings change."""

    changes: list[SettingChange]

    @property
    def needs_regrade(self) -> bool:
        """Whether the outcomes of the solutions were graded by other rules than those of the new settings."""
        return any(change.column in RULES for change in self.changes)


def values_of(project: Project) -> dict[str, Any]:
    """Return the settings of a project, by column."""
    return {column: getattr(project, column) for column in WORDS}


def version_of(project: Project) -> str:
    """Return a text that differs for other settings. A form brings it back, so that nobody overwrites what they did not see."""
    values = [(column, str(value)) for column, value in values_of(project).items()]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:32]


def has_labels(project: Project) -> bool:
    """Tell whether a project has annotations."""
    return Annotation.objects.filter(solution__problem__project=project).exists()


def look_at_change(project: Project, values: Mapping[str, Any], *, version: str) -> SettingsPlan:
    """Return what these settings (by column) would change. Raises SettingsRefused, SettingsChangedMeanwhile."""
    project = Project.objects.get(pk=project.pk)
    if version_of(project) != version:
        raise SettingsChangedMeanwhile(_who_changed(project, version))
    work = _Work(project)
    new = {column: value for column, value in values.items() if value != getattr(project, column)}
    if faults := {column: fault for column in new if (fault := _fault(column, new[column], project, work))}:
        raise SettingsRefused(faults)
    columns = [column for column in WORDS if column in new]
    return SettingsPlan(
        [SettingChange(name, getattr(project, name), new[name], _effect(name, new[name], project, work)) for name in columns]
    )


def change_settings(project: Project, values: Mapping[str, Any], *, version: str, actor: User | None) -> SettingsPlan:
    """Store settings, and return what changed. Raises as `look_at_change` does; then nothing was changed."""
    with transaction.atomic():
        # Publishing takes this lock too, so no batch is published meanwhile.
        project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        plan = look_at_change(project, values, version=version)
        if not plan.changes:
            return plan
        Project.objects.filter(pk=project.pk).update(**{change.column: change.new for change in plan.changes})
        if any(change.column == "guidelines" for change in plan.changes):
            sign_version(project, actor=actor)
        if any(change.column == "overlap" for change in plan.changes):
            try:
                queue.change_overlap(project, values["overlap"], actor=actor)
            except queue.BadBatch as refused:
                raise SettingsRefused({"overlap": str(refused)}) from refused
        old, new = ({change.column: _kept(getattr(change, side)) for change in plan.changes} for side in ("old", "new"))
        details = {"old": old, "new": new, "version": version}
        Event.objects.create(actor=actor, project=project, verb=VERB, subject=f"project {project.slug}", details=details)
    return plan


def locked_kind(project: Project) -> str:
    """Return why a project's kind of labeling (whole solutions, or step by step) cannot change any more. Empty: it can."""
    return _Work(project).lock_of_kind


class _Work:
    """What people do in a project now, each asked for once and only if a change needs it."""

    def __init__(self, project: Project) -> None:
        self.project = project

    @cached_property
    def in_hand(self) -> int:
        """Solutions that somebody holds: on the page, or rendered ahead."""
        held = [AssignmentState.LEASED, AssignmentState.RESERVED]
        return Assignment.objects.filter(state__in=held, batch__project=self.project).count()

    @cached_property
    def n_gold(self) -> int:
        """Gold tasks in open batches."""
        return Task.objects.filter(kind=TaskKind.GOLD, batch__project=self.project, batch__state=BatchState.OPEN).count()

    @cached_property
    def n_newcomers(self) -> int:
        """Members who label and were not admitted yet."""
        labelers = Membership.objects.filter(project=self.project, role__in=[Role.LABELER, Role.REVIEWER])
        return labelers.filter(qualified_at=None, user__is_active=True).count()

    @cached_property
    def lock_of_kind(self) -> str:
        if has_labels(self.project):
            return (
                "This choice is final: the project has labels, and all labels of a project have one form. "
                "For the other kind, make another project."
            )
        if Task.objects.filter(batch__project=self.project).exclude(batch__state=BatchState.CLOSED).exists() or self.in_hand:
            return "The other kind cannot be chosen now: solutions are published for this one. Close the batches first."
        return ""


def _fault(column: str, new: Any, project: Project, work: _Work) -> str:
    """Return why a setting cannot change; empty if it can."""
    if column == "step_source":
        return work.lock_of_kind
    if column == "alternatives_after_error" and not new and work.in_hand and project.step_source == StepSource.SOLUTION:
        return (
            f"{counted(work.in_hand, 'solution is', 'solutions are')} in work, and better steps in that work could not be stored then. "
            "Close the open batches, wait until the work in hand is submitted, and change this then."
        )
    if column == "text_kind" and new == TextKind.UNDECIDED:
        return "Solutions are loaded, so this is decided. Choose plain text or Markdown."
    return ""


def _effect(column: str, new: Any, project: Project, work: _Work) -> str:
    """Return what a change of a setting does to work in progress, in sentences."""
    stays = counted(work.in_hand, "solution in work stays as it is shown", "solutions in work stay as they are shown")
    held = f"{stays}." if work.in_hand else ""
    match column:
        case "name":
            return "All pages show the new name. The address stays."
        case "guidelines":
            return (
                f"This makes version {project.guidelines_version + 1}. Labelers read on their home page and on the labeling page that the "
                "guidelines changed. They get a notification once the text has stayed for five minutes. Labels know the version they were "
                "made under."
            )
        case "step_source":
            return "Nothing is published now, so no work is lost."
        case "alternatives_after_error":
            return f"It holds from the next solution on. {held}".strip()
        case "completions_per_step":
            return "It holds from the next step for which the generator is asked."
        case "text_kind":
            return f"All problems and steps look different from the next page on. {held}".strip()
        case "overlap":
            return _effect_of_overlap(queue.overlap_effect(project, new))
        case "redundancy_limit" | "redundancy_model" | "redundancy_gold" | "redundancy_spread":
            return "A worker looks at the labels of all open batches again within a minute. Places that are open stay, and so do labels."
        case "lease_minutes":
            keeps = counted(work.in_hand, "solution in work keeps its end", "solutions in work keep their end")
            return f"It holds from the next solution on. {keeps}."
        case "show_reference_answer":
            return f"It holds from the next solution on. {held}".strip()
        case "calculator":
            return "It holds from the next labeling page on. A page that is open keeps or misses its calculator until it is loaded again."
        case "gold_percent":
            if new and not work.n_gold:
                return "No open batch has gold, so nothing changes before one with gold is published."
            return f"It holds from the next solution on. {counted(work.n_gold, 'gold solution is', 'gold solutions are')} in open batches."
        case "screening_size":
            return "It holds for a screening that is made from now on. A screening that exists keeps its questions."
        case "qualify_rate":
            newcomers = counted(work.n_newcomers, "newcomer is", "newcomers are")
            return f"{newcomers} judged by it. Everybody who was admitted before stays admitted."
        case "adjudications":
            return "It holds for the exports that are written from now on. What models learn from stays the same."
        case "accept_unreduced" | "accept_percent":
            return "The outcomes of loaded solutions stay until you grade them again, with the button below on this page."
        case _:
            return "It holds from the next round on."


def _effect_of_overlap(change: queue.OverlapChange) -> str:
    """Say what another overlap does to the batches that are not closed."""
    parts = []
    if change.opened:
        parts.append(counted(change.opened, "more place opens", "more places open"))
    if change.closed:
        parts.append(counted(change.closed, "open place closes", "open places close"))
    if not parts:
        return "It holds for the batches that are published from now on. No batch that is open changes."
    held = counted(change.in_hand, "solution in work", "solutions in work")
    finished = f" {held} can be finished, although fewer people are needed." if change.in_hand else ""
    return f"It also holds for all batches that are not closed: {', and '.join(parts)}.{finished} Labels stay."


def _who_changed(project: Project, version: str) -> str:
    """Say who changed what since the settings had this version."""
    events = Event.objects.filter(project=project, verb=VERB).select_related("actor").order_by("-pk")[:20]
    missed = []
    for event in events:
        missed.append(event)
        if event.details.get("version") == version:
            break
    else:
        missed = missed[:1]
    sentences = []
    for event in reversed(missed):
        who = event.actor.username if event.actor else "Somebody at the command line"
        values = [
            said(column, event.details["old"].get(column), value) for column, value in event.details["new"].items() if column in WORDS
        ]
        sentences.append(f"{who} changed the settings at {event.at:%Y-%m-%d %H:%M} UTC. {' '.join(values)}")
    return " ".join(sentences) or "Somebody changed the settings in the administration."


def said(column: str, old: Any, new: Any) -> str:
    """Say in a sentence that a setting gets another value."""
    if column == "guidelines":
        return "The guidelines get another text."
    if isinstance(new, bool):
        return f"The {WORDS[column]}: {_shown(column, old)} becomes {_shown(column, new)}."
    return f"The {WORDS[column]} changes from {_shown(column, old)} to {_shown(column, new)}."


def _shown(column: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    match column:
        case "text_kind":
            return {"": "not decided", "plain": "plain text", "markdown": "Markdown"}.get(value, str(value))
        case "step_source":
            return {"solution": "whole solutions", "interactive": "step by step"}.get(value, str(value))
        case "adjudications":
            return str(AdjudicationExport(value).label)
        case "redundancy_limit" | "redundancy_model" | "redundancy_gold" | "redundancy_spread" if value is None:
            return "off"
        case "redundancy_spread":
            return f"{value:g} bits"
        case "qualify_rate" | "redundancy_model" | "redundancy_gold":
            return f"{100 * value:g} %"
        case "gold_percent":
            return f"{value} %"
        case "lease_minutes":
            return counted(value, "minute")
        case "name" | "base_model":
            return f"“{value}”"
        case _:
            return f"{value:,}" if isinstance(value, int) else str(value)


def _kept(value: Any) -> Any:
    """Return what an event keeps of a value: a long text is cut."""
    if isinstance(value, str) and len(value) > CUT:
        return f"{value[:CUT]}… ({len(value):,} characters)"
    return value
