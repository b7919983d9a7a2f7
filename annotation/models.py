"""The schema of the labeling flow: Problem -> Solution -> Task -> Assignment -> Annotation -> StepLabel.

This module holds tables and their rules, and no workflow. Each constraint is named after its rule. Each index serves a named query.
States are text with a CHECK, so that a row in psql reads like the code.
"""

import uuid
from collections.abc import Mapping
from functools import partial

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVectorField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import IntegrityError, models, transaction
from django.db.models import Exists, F, Func, OuterRef, Q
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThanOrEqual
from knox.models import AbstractAuthToken, AuthTokenManager

from annotation.longwork import ClaimedWork, LongWork


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
    CLOSED = "closed"  # nobody gets it: its solution was withdrawn, its batch closed, or its overlap lowered


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
    FORMER = "former", "former member"  # opens no page; the row stays, because exports show its pseudonym


class StepSource(models.TextChoices):
    SOLUTION = "solution"  # phase 2 of the paper: whole solutions, rated up to the first mistake
    INTERACTIVE = "interactive"  # phase 1 of the paper: step by step; the labeler chooses one of several completions


class TextKind(models.TextChoices):
    """How the pages show a project's problems and steps. Formulas are set in both kinds."""

    UNDECIDED = "", "not decided yet: the first load with solutions decides"  # shown as plain
    PLAIN = "plain", "plain text"
    MARKDOWN = "markdown", "Markdown"


class Split(models.TextChoices):
    TRAIN = "train"
    TEST = "test"


class BatchKind(models.TextChoices):
    SELECTED = "selected"  # chosen by a round, or at random before the first model
    PRACTICE = "practice"  # before the screening, with feedback; never exported
    SCREENING = "screening"
    IMPORTED = "imported"  # labels from a file
    IMPORTED_GOLD = "imported_gold"  # quality-control labels from a file
    CALIBRATION = "calibration"  # the same few solutions for everybody who labels, to be discussed afterwards
    REVIEW = "review"  # adjudications of the solutions of one generation; a reviewer opens them, the queue never hands them out


class AdjudicationExport(models.TextChoices):
    """How the data sets of a project hold the decisions of reviewers."""

    BESIDE = "beside", "beside the other labels"
    INSTEAD = "instead", "instead of the other labels"
    WITHOUT = "without", "not at all"


class BatchState(models.TextChoices):
    DRAFT = "draft"
    OPEN = "open"
    PAUSED = "paused"  # nothing of it is handed out; what people hold can be finished
    CLOSED = "closed"


class ImportState(models.TextChoices):
    CHECKING = "checking"  # a worker reads the file, or one will
    CHECKED = "checked"  # a person looks at what the file holds, and decides
    LOADING = "loading"  # a worker loads the file, or one will
    DONE = "done"
    FAILED = "failed"  # the check or the load was refused; nothing was stored
    CANCELLED = "cancelled"


class OrderState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RegradeState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class NotificationKind(models.TextChoices):
    """What a notification is about. The words stand in the choice of what also comes by e-mail."""

    ROUND = "round", "a round is done or failed"
    IMPORT = "import", "a file is loaded, or its load failed"
    ORDER = "order", "a snapshot or an export that took long is ready, or it failed"
    WAITING = "waiting", "a round or a model waits for a decision"
    NEWCOMER = "newcomer", "a newcomer passed or failed the screening"
    GOLD = "gold", "somebody's answers to gold fell below the line"
    FLAG = "flag", "somebody's work was flagged"
    DRY = "dry", "a project has no more solutions to label"
    MESSAGE = "message", "somebody wrote to you"
    SENT_BACK = "sent_back", "a solution was sent back to you"
    ADMISSION = "admission", "you can label in a project, or you cannot"
    GUIDELINES = "guidelines", "the guidelines of a project changed"
    WEBHOOK = "webhook", "a webhook was switched off"


class FlagKind(models.TextChoices):
    """Which test raised a flag (annotation/watching.py)."""

    TRUTH = "truth", "verdicts that do not fit what is known"
    OTHERS = "others", "verdicts that do not fit what others found"
    ONE_KEY = "one_key", "nearly always the same verdict"
    PACE = "pace", "faster than reading"
    COPIES_MODEL = "copies_model", "the model's verdicts"
    COPIES_PERSON = "copies_person", "another person's verdicts"


class FlagDecision(models.TextChoices):
    DISMISSED = "dismissed"
    PAUSED = "paused"
    QUARANTINED = "quarantined", "paused and quarantined"


class Premise(models.TextChoices):
    """What the choice of a solution took for granted about its outcome; empty: nothing."""

    WRONG = "wrong"
    NOT_WRONG = "not_wrong"
    CORRECT = "correct"


class TaskKind(models.TextChoices):
    NORMAL = "normal"
    GOLD = "gold"


class StatementWords(Func):
    """The words of a problem's statement, for the search. An index holds them; a longer statement is searched in its first part."""

    template = "to_tsvector('simple'::regconfig, left(%(expressions)s, 100000))"
    output_field = SearchVectorField()


def beginnings(words: str) -> SearchQuery:
    """Return the query for statements with all of these words, each the beginning of one. They are quoted: none is an operator."""
    escaped = (word.replace("\\", "\\\\").replace("'", "''") for word in words.replace("\0", "").split())
    return SearchQuery(" & ".join(f"'{word}':*" for word in escaped), config="simple", search_type="raw")


def broken_rule(error: IntegrityError) -> str | None:
    """Return the name of the constraint that a statement violated."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)


def one_of(name: str, field: str, choices: type[models.TextChoices]) -> models.CheckConstraint:
    """Return the constraint that a field holds one of the choices."""
    return models.CheckConstraint(name=name, condition=Q(**{f"{field}__in": choices.values}))


class Project(models.Model):
    """One collection of labels, with its guidelines and its policies."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    guidelines = models.TextField(blank=True)  # Markdown
    # The number of their newest version. Triggers count it and keep every text in GuidelinesVersion.
    guidelines_version = models.PositiveIntegerField(default=1, db_default=1, editable=False)
    overlap = models.PositiveSmallIntegerField(default=1)  # assignments per task
    # When one more person is asked than the overlap says (redundancy.py). Without a limit nobody is; the others can be null each.
    redundancy_limit = models.PositiveSmallIntegerField(null=True, blank=True)  # the most people for one solution
    redundancy_model = models.FloatField(null=True, blank=True)  # how sure a model must be that contradicts a person
    redundancy_gold = models.FloatField(null=True, blank=True)  # least share of right answers on gold
    redundancy_spread = models.FloatField(null=True, blank=True)  # most entropy of the first mistake, in bits
    lease_minutes = models.PositiveSmallIntegerField(default=30)
    gold_percent = models.PositiveSmallIntegerField(default=0)
    qualify_rate = models.FloatField(default=0.75)  # share of screening answers that must be within gold; the paper's figure
    screening_size = models.PositiveSmallIntegerField(default=30)
    show_reference_answer = models.BooleanField(default=True)
    calculator = models.BooleanField(default=True, db_default=True)  # labelers can open one
    # What counts as the same answer. A change is followed by manage.py regrade.
    accept_unreduced = models.BooleanField(
        default=False,
        db_default=False,
        verbose_name="accept fractions that are not in lowest terms",
        help_text="2/4 is correct where the answer is 1/2. Otherwise it is unsure. After a change, run manage.py regrade.",
    )
    accept_percent = models.BooleanField(
        default=False,
        db_default=False,
        verbose_name="accept a percentage for its value",
        help_text="10% is correct where the answer is 0.1. Otherwise it is unsure. After a change, run manage.py regrade.",
    )
    alternatives_after_error = models.BooleanField(default=False)
    adjudications = models.CharField(
        max_length=8, choices=AdjudicationExport, default=AdjudicationExport.BESIDE, db_default=AdjudicationExport.BESIDE
    )
    step_source = models.CharField(max_length=16, choices=StepSource, default=StepSource.SOLUTION)
    text_kind = models.CharField(max_length=8, choices=TextKind, default=TextKind.UNDECIDED, blank=True)
    completions_per_step = models.PositiveSmallIntegerField(default=4)  # requested from the generator in an interactive project
    # A round is due when the first of these limits is reached; null switches a limit off.
    retrain_every_labels = models.PositiveIntegerField(null=True, blank=True)
    retrain_every_hours = models.PositiveIntegerField(null=True, blank=True)
    base_model = models.CharField(max_length=500, default="tiny")  # a preset, a fetched base, a folder or a hub id
    frozen_base = models.BooleanField(default=False, db_default=False)  # models are heads on the states of the base, which stays as it is
    batch_size = models.PositiveIntegerField(default=200)  # solutions a round publishes
    per_problem = models.PositiveSmallIntegerField(default=2)  # at most this many of them for one problem
    created_at = models.DateTimeField(db_default=Now())
    # Closed for labeling and rounds; pages, labels and exports stay. Projects are never deleted.
    archived_at = models.DateTimeField(null=True, blank=True)
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="projects")

    class Meta:
        constraints = [
            models.CheckConstraint(name="project_overlap_positive", condition=Q(overlap__gte=1, overlap__lte=99)),
            models.CheckConstraint(name="project_redundancy_limit", condition=Q(redundancy_limit__gte=2, redundancy_limit__lte=99)),
            models.CheckConstraint(name="project_redundancy_model", condition=Q(redundancy_model__gte=0, redundancy_model__lte=1)),
            models.CheckConstraint(name="project_redundancy_gold", condition=Q(redundancy_gold__gte=0, redundancy_gold__lte=1)),
            models.CheckConstraint(name="project_redundancy_spread", condition=Q(redundancy_spread__gte=0, redundancy_spread__lte=16)),
            models.CheckConstraint(name="project_lease_positive", condition=Q(lease_minutes__gte=1)),
            models.CheckConstraint(name="project_gold_percent", condition=Q(gold_percent__lte=100)),
            models.CheckConstraint(name="project_qualify_rate", condition=Q(qualify_rate__gte=0, qualify_rate__lte=1)),
            models.CheckConstraint(name="project_batch_size", condition=Q(batch_size__gte=1, batch_size__lte=10_000)),
            models.CheckConstraint(name="project_per_problem", condition=Q(per_problem__gte=1)),
            models.CheckConstraint(name="project_completions", condition=Q(completions_per_step__gte=1, completions_per_step__lte=16)),
            one_of("project_step_source", "step_source", StepSource),
            one_of("project_adjudications", "adjudications", AdjudicationExport),
            one_of("project_text_kind", "text_kind", TextKind),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """The role of one person in one project, and the pseudonym that exports show for this person.

    A trigger keeps the pseudonym of a person who has labeled: such a row is neither deleted nor given another pseudonym.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    role = models.CharField(max_length=16, choices=Role)
    export_uuid = models.UUIDField(
        default=uuid.uuid4
    )  # random, never derived from the person; an imported labeler keeps the one in the file
    qualified_at = models.DateTimeField(null=True, blank=True)
    # A manager decided after the screening that this person does not label here. Another decision empties it.
    refused_at = models.DateTimeField(null=True, blank=True)
    # Which set of screening questions a newcomer answers: 1 is everybody's first one (generation -1), another attempt has another set.
    screening_set = models.PositiveSmallIntegerField(default=1, db_default=1)
    # The newest set of questions of whose result a worker notified the managers; 0: none.
    screening_notified = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    suspended_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    # Since when a person's labels count nowhere. They stay, and count again when this is empty (eligibility.py).
    quarantined_at = models.DateTimeField(null=True, blank=True)
    # The newest version of the guidelines that this person opened. It stands here because each page of a project reads this row anyway.
    guidelines_read = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="membership_once", fields=["project", "user"]),
            models.UniqueConstraint(name="membership_pseudonym", fields=["project", "export_uuid"]),
            models.CheckConstraint(name="membership_refused_or_admitted", condition=Q(refused_at=None) | Q(qualified_at=None)),
            models.CheckConstraint(name="membership_screening_set", condition=Q(screening_set__gte=1)),
            one_of("membership_role", "role", Role),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.project}"


class GuidelinesVersion(models.Model):
    """One text of a project's guidelines. A trigger writes it when the text changes; author and note come after it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, db_index=False)
    number = models.PositiveIntegerField()  # from 1
    text = models.TextField(blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    note = models.CharField(max_length=500, blank=True, default="", db_default="")  # why it changed
    created_at = models.DateTimeField(db_default=Now())
    notified_at = models.DateTimeField(null=True)  # when a worker notified those who label; null: not yet, or a newer text came before

    class Meta:
        constraints = [models.UniqueConstraint(name="guidelines_version_once", fields=["project", "number"])]

    def __str__(self) -> str:
        return f"version {self.number}"


class GuidelinesReader(models.Model):
    """A person opened a version of the guidelines, for the first time at `read_at`."""

    version = models.ForeignKey(GuidelinesVersion, on_delete=models.CASCADE, db_index=False, related_name="readers")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    read_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="guidelines_read_once", fields=["version", "person"])]


class Problem(models.Model):
    """A question with its reference answer. Test problems are never queued and never exported for training."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    external_id = models.CharField(max_length=200)
    statement = models.TextField()
    reference_solution = models.TextField(null=True, blank=True)
    answer = models.TextField(null=True, blank=True)
    subject = models.CharField(max_length=200, blank=True)
    level = models.CharField(max_length=40, blank=True)
    split = models.CharField(max_length=8, choices=Split, default=Split.TRAIN)
    # Equal for statements that differ only in white space: they are the same problem (trainer/statements.py). Not unique, because older
    # versions stored such copies as problems of their own.
    statement_key = models.GeneratedField(
        expression=Func(F("statement"), function="stepmark_statement_key"), output_field=models.CharField(max_length=32), db_persist=True
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="problem_once", fields=["project", "external_id"]),
            one_of("problem_split", "split", Split),
        ]
        indexes = [
            # Serves a load: which known problem has this statement?
            models.Index(name="problem_by_statement", fields=["project", "statement_key"]),
            # These serve the search for solutions: the problems of a project in order, and those with some words.
            models.Index(name="problem_in_order", fields=["project", "id"]),
            GinIndex(StatementWords("statement"), name="problem_words"),
        ]

    def __str__(self) -> str:
        return self.external_id


class Solution(models.Model):
    """One model-written solution. Its steps never change and are always read together, so they are one JSONB value."""

    problem = models.ForeignKey(Problem, on_delete=models.CASCADE)
    digest = models.BinaryField(max_length=32)  # sha256 of the steps
    steps = models.JSONField()  # list of texts; the last one ends "\n\n# Answer\n\n<answer>" if an answer is known
    final_answer = models.TextField(null=True, blank=True)
    # True: the file gave the final answer. False: it was read from the steps, so a better reader reads it again. Null: an older version
    # loaded the solution and did not note it.
    is_answer_given = models.BooleanField(null=True)
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.UNGRADED)
    outcome_reason = models.TextField(blank=True)
    grader = models.CharField(max_length=100, blank=True)  # version of the grader that gave the outcome
    source = models.CharField(max_length=200, blank=True)  # the generator's name
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            # Loading a file twice changes nothing.
            models.UniqueConstraint(name="solution_once", fields=["problem", "digest"]),
            models.CheckConstraint(
                name="solution_has_a_step",
                condition=GreaterThanOrEqual(Func(F("steps"), function="jsonb_array_length", output_field=models.IntegerField()), 1),
            ),
            one_of("solution_outcome", "outcome", Outcome),
        ]
        indexes = [
            # Selection asks for each candidate whether it was withdrawn. This index is nearly empty; the table is the widest of all.
            models.Index(name="solution_withdrawn", fields=["id"], condition=Q(withdrawn_at__isnull=False)),
            models.Index(name="solution_withdrawn_in_order", fields=["problem", "id"], condition=Q(withdrawn_at__isnull=False)),
            # These serve the search for solutions, in its order. Without them, a value that few have is looked for in every row.
            models.Index(name="solution_by_source", fields=["source", "problem", "id"]),
            models.Index(name="solution_by_outcome", fields=["outcome", "problem", "id"]),
        ]

    def __str__(self) -> str:
        of_problem = f" of {self.problem}" if Solution.problem.is_cached(self) else ""  # no query for a name
        return f"solution {self.pk}{of_problem}"


class StepAlternative(models.Model):
    """Another text for one step. A model wrote it, or a person did (then `author` is set)."""

    solution = models.ForeignKey(Solution, on_delete=models.CASCADE)
    step_index = models.PositiveSmallIntegerField()
    position = models.PositiveSmallIntegerField()  # >= 1; position 0 is the solution's own step
    text = models.TextField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    prefix = models.BinaryField(max_length=32, null=True)  # sha256 of the steps before a generated completion; null: stored in advance

    class Meta:
        constraints = [
            models.UniqueConstraint(name="alternative_once", fields=["solution", "step_index", "position"]),
            models.CheckConstraint(name="alternative_position", condition=Q(position__gte=1)),
        ]


class Batch(models.Model):
    """Tasks published together. Generation -1 is the screening, -2 and below are those for another attempt; null: records of phase 1."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    generation = models.SmallIntegerField(null=True)
    kind = models.CharField(max_length=16, choices=BatchKind)
    state = models.CharField(max_length=8, choices=BatchState, default=BatchState.DRAFT)
    priority = models.SmallIntegerField(default=0, db_default=0)  # the highest is handed out first; then the oldest generation
    created_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(name="batch_generation_once", fields=["project", "generation", "kind"], nulls_distinct=False),
            one_of("batch_kind", "kind", BatchKind),
            one_of("batch_state", "state", BatchState),
        ]
        indexes = [
            # Serves lease_next: which batches of a project are open?
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
    # The score by which this solution was chosen (PRM800K: pre_generated_verifier_score). It is stored here because the export
    # may not import rounds, and because an imported score belongs to no round.
    verifier_score = models.FloatField(null=True, blank=True)
    # The ground truth in the file of an imported record, if it differs from the problem's (null in a screening record).
    imported_question = models.JSONField(null=True, blank=True)
    # What the choice took for granted about the final answer. A correction can make it false. Stored here for the same reason.
    premise = models.CharField(max_length=9, choices=Premise, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(name="task_once_per_batch", fields=["batch", "solution"]),
            models.CheckConstraint(name="task_overlap_positive", condition=Q(overlap__gte=1)),
            one_of("task_kind", "kind", TaskKind),
            models.CheckConstraint(name="task_premise", condition=Q(premise__in=["", *Premise.values])),
        ]
        indexes = [
            # Serves "not queued yet" in selection: 0.7 s instead of 76 s at 12M solutions.
            models.Index(name="task_by_solution", fields=["solution"]),
            # A batch has few gold tasks among thousands. Reading all of them for a gold turn took longer than other work: it told gold.
            models.Index(name="task_gold", fields=["batch", "-priority", "id"], condition=Q(kind="gold")),
        ]


class Assignment(models.Model):
    """One place at a task. At most one person ever holds it.

    Batch and priority are copies of the task's, for the queue's index. The batch never changes; queue.prioritise changes both priorities.
    """

    task = models.ForeignKey(Task, on_delete=models.CASCADE, db_index=False)
    # Null: for one person only, and never for another. It was made on demand (gold, practice, screening), or the overlap was lowered while
    # this person held it.
    slot = models.PositiveSmallIntegerField(null=True)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, db_index=False)
    priority = models.IntegerField(default=0)
    state = models.CharField(max_length=8, choices=AssignmentState, default=AssignmentState.OPEN)
    # No index of its own: assignment_by_labeler begins with this column.
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="assignments", db_index=False)
    # The last holder, after the lease lapsed or was given back. Their late submit counts until somebody takes the assignment.
    lapsed = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    token = models.PositiveIntegerField(default=0)  # raised by every claim; a submit must name it
    leased_at = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="assignment_slot_once", fields=["task", "slot"]),  # no more people than the overlap
            models.UniqueConstraint(name="assignment_labeler_once", fields=["task", "labeler"]),  # nobody labels a task twice
            # A second tab shows the same solution.
            models.UniqueConstraint(name="assignment_one_lease", fields=["labeler"], condition=Q(state="leased")),
            # One solution is rendered ahead. A submit turns it into the lease in the same transaction.
            models.UniqueConstraint(name="assignment_one_reserved", fields=["labeler"], condition=Q(state="reserved")),
            models.CheckConstraint(
                name="assignment_open_is_unowned",
                condition=Q(state__in=["open", "closed"], labeler__isnull=True)
                | (~Q(state__in=["open", "closed"]) & Q(labeler__isnull=False)),
            ),
            one_of("assignment_state", "state", AssignmentState),
        ]
        indexes = [
            # Serves NEXT_ASSIGNMENT: the first open assignment of a batch in order of priority.
            models.Index(F("batch"), F("priority").desc(), F("id"), name="assignment_queue", condition=Q(state="open")),
            # Serves release_expired: leases and reservations past their end.
            models.Index(name="assignment_expiry", fields=["lease_expires_at"], condition=Q(state__in=["leased", "reserved"])),
            # Serves whatever asks for the assignments of one labeler.
            models.Index(name="assignment_by_labeler", fields=["labeler", "state"]),
            # Serves who labels now: the newest lease of each person.
            models.Index(name="lease_by_labeler", fields=["labeler", "-leased_at"], condition=Q(leased_at__isnull=False)),
            # Serves the progress of batches, without reading the rows.
            models.Index(name="assignment_done", fields=["batch"], condition=Q(state="done")),
        ]


class MoreOpinions(models.Model):
    """One more person was asked for an opinion at a task than its overlap said: why, and the figures. It opened one assignment."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, db_index=False)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, db_index=False)  # a copy of the task's, for the page of the batch
    place = models.PositiveSmallIntegerField()  # how many people the task has with this one
    why = models.CharField(max_length=10)  # redundancy.Why
    value = models.FloatField()  # the figure that asked
    threshold = models.FloatField()  # what it was compared with
    details = models.JSONField(default=dict)  # what the words need: the marks of people, the model and what it sees
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="more_opinions_once", fields=["task", "place"]),  # a place is asked for once, by whatever worker
            models.CheckConstraint(name="more_opinions_why", condition=Q(why__in=["quarantine", "conflict", "model", "gold", "spread"])),
        ]
        indexes = [models.Index(name="more_opinions_by_batch", fields=["batch", "-id"])]


class OpinionsLook(models.Model):
    """How far a worker has looked through the labels of a project for solutions that need one more person (quality/opinions.py)."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="+")
    newest = models.BigIntegerField(default=0)  # annotations up to this one were looked at
    basis = models.CharField(max_length=64, blank=True)  # hash of all else that decides; with another one all are looked at again
    looked_at = models.DateTimeField(null=True)
    sample = models.JSONField(default=dict)  # quality.MonthOfLabels: what the page computes its preview from
    sampled_at = models.DateTimeField(null=True)


class Draft(models.Model):
    """Ratings not yet submitted, one draft per claim. An older revision never overwrites a newer one."""

    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE)
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    token = models.PositiveIntegerField()
    revision = models.PositiveIntegerField()
    ratings = models.JSONField()
    saved_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="draft_once_per_claim", fields=["assignment", "labeler", "token"])]


def whole_solution(project: Project) -> Q:
    """Return the condition of annotations that judge whole solutions. In the others, step by step, completions were chosen at each step."""
    generation, kind = Q(assignment__batch__generation__isnull=False), Q()
    if project.step_source == StepSource.INTERACTIVE:  # records from a file keep their own phase
        kind = Q(assignment__batch__kind__in=[BatchKind.IMPORTED, BatchKind.IMPORTED_GOLD])
    return generation & kind


class AnnotationQuerySet(models.QuerySet["Annotation"]):
    def newest(self) -> "AnnotationQuerySet":
        """Keep the newest revision of each annotation.

        NOT EXISTS, which is estimated well. Of `superseded_by IS NULL` the planner expects one row, whatever the statistics say, and
        plans all that follows for one.
        """
        return self.filter(~Exists(Annotation.objects.filter(supersedes=OuterRef("pk"))))


class Annotation(models.Model):
    """All labels of one sitting. A trigger makes it append-only: a correction is a new revision."""

    assignment = models.ForeignKey(Assignment, on_delete=models.PROTECT, db_index=False)
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    solution = models.ForeignKey(Solution, on_delete=models.PROTECT, db_index=False)
    revision = models.PositiveSmallIntegerField(default=1)
    supersedes = models.OneToOneField("self", null=True, blank=True, on_delete=models.PROTECT, related_name="superseded_by")
    finish_reason = models.CharField(max_length=12, choices=FinishReason)
    reason = models.TextField(blank=True)
    active_ms = models.PositiveIntegerField(null=True)  # null: imported from a file, which holds only the total
    total_ms = models.PositiveIntegerField(null=True)  # null: imported from a file without it
    submission_id = models.UUIDField(unique=True)  # made by the browser; a retry sends the same one
    body_hash = models.BinaryField(max_length=32)
    # The version of the guidelines that held at the submit. Null: stored before versions were kept, or loaded from a file.
    guidelines_version = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = AnnotationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="annotation_revision_once", fields=["assignment", "revision"]),
            one_of("annotation_finish_reason", "finish_reason", FinishReason),
        ]
        indexes = [models.Index(name="annotation_by_solution", fields=["solution"])]  # serves consensus: all votes on a solution


class ListedAnnotation(models.Model):
    """One annotation in the list of its project, in the order of keys. A trigger of the database writes it with the annotation.

    Neither key is checked again: the trigger reads both, and no annotation is ever deleted.
    """

    pk = models.CompositePrimaryKey("project", "annotation")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    annotation = models.ForeignKey(Annotation, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)


class StepLabel(models.Model):
    """The rating of one text at one step. Append-only (trigger), like its annotation."""

    annotation = models.ForeignKey(Annotation, on_delete=models.PROTECT, db_index=False)
    step_index = models.PositiveSmallIntegerField()
    position = models.PositiveSmallIntegerField(default=0)  # 0: the step itself; above 0: the alternative of that position
    rating = models.SmallIntegerField(null=True)  # null: unsure, written by hand, not rated when the labeler gave up, or missing in a file
    flagged = models.BooleanField(null=True)  # null and false differ in published records
    rated_ms = models.PositiveIntegerField(null=True)
    # The labeler continued from this text.
    chosen = models.BooleanField(default=False)
    # Its place among the completions shown (PRM800K: index); null: written by the labeler.
    shown_at = models.PositiveSmallIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="label_once", fields=["annotation", "step_index", "position"]),
            models.CheckConstraint(name="label_rating", condition=Q(rating__isnull=True) | Q(rating__in=[-1, 0, 1])),
        ]


class GoldAnswer(models.Model):
    """The steps at which it is reasonable to see the first mistake. It has its own table, which labeler pages never join."""

    solution = models.OneToOneField(Solution, on_delete=models.CASCADE, primary_key=True)
    acceptable_first_errors = ArrayField(models.SmallIntegerField(), default=list)  # a set of step indices; empty: no mistake
    note = models.TextField(blank=True)


class SolutionConsensus(models.Model):
    """What all readers of one solution say together of its first mistake (quality/settling.py). Settling writes the same row again.

    A row exists where somebody judged the solution to its end, or where an adjudication settles it.
    """

    solution = models.OneToOneField(Solution, on_delete=models.CASCADE, primary_key=True, related_name="consensus")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_index=False)
    n_readings = models.PositiveSmallIntegerField()  # people who judged it to the end; an adjudication is none
    first_mistake = models.PositiveSmallIntegerField(null=True)  # the most likely one: a step from 0; null: no mistake
    # Null: one person judged it, of whom too little is known to say how sure that is.
    p_none = models.FloatField(null=True)  # probability that no step is a mistake
    entropy = models.FloatField(null=True)  # bits, of where the first mistake is; 0: certain
    is_adjudicated = models.BooleanField(default=False)
    settled_at = models.DateTimeField()  # when the row last changed

    class Meta:
        indexes = [
            # Serves the queue of reviews: of the solutions that people can disagree on, the least certain ones of a project first.
            models.Index(
                F("project"),
                F("entropy").desc(),
                F("solution"),
                name="consensus_to_review",
                condition=Q(n_readings__gte=2, entropy__gt=0, is_adjudicated=False),
            ),
            models.Index(name="consensus_in_order", fields=["project", "solution"]),  # serves the API: all of a project, page by page
        ]

    def __str__(self) -> str:
        return f"consensus on solution {self.solution_id}"


class StepConsensus(models.Model):
    """What all readers of a solution say together of one step. Steps count from 0."""

    pk = models.CompositePrimaryKey("solution", "step_index")
    solution = models.ForeignKey(Solution, on_delete=models.CASCADE, db_index=False)
    step_index = models.PositiveSmallIntegerField()
    # Null where the consensus of the solution has no probabilities.
    p_first = models.FloatField(null=True)  # that this is the first mistake
    p_negative = models.FloatField(null=True)  # that it is a mistake, if no step before it is one
    p_neutral = models.FloatField()  # that it is neutral and not positive, if it is no mistake
    label = models.SmallIntegerField(null=True)  # -1, 0, +1; null: after the first mistake
    n_votes = models.PositiveSmallIntegerField()  # people who rated it


class ProjectConsensus(models.Model):
    """What settling knows of a whole project: its labelers, and up to where the labels are settled. abilities: settling.Estimates."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="+")
    abilities = models.JSONField(default=dict)
    prior = models.PositiveIntegerField(null=True)  # number of the model version whose scores are the prior; null: none
    newest_annotation = models.BigIntegerField(default=0)  # all labels up to here are settled
    n_readings = models.PositiveIntegerField(default=0)  # of the whole project, when labelers were last estimated
    n_later = models.PositiveIntegerField(default=0)  # settled since then
    fingerprint = models.CharField(max_length=32, blank=True)  # of whose labels count and of gold, when labelers were last estimated
    estimated_at = models.DateTimeField()


class Snapshot(models.Model):
    """A dataset as it was taken: the list of its annotations (SnapshotItem), and their content in a file of its own (export/content.py).

    A trigger refuses every change but that of `file`, and every deletion. A snapshot for a training has no content, and neither has one
    that an older version took.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    number = models.PositiveIntegerField()
    spec = models.JSONField(default=dict)  # the filter (export.SnapshotFilter), and whose labels were left out
    file = models.CharField(max_length=500, blank=True)  # the first exported file, relative to STEPMARK_HOME
    sha256 = models.CharField(max_length=64, blank=True)  # of the records as PRM800K lines
    count = models.PositiveIntegerField()
    counts = models.JSONField(default=dict, db_default={})  # content.Counts: annotations, solutions, problems, people, ratings ..
    provenance = models.JSONField(default=dict, db_default={})  # versions of Stepmark, grader and guidelines; what selected each batch
    content = models.CharField(max_length=500, blank=True, default="", db_default="")  # the content file, relative to STEPMARK_HOME
    content_bytes = models.BigIntegerField(null=True, blank=True)
    content_sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="snapshot_number", fields=["project", "number"])]


class SnapshotItem(models.Model):
    """One annotation in a snapshot. The list is written in one transaction: a rule such as `id <= N` changes under load."""

    pk = models.CompositePrimaryKey("snapshot", "annotation")
    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, db_index=False)
    annotation = models.ForeignKey(Annotation, on_delete=models.PROTECT)


class DataOrder(LongWork):
    """What somebody asked a worker to do: take a snapshot, write an export of one, or both. It ends with all of it, or with nothing."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    spec = models.JSONField(null=True)  # the filter of the snapshot that is to be taken; null: the snapshot was there
    snapshot = models.ForeignKey(Snapshot, null=True, on_delete=models.PROTECT, related_name="orders")
    format = models.CharField(max_length=40, blank=True)  # empty: no export
    options = models.JSONField(default=dict)  # of the format, each with its value
    container = models.CharField(max_length=8, blank=True)
    compression = models.CharField(max_length=8, blank=True)
    rule = models.JSONField(null=True)  # splits.SplitRule; null: not divided by problems
    limits = models.JSONField(default=dict, db_default={})  # max_records and max_bytes of each file; empty: one file, or one of each part
    state = models.CharField(max_length=9, choices=OrderState, default=OrderState.WAITING)
    report = models.JSONField(default=list)  # what the format cannot hold, in sentences
    failure = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    files_deleted_at = models.DateTimeField(null=True)
    files_deleted_by = models.ForeignKey(  # null: the server, because a project keeps a limited number of files
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )

    class Meta:
        constraints = [
            one_of("order_state", "state", OrderState),
            models.CheckConstraint(
                name="order_asks_for_something",
                condition=Q(spec__isnull=False) | (Q(snapshot__isnull=False) & ~Q(format="")),
            ),
        ]
        indexes = [
            models.Index(name="order_by_project", fields=["project", "-id"]),
            # Serves the sweep: which orders wait for a worker?
            models.Index(name="order_waiting", fields=["id"], condition=Q(state__in=["waiting", "running"])),
        ]

    def __str__(self) -> str:
        return f"order {self.pk}"


class SnapshotFile(models.Model):
    """One file that was exported from a snapshot. The row stays as it is (trigger), whatever becomes of the file."""

    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="files")
    order = models.ForeignKey(DataOrder, null=True, on_delete=models.PROTECT, related_name="files")  # null: by a command
    format = models.CharField(max_length=40)
    options = models.JSONField(default=dict)  # of the format
    split = models.CharField(max_length=8, blank=True, default="")  # train, valid or test, if the file holds one part of the problems
    name = models.CharField(max_length=500)  # relative to STEPMARK_HOME; the name alone, if it was written elsewhere
    n_records = models.PositiveBigIntegerField()
    n_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())


class ProjectFigures(models.Model):
    """The figures of a large project as they were counted last. Counting takes longer than a page can wait (quality/figures.py)."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="+")
    counted_at = models.DateTimeField()
    values = models.JSONField()  # quality.Figures


class ProjectAgreement(models.Model):
    """How far the people of a project agree, as it was counted last. Counting takes longer than a page can wait (quality/agreeing.py)."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="+")
    counted_at = models.DateTimeField()
    values = models.JSONField()  # quality.AgreementFigures


class Remark(models.Model):
    """What somebody wrote about one solution of a calibration set, for all who labeled it."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="remarks")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())


class Import(LongWork):
    """A file that somebody uploaded: checked by a worker, looked at by a person, then loaded by a worker, all of it or nothing."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    name = models.CharField(max_length=200)  # of the file, as it was uploaded
    path = models.CharField(max_length=500)  # relative to STEPMARK_HOME; the file is deleted when it is no longer needed
    size = models.BigIntegerField()  # bytes
    sha256 = models.CharField(max_length=64)
    options = models.JSONField(default=dict)  # imports.Options
    state = models.CharField(max_length=9, choices=ImportState, default=ImportState.CHECKING)
    findings = models.JSONField(default=dict)  # imports.FileFindings: what the check of the file found
    report = models.TextField(blank=True)  # what the load stored, in sentences
    failure = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [one_of("import_state", "state", ImportState)]
        indexes = [
            models.Index(name="import_by_project", fields=["project", "-id"]),
            # Serves the sweep: which imports wait for a worker?
            models.Index(name="import_waiting", fields=["id"], condition=Q(state__in=["checking", "loading"])),
        ]

    def __str__(self) -> str:
        return f"import {self.pk} of {self.name}"


class Keys(models.Model):
    """The keys that one person chose instead of the default keys: {action: keys}."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="keys")
    chosen = models.JSONField(default=dict)


class TextSize(models.TextChoices):
    """How large the texts of problems and steps are."""

    SMALL = "small", "small"
    NORMAL = "normal", "normal"
    LARGE = "large", "large"
    HUGE = "huge", "very large"


class LineWidth(models.TextChoices):
    """How long the lines of the texts of steps are at most."""

    NARROW = "narrow", "narrow"
    NORMAL = "normal", "normal"
    WIDE = "wide", "as wide as the window"


class Preferences(models.Model):
    """How one person wants the pages, and what they aim at on a day. Without a row, all is as the defaults say."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="preferences")
    time_zone = models.CharField(max_length=64, blank=True, default="")  # a name of the IANA database; empty: not chosen, so UTC
    date_language = models.CharField(max_length=16, blank=True, default="")  # a locale of the CLDR; empty: 2026-11-26 15:30
    text_size = models.CharField(max_length=8, choices=TextSize, default=TextSize.NORMAL)
    line_width = models.CharField(max_length=8, choices=LineWidth, default=LineWidth.NORMAL)
    goal = models.PositiveSmallIntegerField(null=True, blank=True)  # solutions a day, in all projects together
    pace = models.FloatField(null=True, blank=True)  # active minutes for one solution
    rest_minutes = models.PositiveSmallIntegerField(default=60)  # work without a break before the page hints to rest; 0: never
    mailed = ArrayField(
        models.CharField(max_length=12), blank=True, default=list, db_default=[]
    )  # kinds of notification that also come by e-mail

    class Meta:
        constraints = [
            one_of("preferences_text_size", "text_size", TextSize),
            one_of("preferences_line_width", "line_width", LineWidth),
            models.CheckConstraint(name="preferences_goal", condition=Q(goal__gte=1, goal__lte=1000)),
            models.CheckConstraint(name="preferences_pace", condition=Q(pace__gt=0, pace__lte=600)),
            models.CheckConstraint(name="preferences_rest", condition=Q(rest_minutes__lte=480)),
        ]

    def __str__(self) -> str:
        return f"preferences of person {self.person_id}"

    @property
    def is_reading_changed(self) -> bool:
        """Whether texts are shown in another size or width than the default."""
        return (self.text_size, self.line_width) != (TextSize.NORMAL, LineWidth.NORMAL)


class Message(models.Model):
    """A text from a manager or reviewer to one labeler of a project. With an annotation, it sends that work back to be looked at again."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="messages", db_index=False)
    sender = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    text = models.TextField()
    # The work that a reviewer sent back. It is answered once a newer revision supersedes it.
    annotation = models.OneToOneField(Annotation, null=True, blank=True, on_delete=models.PROTECT, related_name="sent_back")
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(name="message_by_recipient", fields=["recipient", "-created_at"])]


class Notification(models.Model):
    """One sentence to one person about what happened, with the page that shows it. After 90 days it is deleted."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="+")
    # Whom the sentence names. It is deleted when that person is erased.
    about = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=12, choices=NotificationKind)
    sentence = models.TextField()
    path = models.CharField(max_length=300, blank=True)  # of the page, within the site
    occasion = models.CharField(max_length=200)  # what happened: nobody is notified of it twice
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True)
    is_to_mail = models.BooleanField(default=False)
    mailed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="notification_once", fields=["person", "occasion"]),
            one_of("notification_kind", "kind", NotificationKind),
        ]
        indexes = [
            models.Index(name="notification_by_person", fields=["person", "-id"]),
            # Serves the number beside the bell: every request counts the unread ones of its person.
            models.Index(name="notification_unread", fields=["person"], condition=Q(read_at__isnull=True)),
            models.Index(name="notification_to_mail", fields=["id"], condition=Q(is_to_mail=True, mailed_at__isnull=True)),
        ]


class Flag(models.Model):
    """A test found that a person's work is not like honest work. A person decides what follows (quality/flags.py)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, db_index=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=FlagKind)
    evidence = models.JSONField(default=dict)  # watching.Finding
    raised_at = models.DateTimeField(db_default=Now())
    decision = models.CharField(max_length=16, choices=FlagDecision, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    decided_at = models.DateTimeField(null=True)
    note = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="flag_one_undecided", fields=["project", "person", "kind"], condition=Q(decided_at__isnull=True)),
            one_of("flag_kind", "kind", FlagKind),
            models.CheckConstraint(name="flag_decision", condition=Q(decision__in=["", *FlagDecision.values])),
        ]
        indexes = [models.Index(name="flag_by_project", fields=["project", "-id"])]

    def __str__(self) -> str:
        return f"flag {self.pk}"


class Watch(models.Model):
    """How far the watch over a project's work has come (quality/watch.py)."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="+")
    newest = models.BigIntegerField(default=0)  # the newest annotation that was looked at
    looked_at = models.DateTimeField(null=True)
    dry_since = models.DateTimeField(null=True)  # nothing is left to label since then
    below = models.JSONField(default=list)  # accounts whose answers to gold are below the line
    remarks = models.JSONField(default=list)  # what could not be judged, in sentences


class BrowserSession(AbstractBaseSession):
    """A session of Django, with the person and the browser it belongs to. labelapp/http/sessions.py reads and writes it."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")  # null: nobody is signed in
    device = models.CharField(max_length=300, blank=True)  # what the browser writes about itself
    began_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())  # written at most once in five minutes

    class Meta(AbstractBaseSession.Meta):
        abstract = False


class Invitation(models.Model):
    """A link that lets one person into a project, once. The link has a token, and this row only the token's hash."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    role = models.CharField(max_length=16, choices=Role)
    note = models.CharField(max_length=200, blank=True)  # whom it is for: a name or an e-mail address. Empty after that person is erased
    token_hash = models.BinaryField(max_length=32, unique=True)  # sha256 of 32 random bytes
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    used_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="invitation_role", condition=Q(role__in=[role for role in Role.values if role != Role.FORMER])),
            models.CheckConstraint(
                name="invitation_ends_once",
                condition=Q(used_at__isnull=True, used_by__isnull=True)
                | Q(used_at__isnull=False, used_by__isnull=False, withdrawn_at__isnull=True),
            ),
        ]


class TokenScope(models.TextChoices):
    """What a token of the API allows, at most. Its person's role decides first."""

    READ = "read", "Read"
    WRITE = "write", "Read and write"


class ApiToken(AbstractAuthToken):
    """A token with which a program of one person uses the API. The row holds only the hash of the token, and its first characters."""

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=128, unique=True)  # sha512 of the token
    token_key = models.CharField(max_length=25)  # its first characters, by which people know it again
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    scope = models.CharField(max_length=5, choices=TokenScope)
    # Null: all projects of the person.
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    created = models.DateTimeField(db_default=Now())
    expiry = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)  # written at most once in five minutes
    revoked_at = models.DateTimeField(null=True)

    objects = AuthTokenManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="token_name_once", fields=["user", "name"], condition=Q(revoked_at__isnull=True)),
            one_of("token_scope", "scope", TokenScope),
        ]

    def __str__(self) -> str:
        return f"token {self.pk}"


class ApiCount(models.Model):
    """How many requests one person sent to the API in a minute: those that read, and those that change something."""

    pk = models.CompositePrimaryKey("person", "is_write")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    is_write = models.BooleanField()
    began_at = models.DateTimeField(db_default=Now())
    count = models.PositiveIntegerField()


class StoredAnswer(models.Model):
    """The answer to a request with an Idempotency-Key: the same request again gets it, and does nothing. Deleted after a day."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=200)
    fingerprint = models.BinaryField(max_length=32)  # sha256 of the request
    status = models.PositiveSmallIntegerField()
    body = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="stored_answer_once", fields=["person", "key"])]
        indexes = [models.Index(name="stored_answer_by_time", fields=["created_at"])]


class SiteCountManager(models.Manager["SiteCount"]):
    def add(self, counts: Mapping[str, int]) -> None:
        """Raise counts after the commit: a row that a long transaction holds would keep all others waiting."""
        if any(counts.values()):
            transaction.on_commit(partial(self._add, counts))

    def _add(self, counts: Mapping[str, int]) -> None:
        self.bulk_create([SiteCount(name=name) for name in counts], ignore_conflicts=True)
        for name, count in sorted(counts.items()):
            self.filter(name=name).update(value=F("value") + count)


class SiteCount(models.Model):
    """How often something happened since the installation: what monitoring reads and no other row tells."""

    name = models.CharField(max_length=60, primary_key=True)
    value = models.BigIntegerField(default=0)

    objects = SiteCountManager()


class Regrade(ClaimedWork):
    """A person asked for the solutions of a project to be graded again, or first for what that would change. A worker does it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    state = models.CharField(max_length=8, choices=RegradeState, default=RegradeState.WAITING)
    applies = models.BooleanField(default=True, db_default=True)  # False: the worker only looks what would change
    # Of what a look found, and of what the person saw who then asked for it. Another one means that something changed meanwhile.
    fingerprint = models.CharField(max_length=32, blank=True, default="", db_default="")
    report = models.JSONField(default=list)  # what it changed or would change, or why it failed, in sentences
    progress = models.JSONField(default=dict)  # stage, done, total
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            one_of("regrade_state", "state", RegradeState),
            models.UniqueConstraint(name="regrade_one_unfinished", fields=["project"], condition=Q(state__in=["waiting", "running"])),
        ]


class WebhookEventKind(models.TextChoices):
    """What a webhook can report. The words stand in the choice of a person."""

    BATCH_DONE = "batch.done", "a batch is done"
    ROUND_DONE = "round.done", "a round is done, failed or cancelled"
    SNAPSHOT_READY = "snapshot.ready", "a snapshot is ready"
    PING = "ping", "a test"


class DeliveryState(models.TextChoices):
    WAITING = "waiting"  # for its first or its next try
    DELIVERED = "delivered"
    FAILED = "failed"  # after the last try


class Webhook(models.Model):
    """An address that is told what happens in a project. Its secrets are not stored: they come from SECRET_KEY and these nonces."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    address = models.CharField(max_length=500)
    kinds = ArrayField(models.CharField(max_length=16, choices=WebhookEventKind))
    is_on = models.BooleanField(default=True)
    why_off = models.TextField(blank=True)  # empty: a person switched it off
    nonce = models.BinaryField(max_length=32)
    mark = models.BinaryField(max_length=8)  # begins the hash of the secret: another SECRET_KEY gives another one
    old_nonce = models.BinaryField(max_length=32, null=True)  # of the secret before, which also signs until then
    old_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="webhook_address_once", fields=["project", "address"])]

    def __str__(self) -> str:
        return f"webhook {self.pk}"


class WebhookEvent(models.Model):
    """Something that webhooks report: the row is written in the transaction in which it happens. Its key is the id of the message."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    kind = models.CharField(max_length=16, choices=WebhookEventKind)
    occasion = models.CharField(max_length=100)  # what happened: no two messages are about the same
    body = models.TextField()  # the JSON, the same bytes in each try
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="webhook_event_once", fields=["project", "occasion"]),
            one_of("webhook_event_kind", "kind", WebhookEventKind),
        ]


class WebhookDelivery(models.Model):
    """One event on its way to one webhook. A worker raises `attempt` when it takes it, and what it writes later names that number."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, db_index=False)
    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE)
    state = models.CharField(max_length=9, choices=DeliveryState, default=DeliveryState.WAITING, db_default=DeliveryState.WAITING)
    attempt = models.PositiveIntegerField(default=0, db_default=0)
    failures = models.PositiveSmallIntegerField(default=0, db_default=0)  # tries since it began, or began again, that did not deliver it
    began_at = models.DateTimeField(db_default=Now())
    next_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="webhook_delivery_once", fields=["webhook", "event"]),
            one_of("webhook_delivery_state", "state", DeliveryState),
        ]
        indexes = [
            models.Index(name="webhook_delivery_due", fields=["next_at"], condition=Q(state="waiting")),
            models.Index(name="webhook_delivery_log", fields=["webhook", "-id"]),
        ]


class WebhookTry(models.Model):
    """One try to deliver. Without `duration_ms` its worker is still at it, or was lost."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="tries", db_index=False)
    number = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())
    status = models.PositiveSmallIntegerField(null=True)  # null: there was no answer
    duration_ms = models.PositiveIntegerField(null=True)
    answer = models.TextField(blank=True, db_default="")  # its beginning
    failure = models.TextField(blank=True, db_default="")  # empty: it was taken

    class Meta:
        constraints = [models.UniqueConstraint(name="webhook_try_once", fields=["delivery", "number"])]


class Event(models.Model):
    """One thing that somebody did. Append-only (trigger). Pages show verb, subject and details, so no label and no message stands there.

    An event outlives its project, so the column `project` has no foreign key in the database. Then no insert locks the project, either.
    """

    at = models.DateTimeField(db_default=Now())
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)  # null: at the command line, or by the site
    project = models.ForeignKey(  # null: it belongs to the whole site, such as a password
        Project, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    verb = models.CharField(max_length=60)
    subject = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict, db_default={})  # such as the old and the new values of a correction

    class Meta:
        # These serve the audit: newest first, of one project, of one kind, of one object.
        indexes = [
            models.Index(name="event_by_time", fields=["-at"]),
            models.Index(name="event_by_project", fields=["project", "-id"]),
            models.Index(name="event_by_verb", fields=["verb", "-id"]),
            models.Index(name="event_by_subject", fields=["subject", "-id"], opclasses=["varchar_pattern_ops", "int8_ops"]),
        ]
