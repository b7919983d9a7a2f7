"""The switch: what a measured figure makes of a recipe, and the sentence that says so."""

import pytest

from active_learning.selection import Recipe, decided, has_switch, switched

APART = {"challenger": 0.30, "champion": 0.36, "low": -0.09, "high": -0.02, "n_problems": 40}


def test_a_model_that_is_clearly_better_than_the_base_rate_asks_about_unclear_mistakes() -> None:
    decision = decided(3, {"over_base_rate": APART})
    assert decision.takes == "entropy" and (decision.low, decision.high, decision.n_problems) == (-0.09, -0.02, 40)
    assert decision.sentence == (
        "Solutions whose first mistake is unclear are taken: on 40 held-out problems the log-loss of model 3 is 0.300, which is clearly "
        "below the 0.360 of the base rate (difference -0.060, 95 % between -0.090 and -0.020)."
    )


@pytest.mark.parametrize(
    ("number", "metrics", "said"),
    [
        (3, {"over_base_rate": APART | {"high": 0.001}}, "which is not clearly below the 0.360"),
        (3, {"over_base_rate": APART | {"challenger": 0.4, "low": 0.01, "high": 0.1}}, "which is not clearly below the 0.360"),
        (3, {"over_base_rate": APART | {"low": None, "high": None}}, "too few held-out labels show whether model 3 is better"),
        (3, {"over_base_rate": {}}, "too few held-out labels"),
        (3, {"log_loss": 0.1}, "model 3 was judged before its distance to the base rate was measured"),
        (None, {}, "no model serves yet"),
    ],
)
def test_otherwise_typical_solutions_are_taken_and_a_sentence_says_why(number: int | None, metrics: dict[str, object], said: str) -> None:
    decision = decided(number, metrics)
    assert decision.takes == "typical" and said in decision.sentence and decision.sentence.startswith("Typical solutions are taken: ")


def test_what_is_decided_takes_the_place_of_the_switch_with_its_weight() -> None:
    recipe = Recipe((("typical_first", 0.6), ("entropy", 0.2), ("uniform", 0.2)), 10, per_problem=2)
    assert has_switch(recipe) and not has_switch(switched(recipe, "typical"))
    assert switched(recipe, "typical").parts == (("typical", 0.6), ("entropy", 0.2), ("uniform", 0.2))
    assert dict(switched(recipe, "entropy").parts) == pytest.approx({"entropy": 0.8, "uniform": 0.2})
    assert switched(recipe, "entropy").per_problem == 2
