"""Scores of old versions as files: written, checked and brought back; the partition goes in the transaction that knows the file."""

import gzip
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Count

from active_learning.models import ModelVersion, ScoreShard, ShardState
from active_learning.scoring.partitions import COLUMNS, attach_indexed, freeze, index, is_attached, partition, table_of
from annotation.models import Project

log = logging.getLogger(__name__)

LOCK_TIMEOUT, LOCK_TRIES = "200ms", 50  # what readers wait at most behind a partition that is to be dropped, and how often it is tried
LEFT_BEHIND = 3600  # seconds after which a half-written file is taken for that of a killed process


class ScoresRefused(ValueError):
    """Scores that cannot be dropped or brought back; the message says why and what to do."""


class ScoreFileDamaged(ScoresRefused):
    """The file of a version's scores is gone, or is not what was written."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the scores of a version lie: `place` is "database", "file" or, while it is being scored, "unfinished"."""

    version: ModelVersion
    place: str
    n_scores: int | None  # None: of a file it is not known without reading it
    n_bytes: int


def kept(project: Project) -> list[Kept]:
    """Return where the scores of each version of a project lie, newest first; versions without scores are left out."""
    found = []
    for version in ModelVersion.objects.filter(project=project).select_related("project").order_by("-number"):
        if version.scores_file:
            path = _path(version)
            found.append(Kept(version, "file", None, path.stat().st_size if path.exists() else 0))
        elif table := table_of(version):
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT count(*), pg_total_relation_size({table}) FROM {partition(version)}")
                found.append(Kept(version, "database" if is_attached(version) else "unfinished", *cursor.fetchone()))
    return found


def drop_old(project: Project, *, keep: set[int]) -> list[int]:
    """Move the scores of old versions to files: all but those in service, the numbers in `keep`, and the last two scored. Returns which.

    What cannot be dropped now is left for the next time, and logged: a round must not fail for it.
    """
    versions = ModelVersion.objects.filter(project=project).select_related("project").order_by("-number")
    dropped = []
    for version in [one for one in versions if is_attached(one)][2:]:
        if version.champion or version.number in keep:
            continue
        try:
            drop_to_file(version, keep=keep)
        except (ScoresRefused, OSError, DatabaseError) as refused:
            log.warning("The scores of model %s of %s stay where they are: %s", version.number, project.slug, refused)
        else:
            dropped.append(version.number)
    return dropped


def drop_to_file(version: ModelVersion, *, keep: Iterable[int] = ()) -> Path:
    """Write a version's scores to a file, sorted by solution, and drop its partition; returns the file. Raises ScoresRefused.

    The file is whole and on the disk before the transaction that drops: killed anywhere, the scores are in one place or both. Readers of
    other partitions wait LOCK_TIMEOUT at most.
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
                    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    cursor.execute(f"DROP TABLE {partition(version)}")
                    ScoreShard.objects.filter(model_version=version).delete()
                    ModelVersion.objects.filter(pk=version.pk).update(scores_file=file, scores_sha256=sha256)
                    draft.rename(path)
                    _fsync(path.parent)
                version.scores_file, version.scores_sha256 = file, sha256
                return path
            except OperationalError as error:
                if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                    raise
                time.sleep(0.1)  # those who waited behind us read first
    finally:
        draft.unlink(missing_ok=True)
    raise ScoresRefused(f"The scores of model {version.number} stay: others were reading scores all the time. Try again later.")


def restore(version: ModelVersion) -> int:
    """Load a version's scores from its file into a partition again, and forget the file; returns how many. Raises ScoresRefused."""
    if not version.scores_file:
        raise ScoresRefused(f"The scores of model {version.number} lie in no file: there is nothing to bring back.")
    path, table = _path(version), partition(version)
    again = f"Bring {version.scores_file} back from a backup, or let a round that chooses with this model score again."
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ScoreFileDamaged(f"The scores of model {version.number} cannot be read: {error.strerror}. {again}") from error
    if sha256 != version.scores_sha256:
        raise ScoreFileDamaged(f"The scores of model {version.number} are damaged: the file's sha256 is not the one written down. {again}")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('restore scores'), %s)", [version.pk])
        if not cursor.fetchone()[0]:
            raise ScoresRefused(f"The scores of model {version.number} are being brought back already.")
        held = ModelVersion.objects.get(pk=version.pk)
        if held.scores_sha256 != sha256:
            raise ScoresRefused(f"The scores of model {version.number} were brought back or dropped again meanwhile.")
        cursor.execute(f"CREATE TABLE {table} (LIKE active_learning_score)")
        with gzip.open(path, "rb") as rows:
            columns = rows.readline().decode().strip()  # older files may have fewer
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy:
                while piece := rows.read(1 << 20):
                    copy.write(piece)
        cursor.execute(f"SELECT count(*) FROM {table}")
        [n_scores] = cursor.fetchone()
        index(cursor, table, version=version)
        attach_indexed(cursor, table, version=version)
        ModelVersion.objects.filter(pk=version.pk).update(scores_file="", scores_sha256="")
        transaction.on_commit(lambda: path.unlink(missing_ok=True))
    version.scores_file = version.scores_sha256 = ""
    freeze(table)
    return n_scores


def _check_droppable(version: ModelVersion, keep: Iterable[int]) -> None:
    if version.champion:
        raise ScoresRefused(f"Model {version.number} is in service: its scores stay in the database.")
    if version.number in keep:
        raise ScoresRefused(f"Model {version.number} is to be kept: its scores stay in the database.")
    if version.scores_file:
        raise ScoresRefused(f"The scores of model {version.number} lie in {version.scores_file} already.")
    if not is_attached(version) or _shard_counts(version).keys() - {ShardState.DONE}:
        raise ScoresRefused(f"Model {version.number} has not scored its project to the end: there is nothing whole to drop.")


def _shard_counts(version: ModelVersion) -> dict[str, int]:
    return dict(ScoreShard.objects.filter(model_version=version).order_by().values_list("state").annotate(n=Count("pk")))


def _path(version: ModelVersion) -> Path:
    return Path(settings.STEPMARK_HOME, version.scores_file)


def _written(version: ModelVersion, path: Path) -> tuple[Path, str]:
    """Write a version's scores beside `path`, down to the disk, and return the draft with its sha256. Equal scores give equal bytes."""
    draft: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(".*.csv.gz"):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                left.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".csv.gz", dir=path.parent)
        draft = Path(name)
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile("", "wb", 4, raw, mtime=0) as packed, connection.cursor() as cursor:
                rows = f"SELECT {COLUMNS} FROM {partition(version)} ORDER BY solution_id"
                with cursor.copy(f"COPY ({rows}) TO STDOUT (FORMAT csv, HEADER)") as copy:
                    for piece in copy:
                        packed.write(piece)
            raw.flush()
            os.fsync(raw.fileno())
        with draft.open("rb") as file:
            return draft, hashlib.file_digest(file, "sha256").hexdigest()
    except BaseException as error:
        if draft:
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
            raise ScoresRefused(
                f"The disk is full: the scores of model {version.number} could not be written to a file and stay in the database. "
                "Free some space and try again."
            ) from error
        raise


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
