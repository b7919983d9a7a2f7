"""Processes that tests make of themselves, and people who label in one of them while the test goes on."""

import os
import random
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import connection, connections

from annotation import labels, queue
from annotation.models import Annotation, Project
from tests import make

SEEN = ({"step": 0, "rating": 1}, {"step": 1, "rating": -1})  # the first mistake is the second step


def fork(act: Callable[[], object]) -> int:
    """Do `act` in a process of its own; return the process id. Exit code 1: it raised. Fork before the test makes threads."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            leave_connections_to_the_parent()
            act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def leave_connections_to_the_parent() -> None:
    """Open new connections in a process that was just forked.

    While Playwright's event loop runs, Django has other connections for this thread than without it, and `close_all` sees only those.
    The child has no loop, so it sees those of before. The server would not notice that it was killed: the parent still has the socket.
    """
    for connection_ in connections.all(initialized_only=True):
        connection_.connection = None  # psycopg closes no connection of another process


def ended(pid: int) -> int:
    """Wait for a process; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def labeling(project: Project, *, count: int, seed: int) -> Iterator[None]:
    """Let `count` people label and correct their labels, each in a thread of one other process, until the block ends.

    There is always something to write, because anybody who has labeled everything corrects. Needs `alternatives_after_error`.
    """
    people = [make.person(f"labeler{number}", project) for number in range(count)]
    reading, writing = os.pipe()

    def work() -> None:
        os.close(writing)
        over, failures = threading.Event(), list[BaseException]()

        def label(person: User, rng: random.Random) -> None:
            try:
                write_labels(project, person, rng=rng, over=over)
            except BaseException as error:
                failures.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=label, args=(person, random.Random(seed + place))) for place, person in enumerate(people)]
        for thread in threads:
            thread.start()
        os.read(reading, 1)  # ends with the block, or with the test
        over.set()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    pid = fork(work)
    os.close(reading)
    try:
        yield
    finally:
        os.close(writing)
        code = ended(pid)
    assert code == 0, "people could not label: the reason is printed above"


def write_labels(project: Project, person: User, *, rng: random.Random, over: threading.Event) -> None:
    """Label solution after solution; correct every fourth label, and write another text for the wrong step of some."""
    newest: Annotation | None = None
    while not over.is_set():
        mine = [{"step": 1, "rating": None, "text": f"It is {rng.randrange(9)}."}] if rng.random() < 0.3 else []
        body = {"submission_id": uuid4(), "ratings": [*SEEN, *mine], "finish_reason": "found_error"}
        body |= {"active_ms": rng.randrange(9_000), "total_ms": 9_000}
        try:
            if newest is not None and rng.random() < 0.25:
                raise queue.NothingToLabel
            lease = queue.lease_next(person, project=project)
            newest = labels.submit(lease.assignment_id, labeler=person, token=lease.token, **body)
        except queue.NothingToLabel:
            if newest is not None:
                newest = labels.revise(newest.pk, labeler=person, **body)
