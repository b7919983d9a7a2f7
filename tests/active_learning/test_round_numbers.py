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
    olga.post(path("cancel-round", cancelled.pk))
    following = proposed(project)
    assert (cancelled.number, following.number, cancelled.generation, following.generation) == (0, 1, 0, 0)
    assert "<h1>Round 1 " in page(olga, "round", following.pk) and "<h1>Round 0 " in page(olga, "round", cancelled.pk)
    html = page(olga, "rounds")
    assert "round 1</span>" in html and html.count("round 0</span>") == 1


def test_the_page_the_message_the_log_and_the_event_name_the_same_number(project: Project, olga: Client) -> None:
    olga.post(path("cancel-round", proposed(project).pk))
    olga.post(path("cancel-round", proposed(project).pk))
    third = proposed(project)
    html = olga.post(path("publish-round", third.pk), follow=True).content.decode()
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
