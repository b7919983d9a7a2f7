"""Find work that is not like honest work: sequential tests over a person's verdicts. Pure numpy: no Django, no files.

Each test is an *e-process*: a number that starts at 1, and that for honest work exceeds x at any moment with a probability of at most 1/x
(Ville's inequality; Ramdas and others, "Game-theoretic statistics and safe anytime-valid inference", 2023). So nobody is flagged more
often because the figures are looked at often. A flag is raised at the number of people over a part of 10 % (TESTS): by Bonferroni's
correction, the chance that anybody in a project of honest people is ever flagged is at most 10 %. What follows from a
flag is for a person to decide.

The tests:
- truth: verdicts on solutions whose first mistake is known (gold, adjudications), or whose final answer is wrong. Honest people see 60 to
  97 % of the mistakes and call 0 to 10 % of the good steps a mistake; all these abilities are taken to be equally common. Against them
  stand people whose verdicts do not depend on the solution: nearly always the same place, any place, random keys, or a habit of their own.
  The e-value is the likelihood of their verdicts under the second, over the one under the first.
- others: the same, on all solutions. What peers and the model say of the first mistake takes the place of the truth, by how good the
  readings of each are.
- one key: the same kind of verdict (no mistake, first step, last step) more often than the peers.
- pace: faster than people read, or in less than a quarter of the time that the peers need for as much text.
- copies of the model, copies of a person: the same first mistake as the model or another person more often than the peers, who are counted
  apart where the other readers of the solution agree with the source, where they do not, and where there are none.

The work can turn bad later. So each test is a mixture over the moments when it began (every 20 solutions), with weights that sum to 1.

*Peers* are the other people with at least MINIMUM verdicts who are backed by what is known: an honest reading explains their verdicts
better than a habit. So a majority of bad work does not become the measure. With fewer than PEERS of them, tests against peers are not made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.counting import counted

Floats = NDArray[np.float64]

NONE = 0  # no mistake; steps count from 1
FALSE_ALARM = 0.1  # the chance that anybody in a project of honest people is ever flagged
# The tests, each with its part of the false alarms.
TESTS = {"truth": 0.2, "others": 0.4, "one_key": 0.1, "pace": 0.1, "copies_model": 0.1, "copies_person": 0.1}
MINIMUM = 10  # verdicts of a person before anything is said
PEERS = 3
BACKED = 1.0  # log of the ratio of honest over habit from which a person is a peer
BLOCK = 20  # solutions between two moments at which bad work may have begun
# Honest abilities: how often a mistake is seen, how often a good step is called one, and what happens after a missed mistake.
SEES, ALARMS, LATE = (0.6, 0.7, 0.8, 0.9, 0.97), (0.002, 0.02, 0.04, 0.07, 0.1), (0.15, 0.3, 0.5)
PEER = (0.8, 0.04, 0.3)  # what the reading of a peer is taken to be worth at first; then each peer's and the model's is estimated
RIGHT_AND_WRONG = 0.1  # share of wrong final answers whose steps have no mistake: the reference answer can be wrong
FASTEST = 50.0  # characters a second: twice what fast readers of easy texts reach (Brysbaert 2019: 238 words a minute)
QUARTER = 0.25  # of the peers' time
SLACK, SPREADS = 0.1, 2.5  # how far above the peers' mean an honest person can be: at least SLACK, and SPREADS standard deviations
KEY_PLACES = {"none": "“no mistake”", "first": "the first step", "last": "the last step"}


@dataclass(frozen=True)
class WatchedVerdict:
    """What one person marked in one solution."""

    solution: int
    person: int
    at: float  # any clock, for the order
    marked: int  # a step from 1, or NONE
    n_steps: int
    seconds: float | None = None  # active time; None: not known
    characters: int = 0  # of the problem and the steps up to the mark
    known: frozenset[int] | None = None  # the marks that are right, from gold or an adjudication
    is_wrong: bool | None = None  # of the final answer; None: not known
    model: int | None = None  # what the model marks


@dataclass(frozen=True)
class Finding:
    """What a test found about a person. It is a flag if `is_flag`."""

    person: int
    kind: str
    log_evidence: float  # natural logarithm of the e-value
    log_limit: float  # from here a flag is raised
    people: int
    solutions: int  # that the test used
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_flag(self) -> bool:
        """Whether the evidence reaches the limit."""
        return self.log_evidence >= self.log_limit


@dataclass(frozen=True)
class WatchResult:
    """All findings, and what could not be judged, in sentences."""

    findings: list[Finding]
    remarks: list[str]

    @property
    def flags(self) -> list[Finding]:
        """The findings that are flags."""
        return [finding for finding in self.findings if finding.is_flag]


def watch(
    verdicts: Iterable[WatchedVerdict], *, since: Mapping[tuple[int, str], float] | None = None, only: Iterable[int] | None = None
) -> WatchResult:
    """Test the work of each person (or of `only` some) against what is known and against the peers.

    `since` names for a person and a test the moment up to which somebody has judged the work: only later work counts.
    """
    table = _Verdicts(sorted(verdicts, key=lambda verdict: (verdict.at, verdict.solution, verdict.person)))
    since = since or {}
    people = len(table.of_person)
    if not people:
        return WatchResult([], [])
    wanted = set(table.of_person) if only is None else set(only) & set(table.of_person)
    findings: list[Finding] = []
    for person in sorted(wanted):
        for kind, part in TESTS.items():
            log_limit = float(np.log(people / (FALSE_ALARM * part)))
            verdicts_left = [one for one in table.of_person[person] if one.at > since.get((person, kind), -np.inf)]
            if len(verdicts_left) >= MINIMUM and (found := getattr(table, kind)(person, verdicts_left)):
                log_evidence, used, figures = found
                findings.append(Finding(person, kind, log_evidence, log_limit, people, used, figures))
    return WatchResult(findings, table.remarks())


def bound(finding: Finding) -> str:
    """Say how often honest work is flagged, in two sentences."""
    limit = float(np.exp(finding.log_limit))
    return (
        f"Honest work shows evidence as strong as this in at most 1 of {limit:,.0f} cases, however often it is looked at. "
        f"With {counted(finding.people, 'person', 'people')} and {len(TESTS)} tests, the chance that anybody in a project of honest people "
        f"is ever flagged is at most {FALSE_ALARM:.0%}."
    )


def describe(finding: Finding) -> list[str]:
    """Say what a test found, in sentences. They name nobody: where another person is meant, that is `figures["source"]`."""
    figures, n = finding.figures, finding.solutions
    share = lambda name: f"{figures[name]:.0%}"  # noqa: E731
    match finding.kind:
        case "truth":
            lines = [f"On {n} solutions about which something is known, {figures['right']} verdicts fit it.", _habit(figures)]
        case "others":
            lines = [f"On {n} solutions that others read too, {share('agrees')} of the verdicts are those of others.", _habit(figures)]
        case "one_key":
            lines = [f"{share('rate')} of {n} verdicts are {KEY_PLACES[figures['place']]}. Among the peers it is {share('peers')}."]
        case "pace":
            lines = [
                f"{share('rate')} of {n} solutions took less time than reading them takes. The middle pace is "
                f"{figures['pace']:,.0f} characters a second"
                + (f"; among the peers it is {figures['peers']:,.0f}." if figures["peers"] else ".")
            ]
        case "copies_model":
            lines = [f"{share('rate')} of {n} verdicts are those of the model. Among the peers it is {share('peers')}."]
        case _:
            lines = [
                f"{share('rate')} of {n} verdicts are those that another person gave before. Among other pairs of people it is "
                f"{share('peers')}."
            ]
    if "entropy" in figures:
        peers = f" Among the peers it is {figures['peers_entropy']:.1f} bits." if figures.get("peers_entropy") is not None else ""
        lines.append(
            f"The variety of the verdicts is {figures['entropy']:.1f} bits (0: always the same kind; {np.log2(6):.1f} at most).{peers} The "
            f"longest run of the same kind is {figures['run']}."
        )
    return lines


def _habit(figures: Mapping[str, Any]) -> str:
    return f"{figures['habit']} explains the verdicts better than any honest reading."


# --- e-processes ----------------------------------------------------------------------------------------------------------------


def restarts(log_ratios: Floats) -> float:
    """Mix one log ratio per verdict over the moments when bad work began: every BLOCK verdicts, weights 1/(k(k+1)), which sum to 1.

    `log_ratios`: (verdicts, alternatives), summed from each moment on. The alternatives have the same weight. Returns the log e-value.
    """
    if not len(log_ratios):
        return 0.0
    tails = np.cumsum(log_ratios[::-1], axis=0)[::-1][::BLOCK]
    return _mix(_log_mean(tails, axis=1))


def above(hits: Floats, usual: Floats) -> float:
    """Test whether hits (0 or 1) come more often than `usual`, the highest honest probability of each. Returns the log e-value."""
    higher = usual[:, None] + (1 - usual[:, None]) * np.array([[0.4, 0.7, 0.9, 0.98]])
    return restarts(np.where(hits[:, None] > 0, np.log(higher / usual[:, None]), np.log((1 - higher) / (1 - usual[:, None]))))


def _mix(log_values: Floats) -> float:
    """Mix e-values by moment of beginning: weight 1/2, 1/6, 1/12 ..; what is left of the weights counts as 1."""
    k = np.arange(1, len(log_values) + 1)
    weights = 1.0 / (k * (k + 1))
    return float(np.logaddexp.reduce(np.append(log_values + np.log(weights), np.log(1.0 / (len(k) + 1)))))


def _log_mean(values: Floats, *, axis: int) -> Floats:
    return np.asarray(np.logaddexp.reduce(values, axis=axis) - np.log(values.shape[axis]))


# --- readings -------------------------------------------------------------------------------------------------------------------

READERS = np.array([(sees, alarms, 0.3) for sees in (0.1, 0.3, 0.5, 0.65, 0.8, 0.9, 0.97) for alarms in (0.003, 0.02, 0.05, 0.1, 0.2)])
HONEST = np.array([(sees, alarms, late) for sees in SEES for alarms in ALARMS for late in LATE])
HABITS = ("Always “no mistake”", "Always the first step", "Always the last step", "Any place with the same chance", "Keys at random",
          "A habit of this person, whatever the solution is,")  # fmt: skip


def chances(marked: int, n_steps: int, abilities: Floats) -> Floats:
    """Return the probability of a mark for each ability and true first mistake: (abilities, n_steps + 1); the last one is no mistake."""
    sees, alarms, late = (abilities[:, [column]] for column in range(3))
    true = np.arange(1, n_steps + 2)[None, :]  # n_steps + 1: no mistake
    stop = n_steps + 1 if marked == NONE else marked
    quiet = (1 - alarms) ** (np.minimum(true, stop) - 1)
    missed = quiet * (1 - sees) * (1 - late) ** np.maximum(stop - 1 - true, 0) * (1.0 if marked == NONE else late)
    at = 1.0 if marked == NONE else sees
    after = quiet if marked == NONE else quiet * alarms
    return np.asarray(np.where(true < stop, missed, np.where(true == stop, quiet * at, after)))


def habits(marked: int, n_steps: int) -> Floats:
    """Return the probability of a mark by each habit that does not depend on the solution: all but the person's own."""
    stray = 0.04
    places = n_steps + 1

    def mostly(place: int) -> float:
        return 1 - stray if marked == place else stray / (places - 1)

    keys = (2 / 3) ** n_steps if marked == NONE else (2 / 3) ** (marked - 1) / 3
    return np.array([mostly(NONE), mostly(1), mostly(n_steps), 1 / places, keys])


def place_of(marked: int, n_steps: int) -> int:
    """Return where a mark is: 0 no mistake, 1 the first step, 2 the last step, 3 to 5 by thirds of what is between."""
    if marked == NONE:
        return 0
    if marked == 1:
        return 1
    return 2 if marked == n_steps else 3 + min(2, (marked - 2) * 3 // max(n_steps - 2, 1))


def _sizes(n_steps: int) -> Floats:
    """Return how many marks are in each place of `place_of`."""
    sizes = np.zeros(6)
    for marked in range(n_steps + 1):
        sizes[place_of(marked, n_steps)] += 1
    return sizes


class _Verdicts:
    """The verdicts by person and by solution, and what the peers usually do."""

    def __init__(self, verdicts: Sequence[WatchedVerdict]) -> None:
        self.of_person: dict[int, list[WatchedVerdict]] = {}
        self.of_solution: dict[int, list[WatchedVerdict]] = {}
        for verdict in verdicts:
            self.of_person.setdefault(verdict.person, []).append(verdict)
            self.of_solution.setdefault(verdict.solution, []).append(verdict)
        self.backing = {person: self._backing(own) for person, own in self.of_person.items() if len(own) >= MINIMUM}
        self.peers = {person for person, log_ratio in self.backing.items() if log_ratio >= BACKED}
        self.truths: dict[tuple[int, int], Floats] = {}
        marks = [verdict for person in self.peers for verdict in self.of_person[person]]
        self.none_if = {
            is_wrong: (1 + sum(one.marked == NONE for one in marks if one.is_wrong is is_wrong))
            / (2 + sum(one.is_wrong is is_wrong for one in marks))
            for is_wrong in (True, False, None)
        }
        self.rates: dict[tuple[str, int], tuple[float, int]] = {}
        for person in self.peers:
            own = self.of_person[person]
            for place, number in (("none", 0), ("first", 1), ("last", 2)):
                self.rates[place, person] = float(np.mean([place_of(one.marked, one.n_steps) == number for one in own])), len(own)
        self.pace_of = {person: pace for person in self.peers if (pace := _pace(self.of_person[person]))}
        self.worth: dict[int | None, Floats] = {}  # by peer, and by None for the model
        self.worth = self._worth()
        self._matches: dict[str, dict[int, tuple[Floats, Floats]]] = {}

    def remarks(self) -> list[str]:
        """Say what cannot be judged."""
        judged = len(self.backing)
        if not judged:
            return [f"Nobody has {MINIMUM} verdicts yet. Before that nothing is said of anybody."]
        lines = []
        if len(self.peers) < PEERS:
            lines.append(
                f"People are not compared with each other: the verdicts of {len(self.peers)} of {counted(judged, 'person', 'people')} fit "
                f"what is known, and at least {PEERS} people are needed. Gold, adjudications and reference answers say whose verdicts can "
                "be the measure."
            )
        elif 2 * len(self.peers) < judged:
            lines.append(
                f"Most people do not fit what is known: {judged - len(self.peers)} of {judged}. Only the other {len(self.peers)} are the "
                "measure in comparisons."
            )
        return lines

    # --- against what is known ------------------------------------------------------------------------------------------------------

    def truth(self, person: int, own: Sequence[WatchedVerdict]) -> tuple[float, int, dict[str, Any]] | None:
        """Test the verdicts on solutions about which something is known, without a word from others."""
        rows = [row for one in own if (row := _known(one))]
        if len(rows) < 3:
            return None
        fits = sum(
            one.marked in one.known if one.known is not None else one.marked != NONE for one in own if one.known is not None or one.is_wrong
        )
        log_evidence, habit = _universal(rows)
        return log_evidence, len(rows), {"right": fits, "habit": HABITS[habit]} | self._spread(own, person)

    def _backing(self, own: Sequence[WatchedVerdict]) -> float:
        """Return how much better an honest reading explains a person's verdicts than a habit: the log of the ratio."""
        rows = [row for one in own if (row := _known(one, with_right_answers=True))]
        if not rows:
            return -np.inf
        honest, habitual = np.array([row[0] for row in rows]), _with_own(rows)
        return float(_log_mean(honest.sum(axis=0), axis=0) - _log_mean(habitual.sum(axis=0), axis=0))

    # --- against others -------------------------------------------------------------------------------------------------------------

    def others(self, person: int, own: Sequence[WatchedVerdict]) -> tuple[float, int, dict[str, Any]] | None:
        """Test the verdicts on solutions that peers read too, by what they say."""
        if len(self.peers - {person}) < PEERS:
            return None
        rows, agrees = [], []
        for one in own:
            readers = self._readers(one, without={person})
            if not readers and one.known is None and not one.is_wrong and (one.model is None or None not in self.worth):
                continue
            truth = self._truth(one, readers, with_model=True)
            honest = np.log(np.maximum(chances(one.marked, one.n_steps, HONEST) @ truth, 1e-12))
            rows.append((honest, np.log(habits(one.marked, one.n_steps)), place_of(one.marked, one.n_steps), _sizes(one.n_steps), False))
            agrees += [other.marked == one.marked for other in readers]
        if len(rows) < MINIMUM or len(agrees) < MINIMUM:
            return None
        log_evidence, habit = _universal(rows)
        return log_evidence, len(rows), {"agrees": float(np.mean(agrees)), "habit": HABITS[habit]} | self._spread(own, person)

    def _readers(self, verdict: WatchedVerdict, *, without: set[int]) -> list[WatchedVerdict]:
        return [other for other in self.of_solution[verdict.solution] if other.person in self.peers and other.person not in without]

    def _worth(self) -> dict[int | None, Floats]:
        """Estimate how good the readings of each peer and of the model are, by what the other peers marked."""
        likely: dict[int | None, Floats] = {}
        for person in sorted(self.peers):
            for one in self.of_person[person]:
                others = self._readers(one, without={person})
                if not others and one.known is None:
                    continue
                own = np.log(np.maximum(chances(one.marked, one.n_steps, READERS) @ self._truth(one, others), 1e-12))
                likely[person] = likely.get(person, np.zeros(len(READERS))) + own
                if one.model is not None and one is next(other for other in self.of_solution[one.solution] if other.person in self.peers):
                    of_model = chances(one.model, one.n_steps, READERS) @ self._truth(one, [one, *others])
                    likely[None] = likely.get(None, np.zeros(len(READERS))) + np.log(np.maximum(of_model, 1e-12))
        weights = {reader: np.exp(log_likely - log_likely.max()) for reader, log_likely in likely.items()}
        return {reader: np.atleast_2d(weight @ READERS / weight.sum()) for reader, weight in weights.items()}

    def _truth(self, verdict: WatchedVerdict, readers: Sequence[WatchedVerdict], *, with_model: bool = False) -> Floats:
        """Return how likely each first mistake is, by what is known and by what peers marked: (n_steps + 1,), the last one is none."""
        none, n = self.none_if[verdict.is_wrong], verdict.n_steps
        log_truth = np.log(np.append(np.full(n, (1 - none) / n), none))
        if verdict.known is not None:
            possible = np.array([(step if step <= n else NONE) in verdict.known for step in range(1, n + 2)])
            log_truth = np.where(possible, log_truth, -np.inf) if possible.any() else log_truth
        for other in readers:
            worth = self.worth.get(other.person, np.array([PEER]))
            log_truth = log_truth + np.log(np.maximum(chances(other.marked, n, worth)[0], 1e-12))
        if with_model and verdict.model is not None and None in self.worth:
            log_truth = log_truth + np.log(np.maximum(chances(verdict.model, n, self.worth[None])[0], 1e-12))
        weights = np.exp(log_truth - log_truth.max())
        return np.asarray(weights / weights.sum())

    def one_key(self, person: int, own: Sequence[WatchedVerdict]) -> tuple[float, int, dict[str, Any]] | None:
        """Test whether one kind of verdict comes more often than among the peers."""
        found = []
        for number, place in enumerate(KEY_PLACES):
            rates = [rate for (name, other), (rate, _) in self.rates.items() if name == place and other != person]
            if len(rates) < PEERS:
                return None
            hits = np.array([float(place_of(one.marked, one.n_steps) == number) for one in own])
            found.append((above(hits, np.full(len(hits), _upper(rates))), place, float(hits.mean()), float(np.mean(rates))))
        best = max(found)
        log_evidence = float(np.logaddexp.reduce([one[0] for one in found]) - np.log(len(found)))
        return log_evidence, len(own), {"place": best[1], "rate": best[2], "peers": best[3]} | self._spread(own, person)

    def pace(self, person: int, own: Sequence[WatchedVerdict]) -> tuple[float, int, dict[str, Any]] | None:
        """Test whether solutions take less time than reading, or than a quarter of what peers need."""
        timed = [one for one in own if one.seconds is not None and one.characters > 0]
        if len(timed) < MINIMUM:
            return None
        paces = [pace for other, pace in self.pace_of.items() if other != person]
        usual = float(np.median(paces)) if len(paces) >= PEERS else None
        fastest = min(FASTEST, usual / QUARTER) if usual else FASTEST
        hits = np.array([float((one.seconds or 0.0) < one.characters / fastest) for one in timed])
        figures = {"rate": float(hits.mean()), "pace": _pace(timed) or 0.0, "peers": usual}
        return above(hits, np.full(len(hits), 0.3)), len(timed), figures

    # --- copies -----------------------------------------------------------------------------------------------------------------------

    def copies_model(self, person: int, own: Sequence[WatchedVerdict]) -> tuple[float, int, dict[str, Any]] | None:
        """Test whether the verdicts are the model's more often than the peers' are."""
        if "model" not in self._matches:
            self._matches["model"] = {peer: self._matched(self.of_person[peer]) for peer in sorted(self.peers)}
        usual = {peer: matched for peer, matched in self._matches["model"].items() if peer != person and len(matched[0]) >= MINIMUM}
        hits, strata = self._matched(own)
        if len(usual) < PEERS or len(hits) < MINIMUM:
            return None
        limits = _limits(usual.values())
        return above(hits, limits[strata.astype(int)]), len(hits), {
            "rate": float(hits.mean()), "peers": float(np.mean([matched[0].mean() for matched in usual.values()])),
        }  # fmt: skip

    def copies_person(self, person: int, own: Sequence[WatchedVerdict]) -> tuple[float, int, dict[str, Any]] | None:
        """Test whether the verdicts are those that another person gave before."""
        by_source: dict[int, list[tuple[float, int]]] = {}
        for one in own:
            for source in self.of_solution[one.solution]:
                if source.person != person and source.at < one.at:
                    by_source.setdefault(source.person, []).append((float(source.marked == one.marked), self._stratum(one, source)))
        sources = {source: rows for source, rows in by_source.items() if len(rows) >= MINIMUM}
        pairs = self._pairs(person)
        if not sources or len(pairs) < 2 * MINIMUM:
            return None
        rates = np.array(pairs)
        limits = _limits([(rates[:, 0], rates[:, 1])])
        found = sorted(
            (above(np.array([row[0] for row in rows]), limits[[row[1] for row in rows]]), source) for source, rows in sources.items()
        )
        # Each of the others could be the source, and most are never tested: their e-value is 1.
        n_others = max(len(self.of_person) - 1, 1)
        log_evidence = np.logaddexp.reduce([one[0] for one in found] + [np.log(max(n_others - len(found), 1e-9))]) - np.log(n_others)
        best = found[-1][1]
        rows = sources[best]
        return float(log_evidence), len(rows), {
            "source": best, "rate": float(np.mean([row[0] for row in rows])), "peers": float(rates[:, 0].mean()),
        }  # fmt: skip

    def _pairs(self, person: int) -> list[tuple[float, int]]:
        """Return the matches of all pairs of peers, without one person, with their strata."""
        if "pairs" not in self.__dict__:
            self.pairs = [
                (one.person, source.person, float(source.marked == one.marked), self._stratum(one, source))
                for readers in self.of_solution.values()
                for one in readers
                if one.person in self.peers
                for source in readers
                if source.at < one.at and source.person in self.peers
            ]
        return [(hit, stratum) for one, source, hit, stratum in self.pairs if person not in (one, source)]

    def _stratum(self, one: WatchedVerdict, source: WatchedVerdict) -> int:
        """Return 0 if nobody else read a solution, 1 if at least half of the other peers agree with the source, 2 if fewer do."""
        others = [other.marked == source.marked for other in self._readers(one, without={one.person, source.person})]
        return (1 if 2 * sum(others) >= len(others) else 2) if others else 0

    def _matched(self, own: Sequence[WatchedVerdict]) -> tuple[Floats, Floats]:
        """Return whether each verdict is the model's, and its stratum."""
        rows = []
        for one in own:
            if one.model is not None:
                others = [other.marked == one.model for other in self._readers(one, without={one.person})]
                stratum = (1 if 2 * sum(others) >= len(others) else 2) if others else 0
                rows.append((float(one.marked == one.model), float(stratum)))
        found = np.array(rows).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def _spread(self, own: Sequence[WatchedVerdict], person: int) -> dict[str, Any]:
        """Return the entropy of a person's kinds of verdict and the longest run of one, beside the peers' middle entropy."""
        places = [place_of(one.marked, one.n_steps) for one in own]
        others = [_entropy([place_of(one.marked, one.n_steps) for one in self.of_person[peer]]) for peer in self.peers if peer != person]
        run = longest = 1
        for before, after in zip(places, places[1:], strict=False):
            run = run + 1 if before == after else 1
            longest = max(longest, run)
        return {"entropy": _entropy(places), "run": longest, "peers_entropy": float(np.median(others)) if len(others) >= PEERS else None}


Row = tuple[Floats, Floats, int, Floats, bool]  # log chances: honest, habits; place, sizes of places, whether only "found or not" counts


def _known(one: WatchedVerdict, *, with_right_answers: bool = False) -> Row | None:
    """Return how likely a verdict is, by what is known of the solution. None: nothing is known."""
    n = one.n_steps
    if one.known is not None:
        truth = np.array([float((step if step <= n else NONE) in one.known) for step in range(1, n + 2)])
        if not truth.sum():
            return None
        # Of several right marks, the best for this verdict: which one a person sees first is theirs.
        per_truth = chances(one.marked, n, HONEST)[:, truth > 0].max(axis=1)
        return np.log(np.maximum(per_truth, 1e-12)), np.log(habits(one.marked, n)), place_of(one.marked, n), _sizes(n), False
    if one.is_wrong is None or not (one.is_wrong or with_right_answers):
        return None
    # Of a final answer alone, it only counts whether a mistake was found.
    none = RIGHT_AND_WRONG if one.is_wrong else 1 - 2 * RIGHT_AND_WRONG
    truth = np.append(np.full(n, (1 - none) / n), none)
    silent = chances(NONE, n, HONEST) @ truth
    silent_habits = habits(NONE, n)
    is_none = one.marked == NONE
    honest, habit = (silent, silent_habits) if is_none else (1 - silent, 1 - silent_habits)
    return np.log(np.maximum(honest, 1e-12)), np.log(np.maximum(habit, 1e-12)), place_of(one.marked, n), _sizes(n), True


def _universal(rows: Sequence[Row]) -> tuple[float, int]:
    """Return the log e-value of habits against all honest abilities, and the habit that fits best."""
    honest = np.array([row[0] for row in rows])
    values, best = [], 0
    for start in range(0, len(rows), BLOCK):
        tail = _with_own(rows[start:]).sum(axis=0)
        values.append(float(_log_mean(tail, axis=0) - _log_mean(honest[start:].sum(axis=0), axis=0)))
        best = best if start else int(tail.argmax())
    return _mix(np.array(values)), best


def _with_own(rows: Sequence[Row]) -> Floats:
    """Return the log chances by habit, with the person's own as the last: learned from the verdicts before (Krichevsky and Trofimov)."""
    counts, found = np.full(6, 0.5), []
    for _, habit, place, sizes, is_binary in rows:
        left = np.where(sizes > 0, counts, 0.0)
        chance = left[place] / left.sum() / (1 if is_binary else sizes[place])
        if is_binary and place != 0:
            chance = 1 - left[0] / left.sum()
        found.append(np.append(habit, np.log(chance)))
        counts[place] += 1
    return np.array(found)


def _upper(rates: Sequence[float]) -> float:
    """Return the highest rate that an honest person can have, by those of the peers."""
    mean = float(np.mean(rates))
    return min(max(mean + SPREADS * float(np.std(rates)), mean + SLACK), 0.95)


def _limits(matched: Iterable[tuple[Floats, Floats]]) -> Floats:
    """Return for each stratum how often an honest person can match: the peers' rate with room above it, as a share of what is left."""
    hits, strata = (np.concatenate(parts) for parts in zip(*matched, strict=True))
    limits = np.empty(3)
    for stratum in range(3):
        own = hits[strata == stratum]
        rate = (own.sum() + 1.0) / (len(own) + 2.0)
        limits[stratum] = min(max(rate + SLACK, rate + 2 * np.sqrt(rate * (1 - rate) / (len(own) + 2))), 0.95)
    return limits


def _pace(verdicts: Sequence[WatchedVerdict]) -> float | None:
    """Return the middle of a person's characters a second. None: too few times."""
    paces = [one.characters / max(one.seconds, 0.1) for one in verdicts if one.seconds is not None and one.characters > 0]
    return float(np.median(paces)) if len(paces) >= MINIMUM else None


def _entropy(places: Sequence[int]) -> float:
    shares = np.bincount(places, minlength=6) / max(len(places), 1)
    return abs(float((shares[shares > 0] * np.log2(shares[shares > 0])).sum()))  # never -0.0
