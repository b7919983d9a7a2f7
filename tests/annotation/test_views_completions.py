"""Alternatives and completions on the labeling page, and the request for what comes next, as a browser meets them."""

import html
import json
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation.models import Annotation, Assignment, Project, Solution, StepAlternative
from tests import make
from tests.clients import claim, page, post, rated, refusal, signed_in, submission

pytestmark = pytest.mark.django_db


def generate(problem: str, steps: list[str], count: int) -> list[str]:
    if len(steps) > 1:
        raise RuntimeError("no idea")
    return [f"On {number}." for number in range(count)]


def loaded(**fields: Any) -> Project:
    project = make.project(**fields)
    solution = make.solution(make.problem(project), ["One.", "Two."])
    for step, text in ((1, "Other."), (1, "<b>Third</b>.")):
        position = StepAlternative.objects.filter(solution=solution, step_index=step).count() + 1
        StepAlternative.objects.create(solution=solution, step_index=step, position=position, text=text)
    make.batch(project, [solution])
    return project


def ann(project: Project) -> Client:
    return signed_in(make.ann(project))


def completions(shown: str) -> list[list[str]]:
    """Read the completions out of the page, as its script does."""
    return [[one["text"] for one in step] for step in json.loads(html.unescape(re.search(r'data-completions="([^"]*)"', shown).group(1)))]


def test_alternatives_lie_beside_their_step_only_where_the_project_asks_for_them() -> None:
    project = loaded(alternatives_after_error=True)
    client = ann(project)
    with CaptureQueriesContext(connection) as asked:
        shown = page(client, project)
    assert re.findall(r'data-alternatives="(\d+)" hidden', shown) == ["1"]
    assert re.findall(r'data-position="(\d+)"', shown) == ["1", "2"] and "&lt;b&gt;Third&lt;/b&gt;." in shown
    Project.objects.update(alternatives_after_error=False)
    with CaptureQueriesContext(connection) as plain:
        shown = page(client, project)
    assert "Other." not in shown and not re.search("data-mistake|data-alternatives", shown)
    assert not any("stepalternative" in query["sql"] for query in plain.captured_queries)
    assert sum("stepalternative" in query["sql"] for query in asked.captured_queries) == 1


def test_what_was_loaded_ahead_is_all_in_an_interactive_page() -> None:
    project = loaded(step_source="interactive")
    shown = page(ann(project), project)
    assert completions(shown) == [["One."], ["Two.", "Other.", "<b>Third</b>."]]
    assert "data-by-path" not in shown


def test_with_a_generator_the_page_holds_what_lies_along_its_draft_and_asks_for_the_rest(settings: Any) -> None:
    settings.STEPMARK_GENERATOR = f"{__name__}.generate"
    project = loaded(step_source="interactive", completions_per_step=2)
    client = ann(project)
    held = claim(page(client, project))
    assert completions(page(client, project)) == [["One."]]
    rating = {"step": 0, "position": 0, "rating": 1, "flagged": False, "ms": 1, "chosen": True}
    post(client, "draft", held["assignment"], {"token": held["token"], "revision": 1, "ratings": [rating]})
    assert completions(page(client, project)) == [["One."], ["Two.", "Other.", "<b>Third</b>."]]
    other = {"token": held["token"], "path": [{"text": "By hand."}]}
    answer = post(client, "completions", held["assignment"], other)
    assert answer.json() == {"completions": [{"position": place, "text": f"On {place - 3}.", "is_final": False} for place in (3, 4)]}
    assert post(client, "completions", held["assignment"], other).json() == answer.json()
    written = {"step": 0, "text": "By hand.", "rating": None, "ms": 1}
    unrated = {**rating, "chosen": False, "rating": -1}
    post(client, "draft", held["assignment"], {"token": held["token"], "revision": 2, "ratings": [unrated, written]})
    assert completions(page(client, project)) == [["One."], ["On 0.", "On 1."]]


def test_a_draft_that_leads_nowhere_any_more_does_not_break_the_page(settings: Any) -> None:
    settings.STEPMARK_GENERATOR = f"{__name__}.generate"
    project = loaded(step_source="interactive")
    client = ann(project)
    held = claim(page(client, project))
    gone = [{"step": 0, "position": 7, "rating": 1, "flagged": False, "ms": 1, "chosen": True}]
    post(client, "draft", held["assignment"], {"token": held["token"], "revision": 1, "ratings": gone})
    assert completions(page(client, project)) == [["One."]]


def test_completions_are_refused_by_name(settings: Any) -> None:
    settings.STEPMARK_GENERATOR = f"{__name__}.generate"
    project = loaded(step_source="interactive")
    client = ann(project)
    held = claim(page(client, project))
    path = [{"position": 0}]
    failing = {"token": held["token"], "path": [{"position": 0}, {"text": "Well."}]}
    assert refusal(post(client, "completions", held["assignment"], failing)) == (422, "generator_failed")
    assert refusal(post(client, "completions", held["assignment"], {"token": held["token"], "path": [{"position": 9}]}))[0] == 400
    assert refusal(post(client, "completions", held["assignment"], {"token": held["token"], "path": "0"})) == (400, "bad_request")
    assert refusal(post(client, "completions", held["assignment"], {"token": held["token"] + 1, "path": path})) == (409, "lease_lost")
    assert refusal(post(signed_in(make.eve()), "completions", held["assignment"], {"token": 1, "path": path})) == (404, "not_found")
    Project.objects.update(step_source="solution")
    assert refusal(post(client, "completions", held["assignment"], {"token": held["token"], "path": path})) == (400, "not_interactive")


def test_a_reopened_page_says_what_was_wrong_only_where_that_was_asked() -> None:
    project = loaded(alternatives_after_error=True)
    client = ann(project)
    held = claim(page(client, project))
    body = submission(held["token"], rated(-1), finish_reason="give_up", reason="too long")
    assert post(client, "submit", held["assignment"], body).status_code == 200
    shown = client.get(reverse("reopen", args=[project.slug, Annotation.objects.get().pk])).content.decode()
    assert "data-reopened" in shown and "What was wrong:" not in shown
    assert re.search(r'Your reason: <q data-reason-of="give_up"[^>]*>too long</q>', shown)
    assert Assignment.objects.get().state == "done" and Solution.objects.count() == 1


def test_the_list_of_submissions_says_how_each_ended_in_words() -> None:
    project = loaded()
    client = ann(project)
    held = claim(page(client, project))
    post(client, "submit", held["assignment"], submission(held["token"], rated(-1)))
    listed = client.get(reverse("recent", args=[project.slug])).content.decode()
    assert "mistake found" in listed and "Found Error" not in listed
