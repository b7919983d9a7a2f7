"""Parts of pages that scripts fetch. A person who opens such an address gets a whole page."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Project
from tests import make
from tests.addresses import ADDRESSES
from tests.clients import signed_in

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
PARTS = ("loop", "recent", "guidelines", "models", "recipes")


@pytest.fixture
def staff() -> Client:
    """Somebody who gets into every page of a project with one of everything, but for those of labelers."""
    project = make.project("sums", guidelines="*Rate* each step.")
    make.batch(project, make.solutions(project, 1))
    make.version(project, 1)
    olga = make.olga(project)
    olga.is_staff = olga.is_superuser = True
    olga.save()
    return signed_in(olga)


@pytest.fixture
def labeler(staff: Client) -> Client:
    return signed_in(make.ann(Project.objects.get()))


def is_whole(html: str) -> bool:
    return html.lstrip().lower().startswith("<!doctype html") and html.rstrip().endswith("</html>")


def test_every_address_that_is_opened_answers_with_a_whole_page(staff: Client, labeler: Client) -> None:
    parts, pages = [], 0
    for address in ADDRESSES:
        answer: Any = staff.get(address)
        if answer.status_code == 403:
            answer = labeler.get(address)
        if answer.status_code == 200 and "html" in answer["Content-Type"] and not answer.streaming:
            pages += 1
            if not is_whole(answer.content.decode()):
                parts.append(address)
    assert parts == [] and pages > 40


@pytest.mark.parametrize("name", PARTS)
def test_a_script_gets_the_part_alone_and_it_is_in_the_whole_page(staff: Client, labeler: Client, name: str) -> None:
    address, visitor = reverse(name, args=["sums"]), labeler if name == "recent" else staff
    part, whole = visitor.get(address, headers=HTMX).content.decode(), visitor.get(address).content.decode()
    assert not is_whole(part) and is_whole(whole)
    words = {
        "loop": "What a round does",
        "recent": "You submitted nothing",
        "guidelines": "<em>Rate</em> each step.",
        "recipes": "Only solutions that look right and are wrong.",
        "models": "Process reward models",
    }
    assert words[name] in part and words[name] in whole


def test_the_rounds_are_fetched_again_in_their_own_page(staff: Client) -> None:
    html = staff.get(reverse("loop", args=["sums"])).content.decode()
    assert 'hx-get="/p/sums/rounds/" hx-trigger="every 5s"' in html and "data-htmx" in html


@pytest.mark.parametrize("name", PARTS)
def test_a_cache_keeps_a_page_and_its_part_apart(staff: Client, labeler: Client, name: str) -> None:
    address, visitor = reverse(name, args=["sums"]), labeler if name == "recent" else staff
    for headers in ({}, HTMX):
        assert "HX-Request" in visitor.get(address, headers=headers)["Vary"].split(", ")
