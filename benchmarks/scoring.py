"""Figure: solutions scored per second, 50 problems x 64 solutions of the simulated world, a Llama of 5 million random weights, CPU.

`ratio`: over what is usually written with transformers: batches of 32 in random order, padded, with a mask and the logits of the whole
vocabulary. `ratio_per_prefix`: over one call of a token-classification pipeline for each step, on the text so far, as TRL documents it for
its PRMTrainer. `ratio_per_prefix_bare`: over the same forwards without the pipeline. All use the same weights, ids and threads in one run,
tokenisation included; medians of repeats that alternate. The peers run on a random part. The run fails if a probability differs by 1e-5.

`--parts` measures the rate after each improvement instead; `--stream N` the memory of N solutions through a micro model.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, LlamaConfig, pipeline

from active_learning.world import make_world
from trainer.data import PROBLEM, STEP, EncodedSolution, SolutionText, buckets, encode, padded
from trainer.model import RewardModel, load_tiny
from trainer.prefix import Reader
from trainer.score import score_solutions, suitable_budget

CLASSES = ("negative", "neutral", "positive")
WORLD, CONTEXT, BATCH, TOLERANCE, MEGABYTE = 2305, 1024, 32, 1e-5, 1 << 20
SHAPE = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4}
MICRO = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
Scored = dict[str, np.ndarray]  # probabilities (n_steps, 3) by key


def solutions_of(n_problems: int, *, n_solutions: int) -> Iterator[SolutionText]:
    for problem, solutions in make_world(WORLD, n_problems=n_problems, n_solutions=n_solutions):
        for i, one in enumerate(solutions):
            yield SolutionText(f"{problem.external_id}-{i}", problem.external_id, problem.statement, one.steps)


def random_model(shape: dict[str, int]) -> RewardModel:
    """An untrained Llama with the tokenizer of the preset `tiny`; its weights are wide enough for predictions to differ."""
    tokenizer = load_tiny(context=CONTEXT).tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer.tokenizer),
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=None,
        **cast("dict[str, Any]", shape),
    )
    return RewardModel(AutoModelForCausalLM.from_config(config).eval(), tokenizer, CONTEXT)


def ours(model: RewardModel, solutions: Sequence[SolutionText]) -> Scored:
    return {one.key: one.probabilities for one in score_solutions(model, solutions)}


@torch.inference_mode()
def padded_batches(model: RewardModel, solutions: Sequence[SolutionText]) -> Scored:
    """Score in padded batches, in the given order, which is random already."""
    scored: Scored = {}
    for start in range(0, len(solutions), BATCH):
        batch = solutions[start : start + BATCH]
        encoded = encode(batch, tokenizer=model.tokenizer, context=CONTEXT)
        ids = torch.from_numpy(padded(encoded, pad_id=model.tokenizer.pad_id))
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(one.ids) for one in encoded])[:, None]
        logits = model.network(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits  # (B, T, V)
        for solution, one, row in zip(batch, encoded, logits, strict=True):
            scored[solution.key] = row[one.step_ends][:, list(model.tokenizer.rating_ids)].softmax(-1).numpy()
    return scored


@torch.inference_mode()
def each_prefix(model: RewardModel, solutions: Sequence[SolutionText]) -> Scored:
    scored: Scored = {}
    for solution in solutions:
        [one] = encode([solution], tokenizer=model.tokenizer, context=CONTEXT)
        ids = torch.from_numpy(one.ids.astype(np.int64))[None]
        rows = [
            model.network(input_ids=ids[:, : end + 1], use_cache=False, logits_to_keep=1).logits[0, -1, list(model.tokenizer.rating_ids)]
            for end in one.step_ends
        ]
        scored[solution.key] = torch.stack(rows).softmax(-1).numpy()
    return scored


def documented_pipeline(model: RewardModel) -> Callable[[RewardModel, Sequence[SolutionText]], Scored]:
    """The same network as a token classifier: its three classes are the rating tokens, its text spells the ids of `encode`."""
    rows = list(model.tokenizer.rating_ids)
    network = model.network
    shape = network.config.to_dict() | {"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}}
    classifier = AutoModelForTokenClassification.from_config(type(network.config)(**shape)).eval()
    classifier.model.load_state_dict(network.base_model.state_dict())
    with torch.no_grad():
        classifier.score.weight.copy_(network.get_output_embeddings().weight[rows])
        classifier.score.bias.zero_()
    pipe = pipeline("token-classification", model=classifier, tokenizer=model.tokenizer.tokenizer)

    def run(_: RewardModel, solutions: Sequence[SolutionText]) -> Scored:
        scored: Scored = {}
        for one in solutions:
            last = [
                pipe(f"{PROBLEM}{one.problem}{STEP}" + "".join(step + STEP for step in one.steps[: i + 1]))[-1]
                for i in range(len(one.steps))
            ]
            table = np.full((len(last), 3), np.nan)  # the pipeline returns only the likeliest class
            for row, answer in zip(table, last, strict=True):
                row[CLASSES.index(answer["entity"])] = answer["score"]
            scored[one.key] = table
        return scored

    return run


def largest_difference(one: Scored, other: Scored) -> float:
    return max(float(np.nanmax(np.abs(one[key] - other[key]))) for key in one.keys() & other.keys())


def measure(forms: dict[str, tuple[Callable[[], Scored], int]], *, repeats: int) -> tuple[dict[str, Any], dict[str, Scored]]:
    """Run the forms in turn, `repeats` times; return solutions per second (median and all) and what each scored."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    scored: dict[str, Scored] = {}
    for _ in range(repeats):
        for name, (run, _) in forms.items():
            started = time.perf_counter()
            scored[name] = run()
            seconds[name].append(time.perf_counter() - started)
    rates = {name: [n / one for one in seconds[name]] for name, (_, n) in forms.items()}
    return {
        name: {"solutions_per_second": round(statistics.median(r), 1), "runs": [round(one, 1) for one in r], "n": forms[name][1]}
        for name, r in rates.items()
    }, scored


def compare(options: argparse.Namespace) -> dict[str, Any]:
    model = random_model(SHAPE)
    pool = list(solutions_of(2, n_solutions=8) if options.smoke else solutions_of(50, n_solutions=64))
    drawn = [pool[i] for i in np.random.default_rng(0).permutation(len(pool))]
    some, few = drawn[: options.part], drawn[: max(1, options.part // 10)]
    through_pipeline = documented_pipeline(model)
    for warm in (ours, padded_batches, each_prefix, through_pipeline):
        warm(model, few[:8])
    rates, scored = measure(
        {
            "ours": (lambda: ours(model, pool), len(pool)),
            "padded": (lambda: padded_batches(model, some), len(some)),
            "per_prefix": (lambda: through_pipeline(model, few), len(few)),
            "per_prefix_bare": (lambda: each_prefix(model, few), len(few)),
        },
        repeats=options.repeats,
    )
    differences = {name: largest_difference(scored[name], scored["ours"]) for name in scored if name != "ours"}
    assert max(differences.values()) < TOLERANCE, f"the same model gives different probabilities: {differences}"
    spread = float(np.ptp(np.concatenate(list(scored["ours"].values())), axis=0).max())
    assert spread > 0.1, "the predictions hardly differ: a wrong one would go unnoticed"
    rate = {name: one["solutions_per_second"] for name, one in rates.items()}
    return {
        "ratio": round(rate["ours"] / rate["padded"], 2),
        "goal": 2.5,
        "ratio_per_prefix": round(rate["ours"] / rate["per_prefix"], 2),
        "goal_per_prefix": 10,
        "ratio_per_prefix_bare": round(rate["ours"] / rate["per_prefix_bare"], 2),
        **rates,
        "largest_difference": max(differences.values()),
        "n_parameters": model.n_parameters,
        "threads": torch.get_num_threads(),
    }


def parts(options: argparse.Namespace) -> dict[str, Any]:
    """Return the rate after each improvement, on ten problems; each form includes the improvements before it."""
    model = random_model(SHAPE)
    pool = list(solutions_of(10, n_solutions=64))
    drawn = [pool[i] for i in np.random.default_rng(0).permutation(len(pool))]

    @torch.inference_mode()
    def three_rows() -> Scored:
        scored: Scored = {}
        for start in range(0, len(drawn), BATCH):
            batch = drawn[start : start + BATCH]
            encoded = encode(batch, tokenizer=model.tokenizer, context=CONTEXT)
            scored |= read(encoded, batch, [np.arange(len(batch))])
        return scored

    def read(encoded: Sequence[EncodedSolution], batch: Sequence[SolutionText], groups: Sequence[np.ndarray]) -> Scored:
        scored: Scored = {}
        for group in groups:
            chosen = [encoded[i] for i in group]
            states = model.hidden_states(torch.from_numpy(padded(chosen, pad_id=model.tokenizer.pad_id)))
            for i, one, row in zip(group, chosen, states, strict=True):
                scored[batch[i].key] = model.rating_log_probabilities(row[one.step_ends]).exp().numpy()
        return scored

    @torch.inference_mode()
    def by_length(token_budget: int) -> Scored:
        encoded = encode(drawn, tokenizer=model.tokenizer, context=CONTEXT)
        return read(encoded, drawn, buckets([len(one.ids) for one in encoded], token_budget=token_budget))

    @torch.inference_mode()
    def with_reader(*, shares: bool) -> Scored:
        reader = Reader(model, token_budget=suitable_budget(model))
        reader.shares = reader.shares and shares
        encoded = encode(drawn, tokenizer=model.tokenizer, context=CONTEXT)
        scored: Scored = {}
        for places, states in reader.step_end_states(encoded, [one.problem for one in drawn]):
            rows = model.rating_log_probabilities(states).exp().numpy()
            for place, own in zip(places, np.split(rows, np.cumsum([len(encoded[p].step_ends) for p in places])[:-1]), strict=True):
                scored[drawn[place].key] = own
        return scored

    forms: dict[str, Callable[[], Scored]] = {
        "padded, mask, whole vocabulary": lambda: padded_batches(model, drawn),
        "no mask, three rows": three_rows,
        "by length, 6,900 tokens": lambda: by_length(6900),  # what a random batch of 32 takes
        "by length, as many tokens as suit": lambda: by_length(suitable_budget(model)),
        "last feed-forward at step ends": lambda: with_reader(shares=False),
        "problem read once": lambda: with_reader(shares=True),
    }
    rates, scored = measure({name: (run, len(drawn)) for name, run in forms.items()}, repeats=options.repeats)
    first = next(iter(forms))
    assert max(largest_difference(scored[name], scored[first]) for name in forms) < TOLERANCE
    base = rates[first]["solutions_per_second"]
    return {
        "ratio": round(rates["problem read once"]["solutions_per_second"] / base, 2),
        "parts": {name: one | {"ratio": round(one["solutions_per_second"] / base, 2)} for name, one in rates.items()},
    }


def stream(n: int) -> dict[str, Any]:
    """Return peak resident memory above that of the loaded and warmed model, after each tenth of the stream."""
    model = random_model(MICRO)
    list(score_solutions(model, list(solutions_of(2, n_solutions=64))))
    loaded, marks, started = peak(), [], time.perf_counter()
    for done, _ in enumerate(score_solutions(model, islice(solutions_of(-(-n // 64), n_solutions=64), n)), 1):
        if done % max(1, n // 10) == 0:
            marks.append((done, (peak() - loaded) / MEGABYTE))
    assert marks[-1][0] == n - n % max(1, n // 10)
    later = [mark for mark in marks if mark[0] > n / 2] or marks
    slope = (later[-1][1] - later[0][1]) / max(1, later[-1][0] - later[0][0])  # MB per solution over the second half
    expected = marks[-1][1] + slope * max(0, 1_000_000 - n)
    return {
        "ratio": round(1024 / max(1.0, expected), 2),
        "memory_mb": round(marks[-1][1], 1),
        "memory_mb_per_million": round(slope * 1e6, 1),
        "memory_mb_at_1000000": round(expected, 1),
        "limit_mb": 1024,
        "n": n,
        "seconds": round(time.perf_counter() - started, 1),
        "marks": [(done, round(mb, 1)) for done, mb in marks],
    }


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    command = argparse.ArgumentParser(
        prog="script/bench scoring", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--repeats", type=int, default=3)
    command.add_argument("--part", type=int, default=640, help="solutions for the padded peer; the peers per prefix get a tenth of them")
    command.add_argument("--parts", action="store_true", help="measure the rate after each improvement instead")
    command.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    command.add_argument("--stream", type=int, metavar="N", help="measure the memory of scoring N solutions instead")
    options = command.parse_args()
    torch.set_num_threads(options.threads)
    figures = stream(options.stream) if options.stream else parts(options) if options.parts else compare(options)
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
