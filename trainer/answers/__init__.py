"""Stage: final answers. Pure: no Django, no database.

Reads the text of solutions and pairs (answer, reference answer). Returns the stated answer, its normal form, a `Grade` per pair, and
equivalence classes of answers. `docs/grading.md` gives the rules and the measurements.
"""

from trainer.answers.grading import GRADER_VERSION, Grade, Grader, GraderUnavailable, answer_classes, grade, grade_answers
from trainer.answers.texts import extract_answer, normalise

__all__ = [
    "GRADER_VERSION",
    "Grade",
    "Grader",
    "GraderUnavailable",
    "answer_classes",
    "extract_answer",
    "grade",
    "grade_answers",
    "normalise",
]
