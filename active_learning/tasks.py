"""The tasks of the workers. Each calls one stage function; a task that is lost or sent twice changes nothing."""

import logging
import threading
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.db import InterfaceError, OperationalError, connection

from active_learning import registry, rounds, schedules, scoring

log = logging.getLogger(__name__)


@shared_task
def run_round(round_id: int) -> str:
    return rounds.run(round_id).state


@shared_task
def sweep() -> list[int]:
    return rounds.sweep()


@shared_task
def start_due_rounds() -> list[int]:
    return [started.pk for started in schedules.start_due_rounds()]


@shared_task
def score_shards(version_id: int) -> int:
    """Take part in a scoring that a round waits for."""
    return scoring.help_score(registry.by_id(version_id))


@shared_task
def score_steps(version_id: int, solution_id: int) -> None:
    """Score a solution that a person looks at. If the task is lost, the next click sends it again."""
    registry.score_steps(registry.by_id(version_id), solution_id)


@worker_ready.connect
def say_alive(sender: Any, **_: Any) -> None:
    """Note every ten seconds that the worker is alive, from its main process, which goes on while its child trains."""
    name, queues = sender.hostname, ",".join(sorted(queue.name for queue in sender.app.amqp.queues.consume_from.values()))

    def beat() -> None:
        offered = False
        while True:
            try:
                rounds.say_alive(name, queues=queues)
                if "gpu" in queues and not offered:
                    rounds.sweep()  # what an orderly stop left goes on now, without waiting for beat
                    offered = True
            except (OperationalError, InterfaceError) as error:
                log.warning("The database does not answer, so this worker cannot report: %s", error)
                connection.close()
            connection.close_if_unusable_or_obsolete()
            threading.Event().wait(10)

    threading.Thread(target=beat, daemon=True, name="say-alive").start()
