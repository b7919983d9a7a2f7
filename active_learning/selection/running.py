"""What a round chooses from, what it chooses, and the proof that it would choose the same again.

Reads the pool; writes the candidates to a file under STEPMARK_HOME/rounds; returns rows that `rounds` writes. With that file, the recipe
and the seed, `replay` needs neither the model nor its scores.
"""

import hashlib
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
from active_learning.selection.candidates import Candidates
from active_learning.selection.choosing import Choice, choose
from active_learning.selection.files import read_candidates, write_candidates
from active_learning.selection.recipes import Recipe
from active_learning.selection.states import is_frozen, with_states
from active_learning.selection.strategies import STRATEGIES, UNIFORM, Need, premise_of
from annotation.models import Premise, Project
from trainer.counting import counted


class NothingToChoose(Exception):
    """There is no candidate; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Scorers:
    """The versions whose scores a selection reads; all None: it is made without a model.

    reader: a version with a frozen base whose states are read, if the recipe needs states. Its heads do not matter for that.
    """

    chooser: ModelVersion | None = None
    control: ModelVersion | None = None
    orm: ModelVersion | None = None
    reader: ModelVersion | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """What a round chose, and the file of what it chose from.

    short: a sentence where fewer were chosen than the recipe says. states: a sentence on the states that were read, if any were.
    """

    rows: list[Selection]
    n_candidates: int
    mix: dict[str, Any]
    short: str
    file: str
    sha256: str
    states: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """Whether choosing again gave the same bytes, and a sentence for a person."""

    same: bool
    message: str


def select(round_: Round, recipe: Recipe, scorers: Scorers, *, seed: int, progress: ProgressCallback) -> Selected:
    """Choose by the recipe, with step scores for the person who reviews the choice. Raises NothingToChoose."""
    project, chooser = round_.project, scorers.chooser
    if recipe.needs(Need.STATES) and not is_frozen(scorers.reader):
        raise NothingToChoose(pool.why_no_states(project, scorers.reader or chooser, recipe=recipe))
    candidates = pool.candidates(project, chooser, recipe=recipe, control=scorers.control, orm=scorers.orm, seed=seed)
    states = ""
    if recipe.needs(Need.STATES) and scorers.reader:
        candidates, told = with_states(candidates, scorers.reader, seed=seed, progress=progress)
        states = str(told)
    choice = _choice(recipe, candidates, seed=seed, generation=round_.generation)
    if not len(choice.indices):
        raise NothingToChoose(pool.why_empty(project, chooser, recipe=recipe))
    file, sha256 = _keep(round_, candidates)
    chosen = candidates.take(choice.indices)
    steps = scoring.step_scores(chooser, chosen.solutions.tolist(), progress=progress) if chooser else {}
    rows = [
        Selection(
            round=round_, step_scores=steps.get(row["solution"], []), **{_COLUMN.get(name, name): value for name, value in row.items()}
        )
        for row in _rows(recipe, candidates, choice)
    ]
    mix = {"chosen": pool.describe(chosen), "uniform": pool.describe(_uniform(round_, recipe, scorers, seed=seed))}
    short = f"The recipe says {counted(recipe.size, 'solution')}, but only {len(rows):,} fit it." if len(rows) < recipe.size else ""
    return Selected(rows, len(candidates), mix, short, file, sha256, states)


_COLUMN = {"solution": "solution_id"}


@dataclass(frozen=True, slots=True)
class RecipeForecast:
    """What a recipe would choose now. n_convincing: wrong answers chosen because a model takes them for right.

    mean_score: of the scored ones; None: none is scored. why_not: why it can choose nothing; empty: it can.
    """

    n_solutions: int = 0
    n_problems: int = 0
    n_convincing: int = 0
    mean_score: float | None = None
    why_not: str = ""


def forecast(project: Project, recipe: Recipe, scorers: Scorers, *, seed: int, generation: int) -> RecipeForecast:
    """Return what a round of this generation would choose now, with the scores that there are. Reads the pool as a round does."""
    if recipe.needs(Need.STATES):  # a web process cannot read them, and a worker takes minutes
        return RecipeForecast(why_not="What it takes is known when the round runs, because it reads states.")
    chooser = scorers.chooser
    candidates = pool.candidates(project, chooser, recipe=recipe, control=scorers.control, orm=scorers.orm, seed=seed)
    choice = _choice(recipe, candidates, seed=seed, generation=generation)
    if not len(choice.indices):
        return RecipeForecast(why_not=pool.why_empty(project, chooser, recipe=recipe))
    chosen = candidates.take(choice.indices)
    figures = pool.describe(chosen)
    takes_wrong = np.array([premise_of(name, "") == Premise.WRONG for name, _ in recipe.parts])
    return RecipeForecast(
        n_solutions=figures["n_solutions"],
        n_problems=figures["n_problems"],
        n_convincing=int(np.count_nonzero(takes_wrong[choice.parts])),
        mean_score=figures["mean_score"],
    )


def replay(round_: Round, recipe: Recipe | None, *, seed: int) -> Replay:
    """Choose again from the same candidates by the same recipe and seed, and compare with the round's selection, byte for byte."""
    if recipe is None or not round_.candidates_file:
        return Replay(False, f"Round {round_.number} chose nothing, so there is nothing to replay.")
    path = Path(settings.STEPMARK_HOME) / round_.candidates_file
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return Replay(
            False, f"The candidates of round {round_.number} cannot be read: {error.strerror}. Restore {path.name} from a backup."
        )
    if sha256 != round_.candidates_sha256:
        return Replay(False, f"{round_.candidates_file} is not the file that round {round_.number} wrote. Restore it from a backup.")
    candidates = read_candidates(path)
    again = orjson.dumps(list(_rows(recipe, candidates, _choice(recipe, candidates, seed=seed, generation=round_.generation))))
    columns = ("rank", "solution", "part", "score", "reason")
    written = orjson.dumps(
        [
            dict(zip(columns, row, strict=True))
            for row in Selection.objects.filter(round=round_).order_by("rank").values_list("rank", "solution_id", *columns[2:])
        ]
    )
    n_chosen = Selection.objects.filter(round=round_).count()
    if again != written:
        return Replay(False, f"Choosing again gives a selection that differs from that of the round.{_by_states(recipe)}")
    digest = hashlib.sha256(again).hexdigest()[:12]
    return Replay(True, f"Choosing again gives the same {counted(n_chosen, 'solution')}, byte for byte (sha256 {digest}).")


def _by_states(recipe: Recipe) -> str:
    """Say what else can make a replay differ."""
    if not recipe.needs(Need.STATES):
        return ""
    return (
        " The cause can be rounding: it was chosen by states, and another kind of processor rounds their distances otherwise. Replay it on "
        "a machine like the one that ran the round."
    )


def _choice(recipe: Recipe, candidates: Candidates, *, seed: int, generation: int) -> Choice:
    return choose(candidates, recipe, rng=np.random.default_rng((seed, generation)))


def _rows(recipe: Recipe, candidates: Candidates, choice: Choice) -> Iterator[dict[str, Any]]:
    for rank, (index, part) in enumerate(zip(choice.indices.tolist(), choice.parts.tolist(), strict=True), start=1):
        name, score = recipe.parts[part][0], float(candidates.scores[index])
        yield {
            "rank": rank,
            "solution": int(candidates.solutions[index]),
            "part": name,
            "score": None if np.isnan(score) else score,
            "reason": STRATEGIES[name].why(candidates[index]),
        }


def _uniform(round_: Round, recipe: Recipe, scorers: Scorers, *, seed: int) -> Candidates:
    """Return a random draw of the same size: every recipe is compared with it."""
    uniform = replace(recipe, parts=((UNIFORM.name, 1.0),), is_diverse=False, is_stratified=False)
    drawn = pool.candidates(round_.project, scorers.chooser, recipe=uniform, seed=seed)
    return drawn.take(_choice(uniform, drawn, seed=seed, generation=round_.generation).indices)


def _keep(round_: Round, candidates: Candidates) -> tuple[str, str]:
    """Write the candidates under the home; return the file's name there and its SHA-256."""
    name = f"rounds/{round_.project.slug}/{round_.pk}.candidates.npz"
    path = Path(settings.STEPMARK_HOME) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return name, write_candidates(path, candidates)
