"""Practice: what newcomers label first, with feedback after each solution. Practice is not counted anywhere.

Reads gold and the newcomer's own annotations; writes the practice batch.
"""

from collections.abc import Collection
from dataclasses import dataclass

from annotation.models import Annotation, Assignment, Batch, BatchKind, GoldAnswer, Project, StepLabel
from annotation.quality.gold import Progress, is_within_gold, progress_of, publish_trusted

PRACTICE_SIZE = 5


@dataclass(frozen=True)
class StepSeen:
    """One step with the newcomer's rating and with gold. Its number counts from 1."""

    number: int
    text: str
    rating: int | None  # None: not rated
    is_gold: bool  # in gold's set
    verdict: str  # "found", "missed", "gold", "blamed", "late" or empty: see verdict_on


@dataclass(frozen=True)
class Feedback:
    """What a newcomer sees after one practice solution."""

    problem: str
    answer: str | None  # the reference answer; None: unknown, or the project does not show it
    steps: list[StepSeen]
    finish_reason: str
    first_mistake: int | None  # an index, from 0
    acceptable: list[int]  # indices, from 0
    note: str  # of gold
    progress: Progress  # includes this solution

    @property
    def is_within(self) -> bool:
        """Whether the newcomer's answer is within gold."""
        return is_within_gold(self.finish_reason, self.first_mistake, self.acceptable)

    @property
    def is_last(self) -> bool:
        """Whether this was the last practice solution."""
        return self.progress.ended >= self.progress.asked


def open_practice(project: Project, *, by: str, size: int | None = None, seed: int = 0) -> Batch:
    """Publish a practice for newcomers from solutions that a trusted person (`by`, a user name) labeled. A second call adds to it.

    Gold is made as in `open_screening`. The person's reason is shown with the mistake. Raises BadScreening.
    """
    return publish_trusted(project, by=by, size=PRACTICE_SIZE if size is None else size, seed=seed, kind=BatchKind.PRACTICE)


def verdict_on(step: int, rating: int | None, *, acceptable: Collection[int], is_within: bool) -> str:
    """Say how a newcomer judged one step (from 0), compared with gold.

    found: a mistake, and they saw it. missed: a mistake that they rated as fine. gold: a mistake that they did not have to rate, or
    another step that can also be called the first mistake. blamed: a right step that they rated negative. late: rated negative, but
    the first mistake is before it. Empty: nothing to say.
    """
    if step in acceptable:
        return "found" if rating == -1 else "gold" if rating is None or is_within else "missed"
    if rating != -1:
        return ""
    return "late" if acceptable and step > min(acceptable) else "blamed"


def feedback_on(annotation: Annotation) -> Feedback | None:
    """Return the feedback on a newcomer's answer; None if it was not practice, which costs one query."""
    assignments = Assignment.objects.filter(pk=annotation.assignment_id, batch__kind=BatchKind.PRACTICE)
    assignment = assignments.select_related("batch__project", "task__solution__problem").first()
    if assignment is None:
        return None
    solution = assignment.task.solution
    gold = GoldAnswer.objects.filter(pk=solution.pk).first() or GoldAnswer(solution=solution)
    acceptable = sorted(gold.acceptable_first_errors)
    ratings = dict(StepLabel.objects.filter(annotation=annotation, position=0).values_list("step_index", "rating"))
    first_mistake = min((step for step, rating in ratings.items() if rating == -1), default=None)
    is_within = is_within_gold(annotation.finish_reason, first_mistake, acceptable)
    return Feedback(
        problem=solution.problem.statement,
        answer=solution.problem.answer if assignment.batch.project.show_reference_answer else None,
        steps=[
            StepSeen(
                number=step + 1,
                text=text,
                rating=ratings.get(step),
                is_gold=step in acceptable,
                verdict=verdict_on(step, ratings.get(step), acceptable=acceptable, is_within=is_within),
            )
            for step, text in enumerate(solution.steps)
        ],
        finish_reason=annotation.finish_reason,
        first_mistake=first_mistake,
        acceptable=acceptable,
        note=gold.note,
        progress=progress_of(annotation.labeler_id, project_id=assignment.batch.project_id, kind=BatchKind.PRACTICE),
    )
