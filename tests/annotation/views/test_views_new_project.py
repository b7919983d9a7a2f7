"""New project in the browser: who can make one, what is stored, and what is said about what is wrong."""

import html as markup
import re

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from annotation.models import Event, Membership, Project, Role
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db
FORM = {
    "name": "Grade school", "slug": "gsm8k", "guidelines": "Rate *each* step.", "collects": "solutions", "completions_per_step": "4",
    "overlap": "2", "show_reference_answer": "on", "calculator": "on", "text_kind": "",
}  # fmt: skip


def boss() -> User:
    return make.olga(make.project("first"))


def faults(person: User, **changes: str) -> dict[str, str]:
    answer = signed_in(person).post(reverse("new-project"), FORM | changes)
    assert answer.status_code == 400
    found = re.findall(r'<p class="fault" id="project-(\w+)_error">([^<]+)</p>', answer.content.decode())
    return {name: markup.unescape(sentence) for name, sentence in found}


def test_the_maker_owns_the_project_and_goes_on_with_the_import_of_data() -> None:
    person = boss()
    answer = signed_in(person).post(reverse("new-project"), FORM)
    assert (answer.status_code, answer["Location"]) == (302, "/p/gsm8k/data/")
    project = Project.objects.get(slug="gsm8k")
    assert (project.name, project.guidelines, project.overlap) == ("Grade school", "Rate *each* step.", 2)
    assert (project.step_source, project.alternatives_after_error, project.show_reference_answer, project.text_kind) == (
        "solution", False, True, "",
    )  # fmt: skip
    assert project.calculator
    assert Membership.objects.get(project=project).role == Role.OWNER
    event = Event.objects.get(verb="create project")
    assert (event.actor, event.project, event.subject) == (person, project, "project gsm8k")


@pytest.mark.parametrize(
    ("collects", "columns"), [("alternatives", ("solution", True)), ("interactive", ("interactive", False))], ids=lambda value: str(value)
)
def test_what_is_collected_decides_two_columns(collects: str, columns: tuple[str, bool]) -> None:
    typed = {name: value for name, value in FORM.items() if name not in ("show_reference_answer", "calculator")}
    signed_in(boss()).post(reverse("new-project"), typed | {"collects": collects, "completions_per_step": "6", "text_kind": "markdown"})
    project = Project.objects.get(slug="gsm8k")
    assert (project.step_source, project.alternatives_after_error) == columns
    assert (project.completions_per_step, project.show_reference_answer, project.text_kind) == (6, False, "markdown")
    assert not project.calculator


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", " ", "The name is empty. Write a name, such as Grade school."),
        ("name", "x" * 201, "The name has more than 200 characters. Shorten it."),
        ("slug", "", "The address is empty. Write a short word, such as gsm8k."),
        ("slug", "no slug", "An address has 1 to 50 letters a to z, digits, - and _. Write it without spaces."),
        ("slug", "größe", "An address has 1 to 50 letters a to z, digits, - and _. Write it without spaces."),
        ("slug", "x" * 51, "An address has 1 to 50 letters a to z, digits, - and _. Write it without spaces."),
        ("slug", "first", "Another project has the address first. Choose another one."),
        ("collects", "all", "Choose what people label from the list."),
        ("overlap", "0", "The overlap must be a whole number from 1 to 99."),
        ("overlap", "100", "The overlap must be a whole number from 1 to 99."),
        ("overlap", "two", "The overlap must be a whole number from 1 to 99."),
        ("overlap", "9" * 5000, "The overlap must be a whole number from 1 to 99."),
        ("completions_per_step", "17", "The number of next steps must be a whole number from 1 to 16."),
        ("text_kind", "html", "Choose from the list how texts are shown."),
        ("guidelines", "x" * 200_001, "The text of the guidelines has more than 200,000 characters. Shorten it."),
    ],
)
def test_what_is_wrong_stands_beside_its_field(field: str, value: str, sentence: str) -> None:
    assert faults(boss(), **{field: value}) == {field: sentence}
    assert Project.objects.count() == 1


def test_all_wrong_fields_are_named_at_once() -> None:
    assert faults(boss(), name="", slug="first", overlap="0", collects="").keys() == {"name", "slug", "overlap", "collects"}


def test_what_was_typed_stays() -> None:
    page = signed_in(boss()).post(reverse("new-project"), FORM | {"overlap": "0", "guidelines": "Mind <the> gap."}).content.decode()
    assert "Mind &lt;the&gt; gap." in page and 'value="Grade school"' in page and 'value="0"' in page


@pytest.mark.parametrize("role", [role for role in Role.values if role != Role.OWNER])
def test_the_other_roles_make_no_project(role: str) -> None:
    client = signed_in(make.person("ann", make.project("first"), role))
    assert client.post(reverse("new-project"), FORM).status_code == 404 and Project.objects.count() == 1
    assert reverse("new-project") not in client.get(reverse("home")).content.decode()


@pytest.mark.parametrize("field", ["is_staff", "is_superuser"])
def test_staff_without_a_project_see_the_button_and_can_use_it(field: str) -> None:
    person = make.eve()
    setattr(person, field, True)
    person.save()
    client = signed_in(person)
    assert reverse("new-project") in client.get(reverse("home")).content.decode()
    assert client.post(reverse("new-project"), FORM).status_code == 302


def test_the_preview_is_what_labelers_see() -> None:
    client = signed_in(boss())
    part = client.post(reverse("preview-guidelines"), {"guidelines": "Rate *each* step. <b>No</b>"}, headers={"HX-Request": "true"})
    client.post(reverse("new-project"), FORM | {"guidelines": "Rate *each* step. <b>No</b>"})
    panel = client.get(reverse("guidelines", args=["gsm8k"]), headers={"HX-Request": "true"})
    shown, stored = (
        answer.content.partition(b'<p class="search">')[2] for answer in (part, panel)
    )  # a version stands before it once it is stored
    assert shown == stored and b"<em>each</em>" in shown and b"&lt;b&gt;" in shown


def test_archived_projects_are_folded_on_the_home_page() -> None:
    project = make.project("old", name="Old", archived_at="2026-01-01T00:00Z")
    make.project("new", name="New")
    client = signed_in(make.ann(project))
    make.ann(Project.objects.get(slug="new"))
    page = client.get(reverse("home")).content.decode()
    cards, _, fold = page.partition("<summary>1 archived project</summary>")
    assert ">New<" in cards and ">Old<" not in cards and ">Old<" in fold
