"""The generated part of the Python client is what the description of the API gives, and the package needs nothing of the site."""

import ast
import filecmp
import sys
from pathlib import Path

from script import client_code

PACKAGE = client_code.CODE.parent


def differences(one: Path, other: Path) -> list[str]:
    """Return the files that are not the same in two folders."""
    names = {
        str(path.relative_to(folder)) for folder in (one, other) for path in folder.rglob("*") if path.suffix != ".pyc" and path.is_file()
    }
    same, _, _ = filecmp.cmpfiles(one, other, names, shallow=False)
    return sorted(names - set(same))


def test_the_committed_code_is_what_the_description_gives(tmp_path: Path) -> None:
    client_code.write(tmp_path / "generated")
    assert differences(client_code.CODE, tmp_path / "generated") == [], "Write it again: script/client"


def test_a_file_that_was_changed_is_seen(tmp_path: Path) -> None:
    for name, text in (("one", "a = 1\n"), ("other", "a = 2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.py").write_text("")
        (tmp_path / name / "changed.py").write_text(text)
    (tmp_path / "other" / "more.py").write_text("")
    assert differences(tmp_path / "one", tmp_path / "other") == ["changed.py", "more.py"]


def imports(nodes: list[ast.AST]) -> set[str]:
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        name.partition(".")[0]
        for name in names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    }


def needed_by(source: str) -> tuple[set[str], set[str]]:
    """Return the packages that a module needs when it is imported, and those that it loads later."""
    tree = ast.parse(source)
    now = imports(list(tree.body))
    return now - {*sys.stdlib_module_names, "stepmark_client"}, imports(list(ast.walk(tree))) - now - {*sys.stdlib_module_names}


def test_the_package_needs_httpx_and_attrs_alone_and_loads_pandas_late() -> None:
    needed = [needed_by(path.read_text()) for path in PACKAGE.rglob("*.py")]
    assert len(needed) > 50
    assert set().union(*(now for now, _ in needed)) == {"httpx", "attrs"}
    assert set().union(*(later for _, later in needed)) - {"stepmark_client"} == {"pandas"}


def test_what_a_module_needs_is_seen() -> None:
    source = "import os, httpx\nfrom trainer import data\nfrom .here import x\ndef f():\n    import pandas.api"
    assert needed_by(source) == ({"httpx", "trainer"}, {"pandas"})
