"""Gold kept fresh: mixed into open batches before somebody has met all of it. And what labelers missed, a day later."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation import quality, queue
from annotation.models import Annotation, Assignment, Event, GoldAnswer, Membership, Project, Solution, Task
from annotation.quality import records
from tests import make
from tests.clients import signed_in
from tests.reviews import NONE, at, decide, disputed, read_all

pytestmark = pytest.mark.django_db


def known(project: Project, count: int) -> list[Solution]:
    """Make so many solutions with gold that no batch has."""
    chosen = make.solutions(project, count)
    GoldAnswer.objects.bulk_create(GoldAnswer(solution=one, acceptable_first_errors=[1]) for one in chosen)
    return chosen


def mixed(project: Project) -> int:
    return Task.objects.filter(batch__project=project, kind="gold").count()


def working(**fields: object) -> Project:
    """Make a project with gold turns and an open batch of work."""
    project = make.project(gold_percent=10, **fields)
    make.batch(project, make.solutions(project, 3))
    return project


def test_an_open_batch_gets_20_gold_solutions() -> None:
    project = working()
    known(project, 25)
    assert quality.renew_gold(project) == 20 == mixed(project)
    assert quality.renew_gold(project) == 0
    event = Event.objects.get(verb="add gold")
    assert (event.actor, event.details) == (None, {"solutions": 20})


def test_gold_is_renewed_before_somebody_has_met_all_of_it() -> None:
    project = working()
    known(project, 40)
    Membership.objects.filter(user=make.ann(project)).update(qualified_at="2026-01-01T00:00Z")
    quality.renew_gold(project)
    Project.objects.update(gold_percent=100)
    project.refresh_from_db()
    read_all(project, make.ann(), *[at(1)] * 10)
    assert quality.gold_supply(project).fewest == 10 and quality.renew_gold(project) == 0
    read_all(project, make.ann(), at(1))
    assert quality.renew_gold(project) == 11
    supply = quality.gold_supply(project)
    assert (supply.fewest, supply.n_spare, supply.is_low) == (20, 9, False)


def test_people_of_a_project_without_a_screening_are_provided_for() -> None:
    project = working()
    known(project, 40)
    make.ann(project)
    quality.renew_gold(project)
    Project.objects.update(gold_percent=100)
    project.refresh_from_db()
    read_all(project, make.ann(), *[at(1)] * 11)
    assert quality.gold_supply(project).fewest == 9 and quality.renew_gold(project) == 11


@pytest.mark.parametrize("field", ["suspended_at", "quarantined_at", "elsewhere"])
def test_people_who_do_not_label_here_now_use_no_gold_up(field: str) -> None:
    project = working()
    known(project, 40)
    quality.renew_gold(project)
    Project.objects.update(gold_percent=100)
    project.refresh_from_db()
    read_all(project, make.ann(project), *[at(1)] * 11)
    if field == "elsewhere":
        Assignment.objects.update(leased_at=timezone.now() - timedelta(days=15))
        other = make.project("other")
        make.ann(other), make.batch(other, make.solutions(other, 1))
        queue.lease_next(make.ann(), project=other)
    else:
        Membership.objects.update(**{field: timezone.now()})
    assert quality.gold_supply(project).fewest == 20 and quality.renew_gold(project) == 0


def test_gold_that_a_decision_contradicts_is_no_supply() -> None:
    project, solutions = disputed(*[(at(1), at(2))] * 11, gold_percent=10)
    batch = make.batch(project, make.solutions(project, 1))
    GoldAnswer.objects.bulk_create(GoldAnswer(solution=one, acceptable_first_errors=[1]) for one in solutions)
    queue.add_gold(batch, [one.pk for one in solutions], actor=None)
    known(project, 30)
    Membership.objects.update(suspended_at=timezone.now())  # ann and ben had them all
    make.rolf(project)
    assert quality.gold_supply(project).fewest == 11
    for solution in solutions[:2]:
        decide(project, solution, make.rolf(project), at(2))
    assert quality.gold_supply(project).fewest == 9 and quality.renew_gold(project) == 11


def test_what_a_person_labeled_is_no_gold_for_this_person_and_comes_last() -> None:
    project = working()
    Membership.objects.filter(user=make.ann(project)).update(qualified_at="2026-01-01T00:00Z")
    met = read_all(project, make.ann(), at(1), at(1), at(1))
    GoldAnswer.objects.bulk_create(GoldAnswer(solution=one.solution, acceptable_first_errors=[1]) for one in met)
    make.batch(project, make.solutions(project, 1))
    fresh = known(project, 20)
    assert quality.renew_gold(project) == 20
    assert set(Task.objects.filter(kind="gold").values_list("solution", flat=True)) == {one.pk for one in fresh}


@pytest.mark.parametrize("why", ["no gold turns", "archived", "no open batch", "interactive", "nothing known"])
def test_nothing_is_mixed_in_where_gold_has_no_place(why: str) -> None:
    project = working()
    if why != "nothing known":
        known(project, 5)
    match why:
        case "no gold turns":
            project.gold_percent = 0
        case "archived":
            project.archived_at = project.created_at
        case "no open batch":
            queue.close_batch(project.batch_set.get(), actor=make.olga(project), seen=None)
        case "interactive":
            project.step_source = "interactive"
    project.save()
    assert quality.renew_gold(project) == 0 and quality.renew_all_gold() == {} and mixed(project) == 0


def test_gold_of_practice_of_the_test_split_and_of_withdrawn_solutions_stays_out() -> None:
    project = working()
    practiced, tested, withdrawn, good = known(project, 4)
    queue.open_batch(project, [queue.Chosen(practiced.pk)], kind="practice")
    tested.problem.split = "test"
    tested.problem.save()
    queue.withdraw(Solution.objects.filter(pk=withdrawn.pk), actor=None)
    assert quality.renew_all_gold() == {"sums": 1}
    assert Task.objects.get(kind="gold").solution == good


def test_gold_that_a_decision_contradicts_is_not_mixed_in() -> None:
    project, [solution] = disputed((at(1), at(2)), gold_percent=10)
    make.batch(project, make.solutions(project, 1))
    decide(project, solution, make.rolf(project), at(1))
    gold = GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[2])
    assert quality.gold_supply(project).n_contradicted == 1 and quality.renew_gold(project) == 0
    quality.make_gold(project, solution.pk, steps=[1], note="", seen=quality.seen_of_gold(gold), actor=make.rolf())
    assert quality.renew_gold(project) == 1


def test_a_decided_solution_becomes_gold_for_everybody_who_has_not_seen_it() -> None:
    project, [solution] = disputed((at(1), at(2)), gold_percent=100)
    make.batch(project, make.solutions(project, 2), overlap=1)
    decide(project, solution, make.rolf(project), at(1))
    quality.make_gold(project, solution.pk, steps=[1], note="", seen="", actor=make.rolf())
    assert quality.renew_gold(project) == 1
    cleo = make.person("cleo", project)
    assert queue.lease_next(cleo, project=project).solution_id == solution.pk
    for person in (make.ann(), make.rolf()):  # ann labeled it, rolf decided on it
        assert queue.lease_next(person, project=project).solution_id != solution.pk


def test_managers_read_on_the_overview_and_at_the_batches_that_gold_runs_out() -> None:
    project = working()
    known(project, 4)
    client = signed_in(make.olga(project))
    sentence = "Somebody who labels has 4 gold solutions left, and there is no spare gold."
    assert sentence not in client.get("/p/sums/").content.decode()
    quality.renew_gold(project)
    assert sentence in client.get("/p/sums/").content.decode()
    page = client.get("/p/sums/batches/compose/").content.decode()
    assert "has 4 solutions left." in page and "Spare gold: 0." in page and "make gold under" in page


# --- what a labeler missed ----------------------------------------------------------------------------------------------


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let three days pass for the records."""
    midnight = records._midnight
    return lambda: monkeypatch.setattr(records, "_midnight", lambda: midnight() + timedelta(days=3))


def answered(*readings: tuple[int, ...]) -> Project:
    """Let ann answer gold solutions whose first mistake is step 1 (from 0)."""
    project = make.project(gold_percent=100)
    chosen = known(project, len(readings))
    queue.open_batch(project, [queue.Chosen(one.pk, kind="gold") for one in chosen])
    read_all(project, make.ann(project), *readings)
    return project


def test_a_labeler_sees_what_they_missed_with_both_readings_once_the_record_has_ten_answers(later: Callable[[], None]) -> None:
    project = answered(*[at(1)] * 6, at(0), at(2), NONE, at(2))
    later()
    missed = quality.missed_gold(make.ann(), project=project)
    assert (missed.record.answers, missed.record.within, missed.record.interval) == (10, 6, "31% to 83%")
    assert missed.counts == {
        "marked a step after the first mistake": 2, "missed the mistake": 1, "marked a step before the first mistake": 1,
    }  # fmt: skip
    steps = [[(step.rating, step.is_gold, step.verdict) for step in one.steps] for one in missed.solutions]
    assert steps[0] == [(1, False, ""), (1, True, "missed"), (-1, False, "late")]
    assert len(steps) == 4


def test_nothing_is_shown_of_today_and_yesterday_and_nothing_before_ten_answers(later: Callable[[], None]) -> None:
    project = answered(*[at(0)] * 10)
    assert quality.missed_gold(make.ann(), project=project).solutions == []
    later()
    assert len(quality.missed_gold(make.ann(), project=project).solutions) == 10
    few = answered_few()
    assert quality.missed_gold(make.ben(), project=few).counts == {}


def answered_few() -> Project:
    project = make.project("few", gold_percent=100)
    chosen = known(project, 9)
    queue.open_batch(project, [queue.Chosen(one.pk, kind="gold") for one in chosen])
    read_all(project, make.ben(project), *[at(0)] * 9)
    return project


def test_a_withdrawn_solution_counts_in_no_record(later: Callable[[], None]) -> None:
    project = answered(*[at(1)] * 10, at(0))
    later()
    [missed] = quality.missed_gold(make.ann(), project=project).solutions
    queue.withdraw(Solution.objects.filter(pk=missed.solution.pk), actor=None)
    shown = quality.missed_gold(make.ann(), project=project)
    assert (shown.record.answers, shown.record.within, shown.counts, shown.solutions) == (10, 10, {}, [])


def test_other_gold_makes_another_record_because_none_is_stored(later: Callable[[], None]) -> None:
    project = answered(*[at(2)] * 10)
    later()
    assert quality.missed_gold(make.ann(), project=project).record.within == 0
    GoldAnswer.objects.update(acceptable_first_errors=[1, 2])
    assert quality.missed_gold(make.ann(), project=project).record.within == 10
    assert Annotation.objects.count() == 10
