"""The pages that show rounds: the stages of one, what it chose and brought, all rounds over time, the overview."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from active_learning import pages, rounds
from active_learning.models import Round, RoundStage
from active_learning.pages import brought
from active_learning.pages.brought import Share
from active_learning.site_state import SET_ASIDE, GivenUp, SupervisorFile
from annotation import labels, queue
from annotation.models import Project
from tests import make
from tests.proposals import page, path, proposed

pytestmark = pytest.mark.django_db


def rate(project: Project, n: int, *ratings: int, by: User | None = None, reason: str = "") -> None:
    """Have somebody rate the next n solutions of the queue alike."""
    labeler = by or make.ann(project)
    for _ in range(n):
        lease = queue.lease_next(labeler, project=project)
        labels.submit(
            lease.assignment_id,
            labeler=labeler,
            token=lease.token,
            submission_id=uuid.uuid4(),
            active_ms=1,
            total_ms=1,
            ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
            reason="unreadable" if reason else "",
            finish_reason=reason or ("found_error" if -1 in ratings else "solution"),
        )


# --- the stages ---------------------------------------------------------------------------------------------------------------


def stage(round_: Round, name: str, *, seconds: int = 5, message: str = "", **fields: Any) -> None:
    begun = timezone.now() - timedelta(seconds=60)
    defaults = {"attempt": 1, "began_at": begun, "ended_at": begun + timedelta(seconds=seconds)}
    log = [[begun.isoformat(), message]] if message else []
    RoundStage.objects.create(round=round_, name=name, log=log, **(defaults | fields))


def test_the_loop_is_drawn_with_the_stage_it_is_at(project: Project, olga: Client) -> None:
    round_ = make.round_of(
        project, {"convincing": make.solutions(project, 1)}, state="scoring", progress={"stage": "scoring", "done": 3, "total": 9}
    )
    stage(round_, "train", failure="Its worker was lost.")
    stage(round_, "train", attempt=2, seconds=65, message="PRM model 1 is ready.")
    stage(round_, "judge")
    stage(round_, "score", ended_at=None, message="Model 1 reads.")
    seen = pages.one_round(project, round_.number)
    assert [(one.name, one.state) for one in seen["stages"]] == [
        ("train", "done"),
        ("judge", "done"),
        ("score", "now"),
        ("select", "waiting"),
        ("publish", "waiting"),
    ]
    durations = [(attempt.number, attempt.lasted.replace("\N{NO-BREAK SPACE}", " ")) for _, attempt in seen["attempts"][:2]]
    assert durations == [(1, "5 s"), (2, "1 min 5 s")]
    html = page(olga, "round", round_.number)
    messages = ("Its worker was lost.", "PRM model 1 is ready.", "Model 1 reads.")
    for words in ('aria-current="step"', "3 of 9", 'hx-trigger="every 2s"', *messages):
        assert words in html, words


def test_a_failed_round_says_where_and_why_and_no_more_is_to_come(project: Project, olga: Client) -> None:
    round_ = make.round_of(
        project,
        {"convincing": make.solutions(project, 1)},
        state="failed",
        failure="No wrong answers are left. Load more.",
        finished_at=timezone.now(),
        findings={"chosen_with": 1},
    )
    stage(round_, "train")
    stage(round_, "judge")
    stage(round_, "score")
    stage(round_, "select", failure="No wrong answers are left. Load more.")
    seen = pages.one_round(project, round_.number)
    assert [one.state for one in seen["stages"]] == ["done", "done", "done", "failed", "skipped"]
    html = page(olga, "round", round_.number)
    assert '<p class="notice bad">No wrong answers are left. Load more.</p>' in html and "hx-get" not in html
    assert "Cancel" not in html and "Compose a round" in html


def test_a_uniform_round_neither_trains_nor_scores(project: Project) -> None:
    plan = {"train": False, "sample": {"per_problem": 2}}
    round_ = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="queued", plan=plan)
    assert [one.name for one in pages.one_round(project, round_.number)["stages"]] == ["sample", "select", "publish"]


def test_a_round_that_trains_an_orm_chooses_nothing(project: Project, olga: Client) -> None:
    trained = make.version(project, 1, kind="orm")
    plan = {"kind": "orm", "recipe": None, "train": True}
    round_ = Round.objects.create(project=project, generation=0, plan=plan, state="published", model_version=trained)
    assert [one.name for one in pages.one_round(project, round_.number)["stages"]] == ["train", "judge"]
    assert "trains an ORM" in page(olga, "round", round_.number) and "trains an ORM" in page(olga, "rounds")


def test_a_proposal_waits_for_a_person_and_asks_for_no_news(project: Project, olga: Client) -> None:
    round_ = proposed(project)
    stage(round_, "select")
    seen = pages.one_round(project, round_.number)
    assert seen["stages"][-1].state == "person" and not seen["is_moving"]
    assert 'hx-trigger="every 2s"' not in page(olga, "round", round_.number)


def test_the_fragment_goes_on_until_the_page_has_something_else_to_say(project: Project, olga: Client) -> None:
    progress = {"stage": "x", "done": 1, "total": 2}
    round_ = make.round_of(project, {"convincing": make.solutions(project, 1)}, state="training", progress=progress)
    seen = pages.one_round(project, round_.number)["seen"]
    fragment = olga.get(path("round", round_.number), {"seen": seen}, HTTP_HX_REQUEST="true")
    assert b"1 of 2" in fragment.content and b"<html" not in fragment.content
    stage(round_, "train")
    assert olga.get(path("round", round_.number), {"seen": seen}, HTTP_HX_REQUEST="true")["HX-Refresh"] == "true"


def test_a_round_from_before_stages_were_written_down_has_a_page(project: Project, olga: Client) -> None:
    old = make.round_of(project, {"convincing": make.solutions(project, 3)})
    assert {one.state for one in pages.one_round(project, old.number)["stages"]} == {"done"}
    assert "Round 0" in page(olga, "round", old.number) and "Round 0" not in page(olga, "compose")


# --- what it brought ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "n", "words"), [(0, 0, "–"), (8, 10, "80% (49% to 94%)"), (0, 10, "0% (0% to 28%)"), (10, 10, "100% (72% to 100%)")]
)
def test_a_share_has_wilsons_interval(k: int, n: int, words: str) -> None:
    assert Share(k, n).words == words


def test_what_a_round_brought_is_told_by_part(project: Project, olga: Client) -> None:
    version = make.version(project, 1, champion=True)
    chosen = {"convincing": make.solutions(project, 3), "uniform": make.solutions(project, 2)}
    round_ = make.round_of(project, chosen, model_version=version, findings={"chosen_with": 1})
    rate(project, 2, 1, -1)
    rate(project, 1, 1, 1, 1)
    rate(project, 1, 1, 1, 1)
    rate(project, 1, reason="bad_problem")
    brought_ = pages.one_round(project, round_.number)["brought"]
    assert [(part.label, part.n, part.confirmed) for part in brought_["parts"]] == [
        ("Convincing wrong answers", 3, Share(2, 3)),
        ("At random", 2, Share(0, 1)),
    ]
    assert brought_["whole"].confirmed == Share(2, 4) and brought_["aside"] == 1
    assert "67% (21% to 94%)" in page(olga, "round", round_.number)


def test_where_labelers_differ_at_least_half_must_have_found_a_mistake() -> None:
    assert brought.is_confirmed([("found_error", 1), ("solution", None)]) is True
    assert brought.is_confirmed([("found_error", 1), ("solution", None), ("solution", None)]) is False
    assert brought.is_confirmed([("give_up", None)]) is None


def test_the_first_mistake_stands_beside_the_models_first_weak_step(project: Project, olga: Client) -> None:
    version = make.version(project, 1, champion=True)
    round_ = make.round_of(project, {"convincing": make.solutions(project, 3)}, model_version=version, findings={"chosen_with": 1})
    rate(project, 2, 1, -1)
    rate(project, 1, -1)
    brought_ = pages.one_round(project, round_.number)["brought"]
    assert brought_["exactly"] == Share(2, 3)
    assert [(bar["step"], bar["people"], bar["model"]) for bar in brought_["bars"]["bars"]] == [("1", 1, 0), ("2", 2, 3)]
    html = page(olga, "round", round_.number)
    assert "first weak step in 2 of 3" in html
    assert '<td>2</td><td class="number">2</td><td class="number">3</td>' in html


def test_only_labels_of_its_own_batch_count(project: Project) -> None:
    first = make.round_of(project, {"uniform": make.solutions(project, 2)})
    rate(project, 1, -1)
    rate(project, 1, reason="bad_problem")
    second = make.round_of(project, {"uniform": make.solutions(project, 1)}, generation=1)
    both = [pages.one_round(project, one.number)["brought"] for one in (first, second)]
    assert [(one["whole"].confirmed, one["aside"]) for one in both] == [(Share(1, 1), 1), (Share(0, 0), 0)]


def test_the_models_of_a_round_stand_beside_each_other_and_the_control(project: Project, olga: Client) -> None:
    versions = [make.version(project, number, metrics={"step_auc": number / 10}) for number in (1, 2, 3, 4)]
    round_ = make.round_of(
        project, {"control": make.solutions(project, 1)}, model_version=versions[2], findings={"chosen_with": 3, "control": 1}
    )
    seen = pages.one_round(project, round_.number)
    assert [(words, version.number) for words, version in seen["columns"]] == [
        ("the one before", 2),
        ("this round’s model", 3),
        ("the next", 4),
        ("control selector", 1),
    ]
    assert seen["figures"][0] == ("step AUC", ["0.200", "0.300", "0.400", "0.100"])
    assert [row[0] for row in seen["history"].rows] == ["1", "2", "3", "4"]
    assert f"{path('compare-models')}?a=1&amp;b=3" in page(olga, "round", round_.number)


def test_over_the_rounds_each_part_has_a_line(project: Project, olga: Client) -> None:
    for generation, ratings in enumerate([(1, -1), (1, 1, 1)]):
        make.round_of(project, {"convincing": make.solutions(project, 2)}, generation=generation)
        rate(project, 2, *ratings)
    chart = pages.all_rounds(project)["confirmed"]
    assert [line.name for line in chart.lines] == ["Convincing wrong answers"]
    assert [row[:2] for row in chart.rows] == [("0", "1.0000"), ("1", "0.0000")]
    assert "What people confirmed" in page(olga, "rounds")


def test_a_part_is_judged_by_the_people_of_its_own_batch_and_by_their_newest_revision(project: Project) -> None:
    solutions = make.solutions(project, 2)
    round_ = make.round_of(project, {"convincing": solutions}, generation=0)
    rate(project, 1, 1, -1)
    rate(project, 1, 1, reason="give_up")
    found = [(each.pk, part, found, judged) for each, part, found, judged in brought._judged([round_])]
    assert found == [(round_.pk, "convincing", 1, 1)]


def test_older_rounds_stand_on_the_next_page(project: Project, olga: Client, django_assert_num_queries: Any) -> None:
    rows = [Round(project=project, generation=n, strategy="uniform", state="published", plan={}) for n in range(60)]
    Round.objects.bulk_create(rows)
    first = pages.all_rounds(project)
    assert [row.round.generation for row in first["rounds"]] == list(range(59, 9, -1))
    second = pages.all_rounds(project, before=first["before"])
    assert [row.round.generation for row in second["rounds"]] == list(range(9, -1, -1)) and second["before"] is None
    assert f"before={first['before']}" in page(olga, "rounds")
    with django_assert_num_queries(2):
        pages.all_rounds(project)


def test_what_a_round_chose_is_listed_with_what_people_said(project: Project, olga: Client) -> None:
    round_ = make.round_of(project, {"uniform": make.solutions(project, 2)})
    rate(project, 1, 1, -1)
    html = page(olga, "round", round_.number)
    assert html.count("taken by uniform") == 2 and "✕ step 2" in html


def test_a_replay_says_whether_it_is_the_same(project: Project, rita: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    round_ = make.round_of(
        project, {"uniform": make.solutions(project, 1)}, candidates_file="rounds/sums/1.npz", candidates_sha256="cd" * 32
    )
    assert "Replay the selection" in page(rita, "round", round_.number)
    assert "cannot be read" in rita.post(path("replay-round", round_.number), follow=True).content.decode()
    same = type("Replay", (), {"same": True, "message": "The same 1 solution, byte for byte."})
    monkeypatch.setattr(rounds, "replay", lambda *_: same)
    html = rita.post(path("replay-round", round_.number), follow=True).content.decode()
    assert '<p class="success">The same 1 solution, byte for byte.' in html


def test_the_page_of_a_round_asks_the_same_number_of_questions_however_many_solutions(
    project: Project, rita: Client, django_assert_max_num_queries: Any
) -> None:
    version = make.version(project, 1, champion=True)
    round_ = make.round_of(project, {"convincing": make.solutions(project, 9)}, model_version=version, findings={"chosen_with": 1})
    rate(project, 9, 1, -1)
    with django_assert_max_num_queries(16):
        page(rita, "round", round_.number)
    waiting = proposed(project, 9, generation=1)
    with django_assert_max_num_queries(16):
        page(rita, "round", waiting.number)


# --- the overview's fragment --------------------------------------------------------------------------------------------------


def test_the_overviews_fragment_leads_to_every_round_the_composer_and_the_schedule(project: Project, olga: Client, rita: Client) -> None:
    round_ = proposed(project)
    html = page(olga, "loop")
    for name, numbers in (("round", [round_.number]), ("compose", []), ("schedule", []), ("rounds", [])):
        assert f'href="{path(name, *numbers)}"' in html, name
    assert "Review" in html and ">Review<" not in page(rita, "loop")
    assert path("compose") not in page(rita, "loop")
    Round.objects.update(state="scoring")
    assert f'href="{path("cancel-round", round_.number)}"' in page(olga, "loop")


def test_the_overview_says_in_red_what_was_given_up_and_counts_what_was_set_aside(
    project: Project, olga: Client, rita: Client, home: Path
) -> None:
    file = SupervisorFile(home)
    file.claim("http://localhost:8000")
    assert "given up" not in page(olga, "loop") and "could not be read" not in page(olga, "loop")
    file.write([GivenUp("beat", timezone.now().isoformat())])
    (home / SET_ASIDE).mkdir(parents=True)
    (home / SET_ASIDE / "1_empty.gpu.msg").touch()
    html = page(olga, "loop")
    assert '<p class="notice bad">The process <strong>beat</strong> of this site ended five times' in html
    assert "It is not started again." in html and "1 file in the workers’ mailbox could not be read and was moved" in html
    assert "given up" not in page(rita, "loop")
