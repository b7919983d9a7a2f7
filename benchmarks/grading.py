"""Figure: grading final answers against math-verify alone, called once per pair, on the same pairs in the same run.

Reads GSM8K's example solutions, MATH and 100 x 8 MATH solutions from $STEPMARK_DATA (default ../shared/data). Its last line is one JSON
object. `ratio` covers the real solutions of GSM8K and MATH. `ratio_new` covers pairs of different MATH answers, all new and none an
integer: both graders must do the work there, and little can be saved. `--near-misses` counts the outcomes of all such pairs instead.
`--smoke`: a few lines of each file.
"""

import argparse
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.temporary_site import DATA
from trainer.answers import GRADER_VERSION, Grade, answer_classes, extract_answer, grade_answers, normalise

Pair = tuple[str | None, str | None]


def _lines(name: str, count: int | None) -> list[dict]:
    try:
        return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()[:count]]
    except FileNotFoundError as missing:
        sys.exit(f"{missing.filename} is missing. Set STEPMARK_DATA to the folder that holds gsm8k/, math/ and best-of-n/.")


def verify_one_by_one(pairs: Sequence[Pair]) -> list[bool]:
    """Grade as math-verify's own guide says: for every pair, parse the reference, parse the answer, verify."""
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
    parser = argparse.ArgumentParser(prog="script/bench grading", description="Measure the grading of answers against math-verify alone.")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    parser.add_argument(
        "--near-misses", action="store_true", help="grade all pairs of different MATH answers instead, and count the outcomes"
    )
    options = parser.parse_args()
    count = 5 if options.smoke else None  # lines of each file
    if options.near_misses:
        print(json.dumps(near_misses(count)))
        return
    problems = _lines("gsm8k/example_model_solutions.jsonl", count)
    gsm8k = [
        (extract_answer(part["solution"]), extract_answer(problem["ground_truth"]), part["is_correct"])
        for problem in problems
        for part in problem.values()
        if isinstance(part, dict)
    ]
    rows = _lines("best-of-n/math_cot_100.jsonl", count)
    best_of_n = [(answer, row["gt"], right) for row in rows for answer, right in zip(row["pred"], row["score"], strict=True)]
    solutions = gsm8k + best_of_n
    pairs: list[Pair] = [(answer, reference) for answer, reference, _ in solutions]
    seconds, grades = _timed(grade_answers, pairs)
    peer_seconds, peer = _timed(verify_one_by_one, pairs)

    expected = [is_correct for _, _, is_correct in solutions]
    for name, part in (("GSM8K", slice(0, len(gsm8k))), ("MATH best of 8", slice(len(gsm8k), None))):
        outcomes = Counter(
            (grade.outcome, "right" if right else "wrong") for grade, right in zip(grades[part], expected[part], strict=True)
        )
        print(f"{name}: our outcome, the file's: {dict(outcomes)}")
    disagreements = [
        (answer, reference, right, grade)
        for (answer, reference, right), grade in zip(solutions, grades, strict=True)
        if grade.outcome != ("correct" if right else "wrong")
    ]
    for (answer, reference, right, grade), times in Counter(disagreements).items():
        print(f"  {times} x {answer!r} against {reference!r}: {grade.outcome} ({grade.reason}); the file: {'right' if right else 'wrong'}")

    math500 = [(extract_answer(problem["solution"]), problem["answer"]) for problem in _lines("math/math500.jsonl", count)]
    self_seconds, selves = _timed(grade_answers, math500)
    new = _new_pairs(_math_answers())[::3][:count]
    new_seconds, _ = _timed(grade_answers, new)
    new_peer_seconds, _ = _timed(verify_one_by_one, new)
    voting_seconds, _ = _timed(lambda votes: answer_classes([vote for vote, _ in votes]), [(row["pred"][0], None) for row in rows])
    agree = _share(grades[: len(gsm8k)], expected[: len(gsm8k)])
    figures = {
        "ratio": round(peer_seconds / seconds, 1),
        "pairs": len(pairs),
        "seconds": round(seconds, 2),
        "peer_seconds": round(peer_seconds, 2),
        "gsm8k_agreement": round(agree, 5),
        "peer_gsm8k_agreement": round(sum(a == b for a, b in zip(peer[: len(gsm8k)], expected, strict=False)) / len(gsm8k), 5),
        "math500_correct": sum(grade.outcome == "correct" for grade in selves),
        "math500_seconds": round(self_seconds, 3),
        "ratio_new": round(new_peer_seconds / new_seconds, 2),
        "new_pairs_per_second": round(len(new) / new_seconds, 1),
        "voting_100_distinct_seconds": round(voting_seconds, 2),
        "grader": GRADER_VERSION,
    }
    print(json.dumps(figures))


def near_misses(count: int | None) -> dict[str, object]:
    """Grade pairs of different MATH answers, print those graded as equal, and return how many there are of each outcome."""
    pairs = _new_pairs(_math_answers())[:count]
    seconds, grades = _timed(grade_answers, pairs)
    for (answer, reference), grade in zip(pairs, grades, strict=True):
        if grade.outcome == "correct":
            print(f"  {answer!r} equals {reference!r}")
    outcomes = Counter(str(grade.outcome) for grade in grades)
    return {"pairs": len(pairs), "outcomes": dict(outcomes), "seconds": round(seconds, 2), "grader": GRADER_VERSION}


def _math_answers() -> list[str | None]:
    return [problem["answer"] for problem in json.loads((DATA / "math/train7474_answers.json").read_text(encoding="utf-8"))]


def _share(grades: Sequence[Grade], expected: Sequence[bool]) -> float:
    """Share of solutions graded as the file says; unsure and ungraded count as disagreement."""
    return sum(grade.outcome == ("correct" if right else "wrong") for grade, right in zip(grades, expected, strict=True)) / len(expected)


def _new_pairs(references: Sequence[str | None]) -> list[Pair]:
    """Pair each distinct answer that is not a plain number with the next longer one: near misses, the costliest honest input."""
    rng = random.Random(0)
    distinct = sorted({normalise(reference) for reference in references if reference and not reference.lstrip("-").isdigit()})
    forms = sorted(distinct, key=lambda form: (len(form), rng.random()))
    return list(zip(forms, forms[1:], strict=False))


if __name__ == "__main__":
    main()
