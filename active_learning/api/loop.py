"""Addresses of the API: rounds, which also start and end here, model versions, and their scores."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from active_learning import registry, rounds, scoring
from active_learning.selection import MIXES, STRATEGIES
from annotation.api.base import ApiView, PageQuery
from annotation.api.data import OUTCOMES, key
from annotation.api.problems import ApiRefused
from annotation.api.schema import describe, page_of

ROUND_STATES = ["queued", "training", "sampling", "scoring", "selecting", "proposed", "published", "failed", "cancelled"]
MODEL_STATES = ["queued", "running", "ready", "failed"]
KINDS = ["prm", "orm"]
LABELS = ["each", "consensus", "soft"]

# --- rounds ---------------------------------------------------------------------------------------------------------------------


class StageSerializer(serializers.Serializer):
    """One attempt at one stage of a round."""

    name = serializers.ChoiceField(["train", "judge", "sample", "score", "select", "publish"])
    attempt = serializers.IntegerField()
    began_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    ended = serializers.CharField(allow_blank=True, help_text="done, cancelled, stopped or failed. Empty: it runs.")
    failure = serializers.CharField(allow_blank=True)


class RoundSerializer(serializers.Serializer):
    """A round: what it was asked to do, how far it is, and what it made."""

    number = serializers.IntegerField()
    generation = serializers.IntegerField(help_text="Of the batch that it publishes.")
    state = serializers.ChoiceField(ROUND_STATES)
    strategy = serializers.CharField(allow_blank=True)
    size = serializers.IntegerField(help_text="How many solutions the batch gets. 0: it publishes nothing.")
    per_problem = serializers.IntegerField(allow_null=True)
    trains = serializers.BooleanField()
    review = serializers.BooleanField(help_text="A person looks at the batch before it is published.")
    labels = serializers.ChoiceField(LABELS)
    kind = serializers.ChoiceField(KINDS)
    model = serializers.IntegerField(allow_null=True, help_text="The number of the model that it trained.")
    batch = serializers.IntegerField(allow_null=True, help_text="The `id` of the batch that it published.")
    failure = serializers.CharField(allow_blank=True)
    progress = serializers.DictField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    stages = StageSerializer(many=True)


class RoundQuery(PageQuery):
    """Which rounds are listed."""

    state = serializers.ChoiceField(ROUND_STATES, required=False)


NAMES = ", ".join([*STRATEGIES, *MIXES])


class NewRoundSerializer(serializers.Serializer):
    """What a new round is asked to do. What is left out is as the project has it."""

    strategy = serializers.CharField(
        required=False,
        max_length=400,
        help_text=f"{NAMES}, or parts such as `convincing:0.7,uniform:0.3`.",
    )
    size = serializers.IntegerField(required=False, min_value=0, max_value=10_000, help_text="How many solutions the batch gets.")
    per_problem = serializers.IntegerField(required=False, min_value=1, max_value=32_767)
    is_diverse = serializers.BooleanField(required=False)
    is_stratified = serializers.BooleanField(required=False)
    train = serializers.BooleanField(required=False, help_text="Train a model first. Without it: only if the strategy needs one.")
    review = serializers.BooleanField(required=False, help_text="Propose the batch, and let a person publish it.")
    labels = serializers.ChoiceField(LABELS, required=False, help_text="What the model learns of several people's labels.")


RECIPE = ("strategy", "size", "per_problem", "is_diverse", "is_stratified")


class RoundsView(ApiView):
    """The rounds of a project."""

    @describe("rounds_list", "List rounds", page_of(RoundSerializer), query=RoundQuery, tag="rounds")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the rounds of a project in the order of their numbers."""
        query = self.read_query(RoundQuery)
        after, limit = self.place(query, first=0)
        items, following = rounds.rounds_of(request.access.project, after=after, limit=limit, **query)
        return self.answer_page(RoundSerializer, items, None if following is None else (following,))

    @describe(
        "rounds_start", "Start a round", RoundSerializer, body=NewRoundSerializer, status=201, tag="rounds", has_key=True,
        problems=(
            "bad_body", "scope_missing", "role_too_low", "round_refused", "body_too_large", "unsupported_media_type",
            "key_in_use", "key_reused",
        ),
        examples=[OpenApiExample("Ten solutions at random", {"strategy": "uniform", "size": 10, "review": True}, request_only=True)],
    )  # fmt: skip
    def post(self, request: Any, slug: str) -> HttpResponse:
        """Start a round. It waits for a worker, and publishes its batch without a review unless `review` is true."""
        self.read_query()
        wanted = self.read_body(NewRoundSerializer)
        return self.answer_once(wanted, lambda: self._start(wanted))

    def _start(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        project, person = self.request.access.project, self.person
        recipe = {name: wanted.pop(name) for name in RECIPE if name in wanted}
        try:
            plan = rounds.RoundPlan(rounds.recipe_for(project, **recipe), **wanted)
            started = rounds.start(project, plan, actor=person)
        except rounds.RoundRefused as refused:
            raise ApiRefused("round_refused", str(refused)) from None
        return 201, RoundSerializer(rounds.round_row(project, started.number)).data


class RoundView(ApiView):
    """One round."""

    @describe("rounds_show", "Show a round", RoundSerializer, tag="rounds")
    def get(self, request: Any, slug: str, round_number: int) -> HttpResponse:
        """Show a round with its stages."""
        self.read_query()
        return self.answer(RoundSerializer(row_of(self, round_number)).data)


class CancelRoundView(ApiView):
    """The end of a round."""

    @describe("rounds_cancel", "Cancel a round", RoundSerializer, tag="rounds", problems=("scope_missing", "role_too_low", "round_refused"))
    def post(self, request: Any, slug: str, round_number: int) -> HttpResponse:
        """Cancel a round that has not ended, or discard its proposal."""
        self.read_query()
        row_of(self, round_number)
        try:
            rounds.cancel(request.access.project, round_number, actor=request.user)
        except rounds.RoundRefused as refused:
            raise ApiRefused("round_refused", str(refused)) from None
        return self.answer(RoundSerializer(row_of(self, round_number)).data)


def row_of(view: ApiView, number: int) -> rounds.RoundValues:
    """Return a round of the project of the address. Raises ApiRefused."""
    try:
        return rounds.round_row(view.request.access.project, number)
    except rounds.NoSuchRound as missing:
        raise ApiRefused("not_found", str(missing)) from None


# --- models and scores ----------------------------------------------------------------------------------------------------------


class ModelSerializer(serializers.Serializer):
    """A model version."""

    number = serializers.IntegerField()
    kind = serializers.ChoiceField(KINDS)
    state = serializers.ChoiceField(MODEL_STATES)
    serves = serializers.BooleanField(help_text="It scores the solutions now.")
    base = serializers.CharField()
    labels = serializers.ChoiceField(LABELS)
    snapshot = serializers.IntegerField(allow_null=True, help_text="The number of the snapshot that it learned from.")
    seed = serializers.IntegerField()
    sha256 = serializers.CharField(allow_blank=True)
    code_version = serializers.CharField(allow_blank=True)
    failure = serializers.CharField(allow_blank=True)
    progress = serializers.DictField()
    created_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)


class ModelDetailSerializer(ModelSerializer):
    """A model version with its metrics and its config."""

    metrics = serializers.DictField()
    config = serializers.DictField()


class ScoreSerializer(serializers.Serializer):
    """What a model says of one solution."""

    solution = serializers.IntegerField()
    problem = serializers.IntegerField()
    score = serializers.FloatField(help_text="The probability that every step is right.")
    first_weak_step = serializers.IntegerField(allow_null=True, help_text="A step from 0. Null: the model sees no mistake.")
    outcome = serializers.ChoiceField(OUTCOMES)
    entropy = serializers.FloatField(allow_null=True, help_text="Nats, of where the first mistake is.")
    confidence = serializers.FloatField(allow_null=True)
    deviation = serializers.FloatField(allow_null=True)


class ModelQuery(PageQuery):
    """Which models are listed."""

    kind = serializers.ChoiceField(KINDS, required=False)
    state = serializers.ChoiceField(MODEL_STATES, required=False)


class ScoreQuery(PageQuery):
    """Which scores are listed."""

    solution = key(help_text="The `id` of a solution.")


class ModelsView(ApiView):
    """The model versions of a project."""

    @describe("models_list", "List models", page_of(ModelSerializer), query=ModelQuery, tag="models")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the model versions of a project in the order of their numbers."""
        query = self.read_query(ModelQuery)
        after, limit = self.place(query, first=0)
        items, following = registry.models_of(request.access.project, after=after, limit=limit, **query)
        return self.answer_page(ModelSerializer, items, None if following is None else (following,))


class ModelView(ApiView):
    """One model version."""

    @describe("models_show", "Show a model", ModelDetailSerializer, tag="models")
    def get(self, request: Any, slug: str, number: int) -> HttpResponse:
        """Show a model version with its metrics and its config."""
        self.read_query()
        try:
            return self.answer(ModelDetailSerializer(registry.model_row(request.access.project, number)).data)
        except registry.NoSuchVersion as missing:
            raise ApiRefused("not_found", str(missing)) from None


class ScoresView(ApiView):
    """The scores of a model version."""

    @describe("scores_list", "List scores", page_of(ScoreSerializer), query=ScoreQuery, tag="models", problems=("scores_stored_away",))
    def get(self, request: Any, slug: str, number: int) -> HttpResponse:
        """List what a model says of each solution that it has scored, in the order of solutions."""
        query = self.read_query(ScoreQuery)
        after, limit = self.place(query)
        try:
            items, following = scoring.scores_of(request.access.project, number, after=after, limit=limit, **query)
        except registry.NoSuchVersion as missing:
            raise ApiRefused("not_found", str(missing)) from None
        except scoring.ScoresStoredAway as away:
            raise ApiRefused("scores_stored_away", str(away)) from None
        return self.answer_page(ScoreSerializer, items, None if following is None else (following,))
