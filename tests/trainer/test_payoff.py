"""Whether chosen labels teach more than labels at random: what is compared, what the interval covers, and when nothing can be said."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.sums import sums
from trainer.config import TrainConfig
from trainer.data import LabeledSolution
from trainer.payoff import Addition, Payoff, payoffs

CONFIG = TrainConfig.for_base("tiny", frozen=True, context=200)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def labels() -> list[LabeledSolution]:
    return list(sums(48))


def scrambled(labels: Sequence[LabeledSolution]) -> list[LabeledSolution]:
    """Turn every rating round."""
    return [replace(label, ratings=tuple(-rating if rating else rating for rating in label.ratings)) for label in labels]


def compared(chosen: list[LabeledSolution], at_random: list[LabeledSolution], held_out: list[LabeledSolution], states: Path) -> Payoff:
    found = payoffs([], {"convincing": [Addition(chosen, at_random)]}, held_out, config=CONFIG, states=states)
    return found["convincing"]


def parts(labels: list[LabeledSolution]) -> tuple[list[LabeledSolution], list[LabeledSolution], list[LabeledSolution]]:
    """Return the labels of three parts of the problems: two to learn from, one to judge on."""
    keys = sorted({label.solution.problem_key for label in labels})
    of = {key: number % 3 for number, key in enumerate(keys)}
    one, two, three = ([label for label in labels if of[label.solution.problem_key] == part] for part in range(3))
    return one, two, three


def test_right_labels_teach_more_than_wrong_ones_and_the_interval_says_so(labels: list[LabeledSolution], states: Path) -> None:
    one, two, held_out = parts(labels)
    found = compared(one, scrambled(two), held_out, states)
    auc = found.figures["step_auc"]
    assert auc.low is not None and auc.low > 0 and auc.challenger is not None and auc.champion is not None
    assert auc.challenger > 0.5 > auc.champion and auc.difference == pytest.approx(auc.challenger - auc.champion)
    assert found.n_each == min(len(one), len(two)) and found.n_problems == len({label.solution.problem_key for label in held_out})


def test_labels_that_are_alike_on_both_sides_show_no_difference(labels: list[LabeledSolution], states: Path) -> None:
    doubtful = [label if number % 4 else scrambled([label])[0] for number, label in enumerate(labels)]  # no side can learn everything
    one, two, held_out = parts(doubtful)
    auc = compared(one, two, held_out, states).figures["step_auc"]
    assert auc.low is not None and auc.high is not None and auc.low < 0 < auc.high


def test_of_the_side_with_more_labels_as_many_are_drawn_as_the_other_has(labels: list[LabeledSolution], states: Path) -> None:
    one, two, held_out = parts(labels)
    found = compared(one, two[:12], held_out, states)
    assert found.n_each == 12
    steps = sum(label.n_rated for label in two[:12])
    assert found.steps["at_random"] == steps and found.steps["chosen"] < sum(label.n_rated for label in one) / 1.5


def test_a_comparison_is_the_same_each_time(labels: list[LabeledSolution], states: Path) -> None:
    one, two, held_out = parts(labels)
    assert compared(one[:12], two[:11], held_out, states) == compared(one[:12], two[:11], held_out, states)


def test_too_few_labels_are_said_and_nothing_is_read(labels: list[LabeledSolution], tmp_path: Path) -> None:
    one, two, held_out = parts(labels)
    found = compared(one[:4], two, held_out, tmp_path / "none")
    assert found.figures == {} and found.obstacle.startswith("There are 4 labels of each side so far, and at least 10 are needed.")
    found = compared(one, two, held_out[:3], tmp_path / "none")
    assert found.figures == {} and "at least 10 with and without mistakes are needed" in found.obstacle
    assert not (tmp_path / "none").exists()
