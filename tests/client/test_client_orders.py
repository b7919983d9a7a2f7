"""Snapshots and exports that the client orders, and downloads that go on where they broke off."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from stepmark_client import Conflict, DownloadBroken, Order, Stepmark, StepmarkError, Unreachable, WorkEnded

from annotation import export
from annotation.export import orders
from annotation.models import DataOrder, Project
from tests import make
from tests.client.conftest import Line
from tests.exports import label

pytestmark = pytest.mark.django_db
Enter = Callable[..., Stepmark]


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    """Let a worker do what was ordered whenever the client waits."""
    settings.STEPMARK_HOME = tmp_path / "home"
    monkeypatch.setattr(orders, "notify_worker", lambda _: None)
    work = SimpleNamespace(sleep=lambda _: [export.run_order(one.pk) for one in DataOrder.objects.all()], monotonic=lambda: 0.0)
    monkeypatch.setattr("stepmark_client.work.time", work)


@pytest.fixture
def labels(sums: Project) -> None:
    make.batch(sums, make.solutions(sums, 2))
    for _ in range(2):
        label(sums, 1, -1, finish_reason="found_error")


class CutShort(httpx.SyncByteStream):
    """The beginning of a body, and then nothing: the connection is lost."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self.body
        raise httpx.ReadError("the connection was lost")


def part_of(whole: bytes, start: int, end: int, sha256: str) -> httpx.Response:
    return httpx.Response(206 if start else 200, headers={"ETag": f'"{sha256}"'}, stream=CutShort(whole[start:end]))


def exported(enter: Enter, **options: Any) -> Order:
    snapshots = enter(**options).project("sums").snapshots
    number = snapshots.take(finish_reasons=["found_error"]).wait().snapshot
    assert number is not None
    return snapshots.export(number, format="trl").wait()


def test_a_snapshot_is_taken_and_exported_and_its_files_are_stored(enter: Enter, labels: None, tmp_path: Path) -> None:
    snapshots = enter().project("sums").snapshots
    assert snapshots.preview(finish_reasons=["found_error"]).annotations == 2
    taken = snapshots.take(finish_reasons=["found_error"])
    assert (taken.state, taken.snapshot) == ("waiting", None) and taken.wait().snapshot == 1 and snapshots.get(1).count == 2
    told: list[tuple[str, int, int | None]] = []
    [path] = snapshots.export(1, format="trl", container="jsonl").download(tmp_path / "data", progress=lambda *now: told.append(now))
    assert path.parent == tmp_path / "data" and len([json.loads(line) for line in path.read_text().splitlines()]) == 2
    assert told[0][0] == "waiting" and told[-1] == ("download", path.stat().st_size, path.stat().st_size)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_what_is_wrong_with_an_order_is_said(enter: Enter, labels: None, tmp_path: Path) -> None:
    project = enter().project("sums")
    taken = project.snapshots.take()
    with pytest.raises(StepmarkError, match="wrote no files"):
        taken.download(tmp_path)
    with pytest.raises(Conflict):
        taken.cancel()
    with pytest.raises(StepmarkError, match="colour"):
        project.snapshots.take(colour="red")
    with pytest.raises(StepmarkError, match="format"):
        project.snapshots.export(1, format="nonsense")
    with pytest.raises(WorkEnded, match="was cancelled"):
        project.snapshots.export(1, format="trl").cancel().wait()
    assert [one.state for one in project.orders] == ["cancelled", "done"]


def test_changes_since_a_snapshot_are_counted(enter: Enter, sums: Project, labels: None) -> None:
    snapshots = enter().project("sums").snapshots
    snapshots.take().wait()
    make.batch(sums, make.solutions(sums, 1))
    label(sums, 1, 1, 1, finish_reason="solution")
    changes = snapshots.changes(1)
    assert (changes.n_added, changes.n_removed, changes.n_unchanged) == (1, 0, 2)


def test_a_download_goes_on_where_it_broke_off(enter: Enter, line: Line, waits: list[float], labels: None, tmp_path: Path) -> None:
    order = exported(enter)
    [file], [path] = order.data.files, order.download(tmp_path / "whole")
    whole = path.read_bytes()
    line.faults, line.sent = [part_of(whole, 0, 50, file.sha256), part_of(whole, 50, 90, file.sha256)], []
    [again] = order.download(tmp_path / "again")
    assert again.read_bytes() == whole and len(waits) == 2
    assert [request.headers.get("Range") for request in line.sent] == [None, "bytes=50-", "bytes=90-"]
    assert line.sent[-1].headers["If-Range"] == f'"{file.sha256}"' and [one.name for one in again.parent.iterdir()] == [again.name]


def test_the_next_call_goes_on_from_what_is_there(enter: Enter, line: Line, waits: list[float], labels: None, tmp_path: Path) -> None:
    order = exported(enter, retries=0)
    [file], [path] = order.data.files, order.download(tmp_path / "whole")
    whole = path.read_bytes()
    line.faults = [part_of(whole, 0, 50, file.sha256), httpx.ConnectError("refused")]
    with pytest.raises(Unreachable):
        order.download(tmp_path / "again")
    assert [(one.name, one.stat().st_size) for one in (tmp_path / "again").iterdir()] == [(f"{path.name}.part", 50)]
    line.sent = []
    [again] = order.download(tmp_path / "again")
    assert again.read_bytes() == whole and line.sent[-1].headers["Range"] == "bytes=50-"
    line.sent = []
    order.download(tmp_path / "again")
    assert len(line.sent) == 0, "a file that is there is kept"


def test_a_file_with_another_sha256_is_not_kept(enter: Enter, line: Line, labels: None, tmp_path: Path) -> None:
    order = exported(enter)
    line.faults = [httpx.Response(200, stream=httpx.ByteStream(b"x" * order.data.files[0].n_bytes))]
    with pytest.raises(DownloadBroken, match="Download it again"):
        order.download(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
    assert hashlib.sha256(order.download(tmp_path / "data")[0].read_bytes()).hexdigest() == order.data.files[0].sha256
