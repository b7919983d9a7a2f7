"""Stage: the experiment. The paper's section 4 in the simulated world. It compares process labels with outcome labels, labels chosen by
strategies with random ones, and the choices of a PRM with those of an ORM and majority voting.

`plan` holds all settings and `forms` the plans in use. `points` trains and judges one model. `running` carries a plan out in files, from
which a killed run continues. `curves` fits lines; `results` makes figures and tables. Reads and writes STEPMARK_HOME/experiments/NAME.
"""

from active_learning.experiment.forms import ABLE, FORMS, FULL, QUICK, SHORT, SMALLEST
from active_learning.experiment.pages import NoSuchExperiment, find, listed, may_see, page
from active_learning.experiment.plan import BadPlan, Plan
from active_learning.experiment.results import summarise, summary_lines
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
    "find",
    "listed",
    "may_see",
    "page",
    "run",
    "summarise",
    "summary_lines",
]
