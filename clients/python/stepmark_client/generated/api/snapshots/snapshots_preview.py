from typing import Any
from urllib.parse import quote

import httpx

from ...models.snapshot_filter import SnapshotFilter
from ...models.snapshot_preview import SnapshotPreview
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    body: SnapshotFilter | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/snapshots/preview".format(
            slug=quote(str(slug), safe=""),
        ),
    }

    if not isinstance(body, Unset):
        request["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    request["headers"] = headers
    return request


def _read(response: httpx.Response) -> SnapshotPreview:
    if 200 <= response.status_code <= 200:
        response_200 = SnapshotPreview.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    body: SnapshotFilter | Unset = UNSET,
) -> Response[SnapshotPreview]:
    """Preview a snapshot.

    Count what a snapshot with this filter would hold, and show its newest annotations.

    Nothing is stored. A token that reads is enough.

    Args:
        slug (str):
        body (SnapshotFilter | Unset): Which annotations a snapshot lists. Each field keeps fewer of them. Without
            `splits`, they are of the train split only.
    """
    response = client.request(
        **_request(
            slug=slug,
            body=body,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
