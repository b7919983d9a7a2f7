"""Find equal answers, so that they vote together. Pure."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from trainer.answers.grading import NUMBER, Grade, Grader, Progress
from trainer.answers.texts import normalise

RIGHT = "\0"  # the form of all right answers: they equal the reference answer, so they equal each other
Answers = Sequence[str | None]
Pair = tuple[str, str]


def answer_classes(answers: Answers, right: Sequence[bool] | None = None, *, workers: int = 2, timeout: float = 5.0) -> list[int]:
    """Return the class of each answer of one problem; see `group_answers`."""
    return group_answers([(answers, right)], workers=workers, timeout=timeout)[0]


def group_answers(
    problems: Iterable[tuple[Answers, Sequence[bool] | None]],
    *,
    workers: int = 2,
    timeout: float = 5.0,
    progress: Progress | None = None,
) -> list[list[int]]:
    """Return for each problem the class of each answer, numbered by first appearance; -1 for no answer, which equals no other.

    Two answers are equal if their normal forms are, if both are right, or if the graders call one correct with the other as reference.
    The shorter form is the reference. A class is all answers that a chain of equal ones joins. If a chain also joins two answers that are
    graded as different, then only answers with exactly the same equals share a class. So the order of the answers changes nothing but the
    numbers. Each pair of distinct forms is graded once; different numbers need no grader. An answer too costly to read has its own class.
    Raises GraderUnavailable.
    """
    ballots = [_Ballots(answers, right) for answers, right in problems]
    with Grader(workers=workers, timeout=timeout) as grader:
        # Compare each once with a harmless expression: one that exhausts the limits here would do so in every comparison.
        powers = dict.fromkeys(text for own in ballots for text in own.texts.values() if _CAN_EXPLODE.search(text))
        trial = grader.grade_answers([(text, r"\sqrt{2}+z") for text in powers])
        costly = {text for text, grade in zip(powers, trial, strict=True) if _EXHAUSTED.search(grade.reason)}
        pairs = [pair for own in ballots for pair in own.pairs(costly)]
        grades = dict(zip(pairs, grader.grade_answers(pairs, progress=progress), strict=True))
    return [own.classes(grades) for own in ballots]


_EXHAUSTED = re.compile("timed out|ran out of memory|crashed")
_CAN_EXPLODE = re.compile(r"[\^!]|\\binom|.{80}", re.S)


class _Ballots:
    """The answers of one problem as distinct normal forms, and for each form the text by which it is graded."""

    def __init__(self, answers: Answers, right: Sequence[bool] | None) -> None:
        forms = [normalise(answer) if answer and answer.strip() else None for answer in answers]
        are_right = {form for form, is_right in zip(forms, () if right is None else right, strict=right is not None) if is_right}
        self.forms = [RIGHT if form in are_right and form is not None else form for form in forms]
        self.texts: dict[str, str] = {}
        # The same text stands for a form in whatever order the answers come.
        for form, answer in sorted(zip(self.forms, answers, strict=True), key=lambda each: (len(each[1] or ""), each[1] or "")):
            if form is not None:
                self.texts.setdefault(form, (answer or "").strip())
        self.sizes = {form: _size(normalise(text)) for form, text in self.texts.items()}
        self.open: list[Pair] = []  # pairs of forms that only the graders can tell apart

    def pairs(self, costly: set[str]) -> list[Pair]:
        """Return the pairs of texts to grade, the reference last."""
        self.open = list(self._open({form for form, text in self.texts.items() if text not in costly}))
        return [self._text_pair(*pair) for pair in self.open]

    def _open(self, forms: set[str]) -> Iterator[Pair]:
        others = [form for form in forms if self.sizes[form] is None]
        numbers = sorted((size, form) for form in forms if (size := self.sizes[form]) is not None)
        for place, (size, form) in enumerate(numbers):  # only neighbors can be equal
            for near_size, near in numbers[place + 1 :]:
                if _differ(size, near_size):
                    break
                if not (NUMBER.fullmatch(normalise(self.texts[form])) and NUMBER.fullmatch(normalise(self.texts[near]))):
                    yield form, near
        for form in others:
            for _, number in numbers:
                yield form, number
        yield from combinations(others, 2)

    def _text_pair(self, one: str, other: str) -> Pair:
        reference, answer = sorted((self.texts[one], self.texts[other]), key=lambda text: (len(text), text))
        return answer, reference

    def classes(self, grades: dict[Pair, Grade]) -> list[int]:
        """Return the class of each answer."""
        equals: dict[str, set[str]] = {form: {form} for form in self.texts}
        outcomes: dict[Pair, str] = {}
        for one, other in self.open:
            outcome = outcomes[one, other] = outcomes[other, one] = grades[self._text_pair(one, other)].outcome
            if outcome == "correct":
                equals[one].add(other)
                equals[other].add(one)
        classes: dict[str, frozenset[str]] = {}
        for form in self.texts:
            if form not in classes:
                chain = _chain(form, equals)
                is_torn = any(
                    outcomes.get((one, other)) == "wrong" or _differ(self.sizes[one], self.sizes[other])
                    for one, other in combinations(chain, 2)
                )
                classes |= {member: frozenset(equals[member]) if is_torn else chain for member in chain}
        numbers: dict[frozenset[str], int] = {}
        return [-1 if form is None else numbers.setdefault(classes[form], len(numbers)) for form in self.forms]


def _chain(form: str, equals: dict[str, set[str]]) -> frozenset[str]:
    reached, new = {form}, [form]
    while new:
        more = equals[new.pop()] - reached
        reached |= more
        new += more
    return frozenset(reached)


_ROOT = r"(?:\\sqrt\{(\d{1,9})\})?(\\pi)?"
_SIZE = re.compile(
    rf"(-)?(?:\\frac\{{(-)?(?=[\d\\])(\d{{1,15}})?{_ROOT}\}}\{{(\d{{1,15}})\}}|(?=[\d\\])(\d{{1,15}}(?:\.\d{{1,15}})?)?{_ROOT})", re.ASCII
)


def _size(form: str) -> float | None:
    r"""Return the value of a simple number such as `-0.5`, `\frac{3}{4}` or `2\sqrt{3}\pi`; None for everything else."""
    if not (number := _SIZE.fullmatch(form)):
        return None
    minus, inner, above, root, pi, below, plain, plain_root, plain_pi = number.groups()
    if below and not int(below):
        return None
    size = float(above or plain or 1) * math.sqrt(int(root or plain_root or 1)) * (math.pi if pi or plain_pi else 1) / int(below or 1)
    return -size if bool(minus) != bool(inner) else size


def _differ(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) > 1e-5 * max(1.0, abs(one), abs(other))
