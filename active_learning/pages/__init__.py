"""Stage: what the pages of the loop show. What needs a person in a project now, rounds at a glance, the composer, one round with its
stages, its proposal and what it brought; model versions, one, two compared; the search for solutions, and one of them with its step
scores; what a few words find in a project.

Reads rounds, their stages and selections, model versions and the labels of their batches; writes nothing. The web process calls it:
numpy, never torch.
"""

from active_learning.pages.agreements import AgreementPage, NoSuchChart, agreement_file, agreement_page
from active_learning.pages.composing import composer, preset_settings, recipes
from active_learning.pages.finding import FoundGroup, FoundThing, found_projects, found_things
from active_learning.pages.learning import learning_of
from active_learning.pages.models import all_versions, compared_versions, one_version
from active_learning.pages.needs import ToDo, to_do
from active_learning.pages.overviews import all_rounds, loop, times_chart
from active_learning.pages.reviewing import ModelReading, model_reading
from active_learning.pages.searching import SolutionFilter, filter_from, found_solutions, search_choices
from active_learning.pages.side_by_side import models_on_solution
from active_learning.pages.single import cancelling, one_round, progress
from active_learning.pages.solutions import scored_solution
from active_learning.pages.surprising import SurpriseFilter, surprise_filter, surprise_lines, surprising_steps

__all__ = [
    "AgreementPage",
    "FoundGroup",
    "FoundThing",
    "ModelReading",
    "NoSuchChart",
    "SolutionFilter",
    "SurpriseFilter",
    "ToDo",
    "agreement_file",
    "agreement_page",
    "all_rounds",
    "all_versions",
    "cancelling",
    "compared_versions",
    "composer",
    "filter_from",
    "found_projects",
    "found_solutions",
    "found_things",
    "learning_of",
    "loop",
    "model_reading",
    "models_on_solution",
    "one_round",
    "one_version",
    "preset_settings",
    "progress",
    "recipes",
    "scored_solution",
    "search_choices",
    "surprise_filter",
    "surprise_lines",
    "surprising_steps",
    "times_chart",
    "to_do",
]
