"""Figure: is a label lost, stored twice or given to too many people while each part of a running site is killed?

64 people label over HTTP a site that runs as `script/server` runs it. Each walks at random: claims, drafts, submits, submits twice, closes
the connection before the answer, lets the lease run out, skips, gives back, corrects. Solutions are withdrawn and people suspended
meanwhile, and clocks of browsers are wrong. First nothing else happens: that gives the times of claims and submits (`calm`). Then, for
`--seconds`, one part after the other is struck: sessions of the database are ended and killed, gunicorn's workers and master, worker,
trainer, beat, the PostgreSQL server and its runner are killed (SIGKILL), a disk is filled. Everything comes back without help. Afterwards
the database is compared with what people were told (benchmarks/traffic/checking.py), and every finding is counted; 0 is the goal.

Last, a fault is planted that loses labels: PostgreSQL with `synchronous_commit` off is killed. The check must see it (`planted_lost`).

`ratio`: the goal for a submit over its p95, in the calm part. `health_p95_ms` is a bare measure from the same time: an address of the site
that needs no database. The exit code is 1 if anything was found, or if the planted fault was not.
"""

import argparse
import json
import logging
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from benchmarks import temporary_site
from benchmarks.labeling import Failed
from benchmarks.temporary_site.parts import BACK_SECONDS, kill, load_average, supervised, wait_for

BACK_GOAL, CLAIM_GOAL, SUBMIT_GOAL = 10, 100, 150  # seconds, milliseconds, milliseconds
CLAIMS = ("page", "next")
N_BATCH = 4000


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="script/bench faults", description="Kill each part of a site while people label, and check the labels."
    )
    parser.add_argument("--people", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60, help="with faults (default: 60)")
    parser.add_argument("--calm-seconds", type=float, default=20, help="without faults, before (default: 20)")
    parser.add_argument("--think", type=float, default=0.6, help="seconds about each solution (default: 0.6)")
    parser.add_argument("--seed", type=int, default=None, help="of what people do and of the faults (default: a new one, printed)")
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form: few people, each kind of fault once, those of workers and beat at once"
    )
    parser.add_argument(
        "--kind", action="append", metavar="KIND", help="only this kind of fault, such as postmaster; repeatable (default: all)"
    )
    options = parser.parse_args()
    if options.smoke:
        vars(options).update(people=5, seconds=0, calm_seconds=1, think=0.25)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(2**31)
    print(f"seed {options.seed}", flush=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would print a line for each request
    with temporary_site.running_home() as home:
        figures, is_good = measure(home, options)
    print(json.dumps(figures))
    sys.exit(not is_good)


def measure(home: Path, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Run all parts, and return the figures and whether they are as they must be."""
    from benchmarks.traffic import checking, faults, history
    from benchmarks.traffic.journal import Journal

    rng = random.Random(options.seed)
    project, sign_in = publish(options.people, many=not options.smoke)
    history.begin()
    journal = Journal()
    with faults.SmallDisk.mounted(home) as disk, supervised(home) as site:
        crowd = Crowd(site.address, sign_in, journal, seed=options.seed, think=options.think)
        with bare(site.address) as bare_seconds, crowd.at_work(faults.Office(project=project.pk, rng=rng)):
            time.sleep(options.calm_seconds)
            wait_for(lambda: journal.acknowledged() >= options.people, seconds=BACK_SECONDS)  # on a busy machine
        calm = calm_figures(journal, bare_seconds, seconds=options.calm_seconds)
        print(json.dumps(calm), flush=True)
        before = journal.acknowledged()
        blows: list[faults.Blow] = []
        conductor = faults.Conductor(site, journal, disk, rng=rng)
        with crowd.at_work(faults.Office(project=project.pk, rng=rng)):
            began = time.monotonic()
            while not blows or time.monotonic() - began < options.seconds:
                for kinds in conductor.turn(at_once=options.smoke, only=options.kind):
                    time.sleep(rng.uniform(0, 0.5))
                    for blow in conductor.strike(kinds):
                        blows.append(blow)
                        print(json.dumps(asdict(blow)), flush=True)
                    if options.seconds and time.monotonic() - began > options.seconds:
                        break
            spent = time.monotonic() - began
        found = faults.insist(lambda: checking.check(journal))
        show(found)
        findings = checking.counts(found)
        figures = {
            "ratio": calm["ratio"],
            "seed": options.seed,
            "people": options.people,
            "seconds": round(spent, 1),
            "acknowledged": journal.acknowledged() - before,
            "acknowledged_in_all": journal.acknowledged(),
            "findings": findings,
            "calm": calm,
            "struck": len(blows),
            "not_back": [blow.kind for blow in blows if not blow.is_back],
            "slowest_s": faults.slowest(blows),
            "back_goal_s": BACK_GOAL,
            "disk": disk.kind,
            "acts": dict(sorted(journal.acts.items())),
            "answers": {" ".join(map(str, answer)).strip(): times for answer, times in sorted(journal.answers.items())},
            "broken_off": dict(journal.broken_off),
            "load": load_average(),
        }
        figures["planted_lost"] = lose_labels(site, crowd, faults.Office(project=project.pk, rng=rng))
    return figures, not any(findings.values()) and not figures["not_back"] and figures["planted_lost"] > 0


def publish(n_people: int, *, many: bool) -> tuple[Any, list[str]]:
    """Publish solutions for two people each, and invite people. Return the project and the links that sign in."""
    from annotation import ingest, projects, queue
    from annotation.models import Solution

    project, batches = projects.create_project("people", name="people"), 3 if many else 1
    count = batches * N_BATCH if many else 2000
    rows = [
        ingest.NewSolution(
            problem=ingest.NewProblem(statement=f"What is {n} + 2?", answer=str(n + 2)),
            steps=(f"We add 1 to {n}.", f"That is {n + 1}.", f"One more is {n + 2}."),
        )
        for n in range(count)
    ]
    ingest.add_solutions(project, rows)
    keys = list(Solution.objects.filter(problem__project=project).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), N_BATCH):
        queue.open_batch(project, [queue.Chosen(key) for key in keys[start : start + N_BATCH]], overlap=2)
    return project, temporary_site.invite([project], n_people)


class Crowd:
    """The people of a run. They keep their browsers from one part to the next."""

    def __init__(self, address: str, sign_in: list[str], journal: Any, *, seed: int, think: float) -> None:
        from benchmarks.traffic.over_http import HttpConnection
        from benchmarks.traffic.people import Person

        self.journal, self.think = journal, think
        self.people = [
            Person(
                f"labeler{number}",
                "people",
                HttpConnection(address, project="people", sign_in=link),
                journal,
                random.Random(seed * 1000 + number),
            )
            for number, link in enumerate(sign_in)
        ]

    @contextmanager
    def at_work(self, office: Any) -> Iterator[None]:
        """Let all people label for as long as the block runs, and then end what they are at."""
        over = threading.Event()
        threads = [threading.Thread(target=self._day, args=(person, office, over), daemon=True) for person in self.people]
        for thread in (office.thread, *threads):
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()
            office.over.set()
            office.thread.join()

    def _day(self, person: Any, office: Any, over: threading.Event) -> None:
        from benchmarks.traffic import people

        over.wait(self.think * person.rng.random())  # people do not begin at the same moment
        try:
            people.walk(person, office, think=self.think, is_over=over.is_set, pause=over)
        except people.Stuck:
            pass  # the journal has it
        except Exception as error:  # a fault of the harness must not pass for a quiet person
            self.journal.wrong.append(f"{person.name} ended with {type(error).__name__}: {error}")


@contextmanager
def bare(address: str) -> Iterator[list[float]]:
    """Ask an address that needs no database all the time, and yield the seconds of its answers."""
    seconds: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
            while not over.wait(0.02):
                started = time.perf_counter()
                client.get("/health/live").raise_for_status()
                seconds.append(time.perf_counter() - started)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield seconds
    finally:
        over.set()
        thread.join()


def calm_figures(journal: Any, bare_seconds: list[float], *, seconds: float) -> dict[str, Any]:
    """Return the times of claims and submits without faults."""
    from benchmarks.traffic.journal import percentile_ms

    claim, submit, health = journal.p95_ms(*CLAIMS), journal.p95_ms("submit"), percentile_ms(bare_seconds, percent=95)
    return {
        "ratio": round(SUBMIT_GOAL / submit, 2) if submit else None,
        "acknowledged": journal.acknowledged(),
        "seconds": seconds,
        "claim_p95_ms": claim,
        "claim_goal_ms": CLAIM_GOAL,
        "submit_p95_ms": submit,
        "submit_goal_ms": SUBMIT_GOAL,
        "health_p95_ms": health,
        "submit_over_health": round(submit / health, 1) if submit and health else None,
        "refused": sum(times for (_, status, _), times in journal.answers.items() if status == 503),
    }


def lose_labels(site: Any, crowd: Crowd, office: Any) -> int:
    """Plant a fault: PostgreSQL answers before it has written, and is killed. Return how many acknowledged labels the check misses."""
    from benchmarks.traffic import checking, faults

    for setting, value in (("synchronous_commit", "off"), ("wal_writer_delay", "10s"), ("wal_writer_flush_after", "1GB")):
        faults.rows(f"ALTER SYSTEM SET {setting} = '{value}'")
    faults.rows("SELECT pg_reload_conf()")
    wait_for(lambda: faults.rows("SHOW synchronous_commit") == [("off",)], seconds=BACK_SECONDS)
    enough = crowd.journal.acknowledged() + 10
    with crowd.at_work(office):
        wait_for(lambda: crowd.journal.acknowledged() >= enough, seconds=BACK_SECONDS)
        postmaster = wait_for(lambda: site.part("postmaster"), seconds=BACK_SECONDS)
        for victim in [postmaster, *postmaster.children()]:
            kill(victim.pid)  # the children end with the postmaster, so some are gone before their turn
        wait_for(lambda: site.is_back("postmaster", before=postmaster.pid), seconds=BACK_SECONDS)
    return len(faults.insist(lambda: checking.check(crowd.journal))["lost"])


def show(found: dict[str, list[str]]) -> None:
    """Print the first findings of each name."""
    for name, sentences in found.items():
        for sentence in sentences[:5]:
            print(f"{name}: {sentence}")


if __name__ == "__main__":
    try:
        main()
    except (Failed, RuntimeError, OSError) as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
