"""The experiment: lines and ratios, points trained by the product's own code, files from which a killed run continues, pages."""

import csv
import hashlib
import html
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from django.test import Client

from active_learning import experiment
from active_learning.experiment import bases, curves, origins, points, protocol, results, running
from active_learning.experiment.forms import ALL, MIX
from active_learning.experiment.plan import ANSWER, FEW, ORACLE, POOL, PROCESS, START, UNIFORM, BadPlan, Plan
from active_learning.experiment.points import TrainingPoint
from active_learning.models import ExperimentRun
from active_learning.selection import Candidates
from active_learning.world import Habits, MistakeKind, make_world
from annotation.models import Project
from tests import make

LABELS = np.array([40, 60, 100, 180], float)
SMALL = experiment.SMALLEST
UNDRILLED = {"world": 95_001, "n_problems": 30, "n_solutions": 2, "skill": 0.6, "layers": 2, "width": 32, "vocabulary": 60}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # a model of width 8 on more waits for itself
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment of the smallest size."""
    done = experiment.run("small", SMALL, home=tmp_path_factory.mktemp("home"))
    experiment.summarise(done)
    return done


# --- lines, differences and ratios --------------------------------------------------------------------------------------------


def on_lines(rises: dict[str, float], *, noise: float = 0.0, seeds: int = 3, problems: int = 50, rng: Any = 0) -> dict[str, Any]:
    rng = np.random.default_rng(rng)
    shape = (seeds, len(LABELS), problems)
    return {arm: 0.3 + rise * np.log(LABELS / 40)[:, None] + noise * rng.standard_normal(shape) for arm, rise in rises.items()}


def costs_of(values: dict[str, Any]) -> dict[str, Any]:
    return {arm: np.broadcast_to(LABELS, own.shape[:2]) for arm, own in values.items()}


def compared(values: dict[str, Any], figure: str = "slope") -> curves.Estimate:
    return curves.difference(costs_of(values), values, arm="mix", against="uniform", figure=figure)


def ratio(values: dict[str, Any]) -> curves.Estimate:
    return curves.efficiency(costs_of(values), values, arm="mix", against="uniform")


def test_the_differences_of_slopes_and_areas_are_those_of_the_lines() -> None:
    values = on_lines({"uniform": 0.04, "mix": 0.11})
    slopes, areas = compared(values), compared(values, "area")
    assert (slopes.value, slopes.low, slopes.high) == pytest.approx((0.07, 0.07, 0.07))
    assert areas.value == pytest.approx(0.07 * np.log(180 / 40) / 2)  # straight lines over the logarithm, both from 0.3


def test_areas_over_a_cost_are_taken_where_both_arms_have_points() -> None:
    costs = {"cheap": np.array([[10.0, 100.0]]), "dear": np.array([[20.0, 400.0]])}
    assert curves.common_range(costs) == (20.0, 100.0)
    values = {arm: np.log(own)[..., None] for arm, own in costs.items()}  # one curve, seen at other costs
    same = curves.difference(costs, values, arm="cheap", against="dear", figure="area")
    assert same.value == pytest.approx(0)
    apart = {"cheap": costs["cheap"], "dear": costs["dear"] * 100}
    assert curves.difference(apart, values, arm="cheap", against="dear", figure="area") == curves.Estimate(None)


@pytest.mark.parametrize(("seeds", "problems", "of_problems"), [(10, 30, 0.0), (10, 30, 0.05), (3, 1, 0.0)])
def test_where_choosing_brings_nothing_the_interval_of_the_difference_covers_0_in_about_95_of_100_runs(
    seeds: int, problems: int, of_problems: float
) -> None:
    rng, n_runs, covered, high_ratios = np.random.default_rng(7), 300, 0, 0
    for _ in range(n_runs):
        values = on_lines({"uniform": 0.02, "mix": 0.02}, noise=0.15, seeds=seeds, problems=problems, rng=rng)
        for own in values.values():  # whole seeds are lucky, and some problems suit an arm at some sizes
            own += 0.02 * rng.standard_normal((seeds, len(LABELS), 1)) + of_problems * rng.standard_normal((1, len(LABELS), problems))
        found, share = compared(values), ratio(values)
        covered += found.low <= 0 <= found.high  # type: ignore[operator]
        high_ratios += share.value is not None and share.value >= 2.6 and share.low > 1  # type: ignore[operator]
    assert 0.915 <= covered / n_runs <= 0.985
    assert high_ratios / n_runs <= 0.01  # 29 in 100 runs, when a ratio was shown whatever the slope of uniform labels


def test_the_interval_of_a_difference_that_is_there_leaves_out_0() -> None:
    found = compared(on_lines({"uniform": 0.02, "mix": 0.06}, noise=0.1, seeds=10))
    assert found.low is not None and 0 < found.low < 0.04 < found.high  # type: ignore[operator]


def test_the_interval_counts_that_other_test_problems_were_possible() -> None:
    rng = np.random.default_rng(3)
    by_problem = np.broadcast_to(rng.standard_normal((1, 40)), (10, 40))  # every seed finds the same
    found = curves.crossed(by_problem)
    assert found.high - found.low == pytest.approx(2 * 2.0227 * by_problem[0].std(ddof=1) / 40**0.5, rel=0.01)  # type: ignore[operator]


@pytest.mark.parametrize(("freedom", "quantile"), [(2, 4.303), (9.9, 2.262), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_the_quantiles_are_those_of_students_distribution(freedom: float, quantile: float) -> None:
    assert curves.student(freedom) == pytest.approx(quantile, abs=0.001)


def test_the_ratio_of_slopes_is_shown_with_fiellers_interval_where_uniform_labels_teach() -> None:
    exact = ratio(on_lines({"uniform": 0.04, "mix": 0.11}))
    assert (exact.value, exact.low, exact.high) == pytest.approx((2.75, 2.75, 2.75), abs=0.002)
    noisy = ratio(on_lines({"uniform": 0.04, "mix": 0.1}, noise=0.05, seeds=10))
    assert noisy.low is not None and noisy.high is not None and 1.5 < noisy.low < 2.5 < noisy.high < 4


def test_a_value_that_is_no_number_and_costs_that_do_not_rise_give_no_difference() -> None:
    values = on_lines({"uniform": 0.04, "mix": 0.11})
    values["mix"][1, 2, 3] = np.nan
    for found in (compared(values), compared(values, "area"), ratio(values), curves.over_seeds(values["mix"][:, 2, 3])):
        assert found == curves.Estimate(None)
    values = on_lines({"uniform": 0.04, "mix": 0.11})
    costs = costs_of(values) | {"mix": np.array([[40.0, 60, 60, 180]] * 3)}
    assert curves.difference(costs, values, arm="mix", against="uniform", figure="area") == curves.Estimate(None)


@pytest.mark.parametrize("rise", [-0.01, 0.0, 0.004])
def test_there_is_no_ratio_to_a_line_that_may_not_rise(rise: float) -> None:
    assert ratio(on_lines({"uniform": rise, "mix": 0.1}, noise=0.3, seeds=10)) == curves.Estimate(None)


def test_the_interval_over_seeds_is_students() -> None:
    estimate = curves.over_seeds(np.array([0.4, 0.5, 0.6]))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.5, 0.5 - 4.303 * 0.1 / 3**0.5, 0.5 + 4.303 * 0.1 / 3**0.5))
    assert curves.over_seeds(np.array([0.4])) == curves.Estimate(0.4)


# --- plans --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": (8, 4)}, "sizes"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, -1)}, "whole numbers from 0 on, not 1, -1"),
        ({"test_world": 41_002}, "pool of seed 2 is the world 41002, which is test_world too"),
        ({"world": -5}, "from 0 on, not -5"),
        ({"shape": None, "frozen": True, "undrilled": UNDRILLED | {"world": 41_001}}, "pool of seed 1 .* the world of the base too"),
        ({"shape": None, "frozen": True, "undrilled": UNDRILLED | {"world": 40_999}}, "would read the test problems"),
        ({"strategies": {**SMALL.strategies, "mix 80-20": ALL[MIX]}}, "would have the names of another one"),
        ({"strategies": {**SMALL.strategies, "pool": ALL[MIX]}}, "strategy pool would have the names of another one"),
        ({"per_problem": 1, "sizes": (4, 15)}, "15 solutions cannot be chosen from 14 problems with at most 1 of each"),
        ({"strategies": {MIX: ALL[MIX]}}, "uniform is missing from strategies"),
        ({"sizes": (4, 400)}, "more than the 42 of the pool"),
        ({"n_best": 9}, "n_best must be from 1 to 4"),
        ({"strategies": ALL | {"bold": (("bold", 1.0),)}}, "no strategy named bold"),
        ({"habits": {"weights": {"typo": 1}}}, "habits"),
        ({"frozen": True}, "no base to keep frozen"),
        ({"undrilled": {"world": 1}}, "Set frozen too"),
        ({"shape": None, "frozen": True, "undrilled": {"world": 1, "words": 2}}, "undrilled cannot be used"),
        ({"strategies": {UNIFORM: ALL[UNIFORM], "herding": ALL["herding"]}, "shown": UNIFORM}, "needs a frozen base"),
        ({"judging": 0}, "must be above 0"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_what_to_change(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        SMALL.changed(**changes)


def test_a_plan_comes_back_from_its_file() -> None:
    plan = SMALL.changed(habits={"weights": {kind: 1.0 for kind in MistakeKind}, "traps": ["unit"], "trap": 2.0})
    again = Plan.from_settings(json.loads(json.dumps(plan.as_dict())))
    assert again.fingerprint == plan.fingerprint and again.generator() == plan.generator()


def test_the_fingerprint_of_a_plan_counts_what_it_leaves_to_a_default() -> None:
    said = SMALL.changed(habits={**SMALL.habits, "mends_within": Habits().mends_within})  # type: ignore[dict-item]
    assert said.fingerprint == SMALL.fingerprint != SMALL.changed(habits={**SMALL.habits, "mends_within": 5}).fingerprint  # type: ignore[dict-item]
    assert SMALL.changed(habits=None).fingerprint == SMALL.changed(habits={}).fingerprint != SMALL.fingerprint
    based = [
        FROZEN.changed(undrilled=UNDRILLED | own).fingerprint for own in ({}, {"level": bases.Undrilled(**UNDRILLED).level}, {"level": 3})
    ]
    assert based[0] == based[1] != based[2]


# --- points -------------------------------------------------------------------------------------------------------------------


def test_the_three_kinds_of_label_say_what_the_oracle_and_the_answer_say() -> None:
    solutions = points.make_test_solutions(SMALL.changed(n_test_problems=60))
    lucky = next(solution for solution in solutions if solution.is_right and solution.simulated.first_mistake is not None)
    assert points._label(lucky, ANSWER).right is True  # type: ignore[union-attr]
    assert points._label(lucky, ORACLE).right is False  # type: ignore[union-attr]
    assert points._label(lucky, PROCESS).first_mistake == lucky.simulated.first_mistake  # type: ignore[union-attr]


def test_every_arm_shares_the_start_and_adds_what_its_strategy_takes() -> None:
    solutions = points.make_pool(SMALL, 1)
    rest = solutions[SMALL.n_start :]
    candidates = Candidates.of(
        solutions=[solution.place for solution in rest],
        problems=[solution.problem_place for solution in rest],
        outcomes=[solution.is_right for solution in rest],
        scores=np.linspace(0.1, 0.9, len(rest)),
    )
    for arm in (UNIFORM, MIX):
        fewer, more = (points.choose_solutions(SMALL, TrainingPoint(1, arm, size), solutions, candidates=candidates) for size in (4, 8))
        assert fewer[: SMALL.n_start] == more[: SMALL.n_start] == solutions[: SMALL.n_start]
        assert len(fewer) == SMALL.n_start + 4 and len({solution.place for solution in more}) == SMALL.n_start + 8
    chosen = points.choose_solutions(SMALL, TrainingPoint(1, MIX, 5), solutions, candidates=candidates)[SMALL.n_start :]
    assert sum(not solution.is_right for solution in chosen) >= 4  # 80 % of 5, and the most convincing of all that remain


def test_a_strategy_that_finds_fewer_solutions_than_its_place_on_the_axis_is_refused() -> None:
    plan = SMALL.changed(per_problem=1, sizes=(4, 14))
    solutions = points.make_pool(plan, 1)
    candidates = points.unscored_candidates(plan, solutions)
    found = len({solution.problem_place for solution in solutions[plan.n_start :]})
    assert len(points.choose_solutions(plan, TrainingPoint(1, UNIFORM, found), solutions, candidates=candidates)) == plan.n_start + found
    with pytest.raises(BadPlan, match=f"uniform can choose {found} solutions of the pool of seed 1, and not {found + 1}. Choose smaller"):
        points.choose_solutions(plan, TrainingPoint(1, UNIFORM, found + 1), solutions, candidates=candidates)


def test_a_pool_without_a_mistake_is_refused() -> None:
    solutions = [solution for solution in points.make_pool(SMALL, 1) if solution.simulated.first_mistake is None]
    with pytest.raises(BadPlan, match="No solution of the pool has a mistake"):
        points.few_solutions(solutions)


def test_statements_that_test_problems_pools_and_base_share_are_counted() -> None:
    plan = FROZEN.changed(seeds=(1, 2), n_problems=120, n_test_problems=80, undrilled=UNDRILLED | {"n_problems": 120, "level": 1}, level=1)
    tested = {solution.problem.statement for solution in points.make_test_solutions(plan)}
    pools = [{solution.problem.statement for solution in points.make_pool(plan, seed)} for seed in plan.seeds]
    read = {problem.statement for problem, _ in make_world(95_001, n_problems=120, n_solutions=2, skill=0.6, level=1)}
    found = points.shared_statements(plan)
    assert found == {
        "n_test": 80, "n_pools": 240, "n_base": 120, "test_in_pools": len(tested & (pools[0] | pools[1])),
        "test_in_base": len(tested & read), "pools_in_base": sum(len(pool & read) for pool in pools),
    }  # fmt: skip
    assert found["test_in_pools"] > 0 < found["pools_in_base"]  # easy ones are soon the same
    assert points.shared_statements(SMALL)["n_base"] == 0


def test_no_test_problem_is_in_the_pool() -> None:
    tested = {solution.problem.external_id for solution in points.make_test_solutions(SMALL)}
    assert not tested & {solution.problem.external_id for seed in SMALL.seeds for solution in points.make_pool(SMALL, seed)}


def test_best_of_n_is_certain_for_a_perfect_score_and_the_share_of_right_ones_for_a_blind_one() -> None:
    tested = points.make_test_solutions(SMALL)
    right = np.array([solution.is_right for solution in tested], float)
    assert points.best_of(right, tested, n=4) == pytest.approx(right.reshape(6, 4).max(axis=1))
    assert points.best_of(np.zeros(len(tested)), tested, n=3) == pytest.approx(right.reshape(6, 4).mean(axis=1))


# --- running ------------------------------------------------------------------------------------------------------------------


def test_every_point_of_the_plan_is_trained_and_judged(folder: Path) -> None:
    starts, rest = running.all_points(SMALL)
    assert {path.stem for path in (folder / "points").glob("*.json")} == {point.key for point in (*starts, *rest)}
    assert {TrainingPoint(2, FEW, 0), TrainingPoint(2, START, 0, ORACLE), TrainingPoint(2, POOL, 0, ANSWER)} < set(starts)
    assert TrainingPoint(1, UNIFORM, 8, ANSWER) in rest
    figures = running.read_point(folder, TrainingPoint(1, MIX, 8))
    assert figures["n_labeled"] == 22 and len(figures["scores"]) == 24 and len(figures["best_of_n"]) == 6
    assert figures["step_auc"] is not None and figures["cost"]["rated_steps"] > 22
    assert running.read_point(folder, TrainingPoint(1, POOL, 0, ANSWER))["n_labeled"] == 42  # every final answer of the pool is free
    assert running.read_point(folder, TrainingPoint(1, FEW, 0))["n_labeled"] == 5
    assert running.read_point(folder, TrainingPoint(1, UNIFORM, 8, ANSWER))["step_auc"] is None  # an ORM rates no step
    assert not list(folder.glob("tmp*"))  # no model stays


def test_an_experiment_started_again_trains_nothing_that_is_there_and_finds_the_same(folder: Path) -> None:
    lost, before = running.point_path(folder, TrainingPoint(2, MIX, 4)), (folder / "results.json").read_text()
    kept = {path: path.stat().st_mtime_ns for path in (folder / "points").iterdir() if path != lost}
    figures = json.loads(lost.read_text())
    lost.unlink()
    with pytest.raises(BadPlan, match="not finished .*2-mix-80-20-4.json is missing"):
        experiment.summarise(folder)
    calls: list[tuple[str, int, int]] = []
    experiment.run("small", SMALL, home=folder.parent.parent, progress=lambda *call: calls.append(call))
    assert calls == [("points", 1, 1)]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert json.loads(lost.read_text())["scores"] == figures["scores"]
    experiment.summarise(folder)
    without_seconds = [
        {k: v for k, v in json.loads(text).items() if k != "seconds"} for text in (before, (folder / "results.json").read_text())
    ]
    assert without_seconds[0] == without_seconds[1]


def test_other_settings_need_another_name(folder: Path) -> None:
    with pytest.raises(BadPlan, match="Choose another name"):
        experiment.run("small", SMALL.changed(skill=0.9), home=folder.parent.parent)
    assert running.read_plan(folder).skill == SMALL.skill


def copied(folder: Path, home: Path) -> Path:
    return Path(shutil.copytree(folder, home / "experiments" / "small"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(plan: Plan, folder: Path, message: str) -> None:
    """Check that a plan cannot go on in a folder, and that this leaves every file as it is."""
    before = contents(folder)
    with pytest.raises(BadPlan, match=message):
        experiment.run(folder.name, plan, home=folder.parent.parent)
    assert contents(folder) == before


def test_a_strategy_with_another_recipe_under_the_same_name_is_refused(folder: Path, tmp_path: Path) -> None:
    other = SMALL.changed(strategies=SMALL.strategies | {MIX: (("convincing", 0.5), ("uniform", 0.5))})
    mine = copied(folder, tmp_path)
    refused(other, mine, r"small has \(1-mix-80-20-4 is one\) learned from solutions that another recipe chose.* Choose another name")
    refused(other.changed(seeds=(3,)), mine, r"small has \(1-mix-80-20-4 is one\) learned from solutions that another recipe chose")
    for path in (mine / "points").iterdir():  # an earlier release noted nothing, but its plan is there
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "made_of"}))
    refused(other, mine, "another recipe chose")
    experiment.run("small", SMALL, home=tmp_path)
    assert experiment.summarise(mine)["code"] == [""]
    for seeds in ((1, 2, 3), (3,)):
        refused(SMALL.changed(seeds=seeds), mine, "An earlier release trained the 26 models .* No model can be added to them")


def test_models_of_other_code_stay_readable_and_get_no_new_ones_beside_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, before = copied(folder, tmp_path), origins.code_version()
    monkeypatch.setattr(origins, "code_version", lambda: "another")
    for seeds in ((1, 2, 3), (3,)):  # models of seed 3 alone would be drawn beside the others later
        refused(SMALL.changed(seeds=seeds), mine, r"small has \(1-few-0 is one\) were trained by another version of the code")
    assert experiment.summarise(experiment.run("small", SMALL, home=tmp_path))["code"] == [before]
    monkeypatch.setattr(
        points, "make_test_solutions", lambda plan: points._make_solutions(plan, 7, plan.n_test_problems, plan.n_test_solutions)
    )
    held = contents(mine)
    with pytest.raises(BadPlan, match="judged on other test solutions .* The results stay as they were"):
        experiment.summarise(mine)
    assert contents(mine) == held


def test_the_version_of_the_code_changes_with_its_files_and_with_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in origins.CODE:
        path = tmp_path / name
        (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
        (path if path.suffix else path / "one.py").write_text("1\n")
    monkeypatch.setattr(origins, "ROOT", tmp_path)
    seen = []
    for name in ("trainer/one.py", "trainer/one.py", "active_learning/experiment/points.py", "trainer/__pycache__/one.pyc", "docs.md"):
        seen.append(origins.code_version.__wrapped__())
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"new {len(seen)}\n")
    seen.append(origins.code_version.__wrapped__())
    assert len(set(seen[:4])) == 4 and len(set(seen[3:])) == 1  # what Python compiled and the documents are no code


def test_candidates_are_made_anew_for_strategies_that_need_more(frozen_folder: Path) -> None:
    fewer = FROZEN.changed(strategies={arm: FROZEN.strategies[arm] for arm in (UNIFORM, "uncertain")}, shown="uncertain")
    marks = {origins.mark_of_candidates(plan, base=base) for plan in (FROZEN, fewer) for base in ("", "one")}
    assert len(marks) == 4
    assert [path.name for path in (frozen_folder / "candidates").iterdir()] == [
        f"1-{origins.mark_of_candidates(FROZEN, base=running.read_point(frozen_folder, TrainingPoint(1, START, 0))['made_of']['base'])}.npz"
    ]


def test_models_on_another_base_are_refused(frozen_folder: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(frozen_folder, tmp_path / "experiments" / "frozen"))
    shutil.copytree(frozen_folder.parent.parent / "bases", tmp_path / "bases")
    card = next((tmp_path / "bases").glob("*/config.json"))
    card.write_text(card.read_text() + " ")
    running.point_path(mine, TrainingPoint(1, UNIFORM, 8)).unlink()
    for seed in (1, 2):
        refused(FROZEN.changed(seeds=(seed,)), mine, r"frozen has \(1-few-0 is one\) read another base")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"code": "another"}, "were trained by another version of the code"),
        ({"base": "another"}, "read another base"),
        (None, "were trained by an earlier release"),
    ],
)
def test_models_of_two_origins_are_never_one_result(folder: Path, tmp_path: Path, change: dict[str, str] | None, words: str) -> None:
    mine = copied(folder, tmp_path)
    for path in (mine / "points").glob("2-*"):
        figures = json.loads(path.read_text())
        made_of = figures.pop("made_of")
        path.write_text(json.dumps(figures | ({"made_of": made_of | change} if change else {})))
    words = rf"small has \(2-.* is one\) {words}\. They cannot be compared with the others \(1-.* is one\)\. Choose another name"
    refused(SMALL, mine, words)  # although no model is missing
    held = contents(mine)
    with pytest.raises(BadPlan, match=words):
        experiment.summarise(mine)
    assert contents(mine) == held  # the results of before
    assert experiment.summarise(experiment.run("small", SMALL.changed(seeds=(1,)), home=tmp_path))["n_points"] == 13


def test_a_plan_with_fewer_strategies_goes_on_beside_models_of_the_others(folder: Path, tmp_path: Path) -> None:
    mine, fewer = copied(folder, tmp_path), SMALL.changed(outcomes=False, strategies={UNIFORM: ALL[UNIFORM]}, shown=UNIFORM)
    lost = running.point_path(mine, TrainingPoint(2, UNIFORM, 4))
    lost.unlink()
    experiment.run("small", fewer, home=tmp_path)
    assert lost.exists()


def test_a_damaged_file_among_the_models_is_named(folder: Path, tmp_path: Path) -> None:
    mine = copied(folder, tmp_path)
    path = running.point_path(mine, TrainingPoint(2, MIX, 8))
    for damaged in ("{", "[]"):
        path.write_text(damaged)
        refused(SMALL.changed(seeds=(1,)), mine, "2-mix-80-20-8.json is not the file of a model.* Remove it")
        with pytest.raises(BadPlan, match="2-mix-80-20-8.json is not the file of a model"):
            experiment.summarise(mine)


@pytest.mark.parametrize("name", ["", "../up", "Big", "a" * 41])
def test_a_name_that_is_no_folder_of_its_own_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="cannot be used"):
        experiment.run(name, SMALL, home=tmp_path)
    assert not list(tmp_path.iterdir())


def test_workers_find_what_one_process_finds(folder: Path, tmp_path: Path) -> None:
    fewer = SMALL.changed(seeds=(1,), outcomes=False, strategies={UNIFORM: ALL[UNIFORM]}, shown=UNIFORM)
    by_workers = experiment.run("small", fewer, home=tmp_path, workers=2)
    for point in (TrainingPoint(1, UNIFORM, 4), TrainingPoint(1, UNIFORM, 8)):
        assert running.read_point(by_workers, point)["scores"] == pytest.approx(running.read_point(folder, point)["scores"], abs=1e-5)


# --- results ------------------------------------------------------------------------------------------------------------------


def test_the_results_hold_three_figures_a_row_for_each_strategy_and_what_a_few_labels_give(folder: Path) -> None:
    outcome = results.read_results(folder)
    assert list(outcome["a"]) == [PROCESS, ORACLE, ANSWER] and list(outcome["b"]) == [UNIFORM, MIX]
    assert set(outcome["c"]["curves"]) == {"PRM", "PRM, uniform labels", "ORM", "majority", "oracle"} and outcome["c"]["n"][-1] == 4
    assert outcome["labels"] == [14, 18, 22] and outcome["primary"] == {
        "arm": MIX, "against": UNIFORM, "figure": "best_of_n", "cost": "labels"
    }  # fmt: skip
    assert outcome["a"][PROCESS] == outcome["b"][UNIFORM]
    assert outcome["few"]["n_labels"] == 5 and outcome["few"]["auc_by_kind"]
    uniform, mix = outcome["table"]
    assert uniform["differences"] is None and set(mix["differences"]) == {"best_of_n", "step_auc"}
    for by_cost in mix["differences"].values():
        assert set(by_cost) == {"labels", "steps", "seconds"} and by_cost["labels"]["slope"]["low"] is not None
    by_hand = np.mean([np.mean(running.read_point(folder, TrainingPoint(seed, MIX, 8))["best_of_n"]) for seed in (1, 2)])
    assert outcome["b"][MIX][-1]["value"] == pytest.approx(by_hand)


def test_the_table_and_the_figures_are_files(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "strategies.csv").read_text())))
    assert [row["strategy"] for row in rows] == [UNIFORM, MIX]
    assert float(rows[1]["best_of_n"]) == pytest.approx(results.read_results(folder)["table"][1]["best_of_n"]["value"], abs=1e-4)
    for key in "abc":
        drawing = (folder / f"figure-{key}.svg").read_text()
        assert drawing.startswith("<svg") and drawing.count("<polyline") >= 4


def changed_points(folder: Path, home: Path, **figures: Any) -> Path:
    mine = copied(folder, home)
    for path in (mine / "points").iterdir():
        path.write_text(json.dumps(json.loads(path.read_text()) | figures))
    return mine


def test_a_model_that_learned_from_fewer_solutions_than_its_place_says_is_not_drawn(folder: Path, tmp_path: Path) -> None:
    mine = copied(folder, tmp_path)
    path = running.point_path(mine, TrainingPoint(2, MIX, 8))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_labeled": 19}))
    with pytest.raises(BadPlan, match="2-mix-80-20-8 of the experiment small learned from 19 solutions and not from 22"):
        experiment.summarise(mine)


def test_a_figure_that_models_lack_is_unknown_and_not_0(folder: Path, tmp_path: Path) -> None:
    found = experiment.summarise(changed_points(folder, tmp_path, step_auc=None, auc_by_kind={}))
    mix = found["table"][1]
    assert mix["step_auc"] == [None] * 3 and found["few"]["step_auc"]["value"] is None
    assert {own["value"] for by_cost in mix["differences"]["step_auc"].values() for own in by_cost.values()} == {None}
    assert results.ratio_words(mix["efficiency"]["step_auc"], n_seeds=2) == results.NOT_KNOWN
    assert mix["differences"]["best_of_n"]["labels"]["slope"]["value"] is not None
    assert "NaN" not in (tmp_path / "experiments" / "small" / "results.json").read_text()
    assert any(line.endswith("step AUC unknown.") for line in experiment.result_lines(found))


def test_one_seed_gives_no_ratio_and_says_that_the_seed_is_why(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path)
    found = experiment.summarise(experiment.run("small", SMALL.changed(seeds=(1,)), home=tmp_path))
    line = next(line for line in experiment.result_lines(found) if line.startswith("Primary figure"))
    assert line.endswith("; no ratio: one seed alone does not tell whether random labels teach.")
    assert results.ratio_words({"value": None}, n_seeds=1) == results.NO_RATIO_OF_ONE  # of an earlier release
    assert results.ratio_words({"value": None}, n_seeds=2) == results.NO_RATIO


# --- protocols, and a base that nobody taught ---------------------------------------------------------------------------------

FROZEN = SMALL.changed(
    seeds=(1,), shape=None, frozen=True, undrilled=UNDRILLED, outcomes=False, uncertainty_heads=2, n_problems=30,
    strategies={UNIFORM: ALL[UNIFORM], "herding": ALL["herding"], "uncertain": ALL["uncertain"]}, shown="herding",
)  # fmt: skip


@pytest.fixture(scope="module")
def frozen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a protocol, on a base that the run made."""
    home = tmp_path_factory.mktemp("frozen")
    content = {"why": "It is a test.", "primary": {"arm": "herding", "figure": "step_auc"}, "plan": FROZEN.as_dict()}
    (home / "protocols").mkdir()
    (home / "protocols" / "tried.json").write_text(json.dumps(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "FOLDER", home / "protocols")
        done = experiment.run("frozen", FROZEN, home=home)
        experiment.summarise(done)
    return done


def summarised(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(protocol, "FOLDER", folder.parent.parent / "protocols")
    return experiment.summarise(folder)


def test_a_run_makes_its_base_once_and_chooses_by_its_states(frozen_folder: Path) -> None:
    home = frozen_folder.parent.parent
    made = home / "bases" / bases.Undrilled(**UNDRILLED).name
    before = (made / "model.safetensors").stat().st_mtime_ns
    assert bases.make_base(bases.Undrilled(**UNDRILLED), home=home) == made
    assert (made / "model.safetensors").stat().st_mtime_ns == before and list(made.parent.iterdir()) == [made]
    solutions = points.make_pool(FROZEN, 1)
    prm = points.train_point(FROZEN, TrainingPoint(1, START, 0), solutions[: FROZEN.n_start], home=home)
    candidates = points.score_candidates(FROZEN, solutions, prm=prm, orm=None)
    assert candidates.queued_states.shape[0] == FROZEN.n_start and np.isfinite(candidates.states).all()
    assert not np.isnan(candidates.confidence).any()
    assert running.read_point(frozen_folder, TrainingPoint(1, "herding", 8))["n_labeled"] == 22


def test_the_base_depends_on_its_settings_alone(frozen_folder: Path, tmp_path: Path) -> None:
    first = frozen_folder.parent.parent / "bases" / bases.Undrilled(**UNDRILLED).name / "model.safetensors"
    again = bases.make_base(bases.Undrilled(**UNDRILLED), home=tmp_path) / "model.safetensors"
    assert again.read_bytes() == first.read_bytes()
    assert bases.Undrilled(**UNDRILLED | {"skill": 0.7}).name != again.parent.name


def test_the_results_name_the_protocol_and_its_primary_figure(frozen_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = summarised(frozen_folder, monkeypatch)
    file = frozen_folder.parent.parent / "protocols" / "tried.json"
    assert found["protocol"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() and found["protocol"]["notes"] == []
    assert found["primary"] == {"arm": "herding", "against": UNIFORM, "figure": "step_auc", "cost": "labels"}
    lines = experiment.result_lines(found)
    assert f"Protocol tried, SHA-256 {found['protocol']['sha256']}." in lines
    assert any(line.startswith("Primary figure: ") and "step AUC over labeled solutions" in line for line in lines)


def test_a_run_whose_protocol_was_changed_says_so(frozen_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = frozen_folder.parent.parent / "protocols" / "tried.json"
    before = file.read_text()
    first = hashlib.sha256(file.read_bytes()).hexdigest()
    try:
        file.write_text(before.replace("It is a test.", "It is another one."))
        changed = summarised(frozen_folder, monkeypatch)
        file.unlink()
        removed = summarised(frozen_folder, monkeypatch)
    finally:
        file.write_text(before)
    assert changed["protocol"]["sha256"] == first and changed["primary"]["arm"] == "herding"
    assert changed["protocol"]["notes"][0].startswith("The file was changed after this run began.")
    assert removed["protocol"]["notes"] == ["The file was removed or damaged after this run began."]


def test_a_protocol_that_comes_after_the_models_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = copied(folder, tmp_path)
    (tmp_path / "protocols").mkdir()
    content = {"why": "", "primary": {"arm": MIX}, "plan": SMALL.as_dict()}
    (tmp_path / "protocols" / "late.json").write_text(json.dumps(content))
    monkeypatch.setattr(protocol, "FOLDER", tmp_path / "protocols")
    for plan in (SMALL, SMALL.changed(seeds=(3,))):
        refused(plan, mine, "The protocol late fixes this plan, but the experiment small had 26 models .* A protocol comes before the run")
    experiment.running.open_folder("new", SMALL, home=tmp_path)
    assert protocol.kept(tmp_path / "experiments" / "new") is not None


def test_a_run_with_other_seeds_than_its_protocol_says_so(frozen_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = FROZEN.changed(sizes=(4, 6))
    described = protocol.describe(plan, frozen_folder)
    assert described is not None
    assert "This run is not the one of the protocol: it has other sizes." in described["notes"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"primary": {"arm": "bold"}}, "names bold in primary"),
        ({"primary": {"arm": UNIFORM}}, "Make them the same"),
        ({"primary": {"arm": "herding", "cost": "money"}}, "cost of primary must be one of labels"),
        ({"plan": {"seeds": [1]}}, "is not a valid protocol"),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = {"why": "", "primary": {"arm": "herding"}, "plan": FROZEN.as_dict()}
    (tmp_path / "bad.json").write_text(json.dumps(content | change))
    with pytest.raises(BadPlan, match=message):
        protocol.read(tmp_path / "bad.json")


def test_the_document_names_the_protocols_that_are_there() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "experiment.md").read_text()
    for one in experiment.PROTOCOLS.values():
        assert one.sha256 in document, f"The protocol {one.name} is another one than that of the figures in docs/experiment.md."
        assert len(one.plan.seeds) >= 10


# --- the world ----------------------------------------------------------------------------------------------------------------


def test_a_generator_with_other_habits_errs_as_they_say_and_on_problems_no_harder_than_asked() -> None:
    habits = Habits({kind: float(kind is MistakeKind.WRONG_OPERATION) for kind in MistakeKind}, frozenset())
    world = list(make_world(5, n_problems=20, n_solutions=3, skill=0.2, habits=habits, level=2))
    kinds = {solution.mistake_kind for _, solutions in world for solution in solutions}
    assert kinds == {None, MistakeKind.WRONG_OPERATION}
    assert max(problem.level for problem, _ in world) <= 2 < max(p.level for p, _ in make_world(5, n_problems=20, n_solutions=1))


# --- command and pages --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_command_runs_a_form_and_says_what_it_found(folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    settings.STEPMARK_HOME = folder.parent.parent
    monkeypatch.setitem(experiment.FORMS, "quick", {"small": SMALL})
    call_command("simulate", "--workers", "1")
    printed = capsys.readouterr().out
    assert "(a) Kinds of label: best of 2 with 14, 18, 22 labeled solutions:\n      process labels: 0." in printed
    assert "  Primary figure: mix 80/20 against random labels, best-of-N over labeled solutions: difference of slopes " in printed
    assert (
        "There is no protocol" in printed
        and "      mix 80/20: 0." in printed
        and "(c) Share of problems solved by choosing among 4 solutions:\n      PRM: 0." in printed
    )
    assert all(sentence in printed for sentence in results.DIFFERENCE_WORDS)
    for arguments, message in (
        (("--name", "../x"), "cannot be used"),
        (("--workers", "0"), "must be at least 1"),
        (("--seeds", "1", "1"), "seeds"),
        (("--seeds", "-1"), "whole numbers from 0 on, not -1"),
    ):
        with pytest.raises(CommandError, match=message):
            call_command("simulate", *arguments)


@pytest.fixture
def shown(db: None, folder: Path, settings: Any) -> Path:
    settings.STEPMARK_HOME = folder.parent.parent
    (folder / "project.txt").write_text(f"{make.project().pk}\n")
    return folder


@pytest.mark.django_db(transaction=True)
def test_a_worker_carries_out_what_a_researcher_started_and_trains_only_what_is_missing(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda _, name, arguments, **__: sent.append((name, arguments)))
    rita = visitor(make.rita(make.project()))
    chosen = {"name": "mine", "project": Project.objects.get().pk, "form": "smallest", "strategies": [MIX]}
    assert rita.post("/experiments/", chosen).status_code == 302
    run = ExperimentRun.objects.get()
    assert sent == [("active_learning.tasks.run_experiment", [run.pk])] and run.created_by.username == "rita"
    assert "Waits for a worker" in rita.get("/experiments/mine/").content.decode()
    mine = home / "experiments" / "mine"
    for part in ("points", "candidates"):
        shutil.copytree(folder / part, mine / part, dirs_exist_ok=True)
    first = running.point_path(mine, TrainingPoint(1, UNIFORM, SMALL.sizes[0]))
    first.unlink()  # of a run that was killed
    monkeypatch.setattr(running, "_score_pool", None)
    experiment.carry_out(run.pk)
    run.refresh_from_db()
    assert (run.state, run.failure) == ("done", "") and first.exists()
    shown = rita.get("/experiments/mine/").content.decode()
    assert "Table (CSV)" in shown and MIX in shown and "Cancel" not in shown
    table = rita.get("/experiments/mine/strategies.csv").content.decode()
    assert [line.split(",")[0] for line in table.splitlines()] == ["strategy", UNIFORM, MIX]


def visitor(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_researchers_managers_and_owners_of_its_project_see_an_experiment_and_nobody_else(shown: Path) -> None:
    project = Project.objects.get()
    for person, code in ((make.olga(project), 200), (make.rita(project), 200), (make.ann(project), 404), (make.eve(), 404)):
        for address in ("/experiments/", "/experiments/small/", "/experiments/small/strategies.csv"):
            assert visitor(person).get(address).status_code == code, (person, address)
    assert Client().get("/experiments/").status_code in (302, 404)


def test_a_researcher_of_another_project_sees_nothing_of_an_experiment(shown: Path) -> None:
    client = visitor(make.person("carl", make.project("other"), "owner"))
    assert b"experiments/small" not in client.get("/experiments/").content
    assert {client.get(f"/experiments/small/{file}").status_code for file in ("", "strategies.csv", "results.json", "figure-a.svg")} == {
        404
    }


@pytest.mark.parametrize("owner", [None, "", "a project", "9999999", "-1"])
def test_an_experiment_of_no_project_is_seen_by_superusers_alone(shown: Path, owner: str | None) -> None:
    (shown / "project.txt").unlink() if owner is None else (shown / "project.txt").write_text(owner)
    rita, adam = make.rita(Project.objects.get()), make.eve()
    adam.is_superuser = True
    adam.save()
    assert [visitor(person).get("/experiments/small/").status_code for person in (rita, adam)] == [404, 200]


def test_a_run_notes_its_project_and_a_continued_run_keeps_it(folder: Path, tmp_path: Path) -> None:
    plan = SMALL.changed(seeds=SMALL.seeds[:1])
    shutil.copytree(folder, tmp_path / "experiments" / "small")
    for project in (7, None):
        done = experiment.run("small", plan, home=tmp_path, project=project)
        assert (done / "project.txt").read_text() == "7\n"


def test_the_document_explains_the_differences_in_the_words_of_the_page_and_the_command() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "experiment.md"
    assert " ".join(results.DIFFERENCE_WORDS) in " ".join(document.read_text().split())


def test_the_page_shows_figures_with_their_numbers_and_a_row_for_each_strategy(shown: Path) -> None:
    page = visitor(make.rita(Project.objects.get())).get("/experiments/small/").content.decode()
    assert page.count('role="img" aria-label=') == 3 and page.count("As a table") == 3
    assert MIX in page and " ".join(results.DIFFERENCE_WORDS) in html.unescape(page) and "with 5 labels" in page
    assert "What was to be found out" in page and "The same differences for other figures and costs" in page
    assert b"small" in visitor(make.rita()).get("/experiments/").content


def test_results_of_an_earlier_release_still_open_and_say_what_they_lack(shown: Path) -> None:
    path = shown / "results.json"
    before = path.read_text()
    outcome = json.loads(before)
    for row in outcome["table"]:
        del row["differences"], row["costs"], row["step_auc_slope"]
        row |= {"efficiency": {"value": 6.3, "low": 1.7, "high": None, "is_unbounded": False}, "slope": 0.1, "equal_labels": [1.0]}
    for name in ("protocol", "primary", "few"):
        del outcome[name]
    path.write_text(json.dumps(outcome | {"format": 1, "best": MIX, "nothing": {"step_auc": 0.5}}))
    try:
        client = visitor(make.rita(Project.objects.get()))
        page, listed = (client.get(f"/experiments/{name}").content.decode() for name in ("small/", ""))
    finally:
        path.write_text(before)
    assert html.escape(results.OLD) in page and "6.3" not in page + listed and "(b) Best of" in page
    assert "experiments/small/" in listed


def test_a_figure_with_a_line_alone_is_not_shown(shown: Path) -> None:
    path = shown / "results.json"
    before = path.read_text()
    outcome = json.loads(before)
    path.write_text(json.dumps(outcome | {"a": dict([*outcome["a"].items()][:1])}))
    try:
        page = visitor(make.rita(Project.objects.get())).get("/experiments/small/").content.decode()
    finally:
        path.write_text(before)
    assert "(a) Best of" not in page and "(b) Best of" in page and "(c) Share" in page


def test_files_that_are_none_of_the_experiment_are_missing(shown: Path) -> None:
    client = visitor(make.rita(Project.objects.get()))
    for address in ("other/", "small/plan.json", "small/points", "..%2f..%2f/"):
        assert client.get(f"/experiments/{address}").status_code == 404, address


def test_a_damaged_experiment_is_listed_with_what_is_wrong(shown: Path) -> None:
    (shown.parent / "broken").mkdir()
    (shown.parent / "broken" / "plan.json").write_text("{")
    try:
        (shown.parent / "broken" / "project.txt").write_text((shown / "project.txt").read_text())
        client = visitor(make.rita(Project.objects.get()))
        assert "is not a valid plan" in client.get("/experiments/").content.decode()
        assert "is not a valid plan" in client.get("/experiments/broken/").content.decode()
    finally:
        (shown.parent / "broken" / "plan.json").unlink()


def test_the_pages_never_load_torch() -> None:
    code = "import django; django.setup(); import active_learning.views.experiments, sys; assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "labelapp.settings"},
    )
    assert done.returncode == 0, done.stderr
