from typing import Any
from urllib.parse import quote

import httpx

from ...models.order import Order
from ...types import Response


def _request(
    slug: str,
    order_id: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/orders/{order_id}".format(
            slug=quote(str(slug), safe=""),
            order_id=quote(str(order_id), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> Order:
    if 200 <= response.status_code <= 200:
        response_200 = Order.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    order_id: int,
    *,
    client: httpx.Client,
) -> Response[Order]:
    """Show an order.

    Show an order, how far it is, and the files that it wrote.

    Args:
        slug (str):
        order_id (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            order_id=order_id,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
