"""A base is refused, by name and before the training, if its weights are not all there, not finite, or not a causal language model's."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from huggingface_hub import errors as hub
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    T5Config,
    XLNetConfig,
    XLNetLMHeadModel,
)

from tests.trainer.bases import make_base, save_tokenizer
from tests.trainer.sums import small, sums
from trainer.__main__ import main
from trainer.config import BadBase
from trainer.data import STEP
from trainer.folders import file_sha256
from trainer.generators import LocalGenerator
from trainer.loading import why_unusable
from trainer.model import load_base, load_prm
from trainer.train import TrainedModel, train

NORM, DOWN, HEAD = "model.norm.weight", "model.layers.0.mlp.down_proj.weight", "lm_head.weight"
SHAPE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_base(tmp_path / "base", tied=False)


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the weights of a folder."""
    file = folder / "model.safetensors"
    weights = {name: value.clone() for name, value in load_file(file).items()}
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def refusal(folder: Path | str) -> str:
    with pytest.raises(BadBase) as error:
        load_base(str(folder), context=100)
    return str(error.value)


def with_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# --- weights --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [DOWN, NORM, HEAD, "model.embed_tokens.weight"])
def test_a_base_whose_file_lacks_a_weight_is_refused_by_its_name(base: Path, name: str) -> None:
    rewrite(base, lambda weights: weights.pop(name))
    assert f"is incomplete: its file holds no {name}" in refusal(base)


def test_many_lacking_weights_are_counted(base: Path) -> None:
    rewrite(base, lambda weights: [weights.pop(name) for name in list(weights) if "layers.1" in name])
    assert "model.layers.1.input_layernorm.weight" in (said := refusal(base)) and "and 6 more" in said


def test_the_command_line_refuses_an_incomplete_base_before_it_trains(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(base, lambda weights: weights.pop(DOWN))
    lines = [{"problem": f"{i} + 1?", "steps": ["Add.", f"{i + 1}."], "ratings": [1, 1 - 2 * (i % 2)]} for i in range(20)]
    (tmp_path / "labeled.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["train", "--labeled", str(tmp_path / "labeled.jsonl"), "--base", str(base), "--out", str(tmp_path / "model")]
    assert main(arguments) == 2
    assert DOWN in capsys.readouterr().err and not (tmp_path / "model").exists()


def test_a_weight_of_another_shape_is_refused_with_both_shapes(base: Path) -> None:
    rewrite(base, lambda weights: weights.update({DOWN: torch.zeros(32, 60)}))
    assert f"{DOWN} has the shape (32, 60) in the file, but LlamaForCausalLM needs (32, 64)" in refusal(base)


@pytest.mark.parametrize(
    "name", ["extra.weight", "score.weight", "model.layers.2.mlp.down_proj.weight", "model.layers.0.self_attn.q_proj.bias"]
)
def test_a_weight_for_which_the_network_has_no_place_is_refused_by_its_name(base: Path, name: str) -> None:
    rewrite(base, lambda weights: weights.update({name: torch.zeros(4, 4)}))
    assert f"LlamaForCausalLM has no place for {name}" in refusal(base)


def test_tables_of_older_versions_beside_the_weights_do_no_harm(base: Path) -> None:
    rewrite(base, lambda weights: weights.update({f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.zeros(8) for i in range(2)}))
    assert load_base(str(base), context=100).context == 100


def test_weights_for_images_are_left_out_and_named(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    rewrite(base, lambda weights: weights.update({"vision_tower.encoder.layers.0.weight": torch.zeros(4, 4)}))
    with caplog.at_level(logging.WARNING):
        load_base(str(base), context=100)
    assert "are not used: vision_tower.encoder.layers.0.weight" in caplog.text


def test_one_matrix_for_input_and_output_is_complete(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "tied")
    assert HEAD not in load_file(folder / "model.safetensors")
    assert load_base(str(folder), context=100).n_parameters > 0


def test_a_classifier_is_refused_because_it_lacks_the_output(tmp_path: Path) -> None:
    config = LlamaConfig(vocab_size=257, pad_token_id=256, tie_word_embeddings=False, **SHAPE)
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    assert "holds no lm_head.weight" in (said := refusal(tmp_path)) and "not a causal language model" in said


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "NaN"), (float("inf"), "infinity")])
def test_weights_that_are_not_finite_are_named(base: Path, value: float, word: str) -> None:
    def spoil(weights: dict[str, Tensor]) -> None:
        weights[DOWN][3, 4:6] = value

    rewrite(base, spoil)
    assert f"is damaged: {DOWN} holds {word}" in (said := refusal(base)) and "in 2 of its 2,048 numbers" in said


def test_quantized_weights_are_refused(base: Path) -> None:
    with_config(base, quantization_config={"quant_method": "gptq", "bits": 4})
    assert "holds quantized weights" in refusal(base)


def test_weights_as_whole_numbers_are_refused_by_name(base: Path) -> None:
    rewrite(base, lambda weights: weights.update({DOWN: weights[DOWN].to(torch.int8)}))
    assert f"holds {DOWN} in model.safetensors as I8" in refusal(base)


def test_weights_of_half_and_double_precision_are_accepted(base: Path) -> None:
    rewrite(base, lambda weights: weights.update({DOWN: weights[DOWN].bfloat16(), NORM: weights[NORM].double()}))
    assert load_base(str(base), context=100).context == 100


def test_an_output_of_its_own_is_kept_though_the_config_says_that_it_is_shared(base: Path, tmp_path: Path) -> None:
    """transformers reads both matrices, but replaced the output when the vocabulary grew."""
    with_config(base, tie_word_embeddings=True)
    model = load_base(str(base), context=100)
    stored, head = load_file(base / "model.safetensors")[HEAD], model.network.get_output_embeddings()
    assert head is not None and torch.equal(head.weight[: len(stored)], stored)
    model.network.save_pretrained(tmp_path / "saved")
    assert torch.equal(load_file(tmp_path / "saved" / "model.safetensors")[HEAD], head.weight)


def test_a_base_that_shares_one_name_with_our_own_tokens_is_framed_as_any_other(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([STEP], special_tokens=True)
    tokenizer.save_pretrained(base)
    assert load_base(str(base), context=100).tokenizer.prefix == (256,)


def test_a_network_that_reads_texts_of_any_length_is_tried_like_others(tmp_path: Path) -> None:
    """XLNet writes -1 as its longest text. It has no plain output matrix, or reads later tokens."""
    XLNetLMHeadModel(XLNetConfig(vocab_size=257, d_model=32, n_layer=1, n_head=2, d_inner=32)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    assert "XLNetLMHeadModel" in refusal(tmp_path)


def test_a_tokenizer_of_another_network_is_refused(base: Path) -> None:
    rewrite(base, lambda weights: weights.update({name: weights[name][:100] for name in (HEAD, "model.embed_tokens.weight")}))
    with_config(base, vocab_size=100, bos_token_id=None, eos_token_id=None)
    assert "has a tokenizer of 257 tokens, but its network knows only 100" in refusal(base)


def test_a_generator_of_samples_is_checked_like_a_base(base: Path) -> None:
    rewrite(base, lambda weights: weights.pop(DOWN))
    with pytest.raises(BadBase, match=DOWN):
        LocalGenerator(str(base))


def test_heads_of_a_model_that_are_not_finite_are_named(tmp_path: Path) -> None:
    trained = train(sums(6), config=small(epochs=1, language_model_epochs=0, uncertainty_heads=2), folder=tmp_path / "model")
    file = trained.folder / "heads.safetensors"
    save_file(load_file(file) | {"bias": torch.tensor([0.0, float("nan")])}, file)
    manifest = trained.folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {file.name: file_sha256(file)}))
    with pytest.raises(BadBase, match="bias holds NaN"):
        load_prm(trained.folder)


# --- causal ---------------------------------------------------------------------------------------------------------------------------


def save_bert(folder: Path, **settings: Any) -> Path:
    config = BertConfig(vocab_size=257, pad_token_id=256, max_position_embeddings=100, **SHAPE, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        (BertLMHeadModel if config.is_decoder else BertForMaskedLM)(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def test_an_encoder_is_refused_because_it_reads_later_tokens(tmp_path: Path) -> None:
    assert "BertLMHeadModel reads later tokens too" in refusal(save_bert(tmp_path / "bert"))


def test_the_same_network_as_a_decoder_is_accepted(tmp_path: Path) -> None:
    assert load_base(str(save_bert(tmp_path / "bert", is_decoder=True)), context=400).context == 100


@pytest.mark.parametrize(("setting", "value"), [("is_causal", False), ("use_bidirectional_attention", True)])
def test_a_config_that_says_not_causal_is_refused_by_the_setting(base: Path, setting: str, value: bool) -> None:
    with_config(base, **{setting: value})
    assert f"its config.json says {setting} = {value}" in refusal(base)


def test_an_encoder_with_a_decoder_is_refused(tmp_path: Path) -> None:
    T5Config(vocab_size=257).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    save_file({"shared.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert "is not a causal language model" in refusal(tmp_path)


# --- the new tokens -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_two_equal_runs_from_a_base_give_equal_bytes_and_one_sha(tied: bool, tmp_path: Path) -> None:
    base, config = make_base(tmp_path / "base", tied=tied), {"epochs": 1, "language_model_epochs": 0, "context": 200}
    runs = []
    for number in range(2):
        torch.manual_seed(number)  # whatever happened before in the process
        runs.append(train(sums(6), config=small(base=str(base), **config), folder=tmp_path / str(number), provenance={"run": str(number)}))
    assert len({(run.folder / "model.safetensors").read_bytes() for run in runs}) == 1
    assert runs[0].sha256 == runs[1].sha256
    other = train(sums(6), config=small(base=str(base), seed=1, **config), folder=tmp_path / "other")
    assert other.sha256 != runs[0].sha256


def test_growing_the_vocabulary_leaves_torchs_own_randomness_alone(base: Path) -> None:
    before = torch.random.get_rng_state()
    load_base(str(base), context=100)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_bias_of_the_output_does_not_prefer_a_rating(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "bert", is_decoder=True)
    rewrite(folder, lambda weights: weights.update({"cls.predictions.bias": torch.randn(257)}))
    model = load_base(str(folder), context=100)
    with torch.no_grad():
        chances = model.rating_log_probabilities(model.hidden_states(torch.arange(20)[None])[0]).exp()
    assert torch.allclose(chances, torch.full((20, 3), 1 / 3), atol=1e-5)


# --- the name -------------------------------------------------------------------------------------------------------------------------


def test_a_mistyped_folder_names_one_that_is_nearly_so_called(base: Path) -> None:
    assert f"Did you mean {base}?" in refusal(base.with_name("bsae"))


def test_a_mistyped_preset_names_the_preset() -> None:
    assert "Did you mean tiny?" in refusal("tinny")


@pytest.mark.parametrize("name", ["my model", "owner//name", "a:b"])
def test_a_name_that_is_neither_a_folder_nor_a_hub_id_is_said_to_be_neither(name: str) -> None:
    assert "neither a folder" in refusal(name) or "There is no model folder" in refusal(name)


def test_a_file_is_said_to_be_a_file(base: Path) -> None:
    assert f"is a file. Give the folder that holds it: {base}" in refusal(base / "config.json")


def test_adapters_alone_are_refused_with_the_remedy(base: Path) -> None:
    (base / "adapter_config.json").write_text("{}")
    assert "holds adapters (LoRA)" in (said := refusal(base)) and "merge_and_unload" in said


def hub_error(kind: type[Exception], status: int = 404) -> Exception:
    response = httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co/owner/nmae"))
    cause = kind("no", response=response) if issubclass(kind, hub.HfHubHTTPError) else kind("no")
    error = OSError("owner/nmae is not a local folder and is not a valid model identifier")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (hub.RepositoryNotFoundError, "There is no folder owner/nmae here, and the hub has no model owner/nmae that you can read"),
        (hub.GatedRepoError, "accepted its terms"),
        (hub.RevisionNotFoundError, "has no such revision"),
        (hub.LocalEntryNotFoundError, "There is no folder owner/nmae here, and the hub cannot be reached"),
        (hub.OfflineModeIsEnabled, "the hub cannot be reached"),
        (httpx.ConnectError, "the hub cannot be reached"),
    ],
)
def test_what_the_hub_says_becomes_a_sentence(kind: type[Exception], sentence: str) -> None:
    assert sentence in why_unusable("owner/nmae", hub_error(kind))


def test_a_model_type_that_transformers_does_not_know_is_named(base: Path) -> None:
    with_config(base, model_type="made_up_7")
    assert "does not know the model type made_up_7" in refusal(base)


def test_a_sound_base_is_accepted(base: Path) -> None:
    assert isinstance(load_base(str(base), context=100).network, LlamaForCausalLM)


def test_a_trained_model_comes_back(trained: TrainedModel) -> None:
    assert load_prm(trained.folder).sha256 == trained.sha256


@pytest.mark.parametrize("kept", [0, 5, 2000])
def test_weights_that_a_conversion_left_incomplete_are_refused_with_a_remedy(base: Path, kept: int) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    assert refusal(base).endswith("incomplete or missing, copy or convert the model again. Otherwise name another base.")
