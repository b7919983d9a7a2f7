from typing import Any
from urllib.parse import quote

import httpx

from ...models.page_of_job import PageOfJob
from ...models.score_jobs_list_state import ScoreJobsListState
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    state: ScoreJobsListState | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state

    params["state"] = json_state

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/score-jobs".format(
            slug=quote(str(slug), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfJob:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfJob.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    state: ScoreJobsListState | Unset = UNSET,
) -> Response[PageOfJob]:
    """List score jobs.

    List the score jobs of a project, the oldest first. A job is deleted 30 days after its end.

    Args:
        slug (str):
        cursor (str | Unset):
        limit (int | Unset):  Default: 50.
        state (ScoreJobsListState | Unset):
    """
    response = client.request(
        **_request(
            slug=slug,
            cursor=cursor,
            limit=limit,
            state=state,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
