"""The problems of the simulated world: a story with numbers, and every right way to its answer.

Pure: reads `stories` and a numpy Generator, and returns `SimulatedProblem`s. `simulation` solves them, with or without mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple, TypeVar

import numpy as np

from active_learning.world.stories import PEOPLE, STORIES, Scene, Story, Sum

T = TypeVar("T")
LARGEST = 240  # number in a right solution: each number can have its own token, and a tiny model can learn the sums
CONSTANTS = (1, 2, 3, 7, 12, 60)  # common knowledge: the first quantities of every plan, given in no statement
LATEX = {"+": "+", "-": "-", "*": r"\times", "/": r"\div", "=": "="}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OFF_PATH = -1  # the place of a mistake that the answer does not depend on


class MistakeKind(StrEnum):
    """The kinds of mistakes people make. A program that changes a right solution at random can imitate only the first three."""

    SLIP = "slip"  # the result of the sum is wrong
    COPIED_NUMBER = "copied_number"  # a number differs from the one in the problem or an earlier step
    WRONG_OPERATION = "wrong_operation"  # the sum does not match its own words
    SKIPPED_CONDITION = "skipped_condition"  # a condition of the problem is left out
    UNIT = "unit"  # a conversion is forgotten or uses the wrong factor
    MISREAD_CONDITION = "misread_condition"  # words and sum match each other, but not the problem
    OTHER_QUESTION = "other_question"  # a true sentence that answers another question


KIND_WEIGHTS = {  # used where a problem allows the kind: not every problem has units or words to misread
    MistakeKind.SLIP: 0.24,
    MistakeKind.COPIED_NUMBER: 0.24,
    MistakeKind.WRONG_OPERATION: 0.12,
    MistakeKind.SKIPPED_CONDITION: 0.20,
    MistakeKind.UNIT: 0.40,
    MistakeKind.MISREAD_CONDITION: 0.20,
    MistakeKind.OTHER_QUESTION: 0.08,
}
CARELESS = (MistakeKind.SLIP, MistakeKind.COPIED_NUMBER)  # all problems allow these equally, so they are never a trap


@dataclass(frozen=True, slots=True)
class Habits:
    """The mistakes of a generator: the weight of each kind, the kinds that can be a trap, and the largest strength of a trap.

    mends: the probability that it changes the result of its last sum to the right answer, if the difference is at most `mends_within`.
    """

    weights: Mapping[MistakeKind, float] = field(default_factory=lambda: KIND_WEIGHTS)
    traps: frozenset[MistakeKind] = frozenset(MistakeKind) - frozenset(CARELESS)
    trap: float = 1.6
    mends: float = 0.2
    mends_within: int = 12


HABITS = Habits()


class Operation(NamedTuple):
    """A sum. Its operands are places in the quantities of the plan."""

    sign: str
    left: int
    right: int
    says: tuple[str, ...]
    states: str
    skippable: bool
    conversion: bool
    misread: Operation | None


@dataclass(frozen=True, slots=True)
class StoryPlan:
    """One right way through a problem, and the mistakes that are possible on it.

    The place of a mistake is the index of the wrong operation. For OTHER_QUESTION it is the operation whose result is given as the answer;
    asides are counted after the operations.
    """

    operations: tuple[Operation, ...]
    asides: tuple[Operation, ...]
    quantities: tuple[int, ...]  # constants, numbers of the statement, then the true result of each operation
    possible_mistakes: tuple[tuple[MistakeKind, int], ...]  # kind and place
    thresholds: tuple[float, ...]  # cumulative shares of the possible mistakes, without the last


@dataclass(frozen=True, slots=True)
class SimulatedProblem:
    """A word problem with all right ways to its answer."""

    external_id: str
    statement: str
    answer: str
    subject: str
    level: int  # number of operations minus 1, from 1 to 5
    reference_solution: str
    burden: float  # a solver with skill s is right with probability s ** burden
    facts: tuple[str, ...]  # the sentences of the statement before the question, not capitalised
    question: str
    answers: str  # the sentence that answers the question
    words: Mapping[str, str]
    n_numbers: int  # constants and numbers of the statement; in the quantities of a plan the results follow them
    plans: tuple[StoryPlan, ...]
    habits: Habits


class Infeasible(Exception):
    """A sum does not give a small whole number. The caller draws again."""


def make_problem(rng: np.random.Generator, *, external_id: str, habits: Habits = HABITS) -> SimulatedProblem:
    """Draw a word problem: a story, its people and numbers, the question, and every right way to the answer.

    A statement rarely comes twice; `simulation.make_world` makes sure that it never does.
    """
    while True:
        with suppress(Infeasible):
            return _write_problem(pick(rng, STORIES), rng, external_id, habits)


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Draw one of the choices. This takes a tenth of the time of Generator.choice."""
    return choices[int(rng.random() * len(choices))]


def calculate(sign: str, a: int, b: int, *, largest: int) -> int:
    """Return the result of a sum. Raises Infeasible if it is not a whole number from 2 to `largest`."""
    c, rest = a + b, 0
    if sign == "-":
        c = a - b
    elif sign == "*":
        c = a * b
    elif sign == "/":
        c, rest = divmod(a, b)
    elif sign == "=":
        c = b
    if rest or not 2 <= c <= largest:
        raise Infeasible
    return c


def fill_wording(wording: str, words: Mapping[str, str], sign: str, a: int, b: int, c: int) -> str:
    """Fill a wording with the words of the cast and the sum in LaTeX."""
    return wording.format_map({**words, "a": f"${a}$", "b": f"${b}$", "c": f"${c}$", "sum": f"${a} {LATEX[sign]} {b} = {c}$"})


def capitalise(text: str) -> str:
    """Return the text with a capital first letter and the rest unchanged."""
    return text[0].upper() + text[1:]


def _write_problem(story: Story, rng: np.random.Generator, external_id: str, habits: Habits) -> SimulatedProblem:
    """Draw events of the story until there are enough operations, write the statement, and list the right ways to the answer."""
    words = dict(pick(rng, story.casts), day=pick(rng, DAYS))
    for role, i in zip(("who", "friend", "third"), rng.permutation(len(PEOPLE)), strict=False):
        words[role], words[f"{role}_she"], words[f"{role}_her"] = PEOPLE[i]
    words |= {"she": words["who_she"], "her": words["who_her"]}

    wanted = 2 + int(rng.random() * 5)
    chosen: list[tuple[Scene, dict[str, int]]] = []
    drawn: list[int] = []  # the numbers of the statement
    state, x, n_operations, longest = "", 0, 0, 0
    while longest < wanted:
        possible = [event for event in story.events if _may_follow(event, state, chosen) and longest + _n_sums(event) <= wanted]
        event, draws, results = _draw_event(possible, drawn, x, rng)
        chosen.append((event, draws))
        drawn += draws.values()
        state, n_operations, longest = event.changes.partition("-> ")[2], n_operations + len(event.sums), longest + _n_sums(event)
        x = results[-1] if results else x
    last = next(event for event, _ in reversed(chosen) if event.sums)
    if n_operations < 2 or not last.asks:
        raise Infeasible

    facts = tuple(event.fact.format_map(words | {name: f"${number}$" for name, number in draws.items()}) for event, draws in chosen)
    question = last.asks.format_map(words)
    trap = habits.trap * rng.random() if rng.random() < 0.5 else 0.0
    ways = (False, True) if any(event.other_way for event, _ in chosen) else (False,)
    plans = tuple(_compile(chosen, (*CONSTANTS, *drawn), other_way=other_way, trap=trap, habits=habits, rng=rng) for other_way in ways)
    n_numbers = len(CONSTANTS) + len(drawn)
    return SimulatedProblem(
        external_id=external_id,
        statement=" ".join([*map(capitalise, facts), question]),
        answer=str(x),
        subject=story.subject,
        level=n_operations - 1,
        reference_solution=_reference(plans[0], n_numbers, last.answers, words),
        burden=n_operations * (0.15 + 0.9 * rng.random()),
        facts=facts,
        question=question,
        answers=last.answers,
        words=words,
        n_numbers=n_numbers,
        plans=plans,
        habits=habits,
    )


def _may_follow(event: Scene, state: str, chosen: Sequence[tuple[Scene, Mapping[str, int]]]) -> bool:
    before = event.changes.partition("->")[0].strip()
    return state in before.split("|") and all(event is not earlier for earlier, _ in chosen)


def _n_sums(event: Scene) -> int:
    return max(len(event.sums), len(event.other_way))


def _draw_event(
    possible: Sequence[Scene], drawn: Sequence[int], x: int, rng: np.random.Generator
) -> tuple[Scene, dict[str, int], list[int]]:
    """Draw one of the events, and numbers that give its sums small whole results. Raises Infeasible."""
    for _ in range(10 if possible else 0):
        event = pick(rng, possible)
        if not event.sums and rng.random() < 0.7:
            continue  # a fact that no question needs is rare
        draws = {name: pick(rng, numbers) for name, numbers in event.draws.items()}
        if len({*drawn, *draws.values()}) == len(drawn) + len(draws):  # all numbers differ, so a wrong copy is always a mistake
            with suppress(Infeasible):
                return event, draws, _calculate_all(event.sums, draws, x)
    raise Infeasible


def _calculate_all(sums: Sequence[Sum], draws: Mapping[str, int], x: int) -> list[int]:
    scope = {**{str(c): c for c in CONSTANTS}, **draws, "x": x}
    results: list[int] = []
    for number, event_sum in enumerate(sums, 1):
        left, sign, right = event_sum.equation.split()
        results.append(calculate(sign, scope[left], scope[right], largest=LARGEST))
        scope[f"#{number}"] = results[-1]
    return results


def _compile(
    chosen: Sequence[tuple[Scene, Mapping[str, int]]],
    numbers: tuple[int, ...],
    *,
    other_way: bool,
    trap: float,
    habits: Habits,
    rng: np.random.Generator,
) -> StoryPlan:
    """Replace the names of operands by places, and list the mistakes that are possible on this way. One of them can be a trap."""
    quantities = list(numbers)
    operations: list[Operation] = []
    asides: list[Operation] = []
    scope = {str(c): place for place, c in enumerate(CONSTANTS)}
    place = len(CONSTANTS)

    def to_operation(event_sum: Sum) -> Operation:
        left, sign, right = event_sum.equation.split()
        misread = to_operation(event_sum.misread) if event_sum.misread else None
        wordings = tuple(event_sum.says.split(" | "))
        flags = (event_sum.skippable, event_sum.conversion)
        return Operation(sign, scope[left], scope[right], wordings, event_sum.states, *flags, misread)

    def value(operation: Operation) -> int:
        return calculate(operation.sign, quantities[operation.left], quantities[operation.right], largest=LARGEST)

    for event, draws in chosen:
        for name in draws:
            scope[name] = place
            place += 1
        for number, event_sum in enumerate(other_way and event.other_way or event.sums, 1):
            operations.append(to_operation(event_sum))
            scope[f"#{number}"] = len(quantities)
            quantities.append(value(operations[-1]))
        if event.sums:
            scope["x"] = len(quantities) - 1
        for aside in map(to_operation, event.asides):
            with suppress(Infeasible):
                value(aside)
                asides.append(aside)
    possible = _possible_mistakes(operations, asides)
    n_of_kind = {kind: sum(kind is other for other, _ in possible) for kind, _ in possible}
    weights = [habits.weights[kind] / n_of_kind[kind] for kind, _ in possible]
    if traps := [i for i, (kind, _) in enumerate(possible) if kind in habits.traps]:
        weights[pick(rng, traps)] += trap
    *thresholds, total = accumulate(weights)
    return StoryPlan(tuple(operations), tuple(asides), tuple(quantities), tuple(possible), tuple(t / total for t in thresholds))


def _possible_mistakes(operations: Sequence[Operation], asides: Sequence[Operation]) -> list[tuple[MistakeKind, int]]:
    mistakes = [(MistakeKind.SLIP, OFF_PATH)]
    for k, operation in enumerate(operations):
        mistakes += [(kind, k) for kind in (MistakeKind.SLIP, MistakeKind.COPIED_NUMBER, MistakeKind.WRONG_OPERATION)]
        mistakes += [(MistakeKind.SKIPPED_CONDITION, k)] * operation.skippable
        mistakes += [(MistakeKind.UNIT, k)] * operation.conversion
        mistakes += [(MistakeKind.MISREAD_CONDITION, k)] * (operation.misread is not None)
    goal = len(operations) - 1
    return mistakes + [
        (MistakeKind.OTHER_QUESTION, k) for k, operation in enumerate([*operations, *asides]) if operation.states and k != goal
    ]


def _reference(plan: StoryPlan, n_numbers: int, answers: str, words: Mapping[str, str]) -> str:
    """Write the reference solution: the first wording of every operation, then the answer."""
    lines = []
    for c, (sign, left, right, says, *_) in zip(plan.quantities[n_numbers:], plan.operations, strict=True):
        lines.append(capitalise(fill_wording(says[0], words, sign, plan.quantities[left], plan.quantities[right], c)))
    answer = plan.quantities[-1]
    lines.append(f"So {fill_wording(answers, words, '=', answer, answer, answer)}")
    return ".\n".join(lines) + f".\n\n# Answer\n\n{answer}"
