"""The content of a snapshot: every export is made from it, so nothing that happens later changes a byte; and nothing can change it."""

import hashlib
import io
import os
import signal
import threading
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection, transaction

from active_learning.models import Round
from annotation import export, ingest, people, quality
from annotation.eligibility import Use
from annotation.export import datasets
from annotation.export.content import content_rows
from annotation.ingest import BadFile
from annotation.models import Annotation, Membership, Problem, Project, Snapshot, SnapshotFile, SnapshotItem, Solution, StepAlternative
from tests import make
from tests.children import ended, fork
from tests.exports import label, with_alternatives
from tests.reviews import at, decide, disputed, read_all
from tests.waiting import PATIENCE
from trainer import __version__

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    settings.STEPMARK_HOME = tmp_path / "home"
    settings.STEPMARK_HOME.mkdir()
    return settings.STEPMARK_HOME


def content_of(snapshot: Snapshot) -> bytes:
    out = io.BytesIO()
    export.write_prm800k(snapshot, out)
    return out.getvalue()


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- the content ---------------------------------------------------------------------------------------------------------


def test_nothing_that_happens_later_changes_a_second_export(tmp_path: Path) -> None:
    project, [solution, _] = disputed((at(1), at(2)), (at(0), at(1)))
    snapshot = export.export_prm800k(project, tmp_path / "first.jsonl")
    Problem.objects.update(answer="999", reference_solution="another", statement="What else?", subject="changed")
    Project.objects.update(step_source="interactive", adjudications="without")
    decide(project, solution, make.rolf(project), at(1))
    quality.settle(project)
    people.erase(make.ann(), actor=None)
    Membership.objects.filter(user=make.ben()).update(quarantined_at="2026-01-01T00:00Z")
    files = export.export_snapshot(export.find_snapshot(project, snapshot.number), tmp_path / "second.jsonl")
    assert (tmp_path / "second.jsonl").read_bytes() == (tmp_path / "first.jsonl").read_bytes()
    assert [file.sha256 for file in files] == [snapshot.sha256] == [sha256_of(tmp_path / "first.jsonl")]
    assert export.take_snapshot(project).sha256 != snapshot.sha256


def test_the_content_holds_what_a_record_lacks(home: Path) -> None:
    project, [solution, _] = disputed((at(1), at(1)), (at(0), at(1)))
    Solution.objects.filter(pk=solution.pk).update(source="gen", grader="g1", final_answer="5", outcome="correct")
    Problem.objects.filter(pk=solution.problem_id).update(subject="", level="4", answer="a \x01 and\nb")
    snapshot = export.take_snapshot(project)
    rows = [row for row in content_rows(snapshot) if row["solution"] == solution.pk]
    consensus = solution.consensus
    assert [row["labeler"] for row in rows] == [
        str(Membership.objects.get(user=person, project=project).export_uuid) for person in (make.ann(), make.ben())
    ]
    row = rows[0]
    assert (row["subject"], row["level"], row["source"], row["final_answer"], row["outcome"]) == ("", "4", "gen", "5", "correct")
    assert (row["reference_answer"], row["batch_kind"], row["task_kind"], row["active_ms"]) == ("a \x01 and\nb", "selected", "normal", 5)
    assert row["is_interactive"] is False and row["guidelines_version"] == 1
    assert (row["n_readings"], row["is_adjudicated"]) == (2, False)
    assert (row["first_mistake"], row["p_none"], row["entropy"]) == (consensus.first_mistake, consensus.p_none, consensus.entropy)
    assert len(row["p_first"]) == len(row["p_neutral"]) == len(solution.steps)
    assert [orjson.loads(row["record"])["label"]["finish_reason"] for row in rows] == ["found_error"] * 2
    assert snapshot.content_sha256 == sha256_of(home / snapshot.content) and snapshot.content == "snapshots/sums/1.parquet"


def test_a_solution_that_nobody_settled_has_no_consensus() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    read_all(project, make.ann(project), at(1))
    [row] = content_rows(export.take_snapshot(project))
    assert {row[name] for name in ("first_mistake", "p_none", "entropy", "n_readings", "is_adjudicated")} == {None}
    assert (row["p_first"], row["p_neutral"]) == (None, None)


ODD = [
    '", ', 'a", "b', '\\", "', "\\\\", '"', "", "\\n\n\r\t\b\f", "\x01\x02\x03\x1f", "\x7f\u2028\u2029é😀", "# Answer\n\n",
    "\\n\\n# Answer\\n\\n7", "x\n\n# Answer\n\n\\frac{1}{2} \"", "{}", "%s %(a)s {x}", "/", "</script>",
]  # fmt: skip


@pytest.mark.parametrize("last", ODD)
def test_every_text_comes_out_as_it_went_in(last: str) -> None:
    project = make.project()
    steps = [*ODD, last]
    problem = make.problem(project, statement=last or "empty", answer=last, reference_solution=last)
    make.batch(project, [make.solution(problem, steps, final_answer=last)])
    label(project, *[1] * len(ODD), -1, finish_reason="found_error")
    line = content_of(export.take_snapshot(project)).removesuffix(b"\n")
    record = orjson.loads(line)
    assert orjson.dumps(record) == line
    assert record["question"]["pre_generated_steps"] == steps
    assert [step["completions"][0]["text"] for step in record["label"]["steps"]] == steps
    assert record["question"]["ground_truth_answer"] == record["question"]["ground_truth_solution"] == last
    assert record["question"]["pre_generated_answer"] == (last.rpartition("# Answer\n\n")[2] if "# Answer\n\n" in last else last)


@pytest.mark.parametrize("score", [None, 0.0, 1.0, 1e-7, 0.1 + 0.2, 1e22, -3.5, 1e16])
def test_scores_are_written_as_python_writes_them(score: float | None) -> None:
    project = make.project()
    batch = make.batch(project, make.solutions(project, 1))
    batch.task_set.update(verifier_score=score)
    label(project, 1, -1, finish_reason="found_error")
    line = content_of(export.take_snapshot(project)).removesuffix(b"\n")
    assert orjson.loads(line)["question"]["pre_generated_verifier_score"] == score and orjson.dumps(orjson.loads(line)) == line


def test_alternatives_with_odd_texts_come_out_as_they_went_in() -> None:
    project = with_alternatives(alternatives_after_error=True)
    texts = ['", "\x03 "', "\\"]
    for alternative, text in zip(StepAlternative.objects.filter(step_index=1), texts, strict=True):
        StepAlternative.objects.filter(pk=alternative.pk).update(text=text)
    ratings = (
        {"step": 0, "rating": 1},
        {"step": 1, "rating": -1},
        {"step": 1, "position": 1, "rating": 1},
        {"step": 1, "position": 2, "rating": 0},
    )
    label(project, *ratings, {"step": 1, "rating": None, "text": 'mine "'}, finish_reason="found_error")
    line = content_of(export.take_snapshot(project)).removesuffix(b"\n")
    step = orjson.loads(line)["label"]["steps"][1]
    assert orjson.dumps(orjson.loads(line)) == line
    assert [completion["text"] for completion in step["completions"][1:]] == texts and step["human_completion"]["text"] == 'mine "'


def test_the_counts_and_the_provenance_say_what_is_inside() -> None:
    project, solutions = disputed((at(1), at(2)), (at(0), (1, 1, 1)))
    Solution.objects.update(grader="g1")
    batch = solutions[0].task_set.get().batch
    version = make.version(project, 3, sha256="abc")
    Round.objects.create(
        project=project, generation=0, batch=batch, model_version=version, strategy="best", plan={"seed": 7}, state="published"
    )
    snapshot = export.take_snapshot(project)
    assert snapshot.counts == {
        "annotations": 4, "solutions": 2, "problems": 2, "people": 2, "ratings": {"-1": 3, "0": 0, "1": 6, "null": 0},
        "finish_reasons": {"found_error": 3, "solution": 1}, "generations": {"0": 4},
    }  # fmt: skip
    assert snapshot.provenance == {
        "stepmark": __version__,
        "graders": ["g1"],
        "guidelines_versions": [1],
        "batches": [
            {
                "batch": batch.pk, "kind": "selected", "generation": 0, "annotations": 4, "round": 0, "strategy": "best", "seed": 7,
                "model": 3, "model_kind": "prm", "model_sha256": "abc",
            }
        ],
    }  # fmt: skip


def test_an_empty_project_gives_an_empty_content() -> None:
    snapshot = export.take_snapshot(make.project())
    assert (snapshot.count, content_of(snapshot), list(content_rows(snapshot))) == (0, b"", [])
    assert snapshot.sha256 == hashlib.sha256(b"").hexdigest()


def test_a_large_snapshot_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 7))
    for _ in range(7):
        label(project, 1, -1, finish_reason="found_error")
    whole = export.take_snapshot(project)
    monkeypatch.setattr("annotation.export.content._AT_ONCE", 3)
    monkeypatch.setattr("annotation.export.content._PIECE", 1)
    monkeypatch.setattr("annotation.export.content._GROUP", 1)
    in_pieces = export.take_snapshot(project)
    assert (in_pieces.sha256, in_pieces.counts) == (whole.sha256, whole.counts)
    assert [row["annotation"] for row in content_rows(in_pieces)] == sorted(Annotation.objects.values_list("pk", flat=True))
    with pq.ParquetFile(datasets.Path(datasets.settings.STEPMARK_HOME) / in_pieces.content) as file:
        assert file.num_row_groups == 7


# --- nobody can change it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda: Snapshot.objects.update(spec={}),
        lambda: Snapshot.objects.update(number=9),
        lambda: Snapshot.objects.update(counts={"annotations": 9}),
        lambda: Snapshot.objects.update(count=9),
        lambda: Snapshot.objects.update(provenance={"a": 1}),
        lambda: Snapshot.objects.update(sha256="0" * 64),
        lambda: Snapshot.objects.update(content_sha256="0" * 64),
        lambda: Snapshot.objects.update(content="elsewhere"),
        lambda: Snapshot.objects.all()._raw_delete("default"),
        lambda: SnapshotItem.objects.all()._raw_delete("default"),
        lambda: SnapshotItem.objects.bulk_create([SnapshotItem(snapshot_id=Snapshot.objects.get().pk, annotation_id=10**9)]),
        lambda: SnapshotFile.objects.update(sha256="0" * 64),
        lambda: SnapshotFile.objects.all().delete(),
    ],
)
def test_the_database_refuses_to_change_a_snapshot(tmp_path: Path, change: Any) -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    label(project, 1, -1, finish_reason="found_error")
    export.export_prm800k(project, tmp_path / "out.jsonl")
    with pytest.raises(DatabaseError, match="a snapshot never changes"), transaction.atomic():
        change()
    Snapshot.objects.update(file="moved.jsonl")  # where its file lies is no part of it


def labeled() -> Project:
    project = make.project()
    make.batch(project, make.solutions(project, 2))
    label(project, 1, -1, finish_reason="found_error")
    label(project, 1, 1, 1, finish_reason="solution")
    return project


@pytest.mark.parametrize("damage", ["cut", "changed", "not Parquet"])
def test_a_changed_content_file_is_named(home: Path, tmp_path: Path, damage: str) -> None:
    project = labeled()
    snapshot = export.take_snapshot(project)
    path = home / snapshot.content
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "not Parquet":
        path.write_bytes(b"x" * len(content))
    else:
        other = export.take_snapshot(make.project("others"))
        path.write_bytes((home / other.content).read_bytes().ljust(len(content), b"\0")[: len(content)])
    with pytest.raises(CommandError, match=r"1\.parquet.*Restore this file from a backup") as refused:
        call_command("export", project="sums", snapshot=1, out=str(tmp_path / "out.jsonl"))
    assert refused.value.returncode == 2 and not (tmp_path / "out.jsonl").exists() and not SnapshotFile.objects.exists()


def test_records_that_are_not_those_that_were_taken_are_not_written(home: Path, tmp_path: Path) -> None:
    project = labeled()
    snapshot = export.take_snapshot(project)
    path = home / snapshot.content
    table = pq.read_table(path)
    changed = table.set_column(table.schema.get_field_index("record"), "record", [[b"{}", b"{}"]])
    pq.write_table(changed, path)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        Snapshot.objects.update(content_bytes=path.stat().st_size)
        cursor.execute("SET session_replication_role = DEFAULT")
    ways: dict[str, dict[str, Any]] = {"out.jsonl": {}, "outs.jsonl": {"max_records": 1}, "out.jsonl.gz": {"compression": "gzip"}}
    for name, options in ways.items():
        with pytest.raises(export.ContentDamaged, match="the sha256 differs"):
            export.export_snapshot(Snapshot.objects.get(), tmp_path / name, **options)
        assert not list(tmp_path.glob("*out*")) and not SnapshotFile.objects.exists()


def test_a_missing_content_file_is_named(home: Path, tmp_path: Path) -> None:
    snapshot = export.take_snapshot(labeled())
    (home / snapshot.content).unlink()
    with pytest.raises(export.ContentMissing, match=r"snapshot 1 of sums is not there: .*1\.parquet is missing\. Restore"):
        export.export_snapshot(snapshot, tmp_path / "out.jsonl")


def test_a_snapshot_of_an_older_version_is_listed_and_says_that_its_content_was_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = labeled()
    Snapshot.objects.create(project=project, number=1, spec={"use": "dataset"}, file="exports/old.jsonl", sha256="ab", count=2)
    call_command("snapshot", project="sums", list=True)
    assert "1: " in (listed := capsys.readouterr().out) and "2 annotations, sha256 ab, without content" in listed
    with pytest.raises(
        CommandError, match=r"older version of Stepmark, which did not keep its content\. Its first file was exports/old\.jsonl\."
    ):
        call_command("export", project="sums", snapshot=1, out=str(tmp_path / "out.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()


def test_a_snapshot_of_a_training_has_no_content_and_says_so(tmp_path: Path) -> None:
    snapshot = export.take_snapshot(labeled(), use=Use.TRAINING)
    assert (snapshot.count, snapshot.content, snapshot.sha256) == (2, "", "")
    with pytest.raises(export.ContentMissing, match="belongs to a training"):
        export.export_snapshot(snapshot, tmp_path / "out.jsonl")


def test_another_project_that_had_this_slug_keeps_its_content(home: Path) -> None:
    old = labeled()
    first = export.take_snapshot(old)
    Project.objects.filter(pk=old.pk).update(slug="renamed")
    new = make.project()
    second = export.take_snapshot(new)
    assert (first.number, second.number) == (1, 1) and first.content != second.content
    assert content_of(first).count(b"\n") == 2 and content_of(second) == b""


# --- no half is left -----------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_and_is_named(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    project = labeled()
    monkeypatch.setattr(datasets, "rename_file", full)
    with pytest.raises(BadFile, match=r"cannot be written \(No space left on device\)"):
        export.export_prm800k(project, tmp_path / "out.jsonl")
    assert not Snapshot.objects.exists() and not SnapshotItem.objects.exists() and not (tmp_path / "out.jsonl").exists()
    assert list((home / "snapshots/sums").iterdir()) == []


def test_an_existing_file_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.jsonl").write_text("mine")
    monkeypatch.setattr(datasets, "_chosen_keys", lambda *_: pytest.fail("it was read"))
    with pytest.raises(export.OutputRefused):
        export.export_prm800k(labeled(), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "mine"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("moment", ["rename_file", "take_number", "_provenance"])
def test_a_killed_snapshot_leaves_no_row_and_the_next_one_is_whole(home: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    project = labeled()

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(datasets, moment, die)
        assert ended(fork(lambda: export.take_snapshot(project))) == -signal.SIGKILL
    assert not Snapshot.objects.exists() and not SnapshotItem.objects.exists()
    assert {path.suffix for path in (home / "snapshots/sums").iterdir()} <= {".part"}
    snapshot = export.take_snapshot(project)
    assert snapshot.number == 1 and content_of(snapshot).count(b"\n") == 2


@pytest.mark.django_db(transaction=True)
def test_two_snapshots_at_once_have_two_numbers_and_both_contents(home: Path) -> None:
    project = labeled()
    taken = make.at_once([lambda: export.take_snapshot(project)] * 4)
    assert sorted(snapshot.number for snapshot in taken) == [1, 2, 3, 4]  # type: ignore[attr-defined]
    assert sorted(path.name for path in (home / "snapshots/sums").iterdir()) == [f"{number}.parquet" for number in range(1, 5)]
    assert len({snapshot.sha256 for snapshot in Snapshot.objects.all()}) == 1


@pytest.mark.django_db(transaction=True)
def test_all_of_a_snapshot_is_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others commit between the choice and the reading of the content is not in it."""
    project = labeled()
    choose = datasets._chosen_keys

    def then_change(*arguments: Any) -> Any:
        keys = choose(*arguments)
        other = threading.Thread(target=change)
        other.start()
        other.join(PATIENCE)
        return keys

    def change() -> None:
        Problem.objects.update(answer="changed")
        connection.close()

    monkeypatch.setattr(datasets, "_chosen_keys", then_change)
    rows = list(content_rows(export.take_snapshot(project)))
    assert Problem.objects.filter(answer="changed").exists()
    assert "changed" not in {row["reference_answer"] for row in rows} and b"changed" not in rows[0]["record"]


def test_a_loaded_project_is_exported_twice_with_the_same_bytes(samples: Path, tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(samples / "prm800k/records.jsonl", project=project)
    first = export.export_prm800k(project, tmp_path / "first.jsonl")
    for name in ("second", "third"):
        export.export_snapshot(first, tmp_path / f"{name}.jsonl")
    assert len({sha256_of(path) for path in tmp_path.glob("*.jsonl")}) == 1
    assert list(first.files.order_by("pk").values_list("name", "n_records", "format")) == [
        (f"{name}.jsonl", 6, "prm800k") for name in ("first", "second", "third")
    ]


@pytest.mark.django_db(transaction=True)
def test_a_server_without_a_free_connection_is_an_error_of_the_database_and_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise psycopg.OperationalError("FATAL: too many clients already")

    project = labeled()
    monkeypatch.setattr(datasets.psycopg, "connect", refuse)
    with pytest.raises(OperationalError, match="too many clients"):
        export.take_snapshot(project)
    assert not Snapshot.objects.exists() and not (home / "snapshots").exists()
