"""What the figures of agreement say of real labels: repeated labelings and conflicting step prefixes of PRM800K (docs/quality.md)."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from django.core.management import call_command

from annotation import ingest, quality
from annotation.agreement import Measured
from annotation.models import Project
from tests import make

ROOT = Path(__file__).parent.parent.parent
FILE = "prm800k/phase2_labeled_paths_1818.jsonl"
DOCUMENT = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")


def shown(*figures: Measured) -> list[str]:
    return [f"{figure.value:.2f}" for figure in figures if figure.value is not None]


def row(alpha: str, *shares: str) -> str:
    """As the document writes it: 96 % (90 to 100)."""
    return " | ".join([alpha, *(share.replace("%", " %", 1).replace("% to", " to").replace("%)", ")") for share in shares)])


def count(project: Project) -> quality.AgreementFigures:
    return quality.count_agreement(project)[0]


@pytest.mark.django_db
def test_copies_of_labels_look_like_agreement_and_without_them_little_is_left(data: Path, tmp_path: Path) -> None:
    whole, distinct = make.project("whole"), make.project("distinct")
    ingest.load_solutions(data / FILE, project=whole)
    lines = dict.fromkeys(re.sub(r', "_row": \d+', "", line) for line in (data / FILE).read_text(encoding="utf-8").splitlines())
    (tmp_path / "lines.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    ingest.load_solutions(tmp_path / "lines.jsonl", project=distinct)
    for project, figures in ((whole, ["0.94", "0.96", "0.95"]), (distinct, ["0.37", "0.79", "0.74"])):
        total = count(project).total
        assert shown(total.alpha, total.exact, total.on_mistakes) == figures
        assert f"| {row(total.alpha.as_number, total.exact.as_share, total.on_mistakes.as_share)} |" in DOCUMENT
    assert [count(project).shared for project in (whole, distinct)] == [53, 12]
    printed = io.StringIO()
    with redirect_stdout(printed):
        call_command("agreement", project="distinct", stdout=printed)
    assert printed.getvalue().startswith("12 solutions with labels of at least two people\n")


def test_the_document_counts_the_step_prefixes_with_conflicting_ratings(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    monkeypatch.setenv("STEPMARK_DATA", str(data))
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(block, "docs/quality.md", "exec"), {})
    numbers = printed.getvalue().strip()
    assert numbers == "1357 204 67 33 0.19" and f"`{numbers}`" in DOCUMENT
