"""Races on the queue, with real threads at a barrier and an assertion on the whole table."""

import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, F
from django.db.models.functions import Now

from annotation import labels, queue
from annotation.models import Annotation, Assignment, Draft, Project, Solution, StepLabel, Task
from tests import make
from tests.racing import after_waiting, rounds

pytestmark = pytest.mark.django_db(transaction=True)


def submit(lease: queue.Lease, labeler: User, submission_id: uuid.UUID, *ratings: int) -> Annotation:
    return labels.submit(
        lease.assignment_id,
        labeler=labeler,
        token=lease.token,
        submission_id=submission_id,
        active_ms=1,
        total_ms=1,
        ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
        finish_reason="found_error",
    )


def no_rule_is_broken(project: Project) -> None:
    """Check the whole table: each task has as many assignments as its overlap, and no person twice; nobody has two leases."""
    assignments = Assignment.objects.filter(batch__project=project)
    standing = assignments.exclude(state="skipped").filter(slot__isnull=False)
    for task, overlap in Task.objects.filter(batch__project=project).values_list("pk", "overlap"):
        assert standing.filter(task=task).count() == overlap
    assert not assignments.exclude(labeler=None).values("task", "labeler").annotate(n=Count("pk")).filter(n__gt=1).exists()
    assert not assignments.filter(state="leased").values("labeler").annotate(n=Count("pk")).filter(n__gt=1).exists()


@pytest.mark.parametrize("times", [60, pytest.param(200, marks=pytest.mark.long)])
def test_sixteen_labelers_at_once_share_fifteen_assignments_again_and_again(times: int) -> None:
    project = make.project(overlap=3)
    people = [make.person(f"labeler{number}", project) for number in range(16)]
    chosen = make.solutions(project, 5 * times)

    def publish(number: int) -> None:
        make.batch(project, chosen[5 * number : 5 * number + 5])

    def count(number: int, outcomes: list) -> None:
        leases = [one for one in outcomes if isinstance(one, queue.Lease)]
        assert [one for one in outcomes if not isinstance(one, queue.Lease | queue.NothingToLabel)] == []
        assert len({lease.assignment_id for lease in leases}) == len(leases) == 15
        assert set(Counter(lease.solution_id for lease in leases).values()) == {3}
        assert Assignment.objects.filter(state="leased").update(state="done") == 15

    asking = [lambda _, person=person: queue.lease_next(person, project=project) for person in people]
    rounds(times, asking, before=publish, after=count)
    assert Counter(Assignment.objects.values_list("state", "token")) == {("done", 1): 15 * times}
    per_task = Assignment.objects.values("task").annotate(assignments=Count("pk"), people=Count("labeler", distinct=True))
    assert Counter(per_task.values_list("assignments", "people")) == {(3, 3): 5 * times}


def test_eight_tabs_of_one_labeler_get_one_lease() -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 30))

    def same(_: int, outcomes: list) -> None:
        assert len({(lease.assignment_id, lease.token) for lease in outcomes}) == 1
        assert Assignment.objects.filter(state="leased").update(state="done") == 1

    asking = [lambda _: queue.lease_next(ann, project=project)] * 8
    rounds(30, asking, before=lambda _: None, after=same)
    assert Assignment.objects.filter(state="done", token=1).count() == 30


@pytest.mark.parametrize(("task", "kind"), [("gold", "selected"), ("normal", "screening")], ids=["gold", "screening"])
def test_eight_tabs_of_one_labeler_get_one_assignment_made_on_demand(task: str, kind: str) -> None:
    project = make.project(gold_percent=100)
    ann = make.ann(project)
    queue.open_batch(project, [queue.Chosen(one.pk, kind=task) for one in make.solutions(project, 20)], kind=kind)

    def same(_: int, outcomes: list) -> None:
        assert len({lease.assignment_id for lease in outcomes}) == 1
        assert Assignment.objects.filter(state="leased").update(state="done") == 1

    asking = [lambda _: queue.lease_next(ann, project=project)] * 8
    rounds(20, asking, before=lambda _: None, after=same)
    assert Counter(Assignment.objects.values_list("slot", "state")) == {(None, "done"): 20}


def test_two_tabs_that_submit_and_prepare_at_once_leave_one_lease_one_reservation_and_the_overlap_whole() -> None:
    project = make.project(overlap=2)
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 45))
    held: list[tuple[queue.Lease, queue.Claim]] = []

    def prepare(_: int) -> None:
        lease = queue.lease_next(ann, project=project)
        ahead = queue.reserve_next(ann, project=project)
        held.append((lease, queue.Claim(ahead.assignment_id, ahead.token)))

    def hand_in(number: int) -> Annotation:
        lease, ahead = held[number]
        return labels.submit(
            lease.assignment_id,
            labeler=ann,
            token=lease.token,
            submission_id=uuid.UUID(int=number),
            active_ms=1,
            total_ms=1,
            ratings=[{"step": 0, "rating": -1}],
            finish_reason="found_error",
            ahead=ahead,
        )

    def check(number: int, outcomes: list) -> None:
        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert outcomes[0] == outcomes[1]
        states = Counter(Assignment.objects.filter(labeler=ann).exclude(state="done").values_list("state", flat=True))
        assert states["leased"] <= 1 and states["reserved"] <= 1
        no_rule_is_broken(project)

    acts = [
        hand_in,
        hand_in,
        lambda _: queue.reserve_next(ann, project=project),
        lambda _: queue.lease_next(ann, project=project),
        lambda _: queue.reserve_next(ann, project=project),
    ]
    rounds(40, acts, before=prepare, after=check)
    assert Annotation.objects.count() == 40


def test_a_submit_and_a_preparation_at_once_step_over_no_solution() -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 61))
    order = list(Assignment.objects.order_by("pk").values_list("pk", flat=True))
    held: list[queue.Lease] = []

    def hand_in(number: int) -> queue.Lease:
        submit(held[number], ann, uuid.UUID(int=number), 1, -1)
        return queue.lease_next(ann, project=project)

    def check(number: int, outcomes: list) -> None:
        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert outcomes[0].assignment_id == order[number + 1]

    def prepare(number: int) -> None:
        for _ in range(number % 12):  # each round starts at another moment of the submit, whose statements take as long as these
            Project.objects.get(pk=project.pk)
        queue.reserve_next(ann, project=project)

    acts = [hand_in, prepare]
    rounds(60, acts, before=lambda _: held.append(queue.lease_next(ann, project=project)), after=check)


def test_a_doubled_submit_is_one_annotation() -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 30))
    leases: list[queue.Lease] = []
    twice = [lambda number: submit(leases[number], ann, uuid.UUID(int=number), 1, -1)] * 2

    def one(_: int, outcomes: list) -> None:
        assert outcomes[0] == outcomes[1] and isinstance(outcomes[0], Annotation)

    rounds(30, twice, before=lambda _: leases.append(queue.lease_next(ann, project=project)), after=one)
    assert (Annotation.objects.count(), StepLabel.objects.count(), Draft.objects.count()) == (30, 60, 0)
    assert Counter(Assignment.objects.values_list("state", flat=True)) == {"done": 30}


def test_two_bodies_under_one_submission_id_are_one_annotation_and_one_conflict() -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 30))
    leases: list[queue.Lease] = []

    def one_of_each(_: int, outcomes: list) -> None:
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Annotation", "SubmissionConflict"]

    bodies = [lambda number, rating=rating: submit(leases[number], ann, uuid.UUID(int=number), rating, -1) for rating in (0, 1)]
    rounds(30, bodies, before=lambda _: leases.append(queue.lease_next(ann, project=project)), after=one_of_each)
    assert (Annotation.objects.count(), StepLabel.objects.count()) == (30, 60)


def test_a_late_submit_and_the_next_labeler_never_both_get_the_assignment() -> None:
    project = make.project()
    ann, ben = make.ann(project), make.ben(project)
    chosen = make.solutions(project, 40)
    leases: list[queue.Lease] = []

    def lapse(number: int) -> None:
        make.batch(project, [chosen[number]])
        leases.append(queue.lease_next(ann, project=project))
        Assignment.objects.filter(state="leased").update(lease_expires_at=Now() - timedelta(minutes=10))
        assert queue.release_expired() == 1

    def one_wins(number: int, outcomes: list) -> None:
        late, taken = outcomes
        if isinstance(late, Annotation):
            assert isinstance(taken, queue.NothingToLabel)
        else:
            assert isinstance(late, queue.LeaseLost) and late.kept and isinstance(taken, queue.Lease)
            assert len(Draft.objects.get(assignment=leases[number].assignment_id).ratings) == 2
            submit(taken, ben, uuid.uuid4(), -1)

    rounds(
        40,
        [lambda number: submit(leases[number], ann, uuid.UUID(int=number), 1, -1), lambda _: queue.lease_next(ben, project=project)],
        before=lapse,
        after=one_wins,
    )
    assert Annotation.objects.count() == Assignment.objects.filter(state="done").count() == 40
    no_rule_is_broken(project)


def test_the_sweeper_and_a_submit_at_the_same_moment_lose_nothing() -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 40))
    leases: list[queue.Lease] = []

    def run_out(_: int) -> None:
        leases.append(queue.lease_next(ann, project=project))
        Assignment.objects.filter(state="leased").update(lease_expires_at=Now() - timedelta(minutes=10))

    def stored(_: int, outcomes: list) -> None:
        assert isinstance(outcomes[0], Annotation)

    acts = [lambda number: submit(leases[number], ann, uuid.UUID(int=number), 1, -1), *[lambda _: queue.release_expired()] * 3]
    rounds(40, acts, before=run_out, after=stored)
    assert Counter(Assignment.objects.values_list("state", flat=True)) == {"done": 40}


def test_a_submit_in_one_tab_and_a_reload_in_another_agree() -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 61))
    leases: list[queue.Lease] = []

    def held_or_next(number: int, outcomes: list) -> None:
        stored, lease = outcomes
        assert isinstance(stored, Annotation) and lease.expires_at is not None
        assert (lease.assignment_id == leases[number].assignment_id) or Assignment.objects.get(state="leased").pk == lease.assignment_id

    acts = [lambda number: submit(leases[number], ann, uuid.UUID(int=number), 1, -1), lambda _: queue.lease_next(ann, project=project)]
    rounds(60, acts, before=lambda _: leases.append(queue.lease_next(ann, project=project)), after=held_or_next)
    assert Annotation.objects.count() == 60
    no_rule_is_broken(project)


def test_skips_at_once_keep_the_overlap_whole() -> None:
    project = make.project(overlap=4)
    people = [make.person(f"labeler{number}", project) for number in range(4)]
    chosen = make.solutions(project, 20)
    leases: dict[User, queue.Lease] = {}

    def lease_all(number: int) -> None:
        batch = make.batch(project, [chosen[number]])
        leases.update({person: queue.lease_next(person, project=project) for person in people})
        queue.pause_batch(batch, actor=None)  # the next round gets its own solution

    def skip(person: User) -> None:
        labels.skip(leases[person].assignment_id, labeler=person, token=leases[person].token, reason="")

    def all_skipped(_: int, outcomes: list) -> None:
        assert outcomes == [None] * 4

    rounds(20, [lambda _, person=person: skip(person) for person in people], before=lease_all, after=all_skipped)
    assert Counter(Assignment.objects.values_list("state", flat=True)) == {"skipped": 80, "open": 80}
    no_rule_is_broken(project)


def test_a_solution_published_by_two_at_once_is_queued_once() -> None:
    project = make.project()
    chosen = make.solutions(project, 20)

    def one_publishes(_: int, outcomes: list) -> None:
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["BadBatch", "BadBatch", "Batch"]

    rounds(20, [lambda number: make.batch(project, [chosen[number]])] * 3, before=lambda _: None, after=one_publishes)
    assert Counter(Task.objects.values_list("solution", flat=True)) == {one.pk: 1 for one in chosen}


def test_drafts_saved_at_once_leave_the_newest() -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 1))
    lease = queue.lease_next(ann, project=project)

    def save(revision: int) -> int:
        return labels.save_draft(
            lease.assignment_id, labeler=ann, token=lease.token, revision=revision, ratings=[{"step": 0, "rating": revision % 2}]
        )

    def newest(number: int, outcomes: list) -> None:
        assert outcomes[5] == 10 * number + 5 and all(10 * number <= revision <= 10 * number + 5 for revision in outcomes)
        assert (Draft.objects.get().revision, Draft.objects.get().ratings[0]["rating"]) == (10 * number + 5, 1)

    rounds(30, [lambda number, place=place: save(10 * number + place) for place in range(6)], before=lambda _: None, after=newest)


# --- one act that waits for another ---------------------------------------------------------------------------------------------


def withdraw_all() -> int:
    return queue.withdraw(Solution.objects.all(), actor=None)


def test_a_withdrawal_that_waited_for_a_submit_leaves_its_assignment_done() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    lease = queue.lease_next(make.ann(project), project=project)
    assert after_waiting(withdraw_all, first=lambda: submit(lease, make.ann(), uuid.uuid4(), 1, -1)) == 1
    assert Assignment.objects.values_list("state", "labeler").get() == ("done", make.ann().pk)


def test_a_withdrawal_that_waited_for_a_skip_closes_what_the_skip_opened() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    lease = queue.lease_next(make.ann(project), project=project)

    def skip() -> None:
        labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="")

    assert after_waiting(withdraw_all, first=skip) == 1
    assert list(Assignment.objects.order_by("slot").values_list("state", flat=True)) == ["skipped", "closed"]


def test_a_submit_and_a_withdrawal_do_not_wait_for_each_other() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    lease = queue.lease_next(make.ann(project), project=project)
    hold = Assignment.objects.select_for_update().filter(pk=lease.assignment_id)  # what a submit locks first

    def stored() -> Annotation:
        return submit(lease, make.ann(), uuid.uuid4(), 1, -1)

    assert after_waiting(withdraw_all, first=hold.get, then=stored) == 1
    assert Annotation.objects.count() == 1 and Assignment.objects.get().state == "done"


def test_a_page_of_another_project_that_waited_for_a_submit_leaves_its_assignment_done() -> None:
    sums, words = make.project(), make.project("words")
    for project in (sums, words):
        make.batch(project, make.solutions(project, 1))
        make.ann(project)
    lease = queue.lease_next(make.ann(), project=sums)
    opened = after_waiting(
        lambda: queue.lease_next(make.ann(), project=words), first=lambda: submit(lease, make.ann(), uuid.uuid4(), 1, -1)
    )
    assert isinstance(opened, queue.Lease) and opened.project == words
    assert Assignment.objects.get(pk=lease.assignment_id).state == "done"


# --- questions that are made on demand, and withdrawn ---------------------------------------------------------------------------


ON_DEMAND = pytest.mark.parametrize(("task", "kind"), [("gold", "selected"), ("normal", "practice"), ("normal", "screening")])


def asked_on_demand(task: str, kind: str, *, count: int) -> tuple[Project, list[Solution]]:
    project = make.project(gold_percent=100)
    make.ann(project)
    solutions = make.solutions(project, count)
    queue.open_batch(project, [queue.Chosen(one.pk, kind=task) for one in solutions], kind=kind)
    return project, solutions


def held() -> list[int]:
    """Return the solutions that somebody holds."""
    return list(Assignment.objects.filter(state__in=["leased", "reserved"]).values_list("task__solution", flat=True))


@ON_DEMAND
def test_a_claim_that_came_while_its_question_was_withdrawn_gets_the_next_one(task: str, kind: str) -> None:
    project, [first, second] = asked_on_demand(task, kind, count=2)
    lease = after_waiting(
        lambda: queue.lease_next(make.ann(), project=project),
        first=lambda: queue.withdraw(Solution.objects.filter(pk=first.pk), actor=None),
    )
    assert isinstance(lease, queue.Lease) and lease.solution_id == second.pk
    assert held() == [second.pk]


@ON_DEMAND
def test_a_withdrawal_that_came_while_its_question_was_claimed_closes_it(task: str, kind: str) -> None:
    project, _ = asked_on_demand(task, kind, count=1)
    assert after_waiting(withdraw_all, first=lambda: queue.lease_next(make.ann(), project=project)) == 1
    assert Assignment.objects.values_list("state", flat=True).get() == "closed"


@pytest.mark.parametrize(("task", "kind"), [("gold", "selected"), ("normal", "screening")])
def test_a_reservation_waits_for_no_withdrawal_and_takes_another_question(task: str, kind: str) -> None:
    project, [first, second, third] = asked_on_demand(task, kind, count=3)
    assert queue.lease_next(make.ann(), project=project).solution_id == first.pk

    def wait_for_the_lease() -> None:  # as the withdrawal of both solutions does: the reservation has locked the lease
        assert queue.reserve_next(make.ann(), project=project).solution_id == third.pk
        assert held() == [first.pk, third.pk]

    with transaction.atomic():
        queue.withdraw(Solution.objects.filter(pk=second.pk), actor=None)
        [outcome] = make.at_once([wait_for_the_lease])
    assert outcome is None


@ON_DEMAND
def test_claims_and_withdrawals_at_once_leave_nobody_with_a_withdrawn_question(task: str, kind: str) -> None:
    project, solutions = asked_on_demand(task, kind, count=20)

    def none_is_held(number: int, outcomes: list) -> None:
        assert outcomes[1] == 1 and isinstance(outcomes[0], queue.Lease | queue.NothingToLabel | queue.NotQualified)
        assert not Solution.objects.filter(pk__in=held(), withdrawn_at__isnull=False).exists()
        assert Assignment.objects.filter(state="leased").update(state="open", lapsed=F("labeler"), labeler=None) <= 1

    acts = [
        lambda _: queue.lease_next(make.ann(), project=project),
        lambda number: queue.withdraw(Solution.objects.filter(pk=solutions[number].pk), actor=None),
    ]
    rounds(20, acts, before=lambda _: None, after=none_is_held)
