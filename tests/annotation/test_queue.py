"""Stage queue: what is published, who gets what next, and whose claim still counts."""

import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from annotation import labels, queue
from annotation.models import Assignment, Batch, BatchKind, Event, GoldAnswer, Membership, Project, SeatState, Solution, Task, TaskKind
from annotation.queue import leases
from annotation.queue.statements import NEXT_SEAT
from tests import make

pytestmark = pytest.mark.django_db


def expire(lease: queue.Lease) -> None:
    Assignment.objects.filter(pk=lease.assignment_id).update(lease_expires_at=Now() - timedelta(seconds=1))


def seat(lease: queue.Lease) -> Assignment:
    return Assignment.objects.get(pk=lease.assignment_id)


def finish(lease: queue.Lease) -> None:
    """End a lease as a submit does, without labels."""
    assert Assignment.objects.filter(pk=lease.assignment_id, state=SeatState.LEASED).update(state=SeatState.DONE) == 1


def published(of: Project, count: int, **options: object) -> list[Solution]:
    chosen = make.solutions(of, count)
    make.batch(of, chosen, **options)
    return chosen


# --- publishing ---------------------------------------------------------------------------------------------------------


def test_a_batch_has_one_seat_per_slot_of_every_task() -> None:
    project = make.project(overlap=3)
    batch = make.batch(project, make.solutions(project, 4))
    assert Counter(Assignment.objects.filter(batch=batch, state="open").values_list("task", flat=True)) == dict.fromkeys(
        Task.objects.values_list("pk", flat=True), 3
    )


def test_the_next_batch_has_the_next_generation() -> None:
    project = make.project()
    assert [make.batch(project, make.solutions(project, 1)).generation for _ in range(3)] == [0, 1, 2]


def test_a_screening_batch_has_generation_minus_one() -> None:
    project = make.project()
    assert make.batch(project, make.solutions(project, 1), kind=BatchKind.SCREENING).generation == -1


def test_priority_and_verifier_score_are_kept_with_the_task() -> None:
    project = make.project()
    [one] = make.solutions(project, 1)
    queue.open_batch(project, [queue.Chosen(one.pk, priority=7, verifier_score=0.25)])
    assert Task.objects.values_list("priority", "verifier_score").get() == (7, 0.25)


def refused(project: Project, chosen: list[queue.Chosen], **options: object) -> str:
    """Return why the batch is refused, having checked that nothing was written."""
    before = Batch.objects.count(), Task.objects.count(), Assignment.objects.count()
    with pytest.raises(queue.BadBatch) as caught:
        queue.open_batch(project, chosen, **options)
    assert (Batch.objects.count(), Task.objects.count(), Assignment.objects.count()) == before
    return str(caught.value)


def test_a_test_split_problem_is_never_queued() -> None:
    project = make.project()
    good, planted = make.solution(make.problem(project)), make.solution(make.problem(project, split="test"))
    assert f"the first is solution {planted.pk}" in refused(project, [queue.Chosen(good.pk), queue.Chosen(planted.pk)])


def test_a_test_split_problem_is_no_screening_question_either() -> None:
    project = make.project()
    planted = make.solution(make.problem(project, split="test"))
    assert "test split" in refused(project, [queue.Chosen(planted.pk)], kind=BatchKind.SCREENING)


def test_a_withdrawn_solution_is_not_queued() -> None:
    project = make.project()
    gone = make.solution(make.problem(project), withdrawn_at=Now())
    assert "withdrawn" in refused(project, [queue.Chosen(gone.pk)])


def test_a_solution_is_queued_once_in_a_project() -> None:
    project = make.project()
    [one] = published(project, 1)
    assert "queued before" in refused(project, [queue.Chosen(one.pk)])


def test_a_labeled_solution_may_become_a_gold_question() -> None:
    project = make.project()
    [one] = published(project, 1)
    batch = queue.open_batch(project, [queue.Chosen(one.pk, kind=TaskKind.GOLD)])
    assert not Assignment.objects.filter(batch=batch).exists()


def test_a_solution_of_another_project_is_refused() -> None:
    project, other = make.project(), make.project("other")
    assert "1 of 1 chosen solutions do not exist in Sums" in refused(project, [queue.Chosen(make.solutions(other, 1)[0].pk)])


def test_a_solution_chosen_twice_is_refused() -> None:
    project = make.project()
    [one] = make.solutions(project, 1)
    assert "chosen twice" in refused(project, [queue.Chosen(one.pk), queue.Chosen(one.pk)])


def test_an_empty_batch_is_refused() -> None:
    assert "No solution was chosen" in refused(make.project(), [])


def test_more_than_ten_thousand_tasks_are_refused() -> None:
    assert "10,001 solutions are too many" in refused(make.project(), [queue.Chosen(key) for key in range(10_001)])


def test_an_overlap_of_zero_is_refused() -> None:
    project = make.project()
    assert "overlap of 0" in refused(project, [queue.Chosen(make.solutions(project, 1)[0].pk)], overlap=0)


def test_a_generation_is_published_once() -> None:
    project = make.project()
    published(project, 1, generation=4)
    assert "generation 4 exists already" in refused(project, [queue.Chosen(make.solutions(project, 1)[0].pk)], generation=4)


def test_publishing_costs_the_same_few_statements_for_any_size() -> None:
    project = make.project(overlap=2)
    costs = []
    for size in (2, 200):
        problem = make.problem(project)
        chosen = [queue.Chosen(make.solution(problem, [f"{size} {number}"]).pk) for number in range(size)]
        with CaptureQueriesContext(connection) as caught:
            queue.open_batch(project, chosen)
        costs.append(len(caught))
    assert costs[0] == costs[1] <= 12


def test_a_closed_batch_hands_out_nothing_but_lets_a_lease_end() -> None:
    project = make.project()
    batch = make.batch(project, make.solutions(project, 2))
    lease = queue.lease_next(make.ann(project), project=project)
    queue.close_batch(batch)
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ben(project), project=project)
    assert queue.lease_next(make.ann(), project=project).assignment_id == lease.assignment_id


def test_a_batch_is_closed_once() -> None:
    project = make.project()
    batch = make.batch(project, make.solutions(project, 1))
    queue.close_batch(batch)
    with pytest.raises(queue.BadBatch, match="closed already"):
        queue.close_batch(batch)


def test_a_draft_batch_is_not_handed_out() -> None:
    project = make.project()
    published(project, 1, state="draft")
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ann(project), project=project)


# --- the next task ------------------------------------------------------------------------------------------------------


def test_a_lease_shows_the_problem_the_answer_and_the_steps() -> None:
    project = make.project()
    one = make.solution(make.problem(project, statement="What is 2 + 2?", answer="4"), ["Add.", "It is 4."])
    make.batch(project, [one], generation=3)
    lease = queue.lease_next(make.ann(project), project=project)
    assert (lease.solution_id, lease.problem, lease.reference_answer, lease.steps) == (one.pk, "What is 2 + 2?", "4", ["Add.", "It is 4."])
    assert (lease.token, lease.draft, lease.generation, lease.project) == (1, None, 3, project)


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_hidden_reference_answer_never_leaves_the_database(is_shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make.project(show_reference_answer=is_shown)
    make.batch(project, [make.solution(make.problem(project, answer="canary"))])
    read, row_of = [], leases._first
    monkeypatch.setattr(leases, "_first", lambda statement, **values: read.append(row_of(statement, **values)) or read[-1])
    lease = queue.lease_next(make.ann(project), project=project)
    again = queue.lease_next(make.ann(), project=project)
    assert lease.reference_answer == again.reference_answer == ("canary" if is_shown else None)
    assert any("canary" in row for row in read) == is_shown


def test_the_labelers_path_never_reads_gold() -> None:
    project = make.project(gold_percent=100)
    [gold] = make.solutions(project, 1)
    GoldAnswer.objects.create(solution=gold, acceptable_first_errors=[1])
    queue.open_batch(project, [queue.Chosen(gold.pk, kind=TaskKind.GOLD)])
    with CaptureQueriesContext(connection) as caught:
        assert queue.lease_next(make.ann(project), project=project).solution_id == gold.pk
    assert not any("goldanswer" in query["sql"] for query in caught.captured_queries)


def test_a_lease_lasts_as_long_as_the_project_says() -> None:
    project = make.project(lease_minutes=7)
    published(project, 1)
    held = seat(queue.lease_next(make.ann(project), project=project))
    assert held.lease_expires_at - held.leased_at == timedelta(minutes=7)


def test_the_highest_priority_comes_first_whatever_was_stored_first() -> None:
    project = make.project()
    low, high = make.solutions(project, 2)
    queue.open_batch(project, [queue.Chosen(low.pk, priority=1), queue.Chosen(high.pk, priority=2)])
    assert queue.lease_next(make.ann(project), project=project).solution_id == high.pk


def test_the_oldest_generation_comes_first() -> None:
    project = make.project()
    published(project, 1, generation=5)
    [older] = published(project, 1, generation=2)
    assert queue.lease_next(make.ann(project), project=project).solution_id == older.pk


def test_a_batch_is_covered_once_before_anything_is_labeled_twice() -> None:
    project = make.project(overlap=2)
    published(project, 2)
    ann, ben = queue.lease_next(make.ann(project), project=project), queue.lease_next(make.ben(project), project=project)
    assert ann.solution_id != ben.solution_id


def test_a_second_tab_gets_the_same_task() -> None:
    project = make.project()
    published(project, 3)
    first, second = (queue.lease_next(make.ann(project), project=project) for _ in range(2))
    assert (first.assignment_id, first.token) == (second.assignment_id, second.token)
    assert Assignment.objects.filter(state="leased").count() == 1


def test_asking_again_renews_the_lease() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    assert queue.lease_next(make.ann(project), project=project).expires_at > lease.expires_at - timedelta(minutes=1)
    assert queue.release_expired() == 0


def test_nobody_labels_a_solution_twice() -> None:
    project = make.project(overlap=3)
    published(project, 2)
    given = []
    for _ in range(2):
        lease = queue.lease_next(make.ann(project), project=project)
        given.append(lease.solution_id)
        finish(lease)
    assert len(set(given)) == 2
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ann(project), project=project)


def test_a_solution_goes_to_no_more_people_than_its_overlap() -> None:
    project = make.project(overlap=2)
    published(project, 1)
    for person in (make.ann(project), make.ben(project)):
        queue.lease_next(person, project=project)
    with pytest.raises(queue.NothingToLabel, match="nothing left for you"):
        queue.lease_next(make.olga(project), project=project)


def test_an_empty_batch_in_front_does_not_hide_the_next_one() -> None:
    project = make.project(overlap=2)
    published(project, 1)
    finish(queue.lease_next(make.ann(project), project=project))  # its second seat stays open, but not for ann
    [later] = published(project, 1)
    assert queue.lease_next(make.ann(project), project=project).solution_id == later.pk


def test_the_fast_path_takes_two_statements(django_assert_num_queries) -> None:
    project = make.project()
    published(project, 2)
    ann = make.ann(project)
    with django_assert_num_queries(2 + 2):  # and the savepoint inside a test's transaction
        queue.lease_next(ann, project=project)
    with django_assert_num_queries(2 + 2):
        queue.lease_next(ann, project=project)
    with django_assert_num_queries(2 + 2):
        queue.reserve_next(ann, project=project)


def test_a_reserved_seat_becomes_the_lease() -> None:
    project = make.project()
    published(project, 2)
    ahead = Assignment.objects.order_by("-pk").first()
    Assignment.objects.filter(pk=ahead.pk).update(state="reserved", labeler=make.ann(project), token=1, lease_expires_at=Now())
    lease = queue.lease_next(make.ann(), project=project)
    assert (lease.assignment_id, lease.token, seat(lease).state) == (ahead.pk, 1, "leased")
    assert seat(lease).leased_at is not None


# --- rendered ahead -----------------------------------------------------------------------------------------------------


def claim_of(lease: queue.Lease) -> queue.Claim:
    return queue.Claim(lease.assignment_id, lease.token)


def hand_in(lease: queue.Lease, labeler: User, ahead: queue.Lease | None = None) -> None:
    labels.submit(
        lease.assignment_id, labeler=labeler, token=lease.token, submission_id=uuid.uuid4(), active_ms=1, total_ms=1,
        ratings=[{"step": 0, "rating": -1}], finish_reason="found_error", ahead=ahead and claim_of(ahead),
    )  # fmt: skip


def test_a_reserved_seat_is_nobody_elses() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    assert ahead and (seat(ahead).state, seat(ahead).labeler, seat(ahead).leased_at) == ("reserved", make.ann(), None)
    assert ahead.assignment_id != lease.assignment_id and ahead.steps
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ben(project), project=project)


def test_asking_ahead_again_gives_the_same_seat_renewed() -> None:
    project = make.project()
    published(project, 3)
    queue.lease_next(make.ann(project), project=project)
    first = queue.reserve_next(make.ann(), project=project)
    expire(first)
    again = queue.reserve_next(make.ann(), project=project)
    assert (again.assignment_id, again.token) == (first.assignment_id, first.token)
    assert again.expires_at >= first.expires_at


def test_nothing_is_reserved_where_nothing_is_left() -> None:
    project = make.project()
    published(project, 1)
    queue.lease_next(make.ann(project), project=project)
    assert queue.reserve_next(make.ann(), project=project) is None


def test_nothing_is_reserved_behind_a_seat_that_was_submitted_meanwhile() -> None:
    project = make.project()
    published(project, 3)
    lease = queue.lease_next(make.ann(project), project=project)
    hand_in(lease, make.ann())
    assert queue.reserve_next(make.ann(), project=project) is None
    assert not Assignment.objects.filter(state="reserved").exists()


def test_a_submit_turns_the_reservation_into_the_lease() -> None:
    project = make.project()
    published(project, 3)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    hand_in(lease, make.ann(), ahead)
    assert (seat(lease).state, seat(ahead).state, seat(ahead).token) == ("done", "leased", ahead.token)
    assert seat(ahead).leased_at is not None


def test_after_a_submit_the_lease_ends_as_it_says_and_the_one_behind_it_is_reserved() -> None:
    project = make.project()
    published(project, 3)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    hand_in(lease, make.ann(), ahead)
    expires_at, following = queue.go_on(claim_of(ahead), labeler=make.ann(), project=project)
    assert expires_at == seat(ahead).lease_expires_at
    assert seat(following).state == "reserved"
    assert len({one.solution_id for one in (lease, ahead, following)}) == 3


def test_behind_the_last_solution_nothing_is_reserved() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    hand_in(lease, make.ann(), ahead)
    assert queue.go_on(claim_of(ahead), labeler=make.ann(), project=project)[1] is None


@pytest.mark.parametrize("where", ["of an earlier claim", "not leased yet", "of a paused labeler"])
def test_nobody_goes_on_from_a_claim_that_is_no_lease(where: str) -> None:
    project = make.project()
    published(project, 3)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    claim = claim_of(ahead)
    if where != "not leased yet":
        hand_in(lease, make.ann(), ahead)
    if where == "of an earlier claim":
        claim = queue.Claim(ahead.assignment_id, ahead.token - 1)
    if where == "of a paused labeler":
        Membership.objects.update(suspended_at=Now())
    assert queue.go_on(claim, labeler=make.ann(), project=project) is None
    assert Assignment.objects.filter(state="reserved").count() == (where == "not leased yet")


def test_a_refused_submit_leaves_the_reservation_as_it_was() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    Assignment.objects.filter(pk=lease.assignment_id).update(token=9)
    with pytest.raises(queue.LeaseLost):
        hand_in(lease, make.ann(), ahead)
    assert seat(ahead).state == "reserved"


@pytest.mark.django_db(transaction=True)  # no transaction around it that would undo what the refused statement did
def test_a_submit_of_a_seat_that_was_given_on_leases_nothing() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    Assignment.objects.filter(pk=lease.assignment_id).update(labeler=make.ben(project), token=lease.token + 1)
    with pytest.raises(queue.LeaseLost):
        hand_in(lease, make.ann(), ahead)
    assert seat(ahead).state == "reserved"


@pytest.mark.parametrize("change", [{"token": 9}, {"state": "open", "labeler": None}], ids=["claimed anew", "given back"])
def test_a_reservation_that_is_gone_costs_the_submit_nothing(change: dict) -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    Assignment.objects.filter(pk=ahead.assignment_id).update(**change)
    hand_in(lease, make.ann(), ahead)
    assert seat(lease).state == "done"
    assert queue.go_on(claim_of(ahead), labeler=make.ann(), project=project) is None


def test_who_is_paused_gets_no_reserved_seat_either() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    Membership.objects.update(suspended_at=Now())
    hand_in(lease, make.ann(), ahead)
    assert (seat(lease).state, seat(ahead).state) == ("done", "reserved")


def test_a_late_submit_takes_no_second_lease() -> None:
    project = make.project()
    published(project, 3)
    late = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    expire(late)
    queue.release_expired()
    Assignment.objects.filter(pk=ahead.assignment_id).update(state="open", labeler=None)
    Assignment.objects.filter(pk=late.assignment_id).update(priority=-1)
    queue.lease_next(make.ann(), project=project)
    Assignment.objects.filter(state="open").exclude(pk=late.assignment_id).update(state="reserved", labeler=make.ann(), token=7)
    waiting = Assignment.objects.get(state="reserved")
    assert not queue.lease_reserved(queue.Claim(waiting.pk, 7), labeler=make.ann(), after=0)
    assert Assignment.objects.filter(state="leased").count() == 1


def test_a_skip_turns_the_reservation_into_the_lease_too() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    claim = queue.Claim(ahead.assignment_id, ahead.token)
    labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="not mine", ahead=claim)
    assert (seat(lease).state, seat(ahead).state) == ("skipped", "leased")


def test_only_an_unused_reservation_is_given_back() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    assert not queue.release_reserved(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert not queue.release_reserved(ahead.assignment_id, labeler=make.ben(project), token=ahead.token)
    assert queue.release_reserved(ahead.assignment_id, labeler=make.ann(), token=ahead.token)
    assert (seat(lease).state, seat(ahead).state) == ("leased", "open")


def test_extending_the_lease_extends_the_reservation_behind_it() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    expire(ahead)
    queue.extend_lease(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert queue.release_expired() == 0 and seat(ahead).state == "reserved"


def test_closing_a_batch_gives_its_reservations_back() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    queue.close_batch(Batch.objects.get())
    assert (seat(lease).state, seat(ahead).state) == ("leased", "open")


def test_a_reservation_in_another_project_is_let_go() -> None:
    here, there = make.project("here"), make.project("there")
    published(here, 2), published(there, 2)
    ann = make.ann(here)
    make.ann(there)
    queue.lease_next(ann, project=there)
    old = queue.reserve_next(ann, project=there)
    queue.lease_next(ann, project=here)
    assert queue.reserve_next(ann, project=here).project == here
    assert seat(old).state == "open"


def test_the_seat_rendered_ahead_is_the_one_of_the_next_turn() -> None:
    project = make.project(gold_percent=50)
    ann = make.ann(project)
    golden = {one.pk for one in make.solutions(project, 12)}
    kinds = [queue.Chosen(key, kind=TaskKind.GOLD) for key in golden]
    queue.open_batch(project, kinds + [queue.Chosen(one.pk) for one in make.solutions(project, 12)])
    lease = queue.lease_next(ann, project=project)
    shown = [lease.solution_id in golden]
    for _ in range(9):
        ahead = queue.reserve_next(ann, project=project)
        hand_in(lease, ann, ahead)
        lease = ahead
        shown.append(lease.solution_id in golden)
    assert shown == [queue.is_gold_turn(ann, project=project, turn=turn) for turn in range(10)]
    assert len(set(shown)) == 2


def test_a_screening_question_is_reserved_and_behind_the_last_nothing() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 2), kind=BatchKind.SCREENING)
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    assert ahead.generation == -1
    hand_in(lease, make.ann(), ahead)
    assert queue.reserve_next(make.ann(), project=project) is None


def test_a_lease_in_another_project_is_let_go_with_its_draft_kept() -> None:
    here, there = make.project("here"), make.project("there")
    published(here, 1), published(there, 1)
    ann = make.ann(here)
    make.ann(there)
    lease = queue.lease_next(ann, project=there)
    labels.save_draft(lease.assignment_id, labeler=ann, token=lease.token, revision=1, ratings=[{"step": 0, "rating": 1}])
    queue.lease_next(ann, project=here)
    assert (seat(lease).state, seat(lease).labeler) == ("open", None)
    again = queue.lease_next(ann, project=there)
    assert again.assignment_id == lease.assignment_id and again.draft["ratings"][0]["rating"] == 1


# --- who may label ------------------------------------------------------------------------------------------------------


def not_qualified(person: User, project: Project) -> str:
    with pytest.raises(queue.NotQualified) as caught:
        queue.lease_next(person, project=project)
    assert not Assignment.objects.filter(labeler=person, state="leased").exists()
    return str(caught.value)


def test_a_stranger_gets_nothing() -> None:
    project = make.project()
    published(project, 1)
    assert "not a member" in not_qualified(make.eve(), project)


def test_a_suspended_labeler_gets_nothing() -> None:
    project = make.project()
    published(project, 1)
    ann = make.ann(project)
    Membership.objects.filter(user=ann).update(suspended_at=Now())
    assert "paused" in not_qualified(ann, project)


def test_a_deactivated_account_gets_nothing_and_its_seat_goes_on() -> None:
    project = make.project()
    published(project, 1)
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    User.objects.filter(pk=ann.pk).update(is_active=False)
    expire(lease)
    assert queue.lease_next(make.ben(project), project=project).assignment_id == lease.assignment_id
    assert "deactivated" in not_qualified(ann, project)


def test_without_a_screening_everybody_is_qualified() -> None:
    project = make.project()
    published(project, 1)
    assert Membership.objects.filter(qualified_at__isnull=False).count() == 0
    assert queue.lease_next(make.ann(project), project=project)


def test_newcomers_all_go_through_the_whole_screening_first() -> None:
    project = make.project(overlap=1)
    published(project, 1)
    questions = {one.pk for one in published(project, 2, kind=BatchKind.SCREENING)}
    for person in (make.ann(project), make.ben(project)):
        given = set()
        for _ in range(2):
            lease = queue.lease_next(person, project=project)
            given.add(lease.solution_id)
            finish(lease)
        assert given == questions
        assert "No screening question is left" in not_qualified(person, project)


def test_who_is_qualified_labels_past_the_screening() -> None:
    project = make.project()
    [wanted] = published(project, 1)
    published(project, 1, kind=BatchKind.SCREENING)
    ann = make.ann(project)
    Membership.objects.filter(user=ann).update(qualified_at=Now())
    assert queue.lease_next(ann, project=project).solution_id == wanted.pk


def test_a_closed_screening_admits_nobody_by_itself() -> None:
    project = make.project()
    published(project, 1)
    queue.close_batch(make.batch(project, make.solutions(project, 1), kind=BatchKind.SCREENING))
    assert "No screening question is left" in not_qualified(make.ann(project), project)


# --- gold ---------------------------------------------------------------------------------------------------------------


def with_gold(percent: int) -> tuple[Project, int]:
    project = make.project(gold_percent=percent)
    normal, gold = make.solutions(project, 2)
    queue.open_batch(project, [queue.Chosen(normal.pk, priority=9), queue.Chosen(gold.pk, kind=TaskKind.GOLD)])
    return project, gold.pk


def test_a_gold_turn_makes_a_seat_without_a_slot() -> None:
    project, gold = with_gold(100)
    for person in (make.ann(project), make.ben(project)):  # one gold task, any number of people
        lease = queue.lease_next(person, project=project)
        assert (lease.solution_id, seat(lease).slot, lease.token) == (gold, None, 1)


def test_without_gold_turns_no_gold_is_given() -> None:
    project, gold = with_gold(0)
    assert queue.lease_next(make.ann(project), project=project).solution_id != gold


def test_gold_already_seen_gives_way_to_normal_work() -> None:
    project, gold = with_gold(100)
    finish(queue.lease_next(make.ann(project), project=project))
    assert queue.lease_next(make.ann(project), project=project).solution_id != gold


def test_nobody_gets_as_gold_what_they_labeled_as_normal_work() -> None:
    project = make.project(gold_percent=100)
    [one] = published(project, 1)
    finish(queue.lease_next(make.ann(project), project=project))
    queue.open_batch(project, [queue.Chosen(one.pk, kind=TaskKind.GOLD)])
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ann(project), project=project)
    assert queue.lease_next(make.ben(project), project=project).solution_id == one.pk


def test_a_gold_seat_let_go_is_handed_to_nobody_else_and_taken_up_again() -> None:
    project, gold = with_gold(100)
    lease = queue.lease_next(make.ann(project), project=project)
    queue.release(lease.assignment_id, labeler=make.ann(), token=lease.token)
    Project.objects.update(gold_percent=0)
    project.refresh_from_db()
    assert queue.lease_next(make.ben(project), project=project).assignment_id != lease.assignment_id
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.olga(project), project=project)
    Project.objects.update(gold_percent=100)
    project.refresh_from_db()
    again = queue.lease_next(make.ann(), project=project)
    assert (again.assignment_id, again.token) == (lease.assignment_id, 2)


def test_gold_turns_come_as_often_as_the_project_says() -> None:
    project = make.project(gold_percent=20)
    people = [make.person(f"labeler{number}", project) for number in range(5)]
    turns = [queue.is_gold_turn(person, project=project, turn=turn) for person in people for turn in range(1000)]
    assert 0.17 < sum(turns) / len(turns) < 0.23
    assert turns == [queue.is_gold_turn(person, project=project, turn=turn) for person in people for turn in range(1000)]


# --- leases -------------------------------------------------------------------------------------------------------------


def test_expired_lease_goes_to_the_next_labeler() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    assert queue.release_expired() == 1
    assert (seat(lease).state, seat(lease).lapsed) == ("open", make.ann())
    taken = queue.lease_next(make.ben(project), project=project)
    assert (taken.assignment_id, taken.token) == (lease.assignment_id, lease.token + 1)
    assert seat(lease).lapsed is None


def test_a_stopped_sweeper_does_not_starve_the_queue() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    assert queue.lease_next(make.ben(project), project=project).assignment_id == lease.assignment_id


def test_a_running_lease_is_not_released() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    assert queue.release_expired() == 0
    assert seat(lease).state == "leased"


def test_an_expired_reservation_is_released_too() -> None:
    project = make.project()
    published(project, 1)
    Assignment.objects.update(state="reserved", labeler=make.ann(project), lease_expires_at=Now() - timedelta(seconds=1))
    assert queue.release_expired() == 1
    assert Assignment.objects.get().state == "open"


def test_extending_moves_the_end_of_the_lease() -> None:
    project = make.project(lease_minutes=30)
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    end = queue.extend_lease(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert end == seat(lease).lease_expires_at >= lease.expires_at


def test_extending_brings_back_a_lapsed_lease_nobody_took() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    queue.release_expired()
    queue.extend_lease(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert (seat(lease).state, seat(lease).labeler, seat(lease).token) == ("leased", make.ann(), lease.token)


def test_extending_a_seat_that_was_taken_loses() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    taken = queue.lease_next(make.ben(project), project=project)
    for labeler, token in ((make.ann(), lease.token), (make.ann(), taken.token), (make.ben(), lease.token)):
        with pytest.raises(queue.LeaseLost):
            queue.extend_lease(lease.assignment_id, labeler=labeler, token=token)


def test_extending_an_old_lease_next_to_a_new_one_loses() -> None:
    project = make.project()
    published(project, 2)
    old = queue.lease_next(make.ann(project), project=project)
    expire(old)
    queue.release_expired()
    Assignment.objects.filter(pk=old.assignment_id).update(priority=-1)  # so that ann is given the other one
    assert queue.lease_next(make.ann(), project=project).assignment_id != old.assignment_id
    with pytest.raises(queue.LeaseLost):
        queue.extend_lease(old.assignment_id, labeler=make.ann(), token=old.token)


def test_a_released_seat_is_open_to_others_at_once() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    queue.release(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert queue.lease_next(make.ben(project), project=project).assignment_id == lease.assignment_id
    with pytest.raises(queue.LeaseLost):
        queue.release(lease.assignment_id, labeler=make.ann(), token=lease.token)


def test_counts_tell_the_state_of_the_queue() -> None:
    project = make.project(overlap=2)
    published(project, 3)
    finish(queue.lease_next(make.ann(project), project=project))
    lease = queue.lease_next(make.ann(project), project=project)
    labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="unreadable")
    queue.lease_next(make.ben(project), project=project)
    assert queue.counts(project) == {"open": 4, "leased": 1, "done": 1, "skipped": 1, "open_batches": 1}
    queue.close_batch(Batch.objects.get())
    assert queue.counts(project) == {"open": 0, "leased": 1, "done": 1, "skipped": 1, "open_batches": 0}


# --- the hand-out query -------------------------------------------------------------------------------------------------


def scans(plan: dict) -> list[tuple[str, str | None, str | None]]:
    """Return node type, alias and index of every node of a plan."""
    here = [(plan["Node Type"], plan.get("Alias"), plan.get("Index Name"))]
    return here + [node for child in plan.get("Plans", ()) for node in scans(child)]


@pytest.mark.parametrize("hand", ["NULL", "1"], ids=["next", "ahead"])
def test_stale_statistics_leave_the_hand_out_an_index_probe_per_row(hand: str) -> None:
    project = make.project(overlap=2)
    ann, problem = make.ann(project), make.problem(project)
    Solution.objects.bulk_create(Solution(problem=problem, digest=number.to_bytes(32, "big"), steps=["a"]) for number in range(3000))
    batch = queue.open_batch(project, [queue.Chosen(key) for key in Solution.objects.values_list("pk", flat=True)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE annotation_assignment")
        # Work the planner has not heard of: it believes that ann holds no seat at all.
        Assignment.objects.filter(slot=0, pk__in=Assignment.objects.order_by("pk")[:2000]).update(state="done", labeler=ann)
        # As the server plans it once and for all: for values it does not know.
        places = {"hand": "$1", "labeler": "$2", "batch": "$3", "state": "$4", "minutes": "$5"}
        cursor.execute(f"PREPARE hand_out(bigint, int, bigint, text, int) AS {NEXT_SEAT % places}")
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE hand_out({hand}, {ann.pk}, {batch.pk}, 'leased', 30)")
        [[[explained]]] = cursor.fetchall()
        cursor.execute("DEALLOCATE hand_out")
    [choice] = [part for part in explained["Plan"]["Plans"] if part.get("Subplan Name") == "CTE next"]
    nodes = scans(choice)
    assert ("Index Only Scan", "o", "seat_labeler_once") in nodes or ("Index Scan", "o", "seat_labeler_once") in nodes
    assert ("Index Scan", "seat_queue") in [(node, index) for node, _, index in nodes]
    assert not [node for node in nodes if node[0] in ("Seq Scan", "Materialize", "Sort")]


# --- what is written stays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["UPDATE annotation_event SET verb = 'other'", "DELETE FROM annotation_event"])
def test_events_are_append_only(change: str) -> None:
    Event.objects.create(actor=make.ann(), verb="skip")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert Event.objects.get().verb == "skip"
