"""What the figures of agreement say of real labels: repeated labelings and conflicting step prefixes of PRM800K (docs/quality.md)."""

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from annotation import ingest, quality
from annotation.agreement import Measured
from annotation.models import Project, SolutionConsensus
from annotation.quality.opinions import opinions_in
from tests import make

ROOT = Path(__file__).parent.parent.parent
FILE = "prm800k/phase2_labeled_paths_1818.jsonl"
CONSENSUS = (ROOT / "docs" / "consensus.md").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")


def shown(*figures: Measured) -> list[str]:
    return [f"{figure.value:.2f}" for figure in figures if figure.value is not None]


def row(alpha: str, *shares: str) -> str:
    """As the document writes it: 96 % (90 to 100)."""
    return " | ".join([alpha, *(share.replace("%", " %", 1).replace("% to", " to").replace("%)", ")") for share in shares)])


def count(project: Project) -> quality.AgreementFigures:
    return quality.count_agreement(project)[0]


@pytest.fixture(scope="module")
def loaded(data: Path, tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Iterator[list[Project]]:
    """Load the file as it is, and without copies of labels. That takes seconds. Each test goes back to this, and nothing is committed."""
    lines = dict.fromkeys(re.sub(r', "_row": \d+', "", line) for line in (data / FILE).read_text(encoding="utf-8").splitlines())
    once = tmp_path_factory.mktemp("distinct") / "lines.jsonl"
    once.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with django_db_blocker.unblock(), transaction.atomic():
        projects = [make.project("whole"), make.project("distinct")]
        for project, file in zip(projects, (data / FILE, once), strict=True):
            ingest.load_solutions(file, project=project)
        yield projects
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_copies_of_labels_look_like_agreement_and_without_them_little_is_left(loaded: list[Project]) -> None:
    whole, distinct = loaded
    for project, figures in ((whole, ["0.94", "0.96", "0.95"]), (distinct, ["0.37", "0.79", "0.74"])):
        total = count(project).total
        assert shown(total.alpha, total.exact, total.on_mistakes) == figures
        assert f"| {row(total.alpha.as_number, total.exact.as_share, total.on_mistakes.as_share)} |" in DOCUMENT
    assert [count(project).shared for project in (whole, distinct)] == [53, 12]
    printed = io.StringIO()
    with redirect_stdout(printed):
        call_command("agreement", project="distinct", stdout=printed)
    assert printed.getvalue().startswith("12 solutions with labels of at least two people\n")


@pytest.mark.django_db
def test_the_consensus_keeps_the_verdicts_of_real_labels_on_which_all_agree(loaded: list[Project]) -> None:
    found = []
    for project in loaded:
        settled = quality.settle(project)
        n_without = settled.n_solutions - settled.n_mistaken
        found.append((settled.n_solutions, settled.n_readings, settled.n_mistaken, n_without, settled.n_shared))
        assert "| " + " | ".join(f"{figure:,}" for figure in found[-1]) + " |" in CONSENSUS
    assert found == [(1333, 1812, 1111, 222, 53), (1333, 1351, 1112, 221, 12)]
    opinions = opinions_in(project)
    marks: dict[int, set[int]] = {}
    for place, mark in zip(opinions.solution.tolist(), opinions.marked.tolist(), strict=True):
        marks.setdefault(int(opinions.solutions[place]), set()).add(mark - 1)
    named = {row.pk: -1 if row.first_mistake is None else row.first_mistake for row in SolutionConsensus.objects.filter(project=project)}
    assert {named[key] in said for key, said in marks.items()} == {True}
    overruled = [key for key, said in marks.items() if len(said) == 1 and {named[key]} != said]
    contested = SolutionConsensus.objects.filter(pk__in=[key for key, said in marks.items() if len(said) > 1])
    assert not overruled and sorted(round(row.entropy or 0, 1) for row in contested) == [0, 0.4, 0.4]


def test_the_document_counts_the_step_prefixes_with_conflicting_ratings(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    monkeypatch.setenv("STEPMARK_DATA", str(data))
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(block, "docs/quality.md", "exec"), {})
    numbers = printed.getvalue().strip()
    assert numbers == "1357 204 67 33 0.19" and f"`{numbers}`" in DOCUMENT
