"""The number of a round: one for each, in its project, wherever people see it."""

from importlib import import_module

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from active_learning import rounds
from active_learning.models import Round
from annotation.models import Event, Project
from tests import make
from tests.clients import signed_in
from tests.proposals import page, path, proposed

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project()


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def test_the_round_after_a_cancelled_one_has_the_next_number_and_the_same_generation(project: Project, olga: Client) -> None:
    cancelled = proposed(project)
    olga.post(path("cancel-round", cancelled.number))
    following = proposed(project)
    assert (cancelled.number, following.number, cancelled.generation, following.generation) == (0, 1, 0, 0)
    assert "<h1>Round 1 " in page(olga, "round", following.number) and "<h1>Round 0 " in page(olga, "round", cancelled.number)
    html = page(olga, "rounds")
    assert "round 1</span>" in html and html.count("round 0</span>") == 1


def test_the_page_the_message_the_log_and_the_event_name_the_same_number(project: Project, olga: Client) -> None:
    olga.post(path("cancel-round", proposed(project).number))
    olga.post(path("cancel-round", proposed(project).number))
    third = proposed(project)
    html = olga.post(path("publish-round", third.number), follow=True).content.decode()
    assert "Round 2 is published" in html and str(third) == "sums round 2"
    assert Event.objects.get(verb="publish").subject == "round 2"
    third.refresh_from_db()
    assert third.batch.generation == 0, "the batch, and with it the export, counts batches"


def test_a_project_counts_its_own_rounds_and_goes_along_with_its_batches(project: Project) -> None:
    other = proposed(make.project("others"), generation=7)
    assert (proposed(project, generation=3).number, other.number) == (3, 7)


def test_many_rounds_stored_at_once_have_each_its_own_number(project: Project) -> None:
    Round.objects.bulk_create(Round(project=project, generation=0, strategy="uniform", state="cancelled") for _ in range(5))
    assert sorted(Round.objects.values_list("number", flat=True)) == [0, 1, 2, 3, 4]


def test_a_number_is_not_used_twice(project: Project) -> None:
    first = proposed(project)
    with pytest.raises(IntegrityError, match="round_number"), transaction.atomic():
        Round.objects.create(project=project, number=first.number, generation=5, state="cancelled")


def test_old_rounds_that_share_a_number_are_numbered_in_their_order(project: Project) -> None:
    for generation in (0, 1, 1, 1, 2, 5):
        Round.objects.create(project=project, generation=generation, strategy="uniform", state="cancelled")
    fill = import_module("active_learning.migrations.0009_round_number").NUMBER.split("CREATE FUNCTION")[0]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE active_learning_round DROP CONSTRAINT round_number")
        cursor.execute("UPDATE active_learning_round SET number = -1")
        cursor.execute(fill)
    assert list(Round.objects.order_by("pk").values_list("number", flat=True)) == [0, 1, 2, 3, 4, 5]


def test_a_round_that_has_ended_is_not_cancelled_under_its_number(project: Project) -> None:
    ended = proposed(project)
    rounds.cancel(project, ended.number)
    with pytest.raises(rounds.RoundRefused, match=f"Round {ended.number} has already ended"):
        rounds.cancel(project, ended.number)


def test_the_address_of_a_round_has_the_number_of_its_title(project: Project, olga: Client) -> None:
    for _ in range(2):
        olga.post(path("cancel-round", proposed(project).number))
    third = proposed(project)
    assert path("round", third.number) == "/p/sums/rounds/round-2/" and third.pk != 2
    html = page(olga, "round", third.number)
    assert "<h1>Round 2 " in html and "<title>Round 2 " in html
    assert 'href="/p/sums/rounds/round-2/cancel/"' in html and f"/rounds/{third.pk}/" not in html
    assert 'href="/p/sums/rounds/round-2/"' in page(olga, "rounds")


@pytest.mark.parametrize("act", ["", "publish", "cancel", "replay"])
def test_an_old_address_leads_to_the_new_one_with_what_was_asked_or_sent(project: Project, olga: Client, act: str) -> None:
    olga.post(path("cancel-round", proposed(project).number))
    old = proposed(project)
    here = f"/p/sums/rounds/{old.pk}/" + (f"{act}/" if act else "")
    for answer in (olga.get(f"{here}?page=2"), olga.post(f"{here}?page=2")):
        assert answer.status_code == 308, "the method stays"
        assert answer.url == path(f"{act}-round" if act else "round", old.number) + "?page=2"


def test_a_form_sent_to_an_old_address_does_what_it_says(project: Project, olga: Client) -> None:
    old = proposed(project)
    answer = olga.post(f"/p/sums/rounds/{old.pk}/cancel/", follow=True)
    old.refresh_from_db()
    assert old.state == "cancelled" and "Round 0 is cancelled." in answer.content.decode()


def test_no_old_address_leads_to_a_round_of_another_project_or_to_another_act(project: Project, olga: Client) -> None:
    foreign, own = proposed(make.project("others")), proposed(project)
    for address in (f"{foreign.pk}/", f"{foreign.pk}/cancel/", f"{own.pk}/start/", "4711/"):
        assert olga.get(f"/p/sums/rounds/{address}").status_code == 404, address


def test_who_starts_cancels_discards_and_publishes_rounds_is_noted(project: Project, olga: Client) -> None:
    olga.post(path("cancel-round", proposed(project).number))
    olga.post(path("start-round"), {"strategy": "uniform", "size": "7"})
    olga.post(path("cancel-round", 1))
    olga.post(path("publish-round", proposed(project).number))
    events = Event.objects.filter(actor=make.olga()).order_by("pk")
    assert list(events.values_list("verb", "subject")) == [
        ("discard proposal", "round 0"),
        ("start round", "round 1"),
        ("cancel round", "round 1"),
        ("publish", "round 2"),
    ]
    assert events[1].details == {"solutions": 7, "recipe": {"At random": "100%"}, "trains": False, "review": False}
