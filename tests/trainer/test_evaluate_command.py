import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.sums import small, sums
from trainer.__main__ import main
from trainer.commands import evaluate as evaluating
from trainer.data import GradedSolution, LabeledSolution
from trainer.evaluate import AGGREGATES, Samples, best_of_n
from trainer.score import load_prm, score_solutions
from trainer.train import train


def line(one: LabeledSolution, **more: object) -> dict[str, Any]:
    s = one.solution
    return {"key": s.key, "problem_key": s.problem_key, "problem": s.problem, "steps": s.steps} | more


def labeled_lines(n_problems: int, *, seed: int = 0, **more: object) -> list[dict[str, Any]]:
    return [line(one, ratings=one.ratings, **more) for one in sums(n_problems, seed=seed)]


def sample_lines(n_problems: int, *, seed: int, copies: int = 4) -> list[dict[str, Any]]:
    """Samples of one problem: sums of several problems, put together. Without a wrong sum the answer is right: 99, else the last sum."""
    pool = sums(n_problems * copies // 2, seed=seed)
    answers = [one.solution.steps[-1].split()[-1] if -1 in one.ratings else "99" for one in pool]
    return [
        line(one, key=f"s{i}", problem_key=f"b{i // copies}", right=answer == "99", answer=answer)
        for i, (one, answer) in enumerate(zip(pool, answers, strict=True))
    ]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["evaluate", *map(str, words)]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["evaluate", *map(str, words)]) == 2
    said = capsys.readouterr().err
    assert said.strip().endswith("."), said
    return said


def test_samples_give_best_of_n_of_the_models_scores(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = sample_lines(12, seed=7)
    report = evaluate(capsys, "--model", model_folder, "--samples", write(tmp_path / "samples.jsonl", lines))
    scores = [one.score for one in score_solutions(load_prm(model_folder), [one.solution for one in sums(24, seed=7)])]
    answers = [one["answer"] for one in lines]
    problems = [
        Samples(
            f"b{b}",
            np.array([one["right"] for one in lines[4 * b : 4 * b + 4]]),
            np.array([answers.index(answer) for answer in answers[4 * b : 4 * b + 4]]),
            {"PRM": np.array(scores[4 * b : 4 * b + 4])},
        )
        for b in range(12)
    ]
    expected = best_of_n(problems)
    assert report["best_of_n"]["n"] == [1, 2, 3, 4]
    assert set(report["best_of_n"]["curves"]) == {"PRM", "majority", "PRM-weighted voting", "oracle", "mean"}
    for name, curve in expected.curves.items():
        assert report["best_of_n"]["curves"][name]["mean"] == pytest.approx(curve.mean, abs=1e-6), name
    assert set(report["aggregates"]) == {"n", *AGGREGATES} and report["aggregates"]["n"] == 4
    assert report["aggregates"]["product, neutral as positive"]["mean"] == pytest.approx(expected.curves["PRM"].mean[-1])
    assert sum(row["n_problems"] for row in report["by_difficulty"].values()) == 12


def test_an_outcome_reward_model_stands_beside_and_both_leave_out_what_either_was_trained_on(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graded = [GradedSolution(one.solution, -1 not in one.ratings) for one in sums(30, seed=3)]
    orm = train(graded, config=small(kind="orm", epochs=1, language_model_epochs=0), folder=tmp_path / "orm").folder
    seen = [line(one, right=True, answer="1") for one in sums(30, seed=3)]
    held_out = set(json.loads((orm / "split.json").read_text())["held_out"])
    samples = write(tmp_path / "samples.jsonl", sample_lines(6, seed=7) + seen)
    report = evaluate(capsys, "--model", model_folder, "--samples", samples, "--orm", orm)
    assert "ORM" in report["best_of_n"]["curves"]
    assert report["samples_left_out_as_trained_on"] == 60 - 2 * len(held_out)
    assert report["best_of_n"]["n_problems"] == 6 + len(held_out)
    assert "kind orm, but --model needs" in refused(capsys, "--model", orm, "--samples", samples)
    assert "kind prm, but --orm needs" in refused(capsys, "--model", model_folder, "--samples", samples, "--orm", model_folder)


def test_the_largest_n_leaves_out_problems_with_fewer_samples(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = write(tmp_path / "samples.jsonl", sample_lines(5, seed=7)[:-2])
    few = evaluate(capsys, "--model", model_folder, "--samples", samples)
    many = evaluate(capsys, "--model", model_folder, "--samples", samples, "--best-of", 4)
    assert (few["best_of_n"]["n"][-1], few["best_of_n"]["n_problems"], few["problems_left_out_with_too_few_samples"]) == (2, 5, 0)
    assert (many["best_of_n"]["n"][-1], many["best_of_n"]["n_problems"], many["problems_left_out_with_too_few_samples"]) == (4, 4, 1)


@pytest.mark.parametrize(
    ("lines", "words", "cause"),
    [
        ((5, 0), ("--best-of", 64), "needs 64 samples of a problem, but no problem has more than 4. Use --best-of 4, or give more"),
        (
            (5, 3),
            ("--best-of", 5),
            "no problem has more than 4, without the 6 samples of problems on which a model was trained. Use --best-of 4",
        ),
        ((0, 0), ("--best-of", 64), "holds no sample. Give one JSON mapping per line"),
        ((0, 3), (), "it has 6 samples, and a model was trained on the problems of all. Give solutions of other problems."),
    ],
)
def test_samples_that_cannot_be_judged_are_refused_with_the_true_cause_before_they_are_scored(
    lines: tuple[int, int],
    words: tuple[object, ...],
    cause: str,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = json.loads((model_folder / "split.json").read_text())["training"]
    seen = [line(one, right=True, answer="1") for one in sums(200) if one.solution.problem_key in training[: lines[1]]]
    own = [dict(one, key=f"b{one['key']}") for one in sample_lines(lines[0], seed=7)] if lines[0] else []
    monkeypatch.setattr(evaluating, "score", None)
    assert cause in refused(capsys, "--model", model_folder, "--samples", write(tmp_path / "samples.jsonl", own + seen), *words)


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ([], "holds no solution. Give one JSON mapping per line, with problem, steps and ratings."),
        ([line(one) for one in sums(2)], "it has 4 solutions, and none has a rating. Give the key ratings in each line"),
        ([line(one, labels=[1]) for one in sums(2)], "line 1: the line has 'labels', but no 'ratings'. Rename 'labels' to 'ratings'"),
        ([line(one, ratings=[None]) for one in sums(2)], "it has 4 solutions, and none has a rating"),
    ],
)
def test_a_file_without_ratings_is_refused_with_the_true_cause_by_training_too(
    lines: list[dict[str, Any]], cause: str, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "labeled.jsonl", lines)
    assert cause in refused(capsys, "--model", model_folder, "--labeled", file)
    assert main(["train", "--labeled", str(file), "--out", str(tmp_path / "model")]) == 2
    assert cause in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "caution"),
    [
        (lambda place: {"right": True}, "Every sample is right, so every way to choose is as good as the next"),
        (lambda place: {"right": False}, "Every sample is wrong, so"),
        (lambda place: {"right": place < 4}, "No problem has both right and wrong samples, so"),
        (lambda place: {"problem_key": str(place)}, "Each problem has one sample, so there is nothing to choose from."),
        (
            lambda place: {"problem_key": "rare" if place == 0 else "often", "right": place % 2 == 0},
            "The curves end at N = 1, because 1 problem has no more samples",
        ),
        (lambda place: {"right": place % 2 == 0}, ""),
    ],
)
def test_curves_that_can_say_nothing_are_said_to_be_that(
    change: Any, caution: str, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [one | change(place) for place, one in enumerate(sample_lines(2, seed=7))]
    assert main(["evaluate", "--model", str(model_folder), "--samples", str(write(tmp_path / "samples.jsonl", lines))]) == 0
    said = capsys.readouterr().err
    assert caution in said if caution else not said


def test_labels_of_one_class_are_said_to_show_nothing(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line(one, ratings=[1, 1]) for one in sums(3, seed=5)]
    assert main(["evaluate", "--model", str(model_folder), "--labeled", str(write(tmp_path / "labeled.jsonl", lines))]) == 0
    assert "None of the held-out steps is negative, so nothing shows whether the model tells them apart." in capsys.readouterr().err


def test_a_threshold_is_not_judged_on_the_problems_it_was_chosen_on(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, other = write(tmp_path / "own.jsonl", labeled_lines(200)), write(tmp_path / "other.jsonl", labeled_lines(20, seed=5))
    settings = json.loads((model_folder / "stepmark.json").read_text())
    held_out = evaluate(capsys, "--model", model_folder, "--labeled", own)
    assert held_out["first_mistake"] == settings["metrics"]["first_mistake"] and "two halves" in held_out["threshold_split"]
    fresh = evaluate(capsys, "--model", model_folder, "--labeled", other)
    assert fresh["threshold"] == settings["threshold"] and "held-out" in fresh["threshold_split"]


def test_a_table_by_subject_reports_each_subject_and_what_has_none(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = labeled_lines(10, seed=5, subject="sums") + labeled_lines(6, seed=6, subject="sums again") + labeled_lines(4, seed=8)
    report = evaluate(capsys, "--model", model_folder, "--labeled", write(tmp_path / "a.jsonl", lines), "--by-subject")
    assert {name: row["n_solutions"] for name, row in report["by_subject"].items()} == {"(none)": 8, "sums": 20, "sums again": 12}
    only = evaluate(capsys, "--model", model_folder, "--labeled", write(tmp_path / "b.jsonl", labeled_lines(6, seed=6)))
    again = report["by_subject"]["sums again"]
    assert (again["log_loss"], again["step_auc"]) == pytest.approx((only["log_loss"], only["step_auc"]), abs=1e-6)


def test_samples_and_labeled_solutions_share_one_table_by_source(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labeled = write(tmp_path / "a.jsonl", labeled_lines(5, seed=5, source="people"))
    samples = write(tmp_path / "b.jsonl", [one | {"source": "generator"} for one in sample_lines(5, seed=7)])
    report = evaluate(capsys, "--model", model_folder, "--labeled", labeled, "--samples", samples, "--by-source")
    assert set(report["by_source"]) == {"people", "generator"}
    assert "best_of_n" not in report["by_source"]["people"] and report["by_source"]["generator"]["n"] == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"right": "yes"}, "line 2: right is 'yes'. right must be true or false"),
        ({"right": None}, "line 2: right must be true or false"),
        ({"answer": ["7"]}, "line 2: answer is ['7']. answer must be the text"),
        ({"answer": ...}, "line 2: answer must be the text"),
        ({"steps": []}, "line 2: steps is []. steps must be"),
        ({"subject": "other"}, "line 2: the problem 'b0' has the subject 'other' here and 'sums' before"),
    ],
)
def test_a_sample_that_cannot_be_used_is_named(
    change: dict[str, Any], named: str, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [one | {"subject": "sums"} for one in sample_lines(2, seed=7)]
    lines[1] = {name: value for name, value in (lines[1] | change).items() if value is not ...}
    said = refused(capsys, "--model", model_folder, "--samples", write(tmp_path / "bad.jsonl", lines), "--by-subject")
    assert named in said and "bad.jsonl" in said


def test_a_missing_answer_is_null_and_has_no_vote_and_blanks_make_no_other_answer(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [one | {"answer": None, "right": False} for one in sample_lines(2, seed=7)]
    lines[0] |= {"answer": " 7 ", "right": True}
    lines[1] |= {"answer": "8"}
    lines[3] |= {"answer": "7", "right": True}
    report = evaluate(capsys, "--model", model_folder, "--samples", write(tmp_path / "samples.jsonl", lines))
    assert report["best_of_n"]["curves"]["majority"]["mean"][-1] == 0.5


@pytest.mark.parametrize(("is_right", "expected"), [(True, 1.0), (False, 0.0)])
def test_equal_answers_vote_together_however_they_are_written(
    is_right: bool, expected: float, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = ("3", "0.5", "1/2", r"\frac12", "3")  # as texts, 3 has the most votes
    lines = [
        one | {"answer": answer, "right": (answer != "3") == is_right, "problem_key": "p", "key": f"s{place}"}
        for place, (one, answer) in enumerate(zip(sample_lines(3, seed=7), answers, strict=False))
    ]
    report = evaluate(capsys, "--model", model_folder, "--samples", write(tmp_path / "samples.jsonl", lines))
    assert report["best_of_n"]["curves"]["majority"]["mean"][-1] == expected


def test_a_broken_installation_of_the_grader_is_named(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        one | {"answer": answer, "right": False} for one, answer in zip(sample_lines(1, seed=7), ("x+1", "1+x", "y", "z"), strict=True)
    ]
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert "Install requirements.txt again" in refused(capsys, "--model", model_folder, "--samples", write(tmp_path / "s.jsonl", lines))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "nothing to judge"),
        (("--labeled", "a.jsonl", "--orm", "orm"), "--samples with --orm"),
        (("--samples", "a.jsonl", "--best-of", 0), "at least 1"),
        (("--labeled", "a.jsonl", "--by-source"), "No line has a source"),
    ],
)
def test_options_that_do_not_fit_together_are_named(
    words: tuple[object, ...],
    named: str,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", labeled_lines(5, seed=5))
    assert named in refused(capsys, "--model", model_folder, *words)
