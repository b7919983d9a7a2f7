"""When one more person is asked for an opinion about a solution. PURE: no Django, no files. The site and the simulation use the same rule.

One person labels a solution. A second is asked if the reward model contradicts the first and is sure of itself, if the first was often
wrong on gold, or if the possible first mistakes stay undecided after one reading. A third and later ones are asked only as long as people
contradict each other. Where all labels are by people in quarantine, somebody is asked in their place. Nobody is asked above the limit.
Source: "Let's Verify Step by Step" served each solution to one person; three experts agree on the first mistake of a wrong solution in 48
to 67 % of cases (ProcessBench), so some solutions need more than one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LEAST_GOLD = 10  # answers on gold before a labeler can count as weak: fewer say little
LEAST_PAIRS = 10  # solutions that two people judged, before it is said how often a second label contradicts the first


class Why(StrEnum):
    """Why one more person is asked. The first that holds is stored."""

    QUARANTINE = "quarantine"
    CONFLICT = "conflict"
    MODEL = "model"
    GOLD = "gold"
    SPREAD = "spread"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a project wants. `limit`: the most people for one solution, None if only the overlap counts. None switches a reason off.

    `model`: how sure the model must be of its own verdict, 0 to 1. `gold`: the least share of right answers on gold, 0 to 1. `spread`: the
    most entropy of the first mistake after one reading, in bits.
    """

    limit: int | None = None
    model: float | None = None
    gold: float | None = None
    spread: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether anybody can be asked."""
        return self.limit is not None


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """What a reward model says of a solution: the first mistake (from 0; None: none), and the probability that no step is a mistake."""

    first_mistake: int | None
    p_none: float

    def against(self, mark: int | None) -> float | None:
        """Return how sure the model is of its own verdict if it is not `mark`; None if both name the same first mistake.

        A model that names a step is as sure as it is that there is a mistake at all: it can be unsure of the step.
        """
        if mark == self.first_mistake:
            return None
        return self.p_none if self.first_mistake is None else 1.0 - self.p_none


@dataclass(frozen=True, slots=True)
class LabelsSoFar:
    """What is known of one solution of which all places are done.

    `marks`: the first mistake (from 0; None: none) that each person named. Somebody who gave up or reported a bad problem names nothing,
    and is only in `people`: how many had the solution. The other figures belong to the first mark: `against` is how sure a model is that
    contradicts it (ModelVerdict.against), `gold` the share of right answers on gold of the person, `entropy` (bits) how undecided the
    first mistake is after this one reading. None: nothing is known, or the model agrees.
    """

    marks: Sequence[int | None]
    people: int
    against: float | None = None
    gold: float | None = None
    entropy: float | None = None
    is_settled: bool = False  # its first mistake is known: an adjudication or gold says it
    quarantined: int = 0  # people who judged it and are in quarantine: their labels do not count, so they are not in `marks`


@dataclass(frozen=True, slots=True)
class Ask:
    """One more person is asked: why, the figure that asked, and the threshold that it passed."""

    why: Why
    value: float
    threshold: float


def next_ask(labels: LabelsSoFar, thresholds: Thresholds) -> Ask | None:
    """Tell whether one more person is asked, and why. None: nobody is asked."""
    asks = asks_of(labels, thresholds)
    return asks[0] if asks else None


def asks_of(labels: LabelsSoFar, thresholds: Thresholds) -> list[Ask]:
    """Return each reason to ask one more person. Empty: nobody is asked."""
    if thresholds.limit is None or labels.people >= thresholds.limit or labels.is_settled:
        return []
    if not labels.marks:
        return [Ask(Why.QUARANTINE, 0.0, 1.0)] if labels.quarantined else []
    if len(labels.marks) > 1:
        conflict = conflict_of(labels.marks)
        return [conflict] if conflict else []
    return second_asks(thresholds, against=labels.against, gold=labels.gold, entropy=labels.entropy)


def conflict_of(marks: Sequence[int | None]) -> Ask | None:
    """Return the ask of people who contradict each other: no first mistake was named by more than half of them.

    The figure is how many people named the first mistake that most named; the threshold is how many would end the conflict.
    """
    most, enough = Counter(marks).most_common(1)[0][1], len(marks) // 2 + 1
    return Ask(Why.CONFLICT, float(most), float(enough)) if most < enough else None


def second_asks(thresholds: Thresholds, *, against: float | None, gold: float | None, entropy: float | None) -> list[Ask]:
    """Return each reason to ask a second person about a solution with one label, whatever the limit. The figures are of LabelsSoFar."""
    asks = []
    if thresholds.model is not None and against is not None and against >= thresholds.model:
        asks.append(Ask(Why.MODEL, against, thresholds.model))
    if thresholds.gold is not None and gold is not None and gold < thresholds.gold:
        asks.append(Ask(Why.GOLD, gold, thresholds.gold))
    if thresholds.spread is not None and entropy is not None and entropy > thresholds.spread:
        asks.append(Ask(Why.SPREAD, entropy, thresholds.spread))
    return asks


def gold_share(right: int, answers: int) -> float | None:
    """Return a person's share of right answers on gold; None while there are too few answers to say."""
    return right / answers if answers >= LEAST_GOLD else None


# --- what thresholds would have asked for -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PastLabel:
    """A solution that was labeled in the past: what was known once all places of its overlap were done, before anybody else was asked.

    `conflict`: whether the first two people named different first mistakes; None: fewer than two judged it.
    """

    so_far: LabelsSoFar
    conflict: bool | None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """How many more labels thresholds would have asked for. A solution can have several reasons, and still gets one second label."""

    second: int
    reasons: dict[Why, int]
    certain: int  # by conflict, of the people whom the overlap asked
    third: float | None  # by conflict; None: too few solutions were labeled by two people to say how often these contradict each other
    conflicts: int  # solutions with two labels that contradict each other
    pairs: int  # solutions with two labels

    @property
    def more(self) -> float:
        """All labels together, as far as they can be foreseen."""
        return self.second + (self.certain if self.third is None else self.third)


def foresee(labels: Sequence[PastLabel], thresholds: Thresholds) -> Foreseen:
    """Count the labels that thresholds would have asked for beyond the overlap.

    It asks by the same rule. How often a second label would have contradicted the first is taken from the solutions that two people judged.
    What the label after a conflict would have led to is left out.
    """
    reasons = dict.fromkeys((Why.QUARANTINE, Why.MODEL, Why.GOLD, Why.SPREAD), 0)
    second = certain = could_conflict = 0
    for label in labels:
        asks = asks_of(label.so_far, thresholds)
        if not asks:
            continue
        if asks[0].why == Why.CONFLICT:
            certain += 1
            continue
        second += 1
        could_conflict += bool(label.so_far.marks) and label.so_far.people + 1 < (thresholds.limit or 0)
        for ask in asks:
            reasons[ask.why] += 1
    pairs = [label for label in labels if label.conflict is not None]
    conflicts = sum(bool(label.conflict) for label in pairs)
    third: float | None = float(certain)
    if could_conflict:
        third = certain + could_conflict * conflicts / len(pairs) if len(pairs) >= LEAST_PAIRS else None
    return Foreseen(second, reasons, certain, third, conflicts, len(pairs))
