"""Formats that keep everything: PRM800K records, one row for each rated text, and one row for each consensus."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from trainer.writers.labeled import Labeled, SeenKeys
from trainer.writers.losses import Losses
from trainer.writers.shapes import APART, Field, Options, Writer
from trainer.writers.verdicts import NO_CONSENSUS, NO_STEPS, NOBODY, OWN_PATH, REPEATED

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


# --- PRM800K --------------------------------------------------------------------------------------------------------------------


def _prm800k_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[bytes]:
    for one in labeled:
        if one.line:
            yield one.line
        else:
            losses.left_out[NOBODY] += 1


def _prm800k_schema() -> "pa.Schema":
    import pyarrow as pa

    text, flag = pa.string(), pa.bool_()
    completion = pa.struct([("text", text), ("rating", pa.int8()), ("flagged", flag)])
    human = pa.struct([("text", text), ("rating", pa.int8()), ("source", text), ("flagged", flag)])
    step = pa.struct([("completions", pa.list_(completion)), ("human_completion", human), ("chosen_completion", pa.int32())])
    question = pa.struct(
        [
            *((name, text) for name in ("problem", "ground_truth_solution", "ground_truth_answer")),
            ("pre_generated_steps", pa.list_(text)),
            ("pre_generated_answer", text),
            ("pre_generated_verifier_score", pa.float64()),
        ]
    )
    label = pa.struct([("steps", pa.list_(step)), ("total_time", pa.int64()), ("finish_reason", text)])
    return pa.schema(
        [
            ("labeler", text),
            ("timestamp", text),
            ("generation", pa.int32()),
            ("is_quality_control_question", flag),
            ("is_initial_screening_question", flag),
            ("question", question),
            ("label", label),
        ]
    )


# --- labels ---------------------------------------------------------------------------------------------------------------------


def _label_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    for one in labeled:
        if not one.steps or not one.line:
            losses.left_out[NOBODY if one.steps else NO_STEPS] += 1
            continue
        about = {
            "annotation": one.annotation, "solution": one.solution, "problem_id": one.problem_id, "problem": one.problem,
            "subject": one.subject, "level": one.level, "split": one.split, "source": one.source, "outcome": one.outcome,
            "labeler": one.labeler, "at": one.at, "generation": one.generation, "batch": one.batch, "batch_kind": one.batch_kind,
            "is_gold": one.is_gold, "guidelines_version": one.guidelines_version, "seconds": one.seconds,
            "finish_reason": one.finish_reason,
        }  # fmt: skip
        others: dict[int, list[tuple[str, int | None]]] = {}
        for step_index, text, rating in one.alternatives:
            others.setdefault(step_index, []).append((text, rating))
        for step_index in range(max(len(one.steps), *(index + 1 for index in others)) if others else len(one.steps)):
            texts = [(one.steps[step_index], one.ratings[step_index])] if step_index < len(one.steps) else []
            first = 0 if texts else 1
            for place, (text, rating) in enumerate([*texts, *others.get(step_index, ())], first):
                yield {**about, "step_index": step_index, "alternative": place, "text": text, "rating": rating}


def _label_schema() -> "pa.Schema":
    import pyarrow as pa

    text, whole = pa.string(), pa.int64()
    columns = {
        "annotation": whole, "solution": whole, "problem_id": text, "problem": text, "subject": text, "level": text, "split": text,
        "source": text, "outcome": text, "labeler": text, "at": text, "generation": pa.int32(), "batch": whole, "batch_kind": text,
        "is_gold": pa.bool_(), "guidelines_version": pa.int32(), "seconds": pa.float64(), "finish_reason": text,
        "step_index": pa.int32(), "alternative": pa.int32(), "text": text, "rating": pa.int8(),
    }  # fmt: skip
    return pa.schema(list(columns.items()))


# --- consensus ------------------------------------------------------------------------------------------------------------------


def _consensus_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    seen = SeenKeys()
    for one in labeled:
        if one.is_interactive or (consensus := one.consensus) is None:
            losses.left_out[OWN_PATH if one.is_interactive else NO_CONSENSUS] += 1
        elif not seen.add(one.solution):
            losses.left_out[REPEATED] += 1
        else:
            yield {
                "solution": one.solution, "problem_id": one.problem_id, "problem": one.problem, "subject": one.subject, "level": one.level,
                "split": one.split, "source": one.source, "outcome": one.outcome, "steps": list(one.steps),
                "first_mistake": consensus.first_mistake, "p_none": consensus.p_none, "p_first": list(consensus.p_first),
                "p_neutral": list(consensus.p_neutral), "n_readings": consensus.n_readings, "entropy": consensus.entropy,
                "is_adjudicated": consensus.is_adjudicated,
            }  # fmt: skip


def _consensus_schema() -> "pa.Schema":
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    columns = {
        "solution": pa.int64(), "problem_id": text, "problem": text, "subject": text, "level": text, "split": text, "source": text,
        "outcome": text, "steps": pa.list_(text), "first_mistake": pa.int32(), "p_none": number, "p_first": pa.list_(number),
        "p_neutral": pa.list_(number), "n_readings": pa.int32(), "entropy": number, "is_adjudicated": pa.bool_(),
    }  # fmt: skip
    return pa.schema(list(columns.items()))


_PROBLEM = (
    Field("problem_id", "text", "the problem's id in the project"),
    Field("problem", "text", "the problem"),
    Field("subject", "text", "the subject of the problem, empty if it has none"),
    Field("level", "text", "its level, empty if it has none"),
    Field("split", "text", "train or test: the split of the problem in the project"),
    Field("source", "text", "the model that wrote the solution, empty if it is not known"),
    Field("outcome", "text", "correct, wrong, unsure or ungraded: how the final answer compares with the reference answer"),
)
TABLES = (
    Writer(
        "prm800k",
        "Records of PRM800K, one for each annotation, with everything that was rated.",
        (
            Field("labeler", "text", "the pseudonym of the person, a UUID"),
            Field("timestamp", "text", "when the annotation was made, UTC, without a zone"),
            Field("generation", "whole number", "the batch; -1 the screening; null if the labeler chose the steps"),
            Field("is_quality_control_question", "true or false", "a gold task, or the decision of a reviewer"),
            Field("is_initial_screening_question", "true or false", "true exactly in generation -1"),
            Field("question", "object", "the problem, the truth about it, and the solution (formats.md)"),
            Field("label", "object", "what the person rated, step by step, the time and the finish reason (formats.md)"),
        ),
        (APART,),
        _prm800k_schema,
        _prm800k_rows,
    ),
    Writer(
        "labels",
        "The raw table of labels: one row for each text of each step, with its rating.",
        (
            Field("annotation", "whole number", "the annotation: rows with the same number are one person's work on one solution"),
            Field("solution", "whole number", "the solution"),
            *_PROBLEM,
            Field("labeler", "text", "the pseudonym of the person, a UUID"),
            Field("at", "text", "when the annotation was made, UTC, without a zone"),
            Field("generation", "whole number", "the generation; -1 the screening; null if the labeler chose the steps"),
            Field("batch", "whole number", "the batch, null if it is not known"),
            Field("batch_kind", "text", "why the batch was made: selected, screening, imported, imported_gold, calibration or review"),
            Field("is_gold", "true or false", "a gold task, or the decision of a reviewer"),
            Field("guidelines_version", "whole number", "the version of the guidelines at that time, null if it is not known"),
            Field("seconds", "number", "how long the person worked on the solution, null if it is not known"),
            Field("finish_reason", "text", "solution, found_error, bad_problem or give_up"),
            Field("step_index", "whole number", "the step, from 0"),
            Field("alternative", "whole number", "0: the step itself, or the text that the labeler chose. 1 and up: another text for it"),
            Field("text", "text", "the text, byte for byte"),
            Field("rating", "whole number", "1 good, 0 neutral, -1 bad, null if nobody rated it"),
        ),
        (APART,),
        _label_schema,
        _label_rows,
    ),
    Writer(
        "consensus",
        "What all people who read a solution say together, with probabilities. Each solution is there once.",
        (
            Field("solution", "whole number", "the solution"),
            *_PROBLEM,
            Field("steps", "list of texts", "all steps, byte for byte"),
            Field("first_mistake", "whole number", "the most likely first mistake, from 0, or -1 if there is none"),
            Field("p_none", "number", "the probability that no step is a mistake"),
            Field(
                "p_first", "list of numbers", "for each step, the probability that it is the first mistake. With p_none they add up to 1"
            ),
            Field("p_neutral", "list of numbers", "for each step, the probability that it is neutral if it is no mistake"),
            Field("n_readings", "whole number", "how many people read the solution"),
            Field("entropy", "number", "how open it is where the first mistake is, in bits. 0: certain"),
            Field("is_adjudicated", "true or false", "whether a reviewer decided"),
        ),
        (APART,),
        _consensus_schema,
        _consensus_rows,
    ),
)
