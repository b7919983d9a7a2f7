"""One more person is asked for an opinion in open batches: where, why, once, and not where nobody is left to give it."""

import uuid
from collections.abc import Mapping
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import labels, quality, queue
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    BatchKind,
    FinishReason,
    GoldAnswer,
    Membership,
    MoreOpinions,
    OpinionsLook,
    Project,
    Solution,
    SolutionConsensus,
    StepSource,
    Task,
)
from annotation.quality import foreseeing
from annotation.quality.asking import WORDS
from annotation.redundancy import LabelsSoFar, ModelVerdict, PastLabel, Thresholds, Why
from tests import make

pytestmark = pytest.mark.django_db


def label(person: User, project: Project, mark: int | None, *, reason: str = "") -> Solution:
    """Label the next solution of a person: its first mistake, or None."""
    lease = queue.lease_next(person, project=project)
    ratings = [1, 1, 1] if mark is None else [*[1] * mark, -1]
    sitting = {
        "ratings": [{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
        "active_ms": 60_000,
        "total_ms": 60_000,
    }
    sitting["finish_reason"] = reason or ("solution" if mark is None else "found_error")
    if reason:
        sitting |= {"ratings": [], "reason": "I cannot say."}
    labels.submit(lease.assignment_id, labeler=person, token=lease.token, submission_id=uuid.uuid4(), **sitting)
    return Solution.objects.get(pk=lease.solution_id)


def judge(verdicts: Mapping[int, ModelVerdict]) -> quality.Judge:
    return quality.Judge("PRM 3", lambda solutions: {key: verdicts[key] for key in solutions if key in verdicts})


def places(project: Project) -> dict[str, int]:
    states = Assignment.objects.filter(batch__project=project).values_list("state", flat=True)
    return {state: list(states).count(state) for state in set(states)}


@pytest.fixture
def project() -> Project:
    made = make.project(redundancy_limit=3, redundancy_model=0.8, redundancy_gold=0.75, redundancy_spread=1.0)
    make.ann(made), make.ben(made), make.rolf(made)
    return made


@pytest.fixture
def batch(project: Project) -> Batch:
    return make.batch(project, make.solutions(project, 1))


SURE = ModelVerdict(first_mistake=2, p_none=0.07)


def test_a_second_person_is_asked_once_where_the_model_contradicts(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    model = judge({solution.pk: SURE})
    assert quality.ask_for_opinions(project, model) == 1
    assert quality.ask_for_opinions(project, model, everything=True) == 0  # a place is open now
    row = MoreOpinions.objects.get()
    assert (row.why, row.place, row.threshold, row.batch_id) == ("model", 2, 0.8, batch.pk)
    assert row.value == pytest.approx(0.93)
    assert places(project) == {"done": 1, "open": 1} and Task.objects.get().overlap == 2
    assert label(make.ben(), project, None) == solution
    assert quality.ask_for_opinions(project, model) == 0  # two people agree


def test_the_page_says_why_with_the_figures_and_what_became_of_the_place(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    quality.ask_for_opinions(project, judge({solution.pk: SURE}))
    [asked] = quality.why_more(solution)
    assert asked.sentence == (
        "PRM 3 sees the first mistake in step 3 and is 93 % sure that there is a mistake. The first label says: no mistake. "
        "A second person is asked if the model is at least 80 % sure."
    )
    assert (asked.place, asked.outcome) == (2, "The place is open.")
    queue.lease_next(make.ben(), project=project)
    assert quality.why_more(solution)[0].outcome == "Somebody has the solution now."
    label(make.ben(), project, 1)
    assert quality.why_more(solution)[0].outcome == "This opinion was given."
    assert quality.asked_in_batch(project, batch).reasons == [("the model contradicts the first label", 1)]


def test_a_third_person_is_asked_if_two_contradict_each_other_and_a_fourth_is_above_the_limit(project: Project, batch: Batch) -> None:
    Task.objects.update(overlap=2)
    queue.change_overlap(batch, 1, actor=None), queue.change_overlap(batch, 2, actor=None)
    solution = label(make.ann(), project, 0)
    assert quality.ask_for_opinions(project, None) == 0  # the overlap has a place for the second person
    label(make.ben(), project, 1)
    assert quality.ask_for_opinions(project, None) == 1
    assert [asked.sentence for asked in quality.why_more(solution)] == [
        "2 people named different first mistakes: the first mistake in step 1, the first mistake in step 2. "
        "One more is asked until more than half agree."
    ]
    label(make.rolf(), project, 2)
    make.person("cleo", project)
    assert quality.ask_for_opinions(project, None) == 0
    assert MoreOpinions.objects.count() == 1


def test_a_higher_overlap_set_by_hand_stays_and_is_never_asked_for_again(project: Project) -> None:
    make.batch(project, make.solutions(project, 1), overlap=3)
    for person, mark in ((make.ann(), 0), (make.ben(), 1), (make.rolf(), 2)):
        label(person, project, mark)
        assert quality.ask_for_opinions(project, None) == 0
    assert Task.objects.get().overlap == 3


def gold_answers(person: User, project: Project, right: int, wrong: int) -> None:
    """Store answers of a person on gold."""
    solutions = make.solutions(project, right + wrong)
    batch = Batch.objects.create(project=project, kind=BatchKind.SELECTED, generation=900, state="closed")
    for number, solution in enumerate(solutions):
        GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[] if number < right else [1])
        task = Task.objects.create(batch=batch, solution=solution, kind="gold")
        place = Assignment.objects.create(task=task, batch=batch, state="done", labeler=person)
        Annotation.objects.create(
            assignment=place,
            labeler=person,
            solution=solution,
            finish_reason=FinishReason.SOLUTION,
            submission_id=uuid.uuid4(),
            body_hash=b"",
        )


def test_a_second_person_is_asked_after_a_labeler_who_is_often_wrong_on_gold(project: Project, batch: Batch) -> None:
    gold_answers(make.ann(), project, right=6, wrong=4)
    solution = label(make.ann(), project, 1)
    assert quality.ask_for_opinions(project, None) == 1
    assert quality.why_more(solution)[0].sentence == (
        "The first labeler had 6 of 10 answers on gold right (60 %). A second person is asked below 75 %."
    )


def test_nobody_is_asked_after_a_labeler_with_too_few_answers_on_gold(project: Project, batch: Batch) -> None:
    gold_answers(make.ann(), project, right=0, wrong=9)
    label(make.ann(), project, 1)
    assert quality.ask_for_opinions(project, None) == 0


def settled(solution: Solution, project: Project, **fields: object) -> None:
    values = {"n_readings": 1, "entropy": 1.4, "settled_at": timezone.now(), "project": project, **fields}
    SolutionConsensus.objects.update_or_create(solution=solution, defaults=values)


def test_a_second_person_is_asked_where_one_label_leaves_the_first_mistake_undecided(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, 1)
    settled(solution, project)
    assert quality.ask_for_opinions(project, None) == 1
    assert quality.why_more(solution)[0].sentence == (
        "The first mistake is uncertain after the first label: 1.40 bits of entropy. A second person is asked above 1.00 bits."
    )


@pytest.mark.parametrize("fields", [{"entropy": None}, {"entropy": 0.9}, {"is_adjudicated": True}])
def test_nobody_is_asked_where_the_consensus_is_certain_unknown_or_adjudicated(
    project: Project, batch: Batch, fields: dict[str, object]
) -> None:
    settled(label(make.ann(), project, 1), project, **fields)
    assert quality.ask_for_opinions(project, None) == 0


def test_nobody_is_asked_about_a_solution_with_gold(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[1])
    assert quality.ask_for_opinions(project, judge({solution.pk: SURE})) == 0


@pytest.mark.parametrize("reason", ["give_up", "bad_problem"])
def test_nobody_is_asked_about_a_solution_that_all_gave_up_on(project: Project, batch: Batch, reason: str) -> None:
    solution = label(make.ann(), project, None, reason=reason)
    assert quality.ask_for_opinions(project, judge({solution.pk: SURE})) == 0


def test_one_labeler_alone_gets_no_place_that_nobody_can_take_and_the_pages_say_why(project: Project, batch: Batch) -> None:
    Membership.objects.exclude(user=make.ann()).update(suspended_at=timezone.now())
    solution = label(make.ann(), project, None)
    model = judge({solution.pk: SURE})
    assert quality.ask_for_opinions(project, model) == 0
    assert (places(project), MoreOpinions.objects.count()) == ({"done": 1}, 0)
    assert quality.nobody_left(project).startswith("A second opinion needs a second person, and only one person can label here now.")
    assert quality.asked_in_batch(project, batch).notice == quality.nobody_left(project)
    assert quality.wanted_in_vain(project, solution, model).endswith(
        "Everybody who can label here had this solution already, so nobody is asked."
    )


def test_who_joins_later_is_asked_then(project: Project, batch: Batch) -> None:
    Membership.objects.exclude(user=make.ann()).update(suspended_at=timezone.now())
    solution = label(make.ann(), project, None)
    model = judge({solution.pk: SURE})
    quality.ask_for_opinions(project, model)
    OpinionsLook.objects.update(newest=10**9)  # nothing new is labeled
    make.person("cleo", project)
    assert quality.ask_for_opinions(project, model) == 1
    assert quality.wanted_in_vain(project, solution, model) == ""


@pytest.mark.parametrize("field", ["suspended_at", "quarantined_at", "role", "is_active", "skipped", "newcomer"])
def test_only_people_who_can_take_the_place_count(project: Project, batch: Batch, field: str) -> None:
    others = Membership.objects.exclude(user=make.ann())
    match field:
        case "role":
            others.update(role="manager")
        case "is_active":
            User.objects.filter(username__in=["ben", "rolf"]).update(is_active=False)
        case "skipped":
            for person in (make.ben(), make.rolf()):
                lease = queue.lease_next(person, project=project)
                labels.skip(lease.assignment_id, labeler=person, token=lease.token, reason="")
        case "newcomer":
            Membership.objects.filter(user=make.ann()).update(qualified_at=timezone.now())
            Batch.objects.create(project=project, kind=BatchKind.SCREENING, generation=-1, state="open")
        case _:
            others.update(**{field: timezone.now()})
    solution = label(make.ann(), project, None)
    assert quality.ask_for_opinions(project, judge({solution.pk: SURE})) == 0
    assert queue.labelers_left(project, Task.objects.filter(solution=solution).get()) == 0


def test_where_all_labels_are_by_people_in_quarantine_somebody_is_asked_in_their_place(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    assert quality.ask_for_opinions(project, None) == 0
    OpinionsLook.objects.update(newest=10**9)  # nothing new is labeled
    Membership.objects.filter(user=make.ann()).update(suspended_at=timezone.now())
    quality.ask_for_opinions(project, None)
    Membership.objects.filter(user=make.ann()).update(quarantined_at=timezone.now())
    month = quality.count_month(project, None)
    assert quality.preview(month, Thresholds(3)).reasons[0] == ("all labels are by people in quarantine", 1)
    assert quality.ask_for_opinions(project, judge({})) == 1
    assert quality.why_more(solution)[0].sentence == (
        "The only label is by a person in quarantine, so it does not count. One more person is asked for a label that counts."
    )
    label(make.ben(), project, None)
    assert quality.ask_for_opinions(project, None, everything=True) == 0
    Membership.objects.update(suspended_at=None, quarantined_at=None)
    assert quality.ask_for_opinions(project, None, everything=True) == 0  # both labels count again, and they agree


def test_what_a_person_in_quarantine_gave_up_on_asks_for_nobody(project: Project, batch: Batch) -> None:
    label(make.ann(), project, None, reason="give_up")
    Membership.objects.filter(user=make.ann()).update(quarantined_at=timezone.now())
    assert quality.ask_for_opinions(project, None) == 0


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_nobody_is_asked_in_a_batch_that_is_not_open(project: Project, batch: Batch, state: str) -> None:
    solution = label(make.ann(), project, None)
    Batch.objects.update(state=state)
    assert quality.ask_for_opinions(project, judge({solution.pk: SURE})) == 0


def test_nobody_is_asked_about_a_withdrawn_solution(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    queue.withdraw(Solution.objects.filter(pk=solution.pk), actor=None)
    assert quality.ask_for_opinions(project, judge({solution.pk: SURE})) == 0


def test_nobody_is_asked_in_an_interactive_or_an_archived_project(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    for fields in ({"step_source": StepSource.INTERACTIVE}, {"archived_at": timezone.now()}, {"redundancy_limit": None}):
        Project.objects.filter(pk=project.pk).update(step_source="solution", archived_at=None, redundancy_limit=3)
        Project.objects.filter(pk=project.pk).update(**fields)
        project.refresh_from_db()
        assert quality.ask_for_opinions(project, judge({solution.pk: SURE})) == 0
    Project.objects.filter(pk=project.pk).update(redundancy_limit=3)
    project.refresh_from_db()
    assert quality.ask_for_opinions(project, judge({solution.pk: SURE})) == 1


def test_a_place_that_a_lower_overlap_closed_is_not_asked_for_again(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    model = judge({solution.pk: SURE})
    quality.ask_for_opinions(project, model)
    queue.change_overlap(batch, 1, actor=None, tasks=[Task.objects.get().pk])
    assert quality.ask_for_opinions(project, model, everything=True) == 0
    assert places(project) == {"done": 1, "closed": 1}
    assert quality.why_more(solution)[0].outcome == "The place was closed before anybody took it."


def test_old_labels_are_looked_at_again_only_when_something_else_has_changed(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    assert quality.ask_for_opinions(project, judge({})) == 0
    OpinionsLook.objects.update(newest=10**9)
    assert quality.ask_for_opinions(project, judge({solution.pk: SURE})) == 0  # the label was looked at with this model
    other = quality.Judge("PRM 4", judge({solution.pk: SURE}).verdicts)
    assert quality.ask_for_opinions(project, other) == 1


def test_a_correction_is_looked_at_like_a_new_label(project: Project, batch: Batch) -> None:
    Task.objects.update(overlap=2)
    queue.change_overlap(batch, 1, actor=None), queue.change_overlap(batch, 2, actor=None)
    label(make.ann(), project, 0), label(make.ben(), project, 0)
    assert quality.ask_for_opinions(project, None) == 0
    own = Annotation.objects.get(labeler=make.ben())
    labels.revise(
        own.pk, labeler=make.ben(), submission_id=uuid.uuid4(), active_ms=1, total_ms=1,
        ratings=[{"step": 0, "rating": 1}, {"step": 1, "rating": -1}], finish_reason="found_error",
    )  # fmt: skip
    assert quality.ask_for_opinions(project, None) == 1


def test_as_many_statements_ask_for_many_solutions_as_for_one(project: Project) -> None:
    def asked_of(count: int) -> int:
        solutions = make.solutions(project, count)
        make.batch(project, solutions)
        for _ in solutions:
            label(make.ann(), project, None)
        model = judge({solution.pk: SURE for solution in solutions})
        with CaptureQueriesContext(connection) as queries:
            assert quality.ask_for_opinions(project, model) == count
        return len(queries)

    quality.ask_for_opinions(project, judge({}))
    assert asked_of(1) == asked_of(6)


# --- beforehand ---------------------------------------------------------------------------------------------------------------


def test_the_preview_counts_what_thresholds_would_have_asked_for_in_the_past_month(project: Project) -> None:
    make.batch(project, make.solutions(project, 4))
    solutions = [label(make.ann(), project, None) for _ in range(4)]
    model = judge({solution.pk: SURE for solution in solutions[:3]})
    month, is_old = quality.month_of(project, model)
    assert month is not None and not is_old
    assert (len(month.labels), month.solutions, month.minutes) == (4, 4, 1.0)
    shown = quality.preview(month, Thresholds(2, model=0.8))
    assert (shown.more, shown.second, shown.third, shown.percent) == (3, 3, 0, 75)
    assert shown.hours == pytest.approx(3 / 60)
    assert quality.preview(month, Thresholds(2, model=0.95)).more == 0


def test_what_was_asked_for_before_counts_as_one_label_by_hand_in_the_preview(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, None)
    model = judge({solution.pk: SURE})
    quality.ask_for_opinions(project, model)
    label(make.ben(), project, 1)
    month = quality.count_month(project, model)
    assert list(month.labels) == [PastLabel(LabelsSoFar([None], 1, against=pytest.approx(0.93)), True)]
    assert quality.preview(month, Thresholds(2, model=0.8)).second == 1


def test_the_cost_that_is_shown_beforehand_is_what_is_asked_for_then(project: Project) -> None:
    """Each row: how many people the overlap asks, what they mark (a text: they end with it), and whether somebody is asked then."""
    cases: list[tuple[int, list[int | str | None], int]] = [
        (1, [None], 1),  # the model contradicts
        (1, [2], 0),  # the model agrees
        (1, ["give_up"], 0),
        (2, [None], 0),  # the second person is still to come
        (2, [None, "give_up"], 1),  # one label, which the model contradicts
        (2, [0, 1], 1),
        (2, [1, 1], 0),
        (3, [0, 1, 1], 0),  # the first two contradict each other, and more than half agree
        (3, [0, 1, None], 1),
    ]
    crowd = [make.ann(), make.ben(), make.rolf(), make.person("cleo", project), make.person("dora", project)]
    solutions = []
    for overlap, marks, _ in cases:
        make.batch(project, make.solutions(project, 1), overlap=overlap)
        for person, mark in zip(crowd, marks, strict=False):
            given = label(person, project, None, reason=mark) if isinstance(mark, str) else label(person, project, mark)
        solutions.append(given)
        Batch.objects.update(state="paused")
    Batch.objects.update(state="open")
    withdrawn, known = solutions[0], solutions[-1]
    model = judge({solution.pk: SURE for solution in solutions})
    thresholds = Thresholds(4, model=0.8)
    assert quality.preview(quality.count_month(project, model), thresholds).more == sum(count for *_, count in cases) == 4
    queue.withdraw(Solution.objects.filter(pk=withdrawn.pk), actor=None)
    GoldAnswer.objects.create(solution=known, acceptable_first_errors=[1])
    shown = quality.preview(quality.count_month(project, model), thresholds)
    assert (shown.second, shown.certain, shown.more) == (1, 1, 2)
    Project.objects.update(redundancy_limit=4, redundancy_gold=None, redundancy_spread=None)
    project.refresh_from_db()
    assert quality.ask_for_opinions(project, model) == 2
    for solution in (solutions[4], solutions[5]):
        assert quality.why_more(solution)[0].outcome == "The place is open."
    assert quality.preview(quality.count_month(project, model), thresholds).more == 2  # places that wait change nothing


def test_an_overlap_that_was_raised_by_hand_after_somebody_was_asked_is_no_place_that_was_asked_for(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, 0)
    model = judge({solution.pk: SURE})
    quality.ask_for_opinions(project, model)
    queue.change_overlap(batch, 3, actor=None)
    label(make.ben(), project, 1), label(make.rolf(), project, 1)
    [past] = quality.count_month(project, model).labels
    assert (past.so_far.marks, past.so_far.people) == ([0, 1, 1], 3)


def test_the_preview_knows_how_undecided_the_first_label_left_what_two_people_labeled(project: Project, batch: Batch) -> None:
    solution = label(make.ann(), project, 1)
    settled(solution, project)
    quality.ask_for_opinions(project, None)
    label(make.ben(), project, 1)
    settled(solution, project, n_readings=2, entropy=0.1)
    assert quality.preview(quality.count_month(project, None), Thresholds(2, spread=1.0)).second == 1


def test_labels_older_than_a_month_are_left_out(project: Project, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    solution = label(make.ann(), project, None)
    later = timezone.now() + timedelta(days=31)
    monkeypatch.setattr(foreseeing.timezone, "now", lambda: later)
    month = quality.count_month(project, judge({solution.pk: SURE}))
    assert (list(month.labels), month.solutions) == ([], 0)
    assert quality.preview(month, Thresholds(3, model=0.1)).more == 0


def test_a_large_project_shows_what_a_worker_stored(project: Project, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    solution = label(make.ann(), project, None)
    monkeypatch.setattr(foreseeing, "SMALL", 0)
    assert quality.month_of(project, None) == (None, True)
    quality.store_month(project, judge({solution.pk: SURE}))
    month, is_old = quality.month_of(project, None)
    assert month is not None and not is_old
    assert (month.judge, quality.preview(month, Thresholds(2, model=0.5)).reasons[0][1]) == ("PRM 3", 1)
    OpinionsLook.objects.update(sampled_at=timezone.now() - 2 * foreseeing.FRESH)
    assert quality.month_of(project, None)[1]


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(Why)
