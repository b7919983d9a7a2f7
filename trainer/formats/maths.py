"""The format `math`: MATH, MATH-500 and lists derived from them."""

from trainer.answers import extract_answer
from trainer.formats.fields import read_optional, read_split, read_text
from trainer.formats.objects import Fields
from trainer.formats.values import NewProblem


def math_problem(fields: Fields) -> NewProblem:
    """Return the problem of a line; a missing answer is read from its solution."""
    level = (read_optional(fields, "level", "difficulty") or "").removeprefix("Level ").removesuffix(".0")
    solution, key, answer = read_optional(fields, "solution"), read_optional(fields, "unique_id"), read_optional(fields, "answer")
    return NewProblem(
        statement=read_text(fields, "problem"),
        answer=answer if answer is not None else extract_answer(solution or ""),
        reference_solution=solution,
        external_id=key,
        subject=read_optional(fields, "subject", "type") or "",
        level=level,
        split="test" if (key or "").startswith("test/") else read_split(fields, "split"),
    )
