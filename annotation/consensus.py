"""Find where the first mistake most likely is when several people read the same solutions. Pure numpy: no Django, no files.

A labeler reads a solution from its first step and stops at the first step that they rate negative. What they would have rated after it is
unknown: *censored*, never negative. The model has one hidden value per solution, the first mistake, and two numbers per labeler: with
`sees` they rate the first mistake negative when they reach it, and with `alarms` they rate a good step before it negative. After a mistake
that they did not see, all labelers rate a step negative with one common probability, `late`. Expectation maximisation has a closed form
here, as in Dawid and Skene (1979), whose model has no order of steps and no censoring.

Positions: steps count from 1; NONE (0) means that no step is a mistake. A solution of n steps has n + 1 *cells*: its steps, then NONE.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NONE = 0
BINS = 5  # the prior knows in which fifth of a solution first mistakes are
# What is believed of labelers before anything is known, and how many solutions (steps, for alarms) this belief is worth.
SEES, SEES_WORTH = 0.8, 4.0
ALARMS, ALARMS_WORTH = 0.03, 20.0
LATE, LATE_WORTH = 0.3, 10.0
MINIMUM_SHARED = 10  # below it nothing is said of a labeler: their own marks alone cannot tell how often they are right
GRID = 201
PART = 2_000  # readings whose chances are computed at once
MAX_ITERATIONS = 300
TOLERANCE = 1e-5  # of every probability in Abilities, from one iteration to the next


@dataclass(frozen=True)
class Readings:
    """What people marked: `n_steps` per solution; per reading its `solution` and `labeler` (from 0) and `marked` (a step from 1, or NONE).

    `possible` says per cell whether an adjudication or gold leaves it possible (all cells, if None); `prior` gives the probability of each
    cell from a reward model, NaN in all cells of a solution that it did not score. Never use the prior of a model that the result then
    judges.
    """

    n_steps: Integers
    solution: Integers
    labeler: Integers
    marked: Integers
    possible: NDArray[np.bool_] | None = None
    prior: Floats | None = None

    def __post_init__(self) -> None:
        if len(self.n_steps) and self.n_steps.min() < 1:
            raise ValueError(f"Solution {int(self.n_steps.argmin())} has no steps: leave it out")
        if not len(self.solution) == len(self.labeler) == len(self.marked):
            raise ValueError("solution, labeler and marked must have one entry for each reading")
        if len(self.marked) and (bad := (self.marked < 0) | (self.marked > self.n_steps[self.solution])).any():
            at = int(bad.argmax())
            raise ValueError(
                f"Reading {at} marks step {self.marked[at]} of a solution with {self.n_steps[self.solution[at]]} steps: steps count from 1"
            )
        if self.possible is not None and len(self.n_steps):
            if len(self.possible) != self.offsets[-1]:
                raise ValueError("possible must have one entry for each cell")
            if not (some := np.logical_or.reduceat(self.possible, self.offsets[:-1])).all():
                raise ValueError(f"Solution {int(some.argmin())} has no possible first mistake: leave one possible")
        if self.prior is not None and len(self.prior) != self.offsets[-1]:
            raise ValueError("prior must have one entry for each cell")

    @property
    def offsets(self) -> Integers:
        """Where the cells of each solution begin: (solutions + 1,)."""
        return np.concatenate([[0], np.cumsum(self.n_steps + 1)])

    @property
    def n_labelers(self) -> int:
        return int(self.labeler.max()) + 1 if len(self.labeler) else 0


@dataclass(frozen=True)
class Abilities:
    """What the model believes of each labeler (probabilities), of all (`late`) and of mistakes (`none`, and `places` by fifth)."""

    sees: Floats
    alarms: Floats
    late: float
    none: float
    places: Floats


@dataclass(frozen=True)
class Consensus:
    """The probability of each cell, and what it was computed with. `readings` gives the offsets."""

    readings: Readings
    abilities: Abilities
    posterior: Floats  # one value per cell
    iterations: int

    @property
    def first_mistakes(self) -> Integers:
        """The most likely first mistake of each solution: a step from 1, or NONE."""
        offsets = self.readings.offsets
        best = _best(self.posterior, offsets)
        return np.where(best == self.readings.n_steps, NONE, best + 1)

    @property
    def entropies(self) -> Floats:
        """How undecided each solution is, in bits: 0 where one cell has all the probability."""
        inner = np.where(self.posterior > 0, self.posterior * np.log2(np.maximum(self.posterior, 1e-300)), 0.0)
        return np.maximum(-np.add.reduceat(inner, self.readings.offsets[:-1]), 0.0) if len(inner) else np.zeros(0)

    def of(self, solution: int) -> Floats:
        """The probabilities of one solution: its steps, then NONE."""
        offsets = self.readings.offsets
        return self.posterior[offsets[solution] : offsets[solution + 1]]


@dataclass(frozen=True)
class Ability:
    """One labeler's figures with 95 % intervals; None where too few of their solutions were read by others (`shared`)."""

    shared: int
    sees: float | None
    sees_interval: tuple[float, float] | None
    alarms: float | None
    alarms_interval: tuple[float, float] | None


def soft_labels(probabilities: Floats) -> tuple[Floats, Floats]:
    """Turn the probabilities of one solution into labels of its steps.

    Returns (p_negative, reached), both (n_steps,): the probability that a step is the first mistake given that no step before it is, and
    the probability that no step before it is. The second is the weight of the first in training.
    """
    steps = probabilities[:-1]
    reached = 1.0 - np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    return np.where(reached > 1e-12, np.clip(steps / np.maximum(reached, 1e-12), 0.0, 1.0), 0.0), np.clip(reached, 0.0, 1.0)


def neutral_share(neutral: Integers, positive: Integers) -> float:
    """Return the share of neutral among the ratings of all steps that are not negative; 0 if there is none."""
    total = int(neutral.sum() + positive.sum())
    return float(neutral.sum() / total) if total else 0.0


def neutral_shares(neutral: Integers, positive: Integers, *, share: float, worth: float = 1.0) -> Floats:
    """Estimate how likely people who find no mistake in a step rate it neutral instead of positive: counts per step in, shares out.

    This is a separate question from mistakes. Steps with few ratings are drawn to `share`, that of all steps of the project, as if `worth`
    ratings had it.
    """
    return (neutral + worth * share) / np.maximum(neutral + positive + worth, 1e-12)


def settle(readings: Readings, *, start: Abilities | None = None, max_iterations: int = MAX_ITERATIONS) -> Consensus:
    """Estimate first mistakes and labelers together, from all readings. `start` makes a later run short."""
    table = _EventTable(readings)
    abilities = _fitted_to(start, readings.n_labelers) if start is not None else _believed(readings.n_labelers)
    posterior = table.expect(abilities)
    iterations = 0
    while iterations < max_iterations:
        iterations += 1
        before, abilities = abilities, table.maximise(posterior, abilities)
        posterior = table.expect(abilities)
        if _distance(before, abilities) < TOLERANCE:
            break
    return Consensus(readings, abilities, posterior, iterations)


def settle_some(readings: Readings, abilities: Abilities) -> Consensus:
    """Compute the probabilities of a few solutions, with labelers as they were estimated before. Costs what these few cost."""
    return Consensus(readings, abilities, _EventTable(readings).expect(_fitted_to(abilities, readings.n_labelers)), 1)


def describe(consensus: Consensus) -> list[Ability]:
    """Give each labeler's figures with 95 % credible intervals. What is believed of the others is held fixed.

    For one labeler the likelihood is computed on a grid, with each solution's first mistake weighed by what all others say of it.
    """
    readings, abilities = consensus.readings, consensus.abilities
    table = _EventTable(readings)
    shared = table.shared()
    log_posterior = np.log(np.maximum(consensus.posterior, 1e-300))
    others = log_posterior[table.cell] - table.likelihoods(abilities)
    by_labeler = np.argsort(table.who, kind="stable")
    begins = np.searchsorted(table.who[by_labeler], np.arange(readings.n_labelers + 1))
    found = []
    for labeler in range(readings.n_labelers):
        if shared[labeler] < MINIMUM_SHARED:
            found.append(Ability(int(shared[labeler]), None, None, None, None))
            continue
        rows = by_labeler[begins[labeler] : begins[labeler + 1]]
        sees = table.on_grid(rows, others, abilities, labeler, "sees")
        alarms = table.on_grid(rows, others, abilities, labeler, "alarms")
        found.append(
            Ability(int(shared[labeler]), float(abilities.sees[labeler]), sees, float(abilities.alarms[labeler]), alarms),
        )
    return found


class _EventTable:
    """One row per reading and cell: which events the reading would be if the first mistake were in that cell."""

    def __init__(self, readings: Readings) -> None:
        self.readings = readings
        offsets = readings.offsets
        cells_of = readings.n_steps + 1
        self.offsets, self.n_cells = offsets, int(offsets[-1])
        self.solution_of_cell = np.repeat(np.arange(len(readings.n_steps)), cells_of)
        place = np.arange(self.n_cells) - offsets[self.solution_of_cell]  # from 0; n_steps: no mistake
        self.is_none = place == readings.n_steps[self.solution_of_cell]
        self.bin = np.minimum(place * BINS // np.maximum(readings.n_steps[self.solution_of_cell], 1), BINS - 1)
        per_reading = cells_of[readings.solution]
        self.reading = np.repeat(np.arange(len(readings.solution)), per_reading)
        begins = np.concatenate([[0], np.cumsum(per_reading)])
        self.row_begins = begins[:-1]
        within = np.arange(int(begins[-1])) - begins[:-1][self.reading]
        self.cell = offsets[readings.solution[self.reading]] + within
        n = readings.n_steps[readings.solution[self.reading]]
        marked = readings.marked[self.reading]
        stop = np.where(marked == NONE, n + 1, marked)  # where the reading ended: a step, or after the last
        first = within + 1  # n + 1: no mistake
        self.quiet = (np.minimum(first, stop) - 1).astype(float)
        self.alarm = (first > stop).astype(float)
        self.seen = ((first == stop) & (stop <= n)).astype(float)
        self.missed = ((first < stop) & (first <= n)).astype(float)
        self.quiet_later = np.where(first < stop, stop - 1 - first, 0).astype(float)
        self.late = ((first < stop) & (stop <= n)).astype(float)
        self.who = readings.labeler[self.reading]
        tells = np.bincount(readings.solution, minlength=len(readings.n_steps)) > 1
        if readings.possible is not None and self.n_cells:
            tells |= ~np.logical_and.reduceat(readings.possible, offsets[:-1])
        self.tells = tells[readings.solution]  # per reading: whether it can be compared with something

    def likelihoods(self, abilities: Abilities) -> Floats:
        """The log probability of each row's reading, if its cell were the first mistake."""
        who = self.who
        return (
            self.quiet * np.log1p(-abilities.alarms)[who]
            + self.alarm * np.log(abilities.alarms)[who]
            + self.seen * np.log(abilities.sees)[who]
            + self.missed * np.log1p(-abilities.sees)[who]
            + self.quiet_later * np.log1p(-abilities.late)
            + self.late * np.log(abilities.late)
        )

    def prior(self, abilities: Abilities) -> Floats:
        """The log probability of each cell before anybody read."""
        weight, total = self._weights(abilities)
        chance = np.where(self.is_none, abilities.none, (1 - abilities.none) * weight / total[self.solution_of_cell])
        if (given := self.readings.prior) is not None:
            chance = np.where(np.isnan(given), chance, np.maximum(given, 1e-12))
        with np.errstate(divide="ignore"):
            if self.readings.possible is not None:
                chance = np.where(self.readings.possible, chance, 0.0)
            return np.log(chance)

    def _weights(self, abilities: Abilities) -> tuple[Floats, Floats]:
        """How the prior weighs the steps: per cell, and their sum per solution."""
        weight = np.where(self.is_none, 0.0, abilities.places[self.bin])
        total: Floats = np.bincount(self.solution_of_cell, weight, minlength=len(self.readings.n_steps)).astype(np.float64)
        return weight, total

    def expect(self, abilities: Abilities) -> Floats:
        """The probability of each cell, given all readings."""
        if not self.n_cells:
            return np.zeros(0)
        log = self.prior(abilities) + np.bincount(self.cell, self.likelihoods(abilities), minlength=self.n_cells)
        top = np.maximum.reduceat(log, self.offsets[:-1])
        weight = np.exp(log - top[self.solution_of_cell])
        return weight / np.add.reduceat(weight, self.offsets[:-1])[self.solution_of_cell]

    def maximise(self, posterior: Floats, before: Abilities) -> Abilities:
        """Estimate labelers and mistakes from the probabilities of cells.

        All readings count, also of what nobody else read. Second opinions are asked where the first one is doubtful: of these solutions
        alone, each labeler would be found worse than they are, and every "no mistake" would be overruled.
        """
        row = posterior[self.cell]
        n = self.readings.n_labelers

        def count(event: Floats) -> Floats:
            total: Floats = np.bincount(self.who, row * event, minlength=n).astype(np.float64)
            return total

        late, quiet_later = float((row * self.late).sum()), float((row * self.quiet_later).sum())
        steps = np.where(self.is_none, 0.0, posterior)
        mistaken = np.bincount(self.solution_of_cell, steps, minlength=len(self.readings.n_steps))
        # A fifth of a short solution can be empty: what counts is the share of mistakes per step that was there to have one.
        exposure = np.where(self.is_none, 0.0, (mistaken / self._weights(before)[1])[self.solution_of_cell])
        places = (np.bincount(self.bin, steps, minlength=BINS) + 1.0) / (np.bincount(self.bin, exposure, minlength=BINS) + BINS)
        none = float(posterior[self.is_none].sum())
        return Abilities(
            sees=_share(count(self.seen), count(self.missed), SEES, SEES_WORTH),
            alarms=_share(count(self.alarm), count(self.quiet), ALARMS, ALARMS_WORTH),
            late=float(_share(np.array([late]), np.array([quiet_later]), LATE, LATE_WORTH)[0]),
            none=(none + 1.0) / (none + steps.sum() + 2.0),
            places=places / places.sum(),
        )

    def shared(self) -> Integers:
        """How many solutions each labeler has that somebody else read too, or whose first mistake is known in part."""
        return np.bincount(self.readings.labeler, self.tells, minlength=self.readings.n_labelers).astype(np.int64)

    def on_grid(self, rows: Integers, others: Floats, abilities: Abilities, labeler: int, name: str) -> tuple[float, float]:
        """The 95 % interval of one labeler's `sees` or `alarms`."""
        believed, worth = (SEES, SEES_WORTH) if name == "sees" else (ALARMS, ALARMS_WORTH)
        grid = (np.arange(GRID) + 0.5) / GRID
        if name == "alarms":
            grid = grid**3  # fine where alarms are: near 0
        rest = others[rows] + self.quiet_later[rows] * np.log1p(-abilities.late) + self.late[rows] * np.log(abilities.late)
        reading = np.cumsum(np.diff(self.reading[rows], prepend=self.reading[rows[0]]) != 0)  # from 0, in the order of the rows
        begins = np.flatnonzero(np.diff(reading, prepend=-1))
        quiet, alarm, seen, missed = (event[rows] for event in (self.quiet, self.alarm, self.seen, self.missed))
        if name == "sees":
            rest = rest + quiet * np.log1p(-abilities.alarms[labeler]) + alarm * np.log(abilities.alarms[labeler])
            hits, others_counts = seen, missed
        else:
            rest = rest + seen * np.log(abilities.sees[labeler]) + missed * np.log1p(-abilities.sees[labeler])
            hits, others_counts = alarm, quiet
        weight = np.exp(rest - np.maximum.reduceat(rest, begins)[reading])
        log = np.zeros(GRID)
        # A row's chance is weight * p^hit * (1 - p)^others. Rows of one reading with the same exponents are added up first: the rest is
        # a product of matrices. Readings in parts, so that memory stays small.
        powers = (1 - grid) ** np.arange(int(others_counts.max()) + 1)[:, None]  # (exponents, GRID)
        for first in range(0, len(begins), PART):
            part = (reading >= first) & (reading < first + PART)
            size = min(PART, len(begins) - first) * len(powers)
            at = (reading[part] - first) * len(powers) + others_counts[part].astype(np.int64)
            chance = np.zeros((size // len(powers), GRID))
            for hit in (0.0, 1.0):
                summed = np.bincount(at, weight[part] * (hits[part] == hit), minlength=size).reshape(-1, len(powers))
                chance += (summed @ powers) * grid**hit
            log += np.log(np.maximum(chance, 1e-300)).sum(axis=0)
        log += (worth * believed) * np.log(grid) + worth * (1 - believed) * np.log1p(-grid)
        width = np.gradient(grid)
        density = np.exp(log - log.max()) * width
        below = np.cumsum(density) / density.sum()
        return float(np.interp(0.025, below, grid)), float(np.interp(0.975, below, grid))


def _share(hits: Floats, others: Floats, believed: float, worth: float) -> Floats:
    """The share of hits, drawn to what is believed; never 0 or 1."""
    return (hits + believed * worth) / (hits + others + worth)


def _distance(before: Abilities, after: Abilities) -> float:
    """The largest change of a probability."""
    parts = [(before.sees, after.sees), (before.alarms, after.alarms), (before.places, after.places)]
    numbers = [abs(before.late - after.late), abs(before.none - after.none)]
    return max(numbers + [float(np.abs(old - new).max()) for old, new in parts if len(old)])


def _believed(n_labelers: int) -> Abilities:
    return Abilities(np.full(n_labelers, SEES), np.full(n_labelers, ALARMS), LATE, 0.5, np.full(BINS, 1 / BINS))


def _fitted_to(abilities: Abilities, n_labelers: int) -> Abilities:
    """Beliefs about labelers who came later are added."""
    more = n_labelers - len(abilities.sees)
    if more <= 0:
        return abilities
    return replace(
        abilities,
        sees=np.concatenate([abilities.sees, np.full(more, SEES)]),
        alarms=np.concatenate([abilities.alarms, np.full(more, ALARMS)]),
    )


def _best(values: Floats, offsets: Integers) -> Integers:
    """The index within each solution of its largest value; the earliest of equal ones."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    top = np.maximum.reduceat(values, offsets[:-1])
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    hits = np.flatnonzero(values >= top[owner])
    firsts = hits[np.unique(owner[hits], return_index=True)[1]]
    return firsts - offsets[:-1]


def from_lists(n_steps: Sequence[int], rows: Sequence[tuple[int, int, int]]) -> Readings:
    """Make readings from rows of (solution, labeler, marked)."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Readings(np.array(n_steps, dtype=np.int64), columns[:, 0], columns[:, 1], columns[:, 2])
