"""What the API reads: each list holds each row once, each filter what it says, and only what the pages show to the same person."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import jsonschema
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone

from active_learning.models import ModelVersion, Score
from annotation import ingest
from annotation.api.base import openapi_document
from annotation.ingest import reading as problem_reading
from annotation.models import Annotation, Batch, Membership, Problem, Project, Snapshot, SolutionConsensus, StepConsensus
from tests import make
from tests.api import ask, error_of, token_for
from tests.full_project import FullProject

pytestmark = pytest.mark.django_db
LISTS = (
    "problems", "solutions", "batches", "annotations", "consensus", "snapshots", "people", "rounds", "models", "models/1/scores",
)  # fmt: skip


class Asked:
    """A full project, and the tokens of its owner and its labeler."""

    def __init__(self, home: Path) -> None:
        self.full = FullProject(home)
        self.project: Project = self.full.project
        self.owner, self.labeler = token_for(self.full.olga), token_for(self.full.ann)
        solutions = [row.pk for row in self.solutions()]
        scores = (Score(model_version=self.full.version, solution_id=key, problem_id=1, score=0.5, outcome="wrong") for key in solutions)
        Score.objects.bulk_create(scores, ignore_conflicts=True)
        for key in solutions[:3]:
            row = {"first_mistake": 1, "n_readings": 2, "settled_at": timezone.now(), "p_none": 0.25, "entropy": 0.5}
            SolutionConsensus.objects.update_or_create(solution_id=key, defaults={"project": self.project, **row})
            StepConsensus.objects.create(solution_id=key, step_index=1, p_first=0.75, p_neutral=0.1, label=-1, n_votes=2)
        foreign = make.project("foreign")
        self.foreign = make.solution(make.problem(foreign))
        make.batch(foreign, [self.foreign])
        make.version(foreign, 9)
        Snapshot.objects.create(project=foreign, number=9, count=0)

    def solutions(self) -> Any:
        from annotation.models import Solution

        return Solution.objects.filter(problem__project=self.project).order_by("problem", "pk")

    def get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        answer = ask(f"projects/sums/{path}", self.owner, query)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def pages(self, path: str, limit: int, **query: Any) -> list[list[Any]]:
        """Return the items of all pages of a list."""
        pages, cursor = [], {}
        while cursor is not None:
            page = self.get(path, {"limit": limit, **query, **cursor})
            pages.append(page["items"])
            assert len(page["items"]) <= limit
            cursor = None if page["next"] is None else {"cursor": page["next"]}
        return pages

    def all(self, path: str, **query: Any) -> list[Any]:
        return [item for page in self.pages(path, 200, **query) for item in page]


@pytest.fixture(scope="module")
def asked(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    home = tmp_path_factory.mktemp("home")
    limits = {"API_READS_A_MINUTE": 1_000_000, "STEPMARK_HOME": home}
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), override_settings(**limits), transaction.atomic():
        patch.setattr(celery.Celery, "send_task", lambda *_, **__: None)
        yield Asked(home)
        transaction.set_rollback(True)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 3])
def test_the_pages_of_each_list_hold_each_item_once_in_one_order(asked: Asked, path: str, limit: int) -> None:
    whole, items = asked.all(path), [item for page in asked.pages(path, limit) for item in page]
    assert items == whole and len(whole) >= 2 or path in ("models", "models/1/scores") and items == whole and whole
    assert len({json.dumps(item) for item in whole}) == len(whole)


def test_each_list_has_all_rows_of_the_project(asked: Asked) -> None:
    from active_learning.models import Round

    own = {"project": asked.project}
    expected = {
        "problems": Problem.objects.filter(**own).count(), "solutions": asked.solutions().count(),
        "batches": Batch.objects.filter(**own).count(),
        "annotations": Annotation.objects.filter(solution__problem__project=asked.project).count(),
        "consensus": SolutionConsensus.objects.filter(**own).count(), "snapshots": Snapshot.objects.filter(**own).count(),
        "people": Membership.objects.filter(**own).count(), "rounds": Round.objects.filter(**own).count(),
        "models": ModelVersion.objects.filter(**own).count(),
        "models/1/scores": Score.objects.filter(model_version=asked.full.version).count(),
    }  # fmt: skip
    assert {path: len(asked.all(path)) for path in LISTS} == expected


@pytest.mark.parametrize("path", LISTS)
def test_each_answer_fits_the_description(asked: Asked, path: str) -> None:
    """The committed description says which fields there are, and of which kind."""
    document = openapi_document()
    address = f"/api/v1/projects/{{slug}}/{path.replace('/1/', '/{number}/')}"
    shape = document["paths"][address]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    page = asked.get(path)
    jsonschema.validate(page, shape | {"components": document["components"]})
    declared = document["components"]["schemas"][shape["$ref"].rpartition("/")[2]]["properties"]["items"]["items"]["$ref"]
    fields = document["components"]["schemas"][declared.rpartition("/")[2]]["properties"]
    assert all(item.keys() == fields.keys() for item in page["items"])


@pytest.mark.parametrize(
    "path,key",
    [
        ("problems", "id"), ("solutions", "id"), ("batches", "id"), ("annotations", "id"), ("snapshots", "number"), ("rounds", "number"),
    ],
)  # fmt: skip
def test_each_item_of_a_list_is_shown_alone_as_it_stands_there(asked: Asked, path: str, key: str) -> None:
    item = asked.all(path)[-1]
    assert asked.get(f"{path}/{item[key]}") == item


def test_a_model_and_a_consensus_are_shown_alone(asked: Asked) -> None:
    shown = asked.get("models/1")
    assert shown["metrics"]["step_auc"] == 0.8 and shown["serves"] and asked.all("models")[0].items() <= shown.items()
    consensus = asked.all("consensus")[0]
    assert asked.get(f"solutions/{consensus['solution']}/consensus") == consensus
    assert consensus["steps"] == [{"step": 1, "label": -1, "p_first": 0.75, "p_negative": None, "p_neutral": 0.1, "n_votes": 2}]


@pytest.mark.parametrize(
    "path",
    [
        "problems/{problem}", "solutions/{solution}", "solutions/{solution}/consensus", "batches/{batch}", "annotations/999999999",
        "snapshots/9", "models/9", "models/9/scores", "rounds/99", "batches/0", "problems/9223372036854775807",
    ],
)  # fmt: skip
def test_what_is_of_another_project_or_nowhere_is_not_found(asked: Asked, path: str) -> None:
    foreign = {"problem": asked.foreign.problem_id, "solution": asked.foreign.pk, "batch": Batch.objects.latest("pk").pk}
    assert error_of(ask(f"projects/sums/{path.format(**foreign)}", asked.owner)) == (404, "not_found")


def test_a_key_beyond_all_keys_is_not_found(asked: Asked) -> None:
    for path in ("problems", "solutions", "batches", "annotations", "snapshots", "rounds", "models"):
        answer = ask(f"projects/sums/{path}/{'9' * 30}", asked.owner)
        assert error_of(answer) == (404, "not_found"), path


# --- filters --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path,name",
    [
        ("problems", "split"), ("problems", "external_id"), ("solutions", "outcome"), ("solutions", "source"), ("solutions", "problem"),
        ("batches", "kind"), ("batches", "state"), ("batches", "generation"), ("annotations", "solution"), ("annotations", "batch"),
        ("rounds", "state"), ("models", "kind"), ("models", "state"), ("models/1/scores", "solution"),
    ],
)  # fmt: skip
def test_a_filter_keeps_what_has_the_value_and_nothing_else(asked: Asked, path: str, name: str) -> None:
    whole = asked.all(path)
    for value in {item[name] for item in whole} - {None, ""}:
        expected = [item for item in whole if item[name] == value]
        assert asked.all(path, **{name: value}) == expected
        assert [item for page in asked.pages(path, 1, **{name: value}) for item in page] == expected


def test_two_filters_hold_together(asked: Asked) -> None:
    annotation = asked.all("annotations")[0]
    both = {"solution": annotation["solution"], "batch": annotation["batch"]}
    expected = [item for item in asked.all("annotations") if both.items() <= item.items()]
    assert asked.all("annotations", **both) == expected and expected
    assert asked.all("annotations", solution=annotation["solution"], batch=asked.foreign.pk + 10**6) == []


def test_withdrawn_solutions_are_found(asked: Asked) -> None:
    solution = asked.solutions().first()
    type(solution).objects.filter(pk=solution.pk).update(withdrawn_at=timezone.now())
    assert [item["id"] for item in asked.all("solutions", withdrawn="true")] == [solution.pk]
    assert solution.pk not in {item["id"] for item in asked.all("solutions", withdrawn="false")}


def test_a_filter_that_no_row_fits_goes_on_page_by_page_without_reading_all(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem_reading, "SCANNED", 2)
    monkeypatch.setattr(problem_reading, "FIRST_SCANNED", 1)
    for path, query in (("solutions", {"source": "nobody"}), ("problems", {"subject": "nothing"})):
        pages = asked.pages(path, 50, **query)
        assert len(pages) > 2 and not any(pages)
    whole = asked.all("solutions", outcome="wrong")
    monkeypatch.undo()
    assert whole == asked.all("solutions", outcome="wrong")


def test_problems_can_be_found_by_their_external_id_with_another_filter(asked: Asked) -> None:
    problem = asked.all("problems")[0]
    assert asked.all("problems", external_id=problem["external_id"], split="test") == []
    assert asked.all("problems", external_id=problem["external_id"], split="train") == [problem]


def test_a_cursor_of_another_list_is_refused(asked: Asked) -> None:
    cursor = asked.get("solutions", {"limit": 1})["next"]
    assert error_of(ask("projects/sums/problems", asked.owner, {"cursor": cursor})) == (400, "bad_query")


# --- what stands in it ----------------------------------------------------------------------------------------------------------


def test_an_annotation_has_its_labels_and_the_pseudonym_of_exports(asked: Asked) -> None:
    item = asked.get(f"annotations/{asked.full.annotation.pk}")
    row = Annotation.objects.get(pk=asked.full.annotation.pk)
    assert item["labeler"] == str(Membership.objects.get(project=asked.project, user=row.labeler).export_uuid)
    labels = row.steplabel_set.order_by("step_index", "position").values_list("step_index", "rating")
    assert [(label["step"], label["rating"]) for label in item["labels"]] == list(labels) and len(labels) == 2
    assert item["first_mistake"] == 1 and item["mark"] == "" and item["finish_reason"] == row.finish_reason
    assert not any(
        name in json.dumps(asked.all("annotations")) for name in User.objects.values_list("username", flat=True) if len(name) > 3
    )


def test_a_label_of_an_alternative_has_its_text(asked: Asked) -> None:
    from annotation.models import StepAlternative, StepLabel

    StepAlternative.objects.get_or_create(solution=asked.full.solution, step_index=0, position=1, defaults={"text": "Another way."})
    with transaction.atomic():
        StepLabel.objects.create(annotation=asked.full.annotation, step_index=0, position=1, rating=0)
        texts = [label["text"] for label in asked.get(f"annotations/{asked.full.annotation.pk}")["labels"]]
        transaction.set_rollback(True)
    assert texts == [None, "Another way.", None]


def test_a_batch_says_how_far_it_is(asked: Asked) -> None:
    batch = asked.get(f"batches/{asked.full.batch.pk}")
    done = asked.full.batch.assignment_set.filter(state="done").count()
    assert batch["done_places"] == done and batch["solutions"] == asked.full.batch.task_set.count() and done


def test_people_have_the_figures_of_their_page(asked: Asked) -> None:
    from annotation import quality

    shown = {item["username"]: item for item in asked.all("people")}
    member = quality.member_page(asked.project, asked.full.member.pk).member
    assert shown["ann"]["work"]["total"] == member.work.total > 0
    assert shown["ann"]["gold"] == {"answers": member.gold.n, "within": member.gold.k} and shown["ann"]["state"] == member.state


def test_scores_in_a_file_are_named(asked: Asked) -> None:
    make.version(asked.project, 5, scores_file="scores/sums/5.parquet", scores_sha256="ab" * 32)
    answer = ask("projects/sums/models/5/scores", asked.owner)
    assert error_of(answer) == (409, "scores_stored_away") and "--restore 5" in answer.json()["detail"]
    ModelVersion.objects.filter(number=5).delete()


# --- who reads what -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_a_labeler_learns_nothing_of_answers_gold_scores_and_labels(asked: Asked, path: str) -> None:
    assert error_of(ask(f"projects/sums/{path}", asked.labeler)) == (404, "not_found")


def test_researchers_read_all_but_the_people(asked: Asked) -> None:
    token = token_for(make.rita(asked.project))
    statuses = {path: ask(f"projects/sums/{path}", token).status_code for path in LISTS}
    assert statuses == {path: 404 if path == "people" else 200 for path in LISTS}


def test_a_list_asks_the_database_as_often_for_many_rows_as_for_few(asked: Asked) -> None:
    from django.test.utils import CaptureQueriesContext

    counts = {}
    for limit in (1, 200):
        for path in LISTS:
            with CaptureQueriesContext(connection) as queries:
                asked.get(path, {"limit": limit})
            counts.setdefault(path, []).append(len(queries))
    assert {path: pair for path, pair in counts.items() if pair[1] > pair[0]} == {}


def test_the_values_of_ingest_are_those_of_the_table(asked: Asked) -> None:
    problem = ingest.find_problem(asked.project, asked.full.solution.problem_id)
    assert problem.statement == asked.full.solution.problem.statement and problem.answer == asked.full.solution.problem.answer
