"""The format `qwen_math`: what the evaluation scripts of Qwen2.5-Math write, a problem with several sampled solutions."""

from trainer.answers import extract_answer
from trainer.counting import counted
from trainer.formats.fields import read_list, read_optional, read_split, read_text, read_texts
from trainer.formats.objects import Fields
from trainer.formats.values import BadLine, NewProblem, NewSolution


def qwen_math_problem(fields: Fields) -> NewProblem:
    """Return the problem of a line: `solution` and `gt_cot` are its reference solution, not a model's."""
    return NewProblem(
        read_text(fields, "question"),
        read_optional(fields, "gt", "answer"),
        read_optional(fields, "gt_cot", "solution"),
        level=(read_optional(fields, "level") or "").removeprefix("Level "),
        split=read_split(fields, "split"),
    )


def qwen_math_solutions(fields: Fields) -> list[NewSolution]:
    """Return one solution for each text of `code`. The answer in `pred` counts where the text states none."""
    problem, texts = qwen_math_problem(fields), read_texts(fields, "code")
    answers = read_list(fields, "pred") if fields.get("pred") is not None else [None] * len(texts)
    if len(answers) != len(texts):
        raise BadLine(
            f"'code' has {counted(len(texts), 'solution')}, but 'pred' has {counted(len(answers), 'answer')}",
            "Give each solution one answer, or null",
        )
    return [
        NewSolution(problem, (), None if extract_answer(text) else read_optional(Fields([("pred", answer)]), "pred"), text=text)
        for text, answer in zip(texts, answers, strict=True)
    ]
