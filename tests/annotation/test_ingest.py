"""Loading into the tables: all or nothing, loading again changes nothing, and labels from a file keep their values."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from annotation import ingest
from annotation.ingest import BadFile, BadProject, NewProblem, NewSolution, staging
from annotation.models import Annotation, Assignment, Batch, Membership, Problem, Project, Solution, StepAlternative, StepLabel, Task
from tests import make
from tests.annotation.test_formats import GENERIC, completion, step, write
from trainer.formats import FORMATS, blocks, cut_solution

pytestmark = pytest.mark.django_db

TABLES = [User, Membership, Problem, Solution, StepAlternative, Batch, Task, Assignment, Annotation, StepLabel]
KIM, LEE = "e90a38f3-3135-4465-87af-3e6322e3d772", "cc88bf76-df08-4041-be67-3464279cb3b1"


def counts() -> dict[str, int]:
    return {table.__name__: table.objects.count() for table in TABLES}


def record(
    *steps: dict, labeler: str | None = KIM, at: str = "2022-07-30T23:23:32.118856", finish_reason: str = "give_up", **more: object
) -> dict:
    label = {"steps": list(steps), "total_time": 293250, "finish_reason": finish_reason}
    question = {"problem": "What is 2 + 3?", "ground_truth_answer": "5"}
    return {"labeler": labeler, "timestamp": at, "generation": None, "question": question, "label": label, **more}


WALKED = step([completion("wrong", -1), completion("right")], chosen=1)


def test_loading_a_file_twice_changes_nothing(samples: Path) -> None:
    project = make.project()
    first = ingest.load_solutions(samples / "prm800k/records.jsonl", project=project)
    stored = counts()
    again = ingest.load_solutions(samples / "prm800k/records.jsonl", project=project)
    assert (first.new_problems, first.new_solutions, first.new_annotations) == (6, 6, 6)
    assert (again.new_problems, again.new_solutions, again.new_annotations) == (0, 0, 0)
    assert counts() == stored


def test_a_bad_line_leaves_nothing_of_the_lines_before(tmp_path: Path) -> None:
    project, before = make.project(), counts()
    lines = [{**GENERIC, "problem": f"p{number}"} for number in range(2_500)]
    with pytest.raises(BadFile) as bad:
        ingest.load_solutions(write(tmp_path / "bad.jsonl", *lines, b"{"), project=project)
    assert bad.value.line == 2_501
    assert counts() == before


def known_rows(table: str) -> float:
    """How many rows the planner expects in a table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [table])
        rows: float = cursor.fetchone()[0]
    return rows


MANY = 600  # rows of a table that a load fills
FILLED = [table._meta.db_table for table in (Solution, StepAlternative, Task, Assignment, Annotation, StepLabel)]


@pytest.fixture
def many_after_a_failure(tmp_path: Path) -> tuple[Project, Path]:
    """A project whose last load broke off while it stored: its rows are gone, their pages stay, the planner takes the tables for empty."""
    project = make.project()
    shown = [step([completion(f"step {number}"), completion(f"other {number}", 0)], chosen=0) for number in range(MANY)]
    lines = [record(one, step([completion("wrong", -1)], human="mine")) for one in shown]
    path = write(tmp_path / "many.jsonl", *lines)
    with transaction.atomic():
        ingest.load_solutions(path, project=project)
        transaction.set_rollback(True)  # as if its process had been killed
    make.statistics()
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(relpages) > 0, max(reltuples) FROM pg_class WHERE oid = ANY(%s::regclass[])", [FILLED])
        assert cursor.fetchone() == (True, 0)
    return project, path


def test_the_planner_knows_a_large_load_at_once_also_after_one_that_failed(many_after_a_failure: tuple[Project, Path]) -> None:
    project, path = many_after_a_failure
    ingest.load_solutions(path, project=project)
    stored = {table._meta.db_table: table.objects.count() for table in TABLES}
    assert {table: known_rows(table) for table in FILLED} == {table: stored[table] for table in FILLED}
    assert min(stored[table] for table in FILLED) >= MANY


def test_no_statement_of_a_load_joins_a_table_that_the_planner_takes_for_half_as_large(many_after_a_failure: tuple[Project, Path]) -> None:
    """It would read another table whole for each row: 65 s for the labels of 1,818 lines."""
    project, path = many_after_a_failure
    joined: dict[str, float] = {}

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        for table in set(re.findall(r"(?:FROM|JOIN) (annotation_\w+)", sql)):
            with connection.connection.cursor() as cursor:  # of psycopg, which this wrapper does not hear
                [(rows, known)] = cursor.execute(
                    f"SELECT count(*), (SELECT reltuples FROM pg_class WHERE oid = '{table}'::regclass) FROM {table}"
                ).fetchall()
            if rows >= MANY:
                joined[table] = min(joined.get(table, 1), known / rows)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        ingest.load_solutions(path, project=project)
    assert {table for table, share in joined.items() if share < 0.5} == set()
    assert set(joined) >= {"annotation_solution", "annotation_task", "annotation_assignment", "annotation_stepalternative"}


def test_a_small_load_does_not_read_the_statistics_of_large_tables(tmp_path: Path) -> None:
    project = make.project()
    make.statistics()
    ingest.load_solutions(write(tmp_path / "small.jsonl", record(step([completion("one", -1)]))), project=project)
    assert known_rows("annotation_solution") == 0 == known_rows("annotation_annotation")


def test_gsm8k_solutions_load_and_are_graded_as_their_file_says(samples: Path) -> None:
    counted, share = agreement(samples / "gsm8k/example_model_solutions.jsonl")
    assert (counted, share) == ((80, 80, 20), 1)


def test_the_published_gsm8k_solutions_load_and_are_graded_as_their_file_says(data: Path) -> None:
    counted, share = agreement(data / "gsm8k/example_model_solutions.jsonl")
    assert counted == (5_276, 5_268, 1_319) and share >= 0.995


def agreement(path: Path) -> tuple[tuple[int, int, int], float]:
    """Load a file of GSM8K solutions; return solutions, new ones and problems, and the share graded as the file says."""
    project = make.project()
    report = ingest.load_solutions(path, project=project)
    stored = {
        (s.problem.statement, tuple(s.steps)): s.outcome
        for s in Solution.objects.filter(problem__project=project).select_related("problem")
    }
    agree = 0
    for line in path.read_text().splitlines():
        fields = json.loads(line)
        told = [value["is_correct"] for value in fields.values() if isinstance(value, dict)]
        solutions = [cut_solution(solution, by="lines") for solution in FORMATS["gsm8k_solutions"].solutions(fields)]  # type: ignore[misc]
        agree += sum(
            (stored[s.problem.statement, s.steps] == "correct") == is_correct for s, is_correct in zip(solutions, told, strict=True)
        )
    return (report.solutions, report.new_solutions, report.new_problems), agree / report.solutions


def test_equal_solutions_of_one_problem_are_one_row(tmp_path: Path) -> None:
    project = make.project()
    report = ingest.load_solutions(write(tmp_path / "f.jsonl", GENERIC, {**GENERIC, "problem": "another"}, GENERIC), project=project)
    assert (report.solutions, report.new_solutions, report.new_problems) == (3, 2, 2)


def test_every_answer_is_graded_and_one_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    project = make.project()
    answers = {"5.0": "correct", "6": "wrong", "5+John's age": "unsure", "": "ungraded"}
    lines = [{**GENERIC, "steps": [f"way {answer}\n\n# Answer\n\n{answer}"]} for answer in answers]
    report = ingest.load_solutions(write(tmp_path / "f.jsonl", *lines), project=project)
    stored = list(Solution.objects.order_by("pk"))
    assert [solution.outcome for solution in stored] == list(answers.values())
    assert "cannot tell" in stored[2].outcome_reason and "states no answer" in stored[3].outcome_reason
    assert all(solution.grader for solution in stored)
    assert report.outcomes == {"correct": 1, "wrong": 1, "unsure": 1, "ungraded": 1}
    assert report.ungraded == {stored[3].outcome_reason: 1}


def test_a_text_is_stored_byte_for_byte(tmp_path: Path) -> None:
    nasty = 'é\u00a0\u2028‮ \\frac{1}{2} \\N \\. \t "quoted" \\\\ 😀 \x01\x02\x7f $x_1$\r\nend'
    ingest.load_solutions(write(tmp_path / "f.jsonl", {"problem": nasty, "answer": nasty, "steps": [nasty]}), project=make.project())
    solution = Solution.objects.select_related("problem").get()
    assert (solution.problem.statement, solution.problem.answer, solution.steps) == (nasty, nasty, [nasty])
    assert bytes(solution.digest) == ingest.digest([nasty])


def test_a_problem_without_id_finds_the_one_with_its_statement(tmp_path: Path, samples: Path) -> None:
    project = make.project()
    ingest.load_problems(samples / "math/math500.jsonl", project=project)
    statement = json.loads((samples / "math/math500.jsonl").read_text().splitlines()[0])["problem"]
    report = ingest.load_solutions(write(tmp_path / "f.jsonl", {"problem": statement, "steps": ["a"]}), project=project)
    assert report.new_problems == 0
    assert Solution.objects.get().problem.external_id == "test/algebra/1.json"
    assert Problem.objects.count() == 3


def test_one_id_for_two_statements_is_refused(tmp_path: Path) -> None:
    project = make.project()
    with pytest.raises(BadFile, match="line 2: the problem id 'a'"):
        ingest.load_problems(write(tmp_path / "f.jsonl", {"problem": "p", "id": "a"}, {"problem": "q", "id": "a"}), project=project)
    ingest.load_problems(write(tmp_path / "f.jsonl", {"problem": "p", "id": "a"}), project=project)
    with pytest.raises(BadFile, match="line 1: the problem id 'a'"):
        ingest.load_problems(write(tmp_path / "f.jsonl", {"problem": "q", "id": "a"}), project=project)
    assert Problem.objects.get().statement == "p"


def test_what_a_problem_lacks_is_filled_in_and_what_it_has_stays(tmp_path: Path) -> None:
    project = make.project()
    ingest.load_problems(write(tmp_path / "f.jsonl", {"problem": "p"}, {"problem": "q", "answer": "1"}), project=project)
    later = [{"problem": "p", "answer": "2"}, {"problem": "q", "answer": "3", "subject": "Sums"}]
    report = ingest.load_problems(write(tmp_path / "f.jsonl", *later), project=project)
    assert list(Problem.objects.order_by("statement").values_list("statement", "answer", "subject")) == [("p", "2", ""), ("q", "1", "Sums")]
    assert any(note.startswith("1 problem keeps its reference answer") for note in report.notes)


def test_a_test_problem_stays_one_whatever_a_later_file_says(tmp_path: Path) -> None:
    project = make.project()
    ingest.load_problems(write(tmp_path / "f.jsonl", {"problem": "p"}), project=project, split="test")
    ingest.load_problems(write(tmp_path / "f.jsonl", {"problem": "p", "answer": "2"}), project=project, split="train")
    problem = Problem.objects.get()
    assert (problem.answer, problem.split) == ("2", "test")


def test_a_train_problem_becomes_a_test_problem_when_a_file_says_so(tmp_path: Path) -> None:
    project, path = make.project(), write(tmp_path / "f.jsonl", {"problem": "p"})
    ingest.load_problems(path, project=project)
    ingest.load_problems(path, project=project, split="test")
    assert Problem.objects.get().split == "test"


def test_the_source_is_that_of_the_file_or_else_the_one_given(tmp_path: Path) -> None:
    lines = [GENERIC, {**GENERIC, "steps": ["b"], "source": "gpt"}]
    ingest.load_solutions(write(tmp_path / "f.jsonl", *lines), project=make.project(), source="ours")
    assert list(Solution.objects.order_by("pk").values_list("source", flat=True)) == ["ours", "gpt"]


def shown() -> list[tuple[int, int, str]]:
    return list(StepAlternative.objects.order_by("step_index", "position").values_list("step_index", "position", "text"))


def test_alternatives_load_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    project = make.project()
    path = write(tmp_path / "f.jsonl", {**GENERIC, "alternatives": {"1": ["So 6.", "Count.", GENERIC["steps"][0], "So 6."]}})
    first, again = (ingest.load_solutions(path, project=project) for _ in range(2))
    assert shown() == [(0, 1, "So 6."), (0, 2, "Count.")]
    assert (first.alternatives, first.new_alternatives, again.new_alternatives) == (4, 2, 0)
    assert "2 new alternatives (4 in the file)" in str(first)


def test_later_alternatives_stand_behind_those_there_whoever_wrote_them(tmp_path: Path) -> None:
    project = make.project()
    ingest.load_solutions(write(tmp_path / "f.jsonl", GENERIC), project=project)
    mine = {"solution": Solution.objects.get(), "step_index": 0, "position": 1, "text": "Count.", "author": make.ann(project)}
    StepAlternative.objects.create(**mine)
    report = ingest.load_solutions(write(tmp_path / "g.jsonl", {**GENERIC, "alternatives": [["Count.", "So 6."]]}), project=project)
    assert (report.new_solutions, report.new_alternatives) == (0, 2)
    assert shown() == [(0, 1, "Count."), (0, 2, "Count."), (0, 3, "So 6.")]


def test_the_report_names_the_format_its_signs_and_the_keys_that_were_not_used(tmp_path: Path) -> None:
    lines = [{**GENERIC, "uuid": number, "note": "" if number else None} for number in range(3)]
    report = ingest.load_solutions(write(tmp_path / "f.jsonl", *lines), project=make.project())
    assert "The format is generic: the file has problem (a text)." in str(report)
    assert "2 keys were not used: uuid (3), note (2)." in str(report)
    report = ingest.load_problems(write(tmp_path / "f.jsonl", GENERIC), project=make.project("more"), format="generic")
    assert "1 key was not used: steps (1)." in str(report) and "The format is" not in str(report)


@pytest.mark.parametrize("number", ["1e400", "0.10", "9" * 5_000, "-0"], ids=lambda number: number[:10])
def test_a_number_is_stored_and_graded_with_the_digits_it_was_written_with(tmp_path: Path, number: str) -> None:
    line = f'{{"problem": "p", "answer": {number}, "id": {number[:200]}, "steps": ["# Answer\\n\\n{number}"]}}'
    ingest.load_solutions(write(tmp_path / "f.jsonl", line.encode()), project=make.project())
    solution = Solution.objects.get()
    assert (solution.problem.answer, solution.problem.external_id) == (number, number[:200])
    assert solution.outcome == "correct"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_load_as_lines_do_and_name_the_place_of_an_error(tmp_path: Path, kind: str) -> None:
    rows = [
        {"id": "007", "problem": "p", "answer": "0.10", "solution": "a\n\n# Answer\n\n0.1"},
        {"id": "8", "problem": " ", "solution": "b"},
    ]
    path = tmp_path / f"f.{kind}"

    def save(*rows: dict) -> Path:
        frame = pyarrow.Table.from_pylist(list(rows))
        pyarrow.csv.write_csv(frame, path) if kind == "csv" else pyarrow.parquet.write_table(frame, path)
        return path

    report = ingest.load_solutions(save(rows[0]), project=make.project())
    assert (report.new_solutions, report.outcomes) == (1, {"correct": 1})
    assert Problem.objects.get().external_id == "007" and Problem.objects.get().answer == "0.10"
    with pytest.raises(BadFile, match="line 7: the problem is empty" if kind == "csv" else "row 2: the problem is empty"):
        ingest.load_solutions(save(*rows), project=make.project("more"))


def test_values_load_as_files_do() -> None:
    project, problem = make.project(), NewProblem("What is 2 + 3?", "5", external_id="sum-1", subject="Sums", level="1")
    rows = [NewSolution(problem, (f"way {way}\n\n# Answer\n\n{way}",), str(way), "us") for way in range(5, 8)]
    report = ingest.add_solutions(project, iter(rows))
    assert report.outcomes == {"correct": 1, "wrong": 2}
    assert ingest.add_solutions(project, rows).new_solutions == 0
    with pytest.raises(BadFile, match="values line 2: the solution is empty"):
        ingest.add_solutions(project, [rows[0], NewSolution(problem, ())])


def test_a_load_stopped_after_its_problems_were_stored_leaves_nothing(tmp_path: Path) -> None:
    project, before = make.project(), counts()

    def stop(stage: str, done: int, total: int | None) -> None:
        if stage == "storing":
            assert Problem.objects.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest.load_solutions(write(tmp_path / "f.jsonl", GENERIC), project=project, progress=stop)
    assert counts() == before


def test_progress_is_told_per_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 20_000)
    told: list[tuple[str, int, int | None]] = []
    path = write(tmp_path / "f.jsonl", *[{**GENERIC, "steps": [str(number)]} for number in range(1_200)])
    ingest.load_solutions(path, project=make.project(), progress=lambda *progress: told.append(progress))
    read = [done for stage, done, _ in told if stage == "reading"]
    assert len(read) > 1 and read == sorted(read)
    assert ("reading", path.stat().st_size, path.stat().st_size) in told
    assert {stage for stage, _, _ in told} == {"reading", "grading", "storing"}


def stored_labels(project: Project) -> list[tuple[object, ...]]:
    """All annotations of a project as their file gave them, in order, each with its labels."""
    rows = Annotation.objects.filter(solution__problem__project=project).select_related("supersedes", "assignment").order_by("pk")
    return [
        (
            bytes(row.body_hash), row.revision, row.supersedes and bytes(row.supersedes.body_hash), row.assignment.slot,
            list(StepLabel.objects.filter(annotation=row).order_by("pk").values_list("step_index", "position", "rating", "chosen")),
        )
        for row in rows
    ]  # fmt: skip


def test_labels_are_stored_part_by_part_and_told_and_are_the_same_as_at_once(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = tmp_path / "twice.jsonl", list[tuple[str, int, int | None]]()
    path.write_bytes((samples / "prm800k/records.jsonl").read_bytes() * 2)
    once, parts = make.project("once"), make.project("parts")
    ingest.load_solutions(path, project=once)
    monkeypatch.setattr(staging, "CHUNK", 2)
    report = ingest.load_solutions(path, project=parts, progress=lambda *progress: told.append(progress))
    assert stored_labels(parts) == stored_labels(once) and len(stored_labels(once)) == report.new_annotations > 4
    done = [done for stage, done, total in told if stage == "storing labels" and total == report.annotations]
    assert done == [*range(0, report.annotations, 2), report.annotations]


# --- labels that came from a file ----------------------------------------------------------------------------------------


def test_a_labeler_of_a_file_is_an_inactive_account_with_the_files_pseudonym(samples: Path) -> None:
    project = make.project()
    ingest.load_solutions(samples / "prm800k/records.jsonl", project=project)
    people = Membership.objects.filter(project=project).select_related("user")
    assert {str(member.export_uuid) for member in people} >= {KIM, LEE}
    assert len(people) == 4
    assert not any(member.user.is_active or member.user.has_usable_password() for member in people)


def test_two_projects_take_the_same_file(samples: Path) -> None:
    for slug in ("one", "two"):
        report = ingest.load_solutions(samples / "prm800k/records.jsonl", project=make.project(slug))
        assert report.new_annotations == 6
    assert User.objects.count() == 4


def test_imported_labels_keep_generation_time_and_score(samples: Path) -> None:
    ingest.load_solutions(samples / "prm800k/records.jsonl", project=make.project())
    annotation = Annotation.objects.get(assignment__batch__generation=6)
    assert annotation.created_at.isoformat() == "2022-11-22T16:51:29.980606+00:00"
    assert (annotation.total_ms, annotation.active_ms, annotation.finish_reason) == (164458, None, "found_error")
    assert annotation.assignment.task.verifier_score == 0.0011546110201324836
    assert annotation.assignment.state == "done"
    assert set(Batch.objects.values_list("kind", "state", "generation")) == {
        ("imported", "closed", generation) for generation in (None, 6, -1)
    }


def test_quality_control_records_have_a_batch_of_their_own(tmp_path: Path) -> None:
    lines = [record(WALKED), record(WALKED, labeler=LEE, is_quality_control_question=True)]
    ingest.load_solutions(write(tmp_path / "f.jsonl", *lines), project=make.project())
    assert sorted(Batch.objects.values_list("kind", flat=True)) == ["imported", "imported_gold"]


def test_several_people_label_one_solution_on_assignments_of_one_task(tmp_path: Path) -> None:
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED), record(WALKED, labeler=LEE)), project=make.project())
    task = Task.objects.get()
    assert task.overlap == 2
    assert list(Assignment.objects.order_by("slot").values_list("slot", "state")) == [(0, "done"), (1, "done")]
    assert StepAlternative.objects.count() == 1  # both saw the same other text


def test_the_same_person_twice_on_a_solution_is_a_revision(tmp_path: Path) -> None:
    project = make.project()
    later, latest = "2022-08-01T00:00:00.000001", "2022-08-02T00:00:00.000001"
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(WALKED), record(WALKED, at=later)), project=project)
    ingest.load_solutions(write(tmp_path / "g.jsonl", record(WALKED, at=latest)), project=project)
    revisions = list(Annotation.objects.order_by("revision"))
    assert [annotation.revision for annotation in revisions] == [1, 2, 3]
    assert [annotation.supersedes for annotation in revisions] == [None, revisions[0], revisions[1]]
    assert Assignment.objects.count() == 1


def test_labels_without_a_labeler_are_somebody_elses_each_time(tmp_path: Path) -> None:
    project, rated = make.project(), {"problem": "p", "steps": [{"text": "a", "rating": 1}]}
    ingest.load_solutions(write(tmp_path / "f.jsonl", rated, rated), project=project)
    ingest.load_solutions(write(tmp_path / "g.jsonl", {**rated, "note": "another file"}), project=project)
    assert Annotation.objects.filter(revision=1).count() == 3
    assert Annotation.objects.values("labeler").distinct().count() == 3


def test_the_same_text_twice_among_completions_keeps_both_ratings(tmp_path: Path) -> None:
    shown = [completion("same", -1), completion("same", 0), completion("own"), completion("own", 0)]
    ingest.load_solutions(
        write(tmp_path / "f.jsonl", record(step(shown, chosen=2)), record(step(shown, chosen=2), labeler=LEE)), project=make.project()
    )
    assert Solution.objects.get().steps == ["own"]
    assert list(StepAlternative.objects.order_by("position").values_list("position", "text")) == [(1, "same"), (2, "same"), (3, "own")]
    for annotation in Annotation.objects.all():
        labels = StepLabel.objects.filter(annotation=annotation).order_by("shown_at").values_list("position", "rating", "chosen")
        assert list(labels) == [(1, -1, False), (2, 0, False), (0, 1, True), (3, 0, False)]


def test_a_later_file_adds_alternatives_behind_those_there(tmp_path: Path) -> None:
    project, path = make.project(), tmp_path / "f.jsonl"
    ingest.load_solutions(write(path, record(step([completion("own"), completion("b")], chosen=0))), project=project)
    shown = [completion("c"), completion("own"), completion("b"), completion("b")]
    ingest.load_solutions(write(path, record(step(shown, chosen=1), labeler=LEE)), project=project)
    assert list(StepAlternative.objects.order_by("position").values_list("position", "text")) == [(1, "b"), (2, "c"), (3, "b")]


def test_a_step_written_by_a_person_has_its_author(tmp_path: Path) -> None:
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(step([completion("mine", -1)], human="mine"))), project=make.project())
    by_model, by_person = StepAlternative.objects.order_by("author_id")  # nulls last: the person's comes first
    by_model, by_person = (by_person, by_model) if by_model.author else (by_model, by_person)
    assert by_model.author is None and by_person.author and by_person.author.username == f"file-{KIM}"
    label = StepLabel.objects.get(position=by_person.position)
    assert (label.rating, label.chosen, label.shown_at) == (None, True, None)


def test_all_1818_paths_load_as_annotations(data: Path) -> None:
    report = ingest.load_solutions(data / "prm800k/phase2_labeled_paths_1818.jsonl", project=make.project())
    assert (report.annotations, report.new_annotations, report.new_solutions, report.new_problems) == (1_818, 1_818, 1_339, 216)
    assert Annotation.objects.filter(supersedes=None).count() == 1_818
    ratings = {rating: StepLabel.objects.filter(rating=rating).count() for rating in (1, 0, -1)}
    assert ratings == {1: 8_596, 0: 639, -1: 1_566}
    assert Annotation.objects.filter(finish_reason="give_up").count() == 6  # the cut-off ones


# --- commands --------------------------------------------------------------------------------------------------------------


def refusal(*command: str) -> str:
    before = counts()
    with pytest.raises(CommandError) as refused:
        call_command(*command)
    assert refused.value.returncode == 2
    assert counts() == before
    return str(refused.value)


def test_a_project_is_created_with_its_owners(capsys: pytest.CaptureFixture[str]) -> None:
    make.olga()
    call_command("create_project", "gsm8k", "--name", "Grade school", "--owner", "olga")
    member = Membership.objects.get()
    assert (member.project.slug, member.project.name, member.user.username, member.role) == ("gsm8k", "Grade school", "olga", "owner")
    assert "gsm8k" in capsys.readouterr().out
    assert "The project gsm8k already exists" in refusal("create_project", "gsm8k", "--name", "Again")
    assert "no account called eve" in refusal("create_project", "more", "--name", "More", "--owner", "eve")
    assert "The slug 'no slug' or the name 'No' is not valid" in refusal("create_project", "no slug", "--name", "No")


def test_a_project_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    make.project("there")
    for command in ("load_problems", "load_solutions"):
        assert "There is no project 'nowhere'. These exist: there." in refusal(
            command, str(write(tmp_path / "f.jsonl", GENERIC)), "--project", "nowhere"
        )
    with pytest.raises(BadProject):
        ingest.find_project("no\0where")


BAD_FILES = [
    (b'{"problem": "caf\xe9"}\n', "line 1: not UTF-8", ()),
    (json.dumps(GENERIC).encode() + b'\n{"problem": \n', "line 2: the file ends inside the object", ()),
    (b'{"prompt": "p"}\n', "line 1: unknown format", ()),
    (b'{"problem": "p", "steps": []}\n', "line 1: the solution is empty", ()),
    (b'{"problem": "p", "solution": "  "}\n', "line 1: the solution is empty", ()),
    (b'{"problem": "p", "steps": ["a\\u0000"]}\n', "line 1: step 1 contains a NUL character", ()),
    (b'{"problem": "p", "steps": ["a\\ud800"]}\n', "line 1: step 1 contains half of a surrogate pair", ()),
    (b'{"problem": "p", "steps": ["a"], "steps": ["b"]}\n', "line 1: the key 'steps' occurs twice", ()),
    (b'{"question": "q", "answer": "#### 5"}\n', "has problems but no solutions", ()),
    (b'{"problem": "p", "steps": ["a"]}\n', "line 1: 'answer' is missing", ("--format", "gsm8k_solutions")),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said", "options"), BAD_FILES, ids=[said for _, said, _ in BAD_FILES])
def test_a_bad_file_is_refused_in_one_sentence_and_changes_nothing(
    tmp_path: Path, content: bytes, said: str, options: tuple[str, ...]
) -> None:
    make.project("sums")
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    message = refusal("load_solutions", str(path), "--project", "sums", *options)
    assert said in message and str(path) in message
    assert "\n" not in message and message.endswith(".")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    make.project("sums")
    assert "cannot be read (No such file or directory)" in refusal("load_problems", str(tmp_path / "none.jsonl"), "--project", "sums")


def test_the_command_loads_and_reports(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.project("sums")
    call_command("load_problems", str(samples / "gsm8k/test.jsonl"), "--project", "sums", "--split", "test")
    assert "20 new problems (20 in the file)" in capsys.readouterr().out
    assert Problem.objects.filter(split="test", answer="48").exists()
