"""Figure: how many spammers the watch over bad work flags within 40 solutions, and how many honest people.

Protocol, fixed before the first run. A world has 20 honest people and one spammer of each of five kinds. Each labels 40 solutions, and
three people read each solution. A solution has 3 to 19 steps; 60 % have a mistake, at a step drawn evenly. The final answer is wrong in
85 % of those with a mistake and in 3 % of the others. 15 % of the solutions are gold. Honest people miss a first mistake with a
probability drawn from 5 to 40 %, and call a good step a mistake with one drawn from 0 to 10 %. After a missed mistake they call each step
one with 30 %. They read 10 characters a second (log-normal: 0.35 between people, 0.5 between solutions), and a step has 120. The model
sees 75 % of the mistakes and calls 4 % of the good steps one.

Kinds of spammer, each at an honest pace but the fast one: never a mistake; always the first step, or always the last; any place, or a
random key at each step; the model's verdicts; the verdicts of somebody who read the same solutions before, or verdicts as good as honest
ones at 80 characters a second. Of two forms, even worlds have the first and odd worlds the second. The figures are looked at after 10, 20,
30 and 40 solutions. A person who is flagged at any look counts as flagged.

`ratio`: share of spammers flagged over the goal of 95 %. Also: how often honest people are flagged (goal: at most 1 %), with Wilson's
intervals over people; the same for honest people who all miss 40 % and alarm at 10 % ("weakest"); and worlds in which 15 of 20 people are
spammers of one kind ("majority"), also without gold and without graded answers ("unknown").
"""

import argparse
import json
import time
from typing import Any

import numpy as np

from annotation import watching
from annotation.watching import NONE, WatchedVerdict
from trainer.counting import Share

WORLDS, MAJORITIES = 60, 12
HONEST, SOLUTIONS, READERS = 20, 40, 3
LOOKS = (10, 20, 30, 40)
MISSES, ALARMS, LATE = (0.05, 0.40), (0.0, 0.10), 0.3
KINDS = (("nothing",), ("first", "last"), ("any", "keys"), ("model",), ("copy", "fast"))


class World:
    """People with their verdicts. `form` of each person: "honest", or the form of the spammer."""

    def __init__(self, seed: int, forms: list[str], *, is_weak: bool = False, knows: bool = True) -> None:
        self.knows = knows
        self.random = np.random.default_rng(seed)
        self.forms = forms
        people = range(len(forms))
        self.misses = np.full(len(forms), MISSES[1]) if is_weak else self.random.uniform(*MISSES, len(forms))
        self.alarms = np.full(len(forms), ALARMS[1]) if is_weak else self.random.uniform(*ALARMS, len(forms))
        self.pace = 10 * np.exp(self.random.normal(0, 0.35, len(forms)))
        self.source = {person: 0 for person in people if forms[person] == "copy"}
        self.verdicts: list[WatchedVerdict] = []
        left = np.array([0 if person in self.source else SOLUTIONS for person in people])
        solution = 0
        while left.sum():
            order = np.lexsort((self.random.random(len(left)), -left))
            readers = [int(person) for person in order[:READERS] if left[person]]
            left[readers] -= 1
            for copier, source in self.source.items():
                if source in readers:
                    readers = [*[reader for reader in readers if reader == source or len(readers) < READERS], copier][:READERS]
            self._read(solution, readers)
            solution += 1

    def _read(self, solution: int, readers: list[int]) -> None:
        random = self.random
        n = int(random.integers(3, 20))
        mistake = int(random.integers(1, n + 1)) if random.random() < 0.6 else NONE
        is_wrong = bool(random.random() < (0.85 if mistake else 0.03))
        known = frozenset({mistake}) if random.random() < 0.15 else None
        model = self._honest(n, mistake, misses=0.25, alarms=0.04)
        marks: dict[int, int] = {}
        for reader in sorted(readers, key=lambda person: person in self.source):
            form = self.forms[reader]
            marked = marks[self.source[reader]] if form == "copy" else self._mark(reader, n, mistake, model)
            marks[reader] = marked
            characters = 200 + 120 * (marked or n)
            pace = 80 if form == "fast" else self.pace[reader] * float(np.exp(random.normal(0, 0.5)))
            at = solution + (0.5 if form == "copy" else 0.3 * random.random())
            facts: dict[str, Any] = {"known": known, "is_wrong": is_wrong} if self.knows else {}
            self.verdicts.append(WatchedVerdict(solution, reader, at, marked, n, characters / pace, characters, model=model, **facts))

    def _mark(self, person: int, n: int, mistake: int, model: int) -> int:
        match self.forms[person]:
            case "nothing":
                return NONE
            case "first":
                return 1
            case "last":
                return n
            case "any":
                return int(self.random.integers(0, n + 1))
            case "keys":
                hits = np.flatnonzero(self.random.random(n) < 1 / 3)
                return int(hits[0]) + 1 if len(hits) else NONE
            case "model":
                return model
        return self._honest(n, mistake, misses=self.misses[person], alarms=self.alarms[person])

    def _honest(self, n: int, mistake: int, *, misses: float, alarms: float) -> int:
        steps, true = np.arange(1, n + 1), mistake or n + 1
        chance = np.where(steps < true, alarms, np.where(steps == true, 1 - misses, LATE))
        hits = np.flatnonzero(self.random.random(n) < chance)
        return int(hits[0]) + 1 if len(hits) else NONE

    def flagged(self) -> dict[int, set[str]]:
        """Return who is flagged at any look, and by which tests."""
        found: dict[int, set[str]] = {}
        for look in LOOKS:
            seen = {person: 0 for person in range(len(self.forms))}
            shown = []
            for verdict in sorted(self.verdicts, key=lambda one: one.at):
                seen[verdict.person] += 1
                if seen[verdict.person] <= look:
                    shown.append(verdict)
            for flag in watching.watch(shown).flags:
                found.setdefault(flag.person, set()).add(flag.kind)
        return found


def measure(n_worlds: int, n_majorities: int) -> dict[str, Any]:
    """Return the figures of this many worlds."""
    forms = sorted({form for kind in KINDS for form in kind})
    caught = {form: [0, 0] for form in forms}
    honest, alarms = [0, 0], dict.fromkeys(watching.TESTS, 0)
    for seed in range(n_worlds):
        world = World(seed, ["honest"] * HONEST + [kind[seed % len(kind)] for kind in KINDS])
        flagged = world.flagged()
        for person, form in enumerate(world.forms):
            counts = honest if form == "honest" else caught[form]
            counts[0] += person in flagged
            counts[1] += 1
            if form == "honest":
                for test in flagged.get(person, ()):
                    alarms[test] += 1
    weakest = [0, 0]
    for seed in range(n_majorities):
        weakest[0] += len(World(2000 + seed, ["honest"] * HONEST, is_weak=True).flagged())
        weakest[1] += HONEST
    majority: dict[str, list[int]] = {}
    for seed in range(n_majorities):
        for knows in (True, False):
            world = World(1000 + seed, ["honest"] * 5 + [("nothing", "any", "first")[seed % 3]] * 15, knows=knows)
            flagged = world.flagged()
            for person, form in enumerate(world.forms):
                name = f"{'honest' if form == 'honest' else 'spammers'}{'' if knows else ', unknown'}"
                counts = majority.setdefault(name, [0, 0])
                counts[0] += person in flagged
                counts[1] += 1
    spammers = [sum(counts[place] for counts in caught.values()) for place in (0, 1)]
    return {
        "spammers": _share(spammers),
        "by_form": {form: _share(counts) for form, counts in caught.items() if counts[1]},
        "honest": _share(honest),
        "honest_by_test": alarms,
        "weakest": _share(weakest),
        "majority": {name: _share(counts) for name, counts in majority.items()},
    }


def _share(counts: list[int]) -> dict[str, Any]:
    k, n = counts
    low, high = Share(k, n).bounds or (0.0, 1.0)
    return {"flagged": k, "of": n, "share": round(k / n, 4) if n else None, "interval": [round(low, 4), round(high, 4)]}


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="script/bench watching", description="Measure who is flagged by the watch over bad work.")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: two worlds")
    options = parser.parse_args(args)
    began = time.monotonic()
    figures = measure(2, 0) if options.smoke else measure(WORLDS, MAJORITIES)
    for form, found in figures["by_form"].items():
        print(f"{form:8} flagged {found['flagged']} of {found['of']}")
    print(f"honest   flagged {figures['honest']['flagged']} of {figures['honest']['of']} ({figures['honest_by_test']})")
    figures["ratio"] = round(figures["spammers"]["share"] / 0.95, 4)
    figures["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
