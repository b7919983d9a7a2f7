"""One navigation for all pages of a project: the sections that a role can open, and which of them the page belongs to."""

import re

import pytest
from django.test import Client
from django.test.utils import override_script_prefix
from django.urls import reverse

from annotation import people
from annotation.models import Project, Role
from labelapp.pages import navigation
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project("sums", name="Sums")


def shown(client: Client, path: str) -> tuple[list[str], list[str]]:
    """Return the sections that a page shows, and those that it marks as the present one."""
    html = client.get(path).content.decode()
    bar = re.search(r'<nav class="sections".*?</nav>', html, re.DOTALL)
    entries = re.findall(r'<a href="([^"]+)"( aria-current="page")?>([^<]+)</a>', bar[0]) if bar else []
    return [words for _, _, words in entries], [words for _, is_current, words in entries if is_current]


@pytest.mark.parametrize("role", [role for role in Role.values if role != Role.FORMER])
def test_every_section_that_a_role_sees_opens(project: Project, role: str) -> None:
    person = make.person("ann", project, role)
    links = navigation.links(people.access_to("sums", person=person, roles=Role.values), "/p/sums/")
    client = signed_in(person)
    assert [client.get(link.url).status_code for link in links] == [200] * len(links) != []


@pytest.mark.parametrize("section", navigation.SECTIONS, ids=lambda section: section.page)
def test_a_section_hides_from_every_role_that_cannot_open_it(project: Project, section: navigation.Section) -> None:
    elsewhere = {role for other in navigation.SECTIONS if set(section.paths) <= set(other.paths) for role in other.roles}
    for role in sorted(set(Role.values) - set(section.roles) - elsewhere):
        person = make.person(f"a-{role}", project, role)
        refused = 403 if section.page == "label" and role in people.RESEARCHERS else 404  # 403: a page that says why
        assert signed_in(person).get(reverse(section.page, args=["sums"])).status_code == refused


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("overview", "Overview"),
        ("solutions", "Solutions"),
        ("annotations", "Solutions"),
        ("people", "People"),
        ("messages", "People"),
        ("rounds", "Rounds"),
        ("compose", "Rounds"),
        ("schedule", "Rounds"),
        ("redundancy", "Quality"),
        ("models", "Models"),
        ("data", "Data"),
        ("settings", "Settings"),
        ("audit", "Settings"),
        ("webhooks", "Settings"),
        ("guidelines", "Settings"),
    ],
)
def test_a_page_marks_its_section(project: Project, name: str, section: str) -> None:
    words, current = shown(signed_in(make.olga(project)), reverse(name, args=["sums"]))
    assert current == [section] and words[0] == "Overview"


def test_a_page_of_no_project_has_no_sections(project: Project) -> None:
    assert shown(signed_in(make.olga(project)), "/") == ([], [])


def test_a_site_under_a_prefix_marks_the_same_section(project: Project) -> None:
    client = signed_in(make.olga(project))
    with override_script_prefix("/stepmark/"):
        html = client.get("/p/sums/models/").content.decode()
    assert '<a href="/stepmark/p/sums/models/" aria-current="page">Models</a>' in html


def test_the_project_leads_to_its_overview_for_those_who_can_open_it(project: Project) -> None:
    place = '<a class="place" href="/p/sums/">Sums</a>'
    assert place in signed_in(make.rita(project)).get("/p/sums/models/").content.decode()
    page = signed_in(make.ann(project)).get("/p/sums/label/").content.decode()
    assert place not in page and '<span class="place">Sums</span>' in page
