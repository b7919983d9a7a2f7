"""Exact repeats of a labeled solution are merged, their ratings shared, and no problem outweighs the others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.sums import small, sums
from tests.trainer.test_frozen import frozen
from trainer.cautions import pace_sentences
from trainer.config import TrainConfig
from trainer.data import EncodedSolution, LabeledSolution, RatedAlternative, SolutionText, TrainingSequence
from trainer.repeats import Repeats, cap_problems, merge_repeats
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


def test_soft_labels_are_shared_by_their_weights() -> None:
    soft = replace(rated(1), soft=((0.2, 0.0, 0.8), None, None), weights=(1.0, 0.0, 0.0))
    [one], _ = merge_repeats([soft, rated(-1, key="b")])
    assert one.soft == (pytest.approx((0.6, 0, 0.4)), None, None) and one.weights == (1, 0, 0)


def test_an_alternative_of_repeats_has_the_rating_of_most_and_the_lower_one_of_equally_many() -> None:
    def with_alternatives(*ratings: int) -> LabeledSolution:
        return replace(rated(1, 1, 1), alternatives=tuple(RatedAlternative(1, f"other {i}", r) for i, r in enumerate(ratings)))

    [one], _ = merge_repeats([with_alternatives(1, -1), with_alternatives(1, 1), with_alternatives(-1)])
    assert one.alternatives == (RatedAlternative(1, "other 0", 1), RatedAlternative(1, "other 1", -1))


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
    said = f"{found['n_remaining']} of {found['n_labeled']} labeled solutions remain after exact repeats were merged."
    assert said in pace_sentences(twice.metrics) and f"- {said}\n" in (twice.folder / "README.md").read_text()
    hashes = [json.loads((folder / "manifest.json").read_text()) for folder in (once.folder, twice.folder)]
    weights = "heads.safetensors" if config.frozen else "model.safetensors"
    assert hashes[0][weights] == hashes[1][weights]


def test_capped_problems_and_shared_ratings_are_said() -> None:
    found = Repeats(1_818, 1_339, 12, 1, 2_000, 250.4)
    assert pace_sentences({"training": {"repeats": found.as_dict()}}) == [
        "1,339 of 1,818 labeled solutions remain after exact repeats were merged. People rated 12 of them differently, and the shares of "
        "the ratings are learned.",
        "1 problem was capped, which has 2,000 rated steps: they count as much as 250, so that no problem outweighs all others.",
    ]
