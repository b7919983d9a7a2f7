"""Steps, the cutting: the lines and blocks of a text, and the rules that say between which blocks it is cut."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from trainer.steps.marks import LINE_END, Marks, says_something

LINES, PARAGRAPHS, NUMBERED, SENTENCES, GIVEN, AUTO = "lines", "paragraphs", "numbered", "sentences", "given", "auto"
RULES = (LINES, PARAGRAPHS, NUMBERED, SENTENCES)
LONGEST_ANSWER = 1_000  # characters below "# Answer" that can be an answer

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
_CHINESE = "[一二三四五六七八九十]{1,3}"
_STEP = re.compile(
    r"(?:(?P<heading>#{1,6})[ ]*)?(?:[-*+>][ ])?(?:\*\*|__|\*|_)?[\[(【（]?"
    rf"(?:(?:{_STEP_WORDS})[ \t]*[#№]?(?:{_ORDINAL}|{_CHINESE})|第(?:{_CHINESE}|\d{{1,3}})步|\d{{1,3}}[ ]?단계)"
    r"[ \t]*(?:[:.)\]】）*_：、,，—–(-]|\Z)",
    re.I,
)
_NUMBER = re.compile(  # after a full-width mark, or a number in a circle, no blank follows
    r"(?P<heading>#{1,6}[ \t]+)?(?P<bold>\*\*|__)?[(（]?"
    r"(?:(?P<number>\d{1,3})(?:[.):](?:\*\*|__)?(?:[ \t]|\*|\Z)|[、．）：])|(?P<circled>[①-⑳]))"
)
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


class ReadText:
    """A solution, its lines, and the blocks between which it can be cut."""

    def __init__(self, text: str) -> None:
        self.source = text
        ends = [(match.start(), match.end()) for match in LINE_END.finditer(text)]
        self.bounds = list(zip([0, *(end for _, end in ends)], [*(start for start, _ in ends), len(text)], strict=True))
        self.lines = [text[start:end] for start, end in self.bounds]
        self.text = "\n".join(self.lines)
        self.starts = [0, *accumulate(len(line) + 1 for line in self.lines[:-1])]
        self.marks = Marks(self.text, self.starts, self.lines)
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
            block.words = any(map(says_something, self.lines[first : at + 1]))
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
            if after < stop and self._ends_sentence(match[0], before, after) and says_something(self.text[start:before]):
                ends.append((start, before))
                start = after
        if ends and not says_something(self.text[start:stop]):
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
    return cut_blocks(ReadText(text), by)


def cut_blocks(read: ReadText, by: str) -> list[str]:
    blocks = read.blocks
    if not blocks:
        return []
    chosen = numbered_cuts(blocks) if by == NUMBERED else None
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


def _join_answer(read: ReadText, cuts: list[bool]) -> None:
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


def numbered_cuts(blocks: list[_Block]) -> list[bool] | None:
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
            if number and _kind(number) == kind and _value(number) in (1, expected):
                marks[at], expected = True, _value(number) + 1
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


def _value(number: re.Match[str]) -> int:
    return int(number["number"] or unicodedata.numeric(number["circled"]))


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
