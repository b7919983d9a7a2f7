"""The model card shows how to use the model with transformers alone: the program in it runs, and gives our probabilities."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from tests.trainer.bases import make_base
from tests.trainer.sums import small, sums
from trainer.card import front_matter
from trainer.config import TINY_BASE, TrainConfig
from trainer.data import GradedSolution, SolutionText
from trainer.score import load_prm, score_solutions
from trainer.train import TrainedModel, train


@pytest.mark.parametrize(
    ("base", "frozen", "told"),
    [
        ("tiny", False, {"library_name": "transformers"}),
        ("owner/name", False, {"library_name": "transformers", "base_model": "owner/name", "base_model_relation": "finetune"}),
        ("/a/folder", False, {"library_name": "transformers"}),
        (
            "smollm2",
            True,
            {
                "library_name": "stepmark",
                "license": "apache-2.0",
                "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
                "base_model_relation": "adapter",
            },
        ),
    ],
)
def test_the_card_begins_with_what_the_hub_reads(base: str, frozen: bool, told: dict[str, str]) -> None:
    text = front_matter(TrainConfig.for_base(base, **({"frozen": True} if frozen else {})), tag="process-reward-model")
    found = ModelCard(f"{text}\n# A model\n").data.to_dict()
    assert found == told | {"tags": ["process-reward-model", "step-ratings"]}


@pytest.fixture(scope="module", params=["tiny", "tiny orm", "gpt2", "llama", "frozen", "frozen orm"])
def described(request: pytest.FixtureRequest, trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model folder of each kind of framing: special tokens or blank lines, with a beginning of text or without."""
    folder = tmp_path_factory.mktemp("described") / "a model"
    config: dict[str, Any] = {"epochs": 1, "language_model_epochs": 0, "context": 200}
    if request.param == "tiny":
        yield trained.folder
        return
    if request.param == "tiny orm":
        graded = [GradedSolution(label.solution, -1 not in label.ratings) for label in sums(20)]
        yield train(graded, config=small(kind="orm", **config), folder=folder).folder
        return
    if request.param == "frozen":
        some = TrainConfig.for_base(str(TINY_BASE), frozen=True, frozen_head="mlp", frozen_layers=(3, 6))
        train(sums(20), config=some, folder=folder)
        yield moved(
            folder, "The base is not on the hub. It is the folder `tiny` from which the heads were trained: copy it into this folder."
        )
        return
    if request.param == "frozen orm":
        graded = [GradedSolution(label.solution, -1 not in label.ratings) for label in sums(20)]
        train(graded, config=TrainConfig.for_base(kind="orm", frozen=True, frozen_head="linear"), folder=folder)
        yield moved(folder, "The base is the folder `trainer/bases/tiny` of Stepmark: copy it into this folder.")
        return
    base = make_base(folder.with_name("base"), tied=request.param == "gpt2")
    yield train(sums(20), config=small(base=str(base), learning_rate=1e-2, **config), folder=folder).folder


def moved(folder: Path, advice: str) -> Path:
    """Take a model to another place, and follow the advice of its card on the base."""
    elsewhere = folder.rename(folder.with_name("on another machine"))
    assert advice in (elsewhere / "README.md").read_text() and str(TINY_BASE.parent) not in program(elsewhere)
    shutil.copytree(TINY_BASE, elsewhere / TINY_BASE.name)
    return elsewhere


def program(folder: Path) -> str:
    [code] = re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(), re.M | re.S)
    return code


def run_program(code: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    """Run the program as a reader would: in the model's folder."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    return names


def test_the_program_in_the_card_runs_and_gives_our_probabilities(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_program(program(described), monkeypatch, described)
    [ours] = score_solutions(load_prm(described), [SolutionText("s", "p", names["problem"], tuple(names["steps"]))])
    theirs = names["probabilities"].numpy()
    assert len(theirs) == len(names["steps"]) > 1 and not np.allclose(theirs, theirs[0], atol=1e-4)
    assert np.abs(theirs - (ours.probabilities[:, [0, 2]] if theirs.shape[1] == 2 else ours.probabilities)).max() < 1e-5


def test_a_text_that_spells_a_special_token_is_framed_in_the_same_way(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = ("We write <|step|> and <|endoftext|>.\n\nThen 1 + 1 = 2.", "<|positive|>")
    code = re.sub(r"^steps = .*$", lambda _: f"steps = {list(steps)!r}", program(described), flags=re.M)
    names = run_program(code, monkeypatch, described)
    [ours] = score_solutions(load_prm(described), [SolutionText("s", "p", names["problem"], steps)])
    theirs = names["probabilities"].numpy()
    assert np.abs(theirs - (ours.probabilities[:, [0, 2]] if theirs.shape[1] == 2 else ours.probabilities)).max() < 1e-5


def test_the_program_imports_nothing_of_ours(described: Path) -> None:
    modules = re.findall(r"^\s*(?:import|from) (\S+)", program(described), re.M)
    frozen = {"safetensors.torch"} if (described / "base.json").exists() else set()
    assert set(modules) == {"torch", "transformers"} | frozen
