"""What the source must not contain (harness A14 of docs/reliability.md): words and calls, and what bandit finds without an explanation."""

import ast
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT = ("annotation", "active_learning", "labelapp", "trainer")
SOURCES = sorted([path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")] + [ROOT / "manage.py"])
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))

# Where a forbidden name stands, and why it is safe there.
EXPLAINED = {("annotation/views/markdown.py", "mark_safe"): "the renderer of Markdown escapes every text, and HTML is switched off"}
FORBIDDEN = {"mark_safe", "csrf_exempt", "pickle", "dill", "shelve", "marshal", "eval", "exec"}

# Kinds of findings of bandit that are no faults here. Every other kind is an error.
NO_FAULTS = {
    "B101": "assert states what the types cannot say. No input is checked by one",
    "B104": "site_address.py compares with 0.0.0.0 and binds nothing",
    "B105": "names such as token and password in comparisons are no secrets",
    "B108": "/dev/shm holds liveness files and counts of requests, in folders of the account",
    "B308": "the one mark_safe is explained in EXPLAINED",
    "B703": "the one mark_safe is explained in EXPLAINED",
    "B311": "the pseudo-random choice of gold answers is no secret",
    "B404": "subprocesses are started from lists, without a shell",
    "B603": "subprocesses are started from lists, without a shell",
    "B606": "part.py replaces itself by the program of the part",
    "B607": "git and ps are looked up in PATH",
    "B608": "statements are put together from constants and column names. Values are always parameters",
    "B615": "a hub id is chosen by the person who trains, and only safetensors are loaded",
}


def forbidden_in(source: str) -> set[str]:
    """Return the forbidden names and settings that a module uses."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                modules = {alias.name.partition(".")[0] for alias in names} | {(getattr(node, "module", "") or "").partition(".")[0]}
                found |= modules & FORBIDDEN
            case ast.Name(id=name) if name in FORBIDDEN:
                found.add(name)
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in FORBIDDEN - {"eval"} or module in FORBIDDEN:
                found.add(name)
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                found.add("shell=True")
            case ast.Assign(targets=[ast.Name(id="fields")], value=ast.Constant(value="__all__")):
                found.add('fields = "__all__"')
            case ast.Call(func=ast.Attribute(attr="filter"), args=[ast.Constant(value="safe"), *_]):
                found.add("safe")
    return found


def test_no_module_uses_a_forbidden_name() -> None:
    places = {str(path.relative_to(ROOT)): forbidden_in(path.read_text()) for path in SOURCES}
    assert {(place, name) for place, names in places.items() for name in names} == set(EXPLAINED)


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from django.views.decorators.csrf import csrf_exempt", 'class Meta:\n    fields = "__all__"', "run(a, shell=True)",
     "import pickle as p", "html = mark_safe(text)", "eval(text)"],
)  # fmt: skip
def test_a_forbidden_name_is_seen(source: str) -> None:
    assert forbidden_in(source)


def unsafe_in(template: str) -> list[str]:
    """Return what switches the escaping of a template off."""
    return re.findall(r"\|\s*safe(?:seq)?\b|{%\s*autoescape\s+off", template)


def test_no_template_switches_escaping_off() -> None:
    assert len(TEMPLATES) > 20
    assert {str(path): found for path in TEMPLATES if (found := unsafe_in(path.read_text()))} == {}


def test_a_template_without_escaping_is_seen() -> None:
    assert unsafe_in("{{ text|safe }}") and unsafe_in("{% autoescape off %}") and not unsafe_in("{{ text|title }}")


def found_by_bandit(paths: list[Path]) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its loader of plug-ins uses a deprecated argument
        from bandit.core.config import BanditConfig
        from bandit.core.manager import BanditManager

        manager = BanditManager(BanditConfig(), "file", quiet=True)
        manager.discover_files([str(path) for path in paths])
        manager.run_tests()
    assert not manager.skipped
    return [f"{issue.test_id} {issue.fname}:{issue.lineno} {issue.text}" for issue in manager.results]


def test_bandit_finds_nothing_without_an_explanation() -> None:
    assert [finding for finding in found_by_bandit(SOURCES) if finding.partition(" ")[0] not in NO_FAULTS] == []


def test_bandit_sees_a_fault(tmp_path: Path) -> None:
    (tmp_path / "fault.py").write_text("import yaml\n\nyaml.load(open('a'), Loader=yaml.Loader)\n")
    assert [finding.partition(" ")[0] for finding in found_by_bandit([tmp_path / "fault.py"])] == ["B506"]
