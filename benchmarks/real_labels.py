"""Figure: what labels teach on real labels, and whether a way of choosing teaches more than a draw at random.

Hides the human labels of two sets, reveals them solution by solution, and fits heads on the states of a frozen base again at each size:
(i) `prm800k`, the distinct labeled paths of PRM800K, at most 6 of a problem; (ii) `processbench`, 1,400 whole solutions of ProcessBench.
A third of the problems is held out in each split. Sizes, arms, splits and figures stand in benchmarks/real_labels.json, whose SHA-256 is
printed.

`--full`: all arms on splits 100 to 129 (`arms`), which pick the best one; splits 130 to 159 say what it and the arm named beforehand gain
(`told`), so that picking is not counted as gain. Otherwise a few arms on the last 30 splits, and nothing is picked: `best` is the named
arm. For each set: `auc_all` with all labels of the pool, `auc_none` with none (the AUC of the step's place alone: without a label there is
no head), `best`, and of it `gain`, `low` and `high`: the difference to uniform in the area under the curve of AUC. `ratio` is the best
arm's area over that of uniform. `--smoke`: four splits and two sizes, figures without meaning. The data is read from $STEPMARK_DATA
(default ../shared/data). States are kept in a cache, as by `python -m trainer train --frozen`.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# One thread: the products are small, and a second thread that waits for its turn costs four times the work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from active_learning.selection import Candidates
    from trainer.data import LabeledSolution
    from trainer.frozen_heads import FrozenHeads

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEPMARK_DATA") or ROOT.parent / "shared" / "data")
PROTOCOL = Path(__file__).with_suffix(".json")
FIGURES = ("auc", "f1", "log_loss")
ENSEMBLE = 8  # heads of an arm that reads how sure they are
BOOTSTRAP = 500
SHOWN = (20, 60, 180)  # sizes at which gains are listed
T_975 = {1: 12.706, 3: 3.182, 29: 2.045, 59: 2.001}  # by degrees of freedom
GRID = 60  # places at which a curve is read for its area

DOUBTFUL = 0.5  # p(negative) from which a step is taken for the first mistake

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


class NothingToRead(Exception):
    """Data or base is missing; the message says what to do."""


# --- data ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LabeledSet:
    """Solutions with ratings and the states of their steps. Rows of `states` belong to steps; `own` says of which solution."""

    name: str
    solutions: "list[LabeledSolution]"
    outcomes: NDArray[np.int8]  # 0: the final answer is wrong, 1: right
    problems: NDArray[np.int64]
    states: NDArray[np.float16]
    own: NDArray[np.int64]
    place: NDArray[np.int64]  # of a step in its solution
    classes: NDArray[np.int64]  # 0, 1, 2, or -1 for a step without a rating


def prm800k_paths(path: Path, *, most: int) -> "list[tuple[LabeledSolution, bool]]":
    """Read the distinct paths, at most so many of a problem, each with whether it has no mistake."""
    from trainer.data import LabeledSolution, SolutionText

    seen: set[tuple[str, tuple[str, ...]]] = set()
    of_problem: dict[str, int] = {}
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        key = row["problem"], tuple(step["text"] for step in row["steps"])
        if key in seen or of_problem.get(row["problem"], 0) >= most:
            seen.add(key)
            continue
        seen.add(key)
        of_problem[row["problem"]] = of_problem.get(row["problem"], 0) + 1
        labeled = LabeledSolution(SolutionText(f"path {number}", row["problem"], *key), tuple(s["rating"] for s in row["steps"]))
        found.append((labeled, labeled.first_mistake is None))
    return found


def processbench_solutions(paths: Sequence[Path]) -> "list[tuple[LabeledSolution, bool]]":
    """Read whole solutions, each with whether its final answer is right."""
    from trainer.lines import read_solution_lines

    lines = [line for path in paths for line in read_solution_lines(path, format="processbench")]
    return [(line.labeled, bool(line.right)) for line in lines]


def with_states(name: str, rows: "list[tuple[LabeledSolution, bool]]", *, base: str, layers: Sequence[int], cache: Path) -> LabeledSet:
    """Read the states of all steps as the trainer does, from its cache where they are."""
    from trainer.data import encode
    from trainer.model import load_frozen_base
    from trainer.prefix import Reader
    from trainer.score import suitable_budget

    model = load_frozen_base(base, context=2048, layers=layers).keeping_states(cache)
    encoded = encode([labeled.solution for labeled, _ in rows], tokenizer=model.tokenizer, context=model.context)
    reader, began, done = Reader(model, token_budget=suitable_budget(model)), time.monotonic(), 0
    found: dict[int, NDArray[np.float16]] = {}
    with torch.inference_mode():
        for places, states in reader.step_end_states(encoded, [labeled.solution.problem_key for labeled, _ in rows]):
            counts = np.cumsum([len(encoded[place].step_ends) for place in places])[:-1]
            found |= dict(zip(places.tolist(), np.split(states.half().cpu().numpy(), counts), strict=True))
            done += len(places)
            if time.monotonic() - began > 20:
                print(f"{name}: states of {done} of {len(rows)} solutions", file=sys.stderr)
                began = time.monotonic()
    kept = [place for place in range(len(rows)) if place in found]
    labeled = [rows[place][0] for place in kept]
    lengths = [len(found[place]) for place in kept]
    classes = [
        (-1 if rating is None else rating + 1)
        for one, length in zip(labeled, lengths, strict=True)
        for rating in (*one.supervised, *[None] * length)[:length]
    ]
    numbers = {key: number for number, key in enumerate(sorted({one.solution.problem_key for one in labeled}))}
    return LabeledSet(
        name, labeled, np.array([rows[place][1] for place in kept], np.int8),
        np.array([numbers[one.solution.problem_key] for one in labeled]), np.concatenate([found[place] for place in kept]),
        np.repeat(np.arange(len(kept)), lengths), np.concatenate([np.arange(length) for length in lengths]), np.array(classes),
    )  # fmt: skip


# --- one split ----------------------------------------------------------------------------------------------------------------


class Split:
    """A set with a third of its problems held out, the states as components found on the pool, and what is judged."""

    def __init__(self, labeled: LabeledSet, *, seed: int, protocol: Mapping[str, Any]) -> None:
        from active_learning.selection import reduced_states, state_of_solution
        from trainer.frozen_heads import principal

        self.labeled, self.seed, self.protocol = labeled, seed, protocol
        n_problems = int(labeled.problems.max()) + 1
        order = np.random.default_rng([17, seed]).permutation(n_problems)
        held_out = np.isin(labeled.problems, order[: round(n_problems * protocol["held_out"])])
        self.pool, self.test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        # Without labels, and once for all arms. The trainer finds them from the labeled solutions alone, which takes a second each time.
        mean, projection, _ = principal(labeled.states[np.isin(labeled.own, self.pool)], seed=seed)
        self.components = (torch.from_numpy(labeled.states).double() - mean) @ projection
        rows = [np.flatnonzero(labeled.own == solution) for solution in self.pool]
        own = np.stack([state_of_solution(labeled.states[mine]) for mine in rows])
        self.points = reduced_states(own, own[:0])[0].astype(np.float16)
        self.rows = rows
        self.judged = np.flatnonzero(np.isin(labeled.own, self.test) & (labeled.classes >= 0))
        self.test_rows = np.flatnonzero(np.isin(labeled.own, self.test))

    def rated(self, chosen: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows of the rated steps of solutions of the pool."""
        return np.flatnonzero(np.isin(self.labeled.own, self.pool[list(chosen)]) & (self.labeled.classes >= 0))

    def heads(self, chosen: Sequence[int], *, n_ensemble: int) -> "FrozenHeads":
        """Fit linear heads with the penalty of the protocol, on components; the ensemble by bootstrap over problems, as the trainer."""
        from trainer.data import bootstrap
        from trainer.frozen_heads import FrozenHeads, Kind, fit_heads

        rows = self.rated(chosen)
        places = self.components[torch.from_numpy(rows)]
        targets = torch.eye(3, dtype=torch.float64)[torch.from_numpy(self.labeled.classes[rows])]
        weights = np.ones((1 + n_ensemble, len(rows)))
        if n_ensemble:
            problems = self.labeled.problems[self.labeled.own[rows]]
            for problem in np.unique(problems):
                weights[1:, problems == problem] = bootstrap(str(problem), n_heads=n_ensemble, seed=self.seed)[:, None]
        kind = Kind("linear", float(self.protocol["penalty"]))
        weight, bias, *_ = fit_heads(places, targets, torch.from_numpy(weights), [kind], kind="prm", seed=self.seed)
        width = places.shape[1]
        parts = {"mean": torch.zeros(width), "projection": torch.eye(width), "weight": weight, "bias": bias}
        return FrozenHeads({name: value.float() for name, value in parts.items()})

    def probabilities(self, heads: "FrozenHeads", rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the probabilities (N, 3) of some steps."""
        found: NDArray[np.float32] = heads.log_probabilities(self.components[torch.from_numpy(rows)], kind="prm").exp().numpy()
        return found

    def figures(self, heads: "FrozenHeads") -> tuple[list[float], NDArray[np.float32]]:
        """Return AUC, first-mistake F1 and log-loss on the held-out problems, and p(negative) of the rated steps there.

        The threshold of each half of the problems is chosen on the other half.
        """
        from trainer.evaluate import Judged, auc, cross_fitted_thresholds, first_mistake_f1, log_loss

        labeled = self.labeled
        whole = np.zeros((len(labeled.own), 3), np.float32)
        whole[self.test_rows] = self.probabilities(heads, self.test_rows)
        classes = labeled.classes[self.judged]
        negative = whole[self.judged, 0]
        ends = np.cumsum(np.bincount(labeled.own, minlength=len(labeled.solutions)))
        judged = [
            Judged(one.solution.problem_key, whole[start:end], one.ratings, len(one.solution.steps))
            for one, start, end in ((labeled.solutions[at], ends[at - 1] if at else 0, ends[at]) for at in self.test.tolist())
        ]
        f1 = first_mistake_f1(judged, threshold=cross_fitted_thresholds(judged))
        found = [auc(negative, classes == 0), None if f1 is None else f1.f1, log_loss(whole[self.judged], classes)]
        return [float("nan") if value is None else value for value in found], negative

    def without_labels(self) -> dict[str, float]:
        """Return the AUC of the step's place alone and the log-loss of the pool's base rates on the held-out problems."""
        from trainer.evaluate import auc, base_rates, log_loss

        classes = self.labeled.classes
        rates = base_rates((classes[self.rated(range(len(self.pool)))] - 1).tolist())
        known = classes[self.judged]
        position = auc(self.labeled.place[self.judged].astype(np.float64), known == 0)
        return {"position": position or float("nan"), "base_rate": log_loss(np.tile(rates, (len(known), 1)), known) or float("nan")}

    def candidates(self, chosen: Sequence[int], heads: "FrozenHeads | None", reads: Collection[str]) -> "tuple[Candidates, Places]":
        """Return what a site knows of the solutions of the pool that are not labeled, and their places in the pool.

        reads: the strategies of the recipe. Figures that none of them reads are left out.
        """
        from active_learning.scoring.figures import expected_change, first_mistake_entropy, first_mistake_margin
        from active_learning.selection import Candidates
        from trainer.evaluate import score_per_step, solution_score

        labeled = self.labeled
        free = np.setdiff1d(np.arange(len(self.pool)), np.array(chosen, np.int64))
        known: dict[str, Any] = {
            "solutions": self.pool[free], "problems": labeled.problems[self.pool[free]], "outcomes": labeled.outcomes[self.pool[free]],
            "states": self.points[free], "queued_states": self.points[list(chosen)],
        }  # fmt: skip
        if heads is None:
            return Candidates.of(**known), free
        rows = np.concatenate([self.rows[place] for place in free])
        cuts = np.cumsum([len(self.rows[place]) for place in free])[:-1]
        states = self.components[torch.from_numpy(rows)]
        probabilities = np.split(self.probabilities(heads, rows), cuts)
        if any(name.startswith("entropy") for name in reads):
            known["entropy"] = [first_mistake_entropy(own[:, 0]) for own in probabilities]
        if "margin" in reads:
            known["margin"] = [first_mistake_margin(own[:, 0]) for own in probabilities]
        if "change" in reads:
            changes = np.split(heads.expected_change(states, kind="prm").numpy(), cuts)
            known["change"] = [expected_change(own[:, 0], change) for own, change in zip(probabilities, changes, strict=True)]
        if any(name.startswith("convincing") for name in reads):
            known["scores"] = [solution_score(own) for own in probabilities]
            known["conviction"] = compared(known["problems"], np.array([score_per_step(own) for own in probabilities]))
        if heads.n_ensemble:
            weak = [np.flatnonzero(own[:, 0] > DOUBTFUL) for own in probabilities]
            ends = [int(found[0]) + 1 if len(found) else None for found in weak]
            means, deviations = (np.split(column, cuts) for column in heads.uncertainty(states, kind="prm").numpy().T)
            known["confidence"] = [np.maximum(own, 1 - own)[:end].min() for own, end in zip(means, ends, strict=True)]
            known["deviation"] = [own[:end].max() for own, end in zip(deviations, ends, strict=True)]
        return Candidates.of(**known), free

    def run(self, arm: Mapping[str, Any], *, draw: int) -> dict[str, Any]:
        """Label the pool up to the largest size, by the arm's recipe of each size, with the heads of the labels so far.

        An arm that reads scores has none at first and begins at random, as a site does.
        """
        from active_learning.selection import Need, Recipe, choose
        from active_learning.selection.strategies import STRATEGIES

        chosen: list[int] = []
        heads, points, negatives = None, [], []
        is_sure = any(Need.HEADS in STRATEGIES[name].needs for recipe in arm.values() for name, _ in recipe["parts"])
        for size in self.protocol["sizes"]:
            since = max(start for start in map(int, arm) if start <= len(chosen))
            recipe = Recipe.from_settings({**arm[str(since)], "size": size - len(chosen)})
            needs = set().union(*(STRATEGIES[name].needs for name, _ in recipe.parts))
            reads_scores = Need.MODEL in needs and not all(
                Need.STATES in STRATEGIES[name].needs or STRATEGIES[name].is_draw for name, _ in recipe.parts
            )
            if reads_scores and heads is None:
                recipe = Recipe((("uniform", 1.0),), size - len(chosen))
            candidates, free = self.candidates(chosen, heads if reads_scores else None, [name for name, _ in recipe.parts])
            rng = np.random.default_rng([self.seed, draw, size])
            took = free[choose(candidates, recipe, rng=rng).indices].tolist()
            if len(took) < recipe.size:  # the recipe ran out of candidates: the rest at random, as a round would say
                rest = np.setdiff1d(free, took)
                took += rng.permutation(rest)[: recipe.size - len(took)].tolist()
            chosen += took
            heads = self.heads(chosen, n_ensemble=ENSEMBLE if is_sure else 0)
            figures, negative = self.figures(heads)
            mistakes = [self.labeled.solutions[at].first_mistake is not None for at in self.pool[chosen]]
            points.append([*figures, len(self.rated(chosen)), float(np.mean(mistakes))])
            negatives.append(negative)
        return {"points": points, "negative": np.stack(negatives)}


def compared(problems: Places, per_step: Floats) -> Floats:
    """Return scores per step less what is usual for the problem, as active_learning.scoring.partitions does in the database."""
    _, places, counts = np.unique(problems, return_inverse=True, return_counts=True)
    usual = (np.bincount(places, per_step) + per_step.mean()) / (counts + 1)
    found: Floats = per_step - usual[places]
    return found


SETS: dict[str, LabeledSet] = {}  # in each process, by name


def run_split(name: str, seed: int, arms: Sequence[str], reading: "Reading") -> str:
    """Run a split and keep its figures as a file. Arms that the file has already are not run again."""
    torch.set_num_threads(1)
    protocol, path = reading.protocol, reading.path(name, seed)
    kept: dict[str, Any] = dict(np.load(path)) if path.exists() else {}
    wanted = [("uniform", draw) for draw in range(protocol["draws_of_uniform"])] + [(arm, 0) for arm in arms]
    missing = [pair for pair in wanted if f"{pair[0]}#{pair[1]}" not in kept]
    if missing or "all" not in kept:
        began = time.process_time()
        split = Split(SETS[name], seed=seed, protocol=protocol)
        if "all" not in kept:
            whole = range(len(split.pool))
            figures, negative = split.figures(split.heads(whole, n_ensemble=0))
            alone = split.without_labels()
            kept |= {
                "all": [*figures, len(split.rated(whole)), len(split.pool)], "all_negative": negative,
                "alone": [alone["position"], alone["base_rate"]], "is_negative": SETS[name].classes[split.judged] == 0,
                "problem": SETS[name].problems[SETS[name].own[split.judged]], "place": SETS[name].place[split.judged],
            }  # fmt: skip
        for arm, draw in missing:
            recipes = {"0": {"parts": [["uniform", 1]]}} if arm == "uniform" else protocol["arms"][arm]
            found = split.run(recipes, draw=draw)
            kept |= {f"{arm}#{draw}": found["points"], f"{arm}#{draw}_negative": found["negative"]}
        draft = path.with_suffix(".draft.npz")
        np.savez_compressed(draft, **kept)
        draft.replace(path)
        return f"{name} {seed}: {time.process_time() - began:.1f} s of a processor"
    return f"{name} {seed}: kept"


# --- what the splits say --------------------------------------------------------------------------------------------------------


class Curves:
    """The figures of all splits of one set: by arm an array (splits, sizes, 5); several draws of uniform become their mean."""

    def __init__(self, files: Sequence[Path], sizes: Sequence[int], arms: Sequence[str]) -> None:
        self.sizes, self.splits = np.array(sizes, np.float64), [dict(np.load(path)) for path in files]
        self.of: dict[str, Floats] = {}
        for arm in ("uniform", *arms):
            draws = [key for key in self.splits[0] if key.startswith(f"{arm}#") and not key.endswith("_negative")]
            self.of[arm] = np.stack([np.mean([split[key] for key in draws], axis=0) for split in self.splits])

    def gains(self, arm: str, figure: int, *, by_steps: bool) -> Floats:
        """Return (splits, 1 + SHOWN) differences to uniform: of the area, then at each size; higher is better for log-loss too."""
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
        return [size for size in SHOWN if size in self.sizes] or [int(self.sizes[-1])]


def corrected(differences: Floats, *, held_out: float) -> dict[str, float]:
    """Return the mean of differences (splits,) with its 95 % interval after Nadeau and Bengio (*Inference for the Generalization
    Error*, Machine Learning 52, 2003): splits of one data set overlap, so their variance is not divided by their number alone.
    """
    n = len(differences)
    mean = float(np.nanmean(differences))
    spread = float(np.nanstd(differences, ddof=1)) if n > 1 else float("nan")
    half = T_975.get(n - 1, float("nan")) * spread * (1 / n + held_out / (1 - held_out)) ** 0.5
    return {"gain": mean, "low": mean - half, "high": mean + half, "plain_error": spread / n**0.5}


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

    Problems get Poisson weights and splits are drawn again, both at once (Owen, *The pigeonhole bootstrap*, 2007).
    """
    rng = np.random.default_rng(seed)
    weights = rng.poisson(1.0, (times, n_problems)).astype(np.float64)
    drawn = rng.multinomial(len(curves.splits), np.full(len(curves.splits), 1 / len(curves.splits)), times) / len(curves.splits)
    grid = np.linspace(np.log(curves.sizes[0]), np.log(curves.sizes[-1]), GRID)
    share = np.array([np.interp(grid, np.log(curves.sizes), unit) for unit in np.eye(len(curves.sizes))]).mean(1)  # of each size in an area
    names = ["uniform", *arms]
    sums = {name: np.zeros((times, len(curves.sizes))) for name in names} | {"all": np.zeros((times, 1))}
    for number, split in enumerate(curves.splits):
        mine, negative, own = weights[:, split["problem"]], split["is_negative"], drawn[:, number : number + 1]
        for name in names:
            draws = [split[key] for key in split if key.startswith(f"{name}#") and key.endswith("_negative")]
            for scores in draws:
                found = np.stack([weighted_auc(at, negative, mine) for at in scores], 1)
                sums[name] += own * np.nan_to_num(found, nan=0.5) / len(draws)
        sums["all"] += own * np.nan_to_num(weighted_auc(split["all_negative"], negative, mine), nan=0.5)[:, None]
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
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return {"bootstrap_low": float(low), "bootstrap_high": float(high)}


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the figures of the splits are, and how to read them."""

    folder: Path
    mark: str
    protocol: Mapping[str, Any]
    times: int  # bootstrap

    def path(self, name: str, seed: int) -> Path:
        return self.folder / f"{self.mark}-{name}-{seed}.npz"

    def curves(self, name: str, seeds: Sequence[int], arms: Sequence[str]) -> Curves:
        return Curves([self.path(name, seed) for seed in seeds], self.protocol["sizes"], arms)

    def interval(self, differences: Floats) -> dict[str, float]:
        return corrected(differences, held_out=self.protocol["held_out"])

    def table(self, labeled: LabeledSet, seeds: Sequence[int], arms: Sequence[str]) -> dict[str, Any]:
        """Return all figures of some arms on some splits."""
        found = self.curves(labeled.name, seeds, arms)
        draws = bootstrapped(found, arms, n_problems=int(labeled.problems.max()) + 1, times=self.times, seed=1)
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
            rows[arm] = row
        return rows

    def best(self, labeled: LabeledSet, seeds: Sequence[int], arms: Sequence[str]) -> str:
        """Return the arm with the largest gain in area over solutions on these splits."""
        found = self.curves(labeled.name, seeds, arms)
        return max(arms, key=lambda arm: float(np.nanmean(found.gains(arm, 0, by_steps=False)[:, 0])))

    def taught(self, labeled: LabeledSet, seeds: Sequence[int]) -> dict[str, Any]:
        """Return what uniform labels teach: the figures at each size and with all labels, beside those without a label."""
        found, sizes = self.curves(labeled.name, seeds, ()), self.protocol["sizes"]
        draws = bootstrapped(found, (), n_problems=int(labeled.problems.max()) + 1, times=self.times, seed=1)
        whole = np.stack([split["all"] for split in found.splits])[:, None]  # (splits, 1, 5)
        curve = np.concatenate([found.of["uniform"], whole], 1)
        bands = np.concatenate([draws["sizes"], draws["all labels"][:, None]], 1)
        told: dict[str, Any] = {}
        for place, size in enumerate([*map(str, sizes), "all"]):
            row = self.interval(curve[:, place, 0])
            told[size] = {"auc": row.pop("gain"), **row, **between(bands[:, place])}
            told[size] |= {name: float(np.nanmean(curve[:, place, 1 + at])) for at, name in enumerate(FIGURES[1:])}
            told[size] |= {"rated_steps": float(curve[:, place, 3].mean())}
        first = found.shown[0]
        rise = bands[:, -1] - bands[:, sizes.index(first)]
        risen = {"from": first, **self.interval(curve[:, -1, 0] - curve[:, sizes.index(first), 0]), **between(rise)}
        alone = np.mean([split["alone"] for split in found.splits], 0)
        pool = float(np.mean([split["all"][4] for split in found.splits]))
        area = float(
            np.interp(np.linspace(np.log(sizes[0]), np.log(sizes[-1]), GRID), np.log(sizes), found.of["uniform"][:, :, 0].mean(0)).mean()
        )
        return {
            "splits": len(seeds), "pool": pool, "auc_all": told["all"]["auc"], "auc_none": float(alone[0]),
            "base_rate_log_loss": float(alone[1]), "uniform": told, "risen": risen, "area_of_uniform": area,
        }  # fmt: skip


def about(labeled: LabeledSet) -> dict[str, Any]:
    """Return the size of a set."""
    n_rated = int((labeled.classes >= 0).sum())
    return {
        "n_solutions": len(labeled.solutions), "n_problems": int(labeled.problems.max()) + 1, "n_steps": len(labeled.own),
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


def product_check(labeled: LabeledSet, seeds: Sequence[int], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return the AUC of heads that the trainer fits itself, with components of the labeled steps and the penalty that it chooses."""
    from trainer.evaluate import auc
    from trainer.frozen_heads import Examples, fit

    found: dict[str, list[list[float]]] = {}
    for seed in seeds:
        split = Split(labeled, seed=seed, protocol=protocol)
        order = np.random.default_rng([seed, 99]).permutation(len(split.pool))
        for size in (*SHOWN, len(order)):
            chosen = order[:size].tolist()
            rows = split.rated(chosen)
            keys = tuple(one.solution.problem_key for one in labeled.solutions)
            numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
            problems = np.array([numbers[keys[at]] for at in labeled.own[rows]])
            examples = Examples(labeled.states[rows], np.eye(3)[labeled.classes[rows]], problems, tuple(sorted(numbers)))
            heads, _ = fit(examples, kind="prm", n_ensemble=1, seed=seed, head="linear")
            own = heads.log_probabilities(torch.from_numpy(labeled.states[split.judged]), kind="prm").exp().numpy()[:, 0]
            ours = split.figures(split.heads(chosen, n_ensemble=0))[0][0]
            name = str(size) if size in SHOWN else "all"
            found.setdefault(name, []).append([auc(own, labeled.classes[split.judged] == 0) or float("nan"), ours])
    means = {size: np.mean(values, 0) for size, values in found.items()}
    return rounded({size: {"trainer": float(own[0]), "here": float(own[1])} for size, own in means.items()} | {"splits": len(seeds)})


# --- command ------------------------------------------------------------------------------------------------------------------


def prepare() -> None:
    """Set Django up without a database: strategies are pure, but their package also holds what reads the database."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
    if "STEPMARK_HOME" not in os.environ:
        os.environ["STEPMARK_HOME"] = tempfile.mkdtemp(prefix="stepmark-bench-")
    django.setup()


def read_sets(options: argparse.Namespace, protocol: Mapping[str, Any], layers: Sequence[int]) -> dict[str, LabeledSet]:
    """Read both sets. Raises NothingToRead."""
    from trainer.config import BadBase
    from trainer.lines import BadInput

    paths = options.paths or DATA / "prm800k" / "phase2_labeled_paths_1818.jsonl"
    whole = options.whole or [DATA / "processbench" / name for name in ("gsm8k.json", "math.json")]
    if missing := [path for path in (paths, *whole) if not path.is_file()]:
        raise NothingToRead(f"{missing[0]} is missing. Set STEPMARK_DATA to the folder that holds prm800k/ and processbench/.")
    try:
        found = {
            "prm800k": prm800k_paths(paths, most=protocol["most_of_one_problem"]),
            "processbench": processbench_solutions(whole),
        }
        return {name: with_states(name, rows, base=options.base, layers=layers, cache=options.states) for name, rows in found.items()}
    except (BadBase, BadInput) as error:
        raise NothingToRead(str(error)) from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise NothingToRead(f"{paths} does not hold lines of problem and steps, each with text and rating ({error!r}).") from error


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="script/bench real_labels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--full", action="store_true", help="all arms, 60 splits")
    form.add_argument("--smoke", action="store_true", help="the smallest form: shows that it runs")
    parser.add_argument("--base", default="smollm2", help="fetched base, model folder or hub id (default: smollm2, see script/base)")
    parser.add_argument("--paths", type=Path, help="labeled paths, instead of those of PRM800K")
    parser.add_argument("--whole", type=Path, nargs="+", help="whole solutions, instead of those of ProcessBench")
    parser.add_argument("--states", type=Path, help="folder of the cache of states (default: in your folder of caches)")
    parser.add_argument("--keep", type=Path, help="folder for the figures of each split; a later run continues from there")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    began = time.monotonic()
    written = PROTOCOL.read_bytes()
    protocol, digest = json.loads(written), hashlib.sha256(written).hexdigest()
    print(f"Protocol: benchmarks/real_labels.json, SHA-256 {digest}", file=sys.stderr)
    sizes = {"sizes": [4, 8], "draws_of_uniform": 1, "pick_on": [1, 2], "report_on": [3, 4]} if options.smoke else {}
    protocol |= sizes
    arms = ["herding", "uncertain", "paper"] if options.smoke else list(protocol["arms"])
    picking, telling = (list(range(first, last + 1)) for first, last in (protocol["pick_on"], protocol["report_on"]))
    prepare()
    from trainer.states import default_folder

    options.states = options.states or default_folder()
    try:
        SETS.update(read_sets(options, protocol, () if options.smoke else protocol["layers"]))
    except NothingToRead as error:
        sys.exit(str(error))
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        reading = Reading(folder, digest[:8], protocol, 20 if options.smoke else BOOTSTRAP)
        sets: dict[str, Any] = {name: about(labeled) for name, labeled in SETS.items()}
        named = protocol["named"]
        if options.full or options.smoke:
            run_splits(picking, arms, reading, processes=options.processes)
            bests = {name: reading.best(labeled, picking, arms) for name, labeled in SETS.items()}
            told = list(dict.fromkeys([named, *bests.values()]))
            for name, labeled in SETS.items():
                sets[name]["arms"] = reading.table(labeled, picking, arms)
        else:  # nothing is picked
            picking, told, bests = [], protocol["short"], dict.fromkeys(SETS, named)
        run_splits(telling, told, reading, processes=options.processes)
        for name, labeled in SETS.items():
            own = sets[name]
            own |= reading.taught(labeled, [*picking, *telling])
            own["named"] = {"arm": named, **reading.table(labeled, [*picking, *telling], [named])[named]}
            own["told"] = reading.table(labeled, telling, told)
            gain = own["told"][bests[name]]["auc_over_solutions"]
            own |= {"best": bests[name], **{part: gain[part] for part in ("gain", "low", "high")}}
            own["ratio"] = 1 + gain["gain"] / own["area_of_uniform"]
            if options.full:
                own["fitted_by_the_trainer"] = product_check(labeled, telling[:2], protocol)
        sets = rounded(sets)
    print(
        json.dumps(
            {
                "form": "smoke" if options.smoke else "full" if options.full else "short",
                "protocol_sha256": digest,
                "ratio": max(own["ratio"] for own in sets.values()),
                "reach_the_criterion": reaching(sets),
                "seconds": round(time.monotonic() - began, 1),
                "sets": sets,
            }
        )
    )


def run_splits(seeds: Sequence[int], arms: Sequence[str], reading: Reading, *, processes: int) -> None:
    """Run some splits of all sets, and say how far it is."""
    began = time.monotonic()
    work = [(name, seed, arms, reading) for seed in seeds for name in SETS]
    # Forked, so that the states are in memory once.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        for done, said in enumerate(pool.map(run_split, *zip(*work, strict=True)), 1):
            left = (time.monotonic() - began) / done * (len(work) - done)
            print(f"{done} of {len(work)}: {said}; about {left / 60:.0f} min left", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
