"""Stage: export, the independent checker of PRM800K files. Reads a file and writes nothing. It knows neither the writer nor the
database: its rules are those of the published dataset (docs/formats.md).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from annotation.ingest import BadFile

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOP = ("labeler", "timestamp", "generation", "is_quality_control_question", "is_initial_screening_question", "question", "label")
_QUESTION_1 = ("problem", "ground_truth_answer")
_QUESTION_2 = (
    "problem",
    "ground_truth_solution",
    "ground_truth_answer",
    "pre_generated_steps",
    "pre_generated_answer",
    "pre_generated_verifier_score",
)
_LABEL = ("steps", "total_time", "finish_reason")
_STEP = ("completions", "human_completion", "chosen_completion")
_COMPLETION = ("text", "rating", "flagged")
_HUMAN = ("text", "rating", "source", "flagged")
_FINISH_REASONS = ("solution", "found_error", "bad_problem", "give_up")


@dataclass(slots=True)
class Report:
    """What was found in a file. `violations` (line, reason) break the format. `gaps` keep to the format, but no published record has them:
    a source lost a value, or the project asks for more. They are counted by kind."""

    count: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)
    gaps: Counter[str] = field(default_factory=Counter)


class _Violation(ValueError):
    """A record breaks a rule of the format; the message says which."""


def read_prm800k(path: Path | str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, record) of a PRM800K file. Raises BadFile for a line that is not a JSON object in UTF-8."""
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadFile(path, None, f"cannot be read ({error.strerror})", "Name a file that exists") from None
    with file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line.decode("utf-8"), object_pairs_hook=_no_key_twice)
            except ValueError as error:
                raise BadFile(path, number, f"not a JSON object in UTF-8 ({error})", "Export the file again") from None
            if not isinstance(record, dict):
                raise BadFile(path, number, "not a JSON object", "Export the file again")
            yield number, record


def check_prm800k(path: Path | str) -> Report:
    """Check a PRM800K file line by line and report what breaks the format. Raises BadFile if the file cannot be read."""
    report = Report()
    for number, record in read_prm800k(path):
        report.count += 1
        try:
            _check(record, report.gaps)
        except _Violation as violation:
            report.violations.append((number, str(violation)))
    return report


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _must(holds: object, reason: str) -> None:
    if not holds:
        raise _Violation(reason)


def _must_have_keys(value: Any, keys: tuple[str, ...], name: str) -> None:
    _must(isinstance(value, dict), f"{name} is not an object")
    _must(tuple(value) == keys, f"{name} has the keys {', '.join(value) or 'none'}; it must have {', '.join(keys)}, in this order")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(record: dict[str, Any], gaps: Counter[str]) -> None:
    _must_have_keys(record, _TOP, "the record")
    _must(isinstance(record["labeler"], str) and _UUID.fullmatch(record["labeler"]), "labeler is not a lower-case UUID")
    _check_timestamp(record["timestamp"])
    generation, question, label = record["generation"], record["question"], record["label"]
    _must(generation is None or _is_int(generation) and generation >= -1, "generation must be null or a whole number, at least -1")
    for flag in ("is_quality_control_question", "is_initial_screening_question"):
        _must(isinstance(record[flag], bool), f"{flag} must be true or false")
    _must(
        record["is_initial_screening_question"] == (generation == -1),
        "is_initial_screening_question must be true in generation -1, and false in all others",
    )
    _must_have_keys(question, _QUESTION_1 if generation is None else _QUESTION_2, "question")
    _must(isinstance(question["problem"], str), "question.problem is not text")
    for key in ("ground_truth_solution", "ground_truth_answer"):
        _must(isinstance(question.get(key), str | None), f"question.{key} must be text or null")
        if key in question and question[key] is None and generation != -1:
            gaps[f"no {key}"] += 1
    if generation is not None:
        _check_pre_generated(question, gaps)
    _must_have_keys(label, _LABEL, "label")
    _must(
        label["total_time"] is None or _is_int(label["total_time"]) and label["total_time"] >= 0,
        "label.total_time must be null or a whole number of milliseconds",
    )
    gaps["no total_time"] += label["total_time"] is None
    _must(
        label["finish_reason"] in _FINISH_REASONS,
        f"label.finish_reason is {label['finish_reason']!r}; it must be one of {', '.join(_FINISH_REASONS)}",
    )
    _must(isinstance(label["steps"], list) and label["steps"], "label.steps must be a list with at least one step")
    _check_steps(label["steps"], None if generation is None else question["pre_generated_steps"], label["finish_reason"], gaps)
    for kind in [kind for kind, count in gaps.items() if not count]:
        del gaps[kind]


def _check_timestamp(stated: object) -> None:
    try:
        at = datetime.fromisoformat(stated) if isinstance(stated, str) else None
    except ValueError:
        at = None
    _must(
        at and at.tzinfo is None and len(str(stated)) == 26 and str(stated)[10] == "T",
        "timestamp must look like 2022-07-30T23:23:32.118856",
    )


def _check_pre_generated(question: dict[str, Any], gaps: Counter[str]) -> None:
    steps, answer, score = (question[f"pre_generated_{name}"] for name in ("steps", "answer", "verifier_score"))
    _must(
        isinstance(steps, list) and steps and all(isinstance(step, str) for step in steps),
        "question.pre_generated_steps must be a list with at least one text",
    )
    _must(isinstance(answer, str | None), "question.pre_generated_answer must be text or null")
    _must(
        score is None or isinstance(score, int | float) and not isinstance(score, bool),
        "question.pre_generated_verifier_score must be a number or null",
    )
    gaps["no pre_generated_verifier_score"] += score is None
    if answer is None or "# Answer\n\n" not in steps[-1]:
        gaps["no answer at the end of pre_generated_steps"] += 1
    else:
        _must(steps[-1].rpartition("# Answer\n\n")[2] == answer, "question.pre_generated_answer is not the answer of the last step")


def _check_steps(steps: list[Any], pre_generated: list[str] | None, finish_reason: str, gaps: Counter[str]) -> None:
    _must(pre_generated is None or len(steps) <= len(pre_generated), "label.steps is longer than question.pre_generated_steps")
    for index, step in enumerate(steps):
        name, is_last = f"label.steps[{index}]", index == len(steps) - 1
        _must_have_keys(step, _STEP, name)
        completions, human, chosen = step.values()
        _must(
            completions is None or isinstance(completions, list) and completions,
            f"{name}.completions must be null or a list that is not empty",
        )
        _must(completions is not None or human or is_last, f"{name} has no completion and is not the last step")
        for position, completion in enumerate(completions or ()):
            _check_completion(completion, position, f"{name}.completions[{position}]", pre_generated is not None, gaps)
        if human is not None:
            _must_have_keys(human, _HUMAN, f"{name}.human_completion")
            _must(
                isinstance(human["text"], str) and human["rating"] is None and human["source"] == "human",
                f'{name}.human_completion is invalid: its text must be text, its rating null and its source "human"',
            )
            _must(isinstance(human["flagged"], bool | None), f"{name}.human_completion.flagged must be true, false or null")
            _must(
                pre_generated is None or is_last,
                f"{name} has a human completion; in a pre-generated solution only the first mistake can have one",
            )
            gaps["a human completion at the first mistake"] += pre_generated is not None
        _must(
            chosen is None or _is_int(chosen) and 0 <= chosen < len(completions or ()),
            f"{name}.chosen_completion must be null or an index in completions",
        )
        gaps["both a human and a chosen completion"] += bool(human and chosen is not None)
        _must(chosen is not None or human or is_last, f"{name} is not the last step, but no completion was chosen")
        if chosen is not None:
            rating = completions[chosen]["rating"]
            _must(rating != -1, f"{name} continues from a completion rated -1")
            _must(pre_generated is not None or rating == 1, f"{name} continues from a completion rated {rating}; phase 1 allows only +1")
        if pre_generated is not None and completions:
            _must(completions[0]["text"] == pre_generated[index], f"{name}.completions[0] is not the pre-generated step")
    _check_end(steps[-1], finish_reason, gaps)


def _check_completion(completion: Any, position: int, name: str, is_whole: bool, gaps: Counter[str]) -> None:
    _must_have_keys(completion, _COMPLETION, name)
    text, rating, flagged = completion.values()
    _must(isinstance(text, str), f"{name}.text is not text")
    _must(rating is None or _is_int(rating) and rating in (-1, 0, 1), f"{name}.rating is {rating!r}; it must be -1, 0, 1 or null")
    _must(isinstance(flagged, bool | None), f"{name}.flagged is {flagged!r}; it must be true, false or null")
    if is_whole:
        _must(rating is not None or flagged, f"{name} has neither a rating nor a flag")
        _must(position > 0 or flagged is not False, f"{name}.flagged is false; at the pre-generated step it must be null or true")
        _must(position == 0 or flagged is not None, f"{name}.flagged is null; only at the pre-generated step it can be null")
    else:
        gaps["no flagged"] += flagged is None


def _check_end(step: dict[str, Any], finish_reason: str, gaps: Counter[str]) -> None:
    completions, human, chosen = step.values()
    if finish_reason == "found_error":
        _must(
            chosen is None and completions and completions[0]["rating"] == -1,
            "label.finish_reason is found_error, but the first completion of the last step is not rated -1",
        )
    if finish_reason == "solution":
        _must(chosen is not None or human, "label.finish_reason is solution, but no completion was chosen at the last step")
        text = completions[chosen]["text"] if chosen is not None else human["text"]
        gaps["a solution that ends without '# Answer'"] += "# Answer" not in text
