"""The loop around the labeling, and its only state machine: train -> score -> select -> publish.

Reads scores and the queue; writes Round and Selection and, through the queue, the next batch. A round is a row: whoever runs it
raises its token first, and every later write names that token and must hit one row, so a worker that was given up for dead
publishes nothing. Celery only rings the bell; `sweep` rings it again.
"""

import contextlib
import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from celery import current_app
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning import reward_models, strategies
from active_learning.models import UNFINISHED, ModelState, ModelVersion, Round, RoundState, Score, Selection, Worker
from annotation import queue
from annotation.models import Batch, BatchKind, Outcome, Project, StepLabel, Task
from trainer.config import BadBase, check_base

log = logging.getLogger(__name__)

CONVINCING, UNIFORM = "convincing", "uniform"
STRATEGIES = {CONVINCING: "the most convincing wrong answers", UNIFORM: "at random, without a model"}
ATTEMPTS = 3
STALE = timedelta(minutes=3)  # a run without a heartbeat for this long is given to another worker
HEARTBEAT_SECONDS = 2
WORKER_SILENT = timedelta(minutes=1)


class RoundRefused(ValueError):
    """A round that cannot start or end; the message says why and what to do."""


class RoundFailed(Exception):
    """A round that ended without a batch for a reason a person can mend; the message says which."""


class RunLost(Exception):
    """Somebody else runs this round by now, or it was cancelled: stop, write nothing."""


# --- starting, ending, sweeping -----------------------------------------------------------------------------------------------


def start(
    project: Project, *, strategy: str = CONVINCING, size: int | None = None, per_problem: int | None = None, globally: bool = False,
    base: str | None = None, seed: int = 0, ring: bool = True,
) -> Round:  # fmt: skip
    """Queue a round and ring the worker's bell once the row is committed.

    `size` is how many solutions are published, `per_problem` how many of one problem at most (defaults: the project's), `globally`
    lifts that limit. Size 0 trains and scores, and publishes nothing. Raises RoundRefused while another round of the project is unfinished.
    """
    if strategy not in STRATEGIES:
        raise RoundRefused(f"There is no strategy named {strategy}. Known: {', '.join(STRATEGIES)}.")
    size = project.batch_size if size is None else size
    if not 0 <= size <= queue.MAX_BATCH:
        raise RoundRefused(f"A batch holds up to {queue.MAX_BATCH:,} solutions, not {size:,}.")
    if per_problem is not None and per_problem < 1:
        raise RoundRefused(f"At least one solution of a problem must be allowed, not {per_problem}.")
    try:
        check_base(base or project.base_model)
    except BadBase as error:
        raise RoundRefused(str(error)) from error
    params = {"size": size, "per_problem": None if globally else per_problem or project.per_problem, "base": base or project.base_model}
    try:
        with transaction.atomic():
            newest = Batch.objects.filter(project=project, kind=BatchKind.SELECTED).aggregate(newest=Max("generation"))["newest"]
            generation = 0 if newest is None else newest + 1
            made = Round.objects.create(project=project, generation=generation, strategy=strategy, params=params, seed=seed)
            if ring:
                transaction.on_commit(lambda: ring_bell(made.pk))
            return made
    except IntegrityError as error:
        if error.__cause__.diag.constraint_name != "round_one_unfinished":
            raise
        other = Round.objects.get(project=project, state__in=UNFINISHED)
        raise RoundRefused(
            f"Round {other.generation} of {project.slug} is still {other.state}. Wait until it has published its batch, or cancel it."
        ) from None


def ring_bell(round_id: int) -> None:
    """Tell a worker that a round waits. A lost bell loses nothing: `sweep` rings again."""
    try:
        current_app.send_task("active_learning.tasks.run_round", [round_id], ignore_result=True)
    except (BrokerUnreachable, OSError) as error:
        log.warning("The broker cannot be reached (%s); round %s waits for the sweeper.", error, round_id)


def cancel(project: Project, generation: int) -> None:
    """End an unfinished round; its worker notices at its next heartbeat. Raises RoundRefused if it has already ended."""
    cancelled = Round.objects.filter(project=project, generation=generation, state__in=UNFINISHED).first()
    if not cancelled or not _end(cancelled, RoundState.CANCELLED, "It was cancelled."):
        raise RoundRefused(f"Round {generation} has already ended.")


def sweep() -> list[int]:
    """Ring again for rounds nobody runs, and end those that were tried three times. Returns the rounds rung for."""
    stale = Round.objects.filter(_stale(), state__in=UNFINISHED)
    for lost in stale.filter(attempt__gte=ATTEMPTS):
        _end(lost, RoundState.FAILED, f"Its worker was lost {ATTEMPTS} times; the worker's log says why. Then start a new round.")
    waiting = list(stale.filter(attempt__lt=ATTEMPTS).values_list("pk", flat=True))
    for round_id in waiting:
        ring_bell(round_id)
    return waiting


def start_due_rounds() -> list[Round]:
    """Start a round in every project whose retrain policy is due: enough new labels, or enough hours and any new label."""
    started = []
    for project in Project.objects.filter(Q(retrain_every_labels__isnull=False) | Q(retrain_every_hours__isnull=False)):
        last = Round.objects.filter(project=project, strategy=CONVINCING).order_by("-created_at").first()
        labels = StepLabel.objects.filter(annotation__solution__problem__project=project, rating__isnull=False)
        if last:
            labels = labels.filter(annotation__created_at__gt=last.created_at)
        every, hours = project.retrain_every_labels, project.retrain_every_hours
        due = every is not None and labels[:every].count() == every
        if not due and hours is not None and labels.exists():
            due = last is None or Round.objects.filter(pk=last.pk, created_at__lt=Now() - timedelta(hours=hours)).exists()
        if due:
            with contextlib.suppress(RoundRefused):  # one is under way
                started.append(start(project))
    return started


def _stale() -> Q:
    return Q(heartbeat_at__isnull=True) | Q(heartbeat_at__lt=Now() - STALE)


def _end(ended: Round, state: RoundState, reason: str) -> bool:
    """End an unfinished round under the token it was read with, and its half-trained model. False: somebody was quicker."""
    with transaction.atomic():
        changed = Round.objects.filter(pk=ended.pk, token=ended.token, state__in=UNFINISHED).update(
            state=state, failure=reason, token=F("token") + 1, finished_at=Now(), progress={}
        )
        if changed:
            ModelVersion.objects.filter(round=ended.pk, state=ModelState.RUNNING).update(
                state=ModelState.FAILED, failure=reason, token=F("token") + 1, progress={}
            )
    return bool(changed)


# --- running ------------------------------------------------------------------------------------------------------------------


@dataclass
class Hold:
    """One worker's hold on a round: every write goes through the token it claimed."""

    round: Round
    report: reward_models.Say | None
    said_at: float = 0.0

    def say(self, stage: str, done: int, total: int | None, seconds_left: float | None = None) -> None:
        """Pass progress on, and beat, at most every HEARTBEAT_SECONDS. Raises RunLost once the token is no longer ours."""
        if self.report:
            self.report(stage, done, total, seconds_left)
        if time.monotonic() - self.said_at >= HEARTBEAT_SECONDS:
            left = None if seconds_left is None else round(seconds_left)
            progress = {"stage": stage, "done": done, "total": total, "seconds_left": left}
            self.update(progress=progress)
            ModelVersion.objects.filter(round=self.round, state=ModelState.RUNNING).update(heartbeat_at=Now(), progress=progress)
            self.said_at = time.monotonic()

    def update(self, **changes: Any) -> None:
        mine = Round.objects.filter(pk=self.round.pk, token=self.round.token, state__in=UNFINISHED)
        if mine.update(heartbeat_at=Now(), **changes) != 1:
            raise RunLost
        for name, value in changes.items():
            setattr(self.round, name, value)


def run(round_id: int, *, report: reward_models.Say | None = None) -> Round:
    """Carry a round from wherever it stands to its published batch, and return it as it then is: published, or failed with the reason.

    Running it twice changes nothing. `report` hears of progress; with it the caller is a person at a terminal, who is told of an
    unforeseen failure at once, while a worker's run is offered again.
    """
    claimed = Round.objects.filter(_stale(), pk=round_id, state__in=UNFINISHED, attempt__lt=ATTEMPTS).update(
        token=F("token") + 1, attempt=F("attempt") + 1, heartbeat_at=Now()
    )
    this = Round.objects.select_related("project", "model_version__project", "model_version__snapshot").get(pk=round_id)
    if not claimed:
        return this
    hold = Hold(this, report)
    try:
        if this.strategy != UNIFORM:
            version = _train(hold)
            hold.update(state=RoundState.SCORING)
            reward_models.score(version, say=hold.say, fence=hold.update)
        _select_and_publish(hold)
    except RunLost:
        log.warning("Round %s is not ours any more; nothing is published.", round_id)
    except (RoundFailed, reward_models.ModelUnusable) as failure:
        log.warning("Round %s failed: %s", round_id, failure)
        _end(this, RoundState.FAILED, str(failure))
    except BaseException as error:
        if not isinstance(error, Exception):  # Ctrl-C
            _end(this, RoundState.CANCELLED, "It was interrupted.")
            raise
        log.exception("Round %s broke off.", round_id)
        if report or this.attempt >= ATTEMPTS:
            _end(this, RoundState.FAILED, f"{type(error).__name__}: {error}")
        else:  # the sweeper offers it again
            Round.objects.filter(pk=round_id, token=this.token, state__in=UNFINISHED).update(heartbeat_at=None)
    this.refresh_from_db()
    return this


def _train(hold: Hold) -> ModelVersion:
    """Return this round's model version, trained and published."""
    this = hold.round
    version = this.model_version
    if version and version.state == ModelState.READY:
        return version
    if not version or not reward_models.take_over(version):
        with transaction.atomic():
            version = reward_models.new_version(this.project, base=this.params["base"], seed=this.seed)
            hold.update(state=RoundState.TRAINING, model_version=version)
    trained = reward_models.train(version, say=hold.say)
    with transaction.atomic():
        hold.update(state=RoundState.SCORING)  # the row lock: nobody else publishes beside us
        if not reward_models.publish(version, trained):
            raise RunLost
    return version


# --- selecting and publishing -------------------------------------------------------------------------------------------------

# The most convincing wrong answers of each problem. The LATERAL walks the partial index (problem, score DESC) and stops after k rows a
# problem: 36,000 candidates out of 12M rows in 0.7 s; a window function over the partition takes 5.6 s.
CANDIDATES = """
SELECT c.solution_id, p.id, c.score
  FROM annotation_problem p
 CROSS JOIN LATERAL (
       SELECT s.solution_id, s.score FROM active_learning_score s
        WHERE s.model_version_id = %(version)s AND s.problem_id = p.id AND s.outcome = 'wrong'
          AND NOT EXISTS (SELECT 1 FROM annotation_task t WHERE t.solution_id = s.solution_id)
          AND NOT EXISTS (SELECT 1 FROM annotation_solution x WHERE x.id = s.solution_id AND x.withdrawn_at IS NOT NULL)
        ORDER BY s.score DESC LIMIT %(limit)s) c
 WHERE p.project_id = %(project)s AND p.split = 'train'
 ORDER BY c.score DESC, c.solution_id
"""


def _candidates(this: Round) -> list[tuple[int, int, float | None]]:
    """Return (solution, problem, score) of all that may be published now: train split, not withdrawn, not queued yet."""
    if this.strategy == UNIFORM:
        queued = Task.objects.filter(solution=OuterRef("pk"))
        rows = reward_models.readable_solutions(this.project).filter(~Exists(queued)).order_by("pk")
        return [(solution, problem, None) for solution, problem in rows.values_list("pk", "problem_id")]
    limit = this.params["per_problem"] or this.params["size"]
    with connection.cursor() as cursor:
        cursor.execute(CANDIDATES, {"version": this.model_version_id, "project": this.project_id, "limit": limit})
        return cursor.fetchall()


def _select_and_publish(hold: Hold) -> None:
    """Choose, write down why, and open the batch: one transaction, so a batch and its selection never part."""
    this = hold.round
    if not this.params["size"]:
        return hold.update(state=RoundState.PUBLISHED, finished_at=Now(), progress={})
    hold.update(state=RoundState.SELECTING)
    candidates = _candidates(this)
    if not candidates:
        raise RoundFailed(_why_nothing(this.project, this.strategy))
    problems = np.array([problem for _, problem, _ in candidates], np.int64)
    size, per_problem = this.params["size"], this.params["per_problem"]
    if this.strategy == UNIFORM:
        chosen = strategies.random_pick(problems, size=size, per_problem=per_problem, rng=np.random.default_rng(this.seed))
    else:
        scores = np.array([score for _, _, score in candidates], np.float64)
        chosen = strategies.most_convincing_wrong(scores, problems, size=size, per_problem=per_problem)
    picked = [candidates[i] for i in chosen]
    steps: dict[int, list[float]] = {}
    if this.model_version:
        steps = reward_models.step_scores(this.model_version, [solution for solution, _, _ in picked], say=hold.say)
    with transaction.atomic():
        hold.update(state=RoundState.SELECTING)  # takes the row lock: a second worker waits here, then finds its token gone
        Selection.objects.bulk_create(
            [
                Selection(round=this, solution_id=solution, rank=rank, score=score, step_scores=steps.get(solution, []),
                          reason=STRATEGIES[this.strategy])
                for rank, (solution, _, score) in enumerate(picked, start=1)
            ],
            batch_size=1000,
        )  # fmt: skip
        # The queue serves the highest priority first: the order of rank.
        batch = queue.open_batch(
            this.project,
            [queue.Chosen(solution, len(picked) - place, score) for place, (solution, _, score) in enumerate(picked)],
            generation=this.generation,
        )
        hold.update(state=RoundState.PUBLISHED, batch=batch, finished_at=Now(), progress={})


def _why_nothing(project: Project, strategy: str) -> str:
    counts = dict(reward_models.readable_solutions(project).order_by().values_list("outcome").annotate(n=Count("pk")))
    if not counts:
        return f"{project.slug} has no solutions to serve. Load some with `manage.py load_solutions`."
    if strategy == UNIFORM:
        return f"Every solution of {project.slug} has been queued already. Load more solutions."
    if not counts.get(Outcome.WRONG):
        n_solutions = sum(counts.values())
        return f"None of the {n_solutions:,} solutions of {project.slug} has a wrong answer. Load problems with answers, or more solutions."
    return f"Every solution of {project.slug} with a wrong answer has been queued already. Load more solutions."


# --- what pages and terminals ask ---------------------------------------------------------------------------------------------


def loop(project: Project) -> dict[str, Any]:
    """Return what the manager's page shows of the loop: rounds, model versions, workers."""
    rounds = Round.objects.filter(project=project)
    versions = list(ModelVersion.objects.filter(project=project).order_by("-number")[:10])
    return {
        "rounds": list(rounds.select_related("model_version", "batch").annotate(waited=Now() - F("created_at")).order_by("-pk")[:10]),
        "versions": [(version, reward_models.metrics_line(version.metrics)) for version in versions],
        "unfinished": rounds.filter(state__in=UNFINISHED).exists(),
        "workers": list(Worker.objects.annotate(alive=Q(heartbeat_at__gt=Now() - WORKER_SILENT)).order_by("name")),
        "strategies": STRATEGIES,
    }


def any_published(project: Project) -> bool:
    return Round.objects.filter(project=project, state=RoundState.PUBLISHED).exists()


def describe(ended: Round) -> list[str]:
    """Return in a few lines what a published round brought."""
    lines = []
    if version := ended.model_version:
        lines.append(f"Model {version.number} ({version.base}): {reward_models.metrics_line(version.metrics)}.")
        lines.append(f"Scored {Score.objects.filter(model_version=version).count():,} solutions.")
    if ended.batch_id:
        n_tasks = Task.objects.filter(batch=ended.batch_id).count()
        lines.append(f"Published batch {ended.generation}: {n_tasks:,} solutions, {STRATEGIES[ended.strategy]}.")
    return lines


def say_alive(name: str, *, queues: str) -> None:
    """Note that a worker lives; forget those not heard of for a day."""
    Worker.objects.update_or_create(name=name, defaults={"queues": queues, "heartbeat_at": Now()})
    Worker.objects.filter(heartbeat_at__lt=Now() - timedelta(days=1)).delete()
