"""Statements that differ only in white space are the same problem."""

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
from django.db import connection

from annotation import ingest
from annotation.models import Problem, Solution
from tests import make
from trainer.statements import without_blanks

pytestmark = pytest.mark.django_db

STATEMENT = "Ann has 2 + 2 apples.\nHow many are there?"
COPIES = {
    "two blanks": "Ann has  2 + 2 apples.\nHow many are there?",
    "a blank at the end": STATEMENT + " ",
    "line breaks around it": f"\n\n{STATEMENT}\n",
    "CRLF": STATEMENT.replace("\n", "\r\n"),
    "CR": STATEMENT.replace("\n", "\r"),
    "one line": STATEMENT.replace("\n", " "),
    "no blanks at the plus": STATEMENT.replace(" + ", "+"),
    "a tab": STATEMENT.replace("has ", "has\t"),
    "no-break space": STATEMENT.replace(" ", "\u00a0"),
    "thin and ideographic space": STATEMENT.replace("2 +", "2\u2009+").replace("many ", "many\u3000"),
    "paragraph separator": STATEMENT.replace("\n", "\u2029"),
    "byte order mark": "\ufeff" + STATEMENT,
    "zero width space": STATEMENT.replace("apples", "app\u200bles"),
}
OTHERS = {
    "another number": STATEMENT.replace("2 + 2", "2 + 3"),
    "a blank inside a number": STATEMENT.replace("2 + 2", "2 2"),
    "capital letters": STATEMENT.upper(),
    "an accent": STATEMENT.replace("are", "áre"),
}


def write(path: Path, *lines: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def stored(*columns: str) -> list[tuple[object, ...]]:
    return list(Problem.objects.order_by("pk").values_list(*columns))


def keys_in_the_database(texts: Iterable[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT stepmark_statement_key(t) FROM unnest(%s::text[]) WITH ORDINALITY AS u(t, n) ORDER BY n", [list(texts)])
        return [key for (key,) in cursor.fetchall()]


def test_the_rule_of_the_database_is_the_rule_of_the_trainer_for_every_character(request: pytest.FixtureRequest) -> None:
    # Unicode has white space below 0x10000 only. Of the others, the short form takes one of 17: all 16 places of a block of 16 come up.
    others = range(0x10000, 0x110000, 1 if request.config.getoption("--long") else 17)
    characters = [chr(code) for code in (*range(1, 0xD800), *range(0xE000, 0x10000), *others)]
    # A hundred characters in one text: a call of the function costs more than its work on a few characters.
    texts = ["".join(f"a{c}b 1{c}2" for c in characters[start : start + 100]) for start in range(0, len(characters), 100)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t FROM unnest(%s::text[], %s::text[]) AS u(t, ours) WHERE stepmark_statement_key(t) <> md5(ours)",
            [texts, list(map(without_blanks, texts))],
        )
        assert [f"{hex(ord(text[1]))} to {hex(ord(text[-2]))}" for (text,) in cursor.fetchall()] == []


def test_all_that_unicode_calls_white_space_is_left_out() -> None:
    blanks = [chr(code) for code in range(0x110000) if chr(code).isspace() or unicodedata.category(chr(code)) in ("Zs", "Zl", "Zp")]
    assert without_blanks("".join(f"a{blank}" for blank in blanks)) == "a" * len(blanks)


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_test_problem_with_other_white_space_is_that_test_problem(copy: str, tmp_path: Path) -> None:
    project = make.project()
    ingest.load_problems(write(tmp_path / "test.jsonl", {"problem": STATEMENT, "answer": "4", "split": "test"}), project=project)
    solution = {"problem": copy, "solution": "It is 4.\n\n# Answer\n\n4", "id": "train-7"}
    report = ingest.load_solutions(write(tmp_path / "train.jsonl", solution), project=project)
    assert report.new_problems == 0
    assert stored("statement", "split") == [(STATEMENT, "test")]
    assert Solution.objects.get().outcome == "correct"


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_statement_that_differs_in_more_is_another_problem(other: str, tmp_path: Path) -> None:
    project = make.project()
    lines = [{"problem": STATEMENT, "split": "test"}, {"problem": other}]
    assert ingest.load_problems(write(tmp_path / "p.jsonl", *lines), project=project).new_problems == 2


def test_the_statement_of_the_first_line_is_stored_byte_for_byte(tmp_path: Path) -> None:
    first = COPIES["CRLF"] + " \t"
    ingest.load_problems(write(tmp_path / "p.jsonl", {"problem": first}, {"problem": STATEMENT}), project=make.project())
    assert stored("statement") == [(first,)]


def test_copies_in_one_file_are_one_problem_and_the_lines_of_a_mixed_split_are_named(tmp_path: Path) -> None:
    lines = [
        {"problem": STATEMENT, "id": "a", "subject": "Sums"},
        {"problem": "Something else?"},
        {"problem": COPIES["CR"], "id": "b", "split": "test"},
        {"problem": COPIES["two blanks"], "answer": "4"},
    ]
    project = make.project()
    report = ingest.load_problems(write(tmp_path / "p.jsonl", *lines), project=project)
    assert stored("external_id", "split", "answer", "subject")[0] == ("a", "test", "4", "Sums")
    assert (report.problems, report.new_problems, Problem.objects.count()) == (2, 2, 2)
    assert "Train problems in one place and test problems in another: 1 (line 1 and 3). They count as test problems." in str(report)
    assert ingest.load_problems(tmp_path / "p.jsonl", project=project).new_problems == 0


def test_a_known_id_with_other_white_space_is_the_known_problem(tmp_path: Path) -> None:
    project = make.project()
    make.problem(project, external_id="a", statement=STATEMENT, answer=None)
    ingest.load_problems(write(tmp_path / "p.jsonl", {"problem": COPIES["one line"], "id": "a", "answer": "4"}), project=project)
    assert stored("statement", "answer") == [(STATEMENT, "4")]


def test_copies_that_are_stored_twice_all_become_test_problems_when_one_does(tmp_path: Path) -> None:
    project = make.project()
    first, second = (make.problem(project, external_id=name, statement=text) for name, text in (("a", STATEMENT), ("b", COPIES["CR"])))
    make.batch(project, [make.solution(second)])
    report = ingest.load_problems(write(tmp_path / "p.jsonl", {"problem": COPIES["CR"], "id": "b", "split": "test"}), project=project)
    assert stored("pk", "split") == [(first.pk, "test"), (second.pk, "test")]
    assert "1 train problem becomes a test problem" in str(report) and "1 solution waits for labelers" in str(report)


def test_solutions_without_an_outcome_are_named_when_their_answer_comes(tmp_path: Path) -> None:
    project = make.project()
    make.solution(make.problem(project, statement=STATEMENT, answer=None), outcome="ungraded")
    report = ingest.load_problems(write(tmp_path / "p.jsonl", {"problem": STATEMENT, "answer": "4"}), project=project)
    assert "1 older solution has a reference answer only now. To grade, use regrade." in str(report)
