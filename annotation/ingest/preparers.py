"""Stage: ingest, the processes that prepare a large file together. Reads blocks of lines, returns their rows in the order of the file.

Reading takes longer than storing, and Python uses one core. The processes are plain subprocesses, because multiprocessing does not work
in Celery's daemonic pool processes and imports `__main__` again. If one ends before its time, its block is prepared here.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from annotation.ingest.preparing import (
    PROGRAM,
    Prepared,
    ReadingOptions,
    Rows,
    pack_block,
    pack_options,
    received,
    send,
    unpack_prepared,
)
from trainer.formats import Block

ALONE = 2  # blocks that are prepared before more processes start, as far as a file is larger than FEW blocks
FEW = 10  # blocks that one process has prepared before others are of use: to start these takes as long as 4 blocks
MOST = 4  # processes


class _Process:
    """One process that prepares blocks, one after the other."""

    def __init__(self, options: ReadingOptions) -> None:
        # It has its own session, because Ctrl-C should end the load, which then ends this process. -P: see answers/grading.py.
        self.process = subprocess.Popen(
            [sys.executable, "-P", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdin
        send(pack_options(options), self.process.stdin)

    def read(self, number: int, block: Block) -> Prepared:
        """Return the rows of a block. Raises OSError or EOFError if the process has ended, or answers what cannot be read."""
        assert self.process.stdin and self.process.stdout
        send(pack_block(number, block), self.process.stdin)
        message = received(self.process.stdout)
        try:
            return unpack_prepared(message)
        except (ValueError, TypeError, KeyError, AttributeError) as wrong:
            raise EOFError("the process answered what cannot be read") from wrong

    def close(self) -> None:
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):  # closing writes what the dead process did not read
            self.process.__exit__(None, None, None)


def prepared(blocks: Iterable[Block], options: ReadingOptions, *, n_blocks: int) -> Generator[Prepared, None, None]:
    """Yield the rows of each block, in order. The first blocks are prepared here, the others by a process for each core.

    `n_blocks`: about how many there are. Few are all prepared here.
    """
    rows, numbered = Rows(options), enumerate(blocks)
    for number, block in numbered:
        yield rows.read(number, block)
        if number + 1 == ALONE and n_blocks > FEW:
            break
    count = min(MOST, os.cpu_count() or 1)
    if count == 1:
        yield from (rows.read(number, block) for number, block in numbered)
        return
    yield from _together(numbered, options, count)


def _together(numbered: Iterator[tuple[int, Block]], options: ReadingOptions, count: int) -> Generator[Prepared, None, None]:
    idle: SimpleQueue[_Process | None] = SimpleQueue()
    started: list[_Process] = []
    is_over, alone, own = threading.Event(), threading.Lock(), Rows(options)

    def read(number: int, block: Block) -> Prepared:
        process = idle.get()
        try:
            if process is None:
                process = _Process(options)
                started.append(process)
            return process.read(number, block)
        except (OSError, EOFError):
            if is_over.is_set():
                raise
            if process is not None:
                process.close()
            process = None
            with alone:
                return own.read(number, block)
        finally:
            idle.put(process)

    for _ in range(count):
        idle.put(None)
    with ThreadPoolExecutor(count) as threads:
        waiting: deque[Future[Prepared]] = deque()
        try:
            for number, block in numbered:
                waiting.append(threads.submit(read, number, block))
                if len(waiting) > count + 1:  # enough that no process waits, and no more in memory
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            is_over.set()
            threads.shutdown(wait=False, cancel_futures=True)
            for process in started:
                process.close()
