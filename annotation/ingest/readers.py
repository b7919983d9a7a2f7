"""Stage: ingest, the formats. Reads one parsed line at a time; gives NewProblem and NewSolution values. Touches no table.
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

from annotation.answers import extract_answer
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

_CALCULATION = re.compile(r"<<[^<>\n]*>>|<<[^\n]*$", re.MULTILINE)  # GSM8K's <<16-3=13>>; one that a cut-off line never closes goes too


# --- fields ------------------------------------------------------------------------------------------------------------


def _text(of: Fields, key: str, *also: str) -> str:
    for name in (key, *also):
        if isinstance(value := of.get(name), str):
            return value
    raise BadLine(f"{key!r} is {'missing' if key not in of else 'no text'}", f"Give {key!r} a text, or name the right format with --format")


def _optional(of: Fields, key: str, *also: str) -> str | None:
    for name in (key, *also):
        value = of.get(name)
        if isinstance(value, bool | list | dict):
            raise BadLine(f"{name!r} is a {type(value).__name__}", f"Give {name!r} a text, or null")
        if value is not None:
            return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    return None


def _whole(of: Fields, key: str, lowest: int, highest: int) -> int | None:
    value = of.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest):
        raise BadLine(f"{key!r} is {value!r}", f"Give {key!r} a whole number from {lowest} to {highest}, or null")
    return value


def _list(of: Fields, key: str) -> list[Any]:
    if not isinstance(value := of.get(key), list):
        raise BadLine(f"{key!r} is {'missing' if key not in of else 'no list'}", f"Give {key!r} a list")
    return value


def _object(value: object, name: str) -> Fields:
    if not isinstance(value, dict):
        raise BadLine(f"{name} is no object", f"Give {name} as an object")
    return value


def _rating(of: Fields) -> int | None:
    rating = of.get("rating")
    if rating is not None and (isinstance(rating, bool) or rating not in (-1, 0, 1)):
        raise BadLine(f"a rating is {rating!r}", "A rating is -1, 0, 1 or null")
    return rating


def _flag(of: Fields) -> bool | None:
    if not isinstance(flagged := of.get("flagged"), bool | None):
        raise BadLine(f"'flagged' is {flagged!r}", "'flagged' is true, false or null")
    return flagged


def _split_of(of: Fields, *keys: str) -> str:
    """Return train or test, also where a file says phase1_train; any other name is refused later."""
    named = str(next((of[key] for key in keys if of.get(key) is not None), "train"))
    return next((split for split in ("train", "test") if named == split or named.endswith(f"_{split}")), named)


def steps_of(text: str) -> list[str]:
    """Break a text into steps at its line breaks, but for the answer, which stays with the last step."""
    body, mark, answer = text.rstrip().partition("\n\n# Answer\n\n")
    lines = [line.rstrip() for line in body.splitlines() if line.strip()]
    return [*lines[:-1], lines[-1] + mark + answer] if lines else []


def with_answer(steps: list[str], answer: str) -> tuple[str, ...]:
    """Join the answer to the last step as PRM800K does."""
    return (*steps[:-1], f"{steps[-1]}\n\n# Answer\n\n{answer}") if steps else (f"# Answer\n\n{answer}",)


# --- formats -----------------------------------------------------------------------------------------------------------


def generic_problem(of: Fields) -> NewProblem:
    return NewProblem(
        statement=_text(of, "problem"),
        answer=_optional(of, "answer", "ground_truth_answer"),
        reference_solution=_optional(of, "reference_solution"),
        external_id=_optional(of, "id"),
        subject=_optional(of, "subject") or "",
        level=_optional(of, "level") or "",
        split=_split_of(of, "split", "math_split"),
    )


def generic_solutions(of: Fields) -> list[NewSolution]:
    problem, source, alternatives = generic_problem(of), _optional(of, "source") or "", _alternatives(of)
    if "steps" not in of:
        return [NewSolution(problem, tuple(steps_of(_text(of, "solution"))), source=source, alternatives=alternatives)]
    steps = _list(of, "steps")
    if all(isinstance(step, str) for step in steps):
        return [NewSolution(problem, tuple(steps), source=source, alternatives=alternatives)]
    rated = [_object(step, f"step {number}") for number, step in enumerate(steps, 1)]
    texts, ratings = tuple(_text(step, "text") for step in rated), [_rating(step) for step in rated]
    if blank := next((number for number, text in enumerate(texts, 1) if not text.strip()), None):
        raise BadLine(f"step {blank} is empty", "Every step needs text")
    flags = [True if _flag(step) else None for step in rated]
    if all(rating is None for rating in ratings) and not any(flags):
        return [NewSolution(problem, texts, source=source, alternatives=alternatives)]
    return [NewSolution(problem, texts, source=source, annotation=_rated_path(of, ratings, flags), alternatives=alternatives)]


def _alternatives(of: Fields) -> tuple[NewAlternative, ...]:
    """Return the other texts for steps: {"3": [texts]}, numbered from 1, or a list with a list for each step."""
    given = of.get("alternatives")
    if given is None:
        return ()
    if isinstance(given, list):
        given = {str(number): texts for number, texts in enumerate(given, 1)}
    found = []
    for number, texts in _object(given, "'alternatives'").items():
        if not (number.isascii() and number.isdecimal() and 1 <= int(number[:9]) <= STEPS):
            raise BadLine(f"'alternatives' has the key {number!r}", "Its keys are the numbers of steps, from 1")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise BadLine(f"the alternatives of step {number} are no list of texts", "Give each step a list of texts")
        found += [NewAlternative(int(number) - 1, text) for text in texts]
    return tuple(found)


def _rated_path(of: Fields, ratings: list[int | None], flags: list[bool | None]) -> NewAnnotation:
    last = max(index for index, (rating, flag) in enumerate(zip(ratings, flags, strict=True)) if rating is not None or flag)
    mistake = ratings.index(-1) if -1 in ratings else None
    if mistake is not None and mistake < last:
        raise BadLine(
            f"step {last + 1} is rated after the first mistake, which is step {mistake + 1}", "Remove the ratings after the first -1"
        )
    stated = of.get("finish_reason")
    if stated in (None, "truncated"):  # the six cut-off paths of the public file: what was rated holds, the end was never seen
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
        generation=_whole(of, "generation", 0, 32_767) or 0,
        canonical=_canonical(of),
    )


def _finish_reason(stated: object) -> FinishReason:
    if stated not in FinishReason.values:
        raise BadLine(f"finish_reason is {stated!r}", f"It is one of {', '.join(FinishReason.values)}")
    return FinishReason(stated)


def _canonical(of: Fields) -> bytes:
    try:
        return orjson.dumps(of, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # a lone surrogate, or a number beyond 64 bits: told by its field where it matters
        return json.dumps(of, sort_keys=True).encode()


def math_problem(of: Fields) -> NewProblem:
    level = (_optional(of, "level", "difficulty") or "").removeprefix("Level ")
    solution, key, answer = _optional(of, "solution"), _optional(of, "unique_id"), _optional(of, "answer")
    return NewProblem(
        statement=_text(of, "problem"),
        answer=answer if answer is not None else extract_answer(solution or ""),
        reference_solution=solution,
        external_id=key,
        subject=_optional(of, "subject", "type") or "",
        level=level,
        split="test" if (key or "").startswith("test/") else _split_of(of, "split"),
    )


def gsm8k_problem(of: Fields) -> NewProblem:
    """GSM8K itself (`answer` ends `#### 18`) and its file of example solutions (`ground_truth` ends `A: 18`)."""
    stated = _text(of, "answer" if "ground_truth" not in of else "ground_truth")
    solution, answer = _worked(stated)
    if answer is None:
        raise BadLine("the reference solution states no answer", "Its last line must be '#### 18' or 'A: 18'")
    return NewProblem(_text(of, "question"), answer, "\n".join(solution), split=_split_of(of, "split"))


def gsm8k_solutions(of: Fields) -> list[NewSolution]:
    problem = gsm8k_problem(of)
    solutions = []
    for source, value in of.items():
        if isinstance(value, dict):
            steps, answer = _worked(_text(value, "solution"))
            solutions.append(NewSolution(problem, tuple(steps) if answer is None else with_answer(steps, answer), answer, source))
    return solutions


def _worked(text: str) -> tuple[list[str], str | None]:
    lines = [line.strip() for line in _CALCULATION.sub("", text).splitlines() if line.strip()]
    if lines and (stated := re.match(r"(?:A:|####)\s*(.+)", lines[-1])):
        return lines[:-1], stated[1]
    return lines, None


def mr_gsm8k_solutions(of: Fields) -> list[NewSolution]:
    steps = [
        _CALCULATION.sub("", re.sub(r"^Step \d+: *", "", step)).strip() for step in _list(of, "model_output_steps") if isinstance(step, str)
    ]
    mistake = _whole(of, "model_output_solution_first_error_step", 1, max(1, len(steps)))
    if mistake is None:
        raise BadLine("'model_output_solution_first_error_step' is missing", "It is the number of the first wrong step, from 1")
    if steps and (stated := re.match(r"####\s*(.+)", steps[-1])):
        steps, mistake = list(with_answer(steps[:-1], stated[1])), min(mistake, max(1, len(steps) - 1))
    annotation = _rated_path({**of, "finish_reason": None}, [*[1] * (mistake - 1), -1], [None] * mistake)
    reference, _ = _worked(_text(of, "ground_truth_solution"))
    problem = NewProblem(_text(of, "question"), _optional(of, "ground_truth_answer"), "\n".join(reference))
    return [NewSolution(problem, tuple(steps), source="mr_gsm8k", annotation=annotation)]


def prm800k_problem(of: Fields) -> NewProblem:
    question = _object(of.get("question"), "'question'")
    return NewProblem(
        _text(question, "problem"),
        _optional(question, "ground_truth_answer"),
        _optional(question, "ground_truth_solution"),
        split=_split_of(of, "split"),
    )


def prm800k_solutions(of: Fields) -> list[NewSolution]:
    problem, question, label = prm800k_problem(of), of["question"], _object(of.get("label"), "'label'")
    sitting = [_object(step, f"label step {number}") for number, step in enumerate(_list(label, "steps"), 1)]
    generation, whole = _whole(of, "generation", -1, 32_767), "pre_generated_steps" in question
    steps = [_text({"step": step}, "step") for step in _list(question, "pre_generated_steps")] if whole else []
    if whole and generation is None:
        raise BadLine("a record with pre_generated_steps has no generation", "Give it its generation; only records of phase 1 have none")
    if not whole and generation is not None:
        raise BadLine(f"a record of generation {generation} has no pre_generated_steps", "Give them, or make the generation null")
    if of.get("is_initial_screening_question", generation == -1) != (generation == -1):
        raise BadLine("is_initial_screening_question and generation disagree", "The screening is generation -1")
    labels: list[NewLabel] = []
    for index, step in enumerate(sitting):
        labels += _step_labels(step, index, steps, whole=whole, is_last=index == len(sitting) - 1)
    score = question.get("pre_generated_verifier_score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise BadLine(f"pre_generated_verifier_score is {score!r}", "It is a number or null")
    annotation = NewAnnotation(
        labels=tuple(labels),
        finish_reason=_finish_reason(label.get("finish_reason")),
        canonical=_canonical(of),
        labeler=_labeler(of),
        created_at=_timestamp(of),
        generation=generation,
        kind=BatchKind.IMPORTED_GOLD if of.get("is_quality_control_question") is True else BatchKind.IMPORTED,
        total_ms=_whole(label, "total_time", 0, 2_147_483_647),
        verifier_score=score,
        question={key: _optional(question, key) for key in ("ground_truth_solution", "ground_truth_answer") if key in question},
    )
    answer = _optional(question, "pre_generated_answer") if whole else extract_answer(steps[-1]) if steps else None
    return [NewSolution(problem, tuple(steps), answer, "PRM800K", annotation)]


def _step_labels(step: Fields, index: int, steps: list[str], *, whole: bool, is_last: bool) -> Iterator[NewLabel]:
    """Give the labels of one step of a record; append the step's text to `steps` where the record walks a path (phase 1)."""
    shown = None if step.get("completions") is None else [_object(one, "a completion") for one in _list(step, "completions")]
    human = None if step.get("human_completion") is None else _object(step["human_completion"], "human_completion")
    if shown == []:
        raise BadLine(f"label step {index + 1} has an empty list of completions", "Write null where there are none")
    chosen = _whole(step, "chosen_completion", 0, len(shown or ()) - 1)
    texts = [_text(one, "text") for one in shown or ()]
    own = chosen if chosen is not None else None if human else 0 if is_last and texts else None
    if whole:
        own = texts.index(steps[index]) if index < len(steps) and steps[index] in texts else None
    elif own is not None:
        steps.append(texts[own])
    elif human:
        steps.append(_text(human, "text"))
    elif not is_last:
        raise BadLine(
            f"label step {index + 1} has neither a chosen nor a human completion, and is not the last", "Say how the solution went on"
        )
    if shown is None:
        yield NewLabel(index, None)
    for place, one in enumerate(shown or ()):
        yield NewLabel(
            index, _rating(one), None if place == own else texts[place], flagged=_flag(one), chosen=place == chosen, shown_at=place
        )
    if human:
        yield NewLabel(index, _rating(human), _text(human, "text"), by_labeler=True, flagged=_flag(human), chosen=chosen is None)


def _labeler(of: Fields) -> UUID | None:
    if (named := _optional(of, "labeler")) is None:
        return None
    try:
        return UUID(named)
    except ValueError:
        raise BadLine(f"the labeler is {named!r}", "A labeler is a UUID, or null") from None


def _timestamp(of: Fields) -> datetime | None:
    if (stated := _optional(of, "timestamp")) is None:
        return None
    try:
        at = datetime.fromisoformat(stated)
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None:
        raise BadLine(f"the timestamp is {stated!r}", "It looks like 2022-07-30T23:23:32.118856, without a zone")
    return at


@dataclass(frozen=True, slots=True)
class Format:
    """How a line of one format is told from others, and what it comes to."""

    looks_like: Callable[[Fields], bool]
    problem: Callable[[Fields], NewProblem]
    solutions: Callable[[Fields], list[NewSolution]] | None


def _mr_gsm8k_problem(of: Fields) -> NewProblem:
    return mr_gsm8k_solutions(of)[0].problem


FORMATS: dict[str, Format] = {  # the first that fits is detected
    "prm800k": Format(lambda of: isinstance(of.get("question"), dict) and "label" in of, prm800k_problem, prm800k_solutions),
    "gsm8k_solutions": Format(lambda of: {"question", "ground_truth"} <= of.keys(), gsm8k_problem, gsm8k_solutions),
    "mr_gsm8k": Format(lambda of: "model_output_steps" in of, _mr_gsm8k_problem, mr_gsm8k_solutions),
    "gsm8k": Format(lambda of: {"question", "answer"} <= of.keys(), gsm8k_problem, None),
    "math": Format(lambda of: "problem" in of and "steps" not in of and ("unique_id" in of or "type" in of), math_problem, None),
    "generic": Format(lambda of: "problem" in of, generic_problem, generic_solutions),
}


def detect_format(path: Path, *, megabytes: int = FILE_MEGABYTES) -> str:
    """Return the name of the format of a file, by its first line. Raises BadFile if it is empty or of none of the known ones."""
    line, first = next(read_lines(path, megabytes=megabytes), (None, None))
    if first is None:
        raise BadFile(path, None, "the file is empty", "Give it one JSON object per line")
    for name, known in FORMATS.items():
        if known.looks_like(first):
            return name
    raise BadFile(
        path, line, f"unknown format (keys: {', '.join(map(repr, list(first)[:8]))})", f"Name one with --format: {', '.join(FORMATS)}"
    )
