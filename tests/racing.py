"""Acts at the same time: with real threads at a barrier, or one that waits for another."""

import threading
from collections.abc import Callable

from django.db import connection, transaction

from tests import make
from tests.waiting import PATIENCE, until


def rounds(
    count: int, acts: list[Callable[[int], object]], *, before: Callable[[int], object], after: Callable[[int, list], object]
) -> None:
    """Run `count` rounds: `before`, then all acts at once, each in its own thread, then `after` with what they returned.

    An exception in an act counts as its return value. An exception in `before` or `after` ends the test.
    """
    barrier = threading.Barrier(len(acts) + 1)
    outcomes: list[object] = [None] * len(acts)

    def keep_acting(place: int) -> None:
        try:
            for number in range(count):
                barrier.wait(PATIENCE)
                try:
                    outcomes[place] = acts[place](number)
                except Exception as error:
                    outcomes[place] = error
                barrier.wait(PATIENCE)
        except threading.BrokenBarrierError:
            pass  # the main thread has failed and reports why
        finally:
            connection.close()

    threads = [threading.Thread(target=keep_acting, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    try:
        for number in range(count):
            before(number)
            barrier.wait(PATIENCE)
            barrier.wait(PATIENCE)
            after(number, list(outcomes))
    finally:
        barrier.abort()
        for thread in threads:
            thread.join(PATIENCE)


def after_waiting(act: Callable[[], object], *, first: Callable[[], object], then: Callable[[], object] = lambda: None) -> object:
    """Do `first`, then `act` in another thread until it waits, then `then`. Commit, and return what `act` returned or raised."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(act())
        except Exception as error:
            outcome.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        first()
        thread.start()
        until(lambda: make.n_waiting() or outcome, what="the act waits")
        then()
    thread.join(PATIENCE)
    return outcome[0]
