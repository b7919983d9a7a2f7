r"""The answer that a solution states. Pure.

A *statement* says what the answer is: a box, a tag `<answer>`, a heading or label "Answer", or a sentence such as "the answer is 5". The
latest statement counts. `docs/grading.md` lists the kinds. Any text takes linear time: a value is read from at most LONGEST characters, and
at most TRIES statements that turn out to state nothing are passed over.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from trainer.answers.words import LANGUAGES, Language

LONGEST = 2_000  # characters that are read after "the answer is"
TRIES = 200
LABEL = 100  # characters; a longer line is no heading


def stated_answer(steps: Iterable[str]) -> str | None:
    """Return the final answer that a solution of these steps states, or None. The whole solution is read, its latest statement first."""
    return extract_answer("\n".join(steps))


def extract_answer(text: str) -> str | None:
    """Return the final answer that a text states, or None if it states none.

    The latest statement counts. What stands inside `<think>` counts only if nothing after it states an answer, and only if the thinking
    came to its end. A statement that is denied, asked, supposed, taken back or cut off states nothing.
    """
    if (at := text.rfind("# Answer\n\n")) >= 0 and (plain := _PLAIN_END.match(text, at)) and text[at - 1 : at] in ("", "\n"):
        is_thought = ("<" in text or "◁" in text) and _THOUGHT_START.search(text)
        if not is_thought:
            return plain[1]
    text = _LINE_END.sub("\n", text)
    for _ in range(3):  # a step mark and two marks of the end
        text = _END_MARK.sub("", text).rstrip()
    after = max((mark.end() for mark in _THOUGHT_END.finditer(text)), default=0)
    if after and (answer := _latest(text[after:])) is not None:
        return answer
    thought = _THOUGHT_START.search(text, after)
    return _latest(text[: thought.start() if thought else len(text)])


def last_boxed(text: str) -> str | None:
    r"""Return what the last complete `\boxed{...}` holds, or None."""
    boxes = _boxes(text)
    return boxes[-1].inside if boxes else None


# --- statements ----------------------------------------------------------------------------------------------------------

# How PRM800K ends a solution, with a number: nothing can follow this heading, so it is the latest statement. Most solutions end so, and the
# search for all statements costs thirty times as much.
_PLAIN_END = re.compile(r"# Answer\n\n(-?\d{1,18})\Z", re.ASCII)
_LINE_END = re.compile(r"\r\n?")
_END_MARK = re.compile(  # the marks of steps in training data of reward models, and of the end of a text
    r"(?:\bки\b|<extra_\d+>|<\|?(?:endoftext|im_end|eot_id|end_of_text|end_of_turn|eos|eom_id)\|?>|</s>|<｜end▁of▁sentence｜>)"
    r"[ \t]*(?=\n|$)"
)
_THOUGHT = r"(?:think|thinking|thoughts?|reasoning|scratchpad)"
_THOUGHT_START = re.compile(rf"<{_THOUGHT}>|<\|begin_of_thought\|>|◁think▷", re.I)
_THOUGHT_END = re.compile(rf"</{_THOUGHT}>|<\|end_of_thought\|>|◁/think▷", re.I)
_TAG = re.compile(r"[<\[](/?)(?:final[_ -]?)?(?:answer|ans)[>\]]", re.I)
_LAST_LINE = re.compile(r"\s*(?:step \d+:\s*)?(?:####|(?:[*_]{0,2}(?-i:A)[*_]{0,2})\s*[:：])\s*[*_]{0,2}(.*)", re.I)
_NO_ANSWER_LINE = re.compile(r"(?:step|part|case|schritt|étape|paso|шаг|conclusion|solution|summary)\b|第|.*[:：]\s*$", re.I)
_LONE_NUMBER = re.compile(r"[ \t]*####[ \t]*\**[-−]?\$?[-−]?\d[\d,./]*(?<![.,])%?\**[ \t]*", re.ASCII)

_THE = r"\s+(?:that\s+)?(?:(?:the|our|my|your|this|an?|any|all|each|its)\s+)?(?:(?:final|correct|right)\s+)?$"
_DOUBT = re.compile(  # stands right before the word "answer"
    rf"\b(?:if|whether|unless|supposed?|supposing|assum(?:e|es|ed|ing)|maybe|perhaps|possibly"
    rf"|(?:what|which|where|why|how)(?: (?:is|are|was|were))?|(?:don['’]t|do not|doesn['’]t|cannot|can['’]t) (?:think|believe|know|say)"
    r"|not (?:true|the case|clear|likely|certain|sure)|of"
    r"|check|checks|checking|verify|verifying|confirm|confirming|test|testing|express|write|round|leave|enter|submit|simplify|put|state|give"
    rf"|format|box|report|present){_THE}"
    r"|\b(?:wrong|incorrect|false|mistaken|naive|tempting|old|previous|earlier|initial|neither|no|student['’]s)\s+(?:final\s+)?$",
    re.I,
)
_PART = re.compile(
    r"\b(?:parts?|sub\w*|steps?|first|second|third|next|previous|other|similar|question \d|(?:part )?\([a-z]\))(?:\s|$|\W)", re.I
)
_NEGATION = re.compile(
    r"[\s*_]*(?:(?:definitely |certainly |clearly |obviously )?not\b(?! only)|neither\b|never\b|no longer\b|nicht\b|не\b|不是)", re.I
)
_INSTEAD = re.compile(r"(?<=[^.!?\n])(?:,?\s+but(?:\s+rather)?|[,;]\s+it(?:['’]s|\s+is)|[,;]\s+rather)\s+(?=[-−$\\\d(*])")
_DENIES = re.compile(r"not\b|n['’]t\b|nicht|не$|不")
_BEFORE_NEGATED = re.compile(r"(?:\bnot|n['’]t|不是|\bnicht|\bне|n'est pas|\bno es|\bnão é)[\s*_]*(?:\$\$?|\\\(|\\\[)?\s*$", re.I)
_MAYBE = re.compile(r"(?:could|may|might|can)\b|was|were", re.I)
_WISH = re.compile(r"(?:should|must|has to|will|would)\b", re.I)
_QUALITY = re.compile(  # the answer should be positive
    r"\s*(?:(?:non-?)?(?:positive|negative|zero)|odd|even|less|greater|more|fewer|smaller|larger|between|at (?:least|most)|divisible)\b",
    re.I,
)
_RETRACTION = re.compile(
    r"(?:^|[.!?…;\n*)\]}$—])\s*(?:(?:oh|but|no|nope|oops|hmm+|actually|hold on|well)[,.!…—-]*\s+){0,3}"
    r"(?:wait\b|no, (?:that|this|it)\b|(?:that|this|it)(?:['’]s| is| was) (?:wrong|incorrect|not (?:right|correct))\b"
    r"|i (?:have )?made an? (?:\w+ )?(?:mistake|error)\b|scratch that\b|on second thought\b)",
    re.I,
)


class _Found(NamedTuple):
    start: int  # of the statement
    kind: str
    value: int  # where its value starts; of a box, its place among all boxes
    end: int  # where its value ends, or -1 if that must be found


def _latest(text: str) -> str | None:
    """Return the value of the latest statement that has one and is not taken back."""
    boxes = _boxes(text)
    statements = sorted(
        [
            *(_Found(box.start, "box", place, box.end) for place, box in enumerate(boxes)),
            *_tags(text),
            *_worded(text),
            *_last_line(text),
        ],
        reverse=True,
    )
    retracted: int | None = None  # looked for where something after a statement could take it back: most texts have no such place
    denied: set[str] = set()
    part: str | None = None  # the answer to one part of the problem: it counts if nothing else is stated
    for statement in statements[:TRIES]:
        if retracted is None and _RETRACTION.search(text, statement.start):
            retracted = max((cue.start() for cue in _RETRACTION.finditer(text)), default=-1)
        if retracted is not None and statement.start < retracted:
            break
        if statement.kind == "box":
            if _BEFORE_NEGATED.search(text[max(0, statement.start - 40) : statement.start]):
                denied.add(boxes[statement.value].inside.strip())
            elif answer := _join(text, boxes[: statement.value + 1]):
                return answer
        elif answer := _read_value(text, statement):
            if statement.kind == "denied":
                denied.add(answer)
            elif answer in denied:
                continue
            elif statement.kind == "part":
                part = part or answer
            else:
                return answer
    return part


def _tags(text: str) -> Iterator[_Found]:
    opened: re.Match[str] | None = None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            opened = tag
        elif opened:
            yield _Found(opened.start(), "whole", opened.end(), tag.start())
            opened = None


def _last_line(text: str) -> Iterator[_Found]:
    """Find `#### 18` and `A: 18` in the last line, and a number after the only `####` of the text."""
    start = text.rfind("\n") + 1
    if (stated := _LAST_LINE.match(text, start)) and stated.end() == len(text) and not _NO_ANSWER_LINE.match(stated[1]):
        yield _Found(start, "line", stated.start(1), len(text))
    elif (mark := text.find("####")) >= 0 and text.find("####", mark + 4) < 0 and not text[text.rfind("\n", 0, mark) + 1 : mark].strip():
        end = text.find("\n", mark)
        if (number := _LONE_NUMBER.match(text, mark)) and number.end() == end:
            yield _Found(mark, "line", mark + 4, end)


def _worded(text: str) -> Iterator[_Found]:
    """Find the word for "answer" in any language, as a heading, a label or the subject of a sentence."""
    lowered = text.lower()
    for language in LANGUAGES:
        if any(stem in lowered for stem in language.stems):
            patterns = _patterns(language)
            for noun in patterns.noun.finditer(text):
                if found := _statement(text, noun, patterns):
                    yield found
                    if found.kind == "denied" and (but := _INSTEAD.search(text, found.value, found.value + LABEL)):
                        yield _Found(but.start(), "sentence", but.end(), -1)


def _statement(text: str, noun: re.Match[str], patterns: "_Patterns") -> _Found | None:
    start = text.rfind("\n", max(0, noun.start() - LABEL), noun.start()) + 1
    end = text.find("\n", noun.end(), noun.end() + LABEL)
    is_last = end < 0 and len(text) <= noun.end() + LABEL
    if (end >= 0 or is_last) and patterns.heading.fullmatch(text, max(start, noun.start() - LABEL), end if end >= 0 else len(text)):
        return _Found(noun.start(), "heading", end, -1) if end >= 0 else None
    before = text[max(start, noun.start() - 80) : noun.start()]
    if _DOUBT.search(before):
        return None
    if not (link := patterns.link.match(text, noun.end())):
        return _unlinked(text, noun, before)
    verb, about = (link["verb"] or "").lower(), link["about"] or ""
    negation = _NEGATION.match(text, link.end())
    if negation or _DENIES.search(verb):
        return _Found(noun.start(), "denied", negation.end() if negation else link.end(), -1)
    if _MAYBE.match(verb) or _WISH.match(verb) and _QUALITY.match(text, link.end()):
        return None
    return _Found(noun.start(), "part" if _PART.search(about) else "sentence", link.end(), -1)


_GIVES = re.compile(
    r"\b(?:gives?|giving|get|obtain|reach|yields?|have|arrive at)\s+(?:us\s+)?(?:the|an|our)\s+(?:final\s+|correct\s+)?$"
    r"|\b(?:ist|lautet)\s+die\s+$",
    re.I,
)
_VALUE_AHEAD = re.compile(r"\s+(?:of\s+)?(?=[-−]?[\d$]|\\[(\[]|\*\*|\([A-Z]\))")
_IS_THE = re.compile(
    r"(\$[^$\n]{1,99}\$|\\\((?:(?!\\[()]).){1,99}\\\)|\*\*[^*\n]{1,60}\*\*|\([A-Z]\)|(?<!\w)[A-Z]|(?<![\w.,/$])\$?[-−]?\d[\d.,/]{0,30}%?)"
    r"(?:\s[a-z]{1,20})?\s+is\s+(?:the|our|my)\s+(?:(?:final|correct|right)\s+)?$"
)


def _unlinked(text: str, noun: re.Match[str], before: str) -> _Found | None:
    """Find a value right after the noun (it gives the answer 5) or before it (5 is the answer)."""
    if _GIVES.search(before) and (ahead := _VALUE_AHEAD.match(text, noun.end())):
        return _Found(noun.start(), "sentence", ahead.end(), -1)
    if (value := _IS_THE.search(before)) and not re.match(r"\s*(?:\?|(?:to|of|for)\s)", text[noun.end() : noun.end() + 8]):
        place = noun.start() - len(before)
        return _Found(noun.start(), "whole", place + value.start(1), place + value.end(1))
    return None


class _Patterns(NamedTuple):
    noun: re.Pattern[str]
    link: re.Pattern[str]  # what stands between the noun and the value
    heading: re.Pattern[str]  # a whole line: **Final Answer**, ### Answer, Answer:


@cache
def _patterns(language: Language) -> _Patterns:
    mark = r"[*_}\s]{0,8}"  # emphasis, and the brace of \textbf{..}
    word = r"(?!\w)" if language.is_spaced else ""
    verb = rf"(?P<verb>{language.verbs}){word}" if language.verbs else r"(?P<verb>(?!))"
    about = rf"(?P<about>{language.about}|\s*[(（][^()（）\n]{{1,60}}[)）])?"
    left = r"(?<![^\W_])" if language.is_spaced else ""
    noun = rf"{left}(?<!\\)(?:{language.nouns}){word}(?:\s*(?:{language.final}){word})?"
    return _Patterns(
        re.compile(noun, re.I),
        re.compile(rf"{about}{mark}(?:{verb}|[:：=≈]|->|=>|→|⟹|⇒|\\(?:to|rightarrow|Rightarrow)\b|[-–—](?=\s)|[】》][:：]?)", re.I),
        re.compile(
            r"[ \t]*(?:#{1,6}[ \t]*|>[ \t]*)?(?:\d{1,2}[.)][ \t]*)?[*_]{0,3}(?:\\[a-z]{1,13}\*?\{)?[ \t]*"
            r"(?:[^\W\d_]{1,12}[ \t]+){0,2}[【《]?"
            rf"(?:{language.before})?[ \t]*(?:{noun})[】》]?[ \t]*[*_}}]{{0,4}}[ \t]*[:：.]?[ \t]*[*_}}]{{0,4}}[ \t]*",
            re.I,
        ),
    )


# --- boxes ---------------------------------------------------------------------------------------------------------------

_BOX = re.compile(r"\\(?:boxed|fbox|framebox|bbox(?:\[[^\[\]\n]{0,80}\])?|box)(?![a-zA-Z])\s{0,20}")
_UNBRACED = re.compile(
    r"[-+−]?\\?\$?\d[\d,.]*(?<![.,])(?:/\d+)?\\?%?|\([^()\n]{1,80}\)|[-+]?\\[dt]?frac\s*(?:\d\s*\d|\{[^{}\n]{0,80}\}\s*(?:\{[^{}\n]{0,80}\}|\d))"
    r"|[-+]?\\sqrt\s*(?:\{[^{}\n]{0,80}\}|\d)|\\text(?:bf|rm|it)?\{[^{}\n]{0,80}\}|[-+]?\\(?:pi|infty|emptyset)(?![a-zA-Z])|[a-zA-Z](?![a-zA-Z])",
    re.ASCII,
)
_CONNECTOR = r"(?:or else|or|and|ou|et|oder|und|y|или|и|或者?|和|または|また|と|및|또는)"
_GAP = r"(?:\\quad|\\qquad|\\[,;! ]|~|\s){0,6}"
_BETWEEN_BOXES = re.compile(  # from the end of one box to the start of the next of the same statement
    r"(?:\\\]|\\\)|\$\$?)?[ \t]*"
    rf"(?P<link>[,;、，]?\s{{0,3}}(?:\\(?:text|mbox|textrm|mathrm)\s*\{{\s*[,;]?\s*{_CONNECTOR}?\s*\}}|{_CONNECTOR}(?!\w))?[,:]?|{_GAP})"
    rf"\s{{0,3}}{_GAP}(?:\\\[|\\\(|\$\$?)?\s{{0,3}}(?P<label>[a-zA-Z](?:_\{{?\w\}}?)?\s{{0,2}}=\s{{0,2}})?"
)
_SIGN = re.compile(r"(?:[=(\[{,:$≈]|\\approx)\s{0,3}([-−]|\\pm\s?|\\mp\s?)\s{0,3}$")
_OPENING = re.compile(r"((?<!\\)[(\[]|\\\{)\s{0,3}$")
_CLOSING = re.compile(r"\s{0,3}(?:\\right\s?)?([)\]]|\\\})")
_BOX_LABEL = re.compile(r"(?<![\w\\^_+\-*/])([a-zA-Z](?:_\{?\w\}?)?)\s{0,2}=\s{0,2}$")


class _Box(NamedTuple):
    start: int
    end: int
    inside: str


def _boxes(text: str) -> list[_Box]:
    # One pass with a stack: it is linear also for unclosed boxes, and a cut-off last box does not hide an earlier complete one.
    if "box" not in text:
        return []
    boxes: list[_Box] = []
    starts: dict[int, int] = {}
    for found in _BOX.finditer(text):
        if text.startswith("{", found.end()):
            starts[found.end()] = found.start()
        elif token := _UNBRACED.match(text, found.end()):
            boxes.append(_Box(found.start(), token.end(), token[0]))
    opened: list[int] = []
    for brace in re.finditer(r"\\.|[{}]", text, re.S) if starts else ():
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened and (start := opened.pop()) in starts:
            boxes.append(_Box(starts[start], brace.end(), text[start + 1 : brace.start()]))
    boxes.sort(key=lambda box: (box.start, -box.end))
    outer: list[_Box] = []
    for box in boxes:
        if not outer or box.start >= outer[-1].end:
            outer.append(box)
    return outer


def _join(text: str, boxes: list[_Box]) -> str | None:
    """Return what the last of these boxes holds, with the boxes before it that belong to the same statement."""
    if not (inside := _signed(text, boxes[-1])):
        return None  # "in \\boxed{}": the task, said again
    group, first = [(_label_of(text, boxes[-1]), inside)], boxes[-1].start
    for box, following in zip(boxes[-2::-1], boxes[:0:-1], strict=False):
        between = _BETWEEN_BOXES.fullmatch(text, box.end, following.start) if following.start - box.end < LABEL else None
        link = between["link"] if between else ""
        if not between or (not link.strip() and ("\n" in between[0] or not between[0].strip())) or len(group) >= TRIES:
            break
        if inside := _signed(text, box):
            group.insert(0, (_label_of(text, box), inside))
            first = box.start
    labels = {label for label, _ in group}
    is_labeled = len(labels) == len(group) > 1 and "" not in labels
    opening, closing = _OPENING.search(text, max(0, first - 9), first), _CLOSING.match(text, boxes[-1].end)
    if len(group) > 1 and opening and closing and not is_labeled:  # a point, an interval or a set
        return f"{opening[1]}{', '.join(inside for _, inside in group)}{closing[1]}"
    return ", ".join(dict.fromkeys(f"{label} = {inside}" if is_labeled else inside for label, inside in group))


_PLACE = re.compile(  # a box that only shows where the answer goes
    r"[?.…_\\\s]*(?:\\[lc]?dots)?|(?:\\text(?:bf|it)?\s*\{)?\s*(?:(?:your|the|final|insert)\s+)*answer(?:\s+here)?\s*\}?", re.I
)


def _signed(text: str, box: _Box) -> str:
    """Return what a box holds, with a sign before it."""
    inside = _plain(box.inside)
    if _PLACE.fullmatch(inside):
        return ""
    sign = _SIGN.search(text, max(0, box.start - 12), box.start) if inside and inside[0] not in "-−+\\" else None
    return (sign[1] if sign else "") + inside


def _label_of(text: str, box: _Box) -> str:
    label = _BOX_LABEL.search(text[max(0, box.start - 20) : box.start])
    return label[1] if label else ""


# --- the value of a statement -----------------------------------------------------------------------------------------------

_LEAD = re.compile(r"(?:[\s:：=}＝]|[*_]{1,3}(?=\s|$))*")
_FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<a>.+?)(?<!\\)\$\$|\\\[(?P<b>.+?)\\\]|\\\((?P<c>.+?)\\\)|(?<!\\)\$(?=[^\s$])(?P<d>(?:\\.|[^$\\\n])+?)(?<!\s)\$(?!\d)"
    r"|(?P<e>\\begin\{([a-zA-Z]+\*?)\}.+?\\end\{\6\})",
    re.S,
)
_OPEN_FORMULA = re.compile(r"\\[\[(]|\$\$|\\begin\{|\$[^$\n]*[\\^{]")
_SHORT_WORDS = r"(?:[ap]\.m|u\.s|e\.g|i\.e|sq|cu|ft|in|yd|mi|oz|lbs?|hrs?|min|sec|approx|no|vs|st|dr|mrs?|ms)"
_SENTENCE_END = re.compile(  # a tag and the end of a formula that was open before the value end it too
    r"[.!?](?=\s|$|[\"'”’)\]]|[A-Z][a-z]|[*_]{1,3}(?:\s|$))|[。！？।؟۔]|\n|</?[a-zA-Z_]{2,20}>|\\\]|\\\)|\$\$?(?=[\s.]*(?:$|\n))"
)
_ABBREVIATION = re.compile(rf"(?:^|[\s\d(]){_SHORT_WORDS}$", re.I)
_LONG_WORD = re.compile(r"(\S+)[ \t]*(?:\n|$)")
_BOLD = re.compile(r"(?<![\w*])(?:\*\*|__)(?=\S)([^\n]{1,300}?)(?<=\S)(?:\*\*|__)(?![\w*])")
_ADVERB = re.compile(
    r"(?:(?:that there (?:is|are)|simply|just|therefore|thus|then|hence|indeed|clearly|actually|really|exactly|still|also|equal to"
    r"|given by|as follows|the following|option|choice|letter|definitely|now"
    r"|donc|alors|entonces|portanto|quindi|somit|daher|следовательно|(?:la |a )?opci[óo]n|l['’]option|a opção"
    r"|the (?:number|value|integer|fraction|letter)(?=\s+[-−$\\\d(*]))\b|[:：=])[\s:：,]*",
    re.I,
)
_CLAUSE = re.compile(
    r",?\s+(?:because|since|so that|which means|given that|as (?:required|desired|requested|needed|we|it|there|stated|shown)|as the"
    r"|based on|I hope it is correct)\b.*|[,;]\s+(?:so|and so|(?:and )?not|therefore|thus|hence|as|but|where|which|when"
    r"|meaning)\b.*|,?\s+(?:rather than|instead of)\b.*",
    re.I | re.S,
)
_WHICH_IS = re.compile(r"[,;(]?\s*\b(?:which|that) (?:is|equals|simplifies to|gives|comes to)\s+(?:equal to\s+)?(?=\S)", re.I)
_NO_VALUE = re.compile(  # the sentence speaks about the answer, or leaves a place for it
    r"(?:(?:in|to|of|on|at|by|for|from|with|within|as|expressed|obtained|found|rounded|written|correct|incorrect|right|wrong|reasonable|valid"
    r"|invalid|consistent|clear|clearly|obvious|that|what|which|where|when|how|because|since|if|whether|supposed|expected|required|asked|based"
    r"|already|always|simplified|unique|your|my|our|their|his|her|its|here|below|above|ready|done|complete|simple|easy|straightforward|needed"
    r"|unclear|the same|close to|likely|probably|accurate|verified"
    r"|confirmed|known|going|being|not|it|they|we|this|these|those)\b(?!\s*[=)])"
    r"|an?\s+(?:[a-z-]+\s+){0,3}(?:integer|number|fraction|decimal|percentage|expression|polynomial|value|interval|function|set|vector|matrix)s?\W*$"
    r"|[\s_.…?*\-\[\](){}<>\\$#|]*$|\W*(?:your|the|final|insert|write|put)\s+(?:final\s+|correct\s+)?answer\b|\W*answer(?:\s+here)?\W*$"
    r"|#{1,6}\s)",
    re.I,
)
_PREDICATE = re.compile(
    r"(?:\b(?:is|are|be|equals?|equal to|becomes|costs?|has|have|had|pays?|paid|earns?|earned|needs?|takes?|gets?|got|received?|receives"
    r"|makes?|made|spends?|spent)\s+(?:a total of\s+|only\s+)?|[:：=是为為有得共剩]\s*)(?=\0|[-−+$€£¥\\]{0,3}\d)",
    re.I,
)
_NUMBER = re.compile(r"[-−+]?(?:[€£¥]|\\?\$)?[-−]?(?:\d+(?:[.,:/]\d+)*|\.\d+)(?:\s?\\?%|°)?", re.ASCII)
_BELONGS = re.compile(  # what follows a formula and is part of the value: a unit, or a word that changes the value
    rf"[\s,;]*(?:{_CONNECTOR}|to|through|hundred|thousand|[mb]illion|trillion|dozen|percent|pct"
    r"|[ap]\.?m\b|bc|ad|in base|base|mod(?:ulo)?)(?!\w)|\s*(?:[!-~°]+|(?:square|cubic|sq\.|cu\.) \S+)\W*$",
    re.I,
)
_WRAPPED = re.compile(r"`([^`\n]*)`|\"([^\"\n]*)\"|“([^“”\n]*)”|「([^「」\n]*)」|『([^『』\n]*)』", re.S)
_OPERATORS = re.compile(
    r"\\(?:cdot|times|div|d?t?frac|[dt]?binom|log|ln|sin|cos|tan|gcd|max|min"
    r"|lfloor|rfloor|lceil|rceil|circ|[lc]?dots|left|right|sqrt|pi|pm|approx|quad|[,;! ]|text\{[^{}]*\})(?![a-zA-Z])"
)
_EQUALS = re.compile(r"(?<![<>!:=\\])=(?!=)")
_BULLET = re.compile(r"[ \t]*[-*•][ \t]+(.*)")


def _read_value(text: str, statement: _Found) -> str | None:
    """Return the value that a statement gives, or None if it gives none, asks, or is cut off."""
    if statement.kind in ("whole", "line"):
        segment = text[statement.value : statement.end].strip()
        if len(segment) > LONGEST:
            return segment if statement.kind == "whole" or len(segment.split()) == 1 else None
    else:
        window = text[statement.value : statement.value + LONGEST]
        is_all = len(text) <= statement.value + LONGEST
        lead = _LEAD.match(window)
        assert lead
        read = _segment(window, lead.end(), is_all=is_all, is_block=statement.kind == "heading")
        if read is None:  # a number of thousands of digits stands on a line of its own
            word = None if is_all else _LONG_WORD.match(text, statement.value + lead.end())
            return word[1] if word and len(word[1]) >= LONGEST else None
        segment = read
        if statement.kind == "denied" and (instead := _INSTEAD.search(segment)):
            return _refine(segment[: instead.start()])
    return _refine(segment)


def _segment(window: str, start: int, *, is_all: bool, is_block: bool) -> str | None:
    """Return the text from `start` to the end of its sentence, line or block, formulas whole; None if it asks or is cut off."""
    formulas = [found.span() for found in _FORMULA.finditer(window, start)]
    if bullets := _bullets(window[start:]):
        return ", ".join(bullets)
    end, inside = len(window), 0
    for stop in _SENTENCE_END.finditer(window, start):
        while inside < len(formulas) and formulas[inside][1] <= stop.start():
            inside += 1
        if inside < len(formulas) and formulas[inside][0] <= stop.start():
            continue
        before, after = window[start : stop.start()], window[stop.end() :]
        if stop[0] == "\n":
            if not before.strip() or re.search(rf"(?:[,;、，]|(?<!\w){_CONNECTOR})\s*$", before[-20:], re.I):
                continue
            if re.match(rf"\s*{_CONNECTOR}(?!\w)\s*(?:\n|[\\$\d-])", after, re.I):
                continue
            if is_block and not re.match(r"\s*(?:\n|#|---|\*\*|[A-Z][\w ]{0,30}:)|[ \t]*$", after) and not _SENTENCE.search(before):
                continue  # an answer of several lines
        elif stop[0] in ".!" and (
            _ABBREVIATION.search(before[-12:])
            and re.match(r"\s+[a-z\d(]|\s*$", after)
            or re.search(r"[ap]\.m$", before, re.I)
            and not re.match(r"\s+[A-Z]|\s*$", after)
        ):
            continue
        elif stop[0] in "?？؟":
            return None
        end = stop.start()
        if stop[0] == "." and re.search(r"[ap]\.m$", before, re.I):
            end += 1
        break
    segment = window[start:end]
    if end == len(window):
        if not is_all:
            return None
        rest = segment[max((to - start for _, to in formulas), default=0) :]
        if _OPEN_FORMULA.search(rest) or rest.count("{") > rest.count("}"):
            return None
    return segment


_SENTENCE = re.compile(r"[^\W\d_]{2,}(?:\s+\S+){3}")


def _bullets(block: str) -> list[str]:
    lines = block.split("\n", 12)[:12]
    items = [bullet[1].strip(" *_.") for line in lines if (bullet := _BULLET.fullmatch(line))]
    return items if len(items) > 1 and _BULLET.fullmatch(lines[0]) else []


def _refine(segment: str) -> str | None:
    """Return the value alone: without reasons, marks and, if there are many, the words around it."""
    segment = segment.strip()
    while adverb := _ADVERB.match(segment):
        segment = segment[adverb.end() :]
    if _NO_VALUE.match(segment):
        return None
    solids: list[str] = []

    def keep(found: re.Match[str]) -> str:
        solids.append(found[1] if found.re is _BOLD else found[0])
        return f"\0{len(solids) - 1}\0"

    segment = segment.replace("\0", " ")
    text = _BOLD.sub(keep, _FORMULA.sub(keep, segment))
    if which := list(_WHICH_IS.finditer(text)):
        text = text[which[-1].end() :]
    text = _CLAUSE.sub("", text, count=1)
    if _NO_VALUE.match(text):
        return None
    value = _choose(text)
    for place in range(len(solids) - 1, -1, -1):  # a bold text can hold a formula
        value = value.replace(f"\0{place}\0", solids[place])
    return _plain(_result(_plain(value)))


def _choose(text: str) -> str:
    """Return the part of a sentence that is its value; formulas and bold texts stand in it as \\0n\\0."""
    solid = re.compile(r"\0\d+\0")
    places = list(solid.finditer(text))
    if places and places[0].start() == 0:
        end = places[0].end()
        for later in places[1:]:
            if re.fullmatch(rf"\s*(?:[,;、，]?\s*{_CONNECTOR}(?!\w)|[,;、，])?\s*", text[end : later.start()], re.I):
                end = later.end()
        return text if _BELONGS.match(text, end) else text[:end]
    is_sentence = re.match(r"[^\W\d_]{2,}", text) and (
        len(text.split()) > 4
        or re.match(r"(?:the|there|it|she|he|they|we)\s", text, re.I)
        or len(text) > 30
        or not text.isascii()
        or text.rstrip(" .")[-1:] == "\0"
    )
    predicates = list(_PREDICATE.finditer(text)) if is_sentence else []
    if not predicates:
        return text
    rest = text[predicates[-1].end() :]
    if number := _NUMBER.match(rest):
        return rest if _BELONGS.match(rest, number.end()) else number[0]
    return _choose(rest)


def _plain(value: str) -> str:
    """Remove what wraps a value: emphasis, quotation marks, the delimiters of formulas, a closing verb, a full stop."""
    previous = None
    while value != previous:
        previous = value
        value = value.strip().strip("*_ \t\n").strip("\u200b\ufeff")
        value = _FORMULA.sub(lambda found: (found["a"] or found["b"] or found["c"] or found["d"] or found[0]).strip(), value)
        if wrapped := _WRAPPED.fullmatch(value):
            value = next(part for part in wrapped.groups() if part is not None)
        for language in LANGUAGES if not value.isascii() or value.endswith("r") else ():
            if language.closing:
                value = re.sub(rf"(?:{language.closing})$", "", value)
        if not re.search(r"[ap]\.m\.$", value, re.I):
            value = re.sub(r"(?<!\\)[.,;:。，；：]$", "", value)
        value = re.sub(r"\\(?:\\|quad|qquad)\s*$", "", value)
        value = re.sub(r"\s*(?:\$?\\(?:blacksquare|square|Box|qed)\$?|[□∎■])$", "", value)
        if value[-1:] in (")", "]") and value[0] != "]" and len(re.findall(r"[(\[]", value)) < len(re.findall(r"[)\]]", value)):
            value = value[:-1] if len(value) > 2 else value
        unmatched = value.replace(r"\{", "").replace(r"\}", "").count("}") - value.replace(r"\{", "").replace(r"\}", "").count("{")
        if unmatched > 0 and value.startswith("}"):
            value = value[1:]
        elif unmatched > 0 and value.endswith("}") and not value.endswith(r"\}"):
            value = value[:-1]
    return value


def _result(value: str) -> str:
    """Return the right side of a calculation: of `2 + 3 = 5` it is 5. An equation with a variable stays whole."""
    if len(value) > 300 or re.search(rf"[,;]\s|\\text|\\\\|&|(?<!\w){_CONNECTOR}(?!\w)|[或和と]|또는|[<>]|\\[gl]e", value):
        return value
    parts = _EQUALS.split(value)
    if len(parts) < 2 or not parts[-1].strip():
        return value
    if not re.search(r"[^\W\d_]", _OPERATORS.sub("", "".join(parts[:-1]))):
        return parts[-1].strip()
    if len(parts) > 2 and re.fullmatch(r"\s*[a-zA-Z](?:_\{?\w\}?)?\s*", parts[0]):
        return f"{parts[0].strip()} = {parts[-1].strip()}"
    return value
