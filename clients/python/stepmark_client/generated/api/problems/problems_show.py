from typing import Any
from urllib.parse import quote

import httpx

from ...models.problem import Problem
from ...types import Response


def _request(
    slug: str,
    problem_id: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/problems/{problem_id}".format(
            slug=quote(str(slug), safe=""),
            problem_id=quote(str(problem_id), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> Problem:
    if 200 <= response.status_code <= 200:
        response_200 = Problem.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    problem_id: int,
    *,
    client: httpx.Client,
) -> Response[Problem]:
    """Show a problem.

    Show a problem with its reference answer.

    Args:
        slug (str):
        problem_id (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            problem_id=problem_id,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
