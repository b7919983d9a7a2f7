"""The schema of the labeling flow: Problem -> Solution -> Task -> Assignment -> Annotation -> StepLabel.

Tables, the rules they carry and the words of their QuerySets; no workflow. Every constraint names the rule it
holds, every index the query it serves. States are text with a CHECK, so that psql reads like the code.
"""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThanOrEqual


class Outcome(models.TextChoices):
    """How a final answer compares with the reference answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNSURE = "unsure"
    UNGRADED = "ungraded"


class AssignmentState(models.TextChoices):
    OPEN = "open"
    RESERVED = "reserved"
    LEASED = "leased"
    DONE = "done"
    SKIPPED = "skipped"
    CLOSED = "closed"  # its solution was withdrawn before anybody had labeled it here


class FinishReason(models.TextChoices):
    SOLUTION = "solution"
    FOUND_ERROR = "found_error"
    BAD_PROBLEM = "bad_problem"
    GIVE_UP = "give_up"


class Role(models.TextChoices):
    OWNER = "owner"
    MANAGER = "manager"
    REVIEWER = "reviewer"
    LABELER = "labeler"
    RESEARCHER = "researcher"


class StepSource(models.TextChoices):
    SOLUTION = "solution"  # phase 2 of the paper: whole solutions, rated up to the first mistake
    INTERACTIVE = "interactive"  # phase 1: step by step, one of several completions chosen


class Split(models.TextChoices):
    TRAIN = "train"
    TEST = "test"


class BatchKind(models.TextChoices):
    SELECTED = "selected"  # by a round, or picked at random before the first model
    PRACTICE = "practice"  # with feedback, before the screening; never published
    SCREENING = "screening"
    IMPORTED = "imported"  # labels that came from a file
    IMPORTED_GOLD = "imported_gold"  # quality-control labels that came from a file


class BatchState(models.TextChoices):
    DRAFT = "draft"
    OPEN = "open"
    CLOSED = "closed"


class TaskKind(models.TextChoices):
    NORMAL = "normal"
    GOLD = "gold"


def one_of(name: str, field: str, choices: type[models.TextChoices]) -> models.CheckConstraint:
    return models.CheckConstraint(name=name, condition=Q(**{f"{field}__in": choices.values}))


class Project(models.Model):
    """One collection of labels: its guidelines and its policies."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    guidelines = models.TextField(blank=True)  # Markdown
    overlap = models.PositiveSmallIntegerField(default=1)  # assignments per task
    lease_minutes = models.PositiveSmallIntegerField(default=30)
    gold_percent = models.PositiveSmallIntegerField(default=0)
    qualify_rate = models.FloatField(default=0.75)  # share of the screening to be within gold; the paper's figure
    screening_size = models.PositiveSmallIntegerField(default=30)
    show_reference_answer = models.BooleanField(default=True)
    alternatives_after_error = models.BooleanField(default=False)
    step_source = models.CharField(max_length=16, choices=StepSource, default=StepSource.SOLUTION)
    completions_per_step = models.PositiveSmallIntegerField(default=4)  # asked of the generator in an interactive project
    # Retrain policy: whichever comes first; null switches that clause off.
    retrain_every_labels = models.PositiveIntegerField(null=True, blank=True)
    retrain_every_hours = models.PositiveIntegerField(null=True, blank=True)
    base_model = models.CharField(max_length=500, default="tiny")  # the preset, a folder or a hub id
    batch_size = models.PositiveIntegerField(default=200)  # solutions a round publishes
    per_problem = models.PositiveSmallIntegerField(default=2)  # at most this many of them for one problem
    created_at = models.DateTimeField(db_default=Now())
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="projects")

    class Meta:
        constraints = [
            models.CheckConstraint(name="project_overlap_positive", condition=Q(overlap__gte=1, overlap__lte=99)),
            models.CheckConstraint(name="project_lease_positive", condition=Q(lease_minutes__gte=1)),
            models.CheckConstraint(name="project_gold_percent", condition=Q(gold_percent__lte=100)),
            models.CheckConstraint(name="project_qualify_rate", condition=Q(qualify_rate__gte=0, qualify_rate__lte=1)),
            models.CheckConstraint(name="project_batch_size", condition=Q(batch_size__gte=1, batch_size__lte=10_000)),
            models.CheckConstraint(name="project_per_problem", condition=Q(per_problem__gte=1)),
            models.CheckConstraint(name="project_completions", condition=Q(completions_per_step__gte=1, completions_per_step__lte=16)),
            one_of("project_step_source", "step_source", StepSource),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """What one person may do in one project, and the pseudonym under which the work is published."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    role = models.CharField(max_length=16, choices=Role)
    export_uuid = models.UUIDField(default=uuid.uuid4)  # random, never derived; a file's labeler keeps the file's
    qualified_at = models.DateTimeField(null=True, blank=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="membership_once", fields=["project", "user"]),
            models.UniqueConstraint(name="membership_pseudonym", fields=["project", "export_uuid"]),
            one_of("membership_role", "role", Role),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.project}"


class Problem(models.Model):
    """A question with its reference answer. Test problems are never queued nor exported for training."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    external_id = models.CharField(max_length=200)
    statement = models.TextField()
    reference_solution = models.TextField(null=True, blank=True)
    answer = models.TextField(null=True, blank=True)
    subject = models.CharField(max_length=200, blank=True)
    level = models.CharField(max_length=40, blank=True)
    split = models.CharField(max_length=8, choices=Split, default=Split.TRAIN)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="problem_once", fields=["project", "external_id"]),
            one_of("problem_split", "split", Split),
        ]

    def __str__(self) -> str:
        return self.external_id


class Solution(models.Model):
    """One model-written solution: immutable steps, read whole, hence JSONB."""

    problem = models.ForeignKey(Problem, on_delete=models.CASCADE)
    digest = models.BinaryField(max_length=32)  # sha256 of the steps
    steps = models.JSONField()  # list of texts; the last one ends "\n\n# Answer\n\n<answer>" where an answer is known
    final_answer = models.TextField(null=True, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.UNGRADED)
    outcome_reason = models.TextField(blank=True)
    grader = models.CharField(max_length=100, blank=True)  # version of the grader that gave the outcome
    source = models.CharField(max_length=200, blank=True)  # the generator's name
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            # Loading a file twice is a no-op.
            models.UniqueConstraint(name="solution_once", fields=["problem", "digest"]),
            models.CheckConstraint(
                name="solution_has_a_step",
                condition=GreaterThanOrEqual(Func(F("steps"), function="jsonb_array_length", output_field=models.IntegerField()), 1),
            ),
            one_of("solution_outcome", "outcome", Outcome),
        ]
        indexes = [
            # The selection asks of each candidate whether it was withdrawn: nearly empty, it spares a look at the widest table there is.
            models.Index(name="solution_withdrawn", fields=["id"], condition=Q(withdrawn_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"solution {self.pk}"


class StepAlternative(models.Model):
    """Another text for one step: a model's completion, or a person's own (author set)."""

    solution = models.ForeignKey(Solution, on_delete=models.CASCADE)
    step_index = models.PositiveSmallIntegerField()
    position = models.PositiveSmallIntegerField()  # >= 1; position 0 is the solution's own step
    text = models.TextField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    prefix = models.BinaryField(max_length=32, null=True)  # sha256 of the steps a generated completion goes on from; null: loaded ahead

    class Meta:
        constraints = [
            models.UniqueConstraint(name="alternative_once", fields=["solution", "step_index", "position"]),
            models.CheckConstraint(name="alternative_position", condition=Q(position__gte=1)),
        ]


class Batch(models.Model):
    """Tasks published together. Generation -1 is the screening, null the records of phase 1."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    generation = models.SmallIntegerField(null=True)
    kind = models.CharField(max_length=16, choices=BatchKind)
    state = models.CharField(max_length=8, choices=BatchState, default=BatchState.DRAFT)
    created_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="batch_generation_once", fields=["project", "generation", "kind"], nulls_distinct=False),
            one_of("batch_kind", "kind", BatchKind),
            one_of("batch_state", "state", BatchState),
        ]
        indexes = [
            # Serves lease_next: which batches of my project are open?
            models.Index(name="batch_open", fields=["project", "generation"], condition=Q(state="open")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} batch {self.generation if self.generation is not None else ''}".strip()


class Task(models.Model):
    """One solution in one batch, to be labeled by `overlap` people."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE)
    solution = models.ForeignKey(Solution, on_delete=models.PROTECT, db_index=False)
    kind = models.CharField(max_length=8, choices=TaskKind, default=TaskKind.NORMAL)
    priority = models.IntegerField(default=0)
    overlap = models.PositiveSmallIntegerField(default=1)
    # The score that had this solution chosen: PRM800K's pre_generated_verifier_score. Kept on the task, since the
    # export may not look to the right of the flow (at rounds), and since an imported score belongs to no round.
    verifier_score = models.FloatField(null=True, blank=True)
    # The ground truth that the file of an imported record gave, where the problem says otherwise (null in a screening record).
    imported_question = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="task_once_per_batch", fields=["batch", "solution"]),
            models.CheckConstraint(name="task_overlap_positive", condition=Q(overlap__gte=1)),
            one_of("task_kind", "kind", TaskKind),
        ]
        indexes = [
            # Serves "not queued yet" in the selection: 0.7 s instead of 76 s at 12M solutions.
            models.Index(name="task_by_solution", fields=["solution"]),
        ]


class Assignment(models.Model):
    """One place at a task: at most one person ever holds it. Batch and priority are immutable copies for the queue's index."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, db_index=False)
    slot = models.PositiveSmallIntegerField(null=True)  # null: a gold assignment made on demand
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, db_index=False)
    priority = models.IntegerField(default=0)
    state = models.CharField(max_length=8, choices=AssignmentState, default=AssignmentState.OPEN)
    # Its index is assignment_by_labeler, which begins with it.
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="assignments", db_index=False)
    # Who let the lease of the current token lapse: that person's late submit is still good until the assignment is taken.
    lapsed = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    token = models.PositiveIntegerField(default=0)  # raised on every claim; fences a submit
    leased_at = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="assignment_slot_once", fields=["task", "slot"]),  # overlap is structural
            models.UniqueConstraint(name="assignment_labeler_once", fields=["task", "labeler"]),  # nobody labels twice
            # A second tab gets the same task.
            models.UniqueConstraint(name="assignment_one_lease", fields=["labeler"], condition=Q(state="leased")),
            # One solution rendered ahead, which a submit turns into the lease in the same transaction.
            models.UniqueConstraint(name="assignment_one_reserved", fields=["labeler"], condition=Q(state="reserved")),
            models.CheckConstraint(
                name="assignment_open_is_unowned",
                condition=Q(state__in=["open", "closed"], labeler__isnull=True)
                | (~Q(state__in=["open", "closed"]) & Q(labeler__isnull=False)),
            ),
            one_of("assignment_state", "state", AssignmentState),
        ]
        indexes = [
            # The queue: the first open assignment of a batch in order of priority.
            models.Index(F("batch"), F("priority").desc(), F("id"), name="assignment_queue", condition=Q(state="open")),
            # The reaper: leases and reservations past their time.
            models.Index(name="assignment_expiry", fields=["lease_expires_at"], condition=Q(state__in=["leased", "reserved"])),
            # A labeler's day and record.
            models.Index(name="assignment_by_labeler", fields=["labeler", "state"]),
        ]


class Draft(models.Model):
    """Ratings not yet submitted, kept per claim; an older revision never overwrites a newer one."""

    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE)
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    token = models.PositiveIntegerField()
    revision = models.PositiveIntegerField()
    ratings = models.JSONField()
    saved_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="draft_once_per_claim", fields=["assignment", "labeler", "token"])]


class Annotation(models.Model):
    """All labels of one sitting. Append-only (trigger): a correction is a new revision."""

    assignment = models.ForeignKey(Assignment, on_delete=models.PROTECT, db_index=False)
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    solution = models.ForeignKey(Solution, on_delete=models.PROTECT, db_index=False)
    revision = models.PositiveSmallIntegerField(default=1)
    supersedes = models.OneToOneField("self", null=True, blank=True, on_delete=models.PROTECT, related_name="superseded_by")
    finish_reason = models.CharField(max_length=12, choices=FinishReason)
    reason = models.TextField(blank=True)
    active_ms = models.PositiveIntegerField(null=True)  # null: came from a file, which knows only the total
    total_ms = models.PositiveIntegerField(null=True)  # null: came from a file that lost it
    submission_id = models.UUIDField(unique=True)  # from the browser; a retry carries the same
    body_hash = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="annotation_revision_once", fields=["assignment", "revision"]),
            one_of("annotation_finish_reason", "finish_reason", FinishReason),
        ]
        indexes = [models.Index(name="annotation_by_solution", fields=["solution"])]  # consensus: all votes on a solution


class StepLabel(models.Model):
    """The rating of one text at one step. Append-only (trigger), as its annotation."""

    annotation = models.ForeignKey(Annotation, on_delete=models.PROTECT, db_index=False)
    step_index = models.PositiveSmallIntegerField()
    position = models.PositiveSmallIntegerField(default=0)  # 0 = the step itself, > 0 the alternative of that position
    rating = models.SmallIntegerField(null=True)  # null: stored on import, refused on submit unless flagged
    flagged = models.BooleanField(null=True)  # null and false differ in published records
    rated_ms = models.PositiveIntegerField(null=True)
    # The solution went on from this text.
    chosen = models.BooleanField(default=False)
    # Its place among the completions shown (PRM800K's index); null: written by the labeler.
    shown_at = models.PositiveSmallIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="label_once", fields=["annotation", "step_index", "position"]),
            models.CheckConstraint(name="label_rating", condition=Q(rating__isnull=True) | Q(rating__in=[-1, 0, 1])),
        ]


class GoldAnswer(models.Model):
    """Where it is reasonable to see the first mistake. Its own table: labeler pages never join it."""

    solution = models.OneToOneField(Solution, on_delete=models.CASCADE, primary_key=True)
    acceptable_first_errors = ArrayField(models.SmallIntegerField(), default=list)  # a set of step indices; empty = no mistake
    note = models.TextField(blank=True)


class StepConsensus(models.Model):
    """What all labelers of a solution say together; rebuilt by quality.settle."""

    solution = models.ForeignKey(Solution, on_delete=models.CASCADE)
    step_index = models.PositiveSmallIntegerField()
    p_negative = models.FloatField()
    label = models.SmallIntegerField(null=True)
    n_votes = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(name="consensus_once", fields=["solution", "step_index"])]


class Snapshot(models.Model):
    """A published dataset: the manifest of the annotations it holds, and the file's hash."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    number = models.PositiveIntegerField()
    spec = models.JSONField(default=dict)
    file = models.CharField(max_length=500, blank=True)  # relative to STEPMARK_HOME
    sha256 = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="snapshot_number", fields=["project", "number"])]


class SnapshotItem(models.Model):
    """One annotation in a snapshot: written in one transaction, never `id <= N`, which drifts under load."""

    pk = models.CompositePrimaryKey("snapshot", "annotation")
    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, db_index=False)
    annotation = models.ForeignKey(Annotation, on_delete=models.PROTECT)


class Keys(models.Model):
    """The keys of one person who wants other ones than the usual: {what is done: its keys}."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="keys")
    chosen = models.JSONField(default=dict)


class Message(models.Model):
    """What a manager or reviewer writes to one labeler of a project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="messages", db_index=False)
    sender = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(name="message_by_recipient", fields=["recipient", "-created_at"])]


class Event(models.Model):
    """Who did what. Append-only (trigger)."""

    at = models.DateTimeField(db_default=Now())
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    request_id = models.CharField(max_length=64, blank=True)
    verb = models.CharField(max_length=60)
    subject = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [models.Index(name="event_by_time", fields=["-at"])]
