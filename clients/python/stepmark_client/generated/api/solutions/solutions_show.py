from typing import Any
from urllib.parse import quote

import httpx

from ...models.solution import Solution
from ...types import Response


def _request(
    slug: str,
    solution_id: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/solutions/{solution_id}".format(
            slug=quote(str(slug), safe=""),
            solution_id=quote(str(solution_id), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> Solution:
    if 200 <= response.status_code <= 200:
        response_200 = Solution.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    solution_id: int,
    *,
    client: httpx.Client,
) -> Response[Solution]:
    """Show a solution.

    Show a solution with its outcome.

    Args:
        slug (str):
        solution_id (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            solution_id=solution_id,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
