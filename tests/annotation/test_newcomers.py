"""Newcomers: what managers see of a screening, what they decide, and what the newcomer is told."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from annotation import eligibility, export, labels, quality, queue
from annotation.eligibility import Use
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    BatchKind,
    Event,
    GoldAnswer,
    Membership,
    Notification,
    Project,
    Role,
    Task,
)
from annotation.quality import figures
from annotation.quality.admission import standings_of
from tests import make
from tests.newcomers import SIZE, answer, failed, more_gold, screened_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return screened_project()


def number_of(person: User) -> int:
    return Membership.objects.get(user=person).pk


def decide(act: Callable[..., object], project: Project, person: User) -> object:
    seen = quality.newcomers_page(project, number_of(person)).chosen.seen
    return act(project, number_of(person), actor=make.olga(), seen=seen)


def told(project: Project, person: User) -> str:
    with pytest.raises(queue.NotQualified) as refused:
        quality.lease_next(person, project=project)
    return str(refused.value)


def event(verb: str) -> dict[str, object]:
    return Event.objects.filter(verb=verb).latest("pk").details


def test_the_page_shows_each_answer_beside_gold(project: Project) -> None:
    ann = make.ann(project)
    answer(project, ann, right=1)
    shown = quality.newcomers_page(project)
    assert (shown.chosen.username, shown.chosen.state, shown.n_waiting) == ("ann", quality.NewcomerState.WAITING, 1)
    assert (shown.chosen.result.within, shown.chosen.result.asked, shown.chosen.result.needed) == (1, 4, 3)
    rows = [(row.accepted, row.first_mistake, row.finish_reason, row.is_right, row.minutes) for row in shown.answers]
    assert rows.count(([2], 2, "found_error", True, 1.0)) == 1 and rows.count(([2], None, "solution", False, 1.0)) == 3


def test_questions_that_are_skipped_or_not_answered_yet_are_told_apart(project: Project) -> None:
    ann = make.ann(project)
    lease = quality.lease_next(ann, project=project)
    labels.skip(lease.assignment_id, labeler=ann, token=lease.token, reason="")
    shown = quality.newcomers_page(project)
    assert shown.chosen.state == quality.NewcomerState.ANSWERING
    assert [row.is_skipped for row in shown.answers] == [True, False, False, False]
    assert not shown.chosen.can_be_refused and not shown.chosen.can_repeat and shown.chosen.can_be_admitted


def test_who_waits_for_a_decision_comes_first(project: Project) -> None:
    people = {name: make.person(name, project) for name in ("answering", "passed", "refused", "admitted", "failed")}
    answer(project, people["answering"], right=1, of=1)
    for name in ("refused", "failed"):
        answer(project, people[name], right=0)
    decide(quality.refuse, project, people["refused"])
    for name in ("passed", "admitted"):
        answer(project, people[name], right=4)
    quality.lease_next(people["admitted"], project=project)
    rows = {row.username: str(row.state) for row in quality.newcomers_page(project).listed}
    assert list(rows) == ["failed", "passed", "answering", "refused", "admitted"]
    assert list(rows.values()) == ["waits for you", "passed", "answers questions", "refused", "admitted"]


def test_a_project_without_a_screening_has_no_newcomers() -> None:
    made = make.project()
    make.ann(made)
    assert quality.newcomers_page(made).listed == []


def test_who_passes_is_admitted_with_an_event_that_has_the_result(project: Project) -> None:
    ann = make.ann(project)
    answer(project, ann, right=3)
    assert quality.lease_next(ann, project=project).kind == BatchKind.SELECTED
    found = Event.objects.get(verb=quality.PASSED)
    assert (found.actor, found.subject) == (None, f"membership {number_of(ann)}")
    assert found.details == {"old": "not admitted", "new": "admitted", "right": 3, "asked": 4, "needed": 3}
    waiting, passed = quality.told_about_newcomers(project, most=4)
    assert (waiting, [one.username for one in passed]) == ([], ["ann"])


def test_admitting_notes_what_the_result_was(project: Project) -> None:
    ann = failed(project)
    decide(quality.admit, project, ann)
    assert quality.lease_next(ann, project=project).kind == BatchKind.SELECTED
    assert event("admit member") == {"old": "not admitted", "new": "admitted", "right": 0, "asked": 4, "needed": 3}
    assert eligibility.counting(Use.WORK).filter(labeler=ann).count() == 4


def test_a_refused_person_is_told_so_and_their_answers_count_nowhere_but_in_exports(project: Project) -> None:
    ann = failed(project)
    decide(quality.refuse, project, ann)
    assert event("refuse member") == {"old": "not admitted", "new": "refused", "right": 0, "asked": 4, "needed": 3}
    sentence = told(project, ann)
    assert "all 4 screening questions" in sentence and "a manager decided that you do not label in Sums" in sentence
    [card] = quality.projects_of(ann)
    assert (card.standing, card.waiting, card.has_work) == (sentence, 0, False)
    assert export.take_snapshot(project, use=Use.TRAINING).count == 10
    assert not eligibility.counting(Use.WORK).filter(labeler=ann).exists()
    assert (export.take_snapshot(project).count, export.take_snapshot(project, newcomers=False).count) == (14, 10)
    assert quality.day_of(ann).count == card.record.total == 0


def test_a_person_who_waits_for_a_decision_reads_so_at_home_instead_of_solutions_that_wait(project: Project) -> None:
    ann = failed(project)
    [card] = quality.projects_of(ann)
    assert card.standing == told(project, ann) and "manager now decides" in card.standing
    assert (card.waiting, card.has_work) == (0, False)


@pytest.mark.parametrize(("state", "words"), [("paused", "is paused. You can go on"), ("closed", "once a manager admits you")])
def test_a_newcomer_whose_screening_is_not_open_reads_why_there_is_no_work(project: Project, state: str, words: str) -> None:
    ann = make.ann(project)
    answer(project, ann, right=1, of=1)
    Batch.objects.filter(kind="screening").update(state=state)
    [card] = quality.projects_of(ann)
    assert words in card.standing and words in told(project, ann)
    assert (card.waiting, card.has_work) == (0, False)


def test_a_refused_person_can_still_be_admitted(project: Project) -> None:
    ann = failed(project)
    decide(quality.refuse, project, ann)
    decide(quality.admit, project, ann)
    assert event("admit member")["old"] == "refused"
    assert quality.lease_next(ann, project=project).kind == BatchKind.SELECTED


def test_other_gold_admits_nobody_who_was_refused(project: Project) -> None:
    ann = failed(project)
    decide(quality.refuse, project, ann)
    GoldAnswer.objects.update(acceptable_first_errors=[])
    assert "decided that you do not label" in told(project, ann)
    assert Membership.objects.get(user=ann).qualified_at is None


def test_a_refused_person_gets_no_practice_that_is_published_later(project: Project) -> None:
    ann = failed(project)
    decide(quality.refuse, project, ann)
    quality.open_practice(project, by="rolf", size=2)
    assert "decided" in told(project, ann)
    assert quality.projects_of(ann)[0].practice == 0


def test_another_attempt_has_other_questions_and_nobody_gets_a_solution_twice(project: Project) -> None:
    ann, before = make.ann(project), {}
    before = answer(project, ann, right=0)
    more_gold(project, 5)
    assert decide(quality.let_repeat, project, ann) == SIZE
    assert event("let repeat") == {
        "old": {"standing": "not admitted", "set": 1}, "new": {"standing": "not admitted", "set": 2},
        "right": 0, "asked": 4, "needed": 3, "questions": 4,
    }  # fmt: skip
    [card] = quality.projects_of(ann)
    assert (card.screening, card.standing) == (SIZE, "")
    after = answer(project, ann, right=4)
    assert not before & after
    assert quality.lease_next(ann, project=project).kind == BatchKind.SELECTED
    had = Assignment.objects.filter(labeler=ann).values_list("task__solution", flat=True)
    assert len(had) == len(set(had)) == 2 * SIZE + 1
    assert eligibility.counting(Use.TRAINING).filter(labeler=ann).count() == 2 * SIZE


def test_a_failed_second_attempt_is_judged_by_its_own_questions(project: Project) -> None:
    ann = make.ann(project)
    answer(project, ann, right=2)
    more_gold(project, 5)
    decide(quality.let_repeat, project, ann)
    answer(project, ann, right=1)
    assert "1 of your answers was right; 3 right answers are needed" in told(project, ann)
    shown = quality.newcomers_page(project)
    assert (shown.chosen.state, shown.chosen.result.within, shown.chosen.attempts) == (quality.NewcomerState.WAITING, 1, 2)
    assert [row.attempt for row in shown.answers] == [2] * 4 + [1] * 4
    assert sum(row.is_right for row in shown.answers) == 3


def test_other_newcomers_get_the_first_questions_whoever_repeats(project: Project) -> None:
    ann = failed(project)
    first = set(Task.objects.filter(batch__kind="screening").values_list("solution", flat=True))
    more_gold(project, 5)
    decide(quality.let_repeat, project, ann)
    assert quality.projects_of(make.ben(project))[0].screening == SIZE
    assert answer(project, make.ben(project), right=4) == first
    assert quality.lease_next(make.ben(), project=project).kind == BatchKind.SELECTED


def test_the_next_person_who_repeats_gets_the_same_questions(project: Project) -> None:
    more_gold(project, 5)
    ann, ben = failed(project), failed(project, "ben")
    decide(quality.let_repeat, project, ann)
    decide(quality.let_repeat, project, ben)
    assert Batch.objects.filter(kind="screening").count() == 2
    assert answer(project, ann, right=0) == answer(project, ben, right=0)


def test_without_enough_gold_nobody_repeats_and_nothing_changes(project: Project) -> None:
    ann = failed(project)
    more_gold(project, 3)
    with pytest.raises(quality.MemberRefused, match="needs 4 questions with gold that ann has not met. Sums has 3"):
        decide(quality.let_repeat, project, ann)
    assert (Membership.objects.get(user=ann).screening_set, Batch.objects.filter(kind="screening").count()) == (1, 1)
    assert not Event.objects.filter(verb="let repeat").exists()


def test_gold_that_the_person_had_as_work_or_that_practice_shows_is_no_question(project: Project) -> None:
    ann = failed(project)
    more_gold(project, 6)
    practiced = quality.open_practice(project, by="rolf", size=1).task_set.get().solution_id
    had = GoldAnswer.objects.exclude(pk=practiced).exclude(solution__task__batch__kind="screening").first().solution
    task = Task.objects.get(solution=had)
    Assignment.objects.create(task=task, batch=task.batch, state="done", labeler=ann, slot=None)
    decide(quality.let_repeat, project, ann)
    questions = set(Task.objects.filter(batch__kind="screening", batch__generation=-2).values_list("solution", flat=True))
    assert len(questions) == SIZE and not questions & {practiced, had.pk}


def test_a_manager_publishes_questions_for_another_attempt(project: Project) -> None:
    ann = failed(project)
    chosen = [row.solution.pk for row in quality.drawn_for_newcomers(project, by="rolf", size=3, seed=0, kind="repeat")]
    batch = quality.publish_for_newcomers(project, by="rolf", solutions=chosen, kind="repeat", is_draft=False, actor=make.olga())
    assert (batch.kind, batch.generation) == (BatchKind.SCREENING, -2)
    assert decide(quality.let_repeat, project, ann) == 3
    assert answer(project, ann, right=3, of=3) == set(chosen)


def test_there_is_no_other_attempt_before_a_first_screening() -> None:
    made = make.project()
    make.rolf(made)
    with pytest.raises(quality.BadScreening, match="has no screening yet"):
        quality.drawn_for_newcomers(made, by="rolf", size=1, seed=0, kind="repeat")


def test_the_records_of_another_attempt_say_that_they_answer_a_screening(project: Project) -> None:
    ann = failed(project)
    more_gold(project, 5)
    decide(quality.let_repeat, project, ann)
    answer(project, ann, right=0)
    second = Annotation.objects.get(labeler=ann, assignment__batch__generation=-2, solution=Annotation.objects.last().solution)
    record = export.shown(project, second.pk)[1]
    assert (record["generation"], record["is_initial_screening_question"]) == (-1, True)
    assert record["question"]["ground_truth_answer"] is None


@pytest.mark.parametrize(
    ("right", "of", "words"),
    [(1, 1, "has not finished the screening: 3 questions are left"), (4, 4, "has passed"), (0, 0, "has not finished")],
)
@pytest.mark.parametrize("act", [quality.refuse, quality.let_repeat])
def test_only_who_did_not_pass_is_refused_or_repeats(project: Project, right: int, of: int, words: str, act: Callable[..., object]) -> None:
    ann = make.ann(project)
    answer(project, ann, right=right, of=of)
    with pytest.raises(quality.MemberRefused, match=words):
        decide(act, project, ann)


@pytest.mark.parametrize("act", [quality.admit, quality.refuse, quality.let_repeat])
def test_two_managers_do_not_undo_each_other(project: Project, act: Callable[..., object]) -> None:
    ann = failed(project)
    seen = quality.newcomers_page(project).chosen.seen
    decide(quality.refuse, project, ann)
    with pytest.raises(quality.MemberChanged, match="olga did “refuse member”"):
        act(project, number_of(ann), actor=make.olga(), seen=seen)


def test_a_reviewer_decides_about_no_newcomer(project: Project) -> None:
    ann = failed(project)
    seen = quality.newcomers_page(project).chosen.seen
    with pytest.raises(quality.NoSuchMember):
        quality.admit(project, number_of(ann), actor=make.rolf(), seen=seen)


def test_who_has_had_a_question_as_work_cannot_go_on_alone_and_the_manager_decides(project: Project) -> None:
    ann = make.ann(project)
    task = Task.objects.filter(batch__kind="screening").first()
    work = Task.objects.get(solution=task.solution, batch__kind="selected")
    Assignment.objects.create(task=work, batch=work.batch, state="done", labeler=ann, slot=None)
    answer(project, ann, right=3, of=3)
    assert "No screening question is left for you" in told(project, ann)
    chosen = quality.newcomers_page(project).chosen
    assert (chosen.state, chosen.result.pending, chosen.can_be_refused) == (quality.NewcomerState.STUCK, 0, True)
    assert quality.projects_of(ann)[0].standing == told(project, ann)


def test_a_withdrawn_question_is_no_question(project: Project) -> None:
    ann = failed(project)
    withdrawn = Task.objects.filter(batch__kind="screening").first().solution
    queue.withdraw_one(project, withdrawn.pk, actor=make.olga())
    chosen = quality.newcomers_page(project).chosen
    assert (chosen.result.asked, chosen.result.ended, chosen.result.needed) == (3, 3, 3)
    assert "all 3 screening questions" in told(project, ann)


def test_a_researcher_without_admission_is_told_nothing_about_a_screening(project: Project) -> None:
    rita = make.rita(project)
    assert [card.standing for card in quality.projects_of(rita)] == [""]
    assert standings_of(Membership.objects.filter(user__username="olga", role=Role.OWNER, suspended_at="2026-01-01T00:00Z")) == {}


def test_an_export_leaves_newcomers_out_on_demand(project: Project, tmp_path: Path) -> None:
    failed(project)
    counts = []
    for number, options in enumerate(([], ["--without-newcomers"])):
        out = tmp_path / f"{number}.jsonl"
        call_command("export", "--project", "sums", "--out", str(out), *options, stdout=StringIO())
        counts.append(len(out.read_bytes().splitlines()))
    assert counts == [14, 10]


def test_the_figures_count_what_does_not_count_everywhere_by_its_reason(project: Project) -> None:
    ann = failed(project)
    assert figures.count_figures(project)[0].left_out == {"not admitted": 4}
    assert sum(figures.count_figures(project)[0].finished.values()) == 10
    decide(quality.admit, project, ann)
    assert figures.count_figures(project)[0].left_out == {}
    Membership.objects.filter(user__username="rolf").update(quarantined_at="2026-01-01T00:00Z")
    counted = figures.count_figures(project)[0]
    assert (counted.left_out, sum(counted.finished.values())) == ({"in quarantine": 10}, 14)
    assert quality.overview(project).left_out == [("in quarantine", 10, "Labels of a person in quarantine count as work only.")]


def test_nobody_in_quarantine_is_trusted_for_gold(project: Project) -> None:
    Membership.objects.filter(user__username="rolf").update(quarantined_at="2026-01-01T00:00Z")
    assert quality.trusted_people(project) == []
    with pytest.raises(quality.BadScreening, match="has labeled 0 usable solutions"):
        quality.open_practice(project, by="rolf", size=1)
    Membership.objects.filter(user__username="rolf").update(quarantined_at=None)
    assert [person.username for person in quality.trusted_people(project)] == ["rolf"]


def test_a_snapshot_notes_whose_labels_it_lacks(project: Project) -> None:
    ann, ben, cleo = failed(project), failed(project, "ben"), make.person("cleo", project)
    decide(quality.admit, project, ben)
    Membership.objects.filter(user=cleo).update(quarantined_at="2026-01-01T00:00Z")
    make.person("dora", project)  # has answered nothing
    assert export.take_snapshot(project, use=Use.TRAINING).spec["left_out"] == sorted([ann.pk, cleo.pk])


# --- who is notified --------------------------------------------------------------------------------------------------------------


def news(name: str) -> list[str]:
    return list(Notification.objects.filter(person__username=name).order_by("pk").values_list("sentence", flat=True))


def test_managers_are_notified_once_of_who_did_not_pass_and_the_notification_leads_to_the_answers(project: Project) -> None:
    ann = failed(project)
    assert news("olga") == []
    assert (quality.notify_of_screenings(), quality.notify_of_screenings()) == (1, 0)
    assert news("olga") == ["ann did not pass the screening of Sums (right answers: 0 of 4; needed: 3). Decide whether ann can label."]
    assert Notification.objects.get().path == f"/p/{project.slug}/people/newcomers/?person={number_of(ann)}"
    assert news("ann") == [], "The page where ann works says that a manager decides now."


@pytest.mark.parametrize("is_admitted", [False, True])
def test_managers_and_the_newcomer_are_notified_of_who_passed(project: Project, is_admitted: bool) -> None:
    ann = make.ann(project)
    answer(project, ann, right=3)
    if is_admitted:
        quality.lease_next(ann, project=project)
    assert (quality.notify_of_screenings(), quality.notify_of_screenings()) == (1, 0)
    assert news("olga") == ["ann passed the screening of Sums (right answers: 3 of 4; needed: 3)."]
    assert news("ann") == ["You passed the screening of Sums. You can label there now."]


def test_nobody_is_notified_of_a_screening_that_is_not_over(project: Project) -> None:
    answer(project, make.ann(project), right=0, of=SIZE - 1)
    assert quality.notify_of_screenings() == 0 and news("olga") == []


@pytest.mark.parametrize("act", [quality.admit, quality.refuse])
def test_managers_are_not_asked_to_decide_what_is_decided(project: Project, act: Callable[..., object]) -> None:
    decide(act, project, failed(project))
    assert quality.notify_of_screenings() == 0 and news("olga") == []


def test_the_answers_of_somebody_who_was_paused_are_notified_after_the_pause(project: Project) -> None:
    ann = failed(project)
    Membership.objects.filter(user=ann).update(suspended_at=timezone.now())
    assert quality.notify_of_screenings() == 0
    Membership.objects.filter(user=ann).update(suspended_at=None)
    assert quality.notify_of_screenings() == 1


def test_managers_are_notified_of_a_newcomer_who_has_had_the_other_questions_as_work(project: Project) -> None:
    answer(project, make.ann(project), right=0, of=SIZE - 1)
    left = Task.objects.filter(batch__kind="screening").exclude(assignment__labeler__username="ann").get()
    elsewhere = Task.objects.create(batch=Batch.objects.filter(kind="selected").latest("pk"), solution=left.solution)
    Assignment.objects.create(task=elsewhere, batch=elsewhere.batch, labeler=make.ann(), state="done")
    assert quality.notify_of_screenings() == 1
    assert news("olga") == ["No screening question is left for ann in Sums. Decide whether ann can label."]


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (quality.admit, "You can label in Sums now. A manager admitted you."),
        (quality.refuse, "A manager decided that you do not label in Sums. Your work is kept."),
        (quality.let_repeat, "You can repeat the screening of Sums, with 4 other questions. A manager decided so."),
    ],
)
def test_a_newcomer_is_notified_of_each_decision(project: Project, act: Callable[..., object], sentence: str) -> None:
    more_gold(project, 5)
    decide(act, project, failed(project))
    assert news("ann") == [sentence]


def test_a_second_attempt_is_another_result(project: Project) -> None:
    more_gold(project, 5)
    ann = failed(project)
    quality.notify_of_screenings()
    decide(quality.let_repeat, project, ann)
    assert quality.notify_of_screenings() == 0, "No question of the second attempt is answered."
    answer(project, ann, right=4)
    quality.notify_of_screenings()
    assert news("olga")[1:] == ["ann passed the screening of Sums (right answers: 4 of 4; needed: 3)."]
    assert news("ann")[1:] == ["You passed the screening of Sums. You can label there now."]


def test_a_submit_of_the_last_question_stores_no_notification(project: Project) -> None:
    failed(project)
    assert not Notification.objects.exists()


def test_a_project_that_is_archived_notifies_nobody_of_its_screening(project: Project) -> None:
    failed(project)
    Project.objects.update(archived_at=timezone.now())
    assert quality.notify_of_screenings() == 0
