"""Imports: the file that a browser sends is written to its place, and its import begins with a check."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from annotation.imports.states import ImportRefused, Options, notify_worker
from annotation.models import Event, Import, Project
from trainer.counting import counted
from trainer.files import write_file
from trainer.formats import FILE_MEGABYTES

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MEGABYTES = FILE_MEGABYTES  # the most that a file can have; the command line takes larger ones
FOLDER = "imports"


def receive(project: Project, chunks: Iterable[bytes], *, name: str, actor: "User", options: Options | None = None) -> Import:
    """Store an uploaded file, and let a worker check it. Raises ImportRefused for an empty or too large file, and OSError.

    If the database fails after the file is written, the file is deleted again.
    """
    plain = re.sub(r"[^\w.\- ]", "_", Path(name.replace("\\", "/")).name).strip(". ")[-100:] or "file"
    relative = f"{FOLDER}/{secrets.token_hex(8)}/{plain}"  # the end of the name says whether it is CSV, so it stays
    path = Path(settings.STEPMARK_HOME) / relative
    path.parent.mkdir(parents=True)
    digest, size = hashlib.sha256(), 0
    try:
        with write_file(path, overwrite=False) as file:
            for chunk in chunks:
                size += len(chunk)
                if size > MEGABYTES * 10**6:
                    raise ImportRefused(
                        f"{name} is larger than {MEGABYTES:,} MB. Compress it with gzip, divide it, or load it on the server with "
                        "manage.py load_solutions --megabytes."
                    )
                digest.update(chunk)
                file.write(chunk)
            if not size:
                raise ImportRefused(f"{name} is empty. Choose another file.")
        with transaction.atomic():
            import_ = Import.objects.create(
                project=project,
                name=name.replace("\0", "")[:200],
                path=relative,
                size=size,
                sha256=digest.hexdigest(),
                options=asdict(options or Options()),
                created_by=actor,
            )
            details = {"file": import_.name, "sha256": import_.sha256, "size": counted(size, "byte")}
            Event.objects.create(actor=actor, project=project, verb="upload file", subject=f"import {import_.pk}", details=details)
            transaction.on_commit(lambda: notify_worker(import_.pk))
    except BaseException:
        path.unlink(missing_ok=True)
        path.parent.rmdir()
        raise
    return import_
