"""The pages of the models: who may see and decide, what they show of whole and of half-known versions."""

import html
import io
import json
import re
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from active_learning import pages
from active_learning.models import ModelVersion, Round, Selection, StepScores
from active_learning.pages import models
from active_learning.registry import serving
from annotation import labels, queue
from annotation.models import Batch, Event, Project, Role, Solution
from tests import make

pytestmark = pytest.mark.django_db

CURVE = [{"phase": "language model", "done": 5, "total": 10, "rating_loss": None, "token_loss": 3.0}] + [
    {"phase": "reward model", "done": done, "total": 20, "rating_loss": 2 / done, "token_loss": None} for done in (1, 10, 20)
]
BAND = {"mean": [0.25, 0.5], "low": [0.125, 0.375], "high": [0.375, 0.625]}
METRICS = {
    "n_problems": 9, "n_solutions": 12, "n_rated_steps": 40, "step_auc": 0.8125, "log_loss": 0.41, "base_rate_log_loss": 0.53,
    "threshold": 0.5, "first_mistake": {"f1": 0.433, "accuracy_wrong": 0.5, "accuracy_right": 0.25, "n_wrong": 4, "n_right": 8},
    "best_of_n": {"n": [1, 8], "n_problems": 7, "n_samples": 8, "curves": {name: BAND for name in models.CURVES}},
    "calibration": {
        "temperature": 1.5, "expected_error": 0.04, "bins": [{"low": 0, "high": 0.5, "n": 9, "predicted": 0.2, "observed": 0.3}],
    },
    "training": {"n_problems": 30, "n_solutions": 50, "n_rated_steps": 90, "n_parameters": 1_500_000, "seconds": 61.0, "curve": CURVE},
}  # fmt: skip


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def project(db, home: Path) -> Project:
    return make.project()


@pytest.fixture
def rita(project: Project) -> Client:
    return signed_in(make.rita(project))


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def version(project: Project, number: int, home: Path, **fields: Any) -> ModelVersion:
    folder = home / "models" / project.slug / str(number)
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(f"# Card of model {number}")
    (folder / "manifest.json").write_text(json.dumps({"README.md": "00"}))
    told = {"base": "tiny", "state": "ready", "sha256": "ab" * 32, "artifact": f"models/{project.slug}/{number}", "ready_at": Now()}
    return ModelVersion.objects.create(project=project, number=number, **(told | {"metrics": METRICS} | fields))


def path(name: str, *more: int) -> str:
    return reverse(name, args=["sums", *more])


def labeled(project: Project, *ratings: int, by: User | None = None) -> Solution:
    """Have a solution of three steps labeled."""
    made = make.solution(make.problem(project))
    make.batch(project, [made], generation=Batch.objects.filter(project=project).count() + 1)
    lease = queue.lease_next(by or make.ann(project), project=project)
    labels.submit(
        lease.assignment_id,
        labeler=by or make.ann(),
        token=lease.token,
        submission_id=uuid.uuid4(),
        active_ms=1,
        total_ms=1,
        ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
        finish_reason="found_error" if -1 in ratings else "solution",
    )
    return made


def scored(by: ModelVersion, solution: Solution, *right: float, **fields: Any) -> None:
    probabilities = [[1 - p, 0.0, p] for p in right]
    StepScores.objects.create(model_version=by, solution=solution, probabilities=probabilities, held_out=True, **fields)


READ = ["models", "model", "compare-models", "solution", "download-model", "find-solution"]
DECIDE = ["promote", "roll-back"]
ADDRESSES = {"model": [1], "download-model": [1], "find-solution": [1], "promote": [1]}


@pytest.mark.parametrize("name", READ + DECIDE)
@pytest.mark.parametrize("role", [Role.LABELER, Role.REVIEWER, None])
def test_who_does_no_research_here_learns_nothing(project: Project, home: Path, name: str, role: str | None) -> None:
    version(project, 1, home)
    numbers = [1, make.solution(make.problem(project)).pk] if name == "solution" else ADDRESSES.get(name, [])
    client = signed_in(make.person("sam", project, role) if role else make.eve())
    answer = (client.post if name in DECIDE else client.get)(path(name, *numbers))
    assert answer.status_code == 404


@pytest.mark.parametrize("name", DECIDE)
def test_a_researcher_sees_and_does_not_decide(project: Project, rita: Client, home: Path, name: str) -> None:
    version(project, 1, home)
    assert b"Let it serve" not in rita.get(path("model", 1)).content
    assert rita.post(path(name, *ADDRESSES.get(name, [])), {"kind": "prm"}).status_code == 404
    assert not ModelVersion.objects.filter(champion=True).exists()


def test_another_projects_model_is_a_missing_page(project: Project, rita: Client, home: Path) -> None:
    version(make.project("others"), 1, home)
    for name, numbers in (("model", [1]), ("download-model", [1]), ("solution", [1, 1])):
        assert rita.get(path(name, *numbers)).status_code == 404
    version(project, 1, home)
    foreign = make.solution(make.problem(Project.objects.get(slug="others")))
    assert rita.get(path("solution", 1, foreign.pk)).status_code == 404


def test_the_list_says_where_each_version_stands(project: Project, rita: Client, home: Path) -> None:
    version(project, 1, home, decision={"promoted": True})
    version(project, 2, home, champion=True, decision={"promoted": True})
    version(project, 3, home, decision={"promoted": False})
    version(project, 4, home, state="failed", failure="Too little.", metrics={}, sha256="")
    version(project, 5, home, kind="orm", state="running", metrics={}, progress={"stage": "reward model", "done": 3, "total": 9})
    page = rita.get(path("models")).content.decode()
    for words in ("served before", "serves", "waits for a person", "failed", "Too little.", "3 of 9", "Outcome reward models"):
        assert words in page, words
    fragment = rita.get(path("models"), HTTP_HX_REQUEST="true").content.decode()
    assert "3 of 9" in fragment and "<html" not in fragment


def test_an_empty_project_says_what_trains_the_first_model(project: Project, rita: Client) -> None:
    assert "trains the first one" in rita.get(path("models")).content.decode()


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ({"n_rated_steps": 12, "log_loss": 0.7, "base_rate_log_loss": 0.6}, "The model does not beat the base rate: on 12 held-out labels"),
        ({"n_solutions": 0, "log_loss": None, "base_rate_log_loss": None}, "No labels are held out"),
        (
            {
                "training": {
                    "paces": [
                        {"phase": "reward model", "epochs": 2, "token_budget": 256, "batches_per_update": 1, "updates": 24}
                        | {"wanted": {"epochs": 2, "token_budget": 2048, "batches_per_update": 1, "updates": 20}}
                    ]
                }
            },
            "It was read in batches of up to 256 tokens instead of 2,048: 24 optimizer steps.",
        ),
    ],
)
def test_a_version_says_why_it_is_not_to_be_trusted_and_how_little_data_it_had(
    metrics: dict[str, Any], sentence: str, project: Project, rita: Client, home: Path
) -> None:
    version(project, 1, home, metrics=METRICS | metrics)
    assert sentence in html.unescape(rita.get(path("model", 1)).content.decode())


def test_a_version_shows_its_figures_beside_the_base_rate(project: Project, rita: Client, home: Path) -> None:
    version(project, 1, home)
    page = rita.get(path("model", 1)).content.decode()
    for words in ("0.812", "0.410", "0.530", "43.3%", "PRM-weighted voting", "Card of model 1", "perfectly calibrated", "abababababababab"):
        assert words in page, words


def test_a_version_says_whose_its_base_is_and_under_which_licence(project: Project, rita: Client, home: Path) -> None:
    version(project, 1, home, base="smollm2")
    assert "smollm2: SmolLM2-135M-Instruct of HuggingFaceTB, licence Apache-2.0" in rita.get(path("model", 1)).content.decode()


@pytest.mark.parametrize("metrics", [{}, {"step_auc": None, "first_mistake": None, "calibration": None, "best_of_n": None, "training": {}}])
def test_a_version_of_which_little_is_known_has_a_page(project: Project, rita: Client, home: Path, metrics: dict[str, Any]) -> None:
    version(project, 1, home, metrics=metrics, artifact="models/gone")
    page = rita.get(path("model", 1))
    assert page.status_code == 200 and "No losses are recorded for this training" in page.content.decode()
    assert rita.get(path("compare-models") + "?a=1&b=1").status_code == 200


BEST = {"PRM": {"mean": 0.75, "low": 0.5, "high": 0.9}, "majority": {"mean": 0.625, "low": 0.4, "high": 0.8}, "oracle": {"mean": 1.0}}
GROUP = {"n_problems": 12, "n_labeled_problems": 12, "n_solutions": 1_234, "step_auc": 0.8125, "step_auc_low": 0.7, "step_auc_high": 0.9}
SMALL = {"n_problems": 2, "n_labeled_problems": 2, "n_solutions": 3, "step_auc": None, "too_few_labeled": True}
GROUPS = {
    "subject": {
        "(none)": SMALL,
        "geometry": GROUP | {"n": 8, "best_of_n": BEST, "n_sampled_problems": 4, "too_few_sampled": True},
    },
    "level": {"5": GROUP},
}


def test_a_version_shows_each_subject_and_level_with_counts_and_intervals_and_marks_what_is_too_small(
    project: Project, rita: Client, home: Path
) -> None:
    version(project, 1, home, metrics=METRICS | {"groups": GROUPS})
    page = " ".join(rita.get(path("model", 1)).content.decode().split())
    rows = dict(re.findall(r'<tr> <th scope="row">(no subject|geometry|5)</th>(.*?)</tr>', page))
    assert set(rows) == {"no subject", "geometry", "5"}
    for words in ("1,234", "0.812", "0.700 to 0.900", "75.0%", "50.0% to 90.0%", "62.5%", "40.0% to 80.0%"):
        assert words in rows["geometry"], words
    assert rows["no subject"].count("too few problems to say") == rows["geometry"].count("too few problems to say") == 1
    assert "too few" not in rows["5"] and "Best of 8, majority" in page and "Best of 8, oracle" not in page


def test_subjects_come_before_levels_each_in_order_and_what_has_none_comes_last(project: Project, rita: Client, home: Path) -> None:
    levels = dict.fromkeys(("10", "2", "(none)", "1"), GROUP)
    subjects = dict.fromkeys(("(none)", "geometry", "Algebra", "Counting & probability"), GROUP)
    tables = models.group_tables({"level": levels, "subject": subjects})
    assert [[row.name for row in table.rows] for table in tables] == [
        ["Algebra", "Counting & probability", "geometry", "no subject"],
        ["1", "2", "10", "no level"],
    ]


@pytest.mark.parametrize(
    ("more", "decision", "sentence"),
    [
        (
            {},
            {"promoted": True, "reason": "It is the first of its kind that is better than the base rate."},
            "kept no figures by subject and level",
        ),
        ({}, {}, "come when the model is judged"),
        (
            {"groups": {}},
            {"promoted": True, "reason": "It is the first of its kind that is better than the base rate."},
            "has a subject or a level",
        ),
    ],
)
def test_a_version_without_groups_says_why(
    project: Project, rita: Client, home: Path, more: dict[str, Any], decision: dict[str, Any], sentence: str
) -> None:
    version(project, 1, home, metrics=METRICS | more, decision=decision)
    assert sentence in rita.get(path("model", 1)).content.decode()


def test_the_stages_of_a_training_follow_one_another_on_one_axis(project: Project, home: Path) -> None:
    chart = models.training_chart([("model 1", version(project, 1, home))])
    assert [line.name for line in chart.lines] == ["rating loss", "token loss"]
    assert [row[0] for row in chart.rows] == ["5", "11", "20", "30"]


def test_a_running_version_draws_its_losses_so_far_and_asks_again(project: Project, rita: Client, home: Path) -> None:
    progress = {"stage": "reward model", "done": 3, "total": 9, "curve": CURVE[:2]}
    made = version(project, 1, home, state="running", metrics={}, progress=progress)
    assert 'hx-trigger="every 3s"' in rita.get(path("model", 1)).content.decode()
    fragment = rita.get(path("model", 1), HTTP_HX_REQUEST="true")
    assert "rating loss" in fragment.content.decode() and b"<html" not in fragment.content
    assert b"Calibration" not in rita.get(path("model", 1)).content  # nothing is measured yet
    ModelVersion.objects.filter(pk=made.pk).update(state="ready")
    assert rita.get(path("model", 1), HTTP_HX_REQUEST="true")["HX-Refresh"] == "true"


def test_a_manager_promotes_and_rolls_back_with_one_click(project: Project, olga: Client, home: Path) -> None:
    version(project, 1, home, champion=True)
    version(project, 2, home)
    answer = olga.post(path("promote", 2), follow=True)
    assert "Model 2 serves now." in answer.content.decode() and "Roll back to PRM 1" in answer.content.decode()
    assert "Model 1 serves again." in olga.post(path("roll-back"), {"kind": "prm"}, follow=True).content.decode()
    assert Event.objects.filter(actor=make.olga()).count() == 2
    assert "nothing to go back to" in olga.post(path("roll-back"), {"kind": "prm"}, follow=True).content.decode()
    assert olga.get(path("promote", 2)).status_code == 405


def test_a_download_is_a_zip_named_after_the_version(project: Project, rita: Client, home: Path) -> None:
    version(project, 1, home)
    answer = rita.get(path("download-model", 1))
    assert answer["Content-Disposition"] == 'attachment; filename="sums-prm-1.zip"'
    with zipfile.ZipFile(io.BytesIO(b"".join(answer))) as packed:
        assert packed.read("sums-prm-1/README.md") == b"# Card of model 1"


def test_a_download_of_files_that_are_gone_says_so(project: Project, rita: Client, home: Path) -> None:
    version(project, 1, home, artifact="models/gone")
    assert "gone or damaged" in rita.get(path("download-model", 1), follow=True).content.decode()


def test_two_versions_are_compared_by_what_decided_about_the_second(project: Project, rita: Client, home: Path) -> None:
    figure = {"champion": 0.41, "challenger": 0.52, "difference": 0.11, "low": 0.062, "high": 0.188}
    comparison = {"n_problems": 77, "n_solutions": 88, "figures": {"log_loss": figure}, "worse": True}
    version(project, 1, home)
    version(project, 2, home, decision={"champion": 1, "comparison": comparison, "promoted": False, "reason": "It is worse."})
    page = rita.get(path("compare-models") + "?a=1&b=2").content.decode()
    assert "0.062 to 0.188" in page and "PRM 2 is significantly worse than PRM 1" in page and "88 solutions of 77 problems" in page


def test_any_two_versions_are_compared_on_what_was_held_out_from_both(project: Project, home: Path) -> None:
    good, bad = version(project, 1, home), version(project, 2, home)
    for _ in range(6):
        wrong, right = labeled(project, 1, -1), labeled(project, 1, 1, 1)
        scored(good, wrong, 0.9, 0.1, 0.5)
        scored(bad, wrong, 0.6, 0.9, 0.5)
        scored(good, right, 0.9, 0.9, 0.9)
        scored(bad, right, 0.4, 0.5, 0.3)
    found = pages.compared_versions(project, 1, 2)["comparison"]
    assert (found["n_problems"], found["n_solutions"], found["worse"]) == (12, 12, True)
    assert found["figures"]["step_auc"]["champion"] == 1.0
    assert pages.compared_versions(project, 2, 1)["comparison"]["worse"] is False


def test_a_comparison_without_numbers_is_refused_with_a_sentence(project: Project, rita: Client) -> None:
    assert "Choose two models" in rita.get(path("compare-models") + "?a=1&b=x", follow=True).content.decode()


def test_a_solution_stands_with_the_models_and_the_peoples_word_on_each_step(project: Project, rita: Client, home: Path) -> None:
    made, told = labeled(project, 1, -1), version(project, 1, home)
    scored(told, made, 0.875, 0.25, 0.75)
    seen = pages.scored_solution(project, 1, made.pk)
    assert [step.right for step in seen["steps"]] == [0.875, 0.25, 0.75]
    assert [step.ratings for step in seen["steps"]] == [[("ann", 1)], [("ann", -1)], []]
    assert [step.is_weak for step in seen["steps"]] == [False, True, False]
    assert seen["score"] == pytest.approx(0.875 * 0.25 * 0.75)
    page = rita.get(path("solution", 1, made.pk)).content.decode()
    assert "--right: 0.875" in page and "the model’s first mistake" in page and "</span> negative</p>" in page


def test_a_solution_that_was_not_read_to_its_end_scores_nothing(project: Project, home: Path) -> None:
    made = make.solution(make.problem(project))
    scored(version(project, 1, home), made, 0.9, 0.9)
    seen = pages.scored_solution(project, 1, made.pk)
    assert seen["score"] == 0 and seen["steps"][2].right is None


def test_a_selected_solution_is_shaded_by_what_the_round_wrote_down(project: Project, home: Path) -> None:
    made, first, second = make.solution(make.problem(project)), version(project, 1, home), version(project, 2, home)
    done = Round.objects.create(
        project=project, generation=0, strategy="convincing", state="published", model_version=second, findings={"chosen_with": 1}
    )
    Selection.objects.create(round=done, solution=made, rank=1, score=0.5, step_scores=[0.9, 0.8, 0.7])
    assert [step.right for step in pages.scored_solution(project, first.number, made.pk)["steps"]] == pytest.approx([0.9, 0.8, 0.7])
    assert not pages.scored_solution(project, second.number, made.pk)["is_scored"]


def test_a_solution_nobody_scored_is_scored_by_a_worker_on_request(
    project: Project, rita: Client, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(serving.current_app, "send_task", lambda *told, **options: sent.append((told, options["queue"])))
    made, told = make.solution(make.problem(project)), version(project, 1, home)
    here = path("solution", 1, made.pk)
    assert "Score them" in rita.get(here).content.decode()
    waiting = rita.post(here, follow=True).content.decode()
    assert sent == [(("active_learning.tasks.score_steps", [told.pk, made.pk]), "gpu")]
    assert "A worker will score this solution" in waiting
    assert rita.get(here, HTTP_HX_REQUEST="true").status_code == 204
    scored(told, made, 0.9, 0.9, 0.9)
    assert rita.get(here, HTTP_HX_REQUEST="true")["HX-Refresh"] == "true"


def test_a_broker_that_is_away_is_said(project: Project, rita: Client, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(serving.current_app, "send_task", away)
    version(project, 1, home)
    answer = rita.post(path("solution", 1, make.solution(make.problem(project)).pk), follow=True)
    assert "No worker could be reached (no route)" in answer.content.decode()


def test_solutions_on_which_model_and_people_differ_come_first(project: Project, home: Path) -> None:
    told, agreed, missed = version(project, 1, home), labeled(project, 1, -1), labeled(project, -1)
    scored(told, agreed, 0.9, 0.1, 0.9)
    scored(told, missed, 0.9, 0.9, 0.9)
    assert [(row.solution, row.agrees) for row in models.held_out(told)] == [(missed, False), (agreed, True)]


@pytest.mark.parametrize("typed", ["", "x", "9" * 19])
def test_a_solution_is_found_by_its_number_only(project: Project, rita: Client, home: Path, typed: str) -> None:
    version(project, 1, home)
    assert "Enter the number of a solution" in rita.get(path("find-solution", 1), {"id": typed}, follow=True).content.decode()


def test_the_page_of_a_version_asks_the_same_number_of_questions_however_many_solutions(
    project: Project, rita: Client, home: Path, django_assert_max_num_queries: Any
) -> None:
    told = version(project, 1, home)
    for _ in range(8):
        scored(told, labeled(project, 1, -1), 0.9, 0.1, 0.9)
    with django_assert_max_num_queries(14):
        rita.get(path("model", 1))
