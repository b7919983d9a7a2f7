"""Whatever a browser or a script sends, the site never answers 5xx: it answers, or it says what to change."""

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests import make
from tests.addresses import ADDRESSES
from tests.clients import signed_in

pytestmark = pytest.mark.django_db

HOSTILE = ("a\0b", "99999999999999999999", "9" * 5_000, "1e400", "\ud83d", "x" * 3_000, "")
EACH = 3  # of these values reach an address with each method in the short form: others at each address. With --long, all of them.
# Fields and filters that pages read.
NAMES = (
    "finish", "before", "page", "seen", "preset", "a", "b", "id", "kind", "drop", "size", "strategy", "text", "to", "next",
    "username", "password", "q", "o", "p", "e", "all", "action", "_selected_action", "per_problem", "n",
    "budget", "model", "every_labels", "every_hours", "daily_at", "is_on", "weight-convincing",
    "code", "session", "others", "remove", "codes", "name", "new_password1", "new_password2", "present", "export",
    "negative", "defaults", "reason", "answer", "sesame",
)  # fmt: skip


@pytest.fixture
def staff(settings: Any, tmp_path: Path) -> Client:
    """Somebody who gets into every page."""
    settings.STEPMARK_HOME = tmp_path  # exports are written there
    olga = make.olga(make.project("sums"))
    olga.is_staff = olga.is_superuser = True
    olga.save()
    client = signed_in(olga)
    client.raise_request_exception = False
    return client


def status(answer: Any) -> int:
    if answer.streaming:
        b"".join(answer)  # a download closes its file at its end
    return answer.status_code


def answers_5xx(staff: Client, method: str, forms: list[dict[str, Any]], *, each: int | None = None) -> list[tuple[str, str, int, str]]:
    """Send forms to every address: all of them, or `each` in turn. Return what was answered with 5xx.

    An address that refuses the method has read nothing of a form.
    """
    failed = []
    in_turn = cycle(forms)
    for address in ADDRESSES:
        for form in islice(in_turn, each or len(forms)):
            answered = status(getattr(staff, method)(address, form))
            if answered >= 500:
                failed.append((method, address, answered, f"{form!r:.60}"))
            if answered == 405:
                break
    assert staff.get(reverse("overview", args=["sums"])).status_code == 200  # still signed in
    return failed


def test_no_page_answers_5xx_to_a_form_that_lacks_fields(staff: Client) -> None:
    assert answers_5xx(staff, "post", [{}, {"negative": "1"}, {"size": "1"}]) == []


@pytest.mark.parametrize("method", ["get", "post"])
def test_no_page_answers_5xx_to_a_hostile_field_or_filter(staff: Client, method: str, request: pytest.FixtureRequest) -> None:
    values = [value.encode("utf-8", "surrogatepass").decode("latin-1") if value == "\ud83d" else value for value in HOSTILE]
    each = None if request.config.getoption("--long") else EACH
    forms = [dict.fromkeys(NAMES, value) for value in values]
    assert answers_5xx(staff, method, forms if method == "get" else forms[::-1], each=each) == []


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", ["annotations", "messages", "keys", "sign-in", "compose", "compare-models"])
def test_a_nul_in_a_field_or_filter_is_named(staff: Client, method: str, name: str) -> None:
    address = reverse(name, args=[] if name in ("keys", "sign-in") else ["sums"])
    answer = getattr(staff, method)(address, {"text": "a\0b"})
    assert answer.status_code == 400
    assert "The field “text”" in answer.content.decode() and "contains a NUL character" in answer.content.decode()


def test_a_nul_in_the_address_is_named(staff: Client) -> None:
    answer = staff.get("/admin/annotation/project/%00/change/")
    assert answer.status_code == 400 and "The address contains a NUL character." in answer.content.decode()


def test_the_administration_refuses_a_name_of_a_field_that_is_empty(staff: Client) -> None:
    answer = staff.get("/admin/annotation/project/1/change/", {"_to_field": ""})
    assert answer.status_code == 400 and "names a field that does not exist" in answer.content.decode()


def test_a_form_that_is_too_long_says_the_limit(staff: Client) -> None:
    answer = staff.post(reverse("keys"), {"negative": "x" * (5_000_001)})
    assert answer.status_code == 400 and "more than 5,000,000 bytes" in answer.content.decode()


def test_a_form_with_too_many_fields_says_the_limit(staff: Client) -> None:
    body = "&".join(f"drop={number}" for number in range(1_001))
    answer = staff.post(reverse("keys"), body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 400 and "more than 1,000 fields" in answer.content.decode()


def test_a_form_that_breaks_off_says_so(staff: Client) -> None:
    answer = staff.post(reverse("keys"), b"--x\r\nContent-", content_type="multipart/form-data; boundary=" + "x" * 300)
    assert answer.status_code == 400 and "arrived incomplete" in answer.content.decode()


@pytest.mark.parametrize("name", ["draft", "submit", "skip", "ahead", "release", "extend", "completions", "revise"])
@pytest.mark.parametrize(
    "body", ["", "[]", "\0", '{"token": 1e999}', "[" * 10_000, '{"reason": "\\ud83d"}', '{"token": NaN}', "x" * 5_000_001]
)
def test_a_background_request_that_cannot_be_read_is_refused_as_json(staff: Client, name: str, body: str) -> None:
    answer: Any = staff.post(reverse(name, args=[1]), body, content_type="application/json")
    assert answer.status_code in (400, 404) and answer.json()["message"]


def test_a_name_that_is_too_long_for_any_account_is_a_wrong_one() -> None:
    answer = Client(raise_request_exception=False).post(reverse("sign-in"), {"username": "x" * 300, "password": "wrong"})
    assert answer.status_code == 200 and "The name or the password is wrong" in answer.content.decode()


@pytest.mark.parametrize("number", ["", "x", "-1", "²", "1.0", str(2**63), "9" * 5_000])
@pytest.mark.parametrize(
    ("name", "field", "status"), [("compare-models", "a", 302), ("annotations", "before", 200), ("find-solution", "id", 302)]
)
def test_what_is_no_number_of_a_row_is_answered(staff: Client, name: str, field: str, status: int, number: str) -> None:
    address = reverse(name, args=["sums", 1] if name == "find-solution" else ["sums"])
    assert staff.get(address, {field: number, "b": "1"}).status_code == status
