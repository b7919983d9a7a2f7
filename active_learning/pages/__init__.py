"""Stage: what the pages of the loop show. Rounds at a glance, the composer, one round with its stages, its proposal and what it brought;
model versions, one, two compared; the search for solutions, and one of them with its step scores.

Reads rounds, their stages and selections, model versions and the labels of their batches; writes nothing. The web process calls it:
numpy, never torch.
"""

from active_learning.pages.composing import composer, preset_recipe
from active_learning.pages.models import all_versions, compared_versions, one_version
from active_learning.pages.overviews import all_rounds, loop
from active_learning.pages.searching import SolutionFilter, filter_from, found_solutions, search_choices
from active_learning.pages.single import cancelling, one_round, progress
from active_learning.pages.solutions import scored_solution

__all__ = [
    "SolutionFilter",
    "all_rounds",
    "all_versions",
    "cancelling",
    "compared_versions",
    "composer",
    "filter_from",
    "found_solutions",
    "loop",
    "one_round",
    "one_version",
    "preset_recipe",
    "progress",
    "scored_solution",
    "search_choices",
]
