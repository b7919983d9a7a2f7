"""Steps, what they are like: why a step is broken, the figures of a file, and the rule that fits a file."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from trainer.counting import counted
from trainer.steps.cutting import LINES, NUMBERED, PARAGRAPHS, RULES, SENTENCES, ReadText, cut_blocks, numbered_cuts
from trainer.steps.marks import Marks, says_something, split_lines

FEWEST, MOST = 4, 15  # steps of a usual solution
NO_WORDS = "it has no letter and no digit"
BROKEN_SHARE = 0.01  # a rule that breaks more steps than this does not fit the text


def why_broken(step: str) -> str | None:
    """Return what is wrong with a step: no letter or digit, or a mark without its partner. None if nothing is."""
    if not says_something(step):
        return NO_WORDS
    return next(iter(_faults(step)), None)


def _faults(text: str) -> list[str]:
    """Return the marks without a partner, in their order, each as a reason."""
    if not ("$" in text or "\\" in text or "`" in text or "[" in text or "~~~" in text):  # only these can open what is not closed
        return []
    lines = split_lines(text)
    marks = Marks("\n".join(lines), [0, *accumulate(len(line) + 1 for line in lines[:-1])], lines)
    return [fault.reason for fault in sorted(marks.faults)]


@dataclass(slots=True)
class StepFigures:
    """Figures of a file's steps: how many, how long, and how many are broken, with the first of them."""

    counts: Counter[int] = field(default_factory=Counter)  # steps of a solution -> how many solutions
    lengths: Counter[int] = field(default_factory=Counter)  # characters of a step -> how many steps
    broken: int = 0
    unpaired: int = 0  # of these, how many are broken in the text itself, so that no rule can help
    example: str = ""  # the first broken step: its place, the reason, its text

    @property
    def solutions(self) -> int:
        return self.counts.total()

    @property
    def steps(self) -> int:
        return self.lengths.total()

    @property
    def median(self) -> float:
        """The steps of the median solution."""
        return _median(self.counts)

    @property
    def median_length(self) -> float:
        """The characters of the median step."""
        return _median(self.lengths)

    @property
    def share_broken(self) -> float:
        return self.broken / self.steps if self.steps else 0.0

    def add(self, steps: Sequence[str], *, text: str | None = None, place: str = "") -> None:
        """Count one solution, and the `text` that it was cut from. `place` says where it stands, such as "line 7"."""
        self.counts[len(steps)] += 1
        in_text: list[str] | None = None
        lengths = self.lengths
        for number, step in enumerate(steps, 1):
            lengths[len(step)] += 1
            if (reason := why_broken(step)) is not None:
                self.broken += 1
                in_text = in_text if in_text is not None else _faults(text or "")
                self.unpaired += reason in in_text
                self.example = self.example or f"step {number}{f' of {place}' if place else ''}, {shortened(step)}: {reason}"

    def merge(self, later: "StepFigures") -> None:
        """Add the figures of solutions that come after these."""
        self.counts.update(later.counts)
        self.lengths.update(later.lengths)
        self.broken += later.broken
        self.unpaired += later.unpaired
        self.example = self.example or later.example

    def __str__(self) -> str:
        if not self.steps:
            return "There are no steps."
        low, high = min(self.counts), max(self.counts)
        said = (
            f"{counted(self.steps, 'step')} in {counted(self.solutions, 'solution')}: the median solution has {self.median:g} "
            f"({low:,} to {high:,}). The median step has {self.median_length:,g} characters, the longest has {max(self.lengths):,}."
        )
        return f"{said} {self.broken_in_words()}." if self.broken else said

    def broken_in_words(self) -> str:
        """Say how many steps are broken and which is the first: two sentences without the last full stop."""
        itself = f", {self.unpaired:,} of them in the text itself" if self.unpaired else ""
        return f"{counted(self.broken, 'step is', 'steps are')} broken ({self.share_broken:.2%}{itself}). The first one is {self.example}"


class RuleChoice(NamedTuple):
    """The rule for a file, and why: one sentence."""

    rule: str
    why: str


def choose_rule(texts: Iterable[str], *, progress: Callable[[int], None] | None = None) -> RuleChoice:
    """Choose the rule for all solutions of a file.

    Numbers win if most solutions have them. Otherwise it is the rule with the fewest broken steps (up to 1 % counts as none) that gives the
    median solution 4 to 15 steps, blank lines before lines. Where both leave most solutions whole, sentences cut them. `progress` is
    given the number of texts read.
    """
    numbered = total = 0
    reports = {rule: StepFigures() for rule in RULES}
    for total, text in enumerate(texts, 1):
        read = ReadText(text)
        marks = numbered_cuts(read.blocks)
        numbered += marks is not None and sum(marks) >= 2
        for rule in RULES:
            reports[rule].add(cut_blocks(read, rule))
        if progress:
            progress(total)
    if not total:
        return RuleChoice(LINES, "There are no texts to cut")
    medians = {rule: report.median for rule, report in reports.items()}

    def distance(rule: str) -> tuple[bool, float]:
        return reports[rule].share_broken > BROKEN_SHARE, max(FEWEST - medians[rule], medians[rule] - MOST, 0)

    if 2 * numbered > total and medians[NUMBERED] >= 3 and not distance(NUMBERED)[0]:
        return RuleChoice(NUMBERED, f"solutions with numbered steps: {numbered:,} of {total:,}")
    rule = min((PARAGRAPHS, LINES), key=distance)
    if medians[rule] < 2 and medians[SENTENCES] >= 3 and not distance(SENTENCES)[0]:
        return RuleChoice(SENTENCES, f"most solutions are one paragraph, and sentences give {medians[SENTENCES]:g} steps in the median one")
    other = LINES if rule == PARAGRAPHS else PARAGRAPHS
    what = {PARAGRAPHS: "blank lines give", LINES: "lines give"}
    if medians[rule] == medians[other]:
        return RuleChoice(rule, f"{what[rule]} {medians[rule]:g} steps in the median solution")
    return RuleChoice(rule, f"{what[rule]} {medians[rule]:g} steps in the median solution, {what[other]} {medians[other]:g}")


def shortened(step: str, *, length: int = 80) -> str:
    """Return a step as one line of up to `length` characters, in quotes, for a message."""
    line = repr(step)
    return line if len(line) <= length else f"{line[: length - 2]}…{line[-1]}"


def _median(counts: Counter[int]) -> float:
    """Return the median of the numbers counted: the middle one, or the mean of the two in the middle."""
    total, seen = counts.total(), 0
    middle: list[int] = []
    for number in sorted(counts):
        seen += counts[number]
        for rank in ((total + 1) // 2, total // 2 + 1)[len(middle) :]:
            if seen >= rank:
                middle.append(number)
    return sum(middle) / 2 if middle else 0
