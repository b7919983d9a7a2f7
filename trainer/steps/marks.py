"""Steps, the marks: what opens and closes in a text, which spans no cut can enter, and which marks have no partner."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

LONGEST_THOUGHT = 20_000  # characters; a longer thought is cut like any text, because a step has a limit

LINE_END = re.compile(r"\r\n?|\n")
_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?:(?P<ticks>`{3,})[^`]*|(?P<waves>~{3,}).*)\Z", re.S)
_FENCE_END = re.compile(r"[ \t>]*(`{3,}|~{3,})[ \t]*\Z")
_MARK = re.compile(
    r"\\(?:(?:begin|end)[ \t]*\{[^{}\n]{1,64}\}"
    r"|(?:text\w{0,8}|[mh]box)[ \t]*\{[^{}$]*(?:\$[^{}$]*\$[^{}$]*)+\}"  # a formula inside of words inside of a formula
    r"|[\[\]()$\\])|\$|`+|\[/?asy\]|</?(?:think|thinking|thought|answer)>"
)
_OPENING = {r"\[": r"\]", r"\(": r"\)", "[asy]": "[/asy]"}
_CLOSING = {closing: opening for opening, closing in _OPENING.items()}
_ENVIRONMENT = re.compile(r"\\(begin|end)[ \t]*\{([^{}\n]*)\}")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_SHORT_WORDS = frozenset(re.findall(r"\w+", "an and are as at but by day for if in is it of on or per so the to up was we"))
_TEXT_COMMAND = re.compile(r"\\(?:text|mbox|textrm|textbf|mathrm|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"(?<!\S)[A-Za-z][a-z]*(?=[\s,.;:!?]|\Z)")
_CALCULATION = re.compile(r"<<[^<>\n]*>>")  # GSM8K's <<16-3=13>>
_CURRENCY = re.compile(r"(?<![A-Za-z])(?:US|AU?|CA?|NZ|HK|SG?|R)\Z")


_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_TAG_OR_WORD = re.compile(r"(?P<tag></?[A-Za-z][\w-]{0,40}>)|[^\W_]")


def split_lines(text: str) -> list[str]:
    r"""Return the lines of a text: they end at \n, \r\n or \r, and not at the other characters at which str.splitlines cuts."""
    return LINE_END.split(text)


class _Mark(NamedTuple):
    text: str
    start: int
    end: int


class _Fault(NamedTuple):
    at: int
    reason: str


def says_something(text: str) -> bool:
    """Say whether there is a letter or a digit outside of tags."""
    if "<" not in text:
        return _LETTER_OR_DIGIT.search(text) is not None
    return any(not match["tag"] for match in _TAG_OR_WORD.finditer(text))


def _has_words(inside: str) -> bool:
    return any(len(word) > 3 or word.lower() in _SHORT_WORDS for word in _WORD.findall(_TEXT_COMMAND.sub(" ", inside)))


def _is_money(before: str, inside: str, after: str) -> bool:
    """Tell money from a formula between two single dollars. The rules are those of the page (`isMoney` in static/js/math.js)."""
    if inside.startswith("\\"):
        return False
    if "<<" in inside or ">>" in inside or after.isdecimal() or (before.isdecimal() and inside[0] in " \t\n/,.;:)"):
        return True
    if re.fullmatch(r"\s*-?[\d.,]+\s*", inside):
        return not inside[0].isspace() and inside[-1].isspace()
    if re.match(r"\.?\d", inside) and (re.search(r"(?<!\^)[-+=*/(]\Z", inside.rstrip()) or re.match(r"[\d.,]+\.\s", inside)):
        return True
    return (inside[0] in "., \t\n/" or inside[0].isdecimal() or inside[-1].isspace()) and _has_words(inside)


def _opens_formula(text: str, at: int) -> bool:
    """Say whether a dollar without a partner belongs to a formula. Beside a digit, a space or a currency it is money."""
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if before.isdecimal() or after.isdecimal() or text.startswith(r"\(", at + 1) or _CURRENCY.search(text, max(0, at - 3), at):
        return False
    return bool(after) and (after.isalpha() or after in "\\{(|") or bool(before) and (before.isalpha() or before in "})|")


class Marks:
    """The marks of a text whose line ends are all \\n: `spans` that belong together, and `faults`, the marks without a partner."""

    def __init__(self, text: str, starts: Sequence[int], lines: Sequence[str]) -> None:
        self.text, self.starts = text, starts
        self.spans: list[tuple[int, int]] = []
        self.displays: list[tuple[int, int]] = []
        self.faults: list[_Fault] = []
        self.fences = self._find_fences(lines)
        found = [_Mark(mark[0], *mark.span()) for mark in _MARK.finditer(text)]
        if self.fences:
            found = [mark for mark in found if not self._is_in_fence(mark.start)]
        self._pair_formulas(found)
        self._pair_environments(mark for mark in self.plain if mark.text.startswith(("\\begin", "\\end")))
        self._pair_thoughts(mark for mark in self.plain if mark.text.startswith("<"))

    def line_of(self, at: int) -> int:
        return bisect_right(self.starts, at) - 1

    def _is_in_fence(self, at: int) -> bool:
        return bool(self.fences) and self.in_fence[self.line_of(at)]

    def _find_fences(self, lines: Sequence[str]) -> list[tuple[int, int]]:
        """Return the first and the last line of each fence. A fence without its end is none."""
        self.in_fence = [False] * len(lines)
        maybe = [at for at, line in enumerate(lines) if "```" in line or "~~~" in line]
        if not maybe:
            return []
        ends = {at: match[1] for at in maybe if (match := _FENCE_END.match(lines[at]))}
        longest: dict[int, dict[str, int]] = {}  # by line: the longest fence end from there on, so that no search is in vain
        ahead = {"`": 0, "~": 0}
        for at in reversed(maybe):
            longest[at] = dict(ahead)
            if mark := ends.get(at):
                ahead[mark[0]] = max(ahead[mark[0]], len(mark))
        fences, opened, opening = [], -1, ""
        for at in maybe:
            if opening:
                mark = ends.get(at, "")
                if mark[:1] == opening[0] and len(mark) >= len(opening):
                    fences.append((opened, at))
                    self.in_fence[opened : at + 1] = [True] * (at + 1 - opened)
                    opening = ""
            elif match := _FENCE.match(lines[at]):
                mark = match["ticks"] or match["waves"]
                if longest[at][mark[0]] >= len(mark):
                    opened, opening = at, mark
                else:
                    self.faults.append(_Fault(self.starts[at], f"the code fence {mark[:3]} is not closed"))
        return fences

    def _pair_formulas(self, marks: list[_Mark]) -> None:
        partner, following_stop, same_ticks = self._look_ahead(marks)
        self.plain: list[_Mark] = []  # the marks outside of inline code
        at = 0
        while at < len(marks):
            mark, text = marks[at], marks[at].text
            closing = None
            if text[0] == "`":
                # ``quoted'' is TeX's way to write quotation marks
                if (tick := same_ticks[at]) is not None and not (len(text) == 2 and "''" in self.text[mark.end : marks[tick].start]):
                    self.spans.append((mark.start, marks[tick].end))
                    at = tick
            elif text in _OPENING:
                closing = partner[at]
                if closing is None or (text != "[asy]" and self._is_prose(mark.end, marks[closing].start)):
                    closing = None
                    self.faults.append(_Fault(mark.start, f"{text} is not closed"))
            elif text in _CLOSING:
                self.faults.append(_Fault(mark.start, f"{text} closes nothing"))
            elif text == "$":
                closing, at = self._pair_dollar(marks, at, following_stop)
            else:
                self.plain.append(mark)
            if closing is not None:
                self.spans.append((mark.start, marks[closing].end))
                if text == r"\[" or self.text.startswith("$$", mark.start):
                    self.displays.append((mark.start, marks[closing].end))
                self.plain.extend(inside for inside in marks[at + 1 : closing] if inside.text.startswith(("\\begin", "\\end")))
                at = closing
            at += 1

    def _pair_dollar(self, marks: list[_Mark], at: int, following_stop: list[int | None]) -> tuple[int | None, int]:
        """Return the mark that closes a dollar, if one does, and the mark to continue after."""
        start, double = marks[at].start, at + 1 < len(marks) and marks[at + 1].text == "$" and marks[at + 1].start == marks[at].end
        opened = at + 1 if double else at
        stop = following_stop[opened]
        body = (marks[opened].end, marks[stop].start) if stop is not None and marks[stop].text == "$" else (0, 0)
        inside = self.text[slice(*body)]
        if double:
            last = stop + 1 if stop is not None else 0
            if (
                inside.strip()
                and last < len(marks)
                and marks[last].text == "$"
                and marks[last].start == body[1] + 1
                and not self._is_prose(*body)
            ):
                return last, at
            # "$$43" is an amount with one dollar too many, "$$x = 43" the first half of a formula
            rest = self.text[start + 2 : marks[stop].start if stop is not None else len(self.text)]
            if not (rest[:1].isdecimal() or rest.startswith("<<")) or re.search(r"[\\=^_]", _CALCULATION.sub("", rest)):
                self.faults.append(_Fault(start, "$$ has no partner"))
            return None, opened
        if (
            inside
            and not _BLANK_LINE.search(inside)
            and not _is_money(self.text[max(0, start - 1) : start], inside, self.text[body[1] + 1 : body[1] + 2])
        ):
            return stop, at
        if _opens_formula(self.text, start):
            self.faults.append(_Fault(start, "$ has no partner"))
        return None, at

    def _is_prose(self, start: int, end: int) -> bool:
        inside = self.text[start:end]
        return bool(_BLANK_LINE.search(inside)) and _has_words(inside)

    def _look_ahead(self, marks: list[_Mark]) -> tuple[list[int | None], list[int | None], list[int | None]]:
        """Return for each mark its possible partner, the next mark at which a formula in dollars must end, and the next equal backticks
        in its line. One pass from the end: searching forward from each mark would take quadratic time.
        """
        partner: list[int | None] = [None] * len(marks)
        stops: list[int | None] = [None] * len(marks)
        ticks: list[int | None] = [None] * len(marks)
        nearest: dict[str, int] = {}  # opening mark -> the next mark of its kind, opening or closing
        stop: int | None = None
        in_line: dict[int, int] = {}
        line = -1
        for at in range(len(marks) - 1, -1, -1):
            text, stops[at] = marks[at].text, stop
            kind = _CLOSING.get(text, text)
            if kind in _OPENING:
                if text == kind and (following := nearest.get(kind)) is not None and marks[following].text == _OPENING[kind]:
                    partner[at] = following
                nearest[kind] = stop = at
            elif text == "$":
                stop = at
            elif text[0] == "`":
                if (here := self.line_of(marks[at].start)) != line:
                    line, in_line = here, {}
                ticks[at] = in_line.get(len(text))
                in_line[len(text)] = at
        return partner, stops, ticks

    def _pair_environments(self, marks: Iterable[_Mark]) -> None:
        opened: list[tuple[str, _Mark]] = []
        waiting: Counter[str] = Counter()
        for mark in sorted(marks, key=lambda mark: mark.start):
            which, name = _ENVIRONMENT.match(mark.text).groups()  # type: ignore[union-attr]
            if which == "begin":
                opened.append((name, mark))
                waiting[name] += 1
            elif not waiting[name]:
                self.faults.append(_Fault(mark.start, f"\\end{{{name}}} closes nothing"))
            else:
                while True:
                    last, begin = opened.pop()
                    waiting[last] -= 1
                    if last == name:
                        break
                    self.faults.append(_Fault(begin.start, f"\\begin{{{last}}} is not closed"))
                self.spans.append((begin.start, mark.end))
                self.displays.append((begin.start, mark.end))
        self.faults += [_Fault(begin.start, f"\\begin{{{name}}} is not closed") for name, begin in opened]

    def _pair_thoughts(self, marks: Iterable[_Mark]) -> None:
        opened: dict[str, list[_Mark]] = {}  # also of thoughts in each other
        thoughts = []
        for mark in marks:
            name = mark.text.strip("</>")
            if not mark.text.startswith("</"):
                opened.setdefault(name, []).append(mark)
            elif opened.get(name) and mark.end - (begin := opened[name].pop()).start <= LONGEST_THOUGHT:
                thoughts.append((begin.start, mark.end))
        if thoughts:
            words = [match.start() for match in _TAG_OR_WORD.finditer(self.text) if not match["tag"]]
            # A solution that is one whole thought is cut like any other.
            self.spans += [(start, end) for start, end in thoughts if words and (words[0] < start or words[-1] >= end)]


def find_formulas(text: str) -> list[tuple[int, int]]:
    """Return where the formulas of a text begin and end, in its order, the outer ones alone. What stands in code is none."""
    lines = text.split("\n")
    marks = Marks(text, [0, *accumulate(len(line) + 1 for line in lines[:-1])], lines)
    found: list[tuple[int, int]] = []
    for start, end in sorted(marks.spans, key=lambda span: (span[0], -span[1])):
        if text[start] in "$\\" and "`" not in text[start:end] and not (found and start < found[-1][1]):
            found.append((start, end))
    return found
