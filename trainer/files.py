"""Write a file safely: a reader, also after a power cut, finds the old file or the new one, whole; and nothing is replaced unasked.

Standard library only, so that every part of the project can write its files with these functions.
"""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
from itertools import count
from pathlib import Path


class OutputRefused(ValueError):
    """A file or folder that cannot be written without losing what is there; the message says why and what to do."""


def check_output_file(path: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Raise OutputRefused unless a new file can be written to `path`: call it before the work begins.

    An existing file needs `overwrite`. A file that is also read (`inputs`) is never replaced.
    """
    if path.is_dir():
        raise OutputRefused(f"{path} is a folder. Name a file in it.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputRefused(
            f"{path} cannot be written: {path.parent} is not a folder that you can write to. Name a file in another folder."
        )
    if not path.exists():
        return
    if not path.is_file():
        raise OutputRefused(f"{path} is not an ordinary file. Name another file.")
    if any(source.exists() and path.samefile(source) for source in inputs):
        raise OutputRefused(f"{path} is also an input of this command. Name another file to write to.")
    if not overwrite:
        raise OutputRefused(f"{path} already exists. Name another file, or use --overwrite to replace it.")


@contextmanager
def write_file(path: Path, *, overwrite: bool) -> Iterator[BufferedRandom]:
    """Give a temporary file to fill and read; on success sync it and rename it to `path`. On an error the old file stays.

    A link is followed. Without `overwrite`, a file that appeared under this name meanwhile stays, the new one gets a name next to it, and
    OutputRefused says which.
    """
    check_output_file(path, overwrite=overwrite)
    path = path.resolve()
    draft = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        with draft.open("x+b") as file:
            yield file
        if not overwrite and path.exists():
            kept = free_name(path)
            rename_file(draft, kept)
            raise OutputRefused(f"{path} was written by somebody else meanwhile and was left as it is. The new file is {kept}.")
        rename_file(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def rename_file(draft: Path, path: Path) -> None:
    """Give a finished file its name, replacing the file that has it, so that bytes and name outlive a power cut."""
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Push a file's bytes, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_name(path: Path) -> Path:
    """Return a name next to `path` that nothing has: model-2, model-3 .."""
    return next(other for n in count(2) if not os.path.lexists(other := path.with_name(f"{path.stem}-{n}{path.suffix}")))


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error means "no space left", also of a database (SQLSTATE 53100) and when a library wrapped it in its own class."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or getattr(cause, "sqlstate", None) == "53100":
            return True
        if "No space left on device" in str(cause):
            return True
        cause = cause.__cause__
    return False
