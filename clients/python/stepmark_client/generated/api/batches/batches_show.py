from typing import Any
from urllib.parse import quote

import httpx

from ...models.batch import Batch
from ...types import Response


def _request(
    slug: str,
    batch_id: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/batches/{batch_id}".format(
            slug=quote(str(slug), safe=""),
            batch_id=quote(str(batch_id), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> Batch:
    if 200 <= response.status_code <= 200:
        response_200 = Batch.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    batch_id: int,
    *,
    client: httpx.Client,
) -> Response[Batch]:
    """Show a batch.

    Show a batch and how far it is.

    Args:
        slug (str):
        batch_id (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            batch_id=batch_id,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
