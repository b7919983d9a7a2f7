from typing import Any
from urllib.parse import quote

import httpx

from ...models.page_of_solution import PageOfSolution
from ...models.solutions_list_outcome import SolutionsListOutcome
from ...models.solutions_list_split import SolutionsListSplit
from ...types import UNSET, Response, Unset


def _request(
    slug: str,
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    outcome: SolutionsListOutcome | Unset = UNSET,
    problem: int | Unset = UNSET,
    source: str | Unset = UNSET,
    split: SolutionsListSplit | Unset = UNSET,
    withdrawn: bool | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    json_outcome: str | Unset = UNSET
    if not isinstance(outcome, Unset):
        json_outcome = outcome

    params["outcome"] = json_outcome

    params["problem"] = problem

    params["source"] = source

    json_split: str | Unset = UNSET
    if not isinstance(split, Unset):
        json_split = split

    params["split"] = json_split

    params["withdrawn"] = withdrawn

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    request: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/projects/{slug}/solutions".format(
            slug=quote(str(slug), safe=""),
        ),
        "params": params,
    }
    return request


def _read(response: httpx.Response) -> PageOfSolution:
    if 200 <= response.status_code <= 200:
        response_200 = PageOfSolution.from_dict(response.json())

        return response_200

    raise ValueError(f"This client does not know the status {response.status_code} here.")


def call(
    slug: str,
    *,
    client: httpx.Client,
    cursor: str | Unset = UNSET,
    limit: int | Unset = 50,
    outcome: SolutionsListOutcome | Unset = UNSET,
    problem: int | Unset = UNSET,
    source: str | Unset = UNSET,
    split: SolutionsListSplit | Unset = UNSET,
    withdrawn: bool | Unset = UNSET,
) -> Response[PageOfSolution]:
    """List solutions.

    List the solutions of a project in the order of problem and key. With a filter, a page can be short although the list
    goes on.

    Args:
        slug (str):
        cursor (str | Unset):
        limit (int | Unset):  Default: 50.
        outcome (SolutionsListOutcome | Unset):
        problem (int | Unset):
        source (str | Unset):
        split (SolutionsListSplit | Unset):
        withdrawn (bool | Unset):
    """
    response = client.request(
        **_request(
            slug=slug,
            cursor=cursor,
            limit=limit,
            outcome=outcome,
            problem=problem,
            source=source,
            split=split,
            withdrawn=withdrawn,
        )
    )
    return Response(response.status_code, response.headers, _read(response))
