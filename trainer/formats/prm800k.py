"""The format `prm800k`: records of both phases."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from trainer.formats.fields import (
    as_object,
    read_flag,
    read_list,
    read_number,
    read_object,
    read_optional,
    read_rating,
    read_split,
    read_text,
    read_texts,
    read_whole,
)
from trainer.formats.objects import Fields
from trainer.formats.ratings import canonical_bytes, read_finish_reason
from trainer.formats.values import BadLine, NewAnnotation, NewLabel, NewProblem, NewSolution, in_words


def prm800k_problem(fields: Fields) -> NewProblem:
    """Return the problem of a record."""
    question = read_object(fields, "question")
    return NewProblem(
        read_text(question, "problem"),
        read_optional(question, "ground_truth_answer"),
        read_optional(question, "ground_truth_solution"),
        split=read_split(fields, "split"),
    )


def prm800k_solutions(fields: Fields) -> list[NewSolution]:
    """Return the labeled solution of a record: whole in phase 2, the chosen path in phase 1."""
    problem, question, label = prm800k_problem(fields), read_object(fields, "question"), read_object(fields, "label")
    sitting = [as_object(step, f"label step {number}") for number, step in enumerate(read_list(label, "steps"), 1)]
    generation, is_whole = read_whole(fields, "generation", -1, 32_767), question.get("pre_generated_steps") is not None
    steps = read_texts(question, "pre_generated_steps") if is_whole else []
    if is_whole and generation is None:
        raise BadLine("a record with pre_generated_steps has no generation", "Give its generation; only records of phase 1 have none")
    if not is_whole and generation is not None:
        raise BadLine(f"a record of generation {generation} has no pre_generated_steps", "Give the steps, or set the generation to null")
    is_screening = fields.get("is_initial_screening_question")
    if is_screening is not None and is_screening != (generation == -1):
        raise BadLine("is_initial_screening_question and generation disagree", "Screening questions, and only these, have generation -1")
    labels: list[NewLabel] = []
    for index, step in enumerate(sitting):
        labels += _step_labels(step, index, steps, is_whole=is_whole, is_last=index == len(sitting) - 1)
    annotation = NewAnnotation(
        labels=tuple(labels),
        finish_reason=read_finish_reason(label.get("finish_reason")),
        canonical=canonical_bytes(fields),
        labeler=_labeler(fields),
        created_at=_timestamp(fields),
        generation=generation,
        is_gold=fields.get("is_quality_control_question") is True,
        total_ms=read_whole(label, "total_time", 0, 2_147_483_647),
        verifier_score=read_number(question, "pre_generated_verifier_score"),
        question={key: read_optional(question, key) for key in ("ground_truth_solution", "ground_truth_answer") if key in question},
    )
    answer = read_optional(question, "pre_generated_answer") if is_whole else None
    return [NewSolution(problem, tuple(steps), answer, "PRM800K", annotation)]


def _step_labels(step: Fields, index: int, steps: list[str], *, is_whole: bool, is_last: bool) -> Iterator[NewLabel]:
    """Yield the labels of one step of a record. For a record of phase 1, also append the text that was chosen to `steps`."""
    given = None if step.get("completions") is None else read_list(step, "completions")
    shown = None if given is None else [as_object(completion, "a completion") for completion in given]
    human = None if step.get("human_completion") is None else read_object(step, "human_completion")
    if shown == []:
        raise BadLine(f"label step {index + 1} has an empty list of completions", "Write null if there are none")
    chosen = read_whole(step, "chosen_completion", 0, len(shown or ()) - 1)
    texts = [read_text(completion, "text") for completion in shown or ()]
    own = chosen if chosen is not None else None if human else 0 if is_last and texts else None
    if is_whole:
        own = texts.index(steps[index]) if index < len(steps) and steps[index] in texts else None
    elif own is not None:
        steps.append(texts[own])
    elif human:
        steps.append(read_text(human, "text"))
    elif not is_last:
        raise BadLine(
            f"label step {index + 1} has neither a chosen nor a human completion, and is not the last",
            "Give the step a chosen or a human completion",
        )
    if shown is None:
        yield NewLabel(index, None)
    for position, completion in enumerate(shown or ()):
        yield NewLabel(
            index,
            read_rating(completion),
            None if position == own else texts[position],
            flagged=read_flag(completion),
            chosen=position == chosen,
            shown_at=position,
        )
    if human:
        if human.get("source") not in (None, "human"):
            raise BadLine(f"the source of a human_completion is {in_words(human['source'])}", 'Its source must be "human"')
        yield NewLabel(
            index, read_rating(human), read_text(human, "text"), by_labeler=True, flagged=read_flag(human), chosen=chosen is None
        )


def _labeler(fields: Fields) -> UUID | None:
    if (named := read_optional(fields, "labeler")) is None:
        return None
    try:
        return UUID(named)
    except ValueError:
        raise BadLine(f"the labeler is {in_words(named)}", "A labeler must be a UUID or null") from None


def _timestamp(fields: Fields) -> datetime | None:
    if (stated := read_optional(fields, "timestamp")) is None:
        return None
    try:
        at = datetime.fromisoformat(stated)
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None:
        raise BadLine(f"the timestamp is {in_words(stated)}", "Write it like 2022-07-30T23:23:32.118856, without a time zone")
    return at
