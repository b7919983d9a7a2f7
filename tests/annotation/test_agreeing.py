"""How far the people of a project agree: which labels are compared, by which part, and what is said where there is nothing to compare."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from annotation import labels, quality
from annotation.agreement import Measured
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    BatchKind,
    GoldAnswer,
    Membership,
    Project,
    ProjectAgreement,
    Solution,
    StepLabel,
    Task,
)
from annotation.quality import agreeing
from tests import make
from tests.clients import rated, signed_in

pytestmark = pytest.mark.django_db

RIGHT, FIRST, SECOND, THIRD = (1, 1, 1), (-1,), (1, -1), (1, 1, -1)


@pytest.fixture
def project() -> Project:
    return make.project("sums", overlap=3)


def label(task: Task, person: User, ratings: tuple[int, ...], *, finish_reason: str = "", **fields: Any) -> Annotation:
    """Store the labels of one person as a submit stores them."""
    assignment = Assignment.objects.create(task=task, batch_id=task.batch_id, state="done", labeler=person, token=1)
    annotation = Annotation.objects.create(
        **{
            "assignment": assignment, "labeler": person, "solution_id": task.solution_id, "submission_id": uuid.uuid4(), "body_hash": b"0",
            "finish_reason": finish_reason or ("found_error" if -1 in ratings else "solution"), "active_ms": 60_000, "total_ms": 90_000,
        } | fields
    )  # fmt: skip
    StepLabel.objects.bulk_create(StepLabel(annotation=annotation, step_index=step, rating=rating) for step, rating in enumerate(ratings))
    return annotation


def tasks(project: Project, count: int, *, generation: int | None = None, **fields: Any) -> list[Task]:
    solutions = [make.solution(make.problem(project, **fields)) for _ in range(count)]
    return list(make.batch(project, solutions, generation=generation).task_set.order_by("pk"))


def label_all(those: list[Task], *persons_and_ratings: tuple[User, tuple[int, ...]], **fields: Any) -> None:
    for task in those:
        for person, ratings in persons_and_ratings:
            label(task, person, ratings, **fields)


def count(project: Project) -> quality.AgreementFigures:
    return quality.count_agreement(project)[0]


def test_two_people_agree_where_both_mark_the_same_step_or_none(project: Project) -> None:
    ann, ben = make.ann(project), make.ben(project)
    those = tasks(project, 12)
    label_all(those[:6], (ann, SECOND), (ben, SECOND))
    label_all(those[6:9], (ann, RIGHT), (ben, RIGHT))
    label_all(those[9:], (ann, SECOND), (ben, THIRD))
    figures = count(project)
    assert (figures.shared, figures.people, figures.total.exact.value) == (12, 2, 0.75)
    assert figures.total.on_mistakes.value == pytest.approx(6 / 9)
    assert figures.total.exact.interval is not None and figures.total.alpha.value is not None


def test_practice_refused_newcomers_and_quarantine_are_not_compared(project: Project) -> None:
    ann, ben = make.ann(project), make.ben(project)
    [work] = tasks(project, 1)
    label_all([work], (ann, SECOND), (ben, SECOND))
    for kind in (BatchKind.PRACTICE, BatchKind.SCREENING):
        batch = Batch.objects.create(project=project, generation=-1, kind=kind, state="open")
        task = Task.objects.create(batch=batch, solution=make.solution(make.problem(project)))
        label_all([task], (ann, SECOND), (ben, THIRD))
    assert (count(project).shared, count(project).total.exact.value) == (1, 1.0)
    Membership.objects.filter(user=ben).update(quarantined_at=Now())
    assert count(project).shared == 0
    Membership.objects.filter(user=ben).update(quarantined_at=None)
    assert count(project).shared == 1


def test_agreement_is_counted_by_batch_and_by_pair_of_people(project: Project) -> None:
    ann, ben, rolf = make.ann(project), make.ben(project), make.rolf(project)
    old, new = tasks(project, 2, generation=0), tasks(project, 3, generation=1)
    label_all(old, (ann, SECOND), (ben, THIRD))
    label_all(new, (ann, SECOND), (rolf, SECOND))
    figures = count(project)
    assert [(row.figures.n, row.figures.exact.value) for row in figures.batches] == [(3, 1.0), (2, 0.0)]
    assert set(quality.batch_names(figures).values()) == {"selected batch 0", "selected batch 1"}
    named = quality.named_pairs(project, figures, by_name=True)
    assert [(pair.first, pair.second, pair.figures.exact.value) for pair in named] == [("ann", "rolf", 1.0), ("ann", "ben", 0.0)]
    pseudonyms = {str(row.export_uuid)[:8] for row in Membership.objects.filter(project=project)}
    hidden = quality.named_pairs(project, figures, by_name=False)
    assert {name for pair in hidden for name in (pair.first, pair.second)} == pseudonyms


def test_agreement_is_counted_by_week_and_by_month_after_half_a_year(project: Project) -> None:
    ann, ben = make.ann(project), make.ben(project)
    monday = timezone.now().replace(hour=12) - timedelta(days=timezone.now().weekday())
    those = tasks(project, 3)
    for task, weeks in zip(those, (0, 1, 1), strict=True):
        label_all([task], (ann, SECOND), (ben, SECOND), created_at=monday - timedelta(weeks=weeks))
    weeks = [(row.key, row.figures.n) for row in count(project).periods]
    assert weeks == [((monday - timedelta(weeks=1)).date().isoformat(), 2), (monday.date().isoformat(), 1)]
    label_all(tasks(project, 1), (ann, SECOND), (ben, SECOND), created_at=monday - timedelta(weeks=60))
    assert {row.key[-2:] for row in count(project).periods} == {"01"}


def test_the_difficulty_of_the_problem_explains_a_part(project: Project) -> None:
    ann, ben = make.ann(project), make.ben(project)
    label_all(tasks(project, 8, level="1", subject="sums"), (ann, RIGHT), (ben, RIGHT))
    label_all(tasks(project, 8, level="5", subject="sums"), (ann, SECOND), (ben, SECOND))
    figures = count(project)
    explained = dict(figures.explained)
    assert explained["length of the solution"] == pytest.approx(7 / 15)
    assert explained["length and level of the problem"] == 1
    assert "length and subject of the problem" not in explained  # all have the same one
    assert [(row.key, row.figures.n) for row in figures.levels] == [("1", 8), ("5", 8)]


def test_the_score_by_which_a_round_chose_a_solution_makes_fifths(project: Project) -> None:
    ann, ben = make.ann(project), make.ben(project)
    those = tasks(project, 10)
    for place, task in enumerate(those):
        Task.objects.filter(pk=task.pk).update(verifier_score=place / 10)
    label_all(those, (ann, SECOND), (ben, SECOND))
    assert [row.figures.n for row in count(project).scores] == [2, 2, 2, 2, 2]
    Task.objects.update(verifier_score=0.5)
    assert [row.figures.n for row in count(project).scores] == [10]


def adjudicate(solution: Solution, person: User, ratings: tuple[int, ...]) -> None:
    batch, _ = Batch.objects.get_or_create(project=solution.problem.project, generation=0, kind=BatchKind.REVIEW, state="closed")
    label(Task.objects.create(batch=batch, solution=solution), person, ratings)


def test_labels_are_compared_with_adjudications_before_and_after_their_correction(project: Project) -> None:
    ann, ben, rolf = make.ann(project), make.ben(project), make.rolf(project)
    those = tasks(project, 2)
    label_all(those, (ann, SECOND), (ben, THIRD))
    for task in those:
        adjudicate(task.solution, rolf, SECOND)
    assert count(project).total.exact.value == 0  # an adjudication is no opinion among others
    wrong = Annotation.objects.filter(labeler=ben).order_by("pk")[0]
    end = {"finish_reason": "found_error", "active_ms": 9, "total_ms": 9}
    labels.revise(wrong.pk, labeler=ben, submission_id=uuid.uuid4(), ratings=rated(*SECOND), **end)
    review = count(project).review
    assert review is not None and review.solutions == 2
    assert (review.before.exact.value, review.after.exact.value) == (0.0, 0.5)
    assert (review.right_before.value, review.right_after.value) == (0.5, 0.75)


def test_each_version_of_the_guidelines_has_its_labels(project: Project) -> None:
    ann, ben = make.ann(project), make.ben(project)
    old, new = tasks(project, 2), tasks(project, 2)
    GoldAnswer.objects.create(solution=old[0].solution, acceptable_first_errors=[0])
    GoldAnswer.objects.create(solution=new[0].solution, acceptable_first_errors=[1])
    label_all(old, (ann, SECOND), (ben, THIRD), guidelines_version=1)
    Project.objects.filter(pk=project.pk).update(guidelines="Read the last line twice.")
    project.refresh_from_db()
    label_all(new, (ann, SECOND), (ben, SECOND), guidelines_version=2, active_ms=30_000)
    label_all(tasks(project, 1), (ann, SECOND), guidelines_version=None)
    first, second = count(project).versions
    assert (first.number, first.labels, first.figures.exact.value, first.within, first.minutes) == (
        1,
        4,
        0.0,
        (0, 2),
        Measured(1.0, None, 4, is_few=True),
    )
    assert (second.number, second.labels, second.figures.exact.value, second.within, second.found) == (2, 4, 1.0, (2, 2), (4, 4))


def test_a_large_project_is_counted_on_a_sample_that_stays_the_same(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreeing, "SAMPLE", 3)
    ann, ben = make.ann(project), make.ben(project)
    label_all(tasks(project, 7), (ann, SECOND), (ben, SECOND))
    figures = count(project)
    assert (figures.shared, figures.sampled, figures.total.n) == (7, 3, 3)
    assert count(project) == figures


def test_a_large_project_is_counted_by_a_worker(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(agreeing, "SMALL", 1)
    monkeypatch.setattr(agreeing.current_app, "send_task", lambda name, args, **_: asked.append((name, args)))
    label_all(tasks(project, 1), (make.ann(project), SECOND), (make.ben(project), SECOND))
    assert quality.agreement_of(project) == (None, None)
    assert asked == [("annotation.tasks.count_agreement", [project.pk])]
    client = signed_in(make.olga(project))
    assert "a worker counts them first" in client.get(reverse("agreement", args=["sums"])).content.decode()
    assert quality.count_agreement_again(project.pk) and not quality.count_agreement_again(project.pk)
    figures, counted_at = quality.agreement_of(project)
    assert figures is not None and figures.shared == 1 and counted_at is not None
    assert len(asked) == 2  # fresh figures ask nobody


def test_figures_come_back_from_the_table_as_they_were_counted(project: Project) -> None:
    ann, ben, rolf = make.ann(project), make.ben(project), make.rolf(project)
    those = tasks(project, 12, level="2")
    label_all(those, (ann, SECOND), (ben, THIRD), guidelines_version=1)
    adjudicate(those[0].solution, rolf, SECOND)
    figures, counted_at = quality.count_agreement(project)
    assert quality.agreement_of(project) == (figures, counted_at)


def test_figures_of_an_older_version_are_counted_again(project: Project) -> None:
    ProjectAgreement.objects.create(project=project, counted_at=timezone.now(), values={"shared": 4})
    assert quality.agreement_of(project)[0] == quality.AgreementFigures()


# --- pages and command ----------------------------------------------------------------------------------------------------------


def test_the_page_and_the_command_show_the_same_figures(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    ann, ben = make.ann(project), make.ben(project)
    label_all(tasks(project, 12), (ann, SECOND), (ben, SECOND))
    label_all(tasks(project, 3), (ann, SECOND), (ben, THIRD))
    page = signed_in(make.olga(project)).get(reverse("agreement", args=["sums"])).content.decode()
    call_command("agreement", project="sums")
    printed = capsys.readouterr().out
    total = count(project).total
    for words in (total.exact.as_share, total.on_mistakes.as_share, total.alpha.as_number):
        assert words in page and words in printed
    assert "alpha is optimistic" in page.lower()


def test_managers_read_names_and_researchers_pseudonyms(project: Project) -> None:
    label_all(tasks(project, 1), (make.ann(project), SECOND), (make.ben(project), SECOND))
    for person, is_named in ((make.olga(project), True), (make.rita(project), False)):
        client = signed_in(person)
        page = client.get(reverse("agreement", args=["sums"])).content.decode()
        file = client.get(reverse("agreement-file", args=["sums", "people"])).content.decode()
        assert ("ann and ben" in page, "ann and ben" in file) == (is_named, is_named)


def test_each_table_is_a_file(project: Project) -> None:
    label_all(tasks(project, 2, level="4"), (make.ann(project), SECOND), (make.ben(project), THIRD), guidelines_version=1)
    client = signed_in(make.rita(project))
    lines = client.get(reverse("agreement-file", args=["sums", "level"])).content.decode().splitlines()
    assert lines[0].startswith("level,solutions,pairs,alpha,alpha_low,alpha_high,same_first_mistake,")
    assert lines[1].startswith("4,2,2,") and ",0.0000,,," in lines[1]
    effect = client.get(reverse("agreement-file", args=["sums", "guidelines"])).content.decode().splitlines()
    assert effect[1].startswith("1,4,0.0000,,,,,,1.0000,0.5101,1.0000,1.0000")
    assert client.get(reverse("agreement-file", args=["sums", "nothing"])).status_code == 404


def test_solutions_of_one_problem_have_no_interval(project: Project) -> None:
    problem = make.problem(project)
    solutions = [make.solution(problem) for _ in range(12)]
    rows = list(make.batch(project, solutions).task_set.order_by("pk"))
    label_all(rows, (make.ann(project), SECOND), (make.ben(project), SECOND))
    assert count(project).total.exact.as_share == "100% (few)"


def test_a_file_of_figures_holds_no_formula(project: Project) -> None:
    people = [make.person(name, project) for name in ("@sum", "+cmd")]
    label_all(tasks(project, 3, level="=1+1", subject="-2+3"), *zip(people, (SECOND, THIRD), strict=True))
    label_all(tasks(project, 3, level="-4"), *zip(people, (SECOND, FIRST), strict=True))
    client = signed_in(make.olga(project))
    files = {name: client.get(reverse("agreement-file", args=["sums", name])).content.decode() for name in ("people", "level", "subject")}
    rows = {name: [line.split(",")[0] for line in file.splitlines()[1:]] for name, file in files.items()}
    assert rows == {"people": ["'+cmd and @sum"], "level": ["-4", "'=1+1"], "subject": ["'-2+3"]}
    assert ",-0." in files["people"], "A negative alpha stays a number."


def test_many_pairs_of_people_are_folded_after_ten_and_the_file_has_all(project: Project) -> None:
    people = [make.person(f"p{number}", project) for number in range(6)]
    label_all(tasks(project, 1), *((person, SECOND) for person in people))
    client = signed_in(make.olga(project))
    page = client.get(reverse("agreement", args=["sums"])).content.decode()
    shown, folded = page.split("<summary>5 more</summary>")
    assert (shown.count('<th scope="row">p'), folded.count('<th scope="row">p')) == (10, 5)
    assert len(client.get(reverse("agreement-file", args=["sums", "people"])).content.decode().splitlines()) == 16


def test_one_week_alone_makes_no_chart_over_time(project: Project) -> None:
    both = (make.ann(project), SECOND), (make.ben(project), THIRD)
    label_all(tasks(project, 2), *both)
    client = signed_in(make.olga(project))
    words, address = "A chart over time needs labels", reverse("agreement", args=["sums"])
    assert words in client.get(address).content.decode()
    label_all(tasks(project, 1), *both, created_at=timezone.now() - timedelta(weeks=3))
    ProjectAgreement.objects.all().delete()
    assert words not in client.get(address).content.decode()


def test_one_labeler_alone_is_told_that_nothing_can_be_compared(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    label_all(tasks(project, 3), (make.ann(project), SECOND))
    assert "No solution has labels of two people yet" in signed_in(make.olga(project)).get("/p/sums/quality/").content.decode()
    call_command("agreement", project="sums")
    assert capsys.readouterr().out.startswith("No solution of sums has labels of two people yet.")


def test_people_who_all_find_nothing_agree_and_alpha_is_not_defined(project: Project) -> None:
    label_all(tasks(project, 3), (make.ann(project), RIGHT), (make.ben(project), RIGHT))
    page = signed_in(make.olga(project)).get("/p/sums/quality/").content.decode()
    assert "100% (few)" in page and "Alpha is not defined: all steps that two people rated have the same rating." in page


def test_a_solution_that_all_gave_up_on_has_no_agreement_on_the_first_mistake(project: Project) -> None:
    label_all(tasks(project, 1), (make.ann(project), (1,)), (make.ben(project), (1,)), finish_reason="give_up")
    page = signed_in(make.olga(project)).get("/p/sums/quality/").content.decode()
    assert "Nobody judged the same solution as somebody else: people gave up, or called the problem bad." in page


def test_an_interactive_project_says_that_verdicts_cannot_be_compared() -> None:
    project = make.project("walks", step_source="interactive")
    label_all(tasks(project, 1), (make.ann(project), SECOND), (make.ben(project), THIRD))
    assert "their verdicts cannot be compared" in signed_in(make.olga(project)).get("/p/walks/quality/").content.decode()
    assert count(project) == quality.AgreementFigures()
    with pytest.raises(CommandError, match="interactive project") as refused:
        call_command("agreement", project="walks")
    assert refused.value.returncode == 2
