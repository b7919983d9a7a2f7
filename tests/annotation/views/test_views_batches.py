"""The pages of batches: the list, one batch with its acts, and practice and screening composed from labels."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from annotation import labels, quality, queue
from annotation.models import Annotation, Assignment, Batch, Event, GoldAnswer, Membership, Project, Solution, Task
from tests import make
from tests.clients import claim, page, post, rated, signed_in, submission

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def seen_in(html: str) -> str:
    return re.search(r'name="seen" value="(\d+)"', html)[1]


def act(client: Client, batch: Batch, name: str, *, sure: bool = True, **more: Any) -> Any:
    body = {"act": name, **({"sure": "on"} if sure else {}), **more}
    return client.post(f"/p/{batch.project.slug}/batches/{batch.pk}/", body, follow=True)


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>|&nbsp;", " ", answer.content.decode()))


def labeled(project: Project, person: User, *ratings: int, reason: str = "") -> Annotation:
    lease = queue.lease_next(person, project=project)
    return labels.submit(
        lease.assignment_id, labeler=person, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(*ratings),
        finish_reason="found_error" if -1 in ratings else "solution", reason=reason, active_ms=5, total_ms=5,
    )  # fmt: skip


# --- the list -----------------------------------------------------------------------------------------------------------------


def test_the_list_shows_how_far_each_batch_is_and_who_holds_something(project: Project, olga: Client) -> None:
    labeled(project, make.ann(project), 1, -1)
    queue.lease_next(make.ann(), project=project)
    shown = text_of(olga.get("/p/sums/batches/"))
    assert "selected 0" in shown.lower() and "1 of 3" in shown and "33 %" in shown and " ann " in shown


def test_the_list_costs_as_many_queries_for_many_batches_as_for_one(project: Project, olga: Client, django_assert_num_queries: Any) -> None:
    olga.get("/p/sums/batches/")
    with django_assert_num_queries(6) as one:
        olga.get("/p/sums/batches/")
    for number in range(25):
        make.batch(project, make.solutions(project, 2))
        queue.lease_next(make.person(f"labeler{number}", project), project=project)
    with django_assert_num_queries(len(one)):
        answer = olga.get("/p/sums/batches/")
    older = re.search(r'href="(\?before=\d+)"', answer.content.decode())[1]
    assert answer.content.decode().count("<progress") == 20
    assert olga.get(f"/p/sums/batches/{older}").content.decode().count("<progress") == 6


def test_a_page_of_a_batch_costs_as_many_queries_for_many_people_as_for_one(
    project: Project, olga: Client, django_assert_num_queries: Any
) -> None:
    batch = Batch.objects.get()
    queue.lease_next(make.ann(project), project=project)
    address = f"/p/sums/batches/{batch.pk}/"
    olga.get(address)
    with django_assert_num_queries(11) as one:
        olga.get(address)
    queue.change_overlap(batch, 9, actor=None)
    for number in range(20):
        queue.lease_next(make.person(f"labeler{number}", project), project=project)
    with django_assert_num_queries(len(one)):
        assert olga.get(address).content.decode().count('value="return"') == 21


def test_a_new_project_with_solutions_gets_its_first_batch_with_one_button(settings: Any) -> None:
    project = make.project()
    olga = signed_in(make.olga(project))
    assert "Load problems and solutions first" in text_of(olga.get("/p/sums/batches/"))
    make.solutions(project, 3)
    html = olga.get("/p/sums/batches/").content.decode()
    size = re.search(r'name="strategy" value="uniform">.*?name="size"[^>]* value="(\d+)"', html)[1]
    assert size == str(project.batch_size)
    answer = olga.post("/p/sums/rounds/start/", {"strategy": "uniform", "size": size}, follow=True)
    assert "Round 0 is queued." in text_of(answer)
    assert project.round_set.get().plan["train"] is False  # it needs no model


def test_a_researcher_sees_batches_and_cannot_change_them(project: Project) -> None:
    rita, batch = signed_in(make.rita(project)), Batch.objects.get()
    html = rita.get(f"/p/sums/batches/{batch.pk}/").content.decode()
    assert "Pause" not in html and "Hand out first" not in html
    assert act(rita, batch, "pause").status_code == 404 and Batch.objects.get().state == "open"


# --- acts -----------------------------------------------------------------------------------------------------------------------


def test_a_higher_overlap_says_how_many_places_it_opens_before_it_opens_them(olga: Client, project: Project) -> None:
    batch = Batch.objects.get()
    answer = act(olga, batch, "overlap", sure=False, overlap="3", seen="0")
    assert "This opens 6 places." in text_of(answer) and Assignment.objects.count() == 3
    done = act(olga, batch, "overlap", overlap="3", seen="0")
    assert "The overlap is 3 now. Places: 6 opened" in text_of(done) and Assignment.objects.count() == 9
    assert Event.objects.get().actor == make.olga()


def test_a_lower_overlap_says_what_closes_and_what_can_be_finished(olga: Client, project: Project) -> None:
    batch = Batch.objects.get()
    queue.change_overlap(batch, 2, actor=None)
    labeled(project, make.ann(project), 1, -1)
    queue.lease_next(make.ben(project), project=project)
    Assignment.objects.filter(state="leased").update(task=Task.objects.filter(assignment__state="done").first(), slot=5)
    shown = text_of(act(olga, batch, "overlap", sure=False, overlap="1"))
    assert "1 lease is more than the new overlap needs" in shown and "Labels that are done stay." in shown


@pytest.mark.parametrize("overlap", ["", "0", "100", "two", "9" * 30])
def test_a_wrong_overlap_is_named_and_changes_nothing(olga: Client, project: Project, overlap: str) -> None:
    answer = act(olga, Batch.objects.get(), "overlap", overlap=overlap)
    assert answer.status_code == 400 and "The overlap must be a whole number from 1 to 99." in text_of(answer)
    assert Assignment.objects.count() == 3 and not Event.objects.exists()


def test_closing_asks_first_and_says_in_numbers_what_closes(olga: Client, project: Project) -> None:
    batch = Batch.objects.get()
    queue.lease_next(make.ann(project), project=project)
    shown = text_of(act(olga, batch, "close", sure=False))
    assert "2 open places close for good. This cannot be undone." in shown and "1 solution is in hand now. It can be finished." in shown
    assert Batch.objects.get().state == "open"
    assert "2 open places closed" in text_of(act(olga, batch, "close"))
    assert Batch.objects.get().state == "closed"


@pytest.mark.parametrize("name", ["pause", "close"])
def test_a_person_finishes_what_is_on_the_page_after_a_manager_stopped_the_batch(
    olga: Client, project: Project, ann: Client, name: str
) -> None:
    held = claim(page(ann, project))
    act(olga, Batch.objects.get(), name)
    answer = post(ann, "submit", held["assignment"], submission(held["token"], rated(1, -1)))
    assert answer.status_code == 200 and Annotation.objects.count() == 1
    assert {"pause": "is paused", "close": "nothing left for you"}[name] in text_of(ann.get("/p/sums/label/"))


def test_a_lease_is_given_back_after_a_question(olga: Client, project: Project) -> None:
    queue.lease_next(make.ann(project), project=project)
    batch, held = Batch.objects.get(), Assignment.objects.get(state="leased")
    assert "still counts until somebody else takes it" in text_of(act(olga, batch, "return", sure=False, assignment=held.pk))
    assert "The solution that ann held is back in the queue." in text_of(act(olga, batch, "return", assignment=held.pk))
    again = act(olga, batch, "return", assignment=held.pk)
    assert again.status_code == 400 and "Nobody holds this solution any more" in text_of(again)


def test_two_managers_who_change_one_batch_are_told_of_each_other(olga: Client, project: Project) -> None:
    batch = Batch.objects.get()
    seen = seen_in(olga.get(f"/p/sums/batches/{batch.pk}/").content.decode())
    mary = make.person("mary", project, "manager")
    act(signed_in(mary), batch, "pause", seen=seen)
    answer = act(olga, batch, "overlap", overlap="2", seen=seen)
    assert answer.status_code == 400 and "mary changed this batch after you opened the page (pause batch)" in text_of(answer)
    assert Assignment.objects.count() == 3 and ">paused<" in answer.content.decode()


def test_an_act_that_does_not_fit_is_refused_with_a_sentence(olga: Client, project: Project) -> None:
    answer = act(olga, Batch.objects.get(), "resume")
    assert answer.status_code == 400 and "Only a paused batch can be resumed." in text_of(answer)


def test_a_batch_of_another_project_is_not_there(olga: Client, project: Project) -> None:
    words = make.project("words")
    other = make.batch(words, make.solutions(words, 1))
    assert olga.get(f"/p/sums/batches/{other.pk}/").status_code == 404


# --- the forecast ---------------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_forecast_divides_what_is_left_by_the_mean_of_the_days() -> None:
    steady = quality.forecast(30, quality.DailyPace(10, 0, 14), now=NOW)
    assert steady is not None
    assert [round((moment - NOW) / timedelta(days=1), 3) for moment in (steady.expected, steady.earliest, steady.latest)] == [3, 3, 3]


def test_days_that_vary_widen_the_interval_of_a_forecast() -> None:
    ends = quality.forecast(100, quality.DailyPace(10, 25, 14), now=NOW)
    days = [(moment - NOW) / timedelta(days=1) for moment in (ends.earliest, ends.expected, ends.latest)]
    # 10 T + 1.645 sqrt(25 T + 25 T^2 / 14) = 100, and the same with a minus
    assert days == pytest.approx([7.267, 10, 14.459], abs=0.001)


def test_a_pace_that_varies_too_much_has_no_latest_end_and_no_labels_no_forecast() -> None:
    assert quality.forecast(100, quality.DailyPace(1, 100, 4), now=NOW).latest is None
    assert quality.forecast(100, quality.DailyPace(0, 0, 14), now=NOW) is None


# --- practice and screening -------------------------------------------------------------------------------------------------------


@pytest.fixture
def trusted(project: Project) -> User:
    """Ann, who has labeled three solutions: mistakes at the second and first step, and none."""
    ann = make.ann(project)
    labeled(project, ann, 1, -1, reason="")
    labeled(project, ann, -1)
    labeled(project, ann, 1, 1, 1)
    return ann


def drawn(client: Client, kind: str, size: int = 3, by: str = "ann") -> Any:
    return client.get("/p/sums/batches/compose/", {"kind": kind, "by": by, "size": size})


@pytest.mark.parametrize("kind", ["practice", "screening"])
def test_practice_and_screening_are_composed_from_the_labels_of_one_person(
    olga: Client, project: Project, trusted: User, kind: str
) -> None:
    answer = drawn(olga, kind)
    shown = text_of(answer)
    assert "step 2" in shown and "step 1" in shown and "no mistake" in shown
    keys = re.findall(r'name="keep" value="(\d+)"', answer.content.decode())
    done = olga.post("/p/sums/batches/compose/", {"kind": kind, "by": "ann", "size": 3, "keep": keys[:2]}, follow=True)
    assert f"The {kind} is published." in text_of(done)
    batch = Batch.objects.get(kind=kind)
    assert set(Task.objects.filter(batch=batch).values_list("solution", flat=True)) == {int(key) for key in keys[:2]}
    assert GoldAnswer.objects.count() == 2 and Event.objects.get().actor == make.olga()
    assert queue.lease_next(make.ben(project), project=project).kind == kind
    assert (Membership.objects.get(user=trusted).qualified_at is not None) == (kind == "screening")


def test_a_size_above_the_labels_is_refused_in_words(olga: Client, project: Project, trusted: User) -> None:
    answer = drawn(olga, "practice", size=9)
    assert answer.status_code == 400 and "ann has labeled 3 usable solutions" in text_of(answer)


def test_nothing_is_published_if_every_solution_is_left_out(olga: Client, project: Project, trusted: User) -> None:
    answer = olga.post("/p/sums/batches/compose/", {"kind": "practice", "by": "ann", "size": 3})
    assert answer.status_code == 400 and "No solution is left. Keep at least one." in text_of(answer)
    assert Batch.objects.count() == 1 and not GoldAnswer.objects.exists()


def test_a_solution_that_was_withdrawn_meanwhile_is_refused(olga: Client, project: Project, trusted: User) -> None:
    keys = re.findall(r'name="keep" value="(\d+)"', drawn(olga, "practice").content.decode())
    queue.withdraw(Solution.objects.filter(pk=int(keys[0])), actor=None)
    answer = olga.post("/p/sums/batches/compose/", {"kind": "practice", "by": "ann", "size": 3, "keep": keys})
    assert answer.status_code == 400 and "Some of these solutions cannot be used any more" in text_of(answer)
    assert Batch.objects.count() == 1 and not GoldAnswer.objects.exists()


def test_a_second_screening_is_refused_with_the_reason(olga: Client, project: Project, trusted: User) -> None:
    quality.open_screening(project, by="ann", size=1)
    answer = drawn(olga, "screening", size=1)
    assert answer.status_code == 400 and "A screening of sums exists already." in text_of(answer)


def test_a_project_without_labels_says_what_to_do(olga: Client, project: Project) -> None:
    assert "Nobody has labeled in this project yet." in text_of(olga.get("/p/sums/batches/compose/"))


def test_an_interactive_project_says_that_it_has_neither(olga: Client, project: Project) -> None:
    Project.objects.update(step_source="interactive")
    assert "practice and screening are not possible" in text_of(olga.get("/p/sums/batches/compose/"))


def test_gold_is_mixed_into_the_newest_open_batch_from_the_labels_of_one_person(olga: Client, project: Project, trusted: User) -> None:
    Project.objects.update(gold_percent=100)
    batch = make.batch(project, make.solutions(project, 2))
    keys = re.findall(r'name="keep" value="(\d+)"', drawn(olga, "gold").content.decode())
    done = olga.post("/p/sums/batches/compose/", {"kind": "gold", "by": "ann", "size": 3, "keep": keys[:2]}, follow=True)
    assert "Gold in this batch: 2 more. People get it at 100 % of turns." in text_of(done)
    assert set(Task.objects.filter(batch=batch, kind="gold").values_list("solution", flat=True)) == {int(key) for key in keys[:2]}
    assert GoldAnswer.objects.count() == 2
    assert queue.lease_next(make.ben(project), project=Project.objects.get()).solution_id == int(keys[0])
    again = olga.post("/p/sums/batches/compose/", {"kind": "gold", "by": "ann", "size": 3, "keep": keys[:1]})
    assert again.status_code == 400 and Task.objects.filter(kind="gold").count() == 2


def test_gold_without_an_open_batch_is_refused_in_words(olga: Client, project: Project, trusted: User) -> None:
    queue.close_batch(Batch.objects.get(), actor=None)
    answer = drawn(olga, "gold")
    assert answer.status_code == 400 and "There is no open batch of work" in text_of(answer) and not GoldAnswer.objects.exists()


@pytest.mark.parametrize("kind", ["practice", "screening"])
def test_a_draft_reaches_newcomers_when_it_is_published(olga: Client, project: Project, trusted: User, kind: str) -> None:
    keys = re.findall(r'name="keep" value="(\d+)"', drawn(olga, kind).content.decode())
    body = {"kind": kind, "by": "ann", "size": 3, "keep": keys[:1], "draft": "on"}
    assert "kept as a draft" in text_of(olga.post("/p/sums/batches/compose/", body, follow=True))
    make.batch(project, make.solutions(project, 1))
    ben = make.ben(project)
    lease = queue.lease_next(ben, project=project)
    assert lease.kind == "selected"
    queue.release(lease.assignment_id, labeler=ben, token=lease.token)
    batch = Batch.objects.get(kind=kind)
    assert "Newcomers get its 1 solution from now on." in text_of(act(olga, batch, "publish", sure=False))
    assert "The batch is published." in text_of(act(olga, batch, "publish"))
    assert queue.lease_next(ben, project=project).kind == kind
