"""The composer: named recipes in sentences, what each would serve now, and weights that fold out."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from active_learning import pages, rounds, tasks
from active_learning.models import ModelVersion, Round, Schedule, Score, Selection, StoredForecasts
from active_learning.rounds import forecasting
from active_learning.selection import PRESETS
from annotation import labels, queue
from annotation.models import Project, Solution
from tests import make
from tests.assignments import learnable
from tests.clients import rated, signed_in
from tests.proposals import page, path, proposed

pytestmark = pytest.mark.django_db


def scored(project: Project, version: ModelVersion, *scores: float, outcome: str = "wrong") -> list[Solution]:
    """Make solutions of one problem with scores by a version."""
    problem = make.problem(project)
    made = [make.solution(problem, outcome=outcome) for _ in scores]
    Score.objects.bulk_create(
        Score(model_version=version, solution=own, problem=problem, score=score, outcome=outcome)
        for own, score in zip(made, scores, strict=True)
    )
    return made


def serving(project: Project) -> ModelVersion:
    """Let a model serve. Its scores have a partition, as a scoring makes it."""
    made = make.version(project, 1, champion=True)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{made.pk} PARTITION OF active_learning_score FOR VALUES IN ({made.pk})")
    return made


@pytest.fixture
def champion(project: Project) -> ModelVersion:
    version = serving(project)
    for _ in range(6):
        scored(project, version, 0.75, 0.5, 0.25)
        scored(project, version, 0.875, 0.375, outcome="correct")
    Project.objects.filter(pk=project.pk).update(batch_size=10, per_problem=2)
    project.refresh_from_db()
    return version


def cards(html: str) -> dict[str, str]:
    """Return the words of each card of a page by the name of its recipe."""
    found = re.findall(r'<li class="recipe-card".*?preset=(\w+)".*?</li>\s*(?=<li class="recipe-card"|</ul>\s*<p)', html, re.S)
    parts = re.split(r'<li class="recipe-card"[^>]*>', html)[1:]
    assert len(found) == len(parts)
    return {name: " ".join(re.sub("<[^>]+>", " ", part).split()) for name, part in zip(found, parts, strict=True)}


def labeled(project: Project, minutes: int) -> None:
    """Have somebody label one solution in some minutes."""
    make.batch(project, make.solutions(project, 1), generation=50)
    lease = queue.lease_next(make.ann(project), project=project)
    labels.submit(
        lease.assignment_id, labeler=make.ann(), token=lease.token, submission_id=uuid.uuid4(), ratings=rated(1, -1),
        finish_reason="found_error", active_ms=minutes * 60_000, total_ms=minutes * 60_000,
    )  # fmt: skip


# --- what each recipe would serve ---------------------------------------------------------------------------------------------


def test_the_composer_begins_with_a_sentence_for_each_recipe_and_what_it_would_serve(
    project: Project, olga: Client, champion: ModelVersion
) -> None:
    labeled(project, 6)
    Project.objects.filter(pk=project.pk).update(overlap=2)
    found = cards(page(olga, "compose"))
    assert list(found) == list(PRESETS) == ["uniform", "half", "explore", "paper", "convincing"]
    assert found["explore"].startswith("Mostly solutions that look right and are wrong, with a control group.")
    for words in ("10 solutions of 6 problems", "10 convincing wrong answers", "mean score 0.65", "about 2 h 0 min of labeling"):
        assert words in found["convincing"], words
    assert "5 convincing wrong answers" in found["half"] and "9 convincing wrong answers" in found["explore"]
    assert "no scores" in found["uniform"] and "none chosen as a convincing wrong answer" in found["uniform"]


def test_what_a_recipe_would_serve_is_what_a_round_then_chooses(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = {"notify": False}
    rounds.run(rounds.start(world, make.plan(world, size=1), **quiet).pk, progress=lambda *_: None)
    Project.objects.filter(pk=world.pk).update(batch_size=6, per_problem=1)
    world.refresh_from_db()
    foreseen = rounds.forecasts_of(world).by_recipe
    for name in PRESETS:
        plan = rounds.RoundPlan(rounds.preset_recipe(world, name), train=False, review=True)
        chosen = rounds.run(rounds.start(world, plan, **quiet).pk, progress=lambda *_: None)
        mix = chosen.findings["mix"]["chosen"]
        forecast = foreseen[name]
        assert (forecast.n_solutions, forecast.n_problems, forecast.mean_score) == (
            mix["n_solutions"],
            mix["n_problems"],
            mix["mean_score"],
        ), name
        taken = Selection.objects.filter(round=chosen, part__in=("convincing", "control"))
        assert forecast.n_convincing == taken.count() and forecast.why_not == ""
        rounds.cancel(world, chosen.number)


def test_fewer_solutions_than_were_asked_for_are_said_to_be_all(project: Project, olga: Client, champion: ModelVersion) -> None:
    Project.objects.filter(pk=project.pk).update(batch_size=100)
    found = cards(page(olga, "compose"))
    assert "12 solutions of 6 problems; no more fit" in found["convincing"], "two of each problem"


def test_a_project_in_which_nobody_has_labeled_knows_no_labeling_time(project: Project, olga: Client, champion: ModelVersion) -> None:
    assert "labeling time not known yet" in cards(page(olga, "compose"))["half"]


def test_without_a_model_and_labels_only_a_draw_at_random_can_serve_and_is_chosen(project: Project, olga: Client) -> None:
    make.solutions(project, 3)
    html = page(olga, "compose")
    found = cards(html)
    assert "3 solutions of" in found["uniform"]
    for name in ("half", "explore", "paper", "convincing"):
        assert "nothing now It needs a model, and there are no labels to train one from." in found[name], name
    assert 'name="preset" value="uniform"' in html and re.search('name="weight-uniform" value="100"', html)


def test_without_a_model_but_with_labels_a_round_can_train_first(project: Project, olga: Client) -> None:
    learnable(project)
    found = cards(page(olga, "compose"))
    assert "A round that trains first makes one from the labels so far and then chooses." in found["half"]


def test_a_recipe_that_finds_nothing_says_why(project: Project, olga: Client) -> None:
    version = serving(project)
    make.batch(project, scored(project, version, 0.75, 0.5))
    scored(project, version, 0.875, outcome="correct")
    found = cards(page(olga, "compose"))
    assert "nothing now Every solution of sums with a wrong answer has been queued already. Load more solutions." in found["convincing"]
    assert "1 solution of 1 problem" in found["paper"], "the other part fills it"


def test_an_empty_project_says_that_there_is_nothing_to_choose_from(project: Project, olga: Client) -> None:
    assert "nothing now sums has no solutions to serve." in cards(page(olga, "compose"))["uniform"]


def test_the_composer_asks_the_database_as_often_for_many_solutions_as_for_few(
    project: Project, olga: Client, champion: ModelVersion
) -> None:
    page(olga, "compose")
    with CaptureQueriesContext(connection) as few:
        page(olga, "compose")
    for _ in range(40):
        scored(project, champion, 0.75, 0.5, 0.25)
    with CaptureQueriesContext(connection) as many:
        page(olga, "compose")
    assert len(many) == len(few) < 90


# --- large projects -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What workers were asked, in a project that counts as large."""
    monkeypatch.setattr(forecasting, "LARGE", 0)
    told: list[Any] = []
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda _, name, args=(), **__: told.append((name, *args)))
    return told


ASK = "active_learning.tasks.forecast_recipes"


def test_in_a_large_project_a_worker_counts_and_the_page_asks_until_it_has(
    project: Project, olga: Client, champion: ModelVersion, sent: list[Any]
) -> None:
    html = page(olga, "compose")
    assert html.count("Counting what it would serve") == 5 and 'hx-trigger="every 2s"' in html
    fragment = olga.get(path("recipes") + "?preset=paper", headers={"HX-Request": "true"}).content.decode()
    assert "Counting what it would serve" in fragment and "<html" not in fragment and "?preset=paper" in fragment
    assert sent == [(ASK, project.pk)], "once a minute"
    tasks.forecast_recipes(project.pk)
    html = page(olga, "compose")
    assert "Counting" not in html and 'hx-trigger="every 2s"' not in html and "10 solutions of 6 problems" in cards(html)["convincing"]
    assert sent == [(ASK, project.pk)]


def test_a_worker_that_does_not_answer_is_not_waited_for_in_silence(
    project: Project, olga: Client, champion: ModelVersion, sent: list[Any]
) -> None:
    assert "the worker does not answer. It has never reported" in page(olga, "compose")
    rounds.say_alive("worker@here", queues="default")
    html = page(olga, "compose")
    assert "so a worker counts" in html and "does not answer" not in html


def test_what_a_worker_has_counted_so_far_is_shown_already(
    project: Project, olga: Client, champion: ModelVersion, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page(olga, "compose")
    whole, seen = forecasting._Basis.forecast, list[str]()

    def forecast(basis: forecasting._Basis, name: str) -> Any:
        if name == "paper":
            seen.append(page(olga, "compose"))
        return whole(basis, name)

    monkeypatch.setattr(forecasting._Basis, "forecast", forecast)
    tasks.forecast_recipes(project.pk)
    found = cards(seen[0])
    assert "solutions of" in found["half"] and "Counting" in found["paper"] and 'hx-trigger="every 2s"' in seen[0]


def test_old_figures_are_shown_with_their_time_and_counted_again(
    project: Project, olga: Client, champion: ModelVersion, sent: list[Any]
) -> None:
    page(olga, "compose")
    tasks.forecast_recipes(project.pk)
    then = timezone.now() - timedelta(hours=3)
    StoredForecasts.objects.update(counted_at=then, asked_at=then)
    html = page(olga, "compose")
    assert f'<time datetime="{then:%Y-%m-%dT%H:%M}' in html and "solutions of" in cards(html)["half"] and len(sent) == 2


def test_figures_of_another_model_or_of_other_limits_are_not_shown(
    project: Project, olga: Client, champion: ModelVersion, sent: list[Any]
) -> None:
    page(olga, "compose")
    tasks.forecast_recipes(project.pk)
    Project.objects.update(per_problem=1)
    assert page(olga, "compose").count("Counting what it would serve") == 5


def test_a_worker_asked_about_a_project_that_is_gone_does_nothing(project: Project) -> None:
    tasks.forecast_recipes(project.pk + 1)
    assert not StoredForecasts.objects.exists()


def test_the_composer_of_a_large_project_asks_the_database_a_few_times(
    project: Project, olga: Client, champion: ModelVersion, sent: list[Any]
) -> None:
    choosing = "FROM annotation_task t WHERE t.solution_id"  # every statement that looks for candidates leaves out what is queued
    page(olga, "compose")
    with CaptureQueriesContext(connection) as queries:
        tasks.forecast_recipes(project.pk)
    assert [query for query in queries if choosing in query["sql"]]
    with CaptureQueriesContext(connection) as queries:
        page(olga, "compose")
    assert not [query for query in queries if choosing in query["sql"]] and len(queries) < 40


# --- weights and limits -------------------------------------------------------------------------------------------------------


def is_open(html: str) -> bool:
    return re.search('<details class="fold-recipe"( open)?>', html)[1] is not None  # type: ignore[index]


FORM = {"preset": "paper", "weight-convincing": "80", "weight-convincing_all": "20", "size": "10", "per_problem": "2"}


def test_weights_and_limits_are_folded_as_long_as_they_are_those_of_the_recipe(
    project: Project, olga: Client, champion: ModelVersion
) -> None:
    for preset in PRESETS:
        assert not is_open(olga.get(path("compose"), {"preset": preset}).content.decode()), preset
    answer = olga.post(path("compose"), FORM | {"size": "many"})
    assert answer.status_code == 400 and not is_open(answer.content.decode()), "the size stands above them"
    proposed(project)
    answer = olga.post(path("compose"), FORM)
    assert answer.status_code == 400 and not is_open(answer.content.decode()), "another round is unfinished"


@pytest.mark.parametrize(
    "changes",
    [
        {"weight-convincing": "much"},
        {"weight-convincing": "", "weight-convincing_all": ""},
        {"weight-convincing": "70", "size": "many"},
        {"weight-uniform": "5", "size": "many"},
        {"per_problem": "", "size": "many"},
        {"per_problem": "0"},
        {"is_diverse": "on", "size": "many"},
        {"n": "4", "model": "owner/model", "size": "many"},
        {"n": "few"},
    ],
)
def test_weights_and_limits_are_open_when_one_is_wrong_or_differs_from_the_recipe(
    project: Project, olga: Client, champion: ModelVersion, changes: dict[str, str]
) -> None:
    answer = olga.post(path("compose"), FORM | changes)
    html = answer.content.decode()
    assert answer.status_code == 400 and is_open(html)
    assert 'name="preset" value="paper"' in html, "the recipe it began with"


def test_a_generator_that_the_schedule_names_is_not_hidden(project: Project, olga: Client, champion: ModelVersion) -> None:
    Schedule.objects.create(project=project, sample={"model": "mine", "n": 2})
    assert is_open(page(olga, "compose"))


def test_a_recipe_is_proposed_as_it_is_with_one_click(project: Project, olga: Client, champion: ModelVersion) -> None:
    assert olga.post(path("compose"), FORM).status_code == 302
    assert Round.objects.get().plan["recipe"]["parts"] == [["convincing", 0.8], ["convincing_all", 0.2]]


def test_an_unknown_recipe_begins_with_the_recommended_one(project: Project, olga: Client, champion: ModelVersion) -> None:
    html = olga.get(path("compose"), {"preset": "hope"}).content.decode()
    assert 'name="preset" value="uniform"' in html
    assert pages.recipes(project, preset="hope")["chosen"] is PRESETS["uniform"]


def test_the_composer_recommends_a_draw_at_random_and_says_why(project: Project, olga: Client, champion: ModelVersion) -> None:
    html = page(olga, "compose")
    found = cards(html)
    assert "recommended" in found["uniform"] and "On real labels no way of choosing taught a model more than chance" in found["uniform"]
    assert not [name for name, words in found.items() if name != "uniform" and "recommended" in words]
    assert 'name="preset" value="uniform"' in html and re.search('name="weight-uniform" value="100"', html)


def test_a_recipe_without_a_part_at_random_says_what_it_lacks(project: Project, olga: Client, champion: ModelVersion) -> None:
    lacks = "This recipe has no part “At random”"
    said = {name for name in PRESETS if lacks in olga.get(path("compose"), {"preset": name}).content.decode()}
    assert said == {"paper", "convincing"}
    assert lacks not in olga.get(path("schedule")).content.decode()
    Schedule.objects.create(project=project, recipe={"parts": [["entropy", 1]], "size": 5})
    assert lacks in olga.get(path("schedule")).content.decode()


def test_a_researcher_does_not_compose(project: Project, rita: Client) -> None:
    assert rita.get(path("recipes")).status_code == rita.get(path("compose")).status_code == 404
    assert signed_in(make.olga(project)).get(path("recipes")).status_code == 200


def test_the_form_says_which_recipe_it_begins_with(project: Project) -> None:
    make.solutions(project, 4)
    page = signed_in(make.olga(project)).get("/p/sums/rounds/compose/?preset=uniform").content.decode()
    assert "<p data-chosen-sentence>Solutions at random.</p>" in page
