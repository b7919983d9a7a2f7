"""Part of the experiment: train and judge one model, and prepare what a strategy knows before it chooses.

Reads the simulated world and returns plain values, which `running` writes to files. The product's own code does the work:
selection.choose, trainer.train, trainer.score and trainer.evaluate. The oracle labels. The trainer is imported inside functions.
"""

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from active_learning.experiment.bases import make_base
from active_learning.experiment.curves import Floats
from active_learning.experiment.plan import ANSWER, FEW, ORACLE, PROCESS, START, BadPlan, Plan, short_name
from active_learning.selection import RIGHT, WRONG, Candidates, Need, Recipe, choose, reduced_states, state_of_solution
from active_learning.world import SimulatedProblem, SimulatedSolution, label, make_world

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.data import GradedSolution, LabeledSolution, SolutionText
    from trainer.evaluate import Samples
    from trainer.score import RewardModel, ScoredSolution

N_FEW = 5
CONTEXT = 1024
READ_AT_ONCE = 8192  # tokens


class TrainingPoint(NamedTuple):
    """A model to train and judge. `arm` chooses `size` solutions in addition to the start; `labels` is the kind of their labels."""

    seed: int
    arm: str
    size: int
    labels: str = PROCESS

    @property
    def key(self) -> str:
        """The name of its file."""
        kind = {PROCESS: "", ORACLE: "-oracle", ANSWER: "-answer"}[self.labels]
        return f"{self.seed}-{short_name(self.arm)}-{self.size}{kind}"


def arm_in(key: str) -> str:
    """Return the short name of the arm in the name of a point's file; "" if it is no such name."""
    found = re.fullmatch(r"\d+-(.+?)-\d+(-oracle|-answer)?", key)
    return found[1] if found else ""


class WorldSolution(NamedTuple):
    """A solution of the world and its problem. `place` and `problem_place` are their indices in that world."""

    place: int
    problem_place: int
    problem: SimulatedProblem
    simulated: SimulatedSolution

    @property
    def is_right(self) -> bool:
        """Whether its final answer is right."""
        return self.simulated.final_answer == self.problem.answer

    @property
    def text(self) -> "SolutionText":
        """The solution as the trainer reads it."""
        from trainer.data import SolutionText

        return SolutionText(str(self.place), self.problem.external_id, self.problem.statement, self.simulated.steps)


def make_pool(plan: Plan, seed: int) -> list[WorldSolution]:
    """Return the solutions that a run can choose from, shuffled by its seed. The first `n_start` of them are the start."""
    solutions = _make_solutions(plan, plan.world + seed, plan.n_problems, plan.n_solutions)
    return [solutions[place] for place in np.random.default_rng((plan.world, seed)).permutation(len(solutions))]


def make_test_solutions(plan: Plan) -> list[WorldSolution]:
    """Return uniform samples of the test problems, problem by problem. They are the same for all runs."""
    return _make_solutions(plan, plan.test_world, plan.n_test_problems, plan.n_test_solutions)


def _make_solutions(plan: Plan, seed: int, n_problems: int, n_solutions: int) -> list[WorldSolution]:
    world = make_world(seed, n_problems=n_problems, n_solutions=n_solutions, skill=plan.skill, habits=plan.generator(), level=plan.level)
    pairs = [(place, problem, solution) for place, (problem, solutions) in enumerate(world) for solution in solutions]
    return [WorldSolution(place, *pair) for place, pair in enumerate(pairs)]


def shared_statements(plan: Plan) -> dict[str, int]:
    """Count the statements that test problems and pools share, and those of either that the base of the plan has read; 0 without one."""

    def statements(seed: int, n_problems: int, **settings: Any) -> list[str]:
        made = make_world(seed, n_problems=n_problems, n_solutions=1, **settings)
        return [problem.statement for problem, _ in made]

    own: dict[str, Any] = {"skill": plan.skill, "habits": plan.generator(), "level": plan.level}
    tested = statements(plan.test_world, plan.n_test_problems, **own)
    pools = [statement for seed in plan.seeds for statement in statements(plan.world + seed, plan.n_problems, **own)]
    base = plan.base()
    read = set(statements(base.world, base.n_problems, skill=base.skill, level=base.level) if base else ())
    return {
        "n_test": len(tested),
        "n_pools": len(pools),
        "n_base": len(read),
        "test_in_pools": len(set(tested) & set(pools)),
        "test_in_base": len(set(tested) & read),
        "pools_in_base": sum(statement in read for statement in pools),
    }


# --- choosing -----------------------------------------------------------------------------------------------------------------


def choose_solutions(plan: Plan, point: TrainingPoint, solutions: list[WorldSolution], *, candidates: Candidates) -> list[WorldSolution]:
    """Return the start and what the arm chooses in addition. `candidates` describes the solutions after the start, in the same order.

    The random numbers depend on the seed alone, so a larger size contains the smaller one. Raises BadPlan if fewer can be chosen: a curve
    would have a point where no such number of labels is.
    """
    start, rest = solutions[: plan.n_start], solutions[plan.n_start :]
    if not point.size:
        return start
    recipe = Recipe(plan.strategies[point.arm], point.size, per_problem=plan.per_problem)
    choice = choose(candidates, recipe, rng=np.random.default_rng((plan.world, point.seed)))
    if len(choice.indices) < point.size:
        raise BadPlan(
            f"The strategy {point.arm} can choose {len(choice.indices)} solutions of the pool of seed {point.seed}, and not {point.size}. "
            f"Choose smaller sizes, or raise n_problems or per_problem under another name."
        )
    return [*start, *(rest[index] for index in choice.indices)]


def unscored_candidates(plan: Plan, solutions: list[WorldSolution]) -> Candidates:
    """Describe the solutions after the start without a model. This is enough for a uniform draw."""
    rest = solutions[plan.n_start :]
    return Candidates.of(solutions=[s.place for s in rest], problems=[s.problem_place for s in rest])


def score_candidates(plan: Plan, solutions: list[WorldSolution], *, prm: "RewardModel", orm: "RewardModel | None") -> Candidates:
    """Describe the solutions after the start: the figures of the selector, the score of an ORM, the majority of each problem.

    With them come the states of the frozen base if an arm needs them; the solutions of the start are those that were queued before.
    """
    from active_learning.scoring import first_mistake_entropy, prefix_hash
    from trainer.score import first_weak_step, score_solutions

    rest = solutions[plan.n_start :]
    scored = list(score_solutions(prm, [s.text for s in rest]))
    weak_steps = [first_weak_step(scores.probabilities, threshold=prm.threshold) for scores in scored]
    votes: dict[int, Counter[str]] = defaultdict(Counter)
    for solution in rest:
        votes[solution.problem_place][solution.simulated.final_answer] += 1
    subjects = sorted({s.problem.subject for s in rest})
    return Candidates.of(
        solutions=[s.place for s in rest],
        problems=[s.problem_place for s in rest],
        scores=[scores.score for scores in scored],
        outcomes=[RIGHT if s.is_right else WRONG for s in rest],
        entropy=[first_mistake_entropy(scores.probabilities[:, 0]) for scores in scored],
        confidence=[_confidence(scores, weak) for scores, weak in zip(scored, weak_steps, strict=True)],
        deviation=[_deviation(scores, weak) for scores, weak in zip(scored, weak_steps, strict=True)],
        orm=[scores.score for scores in score_solutions(orm, [s.text for s in rest])] if orm else np.full(len(rest), np.nan),
        majority=[votes[s.problem_place][s.simulated.final_answer] / votes[s.problem_place].total() for s in rest],
        strata=[subjects.index(s.problem.subject) * 10 + s.problem.level for s in rest],
        prefixes=[
            prefix_hash(s.problem_place, s.simulated.steps if weak is None else s.simulated.steps[: weak + 1])
            for s, weak in zip(rest, weak_steps, strict=True)
        ],
        **(_states(plan, solutions, prm) if plan.needs(Need.STATES) else {}),
    )


def _states(plan: Plan, solutions: list[WorldSolution], prm: "RewardModel") -> dict[str, Any]:
    """Return what the strategies know of the states of the solutions after the start, and of those of the start."""
    from trainer.data import encode
    from trainer.prefix import Reader

    encoded = encode([s.text for s in solutions], tokenizer=prm.tokenizer, context=prm.context)
    found = np.full((len(solutions), 0), np.nan)
    reader = Reader(prm, token_budget=READ_AT_ONCE)
    for places, states in reader.step_end_states(encoded, [s.problem.external_id for s in solutions]):
        rows, start = states.float().cpu().numpy(), 0
        if not found.shape[1]:
            found = np.full((len(solutions), rows.shape[1]), np.nan)
        for place in places.tolist():
            stop = start + len(encoded[place].step_ends)
            found[place] = state_of_solution(rows[start:stop])
            start = stop
    free, queued = reduced_states(found[plan.n_start :], found[: plan.n_start])
    return {"states": free, "queued_states": queued}


def _confidence(scores: "ScoredSolution", weak: int | None) -> float:
    if scores.means is None:
        return np.nan
    means = scores.means[: None if weak is None else weak + 1]
    return float(np.maximum(means, 1 - means).min())


def _deviation(scores: "ScoredSolution", weak: int | None) -> float:
    return np.nan if scores.deviations is None else float(scores.deviations[: None if weak is None else weak + 1].max())


# --- learning and judging -----------------------------------------------------------------------------------------------------


def train_point(plan: Plan, point: TrainingPoint, learned: list[WorldSolution], *, home: Path) -> "RewardModel":
    """Train a fresh model on these solutions, with the kind of labels that the point names, in a temporary folder.

    A frozen base keeps its states under `home`, for the models after this one and for the judging.
    """
    from trainer.score import load_prm
    from trainer.train import train

    with tempfile.TemporaryDirectory(prefix="stepmark-") as temporary:
        labeled, states = [_label(s, point.labels) for s in learned], home / "states"
        trained = train(labeled, config=_config(plan, point, home=home), folder=Path(temporary) / "model", states=states)
        return load_prm(trained.folder).keeping_states(states)


def few_solutions(solutions: Sequence[WorldSolution]) -> list[WorldSolution]:
    """Return the first few solutions of a pool. If none of them has a mistake, the last is replaced by the next one that has."""
    few = list(solutions[:N_FEW])
    if all(s.simulated.first_mistake is None for s in few):
        wrong = next((s for s in solutions[N_FEW:] if s.simulated.first_mistake is not None), None)
        if wrong is None:
            raise BadPlan("No solution of the pool has a mistake, so no label teaches what one is. Lower the skill under another name.")
        few[-1] = wrong
    return few


def _config(plan: Plan, point: TrainingPoint, *, home: Path) -> "TrainConfig":
    from trainer.config import TINY, TINY_BASE, TinyShape, TrainConfig

    kind = "prm" if point.labels == PROCESS else "orm"
    settings: dict[str, Any] = {
        "kind": kind,
        "held_out": plan.held_out,
        "context": CONTEXT,
        "seed": point.seed,
        "uncertainty_heads": plan.uncertainty_heads if kind == "prm" and point.arm == START else 0,
    }
    if plan.frozen or (point.arm == FEW and plan.shape is None):
        undrilled = plan.base()
        base = TINY if undrilled is None else str(make_base(undrilled, home=home))
        # Linear heads: cross-validation over problems chooses the penalty alone, so that arms differ in their labels and in nothing else.
        return TrainConfig.for_base(base, frozen=True, frozen_head="linear", **settings)
    settings |= {
        "epochs": plan.epochs if kind == "prm" else plan.outcome_epochs,
        "learning_rate": plan.learning_rate,
        "token_budget": plan.token_budget,
        "minimum_updates": 1,  # every arm and every number of labels is trained by one recipe
        "autocast": False,
    }
    if plan.shape is not None:
        return TrainConfig.for_base(TINY, shape=TinyShape(**plan.shape), from_shipped_base=False, **settings)
    # Named as a folder, the shipped base is treated as any pretrained base: its rating tokens are made equal.
    return TrainConfig.for_base(str(TINY_BASE), **settings)


def _label(solution: WorldSolution, labels: str) -> "LabeledSolution | GradedSolution":
    from trainer.data import GradedSolution, LabeledSolution

    if labels == PROCESS:
        return LabeledSolution(solution.text, label(solution.simulated).ratings)
    return GradedSolution(solution.text, solution.is_right if labels == ANSWER else solution.simulated.first_mistake is None)


def judge(model: "RewardModel", tested: list[WorldSolution], *, n: int) -> dict[str, Any]:
    """Judge a model on the test solutions: scores, best-of-N of each problem, step AUC and first-mistake F1 (None for an ORM)."""
    from trainer.evaluate import Judged, evaluate_steps
    from trainer.score import score_solutions

    scored = list(score_solutions(model, [s.text for s in tested]))
    figures: dict[str, Any] = {"scores": [float(np.float32(scores.score)) for scores in scored]}
    figures |= {"step_auc": None, "first_mistake_f1": None, "log_loss": None, "auc_by_kind": {}}
    figures["best_of_n"] = best_of(np.array(figures["scores"]), tested, n=n).tolist()
    if model.kind == "prm":
        judged = [
            Judged(s.problem.external_id, scores.probabilities, label(s.simulated).ratings, len(s.simulated.steps))
            for s, scores in zip(tested, scored, strict=True)
        ]
        report = evaluate_steps(judged, base_rates=model.base_rates)
        figures |= {"step_auc": report.step_auc, "first_mistake_f1": report.first_mistake and report.first_mistake.f1}
        figures["log_loss"] = report.log_loss
        figures["auc_by_kind"] = _auc_by_kind(scored, tested)
    return figures


def _auc_by_kind(scored: "list[ScoredSolution]", tested: list[WorldSolution]) -> dict[str, float | None]:
    """Return the step AUC of the first mistakes of each kind, among all steps without a mistake."""
    from trainer.evaluate import auc

    right: list[float] = []
    wrong: dict[str, list[float]] = defaultdict(list)
    for solution, scores in zip(tested, scored, strict=True):
        for rating, negative in zip(label(solution.simulated).ratings, scores.probabilities[:, 0], strict=False):
            (wrong[str(solution.simulated.mistake_kind)] if rating < 0 else right).append(float(negative))
    return {kind: auc(np.array([*own, *right]), np.arange(len(own) + len(right)) < len(own)) for kind, own in sorted(wrong.items())}


def best_of(scores: Floats, tested: list[WorldSolution], *, n: int) -> Floats:
    """Return, for each test problem, how often the best-scored of n samples is right, over all ways to draw n: (problems,)."""
    from trainer.evaluate import expected_right, share_of_draws_inside

    n_samples = len(tested) // (tested[-1].problem_place + 1)
    inside = share_of_draws_inside(n_samples, ns=[n])
    right = np.array([s.is_right for s in tested])
    pairs = zip(scores.reshape(-1, n_samples), right.reshape(-1, n_samples), strict=True)
    return np.array([expected_right(own, is_right, inside=inside)[0] for own, is_right in pairs])


def group_by_problem(tested: list[WorldSolution], scores: dict[str, list[float]]) -> "list[Samples]":
    """Return the samples of each test problem with the scores of some models, for trainer.evaluate.best_of_n."""
    from trainer.evaluate import Samples

    n_samples = len(tested) // (tested[-1].problem_place + 1)
    by_problem = []
    for start in range(0, len(tested), n_samples):
        part = slice(start, start + n_samples)
        own = tested[part]
        classes = {answer: place for place, answer in enumerate(dict.fromkeys(s.simulated.final_answer for s in own))}
        answers = np.array([classes[s.simulated.final_answer] for s in own])
        right = np.array([s.is_right for s in own])
        scores_here = {name: np.array(values[part]) for name, values in scores.items()}
        by_problem.append(Samples(own[0].problem.external_id, right, answers, scores_here))
    return by_problem


def cost(plan: Plan, solutions: Sequence[WorldSolution]) -> dict[str, float]:
    """Return what process labels of these solutions cost: rated steps, and seconds by the plan's assumption about people.

    A person reads the problem and the steps up to the last rated one, and rates each of them.
    """
    rated = [s.simulated.steps[: len(label(s.simulated).ratings)] for s in solutions]
    n_steps = sum(map(len, rated))
    n_characters = sum(len(s.problem.statement) + sum(map(len, steps)) for s, steps in zip(solutions, rated, strict=True))
    return {"rated_steps": n_steps, "labeling_seconds": round(n_characters / plan.reading + n_steps * plan.judging, 1)}


def count_solutions(solutions: Sequence[WorldSolution]) -> dict[str, Any]:
    """Count problems, right answers, solutions without a mistake, and first mistakes by kind."""
    kinds = Counter(str(s.simulated.mistake_kind) for s in solutions if s.simulated.mistake_kind)
    return {
        "n_problems": len({s.problem_place for s in solutions}),
        "n_right_answers": sum(s.is_right for s in solutions),
        "n_without_mistake": sum(s.simulated.first_mistake is None for s in solutions),
        "mistakes": dict(sorted(kinds.items())),
    }
