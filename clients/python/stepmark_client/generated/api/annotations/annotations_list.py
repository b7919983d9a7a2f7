from typing import Any
from urllib.parse import quote

import httpx

from ...models.page_of_annotation import PageOfAnnotation
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    batch: int | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    solution: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["batch"] = batch

    params["cursor"] = cursor

    params["limit"] = limit

    params["solution"] = solution

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/annotations".format(
            slug=quote(str(slug), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfAnnotation:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfAnnotation.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    batch: int | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    solution: int | Unset = UNSET,
) -> Response[PageOfAnnotation]:
    """List annotations.

    List the annotations of a project with their labels, all revisions, the oldest first.

    Args:
        slug (str):
        batch (int | Unset):
        cursor (str | Unset):
        limit (int | Unset):  Default: 50.
        solution (int | Unset):
    """
    response = client.request(
        **_request(
            slug=slug,
            batch=batch,
            cursor=cursor,
            limit=limit,
            solution=solution,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
