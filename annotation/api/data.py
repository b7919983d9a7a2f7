"""Addresses of the API: problems, solutions, batches, annotations, consensus, snapshots and people of a project. All read."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers

from annotation import export, ingest, people, quality
from annotation.api.base import ApiView, PageQuery
from annotation.api.problems import ApiRefused
from annotation.api.schema import describe, page_of

OUTCOMES = ["correct", "wrong", "unsure", "ungraded"]
SPLITS = ["train", "test"]
BATCH_KINDS = ["selected", "practice", "screening", "imported", "imported_gold", "calibration", "review"]
BATCH_STATES = ["draft", "open", "paused", "closed"]
FINISHES = ["solution", "found_error", "bad_problem", "give_up"]


def key(**options: Any) -> serializers.IntegerField:
    """Return the field of a key in a query."""
    return serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1, **options)


# --- problems and solutions -----------------------------------------------------------------------------------------------------


class ProblemSerializer(serializers.Serializer):
    """A problem with its reference answer."""

    id = serializers.IntegerField()
    external_id = serializers.CharField(help_text="The id that the loaded file gave, or one made from the statement.")
    statement = serializers.CharField()
    answer = serializers.CharField(allow_null=True, help_text="The reference answer.")
    reference_solution = serializers.CharField(allow_null=True)
    subject = serializers.CharField(allow_blank=True)
    level = serializers.CharField(allow_blank=True)
    split = serializers.ChoiceField(SPLITS)
    created_at = serializers.DateTimeField()


class SolutionSerializer(serializers.Serializer):
    """A solution with its outcome."""

    id = serializers.IntegerField()
    problem = serializers.IntegerField(help_text="The `id` of its problem.")
    problem_external_id = serializers.CharField()
    steps = serializers.ListField(child=serializers.CharField(allow_blank=True))
    final_answer = serializers.CharField(allow_null=True, allow_blank=True)
    outcome = serializers.ChoiceField(OUTCOMES, help_text="How the final answer compares with the reference answer.")
    outcome_reason = serializers.CharField(allow_blank=True)
    source = serializers.CharField(allow_blank=True, help_text="The generator.")  # type: ignore[assignment]
    withdrawn_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class ProblemQuery(PageQuery):
    """Which problems are listed."""

    external_id = serializers.CharField(required=False, max_length=200, trim_whitespace=False)
    split = serializers.ChoiceField(SPLITS, required=False)
    subject = serializers.CharField(required=False, max_length=200, trim_whitespace=False)
    level = serializers.CharField(required=False, max_length=40, trim_whitespace=False)


class SolutionQuery(PageQuery):
    """Which solutions are listed."""

    problem = key(help_text="The `id` of a problem.")
    split = serializers.ChoiceField(SPLITS, required=False)
    source = serializers.CharField(required=False, max_length=200, trim_whitespace=False)  # type: ignore[assignment]
    outcome = serializers.ChoiceField(OUTCOMES, required=False)
    withdrawn = serializers.BooleanField(required=False)


class ProblemsReading(ApiView):
    """The list of problems, which the address for loading extends."""

    @describe("problems_list", "List problems", page_of(ProblemSerializer), query=ProblemQuery, tag="problems")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the problems of a project in the order of their keys. With a filter, a page can be short although the list goes on."""
        query = self.read_query(ProblemQuery)
        after, limit = self.place(query)
        items, following = ingest.problems_of(request.access.project, after=after, limit=limit, **query)
        return self.answer_page(ProblemSerializer, items, None if following is None else (following,))


class ProblemView(ApiView):
    """One problem."""

    @describe("problems_show", "Show a problem", ProblemSerializer, tag="problems")
    def get(self, request: Any, slug: str, problem_id: int) -> HttpResponse:
        """Show a problem with its reference answer."""
        self.read_query()
        try:
            return self.answer(ProblemSerializer(ingest.find_problem(request.access.project, problem_id)).data)
        except ingest.ProblemMissing as missing:
            raise ApiRefused("not_found", str(missing)) from None


class SolutionsReading(ApiView):
    """The list of solutions, which the address for loading extends."""

    @describe("solutions_list", "List solutions", page_of(SolutionSerializer), query=SolutionQuery, tag="solutions")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the solutions of a project in the order of problem and key. With a filter, a page can be short although the list goes on."""
        query = self.read_query(SolutionQuery)
        problem, solution, limit = self.place(query, keys=2)
        items, following = ingest.solutions_of(request.access.project, after=(problem, solution), limit=limit, **query)
        return self.answer_page(SolutionSerializer, items, following)


class SolutionView(ApiView):
    """One solution."""

    @describe("solutions_show", "Show a solution", SolutionSerializer, tag="solutions")
    def get(self, request: Any, slug: str, solution_id: int) -> HttpResponse:
        """Show a solution with its outcome."""
        self.read_query()
        try:
            return self.answer(SolutionSerializer(ingest.find_solution_row(request.access.project, solution_id)).data)
        except ingest.SolutionMissing as missing:
            raise ApiRefused("not_found", str(missing)) from None


# --- batches --------------------------------------------------------------------------------------------------------------------


class BatchSerializer(serializers.Serializer):
    """A batch and how far it is. A place is for one person at one solution."""

    id = serializers.IntegerField()
    generation = serializers.IntegerField(allow_null=True, help_text="-1: the screening. Null: records of phase 1.")
    kind = serializers.ChoiceField(BATCH_KINDS)
    state = serializers.ChoiceField(BATCH_STATES)
    priority = serializers.IntegerField()
    solutions = serializers.IntegerField()
    open_places = serializers.IntegerField()
    done_places = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


class BatchQuery(PageQuery):
    """Which batches are listed."""

    state = serializers.ChoiceField(BATCH_STATES, required=False)
    kind = serializers.ChoiceField(BATCH_KINDS, required=False)
    generation = serializers.IntegerField(required=False, min_value=-(2**15), max_value=2**15 - 1)


class BatchesView(ApiView):
    """The batches of a project."""

    @describe("batches_list", "List batches", page_of(BatchSerializer), query=BatchQuery, tag="batches")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the batches of a project in the order of their keys."""
        query = self.read_query(BatchQuery)
        after, limit = self.place(query)
        items, following = quality.batch_figures(request.access.project, after=after, limit=limit, **query)
        return self.answer_page(BatchSerializer, items, None if following is None else (following,))


class BatchView(ApiView):
    """One batch."""

    @describe("batches_show", "Show a batch", BatchSerializer, tag="batches")
    def get(self, request: Any, slug: str, batch_id: int) -> HttpResponse:
        """Show a batch and how far it is."""
        self.read_query()
        try:
            return self.answer(BatchSerializer(quality.find_batch_figures(request.access.project, batch_id)).data)
        except quality.NoSuchBatch as missing:
            raise ApiRefused("not_found", str(missing)) from None


# --- annotations and consensus --------------------------------------------------------------------------------------------------


class StepLabelSerializer(serializers.Serializer):
    """One label of an annotation."""

    step = serializers.IntegerField(help_text="From 0.")
    position = serializers.IntegerField(help_text="0: the step itself. Higher: an alternative.")
    rating = serializers.IntegerField(allow_null=True, min_value=-1, max_value=1)
    flagged = serializers.BooleanField(allow_null=True)
    chosen = serializers.BooleanField(help_text="The labeler went on from this text.")
    ms = serializers.IntegerField(allow_null=True)
    text = serializers.CharField(allow_null=True, allow_blank=True, help_text="Of an alternative. Null: the step itself.")


class AnnotationSerializer(serializers.Serializer):
    """All labels of one sitting. An annotation never changes: a correction is a new revision."""

    id = serializers.IntegerField()
    solution = serializers.IntegerField()
    problem = serializers.IntegerField()
    labeler = serializers.UUIDField(allow_null=True, help_text="The pseudonym that exports show.")
    batch = serializers.IntegerField()
    generation = serializers.IntegerField(allow_null=True)
    batch_kind = serializers.ChoiceField(BATCH_KINDS)
    revision = serializers.IntegerField()
    supersedes = serializers.IntegerField(allow_null=True, help_text="The annotation that this one corrects.")
    finish_reason = serializers.ChoiceField(FINISHES)
    reason = serializers.CharField(allow_blank=True)
    first_mistake = serializers.IntegerField(allow_null=True, help_text="A step from 0. Null: none.")
    active_ms = serializers.IntegerField(allow_null=True)
    total_ms = serializers.IntegerField(allow_null=True)
    guidelines_version = serializers.IntegerField(allow_null=True)
    mark = serializers.CharField(allow_blank=True, help_text="Why it does not count for every use. Empty: it does.")
    created_at = serializers.DateTimeField()
    labels = StepLabelSerializer(many=True)


class SettledStepSerializer(serializers.Serializer):
    """What all readers say together of one step."""

    step = serializers.IntegerField(help_text="From 0.")
    label = serializers.IntegerField(allow_null=True, min_value=-1, max_value=1, help_text="Null: after the first mistake.")  # type: ignore[assignment]
    p_first = serializers.FloatField(allow_null=True, help_text="That this is the first mistake.")
    p_negative = serializers.FloatField(allow_null=True, help_text="That it is a mistake, if no step before it is one.")
    p_neutral = serializers.FloatField(help_text="That it is neutral and not positive, if it is no mistake.")
    n_votes = serializers.IntegerField()


class ConsensusSerializer(serializers.Serializer):
    """What all readers of one solution say together."""

    solution = serializers.IntegerField()
    first_mistake = serializers.IntegerField(allow_null=True, help_text="A step from 0. Null: none.")
    p_none = serializers.FloatField(allow_null=True, help_text="That no step is a mistake.")
    entropy = serializers.FloatField(allow_null=True, help_text="Bits. 0: certain.")
    n_readings = serializers.IntegerField()
    is_adjudicated = serializers.BooleanField()
    settled_at = serializers.DateTimeField()
    steps = SettledStepSerializer(many=True)


class AnnotationQuery(PageQuery):
    """Which annotations are listed."""

    solution = key(help_text="The `id` of a solution.")
    batch = key(help_text="The `id` of a batch.")


class AnnotationsView(ApiView):
    """The annotations of a project."""

    @describe("annotations_list", "List annotations", page_of(AnnotationSerializer), query=AnnotationQuery, tag="annotations")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the annotations of a project with their labels, all revisions, the oldest first."""
        query = self.read_query(AnnotationQuery)
        after, limit = self.place(query)
        items, following = export.annotation_rows(request.access.project, after=after, limit=limit, **query)
        return self.answer_page(AnnotationSerializer, items, None if following is None else (following,))


class AnnotationView(ApiView):
    """One annotation."""

    @describe("annotations_show", "Show an annotation", AnnotationSerializer, tag="annotations")
    def get(self, request: Any, slug: str, annotation_id: int) -> HttpResponse:
        """Show an annotation with its labels."""
        self.read_query()
        try:
            return self.answer(AnnotationSerializer(export.find_annotation_row(request.access.project, annotation_id)).data)
        except export.NoSuchAnnotation as missing:
            raise ApiRefused("not_found", str(missing)) from None


class ConsensusListView(ApiView):
    """The consensus on the solutions of a project."""

    @describe("consensus_list", "List the consensus", page_of(ConsensusSerializer), query=PageQuery, tag="consensus")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List what all readers say together of each solution, in the order of solutions."""
        query = self.read_query(PageQuery)
        after, limit = self.place(query)
        items, following = quality.consensus_of(request.access.project, after=after, limit=limit)
        return self.answer_page(ConsensusSerializer, items, None if following is None else (following,))


class ConsensusView(ApiView):
    """The consensus on one solution."""

    @describe("consensus_show", "Show the consensus on a solution", ConsensusSerializer, tag="consensus")
    def get(self, request: Any, slug: str, solution_id: int) -> HttpResponse:
        """Show what all readers say together of one solution."""
        self.read_query()
        try:
            return self.answer(ConsensusSerializer(quality.find_consensus(request.access.project, solution_id)).data)
        except quality.NoConsensusYet as missing:
            raise ApiRefused("not_found", str(missing)) from None


# --- snapshots ------------------------------------------------------------------------------------------------------------------


class SnapshotFileSerializer(serializers.Serializer):
    """A file that was exported from a snapshot."""

    format = serializers.CharField()
    options = serializers.DictField(help_text="Of the format.")
    split = serializers.CharField(allow_blank=True, help_text="Empty: the file holds all splits.")
    n_records = serializers.IntegerField()
    n_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    created_at = serializers.DateTimeField()


class SnapshotSerializer(serializers.Serializer):
    """A snapshot: a list of annotations, which never changes."""

    number = serializers.IntegerField()
    count = serializers.IntegerField(help_text="How many annotations it has.")
    sha256 = serializers.CharField(allow_blank=True, help_text="Of its records as PRM800K lines. Empty: it was taken for a training.")
    content_sha256 = serializers.CharField(allow_blank=True, help_text="Of its content file. Empty: it has none.")
    spec = serializers.DictField(help_text="Which annotations it has.")
    counts = serializers.DictField(help_text="Annotations, solutions, problems, people, ratings.")
    provenance = serializers.DictField(help_text="Versions of Stepmark, grader and guidelines, and what selected each batch.")
    files = SnapshotFileSerializer(many=True, help_text="The files that were exported from it.")
    created_at = serializers.DateTimeField()


class SnapshotsReading(ApiView):
    """The list of snapshots, which the address for taking one extends."""

    @describe("snapshots_list", "List snapshots", page_of(SnapshotSerializer), query=PageQuery, tag="snapshots")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the snapshots of a project in the order of their numbers."""
        query = self.read_query(PageQuery)
        after, limit = self.place(query, first=0)
        items, following = export.snapshot_rows(request.access.project, after=after, limit=limit)
        return self.answer_page(SnapshotSerializer, items, None if following is None else (following,))


class SnapshotView(ApiView):
    """One snapshot."""

    @describe("snapshots_show", "Show a snapshot", SnapshotSerializer, tag="snapshots")
    def get(self, request: Any, slug: str, number: int) -> HttpResponse:
        """Show a snapshot."""
        self.read_query()
        try:
            return self.answer(SnapshotSerializer(export.snapshot_row(request.access.project, number)).data)
        except export.NoSuchSnapshot as missing:
            raise ApiRefused("not_found", str(missing)) from None


# --- people ---------------------------------------------------------------------------------------------------------------------


class WorkSerializer(serializers.Serializer):
    """What a person labeled in the project, as the page of people counts it."""

    today = serializers.IntegerField(help_text="UTC.")
    total = serializers.IntegerField()
    minutes_each = serializers.FloatField(allow_null=True, help_text="Active minutes for one solution.")
    last_at = serializers.DateTimeField(allow_null=True)


class GoldShareSerializer(serializers.Serializer):
    """How a person answered gold and screening questions."""

    answers = serializers.IntegerField(source="n")
    within = serializers.IntegerField(source="k", help_text="Answers within gold.")


class MemberSerializer(serializers.Serializer):
    """A member of a project with figures."""

    id = serializers.IntegerField(source="number", help_text="Of the membership.")
    username = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()
    state = serializers.CharField()
    work = WorkSerializer()
    gold = GoldShareSerializer()


class PeopleView(ApiView):
    """The people of a project, for those who see the page of people."""

    roles = people.MANAGERS

    @describe("people_list", "List people", page_of(MemberSerializer), query=PageQuery, tag="people")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the members of a project with what they labeled and how they answered gold. Managers and owners see it."""
        query = self.read_query(PageQuery)
        after, limit = self.place(query)
        items, following = quality.members_of(request.access.project, after=after, limit=limit)
        return self.answer_page(MemberSerializer, items, None if following is None else (following,))
