"""Figure: how often the consensus of several labelers names the true first mistake, against majorities and crowd-kit's models.

Protocol, fixed before the first run. A world has 2,000 solutions of 3 to 19 steps; 60 % have a mistake, at a step drawn evenly. Three
people read all of them. Each misses a first mistake with a probability drawn from 5 to 40 %, and rates a good step before it negative with
one drawn from 0 to 10 %. After a missed mistake they rate each step negative with 30 %. 20 worlds, seeds 0 to 19. Each method names one
first mistake, or none; `exact` is the share that is true.

`margin`: exact of ours minus that of the best peer (the one that is best on average over the worlds), mean over the worlds;
`margin_interval` is its 95 % interval over them (t). `ratio` is ours over that peer's. Peers: the majority over first mistakes (the
earliest of equal ones), the majority over each step that at least one person read, and Dawid and Skene's model and MACE (crowd-kit), each
told of first mistakes and of single steps.

Also: how far `sees` and `alarms` of labelers are from the truth and how often their 95 % intervals hold it, in worlds where 30 people share
the solutions (3 read each, so 200 each); the same worlds for people with three other probabilities after a missed mistake; the same figures
where a tenth of the solutions has a second reader and the others one, at random or where the first reader saw no mistake; and the seconds
for 100,000 annotations and for one more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from annotation import consensus
from annotation.consensus import NONE, Floats, Integers
from benchmarks import peers

ROOT = Path(__file__).resolve().parent.parent
WORLDS, SOLUTIONS, READERS, LATE = 20, 2000, 3, 0.3
MISSES, ALARMS = (0.05, 0.40), (0.0, 0.10)
T_975 = {4: 2.776, 19: 2.093}  # Student's t by degrees of freedom


@dataclass(frozen=True)
class World:
    n_steps: Integers
    truth: Integers
    sees: Floats
    alarms: Floats
    rows: list[tuple[int, int, int]]


def make_world(seed: int, *, n_solutions: int, n_people: int, late: float) -> World:
    """Draw solutions, people and what they mark. Three people read each solution."""
    random = np.random.default_rng(seed)
    n_steps = random.integers(3, 20, n_solutions)
    truth = np.where(random.random(n_solutions) < 0.6, random.integers(1, n_steps + 1), NONE)
    sees, alarms = 1 - random.uniform(*MISSES, n_people), random.uniform(*ALARMS, n_people)
    rows = []
    for solution in range(n_solutions):
        for person in random.choice(n_people, READERS, replace=False):
            mistake = truth[solution] or n_steps[solution] + 1
            steps = np.arange(1, n_steps[solution] + 1)
            chance = np.where(steps < mistake, alarms[person], np.where(steps == mistake, sees[person], late))
            hits = np.flatnonzero(random.random(len(steps)) < chance)
            rows.append((solution, int(person), int(hits[0]) + 1 if len(hits) else NONE))
    return World(n_steps, truth, sees, alarms, rows)


def majority(world: World) -> Integers:
    """The first mistake that most people marked: the earliest of equal ones, no mistake last."""
    marks: dict[int, list[int]] = defaultdict(list)
    for solution, _, marked in world.rows:
        marks[solution].append(marked)
    return np.array([min(counted, key=lambda mark: (-counted[mark], mark or 10**6)) for counted in map(Counter, marks.values())])


def steps_of(world: World) -> list[tuple[int, int, int]]:
    """Cut readings into steps: (solution * 1000 + step, person, 1 if negative)."""
    return [
        (solution * 1000 + step, person, int(step == marked))
        for solution, person, marked in world.rows
        for step in range(1, (marked or int(world.n_steps[solution])) + 1)
    ]


def from_steps(world: World, negative: dict[int, int]) -> Integers:
    """The first step that is negative, or none."""
    found = np.zeros(len(world.n_steps), dtype=np.int64)
    for task in sorted((task for task, label in negative.items() if label), reverse=True):
        found[task // 1000] = task % 1000
    return found


def majority_of_steps(world: World) -> Integers:
    """The first step that more than half of those who reached it rated negative."""
    votes: dict[int, list[int]] = defaultdict(list)
    for task, _, label in steps_of(world):
        votes[task].append(label)
    return from_steps(world, {task: int(2 * sum(labels) > len(labels)) for task, labels in votes.items()})


def crowd_kit(worlds: list[World], *, is_smallest: bool) -> list[dict[str, Integers]]:
    """What crowd-kit's models say of all worlds, in a process with its own packages. `is_smallest`: they stop early."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for world in worlds:
            file.write(json.dumps({"marks": world.rows, "steps": steps_of(world)}) + "\n")
        file.flush()
        environment = os.environ | {"PYTHONPATH": str(peers.install("crowdkit"))}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.peers.crowdkit_classes", "--data", file.name, *(["--few"] if is_smallest else [])],
            cwd=ROOT, capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"crowd-kit failed:\n{done.stderr[-2000:]}")
    found = []
    for world, answer in zip(worlds, json.loads(done.stdout.splitlines()[-1]), strict=True):
        named = {}
        for name, labels in answer.items():
            of_task = {task: label for task, label in labels}
            if name.endswith("steps"):
                named[name] = from_steps(world, of_task)
            else:
                named[name] = np.array([of_task[solution] for solution in range(len(world.n_steps))])
        found.append(named)
    return found


def exact(worlds: list[World], *, is_smallest: bool) -> dict[str, list[float]]:
    """The share of true first mistakes by method, one value per world."""
    shares: dict[str, list[float]] = defaultdict(list)
    for world, named in zip(worlds, crowd_kit(worlds, is_smallest=is_smallest), strict=True):
        settled = consensus.settle(consensus.from_lists(world.n_steps.tolist(), world.rows))
        named |= {"ours": settled.first_mistakes, "majority": majority(world), "majority of steps": majority_of_steps(world)}
        for name, marks in named.items():
            shares[name].append(float((marks == world.truth).mean()))
    return shares


def abilities(worlds: list[World]) -> dict[str, Any]:
    """Errors of `sees` and `alarms`, and how often their intervals hold the truth."""
    errors: dict[str, list[float]] = {"sees": [], "alarms": []}
    held: dict[str, list[bool]] = {"sees": [], "alarms": []}
    for world in worlds:
        settled = consensus.settle(consensus.from_lists(world.n_steps.tolist(), world.rows))
        for person, found in enumerate(consensus.describe(settled)):
            for name, value, interval, true in (
                ("sees", found.sees, found.sees_interval, world.sees[person]),
                ("alarms", found.alarms, found.alarms_interval, world.alarms[person]),
            ):
                if value is not None and interval is not None:
                    errors[name].append(abs(value - true))
                    held[name].append(bool(interval[0] <= true <= interval[1]))
    return {
        name: {
            "mean_error": round(statistics.fmean(errors[name]), 4) if errors[name] else None,  # nobody shared enough solutions
            "error_95": round(float(np.quantile(errors[name], 0.95)), 4) if errors[name] else None,
            "coverage": round(statistics.fmean(held[name]), 3) if held[name] else None,
            "n": len(errors[name]),
        }
        for name in errors
    }


def shared_worlds(n_worlds: int, *, n_solutions: int, late: float) -> list[World]:
    """Worlds in which 30 people share the work."""
    return [make_world(seed, n_solutions=n_solutions, n_people=30, late=late) for seed in range(100, 100 + n_worlds)]


def asked_again(seed: int, *, n_solutions: int, only_doubtful: bool) -> tuple[World, Integers]:
    """A world of 8 people in which a tenth of the solutions has a second reader, and the others one.

    only_doubtful: nearly all of that tenth are solutions in which the first reader saw no mistake. Returns the first verdicts too.
    """
    world, random = make_world(seed, n_solutions=n_solutions, n_people=8, late=LATE), np.random.default_rng(seed)
    rows, n_second = [], 0
    for place in range(0, len(world.rows), READERS):
        first, second = world.rows[place : place + 2]
        rows.append(first)
        is_doubtful = first[2] == NONE if only_doubtful else random.random() < 0.4
        if n_second < n_solutions // 10 and (is_doubtful or random.random() < 0.1):
            rows.append(second)
            n_second += 1
    return replace(world, rows=rows), np.array([row[2] for row in world.rows[::READERS]])


def few_second_readers(n_worlds: int, *, n_solutions: int, only_doubtful: bool) -> dict[str, Any]:
    """The share of true first mistakes where few solutions have a second reader, beside that of the first verdicts."""
    worlds = [asked_again(seed, n_solutions=n_solutions, only_doubtful=only_doubtful) for seed in range(200, 200 + n_worlds)]
    named = [consensus.settle(consensus.from_lists(world.n_steps.tolist(), world.rows)).first_mistakes for world, _ in worlds]
    return {
        "exact": round(statistics.fmean(float((marks == world.truth).mean()) for marks, (world, _) in zip(named, worlds, strict=True)), 4),
        "first_verdicts": round(statistics.fmean(float((verdicts == world.truth).mean()) for world, verdicts in worlds), 4),
        "labelers": abilities([world for world, _ in worlds]),
    }


def seconds(n_annotations: int) -> dict[str, float]:
    """The seconds to settle everything, and one solution with one more annotation. Medians of 3 and of 30."""
    world = make_world(7, n_solutions=n_annotations // READERS, n_people=150, late=LATE)
    readings = consensus.from_lists(world.n_steps.tolist(), world.rows)
    whole = []
    for _ in range(3):
        began = time.perf_counter()
        settled = consensus.settle(readings)
        whole.append(time.perf_counter() - began)
    more = []
    for solution in range(30):
        rows = [(0, person, marked) for number, person, marked in world.rows if number == solution] + [(0, 9, 1)]
        began = time.perf_counter()
        consensus.settle_some(consensus.from_lists([int(world.n_steps[solution])], rows), settled.abilities)
        more.append(time.perf_counter() - began)
    return {
        "all": round(statistics.median(whole), 2),
        "one_more_ms": round(1000 * statistics.median(more), 3),
        "iterations": settled.iterations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="script/bench consensus", description="Measure how often the consensus of labelers names the true first mistake."
    )
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs")
    options = parser.parse_args()
    n_worlds, n_solutions = (2, 100) if options.smoke else (WORLDS, SOLUTIONS)
    n_compared = 30 if options.smoke else SOLUTIONS
    worlds = [make_world(seed, n_solutions=n_compared, n_people=READERS, late=LATE) for seed in range(n_worlds)]
    shares = exact(worlds, is_smallest=options.smoke)
    best = max((name for name in shares if name != "ours"), key=lambda name: statistics.fmean(shares[name]))
    margins = [ours - peer for ours, peer in zip(shares["ours"], shares[best], strict=True)]
    half = T_975.get(n_worlds - 1, 12.706) * statistics.stdev(margins) / len(margins) ** 0.5
    mean = statistics.fmean(margins)
    print(
        json.dumps(
            {
                "margin": round(mean, 4),
                "margin_interval": [round(mean - half, 4), round(mean + half, 4)],
                "ratio": round(statistics.fmean(shares["ours"]) / statistics.fmean(shares[best]), 4),
                "best_peer": best,
                "exact": {name: round(statistics.fmean(values), 4) for name, values in sorted(shares.items())},
                "labelers": abilities(shared_worlds(max(1, n_worlds // 4), n_solutions=n_solutions, late=LATE)),
                "labelers_other_lates": {
                    str(late): abilities(shared_worlds(max(1, n_worlds // 10), n_solutions=n_solutions, late=late))
                    for late in (0.02, 0.1, 0.6)
                },
                "few_second_readers": {
                    name: few_second_readers(n_worlds, n_solutions=n_solutions, only_doubtful=only_doubtful)
                    for name, only_doubtful in (("at random", False), ("where the first saw no mistake", True))
                },
                "seconds": seconds(3_000 if options.smoke else 100_000),
                "worlds": n_worlds,
            }
        )
    )


if __name__ == "__main__":
    main()
