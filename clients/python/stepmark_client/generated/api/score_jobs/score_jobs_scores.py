from typing import Any
from urllib.parse import quote

import httpx

from ...models.page_of_job_score import PageOfJobScore
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    job_id: int,
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/score-jobs/{job_id}/scores".format(
            slug=quote(str(slug), safe=""),
            job_id=quote(str(job_id), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfJobScore:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfJobScore.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    job_id: int,
    *,
    client: httpx.Client,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
) -> Response[PageOfJobScore]:
    """List the scores of a job.

    List what the model said of each solution, in the order in which they were sent. The job must be done.

    Args:
        slug (str):
        job_id (int):
        cursor (str | Unset):
        limit (int | Unset):  Default: 50.
    """
    response = client.request(
        **_request(
            slug=slug,
            job_id=job_id,
            cursor=cursor,
            limit=limit,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
