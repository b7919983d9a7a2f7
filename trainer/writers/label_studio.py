"""The format `labelstudio`: tasks that Label Studio imports, each with the labels of one person as an annotation.

Shapes: https://labelstud.io/guide/tasks and https://labelstud.io/tags/paragraphs, checked against Label Studio 1.23.2.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from trainer.writers.labeled import Labeled
from trainer.writers.losses import Losses
from trainer.writers.shapes import APART, Field, Options, Writer
from trainer.writers.verdicts import ALTERNATIVES, NO_STEPS

if TYPE_CHECKING:
    import pyarrow as pa

# What a project of Label Studio needs, so that it shows these tasks and people can go on from the labels.
LABELING_CONFIG = """\
<View>
  <Text name="problem" value="$problem"/>
  <ParagraphLabels name="rating" toName="steps">
    <Label value="good" background="#2e7d32" hotkey="1"/>
    <Label value="neutral" background="#9e9e9e" hotkey="2"/>
    <Label value="bad" background="#c62828" hotkey="3"/>
  </ParagraphLabels>
  <Paragraphs name="steps" value="$steps" layout="dialogue" nameKey="author" textKey="text"/>
  <Choices name="finish_reason" toName="problem" choice="single">
    <Choice value="solution"/>
    <Choice value="found_error"/>
    <Choice value="bad_problem"/>
    <Choice value="give_up"/>
  </Choices>
</View>
"""
_NAMES = {1: "good", 0: "neutral", -1: "bad"}


def _rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[dict[str, Any]]:
    for one in labeled:
        if not one.steps:
            losses.left_out[NO_STEPS] += 1
            continue
        if one.alternatives:
            losses.changed[ALTERNATIVES] += 1
        yield {
            "data": {
                "problem": one.problem,
                "steps": [{"author": str(number), "text": text} for number, text in enumerate(one.steps, 1)],
                "answer": one.reference_answer, "outcome": one.outcome, "source": one.source, "problem_id": one.problem_id,
                "subject": one.subject, "level": one.level, "split": one.split, "solution": one.solution, "annotation": one.annotation,
                "labeler": one.labeler or None, "at": one.at or None, "generation": one.generation, "seconds": one.seconds,
                "is_gold": one.is_gold,
            },
            "annotations": [
                {
                    "id": one.annotation,
                    "was_cancelled": False,
                    "ground_truth": one.is_gold,  # an annotation without it counts as true for Label Studio
                    "lead_time": one.seconds,
                    "result": list(_results(one)),
                }
            ],
        }  # fmt: skip


def _results(one: Labeled) -> Iterator[dict[str, Any]]:
    """Yield a region for each rated step, which holds the whole paragraph, and why the sitting ended."""
    for index, (text, rating) in enumerate(zip(one.steps, one.ratings, strict=True)):
        if rating is not None:
            yield {
                "id": f"step{index + 1}",
                "from_name": "rating",
                "to_name": "steps",
                "type": "paragraphlabels",
                "value": {
                    "start": str(index),
                    "end": str(index),
                    "startOffset": 0,
                    "endOffset": len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2,  # as a browser counts
                    "text": text,
                    "paragraphlabels": [_NAMES[rating]],
                },
            }
    yield {
        "id": "finish",
        "from_name": "finish_reason",
        "to_name": "problem",
        "type": "choices",
        "value": {"choices": [one.finish_reason]},
    }


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text, whole, number, flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    data = {
        "problem": text, "steps": pa.list_(pa.struct([("author", text), ("text", text)])), "answer": text, "outcome": text, "source": text,
        "problem_id": text, "subject": text, "level": text, "split": text, "solution": whole, "annotation": whole, "labeler": text,
        "at": text, "generation": pa.int32(), "seconds": number, "is_gold": flag,
    }  # fmt: skip
    value = {
        "start": text, "end": text, "startOffset": whole, "endOffset": whole, "text": text, "paragraphlabels": pa.list_(text),
        "choices": pa.list_(text),
    }  # fmt: skip
    result = {"id": text, "from_name": text, "to_name": text, "type": text, "value": pa.struct(list(value.items()))}
    annotation = {
        "id": whole, "was_cancelled": flag, "ground_truth": flag, "lead_time": number, "result": pa.list_(pa.struct(list(result.items()))),
    }  # fmt: skip
    return pa.schema([("data", pa.struct(list(data.items()))), ("annotations", pa.list_(pa.struct(list(annotation.items()))))])


LABEL_STUDIO = (
    Writer(
        "labelstudio",
        "Tasks that Label Studio imports, one for each annotation, with the labels as an annotation of the task.",
        (
            Field("data", "object", "what a task shows, and where it comes from"),
            Field("data.problem", "text", "the problem"),
            Field("data.steps", "list of objects", "all steps, byte for byte: `author` is the number of a step, from 1, `text` its text"),
            Field("data.answer", "text", "the reference answer, null if it is not known"),
            Field("data.outcome", "text", "correct, wrong, unsure or ungraded: how the final answer compares with the reference answer"),
            Field("data.source", "text", "the model that wrote the solution, empty if it is not known"),
            Field("data.problem_id", "text", "the problem's id in the project"),
            Field("data.subject", "text", "the subject of the problem, empty if it has none"),
            Field("data.level", "text", "its level, empty if it has none"),
            Field("data.split", "text", "train or test: the split of the problem in the project"),
            Field("data.solution", "whole number", "the solution"),
            Field("data.annotation", "whole number", "the annotation"),
            Field("data.labeler", "text", "the pseudonym of the person, a UUID. Label Studio itself names who imports the file"),
            Field("data.at", "text", "when the annotation was made, UTC, without a zone. Label Studio itself names the time of the import"),
            Field("data.generation", "whole number", "the generation; -1 the screening; null if the labeler chose the steps"),
            Field("data.seconds", "number", "how long the person worked on the solution, null if it is not known"),
            Field("data.is_gold", "true or false", "a gold task, or the decision of a reviewer"),
            Field("annotations", "list of objects", "one annotation: `id` (its number), `ground_truth` (is_gold), `lead_time` (seconds)"),
            Field(
                "annotations[].result",
                "list of objects",
                "for each rated step a region that is the whole paragraph: `start` and `end` are the step, from 0, and `paragraphlabels` "
                "is good, neutral or bad. Then a choice, `finish_reason`: solution, found_error, bad_problem or give_up",
            ),
        ),
        (APART,),
        _schema,
        _rows,
    ),
)
