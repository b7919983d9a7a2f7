"""Figure: one whole `manage.py retrain` from the command line, on real data, in a home of its own.

`prm800k` (default): the 1,818 labeled paths of PRM800K, all labeled already, so without a batch; limit 5 minutes. `gsm8k`: 5,276 GSM8K
solutions and 300 made-up labels (see below); limit 10 minutes. `demonstration`: the simulated world with its oracle's labels; limit
5 minutes. `beat`: as `gsm8k`, but nobody starts the round: the running server's beat does, by the schedule; limit 10 minutes from the
moment the server is started to the published batch. `ratio` is the limit over the seconds.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEPMARK_DATA") or ROOT.parent / "shared" / "data")
sys.path.insert(0, str(ROOT))
LIMITS = {"prm800k": 300, "gsm8k": 600, "demonstration": 300, "beat": 600}


def manage(*words: str) -> str:
    done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    print(done.stdout, end="", flush=True)
    return done.stdout


def label_some(source: Path, home: Path) -> Path:
    """Write 300 solutions of GSM8K with ratings: all steps positive where the answer is right, the first negative where it is wrong.

    Nobody would call this a dataset: it gives the loop something to learn from where no person has labeled, and no figure of quality
    is taken from it.
    """
    out, written = home / "labels.jsonl", 0
    with source.open(encoding="utf-8") as lines, out.open("w", encoding="utf-8") as target:
        for line in lines:
            row = json.loads(line)
            one = row["175b_verification"]
            steps = [step for step in one["solution"].splitlines() if step.strip()]
            ratings = [1] * len(steps) if one["is_correct"] else [-1]
            rated = [{"text": step, "rating": rating} for step, rating in zip(steps, [*ratings, *[None] * len(steps)], strict=False)]
            target.write(json.dumps({"problem": row["question"], "steps": rated}) + "\n")
            written += 1
            if written == 300:
                break
    return out


def unattended(slug: str) -> dict[str, Any]:
    """Start the server, touch nothing, and wait until a round has published its batch; return its stages in seconds."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
    from labelapp import embedded_postgres

    embedded_postgres.join_if_wanted()
    import django

    django.setup()
    from active_learning.models import Round

    words = [sys.executable, "-m", "labelapp.supervisor", "--port", "8467", "--no-demonstration"]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not (ended := Round.objects.filter(project__slug=slug, finished_at__isnull=False).first()):
            if server.poll() is not None:
                sys.exit(f"The server ended with {server.returncode}.")
            time.sleep(1)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    if ended.failure:
        sys.exit(ended.failure)
    stages = {one.name: round((one.ended_at - one.began_at).total_seconds(), 1) for one in ended.stages.all()}
    return {"strategy": ended.strategy, "size": ended.params["size"], "short": ended.params["short"], "stages": stages}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "prm800k"
    if name not in LIMITS:
        sys.exit(f"There is no form {name}. Known: {', '.join(LIMITS)}.")
    home = Path(tempfile.mkdtemp(prefix="stepmark-bench-"))
    os.chmod(home, 0o755)
    os.environ["STEPMARK_HOME"] = str(home)
    try:
        manage("migrate", "-v0")
        if name == "demonstration":
            manage("make_demonstration")
        else:
            manage("create_project", name, "--name", name)
        if name == "prm800k":
            manage("load_solutions", str(DATA / "prm800k" / "phase2_labeled_paths_1818.jsonl"), "--project", name)
        if name in ("gsm8k", "beat"):
            source = DATA / "gsm8k" / "example_model_solutions.jsonl"
            manage("load_solutions", str(source), "--project", name)
            manage("load_solutions", str(label_some(source, home)), "--project", name)
        more: dict[str, Any] = {}
        started = time.monotonic()
        if name == "beat":
            manage("schedule", "--project", name, "--every-labels", "100")
            more = unattended(name)
        else:
            manage("retrain", "--project", name, *(["--size", "0"] if name == "prm800k" else []))
        seconds = time.monotonic() - started
        metrics = json.loads(next((home / "models" / name).glob("*/stepmark.json")).read_text())["metrics"]
        kept = ("step_auc", "log_loss", "base_rate_log_loss", "first_mistake", "n_solutions", "n_problems", "share_negative")
        print(
            json.dumps(
                {
                    "form": name,
                    "ratio": round(LIMITS[name] / seconds, 2),
                    "limit": LIMITS[name],
                    "seconds": round(seconds, 1),
                    **{key: metrics[key] for key in kept},
                    "training": metrics["training"],
                    **more,
                }
            )
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
