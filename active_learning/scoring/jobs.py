"""Score jobs: solutions that a program asks the serving model to score. Reads solutions; writes ScoreJob and ScoreJobItem.

queued -> running -> done        or failed, or cancelled

One worker has a job at a time, under a token. It writes the scores of CHUNK solutions in one transaction, so the next worker goes on after
them. What a job found can be read once all of it is there.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from celery import current_app
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest, Now
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning.models import JobState, ScoreJob, ScoreJobItem
from active_learning.registry import ModelUnusable, load, serving_version, trainer_solution
from active_learning.scoring.partitions import ScoringFailed
from annotation import holders
from annotation.hearts import Heart
from annotation.holders import ATTEMPTS, STALE
from annotation.models import Event, Project, Solution
from annotation.stopping import stop_request
from trainer.files import is_disk_full
from trainer.progress import Stopped

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from trainer.score import RewardModel

log = logging.getLogger(__name__)

MOST_SOLUTIONS = 1_000  # of a job
MOST_WAITING = 20  # jobs of a project that have not ended
CHUNK = 50  # solutions whose scores are written together: the most that a killed worker loses
KEPT = timedelta(days=30)  # after its end
UNENDED = (JobState.QUEUED, JobState.RUNNING)
WHY_LOST = f"Its worker was lost {ATTEMPTS} times. Read the log of the worker, remove the cause, and send the job again."


class NoServingModel(ValueError):
    """No model serves in this project, so none can score."""


class NoSuchJob(LookupError):
    """This project has no such score job."""


class ScoreJobRefused(ValueError):
    """A job that cannot be made, read or cancelled now. The message says why and what to do."""


class UnknownSolutions(LookupError):
    """Some solutions are not of this project. `places` has their positions in the list of keys."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__("Some of these solutions do not exist in this project. No job was made.")
        self.places = list(places)


class _JobLost(Exception):
    """Another worker has this job now, or it was cancelled. Stop, and write nothing."""


@dataclass(frozen=True, slots=True)
class JobText:
    """A solution as texts, which is stored nowhere but in its job."""

    problem: str
    steps: list[str]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as a program sees it. `model`: the number of the version that scores."""

    id: int
    state: str
    model: int
    n_solutions: int
    n_done: int
    failure: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobScore:
    """What the model says of one solution of a job. `steps`: the probabilities of each step that was read."""

    position: int
    solution: int | None
    score: float
    first_weak_step: int | None
    steps: list[dict[str, float]]
    n_unread: int


# --- what a person does -------------------------------------------------------------------------------------------------------


def ask_for_scores(project: Project, *, solutions: Sequence[int], texts: Sequence[JobText], actor: "User") -> JobRow:
    """Make a job of stored solutions, by their keys, and of texts, in this order, and tell a worker.

    Raises NoServingModel, UnknownSolutions, and ScoreJobRefused if the project has too many jobs that have not ended.
    """
    known = set(Solution.objects.filter(pk__in=solutions, problem__project=project).values_list("pk", flat=True))
    if missing := [place for place, key in enumerate(solutions) if key not in known]:
        raise UnknownSolutions(missing)
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # two programs at once make no job too many
        version = serving_version(project)
        if version is None:
            raise NoServingModel("No model serves in this project yet, so none can score. Start a round first.")
        if ScoreJob.objects.filter(project=project, state__in=UNENDED).count() >= MOST_WAITING:
            raise ScoreJobRefused(f"{MOST_WAITING} score jobs of this project have not ended yet. Wait until one ends, or cancel one.")
        job = ScoreJob.objects.create(project=project, model_version=version, n_solutions=len(solutions) + len(texts), created_by=actor)
        items = [ScoreJobItem(job=job, position=place, solution_id=key) for place, key in enumerate(solutions)]
        items += [
            ScoreJobItem(job=job, position=place, statement=text.problem, steps=text.steps)
            for place, text in enumerate(texts, start=len(solutions))
        ]
        ScoreJobItem.objects.bulk_create(items)
        _note(job, actor, "start score job")
        transaction.on_commit(lambda: notify_worker(job.pk))
    return find_job(project, job.pk)


def cancel_job(project: Project, job_id: int, *, actor: "User") -> JobRow:
    """Cancel a job that has not ended. Raises NoSuchJob and ScoreJobRefused."""
    with transaction.atomic():
        changed = ScoreJob.objects.filter(project=project, pk=job_id, state__in=UNENDED).update(
            state=JobState.CANCELLED, token=F("token") + 1, finished_at=Now(), progress={}
        )
        row = find_job(project, job_id)
        if not changed:
            raise ScoreJobRefused(f"This job is {row.state} already, so it cannot be cancelled.")
        _note(ScoreJob.objects.get(pk=job_id), actor, "cancel score job")
    return row


def find_job(project: Project, job_id: int) -> JobRow:
    """Return a job of the project. Raises NoSuchJob."""
    row = _rows(project).filter(pk=job_id).first()
    if row is None:
        raise NoSuchJob(f"{project} has no score job {job_id}.")
    return JobRow(*row)


def jobs_of(project: Project, *, after: int, limit: int, state: str | None = None) -> tuple[list[JobRow], int | None]:
    """Return a page of the jobs after a key, and the key after which the next page begins (None at the end)."""
    rows = _rows(project).filter(pk__gt=after)
    if state is not None:
        rows = rows.filter(state=state)
    found = [JobRow(*row) for row in rows.order_by("project_id", "pk")[: limit + 1]]
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def job_scores(project: Project, job_id: int, *, after: int, limit: int) -> tuple[list[JobScore], int | None]:
    """Return a page of what the model said, from the position `after` on, and the position where the next page begins (None at the end).

    Raises NoSuchJob, and ScoreJobRefused for a job that is not done.
    """
    job = find_job(project, job_id)
    if job.state != JobState.DONE:
        hint = "Wait until it is done." if job.state in UNENDED else "Send a new job."
        raise ScoreJobRefused(f"This job is {job.state}, so it has no scores. {hint}")
    items = ScoreJobItem.objects.filter(job=job_id, position__gte=after).order_by("position")[: limit + 1]
    found = [_shown(item) for item in items]
    return found[:limit], found[limit].position if len(found) > limit else None


def _shown(item: ScoreJobItem) -> JobScore:
    steps = [dict(zip(("negative", "neutral", "positive"), row, strict=True)) for row in item.probabilities]
    return JobScore(item.position, item.solution_id, float(item.score or 0.0), item.first_weak_step, steps, item.n_unread)


def _rows(project: Project) -> "QuerySet[ScoreJob, tuple[Any, ...]]":
    columns = ("pk", "state", "model_version__number", "n_solutions", "n_done", "failure", "created_at", "finished_at")
    return ScoreJob.objects.filter(project=project).values_list(*columns)


def _note(job: ScoreJob, actor: "User", verb: str) -> None:
    details = {"solutions": job.n_solutions}
    Event.objects.create(actor=actor, project_id=job.project_id, verb=verb, subject=f"score job {job.pk}", details=details)


# --- what a worker does -------------------------------------------------------------------------------------------------------


def run_job(job_id: int) -> None:
    """Score the solutions of a job that are left. Does nothing if another worker has it, or if it has ended.

    A job that cannot be scored ends with the reason. A stop of the process gives it back.
    """
    with stop_request() as stop:  # before the claim: a stop between the two would leave a job that nobody gives back
        claim = {
            "state": JobState.RUNNING, "token": F("token") + 1, "attempt": F("attempt") + 1, "heartbeat_at": Now(),
            "holder": holders.own_name(),
        }  # fmt: skip
        if not _waiting().filter(pk=job_id, attempt__lt=ATTEMPTS).update(**claim):
            return
        job = ScoreJob.objects.select_related("project", "model_version__project").get(pk=job_id)
        heart = Heart(_held(job), stop, lost=_JobLost)
        try:
            with heart.beating():
                _score(job, heart)
        except _JobLost:
            log.warning("Score job %s was cancelled, or another worker has it now. This one writes nothing more.", job_id)
        except (ModelUnusable, ScoringFailed) as failed:
            _fail(job, str(failed))
        except (OperationalError, InterfaceError) as error:
            if is_disk_full(error):
                connection.close()
                _fail(job, "The disk of the database is full. Free some space, and send the job again.")
            else:
                log.warning("Score job %s broke off, and is tried again: %s", job_id, error)
                _give_back(job, attempts=0)
        except Stopped:
            _give_back(job, attempts=1)  # a stop in order is no failed attempt
            raise
        except Exception as error:
            log.exception("Score job %s broke off.", job_id)
            _fail(job, f"The server made a mistake ({type(error).__name__}). Its log says more.")


def _score(job: ScoreJob, heart: Heart) -> None:
    heart.advance("loading the model", 0, None)
    model = load(job.model_version)
    left = list(ScoreJobItem.objects.filter(job=job, score=None).select_related("solution__problem").order_by("position"))
    done = job.n_solutions - len(left)
    for start in range(0, len(left), CHUNK):
        some = left[start : start + CHUNK]
        _read(some, model=model, heart=heart, done=done, total=job.n_solutions)
        with transaction.atomic():
            if not _held(job).update(n_done=done + len(some)):
                raise _JobLost
            ScoreJobItem.objects.bulk_update(some, ["score", "probabilities", "first_weak_step", "n_unread"])
        done += len(some)
    heart.end()
    if not _held(job).update(state=JobState.DONE, finished_at=Now(), progress={}, n_done=done):
        raise _JobLost


def _read(items: Sequence[ScoreJobItem], *, model: "RewardModel", heart: Heart, done: int, total: int) -> None:
    """Fill in what the model says. Raises ScoringFailed for a score that is not a number."""
    from trainer.score import first_weak_step, score_solutions

    texts = (
        trainer_solution((item.pk, 0, item.solution.problem.statement, item.solution.steps))
        if item.solution
        else trainer_solution((item.pk, 0, item.statement, item.steps))
        for item in items
    )
    progress = lambda now: heart.advance("scoring", done + now.done, total)  # noqa: E731
    for item, scored in zip(items, score_solutions(model, texts, progress=progress), strict=True):
        if not np.isfinite(scored.score):
            raise ScoringFailed(f"The model gives solution {item.position} of the job a score that is not a number. Train it again.")
        item.score, item.n_unread = scored.score, scored.unread_steps
        item.probabilities = scored.probabilities.astype(float).round(6).tolist()
        item.first_weak_step = first_weak_step(scored.probabilities, threshold=model.threshold) if len(scored.probabilities) else None


def _waiting() -> "QuerySet[ScoreJob]":
    """Return the jobs that a worker should have, and none has."""
    stale = Q(heartbeat_at__isnull=True) | Q(heartbeat_at__lt=Now() - STALE)
    return ScoreJob.objects.filter(stale, state__in=UNENDED)


def _held(job: ScoreJob) -> "QuerySet[ScoreJob]":
    return ScoreJob.objects.filter(pk=job.pk, token=job.token, state=JobState.RUNNING)


def _fail(job: ScoreJob, failure: str) -> None:
    log.warning("Score job %s failed: %s", job.pk, failure)
    _held(job).update(state=JobState.FAILED, failure=failure, token=F("token") + 1, finished_at=Now(), progress={})


def _give_back(job: ScoreJob, *, attempts: int) -> None:
    """Leave a job to the next worker at once, and give `attempts` of its attempts back. Without a database, the sweep does it later."""
    connection.close()  # it is broken, or the stop came in the middle of a statement
    with suppress(OperationalError, InterfaceError):
        _held(job).update(heartbeat_at=None, attempt=Greatest(F("attempt") - attempts, 0))


# --- how they reach a worker --------------------------------------------------------------------------------------------------


def notify_worker(job_id: int) -> None:
    """Tell a worker that a job waits. If the message is lost, `sweep_jobs` sends it again."""
    try:
        current_app.send_task("active_learning.tasks.run_score_job", [job_id], queue="gpu", ignore_result=True)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be told (%s). Score job %s waits until the sweeper offers it again.", error, job_id)


def sweep_jobs() -> list[int]:
    """Offer the jobs that no worker has again, end those that were tried three times, and delete old ones. Return those offered."""
    lost = _waiting().filter(attempt__gte=ATTEMPTS)
    lost.update(state=JobState.FAILED, failure=WHY_LOST, token=F("token") + 1, finished_at=Now(), progress={})
    ScoreJob.objects.filter(finished_at__lt=Now() - KEPT).delete()
    offered = list(_waiting().values_list("pk", flat=True))
    for job_id in offered:
        notify_worker(job_id)
    return offered


def offer_abandoned_jobs() -> list[int]:
    """Offer again, at once, what processes of this machine held that have ended. Return the jobs offered. The attempt counts."""
    held = ScoreJob.objects.filter(state=JobState.RUNNING, heartbeat_at__isnull=False, holder__startswith=holders.machine()).exclude(
        holder=""
    )
    n_left = 0
    for job in held:
        if holders.has_ended(job.holder):
            log.warning("The worker of score job %s has ended without giving it back. It is offered again.", job.pk)
            n_left += _held(job).update(heartbeat_at=None)
    return sweep_jobs() if n_left else []
