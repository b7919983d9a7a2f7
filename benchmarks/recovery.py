"""Figure: seconds without an answer after a kill -9 of each part of a running site in turn, while people label and a round runs.

Starts the supervisor in a temporary home with the demonstration. Two people label over HTTP, and two more ask for their page all the
time. At a random moment of a round one part is killed: web (gunicorn's master), worker, trainer, beat, the PostgreSQL server and its
runner. The gap is the longest time between two answers of a page that needs the database, from the kill until the part is back.
`web_gap_s`: after a kill of web; `database_gap_s`: of the server or its runner; `other_gap_s`: of the others. After each turn the process
that trains is killed, and in another round the worker above it; `again_s` is the longest time until another process had the round.
`rounds_lost`: rounds that did not publish within 6 minutes. `labels_lost`: acknowledged, but not stored. `ratio` is the smaller of the
limits over their gaps. `--smoke`: web and the PostgreSQL server are killed once, and one round runs that trains nothing.
"""

import argparse
import json
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks import temporary_site
from benchmarks.labeling import Failed, Labeler, Tally
from benchmarks.temporary_site.parts import BACK_SECONDS, PARTS, SupervisedSite, kill, load_average, longest_gap, supervised, wait_for

WEB_LIMIT, DATABASE_LIMIT, ROUND_LIMIT = 5, 10, 360
SMALLEST = ("web", "postmaster")  # the parts whose gaps have a limit


class Watch:
    """People who ask and label all the time. Knows when each answer came."""

    def __init__(self, address: str, *, project: str) -> None:
        self.address, self.project = address, project
        self.answers: list[float] = []
        self.refusals: Counter[str] = Counter()
        self.tally, self.over = Tally(), threading.Event()
        self.threads: list[threading.Thread] = []

    def begin(self, sign_in: list[str]) -> None:
        """Sign the people in, one after the other: half of them label, the others look at their page."""
        for number, how in enumerate(sign_in):
            person = Labeler(self.address, project=self.project, seed=number)
            person.sign_in(how)
            thread = threading.Thread(target=self._label if number % 2 else self._look, args=(person,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _look(self, person: Labeler) -> None:
        while not self.over.is_set():
            try:
                answer = person.client.get(person.page)
            except httpx.HTTPError as error:
                self.refusals[type(error).__name__] += 1
            else:
                if answer.status_code == 200:
                    self.answers.append(time.monotonic())
                else:
                    self.refusals[str(answer.status_code)] += 1
            self.over.wait(0.05)

    def _label(self, person: Labeler) -> None:
        while not self.over.is_set():
            try:
                person.open(self.tally)
                while person.work and not self.over.is_set():
                    person.label(self.tally, think=0.5)
            except (Failed, httpx.HTTPError):
                person.ahead = None  # as a page that is loaded again
            self.over.wait(0.2)

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def begin_round(*, trains: bool, seed: int) -> int:
    """Start a round of the demonstration, and return its key."""
    import labelapp.celery  # noqa: F401 - the broker of the site
    from active_learning import rounds
    from active_learning.selection import UNIFORM
    from annotation.models import Project

    project = Project.objects.get(slug="demonstration")
    recipe = None if trains else rounds.recipe_for(project, strategy=UNIFORM.name, size=1, per_problem=None, globally=False)
    return rounds.start(project, rounds.RoundPlan(recipe, train=trains, preset="quick" if trains else None, seed=seed)).pk


def has_published(round_id: int) -> bool:
    """Whether a round has published. Asks on a new connection, because the database comes and goes."""
    from django.db import DatabaseError, connection

    from active_learning.models import Round

    try:
        return Round.objects.filter(pk=round_id, state="published").exists()
    except DatabaseError:
        connection.close()
        return False


def measure(home: Path, sign_in: list[str], *, turns: int, seed: int) -> dict[str, Any]:
    """Kill each part in turn, and return the figures."""
    rng, runs = random.Random(seed), []
    with supervised(home) as site, watched(site, sign_in) as watch:
        for turn in range(turns):
            for name in PARTS:
                round_id = begin_round(trains=True, seed=turn)
                time.sleep(rng.uniform(0, 6))
                runs.append(strike_with_round(site, watch, name, round_id))
            for process in ("its child", "trainer"):
                print(json.dumps(run := strike_training(site, process, seed=turn, after=rng.uniform(0, 2))), flush=True)
                runs.append(run)
    return figures(runs, watch)


def measure_smallest(home: Path, sign_in: list[str]) -> dict[str, Any]:
    """Kill web while a round runs, then the PostgreSQL server, and return the figures."""
    with supervised(home) as site, watched(site, sign_in) as watch:
        first, second = SMALLEST
        runs = [strike_with_round(site, watch, first, begin_round(trains=False, seed=0)), strike(site, watch, second)]
    return figures(runs, watch)


@contextmanager
def watched(site: SupervisedSite, sign_in: list[str]) -> Iterator[Watch]:
    """Let people label and look for as long as the block runs. It begins when the first label is acknowledged."""
    watch = Watch(site.address, project="people")
    try:
        watch.begin(sign_in)
        wait_for(lambda: watch.answers and watch.tally.counts["acknowledged"], seconds=BACK_SECONDS)
        yield watch
    finally:
        watch.end()


def strike_with_round(site: SupervisedSite, watch: Watch, name: str, round_id: int) -> dict[str, Any]:
    """Kill a part while a round runs, and wait until both are over."""
    killed_at = time.monotonic()
    run = strike(site, watch, name)
    run["published"] = wait_for(partial(has_published, round_id), seconds=ROUND_LIMIT)
    run["round_s"] = round(time.monotonic() - killed_at, 1)
    print(json.dumps(run), flush=True)
    site.check()
    return run


def strike(site: SupervisedSite, watch: Watch, name: str) -> dict[str, Any]:
    """Kill a part, wait until it is back and a page answers, and return how long that took."""
    refused = sum(watch.refusals.values())
    victim = wait_for(partial(site.kill, name), seconds=BACK_SECONDS)
    if victim is None:
        raise Failed(f"{name} is not there.")
    killed_at = time.monotonic()
    back = wait_for(partial(site.is_back, name, before=victim), seconds=BACK_SECONDS)
    back_at = time.monotonic()
    wait_for(lambda: any(moment > back_at for moment in watch.answers[-20:]), seconds=BACK_SECONDS)
    return {
        "part": name,
        "gap_s": round(longest_gap(watch.answers, since=killed_at), 2),
        "refused": sum(watch.refusals.values()) - refused,
        "back": bool(back),
        "back_s": round(back_at - killed_at, 2),
    }


def strike_training(site: SupervisedSite, process: str, *, seed: int, after: float) -> dict[str, Any]:
    """Kill the process that trains, or the worker above it, in a training. Return how long nobody had its round; None if it had ended."""
    round_id = begin_round(trains=True, seed=seed)
    held = wait_for(partial(hold_of, round_id), seconds=BACK_SECONDS)
    time.sleep(after)
    if not held or not (site.kill("trainer") if process == "trainer" else kill(held[1])):
        raise Failed(f"{process} is not there.")
    killed_at = time.monotonic()
    is_taken = partial(was_taken, round_id, after=held[0])
    wait_for(lambda: is_taken() or has_published(round_id), seconds=ROUND_LIMIT)
    again_s = round(time.monotonic() - killed_at, 2) if is_taken() else None
    published = wait_for(partial(has_published, round_id), seconds=ROUND_LIMIT)
    return {"training": process, "again_s": again_s, "published": published, "round_s": round(time.monotonic() - killed_at, 1)}


def hold_of(round_id: int) -> tuple[int, int] | None:
    """Return the token of a round and the number of the process that has it. None: nobody has it."""
    from active_learning.models import Round

    token, holder = Round.objects.values_list("token", "holder").get(pk=round_id)
    return (token, int(holder.split("/")[1])) if holder else None


def was_taken(round_id: int, *, after: int) -> bool:
    """Tell whether another process has taken a round after the one with this token."""
    hold = hold_of(round_id)
    return hold is not None and hold[0] > after


def figures(runs: list[dict[str, Any]], watch: Watch) -> dict[str, Any]:
    from django.db import connection

    from annotation.models import Annotation

    connection.close()  # it is of a server that was killed

    def worst(*names: str) -> float | None:
        return max((run["gap_s"] for run in runs if run.get("part") in names), default=None)

    web, database = worst("web"), worst("postmaster", "runner")
    assert web and database  # both were killed
    acknowledged, stored = (
        watch.tally.counts["acknowledged"],
        Annotation.objects.filter(assignment__task__batch__project__slug="people").count(),
    )
    return {
        "ratio": round(min(WEB_LIMIT / web, DATABASE_LIMIT / database), 2),
        "web_gap_s": web,
        "web_limit_s": WEB_LIMIT,
        "database_gap_s": database,
        "database_limit_s": DATABASE_LIMIT,
        "other_gap_s": worst("worker", "trainer", "beat"),
        "again_s": max((run["again_s"] for run in runs if run.get("again_s")), default=None),
        "rounds": sum("published" in run for run in runs),
        "rounds_lost": sum(not run.get("published", True) for run in runs),
        "not_back": [run["part"] for run in runs if not run.get("back", True)],
        "acknowledged": acknowledged,
        "labels_lost": max(0, acknowledged - stored),
        "answers": len(watch.answers),
        "refused": dict(watch.refusals),
        "load": load_average(),
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench recovery", description="Measure how long a killed part of the site is missed.")
    parser.add_argument("--turns", type=int, default=2, help="kills of each part (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: web and PostgreSQL are killed, nothing is trained")
    options = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would print a line for each request
    with temporary_site.running_home() as home:
        from active_learning import demonstration
        from annotation.ingest import NewProblem, NewSolution, add_solutions
        from annotation.projects import create_project

        rows = [
            NewSolution(problem=NewProblem(statement=f"What is {n} + 1?", answer=str(n + 1)), steps=(f"It is {n + 1}.",))
            for n in range(200 if options.smoke else 2000)
        ]
        if not options.smoke:
            demonstration.make_demonstration()  # first: a site that has a project gets none
        sign_in = temporary_site.invite([temporary_site.publish("people", rows=rows)], 4)
        if options.smoke:
            add_solutions(create_project("demonstration", name="demonstration"), rows[:10])
            print(json.dumps(measure_smallest(home, sign_in)))
        else:
            print(json.dumps(measure(home, sign_in, turns=options.turns, seed=options.seed)))


if __name__ == "__main__":
    try:
        main()
    except (Failed, RuntimeError, OSError) as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
