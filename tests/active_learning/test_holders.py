"""What a killed process held goes on at once, and no process that could be alive is taken for dead."""

import os
import signal
from pathlib import Path

import pytest
from django.db.models.functions import Now

from active_learning import rounds, tasks
from active_learning.models import Round, RoundStage, RoundState
from active_learning.rounds import running, starting
from annotation import holders
from annotation.holders import ATTEMPTS
from annotation.models import Project
from tests.active_learning.test_stopping import begin
from tests.children import ended, fork

committed = pytest.mark.django_db(transaction=True)


def kill_one() -> tuple[int, str]:
    """Make a process that is killed; return its number and the name it had. It stays a zombie."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, holders.own_name().encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with os.fdopen(reading) as pipe:
        return pid, pipe.read()


def killed() -> str:
    """Return the name of a process that was killed and is gone."""
    pid, name = kill_one()
    assert ended(pid) == -signal.SIGKILL
    return name


def killed_in_round(started: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a round in a process that is killed at the first report of its progress. How many follow depends on the machine."""

    def killed_here(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(running.Hold, "advance", killed_here)
        assert ended(fork(lambda: rounds.run(started.pk))) == -signal.SIGKILL


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rounds of which a worker was told."""
    told: list[int] = []
    monkeypatch.setattr(starting, "notify_worker", told.append)
    return told


# --- the names of processes ---------------------------------------------------------------------------------------------------


def test_a_killed_process_has_ended_and_a_living_one_has_not() -> None:
    assert holders.has_ended(killed())
    assert holders.own_name() and not holders.has_ended(holders.own_name())


def test_a_killed_process_has_ended_before_its_parent_has_noticed() -> None:
    pid, name = kill_one()
    assert holders.has_ended(name)
    assert ended(pid) == -signal.SIGKILL


def test_a_process_that_got_the_number_of_another_one_is_not_taken_for_it() -> None:
    before, _, started = holders.own_name().rpartition("/")
    assert holders.has_ended(f"{before}/{int(started) - 1}")


def test_a_process_of_another_machine_boot_or_container_is_never_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    name = killed()
    machine, _, process = name.partition("/")
    boot, _, container = machine.partition(".")
    for other in (f"{'0' * len(boot)}.{container}/{process}", f"{boot}.1/{process}", f"{machine}1/{process}", process, ""):
        assert not holders.has_ended(other), other
    monkeypatch.setattr(holders, "machine", lambda: "")  # a system without these numbers
    assert not holders.has_ended(name) and holders.own_name() == ""


def test_a_process_that_the_system_hides_is_not_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    name, machine = holders.own_name(), holders.machine()
    monkeypatch.setattr(holders, "machine", lambda: machine)
    monkeypatch.setattr(holders, "PROC", tmp_path)
    monkeypatch.setattr(os, "kill", refuse)
    assert not holders.has_ended(name)


# --- rounds -------------------------------------------------------------------------------------------------------------------


@committed
def test_a_round_whose_process_is_killed_goes_on_at_once_and_an_attempt_is_counted(
    world: Project, offered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = begin(world)
    killed_in_round(started, monkeypatch)
    assert rounds.offer_abandoned() == offered == [started.pk]
    assert Round.objects.get(pk=started.pk).attempt == 1
    assert rounds.run(started.pk).state == RoundState.PUBLISHED
    assert list(RoundStage.objects.filter(round=started, name="train").values_list("attempt", "failure")) == [
        (1, "Its worker was lost."),
        (2, ""),
    ]
    assert rounds.offer_abandoned() == []


@committed
def test_a_round_whose_processes_are_killed_three_times_fails(world: Project, offered: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    started = begin(world)
    for _ in range(ATTEMPTS):
        killed_in_round(started, monkeypatch)
        rounds.offer_abandoned()
    started.refresh_from_db()
    assert started.state == RoundState.FAILED and "lost 3 times" in started.failure
    assert offered == [started.pk] * (ATTEMPTS - 1)


@pytest.mark.django_db
def test_a_round_in_the_hands_of_a_living_process_or_of_another_machine_is_left_there(world: Project, offered: list[int]) -> None:
    started = begin(world)

    def look(*_: object) -> None:
        assert rounds.offer_abandoned() == []

    assert rounds.run(started.pk, progress=look).state == RoundState.PUBLISHED
    name = killed()
    for holder in (name.replace(name[:8], "00000000"), ""):  # of another boot; of a version without names
        put_in_hand(started, holder=holder)
        assert rounds.offer_abandoned() == []
    put_in_hand(started, holder=name)
    assert rounds.offer_abandoned() == offered == [started.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("state", [RoundState.PROPOSED, RoundState.PUBLISHED, RoundState.CANCELLED])
def test_a_round_that_no_worker_has_to_run_is_not_offered(world: Project, offered: list[int], state: RoundState) -> None:
    started = begin(world)
    put_in_hand(started, holder=killed(), state=state)
    assert rounds.offer_abandoned() == []


def put_in_hand(round_: Round, *, holder: str, state: RoundState = RoundState.TRAINING) -> None:
    """Let a worker have the round. Its heartbeat is as new as it can be."""
    Round.objects.filter(pk=round_.pk).update(holder=holder, state=state, attempt=1, heartbeat_at=Now())


@committed
def test_a_worker_looks_at_its_start_and_at_each_report(world: Project, offered: list[int]) -> None:
    started = begin(world)
    assert tasks.look_after_rounds("trainer@here", queues="gpu", is_ready=False)
    assert offered == [started.pk], "what waits is offered at the start"
    assert tasks.look_after_rounds("trainer@here", queues="gpu", is_ready=True)
    assert offered == [started.pk], "and not again"
    put_in_hand(started, holder=killed())
    assert tasks.look_after_rounds("worker@here", queues="default", is_ready=False)
    assert offered == [started.pk], "another queue has nothing to do with it"
    assert tasks.look_after_rounds("trainer@here", queues="gpu", is_ready=True)
    assert offered == [started.pk] * 2
