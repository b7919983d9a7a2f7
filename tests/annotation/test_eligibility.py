"""Whose labels count, for each use: one table, asked through the ORM and in raw statements."""

import itertools
import uuid
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import F

from annotation import eligibility
from annotation.eligibility import Adjudications, LeftOut, Use
from annotation.models import Annotation, Assignment, Batch, BatchKind, BatchState, Membership, Project, Role, Solution, Task
from tests import make

pytestmark = pytest.mark.django_db

NOW = "2026-01-01T00:00Z"
_generations = itertools.count(1)

# Which uses take a label: T training, C consensus, A agreement, W work, D dataset.
TABLE = [
    ("work", "TCAWD"),
    ("gold in work", "TCAWD"),
    ("calibration", "TCAWD"),
    ("imported", "TCAWD"),
    ("imported_gold", "TCAWD"),
    ("of a withdrawn solution", "TCAWD"),
    ("of a former member", "TCAWD"),
    ("of a paused member", "TCAWD"),
    ("work of a person who is not admitted", "TCAWD"),
    ("practice", ""),
    ("practice of an admitted person", ""),
    ("screening", "D"),
    ("screening of an admitted person", "TCAWD"),
    ("screening of a person admitted in another project", "D"),
    ("in quarantine", "W"),
    ("quarantined in another project", "TCAWD"),
    ("screening of an admitted person in quarantine", "W"),
    ("screening in quarantine", ""),
    ("calibration in quarantine", "W"),
    ("imported in quarantine", "W"),
    ("superseded", "W"),
    ("revision", "TCAWD"),
    ("adjudication", "TD"),
    ("adjudicated", "CAWD"),
    ("adjudicated gold", "CAWD"),
    ("earlier adjudication of two", "D"),
    ("later adjudication of two", "TD"),
    ("adjudication that was corrected", ""),
    ("correction of an adjudication", "TD"),
    ("adjudication in quarantine", ""),
    ("adjudicated by a person in quarantine", "TCAWD"),
    ("adjudication without a verdict", "D"),
    ("adjudicated without a verdict", "TCAWD"),
    ("adjudicated as a bad problem", "CAWD"),
]  # fmt: skip
NEWCOMERS = {"screening", "screening of a person admitted in another project"}
USES = dict(zip("TCAWD", (Use.TRAINING, Use.CONSENSUS, Use.AGREEMENT, Use.WORK, Use.DATASET), strict=True))


def batch_of(project: Project, kind: str) -> Batch:
    generation = -1 if kind == BatchKind.SCREENING else 0
    return Batch.objects.get_or_create(project=project, kind=kind, generation=generation, defaults={"state": BatchState.OPEN})[0]


def member(project: Project, **fields: object) -> Membership:
    name = f"person{next(_generations)}"
    made = Membership.objects.create(project=project, user=make.person(name), role=fields.pop("role", Role.LABELER))
    Membership.objects.filter(pk=made.pk).update(**fields)
    return made


def label(solution: Solution, kind: str, by: Membership, *, task: str = "normal", **fields: object) -> Annotation:
    batch = batch_of(solution.problem.project, kind)
    asked = Task.objects.get_or_create(batch=batch, solution=solution, defaults={"kind": task})[0]
    done = Assignment.objects.create(task=asked, batch=batch, state="done", labeler=by.user)
    return annotate(done, **fields)


def annotate(done: Assignment, **fields: object) -> Annotation:
    values = {"finish_reason": "solution", "submission_id": uuid.uuid4(), "body_hash": b"", **fields}
    return Annotation.objects.create(assignment=done, labeler=done.labeler, solution=done.task.solution, **values)


def correct(annotation: Annotation) -> Annotation:
    return annotate(annotation.assignment, revision=2, supersedes=annotation)


DOCUMENTED = {
    "work, with gold in it; calibration; labels from files": ["work", "gold in work", "calibration", "imported", "imported_gold"],
    "of withdrawn solutions, of paused people, of former members": ["of a withdrawn solution", "of a former member", "of a paused member"],
    "practice": ["practice", "practice of an admitted person"],
    "screening answers of people who are admitted": ["screening of an admitted person"],
    "screening answers of people who are not admitted": ["screening"],
    "all labels of a person in quarantine": ["in quarantine", "calibration in quarantine", "imported in quarantine"],
    "a revision that was corrected later": ["superseded"],
    "the adjudication of a solution": ["adjudication", "later adjudication of two"],
    "other labels of an adjudicated solution": ["adjudicated", "adjudicated gold"],
}


def test_the_table_in_the_documents_says_the_same() -> None:
    text = (Path(__file__).parents[2] / "docs" / "quality.md").read_text().partition("## Whose labels count")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert {row[0] for row in rows[2:]} == DOCUMENTED.keys()
    counts = {
        (cell, letter): case not in ("no", "it fixes the truth")
        for cell, *cases in rows[2:]
        for letter, case in zip("TCAWD", cases, strict=True)
    }
    uses = dict(TABLE)
    for cell, cases in DOCUMENTED.items():
        assert {case: "".join(letter for letter in "TCAWD" if counts[cell, letter]) for case in cases} == {
            case: uses[case] for case in cases
        }


@pytest.fixture
def named() -> dict[str, Annotation]:
    """One annotation for each row of the table, all in one project but for the memberships that do not concern it."""
    project, other = make.project(), make.project("other")
    fresh = {"role": Role.LABELER}
    old, new = member(project, qualified_at=NOW), member(project)
    out, out_new = member(project, qualified_at=NOW, quarantined_at=NOW), member(project, quarantined_at=NOW)
    elsewhere = member(project)
    Membership.objects.create(project=other, user=elsewhere.user, qualified_at=NOW, quarantined_at=NOW, **fresh)
    rolf, ruth = member(project, role=Role.REVIEWER), member(project, role=Role.REVIEWER)
    bad = member(project, role=Role.REVIEWER, quarantined_at=NOW)

    def one(**fields: object) -> Solution:
        return make.solution(make.problem(project), **fields)

    corrected = label(one(), "selected", old)
    twice, fixed, by_bad, no_verdict, problem, gold = (one() for _ in range(6))
    adjudication = label(fixed, "review", rolf)
    rows = {
        "work": label(one(), "selected", old),
        "gold in work": label(one(), "selected", old, task="gold"),
        "calibration": label(one(), "calibration", old),
        "imported": label(one(), "imported", new),
        "imported_gold": label(one(), "imported_gold", new),
        "of a withdrawn solution": label(one(withdrawn_at=NOW), "selected", old),
        "of a former member": label(one(), "selected", member(project, role=Role.FORMER)),
        "of a paused member": label(one(), "selected", member(project, suspended_at=NOW)),
        "work of a person who is not admitted": label(one(), "selected", new),
        "practice": label(one(), "practice", new),
        "practice of an admitted person": label(one(), "practice", old),
        "screening": label(one(), "screening", new),
        "screening of an admitted person": label(one(), "screening", old),
        "screening of a person admitted in another project": label(one(), "screening", elsewhere),
        "in quarantine": label(one(), "selected", out),
        "quarantined in another project": label(one(), "selected", elsewhere),
        "screening of an admitted person in quarantine": label(one(), "screening", out),
        "screening in quarantine": label(one(), "screening", out_new),
        "calibration in quarantine": label(one(), "calibration", out),
        "imported in quarantine": label(one(), "imported", out),
        "superseded": corrected,
        "revision": correct(corrected),
        "adjudicated": label(fixed, "selected", old),
        "adjudication": label(fixed, "review", ruth),
        "adjudicated gold": label(gold, "selected", old, task="gold"),
        "earlier adjudication of two": label(twice, "review", rolf),
        "later adjudication of two": label(twice, "review", ruth),
        "adjudication that was corrected": label(gold, "review", rolf),
        "adjudication in quarantine": label(by_bad, "review", bad),
        "adjudicated by a person in quarantine": label(by_bad, "selected", old),
        "adjudication without a verdict": label(no_verdict, "review", rolf, finish_reason="give_up"),
        "adjudicated without a verdict": label(no_verdict, "selected", old),
        "adjudicated as a bad problem": label(problem, "selected", old),
    }
    label(problem, "review", rolf, finish_reason="bad_problem")
    rows["correction of an adjudication"] = correct(rows["adjudication that was corrected"])
    assert adjudication.pk < rows["adjudication"].pk
    return rows


def by_statement(use: Use, project: Project, **options: object) -> set[int]:
    """The annotations that a raw statement finds, each alone: which rows a statement reaches first does not matter."""
    condition = eligibility.sql(use, annotation="x", kind="batch.kind", **options)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT x.id FROM annotation_annotation x JOIN annotation_assignment s ON s.id = x.assignment_id "
            f"JOIN annotation_batch batch ON batch.id = s.batch_id WHERE {condition}",
            {"project": project.pk},
        )
        return {key for (key,) in cursor.fetchall()}


def of_project(named: dict[str, Annotation]) -> Project:
    return named["work"].solution.problem.project


def test_each_use_takes_the_labels_that_the_table_says_in_queries_and_in_raw_statements(named: dict[str, Annotation]) -> None:
    assert named.keys() == {case for case, _ in TABLE}
    for letter, use in USES.items():
        expected = {case for case, uses in TABLE if letter in uses}
        project = of_project(named)
        each = Annotation.objects.filter(eligibility.does_count(use, project=project.pk))
        asked = [set(rows.values_list("pk", flat=True)) for rows in (eligibility.counting(use), each)] + [by_statement(use, project)]
        assert [{case for case, row in named.items() if row.pk in found} for found in asked] == [expected] * 3, use
        assert asked[0] == asked[1] == asked[2]  # also of the labels that have no name


def test_a_corrected_revision_counts_only_where_it_is_asked_for(named: dict[str, Annotation]) -> None:
    project, both = of_project(named).pk, {"superseded", "revision"}
    asked = {
        (use, newest): set(
            Annotation.objects.filter(eligibility.does_count(use, project=project, newest=newest)).values_list("pk", flat=True)
        )
        for use, newest in ((Use.AGREEMENT, False), (Use.WORK, True))
    }
    assert {case for case in both if named[case].pk in asked[Use.AGREEMENT, False]} == both
    assert {case for case in both if named[case].pk in asked[Use.WORK, True]} == {"revision"}


def test_a_condition_on_an_annotation_finds_it_under_whatever_name_the_query_has_for_it(named: dict[str, Annotation]) -> None:
    counts = eligibility.does_count(Use.CONSENSUS, project=of_project(named).pk, annotation="label")
    joined = Solution.objects.alias(label=F("annotation__pk")).filter(counts).values_list("annotation__pk", flat=True)
    assert set(joined) == set(eligibility.counting(Use.CONSENSUS).values_list("pk", flat=True))


def test_a_label_counts_again_when_its_author_leaves_the_quarantine(named: dict[str, Annotation]) -> None:
    before = {use: eligibility.counting(use).count() for use in Use}
    Membership.objects.update(quarantined_at=NOW)
    assert [eligibility.counting(use).count() for use in Use if use != Use.WORK] == [0] * 4
    Membership.objects.update(quarantined_at=None)
    back = {use: set(eligibility.counting(use).values_list("pk", flat=True)) for use in Use}
    assert all(named[case].pk in back[Use.CONSENSUS] for case in ("in quarantine", "calibration in quarantine", "imported in quarantine"))
    assert named["adjudicated by a person in quarantine"].pk not in back[Use.TRAINING]  # the adjudication counts again
    assert len(back[Use.WORK]) == before[Use.WORK]


@pytest.mark.parametrize(
    ("options", "without"),
    [
        ({"newcomers": False}, NEWCOMERS),
        ({"adjudications": Adjudications.WITHOUT}, {case for case, uses in TABLE if "D" in uses and "adjudication" in case}),
        ({"adjudications": Adjudications.INSTEAD}, {case for case, uses in TABLE if "D" in uses and "T" not in uses} - NEWCOMERS),
    ],
)
def test_a_dataset_leaves_out_what_its_options_say(named: dict[str, Annotation], options: dict[str, object], without: set[str]) -> None:
    whole = {case for case, uses in TABLE if "D" in uses}
    found = set(eligibility.counting(Use.DATASET, **options).values_list("pk", flat=True))
    assert {case for case, row in named.items() if row.pk in found} == whole - without
    assert found == by_statement(Use.DATASET, of_project(named), **options)


MARKS = {
    LeftOut.PRACTICE: {"practice", "practice of an admitted person"},
    LeftOut.NEWCOMER: {*NEWCOMERS, "screening in quarantine"},
    LeftOut.QUARANTINE: {"in quarantine", "screening of an admitted person in quarantine", "calibration in quarantine",
                      "imported in quarantine", "adjudication in quarantine"},
    LeftOut.CORRECTED: {"superseded", "adjudication that was corrected"},
    LeftOut.ADJUDICATION: {"adjudication", "later adjudication of two", "correction of an adjudication", "adjudication without a verdict"},
    LeftOut.ADJUDICATED: {"adjudicated", "adjudicated gold", "adjudicated as a bad problem", "earlier adjudication of two"},
}  # fmt: skip


def test_each_label_that_does_not_count_everywhere_is_marked_with_its_reason(named: dict[str, Annotation]) -> None:
    marks = dict(eligibility.marked(Annotation.objects.all(), project=of_project(named).pk).values_list("pk", "mark"))
    expected = {case: mark for mark, cases in MARKS.items() for case in cases}
    assert {case: marks[row.pk] for case, row in named.items()} == {case: expected.get(case, "") for case in named}
    assert {case for case, uses in TABLE if uses != "TCAWD"} == expected.keys()
    assert eligibility.EFFECTS.keys() == MARKS.keys()


@pytest.mark.parametrize("use", [use for use in Use if use != Use.DATASET])
def test_only_a_dataset_has_options(use: Use) -> None:
    with pytest.raises(ValueError, match="fixed"):
        eligibility.counting(use, newcomers=True)
