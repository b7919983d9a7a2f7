r"""Steps: cuts the text of a solution where a person would. Pure: needs only the standard library.

Reads the text of a solution and a rule: `lines` (as in PRM800K), `paragraphs` (blank lines), `numbered` ("Step 3:", "3."), `sentences`, or
`given` (the text is one step already). Returns steps, what is broken in a step, the rule that fits a whole file, and figures for a report.

Line ends are \n, \r\n and \r, and nothing else. A step is a slice of the text; only line ends and blank lines between steps are left
out, and blanks between sentences.
Whatever the rule, a cut never falls inside a displayed formula, an environment, a code fence, a table, an [asy] block, a thought
(`<think>`) or a list under its lead-in. An opening mark without its closing one holds nothing together: its step is broken, and the rest
of the solution is cut as usual. docs/formats.md has the rules and what they measure.
"""

from trainer.steps.cutting import AUTO, GIVEN, LINES, NUMBERED, PARAGRAPHS, RULES, SENTENCES, cut
from trainer.steps.figures import BROKEN_SHARE, FEWEST, MOST, RuleChoice, StepFigures, choose_rule, shortened, why_broken
from trainer.steps.marks import find_formulas, split_lines

__all__ = [
    "AUTO",
    "BROKEN_SHARE",
    "FEWEST",
    "GIVEN",
    "LINES",
    "MOST",
    "NUMBERED",
    "PARAGRAPHS",
    "RULES",
    "RuleChoice",
    "SENTENCES",
    "StepFigures",
    "choose_rule",
    "cut",
    "find_formulas",
    "shortened",
    "split_lines",
    "why_broken",
]
