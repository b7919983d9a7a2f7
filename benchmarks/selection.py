"""Figure: choosing what people see next out of 12,000,000 scored solutions (12,000 problems, 1,000 each), the 3 most convincing wrong
answers of a problem; loading such scores while a person reads; handing out a task in a database with so many solutions.

Makes a private PostgreSQL and synthetic rows, which takes minutes and 7 GB of disk, and leaves nothing behind. `--small`: 1,200,000;
`--smoke`: the smallest, which says nothing about speed.

`ratio`: the limit of 2 s over the seconds of pool and choice together. `growth`: those seconds over the same with a tenth of the solutions
per problem, alternating. `peer_seconds`: the same rows by a window function. `blocked_reads`: reads that waited 50 ms for a lock.
`seconds_of_200`, `seconds_per_million`: to choose 200 by each strategy that reads scores, without a limit per problem in the second.
`handing_out_ratio`: p95 of `queue.lease_next` in this database over that in one with 12,000 solutions, alternating, on the same queue.
"""

import argparse
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import temporary_site

if TYPE_CHECKING:
    from active_learning.models import ModelVersion
    from annotation.models import Project

LIMIT, LOADING_LIMIT, K = 2.0, 90.0, 3
LOCK_TIMEOUT = "50ms"
FEW_PROBLEMS = 12  # a batch of their solutions is in work before the others are added
PEOPLE, BLOCKS = 8, 10  # of hand-outs; the blocks alternate between this database and the other


@dataclass(frozen=True)
class Form:
    """How much of everything."""

    n_problems: int
    each: int  # solutions of a problem
    tasks: int
    handed: int  # tasks a block hands out
    repeats: int


FORMS = {"full": Form(12_000, 1000, 10_000, 100, 5), "small": Form(12_000, 100, 1000, 50, 7), "smoke": Form(60, 20, 100, 4, 2)}

# Narrow rows: one short step. 86 % wrong answers, as in the paper. Hashes instead of chance, so that every run makes the same rows.
PROBLEMS = """
INSERT INTO annotation_problem (project_id, external_id, statement, answer, subject, level, split)
SELECT %(project)s, 'p' || i, 'What is ' || i || '?', '7', 'subject ' || i %% 7, 'level ' || i %% 5, 'train'
  FROM generate_series(%(first)s::int, %(last)s::int) i
"""
SOLUTIONS = """
INSERT INTO annotation_solution (problem_id, digest, steps, final_answer, outcome, outcome_reason, grader, source)
SELECT p.id, decode(lpad(to_hex(k), 64, '0'), 'hex'), '["Add."]', '7',
       CASE WHEN hashint8extended(p.id * 1000 + k, 1) & 127 < 110 THEN 'wrong' ELSE 'correct' END, '', '',
       CASE WHEN %(source)s::text = '' THEN '' ELSE %(source)s::text || ' ' || k %% 4 END
  FROM annotation_problem p CROSS JOIN generate_series(1, %(each)s::int) k
 WHERE p.project_id = %(project)s AND NOT EXISTS (SELECT 1 FROM annotation_solution n WHERE n.problem_id = p.id)
"""
SCORES = """
COPY (SELECT {version}, n.id, n.problem_id, chance(n.id, 2), 0, n.outcome, 2 * chance(n.id, 3), .5 + chance(n.id, 4) / 2,
             chance(n.id, 5) / 100, hashint8extended(n.id, 6), .7 + .3 * chance(n.id, 2), chance(n.id, 7), 5 * chance(n.id, 8)
        FROM annotation_solution n JOIN annotation_problem p ON p.id = n.problem_id
       WHERE p.project_id = {project} ORDER BY n.id) TO '{path}'
"""
CHANCE = """
CREATE FUNCTION chance(bigint, bigint) RETURNS real LANGUAGE sql IMMUTABLE
    AS $$ SELECT ((hashint8extended($1, $2) & 1048575) / 1048576.)::real $$
"""
WINDOW = """
SELECT solution_id FROM (
  SELECT s.solution_id, row_number() OVER (PARTITION BY s.problem_id ORDER BY s.per_step DESC, s.solution_id) AS place
    FROM active_learning_score s JOIN annotation_problem p ON p.id = s.problem_id
   WHERE s.model_version_id = %(version)s AND s.outcome = 'wrong' AND p.project_id = %(project)s AND p.split = 'train'
     AND NOT EXISTS (SELECT 1 FROM annotation_task t WHERE t.solution_id = s.solution_id)
     AND NOT EXISTS (SELECT 1 FROM annotation_solution x WHERE x.id = s.solution_id AND x.withdrawn_at IS NOT NULL)) ranked
 WHERE place <= %(each)s
"""


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = act()
    return time.perf_counter() - started, result


def percentile(seconds: list[float], percent: int) -> float:
    return sorted(seconds)[len(seconds) * percent // 100]


# --- the pool -----------------------------------------------------------------------------------------------------------------


def fill(project: "Project", *, first: int, last: int, each: int, source: str = "") -> None:
    """Give a project the problems first..last with `each` solutions, by four generators if they have a name."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # saves 12M look-ups of foreign keys that hold
        values: dict[str, int | str] = {"project": project.pk, "first": first, "last": last, "each": each, "source": source}
        cursor.execute(PROBLEMS, values)
        cursor.execute(SOLUTIONS, values)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE annotation_problem, annotation_solution")


def scored(project: "Project", path: Path) -> "ModelVersion":
    """Make a ready version and write a score for every solution to a file, in the format of COPY."""
    from django.db import connection

    from active_learning.models import ModelState, ModelVersion

    version = ModelVersion.objects.create(project=project, number=1, base="tiny", state=ModelState.READY, sha256="0", champion=True)
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o777)  # the server writes it, under its own account
    with connection.cursor() as cursor:
        cursor.execute(SCORES.format(version=version.pk, project=project.pk, path=path))
    return version


def load(version: "ModelVersion", path: Path) -> None:
    """Load scores into a partition of their own, as a scoring does: COPY, index, attach."""
    from django.db import connection, transaction

    from active_learning.scoring.partitions import COLUMNS, attach, partition

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {partition(version)} (LIKE active_learning_score)")
        with path.open("rb") as rows, cursor.copy(f"COPY {partition(version)} ({COLUMNS}) FROM STDIN") as copy:
            while piece := rows.read(1 << 20):
                copy.write(piece)
    attach(version, fence=lambda: None)


@dataclass
class Reads:
    """What a person saw who read scores all the time."""

    seconds: list[float] = field(default_factory=list)
    blocked: int = 0  # reads that waited LOCK_TIMEOUT for a lock


@contextmanager
def reading(version: "ModelVersion") -> Iterator[Reads]:
    """Read scores, of one version and of all, in a second session, from before the block until after it."""
    from django.db import OperationalError, connection

    from active_learning.models import Score

    solution = Score.objects.filter(model_version=version).values_list("solution", flat=True)[0]
    of_all = Score.objects.filter(solution=solution)
    reads, begun, until = Reads(), threading.Event(), threading.Event()

    def read() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            while not until.wait(0.01):
                for scores in (of_all.filter(model_version=version), of_all):
                    try:
                        reads.seconds.append(timed(scores.count)[0])
                    except OperationalError:
                        reads.blocked += 1
                begun.set()
        finally:
            begun.set()
            connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait()
    try:
        yield reads
    finally:
        until.set()
        reader.join()


# --- what is measured ---------------------------------------------------------------------------------------------------------


def choose(project: "Project", version: "ModelVersion", strategy: str, *, size: int, per_problem: int | None) -> int:
    """Choose as a round does; return how many were chosen."""
    from active_learning.selection import Recipe, choose, pool

    recipe = Recipe(((strategy, 1.0),), size, per_problem)
    candidates = pool.candidates(project, version, recipe=recipe, control=version if strategy == "control" else None)
    return len(choose(candidates, recipe, rng=np.random.default_rng(0)).indices)


def compare_windows(project: "Project", version: "ModelVersion", *, n: int) -> float:
    """Check that the window function finds what the pool's statement finds; return its seconds."""
    from django.db import connection

    from active_learning.selection import pool

    values = {"version": version.pk, "project": project.pk, "each": K, "limit": n}
    results = []
    with connection.cursor() as cursor:
        for statement in (WINDOW, pool.BEST_OF_EACH):
            results.append(timed(partial(found_by, cursor, statement, values)))
    if results[0][1] != results[1][1]:
        sys.exit("The window function and the pool's statement find different solutions.")
    return results[0][0]


def found_by(cursor: Any, statement: str, values: dict[str, Any]) -> set[int]:
    """Return the solutions that a statement finds."""
    return {row[0] for row in cursor.execute(statement, values).fetchall()}


def publish(project: "Project", *, tasks: int) -> list[Any]:
    """Open a batch of the first solutions; return labelers of the project."""
    from django.contrib.auth.models import User

    from annotation import queue
    from annotation.models import Membership, Solution

    first = Solution.objects.filter(problem__project=project).order_by("pk")[:tasks].values_list("pk", flat=True)
    queue.open_batch(project, [queue.Chosen(solution) for solution in first])
    people = [User.objects.create(username=f"labeler {number}") for number in range(PEOPLE)]
    Membership.objects.bulk_create(Membership(project=project, user=person, role="labeler") for person in people)
    return people


def hand_out(project: "Project", people: list[Any], *, n: int) -> list[float]:
    """Return the seconds of each of n hand-outs; each assignment is done before the next is requested."""
    from annotation import queue
    from annotation.models import Assignment

    seconds = []
    for who in itertools.islice(itertools.cycle(people), n):
        spent, lease = timed(partial(queue.lease_next, who, project=project))
        Assignment.objects.filter(pk=lease.assignment_id).update(state="done")
        seconds.append(spent)
    return seconds


def handing_out(project: "Project", people: list[Any], *, n: int) -> dict[str, float | list[float]]:
    """Alternate hand-outs between this database and its early copy; return both p95 in milliseconds and their ratio."""
    from django.db import connections

    here = connections["default"]
    early = here.copy()
    early.settings_dict["NAME"] = "early"
    blocks: dict[str, list[list[float]]] = {"many": [], "few": []}
    with here.cursor() as cursor:
        cursor.execute("CHECKPOINT")  # write what was loaded to the disk, as it is long before a labeler begins
    try:
        for _ in range(BLOCKS + 1):
            for name, connection in (("many", here), ("few", early)):
                connections["default"] = connection
                blocks[name].append(hand_out(project, people, n=n))
    finally:
        connections["default"] = here
        early.close()
    # The first block warms up, because the selections before it left other pages in memory.
    many, few = ([second for block in blocks[name][1:] for second in block] for name in ("many", "few"))
    p95, few_p95 = 1000 * percentile(many, 95), 1000 * percentile(few, 95)
    return {
        "handing_out_p95_ms": round(p95, 2),
        "handing_out_few_p95_ms": round(few_p95, 2),
        "handing_out_ratio": round(p95 / few_p95, 2),
        "handing_out_p50_ms": [round(1000 * statistics.median(one), 2) for one in (many, few)],
        "handing_out_first_p95_ms": [round(1000 * percentile(blocks[name][0], 95), 2) for name in ("many", "few")],
        "handing_out_blocks_p95_ms": [round(1000 * percentile(block, 95), 2) for block in blocks["many"]],
    }


def measure(form: Form, folder: Path) -> dict[str, Any]:
    """Fill a database with the form's rows and return all figures."""
    from django.db import connection

    from active_learning.selection import STRATEGIES, Need
    from annotation.projects import create_project

    def show(*words: object) -> None:
        print(f"{time.perf_counter() - began:6.0f} s ", *words, flush=True)

    began = time.perf_counter()
    many, tenth = (create_project(name, name=name) for name in ("many", "tenth"))
    fill(many, first=1, last=FEW_PROBLEMS, each=form.each)
    people = publish(many, tasks=form.tasks)
    with connection.cursor() as cursor:
        cursor.execute(CHANCE)
        cursor.execute("CREATE DATABASE early TEMPLATE stepmark")
    fill(tenth, first=1, last=form.n_problems, each=form.each // 10)
    fill(many, first=FEW_PROBLEMS + 1, last=form.n_problems, each=form.each)
    show("solutions are made")
    version_of_tenth, version = (scored(of, folder / "rows" / of.slug) for of in (tenth, many))
    load(version_of_tenth, folder / "rows" / tenth.slug)
    show("scores are written")
    with reading(version_of_tenth) as reads:
        loading, _ = timed(lambda: load(version, folder / "rows" / many.slug))
    longest = max(reads.seconds)
    show(f"loaded in {loading:.1f} s; of {len(reads.seconds):,} reads {reads.blocked} were blocked, the longest took {longest:.3f} s")

    size = min(10_000, form.n_problems * K)  # the largest batch there is
    spent: dict[str, list[float]] = {"many": [], "tenth": []}
    for _ in range(form.repeats + 1):
        for project, scorer in ((many, version), (tenth, version_of_tenth)):
            spent[project.slug].append(timed(partial(choose, project, scorer, "convincing", size=size, per_problem=K))[0])
    seconds, seconds_tenth = (statistics.median(spent[name][1:]) for name in ("many", "tenth"))  # the first warms up
    show(f"chosen in {seconds:.2f} s, out of a tenth in {seconds_tenth:.2f} s")
    peer = compare_windows(many, version, n=form.n_problems * K)
    show(f"the window function takes {peer:.2f} s")
    others, per_million = {}, {}
    names = [name for name, strategy in STRATEGIES.items() if Need.STATES not in strategy.needs]  # states are read from files
    for cap in (K, None):
        for name in names:
            took, n_chosen = timed(partial(choose, many, version, name, size=200, per_problem=cap))
            others[f"{name}, {f'{cap} a problem' if cap else 'globally'}"] = round(took, 2)
            if not cap:
                per_million[name] = round(1e6 * took / (form.n_problems * form.each), 3)
            show(f"{n_chosen} by {name}, {cap or 'any number'} a problem: {took:.2f} s")
    return {
        "ratio": round(LIMIT / seconds, 2),
        "seconds": round(seconds, 3),
        "growth": round(seconds / seconds_tenth, 2),
        "seconds_tenth": round(seconds_tenth, 3),
        "peer_seconds": round(peer, 2),
        "peer_ratio": round(peer / seconds, 2),
        "limit": LIMIT,
        "n_solutions": form.n_problems * form.each,
        "n_problems": form.n_problems,
        "k": K,
        "loading_seconds": round(loading, 1),
        "loading_limit": LOADING_LIMIT,
        "longest_read_seconds": round(longest, 3),
        "reads": len(reads.seconds),
        "blocked_reads": reads.blocked,
        **handing_out(many, people, n=form.handed),
        "seconds_of_200": others,
        "seconds_per_million": per_million,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    forms = parser.add_mutually_exclusive_group()
    for name in ("small", "smoke"):
        forms.add_argument(f"--{name}", dest="form", action="store_const", const=name, default="full")
    form = FORMS[parser.parse_args().form]
    with temporary_site.running_home() as home:
        print(json.dumps(measure(form, home)))


if __name__ == "__main__":
    main()
