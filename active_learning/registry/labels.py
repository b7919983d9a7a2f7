"""What a version learns from: each person's labels, the consensus of all people on a solution, or its probabilities as soft labels.

Reads a snapshot, and the estimates and gold that were noted in the version when it began. So a training that is resumed, or looked at
later, has the same labels. Imports the trainer inside functions.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from active_learning.models import Labels, ModelVersion
from annotation import export, quality
from annotation.consensus import NONE
from annotation.models import Project, ProjectConsensus, Snapshot, StepSource
from trainer.counting import counted

if TYPE_CHECKING:
    from trainer.data import LabeledSolution

LEAST_WEIGHT = 0.01  # a step is left out if it is less probable than this that no step before it is a mistake


class NoConsensus(ValueError):
    """A project whose consensus cannot be learned from. The message says why and what to do."""


def check_consensus(project: Project) -> None:
    """Raise NoConsensus if a model cannot learn from the consensus of this project."""
    if project.step_source == StepSource.INTERACTIVE:
        raise NoConsensus(
            f"{project.slug} is an interactive project. Labelers take different paths there, so there is no consensus on a solution. Train "
            "on each person's labels."
        )
    state = ProjectConsensus.objects.filter(project=project).first()
    if state and state.prior is not None:
        raise NoConsensus(
            f"The consensus of {project.slug} was settled with model {state.prior} as the prior. Models trained on it would be judged by "
            f"what model {state.prior} says. Settle it without a prior first: manage.py settle --project {project.slug}"
        )


def note_consensus(project: Project) -> dict[str, Any]:
    """Settle a project, and return what a version notes of it: estimates of the labelers, and gold. Raises NoConsensus."""
    check_consensus(project)
    quality.settle(project)
    estimates = quality.estimates_of(project)
    assert estimates is not None  # settling has just stored them
    return {"estimates": estimates.as_dict(), "gold": gold_noted(project)}


def gold_noted(project: Project) -> dict[str, list[int]]:
    """Return the gold of a project as a version notes it."""
    return {str(key): steps for key, steps in quality.gold_in_project(project).items()}


def describe_labels(version: ModelVersion) -> str:
    """Say in words for the model card what a version learns from."""
    if version.labels == Labels.EACH:
        return "each person's labels"
    people = counted(len(version.consensus["estimates"]["people"]), "person", "people")
    if version.labels == Labels.SOFT:
        return f"the consensus of {people}, as probabilities (soft labels)"
    return f"the consensus of {people}, the most likely rating of each step"


def labeled(version: ModelVersion, snapshot: Snapshot) -> Generator["LabeledSolution", None, None]:
    """Yield the labels of a version's snapshot in the form that the trainer reads: by annotation, or by solution in their first order."""
    if version.labels == Labels.EACH:
        yield from map(_own, export.labeled_solutions(snapshot))
        return
    of_solution: dict[int, list[export.LabeledSteps]] = {}
    for labels in export.labeled_solutions(snapshot):
        if labels.is_whole:
            of_solution.setdefault(labels.solution_id, []).append(labels)
    if of_solution:
        yield from agreed(of_solution, version.consensus, is_soft=version.labels == Labels.SOFT)


def _own(labels: export.LabeledSteps) -> "LabeledSolution":
    from trainer.data import LabeledSolution, RatedAlternative

    alternatives = tuple(RatedAlternative(*alternative) for alternative in labels.alternatives if alternative.rating is not None)
    return LabeledSolution(_text(labels), tuple(labels.ratings), alternatives)


def agreed(
    of_solution: Mapping[int, Sequence[export.LabeledSteps]], noted: Mapping[str, Any], *, is_soft: bool
) -> Iterator["LabeledSolution"]:
    """Yield a labeled solution for each solution: the most likely ratings, and with `is_soft` their probabilities too.

    noted: as note_consensus gives it.
    """
    from trainer.data import LabeledSolution, RatedAlternative

    opinions, votes = opinions_of(of_solution, gold={int(key): steps for key, steps in noted["gold"].items()})
    verdicts = quality.verdicts_on(opinions, votes, quality.Estimates.from_dict(noted["estimates"]))
    begins = np.concatenate([[0], np.cumsum(opinions.n_steps)])
    place_of = {int(key): place for place, key in enumerate(opinions.solutions)}
    for key, several in of_solution.items():
        place = place_of[key]
        own = slice(begins[place], begins[place + 1])
        label, n_votes = verdicts.label[own].tolist(), verdicts.n_votes[own].tolist()
        # Where all people had stopped, nobody's rating is known.
        ratings = tuple(None if rating == 9 or not (n or rating == -1) else rating for rating, n in zip(label, n_votes, strict=True))
        last = label.index(-1) if -1 in label else len(label)
        alternatives = tuple(
            RatedAlternative(step, text, rating) for (step, text), rating in _alternatives(several).items() if step <= last
        )
        soft, weights = _soft(verdicts, own, ratings, n_votes) if is_soft else (None, None)
        yield LabeledSolution(_text(several[0]), ratings, alternatives, soft, weights)


def _soft(
    verdicts: quality.Verdicts, own: slice, ratings: Sequence[int | None], n_votes: Sequence[int]
) -> tuple[tuple[tuple[float, float, float] | None, ...], tuple[float, ...]]:
    """Return the soft labels of one solution, and what each counts: the probability that no step before it is a mistake.

    Of a verdict whose probability is not known, the ratings are certain.
    """
    p_first, p_negative, p_neutral = (values[own] for values in (verdicts.p_first, verdicts.p_negative, verdicts.p_neutral))
    if np.isnan(p_first).any():
        certain = {-1: (1.0, 0.0, 0.0), 0: (0.0, 1.0, 0.0), 1: (0.0, 0.0, 1.0)}
        return tuple(None if rating is None else certain[rating] for rating in ratings), (1.0,) * len(ratings)
    weights = np.clip(1 - np.concatenate([[0.0], np.cumsum(p_first)[:-1]]), 0.0, 1.0)
    soft = [
        (negative, (1 - negative) * neutral, (1 - negative) * (1 - neutral)) if weight >= LEAST_WEIGHT and (n or rating == -1) else None
        for negative, neutral, weight, n, rating in zip(
            p_negative.tolist(), p_neutral.tolist(), weights.tolist(), n_votes, ratings, strict=True
        )
    ]
    return tuple(soft), tuple(weights.tolist())


def opinions_of(
    of_solution: Mapping[int, Sequence[export.LabeledSteps]], *, gold: Mapping[int, Sequence[int]]
) -> tuple[quality.Opinions, Any]:
    """Turn the annotations of a snapshot into opinions and votes. Of several annotations of one person, the newest counts."""
    keys = sorted(of_solution)
    n_steps = np.array([len(of_solution[key][0].steps) for key in keys], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(n_steps + 1)])
    rows: list[tuple[int, int, int]] = []
    adjudications: dict[int, quality.Adjudication] = {}
    counts = np.zeros((int(offsets[-1]), 3), dtype=np.int64)
    for place, key in enumerate(keys):
        newest = {labels.labeler_id: labels for labels in of_solution[key]}
        for person, labels in sorted(newest.items()):
            mark = labels.ratings.index(-1) + 1 if -1 in labels.ratings else NONE
            if labels.is_adjudication:
                adjudications[key] = quality.Adjudication(0, person, mark)
            else:
                rows.append((place, person, mark))
            for step, rating in enumerate(labels.ratings[: mark or None]):
                if rating is not None:
                    counts[offsets[place] + step] += (rating == 0, rating == 1, 1)
    readings = np.array(rows, dtype=np.int64).reshape(-1, 3)
    people, reader = np.unique(readings[:, 1], return_inverse=True)
    rated = np.flatnonzero(counts[:, 2])
    opinions = quality.Opinions(
        solutions=np.array(keys, dtype=np.int64),
        n_steps=n_steps,
        people=people,
        solution=readings[:, 0],
        person=reader.astype(np.int64),
        marked=readings[:, 2],
        annotation=np.zeros(len(readings), dtype=np.int64),
        adjudications=adjudications,
        gold=quality.possible_by(gold, dict(zip(keys, n_steps.tolist(), strict=True))),
    )
    return opinions, np.column_stack([rated, counts[rated]])


def _alternatives(several: Sequence[export.LabeledSteps]) -> dict[tuple[int, str], int]:
    """Return what most people rated each alternative; of equally many, the lower rating."""
    rated: dict[tuple[int, str], list[int]] = {}
    for labels in several:
        for step, text, rating in labels.alternatives:
            rated.setdefault((step, text), []).append(rating)
    return {place: min(set(ratings), key=lambda rating: (-ratings.count(rating), rating)) for place, ratings in rated.items()}


def _text(labels: export.LabeledSteps) -> Any:
    from trainer.data import SolutionText

    return SolutionText(str(labels.solution_id), str(labels.problem_id), labels.problem, tuple(labels.steps))
