"""The search for solutions and the page of one: what each filter finds, in which order, and what a manager does there."""

import html
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.postgres.search import SearchQuery
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from active_learning import pages
from active_learning.models import ModelVersion, Score, StepScores
from active_learning.pages import searching
from active_learning.pages.searching import SolutionFilter
from annotation import labels, quality, queue
from annotation.models import (
    Assignment,
    Batch,
    Event,
    GoldAnswer,
    Problem,
    Project,
    Solution,
    SolutionConsensus,
    StatementWords,
    StepConsensus,
    Task,
)
from tests import make
from tests.clients import rated, signed_in
from tests.verdicts import judged

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project("sums", name="Sums")


@pytest.fixture
def rita(project: Project) -> Client:
    return signed_in(make.rita(project))


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def serving(project: Project, number: int = 1) -> ModelVersion:
    """Let a model serve. Its scores have a partition, as a scoring makes it."""
    made = make.version(project, number, champion=True)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{made.pk} PARTITION OF active_learning_score FOR VALUES IN ({made.pk})")
    return made


def scored(version: ModelVersion, solution: Solution, score: float, weak: int | None = None) -> Solution:
    row = {"problem_id": solution.problem_id, "outcome": solution.outcome, "first_weak_step": weak}
    Score.objects.create(model_version=version, solution=solution, score=score, **row)
    return solution


def solved(project: Project, **fields: Any) -> Solution:
    return make.solution(make.problem(project), **fields)


def labeled(project: Project, *ratings: int, by: User | None = None, solution: Solution | None = None) -> Solution:
    made = solution or solved(project)
    make.batch(project, [made], generation=Batch.objects.filter(project=project).count() + 1)
    person = by or make.ann(project)
    lease = queue.lease_next(person, project=project)
    end = {"finish_reason": "found_error" if ratings[-1] == -1 else "solution", "reason": "", "active_ms": 9, "total_ms": 9}
    labels.submit(lease.assignment_id, labeler=person, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(*ratings), **end)
    return made


def found(project: Project, **looked_for: Any) -> list[Solution]:
    return [row.solution for row in pages.found_solutions(project, SolutionFilter(**looked_for))["rows"]]


def path(name: str, *more: int) -> str:
    return reverse(name, args=["sums", *more])


def text(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status
    return html.unescape(answer.content.decode())


# --- what a filter finds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "is_found"),
    [
        ("apples", True), ("APPLE bask", True), ("apples pears", False), ("pple", False), (r"\frac{1}{2}", True), ("3.5", True),
        ("4.5", False), ("it's", True), ("a & ! | (b", True), ("a & ! | (c", False), ("' \\ :*", False),
        ("apples\0", True), ("яблок", True),
    ],
)  # fmt: skip
def test_words_find_the_problems_that_have_all_of_them(project: Project, words: str, is_found: bool) -> None:
    statement = r"In a basket lie apples. It's $\frac{1}{2}$ of 3.5 яблока."
    made = make.solution(make.problem(project, statement=statement))
    solved(project)
    assert found(project, words=words) == ([made] if is_found else [])


def test_a_statement_longer_than_the_search_reads_can_be_stored_and_found(project: Project) -> None:
    made = make.solution(make.problem(project, statement="apples " + " ".join(f"w{n}" for n in range(300_000))))
    assert found(project, words="apples") == [made]


def test_each_filter_finds_what_it_says(project: Project) -> None:
    wrong, right = solved(project, source="gpt"), solved(project, source="llama", outcome="correct")
    gone = solved(project, source="llama-2")
    queue.withdraw(Solution.objects.filter(pk=gone.pk), actor=None)
    solved(make.project("others"), source="gpt")
    assert found(project) == [gone, right, wrong]
    assert found(project, source="llama") == [right]
    assert found(project, outcome="correct") == [right]
    assert found(project, withdrawn="yes") == [gone]
    assert found(project, withdrawn="no", outcome="wrong") == [wrong]


def test_labeled_solutions_are_found_by_person(project: Project) -> None:
    mine, theirs = labeled(project, 1, 1, 1), labeled(project, 1, -1, by=make.ben(project))
    bare = solved(project)
    assert found(project, labels="yes") == [theirs, mine]
    assert found(project, labels="no") == [bare]
    assert found(project, by="ann") == [mine]
    assert found(project, by="nobody") == []


def test_scores_limit_and_order_what_is_found(project: Project) -> None:
    version = serving(project)
    low, high, middle = (scored(version, solved(project), score) for score in (0.1, 0.9, 0.5))
    solved(project)
    assert found(project, order="high") == [high, middle, low]
    assert found(project, order="low") == [low, middle, high]
    assert found(project, least=0.3, most=0.6) == [middle]


def test_scores_of_a_model_that_does_not_serve_do_not_count(project: Project) -> None:
    serving(project)
    old = make.version(project, 2)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{old.pk} PARTITION OF active_learning_score FOR VALUES IN ({old.pk})")
    scored(old, solved(project), 0.5)
    assert found(project, order="high") == []


def test_without_a_model_that_serves_no_solution_has_a_score(project: Project) -> None:
    solved(project)
    assert found(project, order="high") == found(project, differs=True) == found(project, least=0.0) == []


@pytest.mark.parametrize(
    ("ratings", "weak", "differs"),
    [((1, -1), 1, False), ((1, -1), 0, True), ((1, -1), None, True), ((1, 0, 1), None, False), ((1, 0, 1), 2, True), ((-1,), 0, False)],
)
def test_a_person_and_the_model_disagree_if_their_first_mistakes_differ(
    project: Project, rita: Client, ratings: tuple[int, ...], weak: int | None, differs: bool
) -> None:
    version = serving(project)
    made = scored(version, labeled(project, *ratings), 0.5, weak)
    scored(version, solved(project), 0.5, 1)
    assert found(project, differs=True) == ([made] if differs else [])
    rows = {row.solution: row.differs for row in pages.found_solutions(project, SolutionFilter())["rows"]}
    assert rows[made] == differs
    assert ("person and model disagree" in text(rita, path("project-solution", made.pk))) == differs


# --- pages and neighbours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["", "high", "low"])
def test_pages_and_neighbours_go_through_the_same_set_in_the_same_order(
    project: Project, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(searching, "PAGE", 3)
    version = serving(project)
    problems = [make.problem(project) for _ in range(3)]
    for place in range(8):
        scored(version, make.solution(problems[place % 3]), (0.1, 0.7, 0.7)[place % 3])
    filter, seen, after = SolutionFilter(order=order), [], None
    while True:
        page = pages.found_solutions(project, filter, after=after)
        seen += [row.solution for row in page["rows"]]
        if (after := page["after"]) is None:
            break
    assert len(seen) == len(set(seen)) == 8
    around = [searching.neighbours(project, filter, solution) for solution in seen]
    keys = [solution.pk for solution in seen]
    assert around == list(zip([None, *keys[:-1]], [*keys[1:], None], strict=True))


def test_the_found_set_travels_in_the_address(project: Project, rita: Client) -> None:
    first, _, last = solved(project, source="a&b"), solved(project), solved(project, source="a&b")
    page = text(rita, path("solutions") + "?source=a%26b&outcome=")
    address = path("project-solution", last.pk) + "?source=a%26b"
    assert f'href="{address}"' in page
    page = text(rita, address)
    assert f'rel="next" href="{path("project-solution", first.pk)}?source=a%26b"' in page and 'rel="prev"' not in page


@pytest.mark.parametrize("address", ["?by=eve", "?least=x", "?after=0", "?outcome=good", "?least=nan"])
def test_a_found_set_that_cannot_be_read_leaves_the_solution_readable(project: Project, rita: Client, address: str) -> None:
    made = solved(project)
    assert f"Solution {made.pk}" in text(rita, path("project-solution", made.pk) + address)


# --- the list -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("least=2", "Smallest score must be a number from 0 to 1"),
        ("most=x", "Greatest score must be a number from 0 to 1"),
        ("least=nan", "Smallest score must be a number from 0 to 1"),
        ("least=0.9&most=0.1", "The greatest score 0.1 is below the smallest score 0.9."),
        ("outcome=good", "Outcome: “good” is not in the list."),
        ("by=eve", "Labeled by: “eve” is not in the list."),
        (f"words={'x' * 201}", "Write at most 200 characters"),
    ],
)
def test_a_wrong_filter_gets_a_sentence_and_keeps_what_was_typed(project: Project, rita: Client, query: str, sentence: str) -> None:
    page = text(rita, path("solutions") + f"?{query}&source=gpt", 400)
    assert sentence in page and 'value="gpt"' in page


def test_all_wrong_filters_are_named_at_once(project: Project, rita: Client) -> None:
    page = text(rita, path("solutions") + "?least=x&outcome=good", 400)
    assert "Smallest score" in page and "“good” is not in the list" in page


def test_an_empty_result_says_which_filters_to_relax(project: Project, rita: Client) -> None:
    solved(project)
    page = text(rita, path("solutions") + "?source=gp&differs=on")
    assert "No solution found" in page
    assert "Check the name of the generator." in page and "Leave out “Person and model disagree”." in page
    assert "Take fewer words" not in page


def test_an_empty_project_says_so(project: Project, rita: Client) -> None:
    assert "This project has no solutions yet." in text(rita, path("solutions"))


def test_more_than_a_page_is_not_counted(project: Project, rita: Client) -> None:
    problem = make.problem(project)
    made = [make.solution(problem) for _ in range(searching.PAGE + 1)]
    page = text(rita, path("solutions"))
    assert "More than 50 solutions" in page and f"after={made[1].pk}" in page
    assert "The last 1 solution" in text(rita, path("solutions") + f"?after={made[1].pk}")


def test_a_number_leads_to_its_solution(project: Project, rita: Client) -> None:
    assert path("project-solution", 12) in text(rita, path("solutions") + "?words=12")


def test_the_labels_are_one_click_from_the_solutions_and_back(project: Project, rita: Client) -> None:
    assert f'href="{path("annotations")}"' in text(rita, path("solutions"))
    assert f'href="{path("solutions")}"' in text(rita, path("annotations"))


def grow(project: Project, version: ModelVersion, count: int) -> list[Solution]:
    return [scored(version, labeled(project, 1, -1), 0.5, 0) for _ in range(count)]


@pytest.mark.parametrize("query", ["", "?words=What&source=&outcome=wrong&labels=yes&by=ann&least=0.1&order=high&differs=on"])
def test_the_search_costs_the_same_number_of_queries_for_one_and_for_many(project: Project, rita: Client, query: str) -> None:
    version = serving(project)
    grow(project, version, 1)
    with CaptureQueriesContext(
        connection,
    ) as few:
        assert "1 solution" in text(rita, path("solutions") + query)
    grow(project, version, 12)
    with CaptureQueriesContext(connection) as many:
        assert "13 solutions" in text(rita, path("solutions") + query)
    assert len(many) == len(few)


def test_a_solutions_page_costs_the_same_number_of_queries_with_one_and_with_many_labels(project: Project, rita: Client) -> None:
    version = serving(project)
    made = scored(version, solved(project), 0.5, 0)
    make.batch(project, [made], overlap=9)
    counts = []
    for name in ("ann", "ben", "cleo", "dan"):
        person = make.person(name, project)
        lease = queue.lease_next(person, project=project)
        end = {"finish_reason": "found_error", "reason": "", "active_ms": 9, "total_ms": 9}
        labels.submit(lease.assignment_id, labeler=person, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(1, -1), **end)
        with CaptureQueriesContext(connection) as queries:
            assert f"{name} sees the first mistake in step 2." in text(rita, path("project-solution", made.pk))
        counts.append(len(queries))
    assert len(set(counts)) == 1


@pytest.fixture
def large(new_tables: None) -> Project:
    """A project beside a larger one, with statistics of both: in a small table the planner takes any index, or none."""
    many = make.project("many")
    Problem.objects.bulk_create([Problem(project=many, external_id=str(n), statement=f"What is {n}?") for n in range(5_000)])
    project = make.project("large")
    make.solutions(project, 3)
    make.statistics()
    return project


@pytest.mark.parametrize(
    ("looked_for", "index"),
    [({}, "problem_in_order"), ({"source": "gpt"}, "solution_by_source"), ({"outcome": "unsure"}, "solution_by_outcome")],
)
def test_a_filter_has_an_index(large: Project, looked_for: dict[str, Any], index: str) -> None:
    filter = SolutionFilter(**looked_for)
    ordered = searching._ordered(searching._found(large, filter, None), filter)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off")
    plan = str(ordered[: searching.PAGE].explain())
    assert index in plan, plan


def test_words_are_looked_for_in_an_index(project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    problems = Problem.objects.alias(said=StatementWords("statement"))
    assert "problem_words" in problems.filter(said=SearchQuery("apples", config="simple")).explain()


# --- one solution ---------------------------------------------------------------------------------------------------------------


def test_the_history_names_what_happened_and_by_whom(project: Project, olga: Client) -> None:
    made = labeled(project, 1, -1, solution=solved(project, source="gpt"))
    olga.post(path("withdraw-solution", made.pk))
    seen = pages.scored_solution(project, None, made.pk)
    assert [(entry.words, entry.person) for entry in seen["history"]] == [
        ("Loaded, written by gpt", ""),
        ("Queued in the selected batch 1, which is open now", ""),
        ("Labeled in the selected batch 1: mistake found", "ann"),
        ("Withdrawn from labeling for good", "olga"),
    ]
    page = text(olga, path("project-solution", made.pk))
    assert path("annotation", seen["history"][2].annotation) in page and path("problem", made.problem_id) in page


def test_a_corrected_problem_stands_in_the_history_of_its_solutions_only(project: Project, olga: Client) -> None:
    first = make.problem(project)
    made, other = make.solution(first), solved(project)
    for number in (first.pk, int(f"{first.pk}0")):
        Event.objects.create(project=project, actor=make.olga(), verb="correct", subject=f"problem {number}: answer: 1 becomes 2")
    assert text(olga, path("project-solution", made.pk)).count("Problem corrected: answer: 1 becomes 2") == 1
    assert "Problem corrected" not in text(olga, path("project-solution", other.pk))


def test_events_of_a_solution_with_a_longer_number_are_not_its_own(project: Project, olga: Client) -> None:
    made = solved(project)
    Event.objects.create(project=project, verb="withdraw", subject=f"solution {made.pk}0")
    assert "Withdrawn" not in text(olga, path("project-solution", made.pk))


def test_the_page_of_a_model_is_the_same_page_with_its_scores(project: Project, rita: Client) -> None:
    serving(project, 2)
    made, other = solved(project), make.version(project, 3)
    StepScores.objects.create(model_version=other, solution=made, probabilities=[[0.75, 0.0, 0.25]] * 3)
    assert "--right: 0.25" in text(rita, path("solution", 3, made.pk)) and "History" in text(rita, path("solution", 3, made.pk))
    assert "--right" not in text(rita, path("project-solution", made.pk)) and "PRM 2" in text(rita, path("project-solution", made.pk))


def test_without_a_model_the_page_says_so_and_none_can_be_asked(project: Project, rita: Client) -> None:
    made = solved(project)
    assert "No model serves in this project yet, so the steps have no scores." in text(rita, path("project-solution", made.pk))
    answer = rita.post(path("project-solution", made.pk), follow=True)
    assert "No model serves in this project yet, so none can score." in answer.content.decode()


def test_withdrawing_asks_first_and_says_in_numbers_what_it_does(project: Project, olga: Client) -> None:
    made = solved(project)
    make.batch(project, [made], overlap=3)
    queue.lease_next(make.ann(project), project=project)
    page = text(olga, path("withdraw-solution", made.pk) + "?outcome=wrong")
    assert "This is for good." in page and "2 open places in the queue close." in page and "1 person has it now." in page
    assert "It has no stored labels." in page
    assert Solution.objects.get(pk=made.pk).withdrawn_at is None
    answer = olga.post(path("withdraw-solution", made.pk) + "?outcome=wrong")
    assert answer.url == path("project-solution", made.pk) + "?outcome=wrong"
    assert Solution.objects.get(pk=made.pk).withdrawn_at and Event.objects.get(verb="withdraw").actor == make.olga()
    assert set(Assignment.objects.values_list("state", flat=True)) == {"closed"}


def test_a_second_withdrawal_changes_nothing_and_says_so(project: Project, olga: Client) -> None:
    made = solved(project)
    queue.withdraw(Solution.objects.filter(pk=made.pk), actor=None)
    at = Solution.objects.get(pk=made.pk).withdrawn_at
    answer = olga.post(path("withdraw-solution", made.pk), follow=True)
    assert "was withdrawn before. Nothing was changed now." in answer.content.decode()
    assert Solution.objects.get(pk=made.pk).withdrawn_at == at and Event.objects.filter(verb="withdraw").count() == 1


def test_a_waiting_solution_is_handed_out_first(project: Project, olga: Client) -> None:
    first, second = solved(project), solved(project)
    make.batch(project, [first, second])
    assert "Hand it out first" in text(olga, path("project-solution", second.pk))
    olga.post(path("prioritise-solution", second.pk))
    lease = queue.lease_next(make.ann(project), project=project)
    assert Task.objects.get(assignment=lease.assignment_id).solution == second
    assert "Put before the other solutions of the batch" in text(olga, path("project-solution", second.pk))


@pytest.mark.parametrize("prepare", [solved, lambda project: labeled(project, 1, -1)], ids=["not queued", "labeled"])
def test_a_solution_that_does_not_wait_cannot_be_handed_out_first(
    project: Project, olga: Client, prepare: Callable[[Project], Solution]
) -> None:
    made = prepare(project)
    assert "Hand it out first" not in text(olga, path("project-solution", made.pk))
    answer = olga.post(path("prioritise-solution", made.pk), follow=True)
    assert "has no open place in the queue any more. Nothing was changed." in answer.content.decode()
    assert not Event.objects.filter(verb="prioritise").exists()


def test_a_researcher_reads_and_changes_nothing(project: Project, rita: Client) -> None:
    made = solved(project)
    page = text(rita, path("project-solution", made.pk))
    assert "Withdraw" not in page and path("problem", made.problem_id) not in page
    for name in ("withdraw-solution", "prioritise-solution"):
        assert rita.post(path(name, made.pk)).status_code == 404


def test_a_solution_of_another_project_is_missing_for_every_act(project: Project, olga: Client) -> None:
    foreign = solved(make.project("others"))
    for name in ("project-solution", "withdraw-solution"):
        assert olga.get(path(name, foreign.pk)).status_code == 404
    for name in ("project-solution", "withdraw-solution", "prioritise-solution"):
        assert olga.post(path(name, foreign.pk)).status_code == 404
    assert Solution.objects.get(pk=foreign.pk).withdrawn_at is None
    assert Problem.objects.filter(project=project).count() == 0


# --- the consensus beside each person's ratings ---------------------------------------------------------------------------------


def text_of(client: Client, solution: Solution) -> str:
    page = client.get(path("project-solution", solution.pk)).content.decode()
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def read_by(project: Project, marks: dict[str, list[int | None]]) -> list[Solution]:
    solutions = make.solutions(project, len(next(iter(marks.values()))))
    for name, mistakes in marks.items():
        for solution, mistake in zip(solutions, mistakes, strict=True):
            judged(solution, name, mistake)
    return solutions


def test_the_page_says_what_all_people_together_say_and_how_sure_that_is(project: Project, rita: Client) -> None:
    solution, *_ = read_by(project, {"ann": [1] * 12, "ben": [1] * 11 + [None], "cy": [2] + [1] * 11})
    quality.settle(project)
    text, row = text_of(rita, solution), SolutionConsensus.objects.get(pk=solution.pk)
    assert f"3 people judged this solution. Most likely the first mistake is in step 2. That there is no mistake: {row.p_none:.0%}." in text
    assert f"How open that is: {row.entropy:.1f} of 2.0 bits." in text
    second = StepConsensus.objects.get(solution=solution, step_index=1)
    assert f"together: ✕ negative, first mistake {second.p_first:.0%}" in text
    assert "together: ✓ positive" in text and "cy: ✓ positive" in text and "ann: ✕ negative" in text


def test_the_page_says_that_the_scores_of_a_model_had_a_part_in_the_consensus(project: Project, rita: Client) -> None:
    solution, *_ = read_by(project, {"ann": [1] * 12, "ben": [1] * 12})
    quality.settle(project)
    assert "the prior" not in text_of(rita, solution)
    quality.settle(project, prior=quality.Prior(4, {}))
    assert "The scores of model 4 were the prior. So this does not show how good model 4 is." in text_of(rita, solution)


def test_the_page_shows_what_a_reviewer_decided_beside_what_people_said(project: Project, rita: Client) -> None:
    [solution] = read_by(project, {"ann": [1], "ben": [None]})
    judged(solution, make.rolf(project), 2, kind="review")
    GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[1])
    quality.settle(project)
    text = text_of(rita, solution)
    assert "A reviewer decided that the first mistake is in step 3." in text
    assert "The gold of this solution says something else. The decision of the reviewer counts." in text
    assert "rolf: ✕ negative" in text and "ann: ✕ negative" in text and "ben: ✓ positive" in text


def test_of_one_verdict_the_page_gives_no_number(project: Project, rita: Client) -> None:
    [solution] = read_by(project, {"ann": [None]})
    quality.settle(project)
    text = text_of(rita, solution)
    assert "Only one person judged this solution, and says that there is no mistake. Nothing tells how sure that is." in text
    assert "first mistake" not in text and " bits" not in text


def test_the_page_says_that_all_gave_up(project: Project, rita: Client) -> None:
    solution = solved(project)
    judged(solution, "ann", ratings=[1], finish_reason="give_up")
    judged(solution, "ben", ratings=[], finish_reason="bad_problem")
    quality.settle(project)
    assert "Everybody gave up on this solution or called its problem bad, so there is no consensus." in text_of(rita, solution)


def test_the_page_says_that_new_verdicts_wait_to_be_settled(project: Project, rita: Client) -> None:
    [solution] = read_by(project, {"ann": [None]})
    assert "These verdicts are not settled yet" in text_of(rita, solution)


def test_without_a_verdict_the_page_says_nothing_of_a_consensus(project: Project, rita: Client) -> None:
    assert "data-consensus" not in rita.get(path("project-solution", solved(project).pk)).content.decode()


def test_paths_of_an_interactive_project_have_no_consensus_on_the_page(rita: Client, project: Project) -> None:
    Project.objects.update(step_source="interactive")
    project.refresh_from_db()
    [solution] = read_by(project, {"ann": [None]})
    quality.settle(project)
    assert "People take different paths in an interactive project, so their verdicts are not compared." in text_of(rita, solution)


def test_a_solution_that_many_people_labeled_is_listed_with_some_of_them(
    project: Project, rita: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "VERDICTS", 2)
    many, few = make.solutions(project, 2)
    for number, name in enumerate(("p1", "p2", "p3")):
        person = make.person(name, project)
        judged(many, person, None)
        if number < 2:
            judged(few, person, None)
    rows = {row.solution: row for row in pages.found_solutions(project, SolutionFilter())["rows"]}
    assert [([verdict.labeler for verdict in rows[one].verdicts], rows[one].has_more) for one in (many, few)] == [
        (["p1", "p2"], True),
        (["p1", "p2"], False),
    ]
    assert rita.get(reverse("solutions", args=[project.slug])).content.decode().count(", and more people") == 1
    [row] = pages.found_solutions(project, SolutionFilter(by="p3"))["rows"]
    assert "p3" in [verdict.labeler for verdict in row.verdicts]  # the person who is looked for is always listed
