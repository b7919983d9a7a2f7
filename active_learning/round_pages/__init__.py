"""Stage: what the pages of rounds show. The loop at a glance, the composer, one round with its stages, its proposal and what it brought.

Reads rounds, their stages and selections, model versions and the labels of their batches; writes nothing. The web process calls it:
numpy, never torch.
"""

from active_learning.round_pages.forms import TYPED, composer, schedule_page
from active_learning.round_pages.overviews import all_rounds, loop
from active_learning.round_pages.single import one_round, progress

__all__ = ["TYPED", "all_rounds", "composer", "loop", "one_round", "progress", "schedule_page"]
