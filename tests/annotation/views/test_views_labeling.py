"""The labeling page and its background requests, as a browser meets them."""

import json
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import F
from django.test import Client
from django.urls import reverse
from psycopg.errors import DeadlockDetected

from annotation import labels, queue
from annotation.models import Annotation, Assignment, AssignmentState, Draft, Membership, Project
from tests import make
from tests.clients import claim, page, post, rated, real_assignment, refusal, signed_in, submission

pytestmark = pytest.mark.django_db


# --- the labeling page --------------------------------------------------------------------------------------------------


def test_the_page_holds_problem_steps_and_reference_answer() -> None:
    project = make.project()
    problem = make.problem(project, statement="How many <b>eggs</b> & $x$?", answer="18")
    make.batch(project, [make.solution(problem, ["First <i>so</i>", "Then 18"])])
    html = page(signed_in(make.ann(project)), project)
    assert "How many &lt;b&gt;eggs&lt;/b&gt; &amp; $x$?" in html
    assert re.findall(r'data-step="(\d+)"', html) == ["0", "1"]
    assert "First &lt;i&gt;so&lt;/i&gt;" in html
    assert re.search(r"data-answer[^>]*>18<", html)


def test_a_project_that_hides_reference_answers_never_shows_one() -> None:
    project = make.project(show_reference_answer=False)
    make.batch(project, [make.solution(make.problem(project, answer="the-secret-answer"))])
    html = page(signed_in(make.ann(project)), project)
    assert "the-secret-answer" not in html
    assert "Reference answer" not in html


def test_no_page_carries_an_inline_script_or_style(project: Project, ann: Client) -> None:
    owner = signed_in(make.olga(project))
    pages = [page(ann, project), owner.get(reverse("overview", args=[project.slug])).content.decode(), owner.get("/").content.decode()]
    pages.append(Client().get(reverse("sign-in")).content.decode())
    for html in pages:
        assert all(" src=" in tag for tag in re.findall(r"<script[^>]*>", html)) and "<script" in html
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)


def test_asking_again_shows_the_same_solution(project: Project, ann: Client) -> None:
    assert claim(page(ann, project))["assignment"] == claim(page(ann, project))["assignment"]


def test_an_empty_queue_is_explained(ann: Client) -> None:
    empty = make.project("empty")
    make.ann(empty)
    assert 'data-nothing="nothing_to_label"' in page(ann, empty)


def test_a_suspended_labeler_is_told(project: Project, ann: Client) -> None:
    Membership.objects.update(suspended_at="2026-01-01T00:00Z")
    html = page(ann, project)
    assert 'data-nothing="not_qualified"' in html and "data-step" not in html


# --- drafts, submits, skips ---------------------------------------------------------------------------------------------


def test_a_draft_is_on_the_page_after_a_reload(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    answer = post(ann, "draft", held["assignment"], {"token": held["token"], "revision": 4, "ratings": rated(1, 0)})
    assert (answer.status_code, answer.json()) == (200, {"revision": 4})
    shown = re.search(r'data-draft="([^"]*)"', page(ann, project)).group(1).replace("&quot;", '"')
    assert json.loads(shown) == {"revision": 4, "ratings": rated(1, 0)}


def test_an_older_draft_is_answered_with_the_newer_revision(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    post(ann, "draft", held["assignment"], {"token": held["token"], "revision": 4, "ratings": rated(1, 0)})
    answer = post(ann, "draft", held["assignment"], {"token": held["token"], "revision": 3, "ratings": []})
    assert answer.json() == {"revision": 4}
    assert Draft.objects.get().ratings == rated(1, 0)


def test_a_submit_stores_the_labels_and_answers_with_the_next_solution(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    answer = post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 0, -1)))
    assert answer.status_code == 200
    following = claim(answer.content.decode())
    assert following["assignment"] != held["assignment"]
    assert "<html" not in answer.content.decode()
    stored = Annotation.objects.get()
    assert (stored.assignment_id, stored.finish_reason) == (real_assignment(held), "found_error")
    assert (stored.active_ms, stored.total_ms) == (2500, 4000)
    assert list(stored.steplabel_set.order_by("step_index").values_list("rating", flat=True)) == [1, 0, -1]


def test_the_same_submit_again_is_one_annotation_and_the_same_next_solution(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    body = submission(held["token"], rated(1, 1, 1))
    first, second = (post(ann, "submit", held["assignment"], body) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert claim(first.content.decode())["assignment"] == claim(second.content.decode())["assignment"]
    assert Annotation.objects.count() == 1


def test_the_same_submission_with_other_ratings_is_a_conflict(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    body = submission(held["token"], rated(1, 1, 1))
    post(ann, "submit", held["assignment"], body)
    other = post(ann, "submit", held["assignment"], {**body, "ratings": rated(1, 1, 0)})
    assert refusal(other) == (409, "submission_conflict")


def test_the_last_submit_says_that_nothing_is_left() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    client = signed_in(make.ann(project))
    held = claim(page(client, project))
    answer = post(client, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1)))
    assert answer.status_code == 200 and 'data-nothing="nothing_to_label"' in answer.content.decode()


def test_a_bad_problem_carries_its_reason(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    answer = post(ann, "submit", held["assignment"], submission(held["token"], [], finish_reason="bad_problem", reason="No question."))
    assert answer.status_code == 200
    assert Annotation.objects.values_list("finish_reason", "reason").get() == ("bad_problem", "No question.")


def test_a_skip_hands_out_another_solution(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    answer = post(ann, "skip", held["assignment"], {"token": held["token"], "reason": "not my field"})
    assert answer.status_code == 200
    assert claim(answer.content.decode())["assignment"] != held["assignment"]
    assert not Annotation.objects.exists()


def test_work_at_a_lease_keeps_it(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    answer = post(ann, "extend", held["assignment"], {"token": held["token"]})
    assert answer.status_code == 200 and 1700 < answer.json()["seconds"] <= 1800


def test_a_lost_lease_is_said_and_the_work_is_kept(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    taken = Assignment.objects.filter(pk=real_assignment(held))
    taken.update(labeler=make.ben(project), token=F("token") + 1)
    answer = post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1)))
    assert refusal(answer) == (409, "lease_lost")
    assert "kept" in answer.json()["message"]
    assert Draft.objects.get(labeler=make.ann()).ratings == rated(1, 1, 1)


def test_somebody_elses_assignment_takes_nothing(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    ben = signed_in(make.ben(project))
    body = submission(held["token"], rated(1, 1, 1))
    assert refusal(answer := post(ben, "submit", held["assignment"], body)) == (409, "lease_lost")
    assert "Your time ran out" not in answer.json()["message"]
    assert Assignment.objects.get(pk=real_assignment(held)).state == AssignmentState.LEASED
    stranger = signed_in(make.eve())
    assert refusal(post(stranger, "submit", held["assignment"], body)) == (404, "not_found")
    assert refusal(post(stranger, "submit", 10**30, body)) == (404, "not_found")
    assert not Annotation.objects.exists()


@pytest.mark.parametrize("act", ["submit", "draft", "extend", "skip"])
def test_a_claim_that_was_never_theirs_is_not_said_to_have_run_out(project: Project, ann: Client, act: str) -> None:
    held = claim(page(ann, project))
    ben = signed_in(make.ben(project))
    invented = submission(0, rated(1, 1, 1))
    bodies = {
        "submit": invented,
        "draft": {"token": 0, "revision": 1, "ratings": []},
        "extend": {"token": 0},
        "skip": {"token": 0, "reason": ""},
    }
    answer = post(ben, act, held["assignment"], bodies[act])
    assert refusal(answer) == (409, "lease_lost")
    assert answer.json()["message"] == "This solution is not yours. It was handed out to somebody else."


def test_an_assignment_that_nobody_holds_is_said_to_wait_in_the_queue(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    Assignment.objects.filter(pk=real_assignment(held)).update(
        state=AssignmentState.OPEN, labeler=None, leased_at=None, lease_expires_at=None
    )
    answer = post(signed_in(make.ben(project)), "extend", held["assignment"], {"token": held["token"]})
    assert answer.json()["message"] == "This solution is not yours. It waits in the queue."


def test_a_background_request_without_a_session_answers_401(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    ann.logout()
    assert refusal(post(ann, "draft", held["assignment"], {"token": held["token"], "revision": 1, "ratings": []})) == (401, "signed_out")


def test_a_closed_account_can_store_nothing(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    User.objects.update(is_active=False)
    assert refusal(post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1)))) == (401, "signed_out")
    assert not Annotation.objects.exists()


def test_a_background_request_from_another_site_is_refused(project: Project) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make.ann(project))
    held = claim(page(client, project))
    assert post(client, "draft", held["assignment"], {"token": held["token"], "revision": 1, "ratings": []}).status_code == 403
    assert not Draft.objects.exists()


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "not JSON": lambda body: '{"token": ',
    "not UTF-8": lambda body: b'{"token": "\xff"}',
    "a list": lambda body: [body],
    "a field too many": lambda body: {**body, "score": 1},
    "a field too few": lambda body: {name: value for name, value in body.items() if name != "ratings"},
    "a token of text": lambda body: {**body, "token": "1"},
    "a token of true": lambda body: {**body, "token": True},
    "a time of text": lambda body: {**body, "active_ms": "9000"},
    "half a millisecond": lambda body: {**body, "total_ms": 0.5},
    "no UUID": lambda body: {**body, "submission_id": "again"},
    "ratings of text": lambda body: {**body, "ratings": "1,1,1"},
    "brackets without end": lambda body: "[" * 200_000,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_body_that_is_not_one_is_refused(project: Project, ann: Client, change: Callable[[dict[str, Any]], object]) -> None:
    held = claim(page(ann, project))
    answer = post(ann, "submit", held["assignment"], change(submission(held["token"], rated(1, 1, 1))))
    assert refusal(answer) == (400, "bad_request")
    assert not Annotation.objects.exists()


@pytest.mark.parametrize(
    ("ratings", "code"),
    [(rated(1, 2, 1), "bad_rating"), (rated(-1, 1), "rating_after_negative"), (rated(1, 1, 1, 1), "unknown_step"), ([], "empty")],
)
def test_a_bad_submission_is_named(project: Project, ann: Client, ratings: list[dict[str, Any]], code: str) -> None:
    held = claim(page(ann, project))
    assert refusal(post(ann, "submit", held["assignment"], submission(held["token"], ratings))) == (400, code)
    assert not Annotation.objects.exists()


def test_a_busy_database_asks_to_try_again(project: Project, ann: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def deadlock(*args: object, **more: object) -> None:
        raise OperationalError("deadlock detected") from DeadlockDetected("deadlock detected")

    held = claim(page(ann, project))
    monkeypatch.setattr(labels, "submit", deadlock)
    assert refusal(post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1)))) == (503, "busy")


def test_a_full_disk_is_called_that(
    project: Project, ann: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object, **more: object) -> None:
        raise OperationalError("could not extend file") from psycopg.errors.DiskFull("could not extend file")

    held = claim(page(ann, project))
    monkeypatch.setattr(labels, "submit", full)
    answer = post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1)))
    assert refusal(answer) == (503, "disk_full") and "The disk is full" in answer.json()["message"]
    assert "The disk is full" in caplog.text


# --- the next solution, ahead -------------------------------------------------------------------------------------------


def test_a_submit_that_names_what_was_prepared_answers_with_its_lease_alone(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    answer = post(ann, "ahead", held["assignment"], {})
    next_one = claim(answer.content.decode())
    assert next_one["assignment"] != held["assignment"]
    body = submission(held["token"], rated(1, -1), ahead=next_one["assignment"], ahead_token=next_one["token"])
    for _ in range(2):  # a retry, as the browser sends it when the first answer was lost
        assert 0 < post(ann, "submit", held["assignment"], body).json()["seconds"] <= 30 * 60
    assert claim(page(ann, project)) == next_one


def test_a_submit_that_names_what_was_given_on_answers_with_another_solution(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    next_one = claim(post(ann, "ahead", held["assignment"], {}).content.decode())
    assert post(ann, "release", next_one["assignment"], {"token": next_one["token"]}).json() == {"released": True}
    claim(page(signed_in(make.ben(project)), project))
    body = submission(held["token"], rated(1, -1), ahead=next_one["assignment"], ahead_token=next_one["token"])
    assert claim(post(ann, "submit", held["assignment"], body).content.decode())["assignment"] != next_one["assignment"]


def test_ahead_of_the_last_solution_there_is_nothing(ann: Client) -> None:
    project = make.project("one")
    make.batch(project, make.solutions(project, 1))
    make.ann(project)
    assert post(ann, "ahead", claim(page(ann, project))["assignment"], {}).json() == {}


def test_a_prepared_gold_question_looks_like_any_other(ann: Client) -> None:
    shapes = set()
    for slug, kind in (("plain", "normal"), ("golden", "gold")):
        project = make.project(slug, gold_percent=100, lease_minutes=10)
        make.ann(project)
        chosen = [make.solution(make.problem(project, statement="How many?", answer="3"), [f"{kind[0]} one", "two"]) for kind in "ab"]
        queue.open_batch(project, [queue.Chosen(one.pk, kind=kind) for one in chosen])
        html = post(ann, "ahead", claim(page(ann, project))["assignment"], {}).content.decode()
        shapes.add(re.sub(r"\d+", "N", html).replace(slug, "slug").replace("b one", "a one"))
    assert len(shapes) == 1


# --- reopening ----------------------------------------------------------------------------------------------------------


def corrected(*ratings: int) -> dict[str, Any]:
    return {name: value for name, value in submission(1, rated(*ratings)).items() if name != "token"}


def test_a_reopened_page_shows_the_ratings_and_a_correction_is_a_new_revision(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    post(ann, "submit", held["assignment"], submission(held["token"], rated(1, -1)))
    first = Annotation.objects.get()
    assert reverse("reopen", args=[project.slug, first.pk]) in ann.get(reverse("recent", args=[project.slug])).content.decode()
    html = ann.get(reverse("reopen", args=[project.slug, first.pk])).content.decode()
    assert "data-reopened" in html and "&quot;rating&quot;:-1" in html
    answer = post(ann, "revise", first.pk, corrected(1, 0, -1))
    assert answer.json() == {"next": reverse("label", args=[project.slug])}
    assert Annotation.objects.get(revision=2).supersedes == first
    assert refusal(post(ann, "revise", first.pk, corrected(-1)))[0] == 409  # only the newest can be corrected


def test_what_cannot_be_reopened_leads_back_with_a_sentence(project: Project, ann: Client) -> None:
    held = claim(page(ann, project))
    post(ann, "submit", held["assignment"], submission(held["token"], rated(-1)))
    key = Annotation.objects.get().pk
    make.ben(project)
    for client, annotation in ((signed_in(make.ben()), key), (ann, key + 1)):
        answer = client.get(reverse("reopen", args=[project.slug, annotation]), follow=True)
        assert "cannot be reopened" in answer.content.decode() and "data-reopened" not in answer.content.decode()
    assert refusal(post(signed_in(make.ben()), "revise", key, corrected(-1))) == (404, "not_found")


# --- cost ---------------------------------------------------------------------------------------------------------------


def test_the_way_from_submit_to_the_next_solution_costs_few_statements(
    project: Project, ann: Client, django_assert_max_num_queries: Any
) -> None:
    held = claim(page(ann, project))
    with django_assert_max_num_queries(16):
        post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1)))
