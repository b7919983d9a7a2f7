"""What a choice takes for granted about an answer: its task remembers it, and a corrected answer keeps it out of a batch."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from active_learning import rounds
from active_learning.models import Round, Selection
from active_learning.selection import STRATEGIES, premise_of
from annotation import corrections
from annotation.models import Project, Solution, Task
from tests import make

pytestmark = pytest.mark.django_db

DOUBTED = "A right answer whose reasoning the model doubts: scored 0.10."
PREMISES = {
    ("convincing", "A wrong answer."): "wrong",
    ("control", "A wrong answer."): "wrong",
    ("convincing_rest", "A right answer."): "not_wrong",
    **{(part, "The model believes it."): "" for part in ("convincing_all", "entropy_draw", "margin", "change")},
    ("disagreement", DOUBTED): "correct",
    ("disagreement", "Judgements differ: PRM 0.10, ORM 0.90."): "",
    ("entropy", "The model is unsure."): "",
    ("uncertain", "The model is unsure."): "",
    **dict.fromkeys(((name, "Its states.") for name in ("typical", "covering", "herding", "diverse", "typical_first")), ""),
    ("uniform", "Drawn at random (not scored)."): "",
}


def proposed(project: Project, *, outcome: str = "wrong") -> tuple[Round, dict[str, Solution]]:
    """A round that waits for its review, with one solution of each part and reason; the answer of each could be corrected to 7."""
    chosen = {f"{part}/{reason}": make.solution(make.problem(project), final_answer="7", outcome=outcome) for part, reason in PREMISES}
    round_ = make.round_of(project, {"convincing": list(chosen.values())}, state="proposed", plan={"review": True})
    for (part, reason), solution in zip(PREMISES, chosen.values(), strict=True):
        Selection.objects.filter(round=round_, solution=solution).update(part=part, reason=reason)
    return round_, chosen


def test_every_strategy_says_what_it_takes_for_granted() -> None:
    assert {part for part, _ in PREMISES} == STRATEGIES.keys()
    assert {(part, reason): premise_of(part, reason) for part, reason in PREMISES} == PREMISES


def test_a_published_task_remembers_it() -> None:
    project = make.project()
    round_, chosen = proposed(project)
    Solution.objects.filter(pk__in=[chosen[f"disagreement/{DOUBTED}"].pk]).update(outcome="correct")
    rest = chosen["convincing_rest/A right answer."]
    Solution.objects.filter(pk=rest.pk).update(outcome="unsure")
    rounds.publish(project, round_.number, actor=make.olga(project))
    expected = {chosen[f"{part}/{reason}"].pk: premise for (part, reason), premise in PREMISES.items()}
    assert dict(Task.objects.values_list("solution", "premise")) == expected


def test_what_was_chosen_for_an_outcome_that_is_corrected_meanwhile_is_not_published() -> None:
    project = make.project()
    round_, chosen = proposed(project)
    solution = chosen["convincing/A wrong answer."]
    with corrections.prepared(project, [corrections.change_of_answer(solution.problem, "7")]) as plan:
        plan.apply(actor=None)
    rounds.publish(project, round_.number, actor=make.olga(project))
    published = set(Task.objects.values_list("solution", flat=True))
    false = {"convincing/A wrong answer.", "convincing_rest/A right answer.", f"disagreement/{DOUBTED}"}
    assert published == {one.pk for name, one in chosen.items() if name not in false}
    assert Selection.objects.filter(round=round_, is_dropped=True).count() == 3


def test_the_tasks_of_older_rounds_learn_it() -> None:
    project = make.project()
    round_, chosen = proposed(project)
    batch = make.batch(project, list(chosen.values()))
    round_.batch, round_.state = batch, "published"
    round_.save()
    connection.check_constraints()
    MigrationExecutor(connection).migrate([("active_learning", "0005_sampling_not_generating")])
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    expected = {chosen[f"{part}/{reason}"].pk: premise for (part, reason), premise in PREMISES.items()}
    assert dict(Task.objects.values_list("solution", "premise")) == expected
