"""Newcomers: what managers see of their screening, and what they decide: admit, refuse, or let repeat with other questions.

Reads memberships, annotations and gold; writes Membership, and a batch of questions for another attempt.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from annotation import notifications, people, queue
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    BatchKind,
    BatchState,
    Event,
    GoldAnswer,
    Membership,
    NotificationKind,
    Project,
    Solution,
    Split,
    Task,
)
from annotation.quality.admission import ADMITTED, ENDED, NOT_ADMITTED, PASSED, REFUSED, Screening, newcomers, results_of
from annotation.quality.gold import FIRST_MISTAKE, is_within_gold, next_screening_set
from annotation.quality.members import MemberRefused, locked, note
from annotation.quality.team import NoSuchMember, seen_of
from trainer.counting import counted

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LISTED = 100  # newcomers, and as many people who were admitted lately
LATELY = timedelta(days=7)
TOLD = timedelta(days=3)  # how long the overview tells who passed
LOOKED_AT = 30  # newcomers whose results the overview reads
NOTIFIED = 500  # newcomers whose results one run of the worker reads
REPEAT = "let repeat"  # the event


class NewcomerState(StrEnum):
    """Where a newcomer stands, in the words of the page."""

    WAITING = "waits for you"  # all questions are answered, and the result is too low
    STUCK = "cannot go on"  # questions are left that the person cannot get
    PASSED = "passed"  # the next page that the person opens admits them
    ANSWERING = "answers questions"
    REFUSED = "refused"
    ADMITTED = "admitted"


@dataclass(frozen=True)
class Newcomer:
    """One newcomer with their result."""

    number: int  # of the membership
    name: str
    username: str
    role: str
    state: NewcomerState
    result: Screening
    attempts: int  # sets of questions that the person got
    decided_at: datetime | None  # when somebody, or the result, decided last
    seen: str  # what a form sends back

    @property
    def can_be_admitted(self) -> bool:
        """Whether a manager can admit this person."""
        return self.state != NewcomerState.ADMITTED

    @property
    def can_be_refused(self) -> bool:
        """Whether a manager can refuse this person: not before the questions are over."""
        return self.state in (NewcomerState.WAITING, NewcomerState.STUCK)

    @property
    def can_repeat(self) -> bool:
        """Whether a manager can give this person other questions."""
        return self.state in (NewcomerState.WAITING, NewcomerState.STUCK, NewcomerState.REFUSED)


@dataclass(frozen=True)
class ScreeningAnswer:
    """One screening question with the person's answer and gold. Steps count from 1."""

    attempt: int
    solution: Solution
    accepted: list[int]  # gold; empty: no mistake
    note: str
    finish_reason: str  # empty: skipped, or not answered yet
    is_skipped: bool
    first_mistake: int | None
    reason: str
    active_ms: int | None
    annotation: int | None
    is_right: bool

    @property
    def minutes(self) -> float | None:
        """How long the person worked on it."""
        return None if self.active_ms is None else self.active_ms / 60_000


@dataclass(frozen=True)
class NewcomersPage:
    """The newcomers of a project, and one of them with all answers."""

    listed: list[Newcomer]  # who waits for a decision comes first
    is_cut: bool
    chosen: Newcomer | None
    answers: list[ScreeningAnswer]  # of the chosen one: the newest attempt first
    before: int | None  # the neighbours of the chosen one in the list, by membership
    after: int | None
    n_waiting: int


ORDER = list(NewcomerState)


def newcomers_page(project: Project, number: int | None = None) -> NewcomersPage:
    """Return the newcomers, and the one with this membership; without a number, the first who waits. Raises NoSuchMember."""
    first = newcomers(project).order_by(F("refused_at").asc(nulls_first=True), "-screening_set", "pk")[: LISTED + 1]
    admitted = Membership.objects.filter(Exists(_answered()), project=project, qualified_at__gte=timezone.now() - LATELY)
    lately = admitted.select_related("project", "user").order_by("-qualified_at")[:LISTED]
    rows = list(first)
    is_cut = len(rows) > LISTED
    rows = [*rows[:LISTED], *lately]
    if number is not None and number not in {row.pk for row in rows}:
        more = Membership.objects.filter(Exists(_answered()) | Q(qualified_at=None), pk=number, project=project, role__in=people.LABELERS)
        rows += more.select_related("project", "user")
    results = results_of(rows)
    listed = sorted((_newcomer(row, results[row.pk]) for row in rows), key=lambda one: ORDER.index(one.state))
    places = {one.number: place for place, one in enumerate(listed)}
    if number is not None and number not in places:
        raise NoSuchMember(f"{project} has no newcomer {number}.")
    place = places[number] if number is not None else 0
    chosen = listed[place] if listed else None
    return NewcomersPage(
        listed=listed,
        is_cut=is_cut,
        chosen=chosen,
        answers=_answers(next(row for row in rows if row.pk == chosen.number)) if chosen else [],
        before=listed[place - 1].number if place > 0 else None,
        after=listed[place + 1].number if place + 1 < len(listed) else None,
        n_waiting=sum(one.can_be_refused for one in listed),
    )


def told_about_newcomers(project: Project, *, most: int) -> tuple[list[Newcomer], list[Newcomer]]:
    """Return who waits for a manager's decision, and who passed lately, at most `most` of each, for the overview."""
    is_open = Exists(_questions().filter(batch__state=BatchState.OPEN))
    waiting = newcomers(project).filter(refused_at=None).annotate(n_ended=_n_ended(), n_asked=_n_asked())
    rows = list(waiting.filter(~is_open | Q(n_ended__gte=1), n_asked__gte=1).order_by(F("n_asked") - F("n_ended"), "pk")[:LOOKED_AT])
    passed = Event.objects.filter(project=project, verb=PASSED, at__gte=timezone.now() - TOLD).order_by("-pk")[:most]
    numbers = [int(subject.rpartition(" ")[2]) for subject in passed.values_list("subject", flat=True)]
    admitted = list(
        Membership.objects.filter(pk__in=numbers, project=project, qualified_at__isnull=False).select_related("project", "user")
    )
    results = results_of([*rows, *admitted])
    undecided = [_newcomer(row, results[row.pk]) for row in rows]
    return [one for one in undecided if one.can_be_refused][:most], [_newcomer(row, results[row.pk]) for row in admitted]


def _questions() -> QuerySet[Task]:
    """Return the questions of a membership's set."""
    return Task.objects.filter(
        batch__project=OuterRef("project"),
        batch__kind=BatchKind.SCREENING,
        batch__generation=Value(0) - OuterRef("screening_set"),
        solution__withdrawn_at=None,
    )


def _n_asked() -> Subquery:
    return Subquery(_questions().order_by().values("batch").annotate(count=Count("pk")).values("count"))


def _n_ended() -> Coalesce:
    ended = _answered().order_by().values("labeler").annotate(count=Count("task", distinct=True)).values("count")
    return Coalesce(Subquery(ended), 0)


def _answered() -> QuerySet[Assignment]:
    """Return the ended screening assignments of a membership's set."""
    return Assignment.objects.filter(
        labeler=OuterRef("user"),
        state__in=ENDED,
        batch__project=OuterRef("project"),
        batch__kind=BatchKind.SCREENING,
        batch__generation=Value(0) - OuterRef("screening_set"),
        task__solution__withdrawn_at=None,
    )


def _newcomer(row: Membership, result: Screening) -> Newcomer:
    return Newcomer(
        number=row.pk,
        name=row.user.get_full_name() or row.user.username,
        username=row.user.username,
        role=row.role,
        state=_state(row, result),
        result=result,
        attempts=row.screening_set,
        decided_at=row.qualified_at or row.refused_at,
        seen=seen_of(row),
    )


def _state(row: Membership, result: Screening) -> NewcomerState:
    if row.qualified_at:
        return NewcomerState.ADMITTED
    if row.refused_at:
        return NewcomerState.REFUSED
    if result.is_complete:
        return NewcomerState.PASSED if result.is_passed else NewcomerState.WAITING
    if result.is_over or result.state != BatchState.OPEN:
        return NewcomerState.STUCK
    return NewcomerState.ANSWERING


def _answers(row: Membership) -> list[ScreeningAnswer]:
    sets = [-number for number in range(1, row.screening_set + 1)]
    tasks = Task.objects.filter(batch__project=row.project_id, batch__kind=BatchKind.SCREENING, batch__generation__in=sets)
    tasks = tasks.exclude(batch__state=BatchState.DRAFT).filter(solution__withdrawn_at=None)
    tasks = tasks.select_related("batch", "solution__problem", "solution__goldanswer").order_by("batch__generation", "pk")
    own = Assignment.objects.filter(labeler=row.user_id, task__in=tasks.order_by().values("pk"), state__in=ENDED)
    states = dict(own.values_list("task", "state"))
    annotations = Annotation.objects.newest().filter(labeler=row.user_id, assignment__task__in=tasks.order_by().values("pk"))
    answers = {one.task: one for one in annotations.annotate(first_mistake=FIRST_MISTAKE, task=F("assignment__task"))}
    rows = []
    for task in tasks:
        if task.batch.generation != -row.screening_set and task.pk not in states:
            continue  # of a set that the person never got
        gold: GoldAnswer | None = getattr(task.solution, "goldanswer", None)
        answer = answers.get(task.pk)
        acceptable = gold.acceptable_first_errors if gold else []
        rows.append(
            ScreeningAnswer(
                attempt=-(task.batch.generation or 0),
                solution=task.solution,
                accepted=[step + 1 for step in sorted(acceptable)],
                note=gold.note if gold else "",
                finish_reason=answer.finish_reason if answer else "",
                is_skipped=answer is None and task.pk in states,
                first_mistake=answer.first_mistake + 1 if answer and answer.first_mistake is not None else None,
                reason=answer.reason if answer else "",
                active_ms=answer.active_ms if answer else None,
                annotation=answer.pk if answer else None,
                is_right=answer is not None and is_within_gold(answer.finish_reason, answer.first_mistake, acceptable),
            )
        )
    return rows


def admit(project: Project, number: int, *, actor: "User", seen: str) -> Membership:
    """Let a newcomer label real work, whatever the screening says. Raises MemberRefused, MemberChanged, NoSuchMember."""
    with locked(project, number, actor=actor, seen=seen) as (row, _):
        if row.role not in people.LABELERS:
            raise MemberRefused(f"{row.user} does not label in {project}, so there is nobody to admit.")
        if row.qualified_at:
            raise MemberRefused(f"{row.user} is admitted already.")
        Membership.objects.filter(pk=row.pk).update(qualified_at=Now(), refused_at=None)
        decision = note(actor, "admit member", row, {"old": _standing(row), "new": ADMITTED, **results_of([row])[row.pk].figures})
        _notify_person(row, decision, f"You can label in {project} now. A manager admitted you.")
    return row


def refuse(project: Project, number: int, *, actor: "User", seen: str) -> Membership:
    """Decide that a newcomer who did not pass does not label here. It can be changed later.

    Raises MemberRefused, MemberChanged, NoSuchMember.
    """
    with locked(project, number, actor=actor, seen=seen) as (row, _):
        result = _result_without_pass(row)
        if row.refused_at:
            raise MemberRefused(f"{row.user} is refused already.")
        Membership.objects.filter(pk=row.pk).update(refused_at=Now())
        decision = note(actor, "refuse member", row, {"old": _standing(row), "new": REFUSED, **result.figures})
        _notify_person(row, decision, f"A manager decided that you do not label in {project}. Your work is kept.")
    return row


def let_repeat(project: Project, number: int, *, actor: "User", seen: str) -> int:
    """Give a newcomer who did not pass another attempt, and return how many questions it has. Raises as `refuse`.

    Nobody gets a solution twice, so it has other questions, as many as the first screening: a set that exists and that the person has not
    met, or else a new one of gold that is neither in practice nor in a screening and that the person has never had.
    """
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # before memberships, as everybody who publishes
        with locked(project, number, actor=actor, seen=seen) as (row, _):
            result = _result_without_pass(row)
            batch = _other_questions(row)
            Membership.objects.filter(pk=row.pk).update(refused_at=None, screening_set=-(batch.generation or 0))
            size = Task.objects.filter(batch=batch, solution__withdrawn_at=None).count()
            old = {"standing": _standing(row), "set": row.screening_set}
            new = {"standing": NOT_ADMITTED, "set": -(batch.generation or 0)}
            decision = note(actor, REPEAT, row, {"old": old, "new": new, **result.figures, "questions": size})
            questions = counted(size, "other question")
            _notify_person(row, decision, f"You can repeat the screening of {project}, with {questions}. A manager decided so.")
    return size


def _notify_person(row: Membership, decision: Event, sentence: str) -> None:
    """Notify a newcomer of a decision, in its transaction."""
    kind, occasion = NotificationKind.ADMISSION, f"decision {decision.pk}"
    notifications.notify([row.user], kind, sentence, occasion=occasion, project=row.project, page="home")


def notify_of_screenings() -> int:
    """Notify managers of newcomers whose screening is over, and those who passed. Return of how many people; each set counts once.

    A worker does it, so that no submit waits for it or fails with it. Of what managers decide, people are notified where it is decided.
    """
    screening = Batch.objects.filter(project=OuterRef("project"), kind=BatchKind.SCREENING).exclude(state=BatchState.DRAFT)
    rows = Membership.objects.filter(Exists(screening), Exists(_answered()), screening_notified__lt=F("screening_set"), suspended_at=None)
    rows = rows.filter(role__in=people.LABELERS, user__is_active=True, project__archived_at=None).select_related("project", "user")
    counted_rows = rows.annotate(n_ended=_n_ended(), n_asked=_n_asked())
    undecided, is_complete = Q(qualified_at=None, refused_at=None), Q(n_ended__gte=F("n_asked"))
    # Those whose questions are over come first, so that many who never finish keep nobody waiting.
    over = list(counted_rows.filter(undecided | is_complete).order_by(F("n_asked") - F("n_ended"), "pk")[:NOTIFIED])
    results = results_of(over)
    return sum(_notify_of_result(row, results[row.pk]) for row in over if row.refused_at or results[row.pk].is_over)


def _notify_of_result(row: Membership, result: Screening) -> bool:
    """Notify of one result, unless another worker was faster or a manager has decided already."""
    user, project = row.user, row.project
    passed = Event.objects.filter(project=project, verb=PASSED, subject=f"membership {row.pk}")
    is_decided = row.refused_at is not None or (row.qualified_at is not None and not (result.is_passed and passed.exists()))
    figures = f"(right answers: {result.within:,} of {result.asked:,}; needed: {result.needed:,})"
    if result.is_passed:
        sentence = f"{user} passed the screening of {project} {figures}."
    elif result.is_complete:
        sentence = f"{user} did not pass the screening of {project} {figures}. Decide whether {user} can label."
    else:
        sentence = f"No screening question is left for {user} in {project}. Decide whether {user} can label."
    with transaction.atomic():
        waiting = Membership.objects.filter(pk=row.pk, screening_set=row.screening_set, screening_notified__lt=row.screening_set)
        if not waiting.update(screening_notified=row.screening_set) or is_decided:
            return False
        occasion = f"screening {row.pk} {row.screening_set}"
        notifications.notify(
            notifications.members(project, people.MANAGERS),
            NotificationKind.NEWCOMER,
            sentence,
            occasion=occasion,
            project=project,
            page="newcomers",
            at={"slug": project.slug},
            query=f"person={row.pk}",
            about=user,
        )
        if result.is_passed:
            news = f"You passed the screening of {project}. You can label there now."
            notifications.notify([user], NotificationKind.ADMISSION, news, occasion=occasion, project=project, page="home")
    return True


def _standing(row: Membership) -> str:
    return ADMITTED if row.qualified_at else REFUSED if row.refused_at else NOT_ADMITTED


def _result_without_pass(row: Membership) -> Screening:
    """Return the result of a newcomer who can be refused or repeat. Raises MemberRefused for all others."""
    result = results_of([row])[row.pk]
    state = _state(row, result)
    if row.role not in people.LABELERS:
        raise MemberRefused(f"{row.user} does not label in {row.project}, so there is nothing to decide.")
    if state == NewcomerState.ADMITTED:
        raise MemberRefused(f"{row.user} is admitted already. Pause or remove this person on their page.")
    if not result.asked:
        raise MemberRefused(f"{row.project} has no screening questions, so there is no result to decide about.")
    if state == NewcomerState.PASSED:
        raise MemberRefused(
            f"{row.user} has passed, and the next page that {row.user} opens admits them. Pause or remove this person instead."
        )
    if state == NewcomerState.ANSWERING:
        left = counted(result.pending, "question is", "questions are")
        raise MemberRefused(f"{row.user} has not finished the screening: {left} left. Decide afterwards, or admit {row.user} now.")
    return result


def _other_questions(row: Membership) -> Batch:
    """Return the first set of questions after a newcomer's own that is all new to them, or make one. The caller holds the project."""
    had = Assignment.objects.filter(task__solution=OuterRef("solution"), labeler=row.user_id)
    sets = Batch.objects.filter(project=row.project_id, kind=BatchKind.SCREENING, state=BatchState.OPEN)
    known = Task.objects.filter(Exists(had), batch=OuterRef("pk"), solution__withdrawn_at=None)
    left = Task.objects.filter(batch=OuterRef("pk"), solution__withdrawn_at=None)
    unmet = sets.filter(~Exists(known), Exists(left), generation__lt=-row.screening_set).order_by("-generation").first()
    if unmet:
        return unmet
    first = Task.objects.filter(batch__project=row.project_id, batch__kind=BatchKind.SCREENING, batch__generation=-1)
    size = first.filter(solution__withdrawn_at=None).count()
    for_newcomers = Task.objects.filter(
        solution=OuterRef("solution"), batch__kind__in=[BatchKind.PRACTICE, BatchKind.SCREENING], batch__project=row.project_id
    )
    gold = GoldAnswer.objects.filter(
        ~Exists(for_newcomers),
        ~Exists(had),
        solution__problem__project=row.project_id,
        solution__problem__split=Split.TRAIN,
        solution__withdrawn_at=None,
    )
    usable = list(gold.order_by("pk").values_list("pk", flat=True))
    if len(usable) < size:
        raise MemberRefused(
            f"Another attempt needs {counted(size, 'question')} with gold that {row.user} has not met. {row.project} has {len(usable):,}. "
            "Publish questions for another attempt (Batches, Practice, screening, gold), or admit or refuse this person."
        )
    questions = [queue.Chosen(solution) for solution in random.sample(usable, size)]
    generation = -next_screening_set(row.project)
    return queue.open_batch(row.project, questions, kind=BatchKind.SCREENING, generation=generation)
