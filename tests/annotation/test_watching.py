"""The tests that watch for bad work: whom they flag, whom they do not, and what they say when they cannot judge."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from annotation import watching
from annotation.watching import NONE, WatchedVerdict
from benchmarks.watching import HONEST, World

PEOPLE = ["honest"] * HONEST


def flags(verdicts: list[WatchedVerdict], **options: object) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for flag in watching.watch(verdicts, **options).flags:  # type: ignore[arg-type]
        found.setdefault(flag.person, set()).add(flag.kind)
    return found


def kinds_of(form: str, *, seed: int = 1) -> set[str]:
    """Return the tests that flag one spammer among honest people."""
    found = flags(World(seed, [*PEOPLE, form]).verdicts)
    assert found.keys() <= {HONEST}, f"Honest people were flagged: {found}"
    return found.get(HONEST, set())


# --- the bounds -----------------------------------------------------------------------------------------------------------------


def test_the_evidence_against_honest_work_is_one_on_average_whenever_it_is_looked_at() -> None:
    random = np.random.default_rng(0)
    usual = random.uniform(0.2, 0.9, 60)
    hits = (random.random((2000, 60)) < usual).astype(float)
    values = np.exp([[watching.above(row[:look], usual[:look]) for look in (10, 25, 60)] for row in hits])
    assert (values.mean(axis=0) <= 1.0 + 3 * values.std(axis=0) / np.sqrt(len(values))).all()
    assert (values.max(axis=1) >= 20).mean() <= 0.05  # at any of the looks


def test_evidence_that_honest_people_do_not_reach_is_reached_by_those_who_turn_bad_late() -> None:
    usual = np.full(260, 0.5)
    honest = np.tile([0.0, 1.0], 100)
    assert watching.above(np.append(honest, np.ones(60)), usual) > np.log(1000) > 0 > watching.above(np.append(honest, honest[:60]), usual)


def test_the_chances_of_all_marks_sum_to_one() -> None:
    for n_steps in (1, 2, 7):
        for chances in (watching.chances, lambda mark, n, _: watching.habits(mark, n)[:, None]):
            total = sum(chances(mark, n_steps, watching.HONEST) for mark in range(n_steps + 1))
            assert np.allclose(total, 1.0), n_steps


def test_the_places_of_marks_have_the_sizes_that_the_habits_count_with() -> None:
    for n_steps in range(1, 25):
        places = [watching.place_of(mark, n_steps) for mark in range(n_steps + 1)]
        assert watching._sizes(n_steps).tolist() == np.bincount(places, minlength=6).tolist()


def test_more_people_need_stronger_evidence_each() -> None:
    few, many = (watching.watch(World(0, ["honest"] * n).verdicts).findings[0].log_limit for n in (10, 40))
    assert many - few == pytest.approx(np.log(4))


# --- whom they flag -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "test"),
    [
        ("nothing", "truth"), ("nothing", "others"), ("nothing", "one_key"), ("first", "one_key"), ("last", "one_key"),
        ("keys", "others"), ("model", "copies_model"), ("copy", "copies_person"), ("fast", "pace"),
    ],
)  # fmt: skip
def test_each_kind_of_spammer_is_flagged_by_its_test(form: str, test: str) -> None:
    assert test in kinds_of(form)


@pytest.mark.parametrize("seed", range(3))
def test_honest_people_of_mixed_skill_are_not_flagged(seed: int) -> None:
    assert flags(World(100 + seed, PEOPLE).verdicts) == {}


def test_the_copy_is_flagged_and_not_the_person_who_was_copied() -> None:
    found = watching.watch(World(2, [*PEOPLE, "copy"]).verdicts).flags
    assert {(flag.person, flag.kind, flag.figures["source"]) for flag in found} == {(HONEST, "copies_person", 0)}


def test_a_good_model_does_not_make_good_people_copies_of_it() -> None:
    world = World(3, PEOPLE)
    world.misses[:], world.alarms[:] = 0.03, 0.005
    good = World.__new__(World)
    good.__dict__ = {**world.__dict__, "verdicts": []}
    good.random = np.random.default_rng(5)
    for solution in range(270):
        good._read(solution, [int(person) for person in good.random.choice(HONEST, 3, replace=False)])
    truths = {one.solution: one.marked for one in good.verdicts}
    assert flags([replace(one, model=truths[one.solution]) for one in good.verdicts]) == {}


def test_only_work_after_a_decision_counts_again() -> None:
    verdicts = World(1, [*PEOPLE, "nothing"]).verdicts
    last = max(one.at for one in verdicts)
    assert flags(verdicts, since={(HONEST, "truth"): last})[HONEST] == {"others", "one_key"}


def test_only_those_who_are_asked_about_are_tested() -> None:
    verdicts = World(1, [*PEOPLE, "nothing"]).verdicts
    assert {one.person for one in watching.watch(verdicts, only=[3]).findings} == {3}


# --- what cannot be judged ------------------------------------------------------------------------------------------------------


def own(mark: Callable[[WatchedVerdict], int], verdicts: list[WatchedVerdict], person: int) -> list[WatchedVerdict]:
    return [replace(one, marked=mark(one)) if one.person == person else one for one in verdicts]


def test_a_majority_of_spammers_is_flagged_by_what_is_known_and_the_honest_are_not() -> None:
    found = flags(World(4, ["honest"] * 5 + ["nothing"] * 15).verdicts)
    assert found.keys() == set(range(5, 20)) and all("truth" in tests for tests in found.values())
    remarks = watching.watch(World(4, ["honest"] * 5 + ["nothing"] * 15).verdicts).remarks
    assert remarks == ["Most people do not fit what is known: 15 of 20. Only the other 5 are the measure in comparisons."]


def test_where_nothing_is_known_a_majority_decides_nothing() -> None:
    watched = watching.watch(World(4, ["honest"] * 5 + ["nothing"] * 15, knows=False).verdicts)
    assert watched.flags == []
    assert watched.remarks[0].startswith(
        "People are not compared with each other: the verdicts of 0 of 20 people fit what is known, and at least 3 people are needed."
    )


def test_of_one_labeler_only_what_is_known_is_asked() -> None:
    world = World(6, [*PEOPLE, "nothing"])
    alone = [one for one in world.verdicts if one.person == HONEST]
    found = watching.watch(alone)
    assert {one.kind for one in found.flags} == {"truth"} and {one.kind for one in found.findings} == {"truth", "pace"}


def test_people_who_are_unanimous_and_right_are_not_flagged() -> None:
    verdicts = []
    random = np.random.default_rng(7)
    for solution in range(60):
        n_steps = int(random.integers(3, 12))
        mistake = int(random.integers(1, n_steps + 1)) if solution % 2 else NONE
        verdicts += [
            WatchedVerdict(solution, person, solution + person / 10, mistake, n_steps, 60.0, 900, is_wrong=bool(mistake))
            for person in range(4)
        ]
    assert flags(verdicts) == {}


def test_somebody_who_never_finds_a_mistake_where_there_is_none_is_not_flagged() -> None:
    verdicts = [
        WatchedVerdict(solution, person, solution + person / 10, NONE, 6, 60.0, 900, known=frozenset({NONE}), is_wrong=False)
        for solution in range(60)
        for person in range(4)
    ]
    assert flags(verdicts) == {}


def test_gold_that_no_verdict_can_fit_is_left_out() -> None:
    verdicts = [WatchedVerdict(n, 0, n, NONE, 4, known=frozenset()) for n in range(40)]
    assert watching.watch(verdicts).findings == []


def test_before_ten_verdicts_nothing_is_said() -> None:
    verdicts = [WatchedVerdict(n, 0, n, NONE, 4, is_wrong=True) for n in range(9)]
    watched = watching.watch(verdicts)
    assert watched.findings == [] and watched.remarks == ["Nobody has 10 verdicts yet. Before that nothing is said of anybody."]
    assert watching.watch([]).findings == []


def test_without_times_nobody_is_called_fast() -> None:
    verdicts = [replace(one, seconds=None) for one in World(1, [*PEOPLE, "fast"]).verdicts]
    assert flags(verdicts) == {}


def test_a_pace_that_nobody_reads_at_is_flagged_without_peers() -> None:
    verdicts = [WatchedVerdict(n, 0, n, 2, 4, seconds=2.0, characters=900) for n in range(40)]
    assert flags(verdicts) == {0: {"pace"}}


def test_solutions_of_one_step_can_be_judged() -> None:
    verdicts = [WatchedVerdict(n, person, n + person / 10, NONE, 1, 9.0, 90, is_wrong=False) for n in range(30) for person in range(4)]
    assert flags(verdicts) == {}


# --- what they say ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["nothing", "first", "keys", "model", "copy", "fast"])
def test_each_finding_says_its_evidence_and_how_often_it_is_false(form: str) -> None:
    for finding in watching.watch(World(1, [*PEOPLE, form]).verdicts, only=[HONEST]).findings:
        lines = [*watching.describe(finding), watching.bound(finding)]
        assert all(not line[0].islower() and line.endswith(".") and "nan" not in line for line in lines), lines


def test_the_bound_of_a_flag_names_the_chance_for_one_person_and_for_the_project() -> None:
    (finding,) = [one for one in watching.watch(World(1, [*PEOPLE, "nothing"]).verdicts).flags if one.kind == "one_key"]
    assert watching.bound(finding) == (
        "Honest work shows evidence as strong as this in at most 1 of 2,100 cases, however often it is looked at. "
        "With 21 people and 6 tests, the chance that anybody in a project of honest people is ever flagged is at most 10%."
    )


def test_verdicts_of_one_kind_have_no_variety_and_the_sentence_shows_no_minus() -> None:
    finding = watching.Finding(
        1, "truth", 9.0, 5.0, 3, 15, {"right": 0, "habit": watching.HABITS[0], "entropy": watching._entropy([0] * 15), "run": 15}
    )
    assert watching.describe(finding)[-1] == (
        "The variety of the verdicts is 0.0 bits (0: always the same kind; 2.6 at most). The longest run of the same kind is 15."
    )
