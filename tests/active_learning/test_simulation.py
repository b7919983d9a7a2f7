"""The simulated world against an independent reader: every sum in the texts is found by regex and done again."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from active_learning.world import simulation
from active_learning.world.simulation import (
    Habits,
    MistakeKind,
    SimulatedProblem,
    SimulatedSolution,
    label,
    make_problem,
    make_world,
    noisy_label,
)

EQUATION = re.compile(r"\$(\d+) (\+|-|\\times|\\div) (\d+) = (\d+)\$")
SPLIT = re.compile(r"\$(\d+) = (\d+) \+ (\d+)\$")
World = list[tuple[SimulatedProblem, list[SimulatedSolution]]]


def sums_hold(step: str) -> bool:
    did = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, r"\times": lambda a, b: a * b, r"\div": lambda a, b: a / b}
    equations = all(did[sign](int(a), int(b)) == int(c) for a, sign, b, c in EQUATION.findall(step))
    return equations and all(int(whole) == int(tens) + int(ones) for whole, tens, ones in SPLIT.findall(step))


def each(world: World) -> Iterator[tuple[SimulatedProblem, SimulatedSolution]]:
    return ((problem, solution) for problem, solutions in world for solution in solutions)


@pytest.fixture(scope="module")
def world() -> World:
    return list(make_world(11, n_problems=600, n_solutions=12))


def test_every_step_before_the_first_mistake_has_true_sums(world: World) -> None:
    checked = 0
    for _, solution in each(world):
        for step in solution.steps[: solution.first_mistake]:
            assert sums_hold(step), step
            checked += len(EQUATION.findall(step))
    assert checked > 10_000


def test_a_slip_is_a_false_sum_and_no_other_kind_is(world: World) -> None:
    for _, solution in each(world):
        if solution.first_mistake is not None:
            assert sums_hold(solution.steps[solution.first_mistake]) == (solution.mistake_kind is not MistakeKind.SLIP), solution


def test_a_solution_without_mistake_ends_at_the_answer(world: World) -> None:
    for problem, solution in each(world):
        if solution.first_mistake is None:
            assert solution.final_answer == problem.answer, (problem.statement, solution.steps)
            assert -1 not in solution.ratings


def test_every_number_before_the_first_mistake_was_told_reckoned_or_known(world: World) -> None:
    for problem, solution in each(world):
        known = {int(number) for number in re.findall(r"\d+", problem.statement)} | {1, 2, 3, 7, 12, 60}
        for step in solution.steps[: solution.first_mistake]:
            results = {int(c) for *_, c in EQUATION.findall(step)} | {int(n) for split in SPLIT.findall(step) for n in split[1:]}
            stated = {int(number) for number in re.findall(r"\d+", step)}
            assert stated <= known | results, (problem.statement, step)
            known |= results


def test_the_first_mistake_is_the_first_negative_rating_and_names_its_kind(world: World) -> None:
    for _, solution in each(world):
        negatives = [index for index, rating in enumerate(solution.ratings) if rating == -1]
        assert solution.first_mistake == (negatives[0] if negatives else None)
        assert (solution.mistake_kind is None) == (not negatives)
        assert len(solution.ratings) == len(solution.steps)


def test_the_oracle_stops_at_the_first_mistake(world: World) -> None:
    for _, solution in each(world):
        ratings, finish_reason = label(solution)
        assert -1 not in ratings[:-1]
        assert finish_reason == ("found_error" if ratings[-1] == -1 else "solution")
        assert len(ratings) == len(solution.steps) or finish_reason == "found_error"


def test_a_fallible_labeler_misses_mistakes_and_raises_false_alarms_at_the_stated_rates(world: World) -> None:
    rng = np.random.default_rng(1)
    seen, alarms, wrong, right = 0, 0, 0, 0
    for _, solution in each(world):
        ratings, _ = noisy_label(solution, rng=rng, detection=0.8, false_alarm=0.05)
        reached = solution.ratings[: len(ratings)]
        wrong += sum(truth == -1 for truth in reached)
        right += sum(truth != -1 for truth in reached)
        seen += sum(truth == -1 == rating for truth, rating in zip(reached, ratings, strict=True))
        alarms += sum(truth != -1 == rating for truth, rating in zip(reached, ratings, strict=True)) if -1 in ratings else 0
    assert seen / wrong == pytest.approx(0.8, abs=0.03)
    assert alarms / right == pytest.approx(0.05, abs=0.01)


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    first, again, other = (list(make_world(seed, n_problems=20, n_solutions=5)) for seed in (3, 3, 4))
    assert first == again
    assert not {problem.statement for problem, _ in first} & {problem.statement for problem, _ in other}


def test_a_larger_world_begins_with_the_smaller_one() -> None:
    small = list(make_world(3, n_problems=10, n_solutions=4))
    large = list(make_world(3, n_problems=30, n_solutions=9))
    assert [(problem, solutions[:4]) for problem, solutions in large[:10]] == small


def test_about_half_of_the_solutions_at_the_default_skill_are_right(world: World) -> None:
    right = [solution.final_answer == problem.answer for problem, solution in each(world)]
    assert 0.4 < sum(right) / len(right) < 0.6


def test_a_perfect_solver_makes_no_mistake() -> None:
    for problem, solution in each(list(make_world(8, n_problems=300, n_solutions=8, skill=1.0))):
        assert solution.first_mistake is None
        assert solution.final_answer == problem.answer


def test_problems_differ_in_difficulty(world: World) -> None:
    rates = [np.mean([solution.final_answer == problem.answer for solution in solutions]) for problem, solutions in world]
    assert np.quantile(rates, 0.1) < 0.3
    assert np.quantile(rates, 0.9) > 0.8


def test_every_kind_of_mistake_occurs_often_enough_to_be_learned(world: World) -> None:
    kinds = Counter(solution.mistake_kind for _, solution in each(world) if solution.mistake_kind)
    assert set(kinds) == set(MistakeKind)
    assert min(kinds.values()) > 0.02 * sum(kinds.values())


def test_some_right_answers_have_wrong_reasoning(world: World) -> None:
    right = [solution for problem, solution in each(world) if solution.final_answer == problem.answer]
    share = sum(solution.first_mistake is not None for solution in right) / len(right)
    assert 0.03 < share < 0.15


def test_units_are_forgotten_or_converted_with_a_wrong_factor(world: World) -> None:
    wrong = [s.steps[s.first_mistake] for _, s in each(world) if s.mistake_kind is MistakeKind.UNIT and s.first_mistake is not None]
    remembered_wrongly = [
        step for step in wrong if re.search(r"of \$100\$ minutes|has \$100\$ minutes|dozen is \$10\$|with \$10\$ in each dozen", step)
    ]
    assert 0 < len(remembered_wrongly) < len(wrong) / 2


def test_a_slip_in_a_remark_leaves_the_way_to_the_answer_whole(world: World) -> None:
    beside = [(problem, solution) for problem, solution in each(world) if solution.ratings.count(-1) == 1 and solution.ratings[-1] != -1]
    assert len(beside) > 50
    assert all(problem.answer == solution.final_answer for problem, solution in beside)


def test_a_second_mistake_sometimes_sets_the_answer_right(world: World) -> None:
    right = [solution for problem, solution in each(world) if solution.final_answer == problem.answer]
    mended = [solution for solution in right if solution.ratings.count(-1) > 1]
    assert len(mended) > 60


def test_a_generator_that_bends_its_last_sum_hides_wrong_reasoning_behind_more_right_answers() -> None:
    def hidden(**habits: float) -> float:
        made = make_world(12, n_problems=100, n_solutions=8, skill=0.5, habits=Habits(**habits), level=2)
        right = [solution for problem, solution in each(list(made)) if solution.final_answer == problem.answer]
        return sum(solution.first_mistake is not None for solution in right) / len(right)

    never, seldom, always, from_afar = hidden(mends=0), hidden(), hidden(mends=1), hidden(mends=1, mends_within=40)
    assert never < seldom < always < from_afar


def test_neutral_steps_restate_check_and_take_apart(world: World) -> None:
    neutral = [step for _, solution in each(world) for step, rating in zip(solution.steps, solution.ratings, strict=True) if rating == 0]
    for words in ("We know that", "The question is", "Let me check", "Note that"):
        assert sum(step.startswith(words) for step in neutral) > 50, words


def test_right_solutions_go_several_ways(world: World) -> None:
    equations: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for problem, solution in each(world):
        if solution.first_mistake is None and 0 not in solution.ratings:
            equations[problem.external_id].add(tuple("".join(part) for step in solution.steps for part in EQUATION.findall(step)))
    assert sum(len(ways) > 1 for ways in equations.values()) > 50


def test_texts_are_clean(world: World) -> None:
    for problem, solution in each(world):
        for text in (problem.statement, problem.reference_solution, *solution.steps):
            assert text.strip() == text != ""
            assert text.count("$") % 2 == 0
            assert not re.search(r"[{}#|]|\.\.|  |\b(\w+) \1\b|\b[Aa] [aeio]", text.replace("# Answer", "")), text
            assert text[0].isupper() or text[0] == "$"
        for step in solution.steps[:-1]:
            assert "\n" not in step
            assert step[-1] in ".?"


def test_the_last_step_states_the_answer_as_prm800k_does(world: World) -> None:
    for problem, solution in each(world):
        assert solution.steps[-1].endswith(f"\n\n# Answer\n\n{solution.final_answer}")
        assert problem.reference_solution.endswith(f"\n\n# Answer\n\n{problem.answer}")
        assert 3 <= len(solution.steps) <= 7
        assert solution.ratings[-1] != 0


def test_numbers_stay_small(world: World) -> None:
    for _, solution in each(world):
        if solution.first_mistake is None:
            assert all(int(number) <= 240 for step in solution.steps for number in re.findall(r"\d+", step))
        assert all(int(number) <= 999 for step in solution.steps for number in re.findall(r"\d+", step))


def test_every_number_of_a_statement_is_told_once(world: World) -> None:
    for problem, _ in world:
        numbers = re.findall(r"\$(\d+)\$", problem.statement)
        assert len(set(numbers)) == len(numbers) > 0, problem.statement


def test_levels_and_subjects_are_all_there(world: World) -> None:
    assert {problem.level for problem, _ in world} == {1, 2, 3, 4, 5}
    assert len({problem.subject for problem, _ in world}) >= 10
    for problem, _ in world:
        assert problem.level == len(EQUATION.findall(problem.reference_solution)) - 1


def test_no_problem_and_no_solution_of_a_problem_comes_twice(world: World) -> None:
    assert len({problem.statement for problem, _ in world}) == len(world) == len({problem.external_id for problem, _ in world})
    for _, solutions in world:
        assert len({solution.steps for solution in solutions}) == len(solutions)


def test_a_statement_that_was_already_told_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    [(first, _), (second, _)] = make_world(2, n_problems=2, n_solutions=1)
    draws = iter([first, first, second])
    monkeypatch.setattr(simulation, "make_problem", lambda rng, *, external_id, habits: next(draws))
    assert [problem.statement for problem, _ in make_world(2, n_problems=2, n_solutions=1)] == [first.statement, second.statement]


def test_fewer_than_one_statement_in_two_hundred_is_drawn_twice() -> None:
    statements = {make_problem(np.random.default_rng((5, index)), external_id=str(index)).statement for index in range(20_000)}
    assert len(statements) > 0.995 * 20_000


def test_a_problem_has_hundreds_of_different_solutions() -> None:
    assert all(len(solutions) == 256 for _, solutions in make_world(2, n_problems=60, n_solutions=256))


def test_asking_for_more_solutions_than_there_are_names_the_problem_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    [(_, [only])] = make_world(2, n_problems=1, n_solutions=1)
    monkeypatch.setattr(simulation, "sample_solution", lambda problem, *, rng, skill: only)
    with pytest.raises(ValueError, match="world-2-000000 has fewer than 2 different solutions. Ask for at most 1"):
        next(make_world(2, n_problems=1, n_solutions=2))


@pytest.mark.parametrize("skill", [0.0, -1.0, 1.5])
def test_an_impossible_skill_is_refused(skill: float) -> None:
    with pytest.raises(ValueError, match="skill must be above 0 and at most 1"):
        next(make_world(1, n_problems=1, n_solutions=1, skill=skill))
