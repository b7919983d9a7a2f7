"""Spoil worked solutions by a program that sees nothing but their text, and drill bare sums: the exercises of `tiny_base`.

Pure and seeded: reads texts and a numpy Generator, gives `Exercise`s, each a text with the places where it is right or wrong. The program
knows what a sum looks like and what the answer line is called; it knows no story and none of the simulation's truth.
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
COMMON_KNOWLEDGE = (1, 2, 3, 7, 12, 60)  # numbers nobody has to be told
LARGEST = 999


class NotHere(Exception):
    """This solution gives no occasion for this corruption."""


class Worked(NamedTuple):
    """A problem and the steps of a solution without a mistake."""

    problem: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exercise:
    """A text to judge. `wrong_from[i]` is the character of step i from which it is wrong: None never, -1 as a whole."""

    problem: str
    steps: tuple[str, ...]
    wrong_from: tuple[int | None, ...]
    kind: str = ""  # the corruption


class Spoiled(NamedTuple):
    """Steps up to a corrupted one and, where it can be compared, the text it was made from."""

    before: Sequence[str]
    step: str
    original: str | None


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    if not choices:
        raise NotHere
    return choices[int(rng.random() * len(choices))]


def calculate(a: int, sign: str, b: int) -> int:
    """Do a sum, or raise NotHere when its result is no whole number that a solution would show."""
    c, rest = {"+": (a + b, 0), "-": (a - b, 0), "\\times": (a * b, 0), "\\div": divmod(a, b) if b else (0, 1)}[sign]
    if rest or not 2 <= c <= LARGEST:
        raise NotHere
    return c


def nearby(number: int, rng: np.random.Generator) -> int:
    """Get a number a little wrong: by a few, by tens, or with its digits exchanged."""
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
    """Put another sum in the place of the step's own, its operands before and its result wherever the step repeats them."""
    found, c = sum_of(step), calculate(a, sign, b)
    head = exchanged(step[: found.start()], {int(found[1]): a, int(found[3]): b})
    return f"{head}${a} {sign} {b} = {c}${exchanged(step[found.end() :], {int(found[4]): c})}"


def closest(problem: str, texts: Sequence[str], rng: np.random.Generator) -> str:
    """Draw the text whose words the problem knows best of some, so that names and things do not give a foreign one away."""
    known = set(WORD.findall(problem.lower()))
    return min((pick(rng, texts) for _ in range(24)), key=lambda text: sum(word not in known for word in WORD.findall(text.lower())))


class Pool(NamedTuple):
    """Steps of other solutions of the same subject: with one sum each, and the closing ones."""

    sums: list[str]
    closings: list[str]


def slip(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Get the result of a sum wrong."""
    i = pick(rng, [i for i, step in enumerate(steps) if " = " in step])
    step, found = steps[i], EQUATION.search(steps[i])
    if found is None:  # a number taken apart, such as 27 = 20 + 7
        number = pick(rng, list(NUMBER.finditer(step)))
        return Spoiled(steps[:i], f"{step[: number.start()]}{nearby(int(number[0]), rng)}{step[number.end() :]}", step)
    c, at = int(found[4]), found.start(4)
    return Spoiled(steps[:i], step[:at] + exchanged(step[at:], {c: nearby(c, rng)}), step)


def miscopy(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Take a number that was told or reckoned before for another one, and go on rightly from there."""
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
    """Do another sum than the words say."""
    i = pick(rng, with_sum(steps))
    found = sum_of(steps[i])
    changed = retold(steps[i], int(found[1]), pick(rng, [sign for sign in SIGNS if sign != found[2]]), int(found[3]))
    if int(sum_of(changed)[4]) == int(found[4]):
        raise NotHere
    return Spoiled(steps[:i], changed, steps[i])


def omission(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Leave a sum out and go on with one of its operands instead of its result."""
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
    """Use the numbers of a step as a step of another problem does, with another operation."""
    i = pick(rng, [i for i in with_sum(steps) if ANSWER not in steps[i]])
    own, other = sum_of(steps[i]), closest(problem, pool.sums, rng)
    theirs = sum_of(other)
    if theirs[2] == own[2] or theirs[1] == theirs[3]:
        raise NotHere
    return Spoiled(steps[:i], retold(other, int(own[1]), theirs[2], int(own[3])), None)


def premature(problem: str, steps: list[str], pool: Pool, rng: np.random.Generator) -> Spoiled:
    """Answer with a number from on the way: in the words of the question, of the step, or of another problem's answer."""
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
    """Spoil one step of a worked solution; what follows it is cut off. Raises NotHere if the text gives no occasion."""
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
    """Corrupt a `share` of (subject, worked solution) pairs and leave the others as they are."""
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
    """Write a single sum, right or with a slip: the shortest text in which sums can be learned."""
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
    """Write bare sums over told numbers, some with a slip and some with a number that was never told."""
    wanted = int(rng.integers(6, 17))
    known: list[int] = []
    told: list[int] = []
    sums: list[tuple[int, str, int, int, int]] = []  # operands, the result shown, the right one
    while len(sums) < wanted:
        try:
            a, sign, b = draw_sum(known, rng)
            c = calculate(a, sign, b)
            shown = nearby(c, rng) if rng.random() < 0.35 else c
        except NotHere:
            continue
        new = [n for n in dict.fromkeys((a, b)) if n not in known]
        told += new
        known += [*new, *([] if shown in known else [shown])]
        sums.append((a, sign, b, shown, c))
    told = [told[i] for i in rng.permutation(len(told)) if rng.random() > 0.1] or told[:1]
    seen, steps, wrong_from = {*told, *COMMON_KNOWLEDGE}, [], []
    for a, sign, b, shown, c in sums:
        step = f"${a} {sign} {b} = {shown}$."
        places = [n.start() for n in NUMBER.finditer(step)]
        wrong_from.append(next((at for at, wrong in zip(places, (a not in seen, b not in seen, shown != c), strict=True) if wrong), None))
        steps.append(step)
        seen |= {a, b, shown}
    return Exercise(" ".join(f"${n}$" for n in told), tuple(steps), tuple(wrong_from), "drill")


def draw_sum(known: Sequence[int], rng: np.random.Generator) -> tuple[int, str, int]:
    """Draw a sum of small numbers, half of the time going on from a number that is there already."""
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
