"""One annotation as values, and how a row of a snapshot's content file becomes one.

The content file is Parquet, one row for each annotation. Its column `record` holds the annotation as a PRM800K line, and the other columns
what such a line lacks. Every format is written from these values alone, so the same content gives the same files.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
ROWS_AT_ONCE = 500  # of a content file: its rows are read in such parts, so memory does not grow with the file


class BadContent(ValueError):
    """A row of a content file that is not one. The message names the annotation and the reason."""


class LabeledAlternative(NamedTuple):
    """Another text for one step, with its rating: None if nobody rated it."""

    step_index: int
    text: str
    rating: int | None


@dataclass(frozen=True, slots=True)
class LabeledConsensus:
    """What all people who read a solution say together, at the moment of the snapshot.

    `p_first` has for each step the probability that it is the first mistake, `p_none` is the probability that no step is one.
    `p_neutral` has for each step the probability that it is neutral if it is no mistake. `first_mistake` is the most likely one, from 0,
    or -1 for none.
    A probability is None where one unknown person is all there is to go by.
    """

    first_mistake: int
    p_none: float | None
    p_first: tuple[float | None, ...]
    p_neutral: tuple[float | None, ...]
    n_readings: int
    entropy: float | None
    is_adjudicated: bool


@dataclass(frozen=True, slots=True)
class Labeled:
    """One annotation: a solution, the ratings that one person gave its steps, and where both come from.

    `steps` are all steps of the solution. Of a solution that was made step by step, they are the path that the labeler chose. `ratings` has
    a place for each step, None if nobody rated it. `line` is the annotation as a PRM800K record, without the end of the line.
    """

    annotation: int
    problem_id: str
    problem: str
    reference_answer: str | None
    subject: str
    level: str
    split: str
    solution: int
    source: str
    outcome: str
    final_answer: str | None
    steps: tuple[str, ...]
    ratings: tuple[int | None, ...]
    alternatives: tuple[LabeledAlternative, ...]
    finish_reason: str
    labeler: str
    at: str
    generation: int | None
    batch: int | None
    batch_kind: str
    is_gold: bool
    is_interactive: bool
    guidelines_version: int | None
    seconds: float | None
    consensus: LabeledConsensus | None
    line: bytes

    @property
    def is_path(self) -> bool:
        """Whether the steps are a path that the labeler chose step by step, as in phase 1 of PRM800K: its records have no generation."""
        return self.generation is None


def content_schema() -> "pa.Schema":
    """Return the columns of a content file, in their order, with their Arrow types."""
    import pyarrow as pa

    text, whole, number, flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    columns = {
        "record": pa.binary(), "annotation": whole, "solution": whole, "problem": whole, "problem_id": text, "subject": text, "level": text,
        "split": text, "source": text, "outcome": text, "final_answer": text, "batch": whole, "batch_kind": text, "task_kind": text,
        "guidelines_version": pa.int32(), "active_ms": whole, "is_interactive": flag, "labeler": text, "reference_answer": text,
        "p_first": pa.list_(number), "p_none": number, "p_neutral": pa.list_(number), "first_mistake": pa.int32(), "n_readings": pa.int32(),
        "entropy": number, "is_adjudicated": flag,
    }  # fmt: skip
    return pa.schema(list(columns.items()))


def read_content(path: Path) -> Iterator[Labeled]:
    """Yield the annotations of a content file in the order of its rows, whatever its size in constant memory."""
    for columns in _parts(path):
        for values in zip(*columns.values(), strict=True):
            yield from_content(dict(zip(columns, values, strict=True)))


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the PRM800K lines of a content file alone, without the ends of the lines. Nothing is parsed: this is several times as fast."""
    for columns in _parts(path, ["record"]):
        yield from columns["record"]


def _parts(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, list[Any]]]:
    from pyarrow import parquet

    # Without pre_buffer: it keeps whole row groups in memory.
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns, use_threads=False):
            yield batch.to_pydict()


def from_content(row: Row) -> Labeled:
    """Return the annotation of one row. Raises BadContent if its record is not a PRM800K line."""
    line: bytes = row["record"]
    try:
        record = orjson.loads(line)
        question, label = record["question"], record["label"]
        steps, ratings, alternatives = _path(question.get("pre_generated_steps"), label["steps"])
        milliseconds = row["active_ms"] if row["active_ms"] is not None else label["total_time"]
        return Labeled(
            annotation=row["annotation"],
            problem_id=row["problem_id"],
            problem=question["problem"],
            reference_answer=row["reference_answer"],
            subject=row["subject"] or "",
            level=row["level"] or "",
            split=row["split"],
            solution=row["solution"],
            source=row["source"] or "",
            outcome=row["outcome"],
            final_answer=row["final_answer"],
            steps=steps,
            ratings=ratings,
            alternatives=alternatives,
            finish_reason=label["finish_reason"],
            labeler=row["labeler"],
            at=record["timestamp"],
            generation=record["generation"],
            batch=row["batch"],
            batch_kind=row["batch_kind"],
            is_gold=record["is_quality_control_question"],
            is_interactive=row["is_interactive"],
            guidelines_version=row["guidelines_version"],
            seconds=None if milliseconds is None else milliseconds / 1_000,
            consensus=_consensus(row),
            line=line,
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadContent(
            f"The row of annotation {row.get('annotation')} holds no PRM800K record ({type(error).__name__}: {error}). Take a new snapshot."
        ) from error


class SeenKeys:
    """Database keys that were met before. A set of a million numbers would take 60 MB: these are bits, 1,024 in one number."""

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}

    def add(self, key: int) -> bool:
        """Add a key, and return whether it is new."""
        page, bit = key >> 10, 1 << (key & 1023)
        bits = self._pages.get(page, 0)
        self._pages[page] = bits | bit
        return not bits & bit


def _path(
    own: Sequence[str] | None, sitting: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, ...], tuple[int | None, ...], tuple[LabeledAlternative, ...]]:
    """Return the steps, their ratings and the other texts. The rule is that of the reader of PRM800K (trainer/formats)."""
    steps = [] if own is None else list(own)
    ratings: list[int | None] = [] if own is None else [None] * len(steps)
    alternatives = []
    for index, labels in enumerate(sitting):
        shown, human, chosen = labels["completions"] or (), labels["human_completion"], labels["chosen_completion"]
        if own is not None:
            at = 0 if shown and shown[0]["text"] == own[index] else _place(shown, own[index])
            if at is not None:
                ratings[index] = shown[at]["rating"]
        else:
            at = chosen if chosen is not None else None if human else 0 if shown else None
            if at is not None:
                steps.append(shown[at]["text"])
                ratings.append(shown[at]["rating"])
            elif human:
                steps.append(human["text"])
                ratings.append(human["rating"])
        if len(shown) > 1 or at is None:
            for place, completion in enumerate(shown):
                if place != at:
                    alternatives.append(LabeledAlternative(index, completion["text"], completion["rating"]))
        if human and (own is not None or at is not None):
            alternatives.append(LabeledAlternative(index, human["text"], human["rating"]))
    return tuple(steps), tuple(ratings), tuple(alternatives)


def _place(shown: Sequence[Mapping[str, Any]], text: str) -> int | None:
    return next((place for place, completion in enumerate(shown) if completion["text"] == text), None)


def _consensus(row: Row) -> LabeledConsensus | None:
    if row["n_readings"] is None:
        return None
    return LabeledConsensus(
        first_mistake=row["first_mistake"],
        p_none=_known(row["p_none"]),
        p_first=tuple(map(_known, row["p_first"] or ())),
        p_neutral=tuple(map(_known, row["p_neutral"] or ())),
        n_readings=row["n_readings"],
        entropy=_known(row["entropy"]),
        is_adjudicated=row["is_adjudicated"],
    )


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value  # JSON has no NaN
