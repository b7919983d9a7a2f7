import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.sums import sums
from tests.trainer.test_command_line import line
from trainer.__main__ import main
from trainer.model import RewardModel, load_prm


def scored(folder: Path, *options: str) -> list[dict[str, Any]]:
    (folder / "s.jsonl").write_text("".join(line(one) + "\n" for one in sums(3, seed=4)))
    out = folder / "scores.jsonl"
    assert main(["score", "--model", "any", "--solutions", str(folder / "s.jsonl"), "--out", str(out), "--overwrite", *options]) == 0
    return [json.loads(one) for one in out.read_text().splitlines()]


@pytest.fixture
def model(model_folder: Path) -> RewardModel:
    return load_prm(model_folder)


def test_without_heads_no_uncertainty_is_written(tmp_path: Path, model: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.load_prm", lambda _: model)
    assert set(scored(tmp_path)[0]) == {"key", "score", "first_weak_step", "unread_steps", "probabilities"}


def test_mean_and_deviation_of_the_heads_are_written_for_each_step(
    tmp_path: Path, model: RewardModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = torch.nn.Linear(model.network.config.hidden_size, 4)
    monkeypatch.setattr("trainer.score.load_prm", lambda _: replace(model, heads=heads))
    for one in scored(tmp_path):
        assert len(one["mean_negative"]) == len(one["deviation_negative"]) == len(one["probabilities"]) == 3
        assert all(0 < mean < 1 and deviation > 0 for mean, deviation in zip(one["mean_negative"], one["deviation_negative"], strict=True))


def test_no_step_of_an_outcome_model_is_called_weak(tmp_path: Path, model: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.load_prm", lambda _: replace(model, kind="orm", threshold=0.0))
    for one in scored(tmp_path):
        assert one["first_weak_step"] is None and one["score"] == pytest.approx(one["probabilities"][-1][2], abs=1e-5)


def test_bf16_is_an_option(tmp_path: Path, model: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.load_prm", lambda _: model)
    exact, fast = scored(tmp_path), scored(tmp_path, "--bf16", "--token-budget", "100")
    assert exact != fast
    assert all(one["score"] == pytest.approx(other["score"], abs=0.2) for one, other in zip(exact, fast, strict=True))
