"""Solutions that a program lets the serving model score, as a job that survives its worker."""

import os
import signal
from typing import Any

import celery
import pytest
from django.db.models import F
from django.db.models.functions import Now

from active_learning import scoring, tasks
from active_learning.models import ModelVersion, ScoreJob, ScoreJobItem
from active_learning.registry import load
from active_learning.scoring import jobs
from annotation import holders
from annotation.hearts import Heart
from annotation.models import Event, Project, Solution
from tests import make
from tests.api import ask, error_of, send, token_for
from tests.children import ended, fork
from trainer.data import SolutionText
from trainer.score import score_solutions

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)
ADDRESS = "projects/sums/score-jobs"
TEXT = {"problem": "What is 2 + 3?", "steps": ["2 + 3 is 5.", "So it is 5."]}


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """What the workers were told."""
    messages: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(celery.Celery, "send_task", lambda _, name, args, **__: messages.append((name, args)))
    return messages


@pytest.fixture
def serving(version: ModelVersion) -> ModelVersion:
    ModelVersion.objects.update(champion=True)
    return version


@pytest.fixture
def token(project: Project) -> str:
    return token_for(make.rita(project), scope="write")


def start(token: str, **body: Any) -> Any:
    return send(ADDRESS, token, body)


def keys() -> list[int]:
    return list(Solution.objects.order_by("pk").values_list("pk", flat=True))


def scores(token: str, job: int, **query: Any) -> Any:
    return ask(f"{ADDRESS}/{job}/scores", token, query)


def test_stored_solutions_and_texts_are_scored_as_the_trainer_scores_them(serving: ModelVersion, token: str) -> None:
    first, second = keys()[3], keys()[0]
    made = start(token, solutions=[first, second], texts=[TEXT])
    assert made.status_code == 201 and {"state": "queued", "model": 1, "n_solutions": 3, "n_done": 0}.items() <= made.json().items()
    job = made.json()["id"]
    tasks.run_score_job(job)
    done = ask(f"{ADDRESS}/{job}", token).json()
    assert (done["state"], done["n_done"], done["failure"]) == ("done", 3, "") and done["finished_at"]

    stored = [Solution.objects.select_related("problem").get(pk=key) for key in (first, second)]
    texts = [SolutionText(str(one.pk), "", one.problem.statement, tuple(one.steps)) for one in stored]
    texts.append(SolutionText("text", "", TEXT["problem"], tuple(TEXT["steps"])))
    expected = list(score_solutions(load(serving), texts))
    items = scores(token, job).json()["items"]
    assert [(item["position"], item["solution"]) for item in items] == [(0, first), (1, second), (2, None)]
    assert [item["score"] for item in items] == pytest.approx([one.score for one in expected], abs=1e-5)
    for item, one in zip(items, expected, strict=True):
        shown = [[step[name] for name in ("negative", "neutral", "positive")] for step in item["steps"]]
        assert shown == [pytest.approx(row, abs=1e-5) for row in one.probabilities.tolist()]


def test_a_worker_is_told_and_the_start_and_the_end_are_noted(
    serving: ModelVersion, token: str, told: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = start(token, solutions=keys()).json()["id"]
    assert told == [("active_learning.tasks.run_score_job", [job])]
    assert send(f"{ADDRESS}/{job}/cancel", token).json()["state"] == "cancelled"
    assert list(Event.objects.order_by("pk").filter(subject=f"score job {job}").values_list("verb", "actor__username")) == [
        ("start score job", "rita"),
        ("cancel score job", "rita"),
    ]


def test_scores_come_in_pages_once_the_job_is_done(serving: ModelVersion, token: str) -> None:
    job = start(token, solutions=keys()).json()["id"]
    assert error_of(scores(token, job)) == (409, "score_job_refused")
    tasks.run_score_job(job)
    seen, cursor = [], None
    while True:
        page = scores(token, job, limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen.append([item["solution"] for item in page["items"]])
        if not (cursor := page["next"]):
            break
    assert all(len(page) == 2 for page in seen[:-1]) and sum(seen, []) == keys()


def test_an_unknown_or_foreign_solution_refuses_all_and_is_named(serving: ModelVersion, token: str) -> None:
    foreign = make.solution(make.problem(make.project("other"))).pk
    answer = start(token, solutions=[keys()[0], foreign, 2**62], texts=[TEXT])
    assert error_of(answer) == (400, "bad_body") and not ScoreJob.objects.exists()
    assert [fault["name"] for fault in answer.json()["errors"]] == ["solutions.1", "solutions.2"]


def test_without_a_serving_model_nothing_is_asked(version: ModelVersion, token: str) -> None:
    assert error_of(start(token, texts=[TEXT])) == (409, "no_serving_model") and not ScoreJob.objects.exists()


@pytest.mark.parametrize(
    "body,place",
    [
        ({}, "solutions"),
        ({"solutions": [1] * 600, "texts": [TEXT] * 401}, "solutions"),
        ({"solutions": ["many"]}, "solutions.0"),
        ({"solutions": [0]}, "solutions.0"),
        ({"texts": [TEXT, {"problem": "1 + 1?", "steps": []}]}, "texts.1.steps"),
        ({"texts": [{"steps": ["2"]}]}, "texts.0.problem"),
        ({"texts": [{"problem": "1 + 1?", "steps": ["a\0b"]}]}, "texts.0.steps.0"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_body_is_refused_and_names_the_place(serving: ModelVersion, token: str, body: Any, place: str) -> None:
    answer = start(token, **body)
    assert error_of(answer) == (400, "bad_body") and not ScoreJob.objects.exists()
    assert place in [fault["name"] for fault in answer.json()["errors"]], answer.json()


def test_a_body_above_the_limit_is_refused(serving: ModelVersion, token: str) -> None:
    assert error_of(send(ADDRESS, token, b" " * 5_000_001)) == (413, "body_too_large")


def test_the_same_key_makes_one_job(serving: ModelVersion, token: str) -> None:
    first, again = (send(ADDRESS, token, {"texts": [TEXT]}, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json() and ScoreJob.objects.count() == 1
    assert error_of(send(ADDRESS, token, {"texts": [TEXT] * 2}, **{"Idempotency-Key": "k"})) == (422, "key_reused")


def test_a_project_has_a_limited_number_of_jobs_that_have_not_ended(
    serving: ModelVersion, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    made = [start(token, texts=[TEXT]).json()["id"] for _ in range(2)]
    assert error_of(start(token, texts=[TEXT])) == (409, "score_job_refused")
    send(f"{ADDRESS}/{made[0]}/cancel", token)
    assert start(token, texts=[TEXT]).status_code == 201


def test_a_cancelled_job_is_not_scored_and_shows_nothing(serving: ModelVersion, token: str) -> None:
    job = start(token, solutions=keys()).json()["id"]
    send(f"{ADDRESS}/{job}/cancel", token)
    tasks.run_score_job(job)
    assert ask(f"{ADDRESS}/{job}", token).json()["state"] == "cancelled" and not ScoreJobItem.objects.exclude(score=None).exists()
    assert error_of(scores(token, job)) == error_of(send(f"{ADDRESS}/{job}/cancel", token)) == (409, "score_job_refused")


def test_jobs_are_of_their_project_and_for_researchers(serving: ModelVersion, project: Project, token: str) -> None:
    job = start(token, texts=[TEXT]).json()["id"]
    other = make.project("other")
    stranger = token_for(make.olga(other), scope="write")
    for address in (f"projects/other/score-jobs/{job}", f"projects/other/score-jobs/{job}/scores", f"{ADDRESS}/{job}"):
        assert error_of(ask(address, stranger)) == (404, "not_found")
    assert error_of(send(f"projects/other/score-jobs/{job}/cancel", stranger)) == (404, "not_found")
    assert error_of(send(ADDRESS, token_for(make.ann(project), scope="write"), {"texts": [TEXT]})) == (404, "not_found")
    assert error_of(send(ADDRESS, token_for(make.olga(project), name="reads"), {"texts": [TEXT]})) == (403, "scope_missing")
    assert [item["id"] for item in ask(ADDRESS, token, {"state": "queued"}).json()["items"]] == [job]
    assert ask(ADDRESS, token, {"state": "done"}).json()["items"] == []


def test_a_job_whose_model_is_gone_fails_with_the_reason(serving: ModelVersion, token: str) -> None:
    ModelVersion.objects.update(artifact="models/gone")
    job = start(token, texts=[TEXT]).json()["id"]
    tasks.run_score_job(job)
    shown = ask(f"{ADDRESS}/{job}", token).json()
    assert shown["state"] == "failed" and "Model 1 cannot be loaded" in shown["failure"]


# --- workers that end or fall silent ----------------------------------------------------------------------------------------------


@committed
def test_the_next_worker_goes_on_after_the_scores_of_a_killed_one(
    serving: ModelVersion, token: str, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "CHUNK", 2)
    job = start(token, solutions=keys()).json()["id"]
    advance = Heart.advance

    def killed_at_the_third(heart: Heart, stage: str, done: int, total: int | None) -> None:
        if stage == "scoring" and done > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        advance(heart, stage, done, total)

    with monkeypatch.context() as patch:
        patch.setattr(Heart, "advance", killed_at_the_third)
        assert ended(fork(lambda: scoring.run_job(job))) == -signal.SIGKILL
    left = list(ScoreJobItem.objects.filter(score=None).values_list("position", flat=True))
    assert left == list(range(2, len(keys()))) and error_of(scores(token, job)) == (409, "score_job_refused")
    told.clear()
    assert scoring.offer_abandoned_jobs() == [job] and told == [("active_learning.tasks.run_score_job", [job])]

    reads, read = [], jobs._read
    monkeypatch.setattr(jobs, "_read", lambda items, **more: (reads.extend(item.position for item in items), read(items, **more)))
    tasks.run_score_job(job)
    assert sorted(reads) == sorted(left) and len(scores(token, job).json()["items"]) == len(keys())
    assert ScoreJob.objects.get().attempt == 2


def test_a_worker_given_up_for_dead_writes_nothing(serving: ModelVersion, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = start(token, solutions=keys()).json()["id"]
    read = jobs._read

    def taken_over(items: Any, **more: Any) -> None:
        read(items, **more)
        ScoreJob.objects.update(token=F("token") + 1)

    monkeypatch.setattr(jobs, "_read", taken_over)
    scoring.run_job(job)
    assert ScoreJob.objects.get().state == "running" and not ScoreJobItem.objects.exclude(score=None).exists()


def test_a_job_lost_three_times_fails_and_says_so(serving: ModelVersion, token: str) -> None:
    job = start(token, texts=[TEXT]).json()["id"]
    ScoreJob.objects.update(state="running", attempt=holders.ATTEMPTS, heartbeat_at=Now() - 2 * holders.STALE)
    assert scoring.sweep_jobs() == []
    shown = ask(f"{ADDRESS}/{job}", token).json()
    assert shown["state"] == "failed" and "lost 3 times" in shown["failure"]


def test_a_job_that_waits_is_offered_again_and_an_old_one_is_deleted(serving: ModelVersion, token: str) -> None:
    old, waiting = (start(token, texts=[TEXT]).json()["id"] for _ in range(2))
    ScoreJob.objects.filter(pk=old).update(state="done", finished_at=Now() - jobs.KEPT * 1.01)
    assert scoring.sweep_jobs() == [waiting]
    assert list(ScoreJob.objects.values_list("pk", flat=True)) == [waiting] and ScoreJobItem.objects.count() == 1
