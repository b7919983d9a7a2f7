"""Labels of Label Studio and Potato: each form in which people rate steps there, and what is refused because nobody can know its meaning.

The files of tests/data/label_studio are exports of Label Studio 1.23.2, of projects that we made. Those of tests/data/potato have the shape
that Potato writes.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.formats import (
    FORMATS,
    BadFile,
    BadLine,
    NewSolution,
    cut_solution,
    detect_format,
    read_lines,
    read_mapping,
    unused_keys,
    with_items,
)

FOLDER = Path(__file__).resolve().parent.parent / "data"
STUDIO, POTATO = FOLDER / "label_studio", FOLDER / "potato"
SIX = ("Three more than two.", "That is six.", "So 6.\n\n# Answer\n\n6")


def read(path: Path, *mapping: str, items: Path | None = None) -> list[NewSolution]:
    """The solutions of a file, all of whose keys must be read or named."""
    named = read_mapping(mapping)
    format_ = FORMATS[detect_format(path).name].mapped(named if items is None else with_items(named, items))
    assert format_.solutions
    return [cut_solution(solution, by="lines") for _, fields in read_lines(path) for solution in format_.solutions(fields)]


def verdict(solution: NewSolution) -> tuple[list[int | None], str] | None:
    one = solution.annotation
    return None if one is None else ([label.rating for label in one.labels], one.finish_reason)


def task(folder: Path, results: list[dict[str, Any]], *, data: dict[str, Any] | None = None, **annotation: Any) -> Path:
    """A file of one task of Label Studio with one annotation."""
    shown = data or {"problem": "What is 2 + 3?", "steps": list(SIX)}
    path = folder / "export.json"
    path.write_text(json.dumps([{"id": 4, "data": shown, "annotations": [{"id": 9, "completed_by": 1, "result": results, **annotation}]}]))
    return path


def chosen(name: str, value: Any, kind: str = "choices", **more: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "t", "type": kind, "value": {kind: [value] if kind == "choices" else value, **more}}


# --- Label Studio ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["json", "min.json"])
def test_a_control_for_each_step_rates_it_and_each_person_is_an_annotation(end: str) -> None:
    solutions = sorted(
        read(STUDIO / f"choices_per_step.{end}"), key=lambda solution: solution.annotation.person if solution.annotation else ""
    )
    assert [verdict(solution) for solution in solutions] == [([1, -1], "found_error"), ([0, -1], "found_error")]
    assert {(solution.steps, solution.source, solution.problem.answer) for solution in solutions} == {(SIX, "my model", "5")}
    first, second = (solution.annotation for solution in solutions)
    assert first and second and (first.person, second.person) == ("label studio 1", "label studio 2")
    assert (first.total_ms, first.created_at and first.created_at.year, first.is_gold) == (8_250, 2026, False)
    assert "ratings after the first mistake" in solutions[0].left_out


def test_both_exports_of_an_annotation_are_the_same_annotation() -> None:
    whole, short = (
        {s.annotation.canonical for s in read(STUDIO / f"choices_per_step.{end}") if s.annotation} for end in ("json", "min.json")
    )
    assert whole == short and len(whole) == 2


def test_a_comment_is_named_and_not_read() -> None:
    assert [solution.left_out for solution in read(STUDIO / "choices_per_step.json")][1][0] == "answers of 'comment'"


@pytest.mark.parametrize("end", ["json", "min.json"])
def test_stars_are_ratings_only_by_a_mapping(end: str) -> None:
    with pytest.raises(BadLine, match="is 3 on a scale. Say what they mean, such as --map good=4,5"):
        read(STUDIO / f"stars_per_step.{end}")
    assert [verdict(solution) for solution in read(STUDIO / f"stars_per_step.{end}", "good=4,5", "neutral=3", "bad=1,2")] == [
        ([0, 1], "solution")
    ]


def test_labels_of_paragraphs_rate_steps_and_a_skipped_task_is_counted() -> None:
    (solution,) = read(STUDIO / "paragraph_labels.json")
    assert (solution.steps, verdict(solution), solution.left_out) == (SIX, ([0, -1], "found_error"), ("annotations that were skipped",))


def test_a_task_that_everybody_skipped_is_a_solution_without_labels(tmp_path: Path) -> None:
    (solution,) = read(task(tmp_path, [], was_cancelled=True))
    assert (solution.steps, solution.annotation, solution.left_out) == (SIX, None, ("annotations that were skipped",))


def test_a_choice_for_each_region_rates_its_paragraph() -> None:
    assert [verdict(solution) for solution in read(STUDIO / "choice_per_region.json")] == [([1, -1], "found_error")]


def test_json_min_with_a_choice_for_each_region_is_refused(tmp_path: Path) -> None:
    record = {"problem": "p", "steps": ["a", "b"], "rating": ["+1", "-1"], "annotator": 1, "annotation_id": 3, "lead_time": 2.5}
    (tmp_path / "min.json").write_text(json.dumps([record]))
    with pytest.raises(BadLine, match="JSON-MIN does not say of which steps they are. Export the project as JSON"):
        read(tmp_path / "min.json")


def test_the_number_of_the_first_mistake_needs_to_say_where_it_counts_from() -> None:
    with pytest.raises(BadLine, match="whether steps are numbered from 0 or from 1. Say it with --map counts_from=0"):
        read(STUDIO / "first_error.json")
    assert verdict(read(STUDIO / "first_error.json", "counts_from=1")[0]) == ([1, -1], "found_error")
    assert verdict(read(STUDIO / "first_error.json", "counts_from=0")[0]) == ([1, 1, -1], "found_error")


@pytest.mark.parametrize(
    ("value", "ratings"), [("Step 2", [1, -1]), ("none", [1, 1, 1]), ("No error", [1, 1, 1]), ("-1", [1, 1, 1]), ("step 1", [-1])]
)
def test_a_first_mistake_can_be_a_choice(tmp_path: Path, value: str, ratings: list[int]) -> None:
    finish = "found_error" if -1 in ratings else "solution"
    assert verdict(read(task(tmp_path, [chosen("first_mistake", value)]))[0]) == (ratings, finish)


@pytest.mark.parametrize(
    ("words", "ratings"),
    [
        (("good", "okay", "bad"), [1, 0, -1]),
        (("+1", "0", "-1"), [1, 0, -1]),
        ((" Correct", "NEUTRAL", "incorrect"), [1, 0, -1]),
        (("positive", "neutral", "negative"), [1, 0, -1]),
        (("yes", "yes", "no"), [1, 1, -1]),
        (("good", "good", "\u22121"), [1, 1, -1]),
    ],
)
def test_the_usual_words_for_ratings_are_known(tmp_path: Path, words: tuple[str, ...], ratings: list[int]) -> None:
    found = read(task(tmp_path, [chosen(f"step_{number}", word) for number, word in enumerate(words, 1)]))
    assert verdict(found[0]) == (ratings, "found_error")


def test_another_word_is_refused_with_the_known_ones_and_read_by_a_mapping(tmp_path: Path) -> None:
    path = task(tmp_path, [chosen("step_1", "Valid"), chosen("step_2", "Flawed")])
    with pytest.raises(BadLine, match=r"'step_2' of annotation 1 is 'Flawed'. Known values are 1, .*\(good\).* --map bad=flawed"):
        read(path)
    assert verdict(read(path, "bad=Flawed, broken")[0]) == ([1, -1], "found_error")


@pytest.mark.parametrize(("first", "counts_from", "ratings"), [(0, None, [1, 0]), (1, None, [1, 0]), (1, 0, [None, 1, 0])])
def test_numbers_in_names_count_from_0_or_1(tmp_path: Path, first: int, counts_from: int | None, ratings: list[int | None]) -> None:
    path = task(tmp_path, [chosen(f"rating-{first}", 1, "number"), chosen(f"rating-{first + 1}", 0, "number")])
    found = verdict(read(path, *([] if counts_from is None else [f"counts_from={counts_from}"]))[0])
    assert found and found[0] == ratings


def test_a_step_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLine, match="step 7 is rated, but the solution has 3 steps, numbered from 1"):
        read(task(tmp_path, [chosen("step_7", "good")]))


def test_two_ratings_of_a_step_are_refused_and_named_controls_part_them(tmp_path: Path) -> None:
    path = task(tmp_path, [chosen("step_1", "good"), chosen("clear_1", "bad")])
    with pytest.raises(BadLine, match="step 1 has two ratings, one of them in 'clear_1'.* Name .* --map ratings=NAME"):
        read(path)
    assert verdict(read(path, "ratings=step")[0]) == ([1], "give_up")


def test_two_values_for_one_step_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLine, match="has 2 values. Let people choose one value for a step"):
        read(task(tmp_path, [{"from_name": "step_1", "type": "choices", "value": {"choices": ["good", "bad"]}}]))


def test_steps_that_nobody_marked_are_good_only_if_the_mapping_says_so(tmp_path: Path) -> None:
    region = chosen("rating", ["Incorrect"], "paragraphlabels", start="1", end="1")
    path = task(tmp_path, [region])
    assert verdict(read(path)[0]) == ([None, -1], "found_error")
    assert verdict(read(path, "missing=good")[0]) == ([1, -1], "found_error")


def test_an_annotation_without_a_rating_is_counted(tmp_path: Path) -> None:
    (solution,) = read(task(tmp_path, [chosen("topic", "algebra")]))
    assert (solution.annotation, solution.left_out) == (None, ("answers of 'topic'", "annotations without a rating of a step"))


def test_predictions_and_drafts_are_no_labels(tmp_path: Path) -> None:
    (found,) = json.loads(task(tmp_path, [chosen("step_1", "bad")]).read_text())
    found |= {"predictions": [{"result": [chosen("step_1", "good")]}], "drafts": [{"result": []}]}
    (tmp_path / "two.json").write_text(json.dumps([found]))
    (solution,) = read(tmp_path / "two.json")
    assert verdict(solution) == ([-1], "found_error") and solution.left_out == ("predictions of models", "drafts")


def test_a_region_over_several_paragraphs_rates_each(tmp_path: Path) -> None:
    found = verdict(read(task(tmp_path, [chosen("rating", ["good"], "paragraphlabels", start="0", end="2")]))[0])
    assert found == ([1, 1, 1], "solution")


def test_a_field_that_nobody_reads_is_named(tmp_path: Path) -> None:
    path = task(tmp_path, [chosen("step_1", "good")], data={"problem": "p", "steps": ["a"], "difficulty": 3})
    ((_, fields),) = read_lines(path)
    assert FORMATS["labelstudio"].solutions and FORMATS["labelstudio"].solutions(fields) and unused_keys(fields) == {"data.difficulty"}


def test_fields_have_the_names_that_the_mapping_gives(tmp_path: Path) -> None:
    data = {"aufgabe": "What is 2 + 3?", "chain": ["a", "b"], "soll": 5, "generator": "m"}
    path = task(tmp_path, [chosen("step_1", "bad")], data=data)
    with pytest.raises(BadLine, match=r"the data of the task have no problem \(fields: 'aufgabe', .* --map problem=FIELD"):
        read(path)
    with pytest.raises(BadLine, match="have no steps .* --map steps=FIELD"):
        read(path, "problem=aufgabe")
    (solution,) = read(path, "problem=aufgabe", "steps=chain", "answer=soll")
    assert (solution.problem.statement, solution.problem.answer, solution.steps) == ("What is 2 + 3?", "5", ("a", "b"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("steps", "is not NAME=VALUE"),
        ("colour=red", "the mapping 'colour' is not known. The names are problem, steps"),
        ("counts_from=2", "the mapping counts_from is '2'. It must be 0 or 1"),
        ("missing=perhaps", "It must be good, neutral, bad, unrated"),
    ],
)
def test_a_mapping_that_does_not_exist_is_refused(line: str, words: str) -> None:
    with pytest.raises(BadLine, match=words):
        read_mapping([line])


def test_a_mapping_of_a_format_with_fixed_fields_is_refused() -> None:
    with pytest.raises(BadLine, match="the fields of this format have fixed names. A mapping is for labelstudio, "):
        FORMATS["trl"].mapped(read_mapping(["steps=chain"]))


def test_a_text_that_is_cut_into_fewer_steps_than_were_rated_is_refused(tmp_path: Path) -> None:
    path = task(tmp_path, [chosen("step_3", "bad")], data={"problem": "p", "solution": "one\ntwo"})
    with pytest.raises(BadLine, match="step 3 is rated, but the text has 2 steps when it is cut by lines. .* --steps-by"):
        read(path)


def test_a_text_whose_last_steps_nobody_rated_is_not_right(tmp_path: Path) -> None:
    path = task(tmp_path, [chosen("step_1", "good")], data={"problem": "p", "solution": "one\ntwo"})
    assert verdict(read(path)[0]) == ([1], "give_up")


# --- Potato ---------------------------------------------------------------------------------------------------------------------


def test_radio_buttons_of_potato_rate_steps() -> None:
    first, second = read(POTATO / "annotated_instances.jsonl")
    assert (verdict(first), verdict(second)) == (([1, -1], "found_error"), ([0, -1], "found_error"))
    assert first.annotation and first.annotation.person == "potato anna@example.org"
    assert first.left_out == ("answers of 'comment'",)


def test_process_rewards_of_potato_come_with_the_items_that_it_showed() -> None:
    with pytest.raises(BadLine, match="Give the file that Potato showed to people with --items FILE"):
        read(POTATO / "annotations.jsonl")
    with pytest.raises(BadLine, match="step 1 has the reward 0 .* Say which it is with --map neutral=0 or --map unrated=0"):
        read(POTATO / "annotations.jsonl", items=POTATO / "items.jsonl")
    first, second = read(POTATO / "annotations.jsonl", "neutral=0", items=POTATO / "items.jsonl")
    assert verdict(first) == ([1, -1], "found_error") and first.steps == ("Three more than two.", "That is six.", "So 6.")
    assert verdict(second) == ([0], "give_up") and second.left_out == ("ratings that a model proposed and nobody confirmed",)


def test_the_state_of_a_user_of_potato_holds_all_items_of_this_person() -> None:
    first, second = read(POTATO / "user_state.json", "counts_from=1", items=POTATO / "items.jsonl")
    assert (verdict(first), verdict(second)) == (([1, -1], "found_error"), ([1, 1], "solution"))


def test_a_scale_of_potato_is_a_rating_only_by_a_mapping(tmp_path: Path) -> None:
    line = {"id": "1", "problem": "p", "steps": ["a"], "label_annotations": {"step_1": {"scale_1": "1"}}}
    (tmp_path / "one.jsonl").write_text(json.dumps(line))
    with pytest.raises(BadLine, match="is '1' on a scale"):
        read(tmp_path / "one.jsonl")
    assert verdict(read(tmp_path / "one.jsonl", "bad=1,2")[0]) == ([-1], "found_error")


TABLES = {  # as Potato writes them: version 1 with pandas, version 2 with csv.DictWriter
    "v2.csv": "instance_id,user_id,step_1.good,step_1.bad,step_2.good,step_2.bad,comment.text_box,spans._spans\r\n"
    "sum-2,anna@example.org,true,,,true,Wrong sum.,[]\r\nsum-2,ben@example.org,,true,,,,\r\n",
    "v2.tsv": "instance_id\tuser_id\tstep_rewards.process_reward\r\n"
    'sum-2\tanna@example.org\t"{""steps"": [{""index"": 0, ""reward"": 1}, {""index"": 1, ""reward"": -1}]}"\r\n'
    'sum-2\tben@example.org\t"{""steps"": [{""index"": 0, ""reward"": -1}, {""index"": 1, ""reward"": null}]}"\r\n',
    "v1.tsv": "user\tinstance_id\tdisplayed_text\tstep_1:::good\tstep_1:::bad\tstep_2:::bad\tspan_annotation:::x\n"
    "anna@example.org\tsum-2\t<p>What is 4 + 4?</p>\tTrue\t\t1.0\t[]\nben@example.org\tsum-2\t\t\tTrue\t\t[]\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_potato_rate_steps_as_its_json_does(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name], newline="")
    assert detect_format(tmp_path / name).name == "potato_table"
    anna, ben = read(tmp_path / name, items=POTATO / "items.jsonl")
    assert (verdict(anna), verdict(ben)) == (([1, -1], "found_error"), ([-1], "found_error"))
    assert anna.annotation and anna.annotation.person == "potato anna@example.org"
    assert anna.left_out == (("answers of 'comment'",) if name == "v2.csv" else ())


def test_a_table_of_potato_without_texts_asks_for_the_items(tmp_path: Path) -> None:
    (tmp_path / "v2.csv").write_text(TABLES["v2.csv"])
    with pytest.raises(BadLine, match="Give the file that Potato showed to people with --items FILE"):
        read(tmp_path / "v2.csv")


def test_texts_that_stand_beside_the_labels_in_a_table_are_no_labels(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("instance_id,user_id,problem,step_1,step_2,step_1.good,step_2.bad\n1,anna,p,One.,Two.,true,true\n")
    (solution,) = read(tmp_path / "one.csv")
    assert solution.steps == ("One.", "Two.") and verdict(solution) == ([1, -1], "found_error") and not solution.left_out


@pytest.mark.parametrize("settled", ["bad", ""])
def test_of_several_answers_in_a_table_of_potato_the_one_that_it_settled_on_counts(tmp_path: Path, settled: str) -> None:
    (tmp_path / "one.csv").write_text(f"instance_id,user_id,step_1.good,step_1.bad,step_1\nsum-2,anna,good,bad,{settled}\n")
    if settled:
        assert verdict(read(tmp_path / "one.csv", items=POTATO / "items.jsonl")[0]) == ([-1], "found_error")
    else:
        with pytest.raises(BadLine, match="'step_1' has 2 values"):
            read(tmp_path / "one.csv", items=POTATO / "items.jsonl")


@pytest.mark.parametrize(
    ("items", "words"), [('{"problem": "p"}', "the item has no id"), ('{"id": 1}\n{"id": 1}', "line 2: the id '1' occurs twice")]
)
def test_items_without_an_id_of_their_own_are_refused(tmp_path: Path, items: str, words: str) -> None:
    (tmp_path / "items.jsonl").write_text(items)
    with pytest.raises(BadFile, match=words):
        with_items(read_mapping([]), tmp_path / "items.jsonl")


def test_labels_of_an_unknown_item_are_refused(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"id": "other"}')
    with pytest.raises(BadLine, match="the item 'sum-1' is not in the file of the items"):
        read(POTATO / "annotations.jsonl", items=tmp_path / "items.jsonl")


def test_places_of_a_region_in_a_text_are_no_paragraphs(tmp_path: Path) -> None:
    (solution,) = read(task(tmp_path, [chosen("rating", "bad", start=1, end=2, text="h")]))
    assert solution.annotation is None and "answers of 'rating'" in solution.left_out


def test_results_without_an_id_are_not_taken_for_one(tmp_path: Path) -> None:
    region = chosen("rating", ["good"], "paragraphlabels", start="0", end="0")
    assert verdict(read(task(tmp_path, [region, chosen("step_2", "bad")]))[0]) == ([1, -1], "found_error")
