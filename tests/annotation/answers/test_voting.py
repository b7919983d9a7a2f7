"""Equal answers share a class, so that they vote together, whatever their order."""

import random
import sys
from collections import Counter
from collections.abc import Sequence

import pytest

from trainer.answers import Grade, Grader, answer_classes, grading, group_answers, normalise

TOWER = ("9^{9^{9^{9}}}", "9^{9^{9^{8}}}")  # a power tower: no computer algebra system comes back from it
EQUAL = [  # each line is one answer in several spellings
    ("3", "3.0", r"\boxed{3}", "$3$"),
    ("0.5", "1/2", r"\frac12", ".50"),
    (r"2\sqrt{3}", r"\sqrt{12}"),
    ("x+1", "1+x"),
    ("(1, 2)", r"\left(1,2\right)"),
    (r"\text{Evelyn}", "Evelyn"),
    (r"\frac{\pi}{4}", r"\pi/4"),
    ("-0.25", r"-\frac{1}{4}"),
    ("12",),
    ("x^2",),
    ("[1,2]",),
]


def _count_judged(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    judged = Counter[str]()
    judge = grading._Judges.judge

    def count(self: grading._Judges, pair: tuple[str, str], *rest: object) -> Grade:
        judged.update(pair)
        return judge(self, pair, *rest)

    monkeypatch.setattr(grading._Judges, "judge", count)
    return judged


def partition(answers: Sequence[str | None], classes: Sequence[int]) -> set[frozenset[int]]:
    """Return the places of the answers of each class."""
    return {frozenset(place for place in range(len(answers)) if classes[place] == number) for number in set(classes) - {-1}}


def test_equal_answers_share_a_class_numbered_by_first_appearance() -> None:
    assert answer_classes(["3", "1/2", None, "0.5", "x", "3.0", "", r"\frac12"]) == [0, 1, -1, 1, 2, 0, -1, 1]


def test_all_spellings_of_an_answer_are_one_class_and_different_answers_are_not() -> None:
    answers = [spelling for spellings in EQUAL for spelling in spellings]
    assert answer_classes(answers) == [number for number, spellings in enumerate(EQUAL) for _ in spellings]


def test_the_classes_of_a_permutation_are_the_permutation_of_the_classes() -> None:
    rng, answers = random.Random(0), [*(spelling for spellings in EQUAL for spelling in spellings), None, "", "3"]
    orders = [rng.sample(range(len(answers)), len(answers)) for _ in range(20)]
    expected = partition(answers, answer_classes(answers))
    for order, classes in zip(orders, group_answers([([answers[i] for i in order], None) for order in orders]), strict=True):
        assert {frozenset(order[place] for place in members) for members in partition(order_of(answers, order), classes)} == expected


def order_of(answers: Sequence[str | None], order: Sequence[int]) -> list[str | None]:
    return [answers[place] for place in order]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_does_not_matter_even_where_equality_is_not_transitive(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    letters = [f"{letter}+1" for letter in "abcdefgh"]
    outcomes = {
        frozenset((one, other)): rng.choice(["correct", "wrong", "unsure", "unsure"]) for one in letters for other in letters if one < other
    }

    def draw(self: Grader, pairs: list[tuple[str, str]], **_: object) -> list[Grade]:
        return [Grade(outcomes[frozenset(pair)], "drawn") for pair in pairs]  # type: ignore[arg-type]

    monkeypatch.setattr(Grader, "grade_answers", draw)
    expected = partition(letters, answer_classes(letters))
    for _ in range(10):
        order = rng.sample(range(len(letters)), len(letters))
        classes = answer_classes([letters[i] for i in order])
        assert {frozenset(order[place] for place in members) for members in partition(letters, classes)} == expected


@pytest.mark.parametrize(
    ("last", "classes"),
    [("unsure", [0, 0, 0]), ("ungraded", [0, 0, 0]), ("wrong", [0, 1, 2])],
)
def test_a_chain_of_equal_answers_is_one_class_unless_it_joins_different_ones(
    last: str, classes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = {("b+1", "a+1"): "correct", ("c+1", "b+1"): "correct", ("c+1", "a+1"): last}

    def draw(self: Grader, pairs: list[tuple[str, str]], **_: object) -> list[Grade]:
        return [Grade(outcomes[pair], "") for pair in pairs]  # type: ignore[arg-type]

    monkeypatch.setattr(Grader, "grade_answers", draw)
    assert answer_classes(["a+1", "b+1", "c+1"]) == classes


def test_right_answers_are_one_class_with_the_answers_that_equal_one_of_them() -> None:
    answers, right = ["1/2", "one half of it", "0.5", "3", r"\frac12", None], [True, True, False, False, True, True]
    assert answer_classes(answers, right) == [0, 0, 0, 1, 0, -1]


def test_each_pair_of_forms_is_graded_once_for_all_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = _count_judged(monkeypatch)
    votes = ["x+1", "1+x", "x + 1", "1+x", "7"]
    assert group_answers([(votes, None), (votes[::-1], None)]) == [[0, 0, 0, 0, 1], [0, 1, 1, 1, 1]]
    assert judged == {"x+1": 2, "1+x": 2, "7": 2}


def test_an_answer_too_costly_to_read_is_a_class_of_its_own_and_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = _count_judged(monkeypatch)
    votes = [TOWER[0], "x+1", "1+x", TOWER[1], TOWER[0], *map(str, range(10))]
    assert answer_classes(votes, timeout=1) == [0, 1, 1, 2, 0, *range(3, 13)]
    towers = {normalise(tower) for tower in TOWER}
    assert [times for text, times in judged.items() if normalise(text) in towers] == [1, 1]


def test_classes_of_plain_numbers_need_no_child_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert answer_classes(["1,000", "1000.0", "7", "-7", "$7$"]) == [0, 0, 1, 2, 1]
    assert answer_classes([r"\frac{1}{2}", "3", r"\frac{2}{3}", r"\sqrt{3}", r"\frac{\sqrt{3}}{2}", r"-\pi", r"\frac{1}{2}"]) == [
        0,
        1,
        2,
        3,
        4,
        5,
        0,
    ]
