"""Answers to solutions whose first mistake is known: gold among work, and screening questions. Which of them are judged, and what a labeler
missed. Reads only: a record on gold is derived from these answers and stored nowhere.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotation import eligibility
from annotation.models import Annotation, BatchKind, FinishReason, Message, Project, Solution, TaskKind
from annotation.quality.gold import FIRST_MISTAKE, GOLD, WithFirstMistake, is_within_gold
from annotation.quality.practice import StepSeen, verdict_on
from annotation.quality.reviewing import VERDICTS, accepts, step_ratings

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

LISTED = 10  # missed solutions that a labeler sees at once, the newest


@dataclass(frozen=True)
class MissedSolution:
    """A solution on which a labeler's answer was not within gold, step by step: their reading beside gold."""

    solution: Solution
    answered_at: datetime
    steps: Sequence[StepSeen]
    acceptable: Sequence[int]  # from 0; empty: no mistake
    note: str
    what: str  # what happened, in words


def contradicted_gold(projects: Collection[Project | int]) -> set[int]:
    """Return the solutions whose gold does not accept the decision of a reviewer. Answers to them count for nobody and against nobody."""
    decisions = eligibility.adjudications_that_count().annotate(first_mistake=FIRST_MISTAKE)
    known = decisions.filter(assignment__batch__project__in=projects, finish_reason__in=VERDICTS, solution__goldanswer__isnull=False)
    rows = known.values_list("solution", "first_mistake", GOLD)
    return {solution for solution, mistake, acceptable in rows if not accepts(acceptable, mistake)}


def checked_answers(projects: Collection[Project | int], **where: object) -> "QuerySet[WithAnnotations[Annotation, WithFirstMistake]]":
    """Return the answers that are compared with gold: the newest revisions, and those that were sent back instead of what came after them.

    Left out: gold that the decision of a reviewer contradicts, and solutions that were withdrawn, as in a screening.
    """
    checked = Q(assignment__task__kind=TaskKind.GOLD) | Q(assignment__batch__kind=BatchKind.SCREENING)
    newer = Annotation.objects.filter(supersedes=OuterRef("pk"))
    sent_back_before = Message.objects.filter(annotation__assignment=OuterRef("assignment"), annotation__revision__lt=OuterRef("revision"))
    answers = Annotation.objects.filter(
        checked,
        ~Exists(newer) | Q(sent_back__isnull=False),
        ~Exists(sent_back_before),
        assignment__batch__project__in=projects,
        solution__goldanswer__isnull=False,
        solution__withdrawn_at=None,
        **where,
    ).annotate(first_mistake=FIRST_MISTAKE)
    return answers.exclude(solution__in=contradicted) if (contradicted := contradicted_gold(projects)) else answers


def missed_answers(project: Project, labeler_id: int | None, *, before: datetime) -> tuple[list[MissedSolution], dict[str, int]]:
    """Return the newest answers of a labeler that were not within gold, given before a moment, and how many there are by what happened."""
    answers = checked_answers([project], labeler=labeler_id, created_at__lt=before)
    rows = answers.order_by("-pk").values_list("pk", "finish_reason", "first_mistake", GOLD)
    missed = [(key, _what(*verdict)) for key, *verdict in rows if not is_within_gold(*verdict)]
    what = dict(missed[:LISTED])
    shown = answers.filter(pk__in=what).select_related("solution__problem", "solution__goldanswer").order_by("-pk")
    ratings = step_ratings(what)
    return [_missed(answer, ratings.get(answer.pk, {}), what[answer.pk]) for answer in shown], dict(
        Counter(words for _, words in missed).most_common()
    )


def _what(finish_reason: str, first_mistake: int | None, acceptable: Sequence[int]) -> str:
    """Say what happened, for a verdict that is not within gold."""
    if finish_reason == FinishReason.GIVE_UP:
        return "gave up"
    if finish_reason == FinishReason.BAD_PROBLEM:
        return "called the problem bad"
    if first_mistake is None:
        return "missed the mistake"
    if not acceptable:
        return "marked a mistake where there is none"
    return "marked a step before the first mistake" if first_mistake < min(acceptable) else "marked a step after the first mistake"


def _missed(answer: Annotation, ratings: dict[int, int], what: str) -> MissedSolution:
    gold = answer.solution.goldanswer
    acceptable = sorted(gold.acceptable_first_errors)
    steps = [
        StepSeen(
            number=place + 1,
            text=text,
            rating=ratings.get(place),
            is_gold=place in acceptable,
            verdict=verdict_on(place, ratings.get(place), acceptable=acceptable, is_within=False),
        )
        for place, text in enumerate(answer.solution.steps)
    ]
    return MissedSolution(answer.solution, answer.created_at, steps, acceptable, gold.note, what)
