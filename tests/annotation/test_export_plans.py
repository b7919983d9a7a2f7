"""Exports in a large database: every plan stays an index probe a row, whatever the statistics know, and a kill leaves nothing behind."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from annotation import export
from annotation.export import content
from annotation.models import Annotation, Project, Snapshot, SnapshotItem
from tests import make
from tests.children import ended, fork

LARGE = {f"annotation_{name}" for name in ("annotation", "assignment", "listedannotation", "problem", "solution", "steplabel")}

FILL = (
    """
INSERT INTO annotation_problem (project_id, external_id, statement, answer, subject, level, split)
SELECT %(project)s, 'p' || i, 'What is ' || i || '?', '7', '', '', 'train' FROM generate_series(1, %(count)s::int) i
""",
    """
INSERT INTO annotation_solution (problem_id, digest, steps, outcome, outcome_reason, grader, source)
SELECT p.id, sha256(k::text::bytea), '["Add.", "So 7."]', 'wrong', '', '', ''
  FROM annotation_problem p, generate_series(1, 10) k WHERE p.project_id = %(project)s
""",
    "INSERT INTO annotation_batch (project_id, generation, kind, state) VALUES (%(project)s, 0, 'selected', 'closed')",
    """
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap)
SELECT b.id, (SELECT min(id) FROM annotation_solution s WHERE s.problem_id = p.id), 'normal', 0, 1
  FROM annotation_problem p JOIN annotation_batch b USING (project_id) WHERE p.project_id = %(project)s
""",
    """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token)
SELECT t.id, 0, t.batch_id, 0, 'done', %(labeler)s, 1
  FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id WHERE b.project_id = %(project)s
""",
    """
INSERT INTO annotation_annotation (assignment_id, labeler_id, solution_id, revision, finish_reason, reason, submission_id, body_hash)
SELECT a.id, a.labeler_id, t.solution_id, 1, 'found_error', '', gen_random_uuid(), ''
  FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id JOIN annotation_batch b ON b.id = a.batch_id
 WHERE b.project_id = %(project)s
""",
    """
INSERT INTO annotation_steplabel (annotation_id, step_index, position, rating, chosen, shown_at)
SELECT a.id, step, 0, CASE step WHEN 1 THEN -1 ELSE 1 END, step < 1, 0
  FROM annotation_annotation a JOIN annotation_assignment t ON t.id = a.assignment_id JOIN annotation_batch b ON b.id = t.batch_id,
       generate_series(0, 1) step
 WHERE b.project_id = %(project)s
""",
)


def labeled_project(slug: str, count: int) -> Project:
    """A project with `count` problems of ten solutions each; the first of each ten is labeled."""
    project = make.project(slug)
    with connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement, {"project": project.pk, "labeler": make.ann(project).pk, "count": count})
    return project


def plans(act: Callable[[], object]) -> list[dict[str, Any]]:
    """Return the plan of every statement that `act` sends, made as it is sent."""
    explained: list[dict[str, Any]] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip().startswith(("SELECT", "INSERT", "WITH", "UPDATE")):
            with connection.connection.cursor() as cursor:  # of psycopg, which this wrapper does not hear
                [(rows,)] = cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params).fetchall()
                explained.append(rows[0]["Plan"])
        return execute(sql, params, many, context)

    def hear(reader: Any, statement: str) -> Iterator[bytes]:
        explain(lambda *_: None, statement, None, False, {})
        return copied(reader, statement)

    copied = content.copied
    with connection.execute_wrapper(explain), pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "copied", hear)
        act()
    return explained


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def whole_reads(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """Return which large tables a plan reads from end to end."""
    return [
        (node["Node Type"], node["Relation Name"])
        for node in nodes(plan)
        if node.get("Relation Name") in LARGE and node["Node Type"] != "Bitmap Heap Scan" and "Index Cond" not in node
    ]


def written(project: Project, folder: Path) -> None:
    assert export.export_prm800k(project, folder / "out.jsonl").count == 300


def trained_on(project: Project, folder: Path) -> None:
    assert len(list(export.labeled_solutions(export.take_snapshot(project)))) == 300


@pytest.mark.django_db
@pytest.mark.usefixtures("new_tables")
@pytest.mark.parametrize("act", [written, trained_on])
@pytest.mark.parametrize("known", ["others", "all but the snapshot", "all"])
def test_no_statistics_make_an_export_read_whole_tables(tmp_path: Path, act: Callable[[Project, Path], None], known: str) -> None:
    other = labeled_project("others", 2_000)
    for _ in range(2):
        export.take_snapshot(other)
    make.statistics()
    project = labeled_project("sums", 300)
    if known != "others":
        make.statistics()
    if known == "all":
        export.take_snapshot(project)
        make.statistics()
    made = plans(lambda: act(project, tmp_path))
    assert len(made) >= 3 and [whole_reads(plan) for plan in made if whole_reads(plan)] == []
    assert {"annotation_annotation", "annotation_solution"} < {node.get("Relation Name") for plan in made for node in nodes(plan)}


@pytest.mark.django_db
@pytest.mark.usefixtures("new_tables")
def test_what_was_corrected_is_left_out_by_a_condition_that_is_estimated_well() -> None:
    labeled_project("sums", 500)
    make.statistics()
    explained = plans(lambda: list(Annotation.objects.newest()))
    assert explained[0]["Plan Rows"] > 250
    assert plans(lambda: list(Annotation.objects.filter(superseded_by__isnull=True)))[0]["Plan Rows"] == 1  # what it is there against


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def export_and_die(project: Project, path: Path, moment: str) -> None:
    rename = Path.replace

    def progress(*_: object) -> None:
        if moment == "while it is written":
            kill()

    def name(draft: Path, target: Path) -> None:
        if target != path and moment == "before its content has its name":
            kill()
        if target == path and moment == "before it has its name":
            kill()
        rename(draft, target)
        if target == path:
            kill()

    Path.replace = name  # type: ignore[assignment, method-assign]
    export.export_prm800k(project, path, progress=progress)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "moment", ["while it is written", "before its content has its name", "before it has its name", "before the rows are committed"]
)
def test_a_killed_export_leaves_no_snapshot_and_the_next_one_is_the_first(tmp_path: Path, settings: Any, moment: str) -> None:
    settings.STEPMARK_HOME = tmp_path / "home"
    with transaction.atomic():
        project = labeled_project("sums", 600)
    path = tmp_path / "out.jsonl"
    assert ended(fork(lambda: export_and_die(project, path, moment))) == -signal.SIGKILL
    assert not Snapshot.objects.exists() and not SnapshotItem.objects.exists()
    assert path.exists() == (moment == "before the rows are committed")
    kept = Path(settings.STEPMARK_HOME) / "snapshots/sums"
    assert (kept / "1.parquet").exists() == (moment in ("before it has its name", "before the rows are committed"))
    snapshot = export.export_prm800k(project, path, overwrite=True)
    assert sha256_of(kept / "1.parquet") == snapshot.content_sha256  # it replaced one that belongs to no snapshot
    assert (snapshot.number, snapshot.count, len(path.read_bytes().splitlines()), len(snapshot.sha256)) == (1, 600, 600, 64)
