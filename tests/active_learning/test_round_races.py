"""Rounds that many start, run and offer at once; a worker that comes back from the dead; and a broker that loses what it held."""

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

from active_learning import rounds, schedules, tasks
from active_learning.models import ModelVersion, Round, RoundStage, RoundState, Schedule, Score, Selection
from active_learning.rounds import running, starting
from annotation.models import Batch, Project, Task
from labelapp import broker
from tests import make
from tests.active_learning.test_stopping import begin, put_back
from tests.assignments import learnable
from tests.labelapp.test_deployment import program
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    return random.Random(seed)


def several(short: int, long: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("times", [pytest.param(short, id="short"), pytest.param(long, id="long", marks=pytest.mark.long)])


# --- many at once ------------------------------------------------------------------------------------------------------------


@several(1, 30)
def test_twenty_starts_at_once_make_one_round(home: Path, times: int) -> None:
    project = make.project()
    learnable(project)
    for turn in range(times):
        outcomes = make.at_once([lambda: rounds.start(project, make.plan(project), notify=False)] * 20)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Round"] + ["RoundRefused"] * 19
        assert Round.objects.count() == turn + 1
        rounds.cancel(project, Round.objects.latest("pk").number)


@several(1, 30)
def test_twenty_workers_at_once_run_a_round_once(home: Path, times: int) -> None:
    project = make.project()
    make.solutions(project, 10 * times)
    for _ in range(times):
        started = rounds.start(project, make.plan(project, strategy="uniform", size=10), notify=False)
        make.at_once([lambda key=started.pk: rounds.run(key)] * 20)
        started.refresh_from_db()
        assert started.state == RoundState.PUBLISHED and (started.attempt, started.token) == (1, 1)
        assert list(RoundStage.objects.filter(round=started).values_list("name", flat=True)) == ["select", "publish"]
    assert (Batch.objects.count(), Task.objects.count()) == (times, 10 * times)


@several(2, 30)
def test_eight_beats_at_once_start_one_round_of_a_schedule_and_note_nothing_in_its_way(home: Path, times: int) -> None:
    project = make.project()
    learnable(project)
    changes = {"is_on": True, "every_labels": None, "daily_at": None, "recipe": None}
    schedules.change(project, actor=make.olga(project), every_hours=1, **changes)
    for turn in range(times):
        outcomes = make.at_once([schedules.start_due_rounds] * 8)
        assert sorted(map(len, outcomes)) == [0] * 7 + [1]
        started = Round.objects.latest("pk")
        assert Round.objects.count() == turn + 1 and not Schedule.objects.exclude(note="").exists()
        rounds.cancel(project, started.number)
        Round.objects.filter(pk=started.pk).update(created_at="2020-01-01T00:00Z")


def test_a_beat_that_saw_a_schedule_due_before_another_one_started_its_round_starts_no_second_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make.project()
    learnable(project)
    changes = {"is_on": True, "every_labels": None, "daily_at": None, "recipe": None}
    schedules.change(project, actor=make.olga(project), every_hours=1, **changes)
    is_due = schedules._is_due

    def meanwhile(*arguments: object) -> bool:
        due = is_due(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(schedules, "_is_due", is_due)
        [started] = make.at_once([schedules.start_due_rounds])
        for round_ in started:  # type: ignore[attr-defined] # it has ended before the first beat goes on
            rounds.cancel(project, round_.number)
        return due

    monkeypatch.setattr(schedules, "_is_due", meanwhile)
    schedules.start_due_rounds()
    assert Round.objects.count() == 1


# --- a worker that was given up for dead -------------------------------------------------------------------------------------


def lost_at(phase: object, *, round_id: int, successors: list[object]) -> Callable[..., None]:
    """Return a callback: at the first report of this phase, the round counts as silent, and another worker runs it to its end.

    The first report, because how many follow depends on how long the phase takes.
    """

    def progress(now: object, *_: object) -> None:
        if now == phase and not successors:
            Round.objects.filter(pk=round_id).update(heartbeat_at="2020-01-01T00:00Z")
            successors.extend(make.at_once([lambda: rounds.run(round_id)]))

    return progress


def check_published_once(round_: Round, *, weights: bytes, home: Path) -> None:
    """Check that a round has one batch of its size, one ready model with the same bytes, and each score once."""
    assert (round_.state, round_.failure) == (RoundState.PUBLISHED, "")
    [version] = ModelVersion.objects.filter(round=round_)
    assert version.state == "ready" and (home / version.artifact / "model.safetensors").read_bytes() == weights
    assert Batch.objects.filter(project=round_.project, generation=round_.generation, kind="selected").count() == 1
    assert Task.objects.filter(batch=round_.batch).count() == Selection.objects.filter(round=round_).count() == 2
    scores = Score.objects.filter(model_version__project=round_.project, model_version__number=round_.findings["chosen_with"])
    assert scores.count() == scores.values("solution").distinct().count() > 0


@pytest.mark.parametrize("notices", [True, False], ids=["at its next report", "when it writes what it has made"])
@several(1, 10)
def test_a_worker_that_comes_back_after_another_one_has_published_publishes_nothing(
    world: Project, home: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch, times: int, notices: bool
) -> None:
    monkeypatch.setattr(running, "HEARTBEAT_SECONDS", 0 if notices else 10**6)

    phases = dict[object, None]()
    first = rounds.run(begin(world).pk, progress=lambda phase, *_: phases.setdefault(phase))
    weights = (home / first.model_version.artifact / "model.safetensors").read_bytes()
    put_back(first)
    for _ in range(times):
        started, successors, moment = begin(world), list[object](), rng.choice(list(phases))
        ended = rounds.run(started.pk, progress=lost_at(moment, round_id=started.pk, successors=successors))
        assert [getattr(successor, "state", successor) for successor in successors] == [RoundState.PUBLISHED], moment
        assert ended.token == 2, moment
        check_published_once(ended, weights=weights, home=home)
        put_back(ended)


# --- a broker that loses what it holds ---------------------------------------------------------------------------------------


@pytest.fixture(params=["files", "redis"])
def emptied(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], object]]:
    """Run a worker on a broker of its own; give a function that empties the broker while the worker listens."""
    server, options = None, dict[str, str]()
    if request.param == "files":
        broker.use_file_transport()
        folder, url = tmp_path / "broker", "filesystem://localhost"
        options = {"folder": str(folder / "messages"), "aside": str(folder / "aside")}

        def empty() -> object:
            return shutil.rmtree(folder, ignore_errors=True)
    else:
        socket = tmp_path / "redis"
        command = [program("redis-server", package="redis-server"), "--port", "0", "--unixsocket", str(socket), "--save", ""]
        server, url = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL), f"redis+socket://{socket}"
        until(socket.exists, what="Redis listens")

        def empty() -> object:
            return redis.Redis(unix_socket_path=str(socket)).flushall()

    app = Celery("races", broker=url, set_as_current=False)
    assert tasks.run_round.name  # a worker knows the tasks of the modules that were imported
    app.conf.update(broker_transport_options=options, task_default_queue="gpu", task_ignore_result=True)
    monkeypatch.setattr(starting, "current_app", app)
    try:
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=60):
            yield empty
    finally:
        app.close()
        if server:
            server.terminate()
            server.wait()


@several(4, 40)
def test_an_emptied_broker_loses_no_round_and_runs_none_twice(
    home: Path, emptied: Callable[[], object], rng: random.Random, times: int
) -> None:
    project = make.project()
    make.solutions(project, times)
    for turn in range(times):
        if rng.random() < 0.5:
            emptied()
        started = rounds.start(project, make.plan(project, strategy="uniform", size=1))
        for _ in range(rng.randrange(3)):  # several beats at once: the same message several times
            rounds.sweep()
        if rng.random() < 0.5 or turn == 0:
            emptied()

        def is_published(key: int = started.pk) -> bool:
            rounds.sweep()  # as beat does every minute
            return Round.objects.filter(pk=key, state=RoundState.PUBLISHED).exists()

        until(is_published, what=f"round {turn} is published")
    assert list(Batch.objects.order_by("generation").values_list("generation", flat=True)) == list(range(times))
    assert Task.objects.count() == Task.objects.values("solution").distinct().count() == times
    assert set(Round.objects.values_list("attempt", "token")) == {(1, 1)}
    assert list(RoundStage.objects.order_by("pk").values_list("name", flat=True)) == ["select", "publish"] * times
