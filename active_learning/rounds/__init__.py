"""Stage: rounds. The loop around the labeling, and its only state machine: train -> judge -> generate -> score -> select -> publish.

Reads model versions and scores; writes Round, RoundStage and Selection and, through the queue, the next batch. A round chooses with the
model in service, which is the one it trained unless the registry kept that one out. A round is a row: whoever runs it raises its token
first, and every later write names that token and must hit one row, so a worker that was given up for dead publishes nothing. A stage
that ended well is not run again; one that broke off is, at most three times. Celery only rings the bell; `sweep` rings it again.
"""

from active_learning.rounds.plan import (
    Findings,
    RoundPlan,
    checked_recipe,
    checked_sampling,
    findings_of,
    plan_of,
    recipe_for,
)
from active_learning.rounds.publishing import publish, replay
from active_learning.rounds.running import run
from active_learning.rounds.starting import cancel, preview, ring_bell, start, sweep
from active_learning.rounds.states import NoSuchRound, RoundRefused, find
from active_learning.rounds.telling import any_published, describe, published, say_alive

__all__ = [
    "Findings",
    "NoSuchRound",
    "RoundPlan",
    "RoundRefused",
    "any_published",
    "cancel",
    "checked_recipe",
    "checked_sampling",
    "describe",
    "find",
    "findings_of",
    "plan_of",
    "preview",
    "publish",
    "published",
    "recipe_for",
    "replay",
    "ring_bell",
    "run",
    "say_alive",
    "start",
    "sweep",
]
