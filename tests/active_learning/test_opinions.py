"""What the model that serves says of labels, for the question whether one more person is asked: worker, command and page."""

import io
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from active_learning import opinions, tasks
from active_learning.models import ModelVersion, Score
from annotation import labels, projects, queue
from annotation.models import Event, Membership, MoreOpinions, Project, Solution
from annotation.quality import foreseeing
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    made = make.project(redundancy_limit=3, redundancy_model=0.8)
    make.ann(made), make.ben(made), make.olga(made), make.rita(made)
    return made


def serving(project: Project, number: int = 1) -> ModelVersion:
    made = make.version(project, number, champion=True)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{made.pk} PARTITION OF active_learning_score FOR VALUES IN ({made.pk})")
    return made


def scored(version: ModelVersion, solution: Solution, *, weak: int | None, score: float) -> None:
    Score.objects.create(
        model_version=version, solution=solution, problem_id=solution.problem_id, score=score, first_weak_step=weak, outcome="wrong"
    )


def label(project: Project, mark: int | None = None) -> Solution:
    """Let ann label the next solution."""
    lease = queue.lease_next(make.ann(), project=project)
    ratings = [1, 1, 1] if mark is None else [*[1] * mark, -1]
    labels.submit(
        lease.assignment_id, labeler=make.ann(), token=lease.token, submission_id=uuid.uuid4(), active_ms=90_000, total_ms=90_000,
        ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
        finish_reason="solution" if mark is None else "found_error",
    )  # fmt: skip
    return Solution.objects.get(pk=lease.solution_id)


def labeled(project: Project) -> tuple[Solution, Solution]:
    """Return two solutions in which ann saw no mistake. The model that serves contradicts her at the first."""
    make.batch(project, make.solutions(project, 2))
    first, second = label(project), label(project)
    version = serving(project)
    scored(version, first, weak=1, score=0.1), scored(version, second, weak=None, score=0.9)
    return first, second


def test_beat_asks_a_second_person_where_the_model_that_serves_contradicts(project: Project) -> None:
    contradicted, _ = labeled(project)
    assert tasks.ask_for_opinions() == {"sums": 1}
    assert tasks.ask_for_opinions() == {}
    assert MoreOpinions.objects.get().task.solution == contradicted
    assert MoreOpinions.objects.get().details == {"marks": [None], "judge": "PRM 1", "sees": 1}


def test_projects_that_want_nobody_are_left_out(project: Project) -> None:
    labeled(project)
    Project.objects.update(redundancy_limit=None)
    assert tasks.ask_for_opinions() == {}


def test_without_a_model_the_other_reasons_still_ask(project: Project) -> None:
    make.batch(project, make.solutions(project, 1), overlap=2)
    label(project)
    assert opinions.judge_of(project) is None
    assert opinions.ask(project) == 0


def test_a_model_that_never_scored_a_solution_says_nothing_of_it(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    label(project)
    serving(project)
    assert opinions.ask(project) == 0


def test_the_command_asks_and_says_how_many(project: Project) -> None:
    labeled(project)
    out = io.StringIO()
    call_command("ask_opinions", project="sums", stdout=out)
    assert out.getvalue() == "1 more person was asked for an opinion.\n"


def test_the_command_says_what_the_past_month_would_have_cost_and_asks_nobody(project: Project) -> None:
    labeled(project)
    out = io.StringIO()
    call_command("ask_opinions", project="sums", past_month=True, stdout=out)
    assert out.getvalue().splitlines() == [
        "2 solutions of work labeled in the past 30 days. 1 more label would have been asked for.",
        "  1: the model contradicts the first label",
        "  0: the labeler was often wrong on gold",
        "  0: the first mistake stays uncertain",
        "Second labels: 1. Labels after a conflict: unknown, because too few solutions were judged by two people.",
        "Work: 0.0 hours, at 1.5 minutes for one solution.",
    ]
    assert not MoreOpinions.objects.exists()


@pytest.mark.parametrize(("slug", "words"), [("sums", "Set a limit on the page Redundancy first."), ("products", "products")])
def test_the_command_says_what_is_missing_with_exit_code_2(project: Project, slug: str, words: str) -> None:
    Project.objects.update(redundancy_limit=None)
    with pytest.raises(CommandError, match=words) as refused:
        call_command("ask_opinions", project=slug)
    assert refused.value.returncode == 2


# --- pages --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def address(project: Project) -> str:
    return reverse("redundancy", args=[project.slug])


def text(client: Client, url: str) -> str:
    return " ".join(client.get(url).content.decode().split())


def test_the_page_shows_what_the_thresholds_would_have_asked_for(project: Project, olga: Client) -> None:
    labeled(project)
    shown = text(olga, address(project))
    assert "<dd>1<small> for 2 solutions (50 %)</small></dd>" in shown
    assert "0.0<small> hours, at 1.5 minutes each</small>" in shown
    assert "Two people judged 0 solutions of these." in shown and ">unknown<" in shown  # how often two contradict each other


def test_thresholds_are_stored_after_their_effect_was_seen_and_an_event_says_so(project: Project, olga: Client) -> None:
    labeled(project)
    typed = {"redundancy_limit": "2", "redundancy_model": "95", "version": projects.version_of(project)}
    shown = " ".join(olga.post(address(project), typed).content.decode().split())
    assert "The most people for one solution changes from 3 to 2." in shown and "changes from 80 % to 95 %." in shown
    assert "<dd>0<small> for 2 solutions (0 %)</small></dd>" in shown
    project.refresh_from_db()
    assert project.redundancy_limit == 3  # nothing is stored by looking
    olga.post(address(project), typed | {"seen": "1"})
    project.refresh_from_db()
    assert (project.redundancy_limit, project.redundancy_model, project.redundancy_gold) == (2, 0.95, None)
    assert Event.objects.get(verb="change settings").details["new"] == {"redundancy_limit": 2, "redundancy_model": 0.95}


def test_an_empty_limit_switches_it_off(project: Project, olga: Client) -> None:
    typed = {"redundancy_model": "80", "version": projects.version_of(project), "seen": "1"}
    assert olga.post(address(project), typed).status_code == 302
    project.refresh_from_db()
    assert project.redundancy_limit is None
    assert "Nobody is asked: the limit is empty." in text(olga, address(project))


def test_the_second_of_two_managers_sees_what_the_first_one_did(project: Project, olga: Client) -> None:
    version = projects.version_of(project)
    projects.change_settings(project, {"redundancy_limit": 5}, version=version, actor=make.olga())
    answer = olga.post(address(project), {"redundancy_limit": "2", "version": version, "seen": "1"})
    assert answer.status_code == 409 and "olga changed the settings" in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("redundancy_limit", "1", "The most people for one solution must be a whole number from 2 to 99."),
        ("redundancy_limit", "100", "The most people for one solution must be a whole number from 2 to 99."),
        ("redundancy_model", "101", "The certainty of the model must be a number from 0 to 100."),
        ("redundancy_gold", "nan", "The share of right answers on gold must be a number from 0 to 100."),
        ("redundancy_spread", "-1", "The entropy must be a number of bits from 0 to 16."),
        ("redundancy_spread", "inf", "The entropy must be a number of bits from 0 to 16."),
    ],
)
def test_a_threshold_that_cannot_be_is_refused_in_a_sentence(project: Project, olga: Client, field: str, value: str, fault: str) -> None:
    answer = olga.post(address(project), {field: value, "version": projects.version_of(project), "seen": "1"})
    assert answer.status_code == 400 and fault in answer.content.decode()
    project.refresh_from_db()
    assert (project.redundancy_limit, project.redundancy_model) == (3, 0.8)


def test_a_researcher_sees_the_thresholds_and_cannot_change_them(project: Project) -> None:
    rita = signed_in(make.rita(project))
    assert "<fieldset disabled" in text(rita, address(project))
    assert rita.post(address(project), {"version": projects.version_of(project)}).status_code == 404


def test_the_page_says_that_one_person_alone_gives_no_second_opinion(project: Project, olga: Client) -> None:
    Membership.objects.filter(user=make.ben()).delete()
    assert "A second opinion needs a second person, and only one person can label here now." in text(olga, address(project))


def test_a_large_project_asks_a_worker_and_shows_what_it_counted(project: Project, olga: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    labeled(project)
    sent: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(opinions.current_app, "send_task", lambda name, args, **_: sent.append((name, args)))
    monkeypatch.setattr(foreseeing, "SMALL", 1)
    assert "A worker counts the labels of the past 30 days." in text(olga, address(project))
    assert sent == [("active_learning.tasks.count_month", [project.pk])]
    tasks.count_month(project.pk)
    assert "<dd>1<small> for 2 solutions (50 %)</small></dd>" in text(olga, address(project))
    assert len(sent) == 1


def test_the_pages_of_solution_and_batch_say_why_one_more_person_is_asked(project: Project, olga: Client) -> None:
    contradicted, agreed = labeled(project)
    opinions.ask(project)
    sentence = "PRM 1 sees the first mistake in step 2 and is 90 % sure that there is a mistake. The first label says: no mistake."
    page = text(olga, reverse("project-solution", args=[project.slug, contradicted.pk]))
    assert "Why this asks for another person" in page and sentence in page
    assert "Why this asks" not in text(olga, reverse("project-solution", args=[project.slug, agreed.pk]))
    batch = MoreOpinions.objects.get().batch
    page = text(olga, reverse("batch", args=[project.slug, batch.pk]))
    assert "1 time: the model contradicts the first label." in page and sentence in page


def test_the_page_of_a_solution_says_that_nobody_is_left_for_the_opinion_that_is_wanted(project: Project, olga: Client) -> None:
    contradicted, _ = labeled(project)
    Membership.objects.filter(user=make.ben()).delete()
    page = text(olga, reverse("project-solution", args=[project.slug, contradicted.pk]))
    assert "Everybody who can label here had this solution already, so nobody is asked." in page
