"""Downloads kept on the server: the newest of each project, and never more than the limits."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotation import people
from annotation.export import downloads
from annotation.models import Membership, Project, Role, Snapshot
from tests import make
from tests.clients import signed_in
from tests.exports import label

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.STEPMARK_HOME = tmp_path
    (tmp_path / "exports").mkdir()
    return tmp_path / "exports"


def download(client: Client, slug: str = "sums") -> bytes:
    return b"".join(client.post(reverse("export", args=[slug])))


def test_the_oldest_downloads_of_a_project_go_and_nothing_else(project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "KEPT_FILES", 3)
    others = ["sums-2-20200101T000000000000.jsonl", "sums-mine.jsonl", "sums-20200101.jsonl", "xsums-20200101T000000000000.jsonl"]
    for name in [*others, "sums-20200101T000000000000.jsonl"]:
        (folder / name).write_text("old")
    rita = signed_in(make.rita(project))
    for _ in range(5):
        download(rita)
    left = {path.name for path in folder.iterdir()}
    assert left >= set(others) and len(left - set(others)) == 3 and "sums-20200101T000000000000.jsonl" not in left
    kept = Snapshot.objects.order_by("-number").values_list("file", flat=True)
    assert {f"exports/{name}" for name in left - set(others)} == set(kept[:3]) and Snapshot.objects.count() == 5


def test_the_newest_download_stays_though_it_is_above_the_limit(project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "KEPT_BYTES", 10)
    label(project, 1, -1, finish_reason="found_error")
    rita = signed_in(make.rita(project))
    assert download(rita) == download(rita)
    assert [path.stat().st_size > 10 for path in folder.iterdir()] == [True]


def test_the_page_of_data_says_how_many_downloads_are_kept(project: Project) -> None:
    html = signed_in(make.rita(project)).get(reverse("data", args=["sums"])).content.decode()
    assert "keeps the files of the newest 20 downloads of a project, up to 5 GB" in html


# --- links that managers make -------------------------------------------------------------------------------------------


def test_a_manager_makes_a_sign_in_link_for_a_member(project: Project) -> None:
    make.ann(project)
    olga = signed_in(make.olga(project))
    place = reverse("member", args=["sums", Membership.objects.get(user=make.ann(), project=project).pk])
    assert 'value="ann">Sign-in link' in olga.get(place).content.decode()
    html = olga.post(reverse("make-link", args=["sums"]), {"name": "ann"}).content.decode()
    token = html.partition("sesame=")[2].partition('"')[0]
    assert people.redeem_link(token) == make.ann()


@pytest.mark.parametrize("name", ["olga", "eve", "mary", "former", "closed", "sam", "nobody", ""])
def test_a_manager_makes_no_link_for_anybody_else(project: Project, name: str) -> None:
    """Not for owners, strangers, managers of other projects, former members, closed accounts and staff."""
    make.olga(project), make.eve()
    make.person("mary", project)
    make.person("mary", make.project("other"), Role.MANAGER)
    make.person("former", project, Role.FORMER)
    for other, fields in {"closed": {"is_active": False}, "sam": {"is_staff": True}}.items():
        person = make.person(other, project)
        for field, value in fields.items():
            setattr(person, field, value)
        person.save()
    answer = signed_in(make.person("max", project, Role.MANAGER)).post(reverse("make-link", args=["sums"]), {"name": name}, follow=True)
    assert "sesame" not in answer.content.decode() and 'class="error"' in answer.content.decode()


@pytest.mark.parametrize("role", [Role.LABELER, Role.REVIEWER, Role.RESEARCHER, Role.FORMER])
def test_nobody_but_managers_makes_links(project: Project, role: str) -> None:
    make.ann(project)
    client = signed_in(make.person("rob", project, role))
    assert client.post(reverse("make-link", args=["sums"]), {"name": "ann"}).status_code == 404
