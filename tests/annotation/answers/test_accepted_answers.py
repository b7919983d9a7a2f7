"""A project says whether fractions that are not in lowest terms, and percentages for their value, are correct."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command

from annotation.models import Project, Solution

pytestmark = pytest.mark.django_db


def load(tmp_path: Path, *options: str) -> Project:
    """Create a project and load one answer of each kind through the command."""
    lines = [
        {"problem": f"p{answer}", "answer": answer, "steps": [f"# Answer\n\n{stated}"]}
        for stated, answer in [("2/4", "1/2"), ("10%", "0.1")]
    ]
    (tmp_path / "f.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    call_command("create_project", "sums", "--name", "Sums", *options)
    call_command("load_solutions", str(tmp_path / "f.jsonl"), "--project", "sums")
    return Project.objects.get()


def outcomes() -> dict[str, str]:
    return dict(Solution.objects.values_list("final_answer", "outcome"))


@pytest.mark.parametrize(
    ("options", "fraction", "percentage"),
    [
        ((), "unsure", "unsure"),
        (("--accept-unreduced",), "correct", "unsure"),
        (("--accept-percent",), "unsure", "correct"),
        (("--accept-unreduced", "--accept-percent"), "correct", "correct"),
    ],
)
def test_a_load_grades_by_what_the_project_accepts(tmp_path: Path, options: tuple[str, ...], fraction: str, percentage: str) -> None:
    load(tmp_path, *options)
    assert outcomes() == {"2/4": fraction, "10%": percentage}


def test_a_changed_choice_takes_effect_with_the_next_regrade(tmp_path: Path) -> None:
    project = load(tmp_path)
    before = set(Solution.objects.values_list("grader", flat=True))
    project.accept_unreduced = True
    project.save()
    assert outcomes() == {"2/4": "unsure", "10%": "unsure"}
    call_command("regrade", "--project", "sums", "--apply")
    assert outcomes() == {"2/4": "correct", "10%": "unsure"}
    assert set(Solution.objects.values_list("grader", flat=True)) == {f"{version} +unreduced" for version in before}
