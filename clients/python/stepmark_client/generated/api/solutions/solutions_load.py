from typing import Any
from urllib.parse import quote

import httpx

from ...models.loaded import Loaded
from ...models.solutions_load_line_format import SolutionsLoadLineFormat
from ...models.solutions_load_steps_by import SolutionsLoadStepsBy
from ...models.solutions_load_wrong import SolutionsLoadWrong
from ...types import UNSET, File, Response, Unset


def _request(
    slug: str,
    *,
    body: File,
    line_format: SolutionsLoadLineFormat | Unset = "generic",
    mapping: str | Unset = UNSET,
    source: str | Unset = UNSET,
    steps_by: SolutionsLoadStepsBy | Unset = "lines",
    wrong: SolutionsLoadWrong | Unset = "refuse",
    idempotency_key: str | Unset = UNSET,
    content_encoding: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    if not isinstance(content_encoding, Unset):
        headers["Content-Encoding"] = content_encoding

    params: dict[str, Any] = {}

    json_line_format: str | Unset = UNSET
    if not isinstance(line_format, Unset):
        json_line_format = line_format

    params["line_format"] = json_line_format

    params["mapping"] = mapping

    params["source"] = source

    json_steps_by: str | Unset = UNSET
    if not isinstance(steps_by, Unset):
        json_steps_by = steps_by

    params["steps_by"] = json_steps_by

    json_wrong: str | Unset = UNSET
    if not isinstance(wrong, Unset):
        json_wrong = wrong

    params["wrong"] = json_wrong

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/projects/{slug}/solutions".format(
            slug=quote(str(slug), safe=""),
        ),
        "params": params,
    }
    request["content"] = body.payload

    headers["Content-Type"] = "application/x-ndjson"
    request["headers"] = headers
    return request


def _read(response: httpx.Response) -> Loaded:
    if 200 <= response.status_code <= 200:
        response_200 = Loaded.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    body: File,
    line_format: SolutionsLoadLineFormat | Unset = "generic",
    mapping: str | Unset = UNSET,
    source: str | Unset = UNSET,
    steps_by: SolutionsLoadStepsBy | Unset = "lines",
    wrong: SolutionsLoadWrong | Unset = "refuse",
    idempotency_key: str | Unset = UNSET,
    content_encoding: str | Unset = UNSET,
) -> Response[Loaded]:
    """Load solutions.

    Load solutions with their problems, one JSON object a line, and grade new final answers. Known ones stay as they are.

    Args:
        slug (str):
        line_format (SolutionsLoadLineFormat | Unset):  Default: 'generic'.
        mapping (str | Unset):
        source (str | Unset):
        steps_by (SolutionsLoadStepsBy | Unset):  Default: 'lines'.
        wrong (SolutionsLoadWrong | Unset):  Default: 'refuse'.
        idempotency_key (str | Unset):
        content_encoding (str | Unset):
        body (File):
    """
    response = client.request(
        **_request(
            slug=slug,
            body=body,
            line_format=line_format,
            mapping=mapping,
            source=source,
            steps_by=steps_by,
            wrong=wrong,
            idempotency_key=idempotency_key,
            content_encoding=content_encoding,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
