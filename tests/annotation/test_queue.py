"""Stage queue: who gets what next."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from annotation import quality, queue
from annotation.models import Assignment, Batch, BatchKind, Event, GoldAnswer, Membership, Project, Solution, TaskKind
from annotation.queue import leases
from annotation.queue.statements import LABELER_STATE, NEXT_ASSIGNMENT
from tests import make
from tests.assignments import assignment_of, expire, finish, published

pytestmark = pytest.mark.django_db


# --- the next task ------------------------------------------------------------------------------------------------------


def test_a_lease_shows_the_problem_the_answer_and_the_steps() -> None:
    project = make.project()
    one = make.solution(make.problem(project, statement="What is 2 + 2?", answer="4"), ["Add.", "It is 4."])
    make.batch(project, [one], generation=3)
    lease = queue.lease_next(make.ann(project), project=project)
    assert (lease.solution_id, lease.problem, lease.reference_answer, lease.steps) == (one.pk, "What is 2 + 2?", "4", ["Add.", "It is 4."])
    assert (lease.token, lease.draft, lease.generation, lease.project) == (1, None, 3, project)


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_hidden_reference_answer_never_leaves_the_database(is_shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make.project(show_reference_answer=is_shown)
    make.batch(project, [make.solution(make.problem(project, answer="canary"))])
    read, row_of = [], leases._first
    monkeypatch.setattr(leases, "_first", lambda statement, **values: read.append(row_of(statement, **values)) or read[-1])
    lease = queue.lease_next(make.ann(project), project=project)
    again = queue.lease_next(make.ann(), project=project)
    assert lease.reference_answer == again.reference_answer == ("canary" if is_shown else None)
    assert any("canary" in row for row in read) == is_shown


def test_the_labelers_path_never_reads_gold() -> None:
    project = make.project(gold_percent=100)
    [gold] = make.solutions(project, 1)
    GoldAnswer.objects.create(solution=gold, acceptable_first_errors=[1])
    queue.open_batch(project, [queue.Chosen(gold.pk, kind=TaskKind.GOLD)])
    with CaptureQueriesContext(connection) as caught:
        assert queue.lease_next(make.ann(project), project=project).solution_id == gold.pk
    assert not any("goldanswer" in query["sql"] for query in caught.captured_queries)


def test_a_lease_lasts_as_long_as_the_project_says() -> None:
    project = make.project(lease_minutes=7)
    published(project, 1)
    held = assignment_of(queue.lease_next(make.ann(project), project=project))
    assert held.lease_expires_at - held.leased_at == timedelta(minutes=7)


def test_the_highest_priority_comes_first_whatever_was_stored_first() -> None:
    project = make.project()
    low, high = make.solutions(project, 2)
    queue.open_batch(project, [queue.Chosen(low.pk, priority=1), queue.Chosen(high.pk, priority=2)])
    assert queue.lease_next(make.ann(project), project=project).solution_id == high.pk


def test_the_oldest_generation_comes_first() -> None:
    project = make.project()
    published(project, 1, generation=5)
    [older] = published(project, 1, generation=2)
    assert queue.lease_next(make.ann(project), project=project).solution_id == older.pk


def test_a_batch_is_covered_once_before_anything_is_labeled_twice() -> None:
    project = make.project(overlap=2)
    published(project, 2)
    ann, ben = queue.lease_next(make.ann(project), project=project), queue.lease_next(make.ben(project), project=project)
    assert ann.solution_id != ben.solution_id


def test_a_second_tab_gets_the_same_task() -> None:
    project = make.project()
    published(project, 3)
    first, second = (queue.lease_next(make.ann(project), project=project) for _ in range(2))
    assert (first.assignment_id, first.token) == (second.assignment_id, second.token)
    assert Assignment.objects.filter(state="leased").count() == 1


def test_asking_again_renews_the_lease() -> None:
    project = make.project()
    published(project, 1)
    lease = queue.lease_next(make.ann(project), project=project)
    expire(lease)
    assert queue.lease_next(make.ann(project), project=project).expires_at > lease.expires_at - timedelta(minutes=1)
    assert queue.release_expired() == 0


def test_nobody_labels_a_solution_twice() -> None:
    project = make.project(overlap=3)
    published(project, 2)
    given = []
    for _ in range(2):
        lease = queue.lease_next(make.ann(project), project=project)
        given.append(lease.solution_id)
        finish(lease)
    assert len(set(given)) == 2
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ann(project), project=project)


def test_a_solution_goes_to_no_more_people_than_its_overlap() -> None:
    project = make.project(overlap=2)
    published(project, 1)
    for person in (make.ann(project), make.ben(project)):
        queue.lease_next(person, project=project)
    with pytest.raises(queue.NothingToLabel, match="nothing left for you"):
        queue.lease_next(make.rolf(project), project=project)


def test_an_empty_batch_in_front_does_not_hide_the_next_one() -> None:
    project = make.project(overlap=2)
    published(project, 1)
    finish(queue.lease_next(make.ann(project), project=project))  # the second assignment of its task stays open, but not for ann
    [later] = published(project, 1)
    assert queue.lease_next(make.ann(project), project=project).solution_id == later.pk


def test_the_fast_path_takes_two_statements(django_assert_num_queries) -> None:
    project = make.project()
    published(project, 2)
    ann = make.ann(project)
    with django_assert_num_queries(2 + 2):  # and the savepoint inside a test's transaction
        queue.lease_next(ann, project=project)
    with django_assert_num_queries(2 + 2):
        queue.lease_next(ann, project=project)
    with django_assert_num_queries(2 + 2):
        queue.reserve_next(ann, project=project)


def test_a_reserved_assignment_becomes_the_lease() -> None:
    project = make.project()
    published(project, 2)
    ahead = Assignment.objects.order_by("-pk").first()
    Assignment.objects.filter(pk=ahead.pk).update(state="reserved", labeler=make.ann(project), token=1, lease_expires_at=Now())
    lease = queue.lease_next(make.ann(), project=project)
    assert (lease.assignment_id, lease.token, assignment_of(lease).state) == (ahead.pk, 1, "leased")
    assert assignment_of(lease).leased_at is not None


# --- who may label ------------------------------------------------------------------------------------------------------


def not_qualified(person: User, project: Project) -> str:
    with pytest.raises(queue.NotQualified) as caught:
        queue.lease_next(person, project=project)
    assert not Assignment.objects.filter(labeler=person, state="leased").exists()
    return str(caught.value)


def test_a_stranger_gets_nothing() -> None:
    project = make.project()
    published(project, 1)
    assert "not a member" in not_qualified(make.eve(), project)


def test_a_suspended_labeler_gets_nothing() -> None:
    project = make.project()
    published(project, 1)
    ann = make.ann(project)
    Membership.objects.filter(user=ann).update(suspended_at=Now())
    assert "paused" in not_qualified(ann, project)


def test_a_deactivated_account_gets_nothing_and_its_assignment_goes_to_another() -> None:
    project = make.project()
    published(project, 1)
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    User.objects.filter(pk=ann.pk).update(is_active=False)
    expire(lease)
    assert queue.lease_next(make.ben(project), project=project).assignment_id == lease.assignment_id
    assert "deactivated" in not_qualified(ann, project)


def test_without_a_screening_everybody_is_qualified() -> None:
    project = make.project()
    published(project, 1)
    assert Membership.objects.filter(qualified_at__isnull=False).count() == 0
    assert queue.lease_next(make.ann(project), project=project)


def test_newcomers_all_go_through_the_whole_screening_first() -> None:
    project = make.project(overlap=1)
    published(project, 1)
    questions = {one.pk for one in published(project, 2, kind=BatchKind.SCREENING)}
    for person in (make.ann(project), make.ben(project)):
        given = set()
        for _ in range(2):
            lease = queue.lease_next(person, project=project)
            given.add(lease.solution_id)
            finish(lease)
        assert given == questions
        assert "No screening question is left" in not_qualified(person, project)


def test_a_qualified_labeler_skips_the_screening() -> None:
    project = make.project()
    [wanted] = published(project, 1)
    published(project, 1, kind=BatchKind.SCREENING)
    ann = make.ann(project)
    Membership.objects.filter(user=ann).update(qualified_at=Now())
    assert queue.lease_next(ann, project=project).solution_id == wanted.pk


def test_a_closed_screening_admits_nobody_by_itself() -> None:
    project = make.project()
    published(project, 1)
    queue.close_batch(make.batch(project, make.solutions(project, 1), kind=BatchKind.SCREENING), actor=None)
    assert "No screening question is left" in not_qualified(make.ann(project), project)


# --- gold ---------------------------------------------------------------------------------------------------------------


def with_gold(percent: int) -> tuple[Project, int]:
    project = make.project(gold_percent=percent)
    normal, gold = make.solutions(project, 2)
    queue.open_batch(project, [queue.Chosen(normal.pk, priority=9), queue.Chosen(gold.pk, kind=TaskKind.GOLD)])
    return project, gold.pk


def test_a_gold_turn_makes_an_assignment_without_a_slot() -> None:
    project, gold = with_gold(100)
    for person in (make.ann(project), make.ben(project)):  # one gold task, any number of people
        lease = queue.lease_next(person, project=project)
        assert (lease.solution_id, assignment_of(lease).slot, lease.token) == (gold, None, 1)


def test_without_gold_turns_no_gold_is_given() -> None:
    project, gold = with_gold(0)
    assert queue.lease_next(make.ann(project), project=project).solution_id != gold


def test_gold_already_seen_gives_way_to_normal_work() -> None:
    project, gold = with_gold(100)
    finish(queue.lease_next(make.ann(project), project=project))
    assert queue.lease_next(make.ann(project), project=project).solution_id != gold


def test_nobody_gets_as_gold_what_they_labeled_as_normal_work() -> None:
    project = make.project(gold_percent=100)
    [one] = published(project, 1)
    finish(queue.lease_next(make.ann(project), project=project))
    queue.open_batch(project, [queue.Chosen(one.pk, kind=TaskKind.GOLD)])
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ann(project), project=project)
    assert queue.lease_next(make.ben(project), project=project).solution_id == one.pk


def test_nobody_gets_as_normal_work_what_they_had_as_gold() -> None:
    project = make.project(gold_percent=100, overlap=2)
    [one] = published(project, 1)
    finish(queue.lease_next(make.ann(project), project=project))
    queue.open_batch(project, [queue.Chosen(one.pk, kind=TaskKind.GOLD)])
    assert quality.projects_of(make.ben(project))[0].waiting == 2
    finish(queue.lease_next(make.ben(), project=project))
    assert quality.projects_of(make.ben())[0].waiting == 0  # the second place at this solution is for somebody else
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ben(), project=project)
    assert queue.lease_next(make.rolf(project), project=project).solution_id == one.pk


def test_a_gold_assignment_given_back_goes_to_the_same_person_only() -> None:
    project, gold = with_gold(100)
    lease = queue.lease_next(make.ann(project), project=project)
    queue.release(lease.assignment_id, labeler=make.ann(), token=lease.token)
    Project.objects.update(gold_percent=0)
    project.refresh_from_db()
    assert queue.lease_next(make.ben(project), project=project).assignment_id != lease.assignment_id
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.rolf(project), project=project)
    Project.objects.update(gold_percent=100)
    project.refresh_from_db()
    again = queue.lease_next(make.ann(), project=project)
    assert (again.assignment_id, again.token) == (lease.assignment_id, lease.token)


def test_gold_turns_come_as_often_as_the_project_says() -> None:
    project = make.project(gold_percent=20)
    people = [make.person(f"labeler{number}", project) for number in range(5)]
    turns = [queue.is_gold_turn(person, project=project, turn=turn) for person in people for turn in range(1000)]
    assert 0.17 < sum(turns) / len(turns) < 0.23
    assert turns == [queue.is_gold_turn(person, project=project, turn=turn) for person in people for turn in range(1000)]


# --- the hand-out query -------------------------------------------------------------------------------------------------


def scans(plan: dict) -> list[tuple[str, str | None, str | None]]:
    """Return node type, alias and index of every node of a plan."""
    here = [(plan["Node Type"], plan.get("Alias"), plan.get("Index Name"))]
    return here + [node for child in plan.get("Plans", ()) for node in scans(child)]


def published_many(project: Project) -> Batch:
    problem = make.problem(project)
    Solution.objects.bulk_create(Solution(problem=problem, digest=number.to_bytes(32, "big"), steps=["a"]) for number in range(3000))
    return queue.open_batch(project, [queue.Chosen(key) for key in Solution.objects.values_list("pk", flat=True)])


@pytest.mark.usefixtures("new_tables")
def test_fresh_statistics_leave_the_search_for_open_assignments_an_index_probe_per_batch() -> None:
    project = make.project(overlap=2)
    ann, _ = make.ann(project), published_many(project)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE annotation_assignment, annotation_batch")
        parameters = {"project": project.pk, "labeler": ann.pk, "gold_percent": 0}
        cursor.execute(f"EXPLAIN (FORMAT JSON) {LABELER_STATE}", parameters)
        [[[explained]]] = cursor.fetchall()
    assert "assignment_queue" in [index for *_, index in scans(explained["Plan"])]


@pytest.mark.usefixtures("new_tables")
@pytest.mark.parametrize("leased", ["NULL", "1"], ids=["next", "ahead"])
def test_stale_statistics_leave_the_hand_out_an_index_probe_per_row(leased: str) -> None:
    project = make.project(overlap=2)
    ann, batch = make.ann(project), published_many(project)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE annotation_assignment")
        # The planner does not know this work: by its statistics ann has no assignments.
        Assignment.objects.filter(slot=0, pk__in=Assignment.objects.order_by("pk")[:2000]).update(state="done", labeler=ann)
        # The server makes one plan for all values, which it does not know.
        places = {"leased": "$1", "labeler": "$2", "batch": "$3", "state": "$4", "minutes": "$5"}
        cursor.execute(f"PREPARE hand_out(bigint, int, bigint, text, int) AS {NEXT_ASSIGNMENT % places}")
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE hand_out({leased}, {ann.pk}, {batch.pk}, 'leased', 30)")
        [[[explained]]] = cursor.fetchall()
        cursor.execute("DEALLOCATE hand_out")
    [choice] = [part for part in explained["Plan"]["Plans"] if part.get("Subplan Name") == "CTE next"]
    nodes = scans(choice)
    assert ("Index Only Scan", "o", "assignment_labeler_once") in nodes or ("Index Scan", "o", "assignment_labeler_once") in nodes
    assert ("Index Scan", "assignment_queue") in [(node, index) for node, _, index in nodes]
    assert not [node for node in nodes if node[0] in ("Seq Scan", "Materialize", "Sort")]


# --- what is written stays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["UPDATE annotation_event SET verb = 'other'", "DELETE FROM annotation_event"])
def test_events_are_append_only(change: str) -> None:
    Event.objects.create(actor=make.ann(), verb="skip")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert Event.objects.get().verb == "skip"
