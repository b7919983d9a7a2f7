"""The format `generic`: a problem and, if the line has them, a solution, ratings of its steps and other texts for them."""

from trainer.counting import counted
from trainer.formats.fields import (
    as_object,
    as_rating,
    read_flag,
    read_list,
    read_object,
    read_optional,
    read_rating,
    read_split,
    read_text,
)
from trainer.formats.objects import Fields, type_in_words
from trainer.formats.ratings import rate_path
from trainer.formats.values import STEPS, BadLine, NewAlternative, NewProblem, NewSolution, in_words


def generic_problem(fields: Fields) -> NewProblem:
    """Return the problem of a line."""
    return NewProblem(
        statement=read_text(fields, "problem", "question"),
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
    if fields.get("steps") is None:
        if fields.get("ratings") is not None:
            raise BadLine("there are 'ratings', but no 'steps'", "Give the solution as a list of 'steps', so that each rating has its step")
        return [NewSolution(problem, (), source=source, alternatives=alternatives, text=read_text(fields, "solution"))]
    texts, ratings, flags = _steps(fields)
    if all(rating is None for rating in ratings) and not any(flags):
        return [NewSolution(problem, texts, source=source, alternatives=alternatives)]
    if blank := next((number for number, text in enumerate(texts, 1) if not text.strip()), None):
        raise BadLine(f"step {blank} is empty", "Every step needs text")
    return [NewSolution(problem, texts, source=source, annotation=rate_path(fields, ratings, flags), alternatives=alternatives)]


def _steps(fields: Fields) -> tuple[tuple[str, ...], list[int | None], list[bool | None]]:
    """Return the steps with a rating and a flag for each: from objects, or from texts and `ratings`."""
    steps = read_list(fields, "steps")
    if all(isinstance(step, str) for step in steps):
        ratings = [as_rating(rating) for rating in read_list(fields, "ratings")] if fields.get("ratings") is not None else []
        if len(ratings) > len(steps):
            raise BadLine(
                f"the solution has {counted(len(steps), 'step')}, but {counted(len(ratings), 'rating')}",
                "Give at most one rating for each step",
            )
        return tuple(steps), ratings + [None] * (len(steps) - len(ratings)), [None] * len(steps)
    if fields.get("ratings") is not None:
        raise BadLine("there are 'ratings', but 'steps' holds objects with ratings of their own", "Keep one of the two")
    wrong = next(((number, step) for number, step in enumerate(steps, 1) if not isinstance(step, str | dict)), None)
    if wrong and isinstance(steps[0], str):  # else the objects are what is wanted
        raise BadLine(f"'steps' has {type_in_words(wrong[1])} as step {wrong[0]}", "Write every step as a text")
    rated = [as_object(step, f"step {number}") for number, step in enumerate(steps, 1)]
    return (
        tuple(read_text(step, "text") for step in rated),
        [read_rating(step) for step in rated],
        [True if read_flag(step) else None for step in rated],
    )


def _alternatives(fields: Fields) -> tuple[NewAlternative, ...]:
    """Return the other texts for steps, given as {"3": [texts]}, numbered from 1, or as a list that has a list for each step."""
    if (given := fields.get("alternatives")) is None:
        return ()
    if isinstance(given, list):
        by_step = {str(number): texts for number, texts in enumerate(given, 1)}
    else:
        by_step = dict(read_object(fields, "alternatives"))
    alternatives = []
    for number, texts in by_step.items():
        if not (number.isascii() and number.isdecimal() and 1 <= int(number[:9]) <= STEPS):
            raise BadLine(f"'alternatives' has the key {in_words(number)}", "Its keys must be step numbers, from 1")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise BadLine(f"the alternatives of step {number} are not a list of texts", "Give each step a list of texts")
        alternatives += [NewAlternative(int(number) - 1, text) for text in texts]
    return tuple(alternatives)
