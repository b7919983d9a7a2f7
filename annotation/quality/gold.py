"""Gold: which steps may be called the first mistake, taken from a trusted person's labels, and how verdicts compare with it.

Reads annotations; writes GoldAnswer and the batches that newcomers go through, practice and screening.
"""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from django.db import transaction
from django.db.models import Count, Min, OuterRef, Q, QuerySet, Subquery

from annotation import eligibility, queue
from annotation.eligibility import Use
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    BatchKind,
    BatchState,
    FinishReason,
    GoldAnswer,
    Project,
    Split,
    StepLabel,
    StepSource,
    Task,
)
from trainer.counting import counted

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations


class WithFirstMistake(TypedDict):
    """What `newest` adds to an annotation."""

    first_mistake: int | None


GOLD_IN_WORK = "gold"  # composed like practice and screening, and mixed into a batch of work
REPEAT = "repeat"  # another set of screening questions, for newcomers who get another attempt
GOLD = "solution__goldanswer__acceptable_first_errors"  # the look-up from an annotation


class BadScreening(ValueError):
    """A screening or practice that cannot be opened. The message says why and what to do."""


@dataclass(frozen=True)
class Progress:
    """How far a newcomer is in practice or screening."""

    asked: int
    ended: int  # answered or skipped
    within: int  # answers within gold


def is_within_gold(finish_reason: str, first_mistake: int | None, acceptable: Collection[int] | None) -> bool:
    """Return whether a verdict is within gold: the set of steps (from 0) that may be called the first mistake; empty: no mistake.

    Giving up and reporting a bad problem are not verdicts. Source: "Let's Verify Step by Step", appendix B.
    """
    if finish_reason == FinishReason.FOUND_ERROR:
        return first_mistake in (acceptable or [])
    return finish_reason == FinishReason.SOLUTION and not acceptable


FIRST_MISTAKE = Min("steplabel__step_index", filter=Q(steplabel__rating=-1, steplabel__position=0))


def newest(**where: object) -> "QuerySet[WithAnnotations[Annotation, WithFirstMistake]]":
    """Return the newest revision of each annotation that matches, with the index of its first mistake."""
    return Annotation.objects.newest().filter(**where).annotate(first_mistake=FIRST_MISTAKE)


def progress_of(labeler_id: int, *, project_id: int, kind: str) -> Progress:
    """Count a newcomer's solutions in the practice or screening of a project: all, ended, and answered within gold.

    A withdrawn solution is not counted for anybody, not even where it was answered before.
    """
    tasks = Task.objects.filter(batch__project=project_id, batch__kind=kind, solution__withdrawn_at=None)
    assignments = Assignment.objects.filter(task__in=tasks, labeler=labeler_id, state__in=["done", "skipped"])
    answers = newest(labeler=labeler_id, assignment__task__in=tasks)
    return Progress(
        asked=tasks.count(),
        ended=assignments.aggregate(count=Count("task", distinct=True))["count"],
        within=sum(is_within_gold(*verdict) for verdict in answers.values_list("finish_reason", "first_mistake", GOLD)),
    )


def publish_trusted(project: Project, *, by: str, size: int, seed: int, kind: str) -> Batch:
    """Publish solutions that a trusted person (`by`, a user name) labeled, for every newcomer to label. Raises BadScreening.

    That person's first mistake becomes the only acceptable one in gold, and their reason becomes gold's note. Existing gold is not changed.
    """
    chosen = draw_trusted(project, by=by, size=size, seed=seed, kind=kind)
    return publish_chosen(project, by=by, solutions=chosen, kind=kind)


def draw_trusted(project: Project, *, by: str, size: int, seed: int, kind: str) -> list[int]:
    """Draw solutions at random from those that a trusted person labeled. Raises BadScreening: too few, or an interactive project."""
    verdicts = trusted_verdicts(project, by=by, kind=kind)
    if not 0 < size <= len(verdicts):
        raise BadScreening(
            f"The size is {size:,}, but {by} has labeled {counted(len(verdicts), 'usable solution')} of "
            f"{project.slug}. A usable solution is "
            "labeled completely and is not in practice or screening yet. Choose a smaller size or a person who labeled more."
        )
    return random.Random(seed).sample(sorted(verdicts), size)


def trusted_verdicts(
    project: Project, *, by: str, kind: str, solutions: Collection[int] | None = None
) -> dict[int, tuple[int | None, str]]:
    """Return the first mistake and the reason of a trusted person for each solution that practice or screening can use.

    Raises BadScreening in an interactive project.
    """
    if project.step_source == StepSource.INTERACTIVE:
        raise BadScreening(
            f"{project.slug} is an interactive project. Labelers take different paths there, so practice and screening are not possible."
        )
    # Practice shows the gold of a solution, and nobody gets a solution twice. So no solution is in both, or in two practices.
    elsewhere = [BatchKind.PRACTICE] if kind == BatchKind.SCREENING else [BatchKind.PRACTICE, BatchKind.SCREENING]
    mistakes = StepLabel.objects.filter(annotation=OuterRef("pk"), rating=-1, position=0).order_by("step_index").values("step_index")[:1]
    trusted = Annotation.objects.filter(
        eligibility.does_count(Use.TRAINING, project=project.pk),
        labeler__username=by,
        finish_reason__in=[FinishReason.SOLUTION, FinishReason.FOUND_ERROR],
        solution__problem__project=project,
        solution__problem__split=Split.TRAIN,
        solution__withdrawn_at__isnull=True,
    ).exclude(solution__in=Task.objects.filter(batch__kind__in=elsewhere, batch__project=project).values("solution"))
    if kind == GOLD_IN_WORK:
        trusted = trusted.exclude(solution__in=Task.objects.filter(batch=batch_for_gold(project)).values("solution"))
    if solutions is not None:
        trusted = trusted.filter(solution__in=solutions)
    return {
        solution: (mistake, reason)
        for solution, mistake, reason in trusted.order_by("pk").values_list("solution", Subquery(mistakes), "reason")
    }


def batch_for_gold(project: Project) -> Batch:
    """Return the newest open batch of work, into which gold is mixed. Raises BadScreening if there is none."""
    batch = Batch.objects.filter(project=project, kind=BatchKind.SELECTED, state=BatchState.OPEN).order_by("-generation", "-pk").first()
    if batch is None:
        raise BadScreening("There is no open batch of work, and gold is mixed into one. Publish a batch first.")
    return batch


def keep_gold(verdicts: Mapping[int, tuple[int | None, str]]) -> None:
    """Make gold from the first mistake and the reason of a person, for each solution that has none."""
    for solution, (mistake, reason) in verdicts.items():
        gold = {"acceptable_first_errors": [] if mistake is None else [mistake], "note": reason}
        GoldAnswer.objects.get_or_create(solution_id=solution, defaults=gold)


def refuse_second_screening(project: Project, kind: str) -> None:
    """Raise BadScreening if this would be a second screening, or questions for another attempt without a first one."""
    if kind == REPEAT and next_screening_set(project) == 1:
        raise BadScreening(f"{project.slug} has no screening yet. Publish one first. People who do not pass it can get another attempt.")
    if kind == BatchKind.SCREENING and Batch.objects.filter(project=project, kind=kind, generation=-1).exists():
        raise BadScreening(
            f"A screening of {project.slug} exists already. A project has one screening, so that all newcomers are judged alike. "
            "Choose questions for another attempt if people who did not pass need other ones."
        )


def next_screening_set(project: Project) -> int:
    """Return the number of the next set of screening questions. The first one is everybody's, the others are for another attempt."""
    lowest = Batch.objects.filter(project=project, kind=BatchKind.SCREENING).aggregate(lowest=Min("generation"))["lowest"]
    return 1 - (lowest or 0)


def publish_chosen(project: Project, *, by: str, solutions: Collection[int], kind: str, state: str = BatchState.OPEN) -> Batch:
    """Publish these solutions of a trusted person, with gold from that person's labels. Raises BadScreening: one cannot be used."""
    verdicts = trusted_verdicts(project, by=by, kind=kind, solutions=solutions)
    if not solutions:
        raise BadScreening("No solution is left. Keep at least one.")
    if len(verdicts) < len(set(solutions)):
        raise BadScreening(f"Some of these solutions cannot be used any more, or {by} did not label them. Choose again.")
    refuse_second_screening(project, kind)
    generation = -next_screening_set(project) if kind == REPEAT else None
    kind = BatchKind.SCREENING if kind == REPEAT else kind
    try:
        with transaction.atomic():
            keep_gold({solution: verdicts[solution] for solution in solutions})
            questions = [queue.Chosen(solution) for solution in solutions]
            return queue.open_batch(project, questions, kind=kind, generation=generation, state=state)
    except queue.BadBatch as error:
        raise BadScreening(str(error)) from error
