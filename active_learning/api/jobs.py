"""Addresses of the API: score jobs. A program sends solutions, the model that serves scores them, and the program reads the scores."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from active_learning import scoring
from annotation import people
from annotation.api.base import ApiView, PageQuery
from annotation.api.problems import ApiRefused, Fault
from annotation.api.schema import describe, page_of

JOB_STATES = ["queued", "running", "done", "failed", "cancelled"]
MOST_STEPS, LONGEST = 200, 50_000  # of one solution; characters of a statement or a step


class JobTextSerializer(serializers.Serializer):
    """A solution as texts. It is stored only in its job."""

    problem = serializers.CharField(max_length=LONGEST, trim_whitespace=False, help_text="The statement.")
    steps = serializers.ListField(
        child=serializers.CharField(max_length=LONGEST, trim_whitespace=False), min_length=1, max_length=MOST_STEPS
    )


class NewJobSerializer(serializers.Serializer):
    """What is to be scored: `solutions`, `texts`, or both, at most 1,000 together."""

    solutions = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, default=list, max_length=scoring.MOST_SOLUTIONS,
        help_text="The `id` of stored solutions.",
    )  # fmt: skip
    texts = JobTextSerializer(many=True, required=False, default=list, max_length=scoring.MOST_SOLUTIONS, help_text="Solutions as texts.")  # type: ignore[call-arg]


class JobSerializer(serializers.Serializer):
    """A score job and how far it is."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(JOB_STATES)
    model = serializers.IntegerField(help_text="The number of the model that scores: the one that served when the job was made.")
    n_solutions = serializers.IntegerField()
    n_done = serializers.IntegerField(help_text="How many are scored.")
    failure = serializers.CharField(allow_blank=True, help_text="Why it failed, and what to do.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class StepProbabilitiesSerializer(serializers.Serializer):
    """What the model says of one step."""

    negative = serializers.FloatField()
    neutral = serializers.FloatField()
    positive = serializers.FloatField()


class JobScoreSerializer(serializers.Serializer):
    """What the model says of one solution of a job."""

    position = serializers.IntegerField(help_text="From 0: first the solutions, then the texts, as they were sent.")
    solution = serializers.IntegerField(allow_null=True, help_text="Its `id`. Null: it was sent as texts.")
    score = serializers.FloatField(help_text="The probability that every step is right. 0 if some steps were not read.")
    first_weak_step = serializers.IntegerField(allow_null=True, help_text="A step from 0. Null: the model sees no mistake.")
    steps = StepProbabilitiesSerializer(many=True, help_text="The probabilities of each step that was read.")
    n_unread = serializers.IntegerField(help_text="How many steps at the end are beyond what the model can read.")


class JobQuery(PageQuery):
    """Which score jobs are listed."""

    state = serializers.ChoiceField(JOB_STATES, required=False)


class ScoreJobsView(ApiView):
    """The score jobs of a project."""

    write_roles = people.RESEARCHERS
    body_bytes = 5_000_000

    @describe("score_jobs_list", "List score jobs", page_of(JobSerializer), query=JobQuery, tag="score jobs")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the score jobs of a project, the oldest first. A job is deleted 30 days after its end."""
        query = self.read_query(JobQuery)
        after, limit = self.place(query)
        items, following = scoring.jobs_of(request.access.project, after=after, limit=limit, **query)
        return self.answer_page(JobSerializer, items, None if following is None else (following,))

    @describe(
        "score_jobs_start", "Score solutions", JobSerializer, body=NewJobSerializer, status=201, tag="score jobs", has_key=True,
        problems=(
            "bad_body", "scope_missing", "role_too_low", "no_serving_model", "score_job_refused", "body_too_large",
            "unsupported_media_type", "key_in_use", "key_reused",
        ),
        examples=[
            OpenApiExample(
                "One solution as texts",
                {"texts": [{"problem": "What is 2 + 3?", "steps": ["2 + 3 is 5.", "So it is 5.\n\n# Answer\n\n5"]}]},
                request_only=True,
            )
        ],
    )  # fmt: skip
    def post(self, request: Any, slug: str) -> HttpResponse:
        """Let the model that serves score stored solutions and texts, all of them or none. The job waits for a worker."""
        self.read_query()
        wanted = self.read_body(NewJobSerializer)
        count = len(wanted["solutions"]) + len(wanted["texts"])
        if not 0 < count <= scoring.MOST_SOLUTIONS:
            words = f"Send 1 to {scoring.MOST_SOLUTIONS:,} solutions and texts together. These are {count:,}."
            raise ApiRefused("bad_body", words, faults=[Fault("body", "solutions", "count", words)])
        return self.answer_once(wanted, lambda: self._start(wanted))

    def _start(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        texts = [scoring.JobText(**text) for text in wanted["texts"]]
        try:
            job = scoring.ask_for_scores(self.request.access.project, solutions=wanted["solutions"], texts=texts, actor=self.person)
        except scoring.UnknownSolutions as unknown:
            words = "This project has no solution with this id."
            faults = [Fault("body", f"solutions.{place}", "unknown", words) for place in unknown.places]
            raise ApiRefused("bad_body", str(unknown), faults=faults[:100], n_faults=len(faults)) from None
        except scoring.NoServingModel as none:
            raise ApiRefused("no_serving_model", str(none)) from None
        except scoring.ScoreJobRefused as refused:
            raise ApiRefused("score_job_refused", str(refused)) from None
        return 201, JobSerializer(job).data


class ScoreJobView(ApiView):
    """One score job."""

    @describe("score_jobs_show", "Show a score job", JobSerializer, tag="score jobs")
    def get(self, request: Any, slug: str, job_id: int) -> HttpResponse:
        """Show a score job and how far it is."""
        self.read_query()
        try:
            return self.answer(JobSerializer(scoring.find_job(request.access.project, job_id)).data)
        except scoring.NoSuchJob as missing:
            raise ApiRefused("not_found", str(missing)) from None


class JobScoresView(ApiView):
    """What the model said of the solutions of a score job."""

    @describe(
        "score_jobs_scores", "List the scores of a job", page_of(JobScoreSerializer), query=PageQuery, tag="score jobs",
        problems=("score_job_refused",),
    )  # fmt: skip
    def get(self, request: Any, slug: str, job_id: int) -> HttpResponse:
        """List what the model said of each solution, in the order in which they were sent. The job must be done."""
        query = self.read_query(PageQuery)
        after, limit = self.place(query, first=1)
        try:
            items, following = scoring.job_scores(request.access.project, job_id, after=after, limit=limit)
        except scoring.NoSuchJob as missing:
            raise ApiRefused("not_found", str(missing)) from None
        except scoring.ScoreJobRefused as refused:
            raise ApiRefused("score_job_refused", str(refused)) from None
        return self.answer_page(JobScoreSerializer, items, None if following is None else (following,))


class CancelJobView(ApiView):
    """The early end of a score job."""

    write_roles = people.RESEARCHERS

    @describe(
        "score_jobs_cancel", "Cancel a score job", JobSerializer, tag="score jobs",
        problems=("scope_missing", "role_too_low", "score_job_refused"),
    )  # fmt: skip
    def post(self, request: Any, slug: str, job_id: int) -> HttpResponse:
        """Cancel a score job that has not ended. What was scored so far is not shown."""
        self.read_query()
        try:
            return self.answer(JobSerializer(scoring.cancel_job(request.access.project, job_id, actor=self.person)).data)
        except scoring.NoSuchJob as missing:
            raise ApiRefused("not_found", str(missing)) from None
        except scoring.ScoreJobRefused as refused:
            raise ApiRefused("score_job_refused", str(refused)) from None
