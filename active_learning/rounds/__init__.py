"""Stage: rounds. The loop around the labeling, and its only state machine: train -> judge -> sample -> score -> select -> publish.

Reads model versions and scores; writes Round, RoundStage and Selection and, through the queue, the next batch. A round chooses with the
serving model. That is the model it trained, unless the registry refused it. A round is a row. A worker raises the row's token before it
runs the round, and every later write names that token and must change exactly one row: a worker that lost its round publishes nothing. A
stage that ended well is not run again; one that broke off is tried three times at most. Celery only carries the message that a round
waits; `sweep` sends it again.
"""

from active_learning.models import Labels
from active_learning.rounds.forecasting import Forecasts, forecast_again, forecasts_of, preset_recipe
from active_learning.rounds.payoffs import KnownPayoff, newest_payoff
from active_learning.rounds.plan import (
    Findings,
    RoundPlan,
    checked_recipe,
    checked_sampling,
    findings_of,
    plan_of,
    recipe_followed,
    recipe_for,
)
from active_learning.rounds.publishing import publish, replay
from active_learning.rounds.reading import RoundValues, StageRow, round_row, rounds_of
from active_learning.rounds.running import run
from active_learning.rounds.starting import cancel, notify_worker, offer_abandoned, preview, start, sweep
from active_learning.rounds.states import NoSuchRound, RoundRefused, find, how_ended, number_of
from active_learning.rounds.telling import BEAT, LifeSign, any_published, describe, life_signs, published, say_alive, why_silent
from trainer.progress import Stopped

__all__ = [
    "BEAT",
    "Findings",
    "Forecasts",
    "Labels",
    "KnownPayoff",
    "LifeSign",
    "NoSuchRound",
    "RoundPlan",
    "RoundRefused",
    "RoundValues",
    "StageRow",
    "round_row",
    "rounds_of",
    "Stopped",
    "any_published",
    "cancel",
    "checked_recipe",
    "checked_sampling",
    "describe",
    "find",
    "how_ended",
    "findings_of",
    "forecast_again",
    "forecasts_of",
    "life_signs",
    "newest_payoff",
    "notify_worker",
    "number_of",
    "offer_abandoned",
    "plan_of",
    "preset_recipe",
    "preview",
    "publish",
    "published",
    "recipe_followed",
    "recipe_for",
    "replay",
    "run",
    "say_alive",
    "start",
    "sweep",
    "why_silent",
]
