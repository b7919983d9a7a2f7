r"""Stage: calculator. Finds the sums in the text of a step, and works a sum out exactly. Knows no framework and touches no table.

simpleeval reads a sum as a syntax tree and never runs it as code. Here it knows numbers, + - * / ^ % ! ( ), roots and π, and nothing
else. Numbers are fractions, so 0.1 + 0.2 is 0.3. Only irrational results are rounded; then the result says so. Lengths and powers have
limits, so that no sum keeps a web process busy.
"""

import ast
import decimal
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from simpleeval import InvalidExpression, SimpleEval

LONGEST_SUM = 300  # characters
LONGEST_TEXT = 20_000  # of the characters of a step, so many are searched
MOST_SUMS, MOST_TRIED = 12, 100  # found in a step, and looked at
NEAR = 40  # characters before a sum that can belong to it
BITS = 10_000  # of a numerator or denominator; about 3,000 digits
LARGEST_FACTORIAL = 300
DIGITS = 12  # shown of a rounded number
SHOWN_WHOLE = 40  # digits of a whole number that is shown without rounding
SIGNS = "numbers, + - * / ^ % ! ( ), sqrt( ) and π"

Number = Fraction | Decimal
_ROUNDED = decimal.Context(prec=40, Emax=99_999, Emin=-99_999, traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow])
_PI = Decimal("3.141592653589793238462643383279502884197169")


class BadSum(ValueError):
    """A sum that cannot be worked out. The message says why."""


@dataclass(frozen=True)
class WorkedOut:
    """What a sum comes to."""

    sum: str  # as it was read
    results: tuple[str, ...]  # of each side of the equals signs
    verdict: str  # a sentence about the sides; empty if there is one side only
    is_equal: bool


def work_out(text: str) -> WorkedOut:
    """Work out a sum, or compare the two or more sides of an equation. Raises BadSum."""
    if len(text) > LONGEST_SUM:
        raise BadSum(f"The sum has {len(text):,} characters. Shorten it to {LONGEST_SUM} characters or fewer.")
    written = plain(text).replace("\n", " ").strip()
    sides = [side.strip() for side in re.split(r"=+", written)]
    if not any(sides):
        raise BadSum("There is no sum. Write one, such as 3 * (4 + 5).")
    if len(sides) > 1 and not sides[-1]:  # "3 + 4 =" asks for the result
        sides.pop()
    values = [_value_of(side) for side in sides]
    verdict, is_equal = _verdict(sides, values)
    return WorkedOut(" = ".join(sides), tuple(map(write, values)), verdict, is_equal)


def sums_in(text: str) -> list[str]:
    """Return the sums in a text that can be worked out, in their order, each once: plain text, LaTeX, or the <<48/2=24>> of GSM8K."""
    found: dict[str, None] = {}
    n_tried = 0
    read = plain(text[:LONGEST_TEXT])
    for match in _RUN.finditer(read):
        if _is_part_of_words(read, match):
            continue
        for piece in re.split(r"(?<=[\d)%!π])[ \t]+(?=[\d(.])", match[0]):
            piece = piece.strip(" \t=")
            if not _HAS_OPERATION.search(piece) or len(piece) > LONGEST_SUM or piece in found or n_tried >= MOST_TRIED:
                continue
            n_tried += 1
            try:
                work_out(piece)
            except BadSum:
                continue
            found[piece] = None
        if len(found) >= MOST_SUMS or n_tried >= MOST_TRIED:
            break
    return list(found)[:MOST_SUMS]


def write(number: Number) -> str:
    """Write a number for people: exactly where that is short, as fraction and decimal, else rounded with ≈."""
    if isinstance(number, Decimal):
        return f"≈ {_rounded(number)}"
    if number.denominator == 1:
        digits = len(str(abs(number.numerator)))
        return str(number.numerator) if digits <= SHOWN_WHOLE else f"≈ {_rounded(_as_decimal(number))}"
    fraction = f"{number.numerator}/{number.denominator}" if len(str(number.denominator)) <= DIGITS else ""
    if (exact := _terminating(number)) is not None:
        return f"{exact} = {fraction}" if fraction else exact
    rounded = f"≈ {_rounded(_as_decimal(number))}"
    return f"{fraction} {rounded}" if fraction else rounded


# --- reading ------------------------------------------------------------------------------------------------------------

_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_RUN = re.compile(rf"(?:(?:{_NUMBER}|sqrt|[-+*/^()=%!π])[ \t]*)+")
_HAS_OPERATION = re.compile(r"[\d)%!π][ \t]*[-+*/^][ \t]*[-(\d.sπ]|sqrt|\d!")
_FRACTION = re.compile(r"(?:((?<!\d)\d++)[ ]*+)?\\[dtc]?frac[ ]*(?:\{([^{}]*)\}|(\d))[ ]*(?:\{([^{}]*)\}|(\d))")
_ROOT = re.compile(r"\\sqrt[ ]*(?:\[(\d+)\])?[ ]*(?:\{([^{}]*)\}|(\d))")
_POWER = re.compile(r"\^[ ]*\{([^{}]*)\}")
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox|operatorname)[ ]*\{[^{}]*\}")
_SAME = str.maketrans(
    {"×": "*", "·": "*", "⋅": "*", "∙": "*", "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "−": "-", "–": "-", "²": "^2", "³": "^3",
     "½": "(1/2)", "¼": "(1/4)", "¾": "(3/4)", "$": " ", "€": " ", "£": " ", "¥": " ", "\xa0": " ", "≈": "\n", "&": " "}
)  # fmt: skip


def plain(text: str) -> str:
    """Return a text with its LaTeX and its signs as a sum is typed. What is no sum stays, or becomes a line break."""
    text = "".join(str(int(letter)) if letter.isdecimal() else letter for letter in text)  # digits of all scripts
    text = re.sub(r"\\(?:\$|[!,;: ])", " ", text).replace(r"\%", "%").replace("{,}", ",").translate(_SAME)
    text = re.sub(r"\\(?:[\\()\[\]])|\\[cl]?dots\b|\\approx\b", "\n", text)
    text = re.sub(r"\\(?:left|right|[bB]ig+[lr]?|displaystyle)\b|\^[ ]*\{?\\circ\}?", "", text)
    text = re.sub(r"\\(?:times|cdot|ast)\b", "*", text)
    text = re.sub(r"\\div\b", "/", text)
    text = re.sub(r"\\pi\b", "π", text)
    text = _WORDS.sub(" ", text)
    before = None
    while before != text:  # from the inside out
        before = text
        text = _POWER.sub(r"^(\1)", text)
        text = _ROOT.sub(_write_root, text)
        text = _FRACTION.sub(_write_fraction, text)
        text = re.sub(r"\\boxed[ ]*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[A-Za-z]+", " v ", text)  # what is left stands for something that is no number
    text = re.sub(r"√[ ]*(\d+(?:\.\d+)?)", r"sqrt(\1)", text).replace("√", "sqrt")
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\d)[ ]*+%[ ]*+of\b", "% *", text)
    text = re.sub(r"(?<=[\d)])[ ]*[xX][ ]*(?=[\d(])", " * ", text)
    return text.replace("**", "^")


def _write_fraction(match: re.Match[str]) -> str:
    whole, above, below = match[1], match[2] if match[2] is not None else match[3], match[4] if match[4] is not None else match[5]
    fraction = f"(({above})/({below}))"
    if not whole:
        return fraction
    is_mixed = re.fullmatch(r"\d+", above.strip()) and re.fullmatch(r"\d+", below.strip())
    return f"({whole}+{fraction})" if is_mixed else f"{whole}*{fraction}"


def _write_root(match: re.Match[str]) -> str:
    inside = match[2] if match[2] is not None else match[3]
    return f"(({inside})^(1/{match[1]}))" if match[1] else f"sqrt({inside})"


def _is_part_of_words(read: str, match: re.Match[str]) -> bool:
    """Tell whether a run of signs belongs to something with letters, such as the 2 and the "+ 3 = 7" of "2x + 3 = 7"."""
    before, after, run = read[max(0, match.start() - NEAR) : match.start()], read[match.end() : match.end() + 2], match[0].strip()
    if before[-1:].isalpha() or before[-1:] in "_}\\" and before:
        return True
    is_touched = run and match[0][-1:] not in " \t" and re.match(r"[A-Za-z](?![A-Za-z])|[_{]", after)
    begins_inside = run[:1] in "-+*/^!%" and re.search(r"(?:^|[^A-Za-z])[A-Za-z][ \t]*$", before)
    ends_inside = run[-1:] in "-+*/^"
    return bool(is_touched or begins_inside or ends_inside or run[:1] in "*/^!%")


# --- working out --------------------------------------------------------------------------------------------------------


def _value_of(side: str) -> Number:
    if not side:
        raise BadSum("A side of the equation is empty. Write a sum on both sides of =.")
    if match := re.search(r"[^-\d.+*/^%!() \tπ]+", side.replace("sqrt", "").replace("pi", "")):
        raise BadSum(f"“{match[0].strip()[:20]}” cannot be worked out. Use {SIGNS}.")
    code = _as_code(side)
    try:
        value = _Exact().eval(code)
    except ZeroDivisionError:
        raise BadSum("Nothing can be divided by zero.") from None
    except decimal.Overflow:
        raise BadSum("This number is too large.") from None
    except (
        SyntaxError,
        InvalidExpression,
        TypeError,
        ValueError,
        AttributeError,
        MemoryError,
        RecursionError,
        decimal.DecimalException,
    ) as error:
        if isinstance(error, BadSum):
            raise
        raise BadSum(_fault_of(side)) from None
    if not isinstance(value, Fraction | Decimal):
        raise BadSum(_fault_of(side))
    return value


def _as_code(side: str) -> str:
    """Return a sum as simpleeval reads it: whole numbers only, every * written."""
    code = side.replace("π", "pi")
    code = re.sub(r"(\d+)\.(?![\d.])", r"\1", code)
    code = re.sub(r"(\d*)\.(\d+)", lambda found: f"({int(found[1] + found[2])}/{10 ** len(found[2])})", code)
    code = re.sub(r"\d+", lambda found: str(int(found[0])), code)  # Python refuses 007
    code = re.sub(r"(\([\d/]+\)|\d+)[ ]*%", r"(\1/100)", code)
    code = re.sub(r"(\d+)[ ]*!", r"factorial(\1)", code)
    code = re.sub(r"(?<=[\d)i])[ ]*(?=\(|sqrt|pi|factorial)", "*", code.replace("pi(", "pi*("))
    return re.sub(r"\)[ ]*(?=\d)", ")*", code).replace("^", "**")


def _fault_of(side: str) -> str:
    opened, closed = side.count("("), side.count(")")
    if opened != closed:
        return f"The parentheses do not match: there are {opened} “(” and {closed} “)”."
    if side[-1] in "-+*/^":
        return f"The sum ends with “{side[-1]}”. Write the number that follows it."
    if re.search(r"\d[ \t]+[\d.]", side):
        return "Two numbers stand next to each other. Write a sign between them."
    return f"This is no complete sum. Use {SIGNS}."


class _Exact(SimpleEval):
    """simpleeval with the operations of a sum alone. All other kinds of nodes are refused."""

    def __init__(self) -> None:
        operators: dict[Any, Any] = {ast.Add: _add, ast.Sub: _subtract, ast.Mult: _multiply, ast.Div: _divide, ast.Pow: _power}
        operators |= {ast.USub: lambda one: -one, ast.UAdd: lambda one: one}
        super().__init__(operators=operators, functions={"sqrt": _square_root, "factorial": _factorial}, names={"pi": _PI})
        all_nodes: dict[Any, Any] = self.nodes
        kept = (ast.Expr, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name)
        self.nodes: dict[Any, Any] = {kind: all_nodes[kind] for kind in kept} | {ast.Constant: lambda node: Fraction(node.value)}


def _limited(number: Number) -> Number:
    if isinstance(number, Fraction) and max(number.numerator.bit_length(), number.denominator.bit_length()) > BITS:
        raise BadSum("This number is too large.")
    return number


def _as_decimal(number: Number) -> Decimal:
    if isinstance(number, Decimal):
        return number
    return _ROUNDED.divide(Decimal(number.numerator), Decimal(number.denominator))


def _on(exact: Callable[[Any, Any], Any], rounded: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Number, Number], Number]:
    """Return an operation that is exact on fractions, and rounds once a number is rounded."""

    def operation(left: Number, right: Number) -> Number:
        if isinstance(left, Fraction) and isinstance(right, Fraction):
            return _limited(exact(left, right))
        return rounded(_as_decimal(left), _as_decimal(right))

    return operation


def _divide_rounded(left: Decimal, right: Decimal) -> Decimal:
    if not right:
        raise ZeroDivisionError
    return _ROUNDED.divide(left, right)


_add = _on(lambda left, right: left + right, _ROUNDED.add)
_subtract = _on(lambda left, right: left - right, _ROUNDED.subtract)
_multiply = _on(lambda left, right: left * right, _ROUNDED.multiply)
_divide = _on(lambda left, right: left / right, _divide_rounded)


def _power(base: Number, exponent: Number) -> Number:
    if base == 0 and exponent < 0:
        raise ZeroDivisionError
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if exponent.denominator == 1:
            if abs(exponent) * bits > BITS and abs(base) not in (0, 1):
                raise BadSum("This power is too large.")
            return Fraction(base ** int(exponent)) if abs(base) not in (0, 1) else _power_of_one(base, int(exponent))
        if base < 0:
            raise BadSum("A root of a negative number is no real number.")
        root = _exact_root(base, exponent.denominator)
        if root is not None:
            return _power(root, Fraction(exponent.numerator))
    if base < 0:
        raise BadSum("A power of a negative number with such an exponent is no real number.")
    return _ROUNDED.power(_as_decimal(base), _as_decimal(exponent))


def _power_of_one(base: Fraction, exponent: int) -> Fraction:
    return Fraction(1) if exponent == 0 or (base == -1 and exponent % 2 == 0) else base


def _exact_root(number: Fraction, degree: int) -> Fraction | None:
    """Return the root of a fraction if it is a fraction."""
    if degree > 64:
        return None
    roots = []
    for whole in (number.numerator, number.denominator):
        near = math.isqrt(whole) if degree == 2 else round(_ROUNDED.power(Decimal(whole), _ROUNDED.divide(Decimal(1), Decimal(degree))))
        if near**degree != whole:
            return None
        roots.append(near)
    return Fraction(*roots)


def _square_root(number: Number) -> Number:
    return _power(number, Fraction(1, 2))


def _factorial(number: Number) -> Number:
    if not isinstance(number, Fraction) or number.denominator != 1 or number < 0:
        raise BadSum("Only a whole number has a factorial.")
    if number > LARGEST_FACTORIAL:
        raise BadSum(f"A factorial is worked out up to {LARGEST_FACTORIAL}!.")
    return Fraction(math.factorial(int(number)))


# --- saying it ----------------------------------------------------------------------------------------------------------


def _verdict(sides: list[str], values: list[Number]) -> tuple[str, bool]:
    if len(values) == 1:
        return "", True
    first, last = values[0], values[-1]
    if all(_is_same(first, other) for other in values[1:]):
        is_exact = all(isinstance(value, Fraction) for value in values)
        return (
            "Both sides are equal." if len(values) == 2 else "All sides are equal."
        ) if is_exact else "The sides are equal, as far as they are rounded here.", True
    if len(values) == 2 and (match := re.fullmatch(r"-?\d*(?:\.(\d+))?", sides[-1])):
        places = len(match[1] or "")
        if round(Fraction(first), places) == last:
            return f"The right side is the left side rounded to {places} decimal place{'s' if places != 1 else ''}.", True
    return "The sides are not equal.", False


def _is_same(left: Number, right: Number) -> bool:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    a, b = _as_decimal(left), _as_decimal(right)
    return abs(_ROUNDED.subtract(a, b)) <= _ROUNDED.multiply(Decimal("1e-30"), max(abs(a), abs(b)))


def _terminating(number: Fraction) -> str | None:
    """Return a fraction as a decimal number if that is exact and short."""
    for places in range(1, DIGITS + 1):
        if 10**places % number.denominator == 0:
            return f"{Decimal(number.numerator * (10**places // number.denominator)).scaleb(-places, _ROUNDED):f}"
    return None


def _rounded(number: Decimal) -> str:
    short = decimal.Context(prec=DIGITS, Emax=99_999, Emin=-99_999).plus(number).normalize()
    return f"{short:f}" if Decimal("1e-6") <= abs(short) < Decimal("1e15") or not short else f"{short:e}".lower()
