"""Train trainer/bases/tiny, the base that the preset `tiny` starts from: script/tiny_base.py [--tokens 2e7] [--out FOLDER].

Reads only seeds: correct solutions of the simulated world, corrupted by `corrupt`, and drills. It uses no label of a person or of the
simulation's oracle. Writes weights, tokenizer, card and manifest. If it is stopped with Ctrl-C, it keeps its state in the folder of
--out and continues from there.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Lfm2Config, Lfm2ForCausalLM, PreTrainedModel

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from active_learning.world.simulation import make_world  # noqa: E402
from script.corrupt import CORRUPTIONS, Exercise, Worked, drill, exercises, one_sum  # noqa: E402
from trainer.config import TINY_BASE, TinyShape, TrainConfig  # noqa: E402
from trainer.data import EncodedSolution, StepTokenizer, TrainingSequence, seeded, shuffled_buckets  # noqa: E402
from trainer.model import RewardModel, build_tiny, hush_convolutions, save_weights  # noqa: E402
from trainer.train import Phase, take_step  # noqa: E402

WORLDS = 7_000_001  # the first seed of the worlds; no other part of the project uses these seeds
TEXTS = 900_001  # the seed of the world for the vocabulary
CONTEXT = 1024
LAYERS, WIDTH, HEAD = ("conv", "full_attention") * 3, 160, 32
MODULI = (3, 4, 5, 7)  # together they distinguish any two numbers that differ by less than 420
N_RESIDUES = 2 * len(MODULI)
# The places of the planted values in the residual stream.
FLAGS, FOUND, CODE, BEFORE = slice(28, 32), slice(32, 64), slice(64, 96), slice(96, 128)
LEFT, RIGHT, TOTAL = slice(128, 136), slice(136, 144), slice(144, 160)  # operands; sum, then difference
# The mixture up to a share of the tokens. The model learns to compare numbers first, then to read stories.
CURRICULUM = (
    (0.05, {"stories": 20, "drills": 150, "sums": 1000}),
    (1.01, {"stories": 180, "drills": 60, "sums": 300}),
)
CARD = """\
# The base of the preset `tiny`

{layers} layers of short convolutions and attention in turn (LFM2), width {width}, {parameters:,} parameters. `tiny` starts from it if the
text of a project is like the text it has read.

- **Planted** before training, and kept during it: circuits that show whether a number occurred before, and whether a sum or a
  difference is right (`plant` in the script explains them). All other weights began at random.
- **Made by** `script/tiny_base.py` in {seconds:,} seconds of CPU time, from {tokens:,} tokens: {stories:,} solutions,
  {drills:,} drills and {sums:,} single sums.
- **Read**: problems of the simulated world with the seeds {first} to {last}, solved without mistakes (skill 1). A program that sees only
  the text spoiled one step in four of five solutions (`script/corrupt.py`: {kinds}). Also drills, which are bare sums over given numbers,
  and single sums. The demonstration and the benchmarks use worlds with other seeds. The vocabulary comes from text of the world
  {texts}, mistakes included.
- **Learned**: at every number and every step end, whether the step is wrong so far. No label of a person or of the simulation's
  oracle was used. What spoils the texts is like slips, wrong copies, wrong operations, skipped conditions, forgotten units and answers to
  other questions: the base is drilled on these kinds. It is not drilled on misread conditions, where words and sum match each other but
  not the problem. Labels teach it these, and what neutral means.
- **Not useful for** anything else: it knows small whole numbers and the words of these stories.
"""


class Pin(NamedTuple):
    """A part of a parameter that keeps its value."""

    parameter: Tensor
    place: tuple[slice | list[int], ...]
    value: Tensor


class Tokens:
    """The vocabulary, with what the exercises need: which tokens are numbers, and where they end in the text."""

    def __init__(self, tokenizer: StepTokenizer) -> None:
        self.tokenizer, self.backend = tokenizer, tokenizer.tokenizer.backend_tokenizer
        vocabulary = tokenizer.tokenizer.get_vocab()
        self.is_number = np.zeros(len(vocabulary), bool)
        self.is_number[[i for token, i in vocabulary.items() if token.isascii() and token.isdigit()]] = True
        self.known: dict[str, tuple[list[int], list[int]]] = {}

    def of(self, text: str) -> tuple[list[int], list[int]]:
        """Return the ids of a text and the character at which each of them ends."""
        if text not in self.known:
            encoding = self.backend.encode(text, add_special_tokens=False)
            self.known[text] = encoding.ids, [end for _, end in encoding.offsets]
        return self.known[text]

    def sequence(self, exercise: Exercise) -> TrainingSequence:
        """Encode an exercise as `data.encode` does, with a class at every number and every step end: right (2) or wrong (0)."""
        ids = [*self.tokenizer.prefix, *self.of(exercise.problem)[0], *self.tokenizer.step_end]
        places, classes = [], []
        for step, wrong_from in zip(exercise.steps, exercise.wrong_from, strict=True):
            own, ends = self.of(step)
            if wrong_from != -1:
                for place, (token, end) in enumerate(zip(own, ends, strict=True), len(ids)):
                    if self.is_number[token]:
                        places.append(place)
                        classes.append(0 if wrong_from is not None and end > wrong_from else 2)
            ids += [*own, *self.tokenizer.step_end]
            places.append(len(ids) - 1)
            classes.append(2 if wrong_from is None else 0)
        encoded = EncodedSolution(np.array(ids[:CONTEXT], np.int32), np.array(places, np.int32), len(exercise.steps))
        return TrainingSequence(encoded, np.array(classes, np.int64))


def texts() -> list[str]:
    """Return the texts for the vocabulary, including mistakes, so that words that occur only in mistakes become tokens too."""
    world = list(make_world(TEXTS, n_problems=2000, n_solutions=4))
    return [*(problem.statement for problem, _ in world), *(step for _, solutions in world for s in solutions for step in s.steps)]


def number_features(number: int) -> list[float]:
    """Return features of a whole number from which a small network can check sums: residues for + and -, logarithms for * and /.

    Two numbers one or ten apart differ in a residue. After Fourier features of numbers (FoNE, arXiv 2502.09741).
    """
    size = math.log(max(number, 0.5))
    finer = [2 * math.pi * size / wavelength for wavelength in (14, 7, 3.5, 1.75, 0.9, 0.45, 0.22, 0.11, 0.055)]
    residues = [part(2 * math.pi * number / modulus) for part in (math.cos, math.sin) for modulus in MODULI]
    return [*residues, number / 500 - 1, size - 3.5, *(part(turn) for turn in finer for part in (math.cos, math.sin))]


def untrained(texts: Sequence[str]) -> tuple[RewardModel, list[Pin]]:
    """Build the network and its tokenizer: alternating short convolutions and attention (LFM2), with the circuits of `plant`."""
    hush_convolutions()
    tokenizer = build_tiny(texts, shape=TinyShape(), context=CONTEXT, seed=0).tokenizer
    vocabulary = tokenizer.tokenizer.get_vocab()
    config = Lfm2Config(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=448,
        block_auto_adjust_ff_dim=False,
        num_hidden_layers=len(LAYERS),
        layer_types=list(LAYERS),
        conv_L_cache=6,
        conv_bias=True,
        num_attention_heads=WIDTH // HEAD,
        num_key_value_heads=WIDTH // HEAD,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,  # what a number is made of for reading is of no use for choosing among ratings
        initializer_range=WIDTH**-0.5 / 2,
        pad_token_id=tokenizer.pad_id,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    network: PreTrainedModel = Lfm2ForCausalLM(config)
    with torch.no_grad():
        embedding = cast(nn.Embedding, network.get_input_embeddings()).weight  # (V, D)
        embedding.normal_(0, 0.5)
        embedding[:, CODE] *= 2
        for token, row in vocabulary.items():
            if token.isascii() and token.isdigit():
                embedding[row, : FLAGS.start] = torch.tensor(number_features(int(token)))
        for place in (FLAGS, FOUND, slice(BEFORE.start, TOTAL.stop)):
            embedding[:, place] = 0
        pinned = plant(network)
    return RewardModel(network, tokenizer, CONTEXT), pinned


def plant(network: PreTrainedModel) -> list[Pin]:
    """Plant two circuits in the first two layers, which training alone did not find in 5 million tokens. Return the values to keep.

    *Was this number there before?* Convolution 0 brings the code of the token before; a head of attention 1 looks for the token after which
    the same number stood (an induction head, arXiv 2209.11895); MLP 1 multiplies what it found with the number's own code.
    *Is this the sum?* Convolution 0 brings the residues of the operands four and two tokens back; MLP 0 turns them by the addition theorem
    into those of sum and difference; MLP 1 compares. A gated MLP multiplies exactly: silu(x) y + silu(-x) (-y) = x y.
    The planted values are pinned during training. Without that, noise in the zeros around them destroyed them in a thousand steps.
    """
    layers: Any = network.base_model.layers
    first, second = layers[0], layers[1]
    conv, attention = first.conv, second.self_attn
    carried = [(into, source, 1) for into, source in zip(range(BEFORE.start, BEFORE.stop), range(CODE.start, CODE.stop), strict=True)]
    carried += [(LEFT.start + i, i, 4) for i in range(N_RESIDUES)] + [(RIGHT.start + i, i, 2) for i in range(N_RESIDUES)]
    kept = [*range(N_RESIDUES), *range(FLAGS.start, FLAGS.stop), *range(FOUND.start, TOTAL.stop)]  # nobody else writes there before MLP 1
    outputs = (conv.out_proj.weight, conv.out_proj.bias, first.feed_forward.w2.weight, attention.out_proj.weight)
    for matrix in outputs:
        matrix[kept] = 0
    channels = [into for into, *_ in carried]
    gates = [*channels, *(WIDTH + into for into in channels)]
    conv.in_proj.weight[gates], conv.in_proj.bias[gates] = 0, 1
    conv.in_proj.weight[[2 * WIDTH + into for into in channels]] = conv.conv.weight[channels] = conv.out_proj.weight[:, channels] = 0
    conv.in_proj.bias[[2 * WIDTH + into for into in channels]] = conv.conv.bias[channels] = 0
    for into, source, back in carried:
        conv.in_proj.weight[2 * WIDTH + into, source] = conv.conv.weight[into, 0, -1 - back] = conv.out_proj.weight[into, into] = 1

    heads = (attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
    for matrix in heads:
        matrix[:HEAD] = 0
    attention.out_proj.weight[:, :HEAD] = 0
    for i in range(HEAD):
        if i % (HEAD // 2) >= 5:  # the slow rotations: the others tell distances, and would blur a match
            heads[0][i, CODE.start + i] = heads[1][i, BEFORE.start + i] = 1
        heads[2][i, BEFORE.start + i] = attention.out_proj.weight[FOUND.start + i, i] = 1
    attention.q_layernorm.weight.fill_(1.7), attention.k_layernorm.weight.fill_(1.7)  # sharp: a match outweighs forty others

    turns = []
    for i in range(len(MODULI)):
        cos, sin = i, len(MODULI) + i
        for a, b, products in (
            (cos, cos, ((cos, 1), (8 + cos, 1))),
            (sin, sin, ((cos, -1), (8 + cos, 1))),
            (sin, cos, ((sin, 1), (8 + sin, 1))),
            (cos, sin, ((sin, 1), (8 + sin, -1))),
        ):
            turns.append((LEFT.start + a, RIGHT.start + b, [(TOTAL.start + place, sign * 0.7) for place, sign in products]))
    seen, total, rest = range(FLAGS.start, FLAGS.start + 3)
    matches = [(FOUND.start + i, CODE.start + i, [(seen, 0.1)]) for i in range(HEAD)]
    matches += [(TOTAL.start + i, i, [(total, 0.5)]) for i in range(N_RESIDUES)]
    matches += [(TOTAL.start + N_RESIDUES + i, i, [(rest, 0.5)]) for i in range(N_RESIDUES)]
    multiply(first.feed_forward, turns)
    multiply(second.feed_forward, matches)

    everywhere, planted = slice(None), [(first.feed_forward, 2 * len(turns)), (second.feed_forward, 2 * len(matches))]
    pinned: list[tuple[Tensor, tuple[slice | list[int], ...]]] = [(matrix, (kept,)) for matrix in outputs]
    pinned += [(one, ([*gates, *(2 * WIDTH + into for into in channels)],)) for one in (conv.in_proj.weight, conv.in_proj.bias)]
    pinned += [(conv.conv.weight, (channels,)), (conv.conv.bias, (channels,)), (conv.out_proj.weight, (everywhere, channels))]
    pinned += [(matrix, (slice(HEAD),)) for matrix in heads] + [(attention.out_proj.weight, (everywhere, slice(HEAD)))]
    pinned += [(one.weight, (everywhere,)) for one in (attention.q_layernorm, attention.k_layernorm)]
    for mlp, units in planted:
        pinned += [(mlp.w1.weight, (slice(units),)), (mlp.w3.weight, (slice(units),)), (mlp.w2.weight, (everywhere, slice(units)))]
    return [Pin(parameter, place, parameter[place].clone()) for parameter, place in pinned]


@torch.no_grad()
def put_back(pinned: Sequence[Pin]) -> None:
    for parameter, place, value in pinned:
        parameter[place] = value


def multiply(mlp: Any, products: Sequence[tuple[int, int, Sequence[tuple[int, float]]]]) -> None:
    """Let the first hidden units of a gated MLP add x[a] * x[b] * weight to each (place, weight)."""
    for unit, (a, b, into) in enumerate(products):
        for one, sign in ((2 * unit, 1), (2 * unit + 1, -1)):
            mlp.w1.weight[one] = mlp.w3.weight[one] = mlp.w2.weight[:, one] = 0
            mlp.w1.weight[one, a] = mlp.w3.weight[one, b] = sign
            for place, weight in into:
                mlp.w2.weight[place, one] = weight


def window(number: int, *, stories: int, drills: int, sums: int) -> list[Exercise]:
    """Return the exercises of window `number`: solutions of `stories` problems from its own world, drills, and single sums."""
    rng = seeded("tiny base", number)
    world = make_world(WORLDS + number, n_problems=stories, n_solutions=4, skill=1.0)
    solutions = [(problem.subject, Worked(problem.statement, s.steps)) for problem, some in world for s in some]
    return [*exercises(solutions, rng=rng), *(drill(rng) for _ in range(drills)), *(one_sum(rng) for _ in range(sums))]


def updates(tokens: Tokens, *, goal: float, token_budget: int, counts: dict[str, int]) -> Iterator[list[TrainingSequence]]:
    """Yield the sequences of each optimizer step until `goal` tokens are read, mixed as CURRICULUM says."""
    while counts["tokens"] < goal:
        mixture = next(mixture for until, mixture in CURRICULUM if counts["tokens"] < until * goal)
        some = window(counts["windows"], **mixture)
        sequences = [tokens.sequence(one) for one in some]
        counts["windows"] += 1
        for name, amount in (*mixture.items(), ("stories", 3 * mixture["stories"])):  # four solutions of a problem
            counts[name] += amount
        for batch in shuffled_buckets([len(s) for s in sequences], token_budget=token_budget, rng=seeded("order", counts["windows"])):
            counts["tokens"] += sum(len(sequences[i]) for i in batch)
            yield [sequences[i] for i in batch]


class MuonAndAdam:
    """Muon for the matrices of the layers, AdamW for embedding, head and norms. Half the tokens of AdamW alone for the same loss."""

    def __init__(self, network: nn.Module, *, learning_rate: float) -> None:
        inner = [p for name, p in network.named_parameters() if p.ndim == 2 and "layers" in name]
        chosen = {id(p) for p in inner}
        outer = [p for p in network.parameters() if id(p) not in chosen]
        self.parts: tuple[tuple[torch.optim.Optimizer, float], ...] = (
            (torch.optim.Muon(inner, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"), 2 * learning_rate),
            (torch.optim.AdamW(outer, betas=(0.9, 0.95), weight_decay=0.0), learning_rate),
        )

    def slow_down(self, factor: float) -> None:
        for part, learning_rate in self.parts:
            part.param_groups[0]["lr"] = learning_rate * factor

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part, _ in self.parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        for part, _ in self.parts:
            part.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=TINY_BASE, help="folder for the base (default: %(default)s)")
    parser.add_argument("--tokens", type=float, default=2e7, help="tokens to read (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3, help="of AdamW; Muon uses twice as much (default: %(default)s)")
    parser.add_argument("--token-budget", type=int, default=2048, help="tokens in one optimizer step (default: %(default)s)")
    options = parser.parse_args()
    if options.out != TINY_BASE and not (options.out / "halfway.json").is_file() and options.out.is_dir() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty. Choose a new or empty folder.")

    model, pinned = untrained(texts())
    options.out.mkdir(parents=True, exist_ok=True)
    halfway, state = options.out / "halfway.safetensors", options.out / "halfway.json"
    counts = {"tokens": 0, "windows": 0, "stories": 0, "drills": 0, "sums": 0, "seconds": 0}
    if state.is_file():
        counts = json.loads(state.read_text())
        model.network.load_state_dict(load_file(halfway))
        put_back(pinned)
    train(model, pinned, halfway, state, counts, options)

    kinds = ", ".join(make.__name__ for make, _ in CORRUPTIONS)
    nn.Module.to(model.network, torch.bfloat16)
    save_weights(model, options.out)
    card = CARD.format(
        layers=len(LAYERS),
        width=WIDTH,
        parameters=model.n_parameters,
        kinds=kinds,
        texts=TEXTS,
        first=WORLDS,
        last=WORLDS + counts["windows"] - 1,
        **counts,
    )
    (options.out / "README.md").write_text(card, encoding="utf-8")
    halfway.unlink(missing_ok=True)
    state.unlink(missing_ok=True)


def train(
    model: RewardModel, pinned: Sequence[Pin], halfway: Path, state: Path, counts: dict[str, int], options: argparse.Namespace
) -> None:
    optimizer, phase = (
        MuonAndAdam(model.network, learning_rate=options.learning_rate),
        Phase("base", [], 1, options.learning_rate, 0.0, 1.0),
    )
    config, tokens = TrainConfig.for_base(token_budget=options.token_budget), Tokens(model.tokenizer)
    model.network.train()
    losses: list[float] = []
    began = spent = time.process_time()
    before = counts["seconds"]

    def save_state() -> None:
        counts["seconds"] = before + round(time.process_time() - began)
        save_file(dict(model.network.state_dict()), halfway)
        state.write_text(json.dumps(counts))

    try:
        for done, batch in enumerate(updates(tokens, goal=options.tokens, token_budget=options.token_budget, counts=counts), 1):
            optimizer.slow_down(min(1.0, done / 100, max(0.02, (1 - counts["tokens"] / options.tokens) / 0.4)))
            sums = take_step(model, [batch], phase=phase, optimizer=optimizer, config=config)  # type: ignore[arg-type]
            losses.append(sums[0] / sums[1])
            put_back(pinned)
            if time.process_time() - spent > 60:
                spent = time.process_time()
                save_state()
                print(f"{counts['tokens']:,} tokens, loss {np.mean(losses[-200:]):.4f}, {counts['seconds']:,} s", flush=True)
    finally:
        save_state()


if __name__ == "__main__":
    main()
