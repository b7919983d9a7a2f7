"""The queue and the labels against a small model, by random sequences (harness A3 of docs/reliability.md).

The model is written from docs/queue.md, in plain Python. Each step asks the real functions and the model, and then compares every
assignment, draft and annotation. Steps draw indexes, never keys of the database. So a failed sequence can be made shorter and run again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.functions import Now
from django.utils.timezone import timedelta
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from annotation import labels, queue
from annotation.labels import sittings
from annotation.models import Annotation, Assignment, Draft, Membership, Solution
from annotation.queue import changing, leases
from tests import make
from tests.clients import rated

pytestmark = pytest.mark.django_db

NAMES = ("ann", "ben", "cleo")
BODIES = (
    {"ratings": rated(1, 1, 1), "finish_reason": "solution", "reason": ""},
    {"ratings": rated(1, -1), "finish_reason": "found_error", "reason": ""},
    {"ratings": rated(1), "finish_reason": "give_up", "reason": "too hard"},
)
TIMES = {"active_ms": 5, "total_ms": 5}
LOST, WITHDRAWN, CONFLICT, NOTHING, REFUSED = "lease lost", "withdrawn", "conflict", "nothing to label", "not qualified"
BAD = "bad batch"
ERRORS = {
    queue.Withdrawn: WITHDRAWN, queue.LeaseLost: LOST, labels.SubmissionConflict: CONFLICT, queue.NothingToLabel: NOTHING,
    queue.NotQualified: REFUSED, queue.BadBatch: BAD,
}  # fmt: skip
STEPS = {"short": (10, 80), "search": (400, 80), "long": (220, 60)}  # examples, steps of each
ACTS = {
    "pause": queue.pause_batch, "resume": queue.resume_batch, "close": queue.close_batch,
    **{place: lambda batch, actor, place=place: queue.move_batch(batch, place, actor=actor) for place in ("first", "last", "in order")},
}  # fmt: skip
# What counts for the overlap, and which go first when it is lowered.
RANKS = {"done": 0, "leased": 1, "reserved": 2, "open": 3}
INDEX, PERSON, BODY = st.integers(0, 7), st.integers(0, len(NAMES) - 1), st.integers(0, len(BODIES) - 1)


@dataclass
class Seat:
    """An assignment as the model holds it."""

    task: int
    batch: int
    slot: int | None  # None: for its holder only, since the overlap was lowered
    priority: int
    state: str = "open"
    labeler: int | None = None
    lapsed: int | None = None
    token: int = 0
    is_expired: bool = False


@dataclass
class Task:
    """A solution in a batch as the model holds it."""

    batch: int
    priority: int
    overlap: int
    is_withdrawn: bool = False


@dataclass(frozen=True)
class Claim:
    """What a tab shows: who took which assignment under which token."""

    person: int
    seat: int
    token: int


@dataclass(frozen=True)
class Stored:
    """An annotation as the model holds it."""

    seat: int
    person: int
    body: int
    revision: int
    supersedes: UUID | None


class Model:
    """What docs/queue.md promises, without a database."""

    def __init__(self) -> None:
        self.seats: list[Seat] = []
        self.batches: list[str] = []  # the state of each
        self.places: list[int] = []  # the priority of each batch
        self.tasks: list[Task] = []
        self.suspended: set[int] = set()
        self.closed_accounts: set[int] = set()
        self.drafts: dict[tuple[int, int, int], tuple[int, int]] = {}  # (seat, person, token): (revision, number of ratings)
        self.stored: dict[UUID, Stored] = {}

    def publish(self, *, count: int, overlap: int) -> None:
        """Make the assignments: first slots before second slots, each in order of priority."""
        tasks = [(len(self.tasks) + place, place % 2) for place in range(count)]
        ordered = sorted(tasks, key=lambda task: (-task[1], task[0]))
        self.seats += [Seat(task, len(self.batches), slot, priority) for slot in range(overlap) for task, priority in ordered]
        self.tasks += [Task(len(self.batches), priority, overlap) for _, priority in tasks]
        self.batches.append("open")
        self.places.append(0)

    def held(self, person: int, state: str) -> int | None:
        return next((n for n, seat in enumerate(self.seats) if (seat.state, seat.labeler) == (state, person)), None)

    def has_had(self, person: int, seat: int) -> bool:
        """Whether the person has another assignment of the same task."""
        task = self.seats[seat].task
        return any(other.task == task and other.labeler == person for n, other in enumerate(self.seats) if n != seat)

    def claim(self, person: int, state: str) -> int | None:
        """Take the open assignment of the highest priority in the first open batch, of a task the person never had."""
        free = [
            (-self.places[seat.batch], seat.batch, -seat.priority, n)
            for n, seat in enumerate(self.seats)
            if seat.state == "open" and seat.slot is not None and self.batches[seat.batch] == "open" and not self.has_had(person, n)
        ]
        if not free:
            return None
        n = min(free)[3]
        seat = self.seats[n]
        seat.token += seat.lapsed != person
        seat.state, seat.labeler, seat.lapsed, seat.is_expired = state, person, None, False
        return n

    def let_go(self, which: Callable[[Seat], bool]) -> int:
        chosen = [seat for seat in self.seats if which(seat)]
        for seat in chosen:
            seat.state, seat.lapsed, seat.labeler, seat.is_expired = "open", seat.labeler, None, False
        return len(chosen)

    def lease_next(self, person: int) -> Claim | str:
        if person in self.closed_accounts or person in self.suspended:
            return REFUSED
        while True:
            n = self.held(person, "leased")
            n = self.held(person, "reserved") if n is None else n
            n = self.claim(person, "leased") if n is None else n
            if n is not None:
                self.seats[n].state, self.seats[n].is_expired = "leased", False
                return Claim(person, n, self.seats[n].token)
            if not self.sweep():
                return NOTHING

    def reserve_next(self, person: int) -> Claim | str | None:
        if person in self.closed_accounts or person in self.suspended:
            return REFUSED
        if self.held(person, "leased") is None:
            return None
        n = self.held(person, "reserved")
        n = self.claim(person, "reserved") if n is None else n
        if n is None:
            return None
        self.seats[n].is_expired = False
        return Claim(person, n, self.seats[n].token)

    def sweep(self) -> int:
        return self.let_go(lambda seat: seat.is_expired and seat.state in ("leased", "reserved"))

    def counts(self, claim: Claim) -> bool:
        """Whether work under this claim still counts: leased, or lapsed and taken by nobody since."""
        seat, person = self.seats[claim.seat], claim.person
        is_own = (seat.state, seat.labeler) == ("leased", person) or (seat.state, seat.lapsed) == ("open", person)
        return seat.token == claim.token and is_own and not self.has_had(person, claim.seat)

    def end(self, claim: Claim, state: str, ahead: Claim | None) -> None:
        """End an assignment. What was reserved becomes the lease, if it still can; the work counts in any case."""
        seat = self.seats[claim.seat]
        seat.state, seat.labeler, seat.lapsed, seat.is_expired = state, claim.person, None, False
        if ahead is None or ahead.person in self.suspended or self.held(claim.person, "leased") is not None:
            return
        following, person = self.seats[ahead.seat], ahead.person
        is_own = (following.state, following.labeler) == ("reserved", person) or (following.state, following.lapsed) == ("open", person)
        if following.token == ahead.token and is_own and not self.has_had(person, ahead.seat):
            following.state, following.labeler, following.lapsed, following.is_expired = "leased", person, None, False

    def lost(self, claim: Claim) -> str:
        seat = self.seats[claim.seat]
        return WITHDRAWN if seat.state == "closed" and self.tasks[seat.task].is_withdrawn else LOST

    def keep(self, claim: Claim, revision: int | None, size: int) -> bool:
        """Keep a draft, also under an older token. An older revision never overwrites a newer one."""
        seat, key = self.seats[claim.seat], (claim.seat, claim.person, claim.token)
        if not 1 <= claim.token <= seat.token or (seat.state, seat.labeler) == ("done", claim.person):
            return False
        present = self.drafts.get(key)
        if present and revision is not None and present[0] >= revision:
            return False
        self.drafts[key] = ((present[0] + 1 if present else 1) if revision is None else revision, size)
        return True

    def submit(self, claim: Claim, submission: UUID, body: int, ahead: Claim | None) -> Any:
        if before := self.stored.get(submission):
            return submission if (before.seat, before.person, before.body) == (claim.seat, claim.person, body) else CONFLICT
        if not self.counts(claim):
            return self.lost(claim), self.keep(claim, None, len(BODIES[body]["ratings"]))
        self.end(claim, "done", ahead)
        self.drafts = {key: draft for key, draft in self.drafts.items() if key[:2] != (claim.seat, claim.person)}
        self.stored[submission] = Stored(claim.seat, claim.person, body, 1, None)
        return submission

    def skip(self, claim: Claim, ahead: Claim | None) -> Any:
        if not self.counts(claim):
            return self.lost(claim), False
        self.end(claim, "skipped", ahead)
        seat = self.seats[claim.seat]
        task = self.tasks[seat.task]
        others = [other for other in self.seats if other.task == seat.task]
        left = sum(other.state == "done" or other.slot is not None and other.state in RANKS for other in others)
        if seat.slot is not None and self.batches[seat.batch] != "closed" and left < task.overlap:
            slot = 1 + max(other.slot for other in others if other.slot is not None)
            self.seats.append(Seat(seat.task, seat.batch, slot, task.priority))
        return None

    def revise(self, corrected: UUID, submission: UUID, body: int) -> Any:
        first = self.stored[corrected]
        if before := self.stored.get(submission):
            return submission if (before.seat, before.person, before.body) == (first.seat, first.person, body) else CONFLICT
        if any(other.supersedes == corrected for other in self.stored.values()):
            return CONFLICT
        self.stored[submission] = Stored(first.seat, first.person, body, first.revision + 1, corrected)
        return submission

    def save_draft(self, claim: Claim, revision: int, size: int) -> Any:
        seat = self.seats[claim.seat]
        is_own = (seat.state, seat.labeler) == ("leased", claim.person) or (seat.state, seat.lapsed) == ("open", claim.person)
        is_kept = self.keep(claim, revision, size)
        if seat.token != claim.token or not is_own:
            return self.lost(claim), is_kept
        return self.drafts[claim.seat, claim.person, claim.token][0]

    def extend(self, claim: Claim) -> Any:
        leased = self.held(claim.person, "leased")
        if not self.counts(claim) or leased not in (None, claim.seat):
            return self.lost(claim), False
        seat = self.seats[claim.seat]
        seat.state, seat.labeler, seat.lapsed, seat.is_expired = "leased", claim.person, None, False
        if (n := self.held(claim.person, "reserved")) is not None:
            self.seats[n].is_expired = False
        return None

    def release(self, claim: Claim, state: str) -> bool:
        seat = self.seats[claim.seat]
        return (
            self.let_go(lambda other: other is seat and (other.state, other.labeler, other.token) == (state, claim.person, claim.token))
            == 1
        )

    def shut(self, which: Callable[[Seat], bool]) -> int:
        """Close assignments, so that nobody gets them."""
        chosen = [seat for seat in self.seats if which(seat)]
        for seat in chosen:
            seat.lapsed = seat.lapsed if seat.labeler is None else seat.labeler
            seat.state, seat.labeler, seat.is_expired = "closed", None, False
        return len(chosen)

    def withdraw(self, task: int) -> None:
        self.tasks[task].is_withdrawn = True
        self.shut(lambda seat: seat.task == task and seat.state in ("open", "reserved", "leased"))

    def act(self, batch: int, name: str) -> Any:
        """Change a whole batch."""
        state = self.batches[batch]
        if name in ("pause", "resume"):
            if state != {"pause": "open", "resume": "paused"}[name]:
                return BAD
            self.batches[batch] = {"pause": "paused", "resume": "open"}[name]
            return None
        if state == "closed":
            return BAD
        if name == "close":
            self.batches[batch] = "closed"
            return self.shut(lambda seat: seat.batch == batch and (seat.state == "reserved" or (seat.state, seat.lapsed) == ("open", None)))
        others = [place for n, place in enumerate(self.places) if n != batch and self.batches[n] != "closed"] or [0]
        place = {"first": max(max(others) + 1, 0), "last": min(min(others) - 1, 0), "in order": 0}[name]
        if place == self.places[batch]:
            return BAD
        self.places[batch] = place
        return None

    def change_overlap(self, tasks: list[int], overlap: int) -> queue.OverlapChange | str:
        """Close surplus assignments, or open the missing ones, at the tasks whose overlap changes."""
        opened = closed = in_hand = 0
        if self.batches[self.tasks[tasks[0]].batch] == "closed":
            return BAD
        changed = [task for task in tasks if self.tasks[task].overlap != overlap]
        new = []
        for task in changed:
            self.tasks[task].overlap = overlap
            seats = [seat for seat in self.seats if seat.task == task]
            counted = [seat for seat in seats if seat.slot is not None and seat.state in RANKS]
            for seat in sorted(counted, key=lambda seat: (RANKS[seat.state], seat.lapsed is None, seat.slot))[overlap:]:
                if seat.state == "leased":
                    seat.slot, in_hand = None, in_hand + 1
                elif seat.state != "done":
                    closed += self.shut(lambda other, seat=seat: other is seat)
            if (missing := overlap - len(counted)) <= 0 or self.tasks[task].is_withdrawn:
                continue
            last = max(seat.slot for seat in seats if seat.slot is not None)
            spare = [seat for seat in seats if seat.state == "closed" or seat.slot is None and seat.state in RANKS]
            spare.sort(key=lambda seat: (RANKS.get(seat.state, 4), seat.slot or 0))
            for place, seat in enumerate(spare[:missing], 1):
                seat.slot = last + place if seat.slot is None else seat.slot
                seat.state, seat.priority = "open" if seat.state == "closed" else seat.state, self.tasks[task].priority
                opened += seat.state == "open"
            new += [(place, -self.tasks[task].priority, task, last + place) for place in range(len(spare) + 1, missing + 1)]
        self.seats += [Seat(task, self.tasks[task].batch, slot, -priority) for _, priority, task, slot in sorted(new)]
        return queue.OverlapChange(opened + len(new), closed, in_hand)

    def return_lease(self, n: int) -> int | str:
        holder = self.seats[n].labeler
        is_held = self.let_go(lambda seat: seat is self.seats[n] and seat.state in ("leased", "reserved"))
        return holder if is_held and holder is not None else BAD

    def prioritise(self, task: int) -> int:
        first = self.tasks[task]
        if self.batches[first.batch] == "closed":
            return 0
        first.priority = 1 + max(other.priority for other in self.tasks if other.batch == first.batch)
        for seat in self.seats:
            if seat.task == task and seat.state not in ("done", "skipped"):
                seat.priority = first.priority
        return 1


class QueueMachine(RuleBasedStateMachine):
    """Asks the real functions and the model the same, and compares."""

    n_steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.model, self.project = Model(), make.project()
        self.people = [make.person(name, self.project) for name in NAMES]
        self.solutions: list[Solution] = []
        self.batches: list[Any] = []
        self.claims: list[Claim] = []
        self.sent: list[tuple[Claim, UUID, int]] = []
        self.n_ids = 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undo.__exit__(None, None, None)

    # --- what both are asked ------------------------------------------------------------------------------------------------

    def rows(self) -> list[Assignment]:
        return list(Assignment.objects.filter(batch__project=self.project).order_by("pk"))

    def key(self, seat: int) -> int:
        return self.rows()[seat].pk

    def asked(self, act: Callable[[], Any]) -> Any:
        """Return what the real function returns, or its refusal in the model's words."""
        try:
            return act()
        except tuple(ERRORS) as error:
            word = next(word for kind, word in ERRORS.items() if isinstance(error, kind))
            return (word, error.kept) if isinstance(error, queue.LeaseLost) else word

    def taken(self, person: int, lease: Any) -> Any:
        if not isinstance(lease, queue.Lease):
            return lease
        keys = [row.pk for row in self.rows()]
        return Claim(person, keys.index(lease.assignment_id), lease.token)

    def agree(self, real: Any, model: Any) -> None:
        """Compare the answers, and then all rows."""
        assert real == model
        QueueMachine.n_steps += 1
        rows, names = self.rows(), {person.pk: n for n, person in enumerate(self.people)}
        assert [(r.state, names.get(r.labeler_id), names.get(r.lapsed_id), r.token, r.slot, r.priority) for r in rows] == [
            (s.state, s.labeler, s.lapsed, s.token, s.slot, s.priority) for s in self.model.seats
        ]
        places = {row.pk: n for n, row in enumerate(rows)}
        drafts = Draft.objects.filter(assignment__in=places)
        assert {(places[d.assignment_id], names[d.labeler_id], d.token): (d.revision, len(d.ratings)) for d in drafts} == self.model.drafts
        annotations = {a.pk: a for a in Annotation.objects.filter(assignment__in=places)}
        ends = [body["finish_reason"] for body in BODIES]
        assert {
            a.submission_id: Stored(
                places[a.assignment_id], names[a.labeler_id], ends.index(a.finish_reason), a.revision,
                annotations[a.supersedes_id].submission_id if a.supersedes_id else None,
            ) for a in annotations.values()
        } == self.model.stored  # fmt: skip

    def claim(self, index: int, by: int | None = None) -> Claim:
        claim = self.claims[-1 - index % len(self.claims)]
        return claim if by is None else Claim(by, claim.seat, claim.token)

    def ahead(self, claim: Claim, index: int | None) -> Claim | None:
        """A claim of the same person on another assignment, which their tab may hold as prepared."""
        own = [other for other in self.claims if other.person == claim.person and other.seat != claim.seat]
        return None if index is None or not own else own[-1 - index % len(own)]

    def new_id(self) -> UUID:
        self.n_ids += 1
        return UUID(int=self.n_ids)

    def send(self, claim: Claim, submission: UUID, body: int, ahead: Claim | None) -> None:
        self.sent.append((claim, submission, body))
        following = queue.Claim(self.key(ahead.seat), ahead.token) if ahead else None
        given = {"labeler": self.people[claim.person], "token": claim.token, "submission_id": submission, "ahead": following}
        real = self.asked(lambda: labels.submit(self.key(claim.seat), **given, **BODIES[body], **TIMES).submission_id)
        self.agree(real, self.model.submit(claim, submission, body, ahead))

    # --- the steps ----------------------------------------------------------------------------------------------------------

    @initialize(count=st.integers(1, 3), overlap=st.integers(1, 3))
    def first_batch(self, count: int, overlap: int) -> None:
        self.publish(count, overlap)

    @precondition(lambda self: len(self.batches) < 4)
    @rule(count=st.integers(1, 2), overlap=st.integers(1, 3))
    def publish(self, count: int, overlap: int) -> None:
        new = make.solutions(self.project, count)
        chosen = [queue.Chosen(solution_id=solution.pk, priority=place % 2) for place, solution in enumerate(new)]
        self.batches.append(queue.open_batch(self.project, chosen, overlap=overlap))
        self.solutions += new
        self.agree(None, self.model.publish(count=count, overlap=overlap))

    @rule(person=PERSON)
    def lease_next(self, person: int) -> None:
        real = self.taken(person, self.asked(lambda: queue.lease_next(self.people[person], project=self.project)))
        self.agree(real, self.model.lease_next(person))
        self.claims += [real] if isinstance(real, Claim) else []

    @rule(person=PERSON)
    def reserve_next(self, person: int) -> None:
        real = self.taken(person, self.asked(lambda: queue.reserve_next(self.people[person], project=self.project)))
        self.agree(real, self.model.reserve_next(person))
        self.claims += [real] if isinstance(real, Claim) else []

    @precondition(lambda self: self.claims)
    @rule(index=INDEX, body=BODY, ahead=st.none() | INDEX)
    def submit(self, index: int, body: int, ahead: int | None) -> None:
        claim = self.claim(index)
        self.send(claim, self.new_id(), body, self.ahead(claim, ahead))

    @precondition(lambda self: self.claims)
    @rule(index=INDEX, body=BODY, by=PERSON)
    def submit_with_the_claim_of_another(self, index: int, body: int, by: int) -> None:
        self.send(self.claim(index, by), self.new_id(), body, None)

    @precondition(lambda self: self.sent)
    @rule(index=INDEX, body=st.none() | BODY)
    def send_a_submit_again(self, index: int, body: int | None) -> None:
        claim, submission, first = self.sent[-1 - index % len(self.sent)]
        self.send(claim, submission, first if body is None else body, None)

    @precondition(lambda self: self.claims)
    @rule(index=INDEX, ahead=st.none() | INDEX)
    def skip(self, index: int, ahead: int | None) -> None:
        claim = self.claim(index)
        prepared = self.ahead(claim, ahead)
        following = queue.Claim(self.key(prepared.seat), prepared.token) if prepared else None
        given = {"labeler": self.people[claim.person], "token": claim.token, "reason": "", "ahead": following}
        self.agree(self.asked(lambda: labels.skip(self.key(claim.seat), **given)), self.model.skip(claim, prepared))

    @precondition(lambda self: self.claims)
    @rule(index=INDEX, revision=st.integers(0, 4), size=st.integers(1, 3))
    def save_a_draft(self, index: int, revision: int, size: int) -> None:
        claim = self.claim(index)
        given = {"labeler": self.people[claim.person], "token": claim.token, "revision": revision, "ratings": rated(*[1] * size)}
        real = self.asked(lambda: labels.save_draft(self.key(claim.seat), **given))
        self.agree(real, self.model.save_draft(claim, revision, size))

    @precondition(lambda self: self.model.stored)
    @rule(index=INDEX, body=BODY, again=st.booleans())
    def revise(self, index: int, body: int, again: bool) -> None:
        stored = list(self.model.stored)
        corrected = stored[-1 - index % len(stored)]
        submission = stored[-1] if again else self.new_id()
        annotation = Annotation.objects.get(submission_id=corrected)
        given = {"labeler": self.people[self.model.stored[corrected].person], "submission_id": submission, **BODIES[body], **TIMES}
        real = self.asked(lambda: labels.revise(annotation.pk, **given).submission_id)
        self.agree(real, self.model.revise(corrected, submission, body))

    @precondition(lambda self: self.claims)
    @rule(index=INDEX)
    def extend(self, index: int) -> None:
        claim = self.claim(index)
        real = self.asked(lambda: queue.extend_lease(self.key(claim.seat), labeler=self.people[claim.person], token=claim.token))
        self.agree(real if isinstance(real, tuple) else None, self.model.extend(claim))

    @precondition(lambda self: self.claims)
    @rule(index=INDEX)
    def give_back(self, index: int) -> None:
        claim = self.claim(index)
        real = self.asked(lambda: queue.release(self.key(claim.seat), labeler=self.people[claim.person], token=claim.token))
        self.agree(real, None if self.model.release(claim, "leased") else (LOST, False))

    @precondition(lambda self: self.claims)
    @rule(index=INDEX)
    def close_a_tab(self, index: int) -> None:
        claim = self.claim(index)
        real = queue.release_reserved(self.key(claim.seat), labeler=self.people[claim.person], token=claim.token)
        self.agree(real, self.model.release(claim, "reserved"))

    @precondition(lambda self: any(seat.state in ("leased", "reserved") for seat in self.model.seats))
    @rule(index=INDEX)
    def let_time_pass(self, index: int) -> None:
        """Move the end of one lease into the past, by the database's clock."""
        taken = [n for n, seat in enumerate(self.model.seats) if seat.state in ("leased", "reserved")]
        seat = taken[index % len(taken)]
        past = ExpressionWrapper(Now() - timedelta(minutes=1), output_field=DateTimeField())
        Assignment.objects.filter(pk=self.key(seat)).update(lease_expires_at=past)
        self.model.seats[seat].is_expired = True

    @rule()
    def sweep(self) -> None:
        self.agree(queue.release_expired(), self.model.sweep())

    @rule(index=INDEX)
    def withdraw(self, index: int) -> None:
        task = index % len(self.solutions)
        queue.withdraw(Solution.objects.filter(pk=self.solutions[task].pk), actor=None)
        self.agree(None, self.model.withdraw(task))

    @rule(index=INDEX, act=st.sampled_from([*ACTS]))
    def change_a_batch(self, index: int, act: str) -> None:
        batch = index % len(self.batches)
        self.agree(self.asked(lambda: ACTS[act](self.batches[batch], actor=None)), self.model.act(batch, act))

    @rule(index=INDEX, overlap=st.integers(1, 4), task=st.none() | INDEX)
    def change_the_overlap(self, index: int, overlap: int, task: int | None) -> None:
        batch = index % len(self.batches)
        tasks = [n for n, known in enumerate(self.model.tasks) if known.batch == batch]
        if task is None:
            expected = self.asked(lambda: queue.overlap_effect(self.batches[batch], overlap))
            real = self.asked(lambda: queue.change_overlap(self.batches[batch], overlap, actor=None))
            assert real in (expected, BAD)
        else:
            tasks = [tasks[task % len(tasks)]]
            keys = [self.solutions[tasks[0]].task_set.get().pk]
            real = self.asked(lambda: queue.change_overlap(self.batches[batch], overlap, actor=None, tasks=keys))
        self.agree(real, self.model.change_overlap(tasks, overlap))

    @rule(index=INDEX)
    def return_a_lease(self, index: int) -> None:
        held = [n for n, seat in enumerate(self.model.seats) if seat.labeler is not None]
        seat = held[-1 - index % len(held)] if held else 0
        real = self.asked(lambda: queue.return_lease(self.key(seat), project=self.project, actor=None))
        self.agree(real if isinstance(real, str) else self.people.index(real), self.model.return_lease(seat))

    @rule(index=INDEX)
    def prioritise(self, index: int) -> None:
        task = index % len(self.solutions)
        real = queue.prioritise(Solution.objects.filter(pk=self.solutions[task].pk), actor=None)
        self.agree(real, self.model.prioritise(task))

    @rule(person=PERSON, is_suspended=st.booleans())
    def suspend(self, person: int, is_suspended: bool) -> None:
        Membership.objects.filter(user=self.people[person]).update(suspended_at=Now() if is_suspended else None)
        (self.model.suspended.add if is_suspended else self.model.suspended.discard)(person)

    @rule(person=PERSON, is_active=st.booleans())
    def close_an_account(self, person: int, is_active: bool) -> None:
        type(self.people[person]).objects.filter(pk=self.people[person].pk).update(is_active=is_active)
        (self.model.closed_accounts.discard if is_active else self.model.closed_accounts.add)(person)


def walk(form: str, *, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
    """Walk random sequences: the same ones in each short run, new ones in each long run, which prints how to repeat a failure."""
    examples, steps = STEPS[form]
    limits = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None, derandomize=form != "long", print_blob=True,
        suppress_health_check=list(HealthCheck), phases=phases,
    )  # fmt: skip
    QueueMachine.n_steps = 0
    run_state_machine_as_test(QueueMachine, settings=limits)
    print(f"{QueueMachine.n_steps:,} steps in {examples} sequences")


def test_the_queue_does_what_its_model_does() -> None:
    walk("short")
    assert QueueMachine.n_steps > 500


@pytest.mark.long
def test_the_queue_does_what_its_model_does_in_the_long_form() -> None:
    walk("long")
    assert QueueMachine.n_steps >= 5_000


MUTANTS = {
    "a claim that keeps the token": (leases, "NEXT_ASSIGNMENT", "THEN 0 ELSE 1 END", "THEN 0 ELSE 0 END"),
    "an old draft over a new one": (sittings, "KEEP_DRAFT", "d.revision < %(revision)s::int", "d.revision <> %(revision)s::int"),
    "a closed place that stays closed": (changing, "RAISE_OVERLAP", "WHEN 'closed' THEN 'open' ELSE", "WHEN 'closed' THEN 'closed' ELSE"),
}


RARE = "a closed place that stays closed"  # a long search


@pytest.mark.parametrize("mutant", [pytest.param(name, marks=pytest.mark.long) if name == RARE else name for name in MUTANTS])
def test_the_model_sees_a_fault(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, right, wrong = MUTANTS[mutant]
    statement = getattr(module, name)
    assert right in statement
    monkeypatch.setattr(module, name, statement.replace(right, wrong))
    with pytest.raises((AssertionError, ExceptionGroup)):
        walk("search", phases=(Phase.generate,))  # one failure is enough, however long its sequence


def test_a_submit_counts_when_another_assignment_of_the_prepared_task_was_taken_meanwhile() -> None:
    project = make.project()
    ann, ben = make.ann(project), make.ben(project)
    make.batch(project, make.solutions(project, 2), overlap=2)
    lease, other = queue.lease_next(ann, project=project), queue.lease_next(ben, project=project)
    prepared = queue.reserve_next(ann, project=project)
    assert prepared and queue.release_reserved(prepared.assignment_id, labeler=ann, token=prepared.token)
    queue.release(other.assignment_id, labeler=ben, token=other.token)
    again = queue.reserve_next(ann, project=project)
    assert again and again.assignment_id == other.assignment_id
    ahead = queue.Claim(prepared.assignment_id, prepared.token)
    given = {"labeler": ann, "token": lease.token, "submission_id": UUID(int=1), "ahead": ahead}
    assert labels.submit(lease.assignment_id, **given, **BODIES[0], **TIMES).revision == 1
