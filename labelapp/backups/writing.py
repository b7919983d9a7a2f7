"""Make a backup while people work: one snapshot of the database, and the files that its rows name."""

import logging
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, connection
from psycopg.rows import tuple_row

from annotation import audit
from annotation.models import Event
from labelapp.backups import programs
from labelapp.backups.archive import DUMP, PIECE, Archive, BackupRefused, Manifest, Progress
from trainer import __version__
from trainer.files import is_disk_full, write_file

log = logging.getLogger(__name__)

# What the rows name: folders of models, files of scores, of candidates, of exports, contents of snapshots. The hash where a row has it.
_NAMED = """
SELECT artifact, 'model', '' FROM active_learning_modelversion WHERE artifact <> ''
UNION SELECT scores_file, 'scores', '' FROM active_learning_modelversion WHERE scores_file <> ''
UNION SELECT candidates_file, 'candidates', '' FROM active_learning_round WHERE candidates_file <> ''
UNION SELECT file, 'export', '' FROM annotation_snapshot WHERE file LIKE 'exports/%'
UNION SELECT name, 'export', '' FROM annotation_snapshotfile WHERE name LIKE 'exports/%'
UNION SELECT content, 'content', content_sha256 FROM annotation_snapshot WHERE content <> ''
ORDER BY 1
"""
_WHOLE = ("samples", "experiments")  # no row names their files
_SESSIONS = "annotation_browsersession"


@dataclass(frozen=True)
class BackedUp:
    """What a backup holds. `missing`: files that rows name and that are not there, or damaged; not exports, of which old ones go."""

    size: int
    n_files: int
    n_annotations: int
    missing: list[str]


def back_up(path: Path, *, overwrite: bool = False, progress: Progress) -> BackedUp:
    """Write a backup. The file appears when it is complete, and an event notes it; an error leaves nothing.

    Raises BackupRefused, and OutputRefused if the file exists or cannot be written.
    """
    home = Path(settings.STEPMARK_HOME)
    try:
        with write_file(path, overwrite=overwrite) as file, _snapshot() as (reader, snapshot):
            archive = Archive(file)
            named = reader.execute(_NAMED).fetchall()
            ((n_annotations,),) = reader.execute("SELECT count(*) FROM annotation_annotation").fetchall()
            migrations = reader.execute("SELECT app, name FROM django_migrations ORDER BY app, name").fetchall()
            manifest = Manifest(
                made_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                stepmark=__version__,
                server_version=reader.info.server_version,
                migrations=[list(row) for row in migrations],
            )
            _dump(archive, snapshot, progress)
            _copy(archive, home, named, manifest.missing, progress)
            archive.close(manifest)
            size = file.tell()
    except OSError as error:
        if not is_disk_full(error):
            place = error.filename or path
            raise BackupRefused(f"{place} cannot be read or written ({error.strerror}). No backup was written.") from error
        raise BackupRefused(
            f"The disk of {path} is full. No backup was written. Free some space, or name a file on another disk."
        ) from error
    made = BackedUp(size, len(archive.files) - 2, n_annotations, manifest.missing)
    try:
        Event.objects.create(verb=audit.BACKED_UP, details={"bytes": made.size, "files": made.n_files, "labels": made.n_annotations})
    except DatabaseError as error:  # such as a server that only reads: the backup is complete all the same
        log.warning("The backup %s is complete, but no event could be stored (%s).", path, type(error).__name__)
    return made


@contextmanager
def _snapshot() -> Iterator[tuple["psycopg.Connection[Any]", str]]:
    """Give a connection that sees one moment of the database, and the name under which others see the same."""
    parameters = {**connection.get_connection_params(), "row_factory": tuple_row, "autocommit": True}
    with psycopg.connect(**parameters) as reader:
        reader.execute("SET idle_in_transaction_session_timeout = 0")  # it waits while pg_dump works
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = reader.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        yield reader, row[0]


def _dump(archive: Archive, snapshot: str, progress: Progress) -> None:
    command = [*programs.command("pg_dump"), "--format=custom", f"--snapshot={snapshot}", "--no-owner", "--no-privileges"]
    command.append(f"--exclude-table-data=*.{_SESSIONS}")
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=programs.environment())
        assert process.stdout is not None
        try:
            size = 0
            with archive.member(DUMP) as append:
                while piece := process.stdout.read(PIECE):
                    append(piece)
                    size += len(piece)
                    progress("database, MB", size // 1_000_000, None)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            status = process.wait()
        if status:
            errors.seek(0)
            raise BackupRefused(f"pg_dump failed: {errors.read().decode(errors='replace').strip()[-1000:]}\nNo backup was written.")


def _copy(archive: Archive, home: Path, named: list[tuple[str, str, str]], missing: list[str], progress: Progress) -> None:
    paths: dict[str, bool] = {}  # whether it is missed when it is not there
    hashes = {name: sha256 for name, _, sha256 in named if sha256}
    for name, kind, _ in named:
        inside = _files(home, home / name) if kind == "model" else [name]
        if kind == "model" and not inside:
            missing.append(name)
        paths |= dict.fromkeys(inside, kind != "export")
    for folder in _WHOLE:
        paths |= dict.fromkeys(_files(home, home / folder), False)
    for n_done, (name, is_missed) in enumerate(paths.items(), start=1):
        try:
            archive.copy(name, home / name)
        except FileNotFoundError:
            if is_missed:
                missing.append(name)
        else:
            if archive.files[name]["sha256"] != hashes.get(name, archive.files[name]["sha256"]):
                missing.append(f"{name} (there, but damaged: its sha256 is not that of its snapshot)")
        progress("files", n_done, len(paths))


def _files(home: Path, folder: Path) -> list[str]:
    """Return the files under a folder by their names in the home, without drafts."""
    names = (path.relative_to(home) for path in folder.rglob("*") if path.is_file() and path.suffix != ".part")
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))
