"""Messages: from those who look at the work to those who do it."""

import pytest
from django.test import Client
from django.urls import reverse

from annotation import quality
from annotation.models import Membership, Message, Project, Role
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    made = make.project()
    make.ann(made), make.olga(made)
    return made


def signed_in(name: str) -> Client:
    client = Client()
    client.force_login(make.person(name))
    return client


def send(text: str, *, project: Project, to: str = "ann") -> Message:
    return quality.send_message(project, sender=make.olga(), recipient=to, text=text)


def test_a_message_waits_on_the_home_of_whom_it_is_for(project: Project) -> None:
    signed_in("olga").post(reverse("messages", args=[project.slug]), {"to": "ann", "text": " Mind <b>units</b>,\r\nplease. "})
    html = signed_in("ann").get("/").content.decode()
    assert "1 new message" in html and "Mind &lt;b&gt;units&lt;/b&gt;,\nplease.</p>" in html
    make.ben(project)
    assert "Mind" not in signed_in("ben").get("/").content.decode()


def test_a_message_put_away_goes_behind_the_unread(project: Project) -> None:
    first, second = send("first", project=project), send("second", project=project)
    ann = signed_in("ann")
    ann.post(reverse("mark-read", args=[second.pk]))
    assert [one.text for one in quality.messages_to(make.ann())] == ["first", "second"]
    html = ann.get("/").content.decode()
    assert "1 new message" in html and "Messages you have read" in html
    ann.post(reverse("mark-read", args=[first.pk]))
    assert "new message" not in ann.get("/").content.decode()


def test_nobody_puts_away_what_is_for_somebody_else(project: Project) -> None:
    letter = send("for ann", project=project)
    signed_in("olga").post(reverse("mark-read", args=[letter.pk]))
    assert not quality.mark_read(letter.pk, recipient=make.olga())
    letter.refresh_from_db()
    assert letter.read_at is None


def test_when_a_message_was_read_is_noted_once(project: Project) -> None:
    letter = send("for ann", project=project)
    assert quality.mark_read(letter.pk, recipient=make.ann()) and not quality.mark_read(letter.pk, recipient=make.ann())
    assert "not read yet" not in signed_in("olga").get(reverse("messages", args=[project.slug])).content.decode()


@pytest.mark.parametrize(
    ("to", "text", "words"),
    [
        ("ann", "  \n ", "is empty"),
        ("ann", "x" * 2001, "has 2,001 characters. Send at most 2,000"),
        ("ann", "a\0b", "a NUL character at position 2"),
        ("eve", "so", "eve does not label in Sums. Choose a labeler of this project"),
        ("rita", "so", "rita does not label"),
        ("", "so", "Nobody does not label"),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused_with_the_remedy(project: Project, to: str, text: str, words: str) -> None:
    make.eve(), make.rita(project)
    with pytest.raises(quality.BadMessage, match=words):
        send(text, project=project, to=to)
    assert not Message.objects.exists()


def test_the_page_keeps_a_refused_message(project: Project) -> None:
    answer = signed_in("olga").post(reverse("messages", args=[project.slug]), {"to": "eve", "text": "Well <i>done</i>."})
    assert answer.status_code == 400 and "eve does not label in this project." in answer.content.decode()
    assert "Well &lt;i&gt;done&lt;/i&gt;." in answer.content.decode()


@pytest.mark.parametrize(
    ("role", "status"), [(Role.OWNER, 200), (Role.MANAGER, 200), (Role.REVIEWER, 200), (Role.LABELER, 404), (Role.RESEARCHER, 404)]
)
def test_managers_and_reviewers_write_messages(project: Project, role: str, status: int) -> None:
    client = signed_in(make.person("somebody", project, role).username)
    address = reverse("messages", args=[project.slug])
    assert client.get(address).status_code == status
    client.post(address, {"to": "ann", "text": "Well done."})
    assert Message.objects.count() == (status == 200)


def test_the_page_of_a_person_offers_to_write_to_everybody_who_labels(project: Project) -> None:
    make.rita(project)
    pages = {name: Membership.objects.get(project=project, user__username=name).pk for name in ("ann", "rita")}
    html = {name: signed_in("olga").get(reverse("member", args=[project.slug, key])).content.decode() for name, key in pages.items()}
    assert 'value="message"' in html["ann"] and 'value="message"' not in html["rita"]


def test_messages_of_another_project_are_not_shown(project: Project) -> None:
    other = make.project("other")
    make.person("olga", other, Role.OWNER)
    send("for ann", project=project)
    assert "for ann" not in signed_in("olga").get(reverse("messages", args=[other.slug])).content.decode()


@pytest.mark.parametrize(
    ("to", "text", "words"),
    [
        ("", "Well done.", "Choose who gets the message."),
        ("ann", " \r\n ", "The message is empty. Write a few words."),
        ("ann", "x" * 2001, "The message was not sent. The message has 2,001 characters. Send at most 2,000."),
    ],
)
def test_the_page_says_at_the_field_why_a_message_was_not_sent(project: Project, to: str, text: str, words: str) -> None:
    answer = signed_in("olga").post(reverse("messages", args=[project.slug]), {"to": to, "text": text})
    assert answer.status_code == 400 and words in answer.content.decode()
    assert not Message.objects.exists()
