"""Figure: seconds and memory of loading, each as one `manage.py load_solutions` in a temporary home, as a user starts it.

`plain`: 1,000,000 made-up solutions of six steps. `records`: 98,000 made-up records in the shape of PRM800K (456 MB) with their labels. The
same file with line 40,000 broken must be refused with that number (`broken`). A load of the whole file is killed ten times at random
moments, and then run to its end. It must leave the same rows as a load that nobody disturbed (`killed`). `small`: the 5,276 GSM8K
solutions of $STEPMARK_DATA (default ../shared/data), a file of 100,000 solutions twice (the second load must add nothing), and 30,000
labeled solutions with alternatives, loaded and exported.

Of each command: `seconds`, `cpu_seconds` of it and of the processes that it starts, `database_seconds` of a processor, `memory_mb` of the
command itself, and `memory_together_mb` with its processes (each page of memory counted once). `grading_seconds` are part of `seconds`;
`per_second` leaves them and the start of a command (`start_seconds`) out. `graded_per_second`: solutions graded, new and known pairs.
`ratio`: plain solutions per second, over the goal of 25,000. On a busy machine compare the processor time. `--smoke`: 100 of each.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from benchmarks.records import RECORDS, write_records
from benchmarks.temporary_site import DATA, ROOT, running_home

GOAL = 25_000  # plain solutions per second
PLAIN = 1_000_000
KILLS = 10
PARTS = ("plain", "records", "broken", "killed", "small")
PER_PROBLEM = 10
STEP = "We take the number from the step before, add what the problem says of the next part, and write the sum down: {} + {} = {}."
PUBLISHED = DATA / "prm800k" / "phase2_labeled_paths_1818.jsonl"
# All that a load stores of a project, but for keys, times of the load and what is made from the project's own key.
OF_PROBLEMS = "annotation_project j JOIN annotation_problem p ON p.project_id = j.id"
OF_SOLUTIONS = f"{OF_PROBLEMS} JOIN annotation_solution s ON s.problem_id = p.id"
OF_ANNOTATIONS = f"{OF_SOLUTIONS} JOIN annotation_annotation a ON a.solution_id = s.id"
STATES = {  # what a row is, the order of rows, where they come from
    "problems": ("p.external_id, p.statement, p.reference_solution, p.answer, p.subject, p.level, p.split", "p.id", OF_PROBLEMS),
    "solutions": (
        "s.digest, s.steps, s.final_answer, s.is_answer_given, s.outcome, s.outcome_reason, s.grader, s.source", "s.id", OF_SOLUTIONS
    ),
    "annotations": (
        "s.digest, a.finish_reason, a.reason, a.total_ms, a.body_hash, a.revision, a.created_at, u.username, b.generation, b.kind, "
        "t.overlap, t.verifier_score, t.imported_question, n.slot, n.state",
        "a.id",
        f"{OF_ANNOTATIONS} JOIN annotation_assignment n ON n.id = a.assignment_id JOIN annotation_task t ON t.id = n.task_id "
        "JOIN annotation_batch b ON b.id = t.batch_id JOIN auth_user u ON u.id = a.labeler_id",
    ),
    "labels": (
        "a.body_hash, l.step_index, l.position, l.rating, l.flagged, l.chosen, l.shown_at", "a.id, l.step_index, l.position",
        f"{OF_ANNOTATIONS} JOIN annotation_steplabel l ON l.annotation_id = a.id",
    ),
    "alternatives": (
        "s.digest, x.step_index, x.position, x.text", "s.id, x.step_index, x.position",
        f"{OF_SOLUTIONS} JOIN annotation_stepalternative x ON x.solution_id = s.id",
    ),
}  # fmt: skip


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


def loaded(home: Path, path: Path, project: str, *, count: int, start: float) -> dict[str, float]:
    """Load a file; return what `timed` does, and what the processes and the database needed."""
    words = ["load_solutions", str(path), "--project", project, "--megabytes", "2000"]
    before, began = _database_seconds(home), time.monotonic()
    command = subprocess.Popen([sys.executable, "manage.py", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    together = 0
    while os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        together = max(together, _memory_together(command.pid))
        time.sleep(0.2)
    assert command.stdout
    said = command.stdout.read()
    _, status, usage = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    if command.returncode:
        sys.exit(command.returncode)
    print(said, file=sys.stderr)
    graded = re.search(r"grading of answers took ([\d.]+) s", said)
    grading = float(graded[1]) if graded else 0.0
    kilobytes = usage.ru_maxrss / 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return {
        "seconds": round(seconds, 1),
        "grading_seconds": grading,
        "per_second": round(count / max(seconds - grading - start, 0.1)),
        "graded_per_second": round(count / max(grading, 0.01)),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "database_seconds": round(_database_seconds(home) - before, 1),
        "memory_mb": round(kilobytes / 1000),
        "memory_together_mb": round(together / 1e6),
        "file_mb": round(path.stat().st_size / 1e6, 1),
    }


def _database_seconds(home: Path) -> float:
    postmaster = psutil.Process(int((home / "postgres" / "data" / "postmaster.pid").read_text().split(maxsplit=1)[0]))
    times = [one.cpu_times() for one in (postmaster, *postmaster.children())]
    return sum(one.user + one.system for one in times) + times[0].children_user + times[0].children_system


def _memory_together(pid: int) -> int:
    """Return the bytes of a process and of all that it started."""
    total = 0
    try:
        for one in (process := psutil.Process(pid), *process.children(recursive=True)):
            total += getattr(one.memory_full_info(), "pss", 0) or one.memory_info().rss
    except psutil.Error:  # one of them has just ended
        return 0
    return total


def state(project: str) -> dict[str, tuple[int, str]]:
    """Return the number and a hash of all rows that a load stored in a project."""
    from django.db import connection

    found = {}
    with connection.cursor() as cursor:
        for name, (columns, order, tables) in STATES.items():
            hashed = f"md5(row({columns})::text)"
            cursor.execute(f"SELECT count(*), md5(string_agg({hashed}, '' ORDER BY {order})) FROM {tables} WHERE j.slug = %s", [project])
            found[name] = cursor.fetchone()
    return found


def refused(path: Path, *, line: int) -> dict[str, Any]:
    """Load the file with one line broken off; return the sentence that refuses it. Exits if that does not name the line."""
    torn = path.with_name("torn.jsonl")
    with path.open("rb") as source, torn.open("wb") as target:
        for number, content in enumerate(source, 1):
            target.write(content[: len(content) // 2] + b"\n" if number == line else content)
    began = time.monotonic()
    words = ["load_solutions", str(torn), "--project", "torn", "--megabytes", "2000"]
    done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    torn.unlink()
    sentence = done.stderr.strip().splitlines()[-1].replace(f"{torn} ", "")
    if done.returncode != 2 or f"line {line}: not JSON" not in sentence or state("torn")["problems"][0]:
        sys.exit(f"Line {line} is broken, and the load said: {done.stderr}")
    return {"line": line, "seconds": round(time.monotonic() - began, 1), "said": sentence}


def killed(path: Path, *, seconds: float, kills: int) -> dict[str, Any]:
    """Kill a load again and again at random moments of the `seconds` that it takes, then let it end."""
    drawn = random.Random(0)
    words = [sys.executable, "manage.py", "load_solutions", str(path), "--project", "killed", "--megabytes", "2000"]
    moments = []
    for number in range(kills):
        moment = 0.8 * seconds * (number + drawn.random()) / kills  # spread over the whole time; at its end it can be done before
        command = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            command.wait(moment)
        except subprocess.TimeoutExpired:
            command.send_signal(signal.SIGKILL)
            command.wait()
            moments.append(round(moment, 1))
    timed(*words[2:])
    found, expected = state("killed"), state("records")
    if found != expected:
        sys.exit(f"A load that was killed left {found}, an undisturbed one {expected}.")
    return {"kills": len(moments), "after_seconds": moments, "same": True, "rows": {name: count for name, (count, _) in found.items()}}


def small(home: Path, *, count: int | None) -> dict[str, Any]:
    """Load small files; return the figures of each command."""
    n_loaded, n_labeled = count or 100_000, count or 30_000
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
    with (home / "exported.jsonl").open("rb") as exported:
        n_exported = sum(1 for _ in exported)
    if n_exported != n_labeled:
        sys.exit(f"{n_exported:,} of {n_labeled:,} labeled solutions were exported.")
    return {"n_loaded": n_loaded, "n_exported": n_exported, **figures}


def measure(home: Path, *, count: int | None, records: int, parts: tuple[str, ...]) -> dict[str, Any]:
    """Run the parts with `count` solutions of each kind; None: the full form."""
    from annotation import projects

    for name in ("plain", "records", "torn", "killed", "gsm8k", "many", "labeled"):
        projects.create_project(name, name=name)
    figures: dict[str, Any] = {"start_seconds": (start := timed("check", "--tag", "compatibility")["seconds"])}
    if "plain" in parts:
        plain = write(home / "plain.jsonl", made_up(n_plain := count or PLAIN, labeled=False))
        figures["plain"] = loaded(home, plain, "plain", count=n_plain, start=start)
        figures["ratio"] = round(figures["plain"]["per_second"] / GOAL, 2)
        plain.unlink()
    if {"records", "broken", "killed"} & set(parts):
        path, n_records = home / "records.jsonl", count or records
        write_records(path, n_records, source=PUBLISHED)
        if {"records", "killed"} & set(parts):
            figures["records"] = loaded(home, path, "records", count=n_records, start=start)
        if "broken" in parts:
            figures["broken"] = refused(path, line=n_records * 20 // 49)
        if "killed" in parts:
            figures["killed"] = killed(path, seconds=figures["records"]["seconds"], kills=2 if count else KILLS)
        path.unlink()
    if "small" in parts:
        figures["small"] = small(home, count=count)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench load", description="Measure loading.")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; repeatable (default: all)")
    parser.add_argument("--records", type=int, default=RECORDS, help="records in the shape of PRM800K (default: %(default)s)")
    options = parser.parse_args()
    count, parts = 100 if options.smoke else None, tuple(options.part or PARTS)
    with running_home() as home:
        print(json.dumps(measure(home, count=count, records=options.records, parts=parts)))


if __name__ == "__main__":
    main()
