"""Packing runs on a GPU; here its attention is played by a loop over the solutions, so that all but the kernel itself is tried."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedModel

from tests.trainer.sums import sums
from trainer.__main__ import main
from trainer.data import encode
from trainer.model import RewardModel, load_tiny
from trainer.packing import PackingRefused, check_borders, packed, packs
from trainer.prefix import Reader
from trainer.score import score_solutions

POOL = [one.solution for one in sums(8, seed=3)]
TEXT = [one.problem for one in POOL]


def varlen(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, ends: Tensor, longest: int, _: int, **options: Any) -> Tensor:
    """Stand in for the GPU's attention: (T, H, d) each, one solution after the other."""
    assert options["window_size"] == (-1, 0) and torch.equal(starts, ends) and longest == int(starts.diff().max())
    parts = []
    for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        one = [states[a:b].transpose(0, 1)[None] for states in (q, k, v)]
        gqa, scale = options["enable_gqa"], options["scale"]
        attended = torch.nn.functional.scaled_dot_product_attention(*one, is_causal=True, scale=scale, enable_gqa=gqa)
        parts.append(attended[0].transpose(0, 1))
    return torch.cat(parts)


@pytest.fixture(scope="module")
def tiny() -> RewardModel:
    return load_tiny(context=256)


@pytest.fixture
def llama(tiny: RewardModel) -> RewardModel:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=tiny.network.config.vocab_size, initializer_range=0.3, bos_token_id=None, eos_token_id=None, **shape)
    return RewardModel(LlamaForCausalLM(config).eval(), tiny.tokenizer, 256)


@pytest.mark.parametrize("token_budget", [1, 130, 5000])
def test_packed_solutions_score_as_padded_ones(llama: RewardModel, token_budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.packing.varlen_attn", varlen)
    encoded = encode(POOL, tokenizer=llama.tokenizer, context=256)
    reader = Reader(llama, token_budget=token_budget)
    reader.shares, reader.packing = False, True
    seen = {}
    with torch.inference_mode():
        for places, states in reader.step_end_states(encoded, TEXT):
            rows = llama.rating_log_probabilities(states).exp().numpy()
            counts = [len(encoded[place].step_ends) for place in places]
            seen |= dict(zip(places.tolist(), np.split(rows, np.cumsum(counts)[:-1]), strict=True))
    assert sorted(seen) == list(range(len(POOL)))
    for place, one in enumerate(score_solutions(llama, POOL)):
        assert np.abs(seen[place] - one.probabilities).max() < 1e-5
    assert llama.network.config._attn_implementation == "sdpa"


def test_a_pack_keeps_to_the_budget_and_to_the_order() -> None:
    groups = packs([3, 4, 5, 20, 1, 2], token_budget=8)
    assert [group.tolist() for group in groups] == [[0, 1], [2], [3], [4, 5]]


def test_positions_begin_anew_with_each_packed_solution(tiny: RewardModel) -> None:
    encoded = encode(POOL[:3], tokenizer=tiny.tokenizer, context=256)
    ids, positions, ends, borders = packed(encoded)
    assert (positions[0] == 0).nonzero()[0].tolist() == borders[:-1].tolist()
    assert ids.shape == positions.shape == (1, sum(len(one.ids) for one in encoded))
    assert (ids[0, ends] == tiny.tokenizer.step_end[0]).all() and len(ends) == sum(len(one.step_ends) for one in encoded)


def refused(network: PreTrainedModel) -> str:
    with pytest.raises(PackingRefused) as refusal:
        check_borders(network)
    return str(refusal.value)


def test_networks_that_ignore_borders_are_refused_in_a_sentence(tiny: RewardModel, llama: RewardModel) -> None:
    assert "Lfm2ForCausalLM: its layers (conv) ignore the borders" in refused(tiny.network)
    small = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1}
    assert "Score without packing" in refused(MambaForCausalLM(MambaConfig(state_size=4, **small)))
    sliding = LlamaForCausalLM(LlamaConfig(intermediate_size=16, num_attention_heads=2, **small))
    check_borders(sliding)
    sliding.config.layer_types = ["sliding_attention"]
    assert "sliding_attention" in refused(sliding)
    wide = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=512, n_layer=1, n_head=1))
    assert "wider than 256" in refused(wide)
    check_borders(llama.network)


def test_without_a_gpu_packing_is_refused_in_a_sentence(llama: RewardModel) -> None:
    with pytest.raises(PackingRefused, match="compute capability 8.0"):
        list(score_solutions(llama, POOL, packing=True, bfloat16=True))


def test_the_command_line_says_the_refusal(model_folder: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--model", str(model_folder), "--solutions", str(tmp_path / "none.jsonl"), "--packed"]) == 2
    assert "Packing needs an NVIDIA GPU" in capsys.readouterr().err
