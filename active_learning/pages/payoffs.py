"""What the page of a round and the composer say of chosen labels and labels at random: a table, and one sentence for each strategy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from active_learning import rounds
from active_learning.pages.rows import RoundRow, label_of
from active_learning.selection import CONTROL, UNIFORM
from annotation.models import Project
from trainer.counting import counted


@dataclass(frozen=True, slots=True)
class PayoffRow:
    """One strategy beside a draw at random. Figures in words; empty with an `obstacle`, the sentence why there are none."""

    name: str  # of the strategy
    label: str
    n_rounds: int
    n_each: int
    n_start: int
    n_problems: int
    steps: tuple[str, str]  # rated steps of what was chosen, and of what was drawn
    auc: tuple[str, str]
    difference: str
    interval: str
    log_loss: tuple[str, str]
    verdict: str
    low: float | None
    obstacle: str

    @property
    def pays(self) -> bool:
        """Whether the whole interval is above 0: labels that were chosen teach more."""
        return self.low is not None and self.low > 0

    @property
    def sentence(self) -> str:
        """What was found, in one or two sentences."""
        if self.obstacle:
            return f"{self.label}: {self.obstacle}"
        return (
            f"After {counted(self.n_rounds, 'round')}: labels chosen by “{self.label}” gave a step AUC of {self.auc[0]}, and as many at "
            f"random {self.auc[1]}; the difference is {self.difference} ({self.interval}). {self.verdict}"
        )


@dataclass(frozen=True, slots=True)
class Payoffs:
    """What the newest round that compared found out."""

    round_number: int
    rows: tuple[PayoffRow, ...]

    @property
    def best(self) -> PayoffRow | None:
        """The strategy of which it is most certain that it pays; None if that is so of none. The control is no choice for people."""
        sure = [row for row in self.rows if row.pays and row.name != CONTROL.name]
        return max(sure, key=lambda row: row.low or 0.0, default=None)


def payoffs_of(project: Project) -> Payoffs | None:
    """Return what the newest round of a project found out that could compare."""
    known = rounds.newest_payoff(project)
    return Payoffs(known.round_number, tuple(_row(name, found) for name, found in sorted(known.parts.items()))) if known else None


def has_control_group(row: RoundRow) -> bool:
    """Whether a round draws a part at random beside another part."""
    parts = {name for name, _ in row.recipe.parts} if row.recipe else set()
    return UNIFORM.name in parts and len(parts) > 1


def _row(name: str, found: Mapping[str, Any]) -> PayoffRow:
    auc, loss = (found["figures"].get(figure) or {} for figure in ("step_auc", "log_loss"))
    low, high = auc.get("low"), auc.get("high")
    verdict = (
        "Choosing pays: the whole interval is above 0."
        if low is not None and low > 0
        else "Labels at random teach more: the whole interval is below 0."
        if high is not None and high < 0
        else "The rounds do not show yet which is better."
    )
    return PayoffRow(
        name,
        label_of(name),
        found["n_rounds"],
        found["n_each"],
        found["n_start"],
        found["n_problems"],
        (_written(found["steps"].get("chosen"), "{:,.0f}"), _written(found["steps"].get("at_random"), "{:,.0f}")),
        (_written(auc.get("challenger"), "{:.3f}"), _written(auc.get("champion"), "{:.3f}")),
        signed(auc.get("difference")),
        f"{signed(low)} to {signed(high)}",
        (_written(loss.get("challenger"), "{:.3f}"), _written(loss.get("champion"), "{:.3f}")),
        verdict,
        low,
        found.get("obstacle", ""),
    )


def signed(value: float | None) -> str:
    """Write a difference with its sign; a dash if there is none."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def _written(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
