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
    n_judged: int
    n_resamples: int
    steps: tuple[str, str]  # rated steps of what was chosen, and of what was drawn
    auc: tuple[str, str]
    difference: str
    interval: str
    log_loss: tuple[str, str]
    verdict: str
    low: float | None  # of the interval that decides; None: nothing is decided yet
    obstacle: str

    @property
    def pays(self) -> bool:
        """Whether the whole interval that decides is above 0: labels that were chosen teach more."""
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
    def known(self) -> list[PayoffRow]:
        """The strategies with figures."""
        return [row for row in self.rows if not row.obstacle]

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
    decides = found.get("decides") or {}
    return PayoffRow(
        name,
        label_of(name),
        found["n_rounds"],
        found["n_each"],
        found["n_start"],
        found["n_problems"],
        found.get("n_judged", 0),
        found.get("n_resamples", 0),
        (_written(found["steps"].get("chosen"), "{:,.0f}"), _written(found["steps"].get("at_random"), "{:,.0f}")),
        (_written(auc.get("challenger"), "{:.3f}"), _written(auc.get("champion"), "{:.3f}")),
        signed(auc.get("difference")),
        f"{signed(auc.get('low'))} to {signed(auc.get('high'))}",
        (_written(loss.get("challenger"), "{:.3f}"), _written(loss.get("champion"), "{:.3f}")),
        _verdict(decides),
        decides.get("low"),
        found.get("obstacle", ""),
    )


def _verdict(decides: Mapping[str, float | None]) -> str:
    low, high = decides.get("low"), decides.get("high")
    if not decides:
        return "It takes three rounds with both kinds of labels before this decides anything."
    if low is None or high is None:
        return "The labels are of too few problems for an interval, so nothing is decided."
    ends = f"the interval that decides is {signed(low)} to {signed(high)}"
    if low > 0:
        return f"Choosing pays: {ends}."
    return f"Labels at random teach more: {ends}." if high < 0 else f"The rounds do not show yet which is better: {ends}."


def signed(value: float | None) -> str:
    """Write a difference with its sign; a dash if there is none."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def _written(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
