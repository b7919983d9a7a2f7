"""A normal form of answers that is equal for two spellings of one answer. Pure."""

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from trainer.answers.finding import last_boxed

LONGEST_ANSWER = 1_000  # characters; MATH's longest answer has 159. With this limit every pattern below is fast on any input.

_SYMBOLS = str.maketrans({
    "−": "-", "–": "-", "÷": "/", "°": "", "％": "%", "×": r"\times ", "·": r"\cdot ", "π": r"\pi ", "∞": r"\infty ",
    "≤": r"\le ", "≥": r"\ge ", "∪": r"\cup ", "√": r"\sqrt ", "\0": "\ufffd",
})  # fmt: skip
_MULTIPLES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MULTIPLE = re.compile(rf"(-?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)?(?:\.\d+)?)(?<=\d)\s*({'|'.join(_MULTIPLES)})s?", re.I | re.ASCII)
_UNIT = (  # whole words that cannot be variables
    r"(?:degrees?|(?:square|sq\.?|cubic|cu\.?)\s*\w+|(?:centi|milli|kilo)?met(?:er|re)s?|[ckm]m|inch(?:es)?|feet|foot|yards?|miles?|seconds?|minutes?"
    r"|hours?|days?|weeks?|months?|years?|(?:kilo)?grams?|pounds?|ounces?|lit(?:er|re)s?|gallons?|units?|dollars?|cents?)"
)
_TRAILING_UNIT = re.compile(rf"(?<=[\d}})])\s*{_UNIT}(?:\s*\^\s*\{{?\d\}}?)?$", re.I)
_TRAILING_TEXT = re.compile(r"(?<=[\w)}\]%])\s*\\text\{([^{}]*)\}\s*(?:\^\s*\{?\d\}?)?$")
# Text after a number that is part of the answer and not a unit: 10 a.m., 5 million, a choice (C), the i of a complex number.
_NO_UNIT = re.compile(rf"(?i:\b(?:[ap]\.?m\b|base|dozen|{'|'.join(_MULTIPLES)}))|^\s*\(?[A-Zeinx-z]\)?\s*$")
_TOKEN_ARGUMENT = r"\s*(\w|\\pi(?![a-zA-Z]))"


def _rules(*rules: tuple[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), to) for pattern, to in rules]


_REWRITES = _rules(
    (r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\.?", ""),
    (r"(?<=\d)(?:(?<!\\)\\[,;:! ]|~)+(?=\d{3}(?!\d))|(?<!\\)\\!\s*", ""),  # 10\,000; never the `\\ ` between rows
    (r"(?<!\\)\\[,;:> ]|~|\\q?quad(?![a-zA-Z])", " "),
    (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
    (r"\\(?:mathrm|textrm|textbf|textit|textnormal|mbox|mathbf|operatorname|rm)\s*(?=\{)", r"\\text"),
    (r"\\(?:display|text|script)style(?![a-zA-Z])", ""),
    (r"\\leq(?:slant)?(?![a-zA-Z])|<=", r"\\le "),
    (r"\\geq(?:slant)?(?![a-zA-Z])|>=", r"\\ge "),
    (r"\\lt(?![a-zA-Z])", "<"),
    (r"\\gt(?![a-zA-Z])", ">"),
    (r"\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})|\\degrees?(?![a-zA-Z])", ""),
    (r"\\?\$", ""),
    (r"\s*(?:\\text\{\s*percent\s*\}|\\?%|\bpercent\b)", "%"),
    (r"\{,\}", ","),
    (r"\\text\{\s*(?:and|or),?\s*\}|(?<=[\d})\]])\s+(?:and|or)\s+(?=[-\d\\(\[])", ","),
    (r"(?<!\.)(?<![ap]\.m)\.\s*$", ""),
)
_COMPACT = _rules(
    (r"^[a-zA-Z]{1,2}(?:\(\w\))?\s*=(?!=)\s*(?=[^=<>]+$)", ""),  # x = 5, f(x) = 5
    (rf"\\frac{_TOKEN_ARGUMENT}{_TOKEN_ARGUMENT}", r"\\frac{\1}{\2}"),
    (rf"\\frac{_TOKEN_ARGUMENT}\s*(?=\{{)", r"\\frac{\1}"),
    (rf"\\frac\s*(\{{[^{{}}]*\}}){_TOKEN_ARGUMENT}", r"\\frac\1{\2}"),
    (rf"\\sqrt{_TOKEN_ARGUMENT}", r"\\sqrt{\1}"),
    (r"(?<=\d)\s+(\d+)\s*/\s*(\d+)$", r"\\frac{\1}{\2}"),  # 3 1/2
    (r"(\\[a-zA-Z]+)\s+(?=[a-zA-Z])", "\\1\0"),  # the one space that LaTeX needs
    (r"\s+", ""),
    ("\0", " "),
    (r"([\^_])\{(\w)\}(?!\d)", r"\1\2"),
    (r"(?<![\d.])\.(?=\d)", "0."),
    (r"(\.\d*?)0+(?!\d)", r"\1"),
    (r"(?<=\d)\.(?![\d.])", ""),
    (r"^\+(?=[\d\\.])", ""),
    (r"^-0$", "0"),
    (r"^(-?)(\d+)/(\d+)$", r"\1\\frac{\2}{\3}"),
    (r"^\\frac\{-(\d+)\}", r"-\\frac{\1}"),
    (r"(?<=\d),(?=\d{3}(?!\d))", ", "),  # thousands are removed: this comma separates a list, and must not be read as thousands later
)
_THOUSANDS = re.compile(r"(?<![\d,.(\[])(?<!\\\{)(\d{1,3}(?:,\d{3})+)(?![\d,])")  # (1,234) may be a point


@lru_cache(maxsize=65_536)
def normalise(answer: str) -> str:
    """Return the normal form by which answers are compared and cached: one spelling for an answer that can be written in many ways.

    It has no wrappers, sizes, spaces, currency, degree signs, units and thousands commas, and keeps `%`. The rules are those of the
    graders of MATH (Hendrycks 2021; Lightman 2023). An answer of more than LONGEST_ANSWER characters is only stripped.
    """
    text = answer.strip()
    if len(text) > LONGEST_ANSWER:
        return text
    # Direction marks and joiners are invisible. NFKC is not used: it would turn "²" and "½" into "2" and "12".
    text = "".join(c for c in text.translate(_SYMBOLS) if c.isascii() or unicodedata.category(c) != "Cf")
    if re.match(r"\\f?box(?:ed)?\s*\{", text) and text.endswith("}") and (inside := last_boxed(text)):
        text = inside
    text = re.sub(r"^\\[(\[]|\\[)\]]$|^\*\*|\*\*$", "", text.strip())
    for pattern, to in _REWRITES:
        text = pattern.sub(to, text)
    text = text.strip()
    while (unit := _TRAILING_TEXT.search(text)) and not _NO_UNIT.search(unit[1]) and re.search(r"\d", text[: unit.start()]):
        text = text[: unit.start()]
    text = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).strip()
    text = _THOUSANDS.sub(lambda found: found[1].replace(",", ""), _TRAILING_UNIT.sub("", text))
    if multiple := _MULTIPLE.fullmatch(text):
        text = f"{Decimal(multiple[1].replace(',', '')).scaleb(_MULTIPLES[multiple[2].lower()]):f}"
    for pattern, to in _COMPACT:
        text = pattern.sub(to, text)
    return text.lower() if re.fullmatch(r"[A-Za-z]{3,}", text) else text
