from typing import Any
from urllib.parse import quote

import httpx

from ...models.job import Job
from ...models.new_job import NewJob
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    body: NewJob | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/score-jobs".format(
            slug=quote(str(slug), safe=""),
        ),
    }

    if not isinstance(body, Unset):
        request["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    request["headers"] = headers
    return request


def _read(response: httpx.Response) -> Job:
    if 201 <= response.status_code <= 201:
        response_201 = Job.from_dict(response.json())

        return response_201

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    body: NewJob | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Job]:
    """Score solutions.

    Let the model that serves score stored solutions and texts, all of them or none. The job waits for a worker.

    Args:
        slug (str):
        idempotency_key (str | Unset):
        body (NewJob | Unset): What is to be scored: `solutions`, `texts`, or both, at most 1,000 together.
    """
    response = client.request(
        **_request(
            slug=slug,
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
