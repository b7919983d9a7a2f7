"""Whether texts are Markdown, as chat models write it, or plain text."""

import re
from collections.abc import Iterable

SHARE = 0.1  # of them at least must have a sign of Markdown
# What nobody writes in plain text: bold words, a heading, a fence, the second row of a table, the thoughts of a reasoning model. Lists,
# single stars and underscores say nothing: "1. First", "2 * 3 * 4", "a_1".
_SIGN = re.compile(
    r"(?<![\w*])\*\*(?=[^\s*])[^*\n]*?[^\s*]\*\*(?![\w*])"
    r"|^ {0,3}#{1,6} +(?!Answer$)\S"
    r"|^[ >]*(?:```|~~~)"
    r"|^ {0,3}\|? *:?-{2,}:? *\|[ :|-]*$"
    r"|</?think(?:ing)?>",
    re.MULTILINE,
)


def looks_like_markdown(texts: Iterable[str]) -> tuple[bool, float]:
    """Say whether these texts, whole solutions, are Markdown, and which share of them has a sign of it."""
    signs = [_SIGN.search(text) is not None for text in texts]
    share = sum(signs) / len(signs) if signs else 0.0
    return share >= SHARE, share
