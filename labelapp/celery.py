"""The Celery application. Its messages only start work: the state of the work is in PostgreSQL, never in the broker."""

import os

from celery import Celery
from celery.signals import task_postrun, task_prerun
from django.conf import settings

from active_learning import site_state
from labelapp import broker, embedded_postgres
from labelapp.monitoring import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
embedded_postgres.join_if_wanted()

app = Celery("labelapp")
BROKER = settings.CELERY_BROKER_URL
if BROKER.startswith("filesystem:"):
    broker.use_file_transport()
    messages, aside = settings.STEPMARK_HOME / "broker" / "messages", settings.STEPMARK_HOME / site_state.SET_ASIDE
    messages.mkdir(parents=True, exist_ok=True)
    options: dict[str, str | int] = {"folder": str(messages), "aside": str(aside)}
else:
    # Redis gives a message to a second worker while a long task still runs. Hence early acknowledgement, and rows with tokens. With the
    # last two options it redelivers the messages of a dead worker after 16 s instead of 98 s.
    options = {"visibility_timeout": 3600, "unacked_restore_throttle": 1, "unacked_restore_interval": 5}

app.conf.update(
    broker_url=BROKER,
    broker_transport_options=options,
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_default_queue="default",
    task_routes={
        f"active_learning.tasks.{name}": {"queue": "gpu"} for name in ("run_round", "score_shards", "run_experiment", "run_score_job")
    },
    worker_prefetch_multiplier=1,
    # Seconds until a worker takes the next message after its child was killed: an answer of the child could be under way.
    worker_lost_wait=2,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    timezone="UTC",
    worker_enable_remote_control=not BROKER.startswith("filesystem:"),
    # In memory: a file would be one more thing to tear, and every task is due again a minute after a start.
    beat_scheduler="celery.beat:Scheduler",
    # Each message expires before the next is due, so that they do not pile up while no worker runs.
    beat_schedule={
        "release expired leases": {"task": "annotation.tasks.release_expired", "schedule": 60, "options": {"expires": 50}},
        "restart lost imports": {"task": "annotation.tasks.sweep_imports", "schedule": 60, "options": {"expires": 50}},
        "restart lost orders": {"task": "annotation.tasks.sweep_orders", "schedule": 60, "options": {"expires": 50}},
        "restart lost regrades": {"task": "annotation.tasks.sweep_regrades", "schedule": 60, "options": {"expires": 50}},
        "notify people": {"task": "annotation.tasks.notify_people", "schedule": 60, "options": {"expires": 50}},
        "send notifications": {"task": "annotation.tasks.send_notifications", "schedule": 60, "options": {"expires": 50}},
        "look for webhooks": {"task": "annotation.tasks.look_for_webhooks", "schedule": 60, "options": {"expires": 50}},
        "watch over work": {"task": "active_learning.tasks.watch_work", "schedule": 60, "options": {"expires": 50}},
        "restart lost rounds": {"task": "active_learning.tasks.sweep", "schedule": 60, "options": {"expires": 50}},
        "restart lost experiments": {"task": "active_learning.tasks.sweep_experiments", "schedule": 60, "options": {"expires": 50}},
        "restart lost score jobs": {"task": "active_learning.tasks.sweep_score_jobs", "schedule": 60, "options": {"expires": 50}},
        "settle new labels": {"task": "active_learning.tasks.settle_new", "schedule": 60, "options": {"expires": 50}},
        "ask for more opinions": {"task": "active_learning.tasks.ask_for_opinions", "schedule": 60, "options": {"expires": 50}},
        "renew gold": {"task": "annotation.tasks.renew_gold", "schedule": 300, "options": {"expires": 290}},
        "start due rounds": {"task": "active_learning.tasks.start_due_rounds", "schedule": 60, "options": {"expires": 50}},
    },
)
app.autodiscover_tasks(["annotation", "active_learning"])


@task_prerun.connect
def name_lines_after_task(task_id: str, **_: object) -> None:
    """Write the number of a task into each line of the log about it."""
    logs.request_id.set(task_id)


@task_postrun.connect
def end_name_of_lines(**_: object) -> None:
    """Name no task any more."""
    logs.request_id.set("")
