"""A large file is loaded whole or not at all, with a bad line or killed again and again: 2,000 lines in short, 100,000 with --long."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation import ingest
from annotation.ingest import staging
from annotation.models import Problem, Project, Solution
from tests import make
from tests.annotation.test_formats import write
from tests.annotation.test_ingest import counts
from tests.children import ended, fork

SIZES = [pytest.param(2_000, 2, id="short"), pytest.param(100_000, 10, id="long", marks=pytest.mark.long)]  # lines, kills


def solutions(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        steps = [f"We count {number} of them.", f"So {number % 7}.\n\n# Answer\n\n{number % 7}"]
        yield {"problem": f"p{number // 4}", "answer": "3", "steps": steps}


BAD_LINES = {
    "torn": (
        b'{"problem": "p", "steps": ["a"',
        "not JSON (Expecting ',' delimiter at position 31). Every line must be one JSON object.",
    ),
    "without steps": (
        b'{"problem": "p", "steps": []}',
        "the solution is empty. Give it at least one step, or leave the line out.",
    ),
    "with NUL": (b'{"problem": "p", "steps": ["a\\u0000"]}', "step 1 contains a NUL character at position 2. Remove that character."),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("line", "reason"), BAD_LINES.values(), ids=BAD_LINES.keys())
@pytest.mark.parametrize(("n_lines", "n_kills"), SIZES)
def test_a_bad_line_far_inside_a_file_is_reported_exactly_and_changes_nothing(
    tmp_path: Path, n_lines: int, n_kills: int, line: bytes, reason: str
) -> None:
    project = make.project("sums")
    ingest.load_solutions(write(tmp_path / "before.jsonl", *solutions(8)), project=project)
    before, bad = (counts(), rows(project)), n_lines * 2 // 5  # of 100,000 lines: 40,000
    lines: list[Any] = list(solutions(n_lines))
    lines[bad - 1] = line
    path = write(tmp_path / "bad.jsonl", *lines)
    with pytest.raises(CommandError) as refused:
        call_command("load_solutions", str(path), "--project", "sums")
    assert refused.value.returncode == 2
    assert str(refused.value) == f"{path} line {bad}: {reason}"
    assert (counts(), rows(project)) == before


def rows(project: Project) -> list[tuple[object, ...]]:
    """Return all that is stored of a project's problems and solutions, but for keys and times."""
    problems = ("external_id", "statement", "answer", "subject", "level", "split", "reference_solution")
    solution = ("steps", "digest", "final_answer", "outcome", "outcome_reason", "grader", "source")
    ordered = Solution.objects.filter(problem__project=project).order_by("pk")
    stored = [
        tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
        for row in ordered.values_list(*(f"problem__{name}" for name in problems), *solution)
    ]
    return [*Problem.objects.filter(project=project).order_by("pk").values_list(*problems), *stored]


def at_each_statement(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Call `then` after each part that a load copies and each statement that it sends."""
    for name in ("_flush", "_run"):
        original = getattr(staging.Staging, name)

        def and_then(*arguments: Any, original: Callable[..., Any] = original, **named: Any) -> Any:
            result = original(*arguments, **named)
            then()
            return result

        monkeypatch.setattr(staging.Staging, name, and_then)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("n_lines", "n_kills"), SIZES)
def test_a_killed_load_leaves_nothing_and_the_next_one_loads_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_lines: int, n_kills: int
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    rng, path = random.Random(seed), write(tmp_path / "many.jsonl", *solutions(n_lines))
    whole, project, seen = make.project("whole"), make.project("sums"), list[None]()
    with monkeypatch.context() as patch:
        at_each_statement(patch, lambda: seen.append(None))
        assert ingest.load_solutions(path, project=whole).new_solutions == n_lines
    before = counts()
    last = len(seen) - 1  # everything is inserted, and nothing is committed
    for moment in [last, *(rng.randrange(last) for _ in range(n_kills - 1))]:
        left = iter(range(moment, -1, -1))

        def load_and_die(left: Iterator[int] = left) -> None:
            at_each_statement(monkeypatch, lambda: None if next(left) else os.kill(os.getpid(), signal.SIGKILL))
            ingest.load_solutions(path, project=project)

        assert ended(fork(load_and_die)) == -signal.SIGKILL, moment
        assert counts() == before, moment
    assert ingest.load_solutions(path, project=project).new_solutions == n_lines
    assert rows(project) == rows(whole)
