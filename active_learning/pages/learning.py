"""What the page of the models shows of learning: held-out figures of the versions against the labels that each learned from.

Reads ModelVersion; writes nothing. Judging has measured all versions on the same labels (`registry.learning`), so a page reads numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from active_learning import charts, registry
from active_learning.charts import Chart, Point
from annotation.models import Project
from trainer.counting import counted

LINES = 3  # bases with a line of their own; places 4 and 5 are of position alone and of the base rates
OF_KINDS = 6  # kinds of mistakes with a line of their own
BY = {
    "solutions": ("n_solutions", "labeled solutions that the model learned from"),
    "steps": ("n_rated_steps", "rated steps that the model learned from"),
}
TITLES = {
    "step_auc": ("Step AUC", "step AUC"),
    "first_mistake_f1": ("First-mistake F1", "first-mistake F1"),
    "log_loss": ("Log-loss", "log-loss, nats (lower is better)"),
}
NOTHING_KNOWN = {"step_auc": 0.5, "first_mistake_f1": 0.0}  # of a model that answers the same of every step


@dataclass(frozen=True, slots=True)
class Learned:
    """One version on a curve. figures, low and high: by the names of TITLES; base_rate and position: log-loss and AUC beside them.

    kinds: {kind of mistake: {"auc", "low", "high", "n_wrong"}}, where kinds are known; kinds_before: of the base before any label.
    """

    number: int
    line: str  # the base, and whether it is frozen
    n_solutions: int
    n_rated_steps: int
    figures: Mapping[str, float | None]
    low: Mapping[str, float | None]
    high: Mapping[str, float | None]
    base_rate: float | None
    position: float | None
    kinds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kinds_before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LearningChart:
    """A chart with its title and its key on the page."""

    key: str
    title: str
    chart: Chart | None


@dataclass(frozen=True, slots=True)
class Learning:
    """The curves of a project. by: a key of BY, what the axis counts. measured: sentences, on what the points are measured.

    has_base: whether the base was measured before any label, by kind of mistake. of_kinds: a sentence on what these are measured; empty if
    they are not known.
    """

    by: str
    charts: Sequence[LearningChart]
    measured: str
    has_base: bool
    of_kinds: str


def learning_of(project: Project, *, by: str = "") -> Learning:
    """Return the curves of a project's PRMs. Without a version that has held-out figures there is no chart."""
    by = by if by in BY else next(iter(BY))
    kept = _versions(project)
    same, measured = _measured(kept)
    everyone = [_learned(row, same.get(str(row["number"]))) for row in kept]
    learned = [one for one in everyone if not same or str(one.number) in same]
    drawn = [
        LearningChart(f"learning-{name.replace('_', '-')}", title, _chart(learned, name, y_words, by=by))
        for name, (title, y_words) in TITLES.items()
    ]
    of_kinds = ""
    if any(one.kinds for one in everyone):
        drawn.append(LearningChart("learning-kinds", "Step AUC by kind of mistake", _kinds_chart(everyone, by=by)))
        of_kinds = same_for_kinds([row["kinds_on"] for row in kept if row["kinds"]])
    return Learning(by, drawn if learned else [], measured, any(one.kinds_before for one in learned), of_kinds)


def same_for_kinds(kinds_on: Sequence[Mapping[str, Any] | None]) -> str:
    """Say on which solutions the kinds of mistakes are measured, of one or more versions, and whether these are the same for all."""
    newest = kinds_on[-1]
    if newest and all(one and one["digest"] == newest["digest"] for one in kinds_on):
        return (
            f"Kinds of mistakes are measured on the same {counted(newest['n_solutions'], 'solution')} of "
            f"{counted(newest['n_problems'], 'problem')}, labeled or not, that no model learned from."
        )
    return (
        "Kinds of mistakes are measured on solutions, labeled or not, of problems that the model did not learn from. They can "
        "differ between models, so a small difference can come from the solutions."
    )


def _versions(project: Project) -> list[dict[str, Any]]:
    """Return the newest versions that were measured on held-out labels, the oldest first, with the figures that are shown."""
    paths = {
        "n_solutions": "metrics__training__n_solutions", "n_rated_steps": "metrics__training__n_rated_steps",
        "step_auc": "metrics__step_auc", "log_loss": "metrics__log_loss", "base_rate": "metrics__base_rate_log_loss",
        "position": "metrics__position_auc", "mistake": "metrics__first_mistake", "rates": "metrics__base_rates",
        "kinds": "metrics__kinds", "before": "metrics__kinds_before", "kinds_on": "metrics__kinds_on", "is_frozen": "config__frozen",
        "same": "metrics__learning",
    }  # fmt: skip
    # Not the whole metrics: their curves of losses are long.
    rows = registry.measured_versions(project).values_list("number", "base", *paths.values())[: registry.VERSIONS]
    return [dict(zip(("number", "base", *paths), row, strict=True)) for row in reversed(rows)]


def _measured(kept: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], str]:
    """Return the figures of versions on the same labels, by number, and sentences: on what the points are measured, and who is left out."""
    same: Mapping[str, Any] = next((row["same"] for row in reversed(kept) if row["same"]), {})
    left_out: Mapping[str, int] = same.get("left_out", {})
    if same and all(str(row["number"]) in same["versions"] or str(row["number"]) in left_out for row in kept):
        shown = {str(row["number"]) for row in kept}
        sentences = [
            f"All models are measured on the same labels: those of {counted(same['n_solutions'], 'solution')} of "
            f"{counted(same['n_problems'], 'problem')} that none of them learned from.",
            *_left_out({number: shares for number, shares in left_out.items() if number in shown}, same),
        ]
        return same["versions"], " ".join(sentences)
    if len(kept) < 2:
        return {}, "The model is measured on the problems that were held out when it was trained."
    return {}, (
        "Each model is measured on the problems that were held out when it was trained. They are not the same for all, so a difference "
        "between two points can come from the problems."
    )


def _left_out(left_out: Mapping[str, int], same: Mapping[str, Any]) -> list[str]:
    """Say which versions are not drawn, and why."""
    without = sorted((int(number) for number, shares in left_out.items() if not shares))
    few = sorted((int(number), shares) for number, shares in left_out.items() if shares)
    sentences = []
    if few:
        named = ", ".join(f"PRM {number} ({shares:,})" for number, shares in few)
        sentences.append(
            f"Left out, because too few solutions would be left for all: {named}. At least {same['least']:,} are needed; the newest model "
            f"has {same['n_newest']:,}."
        )
    if without:
        named = ", ".join(f"PRM {number}" for number in without)
        sentences.append(f"Left out, because no step scores of these solutions are stored: {named}.")
    return sentences


def _learned(row: Mapping[str, Any], same: Mapping[str, Any] | None) -> Learned:
    line = f"{row['base']}, frozen" if row["is_frozen"] else row["base"]
    counts = (row["n_solutions"] or 0, row["n_rated_steps"] or 0)
    kinds = (row["kinds"] or {}, row["before"] or {})
    if not same:
        figures = {"step_auc": row["step_auc"], "log_loss": row["log_loss"], "first_mistake_f1": (row["mistake"] or {}).get("f1")}
        return Learned(row["number"], line, *counts, figures, {}, {}, row["base_rate"], row["position"], *kinds)
    figures, low, high = ({name: same[name][end] for name in TITLES} for end in ("value", "low", "high"))
    return Learned(row["number"], line, *counts, figures, low, high, same["base_rate_log_loss"], same["position_auc"], *kinds)


def _place(one: Learned, by: str) -> float:
    return float(getattr(one, BY[by][0]))


def _point(one: Learned, by: str, y: float | None, low: float | None = None, high: float | None = None) -> Point:
    return Point(_place(one, by), y, low, high, of=f"PRM {one.number}")


def _chart(learned: Sequence[Learned], name: str, y_words: str, *, by: str) -> Chart | None:
    """Draw one figure: a line for each base, and beside them what is known without a model, from 0 labels on.

    Lines of models are not drawn down to 0 labels: what a base knows before any label is not measured, and can be much.
    """
    lines = list(dict.fromkeys(one.line for one in reversed(learned)))[:LINES]  # those of the newest versions
    series: list[tuple[str, list[Point]]] = []
    for line in lines:
        own = sorted((one for one in learned if one.line == line), key=lambda one: _place(one, by))
        points = [_point(one, by, one.figures.get(name), one.low.get(name), one.high.get(name)) for one in own]
        series.append((line if len(lines) > 1 else "models", points))
    series += [("", [])] * (LINES - len(series))
    everywhere = sorted(learned, key=lambda one: _place(one, by))
    position = [_point(one, by, one.position) for one in everywhere if one.position is not None] if name == "step_auc" else []
    series.append(("position alone", position))
    if name == "log_loss":
        base = [_point(one, by, one.base_rate) for one in everywhere if one.base_rate is not None]
        base = [Point(0, base[0].y), *base] if base else []
    else:
        base = [Point(0.0, NOTHING_KNOWN[name]), *(_point(one, by, NOTHING_KNOWN[name]) for one in everywhere)]
    series.append(("always the base rates", base))
    most = max((_place(one, by) for one in learned), default=0.0)
    return charts.line_chart(series, x_words=BY[by][1], y_words=y_words, x_range=(0, most or 1.0), of_words="model")


def _kinds_chart(learned: Sequence[Learned], *, by: str) -> Chart | None:
    """Draw the AUC of the kinds with most wrong steps, of the first with its band. At 0 labels stands the base, where it was measured."""
    newest = next(one for one in reversed(learned) if one.kinds)
    by_number = sorted(newest.kinds, key=lambda name: -newest.kinds[name].get("n_wrong", 0))
    names, banded = sorted(by_number[:OF_KINDS]), by_number[0]  # the bands of all kinds would hide the lines
    in_order = sorted(learned, key=lambda one: _place(one, by))
    series = []
    for name in names:
        ends = ("auc", "low", "high") if name == banded else ("auc",)
        line = [_point(one, by, *map(row.get, ends)) for one in in_order if (row := one.kinds.get(name))]
        if before := newest.kinds_before.get(name):
            y, low, high = (before.get(end) if end in ends else None for end in ("auc", "low", "high"))
            line.insert(0, Point(0.0, y, low, high, of="base"))
        series.append((name.replace("_", " "), line))
    most = _place(in_order[-1], by) or 1.0
    return charts.line_chart(series, x_words=BY[by][1], y_words="step AUC", x_range=(0, most), of_words="model")
