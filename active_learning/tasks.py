"""The tasks of the workers. Each calls one stage function; a task that is lost or sent twice changes nothing."""

import logging
import os
import socket
import threading
import time
from typing import Any

from celery import shared_task
from celery.signals import after_task_publish, beat_init, worker_ready, worker_shutting_down
from django.db import InterfaceError, OperationalError, connection

from active_learning import experiment, opinions, registry, rounds, schedules, scoring, surprises
from annotation import corrections, export, imports, quality
from annotation.stopping import FINISH, end_process, stop_request
from annotation.tasks import run_import, run_order, run_regrade

log = logging.getLogger(__name__)
LOOK_SECONDS = 5  # between two reports of a worker, and two looks at what ended processes held
BEAT_SILENT_SECONDS = 150  # beat that has sent nothing for this long no longer counts as alive


@shared_task
def run_round(round_id: int) -> None:
    try:
        rounds.run(round_id)
    except rounds.Stopped as stopped:
        end_process(stopped)


@shared_task
def sweep() -> list[int]:
    return rounds.sweep()


@shared_task
def start_due_rounds() -> list[int]:
    return [started.pk for started in schedules.start_due_rounds()]


@shared_task
def ask_for_opinions() -> dict[str, int]:
    """Ask one more person where projects want it. If the task is lost, the next one does the same."""
    return opinions.ask_everywhere()


@shared_task
def count_month(project_id: int) -> None:
    """Count the past month of a large project for the page of redundancy. If the task is lost, the next view asks again."""
    opinions.count_month(project_id)


@shared_task
def find_surprises(version_id: int) -> None:
    """Find where a model version and people disagree. If the task is lost, the next view of the page asks again."""
    surprises.find_again(version_id)


@shared_task
def forecast_recipes(project_id: int) -> None:
    """Find out what the named recipes of a large project would serve. If the task is lost, the next view of the page asks again."""
    rounds.forecast_again(project_id)


@shared_task
def score_shards(version_id: int) -> None:
    """Take part in a scoring that a round waits for."""
    try:
        with stop_request() as stop:
            scoring.help_score(registry.by_id(version_id), progress=lambda done: stop.check())
    except rounds.Stopped as stopped:
        end_process(stopped)


@shared_task
def score_steps(version_id: int, solution_id: int) -> None:
    """Score a solution that a person looks at. If the task is lost, the next click sends it again."""
    registry.score_steps(registry.by_id(version_id), solution_id)


@shared_task
def run_score_job(job_id: int) -> None:
    """Score the solutions that a program asked for."""
    try:
        scoring.run_job(job_id)
    except rounds.Stopped as stopped:
        end_process(stopped)


@shared_task
def sweep_score_jobs() -> list[int]:
    """Offer score jobs that no worker has again, and delete old ones."""
    return scoring.sweep_jobs()


@shared_task
def run_experiment(run_id: int) -> None:
    """Carry out an experiment that a person started."""
    try:
        experiment.carry_out(run_id)
    except rounds.Stopped as stopped:
        end_process(stopped)


@shared_task
def sweep_experiments() -> list[int]:
    """Offer experiments that no worker has again."""
    return experiment.sweep()


@shared_task
def settle_new() -> list[str]:
    """Settle what several people say of solutions, where something is new. Return the projects."""
    return list(registry.settle_new())


@shared_task
def watch_work() -> dict[str, int]:
    """Look for bad work among the new labels of all projects. Return how many flags each project got that was looked at."""
    return quality.watch_new(scoring.marks_of_champion)


LONG = tuple(
    task.name for task in (run_round, score_shards, run_score_job, run_experiment, run_import, run_order, run_regrade)
)  # they give their work back, and go on later


@worker_shutting_down.connect
def stop_long_tasks(how: str, **_: Any) -> None:
    """Stop the long work of a worker that waits for its tasks to end (SIGTERM, Ctrl-C). A round can take hours, and goes on later."""
    from celery.worker.state import active_requests  # only a worker needs it

    if how == "Warm":
        for request in list(active_requests):
            if request.name in LONG and request.worker_pid:
                os.kill(request.worker_pid, FINISH)


@beat_init.connect
def say_beat_alive(sender: Any, **_: Any) -> None:
    """Note every ten seconds that beat is alive, as long as it sends its tasks: each of them is due every minute."""
    sent = [time.monotonic()]

    def note(**_: Any) -> None:
        sent[0] = time.monotonic()

    after_task_publish.connect(note, weak=False)

    def beat() -> None:
        while True:
            if time.monotonic() - sent[0] < BEAT_SILENT_SECONDS:
                _report(f"beat@{socket.gethostname()}", queues=rounds.BEAT)
            threading.Event().wait(10)

    threading.Thread(target=beat, daemon=True).start()


def _report(name: str, *, queues: str) -> None:
    try:
        rounds.say_alive(name, queues=queues)
    except (OperationalError, InterfaceError) as error:
        log.warning("The database does not answer, so %s cannot report: %s", name, error)
        connection.close()
    connection.close_if_unusable_or_obsolete()


@worker_ready.connect
def say_alive(sender: Any, **_: Any) -> None:
    """Report from the main process of a worker, which goes on while its child trains."""
    name, queues = sender.hostname, ",".join(sorted(queue.name for queue in sender.app.amqp.queues.consume_from.values()))

    def beat() -> None:
        is_ready = False
        while True:
            is_ready = look_after_rounds(name, queues=queues, is_ready=is_ready)
            threading.Event().wait(LOOK_SECONDS)

    threading.Thread(target=beat, daemon=True, name="say-alive").start()


def look_after_rounds(name: str, *, queues: str, is_ready: bool) -> bool:
    """Note that the worker is alive, and offer again what ended processes of this machine held. Return whether the database answered.

    That can be a process of this worker: the kernel kills it when memory is short. With `is_ready` False, as at its start, the worker also
    offers what an orderly stop left, without waiting for beat.
    """
    try:
        rounds.say_alive(name, queues=queues)
        if "default" in queues:
            imports.offer_abandoned()
            export.offer_abandoned_orders()
            if not is_ready:
                imports.sweep()
                export.sweep_orders()
                corrections.sweep_regrades()
        if "gpu" in queues:
            rounds.offer_abandoned()
            scoring.offer_abandoned_jobs()
            experiment.offer_abandoned()
            if not is_ready:
                rounds.sweep()
                scoring.sweep_jobs()
                experiment.sweep()
        is_ready = True
    except (OperationalError, InterfaceError) as error:
        log.warning("The database does not answer, so this worker cannot report: %s", error)
        connection.close()
    connection.close_if_unusable_or_obsolete()
    return is_ready
