"""Each benchmark runs in its smallest form and prints the figures it promises, most of them started as people start it (script/bench)."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from benchmarks import labeling, peers
from benchmarks.temporary_site import parts
from tests.trainer.sums import sums

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"


def run(name: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["script/bench", name, *options], cwd=ROOT, capture_output=True, text=True, check=False)


def figures(name: str, *options: str, is_here: bool = False) -> dict[str, Any]:
    """Run a benchmark and return its last line.

    `is_here`: in this process, for one that has no site. Torch and transformers are loaded here, which takes four seconds of a processor.
    """
    if is_here:
        return json.loads(output_here(name, *options).splitlines()[-1])
    done = run(name, *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def output_here(name: str, *options: str) -> str:
    threads, output = torch.get_num_threads(), io.StringIO()
    try:
        with (
            mock.patch.object(sys, "argv", [name, *options]),
            mock.patch.dict(os.environ),
            contextlib.redirect_stdout(output),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")  # as in a process of its own
            importlib.import_module(f"benchmarks.{name}").main()
    finally:
        torch.set_num_threads(threads)
    return output.getvalue()


def test_training_is_measured_against_its_peer() -> None:
    found = figures("training", "--smoke", is_here=True)
    assert min(found["ratio"], found["ratio_processor_time"]) > 0
    assert found["steps"] == {"ours": 4, "random": 4}


@pytest.mark.parametrize(
    ("options", "n_labeled"), [(("--smoke",), 20), pytest.param(("--smoke", "0"), 0, marks=pytest.mark.long)], ids=["trained", "base"]
)
def test_tiny_is_judged(options: tuple[str, ...], n_labeled: int) -> None:
    found = figures("tiny", *options, is_here=True)
    assert found["n_labeled"] == n_labeled and len(found["runs"]) == 1
    assert 0 < found["auc"] <= 1 and 0 <= found["f1"] <= 100


def test_a_frozen_base_is_read_once_and_a_round_after_the_first_reads_nothing() -> None:
    found = figures("frozen", "--smoke", is_here=True)
    assert found["ratio"] == min(found["ratios"].values()) > 0 and found["ratio_processor_time"] > 0
    assert found["first"]["n_from_cache"] == 0 < found["next"]["n_from_cache"] == found["next"]["n_solutions"]


def test_the_watch_over_bad_work_flags_spammers_and_not_the_honest() -> None:
    found = figures("watching", "--smoke")
    assert found["ratio"] >= 0.8 and found["spammers"]["of"] == 10
    assert found["honest"] == {"flagged": 0, "of": 40, "share": 0.0, "interval": [0.0, 0.0876]}


def test_adaptive_redundancy_is_compared_with_fixed_redundancy_at_equal_labels() -> None:
    found = figures("redundancy", "--smoke")
    default = found["curve"]["default"]
    assert found["margin"] == default["margin"] and found["margin_interval"] == default["margin_interval"]
    assert found["margin"] == pytest.approx(default["adaptive"] - default["fixed"], abs=2e-4)
    assert all(1 <= point["labels_per_solution"] <= 3 for point in found["curve"].values())
    assert 0 < found["model_exact"] < 1 and found["worlds"] == 2


def test_every_page_is_measured_against_a_trivial_one() -> None:
    found = figures("pages", "--smoke")
    assert found["ratio"] == found["slowest_ratio"] == found["pages"][found["slowest_page"]]["ratio"] > 0
    assert {"/p/large/", "/p/large/labels/", "/p/large/data/"} <= set(found["pages"])


def test_lists_and_objects_of_the_api_are_measured_against_the_trivial_one() -> None:
    found = figures("api", "--smoke")
    assert found["ratio"] > 0 and found["p95_ms"] >= max(address["p95_ms"] for address in found["addresses"].values())
    assert {"projects/large/annotations", "projects/large/people", "projects/large/solutions/KEY"} <= set(found["addresses"])


@pytest.mark.parametrize(
    "options",
    [("--smoke", "--part", "10", "--repeats", "1"), pytest.param(("--stream", "200"), marks=pytest.mark.long)],
    ids=["smoke", "stream"],
)
def test_scoring_is_measured_with_its_peers(options: tuple[str, ...]) -> None:
    found = figures("scoring", *options, is_here="--smoke" in options)
    assert found["ratio"] > 0
    if "--smoke" in options:
        assert found["ratio_per_prefix"] > 0 and found["largest_difference"] < 1e-5 and found["ours"]["n"] == 16
    else:
        assert found["memory_mb"] < found["limit_mb"] and found["n"] == 200


def test_answers_are_graded_as_in_a_load_and_by_two_peers(data: Path) -> None:
    found = figures("grading", "--smoke")
    assert min(found["ratio"], found["ratio_new"], found["table_pairs_per_second"]) > 0
    assert found["gsm8k_ours"]["pairs"] == 5 * 4 and found["math_800_ours"]["pairs"] == 5 * 8
    assert found["gsm8k_agreement"] == found["math_800_agreement_where_the_record_is_sound"] == 1
    assert found["table_ours"]["false_correct"] == found["table_ours"]["false_wrong"] == 0 < found["table_math_verify"]["false_wrong"]


@pytest.mark.long  # tests/annotation/answers/test_answer_pairs.py grades answers with one digit changed in every run
def test_near_misses_are_graded(data: Path) -> None:
    assert set(figures("grading", "--smoke", "--near-misses")["outcomes"]) <= {"wrong", "unsure", "ungraded"}


@pytest.mark.parametrize("form", ["prm800k", pytest.param("beat", marks=pytest.mark.long)])  # beat waits for a minute
def test_a_round_is_timed_from_the_command_line_and_by_schedule(data: Path, form: str) -> None:
    found = figures("retrain", form, "--smoke")
    assert found["ratio"] > 0 and 0 <= found["step_auc"] <= 1
    assert (found["stages"] or {}).keys() == ({"train", "judge", "score", "select", "publish"} if form == "beat" else set())


def test_the_first_page_is_timed() -> None:
    found = figures("starting", "--smoke")
    assert found["ratio"] > 0 and found["runs"] == {"fresh": [found["fresh_seconds"]], "second": []}


@pytest.mark.long
def test_the_first_page_is_timed_with_a_fresh_home_and_a_second_time() -> None:
    found = figures("starting", "--repeats", "1")
    assert found["ratio"] > 0 and found["runs"] == {"fresh": [found["fresh_seconds"]], "second": [found["second_seconds"]]}


def test_the_parts_whose_absence_people_notice_are_killed_and_come_back() -> None:
    found = figures("recovery", "--smoke")
    assert [run["part"] for run in found["runs"]] == ["web", "postmaster"]
    assert found["not_back"] == [] and (found["rounds"], found["rounds_lost"], found["labels_lost"]) == (1, 0, 0)
    assert min(found[name] for name in ("acknowledged", "ratio", "web_gap_s", "database_gap_s")) > 0


@pytest.mark.long
def test_every_part_of_a_site_is_killed_and_comes_back() -> None:
    found = figures("recovery", "--turns", "1")
    assert [run["part"] for run in found["runs"] if "part" in run] == ["web", "worker", "trainer", "beat", "postmaster", "runner"]
    assert found["not_back"] == [] and (found["rounds"], found["rounds_lost"], found["labels_lost"]) == (8, 0, 0)
    assert min(found[name] for name in ("acknowledged", "ratio", "web_gap_s", "database_gap_s", "other_gap_s", "again_s")) > 0


FAULTS = ("web worker", "postmaster", "session killed", "full disk")
# test_supervisor.py kills these too in every run, and test_the_parts_whose_absence_people_notice_are_killed_and_come_back the first.
OTHER_FAULTS = ("web", "worker", "trainer", "beat", "runner", "session ended")


@pytest.mark.parametrize("kinds", [FAULTS, pytest.param(FAULTS + OTHER_FAULTS, marks=pytest.mark.long)], ids=["some", "all"])
def test_labels_survive_every_kind_of_fault_and_a_fault_that_loses_them_is_seen(kinds: tuple[str, ...]) -> None:
    found = figures("faults", "--smoke", *(f"--kind={kind}" for kind in kinds))
    assert set(found["slowest_s"]) == set(kinds)
    assert not any(found["findings"].values()) and found["not_back"] == []
    assert min(found["acknowledged"], found["planted_lost"], found["calm"]["acknowledged"], found["calm"]["submit_over_health"]) > 0
    assert found["answers"]["submit 503 disk_full"] > 0 < found["acts"]["answers cut"]


def test_loading_is_timed_and_a_broken_line_refused(data: Path) -> None:
    found = figures("load", "--smoke", "--part=plain", "--part=records", "--part=broken")
    assert min(found[part][name] for part in ("plain", "records") for name in ("per_second", "memory_mb", "memory_together_mb")) > 0
    assert found["broken"]["line"] == 40 and found["broken"]["said"].startswith("CommandError: line 40: not JSON")


@pytest.mark.long  # tests/annotation/test_large_files.py kills loads in every run, and each command has tests of its own
def test_loading_and_exporting_are_timed(data: Path) -> None:
    found = figures("load", "--smoke")
    small = found["small"]
    assert small["n_loaded"] == small["n_exported"] == 100
    assert all(
        min(small[part][name] for name in ("seconds", "cpu_seconds", "memory_mb")) > 0
        for part in ("gsm8k", "many", "again", "labeled", "export")
    )
    assert min(found[part][name] for part in ("plain", "records") for name in ("per_second", "memory_mb", "memory_together_mb")) > 0
    assert found["broken"]["line"] == 40 and found["broken"]["said"].startswith("CommandError: line 40: not JSON")
    assert 1 <= found["killed"]["kills"] <= 2 and found["killed"]["same"] and found["killed"]["rows"]["annotations"] == 100


@pytest.mark.long  # tests/active_learning/test_experiment.py runs the same command in the same form
def test_data_efficiency_is_measured() -> None:
    found = figures("data_efficiency", "--smoke")
    assert found["form"] == "smallest" and found["primary"]["arm"] in found["strategies"] and found["protocol"] is None
    assert found["low"] <= found["difference"] <= found["high"] and (found["ratio"] is None) == bool(found["why_no_ratio"])


def test_the_consensus_of_simulated_labelers_is_compared_with_its_peers() -> None:
    found = figures("consensus", "--smoke")
    crowd_kit = {f"{model} of {form}" for model in ("dawid_skene", "mace") for form in ("marks", "steps")}
    assert found["exact"].keys() == {"ours", "majority", "majority of steps"} | crowd_kit
    assert found["best_peer"] in found["exact"].keys() - {"ours"} and found["worlds"] == 2
    assert found["margin_interval"][0] <= found["margin"] <= found["margin_interval"][1]
    assert found["labelers"].keys() == {"sees", "alarms"} and min(found["seconds"].values()) > 0
    few = found["few_second_readers"]
    assert few.keys() == {"at random", "where the first saw no mistake"} and all(0 < row["first_verdicts"] < 1 for row in few.values())


def test_settling_is_timed_through_the_database() -> None:
    found = figures("settling", "--smoke")
    assert (found["n_annotations"], found["ratio"] > 0) == (306, True)
    assert min(found[name] for name in ("again", "one_more_ms", "sweep_ms")) > 0 and found["n_rows"] > 100


def test_a_model_that_learned_soft_labels_is_judged_beside_one_that_learned_hard_ones() -> None:
    found = figures("soft_labels", "--smoke", is_here=True)
    assert found["log_loss"].keys() == found["f1"].keys() == {"soft", "consensus", "each"}
    assert 0.5 < found["exact"] <= 1 and found["seeds"] == 1 and found["n_solutions"] == 30


def test_choosing_is_compared_with_chance_on_labels_that_people_gave(tmp_path: Path) -> None:
    paths, whole, hidden = tmp_path / "paths.jsonl", tmp_path / "whole.json", sums(12)
    rows = [(one.solution, one.ratings) for one in hidden]
    paths.write_text(
        "".join(
            json.dumps({"problem": s.problem, "steps": [{"text": t, "rating": r} for t, r in zip(s.steps, ratings, strict=False)]}) + "\n"
            for s, ratings in rows
        )
    )
    labels = [-1 if one.first_mistake is None else one.first_mistake for one in hidden]
    whole.write_text(
        json.dumps(
            [
                {"id": str(n), "problem": s.problem, "steps": s.steps, "label": label, "final_answer_correct": label < 0}
                for n, ((s, _), label) in enumerate(zip(rows, labels, strict=True))
            ]
        )
    )
    files = ("--paths", str(paths), "--whole", str(whole), "--states", str(tmp_path / "states"), "--base", "tiny")
    found = figures("real_labels", "--smoke", "--processes", "1", *files)
    assert found["protocol_sha256"] is None and found["of"]["data"].keys() == {"prm800k", "processbench"}
    assert found["sets"].keys() == {"prm800k", "processbench"} and found["reach_the_criterion"] == []
    for own in found["sets"].values():
        assert own["low"] <= own["gain"] <= own["high"] and own["best"] in own["arms"] and 0 < own["auc_all"] <= 1
        assert own["uniform"].keys() == {"4", "8", "all"} and own["splits"] == 4 and own["named"]["arm"] == "herding"
        assert {"auc", "f1", "log_loss", "below_base_rate", "above_position"} < own["uniform"]["all"].keys()
        assert {"auc_over_solutions", "auc_over_steps", "f1_over_steps", "log_loss_over_solutions"} < own["named"].keys()
    assert found["ratio"] == min(own["ratio"] for own in found["sets"].values())  # of the named arm, and of no set that was picked
    for own in found["sets"].values():
        assert own["ratio"] == pytest.approx(1 + own["told"]["herding"]["auc_over_solutions"]["gain"] / own["area_of_uniform"], abs=1e-3)
    first = json.loads(paths.read_text().splitlines()[0]) | {"note": "one\u2028line"}
    (tmp_path / "bad.jsonl").write_text(json.dumps(first, ensure_ascii=False) + "\nnot json\n")
    bad = run("real_labels", "--smoke", "--paths", str(tmp_path / "bad.jsonl"), *files[2:])
    assert bad.returncode == 1 and "bad.jsonl, line 2, does not hold problem and steps" in bad.stderr
    gone = run("real_labels", "--smoke", "--paths", str(tmp_path / "none.jsonl"))
    assert gone.returncode == 1 and "none.jsonl is missing. Set STEPMARK_DATA" in gone.stderr


def test_a_pool_is_loaded_chosen_from_and_handed_out() -> None:
    found = figures("selection", "--smoke")
    assert found["n_solutions"] == 1200 and found["reads"] > 0 <= found["blocked_reads"]
    assert min(found[name] for name in ("ratio", "growth", "loading_seconds", "peer_seconds", "handing_out_ratio")) >= 0


def test_what_a_solution_a_score_and_a_label_take_on_disk_is_measured() -> None:
    found = figures("sizes", "--smoke")
    assert (found["n_solutions"], found["n_labels"], found["n_step_labels"]) == (1000, 20, 120)
    assert set(found["bytes"]) == {"solution", "score", "task", "assignment", "annotation", "step_label"}
    assert 0 < found["ratio"] < 1 and found["text_bytes"] < found["bytes"]["solution"]


def test_people_label_over_http_and_the_database_holds_what_was_acknowledged(data: Path) -> None:
    found = figures("labeling", "--smoke")
    assert 0 < found["solutions"] < found["acknowledged"] == found["annotations"]
    assert found["ratings"] > found["annotations"]
    assert (found["faults"], found["duplicates"], found["over_overlap"]) == (0, 0, 0)
    assert found["cpu_ms_per_solution"] > found["peer_cpu_ms_per_solution"] > 0
    assert found["ratio"] == pytest.approx(found["peer_cpu_ms_per_solution"] / found["cpu_ms_per_solution"], abs=0.01)
    for form, people in ((found, 2), (found["at_work"], 4)):
        assert form["people"] == people
        assert min(form[key] for key in ("solutions_per_s", "next_p50_ms", "next_p95_ms", "submit_p95_ms", "draft_p95_ms")) > 0


def test_a_slice_of_labeling_is_compared_with_the_slices_before_and_after_it() -> None:
    # Measured in turn, while the machine becomes twice as slow: 10, 1, 20, 2.
    assert labeling.neighbour_ratios(bare=[1, 2], ours=[10, 20]) == [0.1, 0.1, 0.05]
    assert labeling.neighbour_ratios(bare=[3], ours=[30]) == [0.1]


def test_the_page_is_weighed_and_timed_in_the_browser(data: Path) -> None:
    found = figures("page", "--smoke")
    assert 0 < found["kb_without_math"] < found["kb_with_math"]
    assert found["ratio"] == pytest.approx(32 / found["keystroke_p95_ms"], abs=0.01)
    for name in ("next_solution_p95_ms", "cold_clickable_ms", "long_first_paint_ms", "long_keystroke_p95_ms"):
        assert found[name] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--url", "https://label.example.org", "--sign-in", "links.txt"), "must name this machine"),
        (("--url", "http://127.0.0.1:8000"), "needs --sign-in FILE"),
        (("--seconds", "100000"), "At most 600 seconds"),
    ],
)
def test_a_labeling_run_without_bounds_or_of_another_machine_is_refused(options: tuple[str, ...], message: str) -> None:
    done = run("labeling", *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_every_benchmark_is_run_here() -> None:
    source = Path(__file__).read_text()
    missing = [path.stem for path in BENCHMARKS.glob("*.py") if f'figures("{path.stem}",' not in source]
    assert not missing


def test_no_benchmark_hides_a_module_of_python() -> None:
    hidden = [path for path in BENCHMARKS.rglob("*") if path.stem in sys.stdlib_module_names]
    assert not hidden


def test_an_unknown_benchmark_is_refused_with_the_names_there_are() -> None:
    done = run("select")
    assert done.returncode == 2
    assert "There is no benchmark named select." in done.stderr and " selection " in done.stderr


# --- installs of peers --------------------------------------------------------------------------------------------------------


def test_a_peer_is_installed_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls: list[tuple[str, ...]] = []

    def pip(*words: str, path: Path | None = None) -> None:
        calls.append(words)
        if "--target" in words:
            Path(words[words.index("--target") + 1]).mkdir(parents=True)

    monkeypatch.setattr(peers, "pip", pip)
    folder = peers.install("trl")
    assert folder.is_dir() and folder.is_relative_to(tmp_path / "stepmark" / "peers")
    assert [words[0] for words in calls] == ["install", "check"]
    assert peers.install("trl") == folder and len(calls) == 2


def test_a_failed_install_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        peers.install("trl")
    assert ended.value.code == 2 and "could not be installed" in capfd.readouterr().err
    assert not [path for path in (tmp_path / "stepmark" / "peers").iterdir() if path.suffix == ""]


def test_a_peer_pins_nothing_that_stepmark_pins_differently() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text().split())
    pins = dict(line.split("==") for line in (BENCHMARKS / "peers" / "trl.txt").read_text().split())
    assert pins and not pins.keys() & pinned.keys()


def test_exports_are_measured_against_dumping_the_same_records() -> None:
    found = figures("export", "--smoke")
    assert (
        found["ratio"] == pytest.approx(found["fresh"]["records_per_s"] / found["orjson_records_per_s"], rel=0.1, abs=1e-5)
        and found["ratio"] > 0
    )
    assert (found["records"], found["solutions_beside"]) == (201, 100) and min(found["ratio_again"], found["memory_mb"]) > 0
    assert set(found["beside"]) == {"before_analyze", "after_analyze"} and {"parquet", "trl", "trl_parquet"} < set(found)
    assert found["cpu_ratio"] > 0 and found["fresh"]["records_per_cpu_s"] > 0


def test_the_harness_tells_a_process_that_ended_before_it_was_killed() -> None:
    running = subprocess.Popen(["tail", "-f", "/dev/null"])
    assert parts.kill(running.pid)
    running.wait()
    assert not parts.kill(running.pid)


def test_tasks_go_in_and_out_against_label_studio() -> None:
    found = figures("label_studio", "--smoke")  # without the peer, whose packages have a gigabyte
    assert found["tasks"] == 50 and found["ratio"] == found["published"]["import_ratio"] > 0
    assert {"plain", "labeled", "lines", "export_seconds"} < set(found["ours"]) and found["label_studio"] is None


def test_a_peer_in_an_environment_of_its_own_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pythons: list[str] = []
    monkeypatch.setattr("venv.create", lambda folder, with_pip: folder.mkdir(parents=True))
    monkeypatch.setattr(peers, "pip", lambda *words, python: pythons.append(python))
    folder = peers.install_apart("label_studio")
    assert pythons == [str(folder / "bin" / "python")] and folder.is_relative_to(tmp_path)
    assert peers.install_apart("label_studio") == folder and len(pythons) == 1
    (folder / peers.DONE).unlink()  # as a kill in the middle leaves it
    assert peers.install_apart("label_studio") == folder and len(pythons) == 2
