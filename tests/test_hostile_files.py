"""Hostile files (harness A9 of docs/reliability.md): a command that cannot read one says what is wrong, where, and what to do.

Whatever the file, no command ends with a traceback. One that refuses changes nothing: no row, no file.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from annotation.models import Annotation, Event, GoldAnswer, Problem, Project, Solution
from benchmarks import hostile
from tests import make
from tests.trainer.test_published_formats import CHAT, MR_GSM8K, OPENRLHF, ORM, PRMBENCH, PROCESSBENCH, RLHFLOW, SHEPHERD, TRL
from trainer.__main__ import main

SAMPLES = Path(__file__).parent / "data"
TABLES = (Problem, Solution, Annotation, GoldAnswer, Event)


# One line of each format, as it should be. Each of its parts is replaced by each of VALUES, in a file of its own.
LINES = {
    "own": {
        "problem": "What is 2 + 3?", "steps": ["Add.", "So 5."], "ratings": [1, 0], "right": True, "answer": "5", "key": "a",
        "problem_key": "b", "subject": "c", "source": "d", "soft": [[0.1, 0.2, 0.7], None],
        "alternatives": [{"step_index": 1, "text": "So 6.", "rating": -1}],
    },
    "generic": {
        "problem": "What is 2 + 3?", "solution": "Add.\nSo 5.", "answer": "5", "id": "a", "subject": "b", "level": "c", "split": "train",
    },
    "processbench": PROCESSBENCH, "math_shepherd": SHEPHERD, "trl": TRL, "rlhflow": RLHFLOW, "prmbench": PRMBENCH, "mr_gsm8k": MR_GSM8K,
    "openrlhf": OPENRLHF, "chat": CHAT, "orm": ORM,
    **{f"{folder} {name}": json.loads((SAMPLES / folder / f"{name}.jsonl").read_text().splitlines()[0]) for folder, name in (
        ("prm800k", "records"), ("prm800k", "labeled_paths"), ("gsm8k", "test"), ("gsm8k", "example_model_solutions"), ("math", "math500"),
    )},
}  # fmt: skip
VALUES = (
    None, True, -1, 1.5, 2**63, "", " ", "\0", "\ud83d", "x" * 20_001, "9" * 5_000, [], {}, [[]], [None], [1], ["x"], {"a": {}},
    [0] * 3_000,
)  # fmt: skip
STRIDE = 29  # of the mutated lines that the short form takes


def mutated() -> Iterator[tuple[str, bytes]]:
    for name, line in LINES.items():
        for number, value in enumerate(VALUES):
            for at, other in enumerate(hostile.with_a_leaf(line, value)):
                yield f"{name} {number} {at}.jsonl", json.dumps(other).encode()


@pytest.fixture(scope="module")
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder of the hostile files, and of things that are no files."""
    folder = tmp_path_factory.mktemp("hostile")
    lines = list(mutated())[:: 1 if request.config.getoption("--long") else STRIDE]
    for name, data in [*((file.name, file.data) for file in hostile.FILES), *lines]:
        (folder / name).write_bytes(data)
    (folder / "folder.jsonl").mkdir()
    (folder / "dead.jsonl").symlink_to(folder / "nothing")
    return [*sorted(folder.iterdir()), folder / "missing.jsonl"]


def is_helpful(sentence: str, path: Path) -> bool:
    """Tell whether a refusal names the file, is no report of a program about itself, and is short enough to be read."""
    return path.name in sentence and not any(word in sentence for word in ("Traceback", "Error(", "0x7f")) and len(sentence) < 1_000


def rows() -> dict[str, Any]:
    return {table.__name__: list(table.objects.order_by("pk").values()) for table in TABLES} | {"projects": list(Project.objects.values())}


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["load_problems", "load_solutions", "load_problems --update"])
def test_no_load_ends_with_a_traceback_and_a_refused_one_changes_nothing(files: list[Path], command: str) -> None:
    name, *options = command.split()
    make.solution(make.problem(make.project("sums"), statement="What is 2 + 3?", answer="5"))
    before, faults, count = rows(), [], 0
    for path in files:
        try:
            with transaction.atomic():
                call_command(name, str(path), "--project", "sums", *options, stdout=io.StringIO(), stderr=io.StringIO())
                transaction.set_rollback(True)
        except CommandError as refused:
            count += 1
            if refused.returncode != 2 or not is_helpful(str(refused), path):
                faults.append((path.name, refused.returncode, str(refused)[:300]))
        except Exception as error:
            faults.append((path.name, "traceback", repr(error)[:300]))
        if rows() != before:
            faults.append((path.name, "rows", "changed"))
    assert faults == [] and count > len(files) // 3


def test_no_conversion_ends_with_a_traceback_and_a_refused_one_leaves_no_file(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults, count = [], 0
    for path in files:
        out = tmp_path / "out.jsonl"
        try:
            code = main(["convert", str(path), str(out), "--to", "trainer"])
        except Exception as error:
            faults.append((path.name, "traceback", repr(error)[:300]))
            continue
        sentence = capsys.readouterr().err
        if code == 0:
            out.unlink()
            continue
        count += 1
        if code != 2 or not is_helpful(sentence, path) or list(tmp_path.iterdir()):
            faults.append((path.name, code, sentence[:300], [left.name for left in tmp_path.iterdir()]))
    assert faults == [] and count > len(files) // 3
