from typing import Any

import httpx

from ...models.page_of_project import PageOfProject
from ...types import UNSET, Response, Unset


def _request(
    *,
    archived: bool | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["archived"] = archived

    params["cursor"] = cursor

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects",
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfProject:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfProject.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    *,
    client: httpx.Client,
    archived: bool | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
) -> Response[PageOfProject]:
    """List projects.

    List the projects of the person who asks. A token for one project lists that one.

    Args:
        archived (bool | Unset):
        cursor (str | Unset):
        limit (int | Unset):  Default: 50.
    """
    response = client.request(
        **_request(
            archived=archived,
            cursor=cursor,
            limit=limit,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
