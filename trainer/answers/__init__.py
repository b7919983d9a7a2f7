"""Stage: final answers. Pure: no Django, no database.

Reads the text of solutions and pairs (answer, reference answer). Returns the stated answer, its normal form, a `Grade` per pair, and
equivalence classes of answers. `docs/grading.md` gives the rules and the measurements.
"""

from trainer.answers.finding import extract_answer, stated_answer
from trainer.answers.grading import GRADER_VERSION, Grade, Grader, GraderUnavailable, grade, grade_answers, grader_version
from trainer.answers.rules import NO_RULES, Rules
from trainer.answers.texts import normalise
from trainer.answers.voting import answer_classes, group_answers

__all__ = [
    "GRADER_VERSION",
    "Grade",
    "Grader",
    "GraderUnavailable",
    "NO_RULES",
    "Rules",
    "answer_classes",
    "extract_answer",
    "grade",
    "grade_answers",
    "grader_version",
    "group_answers",
    "normalise",
    "stated_answer",
]
