"""The pages of the experiments, for the researchers, managers and owners of its project. Reads the request, asks the stage, renders."""

from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import HttpResponseClientRefresh

from active_learning import experiment
from annotation.views import SignedInRequest, View

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from annotation.models import Project

ACTS = {
    "cancel": (experiment.cancel, "The experiment is cancelled. Models that are trained are kept."),
    "continue": (experiment.resume, "The experiment waits for a worker. It trains what is missing."),
}
FILES = {"strategies.csv": "text/csv", **{f"figure-{key}.svg": "image/svg+xml" for key in "abc"}, "results.json": "application/json"}


class NumbersField(forms.CharField):
    """Whole numbers between blanks or commas, or nothing."""

    def __init__(self, label: str, *, example: str) -> None:
        widget = forms.TextInput({"inputmode": "numeric", "autocomplete": "off", "placeholder": "as the form"})
        super().__init__(required=False, label=label, max_length=200, widget=widget)
        self.fault = f"{label} are whole numbers with blanks between them, such as {example}."

    def clean(self, value: Any) -> list[int]:
        """Return the numbers."""
        words = super().clean(value).replace(",", " ").split()
        if not all(word.isascii() and word.isdecimal() and len(word) <= 6 for word in words):
            raise forms.ValidationError(self.fault)
        return [int(word) for word in words]


class ExperimentForm(forms.Form):
    """What a person chooses for an experiment. Empty seeds, sizes and strategies are those of the form."""

    name = forms.CharField(
        label="Name", max_length=40, widget=forms.TextInput({"autocomplete": "off"}), error_messages={"required": "Name the experiment."}
    )
    form = forms.ChoiceField(label="Form", choices=[(name, name) for name in experiment.OFFERED])
    seeds = NumbersField("Seeds", example="1 2 3")
    sizes = NumbersField("Chosen solutions", example="20 40 80")
    strategies = forms.MultipleChoiceField(
        label="Strategies",
        required=False,
        choices=[(name, name) for name in experiment.STRATEGIES_OFFERED],
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, projects: Sequence["Project"]) -> None:
        super().__init__(data, auto_id="start-%s", label_suffix="")
        self.fields["project"] = forms.TypedChoiceField(
            label="For the people of",
            choices=[(project.pk, project.name) for project in projects],
            coerce={str(project.pk): project for project in projects}.__getitem__,
        )
        self.order_fields(["name", "project", "form", "seeds", "sizes", "strategies"])

    def start(self, person: "User") -> str:
        """Start what was chosen. Return the name. Raises BadPlan and ExperimentRefused."""
        chosen = self.cleaned_data
        plan = experiment.compose_plan(chosen["form"], seeds=chosen["seeds"], sizes=chosen["sizes"], strategies=chosen["strategies"])
        experiment.start(chosen["project"], name=chosen["name"], plan=plan, actor=person)
        return str(chosen["name"])


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

    return checked


@require_http_methods(["GET", "POST"])
@for_researchers
def experiments(request: SignedInRequest) -> HttpResponse:
    """List the experiments of a person's projects. A POST starts one."""
    projects = experiment.projects_to_start_in(request.user)
    form = ExperimentForm(request.POST if request.method == "POST" else None, projects=projects)
    if form.is_valid():
        try:
            name = form.start(request.user)
            messages.success(request, f"The experiment {name} waits for a worker.")
            return redirect("experiment", name=name)
        except (experiment.BadPlan, experiment.ExperimentRefused) as refused:
            form.add_error(None, str(refused))
    found = experiment.all_experiments(_home(), person=request.user)
    page = {"experiments": found, "form": form, "can_start": bool(projects), "forms": experiment.offered_forms()}
    return render(request, "active_learning/experiments.html", page, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@for_researchers
def show_experiment(request: SignedInRequest, name: str) -> HttpResponse:
    """Show the figures and the table of an experiment, and how far its run is. A POST cancels or continues the run."""
    if request.method == "POST":
        experiment.find(name, home=_home(), person=request.user)  # whether it is theirs
        act, words = ACTS.get(request.POST.get("act", ""), (None, ""))
        try:
            if act:
                act(name, actor=request.user)
                messages.success(request, words)
        except experiment.ExperimentRefused as refused:
            messages.error(request, str(refused))
        return redirect("experiment", name=name)
    page = experiment.describe(name, home=_home(), person=request.user)
    if request.htmx and not page["is_unended"]:
        return HttpResponseClientRefresh()  # the run ended, and the whole page has changed
    return render(request, "active_learning/_experiment_run.html" if request.htmx else "active_learning/experiment.html", page)


@require_GET
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
