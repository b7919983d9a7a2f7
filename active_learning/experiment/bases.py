"""Part of the experiment: a base that nobody taught right from wrong. The run makes it.

It is a small language model of the simulated world. It reads solutions with and without mistakes alike, and learns which token comes next.
No label, no answer and no corrected text is used. Writes STEPMARK_HOME/bases/undrilled-HASH, and never changes it.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

Tick = Callable[[int, int], None]  # updates done, and all of them

CONTEXT = 1024


@dataclass(frozen=True, slots=True)
class Undrilled:
    """How the base is made: its world (seed, problems, solutions of each, skill), its shape, and its training.

    The world must be no other one of the plan. vocabulary: how many of the texts the tokenizer is made of.
    """

    world: int
    n_problems: int
    n_solutions: int
    skill: float
    level: int = 2
    layers: int = 4
    width: int = 128
    learning_rate: float = 2e-3
    token_budget: int = 2048
    vocabulary: int = 4000

    def __post_init__(self) -> None:
        if min(self.n_problems, self.n_solutions, self.vocabulary, self.layers, self.token_budget) < 1 or self.width % 32:
            raise ValueError("every number must be above 0, and width a multiple of 32")

    @property
    def name(self) -> str:
        """The name of its folder: the same settings give the same base."""
        settings = json.dumps(asdict(self), sort_keys=True)
        return f"undrilled-{hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def make_base(undrilled: Undrilled, *, home: Path, tick: Tick = lambda done, total: None) -> Path:
    """Return the folder of the base; make it if it is not there, which takes minutes. A run that is killed meanwhile begins again."""
    folder = home / "bases" / undrilled.name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".undrilled-", dir=folder.parent) as draft:
        whole = Path(draft) / "base"
        whole.mkdir()
        _train(undrilled, whole, tick)
        try:
            os.rename(whole, folder)
        except OSError:
            if not folder.is_dir():  # another run, which made the same, was quicker
                raise
    return folder


def _train(undrilled: Undrilled, folder: Path, tick: Tick) -> None:
    from active_learning.world import make_world
    from trainer.config import TinyShape, TrainConfig
    from trainer.data import SolutionText, encode_unlabeled
    from trainer.model import build_tiny, save_weights
    from trainer.phases import Phase, run, trained_parts
    from trainer.progress import ProgressUpdate

    world = make_world(
        undrilled.world,
        n_problems=undrilled.n_problems,
        n_solutions=undrilled.n_solutions,
        skill=undrilled.skill,
        level=undrilled.level,
    )
    read = [SolutionText(problem.external_id, problem.external_id, problem.statement, s.steps) for problem, some in world for s in some]
    words = [*dict.fromkeys(s.problem for s in read[: undrilled.vocabulary]), *(t for s in read[: undrilled.vocabulary] for t in s.steps)]
    shape = TinyShape(layers=undrilled.layers, width=undrilled.width, heads=undrilled.width // 32, feed_forward=3 * undrilled.width)
    config = TrainConfig.for_base(
        shape=shape, from_shipped_base=False, token_budget=undrilled.token_budget, context=CONTEXT, autocast=False, seed=undrilled.world
    )
    model = build_tiny(words, shape=shape, context=CONTEXT, seed=undrilled.world)
    texts = encode_unlabeled(read, tokenizer=model.tokenizer, context=CONTEXT)
    only_text = Phase("language model", texts, 1, undrilled.learning_rate, 1.0, 0.0)

    def progress(update: ProgressUpdate) -> None:
        tick(update.done, update.total or 0)

    run(trained_parts(model, config), [only_text], config=config, progress=progress)
    save_weights(model, folder)
