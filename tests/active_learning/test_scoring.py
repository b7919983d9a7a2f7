"""Scoring a project: shards that several workers share, a partition attached when whole, files for the scores of old versions."""

import errno
import gzip
import logging
import math
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from hypothesis import given
from hypothesis import strategies as given_

from active_learning import scoring
from active_learning.models import ModelState, ModelVersion, Round, Score, ScoreShard, ShardState, Worker
from active_learning.reward_models import ModelUnusable, load
from active_learning.scoring import files, partitions, shards
from annotation.models import Project, Solution
from tests import make
from tests.trainer.sums import small, sums
from trainer.config import TinyShape
from trainer.data import Solution as TrainerSolution
from trainer.score import first_weak_step, score_solutions
from trainer.train import train

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)  # several connections are needed, or a commit

SHAPE = TinyShape(layers=1, width=16, heads=2, feed_forward=32, merges=20)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = small(shape=SHAPE, epochs=2, language_model_epochs=0, uncertainty_heads=4)
    return train(sums(12), config=recipe, folder=tmp_path_factory.mktemp("scorer") / "model", provenance={}).folder


@pytest.fixture
def project(home: Path) -> Project:
    project = make.project()
    for one in sums(5, seed=3):
        make.solution(make.problem(project), list(one.solution.steps))
    return project


def version_of(project: Project, home: Path, folder: Path, *, number: int = 1, **fields: Any) -> ModelVersion:
    artifact = f"models/{project.slug}/{number}"
    shutil.copytree(folder, home / artifact)
    return ModelVersion.objects.create(
        project=project, number=number, base="tiny", artifact=artifact, **{"state": ModelState.READY, "sha256": "0" * 64, **fields}
    )


@pytest.fixture
def version(project: Project, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    monkeypatch.setattr(shards, "SHARD", 4)
    monkeypatch.setattr(shards, "POLL_SECONDS", 0.01)
    return version_of(project, home, folder)


def nothing(*_: Any, **__: Any) -> None: ...


def score(version: ModelVersion, say: Callable[..., None] = nothing, fence: Callable[[], None] = nothing) -> None:
    scoring.score(version, say=say, fence=fence)


def rows(version: ModelVersion) -> list[tuple[Any, ...]]:
    return list(Score.objects.filter(model_version=version).order_by("solution_id").values_list(*partitions.COLUMNS.split(", ")))


def begun(version: ModelVersion) -> None:
    """Cut the shards and make the table, as a scoring does that is killed at once."""
    shards._cut(version, fence=nothing)


def silent(shard: ScoreShard) -> None:
    """Let the shard's worker have been silent for four minutes."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE active_learning_scoreshard SET heartbeat_at = now() - interval '4 minutes' WHERE id = %s", [shard.pk])


def run(shard: ScoreShard, version: ModelVersion) -> None:
    scoring.run_shard(shard, version=version, model=load(version))


@contextmanager
def reading() -> Iterator[None]:
    """Let somebody else read scores, in a transaction of their own that goes on."""
    begins, ends = threading.Event(), threading.Event()

    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT count(*) FROM active_learning_score")
            begins.set()
            ends.wait(60)
            cursor.execute("COMMIT")
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    begins.wait(60)
    try:
        yield
    finally:
        ends.set()
        reader.join()


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
    told = [TrainerSolution(str(key), str(one.problem_id), one.problem.statement, tuple(one.steps)) for key, one in solutions.items()]
    scores, seen = list(score_solutions(load(version), told)), set()
    worst = [one.probabilities[:, 0].max() for one in scores]
    model = replace(load(version), threshold=float(np.median(worst)))  # half of the solutions have a weak step
    monkeypatch.setattr(shards, "load", lambda _: model)
    score(version)
    for one, figure in zip(scores, Score.objects.order_by("solution_id"), strict=True):
        weak = first_weak_step(one.probabilities, threshold=model.threshold)
        assert one.means is not None and one.deviations is not None
        until = slice(None if weak is None else weak + 1)
        assert figure.score == pytest.approx(one.score, abs=1e-5)
        assert (figure.first_weak_step, figure.outcome) == (weak, "wrong")
        assert figure.entropy == pytest.approx(scoring.first_mistake_entropy(one.probabilities[:, 0]), abs=1e-4)
        assert figure.confidence == pytest.approx(np.maximum(one.means, 1 - one.means)[until].min(), abs=1e-5)
        assert figure.deviation == pytest.approx(one.deviations[until].max(), abs=1e-5)
        solution = solutions[figure.solution_id]
        assert figure.prefix == scoring.prefix_hash(solution.problem_id, solution.steps[until])
        seen.add(weak is None)
    assert len(Score.objects.all()) == 10 and seen == {True, False}


def test_an_outcome_model_says_nothing_of_steps(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "load", lambda version: replace(load(version), kind="orm"))
    score(version)
    assert {row[4:5] + row[6:] for row in rows(version)} == {(None, None, None, None, None)}
    assert len({row[3] for row in rows(version)}) > 1


@given(given_.lists(given_.floats(0, 1, width=32), min_size=1, max_size=8))
def test_the_entropy_is_that_of_where_the_first_mistake_is(negative: list[float]) -> None:
    places, none_until = [], 1.0
    for p in negative:
        places.append(p * none_until)
        none_until *= 1 - p
    surprise = -sum(p * math.log(p) for p in (*places, none_until) if p > 0)
    assert scoring.first_mistake_entropy(np.array(negative, np.float32)) == pytest.approx(surprise, abs=1e-6)


def test_a_prefix_is_the_same_in_every_process_and_belongs_to_its_problem() -> None:
    assert scoring.prefix_hash(7, ["We add.", "It is 4."]) == 301248626359709299
    assert len({scoring.prefix_hash(*of) for of in [(7, ["ab"]), (8, ["ab"]), (7, ["a", "b"]), (7, []), (7, ["ab", ""])]}) == 5


def test_a_score_too_small_for_its_column_is_0(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.StepScores.score", property(lambda _: 1e-60))
    score(version)
    assert {row[3] for row in rows(version)} == {0.0}


def test_a_score_that_is_no_number_is_named_and_not_written(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.StepScores.score", property(lambda _: math.nan))
    with pytest.raises(scoring.ScoringFailed, match=f"gives solution {Solution.objects.earliest('pk').pk} a score that is no number"):
        score(version)
    assert rows(version) == []


def test_solutions_loaded_since_are_scored_alone(version: ModelVersion) -> None:
    score(version)
    before, read = rows(version), []
    added = {make.solution(make.problem(version.project)).pk for _ in range(5)}
    score(version, say=lambda stage, done, total, *_: read.append((stage, done, total)))
    assert [row for row in rows(version) if row[1] not in added] == before
    assert {row[1] for row in rows(version)} - {row[1] for row in before} == added
    assert read[-1] == ("scoring", 5, 5) and {total for _, _, total in read} == {5}
    assert list(ScoreShard.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3, 4, 5]


def test_a_project_without_solutions_is_scored_at_once(version: ModelVersion) -> None:
    Solution.objects.all().delete()
    score(version)
    assert rows(version) == [] and scoring.kept(version.project)[0].place == "database"


def test_progress_counts_all_shards_and_tells_the_time_left(version: ModelVersion) -> None:
    said: list[tuple[int, int, float | None]] = []
    score(version, say=lambda _, done, total, left: said.append((done, total, left)))
    assert [done for done, _, _ in said] == sorted(done for done, _, _ in said)
    assert said[-1][:2] == (10, 10) and said[-1][2] == 0
    assert all(left > 0 for done, _, left in said if left is not None and done < 10)


def test_the_steps_of_some_solutions_are_scored_on_their_own(version: ModelVersion) -> None:
    score(version)
    wanted = [row[1] for row in rows(version)][2:5]
    for key, steps in scoring.step_scores(version, wanted, say=nothing).items():
        assert math.prod(steps) == pytest.approx(Score.objects.get(solution=key).score, abs=1e-4)
        wanted.remove(key)
    assert wanted == []


# --- workers that share, die and come back ------------------------------------------------------------------------------------


@committed
def test_workers_at_once_score_every_solution_once(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    loading = threading.Lock()  # workers are processes; transformers cannot load in two threads of one

    def one_by_one(version: ModelVersion) -> Any:
        with loading:
            return load(version)

    monkeypatch.setattr(shards, "load", one_by_one)
    monkeypatch.setattr(shards, "SHARD", 1)
    Round.objects.create(project=version.project, generation=1, strategy="convincing")
    begun(version)
    outcomes = make.at_once([lambda: score(version), *[lambda: scoring.help_score(version)] * 3])
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert sum(outcomes[1:]) > 0  # type: ignore[arg-type]
    assert len(rows(version)) == 10
    assert Counter(ScoreShard.objects.values_list("state", "attempt", "token")) == {("done", 1, 1): 10}


@committed
def test_claims_at_once_get_a_shard_each_or_none(version: ModelVersion) -> None:
    begun(version)
    claimed = make.at_once([lambda: scoring.claim(version)] * 8)
    assert sorted(one.number for one in claimed if one is not None) == [1, 2, 3]  # type: ignore[attr-defined]
    assert {(one.attempt, one.token, one.state) for one in claimed if one is not None} == {(1, 1, "running")}  # type: ignore[attr-defined]


@committed
def test_the_shard_of_a_killed_worker_is_taken_over_and_scored_once(version: ModelVersion) -> None:
    begun(version)
    killed = scoring.claim(version)
    assert killed is not None
    silent(killed)
    score(version)
    assert len(rows(version)) == 10
    assert ScoreShard.objects.get(pk=killed.pk).attempt == 2


def test_a_shard_whose_worker_beats_is_waited_for(version: ModelVersion) -> None:
    begun(version)
    theirs = scoring.claim(version)
    assert theirs is not None
    waited: list[int] = []

    def say(_: str, done: int, *__: Any) -> None:
        if done == 6 and not waited:  # nothing is left but theirs
            waited.append(done)
            run(theirs, version)

    score(version, say=say)
    assert waited and len(rows(version)) == 10
    assert ScoreShard.objects.get(pk=theirs.pk).token == 1


@committed
def test_a_worker_given_up_for_dead_writes_nothing(version: ModelVersion) -> None:
    begun(version)
    zombie = scoring.claim(version)
    assert zombie is not None
    silent(zombie)
    heir = scoring.claim(version)
    assert heir is not None and heir.pk == zombie.pk
    for _ in ("while the other works", "when it is done"):
        with pytest.raises(scoring.ShardLost):
            run(zombie, version)
        if ScoreShard.objects.get(pk=heir.pk).state != ShardState.DONE:
            run(heir, version)
    score(version)
    assert len(rows(version)) == 10


def test_a_worker_given_up_for_dead_stops_at_its_next_heartbeat(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BEAT_SECONDS", 0)
    begun(version)
    shard = scoring.claim(version)
    assert shard is not None
    ScoreShard.objects.filter(pk=shard.pk).update(token=9)
    heard: list[int] = []
    with pytest.raises(scoring.ShardLost):
        scoring.run_shard(shard, version=version, model=load(version), say=heard.append)
    assert heard == []


def test_a_worker_beats_while_it_scores(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BEAT_SECONDS", 0)
    begun(version)
    shard = scoring.claim(version)
    assert shard is not None
    silent(shard)
    beats = []
    scoring.run_shard(
        shard, version=version, model=load(version), say=lambda _: beats.append(ScoreShard.objects.get(pk=shard.pk).heartbeat_at)
    )
    assert shard.heartbeat_at is not None and all(at > shard.heartbeat_at for at in beats) and beats


def test_an_error_in_mid_shard_gives_it_back_with_the_reason(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any, **__: Any) -> Iterator[Any]:
        raise RuntimeError("the cable was pulled")

    begun(version)
    with monkeypatch.context() as patched:
        patched.setattr(shards, "score_rows", breaks)
        with pytest.raises(RuntimeError):
            score(version)
    broken = ScoreShard.objects.get(number=1)
    assert (broken.state, broken.failure) == (ShardState.OPEN, "RuntimeError: the cable was pulled")
    score(version)
    assert len(rows(version)) == 10 and ScoreShard.objects.get(number=1).attempt == 2


def test_a_stop_asked_for_keeps_the_shards_that_are_done(version: ModelVersion) -> None:
    class Stopped(Exception): ...

    def stop(_: str, done: int, *__: Any) -> None:
        if done > 4:
            raise Stopped

    with pytest.raises(Stopped):
        score(version, say=stop)
    assert Counter(ScoreShard.objects.values_list("state", flat=True)) == {"done": 1, "open": 2}
    assert rows(version) == []
    again: list[int] = []
    score(version, say=lambda _, done, *__: again.append(done))
    assert again[0] >= 4 and len(rows(version)) == 10
    assert ScoreShard.objects.get(number=1).attempt == 1


def test_a_shard_lost_three_times_fails_by_name_and_is_tried_again_by_the_next_round(version: ModelVersion) -> None:
    begun(version)
    for _ in range(3):
        shard = scoring.claim(version)
        assert shard is not None and shard.number == 1
        silent(shard)
    assert scoring.claim(version).number == 2  # type: ignore[union-attr]
    given_up = ScoreShard.objects.get(number=1)
    attempts = ScoreShard.objects.filter(pk=given_up.pk)

    def lose_it_again(*_: Any) -> None:
        attempts.filter(token__lt=9).update(attempt=3, token=9)
        silent(given_up)

    silent(ScoreShard.objects.get(number=2))
    with pytest.raises(scoring.ScoringFailed, match=r"Shard 1 of model 1 \(solutions \d+ to \d+\) was lost 3 times, last by .*fell silent"):
        score(version, fence=nothing, say=lambda *_: lose_it_again())
    score(version)
    assert len(rows(version)) == 10


def test_helpers_stop_when_no_round_waits(version: ModelVersion) -> None:
    begun(version)
    assert scoring.help_score(version) == 0
    Round.objects.create(project=version.project, generation=1, strategy="convincing", state="scoring")
    assert scoring.help_score(version) == 3


def test_a_bell_is_rung_for_every_living_worker_that_could_help(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[Any, ...]] = []
    monkeypatch.setattr(shards.current_app, "send_task", lambda *told, **_: rung.append(told))
    for name, queues, at in [("a", "gpu", None), ("b", "gpu,default", None), ("c", "default", None), ("d", "gpu", "2020-01-01T00:00Z")]:
        Worker.objects.create(name=name, queues=queues, **({"heartbeat_at": at} if at else {}))
    score(version)
    assert rung == [("active_learning.tasks.score_shards", [version.pk])] * 2


def test_without_a_broker_one_worker_goes_on_alone(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no route to the broker")

    monkeypatch.setattr(shards.current_app, "send_task", refuse)
    Worker.objects.create(name="a", queues="gpu")
    score(version)
    assert len(rows(version)) == 10 and "goes on alone" in caplog.text


# --- the partition ------------------------------------------------------------------------------------------------------------


@committed
def test_a_scoring_leaves_autovacuum_nothing_to_rewrite(version: ModelVersion) -> None:
    def seen_by_all() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relallvisible = relpages FROM pg_class WHERE oid = to_regclass(%s)", [scoring.partition(version)])
            return cursor.fetchone()[0]

    score(version)
    assert seen_by_all()
    scoring.drop_to_file(version)
    scoring.restore(version)
    assert seen_by_all()


@committed
def test_half_a_scoring_is_never_seen_and_readers_hold_nothing_up(version: ModelVersion) -> None:
    seen: list[int] = []
    with reading():
        score(version, say=lambda *_: seen.append(Score.objects.filter(model_version=version).count()))
    assert set(seen) == {0} and len(rows(version)) == 10


def test_a_table_has_every_index_before_it_is_attached(version: ModelVersion) -> None:
    begun(version)
    with connection.cursor() as cursor:
        partitions.index(cursor, scoring.partition(version), version=version)
        cursor.execute("SELECT tablename, indexdef FROM pg_indexes WHERE tablename IN ('active_learning_score', %s)",
                       [scoring.partition(version)])  # fmt: skip
        found: dict[str, list[str]] = {}
        for table, definition in cursor.fetchall():
            found.setdefault(table, []).append(definition.partition(" USING ")[2])
    assert len(found["active_learning_score"]) > 1
    assert sorted(found[scoring.partition(version)]) == sorted(found["active_learning_score"])


def test_what_helped_to_attach_is_gone_afterwards(version: ModelVersion) -> None:
    score(version)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_constraint WHERE conname = %s", [f"{scoring.partition(version)}_version"])
        assert cursor.fetchone() == (0,)


def test_a_fence_that_falls_attaches_nothing_and_the_next_run_does(version: ModelVersion) -> None:
    class Fallen(Exception): ...

    def falls_when_all_is_scored() -> None:
        if not ScoreShard.objects.exclude(state=ShardState.DONE).exists() and ScoreShard.objects.exists():
            raise Fallen

    with pytest.raises(Fallen):
        score(version, fence=falls_when_all_is_scored)
    assert rows(version) == []
    score(version)
    assert len(rows(version)) == 10
    assert Counter(ScoreShard.objects.values_list("attempt", flat=True)) == {1: 3}


# --- bad input ----------------------------------------------------------------------------------------------------------------


def test_a_deleted_model_is_named_and_no_shard_loses_an_attempt(version: ModelVersion, home: Path) -> None:
    shutil.rmtree(home / version.artifact)
    with pytest.raises(ModelUnusable, match="Model 1 cannot be loaded: There is no model folder"):
        score(version)
    assert Counter(ScoreShard.objects.values_list("attempt", flat=True)) == {0: 3}


def test_a_version_that_is_not_ready_scores_nothing(version: ModelVersion) -> None:
    version.state = ModelState.FAILED
    with pytest.raises(scoring.ScoringFailed, match="Model 1 is failed: only a ready version can score"):
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


# --- files --------------------------------------------------------------------------------------------------------------------


@committed
def test_scores_go_to_a_file_and_come_back_the_same(version: ModelVersion, home: Path) -> None:
    score(version)
    before = rows(version)
    file = scoring.drop_to_file(version)
    assert file == home / "scores" / "sums" / "1.csv.gz"
    assert rows(version) == [] and not ScoreShard.objects.exists()
    assert ModelVersion.objects.get().scores_file == "scores/sums/1.csv.gz" and len(ModelVersion.objects.get().scores_sha256) == 64
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    assert lines[0] == partitions.COLUMNS.replace(" ", "") and len(lines) == 11
    written = file.read_bytes()
    assert scoring.restore(version) == 10
    assert rows(version) == before and not file.exists() and ModelVersion.objects.get().scores_file == ""
    assert scoring.drop_to_file(version).read_bytes() == written


def test_a_version_that_serves_again_gets_its_scores_back_and_scores_what_is_new(version: ModelVersion) -> None:
    score(version)
    before = rows(version)
    scoring.drop_to_file(version)
    added = make.solution(make.problem(version.project))
    score(version)
    assert rows(version)[:-1] == before and rows(version)[-1][1] == added.pk
    assert ScoreShard.objects.count() == 1


@pytest.mark.parametrize("harm", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-9])], ids=["gone", "cut"])
def test_a_damaged_file_is_named_and_a_round_scores_again(
    version: ModelVersion, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    score(version)
    harm(scoring.drop_to_file(version))
    with pytest.raises(scoring.ScoreFileDamaged, match="The scores of model 1 .*scores/sums/1.csv.gz back from a backup"):
        scoring.restore(version)
    with caplog.at_level(logging.WARNING):
        score(version)
    assert "It is scored again now" in caplog.text and len(rows(version)) == 10
    assert ModelVersion.objects.get().scores_file == ""


def test_the_scores_of_a_version_in_service_or_to_be_kept_stay(version: ModelVersion) -> None:
    score(version)
    with pytest.raises(scoring.ScoresRefused, match="is to be kept"):
        scoring.drop_to_file(version, keep={1})
    ModelVersion.objects.update(champion=True)  # meanwhile: the version at hand does not know it
    with pytest.raises(scoring.ScoresRefused, match="is in service"):
        scoring.drop_to_file(version)
    assert len(rows(version)) == 10


def test_half_a_scoring_is_not_dropped(version: ModelVersion) -> None:
    begun(version)
    with pytest.raises(scoring.ScoresRefused, match="nothing whole to drop"):
        scoring.drop_to_file(version)
    with pytest.raises(scoring.ScoresRefused, match="lie in no file"):
        scoring.restore(version)


def test_scores_that_came_while_the_file_was_written_are_not_lost(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    score(version)
    written = files._written

    def and_more_are_scored(*args: Any) -> Any:
        made = written(*args)
        make.solution(make.problem(version.project))
        score(version)
        return made

    monkeypatch.setattr(files, "_written", and_more_are_scored)
    with pytest.raises(scoring.ScoresRefused, match="scored more solutions while"):
        scoring.drop_to_file(version)
    assert len(rows(version)) == 11


@committed
def test_killed_between_file_and_drop_the_scores_are_still_there(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException): ...

    def killed(_: Path) -> None:
        raise Killed

    score(version)
    with monkeypatch.context() as patched:
        patched.setattr(files, "_fsync", killed)
        with pytest.raises(Killed):
            scoring.drop_to_file(version)
    assert len(rows(version)) == 10 and ModelVersion.objects.get().scores_file == ""
    assert scoring.drop_to_file(version).is_file()


def test_a_full_disk_leaves_the_scores_where_they_are_and_no_half_file(
    version: ModelVersion, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    score(version)
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(scoring.ScoresRefused, match="The disk is full: the scores of model 1"):
        scoring.drop_to_file(version)
    assert len(rows(version)) == 10 and list((home / "scores" / "sums").iterdir()) == []


@committed
def test_a_reader_is_not_waited_for_long_behind_a_drop(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_TRIES", 2)
    monkeypatch.setattr(files, "LOCK_TIMEOUT", "20ms")
    score(version)
    with reading(), pytest.raises(scoring.ScoresRefused, match="others were reading scores all the time"):
        scoring.drop_to_file(version)
    assert len(rows(version)) == 10 and version.scores_file == ""
    assert scoring.drop_to_file(version).is_file()


def test_old_versions_are_dropped_but_not_the_last_two_nor_those_that_serve_or_are_kept(
    version: ModelVersion, home: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields: dict[int, dict[str, Any]] = {2: {"champion": True}, 3: {}, 4: {"kind": "orm", "champion": True}}
    versions = [version, *(version_of(version.project, home, folder, number=number, **fields.get(number, {})) for number in range(2, 8))]
    for one in versions:
        score(one)
    assert scoring.drop_old(version.project, keep={3}) == [5, 1]
    places = {one.version.number: one.place for one in scoring.kept(version.project)}
    assert places == {1: "file", 2: "database", 3: "database", 4: "database", 5: "file", 6: "database", 7: "database"}
    assert scoring.drop_old(version.project, keep={3}) == []


def test_a_drop_that_fails_fails_no_round(
    version: ModelVersion, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("not yours")

    for one in (version, *(version_of(version.project, home, folder, number=number) for number in (2, 3))):
        score(one)
    monkeypatch.setattr(files, "drop_to_file", refuse)
    assert scoring.drop_old(version.project, keep=set()) == []
    assert "The scores of model 1 of sums stay where they are: not yours" in caplog.text


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("scores", "--project", "sums", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_lists_drops_and_restores(version: ModelVersion, home: Path) -> None:
    assert said() == "No model has scored this project yet.\n"
    score(version)
    assert said().startswith("model 1 (PRM): 10 scores, ") and said().endswith("KB, database\n")
    assert said("--drop", "1") == f"The scores of model 1 lie in {home}/scores/sums/1.csv.gz now.\n"
    assert said().endswith("bytes, scores/sums/1.csv.gz\n")
    assert said("--restore", "1") == "The 10 scores of model 1 are in the database again.\n"
    for wrong, why in ((("--drop", "9"), "has no model 9"), (("--restore", "1"), "lie in no file")):
        with pytest.raises(CommandError, match=why) as refused:
            said(*wrong)
        assert refused.value.returncode == 2
