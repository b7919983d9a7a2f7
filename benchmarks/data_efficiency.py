"""Figure: data efficiency: the slope of best-of-N over the logarithm of chosen labels over that of uniform ones; goal: 2.6.

Runs the short form of `manage.py simulate` (uniform labels, and half convincing, an able generator) on its three seeds in a home of its
own; `--full` runs every strategy, outcome labels and the other generators too. `ratio` is of the arm that the plan
names, `low` and `high` bound it at 95 % over seeds and test problems (null: unbounded); raw figures follow.
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
    parser = argparse.ArgumentParser(description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--full", action="store_const", const="full", dest="form", help="every strategy, and outcome labels")
    form.add_argument("--quick", action="store_const", const="quick", dest="form", help="shows that it runs; its figures are noise")
    parser.add_argument("--home", help="keep points and figures here, and go on from those that are there")
    told = parser.parse_args()
    name, began = told.form or "short", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as temporary:
        os.chmod(temporary, 0o755)
        home = Path(told.home or temporary).resolve()
        command = [sys.executable, "manage.py", "simulate", "--form", name]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "STEPMARK_HOME": str(home)}, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        finished = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in home.glob("experiments/*/results.json")}
    found = finished["able" if name != "quick" else "quick"]
    rows = {row["strategy"]: row for row in found["table"]}
    ratio = rows[found["plan"]["shown"]]["efficiency"]
    print(
        json.dumps(
            {
                "form": name,
                "ratio": ratio["value"] and round(ratio["value"], 2),
                "low": ratio["low"],
                "high": ratio["high"],
                "goal": GOAL,
                "strategy": found["plan"]["shown"],
                "best": found["best"],
                "seconds": round(time.monotonic() - began, 1),
                "work_seconds": found["seconds"],
                "labels": found["labels"],
                "seeds": found["plan"]["seeds"],
                "nothing": found["nothing"],
                "strategies": {
                    arm: {
                        "efficiency": row["efficiency"],
                        "slope": round(row["slope"], 4),
                        "step_auc": row["step_auc"],
                        "first_mistake_f1": row["first_mistake_f1"],
                        "equal_labels": row["equal_labels"],
                        "best_of_n": [at["seeds"] for at in found["b"][arm]],
                    }
                    for arm, row in rows.items()
                },
                "others": {
                    name: {
                        "efficiency": {row["strategy"]: row["efficiency"] for row in one["table"]},
                        "labels": one["labels"],
                        "by_label": {kind: [at["value"] for at in curve] for kind, curve in one["a"].items()},
                        "against_n": {curve: at[-1] for curve, at in one["c"]["curves"].items()},
                    }
                    for name, one in finished.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
