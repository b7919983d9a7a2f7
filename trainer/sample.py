"""Sample solutions: N texts for each problem from a generator, split into steps, as lines that `train`, `score` and the site read.

Reads problems and the lines that are already in the output file; appends one JSON line for each new solution. A second call continues
where the first one stopped, whatever the reason. docs/sampling.md describes the file and the prompt.
"""

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sized
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainer.config import BadConfig
from trainer.counting import counted
from trainer.data import seeded
from trainer.generators import ANSWER, Draw, Drawn, EndpointGenerator, Generator, GeneratorFailed, LocalGenerator, ProblemText
from trainer.progress import Clock, Progress
from trainer.sample_files import SolutionFile, read_problems
from trainer.steps import cut as cut_into_steps
from trainer.steps import split_lines

__all__ = ["Budget", "EndpointGenerator", "GeneratorFailed", "LocalGenerator", "ProblemText", "next_steps", "read_problems", "sample"]

PLACE = "{problem}"  # is replaced by the text of the problem
PROMPT = """\
Solve the last problem as the others are solved: one step of reasoning a line, without numbering and without headings. After the last step \
come a blank line, the heading "# Answer", a blank line and the final answer alone.

# Problem

A shop sells pencils in packs of $12$. Mia buys $4$ packs and gives $7$ pencils away. How many does she keep?

# Solution

Mia buys $4 \\cdot 12 = 48$ pencils.
She gives $7$ away, so $48 - 7 = 41$ pencils are left.

# Answer

41

# Problem

Solve $2x^2 - 8 = 0$ for the larger value of $x$.

# Solution

Dividing by $2$ gives $x^2 - 4 = 0$.
The left side factors as $(x - 2)(x + 2)$.
So $x = 2$ or $x = -2$, and the larger one is $2$.

# Answer

2

# Problem

{problem}

# Solution

"""
ROUNDS = 4  # how often a draw without a new solution is repeated
UNUSABLE, REFUSED = 64, 8  # if the first results are all of this kind, prompt or settings do not suit the generator
SHOWN = 120  # characters of an unusable text in a message
CUT = "cut off by the token limit"
EMPTY = "empty"
EMPTY_CUT = "empty though the token limit was reached"
FILTERED = "stopped by the endpoint's content filter"
NO_ANSWER = "without the heading '# Answer' and an answer below it"
UNSTORABLE = "longer than the site stores, or with characters that no text has"
CHAT = "If the model runs here and is made for chats, use --chat."
REMEDIES = {  # of a text that cannot be used
    CUT: "Raise --max-tokens.",
    EMPTY: f"The model ends its text at once. {CHAT} Otherwise give your own prompt with --prompt.",
    EMPTY_CUT: "A model that thinks first needs more tokens: raise --max-tokens.",
    FILTERED: "Use another endpoint, or give your own prompt with --prompt.",
    NO_ANSWER: f"{CHAT} Otherwise give your own prompt with --prompt, which asks for this heading.",
    UNSTORABLE: "Lower --max-tokens or --temperature.",
}
STEP_CHARACTERS, SOLUTION_CHARACTERS, STEPS = 20_000, 500_000, 2_000  # limits of the site


@dataclass(frozen=True, slots=True)
class Budget:
    """The most tokens (prompts included) and requests that one call can use; None: no limit."""

    tokens: int | None = None
    requests: int | None = None


@dataclass(slots=True)
class SampleReport:
    """What a call did. `stopped` says why it ended before every problem had its solutions."""

    written: int = 0
    found: int = 0  # solutions of these problems that were in the file before
    equal: int = 0  # drawn again word for word
    unusable: int = 0  # without an answer, cut off, or beyond what the site loads
    refused: int = 0
    failed: int = 0  # did not arrive, though each request was repeated
    failure: str = ""  # why the last one of these did not
    requests: int = 0
    tokens: int = 0
    problems: int = 0
    short: int = 0  # problems with fewer solutions than wanted
    stopped: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sample(
    problems: Iterable[ProblemText],
    *,
    generator: Generator,
    per_problem: int,
    out: str | Path,
    budget: Budget | None = None,
    seed: int = 0,
    prompt: str = PROMPT,
    source: str = "",
    keep_equal: bool = False,
    progress: Progress | None = None,
) -> SampleReport:
    """Append solutions to the file `out` until each problem has `per_problem` different ones from this source.

    Solutions of the same source that are already in the file count. With `keep_equal`, equal ones count too: then the file is a uniform
    sample, which best-of-N needs. The default `source` is the generator's name. Raises GeneratorFailed, BadConfig, OSError, and BadInput
    for a file that holds something else or solutions of this source that were drawn with other settings. The solutions drawn before an
    error are in the file.
    """
    if per_problem < 1:
        raise BadConfig(f"The number of solutions of a problem must be at least 1, not {per_problem}.")
    if PLACE not in prompt:
        raise BadConfig(f"The prompt has no place for the problem. Write {PLACE} where its text belongs.")
    settings = dict(getattr(generator, "settings", {})) | {"prompt": prompt_name(prompt), "keep_equal": keep_equal}
    with SolutionFile(Path(out), source or generator.name, settings) as file:
        total = len(problems) * per_problem if isinstance(problems, Sized) else None
        run = _Sampling(generator, per_problem, file, budget or Budget(), seed, prompt, keep_equal, Clock("sampling", total, progress))
        try:
            return run.over(problems)
        except GeneratorFailed as error:
            failed = GeneratorFailed(
                f"{error} {counted(run.report.written, 'new solution is', 'new solutions are')} kept in {out}; the same call continues."
            )
            failed.report = run.report
            raise failed from error


def prompt_name(prompt: str) -> str:
    """Return a short name for a prompt, the same for the same text: `default`, or a digest."""
    return "default" if prompt == PROMPT else hashlib.sha256(prompt.encode(errors="replace")).hexdigest()[:12]


def next_steps(problem: str, steps: list[str], count: int) -> list[str]:
    """Return up to `count` texts for the step after `steps`. Use it as STEPMARK_GENERATOR.

    Asks the model STEPMARK_GENERATOR_MODEL at STEPMARK_GENERATOR_ENDPOINT (default: OpenAI's). Raises GeneratorFailed.
    """
    generator = _site_generator(
        os.environ.get("STEPMARK_GENERATOR_MODEL", ""), os.environ.get("STEPMARK_GENERATOR_ENDPOINT", "") or EndpointGenerator.endpoint
    )
    prompt = PROMPT.replace(PLACE, problem) + "".join(f"{step}\n" for step in steps)
    source = ProblemText("", problem)
    texts = []
    for drawn in generator.draw(Draw(source, number, prompt, _seed(time.time_ns(), problem, number)) for number in range(count)):
        drawn_steps = cut_into_steps(drawn.text)
        while steps and drawn_steps and drawn_steps[0].strip() in {step.strip() for step in steps}:  # a chat model repeats earlier steps
            drawn_steps.pop(0)
        next_ones = solution_steps("\n\n".join(drawn_steps), cut=drawn.cut) or tuple(step.rstrip() for step in drawn_steps)
        if next_ones:
            texts.append(next_ones[0])
        elif drawn.refused:
            raise GeneratorFailed(f"{generator.model} refuses to continue this solution: {drawn.refused}")
        elif drawn.failed:
            raise GeneratorFailed(drawn.failed)
    return texts


@cache
def _site_generator(model: str, endpoint: str) -> EndpointGenerator:
    if not model:
        raise GeneratorFailed("STEPMARK_GENERATOR_MODEL is not set. Set it to the name of a model behind the endpoint.")
    return EndpointGenerator(model, endpoint=endpoint, max_tokens=1024, timeout=30, retries=1)


def solution_steps(text: str, *, cut: bool = False) -> tuple[str, ...] | None:
    """Cut a text by lines and join the final answer to the last step. None if there is no answer, or it cannot be stored.

    A formula, a table or a list under its lead-in is one step (`trainer.steps`). All line ends become `\\n`. Text after the answer is
    dropped. If the text was cut off, the answer counts only if some text follows it.
    """
    text = "\n".join(split_lines(text))
    answer = ANSWER.search(text)
    if answer is None or (cut and not answer["end"]):
        return None
    before = re.sub(r"^[ \t]*# Solution[ \t]*$", "", text[: answer.start()], flags=re.M)
    lines = [step.rstrip() for step in cut_into_steps(before)]
    ending = f"# Answer\n\n{answer['answer']}"
    steps = (*lines[:-1], f"{lines[-1]}\n\n{ending}") if lines else (ending,)
    if len(steps) > STEPS or max(map(len, steps)) > STEP_CHARACTERS or sum(map(len, steps)) > SOLUTION_CHARACTERS:
        return None
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        return None
    return steps


class _Sampling:
    """One call of `sample`: the draws still to make, what they can cost, and what they gave."""

    def __init__(
        self,
        generator: Generator,
        per_problem: int,
        file: "SolutionFile",
        budget: Budget,
        seed: int,
        prompt: str,
        keep_equal: bool,
        clock: Clock,
    ) -> None:
        self.generator, self.per_problem, self.file, self.budget = generator, per_problem, file, budget
        self.seed, self.prompt, self.keep_equal, self.clock = seed, prompt, keep_equal, clock
        self.report = SampleReport()
        self.reserved = 0  # the most tokens that the running requests can use
        self.lacking: dict[str, ProblemText] = {}
        self.hopeless: dict[str, str] = {}  # by problem, why its prompt was refused: it is not tried again
        self.faults: Counter[str] = Counter()  # what the unusable texts lack, a key of REMEDIES
        self.example = ""  # an unusable text
        self.next: Draw | None = None

    def over(self, problems: Iterable[ProblemText]) -> SampleReport:
        """Draw the missing solutions of every problem, then repeat up to ROUNDS times what gave no new solution."""
        draws = self._first(problems)
        for _ in range(1 + ROUNDS):
            self._exhaust(draws)
            again = [problem for key, problem in self.lacking.items() if key not in self.hopeless]
            if self.report.stopped or not again:
                break
            draws = (draw for problem in again for draw in self._draws(problem))
        for _ in draws:  # the budget is used up: count the problems that were never begun
            pass
        self._doubt(last=True)
        self.report.short = len(self.lacking)
        return self.report

    def _first(self, problems: Iterable[ProblemText]) -> Iterator[Draw]:
        for problem in problems:
            self.report.problems += 1
            self.report.found += (there := min(self.file.counts[problem.key], self.per_problem))
            if there < self.per_problem:
                self.lacking[problem.key] = problem
                yield from self._draws(problem)

    def _draws(self, problem: ProblemText) -> Iterator[Draw]:
        prompt = self.prompt.replace(PLACE, problem.text.strip())
        for _ in range(self.per_problem - self.file.counts[problem.key]):
            number = self.file.next_number(problem.key)
            yield Draw(problem, number, prompt, _seed(self.seed, problem.key, number))

    def _exhaust(self, draws: Iterator[Draw]) -> None:
        """Make the draws. If the running ones reserve too much of the budget for the next one, it is tried again after them."""
        self.next = next(draws, None)
        while self.next is not None:
            before = self.report.requests
            for drawn in self.generator.draw(self._affordable(draws)):
                self._take(drawn)
            if self.report.requests == before:
                spent = f"{counted(self.report.tokens, 'token')} and {counted(self.report.requests, 'request')}"
                self.report.stopped = f"The rest of the budget is too small for another text: {spent} are used."
                return

    def _affordable(self, draws: Iterator[Draw]) -> Iterator[Draw]:
        """Yield draws as long as the budget covers the most that they and the running ones can cost."""
        while self.next is not None:
            most = self.generator.most_tokens(self.next.prompt)
            if self.budget.requests is not None and self.report.requests >= self.budget.requests:
                return
            if self.budget.tokens is not None and self.report.tokens + self.reserved + most > self.budget.tokens:
                return
            self.report.requests += 1
            self.reserved += most
            draw, self.next = self.next, next(draws, None)
            yield draw

    def _take(self, drawn: Drawn) -> None:
        problem, report = drawn.draw.problem, self.report
        self.reserved -= self.generator.most_tokens(drawn.draw.prompt)
        report.tokens += drawn.n_tokens
        steps = None if drawn.refused or drawn.failed else solution_steps(drawn.text, cut=drawn.cut)
        if drawn.refused:
            report.refused += 1
            self.hopeless[problem.key] = drawn.refused
        elif drawn.failed:
            report.failed, report.failure = report.failed + 1, drawn.failed
        elif steps is None:
            report.unusable += 1
            self.faults[fault_of(drawn)] += 1
            self.example = self.example or " ".join(drawn.text.split())
        elif self.file.append(drawn.draw, steps, keep_equal=self.keep_equal):
            report.written += 1
            if self.file.counts[problem.key] >= self.per_problem:
                self.lacking.pop(problem.key, None)
        else:
            report.equal += 1
        self._doubt()
        self.clock.tick(report.found + report.written)

    def _doubt(self, *, last: bool = False) -> None:
        """Raise GeneratorFailed if no result so far suggests that more draws would help."""
        report = self.report
        if report.written or report.equal or (last and report.found):
            return
        if report.refused >= (1 if last else REFUSED) and not report.unusable:
            raise GeneratorFailed(
                f"The generator refuses the prompt: {next(iter(self.hopeless.values()))} Change the prompt or the settings."
            )
        if report.unusable >= (1 if last else UNUSABLE):
            raise GeneratorFailed(self._why_unusable())

    def _why_unusable(self) -> str:
        """Say what was wrong with the texts, and what helps against the most frequent fault."""
        n_texts, ((most, _), *_) = self.report.unusable, self.faults.most_common()
        counts = ", ".join(f"{count} {fault}" for fault, count in self.faults.most_common())
        others = f", {self.report.refused} were refused and {self.report.failed} did not arrive" if n_texts < self._n_results() else ""
        begins = f" One begins: {self.example[:SHOWN]!r}." if self.example else ""
        return f"None of the first {n_texts} texts can be used: {counts}{others}. {REMEDIES[most]}{begins}"

    def _n_results(self) -> int:
        return self.report.unusable + self.report.refused + self.report.failed


def fault_of(drawn: Drawn) -> str:
    """Return what makes a text unusable, a key of REMEDIES."""
    if drawn.filtered:
        return FILTERED
    if not drawn.text.strip():
        return EMPTY_CUT if drawn.cut else EMPTY
    if solution_steps(drawn.text) is None:
        return CUT if drawn.cut else UNSTORABLE if ANSWER.search(drawn.text) else NO_ANSWER
    return CUT


def _seed(*parts: object) -> int:
    """Return a seed that every endpoint accepts: a whole number below 2^31."""
    return int(seeded("sample", *parts).integers(1 << 31))
