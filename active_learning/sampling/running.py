"""The run of a sampling. Reads Problem; writes STEPMARK_HOME/samples/SLUG/NAME.jsonl by `trainer.sample` and Solution by `ingest`.

That file is the run: whatever ended it, the same run can continue, and nothing is drawn, paid for or loaded twice. Knows no rounds: the
caller passes `progress`, which may raise to stop, and `fence`, which must hold before anything is loaded.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.conf import settings as site
from django.db import connection

from active_learning.registry import Fence, ProgressCallback, trainer_progress
from active_learning.sampling.drawing import Ledger, Watched
from active_learning.sampling.settings import BadSampling, Settings
from annotation import ingest
from annotation.models import Outcome, Problem, Project, Split
from trainer.config import BadConfig
from trainer.counting import counted

if TYPE_CHECKING:
    from trainer import generators
    from trainer.sample import SampleReport

CHUNK = 2_000  # solutions loaded per transaction, without progress: a heartbeat in it would lock the caller's row until it ends
TOP_UPS = 4  # how often solutions that the project had already are replaced by others
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# Found by the index of solution_once: two lookups for every line, however large the project is.
HELD = """
SELECT s.problem_id, s.digest, s.id, s.outcome
  FROM unnest(%s::bigint[], %s::bytea[]) AS line (problem_id, digest)
  JOIN annotation_solution s ON s.problem_id = line.problem_id AND s.digest = line.digest
"""


@dataclass(slots=True)
class SamplingReport:
    """What a run has brought so far, over all its calls. `stopped` says why it ended before every problem had its solutions."""

    file: str  # relative to STEPMARK_HOME
    n: int  # new solutions wanted of each problem
    n_problems: int
    n_new: int = 0
    n_right: int = 0  # of the new ones
    n_wrong: int = 0
    n_unsure: int = 0
    n_ungraded: int = 0
    n_known: int = 0  # drawn, but the project had them before the run
    n_short: int = 0  # problems with fewer new solutions than wanted
    tokens: int = 0
    requests: int = 0
    n_loaded: int = 0  # new to the project in this call alone, like all that follow
    n_equal: int = 0  # drawn again, word for word
    n_unusable: int = 0  # without an answer, cut off, or too large to load
    n_refused: int = 0
    n_failed: int = 0  # did not arrive, though each request was repeated
    failure: str = ""  # why the last one of these did not
    stopped: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        graded = f"{self.n_right:,} right, {self.n_wrong:,} wrong, {self.n_unsure:,} unsure, {self.n_ungraded:,} ungraded"
        waste = f"{self.n_equal:,} drawn twice, {self.n_unusable:,} unusable, {self.n_refused:,} refused"
        message = (
            f"{counted(self.n_new, 'new solution')} of {counted(self.n_problems, 'problem')} ({graded}); "
            f"known before: {self.n_known:,}; {waste}. Used {counted(self.tokens, 'token')} and {counted(self.requests, 'text')}."
        )
        if self.n_failed:
            message += f" {counted(self.n_failed, 'text')} did not arrive; the last one: {self.failure}"
        if self.n_short:
            reason = self.stopped or "The generator wrote nothing else that is new and usable."
            message += f" {counted(self.n_short, 'problem still has', 'problems still have')} fewer new solutions than {self.n:,}. {reason}"
        return message


def sample(
    project: Project, *, settings: Mapping[str, Any], progress: ProgressCallback, fence: Fence = lambda: None, name: str | None = None
) -> SamplingReport:
    """Draw solutions until each training problem has `n` that the project did not have before this run, and load them, graded.

    `name` is the run: with the same name and settings it continues, with another name it starts anew (default: after model, temperature
    and seed). Budgets hold over all calls of a run. Raises BadSampling; what was drawn before stays, and is loaded unless its file is
    damaged.
    An exception from `progress` or `fence` ends the call.
    """
    checked = Settings.of(settings)
    if not NAME.fullmatch(name := checked.name if name is None else name):
        raise BadSampling(f"{name!r} cannot be the name of a run. Use up to 100 letters, digits, dots, - and _.")
    problems = _problems(project, name)
    if not problems:
        raise BadSampling(f"{project.slug} has no training problems to solve. Load some with `manage.py load_problems`.")
    path = Path(site.STEPMARK_HOME) / "samples" / project.slug / f"{name}.jsonl"
    with Ledger(path.with_suffix(".json"), project, checked) as ledger, ThreadPoolExecutor(1, thread_name_prefix="sampling") as thread:
        return _Run(project, checked, path, problems, ledger, progress, fence).over(Watched(checked, thread, ledger, progress))


class _TrainingProblem(NamedTuple):
    """A training problem: its primary key, and the form in which it is sent and written."""

    pk: int
    problem: "generators.ProblemText"


def _problems(project: Project, name: str) -> dict[str, _TrainingProblem]:
    """Return the training problems by key, in an order that depends on the run: after a budget ran out, another run starts elsewhere."""
    from trainer.generators import ProblemText

    rows = Problem.objects.filter(project=project, split=Split.TRAIN).values("pk", "external_id", "statement", "answer", "subject", "level")
    problems = {}
    for row in rows.iterator():
        key = row["external_id"]
        facts = {name: value for name in ("answer", "subject", "level") if (value := row[name])}
        problems[key] = _TrainingProblem(row["pk"], ProblemText(key, row["statement"], {"id": key} | facts))
    return {key: problems[key] for key in sorted(problems, key=lambda key: hashlib.sha256(f"{name} {key}".encode()).digest())}


@dataclass(slots=True)
class _FileTally:
    """The solutions of this run in its file, by problem, and their outcomes in the project."""

    drawn: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)  # the project had them before the run
    outcomes: Counter[str] = field(default_factory=Counter)  # of the others


class _Run:
    """One call: draw, load, and draw again where the project turned out to know a solution already."""

    def __init__(
        self,
        project: Project,
        settings: Settings,
        path: Path,
        problems: dict[str, _TrainingProblem],
        ledger: Ledger,
        progress: ProgressCallback,
        fence: Fence,
    ) -> None:
        self.project, self.settings, self.path, self.problems = project, settings, path, problems
        self.ledger, self.progress, self.fence = ledger, progress, fence
        self.report = SamplingReport(str(path.relative_to(site.STEPMARK_HOME)), settings.n, len(problems))
        # It depends on the name too: a second run must not draw the texts of the first one again.
        self.seed = int.from_bytes(hashlib.sha256(f"{path.stem} {settings.seed}".encode()).digest()[:4])

    def over(self, generator: Watched) -> SamplingReport:
        self.source = self.settings.source or generator.name
        wanted = dict.fromkeys(self.problems, self.settings.n)
        tally = _FileTally()
        for _ in range(1 + TOP_UPS):
            failure = self._draw(generator, wanted)
            tally = self._load()
            self._count(tally)
            if failure:
                raise BadSampling(
                    f"{failure} The run has loaded {counted(self.report.n_new, 'new solution')}. The same command continues it."
                )
            # Draw again where all that was wanted came but some of it was known. Where less came, the generator has no more to offer.
            came = {key: self.settings.n + tally.known[key] for key, count in wanted.items() if tally.drawn[key] >= count}
            wanted = {key: count for key, count in came.items() if tally.drawn[key] < count}
            if self.report.stopped or not wanted:
                break
        return self.report

    def _draw(self, generator: Watched, wanted: dict[str, int]) -> str:
        """Draw until the file has what is wanted of each problem. Return why the generator cannot go on; empty if it can."""
        from trainer.generators import GeneratorFailed
        from trainer.lines import BadInput
        from trainer.sample import PROMPT, sample

        groups = defaultdict(list)
        for key, count in wanted.items():
            groups[count].append(self.problems[key].problem)
        for per_problem, group in groups.items():
            try:
                done = sample(
                    group,
                    generator=generator,
                    per_problem=per_problem,
                    out=self.path,
                    budget=self._left(),
                    seed=self.seed,
                    prompt=self.settings.prompt or PROMPT,
                    source=self.source,
                    progress=trainer_progress(generator.progress),
                )
            except GeneratorFailed as error:
                if generator.has_failed or not self._has_begun():
                    return str(error.__cause__ or error)
                if error.report:
                    self._add(error.report)
                continue  # the run has drawn others, so only these problems are too hard for the generator
            except (BadInput, BadConfig, OSError) as error:
                raise BadSampling(str(error)) from error
            self._add(done)
            if done.stopped:
                spent = f"{counted(self.ledger.tokens, 'token')} and {counted(self.ledger.requests, 'text')} are used"
                self.report.stopped = f"The budget is too small for another text: {spent}. Give the same run a larger budget."
                return ""
        return ""

    def _left(self) -> Any:
        from trainer.sample import Budget

        most = ((self.settings.budget, self.ledger.tokens), (self.settings.budget_requests, self.ledger.requests))
        return Budget(*(None if limit is None else max(0, limit - used) for limit, used in most))

    def _has_begun(self) -> bool:
        return any(line.get("source") == self.source for _, line in self._lines())

    def _add(self, done: "SampleReport") -> None:
        self.report.n_equal += done.equal
        self.report.n_unusable += done.unusable
        self.report.n_refused += done.refused
        self.report.n_failed += done.failed
        self.report.failure = done.failure or self.report.failure

    def _count(self, tally: "_FileTally") -> None:
        report, new = self.report, tally.outcomes
        report.n_new, report.n_known = new.total(), tally.known.total()
        report.n_right, report.n_wrong = new[Outcome.CORRECT], new[Outcome.WRONG]
        report.n_unsure, report.n_ungraded = new[Outcome.UNSURE], new[Outcome.UNGRADED]
        report.n_short = sum(tally.drawn[key] - tally.known[key] < self.settings.n for key in self.problems)
        report.tokens, report.requests = self.ledger.tokens, self.ledger.requests

    # --- from the file into the project ----------------------------------------------------------------------------------------

    def _load(self) -> _FileTally:
        """Load what the project lacks, one chunk and transaction at a time, and count the solutions of this run there."""
        training = set(Problem.objects.filter(project=self.project, split=Split.TRAIN).values_list("external_id", flat=True))
        self.problems = {key: known for key, known in self.problems.items() if key in training}  # drawing can take a day
        tally, lines, done = _FileTally(), self._lines(), 0
        while chunk := list(islice(lines, CHUNK)):
            places = [(known.pk, ingest.digest(line["steps"])) for known, line in chunk]
            held = self._held(places)
            if lacking := [drawn for drawn, place in zip(chunk, places, strict=True) if place not in held]:
                self.fence()
                self.report.n_loaded += self._add_solutions(lacking)
                held = self._held(places)
            for (known, line), place in zip(chunk, places, strict=True):
                if line.get("source") != self.source or place not in held:
                    continue
                pk, outcome = held[place]
                tally.drawn[known.problem.key] += 1
                if pk <= self.ledger.before:
                    tally.known[known.problem.key] += 1
                else:
                    tally.outcomes[outcome] += 1
            done += len(chunk)
            self.progress("loading", done, None)
        return tally

    def _lines(self) -> Iterator[tuple[_TrainingProblem, dict[str, Any]]]:
        """Yield the solutions of the file with their problems, without those whose problem is gone or in the test split now."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for text in file:
                line = orjson.loads(text) if text.strip() else {}
                known = self.problems.get(line.get("problem_key", ""))
                if known and known.problem.text == line["problem"]:
                    yield known, line

    def _add_solutions(self, lacking: list[tuple[_TrainingProblem, dict[str, Any]]]) -> int:
        rows = (
            ingest.NewSolution(
                ingest.NewProblem(known.problem.text, external_id=known.problem.key), tuple(line["steps"]), source=line.get("source") or ""
            )
            for known, line in lacking
        )
        try:
            return ingest.add_solutions(self.project, rows).new_solutions
        except ingest.BadFile as bad:
            raise BadSampling(f"{self.path}: {bad.reason}. {bad.remedy}.") from bad

    def _held(self, places: list[tuple[int, bytes]]) -> dict[tuple[int, bytes], tuple[int, str]]:
        with connection.cursor() as cursor:
            cursor.execute(HELD, [[problem for problem, _ in places], [digest for _, digest in places]])
            return {(problem, bytes(digest)): (pk, outcome) for problem, digest, pk, outcome in cursor.fetchall()}
