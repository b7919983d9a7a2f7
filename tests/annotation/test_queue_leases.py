"""Stage queue: whose claim still counts, and when an assignment is offered again."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from annotation import labels, queue
from annotation.models import Assignment, Batch
from tests import make
from tests.assignments import assignment_of, expire, finish, published

pytestmark = pytest.mark.django_db


def test_expired_lease_goes_to_the_next_labeler() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    assert queue.release_expired() == 1
    assert (assignment_of(lease).state, assignment_of(lease).lapsed) == ("open", make.ann())
    taken = queue.lease_next(make.ben(project), project=project)
    assert (taken.assignment_id, taken.token) == (lease.assignment_id, lease.token + 1)
    assert assignment_of(lease).lapsed is None


def test_the_last_holder_who_takes_an_assignment_again_keeps_its_token() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    for let_go in (expire, lambda lease: queue.release(lease.assignment_id, labeler=make.ann(), token=lease.token)):
        let_go(lease)
        queue.release_expired()
        again = queue.lease_next(make.ann(), project=project)
        assert (again.assignment_id, again.token, assignment_of(lease).lapsed) == (lease.assignment_id, lease.token, None)


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
    assert assignment_of(lease).state == "leased"


def test_an_expired_reservation_is_released_too() -> None:
    project = make.project()
    published(project, 1)
    Assignment.objects.update(state="reserved", labeler=make.ann(project), lease_expires_at=Now() - timedelta(minutes=10))
    assert queue.release_expired() == 1
    assert Assignment.objects.get().state == "open"


def test_extending_moves_the_end_of_the_lease() -> None:
    project = make.project(lease_minutes=30)
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    end = queue.extend_lease(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert end == assignment_of(lease).lease_expires_at >= lease.expires_at


def test_extending_brings_back_a_lapsed_lease_nobody_took() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    queue.release_expired()
    queue.extend_lease(lease.assignment_id, labeler=make.ann(), token=lease.token)
    assert (assignment_of(lease).state, assignment_of(lease).labeler, assignment_of(lease).token) == ("leased", make.ann(), lease.token)


def test_extending_an_assignment_that_was_taken_loses() -> None:
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
    Assignment.objects.filter(pk=old.assignment_id).update(priority=-1)  # so that ann gets the other one
    assert queue.lease_next(make.ann(), project=project).assignment_id != old.assignment_id
    with pytest.raises(queue.LeaseLost):
        queue.extend_lease(old.assignment_id, labeler=make.ann(), token=old.token)


def test_a_released_assignment_is_open_to_others_at_once() -> None:
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
    queue.close_batch(Batch.objects.get(), actor=None)
    assert queue.counts(project) == {"open": 0, "leased": 1, "done": 1, "skipped": 1, "open_batches": 0}
