"""Figure: seconds to read 916 solutions with a frozen base and to train heads on them, then one more round; limits 480 s and 60 s.

The base is `smollm2` if it was fetched (or --base FOLDER), else a network of the same shape with random weights, which the benchmark makes:
the seconds of a forward pass depend on the shape. The solutions are of the simulated world. Their statements are lengthened until they have
as many tokens as the 916 distinct labeled paths of PRM800K (--tokens). Both rounds are commands of their own, `python -m trainer train
--frozen`, so starting and loading count. The second has another seed and takes all states from the cache, as a round after the first.

`ratio`: the smaller of limit over seconds of the two. `ratio_processor_time` is the same with the processor seconds of the command over the
threads, which other work on the machine hardly changes: what two cores of its own would take. `--smoke` is the smallest form and says
nothing about speed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from active_learning.world import label, make_world
from trainer.naming import FETCHED, bases_folder

ROOT = Path(__file__).resolve().parent.parent
FIRST_LIMIT, NEXT_LIMIT = 480.0, 60.0  # seconds on two cores
N_SOLUTIONS, N_TOKENS, PER_PROBLEM, WORLD = 916, 296, 4, 2305
SHAPE = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
SMALL = {"hidden_size": 36, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 9, "num_key_value_heads": 3}


def make_base(folder: Path, shape: dict[str, int], texts: list[str]) -> None:
    """Save a Llama of this shape with random weights, and a byte-level tokenizer learned from `texts`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from trainer.data import PAD, train_tokenizer

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(texts, merges=500), pad_token=PAD, bos_token=PAD)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=8192, tie_word_embeddings=True, **shape)
    config.bos_token_id = config.pad_token_id = config.eos_token_id = tokenizer.pad_token_id
    LlamaForCausalLM(config).save_pretrained(folder)


def solutions(count: int) -> list[dict[str, Any]]:
    """Take labeled solutions of the simulated world, PER_PROBLEM of each problem."""
    world = make_world(WORLD, n_problems=-(-count // PER_PROBLEM), n_solutions=PER_PROBLEM)
    pairs = ((problem, one) for problem, several in world for one in several)
    return [
        {"problem_key": problem.external_id, "problem": problem.statement, "steps": list(one.steps), "ratings": list(label(one).ratings)}
        for problem, one in islice(pairs, count)
    ]


def longer(rows: list[dict[str, Any]], *, base: str, n_tokens: int) -> int:
    """Lengthen the statements so that a solution has `n_tokens` tokens in the mean; return how many all have."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)

    def size(row: dict[str, Any]) -> int:
        return sum(map(len, tokenizer([row["problem"], *row["steps"]], add_special_tokens=False)["input_ids"])) + 1 + len(row["steps"])

    sizes = [size(row) for row in rows]
    times = max(0.0, n_tokens * len(rows) - sum(sizes)) / sum(len(tokenizer(row["problem"])["input_ids"]) for row in rows)
    for row in rows:
        row["problem"] += (" " + row["problem"]) * int(times) + " " + row["problem"][: int(len(row["problem"]) * (times % 1))]
    return sum(map(size, rows))


def train(words: list[str], *, seed: int, out: Path, threads: int) -> dict[str, Any]:
    """Run one round as a command; return its seconds, processor seconds, and what it says of the states."""
    command = [sys.executable, "-m", "trainer", "train", *words, "--frozen", f"--seed={seed}", "--out", str(out)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"The training failed:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout)["metrics"]["training"]["frozen"]
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 1), "processor_seconds": round(processor, 1)} | {
        name: told[name] for name in ("n_solutions", "n_from_cache", "layers")
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench frozen", description="Measure a first round and one more on a frozen base.")
    parser.add_argument("--base", help="folder of a base (default: smollm2 if it was fetched, else random weights of its shape)")
    parser.add_argument("--solutions", type=int, default=N_SOLUTIONS)
    parser.add_argument("--tokens", type=int, default=N_TOKENS, help="tokens of a solution in the mean, its problem included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    options = parser.parse_args()
    fetched = bases_folder() / "smollm2"
    base, what = options.base, options.base
    if options.smoke:
        options.solutions, base, what = 40, None, "random weights, small"
    elif base is None and fetched.is_dir():
        base, what = str(fetched), FETCHED["smollm2"].title
    rows = solutions(options.solutions)
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as folder:
        home = Path(folder)
        if base is None:
            base, what = str(home / "base"), what or "random weights of the shape of SmolLM2-135M"
            make_base(home / "base", SMALL if options.smoke else SHAPE, [text for row in rows for text in (row["problem"], *row["steps"])])
        n_tokens = longer(rows, base=base, n_tokens=options.tokens)
        (home / "labeled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        words = ["--labeled", str(home / "labeled.jsonl"), "--base", base, "--states", str(home / "states")]
        first = train(words, seed=0, out=home / "first", threads=options.threads)
        second = train(words, seed=1, out=home / "second", threads=options.threads)
    limits = {"first": FIRST_LIMIT, "next": NEXT_LIMIT}
    runs = {"first": first, "next": second}
    ratios = {name: round(limits[name] / runs[name]["seconds"], 2) for name in runs}
    alone = {name: round(limits[name] * options.threads / runs[name]["processor_seconds"], 2) for name in runs}
    line = {"ratio": min(ratios.values()), "ratio_processor_time": min(alone.values()), "ratios": ratios, "limits": limits}
    print(json.dumps(line | runs | {"base": what, "solutions": len(rows), "tokens": n_tokens, "threads": options.threads}))


if __name__ == "__main__":
    main()
