"""Chosen labels beside labels at random: from the rounds of a small world to what the next round that trains keeps."""

from typing import Any

import pytest

from active_learning import demonstration, rounds
from active_learning.models import Round, Selection
from active_learning.registry import ModelUnusable
from active_learning.rounds import payoffs as measured
from active_learning.rounds import running
from active_learning.rounds.states import RunLost
from annotation.models import Annotation, Project, Solution
from tests import make
from trainer import config, payoff
from trainer.data import LabeledSolution, SolutionText
from trainer.progress import Stopped

WATCHED = {"progress": lambda *_: None}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a small world a few labels are enough, and several of its few problems judge: one alone gives no interval."""
    monkeypatch.setitem(config.TINY_DEFAULTS, "held_out", 0.4)
    monkeypatch.setattr(payoff, "LEAST", 1)
    monkeypatch.setattr(payoff, "FEWEST", 1)
    monkeypatch.setattr(payoff, "FREEDOM", 1)
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
    loaded = Solution.objects.filter(task__batch__kind="imported").distinct()
    drew = make.round_of(after_one_round, {"uniform": make.solutions(after_one_round, 1)}, generation=7)
    rows = [Selection(round=drew, solution=one, rank=rank, part="uniform", reason="drawn") for rank, one in enumerate(loaded, start=2)]
    Selection.objects.bulk_create(rows)  # as if it had drawn what was loaded: the world is too small to hold out what rounds drew
    second = rounds.run(rounds.start(after_one_round, rounds.RoundPlan(None), notify=False).pk, **WATCHED)
    assert second.state == "published", second.failure
    found = second.findings["payoff"]["convincing"]
    assert found["n_rounds"] == 1 and 1 <= found["n_each"] <= 8 and found["obstacle"] == ""
    auc = found["figures"]["step_auc"]
    assert auc["low"] <= auc["difference"] <= auc["high"]
    assert rounds.newest_payoff(after_one_round) == rounds.KnownPayoff(second.number, second.findings["payoff"])


def test_a_comparison_that_breaks_down_costs_neither_the_round_nor_the_decision(
    after_one_round: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = []

    def fails(*_: object, **__: object) -> None:
        decided.append(after_one_round.modelversion_set.latest("pk").decision)
        raise RuntimeError("the fit broke down")

    monkeypatch.setattr(payoff, "payoffs", fails)
    last = rounds.run(rounds.start(after_one_round, rounds.RoundPlan(None), notify=False).pk, **WATCHED)
    assert last.state == "published" and "payoff" not in last.findings
    assert decided[0]["reason"], "what serves was decided before"
    logs = " ".join(message for stage in last.stages.all() for _, message in stage.log)
    assert "Labels that were chosen and labels at random were not compared: the fit broke down" in logs


def test_a_worker_that_is_stopped_while_it_compares_leaves_the_comparison_to_the_next(
    after_one_round: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, begun = payoff.payoffs, []

    def stopped(*arguments: Any, **named: Any) -> Any:
        begun.append(after_one_round.modelversion_set.latest("pk").decision["reason"])
        if len(begun) == 1:
            raise Stopped(15)
        return compare(*arguments, **named)

    monkeypatch.setattr(payoff, "payoffs", stopped)
    started = rounds.start(after_one_round, rounds.RoundPlan(None), notify=False)
    with pytest.raises(Stopped):
        rounds.run(started.pk)
    last = rounds.run(started.pk)
    assert last.state == "published" and last.findings["payoff"], last.failure
    assert len(begun) == 2 and begun[0] == begun[1], "it was judged once"


def test_the_last_attempt_of_a_round_goes_on_without_the_comparison_that_cost_the_others(
    after_one_round: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def lost(*_: object, **__: object) -> None:
        begun.append(True)
        raise Stopped(15)

    monkeypatch.setattr(payoff, "payoffs", lost)
    started = rounds.start(after_one_round, rounds.RoundPlan(None), notify=False)
    with pytest.raises(Stopped):
        rounds.run(started.pk)
    Round.objects.filter(pk=started.pk).update(attempt=running.ATTEMPTS - 1)  # as if it was killed: a stop counts no attempt
    last = rounds.run(started.pk)
    assert last.state == "published" and "payoff" not in last.findings and len(begun) == 1, last.failure
    logs = " ".join(message for stage in last.stages.all() for _, message in stage.log)
    assert "were not compared: the worker was lost 2 times before." in logs


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (ModelUnusable("Model 9 is gone."), "Model 9 is gone."),
        (ValueError("need an array"), "need an array"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_goes_wrong_is_a_sentence(world: Project, monkeypatch: pytest.MonkeyPatch, failure: Exception, words: str) -> None:
    def fails(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(measured, "_measured", fails)
    sentence = f"Labels that were chosen and labels at random were not compared: {words}"
    assert measured.measure(make.version(world, 9), **WATCHED) == ({}, sentence)


def test_a_round_that_was_cancelled_while_it_compares_is_given_up(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise RunLost

    monkeypatch.setattr(measured, "_measured", lost)
    with pytest.raises(RunLost):
        measured.measure(make.version(world, 9), **WATCHED)


def test_only_what_a_round_drew_at_random_judges(after_one_round: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[list[LabeledSolution], list[LabeledSolution]]] = []

    def takes(start: list[LabeledSolution], _: object, held_out: list[LabeledSolution], **__: object) -> dict[str, payoff.Payoff]:
        given.append((start, held_out))
        return {}

    def problem_of(solution: int) -> str:
        return str(Solution.objects.get(pk=solution).problem_id)

    loaded = set(Annotation.objects.filter(assignment__task__batch__kind="imported").values_list("solution_id", flat=True))
    drawn = set(Selection.objects.filter(round__strategy="half", part="uniform").values_list("solution_id", flat=True))
    assert loaded and drawn
    apart = frozenset(problem_of(solution) for solution in (sorted(loaded)[0], sorted(drawn)[0]))
    labels = [LabeledSolution(SolutionText(str(key), problem_of(key), "p", ("s",)), (1,)) for key in sorted(loaded | drawn)]
    monkeypatch.setattr(payoff, "payoffs", takes)
    monkeypatch.setattr(measured.registry, "problems_of", lambda _: (frozenset(), apart))
    monkeypatch.setattr(measured.registry, "learned_from", lambda _: iter(labels))
    chosen = Selection.objects.filter(round__strategy="half", part="convincing").exclude(solution__problem__in=map(int, apart))[0]
    labels.append(LabeledSolution(SolutionText(str(chosen.solution_id), problem_of(chosen.solution_id), "p", ("s",)), (1,)))
    assert measured.measure(make.version(after_one_round, 9), **WATCHED) == ({}, "")
    ((start, held_out),) = given
    judges = {int(one.solution.key) for one in held_out}
    assert judges == {key for key in drawn if problem_of(key) in apart} and judges.isdisjoint(loaded)
    assert {int(one.solution.key) for one in start} == {key for key in loaded if problem_of(key) not in apart}


def test_rounds_without_a_part_at_random_are_compared_with_nothing(world: Project) -> None:
    assert Round.objects.get().strategy == "uniform"
    version = make.version(world, 9)
    assert measured.measure(version, **WATCHED) == ({}, ""), "one round drew all at random"
    make.round_of(world, {"convincing": make.solutions(world, 2)}, generation=7)
    assert measured.measure(version, **WATCHED) == ({}, ""), "and another one nothing"
