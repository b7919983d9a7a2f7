"""The page of surprises: where a model and people name different first mistakes, which come first, and what the model had learned."""

import csv
import html
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from active_learning import surprises
from active_learning.models import ModelVersion, Score, StepScores, Surprise, SurpriseLook
from active_learning.pages import surprising
from annotation import export, quality
from annotation.eligibility import Use
from annotation.models import Annotation, Problem, Project, Solution
from tests import make
from tests.verdicts import judged

PAGE = "/p/sums/models/1/surprises/"


@pytest.fixture
def version(project: Project) -> ModelVersion:
    """A model that serves, with a partition of scores, and no files."""
    made = make.version(project, 1, champion=True)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{made.pk} PARTITION OF active_learning_score FOR VALUES IN ({made.pk})")
    return made


def scored(version: ModelVersion, score: float, weak: int | None = None, *, problem: Problem | None = None) -> Solution:
    solution = make.solution(problem or make.problem(version.project), ["One.", "Two.", f"Three: {Solution.objects.count()}."])
    row = {"problem_id": solution.problem_id, "outcome": solution.outcome, "first_weak_step": weak}
    Score.objects.create(model_version=version, solution=solution, score=score, **row)
    return solution


def text(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status
    return html.unescape(b"".join(answer).decode() if answer.streaming else answer.content.decode())


def listed(client: Client, query: str = "") -> list[int]:
    """Return the solutions of a page in their order."""
    return [row.surprise.solution_id for row in client.get(f"{PAGE}?{query}").context["rows"]]


# --- how surprised a model is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("people", "right", "score", "bits", "is_exact"),
    [
        (None, [0.5, 0.5, 1.0], 0.25, 2, True),  # the product of all steps
        (1, [0.5, 0.75, 1.0], 0.375, 3, True),  # right, then wrong: 0.5 * 0.25
        (2, [0.5, 0.5], 0.0, 2, False),  # the third step was not read: at most 0.5 * 0.5
        (None, [0.5, 0.25], 0.0, 3, False),  # the score of what was not read is 0, which says nothing
        (None, None, 0.125, 3, True),
        (1, None, 0.75, 2, False),  # that there is some mistake
        (None, None, 0.0, surprises.MOST_BITS, True),
    ],
)
def test_bits_are_the_logarithm_of_the_probability_of_what_people_say(
    people: int | None, right: list[float] | None, score: float, bits: float, is_exact: bool
) -> None:
    found = surprises.surprise(people, score=score, right=right, n_steps=3, step=people or 0)
    assert found is not None and (found.bits, found.is_exact) == (pytest.approx(bits), is_exact)


def test_the_most_surprising_solution_comes_first_and_agreement_is_not_listed(version: ModelVersion, rita: Client) -> None:
    doubtful, certain, alarmed, agreed, both_right = (
        scored(version, score, weak) for score, weak in ((0.6, None), (0.99, None), (0.2, 1), (0.1, 2), (0.9, None))
    )
    for solution, mistake in ((doubtful, 1), (certain, 1), (alarmed, None), (agreed, 2), (both_right, None)):
        judged(solution, "ann", mistake)
    quality.settle(version.project)
    assert listed(rita) == [certain.pk, alarmed.pk, doubtful.pk]
    shown = text(rita, PAGE)
    assert "3 of 5 labeled solutions" in shown and "at least 6.6 bits" in shown
    row = Surprise.objects.get(solution=alarmed)
    assert (row.kind, row.step, row.people, row.model) == ("alarm", 1, None, 1)


def test_the_stored_probabilities_of_steps_count_before_the_score(version: ModelVersion, rita: Client) -> None:
    solution = scored(version, 0.5, None)
    StepScores.objects.create(model_version=version, solution=solution, probabilities=[[0.1, 0, 0.9], [0.02, 0, 0.98], [0.9, 0, 0.1]])
    judged(solution, "ann", 1)
    quality.settle(version.project)
    shown = text(rita, PAGE)
    row = Surprise.objects.get()
    assert (row.model, row.step, row.kind, row.right, row.is_exact) == (2, 1, "missed", 0.98, True)
    assert row.bits == pytest.approx(5.796, abs=0.001)  # 0.9 * 0.02
    assert "p(correct) 0.980" in shown and "at least" not in shown.split("<i>At least</i>")[0]


def test_a_version_without_scores_is_compared_where_it_scored_the_steps(project: Project, rita: Client) -> None:
    version = make.version(project, 1, scores_file="scores/sums/1.bin")
    solution, other = (make.solution(make.problem(project), ["One.", "Two."]) for _ in range(2))
    StepScores.objects.create(model_version=version, solution=solution, probabilities=[[0.1, 0, 0.9], [0.2, 0, 0.8]])
    judged(solution, "ann", 1), judged(other, "ann", 1)
    quality.settle(project)
    shown = text(rita, PAGE)
    assert "manage.py scores --project sums --restore 1" in shown and "1 of 1 labeled solution" in shown


# --- what the model had learned -------------------------------------------------------------------------------------------------


def test_a_mistake_behind_the_steps_that_a_version_could_read_is_listed(project: Project, rita: Client) -> None:
    version = make.version(project, 1, champion=True)
    solution = make.solution(make.problem(project), ["One.", "Two.", "Three."])
    judged(solution, "ann", 2)
    StepScores.objects.create(model_version=version, solution=solution, probabilities=[[0.1, 0.1, 0.8], [0.2, 0.1, 0.7]])
    quality.settle(project)
    assert listed(rita) == [solution.pk]
    row = Surprise.objects.get()
    assert (row.people, row.model, row.bits, row.is_exact) == (2, None, 0.4739, False)  # 0.9 * 0.8


def test_the_page_says_of_each_solution_what_the_model_had_learned(version: ModelVersion, home: Path, rita: Client) -> None:
    shared = make.problem(version.project)
    learned, beside = (scored(version, 0.9, problem=shared) for _ in range(2))
    held, new = scored(version, 0.9), scored(version, 0.9)
    judged(learned, "ann", 1), judged(held, "ann", 1)
    snapshot = export.take_snapshot(version.project, use=Use.TRAINING)
    judged(beside, "ann", 1), judged(new, "ann", 1)
    (home / "models").mkdir()
    (home / "models/split.json").write_text(json.dumps({"training": [str(shared.pk)], "held_out": [str(held.problem_id)]}))
    ModelVersion.objects.filter(pk=version.pk).update(artifact="models", snapshot=snapshot)
    quality.settle(version.project)
    text(rita, PAGE)
    origins = dict(Surprise.objects.values_list("solution", "learned_from"))
    assert origins == {learned.pk: "labels", beside.pk: "problem", held.pk: "held_out", new.pk: "new"}
    assert listed(rita, "learned=held_out") == [held.pk]


def test_a_version_whose_files_are_gone_says_that_its_training_is_not_known(version: ModelVersion, rita: Client) -> None:
    judged(scored(version, 0.9), "ann", 1)
    quality.settle(version.project)
    assert "not known" in text(rita, PAGE) and Surprise.objects.get().learned_from == "unknown"


# --- filters, pages and the file ------------------------------------------------------------------------------------------------


@pytest.fixture
def three(version: ModelVersion) -> dict[str, Any]:
    """Two mistakes that the model misses, of two generations, and one false alarm in a subject."""
    first, second = scored(version, 0.99), scored(version, 0.9)
    alarm = scored(version, 0.1, 0, problem=make.problem(version.project, subject="Geometry"))
    labels = [judged(first, "ann", 1, generation=3), judged(second, "ann", 1, generation=4), judged(alarm, "ann", None, generation=4)]
    quality.settle(version.project)
    return {"first": first.pk, "second": second.pk, "alarm": alarm.pk, "batch": labels[1].assignment.batch_id}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["first", "alarm", "second"]), ("kind=missed", ["first", "second"]), ("kind=alarm", ["alarm"]),
        ("generation=4", ["alarm", "second"]), ("subject=Geometry", ["alarm"]), ("subject=Algebra", []),
        ("finish=found_error", ["first", "second"]), ("generation=4&finish=found_error", ["second"]),
        ("batch={batch}", ["alarm", "second"]),
    ],
)  # fmt: skip
def test_filters_narrow_the_list(three: dict[str, Any], rita: Client, query: str, found: list[str]) -> None:
    assert listed(rita, query.format(**three)) == [three[name] for name in found]


@pytest.mark.parametrize("query", ["kind=x", "generation=many", "batch=0", "after=x"])
def test_a_filter_that_cannot_be_read_is_said_and_nothing_is_listed(three: dict[str, Any], rita: Client, query: str) -> None:
    shown = text(rita, f"{PAGE}?{query}", 400)
    assert "Nothing was looked for" in shown and "data-row " not in shown


def test_the_pages_list_each_step_once(three: dict[str, Any], rita: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surprising, "PAGE", 1)
    seen, after = [], ""
    for _ in range(3):
        page = rita.get(f"{PAGE}?after={after}").context
        seen += [row.surprise.solution_id for row in page["rows"]]
        after = page["after"]
    assert seen == [three["first"], three["alarm"], three["second"]] and after == ""


def test_the_file_has_all_that_the_filter_finds_and_no_formula(three: dict[str, Any], rita: Client) -> None:
    Problem.objects.filter(subject="Geometry").update(subject="=Geometry")
    header, *lines = list(csv.reader(io.StringIO(text(rita, f"{PAGE}?csv=1&generation=4"))))
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    assert [int(row["solution"]) for row in rows] == [three["alarm"], three["second"]]
    assert rows[0]["subject"] == "'=Geometry" and (rows[0]["step"], rows[0]["first_mistake_of_people"]) == ("1", "none")
    assert rows[1]["bits"] == "3.3219" and rows[1]["bits_are_exact"] == "false"


def test_an_orm_and_an_interactive_project_are_told_why_nothing_is_compared(project: Project, rita: Client) -> None:
    make.version(project, 1, kind="orm")
    assert "it names no step" in text(rita, PAGE)
    make.version(project, 2)
    Project.objects.filter(pk=project.pk).update(step_source="interactive")
    assert "other texts than the model scored" in text(rita, "/p/sums/models/2/surprises/")


# --- large projects -------------------------------------------------------------------------------------------------------------


def test_a_worker_compares_a_large_project_and_is_asked_once(
    three: dict[str, Any], rita: Client, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda _, name, arguments, **__: asked.append((name, arguments)))
    monkeypatch.setattr(surprises, "LARGE", 1)
    assert "A worker compares this model" in text(rita, PAGE)
    text(rita, PAGE)
    assert asked == [("active_learning.tasks.find_surprises", [version.pk])] and not Surprise.objects.exists()
    surprises.find_again(version.pk)
    assert listed(rita) == [three["first"], three["alarm"], three["second"]] and len(asked) == 1


def test_of_many_surprises_the_greatest_are_kept_and_the_page_says_so(
    three: dict[str, Any], rita: Client, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surprises, "KEPT", 1)
    monkeypatch.setattr(surprises, "CHUNK", 2)
    assert listed(rita) == [three["first"], three["alarm"]]
    SurpriseLook.objects.all().delete()
    assert "3 of 3 labeled" in (shown := text(rita, PAGE)) and "the 1 most surprising" in shown


def test_a_solution_on_which_people_and_model_agree_again_leaves_the_list(version: ModelVersion, rita: Client) -> None:
    solution = scored(version, 0.9)
    label = judged(solution, "ann", 1)
    quality.settle(version.project)
    surprises.find_again(version.pk)
    assert Surprise.objects.count() == 1 and Annotation.objects.get() == label
    Score.objects.filter(solution=solution).update(first_weak_step=1)
    surprises.find_again(version.pk)
    assert not Surprise.objects.exists()


def test_a_version_is_compared_by_one_process_at_a_time(three: dict[str, Any], version: ModelVersion) -> None:
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [surprises.ONE_AT_A_TIME, version.pk])
            surprises.find_again(version.pk)
            assert not Surprise.objects.exists()
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [surprises.ONE_AT_A_TIME, version.pk])
        surprises.find_again(version.pk)
        assert Surprise.objects.count() == 3
    finally:
        other.close()
