"""The demonstration's oracle: it labels what waits in the queue of its own world, and each model is judged by kind of mistake."""

import itertools
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from active_learning import demonstration, rounds
from active_learning.models import ModelVersion, Round, RoundState
from active_learning.world import MistakeKind, demonstrated_world, label, truth_of
from annotation import ingest, queue
from annotation.models import Annotation, Assignment, AssignmentState, Batch, BatchState, Membership, Problem, Project, Solution
from tests import make


def train(project: Project) -> ModelVersion:
    return rounds.run(rounds.start(project, make.plan(project, size=0), notify=False).pk, progress=lambda *_: None).model_version


def oracle_labels(*args: str) -> None:
    call_command("oracle_labels", *args, verbosity=0)


def by_oracle() -> Any:
    return Annotation.objects.filter(labeler__username=demonstration.ORACLE_NAME)


def test_the_oracle_labels_all_that_waits_as_the_world_knows_it(world: Project, capsys: pytest.CaptureFixture[str]) -> None:
    oracle_labels()
    assert by_oracle().count() == demonstration.N_BATCH and "The oracle labeled 5 solutions." in capsys.readouterr().out
    for annotation in by_oracle().select_related("solution__problem"):
        truth = truth_of(annotation.solution.problem.statement, tuple(annotation.solution.steps))
        rated = annotation.steplabel_set.order_by("step_index").values_list("rating", flat=True)
        assert truth is not None and tuple(rated) == label(truth).ratings and annotation.finish_reason == label(truth).finish_reason
    oracle_labels()
    assert by_oracle().count() == demonstration.N_BATCH and "Nothing waits in the queue." in capsys.readouterr().out


def test_a_manager_lets_the_oracle_label_from_the_overview(world: Project) -> None:
    olga = Client()
    olga.force_login(make.olga())
    assert "Let the oracle label what waits" in olga.get(reverse("loop", args=[world.slug])).content.decode()
    answers = [olga.post(reverse("oracle-labels", args=[world.slug]), follow=True).content.decode() for _ in range(2)]
    assert by_oracle().count() == demonstration.N_BATCH
    assert "The oracle labeled 5 solutions." in answers[0] and "Nothing waits in the queue. Start a round" in answers[1]


def test_two_presses_at_once_share_the_work_and_neither_fails(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    own, others = queue.lease_next, iter([True, True])

    def lease_with_a_rival(labeler: Any, *, project: Project) -> Any:
        """Lease, and let another press submit the same lease first."""
        lease = own(labeler, project=project)
        if next(others, False):
            assert demonstration._label(lease, labeler)
        return lease

    monkeypatch.setattr(demonstration.quality, "lease_next", lease_with_a_rival)
    assert demonstration.label_as_oracle(world) == demonstration.N_BATCH - 2
    assert by_oracle().count() == demonstration.N_BATCH


def test_a_lease_that_is_lost_again_and_again_is_an_answer_and_no_endless_loop(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: Any) -> bool:
        raise queue.LeaseLost

    monkeypatch.setattr(demonstration, "_label", lose)
    olga = Client()
    olga.force_login(make.olga())
    assert "This solution is no longer yours." in olga.post(reverse("oracle-labels", args=[world.slug]), follow=True).content.decode()


def test_an_oracle_whose_account_is_paused_is_named_so_that_nobody_looks_for_the_pause_of_their_own(world: Project) -> None:
    oracle_labels("--size", "1")
    Membership.objects.filter(user__username=demonstration.ORACLE_NAME).update(suspended_at=Now())
    with pytest.raises(CommandError, match="The account oracle cannot label here; the page People says why. It was told: Your work in"):
        oracle_labels()


def test_no_time_is_noted_for_the_oracle_so_that_the_times_are_those_of_people(world: Project) -> None:
    oracle_labels("--size", "2")
    assert set(by_oracle().values_list("active_ms", "total_ms")) == {(None, None)}


def test_where_nothing_can_be_labeled_the_answer_says_why(world: Project, capsys: pytest.CaptureFixture[str]) -> None:
    Batch.objects.filter(project=world, generation=0).update(state=BatchState.PAUSED)
    oracle_labels()
    assert "Batch 0 is paused, so nothing of it is handed out. Resume it on its page." in capsys.readouterr().out
    Project.objects.update(archived_at=Now())
    oracle_labels()
    assert "demonstration is archived, so nobody labels. Open it again in its settings first." in capsys.readouterr().out
    Project.objects.update(archived_at=None)
    Batch.objects.update(state=BatchState.OPEN)
    oracle_labels()
    begun = rounds.start(world, make.plan(world, size=3), notify=False)
    capsys.readouterr()
    oracle_labels()
    assert f"Round {begun.number} is under way, and publishes the next batch." in capsys.readouterr().out
    Round.objects.filter(pk=begun.pk).update(state=RoundState.PROPOSED)
    oracle_labels()
    assert f"Round {begun.number} proposes a batch: review it, and publish it." in capsys.readouterr().out


def test_the_demonstration_of_an_earlier_version_has_no_oracle_and_is_not_added_to(db: None) -> None:
    older = make.project(demonstration.DEMONSTRATION)
    Problem.objects.create(project=older, external_id="world-2305-1", statement="How many?")
    with pytest.raises(CommandError, match="has problems of another world: an earlier version made it. It stays as it is."):
        call_command("make_demonstration", verbosity=0)
    assert Problem.objects.count() == 1
    olga = Client()
    olga.force_login(make.olga(older))
    assert "oracle" not in olga.get(reverse("loop", args=[older.slug])).content.decode()


def test_no_other_project_is_offered_the_oracle_and_its_address_refuses(db: None) -> None:
    other = make.project("other")
    olga = Client()
    olga.force_login(make.olga(other))
    assert "oracle" not in olga.get(reverse("loop", args=["other"])).content.decode()
    refused = olga.post(reverse("oracle-labels", args=["other"]), follow=True).content.decode()
    assert "The oracle knows only the mistakes of the demonstration of this version." in refused


def test_the_oracle_stops_after_the_number_that_was_asked_for(world: Project) -> None:
    oracle_labels("--size", "2")
    assert by_oracle().count() == 2
    with pytest.raises(CommandError, match="--size must be at least 1, not 0."):
        oracle_labels("--size", "0")


def test_the_oracle_refuses_a_project_with_other_problems_and_labels_nothing(world: Project) -> None:
    other = make.project("other")
    make.batch(other, make.solutions(other, 2))
    with pytest.raises(CommandError, match="other has other problems"):
        oracle_labels("--project", "other")
    Problem.objects.create(project=world, external_id="mine", statement="How many?")
    with pytest.raises(CommandError, match="demonstration has other problems"):
        oracle_labels()
    assert not by_oracle().exists() and not Membership.objects.filter(user__username=demonstration.ORACLE_NAME).exists()


def test_the_oracle_leaves_a_solution_of_somebody_else_to_people(world: Project) -> None:
    waiting = Assignment.objects.filter(state=AssignmentState.OPEN).select_related("task__solution").first()
    assert waiting is not None
    Solution.objects.filter(pk=waiting.task.solution_id).update(digest=b"x" * 32, steps=["I guess.\n\n# Answer\n\n7"])
    oracle_labels()
    assert by_oracle().count() == demonstration.N_BATCH - 1
    assert not Annotation.objects.filter(solution=waiting.task.solution_id).exists()


def test_an_account_of_a_person_called_oracle_is_not_taken(world: Project) -> None:
    make.person(demonstration.ORACLE_NAME)
    with pytest.raises(CommandError, match="An account called oracle exists already"):
        oracle_labels()


def test_a_model_of_the_demonstration_is_judged_by_kind_of_mistake_on_problems_it_did_not_learn(world: Project) -> None:
    version = train(world)
    kinds = version.metrics["kinds"]
    assert kinds and set(kinds) <= set(MistakeKind)
    for row in kinds.values():
        assert 0 <= row["auc"] <= 1 and row["n_wrong"] > 0
    n_wrong = sum(row["n_wrong"] for row in kinds.values())
    oracle_labels()
    later = train(world)
    assert sum(row["n_wrong"] for row in later.metrics["kinds"].values()) == n_wrong, "Both stand on the same steps."
    assert version.metrics["kinds_on"] == later.metrics["kinds_on"] and version.metrics["kinds_on"]["n_problems"] > 0


def test_a_model_of_a_project_without_known_truth_has_no_kinds(world: Project) -> None:
    for problem in Problem.objects.filter(project=world):
        Problem.objects.filter(pk=problem.pk).update(external_id=f"real-{problem.pk}")
    assert "kinds" not in train(world).metrics


def test_most_mistakes_of_the_demonstration_are_misread_conditions() -> None:
    made = [s.mistake_kind for _, solutions in demonstrated_world(n_problems=100) for s in solutions if s.mistake_kind]
    share = made.count(MistakeKind.MISREAD_CONDITION) / len(made)
    assert 0.33 < share < 0.5 and set(made) == set(MistakeKind)


def test_the_truth_of_a_solution_is_found_by_its_text_alone() -> None:
    for problem, solutions in itertools.islice(demonstrated_world(), 5):
        for solution in solutions:
            assert truth_of(problem.statement, solution.steps) == solution
        assert truth_of(problem.statement, ("another",)) is None


def test_the_oracle_of_a_project_without_problems_says_so(db: None) -> None:
    with pytest.raises(ingest.BadProject, match="has other problems, or none"):
        demonstration.label_as_oracle(make.project("empty"))
