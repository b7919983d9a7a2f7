"""The pages as a browser meets them: who gets where, and what stands on all but the labeling page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation import export
from annotation.models import Annotation, DataOrder, Project
from tests import make
from tests.clients import claim, page, post, rated, signed_in, submission

pytestmark = pytest.mark.django_db


# --- signing out ----------------------------------------------------------------------------------------------------------


def test_signing_out_takes_a_post(ann: Client) -> None:
    assert ann.get(reverse("sign-out")).status_code == 405
    assert ann.post(reverse("sign-out"))["Location"] == reverse("sign-in")
    assert ann.get(reverse("home")).status_code == 302


# --- home, overview, guidelines, export ---------------------------------------------------------------------------------


def test_home_shows_my_projects_and_my_day(project: Project, ann: Client) -> None:
    make.project("foreign", name="Not mine")
    held = claim(page(ann, project))
    post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1), active_ms=90_000, total_ms=90_000))
    html = ann.get(reverse("home")).content.decode()
    assert "Not mine" not in html
    figures = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)<", html))
    assert figures["today"] == "1" and figures["pace today"] == "1.5\u00a0min"
    assert "1 solution waiting" in html  # one is done, the next is leased
    assert reverse("label", args=[project.slug]) in html and f'"{reverse("overview", args=[project.slug])}"' not in html


def test_overview_counts_what_the_queue_holds(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    post(ann, "submit", held["assignment"], submission(held["token"], rated(1, -1)))
    html = signed_in(make.olga(project)).get(reverse("overview", args=[project.slug])).content.decode()
    figures = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)<", html))
    assert [figures[name] for name in ("waiting", "in progress", "done", "solutions loaded", "solutions labeled")] == [
        "1",
        "1",
        "1",
        "3",
        "1",
    ]
    assert "People found a mistake in 1 of 1 labeled solution with a wrong final answer, 100% (21% to 100%)." in html
    assert re.search(r"mistake found</td><td class=\"number\">1<", html)
    assert reverse("loop", args=[project.slug]) in html


@pytest.mark.parametrize("person", [make.olga, make.rita])
def test_nobody_who_sees_the_overview_is_offered_to_label(project: Project, person: Callable[[Project], User]) -> None:
    client = signed_in(person(project))
    for address in (reverse("overview", args=[project.slug]), reverse("home")):
        assert "labeling</a>" not in client.get(address).content.decode()


def test_guidelines_are_markdown_and_never_html(project: Project, ann: Client) -> None:
    text = "# Rate\n\n**Each** `step`\n\n- one\n- two\n\n<script>alert(1)</script>\n\n[in](javascript:alert(2)) [out](https://example.org/?a=1&b=2)"
    Project.objects.filter(pk=project.pk).update(guidelines=text)
    html = ann.get(reverse("guidelines", args=[project.slug]), headers={"HX-Request": "true"}).content.decode()
    assert '<h3 dir="auto">Rate</h3>' in html and "<strong>Each</strong> <code>step</code>" in html and html.count("<li>") == 2
    assert "<script" not in html and "&lt;script&gt;" in html
    assert 'href="javascript' not in html and 'href="https://example.org/?a=1&amp;b=2"' in html


HOSTILE = {
    "quotes": ">" * 300 + " the end",
    "lists": "- " * 300 + "the end",
    "brackets": "[" * 60_000 + " the end",
    "stars": "*" * 50_000 + " the end",
    "length": "words " * 60_000 + " the end",
    "formulas": "$x$ " * 24_000 + " the end",
    "open formulas": "\\[" * 30 + "\\(" * 40_000 + "\\boxed{{" * 2_000 + " the end",
    "places": "&#xE000;7&#xE001; \ue0009\ue001 &#xE000;" + "9" * 5_000 + "&#xE001; $x$ the end",
    "a table": "| a |\n|---|\n" + "| 1 |\n" * 5_000 + "\nthe end",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_guidelines_that_cannot_be_rendered_are_shown_whole(project: Project, ann: Client, text: str) -> None:
    Project.objects.filter(pk=project.pk).update(guidelines=text)
    answer = ann.get(reverse("guidelines", args=[project.slug]))
    assert answer.status_code == 200 and "the end" in answer.content.decode()


def test_an_export_is_a_download_of_checked_records(project: Project, ann: Client, settings: Any, tmp_path: Path) -> None:
    settings.STEPMARK_HOME = tmp_path
    held = claim(page(ann, project))
    post(ann, "submit", held["assignment"], submission(held["token"], rated(1, -1)))
    rita = signed_in(make.rita(project))
    order = rita.post(reverse("download-labels", args=[project.slug]))["Location"]
    export.run_order(DataOrder.objects.get().pk)
    answer = rita.get(f"{order}files/sums-snapshot-1-prm800k.jsonl")
    assert answer["Content-Disposition"] == 'attachment; filename="sums-snapshot-1-prm800k.jsonl"'
    path = tmp_path / "download.jsonl"
    path.write_bytes(b"".join(answer.streaming_content))
    [(_, published)] = export.read_prm800k(path)
    assert [step["completions"][0]["rating"] for step in published["label"]["steps"]] == [1, -1]
    export.check_prm800k(path)


# --- the administration -------------------------------------------------------------------------------------------------


def test_the_administration_opens_for_every_table(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1)))
    olga = make.olga(project)
    User.objects.filter(pk=olga.pk).update(is_staff=True, is_superuser=True)
    client = signed_in(User.objects.get(pk=olga.pk))
    tables = re.findall(r'href="(/admin/annotation/[a-z]+/)"', client.get(reverse("admin:index")).content.decode())
    assert len(set(tables)) >= 11
    for table in set(tables):
        assert client.get(table, {"q": "1"}).status_code in (200, 302), table
        assert client.get(table).status_code == 200, table
    change = reverse("admin:annotation_annotation_change", args=[Annotation.objects.get().pk])
    assert client.get(change).status_code == 200 and client.post(change, {}).status_code == 403
