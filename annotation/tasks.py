"""The Celery tasks of the labeling stages. A task that is lost or sent twice changes nothing."""

from celery import shared_task

from annotation import corrections, export, imports, notifications, projects, quality, queue, webhooks
from annotation.stopping import end_process
from trainer.progress import Stopped


@shared_task
def release_expired() -> int:
    """Open assignments past their end. Return how many."""
    return queue.release_expired()


@shared_task
def run_import(import_id: int) -> None:
    """Check or load an uploaded file."""
    try:
        imports.run(import_id)
    except Stopped as stopped:
        end_process(stopped)


@shared_task
def sweep_imports() -> list[int]:
    """Offer imports that no worker has again."""
    return imports.sweep()


@shared_task
def run_order(order_id: int) -> None:
    """Take the snapshot or write the export that somebody ordered."""
    try:
        export.run_order(order_id)
    except Stopped as stopped:
        end_process(stopped)


@shared_task
def sweep_orders() -> list[int]:
    """Offer orders that no worker has again."""
    return export.sweep_orders()


@shared_task
def run_regrade(regrade_id: int) -> None:
    """Grade the solutions of a project again."""
    try:
        corrections.run_regrade(regrade_id)
    except Stopped as stopped:
        end_process(stopped)


@shared_task
def sweep_regrades() -> list[int]:
    """Offer regrades that no worker has again."""
    return corrections.sweep_regrades()


@shared_task
def renew_gold() -> dict[str, int]:
    """Mix fresh gold into open batches. Return how many solutions, by project."""
    return quality.renew_all_gold()


@shared_task
def count_figures(project_id: int) -> bool:
    """Count the figures of a large project again."""
    return quality.count_again(project_id)


@shared_task
def count_agreement(project_id: int) -> bool:
    """Count how far the people of a project agree."""
    return quality.count_agreement_again(project_id)


@shared_task
def notify_people() -> tuple[int, int]:
    """Notify people of results of screenings and of new guidelines, once of each. Return how many results, and how many readers."""
    return quality.notify_of_screenings(), projects.notify_of_versions()


@shared_task
def send_notifications() -> int:
    """Send by e-mail what people asked for, and delete old notifications. Return how many went."""
    notifications.forget_old()
    return notifications.send_mail()


@shared_task
def send_webhooks() -> int:
    """Send what webhooks wait for. Return how many messages were taken."""
    return webhooks.send_due()


@shared_task
def look_for_webhooks() -> int:
    """Write down for webhooks which batches are done, send what is due, and delete old deliveries. Return how many were taken."""
    webhooks.tell_batches()
    webhooks.forget_old()
    return webhooks.send_due()
