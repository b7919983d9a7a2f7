"""Every command in README, CONTRIBUTING and docs is run: the quickstart's by its own test, the rest in a copy of a checkout."""

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import groupby, pairwise
from pathlib import Path

import pytest
import torch

import trainer.__main__
from benchmarks.temporary_site import template
from tests.labelapp.test_embedded_postgres import servers
from tests.trainer.sums import sums
from tests.trainer.test_command_line import line
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
# Started here they would start themselves, or install: their own tests are tests/labelapp/test_supervisor.py and this very run.
ELSEWHERE = {"script/server", "script/test", "script/setup", "script/bench", "script/stress", "script/checks"}
TESTS = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}


def commands(document: Path) -> list[str]:
    """The lines of a document's `sh` blocks, continuations joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.M | re.S)
    return [said for block in blocks for said in block.replace("\\\n", "").splitlines() if said.strip() and not said.startswith("#")]


RUN_HERE = {
    document: tuple(line for line in commands(document) if line.split()[0] not in ELSEWHERE)
    for document in DOCUMENTS
    if document.name != "quickstart.md"
}


class Checkouts:
    """Folders that look like a checkout, each after the commands of a document.

    Several documents begin with the same commands. Those are run once; every document goes on from a copy of the folder they left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.after = folder, {(): self.fresh(folder / "fresh")}
        # `migrate` finds its work done, which takes eight seconds. A test of test_supervisor.py begins with nothing.
        (folder / "fresh" / "home").mkdir(mode=0o755)
        template.fill(folder / "fresh" / "home")

    def fresh(self, checkout: Path) -> Path:
        checkout.mkdir()
        for entry in ROOT.iterdir():
            if entry.name not in {"var", ".git"}:
                (checkout / entry.name).symlink_to(entry)
        for name, seed in (("labeled.jsonl", 0), ("unlabeled.jsonl", 1)):
            (checkout / name).write_text("".join(line(one) + "\n" for one in sums(12, seed=seed)))
        return checkout

    def run(self, commands: tuple[str, ...]) -> None:
        """Run the commands, but for the first ones that another document has run already."""
        shared = max((n for n in range(len(commands) + 1) if commands[:n] in self.after), default=0)
        ends = [n for n in range(shared + 1, len(commands)) if self.is_shared(commands[:n])]
        for start, end in pairwise([shared, *ends, len(commands)]):
            checkout = self.folder / f"{len(list(self.folder.iterdir()))}"
            copy(self.after[commands[:start]], checkout)
            run(commands[start:end], checkout)
            self.after[commands[:end]] = checkout

    def is_shared(self, first: tuple[str, ...]) -> bool:
        """Say whether some documents begin with these commands and go on in different ways."""
        return len({commands[: len(first) + 1] for commands in RUN_HERE.values() if commands[: len(first)] == first}) > 1


def copy(checkout: Path, to: Path) -> None:
    """Copy all that commands have written; PostgreSQL's files keep their owner, to whom alone it opens them."""
    shutil.copytree(checkout, to, symlinks=True)
    for path in (checkout / "home").rglob("*"):
        owner = path.lstat()
        os.chown(to / path.relative_to(checkout), owner.st_uid, owner.st_gid, follow_symlinks=False)


def run(commands: tuple[str, ...], checkout: Path) -> None:
    for is_here, some in groupby(commands, key=needs_torch):
        if is_here:
            run_here(tuple(some), checkout)
        else:
            run_in_shell(tuple(some), checkout)


def needs_torch(command: str) -> bool:
    """Say whether torch and transformers are loaded for a command. That takes four seconds of a processor, and the rest of it one."""
    return command.startswith("python -m trainer") and not {"train", "score", "evaluate"}.isdisjoint(command.split())


def run_here(commands: tuple[str, ...], checkout: Path) -> None:
    """Run commands of the trainer in this process, so that torch is loaded once. `convert` is run as the document says it."""
    threads = torch.get_num_threads()
    try:
        with contextlib.chdir(checkout):
            for command in commands:
                assert trainer.__main__.main(shlex.split(command.removeprefix("python -m trainer"))) == 0, command
    finally:
        torch.set_num_threads(threads)


def run_in_shell(commands: tuple[str, ...], checkout: Path) -> None:
    home = checkout / "home"
    script = "set -e\n" + "\n".join(commands).replace("python -m", f'"{sys.executable}" -m')
    env = {**os.environ, "PYTHONPATH": str(ROOT), "STEPMARK_HOME": str(home)}
    with (home / "postgres" / "users.lock").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # as another command would: else each command starts PostgreSQL and stops it
        done = subprocess.run(["/bin/sh", "-c", script], cwd=checkout, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    until(lambda: not servers(home), what="PostgreSQL has ended, so that its files can be copied")


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory: pytest.TempPathFactory) -> Checkouts:
    return Checkouts(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("document", [document for document, commands in RUN_HERE.items() if commands], ids=lambda document: document.name)
def test_every_command_of_the_document_runs(document: Path, checkouts: Checkouts) -> None:
    checkouts.run(RUN_HERE[document])


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


def test_a_command_that_fails_is_seen(checkouts: Checkouts) -> None:
    for command in ("python -m trainer train --labeled missing.jsonl --out model", "python -m trainer convert missing.jsonl other.csv"):
        with pytest.raises(AssertionError):
            run((command,), checkouts.after[()])


def test_the_check_sees_a_command() -> None:
    assert ".venv/bin/python manage.py create_project gsm8k --name GSM8K --owner olga" in commands(ROOT / "docs" / "quickstart.md")


TEXTS = sorted(
    path for place in ("docs", "templates", "static", "script", "deploy") for path in (ROOT / place).rglob("*") if path.is_file()
) + sorted(ROOT.glob("*.md"))


def test_no_text_holds_what_a_merge_left_behind() -> None:
    marks = re.compile(rb"^(<{7}|>{7}) ", re.M)
    assert [str(path.relative_to(ROOT)) for path in TEXTS if marks.search(path.read_bytes())] == []
    assert marks.search(b"one\n<<<<<<< HEAD\ntwo\n")
