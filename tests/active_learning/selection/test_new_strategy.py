"""A strategy that is added to STRATEGIES is known everywhere at once: no other file has to be touched."""

from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from active_learning.models import ModelKind, ModelState, ModelVersion, Score
from active_learning.selection import STRATEGIES, Need, Recipe, Strategy, choose, pool
from active_learning.selection.strategies import Shortlist, best_first, scored
from tests import make

HOPELESS = Strategy(
    name="hopeless",
    label="Hopeless solutions",
    picks="solutions that the model scores lowest",
    needs=frozenset({Need.MODEL}),
    order=lambda candidates, *_: best_first(-candidates.scores),
    shortlists=(Shortlist("s.score"),),
    why=lambda candidate: f"The model sees no hope: {scored(candidate)}.",
    why_empty=lambda state: f"{state.project} has nothing hopeless. Load worse solutions.",
    note="Made for this test.",
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, HOPELESS.name, HOPELESS)


@pytest.mark.parametrize("command", ["retrain", "schedule"])
def test_commands_name_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command(command, "--help")
    assert "control, hopeless, paper" in " ".join(capsys.readouterr().out.split())


def test_the_composer_offers_it_in_words(client: Client, db: None) -> None:
    project = make.project()
    client.force_login(make.olga(project))
    html = client.get(reverse("compose", kwargs={"slug": project.slug})).content.decode()
    assert "Hopeless solutions</label>" in html and "Solutions that the model scores lowest. Made for this test." in html


def test_the_pool_lists_what_it_takes_and_a_recipe_chooses_by_it(db: None) -> None:
    project = make.project()
    version = ModelVersion.objects.create(project=project, number=1, kind=ModelKind.PRM, base="tiny", state=ModelState.READY, sha256="0")
    with pool.connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{version.pk} PARTITION OF active_learning_score FOR VALUES IN ({version.pk})")
    recipe = Recipe(((HOPELESS.name, 1.0),), 2)
    assert pool.why_empty(project, None, recipe=recipe) == "sums has no solutions to serve. Load some with `manage.py load_solutions`."
    solutions = make.solutions(project, 20)
    for place, solution in enumerate(solutions):
        Score.objects.create(
            model_version=version, solution=solution, problem_id=solution.problem_id, outcome=solution.outcome, score=1 - place / 40
        )
    candidates = pool.candidates(project, version, recipe=recipe)
    assert candidates.solutions.tolist() == [solution.pk for solution in solutions[-2 * pool.SPARE :]]  # the lowest, by SQL
    choice = choose(candidates, recipe, rng=np.random.default_rng(0))
    assert candidates.solutions[choice.indices].tolist() == [solutions[-1].pk, solutions[-2].pk]
    assert STRATEGIES["hopeless"].why(candidates[int(choice.indices[0])]) == "The model sees no hope: scored 0.53."
    make.batch(project, solutions)
    assert pool.why_empty(project, version, recipe=recipe) == "sums has nothing hopeless. Load worse solutions."


def test_a_command_takes_it_by_its_name(db: None) -> None:
    make.project()
    with pytest.raises(CommandError, match="no serving model"):
        call_command("retrain", "--project", "sums", "--strategy", "hopeless:1,uniform:1", "--without-training", stdout=StringIO())
