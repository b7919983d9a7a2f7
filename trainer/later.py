"""Packages whose names are loaded when they are first used: a command waits only for the modules that it needs.

A package writes the imports of its names under `if TYPE_CHECKING:`, where people and mypy read them, and below
`__getattr__ = load_later(__name__)`.
"""

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any


def load_later(package: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package (PEP 562): it imports what the block `if TYPE_CHECKING:` of its source says of a name."""
    module = sys.modules[package]
    sources: dict[str, tuple[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom) and line.module, f"{package} imports something else than names under TYPE_CHECKING."
                sources |= {alias.asname or alias.name: (line.module, alias.name) for alias in line.names}

    def load(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        source, original = sources[name]
        value = getattr(importlib.import_module(source), original)
        setattr(module, name, value)  # the next use finds it there
        return value

    return load
