"""The files of the pages (styles, scripts, fonts) for production: compressed, under names with a hash, in STEPMARK_HOME/static."""

import fcntl
import hashlib
from importlib.metadata import version
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

STAMP = ".collected"
UNUSED = ("rest_framework",)  # pages that the site does not have


def collect() -> bool:
    """Collect the files unless they are as they were collected. Return whether that was necessary. Takes a second or two. Raises OSError.

    Files of earlier versions stay, because a page that is open in a browser can still ask for them.
    """
    folder, now = Path(settings.STATIC_ROOT), _digest()
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / STAMP
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two web processes of one home can start at the same moment
        if stamp.is_file() and stamp.read_text() == now:
            return False
        stamp.unlink(missing_ok=True)
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=list(UNUSED))
        draft = stamp.with_name(f"{STAMP}.draft")
        draft.write_text(now)
        draft.rename(stamp)
    return True


def _digest() -> str:
    """Return a hash of everything that the collected files depend on."""
    digest = hashlib.sha256(f"{version('django')} {version('whitenoise')} {settings.STATIC_URL}".encode())
    for finder in get_finders():
        for path, storage in finder.list(list(UNUSED)):
            with storage.open(path) as file:
                digest.update(f"{path}\0".encode() + hashlib.sha256(file.read()).digest())
    return digest.hexdigest()
