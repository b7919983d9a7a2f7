"""Stage: what the pages of the models show. Versions with their standing, one version's figures and charts, two beside each other, and a
solution with its steps as a model and people saw them (Figure 2 of the paper).

Reads ModelVersion, StepScores, Selection and labels; writes nothing. The web process calls it: numpy, never torch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Prefetch

from active_learning import charts, registry, rounds
from active_learning.charts import Chart, Point
from active_learning.models import ModelKind, ModelState, ModelVersion, Selection, StepScores
from annotation.models import Annotation, BatchKind, FinishReason, Project, Solution, StepLabel
from trainer.evaluate import Comparison, Judged, compare, first_weak_step, solution_score

CURVES = ["PRM", "ORM", "majority", "PRM-weighted voting", "oracle", "mean"]  # in this order they get their colours
BANDED = CURVES[:3]  # six bands over one another would hide the lines
HELD_OUT_LISTED, HELD_OUT_OPEN = 60, 12
KINDS = {ModelKind.PRM: "Process reward models", ModelKind.ORM: "Outcome reward models"}
FIGURE_WORDS = {"log_loss": "log-loss", "step_auc": "step AUC", "first_mistake_f1": "first-mistake F1"}


class NoSuchSolution(LookupError):
    """This project has no such solution."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a version beside what always answering the base rates gives."""

    words: str
    value: str
    base_rate: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a version stands, in words, and the class of its chip."""

    words: str
    chip: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one person said of a solution: a rating per step, None where nothing was said."""

    labeler: str
    ratings: tuple[int | None, ...]
    finish_reason: str

    @property
    def first_mistake(self) -> int | None:
        return next((place for place, rating in enumerate(self.ratings) if rating == -1), None)


def all_versions(project: Project) -> list[dict[str, Any]]:
    """Return the versions by kind, the newest first, and which two to compare; kinds without any are left out, but never the PRM."""
    found = list(ModelVersion.objects.filter(project=project).order_by("-number")[:200])
    for version in found:
        version.standing, version.figures = standing(version), model_figures(version.metrics)
    kinds = []
    for kind, words in KINDS.items():
        those = [version for version in found if version.kind == kind]
        ready = [version for version in those if version.state == ModelState.READY]
        # The champion, or what served before it, with the newest.
        first = next((one for one in ready[1:] if one.champion), ready[1] if len(ready) > 1 else None)
        if those or kind == ModelKind.PRM:
            kinds.append({"kind": kind, "words": words, "versions": those, "ready": ready, "first": first})
    return kinds


def standing(version: ModelVersion) -> Standing:
    """Say where a version stands."""
    if version.champion:
        return Standing("in service", "champion")
    if version.state != ModelState.READY:
        return Standing(version.get_state_display().lower(), version.state)
    if version.decision.get("promoted") is False:
        return Standing("waits for a person", "waiting")
    return Standing("served before", "") if version.decision.get("promoted") else Standing("ready", "ready")


def one_version(project: Project, number: int) -> dict[str, Any]:
    """Return what the page of one version shows. Raises registry.NoSuchVersion."""
    shown = registry.find(project, number)
    shown.standing = standing(shown)
    is_prm, listed = shown.kind == ModelKind.PRM, held_out(shown)
    before = shown.decision.get("before") if shown.champion else None
    return {
        "version": shown,
        "figures": model_figures(shown.metrics),
        "training": shown.metrics.get("training") or {},
        "card": registry.card(shown),
        "curve": training_chart([(f"model {number}", shown)]),
        "best_of_n": best_of_n_chart(shown.metrics.get("best_of_n")),
        "calibration": calibration_chart(shown.metrics.get("calibration"), words="negative" if is_prm else "wrong"),
        "before": before,
        "first_held_out": listed[:HELD_OUT_OPEN],
        "more_held_out": listed[HELD_OUT_OPEN:],
        "champion": registry.serving_version(project, shown.kind),
        "comparison": comparison_rows(shown.decision.get("comparison")),
    }


def compared_versions(project: Project, number: int, other: int) -> dict[str, Any]:
    """Return two versions beside each other: figures, the differences with their intervals, both curves. Raises registry.NoSuchVersion."""
    first, second = registry.find(project, number), registry.find(project, other)
    for one in (first, second):
        one.standing = standing(one)
    pairs = zip(model_figures(first.metrics), model_figures(second.metrics), strict=True) if first.kind == second.kind else []
    found = _compared_when_trained(first, second) or _compared_on_kept_scores(first, second)
    names = (f"{first.kind.upper()} {number}", f"{second.kind.upper()} {other}")
    return {
        "first": first,
        "second": second,
        "both": (first, second),
        "names": names,
        "figures": list(pairs),
        "comparison": comparison_rows(found),
        "found": found,
        "curve": training_chart([(names[0], first), (names[1], second)]),
        "best_of_n": best_of_n_chart(*[one.metrics.get("best_of_n") for one in (first, second)], names=names, kind=first.kind),
        "settings": _differing_settings(first, second),
    }


def scored_solution(project: Project, number: int, solution_id: int) -> dict[str, Any]:
    """Return a solution with its steps as a version and people saw them. Raises registry.NoSuchVersion and NoSuchSolution."""
    shown = registry.find(project, number)
    text = Solution.objects.select_related("problem").filter(pk=solution_id, problem__project=project).first()
    if text is None:
        raise NoSuchSolution(f"{project} has no solution {solution_id}.")
    said = verdicts([solution_id]).get(solution_id, [])
    probabilities = _step_probabilities(shown, solution_id)
    right = None if probabilities is None else [1 - row[0] for row in probabilities]
    threshold = shown.metrics.get("threshold")
    weak = None if probabilities is None or threshold is None else first_weak_step(np.array(probabilities), threshold=threshold)
    steps = [
        {
            "number": place + 1,
            "text": step,
            "right": right[place] if right and place < len(right) else None,
            "is_weak": place == weak,
            "said": [(one.labeler, one.ratings[place]) for one in said if place < len(one.ratings) and one.ratings[place] is not None],
        }
        for place, step in enumerate(text.steps)
    ]
    return {
        "version": shown,
        "solution": text,
        "steps": steps,
        "verdicts": said,
        "weak": weak,
        "threshold": threshold,
        "is_scored": probabilities is not None,
        "score": None if right is None else float(np.prod(right)) if len(right) == len(text.steps) else 0.0,
    }


# --- figures ------------------------------------------------------------------------------------------------------------------


def model_figures(metrics: dict[str, Any]) -> list[Figure]:
    """Return the held-out figures beside the base rate, AUC and log-loss first; those that are not there, or undefined, are dashes."""
    mistake, spread = metrics.get("first_mistake") or {}, metrics.get("calibration") or {}
    trust = (
        ("calibration error", spread.get("expected_error"), "{:.3f}", None),
        ("temperature", spread.get("temperature"), "{:.2f}", None),
    )
    if "solution_auc" in metrics:
        return _written(
            ("solution AUC, right against wrong", metrics["solution_auc"], "{:.3f}", 0.5),
            ("log-loss, nats", metrics["log_loss"], "{:.3f}", metrics["base_rate_log_loss"]),
            ("share of right solutions", metrics["share_right"], "{:.1%}", None),
            *trust,
        )
    return _written(
        ("step AUC", metrics.get("step_auc"), "{:.3f}", 0.5),
        ("log-loss, nats", metrics.get("log_loss"), "{:.3f}", metrics.get("base_rate_log_loss")),
        ("first-mistake F1", mistake.get("f1"), "{:.1%}", 0.0),
        ("first mistake named exactly", mistake.get("accuracy_wrong"), "{:.1%}", 0.0),
        ("no mistake claimed where there is none", mistake.get("accuracy_right"), "{:.1%}", 1.0),
        *trust,
    )


def _written(*rows: tuple[str, float | None, str, float | None]) -> list[Figure]:
    return [
        Figure(name, "–" if value is None else form.format(value), "" if base is None else form.format(base))
        for name, value, form, base in rows
    ]


def training_chart(named: Sequence[tuple[str, ModelVersion]]) -> Chart | None:
    """Draw the losses over the optimizer steps of a training, finished or running; the rating loss alone where several are drawn."""
    series = []
    for name, version in named:
        curve = (version.metrics.get("training") or {}).get("curve") or version.progress.get("curve") or []
        parts = {"rating_loss": "rating loss", "token_loss": "token loss"} if len(named) == 1 else {"rating_loss": f"rating loss, {name}"}
        series += [(words, _over_stages(curve, part)) for part, words in parts.items()]
    return charts.line_chart(series, x_words="optimizer steps", y_words="loss, nats")


def _over_stages(curve: Sequence[dict[str, Any]], part: str) -> list[Point]:
    """Put the stages of a training one after the other on one axis."""
    points, offset, stage, length = [], 0, None, 0
    for one in curve:
        if one["stage"] != stage:
            offset, stage = offset + length, one["stage"]
        length = one["total"] or one["done"]
        if one.get(part) is not None:
            points.append(Point(offset + one["done"], one[part]))
    return points


def best_of_n_chart(*found: dict[str, Any] | None, names: Sequence[str] = (), kind: str = "") -> Chart | None:
    """Draw the paper's Figure 3; of several versions their own curves, beside the first one's majority voting."""
    # A curve that is not there keeps its place, and the others theirs: the PRM has the same colour on every page.
    if names:
        chosen = [(words, one, kind.upper()) for words, one in zip(names, found, strict=True)] + [("majority", found[0], "majority")]
    else:
        chosen = [(name, found[0], name) for name in CURVES]
    named = [(words, _curve(one, name)) for words, one, name in chosen]
    x_words = "N = number of solutions per problem"
    return charts.line_chart(named, x_words=x_words, y_words="share of problems solved, best of N", is_x_logarithmic=True)


def _curve(found: dict[str, Any] | None, name: str) -> list[Point]:
    """Return one curve of a best-of-N figure; nothing if it is not there."""
    curve = found["curves"].get(name) if found else None
    if curve is None:
        return []
    none = [None] * len(curve["mean"])
    low, high = (curve["low"], curve["high"]) if name in BANDED else (none, none)
    return [Point(*row) for row in zip(found["n"], curve["mean"], low, high, strict=True)]


def calibration_chart(found: dict[str, Any] | None, *, words: str) -> Chart | None:
    """Draw how often steps are negative, or solutions wrong, against how likely the model said that is."""
    bins = [Point(one["predicted"], one["observed"]) for one in (found or {}).get("bins", []) if one["n"]]
    return charts.line_chart(
        [("observed", bins)],
        x_words=f"predicted p({words})",
        y_words=f"share {words}",
        y_range=(0, 1),
        x_range=(0, 1),
        is_diagonal_drawn=True,
    )


def comparison_rows(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the differences of a comparison as rows: champion, challenger, difference and its interval."""
    return [{"words": words, **found["figures"][name]} for name, words in FIGURE_WORDS.items() if name in found["figures"]] if found else []


# --- two versions -------------------------------------------------------------------------------------------------------------


def _compared_when_trained(first: ModelVersion, second: ModelVersion) -> dict[str, Any] | None:
    """Return the comparison that decided about the second one, if the first was the champion then."""
    is_the_same = second.decision.get("champion") == first.number and second.kind == first.kind
    return second.decision.get("comparison") if is_the_same else None


def _compared_on_kept_scores(first: ModelVersion, second: ModelVersion) -> dict[str, Any] | None:
    """Compare two versions on the solutions that were held out from both and whose step scores were kept."""
    kept = [
        dict(StepScores.objects.filter(model_version=one, held_out=True).values_list("solution_id", "probabilities"))
        for one in (first, second)
    ]
    both = sorted(kept[0].keys() & kept[1].keys())
    rows = Solution.objects.filter(pk__in=both).values_list("pk", "problem_id", "steps")
    facts = {key: (problem, len(steps)) for key, problem, steps in rows}
    said = verdicts(both)
    judged = [
        [
            Judged(str(facts[key][0]), np.array(scores[key], np.float32).reshape(-1, 3), one.ratings, facts[key][1])
            for key in both
            for one in said.get(key, [])
            if one.finish_reason != FinishReason.BAD_PROBLEM
        ]
        for scores in kept
    ]
    if not judged[0]:
        return None
    found: Comparison = compare(judged[0], judged[1], trials=1000)
    return found.as_dict()


def _differing_settings(first: ModelVersion, second: ModelVersion) -> list[tuple[str, Any, Any]]:
    names = [*first.config, *(name for name in second.config if name not in first.config)]
    rows = [(name, first.config.get(name), second.config.get(name)) for name in names]
    return [row for row in [("base", first.base, second.base), *rows[1:]] if row[1] != row[2]]


# --- solutions ----------------------------------------------------------------------------------------------------------------


def held_out(version: ModelVersion) -> list[dict[str, Any]]:
    """Return some held-out solutions, those on which the model and a person differ first."""
    kept = list(StepScores.objects.filter(model_version=version, held_out=True).select_related("solution__problem").order_by("pk")[:200])
    said = verdicts([one.solution_id for one in kept])
    threshold = version.metrics.get("threshold", 0.5)
    rows = []
    for one in kept:
        probabilities = np.array(one.probabilities, np.float32).reshape(-1, 3)
        mistakes = [verdict.first_mistake for verdict in said.get(one.solution_id, [])]
        weak = first_weak_step(probabilities, threshold=threshold)
        score = solution_score(probabilities, unread_steps=len(one.solution.steps) - len(probabilities))
        rows.append({"solution": one.solution, "score": score, "weak": weak, "mistakes": mistakes, "agrees": weak in mistakes})
    return sorted(rows, key=lambda row: row["agrees"])[:HELD_OUT_LISTED]


def verdicts(solution_ids: Iterable[int]) -> dict[int, list[Verdict]]:
    """Return what people said of the steps of some solutions, by solution; practice and superseded revisions do not count."""
    own_steps = Prefetch("steplabel_set", StepLabel.objects.filter(position=0, rating__isnull=False), to_attr="own_steps")
    newest = Annotation.objects.filter(solution__in=list(solution_ids), superseded_by__isnull=True)
    kept = newest.exclude(assignment__batch__kind=BatchKind.PRACTICE)
    found: dict[int, list[Verdict]] = {}
    for one in kept.select_related("labeler").prefetch_related(own_steps).order_by("pk"):
        ratings = {label.step_index: label.rating for label in one.own_steps}
        row = tuple(ratings.get(place) for place in range(max(ratings, default=-1) + 1))
        found.setdefault(one.solution_id, []).append(Verdict(str(one.labeler), row, one.finish_reason))
    return found


def _step_probabilities(version: ModelVersion, solution_id: int) -> list[list[float]] | None:
    """Return the probabilities of each step that were kept; of a solution a round chose, what its selection says."""
    kept = StepScores.objects.filter(model_version=version, solution=solution_id).values_list("probabilities", flat=True).first()
    if kept is not None:
        return kept
    for chosen in Selection.objects.filter(solution=solution_id).select_related("round__model_version").order_by("-pk"):
        made_by = chosen.round.model_version and (rounds.findings_of(chosen.round).chosen_with or chosen.round.model_version.number)
        if chosen.step_scores and chosen.round.project_id == version.project_id and made_by == version.number:
            return [[1 - right, 0.0, right] for right in chosen.step_scores]
    return None
