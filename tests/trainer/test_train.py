import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.sums import SHAPE, small, sums
from trainer.config import TrainConfig
from trainer.data import LabeledSolution, RatedAlternative, SolutionText, TrainingSequence, encode_labeled
from trainer.evaluate import split_place
from trainer.folders import BadModelFolder, check_manifest, model_sha256, write_folder
from trainer.losses import summed_losses
from trainer.model import RewardModel, build_tiny
from trainer.phases import learning_rate_factor
from trainer.progress import ProgressUpdate
from trainer.split import readable
from trainer.train import (
    DiskFull,
    LossNotFinite,
    Phase,
    TooLittleToLearn,
    TrainedModel,
    hold_out,
    take_step,
    train,
)

QUICK = {"epochs": 1, "language_model_epochs": 1}


class Stopped(Exception):
    """What a listener raises to abort."""


def stop_at(phase: str, done: int) -> "object":
    def progress(now: ProgressUpdate) -> None:
        if now.phase == phase and now.done >= done:
            raise Stopped

    return progress


def model_and_sequences(n_problems: int = 8) -> tuple[RewardModel, list[TrainingSequence]]:
    labeled = sums(n_problems)
    texts = [text for one in labeled for text in (one.solution.problem, *one.solution.steps)]
    model = build_tiny(texts, shape=SHAPE, context=256, seed=0)
    return model, encode_labeled(labeled, tokenizer=model.tokenizer, context=256)


def gradients(model: RewardModel) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.network.parameters() if p.grad is not None])


def rated(*ratings: tuple[int | None, ...]) -> list[LabeledSolution]:
    """One solution per tuple of ratings, each of its own problem."""
    return [LabeledSolution(SolutionText(f"s{i}", f"p{i}", f"Problem {i}", ("a",) * len(one)), one) for i, one in enumerate(ratings)]


# --- learning ---------------------------------------------------------------------------------------------------------------------


def test_a_model_learns_which_sums_are_wrong(trained: TrainedModel) -> None:
    metrics = trained.metrics
    assert metrics["step_auc"] > 0.85
    assert metrics["log_loss"] < 0.8 * metrics["base_rate_log_loss"]
    assert metrics["first_mistake"]["f1"] > 0.6


def test_labels_without_a_rule_teach_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    shuffled = [replace(one, ratings=tuple(int(rng.choice([-1, 1])) for _ in one.ratings)) for one in sums(150)]
    metrics = train(shuffled, config=small(epochs=6), folder=tmp_path / "model").metrics
    assert 0.35 < metrics["step_auc"] < 0.65  # the split leaks nothing


def test_one_update_over_many_batches_is_one_update_over_a_big_batch() -> None:
    phase = Phase("reward model", [], 1, 1e-3, 0.7, 1.0)
    collected, sums_of_losses = [], []
    for cut in ([16], [1] * 16, [3, 13], [7, 2, 7]):
        model, sequences = model_and_sequences()
        bounds = np.cumsum([0, *cut])
        batches = [sequences[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
        frozen = torch.optim.SGD(model.network.parameters(), lr=0.0)
        sums_of_losses.append(take_step(model, batches, phase=phase, optimizer=frozen, config=small(clip_norm=1e9)))
        collected.append(gradients(model))
    for gradient, losses in zip(collected[1:], sums_of_losses[1:], strict=True):
        assert torch.allclose(gradient, collected[0], atol=1e-6)
        assert np.allclose(losses, sums_of_losses[0], rtol=1e-5)


def test_a_light_example_moves_the_weights_less_than_a_heavy_one_in_steps_of_their_own() -> None:
    """Two rated steps of weight 1 and two of weight 0.25 weigh 0.625 on average, so a step of two of them divides its loss by 1.25."""
    model, [first, *_] = model_and_sequences(1)
    certain = np.eye(3, dtype=np.float32)[[2, 0]]
    heavy = replace(first, classes=np.array([2, 0, -1][: len(first.places)]), soft=np.pad(certain, ((0, len(first.places) - 2), (0, 0))))
    light = replace(heavy, soft=heavy.soft * np.float32(0.25))
    phase, config = Phase("reward model", [heavy, light], 1, 1e-3, 0.0, 1.0), small(clip_norm=1e9)
    assert phase.mean_weight == 0.625
    unmoved = torch.optim.SGD(model.network.parameters(), lr=0.0)
    found = []
    for batch in ([heavy], [light], [heavy, light]):
        losses = take_step(model, [batch], phase=phase, optimizer=unmoved, config=config)
        found.append(gradients(model))
        assert losses[1] == pytest.approx(sum(one.weight for one in batch)), "the mean loss that is shown is that of the weights"
    model.network.zero_grad()
    rating, _, _ = summed_losses(model, [heavy], language_model=False)
    rating.backward()
    whole = gradients(model)
    for gradient, factor in zip(found, (1 / 1.25, 0.25 / 1.25, 1.25 / 2.5), strict=True):
        assert torch.allclose(gradient, factor * whole, atol=1e-6) and gradient.abs().max() > 1e-3


def test_the_rating_loss_is_the_mean_negative_log_likelihood_of_the_rated_steps() -> None:
    model, sequences = model_and_sequences(2)
    with torch.no_grad():
        rating, token, _ = summed_losses(model, sequences)
        by_hand, tokens = 0.0, 0.0
        for one in sequences:
            logits = model.network(input_ids=torch.from_numpy(one.encoded.ids[None].astype(np.int64))).logits[0]
            over_ratings = logits[:, list(model.tokenizer.rating_ids)].log_softmax(-1)
            by_hand -= sum(
                float(over_ratings[end, label]) for end, label in zip(one.encoded.step_ends, one.classes, strict=True) if label >= 0
            )
            over_tokens = logits.log_softmax(-1)
            tokens -= sum(float(over_tokens[t, one.encoded.ids[t + 1]]) for t in range(len(one) - 1))
    assert float(rating) == pytest.approx(by_hand, rel=1e-5) and float(token) == pytest.approx(tokens, rel=1e-5)


def test_an_unrated_step_pulls_at_nothing() -> None:
    model, sequences = model_and_sequences(2)
    blank = replace(sequences[0], classes=np.full_like(sequences[0].classes, -1))
    rating, _, _ = summed_losses(model, [blank], language_model=False)
    rating.backward()
    assert float(rating.detach()) == 0.0 and not gradients(model).any()


def test_an_alternatives_shared_prefix_has_no_second_language_model_loss() -> None:
    model, _ = model_and_sequences(2)
    one = sums(1)[0]
    branched = replace(one, ratings=(1,), alternatives=(RatedAlternative(1, "We add: 1 + 1 = 2.", 1),))
    _, branch = encode_labeled([branched], tokenizer=model.tokenizer, context=256)
    own = len(model.tokenizer.token_ids(["We add: 1 + 1 = 2."])[0]) + len(model.tokenizer.step_end)
    assert len(branch) - 1 - branch.text_from == own


def test_the_learning_rate_rises_then_falls_to_a_tenth() -> None:
    factors = [learning_rate_factor(done, 100, warmup=0.1) for done in range(1, 101)]
    assert factors[:10] == pytest.approx([n / 10 for n in range(1, 11)]) and max(factors) == 1.0
    assert all(a > b for a, b in zip(factors[9:], factors[10:], strict=False)) and factors[-1] == pytest.approx(0.1)


# --- splitting --------------------------------------------------------------------------------------------------------------------


def test_no_problem_is_on_both_sides_and_no_held_out_text_is_read(tmp_path: Path) -> None:
    labeled = sums(20)
    # The keys are those of other texts, as "line 5" of two files is.
    unlabeled = [replace(one.solution, steps=("more text",)) for one in labeled]
    trained = train(labeled, unlabeled=unlabeled, config=small(**QUICK), folder=tmp_path / "model")
    split = json.loads((trained.folder / "split.json").read_text())
    assert set(split["training"]) | set(split["held_out"]) == {one.solution.problem_key for one in labeled}
    assert not set(split["training"]) & set(split["held_out"])
    assert trained.metrics["training"]["n_unlabeled_solutions"] == sum(s.problem_key in split["training"] for s in unlabeled)
    assert trained.metrics["n_problems"] == len(split["held_out"])


def test_a_problem_stays_on_its_side_while_a_project_grows_and_text_that_will_be_held_out_is_never_read(tmp_path: Path) -> None:
    labeled = sums(60)
    sides = [hold_out(labeled[:n], config=small()) for n in (15, 30, 45, 60)]
    for (n, before), after in zip(zip((15, 30, 45), sides, strict=False), sides[1:], strict=True):
        assert before and after & {one.solution.problem_key for one in labeled[:n]} == before
    later = sides[-1] - sides[0]
    assert later, "some problems without labels will be held out"
    trained = train(labeled[:15], unlabeled=[one.solution for one in labeled[15:]], config=small(**QUICK), folder=tmp_path / "model")
    split = json.loads((trained.folder / "split.json").read_text())
    assert split["text"] and not later & {*split["text"], *split["training"]}


def test_solutions_of_a_held_out_problem_under_another_key_are_not_read() -> None:
    labeled = sums(20)
    held_out = hold_out(labeled, config=small())
    texts = [replace(one.solution, problem_key="line 6", problem=f" {one.solution.problem}", steps=("other",)) for one in labeled]
    assert split_place("line 6") > small().held_out
    read = list(readable(texts, labeled, held_out=held_out, config=small()))
    assert read == [text for text, one in zip(texts, labeled, strict=True) if one.solution.problem_key not in held_out]


def test_a_single_negative_step_stays_in_training_and_another_problem_is_held_out() -> None:
    sides = [hold_out(rated((1, 1), (1, 0), (1, -1)), config=TrainConfig.for_base(split_seed=seed)) for seed in range(20)]
    assert set(sides) <= {frozenset(side) for side in ({"p0"}, {"p1"}, {"p0", "p1"})} and {"p0"} in sides and {"p1"} in sides


def test_a_problem_without_any_rating_is_not_the_one_that_is_held_out() -> None:
    labeled = rated((1, 1), (1, -1), (1, -1), *[(None,)] * 20)
    for seed in range(10):
        assert hold_out(labeled, config=TrainConfig.for_base(split_seed=seed)) & {"p0", "p1", "p2"}


@pytest.mark.parametrize(
    ("labeled", "sentence"),
    [
        (rated((1, -1), (1,)), "There are 3 rated steps, but at least 6 are needed"),
        (rated((1, 1), (1, 0), (1, 1)), "Of 6 rated steps, 0 are negative"),
        (rated((-1,), (-1,), (-1,), (-1,), (-1,), (-1,)), "Of 6 rated steps, 6 are negative"),
        (rated((1, 1, 1, 1), (1, 1, -1)), "cover 2 problems, but at least 3"),
        ([], "There are 0 rated steps"),
        (rated((None, None, None)), "There are 0 rated steps"),
    ],
)
def test_too_little_to_learn_from_is_said_with_numbers(labeled: list[LabeledSolution], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(TooLittleToLearn, match=sentence):
        train(labeled, config=small(), folder=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_three_labeled_solutions_are_enough_to_go_round(tmp_path: Path) -> None:
    trained = train(rated((1, 1), (1, 0), (1, -1)), config=small(**QUICK), folder=tmp_path / "model")
    assert trained.metrics["first_mistake"] is None  # undefined, and said so
    assert "undefined" in (trained.folder / "README.md").read_text()


# --- repeatable, resumable ----------------------------------------------------------------------------------------------------------


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_the_same_run_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(sums(20), config=small(seed=seed, **QUICK), folder=tmp_path / name)
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")


@pytest.mark.parametrize(("phase", "done"), [("language model", 2), ("reward model", 1), ("reward model", 7)])
def test_an_interrupted_run_ends_as_if_it_had_not_been(tmp_path: Path, phase: str, done: int) -> None:
    config = small(epochs=3, language_model_epochs=2, checkpoint_minutes=0, token_budget=512)
    whole = train(sums(20), config=config, folder=tmp_path / "whole")
    with pytest.raises(Stopped):
        train(sums(20), config=config, folder=tmp_path / "halves", checkpoint=tmp_path / "checkpoint", progress=stop_at(phase, done))  # type: ignore[arg-type]
    assert (tmp_path / "checkpoint").is_dir() and not (tmp_path / "halves").exists()
    heard: list[ProgressUpdate] = []
    halves = train(sums(20), config=config, folder=tmp_path / "halves", checkpoint=tmp_path / "checkpoint", progress=heard.append)
    assert weights(tmp_path / "halves") == weights(tmp_path / "whole")
    assert halves.metrics["training"]["losses"] == whole.metrics["training"]["losses"]
    assert heard[0].done > 1 or heard[0].phase != "language model"  # it went on, not over
    assert not (tmp_path / "checkpoint").exists()


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_continued(tmp_path: Path) -> None:
    config = small(epochs=1, language_model_epochs=1, checkpoint_minutes=0)
    whole = train(sums(20), config=config, folder=tmp_path / "whole")
    with pytest.raises(Stopped):
        train(sums(21), config=config, folder=tmp_path / "other", checkpoint=tmp_path / "checkpoint", progress=stop_at("reward model", 1))  # type: ignore[arg-type]
    train(sums(20), config=config, folder=tmp_path / "again", checkpoint=tmp_path / "checkpoint")
    assert weights(tmp_path / "again") == weights(whole.folder)
    with pytest.raises(Stopped):
        train(sums(20), config=config, folder=tmp_path / "other", checkpoint=tmp_path / "checkpoint", progress=stop_at("reward model", 1))  # type: ignore[arg-type]
    for newest in (tmp_path / "checkpoint").iterdir():
        (newest / "state.safetensors").write_bytes(b"torn")
    train(sums(20), config=config, folder=tmp_path / "once more", checkpoint=tmp_path / "checkpoint")
    assert weights(tmp_path / "once more") == weights(whole.folder)


def test_progress_counts_to_the_end_of_every_phase_with_time_left(tmp_path: Path) -> None:
    heard: list[ProgressUpdate] = []
    train(sums(20), config=small(**QUICK), folder=tmp_path / "model", progress=heard.append)
    assert list(dict.fromkeys(p.phase for p in heard)) == ["language model", "reward model", "scoring"]
    for phase in ("language model", "reward model", "scoring"):
        last = [p for p in heard if p.phase == phase][-1]
        assert last.done == last.total and last.seconds_left == 0
    assert all(p.loss is not None for p in heard if p.phase != "scoring")


# --- what is published ----------------------------------------------------------------------------------------------------------------


def test_the_model_folder_holds_what_its_manifest_names_and_no_pickle(trained: TrainedModel) -> None:
    manifest = json.loads((trained.folder / "manifest.json").read_text())
    assert {*manifest, "manifest.json"} == {path.name for path in trained.folder.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "stepmark.json", "README.md", "split.json", "config.json"} <= set(manifest)
    check_manifest(trained.folder)
    assert model_sha256(trained.folder) == trained.sha256


def test_the_model_card_states_data_recipe_metrics_base_rate_and_limits(trained: TrainedModel) -> None:
    card, metrics = (trained.folder / "README.md").read_text(), trained.metrics
    for figure in (
        metrics["step_auc"],
        metrics["log_loss"],
        metrics["base_rate_log_loss"],
        metrics["first_mistake"]["f1"],
        metrics["threshold"],
    ):
        assert f"{figure:.3f}" in card
    assert f"{metrics['training']['n_rated_steps']:,} rated steps" in card and "- snapshot: 7" in card and "## Limits" in card
    assert "an indication only" in card  # fewer than 500 held-out steps


def test_an_aborted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(sums(20), config=small(**QUICK), folder=tmp_path / "model", progress=stop_at("reward model", 1))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_the_old_model_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(sums(20), config=small(**QUICK), folder=tmp_path / "model")
    before = weights(tmp_path / "model")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trainer.train.save_weights", full)
    with pytest.raises(DiskFull, match="disk is full.*model"):
        train(sums(20), config=small(seed=5, **QUICK), folder=tmp_path / "model", overwrite=True)
    assert weights(tmp_path / "model") == before and [path.name for path in tmp_path.iterdir()] == ["model"]


def test_writing_over_a_model_replaces_it_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with write_folder(tmp_path / "model", overwrite=True) as draft:
            (draft / f"{text}.txt").write_text(text)
            (draft / "stepmark.json").write_text("{}")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["manifest.json", "new.txt", "stepmark.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_manifest_without_settings_is_no_reward_model(tmp_path: Path) -> None:
    with write_folder(tmp_path / "model", overwrite=False) as draft:
        (draft / "weights").write_text("x")
    with pytest.raises(BadModelFolder, match=r"stepmark\.json"):
        check_manifest(tmp_path / "model")


def test_a_loss_that_is_not_finite_ends_the_run_before_the_weights_are_touched() -> None:
    model, sequences = model_and_sequences(2)
    with torch.no_grad():
        model.network.get_input_embeddings().weight[0] = float("nan")
        model.network.base_model.norm.weight[0] = float("inf")
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    phase = Phase("reward model", sequences, 1, 1e-3, 1.0, 1.0)
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=1.0)
    with pytest.raises(LossNotFinite, match="'reward model'.*Lower its learning rate"):
        take_step(model, [sequences], phase=phase, optimizer=optimizer, config=small())
    after = model.network.state_dict()
    assert all(torch.allclose(after[name], before[name], rtol=0, atol=0, equal_nan=True) for name in before)


def test_a_model_that_ends_with_probabilities_that_are_no_numbers_is_not_written(tmp_path: Path) -> None:
    config = small(learning_rate=1e10, epochs=1, language_model_epochs=0, token_budget=10**6)  # one step: its loss is still a number
    with pytest.raises(LossNotFinite, match="probabilities that are not numbers. Lower the learning rate"):
        train(sums(4), config=config, folder=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_autocast_changes_the_losses_by_rounding_only() -> None:
    phase, found = Phase("reward model", [], 1, 1e-3, 1.0, 1.0), []
    for autocast in (False, True):
        model, sequences = model_and_sequences()
        frozen = torch.optim.SGD(model.network.parameters(), lr=0.0)
        found.append(take_step(model, [sequences], phase=phase, optimizer=frozen, config=small(autocast=autocast)))
    assert np.allclose(found[0], found[1], rtol=1e-2) and not np.array_equal(found[0], found[1])
