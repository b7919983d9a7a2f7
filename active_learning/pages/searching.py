"""The search for solutions: what a filter finds in a project, page by page, and what stands before and after one solution.

Each statement reads as many rows as a page shows, in the order of an index, and never counts all. So it takes as long at a million
solutions as at a hundred.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.db.models import Exists, F, Model, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from active_learning import registry
from active_learning.models import ModelVersion, Score
from active_learning.pages.models import Verdict, first_verdicts
from annotation import eligibility
from annotation.eligibility import Probe, Use
from annotation.models import Annotation, FinishReason, Membership, Problem, Project, Solution, StatementWords, StepLabel, beginnings

Row = TypeVar("Row", bound=Model)

PAGE = 50  # solutions listed at a time
VERDICTS = 10  # listed of each; a calibration set has one of each person
SAMPLED = 10  # newest and oldest problems whose generators are suggested
HIGH, LOW = "high", "low"


@dataclass(frozen=True, slots=True)
class SolutionFilter:
    """What a person looks for. Empty values look for nothing. The fields stand in the address under these names."""

    words: str = ""  # all of them, each the beginning of a word of the problem
    source: str = ""
    outcome: str = ""
    labels: str = ""  # yes or no
    by: str = ""  # user name of somebody who labeled it
    differs: bool = False  # a person and the model that serves name different first mistakes
    withdrawn: str = ""  # yes or no
    least: float | None = None  # of the score by the model that serves
    most: float | None = None
    order: str = ""  # HIGH or LOW score first; empty: newest problem first, or newest solution (`follows_labels`)

    @property
    def needs_scores(self) -> bool:
        """Whether only solutions with a score of the model that serves can be found."""
        return bool(self.order or self.differs or self.least is not None or self.most is not None)

    @property
    def follows_labels(self) -> bool:
        """Whether the found set is read along the labels, newest solutions first, and not along the problems.

        Labels can lie anywhere among the problems. Along these, the first page could read every solution before one with a label.
        """
        return bool(self.labels == "yes" or self.by or self.differs) and not self.order

    @property
    def address(self) -> dict[str, str]:
        """What a link carries, so that it stays in this found set."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: "on" if value is True else str(value) for name, value in values.items() if value not in ("", None, False)}


@dataclass(frozen=True, slots=True)
class FoundSolution:
    """A row of the list. score: None without a model that serves, or if that has not scored it."""

    solution: Solution
    score: float | None
    verdicts: list[Verdict]
    has_more: bool  # people who are not listed
    differs: bool


def differ(verdict: Verdict, weak: int | None) -> bool:
    """Tell whether a person and a model name different first mistakes. Somebody who gave up, or found the problem bad, names none.

    Adjudications and the labels of people in quarantine are no opinions.
    """
    return (
        verdict.is_opinion and verdict.finish_reason in (FinishReason.SOLUTION, FinishReason.FOUND_ERROR) and verdict.first_mistake != weak
    )


def found_solutions(project: Project, filter: SolutionFilter, *, after: int | None = None) -> dict[str, Any]:
    """Return a page of the solutions that a filter finds, after a solution if one is named."""
    version = registry.serving_version(project)
    ordered = _ordered(_found(project, filter, version), filter)
    if after is not None:
        ordered = ordered.filter(_beyond(after, filter, version))
    columns = ("problem", "source", "outcome", "final_answer", "withdrawn_at", "problem__statement", "problem__external_id")
    solutions = list(ordered.select_related("problem").only(*columns)[: PAGE + 1])
    shown = solutions[:PAGE]
    keys = [solution.pk for solution in shown]
    scores = dict(Score.objects.filter(model_version=version, solution__in=keys).values_list("solution", "score")) if version else {}
    differing = set(keys) if filter.differs else _differing_among(project, keys, version)
    answers, more = first_verdicts(project.pk, keys, each=VERDICTS, by=filter.by)
    rows = [FoundSolution(row, scores.get(row.pk), answers.get(row.pk, []), row.pk in more, row.pk in differing) for row in shown]
    return {"version": version, "rows": rows, "after": shown[-1].pk if len(solutions) > PAGE else None, "page_size": PAGE}


def problems_with(project: Project, words: str) -> QuerySet[Problem]:
    """Return the problems of a project with all of these words, each the beginning of one."""
    problems = Problem.objects.filter(project=project).alias(said=StatementWords("statement"))
    return problems.filter(said=beginnings(words))


def neighbours(project: Project, filter: SolutionFilter, solution: Solution) -> tuple[int | None, int | None]:
    """Return the solutions before and after one in a found set, None at its ends."""
    version = registry.serving_version(project) if filter.needs_scores else None
    found = _found(project, filter, version)
    before = _ordered(found, filter, is_reversed=True).filter(_beyond(solution.pk, filter, version, is_reversed=True))
    after = _ordered(found, filter).filter(_beyond(solution.pk, filter, version))
    return before.values_list("pk", flat=True).first(), after.values_list("pk", flat=True).first()


def search_choices(project: Project) -> dict[str, list[str]]:
    """Return what the search suggests: the people of a project, and generators of its newest and oldest problems."""
    members = Membership.objects.filter(project=project).order_by("user__username")
    problems = Problem.objects.filter(project=project).values("pk")
    newest, oldest = problems.order_by("-pk")[:SAMPLED], problems.order_by("pk")[:SAMPLED]
    some = [Solution.objects.filter(problem__in=those).exclude(source="").values_list("source", flat=True) for those in (newest, oldest)]
    return {"people": list(members.values_list("user__username", flat=True)), "sources": sorted(some[0].union(some[1]))}


def _found(project: Project, filter: SolutionFilter, version: ModelVersion | None) -> QuerySet[Solution]:
    found = Solution.objects.filter(problem__project=project)
    if filter.words:
        found = found.filter(problem__in=problems_with(project, filter.words))
    if filter.source:
        found = found.filter(source=filter.source)
    if filter.outcome:
        found = found.filter(outcome=filter.outcome)
    if filter.withdrawn:
        found = found.filter(withdrawn_at__isnull=filter.withdrawn == "no")
    if filter.needs_scores:
        if version is None:
            return found.none().alias(labeled=F("pk"))
        limits = {"score__score__gte": filter.least, "score__score__lte": filter.most}
        limited = {name: value for name, value in limits.items() if value is not None}
        if limited or filter.order:  # a disagreement looks its score up by itself: with this join, all scores could be read for it
            found = found.filter(score__model_version=version, **limited)
    if filter.labels == "no":
        found = found.filter(~Exists(_asked(project, SolutionFilter(), version).filter(solution=OuterRef("pk"))))
    if filter.follows_labels:  # each annotation is looked at by itself, in the order of the solutions, until there are enough
        found = _only_asked(_named(found, "annotation__"), project, filter, version)
    elif filter.labels == "yes" or filter.by or filter.differs:
        found = found.filter(Exists(_asked(project, filter, version).filter(solution=OuterRef("pk"))))
    return found


def _asked(project: Project, filter: SolutionFilter, version: ModelVersion | None) -> QuerySet[Annotation]:
    """Return the annotations of which a filter asks for one."""
    return _only_asked(_named(Annotation.objects.all(), ""), project, filter, version)


def _named(rows: QuerySet[Row], path: str) -> QuerySet[Row]:
    """Give names to the columns of annotations, which `path` leads to, so that `_only_asked` can use them in both orders."""
    columns = {"label": "pk", "labeled": "solution", "person": "labeler", "end": "finish_reason"}
    return rows.alias(**{name: F(path + column) for name, column in columns.items()})


def _only_asked(rows: QuerySet[Row], project: Project, filter: SolutionFilter, version: ModelVersion | None) -> QuerySet[Row]:
    """Keep what a filter asks for: annotations of one person, or those that differ from what a model sees, or all work."""
    rows = rows.filter(labeled__isnull=False)  # else the join would keep each solution without a label
    if filter.by:
        rows = rows.filter(person=Subquery(get_user_model().objects.filter(username=filter.by).values("pk")))
    if not filter.differs:
        return rows.filter(eligibility.does_count(Use.WORK, project=project.pk, annotation="label", newest=True))
    opinions = rows.filter(eligibility.does_count(Use.CONSENSUS, project=project.pk, annotation="label"))
    mistakes = StepLabel.objects.filter(annotation=OuterRef("label"), rating=-1, position=0).order_by("step_index").values("step_index")[:1]
    scores = Score.objects.filter(model_version=version, solution=OuterRef("labeled"))
    weak = scores.annotate(step=Coalesce("first_weak_step", Value(-1))).values("step")[:1]  # null without a score; -1 stands for none
    ends = [FinishReason.SOLUTION, FinishReason.FOUND_ERROR]
    both = opinions.filter(end__in=ends).alias(**{"mistake": Coalesce(Subquery(mistakes), Value(-1)), "weak": Subquery(weak)})
    return both.filter(~Q(weak=F("mistake")))


def _differing_among(project: Project, solutions: list[int], version: ModelVersion | None) -> set[int]:
    """Return on which of these somebody and a model name different first mistakes."""
    if version is None:
        return set()
    differing = _asked(project, SolutionFilter(differs=True), version).filter(solution=OuterRef("pk"))
    return set(Solution.objects.filter(Probe(differing), pk__in=solutions).values_list("pk", flat=True))


def _ordered(found: QuerySet[Solution], filter: SolutionFilter, *, is_reversed: bool = False) -> QuerySet[Solution]:
    is_rising = (filter.order == LOW) != is_reversed
    ordered = found.order_by(*(column if is_rising else f"-{column}" for column in _columns(filter)))
    return ordered.distinct("annotation__solution") if filter.follows_labels else ordered  # each solution once, with several labels too


def _columns(filter: SolutionFilter) -> tuple[str, ...]:
    """Return the columns that a found set is in the order of. Each order is that of an index."""
    if filter.order:
        return "score__score", "score__solution"
    return ("labeled",) if filter.follows_labels else ("problem_id", "pk")


def _beyond(key: int, filter: SolutionFilter, version: ModelVersion | None, *, is_reversed: bool = False) -> Q:
    """Keep what comes after a solution in an order. The first condition alone is what an index can begin at."""
    sign = "gt" if (filter.order == LOW) != is_reversed else "lt"
    first, *more = _columns(filter)
    if not more:
        return Q(**{f"{first}__{sign}": key})
    if filter.order:  # compared in the database, because the column is less precise than Python's numbers
        place = Subquery(Score.objects.filter(model_version=version, solution=key).values("score")[:1])
    else:
        place = Subquery(Solution.objects.filter(pk=key).values("problem")[:1])
    return Q(**{f"{first}__{sign}e": place}) & (Q(**{f"{first}__{sign}": place}) | Q(**{f"{more[0]}__{sign}": key}))


def filter_from(values: Mapping[str, Any]) -> SolutionFilter:
    """Return the filter of the values that a form has read."""
    return SolutionFilter(**{field.name: values[field.name] for field in fields(SolutionFilter) if values.get(field.name) is not None})
