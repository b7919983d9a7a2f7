"""The Celery tasks of the labeling stages, which beat starts."""

from celery import shared_task

from annotation import queue


@shared_task
def release_expired() -> int:
    """Open assignments past their end. Return how many."""
    return queue.release_expired()
