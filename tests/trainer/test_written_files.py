"""Rows into files: the same bytes each time, hashes, sets of files, and nothing half after an error."""

import hashlib
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pyarrow import parquet

from tests.trainer.contents import rated
from trainer.files import OutputRefused, rename_file
from trainer.formats import read_lines
from trainer.writers import COMPRESSIONS, CONTAINERS, WRITERS, Losses, suffix_of, write

TRL = WRITERS["trl"]
ROWS = [{"prompt": f"What is {number}?", "completions": ["Add.", "So 5."], "labels": [True, False]} for number in range(10)]
ALL = [(container, compression) for container in CONTAINERS for compression in COMPRESSIONS]


def put(path: Path, rows: Any = ROWS, **options: Any) -> list[Any]:
    return write(rows, path, schema=TRL.schema, **options)


@pytest.mark.parametrize(("container", "compression"), ALL)
def test_the_same_rows_give_the_same_bytes_and_their_hash(tmp_path: Path, container: str, compression: str) -> None:
    contents = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}{suffix_of(container, compression)}"
        (written,) = put(path, container=container, compression=compression)
        contents.append(path.read_bytes())
        assert written == (path.name, len(ROWS), len(contents[-1]), hashlib.sha256(contents[-1]).hexdigest())
    assert contents[0] == contents[1]


def test_gzip_keeps_neither_the_time_nor_the_name(tmp_path: Path) -> None:
    put(tmp_path / "out.jsonl.gz", compression="gzip")
    head = (tmp_path / "out.jsonl.gz").read_bytes()[:10]
    assert (head[3], head[4:8]) == (0, bytes(4))


@pytest.mark.parametrize(("container", "compression"), ALL)
def test_every_container_is_read_again(tmp_path: Path, container: str, compression: str) -> None:
    path = tmp_path / f"out{suffix_of(container, compression)}"
    put(path, container=container, compression=compression)
    assert [dict(fields) for _, fields in read_lines(path)] == ROWS


@pytest.mark.parametrize(("container", "compression"), ALL)
def test_a_set_of_files_holds_each_row_once(tmp_path: Path, container: str, compression: str) -> None:
    suffix = suffix_of(container, compression)
    written = put(tmp_path / f"train{suffix}", container=container, compression=compression, max_bytes=100)
    count = len(written)
    assert count > 2 and [file.name for file in written] == [f"train-{at:05}-of-{count:05}{suffix}" for at in range(count)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name for file in written]
    found = [dict(fields) for file in written for _, fields in read_lines(tmp_path / file.name)]
    assert found == ROWS and sum(file.n_records for file in written) == len(ROWS)
    assert all(hashlib.sha256((tmp_path / file.name).read_bytes()).hexdigest() == file.sha256 for file in written)


def test_a_small_set_is_one_file_of_one(tmp_path: Path) -> None:
    assert [file.name for file in put(tmp_path / "train.jsonl", max_bytes=10**9)] == ["train-00000-of-00001.jsonl"]


def test_no_rows_give_a_file_without_rows(tmp_path: Path) -> None:
    (written,) = put(tmp_path / "out.parquet", [], container="parquet")
    assert written.n_records == 0 and parquet.read_table(tmp_path / "out.parquet").num_rows == 0


def broken() -> Iterator[dict[str, Any]]:
    yield from ROWS
    raise RuntimeError("the disk of the database is full")


@pytest.mark.parametrize("max_bytes", [None, 100])
@pytest.mark.parametrize(("container", "compression"), ALL)
def test_an_error_leaves_nothing(tmp_path: Path, container: str, compression: str, max_bytes: int | None) -> None:
    with pytest.raises(RuntimeError):
        put(
            tmp_path / f"out{suffix_of(container, compression)}",
            broken(),
            container=container,
            compression=compression,
            max_bytes=max_bytes,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("row", [{"prompt": 1, "completions": [], "labels": []}, {"prompt": "p", "completions": ["a"], "labels": ["yes"]}])
def test_a_row_that_does_not_fit_its_columns_leaves_nothing(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        put(tmp_path / "out.parquet", [*ROWS, row], container="parquet")
    assert not list(tmp_path.iterdir())


def test_a_set_that_cannot_be_named_whole_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed: list[Path] = []

    def rename(draft: Path, path: Path) -> None:
        if renamed:
            raise OSError("the disk went away")
        renamed.append(path)
        rename_file(draft, path)

    monkeypatch.setattr("trainer.writers.files.rename_file", rename)
    with pytest.raises(OSError, match="went away"):
        put(tmp_path / "train.jsonl", max_bytes=100)
    assert renamed and not list(tmp_path.iterdir())


def test_an_existing_file_stays_unless_it_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("mine")
    with pytest.raises(OutputRefused, match="already exists"):
        put(path)
    assert path.read_text() == "mine"
    put(path, overwrite=True)
    assert len(path.read_text().splitlines()) == len(ROWS)


def test_an_error_keeps_the_file_that_was_to_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("mine")
    with pytest.raises(RuntimeError):
        put(path, broken(), overwrite=True)
    assert [(other.name, other.read_text()) for other in tmp_path.iterdir()] == [("out.jsonl", "mine")]


def test_files_of_an_earlier_set_are_never_mixed_with_new_ones(tmp_path: Path) -> None:
    put(tmp_path / "train.jsonl", max_bytes=100)
    before = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "train-notes.jsonl").write_text("mine")
    for options in ({}, {"max_bytes": 10**9}):
        with pytest.raises(OutputRefused, match="is of an earlier set of files of this name"):
            put(tmp_path / "train.jsonl", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "train-notes.jsonl"])
    put(tmp_path / "train.jsonl", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train-notes.jsonl", "train.jsonl"]
    put(tmp_path / "train.jsonl", overwrite=True, max_bytes=10**9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train-00000-of-00001.jsonl", "train-notes.jsonl"]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.json", {}, "Let it end in .jsonl."),
        ("out.jsonl", {"compression": "gzip"}, "Let it end in .jsonl.gz."),
        (".jsonl", {}, "Let it end in .jsonl."),
        ("out.parquet.gz", {"container": "parquet", "compression": "gzip"}, "Let it end in .parquet."),
        ("out.jsonl", {"container": "csv"}, "The container 'csv' is not known. Choose one of jsonl, json, parquet."),
        ("out.jsonl", {"compression": "xz"}, "The compression 'xz' is not known. Choose one of none, gzip, zstd."),
        ("out.jsonl", {"max_bytes": 0}, "Choose at least 1 byte."),
        ("no/out.jsonl", {}, "is not a folder that you can write to"),
    ],
)
def test_a_name_that_does_not_fit_is_refused_before_the_first_row(tmp_path: Path, name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OutputRefused) as refused:
        put(tmp_path / name, broken(), **options)
    assert words in str(refused.value) and not list(tmp_path.iterdir())


def test_the_description_stands_in_the_metadata_of_parquet(tmp_path: Path) -> None:
    description = TRL.describe({"neutral": "bad"})
    put(tmp_path / "out.parquet", container="parquet", description=description)
    assert parquet.read_schema(tmp_path / "out.parquet").metadata[b"description"].decode() == description


def test_progress_names_the_rows_and_their_number(tmp_path: Path) -> None:
    seen: list[Any] = []
    put(tmp_path / "out.jsonl", ROWS * 120, total=1_200, progress=lambda *update: seen.append(update))
    assert seen == [("writing", 500, 1_200), ("writing", 1_000, 1_200), ("writing", 1_200, 1_200)]


@pytest.mark.parametrize("container", list(CONTAINERS))
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, container: str) -> None:
    one = rated(["Add. " * 20] * 10, [1] * 10)

    def peak(count: int) -> int:
        tracemalloc.start()
        path = tmp_path / f"{count}{suffix_of(container)}"
        put(path, TRL.rows((one for _ in range(count)), None, Losses()), container=container)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(12_000) < 1.3 * peak(4_000)


def test_json_lines_end_with_a_line_end_and_keep_letters_as_they_are(tmp_path: Path) -> None:
    put(tmp_path / "out.jsonl", [{"prompt": "ζ\u2028", "completions": [], "labels": []}])
    content = (tmp_path / "out.jsonl").read_text()
    assert content == '{"prompt":"ζ\u2028","completions":[],"labels":[]}\n' and json.loads(content)["prompt"] == "ζ\u2028"


@pytest.mark.parametrize(("container", "compression"), ALL)
def test_no_file_of_a_set_holds_more_than_it_can(tmp_path: Path, container: str, compression: str) -> None:
    suffix = suffix_of(container, compression)
    written = put(tmp_path / f"rows{suffix}", container=container, compression=compression, max_records=2)
    assert [file.n_records for file in written] == [2] * (len(ROWS) // 2) + [1] * (len(ROWS) % 2)
    lines = [len(orjson.dumps(row)) + 1 for row in ROWS]
    limit = max(lines) + min(lines)
    for file in put(tmp_path / f"bytes{suffix}", container=container, compression=compression, max_bytes=limit):
        rows = [dict(fields) for _, fields in read_lines(tmp_path / file.name)]
        assert sum(len(orjson.dumps(row)) + 1 for row in rows) <= limit
