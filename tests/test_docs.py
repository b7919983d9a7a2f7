"""Every command in README and docs is run: the quickstart's by its own test, the rest here, in a folder that looks like a checkout."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.sums import sums
from tests.trainer.test_command_line import line

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
# Started here they would start themselves, or install: their own tests are tests/labelapp/test_supervisor.py and this very run.
ELSEWHERE = {"script/server", "script/test", "script/setup", "script/bench"}
TESTS = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}


def commands(document: Path) -> list[str]:
    """The lines of a document's `sh` blocks, continuations joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.M | re.S)
    return [said for block in blocks for said in block.replace("\\\n", "").splitlines() if said.strip() and not said.startswith("#")]


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.name != "quickstart.md" and commands(d)], ids=lambda d: d.name)
def test_every_command_of_the_document_runs(document: Path, tmp_path: Path) -> None:
    for entry in ROOT.iterdir():
        if entry.name not in {"var", ".git"}:
            (tmp_path / entry.name).symlink_to(entry)
    for name, seed in (("labeled.jsonl", 0), ("unlabeled.jsonl", 1)):
        (tmp_path / name).write_text("".join(line(one) + "\n" for one in sums(12, seed=seed)))
    here = [said for said in commands(document) if said.split()[0] not in ELSEWHERE]
    script = "set -e\n" + "\n".join(here).replace("python -m", f'"{sys.executable}" -m')
    env = {**os.environ, "PYTHONPATH": str(ROOT), "STEPMARK_HOME": str(tmp_path / "home")}
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_script_and_link_of_the_document_exists(document: Path) -> None:
    text = document.read_text()
    for script in re.findall(r"\bscript/[a-z]+", text):
        assert (ROOT / script).is_file(), script
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_test_that_the_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", document.read_text()))
    assert named <= TESTS, sorted(named - TESTS)


def test_the_check_sees_a_command() -> None:
    assert ".venv/bin/python manage.py create_project gsm8k --name GSM8K --owner olga" in commands(ROOT / "docs" / "quickstart.md")
