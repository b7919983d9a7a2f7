"""Gold changed on its page: which steps may be called the first mistake, and the note."""

import html
import re
from typing import Any

import pytest
from django.test import Client

from annotation import quality
from annotation.models import Event, GoldAnswer, Project, Role, Solution
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project()


@pytest.fixture
def gold(project: Project) -> GoldAnswer:
    return GoldAnswer.objects.create(solution=make.solution(make.problem(project)), acceptable_first_errors=[1], note="Hours.")


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def place(solution: Solution) -> str:
    return f"/p/sums/solutions/{solution.pk}/gold/"


def change(client: Client, gold: GoldAnswer, *steps: int | str, note: str = "Hours.", seen: str | None = None) -> Any:
    shown = client.get(place(gold.solution)).content.decode()
    seen = re.search(r'name="seen" value="(\w+)"', shown)[1] if seen is None else seen
    return client.post(place(gold.solution), {"steps": list(steps), "note": note, "seen": seen}, follow=True)


def text(answer: Any) -> str:
    return html.unescape(" ".join(re.sub("<[^>]+>", " ", answer.content.decode()).split()))


@pytest.mark.parametrize(("steps", "words"), [([1, 2], "step 2, step 3"), ([0], "step 1"), ([], "no mistake")])
def test_a_manager_says_which_steps_may_be_the_first_mistake(olga: Client, gold: GoldAnswer, steps: list[int], words: str) -> None:
    assert "The gold is changed." in text(change(olga, gold, *steps, note=" Hours are no\r\nminutes. "))
    gold.refresh_from_db()
    assert (gold.acceptable_first_errors, gold.note) == (steps, "Hours are no\nminutes.")
    event = Event.objects.get(verb="change gold")
    assert (event.actor, event.subject) == (make.olga(), f"solution {gold.pk}")
    assert event.details == {"old": "step 2", "new": words, "another_note": True}  # the note is a text for people


def test_gold_that_is_saved_as_it_is_leaves_no_event_and_another_note_alone_is_said(olga: Client, gold: GoldAnswer) -> None:
    change(olga, gold, 1)
    assert not Event.objects.exists()
    change(olga, gold, 1, note="Minutes.")
    assert Event.objects.get().details == {"another_note": True}
    assert "another note: yes" in text(olga.get("/p/sums/audit/"))
    assert "Gold changed" in text(olga.get(f"/p/sums/solutions/{gold.pk}/")), "in its history"


def test_the_page_of_a_batch_lists_its_gold_for_managers(project: Project, olga: Client, gold: GoldAnswer) -> None:
    batch = make.batch(project, [gold.solution, make.solution(make.problem(project))])
    shown = olga.get(f"/p/sums/batches/{batch.pk}/").content.decode()
    assert f'href="{place(gold.solution)}"' in shown and "<td>step 2</td><td>Hours.</td>" in shown
    assert "Hours." not in signed_in(make.rita(project)).get(f"/p/sums/batches/{batch.pk}/").content.decode()


def test_answers_are_judged_by_the_new_gold(project: Project, olga: Client, gold: GoldAnswer) -> None:
    change(olga, gold, 2)
    answer = GoldAnswer.objects.get()
    assert quality.is_within_gold("found_error", 2, answer.acceptable_first_errors)
    assert not quality.is_within_gold("found_error", 1, answer.acceptable_first_errors)


def test_the_page_shows_the_stored_gold(olga: Client, gold: GoldAnswer) -> None:
    shown = olga.get(place(gold.solution)).content.decode()
    assert re.findall(r'name="steps" value="(\d+)"[^>]* checked', shown) == ["1"] and "Hours.</textarea>" in shown


@pytest.mark.parametrize(
    ("steps", "note", "words"),
    [
        ([3], "", "The solution has no such step."),
        (["x"], "", "The solution has no such step."),
        ([-1], "", "The solution has no such step."),
        ([1], "x" * 2_001, "The note has 2,001 characters. Write at most 2,000."),
    ],
)
def test_what_cannot_be_gold_is_refused_and_the_note_stays(olga: Client, gold: GoldAnswer, steps: list, note: str, words: str) -> None:
    answer = change(olga, gold, *steps, note=note)
    assert answer.status_code == 400 and words in text(answer) and note in answer.content.decode()
    gold.refresh_from_db()
    assert (gold.acceptable_first_errors, gold.note) == ([1], "Hours.") and not Event.objects.exists()


def test_a_note_that_cannot_be_stored_is_refused(project: Project, gold: GoldAnswer) -> None:
    seen = quality.find_gold(project, gold.pk).seen
    with pytest.raises(quality.GoldRefused, match="The note contains a NUL character"):
        quality.change_gold(project, gold.pk, steps=[0], note="a\0b", seen=seen, actor=make.olga(project))
    assert GoldAnswer.objects.get().acceptable_first_errors == [1]


def test_of_two_managers_at_once_the_second_is_told_and_what_they_wrote_stays(project: Project, olga: Client, gold: GoldAnswer) -> None:
    change(olga, gold, 0)
    mary = signed_in(make.person("mary", project, Role.MANAGER))
    answer = change(mary, gold, 2, note="My note.", seen="0" * 16)
    assert answer.status_code == 409 and "olga changed this gold after you opened the page. Nothing was stored." in text(answer)
    assert "My note.</textarea>" in answer.content.decode()
    assert GoldAnswer.objects.get().acceptable_first_errors == [0]


def test_only_gold_of_the_project_has_a_page(project: Project, olga: Client) -> None:
    other = make.project("other")
    plain, foreign = make.solution(make.problem(project)), make.solution(make.problem(other))
    GoldAnswer.objects.create(solution=foreign)
    assert [olga.get(place(one)).status_code for one in (plain, foreign)] == [404, 404]
    assert olga.get(f"/p/sums/solutions/{2**64}/gold/").status_code == 404


def test_the_page_of_a_solution_leads_to_its_gold_if_there_is_any(project: Project, olga: Client, gold: GoldAnswer) -> None:
    plain = make.solution(make.problem(project))
    assert place(gold.solution) in olga.get(f"/p/sums/solutions/{gold.pk}/").content.decode()
    assert place(plain) not in olga.get(f"/p/sums/solutions/{plain.pk}/").content.decode()
    assert place(gold.solution) not in signed_in(make.rita(project)).get(f"/p/sums/solutions/{gold.pk}/").content.decode()
