"""The search for everything: what each role finds, in the dialog and on the page without script."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_script_prefix
from django.urls import reverse

from annotation import people
from annotation.models import Membership, Project, Role
from labelapp.pages import finding
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
ROLES = [role for role in Role.values if role != Role.FORMER]


@pytest.fixture
def project() -> Project:
    return make.project("sums", name="Sums")


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def found(client: Client, text: str, address: str = "/p/sums/find/") -> dict[str, str]:
    """Return the names and addresses that a text finds, and check that the dialog and the page find the same."""
    part, whole = client.get(address, {"q": text}, headers=HTMX), client.get(address, {"q": text})
    assert part.status_code == whole.status_code == 200
    options = re.findall(r'<a role="option"[^>]* href="([^"]+)"><span class="finder-name">(.*?)</span>', part.content.decode())
    entries = re.findall(r'<li><a href="([^"]+)">(.*?)</a>', whole.content.decode())
    assert options == entries
    return {name: url for url, name in options}


@pytest.mark.parametrize("role", ROLES)
def test_everything_that_a_role_is_offered_opens(project: Project, role: str) -> None:
    make.batch(project, make.solutions(project, 1))
    client = signed_in(make.person("ann", project, role))
    listed = found(client, "")
    assert len(listed) > 2 and [url for url in listed.values() if client.get(url).status_code != 200] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_act_is_found_by_its_words_and_by_its_other_words_by_those_who_can_open_it(project: Project, role: str) -> None:
    client = signed_in(make.person("ann", project, role))
    for act in finding.ACTS:
        for text in (act.words, act.also.split()[0]):
            assert (act.words in found(client, text)) == (role in act.roles), (act.words, text)


def test_a_part_of_a_page_that_an_act_leads_to_is_there(project: Project, olga: Client) -> None:
    for act in finding.ACTS:
        if act.part:
            assert f'id="{act.part}"' in olga.get(reverse(act.page, args=["sums"])).content.decode(), act


def test_each_word_can_be_the_beginning_of_a_word_in_any_order(project: Project, olga: Client) -> None:
    assert "Compose a round" in found(olga, "ROUND comp") and "Compose a round" in found(olga, "new bat")
    assert "Compose a round" not in found(olga, "round nothing") and "Compose a round" not in found(olga, "ompose")


def test_a_round_is_found_by_its_number_and_a_number_of_another_kind_is_not(project: Project, olga: Client) -> None:
    first = make.round_of(project, {"uniform": make.solutions(project, 2)})
    make.version(project, first.number)
    place = reverse("round", args=["sums", first.number])
    assert (
        found(olga, f"round {first.number}")[f"Round {first.number}"] == place == found(olga, f"#{first.number}")[f"Round {first.number}"]
    )
    assert f"Round {first.number}" not in found(olga, f"model {first.number}")
    assert found(olga, f"mod {first.number}")[f"PRM {first.number}"] == f"/p/sums/models/{first.number}/"
    assert f"Round {first.number + 5}" not in found(olga, f"round {first.number + 5}")


def test_a_batch_is_found_by_its_kind_and_by_its_number(project: Project, olga: Client) -> None:
    made = make.batch(project, make.solutions(project, 1), generation=7)
    place = reverse("batch", args=["sums", made.pk])
    for text in ("batch 7", "selected 7", "sel", "selected batch", "7"):
        assert found(olga, text)["Selected batch 7"] == place, text
    assert "Selected batch 7" not in found(olga, "batch 8") and "Selected batch 7" not in found(olga, "practice 7")


def test_a_solution_is_found_by_its_number_and_by_words_of_its_problem(project: Project, olga: Client) -> None:
    made = make.solution(make.problem(project, statement="How many Ducks\nswim?"))
    make.solution(make.problem(project, statement="How many geese?"))
    place, name = reverse("project-solution", args=["sums", made.pk]), f"Solution {made.pk}"
    for text in (str(made.pk), f"solution {made.pk}", f"sol #{made.pk}", "duck", "ducks how", "DUCKS a"):
        assert found(olga, text)[name] == place, text
    assert name not in found(olga, "goose")


def test_words_lead_to_one_solution_of_each_problem_and_to_the_list_of_all(project: Project, olga: Client) -> None:
    problems = [make.problem(project, statement=f"How many ducks swim in pond {number}?") for number in range(7)]
    made = {problem.pk: [make.solution(problem) for _ in range(3)][-1].pk for problem in problems}
    listed = found(olga, "ducks swim")
    newest = [f"Solution {made[problem.pk]}" for problem in problems[:-6:-1]]
    assert [name for name in listed if name.startswith("Solution")] == newest
    assert listed["All solutions with these words"] == "/p/sums/solutions/?words=ducks+swim"
    assert "All solutions with these words" not in found(olga, "geese")


def test_a_word_of_one_letter_is_left_out_of_the_words_of_a_problem(project: Project, olga: Client) -> None:
    made = make.solution(make.problem(project, statement="How many ducks?"))
    assert f"Solution {made.pk}" in found(olga, "ducks x") and f"Solution {made.pk}" not in found(olga, "h")


def test_a_member_is_found_by_any_part_of_the_name_with_role_and_state(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    ann.first_name, ann.last_name = "Anna", "Petrova"
    ann.save()
    place = reverse("member", args=["sums", Membership.objects.get(user=ann).pk])
    for text in ("ann", "petr", "anna petrova", "person ann", "ETROV"):
        assert found(olga, text)["ann"] == place, text
    assert "Anna Petrova, labeler" in olga.get("/p/sums/find/?q=petrova").content.decode()


@pytest.mark.parametrize("role", [Role.LABELER, Role.REVIEWER])
def test_who_only_labels_finds_no_object_of_the_project(project: Project, role: str) -> None:
    made = make.round_of(project, {"uniform": [make.solution(make.problem(project, statement="ducks"))]})
    make.ben(project)
    client = signed_in(make.person("ann", project, role))
    for text in ("ducks", f"round {made.number}", "ben", "batch", str(made.number)):
        assert not [url for url in found(client, text).values() if re.search(r"/p/sums/.*\d", url)], text


def test_a_researcher_finds_no_people(project: Project) -> None:
    make.ben(project)
    assert "ben" not in found(signed_in(make.rita(project)), "ben")


def test_nothing_of_another_project_is_found(project: Project, olga: Client) -> None:
    other = make.project("other")
    foreign = make.round_of(other, {"uniform": [make.solution(make.problem(other, statement="ducks"))]})
    make.version(other, 3)
    make.ben(other)
    solution = foreign.selection_set.get().solution_id
    for text in ("ducks", str(solution), f"solution {solution}", f"round {foreign.number}", "model 3", "ben", "other"):
        assert found(olga, text) == {}, text


def test_the_site_finds_projects_with_the_page_that_a_person_begins_at(project: Project, olga: Client) -> None:
    make.person("olga", make.project("second", name="The second one"), Role.LABELER)
    assert found(olga, "", "/find/").items() >= {"Sums": "/p/sums/", "The second one": "/p/second/label/", "Your keys": "/keys/"}.items()
    assert found(olga, "the sec", "/find/") == {"The second one": "/p/second/label/"} == found(olga, "the sec")
    assert "Sums" not in found(olga, "sums")  # the project of the page


def test_a_former_member_finds_the_project_nowhere(project: Project) -> None:
    assert "Sums" not in found(signed_in(make.person("ann", project, Role.FORMER)), "", "/find/")


@pytest.mark.parametrize(("right", "words"), [("is_superuser", "Who did what on this site"), ("is_staff", "Administration")])
def test_pages_of_the_site_are_found_by_those_who_can_open_them(project: Project, right: str, words: str) -> None:
    ann = make.ann(project)
    assert words not in found(signed_in(ann), words, "/find/") and "New project" not in found(signed_in(ann), "new", "/find/")
    setattr(ann, right, True)
    ann.save()
    assert words in found(signed_in(ann), words, "/find/") and "New project" in found(signed_in(ann), "new project")


@pytest.mark.parametrize("text", ["<b>x", "'", "\\", "a" * 900, "1" * 30, "% _", "&!|:*", "٣", "𝟛 ﷽", "(", '"'])
def test_any_text_is_answered_and_shown_as_text(project: Project, olga: Client, text: str) -> None:
    make.solutions(project, 1)
    found(olga, text)
    assert "<b>x" not in olga.get("/p/sums/find/", {"q": text}).content.decode()


def test_an_empty_result_is_one_sentence(project: Project, olga: Client) -> None:
    sentence = "Nothing was found for “zzz”. Try fewer words, or the beginning of a word."
    assert sentence in olga.get("/p/sums/find/?q=zzz").content.decode()
    assert f'data-said="{sentence}"' in olga.get("/p/sums/find/?q=zzz", headers=HTMX).content.decode()


@pytest.mark.parametrize("text", ["ann", "7", "batch 1", "sum", "what is"])
def test_a_search_costs_as_many_queries_with_many_rows_as_with_few(project: Project, olga: Client, text: str) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert olga.get("/p/sums/find/", {"q": text}, headers=HTMX).status_code == 200
        return len(caught)

    def add(first: int, last: int) -> None:
        for number in range(first, last):
            make.person(f"ann{number}", project)
            make.round_of(project, {"uniform": make.solutions(project, 2)}, generation=number)
            make.version(project, number)
            make.olga(make.project(f"sums{number}"))

    add(1, 2)
    few = cost()
    add(2, 9)
    assert cost() == few <= 14


def test_every_ordinary_page_offers_the_search_of_its_project(project: Project, olga: Client) -> None:
    button = r'<a class="button quiet finder-button" href="([^"]+)" data-find>'
    for page, address in (("/p/sums/", "/p/sums/find/"), ("/p/sums/people/", "/p/sums/find/"), ("/", "/find/"), ("/keys/", "/find/")):
        html = olga.get(page).content.decode()
        assert re.findall(button, html) == [address] and f'<form action="{address}" role="search">' in html, page


def test_the_labeling_page_and_the_sign_in_page_do_not_load_the_search(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    for client, page in ((signed_in(make.ann(project)), "/p/sums/label/"), (Client(), "/sign-in/")):
        html = client.get(page).content.decode()
        assert "find.js" not in html and "data-find" not in html and "finder" not in html


def test_a_site_under_a_prefix_is_searched_under_it(project: Project, olga: Client) -> None:
    with override_script_prefix("/stepmark/"):
        html: Any = olga.get("/p/sums/find/?q=compose").content.decode()
    assert '<a href="/stepmark/p/sums/rounds/compose/">Compose a round</a>' in html


def test_all_roles_that_open_a_project_can_search_it() -> None:
    assert {*people.LABELERS, *people.RESEARCHERS} == set(ROLES) == set(finding.EVERYBODY)
