"""Corrections: what changes is shown first, then done in one transaction; labels stay, and events tell who and when."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from annotation import corrections, ingest, queue
from annotation.corrections import CorrectionPlan, CorrectionRefused, NothingChanges, ProblemChange
from annotation.models import Annotation, Assignment, Draft, Event, Outcome, Problem, Project, Solution, Task
from tests import make
from tests.annotation.test_withdrawing import hand_in
from trainer.answers import GRADER_VERSION

pytestmark = pytest.mark.django_db


def sums(project: Project, answer: str | None = "5", **fields: Any) -> tuple[Problem, Solution, Solution]:
    """A problem whose true answer is 4 and its two solutions, which say 4 and 5, graded by the answer it has."""
    problem = make.problem(project, external_id="sum", statement="What is 2 + 2?", answer=answer)
    four, five = (
        make.solution(
            problem, ["We add.", f"It is {n}.\n\n# Answer\n\n{n}"], final_answer=n, outcome="correct" if n == answer else "wrong", **fields
        )
        for n in "45"
    )
    return problem, four, five


def outcomes() -> dict[str, str]:
    return dict(Solution.objects.values_list("final_answer", "outcome"))


def apply(change: ProblemChange, project: Project, **options: Any) -> CorrectionPlan:
    with corrections.prepared(project, [change]) as plan:
        plan.apply(actor=make.olga(project), **options)
    return plan


def queued(project: Project, *chosen: tuple[Solution, str]) -> None:
    queue.open_batch(project, [queue.Chosen(solution.pk, premise=premise) for solution, premise in chosen])


def command(name: str, *arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    call_command(name, *map(str, arguments))
    return capsys.readouterr().out


def refusal(name: str, *arguments: object) -> str:
    with pytest.raises(CommandError) as refused:
        call_command(name, *map(str, arguments))
    assert refused.value.returncode == 2
    return str(refused.value)


def update(path: Path, *lines: dict[str, object]) -> list[object]:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [path, "--project", "sums", "--update"]


# --- one answer ---------------------------------------------------------------------------------------------------------------


def test_a_correction_shows_what_changes_and_changes_nothing_before_it_is_applied() -> None:
    project = make.project()
    problem, four, five = sums(project)
    with corrections.prepared(project, [corrections.change_of_answer(problem, "4")]) as plan:
        assert plan.outcomes == {("correct", "wrong"): 1, ("wrong", "correct"): 1}
        assert [key for key, *_ in plan.examples] == [four.pk, five.pk]
    assert outcomes() == {"4": "wrong", "5": "correct"}
    assert Problem.objects.get().answer == "5" and not Event.objects.exists()


def test_an_applied_correction_changes_the_answer_and_the_outcomes() -> None:
    project = make.project()
    problem, *_ = sums(project)
    apply(corrections.change_of_answer(problem, " 4 "), project)
    assert Problem.objects.get().answer == "4"
    assert outcomes() == {"4": "correct", "5": "wrong"}
    assert set(Solution.objects.values_list("grader", flat=True)) == {GRADER_VERSION}


def test_solutions_of_other_problems_and_projects_stay_as_they_are() -> None:
    project, other = make.project(), make.project("other")
    problem, *_ = sums(project)
    bystander = make.solution(make.problem(project, answer="4"), final_answer="4", outcome="unsure")
    sums(other)
    apply(corrections.change_of_answer(problem, "4"), project)
    bystander.refresh_from_db()
    assert bystander.outcome == "unsure"
    assert set(Solution.objects.filter(problem__project=other).values_list("final_answer", "outcome")) == {("4", "wrong"), ("5", "correct")}


def test_the_event_tells_who_and_the_old_and_the_new_answer() -> None:
    project = make.project()
    problem, *_ = sums(project)
    apply(corrections.change_of_answer(problem, "4"), project)
    event = Event.objects.get()
    assert (event.actor, event.verb) == (make.olga(), "correct")
    assert event.subject == f"problem {problem.pk}: answer: '5' becomes '4'"
    assert event.details == {
        "old": {"answer": "5"},
        "new": {"answer": "4"},
        "outcomes": {"correct -> wrong": 1, "wrong -> correct": 1},
    }


def test_an_answer_that_is_longer_than_a_line_is_whole_in_the_event() -> None:
    project = make.project()
    problem, *_ = sums(project)
    long = "4 + 0" + " + 0" * 300
    apply(corrections.change_of_answer(problem, long), project)
    assert Event.objects.get().details["new"] == {"answer": long}


def test_labels_stay() -> None:
    project = make.project()
    problem, four, _ = sums(project)
    make.batch(project, [make.solution(problem, final_answer="4")])
    hand_in(queue.lease_next(make.ann(project), project=project), make.ann())
    before = list(Annotation.objects.values())
    plan = apply(corrections.change_of_answer(problem, "4"), project, withdraw=True)
    assert list(Annotation.objects.values()) == before
    assert plan.n_labeled == 1 and "1 of these with labels. The labels stay." in plan.sentences()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "The answer is empty"),
        (" \n", "The answer is empty"),
        ("4\0", "a NUL character"),
        ("\ud800", "half of a surrogate pair"),
        ("4" * 20_001, "20,001 characters"),
    ],
)
def test_an_answer_that_cannot_be_stored_is_refused(answer: str, reason: str) -> None:
    with pytest.raises(CorrectionRefused, match=reason):
        corrections.change_of_answer(make.problem(make.project()), answer)


def test_the_same_answer_again_changes_nothing_and_says_so() -> None:
    with pytest.raises(NothingChanges, match="this reference answer already"):
        corrections.change_of_answer(make.problem(make.project(), answer="4"), "4 ")


def test_a_problem_without_an_answer_gets_one() -> None:
    project = make.project()
    problem, *_ = sums(project, answer=None)
    Solution.objects.update(outcome="ungraded")
    apply(corrections.change_of_answer(problem, "4"), project)
    assert outcomes() == {"4": "correct", "5": "wrong"}


# --- the queue ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "premise", "is_false"),
    [
        ("4", "wrong", True),
        ("5", "wrong", False),
        ("5", "not_wrong", True),
        ("4", "not_wrong", False),
        ("5", "correct", True),
        ("4", "", False),
    ],
)
def test_what_is_queued_for_a_reason_that_becomes_false_is_named(says: str, premise: str, is_false: bool) -> None:
    project = make.project()
    problem, four, five = sums(project)
    solution = four if says == "4" else five
    queued(project, (solution, premise))
    with corrections.prepared(project, [corrections.change_of_answer(problem, "4")]) as plan:
        assert [one.solution_id for one in plan.queued] == [solution.pk] * is_false
        assert any(f"solution {solution.pk} (batch 0): chosen because" in line for line in plan.sentences()) is is_false


def test_it_stays_in_the_queue_unless_it_is_withdrawn() -> None:
    project = make.project()
    problem, four, five = sums(project)
    queued(project, (four, "wrong"))
    apply(corrections.change_of_answer(problem, "4"), project)
    assert Assignment.objects.get().state == "open"
    with corrections.prepared_again(project) as plan:
        assert [one.solution_id for one in plan.queued] == [four.pk]
        assert plan.apply(actor=None, withdraw=True) == 1
    assert Assignment.objects.get().state == "closed"


def test_withdrawing_takes_only_what_was_chosen_for_a_false_reason() -> None:
    project = make.project()
    problem, four, five = sums(project)
    queued(project, (four, "wrong"), (five, ""))
    apply(corrections.change_of_answer(problem, "4"), project, withdraw=True)
    assert list(Solution.objects.filter(withdrawn_at__isnull=False)) == [four]
    assert list(Event.objects.order_by("pk").values_list("verb", "actor__username")) == [("correct", "olga"), ("withdraw", "olga")]


def test_what_somebody_labels_now_is_named_as_such_and_what_is_done_is_not_named() -> None:
    project = make.project()
    problem, four, five = sums(project, answer="6")
    queued(project, (four, "wrong"), (make.solution(problem, final_answer="4"), "wrong"))
    first = queue.lease_next(make.ann(project), project=project)
    hand_in(first, make.ann())
    second = queue.lease_next(make.ann(project), project=project)
    with corrections.prepared(project, [corrections.change_of_answer(problem, "4")]) as plan:
        assert [(one.solution_id, one.is_leased) for one in plan.queued] == [(second.solution_id, True)]
        assert any("somebody is labeling it now" in line for line in plan.sentences())


# --- changed meanwhile --------------------------------------------------------------------------------------------------------


def test_an_answer_that_somebody_changed_meanwhile_is_not_overwritten() -> None:
    project = make.project()
    problem, *_ = sums(project)
    with corrections.prepared(project, [corrections.change_of_answer(problem, "4")]) as plan:
        Problem.objects.update(answer="7")
        with pytest.raises(CorrectionRefused, match="changed .* meanwhile.* Nothing was changed"):
            plan.apply(actor=None)
    assert Problem.objects.get().answer == "7" and outcomes() == {"4": "wrong", "5": "correct"}


def test_an_outcome_that_somebody_changed_meanwhile_is_not_overwritten() -> None:
    project = make.project()
    problem, four, _ = sums(project)
    with corrections.prepared(project, [corrections.change_of_answer(problem, "4")]) as plan:
        Solution.objects.filter(pk=four.pk).update(outcome=Outcome.UNSURE)
        with pytest.raises(CorrectionRefused, match="Somebody changed an answer or an outcome meanwhile"):
            plan.apply(actor=None)
    assert outcomes()["4"] == "unsure"


def test_solutions_that_were_loaded_meanwhile_are_graded_too() -> None:
    project = make.project()
    problem, *_ = sums(project)
    with corrections.prepared(project, [corrections.change_of_answer(problem, "4")]) as plan:
        make.solution(problem, final_answer="4.0", outcome="wrong")
        plan.apply(actor=None)
    assert outcomes() == {"4": "correct", "5": "wrong", "4.0": "correct"}


# --- a file -------------------------------------------------------------------------------------------------------------------


def test_a_file_shows_its_corrections_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make.project()
    problem, four, _ = sums(project)
    queued(project, (four, "wrong"))
    arguments = update(tmp_path / "p.jsonl", {"problem": "What is 2 + 2?", "answer": "4", "subject": "Sums"})
    shown = command("load_problems", *arguments, capsys=capsys)
    for sentence in (
        "Another reference answer for 1 problem:\n  line 1, problem sum: '5' becomes '4'",
        "Another subject for 1 problem.",
        "2 solutions to grade again. Another outcome for 2 of them.",
        "from wrong to correct: 1",
        f"solution {four.pk} (batch 0): chosen because its answer was wrong, but it is correct",
        "Nothing was changed. To do this, run the same command with --apply.",
    ):
        assert sentence in shown
    assert outcomes() == {"4": "wrong", "5": "correct"} and Problem.objects.get().answer == "5"


def test_a_file_corrects_answer_reference_solution_subject_and_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make.project()
    problem, four, _ = sums(project)
    queued(project, (four, "wrong"))
    make.olga(project)
    line = {"id": "sum", "problem": "What is  2 + 2?", "answer": "4", "reference_solution": "2 + 2 = 4", "subject": "Sums", "level": "1"}
    shown = command("load_problems", *update(tmp_path / "p.jsonl", line), "--apply", "--withdraw", "--by", "olga", capsys=capsys)
    assert shown.endswith("Done. Withdrawn: 1 solution.\n")
    stored = Problem.objects.values("statement", "answer", "reference_solution", "subject", "level").get()
    assert stored == {"statement": "What is 2 + 2?", "answer": "4", "reference_solution": "2 + 2 = 4", "subject": "Sums", "level": "1"}
    assert outcomes() == {"4": "correct", "5": "wrong"}
    assert Event.objects.filter(verb="correct").get().actor == make.olga()


def test_what_a_file_leaves_out_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.problem(make.project(), statement="What is 2 + 2?", answer="5", subject="Sums", reference_solution="See above.")
    command("load_problems", *update(tmp_path / "p.jsonl", {"problem": "What is 2 + 2?", "level": "1"}), "--apply", capsys=capsys)
    assert list(Problem.objects.values_list("answer", "subject", "reference_solution", "level")) == [("5", "Sums", "See above.", "1")]


def test_a_file_that_says_what_is_known_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sums(make.project())
    assert command("load_problems", *update(tmp_path / "p.jsonl", {"problem": "What is 2 + 2?", "answer": "5"}), capsys=capsys).endswith(
        "Nothing changes.\n"
    )


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{"problem": "What is 2 + 2?", "answer": "4"}, {"problem": "What is 3 + 3?"}], "line 2: sums has no problem 'What is 3 + 3?'"),
        (
            [{"problem": "What is 2 + 2?", "answer": "4"}, {"problem": "What is 2 + 2? ", "answer": "6"}],
            "line 2: line 1 gives the same problem another answer",
        ),
        ([{"problem": "What is 2 + 3?", "id": "sum", "answer": "4"}], "line 1: the problem id 'sum' already belongs to another statement"),
        ([{"problem": "What is 2 + 2?", "answer": ["4"]}], "line 1: 'answer' is a list"),
    ],
)
def test_a_bad_file_of_corrections_is_refused_with_its_line(lines: list[dict[str, object]], reason: str, tmp_path: Path) -> None:
    sums(make.project())
    assert reason in refusal("load_problems", *update(tmp_path / "p.jsonl", *lines), "--apply")
    assert Problem.objects.get().answer == "5"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--update", "--withdraw"], "--withdraw does something only with --apply"),
        (["--update", "--split", "test"], "--update changes no split"),
        (["--update", "--by", "nobody"], "There is no account called 'nobody'"),
        (["--apply"], "--apply goes only with --update"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], reason: str, tmp_path: Path) -> None:
    make.project()
    (tmp_path / "p.jsonl").write_text('{"problem": "What is 2 + 2?"}')
    assert reason in refusal("load_problems", tmp_path / "p.jsonl", "--project", "sums", *options)


# --- grading again ------------------------------------------------------------------------------------------------------------


def test_solutions_of_an_older_grader_are_graded_again(capsys: pytest.CaptureFixture[str]) -> None:
    project = make.project()
    sums(project, grader="old")
    Solution.objects.update(outcome="unsure")
    shown = command("regrade", "--project", "sums", capsys=capsys)
    assert "2 solutions to grade again. Another outcome for 2 of them." in shown
    assert set(outcomes().values()) == {"unsure"}
    command("regrade", "--project", "sums", "--apply", capsys=capsys)
    assert outcomes() == {"4": "wrong", "5": "correct"}
    event = Event.objects.get()
    assert (event.verb, event.actor, event.subject) == ("regrade", None, "project sums: 2 of 2 outcomes changed")
    assert command("regrade", "--project", "sums", capsys=capsys) == "Nothing changes.\n"


def test_solutions_of_the_present_grader_are_graded_again_only_with_all(capsys: pytest.CaptureFixture[str]) -> None:
    sums(make.project(), grader=GRADER_VERSION)
    Solution.objects.update(outcome="unsure")
    assert command("regrade", "--project", "sums", capsys=capsys) == "Nothing changes.\n"
    command("regrade", "--project", "sums", "--all", "--apply", capsys=capsys)
    assert outcomes() == {"4": "wrong", "5": "correct"}


def test_an_answer_that_the_older_grader_did_not_find_is_looked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    problem = make.problem(make.project(), answer="4")
    make.solution(problem, ["So it is \\boxed{4}."], final_answer=None, outcome="ungraded", grader="old")
    command("regrade", "--project", "sums", "--apply", capsys=capsys)
    assert outcomes() == {"4": "correct"}


READ_AGAIN = [  # is the answer given, the stored one, the one that counts after a regrade, and with --read-again
    (True, "5", "5", "5"),  # of a file
    (False, "5", "4", "4"),  # an older version read it from the steps
    (None, "5", "5", "4"),  # an even older version did not note which
    (True, None, None, None),
    (False, None, "4", "4"),
    (None, None, "4", "4"),
]


@pytest.mark.parametrize("read_again", [False, True])
def test_an_answer_that_was_read_from_the_steps_is_read_again_and_that_of_a_file_stays(
    read_again: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    problem, options = make.problem(make.project(), answer="4"), ["--read-again"] if read_again else []
    solutions = [
        make.solution(problem, [f"{n}.", "So it is \\boxed{4}."], is_answer_given=given, final_answer=stored, grader="old")
        for n, (given, stored, *_) in enumerate(READ_AGAIN)
    ]
    shown = command("regrade", "--project", "sums", *options, capsys=capsys)
    assert f"Another answer is read from the steps of {4 if read_again else 3} of them." in shown
    assert ("The stated answers of 1 of them stay" in shown) == ("also add --read-again" in shown) == (not read_again)
    command("regrade", "--project", "sums", "--apply", *options, capsys=capsys)
    stated = [Solution.objects.get(pk=solution.pk).final_answer for solution in solutions]
    assert stated == [with_option if read_again else without for *_, without, with_option in READ_AGAIN]
    assert command("regrade", "--project", "sums", "--all", *options, capsys=capsys) == "Nothing changes.\n"


def test_an_answer_that_the_present_grader_does_not_read_any_more_is_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    solution = make.solution(
        make.problem(make.project(), answer="4"), ["We add."], is_answer_given=False, final_answer="4", outcome="correct", grader="old"
    )
    command("regrade", "--project", "sums", "--apply", capsys=capsys)
    solution.refresh_from_db()
    assert (solution.final_answer, solution.outcome) == (None, "ungraded")


def test_a_correction_of_an_answer_also_reads_the_steps_again() -> None:
    """It stores the present version of the grader, so a later regrade leaves these solutions out."""
    project = make.project()
    problem = make.problem(project, answer="5")
    solution = make.solution(problem, ["So it is \\boxed{4}."], is_answer_given=False, final_answer="{4", outcome="wrong", grader="old")
    apply(corrections.change_of_answer(problem, "4"), project)
    solution.refresh_from_db()
    assert (solution.final_answer, solution.outcome, solution.grader) == ("4", "correct", GRADER_VERSION)


def test_a_load_notes_which_answers_the_file_gave() -> None:
    problem = ingest.NewProblem("What is 2 + 2?", "4")
    solutions = [ingest.NewSolution(problem, ("It is 4.",), "4"), ingest.NewSolution(problem, ("So \\boxed{4}.",))]
    ingest.add_solutions(make.project(), solutions)
    assert list(Solution.objects.order_by("pk").values_list("final_answer", "is_answer_given")) == [("4", True), ("4", False)]


def test_solutions_get_an_outcome_when_their_problem_has_got_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    problem, *_ = sums(make.project(), answer=None, grader=GRADER_VERSION)
    Solution.objects.update(outcome="ungraded")
    assert command("regrade", "--project", "sums", capsys=capsys) == "Nothing changes.\n"
    Problem.objects.update(answer="4")
    command("regrade", "--project", "sums", "--apply", capsys=capsys)
    assert outcomes() == {"4": "correct", "5": "wrong"}


def test_grading_tells_its_progress() -> None:
    project = make.project()
    problem, *_ = sums(project)
    seen: list[tuple[str, int, int | None]] = []
    with corrections.prepared(project, [corrections.change_of_answer(problem, "4")], progress=lambda *now: seen.append(now)) as plan:
        plan.apply(actor=None)
    assert ("grading", 2, 2) in seen and seen[-1][0] == "storing"


def test_a_task_remembers_what_its_choice_took_for_granted() -> None:
    project = make.project()
    _, four, five = sums(project)
    queued(project, (four, "wrong"), (five, ""))
    assert set(Task.objects.values_list("solution", "premise")) == {(four.pk, "wrong"), (five.pk, "")}


# --- at the same time ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_two_managers_who_correct_one_answer_at_once_one_is_refused() -> None:
    project = make.project()
    problem, *_ = sums(project, answer="6")
    olga = make.olga(project)
    seen = {answer: corrections.look(project, problem.pk, answer).fingerprint for answer in "45"}

    def correct(answer: str) -> object:
        return corrections.correct(project, problem.pk, answer, seen=seen[answer], withdraw=False, actor=olga)

    results = make.at_once([lambda: correct("4"), lambda: correct("5")])
    assert sum(isinstance(result, CorrectionRefused) for result in results) == 1
    assert sum(isinstance(result, tuple) for result in results) == 1, results
    problem.refresh_from_db()
    assert outcomes() == {answer: "correct" if answer == problem.answer else "wrong" for answer in "45"}
    assert Event.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_submit_while_its_solution_is_corrected_and_withdrawn_is_stored_or_kept_as_a_draft() -> None:
    project = make.project()
    problem, four, _ = sums(project)
    queued(project, (four, "wrong"))
    lease = queue.lease_next(make.ann(project), project=project)
    olga, ann = make.olga(project), make.ann()
    seen = corrections.look(project, problem.pk, "4").fingerprint

    def correct() -> object:
        return corrections.correct(project, problem.pk, "4", seen=seen, withdraw=True, actor=olga)

    results = make.at_once([correct, lambda: hand_in(lease, ann)])
    assert isinstance(results[1], Annotation | queue.Withdrawn), results
    assert isinstance(results[0], tuple | CorrectionRefused), results
    assert Annotation.objects.count() + Draft.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_correction_during_a_load_says_to_wait() -> None:
    project = make.project()
    problem, *_ = sums(project)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('annotation.ingest'), %s)", [project.pk])

        def correct() -> None:
            with connection.cursor() as mine:
                mine.execute("SET lock_timeout = '50ms'")
            apply(corrections.change_of_answer(problem, "4"), project)

        [result] = make.at_once([correct])
        cursor.execute("SELECT pg_advisory_unlock_all()")
    assert isinstance(result, CorrectionRefused) and "Another process is writing to this project" in str(result)
    assert outcomes() == {"4": "wrong", "5": "correct"}
