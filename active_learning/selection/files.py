"""Candidates as files: what a round or an experiment chose from, so that it can be chosen from again."""

import hashlib
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from active_learning.selection.candidates import ADDED, MATRICES, Candidates
from trainer.files import write_file


def write_candidates(path: Path, candidates: Candidates) -> str:
    """Write all arrays to one .npz file, whole or not at all, and return its SHA-256. Equal candidates give equal bytes."""
    content = BytesIO()
    np.savez_compressed(content, **{field.name: getattr(candidates, field.name) for field in fields(candidates)})
    with write_file(path, overwrite=True) as file:
        file.write(content.getbuffer())
    return hashlib.sha256(content.getbuffer()).hexdigest()


def read_candidates(path: Path) -> Candidates:
    """Read what `write_candidates` wrote. Raises ValueError if the file is damaged or holds something else.

    What the files of older rounds lack (ADDED) is not known of their candidates.
    """
    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as arrays:
            later = {*MATRICES, *ADDED}
            known = {field.name: arrays[field.name] for field in fields(Candidates) if field.name in arrays or field.name not in later}
            return Candidates.of(**known)
    except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is not a file of candidates ({error}). Restore it from a backup.") from error
