"""Exact repeats of a labeled solution are merged, their ratings shared, and no problem outweighs the others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.sums import SHAPE, small, sums
from tests.trainer.test_frozen import frozen
from trainer.cautions import pace_sentences
from trainer.config import TrainConfig
from trainer.data import EncodedSolution, LabeledSolution, RatedAlternative, SolutionText, TrainingSequence, encode_labeled
from trainer.model import build_tiny
from trainer.repeats import Repeats, cap_problems, learned_rates, merge_repeats
from trainer.train import train


def rated(*ratings: int | None, key: str = "a", problem: str = "p", n_steps: int = 3) -> LabeledSolution:
    return LabeledSolution(SolutionText(key, problem, f"Problem {problem}", tuple(f"step {i}" for i in range(n_steps))), ratings)


def sequence(problem: str, *classes: int) -> TrainingSequence:
    ends = np.arange(1, len(classes) + 1, dtype=np.int32)
    return TrainingSequence(
        EncodedSolution(np.arange(len(classes) + 1, dtype=np.int32), ends, len(classes)), np.array(classes), problem_key=problem
    )


def test_repeats_with_the_same_ratings_become_one_solution() -> None:
    once, other = rated(1, -1), replace(rated(1, 1, 1), solution=SolutionText("c", "p", "Problem p", ("step 0", "step 1")), ratings=(1, 1))
    merged, found = merge_repeats([once, rated(1, -1, 1, key="b"), other])
    assert merged == [once, other], "nothing after the first mistake is a rating"
    assert found == Repeats(3, 2, 0)


def test_repeats_with_other_ratings_share_them_and_a_step_counts_as_many_as_rate_it() -> None:
    [one], found = merge_repeats([rated(1, -1), rated(1, 1, -1, key="b"), rated(0, 1, 1, key="c")])
    assert np.allclose(one.soft, [(0, 1 / 3, 2 / 3), (1 / 3, 0, 2 / 3), (1 / 2, 0, 1 / 2)])
    assert one.weights == pytest.approx((1, 1, 2 / 3)) and one.solution.key == "a"
    assert found == Repeats(3, 1, 1)


def test_a_label_that_stops_earlier_differs_from_none() -> None:
    """Nobody rated the same step differently."""
    [one], found = merge_repeats([rated(1), rated(1, 1, 1, key="b"), rated(1, None, 1, key="c")])
    assert found == Repeats(3, 1, 0) and one.weights == pytest.approx((1, 1 / 3, 2 / 3))


def test_soft_labels_are_shared_by_their_weights() -> None:
    soft = replace(rated(1), soft=((0.2, 0.0, 0.8), None, None), weights=(1.0, 0.0, 0.0))
    [one], _ = merge_repeats([soft, rated(-1, key="b")])
    assert one.soft == (pytest.approx((0.6, 0, 0.4)), None, None) and one.weights == (1, 0, 0)


def test_an_alternative_of_repeats_has_the_shares_of_its_ratings_and_counts_as_many_as_rate_it() -> None:
    def with_alternatives(*ratings: int) -> LabeledSolution:
        return replace(rated(1, 1, 1), alternatives=tuple(RatedAlternative(1, f"other {i}", r) for i, r in enumerate(ratings)))

    [one], _ = merge_repeats([with_alternatives(1, -1), with_alternatives(1, 1), with_alternatives(-1)])
    most, tied = one.alternatives
    assert (most.rating, most.soft, most.weight) == (1, pytest.approx((1 / 3, 0, 2 / 3)), 1)
    assert (tied.rating, tied.soft, tied.weight) == (-1, (0.5, 0, 0.5), pytest.approx(2 / 3))
    [same], _ = merge_repeats([with_alternatives(0), with_alternatives(0)])
    assert same.alternatives == (RatedAlternative(1, "other 0", 0),)


def test_an_alternative_stays_where_as_many_repeats_end_before_it_as_reach_it() -> None:
    """It follows a right step in the view of one of two, so it counts a half, and its sequence has that weight."""
    reached = replace(rated(1, 1, 1), alternatives=(RatedAlternative(2, "another end", 0),))
    for order in (reached, rated(-1, key="b")), (rated(-1, key="b"), reached):
        [one], _ = merge_repeats(order)
        [alternative] = one.supervised_alternatives
        assert (alternative.soft, alternative.weight) == ((0, 1, 0), 0.5)
        tokenizer = build_tiny(["step 0 another end"], shape=SHAPE, context=64, seed=0).tokenizer
        [own, branch] = encode_labeled([one], tokenizer=tokenizer, context=64)
        assert branch.classes.tolist() == [-1, -1, 1] and branch.weight == 0.5 and branch.soft is not None
        assert branch.soft[-1].tolist() == [0, 0.5, 0] and own.weight == 2


def test_the_base_rates_to_beat_are_those_of_merged_labels_by_their_weights() -> None:
    """One solution was rated 1, -1 eight times, and counts once. Of the other one two people differ, so each of them counts a half."""
    labeled, _ = merge_repeats([*[rated(1, -1)] * 8, rated(1, 1, 1, problem="q", n_steps=4), rated(-1, problem="q", n_steps=4)])
    counts = np.array([1 + 1 + 0.5, 1, 1 + 1 + 0.5 + 0.5 + 0.5])
    assert learned_rates(labeled) == pytest.approx(tuple(counts / counts.sum()))


def test_a_problem_counts_at_most_as_four_of_mean_weight() -> None:
    many = [sequence("big", 2, 2, 0)] * 30
    few = [sequence(f"p{i}", 2, -1) for i in range(10)]
    capped, found = cap_problems([*many, *few], Repeats(40, 40, 0))
    assert found == Repeats(40, 40, 0, 1, 90, pytest.approx(400 / 11))
    assert sum(one.weight for one in capped[:30]) == pytest.approx(400 / 11) and capped[30:] == few
    assert capped[0].soft is not None and np.argmax(capped[0].soft, 1).tolist() == [2, 2, 0]
    assert cap_problems(many * 2, Repeats(60, 60, 0))[1].n_capped_problems == 0, "a project of one problem keeps it"


@pytest.mark.parametrize("config", [frozen(), small(language_model_epochs=0, epochs=1)], ids=["frozen", "full"])
def test_a_model_learns_the_same_from_repeats_and_says_how_many_there_were(tmp_path: Path, config: TrainConfig) -> None:
    labeled = sums(20)
    again = [replace(one, solution=replace(one.solution, key=f"{one.solution.key} again")) for one in labeled]
    once, twice = (train(given, config=config, folder=tmp_path / name) for given, name in ((labeled, "one"), ([*labeled, *again], "two")))
    found = twice.metrics["training"]["repeats"]
    assert found["n_remaining"] == once.metrics["training"]["n_solutions"] == found["n_labeled"] / 2
    assert once.metrics["base_rates"] == twice.metrics["base_rates"]
    times = f"{found['n_remaining']} different solutions were labeled {found['n_labeled']} times in all"
    said = f"{times}, and the labels of each one were merged."
    assert said in pace_sentences(twice.metrics) and f"- {said}\n" in (twice.folder / "README.md").read_text()
    hashes = [json.loads((folder / "manifest.json").read_text()) for folder in (once.folder, twice.folder)]
    weights = "heads.safetensors" if config.frozen else "model.safetensors"
    assert hashes[0][weights] == hashes[1][weights]


def test_capped_problems_and_shared_ratings_are_said() -> None:
    found = Repeats(1_818, 1_339, 12, 1, 2_000, 250.4)
    assert pace_sentences({"training": {"repeats": found.as_dict()}}) == [
        "1,339 different solutions were labeled 1,818 times in all, and the labels of each one were merged. In 12 of them a step was rated "
        "differently, and the shares of its ratings are learned.",
        "1 problem was capped, which has 2,000 rated steps: they count as much as 250, so that no problem outweighs all others.",
    ]
