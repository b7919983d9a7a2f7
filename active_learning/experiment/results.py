"""Part of the experiment: its results. Figures (a), (b) and (c) and the table of strategies, in memory and as files.

Reads the points of a folder. Writes results.json, strategies.csv and a drawing of each figure. The web process reads only results.json.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from django.template.loader import render_to_string

from active_learning import charts
from active_learning.charts import Chart, Point
from active_learning.experiment import curves, points, running
from active_learning.experiment.plan import ANSWER, ORACLE, PROCESS, UNIFORM, BadPlan, Plan
from active_learning.experiment.points import NOTHING, START, TrainingPoint, WorldSolution
from active_learning.selection import STRATEGIES

ByPoint = Mapping[TrainingPoint, dict[str, Any]]  # the figures of each point

TABLE, FORMAT = "strategies.csv", 1
OF_UNIFORM = "PRM, uniform labels"
TRIALS = 2000
TITLES = {
    "a": "Best of {n} by number of labeled solutions, for each kind of label",
    "b": "Best of {n} by number of labeled solutions, for each strategy",
    "c": "Share of problems solved by choosing among N solutions",
}
EFFICIENCY_WORDS = (  # the page, the command and docs/experiment.md all use these words
    "Data efficiency says how fast a strategy improves compared with random labels: 2 means twice as fast.",
    "It is the slope of the strategy's line divided by the slope of the line for random labels; both lines are fitted to best-of-N over "
    "the logarithm of the number of labels.",
)
HEADER = (
    "strategy", "best_of_n", "best_of_n_low", "best_of_n_high", "step_auc", "first_mistake_f1", "slope", "efficiency", "efficiency_low",
    "efficiency_high", "equal_labels", "mistakes_share",
)  # fmt: skip


def summarise(folder: Path) -> dict[str, Any]:
    """Compute the results of an experiment whose points are all there, write them to files and return them. Raises BadPlan."""
    plan = running.read_plan(folder)
    starts, rest = running.all_points(plan)
    try:
        by_point = {point: running.read_point(folder, point) for point in (*starts, *rest)}
    except OSError as error:
        raise BadPlan(
            f"The experiment {folder.name} is not finished ({error.filename} is missing). Start it again: it continues where it stopped."
        ) from error
    values = {arm: _values(plan, by_point, arm=arm) for arm in plan.strategies}
    kinds = {PROCESS: values[UNIFORM]} | (
        {kind: _values(plan, by_point, arm=UNIFORM, labels=kind) for kind in (ORACLE, ANSWER)} if plan.outcomes else {}
    )
    tested = points.make_test_solutions(plan)
    table = [_row(plan, by_point, values, arm=arm) for arm in plan.strategies]
    results = {
        "format": FORMAT,
        "name": folder.name,
        "plan": plan.as_dict(),
        "fingerprint": plan.fingerprint,
        "labels": list(plan.labels),
        "world": _describe_world(plan, tested),
        "nothing": _without_labels(by_point[TrainingPoint(0, NOTHING, 0)]),
        "a": {kind: _curve(own) for kind, own in kinds.items()},
        "b": {arm: _curve(own) for arm, own in values.items()},
        "c": _against_n(plan, by_point, tested),
        "table": table,
        "best": _best(plan, values),
        "seconds": round(sum(sum(figures["seconds"]) for figures in by_point.values()), 1),
        "n_points": len(by_point),
    }
    running.write_text(folder / running.RESULTS, json.dumps(results, indent=1) + "\n")
    running.write_text(folder / TABLE, _csv(table))
    for key, chart in draw_figures(results).items():
        drawing = render_to_string("charts/file.svg", {"chart": chart, "title": TITLES[key].format(n=plan.n_best)})
        running.write_text(folder / f"figure-{key}.svg", drawing)
    return results


def _values(plan: Plan, by_point: ByPoint, *, arm: str, labels: str = PROCESS) -> curves.Floats:
    """Return best-of-N as (seeds, sizes, problems). The first size is the start alone, which all arms share."""
    rows = [
        [TrainingPoint(seed, START, 0, labels), *(TrainingPoint(seed, arm, size, labels) for size in plan.sizes)] for seed in plan.seeds
    ]
    return np.array([[by_point[point]["best_of_n"] for point in row] for row in rows])


def _curve(values: curves.Floats) -> list[dict[str, Any]]:
    """Return the mean and the interval over the seeds at each size, and the figure of each seed."""
    by_seed = values.mean(axis=2)
    return [asdict(curves.over_seeds(own)) | {"seeds": own.round(4).tolist()} for own in by_seed.T]


def _row(plan: Plan, by_point: ByPoint, values: Mapping[str, curves.Floats], *, arm: str) -> dict[str, Any]:
    """Return a strategy's row of the table: its figures at the largest size, its slope and its data efficiency."""
    labels = np.array(plan.labels, np.float64)
    last = [by_point[TrainingPoint(seed, arm, plan.sizes[-1])] for seed in plan.seeds]
    learned = [figures["learned"] for figures in last]
    ratio = curves.efficiency(labels, values, arm=arm, against=UNIFORM, rng=np.random.default_rng(plan.test_world), trials=TRIALS)
    needed = curves.equal_labels(labels, values, arm=arm, against=UNIFORM)
    reached = curves.over_seeds(values[arm][:, -1].mean(axis=1))
    return {
        "strategy": arm,
        "parts": [list(part) for part in plan.strategies[arm]],
        "best_of_n": asdict(reached),
        "step_auc": _means(plan, by_point, arm=arm, figure="step_auc"),
        "first_mistake_f1": _means(plan, by_point, arm=arm, figure="first_mistake_f1", missing=0.0),
        "slope": float(curves.slope(labels, values[arm].mean(axis=(0, 2)))),
        "efficiency": asdict(ratio),
        "equal_labels": [None if np.isnan(n) else round(float(n), 2) for n in needed],
        "mistakes_share": round(1 - sum(counts["n_without_mistake"] for counts in learned) / (len(last) * plan.sizes[-1]), 3),
        "mistakes": _add_up([counts["mistakes"] for counts in learned]),
        "n_problems": round(float(np.mean([counts["n_problems"] for counts in learned])), 1),
    }


def _means(plan: Plan, by_point: ByPoint, *, arm: str, figure: str, missing: float | None = None) -> list[float]:
    """Return the mean of a figure over the seeds, for the start and each size. `missing` stands in for a model without the figure."""
    means = []
    for place, size in ((START, 0), *((arm, size) for size in plan.sizes)):
        values = [by_point[TrainingPoint(seed, place, size)][figure] for seed in plan.seeds]
        means.append(round(float(np.mean([missing if value is None else value for value in values])), 4))
    return means


def _add_up(counts: list[dict[str, int]]) -> dict[str, int]:
    return {kind: sum(row.get(kind, 0) for row in counts) for kind in sorted({kind for row in counts for kind in row})}


def _best(plan: Plan, values: Mapping[str, curves.Floats]) -> str | None:
    """Return the strategy with the steepest line, uniform not included; None if there is no other."""
    labels = np.array(plan.labels, np.float64)
    slopes = {arm: float(curves.slope(labels, own.mean(axis=(0, 2)))) for arm, own in values.items() if arm != UNIFORM}
    return max(slopes, key=lambda arm: slopes[arm], default=None)


def _without_labels(figures: Mapping[str, Any]) -> dict[str, Any]:
    best_of_n = float(np.mean(figures["best_of_n"]))
    return {name: figures[name] for name in ("step_auc", "first_mistake_f1", "log_loss")} | {"best_of_n": best_of_n}


def _describe_world(plan: Plan, tested: list[WorldSolution]) -> dict[str, Any]:
    counts = points.count_solutions(tested)
    n_wrong_reasoning = sum(s.is_right and s.simulated.first_mistake is not None for s in tested)
    return {
        "n_test_problems": plan.n_test_problems,
        "n_test_solutions": plan.n_test_solutions,
        "share_right_answers": round(counts["n_right_answers"] / len(tested), 4),
        "share_without_mistake": round(counts["n_without_mistake"] / len(tested), 4),
        "share_wrong_reasoning_of_right_answers": round(n_wrong_reasoning / max(1, counts["n_right_answers"]), 4),
        "mistakes": {kind: round(n / len(tested), 4) for kind, n in counts["mistakes"].items()},
    }


def _against_n(plan: Plan, by_point: ByPoint, tested: list[WorldSolution]) -> dict[str, Any]:
    """Return best-of-N at the largest size: the PRMs of the plan's arm and of uniform labels, the ORM of final answers, majority voting."""
    from trainer.evaluate import best_of_n

    by_seed, last = [], plan.sizes[-1]
    for seed in plan.seeds:
        scores = {"PRM": by_point[TrainingPoint(seed, plan.shown, last)]["scores"]}
        if plan.shown != UNIFORM:
            scores[OF_UNIFORM] = by_point[TrainingPoint(seed, UNIFORM, last)]["scores"]
        if plan.outcomes:
            scores["ORM"] = by_point[TrainingPoint(seed, UNIFORM, last, ANSWER)]["scores"]
        by_seed.append(best_of_n(points.group_by_problem(tested, scores), seed=seed, trials=300))
    names = [name for name in ("PRM", "ORM", "majority", OF_UNIFORM, "oracle") if name in by_seed[0].curves]
    means = {name: np.array([report.curves[name].mean for report in by_seed]) for name in names}
    return {"n": list(by_seed[0].n), "curves": {name: [asdict(curves.over_seeds(at)) for at in own.T] for name, own in means.items()}}


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for row in rows:
        reached, ratio = row["best_of_n"], row["efficiency"]
        cells = (
            row["strategy"],
            reached["value"],
            reached["low"],
            reached["high"],
            row["step_auc"][-1],
            row["first_mistake_f1"][-1],
            row["slope"],
            ratio["value"],
            ratio["low"],
            ratio["high"],
            row["equal_labels"][-1],
            row["mistakes_share"],
        )
        writer.writerow(["" if cell is None else cell if isinstance(cell, str) else f"{cell:.4f}" for cell in cells])
    return out.getvalue()


# --- drawings and pages -------------------------------------------------------------------------------------------------------


def arm_label(arm: str) -> str:
    """Return the words for an arm on pages and in output: the label of a strategy, or the name of the arm."""
    return STRATEGIES[arm].label if arm in STRATEGIES else arm


def draw_figures(results: Mapping[str, Any]) -> dict[str, Chart | None]:
    """Lay out the three figures."""
    labels, n_best, against = results["labels"], results["plan"]["n_best"], results["c"]
    solved = f"share of problems solved, best of {n_best}"
    over_labels = {
        key: charts.line_chart(_series(labels, results[key]), x_words="labeled solutions", y_words=solved, is_x_logarithmic=True)
        for key in ("a", "b")
    }
    over_n = charts.line_chart(
        _series(against["n"], against["curves"]), x_words="N", y_words="share of problems solved", is_x_logarithmic=True
    )
    return over_labels | {"c": over_n}


def _series(xs: Sequence[int], lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, list[Point]]]:
    return [
        (arm_label(name), [Point(x, at["value"], at["low"], at["high"]) for x, at in zip(xs, line, strict=True)])
        for name, line in lines.items()
    ]


def read_results(folder: Path) -> dict[str, Any]:
    """Read the results that `summarise` wrote. Raises BadPlan if they are damaged."""
    try:
        results: dict[str, Any] = json.loads((folder / running.RESULTS).read_text(encoding="utf-8"))
        if results["format"] != FORMAT:
            raise ValueError(f"format {results['format']}")
        return results
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPlan(
            f"The results of {folder.name} cannot be read ({error}). Start the experiment again: its trained models are still there."
        ) from error


def result_lines(results: Mapping[str, Any]) -> list[str]:
    """Describe the results in lines for a terminal."""
    plan, without = results["plan"], results["nothing"]
    best, labels = f"best of {plan['n_best']}", ", ".join(map(str, results["labels"]))
    lines = [
        f"{results['n_points']} models, {len(plan['seeds'])} seeds, {results['seconds']:.0f} s of training and judging.",
        f"Without labels: {best} {without['best_of_n']:.3f}, step AUC {_write(without['step_auc'])}.",
        f"(a) Kinds of label: {best} with {labels} labeled solutions:",
        *(f"    {kind}: {_along(curve)}" for kind, curve in results["a"].items()),
        f"(b) Strategies: {best} with {labels} labeled solutions, and data efficiency with its 95 % interval:",
    ]
    for row in results["table"]:
        lines.append(f"    {arm_label(row['strategy'])}: {_along(results['b'][row['strategy']])}; {_write_ratio(row['efficiency'])}")
    last = {name: curve[-1]["value"] for name, curve in results["c"]["curves"].items()}
    lines.append(f"(c) Share of problems solved by choosing among {results['c']['n'][-1]} solutions:")
    lines += [f"    {name}: {value:.3f}" for name, value in last.items()]
    return [*lines, *EFFICIENCY_WORDS]


def _along(curve: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{at['value']:.3f}" for at in curve)


def _write_ratio(ratio: Mapping[str, Any]) -> str:
    if ratio["value"] is None and not ratio["is_unbounded"]:
        return "undefined"
    return f"{_write(ratio['value'])} ({_write(ratio['low'])} to {_write(ratio['high'])})"


def _write(figure: float | None) -> str:
    return "unbounded" if figure is None else f"{figure:.2f}"
