"""Stage: the experiment. It repeats section 4 of the paper in the simulated world, with the oracle as the labeler.

It compares process labels with outcome labels, each strategy with uniform labels, and a PRM with an ORM and majority voting.

`plan` holds the settings, `protocol` reads the files that fix a plan and its primary figure before a run, and `forms` has the ready-made
plans. `bases` makes a base that nobody taught right from wrong. `points` trains and judges one model, and `origins` says what it came from.
`running` carries out a plan and writes a file for every model, so that a killed run continues. `starting` lets a worker do so for a person.
`curves` fits lines and gives differences with intervals, `results` makes figures and tables, `pages` feeds the web pages. Reads and writes
STEPMARK_HOME/experiments/NAME.
"""

from active_learning.experiment.forms import ABLE, EVEN, FORMS, PROTOCOLS, QUICK, SHORT, SMALLEST
from active_learning.experiment.pages import NoSuchExperiment, all_experiments, can_see, describe, find
from active_learning.experiment.plan import BadPlan, Plan
from active_learning.experiment.protocol import Protocol
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
    "EVEN",
    "PROTOCOLS",
    "QUICK",
    "SHORT",
    "SMALLEST",
    "BadPlan",
    "NoSuchExperiment",
    "Plan",
    "Protocol",
    "all_experiments",
    "can_see",
    "describe",
    "find",
    "result_lines",
    "run",
    "summarise",
]
