"""A snapshot in every format: written from its content, with options that are recorded, and the same bytes each time."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from annotation import export, ingest
from annotation.models import Problem, Snapshot, SnapshotFile
from tests import make
from trainer.writers import WRITERS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path, samples: Path) -> None:
    settings.STEPMARK_HOME = tmp_path / "home"
    project = make.project()
    ingest.load_solutions(samples / "prm800k/records.jsonl", project=project)
    export.take_snapshot(project, splits=("train", "test"))


def exported(path: Path, *words: str) -> SnapshotFile:
    call_command("export", "--project", "sums", "--snapshot", "1", "--out", str(path), *words)
    file = SnapshotFile.objects.order_by("-pk").first()
    assert file is not None
    return file


@pytest.mark.parametrize("format", WRITERS)
def test_each_format_is_the_same_bytes_after_later_changes(tmp_path: Path, format: str) -> None:
    first = exported(tmp_path / "first.jsonl", "--format", format)
    Problem.objects.update(answer="changed", subject="changed")
    second = exported(tmp_path / "second.jsonl", "--format", format)
    assert (tmp_path / "first.jsonl").read_bytes() == (tmp_path / "second.jsonl").read_bytes()
    assert first.sha256 == second.sha256 and (first.format, first.n_records) == (format, second.n_records)


def test_the_name_of_the_file_says_container_and_compression(tmp_path: Path) -> None:
    plain = exported(tmp_path / "labels.jsonl")
    packed = exported(tmp_path / "labels.jsonl.gz")
    table = exported(tmp_path / "labels.parquet", "--format", "labels")
    assert gzip.decompress((tmp_path / "labels.jsonl.gz").read_bytes()) == (tmp_path / "labels.jsonl").read_bytes()
    assert (plain.n_records, packed.options["compression"]) == (6, "gzip") and packed.n_bytes < plain.n_bytes
    assert (table.options["container"], table.options["compression"]) == ("parquet", "zstd")


def test_options_are_recorded_and_losses_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = exported(tmp_path / "trl.jsonl", "--format", "trl", "--option", "neutral=bad")
    assert file.options == {"options": {"neutral": "bad", "written": "leave_out"}, "container": "jsonl", "compression": "none"}
    assert "annotation" in capsys.readouterr().out
    assert all(
        set(orjson.loads(line)) >= {"prompt", "completions", "labels"} for line in (tmp_path / "trl.jsonl").read_bytes().splitlines()
    )


def test_parts_are_written_in_every_format(tmp_path: Path) -> None:
    exported(tmp_path / "parts.jsonl.gz", "--format", "labels", "--shares", "0.4,0.3,0.3")
    whole = exported(tmp_path / "whole.jsonl", "--format", "labels")
    parts = SnapshotFile.objects.exclude(split="")
    assert {file.split for file in parts} == {"train", "valid", "test"} and sum(file.n_records for file in parts) == whole.n_records
    assert sorted(path.name for path in tmp_path.glob("parts*")) == [f"parts-{part}.jsonl.gz" for part in ("test", "train", "valid")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "trl", "--option", "neutral=apart"], "neutral of the format trl cannot be 'apart'"),
        (["--format", "trl", "--option", "colour=red"], "has no option 'colour'"),
        (["--option", "neutral"], "write NAME=VALUE"),
        (["--format", "trl", "--container", "parquet"], r"Let it end in \.parquet"),
        (["--compress", "zstd"], r"Let it end in \.jsonl\.zst"),
    ],
)
def test_a_format_that_cannot_be_written_so_is_refused(tmp_path: Path, words: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told) as refused:
        exported(tmp_path / "out.jsonl", *words)
    assert refused.value.returncode == 2 and not (tmp_path / "out.jsonl").exists() and not SnapshotFile.objects.exists()


def test_an_option_that_is_wrong_takes_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be 'no'"):
        call_command("export", "--project", "sums", "--format", "trl", "--option", "neutral=no", "--out", str(tmp_path / "out.jsonl"))
    assert Snapshot.objects.count() == 1


def test_a_large_set_is_several_files_that_are_the_snapshot_together(tmp_path: Path) -> None:
    exported(tmp_path / "labels.jsonl", "--max-records", "4")
    names = ["labels-00000-of-00002.jsonl", "labels-00001-of-00002.jsonl"]
    together = b"".join((tmp_path / name).read_bytes() for name in names)
    assert hashlib.sha256(together).hexdigest() == Snapshot.objects.get().sha256
    files = SnapshotFile.objects.order_by("pk")
    assert [(file.name, file.n_records, file.options["max_records"]) for file in files] == [(names[0], 4, 4), (names[1], 2, 4)]
    assert [file.sha256 for file in files] == [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names]


def test_files_for_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"A file of 0 records holds nothing\. Choose at least 1 record"):
        exported(tmp_path / "labels.jsonl", "--max-records", "0")
    assert not list(tmp_path.glob("labels*")) and not SnapshotFile.objects.exists()
