"""A project without labels can be deleted, by an owner who types its name. One with labels never."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse

from active_learning.models import ModelVersion, Round
from annotation import labels, people, projects, quality, queue
from annotation.models import Draft, Event, GoldAnswer, Import, Project, Regrade, StepAlternative
from tests import make
from tests.clients import rated, signed_in

pytestmark = pytest.mark.django_db


def filled(slug: str) -> Project:
    """A project with something in every table that a project without labels can fill."""
    project = make.project(slug, name=slug.title())
    make.olga(project), make.ann(project)
    chosen = make.solutions(project, 3)
    make.batch(project, chosen[:2])
    make.round_of(project, {"uniform": chosen[2:]}, generation=1)
    make.version(project, 1, state="failed", ready_at=None)
    GoldAnswer.objects.create(solution=chosen[0], acceptable_first_errors=[1])
    people.invite(project, actor=make.olga(), role="labeler", text="Cleo")
    Regrade.objects.create(project=project, state="done")
    Import.objects.create(project=project, name="a.jsonl", path=f"imports/{slug}.jsonl", size=1, state="done")
    StepAlternative.objects.create(solution=chosen[0], step_index=0, position=1, text="So.")
    quality.send_message(project, sender=make.olga(), recipient="ann", text="Look.")
    lease = queue.lease_next(make.ann(), project=project)
    labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=1, ratings=rated(1))
    queue.release(lease.assignment_id, labeler=make.ann(), token=lease.token)  # one lease a person
    return project


def rows_of_all_tables() -> dict[str, int]:
    """Count the rows of every table of the two apps, but for those that outlive a project."""
    kept = {"Event", "SiteCount", "BrowserSession"}
    models = [model for app in ("annotation", "active_learning") for model in apps.get_app_config(app).get_models()]
    return {model.__name__: model._default_manager.count() for model in models if model.__name__ not in kept}


def olga() -> Client:
    return signed_in(make.olga())


def delete(client: Client, name: str) -> Any:
    return client.post(reverse("delete-project", args=["sums"]), {"name": name})


@pytest.mark.django_db(transaction=True)  # the constraints of the database are checked at the commit
def test_all_rows_and_files_of_the_project_go_and_all_others_stay(tmp_path: Path, settings: Any) -> None:
    settings.STEPMARK_HOME = tmp_path
    filled("kept")
    before = rows_of_all_tables()
    project = filled("sums")
    assert Draft.objects.filter(assignment__batch__project=project).exists()
    for slug in ("sums", "kept"):
        for folder in ("models", "rounds", "scores", "samples"):
            (tmp_path / folder / slug).mkdir(parents=True)
        (tmp_path / "imports").mkdir(exist_ok=True)
        (tmp_path / "imports" / f"{slug}.jsonl").touch()
    client = olga()
    page = client.get(reverse("delete-project", args=["sums"])).content.decode()
    assert "This deletes 3 problems, 3 solutions, 2 batches, all rounds and 2 memberships." in page
    assert delete(client, "Sums")["Location"] == "/"
    assert rows_of_all_tables() == before
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["kept"] * 4 + ["kept.jsonl"]
    event = Event.objects.get(verb="delete project")
    assert (event.actor, event.project_id, event.subject) == (make.olga(), project.pk, "project sums")
    assert event.details == {"name": "Sums", "problems": 3, "solutions": 3, "batches": 2}


def test_another_name_deletes_nothing() -> None:
    filled("sums")
    for name in ("", "sums", "Kept"):
        answer = delete(olga(), name)
        assert answer.status_code == 400 and 'id="delete-name_error"' in answer.content.decode()
    assert Project.objects.count() == 1


def test_a_project_with_labels_can_only_be_archived() -> None:
    project = filled("sums")
    lease = queue.lease_next(make.ann(), project=project)
    sitting = {"ratings": rated(-1), "finish_reason": "found_error", "reason": "", "active_ms": 5, "total_ms": 5}
    labels.submit(lease.assignment_id, labeler=make.ann(), token=lease.token, submission_id=uuid.uuid4(), **sitting)
    answer = delete(olga(), "Sums")
    assert answer.status_code == 409 and "labels are never deleted. Archive it instead." in answer.content.decode()
    assert Project.objects.count() == 1


@pytest.mark.parametrize(
    ("obstacle", "sentence"),
    [
        (lambda: Round.objects.update(state="scoring"), "A round of this project is not finished."),
        (
            lambda: Import.objects.create(project=Project.objects.get(), name="a", path="a", size=1),
            "A file of this project is being checked",
        ),
        (lambda: ModelVersion.objects.update(state="ready", ready_at="2026-01-01T00:00Z"), "This project has a trained model"),
    ],
    ids=["a round", "an import", "a model"],
)
def test_a_project_whose_loop_holds_something_is_not_deleted(obstacle: Any, sentence: str) -> None:
    filled("sums")
    obstacle()
    answer = delete(olga(), "Sums")
    assert answer.status_code == 409 and sentence in answer.content.decode()
    assert Project.objects.count() == 1 and Round.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_deletions_at_once_one_deletes() -> None:
    project = filled("sums")
    acts = [lambda: projects.delete_project(project, name="Sums", actor=make.olga())] * 2
    assert sorted(type(outcome).__name__ for outcome in make.at_once(acts)) == ["CannotDelete", "Contents"]
