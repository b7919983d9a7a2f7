r"""A normal form of answers that is equal for two ways to write one answer. Pure.

It changes the writing only: nothing that has a meaning is lost. Units, names, words and `%` stay; `readings.py` decides what they mean.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from trainer.answers.finding import last_boxed

LONGEST_ANSWER = 1_000  # characters; MATH's longest answer has 159. With this limit every pattern below is fast on any input.

# --- characters ----------------------------------------------------------------------------------------------------------------

_COMMANDS = {
    "∞": "infty", "≤": "le", "≦": "le", "⩽": "le", "≥": "ge", "≧": "ge", "⩾": "ge", "≠": "ne", "≈": "approx", "≃": "approx", "≅": "approx",
    "±": "pm", "∓": "mp", "∈": "in", "∉": "notin", "∅": "emptyset", "⌀": "emptyset", "∪": "cup", "∩": "cap", "∖": "setminus",
    "×": "times", "✕": "times", "✖": "times", "⨯": "times", "·": "cdot", "⋅": "cdot", "∙": "cdot", "•": "cdot", "√": "sqrt",
    "°": "degree", "º": "degree", "˚": "degree", "⌊": "lfloor", "⌋": "rfloor", "⌈": "lceil", "⌉": "rceil", "⟨": "langle", "⟩": "rangle",
    "〈": "langle", "〉": "rangle", "…": "ldots", "⋯": "ldots", "∠": "angle", "△": "triangle", "→": "to", "∧": "land", "∨": "lor",
    "∑": "sum", "∫": "int", "∂": "partial", "ϕ": "phi", "ϑ": "theta", "ϵ": "epsilon", "ℓ": "ell",
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau upsilon phi chi psi omega"
)
_COMMANDS |= {chr(0x3B1 + place): name for place, name in enumerate(_GREEK.split())}
_COMMANDS |= {chr(0x391 + place): name.title() for place, name in enumerate(_GREEK.split()) if name in ("gamma", "delta", "theta", "lambda",
              "xi", "pi", "sigma", "phi", "psi", "omega")}  # fmt: skip
_SIGNS = {
    "−": "-", "–": "-", "—": "-", "‒": "-", "‐": "-", "‑": "-", "﹣": "-", "÷": "/", "∕": "/", "⁄": "/", "∗": "*", "∣": "|", "∶": ":",
    "。": ".", "、": ",", "،": ",", "؛": ";", "٫": ".", "٬": ",", "٪": "%", "′": "'", "’": "'", "‘": "'", "″": "''", "∛": r"\sqrt[3]",
    "∜": r"\sqrt[4]", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "℃": r"\degree C", "℉": r"\degree F", "“": "", "”": "", "\0": "\ufffd", "【": "[", "】": "]", "µ": "u",
}  # fmt: skip
_SYMBOLS = {ord(sign): f"\\{name} " for sign, name in _COMMANDS.items()} | {ord(sign): plain for sign, plain in _SIGNS.items()}
_RAISED = re.compile(r"[\ue000-\uf8ff]+")  # private characters stand for raised and lowered ones, until their runs are gathered


def _plain_characters(text: str) -> str:
    """Replace characters that another script or a typographer uses by those of LaTeX."""
    written = []
    for c in text.translate(_SYMBOLS):
        if c.isascii():
            written.append(c)
            continue
        kind, _, _ = unicodedata.decomposition(c).partition(" ")
        if unicodedata.category(c) == "Cf":
            continue  # direction marks and joiners are invisible
        if unicodedata.category(c) in ("Co", "Cs"):
            written.append("\ufffd")  # no character at all; and private ones are used below
        elif unicodedata.category(c) == "Zs":
            written.append(" ")
        elif unicodedata.category(c) == "Nd":
            written.append(str(unicodedata.decimal(c)))
        elif kind == "<fraction>":
            above, _, below = unicodedata.normalize("NFKC", c).partition("\u2044")
            written.append(rf"\frac{{{above}}}{{{below}}}")
        elif kind in ("<super>", "<sub>"):
            written += [chr((0xE000 if kind == "<super>" else 0xF000) + ord(d)) for d in _folded(c) if d.isascii()]
        elif kind in ("<wide>", "<font>", "<narrow>", "<circle>"):
            written.append(_folded(c))
        elif kind == "<square>":  # the square centimetre is one character
            written.append(" " + re.sub(r"(?<=[a-z])(?=[23]$)", "^", unicodedata.normalize("NFKC", c)))
        else:
            written.append(c)
    return _RAISED.sub(_gather, "".join(written))


def _folded(c: str) -> str:
    return unicodedata.normalize("NFKC", c).translate(_SYMBOLS)


def _gather(run: re.Match[str]) -> str:
    above = "".join(chr(ord(c) - 0xE000) for c in run[0] if ord(c) < 0xF000)
    below = "".join(chr(ord(c) - 0xF000) for c in run[0] if ord(c) >= 0xF000)
    return (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")


# --- commands ------------------------------------------------------------------------------------------------------------------


Rewrite = str | Callable[[re.Match[str]], str]


def _rules(*rules: tuple[str, Rewrite]) -> list[tuple[re.Pattern[str], Rewrite]]:
    return [(re.compile(pattern), to) for pattern, to in rules]


_END = r"(?![a-zA-Z])"
_REWRITES = _rules(
    (r"<(b|i|em|strong|u|span|p|code)>([^<>]*)</\1>", r"\2"),
    (r"<sup>([^<>]*)</sup>", r"^{\1}"),
    (r"<sub>([^<>]*)</sub>", r"_{\1}"),
    (r"<br ?/?>", " "),
    (r"^\s*\\begin\{((?:equation|align|gather|multline)\*?|aligned|gathered|split|math|displaymath)\}((?:(?!\\\\).)*)\\end\{\1\}\s*$",
     lambda one_line: one_line[2].replace("&", " ")),
    (r"\\tag\*?\s*\{[^{}]*\}|\\label\s*\{[^{}]*\}|\\[hv]?phantom\s*\{[^{}]*\}", " "),
    (r"\\(?:nonumber|notag|hfill|noindent|strut|relax)(?![a-zA-Z])", " "),
    (r"^\s*&", " "),
    (r"(?<!\\)\$\$?(?=\S)((?:\\\$|[^$])*?[^\s$\\])\$\$?(?!\d)", r" \1 "),  # maths between dollars; "$5 or $6" is money
    (r"\\[()\[\]]", " "),
    (rf"\\(?:left|right|[bB]igg?[lrm]?|middle){_END}\s*\.?(?!\d)", ""),
    (r"\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|bf|rm|it|Large|large|huge|boldmath)" + _END, ""),
    (r"\\(?:hspace|color)\*?\s*\{[^{}]*\}|\\textcolor\s*\{[^{}]*\}", ""),
    (r"(?<=\d)\\(?:text|mbox|mathrm)\{,\}(?=\d)", "{,}"),
    (r"(?<![\d.,])0\{\s*,\s*\}(?=\d)", "0."),  # LaTeX's braces make a comma part of a number
    (r"(?<=\d)\{\s*,\s*\}(?=(?:\d\d?|\d{4,})(?!\d))", "."),
    (r"(?<=\d)(?:(?<!\\)\\[,;:! ]|~|\{\s*,\s*\}|')(?=\d{3}(?!\d))", ","),  # 10\,000, 10{,}000, 10'000
    (r"(?<=\d),\s*(?<!\\)\\!\s*(?=\d{3}(?!\d))", ","),  # 10,\!000
    (r"(?<!\\)\\!\s*", ""),
    (rf"(?<!\\)\\[,;:> ]|~|\\q?quad{_END}|\\enspace{_END}|\\thinspace{_END}", " "),
    (rf"\\(?:[dtc]|nice|s|x)frac{_END}", r"\\frac"),
    (rf"\\[dt]binom{_END}", r"\\binom"),
    (r"^\s*(\{[^{}]*\}|[^{}\\]+)\s*\\over\s*(\{[^{}]*\}|[^{}\\]+)$", r"\\frac{\1}{\2}"),
    (r"\{([^{}]*)\\over" + _END + r"([^{}]*)\}", r"\\frac{\1}{\2}"),
    (r"\{([^{}]*)\\choose" + _END + r"([^{}]*)\}", r"\\binom{\1}{\2}"),
    (r"\\(?:mathrm|textrm|textbf|textit|textnormal|textsf|mathsf|mathtt|texttt|textup|textsc|mbox|hbox|mathbf|mathit|boldsymbol|bm|operatorname\*?|emph)\s*(?=\{)",
     r"\\text"),
    (r"\\(?:mathbf|mathrm|mathit|boldsymbol|bm)(?:\s+(?=[a-zA-Z\d])|(?=\d))", " "),
    (r"\\textsuperscript\s*(?=\{)", "^"),
    (r"\\underline\s*\{(?:\\underline\s*\{([^{}]*)\}|([^{}]*))\}", r"\1\2"),
    (r"\\(?:leq(?:slant|q)?|leqq)" + _END + r"|<=|=<", r"\\le "),
    (r"\\(?:geq(?:slant|q)?|geqq)" + _END + r"|>=", r"\\ge "),
    (rf"\\neq{_END}|\\not\s*=|!=", r"\\ne "),
    (rf"\\not\s*\\in{_END}", r"\\notin "),
    (rf"\\(?:simeq|cong|thickapprox|doteq){_END}", r"\\approx "),
    (rf"\\lt{_END}", "<"),
    (rf"\\gt{_END}", ">"),
    (rf"\\div{_END}", "/"),
    (rf"\\ast{_END}", "*"),
    (rf"\\(?:colon){_END}", ":"),
    (rf"\\(?:mid|[lr]?vert){_END}", "|"),
    (rf"\\lbrace{_END}", r"\\{"),
    (rf"\\rbrace{_END}", r"\\}"),
    (rf"\\lbrack{_END}", "["),
    (rf"\\rbrack{_END}", "]"),
    (rf"\\[lc]?dots[cb]?{_END}|\\cdots{_END}|\.\.\.+", r"\\ldots "),
    (rf"\\(?:varnothing|O){_END}", r"\\emptyset "),
    (rf"\\(?:rightarrow|longrightarrow){_END}", r"\\to "),
    (rf"\\(?:backslash|smallsetminus){_END}", r"\\setminus "),
    (rf"\\bigcup{_END}", r"\\cup "),
    (rf"\\(?:infin|infty){_END}", r"\\infty "),
    (rf"\\imath{_END}", "i"),
    (rf"\\varphi{_END}", r"\\phi "),
    (rf"\\varepsilon{_END}", r"\\epsilon "),
    (rf"\^\s*(?:\\circ{_END}|\{{\s*\\circ\s*\}}|\{{\s*\\degree\s*\}})|\\(?:degrees?|textdegree){_END}", r"\\degree "),
    (rf"\\celsius{_END}", r"\\degree C "),
    (rf"\\pounds{_END}", "£"),
    (rf"\\euro{_END}", "€"),
    (r"\^\s*\{\s*\\prime\\prime\s*\}", "''"),
    (r"\^\s*\{?\s*\\prime\s*\}?", "'"),
    (r"([_^])\s*\\text\s*\{\s*([^{}]*?)\s*\}", r"\1{\2}"),
    (r"([_^]\s*\{)\s*\\text\s*\{\s*([^{}]*?)\s*\}\s*\}", r"\1\2}"),
    (r"\\text\s*\{((?:[^{}]|\{[^{}]*\})*)\}", r" \1 "),
    (r"\\text\s*\{((?:[^{}]|\{[^{}]*\})*)\}", r" \1 "),  # once more, for a text in a text
    (rf"(?<=\d)\^\{{?o\}}?{_END}", r"\\degree "),
    (r"\\hat\s*\{?\\?([ijk])(?:math)?\}?(?![a-zA-Z])", r" \1 "),  # unit vectors
    (rf"\\jmath{_END}", "j"),
    (rf"\\textdollar{_END}", r"\\$"),
    (rf"\\textperthousand{_END}|\bper ?mille?\b", "‰"),
    (r"\\mathbb\s*([A-Z])", r"\\mathbb{\1}"),
    (rf"\\cr{_END}", r"\\\\"),
    (r"(\(\s*)?(?:\\[bp]?mod|(?<![a-zA-Z\\])mod)(?![a-zA-Z])\s*(?:\{([^{}]*)\}|(\d+|[a-z](?![a-z])))(?(1)\s*\))", r" (mod \2\3)"),
    (r"(?<=\d) and (?:a|one)[ -](?:(half)|(quarter))\b", lambda part: r"\frac12" if part[1] else r"\frac14"),
    (r"\bplus or minus\b", r"\\pm "),
    (r"(?:\bthe )?\bsquare root of (\d+|[a-z])$", r"\\sqrt{\1}"),
    (r"(?:\bthe )?\bcube root of (\d+|[a-z])$", r"\\sqrt[3]{\1}"),
    (r"(?<![\w.])([a-z]|\d+) squared$", r"\1^2"),
    (r"(?<![\w.])([a-z]|\d+) cubed$", r"\1^3"),
    (rf"(?<=\d)\s*\\mu\s*(?=[msgLA]{_END})", " u"),
    (r"(?<=\d)\s*(k)?\s*\\Omega\s*$", r" \1ohm"),
    (r"(?<!\\)\{\s*\}(?=\s*[\^_])", ""),
    (r"(?<![a-zA-Z\\])\\?log(10|2)(?=\s*\()", r"\\log_{\1}"),
    (r"(?<![\w)}])\*\*(?=\S)([^*]+)\*\*", r"\1"),
    (r"\*\*(?=\s*[-({\d])", "^"),
    (r"\\f?box(?:ed)?\s*\{((?:[^{}]|\{[^{}]*\})*)\}", r" \1 "),
    (r"(\d+) choose (\d+)", r"\\binom{\1}{\2}"),
    (r"(?<=\d)(?:''|\")$", " inches"),
    (r'"', ""),
    (r"\s*(?:\\?%|(?i:\bpercent\b|\bper\s+cent\b|\bpct\b\.?))", "%"),
    (r"(?<![\d.\w\\])(\d+(?:\.\d+)?|\.\d+)[eE]([+-]?\d{1,4})(?![\w.])", r"\1\\times 10^{\2}"),  # 1.5e-3
    (r"(?<=\d)\s*[xX*]\s*(?=10\s*\^)", r"\\times "),  # 3 x 10^5
    (r"\+\s*/\s*-|\+-", r"\\pm "),
    (r"((?:\d[\u0304\u0305])+)", r"\\overline{\1}"),
    (r"[\u0304\u0305]", ""),
    (r"\\dot\s*\{?(\d)\}?(\d*)\\dot\s*\{?(\d)\}?", r"\\overline{\1\2\3}"),  # dots over the first and last digit of the block
    (r"\\(?:bar|dot|overbar)\s*\{(\d+)\}", r"\\overline{\1}"),
    (r"\\(?:bar|overline|dot)\s*(\d)", r"\\overline{\1}"),
    (rf"(?<![a-zA-Z\\])(?:sqrt){_END}\s*", r"\\sqrt"),
    (rf"(?<![a-zA-Z\\])cbrt{_END}\s*", r"\\sqrt[3]"),
    (rf"(?<![a-zA-Z\\])[pP]i{_END}", r"\\pi "),
    (rf"(?<![a-zA-Z\\])(?:[iI]nfinity|inf|oo){_END}", r"\\infty "),
    (rf"(?<![a-zA-Z\\])(?:theta){_END}", r"\\theta "),
)  # fmt: skip
_ARGUMENT = r"\s*(\d|[a-zA-Z]|\\pi(?![a-zA-Z]))"
_GROUP = r"\s*(\{(?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})*\})"
_COMPACT = _rules(
    (rf"\\sqrt\s*(\[[^\[\]]*\])?\s*(\d+(?:\.\d+)?(?!\d)|[a-zA-Z](?![a-zA-Z])|\\pi{_END})(?!\s*\^)", r"\\sqrt\1{\2}"),
    (rf"\\frac{_ARGUMENT}{_ARGUMENT}", r"\\frac{\1}{\2}"),
    (rf"\\frac{_ARGUMENT}{_GROUP}", r"\\frac{\1}\2"),
    (rf"\\frac{_GROUP}{_ARGUMENT}", r"\\frac\1{\2}"),
    (rf"\\binom{_ARGUMENT}{_ARGUMENT}", r"\\binom{\1}{\2}"),
    (r"\^\s*\((-?\s*[\w./]+)\)", r"^{\1}"),
    (r"\^\s*(-?\s*\d+)", r"^{\1}"),
    (r"(?<=\d) (\d+) ?/ ?(\d+)(?=$|%| [a-zA-Z])", r"\\frac{\1}{\2}"),  # 3 1/2
    (r"\^\{?(\d+)\}?/_\{?(\d+)\}?", r"\\frac{\1}{\2}"),  # raised and lowered digits around a slash
    (r"(?<![\w)}\]])\^\{?(\d)\}?\\sqrt(?!\[)", r"\\sqrt[\1]"),
    (r"(?<![\w)}\]%.'])\s+|\s+(?![\w\\])", ""),
    (r"(?<=[^a-zA-Z ])\s+(?=\\(?![a-zA-Z]*\s*$))", ""),
    (r"([^\\a-zA-Z]|^)\s*(\\[a-zA-Z]+)\s+(?![a-zA-Z])", r"\1\2"),
    (r"\s+(?=[\\_])", ""),
    (r"^<([^<>=]+,[^<>=]+)>$", r"\\langle \1\\rangle"),
    (r"\s+", " "),
    (r"(?<![\^_}\]a-zA-Z])\{(\\frac\{\w+\}\{\w+\})\}", r"\1"),
    (r"([\^_])\{(\w)\}(?!\d)", r"\1\2"),
    (r"(?<![\d.])\.(?=\d|\\overline)", "0."),
    (r"(?<=\d)(\.\d*?)0+(?![\d\\])", r"\1"),
    (r"(?<=\d)\.(?![\d.\\(])", ""),
    (r"^\+(?=[\d\\.])", ""),
    (r"^(-?)0+(?=\d+(?:\.\d+)?$)", r"\1"),
    (r"^-0$", "0"),
    (r"^(-?)(\d+)/(\d+)$", r"\1\\frac{\2}{\3}"),
    (r"^\\frac\{-(\d+)\}", r"-\\frac{\1}"),
    (r"(?<=\d),(?=\d{3}(?!\d))", ", "),  # thousands are removed: this comma separates a list, and must not be read as thousands later
)
# 1,234,567 and the lakhs of 12,34,567; in brackets, (1,234) can be a point.
_THOUSANDS = re.compile(r"(?<![\d,.(\[_^])(?<!\\\{)(\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3})(?![\d,])")
_SPACED = re.compile(r"(?<![\d.,\w}] )(?<![\d.,\w])(\d{1,3}(?: \d{3})+)(,\d\d?(?![\d.,]| ?\d))?(?! ?[\d/\\])")
_DOTTED = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:\.\d{3}){2,}(,\d+)?|(?:\.\d{3}),(?:\d\d?|\d{4,}))(?![\d.])")


_SEPARATED = re.compile(r"[-+\s\d.,$\\!;:{}']+")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d.,])")
_POINT = re.compile(r"\W*\d{1,3}\.\d{3}\W*")


def differ_in_separators(one: str, other: str) -> bool:
    """Tell whether two texts can be the same numbers whose separators have two meanings: 1.000 and 1000, `135,225` and `225,135`."""
    if not (_SEPARATED.fullmatch(one) and _SEPARATED.fullmatch(other)):
        return False
    groups, others = (re.findall(r"\d+", text) for text in (one, other))
    if any(map(_POINT.fullmatch, (one, other))) and "".join(groups) == "".join(others):
        return True
    return groups != others and sorted(groups) == sorted(others) and any(map(_GROUPED.search, (one, other)))


_WHOLE_NUMBER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)  # as it is written, so no rule below changes it


@lru_cache(maxsize=65_536)
def normalise(answer: str) -> str:
    """Return the normal form of an answer: one spelling for an answer that can be written in many ways.

    Wrappers, sizes, spaces and thousands commas are removed. Characters of other scripts and typography become LaTeX. Units, names,
    words, currency and `%` stay. An answer of more than LONGEST_ANSWER characters is only stripped.
    """
    text = answer.strip()
    if _WHOLE_NUMBER.fullmatch(text) or len(text) > LONGEST_ANSWER:
        return text
    if len(text) == 1 and (number := unicodedata.numeric(text, None)) is not None and number.is_integer():
        text = str(int(number))  # a numeral of its own: the Chinese five, the Roman four
    text = _plain_characters(re.sub(r"(\d+) ?['′] ?(\d+) ?(?:''|[\"″])", r"\1 feet \2 inches", text))
    while re.match(r"\s*\$?\s*\\f?box(?:ed)?\s*\{", text) and text.rstrip(" .$").endswith("}") and (inside := last_boxed(text)):
        text = inside
    text = re.sub(r"^(\*\*|\*|__|_|'|`+|\$\$?)([^$]*)\1$", r"\2", text.strip()).strip()
    for pattern, to in _REWRITES:
        text = pattern.sub(to, text)
    text = re.sub(r"(?:\\+|\s|[,;])+$", "", re.sub(r"\s+", " ", text).strip())
    if not re.search(r"(?i)[ap]\. ?m\.$|\.\.$", text):
        text = text.removesuffix(".")
    text = _DOTTED.sub(lambda number: number[0].replace(".", "").replace(",", "."), text)
    text = _SPACED.sub(lambda number: number[1].replace(" ", "") + (number[2] or "").replace(",", "."), text)
    text = _THOUSANDS.sub(lambda number: number[1].replace(",", ""), _round_roots(text))
    while (bare := re.fullmatch(r"\{(.*)\}", text)) and _is_balanced(bare[1]):
        text = bare[1].strip()
    for pattern, to in _COMPACT:
        text = pattern.sub(to, text)
    text = text.strip() if re.search(r"[^\s.$]", text) else ""
    return text.lower() if re.fullmatch(r"[A-Z][a-z]{2,}", text) else text


def _is_balanced(text: str) -> bool:
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", text):
        depth += (brace[0] == "{") - (brace[0] == "}")
        if depth < 0:
            return False
    return depth == 0


def _round_roots(text: str) -> str:
    r"""Give the argument of `sqrt(...)` its braces."""
    start = 0
    while (root := re.compile(r"(\\sqrt(?:\[[^\[\]]*\])?)\s*\(").search(text, start)) is not None:
        depth, at = 1, root.end()
        while at < len(text) and depth:
            depth += (text[at] == "(") - (text[at] == ")")
            at += 1
        if depth:
            break
        text = f"{text[: root.start()]}{root[1]}{{{text[root.end() : at - 1]}}}{text[at:]}"
        start = root.end()
    return text
