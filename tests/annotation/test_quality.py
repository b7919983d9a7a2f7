"""Quality: the screening every newcomer goes through, and gold's set of acceptable first mistakes."""

import uuid

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from annotation import eligibility, export, labels, quality, queue
from annotation.eligibility import Use
from annotation.models import BatchKind, FinishReason, GoldAnswer, Membership, Project
from tests import make

pytestmark = pytest.mark.django_db

VERDICTS = [1, None, 0, 2]  # the trusted person's first mistakes


def submit(lease: queue.Lease, labeler: User, first_mistake: int | None) -> None:
    """Rate a solution of three steps up to its first mistake."""
    ratings = [1] * 3 if first_mistake is None else [1] * first_mistake + [-1]
    labels.submit(
        lease.assignment_id,
        labeler=labeler,
        token=lease.token,
        submission_id=uuid.uuid4(),
        active_ms=1,
        total_ms=1,
        ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
        finish_reason="solution" if first_mistake is None else "found_error",
    )


@pytest.fixture
def project() -> Project:
    """Four solutions labeled by rolf are the screening; two more wait as real work."""
    made = make.project(qualify_rate=0.75)
    trusted = make.rolf(made)
    make.batch(made, make.solutions(made, 4))
    for first_mistake in VERDICTS:
        submit(queue.lease_next(trusted, project=made), trusted, first_mistake)
    make.batch(made, make.solutions(made, 2))
    quality.open_screening(made, by="rolf", size=4)
    return made


def answer_all(project: Project, labeler: User, *, wrongly: int) -> None:
    """Answer the screening as gold does, but for some questions."""
    for number in range(4):
        lease = quality.lease_next(labeler, project=project)
        assert lease.generation == -1
        acceptable = GoldAnswer.objects.get(solution=lease.solution_id).acceptable_first_errors
        right = acceptable[0] if acceptable else None
        submit(lease, labeler, right if number >= wrongly else (None if acceptable else 1))


def test_gold_holds_the_trusted_persons_first_mistakes(project: Project) -> None:
    assert sorted(gold.acceptable_first_errors for gold in GoldAnswer.objects.all()) == [[], [0], [1], [2]]


def test_who_answers_often_enough_goes_on_to_real_work(project: Project) -> None:
    ann = make.ann(project)
    answer_all(project, ann, wrongly=1)
    assert quality.lease_next(ann, project=project).generation == 1
    assert Membership.objects.get(user=ann).qualified_at is not None


def test_who_does_not_is_told_the_result_and_what_happens_next(project: Project) -> None:
    ann = make.ann(project)
    answer_all(project, ann, wrongly=2)
    with pytest.raises(
        queue.NotQualified, match="all 4 screening questions .* 2 of your answers were right; 3 right answers are needed.* manager"
    ):
        quality.lease_next(ann, project=project)
    assert Membership.objects.get(user=ann).qualified_at is None


def test_a_manager_may_admit_who_did_not_pass(project: Project) -> None:
    ann = make.ann(project)
    answer_all(project, ann, wrongly=4)
    Membership.objects.filter(user=ann).update(qualified_at="2026-01-01T00:00Z")
    assert quality.lease_next(ann, project=project).generation == 1


def test_screening_answers_are_trained_on_once_their_author_is_admitted(project: Project) -> None:
    ann = make.ann(project)
    answer_all(project, ann, wrongly=2)
    admitted = eligibility.counting(Use.TRAINING)
    assert (export.take_snapshot(project, use=Use.TRAINING).count, admitted.count()) == (4, 4)  # rolf's, who made the questions
    assert export.take_snapshot(project).count == 8  # what researchers get says in each record that it answers a screening
    Membership.objects.filter(user=ann).update(qualified_at="2026-01-01T00:00Z")
    snapshot = export.take_snapshot(project, use=Use.TRAINING)
    assert set(snapshot.snapshotitem_set.values_list("annotation", flat=True)) == set(admitted.values_list("pk", flat=True))
    assert (snapshot.count, len(list(export.labeled_solutions(snapshot)))) == (8, 8)


def test_a_person_admitted_elsewhere_is_a_newcomer_here(project: Project) -> None:
    ann = make.ann(project)
    make.ann(make.project("other"))
    Membership.objects.filter(user=ann, project__slug="other").update(qualified_at="2026-01-01T00:00Z")
    answer_all(project, ann, wrongly=2)
    assert (export.take_snapshot(project, use=Use.TRAINING).count, eligibility.counting(Use.TRAINING).count()) == (4, 4)


def test_a_skipped_question_counts_as_not_answered_rightly(project: Project) -> None:
    ann = make.ann(project)
    for _ in range(2):
        lease = quality.lease_next(ann, project=project)
        labels.skip(lease.assignment_id, labeler=ann, token=lease.token, reason="too long")
    for _ in range(2):
        lease = quality.lease_next(ann, project=project)
        acceptable = GoldAnswer.objects.get(solution=lease.solution_id).acceptable_first_errors
        submit(lease, ann, acceptable[0] if acceptable else None)
    with pytest.raises(queue.NotQualified, match="2 of your answers were right"):
        quality.lease_next(ann, project=project)


def test_in_the_middle_of_the_screening_there_is_no_result(project: Project) -> None:
    ann = make.ann(project)
    submit(quality.lease_next(ann, project=project), ann, 1)
    assert quality.screening_of(ann, project=project) is None


def test_a_suspended_newcomer_is_not_admitted_by_a_passed_screening(project: Project) -> None:
    ann = make.ann(project)
    answer_all(project, ann, wrongly=0)
    Membership.objects.filter(user=ann).update(suspended_at="2026-01-01T00:00Z")
    with pytest.raises(queue.NotQualified, match="paused"):
        quality.lease_next(ann, project=project)
    assert Membership.objects.get(user=ann).qualified_at is None


@pytest.mark.parametrize(
    ("finish_reason", "first_mistake", "acceptable", "within"),
    [
        (FinishReason.FOUND_ERROR, 2, [2, 3], True),
        (FinishReason.FOUND_ERROR, 3, [2, 3], True),
        (FinishReason.FOUND_ERROR, 1, [2, 3], False),
        (FinishReason.FOUND_ERROR, 1, [], False),
        (FinishReason.SOLUTION, None, [], True),
        (FinishReason.SOLUTION, None, [2], False),
        (FinishReason.GIVE_UP, None, [], False),
        (FinishReason.BAD_PROBLEM, None, [], False),
    ],
)
def test_gold_is_a_set_of_first_mistakes(finish_reason: str, first_mistake: int | None, acceptable: list[int], within: bool) -> None:
    assert quality.is_within_gold(finish_reason, first_mistake, acceptable) is within


def test_gold_made_richer_by_hand_is_not_overwritten(project: Project) -> None:
    gold = GoldAnswer.objects.get(acceptable_first_errors=[1])
    GoldAnswer.objects.filter(pk=gold.pk).update(acceptable_first_errors=[0, 1])
    project.batch_set.filter(kind=BatchKind.SCREENING).update(generation=-2)
    quality.open_screening(project, by="rolf", size=4)
    gold.refresh_from_db()
    assert gold.acceptable_first_errors == [0, 1]


def test_a_screening_of_too_few_labels_is_refused_with_the_remedy(project: Project) -> None:
    with pytest.raises(CommandError, match="The size is 30, but rolf has labeled 4 usable .* Choose a smaller size") as refused:
        call_command("open_screening", "--project", project.slug, "--by", "rolf", "--size", "30")
    assert refused.value.returncode == 2


def test_a_second_screening_is_refused_and_changes_no_gold(project: Project) -> None:
    before = GoldAnswer.objects.count()
    with pytest.raises(quality.BadScreening, match="exists already"):
        quality.open_screening(project, by="rolf", size=2)
    assert GoldAnswer.objects.count() == before


def test_the_page_takes_a_newcomer_from_the_last_question_to_real_work(project: Project, client: Client) -> None:
    ann = make.ann(project)
    answer_all(project, ann, wrongly=0)
    client.force_login(ann)
    page = client.get(f"/p/{project.slug}/label/")
    assert page.context["lease"].generation == 1
