"""Stage: selection. What a round can choose from, what it chooses by its recipe, and the proof that it would choose the same again.

`strategies` holds every strategy, and `covering` the orders by states; `candidates`, `recipes` and `choosing` are pure like them. `pool`
reads the candidates from the database, `running` chooses for a round, and `files` keeps what it chose from.
"""

from active_learning.selection.candidates import RIGHT, WRONG, Candidates
from active_learning.selection.choosing import choose
from active_learning.selection.covering import reduced_states, state_of_solution
from active_learning.selection.files import read_candidates, write_candidates
from active_learning.selection.recipes import EXPLORE_MIX, HALF_MIX, MIXES, PAPER_MIX, PRESETS, BadRecipe, Mix, Parts, Recipe, without_floor
from active_learning.selection.running import NothingToChoose, RecipeForecast, Replay, Scorers, Selected, forecast, replay, select
from active_learning.selection.strategies import (
    CONVINCING,
    DISAGREEMENT,
    ENTROPY,
    STRATEGIES,
    UNCERTAIN,
    UNIFORM,
    Need,
    Strategy,
    premise_of,
)

__all__ = [
    "CONVINCING",
    "DISAGREEMENT",
    "ENTROPY",
    "EXPLORE_MIX",
    "HALF_MIX",
    "MIXES",
    "PAPER_MIX",
    "PRESETS",
    "RIGHT",
    "STRATEGIES",
    "UNCERTAIN",
    "UNIFORM",
    "WRONG",
    "BadRecipe",
    "Candidates",
    "Mix",
    "Need",
    "NothingToChoose",
    "Parts",
    "Recipe",
    "RecipeForecast",
    "Replay",
    "Scorers",
    "Selected",
    "Strategy",
    "choose",
    "forecast",
    "read_candidates",
    "reduced_states",
    "state_of_solution",
    "premise_of",
    "replay",
    "select",
    "without_floor",
    "write_candidates",
]
