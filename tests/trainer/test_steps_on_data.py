"""The steps of the public data: the table in docs/formats.md is measured, and no cut breaks a step."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from trainer.formats import FORMATS, Fields, NewSolution, read_lines
from trainer.steps import FEWEST, MOST, StepFigures, choose_rule, cut

ROOT = Path(__file__).resolve().parents[2]


def objects(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]


def read(path: Path, format: str) -> Iterable[NewSolution]:
    read_solutions: Callable[[Fields], list[NewSolution]] = FORMATS[format].solutions  # type: ignore[assignment]
    return (solution for _, fields in read_lines(path) for solution in read_solutions(fields))


TEXTS: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "best-of-n, `code`": ("best-of-n/math_cot_100.jsonl", lambda path: [text for one in objects(path) for text in one["code"]]),
    "best-of-n, `gt_cot`": ("best-of-n/math_cot_100.jsonl", lambda path: [one["gt_cot"] for one in objects(path)]),
    "MATH-500, `solution`": ("math/math500.jsonl", lambda path: [one["solution"] for one in objects(path)]),
    "GSM8K, model solutions": (
        "gsm8k/example_model_solutions.jsonl",
        lambda path: [one.text or "" for one in read(path, "gsm8k_solutions")],
    ),
    "GSM8K test, `answer`": ("gsm8k/test.jsonl", lambda path: [one["answer"] for one in objects(path)]),
}
GIVEN: dict[str, tuple[str, Callable[[Path], list[Iterable[str]]]]] = {
    "ProcessBench, GSM8K": ("processbench/gsm8k.json", lambda path: [one["steps"] for one in objects(path)]),
    "ProcessBench, MATH": ("processbench/math.json", lambda path: [one["steps"] for one in objects(path)]),
    "PRM800K phase 1": ("prm800k/phase1_train_reconstructed.jsonl", lambda path: [one.steps for one in read(path, "prm800k")]),
    "PRM800K phase 2": ("prm800k/phase2_labeled_paths_1818.jsonl", lambda path: [one.steps for one in read(path, "generic")]),
    "MR-GSM8K": ("gsm8k/mr_gsm8k_wrong_solutions.jsonl", lambda path: [one.steps for one in read(path, "mr_gsm8k")]),
    "BIG-Bench Mistake": ("arithmetic/bigbench_mistake.jsonl", lambda path: [one["steps"] for one in objects(path)]),
}


def row(name: str, rule: str, report: StepFigures) -> str:
    """Return the line of the table in docs/formats.md."""
    counts = f"{report.median:g} ({min(report.counts):,} to {max(report.counts):,})"
    broken = f"{report.broken - report.unpaired} | {report.unpaired}" if rule != "given" else f"- | {report.broken}"
    return f"| {name} | {rule} | {report.solutions:,} | {report.steps:,} | {counts} | {report.median_length:g} | {broken} |"


@pytest.mark.parametrize("name", TEXTS)
def test_no_cut_breaks_a_step_of_the_published_texts(data: Path, name: str) -> None:
    file, read_texts = TEXTS[name]
    texts = read_texts(data / file)
    rule, _ = choose_rule(texts)
    report = StepFigures()
    for text in texts:
        report.add(cut(text, by=rule), text=text)
    assert (report.broken - report.unpaired, report.share_broken < 0.002) == (0, True), str(report)
    assert row(name, rule, report) in (ROOT / "docs" / "formats.md").read_text()


@pytest.mark.parametrize("name", ["best-of-n, `code`", "MATH-500, `solution`"])
def test_a_usual_solution_has_four_to_fifteen_steps(data: Path, name: str) -> None:
    file, read_texts = TEXTS[name]
    texts = read_texts(data / file)
    rule, _ = choose_rule(texts)
    report = StepFigures()
    for text in texts:
        report.add(cut(text, by=rule))
    assert FEWEST <= report.median <= MOST


@pytest.mark.parametrize("name", GIVEN)
def test_fewer_than_one_given_step_in_a_hundred_is_broken(data: Path, name: str) -> None:
    file, read_steps = GIVEN[name]
    report = StepFigures()
    for steps in read_steps(data / file):
        report.add(list(steps))
    assert report.share_broken < 0.01
    assert row(name, "given", report) in (ROOT / "docs" / "formats.md").read_text()
