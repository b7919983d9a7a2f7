"""A number in a file keeps its digits; where a value is needed, it is converted and checked with its line."""

import json
from pathlib import Path

import orjson
import pytest

from trainer.formats import FORMATS, BadFile, BadLine, NewSolution, check_problem, read_lines
from trainer.formats.ratings import canonical_bytes

NUMBERS = ["0.10", "1e400", "1E5", "-0", "-0.0", "1.50e-3", "5" * 5_000, "18446744073709551617", "0.1234567890123456789012345"]


def read_raw(path: Path, text: str, format: str = "generic") -> list[NewSolution]:
    """Read a file of one line through the reader of a format."""
    path.write_text(text)
    ((_, fields),) = read_lines(path)
    solutions = FORMATS[format].solutions
    assert solutions
    return solutions(fields)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
@pytest.mark.parametrize("key", ["answer", "id", "level", "source"])
def test_a_number_keeps_the_digits_it_was_written_with(tmp_path: Path, key: str, number: str) -> None:
    (solution,) = read_raw(tmp_path / "f.jsonl", f'{{"problem": "p", "steps": ["a"], "{key}": {number}}}')
    problem = solution.problem
    kept = {"answer": problem.answer, "id": problem.external_id, "level": problem.level, "source": solution.source}
    assert kept[key] == number


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused_with_its_line(tmp_path: Path, written: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(f'{{"problem": "p"}}\n{{"problem": "q", "answer": {written}}}\n')
    with pytest.raises(BadFile, match=f"line 2: {written} is not a number. Write null, or leave the key out"):
        list(read_lines(path))


@pytest.mark.parametrize("written", ["01", "+1", "1.", ".5", "0x10", "1_000", "1,000"])
def test_what_json_does_not_allow_as_a_number_is_refused_with_its_line(tmp_path: Path, written: str) -> None:
    with pytest.raises(BadFile, match="line 1: not JSON"):
        read_raw(tmp_path / "f.jsonl", f'{{"problem": "p", "answer": {written}}}')


def test_more_digits_than_the_limit_are_refused_as_a_long_text_is(tmp_path: Path) -> None:
    (solution,) = read_raw(tmp_path / "f.jsonl", f'{{"problem": "p", "steps": ["a"], "answer": {"7" * 25_000}}}')
    with pytest.raises(BadLine, match="the answer has 25,000 characters, the limit is 20,000"):
        check_problem(solution.problem)


@pytest.mark.parametrize(("written", "rating"), [("1", 1), ("1.0", 1), ("-1.0", -1), ("0.0", 0), ("-0", 0), ("1e0", 1), ("null", None)])
def test_a_rating_is_the_whole_number_that_was_meant(tmp_path: Path, written: str, rating: int | None) -> None:
    steps = f'[{{"text": "a", "rating": 1}}, {{"text": "b", "rating": {written}}}]'
    (solution,) = read_raw(tmp_path / "f.jsonl", f'{{"problem": "p", "steps": {steps}}}')
    assert solution.annotation
    assert [label.rating for label in solution.annotation.labels][1:] in ([rating], [] if rating is None else [rating])


@pytest.mark.parametrize(
    ("written", "shown"), [("0.5", "0.5"), ("2", "2"), ("1e400", "1e400"), ("true", "true"), ('"1"', "'1'"), ("9" * 5_000, "999")]
)
def test_what_is_no_rating_is_refused(tmp_path: Path, written: str, shown: str) -> None:
    with pytest.raises(BadLine, match=f"a rating is {shown}"):
        read_raw(tmp_path / "f.jsonl", f'{{"problem": "p", "steps": [{{"text": "a", "rating": {written}}}]}}')


def record(score: str) -> str:
    completion = '{"text": "a", "rating": 1.0, "flagged": null}'
    step = f'{{"completions": [{completion}], "human_completion": null, "chosen_completion": 0.0}}'
    question = f'{{"problem": "p", "pre_generated_steps": ["a"], "pre_generated_answer": 5.0, "pre_generated_verifier_score": {score}}}'
    return f'{{"generation": 3.0, "question": {question}, "label": {{"steps": [{step}], "total_time": 9, "finish_reason": "solution"}}}}'


def test_a_record_has_values_where_values_are_needed_and_digits_where_texts_are(tmp_path: Path) -> None:
    (solution,) = read_raw(tmp_path / "f.jsonl", record("2.50e-1"), "prm800k")
    assert solution.annotation
    assert (solution.annotation.generation, solution.annotation.verifier_score, solution.final_answer) == (3, 0.25, "5.0")
    assert [(label.rating, label.chosen) for label in solution.annotation.labels] == [(1, True)]


@pytest.mark.parametrize("score", ["1e400", '"high"', "true"])
def test_a_score_that_is_no_finite_number_is_refused(tmp_path: Path, score: str) -> None:
    with pytest.raises(BadLine, match="'pre_generated_verifier_score' is"):
        read_raw(tmp_path / "f.jsonl", record(score), "prm800k")


@pytest.mark.parametrize("file", ["records.jsonl", "labeled_paths.jsonl", "phase1_reconstructed.jsonl"])
def test_a_line_is_identified_by_the_bytes_that_identified_it_when_numbers_lost_their_digits(samples: Path, file: str) -> None:
    lines = (samples / "prm800k" / file).read_bytes().splitlines()
    before = [orjson.dumps(json.loads(line), option=orjson.OPT_SORT_KEYS) for line in lines]
    assert [canonical_bytes(fields) for _, fields in read_lines(samples / "prm800k" / file)] == before


def test_numbers_beyond_all_limits_identify_a_line_too(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text("".join(f'{{"answer": {number}}}\n' for number in ("1e400", "2e400", "1" * 5_000, "1" * 30, '"\\ud800"')))
    assert len({canonical_bytes(fields) for _, fields in read_lines(path)}) == 5
