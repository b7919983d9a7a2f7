"""Whether chosen labels teach more than labels at random: what is compared, what the interval covers, and when nothing can be said."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.payoff_world import project_of, says_that_choosing_pays
from tests.trainer.sums import sums
from trainer.config import TrainConfig
from trainer.data import LabeledSolution
from trainer.payoff import ERROR, FREEDOM, ROUNDS, Addition, Payoff, Read, Sides, payoffs, spent, student
from trainer.payoff import compared as compared_as_read

CONFIG = TrainConfig.for_base("tiny", frozen=True, context=200)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample less often."""
    monkeypatch.setattr("trainer.payoff.REPLICATES", 20)


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
    assert found.figures == {} and found.obstacle.startswith(
        "There are 4 labeled solutions of each side so far, and at least 10 are needed."
    )
    found = compared(one, two, held_out[:3], tmp_path / "none")
    assert found.figures == {} and "at least 10 are needed. Label more solutions at random." in found.obstacle
    right = [replace(label, ratings=(1,)) for label in held_out]
    found = compared(one, two, right, tmp_path / "none")
    assert found.figures == {} and "have only mistakes, or none at all" in found.obstacle
    assert not (tmp_path / "none").exists()


def test_labels_of_the_same_solution_count_once_on_both_sides_and_in_the_judgement(labels: list[LabeledSolution], states: Path) -> None:
    one, two, held_out = parts(labels)
    several = compared(one * 3, two + two[:5], held_out * 2, states)
    assert several == compared(one, two, held_out, states)
    assert several.n_judged == len(held_out) and several.n_each == min(len(one), len(two))
    found = payoffs([], {"convincing": [Addition(one, two), Addition(one, two)]}, held_out, config=CONFIG, states=states)["convincing"]
    assert (found.n_rounds, found.n_each) == (1, min(len(one), len(two))), "nor a second time in a later round"


def test_what_lies_beyond_the_context_is_missing_and_that_is_said(labels: list[LabeledSolution], states: Path) -> None:
    one, two, held_out = parts(labels)
    unread = [replace(label, solution=replace(label.solution, problem=label.solution.problem + " and" * 300)) for label in held_out]
    found = compared(one, two, unread, states)
    assert found.figures == {} and "0 problems that no model learns from have a labeled solution" in found.obstacle
    read_until_right = [*unread[3:], *(replace(label, ratings=(1,)) for label in held_out)]
    assert "have only mistakes, or none at all" in compared(one, two, read_until_right, states).obstacle


def test_problems_with_both_kinds_of_solutions_judge_in_any_order(labels: list[LabeledSolution], states: Path) -> None:
    one, two, held_out = parts(labels)
    right = [replace(label, ratings=(1,)) for label in held_out]
    for both in ([*held_out, *right], [*right, *held_out]):
        assert compared(one, two, both, states).obstacle == ""


# --- how sure it is -----------------------------------------------------------------------------------------------------------


def test_students_quantiles_are_those_of_the_tables() -> None:
    table = {(0.025, 9): 2.2622, (0.025, 19): 2.0930, (0.005, 9): 3.2498, (0.001, 19): 3.5794, (0.0005, 99): 3.3919}
    for (error, freedom), quantile in table.items():
        assert student(error, freedom=freedom) == pytest.approx(quantile, abs=0.001)
    assert student(0.001, freedom=FREEDOM) == pytest.approx(5.8934, rel=0.005)


def test_labels_of_few_problems_have_no_interval_and_decide_nothing() -> None:
    rng = np.random.default_rng(0)
    start, held_out = drawn(rng, 6, name="start"), drawn(rng, 24, name="held out")
    for n_problems, has_interval in ((FREEDOM, False), (FREEDOM + 1, True)):
        sides = drawn(rng, n_problems, name="chosen", each=9), drawn(rng, 12, name="random", each=4)
        rounds: list[Sides] = [(sides[0][n::ROUNDS], sides[1][n::ROUNDS]) for n in range(ROUNDS)]
        found = compared_as_read(start, rounds, held_out, seed=0)
        assert (found.figures["step_auc"].low is not None, found.decides["low"] is not None) == (has_interval, has_interval)


def drawn(rng: np.random.Generator, n_problems: int, *, name: str, each: int = 2, mistaken: float = 0.0) -> list[Read]:
    """Draw solutions whose states tell mistakes apart to some degree; a problem shifts all of its own. mistaken: share of false labels."""
    found = []
    for problem in range(n_problems):
        shift = rng.normal(size=4)
        for _ in range(each):
            states = shift + rng.normal(size=(4, 4))
            is_wrong = (rng.random(4) < 1 / (1 + np.exp(1.5 - 2 * states[:, 0]))) ^ (rng.random(4) < mistaken)
            found.append(Read(states.astype(np.float16), np.eye(3)[np.where(is_wrong, 0, 2)], f"{name}-{problem}"))
    return found


def looked(seed: int, *, mistaken: float = 0.0, each: int = 2) -> Payoff:
    """Return what a project of ROUNDS rounds finds out that draws both of its sides at random; `mistaken` labels spoil one of them."""
    rng = np.random.default_rng(seed)
    rounds: list[Sides] = [
        (drawn(rng, 6, name=f"chosen {n}", each=each), drawn(rng, 6, name=f"random {n}", each=each, mistaken=mistaken))
        for n in range(ROUNDS)
    ]
    return compared_as_read(drawn(rng, 6, name="start"), rounds, drawn(rng, 24, name="held out"), seed=seed)


def test_equal_sides_are_rarely_told_apart_and_unequal_ones_are() -> None:
    """The small form of the simulation in docs/rounds.md."""
    equal = [looked(seed).figures["step_auc"] for seed in range(5)]
    assert all(one.low is not None and one.high is not None for one in equal)
    assert sum(one.low < 0 < one.high for one in equal) >= 4  # type: ignore[operator]
    assert len({one.difference for one in equal}) == 5, "each project drew its own labels"
    decides = looked(1, mistaken=1.0).decides
    assert decides["low"] is not None and decides["low"] > 0


@pytest.mark.long
def test_over_six_looks_equal_sides_mislead_at_most_one_project_in_twenty_and_the_intervals_hold_the_effect() -> None:
    equal = [project_of(seed) for seed in range(60)]
    assert sum(map(says_that_choosing_pays, equal)) <= 3
    for worlds in (equal, [project_of(seed, share_false=0.25) for seed in range(1000, 1030)]):
        aucs = [[look.figures["step_auc"] for look in looks] for looks in worlds]
        effects = [float(np.mean([one.difference for one in at_look])) for at_look in zip(*aucs, strict=True)]  # type: ignore[misc]
        held = [one.low < effect < one.high for looks in aucs for one, effect in zip(looks, effects, strict=True)]  # type: ignore[operator]
        assert np.mean(held) > 0.9


def test_the_interval_is_of_problems_and_not_of_solutions() -> None:
    once = looked(3, each=1)
    rng = np.random.default_rng(3)
    rounds: list[Sides] = [(drawn(rng, 6, name=f"chosen {n}", each=1), drawn(rng, 6, name=f"random {n}", each=1)) for n in range(ROUNDS)]
    again: list[Sides] = [(list(chosen) * 4, list(at_random) * 4) for chosen, at_random in rounds]
    start, held_out = drawn(rng, 6, name="start"), drawn(rng, 24, name="held out")
    fourfold = compared_as_read(start, again, held_out * 4, seed=3)
    widths = [one.figures["step_auc"].high - one.figures["step_auc"].low for one in (once, fourfold)]  # type: ignore[operator]
    assert fourfold.n_each == 4 * once.n_each and widths[1] > 0.7 * widths[0], "copies would make it half as wide"


def test_nothing_decides_before_three_rounds() -> None:
    rng = np.random.default_rng(0)
    rounds: list[Sides] = [(drawn(rng, 6, name=f"chosen {n}"), drawn(rng, 6, name=f"random {n}")) for n in range(ROUNDS)]
    start, held_out = drawn(rng, 6, name="start"), drawn(rng, 24, name="held out")
    two, three = (compared_as_read(start, rounds[:n], held_out, seed=0) for n in (ROUNDS - 1, ROUNDS))
    assert two.figures and two.decides == {} and three.decides.keys() == {"error", "low", "high"}


def test_a_project_that_is_looked_at_again_and_again_is_misled_in_at_most_one_case_in_twenty() -> None:
    """40 looks at 3 strategies without an effect, whose labels add up: the share of projects that are ever told that one pays."""
    rng, n_projects, n_looks, n_strategies = np.random.default_rng(0), 4000, 40, 3
    sums = rng.normal(size=(n_projects, n_strategies, ROUNDS - 1 + n_looks)).cumsum(-1)[..., ROUNDS - 1 :]
    sure = sums / np.sqrt(np.arange(ROUNDS, ROUNDS + n_looks))
    limits = np.array([student(spent(look, n_strategies=n_strategies), freedom=10**6) for look in range(1, n_looks + 1)])
    assert 0.005 < (sure > limits).any((1, 2)).mean() <= ERROR
    assert (sure > student(0.025, freedom=10**6)).any((1, 2)).mean() > 3 * ERROR, "the plain interval misleads often"
    assert math.fsum(n_strategies * spent(look, n_strategies=n_strategies) for look in range(1, 1000)) == pytest.approx(ERROR, rel=0.01)
