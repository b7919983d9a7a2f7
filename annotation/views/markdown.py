"""Markdown of guidelines as HTML. HTML in the text stays text, images become their words, and links open a new page."""

from collections.abc import MutableMapping, Sequence
from typing import Any

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

LONGEST = 100_000  # characters, some fifty pages
DEEPEST = 40  # levels, of which a list takes two
BRACKETS = 2_000  # the time to find links grows with the square of the number of brackets

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
    tokens = _markdown.parse(text)
    if max((token.level for token in tokens), default=0) > DEEPEST:  # the parser drops what is deeper than its own limit
        return _as_written(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h3"  # h1 is the page, h2 the panel
    return mark_safe(_markdown.renderer.render(tokens, _markdown.options, {}))  # the renderer escapes every text


def _as_written(text: str) -> SafeString:
    return format_html(
        '<p class="soft">These guidelines are too long or nested too deeply, so they are shown as written.</p><pre>{}</pre>', text
    )
