"""One trained model of the experiment, and the candidates that a strategy chooses from. Imports the trainer inside functions.

Reads the simulated world; returns plain values that `running` writes. Training, scoring, choosing and judging are those of the product:
selection.choose, trainer.train, trainer.score, trainer.evaluate. The oracle labels in place of people.
"""

import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from active_learning.experiment.plan import ANSWER, ORACLE, PROCESS, Plan
from active_learning.selection import RIGHT, WRONG, Candidates, Recipe, choose
from active_learning.world import SimulatedProblem, SimulatedSolution, label, make_world

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.data import GradedSolution, LabeledSolution, SolutionText
    from trainer.evaluate import Samples
    from trainer.score import RewardModel, ScoredSolution

START, NOTHING = "start", "nothing"  # the arm of the selector, which learns from the random start alone, and that of the untrained base
CONTEXT = 1024


class ModelPoint(NamedTuple):
    """A model to train and judge: `size` solutions chosen by `arm` beyond the start, labeled as `labels` says."""

    seed: int
    arm: str
    size: int
    labels: str = PROCESS

    @property
    def key(self) -> str:
        """The name of its file."""
        kind = {PROCESS: "", ORACLE: "-oracle", ANSWER: "-answer"}[self.labels]
        return f"{self.seed}-{re.sub('[^a-z0-9]+', '-', self.arm.lower())}-{self.size}{kind}"


class WorldSolution(NamedTuple):
    """A solution of the simulated world with its problem, and the places of both."""

    place: int
    problem_place: int
    problem: SimulatedProblem
    solution: SimulatedSolution

    @property
    def is_right(self) -> bool:
        """Whether its final answer is right."""
        return self.solution.final_answer == self.problem.answer

    @property
    def text(self) -> "SolutionText":
        """The solution in the form that the trainer reads."""
        from trainer.data import SolutionText

        return SolutionText(str(self.place), self.problem.external_id, self.problem.statement, self.solution.steps)


def pool(plan: Plan, seed: int) -> list[WorldSolution]:
    """Return the solutions that a run can choose from, in random order; the first n_start are the start."""
    solutions = _generated(plan, plan.world + seed, plan.n_problems, plan.n_solutions)
    return [solutions[place] for place in np.random.default_rng((plan.world, seed)).permutation(len(solutions))]


def test_solutions(plan: Plan) -> list[WorldSolution]:
    """Return the solutions of the test problems, problem by problem; the same for all runs."""
    return _generated(plan, plan.test_world, plan.n_test_problems, plan.n_test_solutions)


def _generated(plan: Plan, seed: int, n_problems: int, n_solutions: int) -> list[WorldSolution]:
    world = make_world(seed, n_problems=n_problems, n_solutions=n_solutions, skill=plan.skill, habits=plan.generator(), level=plan.level)
    pairs = [(place, problem, one) for place, (problem, solutions) in enumerate(world) for one in solutions]
    return [WorldSolution(place, *rest) for place, rest in enumerate(pairs)]


# --- choosing -----------------------------------------------------------------------------------------------------------------


def chosen(plan: Plan, point: ModelPoint, solutions: list[WorldSolution], *, known: Candidates) -> list[WorldSolution]:
    """Return the start and what the arm chooses in addition. `known` are the candidates after the start, in their order.

    All sizes of a seed use the same draw, so that a larger choice includes the smaller one.
    """
    start, rest = solutions[: plan.n_start], solutions[plan.n_start :]
    if not point.size:
        return start
    recipe = Recipe(plan.strategies[point.arm], point.size, per_problem=plan.per_problem)
    choice = choose(known, recipe, rng=np.random.default_rng((plan.world, point.seed)))
    return [*start, *(rest[index] for index in choice.indices)]


def unscored(plan: Plan, solutions: list[WorldSolution]) -> Candidates:
    """Return the solutions after the start as candidates without scores: enough for a random draw."""
    rest = solutions[plan.n_start :]
    return Candidates.of(solutions=[one.place for one in rest], problems=[one.problem_place for one in rest])


def candidates(plan: Plan, solutions: list[WorldSolution], *, prm: "RewardModel", orm: "RewardModel | None") -> Candidates:
    """Return the solutions after the start as candidates: the selector's figures, an ORM's score, the vote of each problem."""
    from active_learning.scoring import first_mistake_entropy, prefix_hash
    from trainer.score import first_weak_step, score_solutions

    rest = solutions[plan.n_start :]
    read = list(score_solutions(prm, [one.text for one in rest]))
    weak = [first_weak_step(one.probabilities, threshold=prm.threshold) for one in read]
    votes: dict[int, Counter[str]] = defaultdict(Counter)
    for one in rest:
        votes[one.problem_place][one.solution.final_answer] += 1
    subjects = sorted({one.problem.subject for one in rest})
    return Candidates.of(
        solutions=[one.place for one in rest],
        problems=[one.problem_place for one in rest],
        scores=[one.score for one in read],
        outcomes=[RIGHT if one.is_right else WRONG for one in rest],
        entropy=[first_mistake_entropy(one.probabilities[:, 0]) for one in read],
        confidence=[_confidence(one, place) for one, place in zip(read, weak, strict=True)],
        deviation=[_deviation(one, place) for one, place in zip(read, weak, strict=True)],
        orm=[one.score for one in score_solutions(orm, [one.text for one in rest])] if orm else np.full(len(rest), np.nan),
        majority=[votes[o.problem_place][o.solution.final_answer] / votes[o.problem_place].total() for o in rest],
        strata=[subjects.index(one.problem.subject) * 10 + one.problem.level for one in rest],
        prefixes=[
            prefix_hash(one.problem_place, one.solution.steps if place is None else one.solution.steps[: place + 1])
            for one, place in zip(rest, weak, strict=True)
        ],
    )


def _confidence(one: "ScoredSolution", weak: int | None) -> float:
    if one.means is None:
        return np.nan
    means = one.means[: None if weak is None else weak + 1]
    return float(np.maximum(means, 1 - means).min())


def _deviation(one: "ScoredSolution", weak: int | None) -> float:
    return np.nan if one.deviations is None else float(one.deviations[: None if weak is None else weak + 1].max())


# --- learning and judging -----------------------------------------------------------------------------------------------------


def train_point(plan: Plan, point: ModelPoint, learned: list[WorldSolution]) -> "RewardModel":
    """Train a new model on these solutions, with labels of the point's kind, in a temporary folder."""
    from trainer.score import load_prm
    from trainer.train import train

    with tempfile.TemporaryDirectory(prefix="stepmark-") as home:
        trained = train([_labeled(one, point.labels) for one in learned], config=_config(plan, point), folder=Path(home) / "model")
        return load_prm(trained.folder)


def untrained(plan: Plan, learned: list[WorldSolution]) -> "RewardModel":
    """Return the model before any label."""
    from trainer.train import starting_model

    return starting_model(_config(plan, ModelPoint(0, NOTHING, 0)), solutions=[one.text for one in learned])


def _config(plan: Plan, point: ModelPoint) -> "TrainConfig":
    from trainer.config import TINY, TINY_BASE, TinyShape, TrainConfig

    kind = "prm" if point.labels == PROCESS else "orm"
    settings: dict[str, Any] = {
        "kind": kind,
        "epochs": plan.epochs if kind == "prm" else plan.outcome_epochs,
        "learning_rate": plan.learning_rate,
        "token_budget": plan.token_budget,
        "held_out": plan.held_out,
        "context": CONTEXT,
        "autocast": False,
        "seed": point.seed,
        "uncertainty_heads": plan.uncertainty_heads if kind == "prm" and point.arm == START else 0,
    }
    if plan.shape is not None:
        return TrainConfig.for_base(TINY, shape=TinyShape(**plan.shape), from_shipped_base=False, **settings)
    # Given as a folder, the base counts as any pretrained one: its rating tokens are made equal, and it has never rated a step.
    return TrainConfig.for_base(str(TINY_BASE), **settings)


def _labeled(one: WorldSolution, labels: str) -> "LabeledSolution | GradedSolution":
    from trainer.data import GradedSolution, LabeledSolution

    if labels == PROCESS:
        return LabeledSolution(one.text, label(one.solution).ratings)
    return GradedSolution(one.text, one.is_right if labels == ANSWER else one.solution.first_mistake is None)


def judge(model: "RewardModel", tested: list[WorldSolution], *, n: int) -> dict[str, Any]:
    """Judge a model on the test solutions: scores, best-of-N of each problem, step AUC and first-mistake F1 (None for an ORM)."""
    from trainer.evaluate import Judged, evaluate_steps
    from trainer.score import score_solutions

    read = list(score_solutions(model, [one.text for one in tested]))
    figures: dict[str, Any] = {"scores": [float(np.float32(one.score)) for one in read], "step_auc": None, "first_mistake_f1": None}
    figures["log_loss"] = None
    figures["best_of_n"] = best_of(np.array(figures["scores"]), tested, n=n).tolist()
    if model.kind == "prm":
        judged = [
            Judged(one.problem.external_id, scored.probabilities, label(one.solution).ratings, len(one.solution.steps))
            for one, scored in zip(tested, read, strict=True)
        ]
        report = evaluate_steps(judged, base_rates=model.base_rates)
        figures |= {"step_auc": report.step_auc, "first_mistake_f1": report.first_mistake and report.first_mistake.f1}
        figures["log_loss"] = report.log_loss
    return figures


def best_of(scores: np.ndarray, tested: list[WorldSolution], *, n: int) -> np.ndarray:
    """Return for each test problem the chance that the best scored of n random samples is right: (problems,)."""
    from trainer.evaluate import expected_right, share_of_draws_inside

    n_samples = len(tested) // (tested[-1].problem_place + 1)
    inside = share_of_draws_inside(n_samples, ns=[n])
    right = np.array([one.is_right for one in tested])
    pairs = zip(scores.reshape(-1, n_samples), right.reshape(-1, n_samples), strict=True)
    return np.array([expected_right(own, is_right, inside=inside)[0] for own, is_right in pairs])


def samples(tested: list[WorldSolution], scores: dict[str, list[float]]) -> "list[Samples]":
    """Return the samples of the test problems with the scores of some models, for trainer.evaluate.best_of_n."""
    from trainer.evaluate import Samples

    n_samples = len(tested) // (tested[-1].problem_place + 1)
    groups = []
    for start in range(0, len(tested), n_samples):
        own, here = tested[start : start + n_samples], slice(start, start + n_samples)
        classes = {answer: place for place, answer in enumerate(dict.fromkeys(one.solution.final_answer for one in own))}
        answers = np.array([classes[one.solution.final_answer] for one in own])
        right = np.array([one.is_right for one in own])
        groups.append(
            Samples(own[0].problem.external_id, right, answers, {name: np.array(values[here]) for name, values in scores.items()})
        )
    return groups


def summary_of(learned: list[WorldSolution]) -> dict[str, Any]:
    """Count problems, right answers, solutions without a mistake, and kinds of first mistake."""
    kinds = Counter(str(one.solution.mistake_kind) for one in learned if one.solution.mistake_kind)
    return {
        "n_problems": len({one.problem_place for one in learned}),
        "n_right_answers": sum(one.is_right for one in learned),
        "n_without_mistake": sum(one.solution.first_mistake is None for one in learned),
        "mistakes": dict(sorted(kinds.items())),
    }
