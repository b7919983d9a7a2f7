"""The pages of the experiments, for the researchers, managers and owners of its project. Reads the request, asks the stage, renders."""

from functools import wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from active_learning import experiment
from annotation.views import View

FILES = {"strategies.csv": "text/csv", **{f"figure-{key}.svg": "image/svg+xml" for key in "abc"}, "results.json": "application/json"}


def for_researchers(view: View) -> View:
    """Decorate a view: a person without access gets the same "missing" page as for an experiment that does not exist."""

    @wraps(view)
    def checked(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        if not experiment.can_see(request.user):
            raise Http404("This page does not exist, or you have no access to it.")
        try:
            return view(request, **arguments)
        except experiment.NoSuchExperiment as error:
            raise Http404(str(error)) from None

    return require_GET(checked)


@for_researchers
def experiments(request: HttpRequest) -> HttpResponse:
    """List the experiments of a person's projects."""
    return render(request, "active_learning/experiments.html", {"experiments": experiment.all_experiments(_home(), person=request.user)})


@for_researchers
def show_experiment(request: HttpRequest, name: str) -> HttpResponse:
    """Show the figures and the table of an experiment."""
    return render(request, "active_learning/experiment.html", experiment.describe(name, home=_home(), person=request.user))


@for_researchers
def experiment_file(request: HttpRequest, name: str, file: str) -> HttpResponse:
    """Send a table or a figure as a file."""
    path = experiment.find(name, home=_home(), person=request.user) / file
    if file not in FILES or not path.is_file():
        raise Http404(f"The experiment {name} has no file {file}.")
    headers = {"Content-Disposition": f'attachment; filename="{name}-{file}"'}
    return HttpResponse(path.read_bytes(), content_type=FILES[file], headers=headers)


def _home() -> Path:
    return Path(settings.STEPMARK_HOME)
