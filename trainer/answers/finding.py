"""The answer that a solution states. Pure."""

import re

_SENTENCE = re.compile(r"\banswer\b(?:\s+(?:to|for|of)\s[^.\n]{1,80}?)?(?:\*\*)?\s*(?::|=|\bis\b)(?:\*\*)?\s*:?\s*(\S.*)", re.I)
_MATHS = re.compile(r"(\$\$|\$|\\\(|\\\[)(\S(?:.*?\S)?)(?:\$\$|\$|\\\)|\\\])")  # "$5 or $6" is money


def extract_answer(text: str) -> str | None:
    """Return the final answer that a solution states, or None if it states none.

    The first rule that finds one decides: all text after the last line `# Answer` (PRM800K); a last line `#### 18` (GSM8K) or `A: 18`
    (GSM8K's example solutions); the last complete `\\boxed{...}`; the last sentence "the answer is ..." or "Answer: ...".
    """
    lines = text.rstrip().splitlines() or [""]
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].strip() == "# Answer":
            return "\n".join(lines[at + 1 :]).strip() or None
    if stated := re.match(r"\s*(?:####|A:)(.*)", lines[-1]):
        return stated[1].strip() or None
    if (boxed := last_boxed(text)) is not None:
        return boxed.strip() or None
    for line in reversed(lines):
        for found in reversed(list(re.finditer(r"\banswer\b", line, re.I))):
            if sentence := _SENTENCE.match(line, found.start()):
                return _end_of_sentence(sentence[1])
    return None


def last_boxed(text: str) -> str | None:
    # One pass with a stack: it is linear also for unclosed boxes, and a cut-off last box does not hide an earlier complete one.
    boxes = {found.end() for found in re.finditer(r"\\f?box(?:ed)?\s*(?=\{)", text)}
    opened, inside = [], None
    for brace in re.finditer(r"\\.|[{}]", text, re.S) if boxes else ():
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened and (start := opened.pop()) in boxes:
            inside = text[start + 1 : brace.start()]
    return inside


def _end_of_sentence(rest: str) -> str | None:
    if maths := _MATHS.match(rest):
        return maths[2].strip() or None
    return re.split(r"[.!?](?:\s|$)", rest, maxsplit=1)[0].strip(" *") or None
