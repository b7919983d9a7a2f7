"""Admission: the screening every newcomer goes through, and what its result means.

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
    """How a newcomer did on the screening questions."""

    asked: int
    within: int  # first mistake, or its absence, within gold's set
    needed: int

    @property
    def is_passed(self) -> bool:
        return self.within >= self.needed


def open_screening(project: Project, *, by: str, size: int | None = None, seed: int = 0) -> Batch:
    """Make solutions that a trusted person labeled (`by`, a user name) the screening every newcomer goes through.

    Their first mistake becomes gold's only acceptable one; more may be added to the set afterwards. `size` defaults to the project's.
    Whoever made the questions is admitted. Raises BadScreening: too few labels of that person, an interactive project, or a screening is
    there already.
    """
    with transaction.atomic():
        size = project.screening_size if size is None else size
        batch = publish_trusted(project, by=by, size=size, seed=seed, kind=BatchKind.SCREENING)
        Membership.objects.filter(project=project, user__username=by, qualified_at=None).update(qualified_at=Now())
    return batch


def lease_next(labeler: "User", *, project: Project) -> queue.Lease:
    """Return what `queue.lease_next` gives; a newcomer who has answered the last screening question is judged and goes on to real work.

    Raises NotQualified with the result and with what happens next for one who did not pass; the rest as `queue.lease_next`.
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
                f"You have answered all {result.asked} screening questions of {project}. In {result.within} of them you saw the first "
                f"mistake where it is, or rightly saw none; {result.needed} are needed. Your work is kept. The project's manager decides "
                "whether you are admitted all the same; there is nothing more for you to do here until then."
            ) from None
        if not waiting.update(qualified_at=Now()):
            raise
    return queue.lease_next(labeler, project=project)


def screening_of(labeler: "User", *, project: Project) -> Screening | None:
    """Return a newcomer's result once no screening question is left for them; None before that, and where there is no screening."""
    progress = progress_of(labeler.pk, project_id=project.pk, kind=BatchKind.SCREENING)
    if not progress.asked or progress.ended < progress.asked:
        return None
    return Screening(asked=progress.asked, within=progress.within, needed=math.ceil(project.qualify_rate * progress.asked))
