"""Figure: bytes on disk of a solution, a score, and what a label leaves, with their indexes, in a temporary database.

Makes 100,000 solutions of six steps (about 830 bytes of text) in 1,000 problems, scores all of them, and labels 1,000 through the functions
of the labeling page. Each figure is pg_total_relation_size, after VACUUM FULL, over the rows. `ratio` is the bytes of text of a solution
over the bytes that it takes. `--smoke`: 1,000 solutions, 20 labels.
"""

import argparse
import json
import uuid
from pathlib import Path
from typing import Any

from benchmarks import selection, temporary_site

SOLUTIONS = """
INSERT INTO annotation_solution (problem_id, digest, steps, final_answer, outcome, outcome_reason, grader, source)
SELECT p.id, decode(md5(p.id || ' ' || k) || md5(k || ' ' || p.id), 'hex'), steps, '7', 'wrong', '', '', 'model'
  FROM annotation_problem p CROSS JOIN generate_series(1, %(each)s::int) k
 CROSS JOIN LATERAL (
    SELECT jsonb_agg('We take the number from the step before, add what the problem says of the next part, and write the sum down: '
                     || k * 7919 || ' + ' || step * p.id || ' = ' || k * 7919 + step * p.id || '.') AS steps
      FROM generate_series(1, 6) step WHERE k > 0) texts
"""
TABLES = {
    "solution": "annotation_solution", "task": "annotation_task", "assignment": "annotation_assignment",
    "annotation": "annotation_annotation", "step_label": "annotation_steplabel",
}  # fmt: skip


def measure(home: Path, *, n_problems: int, each: int, n_labels: int) -> dict[str, Any]:
    from django.contrib.auth import get_user_model
    from django.db import connection

    from active_learning.scoring.partitions import partition
    from annotation import labels, queue
    from annotation.models import Membership, Project, Role, Solution

    project = Project.objects.create(slug="sizes", name="Sizes", overlap=1)
    with connection.cursor() as cursor:
        cursor.execute(selection.PROBLEMS, {"project": project.pk, "first": 1, "last": n_problems})
        cursor.execute(SOLUTIONS, {"each": each})
        cursor.execute(selection.CHANCE)
    version = selection.scored(project, home / "scores" / "rows")
    selection.load(version, home / "scores" / "rows")
    person = get_user_model().objects.create_user("ann")
    Membership.objects.create(project=project, user=person, role=Role.LABELER)
    chosen = Solution.objects.order_by("pk").values_list("pk", flat=True)[:n_labels]
    queue.open_batch(project, [queue.Chosen(solution_id=pk) for pk in chosen])
    for _ in chosen:
        lease = queue.lease_next(person, project=project)
        labels.submit(
            lease.assignment_id,
            labeler=person,
            token=lease.token,
            submission_id=uuid.uuid4(),
            active_ms=1,
            total_ms=1,
            ratings=[{"step": step, "rating": 1, "ms": 1000} for step in range(6)],
            finish_reason="solution",
        )
    sizes = {}
    with connection.cursor() as cursor:
        for name, table in {**TABLES, "score": partition(version)}.items():
            cursor.execute(f"VACUUM FULL {table}")
            cursor.execute(f"SELECT pg_total_relation_size('{table}'), (SELECT count(*) FROM {table})")
            size, count = cursor.fetchone()
            sizes[name] = round(size / count)
        cursor.execute("SELECT avg((SELECT sum(octet_length(step)) FROM jsonb_array_elements_text(steps) step)) FROM annotation_solution")
        text = float(cursor.fetchone()[0])
        cursor.execute("SELECT count(*) FROM annotation_steplabel")
        n_steps = cursor.fetchone()[0]
    return {
        "ratio": round(text / sizes["solution"], 2),
        "text_bytes": round(text),
        "bytes": sizes,
        "n_solutions": n_problems * each,
        "n_labels": len(chosen),
        "n_step_labels": n_steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    form = (
        {"n_problems": 10, "each": 100, "n_labels": 20}
        if parser.parse_args().smoke
        else {"n_problems": 1000, "each": 100, "n_labels": 1000}
    )
    with temporary_site.running_home() as home:
        print(json.dumps(measure(home, **form)))


if __name__ == "__main__":
    main()
