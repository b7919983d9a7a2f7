"""The strategies a recipe is made of. PURE: arrays in, indices out, randomness passed in; SQL is text that `pool` runs.

A new strategy is one more Strategy here, listed in STRATEGIES, and its test. Recipes, commands, pages and the pool read STRATEGIES.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np

from active_learning.selection import covering
from active_learning.selection.candidates import RIGHT, UNKNOWN, WRONG, Candidate, Candidates, Floats, Indices
from trainer.counting import counted

CONFIDENT, STEADY = 0.95, 0.005  # ActPRM's thresholds: a solution is asked about below the first or above the second
# A draw between 0 and 1 for each solution, by its low 52 bits: exact in a double, and apart from the order of the uniform draw.
CHANCE = "((hashint8extended({solution}, %(seed)s) & 4503599627370495) + 0.5::float8) / 4503599627370496"
# What is usual for the problem of a score, in SQL. A problem that was scored since the last comparison has no mean yet: it gets that of
# the others.
USUAL = (
    "coalesce({means}.per_step, (SELECT avg(u.per_step) FROM active_learning_problemmean u WHERE u.model_version_id = %({version})s), 0)"
)
DOUBTED = 0.5  # a right answer that the PRM scores lower is one whose reasoning it takes for wrong


class Need(Enum):
    """What a strategy cannot choose without, or chooses better with."""

    MODEL = auto()  # the scores of the model that serves
    HEADS = auto()  # of a model with uncertainty heads
    ORM = auto()  # the scores of the ORM that serves, where there is one
    CONTROL = auto()  # the scores of the frozen control model, in place of those of the model that serves
    CHANGE = auto()  # of a model above a frozen base
    MAJORITY = auto()  # how many solutions of the same problem have the same answer
    STATES = auto()  # of the frozen base of the model that serves


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Which scores a strategy reads, and in which order: SQL over the score table as `s`, the ORM's as `o` and what is usual
    for the problem (ProblemMean) as `m` where they are joined.

    is_indexed: the partial index of wrong answers by score serves this order, so the best of each problem are found without reading all.
    is_enough: the first rows do; no more are read where some of them may not be chosen.
    """

    order: str
    where: str = "true"
    is_indexed: bool = False
    joins_orm: bool = False
    joins_means: bool = False
    is_enough: bool = False


@dataclass(frozen=True, slots=True)
class EmptyPool:
    """The facts of a pool with solutions and scores in which no strategy of a recipe has a candidate."""

    project: str
    model: int  # number of the model that serves; 0: none
    n_solutions: int
    n_wrong: int  # with a wrong final answer
    has_confidence: bool  # the model has uncertainty heads; only looked up for strategies that need them
    has_change: bool = False  # the model is above a frozen base; likewise
    has_margin: bool = False  # the model scored in this release; likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A rule that puts candidates in an order.

    name: in recipes, commands and tables. label, picks, note: for people; `picks` completes "it takes ..". order: places among the
    candidates for a batch of so many solutions, first the ones to take; those it never takes are left out. shortlists: the same order in
    SQL. why: one sentence for one candidate. why_empty: why there is no candidate and what to do; empty: nothing special. is_draw: it
    takes from a draw out of the whole pool, before the others choose. premise: which outcome (annotation.models.Premise) it takes for
    granted, by its reason.
    """

    name: str
    label: str
    picks: str
    needs: frozenset[Need]
    order: Callable[[Candidates, np.random.Generator, int], Indices]
    shortlists: tuple[Shortlist, ...]
    why: Callable[[Candidate], str]
    why_empty: Callable[[EmptyPool], str] = lambda pool: ""
    note: str = ""
    is_draw: bool = False
    premise: Callable[[str], str] = lambda reason: ""


# --- orders -------------------------------------------------------------------------------------------------------------------


def best_first(key: Floats) -> Indices:
    """Return the places of the highest keys first; nan is never taken, ties go to the earlier place."""
    order = np.argsort(-key, kind="stable").astype(np.int64)  # nan sorts last
    return order[: int(np.count_nonzero(~np.isnan(key)))]


def conviction(candidates: Candidates) -> Floats:
    """Return (n,) how convincing each candidate is. What an older version scored has only the product."""
    return np.where(np.isnan(candidates.conviction), candidates.scores, candidates.conviction)


def _control_conviction(candidates: Candidates) -> Floats:
    return np.where(np.isnan(candidates.control_conviction), candidates.control, candidates.control_conviction)


def _entropy_draw(candidates: Candidates, rng: np.random.Generator, *_: object) -> Indices:
    chance = candidates.chance
    if np.isnan(chance).any():  # nobody drew: the draw does not depend on the candidates' order
        chance = np.empty(len(candidates))
        chance[np.argsort(candidates.solutions, kind="stable")] = 1 - rng.random(len(candidates))
    with np.errstate(divide="ignore"):
        return best_first(np.where(candidates.entropy > 0, candidates.entropy / -np.log(chance), np.nan))


def _uncertain(candidates: Candidates, *_: object) -> Indices:
    confidence, deviation = np.nan_to_num(candidates.confidence, nan=1.0), np.nan_to_num(candidates.deviation, nan=0.0)
    order = np.lexsort((-deviation, confidence)).astype(np.int64)
    return order[((confidence < CONFIDENT) | (deviation > STEADY))[order]]


def _disagreement(candidates: Candidates, *_: object) -> Indices:
    is_doubted = (candidates.outcomes == RIGHT) & (candidates.scores < DOUBTED)
    # How far the PRM's score lies from the ORM's or the majority's, whichever is further; nan where neither is known.
    gap = np.fmax(abs(candidates.scores - candidates.orm), abs(candidates.scores - candidates.majority))
    return best_first(np.where(is_doubted, 2 - candidates.scores, gap))  # the doubted: above 1.5; a gap is at most 1


def _uniform(candidates: Candidates, rng: np.random.Generator, _: int) -> Indices:
    by_solution = np.argsort(candidates.solutions, kind="stable").astype(np.int64)  # the draw does not depend on the candidates' order
    return rng.permutation(by_solution[candidates.drawn[by_solution]])


# --- reasons ------------------------------------------------------------------------------------------------------------------

# A replay compares these sentences with the ones that a round wrote: other words would make old rounds differ.
_DOUBTED_RIGHT = "A right answer whose reasoning the model doubts"
_ANSWER = {RIGHT: "A right answer", UNKNOWN: "An answer not known to be right or wrong"}


def scored(candidate: Candidate) -> str:
    """Write the score of a candidate as the end of a sentence."""
    return "not scored" if math.isnan(candidate.score) else f"scored {candidate.score:.2f}"


def convinces(candidate: Candidate) -> str:
    """Write how convincing a candidate is as the end of a sentence."""
    if math.isnan(candidate.conviction):
        return scored(candidate)
    usual = candidate.per_step - candidate.conviction
    compared = f", {_gap(candidate.conviction)} what is usual for its problem" if usual > 1e-4 else ""  # nothing to compare with: 0
    return f"{candidate.per_step:.2f} a step{compared}; {scored(candidate)} in all"


def _gap(difference: float) -> str:
    return f"{abs(difference):.2f} {'below' if difference < 0 else 'above'}"


def _why_control(candidate: Candidate) -> str:
    sentence = f"A wrong answer that convinces the frozen control model: scored {candidate.control:.2f} by it"
    if math.isnan(candidate.control_conviction):
        return f"{sentence}."
    return f"{sentence} in all, and for each step {_gap(candidate.control_conviction)} what is usual for its problem."


def _why_uncertain(candidate: Candidate) -> str:
    causes = []
    if candidate.confidence < CONFIDENT:
        causes.append(f"a step judged with a confidence of {candidate.confidence:.3f} (below {CONFIDENT})")
    if candidate.deviation > STEADY:
        causes.append(f"a step on which the heads differ by {candidate.deviation:.4f} (above {STEADY})")
    return f"The model is unsure: {' and '.join(causes)}."


def _why_disagreement(candidate: Candidate) -> str:
    if candidate.outcome == RIGHT and candidate.score < DOUBTED:
        return f"{_DOUBTED_RIGHT}: {scored(candidate)}."
    others = [("ORM", candidate.orm), ("majority", candidate.majority)]
    judgements = [f"{judge} {value:.2f}" for judge, value in others if not math.isnan(value)]
    return f"Judgements differ: PRM {candidate.score:.2f}, {', '.join(judgements)}."


# --- empty pools --------------------------------------------------------------------------------------------------------------


def _no_wrong_answer(pool: EmptyPool) -> str:
    if not pool.n_wrong:
        return (
            f"{pool.project} has {counted(pool.n_solutions, 'solution')}, and none has a wrong answer. "
            "Load problems with answers, or more solutions."
        )
    return f"Every solution of {pool.project} with a wrong answer has been queued already. Load more solutions."


def _no_heads(pool: EmptyPool) -> str:
    if pool.has_confidence:
        return ""
    return f"Model {pool.model} of {pool.project} has no uncertainty heads. Train one with heads, or choose entropy."


def _no_states(pool: EmptyPool) -> str:
    return (
        f"Every solution of {pool.project} has been queued already, or no step of it lies within the context of the model. Load more "
        "solutions, or shorter ones."
    )


def _no_change(pool: EmptyPool) -> str:
    if pool.has_change:
        return ""
    return (
        f"Model {pool.model} of {pool.project} has no head above a frozen base, so no change of it is known. "
        "Train one with `--preset frozen`, or choose entropy."
    )


def _no_margin(pool: EmptyPool) -> str:
    if pool.has_margin:
        return ""
    return (
        f"Model {pool.model} of {pool.project} scored in an earlier release, which kept no margin. "
        "Start a round that trains a model, or choose entropy."
    )


def _no_control(pool: EmptyPool) -> str:
    return f"The frozen control model of {pool.project} has scored no wrong answer that is still free. Choose another strategy."


# --- the strategies -----------------------------------------------------------------------------------------------------------

# Scores of older versions have the product only, and nothing to compare it with.
_CONVICTION = f"coalesce(s.per_step - {USUAL.format(means='m', version='version')}, s.score) DESC"
CONVINCING = Strategy(
    name="convincing",
    label="Convincing wrong answers",
    picks="wrong answers that the model believes most, step by step and compared with other solutions of their problem",
    needs=frozenset({Need.MODEL}),
    order=lambda candidates, *_: best_first(np.where(candidates.outcomes == WRONG, conviction(candidates), np.nan)),
    shortlists=(Shortlist(_CONVICTION, "s.outcome = 'wrong'", is_indexed=True, joins_means=True),),
    why=lambda candidate: f"A wrong answer that convinces the model: {convinces(candidate)}.",
    why_empty=_no_wrong_answer,
    premise=lambda reason: "wrong",
)
REST = Strategy(
    name="convincing_rest",
    label="Other convincing solutions",
    picks="solutions without a wrong answer that the model believes most",
    needs=frozenset({Need.MODEL}),
    order=lambda candidates, *_: best_first(np.where(candidates.outcomes != WRONG, conviction(candidates), np.nan)),
    shortlists=(Shortlist(_CONVICTION, "s.outcome <> 'wrong'", joins_means=True),),
    why=lambda candidate: f"{_ANSWER[candidate.outcome]} that convinces the model: {convinces(candidate)}.",
    premise=lambda reason: "not_wrong",
)
ALL = Strategy(
    name="convincing_all",
    label="Most convincing of all",
    picks="solutions that the model believes most, whatever their answer",
    needs=frozenset({Need.MODEL}),
    order=lambda candidates, *_: best_first(conviction(candidates)),
    shortlists=(Shortlist(_CONVICTION, joins_means=True),),
    why=lambda candidate: f"A solution that convinces the model, whatever its answer: {convinces(candidate)}.",
    note="In a mix it takes what the other parts leave.",
)
ENTROPY = Strategy(
    name="entropy",
    label="Unclear first mistake",
    picks="solutions where the model is least sure which step is the first mistake",
    needs=frozenset({Need.MODEL}),
    order=lambda candidates, *_: best_first(candidates.entropy),
    shortlists=(Shortlist("s.entropy DESC", "s.entropy IS NOT NULL"),),
    why=lambda candidate: f"The model is unsure where its first mistake is: entropy {candidate.entropy:.2f} nats, {scored(candidate)}.",
)
ENTROPY_DRAW = Strategy(
    name="entropy_draw",
    label="Unclear first mistake, by chance",
    picks="solutions drawn at random, the likelier the less sure the model is which step is the first mistake",
    needs=frozenset({Need.MODEL}),
    order=_entropy_draw,
    # Exponential draws over the entropies: the least one is of each solution in proportion to its entropy.
    shortlists=(Shortlist(f"s.entropy / -ln({CHANCE.format(solution='s.solution_id')}) DESC", "s.entropy > 0"),),
    why=lambda candidate: f"Drawn by how unsure the model is where its first mistake is: entropy {candidate.entropy:.2f} nats.",
)
MARGIN = Strategy(
    name="margin",
    label="Two places for the first mistake",
    picks="solutions where the model finds two places of the first mistake almost equally likely",
    needs=frozenset({Need.MODEL}),
    order=lambda candidates, *_: best_first(-candidates.margin),
    shortlists=(Shortlist("s.margin", "s.margin IS NOT NULL"),),
    why=lambda candidate: f"The two likeliest places of its first mistake differ by {candidate.margin:.2f}, {scored(candidate)}.",
    why_empty=_no_margin,
)
CHANGE = Strategy(
    name="change",
    label="Largest expected change",
    picks="solutions whose labels are expected to change the model's head most",
    needs=frozenset({Need.MODEL, Need.CHANGE}),
    order=lambda candidates, *_: best_first(candidates.change),
    shortlists=(Shortlist("s.change DESC", "s.change IS NOT NULL"),),
    why=lambda candidate: f"Its labels are expected to change the model's head by {candidate.change:.2f}, {scored(candidate)}.",
    why_empty=_no_change,
    note="Needs a model above a frozen base.",
)
UNCERTAIN = Strategy(
    name="uncertain",
    label="Uncertain steps",
    picks="solutions with a step about which the model's uncertainty heads are unsure or disagree",
    needs=frozenset({Need.MODEL, Need.HEADS}),
    order=_uncertain,
    shortlists=(
        Shortlist("coalesce(s.confidence, 1), coalesce(s.deviation, 0) DESC", f"(s.confidence < {CONFIDENT} OR s.deviation > {STEADY})"),
    ),
    why=_why_uncertain,
    why_empty=_no_heads,
    note="Needs a model with uncertainty heads.",
)
DISAGREEMENT = Strategy(
    name="disagreement",
    label="Judges disagree",
    picks="right answers with doubtful steps, then solutions on which PRM, ORM and majority differ most",
    needs=frozenset({Need.MODEL, Need.ORM, Need.MAJORITY}),
    order=_disagreement,
    shortlists=(
        Shortlist("s.score", f"s.outcome = 'correct' AND s.score < {DOUBTED}"),
        # A gap to the majority can be no wider than the score's own way to the far end.
        Shortlist(f"abs(s.score - {DOUBTED}) DESC", is_enough=True),
        Shortlist("abs(s.score - o.score) DESC", joins_orm=True),
    ),
    why=_why_disagreement,
    note="Reads the serving ORM too, if there is one.",
    premise=lambda reason: "correct" if reason.startswith(_DOUBTED_RIGHT) else "",
)
UNIFORM = Strategy(
    name="uniform",
    label="At random",
    picks="solutions drawn at random, without a model",
    needs=frozenset(),
    order=_uniform,
    shortlists=(Shortlist("hashint8extended(s.solution_id, %(seed)s)"),),
    why=lambda candidate: f"Drawn at random ({scored(candidate)}).",
    is_draw=True,
)
CONTROL = Strategy(
    name="control",
    label="Control model's choice",
    picks="wrong answers that the frozen control model believes most",
    needs=frozenset({Need.MODEL, Need.CONTROL}),
    order=lambda candidates, *_: best_first(np.where(candidates.outcomes == WRONG, _control_conviction(candidates), np.nan)),
    shortlists=CONVINCING.shortlists,
    why=_why_control,
    why_empty=_no_control,
    premise=lambda reason: "wrong",
    note="The control model is the one that chose the first batch. Until there is one, the serving model chooses.",
)


def _by_states(
    name: str, label: str, picks: str, order: Callable[[Candidates, np.random.Generator, int], Indices], *, why: str
) -> Strategy:
    return Strategy(
        name=name,
        label=label,
        picks=picks,
        needs=frozenset({Need.MODEL, Need.STATES}),
        order=order,
        shortlists=(),
        why=lambda candidate: f"{why} ({scored(candidate)}).",
        why_empty=_no_states,
        note="Needs a model with a frozen base. It is not shown to be better than at random.",
    )


TYPICAL = _by_states(
    "typical",
    "Typical solutions",
    "solutions with the most others like them, from groups without labels first",
    covering.typical,
    why="It is typical of solutions without labels",
)
COVERING = _by_states(
    "covering",
    "Solutions that cover others",
    "solutions with the most near ones that no labeled solution is near",
    covering.covering,
    why="Many solutions near it have no label near them",
)
HERDING = _by_states(
    "herding",
    "Solutions that stand for many",
    "solutions that make all others most similar to a labeled one",
    covering.herding,
    why="It resembles many solutions that no labeled one resembles",
)
DIVERSE = _by_states(
    "diverse",
    "Unlike those labeled",
    "solutions that resemble those labeled before least",
    covering.diverse,
    why="It is unlike those labeled before",
)
SWITCH = replace(
    TYPICAL,
    name="typical_first",
    label="Typical first, unclear later",
    picks="typical solutions until the model is clearly better than the base rate, then those whose first mistake is unclear",
)
STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        CONVINCING,
        ALL,
        REST,
        ENTROPY,
        ENTROPY_DRAW,
        MARGIN,
        CHANGE,
        UNCERTAIN,
        DISAGREEMENT,
        UNIFORM,
        TYPICAL,
        COVERING,
        HERDING,
        DIVERSE,
        SWITCH,
        CONTROL,
    )
}


def premise_of(part: str, reason: str) -> str:
    """Return which outcome the choice of a solution took for granted; empty: none."""
    strategy = STRATEGIES.get(part)
    return strategy.premise(reason) if strategy else ""
