from typing import Any
from urllib.parse import quote

import httpx

from ...models.webhook_number import WebhookNumber
from ...types import Response


def _request(
    slug: str,
    webhook_number: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/webhooks/{webhook_number}/test".format(
            slug=quote(str(slug), safe=""),
            webhook_number=quote(str(webhook_number), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> WebhookNumber:
    if 202 <= response.status_code <= 202:
        response_202 = WebhookNumber.from_dict(response.json())

        return response_202

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    webhook_number: int,
    *,
    client: httpx.Client,
) -> Response[WebhookNumber]:
    """Send a test.

    Send a test, once. Its deliveries show how that went.

    Args:
        slug (str):
        webhook_number (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            webhook_number=webhook_number,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
