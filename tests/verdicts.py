"""Verdicts of people straight into the tables: what settling and training on a consensus read. Nobody leases or submits anything."""

import uuid
from collections.abc import Sequence

from django.contrib.auth.models import User

from annotation.models import Annotation, Assignment, Batch, BatchKind, Solution, StepLabel, Task
from tests import make


def judged(
    solution: Solution,
    by: str | User,
    mistake: int | None = None,
    *,
    kind: str = BatchKind.SELECTED,
    ratings: Sequence[int | None] | None = None,
    finish_reason: str = "",
    **fields: object,
) -> Annotation:
    """Store that somebody saw the first mistake in a step (from 0; None: no mistake), or some ratings. Steps before it are positive."""
    person = by if isinstance(by, User) else make.person(by, solution.problem.project)
    if ratings is None:
        ratings = [1] * len(solution.steps) if mistake is None else [1] * mistake + [-1]
    batch, _ = Batch.objects.get_or_create(
        project=solution.problem.project, kind=kind, generation=fields.pop("generation", 0), defaults={"state": "open"}
    )
    task, _ = Task.objects.get_or_create(batch=batch, solution=solution)
    done = Assignment.objects.create(task=task, batch=batch, state="done", labeler=person)
    annotation = Annotation.objects.create(
        assignment=done,
        labeler=person,
        solution=solution,
        finish_reason=finish_reason or ("found_error" if -1 in ratings else "solution"),
        submission_id=uuid.uuid4(),
        body_hash=b"\0" * 32,
        **fields,
    )
    StepLabel.objects.bulk_create(
        StepLabel(annotation=annotation, step_index=step, rating=rating) for step, rating in enumerate(ratings) if rating is not None
    )
    return annotation


def corrected(label: Annotation, ratings: Sequence[int], *, finish_reason: str = "") -> Annotation:
    """Store that the author of a label has corrected it, or that a reviewer has decided again."""
    again = Annotation.objects.create(
        assignment=label.assignment,
        labeler=label.labeler,
        solution=label.solution,
        revision=label.revision + 1,
        supersedes=label,
        finish_reason=finish_reason or ("found_error" if -1 in ratings else "solution"),
        submission_id=uuid.uuid4(),
        body_hash=b"\0" * 32,
    )
    StepLabel.objects.bulk_create(StepLabel(annotation=again, step_index=step, rating=rating) for step, rating in enumerate(ratings))
    return again
