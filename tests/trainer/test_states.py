"""The cache of states: shared by processes, bounded, and never used where it is torn or belongs to something else."""

import errno
import logging
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.data import EncodedSolution
from trainer.states import StateCache, state_key

WIDTH = 8


def cache(folder: Path, *, base: str = "a" * 64, layers: tuple[int, ...] = (1, 2), limit: int = 2**30) -> StateCache:
    opened = StateCache(folder, base=base, layers=layers, width=WIDTH, limit=limit)
    opened.refresh()
    return opened


def key(number: int) -> bytes:
    return state_key(EncodedSolution(np.array([number, 7], np.int32), np.array([1], np.int32), 1))


def states(number: int, *, steps: int = 3) -> NDArray[np.float16]:
    return np.full((steps, WIDTH), number, np.float16)


def fill(folder: Path, numbers: range, *, base: str = "a" * 64, limit: int = 2**30) -> Path:
    """Write one segment and return it."""
    before = set(folder.rglob("*.safetensors"))
    written = cache(folder, base=base, limit=limit)
    for number in numbers:
        written.put(key(number), states(number))
    written.flush()
    [new] = set(folder.rglob("*.safetensors")) - before
    return new


def test_states_come_back_in_another_process_of_the_same_base_and_layers(tmp_path: Path) -> None:
    fill(tmp_path, range(5))
    found = cache(tmp_path).get(key(3))
    assert found is not None and found.dtype == np.float16 and np.array_equal(found, states(3))
    assert cache(tmp_path, base="b" * 64).get(key(3)) is None
    assert cache(tmp_path, layers=(1, 3)).get(key(3)) is None
    assert cache(tmp_path).get(key(9)) is None


def test_another_text_or_other_step_ends_have_another_key() -> None:
    ids, ends = np.array([1, 2, 3], np.int32), np.array([1, 2], np.int32)
    keys = {state_key(EncodedSolution(i, e, 2)) for i, e in ((ids, ends), (ids[:2], ends), (ids + 1, ends), (ids, ends[:1]))}
    assert len(keys) == 4


@pytest.mark.parametrize("harm", ["cut", "empty", "flipped"])
def test_a_torn_segment_is_named_and_removed_and_its_states_are_read_again(
    harm: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment = fill(tmp_path, range(3))
    whole = segment.read_bytes()
    data = {"cut": whole[:-10], "empty": b"", "flipped": whole[:-60] + bytes([whole[-60] ^ 1]) + whole[-59:]}[harm]
    segment.write_bytes(data)
    opened = cache(tmp_path)
    assert any(opened.get(key(number)) is None for number in range(3))
    assert "is damaged and was removed" in caplog.text and not segment.exists()
    fill(tmp_path, range(3))
    assert cache(tmp_path).get(key(2)) is not None


def test_a_segment_of_another_base_is_named_and_neither_used_nor_deleted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours, foreign = fill(tmp_path, range(3)), fill(tmp_path, range(10, 13), base="b" * 64)
    moved = ours.with_name(f"{'0' * 32}.safetensors")
    foreign.rename(moved)
    assert cache(tmp_path).get(key(11)) is None
    assert "holds states of another base" in caplog.text and moved.exists()


@contextmanager
def no_file_can_be_opened() -> Iterator[None]:
    before, free = resource.getrlimit(resource.RLIMIT_NOFILE), os.dup(0)
    os.close(free)  # the lowest number that a new file would have
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_sound_segment_that_cannot_be_opened_now_stays_and_is_said_and_read_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment, opened = fill(tmp_path, range(3)), cache(tmp_path)
    with no_file_can_be_opened():
        assert cache(tmp_path).get(key(1)) is None
        assert opened.get(key(1)) is None
    assert "The cache of states in" in caplog.text and f"{segment} in the cache of states cannot be read now" in caplog.text
    assert "damaged" not in caplog.text and cache(tmp_path).get(key(1)) is not None


@pytest.mark.parametrize("error", [OSError(errno.ENODEV, "No such device"), OSError(errno.EIO, "I/O error"), MemoryError("No memory")])
def test_a_sound_segment_that_cannot_be_mapped_stays_and_is_said(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network disk without memory maps, a bad cable, a machine without memory: none of them says that the bytes are others."""
    segment, opened = fill(tmp_path, range(3)), cache(tmp_path)

    def fails(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr("trainer.states.safe_open", fails)
        assert opened.get(key(1)) is None and cache(tmp_path).get(key(1)) is None
    assert caplog.text.count(f"{segment} in the cache of states cannot be read now") == 2
    assert cache(tmp_path).get(key(1)) is not None


def test_a_segment_that_is_not_proven_torn_is_never_deleted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mine = fill(tmp_path, range(3)).with_name("mine.safetensors")
    mine.write_bytes(b"of a person")
    (mine.parent / f"{'1' * 32}.safetensors").mkdir()
    assert cache(tmp_path).get(key(1)) is not None
    assert caplog.text.count("It stays") == 2 and mine.exists() and (mine.parent / f"{'1' * 32}.safetensors").exists()


def test_what_was_not_used_for_the_longest_time_is_removed_when_the_limit_is_reached(tmp_path: Path) -> None:
    segments = [fill(tmp_path, range(10 * part, 10 * part + 10)) for part in range(3)]
    for age, segment in zip((300, 200, 100), segments, strict=True):
        os.utime(segment, (1e9 - age, 1e9 - age))
    assert cache(tmp_path).get(key(1)) is not None  # the oldest one is used again
    size = segments[0].stat().st_size
    newest = fill(tmp_path, range(90, 100), limit=3 * size + size // 2)
    assert [segment.exists() for segment in segments] == [True, False, True] and newest.exists()


def test_scoring_a_pool_drives_out_nothing_that_was_used_today(tmp_path: Path) -> None:
    first = fill(tmp_path, range(10))
    size = first.stat().st_size
    pool = StateCache(tmp_path, base="a" * 64, layers=(1, 2), width=WIDTH, limit=size + size // 2, spares=True)
    for number in range(20, 50):
        pool.put(key(number), states(number))
        if number % 10 == 9:
            pool.flush()
    assert first.exists() and len(list(tmp_path.rglob("*.safetensors"))) == 2
    os.utime(first, (1e9, 1e9))
    fill(tmp_path, range(60, 70), limit=size + size // 2)
    assert not first.exists()


def test_a_segment_that_another_process_removed_is_read_again_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    segment, opened = fill(tmp_path, range(3)), cache(tmp_path)
    segment.unlink()
    assert opened.get(key(1)) is None
    opened.refresh()
    assert opened.get(key(2)) is None and not caplog.text


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def write(part: int) -> None:
        own = cache(tmp_path)
        barrier.wait()
        for number in range(5 * part, 5 * part + 10):  # the halves overlap
            own.put(key(number), states(number))
            own.flush()

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened = cache(tmp_path)
    assert all(np.array_equal(found, states(n)) for n in range(25) if (found := opened.get(key(n))) is not None or pytest.fail(str(n)))


KILLED = """
import os, signal, sys
from pathlib import Path
import trainer.states
from tests.trainer.test_states import cache, key, states
own = cache(Path(sys.argv[1]))
own.put(key(1), states(1))
own.flush()
own.put(key(2), states(2))
trainer.states.sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
own.flush()
"""


def test_a_process_that_is_killed_while_it_writes_leaves_whole_segments_only(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True)
    assert killed.returncode == -9, killed.stderr
    [draft] = tmp_path.rglob(".draft-*")
    opened = cache(tmp_path)
    assert opened.get(key(1)) is not None and opened.get(key(2)) is None
    os.utime(draft, (1e9, 1e9))
    fill(tmp_path, range(5, 6))
    assert not draft.exists()


def test_a_folder_that_cannot_be_written_is_logged_and_the_work_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    opened = cache(tmp_path / "file" / "states")
    with caplog.at_level(logging.WARNING):
        opened.put(key(1), states(1))
        opened.flush()
        opened.put(key(2), states(2))
    assert "cannot be kept" in caplog.text and opened.get(key(2)) is None
