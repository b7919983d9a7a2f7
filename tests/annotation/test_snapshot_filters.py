"""Which labels a snapshot lists, errors that name the filter, parts by problem, and what changed since."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from annotation import export
from annotation.export import SnapshotFilter, SplitRule
from annotation.export.content import content_rows
from annotation.models import Annotation, Batch, Membership, Problem, Project, Snapshot, Solution
from tests import make
from tests.exports import label
from tests.reviews import at, decide, disputed, read_all

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> None:
    settings.STEPMARK_HOME = tmp_path / "home"


def chosen(project: Project, **spec: Any) -> set[int]:
    """Return the annotations that a snapshot with this filter lists."""
    snapshot = export.take_dataset(project, SnapshotFilter.from_spec(spec))
    rows = {row["annotation"] for row in content_rows(snapshot, ["annotation"])}
    assert len(rows) == snapshot.count and SnapshotFilter.from_spec(spec).spec.items() <= {**snapshot.spec}.items()
    return rows


def of(*solutions: Solution, name: str = "") -> set[int]:
    """Return the annotations of these solutions, by ann, ben or all."""
    annotations = Annotation.objects.filter(solution__in=solutions)
    return set((annotations.filter(labeler__username=name) if name else annotations).values_list("pk", flat=True))


# The first solution is agreed on, the second disputed. The third is read by one person alone.
@pytest.fixture
def project() -> Project:
    project, _ = disputed((at(1), at(1)), (at(0), at(2)), (at(1), (1, 1, 1)))
    return project


@pytest.fixture
def solutions(project: Project) -> list[Solution]:
    return list(Solution.objects.order_by("pk"))


def test_without_a_filter_everything_counts(project: Project) -> None:
    assert len(chosen(project)) == 6


def test_people_are_chosen_by_their_pseudonyms(project: Project, solutions: list[Solution]) -> None:
    ann = str(Membership.objects.get(project=project, user=make.ann()).export_uuid)
    assert chosen(project, people=[ann]) == of(*solutions, name="ann")


def test_solutions_on_which_people_agree(project: Project, solutions: list[Solution]) -> None:
    assert chosen(project, agreement="agree") == of(solutions[0])
    assert chosen(project, agreement="disagree") == of(*solutions[1:])


def test_one_reading_is_no_agreement_and_too_few_labels_are_left_out(project: Project, solutions: list[Solution]) -> None:
    more = make.solutions(project, 1, source="more")
    make.batch(project, more, generation=1)
    read_all(project, make.ann(project), at(1))
    assert chosen(project, agreement="agree") == of(solutions[0])
    assert chosen(project, min_labels=2) == of(*solutions) and chosen(project, min_labels=1) == of(*solutions, *more)


def test_labels_that_do_not_count_are_no_opinion_among_others(project: Project, solutions: list[Solution]) -> None:
    Membership.objects.filter(user=make.ben()).update(quarantined_at="2026-01-01T00:00Z")
    assert chosen(project, min_labels=1) == of(*solutions, name="ann")
    assert chosen(project, quarantined=True) == of(*solutions)
    with pytest.raises(export.EmptySnapshot, match=r"No label of sums fulfils the filter \(.*people differ on the first mistake"):
        chosen(project, agreement="disagree")


def test_solutions_that_a_reviewer_settled(project: Project, solutions: list[Solution]) -> None:
    decide(project, solutions[1], make.rolf(project), at(1))
    assert chosen(project, review="reviewed") == of(solutions[1])
    assert chosen(project, review="not-reviewed") == of(solutions[0], solutions[2])
    decision = of(solutions[1], name="rolf")
    assert chosen(project, review="reviewed", adjudications="instead") == decision
    assert chosen(project, review="reviewed", adjudications="without") == of(solutions[1]) - decision


def test_the_consensus_has_one_label_for_each_solution_and_it_says_the_same(project: Project) -> None:
    listed = chosen(project, labels="consensus")
    annotations = Annotation.objects.filter(pk__in=listed).select_related("solution__consensus")
    assert len(listed) == len({annotation.solution_id for annotation in annotations}) == 3
    for annotation in annotations:
        first = annotation.steplabel_set.filter(rating=-1).values_list("step_index", flat=True).first()
        assert first == annotation.solution.consensus.first_mistake


def test_batches_generations_sources_reasons_and_days(project: Project, solutions: list[Solution]) -> None:
    more = make.solutions(project, 1, source="gen-2")
    batch = make.batch(project, more, generation=4)
    label(project, 1, -1, finish_reason="give_up", reason="hard")
    assert chosen(project, batches=[batch.pk]) == chosen(project, generations=[4]) == chosen(project, sources=["gen-2"]) == of(*more)
    assert chosen(project, finish_reasons=["give_up"]) == of(*more) and chosen(project, without=["give_up"]) == of(*solutions)
    assert chosen(project, since="2020-01-01", until="2100-01-01T00:00+05:00") == of(*solutions, *more)
    with pytest.raises(export.EmptySnapshot, match=r"submitted before 2020-01-01 00:00 UTC"):
        chosen(project, until="2020-01-01")


BAD = [
    ({"generations": [9]}, "generations '9': sums has no such generation. Its generations are: 0."),
    ({"generations": ["1"]}, "generations '1': it must be a whole number"),
    ({"generations": [True]}, "generations 'True': it must be a whole number"),
    ({"generations": 3}, "generations '3': it must be a list"),
    ({"batches": [2**31]}, "batches '2147483648': it must be a whole number"),
    ({"people": ["ann"]}, "people 'ann': it is no pseudonym"),
    ({"people": ["00000000-0000-4000-8000-000000000000"]}, "sums has no such person"),
    ({"finish_reasons": ["done"]}, "finish_reasons 'done': there is no such value. Choose from solution, found_error"),
    ({"without": ["done"]}, "without 'done': there is no such value"),
    ({"sources": ["nobody"]}, "sources 'nobody': sums has no solution of this source"),
    ({"sources": ["\0"]}, "sources '\\x00': it is no text"),
    ({"sources": ["\ud800"]}, "it is no text"),
    ({"sources": [None]}, "sources 'None': it must be text"),
    ({"splits": ["valid"]}, "splits 'valid': there is no such value. Choose from train, test"),
    ({"splits": []}, "splits '': no split is named"),
    ({"agreement": "some"}, "agreement 'some': there is no such value. Choose from agree, disagree"),
    ({"review": ""}, "review '': there is no such value"),
    ({"labels": "all"}, "labels 'all': there is no such value. Choose from each, consensus"),
    ({"labels": None}, "labels 'None': there is no such value"),
    ({"adjudications": "first"}, "adjudications 'first': there is no such value. Choose from without, beside, instead"),
    ({"min_labels": 0}, "min_labels '0': it must be a whole number, at least 1"),
    ({"min_labels": 1.5}, "min_labels '1.5': it must be a whole number"),
    ({"since": "yesterday"}, "since 'yesterday': it is no date. Write a day such as"),
    ({"since": "2026-02-30"}, "since '2026-02-30': it is no date"),
    ({"since": 3}, "since '3': it is no date"),
    ({"since": "2026-01-02", "until": "2026-01-01"}, "until '2026-01-01T00:00:00+00:00': it is not after since"),
    ({"newcomers": "yes"}, "newcomers 'yes': it must be true or false"),
    ({"quarantined": 1}, "quarantined '1': it must be true or false"),
    ({"colour": "red"}, "colour 'red': there is no such filter. Choose from adjudications, agreement, batches"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "told"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_value_that_cannot_be_is_named_with_its_filter_and_a_remedy(project: Project, spec: dict[str, Any], told: str) -> None:
    with pytest.raises(export.BadFilter) as refused:
        chosen(project, **spec)
    assert told in str(refused.value) and str(refused.value).endswith("No snapshot was taken.")
    assert refused.value.field in spec and not Snapshot.objects.exists()


def test_people_are_not_said_to_agree_where_everybody_takes_another_path() -> None:
    project = make.project("paths", step_source="interactive")
    with pytest.raises(export.BadFilter, match="agreement 'agree': in paths everybody takes another path.*Leave this filter out"):
        export.take_dataset(project, SnapshotFilter(agreement="agree"))


def test_a_project_whose_labels_are_all_on_the_other_split_is_told_so(project: Project) -> None:
    Problem.objects.update(split="test")
    with pytest.raises(export.EmptySnapshot, match="All labels of sums are on problems of the test split, .*both splits"):
        export.take_dataset(project)
    assert not Snapshot.objects.exists() and len(chosen(project, splits=["train", "test"])) == 6


def test_a_moment_of_another_time_zone_is_kept_and_said_in_utc() -> None:
    spec = SnapshotFilter.from_spec({"until": "2026-01-01T00:30+05:00"}).spec
    assert spec["until"] == "2025-12-31T19:30:00+00:00" and "submitted before 2025-12-31 19:30 UTC" in export.filter_in_words(spec)
    with pytest.raises(export.BadFilter, match="since '0001-01-01T00:30.05:00': it is no date"):
        SnapshotFilter.from_spec({"since": "0001-01-01T00:30+05:00"})


def test_a_batch_and_a_person_of_another_project_are_refused(project: Project) -> None:
    other = make.project("other")
    batch = make.batch(other, make.solutions(other, 1))
    eve = Membership.objects.create(project=other, user=make.eve(), role="labeler")
    for spec in ({"batches": [batch.pk]}, {"people": [str(eve.export_uuid)]}):
        with pytest.raises(export.BadFilter, match="sums has no such"):
            chosen(project, **spec)


def test_the_command_takes_every_filter_and_says_what_it_took(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    ann = str(Membership.objects.get(project=project, user=make.ann()).export_uuid)
    batch = str(Batch.objects.get().pk)
    words = ["--generation", "0", "--batch", batch, "--person", ann, "--finish-reason", "found_error", "--without", "bad_problem"]
    words += ["--since", "2020-01-01", "--until", "2100-01-01", "--agreement", "disagree", "--min-labels", "2", "--review", "not-reviewed"]
    words += ["--labels", "each", "--adjudications", "beside", "--with-quarantine", "--without-newcomers", "--split", "all"]
    call_command("snapshot", "--project", "sums", *words)
    snapshot = Snapshot.objects.get()
    assert f"Snapshot 1: 2 annotations of 2 solutions and 2 problems by 1 person (sha256 {snapshot.sha256})." in capsys.readouterr().out
    assert snapshot.spec["people"] == [ann] and snapshot.spec["quarantined"] is True and snapshot.spec["splits"] == ["train", "test"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--generation", "9"], "has no such generation"),
        (["--until", "2020-01-01"], "No label of sums fulfils the filter"),
        (["--min-labels", "0"], "min_labels '0'"),
        (["--snapshot", "7"], "sums has no snapshot 7. It has no snapshot yet"),
        (["--snapshot", "7", "--generation", "0"], "with its own filters. Leave out the other filters"),
        (["--shares", "0.5,0.5"], "write three numbers"),
        (["--shares", "0.5,0.4,0.2"], "in sum"),
        (["--shares=-1,1,1"], "A share is a number from 0 to 1"),
    ],
)
def test_a_command_that_cannot_be_followed_changes_nothing(project: Project, tmp_path: Path, words: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told) as refused:
        call_command("export", "--project", "sums", "--out", str(tmp_path / "out.jsonl"), *words)
    assert refused.value.returncode == 2 and not (tmp_path / "out.jsonl").exists() and not Snapshot.objects.exists()


# --- parts by problem ----------------------------------------------------------------------------------------------------


def many(count: int) -> Project:
    project = make.project()
    make.batch(project, make.solutions(project, count))
    for number, problem in enumerate(Problem.objects.order_by("pk")):  # the part of a problem follows from its id
        Problem.objects.filter(pk=problem.pk).update(external_id=f"p{number}")
    for _ in range(count):
        label(project, 1, -1, finish_reason="found_error")
    return project


def parts_of(folder: Path, name: str = "out") -> dict[str, list[str]]:
    return {
        part: [orjson.loads(line)["question"]["problem"] for line in (folder / f"{name}-{part}.jsonl").read_bytes().splitlines()]
        for part in ("train", "valid", "test")
    }


def test_no_problem_is_in_two_parts_and_a_later_snapshot_keeps_each_in_its_part(tmp_path: Path) -> None:
    project = many(12)
    words = ["--shares", "0.5,0.25,0.25", "--seed", "3"]
    call_command("export", "--project", "sums", "--out", str(tmp_path / "out.jsonl"), *words)
    first = parts_of(tmp_path)
    assert sum(map(len, first.values())) == 12 and all(first.values()) and not (tmp_path / "out.jsonl").exists()
    assert not set(first["train"]) & set(first["test"]) and not set(first["train"]) & set(first["valid"])
    make.batch(project, make.solutions(project, 2), generation=1)
    label(project, 1, -1, finish_reason="found_error")
    call_command("export", "--project", "sums", "--out", str(tmp_path / "later.jsonl"), *words)
    later = parts_of(tmp_path, "later")
    assert all(set(first[part]) <= set(later[part]) for part in first) and sum(map(len, later.values())) == 13
    files = Snapshot.objects.get(number=1).files.order_by("pk")
    assert [(file.split, file.n_records) for file in files] == [(part, len(first[part])) for part in ("train", "valid", "test")]
    assert files[0].options == {"rule": {"train": 0.5, "valid": 0.25, "test": 0.25, "seed": 3}}


def test_problems_of_the_test_split_are_never_in_the_training_part(tmp_path: Path) -> None:
    project = many(4)
    secret = Problem.objects.first()
    assert secret is not None
    Problem.objects.filter(pk=secret.pk).update(split="test")
    snapshot = export.take_snapshot(project, splits=("train", "test"))
    export.export_snapshot(snapshot, tmp_path / "out.jsonl", rule=SplitRule(train=1, valid=0, test=0))
    assert parts_of(tmp_path)["test"] == [secret.statement] and len(parts_of(tmp_path)["train"]) == 3


def test_the_shares_are_met_for_many_problems_and_another_seed_divides_otherwise() -> None:
    ids = [f"p{number}" for number in range(20_000)]
    parts = {
        seed: [SplitRule(train=0.8, valid=0.15, test=0.05, seed=seed).part_of(problem, split="train") for problem in ids] for seed in (0, 1)
    }
    shares = {part: parts[0].count(part) / len(ids) for part in ("train", "valid", "test")}
    assert shares == pytest.approx({"train": 0.8, "valid": 0.15, "test": 0.05}, abs=0.01)
    assert parts[0] != parts[1]


# --- differences ---------------------------------------------------------------------------------------------------------


def test_a_difference_names_what_came_and_what_went(capsys: pytest.CaptureFixture[str]) -> None:
    project = many(2)
    export.take_snapshot(project)
    make.batch(project, make.solutions(project, 1), generation=1)
    added = label(project, 1, -1, finish_reason="found_error")
    Membership.objects.filter(user=make.ann()).update(quarantined_at=None)
    export.take_snapshot(project)
    old, new = (export.find_snapshot(project, number) for number in (1, 2))
    difference = export.compare_snapshots(old, new)
    assert (difference.added, difference.removed, difference.unchanged) == ([added.pk], [], 2)
    assert difference.problems_added == [added.solution.problem.external_id] and difference.problems_removed == []
    assert export.compare_snapshots(new, old).removed == [added.pk]
    call_command("snapshot", "--project", "sums", "--diff", "1", "2")
    assert "What changed from snapshot 1 to 2: 1 annotation added, 0 removed, 2 unchanged." in capsys.readouterr().out


def test_what_changed_since_a_snapshot_follows_its_filter_and_stores_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    project = many(2)
    export.take_dataset(project, SnapshotFilter(generations=(0,)))
    make.batch(project, make.solutions(project, 1), generation=1)
    label(project, 1, -1, finish_reason="found_error")
    Membership.objects.filter(user=make.ann()).update(quarantined_at="2026-01-01T00:00Z")
    call_command("snapshot", "--project", "sums", "--changed-since", "1")
    assert "What changed since snapshot 1: 0 annotations added, 2 removed, 0 unchanged." in capsys.readouterr().out
    assert Snapshot.objects.count() == 1


def test_snapshots_of_two_projects_are_not_compared() -> None:
    first, second = export.take_snapshot(make.project()), export.take_snapshot(make.project("other"))
    with pytest.raises(export.NotComparable, match="belongs to sums, and 1 to other"):
        export.compare_snapshots(first, second)
