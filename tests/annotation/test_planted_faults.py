"""The check of `script/bench faults` sees planted faults (harness A2 of docs/reliability.md).

Each test runs a scenario with the people, the journal and the check of benchmarks/traffic, twice: as the code is, and with a fault planted
in a statement, a function or the schema. The first run must find nothing, and the second one the finding that belongs to the fault.
synchronous_commit off needs a server that is killed: benchmarks/faults.py plants it in each run.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.utils.timezone import timedelta

from annotation import labels, queue
from annotation.labels import sittings
from annotation.models import Annotation, Assignment, Project, Task
from annotation.queue import batches, leases
from benchmarks.traffic import checking, history
from benchmarks.traffic.journal import Journal
from benchmarks.traffic.people import Person, Reply
from tests import make
from tests.clients import signed_in
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.django_db(transaction=True)
Plant = Callable[[pytest.MonkeyPatch], None]
"""Plants a fault."""


class InProcess:
    """A person's connection without HTTP: Django's test client."""

    broken: tuple[type[BaseException], ...] = ()

    def __init__(self, client: Client) -> None:
        self.client = client
        client.raise_request_exception = False  # an error is an answer 500, as over HTTP

    def ask(self, path: str, *, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        json = "application/json"
        answer = self.client.get(path) if content is None else self.client.post(path, content, content_type=json)
        return Reply(answer.status_code, answer.content.decode(), {name.lower(): value for name, value in answer.headers.items()})

    def hang_up(self, path: str, *, content: bytes, headers: Mapping[str, str]) -> None:
        self.ask(path, content=content, headers=headers)


class Scene:
    """A project with its people, whose journal is checked at the end."""

    def __init__(self, *, overlap: int, solutions: int = 1) -> None:
        self.project = make.project("people", overlap=overlap)
        self.journal = Journal()
        self.people = {name: self._person(name) for name in ("ann", "ben", "cleo")}
        make.batch(self.project, make.solutions(self.project, solutions))

    def _person(self, name: str) -> Person:
        return Person(name, "people", InProcess(signed_in(make.person(name, self.project))), self.journal, patience=1)

    def tab(self, name: str) -> Person:
        """Another tab of the same person."""
        return self._person(name)


@pytest.fixture(autouse=True)
def noted() -> Iterator[None]:
    """Write the history of the assignments meanwhile."""
    history.begin()
    yield
    history.end()


def run_out(assignment: int) -> None:
    """Let a lease run out, and offer the assignment to others."""
    Assignment.objects.filter(pk=assignment).update(lease_expires_at=Now() - timedelta(minutes=10))
    assert queue.release_expired() == 1


def at_once(*acts: Callable[[], object], while_locked: Assignment | None = None) -> None:
    """Do all acts, each in a thread of its own. `while_locked`: this row is locked until all of them wait, or have ended."""
    failures: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]

    with transaction.atomic():
        if while_locked:
            Assignment.objects.select_for_update().get(pk=while_locked.pk)
        for thread in threads:
            thread.start()
        if while_locked:
            until(lambda: make.n_waiting() >= sum(thread.is_alive() for thread in threads), what="all acts wait or have ended")
    for thread in threads:
        thread.join(PATIENCE)
    assert not failures, failures


# --- scenarios ------------------------------------------------------------------------------------------------------------------


def submit(person: Person, **how: bool) -> bool:
    return person.submit(person.body_of(person.rate()), **how)


def two_people_label(scene: Scene) -> None:
    for name in ("ann", "ben"):
        if scene.people[name].open():
            submit(scene.people[name])


def three_people_label_a_task_for_two(scene: Scene) -> None:
    for person in scene.people.values():
        if person.open():
            submit(person)


def one_person_labels_all(scene: Scene) -> None:
    ann = scene.people["ann"]
    while ann.open():
        submit(ann)


def a_submit_from_an_earlier_claim(scene: Scene) -> None:
    """The lease runs out, another person takes the assignment and gives it back, and the first one has it again."""
    old, ben = scene.people["ann"], scene.people["ben"]
    work = old.open()
    assert work
    run_out(work.assignment)
    taken = ben.open()
    assert taken and taken.assignment == work.assignment
    run_out(work.assignment)
    again = scene.tab("ann").open()
    assert again and again.assignment == work.assignment
    submit(old)


def a_submit_of_a_stolen_assignment(scene: Scene) -> None:
    """The lease runs out, another person takes the assignment, and both submit."""
    ann, ben = scene.people["ann"], scene.people["ben"]
    work = ann.open()
    assert work
    run_out(work.assignment)
    assert ben.open()
    submit(ann)
    submit(ben)


def two_people_open_the_page_at_once(scene: Scene) -> None:
    ann, ben = scene.people["ann"], scene.people["ben"]
    at_once(ann.open, ben.open, while_locked=Assignment.objects.first())
    for person in (ann, ben):
        if person.work:
            submit(person)


def a_submit_whose_answer_is_lost(scene: Scene) -> None:
    ann = scene.people["ann"]
    ann.open()
    submit(ann, cut=True)


def a_lost_answer_and_other_ratings(scene: Scene) -> None:
    """The answer is lost. The person changes a rating, and a page with a fault sends it under the same id."""
    ann = scene.people["ann"]
    ann.open()
    submit(ann, other=True)


def drafts_in_the_wrong_order(scene: Scene) -> None:
    ann = scene.people["ann"]
    work = ann.open()
    assert work
    ratings = ann.rate()
    ann.draft(ratings)
    ann.draft([one | {"rating": 1} for one in ratings])
    ann.draft(ratings[:1], revision=work.revision - 1)


def a_skip_and_a_label(scene: Scene) -> None:
    ann, ben = scene.people["ann"], scene.people["ben"]
    assert ann.open()
    ann.skip()
    if ben.open():
        submit(ben)


def a_solution_is_withdrawn_before_the_submit(scene: Scene) -> None:
    ann = scene.people["ann"]
    assert ann.open()
    queue.withdraw(scene.project.problem_set.get().solution_set.all(), actor=None)
    submit(ann)


# --- faults ---------------------------------------------------------------------------------------------------------------------


def without(*constraints: str) -> None:
    """Drop constraints, or indexes that serve as one. The fixture `schema` brings them back."""
    with connection.cursor() as cursor:
        for name in constraints:
            cursor.execute("SELECT conrelid::regclass FROM pg_constraint WHERE conname = %s", [name])
            if row := cursor.fetchone():
                cursor.execute(f"ALTER TABLE {row[0]} DROP CONSTRAINT {name}")
            else:
                cursor.execute(f"DROP INDEX {name}")


@contextmanager
def schema_kept() -> Iterator[None]:
    """Bring back every constraint and index that the block dropped; the rows that break them are gone first."""
    query = (
        "SELECT c.conname, format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)) "
        "FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid WHERE r.relname ~ '^annotation_' AND c.contype = 'u' "
        "UNION ALL SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.tablename ~ '^annotation_' "
        "AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = i.indexname)"
    )

    def definitions() -> dict[str, str]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return dict(cursor.fetchall())

    before = definitions()
    try:
        yield
    finally:
        missing = before.keys() - definitions().keys()
        if missing:
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE annotation_annotation, annotation_assignment CASCADE")
                for name in missing:
                    cursor.execute(before[name])


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Return a statement with parts replaced; each part must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def no_unique_slot(patch: pytest.MonkeyPatch) -> None:
    """A batch whose publishing is tried again gets each place twice."""
    without("assignment_slot_once")
    places = "generate_series(0, t.overlap - 1) AS slot"
    twice = f"(SELECT slot FROM {places}, generate_series(1, 2)) AS twice"
    patch.setattr(batches, "MAKE_ASSIGNMENTS", replaced(batches.MAKE_ASSIGNMENTS, (places, twice)))


def no_unique_labeler(patch: pytest.MonkeyPatch) -> None:
    """A person gets the second place of a task, too."""
    without("assignment_labeler_once")
    statement = leases.NEXT_ASSIGNMENT
    for check in (r"annotation_assignment o.*?OFFSET 0\)", r"annotation_task p.*?OFFSET 0\) OFFSET 0\)"):  # this task, and this solution
        statement, count = re.subn(rf"AND NOT EXISTS \(SELECT 1 FROM {check}", "", statement, flags=re.S)
        assert count == 1
    patch.setattr(leases, "NEXT_ASSIGNMENT", statement)


def no_token(patch: pytest.MonkeyPatch) -> None:
    named = "WHERE s.id = %(assignment)s"
    patch.setattr(sittings, "SUBMIT", replaced(sittings.SUBMIT, (f"{named} AND s.token = %(token)s", named)))


def no_fence(patch: pytest.MonkeyPatch) -> None:
    """Neither token nor holder decide whether a submit counts."""
    fenced = re.search(r"WHERE s\.id = %\(assignment\)s AND s\.token.*?s\.lapsed_id = %\(labeler\)s\)", sittings.SUBMIT, re.S)
    assert fenced
    patch.setattr(sittings, "SUBMIT", sittings.SUBMIT.replace(fenced[0], "WHERE s.id = %(assignment)s"))


def no_skip_locked(patch: pytest.MonkeyPatch) -> None:
    """The claim is `IN (SELECT .. LIMIT 1)` without a lock: two people can choose one row."""
    changes = (
        ("WHERE id = (SELECT id FROM next)", "WHERE id IN (SELECT id FROM next)"),
        ("FOR UPDATE OF s SKIP LOCKED", ""),
    )
    patch.setattr(leases, "NEXT_ASSIGNMENT", replaced(leases.NEXT_ASSIGNMENT, *changes))


def a_counter(patch: pytest.MonkeyPatch) -> None:
    """Planted: the overlap is checked by counting labels. Everybody who comes while there are too few labels gets the task."""
    without("assignment_slot_once")
    claim = leases._claim

    def count(labeler: Any, *, project: Project, **options: Any) -> Any:
        for task in Task.objects.filter(batch__project=project):
            own = Assignment.objects.filter(task=task, labeler=labeler).exists()
            if not own and Annotation.objects.filter(assignment__task=task).count() < task.overlap:
                Assignment.objects.create(task=task, batch=task.batch, slot=0, priority=1000)
                break
        return claim(labeler, project=project, **options)

    patch.setattr(leases, "_claim", count)


def no_idempotency(patch: pytest.MonkeyPatch) -> None:
    """A submit that is sent again is not recognized."""
    patch.setattr(sittings, "stored_before", lambda submission_id, **_: None)


def no_idempotency_and_no_fence(patch: pytest.MonkeyPatch) -> None:
    """A submit that is sent again is stored again."""
    without("annotation_annotation_submission_id_key", "annotation_revision_once")
    no_fence(patch)


def no_hash(patch: pytest.MonkeyPatch) -> None:
    """A submit that is sent again is acknowledged without a look at its ratings."""
    patch.setattr(sittings, "stored_before", lambda submission_id, **_: Annotation.objects.filter(submission_id=submission_id).first())


def the_last_one_wins(patch: pytest.MonkeyPatch) -> None:
    """A draft of an older revision replaces a newer one."""
    patch.setattr(sittings, "KEEP_DRAFT", replaced(sittings.KEEP_DRAFT, ("OR d.revision < %(revision)s::int", "OR true")))


def an_answer_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The answer is sent, and then the transaction does not come through."""
    store = sittings._store

    def lose(*values: Any, **options: Any) -> Annotation:
        with transaction.atomic():
            stored = store(*values, **options)
            transaction.set_rollback(True)
        return stored

    patch.setattr(sittings, "_store", lose)


def half_the_labels(patch: pytest.MonkeyPatch) -> None:
    """The labels are written after the annotation, and not all of them come through."""
    sent = "jsonb_to_recordset(%(labels)s::jsonb"
    patch.setattr(sittings, "SUBMIT", replaced(sittings.SUBMIT, (f"{sent})", f"{sent} - 0)")))


def no_successor(patch: pytest.MonkeyPatch) -> None:
    """A skip opens no other place."""
    patch.setattr(sittings, "SUCCESSOR", replaced(sittings.SUCCESSOR, ("s.slot IS NOT NULL", "false")))


def a_claim_that_is_shown_before_it_is_stored(patch: pytest.MonkeyPatch) -> None:
    take = leases._take

    def lose(*values: Any, **options: Any) -> Any:
        with transaction.atomic():
            lease = take(*values, **options)
            transaction.set_rollback(True)
        return lease

    patch.setattr(leases, "_take", lose)


def a_withdrawn_submit_that_says_stored(patch: pytest.MonkeyPatch) -> None:
    """The page is told that all is well, because the solution is withdrawn anyway."""
    submit_ = labels.submit

    def agree(assignment_id: int, **options: Any) -> Annotation:
        try:
            return submit_(assignment_id, **options)
        except queue.Withdrawn:
            return Annotation(assignment_id=assignment_id)

    patch.setattr(labels, "submit", agree)


CASES: list[tuple[Plant, Callable[[Scene], None], int, str]] = [  # fault, scenario, overlap, finding
    (no_unique_slot, three_people_label_a_task_for_two, 2, "over_overlap"),
    (no_unique_labeler, one_person_labels_all, 2, "twice"),
    (no_token, a_submit_from_an_earlier_claim, 1, "stale"),
    (no_fence, a_submit_of_a_stolen_assignment, 1, "stale"),
    (no_skip_locked, two_people_open_the_page_at_once, 1, "overlapping_leases"),
    (a_counter, two_people_label, 1, "over_overlap"),
    (no_idempotency, a_submit_whose_answer_is_lost, 1, "stored_but_refused"),
    (no_idempotency_and_no_fence, a_submit_whose_answer_is_lost, 1, "twice"),
    (no_hash, a_lost_answer_and_other_ratings, 1, "wrong_answers"),
    (the_last_one_wins, drafts_in_the_wrong_order, 1, "drafts_lost"),
    (an_answer_before_the_commit, two_people_label, 2, "lost"),
    (half_the_labels, two_people_label, 2, "changed"),
    (no_successor, a_skip_and_a_label, 1, "under_overlap"),
    (a_claim_that_is_shown_before_it_is_stored, two_people_label, 2, "shown_but_not_held"),
    (a_withdrawn_submit_that_says_stored, a_solution_is_withdrawn_before_the_submit, 1, "lost"),
]


@pytest.mark.parametrize(("plant", "scenario", "overlap", "finding"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_planted_fault_is_found(
    plant: Plant, scenario: Callable[[Scene], None], overlap: int, finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with schema_kept():
        plant(monkeypatch)
        scene = Scene(overlap=overlap)
        scenario(scene)
        assert checking.check(scene.journal)[finding]


@pytest.mark.parametrize(
    ("scenario", "overlap"), sorted({case[1:3] for case in CASES}, key=str), ids=lambda value: getattr(value, "__name__", value)
)
def test_without_a_fault_nothing_is_found(scenario: Callable[[Scene], None], overlap: int) -> None:
    scene = Scene(overlap=overlap)
    scenario(scene)
    assert {name: sentences for name, sentences in checking.check(scene.journal).items() if sentences} == {}
    assert scene.journal.moments  # somebody was told something
