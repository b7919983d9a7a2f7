"""Stage: selection. What a round can choose from, what it chooses by its recipe, and the proof that it would choose the same again.

`strategies` is pure and holds every strategy; `pool` reads the candidates from the database; `running` chooses and keeps the candidates.
"""

from active_learning.selection.running import NothingToChoose, Replay, Scorers, Selected, replay, select
from active_learning.selection.strategies import (
    CONTROL,
    DISAGREEMENT,
    ENTROPY,
    HALF_MIX,
    PAPER_MIX,
    RIGHT,
    STRATEGIES,
    UNCERTAIN,
    WRONG,
    BadRecipe,
    Candidates,
    Recipe,
    choose,
)

__all__ = [
    "CONTROL",
    "DISAGREEMENT",
    "ENTROPY",
    "HALF_MIX",
    "PAPER_MIX",
    "RIGHT",
    "STRATEGIES",
    "UNCERTAIN",
    "WRONG",
    "BadRecipe",
    "Candidates",
    "NothingToChoose",
    "Recipe",
    "Replay",
    "Scorers",
    "Selected",
    "choose",
    "replay",
    "select",
]
