"""The labeling page and its background requests without a browser, as its script reads and sends them."""

import re
import uuid
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import Project
from annotation.views.shown_numbers import real_number, shown_number


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page(client: Client, project: Project) -> str:
    answer = client.get(reverse("label", args=[project.slug]))
    assert answer.status_code == 200
    return answer.content.decode()


def claim(html: str) -> dict[str, Any]:
    """Read assignment and token out of the page, as its script does: the numbers as they are shown."""
    return {name: int(re.search(rf'data-{name}="(\d+)"', html).group(1)) for name in ("assignment", "token")}


def real_assignment(held: dict[str, Any]) -> int:
    """Return the real number of a claimed assignment."""
    return real_number(held["assignment"])


def shown_claim(assignment: int, token: int) -> dict[str, int]:
    """Return a claim as the page shows it."""
    return {"assignment": shown_number(assignment), "token": shown_number(token, place=assignment)}


def rated(*ratings: int | None, **more: Any) -> list[dict[str, Any]]:
    return [{"step": step, "position": 0, "rating": one, "flagged": one is None, "ms": 900, **more} for step, one in enumerate(ratings)]


def submission(token: int, ratings: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    finish_reason = "found_error" if ratings and ratings[-1]["rating"] == -1 else "solution"
    whole = {"token": token, "submission_id": str(uuid.uuid4()), "ratings": ratings, "finish_reason": finish_reason, "reason": ""}
    return {**whole, "active_ms": 2500, "total_ms": 4000, **more}


def post(client: Client, name: str, assignment: int, body: Any) -> Any:
    return client.post(reverse(name, args=[assignment]), body, content_type="application/json")


def refusal(answer: Any) -> tuple[int, str]:
    assert answer.json()["message"]
    return answer.status_code, answer.json()["code"]
