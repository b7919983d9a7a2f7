"""Score jobs of a project: the model that serves scores stored solutions, and solutions that are sent as texts."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from stepmark_client.generated.api.score_jobs import (
    score_jobs_cancel,
    score_jobs_list,
    score_jobs_scores,
    score_jobs_show,
    score_jobs_start,
)
from stepmark_client.generated.models.job import Job
from stepmark_client.generated.models.job_score import JobScore
from stepmark_client.generated.models.job_text import JobText
from stepmark_client.generated.models.new_job import NewJob
from stepmark_client.generated.types import UNSET
from stepmark_client.lists import Listing
from stepmark_client.transport import PatientClient
from stepmark_client.work import Work


class ScoreJob(Work[Job]):
    """A score job. `scores` has what the model said, in the order in which the solutions were sent, once it is done."""

    scores: Listing[JobScore]

    @property
    def id(self) -> int:
        """Its key on the site."""
        return self.data.id

    def how_far(self) -> tuple[str, int, int | None]:
        """Return the state, and how many of the solutions are scored."""
        return self.state, self.data.n_done, self.data.n_solutions


class ScoreJobs:
    """The score jobs of a project."""

    def __init__(self, api: PatientClient, slug: str) -> None:
        self._api, self._slug = api, slug
        self.listing: Listing[Job] = Listing(api, score_jobs_list.call, slug)

    def start(self, *, solutions: Iterable[int] = (), texts: Iterable[Mapping[str, Any]] = ()) -> ScoreJob:
        """Let the serving model score stored solutions, by their `id`, and texts: objects with `problem` and `steps`.

        At most 1,000 together. Raises Conflict if no model serves, and BadRequest for what is unknown or too long.
        """
        chosen, written = list(solutions), [JobText.from_dict(text) for text in texts]
        wanted = NewJob(solutions=chosen or UNSET, texts=written or UNSET)
        key = f"score-{uuid.uuid4()}"
        return self._job(score_jobs_start.call(self._slug, client=self._api, body=wanted, idempotency_key=key).parsed)

    def get(self, number: int) -> ScoreJob:
        """Return a job by its `id`. Raises NotFound."""
        return self._job(score_jobs_show.call(self._slug, number, client=self._api).parsed)

    def iterate(self, **filters: Any) -> Iterator[ScoreJob]:
        """Return all jobs, the oldest first. Filter: `state`."""
        return map(self._job, self.listing.iterate(**filters))

    def __iter__(self) -> Iterator[ScoreJob]:
        return self.iterate()

    def _job(self, data: Job) -> ScoreJob:
        show, end = (partial(act, self._slug, data.id, client=self._api) for act in (score_jobs_show.call, score_jobs_cancel.call))
        job = ScoreJob(data, name=f"Score job {data.id} of {self._slug}", show=show, end=end)
        job.scores = Listing(self._api, score_jobs_scores.call, self._slug, data.id)
        return job
