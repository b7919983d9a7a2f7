"""What the rounds brought: in how many of the solutions that each part chose people found a mistake, and where."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, IntegerField, Min, Q, Value
from django.db.models.expressions import Combinable

from active_learning import charts
from active_learning.charts import Chart, Point
from active_learning.models import ModelVersion, Round, Selection
from active_learning.pages.rows import RoundRow, label_of
from active_learning.selection import STRATEGIES
from annotation import eligibility
from annotation.eligibility import Use
from annotation.models import FinishReason, StepSource
from trainer.counting import Share

BARS = 24  # steps of the histogram; what lies beyond is one bar


@dataclass(frozen=True, slots=True)
class PartBrought:
    """What one strategy of a recipe brought: solutions chosen, those a person left out, those in which people found a mistake."""

    label: str
    n: int
    dropped: int
    confirmed: Share


Ends = list[tuple[str, int | None]]  # how each person finished a solution, and the first mistake they saw


def ends_of(round_: Round, solutions: Collection[int] | None = None) -> dict[int, Ends]:
    """Return for each solution of a round's batch how people finished it, and the first mistake they saw."""
    newest = eligibility.counting(Use.CONSENSUS).filter(assignment__batch=round_.batch_id)
    if solutions is not None:
        newest = newest.filter(solution__in=solutions)
    if round_.project.step_source == StepSource.INTERACTIVE:
        first: Combinable = Value(None, IntegerField())  # a negative completion was not chosen, and is no mistake of a solution
    else:
        first = Min("steplabel__step_index", filter=Q(steplabel__position=0, steplabel__rating=-1))
    ends: dict[int, Ends] = {}
    rows = newest.annotate(mistake=first).order_by("pk")
    for solution, reason, mistake in rows.values_list("solution_id", "finish_reason", "mistake"):
        ends.setdefault(solution, []).append((reason, mistake))
    return ends


def is_confirmed(ends: Ends) -> bool | None:
    """Return whether at least half of the people who judged the whole solution found a mistake; None if nobody judged it."""
    judged = [reason for reason, _ in ends if reason in (FinishReason.FOUND_ERROR, FinishReason.SOLUTION)]
    return 2 * judged.count(FinishReason.FOUND_ERROR) >= len(judged) if judged else None


def brought(row: RoundRow, chooser: ModelVersion | None) -> dict[str, Any]:
    """Return what people found in a round's choice: by part, by the step of the first mistake, and compared with the model."""
    round_, threshold = row.round, threshold_of(chooser)
    ends = ends_of(round_)
    chosen = list(Selection.objects.filter(round=round_).values_list("solution_id", "part", "is_dropped", "step_scores"))
    parts = []
    for name, _ in row.recipe.parts if row.recipe else ():
        taken = [(solution, is_dropped) for solution, part, is_dropped, _ in chosen if (part or round_.strategy) == name]
        verdicts = [verdict for solution, _ in taken if (verdict := is_confirmed(ends.get(solution, []))) is not None]
        dropped = sum(is_dropped for _, is_dropped in taken)
        parts.append(PartBrought(label_of(name), len(taken), dropped, Share(sum(verdicts), len(verdicts))))
    confirmed = Share(sum(part.confirmed.k for part in parts), sum(part.confirmed.n for part in parts))
    # A mistake for each person who named one: where labelers differ, each counts.
    pairs = [
        (mistake, weak_step(scores, threshold) if scores else None)
        for solution, _, _, scores in chosen
        for reason, mistake in ends.get(solution, [])
        if mistake is not None
    ]
    return {
        "parts": parts,
        "whole": PartBrought("all", sum(part.n for part in parts), sum(part.dropped for part in parts), confirmed),
        "exactly": Share(sum(mistake == weak for mistake, weak in pairs), len(pairs) if chooser else 0),
        "aside": sum(is_confirmed(each) is None for each in ends.values()),
        "bars": _bars(pairs, is_modelled=chooser is not None),
    }


def _bars(pairs: Sequence[tuple[int, int | None]], *, is_modelled: bool) -> dict[str, Any] | None:
    """Lay out over the steps the first mistakes that people found and, if a model chose, its first weak step in the same solutions."""
    if not pairs:
        return None
    people = Counter(min(mistake, BARS - 1) for mistake, _ in pairs)
    model = Counter(min(weak, BARS - 1) for _, weak in pairs if weak is not None) if is_modelled else Counter()
    n, most = max([*people, *model]) + 1, max([*people.values(), *model.values()])
    stride, height = 600 / n, 120
    bars = []
    for step in range(n):
        both = [(counted[step], round(height * counted[step] / most, 1)) for counted in (people, model)]
        bars.append(
            {
                "step": f"{step + 1}+" if step == BARS - 1 else str(step + 1),
                "middle": round(stride * (step + 0.5), 1),
                "x": round(stride * (step + 0.14), 1),
                "x_model": round(stride * (step + 0.52), 1),
                "width": round(stride * 0.34, 1),
                "over": round(stride * (step + 0.31), 1),
                "people": both[0][0],
                "height": both[0][1],
                "y": height - both[0][1],
                "model": both[1][0],
                "height_model": both[1][1],
                "y_model": height - both[1][1],
            }
        )
    return {"bars": bars, "is_modelled": is_modelled}


def confirmed_chart(rounds: Sequence[Round]) -> Chart | None:
    """Draw the share of each part that people found a mistake in, over the rounds."""
    verdicts: dict[tuple[str, int], list[bool]] = {}
    for round_, part, found, judged in _judged(rounds):
        verdicts.setdefault((part or round_.strategy, round_.number), []).append(2 * found >= judged)
    series = []
    for name, strategy in STRATEGIES.items():
        shares = {number: Share(sum(those), len(those)) for (part, number), those in sorted(verdicts.items()) if part == name}
        line = [Point(number, share.k / share.n, *share.bounds) for number, share in shares.items() if share.bounds]
        series.append((strategy.label, line))
    drawn = sorted(series, key=lambda named: not named[1])  # six places have a look of their own: parts without a label take none
    return over_whole_numbers(drawn[:6], x_words="round", y_words="share in which people found a mistake", y_range=(0, 1))


def _judged(rounds: Sequence[Round]) -> Iterator[tuple[Round, str, int, int]]:
    """Yield for each chosen solution that people judged: its round, its part, how many found a mistake, and how many judged it.

    One statement that the database counts in: the labels of the whole batches would be a hundred times as many rows.
    """
    published = {round_.pk: round_ for round_ in rounds if round_.batch_id}
    judged = eligibility.counting(Use.CONSENSUS).filter(
        solution__selection__round__in=published,
        assignment__batch=F("solution__selection__round__batch"),
        finish_reason__in=(FinishReason.FOUND_ERROR, FinishReason.SOLUTION),
    )
    places = judged.values_list("solution__selection__round", "solution__selection__part", "solution").order_by()
    counts = places.annotate(found=Count("pk", filter=Q(finish_reason=FinishReason.FOUND_ERROR)), judged=Count("pk"))
    for round_id, part, _, found, n_judged in counts:
        yield published[round_id], part, found, n_judged


def over_whole_numbers(
    series: Sequence[tuple[str, Sequence[Point]]], *, x_words: str, y_words: str, y_range: tuple[float, float] | None = None
) -> Chart | None:
    """Draw lines over rounds or models: wide enough that no tick stands between two of them."""
    places = [point.x for _, line in series for point in line]
    if not places:
        return None
    x_range = (min(places), max(max(places), min(places) + 3))
    return charts.line_chart(series, x_range=x_range, x_words=x_words, y_words=y_words, y_range=y_range)


def threshold_of(chooser: ModelVersion | None) -> float:
    """Return the p(negative) above which a model calls a step a mistake."""
    return chooser.metrics.get("threshold", 0.5) if chooser else 0.5


def weak_step(step_scores: Sequence[float], threshold: float) -> int | None:
    """Return the first step that the model takes for a mistake; `step_scores` are p(neutral) + p(positive) of each step."""
    return next((place for place, right in enumerate(step_scores) if 1 - right > threshold), None)
