"""Run a round: one worker holds it, and goes through the stages that have not ended well yet."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from active_learning import registry, sampling, scoring, selection
from active_learning.models import (
    UNFINISHED,
    ModelKind,
    ModelState,
    ModelVersion,
    Round,
    RoundStage,
    RoundState,
    Score,
    Selection,
    StageName,
)
from active_learning.registry import ProgressCallback
from active_learning.rounds import payoffs
from active_learning.rounds.plan import Findings, RoundPlan, findings_of, plan_of, recipe_followed
from active_learning.rounds.publishing import open_batch
from active_learning.rounds.starting import notify_worker
from active_learning.rounds.states import (
    CANCELLED_AT_TERMINAL,
    RUNNABLE,
    RoundFailed,
    RoundRefused,
    RunLost,
    end,
    give_back,
    notify_managers,
    stale,
    tell_webhooks,
)
from active_learning.selection import Need, Recipe
from annotation import holders
from annotation.holders import ATTEMPTS
from annotation.models import NotificationKind, Project
from annotation.stopping import StopRequest, stop_request
from trainer.counting import counted
from trainer.progress import Stopped

log = logging.getLogger(__name__)

T = TypeVar("T")
HEARTBEAT_SECONDS = 2
DATABASE_SECONDS = 30  # a killed PostgreSQL is back sooner
CURVE = 200  # points kept of a running training's losses


@dataclass
class Hold:
    """One worker's hold on a round. Every write names the token that the worker claimed."""

    round: Round
    progress: ProgressCallback | None
    stop: StopRequest
    stage: RoundStage | None = None
    written_at: float = 0.0  # when progress was last written
    curve: list[dict[str, Any]] = field(default_factory=list)  # losses of the training so far, for the chart on its page

    def advance(self, stage: str, done: int, total: int | None, seconds_left: float | None = None, loss: float | None = None) -> None:
        """Pass progress on; write it with a heartbeat, at most every HEARTBEAT_SECONDS.

        Raises RunLost if the token is another worker's, and Stopped if this process was asked to stop.
        """
        self.stop.check()
        if self.progress:
            self.progress(stage, done, total, seconds_left, loss)
        if time.monotonic() - self.written_at >= HEARTBEAT_SECONDS:
            left = None if seconds_left is None else round(seconds_left)
            progress = {"stage": stage, "done": done, "total": total, "seconds_left": left}
            self.update(progress=progress)
            if loss is not None:
                part = "token_loss" if stage == "language model" else "rating_loss"
                self.curve.append({"phase": stage, "done": done, "total": total, part: loss})
                if len(self.curve) > CURVE:
                    del self.curve[-2::-2]  # every other point, never the newest
            running = ModelVersion.objects.filter(round=self.round, state=ModelState.RUNNING)
            running.update(heartbeat_at=Now(), progress=progress | {"curve": self.curve})
            self.written_at = time.monotonic()

    def update(self, **changes: Any) -> None:
        """Change the row, with a heartbeat. Raises RunLost if the token is another worker's, or the round has ended."""
        mine = Round.objects.filter(pk=self.round.pk, token=self.round.token, state__in=UNFINISHED)
        if mine.update(**{"heartbeat_at": Now()} | changes) != 1:
            raise RunLost
        for name, value in changes.items():
            setattr(self.round, name, value)

    def log(self, message: str) -> None:
        """Write a line into the log of the present stage and, unless a person watches at a terminal, into the worker's."""
        if not self.progress:
            log.info("%s: %s", self.round, message)
        if self.stage:
            self.stage.log.append([timezone.now().isoformat(timespec="seconds"), message])
            self.stage.save(update_fields=["log"])

    def has_ended(self, name: StageName) -> bool:
        """Return whether a stage has ended well."""
        return RoundStage.objects.filter(round=self.round, name=name, ended_at__isnull=False, failure="").exists()

    @contextmanager
    def at(self, name: StageName) -> Iterator[None]:
        """Record when a stage starts and how it ends. A stage that ended well gives the next one its three attempts."""
        self.stage = RoundStage.objects.create(round=self.round, name=name, attempt=self.round.attempt)
        stage = RoundStage.objects.filter(pk=self.stage.pk)
        try:
            yield
        except Stopped:
            raise  # perhaps in the middle of a statement: `give_back` notes it on a new connection
        except RunLost:
            # Whoever ended the attempt has noted why: it was cancelled, or another worker took the round over.
            stage.filter(ended_at__isnull=True).update(ended_at=Now(), failure="Another worker took the round over.")
            raise
        except BaseException as error:
            stage.update(ended_at=Now(), failure=str(error) or type(error).__name__)
            raise
        stage.update(ended_at=Now())
        if self.round.state in UNFINISHED:
            self.update(attempt=1)


def run(round_id: int, *, progress: ProgressCallback | None = None) -> Round:
    """Run a round from the stage it has reached to its proposal or its published batch, and return it; a failed one has the reason.

    Running it twice changes nothing. With `progress` the caller is a person at a terminal: an unforeseen failure ends it at once,
    while a worker's run is offered again. Ctrl-C by that person cancels the round and is raised as KeyboardInterrupt. Any other stop of
    the process cancels nothing: the round is given back, and Stopped is raised.
    """
    waiting = Round.objects.filter(stale(), pk=round_id, state__in=RUNNABLE, attempt__lt=ATTEMPTS)
    with stop_request() as stop:  # before the claim: a stop between the two would leave a round that nobody gives back
        claim = {"token": F("token") + 1, "attempt": F("attempt") + 1, "heartbeat_at": Now(), "holder": holders.own_name()}
        claimed = _patiently(lambda: waiting.update(**claim))
        round_ = Round.objects.select_related("project", "model_version__project", "model_version__snapshot").get(pk=round_id)
        if not claimed:
            return round_
        RoundStage.objects.filter(round=round_, ended_at__isnull=True).update(ended_at=Now(), failure="Its worker was lost.")
        try:
            _turn(Hold(round_, progress, stop))
        except RunLost:
            log.warning("Another worker has %s now, or it was cancelled. This one publishes nothing.", round_)
        except (RoundFailed, RoundRefused, *NAMED) as failure:
            log.warning("%s failed: %s", round_, failure)
            end(round_, RoundState.FAILED, str(failure))
        except Exception as error:
            log.exception("%s broke off.", round_)
            _patiently(partial(_broke_off, round_, error, at_once=progress is not None))
        except BaseException as error:
            stop.settle()
            if not connection.in_atomic_block:
                connection.close()  # the stop may have come in the middle of a statement
            if progress and (stop.by_ctrl_c or isinstance(error, KeyboardInterrupt)):
                end(round_, RoundState.CANCELLED, CANCELLED_AT_TERMINAL)
                raise KeyboardInterrupt from None
            give_back(round_)
            log.warning("%s was stopped with its worker. It goes on when a worker runs again.", round_)
            raise
    round_.refresh_from_db()
    return round_


def _broke_off(round_: Round, error: Exception, *, at_once: bool) -> None:
    """End a round after an unforeseen failure, or leave it to the sweeper, which offers it again. After a loss of the database: now."""
    if at_once or round_.attempt >= ATTEMPTS:
        end(round_, RoundState.FAILED, f"{type(error).__name__}: {error}")
    else:
        Round.objects.filter(pk=round_.pk, token=round_.token, state__in=UNFINISHED).update(heartbeat_at=None)
        if isinstance(error, (OperationalError, InterfaceError)):
            notify_worker(round_.pk)


def _patiently(write: Callable[[], T]) -> T:
    """Write the beginning or the end of a run. If the database is gone, wait for its return, at most DATABASE_SECONDS."""
    until = time.monotonic() + DATABASE_SECONDS
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or time.monotonic() > until:
                raise
            connection.close()
            time.sleep(0.5)


# Errors of other stages that a person has to remove: a second attempt would only fail again.
NAMED = (registry.ModelUnusable, scoring.ScoringFailed, sampling.BadSampling, selection.NothingToChoose)


def _turn(hold: Hold) -> None:
    """Go through the stages that have not ended well yet."""
    round_, plan = hold.round, plan_of(hold.round)
    if plan.train:
        version = _train(hold, plan)
        if not hold.has_ended(StageName.JUDGE):
            with hold.at(StageName.JUDGE):
                if not version.decision:
                    judgement = registry.judge(version, progress=hold.advance)
                    registry.decide(version, judgement, fence=hold.update)
                    hold.log(version.decision["reason"])
                _weigh(hold, version)  # last: what serves does not depend on it
    if plan.sample and not hold.has_ended(StageName.SAMPLE):
        hold.update(state=RoundState.SAMPLING)
        with hold.at(StageName.SAMPLE):
            name = f"round-{round_.pk}"  # the run's: a second attempt goes on with it, and another round draws anew
            drawn = sampling.sample(round_.project, settings=plan.sample, progress=hold.advance, fence=hold.update, name=name)
            hold.log(str(drawn))
    scorers = _score(hold, plan) if plan.scores else selection.Scorers()
    recipe = recipe_followed(plan, findings_of(round_))
    if recipe is None:
        with transaction.atomic():
            hold.update(state=RoundState.PUBLISHED, finished_at=Now(), progress={})
            _tell_done(round_, "It publishes no batch")
        return
    if not hold.has_ended(StageName.SELECT):
        hold.update(state=RoundState.SELECTING)
        with hold.at(StageName.SELECT):
            _select(hold, plan, recipe, scorers)
    if plan.review:
        with transaction.atomic():
            hold.update(state=RoundState.PROPOSED, heartbeat_at=None, progress={})
            sentence = f"Round {round_.number} of {round_.project} waits for you: look at its proposal, and publish or discard it."
            notify_managers(round_, NotificationKind.WAITING, sentence)
        return
    with hold.at(StageName.PUBLISH):
        _publish(hold)
        findings = findings_of(round_)
        in_use = {number for number in (findings.chosen_with, findings.control) if number}
        if dropped := scoring.drop_old(round_.project, keep=in_use):
            hold.log(f"Moved the scores of older models to files: {', '.join(map(str, dropped))}.")


def _train(hold: Hold, plan: RoundPlan) -> ModelVersion:
    """Return this round's model version, trained and ready."""
    version = hold.round.model_version
    if version and version.state == ModelState.READY:
        return version
    if not version or not registry.take_over(version):
        with transaction.atomic():
            version = _begin_version(hold.round, plan)
            hold.update(state=RoundState.TRAINING, model_version=version)
    hold.curve = version.progress.get("curve", [])
    with hold.at(StageName.TRAIN):
        trained = registry.train(version, progress=hold.advance)
        with transaction.atomic():
            hold.update(state=RoundState.SCORING)  # takes the row lock: no other worker publishes now
            if not registry.make_ready(version, trained):
                raise RunLost
        hold.log(f"{version.kind.upper()} model {version.number} is ready; {registry.metrics_line(version.metrics)}.")
        for caution in registry.cautions_of(version):
            hold.log(caution)
    return version


def _weigh(hold: Hold, version: ModelVersion) -> None:
    """Find out whether labels that earlier rounds chose taught more than labels at random.

    The last attempt of a round does without, if the others were lost here: for want of memory, say. It is not worth the round.
    """
    if version.kind != ModelKind.PRM:
        return
    if hold.round.attempt >= ATTEMPTS:
        hold.log(f"Labels that were chosen and labels at random were not compared: the worker was lost {ATTEMPTS - 1} times before.")
        return
    payoff, obstacle = payoffs.measure(version, progress=hold.advance)
    if payoff:
        hold.update(findings=replace(findings_of(hold.round), payoff=payoff).as_dict())
    if obstacle:
        hold.log(obstacle)


def _begin_version(round_: Round, plan: RoundPlan) -> ModelVersion:
    """Make the version this round trains, or continue the one whose training broke off."""
    if number := findings_of(round_).resumed:
        if version := registry.resume(round_.project, number=number):
            return version
        raise RoundFailed(f"Another round has continued the training of model {number} meanwhile.")
    return registry.new_version(round_.project, config=plan.config(round_.project), kind=plan.kind, labels=plan.labels)


def _score(hold: Hold, plan: RoundPlan) -> selection.Scorers:
    """Score the pool with the champion and with the other models the recipe reads (the frozen control, the ORM), unless their files are
    gone.

    Nothing is scored if no model serves, because the one just trained waits for a person, or if the champion cannot be loaded. Then the
    batch is drawn at random. A recipe that needs only the states of a frozen base still chooses by them. Each attempt finds this out
    anew: a person can have let another model serve since the last one.
    """
    round_, findings = hold.round, findings_of(hold.round)
    if hold.has_ended(StageName.SCORE):
        numbers = (findings.chosen_with, findings.control, findings.orm)
        versions = [_version(round_.project, number) for number in numbers]
        return selection.Scorers(versions[0], versions[1], versions[2], _reader(versions[0], round_.model_version))
    chooser, trained = registry.serving_version(round_.project), round_.model_version
    if chooser is None and trained is None:
        raise RoundFailed(f"{round_.project.slug} has no serving model to choose with. Start a round that trains one.")
    hold.update(state=RoundState.SCORING)
    with hold.at(StageName.SCORE):
        if chooser is None or (unreadable := _why_unreadable(chooser)):
            return _without_champion(hold, plan, unreadable if chooser else "")
        others = {
            "control": (control_of(round_.project) or chooser) if plan.recipe and plan.recipe.needs(Need.CONTROL) else None,
            "orm": registry.serving_version(round_.project, ModelKind.ORM) if plan.recipe and plan.recipe.needs(Need.ORM) else None,
        }
        if trained and trained != chooser:
            hold.log(f"Model {chooser.number} still serves and chooses. {trained.decision['reason']}")
        _score_with(hold, chooser)
        for name, version in others.items():
            try:
                if version and version != chooser:
                    _score_with(hold, version)
            except registry.ModelUnusable as unusable:
                hold.log(f"The {name} is left out. {unusable}")
                others[name] = None
        findings = _decide_switch(hold, plan, chooser)
        control, orm = (version.number if (version := others[name]) else None for name in ("control", "orm"))
        scored = replace(findings, chosen_with=chooser.number, control=control, orm=orm, unreadable="", at_random="")
        hold.update(findings=scored.as_dict())
    return selection.Scorers(chooser, **others, reader=_reader(chooser, trained))


def _why_unreadable(champion: ModelVersion) -> str:
    """Return why the champion cannot be loaded, and what to do, in sentences; empty if it can. Loads it, which takes seconds at most."""
    try:
        registry.load(champion)
    except registry.ModelUnusable as unusable:
        return (
            f"{unusable} It serves, but this round goes on as if no model served. Restore {champion.artifact} from a backup, or let "
            "another model serve on its page."
        )
    return ""


def _without_champion(hold: Hold, plan: RoundPlan, unreadable: str) -> selection.Scorers:
    """Note that nothing is scored, because no model serves or the one that serves is unreadable, and how the batch is chosen then."""
    trained = hold.round.model_version
    why = unreadable or f"No model serves. {trained.decision['reason'] if trained else ''}".strip()
    hold.log(f"Nothing is scored. {why}")
    known = replace(findings_of(hold.round), chosen_with=None, control=None, orm=None, unreadable=unreadable, at_random="")
    hold.update(findings=known.as_dict())
    findings, reader = _decide_switch(hold, plan, None), _reader(trained)
    recipe = recipe_followed(plan, findings)
    if recipe and not (reader and recipe.needs_only_states):
        waits = f", and model {trained.number} waits for a person" if trained and trained.decision.get("promoted") is False else ""
        none = "the model that serves cannot be loaded" if unreadable else "no model serves"
        at_random = f"The batch is drawn at random: {none}{waits}."
        hold.update(findings=replace(findings, at_random=at_random).as_dict())
        hold.log(at_random)
    return selection.Scorers(reader=reader)


def _reader(*versions: ModelVersion | None) -> ModelVersion | None:
    """Return the first of some versions with a frozen base; its states do not depend on whether its heads are good enough to serve."""
    return next((version for version in versions if selection.is_frozen(version)), None)


def _decide_switch(hold: Hold, plan: RoundPlan, chooser: ModelVersion | None) -> Findings:
    """Decide what the switch in the recipe stands for, if there is one, note it, and return the findings."""
    findings = findings_of(hold.round)
    if plan.recipe and selection.has_switch(plan.recipe):
        decision = selection.decided(chooser.number if chooser else None, chooser.metrics if chooser else {})
        findings = replace(findings, switch=decision.as_dict())
        hold.update(findings=findings.as_dict())
        hold.log(decision.sentence)
    return findings


def _score_with(hold: Hold, version: ModelVersion) -> None:
    scoring.score(version, progress=hold.advance, fence=hold.update)
    hold.log(f"Model {version.number} has scored {Score.objects.filter(model_version=version).count():,} solutions.")


def control_of(project: Project) -> ModelVersion | None:
    """Return the frozen control selector: the first version that ever chose a batch, as long as its files are there.

    The paper saw iterated retraining of the selector become unstable and could not say why: a selector that never changes shows it.
    """
    first = Round.objects.filter(project=project, batch__isnull=False, findings__chosen_with__isnull=False).order_by("pk").first()
    return _version(project, findings_of(first).chosen_with) if first else None


def _version(project: Project, number: int | None) -> ModelVersion | None:
    if number is None:
        return None
    return ModelVersion.objects.select_related("project").filter(project=project, number=number, state=ModelState.READY).first()


def _tell_done(round_: Round, result: str) -> None:
    """Tell people and programs that a round is done, in the transaction that ends it."""
    notify_managers(round_, NotificationKind.ROUND, f"Round {round_.number} of {round_.project} is done. {result}.")
    tell_webhooks(round_, RoundState.PUBLISHED)


def _select(hold: Hold, plan: RoundPlan, recipe: Recipe, scorers: selection.Scorers) -> None:
    """Choose, keep what was chosen from, and write down why."""
    selected = selection.select(hold.round, recipe, scorers, seed=plan.seed, progress=hold.advance)
    with transaction.atomic():
        hold.update(
            findings=replace(findings_of(hold.round), mix=selected.mix, short=selected.short).as_dict(),
            candidates_file=selected.file,
            candidates_sha256=selected.sha256,
        )
        Selection.objects.filter(round=hold.round).delete()  # of an attempt that was lost before its stage was noted
        Selection.objects.bulk_create(selected.rows, batch_size=1000)
    if selected.states:
        hold.log(selected.states)
    hold.log(f"Chose {len(selected.rows):,} of {selected.n_candidates:,} candidates. {selected.short}".strip())


def _publish(hold: Hold) -> None:
    """Open the batch and end the round, in one transaction."""
    with transaction.atomic():
        hold.update(state=RoundState.SELECTING)  # takes the row lock: a second worker waits here, then finds its token gone
        batch, left_out = open_batch(hold.round)
        hold.update(state=RoundState.PUBLISHED, batch=batch, finished_at=Now(), progress={})
        _tell_done(hold.round, f"It published {batch}")
    if left_out:
        hold.log(f"Left out {counted(left_out, 'solution')}: withdrawn, queued or corrected after the choice.")
