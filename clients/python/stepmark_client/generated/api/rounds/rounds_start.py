from typing import Any
from urllib.parse import quote

import httpx

from ...models.new_round import NewRound
from ...models.round_ import Round
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    body: NewRound | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/rounds".format(
            slug=quote(str(slug), safe=""),
        ),
    }

    if not isinstance(body, Unset):
        request["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    request["headers"] = headers
    return request


def _read(response: httpx.Response) -> Round:
    if 201 <= response.status_code <= 201:
        response_201 = Round.from_dict(response.json())

        return response_201

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    body: NewRound | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Round]:
    """Start a round.

    Start a round. It waits for a worker, and publishes its batch without a review unless `review` is true.

    Args:
        slug (str):
        idempotency_key (str | Unset):
        body (NewRound | Unset): What a new round is asked to do. What is left out is as the project has it.
    """
    response = client.request(
        **_request(
            slug=slug,
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
