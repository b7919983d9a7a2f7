"""What the readers turn each format into, and the errors for what they cannot read. No database."""

import gzip
import json
from pathlib import Path

import pytest

from annotation.ingest import digest
from annotation.models import FinishReason
from trainer.formats import (
    FINISHES,
    FORMATS,
    BadFile,
    BadLine,
    BadText,
    NewAnnotation,
    NewSolution,
    check_solution,
    clean_text,
    cut_solution,
    detect_format,
    read_lines,
)

GENERIC = {"problem": "What is 2 + 3?", "answer": "5", "steps": ["Add.", "So 5.\n\n# Answer\n\n5"]}


def write(path: Path, *lines: object) -> Path:
    path.write_bytes(b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines))
    return path


def read(format: str, of: dict) -> list[NewSolution]:
    solutions = FORMATS[format].solutions
    assert solutions
    return [cut_solution(solution, by="lines") for solution in solutions(of)]


def annotation(solution: NewSolution) -> NewAnnotation:
    assert solution.annotation
    return solution.annotation


@pytest.mark.parametrize(
    ("file", "format"),
    [
        ("gsm8k/example_model_solutions.jsonl", "gsm8k_solutions"),
        ("gsm8k/test.jsonl", "gsm8k"),
        ("gsm8k/mr_gsm8k_wrong_solutions.jsonl", "mr_gsm8k"),
        ("math/math500.jsonl", "math"),
        ("math/train.json", "math"),
        ("prm800k/records.jsonl", "prm800k"),
        ("prm800k/phase1_reconstructed.jsonl", "prm800k"),
        ("prm800k/labeled_paths.jsonl", "generic"),
    ],
)
def test_the_first_object_of_a_file_tells_its_format(samples: Path, file: str, format: str) -> None:
    assert detect_format(samples / file).name == format


@pytest.mark.parametrize(
    ("file", "format"),
    [
        ("gsm8k/example_model_solutions.jsonl", "gsm8k_solutions"),
        ("gsm8k/test.jsonl", "gsm8k"),
        ("gsm8k/mr_gsm8k_wrong_solutions.jsonl", "mr_gsm8k"),
        ("math/math500.jsonl", "math"),
        ("math/train7474_answers.json", "math"),
        ("prm800k/original_6.jsonl", "prm800k"),
        ("prm800k/phase1_train_reconstructed.jsonl", "prm800k"),
        ("prm800k/phase2_labeled_paths_1818.jsonl", "generic"),
    ],
)
def test_the_first_object_of_a_published_file_tells_its_format(data: Path, file: str, format: str) -> None:
    assert detect_format(data / file).name == format


def test_a_solution_as_text_breaks_into_steps_at_its_lines() -> None:
    (solution,) = read("generic", {"problem": "p", "solution": "One.\n\nTwo. \n\n# Answer\n\n5\n", "source": "gpt"})
    assert solution.steps == ("One.", "Two. \n\n# Answer\n\n5")
    assert solution.source == "gpt"


def test_a_generic_line_carries_its_problem() -> None:
    (solution,) = read("generic", {**GENERIC, "id": 7, "subject": "Sums", "level": 2, "split": "test", "reference_solution": "2 + 3 = 5"})
    problem = solution.problem
    assert (problem.external_id, problem.answer, problem.subject, problem.level, problem.split, problem.reference_solution) == (
        "7",
        "5",
        "Sums",
        "2",
        "test",
        "2 + 3 = 5",
    )


@pytest.mark.parametrize("given", [{"2": ["So 6.", "So 7."], "1": ["Count."]}, [["Count."], ["So 6.", "So 7."]]], ids=["by number", "list"])
def test_a_generic_line_may_bring_other_texts_for_its_steps(given: object) -> None:
    (solution,) = read("generic", {**GENERIC, "alternatives": given})
    assert sorted(solution.alternatives) == [(0, "Count."), (1, "So 6."), (1, "So 7.")]


def test_rated_steps_may_have_alternatives_too() -> None:
    (solution,) = read("generic", {**GENERIC, "steps": [{"text": "Add.", "rating": -1}], "alternatives": [["Count."]]})
    assert (solution.alternatives, annotation(solution).finish_reason) == (((0, "Count."),), "found_error")


def test_gsm8k_solutions_lose_their_calculations_and_keep_their_answer() -> None:
    line = {
        "question": "q",
        "ground_truth": "16 - 3 = <<16-3=13>>13\nA: 13",
        "6b": {"is_correct": False, "solution": "1 + 1 = <<1+1=2>>2\nSo <<2*2=4>>4.\nA: 4"},
    }
    (solution,) = read("gsm8k_solutions", line)
    assert solution.steps == ("1 + 1 = 2", "So 4.\n\n# Answer\n\n4")
    assert (solution.final_answer, solution.source) == ("4", "6b")
    assert (solution.problem.answer, solution.problem.reference_solution) == ("13", "16 - 3 = 13")


def test_a_gsm8k_solution_that_is_only_an_answer_is_one_step() -> None:
    (solution,) = read("gsm8k_solutions", {"question": "q", "ground_truth": "A: 1", "6b": {"solution": "A: 4"}})
    assert solution.steps == ("# Answer\n\n4",)


def test_a_gsm8k_solution_cut_off_in_a_calculation_states_no_answer() -> None:
    (solution,) = read(
        "gsm8k_solutions", {"question": "q", "ground_truth": "A: 1", "6b": {"solution": "Half of it.\n3/440 = <<3/440=0.00681"}}
    )
    assert solution.steps == ("Half of it.", "3/440 =")
    assert solution.final_answer is None


def test_gsm8k_problems_state_their_answer_after_the_hashes() -> None:
    problem = FORMATS["gsm8k"].problem({"question": "q", "answer": "9 * 2 = $<<9*2=18>>18\n#### 18"})
    assert (problem.answer, problem.reference_solution) == ("18", "9 * 2 = $18")


def test_math_500_is_the_test_split_and_keeps_its_ids(samples: Path) -> None:
    problems = [FORMATS["math"].problem(fields) for _, fields in read_lines(samples / "math/math500.jsonl")]
    assert len(problems) == 3
    assert {problem.split for problem in problems} == {"test"}
    assert problems[0].external_id == "test/algebra/1.json"
    assert problems[0].level == "2"


def test_a_math_problem_without_an_answer_has_the_boxed_one() -> None:
    assert FORMATS["math"].problem({"problem": "p", "solution": r"So $\boxed{\frac{1}{2}}$.", "type": "Algebra"}).answer == r"\frac{1}{2}"


def test_an_array_is_read_object_by_object(samples: Path) -> None:
    lines = list(read_lines(samples / "math/train.json"))
    assert len(lines) == 3
    assert lines[0][0] == 2 and lines[1][0] == 8  # the first object begins on the second line, each has six
    assert FORMATS["math"].problem(lines[0][1]).level == "1"


def test_mr_gsm8k_rates_up_to_the_first_mistake(samples: Path) -> None:
    for _, fields in read_lines(samples / "gsm8k/mr_gsm8k_wrong_solutions.jsonl"):
        (solution,) = read("mr_gsm8k", fields)
        ratings = [label.rating for label in annotation(solution).labels]
        assert ratings == [1] * (len(ratings) - 1) + [-1]
        assert len(ratings) <= len(solution.steps)
        assert annotation(solution).finish_reason == "found_error"


@pytest.mark.parametrize(
    ("ratings", "stated", "finish_reason"),
    [
        ([1, 0], None, "solution"),
        ([1, -1], None, "found_error"),
        ([1, None], None, "give_up"),
        ([1, 1], "truncated", "give_up"),
        ([1, -1], "truncated", "found_error"),
        ([1, 1], "bad_problem", "bad_problem"),
    ],
)
def test_what_ended_the_labeling_is_told_or_follows_from_the_ratings(ratings: list, stated: str | None, finish_reason: str) -> None:
    steps = [{"text": f"step {i}", "rating": rating} for i, rating in enumerate(ratings)]
    (solution,) = read("generic", {"problem": "p", "steps": steps, "finish_reason": stated})
    assert annotation(solution).finish_reason == finish_reason


def test_steps_without_any_rating_are_a_plain_solution() -> None:
    (solution,) = read("generic", {"problem": "p", "steps": [{"text": "a", "rating": None}, {"text": "b"}]})
    assert solution.annotation is None
    assert solution.steps == ("a", "b")


def completion(text: str, rating: int | None = 1, flagged: bool | None = False) -> dict:
    return {"text": text, "rating": rating, "flagged": flagged}


def phase1(*steps: dict, finish_reason: str = "give_up") -> dict:
    return {
        "question": {"problem": "p", "ground_truth_answer": "5"},
        "label": {"steps": list(steps), "total_time": 9, "finish_reason": finish_reason},
    }


def step(completions: list | None, human: str | None = None, chosen: int | None = None) -> dict:
    written = None if human is None else {"text": human, "rating": None, "source": "human", "flagged": False}
    return {"completions": completions, "human_completion": written, "chosen_completion": chosen}


def test_a_phase_1_solution_is_the_path_that_was_walked() -> None:
    (solution,) = read(
        "prm800k",
        phase1(
            step([completion("a", -1), completion("b")], chosen=1),
            step([completion("c", -1)], human="mine"),
            step([completion("d", None), completion("e", None)]),
        ),
    )
    assert solution.steps == ("b", "mine", "d")


def test_a_last_step_without_completions_adds_no_text() -> None:
    (solution,) = read("prm800k", phase1(step([completion("a")], chosen=0), step(None)))
    assert solution.steps == ("a",)
    assert [(label.step_index, label.text, label.rating) for label in annotation(solution).labels] == [(0, None, 1), (1, None, None)]


def test_a_phase_2_solution_is_whole_whatever_was_rated(samples: Path) -> None:
    records = [fields for _, fields in read_lines(samples / "prm800k/records.jsonl")]
    (solution,) = read("prm800k", records[1])
    assert len(solution.steps) == 5
    assert max(label.step_index for label in annotation(solution).labels) == 2
    assert solution.final_answer == "2"


def bad_prm800k(**changes: object) -> dict:
    return {**phase1(step([completion("a")], chosen=0), finish_reason="solution"), **changes}


BAD_VALUES = [
    ("generic", {"steps": ["a"]}, "'problem' is missing"),
    ("generic", {"problem": "p"}, "'solution' is missing"),
    ("generic", {"problem": "p", "steps": "a"}, "'steps' is a text"),
    ("generic", {"problem": "p", "steps": [{"text": "a", "rating": 2}]}, "a rating is 2"),
    ("generic", {"problem": "p", "steps": [{"text": "a", "rating": True}]}, "a rating is true"),
    ("generic", {"problem": "p", "steps": [{"text": "a", "rating": 1}, {"text": " ", "rating": 1}]}, "step 2 is empty"),
    (
        "generic",
        {"problem": "p", "steps": [{"text": "a", "rating": -1}, {"text": "b", "rating": 1}]},
        "step 2 is rated after the first mistake",
    ),
    ("generic", {"problem": "p", "steps": [{"text": "a", "rating": 1}], "finish_reason": "found_error"}, "no step is rated -1"),
    ("generic", {"problem": "p", "steps": [{"text": "a", "rating": 1}], "finish_reason": "tired"}, "finish_reason is 'tired'"),
    ("generic", {"problem": "p", "steps": [{"text": "a", "rating": 1, "flagged": "no"}]}, "'flagged' is 'no'"),
    ("generic", {"problem": "p", "answer": ["5"], "steps": ["a"]}, "'answer' is a list"),
    ("generic", {**GENERIC, "alternatives": {"0": ["a"]}}, "'alternatives' has the key '0'"),
    ("generic", {**GENERIC, "alternatives": {"two": ["a"]}}, "'alternatives' has the key 'two'"),
    ("generic", {**GENERIC, "alternatives": ["a"]}, "the alternatives of step 1 are not a list of texts"),
    ("generic", {**GENERIC, "alternatives": {"1": [5]}}, "the alternatives of step 1 are not a list of texts"),
    ("generic", {**GENERIC, "alternatives": "a"}, "'alternatives' is a text"),
    ("gsm8k_solutions", {"question": "q", "ground_truth": "no answer here", "6b": {"solution": "a"}}, "states no answer"),
    ("prm800k", bad_prm800k(labeler="bob"), "the labeler is 'bob'"),
    ("prm800k", bad_prm800k(timestamp="yesterday"), "the timestamp is 'yesterday'"),
    ("prm800k", bad_prm800k(timestamp="2022-07-30T23:23:32.118856+00:00"), "the timestamp is"),
    ("prm800k", bad_prm800k(generation=3), "no pre_generated_steps"),
    ("prm800k", bad_prm800k(is_initial_screening_question=True), "disagree"),
    ("prm800k", phase1(step([completion("a")], chosen=1)), "'chosen_completion' is 1"),
    ("prm800k", phase1(step([])), "empty list of completions"),
    ("prm800k", phase1(step([completion("a")]), step([completion("b")], chosen=0)), "neither a chosen nor a human completion"),
    ("prm800k", {"question": {"problem": "p", "pre_generated_steps": ["a"]}, "label": {"steps": []}}, "no generation"),
]


@pytest.mark.parametrize(("format", "fields", "reason"), BAD_VALUES, ids=[reason for _, _, reason in BAD_VALUES])
def test_a_value_that_cannot_be_is_named(format: str, fields: dict, reason: str) -> None:
    with pytest.raises(BadLine) as bad:
        read(format, fields)
    assert reason in bad.value.reason
    assert bad.value.remedy


def with_steps(*steps: str) -> NewSolution:
    return read("generic", {**GENERIC, "steps": list(steps)})[0]


def beside(alternatives: dict) -> NewSolution:
    return read("generic", {**GENERIC, "alternatives": alternatives})[0]


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        (with_steps(), "the solution is empty"),
        (with_steps("a", " \n"), "step 2 is empty"),
        (with_steps("a\0b"), "step 1 contains a NUL character at position 2"),
        (with_steps("a\ud800"), r"step 1 contains half of a surrogate pair (\ud800)"),
        (with_steps("a" * 20_001), "step 1 has 20,001 characters"),
        (with_steps(*["a"] * 2_001), "the solution has 2,001 steps"),
        (with_steps(*["a" * 20_000] * 26), "the solution has 520,000 characters"),
        (read("generic", {**GENERIC, "problem": " "})[0], "the problem is empty"),
        (read("generic", {**GENERIC, "id": "i" * 201})[0], "the id has 201 characters"),
        (read("generic", {**GENERIC, "answer": "\0"})[0], "the answer contains a NUL"),
        (read("generic", {**GENERIC, "split": "valid"})[0], "the split is 'valid'"),
        (read("prm800k", phase1(step([completion("a"), completion("\0")], chosen=0)))[0], "a completion of step 1 contains a NUL"),
        (beside({"3": ["a"]}), "step 3 has alternatives, but the solution has 2 steps"),
        (beside({"2": [" "]}), "an alternative of step 2 is empty"),
        (beside({"2": ["a\0b"]}), "an alternative of step 2 contains a NUL"),
        (beside({"1": [str(number) for number in range(17)]}), "step 1 has 17 alternatives, the limit is 16"),
    ],
)
def test_a_text_beyond_the_limits_is_named(solution: NewSolution, reason: str) -> None:
    with pytest.raises(BadLine) as bad:
        check_solution(solution)
    assert reason in bad.value.reason


def test_a_solution_at_the_limits_passes() -> None:
    check_solution(with_steps(*["a" * 250] * 2_000))


BAD_LINES = [
    (b'{"problem": "caf\xe9"}', "not UTF-8 (byte 0xe9 at position 17)"),
    (b'{"problem": "p", ', "not JSON"),
    (b'{"problem": "p\x00"}', "not JSON (Invalid control character"),
    (b'{"problem": "a", "problem": "b"}', "the key 'problem' occurs twice"),
    (b'{"problem": "p", "deep": {"a": 1, "a": 2}}', "the key 'a' occurs twice"),
    (b'{"problem": "p", "answer": NaN}', "NaN is not a number"),
    (b'["problem", "p"]', "a list where an object is expected"),
    (b'"problem"', "a text where an object is expected"),
    (b'{"problem": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper than 32 levels"),
    (b'{"problem": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested deeper than 32 levels"),
    (b'{"problem": "' + b"p" * 5_000_000 + b'"}', "the line has more than 5,000,000 bytes"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[reason for _, reason in BAD_LINES])
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: bytes, reason: str) -> None:
    path = write(tmp_path / "bad.jsonl", GENERIC, b"", line, GENERIC)
    with pytest.raises(BadFile) as bad:
        list(read_lines(path))
    assert bad.value.line == 3
    assert reason in bad.value.reason
    assert str(bad.value).startswith(f"{path} line 3: ")
    assert bad.value.remedy


def test_brackets_in_text_are_no_depth(tmp_path: Path) -> None:
    path = write(tmp_path / "latex.jsonl", {"problem": "{[" * 100 + '"' + "\\frac{1}{2}" * 50})
    assert len(list(read_lines(path))) == 1


def test_a_bad_object_in_an_array_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('[\n  {"problem": "p"},\n  {"problem": "q",\n   "problem": "q"}\n]')
    with pytest.raises(BadFile) as bad:
        list(read_lines(path))
    assert bad.value.line == 3


def test_an_array_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('[\n{"problem": "p"},\n{"problem": "q"}\n')
    with pytest.raises(BadFile, match="line 4"):
        list(read_lines(path))


def test_a_byte_that_is_not_utf8_in_an_array_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes(b'[\n{"problem": "p"},\n{"problem": "\xe9"}\n]')
    with pytest.raises(BadFile, match=r"line 3: not UTF-8 \(byte 0xe9 at position 14\)"):
        list(read_lines(path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b'{"prompt": "p", "chosen": "c"}\n', "unknown format (keys: 'prompt', 'chosen')"),
    ],
)
def test_a_file_of_no_known_format_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "what.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadFile) as bad:
        detect_format(path)
    assert reason in bad.value.reason


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "large.jsonl", {"problem": "p" * 1_000_000})
    with pytest.raises(BadFile, match="the limit is 1 MB. Split the file, or raise the limit with --megabytes"):
        list(read_lines(path, megabytes=1))
    assert len(list(read_lines(path, megabytes=2))) == 1


def test_a_gzipped_file_reads_as_its_content(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GENERIC).encode() + b"\n" + json.dumps(GENERIC).encode()))
    assert list(read_lines(path)) == [(1, GENERIC), (2, GENERIC)]


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress((b'{"problem": "' + b" " * 1_000_000 + b'"}\n') * 50))
    assert path.stat().st_size < 60_000
    with pytest.raises(BadFile, match="unpacks to more than 200 times its size"):
        list(read_lines(path))


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GENERIC).encode() * 100)[:-12])
    with pytest.raises(BadFile, match="cannot be unpacked"):
        list(read_lines(path))


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GENERIC).encode() + b"\r\n\r\n" + json.dumps(GENERIC).encode())
    assert [number for number, _ in read_lines(path)] == [1, 3]


@pytest.mark.parametrize("text", ["plain", "ünï ∞ 😀", "‮rtl", "\\u0000 as six letters", "tab\tand\nline"])
def test_clean_text_changes_nothing(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize(("text", "named"), [("a\0", "NUL character at position 2"), ("\udfff", r"\\udfff\) at position 1")])
def test_clean_text_refuses_what_cannot_be_stored(text: str, named: str) -> None:
    with pytest.raises(BadText, match=named):
        clean_text(text)


def test_the_tables_know_every_reason_why_a_sitting_ends() -> None:
    assert tuple(FinishReason.values) == FINISHES


def test_a_digest_tells_where_steps_end() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(("ab", "c")) == digest(["ab", "c"])
    assert len(digest(["x"])) == 32
