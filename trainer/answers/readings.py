r"""Reads an answer in normal form as what it is: a number with a unit, a list, an interval, an equation, a time, a choice. Pure.

`read` splits the text and never drops a part in silence: a name before `=`, a unit and words around a number are kept next to the value,
so that `comparing.py` can look at them again.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from trainer.answers.moments import Date, TimeOfDay, read_date, read_time
from trainer.answers.quantities import SCALES, SHORT_SCALES, Unit, is_letter, read_ordinal, read_unit, read_words


class Value(NamedTuple):
    """An expression."""

    text: str


class Ordered(NamedTuple):
    """A tuple, vector or interval: parts in order between two brackets. A matrix is a row of rows."""

    opening: str
    closing: str
    parts: "tuple[Answer, ...]"


class Unordered(NamedTuple):
    """Several values in any order: a set, or a list such as the roots of an equation. `joined` is `and`, `or`, `,` or `{`."""

    joined: str
    parts: "tuple[Answer, ...]"


class Relation(NamedTuple):
    """An inequality, or an equation whose left side is no name."""

    operators: tuple[str, ...]
    sides: tuple[str, ...]


class Region(NamedTuple):
    """Sets joined by `cup`, `cap` or `setminus`."""

    operators: tuple[str, ...]
    parts: "tuple[Answer, ...]"


class Text(NamedTuple):
    """Words, or the name of points."""

    words: str


class Special(NamedTuple):
    """What people write in words or with one sign: no solution, all real numbers."""

    name: str


class Letter(NamedTuple):
    """A letter of a multiple choice, with the value that follows it, if any."""

    letter: str
    value: "Answer | None"


class BaseNumeral(NamedTuple):
    """A numeral in a base."""

    digits: str
    base: int


class Ratio(NamedTuple):
    """1:2."""

    parts: tuple[str, ...]


Body = Value | Ordered | Unordered | Relation | Region | Text | Special | Letter | TimeOfDay | Date | BaseNumeral | Ratio


class Answer(NamedTuple):
    """An answer and what stands around its value.

    `label` is the name before `=`, `words` are those that are no unit, and `sides` are those of an equation.
    """

    body: Body
    label: str = ""
    unit: Unit | None = None
    words: tuple[str, ...] = ()
    sides: tuple[str, str] | None = None


_SPECIALS = {
    "empty": re.compile(
        r"\\emptyset|\\\{\\\}|(?:there (?:is|are) )?no (?:real )?(?:solutions?|roots?)(?: exists?)?|none|(?:the )?(?:empty|null) set", re.I
    ),
    "reals": re.compile(r"\\mathbb\{R\}|(?:the set of )?all real (?:numbers|values|x)|(?:all |the )?reals?(?: numbers)?", re.I),
    "dne": re.compile(r"d\.?n\.?e|(?:the limit )?(?:does not|doesn't) exist", re.I),
    "undefined": re.compile(r"undefined|not defined|indeterminate", re.I),
    "many": re.compile(r"infinitely many(?: solutions)?|infinite solutions|(?:an )?infinite number of solutions", re.I),
}


def _pieces(text: str) -> list[tuple[str, int]]:
    """Cut a text into commands, escaped signs and characters, each with the depth of brackets around it."""
    depth, pieces = 0, []
    for match in re.finditer(r"\\begin\{\w+\}|\\end\{\w+\}|\\[a-zA-Z]+|\\.|.", text, re.S):
        token = match[0]
        if token in (")", "]", "}", r"\}", r"\rangle") or token.startswith(r"\end"):
            depth -= 1
        pieces.append((token, depth))
        if token in ("(", "[", "{", r"\{", r"\langle") or token.startswith(r"\begin"):
            depth += 1
    return pieces


def _split(text: str, *separators: str) -> tuple[list[str], list[str]]:
    """Split a text at separators outside brackets. Return the parts and the separators between them."""
    parts, between = [""], list[str]()
    for token, depth in _pieces(text):
        if depth == 0 and token in separators:
            between.append(token)
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts], between


# --- labels ----------------------------------------------------------------------------------------------------------------------

_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|chi|psi|omega"
    r"|Delta|Omega|Sigma|Phi|Gamma|ell)"
)
_INDEX = r"(?:_(?:\w|\{[^{}]*\}))?'*"
_VARIABLE = rf"(?:[a-zA-Z]|{_GREEK}){_INDEX}"
_LABEL = re.compile(
    rf"""{_VARIABLE}
    | {_VARIABLE}(?:\^\{{?-?\w\}}?)?'*\((?:[^()]*)\)            # f(x), P(A), f^{{-1}}(x)
    | E\[[^\[\]]*\]
    | \|?(?:m?\\angle\ ?|\\triangle\ ?|\\overline\{{|\\vec\{{|\\overrightarrow\{{)?[A-Z]{{1,5}}'*\}}?\|?   # AB, m\angle ABC, |AB|
    | [A-Za-z][A-Za-z'\ ]*[a-z]{{2,}}[A-Za-z'\ ]*               # Area, the sum of the roots
    | \[[A-Z]{{3,6}}\]                                          # an area
    | {_VARIABLE}(?::{_VARIABLE})+                             # a:b
    | (?:\\mathbb\{{E\}}|[A-Z][a-z]{{2,3}})[(\[][^()\[\]]*[)\]]   # Var(X)
    | [a-zA-Z]\([a-zA-Z]\([^()]*\)\) | \([a-z](?:\\circ\ ?[a-z])+\)\([a-z]\)   # f(g(x))
    | [A-Za-z][A-Za-z'\ ]*\\(?:triangle|angle)\ ?[A-Z]{{1,5}} | \\lim_?\{{[^{{}}]*\}}[^=]{{1,60}}
    | \\frac\{{d\ ?[a-z]\}}\{{d\ ?[a-z]\}} | d[a-z]/d[a-z]
    | \\?(?:sin|cos|tan|cot|sec|csc|angle|vec|hat|bar|overline|mathbf)\ ?\{{?(?:{_VARIABLE}|[A-Z]{{1,3}})\}}?
    | \((?:{_VARIABLE})(?:,{_VARIABLE})+\)                      # (x,y)
    """,
    re.X,
)


def canonical_label(label: str) -> str:
    """Return the form in which two labels are compared."""
    label = re.sub(
        r"^(?:the|The) ", "", re.sub(r"\\(?:angle|overline|triangle|vec|overrightarrow|mathbf)\b|[|{} ]|m(?=\\angle)", "", label)
    )
    return label.lower() if len(label) > 3 and label[1:].islower() else label


# "half of x = 5" does not say that x is 5.
_CHANGED = re.compile(r"(?i)\b(?:not|no|minus|negative|twice|double|half|third|triple|thrice|if|when|opposite|inverse|reciprocal)\b")

# --- reading ---------------------------------------------------------------------------------------------------------------------

_BASES = {
    "two": 2, "binary": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "sixteen": 16,
}  # fmt: skip
_NUMERAL = re.compile(r"\(?([0-9A-F]+)\)?(?:_\{?\(?(?:base )?(\d{1,2}|[a-z]+)\)?\}?|(?:,? ?\(?)(?:in )?base[ -]?(\d{1,2}|[a-z]+)\)?)")
_MONEY = re.compile(r"(-?)(?:US|U\.S\.|A|C|CAD ?)?(\\?\$|[£€₹¥₩]|(?:USD|CAD|AUD|EUR|GBP|INR|Rs\.?|RMB) ?)(?=[\d.\\-])(.*)")
_CURRENCIES = {"$": "dollar", "₹": "rupee", "¥": "yen"}  # the others are names of units
_RELATIONS = ("=", "<", ">", r"\ne", r"\le", r"\ge", r"\in", r"\notin", r"\approx", r"\equiv", r"\sim", r"\to", r"\subset", r"\subseteq",
              r"\propto", r"\implies", r"\iff", r"\Rightarrow")  # fmt: skip
_FUNCTIONS = (
    r"(?:sin|cos|tan|cot|sec|csc|cis|ln|log|exp|lg|sqrt|arcsin|arccos|arctan|arctg|asin|acos|atan|arccot|arcsec|arccsc|coth|sgn|sinh|cosh|tanh"
    r"|abs|floor|ceil|max|min|gcd|lcm|mod|pi|det)"
)
_ENDED = r"(?:[\d)}\]!|%']|\\pi|\\infty)"
_UNIT_START = r"(?:\\degree ?[CF]\b|\\degree (?:[Cc]elsius|[Ff]ahrenheit)|\\degree|[^\W\d_]|[%‰¢€£₹¥₩])"
_UNIT_END = re.compile(rf"(.*{_ENDED})( ?)({_UNIT_START}(?:[^\W_]|[\^{{}}/*.\\ %'-])*)")
_NUMBER_WORDS = re.compile(r"([A-Za-z-]+(?: [A-Za-z-]+)*)")
_COMPOUND = re.compile(r"(\d+(?:\.\d+)?|\d*\\frac\{\d+\}\{\d+\}) ?([A-Za-z¢]+\.?|'{1,2}|\\degree)(?:,? and |, ?| )?")
_NAMES = {"yes", "no", "true", "false", "none", "odd", "even", "red", "blue", "tie", "both", "never", "always", "sometimes", "neither"}


def read(form: str) -> Answer:
    """Read an answer in normal form."""
    return _read(form, 0)


def readings(form: str) -> list[Answer]:
    """Return all readings of an answer that can have two: `2 m` is two metres, or a product."""
    first = read(form)
    second = _last_letter_as_variable(form)
    return [first] if second is None else [first, second]


def _last_letter_as_variable(form: str) -> Answer | None:
    ended = _UNIT_END.fullmatch(form)
    if ended and is_letter(ended[3]) and read_unit(ended[3]):
        return Answer(Value(form))
    return None


@lru_cache(maxsize=4096)
def _read(text: str, depth: int) -> Answer:
    text = text.strip()
    if depth > 20 or not text:
        return Answer(Value(text))
    text = re.sub(
        r"^(?:(?:[Tt]he|[Ss]o|[Tt]hus|[Ff]inal|[Cc]orrect|[Mm]y|[Oo]ur) )*(?:[Aa]nswer|[Cc]hoice|[Oo]ption|[Rr]esult) (?:is|are):? ?",
        "",
        text,
    )
    text = re.sub(
        r"^(?:[Ss]o|[Tt]hus|[Hh]ence|[Tt]herefore|[Tt]hen|\\(?:Rightarrow|implies|therefore)) ?,? ?(?=[a-zA-Z\d\\$(-] ?(?:[=<>_\d(\\.]|$))",
        "",
        text,
    )
    text = re.sub(r"^(?:[Tt]he|[Ii]n|[Oo]n|\\sim) ?(?=[\d$])|^(?:for )?(?:all|any|every) (?=[a-z] ?(?:[<>=]|\\[gln]e))", "", text)
    text = re.sub(r"^([A-Za-z][A-Za-z' ]*) (?:is|are|equals?)(?: equal to)? (?=-?[\d\\$])", _named, text)
    if stated := re.fullmatch(
        r"(?i)(yes|no|true|false)[,.!;:] ?(?:it|that|this|they|there|he|she|we|you)(?: (?!if|when|only|but|not only)[a-z']+){1,3}", text
    ):
        return Answer(Text(stated[1]))
    text = re.sub(r"^(?:positive|plus) (?=\d|\\)", "", re.sub(r"^(?:negative|minus|Negative|Minus) (?=\d|\\)", "-", text))
    text = re.sub(r"(?<=[\d}]) ?\(([A-Za-z]{4}[A-Za-z .]*|(?:[kcm]?m|kg|ft|mi|min|hrs?|sec)(?:\^[23])?)\)$", r" \1", text)
    if domain := _DOMAIN.fullmatch(text):
        inside = _read(domain[1], depth + 1)
        return inside._replace(sides=None, words=(*inside.words, "integer" if "Z" in domain[0] or "integer" in domain[0] else "natural"))
    plain = text.rstrip(".")
    for name, pattern in _SPECIALS.items():
        if pattern.fullmatch(plain):
            return Answer(Special(name))
    if rest := re.fullmatch(
        r"(?i)(?:x can be )?(?:any|all) real numbers?(?: x)? (?:except|but|other than)(?: for)? (?:x ?= ?)?(.+)", plain
    ):
        return Answer(Region(("\\setminus",), (Answer(Special("reals")), Answer(Unordered("{", (_read(rest[1], depth + 1),))))))
    for whole in (_choice, _numeral, _moment, _in_words, _compound):
        if (answer := whole(text)) is not None:
            return answer
    for split in (_matrix, _several, _relation, _region, _bracketed, _money, _plus_minus, _ratio, _quantity):
        if (answer := split(text, depth + 1)) is not None:
            return answer
    return _words(text) or Answer(Value(text))


def _choice(text: str) -> Answer | None:
    if named := re.fullmatch(r"(?i:option|choice|answer)s?:? ?\(?([A-Ha-h])\)?[.:]?", text):
        return Answer(Letter(named[1].upper(), None))
    if wrapped := re.fullmatch(
        r"(?:(\()|\[)([A-H])(?(1)\)|\])(?:[.:]? ?((?!and\b|or\b)[^\s^_'(){}+*/=,;<>!\\-].*|\\(?!cup|cap|setminus).*|-.*|\(.*))?", text
    ):
        return Answer(Letter(wrapped[2], _read(wrapped[3], 1) if wrapped[3] else None))
    if marked := re.fullmatch(r"([A-H])(?:\)|[.:](?![A-Za-z]))(?: ?(.+))?", text):
        return Answer(Letter(marked[1], _read(marked[2], 1) if marked[2] else None))
    if small := re.fullmatch(r"\(([a-h])\)(?: (-?[\d\\$].*))?|([a-h])\)", text):
        return Answer(Letter((small[1] or small[3]).upper(), _read(small[2], 1) if small[2] else None))
    return None


def _numeral(text: str) -> Answer | None:
    if prefixed := re.fullmatch(r"0(?:x([\da-fA-F]+)|b([01]+))", text):
        return Answer(BaseNumeral((prefixed[1] or prefixed[2]).upper().lstrip("0") or "0", 16 if prefixed[1] else 2))
    if written := re.fullmatch(r"([\da-f]*\d[\da-f]*|[a-f]{2})_\{?16\}?", text):
        return Answer(BaseNumeral(written[1].upper().lstrip("0") or "0", 16))
    if not (written := _NUMERAL.fullmatch(text)) or not re.search(r"\d", written[1]) and len(written[1]) < 2:
        return None
    name = written[2] or written[3]
    base = int(name) if name.isdigit() else _BASES.get(name.lower(), 0)
    digits = written[1].lstrip("0") or "0"
    if not 2 <= base <= 16 or any(int(digit, 16) >= base for digit in digits):
        return None
    return Answer(BaseNumeral(digits, base))


def _moment(text: str) -> Answer | None:
    moment = read_time(text) or read_date(text)
    return None if moment is None else Answer(moment)


def _in_words(text: str) -> Answer | None:
    """Read `five`, `two thirds`, `5th`, `five hours`."""
    if percentage := re.fullmatch(r"([A-Za-z][A-Za-z -]*)%", text):
        number = read_words(percentage[1])
        return None if number is None else Answer(Value(_written(number)), unit=read_unit("%"))
    if nth := re.fullmatch(r"([a-z])(?:\^\{?)?th\}?", text):
        return Answer(Value(nth[1]), words=("th",))
    if (ordinal := read_ordinal(text)) is not None and read_words(text) is None:
        return Answer(Value(str(ordinal)), words=("th",))
    if (single := re.fullmatch(r"an? ([a-z]+)", text)) and (unit := read_unit(single[1])):
        return Answer(Value("1"), unit=unit)
    if part := re.fullmatch(r"(\d+|[A-Za-z]+) (?:in|out of)(?: every)? (\d+|[A-Za-z]+)", text):
        numbers = [Fraction(number) if number.isdecimal() else read_words(number) for number in part.groups()]
        if numbers[0] is not None and numbers[1]:
            return Answer(Value(f"\\frac{{{numbers[0]}}}{{{numbers[1]}}}"))
    words = text.split(" ")
    if not _NUMBER_WORDS.fullmatch(text):
        return None
    for count in range(len(words), 0, -1):
        if (number := read_words(" ".join(words[:count]))) is not None:
            rest = re.sub(r"^(?:of )?an? ", "", " ".join(words[count:]))
            unit = read_unit(rest) if rest else None
            return Answer(Value(_written(number)), unit=unit, words=() if unit or not rest else _word_list(rest))
    return None


def _written(number: Fraction) -> str:
    sign, number = "-" if number < 0 else "", abs(number)
    return f"{sign}{number}" if number.denominator == 1 else f"{sign}\\frac{{{number.numerator}}}{{{number.denominator}}}"


def _compound(text: str) -> Answer | None:
    """Read `2 hours 30 minutes`, `3 dollars and 50 cents`, `5'10''` as one quantity."""
    text = re.sub(r"(?<=\\degree)(\d+)'$", r" \1 arcmin", text)
    pairs = list(_COMPOUND.finditer(text))
    if len(pairs) < 2 or "".join(pair[0] for pair in pairs) != text:
        return None
    units = [read_unit(pair[2]) for pair in pairs]
    if units[0] and units[0].dimensions == (("time", 1),):
        units[1:] = [read_unit("min") if pair[2] == "m" else unit for pair, unit in zip(pairs[1:], units[1:], strict=True)]
    if any(unit is None or unit.dimensions != units[0].dimensions for unit in units) or len({unit for unit in units}) < len(units):  # type: ignore[union-attr]
        return None
    total = "+".join(
        f"({pair[1]})*({unit.factor.numerator})/({unit.factor.denominator})" for pair, unit in zip(pairs, units, strict=True) if unit
    )
    return Answer(Value(total), unit=Unit(units[0].dimensions, Fraction(1)))  # type: ignore[union-attr]


_DOMAIN = re.compile(
    r"(.*[^,(]),? ?\(?,?(?:(?:where|with|for)(?: (?:any|all|some))? )?"
    r"(?:integers? [kmn]|[kmn] ?(?:\\in ?\\mathbb\{[ZN]\}|is an(?:y)? integer))\)?"
)  # x = 2k\pi, k \in Z


def _named(start: re.Match[str]) -> str:
    """Write `x is 5` as `x=5`; `half of it is 5` stays."""
    if _CHANGED.search(start[1]):
        return start[0]
    return "" if start[1].lower() in ("it", "this", "that", "there") else f"{start[1]}="


_MATRIX = re.compile(r"\\begin\{([pbBvV]?matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}")


def _matrix(text: str, depth: int) -> Answer | None:
    if inside := re.fullmatch(r"([(\[])(\\begin\{(?:array|matrix)\}.*\\end\{(?:array|matrix)\})[)\]]", text):
        text = inside[2]
    if (scaled := re.fullmatch(r"(-|[^&,;=()\[\]]+?) ?(\\begin\{[pb]matrix\}.*)", text)) and r"\begin" not in scaled[1]:
        unscaled = _matrix(scaled[2], depth)
        return unscaled and unscaled._replace(body=_multiplied("-1" if scaled[1] == "-" else scaled[1], unscaled.body))
    if not (matrix := _MATRIX.fullmatch(text)) or r"\begin" in matrix[2]:
        return None
    rows = [row.strip() for row in matrix[2].split("\\\\") if row.strip()]
    kind = "|" if matrix[1] == "vmatrix" else "matrix"
    return Answer(Ordered(kind, kind, tuple(
        Answer(Ordered("row", "row", tuple(_read(cell, depth) for cell in row.split("&")))) for row in rows
    )))  # fmt: skip


def _multiplied(factor: str, body: Any) -> Any:
    if isinstance(body, Ordered):
        return body._replace(parts=tuple(part._replace(body=_multiplied(factor, part.body)) for part in body.parts))
    return Value(f"({factor})*({body.text})") if isinstance(body, Value) else body


def _several(text: str, depth: int) -> Answer | None:
    if cases := re.fullmatch(r"\\begin\{(?:cases|aligned|array)\}(?:\{[^{}]*\})?(.*)\\end\{(?:cases|aligned|array)\}", text):
        text = ",".join(part.replace("&", "") for part in cases[1].split("\\\\") if part.strip())
    text = re.sub(r"(?<=[\d)}\]]) (?:and|&) (?=\\frac|\d+/\d)", r" and ", text)
    text = re.sub(r"^(?:[Ee]ither|[Bb]oth) ", "", text)
    if "\\begin" not in text:
        text = re.sub(r"(?<=\w) ?& ?(?=\w)", " and ", text)
    text = re.sub(r"\\cup ?(?=[a-z](?:[<>=]|\\[gl]e(?![a-z])))", " or ", text)
    text = re.sub(r" (?:und|oder|ou|et|или|и) |或者?|和|または", " or ", text)
    text = re.sub(r",? ?(?:\\lor|(?<![a-zA-Z])or)(?![a-zA-Z]) ?", "\x01", text)
    text = re.sub(r",? ?(?:\\land|(?<![a-zA-Z])and)(?![a-zA-Z]) ?| ?\\& ?", "\x02", text)
    parts, between = _split(text, ",", ";", "\x01", "\x02")
    if len(parts) < 2 or any(not part for part in parts):
        return None
    if parts[-1].split(" ")[0] in ("less", "more", "fewer", "greater", "above", "below", "under", "over", "higher", "lower"):
        return Answer(Text(text.replace("\x01", " or ").replace("\x02", " and ")))
    joined = "or" if "\x01" in between else "and" if "\x02" in between else ","
    answers = [_read(part, depth) for part in parts]
    if joined == "," and any(part.startswith("x") and "\\in" in part for part in parts[1:]):
        return None
    first = answers[0]
    labels = [answer.label for answer in answers]
    if first.label and not any(labels[1:]) and not isinstance(first.body, Relation):  # x=1,2
        return Answer(Unordered(joined, (first._replace(label="", sides=None), *answers[1:])), label=first.label)
    bases = {re.sub(r"_(?:\w|\{\w+\})$|'+$|(?<=^[a-z])\d$", "", label) for label in labels}
    if all(labels) and (len(set(labels)) == 1 or len(bases) == 1 and "" not in bases):  # x=1 or x=2; x_1=1, x_2=2
        return Answer(Unordered(joined, tuple(answer._replace(label="", sides=None) for answer in answers)), label=bases.pop())
    return Answer(Unordered(joined, tuple(answers)))


def _relation(text: str, depth: int) -> Answer | None:
    if named := re.fullmatch(r"([A-Za-z][A-Za-z' ]*[A-Za-z]{2}): ?([^:]+)", text):
        return _read(named[2], depth)._replace(label=canonical_label(named[1]))
    sides, operators = _split(text, *_RELATIONS)
    if not operators:
        return None
    if not sides[0] and set(operators) <= {r"\approx", "="}:
        return _read(sides[-1], depth)
    if not all(sides):
        return None
    if operators == [r"\in"]:
        inside = _read(sides[1], depth)
        return (
            inside._replace(label=canonical_label(sides[0]))
            if _LABEL.fullmatch(sides[0])
            else Answer(Relation(tuple(operators), tuple(sides)))
        )
    if not set(operators) <= {"=", r"\approx"}:
        return Answer(Relation(tuple(operators), tuple(sides)))
    if r"\approx" in operators and (operators[0] != r"\approx" or not _LABEL.fullmatch(sides[0])):  # x = 1/3, about 0.33
        place = operators.index(r"\approx")
        exact = _read("=".join(sides[: place + 1]), depth)
        return exact._replace(words=(*exact.words, "approximately"))
    left, right = sides[0], sides[-1]
    if not _LABEL.fullmatch(left) and _LABEL.fullmatch(right) and len(sides) == 2:
        left, right = right, left
    equation = (sides[0], sides[1]) if len(sides) == 2 and operators == ["="] else None
    if (
        len(sides) > 2
        and all(map(_LABEL.fullmatch, sides[:-1]))
        and not _LABEL.fullmatch(right)
        and not any(map(_CHANGED.search, sides[:-1]))
    ):
        return _read(right, depth)._replace(label=canonical_label(left))  # y = f(x) = x^2
    if _LABEL.fullmatch(left) and len(sides) > 2:  # x = 2 + 3 = 5; what is in the middle must be equal
        return Answer(Relation(tuple(operators[1:]), tuple(sides[1:])), label=canonical_label(left))
    if _LABEL.fullmatch(left) and not _CHANGED.search(left):
        return _read(right, depth)._replace(label=canonical_label(left), sides=equation)
    return Answer(Relation(tuple(operators), tuple(sides)), sides=equation)


def _region(text: str, depth: int) -> Answer | None:
    text = re.sub(r"(?<=[)\]])\s*U\s*(?=[(\[])", r"\\cup ", text)
    text = re.sub(r"(?<=\\mathbb\{R\})\s*(?:\\backslash|-|/)\s*(?=\\\{)|(?<=\\mathbb\{R\})\\(?=\\\{)", r"\\setminus", text)
    parts, operators = _split(text, r"\cup", r"\cap", r"\setminus")
    if not operators or not all(parts):
        return None
    return Answer(Region(tuple(operators), tuple(_read(part, depth) for part in parts)))


def _bracketed(text: str, depth: int) -> Answer | None:
    outside = re.fullmatch(r"\](.*),(.*)\[|\](.*),(.*)\]|\[(.*),(.*)\[", text)
    if outside and all(part.count("[") == part.count("]") for part in outside.groups() if part):  # ]1,2[ as in France
        low, high = [part for part in outside.groups() if part]
        opening, closing = "(" if text[0] == "]" else "[", ")" if text[-1] == "[" else "]"
        return Answer(Ordered(opening, closing, (_read(low, depth), _read(high, depth))))
    pieces = _pieces(text)
    opening, closing = pieces[0][0], pieces[-1][0]
    if len(pieces) > 2 and opening == "<" and closing == ">":
        opening, closing = r"\langle", r"\rangle"
    elif opening not in ("(", "[", r"\{", r"\langle") or closing not in (")", "]", r"\}", r"\rangle"):
        return None
    if text[0] != "<" and any(level < 1 for _, level in pieces[1:-1]):  # (1+x)(1-x)
        return None
    inside = "".join(token for token, _ in pieces[1:-1]).strip()
    if opening == r"\{":
        if builder := re.fullmatch(rf"({_VARIABLE})(?:\\in ?\\mathbb\{{R\}})? ?[|:] ?(.+)", inside):
            return _read(builder[2], depth)._replace(label=builder[1])
        listed = _several(inside, depth)
        parts = listed.body.parts if listed and isinstance(listed.body, Unordered) else (_read(inside, depth),)
        return Answer(Unordered("{", parts))
    parts_, _ = _split(inside, ",", ";")
    if len(parts_) < 2:
        return _read(inside, depth) if opening == "(" and closing == ")" and not re.fullmatch(r"[a-zA-Z]", inside) else None
    if not all(parts_):
        return None
    row = Ordered(opening.replace(r"\langle", "<"), closing.replace(r"\rangle", ">"), tuple(_read(part, depth) for part in parts_))
    names = [part.label for part in row.parts]
    if all(names):  # (x=1, y=2)
        return Answer(Unordered(",", row.parts))
    return Answer(row)


def _money(text: str, depth: int) -> Answer | None:
    text = re.sub(r"^(-?[\d.]+) ?\\?\$$", r"$\1", text)
    if (money := _MONEY.fullmatch(text)) is None:
        return None
    sign = money[2].strip(" .\\")
    name = _CURRENCIES.get(sign, sign)
    if rate := re.fullmatch(r"([\d.]+) ?((?:per|/|an?\b).*)", money[3]):  # $12 per hour
        return _read(f"{money[1]}{rate[1]} {name} {rate[2]}", depth)
    if short := re.fullmatch(rf"([\d.]+) ?({'|'.join(SHORT_SCALES)})", money[3]):
        return Answer(Value(f"{money[1]}{short[1]}*{SHORT_SCALES[short[2]]}"), unit=read_unit(name))
    inside = _read(money[1] + money[3], depth)
    unit = read_unit(name)
    if inside.unit is not None and inside.unit.dimensions != (unit.dimensions if unit else ()):
        unit = Unit(inside.unit.dimensions, inside.unit.factor)
    return inside._replace(unit=unit)


def _plus_minus(text: str, depth: int) -> Answer | None:
    if not re.search(r"\\(?:pm|mp)(?![a-zA-Z])", text) or text.count(r"\pm") + text.count(r"\mp") > 4:
        return None
    upper, lower = (re.sub(r"\\mp ?", other, re.sub(r"\\pm ?", sign, text)) for sign, other in (("+", "-"), ("-", "+")))
    parts = [_read(re.sub(r"^\+", "", part), depth) for part in (upper, lower)]
    return Answer(Unordered("or", tuple(part._replace(unit=None, words=()) for part in parts)), unit=parts[0].unit, words=parts[0].words)


def _ratio(text: str, depth: int) -> Answer | None:
    text = re.sub(r"(?<=\d) to (?=\d)", ":", text)
    parts, _ = _split(text, ":")
    if len(parts) < 2 or not all(parts) or not all(re.fullmatch(r"[\w\\{}.+\-^()]+", part) for part in parts):
        return None
    return Answer(Ratio(tuple(parts)))


def _word_list(text: str) -> tuple[str, ...]:
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])\.(?=[a-z])|(?<=\b[a-z])\. ", "", text.lower().replace("'s", "")))
    return tuple(_singular(word) for word in words if word not in ("the", "a", "an", "of", "in", "is"))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _quantity(text: str, depth: int) -> Answer | None:
    before = re.fullmatch(r"([A-Za-z][A-Za-z' ]*[A-Za-z]{3}\.?) ?(?=[-\d\\($])(.+)", text)
    if before and not re.search(rf"\b{_FUNCTIONS}\b|^[A-Z]+$", before[1]):  # about 5
        inside = _read(before[2], depth)
        return inside._replace(words=(*_word_list(before[1]), *inside.words))
    if (ended := _UNIT_END.fullmatch(text)) is None:
        return None
    value, space, tail = ended[1], ended[2], ended[3].strip()
    if r"\degree" in value or re.search(rf"\\?{_FUNCTIONS}(?![a-z])", re.sub(r"\\(?:sqrt|pi)", "", value)) and tail == r"\degree":
        return None
    if not _is_balanced(value):
        return None
    tokens = tail.split(" ")
    if re.fullmatch(r"[a-z]+s?", tokens[0]) and tokens[0].removesuffix("s") in SCALES:
        scaled = SCALES[tokens[0].removesuffix("s")]
        inside = _read(" ".join([f"({value})*{scaled}" if "+" in value or "frac" in value else f"{value}*{scaled}", *tokens[1:]]), depth)
        return inside
    for count in range(len(tokens), 0, -1):
        unit = read_unit(" ".join(tokens[:count]))
        if unit is None or not space and is_letter(tokens[0]) and tokens[0] not in ("%",) and not tokens[0].startswith("\\"):
            continue
        if is_letter(tokens[0]) and re.search(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+|\{|\}", "", value)):
            continue  # 3x m: a product
        rest = " ".join(tokens[count:])
        if not re.fullmatch(r"[A-Za-z .'-]*", rest):
            continue
        return _read(value, depth)._replace(unit=unit, words=_word_list(rest))
    if re.fullmatch(r"[A-Za-z][A-Za-z.' -]*", tail) and not re.search(rf"(?<![a-zA-Z]){_FUNCTIONS}(?![a-z]{{2}})", tail):
        longest = max(len(word) for word in re.findall(r"[A-Za-z]+", tail))
        if (
            longest >= 4
            or space
            and (longest == 3 or re.fullmatch(r"[A-Z]{2}|[A-Z]\. ?[A-Z]\.?", tail))
            or tail.rstrip(".").lower() in ("bc", "ad", "ce", "bce")
        ):
            return _read(value, depth)._replace(words=_word_list(tail))
    return None


def _is_balanced(text: str) -> bool:
    pieces = _pieces(text)
    return bool(pieces) and min(level for _, level in pieces) >= 0 and pieces[-1][1] == 0


def _words(text: str) -> Answer | None:
    bare = text.strip(".!")
    if re.fullmatch(r"[A-Z]{2,}", bare) or bare.lower() in _NAMES:
        return Answer(Text(bare))
    if not bare.isascii() and re.fullmatch(r"[^\W\d_]+(?: [^\W\d_]+)*", bare):
        return Answer(Text(bare))
    if re.fullmatch(rf"(?!\\?{_FUNCTIONS}(?![a-z])).*[A-Za-z]{{4,}}.*|[A-Z][a-z]{{2,}}", bare) and not re.search(r"[\\^_{}]", bare):
        return Answer(Text(bare))
    return None
