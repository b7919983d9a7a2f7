import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("options", [["--smoke", "--part", "10", "--repeats", "1"], ["--stream", "200"]], ids=["smoke", "stream"])
def test_the_scoring_benchmark_runs_and_ends_with_its_figures(options: list[str]) -> None:
    done = subprocess.run([sys.executable, "-P", "benchmarks/scoring.py", *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["ratio"] > 0
    if "--smoke" in options:
        assert figures["ratio_per_prefix"] > 0 and figures["largest_difference"] < 1e-5 and figures["ours"]["n"] == 16
    else:
        assert figures["memory_mb"] < figures["limit_mb"] and figures["n"] == 200
