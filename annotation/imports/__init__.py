"""Stage: imports. Files that managers upload (uploading.py), and their way through a worker (running.py).

Reads and writes Import and the folder `imports/` under STEPMARK_HOME. The load itself is `ingest`'s.
"""

from annotation.imports.running import run
from annotation.imports.states import (
    AT_WORK,
    SHOWN,
    FileFindings,
    ImportRefused,
    NoSuchImport,
    Options,
    cancel,
    check_again,
    discard,
    find,
    findings_of,
    load,
    of_project,
    offer_abandoned,
    options_of,
    resume,
    sweep,
)
from annotation.imports.uploading import MEGABYTES, receive

__all__ = [
    "AT_WORK",
    "MEGABYTES",
    "FileFindings",
    "ImportRefused",
    "NoSuchImport",
    "Options",
    "SHOWN",
    "cancel",
    "check_again",
    "discard",
    "find",
    "findings_of",
    "load",
    "of_project",
    "offer_abandoned",
    "options_of",
    "receive",
    "resume",
    "run",
    "sweep",
]
