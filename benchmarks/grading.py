"""Figure: false wrong, false correct and unsure outcomes of ours, of math-verify alone and of the string rule alone, and their speed.

Three sets: the table of pairs in benchmarks/answer_pairs.tsv; GSM8K's example solutions; 100 x 8 MATH solutions whose correctness
is recorded. Files are read and answers are found and graded by the functions that a load uses. They lie in $STEPMARK_DATA (default
../shared/data). The last line is one JSON object. `ratio` compares the speed with math-verify, called once per pair as its guide says, on
the real solutions; `ratio_new` on pairs of different MATH answers, where both readings must do their work and little can be saved.
`--near-misses` counts the outcomes of all such pairs instead. `--smoke`: a few lines of each file.
"""

import argparse
import csv
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from benchmarks.temporary_site import DATA, ROOT
from trainer.answers import GRADER_VERSION, Grader, answer_classes, normalise, stated_answer
from trainer.formats import FORMATS, choose_steps_by, cut_solution, read_lines

CHUNK = 1_000  # distinct pairs, as in a load
DAMAGED = {"4:30p..", "10{,}000"}  # references of the 800 that the file's own grader could not read, so that its record is false


class Case(NamedTuple):
    """A pair, and whether the two are the same as a person or a file says."""

    answer: str | None
    reference: str | None
    is_equal: bool
    kind: str = ""


Grading = Callable[[Sequence[Case]], list[str]]

# --- the three graders -----------------------------------------------------------------------------------------------------------


def grade_as_a_load(cases: Sequence[Case]) -> list[str]:
    """Grade each distinct pair once, in chunks, with one Grader."""
    pairs = list(dict.fromkeys((case.answer, case.reference) for case in cases))
    outcomes: dict[tuple[str | None, str | None], str] = {}
    with Grader() as grader:
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            outcomes |= {pair: grade.outcome for pair, grade in zip(chunk, grader.grade_answers(chunk), strict=True)}
    return [outcomes[case.answer, case.reference] for case in cases]


def grade_with_math_verify(cases: Sequence[Case]) -> list[str]:
    """Grade as math-verify's own guide says: for every pair, parse the reference, parse the answer, verify."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    outcomes = []
    for case in cases:
        read = [math_verify.parse(text if text and "$" in text else f"${text}$") for text in (case.reference, case.answer)]
        outcomes.append("ungraded" if case.answer is None else "correct" if math_verify.verify(*read) else "wrong")
    return outcomes


def grade_by_string(cases: Sequence[Case]) -> list[str]:
    """Call two answers the same if their normal forms are equal."""
    return [
        "ungraded" if case.answer is None else "correct" if normalise(case.answer) == normalise(case.reference or "") else "wrong"
        for case in cases
    ]


GRADERS: dict[str, Grading] = {"ours": grade_as_a_load, "math_verify": grade_with_math_verify, "string": grade_by_string}

# --- the sets --------------------------------------------------------------------------------------------------------------------


def table(count: int | None) -> list[Case]:
    """Read the table of pairs; every so many lines if not all are wanted, so that there are many kinds."""
    with (ROOT / "benchmarks/answer_pairs.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Case(row["answer"], row["reference"], row["value"] == "equal", row["kind"])
        for row in rows[:: len(rows) // (count * 4) if count else 1]
    ]


def solutions(name: str, format_: str, right: Callable[[dict], list[bool]], count: int | None) -> list[Case]:
    """Read a file of solutions as a load does, with the correctness that the file records."""
    cases = []
    reader = FORMATS[format_].solutions
    assert reader
    rule = choose_steps_by(DATA / name, FORMATS[format_]).rule
    for _, fields in islice(read_lines(DATA / name), count):
        for solution, is_right in zip(reader(fields), right(dict(fields)), strict=True):
            answer = solution.final_answer if solution.final_answer is not None else stated_answer(cut_solution(solution, by=rule).steps)
            cases.append(Case(answer, solution.problem.answer, is_right))
    return cases


def _math_answers() -> list[str]:
    answers = (problem["answer"] for problem in json.loads((DATA / "math/train7474_answers.json").read_text(encoding="utf-8")))
    return [answer for answer in answers if answer and not answer.lstrip("-").isdigit()]


def new_pairs() -> list[Case]:
    """Pair each distinct MATH answer that is no integer with the next longer one: near misses, the costliest honest input."""
    rng = random.Random(0)
    distinct = {normalise(answer): answer for answer in _math_answers()}
    ordered = [distinct[form] for form in sorted(sorted(distinct), key=lambda form: (len(form), rng.random()))]
    return [Case(answer, reference, False) for answer, reference in zip(ordered, ordered[1:], strict=False)]


# --- figures ---------------------------------------------------------------------------------------------------------------------


def _timed(grade: Callable[[], list]) -> tuple[float, list]:
    started = time.perf_counter()
    outcomes = grade()
    return time.perf_counter() - started, outcomes


def counted(cases: Sequence[Case], outcomes: Sequence[str]) -> dict[str, int]:
    """Count what a grader got wrong. `unsure` holds the ungraded too: `unsure_equal` are those that are the same."""
    both = Counter(
        (case.is_equal, outcome if outcome in ("correct", "wrong") else "unsure") for case, outcome in zip(cases, outcomes, strict=True)
    )
    return {
        "pairs": len(cases),
        "equal": sum(case.is_equal for case in cases),
        "false_correct": both[False, "correct"],
        "false_wrong": both[True, "wrong"],
        "unsure": both[True, "unsure"] + both[False, "unsure"],
        "unsure_equal": both[True, "unsure"],
    }


def agreement(cases: Sequence[Case], outcomes: Sequence[str]) -> float:
    """Share of pairs graded as recorded; unsure and ungraded count as disagreement."""
    return round(
        sum(outcome == ("correct" if case.is_equal else "wrong") for case, outcome in zip(cases, outcomes, strict=True)) / len(cases), 5
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench grading", description="Measure the grading of answers against math-verify alone.")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    parser.add_argument(
        "--near-misses", action="store_true", help="grade all pairs of different MATH answers instead, and count the outcomes"
    )
    options = parser.parse_args()
    count = 5 if options.smoke else None  # lines of each file
    try:
        print(json.dumps(near_misses(count) if options.near_misses else figures(count)))
    except FileNotFoundError as missing:
        sys.exit(f"{missing.filename} is missing. Set STEPMARK_DATA to the folder that holds gsm8k/, math/ and best-of-n/.")


def figures(count: int | None) -> dict[str, object]:
    """Grade the three sets with the three graders, print what each got wrong, and return all figures."""
    sets = {
        "table": table(count),
        "gsm8k": solutions("gsm8k/example_model_solutions.jsonl", "gsm8k_solutions", _recorded, count),
        "math_800": solutions("best-of-n/math_cot_100.jsonl", "qwen_math", lambda fields: fields["score"], count),
    }
    found: dict[str, object] = {}
    seconds: dict[tuple[str, str], float] = {}
    outcomes: dict[tuple[str, str], list[str]] = {}
    widths = {
        "set": -9,
        "grader": -12,
        "pairs": 6,
        "equal": 6,
        "false correct": 14,
        "false wrong": 12,
        "unsure": 7,
        "of equal": 9,
        "seconds": 8,
    }
    print(*(f"{title:{'<' if width < 0 else '>'}{abs(width)}}" for title, width in widths.items()))
    for name, cases in sets.items():
        for grader, grade in GRADERS.items():
            started = time.perf_counter()
            outcomes[name, grader] = grade(cases)
            seconds[name, grader] = time.perf_counter() - started
            found[f"{name}_{grader}"] = figure = counted(cases, outcomes[name, grader])
            row = (name, grader, *figure.values(), f"{seconds[name, grader]:.2f}")
            print(*(f"{value:{'<' if width < 0 else '>'}{abs(width)}}" for value, width in zip(row, widths.values(), strict=True)))
    for name, cases in sets.items():
        differing = Counter(
            (case, outcome)
            for case, outcome in zip(cases, outcomes[name, "ours"], strict=True)
            if outcome != ("correct" if case.is_equal else "wrong") and (name != "table" or case.is_equal or outcome == "correct")
        )
        for (case, outcome), times in differing.items():
            said = "equal" if case.is_equal else "different"
            print(f"  {name}: {times} x {case.answer!r} against {case.reference!r}: {outcome}; recorded as {said}")
    real = ("gsm8k", "math_800")
    ours, peer = (sum(seconds[name, grader] for name in real) for grader in ("ours", "math_verify"))
    sound = [place for place, case in enumerate(sets["math_800"]) if case.reference not in DAMAGED or case.is_equal]
    new = new_pairs()[::3][:count]
    new_seconds, _ = _timed(lambda: grade_as_a_load(new))
    new_peer_seconds, _ = _timed(lambda: grade_with_math_verify(new))
    votes = [sets["math_800"][place].answer for place in range(0, len(sets["math_800"]), 8)]
    voting_seconds, _ = _timed(lambda: answer_classes(votes))
    return {
        **found,
        "ratio": round(peer / ours, 1),
        "seconds": round(ours, 2),
        "pairs_per_second": round(sum(len(sets[name]) for name in real) / ours),
        "table_pairs_per_second": round(len(sets["table"]) / seconds["table", "ours"], 1),
        "gsm8k_agreement": agreement(sets["gsm8k"], outcomes["gsm8k", "ours"]),
        "math_800_agreement": agreement(sets["math_800"], outcomes["math_800", "ours"]),
        "math_800_agreement_where_the_record_is_sound": agreement(
            [sets["math_800"][place] for place in sound], [outcomes["math_800", "ours"][place] for place in sound]
        ),
        "ratio_new": round(new_peer_seconds / new_seconds, 2),
        "new_pairs_per_second": round(len(new) / new_seconds, 1),
        "voting_100_distinct_seconds": round(voting_seconds, 2),
        "grader": GRADER_VERSION,
    }


def _recorded(fields: dict) -> list[bool]:
    return [part["is_correct"] for part in fields.values() if isinstance(part, dict)]


def near_misses(count: int | None) -> dict[str, object]:
    """Grade pairs of different MATH answers, print those graded as equal, and return how many there are of each outcome."""
    cases = new_pairs()[:count]
    seconds, outcomes = _timed(lambda: grade_as_a_load(cases))
    for case, outcome in zip(cases, outcomes, strict=True):
        if outcome == "correct":
            print(f"  {case.answer!r} equals {case.reference!r}")
    return {"pairs": len(cases), "outcomes": dict(Counter(outcomes)), "seconds": round(seconds, 2), "grader": GRADER_VERSION}


if __name__ == "__main__":
    main()
