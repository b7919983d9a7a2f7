"""Drawing: the generator of a sampling and its cost. Reads a model or an endpoint; writes the account of a run next to its file,
STEPMARK_HOME/samples/SLUG/NAME.json. torch is imported only when a model is made.
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
from active_learning.sampling.settings import BadSampling, Settings
from annotation.models import Project, Solution
from trainer.config import BadBase

if TYPE_CHECKING:
    from trainer import generators

BEAT_SECONDS = 1.0


class Ledger:
    """The account of a run: what it has used, the newest solution before it, and its settings. It is the lock of the run too.

    The first line is the account; after every text comes one small write of constant length. The second line has the settings that the
    texts depend on. A killed run loses the account of the texts in progress and nothing else. Raises BadSampling if a run continues with
    other settings.
    """

    LENGTH = 200

    def __init__(self, path: Path, project: Project, settings: Settings) -> None:
        self.path, self.project, self.settings = path, project, settings.of_texts
        self.tokens = self.requests = self.before = 0

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BadSampling(f"{self.path} cannot be written ({error.strerror}). Repair that, then run the same command again.") from error
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            account, _, settings = os.pread(self.file, os.fstat(self.file).st_size, 0).partition(b"\n")
            if account:
                self.before, self.tokens, self.requests = map(int, orjson.loads(account).values())
            else:
                newest = Solution.objects.filter(problem__project=self.project).aggregate(newest=Max("pk"))["newest"]
                self.before = newest or 0
                self.save()
            if settings.endswith(b"\n"):
                self._check(orjson.loads(settings))
            else:
                os.pwrite(self.file, orjson.dumps(self.settings) + b"\n", self.LENGTH)
        except BaseException as error:
            os.close(self.file)
            if isinstance(error, BlockingIOError):
                raise BadSampling(f"Another process runs {self.path.stem}. Wait for it, or give this run another name.") from None
            if isinstance(error, (ValueError, TypeError, AttributeError)) and not isinstance(error, BadSampling):
                raise BadSampling(f"{self.path} is damaged. Move it away with its .jsonl file, or use another name.") from error
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.file)

    def _check(self, before: dict[str, Any]) -> None:
        differing = [name for name, value in self.settings.items() if before.get(name) != value]
        if differing:
            changes = ", ".join(f"{name} (it was {_shown(before.get(name))}, now {_shown(self.settings[name])})" for name in differing)
            raise BadSampling(
                f"The run {self.path.stem} was begun with other settings: {changes}. Its solutions would be a mixture. Use the same "
                "settings to continue it, or give the new run another name with --name."
            )

    def save(self) -> None:
        content = orjson.dumps({"solutions_before": self.before, "tokens": self.tokens, "requests": self.requests})
        os.pwrite(self.file, content.ljust(self.LENGTH - 1) + b"\n", 0)

    def spend(self, n_tokens: int) -> None:
        self.tokens += n_tokens
        self.requests += 1
        self.save()


def _shown(value: object) -> str:
    text = " ".join(str(value).split()) if value not in (None, "", {}) else "not set"
    return text if len(text) <= 60 else f"{text[:60]}.."


class Watched:
    """The generator in a thread of its own, so that progress goes on while a model loads or a text takes long.

    The thread works only while the caller waits for it, so nothing is used by both at once.
    """

    def __init__(self, settings: Settings, thread: ThreadPoolExecutor, ledger: Ledger, progress: ProgressCallback) -> None:
        self.thread, self.ledger, self.pass_on = thread, ledger, progress
        self.last: tuple[str, int, int | None] = ("loading the generator", 0, None)
        self.has_failed = False  # the generator itself, not its texts
        self.generator: generators.Generator = self._awaited(_generator, settings)

    @property
    def name(self) -> str:
        return self.generator.name

    @property
    def settings(self) -> dict[str, Any]:
        return getattr(self.generator, "settings", {})

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
        """Pass progress on, and store it for the next beat."""
        self.last = stage, done, total
        self.pass_on(stage, done, total, seconds_left)

    def _awaited(self, function: Callable[..., Any], *arguments: Any) -> Any:
        future = self.thread.submit(function, *arguments)
        while not wait([future], timeout=BEAT_SECONDS).done:
            self.pass_on(*self.last)
        return future.result()


def _generator(settings: Settings) -> "generators.Generator":
    from trainer.generators import EndpointGenerator, GeneratorFailed, LocalGenerator

    how: dict[str, Any] = {"temperature": settings.temperature, "top_p": settings.top_p, "max_tokens": settings.max_tokens}
    if settings.width:
        how["width"] = settings.width
    try:
        if settings.url:
            return EndpointGenerator(
                settings.model, endpoint=settings.url, timeout=settings.timeout, retries=settings.retries, request=settings.request, **how
            )
        return LocalGenerator(settings.model, revision=settings.revision, chat=settings.chat, **how)
    except (BadBase, GeneratorFailed) as error:
        raise BadSampling(str(error)) from error
