"""What needs a person now: the first part of a project's overview. Each line is a sentence and a link to where it is done."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from active_learning import rounds
from active_learning.models import Round, Schedule, Worker
from annotation import audit, labels, quality, queue
from annotation.models import Event, Flag, Import, Membership, Project, Regrade, Role
from annotation.quality import figures
from tests import make
from tests.clients import rated, signed_in

pytestmark = pytest.mark.django_db

CALM = "Nothing. The work goes on by itself."


@pytest.fixture
def project() -> Project:
    """A project in which nothing needs anybody: all processes answer, and there is work for weeks."""
    made = make.project("sums", name="Sums")
    make.batch(made, make.solutions(made, 3), overlap=9)
    for name, queues in (("worker@a", "default"), ("trainer@a", "gpu"), ("beat@a", rounds.BEAT)):
        rounds.say_alive(name, queues=queues)
    return made


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


@pytest.fixture
def rita(project: Project) -> Client:
    return signed_in(make.rita(project))


def lines(client: Client) -> list[tuple[str, str]]:
    """Return the sentences and the addresses of the links, after following each link."""
    html = client.get("/p/sums/").content.decode()
    panel = re.search(r'<section class="panel" id="now".*?</section>', html, re.DOTALL)
    assert panel
    plain = panel[0].replace('<span class="visually-hidden">Urgent: </span>', "")
    found = re.findall(r"<li[^>]*><p>(.*?)</p><a class=\"button\" href=\"([^\"]+)\"", plain, re.DOTALL)
    assert found or CALM in panel[0] or "archived" in panel[0]
    assert [url for _, url in found if client.get(url.replace("&amp;", "&")).status_code != 200] == []
    return found


def only(client: Client) -> tuple[str, str]:
    (line,) = lines(client)
    return line


def test_nothing_that_needs_a_person_is_one_calm_sentence(olga: Client) -> None:
    assert lines(olga) == [] and CALM in olga.get("/p/sums/").content.decode()


def test_it_stands_before_all_figures(olga: Client) -> None:
    html = olga.get("/p/sums/").content.decode()
    assert re.findall(r'<h2 id="([a-z-]+)"', html)[:3] == ["now-title", "queue-title", "at-work-title"]


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        (("worker@a",), "The worker does not answer, so imports wait"),
        (("trainer@a",), "The trainer does not answer, so rounds wait"),
        (("beat@a",), "The clock of this site (beat) does not answer"),
        (("worker@a", "trainer@a", "beat@a"), "No worker of this site answers"),
    ],
)
def test_a_process_that_does_not_answer_is_named_with_what_waits(olga: Client, gone: tuple[str, ...], sentence: str) -> None:
    Worker.objects.filter(name__in=gone).update(heartbeat_at=Now() - timedelta(minutes=5))
    found, url = only(olga)
    assert found.startswith(sentence) and url == "/p/sums/rounds/#workers" and 'id="workers"' in olga.get(url).content.decode()


def test_a_second_worker_of_a_queue_is_enough(olga: Client) -> None:
    Worker.objects.create(name="old", queues="default,gpu", heartbeat_at=Now() - timedelta(hours=3))
    assert lines(olga) == []


def test_a_proposal_waits_for_a_manager_and_a_researcher_reads_for_whom(project: Project, olga: Client, rita: Client) -> None:
    proposed = make.round_of(project, {"uniform": make.solutions(project, 2)}, state="proposed", generation=1)
    place = reverse("round", args=["sums", proposed.number])
    assert only(olga) == (f"Round {proposed.number} has chosen 2 solutions and waits until you publish them.", place)
    assert only(rita) == (f"Round {proposed.number} has chosen 2 solutions and waits until a manager publishes them.", place)


def test_a_round_that_broke_off_is_reported_until_the_next_one(project: Project, olga: Client) -> None:
    broken = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="failed", generation=1, failure="The disk is full.")
    assert only(olga) == (f"Round {broken.number} broke off: The disk is full.", reverse("round", args=["sums", broken.number]))
    make.round_of(project, {"uniform": make.solutions(project, 1)}, generation=1)
    assert lines(olga) == []


@pytest.mark.parametrize("state", ["cancelled", "published", "training"])
def test_a_round_that_needs_nobody_is_not_reported(project: Project, olga: Client, state: str) -> None:
    make.round_of(project, {"uniform": make.solutions(project, 1)}, state=state, generation=1)
    assert lines(olga) == []


def test_a_model_that_waits_for_a_decision_is_reported_until_it_serves_or_a_newer_one_is_ready(project: Project, olga: Client) -> None:
    refused = make.version(project, 1, decision={"promoted": False, "reason": "It is worse than model 0."})
    found, url = only(olga)
    assert "Model 1 is trained and does not serve. It is worse than model 0." in found and url == "/p/sums/models/1/"
    refused.champion = True
    refused.save()
    assert lines(olga) == []


def test_a_round_that_was_due_and_could_not_start_is_reported(project: Project, olga: Client) -> None:
    Schedule.objects.create(project=project, note="A round is due and could not start. There are no labels.")
    assert only(olga) == ("A round is due and could not start. There are no labels.", reverse("schedule", args=["sums"]))


def imported(project: Project, state: str, **fields: Any) -> Import:
    told = {"name": "file.jsonl", "path": "imports/a", "size": 1, "sha256": ""}
    return Import.objects.create(project=project, state=state, **(told | fields))


def test_imports_that_wait_or_failed_are_reported_to_managers_only(project: Project, olga: Client, rita: Client) -> None:
    failed, checked = imported(project, "failed", failure="Line 3 is wrong."), imported(project, "checked")
    place = reverse("import", args=["sums", failed.pk]), reverse("import", args=["sums", checked.pk])
    assert lines(olga) == [
        ("The import of file.jsonl failed: Line 3 is wrong.", place[0]),
        ("The file file.jsonl is checked and waits until you load it.", place[1]),
    ]
    assert lines(rita) == []


@pytest.mark.parametrize(("state", "path"), [("failed", ""), ("cancelled", "imports/a"), ("done", ""), ("loading", "imports/a")])
def test_an_import_that_needs_nobody_is_not_reported(project: Project, olga: Client, state: str, path: str) -> None:
    imported(project, state, path=path)
    assert lines(olga) == []


def test_many_imports_are_one_line(project: Project, olga: Client) -> None:
    for _ in range(4):
        imported(project, "checked")
    assert only(olga) == ("More than 3 imports wait for you or failed.", reverse("data", args=["sums"]))


def test_a_regrade_that_failed_is_reported(project: Project, olga: Client) -> None:
    Regrade.objects.create(project=project, state="failed", report=["The grader could not be started."])
    assert only(olga)[0] == "Grading the answers again failed: The grader could not be started."
    Regrade.objects.create(project=project, state="done")
    assert lines(olga) == []


def test_batches_that_nobody_gets_are_reported(project: Project, olga: Client) -> None:
    draft = make.batch(project, make.solutions(project, 1), state="draft")
    paused = make.batch(project, make.solutions(project, 1), state="paused")
    assert [url for _, url in lines(olga)] == [reverse("batch", args=["sums", one.pk]) for one in (paused, draft)]
    assert [sentence.split(".")[0] for sentence, _ in lines(olga)] == [
        "The batch “Selected 2” is paused",
        "The batch “Selected 1” is a draft",
    ]


def paused(project: Project, name: str, **fields: Any) -> Membership:
    person = make.person(name, project)
    Membership.objects.filter(user=person).update(suspended_at=timezone.now(), reason="Too fast.", **fields)
    return Membership.objects.get(user=person)


def test_a_paused_labeler_is_named_to_managers_with_the_reason(project: Project, olga: Client, rita: Client) -> None:
    member = paused(project, "ann")
    found, url = only(olga)
    assert re.fullmatch(r"ann is paused since \d{4}-\d\d-\d\d and cannot label\. The reason: Too fast\.", found)
    assert url == reverse("member", args=["sums", member.pk]) and lines(rita) == []


def test_many_paused_labelers_are_one_line_that_leads_to_them(project: Project, olga: Client) -> None:
    for number in range(4):
        paused(project, f"person{number}")
    found, url = only(olga)
    assert found == "More than 3 people are paused and cannot label." and olga.get(url).content.decode().count("Too fast.") >= 4


@pytest.mark.parametrize("role", [Role.FORMER, Role.RESEARCHER])
def test_a_pause_of_somebody_who_does_not_label_is_not_reported(project: Project, olga: Client, role: str) -> None:
    paused(project, "ann", role=role)
    assert lines(olga) == []


def screening(project: Project, size: int) -> None:
    """Open a screening of solutions in which the trusted person found a mistake in the second step."""
    trusted = make.person("trusted", project)
    for _ in range(size):
        answer(project, trusted, 1, -1)
    quality.open_screening(project, by="trusted", size=size)


def answer(project: Project, person: User, *ratings: int) -> None:
    lease = quality.lease_next(person, project=project)
    labels.submit(
        lease.assignment_id, labeler=person, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(*ratings),
        finish_reason="found_error" if -1 in ratings else "solution", active_ms=1, total_ms=1,
    )  # fmt: skip


def test_a_newcomer_waits_for_a_decision_only_after_all_questions_without_passing(project: Project, olga: Client) -> None:
    screening(project, 2)
    ann = make.ann(project)
    answer(project, ann, 1, 1, 1)
    assert lines(olga) == []
    answer(project, ann, 1, 1, 1)
    sentence = "ann did not pass the screening (0 of 2 answers right, 2 needed) and waits for a decision."
    place = f"{reverse('newcomers', args=['sums'])}?person={Membership.objects.get(user=ann).pk}"
    assert only(olga) == (sentence, place)
    Membership.objects.filter(user=ann).update(refused_at=timezone.now())
    assert lines(olga) == []
    Membership.objects.filter(user=ann).update(refused_at=None, qualified_at=timezone.now())
    assert lines(olga) == []


def test_who_passed_the_screening_is_told_for_three_days(project: Project, olga: Client) -> None:
    screening(project, 2)
    ann = make.ann(project)
    answer(project, ann, 1, -1)
    answer(project, ann, 1, -1)
    assert lines(olga) == []
    quality.lease_next(ann, project=project)
    sentence, place = only(olga)
    assert sentence == "ann passed the screening (2 of 2 answers right) and labels now."
    assert place == f"{reverse('newcomers', args=['sums'])}?person={Membership.objects.get(user=ann).pk}"


def test_who_passed_earlier_is_told_no_more(project: Project, olga: Client) -> None:
    screening(project, 1)
    answer(project, make.ann(project), 1, -1)
    membership = Membership.objects.get(user=make.ann())
    Membership.objects.filter(pk=membership.pk).update(qualified_at=timezone.now())
    passed = {"project": project, "verb": quality.PASSED, "subject": f"membership {membership.pk}"}
    Event.objects.create(**passed, at=timezone.now() - timedelta(days=4))
    assert lines(olga) == []
    Event.objects.create(**passed)
    assert len(lines(olga)) == 1


def test_many_newcomers_who_wait_are_one_line(project: Project, olga: Client) -> None:
    screening(project, 1)
    for name in ("ann", "ben", "cleo", "dora"):
        answer(project, make.person(name, project), 1, 1, 1)
    assert only(olga) == ("More than 3 newcomers are not admitted and wait for a decision.", reverse("newcomers", args=["sums"]))


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_newcomers_wait_also_while_nobody_can_answer_the_screening(project: Project, olga: Client, state: str) -> None:
    screening(project, 1)
    ann = make.ann(project)
    assert lines(olga) == []
    project.batch_set.filter(kind="screening").update(state=state)
    place = f"{reverse('newcomers', args=['sums'])}?person={Membership.objects.get(user=ann).pk}"
    assert ("ann is not admitted, and cannot answer the screening, because it is paused or closed.", place) in lines(olga)


def test_an_empty_queue_is_reported_with_where_the_next_batch_is_made(project: Project, olga: Client, rita: Client) -> None:
    queue.close_batch(project.batch_set.get(), actor=make.olga())
    assert only(olga) == ("There is nothing to label: no solution waits in the queue.", reverse("compose", args=["sums"]))
    assert only(rita)[1] == reverse("batches", args=["sums"])


def test_a_queue_that_ends_within_two_hours_is_reported(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    queue.close_batch(project.batch_set.get(), actor=make.olga())
    make.batch(project, make.solutions(project, 4), overlap=1)
    answer(project, ann, 1, 1, 1)
    assert lines(olga) == []
    answer(project, ann, 1, 1, 1)
    found, url = only(olga)
    assert found == "The queue ends within about two hours: 2 places are left, and people filled 2 in the last two hours."
    assert url == reverse("compose", args=["sums"])


def test_a_batch_that_was_published_after_the_figures_were_counted_is_seen(
    project: Project, olga: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "LARGE", 0)
    monkeypatch.setattr(figures, "_ask_worker", lambda project: None)
    queue.close_batch(project.batch_set.get(), actor=make.olga())
    assert [url for _, url in lines(olga)] == [reverse("compose", args=["sums"])]
    make.batch(project, make.solutions(project, 2))
    assert lines(olga) == [] and quality.overview(project).left == 0


def test_the_queue_is_nobodys_task_while_a_round_is_under_way(project: Project, olga: Client) -> None:
    queue.close_batch(project.batch_set.get(), actor=make.olga())
    make.round_of(project, {"uniform": make.solutions(project, 1)}, state="scoring", generation=1)
    assert lines(olga) == []


def test_a_new_project_is_led_to_the_import_and_then_to_its_first_batch(project: Project, olga: Client) -> None:
    other = make.project("empty")
    make.olga(other)

    def first() -> list[tuple[str, str]]:
        html = olga.get("/p/empty/").content.decode().replace('<span class="visually-hidden">Urgent: </span>', "")
        return re.findall(r"<li[^>]*><p>(.*?)</p><a class=\"button\" href=\"([^\"]+)\"", html)

    assert first() == [("This project has no solutions yet.", "/p/empty/data/")]
    make.solutions(other, 2)
    assert first() == [("There is nothing to label: no solution waits in the queue.", "/p/empty/batches/")]


def test_an_old_backup_is_reported_to_those_who_run_the_site(project: Project, olga: Client) -> None:
    Event.objects.create(verb=audit.BACKED_UP, at=timezone.now() - timedelta(days=9))
    assert lines(olga) == []
    root = make.olga()
    root.is_superuser = root.is_staff = True
    root.save()
    assert only(olga)[0] == "The newest backup of this site is 9 days old. Run manage.py backup."
    Event.objects.create(verb=audit.BACKED_UP)
    assert lines(olga) == []


def test_an_archived_project_needs_nobody(project: Project, olga: Client) -> None:
    paused(project, "ann")
    Project.objects.update(archived_at=timezone.now())
    assert lines(olga) == [] and "This project is archived." in olga.get("/p/sums/").content.decode()


def test_what_is_urgent_stands_first(project: Project, olga: Client) -> None:
    paused(project, "ann")
    imported(project, "failed", failure="x")
    assert [sentence.split()[0] for sentence, _ in lines(olga)] == ["The", "ann"]


def test_the_overview_costs_as_many_queries_with_many_rows_as_with_few(project: Project, olga: Client) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def cost() -> int:
        quality.batches._labels_by_day.cache_clear()
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert olga.get("/p/sums/").status_code == 200
        return len(caught)

    def add(count: int) -> None:
        for _ in range(count):
            number = Membership.objects.count()
            paused(project, f"person{number}")
            imported(project, "checked")
            make.batch(project, make.solutions(project, 2), state="paused")
            make.version(project, number + 10)
            Round.objects.create(project=project, generation=number + 10, strategy="uniform", state="failed", failure="x")
            make.batch(project, make.solutions(project, 2))
            queue.lease_next(make.person(f"at-work{number}", project), project=project)

    add(1)
    few = cost()
    add(5)
    assert cost() == few


def test_flags_wait_for_those_who_decide_them(project: Project, olga: Client, rita: Client) -> None:
    Flag.objects.create(project=project, person=make.ann(project), kind="pace")
    assert only(olga) == ("1 flag of work that is not like honest work waits.", "/p/sums/quality/flags/")
    assert lines(rita) == []
