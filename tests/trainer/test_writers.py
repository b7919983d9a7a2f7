"""Labels as files of other formats: what each row holds, what is left out and counted, and that what is written loads again."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tests.trainer.contents import (
    CONSENSUS,
    PERSON,
    of_paths,
    of_records,
    rated,
    ratings_of,
    read_again,
    record,
    row,
    step,
    walked,
)
from trainer.formats import FORMATS, MARK, NewSolution, detect_format, fitting_formats, read_lines
from trainer.writers import (
    WRITERS,
    BadContent,
    BadOption,
    Labeled,
    Losses,
    by_consensus,
    content_schema,
    from_content,
    read_content,
    read_records,
    suffix_of,
    write,
)

ADD = ("Three more than two.", "That is five.\n\n# Answer\n\n5")
WRONG = ("Three more than two.", "That is six.", "So 6.")
BINARY = ("trl", "openrlhf", "math_shepherd", "rlhflow", "processbench", "chat")


def rows(name: str, *labeled: Labeled, losses: Losses | None = None, **options: str) -> list[Any]:
    return list(WRITERS[name].rows(labeled, options, losses))


def left_out(name: str, *labeled: Labeled, **options: str) -> dict[str, int]:
    losses = Losses()
    assert not rows(name, *labeled, losses=losses, **options)
    return dict(losses.left_out)


# --- annotations as values ------------------------------------------------------------------------------------------------------


def test_a_row_of_a_content_file_becomes_an_annotation() -> None:
    one = rated(WRONG, [1, -1], others=[("That is five.", 1)], **CONSENSUS)
    assert (one.annotation, one.solution, one.problem_id, one.labeler, one.at) == (11, 7, "sum", PERSON, "2022-11-22T16:51:29.980606")
    assert (one.steps, one.ratings, one.finish_reason) == (WRONG, (1, -1, None), "found_error")
    assert one.alternatives == ((1, "That is five.", 1),)
    assert (one.generation, one.is_path, one.seconds) == (6, False, 61.5)
    assert one.consensus and (one.consensus.first_mistake, one.consensus.p_first, one.consensus.n_readings) == (1, (0.1, 0.7), 3)


def test_a_time_that_is_not_known_is_the_one_of_the_record() -> None:
    assert rated(ADD, [1, 1], active_ms=None).seconds == 164.458


def test_a_probability_that_nobody_knows_is_none() -> None:
    unknown = {"p_first": [float("nan"), None], "p_none": float("nan"), "entropy": None}
    consensus = rated(ADD, [1, 1], **(CONSENSUS | unknown)).consensus
    assert consensus and (consensus.p_first, consensus.p_none, consensus.entropy) == ((None, None), None, None)


def test_a_solution_without_readings_has_no_consensus() -> None:
    assert rated(ADD, [1, 1]).consensus is None


def test_an_interactive_solution_is_the_path_that_the_labeler_chose() -> None:
    one = walked(
        step(("Subtract.", -1), ("Add.", 1), chosen=1),
        step(("So 6.", -1), chosen=None, human="So five."),
        step(("# Answer\n\n5", 1), ("# Answer\n\n6", None)),
    )
    assert (one.steps, one.ratings) == (("Add.", "So five.", "# Answer\n\n5"), (1, None, 1))
    assert one.alternatives == ((0, "Subtract.", -1), (1, "So 6.", -1), (2, "# Answer\n\n6", None))


def test_a_step_that_was_shown_after_another_text_is_still_the_solutions_own() -> None:
    made = record("p", [step(("Other.", 0), ("Own.", 1))], finish="solution", steps=["Own."])
    one = from_content(row(made))
    assert (one.ratings, one.alternatives) == ((1,), ((0, "Other.", 0),))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"question": {}, "label": {}}', b'{"question": null, "label": 1}'])
def test_a_row_without_a_record_is_refused_with_its_annotation(content: bytes) -> None:
    with pytest.raises(BadContent, match="The row of annotation 11 holds no PRM800K record .*Take a new snapshot"):
        from_content(row({}) | {"record": content})


def test_a_content_file_is_read_in_its_order(tmp_path: Path) -> None:
    contents = [
        row(record("p", [step((ADD[0], 1))], finish="solution", steps=ADD[:1]), annotation=number, **CONSENSUS) for number in (3, 1, 2)
    ]
    parquet.write_table(pa.Table.from_pylist(contents, content_schema()), tmp_path / "1.parquet", compression="zstd")
    assert list(read_content(tmp_path / "1.parquet")) == [from_content(content) for content in contents]
    assert list(read_records(tmp_path / "1.parquet")) == [content["record"] for content in contents]


# --- rows of each format --------------------------------------------------------------------------------------------------------


def test_trl_ends_at_the_first_mistake() -> None:
    assert rows("trl", rated(WRONG, [1, -1])) == [
        {"prompt": "What is 2 + 3?", "completions": ["Three more than two.", "That is six."], "labels": [True, False]}
    ]


def test_openrlhf_has_one_sign_for_each_mark() -> None:
    assert rows("openrlhf", rated(WRONG, [1, -1])) == [
        {"input": "What is 2 + 3? Step 1: Three more than two. ки\nStep 2: That is six. ки", "value": ["+", "-"]}
    ]


def test_math_shepherd_repeats_the_text_with_signs() -> None:
    assert rows("math_shepherd", rated(ADD, [1, 0])) == [
        {
            "input": "What is 2 + 3? Step 1: Three more than two. ки\nStep 2: That is five.\n\n# Answer\n\n5 ки",
            "label": "What is 2 + 3? Step 1: Three more than two. +\nStep 2: That is five.\n\n# Answer\n\n5 +",
            "task": "Sums",
        }
    ]


def test_rlhflow_answers_each_step() -> None:
    assert rows("rlhflow", rated(WRONG, [1, -1])) == [
        {
            "conversations": [
                {"role": "user", "content": "What is 2 + 3? Step 1: Three more than two."},
                {"role": "assistant", "content": "+"},
                {"role": "user", "content": "Step 2: That is six."},
                {"role": "assistant", "content": "-"},
            ]
        }
    ]


def test_processbench_has_the_whole_solution_and_the_index_of_its_mistake() -> None:
    assert rows("processbench", rated(WRONG, [1, -1], outcome="wrong"), rated(ADD, [1, 1])) == [
        {"id": "11", "generator": "my model", "problem": "What is 2 + 3?", "steps": list(WRONG), "final_answer_correct": False, "label": 1},
        {"id": "11", "generator": "my model", "problem": "What is 2 + 3?", "steps": list(ADD), "final_answer_correct": True, "label": -1},
    ]


def test_a_chat_has_a_token_and_a_label_for_each_step() -> None:
    (chat,) = rows("chat", rated(WRONG, [1, -1]))
    assert [message["role"] for message in chat["messages"]] == ["system", "user", "assistant"]
    assert [message["content"] for message in chat["messages"][1:]] == [
        "What is 2 + 3?",
        "Three more than two.<extra_0>That is six.<extra_0>",
    ]
    assert chat["labels"] == [1, 0]


def test_an_outcome_model_gets_each_solution_once() -> None:
    losses = Losses()
    one, other = rated(ADD, [1, 1], solution=1), rated(WRONG, [1, -1], solution=2, outcome="wrong")
    assert rows("orm", one, other, rated(ADD, [1, -1], solution=1), losses=losses) == [
        {"prompt": "What is 2 + 3?\n", "completion": "\n".join(ADD), "label": True},
        {"prompt": "What is 2 + 3?\n", "completion": "\n".join(WRONG), "label": False},
    ]
    assert losses.left_out == {"the file has this solution already": 1}


@pytest.mark.parametrize("outcome", ["unsure", "ungraded"])
@pytest.mark.parametrize("name", ["orm", "processbench"])
def test_a_solution_whose_answer_nobody_knows_is_left_out_of_formats_that_need_it(name: str, outcome: str) -> None:
    assert left_out(name, rated(ADD, [1, 1], outcome=outcome)) == {"nobody knows whether the final answer is right": 1}


@pytest.mark.parametrize("name", ["orm", "processbench"])
def test_the_outcome_of_a_solution_is_not_that_of_another_path(name: str) -> None:
    assert left_out(name, walked(step(("So 5.", 1)))) == {"the labeler chose the steps, and nobody graded the answer of this path": 1}


def test_a_pair_is_a_better_and_a_worse_text_after_the_same_steps() -> None:
    losses = Losses()
    one = rated(WRONG, [1, -1], others=[("That is five.", 1), ("Hm.", 0), ("It is five.", 1), ("Who knows?", None)])
    assert rows("preferences", one, losses=losses) == [
        {"prompt": "What is 2 + 3?\nThree more than two.\n", "chosen": better, "rejected": worse}
        for better, worse in [
            ("That is five.", "That is six."),
            ("Hm.", "That is six."),
            ("It is five.", "That is six."),
            ("That is five.", "Hm."),
            ("It is five.", "Hm."),
        ]
    ]
    assert losses.pairs == {"both are rated alike": 1, "one of them has no rating": 4}


@pytest.mark.parametrize(("neutral", "pairs"), [("apart", 3), ("good", 2), ("bad", 2)])
def test_pairs_follow_what_neutral_counts_as(neutral: str, pairs: int) -> None:
    one = rated(WRONG, [1, -1], others=[("That is five.", 1), ("Hm.", 0)])
    assert len(rows("preferences", one, neutral=neutral)) == pairs


def test_pairs_of_a_path_follow_the_chosen_steps() -> None:
    one = walked(step(("Subtract.", -1), ("Add.", 1), chosen=1), step(("So 5.", 1), ("So 6.", -1)))
    assert rows("preferences", one) == [
        {"prompt": "What is 2 + 3?\n", "chosen": "Add.", "rejected": "Subtract."},
        {"prompt": "What is 2 + 3?\nAdd.\n", "chosen": "So 5.", "rejected": "So 6."},
    ]


def test_one_text_is_not_preferred_to_itself() -> None:
    losses = Losses()
    assert not rows("preferences", rated(WRONG, [1, -1], others=[("That is six.", 1)]), losses=losses)
    assert losses.pairs == {"both are the same text, with two ratings": 1}


def test_an_annotation_without_a_pair_is_counted() -> None:
    assert left_out("preferences", rated(ADD, [1, 1])) == {"no step has two texts of which one is rated higher": 1}


def test_the_table_of_labels_has_a_row_for_each_text() -> None:
    found = rows("labels", rated(WRONG, [1, -1], others=[("That is five.", 1), ("Hm.", None)]))
    assert [(label["step_index"], label["alternative"], label["text"], label["rating"]) for label in found] == [
        (0, 0, "Three more than two.", 1),
        (1, 0, "That is six.", -1),
        (1, 1, "That is five.", 1),
        (1, 2, "Hm.", None),
        (2, 0, "So 6.", None),
    ]
    assert {(label["labeler"], label["finish_reason"], label["seconds"], label["guidelines_version"]) for label in found} == {
        (PERSON, "found_error", 61.5, 4)
    }


def test_what_was_shown_at_a_step_without_a_choice_has_rows_too() -> None:
    given_up = walked(step(("Add.", 1)), step(("So 6.", -1), ("So 7.", None), chosen=None), finish="give_up")
    empty = walked(step(("Add.", 1)), step(chosen=None), finish="give_up")
    assert [(label["step_index"], label["alternative"], label["rating"]) for label in rows("labels", given_up, empty)] == [
        (0, 0, 1),
        (1, 0, -1),
        (1, 1, None),
        (0, 0, 1),
    ]


def test_a_consensus_is_one_row_for_each_solution() -> None:
    losses = Losses()
    (found,) = rows("consensus", rated(ADD, [1, 1], **CONSENSUS), rated(ADD, [1, -1], **CONSENSUS), rated(ADD, [1, 1]), losses=losses)
    assert {key: found[key] for key in CONSENSUS} == CONSENSUS and found["steps"] == list(ADD)
    assert losses.left_out == {"the file has this solution already": 1, "there is no consensus": 1}


# --- verdicts: options, and what has none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("give_up", "the labeler gave up"),
        ("bad_problem", "the labeler called the problem bad"),
        ("skipped", "the labels end without a verdict (skipped)"),
    ],
)
def test_labels_without_a_verdict_are_left_out_and_counted(name: str, finish: str, reason: str) -> None:
    assert left_out(name, rated(ADD, [1], finish=finish)) == {reason: 1}


@pytest.mark.parametrize("name", BINARY)
def test_a_missing_rating_is_never_made_up(name: str) -> None:
    assert left_out(name, rated(WRONG, [1, None, 1]), rated(WRONG, [1], finish="solution")) == {"a step has no rating": 2}


@pytest.mark.parametrize("name", BINARY)
def test_an_error_that_no_rating_shows_is_left_out(name: str) -> None:
    reason = "the labels end at a mistake, but no step is rated as one"
    assert left_out(name, rated(ADD, [1, 1], finish="found_error")) == {reason: 1}


@pytest.mark.parametrize("name", [name for name in BINARY if name != "processbench"])
def test_a_step_that_the_labeler_wrote_counts_only_if_asked(name: str) -> None:
    one = walked(step(("Add.", 1)), step(("So 6.", -1), chosen=None, human="So five."), step(("# Answer\n\n5", 1)))
    assert left_out(name, one) == {"the labeler wrote a step, and nobody rated it": 1}
    losses = Losses()
    assert len(rows(name, one, losses=losses, written="good")) == 1
    assert losses.changed["a step that the labeler wrote counts as good"] == 1


@pytest.mark.parametrize(("neutral", "labels"), [("good", [True, True, True]), ("bad", [True, False])])
def test_a_neutral_step_counts_as_the_option_says(neutral: str, labels: list[bool]) -> None:
    (found,) = rows("trl", rated(WRONG, [1, 0, 1]), neutral=neutral)
    assert (found["labels"], len(found["completions"])) == (labels, len(labels))
    assert f"(neutral = {neutral})" in WRITERS["trl"].describe({"neutral": neutral})


def test_neutral_steps_are_counted() -> None:
    good, bad = Losses(), Losses()
    rows("trl", rated(WRONG, [1, 0, 1]), losses=good)
    rows("trl", rated(WRONG, [1, 0, 1]), losses=bad, neutral="bad")
    assert good.sentences() == ["1 annotation: neutral steps count as good."]
    assert bad.sentences() == ["1 annotation: the first neutral step counts as the first mistake."]


@pytest.mark.parametrize("name", BINARY)
def test_a_neutral_last_step_that_counts_as_good_is_not_called_a_mistake(name: str) -> None:
    losses = Losses()
    rows(name, rated(WRONG[:2], [1, 0], finish="solution"), losses=losses)
    assert losses.changed["neutral steps count as good"] == 1
    assert not [words for words in losses.changed if "mistake" in words]


@pytest.mark.parametrize("name", list(WRITERS))
def test_an_unknown_option_or_value_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(BadOption, match=f"The format {name} has no option 'neutrall'"):
        WRITERS[name].rows([], {"neutrall": "good"})
    for option in WRITERS[name].options:
        with pytest.raises(BadOption, match=f"The option {option.name} of the format {name} cannot be 'maybe'. Choose one of"):
            WRITERS[name].choose({option.name: "maybe"})


@pytest.mark.parametrize("name", BINARY)
def test_a_format_with_two_values_cannot_keep_neutral_apart(name: str) -> None:
    with pytest.raises(BadOption, match="Choose one of good, bad"):
        WRITERS[name].choose({"neutral": "apart"})


@pytest.mark.parametrize("name", list(WRITERS))
def test_every_annotation_is_in_the_file_or_counted_once(name: str) -> None:
    about: dict[str, Any] = {"outcome": "wrong"}
    labeled = [
        rated(ADD, [1, 1], solution=1, **CONSENSUS, **about),
        rated(WRONG, [1, -1], solution=2, others=[("That is five.", 1)], **about),
        rated(WRONG, [1], solution=3, finish="give_up", **about),
        rated(WRONG, [1, 0, 1], solution=4, finish="bad_problem", outcome="ungraded"),
        rated([f"A {MARK} <extra_0> Step 1: B"], [1], solution=5, **about),
        walked(step(("Add.", 1)), step(("So 6.", -1), chosen=None, human="So five."), solution=6),
        walked(step(chosen=None), finish="give_up", solution=7),
    ]
    for options in ({}, *({option.name: value} for option in WRITERS[name].options for value in option.meanings)):
        losses, in_file = Losses(), 0
        for one in labeled:
            own = Losses()
            found = list(WRITERS[name].rows([one], options, own))
            assert bool(found) != bool(own.left_out.total()), (one.solution, own.left_out)
            in_file += bool(found)
        list(WRITERS[name].rows(labeled, options, losses))
        assert losses.left_out.total() + in_file == len(labeled)


def test_the_consensus_replaces_the_ratings_of_people() -> None:
    losses = Losses()
    wrong = rated(WRONG, [1, 1, 1], solution=1, **(CONSENSUS | {"p_first": [0.1, 0.7, 0.0], "p_neutral": [0.6, 0.1, 0.1]}))
    right = rated(ADD, [-1], solution=2, **(CONSENSUS | {"first_mistake": -1}))
    found = list(by_consensus([wrong, wrong, right, rated(ADD, [1, 1]), walked(step(("Add.", 1)))], losses))
    assert [(one.ratings, one.finish_reason) for one in found] == [((0, -1, None), "found_error"), ((0, 1), "solution")]
    assert losses.left_out.total() == 3


@pytest.mark.parametrize("name", ["prm800k", "labels"])
def test_a_consensus_is_not_written_as_the_record_of_a_person(name: str) -> None:
    (consensus,) = by_consensus([rated(ADD, [1, -1], **(CONSENSUS | {"first_mistake": -1}))])
    assert (consensus.labeler, consensus.line) == ("", b"")
    assert left_out(name, consensus) == {"a consensus is not the record of one person": 1}
    assert rows("trl", consensus)[0]["labels"] == [True, True]


# --- texts that a format could misread --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["math_shepherd", "openrlhf"])
@pytest.mark.parametrize("place", ["problem", "step"])
def test_a_text_that_holds_the_mark_is_left_out(name: str, place: str) -> None:
    text = "Эти книжки"  # an ordinary Russian word ends in the mark
    one = rated([text], [1]) if place == "step" else rated(ADD, [1, 1], problem=text)
    assert left_out(name, one) == {"the text holds the mark ки": 1}


def test_a_mark_after_the_first_mistake_does_no_harm() -> None:
    assert len(rows("math_shepherd", rated(["Wrong.", "книжки"], [-1]))) == 1


@pytest.mark.parametrize("token", ["<extra_0>", "<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_a_text_that_spells_a_special_token_is_left_out_of_chats(token: str) -> None:
    assert left_out("chat", rated([f"a{token}b"], [1]), rated(ADD, [1, 1], problem=token)) == {
        f"the text holds the special token {token}": 2
    }


@pytest.mark.parametrize("name", ["math_shepherd", "openrlhf", "rlhflow"])
def test_a_first_step_that_would_lose_its_beginning_is_left_out(name: str) -> None:
    assert left_out(name, rated(["First Step 1: add."], [1])) == {"`Step 1:` occurs inside of the first step": 1}


@pytest.mark.parametrize("name", ["math_shepherd", "openrlhf", "rlhflow"])
def test_a_blank_problem_is_left_out_where_it_cannot_be_parted(name: str) -> None:
    assert left_out(name, rated(ADD, [1, 1], problem=" \n")) == {"the problem is empty": 1}


def test_white_space_around_texts_is_counted_where_it_goes() -> None:
    losses = Losses()
    rows("math_shepherd", rated(["Step 1: Add.\n"], [1]), losses=losses)
    assert losses.changed == {"the white space around its texts is not in the file": 1}


# --- what is written loads again --------------------------------------------------------------------------------------------------

ODD = [
    rated(ADD, [1, 1]),
    rated(WRONG, [1, -1]),
    rated(["", " ", "So 5."], [1, 0, 1]),
    rated(["Add.\n", "\nSo 5.\n\n"], [1, 1], problem=" What?\n"),
    rated(["Step 1: Add.", "Step 2: So 5."], [1, 1]),
    rated(["Add, “é” \\frac{1}{2} \u2028 𝛼.", "So\r\n5.\t"], [1, -1], problem="Step 1: what is this?"),
    rated(["+", "-", "ки"], [-1]),
    rated(["<extra_0>"], [1]),
    walked(step(("Subtract.", -1), ("Add.", 1), chosen=1), step(("So 5.", 1))),
    walked(step(("Add.", 1)), step(("So 6.", -1), chosen=None), finish="found_error"),
]


def loads_again(folder: Path, name: str, labeled: list[Labeled], options: Mapping[str, str], *, container: str, compression: str) -> int:
    """Write annotations, read the file, and compare every field that the format carries; return how many there are."""
    writer, losses = WRITERS[name], Losses()
    path = folder / f"{name}-{'-'.join(options.values())}{suffix_of(container, compression)}"
    (written,) = write(writer.rows(labeled, options, losses), path, schema=writer.schema, container=container, compression=compression)
    assert written.n_records + losses.left_out.total() == len(labeled)
    if not written.n_records:
        return 0
    assert detect_format(path).name == name
    found = read_again(path, name)
    in_file = [one for one in labeled if list(writer.rows([one], options))]
    for one, solution, ratings in zip(in_file, found, ratings_of(found), strict=True):
        compare(name, one, solution, ratings, options)
    return written.n_records


def compare(name: str, one: Labeled, solution: NewSolution, ratings: list[int | None], options: Mapping[str, str]) -> None:
    lowest = 1 if options.get("neutral") == "bad" else 0
    mistake = next((index for index, rating in enumerate(one.ratings) if rating is not None and rating < lowest), None)
    steps = one.steps if mistake is None or name == "processbench" else one.steps[: mistake + 1]
    if name in ("math_shepherd", "openrlhf", "rlhflow"):
        assert solution.problem.statement == one.problem.strip()
        has_numbers = one.steps[0].strip().startswith("Step 1:")
        steps = tuple(text.strip() if has_numbers else f"Step {number}: {text.strip()}".strip() for number, text in enumerate(steps, 1))
    else:
        assert solution.problem.statement == one.problem
    assert solution.steps == steps
    assert ratings == ([1] * len(one.steps) if mistake is None else [*[1] * mistake, -1])
    if name == "processbench":
        assert (solution.right, solution.source) == (one.outcome == "correct", one.source)


CONTAINED = [("jsonl", "none"), ("jsonl", "gzip"), ("jsonl", "zstd"), ("parquet", "zstd")]


@pytest.mark.parametrize(("container", "compression"), CONTAINED)
@pytest.mark.parametrize("neutral", ["good", "bad"])
@pytest.mark.parametrize("name", BINARY)
def test_odd_texts_load_again(tmp_path: Path, name: str, neutral: str, container: str, compression: str) -> None:
    n_written = loads_again(tmp_path, name, ODD, {"neutral": neutral}, container=container, compression=compression)
    assert n_written >= len(ODD) - 3


def test_outcomes_load_again_with_their_texts(tmp_path: Path) -> None:
    labeled = [rated(one.steps, one.ratings[:1], problem=one.problem, solution=number, outcome=("correct", "wrong")[number % 2])
               for number, one in enumerate(ODD)]  # fmt: skip
    write(WRITERS["orm"].rows(labeled), tmp_path / "out.jsonl")
    assert detect_format(tmp_path / "out.jsonl").name == "orm"
    assert [(solution.problem.statement, solution.text, solution.right) for solution in read_again(tmp_path / "out.jsonl", "orm")] == [
        (one.problem, "\n".join(one.steps), one.outcome == "correct") for one in labeled
    ]


# Pieces that a format could take for its own signs, and white space of every kind.
PIECES = st.sampled_from(
    ["Step 1:", "Step 2:", "Step 1 :", "ки", "<extra_0>", "<|im_end|>", "+", "-", "\n", "\r\n", "\u2028", "\x0b", "\x1c", "\x85", "\xa0",
     " ", "\t", "", '"', "\\", "{", "[", "# Answer", "é", "𝛼", "\u200b", "\ufeff"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6), max_size=5).map("".join)
RATED = st.lists(st.tuples(TEXTS, st.sampled_from([1, 1, 1, 0, -1])), min_size=1, max_size=4)


@pytest.mark.parametrize("name", BINARY)
@given(problem=TEXTS, steps=RATED, neutral=st.sampled_from(["good", "bad"]))
def test_any_text_that_is_written_loads_again(name: str, problem: str, steps: list[tuple[str, int]], neutral: str) -> None:
    ratings = [rating for _, rating in steps]
    cut = ratings[: ratings.index(-1) + 1] if -1 in ratings else ratings
    one = rated([text for text, _ in steps], cut, problem=problem)
    read = FORMATS[name].solutions
    assert read
    for written in WRITERS[name].rows([one], {"neutral": neutral}):
        line = json.dumps(written).encode() + b"\n"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "one.jsonl"
            path.write_bytes(line)
            ((_, fields),) = read_lines(path)
        assert fitting_formats(fields) == [name]
        (solution,) = read(fields)
        compare(name, one, solution, ratings_of([solution])[0], {"neutral": neutral})


@pytest.fixture(scope="module")
def paths(data: Path) -> list[Labeled]:
    return of_paths(data / "prm800k" / "phase2_labeled_paths_1818.jsonl")


@pytest.fixture(scope="module")
def phase_1(data: Path) -> list[Labeled]:
    return of_records(data / "prm800k" / "phase1_train_reconstructed.jsonl")


@pytest.mark.parametrize("neutral", ["good", "bad"])
@pytest.mark.parametrize("name", BINARY)
def test_every_published_labeled_path_loads_again(paths: list[Labeled], tmp_path: Path, name: str, neutral: str) -> None:
    assert len(paths) == 1_818
    assert loads_again(tmp_path, name, paths, {"neutral": neutral}, container="parquet", compression="zstd") > 1_700


@pytest.mark.parametrize("written", ["leave_out", "good"])
@pytest.mark.parametrize("name", [name for name in BINARY if name != "processbench"])
def test_every_published_record_of_phase_1_loads_again(phase_1: list[Labeled], tmp_path: Path, name: str, written: str) -> None:
    assert len(phase_1) == 942
    n_written = loads_again(tmp_path, name, phase_1, {"written": written}, container="jsonl", compression="gzip")
    assert n_written >= (800 if written == "good" else 250)


def loads_from_label_studio(folder: Path, labeled: list[Labeled], *, container: str, compression: str) -> None:
    """Write tasks for Label Studio, read them, and compare every field that they carry."""
    path, writer = folder / f"tasks{suffix_of(container, compression)}", WRITERS["labelstudio"]
    write(writer.rows(labeled), path, schema=writer.schema, container=container, compression=compression)
    assert detect_format(path).name == "labelstudio"
    for one, solution in zip(labeled, read_again(path, "labelstudio"), strict=True):
        annotation, problem = solution.annotation, solution.problem
        assert annotation
        assert (problem.statement, problem.answer, problem.external_id) == (one.problem, one.reference_answer, one.problem_id)
        assert (problem.subject, problem.level, problem.split) == (one.subject, one.level, one.split)
        assert (solution.steps, solution.source, annotation.finish_reason) == (one.steps, one.source, one.finish_reason)
        ratings: list[int | None] = [None] * len(one.steps)
        for label in annotation.labels:
            ratings[label.step_index] = label.rating
        assert tuple(ratings) == one.ratings
        assert (str(annotation.labeler), annotation.created_at and annotation.created_at.isoformat()) == (one.labeler, one.at)
        assert (annotation.generation, annotation.is_gold, annotation.total_ms) == (
            one.generation or 0,
            one.is_gold,
            one.seconds and round(1000 * one.seconds),
        )


@pytest.mark.parametrize(("container", "compression"), [("json", "none"), ("json", "zstd"), ("jsonl", "gzip"), ("parquet", "zstd")])
def test_tasks_for_label_studio_load_again(tmp_path: Path, container: str, compression: str) -> None:
    ended = [rated(ADD, [1], finish="give_up"), rated(ADD, [], finish="bad_problem"), rated(WRONG, [1, 0], finish="found_error")]
    loads_from_label_studio(tmp_path, [*ODD, *ended], container=container, compression=compression)


@pytest.mark.parametrize("name", ["original_6", "phase1_train_reconstructed", "phase2_labeled_paths_1818"])
def test_all_published_labels_load_again_from_tasks_for_label_studio(data: Path, tmp_path: Path, name: str) -> None:
    path = data / "prm800k" / f"{name}.jsonl"
    labeled = of_paths(path) if "paths" in name else of_records(path)
    loads_from_label_studio(tmp_path, [one for one in labeled if one.steps], container="json", compression="none")


@pytest.mark.parametrize(("container", "compression"), CONTAINED)
def test_original_records_load_again_as_the_same_annotations(data: Path, tmp_path: Path, container: str, compression: str) -> None:
    labeled = of_records(data / "prm800k" / "original_6.jsonl")
    path = tmp_path / f"records{suffix_of(container, compression)}"
    writer = WRITERS["prm800k"]
    write(writer.rows(labeled), path, schema=writer.schema, container=container, compression=compression)
    again, original = read_again(path, "prm800k"), read_again(data / "prm800k" / "original_6.jsonl", "prm800k")
    for solution, first in zip(again, original, strict=True):
        assert solution.annotation and first.annotation
        assert (solution.problem, solution.steps, solution.annotation.labels) == (first.problem, first.steps, first.annotation.labels)
        assert (solution.annotation.labeler, solution.annotation.created_at) == (first.annotation.labeler, first.annotation.created_at)
        assert (solution.annotation.finish_reason, solution.annotation.total_ms) == (
            first.annotation.finish_reason,
            first.annotation.total_ms,
        )


def test_original_records_come_back_byte_for_byte(data: Path, tmp_path: Path) -> None:
    original = data / "prm800k" / "original_6.jsonl"
    write(WRITERS["prm800k"].rows(of_records(original)), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes().splitlines() == original.read_bytes().splitlines()


@pytest.mark.parametrize("file", ["phase1_train_reconstructed.jsonl", "original_6.jsonl", "phase2_labeled_paths_1818.jsonl"])
def test_the_table_of_labels_holds_every_rating(data: Path, file: str, tmp_path: Path) -> None:
    path = data / "prm800k" / file
    labeled = of_paths(path) if "paths" in file else of_records(path)
    writer = WRITERS["labels"]
    write(writer.rows(labeled), tmp_path / "labels.parquet", schema=writer.schema, container="parquet", compression="zstd")
    found: dict[int, list[dict[str, Any]]] = {}
    for label in parquet.read_table(tmp_path / "labels.parquet").to_pylist():
        found.setdefault(label["annotation"], []).append(label)
    for one in labeled:
        own = [label for label in found[one.annotation] if label["alternative"] == 0]
        others = [label for label in found[one.annotation] if label["alternative"]]
        assert tuple(label["text"] for label in own) == one.steps and tuple(label["rating"] for label in own) == one.ratings
        assert tuple((label["step_index"], label["text"], label["rating"]) for label in others) == one.alternatives
        assert {(label["problem"], label["finish_reason"], label["generation"]) for label in found[one.annotation]} == {
            (one.problem, one.finish_reason, one.generation)
        }


@pytest.mark.parametrize("name", list(WRITERS))
def test_json_lines_and_parquet_hold_the_same(tmp_path: Path, name: str) -> None:
    labeled = [
        rated(WRONG, [1, -1], outcome="wrong", others=[("That is five.", 1), ("Hm.", None)], solution=number, **CONSENSUS)
        for number in range(3)
    ]
    writer = WRITERS[name]
    write(writer.rows(labeled), tmp_path / "out.jsonl")
    write(writer.rows(labeled), tmp_path / "out.parquet", schema=writer.schema, container="parquet", compression="gzip")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    for task in table if name == "labelstudio" else ():  # a struct has every key: null where the lines have none
        for result in task["annotations"][0]["result"]:
            result["value"] = {key: value for key, value in result["value"].items() if value is not None}
    assert lines and table == lines


@pytest.mark.parametrize("name", list(WRITERS))
def test_every_field_is_documented_with_its_format(name: str) -> None:
    writer = WRITERS[name]
    assert [field.name for field in writer.fields if not {"[", "."} & set(field.name)] == writer.schema.names
