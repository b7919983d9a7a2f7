from typing import Any
from urllib.parse import quote

import httpx

from ...models.new_webhook import NewWebhook
from ...models.wanted_webhook import WantedWebhook
from ...types import Response


def _request(
    slug: str,
    *,
    body: WantedWebhook,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/webhooks".format(
            slug=quote(str(slug), safe=""),
        ),
    }
    request["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    request["headers"] = headers
    return request


def _read(response: httpx.Response) -> NewWebhook:
    if 201 <= response.status_code <= 201:
        response_201 = NewWebhook.from_dict(response.json())

        return response_201

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    body: WantedWebhook,
) -> Response[NewWebhook]:
    """Add a webhook.

    Add a webhook, and answer with its secret. The answer is not stored, so no Idempotency-Key is read: an address is added
    once.

    Args:
        slug (str):
        body (WantedWebhook): A webhook that is wanted.
    """
    response = client.request(
        **_request(
            slug=slug,
            body=body,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
