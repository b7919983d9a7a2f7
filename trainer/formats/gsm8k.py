"""GSM8K's problems, its example solutions, and MR-GSM8K's labels."""

import re

from trainer.formats.fields import read_object, read_optional, read_split, read_text, read_texts, read_whole, with_answer
from trainer.formats.objects import Fields
from trainer.formats.ratings import rate_path
from trainer.formats.values import BadLine, NewProblem, NewSolution
from trainer.steps import split_lines

_CALCULATION = re.compile(r"<<[^<>\n]*>>|<<[^\n]*$", re.MULTILINE)  # GSM8K's <<16-3=13>>, also one that a cut-off line does not close


def gsm8k_problem(fields: Fields) -> NewProblem:
    """GSM8K itself (`answer` ends `#### 18`) and its file of example solutions (`ground_truth` ends `A: 18`)."""
    stated = read_text(fields, "answer" if "ground_truth" not in fields else "ground_truth")
    solution, answer = _worked(stated)
    if answer is None:
        raise BadLine("the reference solution states no answer", "Its last line must be '#### 18' or 'A: 18'")
    return NewProblem(read_text(fields, "question"), answer, _without_blank_lines(solution), split=read_split(fields, "split"))


def gsm8k_solutions(fields: Fields) -> list[NewSolution]:
    """Return one solution for each key that holds an object."""
    problem = gsm8k_problem(fields)
    solutions = []
    for source, value in fields.items():
        if isinstance(value, dict):
            text, answer = _worked(read_text(read_object(fields, source), "solution"))
            text = text if answer is None else with_answer([text] if text else [], answer)[0]
            solutions.append(NewSolution(problem, (), answer, source, text=text))
    return solutions


def _worked(text: str) -> tuple[str, str | None]:
    """Return a solution without its calculations and without the last line, if that is its answer, and the answer."""
    lines = [line.strip() for line in split_lines(_CALCULATION.sub("", text))]
    body = "\n".join(lines).strip()
    before, _, last = body.rpartition("\n")
    if stated := re.match(r"(?:A:|####)\s*(.+)", last):
        return before.strip(), stated[1]
    return body, None


def _without_blank_lines(text: str) -> str:
    return "\n".join(line for line in split_lines(text) if line)


def mr_gsm8k_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a line, rated up to its first mistake, or to its end if it is stated to be right."""
    texts = read_texts(fields, "model_output_steps")
    steps = [_CALCULATION.sub("", re.sub(r"^Step \d+: *", "", step)).strip() for step in texts]
    if not steps:
        raise BadLine("the solution has no steps", "Give it at least one step, or leave the line out")
    key, correctness = "model_output_solution_first_error_step", fields.get("model_output_solution_correctness")
    is_right = isinstance(correctness, str) and correctness.lower() == "correct"
    mistake = None if fields.get(key) == "N/A" else read_whole(fields, key, 1, len(steps), or_else="null for a solution that is right")
    if (mistake is None) != is_right:
        raise BadLine(
            f"{key!r} and 'model_output_solution_correctness' disagree",
            "Give the number of the first wrong step, from 1, or the correctness 'correct' and null",
        )
    if stated := re.match(r"####\s*(.+)", steps[-1]):
        steps = list(with_answer(steps[:-1], stated[1]))
        mistake = mistake and min(mistake, len(steps))
    ratings = [*[1] * (mistake - 1), -1] if mistake else [1] * len(steps)
    annotation = rate_path(Fields({**fields, "finish_reason": None}.items()), ratings, [None] * len(ratings))
    reference, _ = _worked(read_text(fields, "ground_truth_solution"))
    problem = NewProblem(read_text(fields, "question"), read_optional(fields, "ground_truth_answer"), _without_blank_lines(reference))
    return [NewSolution(problem, tuple(steps), source="mr_gsm8k", annotation=annotation)]


def mr_gsm8k_problem(fields: Fields) -> NewProblem:
    """Return the problem of a line."""
    return mr_gsm8k_solutions(fields)[0].problem
