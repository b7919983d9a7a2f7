"""Two web hosts, three workers and Redis are killed and started again in turn, while people label over https and rounds run.

The site is that of test_deployment.py: deploy/ as it is, without containers. Everything that is acknowledged must be stored once, no task
may go to more people than its overlap, and every round must end published. The load lasts `--load-seconds`, 300 if not given.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.urls import reverse
from django_otp.oath import totp

from annotation.models import Annotation
from benchmarks.hosts import InsistentLabeler, check, wait_for, within
from benchmarks.labeling import Tally
from benchmarks.traffic import history
from benchmarks.traffic.journal import Journal
from tests import make
from tests.annotation.test_planted_faults import Plant, an_answer_before_the_commit, half_the_labels
from tests.clients import signed_in
from tests.labelapp.test_deployment import OTP_KEY, PASSWORD, PREFIX, ROOT, Deployment, deployed, sign_in, token
from tests.waiting import PATIENCE

PEOPLE, SOLUTIONS, THINK_SECONDS = 12, 5_000, 0.5
BETWEEN = 12  # labels between a start and the next kill
PARTS = ("web 1", "worker", "web 2", "broker", "worker 2", "trainer")
ROUND_SECONDS = 600  # a round whose worker is killed is offered again after 3 to 4 minutes, by beat
# The people share one hash of their password: each costs a third of a second.
FILL = """
import os, django
django.setup()
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from annotation.ingest import NewProblem, NewSolution
from annotation.models import Membership
from benchmarks import temporary_site
from benchmarks.traffic import history
rows = [NewSolution(problem=NewProblem(statement=f"What is {n} + 1?", answer=str(n + 1)), steps=(f"It is {n}.", f"No, {n + 1}."))
        for n in range(int(os.environ["SOLUTIONS"]))]
project = temporary_site.publish("people", rows=rows, overlap=2)
password = make_password(os.environ["PASSWORD"])
people = User.objects.bulk_create(User(username=f"labeler{n}", password=password) for n in range(int(os.environ["PEOPLE"])))
Membership.objects.bulk_create(Membership(project=project, user=person, role="labeler") for person in people)
history.begin()
"""
CHECK = """
import json, sys, django
django.setup()
from benchmarks.hosts import check
print(json.dumps(check(json.load(sys.stdin), project="people")))
"""
UNFINISHED = "state NOT IN ('published', 'failed', 'cancelled')"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as deployment:
        environment = deployment.environment(
            "migrate", PASSWORD=PASSWORD, PEOPLE=str(PEOPLE), SOLUTIONS=str(SOLUTIONS), DJANGO_SETTINGS_MODULE="labelapp.settings"
        )
        deployment.run([sys.executable, "-c", FILL], environment)
        deployment.start_again("worker 2")
        yield deployment


def rows(site: Deployment, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(site.here["DATABASE_URL"], autocommit=True) as connection:
        return connection.execute(query).fetchall()


def check_of(site: Deployment, journal: Journal) -> dict[str, list[str]]:
    """Check the database of a site, with the settings of its hosts: pages show numbers by its key."""
    environment = site.environment("migrate", DJANGO_SETTINGS_MODULE="labelapp.settings")
    told, command = json.dumps(journal.as_data()), [sys.executable, "-c", CHECK]
    return json.loads(subprocess.run(command, cwd=ROOT, env=environment, input=told, stdout=subprocess.PIPE, text=True, check=True).stdout)


def keep_rounds_running(site: Deployment, olga: httpx.Client, over: threading.Event) -> None:
    """Start a round whenever none is unfinished, as the owner does on the page."""
    while not over.is_set():
        if rows(site, f"SELECT 1 FROM active_learning_round WHERE {UNFINISHED}") == []:
            try:
                form = {"csrfmiddlewaretoken": token(olga, "/p/demonstration/"), "strategy": "uniform", "size": "1"}
                olga.post(reverse("start-round", args=["demonstration"]), data=form)
            except (httpx.TransportError, AssertionError):
                pass  # a host is gone: the page is loaded again
        over.wait(THINK_SECONDS)


def kill_and_start_again(site: Deployment, part: str, labels: Callable[[], int]) -> None:
    """Kill all processes of a host at once, let people label without it, and start it again."""
    os.killpg(site.processes[part].pid, signal.SIGKILL)
    site.processes[part].wait()
    before = labels()
    assert wait_for(lambda: labels() > before, seconds=PATIENCE), f"nobody can label without {part}"
    site.start_again(part)
    site.wait_until_ready()
    before = labels()
    assert wait_for(lambda: labels() >= before + BETWEEN, seconds=PATIENCE), f"nobody can label after {part} is back"


@pytest.mark.long
def test_hosts_workers_and_redis_are_killed_in_turn_and_nothing_is_lost_or_doubled(
    site: Deployment, request: pytest.FixtureRequest
) -> None:
    journal, over, threads, kills = Journal(), threading.Event(), list[threading.Thread](), list[str]()
    with site.browser() as olga:
        sign_in(olga, "olga")
        code = {"csrfmiddlewaretoken": token(olga, "/sign-in/code/"), "code": f"{totp(bytes.fromhex(OTP_KEY)):06d}"}
        assert olga.post("/sign-in/code/", data=code).status_code == 302
        threads.append(threading.Thread(target=keep_rounds_running, args=(site, olga, over)))
        browsers = [site.new_browser() for _ in range(PEOPLE)]
        for number, client in enumerate(browsers):
            assert sign_in(client, f"labeler{number}").status_code == 302
            client.base_url = f"https://localhost:{site.secure}"  # the addresses of the page hold the prefix
            page = PREFIX + reverse("label", args=["people"])
            person = InsistentLabeler(client, page, name=f"labeler{number}", seed=number, journal=journal)
            threads.append(threading.Thread(target=person.work_until, args=(over,), kwargs={"think": THINK_SECONDS}))
        for thread in threads:
            thread.start()
        try:
            time_left = within(request.config.getoption("--load-seconds"))
            for part in itertools.cycle(PARTS):
                if next(time_left, None) is None and len(kills) >= len(PARTS):  # each part once, however busy the machine is
                    break
                kill_and_start_again(site, part, journal.acknowledged)
                assert journal.wrong == []
                kills.append(part)
        finally:
            over.set()
            for thread in threads:
                thread.join()
            for client in browsers:
                client.close()
    all_rounds = "SELECT state, count(*), count(batch_id), count(DISTINCT batch_id) FROM active_learning_round GROUP BY state"
    wait_for(lambda: rows(site, f"SELECT 1 FROM active_learning_round WHERE {UNFINISHED}") == [], seconds=ROUND_SECONDS)
    found = check_of(site, journal)
    rounds = rows(site, all_rounds)
    again = {str(status): times for (_, status, _), times in journal.answers.items() if status != 200} | journal.broken_off
    figures = {"kills": len(kills), "acknowledged": journal.acknowledged(), "findings": {name: len(these) for name, these in found.items()}}
    figures |= {"sent_again": again, "rounds": {state: count for state, count, *_ in rounds}}
    print(json.dumps(figures))
    assert set(kills) == set(PARTS) and journal.acknowledged() == len(journal.submissions) > 0
    assert {name: these for name, these in found.items() if these} == {}
    [(state, count, batches, different)] = rounds
    assert state == "published" and 1 < count == batches == different


# --- the people and the check, without hosts ----------------------------------------------------------------------------------


@pytest.fixture
def noted() -> Iterator[None]:
    history.begin()
    yield
    history.end()


def labeled(count: int) -> Journal:
    """Let two people label so many solutions each, in this process, and return what they noted."""
    project, journal = make.project("people", overlap=2), Journal()
    make.batch(project, make.solutions(project, count))
    for seed, name in enumerate(("ann", "ben")):
        cookies = {cookie: morsel.value for cookie, morsel in signed_in(make.person(name, project)).cookies.items()}
        with httpx.Client(transport=httpx.WSGITransport(app=WSGIHandler()), base_url="http://testserver", cookies=cookies) as client:
            person = InsistentLabeler(client, reverse("label", args=["people"]), name=name, seed=seed, journal=journal)
            tally = Tally()
            person.open(tally)
            for _ in range(count):
                person.label(tally, think=0)
    return journal


def findings(journal: Journal) -> set[str]:
    return {name for name, sentences in check(json.loads(json.dumps(journal.as_data())), project="people").items() if sentences}


@pytest.mark.django_db(transaction=True)
def test_the_check_finds_nothing_in_what_people_have_labeled(noted: None) -> None:
    journal = labeled(3)
    assert (journal.acknowledged(), Annotation.objects.count(), findings(journal)) == (6, 6, set())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("plant", "finding"), [(an_answer_before_the_commit, "lost"), (half_the_labels, "changed")])
def test_the_check_sees_a_planted_fault(noted: None, plant: Plant, finding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert finding in findings(labeled(1))
