"""Rounds that choose by the states of a frozen base, on the small world: what they read, what they keep, and what they say without."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from active_learning import registry, rounds
from active_learning.models import ModelVersion, Round, RoundStage, RoundState, Selection
from active_learning.registry.training import PRESETS
from active_learning.rounds import RoundRefused
from active_learning.selection import Candidates, Recipe, pool, read_candidates, running
from active_learning.selection import states as reading
from annotation import queue
from annotation.models import Project, Solution, Task
from tests import make
from tests.assignments import rated, submit
from trainer import config
from trainer.cautions import pace_sentences

BETTER = {"challenger": 0.3, "champion": 0.4, "low": -0.2, "high": -0.05, "n_problems": 9}


@pytest.fixture
def frozen(world: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The world, with a base that stays frozen."""
    monkeypatch.setitem(config.TINY_DEFAULTS, "shape", config.TinyShape())
    Project.objects.filter(pk=world.pk).update(frozen_base=True)
    world.refresh_from_db()
    return world


def turn(project: Project, **options: object) -> Round:
    started = rounds.start(project, make.plan(project, **options), notify=False)
    return rounds.run(started.pk, progress=lambda *_: None)


def told(round_: Round, stage: str = "select") -> str:
    return " ".join(message for record in RoundStage.objects.filter(round=round_, name=stage) for _, message in record.log)


def kept(home: Path) -> list[Path]:
    return sorted((home / "states").rglob("*.safetensors"))


def test_rounds_choose_by_states_and_choose_the_same_again(frozen: Project, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = Task.objects.filter(batch__project=frozen).count()
    first = turn(frozen, strategy="herding", size=4)
    assert (first.failure, first.state) == ("", RoundState.PUBLISHED)
    assert set(Selection.objects.filter(round=first).values_list("part", flat=True)) == {"herding"}
    candidates = read_candidates(home / first.candidates_file)
    assert candidates.states.shape == (48 - queued, 100) and candidates.queued_states.shape == (queued, 100)
    assert np.isfinite(candidates.states.astype(np.float32)).all()
    assert told(first).startswith(
        f"The states of {48 - queued} of {48 - queued} candidates are known, and those of {queued} solutions queued before."
    )
    assert rounds.replay(frozen, first.number).same

    # Another strategy later, with a cache that is gone: the states are read again, up to a limit that leaves candidates out.
    for file in kept(home):
        file.unlink()
    monkeypatch.setattr(reading, "READ_ANEW", 9)
    second = turn(frozen, strategy="typical:0.5,uniform:0.5", size=4, train=False)
    assert second.failure == "" and rounds.replay(frozen, second.number).same
    assert told(second).startswith(
        f"The states of 5 of {44 - queued} candidates are known, and those of 4 of {queued + 4} solutions queued before. "
        "The cache did not hold 9 of these, so they were read anew. "
        f"{39 - queued} candidates cannot be chosen by states: a round reads 9 solutions anew at most."
    )
    Selection.objects.filter(round=first).update(reason="Another one.")
    assert "another kind of processor rounds their distances otherwise" in rounds.replay(frozen, first.number).message


def test_of_what_is_not_kept_a_draw_is_read(frozen: Project, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turn(frozen, strategy="uniform", size=2, train=True)
    monkeypatch.setattr(reading, "READ_ANEW", 12)
    candidates, drawn = some(frozen), []
    for seed in (1, 1, 2):
        for file in kept(home):
            file.unlink()
        known = running.with_states(candidates, serving(frozen), seed=seed, progress=lambda *_: None)[0]
        drawn.append(known.solutions[np.isfinite(known.states).all(axis=1)].tolist())
    assert drawn[0] == drawn[1] != drawn[2] and [len(some) for some in drawn] == [6, 6, 6]
    assert candidates.solutions[:6].tolist() not in drawn


def test_what_was_queued_last_counts_as_queued_before(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make.project()
    first, second, third = make.solutions(project, 3)
    for solution in (third, first, second):
        make.batch(project, [solution])
    monkeypatch.setattr(reading, "QUEUED", 2)
    assert reading._queued(ModelVersion(project=project)) == [second.pk, first.pk]


def test_a_torn_cache_and_one_of_another_base_change_nothing_but_the_time(
    frozen: Project, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = turn(frozen, strategy="uniform", size=2, train=True)
    plan = {"strategy": "diverse", "size": 3, "train": False}
    sound = running.with_states(some(frozen), serving(frozen), seed=0, progress=lambda *_: None)[0]
    for number, file in enumerate(kept(home)):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] if number % 2 else content[:-1] + bytes([content[-1] ^ 1]))
    again, said = running.with_states(some(frozen), serving(frozen), seed=0, progress=lambda *_: None)
    assert np.array_equal(sound.states, again.states) and said.n_anew > 0
    ended = turn(frozen, **plan)
    assert ended.failure == "" and ended.model_version is None and serving(frozen).champion

    # A whole round: it trains on the same labels with a cache in which nothing can be used, and gives the same model.
    for file in kept(home):
        with safe_open(file, framework="np") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - it is no mapping
            identity = json.loads(stored.metadata()["stepmark"])
        file.write_bytes(file.read_bytes()[:-1])
        foreign = file.with_name(f"{'0' * 32}.safetensors")
        save_file(tensors, foreign, metadata={"stepmark": json.dumps(identity | {"base": "f" * 64}, sort_keys=True)})
    caplog.clear()
    second = turn(frozen, strategy="uniform", size=2, train=True)
    assert second.failure == "" and "is damaged and was removed" in caplog.text and "holds states of another base" in caplog.text
    assert foreign.exists() and second.model_version.metrics["training"]["frozen"]["n_from_cache"] == 0
    assert second.model_version.sha256 == first.model_version.sha256 and serving(frozen).champion


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("incomplete", "holds no weights: model.safetensors is missing"),
        ("torn", "copy or convert the model again"),
        ("layers", "so there is no layer 99. Give frozen_layers from 1 to 6, or none."),
    ],
)
def test_a_base_that_cannot_be_read_fails_the_round_with_a_sentence_and_the_serving_model_stays(
    harm: str, said: str, frozen: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Path(shutil.copytree(config.TINY_BASE, tmp_path / "base"))
    version = make.version(frozen, 1, champion=True)
    started = rounds.start(frozen, make.plan(frozen, strategy="uniform", size=2, train=True, base=str(base)), notify=False)
    if harm == "incomplete":
        (base / "model.safetensors").unlink()
    elif harm == "torn":
        (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:-1000])
    else:
        monkeypatch.setitem(PRESETS, "frozen", PRESETS["frozen"] | {"frozen_layers": (99,)})
    ended = rounds.run(started.pk, progress=lambda *_: None)
    assert ended.state == RoundState.FAILED and said in ended.failure, ended.failure
    assert registry.serving_version(frozen) == version


def test_labels_of_which_no_fold_has_both_kinds_give_a_model_and_a_sentence(db: None, home: Path) -> None:
    project = make.project(frozen_base=True)
    make.batch(project, make.solutions(project, 3))
    ann = make.ann(project)
    for ratings, reason in ((rated(1, 0, -1), "found_error"), (rated(1, 1, 1), "solution"), (rated(1, 1, 1), "solution")):
        submit(queue.lease_next(ann, project=project), ann, ratings, finish_reason=reason)
    ended = turn(project, size=0)
    assert ended.failure == "", ended.failure
    said = [said for said in pace_sentences(ended.model_version.metrics) if said.startswith("Too few problems have both kinds of labels")]
    assert len(said) == 1 and ended.model_version.state == "ready" and registry.serving_version(project) is None


def serving(project: Project) -> ModelVersion:
    """Return the newest version, serving."""
    version = ModelVersion.objects.filter(project=project).latest("number")
    ModelVersion.objects.filter(pk=version.pk).update(champion=True)
    version.refresh_from_db()
    return version


def some(project: Project) -> Candidates:
    return pool.candidates(project, None, recipe=Recipe((("herding", 1.0),), 5))


def test_a_large_pool_is_looked_at_by_a_draw(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make.project()
    solutions = make.solutions(project, 30)
    monkeypatch.setattr(pool, "LOOKED_AT", 12)
    recipe = Recipe((("herding", 1.0),), 5)
    one, same, other = (pool.candidates(project, None, recipe=recipe, seed=seed).solutions.tolist() for seed in (1, 1, 2))
    assert len(one) == 12 and one == same != other
    assert set(one) | set(other) <= {solution.pk for solution in solutions}


def test_without_a_frozen_base_a_sentence_says_what_to_do_and_nothing_starts(world: Project) -> None:
    for strategy in ("herding", "typical_first:0.5,uniform:0.5"):
        with pytest.raises(RoundRefused, match=r"reads the states of a frozen base, and no model of .* serves yet.*Keep the base frozen"):
            rounds.start(world, make.plan(world, strategy=strategy, size=3), notify=False)
    turn(world, size=3, strategy="uniform", train=True)
    serving(world)
    with pytest.raises(RoundRefused, match="and model 1 of .* has none"):
        rounds.start(world, make.plan(world, strategy="covering", size=3, train=False), notify=False)
    assert Round.objects.filter(project=world).count() == 2  # that of the demonstration, and the one above


def test_a_pool_smaller_than_the_batch_is_taken_whole_and_an_empty_one_is_named(frozen: Project) -> None:
    ended = turn(frozen, strategy="covering", size=200, globally=True)
    n = Selection.objects.filter(round=ended).count()
    assert ended.failure == "" and ended.findings["short"] == f"The recipe says 200 solutions, but only {n} fit it."
    assert Task.objects.filter(batch__project=frozen).count() == Solution.objects.filter(problem__project=frozen).count() == 48
    serving(frozen)
    again = turn(frozen, strategy="covering", size=3, train=False, globally=True)
    assert "has been queued already" in again.failure
    assert ModelVersion.objects.get(project=frozen, champion=True).number == 1


def test_the_switch_goes_by_what_was_measured_and_the_round_says_so(frozen: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    early = turn(frozen, strategy="typical_first:0.5,uniform:0.5", size=4)
    assert early.failure == ""
    assert set(Selection.objects.filter(round=early).values_list("part", flat=True)) == {"typical", "uniform"}
    assert early.findings["switch"]["takes"] == "typical" and "Typical solutions are taken: " in " ".join(rounds.describe(early))
    version = serving(frozen)
    assert {"challenger", "champion", "low", "high", "n_problems"} <= version.metrics["over_base_rate"].keys()
    version.metrics["over_base_rate"] = BETTER
    version.save()
    late = turn(frozen, strategy="typical_first:0.5,uniform:0.5", size=4, train=False)
    assert late.failure == "" and late.findings["switch"]["high"] == -0.05
    assert set(Selection.objects.filter(round=late).values_list("part", flat=True)) == {"entropy", "uniform"}
    assert all(rounds.replay(frozen, round_.number).same for round_ in (early, late))


def test_a_model_that_does_not_serve_yet_reads_states_for_a_choice_without_scores(frozen: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.serving, "why_not_better", lambda metrics: "it was made so in this test")
    ended = turn(frozen, strategy="typical_first", size=3)
    assert ended.failure == "" and not ModelVersion.objects.filter(project=frozen, champion=True).exists()
    assert list(Selection.objects.filter(round=ended).values_list("part", "score").distinct()) == [("typical", None)]
    assert "no model serves yet" in ended.findings["switch"]["sentence"] and "at_random" not in ended.findings
    mixed = turn(frozen, strategy="typical:0.5,entropy:0.5", size=3)
    assert mixed.failure == "" and mixed.findings["at_random"]
