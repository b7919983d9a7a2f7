"""The format `generic`: a problem and, if the line has them, a solution, ratings of its steps and other texts for them."""

from trainer.formats.containers import Fields
from trainer.formats.fields import read_flag, read_list, read_object, read_optional, read_rating, read_split, read_text, steps_of
from trainer.formats.ratings import rate_path
from trainer.formats.values import STEPS, BadLine, NewAlternative, NewProblem, NewSolution


def generic_problem(fields: Fields) -> NewProblem:
    """Return the problem of a line."""
    return NewProblem(
        statement=read_text(fields, "problem"),
        answer=read_optional(fields, "answer", "ground_truth_answer"),
        reference_solution=read_optional(fields, "reference_solution"),
        external_id=read_optional(fields, "id"),
        subject=read_optional(fields, "subject") or "",
        level=read_optional(fields, "level") or "",
        split=read_split(fields, "split", "math_split"),
    )


def generic_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a line, with its labels and its alternatives."""
    problem, source, alternatives = generic_problem(fields), read_optional(fields, "source") or "", _alternatives(fields)
    if "steps" not in fields:
        return [NewSolution(problem, tuple(steps_of(read_text(fields, "solution"))), source=source, alternatives=alternatives)]
    steps = read_list(fields, "steps")
    if all(isinstance(step, str) for step in steps):
        return [NewSolution(problem, tuple(steps), source=source, alternatives=alternatives)]
    rated = [read_object(step, f"step {number}") for number, step in enumerate(steps, 1)]
    texts, ratings = tuple(read_text(step, "text") for step in rated), [read_rating(step) for step in rated]
    if blank := next((number for number, text in enumerate(texts, 1) if not text.strip()), None):
        raise BadLine(f"step {blank} is empty", "Every step needs text")
    flags = [True if read_flag(step) else None for step in rated]
    if all(rating is None for rating in ratings) and not any(flags):
        return [NewSolution(problem, texts, source=source, alternatives=alternatives)]
    return [NewSolution(problem, texts, source=source, annotation=rate_path(fields, ratings, flags), alternatives=alternatives)]


def _alternatives(fields: Fields) -> tuple[NewAlternative, ...]:
    """Return the other texts for steps, given as {"3": [texts]}, numbered from 1, or as a list that has a list for each step."""
    given = fields.get("alternatives")
    if given is None:
        return ()
    if isinstance(given, list):
        given = {str(number): texts for number, texts in enumerate(given, 1)}
    alternatives = []
    for number, texts in read_object(given, "'alternatives'").items():
        if not (number.isascii() and number.isdecimal() and 1 <= int(number[:9]) <= STEPS):
            raise BadLine(f"'alternatives' has the key {number!r}", "Its keys must be step numbers, from 1")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise BadLine(f"the alternatives of step {number} are not a list of texts", "Give each step a list of texts")
        alternatives += [NewAlternative(int(number) - 1, text) for text in texts]
    return tuple(alternatives)
