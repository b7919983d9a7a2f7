"""Review: solutions on which people disagree, in the order of what settling them is worth; their readings side by side; work sent back.

Reads SolutionConsensus and labels. Writes Message, for work that is sent back. The decisions themselves are annotations
(labels/adjudications.py).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, OuterRef, Subquery
from django.utils.crypto import salted_hmac

from annotation import eligibility, labels, people
from annotation.eligibility import Probe, Use
from annotation.models import (
    Annotation,
    Assignment,
    AssignmentState,
    BatchKind,
    BatchState,
    Event,
    FinishReason,
    GoldAnswer,
    Membership,
    Message,
    Project,
    Solution,
    SolutionConsensus,
    Split,
    StepLabel,
    StepSource,
    Task,
)
from annotation.quality.gold import FIRST_MISTAKE, WithFirstMistake
from annotation.quality.messages import BadMessage, checked_text, deliver
from annotation.queue import ON_DEMAND, NoSuchSolution
from trainer.counting import counted

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet
    from django_stubs_ext import WithAnnotations

LOOKED_AT = 500  # of the least certain solutions, before they are sorted by what settling them is worth
LISTED = 50
VERB = "send back"
VERDICTS = (FinishReason.SOLUTION, FinishReason.FOUND_ERROR)  # judged to the end: these say where the first mistake is
UNFINISHED = (AssignmentState.OPEN, AssignmentState.RESERVED, AssignmentState.LEASED)


@dataclass(frozen=True)
class Conflict:
    """A solution on which people disagree."""

    solution: Solution
    named: Sequence[int | None]  # the first mistakes that people named, from 0; None: no mistake
    readings: int
    bits: float  # how uncertain the first mistake is
    ratings: int  # of its steps, from which models learn
    is_sent_back: bool  # somebody has not answered yet

    @property
    def worth(self) -> float:
        """What settling it is worth: the uncertainty in bits times the ratings that teach it."""
        return self.bits * self.ratings

    @property
    def words(self) -> str:
        """The first mistakes that people named, in words."""
        return ", ".join(mistake_words(step) for step in self.named)


@dataclass(frozen=True)
class ReviewQueue:
    """The disagreements that a reviewer can decide now: those worth most first."""

    conflicts: Sequence[Conflict]
    n_more: int  # found, but not listed
    n_own: int  # left out: the reviewer labeled them
    n_waiting: int  # left out: more people are still to label them
    sent_back: Sequence[Conflict]  # they wait for the answers of labelers
    is_interactive: bool
    why_not: str = ""  # why this person decides on nothing here now


@dataclass(frozen=True)
class SolutionReader:
    """One person's reading of a solution, under a letter that stands for the person on this solution only."""

    letter: str
    key: str  # what a form sends back: it tells nothing, where a number would tell who labeled first
    annotation_id: int
    finish_reason: str
    first_mistake: int | None
    reason: str
    ratings: Mapping[int, int]
    is_corrected: bool
    is_sent_back: bool
    is_answered: bool  # it was sent back, and this is the answer

    @property
    def verdict(self) -> str:
        """What this person says of the solution."""
        return verdict_words(self.finish_reason, self.first_mistake)


@dataclass(frozen=True)
class Mark:
    """What one reader says of one step."""

    letter: str
    rating: int | None  # None: not reached, or not rated

    @property
    def words(self) -> str:
        """The rating in a word."""
        return {-1: "negative", 0: "neutral", 1: "positive", None: "not rated"}[self.rating]


@dataclass(frozen=True)
class ReviewedStep:
    """One step of a solution with what all readers say of it."""

    number: int
    text: str
    marks: Sequence[Mark]
    is_named: bool  # a reader names it as the first mistake
    decided: int | None  # the rating in the decision


@dataclass(frozen=True)
class Review:
    """A solution as a reviewer sees it."""

    solution: Solution
    readers: Sequence[SolutionReader]
    steps: Sequence[ReviewedStep]
    sentence: str  # how the readers stand to each other
    decision: Annotation | None  # the newest one, with its reviewer
    is_settled: bool  # it is a verdict that counts: not given up, and not by somebody in quarantine
    decided: str  # what it says, in words
    first_mistake: int | None  # of the decision
    gold: GoldAnswer | None
    why_not: str  # why this reviewer cannot decide on it; empty if they can
    has_own_verdict: bool  # this reviewer has decided on it before, so the model cannot lead them any more
    kept: Sequence[labels.Rating]  # ratings of this reviewer that came too late

    @property
    def seen(self) -> int:
        """The number of the decision that the page shows; 0: none."""
        return self.decision.pk if self.decision else 0

    @property
    def is_verdict(self) -> bool:
        """Whether the decision says where the first mistake is, or that there is none."""
        return self.decision is not None and self.is_settled and self.decision.finish_reason in VERDICTS

    @property
    def is_gold_contradicted(self) -> bool:
        """Whether the solution is gold that does not accept the decision."""
        return self.gold is not None and self.is_verdict and not accepts(self.gold.acceptable_first_errors, self.first_mistake)

    @property
    def to_send_back(self) -> Sequence[SolutionReader]:
        """The readings that this reviewer can send back, those that differ from the decision first."""
        if self.why_not:
            return []
        open_ = [reader for reader in self.readers if not reader.is_sent_back]
        return sorted(open_, key=lambda reader: reader.first_mistake == self.first_mistake and reader.finish_reason in VERDICTS)


def accepts(acceptable: Iterable[int], first_mistake: int | None) -> bool:
    """Return whether gold accepts a first mistake (None: no mistake)."""
    steps = set(acceptable)
    return first_mistake in steps if steps else first_mistake is None


def mistake_words(step: int | None) -> str:
    """Write a first mistake (from 0) as people read it."""
    return "no mistake" if step is None else f"step {step + 1}"


def verdict_words(finish_reason: str, first_mistake: int | None) -> str:
    """Write a verdict as people read it."""
    if finish_reason == FinishReason.FOUND_ERROR and first_mistake is not None:
        return f"first mistake: step {first_mistake + 1}"
    return {FinishReason.SOLUTION: "no mistakes", FinishReason.BAD_PROBLEM: "bad problem", FinishReason.GIVE_UP: "gave up"}.get(
        FinishReason(finish_reason), "mistake found"
    )


def adjudications(project: Project, solutions: Iterable[int] | None = None) -> dict[int, int | None]:
    """Return the first mistake that reviewers decided on, by solution (None: no mistake). Bad problems and given-up ones are no verdict."""
    decisions = (
        eligibility.adjudications_that_count()
        .annotate(first_mistake=FIRST_MISTAKE)
        .filter(assignment__batch__project=project, finish_reason__in=VERDICTS)
    )
    if solutions is not None:
        decisions = decisions.filter(solution__in=list(solutions))
    return dict(decisions.order_by("pk").values_list("solution", "first_mistake"))


# --- the queue ----------------------------------------------------------------------------------------------------------


def review_queue(project: Project, *, reviewer: "User") -> ReviewQueue:
    """Return the disagreements of a project, those worth most first. The number of queries is fixed, and the work is bounded.

    A disagreement is a solution for which people named different first mistakes, and on which no reviewer has decided. What settling it is
    worth: entropy in bits times the ratings of its steps from which models learn.
    """
    if project.step_source == StepSource.INTERACTIVE:
        return ReviewQueue((), 0, 0, 0, (), is_interactive=True)
    if why_not := labels.why_no_reviewer(project, reviewer):
        return ReviewQueue((), 0, 0, 0, (), is_interactive=False, why_not=why_not)
    usable = Solution.objects.filter(pk=OuterRef("solution"), withdrawn_at=None, problem__split=Split.TRAIN)
    uncertain = SolutionConsensus.objects.filter(Probe(usable), project=project, is_adjudicated=False, n_readings__gte=2, entropy__gt=0)
    bits = dict(uncertain.order_by("-entropy", "solution").values_list("solution", "entropy")[:LOOKED_AT])
    keys = list(bits)
    named = _named(project, keys)
    decided = _decided(keys, reviewer)
    disputed = [key for key in keys if len(named.get(key, {}).values()) > 1 and len(set(named[key].values())) > 1 and key not in decided]
    own = labels.labeled_by(reviewer, disputed)
    waiting = _still_labeled(disputed) - own
    asked = _unanswered(disputed)
    ratings = _ratings(project, disputed)
    open_ = [key for key in disputed if key not in own and key not in waiting]
    open_.sort(key=lambda key: (-(bits[key] or 0.0) * ratings.get(key, 0), key))
    ready, sent_back = [key for key in open_ if key not in asked], [key for key in open_ if key in asked]
    listed = [*ready[:LISTED], *sent_back[:LISTED]]
    solutions = {row.pk: row for row in Solution.objects.filter(pk__in=listed).select_related("problem").defer("steps")}
    conflicts = {
        key: Conflict(
            solution=solutions[key],
            named=sorted(set(named[key].values()), key=lambda step: (step is None, step or 0)),
            readings=len(named[key]),
            bits=bits[key] or 0.0,
            ratings=ratings.get(key, 0),
            is_sent_back=key in asked,
        )
        for key in listed
    }
    return ReviewQueue(
        conflicts=[conflicts[key] for key in ready[:LISTED]],
        n_more=max(0, len(ready) - LISTED),
        n_own=len(own),
        n_waiting=len(waiting),
        sent_back=[conflicts[key] for key in sent_back[:LISTED]],
        is_interactive=False,
    )


def _named(project: Project, solutions: list[int]) -> dict[int, dict[int, int | None]]:
    """Return the first mistakes that people named, by solution and person."""
    counts = eligibility.does_count(Use.CONSENSUS, project=project.pk)
    readings = Annotation.objects.filter(counts, solution__in=solutions, finish_reason__in=VERDICTS)
    mistakes = StepLabel.objects.filter(annotation=OuterRef("pk"), rating=-1, position=0).order_by("step_index").values("step_index")[:1]
    named: dict[int, dict[int, int | None]] = {}
    for solution, labeler, mistake in readings.order_by("pk").values_list("solution", "labeler", Subquery(mistakes)):
        named.setdefault(solution, {})[labeler] = mistake
    return named


def _decided(solutions: list[int], reviewer: "User") -> set[int]:
    """Return on which of these a reviewer has decided, or on which this one gave up. Settling follows a little later."""
    decided = eligibility.adjudications_that_count().filter(solution__in=solutions).values_list("solution", flat=True)
    own = Annotation.objects.newest().filter(solution__in=solutions, assignment__batch__kind=BatchKind.REVIEW, labeler=reviewer)
    return {*decided, *own.values_list("solution", flat=True)}


def _still_labeled(solutions: list[int]) -> set[int]:
    """Return which of these somebody holds, or will get: a decision comes after the last label."""
    places = Assignment.objects.filter(
        task__in=Task.objects.filter(solution__in=solutions), state__in=UNFINISHED, batch__state=BatchState.OPEN, slot__isnull=False
    )
    return set(places.values_list("task__solution", flat=True))


def _unanswered(solutions: list[int]) -> set[int]:
    """Return of which of these a reading was sent back that waits for its answer. Who does not label here now answers nothing."""
    newer = Annotation.objects.filter(supersedes=OuterRef("annotation"))
    answering = _answering().filter(project=OuterRef("project"), user=OuterRef("recipient"))
    rows = Message.objects.filter(~Exists(newer), Exists(answering), annotation__solution__in=solutions)
    return set(rows.values_list("annotation__solution", flat=True))


def _answering() -> "QuerySet[Membership]":
    """Return the people who answer what is sent back to them: they label now."""
    return Membership.objects.filter(role__in=people.LABELERS, suspended_at=None, quarantined_at=None, user__is_active=True)


def _ratings(project: Project, solutions: list[int]) -> dict[int, int]:
    """Count the ratings of steps from which models learn, by solution."""
    counts = eligibility.does_count(Use.TRAINING, project=project.pk)
    taught = Annotation.objects.filter(counts, solution__in=solutions).exclude(finish_reason=FinishReason.BAD_PROBLEM).order_by()
    rated = StepLabel.objects.filter(annotation=OuterRef("pk"), rating__isnull=False).order_by().values("annotation")
    found: Counter[int] = Counter()
    for solution, n in taught.values_list("solution", Subquery(rated.annotate(count=Count("pk")).values("count"))):
        found[solution] += n or 0
    return found


# --- one solution -------------------------------------------------------------------------------------------------------


def review_of(project: Project, solution_id: int, *, reviewer: "User") -> Review:
    """Return a solution with everybody's readings side by side. Raises NoSuchSolution."""
    solution = Solution.objects.select_related("problem", "goldanswer").filter(pk=solution_id, problem__project=project).first()
    if solution is None:
        raise NoSuchSolution(f"{project} has no solution {solution_id}.")
    readers = _readers(project, solution)
    decision = labels.decision_on(solution.pk)
    decided = step_ratings([decision.pk]).get(decision.pk, {}) if decision else {}
    first_mistake = next((step for step, rating in sorted(decided.items()) if rating == -1), None)
    named = {reader.first_mistake for reader in readers}
    steps = [
        ReviewedStep(
            number=place + 1,
            text=text,
            marks=[Mark(reader.letter, reader.ratings.get(place)) for reader in readers],
            is_named=place in named,
            decided=decided.get(place),
        )
        for place, text in enumerate(solution.steps)
    ]
    return Review(
        solution=solution,
        readers=readers,
        steps=steps,
        sentence=_sentence(readers),
        decision=decision,
        is_settled=decision is not None and eligibility.adjudications_that_count().filter(pk=decision.pk).exists(),
        decided=verdict_words(decision.finish_reason, first_mistake) if decision else "",
        first_mistake=first_mistake,
        gold=getattr(solution, "goldanswer", None),
        why_not=labels.why_not(project, solution, reviewer=reviewer),
        has_own_verdict=labels.has_verdict_of(reviewer, solution.pk),
        kept=labels.kept_ratings(solution.pk, reviewer=reviewer),
    )


def _readers(project: Project, solution: Solution) -> list[SolutionReader]:
    """Return the readings of a solution that count. The order and the letters say nothing of the people. Each solution has others."""
    counting = eligibility.counting(Use.CONSENSUS).annotate(first_mistake=FIRST_MISTAKE)
    readings: list[WithAnnotations[Annotation, WithFirstMistake]] = list(
        counting.filter(solution=solution, assignment__batch__generation__isnull=False).select_related("sent_back", "supersedes__sent_back")
    )
    readings.sort(key=lambda reading: salted_hmac("annotation.quality.reviewing", f"{solution.pk}:{reading.labeler_id}").digest())
    ratings = step_ratings([reading.pk for reading in readings])
    return [
        SolutionReader(
            letter=_letter(place),
            key=salted_hmac("annotation.quality.reviewing.key", str(reading.pk)).hexdigest()[:16],
            annotation_id=reading.pk,
            finish_reason=reading.finish_reason,
            first_mistake=reading.first_mistake,
            reason=reading.reason,
            ratings=ratings.get(reading.pk, {}),
            is_corrected=reading.revision > 1,
            is_sent_back=hasattr(reading, "sent_back"),
            is_answered=reading.supersedes is not None and hasattr(reading.supersedes, "sent_back"),
        )
        for place, reading in enumerate(readings)
    ]


def _letter(place: int) -> str:
    return ascii_uppercase[place] if place < len(ascii_uppercase) else f"Z{place - len(ascii_uppercase) + 1}"


def step_ratings(annotations: Iterable[int]) -> dict[int, dict[int, int]]:
    """Return the ratings of steps by annotation and step."""
    ratings: dict[int, dict[int, int]] = {}
    rows = StepLabel.objects.filter(annotation__in=list(annotations), position=0, rating__isnull=False)
    for annotation, step, rating in rows.values_list("annotation", "step_index", "rating"):
        assert rating is not None  # it was asked for
        ratings.setdefault(annotation, {})[step] = rating
    return ratings


def _sentence(readers: Sequence[SolutionReader]) -> str:
    """Say how the readers stand to each other. No figure stands here: a few readings are not enough for one."""
    ended = [reader for reader in readers if reader.finish_reason in VERDICTS]
    if not readers:
        return "Nobody’s label of this solution counts."
    if not ended:
        alone = "The only reader" if len(readers) == 1 else f"All {len(readers)} readers"
        return f"{alone} gave up or called the problem bad, so no first mistake is known. Your decision is the first verdict."
    if len(ended) == 1:
        return "Only one person judged this solution to its end, so nobody disagrees. Your decision checks this one reading."
    if len({reader.first_mistake for reader in ended}) == 1:
        return f"All {len(ended)} readers agree: {mistake_words(ended[0].first_mistake)}."
    return f"{counted(len(ended), 'reader')} disagree."


# --- sent back ----------------------------------------------------------------------------------------------------------


def send_back(project: Project, annotation_id: int, *, sender: "User", text: str) -> Message:
    """Send a reading back to its labeler, who sees the message on the home page and can look at that solution again.

    The answer is a new revision. Raises BadMessage: it cannot be sent, with the reason; nothing was stored.
    """
    text = checked_text(text)
    rows = eligibility.counting(Use.CONSENSUS).filter(solution__problem__project=project, pk=annotation_id)
    annotation = rows.select_related("labeler", "solution", "assignment__batch").first()
    if annotation is None:
        raise BadMessage("This reading is not there any more. The labeler has corrected it, or it does not count. Load the page again.")
    if annotation.labeler_id == sender.pk:
        raise BadMessage("This is your own reading. Another reviewer can send it back.")
    if why_not := labels.why_not(project, annotation.solution, reviewer=sender):
        raise BadMessage(why_not)
    if annotation.assignment.batch.kind in ON_DEMAND:
        raise BadMessage("This is an answer of a screening or of a calibration set, and these are not corrected. Decide on it yourself.")
    if not _answering().filter(project=project, user=annotation.labeler_id).exists():
        raise BadMessage("This person does not label here now, so nobody would answer. Decide on the solution yourself.")
    try:
        with transaction.atomic():
            message = deliver(Message(project=project, sender=sender, recipient=annotation.labeler, text=text, annotation=annotation))
            Event.objects.create(actor=sender, project=project, verb=VERB, subject=f"solution {annotation.solution_id}")
    except IntegrityError as error:
        if Message.objects.filter(annotation=annotation).exists():
            raise BadMessage("Somebody has sent this reading back already. The labeler has not answered yet.") from error
        raise
    return message
