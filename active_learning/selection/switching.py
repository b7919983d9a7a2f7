"""The switch: typical solutions while a model has learned little, and those that it is unsure about later. PURE.

Two stages as in TCM (Doucet et al., *Bridging Diversity and Uncertainty in Active Learning*, 2024, arXiv 2403.03728). The paper switches
after a number of labels; here a measured figure decides.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from active_learning.selection.recipes import Recipe
from active_learning.selection.strategies import ENTROPY, SWITCH, TYPICAL


@dataclass(frozen=True, slots=True)
class Decision:
    """Which strategy the switch stands for, a sentence that says why, and the figures that decided."""

    takes: str
    sentence: str
    log_loss: float | None = None
    base_rate_log_loss: float | None = None
    low: float | None = None  # of the difference of the two, 95 %
    high: float | None = None
    n_problems: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def decided(number: int | None, metrics: Mapping[str, Any]) -> Decision:
    """Decide by the figures of the model that serves (its number; None: none serves).

    Uncertainty counts from the moment at which the log-loss on held-out problems is below that of the base rate with its whole interval.
    """
    if number is None:
        return Decision(TYPICAL.name, "Typical solutions are taken: no model serves yet.")
    if "over_base_rate" not in metrics:
        why = f"model {number} was judged before its distance to the base rate was measured"
        return Decision(TYPICAL.name, f"Typical solutions are taken: {why}.")
    gain = metrics["over_base_rate"]
    loss, base, low, high = (gain.get(name) for name in ("challenger", "champion", "low", "high"))
    n = gain.get("n_problems", 0)
    if loss is None or base is None or low is None or high is None:
        why = f"too few held-out labels show whether model {number} is better than the base rate"
        return Decision(TYPICAL.name, f"Typical solutions are taken: {why}.", loss, base, low, high, n)
    is_apart = high < 0
    takes = "Solutions whose first mistake is unclear" if is_apart else "Typical solutions"
    sentence = (
        f"{takes} are taken: on {n:,} held-out problems the log-loss of model {number} is {loss:.3f}, which is "
        f"{'clearly' if is_apart else 'not clearly'} below the {base:.3f} of the base rate "
        f"(difference {loss - base:+.3f}, 95 % between {low:+.3f} and {high:+.3f})."
    )
    return Decision(ENTROPY.name if is_apart else TYPICAL.name, sentence, loss, base, low, high, n)


def has_switch(recipe: Recipe) -> bool:
    """Return whether a part of the recipe is the switch."""
    return any(name == SWITCH.name for name, _ in recipe.parts)


def switched(recipe: Recipe, takes: str) -> Recipe:
    """Return the recipe with the strategy `takes` in the place of the switch. One that is in the recipe already gets both weights."""
    weights: dict[str, float] = {}
    for name, weight in recipe.parts:
        name = takes if name == SWITCH.name else name
        weights[name] = weights.get(name, 0.0) + weight
    return replace(recipe, parts=tuple(weights.items()))
