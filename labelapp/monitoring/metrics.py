"""Metrics for Prometheus: the latency of requests, which each web process counts, and the state of the site, which is read at each scrape.

The names are in docs/operations.md. The state comes from PostgreSQL and from the supervisor's file, so every web process gives the same.
"""

import hmac
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import prometheus_client
from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.http.response import HttpResponseBase
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from active_learning import rounds, site_state
from labelapp.http import outages
from labelapp.http.addresses import client_address
from labelapp.http.proxies import WAS_FORWARDED
from labelapp.monitoring import health

LOOPBACK = ("127.0.0.1", "::1")
STATE_SECONDS = 10.0  # the state is read at most this often: a count of millions of rows takes a while
TIMEOUT = "5s"  # of each statement

prometheus_client.disable_created_metrics()  # a second series for each one, which nothing reads
COUNTED = CollectorRegistry()
SECONDS = Histogram(
    "stepmark_request_seconds",
    "Time from the first to the last middleware, by view and class of status",
    ["view", "status"],
    registry=COUNTED,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
OUTAGES = Counter("stepmark_outages", "Requests that were answered 503, by code", ["code"], registry=COUNTED)
_of_view: dict[tuple[str, int], Any] = {}  # labels() looks the same up under a lock

PROJECTS = """
WITH held AS (
    SELECT a.batch_id, count(*) FILTER (WHERE a.state = 'leased') leased, count(*) FILTER (WHERE a.state = 'reserved') reserved
      FROM annotation_assignment a WHERE a.state IN ('leased', 'reserved') GROUP BY 1)
SELECT p.slug, sum(o.n)::bigint, COALESCE(sum(h.leased), 0)::bigint, COALESCE(sum(h.reserved), 0)::bigint,
       COALESCE(max(extract(epoch FROM now() - b.created_at)) FILTER (WHERE o.n > 0), 0)::float
  FROM annotation_project p JOIN annotation_batch b ON b.project_id = p.id AND b.state = 'open'
 CROSS JOIN LATERAL (SELECT count(*) n FROM annotation_assignment a WHERE a.batch_id = b.id AND a.state = 'open') o
  LEFT JOIN held h ON h.batch_id = b.id
 GROUP BY 1 ORDER BY 1
"""
ANNOTATIONS = "SELECT count(*) FROM annotation_annotation"
COUNTS = "SELECT name, value FROM annotation_sitecount"
ROUNDS = """
SELECT p.slug, r.generation, r.state, r.progress->>'stage', (r.progress->>'done')::float / nullif((r.progress->>'total')::float, 0)
  FROM active_learning_round r JOIN annotation_project p ON p.id = r.project_id
 WHERE r.state IN ('queued', 'training', 'sampling', 'scoring', 'selecting') ORDER BY r.id
"""
# A delivery that waits for a webhook that is off is sent only when a person switches that on.
WEBHOOKS = """
SELECT p.slug, count(d.id) FILTER (WHERE w.is_on),
       COALESCE(extract(epoch FROM now() - min(d.began_at) FILTER (WHERE w.is_on)), 0)::float,
       count(DISTINCT w.id) FILTER (WHERE w.why_off <> '')
  FROM annotation_webhook w JOIN annotation_project p ON p.id = w.project_id
  LEFT JOIN annotation_webhookdelivery d ON d.webhook_id = w.id AND d.state = 'waiting'
 GROUP BY 1 ORDER BY 1
"""


def observe(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    """Count a request under the name of its view, which is one of a fixed set."""
    match = request.resolver_match
    key = (match.view_name if match else "", response.status_code // 100)
    child = _of_view.get(key)
    if child is None:
        child = _of_view[key] = SECONDS.labels(view=key[0] or "none", status=f"{key[1]}xx")
    child.observe(seconds)
    if response.status_code == 503 and (code := response.headers.get(outages.CODE_HEADER)):
        OUTAGES.labels(code=code).inc()


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape. Whoever has no right to it gets the answer "not found"."""
    if not is_allowed(request):
        return HttpResponseNotFound("Not found", content_type="text/plain")
    registry = CollectorRegistry()
    if values.ValueClass is values.MutexValue:  # one process, such as `runserver`
        counted: Any = COUNTED
    else:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)
    registry.register(STATE)
    text = prometheus_client.generate_latest(counted) + prometheus_client.generate_latest(registry)
    return HttpResponse(text, content_type=prometheus_client.CONTENT_TYPE_LATEST)


def is_allowed(request: HttpRequest) -> bool:
    """Tell whether a request has the token METRICS_TOKEN. Without that setting: whether it comes from this machine, and not in production.

    Behind a proxy on the same machine every request comes from this machine. So one that was forwarded never counts as local.
    """
    if token := os.environ.get("METRICS_TOKEN", ""):
        given = request.META.get("HTTP_AUTHORIZATION", "")
        return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
    is_local = client_address(request) in LOOPBACK and not request.META.get(WAS_FORWARDED)
    return is_local and not settings.PRODUCTION


class StateCollector:
    """The state of the site as metrics. It reads the database at most every ten seconds."""

    def __init__(self) -> None:
        self.lock, self.read_at, self.state = threading.Lock(), 0.0, list[Metric]()

    def collect(self) -> Iterable[Metric]:
        """Return all metrics. What cannot be read is left out, and `stepmark_part_ok` says which part is missing."""
        with self.lock:
            if not self.state or time.monotonic() - self.read_at > STATE_SECONDS:
                self.state, self.read_at = list(_state()), time.monotonic()
            return self.state


STATE = StateCollector()


def _state() -> Iterator[Metric]:
    parts = health.look()
    yield gauge(
        "stepmark_part_ok",
        "1 if a part of the site answers (as in /health/ready)",
        ["part"],
        [((name,), part.ok) for name, part in parts.items()],
    )
    yield from _of_files()
    if not parts["migrations"].ok:
        return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{TIMEOUT}'")
            state = list(_of_database(cursor))
    except outages.DATABASE_ERRORS:
        outages.drop_connections()
        return
    yield from state


def _of_files() -> Iterator[Metric]:
    home = settings.STEPMARK_HOME
    restarts = [((name,), count) for name, count in site_state.restarts(home).items()]
    yield counter("stepmark_process_restarts", "How often the supervisor started a part of the site again", ["process"], restarts)
    yield gauge("stepmark_processes_given_up", "Parts of the site that ended too often", [], [((), len(site_state.given_up(home)))])
    yield gauge("stepmark_messages_set_aside", "Messages to workers that could not be read", [], [((), site_state.n_set_aside(home))])
    disk = os.statvfs(home)
    yield gauge("stepmark_disk_free_bytes", "Free space under STEPMARK_HOME", [], [((), disk.f_bavail * disk.f_frsize)])


def _of_database(cursor: Any) -> Iterator[Metric]:
    projects = cursor.execute(PROJECTS).fetchall()
    states = [
        ((slug, state), count)
        for slug, *counts in projects
        for state, count in zip(("open", "leased", "reserved"), counts[:3], strict=True)
    ]
    yield gauge("stepmark_queue_assignments", "Assignments of open batches that are not done", ["project", "state"], states)
    oldest = [((slug,), seconds) for slug, *_, seconds in projects]
    yield gauge("stepmark_oldest_open_task_seconds", "Age of the oldest batch with an open assignment", ["project"], oldest)
    yield counter("stepmark_annotations", "Annotations that were acknowledged", [], [((), cursor.execute(ANNOTATIONS).fetchone()[0])])
    counts = dict(cursor.execute(COUNTS).fetchall())
    yield counter("stepmark_lease_expiries", "Leases and reservations that ran out", [], [((), counts.get("lease_expiries", 0))])
    kills = [((reason,), counts.get(f"grader_{reason}", 0)) for reason in ("timeout", "memory", "crash")]
    yield counter("stepmark_grader_kills", "Processes of the grader that ended before their time", ["reason"], kills)
    tries = [((result,), counts.get(f"webhook_{result}", 0)) for result in ("taken", "failed")]
    yield counter("stepmark_webhook_tries", "Tries to deliver a message to a webhook", ["result"], tries)
    hooks = cursor.execute(WEBHOOKS).fetchall()
    waiting = [((slug,), count) for slug, count, *_ in hooks]
    yield gauge("stepmark_webhook_deliveries_waiting", "Messages that wait for a try to webhooks that are on", ["project"], waiting)
    ages = [((slug,), seconds) for slug, _, seconds, _ in hooks]
    yield gauge("stepmark_webhook_oldest_waiting_seconds", "Age of the oldest of these messages", ["project"], ages)
    ended = [((slug,), count) for slug, *_, count in hooks]
    yield gauge("stepmark_webhooks_switched_off", "Webhooks that the site has switched off", ["project"], ended)
    signs = [((sign.name,), sign.seconds) for sign in rounds.life_signs()]
    yield gauge("stepmark_worker_heartbeat_age_seconds", "Seconds since a worker or beat last reported", ["worker"], signs)
    running = cursor.execute(ROUNDS).fetchall()
    yield gauge(
        "stepmark_rounds_unfinished",
        "Rounds that wait or run",
        ["project", "state"],
        _counted((slug, state) for slug, _, state, *_ in running),
    )
    shares = [((slug, str(generation), stage), share) for slug, generation, _, stage, share in running if share is not None]
    yield gauge("stepmark_round_progress_ratio", "How much of its stage a running round has done", ["project", "round", "stage"], shares)


def _counted(labels: Iterable[tuple[str, ...]]) -> list[tuple[tuple[str, ...], float]]:
    counts: dict[tuple[str, ...], float] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return list(counts.items())


Samples = Iterable[tuple[tuple[str, ...], float]]


def gauge(name: str, words: str, labels: list[str], samples: Samples) -> Metric:
    """Return a metric that goes up and down."""
    return _filled(GaugeMetricFamily(name, words, labels=labels), samples)


def counter(name: str, words: str, labels: list[str], samples: Samples) -> Metric:
    """Return a metric that only goes up. Its name gets the ending `_total`."""
    return _filled(CounterMetricFamily(name, words, labels=labels), samples)


def _filled(family: Any, samples: Samples) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
