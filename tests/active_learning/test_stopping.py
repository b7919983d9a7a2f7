"""A stop is not a cancel: whatever ends the process of a round, and whenever, the round goes on and ends as if nothing had been."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections

from active_learning import rounds
from active_learning.models import ModelState, Round, RoundStage, RoundState, Selection
from active_learning.rounds import running
from annotation import holders, stopping
from annotation.models import Project, Task
from annotation.stopping import StopRequest, stop_request
from tests import make
from tests.children import leave_connections_to_the_parent
from trainer.progress import Stopped


@pytest.fixture(autouse=True)
def heeded_signals() -> Iterator[None]:
    """Heed the signals also where the run was started with some of them ignored: by nohup, or in the background of a shell."""
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int, *, report: int) -> None:
    """Send this process a signal at a report of the running round."""
    advance, left = running.Hold.advance, iter(range(report - 1, -1, -1))

    def counted(hold: running.Hold, *arguments: object, **named: object) -> None:
        if next(left, None) == 0:
            os.kill(os.getpid(), number)
        advance(hold, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(running.Hold, "advance", counted)


def begin(project: Project) -> Round:
    return rounds.start(project, make.plan(project, size=2), notify=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_stopped_worker_gives_its_round_back_with_a_checkpoint_and_no_attempt_is_counted(
    world: Project, home: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    started = begin(world)
    stop_at(monkeypatch, number, report=1)
    with pytest.raises(rounds.Stopped) as stopped:
        rounds.run(started.pk)
    given_back = Round.objects.select_related("model_version").get(pk=started.pk)
    assert stopped.value.number == number
    assert (given_back.state, given_back.attempt, given_back.heartbeat_at) == (RoundState.TRAINING, 0, None)
    assert given_back.model_version.state == ModelState.RUNNING and given_back.failure == ""
    assert "goes on when a worker runs again" in RoundStage.objects.get(round=started).failure
    assert len(list((home / "models" / world.slug / "1.checkpoint").iterdir())) == 1
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)
    assert rounds.sweep() == [started.pk], "it is offered at once, not after three minutes"


def test_a_worker_stopped_while_it_claims_a_round_gives_it_back(world: Project, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, own_name = begin(world), holders.own_name

    def stopped() -> str:
        signal.raise_signal(signal.SIGTERM)
        return own_name()

    monkeypatch.setattr(holders, "own_name", stopped)
    signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody takes the round back"))
    with pytest.raises(rounds.Stopped):
        rounds.run(started.pk)
    started.refresh_from_db()
    assert (started.attempt, started.heartbeat_at, started.failure) == (0, None, "")


def test_ctrl_c_at_a_terminal_cancels_and_says_how_to_continue_the_training(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, signal.SIGINT, report=1)
    how = "`manage.py retrain --project demonstration --resume` continues the training of model 1."
    with pytest.raises(CommandError, match=f"Round 1 is cancelled. {how}") as stopped:
        call_command("retrain", "--project", world.slug, "--size", "2")
    cancelled = Round.objects.get(generation=1)
    assert stopped.value.returncode == 130 and cancelled.state == RoundState.CANCELLED
    call_command("retrain", "--project", world.slug, "--size", "2", "--resume")
    assert Round.objects.get(batch__generation=1).model_version == cancelled.model_version


def test_a_terminal_that_is_closed_cancels_nothing(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, signal.SIGHUP, report=1)
    with pytest.raises(CommandError, match="Round 1 is not cancelled: a worker goes on with it") as stopped:
        call_command("retrain", "--project", world.slug, "--size", "2")
    assert stopped.value.returncode == 143 and Round.objects.get(generation=1).heartbeat_at is None


def test_a_round_that_breaks_off_with_the_database_waits_for_its_return(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    started = begin(world)
    fails = iter([True, True, False])

    def broke_off(*arguments: object, **named: object) -> None:
        if next(fails):
            raise OperationalError("the connection is closed")
        original(*arguments, **named)

    original = running._broke_off
    monkeypatch.setattr(running, "_broke_off", broke_off)
    monkeypatch.setattr(running, "_turn", lambda hold: (_ for _ in ()).throw(OperationalError("server closed the connection")))
    monkeypatch.setattr(running, "connection", type("Connection", (), {"in_atomic_block": False, "close": lambda self: None})())
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    offered: list[int] = []
    monkeypatch.setattr(running, "notify_worker", offered.append)
    rounds.run(started.pk)
    assert Round.objects.get(pk=started.pk).heartbeat_at is None and next(fails, None) is None
    assert offered == [started.pk], "it does not wait for the next minute"


# --- the signals --------------------------------------------------------------------------------------------------------------


def test_celery_sends_several_signals_and_only_a_late_one_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    with stop_request() as request:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            request.check()
        monkeypatch.setattr(stopping, "STOP_SECONDS", 0)
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # what is written at the end is not interrupted


def test_a_run_that_reports_nothing_is_interrupted_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "STOP_SECONDS", 0.05)
    with stop_request(), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
        signal.pause()


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with stop_request():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)


def test_an_ignored_signal_stays_ignored_and_handlers_return(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        handlers = [signal.getsignal(number) for number in stopping.SIGNALS]
        with stop_request() as request:
            signal.raise_signal(signal.SIGHUP)
            request.check()
        assert [signal.getsignal(number) for number in stopping.SIGNALS] == handlers
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_round_in_another_thread_than_the_main_one_catches_no_signal() -> None:
    seen: list[StopRequest] = []

    def work() -> None:
        with stop_request() as request:
            seen.append(request)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    seen[0].check()


# --- at random moments --------------------------------------------------------------------------------------------------------


def run_in_a_child(round_id: int, *, number: int = 0, after: float = 0.0) -> tuple[int, float]:
    """Run a round in a process of its own, which gets a signal after some seconds; return its wait status and the seconds it computed."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            leave_connections_to_the_parent()
            if number:
                timer = threading.Timer(after, os.kill, (os.getpid(), number))
                timer.daemon = True
                timer.start()
            rounds.run(round_id)
            code = 0
        except Stopped:
            code = 3
        finally:
            os._exit(code)
    _, status, used = os.wait4(pid, 0)
    return status, used.ru_utime + used.ru_stime


def put_back(ended: Round) -> None:
    """Take what a round chose out of the queue, so that the next one chooses from the same pool."""
    Selection.objects.filter(round=ended).delete()
    Task.objects.filter(batch=ended.batch).delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("n_stops", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_round_that_is_stopped_or_killed_at_a_random_moment_ends_published_with_the_same_bytes(
    world: Project, home: Path, monkeypatch: pytest.MonkeyPatch, n_stops: int
) -> None:
    import trainer.train  # once, before the processes are made

    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)
    monkeypatch.setitem(trainer.config.TINY_DEFAULTS, "minimum_updates", 20)  # so that half of the moments lie in the training
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    whole = begin(world)
    status, seconds = run_in_a_child(whole.pk)
    assert status == 0
    whole.refresh_from_db()
    put_back(whole)
    weights = (home / whole.model_version.artifact / "model.safetensors").read_bytes()
    outcomes = []
    for turn in range(n_stops):
        number = (signal.SIGTERM, signal.SIGKILL)[turn % 2]
        started = begin(world)
        outcomes.append(run_in_a_child(started.pk, number=number, after=rng.uniform(0.05, seconds))[0])
        row = Round.objects.get(pk=started.pk)
        assert row.state != RoundState.CANCELLED and row.state != RoundState.FAILED, (seed, turn, row.failure)
        if number == signal.SIGTERM:
            assert row.state == RoundState.PUBLISHED or (row.heartbeat_at is None and row.attempt == 0), (seed, turn)
        else:
            rounds.offer_abandoned()
        assert run_in_a_child(row.pk)[0] == 0
        row.refresh_from_db()
        assert row.state == RoundState.PUBLISHED and row.batch is not None, (seed, turn, row.failure)
        assert (home / row.model_version.artifact / "model.safetensors").read_bytes() == weights, (seed, turn)
        assert rounds.replay(world, row.number).same, (seed, turn)
        put_back(row)
    assert any(outcomes), f"every round had ended before its signal came: {seed}"
