"""Markdown of guidelines as HTML. HTML in the text stays text, images become their words, and links open a new page.

Markdown touches no formula. The browser sets them (static/js/guidelines.js); until then, each shows its source.
"""

import re
from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import quote

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from trainer.steps import find_formulas

LONGEST = 100_000  # characters, some fifty pages
DEEPEST = 40  # levels, of which a list takes two
BRACKETS = 2_000  # the time to find links grows with the square of the number of brackets
BRACED = r"\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]*\})*\})*\}"
BARE = re.compile(rf"\\\$|\\[A-Za-z]{{2,20}}(?:\[[^\][\n]{{0,80}}\])?(?:{BRACED})+")  # a dollar that is no sign of a formula, "\boxed{2}"
PLACE, PLACE_IN_ADDRESS = re.compile("\ue000([0-9]{1,6})\ue001"), re.compile("%EE%80%80([0-9]{1,6})%EE%80%81")  # of a formula
QUOTED = re.compile(r"\n[ \t]*(?:>[ \t]?)+")

_markdown = MarkdownIt("js-default", {"html": False})


def _link(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: MutableMapping[str, Any]) -> str:
    tokens[index].attrs |= {"rel": "noopener noreferrer", "target": "_blank"}
    return renderer.renderToken(tokens, index, options, env)


def _image(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: MutableMapping[str, Any]) -> str:
    return escape(tokens[index].content)


_markdown.add_render_rule("link_open", _link)
_markdown.add_render_rule("image", _image)


def render_guidelines(text: str) -> SafeString:
    """Return guidelines as HTML. A text that is too long or nested too deeply to be rendered is shown as it is written, whole."""
    if len(text) > LONGEST or text.count("[") > BRACKETS:
        return _as_written(text)
    shape, sources = _set_formulas_apart(text)

    def source_at(place: re.Match[str]) -> str:
        return "".join(sources[int(place[1]) : int(place[1]) + 1])  # nothing, if the text itself wrote a place as an entity

    tokens = _markdown.parse(shape)
    if max((token.level for token in tokens), default=0) > DEEPEST:  # the parser drops what is deeper than its own limit
        return _as_written(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h3"  # h1 is the page, h2 the panel
        if token.nesting == 1 and token.level == 0:
            token.attrSet("dir", "auto")
        for link in token.children or ():
            if link.type == "link_open":
                link.attrs["href"] = PLACE_IN_ADDRESS.sub(lambda place: quote(source_at(place)), str(link.attrs["href"]))
    html = _markdown.renderer.render(tokens, _markdown.options, {})  # the renderer escapes every text
    return mark_safe(PLACE.sub(lambda place: escape(source_at(place)), html))


def _set_formulas_apart(text: str) -> tuple[str, list[str]]:
    r"""Return the text with a place for each formula, and their sources. To Markdown a place is a letter.

    A formula is found by the rules of the steps, which are those of the page, and so are commands outside of formulas with their
    arguments, and `\$`. Code shows the source again.
    """
    text = re.sub("[\ue000\ue001]", "\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    at, pieces, sources = 0, list[str](), list[str]()
    for start, end in [*find_formulas(text), (len(text), len(text))]:
        for before, after in [*(match.span() for match in BARE.finditer(text, at, start)), (start, end)]:
            pieces += text[at:before], f"\ue000{len(sources)}\ue001"
            source = text[before:after]
            if "\n" in source and text[text.rfind("\n", 0, before) + 1 : before].lstrip().startswith(">"):
                source = QUOTED.sub("\n", source)
            sources.append(source)
            at = after
    return "".join(pieces[:-1]), sources


def _as_written(text: str) -> SafeString:
    return format_html(
        '<p class="soft">These guidelines are too long or nested too deeply, so they are shown as written.</p><pre>{}</pre>', text
    )
