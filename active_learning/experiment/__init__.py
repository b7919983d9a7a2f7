"""Stage: the experiment. The paper's section 4 in the simulated world: what process labels are worth beside outcome labels, what a label is
worth that a strategy chose, and how a PRM chooses beside an ORM and majority voting.

`plan` says what is done and `forms` how much of it, `points` trains and judges one model, `running` carries a plan out in files that a
killed run goes on from, `curves` fits lines, `results` draws figures and tables. Reads and writes STEPMARK_HOME/experiments/NAME.
"""

from active_learning.experiment.forms import ABLE, FORMS, FULL, QUICK, SHORT, SMALLEST
from active_learning.experiment.pages import NoSuchExperiment, found, listed, may_see, page
from active_learning.experiment.plan import BadPlan, Plan
from active_learning.experiment.results import summarise, told
from active_learning.experiment.running import run

__all__ = [
    "ABLE",
    "FORMS",
    "FULL",
    "QUICK",
    "SHORT",
    "SMALLEST",
    "BadPlan",
    "NoSuchExperiment",
    "Plan",
    "found",
    "listed",
    "may_see",
    "page",
    "run",
    "summarise",
    "told",
]
