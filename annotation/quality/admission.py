"""Admission: the screening that every newcomer goes through, and what its result means.

Reads memberships and annotations; writes the screening's batch and Membership.qualified_at, which the queue reads.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from annotation import queue
from annotation.models import Batch, BatchKind, Membership, Project
from annotation.quality.gold import progress_of, publish_trusted

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True)
class Screening:
    """A newcomer's result on the screening questions."""

    asked: int
    within: int  # answers within gold
    needed: int

    @property
    def is_passed(self) -> bool:
        """Whether enough answers are within gold."""
        return self.within >= self.needed


def open_screening(project: Project, *, by: str, size: int | None = None, seed: int = 0) -> Batch:
    """Publish a screening for newcomers from solutions that a trusted person (`by`, a user name) labeled.

    That person's first mistake becomes the only acceptable one in gold; more can be added later. `size` defaults to the project's. The
    trusted person is admitted. Raises BadScreening: too few labels by that person, an interactive project, or a screening already exists.
    """
    with transaction.atomic():
        size = project.screening_size if size is None else size
        batch = publish_trusted(project, by=by, size=size, seed=seed, kind=BatchKind.SCREENING)
        Membership.objects.filter(project=project, user__username=by, qualified_at=None).update(qualified_at=Now())
    return batch


def lease_next(labeler: "User", *, project: Project) -> queue.Lease:
    """Lease as `queue.lease_next` does. A newcomer who has answered the last screening question is judged first.

    Raises NotQualified for a newcomer who did not pass, with the result and what happens next; otherwise as `queue.lease_next`.
    """
    try:
        return queue.lease_next(labeler, project=project)
    except queue.NotQualified:
        result = screening_of(labeler, project=project)
        if result is None:
            raise
        waiting = Membership.objects.filter(project=project, user=labeler, qualified_at__isnull=True, suspended_at__isnull=True)
        if not result.is_passed:
            raise queue.NotQualified(
                f"You have answered all {result.asked} screening questions of {project}. {result.within} of your answers were right; "
                f"{result.needed} right answers are needed. Your work is kept. The project's manager now decides whether you can "
                "label here. You do not need to do anything until then."
            ) from None
        if not waiting.update(qualified_at=Now()):
            raise
    return queue.lease_next(labeler, project=project)


def screening_of(labeler: "User", *, project: Project) -> Screening | None:
    """Return a newcomer's result after the last screening question; None before that, and in a project without screening."""
    progress = progress_of(labeler.pk, project_id=project.pk, kind=BatchKind.SCREENING)
    if not progress.asked or progress.ended < progress.asked:
        return None
    return Screening(asked=progress.asked, within=progress.within, needed=math.ceil(project.qualify_rate * progress.asked))
