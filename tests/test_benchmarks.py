"""Each benchmark of the labeling path runs in its smallest form and prints the figures it promises."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent


def run(name: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", f"benchmarks/{name}.py", *options], cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def figures(name: str) -> dict[str, Any]:
    done = run(name, "--smoke")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_pool_is_loaded_chosen_from_and_handed_out() -> None:
    found = figures("select")
    assert found["n_solutions"] == 1200 and found["reads"] > 0 <= found["blocked_reads"]
    assert min(found[name] for name in ("ratio", "growth", "loading_seconds", "peer_seconds", "handing_out_ratio")) >= 0


def test_people_label_over_http_and_the_database_holds_what_was_acknowledged(data: Path) -> None:
    found = figures("labeling")
    assert 0 < found["solutions"] < found["acknowledged"] == found["annotations"]
    assert found["ratings"] > found["annotations"]
    assert (found["faults"], found["duplicates"], found["over_overlap"]) == (0, 0, 0)
    assert found["cpu_ms_per_solution"] > found["peer_cpu_ms_per_solution"] > 0
    assert found["ratio"] == pytest.approx(found["peer_cpu_ms_per_solution"] / found["cpu_ms_per_solution"], abs=0.01)
    for form, people in ((found, 2), (found["at_work"], 4)):
        assert form["people"] == people
        assert min(form[key] for key in ("solutions_per_s", "next_p50_ms", "next_p95_ms", "submit_p95_ms", "draft_p95_ms")) > 0


def test_the_page_is_weighed_and_timed_in_the_browser(data: Path) -> None:
    found = figures("page")
    assert 0 < found["kb_without_math"] < found["kb_with_math"]
    assert found["ratio"] == pytest.approx(32 / found["keystroke_p95_ms"], abs=0.01)
    for name in ("next_solution_p95_ms", "cold_clickable_ms", "long_first_paint_ms", "long_keystroke_p95_ms"):
        assert found[name] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--url", "https://label.example.org", "--sign-in", "links.txt"), "must name this machine"),
        (("--url", "http://127.0.0.1:8000"), "needs --sign-in FILE"),
        (("--seconds", "100000"), "At most 600 seconds"),
    ],
)
def test_a_labeling_run_without_bounds_or_of_another_machine_is_refused(options: tuple[str, ...], said: str) -> None:
    done = run("labeling", *options)
    assert done.returncode == 2
    assert said in done.stderr
