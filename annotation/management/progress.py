"""Progress and errors of the commands: a bar or lines on standard error, and each error as one sentence with exit code 2."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from annotation.corrections import CorrectionRefused
from annotation.export import (
    BadFilter,
    BadFolder,
    BadSplitRule,
    ContentDamaged,
    ContentMissing,
    EmptySnapshot,
    NoSuchSnapshot,
    NotComparable,
    OutputRefused,
    PushFailed,
)
from annotation.ingest import BadFile, BadProject
from annotation.people import NoSuchAccount
from trainer.answers import GraderUnavailable
from trainer.display import shown_progress
from trainer.writers import BadContent, BadOption

_REFUSALS = (
    BadContent, BadFile, BadFilter, BadFolder, BadOption, BadProject, BadSplitRule,
    ContentDamaged, ContentMissing, CorrectionRefused, EmptySnapshot, GraderUnavailable,
    NoSuchAccount, NoSuchSnapshot, NotComparable, OutputRefused, PushFailed,
)  # fmt: skip


@contextmanager
def drawn_progress(*, when_stopped: str = "Nothing was changed.") -> Iterator[Callable[..., None]]:
    """Give `progress(stage, done, total)`, which shows it. Turn errors of the stages, and Ctrl-C, into one sentence and an exit code.

    when_stopped: what Ctrl-C leaves behind, as a sentence. The default is true for a command that is one transaction.
    """
    try:
        with shown_progress() as display:
            yield display.show
    except _REFUSALS as bad:
        raise CommandError(str(bad), returncode=2) from None
    except KeyboardInterrupt:
        raise CommandError(f"Stopped. {when_stopped}", returncode=130) from None
