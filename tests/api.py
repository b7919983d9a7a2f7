"""Requests to the API as programs send them."""

from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from annotation import people

MEDIA_TYPE = "application/problem+json"


def token_for(person: User, *, name: str = "script", scope: str = "read", project: str = "", days: int = 30) -> str:
    return people.make_token(person, name=name, scope=scope, project=project, days=days)[1]


def ask(path: str, token: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
    """Read an address below /api/v1/."""
    return Client().get(f"/api/v1/{path}", query or {}, headers={"Authorization": f"Bearer {token}", **headers})


def send(path: str, token: str, body: Any = None, *, kind: str = "application/json", **headers: str) -> Any:
    """Send a body to an address below /api/v1/."""
    return Client().post(f"/api/v1/{path}", body, content_type=kind, headers={"Authorization": f"Bearer {token}", **headers})


def error_of(answer: Any) -> tuple[int, str]:
    """Return status and code of a problem document, after a look at its form."""
    body = answer.json()
    assert answer["Content-Type"] == MEDIA_TYPE and body["status"] == answer.status_code
    assert body["type"] == f"urn:stepmark:problem:{body['code']}" and body["title"] and body["detail"].endswith((".", "”"))
    return answer.status_code, body["code"]
