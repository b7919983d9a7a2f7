"""The API and its description say the same: schemathesis makes requests out of the description, and looks at the answers.

Each role sends requests that the description allows, and requests that it forbids. An answer must have a status, a content type and a body
that the description knows, and never be a fault of the server. The short form sends some hundred requests, the long form more than 10,000.
"""

import json
import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import celery
import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks as openapi_checks

from active_learning.models import Score, ScoreJob, ScoreJobItem
from annotation import labels, queue
from annotation.api.base import openapi_document
from annotation.models import DataOrder, Role, Snapshot, SolutionConsensus
from tests import make
from tests.api import token_for
from tests.clients import rated

pytestmark = pytest.mark.django_db
CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.negative_data_rejection,
]
# How a request that the description forbids is refused. 413: what it forbids can also be too long.
REFUSALS = [400, 401, 403, 404, 406, 413, 422]
CONFIG = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
ROLES = {"labeler": Role.LABELER, "reviewer": Role.REVIEWER, "researcher": Role.RESEARCHER, "manager": Role.MANAGER, "owner": Role.OWNER}
SENDERS = ("nobody", *ROLES, "owner who writes", "manager who writes", "researcher who writes")


class Site:
    """A project with rows of every kind, and a token for each role."""

    def __init__(self) -> None:
        project = make.project()
        people = {name: make.person(name.title(), project, role) for name, role in ROLES.items()}
        solutions = make.solutions(project, 3)
        batch = make.batch(project, solutions[:2])
        lease = queue.lease_next(people["labeler"], project=project)
        end = {"finish_reason": "found_error", "reason": "It is 5.", "active_ms": 5, "total_ms": 5, "submission_id": uuid.uuid4()}
        done = labels.submit(lease.assignment_id, labeler=people["labeler"], token=lease.token, ratings=rated(1, -1), **end)
        SolutionConsensus.objects.create(solution=solutions[0], project=project, n_readings=1, settled_at=timezone.now())
        Snapshot.objects.create(project=project, number=1, count=0)
        version = make.version(project, 1, champion=True)
        with connection.cursor() as cursor:
            key = version.pk
            cursor.execute(f"CREATE TABLE active_learning_score_{key} PARTITION OF active_learning_score FOR VALUES IN ({key})")
        for one in solutions:
            Score.objects.create(model_version=version, solution=one, problem_id=one.problem_id, score=0.5, outcome=one.outcome)
        round_ = make.round_of(project, {"convincing": solutions[2:]}, generation=1, state="published", model_version=version)
        round_.refresh_from_db()  # the database gave it a number
        job = ScoreJob.objects.create(project=project, model_version=version, n_solutions=1, n_done=1, state="done")
        said = {"score": 0.5, "probabilities": [[0.1, 0.1, 0.8]] * 3}
        ScoreJobItem.objects.create(job=job, position=0, solution=solutions[0], **said)
        order = DataOrder.objects.create(project=project, spec={})
        self.places = {
            "slug": "sums", "problem_id": solutions[0].problem_id, "solution_id": solutions[0].pk, "batch_id": batch.pk,
            "annotation_id": done.pk, "round_number": round_.number, "number": 1, "job_id": job.pk,
            "order_id": order.pk, "file": "labels.jsonl",
        }  # fmt: skip
        self.tokens = {name: token_for(person, name="reads") for name, person in people.items()}
        self.tokens |= {f"{name} who writes": token_for(people[name], name="writes", scope="write") for name in ROLES}

    def headers(self, sender: str) -> dict[str, str]:
        return {} if sender == "nobody" else {"Authorization": f"Bearer {self.tokens[sender]}"}


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: Any) -> Iterator[Site]:
    limits = {"API_READS_A_MINUTE": 10**6, "API_WRITES_A_MINUTE": 10**6}
    with (
        pytest.MonkeyPatch.context() as patch,
        django_db_blocker.unblock(),
        override_settings(**limits),
        transaction.atomic(),
    ):
        patch.setattr(celery.Celery, "send_task", lambda *_, **__: None)
        patch.setattr(logging.root.manager, "disable", logging.CRITICAL)
        for signal in (request_started, request_finished):  # the connection is that of the transaction
            signal.disconnect(close_old_connections)
        yield Site()
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)
        transaction.set_rollback(True)


@schemathesis.serializer("application/x-ndjson")
def one_line(context: Any, value: Any) -> bytes:
    return json.dumps(value).encode() if not isinstance(value, bytes) else value


def operations() -> list[Any]:
    document = json.loads(json.dumps(openapi_document())) | {"servers": [{"url": "/"}]}
    for methods in document["paths"].values():
        for operation in methods.values():
            del operation["security"]  # each sender has an Authorization of its own, or none
    schema = schemathesis.openapi.from_dict(document, config=CONFIG)
    schema.app = WSGIHandler()
    return [result.ok() for result in schema.get_all_operations()]


def sent(site: Site, operation: Any, *, sender: str, count: int) -> Counter[int]:
    """Send about `count` requests of an operation, undo what each did, and count the statuses. Raises what a check finds.

    Half of them are allowed by the description, the others are not. Most name what is there; the others name anything.
    """
    statuses, headers = Counter[int](), site.headers(sender)

    def send(case: Any) -> None:
        with transaction.atomic():
            answer = case.call(headers=headers)
            transaction.set_rollback(True)
        statuses[answer.status_code] += 1
        skips = (case.query or {}).get("wrong") == "skip"  # wrong lines are left out, as asked
        case.validate_response(answer, checks=CHECKS[:-1] if skips else CHECKS)

    known = {parameter.name: site.places.get(parameter.name, 1) for parameter in operation.path_parameters}
    allowed, forbidden = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    cases = [operation.as_strategy(mode, **({"path_parameters": known} if known else {})) for mode in (allowed, forbidden)]
    for strategy, share in (*((case, 0.4) for case in cases), (operation.as_strategy(forbidden), 0.2)):
        limits = settings(
            max_examples=max(1, round(count * share)), database=None, deadline=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        with suppress(Unsatisfiable):  # nothing that it forbids can be sent
            limits(given(case=strategy)(send))()
    return statuses


def findings(site: Site, sender: str, *, count: int) -> tuple[list[str], Counter[int]]:
    """Send about `count` requests to each operation; return what the checks found, and how many answers had each status."""
    found, statuses = [], Counter[int]()
    for operation in operations():
        try:
            statuses += sent(site, operation, sender=sender, count=count)
        except (FailureGroup, Failure) as wrong:
            found.append(f"{operation.label}, {sender}: {wrong}")
    return found, statuses


@pytest.mark.parametrize("sender", ["nobody", "labeler", "owner who writes"])
def test_answers_are_as_the_description_says(site: Site, sender: str) -> None:
    found, statuses = findings(site, sender, count=4)
    assert found == [] and statuses.total() > 100
    assert sender != "owner who writes" or {200, 201, 400, 404} <= statuses.keys()


@pytest.mark.long
@pytest.mark.parametrize("sender", SENDERS)
def test_many_answers_are_as_the_description_says(site: Site, sender: str) -> None:
    """Nine senders with about 60 requests to each of 30 operations are more than 10,000."""
    found, statuses = findings(site, sender, count=60)
    print(sender, sorted(statuses.items()))
    assert found == [] and statuses.total() > 1_000
