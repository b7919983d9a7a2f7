"""Snapshots that never change, PRM800K records as the published ones are, and a checker that knows neither."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from annotation import export, ingest, labels, queue
from annotation.export.prm800k import write_prm800k
from annotation.ingest import BadFile
from annotation.models import Annotation, Batch, Problem, Project, Snapshot, SnapshotItem, Solution, StepAlternative
from tests import make
from tests.annotation.test_formats import completion, step, write
from tests.annotation.test_ingest import KIM, LEE, WALKED, record

pytestmark = pytest.mark.django_db

BOTH = ("train", "test")


def written(project: Project, **options: tuple[str, ...]) -> list[bytes]:
    out = io.BytesIO()
    snapshot = export.take_snapshot(project, **options)
    assert write_prm800k(snapshot, out) == snapshot.count
    return out.getvalue().splitlines()


def label(project: Project, *ratings: int | labels.Rating, finish_reason: str, reason: str = "") -> Annotation:
    """Label the next solution: a rating for each step, then whatever else is said, as the browser sends it."""
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    return labels.submit(
        lease.assignment_id, labeler=ann, token=lease.token, submission_id=uuid4(), finish_reason=finish_reason, reason=reason,
        ratings=[{"step": index, "rating": one} if isinstance(one, int) else one for index, one in enumerate(ratings)],
        active_ms=4_000, total_ms=5_000,
    )  # fmt: skip


# --- the records of others come back -------------------------------------------------------------------------------------


def test_original_records_come_back_with_the_order_of_their_keys(data: Path) -> None:
    project, path = make.project(), data / "prm800k/original_6.jsonl"
    ingest.load_solutions(path, project=project)
    originals = path.read_bytes().splitlines()
    assert len(originals) == 6
    for original, came_back in zip(originals, written(project), strict=True):
        assert came_back == orjson.dumps(json.loads(original))


def test_every_reconstructed_record_of_phase_1_comes_back_in_its_steps(data: Path) -> None:
    project, path = make.project(), data / "prm800k/phase1_train_reconstructed.jsonl"
    report = ingest.load_solutions(path, project=project)
    assert (report.annotations, report.new_annotations) == (942, 942)
    originals = [json.loads(line)["label"] for line in path.read_bytes().splitlines()]
    for original in originals:  # what the reconstruction added to the published record
        for one in original["steps"]:
            one.pop("_n_preferred", None)
            for shown in one["completions"] or ():
                shown.pop("error_reason", None)
    came_back = [json.loads(line)["label"] for line in written(project)]
    assert [json.dumps(one["steps"]) for one in came_back] == [json.dumps(one["steps"]) for one in originals]
    assert [one["finish_reason"] for one in came_back] == [one["finish_reason"] for one in originals]


def test_the_1818_paths_pass_the_checker(data: Path, tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(data / "prm800k/phase2_labeled_paths_1818.jsonl", project=project)
    snapshot = export.export_prm800k(project, tmp_path / "out.jsonl", splits=BOTH)
    report = export.check_prm800k(tmp_path / "out.jsonl")
    assert (snapshot.count, report.count, report.violations) == (1_818, 1_818, [])


@pytest.mark.parametrize(
    "steps",
    [
        [step([completion("same", -1), completion("same", 0), completion("same")], chosen=2)],
        [step([completion("a", -1), completion("a", 0)], human="a"), step(None)],
        [step([completion("a", None), completion("b", None)])],
        [step([completion("", 1)], chosen=0), step([completion("a", 1, True), completion("b", 0, None)], chosen=0)],
        [step([completion("a", 1)], human="b", chosen=0)],
        [step(None, human="only mine")],
    ],
)
def test_odd_steps_come_back_too(tmp_path: Path, steps: list[dict]) -> None:
    project, original = make.project(), record(*steps)
    ingest.load_solutions(write(tmp_path / "f.jsonl", original, {**original, "labeler": LEE}), project=project)
    for came_back in written(project):
        assert json.loads(came_back)["label"] == original["label"]


def pre_generated(at: str = "2022-11-22T16:51:29.980606", generation: int = 6, **question: object) -> dict:
    steps = ["Add.", "So 6.\n\n# Answer\n\n6"]
    asked = {"problem": "What is 2 + 3?", "ground_truth_solution": "2 + 3 = 5", "ground_truth_answer": "5", **question}
    return {
        "labeler": KIM,
        "timestamp": at,
        "generation": generation,
        "is_quality_control_question": False,
        "is_initial_screening_question": generation == -1,
        "question": {**asked, "pre_generated_steps": steps, "pre_generated_answer": "6", "pre_generated_verifier_score": 0.5},
        "label": {
            "steps": [step([completion("Add.", 1, None)], chosen=0), step([completion(steps[1], -1, None), completion("So 5.", 1)])],
            "total_time": 9,
            "finish_reason": "found_error",
        },
    }


@pytest.mark.parametrize(
    "steps",
    [
        [step([completion("other"), completion("Add.", 0, None)], chosen=1)],
        [step([completion("nothing of the solution")])],
        [step([completion("Add.", 1, None)], chosen=0), step(None)],
        [step([completion("Add.", 1, None)], chosen=0)] * 3,
    ],
)
def test_odd_steps_of_a_whole_solution_come_back_too(tmp_path: Path, steps: list[dict]) -> None:
    project, original = make.project(), pre_generated()
    original["label"]["steps"] = steps
    ingest.load_solutions(write(tmp_path / "f.jsonl", original), project=project)
    assert [json.loads(line) for line in written(project)] == [original]


@pytest.mark.parametrize("reverse", [False, True])
def test_what_a_screening_record_hides_stays_hidden_when_another_tells_it(tmp_path: Path, reverse: bool) -> None:
    project = make.project()
    records = [pre_generated(generation=-1, ground_truth_solution=None, ground_truth_answer=None), pre_generated(generation=7)]
    for one in reversed(records) if reverse else records:
        ingest.load_solutions(write(tmp_path / "f.jsonl", one), project=project)
    assert Problem.objects.get().answer == "5"
    came_back = [json.loads(line) for line in written(project)]
    assert sorted(came_back, key=lambda one: one["generation"]) == records


def test_a_whole_second_comes_back_with_its_microseconds(tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(write(tmp_path / "f.jsonl", pre_generated(at="2022-11-22T16:51:29")), project=project)
    assert json.loads(written(project)[0])["timestamp"] == "2022-11-22T16:51:29.000000"


# --- our own labels ------------------------------------------------------------------------------------------------------


def test_our_own_annotations_leave_as_records_of_phase_2(tmp_path: Path) -> None:
    project = make.project()
    first, second = make.solutions(project, 2)
    queue.open_batch(project, [queue.Chosen(first.pk, priority=1, verifier_score=0.25), queue.Chosen(second.pk)])
    label(project, 1, -1, finish_reason="found_error")
    label(project, 1, 0, 1, finish_reason="solution")
    error, solution = [json.loads(line) for line in written(project)]
    assert error["generation"] == 0
    assert list(error["question"]) == list(pre_generated()["question"])
    assert error["question"]["pre_generated_steps"] == first.steps
    assert error["question"]["pre_generated_verifier_score"] == 0.25
    assert error["label"]["total_time"] == 5_000
    assert [one["chosen_completion"] for one in error["label"]["steps"]] == [0, None]
    assert solution["label"]["steps"][1] == step([completion(second.steps[1], 0, None)], chosen=0)
    assert error["labeler"] == solution["labeler"] == str(project.membership_set.get().export_uuid)
    path = write(tmp_path / "own.jsonl", error, solution)
    assert export.check_prm800k(path).violations == []


def test_giving_up_before_the_first_rating_leaves_a_step_without_completions(tmp_path: Path) -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    label(project, finish_reason="bad_problem", reason="nonsense")
    (line,) = written(project)
    assert json.loads(line)["label"]["steps"] == [step(None)]
    assert export.check_prm800k(write(tmp_path / "own.jsonl", line)).violations == []


SUM = ["Add.", "It is 6.", "So 6.\n\n# Answer\n\n6"]
SLIP = (1, -1, {"step": 1, "position": 2, "rating": 1}, {"step": 1, "position": 1, "rating": 0, "flagged": True})
MINE = {"step": 1, "rating": None, "text": "It is 5."}
WALKING = (
    {"step": 0, "rating": -1}, {"step": 0, "position": 1, "rating": 1, "chosen": True},
    {"step": 1, "rating": -1}, {"step": 1, "position": 1, "rating": 0}, {"step": 1, "position": 2, "rating": -1, "flagged": True}, MINE,
    {"step": 2, "rating": -1}, {"step": 2, "text": "So 5.\n\n# Answer\n\n5"},
)  # fmt: skip


def with_alternatives(**fields: object) -> Project:
    """A project with one solution of three steps, which has an alternative at its first step and two at its second."""
    project = make.project(**fields)
    solution = make.solution(make.problem(project), SUM, final_answer="6")
    for index, position, text in ((0, 1, "Count."), (1, 1, "Hm."), (1, 2, "It is five.")):
        StepAlternative.objects.create(solution=solution, step_index=index, position=position, text=text)
    make.batch(project, [solution])
    return project


@pytest.mark.parametrize("mine", [(), (MINE,)], ids=["", "and one written by hand"])
def test_alternatives_at_the_first_mistake_leave_as_in_phase_2(tmp_path: Path, mine: tuple) -> None:
    project = with_alternatives(alternatives_after_error=True)
    label(project, *SLIP, *mine, finish_reason="found_error")
    (line,) = written(project)
    assert json.loads(line)["label"]["steps"] == [
        step([completion("Add.", 1, None)], chosen=0),
        step(
            [completion("It is 6.", -1, None), completion("Hm.", 0, True), completion("It is five.", 1, False)],
            human="It is 5." if mine else None,
        ),
    ]
    report = export.check_prm800k(write(tmp_path / "own.jsonl", line))
    assert (report.violations, report.gaps["a human completion at the first mistake"]) == ([], len(mine))


def test_a_walk_leaves_as_a_record_of_phase_1(tmp_path: Path) -> None:
    project = with_alternatives(step_source="interactive")
    label(project, *WALKING, finish_reason="solution")
    (line,) = written(project)
    left = json.loads(line)
    assert (left["generation"], left["is_initial_screening_question"]) == (None, False)
    assert left["question"] == {"problem": Problem.objects.get().statement, "ground_truth_answer": Problem.objects.get().answer}
    assert left["label"]["steps"] == [
        step([completion("Add.", -1), completion("Count.", 1)], chosen=1),
        step([completion("It is 6.", -1), completion("Hm.", 0), completion("It is five.", -1, True)], human="It is 5."),
        step([completion(SUM[2], -1)], human="So 5.\n\n# Answer\n\n5"),
    ]
    report = export.check_prm800k(write(tmp_path / "own.jsonl", line))
    assert (report.violations, dict(report.gaps)) == ([], {})


@pytest.mark.parametrize("sent", [(), WALKING[:2], WALKING[:3]], ids=["at once", "after a choice", "amid a step"])
def test_a_walk_broken_off_leaves_its_last_step_as_phase_1_does(tmp_path: Path, sent: tuple) -> None:
    project = with_alternatives(step_source="interactive")
    label(project, *sent, finish_reason="give_up", reason="hard")
    (line,) = written(project)
    last = json.loads(line)["label"]["steps"][-1]
    assert (last["chosen_completion"], last["human_completion"], last["completions"][-1]["rating"]) == (None, None, None)
    assert export.check_prm800k(write(tmp_path / "own.jsonl", line)).violations == []


@pytest.mark.parametrize(
    ("fields", "sent", "finish_reason"),
    [
        ({"alternatives_after_error": True}, SLIP, "found_error"),
        ({"alternatives_after_error": True}, (*SLIP, MINE), "found_error"),
        ({"alternatives_after_error": True}, (), "give_up"),
        ({"step_source": "interactive"}, WALKING, "solution"),
        ({"step_source": "interactive"}, WALKING[:3], "give_up"),
        ({"step_source": "interactive"}, (), "bad_problem"),
    ],
    ids=["phase 2", "phase 2 by hand", "phase 2 given up", "phase 1", "phase 1 given up", "phase 1 at once"],
)
@pytest.mark.parametrize("into", ["solution", "interactive"])
def test_what_people_labeled_here_comes_back_from_a_file(tmp_path: Path, fields: dict, sent: tuple, finish_reason: str, into: str) -> None:
    project, other = with_alternatives(**fields), make.project("other", step_source=into)
    label(project, *sent, finish_reason=finish_reason, reason="because")
    (line,) = written(project)
    ingest.load_solutions(write(tmp_path / "own.jsonl", line), project=other)
    assert written(other) == [line]


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
    assert (stored.file, stored.count, stored.spec) == ("exports.jsonl", 1, {"splits": ["train"], "without": []})
    assert export.export_prm800k(project, tmp_path / "exports.jsonl").sha256 == stored.sha256


def test_an_export_that_breaks_off_leaves_the_old_file_and_no_snapshot(tmp_path: Path) -> None:
    project, path = make.project(), tmp_path / "out.jsonl"
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED)), project=project)
    path.write_text("the file of yesterday")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.export_prm800k(project, path, progress=stop)
    assert path.read_text() == "the file of yesterday"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["f.jsonl", "out.jsonl"]
    assert not Snapshot.objects.exists()


def test_an_export_to_nowhere_is_refused_and_leaves_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"cannot be written \(No such file or directory\)"):
        export.export_prm800k(make.project(), tmp_path / "none" / "out.jsonl")
    assert not Snapshot.objects.exists()


def test_the_commands_export_and_check(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest.load_solutions(data / "prm800k/original_6.jsonl", project=make.project("sums"))
    path = str(tmp_path / "out.jsonl")
    call_command("export", "--project", "sums", "--out", path)
    call_command("check_export", path)
    said = capsys.readouterr().out
    assert "Wrote 6 annotations" in said and "6 PRM800K records" in said
    with pytest.raises(CommandError) as refused:
        call_command("export", "--project", "sums", "--out", str(tmp_path / "none" / "out.jsonl"))
    assert refused.value.returncode == 2


# --- the checker ---------------------------------------------------------------------------------------------------------


def at(record: dict, *path: str | int) -> dict:
    for key in path:
        record = record[key]  # type: ignore[index]
    return record


ERROR, WALK, GIVEN_UP, SCREENING = 1, 0, 4, 5  # places in original_6.jsonl
LAST = ("label", "steps", 6)
BENT: list[tuple[int, str, Callable[[dict], object]]] = [
    (ERROR, "the record has the keys", lambda r: r.update(extra=1)),
    (ERROR, "the record has the keys", lambda r: r.update(labeler=r.pop("labeler"))),
    (ERROR, "labeler is no lower-case UUID", lambda r: r.update(labeler=r["labeler"].upper())),
    (ERROR, "timestamp does not look like", lambda r: r.update(timestamp=r["timestamp"] + "Z")),
    (ERROR, "timestamp does not look like", lambda r: r.update(timestamp=r["timestamp"][:19])),
    (ERROR, "question has the keys", lambda r: r.update(generation=None)),
    (WALK, "question has the keys", lambda r: r.update(generation=1)),
    (WALK, "question has the keys", lambda r: r["question"].update(ground_truth_solution=None)),
    (ERROR, "generation is neither", lambda r: r.update(generation=True)),
    (ERROR, "is_quality_control_question is not", lambda r: r.update(is_quality_control_question=0)),
    (SCREENING, "is_initial_screening_question must be", lambda r: r.update(is_initial_screening_question=False)),
    (ERROR, "pre_generated_steps is no list", lambda r: r["question"].update(pre_generated_steps=[])),
    (ERROR, "pre_generated_answer is not the answer", lambda r: r["question"].update(pre_generated_answer="7201")),
    (ERROR, "pre_generated_verifier_score is no number", lambda r: r["question"].update(pre_generated_verifier_score="0.1")),
    (ERROR, "total_time is no number", lambda r: r["label"].update(total_time=1.5)),
    (ERROR, "finish_reason is 'done'", lambda r: r["label"].update(finish_reason="done")),
    (ERROR, "label.steps is empty", lambda r: r["label"].update(steps=[])),
    (ERROR, "longer than question.pre_generated_steps", lambda r: r["label"].update(steps=r["label"]["steps"][:1] * 14)),
    (ERROR, "is not the pre-generated step", lambda r: at(r, "label", "steps", 0, "completions", 0).update(text="other")),
    (ERROR, "flagged is False: null or true", lambda r: at(r, "label", "steps", 0, "completions", 0).update(flagged=False)),
    (ERROR, "flagged is None: null or true", lambda r: at(r, *LAST, "completions", 1).update(flagged=None)),
    (ERROR, "neither a rating nor a flag", lambda r: at(r, "label", "steps", 0, "completions", 0).update(rating=None)),
    (ERROR, "rating is 2", lambda r: at(r, "label", "steps", 0, "completions", 0).update(rating=2)),
    (ERROR, "completion rated -1", lambda r: at(r, "label", "steps", 0, "completions", 0).update(rating=-1)),
    (ERROR, "nothing was chosen", lambda r: at(r, "label", "steps", 0).update(chosen_completion=None)),
    (ERROR, "chosen_completion is no place", lambda r: at(r, "label", "steps", 0).update(chosen_completion=1)),
    (ERROR, "found_error, but", lambda r: at(r, *LAST, "completions", 0).update(rating=0)),
    (ERROR, "a human completion", lambda r: at(r, "label", "steps", 0).update(human_completion=step(None, human="a")["human_completion"])),
    (WALK, "rated 0; in phase 1 only", lambda r: at(r, "label", "steps", 0, "completions", 0).update(rating=0)),
    (WALK, "human_completion has the keys", lambda r: at(r, "label", "steps", 1, "human_completion").pop("source")),
    (WALK, "human_completion is bent", lambda r: at(r, "label", "steps", 1, "human_completion").update(rating=1)),
    (WALK, "neither null nor a filled list", lambda r: at(r, "label", "steps", 0).update(completions=[])),
    (WALK, "nothing was chosen at the last step", lambda r: at(r, "label", "steps", 5).update(chosen_completion=None)),
    (GIVEN_UP, "has no completion and is not the last", lambda r: r["label"]["steps"].insert(2, step(None))),
]  # fmt: skip


@pytest.mark.parametrize(("place", "said", "bend"), BENT, ids=[f"{number} {said}" for number, (_, said, _) in enumerate(BENT)])
def test_the_checker_finds_what_is_bent(data: Path, tmp_path: Path, place: int, said: str, bend: Callable[[dict], object]) -> None:
    records = [json.loads(line) for line in (data / "prm800k/original_6.jsonl").read_bytes().splitlines()]
    bend(records[place])
    report = export.check_prm800k(write(tmp_path / "bent.jsonl", *records))
    assert [line for line, _ in report.violations] == [place + 1]
    assert said in report.violations[0][1]


def test_the_checker_finds_nothing_in_the_originals(data: Path) -> None:
    report = export.check_prm800k(data / "prm800k/original_6.jsonl")
    assert (report.count, report.violations, dict(report.gaps)) == (6, [], {})


def test_values_that_a_source_lost_are_gaps_and_no_violations(tmp_path: Path) -> None:
    lost = pre_generated(ground_truth_solution=None)
    lost["label"]["total_time"] = None
    report = export.check_prm800k(write(tmp_path / "f.jsonl", lost))
    assert (report.violations, dict(report.gaps)) == ([], {"no ground_truth_solution": 1, "no total_time": 1})


@pytest.mark.parametrize("line", [b"{", b'{"a": 1, "a": 2}', b"[]", b"\xff", b""])
def test_the_checker_refuses_a_line_that_is_no_record(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(BadFile) as bad:
        export.check_prm800k(write(tmp_path / "f.jsonl", pre_generated(), line))
    assert bad.value.line == 2


def test_the_check_command_names_line_and_reason(tmp_path: Path) -> None:
    bent = {**pre_generated(), "labeler": "ann"}
    with pytest.raises(CommandError) as refused:
        call_command("check_export", str(write(tmp_path / "f.jsonl", pre_generated(), bent)))
    assert refused.value.returncode == 2
    assert "f.jsonl line 2: labeler is no lower-case UUID." in str(refused.value)


def test_the_checker_does_not_know_the_writer() -> None:
    from annotation.export import checker

    assert "prm800k" not in vars(checker) and "write_prm800k" not in Path(checker.__file__).read_text()
