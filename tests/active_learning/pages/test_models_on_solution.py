"""The page of two models on one solution: both opinions of each step, people's ratings beside them, and what is not stored."""

import html

import pytest
from django.db import connection
from django.test import Client

from active_learning.models import ModelVersion, Score, StepScores
from annotation import quality
from annotation.models import Project, Solution
from tests import make
from tests.verdicts import judged


@pytest.fixture
def solution(project: Project) -> Solution:
    return make.solution(make.problem(project), ["One.", "Two.", "Three."])


def with_steps(project: Project, number: int, solution: Solution, *right: float, **fields: object) -> ModelVersion:
    version = make.version(project, number, **fields)
    rows = [[round(1 - one, 3), 0.0, one] for one in right]
    StepScores.objects.create(model_version=version, solution=solution, probabilities=rows)
    return version


def opened(client: Client, solution: Solution, query: str = "") -> tuple[dict, str]:
    answer = client.get(f"/p/sums/solutions/{solution.pk}/models/?{query}")
    assert answer.status_code == 200
    return answer.context, html.unescape(answer.content.decode())


def test_a_step_is_marked_where_two_models_are_far_apart_or_one_alone_sees_its_first_mistake(
    project: Project, solution: Solution, rita: Client
) -> None:
    with_steps(project, 1, solution, 0.9, 0.55, 0.95)
    with_steps(project, 2, solution, 0.85, 0.45, 0.7)
    judged(solution, "ann", 1)
    quality.settle(project)
    page, shown = opened(rita, solution, "a=1&b=2")
    assert [step.is_marked for step in page["steps"]] == [False, True, True]
    assert [round(step.difference, 2) for step in page["steps"]] == [-0.05, -0.1, -0.25]
    assert "PRM 1: score 0.470" in shown and "PRM 2: score 0.267" in shown
    assert shown.count("✕ first mistake") == 1 and page["steps"][1].first.ratings == [("ann", -1)]


def test_without_a_choice_the_model_that_serves_stands_beside_one_that_scored_the_steps(
    project: Project, solution: Solution, rita: Client
) -> None:
    with_steps(project, 1, solution, 0.9, 0.9, 0.9)
    make.version(project, 2)
    make.version(project, 3, champion=True)
    page, _ = opened(rita, solution)
    assert (page["first"].number, page["second"].number) == (3, 1)
    page, _ = opened(rita, solution, "a=1")
    assert (page["first"].number, page["second"].number) == (1, 3)


def test_what_is_not_stored_is_said_with_what_brings_it(project: Project, solution: Solution, rita: Client) -> None:
    with_steps(project, 1, solution, 0.9, 0.9, 0.9)
    make.version(project, 2, scores_file="scores/sums/2.bin")
    scored = make.version(project, 3)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{scored.pk} PARTITION OF active_learning_score FOR VALUES IN ({scored.pk})")
    row = {"problem_id": solution.problem_id, "outcome": "wrong"}
    Score.objects.create(model_version=scored, solution=solution, score=0.25, first_weak_step=2, **row)
    _, shown = opened(rita, solution, "a=1&b=2")
    assert "manage.py scores --project sums --restore 2" in shown and "score its steps with PRM 2" in shown
    page, shown = opened(rita, solution, "a=1&b=3")
    assert "scored this solution as a whole" in shown and "PRM 3: score 0.2500" in shown
    assert [step.is_marked for step in page["steps"]] == [False, False, True]  # what is known of its first mistake
    opinions = [(row.version.number, row.score, row.has_steps) for row in page["opinions"]]
    assert opinions == [
        (3, 0.25, False),
        (2, None, False),
        (1, pytest.approx(0.729), True),
    ]


def test_a_worker_scores_the_steps_that_are_missing(
    project: Project, solution: Solution, rita: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("active_learning.registry.ask_for_steps", lambda version, key: asked.append((version.number, key)))
    make.version(project, 1), make.version(project, 2)
    _, shown = opened(rita, solution, "a=1&b=2")
    action = f"/p/sums/models/2/solutions/{solution.pk}/"
    assert f'action="{action}"' in shown and rita.post(action).status_code == 302 and asked == [(2, solution.pk)]


def test_one_model_alone_is_compared_with_nothing(project: Project, solution: Solution, rita: Client) -> None:
    assert "no process reward model yet" in opened(rita, solution)[1]
    make.version(project, 1)
    assert "only one process reward model" in opened(rita, solution)[1]


@pytest.mark.parametrize(("query", "status"), [("a=7", 404), ("a=2", 404), ("a=3", 404), ("a=x", 302)])
def test_a_model_that_cannot_be_compared_is_refused(project: Project, solution: Solution, rita: Client, query: str, status: int) -> None:
    make.version(project, 1)
    make.version(project, 2, kind="orm")
    make.version(project, 3, state="failed")
    assert rita.get(f"/p/sums/solutions/{solution.pk}/models/?{query}").status_code == status
