"""Assignments and sittings for the tests of queue and labels."""

import uuid
from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models.functions import Now

from annotation import labels, queue
from annotation.models import Annotation, Assignment, AssignmentState, Project, Solution
from tests import make


def assignment_of(lease: queue.Lease) -> Assignment:
    return Assignment.objects.get(pk=lease.assignment_id)


def expire(lease: queue.Lease) -> None:
    Assignment.objects.filter(pk=lease.assignment_id).update(lease_expires_at=Now() - timedelta(minutes=10))


def finish(lease: queue.Lease) -> None:
    """End a lease as a submit does, without labels."""
    assert Assignment.objects.filter(pk=lease.assignment_id, state=AssignmentState.LEASED).update(state=AssignmentState.DONE) == 1


def published(project: Project, count: int, **options: object) -> list[Solution]:
    chosen = make.solutions(project, count)
    make.batch(project, chosen, **options)
    return chosen


def claim_of(lease: queue.Lease) -> queue.Claim:
    return queue.Claim(lease.assignment_id, lease.token)


def hand_in(lease: queue.Lease, labeler: User, ahead: queue.Lease | None = None) -> None:
    labels.submit(
        lease.assignment_id,
        labeler=labeler,
        token=lease.token,
        submission_id=uuid.uuid4(),
        active_ms=1,
        total_ms=1,
        ratings=[{"step": 0, "rating": -1}],
        finish_reason="found_error",
        ahead=ahead and claim_of(ahead),
    )


def rated(*ratings: int | None, flagged: tuple[int, ...] = ()) -> list[labels.Rating]:
    return [
        {"step": step, "position": 0, "rating": rating, "flagged": step in flagged, "ms": 1000 + step}
        for step, rating in enumerate(ratings)
    ]


def sums(overlap: int = 1, count: int = 1, **fields: object) -> Project:
    """Return a project with solutions of three steps in its queue."""
    project = make.project(overlap=overlap, **fields)
    make.batch(project, make.solutions(project, count))
    return project


def learnable(project: Project) -> None:
    """Label three solutions of the project: as little as a training takes."""
    make.batch(project, make.solutions(project, 3))
    ann = make.ann(project)
    for _ in range(3):
        submit(queue.lease_next(ann, project=project), ann)


def submit(lease: queue.Lease, labeler: User, ratings: list[labels.Rating] | None = None, **other: object) -> Annotation:
    body = {
        "token": lease.token,
        "submission_id": uuid.uuid4(),
        "ratings": rated(1, 0, -1) if ratings is None else ratings,
        "finish_reason": "found_error",
        "active_ms": 5000,
        "total_ms": 9000,
    }
    return labels.submit(lease.assignment_id, labeler=labeler, **{**body, **other})


def lapse(lease: queue.Lease) -> None:
    Assignment.objects.filter(pk=lease.assignment_id).update(lease_expires_at=Now() - timedelta(minutes=10))
    assert queue.release_expired() == 1


def revise(annotation: Annotation, labeler: User, ratings: list[labels.Rating], **other: object) -> Annotation:
    body = {"submission_id": uuid.uuid4(), "ratings": ratings, "finish_reason": "found_error", "active_ms": 1, "total_ms": 2}
    return labels.revise(annotation.pk, labeler=labeler, **{**body, **other})
