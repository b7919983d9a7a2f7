"""The experiment: lines and ratios, points trained by the product's own code, files from which a killed run continues, pages."""

import csv
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
from active_learning.experiment import curves, points, results, running
from active_learning.experiment.forms import ALL, MIX
from active_learning.experiment.plan import ANSWER, ORACLE, PROCESS, UNIFORM, BadPlan, Plan
from active_learning.experiment.points import NOTHING, START, TrainingPoint
from active_learning.models import ExperimentRun
from active_learning.selection import Candidates
from active_learning.world import Habits, MistakeKind, make_world
from annotation.models import Project
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
    estimate = curves.efficiency(LABELS, values, arm="mix", against="uniform", rng=np.random.default_rng(1))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((2.75, 2.75, 2.75))


def test_the_interval_of_the_ratio_holds_the_truth_and_widens_with_noise() -> None:
    estimates = [
        curves.efficiency(
            LABELS, on_lines({"uniform": 0.04, "mix": 0.1}, noise=noise), arm="mix", against="uniform", rng=np.random.default_rng(1)
        )
        for noise in (0.02, 0.06)
    ]
    for estimate in estimates:
        assert estimate.low is not None and estimate.high is not None and estimate.low < 2.5 < estimate.high
    assert estimates[1].high - estimates[1].low > 1.5 * (estimates[0].high - estimates[0].low)  # type: ignore[operator]


def test_a_strategy_measured_against_itself_has_the_ratio_1_without_doubt() -> None:
    values = on_lines({"uniform": 0.03}, noise=0.15)  # its line falls in some draws
    estimate = curves.efficiency(LABELS, values, arm="uniform", against="uniform", rng=np.random.default_rng(1))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1, 1, 1))


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
    times = curves.equal_labels(LABELS, on_lines({"uniform": 0.05, "mix": 0.1}), arm="mix", against="uniform")
    assert times == pytest.approx(LABELS / 40)  # twice as steep: n^2 / 40 labels


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
        ({"strategies": {MIX: ALL[MIX]}}, "uniform is missing from strategies"),
        ({"sizes": (4, 400)}, "more than the 42 of the pool"),
        ({"n_best": 9}, "n_best must be from 1 to 4"),
        ({"strategies": ALL | {"bold": (("bold", 1.0),)}}, "no strategy named bold"),
        ({"habits": {"weights": {"typo": 1}}}, "habits"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_what_to_change(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        SMALL.changed(**changes)


def test_a_plan_comes_back_from_its_file() -> None:
    plan = SMALL.changed(habits={"weights": {kind: 1.0 for kind in MistakeKind}, "traps": ["unit"], "trap": 2.0})
    again = Plan.from_settings(json.loads(json.dumps(plan.as_dict())))
    assert again.fingerprint == plan.fingerprint and again.generator() == plan.generator()


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
    assert sum(not solution.is_right for solution in chosen) == 4  # 80 % of 5


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
    assert (
        TrainingPoint(0, NOTHING, 0) in starts
        and TrainingPoint(2, START, 0, ORACLE) in starts
        and TrainingPoint(1, UNIFORM, 8, ANSWER) in rest
    )
    figures = running.read_point(folder, TrainingPoint(1, MIX, 8))
    assert figures["n_labeled"] == 22 and len(figures["scores"]) == 24 and len(figures["best_of_n"]) == 6
    assert figures["step_auc"] is not None
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


def test_the_results_hold_three_figures_a_row_for_each_strategy_and_what_0_labels_give(folder: Path) -> None:
    outcome = results.read_results(folder)
    assert list(outcome["a"]) == [PROCESS, ORACLE, ANSWER] and list(outcome["b"]) == [UNIFORM, MIX]
    assert set(outcome["c"]["curves"]) == {"PRM", "PRM, uniform labels", "ORM", "majority", "oracle"} and outcome["c"]["n"][-1] == 4
    assert outcome["labels"] == [14, 18, 22] and outcome["best"] == MIX
    assert outcome["a"][PROCESS] == outcome["b"][UNIFORM]
    assert outcome["nothing"]["step_auc"] is not None
    by_hand = np.mean([np.mean(running.read_point(folder, TrainingPoint(seed, MIX, 8))["best_of_n"]) for seed in (1, 2)])
    assert outcome["b"][MIX][-1]["value"] == pytest.approx(by_hand)


def test_the_table_and_the_figures_are_files(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "strategies.csv").read_text())))
    assert [row["strategy"] for row in rows] == [UNIFORM, MIX]
    assert float(rows[1]["best_of_n"]) == pytest.approx(results.read_results(folder)["table"][1]["best_of_n"]["value"], abs=1e-4)
    for key in "abc":
        drawing = (folder / f"figure-{key}.svg").read_text()
        assert drawing.startswith("<svg") and drawing.count("<polyline") >= 4


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
    assert "      mix 80/20: 0." in printed and "(c) Share of problems solved by choosing among 4 solutions:\n      PRM: 0." in printed
    assert all(sentence in printed for sentence in results.EFFICIENCY_WORDS)
    for arguments, message in (
        (("--name", "../x"), "cannot be used"),
        (("--workers", "0"), "must be at least 1"),
        (("--seeds", "1", "1"), "seeds"),
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


def test_the_document_explains_data_efficiency_in_the_words_of_the_page_and_the_command() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "experiment.md"
    assert " ".join(results.EFFICIENCY_WORDS) in " ".join(document.read_text().split())


def test_the_page_shows_figures_with_their_numbers_and_a_row_for_each_strategy(shown: Path) -> None:
    page = visitor(make.rita(Project.objects.get())).get("/experiments/small/").content.decode()
    assert page.count('role="img" aria-label=') == 3 and page.count("As a table") == 3
    assert MIX in page and " ".join(results.EFFICIENCY_WORDS) in html.unescape(page) and "without labels" in page
    assert b"small" in visitor(make.rita()).get("/experiments/").content


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
