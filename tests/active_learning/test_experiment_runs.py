"""Experiments that a person starts from the page: what can be started, who does, what a worker makes of it, and how it ends."""

import html
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from active_learning import experiment
from active_learning.experiment import running, starting
from active_learning.models import ExperimentRun
from annotation import hearts, holders
from annotation.models import Project
from tests import make
from tests.clients import signed_in
from trainer.progress import Stopped

CHOSEN = {"name": "mine", "form": "smallest", "seeds": "1", "sizes": "", "strategies": ["mix 80/20"]}


@pytest.fixture
def sent(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the workers are told."""
    told: list[Any] = []
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda _, name, arguments, **__: told.append((name, arguments)))
    return told


@pytest.fixture
def project(db: None, sent: list[Any]) -> Project:
    return make.project()


@pytest.fixture
def rita(project: Project) -> Client:
    return signed_in(make.rita(project))


@pytest.fixture
def run(project: Project, rita: Client) -> ExperimentRun:
    """An experiment that waits for a worker."""
    project_ = {"project": project.pk}
    assert rita.post("/experiments/", CHOSEN | project_).status_code == 302
    return ExperimentRun.objects.get()


def text(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def carried_out(run: ExperimentRun) -> ExperimentRun:
    experiment.carry_out(run.pk)
    run.refresh_from_db()
    return run


def instead(monkeypatch: pytest.MonkeyPatch, act: Callable[..., Any]) -> None:
    """Let a worker do this instead of training."""
    monkeypatch.setattr(running, "run", lambda name, plan, *, progress, **_: act(progress))


def raising(error: BaseException) -> Callable[..., Any]:
    def act(_: Any) -> None:
        raise error

    return act


# --- starting -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "Not a name"}, "small letters, digits and hyphens"), ({"name": ""}, "Name the experiment"),
        ({"name": "../x"}, "cannot be used"), ({"seeds": "one"}, "Seeds are whole numbers"), ({"seeds": "1 1"}, "different whole numbers"),
        ({"sizes": "8 4"}, "each larger than the one before"), ({"sizes": "4 4000"}, "more than the 42 of the pool"),
        ({"strategies": ["uncertain"]}, "needs a model with uncertainty heads"), ({"strategies": ["bold"]}, "bold"),
        ({"form": "huge"}, "huge"), ({"seeds": " ".join(map(str, range(21)))}, "At most 20 seeds"), ({"project": "999999"}, "999999"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused_with_a_sentence_and_starts_nothing(
    project: Project, rita: Client, home: Path, changes: dict[str, Any], sentence: str
) -> None:
    answer = rita.post("/experiments/", CHOSEN | {"project": project.pk} | changes)
    assert answer.status_code == 400 and sentence in text(answer)
    assert not ExperimentRun.objects.exists() and not (home / "experiments").exists()


def test_a_name_that_is_taken_is_refused_whoever_has_it(run: ExperimentRun, rita: Client, home: Path) -> None:
    again = CHOSEN | {"project": run.project_id}
    assert "There is an experiment mine already" in text(rita.post("/experiments/", again))
    (home / "experiments" / "mine").rename(home / "experiments" / "elsewhere")
    assert "There is an experiment mine already" in text(rita.post("/experiments/", again))
    assert ExperimentRun.objects.count() == 1 and not (home / "experiments" / "mine").exists()


def test_only_so_many_experiments_of_a_project_wait_at_once(run: ExperimentRun, rita: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "MOST_UNENDED", 1)
    answer = rita.post("/experiments/", CHOSEN | {"project": run.project_id, "name": "second"})
    assert answer.status_code == 400 and "have not ended. Cancel one of them" in text(answer)
    rita.post("/experiments/mine/", {"act": "cancel"})
    assert rita.post("/experiments/", CHOSEN | {"project": run.project_id, "name": "second"}).status_code == 302


def test_people_of_another_project_neither_see_nor_stop_a_run_nor_start_one_for_it(run: ExperimentRun) -> None:
    other = make.project("other")
    stranger = signed_in(make.person("carl", other, "owner"))
    assert stranger.post("/experiments/mine/", {"act": "cancel"}).status_code == 404
    answer = stranger.post("/experiments/", CHOSEN | {"project": run.project_id, "name": "theirs"})
    assert answer.status_code == 400 and ExperimentRun.objects.count() == 1
    labeler = signed_in(make.ann(run.project))
    assert labeler.post("/experiments/", CHOSEN | {"project": run.project_id, "name": "hers"}).status_code == 404
    run.refresh_from_db()
    assert run.state == "queued"


def test_an_experiment_of_the_command_is_stopped_where_it_runs(project: Project, rita: Client, home: Path) -> None:
    folder = running.open_folder("commanded", experiment.SMALLEST, home=home)
    running.write_text(folder / "project.txt", f"{project.pk}\n")
    answer = rita.post("/experiments/commanded/", {"act": "cancel"}, follow=True)
    assert "started with the command simulate" in text(answer) and not ExperimentRun.objects.exists()


# --- how a run ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_worker_writes_nothing_more_about_a_run_that_was_cancelled(
    run: ExperimentRun, rita: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearts, "HEARTBEAT_SECONDS", 0.01)
    told = []

    def act(progress: Any) -> None:
        rita.post("/experiments/mine/", {"act": "cancel"})
        while True:  # until the heart has noticed, which can be before the first report
            told.append(1)
            progress("points", 1, 9)

    instead(monkeypatch, act)
    assert carried_out(run).state == "cancelled" and run.progress == {} and told
    assert "Cancelled. Models that are trained are kept." in text(rita.get("/experiments/mine/"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (experiment.BadPlan("The plan is not good."), "The plan is not good."),
        (OSError(28, "No space left on device"), "The disk is full on the server"),
        (PermissionError(13, "Permission denied"), "could not be read or written (Permission denied)"),
        (ZeroDivisionError(), "The server made a mistake (ZeroDivisionError)"),
    ],
)
def test_what_breaks_a_run_is_said_and_it_can_be_continued(
    run: ExperimentRun, rita: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    monkeypatch.setattr(hearts, "HEARTBEAT_SECONDS", 600)  # another connection does not see the rows of this test
    instead(monkeypatch, raising(error))
    assert carried_out(run).state == "failed" and sentence in run.failure
    assert sentence in text(rita.get("/experiments/mine/"))
    rita.post("/experiments/mine/", {"act": "continue"})
    run.refresh_from_db()
    assert (run.state, run.failure, run.attempt) == ("queued", "", 0) and experiment.sweep() == [run.pk]


@pytest.mark.django_db(transaction=True)
def test_a_stop_in_order_gives_a_run_back_and_costs_no_attempt(run: ExperimentRun, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, raising(Stopped(15)))
    with pytest.raises(Stopped):
        experiment.carry_out(run.pk)
    run.refresh_from_db()
    assert (run.heartbeat_at, run.attempt) == (None, 0) and experiment.sweep() == [run.pk]


def test_a_run_whose_worker_was_killed_is_offered_again_and_fails_after_three(run: ExperimentRun) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as killed:
        name = f"{holders.machine()}{killed.pid}/1"
        killed.kill()
    for attempt in (1, 2):
        ExperimentRun.objects.update(state="running", attempt=attempt, holder=name, heartbeat_at=run.created_at)
        assert experiment.offer_abandoned() == [run.pk]
    ExperimentRun.objects.update(state="running", attempt=3, holder=name, heartbeat_at=run.created_at)
    assert experiment.offer_abandoned() == []
    run.refresh_from_db()
    assert run.state == "failed" and "was lost 3 times" in run.failure


@pytest.mark.django_db(transaction=True)
def test_a_round_that_waits_goes_before_an_experiment(run: ExperimentRun, sent: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def act(progress: Any) -> None:
        make.round_of(run.project, {"uniform": make.solutions(run.project, 1)}, state="queued")
        progress("points", 1, 9)
        trained.append(2)

    instead(monkeypatch, act)
    assert (carried_out(run).state, run.attempt, trained, len(sent)) == ("queued", 0, [], 1)
    assert experiment.sweep() == [run.pk]
