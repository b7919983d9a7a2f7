"""The migrations of active_learning on a database that holds rounds of every kind there has been: forward, and back."""

from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from active_learning import migrations, pages, rounds
from active_learning.models import Round
from active_learning.rounds import Findings, RoundPlan
from active_learning.selection import Recipe
from annotation.models import Project, broken_rule
from tests import make

pytestmark = pytest.mark.django_db

NEWEST = max(path.stem for path in Path(migrations.__path__[0]).glob("0*.py"))
MIX = {"chosen": {"n_solutions": 4}, "uniform": {"n_solutions": 4}}
RECIPE = {"parts": [["convincing", 0.8], ["uniform", 0.2]], "size": 40, "per_problem": None, "is_diverse": True, "is_stratified": False}
SHORT = "Asked for 40, only 4 fit the recipe."
SAMPLE = {"model": "owner/name", "n": 4}
NEWER = {"recipe": RECIPE, "size": 40, "train": True, "review": True, "kind": "prm", "preset": None, "base": "tiny"}
# The row's strategy and params, and what they say: rounds of one strategy, then with kinds of model, then with recipes.
KINDS: list[tuple[str, dict[str, Any], RoundPlan, Findings]] = [
    ("", {}, RoundPlan(), Findings()),
    (
        "convincing",
        {"size": 3, "per_problem": 2, "base": "tiny"},
        RoundPlan(Recipe((("convincing", 1.0),), 3, per_problem=2), base="tiny"),
        Findings(),
    ),
    ("uniform", {"size": 3, "per_problem": None, "base": "tiny"}, RoundPlan(Recipe((("uniform", 1.0),), 3), base="tiny"), Findings()),
    ("convincing", {"size": 0, "per_problem": 2, "base": "tiny"}, RoundPlan(base="tiny"), Findings()),
    (
        "convincing",
        {"size": 0, "per_problem": 2, "kind": "orm", "preset": "lora", "base": "owner/name"},
        RoundPlan(kind="orm", preset="lora", base="owner/name"),
        Findings(),
    ),
    (
        "convincing",
        {"size": 3, "per_problem": 2, "kind": "prm", "preset": None, "base": "tiny", "resume": 7, "chosen_with": 7},
        RoundPlan(Recipe((("convincing", 1.0),), 3, per_problem=2), resume=True),
        Findings(chosen_with=7, resumed=7),
    ),
    (
        "mix",
        NEWER | {"generate": SAMPLE, "chosen_with": 3, "control": 1, "orm": None, "mix": MIX, "short": SHORT},
        RoundPlan(Recipe.from_settings(RECIPE), train=True, review=True, sample=SAMPLE, base="tiny"),
        Findings(chosen_with=3, control=1, mix=MIX, short=SHORT),
    ),
    (
        "mix",
        NEWER | {"train": False, "review": False, "chosen_with": 3, "control": None, "orm": 2, "mix": MIX, "short": ""},
        RoundPlan(Recipe.from_settings(RECIPE), train=False, base="tiny"),
        Findings(chosen_with=3, orm=2, mix=MIX),
    ),
    (
        "",
        {"recipe": None, "size": 0, "train": True, "review": False, "kind": "orm", "preset": None, "base": "tiny"},
        RoundPlan(kind="orm", base="tiny"),
        Findings(),
    ),
]


def migrate(name: str) -> Any:
    """Migrate to the migration of this name, and return the models as they are there."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # the rows of a test are not committed when its tables change
    executor = MigrationExecutor(connection)
    return executor.migrate([("active_learning", name)]).apps


def test_what_a_round_was_asked_to_do_and_what_it_found_out_are_parted_and_joined_again() -> None:
    project = make.project()
    then = migrate("0003_rounds_shards_schedules")
    old = then.get_model("active_learning", "Round")
    of = then.get_model("annotation", "Project").objects.get(pk=project.pk)
    for generation, (strategy, params, _, _) in enumerate(KINDS):
        row = {"strategy": strategy, "params": params, "seed": generation, "state": "published"}
        old.objects.create(project=of, generation=generation, **row)
    migrate(NEWEST)
    for generation, (_, params, plan, findings) in enumerate(KINDS):
        round_ = Round.objects.get(generation=generation)
        assert rounds.plan_of(round_) == RoundPlan.from_settings(plan.as_dict() | {"seed": generation}), params
        assert rounds.findings_of(round_) == findings, params
        assert pages.one_round(project, round_.number)["row"].plan.size == (params.get("size") or 0)
    migrate("0003_rounds_shards_schedules")
    for generation, (_, params, plan, _) in enumerate(KINDS):
        row = old.objects.get(generation=generation)
        known = {name: value for name, value in params.items() if name not in ("per_problem", "preset", "base")}
        assert known.items() <= ({"short": "", "mix": {}} | row.params).items() and row.seed == generation
        assert row.params["recipe"] == (plan.recipe and plan.recipe.as_dict())
    migrate(NEWEST)


def test_a_schedule_keeps_its_settings_of_sampling() -> None:
    project: Project = make.project()
    then = migrate("0003_rounds_shards_schedules")
    of = then.get_model("annotation", "Project").objects.get(pk=project.pk)
    then.get_model("active_learning", "Schedule").objects.create(project=of, generate=SAMPLE)
    now = migrate(NEWEST)
    assert now.get_model("active_learning", "Schedule").objects.get().sample == SAMPLE


def test_a_round_that_draws_solutions_is_renamed_with_its_stage_and_back() -> None:
    project = make.project()
    then = migrate("0004_round_plan")
    of = then.get_model("annotation", "Project").objects.get(pk=project.pk)
    round_ = then.get_model("active_learning", "Round").objects.create(project=of, generation=0, state="generating")
    then.get_model("active_learning", "RoundStage").objects.create(round=round_, name="generate", attempt=1)
    migrate(NEWEST)
    assert Round.objects.get().state == "sampling" and Round.objects.get().stages.get().name == "sample"
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Round.objects.update(state="generating")
    assert broken_rule(caught.value) == "round_state"
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Round.objects.create(project=project, generation=1, state="queued")
    assert broken_rule(caught.value) == "round_one_unfinished"
    migrate("0004_round_plan")
    assert list(then.get_model("active_learning", "Round").objects.values_list("state", "stages__name")) == [("generating", "generate")]
    migrate(NEWEST)


def test_scores_that_were_there_before_get_their_place_in_the_order_of_scores() -> None:
    before, last = [("active_learning", "0007_which_process_holds_it")], MigrationExecutor(connection).loader.graph.leaf_nodes()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE active_learning_score_999999 PARTITION OF active_learning_score FOR VALUES IN (999999)")
    connection.check_constraints()
    for goal in (before, last, before, last):
        MigrationExecutor(connection).migrate(goal)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid"
            " WHERE i.inhparent = 'score_order'::regclass AND x.indrelid = 'active_learning_score_999999'::regclass"
        )
        assert cursor.fetchone() == (1,)
