"""Compares two answers by their normal forms: equal, different, or not decided. Runs only in the child process."""

import contextlib
import re
import string
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

import sympy

from trainer.answers.algebra import Unreadable, are_equal, ratio
from trainer.answers.algebra import read as read_value
from trainer.answers.moments import Date, TimeOfDay
from trainer.answers.quantities import FRACTIONAL, SHORT_SCALES, is_conversion, read_unit
from trainer.answers.readings import (
    Answer,
    BaseNumeral,
    Letter,
    Ordered,
    Ratio,
    Region,
    Relation,
    Special,
    Text,
    Unordered,
    Value,
    read,
    readings,
)
from trainer.answers.rules import NO_RULES, Rules
from trainer.answers.sets import FLIPPED, flat, set_of


def compare(answer: str, reference: str, rules: Rules = NO_RULES) -> bool:
    """Tell whether two answers in normal form are the same. Raises Unreadable with the reason if that cannot be decided."""
    if answer == reference:
        return True
    doubt: Unreadable | None = None
    for first in readings(answer):
        for second in readings(reference):
            try:
                if _Comparison(rules).answers(first, second):
                    return True
            except Unreadable as unreadable:
                doubt = unreadable
    if doubt:
        raise doubt
    for one, other in ((answer, reference), (reference, answer)):
        bare, is_equal = _without_units(one), False
        with contextlib.suppress(Unreadable):
            is_equal = bare != one and compare(bare, other, rules)
        if is_equal:
            raise Unreadable("a letter right after a number can be a unit")
    for one, other in ((answer, reference), (reference, answer)):
        if (short := re.fullmatch(r"(-?\d+(?:\.\d+)?) ?([kKMB])", one)) and compare(f"{short[1]}*{SHORT_SCALES[short[2]]}", other, rules):
            raise Unreadable("a letter right after a number can stand for thousands")
    if re.sub(r"[\s,.']", "", answer) == re.sub(r"[\s,.']", "", reference):
        raise Unreadable("the two differ in punctuation only")
    return False


_AFTER_NUMBER = re.compile(r"(?<=[\d}]) ?([A-Za-z]{1,4})(?:\^[23])?(?![A-Za-z])")
_LAST_LETTERS = re.compile(r"(?<=[\d}])(?:[mslghCFp]| [A-Za-z]{2,3}\.?(?: [A-Za-z]{2,3}\.?)?)(?:\^[23])?$")


def _without_units(form: str) -> str:
    """Remove letters after numbers that can be units: those of the table, and two or three unknown ones at the end."""
    form = _LAST_LETTERS.sub(lambda letters: "" if len(letters[0]) < 3 or set(letters[0]) - set(" abcknxyz") else letters[0], form)
    return _AFTER_NUMBER.sub(lambda word: "" if len(word[1]) > 1 and read_unit(word[1]) or word[1] in "msgh" else word[0], form)


# Words around a number that change what it says: "2 or less", "1 BC", "5 km east".
_MEANING = frozenset(
    re.findall(
        r"\S+",
        """
    or and less more least most fewer few greater not no than bc bce ad ce before after base east west north south northeast northwest
    southeast southwest n s e w left right up down upward downward above below under over negative positive plus minus half third
    quarter time to from by remainder r mod modulo if when where for except only both none either neither odd even loss los lost profit
    gain gained debt increase decrease deficit surplu pm am noon morning afternoon evening night midnight clockwise counterclockwise
    anticlockwise inward outward faster slower older younger taller shorter longer ago later earlier win lose rem inclusive exclusive
    max maximum min minimum high higher low lower exactly every squared cubed square cube root dozen hundred thousand million billion
    percent first second between through until since without with per each without off owed overdrawn front back inside outside
    remaining remain extra additional another missing short wrong false true factorial twice double triple thrice opposite reciprocal
    inverse absolute unless other rest difference times mod
    """,
    )
)


def _can_be_product(word: str) -> bool:
    """Tell whether letters after a number are perhaps variables: `XY`, `pq`, `abc`. No word of a language looks like that."""
    return not re.search("[aeiouy]", word) or len(word) < 4 and word in string.ascii_lowercase or len(word) < 3


_HALF_DAY = 12 * 3600  # seconds


class _Comparison:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def answers(self, one: Answer, other: Answer) -> bool:
        if one == other:
            return True
        if one.sides and other.sides and (equal := self._equations(one.sides, other.sides)):
            return equal
        one, other = _evaluated(one), _evaluated(other)
        equal = self._quantities(one, other)
        if equal:
            if one.label and other.label and not _are_same_name(one.label, other.label):
                raise Unreadable(f"equal values of {one.label} and {other.label}")
            self._survives(one.words, other.words, "equal values")
        elif one.words != other.words or one.words and other.words:
            raise Unreadable("the words around the values differ")
        return equal

    @staticmethod
    def _survives(one: tuple[str, ...], other: tuple[str, ...], what: str) -> None:
        if one == other:
            return
        if one and other:
            raise Unreadable(f"{what}, but {' '.join(one)} is not {' '.join(other)}")
        words = one or other
        if words == ("th",):
            return
        if (_MEANING | FRACTIONAL).intersection(words) or any(_can_be_product(word) for word in words):
            raise Unreadable(f"{what}, but only one says {' '.join(words)}")

    # --- units -----------------------------------------------------------------------------------------------------------------

    def _quantities(self, one: Answer, other: Answer) -> bool:
        first, second = one.unit, other.unit
        if first == second:
            return self._bodies(one.body, other.body)
        if first and second:
            if first.dimensions == second.dimensions:
                return self._bodies(_scaled(one.body, first.factor), _scaled(other.body, second.factor))
            raise Unreadable("the units differ")
        equal = self._bodies(one.body, other.body)
        unit = first or second
        if equal or unit is None or not (isinstance(one.body, Value) and isinstance(other.body, Value)):
            return equal
        if words := one.words or other.words:
            raise Unreadable(f"only one says {' '.join(words)}")
        values = [read_value(body.text) for body in (one.body, other.body)]
        quotient = (
            None if 0 in values else sympy.nsimplify(values[0] / values[1]) if not values[0].free_symbols | values[1].free_symbols else None
        )
        if quotient is not None and quotient.has(sympy.pi) and {name for name, _ in unit.dimensions} & {"angle", "radian"}:
            raise Unreadable("degrees and radians")
        if quotient is None or not quotient.is_Rational:
            return False
        is_percent = unit.dimensions == (("percent", 1),)
        percent, plain = values if first else values[::-1]
        if is_percent and percent * unit.factor == 100 * plain:
            if self.rules.percent:
                return True
            raise Unreadable("a percentage and its value")
        if is_conversion(abs(Fraction(int(quotient.p), int(quotient.q))), unit):
            raise Unreadable("only one has a unit, and the number can be the same in another unit")
        return False

    # --- bodies ----------------------------------------------------------------------------------------------------------------

    def _bodies(self, one: Any, other: Any) -> bool:
        if one == other:
            return True
        for kinds, rule in self._rules():
            for first, second in ((one, other), (other, one)):
                if isinstance(first, kinds[0]) and isinstance(second, kinds[1]):
                    return rule(first, second)
        raise Unreadable("two kinds of answers")

    def _rules(self) -> list[tuple[tuple[Any, Any], Callable[[Any, Any], bool]]]:
        return [
            ((Letter, Letter), self._choices),
            ((Letter, object), self._choice_and_other),
            ((TimeOfDay, TimeOfDay), self._clocks),
            ((Date, Date), self._dates),
            ((BaseNumeral, BaseNumeral), self._numerals),
            ((Special, Special), self._specials),
            ((Text, Text), self._texts),
            ((Text, Value), self._text_and_value),
            ((Ratio, Ratio), self._ratios),
            ((Region, Value), self._region_and_value),
            ((Region, object), self._regions),
            ((Relation, Relation), self._relations),
            ((Relation, object), self._regions),
            ((Special, Ordered), self._regions),
            ((Special, Unordered), self._regions),
            ((Ordered, Ordered), self._rows),
            ((Unordered, Unordered), self._bags),
            ((Unordered, Ordered), self._bag_and_row),
            ((Unordered, Value), self._bag_and_value),
            ((Ordered, Value), self._row_and_value),
            ((Value, Value), self._values),
            ((BaseNumeral, Value), self._numeral_and_value),
            ((Ratio, Value), self._ratio_and_value),
        ]

    def _choices(self, one: Letter, other: Letter) -> bool:
        if one.value and other.value:
            if one.letter != other.letter or not self.answers(one.value, other.value):
                raise Unreadable("choices with different values")
            return True
        return one.letter == other.letter

    def _choice_and_other(self, one: Letter, other: Any) -> bool:
        if isinstance(other, Value) and re.fullmatch("[A-H]", other.text):
            return one.letter == other.text
        if isinstance(other, Text) and one.value is None:
            raise Unreadable("a letter and words")
        if one.value and self._quantities(one.value, Answer(other)):
            return True
        raise Unreadable("a choice and a value")

    def _clocks(self, one: TimeOfDay, other: TimeOfDay) -> bool:
        if one.seconds == other.seconds and one.half == other.half:
            return True
        if not one.half and not other.half:  # 3:30 can also be a ratio
            if one.seconds % 60 or other.seconds % 60:
                return False
            return self._ratios(*(Ratio(tuple(map(str, divmod(clock.seconds // 60, 60)))) for clock in (one, other)))
        if one.half and other.half or "24" in (one.half, other.half):
            return one.seconds == other.seconds
        if one.seconds % _HALF_DAY != other.seconds % _HALF_DAY:
            return False
        told = one if one.half else other
        if (one.precise or other.precise) and told.seconds % _HALF_DAY // 3600 in range(1, 12):
            return True  # 3:30 for 3:30 PM, as a number without its unit
        raise Unreadable("only one says a.m. or p.m.")

    def _dates(self, one: Date, other: Date) -> bool:
        if (one.month, one.day) != (other.month, other.day) or one.year and other.year and one.year != other.year:
            return False
        if one.year != other.year:
            raise Unreadable("only one says the year")
        if one.weekday and other.weekday and one.weekday != other.weekday:
            raise Unreadable("two days of the week")
        return True

    def _numerals(self, one: BaseNumeral, other: BaseNumeral) -> bool:
        if one.base == other.base:
            return one.digits == other.digits
        if int(one.digits, one.base) == int(other.digits, other.base):
            raise Unreadable("one number in two bases")
        return False

    def _numeral_and_value(self, one: BaseNumeral, other: Value) -> bool:
        value = read_value(other.text)
        if not value.is_number or value == int(one.digits, one.base) or other.text == one.digits:
            raise Unreadable("only one names a base")
        return False

    def _ratio_and_value(self, one: Ratio, other: Value) -> bool:
        parts, value = [read_value(part) for part in one.parts], read_value(other.text)
        if len(parts) != 2 or not value.is_number or are_equal(parts[0], value * parts[1]) or are_equal(parts[1], value * parts[0]):
            raise Unreadable("a ratio and a value")
        return False

    def _specials(self, one: Special, other: Special) -> bool:
        if {one.name, other.name} in ({"dne", "undefined"}, {"empty", "dne"}, {"empty", "undefined"}, {"many", "reals"}):
            raise Unreadable("two words for nearly the same")
        return one.name == other.name

    def _texts(self, one: Text, other: Text) -> bool:
        start = r"^(?:the statement is |it is (?=true|false)|on (?=\w+day)|the |an? )"
        first, second = (re.sub(start, "", text.words.strip(), flags=re.I) for text in (one, other))
        if first == second:
            return True
        names = [_is_name(text) for text in (first, second)]
        if any(names):
            if all(names) and sorted(first) != sorted(second):
                return False
            raise Unreadable("names of points")
        first, second = (" ".join(re.findall(r"[^\W_]+", text.casefold())) for text in (first, second))
        if first == second or {first, second} in _SAME:
            return True
        if {first, second} in _ALIKE or " " in first + second or first.startswith(second[:4]) or second.startswith(first[:4]):
            raise Unreadable("different words")
        return False

    def _text_and_value(self, one: Text, other: Value) -> bool:
        if re.fullmatch("[A-Za-z]{2,3}", other.text) and not re.fullmatch("[A-Z]{2,}", one.words):
            return self._texts(one, Text(other.text))
        raise Unreadable("words and a value")

    def _ratios(self, one: Ratio, other: Ratio) -> bool:
        if len(one.parts) != len(other.parts):
            return False
        first, second = ([read_value(part) for part in side.parts] for side in (one, other))
        if all(are_equal(*pair) for pair in zip(first, second, strict=True)):
            return True
        if all(are_equal(a * second[0], b * first[0]) for a, b in zip(first, second, strict=True)):
            if self.rules.unreduced:
                return True
            raise Unreadable("a ratio that is not in lowest terms")
        return False

    def _values(self, one: Value, other: Value) -> bool:
        first, second = read_value(one.text), read_value(other.text)
        if all(re.fullmatch("[A-Z]+", value.text) for value in (one, other)) and len(one.text + other.text) > 2:
            raise Unreadable("names of points")
        if all(re.fullmatch("[a-zA-Z]{3,}", value.text) for value in (one, other)):
            raise Unreadable("words or products")
        if not are_equal(first, second):
            if doubt := _doubt(one.text, other.text, first, second):
                raise Unreadable(doubt)
            if (r"\degree" in one.text) != (r"\degree" in other.text) and not re.search(
                "sin|cos|tan|cot|sec|csc|cis", one.text + other.text
            ):
                bare = [read_value(value.text.replace(r"\degree", "")) for value in (one, other)]
                if are_equal(*bare):
                    return True  # 180^\circ - a, without its unit
            if first.free_symbols != second.free_symbols and {str(s).lower() for s in first.free_symbols} == {
                str(s).lower() for s in second.free_symbols
            }:
                raise Unreadable("they differ in capital letters only")
            return False
        if not self.rules.unreduced and (_is_unreduced(one.text, other.text, first) or _is_unreduced(other.text, one.text, first)):
            raise Unreadable("a fraction that is not in lowest terms")
        return True

    # --- several parts ---------------------------------------------------------------------------------------------------------

    def _in_order(self, one: Sequence[Answer], other: Sequence[Answer]) -> bool:
        if len(one) != len(other):
            return False
        doubt = None
        for pair in zip(one, other, strict=True):
            try:
                if not self.answers(*pair):
                    return False
            except Unreadable as unreadable:
                doubt = unreadable
        if doubt:
            raise doubt
        return True

    def _in_any_order(self, one: Sequence[Answer], other: Sequence[Answer]) -> bool:
        equal = [[self._try(a, b) for b in other] for a in one]
        left = set(range(len(other)))
        for row in equal:  # equality is transitive, so the first partner is as good as any
            left.discard(next((place for place in sorted(left) if row[place]), -1))
        if not left and len(one) == len(other):
            return True
        rows = [any(row) for row in equal]
        columns = [any(row[b] for row in equal) for b in range(len(other))]
        if all(rows) and all(columns):
            raise Unreadable("a value is written twice")
        if any(all(cell is False for cell in row) for row in equal) or any(
            all(row[b] is False for row in equal) for b in range(len(other))
        ):
            return False
        raise Unreadable("not every part can be read")

    def _try(self, one: Answer, other: Answer) -> bool | None:
        try:
            return self.answers(one, other)
        except Unreadable:
            return None

    def _rows(self, one: Ordered, other: Ordered) -> bool:
        if one[:2] == other[:2]:
            if one.opening == "|":
                raise Unreadable("determinants")
            return self._in_order(one.parts, other.parts)
        if "|" in one.opening + other.opening:
            raise Unreadable("a determinant")
        if {one.opening, one.closing, other.opening, other.closing} <= set("()[]") and len(one.parts) == 2:
            return False  # an open and a closed interval
        if not self._in_order(_as_vector(one), _as_vector(other)):
            return False
        if {one.opening + one.closing, other.opening + other.closing} & {"[)", "(]"}:
            raise Unreadable("brackets that do not match")
        return True

    def _bags(self, one: Unordered, other: Unordered) -> bool:
        if any(isinstance(part.body, Relation) for part in (*one.parts, *other.parts)) or _is_mixed(one) or _is_mixed(other):
            if all(isinstance(part.body, Relation) and part.sides is None for bag in (one, other) for part in bag.parts):
                return self._regions(one, other)
            if (one.joined == other.joined or "," in (one.joined, other.joined)) and self._in_any_order(one.parts, other.parts):
                return True
            raise Unreadable("several relations")
        first, second = flat(one), flat(other)
        named = [all(part.label for part in parts) for parts in (first, second)]
        if all(named):
            places = {part.label: part for part in second}
            if set(places) != {part.label for part in first} or len(places) != len(second):
                raise Unreadable("different names")
            return self._in_order(first, [places[part.label] for part in first])
        if any(named):  # x=1, y=2 against 1, 2
            first, second = (sorted(parts, key=lambda part: part.label) for parts in (first, second))
            if self._in_order(first, second):
                return True
            raise Unreadable("only one has names")
        return self._in_any_order(first, second)

    def _bag_and_row(self, one: Unordered, other: Ordered) -> bool:
        if any(isinstance(part.body, Relation) for part in one.parts) or one.joined == "{":
            if one.joined == "{":
                raise Unreadable("a set and a tuple")
            return self._regions(one, other)
        if len(one.parts) == len(other.parts) and all(part.label for part in one.parts):  # x=1, y=2 against (1,2)
            parts = sorted(one.parts, key=lambda part: part.label)
            if self._in_order(parts, other.parts):
                return True
        raise Unreadable("a list and a tuple")

    def _bag_and_value(self, one: Unordered, other: Value) -> bool:
        written = [part.body.text for part in one.parts if isinstance(part.body, Value)]
        is_long = re.fullmatch(r"-?\d{4,}", other.text) and len(written) == len(one.parts) < 6
        if is_long and any("".join(order) == other.text for order in permutations(written)):
            raise Unreadable("30,150 can be one number")
        if re.fullmatch("[A-H]", other.text) and written[:1] == [other.text]:
            raise Unreadable("a letter can be that of a choice")
        if len(one.parts) == len(written) == 2:
            decimal = ".".join(written)
            if one.joined == "," and re.fullmatch(r"-?\d+\.\d+", decimal) and are_equal(sympy.Rational(decimal), read_value(other.text)):
                raise Unreadable("3,14 can be one number")
            if one.joined == "and" and are_equal(sum(map(read_value, written)), read_value(other.text)):
                raise Unreadable("3 and 1/2 can be one number")
        if len(flat(one)) == 1 or any(part.label or isinstance(part.body, Relation) for part in one.parts):
            raise Unreadable("a set and a value")
        parts = [read_value(text) for text in written]
        if all(are_equal(part, parts[0]) for part in parts) and parts:
            raise Unreadable("equal values and a value")
        read_value(other.text)
        return False

    def _row_and_value(self, one: Ordered, other: Value) -> bool:
        if len(one.parts) == 1 or read_value(other.text).is_Symbol:
            raise Unreadable("a row and a value")
        return False

    # --- relations and sets of numbers -------------------------------------------------------------------------------------------

    def _equations(self, one: tuple[str, str], other: tuple[str, str]) -> bool:
        try:
            factor = ratio(*(_whole(read_value(sides[0]) - read_value(sides[1])) for sides in (one, other)))
        except Unreadable:
            return False
        return factor is not None and factor != 0

    def _relations(self, one: Relation, other: Relation) -> bool:
        if one.operators == other.operators == ("=",):
            first, second = (read_value(relation.sides[0]) - read_value(relation.sides[1]) for relation in (one, other))
            if ratio(first, second) is not None:
                return True
            if all(value.is_polynomial() and value.free_symbols for value in (first, second)):
                return False
            raise Unreadable("two equations")
        if len(one.operators) == len(other.operators) == 1 and not set(one.operators + other.operators) - set(FLIPPED):
            return self._inequalities(one, other)
        if one.operators == other.operators and all(_is_same(*pair) for pair in zip(one.sides, other.sides, strict=True)):
            return True
        return self._regions(one, other)

    def _inequalities(self, one: Relation, other: Relation) -> bool:
        first, second = (read_value(relation.sides[0]) - read_value(relation.sides[1]) for relation in (one, other))
        factor = ratio(first, second)
        if factor is None or not factor.is_number:
            return self._regions(one, other)
        operator = one.operators[0] if factor.is_positive else FLIPPED[one.operators[0]]
        return bool(operator == other.operators[0])

    def _region_and_value(self, one: Region, other: Value) -> bool:
        if not read_value(other.text).is_number:
            raise Unreadable("a set of numbers and a value")
        return False

    def _regions(self, one: Any, other: Any) -> bool:
        first, second = (set_of(Answer(body)) for body in (one, other))
        if first == second:
            return True
        difference = (
            sympy.SymmetricDifference(first, second)
            if first.is_FiniteSet and second.is_FiniteSet
            else sympy.Union(first - second, second - first)
        )
        if difference.is_empty:
            return True
        if difference.is_empty is False:
            return False
        raise Unreadable("two sets")


_SHOUTED = {"yes", "no", "true", "false", "even", "odd", "none"}


def _is_name(text: str) -> bool:
    """Tell whether capitals name points, as in ABC, and are no word in capitals."""
    if not re.fullmatch("[A-Z]{2,}", text) or text.lower() in _SHOUTED:
        return False
    return len(text) < 5 or not re.search("[AEIOUY]", text) or list(text) == sorted(text)


_SAME = [{"converges", "convergent"}, {"diverges", "divergent"}, {"impossible", "not possible"}]
_ALIKE = [{"yes", "true"}, {"no", "false"}, {"yes", "correct"}, {"neither", "none"}, {"no", "none"}, {"no", "never"}]


def _whole(difference: Any) -> Any:
    """Multiply an equation by its denominator, if that is zero nowhere on the curve: y = 3/x is xy = 3."""
    above, below = sympy.fraction(sympy.together(difference))
    factors = below.free_symbols if below.is_Mul or below.is_Symbol else set()
    if not below.free_symbols or factors and all(above.subs(symbol, 0).is_nonzero for symbol in factors) and not below.is_Add:
        return above
    return difference


def _are_same_name(one: str, other: str) -> bool:
    """Tell whether two names before `=` are the same; y is f(x)."""
    one, other = sorted((one, other))
    return one == other or bool(other == "y" and re.fullmatch(r"[fgh]\(x\)", one))


_NAMED = {"phi": (1 + sympy.sqrt(5)) / 2, "tau": 2 * sympy.pi}


def _doubt(one: str, other: str, first: Any, second: Any) -> str:
    """Say why two values that differ can still be the same answer; an empty text if nothing says so."""
    for choice, text in ((one, other), (other, one)):
        if re.fullmatch("[A-H]", choice) and re.match(rf"{choice}-", text):
            return "a letter can be that of a choice"
    symbols = [sorted(value.free_symbols, key=str) for value in (first, second)]
    names = {str(symbol) for own in symbols for symbol in own}
    if names and names <= set(_NAMED) and are_equal(*(value.subs(_NAMED) for value in (first, second))):
        return "a letter can name a constant"
    old, new = (sorted(own - shared, key=str) for own in map(set, symbols) for shared in [set(symbols[0]) & set(symbols[1])])
    if old and len(old) == len(new) < 3 and not (first.is_Symbol or second.is_Symbol):
        for order in permutations(new):
            if are_equal(first.subs(dict(zip(old, order, strict=True)), simultaneous=True), second):
                return "they differ in the names of variables only"
    return ""


def _is_same(one: str, other: str) -> bool:
    return are_equal(read_value(one), read_value(other))


def _is_mixed(bag: Unordered) -> bool:
    return any(part.sides is not None and not part.label for part in bag.parts)


def _evaluated(answer: Answer) -> Answer:
    """Return the result of a calculation that is stated with it: 2+3=5."""
    body = answer.body
    if isinstance(body, Relation) and set(body.operators) <= {"=", r"\approx"}:
        values = [read_value(side) for side in body.sides]
        if answer.label and r"\approx" in body.operators:
            raise Unreadable("a value and its approximation")
        if (answer.label or all(value.is_number for value in values)) and all(are_equal(value, values[-1]) for value in values):
            return read(body.sides[-1])._replace(label=answer.label)
    return answer


def _scaled(body: Any, factor: Fraction) -> Any:
    if factor == 1:
        return body
    if isinstance(body, Value):
        return Value(f"({body.text})*({factor.numerator})/({factor.denominator})")
    if isinstance(body, Ordered | Unordered):
        return body._replace(parts=tuple(part._replace(body=_scaled(part.body, factor)) for part in body.parts))
    raise Unreadable("two units")


_FRACTION = re.compile(r"-?\\frac\{(-?\d+)\}\{(-?\d+)\}|(-?\d+)/(-?\d+)")


def _is_unreduced(text: str, other: str, value: Any) -> bool:
    """Tell whether a text is a fraction not in lowest terms, and the other one a fraction or an integer."""
    written = _FRACTION.fullmatch(text)
    if not written or not (_FRACTION.fullmatch(other) or re.fullmatch(r"-?\d+", other)):
        return False
    above, below = (abs(int(part)) for part in (written[1] or written[3], written[2] or written[4]))
    return bool(below != value.q or above != abs(value.p))


def _as_vector(row: Ordered) -> tuple[Answer, ...]:
    if row.opening != "matrix":
        return row.parts
    rows = [part.body.parts for part in row.parts if isinstance(part.body, Ordered)]
    if all(len(cells) == 1 for cells in rows):
        return tuple(cells[0] for cells in rows)
    return rows[0] if len(rows) == 1 else row.parts
