"""Exports while many people label, and exports that are killed: one snapshot is one file, and no half of either is ever seen."""

import hashlib
import io
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.db import connection

from annotation import export, ingest, queue
from annotation.export import datasets
from annotation.models import Annotation, Project, Snapshot, SnapshotItem, Solution
from tests import make
from tests.children import ended, fork, labeling
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

N_WRITERS, N_EXPORTS, N_KILLS = 24, 30, 10
SIZES = [pytest.param(150, id="short"), pytest.param(10_000, id="long", marks=pytest.mark.long)]  # annotations before the first export


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    return random.Random(seed)


def queued(count: int) -> Project:
    """A project with `count` solutions in its queue."""
    project = make.project(alternatives_after_error=True)
    problems = [ingest.NewProblem(f"What is {number} + 2?", str(number + 2)) for number in range(count)]
    ingest.add_solutions(project, [ingest.NewSolution(problem, ("Add.", f"It is {n}.")) for n, problem in enumerate(problems)])
    keys = list(Solution.objects.filter(problem__project=project).values_list("pk", flat=True))
    for start in range(0, count, queue.MAX_BATCH):
        queue.open_batch(project, [queue.Chosen(key) for key in keys[start : start + queue.MAX_BATCH]])
    return project


def content_of(snapshot: Snapshot) -> bytes:
    out = io.BytesIO()
    export.write_prm800k(snapshot, out)
    return out.getvalue()


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wait_for_labels(count: int) -> None:
    until(lambda: Annotation.objects.count() >= count, what=f"{count} annotations")


# --- exports while people label ----------------------------------------------------------------------------------------------


def export_while_people_label(folder: Path, *, rng: random.Random, size: int, count: int = N_EXPORTS) -> list[str]:
    """Write one snapshot `count` times while 24 people label, and export to one file between; return the hashes of the writings."""
    project, path = queued(2 * size), folder / "out.jsonl"
    with labeling(project, count=N_WRITERS, seed=rng.randrange(10**6)):
        wait_for_labels(size)
        snapshot, hashes = export.take_snapshot(project), []
        for turn in range(count):
            before = Annotation.objects.count()
            hashes.append(sha256_of(content_of(snapshot)))
            if turn % 3 == 0:
                exported = export.export_prm800k(project, path, overwrite=True)
                assert sha256_of(path.read_bytes()) == exported.sha256
            wait_for_labels(before + 1)  # people did label meanwhile
    assert Annotation.objects.exclude(revision=1).exists() and Snapshot.objects.count() == 1 + -(-count // 3)
    for written in Snapshot.objects.exclude(sha256=""):
        assert sha256_of(content_of(written)) == written.sha256, written.number
    return hashes


@pytest.mark.parametrize("size", SIZES)
def test_thirty_exports_of_one_snapshot_are_the_same_bytes_while_24_people_label(tmp_path: Path, rng: random.Random, size: int) -> None:
    assert len(set(export_while_people_label(tmp_path, rng=rng, size=size))) == 1


def test_an_export_that_reads_what_there_is_now_instead_of_its_snapshot_is_caught(
    tmp_path: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = export.write_prm800k
    monkeypatch.setattr(export, "write_prm800k", lambda snapshot, out: write(export.take_snapshot(snapshot.project), out))
    with pytest.raises(AssertionError):
        assert len(set(export_while_people_label(tmp_path, rng=rng, size=50, count=5))) == 1


# --- exports that are killed -------------------------------------------------------------------------------------------------


class KilledAt:
    """Ends this process with SIGKILL at the n-th call of a function, as Python counts them: no clock, so no load changes the moment.

    With `finishing` the calls count from the hash of the whole file on: its sync, its name and the commit come then.
    """

    def __init__(self, number: int, *, finishing: bool) -> None:
        self.left, self.counts = number, not finishing

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if not self.counts:
            self.counts = event == "call" and frame.f_code.co_name == "file_digest"
        elif event in ("call", "c_call"):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def calls_of_an_export(project: Project, path: Path) -> tuple[int, int]:
    """Return how many calls an export makes until the hash of its file, and from there on."""
    calls = [0, 0]

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event in ("call", "c_call"):
            calls[bool(calls[1]) or (event == "call" and frame.f_code.co_name == "file_digest")] += 1

    sys.setprofile(count)
    try:
        export.export_prm800k(project, path, overwrite=True)
    finally:
        sys.setprofile(None)
    return calls[0], calls[1]


def killed(project: Project, path: Path, at: KilledAt) -> int:
    """Export in a process that is killed; return how it ended, once the database has ended its session too."""

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET application_name = 'killed export'")
        sys.setprofile(at)
        export.export_prm800k(project, path, overwrite=True)

    code = ended(fork(work))

    def session_is_over() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'killed export')")
            return cursor.fetchone()[0]

    until(session_is_over, what="the session of the killed export ends")
    return code


def moments(rng: random.Random, calls: tuple[int, int], *, count: int) -> Iterator[KilledAt]:
    for turn in range(count):
        finishing = turn % 2 == 1
        yield KilledAt(rng.randrange(1, calls[finishing] + 1), finishing=finishing)


def kill_exports_while_people_label(folder: Path, *, rng: random.Random, size: int) -> None:
    """Kill ten exports to one file while 24 people label; after each, check the file and the rows."""
    project, path = queued(2 * size), folder / "out.jsonl"
    with labeling(project, count=N_WRITERS, seed=rng.randrange(10**6)):
        wait_for_labels(size)
        calls, codes = calls_of_an_export(project, path), list[int]()
        for turn, at in enumerate(moments(rng, calls, count=N_KILLS)):
            labeled, before = Annotation.objects.newest().count(), path.read_bytes()
            codes.append(killed(project, path, at))
            after = path.read_bytes()
            assert after == before or (after.endswith(b"\n") and after.count(b"\n") >= labeled), f"half a file after kill {turn}"
            assert not Snapshot.objects.filter(sha256="").exists(), f"a snapshot without a hash after kill {turn}"
            assert not SnapshotItem.objects.exclude(snapshot__in=Snapshot.objects.values("pk")).exists(), f"items of no snapshot: {turn}"
            for snapshot in Snapshot.objects.order_by("-number")[:1]:
                assert snapshot.sha256 == sha256_of(content_of(snapshot)), turn
        assert {name.suffix for name in folder.iterdir()} <= {".jsonl", ".part"}
        last = export.export_prm800k(project, path, overwrite=True)
    assert set(codes) <= {-signal.SIGKILL, 0} and codes.count(-signal.SIGKILL) > N_KILLS / 2, codes  # 0: it ended before its moment
    assert last.sha256 == sha256_of(path.read_bytes()) == sha256_of(content_of(last))
    assert list(Snapshot.objects.order_by("number").values_list("number", flat=True)) == list(range(1, last.number + 1))
    assert last.count == path.read_bytes().count(b"\n") and export.check_prm800k(path).violations == []


@pytest.mark.parametrize("size", SIZES)
def test_ten_killed_exports_leave_no_half_file_and_no_snapshot_without_a_hash(tmp_path: Path, rng: random.Random, size: int) -> None:
    kill_exports_while_people_label(tmp_path, rng=rng, size=size)


@pytest.mark.parametrize("fault", ["the file is written in place", "the snapshot is committed before its file"])
def test_an_export_that_leaves_halves_is_caught(tmp_path: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    if fault == "the file is written in place":
        monkeypatch.setattr(datasets, "write_file", lambda path, *, overwrite: path.open("w+b"))
    else:
        drafted = datasets._drafted

        @contextmanager
        def commit_first(project: Project, *options: Any, **more: Any) -> Iterator[Any]:
            Snapshot.objects.create(project=project, number=10**6 + random.randrange(10**6), count=0)
            connection.connection.commit()  # beside Django, which is in its transaction
            with drafted(project, *options, **more) as draft:
                yield draft

        monkeypatch.setattr(datasets, "_drafted", commit_first)
    with pytest.raises(AssertionError, match="half a file|without a hash"):
        kill_exports_while_people_label(tmp_path, rng=rng, size=100)
