"""Snapshots, which never change; their values for training; and the files that are written from them."""

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from annotation import export, ingest
from annotation.export import write_prm800k
from annotation.models import Annotation, Batch, Project, Snapshot, SnapshotItem, Solution
from tests import make
from tests.annotation.test_formats import completion, step, write
from tests.annotation.test_ingest import LEE, WALKED, record
from tests.exports import BOTH, SUM, WALKING, label, pre_generated, with_alternatives, written

pytestmark = pytest.mark.django_db


# --- snapshots -----------------------------------------------------------------------------------------------------------


def test_practice_is_in_no_snapshot() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    label(project, 1, -1, finish_reason="found_error")
    assert export.take_snapshot(project).count == 1
    Batch.objects.update(kind="practice")
    assert export.take_snapshot(project).count == 0


def test_a_snapshot_never_changes(tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED)), project=project)
    snapshot, before, after = export.take_snapshot(project), io.BytesIO(), io.BytesIO()
    write_prm800k(snapshot, before)
    ingest.load_solutions(
        write(tmp_path / "g.jsonl", record(WALKED, at="2022-08-01T00:00:00.000001"), record(WALKED, labeler=LEE)), project=project
    )
    write_prm800k(snapshot, after)
    assert before.getvalue() == after.getvalue() != b""
    assert export.take_snapshot(project).count == 2


def test_a_snapshot_holds_only_the_newest_revisions(tmp_path: Path) -> None:
    project, better = make.project(), step([completion("wrong", 0), completion("right")], chosen=1)
    later = record(better, at="2022-08-01T00:00:00.000001")
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED), later), project=project)
    assert [json.loads(line)["timestamp"] for line in written(project)] == ["2022-08-01T00:00:00.000001"]


def test_a_snapshot_holds_one_project(tmp_path: Path) -> None:
    path, (one, other) = write(tmp_path / "f.jsonl", record(WALKED)), (make.project("one"), make.project("other"))
    ingest.load_solutions(path, project=one)
    assert export.take_snapshot(other).count == 0
    assert written(other) == []


@pytest.mark.django_db(transaction=True)
def test_snapshots_taken_at_once_are_numbered_one_by_one(tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED)), project=project)
    outcomes = make.at_once([lambda: export.take_snapshot(project)] * 8)
    assert {type(outcome) for outcome in outcomes} == {Snapshot}
    assert sorted(Snapshot.objects.values_list("number", "count")) == [(number, 1) for number in range(1, 9)]
    assert SnapshotItem.objects.count() == 8


# --- values for training -------------------------------------------------------------------------------------------------


def labeled(project: Project, **options: tuple[str, ...]) -> list[export.LabeledSteps]:
    return list(export.labeled_solutions(export.take_snapshot(project, **options)))


def test_labels_on_test_problems_are_stored_but_never_trained_on(tmp_path: Path) -> None:
    project = make.project()
    secret = {**record(WALKED), "question": {"problem": "planted", "ground_truth_answer": "1"}}
    ingest.load_solutions(write(tmp_path / "f.jsonl", secret), project=project, split="test")
    ingest.load_solutions(write(tmp_path / "g.jsonl", record(WALKED)), project=project)
    assert Annotation.objects.count() == 2
    assert [one.problem for one in labeled(project, splits=BOTH)] == ["What is 2 + 3?"]
    assert [json.loads(line)["question"]["problem"] for line in written(project)] == ["What is 2 + 3?"]
    assert len(written(project, splits=BOTH)) == 2


def test_a_problem_that_turned_out_to_be_a_test_problem_leaves_an_old_snapshot_untrained(tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED)), project=project)
    snapshot = export.take_snapshot(project)
    ingest.load_problems(write(tmp_path / "g.jsonl", {"problem": "What is 2 + 3?"}), project=project, split="test")
    assert list(export.labeled_solutions(snapshot)) == []


def test_labeled_solutions_have_a_rating_per_step_and_the_alternatives(tmp_path: Path) -> None:
    project = make.project()
    given_up = record(WALKED, step([completion("x", None), completion("y", -1)], human="mine"), step(None))
    ingest.load_solutions(write(tmp_path / "f.jsonl", given_up, pre_generated()), project=project)
    first, second = labeled(project)
    assert (first.steps, first.ratings, first.alternatives) == (("right", "mine"), (1, None), ((0, "wrong", -1), (1, "y", -1)))
    assert (second.steps, second.ratings) == (("Add.", "So 6.\n\n# Answer\n\n6"), (1, -1))
    assert second.alternatives == ((1, "So 5.", 1),)
    assert second.solution_id == Solution.objects.get(steps=list(second.steps)).pk


def test_a_walk_is_trained_on_along_what_was_gone_on_from(tmp_path: Path) -> None:
    project = with_alternatives(step_source="interactive")
    label(project, *WALKING, finish_reason="solution")
    (walk,) = labeled(project)
    assert (walk.steps, walk.ratings) == (("Count.", "It is 5.", "So 5.\n\n# Answer\n\n5"), (1, None, None))
    assert walk.alternatives == ((0, "Add.", -1), (1, "It is 6.", -1), (1, "Hm.", 0), (1, "It is five.", -1), (2, SUM[2], -1))


def test_a_walk_broken_off_is_trained_on_up_to_the_last_rating() -> None:
    project = with_alternatives(step_source="interactive")
    label(project, *WALKING[:4], finish_reason="give_up", reason="hard")
    (walk,) = labeled(project)
    assert (walk.steps, walk.ratings, walk.alternatives) == (("Count.", "It is 6."), (1, -1), ((0, "Add.", -1), (1, "Hm.", 0)))


def test_a_walk_without_a_rating_is_not_trained_on() -> None:
    project = with_alternatives(step_source="interactive")
    label(project, finish_reason="give_up", reason="hard")
    assert (labeled(project), len(written(project))) == ([], 1)


@pytest.mark.django_db(transaction=True)
def test_what_is_written_while_reading_labels_is_committed_at_once(tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED), record(WALKED, labeler=LEE)), project=project)
    for _ in export.labeled_solutions(export.take_snapshot(project)):
        Project.objects.update(name="beating")
        assert not connection.in_atomic_block and connection.get_autocommit()
    assert Project.objects.get().name == "beating"


def test_annotations_that_call_the_problem_bad_are_not_trained_on(tmp_path: Path) -> None:
    project = make.project()
    lines = [record(WALKED, finish_reason="bad_problem"), record(WALKED, labeler=LEE, finish_reason="give_up")]
    ingest.load_solutions(write(tmp_path / "f.jsonl", *lines), project=project)
    assert len(labeled(project)) == 1
    assert len(written(project)) == 2
    assert len(written(project, without=("bad_problem",))) == 1


# --- files ---------------------------------------------------------------------------------------------------------------


def test_an_export_is_a_file_with_its_hash_and_its_place(tmp_path: Path, settings: object) -> None:
    import hashlib

    settings.STEPMARK_HOME = tmp_path  # type: ignore[attr-defined]
    project = make.project()
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED)), project=project)
    snapshot = export.export_prm800k(project, tmp_path / "exports.jsonl")
    content = (tmp_path / "exports.jsonl").read_bytes()
    stored = Snapshot.objects.get()
    assert stored.sha256 == snapshot.sha256 == hashlib.sha256(content).hexdigest()
    assert (stored.file, stored.count) == ("exports.jsonl", 1)
    options = {"splits": ["train"], "without": [], "use": "dataset", "newcomers": True, "adjudications": "beside"}
    assert stored.spec == {**options, "left_out": []}
    assert export.export_prm800k(project, tmp_path / "exports.jsonl", overwrite=True).sha256 == stored.sha256


def test_an_export_that_breaks_off_leaves_the_old_file_and_no_snapshot(tmp_path: Path) -> None:
    project, path = make.project(), tmp_path / "out.jsonl"
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED)), project=project)
    path.write_text("the file of yesterday")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.export_prm800k(project, path, overwrite=True, progress=stop)
    assert path.read_text() == "the file of yesterday"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["f.jsonl", "out.jsonl"]
    assert not Snapshot.objects.exists()


def test_an_export_to_nowhere_is_refused_and_leaves_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(export.OutputRefused, match="none is not a folder that you can write to"):
        export.export_prm800k(make.project(), tmp_path / "none" / "out.jsonl")
    assert not Snapshot.objects.exists()


def test_an_export_replaces_a_file_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.project("sums")
    (tmp_path / "thesis.txt").write_text("years of work")
    command = ("export", "--project", "sums", "--out", str(tmp_path / "thesis.txt"))
    with pytest.raises(CommandError, match="already exists") as refused:
        call_command(*command)
    assert refused.value.returncode == 2 and (tmp_path / "thesis.txt").read_text() == "years of work"
    assert not Snapshot.objects.exists()
    with pytest.raises(CommandError, match="not an ordinary file"):
        call_command("export", "--project", "sums", "--out", "/dev/null", "--overwrite")
    call_command(*command, "--overwrite")
    assert "Wrote 0 annotations" in capsys.readouterr().out and (tmp_path / "thesis.txt").read_text() == ""


def test_the_commands_export_and_check(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest.load_solutions(samples / "prm800k/records.jsonl", project=make.project("sums"))
    path = str(tmp_path / "out.jsonl")
    call_command("export", "--project", "sums", "--out", path)
    call_command("check_export", path)
    said = capsys.readouterr().out
    assert "Wrote 6 annotations" in said and "6 PRM800K records" in said
    with pytest.raises(CommandError) as refused:
        call_command("export", "--project", "sums", "--out", str(tmp_path / "none" / "out.jsonl"))
    assert refused.value.returncode == 2
