"""What the splits say: gains over uniform labels, what uniform labels teach, their intervals, and whether an arm reaches the criterion.

An undefined figure (nan, such as a first-mistake F1 where no solution is right) leaves its split out of that figure, in pairs. Where that
happens, `splits_without` says how many splits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.hidden_labels.splits import CHECKED, Floats, Kept, LabeledSet

FIGURES = ("auc", "f1", "log_loss")
GRID = 60  # places at which a curve is read for its area


class Curves:
    """The figures of all splits of one set: by arm an array (splits, sizes, 6); several draws of uniform become their mean."""

    def __init__(self, files: Sequence[Path], sizes: Sequence[int], arms: Sequence[str]) -> None:
        self.sizes, self.splits = np.array(sizes, np.float64), [dict(np.load(path)) for path in files]
        self.of: dict[str, Floats] = {}
        for arm in ("uniform", *arms):
            draws = [key for key in self.splits[0] if key.startswith(f"{arm}#") and not key.endswith("_negative")]
            self.of[arm] = np.stack([np.mean([split[key] for key in draws], axis=0) for split in self.splits])

    def gains(self, arm: str, figure: int, *, by_steps: bool) -> Floats:
        """Return (splits, 1 + shown) differences to uniform: of the area, then at each size; higher is better for log-loss too."""
        sign = -1.0 if FIGURES[figure] == "log_loss" else 1.0
        found = []
        for mine, other in zip(self.of[arm], self.of["uniform"], strict=True):
            places, others = (np.log(curve[:, 3] if by_steps else self.sizes) for curve in (mine, other))
            low, high = max(places[0], others[0]), min(places[-1], others[-1])
            at = np.linspace(low, high, GRID) if high > low else np.array([low])
            shown = [float(np.interp(np.log(size), np.log(self.sizes), others)) for size in self.shown]
            read = [np.interp(where, x, y[:, figure]) for where in (at, np.array(shown)) for x, y in ((places, mine), (others, other))]
            found.append([read[0].mean() - read[1].mean(), *(read[2] - read[3])])
        return sign * np.array(found)

    @property
    def shown(self) -> list[int]:
        return [size for size in CHECKED if size in self.sizes] or [int(self.sizes[-1])]


def corrected(values: Floats, *, held_out: float) -> dict[str, float]:
    """Return the mean of values (splits,) with its 95 % interval after Nadeau and Bengio (*Inference for the Generalization Error*,
    Machine Learning 52, 2003): splits of one data set overlap, so their variance is not divided by their number alone.

    It tells what other splits of the same solutions would give. With fewer than two defined values there is no interval.
    """
    from active_learning.experiment.curves import student  # a package that needs Django set up

    known = values[np.isfinite(values)]
    n = len(known)
    mean = float(known.mean()) if n else float("nan")
    spread = float(known.std(ddof=1)) if n > 1 else float("nan")
    half = student(n - 1) * spread * (1 / n + held_out / (1 - held_out)) ** 0.5 if n > 1 else float("nan")
    found = {"gain": mean, "low": mean - half, "high": mean + half, "plain_error": spread / n**0.5 if n > 1 else float("nan")}
    return found | ({"splits_without": len(values) - n} if n < len(values) else {})


def weighted_auc(scores: NDArray[np.float32], negative: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the AUC under each row of weights (B, N): how often a negative step scores higher than another; ties count half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.float32(-1)))
    sums = [np.add.reduceat(weights[:, order] * side[order], starts, axis=1) for side in (negative, ~negative)]
    below = np.cumsum(sums[1], axis=1) - 0.5 * sums[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (sums[0] * below).sum(1) / (sums[0].sum(1) * sums[1].sum(1))
    return found


def bootstrapped(curves: Curves, arms: Sequence[str], *, n_problems: int, times: int, seed: int) -> dict[str, Floats]:
    """Return for each arm (times,) gains in area over solutions, for all of `all`, and the AUC at each size of uniform.

    Problems get Poisson weights and splits are drawn again, both at once (Owen, *The pigeonhole bootstrap*, 2007). A split whose weighted
    steps are all of one class has no AUC, whatever the arm: it does not count in that draw.
    """
    rng = np.random.default_rng(seed)
    weights = rng.poisson(1.0, (times, n_problems)).astype(np.float64)
    drawn = rng.multinomial(len(curves.splits), np.full(len(curves.splits), 1 / len(curves.splits)), times) / len(curves.splits)
    grid = np.linspace(np.log(curves.sizes[0]), np.log(curves.sizes[-1]), GRID)
    share = np.array([np.interp(grid, np.log(curves.sizes), unit) for unit in np.eye(len(curves.sizes))]).mean(1)  # of each size in an area
    names = ["uniform", *arms]
    sums = {name: np.zeros((times, len(curves.sizes))) for name in names} | {"all": np.zeros((times, 1))}
    counted = np.zeros((times, 1))
    for number, split in enumerate(curves.splits):
        mine, negative, own = weights[:, split["problem"]], split["is_negative"], drawn[:, number : number + 1]
        whole = weighted_auc(split["all_negative"], negative, mine)[:, None]
        own = own * np.isfinite(whole)
        counted += own
        sums["all"] += own * np.nan_to_num(whole)
        for name in names:
            draws = [split[key] for key in split if key.startswith(f"{name}#") and key.endswith("_negative")]
            for scores in draws:
                found = np.stack([weighted_auc(at, negative, mine) for at in scores], 1)
                sums[name] += own * np.nan_to_num(found) / len(draws)
    with np.errstate(invalid="ignore"):
        sums = {name: found / counted for name, found in sums.items()}
    gains = {arm: (sums[arm] - sums["uniform"]) @ share for arm in arms}
    return gains | {"sizes": sums["uniform"], "all labels": sums["all"][:, 0]}


def rounded(value: Any) -> Any:
    """Round every number in plain values to four places; nan becomes null."""
    if isinstance(value, Mapping):
        return {key: rounded(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(own) for own in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if np.isfinite(value) else None
    return value


def between(draws: Floats) -> dict[str, float]:
    """Return the middle 95 % of draws."""
    known = draws[np.isfinite(draws)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return {"bootstrap_low": float(low), "bootstrap_high": float(high)}


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the figures of the splits are, and how to read them."""

    kept: Kept
    protocol: Mapping[str, Any]
    times: int  # bootstrap

    def curves(self, name: str, seeds: Sequence[int], arms: Sequence[str]) -> Curves:
        return Curves([self.kept.path(name, seed) for seed in seeds], self.protocol["sizes"], arms)

    def interval(self, differences: Floats) -> dict[str, float]:
        return corrected(differences, held_out=self.protocol["held_out"])

    def table(self, labeled: LabeledSet, seeds: Sequence[int], arms: Sequence[str]) -> dict[str, Any]:
        """Return all figures of some arms on some splits."""
        found = self.curves(labeled.name, seeds, arms)
        draws = bootstrapped(found, arms, n_problems=labeled.n_problems, times=self.times, seed=1)
        rows: dict[str, Any] = {}
        for arm in arms:
            row: dict[str, Any] = {"splits": len(seeds)}
            for by_steps, axis in ((False, "solutions"), (True, "steps")):
                for number, figure in enumerate(FIGURES):
                    gains = found.gains(arm, number, by_steps=by_steps)
                    row[f"{figure}_over_{axis}"] = self.interval(gains[:, 0]) | {
                        f"at_{size}": self.interval(gains[:, 1 + place]) for place, size in enumerate(found.shown)
                    }
            row["auc_over_solutions"] |= between(draws[arm])
            row["splits_ahead"] = int((found.gains(arm, 0, by_steps=False)[:, 0] > 0).sum())
            row["steps_per_solution"] = float(found.of[arm][:, -1, 3].mean() / found.sizes[-1])
            row["share_with_a_mistake"] = float(found.of[arm][:, -1, 4].mean())
            row["filled_at_random"] = float(found.of[arm][:, -1, 5].mean())
            rows[arm] = row
        return rows

    def best(self, labeled: LabeledSet, seeds: Sequence[int], arms: Sequence[str]) -> str:
        """Return the arm with the largest gain in area over solutions on these splits."""
        found = self.curves(labeled.name, seeds, arms)
        gains = {arm: self.interval(found.gains(arm, 0, by_steps=False)[:, 0])["gain"] for arm in arms}
        return max(arms, key=lambda arm: gains[arm] if np.isfinite(gains[arm]) else -np.inf)

    def taught(self, labeled: LabeledSet, seeds: Sequence[int]) -> dict[str, Any]:
        """Return what uniform labels teach: the figures at each size and with all labels, beside those without a label."""
        found, sizes = self.curves(labeled.name, seeds, ()), self.protocol["sizes"]
        draws = bootstrapped(found, (), n_problems=labeled.n_problems, times=self.times, seed=1)
        whole = np.stack([split["all"] for split in found.splits])[:, None]  # (splits, 1, 6)
        curve = np.concatenate([found.of["uniform"], whole], 1)
        bands = np.concatenate([draws["sizes"], draws["all labels"][:, None]], 1)
        position, base_rate = np.array([split["alone"] for split in found.splits]).T
        told: dict[str, Any] = {}
        for place, size in enumerate([*map(str, sizes), "all"]):
            told[size] = self.level(curve[:, place, 0], "auc") | between(bands[:, place])
            told[size] |= {"f1": self.level(curve[:, place, 1], "f1"), "log_loss": self.level(curve[:, place, 2], "log_loss")}
            told[size] |= {"below_base_rate": self.interval(base_rate - curve[:, place, 2])}
            told[size] |= {"above_position": self.interval(curve[:, place, 0] - position)}
            told[size] |= {"rated_steps": float(curve[:, place, 3].mean())}
        first = found.shown[0]
        rise = bands[:, -1] - bands[:, sizes.index(first)]
        risen = {"from": first, **self.interval(curve[:, -1, 0] - curve[:, sizes.index(first), 0]), **between(rise)}
        at = np.linspace(np.log(sizes[0]), np.log(sizes[-1]), GRID)
        areas = np.array([np.interp(at, np.log(sizes), own).mean() for own in found.of["uniform"][:, :, 0]])
        return {
            "splits": len(seeds), "pool": float(np.mean([split["pool"] for split in found.splits])), "auc_all": told["all"]["auc"],
            "auc_none": self.interval(position)["gain"], "base_rate_log_loss": self.interval(base_rate)["gain"], "uniform": told,
            "risen": risen, "area_of_uniform": self.interval(areas)["gain"],
        }  # fmt: skip

    def level(self, values: Floats, name: str) -> dict[str, float]:
        """Return a figure itself, not a difference, with its interval."""
        row = self.interval(values)
        return {name: row.pop("gain"), **row}


def about(labeled: LabeledSet) -> dict[str, Any]:
    """Return the size of a set."""
    n_rated = int((labeled.classes >= 0).sum())
    return {
        "n_solutions": len(labeled.solutions), "n_problems": labeled.n_problems, "n_steps": len(labeled.own),
        "n_rated": n_rated, "share_negative": float((labeled.classes == 0).sum() / n_rated),
    }  # fmt: skip


def reaching(sets: Mapping[str, Any]) -> list[str]:
    """Return the arms that the criterion of the protocol holds for, on the splits that nothing was picked on."""
    tables = [own["told"] for own in sets.values()]

    def lows(arm: str, axis: str) -> list[float]:
        found = [table[arm][f"auc_over_{axis}"]["low"] for table in tables]
        return [-1.0 if low is None else low for low in found]

    axes = ("solutions", "steps")
    return [arm for arm in tables[0] if all(max(lows(arm, axis)) > 0 and min(lows(arm, axis)) >= 0 for axis in axes)]
