"""The loop: train, score, select, publish, on a small world labeled by its oracle."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from active_learning import experiment, reward_models, rounds
from active_learning.models import ModelState, ModelVersion, Round, RoundState, Score, Selection
from annotation import ingest
from annotation.models import Batch, Outcome, Problem, Project, Solution, Task
from tests import make


def turn(project: Project, **options: object) -> Round:
    started = rounds.start(project, ring=False, **options)
    return rounds.run(started.pk, report=lambda *_: None)


def test_the_demonstration_has_problems_labels_and_a_first_batch(world: Project) -> None:
    assert Problem.objects.filter(project=world).count() == 12
    assert Solution.objects.filter(problem__project=world, outcome=Outcome.UNGRADED).count() == 0
    assert Task.objects.filter(batch__project=world, batch__kind="imported").count() == 20
    assert Task.objects.filter(batch__project=world, batch__kind="selected").count() == 5


def test_making_the_demonstration_twice_changes_nothing(world: Project) -> None:
    before = Solution.objects.count(), Task.objects.count(), Batch.objects.count()
    experiment.make_demonstration()
    assert (Solution.objects.count(), Task.objects.count(), Batch.objects.count()) == before


def test_a_round_trains_scores_selects_and_publishes(world: Project, home: Path) -> None:
    ended = turn(world, size=4)
    assert ended.failure == ""
    assert ended.state == RoundState.PUBLISHED
    version = ended.model_version
    assert version.state == ModelState.READY and version.champion and len(version.sha256) == 64
    assert (home / version.artifact / "model.safetensors").is_file()
    assert Score.objects.filter(model_version=version).count() == Solution.objects.filter(problem__project=world).count()
    assert ended.batch.generation == 1
    assert Task.objects.filter(batch=ended.batch).count() == 4


def test_only_wrong_answers_not_queued_before_are_chosen_the_most_convincing_first(world: Project) -> None:
    queued = set(Task.objects.values_list("solution_id", flat=True))
    ended = turn(world, size=6, per_problem=1)
    chosen = list(Selection.objects.filter(round=ended).select_related("solution").order_by("rank"))
    assert chosen and {one.solution.outcome for one in chosen} == {Outcome.WRONG}
    assert not queued & {one.solution_id for one in chosen}
    assert len({one.solution.problem_id for one in chosen}) == len(chosen)
    scores = [one.score for one in chosen]
    assert scores == sorted(scores, reverse=True)
    left_out = Score.objects.filter(model_version=ended.model_version, outcome=Outcome.WRONG).exclude(solution__in=queued)
    best = left_out.order_by("-score").first()
    assert best.solution_id == chosen[0].solution_id


def test_the_score_is_the_product_over_the_steps(world: Project) -> None:
    ended = turn(world, size=3)
    one = Selection.objects.get(round=ended, rank=1)
    product = 1.0
    for step in one.step_scores:
        product *= step
    assert len(one.step_scores) == len(one.solution.steps)
    assert product == pytest.approx(one.score, abs=1e-4)
    assert Task.objects.get(batch=ended.batch, solution=one.solution).verifier_score == pytest.approx(one.score)


def test_a_test_split_problem_planted_in_the_pool_is_never_scored_nor_chosen(world: Project) -> None:
    planted = make.solution(make.problem(world, split="test"), final_answer="no", outcome="wrong")
    ended = turn(world, size=100, globally=True)
    assert not Score.objects.filter(solution=planted.pk).exists()
    assert not Selection.objects.filter(round=ended, solution=planted).exists()


def test_a_withdrawn_solution_is_not_chosen(world: Project) -> None:
    first = turn(world, size=1)
    gone = Score.objects.filter(model_version=first.model_version, outcome="wrong").order_by("-score")[1].solution_id
    Solution.objects.filter(pk=gone).update(withdrawn_at="2026-01-01T00:00Z")
    second = turn(world, size=100, globally=True)
    assert not Selection.objects.filter(round=second, solution=gone).exists()


def test_a_round_of_size_0_gives_a_scored_model_and_no_batch(world: Project) -> None:
    batches = Batch.objects.count()
    ended = turn(world, size=0)
    assert ended.state == RoundState.PUBLISHED and ended.batch is None
    assert Score.objects.filter(model_version=ended.model_version).exists()
    assert Batch.objects.count() == batches


def test_a_base_folder_that_is_none_is_refused_and_nothing_is_changed(world: Project, tmp_path: Path) -> None:
    before = Round.objects.count(), ModelVersion.objects.count()
    for base, reason in ((str(tmp_path / "nowhere"), "There is no model folder"), (str(tmp_path), "holds no config.json")):
        with pytest.raises(CommandError, match=reason) as refused:
            call_command("retrain", "--project", world.slug, "--base", base)
        assert refused.value.returncode == 2
    assert (Round.objects.count(), ModelVersion.objects.count()) == before


def test_retrain_for_a_project_that_does_not_exist_names_those_that_do(world: Project) -> None:
    with pytest.raises(CommandError, match="There is no project 'nosuch'. There are: demonstration") as refused:
        call_command("retrain", "--project", "nosuch")
    assert refused.value.returncode == 2


def test_too_little_to_learn_from_fails_with_a_sentence_and_the_next_round_may_start(db, home: Path) -> None:
    project = make.project()
    make.solutions(project, 5)
    ended = turn(project)
    assert ended.state == RoundState.FAILED
    assert "0 rated steps" in ended.failure
    assert ModelVersion.objects.get(project=project).state == ModelState.FAILED
    assert rounds.start(project, ring=False).state == RoundState.QUEUED


def test_no_wrong_answers_left_is_said(world: Project) -> None:
    Solution.objects.filter(problem__project=world).update(outcome=Outcome.CORRECT)
    ended = turn(world)
    assert ended.state == RoundState.FAILED
    assert "has a wrong answer" in ended.failure


def test_a_second_round_is_refused_while_one_is_unfinished(world: Project) -> None:
    rounds.start(world, ring=False)
    with pytest.raises(rounds.RoundRefused, match="still queued"):
        rounds.start(world, ring=False)


def test_a_running_model_beats_and_says_how_far_it_is(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "HEARTBEAT_SECONDS", 0)
    started, seen = rounds.start(world, ring=False), []

    def look(*_: object) -> None:
        seen.extend(ModelVersion.objects.filter(project=world, heartbeat_at__isnull=False).values_list("progress", flat=True))

    rounds.run(started.pk, report=look)
    assert {"language model", "reward model"} <= {progress.get("stage") for progress in seen}


def test_a_cancelled_round_publishes_nothing(world: Project) -> None:
    started = rounds.start(world, ring=False)
    batches = Batch.objects.count()

    def cancel_in_the_middle(*_: object) -> None:
        if Round.objects.get(pk=started.pk).state == RoundState.TRAINING:
            rounds.cancel(world, started.generation)

    ended = rounds.run(started.pk, report=cancel_in_the_middle)
    assert ended.state == RoundState.CANCELLED
    assert Batch.objects.count() == batches
    assert ModelVersion.objects.get(round=started).state == ModelState.FAILED


def test_a_worker_given_up_for_dead_publishes_nothing(world: Project) -> None:
    started = rounds.start(world, ring=False)

    def lose_it(*_: object) -> None:
        Round.objects.filter(pk=started.pk, attempt=1).update(heartbeat_at="2020-01-01T00:00Z", token=99)

    zombie = rounds.run(started.pk, report=lose_it)
    assert zombie.state in ("training", "scoring")
    assert not Score.objects.filter(model_version=zombie.model_version_id).exists()
    assert Batch.objects.filter(project=world, generation=started.generation, kind="selected").count() == 0
    taken_over = rounds.run(started.pk)
    assert taken_over.state == RoundState.PUBLISHED
    assert ModelVersion.objects.filter(project=world).count() == 1


def test_a_killed_scoring_goes_on_where_it_stopped(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_models, "SCORE_CHUNK", 10)
    started = rounds.start(world, size=3, ring=False)
    copied = []

    class Killed(Exception):
        pass

    whole = reward_models._score_chunk

    def killed_on_the_third(model, rows, **options):
        if len(copied) == 2:
            raise Killed
        copied.append(rows)
        return whole(model, rows, **options)

    monkeypatch.setattr(reward_models, "_score_chunk", killed_on_the_third)
    assert rounds.run(started.pk).state == RoundState.SCORING
    again = []
    monkeypatch.setattr(reward_models, "_score_chunk", lambda model, rows, **options: again.append(rows) or whole(model, rows, **options))
    ended = rounds.run(started.pk)
    assert ended.state == RoundState.PUBLISHED
    assert again[0][0][0] > copied[-1][-1][0]
    assert Score.objects.filter(model_version=ended.model_version).count() == Solution.objects.filter(problem__project=world).count()


def test_the_sweeper_rings_again_and_gives_up_after_three_attempts(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr(rounds, "ring_bell", rung.append)
    started = rounds.start(world, ring=False)
    assert rounds.sweep() == rung == [started.pk]
    Round.objects.filter(pk=started.pk).update(attempt=rounds.ATTEMPTS)
    assert rounds.sweep() == []
    started.refresh_from_db()
    assert started.state == RoundState.FAILED and "lost 3 times" in started.failure


def test_a_round_in_hand_is_left_alone_by_the_sweeper(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "ring_bell", lambda _: pytest.fail("rang for a round in hand"))
    started = rounds.start(world, ring=False)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE active_learning_round SET heartbeat_at = now(), attempt = 1 WHERE id = %s", [started.pk])
    assert rounds.sweep() == []


def test_enough_new_labels_start_a_round(world: Project) -> None:
    Project.objects.update(retrain_every_labels=10_000)
    assert rounds.start_due_rounds() == []
    Project.objects.update(retrain_every_labels=10)
    assert [one.project for one in rounds.start_due_rounds()] == [world]
    assert rounds.start_due_rounds() == []


def test_the_clock_starts_a_round_only_if_there_is_a_new_label(world: Project) -> None:
    Project.objects.update(retrain_every_labels=None, retrain_every_hours=2)
    first = rounds.start_due_rounds()
    assert len(first) == 1
    rounds.cancel(world, first[0].generation)
    Round.objects.filter(pk=first[0].pk).update(created_at="2020-01-01T00:00Z")
    assert len(rounds.start_due_rounds()) == 1  # the labels are newer than that
    last = Round.objects.latest("pk")
    rounds.cancel(world, last.generation)
    assert rounds.start_due_rounds() == []


def test_the_same_seed_draws_the_same_first_batch(db, home: Path) -> None:
    chosen = []
    for slug in ("one", "two"):
        project = make.project(slug)
        rows = [
            ingest.NewSolution(ingest.NewProblem(f"What is {n} + 1?", str(n + 1)), (f"It is {n}.\n\n# Answer\n\n{n}",), str(n))
            for n in range(30)
        ]
        ingest.add_solutions(project, rows)
        ended = turn(project, strategy=rounds.UNIFORM, size=8, seed=7)
        chosen.append([one.solution.final_answer for one in Selection.objects.filter(round=ended).order_by("rank")])
    assert chosen[0] == chosen[1] and len(chosen[0]) == 8


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_run_a_round_once(home: Path) -> None:
    project = make.project()
    make.solutions(project, 30)
    started = rounds.start(project, strategy=rounds.UNIFORM, size=10, ring=False)
    make.at_once([lambda: rounds.run(started.pk)] * 4)
    started.refresh_from_db()
    assert started.state == RoundState.PUBLISHED and started.attempt == 1
    assert Batch.objects.count() == 1 and Task.objects.count() == 10


@pytest.mark.django_db(transaction=True)
def test_eight_starts_at_once_make_one_round(home: Path) -> None:
    project = make.project()
    outcomes = make.at_once([lambda: rounds.start(project, ring=False)] * 8)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Round"] + ["RoundRefused"] * 7
    assert Round.objects.count() == 1
