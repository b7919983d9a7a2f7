"""Who is asked for one more opinion, and why, by the rule of annotation/redundancy.py. Reads what people say of solutions, their answers on
gold, and what is settled. The queue opens the places. What a reward model says comes from the caller: this app knows no models.

A worker calls `ask_for_opinions` after submits. It looks at labels that are new, and at all of them once a day, and when anything else
that decides has changed: thresholds, the model, or who can label. So a lost call, or one more, changes nothing.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count
from django.utils import timezone

from annotation import queue, redundancy
from annotation.eligibility import Use, counting
from annotation.models import (
    Annotation,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Membership,
    MoreOpinions,
    OpinionsLook,
    Project,
    Solution,
    SolutionConsensus,
    StepSource,
    Task,
)
from annotation.quality.opinions import opinions_in
from annotation.quality.reviewing import VERDICTS
from annotation.quality.team import gold_of
from annotation.redundancy import Ask, ModelVerdict, Thresholds, Why, next_ask
from trainer.counting import Share, counted

AT_ONCE = 1_000  # tasks that are judged together
STILL_WRITTEN = timedelta(minutes=10)  # labels of this age are looked at again: one with a smaller number can be committed later
LISTED = 20  # opinions listed on the page of a batch


@dataclass(frozen=True)
class Judge:
    """A reward model, as a worker asks it: its name, and what it says of some solutions. Of one that it never scored it says nothing."""

    name: str
    verdicts: Callable[[Collection[int]], Mapping[int, ModelVerdict]]


@dataclass(frozen=True)
class WhyMore:
    """Why one more person was asked for a solution, in words, and what became of the place."""

    solution_id: int
    place: int
    sentence: str
    outcome: str
    asked_at: datetime


@dataclass(frozen=True)
class BatchOpinions:
    """What was asked for in a batch beyond its overlap: how many for each reason, in words, and the newest."""

    reasons: Sequence[tuple[str, int]]
    newest: Sequence[WhyMore]
    notice: str  # why nobody can be asked, if that is so

    @property
    def total(self) -> int:
        """All of them."""
        return sum(count for _, count in self.reasons)


WORDS = {
    Why.QUARANTINE: "all labels are by people in quarantine",
    Why.MODEL: "the model contradicts the first label",
    Why.GOLD: "the labeler was often wrong on gold",
    Why.SPREAD: "the first mistake stays uncertain",
    Why.CONFLICT: "people contradict each other",
}


def thresholds_of(project: Project) -> Thresholds:
    """Return when a project asks for more opinions."""
    return Thresholds(project.redundancy_limit, project.redundancy_model, project.redundancy_gold, project.redundancy_spread)


def ask_for_opinions(project: Project, judge: Judge | None, *, everything: bool = False) -> int:
    """Ask one more person wherever the rule wants it in a project's open batches. Return how many were asked.

    `everything` looks at all labels of the open batches, not only at new ones. A batch that others are changing is left for the next call.
    """
    thresholds = thresholds_of(project)
    if not thresholds.is_on or project.archived_at or project.step_source == StepSource.INTERACTIVE:
        return 0
    look, _ = OpinionsLook.objects.get_or_create(project=project)
    now = timezone.now()
    # Read before the labels: what comes meanwhile is looked at in the next call.
    newest = Annotation.objects.filter(created_at__lt=now - STILL_WRITTEN).order_by("-pk").values_list("pk", flat=True).first() or 0
    basis = _basis(project, thresholds, judge, day=now.date().isoformat())
    tasks = queue.complete_tasks(project)
    if not everything and basis == look.basis:
        new = Annotation.objects.filter(pk__gt=look.newest, assignment__batch__project=project)
        tasks = tasks.filter(pk__in=list(new.values_list("assignment__task", flat=True).distinct()))
    asked, is_complete, records = 0, True, dict[int, Share]()
    keys = list(tasks.order_by("batch", "pk").values_list("pk", flat=True))
    for begin in range(0, len(keys), AT_ONCE):
        some = list(queue.complete_tasks(project).filter(pk__in=keys[begin : begin + AT_ONCE]))
        for batch, wanted in _wanted(project, some, thresholds, judge, records).items():
            try:
                asked += len(queue.ask_more(Batch(pk=batch), wanted))
            except queue.BadBatch:
                is_complete = False
    if is_complete:
        OpinionsLook.objects.filter(project=project).update(newest=newest, basis=basis, looked_at=now)
    return asked


def why_more(solution: Solution) -> list[WhyMore]:
    """Return why more people were asked for a solution than its overlap says, the first one first."""
    return _in_words(MoreOpinions.objects.filter(task__solution=solution).order_by("pk"))


def asked_in_batch(project: Project, batch: Batch) -> BatchOpinions:
    """Return what was asked for in a batch beyond its overlap."""
    asked = queue.asked_in(batch)
    counts = dict(asked.order_by().values_list("why").annotate(count=Count("pk")))
    is_asking = batch.kind == BatchKind.SELECTED and batch.state == BatchState.OPEN and thresholds_of(project).is_on
    return BatchOpinions(
        reasons=[(WORDS[why], counts[why]) for why in Why if why in counts],
        newest=_in_words(asked[:LISTED]) if counts else [],
        notice=nobody_left(project) if is_asking else "",
    )


def nobody_left(project: Project) -> str:
    """Say why nobody can give a second opinion in a project. Empty: somebody can."""
    if project.step_source == StepSource.INTERACTIVE:
        return (
            "Labelers take different paths in an interactive project. Their labels cannot be compared, so nobody is asked for a second one."
        )
    n_labelers = queue.labelers_left(project)
    if n_labelers > 1:
        return ""
    members = "nobody can" if n_labelers == 0 else "only one person can"
    return (
        f"A second opinion needs a second person, and {members} label here now. Nobody is asked before you invite or admit another person."
    )


def wanted_in_vain(project: Project, solution: Solution, judge: Judge | None) -> str:
    """Say why one more person is wanted for a solution if nobody is left who can take it. Empty: nobody is wanted, or somebody is left."""
    thresholds = thresholds_of(project)
    if not thresholds.is_on or project.archived_at or project.step_source == StepSource.INTERACTIVE:
        return ""
    task = queue.complete_tasks(project).filter(solution=solution).first()
    if task is None or queue.labelers_left(project, task):
        return ""
    for [wanted] in _wanted(project, [task], thresholds, judge, {}).values():
        sentence = _sentence(wanted.why, wanted.value, wanted.threshold, wanted.details)
        return f"{sentence} Everybody who can label here had this solution already, so nobody is asked."
    return ""


# --- what is known ------------------------------------------------------------------------------------------------------------


def _wanted(
    project: Project, tasks: Sequence[Task], thresholds: Thresholds, judge: Judge | None, records: dict[int, Share]
) -> dict[int, list[queue.WantedOpinion]]:
    """Return the opinions that the rule wants for tasks of which all places are done, by batch."""
    keys = [task.solution_id for task in tasks]
    known = Known(project, keys, judge, records)
    n_done = _n_done(tasks)
    wanted: dict[int, list[queue.WantedOpinion]] = {}
    for task in tasks:
        marks = known.marks.get(task.solution_id, [])
        labels = redundancy.LabelsSoFar(
            marks=marks,
            people=max(n_done[task.pk], len(marks)),
            against=known.against(task.solution_id),
            gold=known.gold(task.solution_id),
            entropy=known.entropies.get(task.solution_id),
            is_settled=task.solution_id in known.settled,
            quarantined=known.quarantined.get(task.solution_id, 0),
        )
        if ask := next_ask(labels, thresholds):
            wanted.setdefault(task.batch_id, []).append(
                queue.WantedOpinion(task.pk, n_done[task.pk] + 1, ask.why, ask.value, ask.threshold, known.details(task.solution_id, ask))
            )
    return wanted


class Known:
    """What is known of some solutions, by solution: marks in the order of the labels, the model's verdict, gold and entropy; and how many
    people judged it who are in quarantine.

    `records`: the answers on gold of people that were counted before. Those of more people are added.
    """

    def __init__(self, project: Project, solutions: Collection[int], judge: Judge | None, records: dict[int, Share]) -> None:
        said = opinions_in(project, solutions)
        self.judge, self.model = judge, dict(judge.verdicts(solutions)) if judge else {}
        self.marks: dict[int, list[int | None]] = {}
        self.first_by: dict[int, int] = {}
        for place in said.annotation.argsort():
            key, mark = int(said.solutions[said.solution[place]]), int(said.marked[place])
            self.marks.setdefault(key, []).append(mark - 1 if mark else None)
            self.first_by.setdefault(key, int(said.people[said.person[place]]))
        self.records = records
        records |= gold_of(project, set(self.first_by.values()) - records.keys())
        consensus = SolutionConsensus.objects.filter(solution__in=solutions).values_list(
            "solution", "entropy", "n_readings", "is_adjudicated"
        )
        rows = list(consensus)
        # Of several readings: how undecided one of them left it is no longer known.
        self.entropies = {key: entropy for key, entropy, n_readings, _ in rows if n_readings == 1 and entropy is not None}
        out = Membership.objects.filter(project=project, quarantined_at__isnull=False).values("user")
        unused = counting(Use.WORK).newest().filter(solution__in=solutions, finish_reason__in=VERDICTS, labeler__in=out)
        by_solution = unused.order_by().values_list("solution").annotate(count=Count("labeler", distinct=True))
        self.quarantined: dict[int, int] = dict(by_solution)
        self.settled = {key for key, *_, is_adjudicated in rows if is_adjudicated} | set(said.adjudications) | set(said.gold)

    def against(self, solution: int) -> float | None:
        verdict = self.model.get(solution)
        return verdict.against(self.marks[solution][0]) if verdict and solution in self.marks else None

    def gold(self, solution: int) -> float | None:
        record = self.records.get(self.first_by.get(solution, 0))
        return redundancy.gold_share(record.k, record.n) if record else None

    def details(self, solution: int, ask: Ask) -> dict[str, object]:
        """What the sentence about an ask needs, beside its figures."""
        if ask.why == Why.QUARANTINE:
            return {"quarantined": self.quarantined[solution]}
        marks = self.marks[solution]
        if ask.why == Why.MODEL and self.judge:
            return {"marks": marks, "judge": self.judge.name, "sees": self.model[solution].first_mistake}
        if ask.why == Why.GOLD:
            record = self.records[self.first_by[solution]]
            return {"marks": marks, "right": record.k, "answers": record.n}
        return {"marks": marks}


def _n_done(tasks: Iterable[Task]) -> dict[int, int]:
    return {task.pk: task.n_done for task in tasks}  # type: ignore[attr-defined]  # queue.complete_tasks counts them


def _basis(project: Project, thresholds: Thresholds, judge: Judge | None, *, day: str) -> str:
    able = sorted(queue.able_members(project).values_list("user", flat=True))
    out = sorted(Membership.objects.filter(project=project, quarantined_at__isnull=False).values_list("user", flat=True))
    values = [thresholds.limit, thresholds.model, thresholds.gold, thresholds.spread, judge.name if judge else "", day, able, out]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


# --- in words -----------------------------------------------------------------------------------------------------------------


def _in_words(asked: Iterable[MoreOpinions]) -> list[WhyMore]:
    rows = list(asked)
    tasks = Task.objects.filter(pk__in=[row.task_id for row in rows])
    solution_of = dict(tasks.values_list("pk", "solution"))
    places: dict[int, list[str]] = {}
    for task, state, slot in Assignment.objects.filter(task__in=list(solution_of)).values_list("task", "state", "slot"):
        if slot is not None or state != AssignmentState.OPEN:
            places.setdefault(task, []).append(state)
    return [
        WhyMore(
            solution_of[row.task_id],
            row.place,
            _sentence(row.why, row.value, row.threshold, row.details),
            _outcome(places.get(row.task_id, []), row.place),
            row.created_at,
        )
        for row in rows
    ]


def _outcome(states: Sequence[str], place: int) -> str:
    if states.count(AssignmentState.DONE) >= place:
        return "This opinion was given."
    if AssignmentState.LEASED in states or AssignmentState.RESERVED in states:
        return "Somebody has the solution now."
    if AssignmentState.OPEN in states:
        return "The place is open."
    return "The place was closed before anybody took it."


def _sentence(why: str, value: float, threshold: float, details: Mapping[str, object]) -> str:
    """Say why one more person is asked, with the figures."""
    marks = details.get("marks") or []
    assert isinstance(marks, list)
    match why:
        case Why.QUARANTINE:
            count = int(str(details.get("quarantined") or 1))
            labels = (
                "The only label is by a person in quarantine, so it does not count."
                if count == 1
                else f"All {count} labels are by people in quarantine, so they do not count."
            )
            return f"{labels} One more person is asked for a label that counts."
        case Why.MODEL:
            sees = details.get("sees")
            sure = "that there is none" if sees is None else "that there is a mistake"
            return (
                f"{details.get('judge')} sees {_place(sees)} and is {_percent(value)} sure {sure}. "
                f"The first label says: {_place(marks[0])}. A second person is asked if the model is at least {_percent(threshold)} sure."
            )
        case Why.GOLD:
            return (
                f"The first labeler had {details.get('right')} of {details.get('answers')} answers on gold right ({_percent(value)}). "
                f"A second person is asked below {_percent(threshold)}."
            )
        case Why.SPREAD:
            return (
                f"The first mistake is uncertain after the first label: {value:.2f} bits of entropy. "
                f"A second person is asked above {threshold:.2f} bits."
            )
    named = ", ".join(_place(mark) for mark in marks)
    return (
        f"{counted(len(marks), 'person', 'people')} named different first mistakes: {named}. One more is asked until more than half agree."
    )


def _place(step: object) -> str:
    return "no mistake" if step is None else f"the first mistake in step {int(str(step)) + 1}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
