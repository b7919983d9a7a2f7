from typing import Any
from urllib.parse import quote

import httpx

from ...models.page_of_problem import PageOfProblem
from ...models.problems_list_split import ProblemsListSplit
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    cursor: str | Unset = UNSET,
    external_id: str | Unset = UNSET,
    level: str | Unset = UNSET,
    limit: int | Unset = 50,
    split: ProblemsListSplit | Unset = UNSET,
    subject: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["external_id"] = external_id

    params["level"] = level

    params["limit"] = limit

    json_split: str | Unset = UNSET
    if not isinstance(split, Unset):
        json_split = split

    params["split"] = json_split

    params["subject"] = subject

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/problems".format(
            slug=quote(str(slug), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfProblem:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfProblem.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    cursor: str | Unset = UNSET,
    external_id: str | Unset = UNSET,
    level: str | Unset = UNSET,
    limit: int | Unset = 50,
    split: ProblemsListSplit | Unset = UNSET,
    subject: str | Unset = UNSET,
) -> Response[PageOfProblem]:
    """List problems.

    List the problems of a project in the order of their keys. With a filter, a page can be short although the list goes on.

    Args:
        slug (str):
        cursor (str | Unset):
        external_id (str | Unset):
        level (str | Unset):
        limit (int | Unset):  Default: 50.
        split (ProblemsListSplit | Unset):
        subject (str | Unset):
    """
    response = client.request(
        **_request(
            slug=slug,
            cursor=cursor,
            external_id=external_id,
            level=level,
            limit=limit,
            split=split,
            subject=subject,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
