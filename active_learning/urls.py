"""The addresses of the loop: a project's overview, rounds, models and solutions, and the experiments of no project."""

from django.urls import path

from active_learning.views import agreements as agreement_views
from active_learning.views import experiments as experiment_views
from active_learning.views import models as model_views
from active_learning.views import opinions as opinion_views
from active_learning.views import overviews as overview_views
from active_learning.views import reviewing
from active_learning.views import rounds as round_views
from active_learning.views import solutions as solution_views
from active_learning.views import surprises as surprise_views

urlpatterns = [
    path("", round_views.loop, name="loop"),
    path("all/", round_views.all_rounds, name="rounds"),
    path("start/", round_views.start_round, name="start-round"),
    path("oracle/", round_views.oracle_labels, name="oracle-labels"),
    path("compose/", round_views.compose, name="compose"),
    path("compose/recipes/", round_views.recipes, name="recipes"),
    path("schedule/", round_views.schedule, name="schedule"),
    path("round-<int:round_number>/", round_views.one_round, name="round"),
    path("round-<int:round_number>/publish/", round_views.publish_round, name="publish-round"),
    path("round-<int:round_number>/cancel/", round_views.cancel_round, name="cancel-round"),
    path("round-<int:round_number>/replay/", round_views.replay_round, name="replay-round"),
    path("<int:round_id>/", round_views.old_address, name="old-round"),
    path("<int:round_id>/<slug:act>/", round_views.old_address, name="old-act-on-round"),
]
models = [
    path("", model_views.models, name="models"),
    path("compare/", model_views.compare_models, name="compare-models"),
    path("roll-back/", model_views.roll_back, name="roll-back"),
    path("<int:number>/", model_views.model, name="model"),
    path("<int:number>/promote/", model_views.promote, name="promote"),
    path("<int:number>/download/", model_views.download_model, name="download-model"),
    path("<int:number>/surprises/", surprise_views.surprises, name="surprises"),
    path("<int:number>/solutions/", solution_views.find_solution, name="find-solution"),
    path("<int:number>/solutions/<int:solution_id>/", solution_views.solution, name="solution"),
]
solutions = [
    path("", solution_views.solutions, name="solutions"),
    path("<int:solution_id>/", solution_views.solution, name="project-solution"),
    path("<int:solution_id>/models/", solution_views.models_on_solution, name="models-on-solution"),
    path("<int:solution_id>/withdraw/", solution_views.withdraw_solution, name="withdraw-solution"),
    path("<int:solution_id>/prioritise/", solution_views.prioritise_solution, name="prioritise-solution"),
]
review = [
    path("", reviewing.review, name="review"),
    path("<int:solution_id>/", reviewing.review_solution, name="review-solution"),
    path("<int:solution_id>/decide/", reviewing.decide, name="decide"),
    path("<int:solution_id>/send-back/", reviewing.send_back, name="send-back"),
    path("<int:solution_id>/gold/", reviewing.make_gold, name="make-gold"),
]
project = [
    path("", overview_views.overview, name="overview"),
    path("figures/<slug:name>.csv", overview_views.figures_file, name="figures-file"),
    path("quality/", agreement_views.agreement, name="agreement"),
    path("quality/figures/<slug:name>.csv", agreement_views.agreement_file, name="agreement-file"),
    path("quality/redundancy/", opinion_views.redundancy, name="redundancy"),
]
experiments = [
    path("", experiment_views.experiments, name="experiments"),
    path("<slug:name>/", experiment_views.show_experiment, name="experiment"),
    path("<slug:name>/<str:file>", experiment_views.experiment_file, name="experiment-file"),
]
