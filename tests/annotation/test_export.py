"""Exported PRM800K records: imported records come back unchanged, and labels made here have the form of the published ones."""

import json
from pathlib import Path

import orjson
import pytest

from annotation import export, ingest, queue
from annotation.models import Problem
from tests import make
from tests.annotation.test_formats import completion, step, write
from tests.annotation.test_ingest import LEE, record
from tests.exports import BOTH, MINE, SUM, WALKING, label, pre_generated, with_alternatives, written

pytestmark = pytest.mark.django_db


# --- imported records come back ------------------------------------------------------------------------------------------


def test_records_come_back_with_the_order_of_their_keys(samples: Path) -> None:
    assert comes_back(samples / "prm800k/records.jsonl") == 6


def test_published_records_come_back_with_the_order_of_their_keys(data: Path) -> None:
    assert comes_back(data / "prm800k/original_6.jsonl") == 6


def comes_back(path: Path) -> int:
    project = make.project()
    ingest.load_solutions(path, project=project)
    originals = path.read_bytes().splitlines()
    for original, came_back in zip(originals, written(project), strict=True):
        assert came_back == orjson.dumps(json.loads(original))
    return len(originals)


def test_a_reconstructed_record_of_phase_1_comes_back_in_its_steps(samples: Path) -> None:
    assert steps_come_back(samples / "prm800k/phase1_reconstructed.jsonl") == (3, 3)


@pytest.mark.parametrize("n", [200, pytest.param(942, marks=pytest.mark.long)])
def test_every_published_reconstructed_record_of_phase_1_comes_back_in_its_steps(data: Path, tmp_path: Path, n: int) -> None:
    some = tmp_path / "records.jsonl"
    some.write_bytes(b"".join((data / "prm800k/phase1_train_reconstructed.jsonl").read_bytes().splitlines(keepends=True)[:n]))
    assert steps_come_back(some) == (n, n)


def steps_come_back(path: Path) -> tuple[int, int]:
    project = make.project()
    report = ingest.load_solutions(path, project=project)
    originals = [json.loads(line)["label"] for line in path.read_bytes().splitlines()]
    for original in originals:  # what the reconstruction added to the published record
        for labeled_step in original["steps"]:
            labeled_step.pop("_n_preferred", None)
            for shown in labeled_step["completions"] or ():
                shown.pop("error_reason", None)
    came_back = [json.loads(line)["label"] for line in written(project)]
    assert [json.dumps(label["steps"]) for label in came_back] == [json.dumps(label["steps"]) for label in originals]
    assert [label["finish_reason"] for label in came_back] == [label["finish_reason"] for label in originals]
    return report.annotations, report.new_annotations


def test_labeled_paths_pass_the_checker(samples: Path, tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(samples / "prm800k/labeled_paths.jsonl", project=project)
    snapshot = export.export_prm800k(project, tmp_path / "out.jsonl", splits=BOTH)
    report = export.check_prm800k(tmp_path / "out.jsonl")
    assert (snapshot.count, report.count, report.violations) == (3, 3, [])


def test_the_1818_published_paths_pass_the_checker(data: Path, tmp_path: Path) -> None:
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
    ingest.load_solutions(write(tmp_path / "f.jsonl", original, {**original, "labeler": LEE}), project=project, allow_broken=True)
    for came_back in written(project):
        assert json.loads(came_back)["label"] == original["label"]


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
    for screening_or_not in reversed(records) if reverse else records:
        ingest.load_solutions(write(tmp_path / "f.jsonl", screening_or_not), project=project)
    assert Problem.objects.get().answer == "5"
    came_back = [json.loads(line) for line in written(project)]
    assert sorted(came_back, key=lambda record: record["generation"]) == records


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
    assert [labeled_step["chosen_completion"] for labeled_step in error["label"]["steps"]] == [0, None]
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


SLIP = (1, -1, {"step": 1, "position": 2, "rating": 1}, {"step": 1, "position": 1, "rating": 0, "flagged": True})


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
