"""Figure: what choosing is worth: by how much the slope of the pre-named strategy exceeds that of uniform labels, with its interval.

Runs the short form of `manage.py simulate` (the protocol `able` with uniform labels and the named strategy alone) in a temporary home; the
base that it reads takes minutes to make. `--full` runs the protocols as they were fixed. `difference` belongs to the primary figure of the
protocol (best-of-N over the logarithm of labeled solutions); `low` and `high` bound it at 95 % over seeds and test problems; `area` is the
same for the areas under the curves. `ratio` divides the slopes of the same arm; it is null where uniform labels teach nothing beyond noise,
and `why_no_ratio` says why. `--smoke`: the smallest form, whose figures are noise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAMES = {"smallest": ("smallest",), "short": ("able",), "full": ("able", "even")}  # form -> its experiments, the one that leads first


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="script/bench data_efficiency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--full", action="store_const", const="full", dest="form", help="the protocols as they were fixed")
    form.add_argument("--smoke", action="store_const", const="smallest", dest="form", help="the smallest form: shows that it runs")
    parser.add_argument("--home", help="keep points and figures here, and continue from those already there")
    options = parser.parse_args()
    name, began = options.form or "short", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as temporary:
        os.chmod(temporary, 0o755)
        home = Path(options.home or temporary).resolve()
        for command in (["migrate", "--verbosity", "0"], ["simulate", "--form", name]):  # simulate looks for the demonstration
            environment = {**os.environ, "STEPMARK_HOME": str(home)}
            done = subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=False)
            if done.returncode:
                sys.exit(done.returncode)
        finished = {own: json.loads((home / "experiments" / own / "results.json").read_text(encoding="utf-8")) for own in NAMES[name]}
    first = NAMES[name][0]
    print(json.dumps({"form": name, **figures(finished[first]), "seconds": round(time.monotonic() - began, 1), "others": {
        experiment: figures(results) for experiment, results in finished.items() if experiment != first
    }}))  # fmt: skip


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """Return what the last line says of one experiment."""
    primary, rows = results["primary"], {row["strategy"]: row for row in results["table"]}
    row, protocol = rows[primary["arm"]], results["protocol"]
    compared, ratio = row["differences"][primary["figure"]][primary["cost"]], row["efficiency"][primary["figure"]]
    uniform = rows["uniform"]["slope" if primary["figure"] == "best_of_n" else "step_auc_slope"]
    return {
        "difference": compared["slope"]["value"],
        "low": compared["slope"]["low"],
        "high": compared["slope"]["high"],
        "area": compared["area"],
        "ratio": ratio["value"],
        "ratio_low": ratio["low"],
        "ratio_high": ratio["high"],
        "why_no_ratio": ratio["why"],
        "uniform_slope": uniform,
        "primary": primary,
        "protocol": protocol and {"name": protocol["name"], "sha256": protocol["sha256"], "notes": protocol["notes"]},
        "seeds": results["plan"]["seeds"],
        "labels": results["labels"],
        "work_seconds": results["seconds"],
        "few": results["few"],
        "strategies": {
            arm: {
                "differences": row["differences"],
                "efficiency": row["efficiency"],
                "slope": row["slope"],
                "costs": row["costs"],
                "step_auc": row["step_auc"],
                "first_mistake_f1": row["first_mistake_f1"],
                "best_of_n": [at["value"] for at in results["b"][arm]],
            }
            for arm, row in rows.items()
        },
        "by_label": {kind: [at["value"] for at in curve] for kind, curve in results["a"].items()},
        "against_n": {curve: at[-1]["value"] for curve, at in results["c"]["curves"].items()},
    }


if __name__ == "__main__":
    main()
