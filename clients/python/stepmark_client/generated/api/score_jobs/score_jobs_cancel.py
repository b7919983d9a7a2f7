from typing import Any
from urllib.parse import quote

import httpx

from ...models.job import Job
from ...types import Response


def _request(
    slug: str,
    job_id: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/score-jobs/{job_id}/cancel".format(
            slug=quote(str(slug), safe=""),
            job_id=quote(str(job_id), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> Job:
    if 200 <= response.status_code <= 200:
        response_200 = Job.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    job_id: int,
    *,
    client: httpx.Client,
) -> Response[Job]:
    """Cancel a score job.

    Cancel a score job that has not ended. What was scored so far is not shown.

    Args:
        slug (str):
        job_id (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            job_id=job_id,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
