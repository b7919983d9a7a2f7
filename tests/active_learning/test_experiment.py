"""The experiment: lines and ratios, points through the product's own code, files that a killed run goes on from, pages."""

import csv
import io
import json
import os
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
from active_learning.experiment import curves, points, results, running
from active_learning.experiment.forms import ALL, MIX
from active_learning.experiment.plan import ANSWER, ORACLE, PROCESS, UNIFORM, BadPlan, Plan
from active_learning.experiment.points import NOTHING, START, ModelPoint
from active_learning.selection import Candidates
from active_learning.world import Habits, MistakeKind, make_world
from tests import make

LABELS = np.array([40, 60, 100, 180], float)
SMALL = experiment.SMALLEST


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


# --- lines and ratios ---------------------------------------------------------------------------------------------------------


def on_lines(rises: dict[str, float], *, noise: float = 0.0, seeds: int = 3, problems: int = 50) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape = (seeds, len(LABELS), problems)
    return {arm: 0.3 + rise * np.log(LABELS / 40)[:, None] + noise * rng.standard_normal(shape) for arm, rise in rises.items()}


def test_the_data_efficiency_is_the_ratio_of_the_slopes_over_the_logarithm_of_the_labels() -> None:
    values = on_lines({"uniform": 0.04, "mix": 0.11})
    assert curves.slope(LABELS, values["mix"].mean(axis=(0, 2))) == pytest.approx(0.11)
    found = curves.efficiency(LABELS, values, arm="mix", against="uniform", rng=np.random.default_rng(1))
    assert (found.value, found.low, found.high) == pytest.approx((2.75, 2.75, 2.75))


def test_the_interval_of_the_ratio_holds_the_truth_and_widens_with_noise() -> None:
    found = [
        curves.efficiency(
            LABELS, on_lines({"uniform": 0.04, "mix": 0.1}, noise=noise), arm="mix", against="uniform", rng=np.random.default_rng(1)
        )
        for noise in (0.02, 0.06)
    ]
    for one in found:
        assert one.low is not None and one.high is not None and one.low < 2.5 < one.high
    assert found[1].high - found[1].low > 1.5 * (found[0].high - found[0].low)  # type: ignore[operator]


def test_a_strategy_measured_against_itself_has_the_ratio_1_without_doubt() -> None:
    values = on_lines({"uniform": 0.03}, noise=0.15)  # its line falls in some draws
    found = curves.efficiency(LABELS, values, arm="uniform", against="uniform", rng=np.random.default_rng(1))
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_a_ratio_to_a_line_that_falls_is_unbounded_and_one_of_two_such_lines_undefined() -> None:
    falling = on_lines({"uniform": -0.01, "mix": 0.1, "worse": -0.04})
    unbounded = curves.efficiency(LABELS, falling, arm="mix", against="uniform", rng=np.random.default_rng(1))
    assert unbounded == curves.Estimate(None, is_unbounded=True)
    assert curves.efficiency(LABELS, falling, arm="worse", against="uniform", rng=np.random.default_rng(1)) == curves.Estimate(None)
    assert np.isnan(curves.equal_labels(LABELS, falling, arm="mix", against="uniform")).all()


def test_where_the_uniform_line_may_fall_the_ratio_has_no_upper_end() -> None:
    flat = curves.efficiency(
        LABELS, on_lines({"uniform": 0.02, "mix": 0.1}, noise=0.15), arm="mix", against="uniform", rng=np.random.default_rng(1)
    )
    assert flat.value is not None and flat.low is not None and flat.high is None


def test_equal_labels_says_how_many_uniform_ones_reach_as_much() -> None:
    found = curves.equal_labels(LABELS, on_lines({"uniform": 0.05, "mix": 0.1}), arm="mix", against="uniform")
    assert found == pytest.approx(LABELS / 40)  # twice as steep: n^2 / 40 labels


def test_the_interval_over_seeds_is_students() -> None:
    found = curves.over_seeds(np.array([0.4, 0.5, 0.6]))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - 4.303 * 0.1 / 3**0.5, 0.5 + 4.303 * 0.1 / 3**0.5))
    assert curves.over_seeds(np.array([0.4])) == curves.Estimate(0.4)


# --- plans --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": (8, 4)}, "sizes"),
        ({"seeds": ()}, "seeds"),
        ({"strategies": {MIX: ALL[MIX]}}, "lack uniform"),
        ({"sizes": (4, 400)}, "more than the pool's 42"),
        ({"n_best": 9}, "n_best must be from 1 to 4"),
        ({"strategies": ALL | {"bold": (("bold", 1.0),)}}, "no strategy named bold"),
        ({"habits": {"weights": {"typo": 1}}}, "habits"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_what_to_change(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadPlan, match=said):
        SMALL.changed(**changes)


def test_a_plan_comes_back_from_its_file() -> None:
    plan = SMALL.changed(habits={"weights": {kind: 1.0 for kind in MistakeKind}, "traps": ["unit"], "trap": 2.0})
    again = Plan.from_settings(json.loads(json.dumps(plan.as_dict())))
    assert again.fingerprint == plan.fingerprint and again.generator() == plan.generator()


# --- points -------------------------------------------------------------------------------------------------------------------


def test_the_three_kinds_of_label_say_what_the_oracle_and_the_answer_say() -> None:
    solutions = points.test_solutions(SMALL.changed(n_test_problems=60))
    luckily = next(one for one in solutions if one.is_right and one.solution.first_mistake is not None)
    assert points._labeled(luckily, ANSWER).right is True  # type: ignore[union-attr]
    assert points._labeled(luckily, ORACLE).right is False  # type: ignore[union-attr]
    assert points._labeled(luckily, PROCESS).first_mistake == luckily.solution.first_mistake  # type: ignore[union-attr]


def test_every_arm_shares_the_start_and_adds_what_its_strategy_takes() -> None:
    solutions = points.pool(SMALL, 1)
    rest = solutions[SMALL.n_start :]
    known = Candidates.of(
        solutions=[one.place for one in rest],
        problems=[one.problem_place for one in rest],
        outcomes=[one.is_right for one in rest],
        scores=np.linspace(0.1, 0.9, len(rest)),
    )
    for arm in (UNIFORM, MIX):
        fewer, more = (points.chosen(SMALL, ModelPoint(1, arm, size), solutions, known=known) for size in (4, 8))
        assert fewer[: SMALL.n_start] == more[: SMALL.n_start] == solutions[: SMALL.n_start]
        assert len(fewer) == SMALL.n_start + 4 and len({one.place for one in more}) == SMALL.n_start + 8
    wrong = [one for one in points.chosen(SMALL, ModelPoint(1, MIX, 5), solutions, known=known)[SMALL.n_start :] if not one.is_right]
    assert len(wrong) == 4  # 80 % of 5


def test_no_test_problem_is_in_the_pool() -> None:
    tested = {one.problem.external_id for one in points.test_solutions(SMALL)}
    assert not tested & {one.problem.external_id for seed in SMALL.seeds for one in points.pool(SMALL, seed)}


def test_best_of_n_is_certain_for_a_perfect_score_and_the_share_of_right_ones_for_a_blind_one() -> None:
    tested = points.test_solutions(SMALL)
    right = np.array([one.is_right for one in tested], float)
    assert points.best_of(right, tested, n=4) == pytest.approx(right.reshape(6, 4).max(axis=1))
    assert points.best_of(np.zeros(len(tested)), tested, n=3) == pytest.approx(right.reshape(6, 4).mean(axis=1))


# --- running ------------------------------------------------------------------------------------------------------------------


def test_every_point_of_the_plan_is_trained_and_judged(folder: Path) -> None:
    starts, rest = running.points_of(SMALL)
    assert {path.stem for path in (folder / "points").glob("*.json")} == {point.key for point in (*starts, *rest)}
    assert ModelPoint(0, NOTHING, 0) in starts and ModelPoint(2, START, 0, ORACLE) in starts and ModelPoint(1, UNIFORM, 8, ANSWER) in rest
    found = running.point_of(folder, ModelPoint(1, MIX, 8))
    assert found["n_labeled"] == 22 and len(found["scores"]) == 24 and len(found["best_of_n"]) == 6 and found["step_auc"] is not None
    assert running.point_of(folder, ModelPoint(1, UNIFORM, 8, ANSWER))["step_auc"] is None  # an ORM rates no step
    assert not list(folder.glob("tmp*"))  # no model stays


def test_an_experiment_started_again_trains_nothing_that_is_there_and_finds_the_same(folder: Path) -> None:
    lost, before = running.path_of(folder, ModelPoint(2, MIX, 4)), (folder / "results.json").read_text()
    kept = {path: path.stat().st_mtime_ns for path in (folder / "points").iterdir() if path != lost}
    found = json.loads(lost.read_text())
    lost.unlink()
    with pytest.raises(BadPlan, match="not finished .*2-mix-80-20-4.json is missing"):
        experiment.summarise(folder)
    told: list[tuple[str, int, int]] = []
    experiment.run("small", SMALL, home=folder.parent.parent, progress=lambda *now: told.append(now))
    assert told == [("points", 1, 1)]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert json.loads(lost.read_text())["scores"] == found["scores"]
    experiment.summarise(folder)
    figures = [{k: v for k, v in json.loads(text).items() if k != "seconds"} for text in (before, (folder / "results.json").read_text())]
    assert figures[0] == figures[1]


def test_other_settings_need_another_name(folder: Path) -> None:
    with pytest.raises(BadPlan, match="another name"):
        experiment.run("small", SMALL.changed(skill=0.9), home=folder.parent.parent)
    assert running.kept_plan(folder).skill == SMALL.skill


@pytest.mark.parametrize("name", ["", "../up", "Big", "a" * 41])
def test_a_name_that_is_no_folder_of_its_own_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="name of an experiment must be"):
        experiment.run(name, SMALL, home=tmp_path)
    assert not list(tmp_path.iterdir())


def test_workers_find_what_one_process_finds(folder: Path, tmp_path: Path) -> None:
    few = SMALL.changed(seeds=(1,), outcomes=False, strategies={UNIFORM: ALL[UNIFORM]}, shown=UNIFORM)
    beside = experiment.run("small", few, home=tmp_path, workers=2)
    for point in (ModelPoint(1, UNIFORM, 4), ModelPoint(1, UNIFORM, 8)):
        assert running.point_of(beside, point)["scores"] == pytest.approx(running.point_of(folder, point)["scores"], abs=1e-5)


# --- results ------------------------------------------------------------------------------------------------------------------


def test_the_results_hold_three_figures_a_row_for_each_strategy_and_what_0_labels_give(folder: Path) -> None:
    told = results.read(folder)
    assert list(told["a"]) == [PROCESS, ORACLE, ANSWER] and list(told["b"]) == [UNIFORM, MIX]
    assert set(told["c"]["curves"]) == {"PRM", "PRM, uniform labels", "ORM", "majority", "oracle"} and told["c"]["n"][-1] == 4
    assert told["labels"] == [14, 18, 22] and told["best"] == MIX
    assert told["a"][PROCESS] == told["b"][UNIFORM]
    assert told["nothing"]["step_auc"] is not None
    by_hand = np.mean([np.mean(running.point_of(folder, ModelPoint(seed, MIX, 8))["best_of_n"]) for seed in (1, 2)])
    assert told["b"][MIX][-1]["value"] == pytest.approx(by_hand)


def test_the_table_and_the_figures_are_files(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "strategies.csv").read_text())))
    assert [row["strategy"] for row in rows] == [UNIFORM, MIX]
    assert float(rows[1]["best_of_n"]) == pytest.approx(results.read(folder)["table"][1]["best_of_n"]["value"], abs=1e-4)
    for key in "abc":
        drawing = (folder / f"figure-{key}.svg").read_text()
        assert drawing.startswith("<svg") and drawing.count("<polyline") >= 4


# --- the world ----------------------------------------------------------------------------------------------------------------


def test_a_generator_with_other_habits_errs_as_they_say_and_on_problems_no_harder_than_asked() -> None:
    habits = Habits({kind: float(kind is MistakeKind.WRONG_OPERATION) for kind in MistakeKind}, frozenset())
    world = list(make_world(5, n_problems=20, n_solutions=3, skill=0.2, habits=habits, level=2))
    kinds = {one.mistake_kind for _, solutions in world for one in solutions}
    assert kinds == {None, MistakeKind.WRONG_OPERATION}
    assert max(problem.level for problem, _ in world) <= 2 < max(p.level for p, _ in make_world(5, n_problems=20, n_solutions=1))


# --- command and pages --------------------------------------------------------------------------------------------------------


def test_the_command_runs_a_form_and_says_what_it_found(folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    settings.STEPMARK_HOME = folder.parent.parent
    monkeypatch.setitem(experiment.FORMS, "quick", {"small": SMALL})
    call_command("simulate", "--workers", "1")
    said = capsys.readouterr().out
    assert "(a) outcome, from the oracle: 14 " in said and "(b) mix 80/20" in said and "(c) best of 4" in said
    for words, why in (
        (("--name", "../x"), "name of an experiment must be"),
        (("--workers", "0"), "at least 1"),
        (("--seeds", "1", "1"), "seeds"),
    ):
        with pytest.raises(CommandError, match=why):
            call_command("simulate", *words)


@pytest.fixture
def shown(db: None, folder: Path, settings: Any) -> Path:
    settings.STEPMARK_HOME = folder.parent.parent
    return folder


def visitor(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_researchers_managers_and_owners_of_any_project_see_the_experiments_and_nobody_else(shown: Path) -> None:
    project = make.project()
    for person, code in ((make.olga(project), 200), (make.rita(project), 200), (make.ann(project), 404), (make.eve(), 404)):
        for address in ("/experiments/", "/experiments/small/", "/experiments/small/strategies.csv"):
            assert visitor(person).get(address).status_code == code, (person, address)
    assert Client().get("/experiments/").status_code in (302, 404)


def test_the_page_shows_figures_with_their_numbers_and_a_row_for_each_strategy(shown: Path) -> None:
    page = visitor(make.rita(make.project())).get("/experiments/small/").content.decode()
    assert page.count('role="img" aria-label=') == 3 and page.count("As a table") == 3
    assert MIX in page and "without any label" in page
    assert b"small" in visitor(make.rita()).get("/experiments/").content


def test_a_figure_with_a_line_alone_is_not_shown(shown: Path) -> None:
    path = shown / "results.json"
    before = path.read_text()
    told = json.loads(before)
    path.write_text(json.dumps(told | {"a": dict([*told["a"].items()][:1])}))
    try:
        page = visitor(make.rita(make.project())).get("/experiments/small/").content.decode()
    finally:
        path.write_text(before)
    assert "(a) Best of" not in page and "(b) Best of" in page and "(c) Share" in page


def test_files_that_are_none_of_the_experiment_are_missing(shown: Path) -> None:
    client = visitor(make.rita(make.project()))
    for address in ("other/", "small/plan.json", "small/points", "..%2f..%2f/"):
        assert client.get(f"/experiments/{address}").status_code == 404, address


def test_a_damaged_experiment_is_listed_with_what_is_wrong(shown: Path) -> None:
    (shown.parent / "broken").mkdir()
    (shown.parent / "broken" / "plan.json").write_text("{")
    try:
        client = visitor(make.rita(make.project()))
        assert "is not a plan" in client.get("/experiments/").content.decode()
        assert "is not a plan" in client.get("/experiments/broken/").content.decode()
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
