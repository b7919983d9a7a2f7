"""Settling: the consensus on each solution, written to the same rows again and again, and only where something is new."""

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import consensus, ingest, quality
from annotation.models import (
    Annotation,
    BatchKind,
    GoldAnswer,
    Membership,
    Project,
    ProjectConsensus,
    Solution,
    SolutionConsensus,
    StepConsensus,
    StepSource,
)
from tests import make
from tests.trainer.test_published_formats import PROCESSBENCH
from tests.verdicts import corrected, judged
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.django_db
TEXTS = [f"Step {number}." for number in range(1, 6)]
MIXED = [(1, 1, 1), (None, None, None), (3, 3, 1), (None, 2, None), (0, 0, 0), (4, 4, None)]


def no_prior(project: Project, version: int) -> quality.Prior | None:
    raise AssertionError("no project was settled with a prior")


def solution_of(project: Project) -> Solution:
    return make.solution(make.problem(project), steps=TEXTS)


def read_by_three(project: Project, count: int = 12) -> list[Solution]:
    """Solutions that ann, ben and cy judged, with the verdicts of MIXED in turn."""
    solutions = [solution_of(project) for _ in range(count)]
    for place, solution in enumerate(solutions):
        for name, mistake in zip(("ann", "ben", "cy"), MIXED[place % len(MIXED)], strict=True):
            judged(solution, name, mistake)
    return solutions


def rows() -> list[Any]:
    steps = StepConsensus.objects.order_by("pk").values_list()
    return [*SolutionConsensus.objects.order_by("pk").values_list(), *steps]


def consensus_on(solution: Solution) -> SolutionConsensus:
    return SolutionConsensus.objects.get(pk=solution.pk)


def test_each_solution_gets_the_probabilities_of_the_model() -> None:
    project = make.project()
    solutions = read_by_three(project)
    settled = quality.settle(project)
    marks = [
        (place, person, 0 if mistake is None else mistake + 1)
        for place in range(len(solutions))
        for person, mistake in enumerate(MIXED[place % len(MIXED)])
    ]
    expected = consensus.settle(consensus.from_lists([5] * len(solutions), marks))
    for place, solution in enumerate(solutions):
        steps = list(StepConsensus.objects.filter(solution=solution).order_by("step_index"))
        assert [step.step_index for step in steps] == [0, 1, 2, 3, 4]
        np.testing.assert_allclose([step.p_first for step in steps], expected.of(place)[:-1], atol=1e-8)
        np.testing.assert_allclose([step.p_negative for step in steps], consensus.soft_labels(expected.of(place))[0], atol=1e-6)
        row = consensus_on(solution)
        assert row.p_none == pytest.approx(expected.of(place)[-1], abs=1e-8)
        assert row.entropy == pytest.approx(expected.entropies[place], abs=1e-8)
        assert row.n_readings == 3 and not row.is_adjudicated and row.project_id == project.pk
    assert [consensus_on(solution).first_mistake for solution in solutions[:6]] == [1, None, 3, None, 0, 4]
    assert (settled.n_solutions, settled.n_readings, settled.n_people, settled.is_estimated) == (12, 36, 3, True)


def test_settling_again_changes_no_row() -> None:
    project = make.project()
    solutions = read_by_three(project)
    quality.settle(project)
    before = rows()
    assert quality.settle(project).n_changed == 0
    assert quality.settle(project, solutions=[solution.pk for solution in solutions]).n_changed == 0
    assert rows() == before


def test_the_label_of_a_step_says_neutral_apart_from_mistakes() -> None:
    project = make.project()
    solution = solution_of(project)
    for name, ratings in (("ann", [0, 1, 0, -1]), ("ben", [0, 1, 1, -1]), ("cy", [0, 0, 1, 1, -1])):
        judged(solution, name, ratings=ratings)
    quality.settle(project)
    steps = list(StepConsensus.objects.order_by("step_index"))
    assert [step.label for step in steps] == [0, 1, 1, -1, None]
    assert [step.n_votes for step in steps] == [3, 3, 3, 3, 1]
    share = 5 / 10  # of all ratings that are no mistake
    assert [step.p_neutral for step in steps] == pytest.approx([(3 + share) / 4, (1 + share) / 4, (1 + share) / 4, share / 2, share])


def test_a_new_verdict_settles_its_solution_alone() -> None:
    project = make.project()
    solutions = read_by_three(project)
    quality.settle_new(no_prior)
    before = dict(SolutionConsensus.objects.values_list("pk", "settled_at"))
    judged(solutions[0], "dan", 2)
    done = quality.settle_new(no_prior)
    assert done["sums"].n_solutions == 1 and not done["sums"].is_estimated
    after = dict(SolutionConsensus.objects.values_list("pk", "settled_at"))
    assert {key for key in after if after[key] != before[key]} == {solutions[0].pk}
    assert consensus_on(solutions[0]).n_readings == 4
    assert quality.settle_new(no_prior) == {}


class Changes:
    """What can happen to a project between two sweeps, each at random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.project = make.project(f"world{seed}")
        self.people = [make.person(f"person{number}", self.project) for number in range(self.random.choice([1, 3]))]
        self.reviewer = make.rolf(self.project)
        sizes = [self.random.randint(1, 5) for _ in range(self.random.choice([4, 15]))]
        self.solutions = [make.solution(make.problem(self.project), steps=TEXTS[:size]) for size in sizes]

    def ratings(self, solution: Solution) -> list[int]:
        mistake = self.random.choice([None, *range(len(solution.steps))])
        good = [self.random.choice([1, 1, 0]) for _ in range(len(solution.steps) if mistake is None else mistake)]
        return good if mistake is None else [*good, -1]

    def label(self, kind: str = BatchKind.SELECTED, **options: Any) -> None:
        solution, person = self.random.choice(self.solutions), self.random.choice(self.people)
        if not Annotation.objects.filter(solution=solution, labeler=person, assignment__batch__kind=kind).exists():
            judged(solution, person, ratings=self.ratings(solution), kind=kind, **options)

    def correct(self) -> None:
        if labels := list(Annotation.objects.newest().exclude(assignment__batch__kind=BatchKind.REVIEW).order_by("pk")):
            label = self.random.choice(labels)
            corrected(label, self.ratings(label.solution))

    def adjudicate(self) -> None:
        solution = self.random.choice(self.solutions)
        before = Annotation.objects.newest().filter(solution=solution, assignment__batch__kind=BatchKind.REVIEW).first()
        if before:
            corrected(before, self.ratings(solution), finish_reason=self.random.choice(["", "give_up", "bad_problem"]))
        else:
            judged(solution, self.reviewer, ratings=self.ratings(solution), kind=BatchKind.REVIEW)

    def member(self) -> None:
        column = self.random.choice(["quarantined_at", "qualified_at"])
        members = Membership.objects.filter(project=self.project, user=self.random.choice([*self.people, self.reviewer]))
        members.update(**{column: self.random.choice([None, timezone.now()])})

    def gold(self) -> None:
        solution = self.random.choice(self.solutions)
        if not GoldAnswer.objects.filter(solution=solution).delete()[0]:
            GoldAnswer.objects.create(solution=solution, acceptable_first_errors=self.random.sample(range(7), self.random.randint(0, 3)))

    def once(self) -> None:
        ways: list[Callable[[], None]] = [self.label] * 5 + [self.correct, self.adjudicate, self.member, self.gold]
        kind = self.random.choice([BatchKind.SCREENING, BatchKind.CALIBRATION, BatchKind.PRACTICE])
        self.random.choice([*ways, lambda: self.label(kind), lambda: self.label(finish_reason="give_up")])()


@pytest.mark.parametrize("seed", range(3))
def test_a_sweep_leaves_the_rows_that_settling_everything_would_leave(seed: int) -> None:
    changes = Changes(seed)
    keys = [solution.pk for solution in changes.solutions]
    for _ in range(20):
        changes.once()
        quality.settle_new(no_prior)
        if ProjectConsensus.objects.exists():
            before = rows()
            assert quality.settle(changes.project, solutions=keys).n_changed == 0 and rows() == before
    quality.settle(changes.project)
    columns = ("pk", "n_readings", "first_mistake", "p_none", "entropy", "is_adjudicated")
    last = [*SolutionConsensus.objects.order_by("pk").values_list(*columns), *StepConsensus.objects.order_by("pk").values_list()]
    for table in (SolutionConsensus, StepConsensus, ProjectConsensus):
        table.objects.all().delete()
    quality.settle(changes.project)
    assert [*SolutionConsensus.objects.order_by("pk").values_list(*columns), *StepConsensus.objects.order_by("pk").values_list()] == last


def test_of_a_label_at_a_step_that_does_not_exist_nothing_is_written() -> None:
    project = make.project()
    judged(solution_of(project), "ann", ratings=[1] * 7 + [-1])
    assert quality.settle(project).n_solutions == 0 and not SolutionConsensus.objects.exists()


def test_a_new_verdict_costs_the_same_number_of_statements_in_a_larger_project() -> None:
    counts = []
    for slug, count in (("small", 6), ("large", 30)):
        project = make.project(slug)
        solutions = read_by_three(project, count)
        quality.settle(project)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            quality.settle(project, solutions=[solutions[0].pk])
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_labelers_are_estimated_again_after_many_new_verdicts() -> None:
    project = make.project()
    read_by_three(project, 6)
    quality.settle_new(no_prior)
    for _ in range(2):
        later = [solution_of(project) for _ in range(6)]
        for solution in later:
            for name in ("ann", "ben"):
                judged(solution, name, 1)
        done = quality.settle_new(no_prior)
    assert done["sums"].is_estimated and done["sums"].n_solutions == 18


def test_a_correction_replaces_the_first_verdict_of_the_person() -> None:
    project = make.project()
    (solution,) = read_by_three(project, 1)
    corrected(Annotation.objects.get(labeler__username="cy"), [1] * 5)
    quality.settle(project)
    assert consensus_on(solution).n_readings == 3
    assert list(StepConsensus.objects.order_by("step_index").values_list("n_votes", flat=True)) == [3, 3, 1, 1, 1]


def test_a_second_verdict_of_the_same_person_is_no_second_opinion() -> None:
    project = make.project()
    solution = solution_of(project)
    judged(solution, "ann", 1)
    judged(solution, "ann", 2, kind=BatchKind.CALIBRATION)
    quality.settle(project)
    row = consensus_on(solution)
    assert (row.n_readings, row.first_mistake, row.entropy) == (1, 2, None)


# --- truth --------------------------------------------------------------------------------------------------------------------


def test_an_adjudication_fixes_the_first_mistake() -> None:
    project = make.project()
    solutions = read_by_three(project)
    judged(solutions[0], make.rolf(project), 3, kind=BatchKind.REVIEW)
    quality.settle(project)
    row = consensus_on(solutions[0])
    assert (row.first_mistake, row.entropy, row.p_none, row.n_readings, row.is_adjudicated) == (3, 0, 0, 3, True)
    steps = StepConsensus.objects.filter(solution=solutions[0]).order_by("step_index")
    assert [(step.p_first, step.label) for step in steps] == [(0, 1), (0, 1), (0, 1), (1, -1), (0, None)]


def test_a_new_adjudication_is_settled_by_the_sweep_and_the_newest_counts() -> None:
    project = make.project()
    solutions = read_by_three(project)
    quality.settle_new(no_prior)
    judged(solutions[0], make.rolf(project), 3, kind=BatchKind.REVIEW)
    judged(solutions[0], make.olga(project), None, kind=BatchKind.REVIEW)
    assert quality.settle_new(no_prior)["sums"].n_changed == 1
    assert consensus_on(solutions[0]).first_mistake is None and consensus_on(solutions[0]).p_none == 1


def test_gold_leaves_only_its_steps_possible() -> None:
    project = make.project()
    solutions = read_by_three(project)
    GoldAnswer.objects.create(solution=solutions[0], acceptable_first_errors=[2, 4])
    GoldAnswer.objects.create(solution=solutions[4], acceptable_first_errors=[])
    quality.settle(project)
    chances = list(StepConsensus.objects.filter(solution=solutions[0]).order_by("step_index").values_list("p_first", flat=True))
    assert chances[2] + chances[4] == pytest.approx(1) and chances[:2] == [0, 0]
    assert consensus_on(solutions[4]).first_mistake is None and consensus_on(solutions[4]).entropy == 0


def test_changed_gold_settles_the_project_again() -> None:
    project = make.project()
    solutions = read_by_three(project)
    quality.settle_new(no_prior)
    GoldAnswer.objects.create(solution=solutions[0], acceptable_first_errors=[2])
    assert quality.settle_new(no_prior)["sums"].is_estimated
    assert consensus_on(solutions[0]).first_mistake == 2


def test_an_adjudication_goes_before_gold_that_contradicts_it() -> None:
    project = make.project()
    (solution,) = read_by_three(project, 1)
    GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[2])
    judged(solution, make.rolf(project), 3, kind=BatchKind.REVIEW)
    quality.settle(project)
    assert consensus_on(solution).first_mistake == 3


def test_gold_at_a_step_that_does_not_exist_says_nothing() -> None:
    project = make.project()
    (solution,) = read_by_three(project, 1)
    GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[7])
    quality.settle(project)
    assert consensus_on(solution).first_mistake == 1 and consensus_on(solution).entropy > 0


def test_who_adjudicates_what_they_labeled_is_not_judged_by_themselves() -> None:
    project = make.project()
    (solution,) = read_by_three(project, 1)
    judged(solution, "ann", 1, kind=BatchKind.REVIEW)
    quality.settle(project)
    assert consensus_on(solution).n_readings == 2
    assert set(quality.estimates_of(project).people) == {make.ben().pk, make.person("cy").pk}


def test_an_adjudication_settles_a_solution_that_all_gave_up_on() -> None:
    project = make.project()
    solution = solution_of(project)
    judged(solution, "ann", ratings=[1], finish_reason="give_up")
    quality.settle(project)
    assert not SolutionConsensus.objects.exists()
    judged(solution, make.rolf(project), 2, kind=BatchKind.REVIEW)
    quality.settle(project)
    row = consensus_on(solution)
    assert (row.n_readings, row.first_mistake, row.entropy) == (0, 2, 0)


# --- whose labels count -------------------------------------------------------------------------------------------------------


def test_labels_in_quarantine_have_no_say_and_come_back_whole() -> None:
    project = make.project()
    solutions = read_by_three(project)
    quality.settle_new(no_prior)
    before = rows()
    of_ann = Membership.objects.filter(project=project, user=make.ann())
    of_ann.update(quarantined_at="2026-01-01T00:00Z")
    quality.settle_new(no_prior)
    assert consensus_on(solutions[0]).n_readings == 2
    of_ann.update(quarantined_at=None)
    quality.settle_new(no_prior)
    assert [row[:-1] for row in rows()[:12]] == [row[:-1] for row in before[:12]] and rows()[12:] == before[12:]


def test_a_row_goes_when_no_verdict_on_its_solution_counts_any_more() -> None:
    project = make.project()
    alone = solution_of(project)
    judged(alone, "zoe", 1)
    read_by_three(project, 2)
    quality.settle_new(no_prior)
    Membership.objects.filter(user__username="zoe").update(quarantined_at="2026-01-01T00:00Z")
    quality.settle_new(no_prior)
    assert not SolutionConsensus.objects.filter(pk=alone.pk).exists()
    assert not StepConsensus.objects.filter(solution=alone).exists()
    assert SolutionConsensus.objects.count() == 2


@pytest.mark.parametrize("kind", [BatchKind.PRACTICE, BatchKind.SCREENING])
def test_newcomers_have_no_say(kind: str) -> None:
    project = make.project()
    judged(solution_of(project), "ann", 1, kind=kind)
    assert quality.settle(project).n_solutions == 0


def test_paths_of_an_interactive_project_are_not_compared() -> None:
    project = make.project(step_source=StepSource.INTERACTIVE)
    read_by_three(project, 1)
    whole = solution_of(project)
    judged(whole, "ann", 1, kind=BatchKind.IMPORTED)
    settled = quality.settle(project)
    assert list(SolutionConsensus.objects.values_list("pk", flat=True)) == [whole.pk]
    assert "cannot be compared" in quality.settled_in_words(project, settled)[0]


# --- what cannot be known -----------------------------------------------------------------------------------------------------


def test_of_a_verdict_by_one_person_who_is_not_known_no_probability_is_given() -> None:
    project = make.project()
    solutions = [solution_of(project) for _ in range(3)]
    for solution, mistake in zip(solutions, (2, None, 0), strict=True):
        judged(solution, "ann", mistake)
    settled = quality.settle(project)
    assert list(SolutionConsensus.objects.order_by("pk").values_list("first_mistake", "p_none", "entropy")) == [
        (2, None, None), (None, None, None), (0, None, None),
    ]  # fmt: skip
    assert not StepConsensus.objects.exclude(p_first=None, p_negative=None).exists()
    labels = StepConsensus.objects.filter(solution=solutions[0]).order_by("step_index").values_list("label", flat=True)
    assert list(labels) == [1, 1, -1, None, None]
    assert "Only one person" in " ".join(quality.settled_in_words(project, settled))


def test_of_a_verdict_by_one_person_who_is_known_the_probability_is_given() -> None:
    project = make.project()
    read_by_three(project, 12)
    alone = solution_of(project)
    judged(alone, "ann", 2)
    quality.settle(project)
    assert consensus_on(alone).entropy > 0


def test_people_who_always_agree_are_believed_but_never_certain() -> None:
    project = make.project()
    solutions = [solution_of(project) for _ in range(12)]
    for place, solution in enumerate(solutions):
        for name in ("ann", "ben"):
            judged(solution, name, 1 if place % 2 else None)
    quality.settle(project)
    assert [consensus_on(solution).first_mistake for solution in solutions[:2]] == [None, 1]
    ability = quality.estimates_of(project).people[make.ann().pk]
    assert 0.8 < ability.sees < 1 and 0 < ability.alarms < 0.05 and 0 <= consensus_on(solutions[0]).entropy < 1


def test_who_never_finds_anything_hides_no_mistake_that_two_others_see() -> None:
    project = make.project()
    solutions = [solution_of(project) for _ in range(12)]
    for solution in solutions:
        judged(solution, "ann", 2)
        judged(solution, "ben", 2)
        judged(solution, "blind", None)
    quality.settle(project)
    assert set(SolutionConsensus.objects.values_list("first_mistake", flat=True)) == {2}
    ability = quality.estimates_of(project).people[make.person("blind").pk]
    assert ability.sees < 0.3 and ability.sees_interval[0] < ability.sees


def test_most_people_win_even_if_wrong_until_gold_tells_the_truth() -> None:
    project = make.project()
    solutions = [solution_of(project) for _ in range(40)]
    for place, solution in enumerate(solutions):
        judged(solution, "honest", 2 if place % 2 else None)
        for name in ("spammer", "friend"):
            judged(solution, name, 0)
    settled = quality.settle(project)
    assert consensus_on(solutions[1]).first_mistake == 0
    assert "even where most people are wrong" in " ".join(quality.settled_in_words(project, settled))
    for place, solution in enumerate(solutions[:20]):
        GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[2] if place % 2 else [])
    settled = quality.settle(project)
    assert [consensus_on(solution).first_mistake for solution in solutions[38:]] == [None, 2]
    assert "even where" not in " ".join(quality.settled_in_words(project, settled))


def test_a_project_without_labels_is_settled_with_a_sentence() -> None:
    project = make.project()
    settled = quality.settle(project)
    assert quality.settled_in_words(project, settled) == ["Nobody has judged a solution to its end yet, so there is nothing to settle."]
    assert quality.settle_new(no_prior) == {} and not SolutionConsensus.objects.exists()


# --- the prior ----------------------------------------------------------------------------------------------------------------


def test_a_prior_moves_what_people_leave_open_and_its_model_is_noted() -> None:
    project = make.project()
    solutions = [solution_of(project) for _ in range(12)]
    for solution in solutions:
        judged(solution, "ann", 1)
        judged(solution, "ben", 3)
    quality.settle(project)
    assert ProjectConsensus.objects.get(project=project).prior is None
    plain = consensus_on(solutions[0]).first_mistake
    chances = {solution.pk: np.array([0.01, 0.01, 0.01, 0.9, 0.01, 0.06]) for solution in solutions[:1]}
    quality.settle(project, prior=quality.Prior(7, chances))
    assert plain != 3 and consensus_on(solutions[0]).first_mistake == 3
    assert consensus_on(solutions[1]).p_none > 0  # the model has not scored it
    assert ProjectConsensus.objects.get(project=project).prior == 7


@pytest.mark.django_db(transaction=True)
def test_a_label_that_is_committed_after_a_later_one_is_settled_too() -> None:
    project = make.project()
    solutions = read_by_three(project, 6)
    make.person("slow", project), make.person("quick", project)
    quality.settle_new(no_prior)
    stored, settled = threading.Event(), threading.Event()

    def label_slowly() -> None:
        with transaction.atomic():
            judged(solutions[0], "slow", 2)
            stored.set()
            assert settled.wait(PATIENCE)

    def settle_meanwhile() -> list[int]:
        assert stored.wait(PATIENCE)
        judged(solutions[1], "quick", 2)
        quality.settle_new(no_prior)
        readings = [consensus_on(solution).n_readings for solution in solutions[:2]]
        settled.set()
        return readings

    _, meanwhile = make.at_once([label_slowly, settle_meanwhile])
    quality.settle_new(no_prior)
    assert meanwhile == [3, 4]
    assert [consensus_on(solution).n_readings for solution in solutions[:2]] == [4, 4]
    assert quality.settle_new(no_prior) == {}


@pytest.mark.django_db(transaction=True)
def test_a_load_takes_the_lock_by_which_settling_sees_it_before_its_labels_have_numbers(tmp_path: Path) -> None:
    project, file, is_locked = make.project(), tmp_path / "labels.jsonl", threading.Event()
    file.write_text(json.dumps(PROCESSBENCH) + "\n", encoding="utf-8")

    def last_number() -> tuple[int, bool]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT last_value, is_called FROM annotation_annotation_id_seq")
            return cursor.fetchone()

    def load() -> int:
        assert is_locked.wait(PATIENCE)
        return ingest.load_solutions(file, project=project).new_annotations

    def look() -> list[tuple[int, bool]]:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE annotation_annotation IN SHARE MODE")
            before = last_number()
            is_locked.set()
            until(lambda: make.n_waiting() == 1, what="the load waits for the lock")
            return [before, last_number()]

    new, numbers = make.at_once([load, look])
    assert new == 1 and numbers[0] == numbers[1]


@pytest.mark.django_db(transaction=True)
def test_two_who_settle_at_once_write_each_row_once() -> None:
    project = make.project()
    read_by_three(project, 6)
    outcomes = make.at_once([lambda: quality.settle(project).n_changed] * 3)
    assert sorted(outcomes, key=str) == [0, 0, 6]
    assert (SolutionConsensus.objects.count(), StepConsensus.objects.count()) == (6, 30)
