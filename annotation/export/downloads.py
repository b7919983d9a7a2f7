"""Stage: export, downloads. Writes the file of a download under STEPMARK_HOME/exports, and keeps this folder within a limit.

The snapshots stay whatever becomes of the files: list of annotations, number and hash.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from annotation.export.datasets import export_prm800k
from annotation.models import Project, Snapshot

KEPT_FILES, KEPT_BYTES = 20, 5_000_000_000  # of one project
_MOMENT = r"\d{8}T\d{12}"


def write_download(project: Project, *, newcomers: bool = True) -> tuple[Path, Snapshot]:
    """Take a snapshot and write it as PRM800K records; return the file and the snapshot. Then the oldest files above the limit are deleted.

    Without `newcomers` the screening answers of people who are not admitted are left out. Raises as `export_prm800k`, and OSError; then no
    snapshot was taken.
    """
    folder = Path(settings.STEPMARK_HOME) / "exports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{project.slug}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl"
    snapshot = export_prm800k(project, path, newcomers=newcomers)
    _delete_oldest(project, folder, newest=path)
    return path, snapshot


def _delete_oldest(project: Project, folder: Path, *, newest: Path) -> None:
    """Delete the oldest downloads of a project above the limit. Other files of the folder stay: a person put them there.

    A download that a browser still receives goes on: Linux keeps a deleted file until it is closed.
    """
    name = re.compile(rf"{re.escape(project.slug)}-{_MOMENT}\.jsonl")
    kept_bytes = 0
    for place, path in enumerate(sorted((path for path in folder.iterdir() if name.fullmatch(path.name)), reverse=True)):
        with suppress(FileNotFoundError):  # another request deleted it
            kept_bytes += path.stat().st_size
            if path != newest and (place >= KEPT_FILES or kept_bytes > KEPT_BYTES):
                path.unlink()
