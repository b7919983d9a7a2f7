"""Part of the experiment: its ready-made plans. Those of the full form are protocols: files that were fixed before the run."""

from active_learning.experiment import protocol
from active_learning.experiment.plan import UNIFORM, Plan
from active_learning.selection import ENTROPY, HALF_MIX, PAPER_MIX, STRATEGIES, Parts

MIX, HALF = "mix 80/20", "half convincing, half uniform"
ALL: dict[str, Parts] = {
    UNIFORM: ((UNIFORM, 1.0),),
    MIX: PAPER_MIX.parts,
    HALF: HALF_MIX.parts,
    ENTROPY.name: ((ENTROPY.name, 1.0),),
    **{name: ((name, 1.0),) for name in STRATEGIES if name in ("uncertain", "disagreement", "typical", "covering", "herding", "diverse")},
}
PROTOCOLS = {name: protocol.named(name) for name in ("able", "even")}
# A generator that is mostly right, with many solutions per problem, as in section 4 of the paper; and one that is wrong half of the time.
ABLE, EVEN = (one.plan for one in PROTOCOLS.values())
SHORT = ABLE.changed(strategies={arm: ABLE.strategies[arm] for arm in (UNIFORM, ABLE.shown)}, outcomes=False)
# The base of the quick form is the shipped one, because another one takes minutes to make. It knows the mistakes already.
QUICK = ABLE.changed(
    seeds=(1, 2),
    sizes=(10, 20),
    strategies={arm: ALL[arm] for arm in (UNIFORM, HALF)},
    shown=HALF,
    undrilled=None,
    n_problems=40,
    n_solutions=4,
    n_test_problems=20,
    n_test_solutions=8,
    n_best=4,
)
# The smallest form trains a model of width 8 from scratch. It shows in seconds that an experiment runs.
SMALLEST = Plan(
    seeds=(1, 2),
    sizes=(4, 8),
    strategies={arm: ALL[arm] for arm in (UNIFORM, MIX)},
    shown=MIX,
    n_start=14,
    n_problems=14,
    n_solutions=3,
    n_test_problems=6,
    n_test_solutions=4,
    n_best=2,
    skill=0.55,
    level=2,
    habits=ABLE.habits,
    epochs=1,
    outcome_epochs=1,
    learning_rate=3e-4,
    token_budget=512,
    shape={"layers": 1, "width": 8, "heads": 1, "feed_forward": 8, "merges": 20},
)
FORMS: dict[str, dict[str, Plan]] = {  # form -> name -> plan
    "smallest": {"smallest": SMALLEST},
    "quick": {"quick": QUICK},
    "short": {"able": SHORT},
    "full": {"able": ABLE, "even": EVEN},
}
