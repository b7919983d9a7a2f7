"""All addresses of the site, read from its resolver."""

import re
from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

ARGUMENTS = {
    "slug": "sums",
    "name": "smallest",
    "file": "results.json",
    "act": "cancel",
    "object_id": "\x01",
    "content_type_id": "1",
    "app_label": "annotation",
    "url": "x",
}


def addresses(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    """Yield every address of the site once, with a number where it takes one."""
    for pattern in patterns:
        route = before + re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", str(pattern.pattern)).removeprefix("^").rstrip("$").replace("\\", "")
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, route)
        else:
            yield re.sub(r"<(?:\w+:)?(\w+)>", lambda found: ARGUMENTS.get(found[1], "1"), route)


SIGN_OUT = {"/sign-out/", "/admin/logout/"}  # behind these, all others would only ask for a sign-in
ADDRESSES = sorted(set(addresses(get_resolver().url_patterns)) - SIGN_OUT)
