"""Hostile requests to every address of the site (harness A9 of docs/reliability.md): whatever reads a request answers, or says 400.

The addresses come from Django's resolver, and the people from the table of test_access.py. The names of fields and filters are those that
the views read: they are noted while an ordinary request is answered. Each request runs in a transaction that is rolled back. The short
form sends every STRIDE-th request, the long form all of them.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes, urlsplit

import pytest
from django.conf import settings
from django.db import transaction
from django.http import QueryDict
from django.test import Client
from django.urls import get_resolver

from benchmarks import hostile
from tests.test_access import BODIES, TABLE, World, address_of, routes, world

__all__ = ["world"]  # the fixture
pytestmark = pytest.mark.django_db

STRIDE = 83  # a prime, so that the short form takes inputs, addresses and places in every combination of parity
# Each text goes to every second address of ours, and to every seventh of the administration, which are Django's own and much alike.
EVERY, EVERY_OF_THE_ADMINISTRATION = 2, 7
LOOKUPS = (
    "q", "p", "o", "e", "all", "_changelist_filters", "_to_field", "_popup", "id__exact", "id__in", "pk", "project__id__exact",
    "action", "_selected_action", "app_label", "model_name", "field_name", "term", "next",
)  # fmt: skip
NOT_ASKED = {"sign-out", "admin:logout"}  # nothing but a session is read there


class Address(NamedTuple):
    """An address of the site, and who reaches it."""

    name: str
    written: str
    parameters: list[str]
    people: list[str]


class Sent(NamedTuple):
    """A request of the corpus."""

    what: str  # the hostile input and its place
    address: Address
    person: str
    method: str
    path: str
    data: bytes = b""
    content_type: str = "application/octet-stream"
    query: bytes = b""
    extra: dict[str, str] = {}
    payload: str = ""  # that must not come back as HTML


class Fault(NamedTuple):
    """What an answer did wrong."""

    what: str
    person: str
    method: str
    path: str
    fault: str


def addresses() -> list[Address]:
    found = []
    for name, parameters, written in routes(get_resolver().url_patterns):
        if name in NOT_ASKED:
            continue
        row = TABLE.get(name)
        people = ["superuser"] if row is None else [one for one in ("nobody", "labeler", "owner", "superuser") if one in row.who]
        found.append(Address(name, written, parameters, people))
    return found


def quoted(data: bytes) -> str:
    return quote_from_bytes(data, safe="")


def fields_of(world: World, address: Address, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of fields and filters that a view reads in an ordinary request."""
    names: list[str] = []
    with monkeypatch.context() as patch:
        for reader in ("__getitem__", "getlist", "__contains__"):
            plain = getattr(QueryDict, reader)

            def noted(self: QueryDict, key: str, *rest: Any, plain: Any = plain) -> Any:
                names.append(key)
                return plain(self, key, *rest)

            patch.setattr(QueryDict, reader, noted)
        for method in ("GET", "POST"):
            body = f"{quoted(b'a')}=1".encode() if method == "POST" else b""
            send(
                world,
                Sent(
                    "",
                    address,
                    address.people[-1],
                    method,
                    address_of(address.written, address.parameters, world.places),
                    body,
                    hostile.FORM,
                ),
            )
    more = LOOKUPS if address.name not in TABLE else ()
    return list(dict.fromkeys(name for name in (*names, *more) if isinstance(name, str))) or ["a"]


class Turns:
    """Say of each request of the long form whether it is sent. One that is not is never put together: that costs as much as sending."""

    def __init__(self, *, stride: int) -> None:
        self.stride, self.count = stride, 0

    def has_come(self) -> bool:
        self.count += 1
        return (self.count - 1) % self.stride == 0


def shown_text(text: hostile.Hostile) -> str:
    return text.text if "<" in text.text else ""


def with_text(address: Address, fields: list[str], *, turn: int, number: int, usual: str) -> Sent:
    """Put a text into a field, a filter or a name of an address. Which one, and who sends it, goes by the numbers of both."""
    text, row = hostile.TEXTS[number], number // EVERY
    field, who = fields[(row + turn) % len(fields)], address.people[row % len(address.people)]
    value = quoted(text.data)
    sent: dict[str, Any]
    match (row // len(fields) + turn) % 6:
        case 0:
            place, method, sent = "query", "GET", {"query": f"{quoted(field.encode())}={value}".encode()}
        case 1:
            pairs = {quoted(key.encode()): quoted(str(word).encode()) for key, word in BODIES.get(address.name, {}).items()}
            form = "&".join(f"{key}={word}" for key, word in (pairs | {quoted(field.encode()): value}).items())
            place, method, sent = "form", "POST", {"data": form.encode(), "content_type": hostile.FORM}
        case 2 | 3 as turned:
            everywhere = "&".join(f"{quoted(one.encode())}={value}" for one in fields).encode()
            place, method = (("every filter", "GET"), ("every field", "POST"))[turned - 2]
            sent = {"query": everywhere} if method == "GET" else {"data": everywhere, "content_type": hostile.FORM}
        case 4:
            body = hostile.part(f'form-data; name="{field}"', text.data)
            place, method, sent = "a part", "POST", {"data": body, "content_type": hostile.PARTS}
        case _:
            place, method, sent = "a name", "GET", {"query": f"{value}=1".encode()}
    return Sent(f"{text.name} in {place} {field}", address, who, method, usual, payload=shown_text(text), **sent)


def requests(world: World, monkeypatch: pytest.MonkeyPatch, turns: Turns) -> Iterator[Sent]:
    """Yield the requests whose turn has come, always in the same order."""
    places = world.places
    for turn, address in enumerate(addresses()):
        usual = address_of(address.written, address.parameters, places)
        fields = fields_of(world, address, monkeypatch)
        is_ours = address.name in TABLE

        def person(number: int, address: Address = address) -> str:
            return address.people[number % len(address.people)]

        for number, text in enumerate(hostile.TEXTS):
            if (number + turn) % (EVERY if is_ours else EVERY_OF_THE_ADMINISTRATION):
                continue
            if turns.has_come():
                yield with_text(address, fields, turn=turn, number=number, usual=usual)
            if address.parameters and (number + turn) % 3 == 0 and turns.has_come():
                parameter = address.parameters[number // 3 % len(address.parameters)]
                spot = "hostile-spot"
                there = address_of(address.written, address.parameters, places | {parameter: spot}).replace(spot, quoted(text.data))
                who, shown = person(number // EVERY), shown_text(text)
                yield Sent(f"{text.name} in the path", address, who, ("GET", "POST")[number // EVERY % 2], there, payload=shown)
        if is_ours or turn % EVERY_OF_THE_ADMINISTRATION == 0:
            for number, body in enumerate(hostile.BODIES):
                if turns.has_come():
                    yield Sent(body.name, address, person(number), "POST", usual, body.data, body.content_type)
        if address.name in world.json:
            whole = json.loads(json.dumps(world.json[address.name]))
            for number, value in enumerate(hostile.VALUES):
                for at, other in enumerate(hostile.with_a_leaf(whole, value)):
                    if turns.has_come():
                        body = json.dumps(other).encode()
                        yield Sent(f"value {number} as part {at}", address, "labeler", "POST", usual, body, hostile.JSON)
        for number in range(turn, len(hostile.HEADERS), 29):
            for method in ("GET", "POST"):
                if turns.has_come():
                    yield Sent(f"header {number}", address, person(number), method, usual, extra=hostile.HEADERS[number])
        for number, cookie in enumerate(hostile.COOKIES):
            if (number + turn) % 8 == 0:
                for name in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, "messages", "x"):
                    if not turns.has_come():
                        continue
                    yield Sent(
                        f"cookie {number} {name}",
                        address,
                        person(number // 8),
                        ("GET", "POST")[number // 8 % 2],
                        usual,
                        extra={"HTTP_COOKIE": f"{name}={cookie}"},
                    )
        for method in hostile.METHODS:
            if turns.has_come():
                yield Sent(f"method {method!r:.20}", address, person(turn), method, usual)


def send(world: World, sent: Sent) -> Fault | None:
    """Send one request and undo whatever it did. Return what is wrong with the answer."""
    client = Client(raise_request_exception=False, enforce_csrf_checks=sent.what.startswith("cookie"))
    if sent.person != "nobody":
        client.cookies = SimpleCookie({settings.SESSION_COOKIE_NAME: world.sessions[sent.person]})
    extra = {"QUERY_STRING": sent.query.decode("latin-1")} | sent.extra
    with transaction.atomic():
        answer: Any = client.generic(sent.method, sent.path, sent.data, content_type=sent.content_type, **extra)
        body = b"".join(answer) if answer.streaming else answer.content
        transaction.set_rollback(True)
    if fault := fault_of(answer, body, payload=sent.payload):
        return Fault(sent.what, sent.person, sent.method, sent.path[:80], fault)
    return None


def fault_of(answer: Any, body: bytes, *, payload: str) -> str:
    """Say what is wrong with an answer: nothing, if there is nothing to say."""
    if answer.status_code >= 500:
        return f"{answer.status_code} {answer.exc_info[1]!r:.200}" if answer.exc_info else str(answer.status_code)
    if "default-src 'none'" not in answer.get("Content-Security-Policy", "") and answer.resolver_match:
        return "no content security policy"
    if (
        payload
        and "html" in answer["Content-Type"]
        and re.search(r"<[a-z!/?]", payload, re.I)
        and payload.encode("utf-8", "replace") in body
    ):
        return "the input comes back as HTML"
    try:
        elsewhere = urlsplit(answer.get("Location", "")).netloc
    except ValueError:
        return "the answer leads to an address that is none"
    return f"the answer leads to {elsewhere}" if elsewhere not in ("", "testserver") else ""


def test_no_address_answers_5xx_or_lets_a_script_through(
    world: World, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    is_long = request.config.getoption("--long")
    faults: list[Fault] = []
    count: Counter[str] = Counter()
    turns = Turns(stride=1 if is_long else STRIDE)
    for sent in requests(world, monkeypatch, turns):
        count[sent.address.name] += 1
        if fault := send(world, sent):
            faults.append(fault)
    print(f"{sum(count.values()):,} requests of {turns.count:,} to {len(count)} addresses")
    assert faults == []
    assert count.keys() == {address.name for address in addresses()}
    assert turns.count >= 5_000 and (not is_long or sum(count.values()) == turns.count)
