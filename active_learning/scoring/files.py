"""Scores of old versions as files: written, checked and restored. The partition is dropped in the transaction that notes the file."""

import gzip
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Count

from active_learning.models import ModelVersion, ProblemMean, ScoreShard, ShardState
from active_learning.scoring.partitions import COLUMNS, attach_indexed, compare, freeze, index, is_attached, partition, table_of
from annotation.corrections import hold_outcomes
from annotation.models import Project
from trainer.files import is_disk_full, rename_file, sync

log = logging.getLogger(__name__)

LOCK_TIMEOUT, LOCK_TRIES = "200ms", 50  # the longest that readers wait while a partition is dropped, and how often dropping is tried
LEFT_BEHIND = 3600  # seconds after which an incomplete file is taken for one of a killed process


class ScoresRefused(ValueError):
    """Scores that cannot be dropped or restored; the message says why and what to do."""


class ScoreFileDamaged(ScoresRefused):
    """The file of a version's scores is missing or damaged."""


@dataclass(frozen=True, slots=True)
class StoredScores:
    """Where the scores of a version are. place: "database", "file" or, while scoring is not finished, "unfinished"."""

    version: ModelVersion
    place: str
    n_scores: int | None  # None for a file: it would have to be read
    n_bytes: int


def stored(project: Project) -> list[StoredScores]:
    """Return where the scores of each version of a project are, newest first; versions without scores are left out."""
    listed = []
    for version in ModelVersion.objects.filter(project=project).select_related("project").order_by("-number"):
        if version.scores_file:
            path = _path(version)
            listed.append(StoredScores(version, "file", None, path.stat().st_size if path.exists() else 0))
        elif table := table_of(version):
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT count(*), pg_total_relation_size({table}) FROM {partition(version)}")
                listed.append(StoredScores(version, "database" if is_attached(version) else "unfinished", *cursor.fetchone()))
    return listed


def drop_old(project: Project, *, keep: set[int]) -> list[int]:
    """Move the scores of old versions to files; return the numbers. Kept are the serving ones, those in `keep`, and the last two scored.

    What cannot be dropped now stays for the next time and is logged: a round must not fail because of it.
    """
    versions = ModelVersion.objects.filter(project=project).select_related("project").order_by("-number")
    dropped = []
    for version in [version for version in versions if is_attached(version)][2:]:
        if version.champion or version.number in keep:
            continue
        try:
            drop_to_file(version, keep=keep)
        except (ScoresRefused, OSError, DatabaseError) as refused:
            log.warning("The scores of model %s of %s stay in the database: %s", version.number, project.slug, refused)
        else:
            dropped.append(version.number)
    return dropped


def drop_to_file(version: ModelVersion, *, keep: Iterable[int] = ()) -> Path:
    """Write a version's scores to a file, sorted by solution, and drop its partition; returns the file. Raises ScoresRefused.

    The file is complete and on the disk before the transaction that drops. If the process is killed, the scores are in one place or both.
    Readers of other partitions wait LOCK_TIMEOUT at most.
    """
    _check_droppable(version, keep)
    file, shards = f"scores/{version.project.slug}/{version.number}.csv.gz", _shard_counts(version)
    path = Path(settings.STEPMARK_HOME, file)
    draft, sha256 = _written(version, path)
    try:
        for _ in range(LOCK_TRIES):
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    held = ModelVersion.objects.select_for_update().get(pk=version.pk)
                    _check_droppable(held, keep)
                    if _shard_counts(version) != shards:
                        raise ScoresRefused(f"Model {version.number} scored more solutions while its scores were written. Try again.")
                    ProblemMean.objects.filter(model_version=version).delete()  # before the lock: of a million problems it takes a second
                    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    cursor.execute(f"DROP TABLE {partition(version)}")
                    ScoreShard.objects.filter(model_version=version).delete()
                    ModelVersion.objects.filter(pk=version.pk).update(scores_file=file, scores_sha256=sha256)
                    rename_file(draft, path)
                version.scores_file, version.scores_sha256 = file, sha256
                return path
            except OperationalError as error:
                if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                    raise
                time.sleep(0.1)  # let waiting readers go first
    finally:
        draft.unlink(missing_ok=True)
    raise ScoresRefused(
        f"The scores of model {version.number} stay in the database, because other processes kept reading scores. Try again later."
    )


def restore(version: ModelVersion) -> int:
    """Load a version's scores from their file into a partition and delete the file; return how many. Raises ScoresRefused."""
    if not version.scores_file:
        raise ScoresRefused(f"The scores of model {version.number} are not in a file, so there is nothing to restore.")
    path, table = _path(version), partition(version)
    remedy = f"Restore {version.scores_file} from a backup, or start a round that chooses with this model: it scores again."
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ScoreFileDamaged(f"The scores of model {version.number} cannot be read: {error.strerror}. {remedy}") from error
    if sha256 != version.scores_sha256:
        raise ScoreFileDamaged(f"The scores of model {version.number} are damaged: the SHA-256 of their file is wrong. {remedy}")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('restore scores'), %s)", [version.pk])
        if not cursor.fetchone()[0]:
            raise ScoresRefused(f"Another process is restoring the scores of model {version.number} already.")
        held = ModelVersion.objects.get(pk=version.pk)
        if held.scores_sha256 != sha256:
            raise ScoresRefused(f"Another process restored or dropped the scores of model {version.number} meanwhile.")
        cursor.execute(f"CREATE TABLE {table} (LIKE active_learning_score)")
        with gzip.open(path, "rb") as rows:
            columns = rows.readline().decode().strip()  # older files may have fewer
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy:
                while piece := rows.read(1 << 20):
                    copy.write(piece)
        cursor.execute(f"SELECT count(*) FROM {table}")
        [n_scores] = cursor.fetchone()
        # Outcomes can have been corrected since the file was written.
        hold_outcomes(version.project_id)
        cursor.execute(
            f"UPDATE {table} s SET outcome = x.outcome FROM annotation_solution x WHERE x.id = s.solution_id AND x.outcome <> s.outcome"
        )
        index(cursor, table, version=version)
        compare(version)
        attach_indexed(cursor, table, version=version)
        ModelVersion.objects.filter(pk=version.pk).update(scores_file="", scores_sha256="")
        transaction.on_commit(lambda: path.unlink(missing_ok=True))
    version.scores_file = version.scores_sha256 = ""
    freeze(table)
    return n_scores


def _check_droppable(version: ModelVersion, keep: Iterable[int]) -> None:
    if version.champion:
        raise ScoresRefused(f"Model {version.number} serves, so its scores stay in the database.")
    if version.number in keep:
        raise ScoresRefused(f"A round still needs model {version.number}, so its scores stay in the database.")
    if version.scores_file:
        raise ScoresRefused(f"The scores of model {version.number} are in {version.scores_file} already.")
    if not is_attached(version) or _shard_counts(version).keys() - {ShardState.DONE}:
        raise ScoresRefused(f"Model {version.number} has not scored all solutions of its project, so its scores cannot be dropped yet.")


def _shard_counts(version: ModelVersion) -> dict[str, int]:
    return dict(ScoreShard.objects.filter(model_version=version).order_by().values_list("state").annotate(n=Count("pk")))


def _path(version: ModelVersion) -> Path:
    return Path(settings.STEPMARK_HOME, version.scores_file)


def _written(version: ModelVersion, path: Path) -> tuple[Path, str]:
    """Write a version's scores next to `path`, synced to disk; return the draft and its SHA-256. Equal scores give equal bytes."""
    draft: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(".*.csv.gz"):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                left.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".csv.gz", dir=path.parent)
        draft = Path(name)
        with os.fdopen(descriptor, "wb") as raw, gzip.GzipFile("", "wb", 4, raw, mtime=0) as packed, connection.cursor() as cursor:
            rows = f"SELECT {COLUMNS} FROM {partition(version)} ORDER BY solution_id"
            with cursor.copy(f"COPY ({rows}) TO STDOUT (FORMAT csv, HEADER)") as copy:
                for piece in copy:
                    packed.write(piece)
        sync(draft)  # before the transaction that renames it, so that nobody waits for the disk
        with draft.open("rb") as file:
            return draft, hashlib.file_digest(file, "sha256").hexdigest()
    except BaseException as error:
        if draft:
            draft.unlink(missing_ok=True)
        if is_disk_full(error):
            raise ScoresRefused(
                f"The disk is full: the scores of model {version.number} could not be written to a file and stay in the database. "
                "Free some space and try again."
            ) from error
        raise
