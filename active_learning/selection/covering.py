"""Orders by the states of a frozen base: which solutions stand for many others. PURE: arrays in, places out, randomness passed in.

A solution is a point: the mean of its first step-end states, reduced to its principal components, centred among all solutions that are
known and of length 1. What was queued before is known too, so that a batch looks for what no label stands for yet. The order in which
candidates come does not matter: they are sorted by solution, and a seeded draw decides ties.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from active_learning.selection.candidates import Candidates, Indices

Points = NDArray[np.float32]  # (n, d)
Kernel = Callable[[Points], Points]  # squared distances -> how far one point stands for another, 0 to 1

FIRST_STEPS = 12  # the steps of a solution that are looked at: labels end at the first mistake, so late steps are rarely rated
COMPONENTS = 100  # principal components that are kept
FITTED = 4_000  # solutions from which the components are found
BANDWIDTH = 0.5  # of the Gaussian kernel; points lie 1.4 apart if they have nothing in common
NEIGHBOURS = 20  # of which the mean distance says how typical a solution is
MOST_CLUSTERS = 500
ROUNDS_OF_MEANS = 8
AHEAD = 2  # places that are thought through for each place in the batch: limits may refuse some
RADII = 500  # points from which the radius of a ball is found
BLOCK = 128  # rows of a distance matrix at a time: a few megabytes, which stay near the processor
AT_ONCE = 16  # points whose gain is computed anew at a time


# --- points -------------------------------------------------------------------------------------------------------------------


def state_of_solution(steps: NDArray[np.floating]) -> Points:
    """Return what stands for a solution, (width,), of its states at step ends, (steps, width)."""
    mean: Points = np.asarray(steps[:FIRST_STEPS], np.float32).mean(0)
    return mean


def reduced_states(candidates: NDArray[np.floating], queued: NDArray[np.floating]) -> tuple[Points, Points]:
    """Return the principal components of the states of candidates, (n, d), and of what was queued before, (m, d): at most 100 numbers.

    Components are found without labels, from at most FITTED of all solutions, after each number is scaled to a variance of 1. A row
    with nan stays unknown: all nan.
    """
    whole = np.concatenate([candidates, queued]).astype(np.float32)
    is_known = _known(whole)
    known = whole[is_known]
    out = np.full((len(whole), min(COMPONENTS, whole.shape[1])), np.nan, np.float32)
    if len(known):
        fitted = known[np.linspace(0, len(known) - 1, min(FITTED, len(known))).astype(np.int64)]
        mean, scale = fitted.mean(0), fitted.std(0) + 1e-3
        fitted = (fitted - mean) / scale
        is_wide = fitted.shape[1] > len(fitted)
        product = (fitted @ fitted.T if is_wide else fitted.T @ fitted).astype(np.float64)
        values, vectors = np.linalg.eigh(product)
        values, vectors = values[::-1][: out.shape[1]], vectors[:, ::-1][:, : out.shape[1]]
        if is_wide:
            vectors = fitted.T @ (vectors / np.sqrt(np.maximum(values, 1e-9)))
        vectors = vectors.astype(np.float32)
        found = ((known - mean) / scale) @ vectors
        out[np.ix_(is_known, np.arange(found.shape[1]))] = found
        out[is_known, found.shape[1] :] = 0  # fewer solutions than components
    return out[: len(candidates)], out[len(candidates) :]


class _Placed:
    """Candidates as points of length 1 around the centre of all, in a drawn order that does not depend on that in which they came."""

    def __init__(self, candidates: Candidates, rng: np.random.Generator) -> None:
        states, queued = candidates.states.astype(np.float32), candidates.queued_states.astype(np.float32)
        by_solution = np.argsort(candidates.solutions, kind="stable")
        drawn = rng.permutation(by_solution)
        is_known = _known(states)
        self.places: Indices = drawn[is_known[drawn]].astype(np.int64)
        queued = queued[_known(queued)]
        queued = queued[np.lexsort(queued.T)] if queued.size else queued
        both = np.concatenate([states[self.places], queued])
        # Summed in float64 and by solution, the centre is the same in every order.
        ordered = by_solution[is_known[by_solution]]
        if len(both):
            both = both - np.concatenate([states[ordered], queued]).astype(np.float64).mean(0).astype(np.float32)
        length = np.linalg.norm(both, axis=1, keepdims=True)
        both = np.divide(both, length, out=np.zeros_like(both), where=length > 1e-6)
        self.free: Points = both[: len(self.places)]
        self.queued: Points = both[len(self.places) :]


def _known(states: Points) -> NDArray[np.bool_]:
    """Return which rows are known: none if they have no numbers."""
    is_known: NDArray[np.bool_] = np.logical_and(np.isfinite(states).all(axis=1), states.shape[1] > 0)
    return is_known


def _apart(some: Points, others: Points) -> Points:
    """Return the squared distances between points, (n, m)."""
    squares: Points = (-2 * some) @ others.T
    squares += np.einsum("ij,ij->i", some, some)[:, None]
    squares += np.einsum("ij,ij->i", others, others)
    return np.maximum(squares, 0, out=squares)


# --- orders -------------------------------------------------------------------------------------------------------------------


def typical(candidates: Candidates, rng: np.random.Generator, places: int) -> Indices:
    """Order as TypiClust does (Hacohen et al., 2022, arXiv 2202.02794, section 3): the most typical solution of each uncovered cluster.

    As many k-means clusters as solutions were queued and are asked for, at most 500. Clusters with the fewest queued solutions come
    first, the largest first. Typical is what has the least mean distance to its 20 nearest neighbours in the cluster.
    """
    placed = _Placed(candidates, rng)
    n = len(placed.free)
    if not n:
        return placed.places
    both = np.concatenate([placed.free, placed.queued])
    own = _clusters(both, max(1, min(len(placed.queued) + places, MOST_CLUSTERS, len(both) // 2)), rng)
    n_clusters = int(own.max()) + 1
    size, queued = np.bincount(own, minlength=n_clusters), np.bincount(own[n:], minlength=n_clusters)
    rank = np.zeros(n, np.int64)
    for cluster in np.unique(own[:n]):  # others hold only what was queued
        members = np.flatnonzero(own[:n] == cluster)
        order = np.argsort(_typicality(both[members], both[own == cluster]), kind="stable")
        rank[members[order]] = np.arange(len(members))
    return placed.places[np.lexsort((own[:n], -size[own[:n]], queued[own[:n]] + rank))]


def covering(candidates: Candidates, rng: np.random.Generator, places: int) -> Indices:
    """Order as ProbCover does (Yehuda et al., NeurIPS 2022, arXiv 2205.11320, algorithm 1): the ball with the most uncovered solutions.

    The paper takes the greatest radius at which 95 % of the balls hold one k-means cluster only, with as many clusters as classes.
    States have no such classes, and on real solutions that rule leaves most balls with one solution. So the radius is the one at which
    as many balls as solutions were queued and are asked for could hold all solutions, if no two balls overlapped.
    """
    placed = _Placed(candidates, rng)
    radius = _radius(placed.free, share=1 / max(1, len(placed.queued) + places))
    return placed.places[_greedy(placed, lambda squares: (squares <= radius).astype(np.float32), places)]


def herding(candidates: Candidates, rng: np.random.Generator, places: int) -> Indices:
    """Order as MaxHerding does (Bae et al., 2024, arXiv 2407.12212, section 3): the greatest gain in kernel coverage.

    Coverage is the sum over solutions of the largest exp(-|a - b|^2 / 0.5^2) to one that is queued or taken.
    """
    placed = _Placed(candidates, rng)
    return placed.places[_greedy(placed, _gaussian, places)]


def diverse(candidates: Candidates, rng: np.random.Generator, places: int) -> Indices:
    """Order by k-center greedy (Sener and Savarese, Core-Set, 2018, arXiv 1708.00489, algorithm 1): what lies furthest from all others.

    The first is drawn if nothing was queued before.
    """
    placed = _Placed(candidates, rng)
    n = len(placed.free)
    if not n:
        return placed.places
    far = np.full(n, np.inf, np.float32)
    for start in range(0, len(placed.queued), BLOCK):
        far = np.minimum(far, _apart(placed.free, placed.queued[start : start + BLOCK]).min(1))
    taken: list[int] = []
    for _ in range(min(n, AHEAD * max(1, places))):
        best = int(far.argmax())
        taken.append(best)
        far = np.minimum(far, _apart(placed.free, placed.free[best : best + 1])[:, 0])
        far[taken] = -1
    return placed.places[_with_rest(taken, far)]


def _gaussian(squares: Points) -> Points:
    squares *= -1 / BANDWIDTH**2
    return np.exp(squares, out=squares)


# --- parts of them ------------------------------------------------------------------------------------------------------------


def _greedy(placed: _Placed, kernel: Kernel, places: int) -> Indices:
    """Order points by their gain in coverage, each after those before it.

    A gain can only fall as more is taken, so a point is looked at again only while its last known gain is the greatest (Minoux, 1978).
    Costs one pass over all pairs in blocks; no more than BLOCK rows of them are held.
    """
    points, n = placed.free, len(placed.free)
    covered = np.zeros(n, np.float32)
    for start in range(0, len(placed.queued), BLOCK):
        covered = np.maximum(covered, kernel(_apart(placed.queued[start : start + BLOCK], points)).max(0))
    gains = np.empty(n, np.float32)
    for start in range(0, n, BLOCK):
        gains[start : start + BLOCK] = _gain(kernel(_apart(points[start : start + BLOCK], points)), covered)
    taken: list[int] = []
    for _ in range(min(n, AHEAD * max(1, places))):
        fresh: set[int] = set()
        while (best := int(gains.argmax())) not in fresh:
            stale = np.append(np.argpartition(-gains, min(AT_ONCE, n) - 1)[:AT_ONCE], best)  # among equals the partition may miss it
            gains[stale] = np.where(gains[stale] >= 0, _gain(kernel(_apart(points[stale], points)), covered), -1)
            fresh.update(stale.tolist())
        taken.append(best)
        covered = np.maximum(covered, kernel(_apart(points[best : best + 1], points))[0])
        gains[best] = -1
    return _with_rest(taken, gains)


def _gain(near: Points, covered: Points) -> Points:
    near -= covered
    gains: Points = np.maximum(near, 0, out=near).sum(1)
    return gains


def _with_rest(taken: list[int], worth: Points) -> Indices:
    """Append the places that were not taken, the worthiest first: a part must not run out because limits refused what it took."""
    rest = np.argsort(-worth, kind="stable")
    return np.concatenate([np.array(taken, np.int64), rest[: len(worth) - len(taken)]]).astype(np.int64)


def _radius(points: Points, *, share: float) -> float:
    """Return the squared radius at which a ball around a point holds this share of all points on average."""
    if not len(points):
        return 0.0
    some = points[:RADII]  # in drawn order
    return float(np.quantile(_apart(some, points), min(1.0, share)))


def _typicality(members: Points, cluster: Points) -> Points:
    """Return the mean distance of each member to its nearest neighbours in its cluster: the least is the most typical."""
    n_near = min(NEIGHBOURS, len(cluster) - 1)
    if n_near < 1:
        return np.zeros(len(members), np.float32)
    means = []
    for start in range(0, len(members), BLOCK):
        nearest = np.partition(_apart(members[start : start + BLOCK], cluster), n_near, axis=1)[:, : n_near + 1]  # one of them is itself
        means.append(np.sqrt(nearest).sum(1) / n_near)
    return np.concatenate(means)


def _clusters(points: Points, k: int, rng: np.random.Generator) -> Indices:
    """Return the k-means cluster of each point, from k-means++ seeds."""
    centres = np.empty((k, points.shape[1]), np.float32)
    far = np.full(len(points), np.inf)
    for number in range(k):
        chances = np.cumsum(far) if number else np.arange(1.0, len(points) + 1)
        if not chances[-1] > 0:  # fewer different points than clusters
            centres = centres[:number]
            break
        centres[number] = points[min(int(np.searchsorted(chances, rng.random() * chances[-1], side="right")), len(points) - 1)]
        far = np.minimum(far, _apart(points, centres[number : number + 1])[:, 0])
    for _ in range(ROUNDS_OF_MEANS):
        nearest = [_apart(points[start : start + BLOCK], centres).argmin(1) for start in range(0, len(points), BLOCK)]
        own = np.concatenate(nearest).astype(np.int64)
        order = np.argsort(own, kind="stable")
        used, starts = np.unique(own[order], return_index=True)
        centres[used] = np.add.reduceat(points[order], starts, axis=0) / np.bincount(own)[used][:, None]
    return own
