"""Who sees a project for the first time finds each of these things within two clicks. The test follows the links of the pages."""

import re
import uuid
from collections.abc import Callable
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client

from annotation import labels, queue
from annotation.models import Project
from tests import make
from tests.clients import rated, signed_in

pytestmark = pytest.mark.django_db

CLICKS = 2


@pytest.fixture
def project() -> Project:
    """A project at work: a labeler with a label and a solution in hand, and a batch that waits to be published."""
    made = make.project("sums", name="Sums", guidelines="**Rate** each step.")
    make.batch(made, make.solutions(made, 3))
    make.batch(made, make.solutions(made, 1), state="draft")
    ann = make.ann(made)
    lease = queue.lease_next(ann, project=made)
    labels.submit(
        lease.assignment_id, labeler=ann, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(1, -1),
        finish_reason="found_error", active_ms=1, total_ms=1,
    )  # fmt: skip
    queue.lease_next(ann, project=made)
    return made


def links(html: str, path: str) -> list[str]:
    """Return the addresses that a person can click on a page. The parts that the page fetches at once are part of it."""
    found = re.findall(r'<a\b[^>]*?href="([^"#]+)', html)
    return [urljoin(path, unescape(url)) for url in found if not urlsplit(url).netloc and "sign-out" not in url]


def opened(client: Client, path: str) -> str:
    answer = client.get(path)
    if answer.status_code != 200 or not answer.get("Content-Type", "").startswith("text/html"):
        return ""
    html = answer.content.decode()
    for part in re.findall(r'hx-get="([^"]+)" hx-trigger="load', html):
        html += client.get(part, headers={"HX-Request": "true"}).content.decode()
    return html


def walked(client: Client, start: str) -> dict[str, tuple[int, str]]:
    """Return each page within two clicks: how many clicks lead to it, and what it shows."""
    pages: dict[str, tuple[int, str]] = {}
    edge = [start]
    for clicks in range(CLICKS + 1):
        found = []
        for path in edge:
            if path not in pages:
                html = opened(client, path)
                pages[path] = (clicks, html)
                found += links(html, path)
        edge = list(dict.fromkeys(found))
    return pages


def form_to(action: str, *fields: str) -> Callable[[str, str], bool]:
    """Look for a form that is sent to an address, or to the page itself, and has these fields or buttons."""

    def is_there(html: str, path: str) -> bool:
        for form in re.findall(r"<form\b.*?</form>", html, re.DOTALL):
            tag = form.partition(">")[0]
            sent_to = re.search(r'action="([^"]*)"', tag)
            to = urlsplit(urljoin(path, unescape(sent_to[1]))).path if sent_to else urlsplit(path).path
            if 'method="post"' in tag and re.fullmatch(action, to) and all(field in form for field in fields):
                return True
        return False

    return is_there


def shows(*texts: str) -> Callable[[str, str], bool]:
    return lambda html, path: all(text in html for text in texts)


MANAGER = {
    "invite people": form_to("/p/sums/people/", 'name="lines"'),
    "import a file": form_to("/p/sums/data/upload/", 'type="file"'),
    "publish a batch": form_to(r"/p/sums/batches/\d+/", 'value="publish"'),
    "pause a labeler": form_to(r"/p/sums/people/\d+/", 'value="pause"', "which ann reads"),
    "correct a reference answer": form_to(r"/p/sums/problems/\d+/", 'name="answer"'),
    "download the labels": form_to("/p/sums/data/labels/", "Download labels"),
    "compose a round": form_to("/p/sums/rounds/compose/", 'name="size"'),
    "change guidelines and settings": form_to("/p/sums/settings/", 'name="guidelines"', 'name="overlap"'),
    "see who works now": shows('id="at-work-title"', ">ann</a></th>"),
    "see who did what": shows("<h1>Who did what</h1>"),
}
LABELER = {
    "label": shows("data-assignment="),
    "the own recent submissions": shows('<a href="/p/sums/reopen/'),
    "the guidelines": shows("<strong>Rate</strong>"),
    "the own keys": form_to("/keys/"),
    "the own account": shows("<h1>Your account: ann</h1>"),
}


@pytest.mark.parametrize(("start", "things"), [("/p/sums/", MANAGER), ("/", LABELER)], ids=["manager", "labeler"])
def test_each_thing_is_found_within_two_clicks(project: Project, start: str, things: dict[str, Callable[[str, str], bool]]) -> None:
    client = signed_in(make.olga(project) if things is MANAGER else make.ann(project))
    pages = walked(client, start)
    lost = [thing for thing, is_there in things.items() if not any(is_there(html, path) for path, (_, html) in pages.items())]
    assert lost == [] and len(things) >= 5 and pages[start][0] == 0


def test_the_walk_does_not_find_what_is_three_clicks_away(project: Project) -> None:
    pages = walked(signed_in(make.olga(project)), "/p/sums/")
    assert max(clicks for clicks, _ in pages.values()) == CLICKS and not form_to("/p/sums/nowhere/")("<form method='post'></form>", "/")
