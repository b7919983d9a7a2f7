"""Which texts are Markdown: by signs that nobody writes in plain text."""

import json
from pathlib import Path

import pytest

from trainer.formats import looks_like_markdown


@pytest.mark.parametrize(
    "text",
    [
        "**Step 1**: so.",
        "So it is **7**.",
        "### Step\nSo.",
        "```python\nx\n```",
        "|a|b|\n|---|:-:|\n|1|2|",
        "<think>hm</think>",
        "> ```\n> x",
    ],
)
def test_a_sign_of_markdown_is_seen(text: str) -> None:
    assert looks_like_markdown([text]) == (True, 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "2**3 = 8 and 3**2 = 9",
        "2 ** 3 ** 4",
        "1. First\n2. Second",
        "- 5 = x",
        "a_1 * b_1 * c",
        "So.\n\n# Answer\n\n18",
        "#5 | 6",
        "$|a|b|$",
        "x\n---\ny",
        "",
    ],
)
def test_arithmetic_lists_and_answers_are_no_sign(text: str) -> None:
    assert looks_like_markdown([text]) == (False, 0.0)


def test_a_tenth_of_the_texts_decides() -> None:
    assert looks_like_markdown(["**a**", *["b"] * 9]) == (True, 0.1)
    assert looks_like_markdown(["**a**", *["b"] * 10])[0] is False
    assert looks_like_markdown([]) == (False, 0.0)


def test_hostile_texts_are_plain() -> None:  # and in quadratic time nobody would wait for the end of this test
    hostile = ["**a" * 100_000, "|" * 200_000, "|-" * 100_000 + "x", "#" * 200_000, "*" * 200_000, " " * 200_000, "|  " * 70_000]
    assert looks_like_markdown(hostile) == (False, 0.0)


def test_chat_models_are_told_from_the_older_collections(data: Path) -> None:
    def rows(name: str) -> list[dict]:
        return [json.loads(line) for line in (data / name).read_text().splitlines()[:800]]

    lists = [value for row in rows("best-of-n/math_cot_100.jsonl") for value in row.values() if isinstance(value, list)]
    qwen = [text for texts in lists for text in texts if isinstance(text, str)]
    gsm8k = [row[size]["solution"] for row in rows("gsm8k/example_model_solutions.jsonl") for size in row if isinstance(row[size], dict)]
    prm800k = ["\n".join(step["text"] for step in row["steps"]) for row in rows("prm800k/phase2_labeled_paths_1818.jsonl")]
    maths = [row["solution"] for row in rows("math/math500.jsonl")]
    kinds = {
        name: looks_like_markdown(texts)[0] for name, texts in (("qwen", qwen), ("gsm8k", gsm8k), ("prm800k", prm800k), ("math", maths))
    }
    assert kinds == {"qwen": True, "gsm8k": False, "prm800k": False, "math": False}
