"""Figure: grading final answers against math-verify alone, one call at a time, on the same pairs in the same run.

Reads GSM8K's example solutions, MATH and 100 x 8 MATH solutions under $STEPMARK_DATA (default ../shared/data); prints what it finds and,
on its last line, one JSON object. `ratio` is over the real solutions of GSM8K and MATH; `ratio_new` over pairs of different MATH answers
that are all new and none an integer, where both graders must run and little can be saved.
"""

import json
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from annotation.answers import GRADER_VERSION, Grade, answer_classes, extract_answer, grade_answers, normalise  # noqa: E402

DATA = Path(os.environ.get("STEPMARK_DATA") or ROOT.parent / "shared" / "data")
Pair = tuple[str | None, str | None]


def _lines(name: str) -> list[dict]:
    try:
        return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError as missing:
        sys.exit(f"{missing.filename} is absent: set STEPMARK_DATA to the folder that holds gsm8k/, math/ and best-of-n/.")


def verify_one_by_one(pairs: Sequence[Pair]) -> list[bool]:
    """Grade as math-verify's own guide says: parse the reference, parse the answer, verify; for every pair again."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    return [
        math_verify.verify(math_verify.parse(f"${reference}$"), math_verify.parse(f"${answer}$")) if answer and reference else False
        for answer, reference in pairs
    ]


def _timed(grade: Callable[[Sequence[Pair]], list], pairs: Sequence[Pair]) -> tuple[float, list]:
    started = time.perf_counter()
    grades = grade(pairs)
    return time.perf_counter() - started, grades


def main() -> None:
    problems = _lines("gsm8k/example_model_solutions.jsonl")
    gsm8k = [
        (extract_answer(part["solution"]), extract_answer(problem["ground_truth"]), part["is_correct"])
        for problem in problems
        for part in problem.values()
        if isinstance(part, dict)
    ]
    rows = _lines("best-of-n/math_cot_100.jsonl")
    best_of_n = [(answer, row["gt"], right) for row in rows for answer, right in zip(row["pred"], row["score"], strict=True)]
    solutions = gsm8k + best_of_n
    pairs: list[Pair] = [(answer, reference) for answer, reference, _ in solutions]
    seconds, grades = _timed(grade_answers, pairs)
    peer_seconds, peer = _timed(verify_one_by_one, pairs)

    told = [is_correct for _, _, is_correct in solutions]
    for name, part in (("GSM8K", slice(0, len(gsm8k))), ("MATH best of 8", slice(len(gsm8k), None))):
        outcomes = Counter((grade.outcome, "right" if right else "wrong") for grade, right in zip(grades[part], told[part], strict=True))
        print(f"{name}: our outcome, the file's: {dict(outcomes)}")
    disagreements = [
        (answer, reference, right, grade)
        for (answer, reference, right), grade in zip(solutions, grades, strict=True)
        if grade.outcome != ("correct" if right else "wrong")
    ]
    for (answer, reference, right, grade), times in Counter(disagreements).items():
        print(f"  {times} x {answer!r} against {reference!r}: {grade.outcome} ({grade.reason}); the file: {'right' if right else 'wrong'}")

    math500 = [(extract_answer(problem["solution"]), problem["answer"]) for problem in _lines("math/math500.jsonl")]
    self_seconds, selves = _timed(grade_answers, math500)
    new = _new_pairs([problem["answer"] for problem in json.loads((DATA / "math/train7474_answers.json").read_text(encoding="utf-8"))])[::3]
    new_seconds, _ = _timed(grade_answers, new)
    new_peer_seconds, _ = _timed(verify_one_by_one, new)
    voting_seconds, _ = _timed(lambda votes: answer_classes([vote for vote, _ in votes]), [(row["pred"][0], None) for row in rows])
    agree = _share(grades[: len(gsm8k)], told[: len(gsm8k)])
    figures = {
        "ratio": round(peer_seconds / seconds, 1),
        "pairs": len(pairs),
        "seconds": round(seconds, 2),
        "peer_seconds": round(peer_seconds, 2),
        "gsm8k_agreement": round(agree, 5),
        "peer_gsm8k_agreement": round(sum(a == b for a, b in zip(peer[: len(gsm8k)], told, strict=False)) / len(gsm8k), 5),
        "math500_correct": sum(grade.outcome == "correct" for grade in selves),
        "math500_seconds": round(self_seconds, 3),
        "ratio_new": round(new_peer_seconds / new_seconds, 2),
        "new_pairs_per_second": round(len(new) / new_seconds, 1),
        "voting_100_distinct_seconds": round(voting_seconds, 2),
        "grader": GRADER_VERSION,
    }
    print(json.dumps(figures))


def _share(grades: Sequence[Grade], told: Sequence[bool]) -> float:
    """Share of solutions graded as the file says; unsure and ungraded never agree."""
    return sum(grade.outcome == ("correct" if right else "wrong") for grade, right in zip(grades, told, strict=True)) / len(told)


def _new_pairs(references: Sequence[str | None]) -> list[Pair]:
    """Pair each distinct answer that is no plain number with the next in length: near misses, the costliest honest input."""
    rng = random.Random(0)
    distinct = sorted({normalise(reference) for reference in references if reference and not reference.lstrip("-").isdigit()})
    forms = sorted(distinct, key=lambda form: (len(form), rng.random()))
    return list(zip(forms, forms[1:], strict=False))


if __name__ == "__main__":
    main()
