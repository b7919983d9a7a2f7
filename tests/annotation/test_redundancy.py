"""The rule by which one more person is asked, and what thresholds would have asked for."""

import pytest

from annotation.redundancy import (
    Ask,
    LabelsSoFar,
    ModelVerdict,
    PastLabel,
    Thresholds,
    Why,
    foresee,
    gold_share,
    next_ask,
    second_asks,
)

ALL = Thresholds(limit=3, model=0.8, gold=0.75, spread=1.0)
LABEL = PastLabel(LabelsSoFar([1], 1), None)
DOUBTED = PastLabel(LabelsSoFar([1], 1, against=0.9), None)


def test_without_a_limit_nobody_is_asked() -> None:
    assert next_ask(LabelsSoFar([1], 1, against=1.0, gold=0.0, entropy=3.0), Thresholds(None, 0.8, 0.75, 1.0)) is None
    assert next_ask(LabelsSoFar([1, 2], 2), Thresholds()) is None


def test_one_label_that_nothing_contradicts_stays_the_only_one() -> None:
    assert next_ask(LabelsSoFar([1], 1), ALL) is None
    assert next_ask(LabelsSoFar([1], 1, against=0.79, gold=0.75, entropy=1.0), ALL) is None


@pytest.mark.parametrize(
    ("figures", "ask"),
    [
        ({"against": 0.8}, Ask(Why.MODEL, 0.8, 0.8)),
        ({"gold": 0.74}, Ask(Why.GOLD, 0.74, 0.75)),
        ({"entropy": 1.01}, Ask(Why.SPREAD, 1.01, 1.0)),
        ({"against": 0.9, "gold": 0.1, "entropy": 2.0}, Ask(Why.MODEL, 0.9, 0.8)),
    ],
)
def test_each_figure_past_its_threshold_asks_for_a_second_person(figures: dict[str, float], ask: Ask) -> None:
    assert next_ask(LabelsSoFar([2], 1, **figures), ALL) == ask


@pytest.mark.parametrize("name", ["model", "gold", "spread"])
def test_a_reason_that_is_switched_off_asks_for_nobody(name: str) -> None:
    off = Thresholds(**({"limit": 3, "model": 0.8, "gold": 0.75, "spread": 1.0} | {name: None}))
    whys = [ask.why for ask in second_asks(off, against=1.0, gold=0.0, entropy=9.0)]
    assert whys == [why for why in (Why.MODEL, Why.GOLD, Why.SPREAD) if why != name]


def test_two_people_who_contradict_each_other_ask_for_a_third() -> None:
    assert next_ask(LabelsSoFar([1, 2], 2), ALL) == Ask(Why.CONFLICT, 1.0, 2.0)
    assert next_ask(LabelsSoFar([None, 0], 2), ALL) == Ask(Why.CONFLICT, 1.0, 2.0)


def test_two_people_who_agree_ask_for_nobody_whatever_the_model_says() -> None:
    assert next_ask(LabelsSoFar([None, None], 2, against=1.0, gold=0.0, entropy=3.0), ALL) is None


def test_people_are_asked_until_more_than_half_agree_and_never_above_the_limit() -> None:
    five = Thresholds(limit=5)
    assert next_ask(LabelsSoFar([1, 2, 1], 3), five) is None
    assert next_ask(LabelsSoFar([1, 2, 3], 3), five) == Ask(Why.CONFLICT, 1.0, 2.0)
    assert next_ask(LabelsSoFar([1, 2, 1, 2], 4), five) == Ask(Why.CONFLICT, 2.0, 3.0)
    assert next_ask(LabelsSoFar([1, 2, 1, 2, 3], 5), five) is None


def test_who_gave_up_counts_for_the_limit_and_asks_for_nobody() -> None:
    assert next_ask(LabelsSoFar([], 2), ALL) is None
    assert next_ask(LabelsSoFar([1], 2, against=0.9), ALL) == Ask(Why.MODEL, 0.9, 0.8)
    assert next_ask(LabelsSoFar([1], 3, against=0.9), ALL) is None


def test_a_solution_whose_first_mistake_is_known_asks_for_nobody() -> None:
    assert next_ask(LabelsSoFar([1, 2], 2, is_settled=True), ALL) is None


@pytest.mark.parametrize(
    ("labels", "ask"),
    [
        (LabelsSoFar([], 1, quarantined=1), Ask(Why.QUARANTINE, 0.0, 1.0)),
        (LabelsSoFar([], 2, quarantined=1), Ask(Why.QUARANTINE, 0.0, 1.0)),  # the other one gave up
        (LabelsSoFar([], 3, quarantined=1), None),  # above the limit
        (LabelsSoFar([], 1, quarantined=1, is_settled=True), None),
        (LabelsSoFar([1], 2, quarantined=1), None),  # a label is left that counts
    ],
)
def test_somebody_is_asked_in_the_place_of_people_in_quarantine(labels: LabelsSoFar, ask: Ask | None) -> None:
    assert next_ask(labels, ALL) == ask


def test_three_people_of_whom_two_agree_are_no_conflict_in_the_preview() -> None:
    agreeing = PastLabel(LabelsSoFar([1, 2, 2], 3), True)  # the first two contradict each other
    assert foresee([agreeing], Thresholds(4)).certain == 0
    assert foresee([PastLabel(LabelsSoFar([1, 2, 3], 3), True)], Thresholds(4)).certain == 1


def test_a_model_is_as_sure_as_it_is_of_a_mistake_or_of_none() -> None:
    sees_one, sees_none = ModelVerdict(2, 0.1), ModelVerdict(None, 0.95)
    assert (sees_one.against(2), sees_none.against(None)) == (None, None)
    assert sees_one.against(None) == sees_one.against(0) == pytest.approx(0.9)
    assert sees_none.against(3) == 0.95


def test_a_labeler_with_fewer_than_ten_answers_on_gold_is_not_judged() -> None:
    assert gold_share(0, 9) is None and gold_share(0, 0) is None
    assert gold_share(6, 10) == 0.6


def test_a_label_with_three_reasons_is_one_more_label_in_the_preview() -> None:
    labels = [PastLabel(LabelsSoFar([1], 1, 0.9, 0.5, 2.0), None), PastLabel(LabelsSoFar([1], 1, gold=0.5), None), LABEL]
    foreseen = foresee(labels, Thresholds(2, 0.8, 0.75, 1.0))
    assert foreseen.second == foreseen.more == 2
    assert foreseen.reasons == {Why.QUARANTINE: 0, Why.MODEL: 1, Why.GOLD: 2, Why.SPREAD: 1}


def test_a_third_label_is_foreseen_by_how_often_two_people_contradicted_each_other() -> None:
    pairs = [PastLabel(LabelsSoFar([1, 2 if number < 4 else 1], 2), number < 4) for number in range(10)]
    asked = [DOUBTED] * 20
    assert foresee(pairs + asked, Thresholds(2, 0.8)).third == 0.0  # the limit is reached
    assert foresee(pairs, ALL).third == 4.0
    assert foresee(pairs + asked, ALL).third == 4.0 + 20 * 0.4
    few = foresee(pairs[1:] + asked, ALL)
    assert (few.third, few.certain, few.more) == (None, 3, 23)  # nine pairs are too few to say more than what is sure


def test_without_a_limit_nothing_is_foreseen() -> None:
    foreseen = foresee([PastLabel(LabelsSoFar([1], 1, 0.9, 0.1, 3.0), None)], Thresholds(None, 0.8, 0.75, 1.0))
    assert (foreseen.second, foreseen.third) == (0, 0.0)
