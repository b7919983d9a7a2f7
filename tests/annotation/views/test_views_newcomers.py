"""The page of the newcomers: its forms, and what it answers."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotation import export
from annotation.models import Annotation, Membership, Project
from tests import make
from tests.clients import signed_in
from tests.newcomers import failed, more_gold, screened_project

pytestmark = pytest.mark.django_db

PLACE = "/p/sums/people/newcomers/"


@pytest.fixture
def project() -> Project:
    return screened_project()


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga())


def act(olga: Client, name: str, act: str, seen: str | None = None) -> str:
    """Press a button of the page of a person, and return the sentence that comes."""
    number = Membership.objects.get(user__username=name).pk
    shown = olga.get(f"{PLACE}?person={number}").context["shown"].chosen
    answer = olga.post(PLACE, {"person": number, "act": act, "seen": shown.seen if seen is None else seen}, follow=True)
    return str(answer.context["error"] or next(iter(answer.context["messages"])))


def test_each_decision_says_what_it_did(project: Project, olga: Client) -> None:
    more_gold(project, 5)
    for name in ("ann", "ben", "cleo"):
        failed(project, name)
    assert act(olga, "ann", "refuse") == "ann is refused. Their home page says so. You can still admit this person."
    assert act(olga, "ann", "admit") == "ann is admitted and can label real work."
    assert act(olga, "ben", "repeat") == "ben gets 4 other questions. Their home page says so."
    assert "This page cannot do that" in act(olga, "cleo", "promote")
    assert "after you opened this page" in act(olga, "cleo", "admit", seen="x")


def test_the_next_person_who_waits_is_shown_after_a_decision(project: Project, olga: Client) -> None:
    failed(project, "ann"), failed(project, "ben")
    first = olga.get(PLACE).context["shown"].chosen
    olga.post(PLACE, {"person": first.number, "act": "refuse", "seen": first.seen})
    assert (first.username, olga.get(PLACE).context["shown"].chosen.username) == ("ann", "ben")


@pytest.mark.parametrize("person", ["0", "999999999", "x", "99999999999999999999"])
def test_an_unknown_person_is_not_found(olga: Client, person: str) -> None:
    assert olga.get(PLACE, {"person": person}).status_code == 404
    assert olga.post(PLACE, {"person": person, "act": "admit"}).status_code == 404


def test_a_member_who_is_no_newcomer_is_not_found(project: Project, olga: Client) -> None:
    number = Membership.objects.get(user__username="rolf").pk
    assert olga.get(PLACE, {"person": number}).status_code == 404


def test_a_refused_person_reads_so_at_home_and_has_no_button_to_label(project: Project, olga: Client) -> None:
    ann = failed(project)
    act(olga, "ann", "refuse")
    html = signed_in(ann).get("/").content.decode()
    assert "a manager decided that you do not label in Sums" in html and "Start labeling" not in html and "waiting" not in html
    label = signed_in(ann).get(reverse("label", args=["sums"]))
    assert "a manager decided that you do not label in Sums" in label.content.decode()


def test_the_person_page_leads_to_the_answers(project: Project, olga: Client) -> None:
    number = Membership.objects.get(user=failed(project)).pk
    act(olga, "ann", "refuse")
    html = olga.get(reverse("member", args=["sums", number])).content.decode()
    assert f"{PLACE}?person={number}" in html and "does not label here" in html


def test_the_list_of_labels_marks_what_does_not_count_and_says_why(project: Project, olga: Client) -> None:
    failed(project)
    html = olga.get("/p/sums/labels/").content.decode()
    assert html.count('<span class="chip left-out">not admitted</span>') == 4 + 1  # and once beside what it means
    assert "A screening answer of a person who is not admitted counts in exports only." in html
    of_ann = olga.get("/p/sums/labels/?by=ann").context["annotations"]
    assert {row.mark for row in of_ann} == {"not admitted"}
    page = olga.get(f"/p/sums/labels/{of_ann[0].pk}/").content.decode()
    assert "counts in exports only" in page


def test_labels_that_count_have_no_mark(project: Project, olga: Client) -> None:
    html = olga.get("/p/sums/labels/").content.decode()
    assert "left-out" not in html


def test_the_page_of_a_solution_marks_the_label_of_a_person_in_quarantine_and_compares_it_with_no_model(
    project: Project, olga: Client
) -> None:
    solution = Annotation.objects.first().solution
    Membership.objects.filter(user__username="rolf").update(quarantined_at="2026-01-01T00:00Z")
    page = olga.get(f"/p/sums/solutions/{solution.pk}/")
    assert [(verdict.labeler, verdict.mark, verdict.is_opinion) for verdict in page.context["verdicts"]] == [
        ("rolf", "in quarantine", False)
    ]
    assert '<span class="chip left-out">in quarantine</span>' in page.content.decode()
    assert '<span class="chip left-out">in quarantine</span>' in olga.get("/p/sums/solutions/?by=rolf").content.decode()


def test_the_page_of_the_data_offers_to_leave_newcomers_out_only_where_there_are_some(project: Project, olga: Client) -> None:
    assert "without_newcomers" in olga.get("/p/sums/data/").content.decode()
    make.olga(make.project("other"))
    assert "without_newcomers" not in olga.get("/p/other/data/").content.decode()


def test_a_download_leaves_newcomers_out_on_demand(project: Project, olga: Client, settings: Any, tmp_path: Path) -> None:
    settings.STEPMARK_HOME = tmp_path
    failed(project)
    sizes = []
    for body in ({}, {"without_newcomers": "on"}):
        order = olga.post("/p/sums/data/labels/", body)["Location"]
        done = export.run_order(int(order.split("/")[-2]))
        assert done and done.snapshot
        sizes.append(done.snapshot.count)
    assert sizes == [14, 10]
