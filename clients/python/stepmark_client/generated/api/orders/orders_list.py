from typing import Any
from urllib.parse import quote

import httpx

from ...models.page_of_order import PageOfOrder
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    snapshot: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    params["snapshot"] = snapshot

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/orders".format(
            slug=quote(str(slug), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfOrder:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfOrder.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    snapshot: int | Unset = UNSET,
) -> Response[PageOfOrder]:
    """List orders.

    List the snapshots and exports that were asked for, the newest first.

    Args:
        slug (str):
        cursor (str | Unset):
        limit (int | Unset):  Default: 50.
        snapshot (int | Unset):
    """
    response = client.request(
        **_request(
            slug=slug,
            cursor=cursor,
            limit=limit,
            snapshot=snapshot,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
