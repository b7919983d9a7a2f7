"""What happens between a training and a choice: judged against the champion, at best-of-N, and who chooses then."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from django.core.management import CommandError, call_command

from active_learning import registry, rounds, tasks
from active_learning.models import ModelState, ModelVersion, Round, RoundState, Score, Selection, StageName, StepScores
from active_learning.pages.single import one_round
from active_learning.registry import judging, serving, training
from active_learning.rounds import running
from active_learning.selection import STRATEGIES
from annotation.models import Outcome, Problem, Project, Snapshot, Solution
from tests import make
from trainer import config, evaluate
from trainer.__main__ import main
from trainer.data import LabeledSolution, SolutionText
from trainer.evaluate import Comparison, Difference

WORSE = Comparison(3, 5, {"log_loss": Difference(0.4, 0.5, 0.1, 0.05, 0.2), "step_auc": Difference(0.8, 0.7, -0.1, -0.2, 0.1)})


def turn(project: Project, **options: Any) -> Round:
    return rounds.run(rounds.start(project, make.plan(project, **options), notify=False).pk, progress=lambda *_: None)


def found_worse(*_: Any, **__: Any) -> Comparison:
    return WORSE


def split(home: Path, version: ModelVersion) -> dict[str, set[str]]:
    return {side: set(keys) for side, keys in orjson.loads((home / version.artifact / "split.json").read_bytes()).items()}


def test_the_first_version_serves_and_says_why(world: Project) -> None:
    version = turn(world, size=0).model_version
    assert version.champion and version.decision["reason"] == "It is the first of its kind that is better than the base rate."


def test_a_round_whose_first_model_waits_draws_its_batch_at_random_and_says_so(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "why_not_better", lambda _: "its AUC is 0.400")
    ended = turn(world, size=3, review=True)
    assert ended.state == RoundState.PROPOSED and registry.serving_version(world) is None
    rounds.publish(world, ended.number, actor=make.olga(world))
    chosen = Selection.objects.filter(round=ended)
    assert {(one.part, one.score) for one in chosen} == {("uniform", None)} and len(chosen) == 3
    assert not Score.objects.exists() and rounds.replay(world, ended.number).same
    lines = rounds.describe(rounds.find(world, ended.number))
    assert "The batch is drawn at random: no model serves, and model 1 waits for a person." in lines
    assert any(f"3 solutions, {STRATEGIES['uniform'].picks}" in line for line in lines) and any(
        "its AUC is 0.400" in line for line in lines
    )
    page = one_round(world, ended.number)
    assert page["chooser"] is None and [part.label for part in page["brought"]["parts"]] == [STRATEGIES["uniform"].label]


def test_a_model_that_a_person_lets_serve_between_two_attempts_of_a_round_chooses(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "why_not_better", lambda _: "its AUC is 0.400")
    started, whole = rounds.start(world, make.plan(world, size=3), notify=False), running.Hold.log

    def killed(hold: running.Hold, message: str) -> None:
        if message.startswith("The batch is drawn at random"):
            raise RuntimeError("the worker died")
        whole(hold, message)

    monkeypatch.setattr(running.Hold, "log", killed)
    assert rounds.run(started.pk).state == RoundState.SCORING
    registry.promote(world, 1, actor=make.olga(world))
    ended = rounds.run(started.pk)
    assert ended.state == RoundState.PUBLISHED and ended.findings["chosen_with"] == 1 and "at_random" not in ended.findings
    assert {one.part for one in Selection.objects.filter(round=ended)} == {"convincing"}


def without_files(home: Path, version: ModelVersion) -> None:
    shutil.rmtree(home / version.artifact)


GONE = "Model 1 cannot be loaded: "


def test_a_round_goes_on_at_random_when_the_serving_model_is_gone_and_its_successor_waits(
    world: Project, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_files(home, turn(world, size=0).model_version)
    monkeypatch.setattr(serving, "why_not_better", lambda _: "its AUC is 0.400")
    ended = turn(world, size=3, seed=1)
    assert (ended.failure, ended.state) == ("", RoundState.PUBLISHED) and registry.serving_version(world).number == 1
    assert {(one.part, one.score) for one in Selection.objects.filter(round=ended)} == {("uniform", None)}
    lines = rounds.describe(ended)
    assert "The batch is drawn at random: the model that serves cannot be loaded, and model 2 waits for a person." in lines
    [gone] = [line for line in lines if line.startswith(GONE)]
    assert gone.endswith(
        "It serves, but this round goes on as if no model served. Restore models/demonstration/1 from a backup, or let another model "
        "serve on its page."
    )
    page = one_round(world, ended.number)
    assert page["chooser"] is None and page["row"].findings.unreadable == gone
    score, select = [stage for stage in page["stages"] if stage.name in (StageName.SCORE, StageName.SELECT)]
    assert (score.doing, score.words) == ("nothing is scored", "left out")
    assert (select.doing, select.words) == ("the batch is drawn at random", "done")

    registry.promote(world, 2, actor=make.olga(world))
    after = turn(world, size=2, train=False)
    assert after.findings["chosen_with"] == 2
    assert [stage.words for stage in one_round(world, after.number)["stages"]] == ["done", "done", "done"]


def test_a_round_that_trains_nothing_goes_on_at_random_when_the_serving_model_is_gone(world: Project, home: Path) -> None:
    without_files(home, turn(world, size=0).model_version)  # after it has scored all solutions
    ended = turn(world, size=3, train=False)
    assert (ended.failure, ended.state) == ("", RoundState.PUBLISHED)
    assert "The batch is drawn at random: the model that serves cannot be loaded." in rounds.describe(ended)
    assert ended.findings["unreadable"].startswith(GONE) and "chosen_with" not in ended.findings


def test_a_round_without_a_batch_whose_first_model_waits_scores_nothing(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "why_not_better", lambda _: "its AUC is 0.400")
    ended = turn(world, size=0)
    assert ended.state == RoundState.PUBLISHED and not Score.objects.exists() and ended.findings == {}


def test_step_scores_are_kept_of_solutions_it_was_not_trained_on(world: Project, home: Path) -> None:
    version = turn(world, size=0).model_version
    kept = StepScores.objects.filter(model_version=version).select_related("solution")
    trained_on = split(home, version)["training"]
    assert kept and not trained_on & {str(one.solution.problem_id) for one in kept}
    for one in kept:
        assert one.held_out and len(one.probabilities) == len(one.solution.steps)
        assert all(sum(row) == pytest.approx(1, abs=1e-4) for row in one.probabilities)


def test_step_scores_are_kept_of_a_draw_that_has_as_many_as_possible_in_common_with_those_before(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "SHOWN", 20)
    project = make.project()
    solutions = [make.solution(make.problem(project), steps=["a"]) for _ in range(80)]
    labeled = [LabeledSolution(SolutionText(str(one.pk), str(one.problem_id), "what", ("a",)), (1,)) for one in solutions]

    def kept(number: int, known: list[LabeledSolution]) -> set[int]:
        version, judged = make.version(project, number), evaluate.Judged("1", np.array([[0.1, 0.1, 0.8]], np.float32), (1,), 1)
        judging._keep_step_scores(version, known, [judged] * len(known))
        return set(StepScores.objects.filter(model_version=version).values_list("solution", flat=True))

    half, everything = kept(1, labeled[:40]), kept(2, labeled)
    assert len(half) == len(everything) == 20 and everything & {one.pk for one in solutions[:40]} <= half
    assert everything & {one.pk for one in solutions[60:]}, "Not only what was loaded first."


def with_test_problems(project: Project) -> list[Problem]:
    """Add three problems of the test split, each with a right and a wrong solution."""
    planted = [make.problem(project, split="test") for _ in range(3)]
    for problem in planted:
        make.solution(problem, outcome="correct")
        make.solution(problem, outcome="wrong")
    return planted


def test_best_of_n_counts_test_problems_which_no_round_may_choose(world: Project) -> None:
    planted = with_test_problems(world)
    ended = turn(world, size=100, globally=True)
    found = ended.model_version.metrics["best_of_n"]
    assert set(found["curves"]) == {"PRM", "majority", "PRM-weighted voting", "oracle", "mean"} and found["models"] == {"PRM": 1}
    kept = StepScores.objects.filter(model_version=ended.model_version).select_related("solution")
    assert 3 < found["n_problems"] <= 3 + len({one.solution.problem_id for one in kept})
    for table in (Score, Selection, StepScores):
        assert not table.objects.filter(solution__problem__in=planted).exists(), table


def file_of(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return str(path)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    choices = {f"{name} {part}": value for name, share in row.get("best_of_n", {}).items() for part, value in share.items()}
    return {name: value for name, value in row.items() if name != "best_of_n"} | choices


def test_the_groups_kept_with_a_version_are_those_that_the_command_line_prints(
    world: Project, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, problem in enumerate([*Problem.objects.order_by("pk"), *with_test_problems(world)]):
        Problem.objects.filter(pk=problem.pk).update(subject=["sums", "", "shapes"][place % 3], level=str(place % 2))
    version = turn(world, size=0).model_version
    subjects = dict(Problem.objects.exclude(subject="").values_list("pk", "subject"))
    levels = dict(Problem.objects.values_list("pk", "level"))

    def line(key: object, problem: str, statement: str, steps: Any, group: str | None, **more: Any) -> dict[str, Any]:
        known = {"problem_key": problem, "problem": statement, "steps": list(steps), **more}
        return known | ({"subject": group} if group else {}) | {"key": str(key)}

    known = list(training.learned_from(version))
    apart = split(home, version)["held_out"]
    graded = [row for _, rows in judging._graded_problems(world, apart) for row in rows]
    least = int(np.quantile(list(Counter(row[1] for row in graded).values()), 0.25))
    graded = [row for row in graded if Counter(other[1] for other in graded)[row[1]] >= least]
    for by, groups in (("subject", subjects), ("level", levels)):
        labeled = [
            line(own.solution.key, own.solution.problem_key, own.solution.problem, own.solution.steps, group, ratings=own.ratings)
            for own in known
            if own.solution.problem_key not in split(home, version)["training"] and own.n_rated
            for group in [groups.get(int(own.solution.problem_key))]
        ]
        samples = [
            line(f"s{row[0]}", str(row[1]), row[2], row[3], groups.get(row[1]), right=row[4] == Outcome.CORRECT, answer=row[5])
            for row in graded
        ]
        files = [file_of(tmp_path / "labeled.jsonl", labeled), file_of(tmp_path / "samples.jsonl", samples)]
        model = str(home / version.artifact)
        assert main(["evaluate", "--model", model, "--labeled", files[0], "--samples", files[1], "--by-subject"]) == 0
        printed = orjson.loads(capsys.readouterr().out)["by_subject"]
        kept = version.metrics["groups"][by]
        assert kept.keys() == printed.keys() and len(kept) > 1
        assert {name: pytest.approx(flat(row), abs=1e-6) for name, row in printed.items()} == {
            name: flat(row) for name, row in kept.items()
        }


def test_a_version_judged_on_problems_without_subject_and_level_keeps_no_groups(world: Project) -> None:
    Problem.objects.update(subject="", level="")
    assert turn(world, size=0).model_version.metrics["groups"] == {}


def test_an_orm_is_judged_by_subject_too(world: Project) -> None:
    Problem.objects.update(subject="sums", level="")
    metrics = turn(world, kind="orm", size=0).model_version.metrics
    assert set(metrics["groups"]) == {"subject"} and metrics["groups"]["subject"]["sums"]["n_solutions"] == metrics["n_solutions"]


def test_a_challenger_is_compared_on_labels_that_neither_model_has_seen(
    world: Project, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = turn(world, size=0).model_version
    seen: list[Any] = []
    whole = evaluate.compare
    monkeypatch.setattr(evaluate, "compare", lambda *judged: seen.append(judged) or whole(*judged))
    second = turn(world, size=0, seed=1).model_version
    ((champion, challenger),) = seen
    assert champion and [one.problem_key for one in champion] == [one.problem_key for one in challenger]
    for version in (first, second):
        assert not split(home, version)["training"] & {one.problem_key for one in challenger}
    assert second.decision["comparison"]["n_solutions"] == len(champion) and second.decision["champion"] == first.number


def test_a_worse_version_waits_and_the_round_chooses_with_the_champion(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = turn(world, size=1).model_version
    monkeypatch.setattr(evaluate, "compare", found_worse)
    ended = turn(world, size=3, seed=1)
    assert ended.state == RoundState.PUBLISHED and ended.findings["chosen_with"] == 1
    assert ended.model_version.decision["promoted"] is False and registry.serving_version(world) == first
    chosen = Selection.objects.filter(round=ended)
    assert chosen.count() == 3
    for one in chosen:
        assert one.score == Score.objects.get(model_version=first, solution=one.solution_id).score
    assert not Score.objects.filter(model_version=ended.model_version).exists()
    assert "Chose with model 1, which still serves." in rounds.describe(ended)


def test_the_champion_scores_what_was_loaded_since(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = turn(world, size=0).model_version
    before = Score.objects.filter(model_version=first).count()
    late = make.solution(make.problem(world), outcome="wrong")
    monkeypatch.setattr(evaluate, "compare", found_worse)
    ended = turn(world, size=100, globally=True, seed=1)
    assert Score.objects.filter(model_version=first).count() == before + 1
    assert Selection.objects.filter(round=ended, solution=late).exists()


def test_a_champion_without_its_files_gives_way(world: Project, home: Path) -> None:
    first = turn(world, size=0).model_version
    (home / first.artifact / "model.safetensors").unlink()
    second = turn(world, size=0, seed=1).model_version
    assert second.champion and "cannot be read any more" in second.decision["reason"]


def test_the_champion_stays_when_the_judging_of_its_challenger_breaks(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = turn(world, size=0).model_version

    def broken(*_: Any) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(evaluate, "compare", broken)
    ended = turn(world, size=2, seed=1)
    assert ended.state == RoundState.FAILED and "broken" in ended.failure
    assert registry.serving_version(world) == first and ended.model_version.decision == {}


def test_a_round_taken_over_after_the_training_is_judged_and_not_trained_again(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    turn(world, size=0)
    started = rounds.start(world, make.plan(world, size=2, seed=1), notify=False)
    whole, broken = evaluate.compare, [False, True]

    def killed_once(*judged: Any) -> Comparison:
        if broken.pop():
            raise RuntimeError("the worker died")
        return whole(*judged)

    monkeypatch.setattr(evaluate, "compare", killed_once)
    assert rounds.run(started.pk).state == RoundState.SCORING
    monkeypatch.setattr(registry, "train", lambda *_, **__: pytest.fail("trained again"))
    ended = rounds.run(started.pk)
    assert ended.state == RoundState.PUBLISHED and ended.model_version.decision["comparison"]


def test_a_worker_scores_the_steps_of_a_solution_once_however_often_it_is_asked(world: Project) -> None:
    version = turn(world, size=0).model_version
    asked_for = Solution.objects.filter(problem__project=world).exclude(stepscores__model_version=version).first()
    for _ in range(2):
        tasks.score_steps(version.pk, asked_for.pk)
    kept = StepScores.objects.get(model_version=version, solution=asked_for)
    assert not kept.held_out and len(kept.probabilities) == len(asked_for.steps)
    product = np.prod([1 - row[0] for row in kept.probabilities])
    assert product == pytest.approx(Score.objects.get(model_version=version, solution=asked_for).score, abs=1e-3)


def test_an_orm_learns_from_grades_serves_beside_the_prm_and_chooses_nothing(world: Project) -> None:
    with_test_problems(world)  # the two kinds may hold out different problems: these are apart from both
    prm = turn(world, size=0).model_version
    ended = turn(world, kind="orm")
    orm = ended.model_version
    assert ended.failure == "" and ended.batch is None
    assert orm.kind == "orm" and orm.champion and orm.snapshot is None
    assert registry.serving_version(world) == prm and registry.serving_version(world, "orm") == orm
    assert set(orm.metrics["best_of_n"]["curves"]) == {"PRM", "ORM", "majority", "PRM-weighted voting", "oracle", "mean"}
    assert not Score.objects.filter(model_version=orm).exists()
    second = turn(world, kind="orm", seed=1).model_version
    assert second.decision["comparison"]["figures"]["log_loss"]["challenger"] is not None


def test_an_orm_is_refused_a_size(world: Project) -> None:
    with pytest.raises(rounds.RoundRefused, match="chooses no solutions"):
        rounds.start(world, make.plan(world, kind="orm", size=5), notify=False)


def test_a_training_that_broke_off_is_resumed_from_its_checkpoint(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.TINY_DEFAULTS, "checkpoint_minutes", 0.0)
    started, stages = rounds.start(world, make.plan(world, size=0), notify=False), []

    def interrupt(stage: str, *_: Any) -> None:
        if stage == "reward model":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds.run(started.pk, progress=interrupt)
    broken_off = ModelVersion.objects.get(project=world)
    assert broken_off.state == ModelState.FAILED
    again = rounds.start(world, make.plan(world, size=0, resume=True), notify=False)
    ended = rounds.run(again.pk, progress=lambda stage, *_: stages.append(stage))
    assert ended.state == RoundState.PUBLISHED and ended.model_version == broken_off
    assert "reward model" in stages and "language model" not in stages  # that stage was behind it
    assert Snapshot.objects.filter(project=world).count() == 1
    with pytest.raises(rounds.RoundRefused, match="no PRM training that broke off"):
        rounds.start(world, make.plan(world, size=0, resume=True), notify=False)


def test_resuming_takes_no_other_config(world: Project) -> None:
    with pytest.raises(rounds.RoundRefused, match="keeps its base, config, seed and labels"):
        rounds.start(world, make.plan(world, resume=True, seed=4), notify=False)


def test_a_dry_run_says_what_would_be_trained_on_and_changes_nothing(world: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before = [table.objects.count() for table in (Snapshot, Round, ModelVersion)]
    call_command("retrain", "--project", world.slug, "--dry-run")
    said = capsys.readouterr().out
    labels = sum(1 for _ in world.batch_set.get(kind="imported").task_set.all())
    assert f"data: {labels} labeled solutions, " in said and "are held out to judge the model" in said and "serves: none" in said
    call_command("retrain", "--project", world.slug, "--dry-run", "--kind", "orm")
    n_right = sum(one.outcome == Outcome.CORRECT for problem in world.problem_set.all() for one in problem.solution_set.all())
    assert f"48 graded solutions, {n_right} right and {48 - n_right} wrong" in capsys.readouterr().out
    assert [table.objects.count() for table in (Snapshot, Round, ModelVersion)] == before


def test_a_dry_run_says_what_is_missing(db: None, home: Path) -> None:
    with pytest.raises(CommandError, match="sums has no labels to learn from yet"):
        call_command("retrain", "--project", make.project().slug, "--dry-run")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"preset": "lora"}, "needs a pretrained base"),
        ({"preset": "full"}, "needs a pretrained base"),
        ({"preset": "tiny", "base": "owner/name"}, "has its own base"),
        ({"preset": "huge"}, "no preset named huge"),
    ],
)
def test_a_preset_that_does_not_fit_its_base_is_refused(db: None, told: dict[str, str], reason: str) -> None:
    project = make.project()
    with pytest.raises(rounds.RoundRefused, match=reason):
        rounds.start(project, make.plan(project, **told), notify=False)


def test_the_preset_lora_trains_adapters_of_the_named_base(db: None) -> None:
    recipe = registry.config_for(make.project(), preset="lora", base="owner/name", seed=3)
    assert (recipe.base, recipe.lora_rank, recipe.seed) == ("owner/name", 16, 3)


def test_the_recipe_of_a_running_version_is_written_down_before_it_trains(world: Project) -> None:
    told = registry.config_for(world, preset="tiny", seed=5)
    version = registry.new_version(world, config=told)
    assert version.config == orjson.loads(told.to_json()) and version.config["seed"] == 5


def test_what_a_person_put_into_service_chooses_in_the_next_round(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    turn(world, size=0)
    monkeypatch.setattr(evaluate, "compare", found_worse)
    turn(world, size=0, seed=1)
    registry.promote(world, 2, actor=make.olga(world))
    ended = turn(world, size=2, seed=2)
    assert ended.findings["chosen_with"] == 2


def test_equal_answers_vote_together_in_the_figure_of_best_of_n() -> None:
    wrong = ["3", "0.5", "1/2", r"\frac12", None]
    group = [(0, 1, "", [], "wrong", answer) for answer in wrong] + [(0, 1, "", [], "correct", answer) for answer in ("4", "2+2")]
    [samples] = judging._samples([(1, group)], {"PRM": np.zeros(7)})
    assert samples.answers.tolist() == [0, 1, 1, 1, -1, 2, 2]
    assert samples.right.tolist() == [False] * 5 + [True] * 2
