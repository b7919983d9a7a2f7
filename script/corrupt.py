"""The exercises of `tiny_base`: correct solutions with one corrupted step, and drills of single sums.

Pure and seeded: it takes texts and a numpy Generator, and makes `Exercise`s. An exercise is a text with the places where it is right or
wrong. The code knows how a sum and the answer line look. It knows no story and nothing of the simulation's truth.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")
EQUATION = re.compile(r"\$(\d+) (\+|-|\\times|\\div) (\d+) = (\d+)\$")
NUMBER, WORD = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
ANSWER = "\n\n# Answer\n\n"
SIGNS = ("+", "-", "\\times", "\\div")
CLOSERS = ("So", "Therefore,", "Thus", "This means that", "Hence")
COMMON_KNOWLEDGE = (1, 2, 3, 7, 12, 60)  # numbers that need no source
LARGEST = 999


class NotHere(Exception):
    """This corruption is not possible in this solution."""


class Worked(NamedTuple):
    """A problem and the steps of a correct solution."""

    problem: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exercise:
    """A text to judge. `wrong_from[i]` is the first wrong character of step i. None: nothing is wrong; -1: the whole step is wrong."""

    problem: str
    steps: tuple[str, ...]
    wrong_from: tuple[int | None, ...]
    kind: str = ""  # the corruption


class Spoiled(NamedTuple):
    """The steps up to a corrupted one, and its original text if the two can be compared."""

    before: Sequence[str]
    step: str
    original: str | None


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    if not choices:
        raise NotHere
    return choices[int(rng.random() * len(choices))]


def calculate(a: int, sign: str, b: int) -> int:
    """Return the result of a sum. Raises NotHere if it is not a whole number that a solution would show."""
    c, rest = {"+": (a + b, 0), "-": (a - b, 0), "\\times": (a * b, 0), "\\div": divmod(a, b) if b else (0, 1)}[sign]
    if rest or not 2 <= c <= LARGEST:
        raise NotHere
    return c


def nearby(number: int, rng: np.random.Generator) -> int:
    """Return a slightly wrong number: off by a few or by tens, or with its digits reversed."""
    near = int(str(number)[::-1]) if rng.random() < 0.15 else number + pick(rng, (-1, 1, -2, 2, 3, -3, 5, -5, 10, -10, 20, -20))
    if near == number or not 2 <= near <= LARGEST:
        raise NotHere
    return near


def numbers(*texts: str) -> list[int]:
    return [int(number) for text in texts for number in NUMBER.findall(text)]


def exchanged(text: str, new: dict[int, int]) -> str:
    return NUMBER.sub(lambda found: str(new.get(int(found[0]), int(found[0]))), text)


def with_sum(steps: Sequence[str]) -> list[int]:
    return [i for i, step in enumerate(steps) if EQUATION.search(step)]


def sum_of(step: str) -> re.Match[str]:
    found = EQUATION.search(step)
    if found is None:
        raise NotHere
    return found


def retold(step: str, a: int, sign: str, b: int) -> str:
    """Replace the sum of a step, its operands before the sum, and its result wherever the step repeats them."""
    found, c = sum_of(step), calculate(a, sign, b)
    head = exchanged(step[: found.start()], {int(found[1]): a, int(found[3]): b})
    return f"{head}${a} {sign} {b} = {c}${exchanged(step[found.end() :], {int(found[4]): c})}"


def closest(problem: str, texts: Sequence[str], rng: np.random.Generator) -> str:
    """Draw some texts and return the one that shares most words with the problem, so that names do not give a foreign text away."""
    known = set(WORD.findall(problem.lower()))
    return min((pick(rng, texts) for _ in range(24)), key=lambda text: sum(word not in known for word in WORD.findall(text.lower())))


class Pool(NamedTuple):
    """Steps of other solutions of the same subject: those with one sum, and the last ones."""

    sums: list[str]
    closings: list[str]


def slip(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Change the result of a sum."""
    i = pick(rng, [i for i, step in enumerate(steps) if " = " in step])
    step, found = steps[i], EQUATION.search(steps[i])
    if found is None:  # a number split into parts, such as 27 = 20 + 7
        number = pick(rng, list(NUMBER.finditer(step)))
        return Spoiled(steps[:i], f"{step[: number.start()]}{nearby(int(number[0]), rng)}{step[number.end() :]}", step)
    c, at = int(found[4]), found.start(4)
    return Spoiled(steps[:i], step[:at] + exchanged(step[at:], {c: nearby(c, rng)}), step)


def miscopy(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Confuse a number that was given or computed before with another one, and continue correctly."""
    i = int(rng.random() * len(steps))
    step, known, found = steps[i], numbers(problem, *steps[:i]), EQUATION.search(steps[i])
    old = pick(rng, [n for n in ((int(found[1]), int(found[3])) if found else numbers(step)) if n in known or n in COMMON_KNOWLEDGE])
    new = pick(rng, known) if rng.random() < 0.4 else nearby(old, rng)
    if new == old or new < 2:
        raise NotHere
    if found is None:
        return Spoiled(steps[:i], exchanged(step, {old: new}), step)
    a, b = (new if n == old else n for n in (int(found[1]), int(found[3])))
    return Spoiled(steps[:i], retold(step, a, found[2], b), step)


def operation(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Use another operation than the words say."""
    i = pick(rng, with_sum(steps))
    found = sum_of(steps[i])
    changed = retold(steps[i], int(found[1]), pick(rng, [sign for sign in SIGNS if sign != found[2]]), int(found[3]))
    if int(sum_of(changed)[4]) == int(found[4]):
        raise NotHere
    return Spoiled(steps[:i], changed, steps[i])


def omission(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Leave a sum out and continue with one of its operands instead of its result."""
    k = pick(rng, [i for i in with_sum(steps) if ANSWER not in steps[i]])
    found = sum_of(steps[k])
    c, kept = int(found[4]), int(found[1] if rng.random() < 0.8 else found[3])
    if c == kept or c in numbers(problem, *steps[:k]):
        raise NotHere
    rest = steps[:k] + steps[k + 1 :]
    i = next((i for i in range(k, len(rest)) if c in numbers(rest[i])), None)
    if i is None:
        raise NotHere
    if ANSWER in rest[i] and not EQUATION.search(rest[i]):
        return Spoiled(rest[:i], exchanged(rest[i], {c: kept}), rest[i])
    goes_on = sum_of(rest[i])
    a, b = (kept if n == c else n for n in (int(goes_on[1]), int(goes_on[3])))
    return Spoiled(rest[:i], retold(rest[i], a, goes_on[2], b), rest[i])


def foreign(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Use the numbers of a step in the step of another problem, with another operation."""
    i = pick(rng, [i for i in with_sum(steps) if ANSWER not in steps[i]])
    own, other = sum_of(steps[i]), closest(problem, pool.sums, rng)
    theirs = sum_of(other)
    if theirs[2] == own[2] or theirs[1] == theirs[3]:
        raise NotHere
    return Spoiled(steps[:i], retold(other, int(own[1]), theirs[2], int(own[3])), None)


def premature(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Answer with an intermediate number, in the words of the question, of the step, or of another problem's answer."""
    sums = with_sum(steps)
    k = pick(rng, sums[:-1] if ANSWER in steps[sums[-1]] or rng.random() < 0.8 else sums)
    c, last, way = int(sum_of(steps[k])[4]), numbers(steps[-1])[-1], rng.random()
    closing = steps[-1].partition(ANSWER)[0]
    if EQUATION.search(closing) or (way < 0.5 and c == last):
        raise NotHere
    if way < 0.3:
        sentence = exchanged(closing, {last: c})
    elif way < 0.5:
        clause = EQUATION.sub(lambda found: f"${found[4]}$", steps[k].rstrip("."))
        sentence = f"{pick(rng, CLOSERS)} {clause[0].lower()}{clause[1:]}."
    else:
        other, _, theirs = closest(problem, pool.closings, rng).partition(ANSWER)
        if EQUATION.search(other) or other.split()[-2:] == closing.split()[-2:]:
            raise NotHere
        sentence = exchanged(other, {int(theirs): c})
    stop = k + 1 if rng.random() < 0.7 else len(steps) - 1
    return Spoiled(steps[:stop], f"{sentence}{ANSWER}{c}", None)


CORRUPTIONS: tuple[tuple[Callable[[str, list[str], Pool, np.random.Generator], Spoiled], float], ...] = (
    (slip, 0.22),
    (miscopy, 0.20),
    (operation, 0.16),
    (omission, 0.14),
    (foreign, 0.12),
    (premature, 0.16),
)


def corrupt(worked: Worked, pool: Pool, *, rng: np.random.Generator) -> Exercise:
    """Corrupt one step of a correct solution and cut off what follows. Raises NotHere if no corruption is possible."""
    makes, shares = zip(*CORRUPTIONS, strict=True)
    for _ in range(50):
        make = makes[int(np.searchsorted(np.cumsum(shares), rng.random() * sum(shares)))]
        try:
            before, step, original = make(worked.problem, list(worked.steps), pool, rng)
        except NotHere:
            continue
        at = -1 if original is None else len(os.path.commonprefix([step, original]))
        return Exercise(worked.problem, (*before, step), (*(None,) * len(before), at), make.__name__)
    raise NotHere


def exercises(solutions: Sequence[tuple[str, Worked]], *, rng: np.random.Generator, share: float = 0.8) -> Iterator[Exercise]:
    """Corrupt a `share` of the (subject, correct solution) pairs and leave the others unchanged."""
    pools: dict[str, Pool] = {}
    for subject, worked in solutions:
        pool = pools.setdefault(subject, Pool([], []))
        pool.sums.extend(s for s in worked.steps if len(EQUATION.findall(s)) == 1 and ANSWER not in s and "check" not in s)
        pool.closings.append(worked.steps[-1])
    for subject, worked in solutions:
        if rng.random() < share:
            try:
                yield corrupt(worked, pools[subject], rng=rng)
                continue
            except NotHere:
                pass
        yield Exercise(worked.problem, worked.steps, (None,) * len(worked.steps))


def one_sum(rng: np.random.Generator) -> Exercise:
    """Return a single sum, right or wrong: the shortest text from which sums can be learned."""
    while True:
        try:
            a, sign, b = draw_sum((), rng)
            c = calculate(a, sign, b)
            shown = nearby(c, rng) if rng.random() < 0.45 else c
        except NotHere:
            continue
        step = f"${a} {sign} {b} = {shown}$."
        return Exercise("", (step,), (None if shown == c else step.index("= ") + 2,), "one_sum")


def drill(rng: np.random.Generator) -> Exercise:
    """Return sums over given numbers. Some have a wrong result, and some use a number that was not given."""
    wanted = int(rng.integers(6, 17))
    known: list[int] = []
    given: list[int] = []
    sums: list[tuple[int, str, int, int, int]] = []  # operands, the result shown, the right one
    while len(sums) < wanted:
        try:
            a, sign, b = draw_sum(known, rng)
            c = calculate(a, sign, b)
            shown = nearby(c, rng) if rng.random() < 0.35 else c
        except NotHere:
            continue
        new = [n for n in dict.fromkeys((a, b)) if n not in known]
        given += new
        known += [*new, *([] if shown in known else [shown])]
        sums.append((a, sign, b, shown, c))
    given = [given[i] for i in rng.permutation(len(given)) if rng.random() > 0.1] or given[:1]
    seen, steps, wrong_from = {*given, *COMMON_KNOWLEDGE}, [], []
    for a, sign, b, shown, c in sums:
        step = f"${a} {sign} {b} = {shown}$."
        places = [n.start() for n in NUMBER.finditer(step)]
        wrong_from.append(next((at for at, wrong in zip(places, (a not in seen, b not in seen, shown != c), strict=True) if wrong), None))
        steps.append(step)
        seen |= {a, b, shown}
    return Exercise(" ".join(f"${n}$" for n in given), tuple(steps), tuple(wrong_from), "drill")


def draw_sum(known: Sequence[int], rng: np.random.Generator) -> tuple[int, str, int]:
    """Draw a sum of small numbers. More than half of them use a number that is known already."""
    sign, small = pick(rng, ("+", "+", "+", "-", "-", "-", "\\times", "\\div")), int(rng.integers(2, 13))
    middle, a = int(rng.integers(2, 61)), int(rng.integers(2, 241))
    if known and rng.random() < 0.6:
        a = pick(rng, known)
    if sign == "+":
        return (a, sign, middle) if rng.random() < 0.7 else (middle, sign, a)
    if sign == "-":
        return a, sign, pick(rng, known) if known and rng.random() < 0.3 else middle
    if sign == "\\times":
        return (a if a <= 60 else middle), sign, small
    return small * middle, sign, small
