"""The checker of PRM800K records, which is independent of the writer."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotation import export
from annotation.ingest import BadFile
from tests.annotation.test_formats import step, write
from tests.exports import pre_generated

pytestmark = pytest.mark.django_db


def at(record: dict, *path: str | int) -> dict:
    for key in path:
        record = record[key]  # type: ignore[index]
    return record


WALK, ERROR, GIVEN_UP, SCREENING = 0, 1, 4, 5  # lines of prm800k/records.jsonl
LAST = ("label", "steps", 2)
BROKEN: list[tuple[int, str, Callable[[dict], object]]] = [
    (ERROR, "the record has the keys", lambda r: r.update(extra=1)),
    (ERROR, "the record has the keys", lambda r: r.update(labeler=r.pop("labeler"))),
    (ERROR, "labeler is not a lower-case UUID", lambda r: r.update(labeler=r["labeler"].upper())),
    (ERROR, "timestamp must look like", lambda r: r.update(timestamp=r["timestamp"] + "Z")),
    (ERROR, "timestamp must look like", lambda r: r.update(timestamp=r["timestamp"][:19])),
    (ERROR, "question has the keys", lambda r: r.update(generation=None)),
    (WALK, "question has the keys", lambda r: r.update(generation=1)),
    (WALK, "question has the keys", lambda r: r["question"].update(ground_truth_solution=None)),
    (ERROR, "generation must be null", lambda r: r.update(generation=True)),
    (ERROR, "is_quality_control_question must be true or false", lambda r: r.update(is_quality_control_question=0)),
    (SCREENING, "is_initial_screening_question must be", lambda r: r.update(is_initial_screening_question=False)),
    (ERROR, "pre_generated_steps must be a list", lambda r: r["question"].update(pre_generated_steps=[])),
    (ERROR, "pre_generated_answer is not the answer", lambda r: r["question"].update(pre_generated_answer="7201")),
    (ERROR, "pre_generated_verifier_score must be a number", lambda r: r["question"].update(pre_generated_verifier_score="0.1")),
    (ERROR, "total_time must be null", lambda r: r["label"].update(total_time=1.5)),
    (ERROR, "finish_reason is 'done'", lambda r: r["label"].update(finish_reason="done")),
    (ERROR, "label.steps must be a list", lambda r: r["label"].update(steps=[])),
    (ERROR, "longer than question.pre_generated_steps", lambda r: r["label"].update(steps=r["label"]["steps"][:1] * 6)),
    (ERROR, "is not the pre-generated step", lambda r: at(r, "label", "steps", 0, "completions", 0).update(text="other")),
    (ERROR, "flagged is false; at the pre-generated step", lambda r: at(r, "label", "steps", 0, "completions", 0).update(flagged=False)),
    (ERROR, "flagged is null; only at", lambda r: at(r, *LAST, "completions", 1).update(flagged=None)),
    (ERROR, "neither a rating nor a flag", lambda r: at(r, "label", "steps", 0, "completions", 0).update(rating=None)),
    (ERROR, "rating is 2", lambda r: at(r, "label", "steps", 0, "completions", 0).update(rating=2)),
    (ERROR, "continues from a completion rated -1", lambda r: at(r, "label", "steps", 0, "completions", 0).update(rating=-1)),
    (ERROR, "no completion was chosen", lambda r: at(r, "label", "steps", 0).update(chosen_completion=None)),
    (ERROR, "chosen_completion must be null or an index", lambda r: at(r, "label", "steps", 0).update(chosen_completion=1)),
    (ERROR, "found_error, but", lambda r: at(r, *LAST, "completions", 0).update(rating=0)),
    (ERROR, "a human completion", lambda r: at(r, "label", "steps", 0).update(human_completion=step(None, human="a")["human_completion"])),
    (WALK, "rated 0; phase 1 allows only", lambda r: at(r, "label", "steps", 0, "completions", 0).update(rating=0)),
    (WALK, "human_completion has the keys", lambda r: at(r, "label", "steps", 1, "human_completion").pop("source")),
    (WALK, "human_completion is invalid", lambda r: at(r, "label", "steps", 1, "human_completion").update(rating=1)),
    (WALK, "must be null or a list that is not empty", lambda r: at(r, "label", "steps", 0).update(completions=[])),
    (WALK, "no completion was chosen at the last step", lambda r: at(r, "label", "steps", 3).update(chosen_completion=None)),
    (GIVEN_UP, "has no completion and is not the last", lambda r: r["label"]["steps"].insert(2, step(None))),
]  # fmt: skip


@pytest.mark.parametrize(("place", "said", "breaks"), BROKEN, ids=[f"{number} {said}" for number, (_, said, _) in enumerate(BROKEN)])
def test_the_checker_finds_what_breaks_the_format(
    samples: Path, tmp_path: Path, place: int, said: str, breaks: Callable[[dict], object]
) -> None:
    records = [json.loads(line) for line in (samples / "prm800k/records.jsonl").read_bytes().splitlines()]
    breaks(records[place])
    report = export.check_prm800k(write(tmp_path / "broken.jsonl", *records))
    assert [line for line, _ in report.violations] == [place + 1]
    assert said in report.violations[0][1]


def test_the_checker_finds_nothing_in_records_that_keep_to_the_format(samples: Path) -> None:
    report = export.check_prm800k(samples / "prm800k/records.jsonl")
    assert (report.count, report.violations, dict(report.gaps)) == (6, [], {})


def test_the_checker_finds_nothing_in_published_records(data: Path) -> None:
    report = export.check_prm800k(data / "prm800k/original_6.jsonl")
    assert (report.count, report.violations, dict(report.gaps)) == (6, [], {})


def test_values_that_a_source_lost_are_gaps_and_no_violations(tmp_path: Path) -> None:
    lost = pre_generated(ground_truth_solution=None)
    lost["label"]["total_time"] = None
    report = export.check_prm800k(write(tmp_path / "f.jsonl", lost))
    assert (report.violations, dict(report.gaps)) == ([], {"no ground_truth_solution": 1, "no total_time": 1})


@pytest.mark.parametrize("line", [b"{", b'{"a": 1, "a": 2}', b"[]", b"\xff", b""])
def test_the_checker_refuses_a_line_that_is_no_record(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(BadFile) as bad:
        export.check_prm800k(write(tmp_path / "f.jsonl", pre_generated(), line))
    assert bad.value.line == 2


def test_the_check_command_names_line_and_reason(tmp_path: Path) -> None:
    broken = {**pre_generated(), "labeler": "ann"}
    with pytest.raises(CommandError) as refused:
        call_command("check_export", str(write(tmp_path / "f.jsonl", pre_generated(), broken)))
    assert refused.value.returncode == 2
    assert "f.jsonl line 2: labeler is not a lower-case UUID." in str(refused.value)


def test_the_checker_does_not_know_the_writer() -> None:
    from annotation.export import checker

    assert "prm800k" not in vars(checker) and "write_prm800k" not in Path(checker.__file__).read_text()
