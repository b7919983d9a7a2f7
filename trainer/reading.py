"""Read the states of whole solutions with a frozen base, from its cache where they are, for choosing what people label next.

Reads a stream of solutions; yields the states at the step ends of each. What is not kept is read anew, up to a limit.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data import SolutionText
from trainer.model import RewardModel
from trainer.prefix import Reader
from trainer.progress import Clock, Progress
from trainer.score import encoded_ahead, suitable_budget
from trainer.states import state_key


@torch.inference_mode()
def step_states(
    model: RewardModel, solutions: Iterable[SolutionText], *, read_anew: int, total: int | None = None, progress: Progress | None = None
) -> Iterator[tuple[str, NDArray[np.float16] | None, bool]]:
    """Yield (key, states (steps, width), whether they were read anew) of each solution, in order.

    The states are None where no step lies within the context, and where they are not kept and `read_anew` others were read already. The
    model has a frozen base and a cache (`keeping_states`); raises ValueError if it has not.
    """
    if model.states is None:
        raise ValueError("Only a model with a frozen base and a cache has states that are kept.")
    reader, clock, done = Reader(model, token_budget=suitable_budget(model)), Clock("states", total, progress), 0
    cache, left = model.states, read_anew
    for window, encoded in encoded_ahead(solutions, model=model):
        cache.refresh()
        found = {place: own for place, one in enumerate(encoded) if (own := cache.get(state_key(one))) is not None}
        missing = [place for place, one in enumerate(encoded) if place not in found and len(one.step_ends)][:left]
        left -= len(missing)
        n_read = len(window) - len(missing)
        for batch, states in reader.step_end_states([encoded[place] for place in missing], [window[place].problem for place in missing]):
            rows, start = states.half().cpu().numpy(), 0
            for place in (missing[one] for one in batch.tolist()):
                stop = start + len(encoded[place].step_ends)
                found[place] = rows[start:stop]
                start = stop
            n_read += len(batch)
            clock.tick(done + n_read)
        done += len(window)
        clock.tick(done)
        anew = set(missing)
        for place, solution in enumerate(window):
            own = found.get(place)
            yield solution.key, own if own is not None and len(own) else None, place in anew
