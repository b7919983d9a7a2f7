"""The pages of reviewers without a browser: what they show before and after a decision, and what they refuse."""

import re
import uuid
from datetime import datetime
from typing import Any

import celery
import pytest
from django.test import Client
from django.urls import reverse

from active_learning.models import StepScores
from annotation import quality
from annotation.models import Annotation, GoldAnswer, Membership, Message, Project, Role, Solution
from tests import make
from tests.clients import signed_in
from tests.reviews import at, decide, disputed, sent

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return disputed((at(1), at(2)))[0]


@pytest.fixture
def solution(project: Project) -> Solution:
    return Solution.objects.get()


@pytest.fixture
def rolf(project: Project) -> Client:
    return signed_in(make.rolf(project))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """What workers are asked for."""
    asked: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(celery.Celery, "send_task", lambda _, name, args=None, **__: asked.append((name, args)))
    return asked


def address(solution: Solution, name: str = "review-solution") -> str:
    return reverse(name, kwargs={"slug": "sums", "solution_id": solution.pk})


def shown(client: Client, solution: Solution, query: str = "") -> str:
    answer = client.get(address(solution) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def post_decision(client: Client, solution: Solution, ratings: tuple[int, ...], *, seen: int = 0, **other: Any) -> Any:
    body = sent(ratings, reason="", **other)
    body["submission_id"] = str(body["submission_id"])
    return client.post(f"{address(solution, 'decide')}?seen={seen}", body, content_type="application/json")


def key_of(reading: Annotation) -> str:
    """Return what the form of a reviewer names a reading by."""
    readers = quality.review_of(reading.solution.problem.project, reading.solution_id, reviewer=make.rolf()).readers
    return next(reader.key for reader in readers if reader.annotation_id == reading.pk)


def test_the_model_is_shown_only_after_the_own_verdict(project: Project, solution: Solution, rolf: Client) -> None:
    version = make.version(project, 1, champion=True)
    StepScores.objects.create(model_version=version, solution=solution, probabilities=[[0.1, 0.1, 0.8], [0.73, 0.1, 0.17], [0.3, 0.3, 0.4]])
    before = shown(rolf, solution)
    assert "p(correct)" not in before and "0.27" not in before and "PRM 1" not in before
    assert post_decision(rolf, solution, at(2)).json() == {"next": address(solution)}
    after = shown(rolf, solution)
    assert "PRM 1 sees the first mistake in step 2." in after and "<b>0.27</b> p(correct)" in after and 'class="chart"' in after


def test_the_model_is_not_shown_for_the_verdict_of_somebody_else_and_not_for_giving_up(
    project: Project, solution: Solution, rolf: Client
) -> None:
    version = make.version(project, 1, champion=True)
    StepScores.objects.create(model_version=version, solution=solution, probabilities=[[0.1, 0.1, 0.8], [0.73, 0.1, 0.17], [0.3, 0.3, 0.4]])
    gave_up = decide(project, solution, make.rolf(), (), finish_reason="give_up", reason="Too long.")
    pages = [shown(rolf, solution)]
    decide(project, solution, make.olga(project), at(1), seen=gave_up.pk)
    pages += [shown(rolf, solution), shown(rolf, solution, "?again")]
    assert [re.findall(r"<b>0\.\d\d</b>|PRM 1|chart", page) for page in pages] == [[], [], []]
    assert "after a verdict of your own" in pages[1]
    assert "<b>0.27</b> p(correct)" in shown(signed_in(make.olga()), solution)


def test_the_page_carries_no_number_that_tells_who_labeled_first(solution: Solution, rolf: Client) -> None:
    numbers = [str(key) for key in Annotation.objects.values_list("pk", flat=True)]
    page = re.sub(r'name="csrf[^>]*>|data-keys="[^"]*"', "", shown(rolf, solution))
    values = re.findall(r'name="reading" value="([^"]*)"', page)
    assert len(values) == 2 and not {*values} & {*numbers} and f"{datetime.now():%Y}" not in page
    assert all(re.fullmatch("[0-9a-f]{16}", value) for value in values)


def test_a_reviewer_who_labeled_a_solution_neither_sends_back_nor_makes_gold_of_it(project: Project, solution: Solution) -> None:
    decide(project, solution, make.rolf(project), at(2))
    make.ann().membership_set.update(role=Role.REVIEWER)
    ann, ben = signed_in(make.ann()), Annotation.objects.get(solution=solution, labeler__username="ben")
    page = shown(ann, solution)
    assert "Make it gold" not in page and "Send back" not in page and "Decide again" not in page
    ann.post(address(solution, "send-back"), {"reading": key_of(ben), "text": "Look again."})
    refused = ann.post(address(solution, "make-gold"), {"steps": ["1", "2"], "note": "", "seen": ""}, follow=True).content.decode()
    assert "You labeled this solution, so another reviewer makes it gold" in refused
    assert not Message.objects.exists() and not GoldAnswer.objects.exists()
    with pytest.raises(quality.BadMessage, match="nobody reviews their own work"):
        quality.send_back(project, ben.pk, sender=make.ann(), text="Look again.")


@pytest.mark.parametrize(("field", "words"), [("quarantined_at", "Your labels are in quarantine"), ("suspended_at", "You are paused")])
def test_a_reviewer_who_is_paused_or_in_quarantine_decides_nothing(
    project: Project, solution: Solution, rolf: Client, field: str, words: str
) -> None:
    decision = decide(project, solution, make.olga(project), at(1))
    Membership.objects.filter(user=make.rolf()).update(**{field: "2026-01-01T00:00Z"})
    assert words in rolf.get(reverse("review", args=["sums"])).content.decode()
    post_decision(rolf, solution, at(2), seen=decision.pk)
    rolf.post(address(solution, "make-gold"), {"steps": ["1"], "note": "", "seen": ""})
    assert quality.adjudications(project) == {solution.pk: 1} and not GoldAnswer.objects.exists()


def test_a_worker_is_asked_for_the_steps_when_a_decision_is_stored(
    project: Project, solution: Solution, rolf: Client, asked: list[tuple[str, list[int]]]
) -> None:
    version = make.version(project, 1, champion=True)
    post_decision(rolf, solution, at(1))
    assert ("active_learning.tasks.score_steps", [version.pk, solution.pk]) in asked
    assert "A worker scores the steps with PRM 1." in shown(rolf, solution)
    assert rolf.get(address(solution), headers={"HX-Request": "true"}).status_code == 204


def test_no_page_of_review_names_the_people_who_labeled(solution: Solution, rolf: Client) -> None:
    pages = [shown(rolf, solution), rolf.get(reverse("review", args=["sums"])).content.decode()]
    post_decision(rolf, solution, at(1))
    assert [re.findall(r"\b(?:ann|ben)\b", page) for page in [*pages, shown(rolf, solution)]] == [[], [], []]


def test_a_decision_that_breaks_a_rule_stays_on_the_page(solution: Solution, rolf: Client) -> None:
    answer = post_decision(rolf, solution, (1,))
    assert (answer.status_code, answer.json()["code"]) == (400, "unfinished")


def test_who_cannot_decide_reads_why(project: Project, solution: Solution) -> None:
    make.ann().membership_set.update(role=Role.REVIEWER)
    ann = signed_in(make.ann())
    page = shown(ann, solution)
    assert "nobody reviews their own work" in page and "data-step" not in page
    assert post_decision(ann, solution, at(1)).json() == {"next": address(solution)}
    assert not Annotation.objects.filter(assignment__batch__kind="review").exists()


def test_a_reading_is_sent_back_before_a_decision(solution: Solution, rolf: Client) -> None:
    reading = Annotation.objects.get(solution=solution, labeler__username="ann")
    answer = rolf.post(address(solution, "send-back"), {"reading": key_of(reading), "text": "Look again."})
    assert (answer.status_code, answer["Location"]) == (302, reverse("review", args=["sums"]))
    assert Message.objects.get().annotation == reading
    page = rolf.get(reverse("review", args=["sums"])).content.decode()
    assert "Sent back, not answered yet" in page and "No disagreement waits for you." in page


@pytest.mark.parametrize(
    "body", [{}, {"reading": "1", "text": ""}, {"reading": "x", "text": "Look."}, {"reading": "999999", "text": "Look."}]
)
def test_a_message_that_says_nothing_or_leads_nowhere_is_refused_in_words(solution: Solution, rolf: Client, body: dict[str, str]) -> None:
    answer = rolf.post(address(solution, "send-back"), body, follow=True)
    assert answer.status_code == 200 and 'class="error"' in answer.content.decode()
    assert not Message.objects.exists()


def test_gold_is_made_changed_and_refused_on_the_page_of_a_decision(project: Project, solution: Solution, rolf: Client) -> None:
    decide(project, solution, make.rolf(), at(1))
    place = address(solution, "make-gold")
    page = rolf.post(place, {"steps": ["2"], "note": "", "seen": ""}, follow=True).content.decode()
    assert "gold must accept it" in page and not GoldAnswer.objects.exists()
    rolf.post(place, {"steps": ["1"], "note": "Carry.", "seen": ""})
    assert GoldAnswer.objects.get().acceptable_first_errors == [1]
    assert "not accept this decision" not in shown(rolf, solution)
    GoldAnswer.objects.update(acceptable_first_errors=[2])
    page = shown(rolf, solution)
    assert "The gold of this solution does not accept this decision." in page
    seen = page.partition('name="seen" value="')[2].partition('"')[0]
    rolf.post(place, {"steps": ["1", "2"], "note": "", "seen": seen})
    assert GoldAnswer.objects.get().acceptable_first_errors == [1, 2]
    assert "not accept this decision" not in shown(rolf, solution)


def test_a_solution_that_does_not_exist_or_belongs_elsewhere_is_not_found(rolf: Client) -> None:
    other, [theirs] = disputed((at(1), at(2)), slug="other")
    for key in (10**9, 10**25, theirs.pk):
        for name in ("review-solution", "decide", "send-back", "make-gold"):
            place = reverse(name, kwargs={"slug": "sums", "solution_id": key})
            answer = rolf.get(place) if name == "review-solution" else rolf.post(place, {}, content_type="application/json")
            assert answer.status_code in (400, 404), (key, name)
    whole = {**sent(at(1), reason=""), "submission_id": str(uuid.uuid4())}
    place = reverse("decide", kwargs={"slug": "sums", "solution_id": theirs.pk})
    assert rolf.post(place, whole, content_type="application/json").status_code == 404
