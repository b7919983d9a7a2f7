"""The page Data and the pages of imports: what a manager reads at each state, and what a bad request gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from annotation import imports
from annotation.imports import states, uploading
from annotation.models import Import, ImportState, Project, Solution
from tests import make
from tests.annotation.test_formats import GENERIC
from tests.clients import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.STEPMARK_HOME = tmp_path
    for module in (states, uploading):
        monkeypatch.setattr(module, "notify_worker", lambda import_id: None)
    return tmp_path


@pytest.fixture
def project() -> Project:
    return make.project("sums", name="Sums")


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def file(*rows: dict[str, Any], name: str = "a.jsonl") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def upload(olga: Client, *rows: dict[str, Any]) -> str:
    answer = olga.post(reverse("upload", args=["sums"]), {"file": file(*rows)})
    assert answer.status_code == 302
    return str(answer.url)


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_manager_uploads_looks_and_loads(olga: Client, project: Project) -> None:
    address = upload(olga, GENERIC, {**GENERIC, "problem": "<b>two</b>", "more": 1})
    assert "It waits for a worker." in text(olga, address)
    imports.run(Import.objects.get().pk)
    page = text(olga, address)
    for words in ("waits for you", "Import 2 solutions", "1 key was not used: more (1)", "&lt;b&gt;two", "Examples, as labelers see them"):
        assert words in page, words
    assert olga.post(f"{address}load/", {"token": Import.objects.get().token}).status_code == 302
    imports.run(Import.objects.get().pk)
    assert Solution.objects.filter(problem__project=project).count() == 2
    assert "2 new solutions" in text(olga, address) and "loaded" in text(olga, reverse("data", args=["sums"]))


def test_wrong_lines_stand_in_a_table_and_there_is_no_button_to_load(olga: Client) -> None:
    address = upload(olga, GENERIC, {**GENERIC, "steps": [7]})
    imports.run(Import.objects.get().pk)
    page = text(olga, address)
    assert "1 line cannot be loaded" in page and "<td>line 2</td>" in page and "Import 1 solution" not in page
    token = Import.objects.get().token
    assert "Repair them" in olga.post(f"{address}load/", {"token": token}, follow=True).content.decode()


def test_a_failure_names_the_fields_of_the_page_and_no_options_of_commands(olga: Client) -> None:
    address = upload(olga, {"neither": 1})
    imports.run(Import.objects.get().pk)
    page = text(olga, address)
    assert "Name the format with “Format”" in page and "--format" not in page and "Nothing was stored." in page


def test_the_progress_is_a_fragment_and_a_new_state_loads_the_page_again(olga: Client) -> None:
    address = upload(olga, GENERIC)
    Import.objects.update(
        progress={"stage": "storing labels", "done": 25, "total": 100, "seconds_left": 90}, heartbeat_at="2026-01-01T00:00Z"
    )
    fragment = olga.get(f"{address}?seen=checking", headers={"HX-Request": "true"})
    assert "Storing labels" in fragment.content.decode() and "25 %, about 1.5\N{NO-BREAK SPACE}min left" in fragment.content.decode()
    assert "<html" not in fragment.content.decode()
    imports.cancel(Import.objects.get(), actor=make.olga())
    assert olga.get(f"{address}?seen=checking", headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"


def test_a_cancelled_import_offers_to_resume_and_to_delete_the_file(olga: Client, home: Path) -> None:
    address = upload(olga, GENERIC)
    olga.post(f"{address}cancel/")
    page = text(olga, address)
    assert "Resume" in page and "Delete the uploaded file" in page
    olga.post(f"{address}resume/")
    assert Import.objects.get().state == ImportState.CHECKING
    olga.post(f"{address}cancel/")
    olga.post(f"{address}discard/")
    assert "The uploaded file is deleted." in text(olga, address)


def test_two_managers_at_one_import_are_told_that_it_changed(olga: Client) -> None:
    address = upload(olga, GENERIC)
    imports.run(Import.objects.get().pk)
    seen = Import.objects.get().token
    olga.post(f"{address}load/", {"token": seen})
    answer = olga.post(f"{address}check/", {"token": seen, "steps_by": "lines", "labels": "annotations"}, follow=True)
    assert "somebody else changed this import" in answer.content.decode() and Import.objects.get().state == ImportState.LOADING


@pytest.mark.parametrize(
    ("sent", "words"),
    [({}, "Choose a file."), ({"file": SimpleUploadedFile("a.jsonl", b"")}, "The file is empty.")],
    ids=["nothing", "empty"],
)
def test_an_upload_without_content_says_so_beside_the_field(olga: Client, sent: dict[str, Any], words: str) -> None:
    answer = olga.post(reverse("upload", args=["sums"]), sent)
    assert answer.status_code == 400 and words in answer.content.decode() and Import.objects.count() == 0


def test_a_request_larger_than_the_largest_file_is_refused_before_it_is_read(
    olga: Client, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(imports, "MEGABYTES", 0)
    monkeypatch.setattr("labelapp.http.uploads.FORM_BYTES", 1_000)
    answer = olga.post(reverse("upload", args=["sums"]), {"file": SimpleUploadedFile("a.jsonl", b"x" * 2_000)})
    assert answer.status_code == 400 and "larger than 0 MB" in answer.content.decode() and not (home / "imports").exists()


def test_a_researcher_sees_the_imports_and_cannot_import(project: Project, olga: Client) -> None:
    address = upload(olga, GENERIC)
    rita = signed_in(make.rita(project))
    page = text(rita, reverse("data", args=["sums"]))
    assert "a.jsonl" in page and "Upload" not in page.replace("Uploaded", "")
    assert rita.get(address).status_code == 404 == rita.post(reverse("upload", args=["sums"]), {"file": file(GENERIC)}).status_code


def test_an_import_of_another_project_is_not_found(olga: Client) -> None:
    upload(olga, GENERIC)
    other = make.project("other")
    make.person("olga", other, "owner")
    assert olga.get(reverse("import", args=["other", Import.objects.get().pk])).status_code == 404


def test_the_list_costs_the_same_with_many_imports(
    project: Project, olga: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    address = reverse("data", args=["sums"])
    olga.get(address)
    rows = [Import(project=project, name=f"{n}.jsonl", path="x", size=1, sha256="x", created_by=make.olga()) for n in range(60)]
    counts = []
    for some in (rows[:1], rows[1:]):
        Import.objects.bulk_create(some)
        with django_assert_num_queries(counts[0] if counts else 6) as asked:
            page = text(olga, address)
        counts.append(len(asked))
    assert page.count(".jsonl</a>") == imports.SHOWN and "Older" in page
