from typing import Any
from urllib.parse import quote

import httpx

from ...models.snapshot import Snapshot
from ...types import Response


def _request(
    slug: str,
    number: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/snapshots/{number}".format(
            slug=quote(str(slug), safe=""),
            number=quote(str(number), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> Snapshot:
    if 200 <= response.status_code <= 200:
        response_200 = Snapshot.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    number: int,
    *,
    client: httpx.Client,
) -> Response[Snapshot]:
    """Show a snapshot.

    Show a snapshot.

    Args:
        slug (str):
        number (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            number=number,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
