"""Results of the experiment: figures (a), (b) and (c), the table of strategies, and all of them as files.

Reads the points of a folder; writes results.json, strategies.csv and a drawing of each figure. The web process reads results.json only.
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
from active_learning.experiment.points import NOTHING, START, ModelPoint
from active_learning.selection import STRATEGIES

TABLE, FORMAT = "strategies.csv", 1
OF_UNIFORM = "PRM, uniform labels"
TRIALS = 2000
TITLES = {
    "a": "Best of {n} over labeled solutions, by kind of label",
    "b": "Best of {n} over labeled solutions, by strategy",
    "c": "Share of problems solved by choosing among N solutions",
}
HEADER = (
    "strategy", "best_of_n", "best_of_n_low", "best_of_n_high", "step_auc", "first_mistake_f1", "slope", "efficiency", "efficiency_low",
    "efficiency_high", "equal_labels", "mistakes_share",
)  # fmt: skip


def summarise(folder: Path) -> dict[str, Any]:
    """Compute the figures of an experiment with all its points, write them and return them. Raises BadPlan."""
    plan = running.kept_plan(folder)
    starts, rest = running.points_of(plan)
    try:
        found = {point: running.point_of(folder, point) for point in (*starts, *rest)}
    except OSError as error:
        raise BadPlan(
            f"The experiment {folder.name} is not finished ({error.filename} is missing). Start it again: it continues."
        ) from error
    values = {arm: _values(plan, found, arm=arm) for arm in plan.strategies}
    kinds = {PROCESS: values[UNIFORM]} | (
        {kind: _values(plan, found, arm=UNIFORM, labels=kind) for kind in (ORACLE, ANSWER)} if plan.outcomes else {}
    )
    tested = points.test_solutions(plan)
    table = [_row(plan, found, values, arm=arm) for arm in plan.strategies]
    results = {
        "format": FORMAT,
        "name": folder.name,
        "plan": plan.as_dict(),
        "fingerprint": plan.fingerprint,
        "labels": list(plan.labels),
        "world": _world(plan, tested),
        "nothing": _nothing(found[ModelPoint(0, NOTHING, 0)]),
        "a": {kind: _curve(own) for kind, own in kinds.items()},
        "b": {arm: _curve(own) for arm, own in values.items()},
        "c": _against_n(plan, found, tested),
        "table": table,
        "best": _best(plan, values),
        "seconds": round(sum(sum(one["seconds"]) for one in found.values()), 1),
        "n_points": len(found),
    }
    running.write(folder / running.RESULTS, json.dumps(results, indent=1) + "\n")
    running.write(folder / TABLE, _csv(table))
    for key, chart in figures(results).items():
        drawing = render_to_string("charts/file.svg", {"chart": chart, "title": TITLES[key].format(n=plan.n_best)})
        running.write(folder / f"figure-{key}.svg", drawing)
    return results


def _values(plan: Plan, found: Mapping[ModelPoint, Any], *, arm: str, labels: str = PROCESS) -> curves.Floats:
    """Return best-of-N as (seeds, sizes, problems); the first size is the start alone, which all arms share."""
    places = [[ModelPoint(seed, START, 0, labels), *(ModelPoint(seed, arm, size, labels) for size in plan.sizes)] for seed in plan.seeds]
    return np.array([[found[point]["best_of_n"] for point in row] for row in places])


def _curve(values: curves.Floats) -> list[dict[str, Any]]:
    """Return mean and interval over the seeds at each size, and the figure of each seed."""
    by_seed = values.mean(axis=2)
    return [asdict(curves.over_seeds(own)) | {"seeds": own.round(4).tolist()} for own in by_seed.T]


def _row(plan: Plan, found: Mapping[ModelPoint, Any], values: Mapping[str, curves.Floats], *, arm: str) -> dict[str, Any]:
    """Return a strategy's row of the table: its figures at the largest size, its slope and data efficiency."""
    labels = np.array(plan.labels, np.float64)
    last = [found[ModelPoint(seed, arm, plan.sizes[-1])] for seed in plan.seeds]
    ratio = curves.efficiency(labels, values, arm=arm, against=UNIFORM, rng=np.random.default_rng(plan.test_world), trials=TRIALS)
    needed = curves.equal_labels(labels, values, arm=arm, against=UNIFORM)
    reached = curves.over_seeds(values[arm][:, -1].mean(axis=1))
    return {
        "strategy": arm,
        "parts": [list(part) for part in plan.strategies[arm]],
        "best_of_n": asdict(reached),
        "step_auc": [round(float(np.mean([found[ModelPoint(s, *at)]["step_auc"] for s in plan.seeds])), 4) for at in _places(plan, arm)],
        "first_mistake_f1": [
            round(float(np.mean([found[ModelPoint(s, *at)]["first_mistake_f1"] or 0 for s in plan.seeds])), 4) for at in _places(plan, arm)
        ],
        "slope": float(curves.slope(labels, values[arm].mean(axis=(0, 2)))),
        "efficiency": asdict(ratio),
        "equal_labels": [None if np.isnan(n) else round(float(n), 2) for n in needed],
        "mistakes_share": round(1 - sum(one["learned"]["n_without_mistake"] for one in last) / (len(last) * plan.sizes[-1]), 3),
        "mistakes": _added([one["learned"]["mistakes"] for one in last]),
        "n_problems": round(float(np.mean([one["learned"]["n_problems"] for one in last])), 1),
    }


def _places(plan: Plan, arm: str) -> list[tuple[str, int]]:
    return [(START, 0), *((arm, size) for size in plan.sizes)]


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    return {kind: sum(one.get(kind, 0) for one in counts) for kind in sorted({kind for one in counts for kind in one})}


def _best(plan: Plan, values: Mapping[str, curves.Floats]) -> str | None:
    """Return the strategy with the steepest line, without uniform; None if there is no other."""
    labels = np.array(plan.labels, np.float64)
    others = [arm for arm in values if arm != UNIFORM]
    return max(others, key=lambda arm: curves.slope(labels, values[arm].mean(axis=(0, 2))), default=None)


def _nothing(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("step_auc", "first_mistake_f1", "log_loss")} | {"best_of_n": float(np.mean(found["best_of_n"]))}


def _world(plan: Plan, tested: list[points.WorldSolution]) -> dict[str, Any]:
    counts = points.summary_of(tested)
    n_wrong_reasoning = sum(one.is_right and one.solution.first_mistake is not None for one in tested)
    return {
        "n_test_problems": plan.n_test_problems,
        "n_test_solutions": plan.n_test_solutions,
        "share_right_answers": round(counts["n_right_answers"] / len(tested), 4),
        "share_without_mistake": round(counts["n_without_mistake"] / len(tested), 4),
        "share_wrong_reasoning_of_right_answers": round(n_wrong_reasoning / max(1, counts["n_right_answers"]), 4),
        "mistakes": {kind: round(n / len(tested), 4) for kind, n in counts["mistakes"].items()},
    }


def _against_n(plan: Plan, found: Mapping[ModelPoint, Any], tested: list[points.WorldSolution]) -> dict[str, Any]:
    """Return best-of-N at the largest size: the PRM of the shown arm and of uniform labels, the ORM of final answers, majority voting."""
    from trainer.evaluate import best_of_n

    by_seed, last = [], plan.sizes[-1]
    for seed in plan.seeds:
        scores = {"PRM": found[ModelPoint(seed, plan.shown, last)]["scores"]}
        if plan.shown != UNIFORM:
            scores[OF_UNIFORM] = found[ModelPoint(seed, UNIFORM, last)]["scores"]
        if plan.outcomes:
            scores["ORM"] = found[ModelPoint(seed, UNIFORM, last, ANSWER)]["scores"]
        by_seed.append(best_of_n(points.samples(tested, scores), seed=seed, trials=300))
    shown = [name for name in ("PRM", "ORM", "majority", OF_UNIFORM, "oracle") if name in by_seed[0].curves]
    means = {name: np.array([one.curves[name].mean for one in by_seed]) for name in shown}
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
    """Return an arm in words for people: a strategy's label, or the arm's own name."""
    return STRATEGIES[arm].label if arm in STRATEGIES else arm


def figures(results: Mapping[str, Any]) -> dict[str, Chart | None]:
    """Lay out the three figures."""
    n = results["plan"]["n_best"]
    over_labels = {
        key: charts.line_chart(
            [
                (arm_label(name), [Point(x, at["value"], at["low"], at["high"]) for x, at in zip(results["labels"], curve, strict=True)])
                for name, curve in results[key].items()
            ],
            x_words="labeled solutions",
            y_words=f"problems solved by the best of {n}",
            is_x_logarithmic=True,
        )
        for key in ("a", "b")
    }
    against = results["c"]
    series = [
        (name, [Point(x, at["value"], at["low"], at["high"]) for x, at in zip(against["n"], curve, strict=True)])
        for name, curve in against["curves"].items()
    ]
    return over_labels | {"c": charts.line_chart(series, x_words="N", y_words="problems solved", is_x_logarithmic=True)}


def read(folder: Path) -> dict[str, Any]:
    """Read what `summarise` wrote. Raises BadPlan if the file is damaged."""
    try:
        results = json.loads((folder / running.RESULTS).read_text(encoding="utf-8"))
        if results["format"] != FORMAT:
            raise ValueError(f"format {results['format']}")
        return results
    except (OSError, ValueError, KeyError) as error:
        raise BadPlan(f"The results of {folder.name} cannot be read ({error}). Start the experiment again: its points are kept.") from error


def summary_lines(results: Mapping[str, Any]) -> list[str]:
    """Return the results of an experiment in lines for a terminal."""
    plan, nothing = results["plan"], results["nothing"]
    lines = [
        f"{results['n_points']} models, {len(plan['seeds'])} seeds, {results['seconds']:.0f} s of training and judging",
        f"0 labels: best of {plan['n_best']} {nothing['best_of_n']:.3f}, step AUC {_in_words(nothing['step_auc'])}",
    ]
    for kind, curve in results["a"].items():
        lines.append(f"(a) {kind}: " + _along(results["labels"], curve))
    for row in results["table"]:
        reached = _along(results["labels"], results["b"][row["strategy"]])
        lines.append(f"(b) {row['strategy']}: {reached}; data efficiency {_with_interval(row['efficiency'])}")
    last = {name: curve[-1]["value"] for name, curve in results["c"]["curves"].items()}
    return [*lines, f"(c) best of {results['c']['n'][-1]}: " + ", ".join(f"{name} {value:.3f}" for name, value in last.items())]


def _along(labels: Sequence[int], curve: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{n} {at['value']:.3f}" for n, at in zip(labels, curve, strict=True))


def _with_interval(ratio: Mapping[str, Any]) -> str:
    if ratio["value"] is None and not ratio["is_unbounded"]:
        return "undefined"
    return f"{_in_words(ratio['value'])} ({_in_words(ratio['low'])} to {_in_words(ratio['high'])})"


def _in_words(figure: float | None) -> str:
    return "unbounded" if figure is None else f"{figure:.2f}"
