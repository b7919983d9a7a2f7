"""Heads on a frozen base: which states they read, what they learn, and what happens when the base or the cache is not what it was."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.trainer.bases import make_base
from tests.trainer.sums import sums
from tests.trainer.test_command_line import line, write
from trainer.__main__ import main
from trainer.config import TINY_BASE, BadConfig, TrainConfig
from trainer.data import GradedSolution, LabeledSolution, RatedAlternative, SolutionText
from trainer.frozen import default_layers, scaled
from trainer.model import BadModelFolder, load_frozen_base, load_prm
from trainer.output import made_up_ids
from trainer.packing import PackingRefused
from trainer.progress import ProgressUpdate
from trainer.score import ScoredSolution, score_solutions
from trainer.train import TrainedModel, train


def frozen(base: str | Path = "tiny", **changes: Any) -> TrainConfig:
    return TrainConfig.for_base(str(base), **{"frozen": True, "frozen_head": "linear", "uncertainty_heads": 4, "context": 200} | changes)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, states: Path) -> TrainedModel:
    return train(sums(25), config=frozen(), folder=tmp_path_factory.mktemp("frozen") / "model", states=states)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("bases") / "gpt2")


def scores(folder: Path, labeled: list[LabeledSolution], *, states: Path | None = None) -> list[ScoredSolution]:
    model = load_prm(folder)
    return list(score_solutions(model if states is None else model.keeping_states(states), [label.solution for label in labeled]))


# --- the base -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "layers"), [("gpt2", (1,)), ("llama", (1, 2)), ("tiny", (2, 4))])
def test_the_states_are_those_after_the_layers_that_were_named_and_no_layer_above_them_is_kept(
    kind: str, layers: tuple[int, ...], tmp_path: Path
) -> None:
    base = TINY_BASE if kind == "tiny" else make_base(tmp_path / "base", tied=kind == "gpt2")
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    model = load_frozen_base("tiny" if kind == "tiny" else str(base), context=100, layers=layers)
    ids = made_up_ids(whole, length=9)
    with torch.no_grad():
        found = model.hidden_states(ids)
        theirs = whole(input_ids=ids, output_hidden_states=True).hidden_states
    own = [found[..., : found.shape[-1] // len(layers)], found[..., -found.shape[-1] // len(layers) :]]
    for layer, states in zip((layers[0], layers[-1]), own, strict=True):
        if layer < whole.config.num_hidden_layers:  # transformers gives the last one after a norm
            assert torch.allclose(states, scaled(theirs[layer]), atol=1e-4)
    kept = [name for name, _ in model.network.base_model.named_parameters()]
    assert not any(f".{number}." in f".{name}" for name in kept for number in range(layers[-1], whole.config.num_hidden_layers))


def test_layers_that_nobody_chose_lie_in_the_middle() -> None:
    assert (default_layers(30), default_layers(2), default_layers(1)) == ((12, 18), (1,), (1,))


def test_a_layer_that_does_not_exist_is_named_with_those_that_do(gpt2: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"has 2 layers, so there is no layer 3. Give frozen_layers from 1 to 2"):
        train(sums(10), config=frozen(gpt2, frozen_layers=(1, 3)), folder=tmp_path / "model")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lora_rank": 4, "base": "x"}, "lora_rank changes nothing"),
        ({"language_model_epochs": 1}, "language_model_epochs changes nothing"),
        ({"frozen": False, "frozen_layers": (1,)}, "are settings of a frozen base"),
        ({"frozen_layers": "12"}, "a list of layer numbers"),
        ({"frozen_head": "tree"}, '"linear", "mlp" or empty'),
        ({"from_shipped_base": False}, "needs a base that has read text"),
    ],
)
def test_settings_that_do_not_fit_a_frozen_base_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadConfig, match=named):
        TrainConfig.from_settings({"frozen": True} | changes)


def test_settings_come_back_from_json() -> None:
    config = frozen(frozen_layers=(2, 4))
    assert TrainConfig.from_json(config.to_json()) == config


# --- what is learned ----------------------------------------------------------------------------------------------------------------


def test_heads_tell_right_from_wrong_where_the_base_can_with_better_than_base_rate_probabilities(trained: TrainedModel) -> None:
    metrics = trained.metrics
    assert metrics["step_auc"] > 0.9
    assert metrics["log_loss"] < metrics["base_rate_log_loss"]
    assert not metrics["cautions"]


def test_a_model_folder_holds_heads_and_no_weights_of_the_base(trained: TrainedModel) -> None:
    names = {path.name for path in trained.folder.iterdir()}
    assert {"heads.safetensors", "base.json", "tokenizer.json"} < names and "model.safetensors" not in names
    assert load_prm(trained.folder).sha256 == trained.sha256


def test_scores_have_uncertainty_and_are_the_same_from_the_cache(trained: TrainedModel, states: Path) -> None:
    some = sums(6, seed=3)
    fresh = scores(trained.folder, some)
    for _ in range(2):  # the second time they are in the cache
        for one, other in zip(fresh, scores(trained.folder, some, states=states), strict=True):
            assert np.abs(one.probabilities - other.probabilities).max() < 1e-3
            assert one.deviations is not None and other.means is not None and one.deviations.shape == other.means.shape == (3,)


def test_the_same_labels_give_the_same_bytes_from_a_full_cache_and_without_one_and_in_small_parts(
    trained: TrainedModel, states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = train(sums(25), config=frozen(), folder=tmp_path / "again", states=states)
    monkeypatch.setattr("trainer.frozen_training.WINDOW", 7)
    without = train(sums(25), config=frozen(), folder=tmp_path / "without")
    counts = [model.metrics["training"]["frozen"] for model in (again, without)]
    assert (counts[0]["n_from_cache"], counts[1]["n_from_cache"]) == (counts[0]["n_solutions"], 0)
    assert trained.sha256 == again.sha256 == without.sha256


def test_a_training_that_was_stopped_takes_what_it_had_read_from_the_cache(trained: TrainedModel, tmp_path: Path) -> None:
    def stop(update: ProgressUpdate) -> None:
        if update.phase == "states" and update.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(sums(25), config=frozen(), folder=tmp_path / "model", states=tmp_path / "states", progress=stop)
    assert not (tmp_path / "model").exists()
    again = train(sums(25), config=frozen(), folder=tmp_path / "model", states=tmp_path / "states")
    assert again.metrics["training"]["frozen"]["n_from_cache"] > 0 and again.sha256 == trained.sha256


def test_alternatives_are_learned_from(tmp_path: Path) -> None:
    some = [replace(one, alternatives=(RatedAlternative(0, "We add: 1 + 1 = 5.", -1),)) for one in sums(8)]
    counts = [train(labels, config=frozen(), folder=tmp_path / name).metrics["training"] for name, labels in (("a", some), ("b", sums(8)))]
    assert counts[0]["n_rated_steps"] - counts[1]["n_rated_steps"] == counts[0]["n_solutions"]
    assert counts[0]["frozen"]["n_solutions"] == 2 * counts[1]["frozen"]["n_solutions"]


def test_an_orm_learns_the_outcome_and_has_no_neutral(tmp_path: Path) -> None:
    graded = [GradedSolution(one.solution, -1 not in one.ratings) for one in sums(30)]
    trained = train(graded, config=frozen(kind="orm"), folder=tmp_path / "orm")
    assert trained.metrics["solution_auc"] > 0.6
    [scored] = scores(trained.folder, sums(1)[:1])
    assert (scored.probabilities[:, 1] == 0).all() and 0 < scored.score < 1


def test_labels_of_which_no_fold_has_both_kinds_give_a_cautious_head_and_a_sentence(tmp_path: Path) -> None:
    some = [replace(one, ratings=(1,)) for one in sums(6)]
    some[0] = replace(some[0], ratings=(-1,))
    trained = train(some, config=frozen(), folder=tmp_path / "model")
    assert trained.metrics["training"]["frozen"]["note"].startswith("Too few problems have both kinds of labels")
    assert load_prm(trained.folder)


def test_the_expected_change_is_the_mean_length_of_the_gradient_of_the_last_layer(trained: TrainedModel) -> None:
    model = load_prm(trained.folder)
    heads = model.frozen_heads
    assert heads is not None
    states = torch.randn(5, len(heads.mean), generator=torch.Generator().manual_seed(0))
    expected = []
    for state in states:
        places = (state.half().float() - heads.mean) @ heads.projection
        if heads.hidden_weight is not None and heads.hidden_bias is not None:
            places = torch.tanh(places @ heads.hidden_weight[0] + heads.hidden_bias[0])
        weight, bias = (part[0].clone().requires_grad_() for part in (heads.weight, heads.bias))
        log_p, mean = (places @ weight + bias).log_softmax(-1), 0.0
        for class_ in range(3):
            gradients = torch.autograd.grad(-log_p[class_], (weight, bias), retain_graph=True)
            mean += float(log_p[class_].detach().exp()) * float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
        expected.append(mean)
    assert heads.expected_change(states, kind="prm").tolist() == pytest.approx(expected, rel=1e-4)


def test_scores_above_a_frozen_base_say_the_expected_change_of_each_step(trained: TrainedModel, states: Path) -> None:
    for scored in scores(trained.folder, sums(3, seed=7), states=states):
        assert scored.changes is not None and len(scored.changes) == len(scored.probabilities) and (scored.changes > 0).all()


def test_packing_is_refused_for_a_frozen_base(trained: TrainedModel) -> None:
    with pytest.raises(PackingRefused, match="not packed for a frozen base"):
        list(score_solutions(load_prm(trained.folder), [SolutionText("s", "p", "1?", ("1.",))], packing=True))


# --- a base that is not what it was ---------------------------------------------------------------------------------------------------


def test_a_model_whose_base_is_gone_or_another_one_is_refused(gpt2: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    gpt2_copy = make_base(base)
    trained = train(sums(10), config=frozen(gpt2_copy), folder=tmp_path / "model")
    assert scores(trained.folder, sums(1))
    weights = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        weights.transformer.h[0].mlp.c_fc.weight[0, 0] += 1
    weights.save_pretrained(base)
    with pytest.raises(BadModelFolder, match="was trained on another base than the .* that is there now"):
        load_prm(trained.folder)
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(BadModelFolder, match="holds only the heads of a frozen model, and its base .* cannot be loaded: There is no model"):
        load_prm(trained.folder)


def test_the_report_says_which_base_and_layers_were_read(trained: TrainedModel) -> None:
    named = json.loads((trained.folder / "base.json").read_text())
    assert named["layers"] == trained.metrics["training"]["frozen"]["layers"] == [4, 6]
    assert named["sha256"] == trained.metrics["training"]["frozen"]["base_sha256"]


# --- from files -----------------------------------------------------------------------------------------------------------------------


def test_a_frozen_model_is_trained_scored_and_judged_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labeled = str(write(tmp_path / "labeled.jsonl", *map(line, sums(12))))
    kept = ["--states", str(tmp_path / "states")]
    layers = ["--frozen", "--frozen-layers", "2", "5", "--frozen-head", "linear"]
    assert main(["train", "--labeled", labeled, *layers, *kept, "--out", str(tmp_path / "model")]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["training"]["frozen"]["layers"] == [2, 5]
    assert main(["score", "--model", str(tmp_path / "model"), "--solutions", labeled, *kept]) == 0
    assert "deviation_negative" in capsys.readouterr().out
    more = write(tmp_path / "more.jsonl", *map(line, sums(4, seed=5)))
    assert main(["evaluate", "--model", str(tmp_path / "model"), "--labeled", str(more)]) == 0
    assert json.loads(capsys.readouterr().out)["n_problems"] == 4
