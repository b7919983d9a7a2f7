from typing import Any
from urllib.parse import quote

import httpx

from ...models.annotation import Annotation
from ...types import Response


def _request(
    slug: str,
    annotation_id: int,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/annotations/{annotation_id}".format(
            slug=quote(str(slug), safe=""),
            annotation_id=quote(str(annotation_id), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> Annotation:
    if 200 <= response.status_code <= 200:
        response_200 = Annotation.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    annotation_id: int,
    *,
    client: httpx.Client,
) -> Response[Annotation]:
    """Show an annotation.

    Show an annotation with its labels.

    Args:
        slug (str):
        annotation_id (int):
    """
    response = client.request(
        **_request(
            slug=slug,
            annotation_id=annotation_id,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
