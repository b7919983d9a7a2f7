"""Stage completions: what is shown at each step, walks, and the generator that writes texts if none is left."""

import uuid
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.core import checks
from django.core.management import CommandError, call_command

from annotation import completions, labels, queue
from annotation.apps import check_generator
from annotation.completions import Completion, NoCompletion
from annotation.models import Annotation, Assignment, Batch, Problem, Project, Solution, StepAlternative, StepLabel
from tests import make

pytestmark = pytest.mark.django_db

STEPS = ["Add 2 and 3.", "The sum is 5.", "So it is 5.\n\n# Answer\n\n5"]
HERE = "tests.annotation.test_completions"


def generate(problem: str, steps: list[str], count: int) -> list[str]:
    """Generate numbered texts that name the step before them. The third step states the answer."""
    end = "\n\n# Answer\n\n5" if len(steps) == 2 else ""
    after = f" after {steps[-1][:20]}" if steps else ""
    return [f"{len(steps)}{after} way {way}{end}" for way in range(count)]


def fail(problem: str, steps: list[str], count: int) -> list[str]:
    raise TimeoutError("the model does not answer")


def silent(problem: str, steps: list[str], count: int) -> list[str]:
    return [" ", "a\0b", "x" * 20_001]


def doubled(problem: str, steps: list[str], count: int) -> list[str]:
    return ["one", "one ", "two", "three"]


def no_texts(problem: str, steps: list[str], count: int) -> list[str]:
    return [None]


def alternatives(solution: Solution, step: int, *texts: str, **fields: object) -> None:
    for position, text in enumerate(texts, 1):
        StepAlternative.objects.create(solution=solution, step_index=step, position=position, text=text, **fields)


def walking(overlap: int = 1, steps: list[str] | None = None, **fields: object) -> Project:
    """Return an interactive project with one solution, which has two alternatives at its first step and one at its second."""
    project = make.project(step_source="interactive", overlap=overlap, **fields)
    solution = make.solution(make.problem(project), steps or STEPS)
    alternatives(solution, 0, "Subtract 2 from 3.", "Count.")
    alternatives(solution, 1, "It is 6.")
    make.batch(project, [solution])
    return project


def rate(step: int, *ratings: int | None, chosen: int | None = None, text: str | None = None) -> list[labels.Rating]:
    """Return ratings of the completions of a step in order of position. One is chosen, or the step is written."""
    rated: list[labels.Rating] = [
        {"step": step, "position": position, "rating": rating, "flagged": rating is None, "ms": 5}
        for position, rating in enumerate(ratings)
    ]
    if chosen is not None:
        rated[chosen]["chosen"] = True
    return rated if text is None else [*rated, {"step": step, "rating": None, "flagged": False, "ms": 5, "text": text}]


WALK = [*rate(0, 1, -1, 0, chosen=0), *rate(1, 1, -1, chosen=0), *rate(2, 1, chosen=0)]


def submit(lease: queue.Lease, labeler: User, ratings: list[labels.Rating], **other: object) -> Annotation:
    body = {"token": lease.token, "submission_id": uuid.uuid4(), "finish_reason": "solution", "active_ms": 5, "total_ms": 9}
    return labels.submit(lease.assignment_id, labeler=labeler, ratings=ratings, **{**body, **other})


def stored(annotation: Annotation, *columns: str) -> list[tuple]:
    rows = StepLabel.objects.filter(annotation=annotation).order_by("step_index", "position")
    return list(rows.values_list("step_index", "position", *columns))


def lease_of(project: Project) -> queue.Lease:
    return queue.lease_next(make.ann(project), project=project)


# --- what is shown ------------------------------------------------------------------------------------------------------


def test_after_a_mistake_the_first_four_alternatives_of_models_are_shown() -> None:
    project = make.project(alternatives_after_error=True)
    solution = make.solution(make.problem(project), STEPS)
    alternatives(solution, 1, "a", STEPS[1], "b", "a", "c", "d", "e")
    StepAlternative.objects.create(solution=solution, step_index=0, position=1, text="mine", author=make.ann(project))
    shown = completions.alternatives_at_mistake(solution.pk)
    assert shown == {1: [Completion(1, "a"), Completion(3, "b"), Completion(5, "c"), Completion(6, "d")]}


def test_completions_along_a_path_are_those_of_each_step_and_after_it() -> None:
    lease = lease_of(walking())
    shown = completions.completions_along(lease.solution_id, [{"position": 2}, {"text": "It is five."}])
    assert shown == [
        [Completion(0, STEPS[0]), Completion(1, "Subtract 2 from 3."), Completion(2, "Count.")],
        [Completion(0, STEPS[1]), Completion(1, "It is 6.")],
        [Completion(0, STEPS[2], is_final=True)],
    ]


def test_nothing_is_shown_after_the_end() -> None:
    lease = lease_of(walking())
    assert completions.completions_along(lease.solution_id, [{"text": "So 5.\n\n# Answer\n\n5"}])[1:] == [[]]


def test_the_last_step_of_a_loaded_solution_ends_it_in_any_wording() -> None:
    lease = lease_of(walking(steps=["Add.", "It is 5"]))
    assert completions.completions_along(lease.solution_id, [{"position": 0}])[1][0] == Completion(0, "It is 5", is_final=True)


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("unknown_completion", [{"position": 3}]),
        ("unknown_completion", [{"position": "0"}]),
        ("unknown_completion", [{"position": False}]),
        ("bad_path", [{}]),
        ("bad_path", [{"position": 0, "text": "both"}]),
        ("bad_path", ["0"]),
        ("bad_text", [{"text": "  "}]),
        ("after_answer", [{"text": "# Answer\n\n5"}, {"position": 0}]),
        ("after_answer", [{"text": "# Answer\n\n5"}]),
    ],
)
def test_a_bad_path_is_refused_with_its_code(code: str, path: list) -> None:
    lease = lease_of(walking())
    with pytest.raises(labels.BadSubmission) as caught:
        completions.next_completions(lease.assignment_id, labeler=make.ann(), token=lease.token, path=path)
    assert caught.value.code == code


def test_only_the_holder_of_the_assignment_sees_the_next_step() -> None:
    lease = lease_of(walking())
    for labeler, token in ((make.eve(), lease.token), (make.ann(), lease.token + 1)):
        with pytest.raises(queue.LeaseLost):
            completions.next_completions(lease.assignment_id, labeler=labeler, token=token, path=[])


def test_a_reopened_walk_may_go_another_way() -> None:
    lease = lease_of(walking())
    submit(lease, make.ann(), WALK)
    shown = completions.next_completions(lease.assignment_id, labeler=make.ann(), token=0, path=[{"position": 2}])
    assert [one.position for one in shown] == [0, 1]


def test_a_project_of_whole_solutions_has_no_next_step() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    lease = lease_of(project)
    with pytest.raises(labels.BadSubmission) as caught:
        completions.next_completions(lease.assignment_id, labeler=make.ann(), token=lease.token, path=[])
    assert caught.value.code == "not_interactive"


# --- a walk is labeled --------------------------------------------------------------------------------------------------


def test_a_walk_stores_every_completion_shown_and_which_was_chosen() -> None:
    annotation = submit(lease_of(walking()), make.ann(), WALK)
    assert stored(annotation, "rating", "flagged", "chosen", "shown_at") == [
        (0, 0, 1, False, True, 0),
        (0, 1, -1, False, False, 1),
        (0, 2, 0, False, False, 2),
        (1, 0, 1, False, True, 0),
        (1, 1, -1, False, False, 1),
        (2, 0, 1, False, True, 0),
    ]


def test_a_walk_goes_on_from_a_step_written_by_hand() -> None:
    project = walking()
    sent = [*rate(0, 0, -1, None, text="Add 3 to 2."), *rate(1, -1, -1, text="So 5.\n\n# Answer\n\n5")]
    annotation = submit(lease_of(project), make.ann(), sent)
    mine = StepAlternative.objects.filter(author=make.ann()).order_by("step_index")
    assert list(mine.values_list("step_index", "position", "text")) == [(0, 3, "Add 3 to 2."), (1, 2, "So 5.\n\n# Answer\n\n5")]
    assert stored(annotation, "rating", "flagged", "chosen", "shown_at")[3] == (0, 3, None, False, True, None)
    assert labels.reopen(annotation.pk, labeler=make.ann(), project=project) == (annotation, sent)


def test_a_walk_broken_off_keeps_what_was_shown_last_without_a_rating() -> None:
    project = walking()
    sent = [*rate(0, 1, -1, -1, chosen=0), *rate(1, 0)]
    annotation = submit(lease_of(project), make.ann(), sent, finish_reason="give_up", reason="hard")
    assert stored(annotation, "rating", "chosen")[3:] == [(1, 0, 0, False), (1, 1, None, False)]
    assert labels.reopen(annotation.pk, labeler=make.ann(), project=project) == (annotation, sent)


@pytest.mark.parametrize(
    ("sent", "n_stored"), [([], 3), (rate(0, 1, -1, -1, chosen=0), 5), (WALK, 6)], ids=["at once", "after a choice", "at the end"]
)
def test_a_bad_problem_may_be_called_at_any_time(sent: list[labels.Rating], n_stored: int) -> None:
    annotation = submit(lease_of(walking()), make.ann(), sent, finish_reason="bad_problem", reason="no picture")
    assert len(stored(annotation)) == n_stored


FIRST = rate(0, 1, -1, 0, chosen=0)


@pytest.mark.parametrize(
    ("code", "sent", "finish_reason"),
    [
        ("bad_finish_reason", WALK, "found_error"),
        ("empty", [], "solution"),
        ("unfinished", FIRST, "solution"),
        ("unrated_step", [*rate(0, 1, -1, chosen=0), *WALK[3:]], "solution"),
        ("unrated_step", [*FIRST, *WALK[5:]], "solution"),
        ("unrated_step", [*rate(0, 1, text="mine"), *WALK[3:]], "solution"),
        ("unrated_step", rate(0, 1, chosen=0), "give_up"),
        ("nothing_chosen", [*rate(0, 1, -1, 0), *WALK[3:]], "solution"),
        ("nothing_chosen", [*rate(0, 1, -1, 0), *WALK[3:]], "give_up"),
        ("nothing_chosen", rate(0, 1, -1, 0), "solution"),
        ("two_chosen", [*rate(0, 1, -1, 0, chosen=0, text="mine"), *WALK[3:]], "solution"),
        ("two_chosen", [{**one, "rating": 1, "chosen": True} for one in FIRST], "solution"),
        ("chosen_not_positive", [*rate(0, 0, -1, 0, chosen=0), *WALK[3:]], "solution"),
        ("chosen_not_positive", [*rate(0, None, -1, 0, chosen=0), *WALK[3:]], "solution"),
        ("unknown_step", [*rate(0, 1, -1, 0, 0, chosen=0), *WALK[3:]], "solution"),
        ("unknown_step", [*WALK, {"step": 2000, "rating": 1}], "solution"),
        ("after_answer", [*WALK, *rate(3, text="and more")], "solution"),
    ],
)
def test_a_bad_walk_is_refused_with_its_code_and_changes_nothing(code: str, sent: list, finish_reason: str) -> None:
    lease = lease_of(walking())
    with pytest.raises(labels.BadSubmission) as caught:
        submit(lease, make.ann(), sent, finish_reason=finish_reason, reason="because")
    assert (caught.value.code, Annotation.objects.count()) == (code, 0)
    assert Assignment.objects.get(pk=lease.assignment_id).state == "leased"


def test_a_walk_without_a_reason_is_not_broken_off() -> None:
    with pytest.raises(labels.BadSubmission) as caught:
        submit(lease_of(walking()), make.ann(), FIRST, finish_reason="give_up")
    assert caught.value.code == "no_reason"


# --- the generator ------------------------------------------------------------------------------------------------------


def go_on(lease: queue.Lease, *path: dict, labeler: User | None = None) -> list[Completion]:
    return completions.next_completions(lease.assignment_id, labeler=labeler or make.ann(), token=lease.token, path=path)


def test_the_generator_continues_from_a_text_that_is_no_step_of_the_solution(settings) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.generate"
    lease = lease_of(walking(completions_per_step=2))
    assert [one.text for one in go_on(lease, {"position": 0})] == [STEPS[1], "It is 6."]
    assert go_on(lease, {"position": 2}) == [Completion(2, "1 after Count. way 0"), Completion(3, "1 after Count. way 1")]
    grown = StepAlternative.objects.filter(prefix__isnull=False)
    assert {(row.step_index, row.author, bytes(row.prefix)) for row in grown} == {(1, None, completions.digest(["Count."]))}


def test_everybody_on_the_same_path_sees_the_same_texts(settings) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.generate"
    project = walking(overlap=2)
    first = go_on(lease_of(project), {"text": "By hand."})
    settings.STEPMARK_GENERATOR = f"{HERE}.fail"
    assert go_on(queue.lease_next(make.ben(project), project=project), {"text": "By hand."}, labeler=make.ben()) == first


def test_a_walk_through_generated_texts_is_stored(settings) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.generate"
    project = walking(completions_per_step=2)
    lease = lease_of(project)
    go_on(lease, {"position": 2})
    assert [one.is_final for one in go_on(lease, {"position": 2}, {"position": 3})] == [True, True]
    sent = [*rate(0, 0, 0, 1, chosen=2), *({**one, "position": one["position"] + 2} for one in rate(1, -1, 1, chosen=1))]
    sent += [{**one, "position": one["position"] + 1} for one in rate(2, 1, 1, chosen=0)]
    annotation = submit(lease, make.ann(), sent)
    assert [row[:2] for row in stored(annotation, "chosen") if row[2]] == [(0, 2), (1, 3), (2, 1)]


def test_a_generator_gives_each_text_once_and_no_more_than_asked(settings) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.doubled"
    assert [one.text for one in go_on(lease_of(walking(completions_per_step=2)), {"position": 2})] == ["one", "two"]


@pytest.mark.parametrize("name", ["fail", "silent", "no_texts"])
def test_where_the_generator_fails_the_step_is_written_by_hand(settings, name: str) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.{name}"
    lease = lease_of(walking())
    with patch.object(completions.log, "exception"), pytest.raises(NoCompletion, match="rite the step yourself"):
        go_on(lease, {"position": 2})
    sent = [*rate(0, 0, 0, 1, chosen=2), *rate(1, text="So 5.\n\n# Answer\n\n5")]
    assert len(stored(submit(lease, make.ann(), sent))) == 4


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_get_one_set_of_texts(settings) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.generate"
    project = walking(overlap=2)
    ann, ben = make.ann(project), make.ben(project)
    leases = {person: queue.lease_next(person, project=project) for person in (ann, ben)}
    one, two = make.at_once([lambda who=who: go_on(leases[who], {"position": 2}, labeler=who) for who in (ann, ben)])
    assert one == two and len(one) == 4
    assert StepAlternative.objects.filter(prefix__isnull=False).count() == 4


@pytest.mark.django_db(transaction=True)
def test_two_people_who_write_a_step_at_once_get_a_position_each() -> None:
    project = walking(overlap=2)
    ann, ben = make.ann(project), make.ben(project)
    leases = {person: queue.lease_next(person, project=project) for person in (ann, ben)}

    def write(who: User) -> Annotation:
        return submit(leases[who], who, rate(0, 0, 0, 0, text=f"{who}: # Answer\n\n5"))

    made = make.at_once([lambda who=who: write(who) for who in (ann, ben)])
    assert all(isinstance(one, Annotation) for one in made)
    mine = StepAlternative.objects.filter(author__isnull=False, step_index=0)
    assert sorted(mine.values_list("position", flat=True)) == [3, 4]


def bare(count: int = 3, **fields: object) -> Project:
    """Return an interactive project with problems that have no solution."""
    project = make.project(**{"step_source": "interactive", **fields})
    for _ in range(count):
        make.problem(project)
    return project


def fail_at_first(problem: str, steps: list[str], count: int) -> list[str]:
    if problem == Problem.objects.earliest("pk").statement:
        raise TimeoutError
    return generate(problem, steps, count)


def test_the_generator_begins_problems_that_have_no_solution(settings) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.generate"
    project = bare(completions_per_step=2)
    make.problem(project, split="test")
    make.solution(make.problem(project))
    batch, failed = completions.open_interactive(project)
    assert (batch.state, batch.task_set.count(), failed) == ("open", 3, 0)
    lease = lease_of(project)
    assert lease.steps == ["0 way 0"]
    assert go_on(lease) == [Completion(0, "0 way 0"), Completion(1, "0 way 1")]
    assert [one.text for one in go_on(lease, {"position": 0})] == ["1 after 0 way 0 way 0", "1 after 0 way 0 way 1"]


def test_what_was_begun_and_not_published_is_not_begun_again(settings) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.generate"
    project = bare()
    with patch.object(completions, "open_batch", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        completions.open_interactive(project, size=2)
    assert completions.open_interactive(project, size=2)[0].task_set.count() == Solution.objects.count() == 2
    assert completions.open_interactive(project)[0].task_set.count() == 1


def test_a_problem_the_generator_fails_on_waits_for_the_next_run(settings) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.fail_at_first"
    with patch.object(completions.log, "exception"):
        batch, failed = completions.open_interactive(bare())
    assert (batch.task_set.count(), failed) == (2, 1)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("generate", {"step_source": "solution"}, "collects labels of whole solutions"),
        (None, {}, "Set STEPMARK_GENERATOR"),
        ("fail", {}, "3 times in a row: the model does not answer"),
        ("generate", {"count": 0}, "Load more problems"),
    ],
    ids=["whole solutions", "no generator", "down", "nothing left"],
)
def test_a_batch_that_cannot_begin_is_refused_in_one_sentence(settings, name: str | None, fields: dict, message: str) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.{name}" if name else ""
    project = bare(**{"step_source": "interactive", **fields})
    with patch.object(completions.log, "exception"), pytest.raises(CommandError, match=message) as refused:
        call_command("open_interactive", "--project", project.slug)
    assert (refused.value.returncode, Batch.objects.count()) == (2, 0)


def test_the_command_tells_what_it_opened(settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.STEPMARK_GENERATOR = f"{HERE}.generate"
    bare(2)
    call_command("open_interactive", "--project", "sums", "--size", "2")
    assert "Opened the selected batch 0 of sums." in capsys.readouterr().out


@pytest.mark.parametrize("path", ["tests.nowhere.generate", f"{HERE}.nothing", f"{HERE}.STEPS", "generate"])
def test_a_generator_that_is_no_function_is_an_error_before_the_site_starts(settings, path: str) -> None:
    settings.STEPMARK_GENERATOR = path
    [error] = [one for one in checks.run_checks() if one.id == "annotation.E001"]
    assert error.is_serious() and "STEPMARK_GENERATOR" in error.msg and path in error.msg


def test_a_generator_that_is_a_function_or_none_at_all_is_fine(settings) -> None:
    for path in ("", f"{HERE}.generate"):
        settings.STEPMARK_GENERATOR = path
        assert check_generator() == []
