"""Admission: the screening that every newcomer goes through, what its result means, and what a newcomer is told.

Reads memberships and annotations; writes the screening's batch and Membership.qualified_at, which the queue reads.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from annotation import people, queue
from annotation.models import Assignment, AssignmentState, Batch, BatchKind, BatchState, Event, Membership, Project, Task
from annotation.quality.gold import GOLD, is_within_gold, newest, publish_trusted
from trainer.counting import counted

if TYPE_CHECKING:
    from django.contrib.auth.models import User

ENDED = frozenset({AssignmentState.DONE, AssignmentState.SKIPPED})
PASSED = "pass screening"  # the event of an admission by the result alone
NOT_ADMITTED, ADMITTED, REFUSED = "not admitted", "admitted", "refused"  # old and new in the events about newcomers


@dataclass(frozen=True)
class Screening:
    """A newcomer's result on their set of screening questions. Withdrawn solutions are no questions."""

    asked: int
    ended: int  # answered or skipped; a skipped question counts as a wrong answer
    pending: int  # questions that the person can still answer. The others they have had before, as other work
    within: int  # answers within gold
    needed: int
    state: str  # of the batch with the questions

    @property
    def is_over(self) -> bool:
        """Whether no question is left."""
        return self.asked > 0 and self.pending == 0

    @property
    def is_complete(self) -> bool:
        """Whether all questions were answered or skipped, so that the result counts."""
        return 0 < self.asked <= self.ended

    @property
    def is_passed(self) -> bool:
        """Whether enough answers are within gold."""
        return self.is_complete and self.within >= self.needed

    @property
    def figures(self) -> dict[str, int]:
        """The result as an event notes it."""
        return {"right": self.within, "asked": self.asked, "needed": self.needed}


def open_screening(project: Project, *, by: str, size: int | None = None, seed: int = 0) -> Batch:
    """Publish a screening for newcomers from solutions that a trusted person (`by`, a user name) labeled.

    That person's first mistake becomes the only acceptable one in gold; more can be added later. `size` defaults to the project's. The
    trusted person is admitted. Raises BadScreening: too few labels by that person, an interactive project, or a screening already exists.
    """
    with transaction.atomic():
        size = project.screening_size if size is None else size
        batch = publish_trusted(project, by=by, size=size, seed=seed, kind=BatchKind.SCREENING)
        admit_trusted(project, by)
    return batch


def admit_trusted(project: Project, name: str) -> None:
    """Admit the person whose labels are the gold of a screening."""
    Membership.objects.filter(project=project, user__username=name, qualified_at=None).update(qualified_at=Now(), refused_at=None)


def lease_next(labeler: "User", *, project: Project) -> queue.Lease:
    """Lease as `queue.lease_next` does. A newcomer who has answered the last screening question is judged first.

    Raises NotQualified for a newcomer who did not pass, with the result and what happens next; otherwise as `queue.lease_next`.
    """
    try:
        return queue.lease_next(labeler, project=project)
    except queue.NotQualified:
        newcomer = newcomers(project).filter(user=labeler.pk).first()
        if newcomer is None:
            raise
        result = results_of([newcomer])[newcomer.pk]
        if not (result.is_passed and newcomer.refused_at is None):
            if sentence := standing(newcomer, result):
                raise queue.NotQualified(sentence) from None
            raise
        _admit_passed(newcomer, result)
    return queue.lease_next(labeler, project=project)


def _admit_passed(newcomer: Membership, result: Screening) -> None:
    with transaction.atomic():
        waiting = Membership.objects.filter(pk=newcomer.pk, qualified_at=None, refused_at=None, suspended_at=None)
        if waiting.update(qualified_at=Now()):  # else a manager, or another tab, was faster
            details = {"old": NOT_ADMITTED, "new": ADMITTED, **result.figures}
            Event.objects.create(project_id=newcomer.project_id, verb=PASSED, subject=f"membership {newcomer.pk}", details=details)


def standings_of(memberships: Iterable[Membership]) -> dict[int, str]:
    """Return by project why a newcomer gets no work there now, as `standing` says it. Without a screening a project has no entry.

    The memberships must have their project.
    """
    rows = [row for row in memberships if row.suspended_at is None]
    results = results_of(rows)
    return {row.project_id: standing(row, results[row.pk]) for row in rows if results[row.pk].state}


def newcomers(project: Project) -> QuerySet[Membership]:
    """Return the memberships of a project that a screening keeps from real work, paused ones left out; none without a screening."""
    screening = Batch.objects.filter(project=OuterRef("project"), kind=BatchKind.SCREENING).exclude(state=BatchState.DRAFT)
    waiting = Membership.objects.filter(project=project, qualified_at=None, suspended_at=None, role__in=people.LABELERS)
    return waiting.filter(Exists(screening), user__is_active=True).select_related("project", "user")


def screening_of(labeler: "User", *, project: Project) -> Screening | None:
    """Return a newcomer's result after the last screening question; None before that, and in a project without screening."""
    newcomer = Membership.objects.filter(project=project, user=labeler.pk).select_related("project").first()
    result = results_of([newcomer])[newcomer.pk] if newcomer else None
    return result if result and result.is_complete else None


def results_of(memberships: Iterable[Membership]) -> dict[int, Screening]:
    """Return the result of each membership on its set of screening questions, by key: three queries for all of them.

    The memberships must have their project.
    """
    rows = list(memberships)
    projects, persons = {row.project_id for row in rows}, {row.user_id for row in rows}
    if not rows:
        return {}
    of_screenings = Task.objects.filter(batch__project__in=projects, batch__kind=BatchKind.SCREENING, solution__withdrawn_at=None)
    tasks: dict[tuple[int, int], dict[int, int]] = {}  # by project and set: {task: solution}
    states: dict[tuple[int, int], str] = {}
    columns = ("batch__project", "batch__generation", "batch__state", "pk", "solution")
    for project, generation, state, task, solution in of_screenings.exclude(batch__state=BatchState.DRAFT).values_list(*columns):
        tasks.setdefault((project, -generation), {})[task] = solution
        states[project, -generation] = state
    wanted = {(row.project_id, row.screening_set) for row in rows}
    asked = {task: solution for place, each in tasks.items() if place in wanted for task, solution in each.items()}
    had: dict[tuple[int, int], dict[int, str]] = {}  # by person and solution: {task: state}
    held = Assignment.objects.filter(labeler__in=persons, task__solution__in=set(asked.values()))
    for person, solution, task, state in held.values_list("labeler", "task__solution", "task", "state"):
        had.setdefault((person, solution), {})[task] = state
    answers = newest(labeler__in=persons, assignment__task__in=list(asked))
    within: dict[int, set[int]] = {}
    for person, task, *verdict in answers.values_list("labeler", "assignment__task", "finish_reason", "first_mistake", GOLD):
        if is_within_gold(*verdict):
            within.setdefault(person, set()).add(task)
    results = {}
    for row in rows:
        questions = tasks.get((row.project_id, row.screening_set), {})
        mine = {task: had.get((row.user_id, solution), {}) for task, solution in questions.items()}
        ended = sum(own.get(task) in ENDED for task, own in mine.items())
        results[row.pk] = Screening(
            asked=len(questions),
            ended=ended,
            pending=sum(task in own or not own for task, own in mine.items()) - ended,
            within=len(within.get(row.user_id, set()) & questions.keys()),
            needed=math.ceil(row.project.qualify_rate * len(questions)),
            state=states.get((row.project_id, row.screening_set), ""),
        )
    return results


def standing(newcomer: Membership, result: Screening) -> str:
    """Say why a newcomer can label nothing now, and what happens next. Empty: there are questions, or the next page admits them."""
    project = newcomer.project
    were, are = "was" if result.within == 1 else "were", "is" if result.needed == 1 else "are"
    answered = (
        f"You have answered all {counted(result.asked, 'screening question')} of {project}. {result.within:,} of your answers {were} "
        f"right; {counted(result.needed, 'right answer')} {are} needed."
    )
    if newcomer.refused_at:
        decided = f"On {newcomer.refused_at:%Y-%m-%d} a manager decided that you do not label in {project}. Your work is kept."
        return f"{answered} {decided}" if result.is_complete else decided
    if result.is_complete:
        if result.is_passed:
            return ""
        return (
            f"{answered} Your work is kept. The project's manager now decides whether you can label here. "
            "You do not need to do anything until then."
        )
    if result.is_over or not result.asked:
        return f"No screening question is left for you in {project}. You can label once a manager admits you."
    if result.state == BatchState.PAUSED:
        return f"The screening of {project} is paused. You can go on when a manager resumes it."
    if result.state == BatchState.CLOSED:
        return f"The screening of {project} is closed. You can label once a manager admits you."
    return ""
