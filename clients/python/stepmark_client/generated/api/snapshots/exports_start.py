from typing import Any
from urllib.parse import quote

import httpx

from ...models.new_export import NewExport
from ...models.order import Order
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    number: int,
    *,
    body: NewExport,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/snapshots/{number}/exports".format(
            slug=quote(str(slug), safe=""),
            number=quote(str(number), safe=""),
        ),
    }
    request["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    request["headers"] = headers
    return request


def _read(response: httpx.Response) -> Order:
    if 201 <= response.status_code <= 201:
        response_201 = Order.from_dict(response.json())

        return response_201

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    number: int,
    *,
    client: httpx.Client,
    body: NewExport,
    idempotency_key: str | Unset = UNSET,
) -> Response[Order]:
    """Export a snapshot.

    Let a worker write a snapshot to one file or several. If the same export is there already, or at work, it is its order.

    Args:
        slug (str):
        number (int):
        idempotency_key (str | Unset):
        body (NewExport): How an export is written. docs/datasets.md describes the formats and their options.
    """
    response = client.request(
        **_request(
            slug=slug,
            number=number,
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
