"""Part of the experiment: what a trained model comes from: the settings, the recipe that chose its solutions, the code and the base.

The file of a model says so (`made_of`), because its name has the arm alone. A run that would mix models of two origins is refused, and so
are results of such models. What an earlier release trained does not say it: it is read as before, and no model is added to it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from active_learning.experiment.plan import BadPlan, Plan
from active_learning.experiment.protocol import POINTS
from active_learning.selection import Need

ROOT = Path(__file__).resolve().parents[2]
# What decides which solutions there are, which are chosen, and what is learned from them, the shipped base included.
CODE = (
    "trainer",
    "active_learning/world",
    "active_learning/selection",
    "active_learning/scoring",
    *(f"active_learning/experiment/{name}.py" for name in ("bases", "points", "running")),
)
LIBRARIES = ("numpy", "tokenizers", "torch", "transformers")

Origin = Mapping[str, Any]
WORDS = {  # part of an origin -> how two models differ in it
    "settings": "were trained with other settings",
    "recipe": "learned from solutions that another recipe chose",
    "code": "were trained by another version of the code",
    "base": "read another base",
}


@lru_cache(1)
def code_version() -> str:
    """Return a hash of the code that this process trains and judges with, and of the versions of the libraries below it."""
    found = hashlib.sha256()
    for name in CODE:
        path = ROOT / name
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        _add(found, files, below=ROOT)
    for library in LIBRARIES:
        found.update(f"{library} {version(library)}\n".encode())
    return found.hexdigest()[:16]


def hash_of_folder(folder: Path) -> str:
    """Return a hash of the names and bytes of the files of a folder, such as a base."""
    found = hashlib.sha256()
    _add(found, sorted(path for path in folder.rglob("*") if path.is_file()), below=folder)
    return found.hexdigest()[:16]


def _add(found: "hashlib._Hash", files: Iterable[Path], *, below: Path) -> None:
    for path in files:
        content = path.read_bytes()
        found.update(f"{path.relative_to(below).as_posix()} {len(content)}\n".encode() + content)


def origin(plan: Plan, arm: str, *, base: str) -> Origin:
    """Return what a model of an arm comes from. The start and other arms that choose nothing have no recipe. base: "" for no own one."""
    recipe = [list(part) for part in plan.strategies.get(arm, ())]
    return {"settings": plan.fingerprint, "recipe": recipe, "code": code_version(), "base": base}


def mark_of_candidates(plan: Plan, *, base: str) -> str:
    """Return a hash of what the candidates of a seed depend on. Strategies that need more than others make them anew."""
    needs = [need for need in (Need.ORM, Need.STATES) if plan.needs(need)]
    of = [plan.fingerprint, code_version(), base, *(need.name for need in needs)]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:12]


def differing(found: Origin, expected: Origin) -> list[str]:
    """Return the parts in which two origins differ; a part that one of them does not say does not differ."""
    return [part for part in WORDS if part in found and part in expected and found[part] != expected[part]]


def read_figures(path: Path) -> dict[str, Any]:
    """Read the file of a model. Raises BadPlan if it is damaged."""
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadPlan(f"{path} is not the file of a model ({error}). Remove it: what is missing is trained again.") from error
    if not isinstance(figures, dict):
        raise BadPlan(f"{path} is not the file of a model. Remove it: what is missing is trained again.")
    return figures


def read_origins(folder: Path) -> dict[str, Origin | None]:
    """Return what every model in the folder of an experiment comes from, by key; None for those of an earlier release. Raises BadPlan."""
    return {path.stem: read_figures(path).get("made_of") for path in sorted((folder / POINTS).glob("*.json"))}


def check_one(folder: Path, found: Mapping[str, Origin | None]) -> None:
    """Raise BadPlan if models differ in code, base or settings. key -> origin; those of an earlier release (None) have one origin."""
    first, *others = found
    for key in others:
        mine, theirs = found[first], found[key]
        if mine is None or theirs is None:
            old, new = (first, key) if mine is None else (key, first)
            words = "" if mine is theirs else "were trained by an earlier release"
        else:
            old, new = key, first
            words = next((WORDS[part] for part in differing(mine, theirs) if part != "recipe"), "")
        if words:
            raise BadPlan(
                f"Models that the experiment {folder.name} has ({old} is one) {words}. They cannot be compared with the others ({new} is "
                f"one). Choose another name, and all models are trained again, or remove {folder}."
            )
