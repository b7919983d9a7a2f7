"""Calibration: the same few solutions for everybody who labels, then a page with all verdicts and what people wrote about them.

Reads solutions, labels that count for agreement and the queue's assignments. Writes calibration batches and Remark. Labels of a calibration
set are ordinary labels. A labeler sees the verdicts on a solution after answering it, once nothing of the set is left for that person:
what others found must not lead anybody. First submissions are shown, and a calibration answer cannot be reopened.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, Subquery

from annotation import eligibility, ingest, queue
from annotation.eligibility import Probe, Use
from annotation.models import (
    Annotation,
    AnnotationQuerySet,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Event,
    FinishReason,
    Membership,
    Outcome,
    Problem,
    Project,
    Remark,
    Solution,
    Split,
    StepLabel,
    StepSource,
    Task,
)
from annotation.people import WRITERS
from trainer.counting import counted

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CALIBRATION_SIZE = 10
MOST = 50  # solutions of a set: all are on one page
LOOKED_AT = 20  # problems in the first query of a draw; a problem can have a hundred solutions
DRAWN = 400  # numbers of problems that are drawn before all problems are listed
LONGEST_REMARK = 2_000
LISTED = 50  # sets
ENDED = (AssignmentState.DONE, AssignmentState.SKIPPED)
OTHER_ENDS = {FinishReason.SOLUTION: "no mistake", FinishReason.GIVE_UP: "gave up", FinishReason.BAD_PROBLEM: "bad problem"}


class BadCalibration(ValueError):
    """A calibration set or a remark that cannot be stored. The message says why and what to do."""


class NoSuchSet(LookupError):
    """The project has no such calibration set, or it is still a draft."""


@dataclass(frozen=True)
class CalibrationRow:
    """One calibration set in the list."""

    batch: Batch
    solutions: int
    people: int  # who answered at least one
    answered: int  # by the person who looks
    left: int  # for that person


@dataclass(frozen=True)
class VerdictCount:
    """How many people gave one verdict. `step` is the first mistake, from 1; None with `words`: another end."""

    step: int | None
    words: str
    count: int
    is_own: bool
    names: list[str]  # only for those who read the project


@dataclass(frozen=True)
class StepRatings:
    """One step of a solution, and how often it got each rating."""

    number: int
    text: str
    negative: int
    neutral: int
    positive: int
    own: int | None  # the rating of the person who looks

    @property
    def rated(self) -> int:
        """How many people rated it."""
        return self.negative + self.neutral + self.positive


@dataclass(frozen=True)
class ShownRemark:
    """A remark, with who wrote it as far as the reader may know: managers and reviewers by name, labelers to managers alone."""

    who: str
    text: str
    created_at: datetime


@dataclass(frozen=True)
class SolutionVerdicts:
    """One solution of a set with all verdicts on it."""

    task: int
    number: int  # within the set, from 1
    problem: str
    answer: str | None
    steps: list[StepRatings]
    verdicts: list[VerdictCount]  # the most frequent first
    people: int
    remarks: list[ShownRemark]


@dataclass(frozen=True)
class CalibrationPage:
    """One calibration set as one person may see it."""

    batch: Batch
    solutions: list[SolutionVerdicts]
    size: int
    answered: int
    left: int
    is_shown: bool  # whether the person can see verdicts now
    writes: bool


def refuse_interactive(project: Project) -> None:
    """Raise BadCalibration in an interactive project: people take different paths there."""
    if project.step_source == StepSource.INTERACTIVE:
        raise BadCalibration(
            f"{project.slug} is an interactive project. Labelers take different paths there, so their verdicts cannot be compared."
        )


def drawn_for_calibration(project: Project, *, size: int, seed: int = 0) -> list[Solution]:
    """Draw solutions that were never queued, of different problems, about half with a wrong final answer. Raises BadCalibration."""
    refuse_interactive(project)
    if not 0 < size <= MOST:
        raise BadCalibration(f"The size is {size:,}. Choose 1 to {MOST} solutions.")
    draw = random.Random(seed)
    queued = Exists(Task.objects.filter(solution=OuterRef("pk")))
    chosen: list[int] = []
    for near in _problems_by_chance(project, draw):
        free = Solution.objects.filter(~queued, problem__in=near, withdrawn_at=None).order_by("pk")
        by_problem: dict[int, list[tuple[int, str]]] = {}
        for pk, problem, outcome in free.values_list("pk", "problem", "outcome"):
            by_problem.setdefault(problem, []).append((pk, outcome))
        for problem in near:
            if (candidates := by_problem.get(problem)) and len(chosen) < size:
                is_wrong_wanted = len(chosen) % 2 == 0
                fitting = [candidate for candidate in candidates if (candidate[1] == Outcome.WRONG) == is_wrong_wanted]
                chosen.append(draw.choice(fitting or candidates)[0])
        if len(chosen) == size:
            found = Solution.objects.select_related("problem").in_bulk(chosen)
            return [found[pk] for pk in chosen]
    raise BadCalibration(
        f"Only {counted(len(chosen), 'problem has a solution', 'problems have solutions')} that nobody was ever given. Choose a smaller "
        "size, or load more solutions."
    )


def _problems_by_chance(project: Project, draw: random.Random) -> Iterator[list[int]]:
    """Yield train problems by chance, some at a time: first those whose numbers are drawn, which needs no list of all; then the others."""
    problems = Problem.objects.filter(project=project).order_by("pk")
    ends = problems.aggregate(low=Min("pk"), high=Max("pk"))
    if ends["low"] is None:
        return
    numbers = [draw.randint(ends["low"], ends["high"]) for _ in range(DRAWN)]
    train = problems.filter(split=Split.TRAIN)
    some = list(train.filter(pk__in=numbers).values_list("pk", flat=True))
    draw.shuffle(some)
    yield from _growing(some)
    rest = sorted(set(train.values_list("pk", flat=True)) - set(some))
    draw.shuffle(rest)
    yield from _growing(rest)


def _growing(rows: list[int]) -> Iterator[list[int]]:
    """Yield rows in parts that double, so that few queries reach the end where little is free."""
    start, length = 0, LOOKED_AT
    while start < len(rows):
        yield rows[start : start + length]
        start, length = start + length, 2 * length


def publish_calibration(project: Project, *, solutions: Collection[int], is_draft: bool, actor: "User") -> Batch:
    """Publish a calibration set, or keep it as a draft. Everybody who labels gets it before other work. Raises BadCalibration."""
    refuse_interactive(project)
    if not solutions:
        raise BadCalibration("No solution is left. Keep at least one.")
    if len(set(solutions)) > MOST:
        raise BadCalibration(f"A calibration set has at most {MOST} solutions. Take some away.")
    state = BatchState.DRAFT if is_draft else BatchState.OPEN
    try:
        with transaction.atomic():
            chosen = [queue.Chosen(solution) for solution in dict.fromkeys(solutions)]
            batch = queue.open_batch(project, chosen, kind=BatchKind.CALIBRATION, overlap=1, state=state)
            details = {"kind": BatchKind.CALIBRATION, "solutions": len(chosen), "state": state}
            Event.objects.create(actor=actor, project=project, verb="open calibration", subject=f"batch {batch.pk}", details=details)
    except queue.BadBatch as refused:
        raise BadCalibration(str(refused)) from refused
    return batch


def calibration_sets(project: Project, *, person: "User") -> list[CalibrationRow]:
    """Return the calibration sets of a project, the newest first, with how far a person is in each."""
    batches = Batch.objects.filter(project=project, kind=BatchKind.CALIBRATION).exclude(state=BatchState.DRAFT)
    listed = list(batches.order_by("-pk")[:LISTED])
    answered_by_all = (
        _labels(project)
        .filter(assignment__batch__in=listed)
        .order_by()
        .values_list("assignment__batch")
        .annotate(n=Count("labeler", distinct=True))
    )
    people = dict(answered_by_all)
    tasks = Task.objects.filter(batch__in=listed, solution__withdrawn_at=None)
    own = Assignment.objects.filter(task__solution=OuterRef("solution"), labeler=person)
    counts = tasks.annotate(is_answered=Exists(own.filter(state=AssignmentState.DONE)), is_ended=Exists(own.filter(state__in=ENDED)))
    rows: Any = counts.order_by().values_list("batch").annotate(
        n=Count("pk"), answered=Count("pk", filter=Q(is_answered=True)), ended=Count("pk", filter=Q(is_ended=True))
    )  # fmt: skip
    by_batch = {batch: figures for batch, *figures in rows}
    found = []
    for batch in listed:
        n, answered, ended = by_batch.get(batch.pk, (0, 0, 0))
        left = 0 if batch.state == BatchState.CLOSED else n - ended
        found.append(CalibrationRow(batch, n, people.get(batch.pk, 0), answered, left))
    return found


def find_set(project: Project, number: int) -> Batch:
    """Return a published calibration set. Raises NoSuchSet."""
    batches = Batch.objects.filter(project=project, kind=BatchKind.CALIBRATION).exclude(state=BatchState.DRAFT)
    if (batch := batches.filter(pk=number).first()) is None:
        raise NoSuchSet(f"{project} has no calibration set {number}.")
    return batch


def calibration_page(project: Project, number: int, *, person: "User", sees_all: bool, by_name: bool) -> CalibrationPage:
    """Return one calibration set. Who reads the project sees all of it; others what they answered, once they have finished.

    `by_name`: verdicts with names; otherwise, for those who read the project, with pseudonyms. Raises NoSuchSet.
    """
    batch = find_set(project, number)
    tasks = list(
        Task.objects.filter(batch=batch, solution__withdrawn_at=None).select_related("solution__problem").order_by("-priority", "pk")
    )
    solutions = [task.solution_id for task in tasks]
    states = Assignment.objects.filter(task__solution__in=solutions, labeler=person).values_list("task__solution", "state")
    ended = {solution for solution, state in states if state in ENDED}
    answered = {solution for solution, state in states if state == AssignmentState.DONE}
    left = 0 if batch.state == BatchState.CLOSED else len(set(solutions) - ended)
    is_shown = sees_all or (left == 0 and bool(answered))
    visible = [task for task in tasks if sees_all or task.solution_id in answered] if is_shown else []
    return CalibrationPage(
        batch=batch,
        solutions=_verdicts(project, batch, tasks, visible, person=person, sees_all=sees_all, by_name=by_name),
        size=len(tasks),
        answered=len(answered),
        left=left,
        is_shown=is_shown,
        writes=is_shown,
    )


def write_remark(project: Project, number: int, *, task: int, text: str, author: "User", sees_all: bool) -> None:
    """Write a remark on one solution of a set, for all who can see its verdicts. Raises NoSuchSet, BadCalibration."""
    page = calibration_page(project, number, person=author, sees_all=sees_all, by_name=False)
    text = text.replace("\r\n", "\n").strip()
    if task not in {solution.task for solution in page.solutions}:
        raise BadCalibration("You can write about a solution after you have answered it and finished the set.")
    if not text:
        raise BadCalibration("The remark is empty. Write a few words.")
    if len(text) > LONGEST_REMARK:
        raise BadCalibration(f"The remark has {len(text):,} characters. Write at most {LONGEST_REMARK:,}.")
    try:
        ingest.clean_text(text)
    except ingest.BadText as bad:
        raise BadCalibration(f"The remark contains {bad}. Remove that character.") from None
    with transaction.atomic():
        Remark.objects.create(task_id=task, author=author, text=text)
        Event.objects.create(
            actor=author, project=project, verb="remark", subject=f"batch {page.batch.pk}", details={"characters": len(text)}
        )


def _labels(project: Project) -> AnnotationQuerySet:
    """Return the first submissions of people whose labels count. The user keeps those of sets, or of solutions."""
    counts = eligibility.does_count(Use.AGREEMENT, project=project.pk, newest=False)
    return Annotation.objects.filter(counts, revision=1)


@dataclass
class _Votes:
    """What people said of one solution."""

    ratings: list[Counter[int]] = field(default_factory=list)
    ends: Counter[tuple[int | None, str]] = field(default_factory=Counter)
    who: dict[tuple[int | None, str], list[int]] = field(default_factory=dict)
    own_ratings: dict[int, int] = field(default_factory=dict)
    own_end: tuple[int | None, str] | None = None


def _verdicts(
    project: Project, batch: Batch, tasks: Sequence[Task], visible: Sequence[Task], *, person: "User", sees_all: bool, by_name: bool
) -> list[SolutionVerdicts]:
    numbers = {task.pk: place for place, task in enumerate(tasks, start=1)}
    votes = {task.solution_id: _Votes([Counter() for _ in task.solution.steps]) for task in visible}
    of_set = Assignment.objects.filter(pk=OuterRef("assignment"), batch=batch)
    mistakes = StepLabel.objects.filter(annotation=OuterRef("pk"), rating=-1, position=0).order_by("step_index").values("step_index")[:1]
    first = _labels(project).filter(Probe(of_set), solution__in=votes).order_by("pk")
    ends = list(first.values_list("pk", "solution", "labeler", "finish_reason", Subquery(mistakes)))
    # Counted by the database: a set that 200 people answered has 10,000 ratings, and a page shows a hundred counts. The solution is looked
    # up for each rating: for so many, a join would read all annotations.
    rated = StepLabel.objects.filter(annotation__in=[end[0] for end in ends], position=0, rating__isnull=False).order_by()
    rated = rated.annotate(rated_solution=Subquery(Annotation.objects.filter(pk=OuterRef("annotation")).values("solution")))
    counts: Any = rated.values_list("rated_solution", "step_index", "rating").annotate(n=Count("pk"))
    for solution, step, rating, n in counts:
        if step < len(votes[solution].ratings):
            votes[solution].ratings[step][rating] = n
    own = [key for key, _, labeler, _, _ in ends if labeler == person.pk]
    own_ratings: Any = rated.filter(annotation__in=own).values_list("rated_solution", "step_index", "rating")
    for solution, step, rating in own_ratings:
        votes[solution].own_ratings[step] = rating
    people = set()
    for _, solution, labeler, finish_reason, step in ends:
        vote = votes[solution]
        end = (None, OTHER_ENDS[FinishReason(finish_reason)]) if finish_reason in OTHER_ENDS else (None if step is None else step + 1, "")
        vote.ends[end] += 1
        people.add(labeler)
        if sees_all:
            vote.who.setdefault(end, []).append(labeler)
        if labeler == person.pk:
            vote.own_end = end
    names = _names(project, people, by_name=by_name) if sees_all else {}
    remarks = _remarks(project, visible, person=person, by_name=by_name)
    return [
        SolutionVerdicts(
            task=task.pk,
            number=numbers[task.pk],
            problem=task.solution.problem.statement,
            answer=task.solution.problem.answer if project.show_reference_answer else None,
            steps=[
                StepRatings(place + 1, text, counts[-1], counts[0], counts[1], vote.own_ratings.get(place))
                for place, (text, counts) in enumerate(zip(task.solution.steps, vote.ratings, strict=True))
            ],
            verdicts=[
                VerdictCount(
                    end[0],
                    end[1] or f"first mistake at step {end[0]}",
                    count,
                    end == vote.own_end,
                    sorted(names[labeler] for labeler in vote.who.get(end, ()) if labeler in names),
                )
                for end, count in sorted(vote.ends.items(), key=lambda item: (-item[1], item[0][0] or 0, item[0][1]))
            ],
            people=sum(vote.ends.values()),
            remarks=remarks.get(task.pk, []),
        )
        for task in visible
        for vote in [votes[task.solution_id]]
    ]


def _names(project: Project, persons: Collection[int], *, by_name: bool) -> dict[int, str]:
    members = Membership.objects.filter(project=project, user__in=persons).select_related("user")
    return {member.user_id: member.user.username if by_name else str(member.export_uuid)[:8] for member in members}


def _remarks(project: Project, tasks: Sequence[Task], *, person: "User", by_name: bool) -> dict[int, list[ShownRemark]]:
    writers = set(Membership.objects.filter(project=project, role__in=WRITERS).values_list("user", flat=True))
    remarks: dict[int, list[ShownRemark]] = {}
    for remark in Remark.objects.filter(task__in=tasks).select_related("author").order_by("pk"):
        is_named = by_name or remark.author_id in writers
        who = "You" if remark.author_id == person.pk else remark.author.username if is_named else "A labeler"
        remarks.setdefault(remark.task_id, []).append(ShownRemark(who, remark.text, remark.created_at))
    return remarks
