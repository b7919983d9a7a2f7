"""Labels of Label Studio and Potato in a project: pseudonyms of people, the options of the command, and loading again."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation import ingest
from annotation.models import Annotation, Membership, Project, StepLabel
from annotation.projects import create_project

FOLDER = Path(__file__).resolve().parent.parent / "data"
STUDIO, POTATO = FOLDER / "label_studio", FOLDER / "potato"

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return create_project("other", name="Other")


def people(project: Project) -> set[str]:
    return {str(pseudonym) for pseudonym in Membership.objects.filter(project=project).values_list("export_uuid", flat=True)}


def test_each_person_of_label_studio_gets_a_pseudonym_that_stays_in_the_project(project: Project) -> None:
    report = ingest.load_solutions(STUDIO / "choices_per_step.json", project=project)
    assert (report.new_solutions, report.new_annotations, len(people(project))) == (1, 2, 2)
    first = people(project)
    report = ingest.load_solutions(STUDIO / "paragraph_labels.json", project=project)
    assert report.new_annotations == 1 and people(project) == first  # person 1 of the same Label Studio


def test_a_pseudonym_is_another_one_in_another_project_and_holds_no_name(project: Project) -> None:
    other = create_project("another", name="Another")
    for one in (project, other):
        ingest.load_solutions(POTATO / "annotated_instances.jsonl", project=one)
    assert len(people(project)) == len(people(other)) == 2 and not people(project) & people(other)
    assert not [name for name in Membership.objects.values_list("user__username", flat=True) if "anna" in name]


def test_an_export_of_the_next_day_adds_only_what_is_new(project: Project, tmp_path: Path) -> None:
    ingest.load_solutions(STUDIO / "choices_per_step.json", project=project)
    assert ingest.load_solutions(STUDIO / "choices_per_step.min.json", project=project).new_annotations == 0
    (task,) = json.loads((STUDIO / "choices_per_step.json").read_text())
    task["updated_at"] = "2026-11-28T00:00:00Z"
    task["annotations"].append(task["annotations"][0] | {"id": 999, "completed_by": 3})
    (tmp_path / "later.json").write_text(json.dumps([task]))
    report = ingest.load_solutions(tmp_path / "later.json", project=project)
    assert (report.annotations, report.new_annotations) == (3, 1)


def test_the_command_takes_a_mapping_and_items(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"project": project.slug, "map": ["neutral=0"], "items": str(POTATO / "items.jsonl")}
    call_command("load_solutions", str(POTATO / "annotations.jsonl"), **options)
    assert "1 solution: the ratings that a model proposed and nobody confirmed were left out." in capsys.readouterr().out
    assert sorted(StepLabel.objects.values_list("rating", flat=True)) == [-1, 0, 1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["colour=red"], "--map: the mapping 'colour' is not known"),
        (["steps=nothing"], "line 2: the data of the task have no steps"),
    ],
)
def test_a_mapping_that_fits_nothing_is_refused_and_changes_nothing(project: Project, words: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("load_solutions", str(STUDIO / "paragraph_labels.json"), project=project.slug, map=words)
    assert not Annotation.objects.filter(assignment__task__batch__project=project).exists()


def test_a_skipped_task_is_named_in_the_report(project: Project) -> None:
    report = ingest.load_solutions(STUDIO / "paragraph_labels.json", project=project)
    assert "1 solution: the annotations that were skipped were left out." in str(report)
