"""What import-linter cannot see: the edges reach no queries through objects, a leaf stays one, the web process loads no torch."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EDGES = sorted(
    path
    for pattern in (
        "annotation/views/**/*.py",
        "annotation/api/**/*.py",
        "annotation/tasks.py",
        "active_learning/views/**/*.py",
        "active_learning/api/**/*.py",
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


CONDITION = re.compile(r"kind\s*(<>|!=|=|NOT IN|IN)\s*\(?'(practice|screening|review)'|(quarantined_at|qualified_at) IS", re.IGNORECASE)


def conditions_on_labels(source: str) -> list[str]:
    """Return what a module writes itself about whose labels count: kinds of batches it leaves out, people's states, raw SQL."""
    written = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CONDITION.search(node.value):
            written.append(CONDITION.search(node.value)[0])  # type: ignore[index]
        negated = None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert) and isinstance(node.operand, ast.Call):
            negated = node.operand
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "exclude":
            negated = node
        names = [keyword.arg or "" for keyword in negated.keywords] if negated else []
        written += [name for name in names if name.startswith("assignment__batch__kind")]
        names = [keyword.arg or "" for keyword in node.keywords] if isinstance(node, ast.Call) else []
        written += [name for name in names if re.search(r"membership__(qualified|quarantined)_at", name)]
    return written


ELIGIBILITY = {
    "annotation/eligibility.py",
    "annotation/queue/statements.py",  # what is handed out to newcomers: assignments, no labels
    "annotation/labels/reopening.py",  # which answers their author can correct
}


def test_no_other_module_decides_whose_labels_count() -> None:
    paths = [path for package in ("annotation", "active_learning", "labelapp") for path in sorted((ROOT / package).rglob("*.py"))]
    written = {str(path.relative_to(ROOT)): conditions_on_labels(path.read_text()) for path in paths if "migrations" not in path.parts}
    assert {path: found for path, found in written.items() if found and path not in ELIGIBILITY} == {}
    assert all(written[path] for path in ELIGIBILITY)


@pytest.mark.parametrize(
    "source",
    [
        "Annotation.objects.exclude(assignment__batch__kind=BatchKind.PRACTICE)",
        "Annotation.objects.filter(~Q(assignment__batch__kind__in=['practice']))",
        "Annotation.objects.filter(labeler__membership__quarantined_at=None)",
        "cursor.execute(\"SELECT 1 FROM annotation_batch b WHERE b.kind <> 'practice'\")",
        "cursor.execute(f\"SELECT {column} FROM annotation_batch WHERE kind NOT IN ('screening')\")",
        "cursor.execute('SELECT 1 FROM annotation_membership m WHERE m.quarantined_at IS NULL')",
    ],
)
def test_a_condition_on_labels_is_seen(source: str) -> None:
    assert conditions_on_labels(source) != []


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


def test_no_two_test_files_share_a_name() -> None:
    """Pytest imports each by its name alone, and refuses the second one."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_the_check_sees_the_classes_of_a_module_and_no_nested_ones() -> None:
    assert class_names("class Batch:\n    class Meta: ...\nclass Command: ...\nclass Task: ...") == ["Batch", "Task"]
