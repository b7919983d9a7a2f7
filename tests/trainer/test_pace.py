"""How little data is read: enough optimizer steps, smaller batches, and a sentence where the model does not beat the base rate."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.sums import small, sums
from tests.trainer.test_command_line import line
from tests.trainer.test_train import rated
from trainer import phases
from trainer.__main__ import main
from trainer.cautions import cautions, pace_sentences
from trainer.config import TrainConfig
from trainer.data import EncodedSolution, GradedSolution, TrainingSequence
from trainer.phases import MORE_PASSES, Pace, Phase, choose_pace
from trainer.processes import Processes
from trainer.train import train


def sequences(count: int, *, tokens: int = 100, family: str = "") -> list[TrainingSequence]:
    encoded = EncodedSolution(np.arange(tokens, dtype=np.int32), np.array([tokens - 1], np.int32), 1)
    return [TrainingSequence(encoded, np.array([2]), family=family) for _ in range(count)]


def paced(count: int, *, tokens: int = 100, family: str = "", **settings: Any) -> tuple[Pace, phases.Plan]:
    config = TrainConfig("owner/name", **settings)
    phase = Phase("reward model", sequences(count, tokens=tokens, family=family), 2, 1e-5, 0.0, 1.0)
    return choose_pace(phase, config=config, processes=Processes())


def reads(plan: phases.Plan) -> list[int]:
    """How often each sequence is read."""
    return np.bincount(np.concatenate([batch for _, update in plan for batch in update])).tolist()


def test_much_data_is_read_as_the_config_says() -> None:
    pace, plan = paced(2_000)  # 81 sequences of 100 tokens in a batch
    assert (pace.epochs, pace.token_budget, pace.batches_per_update) == (2, 8192, 1) and pace.updates == len(plan) == 52
    unlimited, same = paced(2_000, minimum_updates=1)
    assert all(np.array_equal(a, b) for (_, x), (_, y) in zip(plan, same, strict=True) for a, b in zip(x, y, strict=True))
    assert replace(pace, wanted={}) == replace(unlimited, wanted={}) and pace_sentences({"training": {"paces": [vars_of(pace)]}}) == []


def vars_of(pace: Pace) -> dict[str, Any]:
    return {name: getattr(pace, name) for name in pace.__dataclass_fields__}


@pytest.mark.parametrize(
    ("count", "settings", "pace"),
    [
        (12, {}, (2, 128, 1, 24)),  # one batch an epoch would be two steps, and pairs twelve
        (100, {}, (2, 1024, 1, 20)),
        (100, {"batches_per_update": 8, "token_budget": 512}, (2, 512, 2, 22)),  # first fewer forwards in a step
        (400, {"batches_per_update": 8, "token_budget": 512}, (2, 512, 8, 22)),
        (9, {}, (3, 100, 1, 27)),  # one in a batch is not enough: read once more
        (2, {}, (2 * MORE_PASSES, 100, 1, 16)),  # never more often than that
        (5, {"token_budget": 64}, (4, 64, 1, 20)),
        (1, {"minimum_updates": 1}, (2, 8192, 1, 2)),
        (12, {"minimum_updates": 1}, (2, 8192, 1, 2)),
    ],
)
def test_little_data_is_read_in_smaller_batches_and_then_more_often(
    count: int, settings: dict[str, int], pace: tuple[int, int, int, int]
) -> None:
    chosen, plan = paced(count, **settings)
    assert (chosen.epochs, chosen.token_budget, chosen.batches_per_update, chosen.updates) == pace
    assert reads(plan) == [chosen.epochs] * count and len(plan) == chosen.updates


def test_alternatives_stay_with_their_solution_however_small_the_batches() -> None:
    pace, plan = paced(4, family="s1")
    assert (pace.epochs, pace.updates) == (2 * MORE_PASSES, 2 * MORE_PASSES) and all(len(batch) == 4 for _, [batch] in plan)


def test_a_sequence_longer_than_every_other_ends_the_search_too() -> None:
    config = TrainConfig("owner/name")
    phase = Phase("reward model", sequences(1, tokens=10_000) + sequences(1, tokens=3), 2, 1e-5, 0.0, 1.0)
    assert choose_pace(phase, config=config, processes=Processes())[0].updates == 2 * 2 * MORE_PASSES


def test_twelve_solutions_are_twenty_steps_and_the_card_and_the_terminal_say_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labeled = sums(6)
    (tmp_path / "labeled.jsonl").write_text("".join(line(one) + "\n" for one in labeled))
    (tmp_path / "config.json").write_text(small(epochs=2, language_model_epochs=0, minimum_updates=20).to_json())
    words = ["train", "--labeled", "labeled.jsonl", "--config", "config.json", "--out", "model"]
    assert main([word if "." not in word and word != "model" else str(tmp_path / word) for word in words]) == 0
    printed = capsys.readouterr()
    metrics, card = json.loads(printed.out)["metrics"], (tmp_path / "model" / "README.md").read_text()
    (pace,) = metrics["training"]["paces"]
    assert pace["updates"] >= 20 and pace["token_budget"] < 1024 and len(metrics["training"]["curve"]) == pace["updates"]
    for sentence in (*pace_sentences(metrics), *cautions(metrics)):
        assert sentence in printed.err and sentence in card
    assert "There is little data for the phase 'reward model'. It was read in batches of up to" in printed.err
    assert metrics["cautions"] == cautions(metrics)
    passes = f"- Labels: {pace['epochs']} passes"
    assert passes in card


def test_an_interrupted_training_on_little_data_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    class Stopped(Exception): ...

    def progress(now: Any) -> None:
        if now.phase == "reward model" and now.done >= 9:
            raise Stopped

    config = small(epochs=2, language_model_epochs=1, minimum_updates=20, checkpoint_minutes=0)
    whole = train(sums(6), config=config, folder=tmp_path / "whole")
    with pytest.raises(Stopped):
        train(sums(6), config=config, folder=tmp_path / "halves", checkpoint=tmp_path / "checkpoint", progress=progress)
    halves = train(sums(6), config=config, folder=tmp_path / "halves", checkpoint=tmp_path / "checkpoint")
    first, second = ((one.folder / "model.safetensors").read_bytes() for one in (whole, halves))
    assert first == second
    assert halves.metrics["training"]["paces"] == whole.metrics["training"]["paces"]


# --- a model that is not to be trusted


STEPS = {"n_solutions": 3, "n_rated_steps": 10, "log_loss": 0.5, "base_rate_log_loss": 0.6}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"log_loss": 0.6}, "does not beat the base rate: on 10 held-out labels its log-loss is 0.600, and that of"),
        ({"log_loss": 1.0986}, "its log-loss is 1.099"),
        ({"n_solutions": 0, "log_loss": None, "base_rate_log_loss": None}, "No labels are held out"),
        ({"log_loss": None, "base_rate_log_loss": None}, "None of the held-out solutions was read to a label"),
    ],
)
def test_a_model_that_does_not_beat_the_base_rate_is_said_to_be_one(change: dict[str, Any], said: str) -> None:
    sentences = cautions(STEPS | change)
    assert len(sentences) == bool(said) and said in "".join(sentences)


def test_an_orm_is_held_against_the_base_rate_of_outcomes_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graded = [GradedSolution(one.solution, bool(rng.integers(2))) for one in sums(20)]
    trained = train(graded, config=small(kind="orm", epochs=8, language_model_epochs=0), folder=tmp_path / "model")
    assert trained.metrics["log_loss"] > trained.metrics["base_rate_log_loss"]
    assert f"on {trained.metrics['n_solutions']} held-out labels its log-loss is" in (trained.folder / "README.md").read_text()


def test_a_training_without_held_out_labels_says_so(tmp_path: Path) -> None:
    """Of two problems, one has all negative steps and the other one the rest: training can spare neither."""
    trained = train(
        rated((1, 1, 0, 1, 1), (-1,)), config=small(epochs=1, language_model_epochs=0, minimum_problems=2), folder=tmp_path / "model"
    )
    said = "No labels are held out, so nothing shows what the model has learned. Label solutions of other problems."
    assert trained.metrics["cautions"] == [said] and f"**{said}**" in (trained.folder / "README.md").read_text()
