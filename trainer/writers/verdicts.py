"""What an annotation says of its solution in a format that has only good and bad steps: the steps up to the first mistake."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from trainer.writers.labeled import Labeled, SeenKeys
from trainer.writers.losses import Losses

GAVE_UP = "the labeler gave up"
BAD_PROBLEM = "the labeler called the problem bad"
NO_STEPS = "there are no steps"
UNRATED = "a step has no rating"
WRITTEN = "the labeler wrote a step, and nobody rated it"
WRITTEN_GOOD = "a step that the labeler wrote counts as good"
NO_MISTAKE = "the labels end at a mistake, but no step is rated as one"
NO_CONSENSUS = "there is no consensus"
OWN_PATH = "the labeler chose the steps, so nobody else read this solution"
NOBODY = "a consensus is not the record of one person"
REPEATED = "the file has this solution already"
ALTERNATIVES = "other texts for a step are not in the file"
NEUTRAL_GOOD = "neutral steps count as good"
NEUTRAL_BAD = "the first neutral step counts as the first mistake"


class StepVerdict(NamedTuple):
    """The steps up to the first mistake, or all; and whether the last of them is that mistake. All others are good."""

    n_steps: int
    is_wrong: bool

    @property
    def goods(self) -> list[bool]:
        """Return for each step up to the first mistake whether it is good."""
        return [True] * (self.n_steps - 1) + [not self.is_wrong]


def judge(labeled: Labeled, options: Mapping[str, str], losses: Losses) -> StepVerdict | None:
    """Return the verdict of an annotation. Without one, count the reason and return None.

    With `neutral` = bad the first neutral step is the first mistake, so the steps end there. A step that the labeler wrote has no rating:
    with `written` = good it is good, as the labeler went on from it. No missing rating is ever made up otherwise.
    """
    ratings, finish = labeled.ratings, labeled.finish_reason
    if finish == "solution" or finish == "found_error":
        lowest = 1 if options["neutral"] == "bad" else 0
        takes_written = options["written"] == "good" and labeled.is_path
        for index, rating in enumerate(ratings):
            if rating is None:
                if not takes_written:
                    losses.left_out[WRITTEN if labeled.is_path else UNRATED] += 1
                    return None
            elif rating < lowest:
                return StepVerdict(index + 1, True)
        if finish == "solution" and ratings:
            return StepVerdict(len(ratings), False)
        losses.left_out[NO_MISTAKE if ratings else NO_STEPS] += 1
        return None
    reasons = {"give_up": GAVE_UP, "bad_problem": BAD_PROBLEM}
    losses.left_out[reasons.get(finish, f"the labels end without a verdict ({finish})")] += 1
    return None


def count_changes(labeled: Labeled, verdict: StepVerdict, losses: Losses) -> None:
    """Count what a format with only good and bad steps does not keep of an annotation that it has."""
    ratings = labeled.ratings[: verdict.n_steps]
    if 0 in ratings:
        losses.changed[NEUTRAL_BAD if verdict.is_wrong and ratings[-1] == 0 else NEUTRAL_GOOD] += 1
    if labeled.alternatives:
        losses.changed[ALTERNATIVES] += 1
    if None in ratings:
        losses.changed[WRITTEN_GOOD] += 1


def by_consensus(labeled: Iterable[Labeled], losses: Losses | None = None) -> Iterator[Labeled]:
    """Yield each solution once, with the ratings that its consensus gives instead of those of one person.

    The steps before the most likely first mistake are good, or neutral where this is more likely than not. A solution without a consensus
    is left out, and so is a path that a labeler chose: it has one reader. What comes out is nobody's record: `line` is empty.
    """
    losses, seen = losses or Losses(), SeenKeys()
    for one in labeled:
        if one.is_interactive or one.consensus is None or len(one.consensus.p_neutral) != len(one.steps):
            losses.left_out[OWN_PATH if one.is_interactive else NO_CONSENSUS] += 1
            continue
        if not seen.add(one.solution):
            losses.left_out[REPEATED] += 1
            continue
        mistake = one.consensus.first_mistake
        good = range(len(one.steps) if mistake < 0 else mistake)
        ratings: list[int | None] = [0 if (one.consensus.p_neutral[index] or 0) > 0.5 else 1 for index in good]
        ratings += [-1, *[None] * (len(one.steps) - mistake - 1)] if mistake >= 0 else []
        finish = "solution" if mistake < 0 else "found_error"
        yield replace(one, ratings=tuple(ratings), alternatives=(), finish_reason=finish, labeler="", at="", seconds=None, line=b"")
