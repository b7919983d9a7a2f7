"""Chosen labels beside labels at random: from the rounds of a small world to what the next round that trains keeps."""

import pytest

from active_learning import demonstration, rounds
from active_learning.models import Round
from active_learning.rounds import payoffs as measured
from annotation.models import Project
from tests import make
from trainer import payoff
from trainer.config import TrainConfig

WATCHED = {"progress": lambda *_: None}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a small world a few labels are enough."""
    monkeypatch.setattr(payoff, "LEAST", 1)
    monkeypatch.setattr(payoff, "FEWEST", 1)
    monkeypatch.setattr(payoff, "REPLICATES", 20)


@pytest.fixture
def after_one_round(world: Project) -> Project:
    """The world when a round of half convincing wrong answers and half at random is labeled."""
    demonstration.label_as_oracle(world)
    first = rounds.run(rounds.start(world, make.plan(world, strategy="half", size=16, per_problem=4), notify=False).pk, **WATCHED)
    assert first.state == "published" and "payoff" not in first.findings, "no round had labels of both parts yet"
    demonstration.label_as_oracle(world)
    return world


def test_the_round_after_one_with_a_part_at_random_compares_what_both_parts_taught(after_one_round: Project) -> None:
    second = rounds.run(rounds.start(after_one_round, rounds.RoundPlan(None), notify=False).pk, **WATCHED)
    assert second.state == "published", second.failure
    found = second.findings["payoff"]["convincing"]
    assert found["n_rounds"] == 1 and 1 <= found["n_each"] <= 8 and found["obstacle"] == ""
    auc = found["figures"]["step_auc"]
    assert auc["low"] <= auc["difference"] <= auc["high"]
    assert rounds.newest_payoff(after_one_round) == rounds.KnownPayoff(second.number, second.findings["payoff"])


def test_a_base_that_cannot_be_read_costs_the_comparison_and_not_the_round(
    after_one_round: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "_config", lambda version: TrainConfig.for_base("/no/such/base", frozen=True))
    last = rounds.run(rounds.start(after_one_round, rounds.RoundPlan(None), notify=False).pk, **WATCHED)
    assert last.state == "published" and "payoff" not in last.findings
    logs = " ".join(message for stage in last.stages.all() for _, message in stage.log)
    assert "Labels that were chosen and labels at random were not compared: " in logs and "/no/such/base" in logs


def test_rounds_without_a_part_at_random_are_compared_with_nothing(world: Project) -> None:
    assert Round.objects.get().strategy == "uniform"
    version = make.version(world, 9)
    assert measured.measure(version, **WATCHED) == ({}, ""), "one round drew all at random"
    make.round_of(world, {"convincing": make.solutions(world, 2)}, generation=7)
    assert measured.measure(version, **WATCHED) == ({}, ""), "and another one nothing"
