"""The pages of the experiments, open to researchers, managers and owners of any project. Reads the request, asks the stage, renders."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from active_learning import experiment

FILES = {"strategies.csv": "text/csv", **{f"figure-{key}.svg": "image/svg+xml" for key in "abc"}, "results.json": "application/json"}


def of_experiments(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorate a view: 404 for a person without such a role, and for an experiment that does not exist."""

    @wraps(view)
    def guarded(request: HttpRequest, **more: Any) -> HttpResponse:
        if not experiment.may_see(request.user):
            raise Http404("There is no such page, or you cannot see it.")
        try:
            return view(request, **more)
        except experiment.NoSuchExperiment as error:
            raise Http404(str(error)) from None

    return require_GET(guarded)


@of_experiments
def experiments(request: HttpRequest) -> HttpResponse:
    """List all experiments."""
    return render(request, "active_learning/experiments.html", {"experiments": experiment.listed(_home())})


@of_experiments
def one_experiment(request: HttpRequest, name: str) -> HttpResponse:
    """Show the figures and the table of one experiment."""
    return render(request, "active_learning/experiment.html", experiment.page(name, home=_home()))


@of_experiments
def experiment_file(request: HttpRequest, name: str, file: str) -> HttpResponse:
    """Send a table or a figure as a file."""
    path = experiment.find(name, home=_home()) / file
    if file not in FILES or not path.is_file():
        raise Http404(f"The experiment {name} has no file {file}.")
    headers = {"Content-Disposition": f'attachment; filename="{name}-{file}"'}
    return HttpResponse(path.read_bytes(), content_type=FILES[file], headers=headers)


def _home() -> Path:
    return Path(settings.STEPMARK_HOME)
