"""The pages of rounds: who may see and decide, what a round proposes, what it brought, and what stands in the way of one."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from active_learning import round_pages, rounds
from active_learning.models import ModelVersion, Round, RoundStage, Schedule, Selection
from active_learning.round_pages import brought, single
from active_learning.round_pages.brought import Share
from annotation import labels, queue
from annotation.models import Project, Role, Solution, Task
from tests import make

pytestmark = pytest.mark.django_db


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def project(db: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)
    return make.project()


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


@pytest.fixture
def rita(project: Project) -> Client:
    return signed_in(make.rita(project))


def path(name: str, *more: int) -> str:
    return reverse(name, args=["sums", *more])


def page(client: Client, name: str, *more: int) -> str:
    answer = client.get(path(name, *more))
    assert answer.status_code == 200
    return answer.content.decode()


def rate(project: Project, n: int, *ratings: int, by: User | None = None, reason: str = "") -> None:
    """Have somebody rate the next n solutions of the queue alike."""
    labeler = by or make.ann(project)
    for _ in range(n):
        lease = queue.lease_next(labeler, project=project)
        labels.submit(
            lease.assignment_id, labeler=labeler, token=lease.token, submission_id=uuid.uuid4(), active_ms=1, total_ms=1,
            ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)], reason="unreadable" if reason else "",
            finish_reason=reason or ("found_error" if -1 in ratings else "solution"),
        )  # fmt: skip


def proposed(project: Project, n: int = 3, **fields: Any) -> Round:
    version = ModelVersion.objects.filter(project=project, number=1).first() or make.version(project, 1, champion=True)
    chosen = {"share_wrong": 1.0, "share_right": 0.0, "mean_score": 0.875, "expected_share_with_mistake": 0.125}
    uniform = {"share_wrong": 0.4, "share_right": 0.6, "mean_score": None, "expected_share_with_mistake": 0.55}
    counts = {"n_solutions": n, "n_problems": 2}
    mix = {"chosen": counts | chosen, "uniform": counts | uniform}
    params = {"chosen_with": 1, "review": True, "mix": mix, **fields.pop("params", {})}
    solutions = {"convincing": make.solutions(project, n)}
    return make.round_of(project, solutions, state="proposed", model_version=version, params=params, **fields)


WEIGHTS = {"weight-convincing": "80", "weight-uniform": "20", "size": "40", "per_problem": "2", "train": "on"}

# --- who ----------------------------------------------------------------------------------------------------------------------

READ = ["loop", "rounds", "schedule", "round", "replay-round"]
LOOKED_AT = {"loop", "rounds", "schedule", "round", "compose"}
DECIDE = ["compose", "start-round", "publish-round", "cancel-round"]
OF_ONE = {"round", "replay-round", "publish-round", "cancel-round"}


@pytest.mark.parametrize("name", READ + DECIDE)
@pytest.mark.parametrize("role", [Role.LABELER, Role.REVIEWER, None])
def test_who_does_no_research_here_learns_nothing_of_rounds(project: Project, name: str, role: str | None) -> None:
    client = signed_in(make.person("sam", project, role) if role else make.eve())
    address = path(name, *[proposed(project).pk] * (name in OF_ONE))
    answers = [(client.get if name in LOOKED_AT else client.post)(address)]
    answers += [client.post(address, WEIGHTS)] if name == "compose" else []
    assert {answer.status_code for answer in answers} == {404}
    assert list(Round.objects.values_list("state", flat=True)) == ["proposed"]


@pytest.mark.parametrize("name", DECIDE)
def test_a_researcher_looks_and_does_not_decide(project: Project, rita: Client, name: str) -> None:
    this = proposed(project)
    assert "Leave out" not in page(rita, "round", this.pk) and "Discard" not in page(rita, "round", this.pk)
    assert rita.post(path(name, *[this.pk] * (name in OF_ONE)), WEIGHTS).status_code == 404
    assert list(Round.objects.values_list("pk", "state")) == [(this.pk, "proposed")]


def test_a_researcher_sees_the_schedule_and_cannot_change_it(project: Project, rita: Client) -> None:
    assert "Change the schedule" not in page(rita, "schedule")
    assert rita.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "3"}).status_code == 404
    assert not Schedule.objects.exists()


def test_another_projects_round_is_a_missing_page(project: Project, olga: Client) -> None:
    foreign = proposed(make.project("others"))
    assert olga.get(path("round", foreign.pk)).status_code == 404
    for name in ("publish-round", "cancel-round", "replay-round"):
        assert olga.post(path(name, foreign.pk)).status_code == 404
    foreign.refresh_from_db()
    assert foreign.state == "proposed"


# --- composing ----------------------------------------------------------------------------------------------------------------


def test_the_composer_starts_a_round_that_waits_to_be_looked_through(project: Project, olga: Client) -> None:
    answer = olga.post(path("compose"), WEIGHTS | {"is_diverse": "on"})
    this = Round.objects.get()
    assert answer.url == path("round", this.pk)
    assert this.params["review"] is True and this.params["train"] is True
    assert this.params["recipe"] == {
        "parts": [["convincing", 0.8], ["uniform", 0.2]], "size": 40, "per_problem": 2, "is_diverse": True, "is_stratified": False,
    }  # fmt: skip


def test_without_a_limit_of_one_problem_the_best_of_all_are_taken(project: Project, olga: Client) -> None:
    olga.post(path("compose"), WEIGHTS | {"per_problem": ""})
    assert Round.objects.get().params["recipe"]["per_problem"] is None


def test_new_solutions_are_sampled_first_if_a_number_is_given(project: Project, olga: Client) -> None:
    olga.post(path("compose"), WEIGHTS | {"n": "4", "model": "owner/model", "budget": "1000"})
    assert Round.objects.get().params["generate"] == {"model": "owner/model", "n": 4, "budget": 1000}


def test_what_the_schedule_keeps_of_a_generator_goes_along_with_its_model(project: Project, olga: Client) -> None:
    Schedule.objects.create(project=project, generate={"model": "mine", "n": 2, "url": "http://localhost:8000/v1", "budget": 9})
    assert 'name="model" value="mine"' in page(olga, "schedule")
    olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "9", "n": "3", "model": "mine"})
    assert Schedule.objects.get().generate == {"model": "mine", "n": 3, "url": "http://localhost:8000/v1"}
    olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "9", "n": "", "model": "mine"})
    assert Schedule.objects.get().generate == {}


def test_a_preset_fills_the_weights(project: Project, olga: Client) -> None:
    html = olga.get(path("compose"), {"preset": "paper"}).content.decode()
    assert 'name="weight-convincing" inputmode="decimal" value="80"' in html
    assert 'name="weight-convincing_rest" inputmode="decimal" value="20"' in html
    assert 'name="weight-uniform" inputmode="decimal" value=""' in html


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"weight-convincing": "many"}, "The weight of convincing is a number, not “many”."),
        ({"weight-convincing": "0", "weight-uniform": ""}, "Give at least one strategy a weight above 0."),
        ({"weight-convincing": "-3"}, "The weight of convincing in parts is a number above 0"),
        ({"weight-convincing": "nan"}, "The weight of convincing in parts is a number above 0"),
        ({"weight-hope": "3"}, "There is no strategy named hope."),
        ({"size": "ten"}, "The size is a whole number, not “ten”."),
        ({"size": ""}, "Say how many solutions the batch shall hold"),
        ({"size": "10001"}, "A batch holds up to 10,000 solutions"),
        ({"per_problem": "0"}, "per_problem is a whole number of at least 1"),
        ({"train": None}, "no model in service"),
        ({"n": "few"}, "The number of new solutions is a whole number, not “few”."),
        ({"n": "4"}, "model is missing"),
        ({"n": "4", "model": "tiny"}, "writes no solutions"),
    ],
)
def test_a_recipe_nobody_can_follow_is_named_and_shown_again(project: Project, olga: Client, typed: dict, said: str) -> None:
    told = {name: value for name, value in (WEIGHTS | typed).items() if value is not None}
    answer = olga.post(path("compose"), told)
    html = answer.content.decode()
    assert answer.status_code == 400 and said in html and 'role="alert"' in html
    assert f'name="size" inputmode="numeric" value="{told["size"]}"' in html
    assert not Round.objects.exists()


def test_a_round_under_way_is_named_before_and_after_composing(project: Project, olga: Client) -> None:
    this = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="scoring", generation=4)
    assert f'<a href="{path("round", this.pk)}">Round 4</a> is under way' in page(olga, "compose")
    assert "Round 4 of sums is still scoring" in olga.post(path("compose"), WEIGHTS).content.decode()
    Round.objects.update(state="proposed")
    assert "waits to be looked through" in page(olga, "compose")


def test_the_overviews_form_starts_a_round_that_publishes_by_itself(project: Project, olga: Client) -> None:
    olga.post(path("start-round"), {"strategy": "uniform", "size": "7"})
    assert (Round.objects.get().strategy, Round.objects.get().params["size"], Round.objects.get().params["review"]) == ("uniform", 7, False)
    assert "The size is a whole number" in olga.post(path("start-round"), {"size": "x"}, follow=True).content.decode()


# --- the proposal -------------------------------------------------------------------------------------------------------------


def test_a_proposal_shows_each_solution_shaded_with_its_reason_and_the_mix_beside_uniform(project: Project, olga: Client) -> None:
    html = page(olga, "round", proposed(project).pk)
    assert html.count("data-chosen") == 3 and html.count("taken by convincing") == 3
    assert html.count("--right: 0.4") == 3 and html.count("the model’s first mistake") == 3
    assert '<th scope="row">wrong final answer</th><td class="number">100%</td><td class="number">40%</td>' in html
    assert '<th scope="row">mean score</th><td class="number">0.875</td><td class="number">–</td>' in html
    assert "What is" in html and html.count('type="checkbox" name="drop"') == 3


def test_a_solution_chosen_without_a_model_is_not_shaded(project: Project, olga: Client) -> None:
    this = make.round_of(project, {"uniform": make.solutions(project, 2)}, state="proposed", params={"train": False})
    Selection.objects.update(step_scores=[], score=None)
    html = page(olga, "round", this.pk)
    assert html.count("data-chosen") == 2 and "data-shaded" not in html and "· score" not in html


def test_publishing_leaves_out_what_was_ticked(project: Project, olga: Client) -> None:
    this = proposed(project)
    first, *rest = Selection.objects.filter(round=this).order_by("rank").values_list("solution_id", flat=True)
    html = olga.post(path("publish-round", this.pk), {"drop": [first]}, follow=True).content.decode()
    this.refresh_from_db()
    assert "Round 0 is published" in html and this.state == "published"
    assert sorted(Task.objects.filter(batch=this.batch).values_list("solution_id", flat=True)) == sorted(rest)
    assert Selection.objects.get(solution=first).is_dropped and html.count("left out") == 1


def test_publishing_what_was_published_meanwhile_is_refused_with_a_sentence(project: Project, olga: Client) -> None:
    this = proposed(project)
    olga.post(path("publish-round", this.pk))
    assert "only a proposal can be published" in olga.post(path("publish-round", this.pk), follow=True).content.decode()
    assert Task.objects.filter(batch__project=project).count() == 3


def test_leaving_everything_out_is_refused_and_the_proposal_stays(project: Project, olga: Client) -> None:
    this = proposed(project)
    everything = list(Selection.objects.values_list("solution_id", flat=True))
    html = olga.post(path("publish-round", this.pk), {"drop": everything}, follow=True).content.decode()
    assert "Nothing is left to publish" in html
    assert Round.objects.get().state == "proposed" and not Selection.objects.filter(is_dropped=True).exists()


def test_a_long_proposal_is_paged_and_what_was_left_out_goes_along(
    project: Project, olga: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single, "ON_ONE_PAGE", 4)
    monkeypatch.setattr(single, "A_PAGE", 2)
    this = proposed(project, 5)
    solutions = list(Selection.objects.order_by("rank").values_list("solution_id", flat=True))
    first = page(olga, "round", this.pk)
    assert first.count("data-chosen") == 2 and "Page 1 of 3" in first
    turned = olga.post(path("round", this.pk), {"page": "2", "drop": [solutions[0], solutions[2]]}).content.decode()
    assert f'<input type="hidden" name="drop" value="{solutions[0]}">' in turned
    assert f'name="drop" value="{solutions[2]}" checked' in turned and f'value="{solutions[1]}"' not in turned
    assert "1 left out on other pages" in turned
    assert Round.objects.get().state == "proposed" and not Selection.objects.filter(is_dropped=True).exists()
    assert page(olga, "round", this.pk).count(" checked") == 0


def test_discarding_a_proposal_ends_the_round(project: Project, olga: Client) -> None:
    this = proposed(project)
    assert "Discard" in page(olga, "round", this.pk)
    assert "Round 0 is cancelled" in olga.post(path("cancel-round", this.pk), follow=True).content.decode()
    assert Round.objects.get().state == "cancelled" and not Task.objects.exists()


def test_cancelling_a_round_that_has_ended_does_not_touch_its_successor(project: Project, olga: Client) -> None:
    ended = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="failed", finished_at=timezone.now())
    running = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="scoring")  # of the same generation
    assert "has already ended" in olga.post(path("cancel-round", ended.pk), follow=True).content.decode()
    running.refresh_from_db()
    assert running.state == "scoring"


def test_fewer_than_asked_for_is_said(project: Project, olga: Client) -> None:
    this = proposed(project, params={"short": "Asked for 200, only 150 fit the recipe."})
    assert "Asked for 200, only 150 fit the recipe." in page(olga, "round", this.pk)


# --- the stages ---------------------------------------------------------------------------------------------------------------


def stage(this: Round, name: str, *, seconds: int = 5, said: str = "", **fields: Any) -> None:
    begun = timezone.now() - timedelta(seconds=60)
    told = {"attempt": 1, "began_at": begun, "ended_at": begun + timedelta(seconds=seconds)}
    log = [[begun.isoformat(), said]] if said else []
    RoundStage.objects.create(round=this, name=name, log=log, **(told | fields))


def test_the_loop_is_drawn_with_the_stage_it_is_at(project: Project, olga: Client) -> None:
    this = make.round_of(
        project, {"convincing": make.solutions(project, 1)}, state="scoring", progress={"stage": "scoring", "done": 3, "total": 9}
    )
    stage(this, "train", failure="Its worker was lost.")
    stage(this, "train", attempt=2, seconds=65, said="PRM model 1 is ready.")
    stage(this, "judge")
    stage(this, "score", ended_at=None, said="Model 1 reads.")
    seen = round_pages.one_round(project, this.pk)
    assert [(one.name, one.state) for one in seen["stages"]] == [
        ("train", "done"), ("judge", "done"), ("score", "now"), ("select", "waiting"), ("publish", "waiting"),
    ]  # fmt: skip
    durations = [(attempt.number, attempt.lasted.replace("\N{NO-BREAK SPACE}", " ")) for _, attempt in seen["attempts"][:2]]
    assert durations == [(1, "5 s"), (2, "1 min 5 s")]
    html = page(olga, "round", this.pk)
    said = ("Its worker was lost.", "PRM model 1 is ready.", "Model 1 reads.")
    for words in ('aria-current="step"', "3 of 9", 'hx-trigger="every 2s"', *said):
        assert words in html, words


def test_a_failed_round_says_where_and_why_and_no_more_is_to_come(project: Project, olga: Client) -> None:
    this = make.round_of(
        project, {"convincing": make.solutions(project, 1)}, state="failed", failure="No wrong answers are left. Load more.",
        finished_at=timezone.now(),
    )  # fmt: skip
    stage(this, "train")
    stage(this, "judge")
    stage(this, "score")
    stage(this, "select", failure="No wrong answers are left. Load more.")
    seen = round_pages.one_round(project, this.pk)
    assert [one.state for one in seen["stages"]] == ["done", "done", "done", "failed", "skipped"]
    html = page(olga, "round", this.pk)
    assert '<p class="notice bad">No wrong answers are left. Load more.</p>' in html and "hx-get" not in html
    assert "Cancel" not in html and "Compose a round" in html


def test_a_uniform_round_neither_trains_nor_scores(project: Project) -> None:
    params = {"train": False, "generate": {"per_problem": 2}}
    this = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="queued", params=params)
    assert [one.name for one in round_pages.one_round(project, this.pk)["stages"]] == ["generate", "select", "publish"]


def test_a_round_that_trains_an_orm_chooses_nothing(project: Project, olga: Client) -> None:
    trained = make.version(project, 1, kind="orm")
    params = {"kind": "orm", "recipe": None, "size": 0, "train": True}
    this = Round.objects.create(project=project, generation=0, params=params, state="published", model_version=trained)
    assert [one.name for one in round_pages.one_round(project, this.pk)["stages"]] == ["train", "judge"]
    assert "trains an ORM" in page(olga, "round", this.pk) and "trains an ORM" in page(olga, "rounds")


def test_a_proposal_waits_for_a_person_and_asks_for_no_news(project: Project, olga: Client) -> None:
    this = proposed(project)
    stage(this, "select")
    seen = round_pages.one_round(project, this.pk)
    assert seen["stages"][-1].state == "person" and not seen["is_moving"]
    assert 'hx-trigger="every 2s"' not in page(olga, "round", this.pk)


def test_the_fragment_goes_on_until_the_page_has_something_else_to_say(project: Project, olga: Client) -> None:
    progress = {"stage": "x", "done": 1, "total": 2}
    this = make.round_of(project, {"convincing": make.solutions(project, 1)}, state="training", progress=progress)
    seen = round_pages.one_round(project, this.pk)["seen"]
    fragment = olga.get(path("round", this.pk), {"seen": seen}, HTTP_HX_REQUEST="true")
    assert b"1 of 2" in fragment.content and b"<html" not in fragment.content
    stage(this, "train")
    assert olga.get(path("round", this.pk), {"seen": seen}, HTTP_HX_REQUEST="true")["HX-Refresh"] == "true"


def test_a_round_from_before_stages_were_written_down_has_a_page(project: Project, olga: Client) -> None:
    params = {"size": 3, "per_problem": 2}
    old = Round.objects.create(project=project, generation=0, strategy="convincing", state="published", params=params)
    assert {one.state for one in round_pages.one_round(project, old.pk)["stages"]} == {"done"}
    assert "Round 0" in page(olga, "round", old.pk) and "Round 0" not in page(olga, "compose")


# --- what it brought ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "n", "words"), [(0, 0, "–"), (8, 10, "80% (49% to 94%)"), (0, 10, "0% (0% to 28%)"), (10, 10, "100% (72% to 100%)")]
)
def test_a_share_has_wilsons_interval(k: int, n: int, words: str) -> None:
    assert Share(k, n).words == words


def test_what_a_round_brought_is_told_by_part(project: Project, olga: Client) -> None:
    version = make.version(project, 1, champion=True)
    chosen = {"convincing": make.solutions(project, 3), "uniform": make.solutions(project, 2)}
    this = make.round_of(project, chosen, model_version=version, params={"chosen_with": 1})
    rate(project, 2, 1, -1)
    rate(project, 1, 1, 1, 1)
    rate(project, 1, 1, 1, 1)
    rate(project, 1, reason="bad_problem")
    told = round_pages.one_round(project, this.pk)["brought"]
    assert [(one["name"], one["n"], one["confirmed"]) for one in told["parts"]] == [
        ("convincing", 3, Share(2, 3)), ("uniform", 2, Share(0, 1)),
    ]  # fmt: skip
    assert told["whole"]["confirmed"] == Share(2, 4) and told["aside"] == 1
    assert "67% (21% to 94%)" in page(olga, "round", this.pk)


def test_where_labelers_differ_at_least_half_must_have_found_a_mistake() -> None:
    assert brought.is_confirmed([("found_error", 1), ("solution", None)]) is True
    assert brought.is_confirmed([("found_error", 1), ("solution", None), ("solution", None)]) is False
    assert brought.is_confirmed([("give_up", None)]) is None


def test_the_first_mistake_stands_beside_the_models_first_weak_step(project: Project, olga: Client) -> None:
    version = make.version(project, 1, champion=True)
    this = make.round_of(project, {"convincing": make.solutions(project, 3)}, model_version=version, params={"chosen_with": 1})
    rate(project, 2, 1, -1)
    rate(project, 1, -1)
    told = round_pages.one_round(project, this.pk)["brought"]
    assert told["exactly"] == Share(2, 3)
    assert [(bar["step"], bar["people"], bar["model"]) for bar in told["bars"]["bars"]] == [("1", 1, 0), ("2", 2, 3)]
    html = page(olga, "round", this.pk)
    assert "first weak step in 2 of 3" in html
    assert '<td>2</td><td class="number">2</td><td class="number">3</td>' in html


def test_only_labels_of_its_own_batch_count(project: Project) -> None:
    first = make.round_of(project, {"uniform": make.solutions(project, 2)})
    rate(project, 1, -1)
    rate(project, 1, reason="bad_problem")
    second = make.round_of(project, {"uniform": make.solutions(project, 1)}, generation=1)
    both = [round_pages.one_round(project, one.pk)["brought"] for one in (first, second)]
    assert [(one["whole"]["confirmed"], one["aside"]) for one in both] == [(Share(1, 1), 1), (Share(0, 0), 0)]


def test_the_models_of_a_round_stand_beside_each_other_and_the_control(project: Project, olga: Client) -> None:
    versions = [make.version(project, number, metrics={"step_auc": number / 10}) for number in (1, 2, 3, 4)]
    this = make.round_of(
        project, {"control": make.solutions(project, 1)}, model_version=versions[2], params={"chosen_with": 3, "control": 1}
    )
    seen = round_pages.one_round(project, this.pk)
    assert [(words, version.number) for words, version in seen["columns"]] == [
        ("the one before", 2), ("this round’s model", 3), ("the next", 4), ("control selector", 1),
    ]  # fmt: skip
    assert seen["figures"][0] == ("step AUC", ["0.200", "0.300", "0.400", "0.100"])
    assert [row[0] for row in seen["history"].rows] == ["1", "2", "3", "4"]
    assert f"{path('compare-models')}?a=1&amp;b=3" in page(olga, "round", this.pk)


def test_over_the_rounds_each_part_has_a_line(project: Project, olga: Client) -> None:
    for generation, ratings in enumerate([(1, -1), (1, 1, 1)]):
        make.round_of(project, {"convincing": make.solutions(project, 2)}, generation=generation)
        rate(project, 2, *ratings)
    chart = round_pages.all_rounds(project)["confirmed"]
    assert [line.name for line in chart.lines] == ["convincing"]
    assert [row[:2] for row in chart.rows] == [("0", "1.0000"), ("1", "0.0000")]
    assert "What people confirmed" in page(olga, "rounds")


def test_what_a_round_chose_is_listed_with_what_people_said(project: Project, olga: Client) -> None:
    this = make.round_of(project, {"uniform": make.solutions(project, 2)})
    rate(project, 1, 1, -1)
    html = page(olga, "round", this.pk)
    assert html.count("taken by uniform") == 2 and "✕ step 2" in html


def test_a_replay_says_whether_it_is_the_same(project: Project, rita: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    this = make.round_of(project, {"uniform": make.solutions(project, 1)}, candidates_file="rounds/sums/1.npz", candidates_sha256="cd" * 32)
    assert "Replay the selection" in page(rita, "round", this.pk)
    assert "cannot be read" in rita.post(path("replay-round", this.pk), follow=True).content.decode()
    same = type("Replay", (), {"same": True, "said": "The same 1 solutions, byte for byte."})
    monkeypatch.setattr(rounds, "replay", lambda *_: same)
    html = rita.post(path("replay-round", this.pk), follow=True).content.decode()
    assert '<li class="success">The same 1 solutions, byte for byte.' in html


def test_the_page_of_a_round_asks_the_same_number_of_questions_however_many_solutions(
    project: Project, rita: Client, django_assert_max_num_queries: Any
) -> None:
    version = make.version(project, 1, champion=True)
    this = make.round_of(project, {"convincing": make.solutions(project, 9)}, model_version=version, params={"chosen_with": 1})
    rate(project, 9, 1, -1)
    with django_assert_max_num_queries(16):
        page(rita, "round", this.pk)
    waiting = proposed(project, 9, generation=1)
    with django_assert_max_num_queries(16):
        page(rita, "round", waiting.pk)


# --- the schedule -------------------------------------------------------------------------------------------------------------


def test_a_schedule_is_changed_on_its_page(project: Project, olga: Client) -> None:
    told = WEIGHTS | {"is_on": "on", "every_labels": "500", "every_hours": "", "daily_at": "03:30"}
    html = olga.post(path("schedule"), told, follow=True).content.decode()
    project.refresh_from_db()
    kept = Schedule.objects.get()
    assert "The schedule is changed." in html and 'value="03:30"' in html and 'value="500"' in html
    assert (project.retrain_every_labels, project.retrain_every_hours, f"{kept.daily_at:%H:%M}", kept.is_on) == (500, None, "03:30", True)
    assert kept.recipe["parts"] == [["convincing", 0.8], ["uniform", 0.2]]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"every_hours": "soon"}, "The number of hours is a whole number, not “soon”."),
        ({"every_labels": "0"}, "The number of new labels must be at least 1"),
        ({"every_hours": "", "every_labels": ""}, "Nothing would ever start a round"),
        ({"daily_at": "noon"}, "The time of day is one such as 03:30, not “noon”."),
        ({"weight-convincing": "much"}, "The weight of convincing is a number"),
    ],
)
def test_a_schedule_nobody_can_keep_is_named_and_shown_again(project: Project, olga: Client, typed: dict, said: str) -> None:
    answer = olga.post(path("schedule"), WEIGHTS | {"is_on": "on", "every_hours": "12"} | typed)
    assert answer.status_code == 400 and said in answer.content.decode()
    assert 'name="is_on" checked' in answer.content.decode()
    assert not Schedule.objects.exists()


def test_the_page_says_when_the_next_round_is_due_and_what_stood_in_the_way(project: Project, olga: Client) -> None:
    html = page(olga, "schedule")
    assert "Nothing starts a round by itself" in html
    assert 'name="weight-uniform" inputmode="decimal" value="10"' in html  # what is started where nobody chose: a floor, and the control
    Schedule.objects.create(project=project, note="A round is due and could not start: round 3 is under way.", noted_at=timezone.now())
    assert "round 3 is under way" in page(olga, "schedule")


# --- the overview's fragment --------------------------------------------------------------------------------------------------


def test_the_overviews_fragment_leads_to_every_round_the_composer_and_the_schedule(project: Project, olga: Client, rita: Client) -> None:
    this = proposed(project)
    html = page(olga, "loop")
    for name, numbers in (("round", [this.pk]), ("compose", []), ("schedule", []), ("rounds", [])):
        assert f'href="{path(name, *numbers)}"' in html, name
    assert "Look through" in html and "Look through" not in page(rita, "loop")
    assert path("compose") not in page(rita, "loop")
    Round.objects.update(state="scoring")
    assert f'action="{path("cancel-round", this.pk)}"' in page(olga, "loop")


def test_a_solution_of_the_proposal_is_text_and_never_markup(project: Project, olga: Client) -> None:
    this = proposed(project, 1)
    Solution.objects.update(steps=["<script>alert(1)</script>", "b", "c"])
    html = page(olga, "round", this.pk)
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html


def test_a_composed_round_is_trained_proposed_published_and_replayed(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)
    olga = signed_in(make.olga(world))
    slug = world.slug
    assert olga.post(reverse("compose", args=[slug]), WEIGHTS | {"size": "5"}).status_code == 302
    this = Round.objects.get(state="queued")
    assert rounds.run(this.pk, report=lambda *_: None).state == "proposed"
    here = reverse("round", args=[slug, this.pk])
    html = olga.get(here).content.decode()
    assert html.count("data-chosen") == 5 and "data-shaded" in html
    assert '<th scope="row">solutions</th><td class="number">5</td><td class="number">5</td>' in html
    dropped = Selection.objects.filter(round=this).values_list("solution_id", flat=True)[0]
    olga.post(reverse("publish-round", args=[slug, this.pk]), {"drop": [dropped]})
    assert Task.objects.filter(batch=Round.objects.get(pk=this.pk).batch).count() == 4
    html = olga.post(reverse("replay-round", args=[slug, this.pk]), follow=True).content.decode()
    assert "byte for byte" in html and html.count('data-stage="done"') == 5
