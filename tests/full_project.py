"""A project with rows in every table that a page shows, and the addresses of all its pages. It can grow, by as many rows of each kind."""

import json
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.urls import get_resolver
from django.utils import timezone

from active_learning import experiment
from active_learning.models import ModelVersion, RoundStage, Score, ScoreJob, ScoreJobItem, ScoreShard, Selection, StepScores, Worker
from annotation import labels, people
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    BrowserSession,
    DataOrder,
    Event,
    Flag,
    GoldAnswer,
    Import,
    Invitation,
    Membership,
    Message,
    MoreOpinions,
    Notification,
    Project,
    Regrade,
    Remark,
    Role,
    Snapshot,
    SnapshotFile,
    Solution,
    SolutionConsensus,
    StepAlternative,
    StepLabel,
    Task,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
    WebhookTry,
)  # fmt: skip
from tests import make
from tests.addresses import address_of, routes
from tests.clients import shown_claim

# What each page shows with a query, beside the page without one. They show other rows, or other figures.
QUERIES = {
    "annotations": ["finish=bad_problem", "by=ann"],
    "audit": ["verb=withdraw", "csv=1"],
    "compare-models": ["a=1&b=2"],
    "compose-calibration": ["size=1"],
    "compose-newcomers": ["kind=practice&by=ann&size=3", "kind=screening&by=ann&size=3"],
    "find": ["q=person", "q=what", "q=round", "q=1"],
    "find-on-site": ["q=other"],
    "find-solution": ["id=1"],
    "guidelines-versions": ["a=1&b=2"],
    "models": ["by=steps"],
    "models-on-solution": ["a=1&b=2"],
    "new-snapshot": ["preview=1&min_labels=1", "preview=1&people=nobody"],
    "people": ["words=person", "role=labeler&state=active"],
    "project-solution": ["words=what", "order=high"],
    "surprises": ["kind=missed", "learned=unknown&finish=found_error", "generation=1&batch=1&subject=x", "after=0.5-1", "csv=1"],
    "snapshot": ["with=2", "with=now"],
    "site-audit": ["verb=withdraw"],
    "solutions": [
        "words=what", "source=file", "outcome=wrong", "labels=yes", "labels=no", "by=ann", "differs=on", "withdrawn=yes", "withdrawn=no",
        "least=0.1&most=0.9", "order=high", "order=low",
    ],
}  # fmt: skip
WIDE = r"\[" + "a + " * 90 + r"b\]"
FIGURES = {  # files that have names
    "figures-file": ("labels-a-day", "time-per-solution"),
    "agreement-file": ("over-time", "batches", "people", "level", "subject", "score", "review", "guidelines"),
}


class Place(NamedTuple):
    """One address, with the name of its route."""

    name: str
    address: str


class FullProject:
    """ann labels, olga owns the project and administrates the site. A name, if given, stands wherever people write texts."""

    def __init__(self, home: Path, *, name: str = "Sums", count: int = 2) -> None:
        self.name, self.home, self.n_people = name, home, 0
        thresholds = {"redundancy_limit": 3, "redundancy_model": 0.8, "redundancy_gold": 0.75, "redundancy_spread": 1.0}
        self.project = make.project("sums", name=name, guidelines=f"## {name}\n\n- So", **thresholds)
        self.ann, self.olga = make.ann(self.project), make.olga(self.project)
        User.objects.filter(pk=self.olga.pk).update(is_staff=True, is_superuser=True)
        self.olga = User.objects.get(pk=self.olga.pk)
        Project.objects.filter(pk=self.project.pk).update(guidelines=f"## {name}\n\n- So\n- {name}")
        self.project.refresh_from_db()
        self.member = Membership.objects.get(user=self.ann)
        Membership.objects.filter(pk=self.member.pk).update(suspended_at=None, reason=name, qualified_at=timezone.now())
        problem = make.problem(self.project, statement=f"What is {name}?", external_id=name)
        self.solution = make.solution(problem, source="file", steps=[f"{name} {WIDE}", "y" * 300, f"So.\n\n# Answer\n\n{name}"])
        StepAlternative.objects.create(solution=self.solution, step_index=1, position=1, text=name)
        GoldAnswer.objects.create(solution=self.solution, acceptable_first_errors=[1], note=name)
        settled = {"project": self.project, "first_mistake": 1, "n_readings": 1, "settled_at": timezone.now()}
        SolutionConsensus.objects.get_or_create(solution=self.solution, defaults=settled)
        self.batch = make.batch(self.project, [self.solution], overlap=99)
        self.task = Task.objects.get(solution=self.solution)
        self.version = make.version(self.project, 1, champion=True)
        make.score_table(self.version)
        self.published = make.round_of(
            self.project, {"convincing": make.solutions(self.project, 1)}, generation=1, model_version=self.version
        )
        self.proposed = make.round_of(
            self.project, {"convincing": [self.solution]}, generation=2, state="proposed", model_version=self.version
        )
        for round_ in (self.published, self.proposed):
            round_.refresh_from_db()  # the database gave it a number
        self.import_ = Import.objects.create(project=self.project, name=name, path="", size=1, sha256="", state="cancelled")
        self.invited = self.invite(1)[0]
        self.invitation = people.invite(self.project, actor=self.olga, role=Role.LABELER, text=f"Cleo {name}"[:90])[0]
        folder = home / "experiments" / "smallest"
        folder.mkdir(parents=True)
        (folder / "plan.json").write_text(json.dumps(experiment.SMALLEST.as_dict()))
        (folder / "project.txt").write_text(f"{self.project.pk}\n")
        (folder / "strategies.csv").write_text("strategy\n")
        self.held = self.lease(self.ann)
        self.annotation = self.label([self.ann])[0]
        self.calibration = make.batch(self.project, make.solutions(self.project, 1, source="file"), kind="calibration")
        self.discussed = Task.objects.get(batch=self.calibration)
        self.disputes: list[Solution] = []
        self.grow(count)

    # --- rows -----------------------------------------------------------------------------------------------------------------

    def grow(self, count: int) -> None:
        """Add rows of each kind: as parts of the objects whose pages are opened, and as other objects beside them."""
        project, name = self.project, self.name
        persons = self.add_people(count)
        self.invite(count)
        problem = self.solution.problem
        steps = [name, "So.", "It is."]
        solutions = [make.solution(problem, [*steps, str(n)], source=f"file{n}") for n in range(self.n_people - count, self.n_people)]
        solutions += [make.solution(make.problem(project, statement=f"What is {name}?"), source="file") for _ in range(count)]
        self.label(persons)
        Task.objects.bulk_create(Task(batch=self.batch, solution=solution) for solution in solutions)
        tasks = Task.objects.filter(batch=self.batch, solution__in=solutions)
        self.label([self.ann], list(tasks[:count]))
        self.add_newcomers(count)
        self.label([person for person in persons if person != self.ann], [self.discussed])
        Remark.objects.bulk_create(Remark(task=self.discussed, author=self.olga, text=name) for _ in range(count))
        Assignment.objects.bulk_create(Assignment(task=task, slot=0, batch=self.batch) for task in tasks[count:])
        for person, task in zip(persons, tasks[count:], strict=False):
            self.lease(person, task)
        for _ in range(count):
            generation = 100 + Batch.objects.count()
            make.batch(project, make.solutions(project, 1), generation=generation)
            make.round_of(project, {"uniform": make.solutions(project, 1)}, generation=generation + 5000, model_version=self.version)
        model = {"why": "model", "value": 0.93, "threshold": 0.8, "details": {"marks": [1], "judge": "PRM 1", "sees": None}}
        last = MoreOpinions.objects.filter(task=self.task).count() + 2
        asked = [(self.task, last + n) for n in range(count)] + [(task, 2) for task in tasks]
        MoreOpinions.objects.bulk_create(MoreOpinions(task=task, batch=self.batch, place=place, **model) for task, place in asked)
        GoldAnswer.objects.bulk_create(GoldAnswer(solution=solution, acceptable_first_errors=[1], note=name) for solution in solutions)
        self.add_figures_of_models(solutions, count)
        self.add_history(persons, count)
        self.add_disputes(persons, count)

    def add_people(self, count: int) -> list[User]:
        """Add labelers, and projects of ann and olga."""
        numbers = range(self.n_people, self.n_people + count)
        self.n_people += count
        persons = User.objects.bulk_create(User(username=f"person{n}{self.name if n % 2 else ''}"[:150]) for n in numbers)
        Membership.objects.bulk_create(
            Membership(project=self.project, user=person, role=Role.LABELER, qualified_at=timezone.now(), reason=self.name)
            for person in persons
        )
        for number in numbers:
            other = make.project(f"other{number}", name=f"{self.name} {number}")
            make.ann(other), make.olga(other)
            make.batch(other, make.solutions(other, 1))
        return persons

    def add_newcomers(self, count: int) -> None:
        """Add screening questions, and people who have answered all of them wrong."""
        screening, _ = Batch.objects.get_or_create(project=self.project, kind="screening", generation=-1, defaults={"state": "open"})
        before = list(User.objects.filter(membership__project=self.project, membership__qualified_at=None, username__startswith="newcomer"))
        n_known = len(before)
        persons = User.objects.bulk_create(User(username=f"newcomer{n_known + n}{self.name}"[:150]) for n in range(count))
        Membership.objects.bulk_create(Membership(project=self.project, user=person, role=Role.LABELER) for person in persons)
        old = list(Task.objects.filter(batch=screening))
        Task.objects.bulk_create(Task(batch=screening, solution=solution) for solution in make.solutions(self.project, count))
        new = list(Task.objects.filter(batch=screening).exclude(pk__in=[task.pk for task in old]))
        GoldAnswer.objects.bulk_create(
            GoldAnswer(solution_id=task.solution_id, acceptable_first_errors=[0, 2], note=self.name) for task in new
        )
        self.label(before, new)
        self.label(persons, old + new)

    def invite(self, count: int) -> list[Invitation]:
        return Invitation.objects.bulk_create(
            Invitation(
                project=self.project, role=Role.LABELER, note=self.name[:200], created_by=self.olga, token_hash=uuid.uuid4().bytes * 2,
                expires_at=timezone.now() + timedelta(days=1),
            )
            for _ in range(count)
        )  # fmt: skip

    def lease(self, person: User, task: Task | None = None) -> Assignment:
        later = timezone.now() + timedelta(hours=1)
        return Assignment.objects.create(
            task=task or self.task, slot=None, batch=self.batch, state="leased", labeler=person, token=1, leased_at=Now(),
            lease_expires_at=later,
        )  # fmt: skip

    def label(self, persons: list[User], tasks: list[Task] | None = None, ratings: tuple[int, ...] = (1, -1)) -> list[Annotation]:
        """Store labels of each person for each task: of the first solution, or of others."""
        places = [(person, task) for person in persons for task in tasks or [self.task]]
        if tasks is None and self.ann in persons:  # ann holds a lease of the first solution: the label comes from it
            Assignment.objects.filter(pk=self.held.pk).update(state="done")
            done = [self.held]
        else:
            done = Assignment.objects.bulk_create(
                Assignment(task=task, slot=None, batch_id=task.batch_id, state="done", labeler=person, token=1) for person, task in places
            )
        annotations = Annotation.objects.bulk_create(
            Annotation(
                assignment=assignment, labeler=person, solution_id=task.solution_id, finish_reason="found_error", reason=self.name,
                active_ms=60_000, total_ms=90_000, submission_id=uuid.uuid4(), body_hash=b"0",
            )
            for assignment, (person, task) in zip(done, places, strict=True)
        )  # fmt: skip
        StepLabel.objects.bulk_create(
            StepLabel(annotation=annotation, step_index=step, rating=rating, flagged=False, rated_ms=900, shown_at=0)
            for annotation in annotations
            for step, rating in enumerate(ratings)
        )
        return annotations

    def add_disputes(self, persons: list[User], count: int) -> None:
        """Add solutions that people read differently, readers of the first two, and a reading that was sent back. olga decides on one."""
        old = {"kind": "selected", "generation": 9999, "defaults": {"state": "closed"}}
        batch = Batch.objects.get_or_create(project=self.project, **old)[0]
        is_first = not self.disputes
        new = [make.solution(make.problem(self.project, statement=f"What is {self.name}?")) for _ in range(count + 2 * is_first)]
        self.disputes += new
        tasks = Task.objects.bulk_create(Task(batch=batch, solution=solution) for solution in new)
        early = self.label(persons[:1], tasks, (-1,))
        self.label(persons[1:2], tasks)
        shown = Task.objects.filter(batch=batch, solution__in=self.disputes[:2])
        self.label(persons[2:], list(shown))
        SolutionConsensus.objects.bulk_create(
            SolutionConsensus(
                solution=solution, project=self.project, n_readings=2, first_mistake=1, p_none=0.1, entropy=1.0, settled_at=timezone.now()
            )
            for solution in new
        )
        Message.objects.create(project=self.project, sender=self.olga, recipient=persons[0], text=self.name, annotation=early[-1])
        if is_first:
            end = {"finish_reason": "found_error", "reason": self.name, "active_ms": 1, "total_ms": 1, "submission_id": uuid.uuid4()}
            labels.adjudicate(self.project, new[1].pk, reviewer=self.olga, seen=0, ratings=[{"step": 0, "rating": -1}], **end)
            GoldAnswer.objects.create(solution=new[1], acceptable_first_errors=[1], note=self.name)

    def add_figures_of_models(self, solutions: list[Solution], count: int) -> None:
        latest = ModelVersion.objects.latest("number").number
        for number in range(latest + 1, latest + 1 + count):
            make.version(self.project, number)
        second = ModelVersion.objects.get(project=self.project, number=2)
        scored = [self.solution, *solutions] if not Score.objects.exists() else solutions
        Score.objects.bulk_create(
            Score(model_version=self.version, solution=one, problem_id=one.problem_id, score=0.5, first_weak_step=2, outcome=one.outcome)
            for one in scored
        )
        StepScores.objects.bulk_create(
            StepScores(model_version=version, solution=one, probabilities=[[0.1, 0.1, 0.8]] * 3, held_out=True)
            for one in scored
            for version in (self.version, second)
        )
        n_shards = ScoreShard.objects.count()
        ScoreShard.objects.bulk_create(
            ScoreShard(model_version=self.version, number=n_shards + n, first_solution=1, last_solution=2, n_solutions=1, state="done")
            for n in range(count)
        )
        ended = {"n_solutions": count, "state": "done", "failure": self.name, "created_by": self.olga}
        jobs = ScoreJob.objects.bulk_create(ScoreJob(project=self.project, model_version=self.version, **ended) for _ in range(count))
        n_items = ScoreJobItem.objects.filter(job=self.job).count() if hasattr(self, "job") else 0
        self.job = self.job if n_items else jobs[0]
        said = {"score": 0.5, "probabilities": [[0.1, 0.1, 0.8]] * 3, "first_weak_step": 2}
        ScoreJobItem.objects.bulk_create(
            ScoreJobItem(job=self.job, position=n, solution=one, **said) for n, one in enumerate(solutions, n_items)
        )
        for round_ in (self.proposed, self.published):
            rank = Selection.objects.filter(round=round_).count()
            Selection.objects.bulk_create(
                Selection(round=round_, solution=one, rank=rank + n, part="convincing", score=0.3, step_scores=[0.9, 0.4], reason=self.name)
                for n, one in enumerate(solutions, 1)
            )
            RoundStage.objects.bulk_create(
                RoundStage(round=round_, name="train", attempt=n, log=[["2026-01-01T00:00:00+00:00", self.name]], failure=self.name)
                for n in range(count)
            )

    def add_history(self, persons: list[User], count: int) -> None:
        project, name = self.project, self.name
        letters = [(self.olga, self.ann), (self.ann, self.olga), *((self.olga, person) for person in persons)]
        Message.objects.bulk_create(
            Message(project=project, sender=sender, recipient=recipient, text=name) for sender, recipient in letters for _ in range(count)
        )
        raised = {"project": project, "evidence": {"sentences": [name], "figures": {"source": self.ann.pk}}}
        decided = {"decided_at": timezone.now(), "decided_by": self.olga, "decision": "dismissed", "note": name}
        Flag.objects.bulk_create(Flag(person=person, kind="truth", **raised, **more) for person in persons for more in ({}, decided))
        if not Flag.objects.filter(person=self.ann).exists():
            Flag.objects.create(person=self.ann, kind="pace", **raised)
        Notification.objects.bulk_create(
            Notification(person=person, project=project, kind="message", sentence=name, path="/", occasion=uuid.uuid4().hex)
            for person in (self.ann, self.olga, *persons)
            for _ in range(count)
        )
        done = (
            ("withdraw", f"solution {self.solution.pk}"),
            ("pause person", f"person {self.ann.pk}"),
            ("publish", f"batch {self.batch.pk}"),
        )
        Event.objects.bulk_create(
            Event(actor=person, project=place, verb=verb, subject=subject, details={"old": name})
            for person in (self.olga, *persons)
            for place in (project, None)
            for verb, subject in (*done, (f"act{person.pk}", f"batch {self.batch.pk}"))
        )
        Import.objects.bulk_create(
            Import(project=project, name=name[:200], path="", size=1, sha256="", state="done", report=name, created_by=person)
            for person in persons
        )
        self.add_webhooks(count)
        Regrade.objects.bulk_create(Regrade(project=project, state="done", report=[name], created_by=person) for person in persons)
        latest = Snapshot.objects.count()
        words = {"spec": {"sources": [name]}, "provenance": {"batches": [{"batch": self.batch.pk, "kind": "selected", "annotations": 1}]}}
        taken = [Snapshot(project=project, number=latest + n, count=n, content="x", **words) for n in range(1, count + 1)]
        Snapshot.objects.bulk_create(taken)
        first = Snapshot.objects.get(project=project, number=1)
        ended = {"project": project, "format": "trl", "options": {"neutral": "bad"}, "created_by": self.olga, "files_deleted_by": self.ann}
        ended |= {"state": "done", "report": [name], "files_deleted_at": timezone.now(), "spec": {"sources": [name]}}
        orders = DataOrder.objects.bulk_create(DataOrder(snapshot=of, **ended) for of in (first, *taken) for _ in range(count))
        self.order = getattr(self, "order", orders[0])
        written = {"format": "trl", "sha256": "ab" * 32}
        SnapshotFile.objects.bulk_create(
            SnapshotFile(snapshot=order.snapshot, order=order, name=f"exports/{name[:40]}-{n}", n_records=1, n_bytes=1, **written)
            for order in (self.order, *orders)
            for n in range(count)
        )
        soon = timezone.now() + timedelta(days=1)
        BrowserSession.objects.bulk_create(
            BrowserSession(session_key=uuid.uuid4().hex, session_data="", expire_date=soon, person=person, device=name)
            for person in (self.ann, self.olga)
            for _ in range(count)
        )
        Worker.objects.bulk_create(
            Worker(name=f"worker{person.pk}{name}"[:200], queues="celery", heartbeat_at=timezone.now()) for person in persons
        )

    def add_webhooks(self, count: int) -> None:
        """Add webhooks, and deliveries to the first one with their tries."""
        key = {"nonce": b"n" * 32, "mark": b"m" * 8}
        n_before = Webhook.objects.count()
        Webhook.objects.bulk_create(
            Webhook(project=self.project, address=f"https://hooks.example.org/{'x' * 300}{n}", kinds=["round.done", "batch.done"], **key)
            for n in range(n_before, n_before + count)
        )
        self.webhook = Webhook.objects.order_by("pk").first()
        events = WebhookEvent.objects.bulk_create(
            WebhookEvent(project=self.project, kind="round.done", occasion=f"round x{n}", body=json.dumps({"data": "y" * 300}))
            for n in range(n_before, n_before + count)
        )
        deliveries = WebhookDelivery.objects.bulk_create(WebhookDelivery(webhook=self.webhook, event=event, attempt=2) for event in events)
        WebhookTry.objects.bulk_create(
            WebhookTry(delivery=one, number=number, status=500, duration_ms=9, answer=self.name + "z" * 200, failure="It answered 500.")
            for one in deliveries
            for number in (1, 2)
        )

    # --- addresses ------------------------------------------------------------------------------------------------------------

    @property
    def places(self) -> dict[str, Any]:
        """What stands for each parameter of an address."""
        return {
            "slug": self.project.slug, "batch_id": self.batch.pk, "set_id": self.calibration.pk, "problem_id": self.solution.problem_id,
            "annotation_id": self.annotation.pk, "assignment_id": shown_claim(self.held.pk, 1)["assignment"],
            "round_id": self.proposed.pk, "round_number": self.proposed.number,
            "act": "cancel", "import_id": self.import_.pk, "order_id": self.order.pk, "number": 1, "solution_id": self.solution.pk,
            "message_id": Message.objects.filter(recipient=self.olga).first().pk,
            "flag_id": Flag.objects.filter(person=self.ann).first().pk, "job_id": self.job.pk,
            "webhook_number": self.webhook.pk, "delivery_number": WebhookDelivery.objects.filter(webhook=self.webhook).first().pk,
            "notification_id": Notification.objects.filter(person=self.olga).first().pk,
            "name": "smallest", "file": "strategies.csv",
            "object_id": self.project.pk, "id": self.ann.pk, "content_type_id": 1, "app_label": "annotation", "url": "x",
            "set_up_token": people.link_to_set_up().split("/")[-2], "token": self.invitation.path.split("/")[-2],
            "invitation_id": self.invited.pk, "membership_id": self.member.pk, "token_number": 1, "rest": "nowhere",
        }  # fmt: skip

    def pages(self) -> Iterator[Place]:
        """Yield every address of the site outside the administration, also with what a query can ask of it."""
        places = self.places
        for name, parameters, written in routes(get_resolver().url_patterns):
            if not name.startswith("admin:"):
                address = address_of(written, parameters, places)
                yield Place(name, address)
                for file in FIGURES.get(name, ()):
                    yield Place(name, address_of(written, parameters, places | {"name": file}))
                for query in QUERIES.get(name, ()):
                    yield Place(name, f"{address}?{query}")
                if name == "review-solution":
                    yield from (Place(name, address_of(written, parameters, places | {"solution_id": one.pk})) for one in self.disputes[:2])
                    yield Place(name, address_of(written, parameters, places | {"solution_id": self.disputes[1].pk}) + "?again")
                if "round_number" in parameters:
                    yield Place(name, address_of(written, parameters, places | {"round_number": self.published.number}))

    def administration(self) -> Iterator[Place]:
        """Yield the lists, the searches and the forms of the administration."""
        from django.contrib import admin

        admin.autodiscover()
        for model in admin.site._registry:
            name = f"{model._meta.app_label}_{model._meta.model_name}"
            base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            yield Place(name, base)
            for text in ("person", self.name.split()[0], str(self.solution.pk)):
                yield Place(name, f"{base}?q={text}")
            if row := model._default_manager.order_by("pk").first():
                yield Place(name, f"{base}{row.pk}/change/")
                yield Place(name, f"{base}{row.pk}/history/")
            yield Place(name, f"{base}add/")
        yield Place("admin:index", "/admin/")
        fields = (("membership", "user", "person"), ("membership", "project", "other"), ("goldanswer", "solution", "what"))
        for model_name, field, term in fields:
            asked = f"app_label=annotation&model_name={model_name}&field_name={field}&term={term}"
            yield Place("admin:autocomplete", f"/admin/autocomplete/?{asked}")


def words_of(address: str) -> str:
    """Write an address without the numbers in it, so that a failure reads the same in every run."""
    return re.sub(r"\d+", "N", address)
