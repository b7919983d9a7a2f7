from typing import Any
from urllib.parse import quote

import httpx

from ...models.project_detail import ProjectDetail
from ...types import Response


def _request(
    slug: str,
) -> dict[str, Any]:

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}".format(
            slug=quote(str(slug), safe=""),
        ),
    }
    return request


def _read(response: httpx.Response) -> ProjectDetail:
    if 200 <= response.status_code <= 200:
        response_200 = ProjectDetail.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
) -> Response[ProjectDetail]:
    """Show a project.

    Show a project with its guidelines.

    Args:
        slug (str):
    """
    response = client.request(
        **_request(
            slug=slug,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
