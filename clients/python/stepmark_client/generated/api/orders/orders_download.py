from io import BytesIO
from typing import Any
from urllib.parse import quote

import httpx

from ...types import File, Response


def _request(
    slug: str,
    order_id: int,
    file: str,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/orders/{order_id}/files/{file}".format(
            slug=quote(str(slug), safe=""),
            order_id=quote(str(order_id), safe=""),
            file=quote(str(file), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> File:
    if 200 <= response.status_code <= 200:
        response_200 = File(payload=BytesIO(response.content))

        return response_200

    if 206 <= response.status_code <= 206:
        response_206 = File(payload=BytesIO(response.content))

        return response_206

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    order_id: int,
    file: str,
    *,
    client: httpx.Client,
) -> Response[File]:
    """Download a file of an order.

    Send a file, or the part that `Range` asks for. The `ETag` is its sha256, so that a download that broke off goes on.

    Args:
        slug (str):
        order_id (int):
        file (str):
    """
    response = client.request(
        **_request(
            slug=slug,
            order_id=order_id,
            file=file,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
