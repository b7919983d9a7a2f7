"""Figure: one whole `manage.py retrain` from the command line, on real data, in a temporary home.

`prm800k` (default): the 1,818 labeled paths of PRM800K; all are labeled already, so no batch is chosen; limit 5 minutes. `gsm8k`: 5,276
GSM8K solutions, of which 300 get made-up labels (see `label_some`); limit 10 minutes. `demonstration`: the simulated world with labels from
its oracle; limit 5 minutes. `beat`: like `gsm8k`, but nobody starts the round: the beat of a running server does, by the schedule; limit 10
minutes from the start of the server to the published batch. `ratio` is the limit over the seconds. `--smoke`: a few solutions.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import temporary_site
from benchmarks.temporary_site import DATA, ROOT
from trainer.steps import cut

N_MORE = 280  # with the 60 labels of the demonstration and the 60 of its first batch: 400
LIMITS = {"prm800k": 300, "gsm8k": 600, "demonstration": 300, "beat": 600}


def manage(*words: str) -> None:
    """Run a command of manage.py with its output shown. If it fails, exit with its code."""
    done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def head(source: Path, home: Path, *, n_lines: int | None) -> Path:
    """Write the first lines of a file to the home; None: return the file itself."""
    if n_lines is None:
        return source
    target = home / source.name
    with source.open("rb") as lines:
        target.write_bytes(b"".join(islice(lines, n_lines)))
    return target


def label_some(source: Path, home: Path, *, count: int) -> Path:
    """Write `count` solutions of GSM8K with ratings: all steps positive if the answer is right, else the first step negative.

    The labels are made up. They let the loop train where no person has labeled; no figure of quality is taken from them.
    """
    target = home / "labels.jsonl"
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as labeled:
        for line in islice(lines, count):
            row = json.loads(line)
            answer = row["175b_verification"]
            steps = cut(answer["solution"])
            ratings = [1] * len(steps) if answer["is_correct"] else [-1]
            rated = [{"text": step, "rating": rating} for step, rating in zip(steps, [*ratings, *[None] * len(steps)], strict=False)]
            labeled.write(json.dumps({"problem": row["question"], "steps": rated}) + "\n")
    return target


def unattended(slug: str) -> dict[str, float]:
    """Start the server and wait until its beat has started a round and the round has ended; return the seconds of each stage."""
    from active_learning.models import Round

    words = [sys.executable, "-m", "labelapp.supervisor", "--port", str(temporary_site.free_port())]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not (ended := Round.objects.filter(project__slug=slug, finished_at__isnull=False).first()):
            if server.poll() is not None:
                sys.exit(f"The server ended with exit code {server.returncode}.")
            time.sleep(1)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    if ended.failure:
        sys.exit(ended.failure)
    return {stage.name: round((stage.ended_at - stage.began_at).total_seconds(), 1) for stage in ended.stages.all() if stage.ended_at}


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench retrain", description="Measure one whole round from the command line.")
    parser.add_argument("form", nargs="?", choices=list(LIMITS), default="prm800k", help="(default: %(default)s)")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    options = parser.parse_args()
    if options.smoke and options.form == "demonstration":
        parser.error("The demonstration has only one size. Use --smoke with another form.")
    n_lines, n_labels = (40, 20) if options.smoke else (None, 300)
    with temporary_site.running_home() as home:
        print(json.dumps(measure(options.form, home, n_lines=n_lines, n_labels=n_labels)))


def measure(form: str, home: Path, *, n_lines: int | None, n_labels: int) -> dict[str, Any]:
    """Load the data of a form, time the round, and return its figures."""
    from annotation import projects

    if form == "demonstration":
        manage("make_demonstration")
        manage("retrain", "--project", form, "--strategy", "uniform", "--size", str(N_MORE), "--globally")
        manage("oracle_labels")
    else:
        projects.create_project(form, name=form)
    if form == "prm800k":
        paths = head(DATA / "prm800k" / "phase2_labeled_paths_1818.jsonl", home, n_lines=n_lines)
        manage("load_solutions", str(paths), "--project", form)
    if form in ("gsm8k", "beat"):
        source = head(DATA / "gsm8k" / "example_model_solutions.jsonl", home, n_lines=n_lines)
        manage("load_solutions", str(source), "--project", form)
        manage("load_solutions", str(label_some(source, home, count=n_labels)), "--project", form)
    stages: dict[str, float] | None = None
    started = time.monotonic()
    if form == "beat":
        manage("schedule", "--project", form, "--every-labels", str(n_labels // 3))
        stages = unattended(form)
    else:
        quick = ["--preset", "quick"] if n_lines is not None else []
        manage("retrain", "--project", form, *(["--size", "0"] if form == "prm800k" else []), *quick)
    seconds = time.monotonic() - started
    metrics = json.loads(next((home / "models" / form).glob("*/stepmark.json")).read_text())["metrics"]
    names = ("step_auc", "log_loss", "base_rate_log_loss", "first_mistake", "n_solutions", "n_problems", "share_negative")
    return {
        "form": form,
        "ratio": round(LIMITS[form] / seconds, 2),
        "limit": LIMITS[form],
        "seconds": round(seconds, 1),
        **{name: metrics[name] for name in names},
        "training": metrics["training"],
        "stages": stages,
    }


if __name__ == "__main__":
    main()
