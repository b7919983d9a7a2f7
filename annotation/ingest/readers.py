"""Stage: ingest, the formats. Turns one parsed line at a time into NewProblem and NewSolution values. Touches no table.
docs/formats.md documents every format field by field.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from annotation.ingest.lines import Fields, read_lines
from annotation.ingest.values import (
    FILE_MEGABYTES,
    STEPS,
    BadFile,
    BadLine,
    NewAlternative,
    NewAnnotation,
    NewLabel,
    NewProblem,
    NewSolution,
)
from annotation.models import BatchKind, FinishReason
from trainer.answers import extract_answer

_CALCULATION = re.compile(r"<<[^<>\n]*>>|<<[^\n]*$", re.MULTILINE)  # GSM8K's <<16-3=13>>, also one that a cut-off line does not close


# --- fields ------------------------------------------------------------------------------------------------------------


def _text(fields: Fields, key: str, *also: str) -> str:
    for name in (key, *also):
        if isinstance(value := fields.get(name), str):
            return value
    raise BadLine(
        f"{key!r} is {'missing' if key not in fields else 'not text'}", f"Give {key!r} a text, or name the right format with --format"
    )


def _optional(fields: Fields, key: str, *also: str) -> str | None:
    for name in (key, *also):
        value = fields.get(name)
        if isinstance(value, bool | list | dict):
            raise BadLine(f"{name!r} is a {type(value).__name__}", f"Give {name!r} a text, or null")
        if value is not None:
            return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    return None


def _whole(fields: Fields, key: str, lowest: int, highest: int) -> int | None:
    value = fields.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest):
        raise BadLine(f"{key!r} is {value!r}", f"Give {key!r} a whole number from {lowest} to {highest}, or null")
    return value


def _list(fields: Fields, key: str) -> list[Any]:
    if not isinstance(value := fields.get(key), list):
        raise BadLine(f"{key!r} is {'missing' if key not in fields else 'not a list'}", f"Give {key!r} a list")
    return value


def _object(value: object, name: str) -> Fields:
    if not isinstance(value, dict):
        raise BadLine(f"{name} is not an object", f"Write {name} as an object")
    return value


def _rating(fields: Fields) -> int | None:
    rating = fields.get("rating")
    if rating is not None and (isinstance(rating, bool) or rating not in (-1, 0, 1)):
        raise BadLine(f"a rating is {rating!r}", "A rating must be -1, 0, 1 or null")
    return rating


def _flag(fields: Fields) -> bool | None:
    if not isinstance(flagged := fields.get("flagged"), bool | None):
        raise BadLine(f"'flagged' is {flagged!r}", "'flagged' must be true, false or null")
    return flagged


def _split_of(fields: Fields, *keys: str) -> str:
    """Return train or test, also for a name such as phase1_train. Any other name is returned as it is, and check_problem refuses it."""
    named = str(next((fields[key] for key in keys if fields.get(key) is not None), "train"))
    return next((split for split in ("train", "test") if named == split or named.endswith(f"_{split}")), named)


def steps_of(text: str) -> list[str]:
    """Split a text into steps at its line breaks. A closing answer block stays with the last step."""
    body, mark, answer = text.rstrip().partition("\n\n# Answer\n\n")
    lines = [line.rstrip() for line in body.splitlines() if line.strip()]
    return [*lines[:-1], lines[-1] + mark + answer] if lines else []


def with_answer(steps: list[str], answer: str) -> tuple[str, ...]:
    """Append the answer to the last step, as PRM800K does."""
    return (*steps[:-1], f"{steps[-1]}\n\n# Answer\n\n{answer}") if steps else (f"# Answer\n\n{answer}",)


# --- formats -----------------------------------------------------------------------------------------------------------


def generic_problem(fields: Fields) -> NewProblem:
    return NewProblem(
        statement=_text(fields, "problem"),
        answer=_optional(fields, "answer", "ground_truth_answer"),
        reference_solution=_optional(fields, "reference_solution"),
        external_id=_optional(fields, "id"),
        subject=_optional(fields, "subject") or "",
        level=_optional(fields, "level") or "",
        split=_split_of(fields, "split", "math_split"),
    )


def generic_solutions(fields: Fields) -> list[NewSolution]:
    problem, source, alternatives = generic_problem(fields), _optional(fields, "source") or "", _alternatives(fields)
    if "steps" not in fields:
        return [NewSolution(problem, tuple(steps_of(_text(fields, "solution"))), source=source, alternatives=alternatives)]
    steps = _list(fields, "steps")
    if all(isinstance(step, str) for step in steps):
        return [NewSolution(problem, tuple(steps), source=source, alternatives=alternatives)]
    rated = [_object(step, f"step {number}") for number, step in enumerate(steps, 1)]
    texts, ratings = tuple(_text(step, "text") for step in rated), [_rating(step) for step in rated]
    if blank := next((number for number, text in enumerate(texts, 1) if not text.strip()), None):
        raise BadLine(f"step {blank} is empty", "Every step needs text")
    flags = [True if _flag(step) else None for step in rated]
    if all(rating is None for rating in ratings) and not any(flags):
        return [NewSolution(problem, texts, source=source, alternatives=alternatives)]
    return [NewSolution(problem, texts, source=source, annotation=_rated_path(fields, ratings, flags), alternatives=alternatives)]


def _alternatives(fields: Fields) -> tuple[NewAlternative, ...]:
    """Return the other texts for steps, given as {"3": [texts]}, numbered from 1, or as a list that has a list for each step."""
    given = fields.get("alternatives")
    if given is None:
        return ()
    if isinstance(given, list):
        given = {str(number): texts for number, texts in enumerate(given, 1)}
    alternatives = []
    for number, texts in _object(given, "'alternatives'").items():
        if not (number.isascii() and number.isdecimal() and 1 <= int(number[:9]) <= STEPS):
            raise BadLine(f"'alternatives' has the key {number!r}", "Its keys must be step numbers, from 1")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise BadLine(f"the alternatives of step {number} are not a list of texts", "Give each step a list of texts")
        alternatives += [NewAlternative(int(number) - 1, text) for text in texts]
    return tuple(alternatives)


def _rated_path(fields: Fields, ratings: list[int | None], flags: list[bool | None]) -> NewAnnotation:
    last = max(index for index, (rating, flag) in enumerate(zip(ratings, flags, strict=True)) if rating is not None or flag)
    mistake = ratings.index(-1) if -1 in ratings else None
    if mistake is not None and mistake < last:
        raise BadLine(
            f"step {last + 1} is rated after the first mistake, which is step {mistake + 1}", "Remove the ratings after the first -1"
        )
    stated = fields.get("finish_reason")
    if stated in (None, "truncated"):  # six paths of the public file are cut off: their ratings count, but nobody saw the end
        finish = (
            FinishReason.FOUND_ERROR
            if mistake is not None
            else (FinishReason.SOLUTION if stated is None and None not in ratings else FinishReason.GIVE_UP)
        )
    else:
        finish = _finish_reason(stated)
    if finish == FinishReason.FOUND_ERROR and mistake is None:
        raise BadLine("finish_reason is 'found_error', but no step is rated -1", "Rate the mistake -1, or leave finish_reason out")
    return NewAnnotation(
        labels=tuple(
            NewLabel(index, rating, flagged=flags[index], chosen=rating != -1 and (rating is not None or index < last), shown_at=0)
            for index, rating in enumerate(ratings[: last + 1])
        ),
        finish_reason=finish,
        reason="the solution was cut off" if finish == FinishReason.GIVE_UP and stated in (None, "truncated") else "",
        generation=_whole(fields, "generation", 0, 32_767) or 0,
        canonical=_canonical(fields),
    )


def _finish_reason(stated: object) -> FinishReason:
    if stated not in FinishReason.values:
        raise BadLine(f"finish_reason is {stated!r}", f"It must be one of {', '.join(FinishReason.values)}")
    return FinishReason(stated)


def _canonical(fields: Fields) -> bytes:
    try:
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # a lone surrogate, or a number of more than 64 bits: the check of its field reports it
        return json.dumps(fields, sort_keys=True).encode()


def math_problem(fields: Fields) -> NewProblem:
    level = (_optional(fields, "level", "difficulty") or "").removeprefix("Level ")
    solution, key, answer = _optional(fields, "solution"), _optional(fields, "unique_id"), _optional(fields, "answer")
    return NewProblem(
        statement=_text(fields, "problem"),
        answer=answer if answer is not None else extract_answer(solution or ""),
        reference_solution=solution,
        external_id=key,
        subject=_optional(fields, "subject", "type") or "",
        level=level,
        split="test" if (key or "").startswith("test/") else _split_of(fields, "split"),
    )


def gsm8k_problem(fields: Fields) -> NewProblem:
    """GSM8K itself (`answer` ends `#### 18`) and its file of example solutions (`ground_truth` ends `A: 18`)."""
    stated = _text(fields, "answer" if "ground_truth" not in fields else "ground_truth")
    solution, answer = _worked(stated)
    if answer is None:
        raise BadLine("the reference solution states no answer", "Its last line must be '#### 18' or 'A: 18'")
    return NewProblem(_text(fields, "question"), answer, "\n".join(solution), split=_split_of(fields, "split"))


def gsm8k_solutions(fields: Fields) -> list[NewSolution]:
    problem = gsm8k_problem(fields)
    solutions = []
    for source, value in fields.items():
        if isinstance(value, dict):
            steps, answer = _worked(_text(value, "solution"))
            solutions.append(NewSolution(problem, tuple(steps) if answer is None else with_answer(steps, answer), answer, source))
    return solutions


def _worked(text: str) -> tuple[list[str], str | None]:
    lines = [line.strip() for line in _CALCULATION.sub("", text).splitlines() if line.strip()]
    if lines and (stated := re.match(r"(?:A:|####)\s*(.+)", lines[-1])):
        return lines[:-1], stated[1]
    return lines, None


def mr_gsm8k_solutions(fields: Fields) -> list[NewSolution]:
    steps = [
        _CALCULATION.sub("", re.sub(r"^Step \d+: *", "", step)).strip()
        for step in _list(fields, "model_output_steps")
        if isinstance(step, str)
    ]
    mistake = _whole(fields, "model_output_solution_first_error_step", 1, max(1, len(steps)))
    if mistake is None:
        raise BadLine("'model_output_solution_first_error_step' is missing", "Give the number of the first wrong step, from 1")
    if steps and (stated := re.match(r"####\s*(.+)", steps[-1])):
        steps, mistake = list(with_answer(steps[:-1], stated[1])), min(mistake, max(1, len(steps) - 1))
    annotation = _rated_path({**fields, "finish_reason": None}, [*[1] * (mistake - 1), -1], [None] * mistake)
    reference, _ = _worked(_text(fields, "ground_truth_solution"))
    problem = NewProblem(_text(fields, "question"), _optional(fields, "ground_truth_answer"), "\n".join(reference))
    return [NewSolution(problem, tuple(steps), source="mr_gsm8k", annotation=annotation)]


def prm800k_problem(fields: Fields) -> NewProblem:
    question = _object(fields.get("question"), "'question'")
    return NewProblem(
        _text(question, "problem"),
        _optional(question, "ground_truth_answer"),
        _optional(question, "ground_truth_solution"),
        split=_split_of(fields, "split"),
    )


def prm800k_solutions(fields: Fields) -> list[NewSolution]:
    problem, question, label = prm800k_problem(fields), fields["question"], _object(fields.get("label"), "'label'")
    sitting = [_object(step, f"label step {number}") for number, step in enumerate(_list(label, "steps"), 1)]
    generation, is_whole = _whole(fields, "generation", -1, 32_767), "pre_generated_steps" in question
    steps = [_text({"step": step}, "step") for step in _list(question, "pre_generated_steps")] if is_whole else []
    if is_whole and generation is None:
        raise BadLine("a record with pre_generated_steps has no generation", "Give its generation; only records of phase 1 have none")
    if not is_whole and generation is not None:
        raise BadLine(f"a record of generation {generation} has no pre_generated_steps", "Give the steps, or set the generation to null")
    if fields.get("is_initial_screening_question", generation == -1) != (generation == -1):
        raise BadLine("is_initial_screening_question and generation disagree", "Screening questions, and only these, have generation -1")
    labels: list[NewLabel] = []
    for index, step in enumerate(sitting):
        labels += _step_labels(step, index, steps, is_whole=is_whole, is_last=index == len(sitting) - 1)
    score = question.get("pre_generated_verifier_score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise BadLine(f"pre_generated_verifier_score is {score!r}", "It must be a number or null")
    annotation = NewAnnotation(
        labels=tuple(labels),
        finish_reason=_finish_reason(label.get("finish_reason")),
        canonical=_canonical(fields),
        labeler=_labeler(fields),
        created_at=_timestamp(fields),
        generation=generation,
        kind=BatchKind.IMPORTED_GOLD if fields.get("is_quality_control_question") is True else BatchKind.IMPORTED,
        total_ms=_whole(label, "total_time", 0, 2_147_483_647),
        verifier_score=score,
        question={key: _optional(question, key) for key in ("ground_truth_solution", "ground_truth_answer") if key in question},
    )
    answer = _optional(question, "pre_generated_answer") if is_whole else extract_answer(steps[-1]) if steps else None
    return [NewSolution(problem, tuple(steps), answer, "PRM800K", annotation)]


def _step_labels(step: Fields, index: int, steps: list[str], *, is_whole: bool, is_last: bool) -> Iterator[NewLabel]:
    """Yield the labels of one step of a record. For a record of phase 1, also append the text that was chosen to `steps`."""
    shown = None if step.get("completions") is None else [_object(completion, "a completion") for completion in _list(step, "completions")]
    human = None if step.get("human_completion") is None else _object(step["human_completion"], "human_completion")
    if shown == []:
        raise BadLine(f"label step {index + 1} has an empty list of completions", "Write null if there are none")
    chosen = _whole(step, "chosen_completion", 0, len(shown or ()) - 1)
    texts = [_text(completion, "text") for completion in shown or ()]
    own = chosen if chosen is not None else None if human else 0 if is_last and texts else None
    if is_whole:
        own = texts.index(steps[index]) if index < len(steps) and steps[index] in texts else None
    elif own is not None:
        steps.append(texts[own])
    elif human:
        steps.append(_text(human, "text"))
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
            _rating(completion),
            None if position == own else texts[position],
            flagged=_flag(completion),
            chosen=position == chosen,
            shown_at=position,
        )
    if human:
        yield NewLabel(index, _rating(human), _text(human, "text"), by_labeler=True, flagged=_flag(human), chosen=chosen is None)


def _labeler(fields: Fields) -> UUID | None:
    if (named := _optional(fields, "labeler")) is None:
        return None
    try:
        return UUID(named)
    except ValueError:
        raise BadLine(f"the labeler is {named!r}", "A labeler must be a UUID or null") from None


def _timestamp(fields: Fields) -> datetime | None:
    if (stated := _optional(fields, "timestamp")) is None:
        return None
    try:
        at = datetime.fromisoformat(stated)
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None:
        raise BadLine(f"the timestamp is {stated!r}", "Write it like 2022-07-30T23:23:32.118856, without a time zone")
    return at


@dataclass(frozen=True, slots=True)
class Format:
    """How a line of one format is recognized, and what it is turned into."""

    looks_like: Callable[[Fields], bool]
    problem: Callable[[Fields], NewProblem]
    solutions: Callable[[Fields], list[NewSolution]] | None


def _mr_gsm8k_problem(fields: Fields) -> NewProblem:
    return mr_gsm8k_solutions(fields)[0].problem


FORMATS: dict[str, Format] = {  # in the order in which they are tried
    "prm800k": Format(lambda fields: isinstance(fields.get("question"), dict) and "label" in fields, prm800k_problem, prm800k_solutions),
    "gsm8k_solutions": Format(lambda fields: {"question", "ground_truth"} <= fields.keys(), gsm8k_problem, gsm8k_solutions),
    "mr_gsm8k": Format(lambda fields: "model_output_steps" in fields, _mr_gsm8k_problem, mr_gsm8k_solutions),
    "gsm8k": Format(lambda fields: {"question", "answer"} <= fields.keys(), gsm8k_problem, None),
    "math": Format(
        lambda fields: "problem" in fields and "steps" not in fields and ("unique_id" in fields or "type" in fields), math_problem, None
    ),
    "generic": Format(lambda fields: "problem" in fields, generic_problem, generic_solutions),
}


def detect_format(path: Path, *, megabytes: int = FILE_MEGABYTES) -> str:
    """Return the name of a file's format, by its first object. Raises BadFile if the file is empty or its format is unknown."""
    line, first = next(read_lines(path, megabytes=megabytes), (None, None))
    if first is None:
        raise BadFile(path, None, "the file is empty", "Give it one JSON object per line")
    for name, format_ in FORMATS.items():
        if format_.looks_like(first):
            return name
    raise BadFile(
        path,
        line,
        f"unknown format (keys: {', '.join(map(repr, list(first)[:8]))})",
        f"Name the format with --format: {', '.join(FORMATS)}",
    )
