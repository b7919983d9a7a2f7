"""Figure: how fast labels become a file, each as one `manage.py export` in a temporary home, as a user starts it.

75,000 annotations of solutions with 10 steps, about 4.6 KB each. `fresh`: a snapshot is taken and written as PRM800K. `again`: the same
snapshot is written once more, and the bytes must be equal. `parquet`, `trl` and `trl_parquet`: the same snapshot in other formats.
`beside`: `fresh` again with 1,200,000 solutions of another project in the database, before and after ANALYZE, as a multiple of the seconds
of `fresh`; `beside_cpu`: the same of processor seconds, which say more on a busy machine. `ratio`: records of `fresh` per second over those
that `orjson.dumps` writes of the same records as dicts in memory, in the same run; goal 0.25. `start_seconds`: how long a command takes
that does next to nothing. It is part of all `seconds`, and it is taken off for `records_per_s`. `cpu_seconds` are of the command,
`database_cpu_seconds` of PostgreSQL. `records_per_cpu_s` are records per second of both, without those of the start: they and `cpu_ratio`,
the same with the processor seconds of `orjson.dumps`, say more on a busy machine. `memory_mb`: the most of `fresh` and `again`; goal 150.
`--smoke`: 200 annotations.
"""

import argparse
import filecmp
import json
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import timed
from benchmarks.temporary_site import database_cpu_seconds, running_home

STEPS = 10
FILL = (
    r"""
INSERT INTO annotation_problem (project_id, external_id, statement, reference_solution, answer, subject, level, split)
SELECT %(project)s, 'p' || i, 'What is $\frac{' || i || '}{7}$ of the sum of all parts? Give a "common" fraction.' || E'\n',
       'We compute $\frac{a}{b}$ ' || i, i::text, 'Algebra', 'Level 3', 'train'
  FROM generate_series(1, %(count)s::int / %(each)s) i
""",
    r"""
INSERT INTO annotation_solution (problem_id, digest, steps, outcome, outcome_reason, grader, source, final_answer)
SELECT p.id, sha256((p.id || '-' || k)::bytea),
       (SELECT jsonb_agg(repeat('We take $\frac{' || p.id * k * s || '}{' || s || '}$ and add "the next part". ', %(long)s)
                         || md5((p.id * k * s)::text) || CASE WHEN s = %(steps)s THEN E'\n\n# Answer\n\n' || p.answer ELSE '' END)
          FROM generate_series(1, %(steps)s) s),
       'wrong', '', '', 'generator', p.answer
  FROM annotation_problem p, generate_series(1, %(each)s) k WHERE p.project_id = %(project)s
""",
)
LABEL = (
    "INSERT INTO annotation_batch (project_id, generation, kind, state) VALUES (%(project)s, 0, 'selected', 'closed')",
    """
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap, verifier_score)
SELECT b.id, s.id, 'normal', 0, 1, random() FROM annotation_batch b
  JOIN annotation_problem p USING (project_id) JOIN annotation_solution s ON s.problem_id = p.id
 WHERE b.project_id = %(project)s ORDER BY s.id
""",
    """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token)
SELECT t.id, 0, t.batch_id, 0, 'done', %(labeler)s, 1
  FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id WHERE b.project_id = %(project)s ORDER BY t.id
""",
    """
INSERT INTO annotation_annotation
       (assignment_id, labeler_id, solution_id, revision, finish_reason, reason, submission_id, body_hash, total_ms, active_ms)
SELECT a.id, a.labeler_id, t.solution_id, 1, 'found_error', '', gen_random_uuid(), '', 51234, 41234
  FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id JOIN annotation_batch b ON b.id = a.batch_id
 WHERE b.project_id = %(project)s ORDER BY a.id
""",
    """
INSERT INTO annotation_steplabel (annotation_id, step_index, position, rating, chosen, shown_at, rated_ms)
SELECT a.id, step, 0, CASE WHEN step = %(steps)s - 1 THEN -1 ELSE (a.id + step) %% 5 / 4 * -1 + 1 END, step < %(steps)s - 1, 0, 500
  FROM annotation_annotation a JOIN annotation_assignment t ON t.id = a.assignment_id JOIN annotation_batch b ON b.id = t.batch_id,
       generate_series(0, %(steps)s - 1) step
 WHERE b.project_id = %(project)s ORDER BY a.id, step
""",
)


def filled_project(slug: str, count: int, *, is_labeled: bool) -> None:
    """Store a project with this many solutions, three for each problem, and with a label of each. Statistics stay as they are."""
    from django.contrib.auth.models import User
    from django.db import connection, transaction

    from annotation import projects
    from annotation.models import Membership

    project = projects.create_project(slug, name=slug)
    labeler = User.objects.create(username=f"labeler-{slug}")
    Membership.objects.create(project=project, user=labeler, role="labeler")
    values = {"project": project.pk, "labeler": labeler.pk, "count": count, "each": 3 if is_labeled else 10}
    values |= {"steps": STEPS if is_labeled else 2, "long": 3 if is_labeled else 1}
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (*FILL, *(LABEL if is_labeled else ())):
            cursor.execute(statement, values)


def analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def exported(home: Path, name: str, count: int, start: dict[str, float], *words: str) -> dict[str, float]:
    """Run an export; return its seconds, memory and records per second. `start`: the figures of a command that does nothing."""
    database = database_cpu_seconds(home)
    figures = timed("export", "--project", "sums", "--out", str(home / name), *words)
    figures["database_cpu_seconds"] = round(database_cpu_seconds(home) - database, 1)
    return {
        **figures,
        "records_per_s": round(count / max(figures["seconds"] - start["seconds"], 0.1)),
        "records_per_cpu_s": round(count / max(_cpu(figures) - start["cpu_seconds"], 0.1)),
    }


def dumped_per_second(path: Path) -> tuple[float, float]:
    """Return how many of these records `orjson.dumps` writes from dicts in memory per second, and per second of a processor."""
    seconds, cpu_seconds, n_dumped = 0.0, 0.0, 0
    with path.open("rb") as lines:
        while part := [orjson.loads(line) for line, _ in zip(lines, range(500), strict=False)]:
            began, cpu_began = time.perf_counter(), time.process_time()
            for record in part:
                orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
            seconds += time.perf_counter() - began
            cpu_seconds += time.process_time() - cpu_began
            n_dumped += len(part)
    return n_dumped / seconds, n_dumped / cpu_seconds


def _cpu(figures: dict[str, float]) -> float:
    return figures["cpu_seconds"] + figures["database_cpu_seconds"]


def measure(home: Path, *, count: int, beside: int) -> dict[str, Any]:
    filled_project("sums", count, is_labeled=True)
    analyze()
    start = timed("snapshot", "--project", "sums", "--list")
    fresh = exported(home, "fresh.jsonl", count, start)
    again = exported(home, "again.jsonl", count, start, "--snapshot", "1")
    # Line by line: the memory of this process is the least that the kernel says of the commands that it starts.
    with (home / "fresh.jsonl").open("rb") as lines:
        n_lines = sum(1 for _ in lines)
    if n_lines != count or not filecmp.cmp(home / "fresh.jsonl", home / "again.jsonl", shallow=False):
        sys.exit("The second export of a snapshot is not the first.")
    size = (home / "fresh.jsonl").stat().st_size
    dumped, dumped_by_cpu = dumped_per_second(home / "fresh.jsonl")
    others = {
        "parquet": exported(home, "labels.parquet", count, start, "--snapshot", "1"),
        "trl": exported(home, "trl.jsonl", count, start, "--snapshot", "1", "--format", "trl"),
        "trl_parquet": exported(home, "trl.parquet", count, start, "--snapshot", "1", "--format", "trl"),
    }
    filled_project("others", beside, is_labeled=False)
    beside_them = {"before_analyze": exported(home, "beside.jsonl", count, start)}
    analyze()
    beside_them["after_analyze"] = exported(home, "beside-analyzed.jsonl", count, start)
    return {
        "ratio": round(fresh["records_per_s"] / dumped, 5),
        "ratio_again": round(again["records_per_s"] / dumped, 5),
        "cpu_ratio": round(fresh["records_per_cpu_s"] / dumped_by_cpu, 5),
        "cpu_ratio_again": round(again["records_per_cpu_s"] / dumped_by_cpu, 5),
        "records_per_s": fresh["records_per_s"],
        "orjson_records_per_s": round(dumped),
        "start_seconds": start["seconds"],
        "start_cpu_seconds": start["cpu_seconds"],
        "records": count,
        "mb": round(size / 1e6, 1),
        "memory_mb": max(fresh["memory_mb"], again["memory_mb"]),
        "fresh": fresh,
        "again": again,
        **others,
        "beside": {name: round(figures["seconds"] / fresh["seconds"], 2) for name, figures in beside_them.items()},
        "beside_cpu": {name: round(_cpu(figures) / max(_cpu(fresh), 0.1), 2) for name, figures in beside_them.items()},
        "solutions_beside": beside,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench export", description="Measure exports.")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    parser.add_argument("--count", type=int, default=75_000, help="annotations, a multiple of 3 (default: %(default)s)")
    options = parser.parse_args()
    with running_home() as home:
        figures = measure(home, count=201, beside=100) if options.smoke else measure(home, count=options.count, beside=1_200_000)
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
