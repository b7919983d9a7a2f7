"""Scoring a project: which solutions get which figures, and what cannot be scored is named."""

import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as given_

from active_learning import scoring
from active_learning.models import ModelState, ModelVersion, ProblemMean, Score, ScoreShard
from active_learning.registry import ModelUnusable, load
from active_learning.scoring import shards
from active_learning.scoring.figures import choosing_temperature, expected_change
from annotation.models import Solution
from tests import make
from tests.scorings import begun, nothing, rows, score
from trainer.data import SolutionText
from trainer.evaluate import score_per_step
from trainer.score import first_weak_step, score_solutions

pytestmark = pytest.mark.django_db


# --- what is scored -----------------------------------------------------------------------------------------------------------


def test_every_readable_solution_is_scored_and_no_other(version: ModelVersion) -> None:
    there = set(Solution.objects.values_list("pk", flat=True))
    make.solution(make.problem(version.project, split="test"))
    make.solution(make.problem(version.project), withdrawn_at="2026-01-01T00:00Z")
    make.solution(make.problem(make.project("another")))
    score(version)
    assert {row[1] for row in rows(version)} == there
    assert Counter(ScoreShard.objects.values_list("state", "attempt", "n_solutions")) == {("done", 1, 4): 2, ("done", 1, 2): 1}


def test_the_figures_are_those_of_the_model(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    solutions = {one.pk: one for one in Solution.objects.select_related("problem").order_by("pk")}
    told = [SolutionText(str(key), str(one.problem_id), one.problem.statement, tuple(one.steps)) for key, one in solutions.items()]
    scores, seen = list(score_solutions(load(version), told)), set()
    worst = [one.probabilities[:, 0].max() for one in scores]
    version.metrics = {"calibration": {"temperature": 2.0}}
    model = replace(load(version), threshold=float(np.median(worst)))  # half of the solutions have a weak step
    monkeypatch.setattr(shards, "load", lambda _: model)
    score(version)
    for one, figure in zip(scores, Score.objects.order_by("solution_id"), strict=True):
        weak = first_weak_step(one.probabilities, threshold=model.threshold)
        assert one.means is not None and one.deviations is not None
        until = slice(None if weak is None else weak + 1)
        read = slice(scoring.first_doubted(one.means))
        assert figure.score == pytest.approx(one.score, abs=1e-5)
        assert (figure.first_weak_step, figure.outcome) == (weak, "wrong")
        assert figure.entropy == pytest.approx(scoring.first_mistake_entropy(one.probabilities[:, 0]), abs=1e-4)
        assert figure.confidence == pytest.approx(np.maximum(one.means, 1 - one.means)[read].min(), abs=1e-5)
        assert figure.deviation == pytest.approx(one.deviations[read].max(), abs=1e-5)
        assert figure.per_step == pytest.approx(score_per_step(one.probabilities, temperature=2.0), abs=1e-5)
        assert figure.margin == pytest.approx(scoring.first_mistake_margin(one.probabilities[:, 0]), abs=1e-5)
        assert figure.change is None  # the network itself learns
        solution = solutions[figure.solution_id]
        assert figure.prefix == scoring.prefix_hash(solution.problem_id, solution.steps[until])
        seen.add(weak is None)
    assert len(Score.objects.all()) == 10 and seen == {True, False}


def test_an_outcome_model_says_nothing_of_steps(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "load", lambda version: replace(load(version), kind="orm"))
    score(version)
    assert {row[4:5] + row[6:] for row in rows(version)} == {(None,) * 8}
    assert len({row[3] for row in rows(version)}) > 1


@given(given_.lists(given_.floats(0, 1, width=32), min_size=1, max_size=8))
def test_the_entropy_is_that_of_where_the_first_mistake_is(negative: list[float]) -> None:
    places, none_until = [], 1.0
    for p in negative:
        places.append(p * none_until)
        none_until *= 1 - p
    surprise = -sum(p * math.log(p) for p in (*places, none_until) if p > 0)
    assert scoring.first_mistake_entropy(np.array(negative, np.float32)) == pytest.approx(surprise, abs=1e-6)


def test_the_margin_is_the_lead_of_the_likeliest_place_of_the_first_mistake() -> None:
    assert scoring.first_mistake_margin(np.array([0.5, 0.5], np.float32)) == pytest.approx(0.25)  # .5, .25, nowhere .25
    assert scoring.first_mistake_margin(np.array([0.1], np.float32)) == pytest.approx(0.8)
    assert scoring.first_mistake_margin(np.array([], np.float32)) is None


@pytest.mark.parametrize(("means", "read"), [([0.1, 0.6, 0.9], 2), ([0.5, 0.5], None), ([0.9], 1)])
def test_the_heads_are_read_up_to_the_first_mistake_that_their_mean_predicts(means: list[float], read: int | None) -> None:
    assert scoring.first_doubted(np.array(means, np.float32)) == read


def test_a_temperature_out_of_bounds_is_not_trusted() -> None:
    told = [
        choosing_temperature(ModelVersion(metrics={"calibration": found})) for found in ({"temperature": 90.0}, {"temperature": 0.01}, None)
    ]
    assert told == [4.0, 0.25, 1.0]


def test_what_is_usual_for_a_problem_follows_the_solutions_scored_since(version: ModelVersion) -> None:
    score(version)
    means = dict(ProblemMean.objects.values_list("problem", "per_step"))
    own: dict[int, list[float]] = {}
    for problem, per_step in Score.objects.values_list("problem", "per_step"):
        own.setdefault(problem, []).append(per_step)
    mean = np.mean([one for some in own.values() for one in some])
    assert means == pytest.approx({problem: np.mean([*some, mean]) for problem, some in own.items()}, abs=1e-6)
    first = version.project.problem_set.earliest("pk")
    make.solution(first, ["We add.", "It is 5."])
    score(version)
    assert ProblemMean.objects.get(problem=first).per_step != means[first.pk]


def test_a_comparison_that_a_killed_worker_missed_is_made_up(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    score(version)
    late = make.problem(version.project)
    make.solution(late, ["We add.", "It is 5."])

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shards, "compare", killed)
        with pytest.raises(KeyboardInterrupt):
            score(version)
    assert Score.objects.filter(problem=late).exists() and not ProblemMean.objects.filter(problem=late).exists()
    score(version)
    assert ProblemMean.objects.filter(problem=late).exists()


def test_a_worker_that_lost_its_round_writes_no_comparison(version: ModelVersion) -> None:
    score(version)
    ProblemMean.objects.all().delete()

    def lost() -> None:
        raise shards.ShardLost

    with pytest.raises(shards.ShardLost):
        score(version, fence=lost)
    assert not ProblemMean.objects.exists()


def test_a_change_counts_each_step_as_far_as_it_is_likely_to_be_reached() -> None:
    assert expected_change(np.array([0.5, 0.25], np.float32), np.array([2.0, 4.0], np.float32)) == pytest.approx(4.0)


def test_a_prefix_is_the_same_in_every_process_and_belongs_to_its_problem() -> None:
    assert scoring.prefix_hash(7, ["We add.", "It is 4."]) == 301248626359709299
    assert len({scoring.prefix_hash(*of) for of in [(7, ["ab"]), (8, ["ab"]), (7, ["a", "b"]), (7, []), (7, ["ab", ""])]}) == 5


def test_a_score_too_small_for_its_column_is_0(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.ScoredSolution.score", property(lambda _: 1e-60))
    score(version)
    assert {row[3] for row in rows(version)} == {0.0}


def test_a_score_that_is_no_number_is_named_and_not_written(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.ScoredSolution.score", property(lambda _: math.nan))
    with pytest.raises(scoring.ScoringFailed, match=f"gives solution {Solution.objects.earliest('pk').pk} a score that is not a number"):
        score(version)
    assert rows(version) == []


def test_solutions_loaded_since_are_scored_alone(version: ModelVersion) -> None:
    score(version)
    before, read = rows(version), []
    added = {make.solution(make.problem(version.project)).pk for _ in range(5)}
    score(version, progress=lambda stage, done, total, *_: read.append((stage, done, total)))
    assert [row for row in rows(version) if row[1] not in added] == before
    assert {row[1] for row in rows(version)} - {row[1] for row in before} == added
    assert read[-1] == ("scoring", 5, 5) and {total for _, _, total in read} == {5}
    assert list(ScoreShard.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3, 4, 5]


def test_a_project_without_solutions_is_scored_at_once(version: ModelVersion) -> None:
    Solution.objects.all().delete()
    score(version)
    assert rows(version) == [] and scoring.stored(version.project)[0].place == "database"


def test_progress_counts_all_shards_and_tells_the_time_left(version: ModelVersion) -> None:
    said: list[tuple[int, int, float | None]] = []
    score(version, progress=lambda _, done, total, left: said.append((done, total, left)))
    assert [done for done, _, _ in said] == sorted(done for done, _, _ in said)
    assert said[-1][:2] == (10, 10) and said[-1][2] == 0
    assert all(left > 0 for done, _, left in said if left is not None and done < 10)


def test_the_steps_of_some_solutions_are_scored_on_their_own(version: ModelVersion) -> None:
    score(version)
    wanted = [row[1] for row in rows(version)][2:5]
    for key, steps in scoring.step_scores(version, wanted, progress=nothing).items():
        assert math.prod(steps) == pytest.approx(Score.objects.get(solution=key).score, abs=1e-4)
        wanted.remove(key)
    assert wanted == []


# --- bad input ----------------------------------------------------------------------------------------------------------------


def test_a_deleted_model_is_named_and_no_shard_loses_an_attempt(version: ModelVersion, home: Path) -> None:
    shutil.rmtree(home / version.artifact)
    with pytest.raises(ModelUnusable, match="Model 1 cannot be loaded: There is no model folder"):
        score(version)
    assert Counter(ScoreShard.objects.values_list("attempt", flat=True)) == {0: 3}


def test_a_version_that_is_not_ready_scores_nothing(version: ModelVersion) -> None:
    version.state = ModelState.FAILED
    with pytest.raises(scoring.ScoringFailed, match="Model 1 is failed. Only a ready model can score"):
        score(version)


def test_a_full_disk_of_the_database_is_said(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OperationalError("could not extend file") from psycopg.errors.DiskFull()

    begun(version)
    shard = scoring.claim(version)
    assert shard is not None
    monkeypatch.setattr(shards, "_held", full)
    with pytest.raises(scoring.ScoringFailed, match="The disk of the database is full"):
        shards._write(shard, [], table=scoring.partition(version))
