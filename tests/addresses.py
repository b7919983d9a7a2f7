"""All addresses of the site, read from its resolver."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

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


def routes(patterns: Sequence[URLPattern | URLResolver], before: str = "", space: str = "") -> Iterator[tuple[str, list[str], str]]:
    """Yield the name, the parameters and the written form of every route of the site. A route without a name is called by its form."""
    for pattern in patterns:
        written = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, written, f"{space}{pattern.namespace}:" if pattern.namespace else space)
        else:
            parameters = re.findall(r"<(?:\w+:)?(\w+)>", written)
            yield (f"{space}{pattern.name or ''}" if pattern.name or space else written), parameters, written


def address_of(written: str, parameters: list[str], places: dict[str, Any]) -> str:
    """Return a route with a value for each of its parameters."""
    missing = ", ".join(sorted(set(parameters) - places.keys()))
    assert not missing, (
        f"The address {written} has a new parameter: {missing}. Add a value to `places` of test_access.py and full_project.py."
    )
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", written).replace("^", "").replace("$", "")
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(places[found[1]]), plain)


SIGN_OUT = {"/sign-out/", "/admin/logout/"}  # behind these, all others would only ask for a sign-in
ADDRESSES = sorted(set(addresses(get_resolver().url_patterns)) - SIGN_OUT)
