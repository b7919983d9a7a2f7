"""The labels of published sets become annotations or gold, by choice, and the report names what is left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation import ingest
from annotation.models import Annotation, GoldAnswer, Project, StepLabel
from tests import make
from tests.trainer.test_published_formats import PRMBENCH, PROCESSBENCH, SHEPHERD

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project()


def written(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


RIGHT = PROCESSBENCH | {"id": "gsm8k-1", "label": -1, "steps": ["Add.", "So 5."]}

RECORD = {
    "generation": 3, "question": {"problem": "What is 2 + 3?", "pre_generated_steps": ["Add.", "So 6."]},
    "label": {"finish_reason": "found_error", "steps": [
        {"completions": [{"text": "Add.", "rating": 1}], "chosen_completion": 0},
        {"completions": [{"text": "So 6.", "rating": -1}], "chosen_completion": None},
    ]},
}  # fmt: skip


def test_labels_become_annotations(project: Project, tmp_path: Path) -> None:
    report = ingest.load_solutions(written(tmp_path, PROCESSBENCH, RIGHT), project=project)
    assert (report.format, report.new_solutions, report.new_annotations, report.gold) == ("processbench", 2, 2, 0)
    assert sorted(Annotation.objects.values_list("finish_reason", flat=True)) == ["found_error", "solution"]
    assert list(StepLabel.objects.order_by("annotation", "step_index").values_list("rating", flat=True)) == [1, -1, 1, 1]


def test_a_grade_that_the_file_records_is_said_to_be_left_out(project: Project, tmp_path: Path) -> None:
    report = ingest.load_solutions(written(tmp_path, PROCESSBENCH, RIGHT), project=project)
    assert "2 solutions: the recorded grades of the final answer were left out." in str(report)


def test_labels_become_gold_by_choice(project: Project, tmp_path: Path) -> None:
    report = ingest.load_solutions(written(tmp_path, PROCESSBENCH, RIGHT), project=project, labels="gold")
    assert (report.new_gold, report.new_annotations) == (2, 0)
    assert sorted(GoldAnswer.objects.values_list("acceptable_first_errors", flat=True)) == [[], [1]]
    assert "2 new gold answers (2 in the file)" in str(report)
    again = ingest.load_solutions(written(tmp_path, PROCESSBENCH, RIGHT), project=project, labels="gold")
    assert again.new_gold == 0 and GoldAnswer.objects.count() == 2 and not Annotation.objects.exists()


def test_gold_that_is_known_stays_and_is_counted(project: Project, tmp_path: Path) -> None:
    ingest.load_solutions(written(tmp_path, PROCESSBENCH), project=project, labels="gold")
    report = ingest.load_solutions(written(tmp_path, PROCESSBENCH | {"label": 2}), project=project, labels="gold")
    assert "1 solution keeps its gold; the file gives another." in str(report)
    assert GoldAnswer.objects.get().acceptable_first_errors == [1]


def test_two_lines_with_two_mistakes_accept_both(project: Project, tmp_path: Path) -> None:
    ingest.load_solutions(written(tmp_path, PROCESSBENCH, PROCESSBENCH | {"label": 2}), project=project, labels="gold")
    assert GoldAnswer.objects.get().acceptable_first_errors == [1, 2]


def test_labels_without_the_step_of_their_mistake_are_no_gold(project: Project, tmp_path: Path) -> None:
    record = json.loads(json.dumps(RECORD))
    record["label"]["steps"] = record["label"]["steps"][:1]
    report = ingest.load_solutions(written(tmp_path, record), project=project, labels="gold")
    assert "1 solution: the labels that end at a mistake but do not say which step it is were left out." in str(report)
    assert (report.gold, GoldAnswer.objects.count()) == (0, 0)


def test_errors_in_an_array_of_one_line_name_the_object(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([RIGHT, PROCESSBENCH, PROCESSBENCH | {"label": -1}]))
    with pytest.raises(ingest.BadFile, match="object 3: this solution is right here and wrong in object 2, or the other way round"):
        ingest.load_solutions(path, project=project, labels="gold")
    path.write_text(json.dumps([RIGHT, PROCESSBENCH | {"label": 9}]))
    with pytest.raises(ingest.BadFile, match="object 2: 'label' is 9"):
        ingest.load_solutions(path, project=project)


@pytest.mark.parametrize("load", [ingest.load_solutions, ingest.load_problems])
def test_labels_that_begin_far_below_are_not_lost(project: Project, tmp_path: Path, load: Callable[..., object]) -> None:
    row = {"problem": "p", "steps": ["Add.", "So 5."]}
    with pytest.raises(ingest.BadFile, match=r"line 31: the file has labels \(label\) in a format that is not known"):
        load(written(tmp_path, *[row] * 30, row | {"label": 1}), project=project)


def test_a_solution_that_is_right_and_wrong_is_no_gold(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ingest.BadFile, match="line 2: this solution is right here and wrong in line 1, or the other way round"):
        ingest.load_solutions(written(tmp_path, PROCESSBENCH, PROCESSBENCH | {"label": -1}), project=project, labels="gold")
    assert not GoldAnswer.objects.exists()


def test_what_no_annotation_can_hold_is_named(project: Project, tmp_path: Path) -> None:
    report = str(ingest.load_solutions(written(tmp_path, SHEPHERD), project=project))
    assert "1 solution: the ratings after the first mistake were left out." in report
    assert "1 key was not used: task (1)." in report


def test_both_solutions_of_prmbench_are_loaded_once(project: Project, tmp_path: Path) -> None:
    path = written(tmp_path, PRMBENCH)
    assert ingest.load_solutions(path, project=project).new_annotations == 2
    assert ingest.load_solutions(path, project=project).new_annotations == 0


def test_the_command_names_the_choices(project: Project, tmp_path: Path) -> None:
    path = str(written(tmp_path, PROCESSBENCH))
    with pytest.raises(CommandError, match="annotations.*gold"):
        call_command("load_solutions", path, "--project", "sums", "--labels", "nothing")
    call_command("load_solutions", path, "--project", "sums", "--labels", "gold")
    assert GoldAnswer.objects.count() == 1


def test_all_of_processbench_loads_with_its_labels(project: Project, data: Path) -> None:
    report = ingest.load_solutions(data / "processbench" / "gsm8k.json", project=project)
    assert (report.solutions, report.annotations, report.new_annotations) == (400, 400, 400)
