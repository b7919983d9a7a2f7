"""Figure: data efficiency: the slope of best-of-N over the logarithm of chosen labels, over the slope for uniform labels; goal: 2.6.

Runs the short form of `manage.py simulate` (uniform labels, and half convincing; an able generator) with its three seeds in a temporary
home. `--full` also runs every strategy, outcome labels and the other generators. `ratio` belongs to the arm that the plan names; `low` and
`high` bound it at 95 % over seeds and test problems (null: unbounded). The raw figures follow. `--smoke`: the smallest form, whose figures
are noise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

GOAL = 2.6


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="script/bench data_efficiency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--full", action="store_const", const="full", dest="form", help="every strategy, and outcome labels")
    form.add_argument("--smoke", action="store_const", const="smallest", dest="form", help="the smallest form: shows that it runs")
    parser.add_argument("--home", help="keep points and figures here, and continue from those already there")
    options = parser.parse_args()
    name, began = options.form or "short", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as temporary:
        os.chmod(temporary, 0o755)
        home = Path(options.home or temporary).resolve()
        command = [sys.executable, "manage.py", "simulate", "--form", name]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "STEPMARK_HOME": str(home)}, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        finished = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in home.glob("experiments/*/results.json")}
    results = finished["smallest" if name == "smallest" else "able"]
    rows = {row["strategy"]: row for row in results["table"]}
    ratio = rows[results["plan"]["shown"]]["efficiency"]
    print(
        json.dumps(
            {
                "form": name,
                "ratio": ratio["value"] and round(ratio["value"], 2),
                "low": ratio["low"],
                "high": ratio["high"],
                "goal": GOAL,
                "strategy": results["plan"]["shown"],
                "best": results["best"],
                "seconds": round(time.monotonic() - began, 1),
                "work_seconds": results["seconds"],
                "labels": results["labels"],
                "seeds": results["plan"]["seeds"],
                "nothing": results["nothing"],
                "strategies": {
                    arm: {
                        "efficiency": row["efficiency"],
                        "slope": round(row["slope"], 4),
                        "step_auc": row["step_auc"],
                        "first_mistake_f1": row["first_mistake_f1"],
                        "equal_labels": row["equal_labels"],
                        "best_of_n": [at["seeds"] for at in results["b"][arm]],
                    }
                    for arm, row in rows.items()
                },
                "others": {
                    experiment: {
                        "efficiency": {row["strategy"]: row["efficiency"] for row in other["table"]},
                        "labels": other["labels"],
                        "by_label": {kind: [at["value"] for at in curve] for kind, curve in other["a"].items()},
                        "against_n": {curve: at[-1] for curve, at in other["c"]["curves"].items()},
                    }
                    for experiment, other in finished.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
