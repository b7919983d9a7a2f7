"""Stage: what the pages of the loop show. Rounds at a glance, the composer, one round with its stages, its proposal and what it brought;
model versions, one, two compared, and a solution with its step scores.

Reads rounds, their stages and selections, model versions and the labels of their batches; writes nothing. The web process calls it:
numpy, never torch.
"""

from active_learning.pages.composing import composer, preset_recipe
from active_learning.pages.models import NoSuchSolution, all_versions, compared_versions, one_version, scored_solution
from active_learning.pages.overviews import all_rounds, loop
from active_learning.pages.single import one_round, progress

__all__ = [
    "NoSuchSolution",
    "all_rounds",
    "all_versions",
    "compared_versions",
    "composer",
    "loop",
    "one_round",
    "one_version",
    "preset_recipe",
    "progress",
    "scored_solution",
]
