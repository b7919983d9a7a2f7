"""The loop around the labeling, and its only state machine: train -> judge -> score -> select -> publish.

Reads scores and the queue; writes Round and Selection and, through the queue, the next batch. A round chooses with the model in service,
which is the one it trained unless the registry kept that one out. A round is a row: whoever runs it raises its token first, and every
later write names that token and must hit one row, so a worker that was given up for dead publishes nothing. Celery only rings the
bell; `sweep` rings it again.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from celery import current_app
from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning import judging, pool, registry, reward_models, strategies
from active_learning.models import UNFINISHED, ModelKind, ModelState, ModelVersion, Round, RoundState, Score, Selection, Worker
from annotation import queue
from annotation.models import Batch, BatchKind, Project, StepLabel, Task
from trainer.config import BadBase, BadConfig, TrainConfig

log = logging.getLogger(__name__)

CONVINCING, UNIFORM = "convincing", "uniform"
STRATEGIES = {CONVINCING: "the most convincing wrong answers", UNIFORM: "at random, without a model"}
ATTEMPTS = 3
STALE = timedelta(minutes=3)  # a run without a heartbeat for this long is given to another worker
HEARTBEAT_SECONDS = 2
WORKER_SILENT = timedelta(minutes=1)
CURVE = 200  # points kept of a running training's losses


class RoundRefused(ValueError):
    """A round that cannot start or end; the message says why and what to do."""


class RoundFailed(Exception):
    """A round that ended without a batch for a reason a person can mend; the message says which."""


class RunLost(Exception):
    """Somebody else runs this round by now, or it was cancelled: stop, write nothing."""


# --- starting, ending, sweeping -----------------------------------------------------------------------------------------------


def start(
    project: Project, *, strategy: str = CONVINCING, size: int | None = None, per_problem: int | None = None, globally: bool = False,
    kind: str = ModelKind.PRM, preset: str | None = None, base: str | None = None, seed: int = 0, resume: bool = False, ring: bool = True,
) -> Round:  # fmt: skip
    """Queue a round and ring the worker's bell once the row is committed.

    `size` is how many solutions are published, `per_problem` how many of one problem at most (defaults: the project's), `globally`
    lifts that limit. Size 0 trains and scores, and publishes nothing; an ORM chooses nothing yet. `resume` goes on with the newest
    training that broke off, on its own labels and recipe. Raises RoundRefused while another round of the project is unfinished.
    """
    if strategy not in STRATEGIES:
        raise RoundRefused(f"There is no strategy named {strategy}. Known: {', '.join(STRATEGIES)}.")
    if kind == ModelKind.ORM and (size or strategy == UNIFORM):
        raise RoundRefused("An ORM is trained to be compared with and chooses no solutions: leave out the size and the strategy.")
    size = 0 if kind == ModelKind.ORM else project.batch_size if size is None else size
    if not 0 <= size <= queue.MAX_BATCH:
        raise RoundRefused(f"A batch holds up to {queue.MAX_BATCH:,} solutions, not {size:,}.")
    if per_problem is not None and per_problem < 1:
        raise RoundRefused(f"At least one solution of a problem must be allowed, not {per_problem}.")
    config = _recipe(project, kind=kind, preset=preset, base=base, seed=seed)
    params = {
        "size": size, "per_problem": None if globally else per_problem or project.per_problem, "kind": kind, "preset": preset,
        "base": config.base,
    }  # fmt: skip
    if resume:
        params["resume"] = _resumable(project, kind=kind, is_told=bool(preset or base or seed))
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


def _recipe(project: Project, **told: Any) -> TrainConfig:
    try:
        return reward_models.recipe(project, **told)
    except (BadBase, BadConfig) as error:
        raise RoundRefused(str(error)) from error


def _resumable(project: Project, *, kind: str, is_told: bool) -> int:
    if is_told:
        raise RoundRefused("A training that is resumed keeps its base, recipe and seed: leave out preset, base and seed.")
    if broken_off := reward_models.resumable(project, kind=kind):
        return broken_off.number
    raise RoundRefused(f"{project.slug} has no {kind.upper()} training that broke off with a checkpoint. Start one without resuming.")


def preview(project: Project, *, kind: str = ModelKind.PRM, preset: str | None = None, base: str | None = None, seed: int = 0) -> list[str]:
    """Say in lines what a round now would train on. Changes nothing. Raises RoundRefused."""
    config = _recipe(project, kind=kind, preset=preset, base=base, seed=seed)
    try:
        lines = reward_models.preview(project, config=config, kind=kind)
    except reward_models.ModelUnusable as error:
        raise RoundRefused(str(error)) from error
    champion = judging.serving(project, kind)
    return [*lines, f"in service: model {champion.number}" if champion else "in service: none, so the new one would be"]


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
    report: Callable[[str, int, int | None], None] | None
    said_at: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)  # losses of the training so far: what its page draws

    def say(self, stage: str, done: int, total: int | None, seconds_left: float | None = None, loss: float | None = None) -> None:
        """Pass progress on, and beat, at most every HEARTBEAT_SECONDS. Raises RunLost once the token is no longer ours."""
        if self.report:
            self.report(stage, done, total)
        if time.monotonic() - self.said_at >= HEARTBEAT_SECONDS:
            left = None if seconds_left is None else round(seconds_left)
            progress = {"stage": stage, "done": done, "total": total, "seconds_left": left}
            self.update(progress=progress)
            if loss is not None:
                part = "token_loss" if stage == "language model" else "rating_loss"
                self.curve.append({"stage": stage, "done": done, "total": total, part: loss})
                if len(self.curve) > CURVE:
                    del self.curve[-2::-2]  # every other point, never the newest
            running = ModelVersion.objects.filter(round=self.round, state=ModelState.RUNNING)
            running.update(heartbeat_at=Now(), progress=progress | {"curve": self.curve})
            self.said_at = time.monotonic()

    def update(self, **changes: Any) -> None:
        mine = Round.objects.filter(pk=self.round.pk, token=self.round.token, state__in=UNFINISHED)
        if mine.update(heartbeat_at=Now(), **changes) != 1:
            raise RunLost
        for name, value in changes.items():
            setattr(self.round, name, value)


def run(round_id: int, *, report: Callable[[str, int, int | None], None] | None = None) -> Round:
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
    hold, chooser = Hold(this, report), None
    try:
        if this.strategy != UNIFORM:
            version = _train(hold)
            hold.update(state=RoundState.SCORING)
            if not version.decision:
                registry.decide(version, judging.judge(version, say=hold.say), fence=hold.update)
            if version.kind == ModelKind.PRM:
                chooser = _chooser(hold)
                reward_models.score(chooser, say=hold.say, fence=hold.update)
        _select_and_publish(hold, chooser)
    except RunLost:
        log.warning("Round %s is not ours any more; nothing is published.", round_id)
    except (RoundFailed, RoundRefused, reward_models.ModelUnusable) as failure:
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
    """Return this round's model version, trained and ready."""
    this = hold.round
    version = this.model_version
    if version and version.state == ModelState.READY:
        return version
    if not version or not reward_models.take_over(version):
        with transaction.atomic():
            version = _begun(this)
            hold.update(state=RoundState.TRAINING, model_version=version)
    hold.curve = version.progress.get("curve", [])
    trained = reward_models.train(version, say=hold.say)
    with transaction.atomic():
        hold.update(state=RoundState.SCORING)  # the row lock: nobody else publishes beside us
        if not reward_models.publish(version, trained):
            raise RunLost
    return version


def _begun(this: Round) -> ModelVersion:
    """Make the version this round trains, or take up the one whose training broke off."""
    if number := this.params.get("resume"):
        if resumed := reward_models.resume(this.project, number=number):
            return resumed
        raise RoundFailed(f"Model {number} has been taken up by another round meanwhile.")
    kind = this.params.get("kind", ModelKind.PRM)
    config = _recipe(this.project, kind=kind, preset=this.params.get("preset"), base=this.params["base"], seed=this.seed)
    return reward_models.new_version(this.project, config=config, kind=kind)


def _chooser(hold: Hold) -> ModelVersion:
    """Return the model the round chooses with: the champion. Written down, and said in the log, when it is not the one just trained."""
    this = hold.round
    champion = judging.serving(this.project)
    if champion and champion.pk != this.model_version_id and this.params.get("chosen_with") != champion.number:
        log.info(
            "Round %s of %s chooses with model %s, which stays in service. Of model %s: %s",
            this.generation, this.project.slug, champion.number, this.model_version.number, this.model_version.decision["reason"],
        )  # fmt: skip
        hold.update(params=this.params | {"chosen_with": champion.number})
    return champion or this.model_version


# --- selecting and publishing -------------------------------------------------------------------------------------------------


def _select_and_publish(hold: Hold, chooser: ModelVersion | None) -> None:
    """Choose, write down why, and open the batch: one transaction, so a batch and its selection never part."""
    this = hold.round
    if not this.params["size"]:
        return hold.update(state=RoundState.PUBLISHED, finished_at=Now(), progress={})
    hold.update(state=RoundState.SELECTING)
    candidates = pool.candidates(this.project, chooser, per_problem=this.params["per_problem"] or this.params["size"])
    if not candidates:
        raise RoundFailed(pool.why_empty(this.project, chooser))
    problems = np.array([problem for _, problem, _ in candidates], np.int64)
    size, per_problem = this.params["size"], this.params["per_problem"]
    if chooser is None:
        chosen = strategies.random_pick(problems, size=size, per_problem=per_problem, rng=np.random.default_rng(this.seed))
    else:
        scores = np.array([score for _, _, score in candidates], np.float64)
        chosen = strategies.most_convincing_wrong(scores, problems, size=size, per_problem=per_problem)
    picked = [candidates[i] for i in chosen]
    steps: dict[int, list[float]] = {}
    if chooser:
        steps = reward_models.step_scores(chooser, [solution for solution, _, _ in picked], say=hold.say)
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
        lines.append(f"{version.kind.upper()} model {version.number} ({version.base}): {reward_models.metrics_line(version.metrics)}.")
        serves = "It is in service." if version.champion else "It waits for a person."
        lines.append(f"{version.decision.get('reason', '')} {serves}".strip())
        if n_scored := Score.objects.filter(model_version=version).count():
            lines.append(f"Scored {n_scored:,} solutions.")
        if number := ended.params.get("chosen_with"):
            lines.append(f"Chose with model {number}, which stays in service.")
    if ended.batch_id:
        n_tasks = Task.objects.filter(batch=ended.batch_id).count()
        lines.append(f"Published batch {ended.generation}: {n_tasks:,} solutions, {STRATEGIES[ended.strategy]}.")
    return lines


def say_alive(name: str, *, queues: str) -> None:
    """Note that a worker lives; forget those not heard of for a day."""
    Worker.objects.update_or_create(name=name, defaults={"queues": queues, "heartbeat_at": Now()})
    Worker.objects.filter(heartbeat_at__lt=Now() - timedelta(days=1)).delete()
