"""For tests of reviews: solutions that two people read differently, and decisions on them."""

import uuid
from typing import Any

from django.contrib.auth.models import User

from annotation import labels, quality, queue
from annotation.models import Annotation, Project, Solution
from tests import make
from tests.assignments import rated

NONE: tuple[int, ...] = (1, 1, 1)


def at(step: int) -> tuple[int, ...]:
    """Ratings with the first mistake at a step (from 0)."""
    return (*[1] * step, -1)


def sent(ratings: tuple[int, ...], **other: Any) -> dict[str, Any]:
    finish_reason = "found_error" if -1 in ratings else "solution"
    body = {"submission_id": uuid.uuid4(), "ratings": rated(*ratings), "finish_reason": finish_reason, "active_ms": 5, "total_ms": 9}
    return {**body, **other}


def read_all(project: Project, person: User, *readings: tuple[int, ...]) -> list[Annotation]:
    """Let a person label the next solutions, one reading after the other."""
    made = []
    for ratings in readings:
        lease = queue.lease_next(person, project=project)
        made.append(labels.submit(lease.assignment_id, labeler=person, token=lease.token, **sent(ratings)))
    return made


def disputed(*pairs: tuple[tuple[int, ...], tuple[int, ...]], slug: str = "sums", **fields: object) -> tuple[Project, list[Solution]]:
    """Make a project in which ann and ben read the same solutions, ann as the first of each pair says; all of it is settled."""
    project = make.project(slug, overlap=2, **fields)
    solutions = make.solutions(project, len(pairs))
    make.batch(project, solutions)
    read_all(project, make.ann(project), *(first for first, _ in pairs))
    read_all(project, make.ben(project), *(second for _, second in pairs))
    quality.settle(project)
    return project, solutions


def decide(project: Project, solution: Solution, reviewer: User, ratings: tuple[int, ...], *, seen: int = 0, **other: Any) -> Annotation:
    return labels.adjudicate(project, solution.pk, reviewer=reviewer, seen=seen, **sent(ratings, **other))
