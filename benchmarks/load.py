"""Figure: seconds and memory of loading and exporting, each as one `manage.py` command in a temporary home.

Loads the 5,276 GSM8K solutions of $STEPMARK_DATA (default ../shared/data). Loads a made-up file of 100,000 solutions twice; the second load
must add nothing. Loads 30,000 made-up labeled solutions with alternatives and exports them. Memory is the largest resident size of the
command itself, and `cpu_seconds` its processor time, both without the database. On a busy machine compare the latter. `ratio`: solutions
of the made-up file loaded per second, over the goal of 5,000. `--smoke`: 100 of each.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.temporary_site import DATA, ROOT, running_home

GOAL = 5000  # solutions per second
PER_PROBLEM = 10
STEP = "We take the number from the step before, add what the problem says of the next part, and write the sum down: {} + {} = {}."


def made_up(count: int, *, labeled: bool) -> Iterator[dict[str, Any]]:
    """Yield solutions of six steps, about 830 bytes each. The labeled ones have an alternative for their last step."""
    for number in range(count):
        texts = [STEP.format(number, step, number + step) for step in range(5)] + [f"The sum is {number}.\n\n# Answer\n\n{number}"]
        solution: dict[str, Any] = {"problem": f"Problem {number // PER_PROBLEM}: add all parts.", "answer": "7", "steps": texts}
        if labeled:
            ratings = [1] * 5 + [-1]
            solution["steps"] = [{"text": text, "rating": rating} for text, rating in zip(texts, ratings, strict=True)]
            solution["alternatives"] = {"6": [f"The sum is {number + 1}.\n\n# Answer\n\n{number + 1}"]}
        yield solution


def write(path: Path, solutions: Iterator[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(solution) + "\n" for solution in solutions)
    return path


def timed(*words: str) -> dict[str, float]:
    """Run a command of manage.py; return its seconds, processor seconds and peak memory in MB. Exits with its code if it fails."""
    began = time.monotonic()
    command = subprocess.Popen([sys.executable, "manage.py", *words], cwd=ROOT)
    _, status, usage = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    if command.returncode:
        sys.exit(command.returncode)
    kilobytes = usage.ru_maxrss / 1024 if sys.platform == "darwin" else usage.ru_maxrss
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(cpu, 1), "memory_mb": round(kilobytes / 1000)}


def measure(home: Path, *, count: int | None) -> dict[str, Any]:
    """Run all commands with `count` solutions of each kind; None: the full form."""
    from annotation import projects

    n_loaded, n_labeled = count or 100_000, count or 30_000
    for name in ("gsm8k", "many", "labeled"):
        projects.create_project(name, name=name)
    source = DATA / "gsm8k" / "example_model_solutions.jsonl"
    with source.open(encoding="utf-8") as lines:
        gsm8k = write(home / "gsm8k.jsonl", (json.loads(line) for line in islice(lines, count)))
    many = write(home / "many.jsonl", made_up(n_loaded, labeled=False))
    labeled = write(home / "labeled.jsonl", made_up(n_labeled, labeled=True))
    figures: dict[str, Any] = {
        "gsm8k": timed("load_solutions", str(gsm8k), "--project", "gsm8k"),
        "many": timed("load_solutions", str(many), "--project", "many"),
        "again": timed("load_solutions", str(many), "--project", "many"),
        "labeled": timed("load_solutions", str(labeled), "--project", "labeled"),
        "export": timed("export", "--project", "labeled", "--split", "all", "--out", str(home / "exported.jsonl")),
    }
    with (home / "exported.jsonl").open("rb") as lines:
        n_exported = sum(1 for _ in lines)
    if n_exported != n_labeled:
        sys.exit(f"{n_exported:,} of {n_labeled:,} labeled solutions were exported.")
    rate = n_loaded / figures["many"]["seconds"]
    size = round(many.stat().st_size / 1e6, 1)
    return {"ratio": round(rate / GOAL, 2), "n_loaded": n_loaded, "file_mb": size, "n_exported": n_exported, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench load", description="Measure loading and exporting.")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    options = parser.parse_args()
    with running_home() as home:
        print(json.dumps(measure(home, count=100 if options.smoke else None)))


if __name__ == "__main__":
    main()
