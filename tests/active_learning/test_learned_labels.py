"""What a model learns where several people labeled a solution: each person's labels, the consensus, or its probabilities."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from active_learning import registry, rounds
from active_learning.models import ModelVersion
from active_learning.registry.training import learned_from
from annotation import quality
from annotation.models import Annotation, BatchKind, GoldAnswer, Project, ProjectConsensus, Solution, StepConsensus, StepSource
from tests import make
from tests.verdicts import judged
from trainer.config import TrainConfig
from trainer.data import LabeledSolution

pytestmark = pytest.mark.django_db
MIXED = [(1, 1, 0), (None, None, None), (2, 2, 0), (None, 1, None), (0, 0, 0), (2, None, 2)]
CERTAIN = {-1: (1.0, 0.0, 0.0), 0: (0.0, 1.0, 0.0), 1: (0.0, 0.0, 1.0)}


def read_by_three(count: int = 12) -> tuple[Project, list[Solution]]:
    project = make.project()
    solutions = make.solutions(project, count)
    for place, solution in enumerate(solutions):
        for name, mistake in zip(("ann", "ben", "cy"), MIXED[place % len(MIXED)], strict=True):
            judged(solution, name, mistake)
    return project, solutions


def begun(project: Project, labels: str) -> ModelVersion:
    return registry.new_version(project, config=TrainConfig.for_base("tiny"), labels=labels)


def learned(version: ModelVersion) -> dict[int, LabeledSolution]:
    labels = [label for label in learned_from(version) if isinstance(label, LabeledSolution)]
    assert len({label.solution.key for label in labels}) == len(labels)
    return {int(label.solution.key): label for label in labels}


def steps_of(solution: Solution) -> list[StepConsensus]:
    return list(StepConsensus.objects.filter(solution=solution).order_by("step_index"))


def test_each_persons_labels_come_once_for_each_person() -> None:
    project, _ = read_by_three()
    version = begun(project, "each")
    assert len(list(learned_from(version))) == 36 and version.consensus == {}


def test_the_consensus_is_one_labeled_solution_with_the_ratings_of_the_rows() -> None:
    project, solutions = read_by_three()
    of_solution = learned(begun(project, "consensus"))
    assert len(of_solution) == 12
    for solution in solutions:
        label = of_solution[solution.pk]
        assert label.ratings == tuple(step.label for step in steps_of(solution)) and label.soft is None
    assert of_solution[solutions[0].pk].ratings == (1, -1, None)


def test_soft_labels_are_the_probabilities_of_the_rows_and_count_what_is_reached() -> None:
    project, solutions = read_by_three()
    of_solution = learned(begun(project, "soft"))
    for solution in solutions:
        label, steps, reached = of_solution[solution.pk], steps_of(solution), 1.0
        assert label.soft is not None and label.weights is not None
        for step, soft, weight in zip(steps, label.soft, label.weights, strict=True):
            assert weight == pytest.approx(reached, abs=1e-6)
            if soft is None:
                assert reached < 0.01 or not step.n_votes
            else:
                share = step.p_neutral
                expected = (step.p_negative, (1 - step.p_negative) * share, (1 - step.p_negative) * (1 - share))
                assert soft == pytest.approx(expected, abs=1e-6)
            reached -= step.p_first
        assert label.ratings == tuple(step.label for step in steps)  # models are judged by these


def test_a_training_that_began_keeps_its_labels_whatever_is_settled_later() -> None:
    project, solutions = read_by_three()
    version = begun(project, "soft")
    before = learned(version)
    for solution in solutions:
        judged(solution, "dan", 0)
    GoldAnswer.objects.create(solution=solutions[0], acceptable_first_errors=[2])
    quality.settle(project)
    assert learned(ModelVersion.objects.get(pk=version.pk)) == before
    version.delete()
    assert learned(begun(project, "soft")) != before


def test_the_share_of_neutral_is_that_of_all_labels_also_of_problems_that_no_model_learns_from() -> None:
    project, solutions = read_by_three()
    contested = make.solution(make.problem(project))
    judged(contested, "ann", ratings=[0, 1, -1])
    judged(contested, "ben", ratings=[1, 1, -1])
    for solution in make.solutions(project, 60):
        judged(solution, "ann", ratings=[0, 0, 0])
        type(solution.problem).objects.filter(pk=solution.problem_id).update(split="test")
    label = learned(begun(project, "soft"))[contested.pk]
    steps = steps_of(contested)
    assert steps[0].p_neutral > 0.5 and label.ratings == tuple(step.label for step in steps) == (0, 1, -1)
    assert label.soft[0][1] == pytest.approx((1 - steps[0].p_negative) * steps[0].p_neutral, abs=1e-6)


def test_another_way_to_learn_or_other_gold_makes_a_training_worth_it_without_a_new_label() -> None:
    project, solutions = read_by_three()
    version = begun(project, "soft")
    ModelVersion.objects.filter(pk=version.pk).update(state="ready", sha256="0" * 64)
    said = [registry.nothing_new(project, labels=labels) for labels in (None, "soft", "consensus", "each")]
    assert [words.startswith("There is no new label since PRM 1") for words in said] == [True, True, False, False]
    GoldAnswer.objects.create(solution=solutions[0], acceptable_first_errors=[2])
    assert registry.nothing_new(project) == ""


def test_an_adjudication_is_what_is_learned_of_its_solution() -> None:
    project, solutions = read_by_three()
    judged(solutions[0], make.rolf(project), ratings=[0, 1, -1], kind=BatchKind.REVIEW)
    label = learned(begun(project, "soft"))[solutions[0].pk]
    assert label.ratings[-1] == -1 and label.soft is not None and label.soft[2] == (1.0, 0.0, 0.0)
    assert label.weights == (1.0, 1.0, 1.0) and len(label.ratings) == 3


def test_gold_is_learned_too() -> None:
    project, solutions = read_by_three()
    GoldAnswer.objects.create(solution=solutions[0], acceptable_first_errors=[2])
    label = learned(begun(project, "soft"))[solutions[0].pk]
    assert label.ratings == (1, 1, -1) and label.soft is not None and label.soft[2] == (1.0, 0.0, 0.0)


def test_a_verdict_of_one_person_who_is_not_known_is_certain() -> None:
    project = make.project()
    solution = make.solution(make.problem(project))
    judged(solution, "ann", ratings=[0, -1])
    label = learned(begun(project, "soft"))[solution.pk]
    assert label.soft == (CERTAIN[0], CERTAIN[-1], None) and label.ratings == (0, -1, None)


def test_a_solution_all_gave_up_on_teaches_nothing() -> None:
    project, _ = read_by_three()
    solution = make.solution(make.problem(project))
    judged(solution, "ann", ratings=[1], finish_reason="give_up")
    judged(solution, "ben", ratings=[1, -1], finish_reason="bad_problem")
    assert solution.pk not in learned(begun(project, "consensus"))


def test_a_consensus_with_a_prior_is_not_learned_from() -> None:
    project, _ = read_by_three()
    quality.settle(project)
    ProjectConsensus.objects.update(prior=3)
    with pytest.raises(rounds.RoundRefused, match="was settled with model 3 as the prior. .* manage.py settle --project sums"):
        rounds.start(project, rounds.RoundPlan(labels="soft"))
    with pytest.raises(registry.ModelUnusable, match="model 3"):
        begun(project, "consensus")


def test_an_interactive_project_has_no_consensus_to_learn_from() -> None:
    project = make.project(step_source=StepSource.INTERACTIVE)
    with pytest.raises(rounds.RoundRefused, match="there is no consensus on a solution"):
        rounds.start(project, rounds.RoundPlan(labels="consensus"))


def test_a_resumed_training_keeps_its_labels() -> None:
    project, _ = read_by_three()
    with pytest.raises(rounds.RoundRefused, match="keeps its base, config, seed and labels"):
        rounds.start(project, rounds.RoundPlan(resume=True, labels="soft"))


def test_a_preview_says_what_labels_are_learned_and_stores_nothing() -> None:
    project, _ = read_by_three()
    out = StringIO()
    call_command("retrain", project="sums", labels="soft", dry_run=True, stdout=out)
    assert "labels: the consensus of 3 people, as probabilities (soft labels)" in out.getvalue()
    assert "12 labeled solutions" in out.getvalue()
    assert not ProjectConsensus.objects.exists()


def test_the_command_refuses_a_consensus_with_a_prior() -> None:
    project, _ = read_by_three()
    quality.settle(project)
    ProjectConsensus.objects.update(prior=3)
    with pytest.raises(CommandError, match="with model 3 as the prior") as refused:
        call_command("retrain", project="sums", labels="consensus", dry_run=True)
    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    ("labels", "words"),
    [("each", "each person's labels"), ("consensus", "the most likely rating of each step"), ("soft", "as probabilities (soft labels)")],
)
def test_the_model_card_says_what_was_learned(world: Project, home: Path, labels: str, words: str) -> None:
    for annotation in Annotation.objects.select_related("solution__problem__project"):
        marks = annotation.steplabel_set.filter(rating=-1).values_list("step_index", flat=True)
        for name in ("ann", "ben"):
            judged(annotation.solution, name, min(marks, default=None))
    round_ = rounds.run(rounds.start(world, rounds.RoundPlan(labels=labels), notify=False).pk)
    assert round_.failure == "" and round_.model_version is not None and round_.model_version.labels == labels
    card = (home / round_.model_version.artifact / "README.md").read_text()
    assert f"- labels: {'' if labels == 'each' else 'the consensus of 3 people, '}{words}" in card
