from typing import Any
from urllib.parse import quote

import httpx

from ...models.page_of_webhook_delivery import PageOfWebhookDelivery
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    webhook_number: int,
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/webhooks/{webhook_number}/deliveries".format(
            slug=quote(str(slug), safe=""),
            webhook_number=quote(str(webhook_number), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfWebhookDelivery:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfWebhookDelivery.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    webhook_number: int,
    *,
    client: httpx.Client,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
) -> Response[PageOfWebhookDelivery]:
    """List deliveries.

    List the deliveries of a webhook, the oldest first. They are kept for 30 days after their end.

    Args:
        slug (str):
        webhook_number (int):
        cursor (str | Unset):
        limit (int | Unset):  Default: 50.
    """
    response = client.request(
        **_request(
            slug=slug,
            webhook_number=webhook_number,
            cursor=cursor,
            limit=limit,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
