from typing import Any
from urllib.parse import quote

import httpx

from ...models.changes import Changes
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    number: int,
    *,
    to: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["to"] = to

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/snapshots/{number}/changes".format(
            slug=quote(str(slug), safe=""),
            number=quote(str(number), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> Changes:
    if 200 <= response.status_code <= 200:
        response_200 = Changes.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    number: int,
    *,
    client: httpx.Client,
    to: int | Unset = UNSET,
) -> Response[Changes]:
    """Compare a snapshot.

    Say how another snapshot differs from this one, or what has changed since it was taken.

    Args:
        slug (str):
        number (int):
        to (int | Unset):
    """
    response = client.request(
        **_request(
            slug=slug,
            number=number,
            to=to,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
