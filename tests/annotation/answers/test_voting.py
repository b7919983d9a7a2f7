"""Equal answers share a class, so that they vote together."""

import sys
from collections import Counter

import pytest

from trainer.answers import answer_classes, grading, normalise

TOWER = ("9^{9^{9^{9}}}", "9^{9^{9^{8}}}")  # a power tower: no computer algebra system comes back from it


def _count_judged(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    judged = Counter[tuple[str, str]]()
    judge = grading._Judges.judge
    monkeypatch.setattr(grading._Judges, "judge", lambda self, pair: judged.update([pair]) or judge(self, pair))
    return judged


def test_equal_answers_share_a_class_numbered_by_first_appearance() -> None:
    assert answer_classes(["3", "1/2", None, "0.5", r"3 \text{ cm}", "x", "3.0", "", r"\frac12"]) == [0, 1, -1, 1, 0, 2, 0, -1, 1]


def test_an_answer_too_costly_to_read_is_a_class_of_its_own_and_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = _count_judged(monkeypatch)
    votes = [TOWER[0], "x+1", "1+x", TOWER[1], TOWER[0], *map(str, range(10))]
    assert answer_classes(votes, timeout=2) == [0, 1, 1, 2, 0, *range(3, 13)]
    towers = {normalise(tower) for tower in TOWER}
    assert [times for pair, times in judged.items() if towers & set(pair)] == [1, 1]


def test_classes_of_plain_numbers_need_no_child_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert answer_classes(["1,000", "1000.0", "7", "-7", "$7"]) == [0, 0, 1, 2, 1]
