"""What a reward model says as the prior of a consensus, the command that settles, and the task that beat sends."""

from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from active_learning import registry, tasks
from active_learning.models import StepScores
from active_learning.registry.settling import first_mistakes
from annotation import quality
from annotation.models import Project, ProjectConsensus, Solution, SolutionConsensus
from labelapp.celery import app
from tests import make
from tests.verdicts import judged

pytestmark = pytest.mark.django_db
SURE_OF_THIRD = [[0.02, 0.0, 0.98], [0.02, 0.0, 0.98], [0.9, 0.05, 0.05]]


def contested(count: int = 12) -> tuple[Project, list[Solution]]:
    """Solutions of three steps in which ann sees the mistake in the second step, and ben in the third."""
    project = make.project()
    solutions = make.solutions(project, count)
    for solution in solutions:
        judged(solution, "ann", 1)
        judged(solution, "ben", 2)
    return project, solutions


def settle(project: str = "sums", *options: str) -> str:
    out = StringIO()
    call_command("settle", "--project", project, *options, stdout=out)
    return out.getvalue()


def test_the_chances_of_first_mistakes_come_from_the_steps() -> None:
    np.testing.assert_allclose(first_mistakes([0.1, 0.5]), [0.1, 0.9 * 0.5, 0.9 * 0.5])


def test_the_command_settles_without_a_prior() -> None:
    project, _ = contested()
    words = settle()
    assert "Settled: 12 solutions from 24 verdicts by 2 people. 12 have a mistake, 0 have none." in words
    assert ProjectConsensus.objects.get(project=project).prior is None


def test_a_prior_decides_what_people_leave_open() -> None:
    project, solutions = contested()
    version = make.version(project, 1)
    settle()
    assert set(SolutionConsensus.objects.values_list("first_mistake", flat=True)) == {1}
    for solution in solutions:
        StepScores.objects.create(model_version=version, solution=solution, probabilities=SURE_OF_THIRD)
    settle("sums", "--prior", "1")
    assert set(SolutionConsensus.objects.values_list("first_mistake", flat=True)) == {2}
    assert ProjectConsensus.objects.get(project=project).prior == 1


def test_the_steps_of_a_round_are_a_prior_too() -> None:
    project, solutions = contested()
    version = make.version(project, 1)
    make.round_of(project, {"convincing": solutions[:2]}, state="cancelled", generation=3, model_version=version)
    prior = registry.settling.prior_from(project, 1)
    np.testing.assert_allclose(prior.chances[solutions[0].pk], first_mistakes([0.1, 0.6, 0.1]))


def test_new_verdicts_are_settled_with_the_same_prior() -> None:
    project, solutions = contested()
    later = make.solution(make.problem(project))
    version = make.version(project, 1)
    for solution in (*solutions, later):
        StepScores.objects.create(model_version=version, solution=solution, probabilities=SURE_OF_THIRD)
    registry.settle(project, prior=1)
    judged(later, "ann", 1)
    judged(later, "ben", 2)
    assert tasks.settle_new() == ["sums"]
    assert SolutionConsensus.objects.get(pk=later.pk).first_mistake == 2
    assert quality.estimates_of(project) is not None and ProjectConsensus.objects.get(project=project).prior == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (None, "has no model 1"),
        ({"kind": "orm"}, "no ready PRM"),
        ({"state": "failed", "sha256": ""}, "no ready PRM"),
        ({}, "has scored the steps of no solution yet"),
    ],
)
def test_a_version_that_gives_no_prior_is_refused(fields: dict[str, str] | None, message: str) -> None:
    project, _ = contested(2)
    if fields is not None:
        make.version(project, 1, **fields)
    with pytest.raises(CommandError, match=message) as refused:
        settle("sums", "--prior", "1")
    assert refused.value.returncode == 2 and not SolutionConsensus.objects.exists()


def test_an_unknown_project_is_refused() -> None:
    with pytest.raises(CommandError) as refused:
        settle("nowhere")
    assert refused.value.returncode == 2


def test_beat_settles_new_verdicts_each_minute() -> None:
    entry = app.conf.beat_schedule["settle new labels"]
    assert entry["task"] == tasks.settle_new.name and entry["schedule"] == 60
