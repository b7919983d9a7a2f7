"""Find equal answers, so that they vote together. Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from trainer.answers.grading import NUMBER, Grader
from trainer.answers.texts import normalise

_EXHAUSTED = re.compile("timed out|ran out of memory|crashed")


def answer_classes(answers: Sequence[str | None], *, workers: int = 2, timeout: float = 5.0) -> list[int]:
    """Return the equivalence class of each answer, numbered by first appearance; -1 for no answer, which equals no other.

    Answers with the same normal form are joined first. Then the most frequent remaining one is compared with all others, so the graders
    see each pair of distinct normal forms at most once (k forms: k(k - 1)/2 pairs; none for plain numbers). An answer that is too costly
    to read has its own class.
    """
    forms = [normalise(answer) if answer and answer.strip() else None for answer in answers]
    left = sorted(dict.fromkeys(form for form in forms if form is not None), key=Counter(forms).__getitem__, reverse=True)
    with Grader(workers=workers, timeout=timeout) as grader:
        # Compare each once with a harmless expression: one that exhausts the limits here would do so k times, in every comparison.
        costly = [form for form in left if not NUMBER.fullmatch(form)]
        trial = grader.grade_answers([(form, r"\sqrt{2}+z") for form in costly])
        joined = {form: form for form, grade in zip(costly, trial, strict=True) if _EXHAUSTED.search(grade.reason)}
        left = [form for form in left if form not in joined]
        while left:
            head, *others = left
            grades = grader.grade_answers([(other, head) for other in others])
            joined[head] = head
            joined |= {other: head for other, grade in zip(others, grades, strict=True) if grade.outcome == "correct"}
            left = [other for other in others if other not in joined]
    numbers: dict[str, int] = {}
    return [-1 if form is None else numbers.setdefault(joined[form], len(numbers)) for form in forms]
