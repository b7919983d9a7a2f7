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
from active_learning.experiment import curves, origins, points, protocol, running
from active_learning.experiment.plan import ANSWER, FEW, ORACLE, POOL, PROCESS, START, UNIFORM, BadPlan, Plan
from active_learning.experiment.points import TrainingPoint, WorldSolution
from active_learning.experiment.protocol import COSTS, FIGURES
from active_learning.selection import STRATEGIES

ByPoint = Mapping[TrainingPoint, dict[str, Any]]  # the figures of each point

TABLE, FORMAT = "strategies.csv", 2
FORMATS = (1, FORMAT)  # 1: of earlier releases, without differences
OF_UNIFORM = "PRM, uniform labels"
TITLES = {
    "a": "Best of {n} by number of labeled solutions, for each kind of label",
    "b": "Best of {n} by number of labeled solutions, for each strategy",
    "c": "Share of problems solved by choosing among N solutions",
}
DIFFERENCE_WORDS = (  # the page, the command and docs/experiment.md all use these words
    "The difference of slopes says how much more a strategy gains than random labels each time the number of labels grows e-fold.",
    "The difference of areas says how much higher its curve is on average.",
    "Both are paired: those of best-of-N are taken for each seed and test problem, and their 95 % interval is over both.",
    "Those of the step AUC are taken for each seed, and their interval is over the seeds alone, as those of all curves are.",
)
NOTHING_FOUND: Mapping[str, Any] = {"value": None, "low": None, "high": None}
NO_RATIO = "no ratio: random labels taught nothing beyond noise here"
NO_RATIO_OF_ONE = "no ratio: one seed alone does not tell whether random labels teach"
NOT_KNOWN = "no ratio: not every model has this figure"
OLD = (
    "An earlier release measured this experiment, and it has no differences with intervals. For them, start one under another name: "
    "models of this release cannot be added to it."
)
COMPARED = [(figure, cost, kind) for figure in FIGURES for cost in COSTS for kind in ("slope", "area")]
ESTIMATED = ["best_of_n", "slope", *(f"{figure}_{kind}_over_{cost}" for figure, cost, kind in COMPARED), "ratio"]
HEADER = [
    "strategy",
    *(name + end for name in ESTIMATED for end in ("", "_low", "_high")),
    "step_auc",
    "first_mistake_f1",
    "mistakes_share",
]


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
    origins.check_one(folder, {point.key: figures.get("made_of") for point, figures in by_point.items()})
    _check_numbers(plan, folder, by_point)
    values = {arm: _values(plan, by_point, arm=arm) for arm in plan.strategies}
    kinds = {PROCESS: values[UNIFORM]} | (
        {kind: _values(plan, by_point, arm=UNIFORM, labels=kind) for kind in (ORACLE, ANSWER)} if plan.outcomes else {}
    )
    tested = points.make_test_solutions(plan)
    aucs = {arm: _values(plan, by_point, arm=arm, figure="step_auc") for arm in plan.strategies}
    costs = {arm: _costs(plan, by_point, arm=arm) for arm in plan.strategies}
    table = [_row(plan, by_point, {"best_of_n": values, "step_auc": aucs}, costs, arm=arm) for arm in plan.strategies]
    results = {
        "format": FORMAT,
        "name": folder.name,
        "plan": plan.as_dict(),
        "fingerprint": plan.fingerprint,
        "code": sorted({figures.get("made_of", {}).get("code", "") for figures in by_point.values()}),  # "": an earlier release
        "labels": list(plan.labels),
        "world": _describe_world(plan, tested),
        "protocol": protocol.describe(plan, folder),
        "primary": _primary(plan, folder),
        "few": _with_few_labels(plan, by_point),
        "a": {kind: _curve(own) for kind, own in kinds.items()},
        "b": {arm: _curve(own) for arm, own in values.items()},
        "c": _against_n(plan, by_point, tested),
        "table": table,
        "seconds": round(sum(sum(figures["seconds"]) for figures in by_point.values()), 1),
        "n_points": len(by_point),
    }
    running.write_text(folder / running.RESULTS, json.dumps(results, indent=1) + "\n")
    running.write_text(folder / TABLE, _csv(table))
    for key, chart in draw_figures(results).items():
        drawing = render_to_string("charts/file.svg", {"chart": chart, "title": TITLES[key].format(n=plan.n_best)})
        running.write_text(folder / f"figure-{key}.svg", drawing)
    return results


def _check_numbers(plan: Plan, folder: Path, by_point: ByPoint) -> None:
    """Raise BadPlan if a model learned from fewer solutions than its place on the axis says, as those of an earlier release could."""
    for point, figures in by_point.items():
        expected = plan.n_start + point.size
        if point.arm not in (FEW, POOL) and figures["n_labeled"] != expected:
            raise BadPlan(
                f"The model {point.key} of the experiment {folder.name} learned from {figures['n_labeled']} solutions and not from "
                f"{expected}. Run it again with smaller sizes."
            )


def _values(plan: Plan, by_point: ByPoint, *, arm: str, labels: str = PROCESS, figure: str = "best_of_n") -> curves.Floats:
    """Return a figure as (seeds, sizes, problems), or (seeds, sizes, 1). The first size is the start alone, which all arms share."""
    rows = [[by_point[point][figure] for point in row] for row in _points_of(plan, arm=arm, labels=labels)]
    return np.array(rows, np.float64).reshape(len(rows), len(rows[0]), -1)


def _points_of(plan: Plan, *, arm: str, labels: str = PROCESS) -> list[list[TrainingPoint]]:
    return [
        [TrainingPoint(seed, START, 0, labels), *(TrainingPoint(seed, arm, size, labels) for size in plan.sizes)] for seed in plan.seeds
    ]


def _costs(plan: Plan, by_point: ByPoint, *, arm: str) -> dict[str, curves.Floats]:
    """Return what the labels of an arm cost, (seeds, sizes), in solutions, rated steps and seconds; the last two only if all are known."""
    rows = [[by_point[point] for point in row] for row in _points_of(plan, arm=arm)]
    costs = {"labels": np.array([plan.labels] * len(rows), np.float64)}
    if all("cost" in figures for row in rows for figures in row):  # an earlier release did not count them
        costs["steps"] = np.array([[figures["cost"]["rated_steps"] for figures in row] for row in rows], np.float64)
        costs["seconds"] = np.array([[figures["cost"]["labeling_seconds"] for figures in row] for row in rows], np.float64)
    return costs


def _primary(plan: Plan, folder: Path) -> dict[str, str]:
    """Return what is looked at first: by the protocol of the run, or best-of-N of the arm that the plan shows."""
    kept = protocol.kept(folder)
    primary = kept.primary if kept else protocol.Primary(plan.shown)
    if primary.arm not in plan.strategies:
        primary = protocol.Primary(plan.shown, figure=primary.figure, cost=primary.cost)
    return asdict(primary)


def _curve(values: curves.Floats) -> list[dict[str, Any]]:
    """Return the mean and the interval over the seeds at each size, and the figure of each seed."""
    by_seed = values.mean(axis=2)
    return [asdict(curves.over_seeds(own)) | {"seeds": own.round(4).tolist()} for own in by_seed.T]


def _row(
    plan: Plan,
    by_point: ByPoint,
    values: Mapping[str, Mapping[str, curves.Floats]],
    costs: Mapping[str, Mapping[str, curves.Floats]],
    *,
    arm: str,
) -> dict[str, Any]:
    """Return a strategy's row of the table: its figures at the largest size, its slope, and its differences to uniform labels.

    values: figure -> arm. costs: arm -> cost. `differences`: figure -> cost -> "slope" and "area".
    """
    last = [by_point[TrainingPoint(seed, arm, plan.sizes[-1])] for seed in plan.seeds]
    learned = [figures["learned"] for figures in last]
    known = [cost for cost in COSTS if all(cost in own for own in costs.values())]
    over = {cost: {name: own[cost] for name, own in costs.items()} for cost in known}
    solved = values["best_of_n"]
    return {
        "strategy": arm,
        "parts": [list(part) for part in plan.strategies[arm]],
        "best_of_n": asdict(curves.over_seeds(solved[arm][:, -1].mean(axis=1))),
        "step_auc": _means(plan, by_point, arm=arm, figure="step_auc"),
        "first_mistake_f1": _means(plan, by_point, arm=arm, figure="first_mistake_f1", missing=0.0),
        "slope": asdict(curves.crossed(curves.slopes(costs[arm]["labels"], solved[arm]))),
        "step_auc_slope": asdict(curves.crossed(curves.slopes(costs[arm]["labels"], values["step_auc"][arm]))),
        "differences": None
        if arm == UNIFORM
        else {
            figure: {
                cost: {
                    kind: asdict(curves.difference(over[cost], values[figure], arm=arm, against=UNIFORM, figure=kind))
                    for kind in ("slope", "area")
                }
                for cost in known
            }
            for figure in FIGURES
        },
        "efficiency": None if arm == UNIFORM else {figure: _efficiency(over["labels"], values[figure], arm=arm) for figure in FIGURES},
        "costs": {cost: [round(float(mean), 1) for mean in costs[arm][cost].mean(0)] for cost in known},
        "mistakes_share": round(1 - sum(counts["n_without_mistake"] for counts in learned) / (len(last) * plan.sizes[-1]), 3),
        "mistakes": _add_up([counts["mistakes"] for counts in learned]),
        "n_problems": round(float(np.mean([counts["n_problems"] for counts in learned])), 1),
    }


def _efficiency(costs: Mapping[str, curves.Floats], values: Mapping[str, curves.Floats], *, arm: str) -> dict[str, Any]:
    """Return the ratio of slopes, and in `why` the reason if there is none."""
    found, why = curves.efficiency(costs, values, arm=arm, against=UNIFORM), None
    if found.value is None:
        is_known = all(np.isfinite(values[name]).all() for name in (arm, UNIFORM))
        why = NOT_KNOWN if not is_known else NO_RATIO_OF_ONE if len(values[arm]) < 2 else NO_RATIO
    return asdict(found) | {"why": why}


def _means(plan: Plan, by_point: ByPoint, *, arm: str, figure: str, missing: float | None = None) -> list[float | None]:
    """Return the mean of a figure over the seeds, for the start and each size. `missing` stands in for a model without the figure.

    Without `missing`, there is no mean of models one of which lacks the figure.
    """
    means: list[float | None] = []
    for place, size in ((START, 0), *((arm, size) for size in plan.sizes)):
        values = [by_point[TrainingPoint(seed, place, size)][figure] for seed in plan.seeds]
        known: list[Any] = [missing if value is None else value for value in values]
        means.append(None if None in known else round(float(np.mean(known)), 4))
    return means


def _add_up(counts: list[dict[str, int]]) -> dict[str, int]:
    return {kind: sum(row.get(kind, 0) for row in counts) for kind in sorted({kind for row in counts for kind in row})}


def _with_few_labels(plan: Plan, by_point: ByPoint) -> dict[str, Any]:
    """Return what the base can do before it is taught: the figures of heads on its states that saw a few labeled solutions."""
    seen = [by_point[TrainingPoint(seed, FEW, 0)] for seed in plan.seeds]
    found = {"step_auc": np.array([figures["step_auc"] for figures in seen], np.float64)}  # NaN if it is not known
    found["first_mistake_f1"] = np.array([figures["first_mistake_f1"] or 0.0 for figures in seen])
    found["best_of_n"] = np.array([np.mean(figures["best_of_n"]) for figures in seen])
    kinds = sorted({kind for figures in seen for kind in figures["auc_by_kind"]})
    by_kind = {kind: [f["auc_by_kind"][kind] for f in seen if f["auc_by_kind"].get(kind) is not None] for kind in kinds}
    return {
        "n_labels": seen[0]["n_labeled"],
        **{name: asdict(curves.over_seeds(own)) for name, own in found.items()},
        "auc_by_kind": {kind: round(float(np.mean(own)), 4) for kind, own in by_kind.items() if own},
    }


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
        "shared_statements": points.shared_statements(plan),
    }


def _against_n(plan: Plan, by_point: ByPoint, tested: list[WorldSolution]) -> dict[str, Any]:
    """Return best-of-N at the largest size: the PRMs of two arms, the ORM of all final answers, majority voting."""
    from trainer.evaluate import best_of_n

    by_seed, last = [], plan.sizes[-1]
    for seed in plan.seeds:
        shown = by_point[TrainingPoint(seed, plan.shown, last)]
        scores = {"PRM": shown["scores"]}
        if plan.shown != UNIFORM:
            scores[OF_UNIFORM] = by_point[TrainingPoint(seed, UNIFORM, last)]["scores"]
        if plan.outcomes:
            scores["ORM"] = by_point[TrainingPoint(seed, POOL, 0, ANSWER)]["scores"]
        by_seed.append(best_of_n(points.group_by_problem(tested, scores), seed=seed, trials=300))
        if not np.allclose(points.best_of(np.array(scores["PRM"]), tested, n=plan.n_best), shown["best_of_n"], atol=1e-6):
            raise BadPlan(
                "The models were judged on other test solutions than those that this version of the code makes. The results stay as they "
                "were. Start an experiment under another name for new ones."
            )
    names = [name for name in ("PRM", "ORM", "majority", OF_UNIFORM, "oracle") if name in by_seed[0].curves]
    means = {name: np.array([report.curves[name].mean for report in by_seed]) for name in names}
    return {"n": list(by_seed[0].n), "curves": {name: [asdict(curves.over_seeds(at)) for at in own.T] for name, own in means.items()}}


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for row in rows:
        differences = row["differences"] or {}
        found = [differences.get(figure, {}).get(cost, {}).get(kind, NOTHING_FOUND) for figure, cost, kind in COMPARED]
        ratio = (row["efficiency"] or {}).get("best_of_n", NOTHING_FOUND)
        numbers = [own[end] for own in (row["best_of_n"], row["slope"], *found, ratio) for end in ("value", "low", "high")]
        numbers += [row["step_auc"][-1], row["first_mistake_f1"][-1], row["mistakes_share"]]
        writer.writerow([row["strategy"], *("" if number is None else f"{number:.4f}" for number in numbers)])
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
        if results["format"] not in FORMATS:
            raise ValueError(f"format {results['format']}")
        return results
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPlan(
            f"The results of {folder.name} cannot be read ({error}). Start the experiment again: its trained models are still there."
        ) from error


def result_lines(results: Mapping[str, Any]) -> list[str]:
    """Describe the results in lines for a terminal, the primary figure first."""
    plan, few = results["plan"], results["few"]
    best, labels = f"best of {plan['n_best']}", ", ".join(map(str, results["labels"]))
    lines = [
        f"{results['n_points']} models, {len(plan['seeds'])} seeds, {results['seconds']:.0f} s of training and judging.",
        *protocol_lines(results),
        *primary_lines(results),
        f"With {few['n_labels']} labels: {best} {few['best_of_n']['value']:.3f}, step AUC {_number(few['step_auc']['value'])}.",
        *shared_lines(results),
        f"(a) Kinds of label: {best} with {labels} labeled solutions:",
        *(f"    {kind}: {_along(curve)}" for kind, curve in results["a"].items()),
        f"(b) Strategies: {best} with {labels} labeled solutions; by how much slope and area exceed those of random labels:",
    ]
    for row in results["table"]:
        compared = "" if row["differences"] is None else "; {slope}; {area}".format(**written(row["differences"]["best_of_n"]["labels"]))
        lines.append(f"    {arm_label(row['strategy'])}: {_along(results['b'][row['strategy']])}{compared}")
    last = {name: curve[-1]["value"] for name, curve in results["c"]["curves"].items()}
    lines.append(f"(c) Share of problems solved by choosing among {results['c']['n'][-1]} solutions:")
    lines += [f"    {name}: {value:.3f}" for name, value in last.items()]
    return [*lines, *DIFFERENCE_WORDS]


def protocol_lines(results: Mapping[str, Any]) -> list[str]:
    """Say which protocol a run followed, and how it differs from it."""
    if (followed := results["protocol"]) is None:
        return ["There is no protocol: this plan was not fixed before the run."]
    return [f"Protocol {followed['name']}, SHA-256 {followed['sha256']}.", *followed["notes"]]


def primary_lines(results: Mapping[str, Any]) -> list[str]:
    """Say the primary figure: differences of slopes and areas with their intervals, and the ratio or why there is none."""
    primary = results["primary"]
    row = next(row for row in results["table"] if row["strategy"] == primary["arm"])
    if row["differences"] is None:
        return ["There is no primary figure: the plan has random labels alone."]
    found = written(row["differences"][primary["figure"]][primary["cost"]])
    words = f"{FIGURES[primary['figure']]} over {COSTS[primary['cost']]}"
    return [
        f"Primary figure: {arm_label(primary['arm'])} against random labels, {words}: "
        f"difference of slopes {found['slope']}, of areas {found['area']}; "
        f"{ratio_words(row['efficiency'][primary['figure']], n_seeds=len(results['plan']['seeds']))}."
    ]


def shared_lines(results: Mapping[str, Any]) -> list[str]:
    """Say how many statements of the test problems, of the pools and of what the base has read are the same. [] if nobody counted."""
    if (shared := results["world"].get("shared_statements")) is None:
        return []
    lines = [f"Test problems whose statement is in a pool too: {shared['test_in_pools']} of {shared['n_test']}."]
    if shared["n_base"]:
        lines.append(
            f"Statements that the base has read: {shared['test_in_base']} of the test problems, and {shared['pools_in_base']} of "
            f"{shared['n_pools']} in the pools."
        )
    return lines


def ratio_words(ratio: Mapping[str, Any], *, n_seeds: int) -> str:
    """Write a ratio of slopes with its interval, or why there is none. Results of an earlier release do not say why."""
    if ratio["value"] is None:
        return ratio.get("why") or (NO_RATIO_OF_ONE if n_seeds < 2 else NO_RATIO)
    high = "unbounded" if ratio["high"] is None else f"{ratio['high']:.2f}"
    low = "unbounded" if ratio["low"] is None else f"{ratio['low']:.2f}"
    return f"ratio of slopes {ratio['value']:.2f} ({low} to {high})"


def written(estimates: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Write estimates with their signs and intervals."""
    return {name: _signed(estimate) for name, estimate in estimates.items()}


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _signed(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "unknown"
    if estimate["low"] is None or estimate["high"] is None:
        return f"{estimate['value']:+.4f}"
    return f"{estimate['value']:+.4f} ({estimate['low']:+.4f} to {estimate['high']:+.4f})"


def _along(curve: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{at['value']:.3f}" for at in curve)
