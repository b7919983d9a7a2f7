"""What the client reads: lists without pages, labels as a table, rounds that are waited for, models with their scores."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from stepmark_client import Conflict, NotFound, PandasMissing, Stepmark, WorkEnded
from stepmark_client.labels import COLUMNS

from active_learning.models import Round, Score, ScoreJob, ScoreJobItem
from annotation.models import Membership, Project
from tests import make
from tests.client.conftest import Line
from tests.verdicts import corrected, judged

pytestmark = pytest.mark.django_db
Enter = Callable[..., Stepmark]


def test_a_list_is_read_over_all_its_pages_and_from_a_cursor_on(enter: Enter, sums: Project, line: Line) -> None:
    keys = [one.pk for one in make.solutions(sums, 5)]
    solutions = enter().project("sums").solutions
    assert [one.id for one in solutions.iterate(limit=2)] == keys == [one.id for one in solutions] and len(line.sent) == 4
    first, *_ = solutions.pages(limit=2)
    rest = [item.id for page in solutions.pages(cursor=first.next_) for item in page.items]
    assert rest == keys[2:]


def test_a_list_asks_for_a_page_when_it_is_needed(enter: Enter, sums: Project, line: Line) -> None:
    make.solutions(sums, 5)
    next(enter().project("sums").solutions.iterate(limit=1))
    assert len(line.sent) == 1


def test_filters_are_those_of_the_site_and_another_one_is_refused(enter: Enter, sums: Project) -> None:
    make.solutions(sums, 2)
    right = make.solution(make.problem(sums), outcome="correct")
    solutions = enter().project("sums").solutions
    assert [one.id for one in solutions.iterate(outcome="correct")] == [right.pk]
    with pytest.raises(TypeError, match="colour"):
        list(solutions.iterate(colour="red"))


def test_one_thing_is_read_by_its_key(enter: Enter, sums: Project) -> None:
    solution = make.solution(make.problem(sums))
    project = enter().project("sums")
    assert project.solutions.get(solution.pk).steps == solution.steps
    assert project.problems.get(solution.problem_id).statement == solution.problem.statement
    with pytest.raises(NotFound):
        project.consensus.get(solution.pk)


def test_the_projects_and_the_members_are_listed(enter: Enter) -> None:
    site = enter()
    assert [one.slug for one in site.projects] == ["sums"] and site.project("sums").details().role == "owner"
    assert [one.username for one in site.project("sums").people] == ["olga"]


def test_labels_are_a_table_with_a_row_for_each_rated_step(enter: Enter, sums: Project) -> None:
    solution = make.solution(make.problem(sums))
    first = judged(solution, "ann", 1)
    again = corrected(first, [1, 1, 0])
    table = enter().project("sums").labels.to_pandas(solution=solution.pk)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == COLUMNS
    assert table[["annotation", "step", "rating"]].to_numpy().tolist() == [
        [first.pk, 0, 1], [first.pk, 1, -1], [again.pk, 0, 1], [again.pk, 1, 1], [again.pk, 2, 0],
    ]  # fmt: skip
    pseudonym = str(Membership.objects.get(user__username="ann").export_uuid)
    assert set(table["labeler"]) == {pseudonym} and set(table[table["mark"] == ""]["annotation"]) == {again.pk}
    assert table["supersedes"].isna().tolist() == [True, True, False, False, False] and str(table["created_at"].dt.tz) == "UTC"


def test_a_project_without_labels_gives_a_table_with_the_same_columns(enter: Enter) -> None:
    table = enter().project("sums").labels.to_pandas()
    assert len(table) == 0 and {name: str(kind) for name, kind in table.dtypes.items()} == COLUMNS


def test_every_list_can_be_a_table(enter: Enter, sums: Project) -> None:
    make.solutions(sums, 2)
    table = enter().project("sums").solutions.to_pandas()
    assert len(table) == 2 and {"id", "steps", "outcome"} <= set(table.columns)


def test_only_tables_need_pandas(enter: Enter, sums: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(make.solution(make.problem(sums)), "ann", 0)
    monkeypatch.setitem(sys.modules, "pandas", None)
    labels = enter().project("sums").labels
    assert [row["rating"] for row in labels] == [-1]
    with pytest.raises(PandasMissing, match=r"pip install 'stepmark-client\[pandas\]'"):
        labels.to_pandas()


# --- rounds and models ----------------------------------------------------------------------------------------------------------


class Later:
    """What happens to a round or a job, one change each time the client has waited."""

    def __init__(self, *changes: dict[str, Any], of: Any = Round) -> None:
        self.changes, self.waited, self.of = list(changes), [], of

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        if self.changes:
            self.of.objects.update(**self.changes.pop(0))

    def monotonic(self) -> float:
        return sum(self.waited)


def started(enter: Enter, sums: Project) -> Any:
    make.solutions(sums, 3)
    return enter().project("sums").rounds.start(strategy="uniform", size=2, review=True)


def test_a_round_is_waited_for_with_its_progress(enter: Enter, sums: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    going = {"stage": "score", "done": 3, "total": 9, "seconds_left": 2}
    later = Later({"state": "scoring", "progress": going}, {}, {"state": "proposed", "progress": {}})
    later.changes[1] = {"state": "scoring"}
    monkeypatch.setattr("stepmark_client.work.time", later)
    told: list[Any] = []
    started_round = started(enter, sums)
    assert started_round.wait(progress=lambda *now: told.append(now), every=2) is started_round
    assert told == [("queued", 0, None), ("score", 3, 9), ("proposed", 0, None)] and later.waited == [2, 2, 2]
    assert started_round.state == "proposed" and "Round 0 of sums" in repr(started_round)


@pytest.mark.parametrize(
    "state,words", [("failed", "Round 0 of sums failed. The disk is full."), ("cancelled", "Round 0 of sums was cancelled.")]
)
def test_a_round_that_ends_in_another_way_is_an_error(
    enter: Enter, sums: Project, monkeypatch: pytest.MonkeyPatch, state: str, words: str
) -> None:
    failure = "The disk is full." if state == "failed" else ""
    monkeypatch.setattr("stepmark_client.work.time", Later({"state": state, "failure": failure}))
    with pytest.raises(WorkEnded) as ended:
        started(enter, sums).wait()
    assert str(ended.value) == words


def test_nobody_waits_longer_than_asked(enter: Enter, sums: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    later, asked = Later(), 12
    monkeypatch.setattr("stepmark_client.work.time", later)
    with pytest.raises(TimeoutError, match=f"Round 0 of sums is still queued after {asked} s"):
        started(enter, sums).wait(timeout=asked)
    assert later.waited == [5, 5, 2]


def test_rounds_are_listed_found_and_cancelled(enter: Enter, sums: Project) -> None:
    started(enter, sums)
    rounds = enter().project("sums").rounds
    assert [(one.number, one.state) for one in rounds] == [(0, "queued")] and rounds.get(0).cancel().state == "cancelled"
    assert [one.number for one in rounds.iterate(state="queued")] == []


def test_a_score_job_is_started_waited_for_and_read(enter: Enter, sums: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project, [solution] = enter().project("sums"), make.solutions(sums, 1)
    with pytest.raises(Conflict, match="no_serving_model"):
        project.score_jobs.start(solutions=[solution.pk])
    make.version(sums, 1, champion=True)
    job = project.score_jobs.start(solutions=[solution.pk], texts=[{"problem": "What is 1 + 1?", "steps": ["It is 2."]}])
    assert (job.how_far(), repr(job)) == (("queued", 0, 2), f"<Score job {job.id} of sums: queued>")
    done = Later({"state": "running"}, {"state": "done", "finished_at": timezone.now()}, of=ScoreJob)
    monkeypatch.setattr("stepmark_client.work.time", done)
    ScoreJobItem.objects.update(score=0.7, probabilities=[[0.1, 0.2, 0.7]])
    assert job.wait() is job and job.state == "done" and [one.id for one in project.score_jobs] == [job.id]
    assert [(one.solution, one.score, one.steps[0].positive) for one in job.scores] == [(solution.pk, 0.7, 0.7), (None, 0.7, 0.7)]
    with pytest.raises(Conflict):
        project.score_jobs.get(job.id).cancel()


def test_scores_are_those_of_a_model_or_of_the_one_that_serves(enter: Enter, sums: Project) -> None:
    project = enter().project("sums")
    with pytest.raises(LookupError, match="serves"):
        project.scores()
    make.version(sums, 1)
    version = make.version(sums, 2, champion=True)
    [solution] = make.solutions(sums, 1)
    make.score_table(version)
    Score.objects.create(model_version=version, solution_id=solution.pk, problem_id=solution.problem_id, score=0.25, outcome="wrong")
    assert project.models.serving().number == 2 and project.models.get(1).metrics.to_dict()["step_auc"] == 0.8
    assert [(one.solution, one.score) for one in project.scores()] == [(solution.pk, 0.25)] and list(project.scores(1)) == []
