"""Shards that several workers share. A worker can die, come back or fail: each solution is scored once."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from active_learning import scoring
from active_learning.models import ModelVersion, Round, ScoreShard, ShardState, Worker
from active_learning.registry import load
from active_learning.scoring import shards
from tests import children, make
from tests.scorings import begun, nothing, rows, run, score, silent

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)  # several connections are needed, or a commit


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


@committed
def test_the_shard_of_a_killed_process_is_open_at_once_and_that_of_a_living_one_is_not(version: ModelVersion) -> None:
    begun(version)
    mine = scoring.claim(version)

    def claim_and_die() -> None:
        scoring.claim(version)
        os.kill(os.getpid(), signal.SIGKILL)

    assert mine is not None and children.ended(children.fork(claim_and_die)) == -signal.SIGKILL
    assert scoring.release_abandoned() == 1
    assert list(ScoreShard.objects.order_by("number").values_list("state", "attempt")) == [("running", 1), ("open", 1), ("open", 0)]
    run(mine, version)
    score(version)
    assert len(rows(version)) == 10 and ScoreShard.objects.get(number=2).attempt == 2


def test_a_shard_whose_worker_beats_is_waited_for(version: ModelVersion) -> None:
    begun(version)
    theirs = scoring.claim(version)
    assert theirs is not None
    waited: list[int] = []

    def progress(_: str, done: int, *__: Any) -> None:
        if done == 6 and not waited:  # nothing is left but theirs
            waited.append(done)
            run(theirs, version)

    score(version, progress=progress)
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
        scoring.run_shard(shard, version=version, model=load(version), progress=heard.append)
    assert heard == []


def test_a_worker_beats_while_it_scores(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BEAT_SECONDS", 0)
    begun(version)
    shard = scoring.claim(version)
    assert shard is not None
    silent(shard)
    beats = []
    scoring.run_shard(
        shard, version=version, model=load(version), progress=lambda _: beats.append(ScoreShard.objects.get(pk=shard.pk).heartbeat_at)
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
        score(version, progress=stop)
    assert Counter(ScoreShard.objects.values_list("state", flat=True)) == {"done": 1, "open": 2}
    assert rows(version) == []
    again: list[int] = []
    score(version, progress=lambda _, done, *__: again.append(done))
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
    with pytest.raises(scoring.ScoringFailed, match=r"Shard 1 of model 1 \(solutions \d+ to \d+\) was lost 3 times.*stopped answering"):
        score(version, fence=nothing, progress=lambda *_: lose_it_again())
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
