"""The overview of a project: the queue and its end, what was labeled, who works now. Reads only."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone

from annotation import eligibility, people
from annotation.eligibility import LeftOut
from annotation.models import Assignment, AssignmentState, Membership, Project
from annotation.quality.batches import Forecast, queue_forecast
from annotation.quality.figures import Figures, figures_of
from trainer.counting import Share

LATELY = timedelta(minutes=10)  # somebody without a lease who labeled within this time is still at work
NAMED = 50  # people at work whose names are shown
FEW = 30  # a share of fewer solutions is shown as one of few


@dataclass(frozen=True)
class DayTimes:
    """How long people took for the solutions of one day (UTC). The quartiles are minutes; None without a time."""

    day: date
    timed: int
    low: float | None
    median: float | None
    high: float | None


@dataclass(frozen=True)
class Overview:
    """The overview of a project."""

    queue: dict[str, int]
    forecast: Forecast | None  # when all work that is published is done
    recent: int  # places of work filled within the last two hours
    days: list[tuple[date, int]]  # solutions labeled per day, oldest first, no gaps
    times: list[DayTimes]  # of the same days
    minutes: tuple[float, float, float] | None  # quartiles of a solution over these days
    finished: dict[str, int]  # annotations by finish reason
    left_out: list[tuple[str, int, str]]  # annotations that do not count for every use: mark, how many, what that means
    outcomes: dict[str, int]  # solutions by outcome of grading
    wrong: Share  # of the labeled solutions with a wrong final answer, those where a mistake was found
    convincing: Share  # of the convincing wrong answers that people judged, those that they confirmed
    by_person: dict[int, tuple[int, datetime]]  # by account: labels of today, the last label
    counted_at: datetime

    @property
    def labeled(self) -> int:
        """The number of labeled solutions."""
        return sum(self.finished.values())

    @property
    def solutions(self) -> int:
        """The number of loaded solutions."""
        return sum(self.outcomes.values())

    @property
    def left(self) -> int:
        """The number of published places that are not filled: waiting and in hand."""
        return self.queue.get("open", 0) + self.queue.get("leased", 0)

    @property
    def is_convincing_few(self) -> bool:
        """Whether the share of convincing wrong answers is of few solutions."""
        return self.convincing.n < FEW


@dataclass(frozen=True)
class PersonAtWork:
    """Somebody who works in the project now."""

    number: int  # of the membership
    name: str
    batch: str  # of the solution in hand; empty: between two solutions
    batch_id: int | None
    since: datetime | None  # when they got the solution in hand
    today: int
    last_at: datetime | None


@dataclass(frozen=True)
class PeopleAtWork:
    """Who works in a project now, the longest at one solution first."""

    people: list[PersonAtWork]
    n_more: int  # who are not named


def overview(project: Project) -> Overview:
    """Return the overview of a project."""
    figures, counted_at = figures_of(project)
    left = figures.queue.get("open", 0) + figures.queue.get("leased", 0)
    return Overview(
        queue=figures.queue,
        forecast=queue_forecast(project, left=left),
        recent=figures.recent,
        days=[(date.fromisoformat(day), count) for day, count in figures.days],
        times=_times(figures),
        minutes=_quartiles(figures),
        finished=figures.finished,
        left_out=[(mark, count, eligibility.EFFECTS[LeftOut(mark)]) for mark, count in figures.left_out.items()],
        outcomes=figures.outcomes,
        wrong=Share(figures.wrong_confirmed, figures.wrong_labeled),
        convincing=Share(figures.convincing_confirmed, figures.convincing_judged),
        by_person=_by_account(figures, is_today=counted_at.date() == timezone.now().date()),
        counted_at=counted_at,
    )


def at_work(project: Project, shown: Overview) -> PeopleAtWork:
    """Return who works in a project now: who holds a solution whose lease has not ended, or labeled within the last minutes.

    The pseudonyms of a loaded file are not at work.
    """
    now = timezone.now()
    held = Assignment.objects.filter(state=AssignmentState.LEASED, lease_expires_at__gt=now, batch__project=project)
    leases = {lease.labeler_id: lease for lease in held.select_related("batch")}
    lately = {person for person, (_, last) in shown.by_person.items() if last > now - LATELY}
    members = Membership.objects.filter(project=project, user__in=leases.keys() | lately).select_related("user")
    members = members.exclude(user__username__startswith=people.FILE_PREFIX)
    found = []
    for member in members:
        lease, (today, last) = leases.get(member.user_id), shown.by_person.get(member.user_id, (0, None))
        found.append(
            PersonAtWork(
                number=member.pk,
                name=member.user.get_full_name() or member.user.get_username(),
                batch=str(lease.batch) if lease else "",
                batch_id=lease.batch_id if lease else None,
                since=lease.leased_at if lease else None,
                today=today,
                last_at=last,
            )
        )
    found.sort(key=lambda person: (person.since is None, person.since, person.name))
    return PeopleAtWork(found[:NAMED], max(0, len(found) - NAMED))


def _by_account(figures: Figures, *, is_today: bool) -> dict[int, tuple[int, datetime]]:
    rows = figures.by_person.items()
    return {int(person): (today if is_today else 0, datetime.fromisoformat(last)) for person, (today, _, _, _, last) in rows}


def _quartiles(figures: Figures) -> tuple[float, float, float] | None:
    if figures.quartiles is None:
        return None
    low, middle, high = figures.quartiles
    return low / 60_000, middle / 60_000, high / 60_000


def _times(figures: Figures) -> list[DayTimes]:
    return [DayTimes(date.fromisoformat(day), timed, *(_minutes(ms) for ms in quartiles)) for day, timed, *quartiles in figures.times]


def _minutes(ms: float | None) -> float | None:
    return None if ms is None else ms / 60_000
