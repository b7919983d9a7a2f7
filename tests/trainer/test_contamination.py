"""Problems of benchmarks are found among others: the same words, or most of the same sequences of words."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from script.benchmark_problems import fingerprints
from trainer import contamination
from trainer.contamination import Finder, Fingerprint, words_of

APPLES = "Anna has 12 apples. She gives 5 of them to Ben and buys 7 more at the market. How many apples does she have now?"
FRACTION = r"Compute $\left(\dfrac{3}{4}\right)^2 + \text{the reciprocal of } 8$ and write it as a fraction in lowest terms."


def finder(*problems: str) -> Finder:
    return Finder({"bench": Fingerprint.of((f"b{place}", text) for place, text in enumerate(problems))})


@pytest.mark.parametrize(
    "text",
    [APPLES, APPLES.upper(), APPLES.replace(" ", "\n  "), APPLES.replace(".", " ;"), APPLES.replace("12", "１２")],
    ids=["bytes", "case", "white space", "punctuation", "wide digits"],
)
def test_the_same_words_are_the_same_problem(text: str) -> None:
    [match] = finder(FRACTION, APPLES).matches("mine", text)
    assert (match.benchmark, match.benchmark_id, match.problem_id, match.is_exact) == ("bench", "b1", "mine", True)


def test_the_layout_of_latex_does_not_make_a_problem_another_one() -> None:
    plain = r"Compute $( \frac{3}{4} )^2 + the reciprocal of 8$ and write it as a fraction in lowest terms."
    assert words_of(plain) == words_of(FRACTION)
    assert finder(FRACTION).matches("mine", plain)[0].is_exact


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"Compute $\arcsin 1$.", r"Compute $\arcsin (-1)$."),
        (r"What is $88 \div 4 \div 2$?", r"What is $88 \div (4 \div 2)$?"),
        ("Given $k > 0$, how many roots has $x^2 = k$ in all?", "Given $k < 0$, how many roots has $x^2 = k$ in all?"),
        ("How much is 5?", "How much is 5!?"),
    ],
)
def test_another_sign_makes_another_problem(one: str, other: str) -> None:
    assert words_of(one) == words_of(other)
    assert not any(match.is_exact for match in finder(one).matches("mine", other))


def test_the_ways_to_write_a_minus_and_to_begin_a_formula_make_no_other_problem() -> None:
    [match] = finder(r"Compute \[x - 1\] for (every) $x$, as in 10,\!000.").matches(
        "mine", "Compute $$x − 1$$ for (every) $x$, as in 10,000."
    )
    assert match.is_exact


def test_a_problem_with_one_other_number_is_near() -> None:
    [match] = finder(APPLES).matches("mine", APPLES.replace("7 more", "9 more"))
    assert not match.is_exact and 0.6 <= match.share < 1


def test_a_problem_inside_a_longer_text_is_near_and_not_the_same() -> None:
    [match] = finder(APPLES).matches("mine", f"Read this first and then answer. {APPLES} Give only the number.")
    assert match.share == 0.99 and not match.is_exact


def test_a_short_problem_is_only_found_as_a_whole() -> None:
    short = "What is 2 + 2 in base ten?"
    assert finder(short).matches("mine", short)[0].is_exact
    assert finder(short).matches("mine", f"{short} Explain.") == []


def test_another_problem_is_no_match() -> None:
    assert finder(APPLES).matches("mine", "A train travels 60 miles in 2 hours. How far does it travel in 5 hours at the same speed?") == []


def test_the_nearest_problem_of_each_benchmark_is_named_once() -> None:
    nearer, farther = APPLES.replace("7 more", "9 more"), APPLES.replace("7 more at the market", "9 more")
    both = {"one": Fingerprint.of([("far", farther), ("near", nearer)]), "two": Fingerprint.of([("only", farther)])}
    assert [(match.benchmark, match.benchmark_id) for match in Finder(both).matches("mine", APPLES)] == [("one", "near"), ("two", "only")]


def test_fingerprints_come_back_from_their_file(tmp_path: Path) -> None:
    made = {"bench": Fingerprint.of([("a", APPLES), ("b", FRACTION), ("again", APPLES)])}
    contamination.store(made, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as stored:
        assert list(stored["bench/ids"]) == ["a", "b"] and len(stored["bench/starts"]) == 3


def test_the_shipped_fingerprints_hold_no_text() -> None:
    assert {name: len(fingerprint) for name, fingerprint in contamination.shipped().items()} == {
        "MATH-500": 500, "GSM8K test": 1_319, "ProcessBench": 1_330,
    }  # fmt: skip
    for fingerprint in contamination.shipped().values():
        assert all(len(problem_id) < 50 for problem_id in fingerprint.ids)
        assert (fingerprint.texts.dtype, fingerprint.sequences.dtype) == (np.uint64, np.uint32)


def test_the_shipped_fingerprints_are_those_of_the_published_files(data: Path) -> None:
    for name, made in fingerprints(data).items():
        shipped = contamination.shipped()[name]
        assert made.ids == shipped.ids
        for part in ("texts", "sequences", "starts"):
            assert np.array_equal(getattr(made, part), getattr(shipped, part))


def test_every_published_problem_is_found(data: Path) -> None:
    found = Finder(contamination.shipped())
    for line in (data / "math" / "math500.jsonl").read_text().splitlines()[:50]:
        row = json.loads(line)
        matches = found.matches("mine", row["problem"])
        assert ("MATH-500", row["unique_id"], True) in [(match.benchmark, match.benchmark_id, match.is_exact) for match in matches]


def test_the_training_problems_of_math_hold_as_many_as_the_document_says(data: Path) -> None:
    found, rows = Finder(contamination.shipped()), json.loads((data / "math" / "train7474_answers.json").read_text())
    matches = [match for row in rows for match in found.matches("mine", row["problem"])]
    assert Counter((match.benchmark, match.is_exact) for match in matches) == {
        ("ProcessBench", True): 1, ("ProcessBench", False): 87, ("MATH-500", False): 48,
    }  # fmt: skip
