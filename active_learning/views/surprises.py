"""The page of surprises: the steps at which a model and people disagree. Reads the request, calls one stage function, renders."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET
from django_htmx.http import HttpResponseClientRefresh

from active_learning import pages
from active_learning.views.forms import KEYS
from active_learning.views.models import of_models
from active_learning.views.searching import ANY, TextChoice
from annotation.views import SignedInRequest
from annotation.views.csv_files import csv_stream

if TYPE_CHECKING:
    from annotation.models import Project

KINDS = [ANY, ("missed", "the model calls it good"), ("alarm", "the model calls it a mistake")]
LEARNED = [
    ANY,
    ("held_out", "held out"),
    ("new", "not in the training"),
    ("problem", "others of the problem"),
    ("labels", "this solution"),
    ("unknown", "not known"),
]
ENDS = [ANY, ("solution", "no mistakes"), ("found_error", "mistake found")]


class NumberField(forms.IntegerField):
    """A whole number, or nothing."""

    def __init__(self, label: str, *, least: int, most: int, example: str) -> None:
        fault = f"{label} must be a whole number, such as {example}."
        messages = {"invalid": fault, "min_value": fault, "max_value": fault}
        widget = forms.TextInput({"inputmode": "numeric", "autocomplete": "off"})
        super().__init__(required=False, label=label, min_value=least, max_value=most, widget=widget, error_messages=messages)


class SurprisesForm(forms.Form):
    """What is looked for among the surprises of a model. `after` is where the page before ended."""

    kind = TextChoice("Disagreement", KINDS)
    learned = TextChoice("The model learned from", LEARNED)
    finish = TextChoice("Label", ENDS)
    subject = forms.CharField(
        required=False,
        max_length=200,
        label="Subject",
        widget=forms.TextInput({"list": "subjects", "autocomplete": "off"}),
        error_messages={"max_length": "The name of a subject has at most 200 characters."},
    )
    generation = NumberField("Generation", least=-1, most=32_767, example="3")
    batch = NumberField("Batch", least=KEYS.start, most=KEYS.stop - 1, example="12, the number in the address of its page")
    after = forms.RegexField(
        r"^\d{1,3}(\.\d+)?-\d{1,18}$",
        required=False,
        max_length=60,
        widget=forms.HiddenInput,
        error_messages={"invalid": "This page of the list does not exist. Begin at its first page."},
    )

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(data, auto_id="find-%s", label_suffix="")


@require_GET
@of_models
def surprises(request: SignedInRequest, project: "Project", number: int) -> HttpResponseBase:
    """Show the steps at which a model and people disagree, page by page, or send all that the form finds as a file."""
    form = SurprisesForm(request.GET)
    filter = pages.surprise_filter(form.cleaned_data) if form.is_valid() else pages.SurpriseFilter()
    if "csv" in request.GET and form.is_valid():
        return csv_stream(pages.surprise_lines(project, number, filter), name=f"{project.slug}-model-{number}-surprises.csv")
    after = form.cleaned_data["after"] if form.is_valid() else ""
    page = {"project": project, "form": form, "is_first": not after, **pages.surprising_steps(project, number, filter, after=after)}
    if request.htmx:  # from the page that waits for a worker
        return HttpResponse(status=204) if page["look"].is_counting else HttpResponseClientRefresh()
    page |= {"address": urlencode(filter.address), "download": urlencode(filter.address | {"csv": "1"})}
    return render(request, "active_learning/surprises.html", page, status=400 if form.errors else 200)
