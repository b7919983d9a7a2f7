"""Stage labels: alternatives at the first mistake, and a step written by hand."""

import uuid

import pytest

from annotation import labels, queue
from annotation.models import Annotation, Project, StepAlternative, StepLabel
from tests import make
from tests.assignments import assignment_of, rated, revise, submit, sums

pytestmark = pytest.mark.django_db


def with_alternatives(*texts: str, step: int = 1, **fields: object) -> Project:
    """Return a project that asks for alternatives. Its one solution has these texts at a step."""
    project = make.project(alternatives_after_error=True, **fields)
    [solution] = make.solutions(project, 1)
    for position, text in enumerate(texts, 1):
        StepAlternative.objects.create(solution=solution, step_index=step, position=position, text=text)
    make.batch(project, [solution])
    return project


def other(position: int, rating: int | None, *, step: int = 1, **more: object) -> labels.Rating:
    return {"step": step, "position": position, "rating": rating, "flagged": False, "ms": None, **more}


def by_hand(text: str = "So it is 5.", *, step: int = 1) -> labels.Rating:
    return {"step": step, "rating": None, "flagged": False, "ms": 700, "text": text}


def test_alternatives_at_the_first_mistake_are_stored_with_it() -> None:
    project = with_alternatives("a", "b", "c")
    lease = queue.lease_next(make.ann(project), project=project)
    annotation = submit(lease, make.ann(), [*rated(1, -1), other(3, 1), other(1, None, flagged=True)])
    stored = StepLabel.objects.filter(annotation=annotation, step_index=1).order_by("position")
    assert list(stored.values_list("position", "rating", "flagged", "chosen", "shown_at")) == [
        (0, -1, None, False, 0),
        (1, None, True, False, 1),
        (3, 1, False, False, 3),
    ]


def test_a_step_written_at_the_mistake_becomes_the_labelers_alternative() -> None:
    project = with_alternatives("a")
    lease = queue.lease_next(make.ann(project), project=project)
    annotation = submit(lease, make.ann(), [*rated(1, -1), by_hand(" So it is 5.\n")], reason="The sum is off.")
    mine = StepAlternative.objects.get(author=make.ann())
    assert (mine.solution_id, mine.step_index, mine.position, mine.text) == (lease.solution_id, 1, 2, "So it is 5.")
    stored = StepLabel.objects.values_list("rating", "flagged", "rated_ms", "chosen", "shown_at").get(annotation=annotation, position=2)
    assert (stored, annotation.reason) == ((None, False, 700, False, None), "The sum is off.")


def test_a_step_written_again_in_a_correction_is_one_alternative() -> None:
    project = with_alternatives()
    first = submit(queue.lease_next(make.ann(project), project=project), make.ann(), [*rated(1, -1), by_hand()])
    second = revise(first, make.ann(), [*rated(1, -1, flagged=(0,)), by_hand()])
    assert StepAlternative.objects.count() == 1
    assert StepLabel.objects.values_list("position", "shown_at").get(annotation=second, rating=None) == (1, None)


def test_what_one_labeler_wrote_is_not_shown_to_the_next() -> None:
    project = with_alternatives("a", overlap=2)
    submit(queue.lease_next(make.ann(project), project=project), make.ann(), [*rated(1, -1), by_hand()])
    lease = queue.lease_next(make.ben(project), project=project)
    with pytest.raises(labels.BadSubmission) as caught:
        submit(lease, make.ben(), [*rated(1, -1), other(2, 1)])
    assert caught.value.code == "unknown_step"


def test_a_reopened_submission_is_what_was_sent() -> None:
    project = with_alternatives("a", "b")
    sent = [*rated(1, -1), other(1, 0), other(2, -1, flagged=True), by_hand()]
    annotation = submit(queue.lease_next(make.ann(project), project=project), make.ann(), sent)
    assert labels.reopen(annotation.pk, labeler=make.ann(), project=project) == (annotation, sent)


def test_a_draft_keeps_alternatives_texts_and_choices() -> None:
    project = with_alternatives("a")
    lease = queue.lease_next(make.ann(project), project=project)
    sent = [*rated(1, -1), other(1, 1, chosen=True), by_hand()]
    labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=1, ratings=sent[::-1])
    assert queue.lease_next(make.ann(), project=project).draft == {"revision": 1, "ratings": sent}


def test_the_same_submission_with_another_text_is_a_conflict() -> None:
    project = with_alternatives("a")
    lease = queue.lease_next(make.ann(project), project=project)
    submit(lease, make.ann(), [*rated(1, -1), by_hand("So 5.")], submission_id=uuid.UUID(int=7))
    with pytest.raises(labels.SubmissionConflict):
        submit(lease, make.ann(), [*rated(1, -1), by_hand("So 6.")], submission_id=uuid.UUID(int=7))
    assert StepAlternative.objects.filter(author=make.ann()).count() == 1


@pytest.mark.parametrize(
    ("code", "ratings"),
    [
        ("unknown_step", [*rated(1, -1), other(2, 1)]),
        ("unknown_step", [*rated(1, -1), other(2**15, 1)]),
        ("not_at_mistake", [*rated(1, 1), other(1, 1)]),
        ("not_at_mistake", [*rated(1, -1), other(1, 1, step=0)]),
        ("not_at_mistake", [*rated(-1), by_hand()]),
        ("unrated_step", [*rated(1, -1), other(1, None)]),
        ("not_asked", [*rated(1, -1), other(1, 1, chosen=True)]),
        ("bad_rating", [*rated(1, -1), other(1, 1), other(1, 1)]),
        ("bad_rating", [*rated(1, -1), by_hand(), by_hand("twice")]),
        ("bad_rating", [*rated(1, -1), {**by_hand(), "position": 1}]),
        ("bad_rating", [*rated(1, -1), {**by_hand(), "rating": 1}]),
        ("bad_rating", [*rated(1, -1), other(1, 1, chosen="yes")]),
        ("bad_text", [*rated(1, -1), by_hand(" \n")]),
        ("bad_text", [*rated(1, -1), by_hand("a\0b")]),
        ("bad_text", [*rated(1, -1), {**by_hand(), "text": 5}]),
        ("too_long", [*rated(1, -1), by_hand("x" * (labels.LONGEST_WRITTEN + 1))]),
    ],
)
def test_a_bad_alternative_is_refused_with_its_code_and_changes_nothing(code: str, ratings: list) -> None:
    project = with_alternatives("a")
    lease = queue.lease_next(make.ann(project), project=project)
    with pytest.raises(labels.BadSubmission) as caught:
        submit(lease, make.ann(), ratings, finish_reason="give_up", reason="hard")
    assert caught.value.code == code
    assert (assignment_of(lease).state, Annotation.objects.count(), StepAlternative.objects.count()) == ("leased", 0, 1)


def test_a_written_step_is_refused_in_a_project_that_does_not_ask_for_it() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    with pytest.raises(labels.BadSubmission) as caught:
        submit(lease, make.ann(), [*rated(1, -1), by_hand()])
    assert (caught.value.code, StepAlternative.objects.count()) == ("not_asked", 0)


def test_a_project_with_alternatives_reads_none_where_none_was_rated(django_assert_num_queries) -> None:
    project = with_alternatives("a")
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    with django_assert_num_queries(2 + 2):
        submit(lease, ann, rated(1, -1))
