"""Looking through the labels: listed by page, shown as the file would have them."""

import uuid
from pathlib import Path

import orjson
import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from annotation import export, ingest, labels, queue
from annotation.models import Annotation, Project, StepAlternative
from tests import make

pytestmark = pytest.mark.django_db

PHASE_1 = {
    "labeler": "340d89bc-f5b7-45e9-b272-909ba68ee363", "timestamp": "2023-01-22T04:34:27.052924", "generation": None,
    "is_quality_control_question": False, "is_initial_screening_question": False,
    "question": {"problem": "What is 2 + 3?", "ground_truth_answer": "5"},
    "label": {
        "steps": [
            {
                "completions": [
                    {"text": "Add them.", "rating": 0, "flagged": False}, {"text": "2 + 3 = 6.", "rating": -1, "flagged": False},
                ],
                "human_completion": {"text": "Two and three.", "rating": None, "source": "human", "flagged": False},
                "chosen_completion": None,
            },
            {
                "completions": [
                    {"text": "It is 6.", "rating": -1, "flagged": False},
                    {"text": "It is 5.\n\n# Answer\n\n5", "rating": 1, "flagged": False},
                ],
                "human_completion": None, "chosen_completion": 1,
            },
        ],
        "total_time": 48465, "finish_reason": "solution",
    },
}  # fmt: skip


def labeled(project: Project, count: int) -> None:
    make.batch(project, make.solutions(project, count))
    for _ in range(count):
        lease = queue.lease_next(make.ann(project), project=project)
        labels.submit(
            lease.assignment_id,
            labeler=make.ann(),
            token=lease.token,
            submission_id=uuid.uuid4(),
            active_ms=90_000,
            total_ms=90_000,
            ratings=[{"step": 0, "rating": 1}, {"step": 1, "rating": -1}],
            finish_reason="found_error",
        )


def as_rita(project: Project) -> Client:
    client = Client()
    client.force_login(make.rita(project))
    return client


def test_the_labels_are_listed_page_by_page_without_one_left_out() -> None:
    project = make.project()
    labeled(project, 60)
    first, before = export.annotations_of(project)
    second, end = export.annotations_of(project, before=before)
    assert [one.pk for one in first + second] == list(Annotation.objects.order_by("-pk").values_list("pk", flat=True))
    assert end is None and (first[0].first_mistake, first[0].minutes) == (1, 1.5)


def test_a_list_of_fifty_costs_no_more_queries_than_a_list_of_one(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    project = make.project()
    labeled(project, 51)
    with django_assert_num_queries(1):
        found, _ = export.annotations_of(project)
        assert {one.labeler.username for one in found} == {"ann"} and all(one.solution.problem.statement for one in found)


def test_the_list_can_be_narrowed_to_one_end() -> None:
    project = make.project()
    labeled(project, 2)
    assert len(export.annotations_of(project, finish_reason="found_error")[0]) == 2
    assert export.annotations_of(project, finish_reason="give_up")[0] == []


def test_a_phase_1_record_is_shown_with_all_its_completions_and_as_it_was_loaded(tmp_path: Path) -> None:
    project = make.project()
    path = tmp_path / "phase1.jsonl"
    path.write_bytes(orjson.dumps(PHASE_1) + b"\n")
    ingest.load_solutions(path, project=project)
    annotation = Annotation.objects.get()
    assert export.shown(project, annotation.pk)[1] == PHASE_1
    page = as_rita(project).get(f"/p/{project.slug}/labels/{annotation.pk}/").content.decode()
    for text in ("Add them.", "2 + 3 = 6.", "Two and three.", "written by the labeler", "It is 6.", "positive, chosen"):
        assert text in page


def test_the_steps_nobody_rated_are_shown_as_such() -> None:
    project = make.project()
    labeled(project, 1)
    page = as_rita(project).get(f"/p/{project.slug}/labels/{Annotation.objects.get().pk}/").content.decode()
    assert page.count("not labeled") == 1


@pytest.mark.parametrize("path", ["labels/", "labels/1/"])
def test_labels_are_not_shown_to_labelers(path: str) -> None:
    project = make.project()
    client = Client()
    client.force_login(make.ann(project))
    assert client.get(f"/p/{project.slug}/{path}").status_code == 404


def test_an_annotation_of_another_project_is_not_found() -> None:
    here, there = make.project("here"), make.project("there")
    labeled(there, 1)
    assert as_rita(here).get(f"/p/here/labels/{Annotation.objects.get().pk}/").status_code == 404


def test_a_completion_that_was_not_chosen_is_no_first_mistake() -> None:
    project = make.project(step_source="interactive")
    solution = make.solution(make.problem(project), ["It is 6.", "It is 5.\n\n# Answer\n\n5"])
    StepAlternative.objects.create(solution=solution, step_index=0, position=1, text="Add them.")
    make.batch(project, [solution])
    lease = queue.lease_next(make.ann(project), project=project)
    ratings = [{"step": 0, "position": 0, "rating": -1}, {"step": 0, "position": 1, "rating": 1, "chosen": True}]
    body = {"token": lease.token, "submission_id": uuid.uuid4(), "active_ms": 5, "total_ms": 9}
    labels.submit(
        lease.assignment_id,
        labeler=make.ann(),
        **body,
        ratings=[*ratings, {"step": 1, "rating": 1, "chosen": True}],
        finish_reason="solution",
    )
    assert [one.first_mistake for one in export.annotations_of(project)[0]] == [None]


def test_a_record_of_phase_1_from_a_file_names_no_first_mistake(tmp_path: Path) -> None:
    project = make.project()
    (file := tmp_path / "phase_1.jsonl").write_bytes(orjson.dumps(PHASE_1))
    ingest.load_solutions(file, project=project)
    assert [one.first_mistake for one in export.annotations_of(project)[0]] == [None]


def test_a_bad_problem_without_ratings_shows_all_its_steps() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    lease = queue.lease_next(make.ann(project), project=project)
    body = {"token": lease.token, "submission_id": uuid.uuid4(), "active_ms": 5, "total_ms": 9}
    bad = labels.submit(
        lease.assignment_id, labeler=make.ann(), **body, ratings=[], finish_reason="bad_problem", reason="It has no answer."
    )
    answer = as_rita(project).get(f"/p/sums/labels/{bad.pk}/")
    assert [text["number"] for text in answer.context["unlabeled"]] == list(range(1, len(lease.steps) + 1)) and not answer.context["steps"]
