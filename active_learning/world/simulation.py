"""The simulated world: word problems, a generator that makes mistakes, and an oracle that knows the first mistake.

Pure and seeded: reads `problems` and a numpy Generator, and returns values. The demonstration project and the experiments use this
world; docs/simulation.md says what it is and what it is not.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from active_learning.world.problems import (
    CONSTANTS,
    HABITS,
    LATEX,
    OFF_PATH,
    Habits,
    Infeasible,
    MistakeKind,
    Operation,
    SimulatedProblem,
    StoryPlan,
    calculate,
    capitalise,
    fill_wording,
    make_problem,
    pick,
)
from trainer.formats import Finish

__all__ = [
    "Habits",
    "MistakeKind",
    "OracleLabels",
    "SimulatedProblem",
    "SimulatedSolution",
    "label",
    "make_problem",
    "make_world",
    "noisy_label",
    "sample_solution",
]

LARGEST_WRONG = 999
STEPS = (3, 7)
INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}
WRONG_SIGN = {"+": "-*", "-": "+", "*": "+", "/": "*-"}
# Factors that people remember wrongly: feet in a yard, days in a week, pieces in a dozen, minutes in an hour.
MISTAKEN_FACTOR = {
    3: 12,
    7: 5,
    12: 10,
    60: 100,
}
OPENERS = (("", "", "First, ", "To start, "), ("", "", "Next, ", "Then ", "Now "), ("", "Finally, ", "In the end, "))
RECALLS = ("We know that ", "The problem says that ", "Remember that ")
GOALS = ("The question is: ", "We want to know: ", "Let me restate the question: ")
SPLITS = ("To make this easier, note that {}.", "It helps to see that {}.", "Note that {}.")
CHECKS = ("Let me check: {}.", "As a check, {}.", "This can be checked with {}.")
CLOSERS = ("So ", "Therefore, ", "Thus ", "This means that ", "Hence ")


@dataclass(frozen=True, slots=True)
class SimulatedSolution:
    """A generated solution with the true rating of every step.

    A step after the first mistake is rated -1 if it makes a mistake itself or uses a wrong number.
    """

    steps: tuple[str, ...]
    final_answer: str
    ratings: tuple[int, ...]
    first_mistake: int | None  # index of the first step rated -1
    mistake_kind: MistakeKind | None  # why that step is wrong


class OracleLabels(NamedTuple):
    """The ratings of a simulated labeler."""

    ratings: tuple[int, ...]  # up to and including the first negative one; later steps have no label
    finish_reason: Finish


def sample_solution(problem: SimulatedProblem, *, rng: np.random.Generator, skill: float) -> SimulatedSolution:
    """Solve the problem like a person of this skill (0 < skill <= 1): right with probability skill ** burden.

    Later steps use the result of a mistake, so the final answer is usually, but not always, wrong. If a mistake would lead to a number that
    no person would accept (negative, fractional, huge), another mistake is drawn instead.
    """
    plan = pick(rng, problem.plans)
    if rng.random() >= skill**problem.burden:
        for _ in range(30):
            mistakes = {}
            for _ in range(1 if rng.random() < 0.85 else 2):
                kind, place = plan.possible_mistakes[bisect(plan.thresholds, rng.random())]
                mistakes[place] = kind
            with suppress(Infeasible):
                return _Author(problem, plan, mistakes, rng).solve()
    return _Author(problem, plan, {}, rng).solve()


def label(solution: SimulatedSolution) -> OracleLabels:
    """Rate the steps like a perfect labeler: up to and including the first mistake."""
    if solution.first_mistake is None:
        return OracleLabels(solution.ratings, "solution")
    return OracleLabels(solution.ratings[: solution.first_mistake + 1], "found_error")


def noisy_label(
    solution: SimulatedSolution, *, rng: np.random.Generator, detection: float = 0.9, false_alarm: float = 0.01
) -> OracleLabels:
    """Rate the steps like an imperfect labeler: a wrong step is negative with probability `detection`, any other with `false_alarm`."""
    ratings: list[int] = []
    for rating in solution.ratings:
        is_negative = rng.random() < (detection if rating < 0 else false_alarm)
        ratings.append(-1 if is_negative else abs(rating))
        if is_negative:
            return OracleLabels(tuple(ratings), "found_error")
    return OracleLabels(tuple(ratings), "solution")


def make_world(
    seed: int, *, n_problems: int, n_solutions: int, skill: float = 0.7, habits: Habits = HABITS, level: int = 5
) -> Iterator[tuple[SimulatedProblem, list[SimulatedSolution]]]:
    """Yield problems, each with its solutions. No statement comes twice, and no solution of a problem comes twice.

    The same seed makes the same world, and a larger world begins with the smaller one: problem i and its solution j depend only on seed,
    i, j, skill, habits and level (of the hardest problem). Raises ValueError if a problem has fewer than n_solutions different solutions.
    """
    if not 0 < skill <= 1:
        raise ValueError(f"skill must be above 0 and at most 1, not {skill}.")
    statements: set[str] = set()
    for index in range(n_problems):
        rng = np.random.default_rng((seed, index))
        problem = make_problem(rng, external_id=f"world-{seed}-{index:06d}", habits=habits)
        while problem.statement in statements or problem.level > level:
            problem = make_problem(rng, external_id=problem.external_id, habits=habits)
        statements.add(problem.statement)
        solutions: dict[tuple[str, ...], SimulatedSolution] = {}
        left = 100 + 20 * n_solutions
        while len(solutions) < n_solutions:
            if not left:
                n_found = len(solutions)
                raise ValueError(f"{problem.external_id} has fewer than {n_solutions} different solutions. Ask for at most {n_found}.")
            left -= 1
            solution = sample_solution(problem, rng=rng, skill=skill)
            solutions.setdefault(solution.steps, solution)
        yield problem, list(solutions.values())


def _order(plan: StoryPlan, n_numbers: int, rng: np.random.Generator) -> list[int]:
    """Order the operations. Sometimes two neighbours that do not depend on each other change places."""
    order = list(range(len(plan.operations)))
    i = int(rng.random() * (len(order) - 1))
    if rng.random() < 0.4 and n_numbers + i not in plan.operations[i + 1][1:3] and i + 2 < len(order):
        order[i], order[i + 1] = order[i + 1], order[i]
    return order


def _slip(c: int, rng: np.random.Generator) -> int:
    """Return a wrong number, as people write it: off by 1 or 2, by 10 or 20, or with its digits reversed. Raises Infeasible."""
    wrong = int(str(c)[::-1]) if rng.random() < 0.15 else c + pick(rng, (-1, 1, -2, 2, -10, 10, -10, 10, -20, 20))
    if wrong == c or not 2 <= wrong <= LARGEST_WRONG:
        raise Infeasible
    return wrong


class _Author:
    """Writes one solution with the given mistakes (place -> kind). Remembers its own value of every quantity, and why that is wrong.

    Raises Infeasible if a mistake leads to a number that no person would accept, or changes nothing.
    """

    def __init__(self, problem: SimulatedProblem, plan: StoryPlan, mistakes: Mapping[int, MistakeKind], rng: np.random.Generator) -> None:
        self.problem, self.plan, self.mistakes, self.rng = problem, plan, mistakes, rng
        self.values = list(plan.quantities)
        self.causes: list[MistakeKind | None] = [None] * len(self.values)  # why a value is wrong; None if it is right
        self.seen = list(range(len(CONSTANTS), problem.n_numbers))  # places of the numbers that can be copied by mistake
        self.steps: list[str] = []
        self.ratings: list[int] = []
        self.kinds: list[MistakeKind | None] = []

    def solve(self) -> SimulatedSolution:
        """Write all steps. Raises Infeasible."""
        rng, plan, n_operations = self.rng, self.plan, len(self.plan.operations)
        order = _order(plan, self.problem.n_numbers, rng)
        other = next((place for place, kind in self.mistakes.items() if kind is MistakeKind.OTHER_QUESTION), None)
        if other is not None and other < n_operations and rng.random() < 0.7:
            del order[order.index(other) + 1 :]  # stop there: this result is given as the answer
        self.spare = STEPS[1] - len(order) - 1 - (other is not None)
        self.first, self.last = order[0], order[-1]
        self.mends = rng.random() < self.problem.habits.mends  # it will change the last result to the right answer
        slips_off_path = pick(rng, order) if OFF_PATH in self.mistakes else None

        if self.spare and (len(order) < STEPS[0] - 1 or rng.random() < 0.15):
            self._recall()
        for k in order:
            self._write_operation(k, MistakeKind.SLIP if k == slips_off_path else None)
        self._conclude(other)

        ratings = tuple(self.ratings)
        first = ratings.index(-1) if -1 in ratings else None
        if (first is None) == bool(self.mistakes) or not STEPS[0] <= len(ratings) <= STEPS[1]:
            raise Infeasible
        answer = self.steps[-1].rpartition("\n")[2]
        return SimulatedSolution(tuple(self.steps), answer, ratings, first, None if first is None else self.kinds[first])

    def _write(self, text: str, kind: MistakeKind | None = None, *, right: int = 1) -> None:
        self.steps.append(capitalise(text))
        self.ratings.append(-1 if kind else right)
        self.kinds.append(kind)
        self.remarked = right == 0
        self.spare -= self.remarked

    def _recall(self) -> None:
        """Repeat a fact or the question: a neutral step."""
        if self.rng.random() < 0.5:
            self._write(pick(self.rng, RECALLS) + pick(self.rng, self.problem.facts), right=0)
        else:
            question = self.problem.question
            self._write(pick(self.rng, GOALS) + question[0].lower() + question[1:], right=0)

    def _write_operation(self, k: int, off_path_slip: MistakeKind | None) -> None:
        """Write operation k with its mistake, if it has one, and sometimes a remark. A slip off the path is made in the remark."""
        rng, operation, kind, result = self.rng, self.plan.operations[k], self.mistakes.get(k), self.problem.n_numbers + k
        if kind is MistakeKind.OTHER_QUESTION:
            kind = None  # made later, in the conclusion
        if kind is MistakeKind.SKIPPED_CONDITION or (kind is MistakeKind.UNIT and rng.random() < 0.6):
            self.values[result], self.causes[result] = self.values[operation.left], kind
            return
        if kind is MistakeKind.MISREAD_CONDITION and operation.misread:
            operation = operation.misread
        sign, a, b = operation.sign, self.values[operation.left], self.values[operation.right]
        inherited = self.causes[operation.left] or self.causes[operation.right]
        if kind is MistakeKind.COPIED_NUMBER:
            a, b = self._copy_wrongly(operation)
        elif kind is MistakeKind.UNIT:
            b = MISTAKEN_FACTOR[b]
        elif kind is MistakeKind.WRONG_OPERATION:
            sign = pick(rng, WRONG_SIGN[sign])
        c, truth = calculate(sign, a, b, largest=LARGEST_WRONG), self.plan.quantities[result]
        if kind is MistakeKind.SLIP:
            c = _slip(c, rng)
        elif self.mends and inherited and not kind and k == self.last and 0 < abs(c - truth) <= self.problem.habits.mends_within:
            c, kind = truth, MistakeKind.SLIP
        if kind and not inherited and c == truth:
            raise Infeasible

        cause = kind or inherited
        remarks = off_path_slip is not None or (self.spare > 0 and rng.random() < 0.16)
        apart = next((number for number in (a, b) if number > 12 and number % 10 > 1), None) if sign in "+*" and not cause else None
        if remarks and apart and (off_path_slip or rng.random() < 0.5):
            self._take_apart(apart, off_path_slip)
            remarks = False
        opener = pick(rng, OPENERS[0 if k == self.first else 2 if k == self.last else 1])
        self._write(f"{opener}{fill_wording(pick(rng, operation.says), self.problem.words, sign, a, b, c)}.", cause)
        self.values[result], self.causes[result] = c, cause if c != truth else None
        self.seen.append(result)
        if remarks and sign in INVERSE and kind is not MistakeKind.SLIP:
            again = _slip(a, rng) if off_path_slip else a
            self._write(pick(rng, CHECKS).format(f"${c} {LATEX[INVERSE[sign]]} {b} = {again}$"), off_path_slip or cause, right=0)
        elif self.plan.asides and self.spare > 0 and rng.random() < 0.05:
            self._remark(pick(rng, self.plan.asides))

    def _copy_wrongly(self, operation: Operation) -> tuple[int, int]:
        """Replace an operand of the statement or of an earlier step by another known number, or by a number close to it."""
        place = pick(self.rng, [place for place in (operation.left, operation.right) if place >= len(CONSTANTS)])
        number = self.values[place]
        another = self.values[pick(self.rng, self.seen)]
        copied = another if self.rng.random() < 0.4 else number + pick(self.rng, (-1, 1, -2, 2, 3, -3, 10, -10, 5, -5))
        if copied == number or copied < 2:
            raise Infeasible
        return (copied, self.values[operation.right]) if place == operation.left else (self.values[operation.left], copied)

    def _take_apart(self, number: int, slip: MistakeKind | None) -> None:
        """Split a number into tens and ones: a neutral step unless there is a slip."""
        ones = _slip(number % 10, self.rng) if slip else number % 10
        self._write(pick(self.rng, SPLITS).format(f"${number} = {number // 10 * 10} + {ones}$"), slip, right=0)

    def _remark(self, aside: Operation) -> int:
        """Write a sum that no question needs, and return its result."""
        a, b = self.values[aside.left], self.values[aside.right]
        c = calculate(aside.sign, a, b, largest=LARGEST_WRONG)
        sentence = fill_wording(pick(self.rng, aside.says), self.problem.words, aside.sign, a, b, c)
        self._write(f"{sentence}.", self.causes[aside.left] or self.causes[aside.right], right=0)
        return c

    def _conclude(self, other: int | None) -> None:
        """Answer the question or, by mistake, another one."""
        n_operations, goal = len(self.plan.operations), len(self.plan.quantities) - 1
        value, states, cause = self.values[goal], self.problem.answers, self.causes[goal]
        if other is not None:
            cause = MistakeKind.OTHER_QUESTION
            if other < n_operations:
                value, states = self.values[self.problem.n_numbers + other], self.plan.operations[other].states
            else:
                aside = self.plan.asides[other - n_operations]
                value, states = self._remark(aside), aside.states
            if value == self.plan.quantities[goal]:
                raise Infeasible
        answer = f"\n\n# Answer\n\n{value}"
        may_join = (
            other is None and goal - self.problem.n_numbers not in self.mistakes and len(self.steps) >= STEPS[0] and not self.remarked
        )
        if may_join and self.rng.random() < 0.2:
            self.steps[-1] += answer
        else:
            sentence = fill_wording(states, self.problem.words, "=", value, value, value)
            self._write(f"{pick(self.rng, CLOSERS)}{sentence}.{answer}", cause)
