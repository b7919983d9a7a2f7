"""Rows of a snapshot's content file, and the annotations that they hold, made by tests without a database."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trainer.formats import FORMATS, NewSolution, read_lines
from trainer.writers import Labeled, from_content

PERSON = "cc88bf76-df08-4041-be67-3464279cb3b1"
ABOUT = {
    "solution": 7, "problem": 3, "problem_id": "sum", "subject": "Sums", "level": "2", "split": "train", "source": "my model",
    "outcome": "correct", "final_answer": "5", "batch": 1, "batch_kind": "selected", "task_kind": "normal", "guidelines_version": 4,
    "active_ms": 61_500, "is_interactive": False, "labeler": PERSON, "reference_answer": "5", "p_first": None, "p_none": None,
    "p_neutral": None, "first_mistake": None, "n_readings": None, "entropy": None, "is_adjudicated": None,
}  # fmt: skip
CONSENSUS = {
    "p_first": [0.1, 0.7], "p_none": 0.2, "p_neutral": [0.6, 0.1], "first_mistake": 1, "n_readings": 3, "entropy": 1.157,
    "is_adjudicated": False,
}  # fmt: skip


def step(*shown: tuple[str, int | None], chosen: int | None = 0, human: str | None = None) -> dict[str, Any]:
    """One step of a record: the texts that were shown with their ratings, the place of the chosen one, and what the labeler wrote."""
    completions = [{"text": text, "rating": rating, "flagged": None if place == 0 else False} for place, (text, rating) in enumerate(shown)]
    written = None if human is None else {"text": human, "rating": None, "source": "human", "flagged": False}
    return {"completions": completions or None, "human_completion": written, "chosen_completion": chosen}


def record(problem: str, sitting: Sequence[dict[str, Any]], *, finish: str, steps: Sequence[str] | None) -> dict[str, Any]:
    """A PRM800K record; without `steps` one of phase 1."""
    question: dict[str, Any] = {"problem": problem}
    if steps is None:
        question["ground_truth_answer"] = "5"
    else:
        question |= {
            "ground_truth_solution": None, "ground_truth_answer": "5", "pre_generated_steps": list(steps), "pre_generated_answer": "5",
            "pre_generated_verifier_score": None,
        }  # fmt: skip
    return {
        "labeler": PERSON,
        "timestamp": "2022-11-22T16:51:29.980606",
        "generation": None if steps is None else 6,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": question,
        "label": {"steps": list(sitting), "total_time": 164_458, "finish_reason": finish},
    }


def row(record: dict[str, Any], **about: Any) -> dict[str, Any]:
    """A row of a content file."""
    return {"annotation": 11, **ABOUT, "record": json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()} | about


def rated(
    steps: Sequence[str],
    ratings: Sequence[int | None],
    *,
    problem: str = "What is 2 + 3?",
    finish: str | None = None,
    others: Sequence[tuple[str, int | None]] = (),
    **about: Any,
) -> Labeled:
    """A whole solution with its ratings; `others` are rated at the last rated step."""
    end = ratings[-1] if ratings else None
    finish = finish or ("found_error" if end == -1 else "solution")
    sitting = [step((text, rating), chosen=None if rating == -1 else 0) for text, rating in zip(steps, ratings, strict=False)]
    if others:
        sitting[-1] = step((steps[len(ratings) - 1], end), *others, chosen=sitting[-1]["chosen_completion"])
    return from_content(row(record(problem, sitting, finish=finish, steps=steps), **about))


def walked(*sitting: dict[str, Any], problem: str = "What is 2 + 3?", finish: str = "solution", **about: Any) -> Labeled:
    """A path that the labeler chose step by step."""
    return from_content(row(record(problem, sitting, finish=finish, steps=None), is_interactive=True, **about))


def of_records(path: Path) -> list[Labeled]:
    """The annotations of a file of PRM800K records. A reconstructed record gets the keys that it lost."""
    lost = {key: value for key, value in record("", [], finish="", steps=None).items() if key not in ("question", "label")}
    annotations = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        found = json.loads(line)
        whole = {**lost, **found, "label": {"total_time": None, **found["label"]}}
        is_own = set(lost) <= set(found)
        annotations.append(from_content(row(whole, annotation=number, solution=number) | ({"record": line} if is_own else {})))
    return annotations


def of_paths(path: Path) -> list[Labeled]:
    """The annotations of a file of labeled paths (the format `generic`), as the records that an export makes of them."""
    read = FORMATS["generic"].solutions
    assert read
    return [of_path(number, solution) for number, (_, fields) in enumerate(read_lines(path), 1) for solution in read(fields)]


def of_path(number: int, solution: NewSolution) -> Labeled:
    annotation = solution.annotation
    assert annotation
    sitting = [step((solution.steps[label.step_index], label.rating), chosen=0 if label.chosen else None) for label in annotation.labels]
    made = record(solution.problem.statement, sitting, finish=annotation.finish_reason, steps=solution.steps)
    outcome = "correct" if number % 2 else "wrong"
    return from_content(row(made, annotation=number, solution=number, outcome=outcome))


def read_again(path: Path, name: str) -> list[NewSolution]:
    """What the reader of a format makes of a file."""
    read = FORMATS[name].solutions
    assert read
    return [solution for _, fields in read_lines(path) for solution in read(fields)]


def ratings_of(solutions: Iterable[NewSolution]) -> list[list[int | None]]:
    return [[label.rating for label in solution.annotation.labels] if solution.annotation else [] for solution in solutions]
