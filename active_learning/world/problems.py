"""The problems of the simulated world: a story with numbers, and every right way to its answer.

Pure: reads `stories` and a numpy Generator, returns `SimulatedProblem`s, which `simulation` solves, rightly or not.
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
LARGEST = 240  # number in a right solution: each number can be one token, and a tiny model can learn their sums
CONSTANTS = (1, 2, 3, 7, 12, 60)  # common knowledge: the first quantities of every plan; no statement mentions them
LATEX = {"+": "+", "-": "-", "*": r"\times", "/": r"\div", "=": "="}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
BESIDE = -1  # the place of a mistake that does not affect the answer


class MistakeKind(StrEnum):
    """The kinds of mistakes that people make. Blind corruption of a right solution imitates the first three, but hardly the others."""

    SLIP = "slip"  # the result of the sum is wrong
    COPIED_NUMBER = "copied_number"  # a number is not the one that the problem or an earlier step gave
    WRONG_OPERATION = "wrong_operation"  # the sum does not do what its own words say
    SKIPPED_CONDITION = "skipped_condition"  # a condition of the problem is left out
    UNIT = "unit"  # a conversion is forgotten, or done with the wrong factor
    MISREAD_CONDITION = "misread_condition"  # words and sum agree with each other, but not with the problem
    OTHER_QUESTION = "other_question"  # a true sentence is given as the answer to another question


KIND_WEIGHTS = {  # if a problem allows the kind at all: only some have units, or words to misread
    MistakeKind.SLIP: 0.24,
    MistakeKind.COPIED_NUMBER: 0.24,
    MistakeKind.WRONG_OPERATION: 0.12,
    MistakeKind.SKIPPED_CONDITION: 0.20,
    MistakeKind.UNIT: 0.40,
    MistakeKind.MISREAD_CONDITION: 0.20,
    MistakeKind.OTHER_QUESTION: 0.08,
}
CARELESS = (MistakeKind.SLIP, MistakeKind.COPIED_NUMBER)  # these are equally likely in all problems, so they are never a trap


@dataclass(frozen=True, slots=True)
class Habits:
    """The mistakes of a generator: the weight of each kind, which kinds can be a problem's trap, and the greatest strength of a trap.

    mends: how often its last sum is changed to the right answer, if it would be off by `mends_within` at most.
    """

    weights: Mapping[MistakeKind, float] = field(default_factory=lambda: KIND_WEIGHTS)
    traps: frozenset[MistakeKind] = frozenset(MistakeKind) - frozenset(CARELESS)
    trap: float = 1.6
    mends: float = 0.2
    mends_within: int = 12


HABITS = Habits()


class Operation(NamedTuple):
    """A sum whose operands are places in the plan's quantities."""

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
    """One right way through a problem, and the mistakes that are possible in it.

    The place of a mistake is its operation. For OTHER_QUESTION it is the operation, or the remark after them, whose result is the answer.
    """

    operations: tuple[Operation, ...]
    asides: tuple[Operation, ...]
    quantities: tuple[int, ...]  # constants, stated numbers, then the true result of each operation
    invitations: tuple[tuple[MistakeKind, int], ...]
    thresholds: tuple[float, ...]  # cumulative shares of the invitations, without the last


@dataclass(frozen=True, slots=True)
class SimulatedProblem:
    external_id: str
    statement: str
    answer: str
    subject: str
    level: int  # 1-5: operations - 1
    reference_solution: str
    burden: float  # a solver of skill s is right with probability s ** burden
    facts: tuple[str, ...]  # the statement's sentences before the question, uncapitalised
    question: str
    answers: str  # the sentence that answers it
    words: Mapping[str, str]
    n_numbers: int  # constants and stated numbers: the results come after them in a plan's quantities
    plans: tuple[StoryPlan, ...]
    habits: Habits


class Infeasible(Exception):
    """A sum of the draw is not a small whole number; the draw is repeated."""


def make_problem(rng: np.random.Generator, *, external_id: str, habits: Habits = HABITS) -> SimulatedProblem:
    """Draw a word problem: a story, its people and numbers, the question, and every right way to the answer.

    Statements rarely repeat; `simulation.make_world` makes sure that they never do.
    """
    while True:
        with suppress(Infeasible):
            return _tell(pick(rng, STORIES), rng, external_id, habits)


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Draw one of the choices (a tenth of the cost of Generator.choice)."""
    return choices[int(rng.random() * len(choices))]


def calculate(sign: str, a: int, b: int, *, largest: int) -> int:
    """Compute a sum. Raises Infeasible if the result is not a whole number from 2 to `largest`."""
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


def say(wording: str, words: Mapping[str, str], sign: str, a: int, b: int, c: int) -> str:
    """Fill a wording with the cast's words and the sum in LaTeX."""
    return wording.format_map({**words, "a": f"${a}$", "b": f"${b}$", "c": f"${c}$", "sum": f"${a} {LATEX[sign]} {b} = {c}$"})


def capitalise(text: str) -> str:
    return text[0].upper() + text[1:]


def _tell(story: Story, rng: np.random.Generator, external_id: str, habits: Habits) -> SimulatedProblem:
    """Chain events of the story until there are enough operations, write the statement, compile the ways to the answer."""
    words = dict(pick(rng, story.casts), day=pick(rng, DAYS))
    for role, i in zip(("who", "friend", "third"), rng.permutation(len(PEOPLE)), strict=False):
        words[role], words[f"{role}_she"], words[f"{role}_her"] = PEOPLE[i]
    words |= {"she": words["who_she"], "her": words["who_her"]}

    wanted = 2 + int(rng.random() * 5)
    chosen: list[tuple[Scene, dict[str, int]]] = []
    told: list[int] = []
    state, x, n_operations, longest = "", 0, 0, 0
    while longest < wanted:
        possible = [event for event in story.events if _may_follow(event, state, chosen) and longest + _n_sums(event) <= wanted]
        event, draws, results = _happen(possible, told, x, rng)
        chosen.append((event, draws))
        told += draws.values()
        state, n_operations, longest = event.changes.partition("-> ")[2], n_operations + len(event.sums), longest + _n_sums(event)
        x = results[-1] if results else x
    last = next(event for event, _ in reversed(chosen) if event.sums)
    if n_operations < 2 or not last.asks:
        raise Infeasible

    facts = tuple(event.told.format_map(words | {name: f"${number}$" for name, number in draws.items()}) for event, draws in chosen)
    question = last.asks.format_map(words)
    trap = habits.trap * rng.random() if rng.random() < 0.5 else 0.0
    ways = (False, True) if any(event.other_way for event, _ in chosen) else (False,)
    plans = tuple(_compile(chosen, (*CONSTANTS, *told), other_way=other_way, trap=trap, habits=habits, rng=rng) for other_way in ways)
    n_numbers = len(CONSTANTS) + len(told)
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


def _happen(possible: Sequence[Scene], told: Sequence[int], x: int, rng: np.random.Generator) -> tuple[Scene, dict[str, int], list[int]]:
    """Draw one of the events and numbers with which its sums come out."""
    for _ in range(10 if possible else 0):
        event = pick(rng, possible)
        if not event.sums and rng.random() < 0.7:
            continue  # facts that no question needs are rare
        draws = {name: pick(rng, numbers) for name, numbers in event.draws.items()}
        if len({*told, *draws.values()}) == len(told) + len(draws):  # all stated numbers differ, so a wrong copy is wrong
            with suppress(Infeasible):
                return event, draws, _reckon(event.sums, draws, x)
    raise Infeasible


def _reckon(sums: Sequence[Sum], draws: Mapping[str, int], x: int) -> list[int]:
    scope = {**{str(c): c for c in CONSTANTS}, **draws, "x": x}
    results: list[int] = []
    for number, one in enumerate(sums, 1):
        left, sign, right = one.equation.split()
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
    """Turn the names of operands into places, and list the mistakes that this way invites, one of them as a trap."""
    quantities = list(numbers)
    operations: list[Operation] = []
    asides: list[Operation] = []
    scope = {str(c): place for place, c in enumerate(CONSTANTS)}
    place = len(CONSTANTS)

    def placed(one: Sum) -> Operation:
        left, sign, right = one.equation.split()
        misread = placed(one.misread) if one.misread else None
        return Operation(sign, scope[left], scope[right], tuple(one.says.split(" | ")), one.states, one.skippable, one.conversion, misread)

    def value(operation: Operation) -> int:
        return calculate(operation.sign, quantities[operation.left], quantities[operation.right], largest=LARGEST)

    for event, draws in chosen:
        for name in draws:
            scope[name] = place
            place += 1
        for number, one in enumerate(other_way and event.other_way or event.sums, 1):
            operations.append(placed(one))
            scope[f"#{number}"] = len(quantities)
            quantities.append(value(operations[-1]))
        if event.sums:
            scope["x"] = len(quantities) - 1
        for aside in map(placed, event.asides):
            with suppress(Infeasible):
                value(aside)
                asides.append(aside)
    invitations = _invitations(operations, asides)
    n_of_kind = {kind: sum(kind is other for other, _ in invitations) for kind, _ in invitations}
    weights = [habits.weights[kind] / n_of_kind[kind] for kind, _ in invitations]
    if traps := [i for i, (kind, _) in enumerate(invitations) if kind in habits.traps]:
        weights[pick(rng, traps)] += trap
    *thresholds, total = accumulate(weights)
    return StoryPlan(tuple(operations), tuple(asides), tuple(quantities), tuple(invitations), tuple(t / total for t in thresholds))


def _invitations(operations: Sequence[Operation], asides: Sequence[Operation]) -> list[tuple[MistakeKind, int]]:
    invitations = [(MistakeKind.SLIP, BESIDE)]
    for k, operation in enumerate(operations):
        invitations += [(kind, k) for kind in (MistakeKind.SLIP, MistakeKind.COPIED_NUMBER, MistakeKind.WRONG_OPERATION)]
        invitations += [(MistakeKind.SKIPPED_CONDITION, k)] * operation.skippable
        invitations += [(MistakeKind.UNIT, k)] * operation.conversion
        invitations += [(MistakeKind.MISREAD_CONDITION, k)] * (operation.misread is not None)
    goal = len(operations) - 1
    return invitations + [
        (MistakeKind.OTHER_QUESTION, k) for k, operation in enumerate([*operations, *asides]) if operation.states and k != goal
    ]


def _reference(plan: StoryPlan, n_numbers: int, answers: str, words: Mapping[str, str]) -> str:
    """Write the reference solution: the first wording of every operation, then the answer."""
    lines = []
    for c, (sign, left, right, says, *_) in zip(plan.quantities[n_numbers:], plan.operations, strict=True):
        lines.append(capitalise(say(says[0], words, sign, plan.quantities[left], plan.quantities[right], c)))
    answer = plan.quantities[-1]
    lines.append(f"So {say(answers, words, '=', answer, answer, answer)}")
    return ".\n".join(lines) + f".\n\n# Answer\n\n{answer}"
