"""What the pages say of a round that is under way, or was cancelled: its stage, the time left of all of it, what a cancel loses."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from active_learning import pages, registry, rounds
from active_learning.models import ModelVersion, Round, RoundStage, Selection
from active_learning.pages.remaining import in_minutes
from annotation import export
from annotation.eligibility import Use
from annotation.models import Membership, Project
from tests import make
from tests.assignments import learnable
from tests.proposals import page, path, proposed

USUAL = {"train": 3600, "judge": 300, "score": 1200, "select": 60}


def stage(round_: Round, name: str, *, seconds: float, is_running: bool = False, failure: str = "") -> None:
    now = timezone.now()
    ended_at = None if is_running else now
    RoundStage.objects.create(
        round=round_, name=name, attempt=1, began_at=now - timedelta(seconds=seconds), ended_at=ended_at, failure=failure
    )


def under_way(project: Project, state: str, **fields: object) -> Round:
    return make.round_of(project, {"convincing": make.solutions(project, 1)}, state=state, heartbeat_at=Now(), **fields)


def with_a_past(project: Project) -> None:
    past = make.round_of(project, {"convincing": make.solutions(project, 1)})
    for name, seconds in USUAL.items():
        stage(past, name, seconds=seconds)


# --- one part, one name ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "name", "words"),
    [
        ("training", "train", "Training"), ("scoring", "judge", "Judging"), ("sampling", "sample", "Sampling"),
        ("scoring", "score", "Scoring"), ("selecting", "select", "Selecting"), ("selecting", "publish", "Publishing"),
    ],
)  # fmt: skip
def test_the_chip_names_the_stage_that_the_drawing_marks(project: Project, olga: Client, state: str, name: str, words: str) -> None:
    round_ = under_way(project, state)
    stage(round_, name, seconds=5, is_running=True)
    seen = pages.one_round(project, round_.number)
    assert [one.name for one in seen["stages"] if one.state == "now"] == [name] and seen["row"].words == words
    for shown in (page(olga, "round", round_.number), page(olga, "rounds"), page(olga, "loop")):
        assert re.search(rf'<span class="chip {state}">{words}</span>', shown)


def test_a_round_whose_worker_stopped_waits_for_a_worker_and_did_not_break_off(project: Project, olga: Client) -> None:
    round_ = under_way(project, "training")
    stage(round_, "train", seconds=5, is_running=True)
    assert rounds.states.give_back(Round.objects.get(pk=round_.pk))
    html = page(olga, "round", round_.number)
    assert "Waiting for a worker" in html and "stopped with its worker" in html and "broke off" not in html


def test_a_cancelled_round_did_not_break_off(project: Project, olga: Client) -> None:
    round_ = under_way(project, "training")
    stage(round_, "train", seconds=5, is_running=True)
    rounds.cancel(project, round_.number)
    html = page(olga, "round", round_.number)
    assert "cancelled" in html and "broke off" not in html and "notice bad" not in html


# --- the time left --------------------------------------------------------------------------------------------------------------


def test_the_time_left_is_that_of_all_stages_to_come(project: Project, olga: Client) -> None:
    with_a_past(project)
    round_ = under_way(project, "training", generation=1, progress={"stage": "reward model", "done": 1, "total": 2, "seconds_left": 30})
    stage(round_, "train", seconds=3000, is_running=True)  # of 3,600: 10 min left, then 5 and 20 and 1
    for shown in (page(olga, "round", round_.number), page(olga, "rounds")):
        assert "about 36 min left" in shown


def test_a_first_round_says_that_only_its_present_part_is_estimated(project: Project, olga: Client) -> None:
    round_ = under_way(project, "training", progress={"stage": "reward model", "done": 1, "total": 2, "seconds_left": 1875})
    stage(round_, "train", seconds=60, is_running=True)
    assert "about 31 min left in this part" in page(olga, "round", round_.number)


def test_nothing_is_said_of_the_time_left_where_nothing_is_known(project: Project, olga: Client) -> None:
    round_ = under_way(project, "training", progress={"stage": "reward model", "done": 1, "total": 2, "seconds_left": None})
    stage(round_, "train", seconds=60, is_running=True)
    assert " left" not in re.search('<p class="now">.*?</p>', page(olga, "round", round_.number), re.S)[0]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than 1 min"),
        (29, "less than 1 min"),
        (60, "about 1 min"),
        (5340, "about 89 min"),
        (5400, "about 1 h 30 min"),
        (90_000, "about 25 h 0 min"),
    ],
)
def test_durations_are_in_minutes_with_units(seconds: float, words: str) -> None:
    assert in_minutes(seconds) == words


# --- cancelling -----------------------------------------------------------------------------------------------------------------


def in_training(project: Project) -> Round:
    version = make.version(project, 1, state="running", sha256="", ready_at=None)
    round_ = under_way(project, "training", model_version=version)
    stage(round_, "train", seconds=7800, is_running=True)
    return round_


def test_cancel_asks_first_and_says_what_is_lost(project: Project, olga: Client) -> None:
    round_ = in_training(project)
    html = olga.get(path("cancel-round", round_.number)).content.decode().replace("\N{NO-BREAK SPACE}", " ")
    assert "Cancel round 0?" in html and "has run for 2 h 10 min" in html and "this training is lost" in html
    assert Round.objects.get(pk=round_.pk).state == "training", "asking changes nothing"
    olga.post(path("cancel-round", round_.number))
    assert Round.objects.get(pk=round_.pk).state == "cancelled"


def test_cancel_says_that_a_checkpoint_stays_and_how_to_go_on(project: Project, olga: Client, home: Path) -> None:
    round_ = in_training(project)
    (home / "models" / "sums" / "1.checkpoint").mkdir(parents=True)
    html = page(olga, "cancel-round", round_.number)
    assert "Its checkpoint stays" in html and "manage.py retrain --project sums --resume" in html and "lost" not in html


def test_discard_asks_first_and_says_how_many_solutions(project: Project, olga: Client) -> None:
    html = page(olga, "cancel-round", proposed(project).number)
    assert "Its choice of 3 solutions will not be published" in html and "Discard the proposal" in html


def test_a_round_that_has_ended_has_nothing_to_cancel(project: Project, olga: Client) -> None:
    round_ = make.round_of(project, {"uniform": make.solutions(project, 1)})
    html = page(olga, "cancel-round", round_.number)
    assert "has already ended" in html and '<form method="post">' not in html


# --- the same labels, and the count on the button ---------------------------------------------------------------------------------


def trained_on_all(project: Project) -> ModelVersion:
    return make.version(project, 1, snapshot=export.take_snapshot(project, use=Use.TRAINING))


def test_a_round_that_would_train_on_the_same_labels_says_so_before_it_starts(project: Project, olga: Client) -> None:
    learnable(project)
    assert registry.nothing_new(project) == ""
    trained_on_all(project)
    for name in ("compose", "loop"):
        assert "There is no new label since PRM 1 was trained" in page(olga, name)
    learnable(project)
    for name in ("compose", "loop"):
        assert "There is no new label" not in page(olga, name)


def test_the_command_says_so_too(project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    learnable(project)
    trained_on_all(project)

    def refuse(*_: object, **__: object) -> Round:
        raise rounds.RoundRefused("Not now.")

    monkeypatch.setattr(rounds, "start", refuse)
    with pytest.raises(CommandError, match="Not now"):
        call_command("retrain", "--project", "sums")
    assert "There is no new label since PRM 1 was trained" in capsys.readouterr().err


def test_the_button_counts_what_is_left_out_after_the_next_page(project: Project, olga: Client) -> None:
    round_ = proposed(project)
    first = Selection.objects.filter(round=round_).values_list("solution_id", flat=True)[0]
    assert re.search(r"Publish <span data-count>3</span> <span data-noun>solutions</span>", page(olga, "round", round_.number))
    turned = olga.post(path("round", round_.number), {"page": "1", "drop": [first]}).content.decode()
    assert "Publish <span data-count>2</span>" in turned


def test_other_people_whose_labels_count_make_a_training_worth_it_without_a_new_label(project: Project) -> None:
    learnable(project)
    trained_on_all(project)
    assert registry.nothing_new(project) != ""
    member = Membership.objects.filter(project=project).first()
    Membership.objects.filter(pk=member.pk).update(quarantined_at=Now())
    assert registry.nothing_new(project) == ""
    make.version(project, 2, snapshot=export.take_snapshot(project, use=Use.TRAINING))
    assert registry.nothing_new(project) != ""
    Membership.objects.filter(pk=member.pk).update(quarantined_at=None)
    assert registry.nothing_new(project) == ""
