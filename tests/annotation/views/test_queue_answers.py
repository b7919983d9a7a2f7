"""Stage queue, as the labeling page sees it: the answer to a submit brings the solution behind the one that is on the page."""

import pytest
from django.test import Client

from annotation.models import Assignment, Project
from tests.clients import claim, page, post, rated, real_assignment, submission

pytestmark = pytest.mark.django_db


def handed_in(ann: Client, held: dict[str, int], ahead: dict[str, int]) -> dict[str, object]:
    body = submission(held["token"], rated(1, -1), ahead=ahead["assignment"], ahead_token=ahead["token"])
    return post(ann, "submit", held["assignment"], body).json()


def test_the_answer_to_a_submit_brings_the_solution_behind_the_next_one(project: Project, ann: Client) -> None:
    first = claim(page(ann, project))
    second = claim(post(ann, "ahead", first["assignment"], {}).content.decode())
    answer = handed_in(ann, first, second)
    assert answer["seconds"] > 0
    third = claim(answer["ahead"])
    states = dict(Assignment.objects.values_list("pk", "state"))
    assert [states[real_assignment(one)] for one in (first, second, third)] == ["done", "leased", "reserved"]
    assert claim(post(ann, "ahead", second["assignment"], {}).content.decode()) == third
    assert handed_in(ann, second, third)["ahead"] is None


def test_a_labeling_round_trip_costs_nine_statements(project: Project, ann: Client, django_assert_num_queries) -> None:
    first = claim(page(ann, project))
    second = claim(post(ann, "ahead", first["assignment"], {}).content.decode())
    savepoints = 2 * 2  # the test's own transaction is around the submit and the reservation
    with django_assert_num_queries(9 + savepoints):
        for revision in (1, 2):
            post(ann, "draft", first["assignment"], {"token": first["token"], "revision": revision, "ratings": rated(1)})
        handed_in(ann, first, second)
