"""Stage: ingest, what a load reports. Reads and writes nothing."""

from collections import Counter
from dataclasses import dataclass, field

from annotation.ingest.preparing import Tally
from trainer.counting import counted
from trainer.formats import left_out_in_words, unused_in_words
from trainer.steps import RuleChoice, StepFigures


@dataclass(slots=True)
class LoadReport:
    """What a load read and what was new. The difference was stored before, or occurred twice in the file."""

    format: str = ""
    signs: str = ""  # by which the format was recognized; empty if the caller named it
    lines: int = 0
    problems: int = 0  # distinct ones in the file
    new_problems: int = 0
    solutions: int = 0
    new_solutions: int = 0
    alternatives: int = 0
    new_alternatives: int = 0
    annotations: int = 0
    new_annotations: int = 0
    gold: int = 0
    new_gold: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)  # of the new solutions
    ungraded: dict[str, int] = field(default_factory=dict)  # reason -> how many of the new solutions
    steps: StepFigures = field(default_factory=StepFigures)
    steps_by: RuleChoice | None = None  # the rule by which texts were cut, and why; None if the file has no texts
    unused: Counter[str] = field(default_factory=Counter)  # key that was not read -> objects of the file that have it
    left_out: Counter[str] = field(default_factory=Counter)  # what nobody reads of a solution -> solutions of the file that have it
    notes: list[str] = field(default_factory=list)
    grading_seconds: float = 0.0  # of the time that the load took

    def add(self, tally: Tally, *, choice: RuleChoice | None) -> None:
        """Add what was counted of some lines. `choice`: the rule that cut their texts."""
        self.lines += tally.lines
        self.solutions += tally.solutions
        self.alternatives += tally.alternatives
        self.annotations += tally.annotations
        self.gold += tally.gold
        self.steps.merge(tally.steps)
        self.unused.update(tally.unused)
        self.left_out.update(tally.left_out)
        if tally.are_texts_cut:
            self.steps_by = choice

    def __str__(self) -> str:
        parts = [f"{counted(self.new_problems, 'new problem')} ({self.problems:,} in the file)"]
        if self.solutions:
            graded = ", ".join(f"{count:,} {outcome}" for outcome, count in self.outcomes.items())
            parts.append(f"{counted(self.new_solutions, 'new solution')} ({self.solutions:,} in the file{'; ' + graded if graded else ''})")
        if self.alternatives:
            parts.append(f"{counted(self.new_alternatives, 'new alternative')} ({self.alternatives:,} in the file)")
        if self.annotations:
            parts.append(f"{counted(self.new_annotations, 'new annotation')} ({self.annotations:,} in the file)")
        if self.gold:
            parts.append(f"{counted(self.new_gold, 'new gold answer')} ({self.gold:,} in the file)")
        reasons = [f"{count:,} not graded: {reason}" for reason, count in self.ungraded.items()]
        return "\n".join(
            [
                f"{self.format}, {counted(self.lines, 'line')}: {', '.join(parts)}.",
                *self._format_in_words(),
                *self._steps_in_words(),
                *reasons,
                *unused_in_words(self.unused),
                *left_out_in_words(self.left_out),
                *self.notes,
            ]
        )

    def about_the_file(self) -> list[str]:
        """Say how the file was read: its format and why, and the keys that were not used."""
        return [*self._format_in_words(), *unused_in_words(self.unused)]

    def about_the_check(self) -> list[str]:
        """Say what a check of the file found: its format and why, its steps, and what nobody reads."""
        return [*self._format_in_words(), *self._steps_in_words(), *unused_in_words(self.unused), *left_out_in_words(self.left_out)]

    def _format_in_words(self) -> list[str]:
        return [f"The format is {self.format}: the file has {self.signs}."] if self.signs else []

    def _steps_in_words(self) -> list[str]:
        if not self.solutions:
            return []
        if self.steps_by is None:
            return [f"The file gives the steps: {self.steps}"]
        rule, why = self.steps_by
        return [f"The texts are cut by {rule}{f' (auto): {why}' if why else ''}.", str(self.steps)]


@dataclass(frozen=True, slots=True)
class ProblemChange:
    """What changes of a known problem: its fields answer, reference_solution, subject and level that get another value."""

    problem_id: int
    external_id: str
    old: dict[str, str | None]
    new: dict[str, str | None]
    line: int | None = None  # of the file that says so
