"""Figure: training tokens per second against TRL 1.13.0's PRMTrainer: same model, data, precision and tokens per optimizer step; goal 1.8.

A Llama of 5 million random parameters with the byte-level tokenizer of `tiny` learns from solutions of the simulated world. They are cut
after their last rated step, because the peer needs a rating at every step. Both run on the same torch and transformers; the peer's own
packages are installed once (benchmarks/peers). Each run is a process of its own, and ours and theirs alternate. Only the loop of optimizer
steps is timed. Tokens are those of the texts, without padding.

`ratio`: the median of ours over the median of theirs. `ratio_processor_time`: the same for processor time, which other work on the machine
hardly changes. `ratio_peer_grouped_by_length`: against the peer with batches grouped by length. Our trainer always groups them; a user of
the peer has to ask for it. `--device cuda` adds FLOP utilisation. `--smoke` is the smallest form and says nothing about speed; it runs the
peer once, without grouping.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from active_learning.world import label, make_world
from benchmarks import peers
from trainer.config import TinyShape, TrainConfig
from trainer.data import PROBLEM, STEP, LabeledSolution, SolutionText, buckets

ROOT = Path(__file__).resolve().parent.parent

GOAL, WORLD, PER_PROBLEM, BATCH = 1.8, 71, 4, 16
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16, from the makers' data sheets


def solutions(count: int) -> list[LabeledSolution]:
    """Take labeled solutions of the simulated world, cut after the last rated step."""
    world = make_world(WORLD, n_problems=-(-count // PER_PROBLEM), n_solutions=PER_PROBLEM)
    pairs = ((problem, one) for problem, several in world for one in several)
    labeled = []
    for number, (problem, one) in enumerate(islice(pairs, count)):
        ratings = label(one).ratings
        solution = SolutionText(str(number), problem.external_id, problem.statement, tuple(one.steps[: len(ratings)]))
        labeled.append(LabeledSolution(solution, tuple(ratings)))
    return labeled


def make_model(folder: Path, labeled: list[LabeledSolution], shape: TinyShape) -> int:
    """Save a Llama with random weights and its tokenizer; return its number of parameters."""
    from trainer.model import build_tiny, save_weights

    texts = [text for one in labeled for text in (one.solution.problem, *one.solution.steps)]
    model = build_tiny(texts, shape=shape, context=2048, seed=0)
    save_weights(model, folder)
    return model.n_parameters


def run_ours(options: argparse.Namespace) -> dict[str, Any]:
    """Time our loop over the data, with batches that make as many optimizer steps as the peer's."""
    import torch

    from trainer.data import encode_labeled
    from trainer.phases import Phase, run, trained_parts
    from trainer.train import prepared_model

    torch.set_num_threads(options.threads)
    labeled = solutions(options.solutions)
    config = TrainConfig(base=options.model, epochs=options.epochs, autocast=bool(options.bf16), minimum_updates=1, context=2048)
    model = prepared_model(config, solutions=())
    rated = encode_labeled(labeled, tokenizer=model.tokenizer, context=model.context)
    config = TrainConfig(
        base=options.model, epochs=options.epochs, autocast=bool(options.bf16), minimum_updates=1, token_budget=budget(rated, options.batch)
    )
    trained = trained_parts(model, config)
    began, worked = time.monotonic(), time.process_time()
    steps: list[int] = []
    outcome = run(
        trained,
        [Phase("reward model", rated, config.epochs, config.learning_rate, 0.0, 1.0)],
        config=config,
        progress=lambda now: steps.append(now.total or 0),
    )
    seconds, processor_seconds = time.monotonic() - began, time.process_time() - worked
    return {
        "tokens": options.epochs * sum(map(len, rated)),
        "seconds": seconds,
        "processor_seconds": processor_seconds,
        "steps": steps[-1],
        "loss": statistics.fmean(point["rating_loss"] for point in outcome.curve),
    }


def budget(sequences: list[Any], batch: int) -> int:
    """Choose the token budget that makes as many batches as `batch` sequences each would, or one fewer."""
    lengths, wanted = [len(one) for one in sequences], -(-len(sequences) // batch)
    low, high = max(lengths), sum(lengths)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if len(buckets(lengths, token_budget=middle)) > wanted else (low, middle)
    return low


def run_peer(options: argparse.Namespace, peer: Path, *, sampling: str, home: Path) -> dict[str, Any]:
    """Run TRL's trainer on the same texts, framed with the same tokens."""
    data = home / "data.jsonl"
    if not data.exists():
        with data.open("w", encoding="utf-8") as file:
            for one in solutions(options.solutions):
                labels = [rating != -1 for rating in one.ratings]
                row = {"prompt": f"{PROBLEM}{one.solution.problem}{STEP}", "completions": one.solution.steps, "labels": labels}
                file.write(json.dumps(row) + "\n")
    named = {
        "model": options.model,
        "data": data,
        "out": home / "trl",
        "separator": STEP,
        "batch": options.batch,
        "epochs": options.epochs,
        "threads": options.threads,
        "bf16": options.bf16,
        "device": options.device,
        "sampling": sampling,
    }
    words = [f"--{name}={value}" for name, value in named.items()]
    return last_line([sys.executable, "-m", "benchmarks.peers.trl_prm", *words], PYTHONPATH=str(peer))


def last_line(command: list[str], **environment: str) -> dict[str, Any]:
    """Run a process and read the JSON on its last line."""
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"} | environment
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{command[2]} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="script/bench training", description="Measure training tokens per second against TRL's PRMTrainer."
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--solutions", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=BATCH, help="sequences in one optimizer step of the peer")
    parser.add_argument("--bf16", type=int, choices=(0, 1), help="bfloat16 for both (default: if the device multiplies it natively)")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    parser.add_argument("--model", help=argparse.SUPPRESS)  # set where this module runs ours in a process of its own
    options = parser.parse_args()
    if options.smoke:
        options.solutions, options.repeats, options.batch, options.layers, options.width = 16, 1, 4, 1, 64
    if options.model:
        print(json.dumps(run_ours(options)))
        return
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # training uses any GPU that it sees
    peer = peers.install("trl")
    shape = TinyShape(layers=options.layers, width=options.width, heads=max(1, options.width // 64), feed_forward=options.width * 8 // 3)
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as folder:
        home = Path(folder)
        options.model = str(home / "model")
        (home / "model").mkdir()
        n_parameters = make_model(home / "model", solutions(options.solutions), shape)
        figures = compare(options, peer, home=home)
    line = {"ratio": figures.pop("ratio"), "goal": GOAL, "device": options.device, "threads": options.threads, "n_parameters": n_parameters}
    if options.device == "cuda":
        line |= utilisation(figures["tokens_per_second"], n_parameters)
    print(json.dumps(line | figures))


def compare(options: argparse.Namespace, peer: Path, *, home: Path) -> dict[str, Any]:
    """Run ours, theirs and theirs grouped by length in turn, and return the medians."""
    options.bf16 = int(own_bfloat16(options)) if options.bf16 is None else options.bf16
    words = [f"--{name}={getattr(options, name)}" for name in ("device", "solutions", "epochs", "threads", "batch", "bf16", "model")]
    samplings = ["random"] if options.smoke else ["random", "group_by_length"]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ["ours", *samplings]}
    for _ in range(options.repeats):
        for name, several in runs.items():
            if name == "ours":
                several.append(last_line([sys.executable, "-m", "benchmarks.training", *words]))
            else:
                several.append(run_peer(options, peer, sampling=name, home=home))
    tokens = {one["tokens"] for several in runs.values() for one in several}
    assert len(tokens) == 1, f"not the same data: {tokens}"
    speed, processor = (
        {name: statistics.median(one["tokens"] / one[clock] for one in several) for name, several in runs.items()}
        for clock in ("seconds", "processor_seconds")
    )
    return {
        "ratio": round(speed["ours"] / speed["random"], 2),
        "ratio_processor_time": round(processor["ours"] / processor["random"], 2),
        "precision": "bf16" if options.bf16 else "fp32",
        "ratio_peer_grouped_by_length": None if options.smoke else round(speed["ours"] / speed["group_by_length"], 2),
        "tokens_per_second": round(speed["ours"]),
        "peer_tokens_per_second": round(speed["random"]),
        "tokens": tokens.pop(),
        "steps": {name: several[0]["steps"] for name, several in runs.items()},
        "seconds": {name: [round(one["seconds"], 2) for one in several] for name, several in runs.items()},
        "processor_seconds": {name: [round(one["processor_seconds"], 2) for one in several] for name, several in runs.items()},
    }


def own_bfloat16(options: argparse.Namespace) -> bool:
    import torch

    from trainer.phases import multiplies_bfloat16

    return multiplies_bfloat16(torch.device(options.device))


def utilisation(tokens_per_second: float, n_parameters: int) -> dict[str, Any]:
    """Return model FLOP utilisation, counting 6 floating point operations a parameter and token, of a card that is known."""
    import torch

    card = torch.cuda.get_device_name()
    peak = next((flops for name, flops in PEAK_FLOPS.items() if name in card), None)
    return {"card": card, "mfu": None if peak is None else round(6 * n_parameters * tokens_per_second / peak, 3)}


if __name__ == "__main__":
    main()
