import numpy as np
import pytest

from tests.trainer.sums import SHAPE, sums
from trainer.data import (
    NEGATIVE,
    STEP,
    UNRATED,
    BadLabels,
    LabeledSolution,
    RatedAlternative,
    SolutionText,
    StepTokenizer,
    buckets,
    encode,
    encode_labeled,
    encode_unlabeled,
    padded,
    seeded,
    shuffled_buckets,
    train_tokenizer,
    uniform_draw,
    windows,
)
from trainer.model import build_tiny

STEPS = ("Add 2 and 3.", "That is 5.", "Twice that is 11.", "So the answer is 11.\n\n# Answer\n\n11")
SOLUTION = SolutionText("s", "p", "What is twice the sum of 2 and 3?", STEPS)


@pytest.fixture(scope="module")
def tokenizer() -> StepTokenizer:
    return build_tiny([SOLUTION.problem, *STEPS], shape=SHAPE, context=256, seed=0).tokenizer


def test_every_number_up_to_three_digits_is_one_token() -> None:
    tokenizer = train_tokenizer(["some words"], merges=10)
    for number in [*map(str, range(1000)), "007", "05", "00"]:
        assert tokenizer.encode(number).tokens == [number]
    assert tokenizer.encode("1234567").tokens == ["123", "456", "7"]


def test_a_number_is_the_same_token_wherever_it_stands() -> None:
    tokenizer = train_tokenizer(["4 trays of 12 muffins"] * 5, merges=50)
    for text in ("105", " 105", "=105", r"$5 \times 105$", "x105y", "costs $105,", "(105)"):
        assert "105" in tokenizer.encode(text).tokens, text


@pytest.mark.parametrize(
    "text",
    [
        r"$\frac{12}{5} \le x_{1}^{2}$",
        "naïve 日本語 🙂 עברית ٣",
        "tab\there\r\n\n  two  blanks ",
        "\x00\x07 control",
        "",
        "x" * 5000,
        "1" * 50,
    ],
)
def test_any_text_comes_back_from_its_tokens(text: str) -> None:
    tokenizer = train_tokenizer(["Add 2 and 3."], merges=20)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_text_that_spells_a_special_token_stays_text(tokenizer: StepTokenizer) -> None:
    [ids] = tokenizer.token_ids([f"a {STEP} b {NEGATIVE}"])
    assert not {*tokenizer.step_end, *tokenizer.rating_ids} & set(ids)
    assert tokenizer.tokenizer.decode(ids) == f"a {STEP} b {NEGATIVE}"


def test_training_and_scoring_read_the_same_ids_at_the_same_positions(tokenizer: StepTokenizer) -> None:
    labeled = sums(20)
    scored = encode([one.solution for one in labeled], tokenizer=tokenizer, context=256)
    for sequence, encoded in zip(encode_labeled(labeled, tokenizer=tokenizer, context=256), scored, strict=True):
        assert np.array_equal(sequence.encoded.ids, encoded.ids) and np.array_equal(sequence.encoded.step_ends, encoded.step_ends)


def test_a_step_is_judged_at_its_end_token_whatever_its_text(tokenizer: StepTokenizer) -> None:
    odd = SolutionText("s", "p", "?", ("ends in a blank ", "ends in lines\n\n", "日", "5"))
    [encoded] = encode([odd], tokenizer=tokenizer, context=256)
    assert [int(encoded.ids[end]) for end in encoded.step_ends] == [tokenizer.step_end[-1]] * 4
    assert (encoded.ids == tokenizer.step_end[-1]).sum() == 5  # the problem's and the four steps'


def test_ids_of_a_solution_are_those_of_its_parts_joined(tokenizer: StepTokenizer) -> None:
    [encoded] = encode([SOLUTION], tokenizer=tokenizer, context=256)
    parts = tokenizer.token_ids([SOLUTION.problem, *STEPS])
    assert encoded.ids.tolist() == [*tokenizer.prefix, *(token for part in parts for token in (*part, *tokenizer.step_end))]


def test_nothing_after_the_first_negative_is_supervised(tokenizer: StepTokenizer) -> None:
    [sequence] = encode_labeled([LabeledSolution(SOLUTION, (1, 0, -1, 1))], tokenizer=tokenizer, context=256)
    assert sequence.classes.tolist() == [2, 1, 0, UNRATED]


def test_an_unrated_step_carries_no_rating(tokenizer: StepTokenizer) -> None:
    [sequence] = encode_labeled([LabeledSolution(SOLUTION, (1, None, 0))], tokenizer=tokenizer, context=256)
    assert sequence.classes.tolist() == [2, UNRATED, 1, UNRATED]
    assert sequence.n_rated == 2


def test_an_alternative_is_supervised_after_the_steps_before_it(tokenizer: StepTokenizer) -> None:
    labeled = LabeledSolution(SOLUTION, (1, 1, -1), (RatedAlternative(2, "Twice that is 10.", 1),))
    main, branch = encode_labeled([labeled], tokenizer=tokenizer, context=256)
    shared = int(main.encoded.step_ends[1]) + 1
    assert branch.encoded.ids[:shared].tolist() == main.encoded.ids[:shared].tolist()
    assert branch.classes.tolist() == [UNRATED, UNRATED, 2]
    assert branch.text_from == shared - 1  # the first token it is asked to predict is the alternative's own
    assert labeled.n_rated == 4


def test_an_alternative_after_the_first_negative_is_not_supervised(tokenizer: StepTokenizer) -> None:
    labeled = LabeledSolution(SOLUTION, (1, -1), (RatedAlternative(1, "That is five.", 1), RatedAlternative(2, "Twice that is 10.", 1)))
    assert len(encode_labeled([labeled], tokenizer=tokenizer, context=256)) == 2


def test_a_long_solution_is_cut_at_a_step_boundary_and_counted(tokenizer: StepTokenizer) -> None:
    [whole] = encode([SOLUTION], tokenizer=tokenizer, context=256)
    for context in range(1, len(whole.ids) + 1):
        [cut] = encode([SOLUTION], tokenizer=tokenizer, context=context)
        fitting = [end for end in whole.step_ends.tolist() if end < context]
        assert cut.step_ends.tolist() == fitting and cut.unread_steps == 4 - len(fitting)
        assert len(cut.ids) <= context


def test_a_short_step_after_one_that_does_not_fit_is_not_read(tokenizer: StepTokenizer) -> None:
    [cut] = encode([SolutionText("s", "p", "?", ("a", "1 " * 100, "b"))], tokenizer=tokenizer, context=50)
    assert len(cut.step_ends) == 1 and cut.unread_steps == 2


def test_unlabeled_solutions_carry_no_rating(tokenizer: StepTokenizer) -> None:
    [sequence] = encode_unlabeled([SOLUTION], tokenizer=tokenizer, context=256)
    assert sequence.n_rated == 0 and len(sequence.classes) == 4


@pytest.mark.parametrize(
    ("ratings", "alternatives", "named"),
    [
        ((1, 1, 1, 1, 1), (), "4 steps but 5 ratings"),
        ((1, 2), (), "the rating 2"),
        ((True,), (), "the rating True"),
        ((1,), (RatedAlternative(4, "x", 1),), "alternative at step index 4"),
        ((1,), (RatedAlternative(0, "x", None),), "rating None"),  # type: ignore[arg-type]
    ],
)
def test_labels_that_do_not_fit_name_the_solution(ratings: tuple[int, ...], alternatives: tuple[RatedAlternative, ...], named: str) -> None:
    with pytest.raises(BadLabels, match=f"Solution s .*{named}"):
        LabeledSolution(SOLUTION, ratings, alternatives)


def test_buckets_keep_to_the_token_budget_and_lose_nobody() -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 500)
    groups = buckets(lengths, token_budget=1000)
    assert sorted(i for group in groups for i in group) == list(range(500))
    assert all(len(group) * lengths[group].max() <= 1000 for group in groups)


def test_a_solution_longer_than_the_budget_stands_alone() -> None:
    assert [sorted(group.tolist()) for group in buckets([5, 50, 5], token_budget=20)] == [[1], [0, 2]]


def test_the_order_of_an_epoch_depends_on_seed_phase_and_epoch_alone() -> None:
    lengths = [int(n) for n in np.random.default_rng(0).integers(1, 300, 200)]

    def order(*parts: object) -> list[list[int]]:
        return [group.tolist() for group in shuffled_buckets(lengths, token_budget=1000, rng=seeded(*parts))]

    assert order(0, "reward model", 1) == order(0, "reward model", 1)
    assert (
        len(
            {
                str(order(*parts))
                for parts in ((0, "reward model", 1), (0, "reward model", 2), (1, "reward model", 1), (0, "language model", 1))
            }
        )
        == 4
    )
    assert sorted(i for group in order(0, "reward model", 1) for i in group) == list(range(200))


def test_pads_come_after_every_token(tokenizer: StepTokenizer) -> None:
    encoded = encode([SOLUTION, SolutionText("t", "p", "?", ("a",))], tokenizer=tokenizer, context=256)
    ids = padded(encoded, pad_id=tokenizer.pad_id)
    assert ids[1, : len(encoded[1].ids)].tolist() == encoded[1].ids.tolist()
    assert set(ids[1, len(encoded[1].ids) :].tolist()) == {tokenizer.pad_id}


def test_a_draw_keeps_each_solution_with_the_same_chance() -> None:
    pool = [SolutionText(str(i), "p", "?", ("a",)) for i in range(20)]
    kept = [int(s.key) for seed in range(400) for s in uniform_draw(iter(pool), size=5, rng=np.random.default_rng(seed))]
    counts = np.bincount(kept, minlength=20)
    assert len(kept) == 2000 and counts.min() > 60 and counts.max() < 145  # 100 each, standard deviation 8.7


def test_a_draw_of_more_than_there_is_keeps_all_in_order() -> None:
    pool = [SolutionText(str(i), "p", "?", ("a",)) for i in range(4)]
    assert uniform_draw(pool, size=9, rng=np.random.default_rng(0)) == pool
    assert uniform_draw(pool, size=0, rng=np.random.default_rng(0)) == []


def test_windows_read_the_stream_no_further_than_needed() -> None:
    read = []

    def stream() -> "object":
        for i in range(10):
            read.append(i)
            yield SolutionText(str(i), "p", "?", ("a",))

    first = next(windows(stream(), size=3))  # type: ignore[arg-type]
    assert [s.key for s in first] == ["0", "1", "2"] and len(read) == 3
