"""Progress bars and errors of the commands: one bar per stage, and each error as one sentence with exit code 2."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from tqdm import tqdm

from annotation.corrections import CorrectionRefused
from annotation.export import OutputRefused
from annotation.ingest import BadFile, BadProject
from annotation.people import NoSuchAccount
from trainer.answers import GraderUnavailable

_BYTES = "reading"  # the only stage that counts bytes


class ProgressBar:
    """Draw `progress(stage, done, total)` on stderr, one bar per stage. Draws nothing if stderr is not a terminal."""

    def __init__(self) -> None:
        self.stage = ""
        self.bar = tqdm(disable=True)

    def __call__(self, stage: str, done: int, total: int | None, seconds_left: float | None = None, loss: float | None = None) -> None:
        if stage != self.stage:
            self.close()
            counts_bytes = stage == _BYTES and total is not None
            self.stage = stage
            self.bar = tqdm(desc=stage, total=total, unit="B" if counts_bytes else "", unit_scale=counts_bytes, disable=None, leave=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        self.bar.close()


@contextmanager
def drawn_progress() -> Iterator[ProgressBar]:
    """Give a progress bar. Turn errors of the stages, and Ctrl-C, into one sentence and an exit code."""
    bar = ProgressBar()
    try:
        yield bar
    except (BadFile, BadProject, CorrectionRefused, GraderUnavailable, NoSuchAccount, OutputRefused) as bad:
        bar.close()
        raise CommandError(str(bad), returncode=2) from None
    except KeyboardInterrupt:
        bar.close()
        raise CommandError("Stopped. Nothing was changed.", returncode=130) from None
    finally:
        bar.close()
