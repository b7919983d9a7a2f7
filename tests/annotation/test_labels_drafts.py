"""Stage labels: drafts."""

import pytest

from annotation import labels, queue
from annotation.models import Draft
from tests import make
from tests.assignments import lapse, rated, submit, sums

pytestmark = pytest.mark.django_db


def test_older_draft_revision_never_overwrites() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)

    def save(revision: int, *ratings: int) -> int:
        return labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=revision, ratings=rated(*ratings))

    assert [save(1, 1), save(3, 1, 1, -1), save(2, 1, 1), save(3, 0)] == [1, 3, 3, 3]
    draft = queue.lease_next(make.ann(), project=project).draft
    assert (draft["revision"], [one["rating"] for one in draft["ratings"]]) == (3, [1, 1, -1])


def test_a_draft_costs_one_statement(django_assert_num_queries) -> None:
    project = sums()
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    for revision in (1, 2):
        with django_assert_num_queries(1):
            labels.save_draft(lease.assignment_id, labeler=ann, token=lease.token, revision=revision, ratings=rated(1))


def test_a_draft_may_have_gaps() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    ratings = [{"step": 2, "position": 0, "rating": None, "flagged": False, "ms": 0}]
    labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=1, ratings=ratings)
    assert queue.lease_next(make.ann(), project=project).draft == {"revision": 1, "ratings": ratings}


def test_a_draft_of_a_lost_assignment_is_kept_and_says_so() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    lapse(lease)
    queue.lease_next(make.ben(project), project=project)
    with pytest.raises(queue.LeaseLost) as caught:
        labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=1, ratings=rated(1))
    assert caught.value.kept and Draft.objects.get().labeler == make.ann()


def test_a_draft_that_arrives_after_the_submit_leaves_nothing() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    submit(lease, make.ann())
    with pytest.raises(queue.LeaseLost):
        labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=9, ratings=rated(1))
    assert not Draft.objects.exists()


@pytest.mark.parametrize("token", [0, 2])
def test_a_token_never_given_out_keeps_no_draft(token: int) -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    with pytest.raises(queue.LeaseLost):
        labels.save_draft(lease.assignment_id, labeler=make.ann(), token=token, revision=1, ratings=rated(1))
    assert not Draft.objects.exists()


@pytest.mark.parametrize(
    ("code", "revision", "ratings"),
    [
        ("bad_revision", -1, []),
        ("bad_revision", 2**31, []),
        ("bad_rating", 1, rated(5)),
        ("unknown_step", 1, [{"step": 2000, "rating": 1}]),
    ],
)
def test_a_malformed_draft_is_refused(code: str, revision: int, ratings: list) -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    with pytest.raises(labels.BadSubmission) as caught:
        labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=revision, ratings=ratings)
    assert (caught.value.code, Draft.objects.exists()) == (code, False)
