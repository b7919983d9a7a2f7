"""Figure: how long lists and single objects of the API take in a large project, on the first page and far on.

Makes the site of `script/bench pages`: one project with 1,200,000 solutions and 200,000 annotations. Beside it lies a small project whose
200 annotations are spread over those of the large one. A program reads through gunicorn with a token. It asks each list of docs/api.md for
pages of 50 items at twenty places from the first to the last, and each object at twenty keys, three times each, in mixed order. Before each
of them it asks `/api/v1/me`, which reads almost nothing. An answer other than 200 ends the run. `--small`: a tenth of the rows; `--smoke`:
the smallest form, at four places, which says nothing about speed.

`p95_ms`: the 95th percentile of the slowest address; `limit_ms`: 100. `ratio`: that over the 95th percentile of `/api/v1/me`. `flat`: of
the lists, the greatest ratio of the median of the last quarter of a list to that of the first quarter. `addresses`: figures of each.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx

from benchmarks import pages, temporary_site

LIMIT_MS, TRIVIAL = 100, "me"
PLACES, ROUNDS = 20, 3
# Annotations of a small project, spread evenly over those of the large one: each takes the place of one of those.
SPREAD = """
WITH taken AS (
    SELECT a.id, a.assignment_id, row_number() OVER (ORDER BY a.id) AS place, count(*) OVER () AS total
      FROM annotation_annotation a JOIN annotation_assignment s ON s.id = a.assignment_id WHERE s.slot = 0),
    moved AS (SELECT assignment_id FROM taken WHERE place %% GREATEST(total / 200, 1) = 0),
    tasks AS (UPDATE annotation_assignment SET batch_id = %(batch)s WHERE id IN (SELECT assignment_id FROM moved) RETURNING task_id),
    listed AS (
        UPDATE annotation_listedannotation SET project_id = %(project)s
         WHERE annotation_id IN (SELECT id FROM annotation_annotation WHERE assignment_id IN (SELECT assignment_id FROM moved)))
UPDATE annotation_task SET batch_id = %(batch)s WHERE id IN (SELECT task_id FROM tasks)
"""


def cursor(*keys: int) -> str:
    from annotation.api.base import cursor_of

    return cursor_of(keys)


def spread(values: Sequence[Any], n_places: int) -> list[Any]:
    """Return some of the values, from the first to the last."""
    return [values[place * (len(values) - 1) // (n_places - 1)] for place in range(n_places)] if values else []


def asked(project: Any, other: Any, n_places: int) -> dict[str, list[str]]:
    """Return the addresses to ask for each kind: those of a list in the order of its pages."""
    from active_learning.models import ModelVersion, Round
    from annotation.models import Annotation, Batch, Membership, Problem, Snapshot, Solution, SolutionConsensus

    base = f"projects/{project.slug}"
    keys = {
        "problems": list(Problem.objects.filter(project=project).order_by("pk").values_list("pk", flat=True)),
        "batches": list(Batch.objects.filter(project=project).order_by("pk").values_list("pk", flat=True)),
        "annotations": list(Annotation.objects.order_by("pk").values_list("pk", flat=True)),
        "consensus": list(SolutionConsensus.objects.filter(project=project).order_by("solution").values_list("solution", flat=True)),
        "snapshots": list(Snapshot.objects.filter(project=project).order_by("number").values_list("number", flat=True)),
        "rounds": list(Round.objects.filter(project=project).order_by("number").values_list("number", flat=True)),
        "models": list(ModelVersion.objects.filter(project=project).order_by("number").values_list("number", flat=True)),
        "people": list(Membership.objects.filter(project=project).order_by("pk").values_list("pk", flat=True)),
    }
    solutions = spread(
        list(Solution.objects.filter(problem__project=project).order_by("problem", "pk").values_list("problem", "pk")), n_places
    )
    found = {
        f"{base}/{name}": [f"{base}/{name}?cursor={cursor(max(key - 1, 0))}" for key in spread(some, n_places)]
        for name, some in keys.items()
    }
    found[f"{base}/solutions"] = [f"{base}/solutions?cursor={cursor(problem, key - 1)}" for problem, key in solutions]
    scored = sorted(key for _, key in solutions)
    found[f"{base}/models/1/scores"] = [f"{base}/models/1/scores?cursor={cursor(key - 1)}" for key in scored]
    small = f"projects/{other.slug}/annotations"
    found[small] = [f"{small}?cursor={cursor(key - 1)}" for key in spread(keys["annotations"], n_places)]
    own = set(Annotation.objects.filter(assignment__batch__project=project).values_list("pk", flat=True))
    keys["annotations"] = [key for key in keys["annotations"] if key in own]
    for name in ("problems", "batches", "annotations", "snapshots", "rounds", "models"):
        found[f"{base}/{name}/KEY"] = [f"{base}/{name}/{key}" for key in spread(keys[name], n_places)]
    found[f"{base}/solutions/KEY"] = [f"{base}/solutions/{key}" for _, key in solutions]
    found[f"{base}/solutions/KEY/consensus"] = [f"{base}/solutions/{key}/consensus" for key in spread(keys["consensus"], n_places)]
    found["projects"], found[base] = ["projects"] * n_places, [base] * n_places
    return {name: addresses for name, addresses in found.items() if addresses}


def add_small_project(owner: Any) -> Any:
    from django.db import connection, transaction

    from annotation import projects
    from annotation.models import Batch

    other = projects.create_project("small", name="Small", owners=[owner.get_username()])
    batch = Batch.objects.create(project=other, generation=1, kind="selected", state="closed")
    with transaction.atomic(), connection.cursor() as database:
        database.execute("SET LOCAL session_replication_role = replica")
        database.execute(SPREAD, {"batch": batch.pk, "project": other.pk})
    return other


def p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[max(0, -(-len(seconds) * 95 // 100) - 1)]


def measure(client: httpx.Client, wanted: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    """Ask everything in mixed order with `me` between; return the figures."""
    order = [(name, place) for name, addresses in wanted.items() for place in range(len(addresses)) for _ in range(rounds)]
    random.Random(0).shuffle(order)
    taken: dict[str, list[list[float]]] = {name: [[] for _ in addresses] for name, addresses in wanted.items()}
    trivial: list[float] = []

    def seconds(address: str) -> float:
        began = time.perf_counter()
        answer = client.get(f"/api/v1/{address}")
        if answer.status_code != 200:
            sys.exit(f"{address} answered {answer.status_code}: {answer.text[:300]}")
        return time.perf_counter() - began

    for addresses in wanted.values():  # what a process reads once is read now
        seconds(addresses[0])
    for name, place in order:
        trivial.append(seconds(TRIVIAL))
        taken[name][place].append(seconds(wanted[name][place]))
    base, figures = p95(trivial), {}
    for name, times in taken.items():
        own = [second for some in times for second in some]
        quarter = max(1, len(times) // 4)
        first, last = (statistics.median([second for some in part for second in some]) for part in (times[:quarter], times[-quarter:]))
        figures[name] = {
            "p95_ms": round(1000 * p95(own), 1), "median_ms": round(1000 * statistics.median(own), 1), "ratio": round(p95(own) / base, 2),
            "last_to_first": round(last / first, 2),
        }  # fmt: skip
    slowest = max(figures, key=lambda name: figures[name]["p95_ms"])
    lists = {name for name in wanted if len(set(wanted[name])) > 1 and "KEY" not in name}
    return {
        "ratio": figures[slowest]["ratio"],
        "p95_ms": figures[slowest]["p95_ms"],
        "slowest": slowest,
        "limit_ms": LIMIT_MS,
        "above_limit": sorted(name for name, figure in figures.items() if figure["p95_ms"] > LIMIT_MS),
        "flat": max(figures[name]["last_to_first"] for name in lists),
        "trivial_p95_ms": round(1000 * base, 1),
        "requests": len(order),
        "addresses": dict(sorted(figures.items(), key=lambda item: -item[1]["p95_ms"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench api", description="Measure lists and objects of the API in a large project.")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--small", action="store_true", help="a tenth of the rows")
    form.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    options = parser.parse_args()
    name = "smoke" if options.smoke else "small" if options.small else "full"
    size = pages.SIZES[name]
    os.environ["API_READS_A_MINUTE"] = "1000000"
    with temporary_site.running_home() as home:
        started = time.perf_counter()
        project, owner = pages.fill(home, size)
        other = add_small_project(owner)
        print(f"made in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        from annotation import people

        token = people.make_token(owner, name="benchmark", scope="read", project="", days=7)[1]
        wanted = asked(project, other, 4 if name == "smoke" else PLACES)
        with (
            temporary_site.serving(home) as site,
            httpx.Client(base_url=site.address, headers={"Authorization": f"Bearer {token}"}, timeout=300, trust_env=False) as client,
        ):
            figures = measure(client, wanted, 1 if name == "smoke" else ROUNDS)
    rows = {"solutions": size.problems * size.each, "annotations": size.annotations}
    print(json.dumps({**figures, "form": name, **rows}))


if __name__ == "__main__":
    main()
