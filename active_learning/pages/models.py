"""What the pages of the models show: all versions, one version's figures and charts, two versions compared, and what
people answered on solutions.

Reads ModelVersion, StepScores and labels; writes nothing. The web process calls it: numpy, never torch.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, OuterRef, QuerySet, Value, When

from active_learning import charts, registry
from active_learning.charts import Chart, Point
from active_learning.models import ModelKind, ModelState, ModelVersion, StepScores
from active_learning.pages.mistakes import mistake_table
from annotation import eligibility
from annotation.eligibility import LeftOut, Use
from annotation.models import Annotation, FinishReason, Project, Solution, StepLabel
from trainer.evaluate import FEWEST, UNGROUPED, Judged, compare, first_weak_step, solution_score
from trainer.naming import FETCHED

CURVES = ["PRM", "ORM", "majority", "PRM-weighted voting", "oracle", "mean"]  # in this order they get their colours
BANDED = CURVES[:3]  # six bands over one another would hide the lines
HELD_OUT_LISTED, HELD_OUT_OPEN = 60, 12
KINDS = {ModelKind.PRM: "Process reward models", ModelKind.ORM: "Outcome reward models"}
FIGURE_WORDS = {"log_loss": "log-loss", "step_auc": "step AUC", "first_mistake_f1": "first-mistake F1"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a version, next to what a model scores that always answers the base rates."""

    words: str
    value: str
    base_rate: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a version in words, and the class of its chip."""

    words: str
    chip: str


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version in a list."""

    version: ModelVersion
    standing: Standing
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class KindRows:
    """The versions of one kind, newest first. ready: those that can be compared; first: the one to compare with the newest."""

    kind: str
    words: str
    rows: Sequence[VersionRow]
    ready: Sequence[ModelVersion]
    first: ModelVersion | None


@dataclass(frozen=True, slots=True)
class ShareChosen:
    """How often a way of choosing among N is right, and its 95 % interval, in words. A dash: there are no samples."""

    share: str
    interval: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The figures of a model on the problems of one subject or one level, in words."""

    name: str
    n_problems: int  # with labels
    n_solutions: int
    auc: str
    interval: str  # 95 %, of the AUC
    is_small: bool  # too few problems with labels to say anything
    n_sampled: int  # problems with graded samples
    choices: Sequence[ShareChosen]  # of each way of choosing among N
    is_sampled_small: bool


@dataclass(frozen=True, slots=True)
class GroupTable:
    """The figures of a model by subject, or by level. choices: the ways of choosing among n solutions; empty: there are no samples."""

    words: str
    rows: Sequence[GroupRow]
    choices: Sequence[str]
    n: int | None


@dataclass(frozen=True, slots=True)
class HeldOutRow:
    """A held-out solution, with the first mistake that the model sees and the ones that people found."""

    solution: Solution
    score: float
    weak: int | None
    mistakes: Sequence[int | None]

    @property
    def agrees(self) -> bool:
        return self.weak in self.mistakes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one person answered on a solution: a rating per step, None for a step without one."""

    labeler: str
    ratings: tuple[int | None, ...]
    finish_reason: str
    mark: str = ""  # why it does not count for every use (eligibility)

    @property
    def is_opinion(self) -> bool:
        """Whether it is compared with what the model sees."""
        return self.mark in ("", LeftOut.ADJUDICATED)

    @property
    def first_mistake(self) -> int | None:
        return next((place for place, rating in enumerate(self.ratings) if rating == -1), None)

    def rating_of(self, place: int) -> int | None:
        return self.ratings[place] if place < len(self.ratings) else None


def all_versions(project: Project) -> list[KindRows]:
    """Return the versions by kind. A kind without any is left out, except the PRM."""
    versions = list(ModelVersion.objects.filter(project=project).order_by("-number")[:200])
    kinds = []
    for kind, words in KINDS.items():
        own = [version for version in versions if version.kind == kind]
        ready = [version for version in own if version.state == ModelState.READY]
        # The champion, or what served before it, with the newest.
        first = next((version for version in ready[1:] if version.champion), ready[1] if len(ready) > 1 else None)
        if own or kind == ModelKind.PRM:
            rows = [VersionRow(version, standing(version), model_figures(version.metrics)) for version in own]
            kinds.append(KindRows(kind, words, rows, ready, first))
    return kinds


def standing(version: ModelVersion) -> Standing:
    """Return the state of a version in words."""
    if version.champion:
        return Standing("serves", "champion")
    if version.state != ModelState.READY:
        return Standing(version.get_state_display().lower(), version.state)
    if version.decision.get("promoted") is False:
        return Standing("waits for a person", "waiting")
    return Standing("served before", "") if version.decision.get("promoted") else Standing("ready", "ready")


def one_version(project: Project, number: int) -> dict[str, Any]:
    """Return what the page of one version shows. Raises registry.NoSuchVersion."""
    version = registry.find(project, number)
    is_prm, listed = version.kind == ModelKind.PRM, held_out(version)
    return {
        "version": version,
        "fetched": FETCHED.get(version.base),
        "standing": standing(version),
        "figures": model_figures(version.metrics),
        "cautions": registry.cautions_of(version),
        "training": version.metrics.get("training") or {},
        "card": registry.card(version),
        "curve": training_chart([(f"model {number}", version)]),
        "best_of_n": best_of_n_chart(version.metrics.get("best_of_n")),
        "calibration": calibration_chart(version.metrics.get("calibration"), words="negative" if is_prm else "wrong"),
        "groups": group_tables(version.metrics.get("groups") or {}),
        "has_groups": "groups" in version.metrics,
        "fewest": FEWEST,
        "mistakes": mistake_table(project, until=number) if "kinds" in version.metrics else None,
        "before": version.decision.get("before") if version.champion else None,
        "first_held_out": listed[:HELD_OUT_OPEN],
        "more_held_out": listed[HELD_OUT_OPEN:],
        "champion": registry.serving_version(project, version.kind),
        "comparison": comparison_rows(version.decision.get("comparison")),
    }


def compared_versions(project: Project, number: int, other: int) -> dict[str, Any]:
    """Return two versions compared: their figures, the differences with intervals, and both curves. Raises registry.NoSuchVersion."""
    first, second = registry.find(project, number), registry.find(project, other)
    pairs = zip(model_figures(first.metrics), model_figures(second.metrics), strict=True) if first.kind == second.kind else []
    comparison = _compared_when_trained(first, second) or _compared_on_kept_scores(first, second)
    names = (f"{first.kind.upper()} {number}", f"{second.kind.upper()} {other}")
    return {
        "first": first,
        "second": second,
        "both": [(version, standing(version)) for version in (first, second)],
        "names": names,
        "figures": list(pairs),
        "rows": comparison_rows(comparison),
        "comparison": comparison,
        "curve": training_chart([(names[0], first), (names[1], second)]),
        "best_of_n": best_of_n_chart(*[version.metrics.get("best_of_n") for version in (first, second)], names=names, kind=first.kind),
        "settings": _differing_settings(first, second),
    }


# --- figures ------------------------------------------------------------------------------------------------------------------


def model_figures(metrics: dict[str, Any]) -> list[Figure]:
    """Return the held-out figures next to the base rate, AUC and log-loss first; a dash for one that is missing or undefined."""
    mistake, calibration = metrics.get("first_mistake") or {}, metrics.get("calibration") or {}
    calibration_rows = (
        ("calibration error", calibration.get("expected_error"), "{:.3f}", None),
        ("temperature", calibration.get("temperature"), "{:.2f}", None),
    )
    if "solution_auc" in metrics:
        return _written(
            ("solution AUC, right against wrong", metrics["solution_auc"], "{:.3f}", 0.5),
            ("log-loss, nats", metrics["log_loss"], "{:.3f}", metrics["base_rate_log_loss"]),
            ("share of right solutions", metrics["share_right"], "{:.1%}", None),
            *calibration_rows,
        )
    return _written(
        ("step AUC", metrics.get("step_auc"), "{:.3f}", 0.5),
        ("log-loss, nats", metrics.get("log_loss"), "{:.3f}", metrics.get("base_rate_log_loss")),
        ("first-mistake F1", mistake.get("f1"), "{:.1%}", 0.0),
        ("first mistake found at the right step", mistake.get("accuracy_wrong"), "{:.1%}", 0.0),
        ("solutions without a mistake recognized", mistake.get("accuracy_right"), "{:.1%}", 1.0),
        *calibration_rows,
    )


def group_tables(groups: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[GroupTable]:
    """Return the tables by subject and by level of what `registry.judge` kept."""
    tables = []
    for by in ("subject", "level"):
        rows = dict(sorted(groups.get(by, {}).items(), key=lambda row: _in_order(row[0])))
        if not rows:
            continue
        sampled = [row["best_of_n"] for row in rows.values() if "best_of_n" in row]
        choices = [name for name in BANDED if sampled and name in sampled[0]]
        n = next((row["n"] for row in rows.values() if "n" in row), None)
        tables.append(GroupTable(by, [_group_row(name, by, row, choices) for name, row in rows.items()], choices, n))
    return tables


def _in_order(name: str) -> tuple[bool, list[tuple[int, str]]]:
    """Sort by name, numbers in it by their value, and what has no group last. The database keeps no order of groups."""
    parts = re.split(r"(\d+)", name)
    return name == UNGROUPED, [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in parts]


def _group_row(name: str, by: str, row: Mapping[str, Any], choices: Sequence[str]) -> GroupRow:
    auc, low, high = row.get("step_auc"), row.get("step_auc_low"), row.get("step_auc_high")
    shares = [row.get("best_of_n", {}).get(choice) for choice in choices]
    return GroupRow(
        name=f"no {by}" if name == UNGROUPED else name,
        n_problems=row.get("n_labeled_problems", 0),
        n_solutions=row.get("n_solutions", 0),
        auc="–" if auc is None else f"{auc:.3f}",
        interval="" if auc is None or low is None else f"{low:.3f} to {high:.3f}",
        is_small=row.get("too_few_labeled", False),
        n_sampled=row.get("n_sampled_problems", 0),
        choices=[
            ShareChosen(f"{share['mean']:.1%}", f"{share['low']:.1%} to {share['high']:.1%}") if share else ShareChosen("–", "")
            for share in shares
        ],
        is_sampled_small=row.get("too_few_sampled", False),
    )


def _written(*rows: tuple[str, float | None, str, float | None]) -> list[Figure]:
    return [
        Figure(name, "–" if value is None else form.format(value), "" if value is None or base is None else form.format(base))
        for name, value, form, base in rows
    ]


def training_chart(named: Sequence[tuple[str, ModelVersion]]) -> Chart | None:
    """Draw the losses over the optimizer steps of a training, finished or running. Of several trainings, draw the rating loss alone."""
    series = []
    for name, version in named:
        curve = (version.metrics.get("training") or {}).get("curve") or version.progress.get("curve") or []
        parts = {"rating_loss": "rating loss", "token_loss": "token loss"} if len(named) == 1 else {"rating_loss": f"rating loss, {name}"}
        series += [(words, _over_phases(curve, part)) for part, words in parts.items()]
    return charts.line_chart(series, x_words="optimizer steps", y_words="loss, nats")


def _over_phases(curve: Sequence[dict[str, Any]], part: str) -> list[Point]:
    """Put the phases of a training one after the other on one axis."""
    points, offset, phase, length = [], 0, None, 0
    for one in curve:
        name = one.get("phase") or one["stage"]  # the key of models trained before 0.1.0
        if name != phase:
            offset, phase = offset + length, name
        length = one["total"] or one["done"]
        if one.get(part) is not None:
            points.append(Point(offset + one["done"], one[part]))
    return points


def best_of_n_chart(*reports: dict[str, Any] | None, names: Sequence[str] = (), kind: str = "") -> Chart | None:
    """Draw the paper's Figure 3. Of several versions, draw their own curves and the majority voting of the first one."""
    # A missing curve keeps its place, so the others keep theirs: the PRM has the same colour on every page.
    if names:
        chosen = [(words, report, kind.upper()) for words, report in zip(names, reports, strict=True)]
        chosen.append(("majority", reports[0], "majority"))
    else:
        chosen = [(name, reports[0], name) for name in CURVES]
    named = [(words, _curve(report, name)) for words, report, name in chosen]
    x_words = "N = number of solutions per problem"
    return charts.line_chart(named, x_words=x_words, y_words="share of problems solved, best of N", is_x_logarithmic=True)


def _curve(report: dict[str, Any] | None, name: str) -> list[Point]:
    """Return one curve of a best-of-N figure; nothing if it is missing."""
    curve = report["curves"].get(name) if report else None
    if report is None or curve is None:
        return []
    none = [None] * len(curve["mean"])
    low, high = (curve["low"], curve["high"]) if name in BANDED else (none, none)
    return [Point(*row) for row in zip(report["n"], curve["mean"], low, high, strict=True)]


def calibration_chart(report: dict[str, Any] | None, *, words: str) -> Chart | None:
    """Draw how often steps are negative, or solutions wrong, against the probability that the model gave."""
    bins = [Point(bin_["predicted"], bin_["observed"]) for bin_ in (report or {}).get("bins", []) if bin_["n"]]
    return charts.line_chart(
        [("observed", bins)],
        x_words=f"predicted p({words})",
        y_words=f"share {words}",
        y_range=(0, 1),
        x_range=(0, 1),
        is_diagonal_drawn=True,
    )


def comparison_rows(comparison: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the differences of a comparison as rows: champion, challenger, difference and its interval."""
    figures = comparison["figures"] if comparison else {}
    return [{"words": words, **figures[name]} for name, words in FIGURE_WORDS.items() if name in figures]


# --- two versions -------------------------------------------------------------------------------------------------------------


def _compared_when_trained(first: ModelVersion, second: ModelVersion) -> dict[str, Any] | None:
    """Return the comparison made when the second version was judged, if the first one was the champion then."""
    is_the_same = second.decision.get("champion") == first.number and second.kind == first.kind
    return second.decision.get("comparison") if is_the_same else None


def _compared_on_kept_scores(first: ModelVersion, second: ModelVersion) -> dict[str, Any] | None:
    """Compare two versions on the solutions that were held out from both, if step scores of both are stored."""
    stored = [
        dict(StepScores.objects.filter(model_version=version, held_out=True).values_list("solution_id", "probabilities"))
        for version in (first, second)
    ]
    both = sorted(stored[0].keys() & stored[1].keys())
    rows = Solution.objects.filter(pk__in=both).values_list("pk", "problem_id", "steps")
    facts = {key: (problem, len(steps)) for key, problem, steps in rows}
    answers = verdicts(first.project_id, both)
    judged = [
        [
            Judged(str(facts[key][0]), np.array(scores[key], np.float32).reshape(-1, 3), answer.ratings, facts[key][1])
            for key in both
            for answer in answers.get(key, [])
            if answer.finish_reason != FinishReason.BAD_PROBLEM
        ]
        for scores in stored
    ]
    return compare(judged[0], judged[1], trials=1000).as_dict() if judged[0] else None


def _differing_settings(first: ModelVersion, second: ModelVersion) -> list[tuple[str, Any, Any]]:
    names = [*first.config, *(name for name in second.config if name not in first.config)]
    rows = [(name, first.config.get(name), second.config.get(name)) for name in names]
    return [row for row in [("base", first.base, second.base), *rows[1:]] if row[1] != row[2]]


# --- solutions ----------------------------------------------------------------------------------------------------------------


def held_out(version: ModelVersion) -> list[HeldOutRow]:
    """Return some held-out solutions, those on which the model and people differ first."""
    stored = StepScores.objects.filter(model_version=version, held_out=True).select_related("solution__problem").order_by("pk")[:200]
    answers = verdicts(version.project_id, [scores.solution_id for scores in stored])
    threshold = version.metrics.get("threshold", 0.5)
    rows = []
    for scores in stored:
        solution, probabilities = scores.solution, np.array(scores.probabilities, np.float32).reshape(-1, 3)
        score = solution_score(probabilities, unread_steps=len(solution.steps) - len(probabilities))
        mistakes = [answer.first_mistake for answer in answers.get(solution.pk, [])]
        rows.append(HeldOutRow(solution, score, first_weak_step(probabilities, threshold=threshold), mistakes))
    return sorted(rows, key=lambda row: row.agrees)[:HELD_OUT_LISTED]


def verdicts(project_id: int, solution_ids: Iterable[int]) -> dict[int, list[Verdict]]:
    """Return what people answered on some solutions of a project, by solution: what a model would learn from."""
    counts = eligibility.does_count(Use.TRAINING, project=project_id)
    return _by_solution(Annotation.objects.filter(counts, solution__in=list(solution_ids)))


def marked_verdicts(project_id: int, solution_ids: Iterable[int]) -> dict[int, list[Verdict]]:
    """Return all work and all adjudications of some solutions, by solution, marked where they do not count for every use."""
    listed = eligibility.listed(project_id).filter(solution__in=list(solution_ids))
    return _by_solution(eligibility.marked(listed, project=project_id))


def first_verdicts(project_id: int, solution_ids: Iterable[int], *, each: int, by: str) -> tuple[dict[int, list[Verdict]], set[int]]:
    """Return as `marked_verdicts`, but some of each solution: those of one person (`by`, a user name; empty: nobody), then the oldest.

    The second value names the solutions that have more.
    """
    order = (Case(When(labeler__username=by, then=0), default=1), "pk") if by else ("pk",)
    oldest = eligibility.listed(project_id).filter(solution=OuterRef("pk")).order_by(*order).values("pk")[: each + 1]
    found = dict(Solution.objects.filter(pk__in=list(solution_ids)).values_list("pk", ArraySubquery(oldest)))
    annotations = Annotation.objects.filter(pk__in=[key for keys in found.values() for key in keys[:each]])
    marked = eligibility.marked(annotations, project=project_id)
    return _by_solution(marked), {solution for solution, keys in found.items() if len(keys) > each}


def _by_solution(annotations: QuerySet[Annotation]) -> dict[int, list[Verdict]]:
    """Return annotations by solution, the oldest first. As rows of plain values: hundreds of people can have answered one solution."""
    mark = "mark" if "mark" in annotations.query.annotations else Value("")
    rows = list(annotations.order_by("pk").values_list("pk", "solution", "labeler__username", "finish_reason", mark))
    rated = StepLabel.objects.filter(annotation__in=[row[0] for row in rows], position=0, rating__isnull=False).order_by()
    labels: Any = rated.values_list("annotation", "step_index", "rating")
    ratings: dict[int, dict[int, int]] = {}
    for annotation, step, rating in labels:
        ratings.setdefault(annotation, {})[step] = rating
    by_solution: dict[int, list[Verdict]] = {}
    for key, solution, labeler, finish_reason, mark in rows:
        own = ratings.get(key, {})
        row = tuple(own.get(place) for place in range(max(own, default=-1) + 1))
        by_solution.setdefault(solution, []).append(Verdict(labeler, row, finish_reason, mark))
    return by_solution
