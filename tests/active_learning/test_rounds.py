"""The loop: train, score, select, publish, on a small world labeled by its oracle."""

import shutil
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from active_learning import demonstration, registry, rounds
from active_learning.models import ModelState, ModelVersion, ProblemMean, Round, RoundStage, RoundState, Score, Selection
from active_learning.rounds import running, starting
from annotation import ingest, queue
from annotation.holders import ATTEMPTS
from annotation.models import Batch, Outcome, Problem, Project, Snapshot, Solution, Split, Task
from tests import make
from tests.assignments import learnable, published, rated, submit
from trainer import config


def turn(project: Project, **options: object) -> Round:
    started = rounds.start(project, make.plan(project, **options), notify=False)
    return rounds.run(started.pk, progress=lambda *_: None)


def test_the_demonstration_has_problems_labels_and_a_first_batch(world: Project) -> None:
    assert Problem.objects.filter(project=world).count() == 12
    assert Solution.objects.filter(problem__project=world, outcome=Outcome.UNGRADED).count() == 0
    assert Task.objects.filter(batch__project=world, batch__kind="imported").count() == 20
    assert Task.objects.filter(batch__project=world, batch__kind="selected").count() == 5


def test_making_the_demonstration_twice_changes_nothing(world: Project) -> None:
    before = Solution.objects.count(), Task.objects.count(), Batch.objects.count()
    demonstration.make_demonstration()
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


def test_a_second_round_on_a_frozen_base_takes_all_states_from_the_cache(
    world: Project, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(config.TINY_DEFAULTS, "shape", config.TinyShape())  # the shipped base: it has read text
    Project.objects.filter(pk=world.pk).update(frozen_base=True)
    world.refresh_from_db()
    ends = [turn(world, size=2) for _ in range(2)]
    assert [ended.failure for ended in ends] == ["", ""] and all(ended.batch for ended in ends)
    counts = [ended.model_version.metrics["training"]["frozen"] for ended in ends]
    assert counts[0]["n_from_cache"] == 0 < counts[1]["n_from_cache"] == counts[1]["n_solutions"]
    assert not (home / ends[1].model_version.artifact / "model.safetensors").exists()
    scores = Score.objects.filter(model_version=ends[1].model_version, deviation__isnull=False)
    assert scores.count() == Solution.objects.filter(problem__project=world).count()


def test_only_wrong_answers_not_queued_before_are_chosen_the_most_convincing_first(world: Project) -> None:
    queued = set(Task.objects.values_list("solution_id", flat=True))
    ended = turn(world, size=6, per_problem=1)
    chosen = list(Selection.objects.filter(round=ended).select_related("solution").order_by("rank"))
    assert chosen and {one.solution.outcome for one in chosen} == {Outcome.WRONG}
    assert not queued & {one.solution_id for one in chosen}
    assert len({one.solution.problem_id for one in chosen}) == len(chosen)
    usual = dict(ProblemMean.objects.filter(model_version=ended.model_version).values_list("problem", "per_step"))
    left = Score.objects.filter(model_version=ended.model_version, outcome=Outcome.WRONG).exclude(solution__in=queued)
    conviction = {one.solution_id: one.per_step - usual[one.problem_id] for one in left}
    convictions = [conviction[one.solution_id] for one in chosen]
    assert convictions == sorted(convictions, reverse=True)
    trained = left.filter(problem__split=Split.TRAIN).values_list("solution_id", flat=True)
    assert convictions[0] == max(conviction[solution] for solution in trained)


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
    with pytest.raises(CommandError, match="There is no project 'nosuch'. These exist: demonstration") as refused:
        call_command("retrain", "--project", "nosuch")
    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "sums has no labels to learn from yet. Publish a batch that is chosen at random"),
        (["--size", "0"], "sums has no labels to learn from yet"),
        (["--dry-run"], "sums has no labels to learn from yet"),
        (["--kind", "orm", "--size", "0"], "sums has no graded solutions to learn from. Load solutions of training problems"),
    ],
)
def test_retrain_without_labels_is_refused_at_once_and_leaves_no_row(options: list[str], reason: str, db, home: Path) -> None:
    project = make.project()
    make.solutions(project, 5, outcome="ungraded")
    with pytest.raises(CommandError, match=reason) as refused:
        call_command("retrain", "--project", "sums", *options)
    assert refused.value.returncode == 2
    assert not any(rows.objects.exists() for rows in (Round, ModelVersion, RoundStage, Snapshot))


def test_labels_that_teach_nothing_are_refused_at_once_and_counted(db, home: Path) -> None:
    project = make.project()
    published(project, 4)
    ann = make.ann(project)
    for number in range(3):
        said = f"There are {2 * number} rated steps, but at least 6 are needed" if number else "has no labels"
        with pytest.raises(rounds.RoundRefused, match=said):
            rounds.start(project, make.plan(project), notify=False)
        submit(queue.lease_next(ann, project=project), ann, rated(1, 0), finish_reason="give_up", reason="I am lost.")
    with pytest.raises(rounds.RoundRefused, match="Of 6 rated steps, 0 are negative"):
        rounds.start(project, make.plan(project), notify=False)
    assert not Round.objects.exists() and not ModelVersion.objects.exists()
    submit(queue.lease_next(ann, project=project), ann)
    assert rounds.start(project, make.plan(project), notify=False).state == RoundState.QUEUED


def test_labels_that_are_gone_when_a_round_runs_fail_it_with_a_sentence_and_the_next_round_can_start(db, home: Path) -> None:
    project = make.project()
    learnable(project)
    started = rounds.start(project, make.plan(project), notify=False)
    Problem.objects.filter(project=project).update(split="test")
    ended = rounds.run(started.pk)
    assert ended.state == RoundState.FAILED and "0 rated steps" in ended.failure
    assert ModelVersion.objects.get(project=project).state == ModelState.FAILED
    learnable(project)
    assert rounds.start(project, make.plan(project), notify=False).state == RoundState.QUEUED


def test_no_wrong_answers_left_is_said(world: Project) -> None:
    Solution.objects.filter(problem__project=world).update(outcome=Outcome.CORRECT)
    ended = turn(world)
    assert ended.state == RoundState.FAILED
    assert "has a wrong answer" in ended.failure
    assert RoundStage.objects.get(round=ended, name="select").failure == ended.failure


def test_a_second_round_is_refused_while_one_is_unfinished(world: Project) -> None:
    rounds.start(world, make.plan(world), notify=False)
    with pytest.raises(rounds.RoundRefused, match="still queued"):
        rounds.start(world, make.plan(world), notify=False)


def test_a_running_model_beats_and_says_how_far_it_is(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "HEARTBEAT_SECONDS", 0)
    started, seen = rounds.start(world, make.plan(world), notify=False), []

    def look(*_: object) -> None:
        seen.extend(ModelVersion.objects.filter(project=world, heartbeat_at__isnull=False).values_list("progress", flat=True))

    rounds.run(started.pk, progress=look)
    assert {"language model", "reward model"} <= {progress.get("stage") for progress in seen}


def test_a_cancelled_round_publishes_nothing(world: Project) -> None:
    started = rounds.start(world, make.plan(world), notify=False)
    batches = Batch.objects.count()

    def cancel_in_the_middle(*_: object) -> None:
        if Round.objects.get(pk=started.pk).state == RoundState.TRAINING:
            rounds.cancel(world, started.number)

    ended = rounds.run(started.pk, progress=cancel_in_the_middle)
    assert ended.state == RoundState.CANCELLED
    assert Batch.objects.count() == batches
    assert ModelVersion.objects.get(round=started).state == ModelState.FAILED


def test_a_worker_given_up_for_dead_publishes_nothing(world: Project) -> None:
    started = rounds.start(world, make.plan(world), notify=False)

    def lose_it(*_: object) -> None:
        Round.objects.filter(pk=started.pk, attempt=1).update(heartbeat_at="2020-01-01T00:00Z", token=99)

    zombie = rounds.run(started.pk, progress=lose_it)
    assert zombie.state in ("training", "scoring")
    assert not Score.objects.filter(model_version=zombie.model_version_id).exists()
    assert Batch.objects.filter(project=world, generation=started.generation, kind="selected").count() == 0
    taken_over = rounds.run(started.pk)
    assert taken_over.state == RoundState.PUBLISHED
    assert ModelVersion.objects.filter(project=world).count() == 1


def test_the_sweeper_offers_it_again_and_gives_up_after_three_attempts(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[int] = []
    monkeypatch.setattr(starting, "notify_worker", offered.append)
    started = rounds.start(world, make.plan(world), notify=False)
    assert rounds.sweep() == offered == [started.pk]
    Round.objects.filter(pk=started.pk).update(attempt=ATTEMPTS)
    assert rounds.sweep() == []
    started.refresh_from_db()
    assert started.state == RoundState.FAILED and "lost 3 times" in started.failure


def test_a_round_in_hand_is_left_alone_by_the_sweeper(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "notify_worker", lambda _: pytest.fail("offered a round in hand"))
    started = rounds.start(world, make.plan(world), notify=False)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE active_learning_round SET heartbeat_at = now(), attempt = 1 WHERE id = %s", [started.pk])
    assert rounds.sweep() == []


def test_the_same_seed_draws_the_same_first_batch(db, home: Path) -> None:
    chosen = []
    for slug in ("one", "two"):
        project = make.project(slug)
        rows = [
            ingest.NewSolution(ingest.NewProblem(f"What is {n} + 1?", str(n + 1)), (f"It is {n}.\n\n# Answer\n\n{n}",), str(n))
            for n in range(30)
        ]
        ingest.add_solutions(project, rows)
        ended = turn(project, strategy="uniform", size=8, seed=7)
        chosen.append([one.solution.final_answer for one in Selection.objects.filter(round=ended).order_by("rank")])
    assert chosen[0] == chosen[1] and len(chosen[0]) == 8


def stages(ended: Round) -> list[tuple[str, int, str]]:
    return list(ended.stages.values_list("name", "attempt", "failure"))


def test_every_stage_leaves_its_duration_and_what_it_said(world: Project) -> None:
    ended = turn(world, size=4)
    assert stages(ended) == [(name, 1, "") for name in ("train", "judge", "score", "select", "publish")]
    assert all(one.ended_at >= one.began_at for one in ended.stages.all())
    lines = [text for one in ended.stages.all() for _, text in one.log]
    assert "PRM model 1 is ready" in lines[0] and any("It is the first of its kind" in text for text in lines)
    assert "Model 1 has scored 48 solutions." in lines and lines[-1].startswith("Chose 4 of ")


def test_a_stage_that_broke_off_is_tried_again_and_those_before_it_are_not(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    started, whole = rounds.start(world, make.plan(world, size=4), notify=False), running.selection.select

    def breaks(*args: object, **options: object) -> None:
        raise OSError("the disk was gone")

    monkeypatch.setattr(running.selection, "select", breaks)
    assert rounds.run(started.pk).state == RoundState.SELECTING
    monkeypatch.setattr(running.selection, "select", whole)
    ended = rounds.run(started.pk)
    assert ended.state == RoundState.PUBLISHED
    assert stages(ended) == [
        ("train", 1, ""),
        ("judge", 1, ""),
        ("score", 1, ""),
        ("select", 1, "the disk was gone"),
        ("select", 2, ""),
        ("publish", 1, ""),
    ]
    assert ModelVersion.objects.filter(project=world).count() == 1


def test_a_stage_is_tried_three_times_however_often_those_before_it_were(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    started = rounds.start(world, make.plan(world, size=4), notify=False)
    trained, tries = registry.train, []

    def breaks(*args: object, **options: object) -> None:
        tries.append(args)
        raise OSError("the disk was gone")

    monkeypatch.setattr(registry, "train", lambda *args, **options: breaks() if len(tries) < 2 else trained(*args, **options))
    monkeypatch.setattr(running.selection, "select", breaks)
    for _ in range(5):
        assert rounds.run(started.pk).state in (RoundState.TRAINING, RoundState.SELECTING, RoundState.FAILED)
    ended = Round.objects.get(pk=started.pk)
    assert ended.state == RoundState.FAILED and "the disk was gone" in ended.failure
    assert [name for name, _, failure in stages(ended) if failure] == ["train"] * 2 + ["select"] * 3


def test_a_worker_lost_in_the_middle_of_a_stage_is_written_into_its_log(world: Project) -> None:
    started = rounds.start(world, make.plan(world, strategy="uniform", size=2), notify=False)
    RoundStage.objects.create(round=started, name="select", attempt=1)
    rounds.run(started.pk)
    assert stages(started)[0] == ("select", 1, "Its worker was lost.")


def test_any_round_is_replayed_to_the_same_selection_byte_for_byte(world: Project) -> None:
    for strategy in ("explore", "entropy:0.5,convincing_rest:0.5", "uniform"):
        ended = turn(world, strategy=strategy, size=5, seed=3)
        assert ended.failure == ""
        Score.objects.all().delete()  # neither the scores nor the pool as it is now are asked
        Solution.objects.filter(selection__round=ended).update(withdrawn_at="2026-01-01T00:00Z")
        replayed = rounds.replay(world, ended.number)
        assert replayed.same and "the same 5 solutions" in replayed.message, replayed.message


def test_a_selection_that_was_tampered_with_is_not_replayed_as_the_same(world: Project, home: Path) -> None:
    ended = turn(world, strategy="uniform", size=5)
    Selection.objects.filter(round=ended, rank=2).update(reason="because")
    assert "a selection that differs" in rounds.replay(world, ended.number).message
    (home / ended.candidates_file).write_bytes(b"something else")
    assert "Restore it from a backup" in rounds.replay(world, ended.number).message
    (home / ended.candidates_file).unlink()
    assert "cannot be read" in rounds.replay(world, ended.number).message


def test_the_replay_command_goes_through_every_batch(world: Project, capsys: pytest.CaptureFixture[str]) -> None:
    turn(world, strategy="uniform", size=3)
    call_command("replay", "--project", world.slug)
    assert [line.split(" the same ")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"Round {n}: Choosing again gives" for n in (0, 1)
    ]
    with pytest.raises(CommandError, match="No round of generation 9"):
        call_command("replay", "--project", world.slug, "--generation", "9")


def test_a_reviewed_round_waits_and_publishes_what_a_person_left(world: Project) -> None:
    olga = make.olga(world)
    make.solutions(world, 6)
    proposed = turn(world, size=6, review=True)
    assert proposed.state == RoundState.PROPOSED and proposed.batch is None
    assert rounds.describe(proposed)[-1].startswith("Proposed 6 solutions, wrong answers that the model believes most")
    assert rounds.sweep() == [], "nobody is to run what waits for a person"
    assert rounds.run(proposed.pk).state == RoundState.PROPOSED
    with pytest.raises(rounds.RoundRefused, match="waits for a review"):
        rounds.start(world, make.plan(world), notify=False)
    leave_out = Selection.objects.get(round=proposed, rank=1).solution_id
    ended = rounds.publish(world, proposed.number, dropped=[leave_out], actor=olga)
    assert ended.state == RoundState.PUBLISHED
    assert Task.objects.filter(batch=ended.batch).count() == 5
    assert not Task.objects.filter(batch=ended.batch, solution=leave_out).exists()
    assert Selection.objects.filter(round=ended).count() == 6, "what was chosen stays written down"
    assert rounds.replay(world, ended.number).same
    with pytest.raises(rounds.RoundRefused, match="is published. Only a proposal"):
        rounds.publish(world, proposed.number, actor=olga)


def test_a_proposal_leaves_out_what_was_withdrawn_meanwhile_and_is_refused_when_nothing_is_left(world: Project) -> None:
    olga = make.olga(world)
    proposed = turn(world, strategy="uniform", size=3, review=True)
    chosen = list(Selection.objects.filter(round=proposed).order_by("rank").values_list("solution_id", flat=True))
    with pytest.raises(rounds.RoundRefused, match="Nothing is left to publish"):
        rounds.publish(world, proposed.number, dropped=chosen, actor=olga)
    assert not Selection.objects.filter(round=proposed, is_dropped=True).exists(), "a refused publishing changes nothing"
    Solution.objects.filter(pk=chosen[0]).update(withdrawn_at="2026-01-01T00:00Z")
    ended = rounds.publish(world, proposed.number, actor=olga)
    assert set(Task.objects.filter(batch=ended.batch).values_list("solution_id", flat=True)) == set(chosen[1:])


def test_a_discarded_proposal_queues_nothing_and_frees_the_way(world: Project) -> None:
    proposed = turn(world, strategy="uniform", size=3, review=True)
    rounds.cancel(world, proposed.number)
    following = rounds.start(world, make.plan(world), notify=False)
    assert following.generation == proposed.generation, "the batches are numbered without a gap"
    assert following.number == proposed.number + 1, "a round's number is never used twice"


def test_less_than_was_asked_for_is_said(world: Project) -> None:
    ended = turn(world, strategy="uniform", size=5000, globally=True)
    n_left = Selection.objects.filter(round=ended).count()
    assert ended.findings["short"] == f"The recipe says 5,000 solutions, but only {n_left} fit it."
    assert ended.findings["short"] in rounds.describe(ended)


def test_the_first_selector_stays_as_the_frozen_control_of_later_rounds(world: Project) -> None:
    make.solutions(world, 12)
    turn(world, size=3)
    second = turn(world, strategy="convincing:0.5,uniform:0.25,control:0.25", size=4, globally=True)
    assert second.findings["control"] == 1
    parts = set(Selection.objects.filter(round=second).values_list("part", flat=True))
    assert parts == {"convincing", "uniform", "control"}
    assert second.findings["mix"]["chosen"]["n_solutions"] == second.findings["mix"]["uniform"]["n_solutions"] == 4


def test_a_control_whose_files_are_gone_leaves_its_share_to_the_others(world: Project, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.solutions(world, 12)
    first = turn(world, size=3)
    second = turn(world, size=3, seed=1)
    ModelVersion.objects.update(champion=False)
    ModelVersion.objects.filter(pk=second.model_version_id).update(champion=True)
    make.solutions(world, 3)  # which the control has not scored
    shutil.rmtree(home / first.model_version.artifact)
    third = turn(world, strategy="convincing:0.5,control:0.5", size=4, globally=True, train=False)
    assert third.state == RoundState.PUBLISHED and "control" not in third.findings
    assert set(Selection.objects.filter(round=third).values_list("part", flat=True)) == {"convincing"}
    lines = [text for _, text in third.stages.get(name="score").log]
    assert any(text.startswith("The control is left out. Model 1 cannot be loaded") for text in lines), lines


def test_a_recipe_that_cannot_be_followed_is_refused_before_a_round_is_queued(world: Project) -> None:
    before = Round.objects.count()
    for options, reason in (
        ({"strategy": "magic"}, "magic"),
        ({"strategy": "convincing:0"}, "weight"),
        ({"size": -1}, "size"),
        ({"size": 20_000}, "A batch holds up to 10,000"),
        ({"train": False}, "no serving model"),
        ({"size": 0, "review": True}, "Nothing would be chosen"),
        ({"sample": {"colour": "red"}}, "colour"),
        ({"kind": "orm", "size": 5}, "chooses no solutions"),
    ):
        with pytest.raises(rounds.RoundRefused, match=reason):
            rounds.start(world, make.plan(world, **options), notify=False)
    assert Round.objects.count() == before
