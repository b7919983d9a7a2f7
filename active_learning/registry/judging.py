"""Judging: a trained version on held-out problems, compared with the champion, at best-of-N and step by step.

Reads the folders of both models, held-out labels and graded solutions; returns a Judgement and writes StepScores. `serving` decides whether
the version serves. Like `training` it imports the trainer inside functions. Solutions of the test split are scored only here, for a figure
over all of them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import orjson
from django.conf import settings
from django.db.models import Q

from active_learning.models import ModelKind, ModelVersion, StepScores
from active_learning.registry import training
from active_learning.registry.learning import on_the_same
from active_learning.registry.training import ModelUnusable, ProgressCallback
from active_learning.world import PREFIX, truth_of
from annotation.models import Outcome, Problem, Project, Solution, Split
from trainer.answers import group_answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.data import LabeledSolution
    from trainer.evaluate import Judged, Samples
    from trainer.model import RewardModel

SHOWN = 500  # held-out solutions whose step scores are stored, for people to look at and to compare any two versions
SAMPLES, SAMPLES_PER_PROBLEM = 10_000, 100  # most graded solutions scored for the best-of-N figure: in all, and of one problem


@dataclass(frozen=True, slots=True)
class Judgement:
    """What judging found about a trained version. If `comparison` is None, `obstacle` says why."""

    champion: int | None = None  # number of the version it was compared with
    comparison: dict[str, Any] | None = None
    obstacle: str = ""
    champion_is_gone: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)


def serving_version(project: Project, kind: str = ModelKind.PRM) -> ModelVersion | None:
    """Return the champion: the version that serves."""
    return ModelVersion.objects.select_related("project", "snapshot").filter(project=project, kind=kind, champion=True).first()


def judge(version: ModelVersion, *, progress: ProgressCallback) -> Judgement:
    """Compare a ready version with the champion of its kind, store some step scores, and measure best-of-N. Takes minutes."""
    from trainer.data import GradedSolution
    from trainer.evaluate import best_of_n, calibration, compare, over_base_rate

    model, champion, trained_on = training.load(version), serving_version(version.project, version.kind), _trained_on(version)
    unseen = [
        labeled
        for labeled in training.learned_from(version)
        if labeled.solution.problem_key not in trained_on and (isinstance(labeled, GradedSolution) or labeled.n_rated)
    ]
    ours = _judge_all(version.kind, model, unseen, progress=progress)
    samples, numbers = _samples_apart(version, model, progress=progress)
    metrics: dict[str, Any] = {"best_of_n": best_of_n(samples, seed=0).as_dict() | {"models": numbers} if samples else None}
    metrics["over_base_rate"] = over_base_rate(ours, base_rates=model.base_rates)
    metrics["groups"] = _groups(version, model, ours, samples)
    if version.kind == ModelKind.PRM:
        _keep_step_scores(version, unseen, ours)
        metrics["learning"] = on_the_same(version, cast("list[LabeledSolution]", unseen))
        metrics |= _kinds(version, model, progress=progress)
    elif ours:
        outcomes = np.array([(judged.ratings[0] or 0) + 1 for judged in ours])
        metrics["calibration"] = calibration(np.concatenate([judged.probabilities for judged in ours]), outcomes).as_dict()
    if champion is None or champion == version:
        return Judgement(metrics=metrics)
    try:
        other = training.load(champion)
        seen = _trained_on(champion)
    except ModelUnusable as unusable:
        return Judgement(champion.number, obstacle=str(unusable), champion_is_gone=True, metrics=metrics)
    ours = [judged for judged in ours if judged.problem_key not in seen]
    if not ours:
        return Judgement(champion.number, obstacle="No labeled problem is held out from both models.", metrics=metrics)
    theirs = _judge_all(version.kind, other, [labeled for labeled in unseen if labeled.solution.problem_key not in seen], progress=progress)
    return Judgement(champion.number, comparison=compare(theirs, ours).as_dict(), metrics=metrics)


def score_steps(version: ModelVersion, solution_id: int) -> None:
    """Score the steps of one solution that a person wants to see. Raises ModelUnusable."""
    from trainer.score import score_solutions

    row = Solution.objects.filter(pk=solution_id, problem__project=version.project).values_list(
        "pk", "problem_id", "problem__statement", "steps"
    )
    for scored in score_solutions(training.load(version), map(training.trainer_solution, row)):
        StepScores.objects.get_or_create(
            model_version=version, solution_id=solution_id, defaults={"probabilities": _rounded(scored.probabilities)}
        )


# --- held-out labels ----------------------------------------------------------------------------------------------------------


def _judge_all(kind: str, model: "RewardModel", unseen: Sequence[Any], *, progress: ProgressCallback) -> list["Judged"]:
    from trainer.evaluate import Judged

    callback = training.trainer_progress(progress, stage="judging")
    if kind == ModelKind.PRM:
        from trainer.train import judge_solutions

        return judge_solutions(model, unseen, progress=callback)
    # An outcome is judged as if the whole solution were one step: the same log-loss and AUC, the same comparison.
    scores = _scores(model, [graded.solution for graded in unseen], progress=progress)
    return [
        Judged(graded.solution.problem_key, np.array([[1 - score, 0.0, score]], np.float32), (1 if graded.right else -1,), 1)
        for graded, score in zip(unseen, scores, strict=True)
    ]


def _keep_step_scores(version: ModelVersion, unseen: Sequence[Any], judged: Sequence["Judged"]) -> None:
    """Store the probabilities of SHOWN held-out solutions that were labeled as they were loaded, once each.

    Of more than SHOWN, those with the smallest hashes are drawn: no kind of solution is preferred, and the draws of two versions have as
    many in common as they can.
    """
    judged_of: dict[int, dict[tuple[str, ...], Judged]] = {}
    for labeled, own in zip(unseen, judged, strict=True):
        judged_of.setdefault(int(labeled.solution.key), {})[labeled.solution.steps] = own
    drawn = sorted(judged_of, key=_place_in_draw)[: 2 * SHOWN]
    loaded = {key: tuple(steps) for key, steps in Solution.objects.filter(pk__in=drawn).values_list("pk", "steps")}
    keys = [key for key in drawn if loaded.get(key) in judged_of[key]][:SHOWN]  # an interactive walk has steps of its own
    StepScores.objects.bulk_create(
        [
            StepScores(
                model_version=version, solution_id=key, probabilities=_rounded(judged_of[key][loaded[key]].probabilities), held_out=True
            )
            for key in keys
        ],
        ignore_conflicts=True,  # from a judging that was lost before its decision
    )


def _place_in_draw(solution: int) -> bytes:
    return hashlib.sha256(f"steps:{solution}".encode()).digest()


def problems_of(version: ModelVersion) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys of the problems that a version was trained on, and of those that were held out. Raises ModelUnusable."""
    split = _split(version)
    return frozenset(split["training"]), frozenset(split["held_out"])


def _trained_on(version: ModelVersion) -> frozenset[str]:
    """Return the keys of the problems whose labels or text a version has read."""
    split = _split(version)
    return frozenset((*split["training"], *split.get("text", ())))


def _split(version: ModelVersion) -> dict[str, list[str]]:
    try:
        return orjson.loads((Path(settings.STEPMARK_HOME) / version.artifact / "split.json").read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelUnusable(f"Model {version.number} does not list the problems it was trained on: {error}") from error


def _rounded(probabilities: "NDArray[np.float32]") -> list[list[float]]:
    return np.asarray(probabilities, float).round(5).tolist()


# --- groups -------------------------------------------------------------------------------------------------------------------


def _groups(
    version: ModelVersion, model: "RewardModel", judged: Sequence["Judged"], samples: Sequence["Samples"]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the figures of each subject and of each level: {"subject": {subject: row}, "level": ..}, rows as `evaluate --by-subject` has.

    A table is left out if no problem has a subject, or a level. The threshold is the model's own, unless it was chosen on one of these
    problems.
    """
    from trainer.evaluate import evaluate_groups

    keys = {solution.problem_key for solution in judged} | {problem.problem_key for problem in samples}
    held_out = set(_split(version)["held_out"])
    threshold = model.threshold if held_out.isdisjoint(solution.problem_key for solution in judged) else None
    facts = list(Problem.objects.filter(pk__in=map(int, keys)).values_list("pk", "subject", "level"))
    named = {
        "subject": {str(key): subject for key, subject, _ in facts if subject},
        "level": {str(key): level for key, _, level in facts if level},
    }
    return {
        by: {
            group: row.as_dict()
            for group, row in evaluate_groups(
                groups, judged=judged, problems=samples, base_rates=model.base_rates, threshold=threshold
            ).items()
        }
        for by, groups in named.items()
        if groups
    }


# --- kinds of mistakes -------------------------------------------------------------------------------------------------------


def _kinds(version: ModelVersion, model: "RewardModel", *, progress: ProgressCallback) -> dict[str, Any]:
    """Return the AUC of each kind of mistake, where the truth is known: in the demonstration. Empty in every other project.

    {"kinds": {kind: {"auc", "low", "high", "n_wrong"}}}, and "kinds_before" with the same of the shipped base without any label, if the
    version learned from it. All solutions of the problems that every version holds out are judged, labeled or not, so that the figures of
    two versions mostly stand on the same steps. "kinds_on" tells whether they do: {"n_solutions", "n_problems", "digest"}.
    """
    from trainer.config import TINY, TrainConfig
    from trainer.evaluate import Judged, evaluate_kinds, split_problems
    from trainer.model import load_tiny
    from trainer.score import score_solutions

    simulated = Problem.objects.filter(project=version.project, split=Split.TRAIN, external_id__startswith=PREFIX)
    keys = [str(key) for key in simulated.values_list("pk", flat=True)]
    if not keys:
        return {}
    config = TrainConfig.from_settings({"base": version.base, "seed": version.seed} | version.config)
    apart = split_problems(keys, held_out=config.held_out, seed=config.split_seed) - _trained_on(version)
    rows = (
        Solution.objects.filter(problem__in=map(int, apart)).order_by("pk").values_list("pk", "problem_id", "problem__statement", "steps")
    )
    known = [(row, truth) for row in rows if (truth := truth_of(row[2], tuple(row[3])))]

    def judged_by(judge: "RewardModel") -> dict[str, Any]:
        texts, callback = [training.trainer_solution(row) for row, _ in known], training.trainer_progress(progress, stage="judging")
        scores = score_solutions(judge, texts, total=len(texts), progress=callback)
        solutions = [
            Judged(text.problem_key, scored.probabilities, truth.ratings, len(text.steps))
            for text, scored, (_, truth) in zip(texts, scores, known, strict=True)
        ]
        kinds = [truth.mistake_kind and str(truth.mistake_kind) for _, truth in known]
        return {kind: report.as_dict() for kind, report in evaluate_kinds(solutions, kinds).items()}

    found: dict[str, Any] = {"kinds": judged_by(model)}
    found["kinds_on"] = {
        "n_solutions": len(known),
        "n_problems": len({problem for (_, problem, *_), _ in known}),
        "digest": hashlib.sha256(",".join(str(key) for (key, *_), _ in known).encode()).hexdigest(),
    }
    if version.base == TINY and (config.from_shipped_base or config.frozen):
        found["kinds_before"] = judged_by(load_tiny(context=config.context))
    return found


# --- best of N ----------------------------------------------------------------------------------------------------------------


def _samples_apart(version: ModelVersion, model: "RewardModel", *, progress: ProgressCallback) -> tuple[list["Samples"], dict[str, int]]:
    """Return the graded solutions of problems that no model was trained on, with the scores of this version and of the model of the other
    kind that serves; and the numbers of these models. Empty if no problem has two graded solutions.
    """
    models = {version.kind: (version, model)}
    if other := serving_version(version.project, ModelKind.ORM if version.kind == ModelKind.PRM else ModelKind.PRM):
        with suppress(ModelUnusable):  # then its curve is missing
            models[other.kind] = (other, training.load(other))
    held_out = set.intersection(*(set(_split(own)["held_out"]) for own, _ in models.values()))
    problems = list(_graded_problems(version.project, held_out))
    numbers = {kind.upper(): own.number for kind, (own, _) in models.items()}
    if not problems:
        return [], numbers
    # The curves end at the fewest samples of a problem. So up to a quarter of the problems, those with the fewest, are left out.
    least = int(np.quantile([len(group) for _, group in problems], 0.25))
    problems = [(problem, group) for problem, group in problems if len(group) >= least]
    rows = [row for _, group in problems for row in group]
    scores = {
        kind.upper(): np.array(_scores(scorer, [training.trainer_solution(row[:4]) for row in rows], progress=progress))
        for kind, (_, scorer) in sorted(models.items(), reverse=True)  # the PRM's curve first
    }
    return list(_samples(problems, scores)), numbers


def _graded_problems(project: Project, held_out: set[str]) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Yield test problems and held-out ones with their graded solutions, two or more each, until there are SAMPLES."""
    apart = Q(problem__split=Split.TEST) | Q(problem_id__in=map(int, held_out))
    graded = Solution.objects.filter(
        apart, problem__project=project, withdrawn_at__isnull=True, outcome__in=[Outcome.CORRECT, Outcome.WRONG]
    )
    columns = ("pk", "problem_id", "problem__statement", "steps", "outcome", "final_answer")
    n_samples = 0
    for problem, group in groupby(graded.order_by("problem_id", "digest").values_list(*columns).iterator(), key=itemgetter(1)):
        samples = list(group)[:SAMPLES_PER_PROBLEM]
        if len(samples) > 1:
            yield problem, samples
            n_samples += len(samples)
        if n_samples >= SAMPLES:
            return


def _samples(problems: list[tuple[int, list[tuple[Any, ...]]]], scores: dict[str, "NDArray[np.float64]"]) -> Iterator["Samples"]:
    """Turn rows and scores into the trainer's values. All right answers are one class, and so are wrong ones that are equal."""
    from trainer.evaluate import Samples

    start = 0
    right = [[row[4] == Outcome.CORRECT for row in group] for _, group in problems]
    votes = group_answers(([row[5] for row in group], own) for (_, group), own in zip(problems, right, strict=True))
    for (problem, group), own, classes in zip(problems, right, votes, strict=True):
        here = slice(start, start + len(group))
        yield Samples(str(problem), np.array(own), np.array(classes), {name: all_[here] for name, all_ in scores.items()})
        start += len(group)


def _scores(model: "RewardModel", solutions: list[Any], *, progress: ProgressCallback) -> list[float]:
    from trainer.score import score_solutions

    callback = training.trainer_progress(progress, stage="judging")
    return [float(scored.score) for scored in score_solutions(model, solutions, total=len(solutions), progress=callback)]
