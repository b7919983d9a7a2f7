"""Stage: the experiment. It repeats section 4 of the paper in the simulated world, with the oracle as the labeler.

It compares process labels with outcome labels, each strategy with uniform labels, and a PRM with an ORM and majority voting.

`plan` holds the settings and `forms` the ready-made plans. `points` trains and judges one model. `running` carries out a plan and writes a
file for every model, so that a killed run continues. `starting` lets a worker do so for a person. `curves` fits lines, `results` makes
figures and tables, `pages` feeds the web pages. Reads and writes STEPMARK_HOME/experiments/NAME.
"""

from active_learning.experiment.forms import ABLE, FORMS, FULL, QUICK, SHORT, SMALLEST
from active_learning.experiment.pages import NoSuchExperiment, all_experiments, can_see, describe, find
from active_learning.experiment.plan import BadPlan, Plan
from active_learning.experiment.results import result_lines, summarise
from active_learning.experiment.running import run
from active_learning.experiment.starting import (
    OFFERED,
    STRATEGIES_OFFERED,
    ExperimentRefused,
    cancel,
    carry_out,
    compose_plan,
    offer_abandoned,
    offered_forms,
    projects_to_start_in,
    resume,
    start,
    sweep,
)

__all__ = [
    "ABLE",
    "OFFERED",
    "STRATEGIES_OFFERED",
    "ExperimentRefused",
    "cancel",
    "carry_out",
    "compose_plan",
    "offer_abandoned",
    "offered_forms",
    "projects_to_start_in",
    "resume",
    "start",
    "sweep",
    "FORMS",
    "FULL",
    "QUICK",
    "SHORT",
    "SMALLEST",
    "BadPlan",
    "NoSuchExperiment",
    "Plan",
    "all_experiments",
    "can_see",
    "describe",
    "find",
    "result_lines",
    "run",
    "summarise",
]
