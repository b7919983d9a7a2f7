"""Labels that people gave, hidden and revealed: what is refused, what is kept apart, and what the figures of many splits say."""

import json
from pathlib import Path

import numpy as np
import pytest

from active_learning.experiment.curves import student
from benchmarks import real_labels
from benchmarks.hidden_labels import gains, splits
from tests.trainer.sums import sums

PROTOCOL = {"held_out": 0.3333, "penalty": 100, "sizes": [4, 8], "draws_of_uniform": 1, "arms": {}}
IDENTITY = {"protocol": "p", "base": "b", "layers": [1], "data": {"prm800k": "d"}, "code": "c", "libraries": "l"}


@pytest.fixture(scope="module")
def labeled() -> splits.LabeledSet:
    """12 problems, two solutions each, with states that know nothing."""
    solutions = sums(12)
    lengths = [len(one.solution.steps) for one in solutions]
    states = np.random.default_rng(0).normal(size=(sum(lengths), 8)).astype(np.float16)
    return splits.LabeledSet(
        "prm800k", solutions, np.array([one.first_mistake is None for one in solutions], np.int8), np.repeat(np.arange(12), 2), states,
        np.repeat(np.arange(len(solutions)), lengths), np.concatenate([np.arange(n) for n in lengths]),
        np.concatenate([splits.rated_classes(one, n) for one, n in zip(solutions, lengths, strict=True)]), "digest",
    )  # fmt: skip


def test_a_pool_that_is_smaller_than_the_largest_size_is_refused(labeled: splits.LabeledSet) -> None:
    splits.refuse_small_pools(labeled, [1, 2], PROTOCOL | {"sizes": [4, 16]})
    with pytest.raises(splits.NothingToRead, match="the pool of split 1 has 16 solutions, and the largest size of the protocol is 17"):
        splits.refuse_small_pools(labeled, [1, 2], PROTOCOL | {"sizes": [4, 17]})
    with pytest.raises(ValueError, match="split 1: 16 solutions are labeled where 17 should be"):
        splits.Split(labeled, seed=1, protocol=PROTOCOL | {"sizes": [4, 17]}).run({"0": {"parts": [["uniform", 1]]}}, draw=0)


def test_an_arm_that_runs_out_of_candidates_says_how_many_it_drew_at_random(labeled: splits.LabeledSet) -> None:
    split = splits.Split(labeled, seed=1, protocol=PROTOCOL | {"sizes": [4, 14]})
    of_each_problem = split.run({"0": {"parts": [["uniform", 1]], "per_problem": 1}}, draw=0)["points"]
    anything = split.run({"0": {"parts": [["uniform", 1]]}}, draw=0)["points"]
    assert [point[5] for point in of_each_problem] == [0, 2]  # the batch of ten has eight problems to take from
    assert [point[5] for point in anything] == [0, 0]


@pytest.mark.parametrize(("name", "words"), list(splits.OTHER.items()))
def test_splits_of_something_else_are_not_continued(tmp_path: Path, name: str, words: str) -> None:
    mine = splits.Kept(tmp_path, IDENTITY)
    mine.begin()
    mine.path("prm800k", 1).touch()
    assert splits.Kept(tmp_path, dict(IDENTITY)).begin().startswith("1 splits of this run are in")
    other = splits.Kept(tmp_path, IDENTITY | {name: "z"})
    assert f"has splits of {words}. They stay there." in other.begin() and not other.path("prm800k", 1).exists()
    assert mine.path("prm800k", 1).exists()


def test_a_kept_split_that_is_torn_is_run_again(labeled: splits.LabeledSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = splits.Kept(tmp_path, IDENTITY)
    kept.begin()
    monkeypatch.setitem(splits.SETS, "prm800k", labeled)
    splits.run_split("prm800k", 1, [], kept, PROTOCOL)
    whole = kept.path("prm800k", 1).read_bytes()
    assert splits.run_split("prm800k", 1, [], kept, PROTOCOL) == "prm800k 1: kept"
    kept.path("prm800k", 1).write_bytes(whole[:500])
    assert "of a processor" in splits.run_split("prm800k", 1, [], kept, PROTOCOL)
    assert np.load(kept.path("prm800k", 1))["uniform#0"].shape == (2, 6)


def test_the_protocol_holds_only_for_its_own_base_layers_and_data() -> None:
    own = {**real_labels.WRITTEN_FOR, "layers": [12, 18]}
    assert real_labels.against_the_protocol(own, layers=[12, 18], is_smoke=False) == []
    assert real_labels.against_the_protocol(own, layers=[12, 18], is_smoke=True) == ["sizes, arms and splits of --smoke"]
    for name, words in (("base", "another base"), ("layers", "other layers"), ("data", "other data")):
        assert real_labels.against_the_protocol(own | {name: "z"}, layers=[12, 18], is_smoke=False) == [words]


def test_the_interval_leaves_out_splits_without_a_figure_and_counts_them() -> None:
    values = np.array([0.1, np.nan, 0.3, 0.2])
    found = gains.corrected(values, held_out=0.25)
    half = student(2) * 0.1 * (1 / 3 + 1 / 3) ** 0.5
    assert [found[name] for name in ("gain", "low", "high")] == pytest.approx([0.2, 0.2 - half, 0.2 + half])
    assert found["splits_without"] == 1 and "splits_without" not in gains.corrected(values[2:], held_out=0.25)
    assert gains.rounded(gains.corrected(values[:2], held_out=0.25)) | {"gain": 0} == {
        "gain": 0, "low": None, "high": None, "plain_error": None, "splits_without": 1,
    }  # fmt: skip


def test_the_arm_without_any_figure_is_never_the_best(labeled: splits.LabeledSet, tmp_path: Path) -> None:
    kept = splits.Kept(tmp_path, IDENTITY)
    kept.begin()
    for seed in (1, 2):
        points = np.array([[0.5, 0.1, 0.6, 8, 0.5, 0], [0.6, 0.2, 0.5, 16, 0.5, 0]])
        undefined = points * [[np.nan, 1, 1, 1, 1, 1]]
        np.savez(kept.path("prm800k", seed), **{"uniform#0": points, "none#0": undefined, "worse#0": points - [[0.1, 0, 0, 0, 0, 0]]})
    assert gains.Reading(kept, PROTOCOL, 5).best(labeled, [1, 2], ["none", "worse"]) == "worse"


def test_what_uniform_labels_teach_has_its_intervals_against_base_rate_and_position(labeled: splits.LabeledSet, tmp_path: Path) -> None:
    kept = splits.Kept(tmp_path, IDENTITY)
    kept.begin()
    for seed, log_loss in ((1, 0.5), (2, 0.52)):
        np.savez(
            kept.path("prm800k", seed), **{
                "uniform#0": [[0.6, 0.1, 0.7, 8, 0.5, 0], [0.7, 0.2, log_loss, 16, 0.5, 0]],
                "all": [0.8, np.nan, log_loss - 0.1, 30, 0.5, 0],
                "uniform#0_negative": np.full((2, 4), 0.5, np.float32), "all_negative": np.array([0.9, 0.1, 0.8, 0.2], np.float32),
                "is_negative": np.array([True, False, True, False]), "problem": np.arange(4), "pool": 16, "alone": [0.55, 0.6],
            },
        )  # fmt: skip
    found = gains.Reading(kept, PROTOCOL, 50).taught(labeled, [1, 2])
    row = found["uniform"]["8"]
    half = student(1) * np.std([0.1, 0.08], ddof=1) * (1 / 2 + 0.3333 / 0.6667) ** 0.5
    below = row["below_base_rate"]
    assert [below["gain"], below["low"], below["high"]] == pytest.approx([0.09, 0.09 - half, 0.09 + half])
    assert row["above_position"]["gain"] == pytest.approx(0.15) and row["log_loss"]["log_loss"] == pytest.approx(0.51)
    assert found["uniform"]["all"]["f1"]["splits_without"] == 2  # no solution without a mistake was held out
    assert json.loads(json.dumps(gains.rounded(found)))["uniform"]["all"]["f1"]["f1"] is None
    # Draws in which the steps of both splits are of one class are left out: the others are sure, or know nothing.
    assert (found["uniform"]["all"]["bootstrap_low"], found["uniform"]["8"]["bootstrap_high"]) == (1, 0.5)
