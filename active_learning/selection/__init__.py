"""Stage: selection. What a round can choose from, what it chooses by its recipe, and the proof that it would choose the same again.

`strategies` holds every strategy, and `covering` the orders by states; `candidates`, `recipes` and `choosing` are pure like them. `pool`
reads the candidates from the database and `states` what a frozen base says of them; `running` chooses for a round; `files` keeps what it
chose from; `switching` decides for the strategy that changes with what a model has learned.
"""

from active_learning.selection.candidates import RIGHT, WRONG, Candidates
from active_learning.selection.choosing import choose
from active_learning.selection.covering import reduced_states, state_of_solution
from active_learning.selection.files import read_candidates, write_candidates
from active_learning.selection.pool import why_no_states
from active_learning.selection.recipes import EXPLORE_MIX, HALF_MIX, MIXES, PAPER_MIX, PRESETS, BadRecipe, Mix, Parts, Recipe, without_floor
from active_learning.selection.running import NothingToChoose, RecipeForecast, Replay, Scorers, Selected, forecast, replay, select
from active_learning.selection.states import is_frozen
from active_learning.selection.strategies import (
    CONTROL,
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
from active_learning.selection.switching import Decision, decided, has_switch, switched

__all__ = [
    "CONTROL",
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
    "Decision",
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
    "decided",
    "forecast",
    "has_switch",
    "is_frozen",
    "read_candidates",
    "reduced_states",
    "state_of_solution",
    "premise_of",
    "replay",
    "select",
    "switched",
    "why_no_states",
    "without_floor",
    "write_candidates",
]
