import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from active_learning.world import label, make_world
from script.corrupt import ANSWER, EQUATION, Exercise, NotHere, Worked, calculate, drill, exercises
from script.tiny_base import CONTEXT, FLAGS, TEXTS, WORLDS, Tokens, number_features, put_back, untrained, window
from tests.trainer.sums import SHAPE, sums
from trainer.config import TINY_DEFAULTS, BadBase, BadConfig, TinyShape, TrainConfig
from trainer.data import LabeledSolution, SolutionText, broken_words, encode, train_tokenizer
from trainer.evaluate import auc
from trainer.model import build_tiny, load_prm, load_tiny, save_weights, suits_shipped_base
from trainer.score import score_solutions
from trainer.train import train


@pytest.fixture(scope="module")
def worked() -> list[tuple[str, Worked]]:
    world = make_world(5, n_problems=200, n_solutions=4, skill=1.0)
    return [(problem.subject, Worked(problem.statement, s.steps)) for problem, solutions in world for s in solutions]


@pytest.fixture(scope="module")
def spoiled(worked: list[tuple[str, Worked]]) -> list[Exercise]:
    return list(exercises(worked, rng=np.random.default_rng(0)))


@pytest.fixture(scope="module")
def tokens(worked: list[tuple[str, Worked]]) -> Tokens:
    texts = [text for _, one in worked for text in (one.problem, *one.steps)]
    return Tokens(build_tiny(texts, shape=TinyShape(layers=1, width=8, heads=1, feed_forward=8), context=CONTEXT, seed=0).tokenizer)


def is_true(a: str, sign: str, b: str, c: str) -> bool:
    try:
        return calculate(int(a), sign, int(b)) == int(c)
    except NotHere:
        return False


# --- corrupting ---------------------------------------------------------------------------------------------------------------------


def test_four_of_five_solutions_are_spoiled_in_every_way(spoiled: list[Exercise]) -> None:
    kinds = [one.kind for one in spoiled]
    assert 0.74 < sum(kind != "" for kind in kinds) / len(kinds) < 0.86
    for kind in ("slip", "miscopy", "operation", "omission", "foreign", "premature"):
        assert kinds.count(kind) > 0.05 * len(kinds), kind


def test_a_spoiled_solution_is_wrong_in_its_last_step_only(spoiled: list[Exercise]) -> None:
    for one in spoiled:
        assert len(one.wrong_from) == len(one.steps)
        assert set(one.wrong_from[:-1]) <= {None} and (one.wrong_from[-1] is None) == (one.kind == "")


def test_only_a_slip_makes_a_sum_false(spoiled: list[Exercise]) -> None:
    for one in spoiled:
        false = [not is_true(*found) for step in one.steps for found in EQUATION.findall(step)]
        assert any(false) == (one.kind == "slip" and EQUATION.search(one.steps[-1]) is not None), one


def test_the_wrong_step_differs_from_every_worked_one(spoiled: list[Exercise], worked: list[tuple[str, Worked]]) -> None:
    right: dict[str, set[str]] = {}
    for _, one in worked:
        right.setdefault(one.problem, set()).update(one.steps)
    for one in spoiled:
        if one.kind in ("slip", "miscopy", "operation"):
            assert one.steps[-1] not in right[one.problem]
            assert set(one.steps[:-1]) <= right[one.problem]


def test_a_step_is_wrong_from_the_first_character_that_the_corruption_changed(
    spoiled: list[Exercise], worked: list[tuple[str, Worked]]
) -> None:
    right: dict[str, set[str]] = {}
    for _, one in worked:
        right.setdefault(one.problem, set()).update(one.steps)
    slips = [one for one in spoiled if one.kind == "slip"]
    for one in slips:
        assert one.wrong_from[-1] == max(len(os.path.commonprefix([one.steps[-1], step])) for step in right[one.problem])


def test_a_premature_answer_is_an_answer_and_not_the_right_one(spoiled: list[Exercise], worked: list[tuple[str, Worked]]) -> None:
    closings: dict[str, set[str]] = {}
    for _, one in worked:
        closings.setdefault(one.problem, set()).add(one.steps[-1])
    early = [one for one in spoiled if one.kind == "premature"]
    assert early and all(ANSWER in one.steps[-1] and one.steps[-1] not in closings[one.problem] for one in early)


def test_a_drill_is_wrong_where_a_sum_is_false_or_a_number_was_never_told() -> None:
    rng = np.random.default_rng(2)
    seen_wrong = seen_right = 0
    for _ in range(50):
        one = drill(rng)
        known = {*map(int, re.findall(r"\d+", one.problem)), 1, 2, 3, 7, 12, 60}
        for step, wrong_from in zip(one.steps, one.wrong_from, strict=True):
            [found] = EQUATION.finditer(step)
            a, b = int(found[1]), int(found[3])
            wrong = (
                [found.start(1)] * (a not in known)
                + [found.start(3)] * (b not in known)
                + [found.start(4)] * (not is_true(*found.groups()))
            )
            assert wrong_from == (wrong[0] if wrong else None), (one.problem, one.steps)
            known |= {a, b, int(found[4])}
            seen_wrong, seen_right = seen_wrong + bool(wrong), seen_right + (not wrong)
    assert seen_wrong > 50 and seen_right > 200


# --- sequences ----------------------------------------------------------------------------------------------------------------------


def test_an_exercise_is_tokenised_as_training_and_scoring_tokenise(tokens: Tokens, spoiled: list[Exercise]) -> None:
    for one in spoiled[:50]:
        [encoded] = encode([SolutionText("s", "p", one.problem, one.steps)], tokenizer=tokens.tokenizer, context=CONTEXT)
        own = tokens.sequence(one)
        assert own.encoded.ids.tolist() == encoded.ids.tolist()
        assert set(encoded.step_ends.tolist()) <= set(own.encoded.step_ends.tolist())


def test_numbers_are_wrong_from_the_first_wrong_character_on(tokens: Tokens) -> None:
    step = "$4$ bags of $12$ are $4 \\times 12 = 49$ apples."
    one = tokens.sequence(Exercise("Ann has $4$ bags of $12$.", ("We know $4$.", step), (None, step.index("9"))))
    shown = [tokens.tokenizer.tokenizer.decode([one.encoded.ids[place]]) for place in one.encoded.step_ends]
    judged = list(zip([text.strip() for text in shown], one.classes.tolist(), strict=True))
    assert judged == [("4", 2), ("<|step|>", 2), ("4", 2), ("12", 2), ("4", 2), ("12", 2), ("49", 0), ("<|step|>", 0)]


def test_a_step_that_is_foreign_as_a_whole_is_judged_at_its_end_only(tokens: Tokens) -> None:
    one = tokens.sequence(Exercise("Ann has $4$ bags.", ("So Ann pays $4$ dollars.",), (-1,)))
    assert one.classes.tolist() == [0] and one.encoded.step_ends.tolist() == [len(one) - 1]


def test_a_window_is_the_same_every_time_and_another_one_is_another() -> None:
    first, again, other = (window(number, stories=20, drills=10, sums=10) for number in (3, 3, 4))
    assert first == again != other
    assert {one.kind for one in first} >= {"drill", "one_sum", "slip", ""}


def test_numbers_one_or_ten_apart_start_far_apart() -> None:
    rows = np.array([number_features(n) for n in range(1000)])
    gaps = [np.linalg.norm(rows[d:] - rows[:-d], axis=1).min() for d in (1, 2, 3, 5, 10, 20)]
    assert min(gaps) > 1.8


Flags = dict[str, tuple[list[float], list[float]]]


@pytest.fixture(scope="module")
def planted(worked: list[tuple[str, Worked]]) -> Flags:
    """What the untrained base writes at numbers that were there before and at others, and at right and wrong results of + and -."""
    model, _ = untrained([text for _, one in worked for text in (one.problem, *one.steps)])
    tokens, shown = Tokens(model.tokenizer), {}
    hook = model.network.base_model.layers[1].register_forward_hook(lambda layer, given, states: shown.update(states=states[0]))
    flags: Flags = {name: ([], []) for name in ("seen", "+", "-")}
    rng = np.random.default_rng(4)
    for one in (drill(rng) for _ in range(30)):
        sequence = tokens.sequence(one)
        with torch.no_grad():
            model.hidden_states(torch.from_numpy(sequence.encoded.ids.astype(np.int64))[None])
        here, ids = shown["states"][:, FLAGS].numpy(), sequence.encoded.ids
        for place in np.flatnonzero(tokens.is_number[ids]):
            flags["seen"][ids[place] not in ids[:place]].append(here[place, 0])
        results = sequence.encoded.step_ends.reshape(len(one.steps), 4)[:, 2]
        for place, step in zip(results, one.steps, strict=True):
            a, sign, b, c = EQUATION.findall(step)[0]
            if sign in "+-":
                flags[sign][not is_true(a, sign, b, c)].append(here[place, 1 + (sign == "-")])
    hook.remove()
    return flags


def test_what_is_planted_stays_through_an_update(worked: list[tuple[str, Worked]]) -> None:
    model, pinned = untrained([text for _, one in worked[:50] for text in (one.problem, *one.steps)])
    weights = model.network.state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter += 1
    put_back(pinned)
    assert all(torch.equal(pin.parameter[pin.place], pin.value) for pin in pinned)
    unchanged = {name for name, value in weights.items() if torch.equal(value, before[name])}
    assert unchanged == {f"model.layers.1.self_attn.{one}_layernorm.weight" for one in "qk"}  # of all others a part


@pytest.mark.parametrize("flag", ["seen", "+", "-"])
def test_before_any_training_the_base_tells_known_numbers_and_right_sums(flag: str, planted: Flags) -> None:
    yes, no = planted[flag]
    assert min(len(yes), len(no)) > 20
    assert (auc(np.array(yes + no), np.array([True] * len(yes) + [False] * len(no))) or 0) > 0.97


# --- choosing it --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained base that knows the words of `sums`, in the place of the shipped one."""
    folder = tmp_path / "base"
    folder.mkdir()
    save_weights(untrained([text for one in sums(20) for text in (one.solution.problem, *one.solution.steps)])[0], folder)
    monkeypatch.setattr("trainer.model.TINY_BASE", folder)
    return folder


def test_text_suits_a_base_whose_vocabulary_has_its_words(base: Path) -> None:
    assert suits_shipped_base([one.solution.steps[0] for one in sums(5, seed=3)])
    assert not suits_shipped_base(["The integral of a smooth function vanishes at infinity."])


def test_no_text_suits_a_base_that_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.model.TINY_BASE", tmp_path)
    assert not suits_shipped_base(["We add: 1 + 1 = 2."])


def test_text_that_suits_trains_from_the_base_and_the_model_comes_back_from_disk(base: Path, tmp_path: Path) -> None:
    labeled = sums(20)
    trained = train(labeled, config=TrainConfig.for_base(epochs=1), folder=tmp_path / "model")
    assert trained.config.from_shipped_base is True
    losses = trained.metrics["training"]["losses"]
    assert "language model, token" not in losses and losses["reward model, token"] == 0
    model = load_prm(trained.folder)
    assert model.network.config.model_type == "lfm2"
    solutions = [one.solution for one in labeled]
    together = list(score_solutions(model, solutions))
    for solution, scores in zip(solutions[:5], together, strict=False):
        [alone] = score_solutions(model, [solution])
        assert np.allclose(alone.probabilities, scores.probabilities, atol=1e-5)


def test_the_model_logs_no_advice_about_kernels(base: Path) -> None:
    logging.getLogger("transformers.integrations.hub_kernels").setLevel(logging.NOTSET)
    load_tiny(context=256)
    assert not logging.getLogger("transformers.integrations.hub_kernels").isEnabledFor(logging.WARNING)


def test_the_share_of_broken_words_is_that_of_words_without_a_token_of_their_own() -> None:
    tokenizer = train_tokenizer(["one two three"] * 5, merges=50)
    assert broken_words(["one two three", "12"], tokenizer=tokenizer) == 0
    assert broken_words(["one seventeen"], tokenizer=tokenizer) == 0.5
    assert broken_words([], tokenizer=tokenizer) == 0


def test_the_shipped_base_has_its_own_recipe_and_the_callers_settings_stay() -> None:
    scratch, shipped = (TrainConfig.for_base(learning_rate=7e-4).settled(text_suits=suits) for suits in (False, True))
    assert (scratch.from_shipped_base, shipped.from_shipped_base) == (False, True)
    assert scratch.language_model_epochs == TINY_DEFAULTS["language_model_epochs"] and shipped.language_model_epochs == 0
    assert scratch.learning_rate == shipped.learning_rate == 7e-4
    assert shipped.settled(text_suits=False) == shipped  # decided once


def test_a_caller_may_refuse_or_insist() -> None:
    assert not TrainConfig.for_base(from_shipped_base=False).settled(text_suits=True).from_shipped_base
    assert TrainConfig.for_base(from_shipped_base=True).settled(text_suits=False).language_model_epochs == 0
    assert not TrainConfig.for_base(shape=SHAPE).settled(text_suits=True).from_shipped_base
    with pytest.raises(BadConfig, match="from_shipped_base works only for the preset tiny"):
        TrainConfig.for_base(shape=SHAPE, from_shipped_base=True)
    with pytest.raises(BadConfig, match="from_shipped_base"):
        TrainConfig.for_base("Qwen/Qwen2.5-0.5B", from_shipped_base=True)


def test_a_pretrained_base_is_left_alone() -> None:
    config = TrainConfig.for_base("Qwen/Qwen2.5-0.5B")
    assert config.settled(text_suits=True) is config


def test_a_damaged_shipped_base_is_named(base: Path) -> None:
    (base / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BadBase, match="cannot be loaded"):
        load_tiny(context=256)


def test_strange_text_trains_from_scratch_with_its_own_vocabulary(base: Path, tmp_path: Path) -> None:
    strange = [
        LabeledSolution(
            SolutionText(str(i), str(i), "Integrate a smooth function.", ("Substitute boldly.", "Conclude.")), (1, 1 - 2 * (i % 2))
        )
        for i in range(12)
    ]
    trained = train(strange, config=TrainConfig.for_base(epochs=1, language_model_epochs=1), folder=tmp_path / "model")
    assert trained.config.from_shipped_base is False
    assert "language model, token" in trained.metrics["training"]["losses"]
    assert load_prm(trained.folder).network.config.model_type == "llama"


def test_the_base_was_not_trained_in_the_worlds_of_the_demonstration_and_the_benchmarks() -> None:
    assert WORLDS > 2305 and TEXTS != 2305


def test_the_shipped_base_finds_mistakes_in_a_world_it_has_not_read() -> None:
    world = [(problem, one) for problem, some in make_world(9, n_problems=60, n_solutions=2) for one in some]
    solutions = [SolutionText(str(i), problem.external_id, problem.statement, one.steps) for i, (problem, one) in enumerate(world)]
    scores = score_solutions(load_tiny(context=CONTEXT), solutions)
    rated = [(s.probabilities[:, 0], label(one).ratings) for s, (_, one) in zip(scores, world, strict=True)]
    found, ratings = np.array([pair for negative, told in rated for pair in zip(negative, told, strict=False)]).T
    assert (auc(found, ratings == -1) or 0) > 0.85


def test_the_card_says_where_the_model_started(tmp_path: Path) -> None:
    labeled = sums(40)
    for shipped, says in ((True, "trainer/bases/tiny"), (False, "trained from scratch")):
        config = TrainConfig.for_base(epochs=1, language_model_epochs=0, from_shipped_base=shipped)
        folder = train(labeled, config=config, folder=tmp_path / says.replace("/", "-")).folder
        assert says in (folder / "README.md").read_text()
