r"""Steps: cuts the text of a solution where a person would. Pure: needs only the standard library.

Reads the text of a solution and a rule: `lines` (as in PRM800K), `paragraphs` (blank lines), `numbered` ("Step 3:", "3."), `sentences`, or
`given` (the text is one step already). Returns steps, what is broken in a step, the rule that fits a whole file, and figures for a report.

Line ends are \n, \r\n and \r, and nothing else. A step is a slice of the text; only line ends and blank lines between steps are left
out, and blanks between sentences.
Whatever the rule, a cut never falls inside a displayed formula, an environment, a code fence, a table, an [asy] block, a thought
(`<think>`) or a list under its lead-in. An opening mark without its closing one holds nothing together: its step is broken, and the rest
of the solution is cut as usual. docs/formats.md has the rules and what they measure.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

LINES, PARAGRAPHS, NUMBERED, SENTENCES, GIVEN, AUTO = "lines", "paragraphs", "numbered", "sentences", "given", "auto"
RULES = (LINES, PARAGRAPHS, NUMBERED, SENTENCES)
FEWEST, MOST = 4, 15  # steps of a usual solution
NO_WORDS = "it has no letter and no digit"
BROKEN_SHARE = 0.01  # a rule that breaks more steps than this does not fit the text
LONGEST_THOUGHT = 20_000  # characters; a longer thought is cut like any text, because a step has a limit
LONGEST_ANSWER = 1_000  # characters below "# Answer" that can be an answer

# --- marks: what opens and closes in a text ----------------------------------------------------------------------------

_LINE_END = re.compile(r"\r\n?|\n")
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


_TAG_OR_WORD = re.compile(r"(?P<tag></?[A-Za-z][\w-]{0,40}>)|[^\W_]")


def split_lines(text: str) -> list[str]:
    r"""Return the lines of a text: they end at \n, \r\n or \r, and not at the other characters at which str.splitlines cuts."""
    return _LINE_END.split(text)


class _Mark(NamedTuple):
    text: str
    start: int
    end: int


class _Fault(NamedTuple):
    at: int
    reason: str


def _says_something(text: str) -> bool:
    """Say whether there is a letter or a digit outside of tags."""
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


class _Marks:
    """The marks of a text whose line ends are all \\n: `spans` that belong together, and `faults`, the marks without a partner."""

    def __init__(self, text: str, starts: Sequence[int], lines: Sequence[str]) -> None:
        self.text, self.starts = text, starts
        self.spans: list[tuple[int, int]] = []
        self.displays: list[tuple[int, int]] = []
        self.faults: list[_Fault] = []
        self.fences = self._find_fences(lines)
        found = [_Mark(mark[0], mark.start(), mark.end()) for mark in _MARK.finditer(text) if not self._is_in_fence(mark.start())]
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
        opened: dict[str, _Mark] = {}
        thoughts = []
        for mark in marks:
            name = mark.text.strip("</>")
            if not mark.text.startswith("</"):
                opened[name] = mark
            elif (begin := opened.pop(name, None)) and mark.end - begin.start <= LONGEST_THOUGHT:
                thoughts.append((begin.start, mark.end))
        if thoughts:
            words = [match.start() for match in _TAG_OR_WORD.finditer(self.text) if not match["tag"]]
            # A solution that is one whole thought is cut like any other.
            self.spans += [(start, end) for start, end in thoughts if words and (words[0] < start or words[-1] >= end)]


# --- lines and blocks --------------------------------------------------------------------------------------------------

_HEADING = re.compile(r"(#{1,6})(?:[ \t]+\S|\Z)")
_BOLD_LINE = re.compile(r"(?:\*\*|__)(?P<inside>[^*_\n]{1,100})(?:\*\*|__)[ ]?[:.：]?\Z")
_STATES = re.compile(r"[.!?=$。]|\\\(|\\boxed")
_ENDING = re.compile(
    r"(?:#{1,6} *)?(?:\*\*|__)?(?:(?:the )?(?:final )?answer|solution|conclusion|答案|解|ответ|решение) ?[:：]?(?:\*\*|__)? ?[:：]?\Z", re.I
)
_ITEM = re.compile(r"(?:[-*+•‣◦–][ \t]+|(?P<number>\(?\d{1,3}[.)]|\(?[a-zA-Z]\))[ \t]+)\S")
_RULER = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?\Z")  # | --- | :---: |
_ROW = re.compile(r"\|[ \t].*[ \t]\|\Z")
_FRAME = re.compile(r"\+(?:[-=]+\+)+\Z")
_TAG = re.compile(r"<(/?)[A-Za-z][\w-]{0,40}>\Z")
_ANSWER = "# Answer"  # PRM800K's mark
_CONTINUES = re.compile(r"(?:&[ \t]*)?(?:=(?![=>])|≈|≡|\\approx\b|\\equiv\b)")
_LEADS = re.compile(r"[:：](?:\*\*|__|\*|_)?\Z")
_SENTENCE_END = re.compile(r"[.!?。！？…][*_)\"'”’]*\Z")
_STEP_WORDS = "step|étape|etape|schritt|paso|passo|шаг|крок|krok|stap|adım|bước|步骤|步驟|ステップ|단계|الخطوة|خطوة|चरण"
_ORDINAL = r"\d{1,3}|[IVX]{1,5}|[A-Z]|one|two|three|four|five|six|seven|eight|nine|ten"
_STEP = re.compile(
    r"(?:(?P<heading>#{1,6})[ ]*)?(?:[-*+>][ ])?(?:\*\*|__|\*|_)?"
    rf"(?:(?:{_STEP_WORDS})[ \t]*[#№]?(?:{_ORDINAL})|第[一二三四五六七八九十\d]{{1,3}}步)"
    r"[ \t]*(?:[:.)\]*_：、,，—–(-]|\Z)",
    re.I,
)
_NUMBER = re.compile(r"(?P<heading>#{1,6}[ \t]+)?(?P<bold>\*\*|__)?\(?(?P<number>\d{1,3})[.)、](?:\*\*|__)?(?:[ \t]|\*|\Z)")
_FINAL = re.compile(r"(?:#{1,6} *)?(?:\*\*|__)?(?:(?:the )?final answer\b|(?:answer|conclusion) ?[:：*]|答案|ответ ?[:：*])", re.I)
_SENTENCE = re.compile(  # its end, also where a formula closes after the full stop, and how the next one begins
    r"(?:[.!?](?:\$\$?|\\\]|\\\))?|\$\$|\\\]|\\end\{[^{}\n]{1,64}\})[\"'”’)*_]*(?P<gap>\s*)"
    r"(?!\\\[|\$\$|\\begin)(?=[A-Z\"“(*$\\\d]|[^\x00-\x7f\s])|[。！？](?P<wide>\s*)"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|cf|vs|resp|approx|ca|etc|no|nos|fig|eq|eqs|thm|prop|mrs?|ms|dr|st|prof|pp?|[A-Z])\.\Z", re.I
)
_CONCLUDES = re.compile(r"(?:\*\*)?(?:therefore|thus|hence|so|finally|in conclusion|in summary|the (?:final )?answer)\b", re.I)


@dataclass(slots=True)
class _Block:
    """Lines that every rule keeps together: mostly one, or those of a formula, a fence, a table."""

    first: int
    last: int
    gap: int  # blank lines before it
    opening: str  # its first line, without the white space around it
    closing: str  # its last line, too
    indent: int  # columns before its first line
    is_formula: bool = False
    is_fence: bool = False
    is_table: bool = False
    words: bool = True  # it has a letter or a digit outside of tags


class _Text:
    """A solution, its lines, and the blocks between which it can be cut."""

    def __init__(self, text: str) -> None:
        self.source = text
        ends = [(match.start(), match.end()) for match in _LINE_END.finditer(text)]
        self.bounds = list(zip([0, *(end for _, end in ends)], [*(start for start, _ in ends), len(text)], strict=True))
        self.lines = [text[start:end] for start, end in self.bounds]
        self.text = "\n".join(self.lines)
        self.starts = [0, *accumulate(len(line) + 1 for line in self.lines[:-1])]
        self.marks = _Marks(self.text, self.starts, self.lines)
        self.blocks = self._blocks()
        self.span_starts, self.span_ends = self._outer_spans()

    def _blocks(self) -> list[_Block]:
        change = [0] * (len(self.lines) + 1)  # +1 where something opens, -1 where it closes: between them no line end is a cut
        for first, last in self._held():
            change[first] += 1
            change[last] -= 1
        held = list(accumulate(change))
        displays = {start: end for start, end in self.marks.displays}
        fences = {first for first, _ in self.marks.fences}
        tables = {first for first, _ in self.tables}
        blocks: list[_Block] = []
        at, gap = 0, 0
        while at < len(self.lines):
            if not self.lines[at].strip() and not held[at]:
                at, gap = at + 1, gap + 1
                continue
            first = at
            while held[at]:
                at += 1
            block = _Block(first, at, gap, self.lines[first].strip(), self.lines[at].strip(), _indent(self.lines[first]))
            block.is_formula = self._is_formula(first, at, displays)
            block.is_fence, block.is_table = first in fences, first in tables
            block.words = any(map(_says_something, self.lines[first : at + 1]))
            blocks.append(block)
            at, gap = at + 1, 0
        return blocks

    def _outer_spans(self) -> tuple[list[int], list[int]]:
        starts: list[int] = []
        ends: list[int] = []
        for start, end in sorted(self.marks.spans):
            if ends and start < ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        return starts, ends

    def _held(self) -> Iterator[tuple[int, int]]:
        for start, end in self.marks.spans:
            yield self.marks.line_of(start), self.marks.line_of(end - 1)
        yield from self.marks.fences
        self.tables = list(self._find_tables())
        yield from self.tables

    def _find_tables(self) -> Iterator[tuple[int, int]]:
        at, total = 0, len(self.lines)
        piped = ["|" in line and not fenced for line, fenced in zip(self.lines, self.marks.in_fence, strict=True)]
        lines = [line.strip() if bar or line.lstrip().startswith("+") else "" for line, bar in zip(self.lines, piped, strict=True)]
        while at < total:
            line, first = lines[at], at
            follows = lines[at + 1] if at + 1 < total else ""
            if _FRAME.match(line):
                while at + 1 < total and (_FRAME.match(lines[at + 1]) or piped[at + 1]):
                    at += 1
            elif piped[at] and "|" in follows and _RULER.match(follows):
                while at + 1 < total and piped[at + 1]:
                    at += 1
            elif piped[at] and _ROW.match(line):
                while at + 1 < total and piped[at + 1] and _ROW.match(lines[at + 1]):
                    at += 1
            if at > first:
                yield first, at
            at += 1

    def _is_formula(self, first: int, last: int, displays: dict[int, int]) -> bool:
        """Say whether the lines hold displayed formulas and nothing else but punctuation."""
        at, end = self.starts[first], self.starts[last] + len(self.lines[last])
        formulas = 0
        while at < end:
            if at in displays and displays[at] <= end:
                at, formulas = displays[at], formulas + 1
            elif self.text[at].isspace() or self.text[at] in ".,;":
                at += 1
            else:
                return False
        return formulas > 0

    def sentences(self, first: int, following: int) -> Iterator[str]:
        """Yield the sentences of some blocks. A sentence does not end inside of what belongs together, nor in or after a list."""
        blocks = self.blocks[first:following]
        start, end = self.starts[blocks[0].first], self.starts[blocks[-1].last] + len(self.lines[blocks[-1].last])
        closing = next((place for place, block in enumerate(blocks) if block.opening == _ANSWER), None)
        stop = end if closing is None else self.starts[blocks[closing].first]
        ends: list[tuple[int, int]] = []
        is_prose = not any(block.is_fence or block.is_table or _ITEM.match(block.opening) for block in blocks[:closing])
        for match in _SENTENCE.finditer(self.text, start, stop) if is_prose else ():
            gap, after = match["gap"] or match["wide"] or "", match.end()
            before = after - len(gap)
            if after < stop and self._ends_sentence(match[0], before, after) and _says_something(self.text[start:before]):
                ends.append((start, before))
                start = after
        if ends and not _says_something(self.text[start:stop]):
            start, _ = ends.pop()
        for begin, before in ends:
            yield self._source(begin, before)
        yield self._source(start, end)

    def _ends_sentence(self, mark: str, before: int, after: int) -> bool:
        place = bisect_right(self.span_starts, before) - 1
        if place >= 0 and before < self.span_ends[place] and self.span_starts[place] < before:
            return False
        if mark[0] in "。！？":
            return True
        if mark[0] in ".!?" and before < after:
            return not _ABBREVIATION.search(self.text, max(0, before - 12), before)
        closes = self.text.endswith(("$$", "\\]", "}"), 0, before)  # a displayed formula ends a sentence also without a blank behind it
        return closes and self.text[after : after + 1].isupper()

    def _source(self, start: int, end: int) -> str:
        """Return the part of the solution between two places of the text whose line ends are all \\n."""
        first, last = self.marks.line_of(start), self.marks.line_of(end)
        return self.source[self.bounds[first][0] + start - self.starts[first] : self.bounds[last][0] + end - self.starts[last]]

    def piece(self, first: _Block, last: _Block) -> str:
        return self.source[self.bounds[first.first][0] : self.bounds[last.last][1]]


# --- cutting -----------------------------------------------------------------------------------------------------------


def cut(text: str, *, by: str = LINES) -> list[str]:
    """Cut a solution into steps by a rule: lines, paragraphs, numbered, sentences, or given (the text is one step).

    A text without numbers is cut at its blank lines by `numbered`. Steps are slices of the text. Raises ValueError for an unknown rule.
    """
    if by == GIVEN:
        return [text] if text.strip() else []
    if by not in RULES:
        raise ValueError(f"There is no rule {by!r} for steps. The rules are {', '.join(RULES)}.")
    return _cut(_Text(text), by)


def _cut(read: _Text, by: str) -> list[str]:
    blocks = read.blocks
    if not blocks:
        return []
    chosen = _numbered_cuts(blocks) if by == NUMBERED else None
    is_numbered = chosen is not None
    if chosen is None:
        chosen = [by == LINES or block.gap > 0 or _is_heading(block) for block in blocks]
    cuts = [place > 0 and wanted for place, wanted in enumerate(chosen)]
    numbers = chosen if is_numbered else [False] * len(blocks)
    _join_what_belongs(blocks, cuts, numbers)
    _join_answer(read, cuts)
    _join_fragments(blocks, cuts)
    firsts = [0, *(place for place, is_cut in enumerate(cuts) if is_cut), len(blocks)]
    if by == SENTENCES:
        return [sentence for first, following in pairwise(firsts) for sentence in read.sentences(first, following)]
    return [read.piece(blocks[first], blocks[following - 1]) for first, following in pairwise(firsts)]


def _indent(line: str) -> int:
    blank = line[: len(line) - len(line.lstrip(" \t"))]
    return len(blank.expandtabs(4))


def _join_what_belongs(blocks: list[_Block], cuts: list[bool], numbers: list[bool]) -> None:
    """Take back the cuts between a lead-in and its list, formula, table or code, and between an item and what is indented below it."""
    items = [None if block.is_formula or block.is_fence or block.is_table else _ITEM.match(block.opening) for block in blocks]
    item_indent: int | None = None  # of the item that the lines now belong to
    listing = False  # inside of a list under its lead-in
    for at in range(1, len(blocks)):
        before, block, item = blocks[at - 1], blocks[at], items[at]
        if items[at - 1] and (item_indent is None or before.indent <= item_indent or not items[at]):
            item_indent = before.indent if item_indent is None else min(item_indent, before.indent)
        if numbers[at]:
            item_indent, listing = None, False
            continue
        leads = bool(_LEADS.search(before.closing)) and not before.is_fence
        is_loose = bool(item and item["number"] and block.gap and _next_is_loose(blocks, items, at))
        if item_indent is not None and block.indent > item_indent:
            joined = True
        elif item:
            joined = (listing and not is_loose and (not item["number"] or not block.gap)) or (
                not items[at - 1] and not is_loose and not before.is_fence and (leads or (not block.gap and _is_open_sentence(before)))
            )
            listing, item_indent = joined, None
        else:
            listing, item_indent = False, None
            joined = (
                (block.is_formula or block.is_fence or block.is_table)
                and (leads or (block.is_formula and _is_open_sentence(before)))
                or (block.is_fence and before.is_fence and not block.gap)
                or (before.is_formula and not block.is_formula and block.opening[:1].islower())
            )
        if joined or _continues(block):
            cuts[at] = False


def _next_is_loose(blocks: list[_Block], items: list[re.Match[str] | None], at: int) -> bool:
    """Say whether the next item at this place of a list comes after a blank line, or is preceded by one: its items are paragraphs."""
    indent = blocks[at].indent
    for following in range(at + 1, min(at + 200, len(blocks))):
        item = items[following]
        if item and item["number"] and blocks[following].indent == indent:
            return blocks[following].gap > 0
        if blocks[following].gap and blocks[following].indent <= indent and not item and not blocks[following].is_formula:
            break
    return any(items[earlier] and blocks[earlier].indent == indent for earlier in range(at - 1, max(-1, at - 200), -1))


def _is_open_sentence(block: _Block) -> bool:
    """Say whether a text goes on in the formula or list below it: it is prose and does not end as a sentence does."""
    return block.words and not (
        block.is_formula
        or block.is_fence
        or block.is_table
        or _SENTENCE_END.search(block.closing)
        or _is_heading(block)
        or _TAG.match(block.closing)
    )


def _continues(block: _Block) -> bool:
    line = block.opening
    for opening in (r"\[", r"\(", "$$", "$"):
        line = line.removeprefix(opening)
    return bool(_CONTINUES.match(line.lstrip())) and bool(line.strip("= "))


def _is_heading(block: _Block) -> bool:
    """Say whether a block only announces what comes next: "### Step 2", "**Final answer**", "Step 3:"."""
    if block.first != block.last:
        return False
    line = block.opening
    if _HEADING.match(line) or _ENDING.match(line):
        return True
    if bold := _BOLD_LINE.match(line):
        return not _STATES.search(re.sub(r"(\d)[.)]", r"\1", bold["inside"]).rstrip(" .:"))
    step = _STEP.match(line)
    return bool(step) and not re.search(r"[^\W_]", line[step.end() :])  # type: ignore[union-attr]


def _join_answer(read: _Text, cuts: list[bool]) -> None:
    """Keep PRM800K's closing "# Answer" and the answer below it in one step with what comes before."""
    for at in range(len(read.blocks) - 1, 0, -1):
        if read.blocks[at].opening == _ANSWER:
            if len(read.piece(read.blocks[at], read.blocks[-1])) <= LONGEST_ANSWER:
                cuts[at:] = [False] * (len(cuts) - at)
            return


def _join_fragments(blocks: list[_Block], cuts: list[bool]) -> None:
    """Join a step that says nothing by itself: a heading to the next one, a rule or a lonely mark to the one before."""
    firsts = [0, *(place for place, is_cut in enumerate(cuts) if is_cut), len(blocks)]
    pending = False  # everything of this step so far is headings, opening tags or marks
    for number, (first, following) in enumerate(pairwise(firsts)):
        inside = blocks[first:following]
        if pending:
            cuts[first] = False
        speaks = any(block.words for block in inside)
        if not speaks and first and not pending and not _opens_tag(inside[0]):
            cuts[first] = False
            continue
        waits = all(_is_heading(block) or not block.words for block in inside)
        pending = waits if number == 0 or cuts[first] else pending and waits
    if pending:
        last = max((place for place, is_cut in enumerate(cuts) if is_cut), default=0)
        if last and not (_BOLD_LINE.match(blocks[-1].opening) and re.search(r"\d", blocks[-1].opening)):
            cuts[last] = False


def _opens_tag(block: _Block) -> bool:
    tag = _TAG.match(block.opening)
    return bool(tag) and not tag[1]  # type: ignore[index]


def _numbered_cuts(blocks: list[_Block]) -> list[bool] | None:
    """Return where numbered steps begin, or None in a text without numbers.

    The first kind of number that occurs twice decides: "Step 3", "### 3.", "**3.", "3." at the margin. Numbers of another kind, and lists
    below a step, stay inside of it.
    """
    usable = [not (block.is_formula or block.is_fence or block.is_table) for block in blocks]
    steps = [bool(usable[at] and block.indent < 4 and _STEP.match(block.opening)) for at, block in enumerate(blocks)]
    kinds: dict[str, list[bool]] = {"step": steps}
    numbers = [_NUMBER.match(block.opening) if usable[at] and block.indent < 4 else None for at, block in enumerate(blocks)]
    for kind in ("heading", "bold", "plain"):
        marks, expected = [False] * len(blocks), 1
        for at, number in enumerate(numbers):
            if number and _kind(number) == kind and int(number["number"]) in (1, expected):
                marks[at], expected = True, int(number["number"]) + 1
        kinds[kind] = marks
    kind = next((kind for kind, marks in kinds.items() if sum(marks) >= 2), "step")
    cuts = kinds[kind]
    if not any(cuts):
        return None
    last = max(at for at, is_cut in enumerate(cuts) if is_cut)
    level = max(
        (len(heading[1]) for at, is_cut in enumerate(cuts) if is_cut and (heading := _HEADING.match(blocks[at].opening))), default=0
    )
    for at in range(cuts.index(True) + 1, len(blocks)):
        heading = _HEADING.match(blocks[at].opening) if usable[at] else None
        if heading and len(heading[1]) <= max(level, 1) or (at > last and usable[at] and _FINAL.match(blocks[at].opening)):
            cuts[at] = True
    if kind == "plain" and (end := _conclusion(blocks, cuts, last)) is not None:
        cuts[end] = True
    return cuts


def _kind(number: re.Match[str]) -> str:
    return "heading" if number["heading"] else "bold" if number["bold"] else "plain"


def _conclusion(blocks: list[_Block], cuts: list[bool], last: int) -> int | None:
    """Return the block after the last item with which a text at the margin begins, or only the final one if items have such texts too."""

    def leaves(at: int) -> bool:
        block = blocks[at]
        return (
            bool(block.gap)
            and not (block.is_formula or block.is_fence or block.is_table or _ITEM.match(block.opening))
            and not block.indent
        )

    after = [at for at in range(last + 1, len(blocks)) if leaves(at)]
    if any(leaves(at) and not cuts[at] for at in range(cuts.index(True), last)):
        after = [at for at in after[-1:] if _CONCLUDES.match(blocks[at].opening)]
    return next(iter(after), None)


# --- what a step and a file are like -----------------------------------------------------------------------------------


def why_broken(step: str) -> str | None:
    """Return what is wrong with a step: no letter or digit, or a mark without its partner. None if nothing is."""
    if not _says_something(step):
        return NO_WORDS
    return next(iter(_faults(step)), None)


def _faults(text: str) -> list[str]:
    """Return the marks without a partner, in their order, each as a reason."""
    if not re.search(r"[$`~\\]|\[/?asy\]", text):
        return []
    lines = split_lines(text)
    marks = _Marks("\n".join(lines), [0, *accumulate(len(line) + 1 for line in lines[:-1])], lines)
    return [fault.reason for fault in sorted(marks.faults)]


@dataclass(slots=True)
class StepFigures:
    """Figures of a file's steps: how many, how long, and how many are broken, with the first of them."""

    counts: Counter[int] = field(default_factory=Counter)  # steps of a solution -> how many solutions
    lengths: Counter[int] = field(default_factory=Counter)  # characters of a step -> how many steps
    broken: int = 0
    unpaired: int = 0  # of these, how many are broken in the text itself, so that no rule can help
    example: str = ""  # the first broken step: its place, the reason, its text

    @property
    def solutions(self) -> int:
        return self.counts.total()

    @property
    def steps(self) -> int:
        return self.lengths.total()

    @property
    def median(self) -> float:
        """The steps of the median solution."""
        return _median(self.counts)

    @property
    def median_length(self) -> float:
        """The characters of the median step."""
        return _median(self.lengths)

    @property
    def share_broken(self) -> float:
        return self.broken / self.steps if self.steps else 0.0

    def add(self, steps: Sequence[str], *, text: str | None = None, place: str = "") -> None:
        """Count one solution, and the `text` that it was cut from. `place` says where it stands, such as "line 7"."""
        self.counts[len(steps)] += 1
        in_text: list[str] | None = None
        for number, step in enumerate(steps, 1):
            self.lengths[len(step)] += 1
            if (reason := why_broken(step)) is not None:
                self.broken += 1
                in_text = in_text if in_text is not None else _faults(text or "")
                self.unpaired += reason in in_text
                self.example = self.example or f"step {number}{f' of {place}' if place else ''}, {shortened(step)}: {reason}"

    def __str__(self) -> str:
        if not self.steps:
            return "There are no steps."
        low, high = min(self.counts), max(self.counts)
        said = (
            f"{self.steps:,} steps in {self.solutions:,} solutions: the median solution has {self.median:g} ({low:,} to {high:,}). "
            f"The median step has {self.median_length:,g} characters, the longest has {max(self.lengths):,}."
        )
        return f"{said} {self.broken_in_words()}." if self.broken else said

    def broken_in_words(self) -> str:
        """Say how many steps are broken and which is the first: two sentences without the last full stop."""
        itself = f", {self.unpaired:,} of them in the text itself" if self.unpaired else ""
        are = "steps are" if self.broken > 1 else "step is"
        return f"{self.broken:,} {are} broken ({self.share_broken:.2%}{itself}). The first one is {self.example}"


class RuleChoice(NamedTuple):
    """The rule for a file, and why: one sentence."""

    rule: str
    why: str


def choose_rule(texts: Iterable[str], *, progress: Callable[[int], None] | None = None) -> RuleChoice:
    """Choose the rule for all solutions of a file.

    Numbers win if most solutions have them. Otherwise it is the rule with the fewest broken steps (up to 1 % counts as none) that gives the
    median solution 4 to 15 steps, blank lines before lines. Where both leave most solutions whole, sentences cut them. `progress` is
    given the number of texts read.
    """
    numbered = total = 0
    reports = {rule: StepFigures() for rule in RULES}
    for total, text in enumerate(texts, 1):
        read = _Text(text)
        marks = _numbered_cuts(read.blocks)
        numbered += marks is not None and sum(marks) >= 2
        for rule in RULES:
            reports[rule].add(_cut(read, rule))
        if progress:
            progress(total)
    if not total:
        return RuleChoice(LINES, "There are no texts to cut")
    medians = {rule: report.median for rule, report in reports.items()}

    def distance(rule: str) -> tuple[bool, float]:
        return reports[rule].share_broken > BROKEN_SHARE, max(FEWEST - medians[rule], medians[rule] - MOST, 0)

    if 2 * numbered > total and medians[NUMBERED] >= 3 and not distance(NUMBERED)[0]:
        return RuleChoice(NUMBERED, f"{numbered:,} of {total:,} solutions number their steps")
    rule = min((PARAGRAPHS, LINES), key=distance)
    if medians[rule] < 2 and medians[SENTENCES] >= 3 and not distance(SENTENCES)[0]:
        return RuleChoice(SENTENCES, f"most solutions are one paragraph, and sentences give {medians[SENTENCES]:g} steps in the median one")
    other = LINES if rule == PARAGRAPHS else PARAGRAPHS
    what = {PARAGRAPHS: "blank lines give", LINES: "lines give"}
    if medians[rule] == medians[other]:
        return RuleChoice(rule, f"{what[rule]} {medians[rule]:g} steps in the median solution")
    return RuleChoice(rule, f"{what[rule]} {medians[rule]:g} steps in the median solution, {what[other]} {medians[other]:g}")


def shortened(step: str, *, length: int = 80) -> str:
    """Return a step as one line of up to `length` characters, in quotes, for a message."""
    line = repr(step)
    return line if len(line) <= length else f"{line[: length - 2]}…{line[-1]}"


def _median(counts: Counter[int]) -> float:
    """Return the median of the numbers counted: the middle one, or the mean of the two in the middle."""
    total, seen = counts.total(), 0
    middle: list[int] = []
    for number in sorted(counts):
        seen += counts[number]
        for rank in ((total + 1) // 2, total // 2 + 1)[len(middle) :]:
            if seen >= rank:
                middle.append(number)
    return sum(middle) / 2 if middle else 0
