"""What beat asks of the labeling stages."""

from celery import shared_task

from annotation import queue


@shared_task
def release_expired() -> int:
    return queue.release_expired()
