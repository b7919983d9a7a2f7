"""Stage: corrections, one problem: what its page shows, and a correction of its reference answer as a person saw it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User

from annotation.corrections.plans import (
    FIELD_WORDS,
    NAMED,
    CorrectionPlan,
    CorrectionRefused,
    NothingChanges,
    ShownBefore,
    prepared,
    quoted,
)
from annotation.ingest import STEP_CHARACTERS, BadText, ProblemChange, clean_text
from annotation.models import Event, Outcome, Problem, Project, Solution
from trainer.answers import GraderUnavailable


class NoSuchProblem(LookupError):
    """This project has no such problem."""


def find_problem(project: Project, problem_id: int) -> Problem:
    """Return a problem of the project. Raises NoSuchProblem."""
    problem = Problem.objects.filter(project=project, pk=problem_id).first()
    if problem is None:
        raise NoSuchProblem(f"{project} has no problem {problem_id}.")
    return problem


def change_of_answer(problem: Problem, answer: str) -> ProblemChange:
    """Return the change of a problem to another reference answer. Raises CorrectionRefused, and NothingChanges if it has this answer."""
    answer = answer.strip().replace("\r\n", "\n")  # a browser sends every line break as CRLF
    try:
        clean_text(answer)
    except BadText as bad:
        raise CorrectionRefused(f"The answer contains {bad}. Remove that character.") from None
    if not answer:
        raise CorrectionRefused("The answer is empty. Write the right answer.")
    if len(answer) > STEP_CHARACTERS:
        raise CorrectionRefused(f"The answer has {len(answer):,} characters, the limit is {STEP_CHARACTERS:,}. Shorten it.")
    if answer == problem.answer:
        raise NothingChanges("The problem has this reference answer already, so nothing changes.")
    return ProblemChange(problem.pk, problem.external_id, {"answer": problem.answer}, {"answer": answer})


def look(project: Project, problem_id: int, answer: str) -> CorrectionPlan:
    """Return what changes if the problem gets this reference answer. Raises NoSuchProblem and CorrectionRefused."""
    with _of_problem(project, problem_id, answer) as plan:
        return plan


def correct(project: Project, problem_id: int, answer: str, *, seen: str, withdraw: bool, actor: User) -> tuple[CorrectionPlan, int]:
    """Correct the reference answer of a problem as it was shown; return what changed and how many solutions were withdrawn.

    `seen` is the fingerprint of what was shown. Raises NoSuchProblem, CorrectionRefused, and ShownBefore if it would change something else.
    """
    with _of_problem(project, problem_id, answer) as plan:
        if plan.fingerprint != seen:
            raise ShownBefore(plan)
        return plan, plan.apply(actor=actor, withdraw=withdraw)


@contextmanager
def _of_problem(project: Project, problem_id: int, answer: str) -> Iterator[CorrectionPlan]:
    change = change_of_answer(find_problem(project, problem_id), answer)
    try:
        with prepared(project, [change]) as plan:
            yield plan
    except GraderUnavailable as error:
        raise CorrectionRefused(str(error)) from error


def _values(details: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the fields that an event corrected, in words, with the old and the new value."""
    return [(FIELD_WORDS.get(name, name), quoted(details["old"].get(name)), quoted(new)) for name, new in details["new"].items()]


def shown_problem(project: Project, problem_id: int) -> dict[str, Any]:
    """Return what the page of a problem shows: its answers with their outcomes, the most frequent first, and its corrections.

    Raises NoSuchProblem.
    """
    problem = find_problem(project, problem_id)
    counts = Counter(Solution.objects.filter(problem=problem).values_list("final_answer", "outcome"))
    events = Event.objects.filter(verb="correct", subject__startswith=f"problem {problem.pk}: ").select_related("actor").order_by("-pk")
    return {
        "problem": problem,
        "n_solutions": counts.total(),
        "answers": [(answer, Outcome(outcome).label, count) for (answer, outcome), count in counts.most_common(NAMED)],
        "n_more": max(0, len(counts) - NAMED),
        "corrections": [(event, _values(event.details)) for event in events[:NAMED]],
    }
