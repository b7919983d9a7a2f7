"""A large file is prepared by several processes, and stored as if one had read it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from annotation import ingest
from annotation.ingest import preparers
from annotation.ingest.preparing import pack_options, unpack_options
from annotation.models import Annotation, StepAlternative, StepLabel
from benchmarks.records import made_up_records
from tests import make
from tests.annotation.test_formats import write
from tests.annotation.test_ingest import counts
from tests.annotation.test_large_files import rows, solutions
from trainer.formats import Cell, Detected, Fields, LabelMapping, Numeral, blocks
from trainer.steps import RuleChoice

pytestmark = pytest.mark.django_db
PUBLISHED = "prm800k/phase2_labeled_paths_1818.jsonl"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of a few lines, so that a small file has many; and two cores."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def preparing() -> list[psutil.Process]:
    """Return the processes that still prepare blocks."""
    return [child for child in psutil.Process().children() if preparers.PROGRAM in child.cmdline()]


def labels(project: Any) -> list[tuple[Any, ...]]:
    """Return the labels of a project with what they belong to, but for keys."""
    of = Annotation.objects.filter(solution__problem__project=project).order_by("pk")
    annotations = of.values_list(
        "finish_reason", "total_ms", "revision", "created_at", "solution__digest", "assignment__task__verifier_score"
    )
    texts = StepAlternative.objects.filter(solution__problem__project=project).order_by("pk").values_list("step_index", "position", "text")
    stored = StepLabel.objects.filter(annotation__in=of).order_by("annotation", "step_index", "position")
    return [*annotations, *texts, *stored.values_list("step_index", "position", "rating", "flagged", "chosen", "shown_at")]


def test_a_file_that_processes_share_is_stored_as_one_process_stores_it(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[Any] = list(made_up_records(60, source=data / PUBLISHED))
    path = write(tmp_path / "records.jsonl", *records, records[3], {**records[5], "note": "x"}, records[3])  # two of them again, far away
    alone, shared = make.project("alone"), make.project("shared")
    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        first = ingest.load_solutions(path, project=alone)
    second = ingest.load_solutions(path, project=shared)
    assert str(second) == str(first)
    assert first.new_annotations == 63
    assert rows(shared) == rows(alone)
    assert labels(shared) == labels(alone)
    assert [ingest.load_solutions(path, project=one).new_annotations for one in (alone, shared)] == [0, 0]
    assert preparing() == []


@pytest.mark.parametrize("separator", [", ", ",\n"], ids=["in one line", "an object a line"])
def test_an_array_that_processes_share_is_stored_as_its_lines_are(tmp_path: Path, separator: str) -> None:
    lines, array = list(solutions(1_200)), make.project("array")
    (tmp_path / "array.json").write_text(f"[{separator.join(map(json.dumps, lines))}]")
    assert ingest.load_solutions(tmp_path / "array.json", project=array).lines == 1_200
    by_line = make.project("lines")
    ingest.load_solutions(write(tmp_path / "lines.jsonl", *lines), project=by_line)
    assert rows(array) == rows(by_line)


@pytest.mark.parametrize(
    ("separator", "bad", "words"),
    [
        (", ", '{"problem": "p", "steps": ["a\\u0000"]}', "object 900: step 1 contains a NUL character at position 2"),
        (",\n", '{"problem": "p", "steps": [1}', "line 900: not JSON .Expecting ',' delimiter at position 29"),
        (",\n", "[1]", "line 900: a list where an object is expected"),
    ],
)
def test_a_wrong_object_far_inside_an_array_is_named_and_nothing_is_stored(tmp_path: Path, separator: str, bad: str, words: str) -> None:
    objects, before = [json.dumps(one) for one in solutions(1_200)], counts()
    objects[899] = bad
    (tmp_path / "array.json").write_text(f"[{separator.join(objects)}]")
    with pytest.raises(ingest.BadFile, match=words):
        ingest.load_solutions(tmp_path / "array.json", project=make.project())
    assert {**counts(), "Project": 0} == {**before, "Project": 0} and preparing() == []


def test_a_wrong_line_in_the_block_of_another_process_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    lines: list[Any] = list(solutions(2_000))
    lines[1_499] = b'{"problem": "p", "steps": ["a\\u0000"]}'
    lines[1_700] = b"{"
    before = counts()
    with pytest.raises(ingest.BadFile, match="line 1500: step 1 contains a NUL character at position 2"):
        ingest.load_solutions(write(tmp_path / "bad.jsonl", *lines), project=make.project())
    assert {**counts(), "Project": 0} == {**before, "Project": 0}
    assert preparing() == []


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0\0", b"a warning of some library", bytes(7) + b"\x09short", bytes(7) + b"\x01\xc1", bytes(7) + b"\x01\x07",
     bytes(7) + b"\x05\x94\x90\x80\x80\xc0"],
    ids=["none", "half a length", "a text", "half a message", "no MessagePack", "a number", "no figures"],
)  # fmt: skip
def test_processes_that_end_before_their_time_or_answer_wrongly_lose_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    ending = tmp_path / "ending.py"
    ending.write_text(f"import sys; sys.stdin.buffer.read(1); sys.stdout.buffer.write({answer!r})")
    monkeypatch.setattr(preparers, "PROGRAM", str(ending))
    report = ingest.load_solutions(write(tmp_path / "many.jsonl", *solutions(2_000)), project=make.project())
    assert (report.lines, report.new_solutions) == (2_000, 2_000)


def test_another_process_reads_with_the_same_options() -> None:
    item = Fields({"id": Numeral("1e400"), "text": Cell("\ud800 é"), "steps": [Fields({"a": None}), [True, "x"]]}.items())
    mapping = LabelMapping({"problem": "q"}, {"ratings": "stars"}, {"good": 1, "odd": None}, 1, missing=-1, items={"7": item})
    options = preparers.ReadingOptions(
        5, Detected("potato", "why"), "\ud800", None, False, ("a", "b"), RuleChoice("lines", "asked"), mapping, bytes(range(256))
    )
    for given in (options, options._replace(choice=None, mapping=None, split="test")):
        read = unpack_options(pack_options(given))
        assert repr(read) == repr(given)
        assert (read, type(read.kinds), type(read.detected)) == (given, tuple, Detected)
    items = unpack_options(pack_options(options)).mapping.items  # type: ignore[union-attr]
    assert items
    assert [type(value) for value in (items["7"], *items["7"].values(), items["7"]["steps"][0])] == [Fields, Numeral, Cell, list, Fields]


def test_a_text_after_many_solutions_with_steps_is_cut_by_the_rule_for_all_texts(tmp_path: Path) -> None:
    def lines() -> Iterator[dict[str, Any]]:
        yield from solutions(1_000)
        yield {"problem": "q", "solution": "Take 1.\nAdd 2.\n\nThat is 3.\n\nThe answer is 3.\n\nIt is done.\n\nYes."}

    report = ingest.load_solutions(write(tmp_path / "mixed.jsonl", *lines()), project=make.project())
    assert report.steps_by is not None and report.steps_by.rule == "paragraphs"
    assert (report.lines, report.new_solutions, report.steps.counts[5]) == (1_001, 1_001, 1)
