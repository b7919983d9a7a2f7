"""Every address of the site for every kind of person (harness A5 of docs/reliability.md).

The addresses come from Django's resolver, and what they answer from one table. Each request runs in a transaction that is rolled back, so
no cell depends on another. Texts that only some people can read (canaries) lie in the secret fields, and every answer is searched for them.
"""

import base64
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple

import celery
import pytest
from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver, path, reverse
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from active_learning import experiment
from active_learning.models import ScoreJob
from annotation import export, labels, people, queue
from annotation.models import (
    DataOrder,
    Event,
    Flag,
    GoldAnswer,
    Import,
    Invitation,
    Membership,
    Message,
    Notification,
    Role,
    Snapshot,
    SolutionConsensus,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
)
from annotation.queue import leases
from labelapp import outermost
from tests import make
from tests.addresses import address_of, routes
from tests.clients import rated, shown_claim, signed_in

pytestmark = pytest.mark.django_db

# --- who ------------------------------------------------------------------------------------------------------------------------

ROLES = {
    "labeler": Role.LABELER, "suspended": Role.LABELER, "closed": Role.LABELER, "reviewer": Role.REVIEWER, "researcher": Role.RESEARCHER,
    "manager": Role.MANAGER, "owner": Role.OWNER, "former": Role.FORMER,
}  # fmt: skip
PEOPLE = ("nobody", "stranger", *ROLES, "staff", "superuser")  # closed: the account was closed after the sign-in
OUT = frozenset({"nobody", "closed"})
SIGNED_IN = frozenset(PEOPLE) - OUT
MANAGERS = frozenset({"manager", "owner"})
RESEARCHERS = MANAGERS | {"researcher"}
WRITERS = MANAGERS | {"reviewer"}
LABELERS = frozenset({"reviewer", "labeler", "suspended"})
SUPERUSER = frozenset({"superuser"})
ALL = frozenset(PEOPLE)

# --- what each address answers --------------------------------------------------------------------------------------------------

LOST = dict.fromkeys(LABELERS - {"labeler"}, 409)  # the solution is leased by the labeler
SEES_LABELS = dict.fromkeys(RESEARCHERS, 409)  # a sentence says why these members do not label
NO_LABELING = dict.fromkeys(RESEARCHERS, 403)


class Row(NamedTuple):
    """What an address answers to the people it is open to. All others get 404, or the sign-in page if they are not signed in."""

    who: frozenset[str]
    get: int | None = 200  # None: the method is not allowed
    post: int | None = None
    decide: frozenset[str] | None = None  # to whom POST is open; None: to the same people
    instead: dict[str, int] = {}  # other answers, by person
    others: int = 404
    is_background: bool = False  # 401 instead of the sign-in page
    is_public: bool = False  # no sign-in is needed
    is_api: bool = False  # 401 instead of the sign-in page; who is refused learns that before what the address knows


def background(*, instead: dict[str, int] = LOST) -> Row:
    return Row(LABELERS | RESEARCHERS, None, 200, instead=instead | SEES_LABELS, is_background=True)


def api(who: frozenset[str], post: int | None = None, *, decide: frozenset[str] | None = None, get: int | None = 200) -> Row:
    """Return the row of an address of the API. A member whose role is too low for a POST gets 403."""
    return Row(who, get, post, decide=decide, is_api=True)


TABLE = {
    "home": Row(SIGNED_IN),
    "account": Row(SIGNED_IN),
    "set-preferences": Row(SIGNED_IN, None, 400),
    "reading": Row(SIGNED_IN, None, 200, is_background=True),
    "set-password": Row(SIGNED_IN, None, 400),
    "set-up-second-factor": Row(SIGNED_IN, 200, 400, instead={"labeler": 302}),
    "change-second-factor": Row(SIGNED_IN, None, 302, instead={"labeler": 400}),
    "end-session": Row(SIGNED_IN, None, 302),
    "keys": Row(SIGNED_IN, 200, 302),
    "tokens": Row(SIGNED_IN, 200, 400),
    "revoke-token": Row(SIGNED_IN, None, 302),
    "api-description": Row(SIGNED_IN),
    "api-me": api(SIGNED_IN),
    "api-projects": api(SIGNED_IN),
    "api-project": api(LABELERS | RESEARCHERS),
    "api-problems": api(RESEARCHERS, 415, decide=MANAGERS),
    "api-problem": api(RESEARCHERS),
    "api-solutions": api(RESEARCHERS, 415, decide=MANAGERS),
    "api-solution": api(RESEARCHERS),
    "api-solution-consensus": api(RESEARCHERS),
    "api-batches": api(RESEARCHERS),
    "api-batch": api(RESEARCHERS),
    "api-annotations": api(RESEARCHERS),
    "api-annotation": api(RESEARCHERS),
    "api-consensus": api(RESEARCHERS),
    "api-snapshots": api(RESEARCHERS, 415),
    "api-snapshot": api(RESEARCHERS),
    "api-preview-snapshot": api(RESEARCHERS, 415, get=None),
    "api-snapshot-changes": api(RESEARCHERS),
    "api-exports": api(RESEARCHERS, 415, get=None),
    "api-orders": api(RESEARCHERS),
    "api-order": api(RESEARCHERS),
    "api-cancel-order": api(RESEARCHERS, 409, get=None),
    "api-order-files": api(RESEARCHERS, get=None),
    "api-order-file": api(RESEARCHERS, get=404),  # it has no file yet
    "api-people": api(MANAGERS),
    "api-webhooks": api(MANAGERS, 415),
    "api-webhook": api(MANAGERS),
    "api-switch-webhook": api(MANAGERS, 415, get=None),
    "api-webhook-secret": api(MANAGERS, 200, get=None),
    "api-ping-webhook": api(MANAGERS, 202, get=None),
    "api-delete-webhook": api(MANAGERS, 200, get=None),
    "api-webhook-deliveries": api(MANAGERS),
    "api-send-webhook-again": api(MANAGERS, 202, get=None),
    "api-rounds": api(RESEARCHERS, 415, decide=MANAGERS),
    "api-round": api(RESEARCHERS),
    "api-cancel-round": api(RESEARCHERS, 200, decide=MANAGERS, get=None),
    "api-models": api(RESEARCHERS),
    "api-model": api(RESEARCHERS),
    "api-scores": api(RESEARCHERS),
    "api-score-jobs": api(RESEARCHERS, 415),
    "api-score-job": api(RESEARCHERS),
    "api-score-job-scores": api(RESEARCHERS, get=409),  # the job waits for a worker
    "api-cancel-score-job": api(RESEARCHERS, 200, get=None),
    "api-openapi": Row(ALL, 200, 405, is_public=True),
    "api-nowhere": Row(ALL, 404, 404, is_public=True),
    "mark-read": Row(SIGNED_IN, None, 302),
    "notifications": Row(SIGNED_IN),
    "read-notifications": Row(SIGNED_IN, None, 302),
    "read-notification": Row(SIGNED_IN, None, 302),
    "new-project": Row(SUPERUSER | {"staff", "owner"}, 200, 400),
    "preview-guidelines": Row(SIGNED_IN, None, 200),
    "site-audit": Row(SUPERUSER),
    "audit": Row(MANAGERS),
    "settings": Row(MANAGERS, 200, 400),
    "regrade": Row(MANAGERS, 200, 302),
    "webhooks": Row(MANAGERS, 200, 400),
    "webhook": Row(MANAGERS),
    "change-webhook-secret": Row(MANAGERS, None, 200),
    "switch-webhook": Row(MANAGERS, None, 302),
    "ping-webhook": Row(MANAGERS, None, 302),
    "delete-webhook": Row(MANAGERS, None, 302),
    "send-webhook-again": Row(MANAGERS, None, 302),
    "archive-project": Row(frozenset({"owner"}), None, 302),
    "delete-project": Row(frozenset({"owner"}), 409, 409),
    "overview": Row(RESEARCHERS),
    "flags": Row(MANAGERS),
    "decide-flag": Row(MANAGERS, None, 409),
    "lift-quarantine": Row(MANAGERS, None, 409),
    "agreement": Row(RESEARCHERS),
    "agreement-file": Row(RESEARCHERS, 404),
    "figures-file": Row(RESEARCHERS, 404),  # no chart has the name that all addresses get here
    "find": Row(LABELERS | RESEARCHERS),
    "find-on-site": Row(SIGNED_IN),
    "batches": Row(RESEARCHERS),
    "batch": Row(RESEARCHERS, 200, 200, decide=MANAGERS),
    "compose-calibration": Row(MANAGERS, 200, 400),
    "calibration": Row(LABELERS | RESEARCHERS),
    "calibration-set": Row(LABELERS | RESEARCHERS, 200, 400),
    "compose-newcomers": Row(MANAGERS, 200, 400),
    "messages": Row(WRITERS, 200, 302),
    "people": Row(MANAGERS, 200, 200),
    "newcomers": Row(MANAGERS, 200, 400),
    "make-link": Row(MANAGERS, None, 200),
    "withdraw-invitation": Row(MANAGERS, None, 302),
    "member": Row(MANAGERS, 200, 302),
    "member-work": Row(MANAGERS),
    "invitation": Row(ALL, 404, 404, is_public=True),
    "problem": Row(MANAGERS, 200, 200),
    "label": Row(LABELERS | RESEARCHERS, instead=NO_LABELING),
    "calculate": Row(LABELERS | WRITERS, None, 200),
    "record": Row(LABELERS),
    "review": Row(WRITERS),
    "review-solution": Row(WRITERS),
    "decide": Row(WRITERS, None, 200, is_background=True),
    "send-back": Row(WRITERS, None, 302),
    "make-gold": Row(WRITERS, None, 302),
    "recent": Row(LABELERS | RESEARCHERS, instead=NO_LABELING),
    "reopen": Row(LABELERS | RESEARCHERS, 302, instead={"labeler": 200} | NO_LABELING),
    "revise": Row(frozenset({"labeler"}), None, 200, is_background=True),
    "guidelines": Row(LABELERS | RESEARCHERS),
    "guidelines-versions": Row(LABELERS | RESEARCHERS, 200, 400, decide=MANAGERS),
    "annotations": Row(RESEARCHERS),
    "annotation": Row(RESEARCHERS),
    "download-labels": Row(RESEARCHERS, None, 302),
    "new-snapshot": Row(RESEARCHERS, 200, 302),
    "snapshot": Row(RESEARCHERS),
    "order-export": Row(RESEARCHERS, None, 400),  # without a format
    "order-folder": Row(RESEARCHERS, None, 400),  # without a licence
    "order": Row(RESEARCHERS),
    "cancel-order": Row(RESEARCHERS, None, 302),
    "delete-export-files": Row(RESEARCHERS, None, 302),
    "export-file": Row(RESEARCHERS, 404),  # no file of an export has the name that all addresses get here
    "data": Row(RESEARCHERS),
    "upload": Row(MANAGERS, None, 400),
    "import": Row(MANAGERS),
    "check-import": Row(MANAGERS, None, 302),
    "load-import": Row(MANAGERS, None, 302),
    "resume-import": Row(MANAGERS, None, 302),
    "cancel-import": Row(MANAGERS, None, 302),
    "discard-import": Row(MANAGERS, None, 302),
    "draft": background(),
    "submit": background(),
    "skip": background(),
    "ahead": background(instead={}),
    "release": background(instead={}),
    "completions": background(instead=LOST | {"labeler": 400}),
    "extend": background(),
    "loop": Row(RESEARCHERS),
    "rounds": Row(RESEARCHERS),
    "start-round": Row(MANAGERS, None, 302),
    "oracle-labels": Row(MANAGERS, None, 302),
    "compose": Row(MANAGERS, 200, 400),
    "recipes": Row(MANAGERS),
    "schedule": Row(RESEARCHERS, 200, 302, decide=MANAGERS),
    "round": Row(RESEARCHERS, 200, 200),
    "publish-round": Row(MANAGERS, None, 302),
    "cancel-round": Row(MANAGERS, 200, 302),
    "replay-round": Row(RESEARCHERS, None, 302),
    "old-round": Row(RESEARCHERS, 308, 308),
    "old-act-on-round": Row(RESEARCHERS, 308, 308),
    "models": Row(RESEARCHERS),
    "compare-models": Row(RESEARCHERS),
    "roll-back": Row(RESEARCHERS, None, 302, decide=MANAGERS),
    "model": Row(RESEARCHERS),
    "promote": Row(RESEARCHERS, None, 302, decide=MANAGERS),
    "download-model": Row(RESEARCHERS, 302),
    "gold": Row(MANAGERS, 200, 409),
    "find-solution": Row(RESEARCHERS, 302),
    "solution": Row(RESEARCHERS, 200, 302),
    "solutions": Row(RESEARCHERS),
    "surprises": Row(RESEARCHERS),
    "models-on-solution": Row(RESEARCHERS),
    "project-solution": Row(RESEARCHERS, 200, 302),
    "withdraw-solution": Row(MANAGERS, 200, 302),
    "prioritise-solution": Row(MANAGERS, None, 302),
    "redundancy": Row(RESEARCHERS, 200, 409, decide=MANAGERS),
    "experiments": Row(RESEARCHERS | SUPERUSER, 200, 400),
    "experiment": Row(RESEARCHERS | SUPERUSER, 200, 302),
    "experiment-file": Row(RESEARCHERS | SUPERUSER),
    "set-up": Row(ALL, 410, 410, is_public=True),
    "sign-in": Row(OUT, 200, 200, others=302, is_public=True),
    "sign-in-link": Row(ALL, 410, 410, is_public=True),
    "sign-in-code": Row(ALL, 302, 302, is_public=True),
    "sign-in-set-up": Row(ALL, 302, 302, is_public=True),
    "who": Row(ALL, 200, None, is_public=True),
    "sign-out": Row(SIGNED_IN, None, 302),
    "admin/login/": Row(OUT, 302, None, is_public=True),
    "admin/password_change/": Row(SIGNED_IN, 302, 302),
}
# The administration is Django's own. Tables that it shows, and its other pages. It leads everybody but staff to its sign-in.
ADMINISTRATION = {
    "auth_group", "axes_accessattempt", "axes_accesslog", "axes_accessfailurelog", "auth_user", "annotation_project",
    "annotation_membership", "annotation_problem", "annotation_solution", "annotation_batch", "annotation_task", "annotation_assignment",
    "annotation_annotation", "annotation_steplabel", "annotation_goldanswer", "annotation_snapshot", "annotation_event", "index", "login",
    "logout", "password_change", "password_change_done", "autocomplete", "jsi18n", "view_on_site", "app_list", "",
}  # fmt: skip

BODIES = {
    "batch": {"act": "pause"},
    "keys": {"defaults": ""},
    "messages": {"to": "canary-name-suspended", "text": "Please look at step 2."},
    "people": {"role": "labeler", "lines": "Cleo"},
    "make-link": {"name": "canary-name-labeler"},
    "decide-flag": {"decision": "dismissed", "note": "Looked at."},
    "member": {"act": "message", "text": "Please look at step 2."},
    "problem": {"answer": "12"},
    "check-import": {"token": "0", "steps_by": "auto", "labels": "annotations"},
    "start-round": {"strategy": "uniform", "size": "1"},
    "schedule": {"weight-convincing": "100", "size": "40", "per_problem": "2", "is_on": "on", "every_hours": "3"},
    "roll-back": {"kind": "prm"},
}


class Cell(NamedTuple):
    name: str
    person: str
    method: str


class Answer(NamedTuple):
    status: int
    to: str
    text: str


def without_a_row(patterns: Sequence[URLPattern | URLResolver]) -> list[str]:
    """Return a sentence for each route that the tables do not name."""
    sentences = []
    for name, _, written in routes(patterns):
        space, _, rest = name.rpartition(":")
        table = re.sub(r"_(changelist|add|history|delete|change|password_change)$", "", rest)
        if space == "admin" and not {rest, table} & ADMINISTRATION:
            sentences.append(f"The administration has a new page: {written}. Add {table} to ADMINISTRATION in {Path(__file__).name}.")
        elif space != "admin" and name not in TABLE:
            sentences.append(f"The address {written} is new. Add a row for “{name}” to TABLE in {Path(__file__).name}: who can open it?")
    return sentences


def expected(cell: Cell) -> int:
    row = TABLE[cell.name]
    status = row.get if cell.method == "get" else row.post
    if row.is_api and cell.person in OUT:
        return 401
    if row.is_api and cell.person not in row.who:
        return 404
    if row.is_api and status is not None and cell.method == "post" and row.decide is not None and cell.person not in row.decide:
        return 403
    if cell.person in OUT and not row.is_public:
        return (405 if status is None else 401) if row.is_background else 302
    if status is None:
        return 405
    who = row.who if cell.method == "get" or row.decide is None else row.decide
    if cell.person not in who:
        return row.others
    return row.instead.get(cell.person, status)


# --- the site that is asked -----------------------------------------------------------------------------------------------------

TOTP_KEY = "5ec2e7" * 6 + "abcd"


class World:
    """One project with a person of each kind, another project, and a canary in each field that not everybody can read."""

    def __init__(self, home: Path) -> None:
        self.project, foreign = (
            make.project("sums", show_reference_answer=False),
            make.project("canary-project", name="Canary project name"),
        )
        self.people = {name: make.person(f"canary-name-{name}", self.project, role) for name, role in ROLES.items()}
        self.people |= {name: make.person(f"canary-name-{name}") for name in ("stranger", "staff", "superuser")}
        stranger = make.person("canary-foreign-name", foreign, Role.OWNER)
        for name, person in self.people.items():
            person.email, person.password = f"canary-mail-{name}@example.org", f"pbkdf2_sha256$1$salt$canary-hash-{name}"
            person.is_staff, person.is_superuser = name in ("staff", "superuser"), name == "superuser"
            person.save()
        self.sessions = {name: signed_in(person).cookies[settings.SESSION_COOKIE_NAME].value for name, person in self.people.items()}
        self.people["closed"].is_active = False
        self.people["closed"].save()
        Membership.objects.filter(user=self.people["suspended"]).update(suspended_at=timezone.now(), reason="canary-why-suspended")

        labeler = self.people["labeler"]
        problems = [make.problem(self.project, answer=f"canary-answer-{n}", reference_solution=f"canary-reference-{n}") for n in range(4)]
        solutions = [make.solution(problem) for problem in problems]
        for solution in solutions:
            GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[1], note="canary-gold-note")
        batch = make.batch(self.project, solutions[:3], overlap=2)
        first = queue.lease_next(labeler, project=self.project)
        sitting = {"ratings": rated(1, -1), "finish_reason": "found_error", "reason": "canary-reason", "active_ms": 5, "total_ms": 5}
        done = labels.submit(first.assignment_id, labeler=labeler, token=first.token, submission_id=uuid.uuid4(), **sitting)
        lease = queue.lease_next(labeler, project=self.project)
        round_ = make.round_of(self.project, {"convincing": solutions[3:]}, generation=1, state="proposed")
        version = make.version(self.project, 1)
        job = ScoreJob.objects.create(project=self.project, model_version=version, n_solutions=1)
        snapshot = Snapshot.objects.create(project=self.project, number=1, count=0)
        order = DataOrder.objects.create(project=self.project, snapshot=snapshot, format="trl", state="done")
        SolutionConsensus.objects.create(solution=solutions[0], project=self.project, n_readings=1, settled_at=timezone.now())

        owner, texts = self.people["owner"], {"text": "canary-message-to-labeler", "project": self.project}
        message = Message.objects.create(sender=owner, recipient=labeler, **texts)
        TOTPDevice.objects.create(user=labeler, confirmed=True, key=TOTP_KEY)
        StaticToken.objects.create(device=StaticDevice.objects.create(user=labeler, name="recovery codes"), token="canary-code-hash")
        invited, theirs_invited = (
            Invitation.objects.create(
                project=place, role=Role.LABELER, note=note, created_by=maker, token_hash=note.encode(),
                expires_at=timezone.now() + timedelta(days=1),
            )
            for place, note, maker in ((self.project, "canary-note", owner), (foreign, "canary-foreign-note", stranger))
        )  # fmt: skip
        notification, their_notification = (
            Notification.objects.create(person=person, kind="message", sentence=sentence, occasion="x")
            for person, sentence in ((labeler, "canary-notification"), (stranger, "canary-foreign-notification"))
        )
        Event.objects.create(actor=owner, verb="test", subject="canary-event", details={})

        hidden = make.problem(foreign, statement="canary-foreign-statement", answer="canary-foreign-answer")
        others = make.solution(hidden, steps=["canary-foreign-step", "So it is 4.\n\n# Answer\n\n4"])
        their_batch = make.batch(foreign, [others])
        their_labeler = make.person("canary-foreign-labeler", foreign)
        theirs = queue.lease_next(their_labeler, project=foreign)
        their_round = make.round_of(foreign, {"uniform": [make.solution(make.problem(foreign))]}, generation=1, state="proposed")
        their_job = ScoreJob.objects.create(project=foreign, model_version=make.version(foreign, 2), n_solutions=1)
        their_message = Message.objects.create(sender=stranger, recipient=stranger, project=foreign, text="canary-foreign-message")
        foreign.guidelines = "canary-foreign-guidelines"
        foreign.save()
        their_label = labels.submit(
            theirs.assignment_id, labeler=their_labeler, token=theirs.token, submission_id=uuid.uuid4(),
            ratings=rated(1, -1), finish_reason="found_error", reason="canary-foreign-reason", active_ms=5, total_ms=5,
        )  # fmt: skip

        flag, their_flag = (
            Flag.objects.create(project=place, person=person, kind="truth", evidence={"sentences": [sentence]})
            for place, person, sentence in ((self.project, labeler, "canary-flag"), (foreign, their_labeler, "canary-foreign-flag"))
        )
        stored = {"path": "imports/a/b.jsonl", "size": 1, "sha256": "", "state": "checked"}
        import_ = Import.objects.create(project=self.project, name="file.jsonl", created_by=owner, **stored)
        their_order = DataOrder.objects.create(project=foreign, spec={"sources": ["canary-foreign-source"]}, failure="canary-foreign-order")
        their_import = Import.objects.create(project=foreign, name="canary-foreign-file", created_by=stranger, **stored)

        webhook, their_webhook = (
            Webhook.objects.create(project=place, address=f"https://{words}.example.org/", kinds=["round.done"], nonce=b"n", mark=b"m")
            for place, words in ((self.project, "canary-webhook"), (foreign, "canary-foreign-webhook"))
        )
        delivery, their_delivery = (
            WebhookDelivery.objects.create(
                webhook=one, event=WebhookEvent.objects.create(project=one.project, kind="round.done", occasion="x", body="canary-body")
            )
            for one in (webhook, their_webhook)
        )

        folder = home / "experiments" / "smallest"
        folder.mkdir(parents=True)
        (folder / "plan.json").write_text(json.dumps(experiment.SMALLEST.as_dict()))
        (folder / "project.txt").write_text(f"{self.project.pk}\n")
        (folder / "strategies.csv").write_text("strategy\n")

        held = shown_claim(lease.assignment_id, lease.token)
        calibration, their_calibration = (
            make.batch(place, [make.solution(make.problem(place, statement=words))], kind="calibration", state="closed")
            for place, words in ((self.project, "What?"), (foreign, "canary-foreign-calibration"))
        )
        self.places = {
            "slug": "sums", "batch_id": batch.pk, "set_id": calibration.pk,
            "problem_id": problems[0].pk, "annotation_id": done.pk, "assignment_id": held["assignment"],
            "round_id": round_.pk, "round_number": round_.number, "act": "cancel", "import_id": import_.pk, "number": 1,
            "order_id": order.pk,
            "solution_id": solutions[0].pk, "message_id": message.pk, "notification_id": notification.pk,
            "flag_id": flag.pk, "job_id": job.pk, "name": "smallest",
            "file": "strategies.csv", "object_id": self.project.pk, "id": labeler.pk, "content_type_id": 1, "app_label": "annotation",
            "url": "x", "set_up_token": people.link_to_set_up().split("/")[-2],
            "token": "x" * 43, "invitation_id": invited.pk, "token_number": 1, "rest": "nowhere",
            "membership_id": Membership.objects.get(user=self.people["labeler"], project=self.project).pk,
            "webhook_number": webhook.pk, "delivery_number": delivery.pk,
        }  # fmt: skip
        self.elsewhere = self.places | {
            "batch_id": their_batch.pk, "set_id": their_calibration.pk,
            "problem_id": hidden.pk, "annotation_id": their_label.pk, "round_id": their_round.pk, "import_id": their_import.pk,
            "order_id": their_order.pk,
            "round_number": 9, "number": 2, "job_id": their_job.pk,
            "assignment_id": shown_claim(theirs.assignment_id, theirs.token)["assignment"],
            "solution_id": others.pk, "message_id": their_message.pk, "notification_id": their_notification.pk, "flag_id": their_flag.pk,
            "invitation_id": theirs_invited.pk,
            "membership_id": Membership.objects.get(user=stranger, project=foreign).pk,
            "webhook_number": their_webhook.pk, "delivery_number": their_delivery.pk,
        }  # fmt: skip
        end = {"finish_reason": "solution", "reason": "", "active_ms": 9, "total_ms": 9}
        token = {"token": held["token"]}
        whole = {"submission_id": str(uuid.uuid4()), "ratings": rated(1, 1, 1), **end}
        self.json = {
            "draft": token | {"revision": 1, "ratings": rated(1)}, "submit": token | whole, "skip": token | {"reason": ""}, "ahead": {},
            "release": token, "completions": token | {"path": []}, "extend": token, "revise": whole, "decide": whole,
            "calculate": {"sum": "3 + 4"}, "reading": {"text_size": "large", "line_width": "wide"},
        }  # fmt: skip

    def ask(self, cell: Cell, *, address: str) -> Answer:
        """Send one request as this person, and undo whatever it did."""
        client = Client(raise_request_exception=False)
        if cell.person != "nobody":
            client.cookies = SimpleCookie({settings.SESSION_COOKIE_NAME: self.sessions[cell.person]})
        with transaction.atomic():
            if cell.method == "get":
                answer = client.get(address, {"a": "1", "b": "1"} if cell.name == "compare-models" else {})
            elif cell.name in self.json:
                answer = client.post(address, self.json[cell.name], content_type="application/json")
            else:
                answer = client.post(address, BODIES.get(cell.name, {}))
            body = b"".join(answer) if answer.streaming else answer.content
            transaction.set_rollback(True)
        return Answer(answer.status_code, answer.get("Location", ""), body.decode("utf-8", "replace"))


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), override_settings(STEPMARK_HOME=home), transaction.atomic():
        patch.setattr(celery.Celery, "send_task", lambda *_, **__: None)  # no worker is asked to score
        yield World(home)
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def answers(world: World) -> dict[Cell, Answer]:
    """Ask every address as every person, with GET and with POST."""
    return {
        (cell := Cell(name, person, method)): world.ask(cell, address=address_of(written, parameters, world.places))
        for name, parameters, written in routes(get_resolver().url_patterns)
        if not name.startswith("admin:")
        for person in PEOPLE
        for method in ("get", "post")
    }


# The administration looks at nothing but is_staff and is_superuser. So the other people are asked at its front page and one table.
ASKED_EVERYWHERE = frozenset({"nobody", "stranger", "owner", "staff", "superuser"})
ASKED_BY_ALL = frozenset({"admin:index", "admin:annotation_goldanswer_changelist", "admin:annotation_goldanswer_change"})


@pytest.fixture(scope="module")
def administration(world: World) -> dict[Cell, Answer]:
    """Ask every page of the administration with GET. Ask with POST as the people who must not change anything there."""
    answers = {}
    for name, parameters, written in routes(get_resolver().url_patterns):
        if name.startswith("admin:"):
            table = re.search(r"admin/(\w+)/(\w+)/", written)
            row = apps.get_model(table[1], table[2])._default_manager.first() if table and "object_id" in parameters else None
            address = address_of(written, parameters, world.places | {"object_id": row.pk if row else 1})
            for person in PEOPLE if name in ASKED_BY_ALL else ASKED_EVERYWHERE:
                for method in ("get", "post") if person in ("stranger", "owner", "staff") else ("get",):
                    cell = Cell(written if name == "admin:" else name, person, method)
                    answers[cell] = world.ask(cell, address=address)
    return answers


# --- who gets where -------------------------------------------------------------------------------------------------------------


def test_every_address_has_a_row() -> None:
    assert without_a_row(get_resolver().url_patterns) == []


def test_an_address_without_a_row_is_named_with_what_to_add() -> None:
    new = path("p/<slug:slug>/secrets/", lambda request: None, name="secrets")
    assert without_a_row([new]) == [
        "The address p/<slug:slug>/secrets/ is new. Add a row for “secrets” to TABLE in test_access.py: who can open it?"
    ]


def test_every_row_belongs_to_an_address() -> None:
    assert TABLE.keys() - {name for name, *_ in routes(get_resolver().url_patterns)} == set()


def test_every_address_answers_each_person_as_the_table_says(answers: dict[Cell, Answer]) -> None:
    unexpected = [(*cell, answer.status, f"not {expected(cell)}") for cell, answer in answers.items() if answer.status != expected(cell)]
    assert unexpected == []


def test_health_and_metrics_answer_everybody_alike(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no addresses of the resolver. The canary of the other project's name is in the metrics, which only the operator reads."""
    table = {"/health/live": 200, "/health/ready": 200, "/metrics": 200}
    assert table.keys() == outermost.OPERATIONS.keys()
    for address, status in table.items():
        for person in PEOPLE:
            answer = world.ask(Cell(address, person, "get"), address=address)
            assert (answer.status, "canary" in answer.text.replace("canary-project", "")) == (status, False), (address, person)
            assert world.ask(Cell(address, person, "post"), address=address).status == 404
    monkeypatch.setenv("METRICS_TOKEN", "canary-token")
    assert {world.ask(Cell("/metrics", person, "get"), address="/metrics").status for person in PEOPLE} == {404}


OWN_PAGES = {"reopen": 403, "find-solution": 302}  # they look nothing up: an owner does not label, and the other one leads to a search


def test_an_object_of_another_project_is_found_at_no_address_of_the_own_one(world: World) -> None:
    objects, found = (
        {
            "membership_id",
            "invitation_id",
            "problem_id",
            "annotation_id",
            "assignment_id",
            "round_id",
            "number",
            "solution_id",
            "set_id",
            "order_id",
            "job_id",
            "webhook_number",
        },
        [],
    )
    for name, parameters, written in routes(get_resolver().url_patterns):
        if name in TABLE and objects & set(parameters):
            for method, status in (("get", TABLE[name].get), ("post", TABLE[name].post)):
                answer = world.ask(Cell(name, "owner", method), address=address_of(written, parameters, world.elsewhere))
                is_fine = answer.status == (405 if status is None else OWN_PAGES.get(name, 404))
                if not is_fine or "canary-foreign" in answer.text:
                    found.append((name, method, answer.status))
    assert found == []


def test_an_owner_is_a_stranger_in_another_project(world: World) -> None:
    places, found = world.elsewhere | {"slug": "canary-project"}, []
    for name, parameters, written in routes(get_resolver().url_patterns):
        if "slug" in parameters:
            for method in ("get", "post"):
                answer = world.ask(Cell(name, "owner", method), address=address_of(written, parameters, places))
                if answer.status != expected(Cell(name, "stranger", method)):
                    found.append((name, method, answer.status))
    assert found == []


def test_the_administration_is_open_to_superusers_alone(administration: dict[Cell, Answer]) -> None:
    """Staff without permissions see its empty front page. All others are led to the sign-in page."""
    assert {cell.person for cell in administration if cell.name in ASKED_BY_ALL} == set(PEOPLE)
    front = {"admin:index", "admin:jsi18n", "admin:logout", "admin:password_change_done", "admin:login"}
    found = []
    for cell, answer in administration.items():
        allowed = {302, 404} if cell.person not in ("staff", "superuser") else {302, 403, 404, 405} if cell.person == "staff" else set()
        if cell.person != "superuser" and cell.name not in front and answer.status not in allowed or answer.status >= 500:
            found.append((*cell, answer.status))
    assert found == []


# --- who reads what -------------------------------------------------------------------------------------------------------------

NOBODY: frozenset[str] = frozenset()
CANARIES = {
    "canary-gold-note": MANAGERS | SUPERUSER,
    "canary-answer": RESEARCHERS | SUPERUSER,
    "canary-reference": RESEARCHERS | SUPERUSER,
    "canary-reason": RESEARCHERS | SUPERUSER | {"labeler"},
    "canary-why-suspended": MANAGERS | SUPERUSER | {"suspended"},
    "canary-note": MANAGERS,
    "canary-message-to-labeler": WRITERS | {"labeler"},
    "canary-flag": MANAGERS,
    "canary-webhook": MANAGERS,
    "canary-body": MANAGERS,
    "canary-notification": frozenset({"labeler"}),
    "canary-event": SUPERUSER,
    "canary-name-suspended": RESEARCHERS | WRITERS | SUPERUSER | {"suspended"},
    "canary-name-labeler": RESEARCHERS | WRITERS | SUPERUSER | {"labeler"},
    "canary-mail-": SUPERUSER,
    "canary-foreign": SUPERUSER,
    "canary-project": SUPERUSER,
    "Canary project name": SUPERUSER,
    "?sesame=": MANAGERS,  # a one-time link of somebody
    "canary-hash-": NOBODY,  # of a password
    "canary-code-hash": NOBODY,
    TOTP_KEY: NOBODY,
    base64.b32encode(bytes.fromhex(TOTP_KEY)).decode()[:16]: NOBODY,
}


def leaks(answers: dict[Cell, Answer]) -> list[tuple[str, ...]]:
    """Return each canary in an answer to a person who must not read it."""
    return [
        (canary, *cell)
        for cell, answer in answers.items()
        for canary, readers in CANARIES.items()
        if cell.person not in readers and canary in answer.text
    ]


def test_no_answer_holds_a_text_that_its_reader_must_not_see(answers: dict[Cell, Answer], administration: dict[Cell, Answer]) -> None:
    assert leaks(answers | administration) == []


def test_an_export_holds_no_name_and_no_address_of_a_person(world: World, tmp_path: Path) -> None:
    export.export_prm800k(world.project, tmp_path / "labels.jsonl")
    text = (tmp_path / "labels.jsonl").read_text()
    assert "canary-answer" in text and not re.search("canary-(name|mail)", text)


def test_each_text_is_read_by_somebody_who_may(answers: dict[Cell, Answer], administration: dict[Cell, Answer]) -> None:
    shown = "".join(answer.text for answer in (answers | administration).values())
    assert [canary for canary, readers in CANARIES.items() if readers and canary not in shown] == []


def test_a_statement_that_reads_a_hidden_answer_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = leases.RENEW.replace("CASE WHEN r.show_reference_answer THEN p.answer END", "p.answer")
    assert careless != leases.RENEW
    monkeypatch.setattr(leases, "RENEW", careless)
    cell = Cell("label", "labeler", "get")
    assert leaks({cell: world.ask(cell, address=reverse("label", args=["sums"]))}) == [("canary-answer", *cell)]
