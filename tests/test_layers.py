"""What import-linter cannot see: the edges reach no queries through objects, a leaf stays one, the web process loads no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EDGES = sorted(
    path
    for pattern in (
        "annotation/views/**/*.py",
        "annotation/api.py",
        "annotation/tasks.py",
        "active_learning/views/**/*.py",
        "active_learning/tasks.py",
        "*/management/commands/*.py",
    )
    for path in ROOT.glob(pattern)
    if path.parts[len(ROOT.parts)] in ("annotation", "active_learning")
)
QUERY_WORDS = {"objects", "filter", "save", "create", "delete", "raw", "execute"}


def query_words(source: str) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute) and node.attr in QUERY_WORDS}


@pytest.mark.parametrize("path", EDGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_edge_holds_no_query(path: Path) -> None:
    assert query_words(path.read_text()) == set()


def test_the_check_sees_a_query_in_an_edge() -> None:
    assert query_words("def view(request):\n    return Task.objects.filter(pk=1)") == {"objects", "filter"}


def imported(source: str) -> set[str]:
    """Return the packages that a module names in its imports."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def test_the_leaf_that_annotation_may_import_needs_the_standard_library_alone() -> None:
    assert imported((ROOT / "trainer" / "files.py").read_text()) <= sys.stdlib_module_names


def test_nothing_outside_the_tests_imports_them() -> None:
    packages = ("labelapp", "annotation", "active_learning", "trainer", "benchmarks")
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert [str(path.relative_to(ROOT)) for path in paths if "tests" in imported(path.read_text())] == []


def paths_into_the_tests(source: str) -> list[str]:
    """Return the texts of a module, without its docstrings, that lead into the folder of the tests."""
    tree = ast.parse(source)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    texts = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    return [text.value for text in texts if text.value == "tests" or text.value.startswith("tests/")]


def test_nothing_outside_the_tests_reads_their_files() -> None:
    packages = ("labelapp", "annotation", "active_learning", "trainer", "benchmarks")
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert [str(path.relative_to(ROOT)) for path in paths if paths_into_the_tests(path.read_text())] == []


def test_a_path_into_the_tests_is_seen() -> None:
    assert paths_into_the_tests('"""Of tests/x."""\nopen(ROOT / "tests/a.tsv")\nROOT / "tests" / "b"') == ["tests/a.tsv", "tests"]


@pytest.mark.parametrize("source", ["from tests import hostile", "def run():\n    import tests.make", "from tests.waiting import until"])
def test_an_import_of_the_tests_is_seen(source: str) -> None:
    assert "tests" in imported(source)


def test_the_web_process_never_loads_torch() -> None:
    script = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'labelapp.settings'; django.setup();"
        "import labelapp.urls, labelapp.wsgi, labelapp.celery, annotation.tasks, active_learning.tasks;"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'sympy', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def class_names(source: str) -> list[str]:
    """Return the classes of a module, without nested ones."""
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name not in ("Command", "Migration")]


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for package in ("labelapp", "annotation", "active_learning", "trainer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in class_names(path.read_text()):
                places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_the_check_sees_the_classes_of_a_module_and_no_nested_ones() -> None:
    assert class_names("class Batch:\n    class Meta: ...\nclass Command: ...\nclass Task: ...") == ["Batch", "Task"]
