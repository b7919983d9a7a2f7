"""The answer that a solution states is found, however it is stated."""

import pytest

from tests.waiting import PATIENCE
from trainer.answers import extract_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("We add.\nSo 2 + 2 = 4.\n\n# Answer\n\n4", "4"),
        ("She makes 9 * 2 = $<<9*2=18>>18.\nA: 18", "18"),
        ("9 * 2 = 18 dollars\n#### 18\n", "18"),
        (r"First \boxed{1}, then $x = \boxed{\frac{1}{\sqrt{2}}}$.", r"\frac{1}{\sqrt{2}}"),
        (r"A set: \boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{x = \boxed{5}}", r"x = \boxed{5}"),
        (r"Once \boxed{7}, and then \boxed{8 is cut of", "7"),
        ("So the answer is 1244.", "1244"),
        ("The final answer is: $\\frac12$. I hope it is correct.", r"\frac12"),
        ("The answer to the question is 3.5 hours. Done.", "3.5 hours"),
        ("So the answer is $5 or $6.", "$5 or $6"),
        ("**Answer:** 12", "12"),
        ("#### Step 1\nWe add.\nSo the answer is 4", "4"),
        ("For the thirteenth glass Kylar needs to pay 5 * 1", None),
        ("A: ", None),
        ("", None),
    ],
)
def test_the_stated_answer_is_found(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


def test_the_answer_heading_goes_before_every_other_way_to_state_an_answer() -> None:
    assert extract_answer("The answer is 1, or \\boxed{2}.\n\n# Answer\n\n3") == "3"
    assert extract_answer("The answer is 1, or \\boxed{2}.\nA: 3") == "3"
    assert extract_answer("The answer is 1, or \\boxed{2}.") == "2"


@pytest.mark.timeout(PATIENCE)
def test_extraction_of_a_hostile_text_takes_linear_time() -> None:
    # Longer than any text, so that one that looked ahead from each place would reach this test's limit.
    assert extract_answer("\\boxed{" * 200_000) is None
    assert extract_answer("answer " * 200_000) is None
