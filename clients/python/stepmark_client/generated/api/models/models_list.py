from typing import Any
from urllib.parse import quote

import httpx

from ...models.models_list_kind import ModelsListKind
from ...models.models_list_state import ModelsListState
from ...models.page_of_model import PageOfModel
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    cursor: str | Unset = UNSET,
    kind: ModelsListKind | Unset = UNSET,
    limit: int | Unset = 50,
    state: ModelsListState | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    json_kind: str | Unset = UNSET
    if not isinstance(kind, Unset):
        json_kind = kind

    params["kind"] = json_kind

    params["limit"] = limit

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state

    params["state"] = json_state

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/models".format(
            slug=quote(str(slug), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfModel:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfModel.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    cursor: str | Unset = UNSET,
    kind: ModelsListKind | Unset = UNSET,
    limit: int | Unset = 50,
    state: ModelsListState | Unset = UNSET,
) -> Response[PageOfModel]:
    """List models.

    List the model versions of a project in the order of their numbers.

    Args:
        slug (str):
        cursor (str | Unset):
        kind (ModelsListKind | Unset):
        limit (int | Unset):  Default: 50.
        state (ModelsListState | Unset):
    """
    response = client.request(
        **_request(
            slug=slug,
            cursor=cursor,
            kind=kind,
            limit=limit,
            state=state,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
