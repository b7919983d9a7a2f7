"""What makes scoring fast must not be seen in the scores."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel
from transformers import logging as hf_logging

from tests.trainer.sums import sums
from trainer.data import EncodedSolution, SolutionText, encode
from trainer.model import RewardModel, load_prm, load_tiny
from trainer.prefix import Beginning, Reader, common_beginnings
from trainer.score import score_solutions

STORY = "Ann has $3$ bags of $4$ apples each, and Ben has $7$ apples. How many apples do they have?"
SAMPLES = [
    SolutionText(f"s{problem}-{i}", f"p{problem}", f"{STORY} They started with ${problem}$ dollars.", one.solution.steps[: 1 + i % 3])
    for problem in range(5)
    for i, one in enumerate(sums(4, seed=problem)[: 2 * problem + 1])
]


@pytest.fixture(scope="module", params=["llama", "shipped base"])
def model(request: pytest.FixtureRequest, trained: Any) -> RewardModel:
    return load_prm(trained.folder) if request.param == "llama" else load_tiny(context=256)


def untrained(network: PreTrainedModel, like: RewardModel) -> RewardModel:
    return RewardModel(network.eval(), like.tokenizer, 256)


def small_llama(vocabulary: int, **changes: Any) -> LlamaForCausalLM:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 256}
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**({"vocab_size": vocabulary} | shape | changes)))


def tokens_read(model: RewardModel, solutions: list[SolutionText]) -> int:
    """How many positions, pads included, the embedding looks up for the solutions themselves."""
    counts: list[int] = []
    reader = Reader(model, token_budget=4096)
    embedding = model.network.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _, inputs, __: counts.append(inputs[0].numel()))
    with torch.inference_mode():
        encoded = encode(solutions, tokenizer=model.tokenizer, context=model.context)
        list(reader.step_end_states(encoded, [one.problem for one in solutions]))
    hook.remove()
    return sum(counts)


def test_scores_are_the_same_in_every_company(model: RewardModel) -> None:
    alone = {one.key: one.probabilities for solution in SAMPLES for one in score_solutions(model, [solution])}
    rng = np.random.default_rng(0)
    for _ in range(12):
        chosen = [SAMPLES[i] for i in rng.permutation(len(SAMPLES))[: rng.integers(2, len(SAMPLES) + 1)]]
        for one in score_solutions(model, chosen, token_budget=int(rng.integers(50, 3000))):
            assert np.abs(one.probabilities - alone[one.key]).max() < 1e-5


def test_both_short_cuts_are_taken_by_the_models_of_this_project(model: RewardModel) -> None:
    reader = Reader(model, token_budget=1000)
    assert reader.shares and reader.last_feed_forward is not None


def test_the_text_of_a_problem_is_read_once(model: RewardModel) -> None:
    one_step = [SolutionText(f"s{i}", "p", STORY, (f"{i} apples.",)) for i in range(20)]
    encoded = encode(one_step, tokenizer=model.tokenizer, context=256)
    [beginning] = common_beginnings(encoded, [STORY] * 20)
    assert tokens_read(model, one_step) == beginning.length + sum(len(one.ids) - beginning.length for one in encoded)


def test_the_last_feed_forward_part_reads_the_step_ends_alone(model: RewardModel) -> None:
    seen: list[int] = []
    reader = Reader(model, token_budget=4096)
    part = reader.last_feed_forward
    assert part is not None
    first = next(one for one in part.modules() if isinstance(one, nn.Linear))
    hook = first.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].numel() // inputs[0].shape[-1]))
    with torch.inference_mode():
        encoded = encode(SAMPLES, tokenizer=model.tokenizer, context=256)
        list(reader.step_end_states(encoded, [one.problem for one in SAMPLES]))
    hook.remove()
    assert sum(seen) == sum(len(one.steps) for one in SAMPLES)


def test_a_beginning_ends_before_the_first_step_does() -> None:
    ids = [[1, 2, 3, 9, 4, 9], [1, 2, 3, 9, 5, 9], [1, 2, 3, 9], [1, 7, 9]]
    encoded = [EncodedSolution(np.array(one, np.int32), np.flatnonzero(np.array(one) == 9).astype(np.int32), 2) for one in ids]
    [first, second] = common_beginnings([*encoded[:3], *encoded[2:]], ["a", "a", "a", "b", "b"])
    assert (first.places.tolist(), first.length, first.saved) == ([0, 1, 2], 3, 6)
    assert (second.places.tolist(), second.length) == ([3, 4], 1)


def test_solutions_that_were_not_read_share_nothing() -> None:
    ids, ends = np.arange(5, dtype=np.int32), np.array([4], np.int32)
    unread = EncodedSolution(ids, ends[:0], 1)
    assert common_beginnings([EncodedSolution(ids, ends, 1), unread, unread], ["a"] * 3) == []


def test_solutions_of_several_problems_go_on_from_their_own(model: RewardModel) -> None:
    """Problems of equally many tokens are read in one batch; their numbers, and so their states, differ."""
    chosen = [
        SolutionText(f"{n}-{i}", str(n), f"{STORY} Ben eats ${n}$.", (f"${i}$ apples.", "So $3$.")) for n in range(3, 7) for i in range(6)
    ]
    encoded = encode(chosen, tokenizer=model.tokenizer, context=256)
    assert len({one.length for one in common_beginnings(encoded, [one.problem for one in chosen])}) == 1
    alone = np.concatenate([one.probabilities for solution in chosen for one in score_solutions(model, [solution])])
    together = np.concatenate([one.probabilities for one in score_solutions(model, chosen)])
    assert np.abs(alone - together).max() < 1e-5
    assert np.ptp(alone[:: 2 * 6, 0]) > 3e-5  # the problem matters, so a mixed-up one would be seen


def test_a_sliding_window_is_shared_exactly(model: RewardModel) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    vocabulary = model.network.config.vocab_size
    sliding = untrained(MistralForCausalLM(MistralConfig(vocab_size=vocabulary, sliding_window=8, initializer_range=0.5, **shape)), model)
    assert Reader(sliding, token_budget=1000).shares
    alone = {one.key: one.probabilities for solution in SAMPLES for one in score_solutions(sliding, [solution])}
    for one in score_solutions(sliding, SAMPLES):
        assert np.abs(one.probabilities - alone[one.key]).max() < 1e-5


def test_a_network_without_a_cache_to_copy_is_read_whole(model: RewardModel) -> None:
    torch.manual_seed(0)
    hf_logging.set_verbosity_error()  # it recommends a CUDA kernel
    vocabulary = model.network.config.vocab_size
    mamba = untrained(MambaForCausalLM(MambaConfig(vocab_size=vocabulary, hidden_size=16, num_hidden_layers=2, state_size=4)), model)
    assert not Reader(mamba, token_budget=1000).shares
    alone = {one.key: one.probabilities for solution in SAMPLES for one in score_solutions(mamba, [solution])}
    for one in score_solutions(mamba, SAMPLES):
        assert np.abs(one.probabilities - alone[one.key]).max() < 1e-5


def test_rotations_that_change_with_the_length_are_not_shared(model: RewardModel) -> None:
    scaling = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    network = small_llama(model.network.config.vocab_size, rope_parameters=scaling)
    assert not Reader(untrained(network, model), token_budget=1000).shares


def mixed(part: nn.Module) -> Callable[..., torch.Tensor]:
    """A feed-forward part in which a position hears of the earlier ones."""
    own = part.forward
    return lambda states: own(states.cumsum(-2))


def test_a_feed_forward_part_that_mixes_positions_reads_them_all(model: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_llama(model.network.config.vocab_size, initializer_range=0.5)
    last = network.model.layers[-1].mlp
    monkeypatch.setattr(last, "forward", mixed(last))
    assert Reader(untrained(network, model), token_budget=1000).last_feed_forward is None


def test_a_few_saved_tokens_are_not_worth_a_forward(model: RewardModel) -> None:
    pair = [SolutionText(f"s{i}", "p", "Add.", (f"{i} apples.",)) for i in range(2)]
    encoded = encode(pair, tokenizer=model.tokenizer, context=256)
    assert common_beginnings(encoded, ["Add."] * 2) != [] and isinstance(common_beginnings(encoded, ["Add."] * 2)[0], Beginning)
    assert tokens_read(model, pair) == 2 * max(len(one.ids) for one in encoded)
