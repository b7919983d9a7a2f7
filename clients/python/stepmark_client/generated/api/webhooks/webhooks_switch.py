from typing import Any
from urllib.parse import quote

import httpx

from ...models.webhook import Webhook
from ...models.webhook_switch import WebhookSwitch
from ...types import Response


def _request(
    slug: str,
    webhook_number: int,
    *,
    body: WebhookSwitch,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/webhooks/{webhook_number}/switch".format(
            slug=quote(str(slug), safe=""),
            webhook_number=quote(str(webhook_number), safe=""),
        ),
    }
    request["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    request["headers"] = headers
    return request


def _read(response: httpx.Response) -> Webhook:
    if 200 <= response.status_code <= 200:
        response_200 = Webhook.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    webhook_number: int,
    *,
    client: httpx.Client,
    body: WebhookSwitch,
) -> Response[Webhook]:
    """Switch a webhook on or off.

    Switch a webhook on or off. What waited is sent when it is on again.

    Args:
        slug (str):
        webhook_number (int):
        body (WebhookSwitch): Whether messages are sent to a webhook.
    """
    response = client.request(
        **_request(
            slug=slug,
            webhook_number=webhook_number,
            body=body,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
