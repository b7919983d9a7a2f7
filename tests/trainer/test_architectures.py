"""Whatever the architecture: our probabilities are the softmax of the network's own next-token logits, in every way of reading."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from tests.trainer.bases import save_tokenizer
from trainer.data import SolutionText, encode
from trainer.model import RewardModel, load_base
from trainer.packing import TRIED, PackingRefused, attends_within_borders, check_borders, packed, packed_inputs
from trainer.prefix import Reader
from trainer.score import score_solutions

LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4}
WIDTH = {"hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 256, **LAYERS}
GROUPED = {**WIDTH, "num_key_value_heads": 2}
GEMMA = {**GROUPED, "head_dim": 8, "query_pre_attn_scalar": 8}
SLIDING = {"sliding_window": 32}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
LINEAR = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
LINEAR |= {"layer_types": ["linear_attention", "full_attention"]}  # type: ignore[dict-item]
LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
# Scales, bounds and biases are larger than in real models, so that leaving one out is seen.
SHAPES: dict[str, dict[str, Any]] = {
    "apertus": GROUPED,
    "bert": {**WIDTH, "is_decoder": True},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "cohere": {**GROUPED, "logit_scale": 0.25},
    "cohere2": {**GROUPED, **SLIDING, "logit_scale": 0.25},
    "deepseek_v3": {**WIDTH, **EXPERTS, **LATENT, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    "ernie4_5": {**GROUPED, "use_bias": True},
    "falcon": {"hidden_size": 32, **LAYERS, "alibi": False},
    "falcon with alibi": {"hidden_size": 32, **LAYERS, "alibi": True},
    "falcon_h1": {**GROUPED, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_state": 8, "mamba_d_head": 8, "lm_head_multiplier": 0.3},
    "gemma": {**GROUPED, "head_dim": 8},
    "gemma2": {**GEMMA, **SLIDING, "final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0},
    "gemma2 without a window": {**GEMMA, "layer_types": ["full_attention"] * 2, "attn_logit_softcapping": 50.0},
    "gemma3_text": {**GEMMA, **SLIDING, "final_logit_softcapping": 3.0},
    "glm4": {**GROUPED, "head_dim": 8},
    "gpt2": OLD,
    "gpt_neox": WIDTH,
    "gpt_oss": {**GROUPED, **SLIDING, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gptj": {**OLD, "rotary_dim": 4},
    "granite": {**GROUPED, "logits_scaling": 8.0, "residual_multiplier": 0.5, "embedding_multiplier": 3.0},
    "hyperclovax": {**GROUPED, "logits_scaling": 0.25},
    "lfm2": {**GROUPED, "layer_types": ["conv", "full_attention"]},
    "llama": GROUPED,
    "llama4_text": {**GROUPED, "head_dim": 8, "intermediate_size_mlp": 48, "num_local_experts": 2, "attention_chunk_size": 32},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "mistral": {**GROUPED, **SLIDING},
    "modernbert-decoder": {**WIDTH, "local_attention": 32},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256},
    "nanochat": {**GROUPED, "final_logit_softcapping": 3.0},
    "olmo2": GROUPED,
    "opt": {"hidden_size": 32, "ffn_dim": 48, "max_position_embeddings": 256, "word_embed_proj_dim": 16, **LAYERS},
    "phi": GROUPED,
    "phi3": GROUPED,
    "qwen2": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 8},
    "qwen3_moe": {**GROUPED, **EXPERTS, "head_dim": 8, "num_experts": 4},
    "qwen3_next": {**GROUPED, **EXPERTS, **LINEAR, "head_dim": 8, "num_experts": 4, "shared_expert_intermediate_size": 16},
    "smollm3": GROUPED,
    "stablelm": GROUPED,
    "starcoder2": GROUPED,
}
CANNOT_PACK = {  # and what the refusal names
    **dict.fromkeys(("bloom", "falcon", "falcon with alibi", "gptj", "mpt", "stablelm"), "an attention that cannot be replaced"),
    **dict.fromkeys(("cohere2", "gemma2", "gemma3_text", "gpt_oss", "modernbert-decoder"), "sliding_attention"),
    **dict.fromkeys(("mamba", "qwen3_next"), "linear_attention"),
    "deepseek_v3": "different widths",
    "falcon_h1": "hybrid",
    "gemma2 without a window": "softcap",
    "lfm2": "conv",
    "llama4_text": "chunked_attention",
    "mistral": "a sliding window",
}
CANNOT_SHARE = {"mamba"}
PROBLEM = "Ann has 3 bags of 4 apples each. How many apples are there?"
STEPS = ("Three bags of four:\n    3 * 4 = 12.", "That is one more than 11.", "So 12.\n\n# Answer\n\n12")
SOLUTIONS = [SolutionText(f"s{i}", "p", PROBLEM, STEPS[i % 2 :][: 1 + i % 3]) for i in range(6)]


@pytest.fixture(scope="module", params=SHAPES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str, tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return load_architecture(name, tmp_path_factory.mktemp(name))


def load_architecture(name: str, folder: Path, **changes: Any) -> RewardModel:
    """Write a random base of this architecture and load it as any other; with rating tokens that differ."""
    kind = CONFIG_MAPPING[name.split()[0]]
    config = kind(vocab_size=257, initializer_range=0.3, bos_token_id=256, eos_token_id=256, pad_token_id=256, **SHAPES[name], **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))  # biases and norms too, which begin as 0 or 1
        network.save_pretrained(folder)
        save_tokenizer(folder)
        model = load_base(str(folder), context=200)
        with torch.no_grad():
            head: Any = model.network.get_output_embeddings()
            head.weight[list(model.tokenizer.rating_ids)] = 2 * head.weight[[5, 90, 200]]
            if head.bias is not None:
                head.bias[list(model.tokenizer.rating_ids)] = torch.tensor([0.5, -0.5, 0.2])
    model.network.eval()
    return model


def own_probabilities(model: RewardModel) -> list[np.ndarray]:
    """What the network says itself: softmax over the rating tokens of its next-token logits at each step end."""
    rows = []
    for encoded in encode(SOLUTIONS, tokenizer=model.tokenizer, context=model.context):
        with torch.no_grad():
            logits = model.network(input_ids=torch.from_numpy(encoded.ids.astype(np.int64))[None]).logits[0, encoded.step_ends]
        rows.append(logits[:, list(model.tokenizer.rating_ids)].softmax(-1).numpy())
    return rows


def largest_difference(ours: Callable[[], list[np.ndarray]], model: RewardModel) -> float:
    own = own_probabilities(model)
    assert max(np.ptp(np.concatenate(own), axis=0)) > 1e-3  # the text matters
    return max(float(np.abs(a - b).max()) for a, b in zip(ours(), own, strict=True))


def test_scores_are_the_networks_own_probabilities(model: RewardModel) -> None:
    assert largest_difference(lambda: [scored.probabilities for scored in score_solutions(model, SOLUTIONS)], model) < 1e-5


def test_token_logits_are_the_networks_own(model: RewardModel) -> None:
    ids = torch.arange(40)[None] * 5 + 3
    with torch.no_grad():
        own = model.network(input_ids=ids).logits
        assert torch.allclose(model.token_logits(model.hidden_states(ids)), own, atol=1e-5 * float(own.abs().max()))


def test_packed_solutions_have_the_networks_own_probabilities_or_are_refused_by_name(name: str, model: RewardModel) -> None:
    if name in CANNOT_PACK:
        with pytest.raises(PackingRefused, match=f"cannot be packed for .*ForCausalLM: .*{CANNOT_PACK[name]}"):
            check_borders(model.network)
        return
    check_borders(model.network)
    encoded = encode(SOLUTIONS, tokenizer=model.tokenizer, context=model.context)
    row = packed(encoded)
    with torch.no_grad(), attends_within_borders(model.network, by=TRIED):
        states = model.read(**packed_inputs(*row, device=model.network.device))[0, row[2]]
        rows = model.rating_log_probabilities(states).exp().numpy()
    ours = np.split(rows, np.cumsum([len(solution.step_ends) for solution in encoded])[:-1])
    assert largest_difference(lambda: list(ours), model) < 1e-5


def test_a_base_with_long_rotations_reads_no_text_that_would_change_them(tmp_path: Path) -> None:
    """Beyond 64 tokens every token would be rotated otherwise, also those of the shorter solutions in the same batch."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 1.0, **factors}
    model = load_architecture("phi3", tmp_path, rope_parameters=rope, original_max_position_embeddings=64)
    assert model.context == 64
    scores = list(score_solutions(model, SOLUTIONS))
    assert [scored.unread_steps for scored in scores] == [len(solution.steps) for solution in SOLUTIONS]


def test_the_text_of_a_problem_is_read_once_where_the_network_allows_it(name: str, model: RewardModel) -> None:
    assert Reader(model, token_budget=1000).shares == (name not in CANNOT_SHARE)


def test_a_network_whose_keys_change_in_a_pack_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_architecture("llama", tmp_path)
    rotate = model.network.model.rotary_emb
    own = rotate.forward
    monkeypatch.setattr(rotate, "forward", lambda states, position_ids: own(states, torch.arange(states.shape[1])[None]))
    check_borders(model.network)  # rotations know only distances, and no solution sees another
    monkeypatch.setattr(rotate, "forward", lambda states, position_ids: own(states, torch.arange(states.shape[1])[None] ** 2))
    with pytest.raises(PackingRefused, match="LlamaForCausalLM: its states in a pack are not those of each solution alone"):
        check_borders(model.network)
