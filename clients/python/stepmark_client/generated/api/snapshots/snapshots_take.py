from typing import Any
from urllib.parse import quote

import httpx

from ...models.order import Order
from ...models.snapshot_filter import SnapshotFilter
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    body: SnapshotFilter | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/snapshots".format(
            slug=quote(str(slug), safe=""),
        ),
    }

    if not isinstance(body, Unset):
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
    *,
    client: httpx.Client,
    body: SnapshotFilter | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Order]:
    """Take a snapshot.

    Let a worker take a snapshot. The answer is its order, which has the number of the snapshot once it is taken.

    Args:
        slug (str):
        idempotency_key (str | Unset):
        body (SnapshotFilter | Unset): Which annotations a snapshot lists. Each field keeps fewer of them. Without
            `splits`, they are of the train split only.
    """
    response = client.request(
        **_request(
            slug=slug,
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
