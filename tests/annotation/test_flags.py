"""The watch over a project: what a worker flags, what managers decide, and what a quarantine does; the empty queue and the line of gold."""

import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from active_learning import scoring
from active_learning.models import Score
from annotation import labels, notifications, people, quality, queue, watching
from annotation.eligibility import Use, counting
from annotation.models import (
    Assignment,
    Batch,
    Draft,
    Event,
    Flag,
    GoldAnswer,
    Membership,
    Notification,
    NotificationKind,
    Project,
    Role,
    Solution,
    Watch,
)
from annotation.quality.flags import FlagDecided
from annotation.quality.team import seen_of
from tests import make
from tests.assignments import rated
from tests.clients import signed_in
from tests.verdicts import judged
from tests.waiting import PATIENCE

pytestmark = pytest.mark.django_db
AT_ONCE = timedelta(0)


@pytest.fixture
def project() -> Project:
    made = make.project()
    make.ann(made), make.olga(made)
    return made


def spam(project: Project, *, by: str = "ann", count: int = 15, solutions: Sequence[Solution] = ()) -> list[Solution]:
    """Let somebody find no mistake in solutions whose answers are wrong."""
    solutions = list(solutions) or make.solutions(project, count, outcome="wrong")
    for solution in solutions:
        judged(solution, by, None, active_ms=60_000)
    return solutions


def flag_of(project: Project) -> Flag:
    spam(project)
    (flag,) = quality.watch_project(project)
    return flag


def member_of(project: Project, name: str = "ann") -> Membership:
    return Membership.objects.get(project=project, user__username=name)


def decide(flag: Flag, decision: str, *, note: str = "I looked.", actor: User | None = None, seen: str | None = None) -> str:
    member = member_of(flag.project)
    seen = seen_of(member) if seen is None else seen
    return quality.decide_flag(flag.project, flag.pk, actor=actor or make.olga(), decision=decision, note=note, seen=seen)


def told(kind: str) -> list[str]:
    return list(Notification.objects.filter(kind=kind, person__username="olga").order_by("pk").values_list("sentence", flat=True))


# --- what is flagged ------------------------------------------------------------------------------------------------------------


def test_bad_work_is_flagged_with_its_evidence_and_its_false_alarms(project: Project) -> None:
    flag = flag_of(project)
    assert (flag.person.username, flag.kind) == ("ann", "truth")
    assert flag.evidence["sentences"][0] == "On 15 solutions about which something is known, 0 verdicts fit it."
    assert "in at most 1 of" in flag.evidence["sentences"][-1]
    assert told("flag") == [f"The work of ann in {project} was flagged: verdicts that do not fit what is known. Look at it and decide."]


def test_an_undecided_flag_is_not_raised_again(project: Project) -> None:
    flag_of(project)
    spam(project, count=5)
    assert quality.watch_project(project) == [] and len(told("flag")) == 1


def test_a_worker_looks_only_where_there_are_new_labels(project: Project) -> None:
    spam(project)
    assert quality.watch_new(often=AT_ONCE) == {project.slug: 1}
    assert quality.watch_new(often=AT_ONCE) == {}
    spam(project, count=1)
    assert quality.watch_new() == {}, "It was looked at within the last five minutes."
    Watch.objects.update(looked_at=timezone.now() - timedelta(minutes=6))
    assert quality.watch_new() == {project.slug: 0}


@pytest.mark.django_db(transaction=True)
def test_a_label_that_is_committed_after_a_later_one_is_looked_at_too(project: Project) -> None:
    early, [other] = make.solutions(project, 15, outcome="wrong"), make.solutions(project, 1, outcome="wrong")
    make.ben(project)
    judged(other, "ann", None, active_ms=60_000)  # the batch is there
    stored, looked = threading.Event(), threading.Event()

    def label_slowly() -> None:
        with transaction.atomic():
            spam(project, solutions=early)
            stored.set()
            assert looked.wait(PATIENCE)

    def look_meanwhile() -> dict[str, int]:
        assert stored.wait(PATIENCE)
        judged(other, "ben", 1, active_ms=60_000)
        raised = quality.watch_new(often=AT_ONCE)
        looked.set()
        return raised

    _, meanwhile = make.at_once([label_slowly, look_meanwhile])
    assert meanwhile == {project.slug: 0}
    assert quality.watch_new(often=AT_ONCE) == {project.slug: 1}
    assert Flag.objects.get().person.username == "ann"
    assert quality.watch_new(often=AT_ONCE) == {}


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_raise_a_flag_once(project: Project) -> None:
    spam(project)
    outcomes = make.at_once([lambda: len(quality.watch_project(project)) for _ in range(3)])
    assert sorted(outcomes, key=str) == [0, 0, 1]
    assert Flag.objects.count() == 1 and len(told("flag")) == 1


def test_a_flag_that_is_dismissed_while_a_worker_looks_is_not_raised_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    flag, test = flag_of(project), watching.watch

    def test_and_dismiss(*verdicts: Any, **options: Any) -> watching.WatchResult:
        watched = test(*verdicts, **options)
        decide(flag, "dismissed")
        return watched

    monkeypatch.setattr(watching, "watch", test_and_dismiss)
    assert quality.watch_project(project) == []
    assert Flag.objects.count() == 1


def test_other_projects_are_not_looked_at_with_it(project: Project) -> None:
    other = make.project("other")
    spam(other, by="ben")
    quality.watch_new(often=AT_ONCE)
    spam(project)
    assert quality.watch_new(often=AT_ONCE) == {project.slug: 1}


def test_the_work_of_honest_people_is_not_flagged(project: Project) -> None:
    for solution in make.solutions(project, 20, outcome="wrong"):
        judged(solution, "ann", 1, active_ms=60_000)
    assert quality.watch_project(project) == []


@pytest.mark.parametrize("change", [{"role": Role.FORMER}, {"role": Role.RESEARCHER}, {"quarantined_at": timezone.now()}])
def test_only_those_who_label_here_are_flagged(project: Project, change: Mapping[str, object]) -> None:
    spam(project)
    Membership.objects.filter(user__username="ann").update(**change)
    assert quality.watch_project(project) == []


def test_pseudonyms_of_a_file_are_not_flagged(project: Project) -> None:
    spam(project, by=f"{people.FILE_PREFIX}1")
    assert quality.watch_project(project) == []


def test_an_interactive_project_is_not_watched(project: Project) -> None:
    Project.objects.update(step_source="interactive")
    spam(project)
    assert quality.watch_new(often=AT_ONCE) == {}


def test_a_correction_does_not_count_as_fast_work(project: Project) -> None:
    make.ben(project)
    for solution in make.solutions(project, 20, outcome="wrong", steps=["x" * 400, "y" * 400, "z" * 400]):
        first = judged(solution, "ann", 1, active_ms=90_000)
        judged(solution, "ben", 1, active_ms=90_000)
        type(first).objects.create(
            assignment=first.assignment, labeler=first.labeler, solution=solution, revision=2, supersedes=first,
            finish_reason="solution", submission_id=uuid.uuid4(),
            body_hash=b"\0" * 32, active_ms=100,
        )  # fmt: skip
    assert "pace" not in {flag.kind for flag in quality.watch_project(project)}


def test_the_serving_model_is_asked_for_the_solutions_that_are_looked_at(project: Project) -> None:
    solutions, asked = spam(project), []
    quality.watch_project(project, marks_of=lambda _, keys: asked.extend(keys) or {})  # type: ignore[func-returns-value]
    assert asked == sorted(solution.pk for solution in solutions)


def test_the_serving_model_marks_its_first_weak_step(project: Project) -> None:
    first, second, _ = make.solutions(project, 3)
    version = make.version(project, 1, champion=True)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{version.pk} PARTITION OF active_learning_score FOR VALUES IN ({version.pk})")
    for solution, weak in ((first, 0), (second, None)):
        Score.objects.create(model_version=version, solution=solution, problem=solution.problem, score=0.5, first_weak_step=weak)
    assert scoring.marks_of_champion(project, [first.pk, second.pk]) == {first.pk: 1, second.pk: 0}
    assert scoring.marks_of_champion(make.project("other"), [first.pk]) == {}


# --- what is decided --------------------------------------------------------------------------------------------------------------


def test_a_dismissed_flag_comes_again_only_from_later_work(project: Project) -> None:
    flag = flag_of(project)
    assert decide(flag, "dismissed") == "The flag of ann is dismissed. It can come again only from later work."
    assert quality.watch_project(project) == [] and not member_of(project).suspended_at
    spam(project)
    assert [again.kind for again in quality.watch_project(project)] == ["truth"]


def test_a_pause_decides_all_flags_of_the_person_who_reads_the_reason(project: Project) -> None:
    flag = flag_of(project)
    Flag.objects.create(project=project, person=flag.person, kind="pace")
    decide(flag, "paused", note="Please read the guidelines again.")
    assert set(Flag.objects.values_list("decision", "note")) == {("paused", "Please read the guidelines again.")}
    assert "Please read the guidelines again." in signed_in(make.ann()).get("/").content.decode()
    assert counting(Use.TRAINING).count() == 15


def test_labels_in_quarantine_count_nowhere_and_come_back_whole(project: Project) -> None:
    flag = flag_of(project)
    uses = (Use.TRAINING, Use.CONSENSUS, Use.AGREEMENT, Use.DATASET, Use.WORK)
    before = {use: set(counting(use).values_list("pk", flat=True)) for use in uses}
    decide(flag, "quarantined")
    assert {use: counting(use).count() for use in uses} == dict.fromkeys(uses, 0) | {Use.WORK: 15}
    assert member_of(project).suspended_at
    labels = signed_in(make.olga()).get(reverse("annotations", args=[project.slug]), {"by": "ann"}).content.decode()
    assert labels.count("no mistakes") >= 15, "Labels in quarantine can be looked through."
    member = member_of(project)
    sentence = quality.lift_quarantine(project, member.pk, actor=make.olga(), seen=seen_of(member))
    assert sentence.startswith("All labels of ann count again. ann is still paused")
    assert {use: set(counting(use).values_list("pk", flat=True)) for use in uses} == before


def test_what_a_person_in_quarantine_holds_goes_back_and_their_drafts_stay(project: Project) -> None:
    flag = flag_of(project)
    make.batch(project, make.solutions(project, 2))
    ann = make.ann()
    lease = queue.lease_next(ann, project=project)
    queue.reserve_next(ann, project=project)
    labels.save_draft(lease.assignment_id, labeler=ann, token=lease.token, revision=1, ratings=rated(1))
    decide(flag, "quarantined")
    assert not Assignment.objects.filter(labeler=ann, state__in=["leased", "reserved"]).exists()
    assert queue.lease_next(make.ben(project), project=project).assignment_id == lease.assignment_id
    assert Draft.objects.filter(labeler=ann).count() == 1


def test_nobody_decides_about_their_own_work(project: Project) -> None:
    flag = flag_of(project)
    Membership.objects.filter(user=make.ann()).update(role=Role.MANAGER)
    with pytest.raises(quality.MemberRefused, match="about your own work"):
        decide(flag, "dismissed", actor=make.ann())
    page = signed_in(make.ann()).get(reverse("flags", args=[project.slug])).content.decode()
    assert "another manager or an owner decides it" in page and 'name="decision"' not in page
    decide(flag, "quarantined")
    with pytest.raises(quality.MemberRefused, match="about your own work"):
        quality.lift_quarantine(project, member_of(project).pk, actor=make.ann(), seen=seen_of(member_of(project)))
    assert member_of(project).quarantined_at


def test_each_decision_is_an_event(project: Project) -> None:
    decide(flag_of(project), "quarantined", note="Too fast.")
    member = member_of(project)
    quality.lift_quarantine(project, member.pk, actor=make.olga(), seen=seen_of(member))
    assert list(Event.objects.order_by("pk").values_list("verb", flat=True)) == [
        "pause member", "quarantine labels", "decide flag", "lift quarantine",
    ]  # fmt: skip


def test_somebody_who_is_paused_already_can_be_put_into_quarantine(project: Project) -> None:
    flag, member = flag_of(project), member_of(project)
    quality.pause(project, member.pk, actor=make.olga(), reason="Wait.", seen=seen_of(member))
    with pytest.raises(quality.MemberRefused, match="paused already"):
        decide(flag, "paused")
    decide(flag, "quarantined", note="Now I have looked.")
    assert member_of(project).quarantined_at and member_of(project).reason == "Now I have looked."


def test_the_labels_of_a_former_member_can_be_put_into_quarantine(project: Project) -> None:
    flag = flag_of(project)
    Membership.objects.filter(user__username="ann").update(role=Role.FORMER)
    decide(flag, "quarantined")
    assert member_of(project).quarantined_at and not member_of(project).suspended_at


def test_of_two_managers_the_second_reads_what_the_first_decided(project: Project) -> None:
    flag, seen = flag_of(project), seen_of(member_of(project))
    decide(flag, "quarantined")
    with pytest.raises(FlagDecided, match="olga has decided this flag already: paused and quarantined"):
        decide(flag, "dismissed", actor=make.rita(project), seen=seen)


def test_a_decision_about_a_person_who_was_changed_meanwhile_is_refused(project: Project) -> None:
    flag, seen = flag_of(project), seen_of(member_of(project))
    quality.pause(project, member_of(project).pk, actor=make.olga(), reason="Wait.", seen=seen)
    with pytest.raises(quality.MemberChanged, match="olga did “pause member”"):
        decide(flag, "dismissed", seen=seen)
    assert not Flag.objects.get().decided_at


@pytest.mark.django_db(transaction=True)
def test_two_managers_at_once_decide_a_flag_once(project: Project) -> None:
    rob = make.person("rob", project, Role.MANAGER)
    flag = flag_of(project)
    member = member_of(project)
    seen, olga = seen_of(member), make.olga()
    outcomes = make.at_once(
        [
            lambda: quality.decide_flag(project, flag.pk, actor=olga, decision="dismissed", note="Fine.", seen=seen),
            lambda: quality.decide_flag(project, flag.pk, actor=rob, decision="quarantined", note="Bad.", seen=seen),
        ]
    )
    assert sum(isinstance(outcome, quality.MemberChanged) for outcome in outcomes) == 1
    flag.refresh_from_db()
    assert (flag.decision == "quarantined") == bool(member_of(project).quarantined_at)
    assert Event.objects.filter(verb="decide flag").count() == 1


@pytest.mark.parametrize(("note", "words"), [("  ", "is empty"), ("x" * 1001, "1,001 characters"), ("a\0b", "NUL")])
def test_a_note_that_cannot_be_stored_is_refused(project: Project, note: str, words: str) -> None:
    flag = flag_of(project)
    with pytest.raises(quality.MemberRefused, match=words):
        decide(flag, "dismissed", note=note)
    assert not Flag.objects.get().decided_at


def test_a_decision_that_is_none_is_refused(project: Project) -> None:
    with pytest.raises(quality.MemberRefused, match="Choose what to do"):
        decide(flag_of(project), "shoot")


def test_erasing_a_person_empties_the_notes_about_them(project: Project) -> None:
    decide(flag_of(project), "dismissed", note="ann was ill.")
    people.erase(make.ann(), actor=None)
    assert Flag.objects.get().note == "" and told("flag") == []


# --- the page -----------------------------------------------------------------------------------------------------------------------


def page_of(project: Project, client: Client | None = None) -> str:
    return (client or signed_in(make.olga())).get(reverse("flags", args=[project.slug])).content.decode()


def test_the_page_shows_the_evidence_and_the_newest_work(project: Project) -> None:
    flag = flag_of(project)
    html = page_of(project)
    assert all(sentence in html for sentence in flag.evidence["sentences"]) and "ann: verdicts that do not fit what is known" in html
    assert html.count(f"/p/{project.slug}/labels/") >= 6


def test_a_manager_decides_on_the_page(project: Project) -> None:
    flag, olga = flag_of(project), signed_in(make.olga())
    form = {"decision": "quarantined", "note": "Too fast.", "seen": seen_of(member_of(project))}
    olga.post(reverse("decide-flag", args=[project.slug, flag.pk]), form)
    html = page_of(project, olga)
    assert "No flag waits for a decision." in html and "In quarantine" in html and "paused and quarantined by olga" in html
    member = member_of(project)
    olga.post(reverse("lift-quarantine", args=[project.slug, member.pk]), {"seen": seen_of(member)})
    assert "In quarantine" not in page_of(project, olga) and not member_of(project).quarantined_at


def test_a_refused_note_stays_in_its_box(project: Project) -> None:
    flag = flag_of(project)
    long = "so " * 400
    form = {"decision": "dismissed", "note": long, "seen": seen_of(member_of(project))}
    answer = signed_in(make.olga()).post(reverse("decide-flag", args=[project.slug, flag.pk]), form)
    assert answer.status_code == 400 and long in answer.content.decode() and "1,199 characters" in answer.content.decode()


def test_a_flag_of_another_project_is_not_found(project: Project) -> None:
    flag, other = flag_of(project), make.project("other")
    make.olga(other)
    answer = signed_in(make.olga()).post(reverse("decide-flag", args=["other", flag.pk]), {"decision": "dismissed", "note": "So."})
    assert answer.status_code == 404 and not Flag.objects.get().decided_at


def test_the_page_says_what_cannot_be_judged(project: Project) -> None:
    spam(project, count=3)
    quality.watch_new(often=AT_ONCE)
    assert "Nobody has 10 verdicts yet." in page_of(project)


# --- the queue and the line -----------------------------------------------------------------------------------------------------------


def test_the_managers_are_told_once_that_nothing_is_left_to_label(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    assert quality.note_dry_spells() == []
    Batch.objects.update(state="closed")
    assert quality.note_dry_spells() == [project.slug] and quality.note_dry_spells() == []
    make.batch(project, make.solutions(project, 1), generation=1)
    assert quality.note_dry_spells() == []
    queue.lease_next(make.ann(), project=project)
    assert quality.note_dry_spells() == [project.slug]
    assert told("dry") == [f"{project} has no more solutions to label. Publish a batch or start a round."] * 2


def test_a_paused_batch_leaves_something_to_label(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    quality.note_dry_spells()
    Batch.objects.update(state="paused")
    assert quality.note_dry_spells() == []


def test_of_a_project_that_never_had_work_nobody_is_told(project: Project) -> None:
    quality.note_dry_spells()
    assert quality.note_dry_spells() == [] and told("dry") == []


def answer_gold(project: Project, right: int, wrong: int) -> None:
    for place, solution in enumerate(make.solutions(project, right + wrong)):
        GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[1])
        judged(solution, "ann", 1 if place < right else 0, kind="screening", generation=-1)


def test_the_managers_read_that_the_answers_to_gold_fell_below_the_line(project: Project) -> None:
    Membership.objects.update(qualified_at=timezone.now())
    answer_gold(project, 2, 12)
    quality.watch_project(project), quality.watch_project(project)
    assert told(NotificationKind.GOLD) == [f"The answers of ann to gold in {project} fell below the line of 75%: 2 of 14 are right."]
    assert notifications.unread_of(make.ann()) == 0


def test_an_interval_that_reaches_the_line_is_not_below_it(project: Project) -> None:
    Membership.objects.update(qualified_at=timezone.now())
    answer_gold(project, 8, 4)
    quality.watch_project(project)
    assert told(NotificationKind.GOLD) == []
