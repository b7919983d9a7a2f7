"""Stage queue: the solution that is rendered ahead of time, after the current one."""

import pytest
from django.db.models.functions import Now

from annotation import labels, queue
from annotation.models import Assignment, Batch, BatchKind, Membership, TaskKind
from tests import make
from tests.assignments import assignment_of, claim_of, expire, hand_in, published

pytestmark = pytest.mark.django_db


def test_a_reserved_assignment_goes_to_nobody_else() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    assert ahead and (assignment_of(ahead).state, assignment_of(ahead).labeler, assignment_of(ahead).leased_at) == (
        "reserved",
        make.ann(),
        None,
    )
    assert ahead.assignment_id != lease.assignment_id and ahead.steps
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ben(project), project=project)


def test_asking_ahead_again_gives_the_same_assignment_renewed() -> None:
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


def test_nothing_is_reserved_behind_an_assignment_that_was_submitted_meanwhile() -> None:
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
    assert (assignment_of(lease).state, assignment_of(ahead).state, assignment_of(ahead).token) == ("done", "leased", ahead.token)
    assert assignment_of(ahead).leased_at is not None


def test_a_submit_leases_what_another_tab_gave_back_as_long_as_nobody_took_it() -> None:
    project = make.project()
    published(project, 4)
    lease = queue.lease_next(make.ann(project), project=project)
    for taken in (False, True):
        ahead = queue.reserve_next(make.ann(), project=project)
        queue.release_reserved(ahead.assignment_id, labeler=make.ann(), token=ahead.token)
        if taken:
            assert queue.lease_next(make.ben(project), project=project).assignment_id == ahead.assignment_id
        hand_in(lease, make.ann(), ahead)
        assert (assignment_of(ahead).labeler, assignment_of(ahead).state) == (make.ben() if taken else make.ann(), "leased")
        lease = ahead


def test_after_a_submit_the_lease_ends_as_it_says_and_the_one_behind_it_is_reserved() -> None:
    project = make.project()
    published(project, 3)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    hand_in(lease, make.ann(), ahead)
    expires_at, following = queue.go_on(claim_of(ahead), labeler=make.ann(), project=project)
    assert expires_at == assignment_of(ahead).lease_expires_at
    assert assignment_of(following).state == "reserved"
    assert len({one.solution_id for one in (lease, ahead, following)}) == 3


def test_behind_the_last_solution_nothing_is_reserved() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    hand_in(lease, make.ann(), ahead)
    assert queue.go_on(claim_of(ahead), labeler=make.ann(), project=project)[1] is None


@pytest.mark.parametrize("where", ["of an earlier claim", "not leased yet", "of a paused labeler"])
def test_a_claim_that_is_no_lease_has_no_next_solution(where: str) -> None:
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
    assert assignment_of(ahead).state == "reserved"


@pytest.mark.django_db(transaction=True)  # without a transaction around it, which would undo what the refused statement did
def test_a_submit_of_an_assignment_that_another_took_leases_nothing() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    Assignment.objects.filter(pk=lease.assignment_id).update(labeler=make.ben(project), token=lease.token + 1)
    with pytest.raises(queue.LeaseLost):
        hand_in(lease, make.ann(), ahead)
    assert assignment_of(ahead).state == "reserved"


@pytest.mark.parametrize("change", [{"token": 9}, {"state": "open", "labeler": None}], ids=["claimed anew", "given back"])
def test_a_submit_counts_without_its_reservation(change: dict) -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    Assignment.objects.filter(pk=ahead.assignment_id).update(**change)
    hand_in(lease, make.ann(), ahead)
    assert assignment_of(lease).state == "done"
    assert queue.go_on(claim_of(ahead), labeler=make.ann(), project=project) is None


def test_a_suspended_labeler_gets_no_reserved_assignment_either() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    Membership.objects.update(suspended_at=Now())
    hand_in(lease, make.ann(), ahead)
    assert (assignment_of(lease).state, assignment_of(ahead).state) == ("done", "reserved")


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
    assert (assignment_of(lease).state, assignment_of(ahead).state) == ("skipped", "leased")


def test_only_an_unused_reservation_is_given_back() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    assert not queue.release_reserved(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert not queue.release_reserved(ahead.assignment_id, labeler=make.ben(project), token=ahead.token)
    assert queue.release_reserved(ahead.assignment_id, labeler=make.ann(), token=ahead.token)
    assert (assignment_of(lease).state, assignment_of(ahead).state) == ("leased", "open")


def test_extending_the_lease_extends_the_reservation_behind_it() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    expire(ahead)
    queue.extend_lease(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert queue.release_expired() == 0 and assignment_of(ahead).state == "reserved"


def test_closing_a_batch_closes_its_reservations() -> None:
    project = make.project()
    published(project, 2)
    lease = queue.lease_next(make.ann(project), project=project)
    ahead = queue.reserve_next(make.ann(), project=project)
    queue.close_batch(Batch.objects.get(), actor=None)
    assert (assignment_of(lease).state, assignment_of(ahead).state) == ("leased", "closed")


def test_a_reservation_in_another_project_is_given_back() -> None:
    here, there = make.project("here"), make.project("there")
    published(here, 2), published(there, 2)
    ann = make.ann(here)
    make.ann(there)
    queue.lease_next(ann, project=there)
    old = queue.reserve_next(ann, project=there)
    queue.lease_next(ann, project=here)
    assert queue.reserve_next(ann, project=here).project == here
    assert assignment_of(old).state == "open"


def test_the_assignment_rendered_ahead_is_the_one_of_the_next_turn() -> None:
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


def test_a_lease_in_another_project_is_given_back_and_its_draft_kept() -> None:
    here, there = make.project("here"), make.project("there")
    published(here, 1), published(there, 1)
    ann = make.ann(here)
    make.ann(there)
    lease = queue.lease_next(ann, project=there)
    labels.save_draft(lease.assignment_id, labeler=ann, token=lease.token, revision=1, ratings=[{"step": 0, "rating": 1}])
    queue.lease_next(ann, project=here)
    assert (assignment_of(lease).state, assignment_of(lease).labeler) == ("open", None)
    again = queue.lease_next(ann, project=there)
    assert again.assignment_id == lease.assignment_id and again.draft["ratings"][0]["rating"] == 1
