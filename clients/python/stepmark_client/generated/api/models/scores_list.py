from typing import Any
from urllib.parse import quote

import httpx

from ...models.page_of_score import PageOfScore
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    number: int,
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    solution: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    params["solution"] = solution

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/models/{number}/scores".format(
            slug=quote(str(slug), safe=""),
            number=quote(str(number), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfScore:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfScore.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    number: int,
    *,
    client: httpx.Client,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    solution: int | Unset = UNSET,
) -> Response[PageOfScore]:
    """List scores.

    List what a model says of each solution that it has scored, in the order of solutions.

    Args:
        slug (str):
        number (int):
        cursor (str | Unset):
        limit (int | Unset):  Default: 50.
        solution (int | Unset):
    """
    response = client.request(
        **_request(
            slug=slug,
            number=number,
            cursor=cursor,
            limit=limit,
            solution=solution,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
