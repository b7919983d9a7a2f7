"""Labels that people gave, hidden and revealed: the sets, a split of a set, what an arm learns there, and where its figures are kept.

What is kept holds for one base, its layers, the data, the protocol and this code. Whatever of them changes, the splits begin anew.
"""

import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from active_learning.selection import Candidates
    from trainer.data import LabeledSolution
    from trainer.frozen_heads import FrozenHeads
    from trainer.model import RewardModel

ROOT = Path(__file__).resolve().parents[2]
# Whatever of these files changes can change the figures of a split.
CODE = ("benchmarks/hidden_labels/splits.py", "active_learning/selection", "active_learning/scoring/figures.py", "trainer")
ENSEMBLE = 8  # heads of an arm that reads how sure they are
DOUBTFUL = 0.5  # p(negative) from which a step is taken for the first mistake
CHECKED = (20, 60, 180)  # sizes at which the trainer fits heads itself
SAID_EVERY = 20  # seconds
DRAFT = ".draft-"  # begins the name of a file that is being written

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


class NothingToRead(Exception):
    """Data or base is missing or cannot serve; the message says what to do."""


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
    digest: str  # of texts, ratings and outcomes

    @property
    def n_problems(self) -> int:
        return int(self.problems.max()) + 1


def prm800k_paths(path: Path, *, most: int) -> "list[tuple[LabeledSolution, bool]]":
    """Read the distinct paths, at most so many of a problem, each with whether it has no mistake. Raises NothingToRead."""
    from trainer.data import LabeledSolution, SolutionText

    seen: set[tuple[str, tuple[str, ...]]] = set()
    of_problem: dict[str, int] = {}
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):  # of bytes: a separator of Unicode in a text ends no line
        try:
            row = json.loads(line)
            key = row["problem"], tuple(step["text"] for step in row["steps"])
            ratings = tuple(step["rating"] for step in row["steps"])
        except (KeyError, TypeError, ValueError) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else getattr(error, "msg", error)
            raise NothingToRead(f"{path}, line {number}, does not hold problem and steps, each with text and rating: {why}.") from error
        if key in seen or of_problem.get(row["problem"], 0) >= most:
            seen.add(key)
            continue
        seen.add(key)
        of_problem[row["problem"]] = of_problem.get(row["problem"], 0) + 1
        labeled = LabeledSolution(SolutionText(f"path {number}", row["problem"], *key), ratings)
        found.append((labeled, labeled.first_mistake is None))
    return found


def processbench_solutions(paths: Sequence[Path]) -> "list[tuple[LabeledSolution, bool]]":
    """Read whole solutions, each with whether its final answer is right."""
    from trainer.lines import read_solution_lines

    lines = [line for path in paths for line in read_solution_lines(path, format="processbench")]
    return [(line.labeled, bool(line.right)) for line in lines]


def with_states(name: str, rows: "list[tuple[LabeledSolution, bool]]", model: "RewardModel") -> LabeledSet:
    """Read the states of all steps as the trainer does, from the model's cache where they are.

    A solution of which no rated step was read is left out: it would count as labeled and teach nothing. Raises NothingToRead if all are.
    """
    from trainer.data import encode
    from trainer.prefix import Reader
    from trainer.score import suitable_budget

    encoded = encode([labeled.solution for labeled, _ in rows], tokenizer=model.tokenizer, context=model.context)
    reader, began, done = Reader(model, token_budget=suitable_budget(model)), time.monotonic(), 0
    found: dict[int, NDArray[np.float16]] = {}
    with torch.inference_mode():
        for places, states in reader.step_end_states(encoded, [labeled.solution.problem_key for labeled, _ in rows]):
            counts = np.cumsum([len(encoded[place].step_ends) for place in places])[:-1]
            found |= dict(zip(places.tolist(), np.split(states.half().cpu().numpy(), counts), strict=True))
            done += len(places)
            if time.monotonic() - began > SAID_EVERY:
                print(f"{name}: states of {done} of {len(rows)} solutions", file=sys.stderr)
                began = time.monotonic()
    taught = {place: rated_classes(rows[place][0], len(states)) for place, states in found.items()}
    kept = sorted(place for place, classes in taught.items() if max(classes, default=-1) >= 0)
    if not kept:
        raise NothingToRead(f"{name}: no solution has a rated step that could be read. Give solutions with ratings.")
    labeled = [rows[place][0] for place in kept]
    lengths = [len(found[place]) for place in kept]
    numbers = {key: number for number, key in enumerate(sorted({one.solution.problem_key for one in labeled}))}
    return LabeledSet(
        name, labeled, np.array([rows[place][1] for place in kept], np.int8),
        np.array([numbers[one.solution.problem_key] for one in labeled]), np.concatenate([found[place] for place in kept]),
        np.repeat(np.arange(len(kept)), lengths), np.concatenate([np.arange(length) for length in lengths]),
        np.concatenate([taught[place] for place in kept]), digest_of(rows),
    )  # fmt: skip


def rated_classes(labeled: "LabeledSolution", n_read: int) -> list[int]:
    """Return the class of each step that was read: 0, 1, 2, or -1 without a rating."""
    ratings = (*labeled.supervised, *[None] * n_read)[:n_read]
    return [-1 if rating is None else rating + 1 for rating in ratings]


def digest_of(rows: "list[tuple[LabeledSolution, bool]]") -> str:
    """Return a SHA-256 of what a set says: problems, steps, ratings and outcomes, in their order."""
    digest = hashlib.sha256()
    for one, right in rows:
        digest.update(json.dumps([one.solution.problem_key, one.solution.problem, one.solution.steps, one.ratings, right]).encode() + b"\n")
    return digest.hexdigest()


def sides(labeled: LabeledSet, *, seed: int, held_out: float) -> tuple[Places, Places]:
    """Return the solutions of the pool and of the held-out problems, a share `held_out` of all problems."""
    order = np.random.default_rng([17, seed]).permutation(labeled.n_problems)
    is_held_out = np.isin(labeled.problems, order[: round(labeled.n_problems * held_out)])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def refuse_small_pools(labeled: LabeledSet, seeds: Sequence[int], protocol: Mapping[str, Any]) -> None:
    """Raise NothingToRead if a split cannot give as many solutions as the largest size asks for: it would stand at a wrong place."""
    largest = max(protocol["sizes"])
    fewest, seed = min((len(sides(labeled, seed=seed, held_out=protocol["held_out"])[0]), seed) for seed in seeds)
    if fewest < largest:
        raise NothingToRead(
            f"{labeled.name}: the pool of split {seed} has {fewest} solutions, and the largest size of the protocol is {largest}. "
            "Give more labeled solutions."
        )


# --- one split ----------------------------------------------------------------------------------------------------------------


class Split:
    """A set with a third of its problems held out, the states as components found on the pool, and what is judged."""

    def __init__(self, labeled: LabeledSet, *, seed: int, protocol: Mapping[str, Any]) -> None:
        from active_learning.selection import reduced_states, state_of_solution
        from trainer.frozen_heads import principal

        self.labeled, self.seed, self.protocol = labeled, seed, protocol
        self.pool, self.test = sides(labeled, seed=seed, held_out=protocol["held_out"])
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

    def share_with_a_mistake(self, chosen: Sequence[int]) -> float:
        return float(np.mean([self.labeled.solutions[at].first_mistake is not None for at in self.pool[list(chosen)]]))

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
        return [number_or_nan(value) for value in found], negative

    def without_labels(self) -> dict[str, float]:
        """Return the AUC of the step's place alone and the log-loss of the pool's base rates on the held-out problems."""
        from trainer.evaluate import auc, base_rates, log_loss

        classes = self.labeled.classes
        rates = base_rates((classes[self.rated(range(len(self.pool)))] - 1).tolist())
        known = classes[self.judged]
        position = auc(self.labeled.place[self.judged].astype(np.float64), known == 0)
        base_rate = log_loss(np.tile(rates, (len(known), 1)), known)
        return {"position": number_or_nan(position), "base_rate": number_or_nan(base_rate)}

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

        An arm that reads scores has none at first and begins at random, as a site does. A point has AUC, F1, log-loss, the rated steps, the
        share of solutions with a mistake, and how many solutions were drawn at random because the recipe had no more candidates. Raises
        ValueError if a size is not reached.
        """
        from active_learning.selection import Need, Recipe, choose
        from active_learning.selection.strategies import STRATEGIES

        chosen: list[int] = []
        heads, points, negatives, n_filled = None, [], [], 0
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
                filled = rng.permutation(rest)[: recipe.size - len(took)].tolist()
                took, n_filled = took + filled, n_filled + len(filled)
            chosen += took
            if (n := len(set(chosen))) != size:
                raise ValueError(f"{self.labeled.name}, split {self.seed}: {n} solutions are labeled where {size} should be.")
            heads = self.heads(chosen, n_ensemble=ENSEMBLE if is_sure else 0)
            figures, negative = self.figures(heads)
            points.append([*figures, len(self.rated(chosen)), self.share_with_a_mistake(chosen), n_filled])
            negatives.append(negative)
        return {"points": points, "negative": np.stack(negatives)}


def number_or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def compared(problems: Places, per_step: Floats) -> Floats:
    """Return scores per step less what is usual for the problem, as active_learning.scoring.partitions does in the database."""
    _, places, counts = np.unique(problems, return_inverse=True, return_counts=True)
    usual = (np.bincount(places, per_step) + per_step.mean()) / (counts + 1)
    found: Floats = per_step - usual[places]
    return found


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder with the figures of splits: `root` has one such folder for each identity, so that what differs is never mixed."""

    root: Path
    identity: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return self.root / hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]

    def path(self, name: str, seed: int) -> Path:
        return self.folder / f"{name}-{seed}.npz"

    def begin(self) -> str:
        """Make the folder, and say in a sentence what is continued, or what else is here and why it is not. Raises OSError."""
        if self.folder.is_dir():
            n = sum(not path.name.startswith(DRAFT) for path in self.folder.glob("*.npz"))
            return f"{n} splits of this run are in {self.folder}. It continues from there."
        others = [other for about in sorted(self.root.glob("*/about.json")) if (other := self.other(about)) is not None]
        self.folder.mkdir(parents=True)
        (self.folder / "about.json").write_text(json.dumps(self.identity, indent=1), encoding="utf-8")
        if not others:
            return f"The splits of this run are kept in {self.folder}."
        said = "; and of ".join(dict.fromkeys(others))
        return f"{self.root} has splits of {said}. They stay there. All splits of this run begin anew, in {self.folder}."

    def other(self, about: Path) -> str | None:
        """Return what is different in another folder, such as "other code and another base"."""
        try:
            found = json.loads(about.read_text(encoding="utf-8"))
            different = [name for name in self.identity if found.get(name) != self.identity[name]]
        except (OSError, ValueError, AttributeError):
            return None
        return " and ".join(OTHER[name] for name in different)


OTHER = {
    "protocol": "another protocol", "base": "another base", "layers": "other layers", "data": "other data", "code": "other code",
    "libraries": "other libraries",
}  # fmt: skip


def identity(sets: Mapping[str, LabeledSet], model: "RewardModel", protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the figures of a split depend on, by the names of `OTHER`."""
    assert model.frozen is not None
    code = hashlib.sha256()
    for place in CODE:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            code.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return {
        "protocol": hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest(),
        "base": model.frozen.sha256, "layers": list(model.frozen.layers),
        "data": {name: labeled.digest for name, labeled in sets.items()},
        "code": code.hexdigest(), "libraries": f"numpy {np.__version__}, torch {torch.__version__}",
    }  # fmt: skip


SETS: dict[str, LabeledSet] = {}  # in each process, by name


def read_kept(path: Path) -> dict[str, Any]:
    """Return the figures that a file keeps; none if there is no file, or if it is torn because the machine stopped."""
    try:
        with path.open("rb") as file:
            return dict(np.load(file))
    except (FileNotFoundError, BadZipFile, ValueError, EOFError):
        return {}


def run_split(name: str, seed: int, arms: Sequence[str], kept_in: Kept, protocol: Mapping[str, Any]) -> str:
    """Run a split and keep its figures as a file. Arms that the file has already are not run again."""
    torch.set_num_threads(1)
    path = kept_in.path(name, seed)
    kept = read_kept(path)
    wanted = [("uniform", draw) for draw in range(protocol["draws_of_uniform"])] + [(arm, 0) for arm in arms]
    missing = [pair for pair in wanted if f"{pair[0]}#{pair[1]}" not in kept]
    if not missing and "all" in kept:
        return f"{name} {seed}: kept"
    began = time.process_time()
    split = Split(SETS[name], seed=seed, protocol=protocol)
    if "all" not in kept:
        whole = range(len(split.pool))
        figures, negative = split.figures(split.heads(whole, n_ensemble=0))
        alone = split.without_labels()
        kept |= {
            "all": [*figures, len(split.rated(whole)), split.share_with_a_mistake(whole), 0], "all_negative": negative,
            "pool": len(split.pool), "alone": [alone["position"], alone["base_rate"]],
            "is_negative": SETS[name].classes[split.judged] == 0, "problem": SETS[name].problems[SETS[name].own[split.judged]],
        }  # fmt: skip
    for arm, draw in missing:
        recipes = {"0": {"parts": [["uniform", 1]]}} if arm == "uniform" else protocol["arms"][arm]
        found = split.run(recipes, draw=draw)
        kept |= {f"{arm}#{draw}": found["points"], f"{arm}#{draw}_negative": found["negative"]}
    draft = path.with_name(f"{DRAFT}{os.getpid()}-{path.name}")
    np.savez_compressed(draft, **kept)
    draft.replace(path)
    return f"{name} {seed}: {time.process_time() - began:.1f} s of a processor"


def run_splits(seeds: Sequence[int], arms: Sequence[str], kept_in: Kept, protocol: Mapping[str, Any], *, processes: int) -> None:
    """Run some splits of all sets, and say how far it is."""
    began = time.monotonic()
    work = [(name, seed, arms, kept_in, protocol) for seed in seeds for name in SETS]
    # Forked, so that the states are in memory once.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        for done, said in enumerate(pool.map(run_split, *zip(*work, strict=True)), 1):
            left = (time.monotonic() - began) / done * (len(work) - done)
            print(f"{done} of {len(work)}: {said}; about {left / 60:.0f} min left", file=sys.stderr, flush=True)


def product_check(labeled: LabeledSet, seeds: Sequence[int], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return the AUC of heads that the trainer fits itself, with components of the labeled steps and the penalty that it chooses."""
    from trainer.evaluate import auc
    from trainer.frozen_heads import Examples, fit

    found: dict[str, list[list[float]]] = {}
    for seed in seeds:
        split = Split(labeled, seed=seed, protocol=protocol)
        order = np.random.default_rng([seed, 99]).permutation(len(split.pool))
        for size in (*CHECKED, len(order)):
            chosen = order[:size].tolist()
            rows = split.rated(chosen)
            keys = tuple(one.solution.problem_key for one in labeled.solutions)
            numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
            problems = np.array([numbers[keys[at]] for at in labeled.own[rows]])
            examples = Examples(labeled.states[rows], np.eye(3)[labeled.classes[rows]], problems, tuple(sorted(numbers)))
            heads, _ = fit(examples, kind="prm", n_ensemble=1, seed=seed, head="linear")
            own = heads.log_probabilities(torch.from_numpy(labeled.states[split.judged]), kind="prm").exp().numpy()[:, 0]
            ours = split.figures(split.heads(chosen, n_ensemble=0))[0][0]
            name = str(size) if size in CHECKED else "all"
            found.setdefault(name, []).append([number_or_nan(auc(own, labeled.classes[split.judged] == 0)), ours])
    means = {size: np.mean(values, 0) for size, values in found.items()}
    return {size: {"trainer": float(own[0]), "here": float(own[1])} for size, own in means.items()} | {"splits": len(seeds)}
