from typing import Any
from urllib.parse import quote

import httpx

from ...models.round_ import Round
from ...types import Response


def _request(
    slug: str,
    round_number: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/rounds/{round_number}/cancel".format(
            slug=quote(str(slug), safe=""),
            round_number=quote(str(round_number), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> Round:
    if 200 <= response.status_code <= 200:
        response_200 = Round.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    round_number: int,
    *,
    client: httpx.Client,
) -> Response[Round]:
    """Cancel a round.

    Cancel a round that has not ended, or discard its proposal.

    Args:
        slug (str):
        round_number (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            round_number=round_number,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
