from typing import Any

import httpx

from ...models.me import Me
from ...types import Response


def _request() -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/me",
    }
    return request


def _read(response: httpx.Response) -> Me:
    if 200 <= response.status_code <= 200:
        response_200 = Me.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    *,
    client: httpx.Client,
) -> Response[Me]:
    """Show who asks.

    Show whose token this is, and what it allows at most.
    """
    response = client.request(**_request())
    return Response(response.status_code, response.headers, _read(response))
