"""Restore a backup into an empty database and an empty home. Everything is checked first; an error leaves both empty."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from labelapp.backups import programs
from labelapp.backups.archive import DUMP, FOLDERS, MANIFEST, BackupRefused, Manifest, Progress, check, members
from trainer.files import is_disk_full, sync

_COUNTED = {
    "project": "annotation_project",
    "account": "auth_user",
    "annotation": "annotation_annotation",
    "model": "active_learning_modelversion",
}


@dataclass(frozen=True)
class Restored:
    """What is there now. `counts`: rows by what they are."""

    made_at: str
    counts: dict[str, int]
    n_files: int
    missing: list[str]


def restore(path: Path, *, progress: Progress) -> Restored:
    """Restore a backup and migrate the database. Raises BackupRefused. Its message says whether anything was changed."""
    if not path.is_file():
        raise BackupRefused(f"There is no file {path}. Nothing was changed. Check the path.")
    home = Path(settings.STEPMARK_HOME)
    _check_empty(home)
    manifest = check(path, progress=progress)
    _check_fits(path, manifest)
    command = [*programs.command("pg_restore"), "--single-transaction", "--no-owner", "--no-privileges"]
    home.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".restore.", dir=home))
    placed: list[Path] = []
    try:
        dump = _unpack(path, draft, manifest, progress)
        # The files first: the database's commit is then the last step, and one that failed finds both empty again.
        for folder in FOLDERS:
            if (draft / folder).is_dir():
                place = home / folder
                if place.is_dir():
                    place.rmdir()  # empty
                (draft / folder).rename(place)
                placed.append(place)
        sync(home)
        progress("database", 0, 1)
        _load(command, dump)
        progress("database", 1, 1)
    except BaseException as error:
        for place in placed:
            shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, OSError) and is_disk_full(error):
            raise BackupRefused(f"The disk of {home} is full. Nothing was changed. Free some space and restore again.") from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    connection.close()  # statements that it prepared knew no tables
    try:
        call_command("migrate", verbosity=0)
    except CommandError as error:
        raise BackupRefused(f"The backup is restored, but its database could not be migrated: {error}") from error
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # a dump has no statistics, and plans without them are bad
        counts = {name: cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for name, table in _COUNTED.items()}
    return Restored(manifest.made_at, counts, len(manifest.files) - 1, manifest.missing)


def _check_empty(home: Path) -> None:
    with connection.cursor() as cursor:
        tables = cursor.execute(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
        ).fetchone()[0]
    if tables:
        raise BackupRefused(
            f"The database {connection.settings_dict['NAME']} is not empty: it has tables. Nothing was changed. Restore into a new one: "
            "set STEPMARK_HOME to a new folder, or DATABASE_URL to an empty database."
        )
    for folder in FOLDERS:
        if (home / folder).exists() and not ((home / folder).is_dir() and not any((home / folder).iterdir())):
            raise BackupRefused(
                f"{home / folder} holds files. Nothing was changed. Set STEPMARK_HOME to a new folder, or move these files away."
            )


def _check_fits(path: Path, manifest: Manifest) -> None:
    """Raise BackupRefused for a backup of a newer Stepmark or a newer PostgreSQL."""
    known = set(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)
    ours = {"annotation", "active_learning"}
    newer = [
        f"{app}.{name}" for app, name in manifest.migrations if app in ours and (app, name) not in known and name.split("_")[0].isdigit()
    ]
    if newer:
        raise BackupRefused(
            f"{path} was made by a newer Stepmark: it has the migration {newer[0]}, which this version does not know. Nothing was changed. "
            "Update Stepmark and restore again."
        )
    server = connection.connection.info.server_version // 10000
    if manifest.server_version // 10000 > server:
        raise BackupRefused(
            f"{path} comes from PostgreSQL {manifest.server_version // 10000}, and this server is {server}. Nothing was changed. "
            "Restore into a server of the same version or a newer one."
        )


def _unpack(path: Path, draft: Path, manifest: Manifest, progress: Progress) -> Path:
    """Write all files of a backup under a folder and sync them; return the dump."""
    for n_done, (name, source) in enumerate(members(path), start=1):
        if name == MANIFEST:
            continue
        place = draft / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as out:
            shutil.copyfileobj(source, out)
        sync(place)
        progress("files", n_done, len(manifest.files))
    for folder in [*(path for path in draft.rglob("*") if path.is_dir()), draft]:
        sync(folder)
    return draft / DUMP


def _load(command: list[str], dump: Path) -> None:
    done = subprocess.run([*command, str(dump)], capture_output=True, text=True, errors="replace", env=programs.environment(), check=False)
    if done.returncode:
        if "No space left on device" in done.stderr:
            raise BackupRefused("The disk of the database is full. Nothing was changed. Free some space and restore again.")
        raise BackupRefused(f"pg_restore failed: {done.stderr.strip()[-1000:]}\nNothing was changed.")
