"""Made-up records in the shape of PRM800K, as large a file as wanted: its phase 2 with the texts of 1,818 published paths.

As in the published file, nine records share a problem, a step before the mistake has one completion and the mistake has two to five, and
the solution goes on after it. A record has 4,650 bytes on average. The same number always gives the same record.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

BYTES = 456_135_365  # of phase2_train.jsonl
RECORDS = 98_000
PER_PROBLEM = 9
LABELERS = 60
ANSWERS = 3  # different wrong answers to a problem: those that convince are few
AFTER = 23  # most steps after the mistake


def write_records(path: Path, count: int, *, source: Path) -> int:
    """Write this many records as JSON lines; return the bytes. `source`: the published paths (phase2_labeled_paths_1818.jsonl)."""
    size = 0
    with path.open("wb") as file:
        for record in made_up_records(count, source=source):
            size += file.write(json.dumps(record).encode() + b"\n")
    return size


def made_up_records(count: int, *, source: Path) -> Iterator[dict[str, Any]]:
    """Yield records. Every one has a solution of its own."""
    with source.open("rb") as lines:
        paths = [path for path in map(orjson.loads, lines) if path["finish_reason"] in ("solution", "found_error")]
    for number in range(count):
        yield _record(number, paths)


def _record(number: int, paths: list[dict[str, Any]]) -> dict[str, Any]:
    drawn = random.Random(number)
    path, asked = paths[number % len(paths)], paths[number // PER_PROBLEM % len(paths)]
    texts, ratings = [step["text"] for step in path["steps"]], [step["rating"] for step in path["steps"]]
    texts[0] = f"{texts[0]} (Trial {number}.)"
    is_wrong = ratings[-1] == -1
    others = [step["text"] for step in paths[(number + 7) % len(paths)]["steps"]]
    answer = str(random.Random(f"{number // PER_PROBLEM} {number % ANSWERS}").randrange(1000))
    whole = [*texts, *(drawn.choice(others) for _ in range(drawn.randint(1, AFTER)))] if is_wrong else texts
    whole = [*whole[:-1], f"{whole[-1].partition(_ANSWER)[0]}{_ANSWER}{answer}"]
    steps = [_step(whole[index], rating, drawn, others, is_last=index == len(ratings) - 1) for index, rating in enumerate(ratings)]
    question = f"{asked['problem']} ({number // PER_PROBLEM})"
    return {
        "labeler": str(UUID(int=random.Random(number % LABELERS).getrandbits(128), version=4)),
        "timestamp": f"2022-11-{1 + number % 28:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.{number:06}",
        "generation": 5 + number % 5,
        "is_quality_control_question": number % 40 == 0,
        "is_initial_screening_question": False,
        "question": {
            "problem": question,
            "ground_truth_solution": " ".join(step["text"] for step in asked["steps"])
            + f"\n\nSo it is $\\boxed{{{number // PER_PROBLEM}}}$.",
            "ground_truth_answer": str(asked["ground_truth_answer"]),
            "pre_generated_steps": whole,
            "pre_generated_answer": answer,
            "pre_generated_verifier_score": drawn.random() / 8,
        },
        "label": {
            "steps": steps,
            "total_time": drawn.randint(40_000, 2_600_000),
            "finish_reason": "found_error" if is_wrong else "solution",
        },
    }


_ANSWER = "\n\n# Answer\n\n"


def _step(text: str, rating: int, drawn: random.Random, others: list[str], *, is_last: bool) -> dict[str, Any]:
    completions: list[dict[str, Any]] = [{"text": text, "rating": rating, "flagged": None}]
    if rating == -1 and is_last:
        for _ in range(drawn.randint(1, 4)):
            completions.append(
                {"text": f"{drawn.choice(others)} [{drawn.randrange(10**6)}]", "rating": drawn.choice((-1, 0, 1)), "flagged": False}
            )
    return {"completions": completions, "human_completion": None, "chosen_completion": None if rating == -1 else 0}
