"""A regrade that a person asks for in the browser: a worker does it once, and one that is lost is begun again."""

import signal
from datetime import timedelta

import pytest
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse

from annotation import corrections
from annotation.corrections import regrading
from annotation.models import Event, Project, Regrade, Role, Solution
from tests import make
from tests.clients import signed_in
from trainer.progress import Stopped

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    """A project whose one solution states 2/4 for 1/2, and which has just learned to accept that."""
    project = make.project("sums", accept_unreduced=True)
    make.solution(make.problem(project, answer="1/2"), final_answer="2/4", is_answer_given=True, outcome="unsure", grader="old")
    return project


def looked(project: Project) -> Regrade:
    """What a look found."""
    row = corrections.look_at_regrade(project, actor=None)
    corrections.run_regrade(row.pk)
    row.refresh_from_db()
    return row


def test_a_manager_looks_what_a_regrade_changes_then_asks_for_it_and_a_worker_does_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(regrading, "_notify_worker", sent.append)
    client = signed_in(make.person("mia", project, Role.MANAGER))
    address = reverse("regrade", args=["sums"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.db.transaction.on_commit", lambda act: act())
        assert client.post(address).status_code == 302
    row = Regrade.objects.get()
    assert (sent, row.state, row.created_by, row.applies) == ([row.pk], "waiting", make.person("mia"), False)
    assert "Looking what would change. It waits for a worker." in client.get(address, headers={"HX-Request": "true"}).content.decode()
    corrections.run_regrade(row.pk)
    page = client.get(reverse("settings", args=["sums"])).content.decode()
    assert "1 solution to grade again. Another outcome for 1 of them." in page and "from unsure to correct: 1" in page
    assert f"solution {Solution.objects.get().pk}: from unsure to correct" in page, "an example"
    assert Solution.objects.get().outcome == "unsure" and not Event.objects.exists(), "nothing is changed yet"

    row.refresh_from_db()
    assert f'name="seen" value="{row.fingerprint}"' in page
    assert client.post(address, {"seen": row.fingerprint}).status_code == 302
    corrections.run_regrade(Regrade.objects.latest("pk").pk)
    assert Solution.objects.get().outcome == "correct"
    page = client.get(reverse("settings", args=["sums"])).content.decode()
    assert "1 solution to grade again. Another outcome for 1 of them." in page and "Make these changes" not in page
    assert list(Event.objects.order_by("pk").values_list("verb", "actor__username")) == [("start regrade", "mia"), ("regrade", "mia")]


def test_what_nobody_saw_is_not_written_but_shown(project: Project) -> None:
    seen = looked(project).fingerprint
    make.solution(make.problem(project, answer="1/3"), final_answer="2/6", is_answer_given=True, outcome="unsure", grader="old")
    row = corrections.request_regrade(project, seen=seen, actor=make.olga(project))
    corrections.run_regrade(row.pk)
    row.refresh_from_db()
    assert set(Solution.objects.values_list("outcome", flat=True)) == {"unsure"} and not Event.objects.filter(verb="regrade").exists()
    assert row.report[0] == "Something changed since you looked, so nothing was written."
    assert "2 solutions to grade again" in row.report[1] and row.fingerprint != seen
    html = signed_in(make.olga()).get(reverse("settings", args=["sums"])).content.decode()
    assert "This would change" in html and row.fingerprint in html


def test_a_look_that_finds_nothing_offers_nothing_to_do(project: Project) -> None:
    Solution.objects.all().delete()
    row = looked(project)
    assert (row.report, row.fingerprint) == (["Nothing changes."], "")
    html = signed_in(make.olga(project)).get(reverse("settings", args=["sums"])).content.decode()
    assert "Make these changes" not in html and "Look again" in html


def test_a_second_run_and_a_second_request_change_nothing(project: Project) -> None:
    seen = looked(project).fingerprint
    row = corrections.request_regrade(project, seen=seen, actor=None)
    with pytest.raises(corrections.RegradeUnderWay):
        corrections.request_regrade(project, seen=seen, actor=None)
    with pytest.raises(corrections.RegradeUnderWay):
        corrections.look_at_regrade(project, actor=None)
    corrections.run_regrade(row.pk)
    corrections.run_regrade(row.pk)
    assert Event.objects.filter(verb="regrade").count() == 1
    assert looked(project).report == ["Nothing changes."]


def test_a_regrade_that_waited_before_a_look_came_first_is_done(project: Project) -> None:
    corrections.run_regrade(Regrade.objects.create(project=project).pk)
    assert Solution.objects.get().outcome == "correct"


def test_a_regrade_that_a_live_worker_has_is_left_to_it(project: Project) -> None:
    row = corrections.look_at_regrade(project, actor=None)
    Regrade.objects.update(state="running", heartbeat_at=Now(), token=1)
    corrections.run_regrade(row.pk)
    assert corrections.sweep_regrades() == [] and Solution.objects.get().outcome == "unsure"


def test_a_regrade_whose_worker_died_is_offered_again_and_ends_after_three_tries(project: Project) -> None:
    row = corrections.look_at_regrade(project, actor=None)
    Regrade.objects.update(state="running", heartbeat_at=Now() - timedelta(hours=1), attempt=1)
    assert corrections.sweep_regrades() == [row.pk]
    Regrade.objects.update(attempt=3)
    assert corrections.sweep_regrades() == []
    row.refresh_from_db()
    assert row.state == "failed" and "broke off three times" in row.report[0]


def test_a_stop_during_the_claim_gives_the_regrade_back(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    row, waiting, before = corrections.look_at_regrade(project, actor=None), regrading._waiting, signal.getsignal(signal.SIGTERM)

    def stopped() -> QuerySet[Regrade]:
        signal.raise_signal(signal.SIGTERM)
        return waiting()

    monkeypatch.setattr(regrading, "_waiting", stopped)
    signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody takes the regrade back"))
    try:
        with pytest.raises(Stopped):
            corrections.run_regrade(row.pk)
    finally:
        signal.signal(signal.SIGTERM, before)
    row.refresh_from_db()
    assert (row.state, row.attempt, row.heartbeat_at) == ("waiting", 0, None)


def test_a_stop_in_order_gives_the_regrade_back(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped(15)

    row = corrections.look_at_regrade(project, actor=None)
    monkeypatch.setattr(regrading, "prepared_again", stopped)
    with pytest.raises(Stopped):
        corrections.run_regrade(row.pk)
    row.refresh_from_db()
    assert (row.state, row.attempt) == ("waiting", 0)
