"""What a round chooses from, what it chooses, and the proof that it would choose the same again.

Reads the pool; keeps the candidates as a file under STEPMARK_HOME/rounds, and gives rows that `rounds` writes. With that file, the recipe
and the seed, `replay` needs neither the model nor its scores.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from django.conf import settings

from active_learning import scoring
from active_learning.models import ModelVersion, Round, Selection
from active_learning.registry import ProgressCallback
from active_learning.selection import pool
from active_learning.selection.strategies import Candidates, Choice, Recipe, choose, why


class NothingToChoose(Exception):
    """There is no candidate; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Scorers:
    """The versions whose scores a selection reads; all None: it is made without a model."""

    chooser: ModelVersion | None = None
    control: ModelVersion | None = None
    orm: ModelVersion | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """What a round chose, and the file of what it chose from. `short` is a sentence where there was less than asked for."""

    rows: list[Selection]
    n_candidates: int
    mix: dict[str, Any]
    short: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Replay:
    """Whether choosing again gave the same bytes, and what to tell a person."""

    same: bool
    said: str


def select(this: Round, recipe: Recipe, scorers: Scorers, *, progress: ProgressCallback) -> Selected:
    """Choose by the recipe, with the steps' scores for whoever looks the choice through. Raises NothingToChoose."""
    project, chooser = this.project, scorers.chooser
    candidates = pool.candidates(project, chooser, recipe=recipe, control=scorers.control, orm=scorers.orm, seed=this.seed)
    choice = _choice(this, recipe, candidates)
    if not len(choice.indices):
        raise NothingToChoose(pool.why_empty(project, chooser, recipe=recipe))
    file, sha256 = _keep(this, candidates)
    chosen = candidates.take(choice.indices)
    steps = scoring.step_scores(chooser, chosen.solutions.tolist(), progress=progress) if chooser else {}
    rows = [
        Selection(round=this, step_scores=steps.get(row["solution"], []), **{_COLUMN.get(name, name): value for name, value in row.items()})
        for row in _rows(recipe, candidates, choice)
    ]
    mix = {"chosen": pool.describe(chosen), "uniform": pool.describe(_uniform(this, recipe, scorers))}
    short = f"Asked for {recipe.size:,}, only {len(rows):,} fit the recipe." if len(rows) < recipe.size else ""
    return Selected(rows, len(candidates.solutions), mix, short, file, sha256)


_COLUMN = {"solution": "solution_id"}


def replay(this: Round) -> Replay:
    """Choose again from the kept candidates by the kept recipe and seed, and compare with what is written down, byte for byte."""
    if not this.candidates_file:
        return Replay(False, f"Round {this.generation} chose nothing, so there is nothing to replay.")
    path = Path(settings.STEPMARK_HOME) / this.candidates_file
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return Replay(False, f"The candidates of round {this.generation} cannot be read, {error.strerror}: restore {path.name}.")
    if found != this.candidates_sha256:
        return Replay(False, f"{this.candidates_file} is not the file round {this.generation} wrote: restore it from a backup.")
    recipe, candidates = Recipe.from_settings(this.params["recipe"]), Candidates.load(path)
    again = orjson.dumps(list(_rows(recipe, candidates, _choice(this, recipe, candidates))))
    columns = ("rank", "solution", "part", "score", "reason")
    written = orjson.dumps(
        [
            dict(zip(columns, row, strict=True))
            for row in Selection.objects.filter(round=this).order_by("rank").values_list("rank", "solution_id", *columns[2:])
        ]
    )
    n_chosen = Selection.objects.filter(round=this).count()
    if again != written:
        return Replay(False, f"Choosing again gives another selection than the {n_chosen:,} solutions that are written down.")
    digest = hashlib.sha256(again).hexdigest()[:12]
    return Replay(True, f"Choosing again gives the same {n_chosen:,} solutions, byte for byte (sha256 {digest}).")


def _choice(this: Round, recipe: Recipe, candidates: Candidates) -> Choice:
    return choose(candidates, recipe, rng=np.random.default_rng((this.seed, this.generation)))


def _rows(recipe: Recipe, candidates: Candidates, choice: Choice) -> Iterator[dict[str, Any]]:
    for rank, (index, part) in enumerate(zip(choice.indices.tolist(), choice.parts.tolist(), strict=True), start=1):
        name, score = recipe.parts[part][0], float(candidates.scores[index])
        yield {
            "rank": rank,
            "solution": int(candidates.solutions[index]),
            "part": name,
            "score": None if np.isnan(score) else score,
            "reason": why(candidates, index, name),
        }


def _uniform(this: Round, recipe: Recipe, scorers: Scorers) -> Candidates:
    """Return what a uniform draw of the same size would be: what every recipe is measured against."""
    uniform = replace(recipe, parts=(("uniform", 1.0),), is_diverse=False, is_stratified=False)
    drawn = pool.candidates(this.project, scorers.chooser, recipe=uniform, seed=this.seed)
    return drawn.take(_choice(this, uniform, drawn).indices)


def _keep(this: Round, candidates: Candidates) -> tuple[str, str]:
    """Write the candidates under the home: a temporary name first, so that a file with the right name is whole."""
    name = f"rounds/{this.project.slug}/{this.pk}.candidates.npz"
    path = Path(settings.STEPMARK_HOME) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{this.pk}.{this.token}.partial.npz")
    candidates.save(written)
    with written.open("rb+") as file:
        os.fsync(file.fileno())
        sha256 = hashlib.sha256(file.read()).hexdigest()
    written.rename(path)
    return name, sha256
