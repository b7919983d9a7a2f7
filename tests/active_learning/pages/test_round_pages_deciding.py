"""The pages of rounds that decide: who may, what a round is composed of, a proposal looked through, the schedule."""

import re
from html import escape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from active_learning import rounds, schedules
from active_learning.models import Round, Schedule, Selection
from active_learning.pages import single
from annotation.models import Event, Project, Role, Solution, Task
from tests import make
from tests.assignments import learnable
from tests.clients import signed_in
from tests.proposals import page, path, proposed

pytestmark = pytest.mark.django_db


WEIGHTS = {"weight-convincing": "80", "weight-uniform": "20", "size": "40", "per_problem": "2", "train": "on"}


def typed(html: str, name: str) -> str:
    """Return the text in a field of a page."""
    [field] = re.findall(f'<input[^>]* name="{name}"[^>]*>', html)
    value = re.search(r' value="([^"]*)"', field)
    return value[1] if value else ""


# --- who ----------------------------------------------------------------------------------------------------------------------

DECIDE = ["compose", "start-round", "publish-round", "cancel-round"]
OF_ONE = {"publish-round", "cancel-round"}


@pytest.mark.parametrize("name", DECIDE)
def test_a_researcher_looks_and_does_not_decide(project: Project, rita: Client, name: str) -> None:
    round_ = proposed(project)
    assert "Leave out" not in page(rita, "round", round_.number) and "Discard" not in page(rita, "round", round_.number)
    assert rita.post(path(name, *[round_.number] * (name in OF_ONE)), WEIGHTS).status_code == 404
    assert list(Round.objects.values_list("pk", "state")) == [(round_.pk, "proposed")]


def test_a_researcher_sees_the_schedule_and_cannot_change_it(project: Project, rita: Client) -> None:
    assert "Save the schedule" not in page(rita, "schedule")
    assert rita.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "3"}).status_code == 404
    assert not Schedule.objects.exists()


def test_another_projects_round_is_a_missing_page(project: Project, olga: Client) -> None:
    foreign = proposed(make.project("others"))
    assert olga.get(path("round", foreign.number)).status_code == 404
    for name in ("publish-round", "cancel-round", "replay-round"):
        assert olga.post(path(name, foreign.number)).status_code == 404
    foreign.refresh_from_db()
    assert foreign.state == "proposed"


# --- composing ----------------------------------------------------------------------------------------------------------------


def test_the_composer_starts_a_round_that_waits_to_be_looked_through(project: Project, olga: Client) -> None:
    learnable(project)
    answer = olga.post(path("compose"), WEIGHTS | {"is_diverse": "on"})
    round_ = Round.objects.get()
    assert answer.url == path("round", round_.number)
    assert round_.plan["review"] is True and round_.plan["train"] is True
    assert round_.plan["recipe"] == {
        "parts": [["convincing", 0.8], ["uniform", 0.2]],
        "size": 40,
        "per_problem": 2,
        "is_diverse": True,
        "is_stratified": False,
    }


def test_what_the_model_learns_is_composed_too(project: Project, olga: Client) -> None:
    learnable(project)
    assert 'value="each" selected' in page(olga, "compose")
    answer = olga.post(path("compose"), WEIGHTS | {"learns": "best"})
    assert answer.status_code == 400 and "labels in the form “best”" in answer.content.decode() and not Round.objects.exists()
    olga.post(path("compose"), WEIGHTS | {"learns": "soft"})
    assert Round.objects.get().plan["labels"] == "soft"


def test_what_scheduled_models_learn_is_kept(project: Project, olga: Client) -> None:
    olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "9", "learns": "consensus"})
    assert Schedule.objects.get().labels == "consensus"
    assert 'value="consensus" selected' in page(olga, "schedule")


def test_a_round_for_which_there_are_no_labels_is_refused_where_it_is_composed(project: Project, olga: Client) -> None:
    assert "sums has no labels to learn from yet" in olga.post(path("compose"), WEIGHTS).content.decode()
    assert not Round.objects.exists()


def test_without_a_limit_of_one_problem_the_best_of_all_are_taken(project: Project, olga: Client) -> None:
    learnable(project)
    olga.post(path("compose"), WEIGHTS | {"per_problem": ""})
    assert Round.objects.get().plan["recipe"]["per_problem"] is None


def test_new_solutions_are_sampled_first_if_a_number_is_given(project: Project, olga: Client) -> None:
    learnable(project)
    olga.post(path("compose"), WEIGHTS | {"n": "4", "model": "owner/model", "budget": "1000"})
    assert Round.objects.get().plan["sample"] == {"model": "owner/model", "n": 4, "budget": 1000}


def test_what_the_schedule_keeps_of_a_generator_goes_along_with_its_model(project: Project, olga: Client) -> None:
    Schedule.objects.create(project=project, sample={"model": "mine", "n": 2, "url": "http://localhost:8000/v1", "budget": 9})
    assert typed(page(olga, "schedule"), "model") == "mine"
    olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "9", "n": "3", "model": "mine"})
    assert Schedule.objects.get().sample == {"model": "mine", "n": 3, "url": "http://localhost:8000/v1"}
    olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "9", "n": "", "model": "mine"})
    assert Schedule.objects.get().sample == {}


def test_a_preset_fills_the_weights(project: Project, olga: Client) -> None:
    html = olga.get(path("compose"), {"preset": "paper"}).content.decode()
    assert typed(html, "weight-convincing") == "80" and typed(html, "weight-convincing_all") == "20"
    assert typed(html, "weight-uniform") == ""


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"weight-convincing": "many"}, "The weight of “Convincing wrong answers” must be a number of at least 0, not “many”."),
        ({"weight-convincing": "0", "weight-uniform": ""}, "Give at least one strategy a weight above 0."),
        ({"weight-convincing": "-3"}, "The weight of “Convincing wrong answers” must be a number of at least 0, not “-3”."),
        ({"weight-convincing": "nan"}, "The weight of “Convincing wrong answers” must be a number of at least 0, not “nan”."),
        ({"weight-hope": "3"}, "There is no strategy named hope."),
        ({"size": "ten"}, "The number of solutions must be a whole number, not “ten”."),
        ({"size": ""}, "Enter the number of solutions: at least 1."),
        ({"size": "10001"}, "A batch holds up to 10,000 solutions"),
        ({"per_problem": "0"}, "The limit per problem must be at least 1."),
        ({"train": None}, "no serving model"),
        ({"n": "few"}, "The number of new solutions must be a whole number, not “few”."),
        ({"n": "4", "model": "m", "budget": "99999999999"}, "The budget must be at most 2,147,483,647."),
        ({"n": "4"}, "model is missing"),
        ({"n": "4", "model": "tiny"}, "writes no solutions"),
    ],
)
def test_a_recipe_nobody_can_follow_is_named_and_shown_again(
    project: Project, olga: Client, changes: dict[str, str | None], fault: str
) -> None:
    fields = {name: value for name, value in (WEIGHTS | changes).items() if value is not None}
    answer = olga.post(path("compose"), fields)
    html = answer.content.decode()
    assert answer.status_code == 400 and fault in html and 'role="alert"' in html
    assert typed(html, "size") == fields["size"]
    assert not Round.objects.exists()


WRONG = {"weight-convincing": "-3", "weight-uniform": "1", "size": "10001", "per_problem": "0", "n": "4", "budget": "few"}
FAULTS = (
    "The weight of “Convincing wrong answers” must be a number of at least 0, not “-3”.",
    "A batch holds up to 10,000 solutions, not 10001.",
    "The limit per problem must be at least 1.",
    "The budget must be a whole number, not “few”.",
)


def test_every_wrong_field_is_named_at_once(project: Project, olga: Client) -> None:
    html = olga.post(path("compose"), WRONG).content.decode()
    assert [fault for fault in FAULTS if fault not in html] == []
    scheduled = WRONG | {"is_on": "on", "every_labels": "0", "every_hours": "soon", "daily_at": "24:00"}
    html = olga.post(path("schedule"), scheduled).content.decode()
    more = ("The number of new labels must be from 1 to", "The number of hours must be a whole number", "The time of day cannot be 24:00.")
    assert [fault for fault in (*FAULTS, *more) if fault not in html] == []


def test_a_batch_too_large_a_missing_model_and_a_schedule_without_a_start_are_named_at_once(project: Project, olga: Client) -> None:
    html = olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "size": "10001", "n": "4"}).content.decode()
    faults = ("A batch holds up to 10,000 solutions", "model is missing", "This schedule would never start a round")
    assert [fault for fault in faults if fault not in html] == []


def test_a_round_under_way_is_named_before_and_after_composing(project: Project, olga: Client) -> None:
    round_ = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="scoring", generation=4)
    assert f'<a href="{path("round", round_.number)}">Round 4</a> is under way' in page(olga, "compose")
    assert "Round 4 of sums is still scoring" in olga.post(path("compose"), WEIGHTS).content.decode()
    Round.objects.update(state="proposed")
    assert "waits for your review" in page(olga, "compose")


def test_the_overviews_form_starts_a_round_that_publishes_by_itself(project: Project, olga: Client) -> None:
    olga.post(path("start-round"), {"strategy": "uniform", "size": "7"})
    round_ = Round.objects.get()
    assert (round_.strategy, round_.plan["recipe"]["size"], round_.plan["review"], round_.plan["train"]) == ("uniform", 7, False, False)
    assert "The size must be a whole number" in olga.post(path("start-round"), {"size": "x"}, follow=True).content.decode()


# --- the proposal -------------------------------------------------------------------------------------------------------------


def test_the_overviews_form_offers_three_ways_and_to_train_first(project: Project, olga: Client) -> None:
    learnable(project)
    html = olga.get(reverse("loop", args=[project.slug])).content.decode()
    assert re.findall(r'<option value="(\w+)"', html) == ["uniform", "half", "convincing"]
    assert re.search(r'name="train"[^>]* checked', html)
    assert "has no serving model to choose with" in olga.post(path("start-round"), {"strategy": "half", "size": "4"}, follow=True).text
    olga.post(path("start-round"), {"strategy": "half", "size": "40", "train": "on"})
    plan = Round.objects.get().plan
    assert plan["recipe"]["parts"] == [["convincing", 0.5], ["uniform", 0.5]] and plan["train"]


def test_both_forms_begin_without_a_training_while_there_is_nothing_to_learn_from(project: Project, olga: Client) -> None:
    for name in ("loop", "compose"):
        html = olga.get(reverse(name, args=[project.slug])).content.decode()
        assert re.search(r'name="train"[^>]*>', html) and not re.search(r'name="train"[^>]* checked', html)
    trained = olga.post(path("start-round"), {"strategy": "uniform", "size": "4", "train": "on"}, follow=True).text
    assert "chosen at random (strategy uniform), without a tick at “Train first”" in trained and not Round.objects.exists()
    learnable(project)
    for name in ("loop", "compose"):
        assert re.search(r'name="train"[^>]* checked', olga.get(reverse(name, args=[project.slug])).content.decode())


def test_a_proposal_shows_each_solution_shaded_with_its_reason_and_the_mix_beside_uniform(project: Project, olga: Client) -> None:
    html = page(olga, "round", proposed(project).number)
    assert html.count("data-chosen") == 3 and html.count("taken by convincing") == 3
    assert html.count("--right: 0.4") == 3 and html.count("the model’s first mistake") == 3
    assert '<th scope="row">wrong final answer</th><td class="number">100%</td><td class="number">40%</td>' in html
    assert '<th scope="row">mean score</th><td class="number">0.875</td><td class="number">–</td>' in html
    assert "What is" in html and html.count('type="checkbox" name="drop"') == 3


def test_a_solution_chosen_without_a_model_is_not_shaded(project: Project, olga: Client) -> None:
    round_ = make.round_of(project, {"uniform": make.solutions(project, 2)}, state="proposed", plan={"train": False})
    Selection.objects.update(step_scores=[], score=None)
    html = page(olga, "round", round_.number)
    assert html.count("data-chosen") == 2 and "data-shaded" not in html and "· score" not in html


def test_publishing_leaves_out_what_was_ticked(project: Project, olga: Client) -> None:
    round_ = proposed(project)
    first, *rest = Selection.objects.filter(round=round_).order_by("rank").values_list("solution_id", flat=True)
    html = olga.post(path("publish-round", round_.number), {"drop": [first]}, follow=True).content.decode()
    round_.refresh_from_db()
    assert "Round 0 is published" in html and round_.state == "published"
    assert sorted(Task.objects.filter(batch=round_.batch).values_list("solution_id", flat=True)) == sorted(rest)
    assert Selection.objects.get(solution=first).is_dropped and html.count("left out") == 1


def test_publishing_what_was_published_meanwhile_is_refused_with_a_sentence(project: Project, olga: Client) -> None:
    round_ = proposed(project)
    olga.post(path("publish-round", round_.number))
    assert "Only a proposal can be published" in olga.post(path("publish-round", round_.number), follow=True).content.decode()
    assert Task.objects.filter(batch__project=project).count() == 3


def test_leaving_everything_out_is_refused_and_the_proposal_stays(project: Project, olga: Client) -> None:
    round_ = proposed(project)
    everything = list(Selection.objects.values_list("solution_id", flat=True))
    html = olga.post(path("publish-round", round_.number), {"drop": everything}, follow=True).content.decode()
    assert "Nothing is left to publish" in html
    assert Round.objects.get().state == "proposed" and not Selection.objects.filter(is_dropped=True).exists()


def test_a_long_proposal_is_paged_and_what_was_left_out_goes_along(project: Project, olga: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "ON_ONE_PAGE", 4)
    monkeypatch.setattr(single, "A_PAGE", 2)
    round_ = proposed(project, 5)
    solutions = list(Selection.objects.order_by("rank").values_list("solution_id", flat=True))
    first = page(olga, "round", round_.number)
    assert first.count("data-chosen") == 2 and "Page 1 of 3" in first
    turned = olga.post(path("round", round_.number), {"page": "2", "drop": [solutions[0], solutions[2]]}).content.decode()
    assert f'<input type="hidden" name="drop" value="{solutions[0]}">' in turned
    assert f'name="drop" value="{solutions[2]}" checked' in turned and f'value="{solutions[1]}"' not in turned
    assert "1 left out on other pages" in turned
    assert Round.objects.get().state == "proposed" and not Selection.objects.filter(is_dropped=True).exists()
    assert page(olga, "round", round_.number).count(" checked") == 0


def test_discarding_a_proposal_ends_the_round(project: Project, olga: Client) -> None:
    round_ = proposed(project)
    assert "Discard" in page(olga, "round", round_.number)
    assert "Round 0 is cancelled" in olga.post(path("cancel-round", round_.number), follow=True).content.decode()
    assert Round.objects.get().state == "cancelled" and not Task.objects.exists()


def test_cancelling_a_round_that_has_ended_does_not_touch_its_successor(project: Project, olga: Client) -> None:
    ended = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="failed", finished_at=timezone.now())
    running = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="scoring")  # of the same generation
    assert "has already ended" in olga.post(path("cancel-round", ended.number), follow=True).content.decode()
    running.refresh_from_db()
    assert running.state == "scoring"


def test_fewer_than_asked_for_is_said(project: Project, olga: Client) -> None:
    round_ = proposed(project, findings={"short": "Asked for 200, only 150 fit the recipe."})
    assert "Asked for 200, only 150 fit the recipe." in page(olga, "round", round_.number)


def test_a_solution_of_the_proposal_is_text_and_never_markup(project: Project, olga: Client) -> None:
    round_ = proposed(project, 1)
    Solution.objects.update(steps=["<script>alert(1)</script>", "b", "c"])
    html = page(olga, "round", round_.number)
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html


# --- the schedule -------------------------------------------------------------------------------------------------------------


def test_a_schedule_is_changed_on_its_page(project: Project, olga: Client) -> None:
    fields = WEIGHTS | {"is_on": "on", "every_labels": "500", "every_hours": "", "daily_at": "03:30"}
    html = olga.post(path("schedule"), fields, follow=True).content.decode()
    project.refresh_from_db()
    schedule = Schedule.objects.get()
    assert "The schedule is saved." in html and 'value="03:30"' in html and 'value="500"' in html
    assert (project.retrain_every_labels, project.retrain_every_hours, f"{schedule.daily_at:%H:%M}", schedule.is_on) == (
        500,
        None,
        "03:30",
        True,
    )
    assert schedule.recipe["parts"] == [["convincing", 0.8], ["uniform", 0.2]]


@pytest.mark.parametrize(
    ("weights", "shares"),
    [(("80", "20", "10"), "about 73 % convincing wrong answers"), (("0.5", "0.25", "0.1"), "about 59 %"), (("70", "20", "10"), None)],
)
def test_weights_stay_as_they_were_typed_and_their_shares_are_said_rounded(
    project: Project, olga: Client, weights: tuple[str, str, str], shares: str | None
) -> None:
    names = ("weight-convincing", "weight-uniform", "weight-control")
    fields = dict(zip(names, weights, strict=True)) | {"size": "40", "is_on": "on", "every_hours": "3"}
    html = olga.post(path("schedule"), fields, follow=True).content.decode()
    assert tuple(typed(html, name) for name in names) == weights
    assert ("data-shares" in html) == (shares is not None) and (shares or "") in html
    assert sum(weight for _, weight in schedules.recipe_of(project, Schedule.objects.get()).parts) == pytest.approx(1)


SAMPLED = ("new per problem", "drawn from")


def test_a_change_of_the_schedule_is_an_event_with_old_and_new_values_that_the_audit_shows(project: Project, olga: Client) -> None:
    first = WEIGHTS | {"is_on": "on", "every_hours": "12", "daily_at": "03:30"}
    olga.post(path("schedule"), first)
    olga.post(path("schedule"), first | {"every_hours": "", "daily_at": "04:15", "weight-uniform": "10", "n": "4", "model": "acme/writer"})
    event = Event.objects.filter(verb="change schedule").order_by("-pk")[0]
    assert event.actor == make.olga() and event.project == project
    weights = {"Convincing wrong answers": "80", "At random": "20"}
    assert event.details["old"] == {"after hours": 12, "daily at (UTC)": "03:30", "weights": weights} | dict.fromkeys(SAMPLED)
    weights |= {"At random": "10"}
    sampled = dict(zip(SAMPLED, (4, "acme/writer"), strict=True))
    assert event.details["new"] == {"after hours": None, "daily at (UTC)": "04:15", "weights": weights} | sampled
    html = page(olga, "audit")
    assert "after hours: 12 becomes nothing" in html and "daily at (UTC): 03:30 becomes 04:15" in html
    assert event.details["version"] not in html


def test_a_schedule_that_is_saved_as_it_is_leaves_no_event(project: Project, olga: Client) -> None:
    fields = WEIGHTS | {"is_on": "on", "every_hours": "12"}
    assert all(olga.post(path("schedule"), fields).status_code == 302 for _ in range(2))
    assert Event.objects.filter(verb="change schedule").count() == 1


def test_of_two_people_who_change_the_schedule_the_second_is_told_what_the_first_did(project: Project, olga: Client) -> None:
    fields = WEIGHTS | {"is_on": "on", "every_hours": "12", "version": typed(page(olga, "schedule"), "version")}
    mona = signed_in(make.person("mona", project, Role.MANAGER))
    assert mona.post(path("schedule"), fields).status_code == 302
    answer = olga.post(path("schedule"), fields | {"every_hours": "48"})
    html = answer.content.decode()
    assert answer.status_code == 409 and "mona changed the schedule at" in html and "after hours" in html
    assert typed(html, "every_hours") == "12", "as it is now"
    project.refresh_from_db()
    assert project.retrain_every_hours == 12
    again = fields | {"every_hours": "48", "version": typed(html, "version")}
    assert olga.post(path("schedule"), again).status_code == 302


@pytest.mark.parametrize("at", ["03:30+01:00", "03:30-0100", "03:30Z", "T03:30", "03:30:00", "24:00", "03:30 CET", "3:30 Europe/Berlin"])
def test_a_time_with_an_offset_seconds_or_a_zone_is_refused_beside_its_field(project: Project, olga: Client, at: str) -> None:
    answer = olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "12", "daily_at": at})
    [fault] = answer.context["form"].errors["daily_at"]
    assert answer.status_code == 400 and re.search(r"UTC|seconds|24:00|look like", fault)
    assert f'id="daily_at_error">{escape(fault)}</p>' in answer.content.decode(), "beside its field"
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"every_hours": "soon"}, "The number of hours must be a whole number, not “soon”."),
        ({"every_labels": "0"}, "The number of new labels must be from 1 to 2,147,483,647, not 0."),
        ({"every_hours": "", "every_labels": ""}, "This schedule would never start a round"),
        ({"daily_at": "noon"}, "The time of day must look like 03:30, not “noon”."),
        ({"weight-convincing": "much"}, "The weight of “Convincing wrong answers” must be a number"),
    ],
)
def test_a_schedule_nobody_can_keep_is_named_and_shown_again(project: Project, olga: Client, changes: dict[str, str], fault: str) -> None:
    answer = olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "12"} | changes)
    html = answer.content.decode()
    assert answer.status_code == 400 and fault in html
    assert re.search('name="is_on"[^>]* checked', html)
    assert not Schedule.objects.exists()


def test_the_page_says_when_the_next_round_is_due_and_what_stood_in_the_way(project: Project, olga: Client) -> None:
    html = page(olga, "schedule")
    assert "No round starts by itself" in html
    assert typed(html, "weight-uniform") == "10"  # what is started where nobody chose: a floor, and the control
    Schedule.objects.create(project=project, note="A round is due and could not start: round 3 is under way.", noted_at=timezone.now())
    assert "round 3 is under way" in page(olga, "schedule")


# --- all of it ----------------------------------------------------------------------------------------------------------------


def test_a_composed_round_is_trained_proposed_published_and_replayed(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)
    olga = signed_in(make.olga(world))
    slug = world.slug
    assert olga.post(reverse("compose", args=[slug]), WEIGHTS | {"size": "5"}).status_code == 302
    round_ = Round.objects.get(state="queued")
    assert rounds.run(round_.pk, progress=lambda *_: None).state == "proposed"
    here = reverse("round", args=[slug, round_.number])
    html = olga.get(here).content.decode()
    assert html.count("data-chosen") == 5 and "data-shaded" in html
    assert '<th scope="row">solutions</th><td class="number">5</td><td class="number">5</td>' in html
    dropped = Selection.objects.filter(round=round_).values_list("solution_id", flat=True)[0]
    olga.post(reverse("publish-round", args=[slug, round_.number]), {"drop": [dropped]})
    assert Task.objects.filter(batch=Round.objects.get(pk=round_.pk).batch).count() == 4
    html = olga.post(reverse("replay-round", args=[slug, round_.number]), follow=True).content.decode()
    assert "byte for byte" in html and html.count('data-stage="done"') == 5
