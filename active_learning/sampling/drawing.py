"""Stage: generation, what is drawn from and what that costs. Reads a model or an endpoint; keeps the account of a run beside its file,
STEPMARK_HOME/samples/SLUG/NAME.json. torch is imported when a model is made, and not before.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson
from django.db.models import Max

from active_learning.registry import ProgressCallback
from active_learning.sampling.settings import BadGeneration, Settings
from annotation.models import Project, Solution
from trainer.config import BadBase

if TYPE_CHECKING:
    from trainer import generators

BEAT_SECONDS = 1.0


class Ledger:
    """What a run may know besides its file: what it has used, and which solutions there were before it. The run's lock as well.

    One small write of always the same length after every text: a killed run loses the account of the texts under way, and no other.
    """

    LENGTH = 200

    def __init__(self, path: Path, project: Project) -> None:
        self.path, self.project = path, project
        self.tokens = self.requests = self.before = 0

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BadGeneration(f"{self.path} cannot be written ({error.strerror}). Mend that, then go on.") from error
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if kept := os.pread(self.file, 2 * self.LENGTH, 0):
                self.before, self.tokens, self.requests = map(int, orjson.loads(kept).values())
            else:
                newest = Solution.objects.filter(problem__project=self.project).aggregate(newest=Max("pk"))["newest"]
                self.before = newest or 0
                self.save()
        except BaseException as error:
            os.close(self.file)
            if isinstance(error, BlockingIOError):
                raise BadGeneration(f"Another process has the run {self.path.stem}. Wait for it, or give this one another name.") from None
            if isinstance(error, (ValueError, TypeError, AttributeError)):
                raise BadGeneration(f"{self.path} is damaged. Move it away with its .jsonl file, or use another name.") from error
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.file)

    def save(self) -> None:
        content = orjson.dumps({"solutions_before": self.before, "tokens": self.tokens, "requests": self.requests})
        os.pwrite(self.file, content.ljust(self.LENGTH - 1) + b"\n", 0)

    def spend(self, n_tokens: int) -> None:
        self.tokens += n_tokens
        self.requests += 1
        self.save()


class Watched:
    """The generator, made and asked in a thread: while a model loads or a text is slow to come, the caller still says that it lives.

    The thread works only while the caller waits for it, so nothing is touched by both at once.
    """

    def __init__(self, told: Settings, thread: ThreadPoolExecutor, ledger: Ledger, progress: ProgressCallback) -> None:
        self.thread, self.ledger, self.pass_on = thread, ledger, progress
        self.last: tuple[str, int, int | None] = ("loading the generator", 0, None)
        self.has_failed = False  # the generator itself, not what it wrote
        self.generator: generators.Generator = self._awaited(_generator, told)

    @property
    def name(self) -> str:
        return self.generator.name

    def most_tokens(self, prompt: str) -> int:
        return self.generator.most_tokens(prompt)

    def draw(self, draws: "Iterable[generators.Draw]") -> "Iterator[generators.Drawn]":
        from trainer.generators import GeneratorFailed

        texts = self.generator.draw(draws)
        try:
            while (drawn := self._awaited(next, texts, None)) is not None:
                self.ledger.spend(drawn.n_tokens)
                yield drawn
        except GeneratorFailed:
            self.has_failed = True
            raise

    def progress(self, stage: str, done: int, total: int | None, seconds_left: float | None = None, loss: float | None = None) -> None:
        """Pass progress on, and remember it for the next beat."""
        self.last = stage, done, total
        self.pass_on(stage, done, total, seconds_left)

    def _awaited(self, act: Callable[..., Any], *arguments: Any) -> Any:
        future = self.thread.submit(act, *arguments)
        while not wait([future], timeout=BEAT_SECONDS).done:
            self.pass_on(*self.last)
        return future.result()


def _generator(told: Settings) -> "generators.Generator":
    from trainer.generators import EndpointGenerator, GeneratorFailed, LocalGenerator

    how: dict[str, Any] = {"temperature": told.temperature, "top_p": told.top_p, "max_tokens": told.max_tokens}
    if told.width:
        how["width"] = told.width
    try:
        if told.url:
            return EndpointGenerator(told.model, endpoint=told.url, timeout=told.timeout, retries=told.retries, request=told.request, **how)
        return LocalGenerator(told.model, revision=told.revision, chat=told.chat, **how)
    except (BadBase, GeneratorFailed) as error:
        raise BadGeneration(str(error)) from error
