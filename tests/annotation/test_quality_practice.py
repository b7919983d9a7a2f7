"""Practice: a newcomer's first solutions, each answered with feedback; they count nowhere."""

import uuid

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from annotation import export, labels, quality, queue
from annotation.models import Annotation, Batch, BatchKind, FinishReason, GoldAnswer, Membership, Project, Task
from tests import make
from tests.clients import shown_claim

pytestmark = pytest.mark.django_db


def submit(lease: queue.Lease, labeler: User, mistake_at: int | None, **more: object) -> Annotation:
    """Rate a solution of three steps up to its first mistake."""
    ratings = [1] * 3 if mistake_at is None else [1] * mistake_at + [-1]
    return labels.submit(
        lease.assignment_id,
        labeler=labeler,
        token=lease.token,
        submission_id=uuid.uuid4(),
        active_ms=1,
        total_ms=1,
        ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
        **{"finish_reason": "solution" if mistake_at is None else "found_error"} | more,
    )


@pytest.fixture
def project() -> Project:
    """Six solutions labeled by rolf, five with the first mistake at step 1 (from 0); two are practice, and two more wait as work."""
    made = make.project()
    rolf = make.rolf(made)
    make.batch(made, make.solutions(made, 6))
    for number in range(6):
        submit(queue.lease_next(rolf, project=made), rolf, None if number == 5 else 1)
    make.batch(made, make.solutions(made, 2))
    quality.open_practice(made, by="rolf", size=2)
    return made


def kinds(project: Project, labeler: User, count: int) -> list[str]:
    """Label some solutions as gold would; say of which kind of batch each was."""
    seen = []
    for _ in range(count):
        lease = quality.lease_next(labeler, project=project)
        gold = GoldAnswer.objects.filter(pk=lease.solution_id).first()
        submit(lease, labeler, gold.acceptable_first_errors[0] if gold and gold.acceptable_first_errors else None)
        seen.append(lease.kind)
    return seen


def test_a_newcomer_practices_then_answers_the_screening_then_works(project: Project) -> None:
    quality.open_screening(project, by="rolf", size=3)
    ann = make.ann(project)
    assert kinds(project, ann, 6) == ["practice"] * 2 + ["screening"] * 3 + ["selected"]
    assert Membership.objects.get(user=ann).qualified_at


def test_without_a_screening_practice_leads_to_work(project: Project) -> None:
    assert kinds(project, make.ann(project), 3) == ["practice", "practice", "selected"]


def test_who_labeled_a_practice_solution_before_is_not_asked_again(project: Project) -> None:
    [card] = quality.projects_of(make.rolf())
    assert (card.practice, card.waiting) == (0, 2)
    assert kinds(project, make.rolf(), 1) == ["selected"]


def test_every_newcomer_gets_the_whole_practice(project: Project) -> None:
    assert kinds(project, make.ann(project), 2) == kinds(project, make.ben(project), 2) == ["practice", "practice"]


def test_who_is_qualified_does_not_practice(project: Project) -> None:
    ann = make.ann(project)
    Membership.objects.filter(user=ann).update(qualified_at="2026-01-01T00:00Z")
    assert kinds(project, ann, 1) == ["selected"]


def test_a_skipped_practice_solution_does_not_come_again(project: Project) -> None:
    ann = make.ann(project)
    lease = quality.lease_next(ann, project=project)
    labels.skip(lease.assignment_id, labeler=ann, token=lease.token, reason="too long")
    assert kinds(project, ann, 2) == ["practice", "selected"]


def test_nothing_is_reserved_behind_practice(project: Project) -> None:
    ann = make.ann(project)
    for _ in range(2):  # the last one too, with real work behind it
        lease = quality.lease_next(ann, project=project)
        assert lease.kind == BatchKind.PRACTICE and queue.reserve_next(ann, project=project) is None
        submit(lease, ann, 1)
    quality.lease_next(ann, project=project)
    assert queue.reserve_next(ann, project=project) is not None


def test_practice_and_screening_never_share_a_solution(project: Project) -> None:
    quality.open_screening(project, by="rolf", size=4)
    asked = Task.objects.filter(batch__kind__in=queue.FOR_NEWCOMERS).values_list("solution", flat=True)
    assert len(asked) == len(set(asked)) == 6
    with pytest.raises(quality.BadScreening, match="The size is 1, but rolf has labeled 0 usable solutions"):
        quality.open_practice(project, by="rolf", size=1)


def test_practice_changes_neither_the_result_of_the_screening_nor_gold_records(project: Project) -> None:
    quality.open_screening(project, by="rolf", size=3)
    ann = make.ann(project)
    for _ in range(2):
        submit(quality.lease_next(ann, project=project), ann, 2)  # all wrong
    kinds(project, ann, 3)
    assert quality.screening_of(ann, project=project) == quality.Screening(asked=3, ended=3, pending=0, within=3, needed=3, state="open")


def test_practice_is_in_no_dataset(project: Project) -> None:
    before = export.take_snapshot(project).count
    assert before == 6
    assert kinds(project, make.ann(project), 2) == ["practice", "practice"]
    assert export.take_snapshot(project).count == before
    assert quality.overview(project).labeled == before


def test_a_practice_annotation_is_not_reopened(project: Project) -> None:
    ann = make.ann(project)
    annotation = submit(quality.lease_next(ann, project=project), ann, 1)
    assert not labels.reopenable(ann, project=project)
    with pytest.raises(labels.NothingToRevise):
        labels.assignment_of(annotation.pk, labeler=ann)


# --- feedback -----------------------------------------------------------------------------------------------------------


def practiced(project: Project, mistake_at: int | None, *, gold: list[int], **more: object) -> quality.Feedback:
    ann = make.ann(project)
    lease = quality.lease_next(ann, project=project)
    GoldAnswer.objects.filter(pk=lease.solution_id).update(acceptable_first_errors=gold, note="Hours are no minutes.")
    return quality.feedback_on(submit(lease, ann, mistake_at, **more))


def test_feedback_sets_the_ratings_beside_gold(project: Project) -> None:
    feedback = practiced(project, 1, gold=[2, 1])
    assert [step.rating for step in feedback.steps] == [1, -1, None]
    assert [step.is_gold for step in feedback.steps] == [False, True, True]
    assert (feedback.acceptable, feedback.first_mistake, feedback.note) == ([1, 2], 1, "Hours are no minutes.")


@pytest.mark.parametrize(
    ("mistake_at", "gold", "within"), [(1, [1, 2], True), (0, [1, 2], False), (None, [], True), (None, [1], False), (1, [], False)]
)
def test_feedback_says_whether_the_verdict_is_within_gold(project: Project, mistake_at: int | None, gold: list[int], within: bool) -> None:
    assert practiced(project, mistake_at, gold=gold).is_within is within


@pytest.mark.parametrize(
    ("mistake_at", "gold", "verdicts"),
    [
        (1, [1], ["", "found", ""]),
        (0, [1, 2], ["blamed", "gold", "gold"]),  # they stopped too early: nothing after it was theirs to find
        (2, [1], ["", "missed", "late"]),
        (None, [2], ["", "", "missed"]),
        (1, [], ["", "blamed", ""]),
        (1, [0, 1], ["gold", "found", ""]),  # either can be called the first mistake
    ],
)
def test_feedback_tells_a_right_step_judged_wrong_from_a_missed_mistake(
    project: Project, mistake_at: int | None, gold: list[int], verdicts: list[str]
) -> None:
    assert [step.verdict for step in practiced(project, mistake_at, gold=gold).steps] == verdicts


@pytest.mark.parametrize("is_shown", [True, False])
def test_feedback_keeps_the_reference_answer_if_the_project_shows_it(project: Project, is_shown: bool) -> None:
    Project.objects.update(show_reference_answer=is_shown)
    feedback = practiced(project, 1, gold=[1])
    assert (feedback.answer is not None) is is_shown


def test_feedback_counts_what_was_practiced(project: Project) -> None:
    first = practiced(project, 0, gold=[1])
    assert (first.progress.ended, first.progress.asked, first.progress.within, first.is_last) == (1, 2, 0, False)
    second = practiced(project, 1, gold=[1])
    assert (second.progress.ended, second.progress.within, second.is_last) == (2, 1, True)


def test_giving_up_is_no_verdict(project: Project) -> None:
    assert not practiced(project, None, gold=[], finish_reason=FinishReason.GIVE_UP, reason="too long").is_within


def test_there_is_no_feedback_on_screening_and_work(project: Project, django_assert_num_queries: object) -> None:
    quality.open_screening(project, by="rolf", size=1)
    Batch.objects.filter(kind=BatchKind.PRACTICE).update(state="closed")
    ann = make.ann(project)
    for kind in ("screening", "selected"):
        Membership.objects.filter(user=ann, qualified_at=None).update(qualified_at="2026-01-01T00:00Z" if kind == "selected" else None)
        lease = quality.lease_next(ann, project=project)
        assert lease.kind == kind
        annotation = submit(lease, ann, 1)
        with django_assert_num_queries(1):
            assert quality.feedback_on(annotation) is None


def test_a_practice_submit_is_answered_with_feedback_and_again_the_same(project: Project, client: Client) -> None:
    ann = make.ann(project)
    client.force_login(ann)
    lease = quality.lease_next(ann, project=project)
    GoldAnswer.objects.filter(pk=lease.solution_id).update(acceptable_first_errors=[1, 2], note="Not <b>so</b>.")
    held = shown_claim(lease.assignment_id, lease.token)
    body = {
        "token": held["token"],
        "submission_id": str(uuid.uuid4()),
        "finish_reason": "found_error",
        "reason": "",
        "active_ms": 1,
        "total_ms": 1,
        "ratings": [{"step": 0, "rating": -1}],
    }
    for _ in range(2):  # the answer may be lost on its way
        html = client.post(reverse("submit", args=[held["assignment"]]), body, content_type="application/json").content.decode()
        assert 'id="work"' in html and "data-work" not in html
        assert "The first mistake is at step 2 or 3. You marked step 1." in html
        assert "Not &lt;b&gt;so&lt;/b&gt;." in html and "Practice 1 of 2, 0 right." in html


def test_the_home_page_says_what_comes_before_real_work(project: Project, client: Client) -> None:
    quality.open_screening(project, by="rolf", size=3)
    ann = make.ann(project)
    client.force_login(ann)
    assert "2 practice solutions, then 3 screening questions, then real work" in " ".join(client.get("/").content.decode().split())
    kinds(project, ann, 3)
    assert "2 screening questions, then real work" in " ".join(client.get("/").content.decode().split())
    kinds(project, ann, 3)
    assert "1 solution waiting" in client.get("/").content.decode()


# --- opening it ---------------------------------------------------------------------------------------------------------


def test_the_command_opens_practice_and_once_more_adds_to_it(project: Project) -> None:
    call_command("open_practice", "--project", project.slug, "--by", "rolf", "--size", "1")
    assert kinds(project, make.ann(project), 4) == ["practice"] * 3 + ["selected"]


def test_what_the_trusted_person_wrote_on_the_mistake_is_golds_note() -> None:
    project = make.project(alternatives_after_error=True)
    rolf = make.rolf(project)
    make.batch(project, make.solutions(project, 1))
    submit(queue.lease_next(rolf, project=project), rolf, 1, reason="Hours are no minutes.")
    quality.open_practice(project, by="rolf", size=1)
    assert GoldAnswer.objects.get().note == "Hours are no minutes."


def test_practice_of_too_few_labels_is_refused_with_the_remedy(project: Project) -> None:
    with pytest.raises(CommandError, match="The size is 5, .* Choose a smaller size") as refused:
        call_command("open_practice", "--project", project.slug, "--by", "rolf")
    assert refused.value.returncode == 2


@pytest.mark.parametrize("command", ["open_practice", "open_screening"])
def test_an_interactive_project_has_no_first_mistakes_to_ask_for(command: str) -> None:
    make.project(step_source="interactive")
    with pytest.raises(CommandError, match="sums is an interactive project. .* practice and screening are not possible"):
        call_command(command, "--project", "sums", "--by", "rolf", "--size", "1")
