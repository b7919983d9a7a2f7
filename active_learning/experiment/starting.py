"""Part of the experiment: runs that a person starts from the page, and a worker carries out.

queued -> running -> done        or failed, or cancelled; both can be continued

The models that are trained are files (running.py), so the next worker goes on after them. Rounds of projects go first: a worker gives an
experiment back between two models while a round waits. Reads and writes ExperimentRun.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from active_learning.experiment import results, running
from active_learning.experiment.forms import ABLE, ALL, EVEN, QUICK, SHORT, SMALLEST
from active_learning.experiment.plan import UNIFORM, BadPlan, Plan
from active_learning.models import ExperimentRun, JobState, Round, RoundState
from annotation import longwork, people
from annotation.hearts import Heart
from annotation.holders import ATTEMPTS
from annotation.models import Event, Membership, Project, broken_rule
from annotation.stopping import stop_request
from trainer.files import is_disk_full
from trainer.progress import Stopped

if TYPE_CHECKING:
    from annotation.people import Person

log = logging.getLogger(__name__)

UNENDED = (JobState.QUEUED, JobState.RUNNING)
ENDED_EARLY = (JobState.FAILED, JobState.CANCELLED)
MOST_UNENDED = 3  # of a project
MOST_SEEDS, MOST_SIZES = 20, 8
WHY_LOST = f"Its worker was lost {ATTEMPTS} times. Read the log of the worker, remove the cause, and continue."
# What a page offers. Each is the plan of that name in forms.py; short is the small form of able.
OFFERED: dict[str, tuple[Plan, str]] = {
    "quick": (QUICK, "shows that everything works, its figures are noise"),
    "short": (SHORT, "uniform labels and the strategy that the protocol of able names"),
    "able": (ABLE, "by its protocol: a generator that is mostly right, four strategies"),
    "even": (EVEN, "by its protocol: a generator that is wrong half of the time, two strategies and all kinds of label"),
    "smallest": (SMALLEST, "a model that learns nothing, in seconds"),
}
STRATEGIES_OFFERED = tuple(arm for arm in ALL if arm != UNIFORM)  # uniform labels are always compared


class ExperimentRefused(ValueError):
    """A run that cannot be started, cancelled or continued now. The message says why and what to do."""


class _RunLost(Exception):
    """Another worker has this run now, or it was cancelled. Stop, and write nothing more."""


class _RoundWaits(Exception):
    """A round of a project waits for this worker. It goes first."""


def projects_to_start_in(person: "Person") -> list[Project]:
    """Return the projects for which a person can start experiments: as researcher, manager or owner, without archived ones."""
    own = Membership.objects.filter(user=person.pk, role__in=people.RESEARCHERS).values("project")
    return list(Project.objects.filter(pk__in=own, archived_at=None).order_by("name", "pk"))


def offered_forms() -> list[tuple[str, str, int]]:
    """Return the forms that a page offers: name, what it shows, and how many models it trains."""
    return [(name, words, sum(map(len, running.all_points(plan)))) for name, (plan, words) in OFFERED.items()]


def compose_plan(form: str, *, seeds: Sequence[int] = (), sizes: Sequence[int] = (), strategies: Sequence[str] = ()) -> Plan:
    """Return the plan of a form with other seeds, sizes or strategies; an empty value leaves those of the form. Raises BadPlan.

    Uniform labels are always among the strategies, because the others are compared with them.
    """
    if form not in OFFERED:
        raise BadPlan(f"There is no form {form}. Choose one of {', '.join(OFFERED)}.")
    plan = OFFERED[form][0]
    if len(seeds) > MOST_SEEDS or len(sizes) > MOST_SIZES:
        raise BadPlan(f"At most {MOST_SEEDS} seeds and {MOST_SIZES} sizes are possible here. The command simulate has no limit.")
    changes: dict[str, object] = {}
    if seeds:
        changes["seeds"] = tuple(seeds)
    if sizes:
        changes["sizes"] = tuple(sizes)
    if strategies:
        if unknown := [arm for arm in strategies if arm not in ALL]:
            raise BadPlan(f"There is no strategy {unknown[0]}. Choose from {', '.join(ALL)}.")
        if "uncertain" in strategies and not plan.uncertainty_heads:
            raise BadPlan(f"The strategy uncertain needs a model with uncertainty heads, and the form {form} trains none. Choose others.")
        arms = {arm: ALL[arm] for arm in ALL if arm in (UNIFORM, *strategies)}
        others = [arm for arm in arms if arm != UNIFORM]
        changes |= {"strategies": arms, "shown": plan.shown if plan.shown in arms else others[0] if others else UNIFORM}
    return plan.changed(**changes)


def start(project: Project, *, name: str, plan: Plan, actor: "Person") -> ExperimentRun:
    """Start an experiment for the people of a project. Raises BadPlan and ExperimentRefused: the name is taken, or too many are unended."""
    home = Path(settings.STEPMARK_HOME)
    folder = running.folder_of(name, home=home)
    if folder.exists():
        raise ExperimentRefused(f"There is an experiment {name} already. Choose another name.")
    try:
        with transaction.atomic():
            Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # two people at once stay within the limit
            if ExperimentRun.objects.filter(project=project, state__in=UNENDED).count() >= MOST_UNENDED:
                raise ExperimentRefused(f"{MOST_UNENDED} experiments of {project} have not ended. Cancel one of them, or wait for its end.")
            run = ExperimentRun.objects.create(project=project, name=name, plan=plan.as_dict(), created_by_id=actor.pk)
            _note(run, actor, "start experiment")
            running.open_folder(name, plan, home=home)
            running.write_text(folder / running.OWNER, f"{project.pk}\n")
            transaction.on_commit(lambda: notify_worker(run.pk))
    except IntegrityError as error:
        if broken_rule(error) == "experiment_run_name":
            raise ExperimentRefused(f"There is an experiment {name} already. Choose another name.") from error
        raise
    return run


def cancel(name: str, *, actor: "Person") -> None:
    """Stop a run that has not ended. Models that are trained stay. Raises ExperimentRefused."""
    with transaction.atomic():
        run = _find(name)
        stopped = {"state": JobState.CANCELLED, "token": F("token") + 1, "finished_at": Now(), "progress": {}}
        if not ExperimentRun.objects.filter(pk=run.pk, state__in=UNENDED).update(**stopped):
            raise ExperimentRefused("This experiment has ended already. The page shows how.")
        _note(run, actor, "cancel experiment")


def resume(name: str, *, actor: "Person") -> None:
    """Continue a run that failed or was cancelled: it trains what is missing. Raises ExperimentRefused."""
    with transaction.atomic():
        run = _find(name)
        again = {"state": JobState.QUEUED, "token": F("token") + 1, "attempt": 0, "heartbeat_at": None, "failure": "", "finished_at": None}
        if not ExperimentRun.objects.filter(pk=run.pk, state__in=ENDED_EARLY).update(**again):
            raise ExperimentRefused("This experiment is at work, or it is done. The page shows how it stands now.")
        _note(run, actor, "continue experiment")
        transaction.on_commit(lambda: notify_worker(run.pk))


def run_of(name: str) -> ExperimentRun | None:
    """Return the run of an experiment that was started from the page. None: the command ran it."""
    return ExperimentRun.objects.filter(name=name).select_related("project", "created_by").first()


def states_of(names: Sequence[str]) -> dict[str, ExperimentRun]:
    """Return the runs of some experiments by name."""
    return {run.name: run for run in ExperimentRun.objects.filter(name__in=names)}


def _find(name: str) -> ExperimentRun:
    run = run_of(name)
    if run is None:
        raise ExperimentRefused(f"The experiment {name} was started with the command simulate, so it is stopped and continued there.")
    return run


def _note(run: ExperimentRun, actor: "Person", verb: str) -> None:
    Event.objects.create(actor_id=actor.pk, project=run.project, verb=verb, subject=f"experiment {run.name}")


# --- what a worker does -------------------------------------------------------------------------------------------------------


def carry_out(run_id: int) -> None:
    """Train what is missing of a run, and write its results. Does nothing if another worker has it, or if it has ended.

    What cannot be done ends the run with the reason. A stop of the process gives it back, and so does a round that waits.
    """
    with stop_request() as stop:  # before the claim: a stop between the two would leave a run that nobody gives back
        if not longwork.claim(_at_work(), run_id, state=JobState.RUNNING):
            return
        run = ExperimentRun.objects.get(pk=run_id)
        heart = Heart(_held(run), stop, lost=_RunLost)
        try:
            with heart.beating():
                _train(run, heart)
        except _RunLost:
            log.warning("Experiment %s was cancelled, or another worker has it now. This one writes nothing more.", run.name)
        except _RoundWaits:
            # The sweep offers it again. A message now could come before that of the round, again and again.
            longwork.give_back(_held(run), attempts=1, state=JobState.QUEUED, progress={})
        except BadPlan as bad:
            _fail(run, str(bad))
        except (OperationalError, InterfaceError, OSError) as error:
            if is_disk_full(error):
                _fail(run, "The disk is full on the server. Free some space, and continue the experiment.")
            elif isinstance(error, OSError):
                _fail(run, f"A file of the experiment could not be read or written ({error.strerror or error}). Repair it, and continue.")
            else:
                log.warning("Experiment %s broke off, and is tried again: %s", run.name, error)
                longwork.give_back(_held(run), attempts=0)
        except Stopped:
            longwork.give_back(_held(run), attempts=1)  # a stop in order is no failed attempt
            raise
        except Exception as error:
            log.exception("Experiment %s broke off.", run.name)
            _fail(run, f"The server made a mistake ({type(error).__name__}). Its log says more. Trained models are kept.")


def _train(run: ExperimentRun, heart: Heart) -> None:
    plan = Plan.from_settings(run.plan)
    heart.advance("start", 0, None)
    _let_rounds_go_first()

    def progress(stage: str, done: int, total: int | None, seconds_left: float | None = None, loss: float | None = None) -> None:
        heart.advance("models", done, total)
        _let_rounds_go_first()

    folder = running.run(run.name, plan, home=Path(settings.STEPMARK_HOME), project=run.project_id, progress=progress)
    heart.advance("results", 0, None)
    results.summarise(folder)
    heart.end()
    if not _held(run).update(state=JobState.DONE, finished_at=Now(), progress={}, failure=""):
        raise _RunLost


def _let_rounds_go_first() -> None:
    if Round.objects.filter(state=RoundState.QUEUED, heartbeat_at=None).exists():
        raise _RoundWaits


def _at_work() -> "QuerySet[ExperimentRun]":
    return ExperimentRun.objects.filter(state__in=UNENDED)


def _held(run: ExperimentRun) -> "QuerySet[ExperimentRun]":
    return ExperimentRun.objects.filter(pk=run.pk, token=run.token, state=JobState.RUNNING)


def _fail(run: ExperimentRun, failure: str) -> None:
    log.warning("Experiment %s failed: %s", run.name, failure)
    _held(run).update(state=JobState.FAILED, failure=failure, token=F("token") + 1, finished_at=Now(), progress={})


# --- how they reach a worker --------------------------------------------------------------------------------------------------


def notify_worker(run_id: int) -> None:
    """Tell a worker that a run waits. If the message is lost, `sweep` sends it again."""
    longwork.tell_worker("active_learning.tasks.run_experiment", run_id)


def sweep() -> list[int]:
    """Offer the runs that no worker has again, and end those that were tried three times. Return those offered."""
    lost = longwork.waiting(_at_work()).filter(attempt__gte=ATTEMPTS)
    lost.update(state=JobState.FAILED, failure=WHY_LOST, token=F("token") + 1, finished_at=Now(), progress={})
    offered = list(longwork.waiting(_at_work()).order_by("pk").values_list("pk", flat=True))
    for run_id in offered:
        notify_worker(run_id)
    return offered


def offer_abandoned() -> list[int]:
    """Offer again, at once, what processes of this machine held that have ended. Return the runs offered. The attempt counts."""
    return sweep() if longwork.release_abandoned(_at_work()) else []
