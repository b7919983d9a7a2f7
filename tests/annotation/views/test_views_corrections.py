"""The page of a problem: a manager sees what another reference answer changes, and then corrects it."""

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from annotation import queue
from annotation.models import Event, Problem, Project, Role, Solution
from tests import make
from tests.annotation.test_corrections import outcomes, sums
from tests.clients import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project()


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def address(problem: Problem) -> str:
    return reverse("problem", args=[problem.project.slug, problem.pk])


def text(answer: Any) -> str:
    """The text of a page, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())


def fingerprint(answer: Any) -> str:
    found = re.search(r'name="seen" value="(\w+)"', answer.content.decode())
    assert found
    return found[1]


@pytest.mark.parametrize("role", Role.values)
def test_only_managers_and_owners_open_the_page(project: Project, role: str) -> None:
    problem, *_ = sums(project)
    client = signed_in(make.person("somebody", project, role))
    expected = 200 if role in ("owner", "manager") else 404
    assert client.get(address(problem)).status_code == expected
    assert client.post(address(problem), {"answer": "4"}).status_code == expected


def test_a_problem_of_another_project_is_not_found(project: Project, olga: Client) -> None:
    other = make.problem(make.project("other"))
    assert olga.get(reverse("problem", args=["sums", other.pk])).status_code == 404


def test_the_page_shows_the_answers_of_the_solutions(project: Project, olga: Client) -> None:
    problem, *_ = sums(project)
    shown = text(olga.get(address(problem)))
    assert "What is 2 + 2?" in shown and "Reference answer 5" in shown
    assert "4 wrong 1" in shown and "5 correct 1" in shown
    assert "What changes" not in shown


def test_it_shows_first_what_changes_and_changes_nothing(project: Project, olga: Client) -> None:
    problem, four, _ = sums(project)
    queue.open_batch(project, [queue.Chosen(four.pk, premise="wrong")])
    shown = text(olga.post(address(problem), {"answer": "4"}))
    assert "2 solutions are graded again. 2 of them get another outcome." in shown
    assert "4 wrong correct 1 5 correct wrong 1" in shown
    assert f"solution {four.pk} (batch 0): chosen because its answer was wrong, but it is correct" in shown
    assert outcomes() == {"4": "wrong", "5": "correct"} and not Event.objects.exists()


@pytest.mark.parametrize("withdraw", [False, True])
def test_then_it_corrects_the_answer_and_withdraws_only_if_that_is_wanted(project: Project, olga: Client, withdraw: bool) -> None:
    problem, four, _ = sums(project)
    queue.open_batch(project, [queue.Chosen(four.pk, premise="wrong")])
    body = {"answer": "4", "seen": fingerprint(olga.post(address(problem), {"answer": "4"}))} | ({"withdraw": "on"} if withdraw else {})
    shown = text(olga.post(address(problem), body, follow=True))
    assert "The answer is corrected. Another outcome: 2 solutions." in shown
    assert ("Withdrawn: 1 solution." in shown) is withdraw
    assert outcomes() == {"4": "correct", "5": "wrong"}
    assert Solution.objects.filter(withdrawn_at__isnull=False).count() == withdraw
    assert Event.objects.filter(verb="correct").get().actor == make.olga()
    assert "Corrections so far olga" in shown and "reference answer: '5' becomes '4'" in shown


def test_what_changed_since_it_was_shown_is_shown_again_before_anything_is_done(project: Project, olga: Client) -> None:
    problem, *_ = sums(project)
    seen = fingerprint(olga.post(address(problem), {"answer": "4"}))
    make.solution(problem, final_answer="6")
    answer = olga.post(address(problem), {"answer": "4", "seen": seen})
    assert "Something changed since you looked." in text(answer)
    assert Problem.objects.get().answer == "5"
    olga.post(address(problem), {"answer": "4", "seen": fingerprint(answer)})
    assert Problem.objects.get().answer == "4"


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "The answer is empty"),
        ("5", "has this reference answer already"),
        ("4" * 20_001, "the limit is 20,000"),
        ("4\0", "NUL character"),
    ],
)
def test_an_answer_that_cannot_be_taken_is_refused_on_the_page(project: Project, olga: Client, typed: str, reason: str) -> None:
    problem, *_ = sums(project)
    answer = olga.post(address(problem), {"answer": typed})
    assert answer.status_code == 400 and reason in text(answer)
    assert Problem.objects.get().answer == "5"


def test_an_answer_of_two_lines_is_the_same_answer_when_it_comes_back(project: Project, olga: Client) -> None:
    problem = make.problem(project, answer="a\nb")
    assert "has this reference answer already" in text(olga.post(address(problem), {"answer": "a\r\nb"}))


def test_the_pages_of_labels_lead_managers_to_the_problem(project: Project) -> None:
    from tests.annotation.test_withdrawing import hand_in

    make.batch(project, make.solutions(project, 1))
    stored = hand_in(queue.lease_next(make.ann(project), project=project), make.ann())
    link = f'href="{address(stored.solution.problem)}"'
    page = reverse("annotation", args=["sums", stored.pk])
    assert link in signed_in(make.olga(project)).get(page).content.decode()
    assert link not in signed_in(make.rita(project)).get(page).content.decode()


def test_the_administration_leads_to_the_page(project: Project) -> None:
    problem = make.problem(project)
    person = make.person("sam")
    person.is_staff = True
    person.save()
    person.user_permissions.set(Permission.objects.filter(codename="view_problem"))
    page = signed_in(person).get(reverse("admin:annotation_problem_change", args=[problem.pk])).content.decode()
    assert f'href="{address(problem)}"' in page
