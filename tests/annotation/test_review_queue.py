"""Review: which disagreements come first, what a reviewer sees of the readers, and work that is sent back."""

import uuid

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation import labels, quality, queue
from annotation.labels import reopening
from annotation.models import Annotation, Batch, Event, GoldAnswer, Membership, Message, Project, Role, Solution, SolutionConsensus
from tests import make
from tests.reviews import NONE, at, decide, disputed, read_all, sent

pytestmark = pytest.mark.django_db

Conflicts = list[tuple[Solution, str]]


def listed(project: Project) -> Conflicts:
    return [(row.solution, row.words) for row in quality.review_queue(project, reviewer=make.rolf(project)).conflicts]


def test_only_solutions_on_which_people_disagree_are_in_the_queue() -> None:
    project, [first, _, third] = disputed((at(1), at(2)), (at(1), at(1)), (NONE, at(0)))
    assert sorted(listed(project), key=lambda row: row[0].pk) == [(first, "step 2, step 3"), (third, "step 1, no mistake")]


def test_what_is_worth_most_comes_first() -> None:
    project, [first, second, third] = disputed((at(1), at(2)), (at(1), at(2)), (at(0), at(1)))
    for solution, bits in ((first, 0.5), (second, 1.0), (third, 1.0)):
        SolutionConsensus.objects.filter(solution=solution).update(entropy=bits)
    rows = quality.review_queue(project, reviewer=make.rolf(project)).conflicts
    assert [(row.solution, row.bits, row.ratings, row.worth) for row in rows] == [
        (second, 1.0, 5, 5.0),
        (third, 1.0, 3, 3.0),
        (first, 0.5, 5, 2.5),
    ]


def test_a_person_in_quarantine_disagrees_with_nobody() -> None:
    project, _ = disputed((at(1), at(2)))
    Membership.objects.filter(user=make.ben()).update(quarantined_at=Now())
    assert listed(project) == []


def test_what_a_reviewer_labeled_is_for_others() -> None:
    project, _ = disputed((at(1), at(2)))
    Membership.objects.filter(user=make.ann()).update(role=Role.REVIEWER)
    mine, theirs = (quality.review_queue(project, reviewer=person) for person in (make.ann(), make.rolf(project)))
    assert (len(mine.conflicts), mine.n_own, len(theirs.conflicts), theirs.n_own) == (0, 1, 1, 0)


def test_what_is_still_labeled_waits() -> None:
    project, [solution] = disputed((at(1), at(2)))
    queue.change_overlap(project, 3, actor=None)
    shown = quality.review_queue(project, reviewer=make.rolf(project))
    assert (len(shown.conflicts), shown.n_waiting) == (0, 1)
    Batch.objects.update(state="closed")
    assert [row.solution for row in quality.review_queue(project, reviewer=make.rolf()).conflicts] == [solution]


def test_a_decided_solution_leaves_the_queue_before_it_is_settled_again() -> None:
    project, [first, second] = disputed((at(1), at(2)), (at(0), at(1)))
    decide(project, first, make.rolf(project), at(1))
    assert [solution for solution, _ in listed(project)] == [second]
    quality.settle(project)
    assert SolutionConsensus.objects.get(solution=first).is_adjudicated


def test_what_a_reviewer_in_quarantine_decided_is_decided_again_by_another() -> None:
    project, [solution] = disputed((at(1), at(2)))
    ruth = make.person("ruth", project, Role.REVIEWER)
    decide(project, solution, ruth, at(1))
    assert listed(project) == []
    Membership.objects.filter(user=ruth).update(quarantined_at=Now())
    quality.settle(project)
    assert [row for row, _ in listed(project)] == [solution]


def test_withdrawn_solutions_and_test_problems_are_not_reviewed() -> None:
    project, [first, second] = disputed((at(1), at(2)), (at(0), at(1)))
    queue.withdraw(Solution.objects.filter(pk=first.pk), actor=None)
    second.problem.split = "test"
    second.problem.save()
    assert listed(project) == []


def test_the_queue_asks_as_often_for_many_as_for_one() -> None:
    asked = []
    for count in (1, 6):
        project, _ = disputed(*[(at(1), at(2))] * count, slug=f"p{count}")
        rolf = make.rolf(project)
        with CaptureQueriesContext(connection) as queries:
            assert len(quality.review_queue(project, reviewer=rolf).conflicts) == count
        asked.append(len(queries))
    assert asked[0] == asked[1]


# --- one solution -------------------------------------------------------------------------------------------------------


def sentence(*readings: tuple[int, ...], **ends: object) -> str:
    project = make.project(f"p{uuid.uuid4().hex[:6]}", overlap=max(1, len(readings)))
    solution = make.solutions(project, 1)[0]
    make.batch(project, [solution])
    for person, ratings in zip((make.ann(project), make.ben(project)), readings, strict=False):
        lease = queue.lease_next(person, project=project)
        labels.submit(lease.assignment_id, labeler=person, token=lease.token, **sent(ratings, **ends))
    return quality.review_of(project, solution.pk, reviewer=make.rolf(project)).sentence


def test_how_the_readers_stand_to_each_other_is_said_in_a_sentence() -> None:
    assert sentence(at(1), at(2)) == "2 readers disagree."
    assert sentence(at(1), at(1)) == "All 2 readers agree: step 2."
    assert sentence(NONE, NONE) == "All 2 readers agree: no mistake."
    assert sentence(at(1)).startswith("Only one person judged this solution to its end, so nobody disagrees.")
    assert sentence().startswith("Nobody’s label")
    gave_up = {"finish_reason": "give_up", "reason": "Too long."}
    assert sentence((1,), (1,), **gave_up).startswith("All 2 readers gave up or called the problem bad, so no first mistake is known.")


def test_readers_are_letters_that_do_not_follow_people_from_solution_to_solution() -> None:
    project, solutions = disputed(*[(at(1), at(2))] * 12)
    reviews = [quality.review_of(project, solution.pk, reviewer=make.rolf(project)) for solution in solutions]
    letters = ["".join(str(reader.first_mistake) for reader in review.readers) for review in reviews]
    assert {tuple(reader.letter for reader in review.readers) for review in reviews} == {("A", "B")}
    assert set(letters) == {"12", "21"}
    assert letters == [
        "".join(str(reader.first_mistake) for reader in quality.review_of(project, one.pk, reviewer=make.rolf()).readers)
        for one in solutions
    ]


def test_each_step_shows_what_every_reader_says_of_it() -> None:
    project, [solution] = disputed((at(1), NONE))
    review = quality.review_of(project, solution.pk, reviewer=make.rolf(project))
    by_step = [sorted(mark.words for mark in step.marks) for step in review.steps]
    assert by_step == [["positive", "positive"], ["negative", "positive"], ["not rated", "positive"]]
    assert [step.is_named for step in review.steps] == [False, True, False]


# --- sent back ----------------------------------------------------------------------------------------------------------


def reading_of(solution: Solution, person: str) -> Annotation:
    return Annotation.objects.newest().get(solution=solution, labeler__username=person)


def test_a_labeler_looks_again_at_what_was_sent_back_long_after_the_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    project, [solution] = disputed((at(1), at(2)))
    reading, ann = reading_of(solution, "ann"), make.ann()
    monkeypatch.setattr(reopening, "REOPEN_MINUTES", 0)
    with pytest.raises(labels.NothingToRevise):
        labels.reopen(reading.pk, labeler=ann, project=project)
    message = quality.send_back(project, reading.pk, sender=make.rolf(project), text="Look at step 2.")
    assert (message.recipient, message.annotation) == (ann, reading)
    reopened, ratings = labels.reopen(reading.pk, labeler=ann, project=project)
    assert reopened == reading and [rating["rating"] for rating in ratings] == [1, -1]
    answer = labels.revise(reading.pk, labeler=ann, **sent(at(2)))
    assert (answer.revision, answer.supersedes) == (2, reading)
    with pytest.raises(labels.NothingToRevise):
        labels.reopen(answer.pk, labeler=ann, project=project)


def test_the_home_page_leads_to_what_was_sent_back_until_it_is_answered() -> None:
    project, [solution] = disputed((at(1), at(2)))
    reading, ann = reading_of(solution, "ann"), make.ann()
    quality.send_back(project, reading.pk, sender=make.rolf(project), text="Look at step 2.")
    client = Client()
    client.force_login(ann)
    link = reverse("reopen", args=[project.slug, reading.pk])
    home = client.get(reverse("home")).content.decode()
    assert link in home and "Look at step 2." in home
    page = client.get(link).content.decode()
    assert "A reviewer sent this back" in page and "Look at step 2." in page
    assert link in client.get(reverse("recent", args=[project.slug])).content.decode()
    labels.revise(reading.pk, labeler=ann, **sent(at(1)))
    assert link not in client.get(reverse("home")).content.decode()
    assert Message.objects.get().read_at is not None


def test_a_solution_waits_for_the_answer_and_comes_back_if_people_still_disagree() -> None:
    project, [solution] = disputed((at(1), at(2)))
    reading = reading_of(solution, "ann")
    quality.send_back(project, reading.pk, sender=make.rolf(project), text="Look again.")
    shown = quality.review_queue(project, reviewer=make.rolf())
    assert (shown.conflicts, [row.solution for row in shown.sent_back]) == ([], [solution])
    labels.revise(reading.pk, labeler=make.ann(), **sent(at(1)))
    review = quality.review_of(project, solution.pk, reviewer=make.rolf())
    assert [reader.is_answered for reader in review.readers].count(True) == 1
    assert listed(project) == [(solution, "step 2, step 3")]


def test_a_solution_does_not_wait_for_an_answer_that_nobody_will_give() -> None:
    project, [solution] = disputed((at(1), at(2)))
    quality.send_back(project, reading_of(solution, "ann").pk, sender=make.rolf(project), text="Look again.")
    Membership.objects.filter(user=make.ann()).update(suspended_at="2026-01-01T00:00Z")
    shown = quality.review_queue(project, reviewer=make.rolf())
    assert ([row.solution for row in shown.conflicts], shown.sent_back) == ([solution], [])


def test_a_reading_is_sent_back_again_after_its_answer() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    for step in (1, 2):
        reading = reading_of(solution, "ann")
        quality.send_back(project, reading.pk, sender=rolf, text="Look again.")
        labels.revise(reading.pk, labeler=make.ann(), **sent(at(step)))
    assert Message.objects.exclude(read_at=None).count() == 2
    assert listed(project) == [], "They agree now."


def test_work_that_cannot_be_answered_is_not_sent_back() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf, reading = make.rolf(project), reading_of(solution, "ann")

    def refusal(annotation_id: int, text: str = "Look.", *, sender: str = "rolf") -> str:
        with pytest.raises(quality.BadMessage) as refused:
            quality.send_back(project, annotation_id, sender=make.person(sender), text=text)
        return str(refused.value)

    assert refusal(reading.pk, " ") == "The message is empty. Write a few words."
    assert refusal(reading.pk, "\0").startswith("The message contains")
    assert refusal(reading.pk, sender="ann").startswith("This is your own reading.")
    assert refusal(10**9).startswith("This reading is not there any more.")
    decision = decide(project, solution, rolf, at(1))
    assert refusal(decision.pk).startswith("This reading is not there any more.")
    Membership.objects.filter(user=make.ann()).update(role=Role.FORMER)
    assert refusal(reading.pk).startswith("This person does not label here now")
    ben = reading_of(solution, "ben")
    quality.send_back(project, ben.pk, sender=rolf, text="Look.")
    assert refusal(ben.pk).startswith("Somebody has sent this reading back already.")
    assert Message.objects.count() == 1 and Event.objects.filter(verb="send back").count() == 1


# --- gold ---------------------------------------------------------------------------------------------------------------


def test_a_decision_becomes_gold_with_all_steps_that_are_reasonable() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    decide(project, solution, rolf, at(1))
    assert quality.make_gold(project, solution.pk, steps=[1, 2], note="Carry.", seen="", actor=rolf)
    gold = GoldAnswer.objects.get()
    assert (gold.solution, gold.acceptable_first_errors, gold.note) == (solution, [1, 2], "Carry.")
    assert Event.objects.get(verb="make gold").subject == f"solution {solution.pk}"


def test_gold_without_a_mistake_is_made_of_a_decision_without_one() -> None:
    project, [solution] = disputed((at(1), NONE))
    rolf = make.rolf(project)
    decide(project, solution, rolf, NONE)
    with pytest.raises(quality.GoldRefused, match="gold cannot name a step"):
        quality.make_gold(project, solution.pk, steps=[1], note="", seen="", actor=rolf)
    quality.make_gold(project, solution.pk, steps=[], note="", seen="", actor=rolf)
    assert GoldAnswer.objects.get().acceptable_first_errors == []
    assert Event.objects.filter(verb="make gold").count() == 1


def test_gold_must_accept_the_decision_that_it_is_made_of() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    with pytest.raises(quality.GoldRefused, match="Decide first"):
        quality.make_gold(project, solution.pk, steps=[1], note="", seen="", actor=rolf)
    decide(project, solution, rolf, at(1))
    for steps in ([], [2]):
        with pytest.raises(quality.GoldRefused, match="names step 2"):
            quality.make_gold(project, solution.pk, steps=steps, note="", seen="", actor=rolf)
    assert not GoldAnswer.objects.exists()


def test_two_reviewers_who_make_the_same_gold_do_not_overwrite_each_other() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    decide(project, solution, rolf, at(1))
    quality.make_gold(project, solution.pk, steps=[1], note="", seen="", actor=rolf)
    with pytest.raises(quality.GoldChanged):
        quality.make_gold(project, solution.pk, steps=[1, 2], note="", seen="", actor=make.olga(project))
    assert GoldAnswer.objects.get().acceptable_first_errors == [1]


def test_a_decision_that_contradicts_gold_is_said_and_settled_by_changing_one_of_them() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    gold = GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[2])
    decide(project, solution, rolf, at(1))
    review = quality.review_of(project, solution.pk, reviewer=rolf)
    assert review.is_gold_contradicted
    assert not quality.make_gold(project, solution.pk, steps=[1, 2], note="", seen=quality.seen_of_gold(gold), actor=rolf)
    assert not quality.review_of(project, solution.pk, reviewer=rolf).is_gold_contradicted


def test_no_record_on_gold_is_moved_by_an_answer_to_gold_that_a_decision_contradicts() -> None:
    project = make.project(overlap=1)
    chosen = make.solutions(project, 2)
    queue.open_batch(project, [queue.Chosen(one.pk, kind="gold") for one in chosen])
    for one in chosen:
        GoldAnswer.objects.create(solution=one, acceptable_first_errors=[1])
    Project.objects.update(gold_percent=100)
    project.refresh_from_db()
    read_all(project, make.ann(project), at(1), at(2))

    def share() -> tuple[int, int]:
        member = quality.team_of(project).members[0]
        return member.gold.k, member.gold.n

    assert share() == (1, 2)
    missed = Annotation.objects.get(steplabel__step_index=2).solution
    decide(project, missed, make.rolf(project), at(2))
    assert share() == (1, 1)


def test_a_record_judges_the_answer_that_was_sent_back_and_not_what_came_after() -> None:
    project = make.project(gold_percent=100)
    [solution] = make.solutions(project, 1)
    queue.open_batch(project, [queue.Chosen(solution.pk, kind="gold")])
    GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[1])
    [reading] = read_all(project, make.ann(project), at(2))
    quality.send_back(project, reading.pk, sender=make.rolf(project), text="Look again.")
    labels.revise(reading.pk, labeler=make.ann(), **sent(at(1)))
    member = next(row for row in quality.team_of(project).members if row.username == "ann")
    assert (member.gold.k, member.gold.n) == (0, 1)
