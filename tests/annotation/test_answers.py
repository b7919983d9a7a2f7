"""Final answers: the one a solution states, the normal form of spellings, and that no text makes grading wrong, slow or fail."""

import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.waiting import until
from trainer.answers import (
    GRADER_VERSION,
    Grade,
    Grader,
    GraderUnavailable,
    Rules,
    extract_answer,
    finding,
    grade,
    grade_answers,
    grading,
    judges,
    normalise,
)
from trainer.answers import texts as spellings

ROOT = Path(__file__).resolve().parents[2]
TOWER = ("9^{9^{9^{9}}}", "9^{9^{9^{8}}}")  # a power tower: no computer algebra system comes back from it


@pytest.mark.parametrize(
    ("spelling", "form"),
    [
        (r"$\dfrac12$", r"\frac{1}{2}"),
        ("1/2", r"\frac{1}{2}"),
        (r"\frac{-1}{2}", r"-\frac{1}{2}"),
        (r"-\frac{-1}{2}", r"-\frac{-1}{2}"),
        (r"\frac\pi 2", r"\frac{\pi}{2}"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        ("$1,234.50", "$1234.5"),
        (r"10,\!000", "10000"),
        (r"10{,}000", "10000"),
        (r"10\,000", "10000"),
        ("81, 256", "81, 256"),
        ("(1,234)", "(1, 234)"),
        ("x = 5", "x=5"),
        (".50", "0.5"),
        ("18.00.", "18"),
        ("-0.0", "0"),
        (r"25\text{ cm}^2", "25 cm^2"),
        (r"90^\circ", r"90\degree"),
        ("90°", r"90\degree"),
        ("12  hours", "12 hours"),
        (r"2\mathrm{i}", "2 i"),
        (r"10\text{ a.m.}", "10 a.m."),
        ("√13", r"\sqrt{13}"),
        (r"\frac{\sqrt 10}{2}", r"\frac{\sqrt{10}}{2}"),
        ("3½", r"3\frac{1}{2}"),
        ("x²", "x^2"),
        ("10⁻³", "10^{-3}"),
        ("１，２", "1,2"),
        ("٣٫٥", "3.5"),
        ("3 x 10^5", r"3\times10^5"),
        ("1.5e-3", r"1.5\times10^{-3}"),
        ("28 pct", "28%"),
        (r"101_\text{two}", "101_{two}"),
        ("1.000.000", "1000000"),
        ("$x=1$ or $x=2$", "x=1 or x=2"),
        (r"10\%", "10%"),
        ("3 1/2", r"3\frac{1}{2}"),
        ("−5", "-5"),
        ("\u200f5", "5"),
        (r"\text{Evelyn}", "evelyn"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1\\2\end{pmatrix}"),
        (r"\boxed{7}", "7"),
    ],
)
def test_spellings_meet_in_one_normal_form(spelling: str, form: str) -> None:
    assert normalise(spelling) == form
    assert normalise(form) == form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12", "1\u00b2"),
        ("10%", "0.1"),
        ("81256", "81, 256"),
        ("2", r"2\mathrm{i}"),
        ("5 cm", "5"),
        ("ABC", "abc"),
        ("101_2", "101_3"),
        ("1234", "(1,234)"),
        ("x^{23}", "x^2 3"),
    ],
)
def test_different_answers_keep_different_normal_forms(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


CORRECT = [
    ("1+x", "x + 1"), (r"\sqrt{8}", r"2\sqrt2"), ("0.5", r"\frac{1}{2}"), ("3 1/2", "3.5"), ("10%", "10"), ("(1+x)(1-x)", "1-x^2"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&2+2\end{pmatrix}"), (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"),
    ("(1, 2/4)", r"\left(1,0.5\right)"), (r"\sin^2 x+\cos^2 x+y", "1+y"), ("1 million", "1,000,000"), (r"2\pi r", r"2r\pi"),
]  # fmt: skip
WRONG = [
    ("17", "18"), ("1,000", "1000.5"), ("1-1/e", "1+1/e"), ("(1,2]", "[1,2]"), ("Evelyn", "Angela"), ("1011_2", "1010_2"), ("x^2", "x^3"),
    (r"\frac{\pi}{2}", r"\frac{\pi}{3}"),
    (r"(-\infty,3)\cup(3,5)", r"(-\infty,3)\cup(3,6)"),
]  # fmt: skip
UNSURE = {
    ("1/2004!", "1/2006!"): "our reader says wrong; math-verify says correct",
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"): "our reader says wrong; math-verify says correct",
    ("0.3333333", "1/3"): "our reader says wrong; math-verify says correct",
    (r"10\text{ AM}", r"10\text{ PM}"): "our reader says wrong; math-verify says correct",
    ("2/4", "1/2"): "our reader cannot tell (a fraction that is not in lowest terms); math-verify says correct",
    ("10%", "0.1"): "our reader cannot tell (a percentage and its value); math-verify says correct",
    ("10+John's age", "50"): "our reader cannot tell (words and a value); math-verify says wrong",
}  # fmt: skip


def test_an_answer_is_correct_when_our_reader_proves_it() -> None:
    assert {pair: grade.outcome for pair, grade in zip(CORRECT, grade_answers(CORRECT), strict=True)} == dict.fromkeys(CORRECT, "correct")


def test_an_answer_is_wrong_only_when_both_readings_say_so() -> None:
    assert {pair: grade.outcome for pair, grade in zip(WRONG, grade_answers(WRONG), strict=True)} == dict.fromkeys(WRONG, "wrong")


def test_readings_that_differ_or_cannot_tell_come_out_unsure_with_both_verdicts() -> None:
    grades = grade_answers(UNSURE)
    assert dict(zip(UNSURE, grades, strict=True)) == {pair: Grade("unsure", reason) for pair, reason in UNSURE.items()}


def test_without_a_reference_or_an_answer_there_is_no_grade() -> None:
    assert grade("5", None) == grade("5", "  ") == Grade("ungraded", "no reference answer")
    assert grade(None, "5") == grade("", "5") == Grade("ungraded", "the solution states no answer")
    assert grade("$", "5") == Grade("ungraded", "the answer is empty after normalisation")


def test_an_answer_that_is_a_whole_text_is_ungraded_direct_unless_it_is_the_reference() -> None:
    assert grade("x" * 1_001, "5") == Grade("ungraded", "the answer is longer than 1,000 characters")
    assert grade("5", "x" * 1_001) == Grade("ungraded", "the reference answer is longer than 1,000 characters")
    assert grade(" " + "x" * 1_001, "x" * 1_001).outcome == "correct"


def test_a_timeout_is_never_wrong_names_its_limit_and_is_counted() -> None:
    with Grader(workers=1, timeout=0.5) as grader:
        assert grader.grade_answers([TOWER]) == [Grade("ungraded", "our reader timed out after 0.5 s")]
        assert grader.ends == {"timeout": 1}


def test_the_kernel_limits_the_cpu_time_of_a_child_process_and_four_times_that_on_the_clock() -> None:
    program = f"""
import signal, sys
from trainer.answers import judges
timers = signal.ITIMER_PROF, signal.ITIMER_REAL

def are_limited(*_):
    cpu, clock = (signal.getitimer(timer)[0] for timer in timers)
    return 500 < cpu < 1001 and 3000 < clock < 4001

judges.JUDGES.clear()
judges.JUDGES["this judge"] = lambda *pair: (are_limited(), "")
judges._judge_pairs(1000, {grading.MEMORY_LIMIT})
sys.exit(any(signal.getitimer(timer)[0] for timer in timers))
"""
    done = subprocess.run([sys.executable, "-c", program], input='["1", "2", []]\n', cwd=ROOT, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == ["ready", [True, "this judge says correct"]]


def test_a_timeout_of_the_second_grader_leaves_the_first_verdict_unsure() -> None:
    given = grade("(" * 40 + "1" + ")" * 40, "2", timeout=1)
    assert given == Grade("unsure", "our reader says wrong; math-verify timed out after 1 s")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit the address space of a process")
def test_memory_of_a_child_process_is_bounded() -> None:
    with Grader(workers=1, memory=300 << 20, timeout=60) as grader:
        assert grader.grade_answers([("2^{2^{34}}", "x")]) == [Grade("ungraded", "our reader ran out of memory")]


def test_hostile_text_gets_an_outcome_and_a_reason() -> None:
    hostile = [
        "9^9^9^9",
        TOWER[0],
        "x" * 20_000,
        "(" * 900,
        "\\frac{" * 150,
        "{" * 400,
        "a\0b",
        "\ud800",
        "5\udfff",
        "\u202e5\u202c",
        "٥",
        "%",
        "}{",
        "\\",
        "1e999999999",
        "__import__('os').abort()",
        "\n\n",
        "(((1,2),3",
        "=",
        ",",
        "1/0",
        "[",
        r"\text{",
        "😀",
        r"\begin{pmatrix}\end{pmatrix}",
        r"\infty-\infty",
        "!" * 50,
        "5!!!!!!",
        r"\sqrt[0]{2}",
        "10^{10^{10}}",
        "$" * 999,
        "-" * 999 + "1",
    ]
    pairs = [(text, "z+1") for text in hostile] + [("5", text) for text in hostile]
    for pair, given in zip(pairs, grade_answers(pairs, timeout=0.2), strict=True):
        assert given.reason, pair
        assert given.outcome != "correct" or pair in {("5", "\u202e5\u202c"), ("5", "٥")}, pair


def test_plain_numbers_are_graded_directly_as_both_graders_would() -> None:
    rng = random.Random(7)
    for _ in range(60):
        answer = f"{rng.choice(['', '-'])}{rng.randrange(3000):,}{rng.choice(['', '', '.5', '.25', '.00001'])}"
        reference = rng.choice([answer, f"{rng.randrange(3000)}", f"{rng.randrange(3000)}.{rng.randrange(100)}"])
        direct = grading._grade_directly(answer, reference)
        if isinstance(direct, Grade):  # else it needs both readings, as 1.000 and 1000 do
            verdicts = {judge(answer, reference, list(Rules()))[0] for judge in judges.JUDGES.values()}
            assert verdicts == {direct.outcome == "correct"}, (answer, reference)


def test_numbers_that_differ_less_than_math_verify_rounds_are_not_called_wrong() -> None:
    assert grade("0.1234567", "0.1234568").outcome == "unsure"


SAID = (
    *("Wait, no", "the answer is 5", "$\\boxed{7}$.", "<think>", "</think>", "That is wrong", "# Answer\n\n3", "#### 4", "A: 5"),
    *("ки", "\r\n", "If the answer is", "Answer: 6", "is the answer", "答案是 5", "I made a mistake.", "?", "<answer>4</answer>", "{", "—"),
)


def test_a_number_under_the_last_heading_is_read_as_the_search_for_all_statements_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    texts = []
    for _ in range(400):
        said = [rng.choice(SAID) + rng.choice(("\n", " ", "\n\n")) for _ in range(rng.randrange(6))]
        texts.append("".join(said) + rng.choice(("", "\n")) + "# Answer\n\n" + rng.choice(("7", "-3", "0", "007", "123456", "-0")))
    shortly = [extract_answer(text) for text in texts]
    monkeypatch.setattr(finding, "_PLAIN_END", re.compile(r"(?!)"))
    assert [extract_answer(text) for text in texts] == shortly


def test_a_whole_number_is_its_own_normal_form_by_all_rules_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(6)
    numbers = ["0", *(f"{rng.choice(('', '-'))}{rng.randrange(1, 10 ** rng.randint(1, 18))}" for _ in range(300))]
    assert list(map(normalise, numbers)) == numbers
    normalise.cache_clear()
    monkeypatch.setattr(spellings, "_WHOLE_NUMBER", re.compile(r"(?!)"))
    assert list(map(normalise, numbers)) == numbers


def test_a_grader_remembers_the_pairs_of_earlier_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    judged, told = _count_judged(monkeypatch), list[tuple[int, int]]()
    with Grader(workers=1) as grader:
        first = grader.grade_answers([("x+1", "1+x"), ("3", "x")])
        again = grader.grade_answers([("3", "x"), ("x+1", "1+x"), ("7", "7")], progress=lambda *now: told.append(now))
    assert again[:2] == first[::-1]
    assert judged == {("x+1", "1+x"): 1, ("3", "x"): 1}
    assert told == [(3, 3)]


def test_each_distinct_pair_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = _count_judged(monkeypatch)
    given = grade_answers([("x+1", "1+x"), ("$x + 1$", "1 + x"), ("3", "4"), ("x+1", "1+x")])
    assert [each.outcome for each in given] == ["correct", "correct", "wrong", "correct"]
    assert judged == {("x+1", "1+x"): 1, ("$x + 1$", "1 + x"): 1}


def _count_judged(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    judged = Counter[tuple[str, str]]()
    judge = grading._Judges.judge
    monkeypatch.setattr(grading._Judges, "judge", lambda self, pair, rules: judged.update([pair]) or judge(self, pair, rules))
    return judged


def test_progress_counts_up_to_all_pairs() -> None:
    seen: list[tuple[int, int]] = []
    grade_answers([("x+1", "1+x"), ("x+1", "1+x"), ("y", "x"), ("3", "4")], progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (1, 4) and seen[-1] == (4, 4)
    assert seen == sorted(seen)


def test_a_progress_bar_that_fails_ends_the_work_at_once_and_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    grades, judge = list[Grade](), grading._Judges.judge

    def judge_and_keep(judges: grading._Judges, pair: tuple[str, str], rules: Rules) -> Grade:
        grades.append(judge(judges, pair, rules))
        return grades[-1]

    monkeypatch.setattr(grading._Judges, "judge", judge_and_keep)

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Grader(workers=2, timeout=60) as grader:
        grader.grade_answers([("x+1", "1+x"), *[(TOWER[0], f"x+{n}") for n in range(9)]], progress=stop)
    assert len(grades) < 5, "what was waiting was still judged"
    assert [grade.outcome for grade in grades if "timed out" in grade.reason] == []
    assert [judges.process for judges in grader._judges] == [None, None]


def test_a_killed_child_process_is_replaced() -> None:
    with Grader(workers=1) as grader:
        assert grader.grade_answers([("x+1", "1+x")])[0].outcome == "correct"
        first = grader._judges[0].process
        assert first
        first.kill()
        first.wait()
        assert grader.grade_answers([("x+2", "2+x")])[0].outcome == "correct"
        assert grader._judges[0].process is not first


def test_a_child_process_killed_at_work_is_a_crash_with_its_status_and_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with Grader(workers=1, timeout=60) as grader:
        grader.grade_answers([("x+1", "1+x")])

        def read_line(process: "subprocess.Popen[str]") -> str:  # asked for the verdict: the pair is handed over
            grader._judges[0].kill()
            return original(process)

        original = grading._read_line
        monkeypatch.setattr(grading, "_read_line", read_line)
        assert grader.grade_answers([TOWER]) == [Grade("ungraded", f"our reader crashed (exit status -{int(signal.SIGKILL)})")]


def test_a_broken_installation_is_an_error_with_a_remedy_and_no_grade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(GraderUnavailable, match=r"exit status 1.*Install requirements\.txt"):
        grade("x+1", "1+x")


def test_grading_works_outside_the_main_thread() -> None:
    given: list[Grade] = []
    thread = threading.Thread(target=lambda: given.append(grade("x+1", "1+x")))
    thread.start()
    thread.join()
    assert given == [Grade("correct", "our reader says correct")]


def test_grading_works_in_a_daemonic_process_as_in_a_celery_pool() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(grade, ("x+1", "1+x")) == Grade("correct", "our reader says correct")


def test_a_killed_caller_leaves_no_child_process_behind() -> None:
    program = """
import sys
from trainer.answers import Grader
with Grader(workers=1) as grader:
    grader.grade_answers([("x+1", "1+x")])
    print(grader._judges[0].process.pid, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        child = int(caller.stdout.readline())
        assert _alive(child)
        caller.kill()
    until(lambda: not _alive(child), what=f"process {child} has ended")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_the_caller_never_loads_the_computer_algebra_system() -> None:
    program = "import sys; from trainer.answers import grade; print(grade('x+1', '1+x').outcome, {'sympy', 'django'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "correct set()\n"


def test_grader_version_names_the_rule_and_both_libraries() -> None:
    assert [part.rpartition("-")[0] for part in GRADER_VERSION.split()] == ["stepmark", "math-verify", "sympy"]


def grades_of(path: Path) -> Counter[tuple[str, bool]]:
    """Grade a file of GSM8K solutions; count outcome and what the file says."""
    problems = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    solutions = [(problem, part) for problem in problems for part in problem.values() if isinstance(part, dict)]
    grades = grade_answers([(extract_answer(part["solution"]), extract_answer(problem["ground_truth"])) for problem, part in solutions])
    return Counter((grade.outcome, part["is_correct"]) for grade, (_, part) in zip(grades, solutions, strict=True))


def test_gsm8k_solutions_are_graded_as_their_file_says(samples: Path) -> None:
    counted = grades_of(samples / "gsm8k/example_model_solutions.jsonl")
    assert counted == {("correct", True): 39, ("wrong", False): 40, ("ungraded", False): 1}


def test_the_5276_published_gsm8k_solutions_are_graded_as_their_file_says(data: Path) -> None:
    # The 11 end before they state an answer (truncated samples), and one answer is no number; docs/grading.md lists them.
    counted = grades_of(data / "gsm8k/example_model_solutions.jsonl")
    assert counted == {("correct", True): 2001, ("wrong", False): 3263, ("unsure", False): 1, ("ungraded", False): 11}


def test_math500_reference_answers_are_correct_against_their_own_solutions(data: Path) -> None:
    problems = [json.loads(line) for line in (data / "math/math500.jsonl").read_text(encoding="utf-8").splitlines()]
    grades = grade_answers([(extract_answer(problem["solution"]), problem["answer"]) for problem in problems])
    assert Counter(given.outcome for given in grades) == {"correct": 500}


def test_the_normal_form_of_a_normal_form_is_itself(data: Path) -> None:
    problems = json.loads((data / "math/train7474_answers.json").read_text(encoding="utf-8"))
    forms = {normalise(problem["answer"]) for problem in problems if problem["answer"]}
    assert len(forms) > 2000 and [form for form in forms if normalise(form) != form] == []
