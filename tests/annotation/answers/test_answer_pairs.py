"""A table of answers with their references, of all kinds: which are the same, and why. `benchmarks/answer_pairs.tsv`
says it; a person wrote each line. The short form grades one of three lines of each kind and reason, the long form all of them."""

import csv
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT
from trainer.answers import Grade, Grader, Rules, grade_answers


class Pair(NamedTuple):
    answer: str
    reference: str
    value: str  # equal or different
    kind: str
    why: str


def read_pairs() -> list[Pair]:
    with (ROOT / "benchmarks" / "answer_pairs.tsv").open(encoding="utf-8", newline="") as file:
        return [Pair(**row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


PAIRS = read_pairs()
BY_RULE = {"percent or its value", "lowest terms"}  # equal for a project that says so


STRIDE = 3
Graded = dict[Pair, Grade]


def one_of_three() -> list[Pair]:
    """Return the first, fourth and so on of each kind, value and reason; of what a rule decides, all."""
    groups = defaultdict[tuple[str, str, str], list[Pair]](list)
    for pair in PAIRS:
        groups[pair.kind, pair.value, pair.why].append(pair)
    return [pair for (kind, *_), group in groups.items() for pair in group[:: 1 if kind in BY_RULE else STRIDE]]


@pytest.fixture(scope="module")
def grades(request: pytest.FixtureRequest) -> Graded:
    pairs = PAIRS if request.config.getoption("--long") else one_of_three()
    return dict(zip(pairs, grade_answers([(pair.answer, pair.reference) for pair in pairs]), strict=True))


def outcomes(grades: Graded, value: str, *named: str) -> list[str]:
    return [
        f"{pair.answer} | {pair.reference} ({pair.kind}: {grade.reason})"
        for pair, grade in grades.items()
        if pair.value == value and grade.outcome in named
    ]


def test_the_table_has_at_least_600_different_pairs_and_no_kind_makes_up_a_sixth_of_it() -> None:
    assert len({(pair.answer, pair.reference) for pair in PAIRS}) == len(PAIRS) >= 600
    assert {pair.value for pair in PAIRS} == {"equal", "different"} and all(all(pair) for pair in PAIRS)
    kinds = Counter(pair.kind for pair in PAIRS)
    assert len(kinds) > 30 and max(kinds.values()) < len(PAIRS) / 6
    assert len(PAIRS) / STRIDE <= len(one_of_three()) < len(PAIRS) / 2


def test_no_different_answers_are_called_correct(grades: Graded) -> None:
    assert outcomes(grades, "different", "correct") == []


def test_no_equal_answers_are_called_wrong(grades: Graded) -> None:
    assert outcomes(grades, "equal", "wrong") == []


def test_at_most_one_in_twenty_equal_answers_stays_undecided(grades: Graded) -> None:
    undecided = outcomes(grades, "equal", "unsure", "ungraded")
    assert len(undecided) <= sum(pair.value == "equal" for pair in grades) / 20, undecided


def test_most_different_answers_are_called_wrong(grades: Graded) -> None:
    assert len(outcomes(grades, "different", "wrong")) > sum(pair.value == "different" for pair in grades) / 2


def test_the_outcome_does_not_depend_on_which_of_the_two_is_the_reference(grades: Graded) -> None:
    some = list(grades)[::5]
    swapped = grade_answers([(pair.reference, pair.answer) for pair in some])
    different = [
        pair for pair, grade in zip(some, swapped, strict=True) if (grade.outcome == "correct") != (grades[pair].outcome == "correct")
    ]
    assert different == []


def test_a_project_can_accept_fractions_that_are_not_in_lowest_terms_and_percentages_for_their_value() -> None:
    pairs = [pair for pair in PAIRS if pair.kind in BY_RULE]
    with Grader(workers=1, rules=Rules(unreduced=True, percent=True)) as grader:
        grades = grader.grade_answers([(pair.answer, pair.reference) for pair in pairs])
    assert [pair for pair, grade in zip(pairs, grades, strict=True) if grade.outcome != "correct"] == []


def test_without_its_rule_such_a_pair_is_unsure(grades: Graded) -> None:
    named = [grade.outcome for pair, grade in grades.items() if pair.kind in BY_RULE]
    assert len(named) > 5 and set(named) <= {"unsure", "ungraded"}


def test_one_rule_does_not_bring_the_other() -> None:
    with Grader(workers=1, rules=Rules(unreduced=True)) as grader:
        assert [grade.outcome for grade in grader.grade_answers([("2/4", "1/2"), ("10%", "0.1")])] == ["correct", "unsure"]
    with Grader(workers=1, rules=Rules(percent=True)) as grader:
        assert [grade.outcome for grade in grader.grade_answers([("2/4", "1/2"), ("10%", "0.1")])] == ["unsure", "correct"]


def math_answers(data: Path) -> list[str]:
    """Every fortieth distinct MATH answer that is no integer, in an order of chance."""
    problems = json.loads((data / "math/train7474_answers.json").read_text(encoding="utf-8"))
    distinct = sorted({problem["answer"] for problem in problems if problem["answer"] and not problem["answer"].lstrip("-").isdigit()})
    return random.Random(3).sample(distinct, len(distinct) // 40)


def test_an_answer_with_one_sign_or_digit_changed_is_never_correct(data: Path) -> None:
    rng, pairs = random.Random(4), []
    for answer in math_answers(data):
        if digits := [place.start() for place in re.finditer(r"\d", answer)]:
            place = rng.choice(digits)
            pairs.append((f"{answer[:place]}{(int(answer[place]) + rng.randrange(1, 9)) % 10}{answer[place + 1 :]}", answer))
        changes = [("+", "-"), ("(", "["), (",", "+"), ("x", "y"), ("pi", "e"), ("-", "")]
        pairs += [(answer.replace(old, new, 1), answer) for old, new in changes if old in answer][:1]
    assert len(pairs) > 50
    assert [pair for pair, grade in zip(pairs, grade_answers(pairs), strict=True) if grade.outcome == "correct"] == []


def test_an_answer_in_another_spelling_is_correct(data: Path) -> None:
    spellings: list[Callable[[str], str]] = [
        lambda text: f"$ {text} $",
        lambda text: rf"\boxed{{{text}}}",
        lambda text: text.replace(r"\frac", r"\dfrac").replace("=", " = "),
        lambda text: text.replace("(", r"\left(").replace(")", r"\right)"),
        lambda text: text.replace(r"\sqrt", "√").replace(r"\pi", "π").replace("^2", "²").replace("-", "−"),
    ]
    pairs = [(spell(answer), answer) for answer in math_answers(data) for spell in spellings]
    assert [pair for pair, grade in zip(pairs, grade_answers(pairs), strict=True) if grade.outcome != "correct"] == []
