"""Scores hold a copy of the outcome, and it follows a correction wherever the scores are."""

import pytest

from active_learning import scoring
from active_learning.models import ModelVersion, Score
from annotation import corrections
from annotation.models import Problem, Solution
from tests import make
from tests.scorings import begun, nothing, rows, run, score

pytestmark = pytest.mark.django_db


def corrected(version: ModelVersion) -> int:
    """Correct the answer of one solution's problem so that the solution is right; return its key."""
    solution = Solution.objects.select_related("problem").order_by("pk")[1]
    change = corrections.change_of_answer(solution.problem, solution.final_answer or "")
    with corrections.prepared(version.project, [change]) as plan:
        plan.apply(actor=None)
    assert Solution.objects.get(pk=solution.pk).outcome == "correct"
    return solution.pk


def right(version: ModelVersion) -> list[int]:
    assert rows(version)
    return [row[1] for row in rows(version) if row[5] == "correct"]


def test_the_scores_of_a_version_follow_a_correction(version: ModelVersion) -> None:
    score(version)
    assert right(version) == []
    assert right(version) + [corrected(version)] == right(version)


def test_a_solution_whose_outcome_stays_keeps_its_score(version: ModelVersion) -> None:
    score(version)
    before = rows(version)
    Solution.objects.update(outcome_reason="another reason")
    assert rows(version) == before


def test_an_unfinished_scoring_follows_a_correction(version: ModelVersion) -> None:
    begun(version)
    shard = scoring.claim(version)
    assert shard is not None
    run(shard, version)
    key = corrected(version)
    score(version)
    assert right(version) == [key]


def test_a_correction_while_a_worker_reads_reaches_its_scores(version: ModelVersion) -> None:
    begun(version)
    shard = scoring.claim(version)
    assert shard is not None
    keys = []

    def correct_once(done: int) -> None:
        if not keys:
            keys.append(corrected(version))

    from active_learning.registry import load

    scoring.run_shard(shard, version=version, model=load(version), progress=correct_once)
    scoring.score(version, progress=nothing, fence=nothing)
    assert right(version) == keys


def test_scores_that_come_back_from_a_file_have_the_present_outcomes(version: ModelVersion) -> None:
    score(version)
    scoring.drop_to_file(version)
    assert not Score.objects.exists()
    key = corrected(version)
    scoring.restore(version)
    assert right(version) == [key]


def test_scores_of_another_project_stay(version: ModelVersion) -> None:
    score(version)
    other = make.project("another")
    problem = make.problem(other, answer="3")
    solution = make.solution(problem, final_answer="4")
    with corrections.prepared(other, [corrections.change_of_answer(problem, "4")]) as plan:
        plan.apply(actor=None)
    assert Solution.objects.get(pk=solution.pk).outcome == "correct" and Problem.objects.get(pk=problem.pk).answer == "4"
    assert right(version) == []
