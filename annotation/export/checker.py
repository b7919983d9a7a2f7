"""Stage: export, the independent checker of PRM800K files. Reads a file, writes nothing, knows neither the writer nor the database:
what it holds to are the rules observed in the published dataset (docs/formats.md).
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
    """What a file holds: violations (line, reason) break the format; gaps are where it keeps to the format and differs from all published
    records, because a source lost a value or the project asks for more, counted by kind."""

    count: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)
    gaps: Counter[str] = field(default_factory=Counter)


class _Broken(ValueError):
    pass


def read_prm800k(path: Path | str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a PRM800K file; give (line number, record). Raises BadFile for a line that is no JSON object in UTF-8."""
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
    """Check a PRM800K file line by line; return what was found. Raises BadFile if it cannot be read at all."""
    report = Report()
    for number, record in read_prm800k(path):
        report.count += 1
        try:
            _check(record, report.gaps)
        except _Broken as broken:
            report.violations.append((number, str(broken)))
    return report


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _must(holds: object, reason: str) -> None:
    if not holds:
        raise _Broken(reason)


def _keys(of: Any, keys: tuple[str, ...], name: str) -> None:
    _must(isinstance(of, dict), f"{name} is no object")
    _must(tuple(of) == keys, f"{name} has the keys {', '.join(of) or 'none'} instead of {', '.join(keys)}, in this order")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(record: dict[str, Any], gaps: Counter[str]) -> None:
    _keys(record, _TOP, "the record")
    _must(isinstance(record["labeler"], str) and _UUID.fullmatch(record["labeler"]), "labeler is no lower-case UUID")
    _check_timestamp(record["timestamp"])
    generation, question, label = record["generation"], record["question"], record["label"]
    _must(generation is None or _is_int(generation) and generation >= -1, "generation is neither null nor a whole number from -1")
    for flag in ("is_quality_control_question", "is_initial_screening_question"):
        _must(isinstance(record[flag], bool), f"{flag} is not true or false")
    _must(
        record["is_initial_screening_question"] == (generation == -1), "is_initial_screening_question must be true exactly in generation -1"
    )
    _keys(question, _QUESTION_1 if generation is None else _QUESTION_2, "question")
    _must(isinstance(question["problem"], str), "question.problem is no text")
    for key in ("ground_truth_solution", "ground_truth_answer"):
        _must(isinstance(question.get(key), str | None), f"question.{key} is neither text nor null")
        if key in question and question[key] is None and generation != -1:
            gaps[f"no {key}"] += 1
    if generation is not None:
        _check_pre_generated(question, gaps)
    _keys(label, _LABEL, "label")
    _must(
        label["total_time"] is None or _is_int(label["total_time"]) and label["total_time"] >= 0,
        "label.total_time is no number of milliseconds",
    )
    gaps["no total_time"] += label["total_time"] is None
    _must(label["finish_reason"] in _FINISH_REASONS, f"label.finish_reason is {label['finish_reason']!r}")
    _must(isinstance(label["steps"], list) and label["steps"], "label.steps is empty")
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
        "timestamp does not look like 2022-07-30T23:23:32.118856",
    )


def _check_pre_generated(question: dict[str, Any], gaps: Counter[str]) -> None:
    steps, answer, score = (question[f"pre_generated_{name}"] for name in ("steps", "answer", "verifier_score"))
    _must(
        isinstance(steps, list) and steps and all(isinstance(step, str) for step in steps),
        "question.pre_generated_steps is no list of texts",
    )
    _must(isinstance(answer, str | None), "question.pre_generated_answer is neither text nor null")
    _must(
        score is None or isinstance(score, int | float) and not isinstance(score, bool),
        "question.pre_generated_verifier_score is no number",
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
        _keys(step, _STEP, name)
        completions, human, chosen = step.values()
        _must(completions is None or isinstance(completions, list) and completions, f"{name}.completions is neither null nor a filled list")
        _must(completions is not None or human or is_last, f"{name} has no completion and is not the last step")
        for place, completion in enumerate(completions or ()):
            _check_completion(completion, place, f"{name}.completions[{place}]", pre_generated is not None, gaps)
        if human is not None:
            _keys(human, _HUMAN, f"{name}.human_completion")
            _must(
                isinstance(human["text"], str) and human["rating"] is None and human["source"] == "human",
                f"{name}.human_completion is bent",
            )
            _must(isinstance(human["flagged"], bool | None), f"{name}.human_completion.flagged is bent")
            _must(
                pre_generated is None or is_last,
                f"{name} has a human completion; in a pre-generated solution only the first mistake may have one",
            )
            gaps["a human completion at the first mistake"] += pre_generated is not None
        _must(
            chosen is None or _is_int(chosen) and 0 <= chosen < len(completions or ()),
            f"{name}.chosen_completion is no place in completions",
        )
        gaps["both a human and a chosen completion"] += bool(human and chosen is not None)
        _must(chosen is not None or human or is_last, f"{name} is not the last step, but nothing was chosen")
        if chosen is not None:
            rating = completions[chosen]["rating"]
            _must(rating != -1, f"{name} goes on from a completion rated -1")
            _must(pre_generated is not None or rating == 1, f"{name} goes on from a completion rated {rating}; in phase 1 only from +1")
        if pre_generated is not None and completions:
            _must(completions[0]["text"] == pre_generated[index], f"{name}.completions[0] is not the pre-generated step")
    _check_end(steps[-1], finish_reason, gaps)


def _check_completion(completion: Any, place: int, name: str, whole: bool, gaps: Counter[str]) -> None:
    _keys(completion, _COMPLETION, name)
    text, rating, flagged = completion.values()
    _must(isinstance(text, str), f"{name}.text is no text")
    _must(rating is None or _is_int(rating) and rating in (-1, 0, 1), f"{name}.rating is {rating!r}")
    _must(isinstance(flagged, bool | None), f"{name}.flagged is {flagged!r}")
    if whole:
        _must(rating is not None or flagged, f"{name} has neither a rating nor a flag")
        _must(
            flagged is not False if place == 0 else flagged is not None,
            f"{name}.flagged is {flagged}: null or true at the pre-generated step, else true or false",
        )
    else:
        gaps["no flagged"] += flagged is None


def _check_end(step: dict[str, Any], finish_reason: str, gaps: Counter[str]) -> None:
    completions, human, chosen = step.values()
    if finish_reason == "found_error":
        _must(
            chosen is None and completions and completions[0]["rating"] == -1,
            "found_error, but the last step's own completion is not rated -1",
        )
    if finish_reason == "solution":
        _must(chosen is not None or human, "finished as a solution, but nothing was chosen at the last step")
        text = completions[chosen]["text"] if chosen is not None else human["text"]
        gaps["a solution that ends without '# Answer'"] += "# Answer" not in text
