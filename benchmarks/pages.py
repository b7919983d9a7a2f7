"""Figure: what every page costs in a large project, in multiples of `/keys/`, a page that reads almost nothing.

Makes one project with 1,200,000 solutions, 1,000,000 step labels, 200 members, 300 batches, 200 rounds and 40 model versions in a temporary
PostgreSQL, and serves it through gunicorn. The owner, who also administrates the site, opens every page that Django's resolver knows, each
with rows of this project, and a labeler opens those that the owner cannot. The search for solutions is opened with each filter, and the
administration with each list, its searches and forms. A page and `/keys/` alternate, and the median of each counts. A page that answers an
error of the server ends the run. `--small`: a tenth of all that; `--smoke`: the smallest form, which says nothing about speed.

`slowest_ratio`, also `ratio`: the median of the slowest page over that of `/keys/`. `pages`: milliseconds and ratio of each.
"""

import argparse
import contextlib
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks import selection, temporary_site

LIMIT = 10.0
TRIVIAL = "/keys/"
# Addresses of no project's page: the administration, which has its own list, signing in, files of models and exports, and experiments.
OTHER = re.compile(r"^/(admin|sign-in|sign-out|experiments|static|set-up|invitations)/|download|/files/|^/keys/|/reopen/")
# What a page shows with a query, beside the page without one.
QUERIES = {
    "labels/": ["finish=bad_problem", "by=member7"],
    "models/compare/": ["a=1&b=2"],
    "models/1/surprises/": [
        "kind=missed", "kind=alarm", "learned=unknown", "learned=held_out", "finish=found_error", "finish=solution", "subject=nothing",
        "generation=7", "batch=7", "after=1.0-600000", "kind=alarm&generation=7&finish=solution",
    ],
    "people/": ["words=member1", "role=labeler&state=active", "page=3"],
    "audit/": ["verb=withdraw"],
    "quality/calibration/": ["size=10"],
    "guidelines/versions/": ["a=1&b=2"],
    "batches/compose/": ["kind=practice&by=member1&size=30"],
    "find/": ["q=member1", "q=what", "q=29801", "q=round+7", "q=12", "q=an", "q=problem", "q=nowhere"],
    # Each filter with a value that most rows have, that few have, and that none has.
    "solutions/": [
        "words=what", "words=is+1777", "words=nowhere", "source=model+1", "source=rare", "source=nobody", "outcome=wrong",
        "outcome=correct", "outcome=unsure", "labels=yes", "labels=no", "by=member7", "by=owner", "differs=on", "withdrawn=yes",
        "withdrawn=no", "order=high", "order=low", "least=0.999", "least=0.4&most=0.5", "least=0.9999999&order=low",
        "differs=on&by=member7", "order=high&labels=yes", "words=is+1777&order=high", "source=rare&order=high",
        "outcome=correct&labels=yes&by=member7", "withdrawn=yes&labels=yes", "by=member7&order=high", "source=model+2&withdrawn=yes",
    ],
    # The API: filters, and pages far on in a list (the cursors stand for problem 29000, solution 900000 and annotation 60000).
    "api/v1/projects/large/solutions": [
        "limit=200", "cursor=MjkwMDAtMA", "source=rare", "source=nobody", "outcome=unsure", "withdrawn=yes", "split=test", "problem=29000",
    ],
    "api/v1/projects/large/problems": ["limit=200", "external_id=p1777", "split=test", "subject=nothing"],
    "api/v1/projects/large/annotations": ["limit=200", "cursor=NjAwMDA", "batch=7", "solution=29801"],
    "api/v1/projects/large/models/1/scores": ["limit=200", "cursor=OTAwMDAw", "solution=29801"],
}  # fmt: skip
FIGURES = {  # files that have names
    "/figures/": ("labels-a-day", "time-per-solution"),
    "/quality/figures/": ("over-time", "batches", "people", "level", "subject", "score", "review", "guidelines"),
}
ADMINISTRATION = {
    "auth/user": ["member7", "last11"],
    "annotation/project": ["large"],
    "annotation/membership": ["member7", "large"],
    "annotation/batch": ["large", "17"],
    "annotation/problem": ["p1777", "what is 1777", "what", "nowhere", "1777"],
    "annotation/solution": ["29801", "p1777", "what is 1777", "what", "nowhere"],
    "annotation/task": ["29801", "p1777", "what is 1777", "nowhere"],
    "annotation/assignment": ["29801", "member7", "p1777", "what is 1777", "nowhere"],
    "annotation/annotation": ["29801", "member7", "p1777", "what is 1777", "nowhere", "00000000-0000-4000-8000-000000000000"],
    "annotation/steplabel": ["29801", "p1777", "what is 1777", "nowhere"],
    "annotation/goldanswer": ["29801", "nowhere"],
    "annotation/snapshot": ["large"],
    "annotation/event": ["withdraw", "solution 17", "owner", "nothing"],
}


@dataclass(frozen=True)
class Size:
    """How much of everything there is."""

    problems: int
    each: int  # solutions of a problem
    annotations: int
    steps: int  # labels of an annotation
    members: int
    batches: int
    rounds: int
    versions: int
    repeats: int


SIZES = {
    "full": Size(20_000, 60, 200_000, 5, 200, 300, 200, 40, 9),
    "small": Size(2_000, 60, 20_000, 5, 200, 300, 200, 40, 9),
    "smoke": Size(40, 5, 60, 3, 5, 3, 3, 2, 0),  # the first answer of each page counts
}

# Rows as the stages write them, made in sets: through the functions of the labeling page they would take hours.
PEOPLE = """
WITH people AS (
    INSERT INTO auth_user (username, first_name, last_name, email, password, is_active, is_staff, is_superuser, date_joined)
    SELECT 'member' || n, 'First' || n, 'Last' || n, '', '!', true, false, false, now() FROM generate_series(1, %(members)s) n
    RETURNING id)
INSERT INTO annotation_membership (project_id, user_id, role, export_uuid, qualified_at, reason)
SELECT %(project)s, id, 'labeler', gen_random_uuid(), now(), '' FROM people
"""
BATCHES = """
INSERT INTO annotation_batch (project_id, generation, kind, state, created_at, closed_at)
SELECT %(project)s, n, 'selected', CASE WHEN n > %(batches)s - 3 THEN 'open' ELSE 'closed' END,
       now() - (%(batches)s - n) * interval '6 hours', CASE WHEN n > %(batches)s - 3 THEN NULL ELSE now() END
  FROM generate_series(1, %(batches)s) n
"""
# Every batch has its share of the annotated solutions; the open ones have as many tasks again that wait.
TASKS = """
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap, premise)
SELECT b.id, n.id, 'normal', 0, 1, ''
  FROM (SELECT s.id, row_number() OVER (ORDER BY s.id) - 1 AS place FROM annotation_solution s LIMIT %(tasks)s) n
  JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM annotation_batch WHERE project_id = %(project)s) b
    ON b.place = n.place %% %(batches)s
"""
ASSIGNMENTS = """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token, leased_at, lease_expires_at)
SELECT t.id, 0, t.batch_id, 0, CASE WHEN t.place <= %(annotations)s THEN 'done' ELSE 'open' END,
       CASE WHEN t.place <= %(annotations)s THEN p.user_id END, 1, NULL, NULL
  FROM (SELECT t.id, t.batch_id, row_number() OVER (ORDER BY t.id) AS place FROM annotation_task t) t
  JOIN (SELECT user_id, row_number() OVER (ORDER BY id) - 1 AS place FROM annotation_membership WHERE role = 'labeler') p
    ON p.place = t.place %% %(members)s
"""
ANNOTATIONS = """
INSERT INTO annotation_annotation
    (assignment_id, labeler_id, solution_id, revision, finish_reason, reason, active_ms, total_ms, submission_id, body_hash, created_at)
SELECT a.id, a.labeler_id, t.solution_id, 1, CASE WHEN a.id %% 3 = 0 THEN 'solution' ELSE 'found_error' END, '',
       60000 + a.id %% 60000, 90000, gen_random_uuid(), '\\x00', now() - (%(annotations)s
       - row_number() OVER (ORDER BY a.id)) * interval '1 minute'
  FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id WHERE a.state = 'done'
"""
LABELS = """
INSERT INTO annotation_steplabel (annotation_id, step_index, position, rating, flagged, rated_ms, chosen)
SELECT a.id, step, 0, CASE WHEN step = %(steps)s - 1 AND a.finish_reason = 'found_error' THEN -1 ELSE 1 END, false, 900, false
  FROM annotation_annotation a CROSS JOIN generate_series(0, %(steps)s - 1) step
"""
# One solution in twenty has a second reader, who often stops at another step. Half of the labels know their version of the guidelines.
SECOND = """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token)
SELECT s.task_id, 1, s.batch_id, 0, 'done', (SELECT min(user_id) FROM annotation_membership m WHERE m.role = 'labeler'
           AND m.user_id > s.labeler_id - 7 AND m.user_id <> s.labeler_id), 1
  FROM annotation_assignment s WHERE s.state = 'done' AND s.task_id %% 20 = 0
"""
VERSIONS = "UPDATE annotation_annotation SET guidelines_version = 1 + (id %% 2) WHERE id %% 4 < 2"
# A calibration set that everybody has answered.
SET = """
INSERT INTO annotation_batch (project_id, generation, kind, state, created_at) VALUES (%(project)s, 0, 'calibration', 'open', now())
"""
SET_TASKS = """
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap, premise)
SELECT b.id, n.id, 'normal', 0, 1, '' FROM annotation_batch b, (SELECT id FROM annotation_solution ORDER BY id DESC LIMIT 10) n
 WHERE b.kind = 'calibration'
"""
SET_ASSIGNMENTS = """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token)
SELECT t.id, NULL, b.id, 0, 'done', m.user_id, 1 FROM annotation_batch b JOIN annotation_task t ON t.batch_id = b.id
  JOIN annotation_membership m ON m.project_id = b.project_id AND m.role = 'labeler' WHERE b.kind = 'calibration'
"""
# A screening, and 50 newcomers who have answered all of it.
NEWCOMERS = """
WITH people AS (
    INSERT INTO auth_user (username, first_name, last_name, email, password, is_active, is_staff, is_superuser, date_joined)
    SELECT 'newcomer' || n, '', '', '', '!', true, false, false, now() FROM generate_series(1, 50) n RETURNING id)
INSERT INTO annotation_membership (project_id, user_id, role, export_uuid, reason)
SELECT %(project)s, id, 'labeler', gen_random_uuid(), '' FROM people
"""
SCREENING = """
INSERT INTO annotation_batch (project_id, generation, kind, state, created_at) VALUES (%(project)s, -1, 'screening', 'open', now())
"""
QUESTIONS = """
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap, premise)
SELECT b.id, n.id, 'normal', 0, 1, ''
  FROM annotation_batch b, (SELECT id FROM annotation_solution WHERE withdrawn_at IS NULL ORDER BY id DESC LIMIT 20 OFFSET 10) n
 WHERE b.kind = 'screening'
"""
ANSWERED = """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token)
SELECT t.id, NULL, b.id, 0, 'done', m.user_id, 1 FROM annotation_batch b JOIN annotation_task t ON t.batch_id = b.id
  JOIN annotation_membership m ON m.project_id = b.project_id AND m.qualified_at IS NULL AND m.role = 'labeler' WHERE b.kind = 'screening'
"""
GOLD_OF_QUESTIONS = """
INSERT INTO annotation_goldanswer (solution_id, acceptable_first_errors, note)
SELECT t.solution_id, '{1}', 'Look at the second step.' FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id
 WHERE b.kind = 'screening' AND NOT EXISTS (SELECT 1 FROM annotation_goldanswer g WHERE g.solution_id = t.solution_id)
"""
SCREENED = (NEWCOMERS, SCREENING, QUESTIONS, ANSWERED, GOLD_OF_QUESTIONS)
MORE_ANNOTATIONS = ANNOTATIONS.replace(
    "WHERE a.state = 'done'",
    """WHERE a.state = 'done'
   AND NOT EXISTS (SELECT 1 FROM annotation_annotation n WHERE n.assignment_id = a.id)""",
)
MORE_LABELS = """
INSERT INTO annotation_steplabel (annotation_id, step_index, position, rating, flagged, rated_ms, chosen)
SELECT a.id, step, 0, CASE WHEN step = a.id %% %(steps)s AND a.finish_reason = 'found_error' THEN -1 ELSE 1 END, false, 900, false
  FROM annotation_annotation a CROSS JOIN LATERAL generate_series(0, CASE WHEN a.finish_reason = 'found_error' THEN a.id %% %(steps)s
         ELSE %(steps)s - 1 END) step
 WHERE NOT EXISTS (SELECT 1 FROM annotation_steplabel l WHERE l.annotation_id = a.id)
"""
REMARKS = """
INSERT INTO annotation_remark (task_id, author_id, text, created_at)
SELECT t.id, %(owner)s, 'Look at step ' || n, now() FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id
 CROSS JOIN generate_series(1, 5) n WHERE b.kind = 'calibration'
"""
MESSAGES = """
INSERT INTO annotation_message (project_id, recipient_id, sender_id, text, created_at)
SELECT %(project)s, m.user_id, %(owner)s, 'Look at step ' || n, now() - n * interval '1 hour'
  FROM annotation_membership m CROSS JOIN generate_series(1, 10) n WHERE m.project_id = %(project)s
"""
EVENTS = """
INSERT INTO annotation_event (at, actor_id, project_id, verb, subject, details)
SELECT now() - n * interval '1 minute', %(owner)s, %(project)s, 'withdraw', 'solution ' || n, '{}'
  FROM generate_series(1, %(annotations)s / 4) n
"""
SNAPSHOTS = """
INSERT INTO annotation_snapshot (project_id, number, spec, file, sha256, count, created_at)
SELECT %(project)s, n, '{}', '', repeat('a', 64), n, now() FROM generate_series(1, 300) n
"""
RARE = """
UPDATE annotation_solution SET source = 'rare' WHERE id IN (SELECT id FROM annotation_solution ORDER BY id LIMIT 20)
"""
WITHDRAWN = """
UPDATE annotation_solution SET withdrawn_at = now()
 WHERE id IN (SELECT solution_id FROM annotation_task WHERE id %% 1000 = 0 UNION SELECT id FROM annotation_solution WHERE id %% 5000 = 7)
"""
GOLD = """
INSERT INTO annotation_goldanswer (solution_id, acceptable_first_errors, note)
SELECT solution_id, '{1}', 'Look at the second step.' FROM annotation_task WHERE id %% 500 = 1
"""
OPINIONS = """
INSERT INTO annotation_moreopinions (task_id, batch_id, place, why, value, threshold, details)
SELECT id, batch_id, 2, 'model', 0.93, 0.8, '{"marks": [1], "judge": "PRM 1", "sees": null}' FROM annotation_task WHERE id %% 7 = 0
"""
# `replica` leaves triggers out, and one of them lists the annotations of each project.
LISTED = """
INSERT INTO annotation_listedannotation (project_id, annotation_id)
SELECT b.project_id, a.id
  FROM annotation_annotation a JOIN annotation_assignment s ON s.id = a.assignment_id JOIN annotation_batch b ON b.id = s.batch_id
"""
VACUUM = (
    "annotation_task", "annotation_assignment", "annotation_annotation", "annotation_steplabel", "annotation_message", "annotation_event",
    "annotation_batch", "annotation_membership", "annotation_solution", "annotation_listedannotation",
    "auth_user", "active_learning_selection", "active_learning_round",
)  # fmt: skip


def fill(home: Path, size: Size) -> tuple[Any, Any]:
    """Make the project; return it and its owner."""
    from django.contrib.auth.models import User
    from django.db import connection, transaction

    from active_learning import opinions, surprises
    from annotation import projects, quality
    from annotation.models import Annotation, Project, Solution

    owner = User.objects.create_superuser("owner")
    project = projects.create_project("large", name="Large", owners=["owner"])
    selection.fill(project, first=1, last=size.problems, each=size.each, source="model")
    values = {
        "project": project.pk,
        "owner": owner.pk,
        "members": size.members,
        "batches": size.batches,
        "annotations": size.annotations,
        "tasks": size.annotations + size.annotations // 10,
        "steps": size.steps,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # saves millions of look-ups of foreign keys that hold
        for statement in (
            PEOPLE,
            BATCHES,
            TASKS,
            ASSIGNMENTS,
            ANNOTATIONS,
            LABELS,
            MESSAGES,
            EVENTS,
            SNAPSHOTS,
            RARE,
            WITHDRAWN,
            GOLD,
            OPINIONS,
        ):
            cursor.execute(statement, values)
    with connection.cursor() as cursor:
        cursor.execute(selection.CHANCE)
    version = selection.scored(project, home / "scores" / "rows")
    selection.load(version, home / "scores" / "rows")
    run_rounds(project, version, size)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in (SECOND, SET, SET_TASKS, SET_ASSIGNMENTS, *SCREENED, MORE_ANNOTATIONS, MORE_LABELS, REMARKS, VERSIONS, LISTED):
            cursor.execute(statement, values)
    projects.change_settings(project, {"guidelines": "Rate all lines."}, version=projects.version_of(project), actor=owner)
    thresholds = {"redundancy_limit": 3, "redundancy_model": 0.8, "redundancy_gold": 0.75, "redundancy_spread": 1.0}
    Project.objects.filter(pk=project.pk).update(**thresholds)
    opinions.count_month(project.pk)
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {', '.join(VACUUM)}")
    assert Solution.objects.count() == size.problems * size.each and Annotation.objects.count() > size.annotations
    quality.count_agreement(project)  # a worker does it, as the next one
    quality.settle(project)
    surprises.find_again(version.pk)  # likewise
    return project, owner


def run_rounds(project: Any, version: Any, size: Size) -> None:
    """Give the project its rounds, each with the tasks of its batch as its selection, and older model versions."""
    from active_learning.models import ModelVersion, Round, RoundStage, Selection, StepScores
    from active_learning.rounds.plan import RoundPlan, recipe_for
    from annotation.models import Batch, Task

    metrics = {"step_auc": 0.81, "log_loss": 0.41, "base_rate_log_loss": 0.53, "first_mistake": {"f1": 0.43}}
    ModelVersion.objects.filter(pk=version.pk).update(metrics=metrics, ready_at="2026-01-01T00:00Z")
    ModelVersion.objects.bulk_create(
        ModelVersion(project=project, number=number, base="tiny", state="ready", sha256="0", metrics=metrics, ready_at="2026-01-01T00:00Z")
        for number in range(2, size.versions + 1)
    )
    plan = RoundPlan(recipe_for(project, strategy="convincing", size=100)).as_dict()
    for batch in Batch.objects.filter(project=project).order_by("-pk")[: size.rounds]:
        round_ = Round.objects.create(
            project=project,
            generation=batch.generation or 0,
            strategy="convincing",
            state="published",
            plan=plan,
            batch=batch,
            model_version=version,
        )
        RoundStage.objects.bulk_create(RoundStage(round=round_, name=name, attempt=1) for name in ("train", "judge", "score", "select"))
        solutions = Task.objects.filter(batch=batch).order_by("pk").values_list("solution_id", flat=True)[:100]
        Selection.objects.bulk_create(
            Selection(round=round_, solution_id=solution, rank=rank, part="convincing", score=0.9, step_scores=[0.9], reason="convincing")
            for rank, solution in enumerate(solutions, 1)
        )
    chosen = list(Selection.objects.order_by("pk").values_list("solution_id", flat=True))
    for solution in {*chosen[:200], chosen[-1]}:  # the last is the one whose pages are opened
        for scorer in ModelVersion.objects.filter(project=project, number__lte=2):
            StepScores.objects.create(model_version=scorer, solution_id=solution, probabilities=[[0.1, 0.1, 0.8]], held_out=True)


def webhook_with_a_log(project: Any) -> int:
    """Make a webhook with 300 deliveries of seven tries each, and return its number."""
    from annotation.models import Webhook, WebhookDelivery, WebhookEvent, WebhookTry

    made = Webhook.objects.create(project=project, address="https://hooks.example.org/", kinds=["round.done"], nonce=b"n", mark=b"m")
    events = [WebhookEvent(project=project, kind="round.done", occasion=f"benchmark {n}", body="{}") for n in range(300)]
    deliveries = WebhookDelivery.objects.bulk_create(
        WebhookDelivery(webhook=made, event=event, attempt=7) for event in WebhookEvent.objects.bulk_create(events)
    )
    tries = [WebhookTry(delivery=one, number=n, status=500, duration_ms=9, answer="x" * 500) for one in deliveries for n in range(1, 8)]
    WebhookTry.objects.bulk_create(tries)
    return made.pk


def addresses(project: Any) -> Iterator[str]:
    """Yield the address of every page of the site that a GET opens, filled with rows of the project, and those of the administration."""
    from django.urls import URLPattern, URLResolver, get_resolver

    from active_learning.models import Round, Selection
    from annotation.models import Annotation, Assignment, Batch, DataOrder, GoldAnswer, Import, Membership, Problem, Snapshot

    solution = Selection.objects.latest("pk").solution_id
    GoldAnswer.objects.get_or_create(solution_id=solution)
    import_ = Import.objects.create(project=project, name="a.jsonl", path="", size=1, sha256="", state="cancelled")
    snapshot = Snapshot.objects.get(project=project, number=1)
    round_ = Round.objects.latest("pk")
    places = {
        "slug": project.slug,
        "problem_id": Problem.objects.latest("pk").pk,
        "annotation_id": Annotation.objects.latest("pk").pk,
        "assignment_id": Assignment.objects.latest("pk").pk,
        "round_id": round_.pk,
        "round_number": round_.number,
        "batch_id": Batch.objects.filter(kind="selected").latest("pk").pk,
        "set_id": Batch.objects.filter(kind="calibration").latest("pk").pk,
        "membership_id": Membership.objects.filter(qualified_at__isnull=False).latest("pk").pk,
        "import_id": import_.pk,
        "order_id": DataOrder.objects.create(project=project, snapshot=snapshot, format="trl", state="done").pk,
        "invitation_id": 1,  # only its withdrawal has an address, which is for POST
        "flag_id": 1,  # likewise: only decisions about it have one
        "solution_id": solution,
        "number": 1,
        "act": "cancel",
        "webhook_number": webhook_with_a_log(project),
        "delivery_number": 1,  # only its sending again has an address, which is for POST
    }

    def written(patterns: Sequence[URLPattern | URLResolver], before: str) -> Iterator[str]:
        for pattern in patterns:
            path = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from written(pattern.url_patterns, path)
            elif path.endswith("figures/<slug:name>.csv"):
                files = FIGURES["/quality/figures/" if "/quality/" in path else "/figures/"]
                yield from (path.replace("<slug:name>", name) for name in files)
            else:
                yield path

    for path in written(get_resolver().url_patterns, "/"):
        if OTHER.search(path):
            continue
        names = re.findall(r"<(?:\w+:)?(\w+)>", path)
        if missing := [name for name in names if name not in places]:
            if path.startswith("/p/"):
                sys.exit(f"The address {path} has a new parameter: {', '.join(missing)}. Add it to `addresses` of benchmarks/pages.py.")
            continue
        address = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(places[found[1]]), path)
        yield address
        if path.endswith("<int:solution_id>/models/"):
            yield f"{address}?a=2&b=1"
        for query in QUERIES.get(address.removeprefix(f"/p/{project.slug}/").removeprefix("/"), ()):
            yield f"{address}?{query}"
    yield from administration(project, solution)


def administration(project: Any, solution: int) -> Iterator[str]:
    """Yield the lists of the administration, each with its searches, and its forms."""
    yield "/admin/"
    for table, texts in ADMINISTRATION.items():
        yield f"/admin/{table}/"
        for text in texts:
            yield f"/admin/{table}/?q={text.replace(' ', '+')}"
    yield "/admin/annotation/solution/?outcome__exact=unsure"
    yield "/admin/annotation/annotation/?finish_reason__exact=give_up"
    yield f"/admin/annotation/project/{project.pk}/change/"
    yield f"/admin/annotation/solution/{solution}/change/"
    yield f"/admin/annotation/membership/?project__id__exact={project.pk}"
    yield f"/admin/annotation/membership/add/?project={project.pk}"
    chosen = (("membership", "user", "member"), ("goldanswer", "solution", "what"), ("goldanswer", "solution", "29801"))
    for model, field, term in chosen:
        yield f"/admin/autocomplete/?app_label=annotation&model_name={model}&field_name={field}&term={term}"


def signed_in(site: temporary_site.Site, link: str) -> httpx.Client:
    client = httpx.Client(base_url=site.address, timeout=300, trust_env=False)
    client.post("/sign-in/link/", data=temporary_site.link_form(client.get(link).text), follow_redirects=True)
    return client


def seconds(client: httpx.Client, address: str) -> tuple[int, float]:
    started = time.perf_counter()
    answer = client.get(address)
    return answer.status_code, time.perf_counter() - started


def measure(site: temporary_site.Site, project: Any, links: Sequence[str], repeats: int) -> dict[str, Any]:
    """Open every page in turn with `/keys/` between, as the first person who can; return the figures."""
    pages: dict[str, tuple[float, float]] = {}
    trivial: list[float] = []
    left_out: list[str] = []
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(signed_in(site, link))) for link in links]
        for address in addresses(project):
            answers = []
            for client in clients:
                status, first = seconds(client, address)
                answers.append(status)
                if status >= 500:
                    sys.exit(f"{address} answered {status}.")
                if status == 200:
                    break
            else:  # not for these people, only for POST, or a redirect to another page
                left_out.append(f"{answers[0]} {address}")
                continue
            print(f"{1000 * first:9.1f} ms at first {address}", file=sys.stderr, flush=True)
            taken, own = ([], []) if repeats else ([first], [seconds(client, TRIVIAL)[1]])
            for _ in range(repeats if first < 2 else min(3, repeats)):
                taken.append(seconds(client, address)[1])
                own.append(seconds(client, TRIVIAL)[1])
            pages[address] = (statistics.median(taken), statistics.median(own))
            trivial += own
    base = statistics.median(trivial)
    figures = {path: {"ms": round(1000 * took, 1), "ratio": round(took / own, 2)} for path, (took, own) in pages.items()}
    slowest = max(figures, key=lambda path: figures[path]["ratio"])
    return {
        "ratio": figures[slowest]["ratio"],
        "slowest_ratio": figures[slowest]["ratio"],
        "slowest_ms": figures[slowest]["ms"],
        "slowest_page": slowest,
        "limit": LIMIT,
        "above_limit": sorted(path for path, figure in figures.items() if figure["ratio"] > LIMIT),
        "trivial_ms": round(1000 * base, 2),
        "pages": dict(sorted(figures.items(), key=lambda item: -item[1]["ratio"])),
        "left_out": left_out,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench pages", description="Measure every page in a large project.")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--small", action="store_true", help="a tenth of the rows")
    form.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    options = parser.parse_args()
    name = "smoke" if options.smoke else "small" if options.small else "full"
    size = SIZES[name]
    with temporary_site.running_home() as home:
        started = time.perf_counter()
        project, owner = fill(home, size)
        print(f"made in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        from django.contrib.auth.models import User

        from annotation import people

        links = [people.link_to_sign_in(person) for person in (owner, User.objects.get(username="member1"))]
        with temporary_site.serving(home) as site:
            figures = measure(site, project, links, size.repeats)
    rows = {"solutions": size.problems * size.each, "step_labels": size.annotations * size.steps}
    print(json.dumps({**figures, "form": name, **rows, "members": size.members, "batches": size.batches}))


if __name__ == "__main__":
    main()
