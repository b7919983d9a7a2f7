"""The page of one solution: its steps as a model and people judged them (Figure 2 of the paper), and what happened to it so far.

Reads solutions, scores, labels, tasks and events; writes nothing. The web process calls it: numpy, never torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from active_learning import opinions, registry, rounds
from active_learning.models import ModelVersion, Score, Selection, StepScores
from active_learning.pages.models import Verdict, marked_verdicts
from active_learning.pages.searching import SolutionFilter, differ, neighbours
from annotation import quality, queue
from annotation.models import Annotation, BatchKind, Event, FinishReason, Project, Solution, SolutionConsensus, StepSource, Task
from trainer.evaluate import first_weak_step

NEWEST = 100  # events, batches and labels of one solution that its history shows


@dataclass(frozen=True, slots=True)
class JudgedStep:
    """One step of a solution: the model's p(correct), None where it was not read, and the ratings of people by name."""

    number: int
    text: str
    right: float | None
    is_weak: bool
    ratings: Sequence[tuple[str, int]]
    differs: bool  # a person or the model sees the first mistake here, and they do not agree
    together: int | None  # the rating of all people together (StepConsensus.label)
    first: str  # how likely it is the first mistake, by all people together; empty: not known, or less than 1 %


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry of a solution's history. annotation, batch: the label or the batch that it is about."""

    at: datetime
    words: str
    person: str = ""
    annotation: int | None = None
    batch: int | None = None


def scored_solution(project: Project, number: int | None, solution_id: int, *, filter: SolutionFilter | None = None) -> dict[str, Any]:
    """Return what the page of a solution shows, with the scores of a version; without a number, of the PRM that serves, if one does.

    `filter` is the found set that the person came from. Raises registry.NoSuchVersion and queue.NoSuchSolution.
    """
    version = registry.serving_version(project) if number is None else registry.find(project, number)
    solution = queue.find_solution(project, solution_id)
    filter = filter or SolutionFilter()
    before, after = neighbours(project, filter, solution)
    return {
        "version": version,
        "solution": solution,
        "filter": filter,
        "before": before,
        "after": after,
        "history": _history(solution),
        "waits": queue.waits_in_queue(solution),
        "more_opinions": quality.why_more(solution),
        "wanted_in_vain": opinions.wanted_in_vain(project, solution),
        **judged_solution(solution, version),
    }


def judged_solution(solution: Solution, version: ModelVersion | None) -> dict[str, Any]:
    """Return the steps of a solution as a version and people judged them, and people all together."""
    answers = marked_verdicts(solution.problem.project_id, [solution.pk]).get(solution.pk, [])
    settled, together = quality.consensus_on(solution)
    probabilities = version and _step_probabilities(version, solution.pk)
    row = Score.objects.filter(model_version=version, solution=solution).values_list("score", "first_weak_step").first()
    right = [1 - row[0] for row in probabilities] if probabilities else None
    threshold = version.metrics.get("threshold") if version else None
    score: float | None
    if right is not None:
        score = float(np.prod(right)) if len(right) == len(solution.steps) else 0.0
        weak = None if threshold is None else first_weak_step(np.array(probabilities), threshold=threshold)
        is_weak_known = threshold is not None
    else:
        score, weak = row or (None, None)
        is_weak_known = row is not None and version is not None and version.kind == "prm"
    differing = [answer for answer in answers if is_weak_known and differ(answer, weak)]
    marked = {answer.first_mistake for answer in differing} | ({weak} if differing else set())
    steps = [
        JudgedStep(
            number=place + 1,
            text=text,
            right=right[place] if right and place < len(right) else None,
            is_weak=place == weak,
            ratings=[(answer.labeler, rating) for answer in answers if (rating := answer.rating_of(place)) is not None],
            differs=place in marked,
            together=together[place].label if place in together else None,
            first=_percent(together[place].p_first) if place in together else "",
        )
        for place, text in enumerate(solution.steps)
    ]
    return {
        "steps": steps,
        "verdicts": answers,
        "consensus": _consensus(solution, settled, answers),
        "disagreements": [_disagreement(answer, weak) for answer in differing],
        "weak": weak,
        "threshold": threshold,
        "is_scored": right is not None,
        "score": score,
    }


def _percent(share: float | None) -> str:
    return "" if share is None or share < 0.01 else f"{share:.0%}"


def _consensus(solution: Solution, settled: SolutionConsensus | None, answers: Sequence[Verdict]) -> list[str]:
    """Say in sentences what all people together say of a solution, how sure that is, or why nothing can be said."""
    if settled is None:
        if not answers:
            return []
        if all(answer.finish_reason in (FinishReason.GIVE_UP, FinishReason.BAD_PROBLEM) for answer in answers):
            return ["Everybody gave up on this solution or called its problem bad, so there is no consensus."]
        if solution.problem.project.step_source == StepSource.INTERACTIVE:
            return ["People take different paths in an interactive project, so their verdicts are not compared."]
        return ["These verdicts are not settled yet, or none of them counts. A worker settles new ones each minute."]
    mistake = settled.first_mistake
    verdict = "there is no mistake" if mistake is None else f"the first mistake is in step {mistake + 1}"
    if settled.is_adjudicated:
        sentences = [f"A reviewer decided that {verdict}."]
        gold = quality.gold_of(solution)
        if gold is not None and (mistake not in gold if mistake is not None else gold):
            sentences.append("The gold of this solution says something else. The decision of the reviewer counts.")
        return sentences
    if settled.entropy is None:
        return [f"Only one person judged this solution, and says that {verdict}. Nothing tells how sure that is."]
    people = "One person judged" if settled.n_readings == 1 else f"{settled.n_readings} people judged"
    most = np.log2(len(solution.steps) + 1)
    sure = "It is certain." if settled.entropy < 0.005 else f"How open that is: {settled.entropy:.1f} of {most:.1f} bits."
    none = "" if mistake is None else f" That there is no mistake: {settled.p_none:.0%}."
    sentences = [f"{people} this solution. Most likely {verdict}.{none} {sure}"]
    if (prior := quality.prior_of(solution.problem.project)) is not None:
        sentences.append(f"The scores of model {prior} were the prior. So this does not show how good model {prior} is.")
    return sentences


def _disagreement(answer: Verdict, weak: int | None) -> str:
    def seen(place: int | None) -> str:
        return "no mistake" if place is None else f"the first mistake in step {place + 1}"

    return f"{answer.labeler} sees {seen(answer.first_mistake)}. The model sees {seen(weak)}."


def _step_probabilities(version: ModelVersion, solution_id: int) -> list[list[float]] | None:
    """Return the stored probabilities of each step; of a solution that a round chose, those of its selection."""
    stored = StepScores.objects.filter(model_version=version, solution=solution_id).values_list("probabilities", flat=True).first()
    if stored is not None:
        return stored
    for selection in Selection.objects.filter(solution=solution_id).select_related("round__model_version").order_by("-pk"):
        made_by = selection.round.model_version and (
            rounds.findings_of(selection.round).chosen_with or selection.round.model_version.number
        )
        if selection.step_scores and selection.round.project_id == version.project_id and made_by == version.number:
            return [[1 - right, 0.0, right] for right in selection.step_scores]
    return None


def _history(solution: Solution) -> list[Happening]:
    """Return what happened to a solution, the oldest first: loaded, queued, labeled, its problem corrected, handed out first, withdrawn."""
    written = f"Loaded, written by {solution.source}" if solution.source else "Loaded"
    happened = [Happening(solution.created_at, written)]
    for task in Task.objects.filter(solution=solution).select_related("batch").order_by("-pk")[:NEWEST]:
        words = f"Queued in the {task.batch}, which is {task.batch.state} now"
        happened.append(Happening(task.batch.created_at, words, batch=task.batch_id))
    labeled = Annotation.objects.filter(solution=solution).select_related("labeler", "assignment__batch")
    for annotation in labeled.order_by("-pk")[:NEWEST]:
        if annotation.assignment.batch.kind == BatchKind.REVIEW:
            words = f"Decided in review: {ENDS[annotation.finish_reason]}"
        else:
            act = "Corrected the own label" if annotation.revision > 1 else "Labeled"
            words = f"{act} in the {annotation.assignment.batch}: {ENDS[annotation.finish_reason]}"
        happened.append(Happening(annotation.created_at, words, str(annotation.labeler), annotation.pk))
    own = Event.objects.filter(subject=f"solution {solution.pk}", project=solution.problem.project_id)
    for event in own.select_related("actor").order_by("-pk")[:NEWEST]:
        happened.append(Happening(event.at, ACTS.get(event.verb, event.verb.capitalize()), _by(event)))
    corrections = Event.objects.filter(verb="correct", subject__startswith=f"problem {solution.problem_id}: ")
    for event in corrections.select_related("actor").order_by("-pk")[:NEWEST]:
        happened.append(Happening(event.at, f"Problem corrected: {event.subject.partition(': ')[2]}", _by(event)))
    return sorted(happened, key=lambda entry: entry.at)


ENDS = {"solution": "no mistakes", "found_error": "mistake found", "bad_problem": "bad problem", "give_up": "gave up"}
ACTS = {
    "withdraw": "Withdrawn from labeling for good",
    "prioritise": "Put before the other solutions of the batch",
    "change gold": "Gold changed",
    "make gold": "Made gold, from a decision",
    "adjudicate": "A reviewer decided",
    "send back": "Sent back to a labeler",
}


def _by(event: Event) -> str:
    return str(event.actor) if event.actor else "at the command line"
