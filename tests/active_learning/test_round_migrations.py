"""The migrations of active_learning on a database that holds rounds of every kind there has been: forward, and back.

One walk, and each test looks at what it is about.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import TransactionTestCase

from active_learning import migrations, pages, rounds
from active_learning.models import Round, Schedule
from active_learning.rounds import Findings, RoundPlan
from active_learning.selection import Recipe
from annotation.models import Project, broken_rule
from tests import make
from tests.conftest import delete_rows

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


class Walked(NamedTuple):
    """What was seen on the way: at the newest migration, at the one that renames a stage, and at the oldest."""

    drawn: Project  # of a round that draws solutions
    plans: list[tuple[RoundPlan, Findings, int]]  # of each kind of round: its plan, its findings, the size that its page shows
    sampled: dict[str, Any]  # the settings of a schedule
    stages: tuple[list[Any], list[Any]]  # state and stage of the round that draws: at the newest, and back
    rows: list[tuple[Any, Any]]  # of each kind of round: params and seed, back at the oldest


def migrate(name: str) -> Any:
    """Migrate to the migration of this name, and return the models as they are there."""
    return MigrationExecutor(connection).migrate([("active_learning", name)]).apps


def walk() -> Walked:
    project, drawn = make.project(), make.project("drawn")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE active_learning_score_999999 PARTITION OF active_learning_score FOR VALUES IN (999999)")
    then = migrate("0003_rounds_shards_schedules")
    old, of = then.get_model("active_learning", "Round"), then.get_model("annotation", "Project").objects.get(pk=project.pk)
    for generation, (strategy, params, _, _) in enumerate(KINDS):
        row = {"strategy": strategy, "params": params, "seed": generation, "state": "published"}
        old.objects.create(project=of, generation=generation, **row)
    then.get_model("active_learning", "Schedule").objects.create(project=of, generate=SAMPLE)
    then = migrate("0004_round_plan")
    later, of = then.get_model("active_learning", "Round"), then.get_model("annotation", "Project").objects.get(pk=drawn.pk)
    drawing = later.objects.create(project=of, generation=0, state="generating")
    then.get_model("active_learning", "RoundStage").objects.create(round_id=drawing.pk, name="generate", attempt=1)
    migrate(NEWEST)
    found = [Round.objects.get(project=project, generation=generation) for generation in range(len(KINDS))]
    sizes = [pages.one_round(project, one.number)["row"].plan.size for one in found]
    plans = [(rounds.plan_of(one), rounds.findings_of(one), size) for one, size in zip(found, sizes, strict=True)]
    sampled = Schedule.objects.get().sample
    newest = list(Round.objects.filter(project=drawn).values_list("state", "stages__name"))
    migrate("0004_round_plan")
    stages = newest, list(later.objects.filter(project=drawn.pk).values_list("state", "stages__name"))
    migrate("0003_rounds_shards_schedules")
    rows = list(old.objects.filter(project=project.pk).order_by("generation").values_list("params", "seed"))
    migrate(NEWEST)
    return Walked(drawn, plans, sampled, stages, rows)


@pytest.fixture(scope="module")
def walked(django_db_setup: None, django_db_blocker: Any) -> Iterator[Walked]:
    """Walk twice back and forth for all tests: that takes seconds."""
    with django_db_blocker.unblock():
        seen = walk()
    yield seen
    with django_db_blocker.unblock():
        delete_rows(TransactionTestCase())


def test_what_a_round_was_asked_to_do_and_what_it_found_out_are_parted_and_joined_again(walked: Walked) -> None:
    for generation, (_, params, plan, findings) in enumerate(KINDS):
        asked = RoundPlan.from_settings(plan.as_dict() | {"seed": generation})
        assert walked.plans[generation] == (asked, findings, params.get("size") or 0), params
    for generation, (_, params, plan, _) in enumerate(KINDS):
        joined, seed = walked.rows[generation]
        known = {name: value for name, value in params.items() if name not in ("per_problem", "preset", "base")}
        assert known.items() <= ({"short": "", "mix": {}} | joined).items() and seed == generation
        assert joined["recipe"] == (plan.recipe and plan.recipe.as_dict())


def test_a_schedule_keeps_its_settings_of_sampling(walked: Walked) -> None:
    assert walked.sampled == SAMPLE


def test_a_round_that_draws_solutions_is_renamed_with_its_stage_and_back(walked: Walked) -> None:
    assert walked.stages == ([("sampling", "sample")], [("generating", "generate")])
    drawn = Round.objects.filter(project=walked.drawn)
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        drawn.update(state="generating")
    assert broken_rule(caught.value) == "round_state"
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Round.objects.create(project=walked.drawn, generation=1, state="queued")
    assert broken_rule(caught.value) == "round_one_unfinished"


@pytest.mark.usefixtures("walked")
@pytest.mark.parametrize("index", ["score_order", "score_convincing"])
def test_scores_that_were_there_before_get_their_place_in_the_order_of_scores(index: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass AND x.indrelid = 'active_learning_score_999999'::regclass",
            [index],
        )
        assert cursor.fetchone() == (1,)
