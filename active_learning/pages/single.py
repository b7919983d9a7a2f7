"""One round: its stages, its proposal, its choice and what that brought, and the models before and after it."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.text import slugify

from active_learning import registry, rounds
from active_learning.charts import Point
from active_learning.models import ModelKind, ModelState, ModelVersion, Round, RoundStage, RoundState, Selection, StageName
from active_learning.pages.brought import brought, ends_of, over_whole_numbers, threshold_of, weak_step
from active_learning.pages.models import model_figures
from active_learning.pages.payoffs import has_control_group, payoffs_of
from active_learning.pages.rows import AT, RoundRow, label_of, lasted, planned, row_of
from annotation.models import Project

COMPARED = 200  # models of a chart
ON_ONE_PAGE, A_PAGE = 200, 100  # solutions of a proposal: more than the first are shown by the second
CHOSEN = 50  # solutions of a published round on a page
NEWEST = 8  # lines of a running stage's log
DOING = {
    StageName.TRAIN: "a reward model learns from all labels", StageName.JUDGE: "it is compared with the serving one",
    StageName.SAMPLE: "new solutions are drawn", StageName.SCORE: "every solution is scored",
    StageName.SELECT: "the recipe chooses the batch", StageName.PUBLISH: "labelers get the batch",
}  # fmt: skip
WORDS = {
    "now": "under way",
    "person": "waits for a review",
    "failed": "broke off",
    "stopped": "stopped with its worker",
    "skipped": "not reached",
    "omitted": "left out",
}
NOTHING_SCORED, CHOSEN_AT_RANDOM = "nothing is scored", "the batch is drawn at random"
FIGURES = (("step AUC", "step_auc"), ("log-loss, nats", "log_loss"), ("first-mistake F1", "first_mistake"))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a stage: how it ended, how long it took, its log."""

    number: int
    began_at: datetime
    lasted: str
    is_running: bool
    failure: str
    log: tuple[tuple[datetime, str], ...]

    @property
    def ended(self) -> str:
        """How it ended: done, cancelled, stopped or failed."""
        return rounds.how_ended(self.failure)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a round. `state` is done, omitted, now, person, failed, stopped, cancelled, waiting or skipped."""

    name: str
    doing: str
    state: str
    attempts: tuple[Attempt, ...]

    @property
    def words(self) -> str:
        return WORDS.get(self.state, self.state)


def one_round(project: Project, number: int, *, page: int = 1, dropped: Collection[int] = ()) -> dict[str, Any]:
    """Return what the page of one round shows. Raises rounds.NoSuchRound.

    `page` is the page of a long proposal, `dropped` are the solutions that a person has left out so far.
    """
    row = row_of(rounds.find(project, number))
    row.round.project = project
    chooser = _chooser(row)
    shown = {**_progress(row), "chooser": chooser, "mix": mix_rows(row.findings.mix)}
    if row.round.state == RoundState.PROPOSED:
        shown["proposal"] = _proposal(row.round, chooser, page=page, dropped=set(dropped))
    elif row.round.batch_id:
        shown |= {"brought": brought(row, chooser), "selected": _selected(row.round, page=page)}
    if has_control_group(row) or row.findings.payoff:
        shown |= {"has_payoff": True, "payoffs": payoffs_of(project)}
    return shown | _models(row, chooser)


def cancelling(project: Project, number: int) -> dict[str, Any]:
    """Return what cancelling a round would end and what stays. Raises rounds.NoSuchRound."""
    row = row_of(rounds.find(project, number))
    version = row.round.model_version
    training = version if version and version.state == ModelState.RUNNING else None
    spent = sum(
        (((ended_at or timezone.now()) - began_at) for began_at, ended_at in _trainings(row.round)),
        start=timedelta(),
    )
    return {
        "row": row,
        "round": row.round,
        "training": training,
        "spent": lasted(timezone.now() - spent, timezone.now()) if training else "",
        "has_checkpoint": training is not None and registry.has_checkpoint(training),
        "n_chosen": Selection.objects.filter(round=row.round).count() if row.round.state == RoundState.PROPOSED else 0,
    }


def _trainings(round_: Round) -> list[tuple[datetime, datetime | None]]:
    return list(RoundStage.objects.filter(round=round_, name=StageName.TRAIN).values_list("began_at", "ended_at"))


def progress(round_: Round) -> dict[str, Any]:
    """Return how far a round is. `seen` changes with everything that the page shows elsewhere: then the page is fetched again."""
    return _progress(row_of(round_))


def _progress(row: RoundRow) -> dict[str, Any]:
    round_, attempts = row.round, {StageName(name): list[Attempt]() for name in StageName.values}
    for record in RoundStage.objects.filter(round=round_).order_by("pk"):
        is_running = record.ended_at is None and row.is_unfinished
        log = tuple((datetime.fromisoformat(at), message) for at, message in record.log)
        took = lasted(record.began_at, timezone.now() if is_running else record.ended_at)
        attempts[StageName(record.name)].append(Attempt(record.attempt, record.began_at, took, is_running, record.failure, log))
    stages, has_records = [], any(attempts.values())
    in_plan = planned(row.plan)
    for name in DOING:
        if attempts[name] or name in in_plan:
            stages.append(_stage(row, name, attempts[name], has_records=has_records))
    running = [attempt for tried in attempts.values() for attempt in tried if attempt.is_running]
    return {
        "row": row,
        "round": round_,
        "stages": stages,
        "attempts": [(stage, attempt) for stage in stages for attempt in stage.attempts],
        "newest_messages": running[0].log[-NEWEST:] if running else (),
        "is_moving": row.is_unfinished and round_.state != RoundState.PROPOSED,
        "seen": f"{round_.state}-{slugify(row.words)}-{sum(map(len, attempts.values()))}-{len(running)}",
    }


def _stage(row: RoundRow, name: StageName, attempts: Sequence[Attempt], *, has_records: bool) -> Stage:
    """Return a stage as it went: where no model served that could be loaded, nothing was scored."""
    state, doing = _state(row, name, attempts, has_records=has_records), DOING[name]
    if name == StageName.SCORE and attempts and state == "done" and row.findings.chosen_with is None:
        state, doing = "omitted", NOTHING_SCORED
    elif name == StageName.SELECT and row.findings.at_random:
        doing = CHOSEN_AT_RANDOM
    return Stage(name, doing, state, tuple(attempts))


def _state(row: RoundRow, name: StageName, attempts: Sequence[Attempt], *, has_records: bool) -> str:
    state = row.round.state
    if state == RoundState.PROPOSED and name == StageName.PUBLISH:
        return "person"
    if attempts:
        return "now" if attempts[-1].is_running else attempts[-1].ended
    if state == RoundState.PUBLISHED and not has_records:  # rounds before their stages were written down
        return "done"
    if not row.is_unfinished:
        return "skipped"
    return "now" if not has_records and AT.get(RoundState(state)) == name else "waiting"


def _chooser(row: RoundRow) -> ModelVersion | None:
    """Return the model a round chose with; None: it chose at random."""
    if row.findings.at_random:
        return None
    trained = row.round.model_version
    own = trained.number if trained and trained.kind == ModelKind.PRM and row.round.batch_id else None
    number = row.findings.chosen_with or own
    return ModelVersion.objects.filter(project=row.round.project, number=number).first() if number else None


def mix_rows(mix: Mapping[str, Mapping[str, float | None]]) -> list[tuple[str, str, str]]:
    """Return the figures of a selection and those of as many solutions at random, in words."""
    if not mix:
        return []
    rows = (
        ("solutions", "n_solutions", ",d"),
        ("problems", "n_problems", ",d"),
        ("wrong final answer", "share_wrong", ".0%"),
        ("right final answer", "share_right", ".0%"),
        ("mean score", "mean_score", ".3f"),
        ("expected share with a mistake (1 - score, averaged)", "expected_share_with_mistake", ".0%"),
    )

    def written(choice: str, name: str, form: str) -> str:
        value = mix.get(choice, {}).get(name)
        return "–" if value is None else format(value, form)

    return [(words, written("chosen", name, form), written("uniform", name, form)) for words, name, form in rows]


# --- the proposal and the choice -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChosenStep:
    """A step of a chosen solution: `right` is p(neutral) + p(positive), where a model read it."""

    number: int
    text: str
    right: float | None
    is_weak: bool


@dataclass(frozen=True, slots=True)
class ChosenSolution:
    """A solution of a proposal, and whether a person has left it out so far."""

    row: Selection
    part: str  # the strategy that took it, in words
    steps: tuple[ChosenStep, ...]
    is_left_out: bool


def _proposal(round_: Round, chooser: ModelVersion | None, *, page: int, dropped: set[int]) -> dict[str, Any]:
    """Return a page of the chosen solutions, their steps shaded by score, and the solutions left out on the other pages."""
    rows = Selection.objects.filter(round=round_).select_related("solution__problem").order_by("rank")
    n = rows.count()
    shown, pages = _paged(n, page, A_PAGE if n > ON_ONE_PAGE else ON_ONE_PAGE)
    threshold = threshold_of(chooser)
    chosen = [_chosen(row, threshold, is_left_out=row.solution_id in dropped) for row in rows[shown]]
    here = {solution.row.solution_id for solution in chosen}
    n_kept = rows.exclude(solution__in=dropped).count() if dropped else n
    return pages | {"chosen": chosen, "n": n, "n_kept": n_kept, "elsewhere": sorted(dropped - here), "threshold": threshold}


def _chosen(row: Selection, threshold: float, *, is_left_out: bool) -> ChosenSolution:
    weak = weak_step(row.step_scores, threshold)
    steps = [
        ChosenStep(place + 1, text, row.step_scores[place] if place < len(row.step_scores) else None, is_weak=place == weak)
        for place, text in enumerate(row.solution.steps)
    ]
    return ChosenSolution(row, label_of(row.part), tuple(steps), is_left_out)


def _selected(round_: Round, *, page: int) -> dict[str, Any]:
    """Return a page of what a published round chose, and how people finished each solution."""
    rows = Selection.objects.filter(round=round_).select_related("solution__problem").order_by("rank")
    shown, pages = _paged(rows.count(), page, CHOSEN)
    listed = list(rows[shown])
    ends = ends_of(round_, [row.solution_id for row in listed])
    return pages | {"rows": [(row, label_of(row.part or round_.strategy), ends.get(row.solution_id, [])) for row in listed]}


def _paged(n: int, page: int, size: int) -> tuple[slice, dict[str, Any]]:
    """Return which of n rows a page of `size` rows shows, and for the template the page's number and those of all pages."""
    n_pages = max(1, math.ceil(n / size))
    page = min(max(1, page), n_pages)
    return slice((page - 1) * size, page * size), {"page": page, "pages": range(1, n_pages + 1)}


# --- the models around it ------------------------------------------------------------------------------------------------------


def _models(row: RoundRow, chooser: ModelVersion | None) -> dict[str, Any]:
    """Return the held-out figures of a round's model, of the ones before and after it and of the control selector; and a chart of all."""
    ready = ModelVersion.objects.filter(project=row.round.project, kind=ModelKind.PRM, state=ModelState.READY).order_by("-number")
    by_number = {version.number: version for version in reversed(ready[:COMPARED])}
    version = row.round.model_version
    trained = version if version and version.number in by_number else None
    own = trained or chooser
    before = max((number for number in by_number if own and number < own.number), default=0)
    after = min((number for number in by_number if own and number > own.number), default=0)
    control = by_number.get(row.findings.control or 0)
    columns = [
        ("the one before", by_number.get(before)),
        ("this round’s model" if trained else "the model it chose with", own),
        ("the next", by_number.get(after)),
        ("control selector", control),
    ]
    known = [(words, version) for words, version in columns if version]
    figures = [model_figures(version.metrics)[:3] for _, version in known]
    series = [
        (words, [Point(number, value) for number, one in by_number.items() if (value := _figure(one, name)) is not None])
        for words, name in FIGURES
    ]
    return {
        "own": own,
        "columns": known,
        "figures": [(row[0].words, [one.value for one in row]) for row in zip(*figures, strict=True)],
        "control": control,
        "history": over_whole_numbers(series, x_words="model", y_words="held-out figures") if len(by_number) > 1 else None,
    }


def _figure(version: ModelVersion, name: str) -> float | None:
    value = version.metrics.get(name)
    return (value or {}).get("f1") if name == "first_mistake" else value
