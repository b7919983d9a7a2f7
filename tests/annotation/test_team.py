"""The people of a project: whom its managers see, in which state, and what they do about one of them."""

import csv
import io
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation import export, ingest, labels, people, quality, queue
from annotation.models import (
    Annotation,
    Assignment,
    BrowserSession,
    Event,
    GoldAnswer,
    Invitation,
    Membership,
    Message,
    Project,
    ProjectFigures,
    Role,
)
from tests import make
from tests.clients import signed_in
from tests.exports import label

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    made = make.project()
    make.olga(made)
    make.batch(made, make.solutions(made, 6))
    return made


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga())


def of(person: User, project: Project) -> Membership:
    return Membership.objects.get(user=person, project=project)


def path(person: User, project: Project) -> str:
    return reverse("member", args=["sums", of(person, project).pk])


def act(client: Client, person: User, project: Project, what: str, **more: str) -> Any:
    seen = quality.member_page(project, of(person, project).pk).seen
    return client.post(path(person, project), {"act": what, "seen": seen} | more, follow=True)


def text(answer: Any) -> str:
    return " ".join(re.sub("<[^>]+>", " ", answer.content.decode()).split())


def rows(answer: Any, title: str = "members-title") -> list[list[str]]:
    """The rows of a table of a page, cell by cell."""
    part = answer.content.decode().split(f'aria-labelledby="{title}" tabindex="0"')[1].split("</table>")[0]
    found = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)
    return [
        [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL)] for row in found
    ]


# --- the table ----------------------------------------------------------------------------------------------------------------


def test_the_table_shows_each_member_with_role_state_and_work(project: Project, olga: Client) -> None:
    make.ann(project), make.rita(project)
    label(project, 1, 1, 1, finish_reason="solution")
    label(project, -1, finish_reason="found_error")
    header, *members = rows(olga.get("/p/sums/people/"))
    assert header[:6] == ["Name", "Role", "State", "Today", "Total", "Time each"]
    assert [row[:6] for row in members] == [
        ["ann", "labeler", "active", "2", "2", "4 s"],
        ["olga", "owner", "active", "0", "0", "–"],
        ["rita", "researcher", "active", "0", "0", "–"],
    ]  # fmt: skip


def test_everybody_who_labeled_stays_in_the_sums_with_their_mark(project: Project, olga: Client) -> None:
    """Paused, former and closed accounts, and an imported labeler: what they did belongs to somebody."""
    ends = {"ann": {}, "ben": {"suspended_at": Now(), "reason": "Too fast."}, "cleo": {"role": Role.FORMER}, "dan": {}}
    for name, fields in ends.items():
        person = make.person(name, project)
        lease = queue.lease_next(person, project=project)
        submit(person, lease)
        Membership.objects.filter(user=person).update(**fields)
    User.objects.filter(username="dan").update(is_active=False)
    ingest_one(project)
    team = quality.team_of(project)
    states = {row.username: (row.state, row.work.total) for row in team.members if not row.username.startswith("file-")}
    assert states == {
        "ann": ("active", 1), "ben": ("paused", 1), "cleo": ("former member", 1), "dan": ("account closed", 1), "olga": ("active", 0),
    }  # fmt: skip
    assert team.total.work.total == 5 == sum(one.work.total for one in team.sums) == quality.overview(project).labeled
    assert team.total.count == 6 == sum(one.count for one in team.sums)
    shown = rows(olga.get("/p/sums/people/"), "sums-title")
    assert shown[-1][:4] == ["all", "6", str(team.total.work.today), "5"]


def submit(person: User, lease: queue.Lease) -> Annotation:
    return labels.submit(
        lease.assignment_id, labeler=person, token=lease.token, submission_id=uuid4(), finish_reason="found_error", reason="",
        ratings=[{"step": 0, "rating": -1}], active_ms=60_000, total_ms=60_000,
    )  # fmt: skip


def ingest_one(project: Project) -> None:
    annotation = ingest.NewAnnotation((ingest.NewLabel(0, -1),), "found_error", canonical=b"x", labeler=None)
    problem = ingest.NewProblem("What is 1 + 1?", "2", None, "imported", "", "")
    ingest.add_solutions(project, [ingest.NewSolution(problem, ["It is 3.\n\n# Answer\n\n3"], "3", "file", annotation)])


def test_practice_is_no_work(project: Project) -> None:
    make.ann(project)
    label(project, 1, 1, 1, finish_reason="solution")
    quality.open_practice(project, by="ann", size=1)
    ben = make.ben(project)
    submit(ben, queue.lease_next(ben, project=project))
    work = {row.username: row.work.total for row in quality.team_of(project).members}
    assert work == {"ann": 1, "ben": 0, "olga": 0}


def test_a_correction_counts_once(project: Project) -> None:
    make.ann(project)
    first = label(project, 1, 1, 1, finish_reason="solution")
    labels.revise(
        first.pk, labeler=make.ann(), submission_id=uuid4(), finish_reason="found_error", reason="", ratings=[{"step": 0, "rating": -1}],
        active_ms=1, total_ms=1,
    )  # fmt: skip
    assert quality.team_of(project).total.work.total == 1


def test_work_in_another_project_does_not_count(project: Project) -> None:
    other = make.project("other")
    make.batch(other, make.solutions(other, 1))
    make.ann(project), make.ann(other)
    label(other, 1, 1, 1, finish_reason="solution")
    assert quality.team_of(project).total.work.total == 0 and quality.team_of(other).total.work.total == 1


@pytest.mark.parametrize(("asked", "names"), [
    ({}, ["ann", "ben", "cleo", "olga", "rita"]), ({"words": "AN"}, ["ann"]), ({"words": "miller"}, ["ben"]), ({"words": "%"}, []),
    ({"role": "labeler"}, ["ann", "ben"]), ({"role": "former"}, ["cleo"]), ({"state": "paused"}, ["ben"]), ({"state": "nonsense"}, []),
    ({"role": "labeler", "state": "active"}, ["ann"]), ({"words": "zoe"}, []), ({"page": "99"}, ["ann", "ben", "cleo", "olga", "rita"]),
    ({"page": "x"}, ["ann", "ben", "cleo", "olga", "rita"]), ({"page": "-1"}, ["ann", "ben", "cleo", "olga", "rita"]),
])  # fmt: skip
def test_people_are_found_by_name_role_and_state(project: Project, olga: Client, asked: dict[str, str], names: list[str]) -> None:
    make.ann(project), make.ben(project), make.rita(project), make.person("cleo", project, Role.FORMER)
    User.objects.filter(username="ben").update(first_name="Ben", last_name="Miller")
    Membership.objects.filter(user=make.ben()).update(suspended_at=Now())
    found = [row[0].split()[-1] for row in rows(olga.get("/p/sums/people/", asked))[1:] if not row[0].startswith("Nobody matches")]
    assert found == names


def test_a_page_has_fifty_people_and_the_filter_stays(project: Project, olga: Client) -> None:
    for n in range(60):
        make.person(f"p{n:02}", project)
    first, second = (olga.get("/p/sums/people/", {"role": "labeler", "page": page}) for page in (1, 2))
    assert len(rows(first)) == 51 and len(rows(second)) == 11
    assert "role=labeler&amp;page=2" in first.content.decode() and "Page 1 of 2, 60 people" in text(first)
    assert not {row[0] for row in rows(first)[1:]} & {row[0] for row in rows(second)[1:]}


def test_more_people_cost_no_more_queries(project: Project, olga: Client, django_assert_max_num_queries: Any) -> None:
    def n_queries() -> int:
        with django_assert_max_num_queries(40) as asked:
            assert olga.get("/p/sums/people/").status_code == 200
        return len(asked)

    make.ann(project)
    before = n_queries()
    for n in range(60):
        person = make.person(f"p{n:02}", project)
        people.invite(project, actor=make.olga(), role=Role.LABELER, text=f"guest {n}")
    submit(person, queue.lease_next(person, project=project))
    assert n_queries() == before


def test_a_newcomer_is_marked_where_there_is_a_screening(project: Project) -> None:
    make.ann(project)
    label(project, 1, 1, 1, finish_reason="solution")
    make.ben(project)
    quality.open_screening(project, by="ann", size=1)
    states = {row.username: row.state for row in quality.team_of(project).members}
    assert (states["ann"], states["ben"]) == ("active", "not admitted")


def test_the_record_on_gold_has_its_interval(project: Project) -> None:
    ann = make.ann(project)
    stored = [label(project, -1, finish_reason="found_error") for _ in range(4)]
    for annotation, acceptable in zip(stored, ([0], [0], [1], [0]), strict=True):
        annotation.assignment.task.kind = "gold"
        annotation.assignment.task.save()
        GoldAnswer.objects.create(solution=annotation.solution, acceptable_first_errors=acceptable)
    shown = quality.member_page(project, of(ann, project).pk).member.gold
    assert (shown.k, shown.n, shown.words) == (3, 4, "75% (30% to 95%)")  # Wilson's interval for 3 of 4
    assert next(row.gold for row in quality.team_of(project).members if row.username == "ann") == shown


# --- the page of one person ---------------------------------------------------------------------------------------------------


def test_the_page_of_a_person_shows_work_by_day_pace_and_what_they_hold(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    for _ in range(3):
        submit(ann, queue.lease_next(ann, project=project))
    lease = queue.lease_next(ann, project=project)
    signed_in(ann)
    page = olga.get(path(ann, project))
    words = text(page)
    shown = quality.member_page(project, of(ann, project).pk)
    assert (shown.member.work.today, shown.member.work.total, shown.week.total) == (3, 3, 3)
    assert shown.member.work.minutes_each == shown.week.minutes_each == 1.0
    assert [one.solution_id for one in shown.leases] == [lease.solution_id] and f"solution {lease.solution_id}" in words
    assert shown.chart[-1] == (timezone.now().date(), 3) and len(shown.chart) == 14
    assert shown.sessions == 1 and "Signed in in 1 browser, last seen" in words
    assert "127.0.0.1" not in words


def test_work_by_day_can_be_downloaded(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    submit(ann, queue.lease_next(ann, project=project))
    answer = olga.get(reverse("member-work", args=["sums", of(ann, project).pk]))
    assert answer["Content-Type"].startswith("text/csv") and "attachment" in answer["Content-Disposition"]
    today = timezone.now().date().isoformat()
    assert list(csv.reader(io.StringIO(answer.content.decode()))) == [["day", "solutions", "active_minutes"], [today, "1", "1.0"]]


def test_the_labels_of_one_person_are_listed(project: Project, olga: Client) -> None:
    ann, ben = make.ann(project), make.ben(project)
    for person in (ann, ben, ann):
        submit(person, queue.lease_next(person, project=project))
    link = re.search(r'href="([^"]+by=ann)"', olga.get(path(ann, project)).content.decode())
    assert link
    html = olga.get(link[1]).content.decode()
    assert html.count("<td>ann</td>") == 2 and "<td>ben</td>" not in html and "labels of ann" in html
    assert [row.labeler for row in export.annotations_of(project, by="eve")[0]] == []


def test_a_person_of_another_project_is_not_found(project: Project, olga: Client) -> None:
    other = make.project("other")
    make.ben(other)
    for number in (of(make.ben(), other).pk, 0, 2**63, 2**70):
        for address in (f"/p/sums/people/{number}/", f"/p/sums/people/{number}/work.csv"):
            assert olga.get(address).status_code == 404
        assert olga.post(f"/p/sums/people/{number}/", {"act": "remove"}).status_code == 404


def test_a_manager_writes_a_message_on_the_page_of_a_person(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    assert "Your message is sent" in text(act(olga, ann, project, "message", text="Look at step 2."))
    assert Message.objects.get().recipient == ann and "Look at step 2." in text(olga.get(path(ann, project)))
    empty = act(olga, ann, project, "message", text=" ")
    assert empty.status_code == 400 and "The message is empty" in text(empty) and Message.objects.count() == 1


# --- acts ---------------------------------------------------------------------------------------------------------------------


def test_a_changed_role_is_an_event_with_old_and_new(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    assert "ann is reviewer now" in text(act(olga, ann, project, "role", role="reviewer"))
    event = Event.objects.get(verb="change role")
    assert (event.actor, event.project, event.subject) == (make.olga(), project, f"membership {of(ann, project).pk}")
    assert (event.details["old"], event.details["new"]) == ("labeler", "reviewer")


RANKED = ["labeler", "reviewer", "researcher", "manager", "owner"]


@pytest.mark.parametrize("own", RANKED)
def test_nobody_gives_a_role_or_changes_a_person_above_the_own_role(project: Project, own: str) -> None:
    """Each role of the actor, of the person and of the new role."""
    actor = make.person("max", project, own)
    for old in RANKED:
        for new in RANKED:
            if old == new:
                continue
            person = make.person(f"{old}-{new}", project, old)
            seen = quality.member_page(project, of(person, project).pk).seen
            can = own in ("manager", "owner") and RANKED.index(old) <= RANKED.index(own) >= RANKED.index(new)
            try:
                quality.change_role(project, of(person, project).pk, actor=actor, role=new, seen=seen)
            except (quality.MemberRefused, quality.NoSuchMember):
                assert not can, (old, new)
            else:
                assert can, (old, new)
            assert of(person, project).role == (new if can else old)


@pytest.mark.parametrize("what", ["admit", "pause", "resume", "remove"])
def test_a_manager_does_nothing_to_an_owner(project: Project, what: str) -> None:
    before = of(make.olga(), project)
    max_ = signed_in(make.person("max", project, Role.MANAGER))
    answer = act(max_, make.olga(), project, what, reason="x", sure="1")
    assert answer.status_code == 400 and "above your own role" in text(answer)
    after = of(make.olga(), project)
    assert (after.role, after.suspended_at, after.qualified_at) == (before.role, None, None)


@pytest.mark.parametrize("role", ["former", "nonsense", ""])
def test_a_role_that_does_not_exist_is_refused_beside_the_field(project: Project, olga: Client, role: str) -> None:
    ann = make.ann(project)
    answer = act(olga, ann, project, "role", role=role)
    assert answer.status_code == 400 and "You cannot give this role" in text(answer) and of(ann, project).role == "labeler"


def test_a_pause_has_a_reason_that_both_sides_read(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    act(olga, ann, project, "pause", reason="Please read the guidelines again.")
    home = text(signed_in(ann).get("/"))
    assert "is paused. The reason: Please read the guidelines again." in home
    assert "Please read the guidelines again." in text(olga.get(path(ann, project)))
    assert "Please read the guidelines again." in text(olga.get("/p/sums/people/"))
    with pytest.raises(queue.NotQualified, match="The reason: Please read"):
        queue.lease_next(ann, project=project)
    assert Event.objects.get(verb="pause member").details["reason"] == "Please read the guidelines again."


@pytest.mark.parametrize(
    ("reason", "words"), [("", "The reason is empty"), ("  \n", "The reason is empty"), ("x" * 1001, "1,001 characters")]
)
def test_a_pause_without_a_good_reason_is_refused_and_the_text_stays(project: Project, olga: Client, reason: str, words: str) -> None:
    ann = make.ann(project)
    answer = act(olga, ann, project, "pause", reason=reason)
    assert answer.status_code == 400 and words in text(answer) and of(ann, project).suspended_at is None
    assert reason.strip() in answer.content.decode()


def test_work_in_hand_can_be_finished_after_a_pause(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    ahead = queue.reserve_next(ann, project=project)
    assert ahead
    act(olga, ann, project, "pause", reason="Wait.")
    assert Assignment.objects.get(pk=ahead.assignment_id).state == "open"
    assert submit(ann, lease).pk


def test_a_paused_person_is_let_label_again(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    act(olga, ann, project, "pause", reason="Wait.")
    act(olga, ann, project, "resume")
    assert (of(ann, project).suspended_at, of(ann, project).reason) == (None, "") and queue.lease_next(ann, project=project)


def test_a_newcomer_is_admitted_whatever_the_screening_says(project: Project, olga: Client) -> None:
    make.ann(project)
    label(project, 1, 1, 1, finish_reason="solution")
    quality.open_screening(project, by="ann", size=1)
    ben = make.ben(project)
    assert "has not passed the screening yet" in text(olga.get(path(ben, project)))
    act(olga, ben, project, "admit")
    assert of(ben, project).qualified_at and queue.lease_next(ben, project=project).kind == "selected"
    assert Event.objects.get(verb="admit member").subject == f"membership {of(ben, project).pk}"


def test_removing_asks_first_with_numbers_and_then_keeps_the_labels(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    label(project, 1, 1, 1, finish_reason="solution")
    lease = queue.lease_next(ann, project=project)
    asked = text(act(olga, ann, project, "remove"))
    assert "Remove ann from Sums?" in asked and "1 labeled solution of ann stay" in asked and "1 solution goes back" in asked
    assert of(ann, project).role == "labeler"
    done = text(act(olga, ann, project, "remove", sure="1"))
    assert "ann is a former member now. All labels stay. 1 solution went back to the queue, and what was rated is kept as a draft." in done
    assert of(ann, project).role == "former" and Assignment.objects.get(pk=lease.assignment_id).state == "open"
    assert signed_in(ann).get("/p/sums/label/").status_code == 404 and Annotation.objects.count() == 1
    assert Event.objects.get(verb="remove member").details["given_back"] == 1


def test_a_former_member_is_taken_back_with_the_same_pseudonym(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    before = of(ann, project).export_uuid
    act(olga, ann, project, "remove", sure="1")
    assert "Take back as a member" in text(olga.get(path(ann, project)))
    act(olga, ann, project, "role", role="reviewer")
    assert (of(ann, project).role, of(ann, project).export_uuid) == ("reviewer", before)
    assert Event.objects.get(verb="take member back").details["new"] == "reviewer"


def test_somebody_who_becomes_a_researcher_gives_back_what_they_hold(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    act(olga, ann, project, "role", role="researcher")
    assert Assignment.objects.get(pk=lease.assignment_id).state == "open"


@pytest.mark.parametrize(("what", "more"), [("remove", {"sure": "1"}), ("role", {"role": "manager"})])
def test_the_last_owner_stays(project: Project, olga: Client, what: str, more: dict[str, str]) -> None:
    closed = make.person("closed", project, Role.OWNER)
    User.objects.filter(pk=closed.pk).update(is_active=False)
    answer = act(olga, make.olga(), project, what, **more)
    assert answer.status_code == 400 and "olga is the last owner" in text(answer) and of(make.olga(), project).role == "owner"
    make.person("second", project, Role.OWNER)
    assert act(olga, make.olga(), project, what, **more).redirect_chain[-1][0] == "/"


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_each_other_leave_one(project: Project) -> None:
    owners = {name: make.person(name, project, Role.OWNER) for name in ("anna", "bert")}
    Membership.objects.filter(user=make.olga()).update(role=Role.LABELER)
    seen = {name: quality.member_page(project, of(person, project).pk).seen for name, person in owners.items()}
    acts = [
        lambda one=one, other=other: quality.remove(project, of(owners[one], project).pk, actor=owners[other], seen=seen[one])
        for one, other in (("anna", "bert"), ("bert", "anna"))
    ]
    outcomes = make.at_once(acts)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoSuchMember", "str"]
    assert Membership.objects.filter(project=project, role=Role.OWNER).count() == 1


@pytest.mark.parametrize("what", ["role", "admit", "pause", "resume", "remove"])
def test_of_two_managers_at_once_the_second_is_told_and_nothing_is_stored(project: Project, olga: Client, what: str) -> None:
    ann, max_ = make.ann(project), make.person("max", project, Role.MANAGER)
    seen = quality.member_page(project, of(ann, project).pk).seen
    quality.pause(project, of(ann, project).pk, actor=max_, reason="First.", seen=seen)
    before = Membership.objects.filter(user=ann).values().get()
    answer = olga.post(path(ann, project), {"act": what, "seen": seen, "role": "reviewer", "reason": "Second.", "sure": "1"})
    assert answer.status_code == 409
    assert "max did “pause member” after you opened this page. Nothing was stored." in text(answer) and "First." in text(answer)
    assert Membership.objects.filter(user=ann).values().get() == before


def test_what_was_typed_stays_when_somebody_else_was_faster(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    answer = olga.post(path(ann, project), {"act": "pause", "seen": "labeler||2020", "reason": "My long reason."})
    assert answer.status_code == 409 and "My long reason.</textarea>" in answer.content.decode()


@pytest.mark.parametrize("what", ["", "erase", "role "])
def test_an_unknown_act_is_refused(project: Project, olga: Client, what: str) -> None:
    ann = make.ann(project)
    assert act(olga, ann, project, what).status_code == 400


def test_a_labeler_who_becomes_a_manager_proves_a_second_factor(project: Project, olga: Client, settings: Any) -> None:
    ann = make.ann(project)
    client = signed_in(ann)
    settings.SECOND_FACTOR_REQUIRED = True
    act(olga, ann, project, "role", role="manager")
    assert client.get("/").status_code == 302 and not BrowserSession.objects.filter(person=ann).exists()


# --- inviting on the page -----------------------------------------------------------------------------------------------------


def test_the_links_are_shown_once_with_a_copy_button_and_a_picture(project: Project, olga: Client) -> None:
    html = olga.post("/p/sums/people/", {"role": "labeler", "lines": "Cleo\nDan"}).content.decode()
    links = re.findall(r'value="(http://testserver/invitations/[^"]+)"', html)
    assert len(links) == 2 and html.count("data:image/svg+xml") == 2 and html.count("data-copy=") == 3
    assert not any(link in olga.get("/p/sums/people/").content.decode() for link in links)
    assert Client().get(links[0].removeprefix("http://testserver")).status_code == 200


def test_every_bad_line_is_named_on_the_page_and_the_text_stays(project: Project, olga: Client) -> None:
    answer = olga.post("/p/sums/people/", {"role": "labeler", "lines": "Cleo\nolga\ndan@"})
    assert answer.status_code == 400
    assert "Line 2: “olga” is a member" in text(answer) and "Line 3: “dan@” is not one valid" in text(answer)
    assert "Cleo\nolga\ndan@</textarea>" in answer.content.decode().replace("\r", "")


def test_a_manager_is_offered_no_role_above_the_own_one(project: Project) -> None:
    max_ = signed_in(make.person("max", project, Role.MANAGER))
    form = max_.get("/p/sums/people/").content.decode().split('id="invite"')[1]
    assert re.findall(r'<option value="(\w+)"', form) == ["labeler", "reviewer", "researcher", "manager"]
    answer = max_.post("/p/sums/people/", {"role": "owner", "lines": "Cleo"})
    assert answer.status_code == 400 and "You cannot give this role" in text(answer)


def test_an_open_invitation_is_withdrawn_on_the_page(project: Project, olga: Client) -> None:
    (made,) = people.invite(project, actor=make.olga(), role=Role.LABELER, text="Cleo")
    address = reverse("withdraw-invitation", args=["sums", made.number])
    assert f'action="{address}"' in olga.get("/p/sums/people/").content.decode()
    assert "The invitation of Cleo is withdrawn" in text(olga.post(address, follow=True))
    assert "withdrawn already" in text(olga.post(address, follow=True))
    assert Client().get(made.path).status_code == 410
    assert olga.post(reverse("withdraw-invitation", args=["sums", 2**62])).status_code == 404


def test_the_page_says_whether_the_links_were_sent(project: Project, olga: Client, settings: Any, mailoutbox: list) -> None:
    assert "This site sends no e-mail" in text(olga.get("/p/sums/people/"))
    settings.EMAIL_HOST, settings.DEFAULT_FROM_EMAIL = "mail.example.org", "stepmark@example.org"
    shown = text(olga.post("/p/sums/people/", {"role": "labeler", "lines": "Cleo\ndan@example.com"}))
    assert "The link was also sent to dan@example.com." in shown and len(mailoutbox) == 1


def test_invitations_are_listed_with_their_end(project: Project, olga: Client) -> None:
    made = people.invite(project, actor=make.olga(), role=Role.LABELER, text="open\nused\nwithdrawn\nexpired")
    people.accept(made[1].path.split("/")[-2], person=make.eve())
    people.withdraw(project, made[2].number, actor=make.olga())
    Invitation.objects.filter(pk=made[3].number).update(expires_at=timezone.now() - timedelta(days=1))
    listed = {row[0]: row[2].split()[0] for row in rows(olga.get("/p/sums/people/"), "invitations-title")[1:]}
    assert listed == {"open": "open", "used": "used", "withdrawn": "withdrawn", "expired": "expired"}


def test_the_work_of_a_large_project_comes_from_its_stored_figures(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting a million labels takes longer than a page can wait. What was counted yesterday is not today's work."""
    ann = make.ann(project)
    submit(ann, queue.lease_next(ann, project=project))
    monkeypatch.setattr("annotation.quality.figures.LARGE", 1)
    first = quality.team_of(project)
    submit(ann, queue.lease_next(ann, project=project))
    later = quality.team_of(project)
    assert first.total.work == later.total.work and later.counted_at == first.counted_at and first.total.work.today == 1
    ProjectFigures.objects.update(counted_at=timezone.now() - timedelta(days=1))
    monkeypatch.setattr("annotation.quality.figures.OLDEST", timedelta(days=2))
    monkeypatch.setattr("annotation.quality.figures._ask_worker", lambda project: None)
    assert (quality.team_of(project).total.work.today, quality.team_of(project).total.work.total) == (0, 1)
