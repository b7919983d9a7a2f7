"""Scoring divided among workers. Reads solutions; writes ScoreShard and the version's table.

A shard is a range of solutions. A worker claims it under a token, copies its rows and marks it done in one transaction. So each solution
is scored exactly once, whichever worker dies.
"""

import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from celery import current_app
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Exists, F, Max, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning.models import (
    UNFINISHED,
    WORKER_SILENT,
    ModelState,
    ModelVersion,
    Round,
    Score,
    ScoreShard,
    ShardState,
    Worker,
)
from active_learning.registry import Fence, ProgressCallback, load, readable_solutions
from active_learning.scoring.figures import score_rows
from active_learning.scoring.files import ScoreFileDamaged, ScoresRefused, restore
from active_learning.scoring.partitions import COLUMNS, ScoringFailed, attach, compare, is_attached, partition, table_of
from annotation import holders
from annotation.corrections import hold_outcomes
from annotation.holders import ATTEMPTS, STALE
from annotation.models import Solution
from trainer.files import is_disk_full

if TYPE_CHECKING:
    from trainer.score import RewardModel

log = logging.getLogger(__name__)

SHARD = 4096  # solutions of a shard: the most that a killed worker loses
BEAT_SECONDS, POLL_SECONDS, CALL_SECONDS = 10, 2, 60

# One statement claims one shard: the first that waits or whose worker is silent. Another worker that claims meanwhile skips the locked row.
CLAIM = """
WITH next AS MATERIALIZED (
    SELECT id FROM active_learning_scoreshard
     WHERE model_version_id = %(version)s AND attempt < %(attempts)s
       AND (state = 'open' OR state = 'running' AND heartbeat_at < now() - %(stale)s)
     ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE active_learning_scoreshard
   SET state = 'running', attempt = attempt + 1, token = token + 1, worker = %(worker)s, holder = %(holder)s,
       heartbeat_at = now(), failure = ''
 WHERE id = (SELECT id FROM next) RETURNING *
"""
# The ranges of ids: one pass over the unscored ids, however many, and only the borders leave the database.
BORDERS = """
SELECT min(id), max(id), count(*)
  FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / %s AS shard FROM ({left}) readable (id)) numbered
 GROUP BY shard ORDER BY shard
"""


class ShardLost(Exception):
    """Another worker holds this shard now: stop, and write nothing."""


# --- scoring a project --------------------------------------------------------------------------------------------------------


def score(version: ModelVersion, *, progress: ProgressCallback, fence: Fence) -> None:
    """Score every readable solution into the version's partition, together with all other workers.

    Shards of an earlier run come first, then the solutions loaded since. Readers neither wait nor see an unfinished first scoring. Scores
    that were dropped to a file are restored. Raises ScoringFailed, and ModelUnusable if the model's folder is gone.
    """
    if version.state != ModelState.READY:
        raise ScoringFailed(f"Model {version.number} is {version.state}. Only a ready model can score.")
    if version.scores_file:
        _restore(version)
    _unfinished(version).filter(_claimable(), attempt__gte=ATTEMPTS).update(attempt=0)  # an earlier run gave up on these: try them again
    _finish(version, progress=progress, fence=fence)
    _cut(version, fence=fence)
    _finish(version, progress=progress, fence=fence)
    if not is_attached(version):
        raise ScoringFailed(f"The scores of model {version.number} were dropped while it scored. Start a new round.")
    compare(version, fence=fence)  # always: the worker that should have done it after the last shard may have been killed


def help_score(version: ModelVersion, *, progress: Callable[[int], None] = lambda done: None) -> int:
    """Score shards of a version that a round waits for, until none is left or no round waits. Return how many.

    `progress` gets the number of solutions read of a shard, and may raise to stop.
    """
    n_done, model = 0, None
    waits = Round.objects.filter(project=version.project_id, state__in=UNFINISHED)
    while _unfinished(version).filter(_claimable()).exists() and waits.exists():
        model = model or load(version)  # before claiming: a machine without the folder must not use up an attempt
        if not (shard := claim(version)):
            break
        with suppress(ShardLost):
            run_shard(shard, version=version, model=model, progress=progress)
            n_done += 1
    return n_done


def run_shard(
    shard: ScoreShard, *, version: ModelVersion, model: "RewardModel", progress: Callable[[int], None] = lambda done: None
) -> None:
    """Score the solutions of a claimed shard and write them, exactly once.

    `progress` gets the number of solutions read, and may raise to stop.
    Raises ShardLost once another worker has the token. On any other error the shard is released, with the reason. A stop of the process
    is no error, and counts as no attempt.
    """
    beaten_at = time.monotonic()

    def beat(done: int) -> None:
        nonlocal beaten_at
        if time.monotonic() - beaten_at >= BEAT_SECONDS:
            if not _held(shard).update(heartbeat_at=Now()):
                raise ShardLost
            beaten_at = time.monotonic()
        progress(done)

    try:
        _write(shard, list(score_rows(version, _rows(version, shard), model=model, beat=beat)), table=partition(version))
    except ShardLost:
        log.warning("Another worker has shard %s of model %s now. This worker writes nothing of it.", shard.number, version.number)
        raise
    except BaseException as error:
        is_stop = not isinstance(error, Exception)
        if is_stop and not connection.in_atomic_block:
            connection.close()  # the stop may have come in the middle of a statement
        why = "Its worker was stopped." if is_stop else f"{type(error).__name__}: {error}"[:1000]
        with suppress(DatabaseError):  # without a connection the shard counts as lost after three minutes
            _held(shard).update(state=ShardState.OPEN, heartbeat_at=None, failure=why, attempt=F("attempt") - int(is_stop))
        raise


def _restore(version: ModelVersion) -> None:
    """Restore the scores of a version that serves again. Score again if they cannot be read."""
    try:
        restore(version)
    except ScoreFileDamaged as damaged:
        log.warning("%s The model scores again now.", damaged)
        ModelVersion.objects.filter(pk=version.pk).update(scores_file="", scores_sha256="")
        version.scores_file = version.scores_sha256 = ""
    except ScoresRefused as refused:
        raise ScoringFailed(str(refused)) from refused


# --- shards -------------------------------------------------------------------------------------------------------------------


def _cut(version: ModelVersion, *, fence: Fence) -> None:
    """Divide the solutions without a score into shards, and create the table of a first scoring."""
    table, is_whole = partition(version), is_attached(version)
    scored = Score.objects.filter(model_version=version, solution=OuterRef("pk"))
    newest = _newest(version)
    left, values = readable_solutions(version.project).filter(~Exists(scored)).values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(BORDERS.format(left=left), [SHARD, *values])
        borders = cursor.fetchall()
    if is_whole and not borders:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        fence()
        ModelVersion.objects.select_for_update(no_key=True).get(pk=version.pk)  # no other process divides or drops at the same time
        if _newest(version) != newest:
            return
        if not is_whole:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")  # without a shard, nothing in it counts
            cursor.execute(f"CREATE TABLE {table} (LIKE active_learning_score)")
        ScoreShard.objects.bulk_create(
            ScoreShard(model_version=version, number=number, first_solution=first, last_solution=last, n_solutions=count)
            for number, (first, last, count) in enumerate(borders, start=newest + 1)
        )


def _finish(version: ModelVersion, *, progress: ProgressCallback, fence: Fence) -> None:
    """Score the open shards, wait for those of other workers, and attach the table when all are done."""
    if _unfinished(version).exists():
        _work(version, model=load(version), count=_Count(version, progress))
    if table_of(version) and not is_attached(version):
        attach(version, fence=fence)


def _work(version: ModelVersion, *, model: "RewardModel", count: "_Count") -> None:
    called_at, waiting = -float(CALL_SECONDS), _unfinished(version)
    while waiting.exists():
        if time.monotonic() - called_at >= CALL_SECONDS:  # a machine that joins later gets the next call
            _call_workers(version, at_most=waiting.filter(_claimable()).count() - 1)
            called_at = time.monotonic()
        if shard := claim(version):
            with suppress(ShardLost):
                run_shard(shard, version=version, model=model, progress=count)
            count.read()
        elif given_up := waiting.filter(_claimable(), attempt__gte=ATTEMPTS).order_by("number").first():
            raise ScoringFailed(
                f"Shard {given_up.number} of model {version.number} (solutions {given_up.first_solution} to {given_up.last_solution}) was "
                f"lost {ATTEMPTS} times, last by {given_up.worker}: {given_up.failure or 'its worker stopped answering'}. "
                "See the log of that worker. Then start a new round: finished shards are kept."
            )
        else:
            time.sleep(POLL_SECONDS)
        count(0)


class _Count:
    """How far all workers together are: the finished shards, and what this worker has done of its own."""

    def __init__(self, version: ModelVersion, progress: ProgressCallback) -> None:
        first = _unfinished(version).aggregate(first=Min("number"))["first"] if is_attached(version) else 0
        self.shards, self.progress = ScoreShard.objects.filter(model_version=version, number__gte=first), progress
        self.read()
        self.began_at, self.began_with = time.monotonic(), self.done

    def read(self) -> None:
        counts = self.shards.aggregate(total=Sum("n_solutions"), done=Sum("n_solutions", filter=Q(state=ShardState.DONE), default=0))
        self.total, self.done, self.read_at = counts["total"], counts["done"], time.monotonic()

    def __call__(self, mine: int) -> None:
        if time.monotonic() - self.read_at >= POLL_SECONDS:
            self.read()
        done = min(self.total, self.done + mine)
        rate = (done - self.began_with) / max(time.monotonic() - self.began_at, 1e-3)
        self.progress("scoring", done, self.total, (self.total - done) / rate if rate else None)


def _newest(version: ModelVersion) -> int:
    return ScoreShard.objects.filter(model_version=version).aggregate(newest=Max("number", default=0))["newest"]


def _unfinished(version: ModelVersion) -> QuerySet[ScoreShard]:
    return ScoreShard.objects.filter(model_version=version).exclude(state=ShardState.DONE)


def _claimable() -> Q:
    return Q(state=ShardState.OPEN) | Q(state=ShardState.RUNNING, heartbeat_at__lt=Now() - STALE)


def _held(shard: ScoreShard) -> QuerySet[ScoreShard]:
    return ScoreShard.objects.filter(pk=shard.pk, token=shard.token, state=ShardState.RUNNING)


def claim(version: ModelVersion) -> ScoreShard | None:
    """Claim the next shard of a version for this process, under a new token. Return None if none waits."""
    worker = f"{platform.node()}, process {os.getpid()}"[-200:]
    claimed = ScoreShard.objects.raw(
        CLAIM, {"version": version.pk, "attempts": ATTEMPTS, "stale": STALE, "worker": worker, "holder": holders.own_name()}
    )
    return next(iter(claimed), None)


def release_abandoned() -> int:
    """Open the shards of processes of this machine that have ended. Return how many. The attempt counts."""
    held = ScoreShard.objects.filter(state=ShardState.RUNNING, holder__startswith=holders.machine()).exclude(holder="")
    abandoned = [shard for shard in held if holders.has_ended(shard.holder)]
    return sum(_held(shard).update(state=ShardState.OPEN, heartbeat_at=None, failure="Its process has ended.") for shard in abandoned)


def _call_workers(version: ModelVersion, *, at_most: int) -> None:
    """Call workers of the gpu queue. A call that no worker takes expires before the next one; a surplus call finds nothing to do."""
    alive = Worker.objects.filter(heartbeat_at__gt=Now() - WORKER_SILENT, queues__contains="gpu").count()
    try:
        for _ in range(min(at_most, alive)):
            current_app.send_task(
                "active_learning.tasks.score_shards", [version.pk], queue="gpu", ignore_result=True, expires=CALL_SECONDS - 5
            )
    except (BrokerUnreachable, OSError) as error:
        log.warning("No other worker could be called to score (%s). This one goes on alone.", error)


def _rows(version: ModelVersion, shard: ScoreShard) -> list[tuple[int, int, str, str, list[str]]]:
    scored = Score.objects.filter(model_version=version, solution=OuterRef("pk"))
    rows = readable_solutions(version.project, pk__range=(shard.first_solution, shard.last_solution)).filter(~Exists(scored))
    return list(rows.order_by("pk").values_list("pk", "problem_id", "outcome", "problem__statement", "steps"))


def _with_present_outcomes(scored: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Replace the outcomes that were corrected while the model read. They do not change until the end of the transaction."""
    place, key = (COLUMNS.split(", ").index(name) for name in ("outcome", "solution_id"))
    ids = [row[key] for row in scored]
    project = Solution.objects.filter(pk__in=ids[:1]).values_list("problem__project", flat=True).first()
    if project is None:
        return list(scored)
    hold_outcomes(project)
    outcomes = dict(Solution.objects.filter(pk__in=ids).values_list("pk", "outcome"))
    return [(*row[:place], outcomes.get(row[key], row[place]), *row[place + 1 :]) for row in scored]


def _write(shard: ScoreShard, scored: Sequence[tuple[Any, ...]], *, table: str) -> None:
    """Copy a shard's rows and mark it done in one transaction, under its token: both or neither, and only once."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            if not _held(shard).update(state=ShardState.DONE, finished_at=Now(), heartbeat_at=Now()):
                raise ShardLost
            scored = _with_present_outcomes(scored)
            with cursor.copy(f"COPY {table} ({COLUMNS}) FROM STDIN") as copy:
                for row in scored:
                    copy.write_row(row)
    except OperationalError as error:
        if is_disk_full(error):
            raise ScoringFailed(
                "The disk of the database is full, so the scores could not be written. Free some space (`manage.py scores --drop` moves an "
                "old model's scores to a file). Then start a new round: finished shards are kept."
            ) from error
        raise
