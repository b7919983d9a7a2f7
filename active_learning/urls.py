"""The addresses of the loop, under /p/<slug>/rounds/, and of its models, under /p/<slug>/models/."""

from django.urls import path

from active_learning import views

urlpatterns = [
    path("", views.loop, name="loop"),
    path("start/", views.start_round, name="start-round"),
    path("<int:generation>/cancel/", views.cancel_round, name="cancel-round"),
]
models = [
    path("", views.models, name="models"),
    path("compare/", views.compare_models, name="compare-models"),
    path("roll-back/", views.roll_back, name="roll-back"),
    path("<int:number>/", views.model, name="model"),
    path("<int:number>/promote/", views.promote, name="promote"),
    path("<int:number>/download/", views.download_model, name="download-model"),
    path("<int:number>/solutions/", views.find_solution, name="find-solution"),
    path("<int:number>/solutions/<int:solution_id>/", views.solution, name="solution"),
]
