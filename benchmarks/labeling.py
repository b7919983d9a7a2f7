"""Figure: N people label over HTTP, with sessions, CSRF and two drafts a solution, as the page does it.

Reads GSM8K's example solutions from $STEPMARK_DATA (default ../shared/data) and starts a temporary site. With --url it uses a running site
on this machine. There are two forms: 8 people who never pause, in short slices (`--seconds`, `--repeat`), and 64 who think for 5 s about
each solution (`--work-seconds`). Prints the raw figures, checks the database, and prints one JSON object on its last line. The exit code
is 1 if a request or the check failed.

next: the request that brings the next solution: the answer to the submit, or at first the request for it.
CPU: all of the web processes and PostgreSQL, over the solutions submitted meanwhile, without the simulated people.
`ratio`: what a bare Django view costs for the same requests and answer sizes through the same gunicorn, over what ours costs; 1 would mean
that labeling costs no more than HTTP. Both sites run at the same time, and their slices alternate, because other work on the machine
changes what a second of CPU does. Each slice is compared with its neighbours, and `ratio` is the median of these ratios.
"""

import argparse
import json
import logging
import os
import random
import re
import statistics
import sys
import threading
import time
import urllib.parse
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks import temporary_site

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_SECONDS, MOST_PEOPLE, MOST_SOLUTIONS = 600, 256, 50_000
CPU_GOAL = 8  # milliseconds per labeled solution
WORK = re.compile(r'<div id="work"[^>]*>')
FIELD = re.compile(r'data-([a-z-]+)="([^"]*)"')
CSRF = re.compile(r'<meta name="csrf" content="([^"]+)"')
CSRF_COOKIE = re.compile(r'<meta name="csrf" content="[^"]+" data-cookie="([^"]+)"')


class Failed(Exception):
    """The server did not do what a labeler needs. The message says what it answered."""


class Tally:
    """What one form measured: seconds by kind of request, ratings sent, solutions acknowledged, and what was exchanged."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.exchanged: deque[list[tuple[bytes, int]]] = deque(maxlen=400)  # of whole solutions: body sent, bytes answered

    def milliseconds(self, kind: str, percent: int) -> float | None:
        values = sorted(self.seconds[kind])
        return round(1000 * values[min(len(values) - 1, len(values) * percent // 100)], 1) if values else None


class Labeler:
    """One person with a browser's connection, cookies and token. Ratings are random: half the solutions have a mistake."""

    def __init__(self, address: str, *, project: str, seed: int) -> None:
        self.client = httpx.Client(base_url=address, timeout=30, trust_env=False)
        self.page = f"/p/{project}/label/"
        self.rng = random.Random(seed)
        self.exchange: list[tuple[bytes, int]] = []
        self.ahead: str | None = None  # the next solution, from the answer to a submit

    def sign_in(self, how: str) -> None:
        """Sign in by a one-time link, or by "name password" through the form."""
        if "sesame=" in how:
            form = temporary_site.link_form(self.client.get(how).text)
            self.client.post("/sign-in/link/", data=form, follow_redirects=True)
        else:
            name, _, password = how.partition(" ")
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.client.get("/sign-in/").text)
            form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1] if token else ""}
            self.client.post("/sign-in/", data=form, follow_redirects=True)
        answer = self.client.get(self.page)
        if answer.status_code != 200:
            raise Failed(f"{self.page} answered {answer.status_code} after signing in. Is the link unused, and is the person a labeler?")

    def open(self, tally: Tally) -> None:
        """Open the page."""
        started = time.perf_counter()
        answer = self.client.get(self.page)
        tally.seconds["page"].append(time.perf_counter() - started)
        if not (csrf := CSRF.search(answer.text)):
            raise Failed(f"{self.page} answered {answer.status_code} without a labeling page")
        cookie = CSRF_COOKIE.search(answer.text)  # the page reads the token from the cookie if it can
        self.client.headers["X-CSRFToken"] = (self.client.cookies.get(cookie[1]) if cookie else None) or csrf[1]
        self.read(answer.text)

    def read(self, html: str) -> None:
        """Read the solution that a page or a fragment shows; if none is left, `work` is None."""
        found = WORK.search(html)
        self.work = dict(FIELD.findall(found[0])) if found else None
        self.n_steps = html.count('data-step="')

    def post(self, kind: str, url: str, body: dict[str, Any], tally: Tally) -> httpx.Response:
        content = json.dumps(body).encode()
        started = time.perf_counter()
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/html"}
        answer = self.client.post(url, content=content, headers=headers)
        tally.seconds[kind].append(time.perf_counter() - started)
        if answer.status_code != 200:
            raise Failed(f"{kind} answered {answer.status_code}: {answer.text[:200]}")
        self.exchange.append((content, len(answer.content)))
        return answer

    def label(self, tally: Tally, *, think: float) -> None:
        """Rate this solution with two drafts, submit it, and request the next one if no answer has brought it."""
        assert self.work is not None
        work, self.exchange, seconds = self.work, [], think * self.rng.uniform(0.5, 1.5)
        ahead, self.ahead = self.ahead, None
        if not ahead and "ahead-url" in work:
            answer = self.post("next", work["ahead-url"], {}, tally)
            ahead = answer.text if answer.headers["content-type"].startswith("text/html") else None
        end = self.rng.randrange(self.n_steps) if self.rng.random() < 0.5 else None  # the first mistake
        rated = [
            {"step": step, "position": 0, "rating": -1 if step == end else 1, "flagged": False, "ms": 900}
            for step in range(self.n_steps if end is None else end + 1)
        ]
        token = int(work["token"])
        for revision, part in enumerate((rated[: (len(rated) + 1) // 2], rated), 1):
            time.sleep(seconds / 2)
            self.post("draft", work["draft-url"], {"token": token, "revision": revision, "ratings": part}, tally)
        spent = 900 * len(rated)
        body = {
            "token": token,
            "submission_id": str(uuid.UUID(int=self.rng.getrandbits(128), version=4)),
            "ratings": rated,
            "finish_reason": "solution" if end is None else "found_error",
            "reason": "",
            "active_ms": spent,
            "total_ms": spent + 500,
        }
        if ahead:
            self.read(ahead)
            body |= {"ahead": int(self.work["assignment"]), "ahead_token": int(self.work["token"])}
        answer = self.post("submit", work["submit-url"], body, tally)
        tally.counts.update(acknowledged=1, ratings=len(rated))
        if answer.headers["content-type"].startswith("text/html"):
            self.read(answer.text)
        else:
            self.ahead = answer.json().get("ahead")
        if self.ahead or not ahead:
            tally.seconds["next"].append(tally.seconds["submit"][-1])
        tally.exchanged.append(self.exchange)


def at_work(labelers: Sequence[Labeler], *, seconds: float, think: float, most: int) -> tuple[Tally, float]:
    """Let all people label until the time is over or `most` solutions are done; return the tally and the seconds it took."""
    tally, barrier, until = Tally(), threading.Barrier(len(labelers) + 1), [0.0]

    def day(labeler: Labeler) -> None:
        barrier.wait(60)
        try:
            time.sleep(think * labeler.rng.random())  # people do not begin at the same moment
            labeler.open(tally)
            while labeler.work and tally.counts["acknowledged"] < most:
                labeler.label(tally, think=think)
                if time.perf_counter() > until[0]:  # after at least one solution, however busy the machine is
                    break
        except (Failed, httpx.HTTPError) as fault:
            tally.faults.append(f"{type(fault).__name__}: {fault}")

    return tally, _together([partial(day, labeler) for labeler in labelers], barrier, until, seconds)


def replay(address: str, exchanged: Sequence[list[tuple[bytes, int]]], *, people: int, seconds: float, most: int) -> tuple[int, float]:
    """Send the same requests to the bare view, which answers with as many bytes; return solutions and seconds."""
    done, barrier, until = Counter[str](), threading.Barrier(people + 1), [0.0]

    def day(number: int) -> None:
        with httpx.Client(base_url=address, timeout=30, trust_env=False, headers={"Content-Type": "application/json"}) as client:
            barrier.wait(60)
            place = number
            while done["solutions"] < most:
                for content, size in exchanged[place % len(exchanged)]:
                    client.post(f"/bare/{size}/", content=content).raise_for_status()
                done["solutions"] += 1
                place += people
                if time.perf_counter() > until[0]:
                    break

    spent = _together([partial(day, number) for number in range(people)], barrier, until, seconds)
    return done["solutions"], spent


def _together(days: Sequence[Callable[[], None]], barrier: threading.Barrier, until: list[float], seconds: float) -> float:
    threads = [threading.Thread(target=day, daemon=True) for day in days]
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    until[0] = started + seconds
    barrier.wait(60)
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def measure(
    labelers: Sequence[Labeler], of_site: temporary_site.Site | None, *, seconds: float, think: float, most: int
) -> tuple[dict[str, Any], Tally]:
    """Run one form; return its figures and its tally."""
    before, own = of_site.cpu_seconds() if of_site else {}, time.process_time()
    tally, spent = at_work(labelers, seconds=seconds, think=think, most=most)
    after, own = of_site.cpu_seconds() if of_site else {}, time.process_time() - own
    done = tally.counts["acknowledged"]
    cpu = {part: 1000 * (after[part] - before[part]) / max(1, done) for part in after}
    figures: dict[str, Any] = {
        "people": len(labelers),
        "think_s": think,
        "seconds": round(spent, 1),
        "solutions": done,
        "solutions_per_s": round(done / spent, 1),
        "cpu_ms_per_solution": round(sum(cpu.values()), 2) if cpu else None,
        **{f"{part}_cpu_ms_per_solution": round(ms, 2) for part, ms in cpu.items()},
        "client_cpu_ms_per_solution": round(1000 * own / max(1, done), 2),
        **{f"{kind}_p{part}_ms": tally.milliseconds(kind, part) for kind in ("next", "submit", "draft", "page") for part in (50, 95)},
    }
    print(f"{len(labelers)} people, {think:g} s of thinking, load {os.getloadavg()[0]:.1f}: {json.dumps(figures)}", flush=True)
    for fault, times in Counter(tally.faults).items():
        print(f"  {times} x {fault}")
    return figures, tally


# What must be there, and what must never occur.
QUESTIONS = {
    "annotations": "SELECT count(*) FROM annotation_annotation",
    "ratings": "SELECT count(*) FROM annotation_steplabel",
    "duplicates": "SELECT count(*) FROM (SELECT 1 FROM annotation_annotation WHERE revision = 1 "
    "GROUP BY labeler_id, solution_id HAVING count(*) > 1) d",
    "over_overlap": "SELECT count(*) FROM (SELECT 1 FROM annotation_task t JOIN annotation_assignment s ON s.task_id = t.id "
    "AND s.state IN ('leased', 'reserved', 'done') GROUP BY t.id, t.overlap HAVING count(*) > t.overlap) o",
}


def check_database() -> dict[str, int]:
    """Count what was stored, and what must never occur."""
    from django.db import connection

    with connection.cursor() as cursor:
        return {name: cursor.execute(query).fetchone()[0] for name, query in QUESTIONS.items()}


def measure_bare(
    peer: temporary_site.Site, exchanged: Sequence[list[tuple[bytes, int]]], *, people: int, seconds: float, most: int
) -> float:
    """Run one slice of the bare view with what was exchanged; return its milliseconds of CPU for a solution."""
    before = peer.cpu_seconds()["web"]
    done, spent = replay(peer.address, exchanged, people=people, seconds=seconds, most=most)
    bare = 1000 * (peer.cpu_seconds()["web"] - before) / done
    print(f"the bare view, the same requests: {bare:.2f} ms of CPU a solution, {done / spent:.0f} solutions/s", flush=True)
    return bare


def neighbour_ratios(bare: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Return bare over ours for each two slices that follow each other. They alternate, and the first one is ours."""
    after = [there / here for here, there in zip(ours, bare, strict=True)]
    before = [there / here for here, there in zip(ours[1:], bare, strict=False)]
    return after + before


def median_of(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {key: None if None in (found := [run[key] for run in runs]) else round(statistics.median(found), 2) for key in runs[0]}


def drive(
    sign_in: Sequence[str],
    address: str,
    options: argparse.Namespace,
    of_site: temporary_site.Site | None = None,
    peer: temporary_site.Site | None = None,
) -> tuple[dict[str, Any], list[Tally]]:
    """Sign all people in, run both forms, and return the figures of the first, with those of the second under `at_work`.

    With `of_site` there is the CPU of each, and with `peer`, the bare view, the ratio.
    """
    labelers = [Labeler(address, project=options.project, seed=seed) for seed in range(len(sign_in))]
    for labeler, how in zip(labelers, sign_in, strict=True):
        labeler.sign_in(how)
    bounds = {"most": options.solutions}
    # The first requests include imports, plans and caches. They are checked like the rest, but not timed.
    tally, _ = at_work(labelers[: options.people], seconds=min(2, options.seconds), think=0, **bounds)
    first, tallies, bare = [], [tally], list[float]()
    if peer:
        replay(peer.address, list(tally.exchanged), people=options.people, seconds=min(1, options.seconds), **bounds)
    for _ in range(options.repeat):
        figures, tally = measure(labelers[: options.people], of_site, seconds=options.seconds, think=0, **bounds)
        if not tally.counts["acknowledged"]:
            raise Failed("Nobody could label a solution in a slice. Are there enough solutions, and does the site answer?")
        first.append(figures)
        tallies.append(tally)
        if peer:
            bare.append(measure_bare(peer, list(tally.exchanged), people=options.people, seconds=options.seconds, **bounds))
    second, tally = measure(labelers, of_site, seconds=options.work_seconds, think=options.think, **bounds)
    ratios = neighbour_ratios(bare, [figures["cpu_ms_per_solution"] for figures in first]) if peer else []
    verdict = {
        "peer_cpu_ms_per_solution": round(statistics.median(bare), 2) if bare else None,
        "ratio": round(statistics.median(ratios), 3) if ratios else None,
        "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
    }
    return {**median_of(first), "at_work": second, **verdict}, [*tallies, tally]


def main() -> None:
    options = arguments()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would print a line for each request
    if options.url:
        sign_in = [line.strip() for line in Path(options.sign_in).read_text().splitlines() if line.strip()][: options.work_people]
        figures, tallies = drive(sign_in, options.url.rstrip("/"), options)
        verdict: dict[str, int] = {}
        broken = False
    else:
        with temporary_site.running_home() as home:
            path = temporary_site.DATA / "gsm8k" / "example_model_solutions.jsonl"
            project = temporary_site.publish(options.project, path=path, lines=options.lines, overlap=2)
            sign_in = temporary_site.invite([project], max(options.people, options.work_people))
            with temporary_site.serving(home) as ours, temporary_site.serving(home, temporary_site.BARE) as peer:
                figures, tallies = drive(sign_in, ours.address, options, ours, peer)
            stored, sent = check_database(), sum((tally.counts for tally in tallies), Counter[str]())
        print(f"acknowledged: {dict(sent)}; the database: {stored}")
        broken = stored != {"annotations": sent["acknowledged"], "ratings": sent["ratings"], "duplicates": 0, "over_overlap": 0}
        verdict = {"acknowledged": sent["acknowledged"], **stored}
    faults = sum(len(tally.faults) for tally in tallies)
    figures |= {"cpu_goal_ms": CPU_GOAL, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "faults": faults, **verdict}
    print(json.dumps(figures))
    sys.exit(broken or faults > 0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench labeling", description="Measure labeling over HTTP by many people at once.")
    parser.add_argument("--url", help="use the site at this address of this machine instead of a temporary one")
    parser.add_argument("--sign-in", metavar="FILE", help="with --url: one line per person, a one-time link or NAME PASSWORD")
    parser.add_argument("--project", default="gsm8k", metavar="SLUG", help="with --url: the project to label in")
    parser.add_argument("--people", type=int, default=8, help="people who never pause")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of each slice, both of labeling and of the bare view")
    parser.add_argument("--repeat", type=int, default=9, help="number of slices of each; the medians count")
    parser.add_argument("--work-people", type=int, default=64, help="people who pause to think")
    parser.add_argument("--work-seconds", type=float, default=40)
    parser.add_argument("--think", type=float, default=5, help="seconds that they think about a solution")
    parser.add_argument("--solutions", type=int, default=5000, help="the most solutions in one slice")
    parser.add_argument("--lines", type=int, help="lines of GSM8K's file to load, four solutions each")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    options = parser.parse_args()
    if options.smoke:
        vars(options).update(people=2, seconds=1, repeat=1, work_people=4, work_seconds=1, think=0.2, lines=100)
    if options.url:
        if urllib.parse.urlsplit(options.url).hostname not in LOOPBACK:
            parser.error("--url must name this machine (127.0.0.1 or localhost). Do not put this load on another server.")
        if not options.sign_in:
            parser.error("--url needs --sign-in FILE: one line per person, a one-time link or NAME PASSWORD.")
    longest = max(options.seconds * options.repeat, options.work_seconds)
    most = max(options.people, options.work_people)
    if not (0 < longest <= MOST_SECONDS and 0 < most <= MOST_PEOPLE and 0 < options.solutions <= MOST_SOLUTIONS):
        parser.error(f"At most {MOST_SECONDS} seconds, {MOST_PEOPLE} people and {MOST_SOLUTIONS:,} solutions.")
    return options


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError) as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
