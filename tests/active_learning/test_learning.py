"""All versions of a project measured on the same held-out labels."""

from dataclasses import replace

import pytest

from active_learning.models import ModelVersion, StepScores
from active_learning.registry import learning
from annotation.models import Project, Solution
from tests import make
from trainer.data import LabeledSolution, SolutionText

pytestmark = pytest.mark.django_db
SURE, UNSURE = [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]], [[0.4, 0.3, 0.3], [0.3, 0.3, 0.4]]


@pytest.fixture
def project(db: None) -> Project:
    return make.project()


def held_out(project: Project, n: int) -> tuple[list[Solution], list[LabeledSolution]]:
    """Make labeled solutions of n problems: the second step of the first half is wrong."""
    made = [make.solution(make.problem(project), steps=["a", "b"]) for _ in range(n)]
    texts = [SolutionText(str(one.pk), str(one.problem_id), "what", tuple(one.steps)) for one in made]
    ratings = [(1, -1) if number < n / 2 else (1, 1) for number in range(n)]
    return made, [LabeledSolution(*pair) for pair in zip(texts, ratings, strict=True)]


def version(project: Project, number: int, solutions: list[Solution], probabilities: list[list[float]]) -> ModelVersion:
    made = make.version(project, number, metrics={"base_rates": [0.25, 0.05, 0.7], "log_loss": 0.5, "training": {"n_solutions": 40}})
    StepScores.objects.bulk_create(
        StepScores(model_version=made, solution=one, probabilities=probabilities, held_out=True) for one in solutions
    )
    return made


def test_versions_are_measured_on_what_was_held_out_from_all_of_them(project: Project) -> None:
    solutions, labels = held_out(project, 12)
    version(project, 1, solutions[:11], UNSURE)
    found = learning.on_the_same(version(project, 2, solutions, SURE), labels)
    assert (found["n_solutions"], found["n_problems"]) == (11, 11) and list(found["versions"]) == ["1", "2"]
    one, two = (found["versions"][number] for number in "12")
    assert two["step_auc"]["value"] > 0.8 > 0.5 > one["step_auc"]["value"]
    assert two["step_auc"]["low"] <= two["step_auc"]["value"] <= two["step_auc"]["high"]
    assert one["base_rate_log_loss"] == two["base_rate_log_loss"] and one["position_auc"] == two["position_auc"]


def test_a_first_version_and_versions_with_little_in_common_are_not_measured_together(project: Project) -> None:
    solutions, labels = held_out(project, 12)
    first = version(project, 1, solutions, SURE)
    assert learning.on_the_same(first, labels) == {}
    assert learning.on_the_same(version(project, 2, solutions[:9], SURE), labels) == {}
    assert learning.on_the_same(ModelVersion.objects.get(number=2), labels[:0]) == {}


def test_a_version_without_stored_steps_is_left_out_and_does_not_empty_the_curves(project: Project) -> None:
    solutions, labels = held_out(project, 12)
    for number, own in ((1, solutions), (2, [])):
        version(project, number, own, UNSURE)
    found = learning.on_the_same(version(project, 3, solutions, SURE), labels)
    assert list(found["versions"]) == ["1", "3"] and found["n_solutions"] == 12 and found["left_out"] == {"2": 0}


def test_an_old_version_that_shares_little_does_not_limit_the_others(project: Project) -> None:
    solutions, labels = held_out(project, 60)
    for number, own in ((1, solutions[:14]), (2, solutions[10:30]), (3, solutions)):
        version(project, number, own, UNSURE)
    found = learning.on_the_same(version(project, 4, solutions, SURE), labels)
    assert list(found["versions"]) == ["2", "3", "4"] and found["n_solutions"] == 20
    assert (found["n_newest"], found["least"], found["left_out"]) == (60, 15, {"1": 4})


def test_a_solution_that_two_people_labeled_counts_once_and_both_labels_are_judged(project: Project) -> None:
    solutions, labels = held_out(project, 12)
    version(project, 1, solutions, UNSURE)
    again = [LabeledSolution(labels[0].solution, (1, 1))]  # of a solution whose second step the first person calls wrong
    newest = version(project, 2, solutions, SURE)
    once, twice = learning.on_the_same(newest, labels), learning.on_the_same(newest, [*labels, *again])
    assert once["n_solutions"] == twice["n_solutions"] == 12
    assert twice["versions"]["2"]["log_loss"]["value"] > once["versions"]["2"]["log_loss"]["value"]


def test_labels_of_an_interactive_walk_are_not_judged_by_the_steps_of_the_loaded_solution(project: Project) -> None:
    solutions, labels = held_out(project, 12)
    version(project, 1, solutions, UNSURE)
    newest = version(project, 2, solutions, SURE)
    walk = LabeledSolution(replace(labels[0].solution, steps=("a", "mine")), (1, 1))
    assert learning.on_the_same(newest, [*labels, walk]) == learning.on_the_same(newest, labels)
