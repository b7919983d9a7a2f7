"""What a snapshot would hold, as a program asks before it takes one."""

from typing import Any

import pytest

from annotation import export
from annotation.models import DataOrder, Project, Role, Snapshot
from tests import make
from tests.api import ask, error_of, send, token_for
from tests.exports import label

pytestmark = pytest.mark.django_db
PREVIEW = "projects/sums/snapshots/preview"


@pytest.fixture
def project() -> Project:
    project = make.project()
    make.batch(project, make.solutions(project, 2))
    label(project, 1, -1, finish_reason="found_error")
    label(project, 1, 1, 1, finish_reason="solution")
    return project


@pytest.fixture
def token(project: Project) -> str:
    return token_for(make.rita(project))


def test_a_preview_counts_what_fits_the_filter_and_shows_the_newest_annotations(project: Project, token: str) -> None:
    everything = send(PREVIEW, token, {}).json()
    assert [everything[name] for name in ("annotations", "solutions", "problems", "people")] == [2, 2, 2, 1]
    assert everything["finish_reasons"] == {"found_error": 1, "solution": 1}
    listed = ask("projects/sums/annotations", token).json()["items"]
    assert everything["examples"] == listed[::-1]
    chosen = send(PREVIEW, token, {"finish_reasons": ["solution"]}).json()
    assert (chosen["annotations"], chosen["examples"]) == (1, [listed[1]])
    assert send(PREVIEW, token, {"since": "2100-01-01"}).json()["annotations"] == 0


def test_a_preview_stores_nothing_and_a_token_that_reads_is_enough(project: Project, token: str) -> None:
    answer = send(PREVIEW, token, {})
    assert answer.status_code == 200 and answer["Cache-Control"] == "no-store"
    assert not Snapshot.objects.exists() and not DataOrder.objects.exists()
    assert error_of(send("projects/sums/snapshots", token, {})) == (403, "scope_missing")


@pytest.mark.parametrize("body,name", [({"colour": "red"}, "colour"), ({"generations": [99]}, "generations"), ({"since": "now"}, "since")])
def test_a_wrong_filter_of_a_preview_is_named(token: str, body: dict[str, Any], name: str) -> None:
    answer = send(PREVIEW, token, body)
    assert error_of(answer) == (400, "bad_body") and answer.json()["errors"][0]["name"] == name


def test_a_preview_of_another_project_is_not_found(project: Project) -> None:
    stranger = make.person("stranger", make.project("other"), Role.OWNER)
    assert error_of(send(PREVIEW, token_for(stranger), {})) == (404, "not_found")


def test_a_preview_that_takes_too_long_says_what_to_do(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from annotation.export import previews

    patient = previews.limited
    monkeypatch.setattr(previews, "limited", lambda seconds: patient(0.001))
    monkeypatch.setattr(previews, "_COUNT", "SELECT 0, 0, 0, 0, pg_sleep(60), %s")
    answer = send(PREVIEW, token, {})
    assert error_of(answer) == (409, "too_many_labels") and "Narrow the filter" in answer.json()["detail"]
    assert not export.snapshot_rows(Project.objects.get(slug="sums"), after=0, limit=1)[0]
