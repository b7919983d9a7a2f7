"""Who leaves: a person, a project, a model. What was published stays as it is, byte for byte."""

import hashlib
from io import BytesIO, StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.urls import reverse

from active_learning import rounds
from active_learning.models import ModelVersion, RoundStage
from annotation import export, people, quality, queue
from annotation.export import write_prm800k
from annotation.models import Annotation, BrowserSession, Event, Keys, Membership, Message, Project, Role, Snapshot
from annotation.projects import archive_projects
from tests import make
from tests.clients import signed_in
from tests.exports import label

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(project: Project) -> Snapshot:
    """A snapshot of what ann has labeled."""
    label(project, 1, -1, finish_reason="found_error")
    label(project, 1, 1, 1, finish_reason="solution")
    return export.take_snapshot(project)


@pytest.fixture
def admin() -> Client:
    User.objects.create_superuser("adam")
    return signed_in(User.objects.get(username="adam"))


def written(snapshot: Snapshot) -> str:
    out = BytesIO()
    assert write_prm800k(snapshot, out) == 2
    return hashlib.sha256(out.getvalue()).hexdigest()


def act(admin: Client, model: str, action: str, row: Any, **more: str) -> str:
    answer = admin.post(reverse(f"admin:{model}_changelist"), {"action": action, "_selected_action": row.pk, **more}, follow=True)
    return answer.content.decode()


# --- what was published stays -------------------------------------------------------------------------------------------


def erase_ann(project: Project) -> None:
    people.erase(make.ann(), actor=None)


def end_membership(project: Project) -> None:
    Membership.objects.filter(user=make.ann()).update(role=Role.FORMER)


def close_account(project: Project) -> None:
    User.objects.filter(username="ann").update(is_active=False)


def archive(project: Project) -> None:
    archive_projects(Project.objects.all(), actor=make.olga(project))


def remove_model(project: Project) -> None:
    make.version(project, 1, snapshot=Snapshot.objects.get(number=1)).delete()


@pytest.mark.parametrize("remove", [erase_ann, end_membership, close_account, archive, remove_model])
def test_an_export_before_and_after_is_the_same_bytes(project: Project, published: Snapshot, remove: Any) -> None:
    before, fresh = written(published), written(export.take_snapshot(project))
    remove(project)
    assert written(published) == before
    assert written(export.take_snapshot(project)) == fresh


def delete_ann(project: Project) -> None:
    make.ann().delete()


def delete_membership(project: Project) -> None:
    Membership.objects.get(user=make.ann()).delete()


def delete_project(project: Project) -> None:
    project.delete()


def change_pseudonym(project: Project) -> None:
    Membership.objects.filter(user=make.ann()).update(export_uuid="0c1e0c1e-0000-4000-8000-000000000000")


def give_membership_away(project: Project) -> None:
    Membership.objects.filter(user=make.ann()).update(user=make.ben())


@pytest.mark.parametrize("remove", [delete_ann, delete_membership, delete_project, change_pseudonym, give_membership_away])
def test_what_an_export_needs_cannot_be_removed(project: Project, published: Snapshot, remove: Any) -> None:
    before = written(published)
    with pytest.raises((ProtectedError, IntegrityError)), transaction.atomic():
        remove(project)
    assert written(published) == before


def test_the_membership_of_somebody_who_never_labeled_can_go(project: Project) -> None:
    Membership.objects.create(project=project, user=make.eve(), role=Role.LABELER).delete()
    assert not Membership.objects.filter(user=make.eve()).exists()


# --- erasing a person -----------------------------------------------------------------------------------------------------


def everything() -> str:
    """Every value of every row of the tables that hold texts about people."""
    tables = (User, Membership, Message, Event, Keys, LogEntry, BrowserSession, ModelVersion, RoundStage)
    return repr([list(table.objects.values()) for table in tables])


def test_the_name_of_an_erased_person_is_nowhere(project: Project, published: Snapshot, admin: Client) -> None:
    ann = make.ann()
    User.objects.filter(pk=ann.pk).update(first_name="Ann-Sophie", last_name="Quill", email="ann@quill.example", username="annsophie")
    ann = User.objects.get(pk=ann.pk)
    Membership.objects.filter(user=ann).update(role=Role.MANAGER, reason="Quill asked")
    quality.send_message(project, sender=ann, recipient=make.person("ben", project).username, text="Look at step 2.")
    Keys.objects.create(person=ann, chosen={"undo": ["z"]})
    make.version(project, 7, decision={"by": "annsophie", "promoted": True})
    proposal = make.round_of(project, {"convincing": make.solutions(project, 2)}, generation=5, state="proposed")
    rounds.publish(project, proposal.number, actor=ann)
    client = signed_in(ann)
    client.post(reverse("sign-in"), {"username": "annsophie", "password": "wrong"})
    admin.post(reverse("admin:auth_user_change", args=[ann.pk]), {"username": "annsophie", "first_name": "Ann-Sophie", "is_active": "on"})
    membership = Membership.objects.get(user=ann)
    fields = {"project": project.pk, "user": ann.pk, "role": "labeler", "reason": "", "qualified_at_0": "", "suspended_at_0": ""}
    admin.post(reverse("admin:annotation_membership_change", args=[membership.pk]), fields)
    assert LogEntry.objects.filter(object_repr__contains="annsophie").count() >= 1

    people.erase(ann, actor=User.objects.get(username="adam"))
    assert not [name for name in ("annsophie", "Ann-Sophie", "Quill", "quill") if name in everything()]
    assert Annotation.objects.filter(labeler=ann).count() == 2 and Message.objects.get().sender.username == f"erased-{ann.pk}"
    assert client.get(reverse("home")).status_code == 302
    event = Event.objects.get(verb="erase person")
    assert (event.subject, event.details, event.actor.username) == (f"person {ann.pk}", {}, "adam")


def test_a_command_erases_a_person_after_asking(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    make.ann(project)
    monkeypatch.setattr("builtins.input", lambda _: "anna")
    with pytest.raises(CommandError, match="The names differ. Nothing was changed."):
        call_command("erase_person", "ann")
    assert User.objects.filter(username="ann").exists()
    out = StringIO()
    monkeypatch.setattr("builtins.input", lambda _: "ann")
    call_command("erase_person", "ann", stdout=out)
    assert "ann is erased. The labels stay" in out.getvalue() and not User.objects.filter(username="ann").exists()


@pytest.mark.parametrize(
    ("name", "reason"), [("olga", "the only owner of sums"), ("file-unnamed-3", "a pseudonym"), ("nobody", "no account")]
)
def test_who_cannot_be_erased_is_named_with_the_reason(project: Project, name: str, reason: str) -> None:
    make.olga(project)
    User.objects.create_user("file-unnamed-3")
    with pytest.raises(CommandError, match=reason) as refused:
        call_command("erase_person", name, "--yes")
    assert refused.value.returncode == 2 and User.objects.filter(username="olga").exists()


def test_a_closed_account_signs_nobody_in_until_it_is_opened_again(project: Project) -> None:
    ann = make.ann(project)
    client, out = signed_in(ann), StringIO()
    call_command("close_account", "ann", stdout=out)
    assert client.get("/").status_code == 302 and not BrowserSession.objects.exists()
    assert Membership.objects.get(user=ann).role == "labeler"
    call_command("close_account", "ann", "--open", stdout=out)
    assert signed_in(ann).get("/").status_code == 200
    assert out.getvalue().splitlines() == [
        "The account of ann is closed. Labels and memberships stay.",
        "The account of ann is open again.",
    ]
    assert list(Event.objects.order_by("pk").values_list("verb", "subject")) == [
        ("close account", f"person {ann.pk}"),
        ("open account", f"person {ann.pk}"),
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["olga"], "olga is the only owner of sums. Give each project another owner first."),
        (["ben"], "The account of ben is closed already."),
        (["ann", "--open"], "The account of ann is open."),
        (["erased-3", "--open"], "was erased for good"),
        (["nobody"], "There is no account called 'nobody'"),
    ],
)
def test_an_account_that_cannot_be_closed_or_opened_is_named_with_the_reason(project: Project, words: list[str], reason: str) -> None:
    make.olga(project), make.ann(project)
    for name in ("ben", "erased-3"):
        User.objects.filter(pk=make.person(name).pk).update(is_active=False)
    with pytest.raises(CommandError, match=reason) as refused:
        call_command("close_account", *words)
    assert refused.value.returncode == 2 and not Event.objects.filter(verb__endswith="account").exists()


def test_erasing_twice_changes_nothing(project: Project) -> None:
    ann = make.ann(project)
    for _ in range(2):
        people.erase(ann, actor=None)
    assert Event.objects.filter(verb="erase person").count() == 1


# --- former members, archived projects --------------------------------------------------------------------------------------


def test_a_former_member_finds_no_page_of_the_project(project: Project) -> None:
    make.olga(project)
    client = signed_in(make.olga())
    Membership.objects.filter(user=make.olga()).update(role=Role.FORMER)
    names = ("label", "overview", "guidelines", "loop", "models", "annotations")
    assert {client.get(reverse(name, args=[project.slug])).status_code for name in names} == {404}
    assert project.name not in client.get(reverse("home")).content.decode()


def test_an_archived_project_hands_out_nothing_and_keeps_what_is_in_work(project: Project) -> None:
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    archive(project)
    project.refresh_from_db()
    with pytest.raises(queue.NothingToLabel, match="Sums is archived, so there is nothing left to label."):
        queue.lease_next(make.person("ben", project), project=project)
    assert queue.reserve_next(ann, project=project) is None
    assert queue.extend_lease(lease.assignment_id, labeler=ann, token=lease.token)


def test_an_archived_project_starts_no_round(project: Project) -> None:
    archive(project)
    project.refresh_from_db()
    with pytest.raises(rounds.RoundRefused, match="sums is archived"):
        rounds.start(project, make.plan(project, strategy="uniform"))


def test_an_archived_project_shows_its_labels_to_its_researchers(project: Project, published: Snapshot) -> None:
    archive(project)
    rita = signed_in(make.rita(project))
    assert rita.get(reverse("annotations", args=["sums"])).status_code == 200
    assert "archived</span>" in rita.get(reverse("home")).content.decode()
    assert "Start labeling" not in signed_in(make.ann(project)).get(reverse("home")).content.decode()


# --- the administration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["auth_user", "annotation_project", "annotation_membership", "annotation_snapshot", "annotation_event"])
def test_the_administration_deletes_nothing_that_was_published(project: Project, published: Snapshot, admin: Client, model: str) -> None:
    rows = {"auth_user": make.ann(), "annotation_project": project, "annotation_membership": Membership.objects.get(user=make.ann())}
    row = rows.get(model, published)
    assert "delete_selected" not in admin.get(reverse(f"admin:{model}_changelist")).content.decode()
    assert admin.post(reverse(f"admin:{model}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_the_administration_archives_a_project_and_opens_it_again(project: Project, admin: Client) -> None:
    assert "Projects archived: 1." in act(admin, "annotation_project", "archive", project)
    project.refresh_from_db()
    assert project.archived_at
    assert "Projects open again: 1." in act(admin, "annotation_project", "open_again", project)
    assert [event.verb for event in Event.objects.order_by("pk")] == ["archive", "open again"]


def test_the_administration_erases_after_a_page_that_asks(project: Project, admin: Client) -> None:
    ann = make.ann(project)
    assert "This cannot be undone." in act(admin, "auth_user", "erase", ann)
    assert User.objects.filter(username="ann").exists()
    assert f"under erased-{ann.pk}." in act(admin, "auth_user", "erase", ann, confirmed="1")


def test_only_a_superuser_erases_and_makes_links_for_those_who_administrate(project: Project) -> None:
    from django.contrib.auth.models import Permission

    staff = User.objects.create_user("sam", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    client = signed_in(staff)
    make.olga(project), make.ann(project)
    act(client, "auth_user", "erase", make.ann(), confirmed="1")
    assert User.objects.filter(username="ann").exists()
    assert "sesame=" in act(client, "auth_user", "make_links", make.ann())
    html = act(client, "auth_user", "make_links", make.olga())
    assert "sesame=" not in html and "Only a superuser makes a link" in html


def test_a_membership_is_never_given_to_another_person(project: Project, published: Snapshot, admin: Client) -> None:
    membership = Membership.objects.get(user=make.ann())
    address = reverse("admin:annotation_membership_change", args=[membership.pk])
    answer = admin.post(address, {"project": project.pk, "user": make.ben().pk, "role": "labeler"})
    assert "This is the membership of ann." in answer.content.decode()
    assert Membership.objects.get(pk=membership.pk).user == make.ann()


def test_the_administration_never_shows_the_secret_of_a_second_factor(admin: Client) -> None:
    assert "totp" not in admin.get("/admin/").content.decode().lower()
    assert admin.get("/admin/otp_totp/totpdevice/").status_code == 404
