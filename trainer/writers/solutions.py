"""Formats about whole solutions and single texts: ProcessBench, outcomes for an outcome reward model, and preferences."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any

from trainer.writers.labeled import Labeled, SeenKeys
from trainer.writers.losses import Losses
from trainer.writers.shapes import NEUTRAL, ORDERED, WRITTEN, Field, Options, Writer
from trainer.writers.verdicts import BAD_PROBLEM, NO_STEPS, REPEATED, count_changes, judge

if TYPE_CHECKING:
    import pyarrow as pa

UNGRADED = "nobody knows whether the final answer is right"
MADE_BY_LABELER = "the labeler chose the steps, and nobody graded the answer of this path"
NO_PAIR = "no step has two texts of which one is rated higher"
TIES = "both are rated alike"
UNRATED_TEXTS = "one of them has no rating"
SAME_TEXT = "both are the same text, with two ratings"
_RIGHT = {"correct": True, "wrong": False}
_VALUES: Mapping[str, Mapping[int, int]] = {"apart": {-1: -1, 0: 0, 1: 1}, "good": {-1: -1, 0: 1, 1: 1}, "bad": {-1: -1, 0: -1, 1: 1}}
Row = dict[str, Any]


def _grade(one: Labeled, losses: Losses) -> bool | None:
    """Return whether the final answer is right. If nobody knows, count the reason and return None."""
    right = None if one.is_interactive else _RIGHT.get(one.outcome)
    if right is None:
        losses.left_out[MADE_BY_LABELER if one.is_interactive else UNGRADED] += 1
    return right


# --- ProcessBench ---------------------------------------------------------------------------------------------------------------


def _processbench_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    for one in labeled:
        if (right := _grade(one, losses)) is not None and (verdict := judge(one, options, losses)):
            count_changes(one, verdict, losses)
            yield {
                "id": str(one.annotation),
                "generator": one.source,
                "problem": one.problem,
                "steps": list(one.steps),
                "final_answer_correct": right,
                "label": verdict.n_steps - 1 if verdict.is_wrong else -1,
            }


def _processbench_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            *((name, pa.string()) for name in ("id", "generator", "problem")),
            ("steps", pa.list_(pa.string())),
            ("final_answer_correct", pa.bool_()),
            ("label", pa.int32()),
        ]
    )


# --- outcomes -------------------------------------------------------------------------------------------------------------------


def _orm_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    seen = SeenKeys()
    for one in labeled:
        if not one.steps:
            losses.left_out[NO_STEPS] += 1
        elif (right := _grade(one, losses)) is not None:
            if seen.add(one.solution):
                yield {"prompt": f"{one.problem}\n", "completion": "\n".join(one.steps), "label": right}
            else:
                losses.left_out[REPEATED] += 1


def _orm_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("prompt", pa.string()), ("completion", pa.string()), ("label", pa.bool_())])


# --- preferences ----------------------------------------------------------------------------------------------------------------


def _preference_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    values = _VALUES[options["neutral"]]
    for one in labeled:
        if one.finish_reason == "bad_problem":
            losses.left_out[BAD_PROBLEM] += 1
            continue
        has_pair = False
        for step_index, group in groupby(one.alternatives, key=lambda alternative: alternative.step_index):
            texts = [(one.steps[step_index], one.ratings[step_index])] if step_index < len(one.steps) else []
            texts += [(alternative.text, alternative.rating) for alternative in group]
            prompt = "".join(f"{text}\n" for text in (one.problem, *one.steps[:step_index]))
            for better, worse in _pairs(texts, values, losses):
                has_pair = True
                yield {"prompt": prompt, "chosen": better, "rejected": worse}
        if not has_pair:
            losses.left_out[NO_PAIR] += 1


def _pairs(texts: list[tuple[str, int | None]], values: Mapping[int, int], losses: Losses) -> Iterator[tuple[str, str]]:
    """Yield every pair of a text that is rated higher and one that is rated lower, and count the pairs that are none."""
    for (text, rating), (other, other_rating) in combinations(texts, 2):
        if rating is None or other_rating is None:
            losses.pairs[UNRATED_TEXTS] += 1
        elif (value := values[rating]) == (other_value := values[other_rating]):
            losses.pairs[TIES] += 1
        elif text == other:
            losses.pairs[SAME_TEXT] += 1
        else:
            yield (text, other) if value > other_value else (other, text)


def _preference_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected")])


SOLUTIONS = (
    Writer(
        "processbench",
        "The format of ProcessBench: a whole solution and its first mistake. The final answer of each solution is graded.",
        (
            Field("id", "text", "the number of the annotation"),
            Field("generator", "text", "the model that wrote the solution, empty if it is not known"),
            Field("problem", "text", "the problem"),
            Field("steps", "list of texts", "all steps, also those after the first mistake, byte for byte"),
            Field("final_answer_correct", "true or false", "whether the final answer is right"),
            Field("label", "whole number", "the index of the first mistake, from 0, or -1 if there is none"),
        ),
        (NEUTRAL, WRITTEN),
        _processbench_schema,
        _processbench_rows,
    ),
    Writer(
        "orm",
        "Solutions and whether their final answers are right, for outcome reward models. TRL calls this unpaired preference. "
        "Each solution is there once.",
        (
            Field("prompt", "text", "the problem and a line end"),
            Field("completion", "text", "the steps, a line end between them"),
            Field("label", "true or false", "whether the final answer is right. Ratings of steps play no part"),
        ),
        (),
        _orm_schema,
        _orm_rows,
    ),
    Writer(
        "preferences",
        "Pairs of texts for one step after the same beginning, as TRL reads them for reward models and DPO.",
        (
            Field("prompt", "text", "the problem and the steps before, with a line end after each"),
            Field("chosen", "text", "the text that is rated higher, byte for byte"),
            Field("rejected", "text", "the text for the same step that is rated lower, byte for byte"),
        ),
        (ORDERED,),
        _preference_schema,
        _preference_rows,
    ),
)
