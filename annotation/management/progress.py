"""Progress and errors of the commands: a bar or lines on standard error, and each error as one sentence with exit code 2."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from trainer.display import shown_progress


def _is_refusal(error: Exception) -> bool:
    """Tell whether an error says what is wrong with what was asked for. Only a command with an error loads all stages."""
    from annotation import corrections, export, ingest, people
    from trainer import answers, writers

    refusals = (
        answers.GraderUnavailable, corrections.CorrectionRefused, export.BadFilter, export.BadFolder, export.BadSplitRule,
        export.ContentDamaged, export.ContentMissing, export.EmptySnapshot, export.NoSuchSnapshot, export.NotComparable,
        export.OutputRefused, export.PushFailed, ingest.BadFile, ingest.BadProject, people.NoSuchAccount,
        writers.BadContent, writers.BadOption,
    )  # fmt: skip
    return isinstance(error, refusals)


@contextmanager
def drawn_progress(*, when_stopped: str = "Nothing was changed.") -> Iterator[Callable[..., None]]:
    """Give `progress(stage, done, total)`, which shows it. Turn errors of the stages, and Ctrl-C, into one sentence and an exit code.

    when_stopped: what Ctrl-C leaves behind, as a sentence. The default is true for a command that is one transaction.
    """
    try:
        with shown_progress() as display:
            yield display.show
    except KeyboardInterrupt:
        raise CommandError(f"Stopped. {when_stopped}", returncode=130) from None
    except Exception as error:
        if _is_refusal(error):
            raise CommandError(str(error), returncode=2) from None
        raise
