"""What a model says of a solution that a reviewer has decided on: the probability of each step to be right, as a curve.

Reads scores; writes nothing. A reviewer sees it after the own verdict only, so that it does not lead the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from active_learning import charts, registry
from active_learning.models import ModelVersion
from active_learning.pages.solutions import judged_solution
from annotation.models import Project, Solution


@dataclass(frozen=True)
class ModelReading:
    """A model's reading of one solution, step by step."""

    version: ModelVersion | None  # None: no model serves
    is_scored: bool
    right: Sequence[float | None]  # p(correct) of each step; None: not read
    weak: int | None  # the first step that the model calls a mistake, from 0
    is_weak_known: bool
    threshold: float | None
    chart: charts.Chart | None

    @property
    def verdict(self) -> str:
        """What the model says, in words."""
        if not self.is_weak_known:
            return ""
        return "no mistake" if self.weak is None else f"the first mistake in step {self.weak + 1}"


def model_reading(project: Project, solution: Solution) -> ModelReading:
    """Return what the model that serves says of each step of a solution."""
    version = registry.serving_version(project)
    judged = judged_solution(solution, version)
    right = [step.right for step in judged["steps"]]
    points = [charts.Point(place, value) for place, value in enumerate(right, 1) if value is not None]
    curve = charts.line_chart(
        [("p(correct)", points)],
        x_words="step",
        y_words="p(correct) of the step, by the model",
        y_range=(0.0, 1.0),
        x_range=(1.0, float(max(2, len(right)))),
        name_of=lambda step: f"{step:g}",
    )
    is_scored, score = judged["is_scored"], judged["score"]
    is_known = (is_scored and judged["threshold"] is not None) or (not is_scored and score is not None)
    return ModelReading(version, is_scored, right, judged["weak"], is_known, judged["threshold"], curve if points else None)
