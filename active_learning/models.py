"""The schema of the loop: ModelVersion -> ScoreShard -> Score -> Selection, driven by Round, started by Schedule.

A run (training, scoring, selecting) is a row with state, heartbeat, attempt and token. A Celery message only tells a worker that there
is work.
"""

from datetime import timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from annotation.longwork import ClaimedWork, LongWork
from annotation.models import Annotation, Batch, Problem, Project, Snapshot, Solution, one_of

WORKER_SILENT = timedelta(minutes=1)  # a worker without a heartbeat for this long counts as gone


class ModelKind(models.TextChoices):
    PRM = "prm"
    ORM = "orm"


class ModelState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"


class RoundState(models.TextChoices):
    QUEUED = "queued"
    TRAINING = "training"
    SAMPLING = "sampling"
    SCORING = "scoring"
    SELECTING = "selecting"
    PROPOSED = "proposed"  # selected; a person reviews and publishes it
    PUBLISHED = "published"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = ["queued", "training", "sampling", "scoring", "selecting", "proposed"]


class StageName(models.TextChoices):
    TRAIN = "train"
    JUDGE = "judge"
    SAMPLE = "sample"
    SCORE = "score"
    SELECT = "select"
    PUBLISH = "publish"


class ShardState(models.TextChoices):
    OPEN = "open"
    RUNNING = "running"
    DONE = "done"


class JobState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Labels(models.TextChoices):
    """What a PRM learns of a solution that several people labeled."""

    EACH = "each", "each person’s labels"
    CONSENSUS = "consensus", "the consensus: the most likely rating of each step"
    SOFT = "soft", "the consensus as probabilities"


class ModelVersion(ClaimedWork):
    """One trained reward model, or the attempt to train it."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=4, choices=ModelKind, default=ModelKind.PRM)
    base = models.CharField(max_length=500)
    snapshot = models.ForeignKey(Snapshot, null=True, on_delete=models.PROTECT)
    labels = models.CharField(max_length=9, choices=Labels, default=Labels.EACH, db_default=Labels.EACH)
    consensus = models.JSONField(default=dict, db_default={})  # labelers and gold when it began (registry/labels.py); empty: each person's
    config = models.JSONField(default=dict)
    artifact = models.CharField(max_length=500, blank=True)  # folder relative to STEPMARK_HOME
    sha256 = models.CharField(max_length=64, blank=True)  # of what the artifact's scores come from (`model_sha256`)
    metrics = models.JSONField(default=dict)
    seed = models.BigIntegerField(default=0)
    code_version = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=8, choices=ModelState, default=ModelState.QUEUED)
    failure = models.TextField(blank=True)
    progress = models.JSONField(default=dict)  # stage, done, total, seconds left: what a page shows of a running one
    champion = models.BooleanField(default=False)
    # Who decided whether it serves, and why: registry.decide and registry.promote write it. Empty: not judged yet.
    decision = models.JSONField(default=dict)
    # Where its scores lie once their partition was dropped: a file relative to STEPMARK_HOME and its hash.
    scores_file = models.CharField(max_length=500, blank=True)
    scores_sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    ready_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="model_number", fields=["project", "number"]),
            models.UniqueConstraint(name="model_one_running", fields=["project"], condition=Q(state="running")),
            models.UniqueConstraint(name="model_one_champion", fields=["project", "kind"], condition=Q(champion=True)),
            models.CheckConstraint(name="model_ready_is_hashed", condition=~Q(state="ready") | ~Q(sha256="")),
            models.CheckConstraint(name="model_champion_is_ready", condition=Q(champion=False) | Q(state="ready")),
            one_of("model_kind", "kind", ModelKind),
            one_of("model_labels", "labels", Labels),
            one_of("model_state", "state", ModelState),
        ]

    def __str__(self) -> str:
        return f"{self.project.slug} {self.kind} {self.number}"


class Score(models.Model):
    """What one model version says of one solution.

    PARTITION BY LIST (model_version): load with COPY, index, attach; dropping a version drops its partition. Django
    cannot say that, so the first migration makes the table in SQL. No foreign keys: validating them on ATTACH would read
    twelve million rows, and a partition is written by one COPY out of a query over exactly those tables.
    """

    pk = models.CompositePrimaryKey("model_version", "solution")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    solution = models.ForeignKey(Solution, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    problem = models.ForeignKey(Problem, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    score = models.FloatField()  # product over steps of p(neutral) + p(positive)
    first_weak_step = models.SmallIntegerField(null=True)
    outcome = models.CharField(max_length=8)
    entropy = models.FloatField(null=True)  # nats, of where the first mistake is
    # With uncertainty heads: of the steps up to the first predicted mistake, the least max(mean, 1 - mean) and the greatest deviation.
    confidence = models.FloatField(null=True)
    deviation = models.FloatField(null=True)
    prefix = models.BigIntegerField(null=True)  # hash of the steps up to the first doubtful one: solutions that share it teach the same
    # What choosing reads besides; None in scores of older versions.
    per_step = models.FloatField(null=True)  # geometric mean over steps of the calibrated p(neutral) + p(positive)
    margin = models.FloatField(null=True)  # by how much the most likely place of the first mistake leads the next one
    change = models.FloatField(null=True)  # expected length of the change of the head above a frozen base

    class Meta:
        indexes = [
            # The selection: the most convincing wrong answers of a problem; by the product in scores of older versions.
            models.Index(F("problem"), Coalesce("per_step", "score").desc(), name="score_convincing", condition=Q(outcome="wrong")),
            # The search for solutions in order of score.
            models.Index(fields=["score", "solution"], name="score_order"),
        ]


class ProblemMean(models.Model):
    """How convincing the solutions of a problem usually are to one model version: what each of them is compared with.

    No foreign keys in the database, for the reason that Score has none.
    """

    pk = models.CompositePrimaryKey("model_version", "problem")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    problem = models.ForeignKey(Problem, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    per_step = models.FloatField()  # mean of Score.per_step; the mean of all solutions counts as one solution more


class ScoreShard(ClaimedWork):
    """A range of solutions that one worker scores with one model version: copied and marked done in one transaction, under its token."""

    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, db_index=False)
    number = models.PositiveIntegerField()
    first_solution = models.BigIntegerField()
    last_solution = models.BigIntegerField()
    n_solutions = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=ShardState, default=ShardState.OPEN)
    worker = models.CharField(max_length=200, blank=True)
    holder = models.CharField(max_length=100, blank=True, default="", db_default="")  # the process that has it: holders.own_name
    failure = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="shard_number", fields=["model_version", "number"]),
            models.CheckConstraint(name="shard_range", condition=Q(first_solution__lte=F("last_solution"))),
            one_of("shard_state", "state", ShardState),
        ]

    def __str__(self) -> str:
        return f"{self.model_version} shard {self.number}"


class StepScores(models.Model):
    """What one model version says of every step of one solution: of some held-out ones, and of those somebody asked for."""

    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, db_index=False)
    solution = models.ForeignKey(Solution, on_delete=models.CASCADE)
    probabilities = models.JSONField()  # [[negative, neutral, positive]] of each step read
    held_out = models.BooleanField(default=False)  # its problem was not trained on, and it is labeled
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="step_scores_once", fields=["model_version", "solution"])]


class ScoreJob(LongWork):
    """Solutions that a person, mostly by a program, asks the serving model to score: all of them or none."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, db_index=False)
    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE)  # the version that served when the job was made
    n_solutions = models.PositiveIntegerField()
    n_done = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=9, choices=JobState, default=JobState.QUEUED)
    failure = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [one_of("score_job_state", "state", JobState)]
        indexes = [
            models.Index(name="score_job_by_project", fields=["project", "id"]),
            # Serves the sweep: which jobs wait for a worker?
            models.Index(name="score_job_waiting", fields=["id"], condition=Q(state__in=["queued", "running"])),
            models.Index(name="score_job_ended", fields=["finished_at"]),
        ]

    def __str__(self) -> str:
        return f"score job {self.pk} of {self.project.slug}"


class ScoreJobItem(models.Model):
    """One solution of a score job: a stored one, or texts. What the model says of it is written with those beside it."""

    job = models.ForeignKey(ScoreJob, on_delete=models.CASCADE, db_index=False)
    position = models.PositiveIntegerField()  # from 0, as they were sent
    solution = models.ForeignKey(Solution, null=True, on_delete=models.CASCADE)
    statement = models.TextField(blank=True)  # of texts; a stored solution has its own
    steps = ArrayField(models.TextField(), default=list)
    score = models.FloatField(null=True)  # null: not scored yet
    probabilities = models.JSONField(default=list)  # [[negative, neutral, positive]] of each step read
    first_weak_step = models.PositiveIntegerField(null=True)
    n_unread = models.PositiveIntegerField(default=0)  # steps beyond the model's context

    class Meta:
        constraints = [models.UniqueConstraint(name="score_job_item_position", fields=["job", "position"])]


class SurpriseKind(models.TextChoices):
    """What a version says of the step at which it and people part."""

    MISSED = "missed", "the model calls it good, people call it a mistake"
    ALARM = "alarm", "the model calls it a mistake, people call it good"


class LearnedFrom(models.TextChoices):
    """What a version had learned of a solution's problem."""

    HELD_OUT = "held_out", "its problem was held out"
    NEW = "new", "its problem was not in the training"
    PROBLEM = "problem", "it learned from other solutions of the problem"
    LABELS = "labels", "it learned from labels of this solution"
    UNKNOWN = "unknown", "what it learned from is not known"


class Surprise(models.Model):
    """A solution of which a version and people name different first mistakes. surprises.py finds them, and keeps the most surprising."""

    pk = models.CompositePrimaryKey("model_version", "solution")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, db_index=False)
    solution = models.ForeignKey(Solution, on_delete=models.CASCADE)
    step = models.SmallIntegerField()  # from 0: where they part, the earlier of the two first mistakes
    kind = models.CharField(max_length=6, choices=SurpriseKind)
    learned_from = models.CharField(max_length=8, choices=LearnedFrom)
    bits = models.FloatField()  # -log2 of the probability that the version gave to what people say
    is_exact = models.BooleanField()  # false: only the score is stored, and the bits are a lower bound
    right = models.FloatField(null=True)  # p(correct) of the step; null: not stored
    people = models.SmallIntegerField(null=True)  # their first mistake; null: none
    model = models.SmallIntegerField(null=True)  # the version's first mistake; null: none
    annotation = models.ForeignKey(Annotation, null=True, on_delete=models.SET_NULL, db_index=False)  # a label that says what people say
    finish_reason = models.CharField(max_length=12, blank=True)  # of that label
    batch = models.ForeignKey(Batch, null=True, on_delete=models.SET_NULL, db_index=False)
    generation = models.SmallIntegerField(null=True)
    subject = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            one_of("surprise_kind", "kind", SurpriseKind),
            one_of("surprise_learned_from", "learned_from", LearnedFrom),
            models.CheckConstraint(name="surprise_differs", condition=~Q(people=F("model"))),
        ]
        indexes = [models.Index(F("model_version"), F("bits").desc(), F("solution").desc(), name="surprise_in_order")]


class SurpriseLook(models.Model):
    """When a version was compared with people last, and the counts of all that was found."""

    model_version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, primary_key=True, related_name="+")
    values = models.JSONField(default=dict)
    asked_at = models.DateTimeField(null=True)
    counted_at = models.DateTimeField(null=True)  # null: never yet


class ExperimentRun(LongWork):
    """An experiment in the simulated world that a person started from the page. Its models and results are files."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)  # whose people see it
    name = models.CharField(max_length=40)  # of its folder
    plan = models.JSONField()  # experiment.Plan
    state = models.CharField(max_length=9, choices=JobState, default=JobState.QUEUED)
    failure = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="experiment_run_name", fields=["name"]),
            one_of("experiment_run_state", "state", JobState),
        ]

    def __str__(self) -> str:
        return f"experiment {self.name}"


class Round(LongWork):
    """One turn of the loop: train -> judge -> sample -> score -> select -> publish.

    `attempt` counts those at the present stage; RoundStage keeps those that are over.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    # The number that people see: of the project, never used twice. A trigger gives it, so that rows of all ways have one.
    number = models.IntegerField(db_default=-1)
    generation = models.PositiveSmallIntegerField()  # of the batch that it publishes; after a round without a batch the next has it again
    model_version = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT)
    batch = models.ForeignKey(Batch, null=True, on_delete=models.PROTECT)
    strategy = models.CharField(max_length=40)  # the name of the plan's recipe
    plan = models.JSONField(default=dict)  # what it was asked to do: rounds.RoundPlan
    findings = models.JSONField(default=dict)  # what it found out: rounds.Findings
    state = models.CharField(max_length=10, choices=RoundState, default=RoundState.QUEUED)
    failure = models.TextField(blank=True)
    holder = models.CharField(max_length=100, blank=True, default="", db_default="")  # of LongWork, and the database fills it in
    # What the selection was made from, as a file relative to STEPMARK_HOME: with the recipe and the seed it gives the same selection again.
    candidates_file = models.CharField(max_length=500, blank=True)
    candidates_sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="round_number", fields=["project", "number"]),
            models.UniqueConstraint(name="round_one_unfinished", fields=["project"], condition=Q(state__in=UNFINISHED)),
            one_of("round_state", "state", RoundState),
        ]

    def __str__(self) -> str:
        return f"{self.project.slug} round {self.number}"


class RoundStage(models.Model):
    """One attempt at one stage of a round: when it ran, its log, how it ended."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="stages")
    name = models.CharField(max_length=8, choices=StageName)
    attempt = models.PositiveSmallIntegerField()
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True)
    log = models.JSONField(default=list)  # [ISO time, message]

    class Meta:
        constraints = [one_of("round_stage_name", "name", StageName)]
        ordering = ["pk"]


class Selection(models.Model):
    """One solution a round chose, and why. Those that a manager leaves out of a proposal stay: the choice can be replayed."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE)
    solution = models.ForeignKey(Solution, on_delete=models.PROTECT)
    rank = models.PositiveIntegerField()
    part = models.CharField(max_length=40, blank=True)  # the strategy of the recipe that took it
    score = models.FloatField(null=True)  # null: chosen without a model
    step_scores = ArrayField(models.FloatField(), default=list)  # p(neutral) + p(positive) of each step
    reason = models.CharField(max_length=200)
    is_dropped = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="selection_once", fields=["round", "solution"]),
            models.UniqueConstraint(name="selection_rank", fields=["round", "rank"]),
        ]


class Schedule(models.Model):
    """When a project's rounds start by themselves, and what they choose. The numbers of labels and hours are columns of the project."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE)
    is_on = models.BooleanField(default=True)
    daily_at = models.TimeField(null=True, blank=True)  # UTC; null: the time of day starts no round
    recipe = models.JSONField(default=dict)  # strategies.Recipe; empty: the project's size, convincing wrong answers
    sample = models.JSONField(default=dict)  # settings of sampling; empty: no new solutions are drawn first
    labels = models.CharField(max_length=9, choices=Labels, default=Labels.EACH, db_default=Labels.EACH)  # what the models learn from
    note = models.CharField(max_length=300, blank=True)  # why the last round that was due could not start
    noted_at = models.DateTimeField(null=True)


class StoredForecasts(models.Model):
    """What the named recipes would serve in a large project, as a worker found it: rounds.forecasts_of reads it."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True)
    values = models.JSONField(default=dict)  # basis: what it stands on; recipes: by name, RecipeForecast
    asked_at = models.DateTimeField(null=True)
    counted_at = models.DateTimeField(null=True)  # all of them; null: never yet


class Worker(models.Model):
    """A Celery worker and its last heartbeat: the manager's page must show a dead one, even without a broker."""

    name = models.CharField(max_length=200, primary_key=True)
    queues = models.CharField(max_length=200)
    heartbeat_at = models.DateTimeField(db_default=Now())
