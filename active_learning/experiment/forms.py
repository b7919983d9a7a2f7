"""Part of the experiment: its ready-made plans. Their settings were chosen on other worlds (docs/experiment.md says how)."""

from active_learning.experiment.plan import UNIFORM, Plan
from active_learning.selection import DISAGREEMENT, ENTROPY, HALF_MIX, PAPER_MIX, UNCERTAIN, Parts

MIX, HALF = "mix 80/20", "half convincing, half uniform"
ALL: dict[str, Parts] = {
    UNIFORM: ((UNIFORM, 1.0),),
    HALF: HALF_MIX.parts,
    MIX: PAPER_MIX.parts,
    **{strategy.name: ((strategy.name, 1.0),) for strategy in (ENTROPY, DISAGREEMENT, UNCERTAIN)},
}
# The wrong answers of this generator agree more often than those of the demonstration, so majority voting is harder to beat. Most of its
# mistakes are wrong operations, which are easy to see. It also falls into traps that no program can imitate.
HABITS = {
    "weights": {
        "slip": 0.08, "copied_number": 0.04, "wrong_operation": 0.5, "skipped_condition": 0.15, "unit": 0.4, "misread_condition": 0.2,
        "other_question": 0.12,
    },
    "traps": ["misread_condition", "other_question", "skipped_condition", "unit"], "trap": 2.0,
}  # fmt: skip

# Three generators. The first is wrong half of the time.
FULL = Plan(
    seeds=(1, 2, 3),
    sizes=(20, 40, 80, 160),
    strategies=ALL,
    shown=HALF,
    n_start=40,
    per_problem=1,
    n_problems=250,
    n_solutions=8,
    n_test_problems=120,
    n_test_solutions=16,
    n_best=8,
    skill=0.55,
    level=2,
    habits=HABITS,
    epochs=5,
    outcome_epochs=5,
    learning_rate=3e-4,
    token_budget=512,
    uncertainty_heads=32,
)
# The second is mostly right, so its mistakes are rare. Every problem has more solutions, in the pool and in the test.
ABLE = FULL.changed(
    skill=0.8,
    world=47_000,
    test_world=46_999,
    n_start=60,
    sizes=(60, 120, 240, 480),
    n_problems=800,
    n_solutions=16,
    per_problem=2,
    n_test_problems=150,
    n_test_solutions=48,
    n_best=24,
    uncertainty_heads=0,
    strategies={arm: ALL[arm] for arm in (UNIFORM, HALF, MIX)},
    shown=MIX,
    outcomes=False,
)
# The third changes its last sum to reach the right answer, so one right answer in four hides wrong reasoning. It compares the kinds of
# outcome labels.
HIDDEN = FULL.changed(
    world=49_000,
    test_world=48_999,
    n_start=60,
    sizes=(40, 120, 240),
    n_test_problems=150,
    uncertainty_heads=0,
    habits={**HABITS, "mends": 1.0, "mends_within": 40},
    strategies={UNIFORM: ALL[UNIFORM]},
    shown=UNIFORM,
)
SHORT = ABLE.changed(sizes=(60, 240), strategies={arm: ALL[arm] for arm in (UNIFORM, HALF)}, shown=HALF)
QUICK = FULL.changed(
    seeds=(1, 2),
    sizes=(10, 20),
    strategies=SHORT.strategies,
    shown=HALF,
    n_start=20,
    n_problems=40,
    n_solutions=4,
    n_test_problems=20,
    n_test_solutions=8,
    n_best=4,
    uncertainty_heads=0,
)
# The smallest form trains a model of width 8 from scratch. It shows in seconds that an experiment runs.
SMALLEST = QUICK.changed(
    sizes=(4, 8),
    n_start=14,
    n_problems=14,
    n_solutions=3,
    n_test_problems=6,
    n_test_solutions=4,
    n_best=2,
    epochs=1,
    outcome_epochs=1,
    strategies={arm: ALL[arm] for arm in (UNIFORM, MIX)},
    shown=MIX,
    per_problem=None,
    shape={"layers": 1, "width": 8, "heads": 1, "feed_forward": 8, "merges": 20},
)
FORMS: dict[str, dict[str, Plan]] = {  # form -> name -> plan
    "smallest": {"smallest": SMALLEST},
    "quick": {"quick": QUICK},
    "short": {"able": SHORT},
    "full": {"full": FULL, "able": ABLE, "hidden": HIDDEN},
}
