"""The form of the search for solutions. It is sent with GET, so that the address holds what is looked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from active_learning.views.forms import KEYS

ANY = ("", "any")
YES_NO = [ANY, ("yes", "yes"), ("no", "no")]
OUTCOMES = [ANY, ("correct", "correct"), ("wrong", "wrong"), ("unsure", "unsure"), ("ungraded", "not graded")]
ORDERS = [("", "newest first"), ("high", "highest score first"), ("low", "lowest score first")]
# What to say of each filter when nothing is found.
RELAX = {
    "words": "Take fewer words, or only the beginnings of words.",
    "source": "Check the name of the generator. It must be whole.",
    "outcome": "Choose any outcome.",
    "labels": "Choose labeled and unlabeled solutions.",
    "by": "Choose any person.",
    "differs": "Leave out “Person and model disagree”.",
    "withdrawn": "Choose withdrawn and other solutions.",
    "least": "Choose a lower smallest score.",
    "most": "Choose a higher greatest score.",
    "order": "Choose “newest first”. Solutions without a score have no place in the order of scores.",
}


class TextChoice(forms.ChoiceField):
    """A list of choices of which one is always made. The empty one does not limit the search."""

    def __init__(self, label: str, choices: Sequence[tuple[str, str]]) -> None:
        message = f"{label}: “%(value)s” is not in the list. Choose from the list."
        super().__init__(required=False, label=label, choices=choices, error_messages={"invalid_choice": message})


class ScoreField(forms.FloatField):
    """A score between 0 and 1, or nothing."""

    def __init__(self, label: str) -> None:
        fault = f"{label} must be a number from 0 to 1, such as 0.9."
        messages = {"invalid": fault, "min_value": fault, "max_value": fault}
        widget = forms.TextInput({"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(required=False, label=label, min_value=0, max_value=1, widget=widget, error_messages=messages)


class SolutionsForm(forms.Form):
    """What is looked for among the solutions of a project. `after` is the last solution of the page before."""

    words = forms.CharField(
        required=False,
        max_length=200,
        label="Words of the problem",
        widget=forms.TextInput({"type": "search", "autocomplete": "off"}),
        error_messages={"max_length": "Write at most 200 characters to look for."},
    )
    source = forms.CharField(
        required=False,
        max_length=200,
        label="Generator",
        widget=forms.TextInput({"list": "generators", "autocomplete": "off"}),
        error_messages={"max_length": "The name of a generator has at most 200 characters."},
    )
    outcome = TextChoice("Outcome", OUTCOMES)
    labels = TextChoice("Labeled", YES_NO)
    withdrawn = TextChoice("Withdrawn", YES_NO)
    least = ScoreField("Smallest score")
    most = ScoreField("Greatest score")
    order = TextChoice("Order", ORDERS)
    differs = forms.BooleanField(required=False, label="Person and model disagree")
    after = forms.IntegerField(required=False, min_value=KEYS.start, max_value=KEYS.stop - 1, widget=forms.HiddenInput)

    def __init__(self, data: Mapping[str, Any], *, people: Sequence[str]) -> None:
        super().__init__(data, auto_id="find-%s", label_suffix="")
        self.fields["by"] = TextChoice("Labeled by", [("", "anybody"), *((name, name) for name in people)])
        self.order_fields(["words", "source", "outcome", "labels", "by", "withdrawn", "least", "most", "order", "differs"])

    def clean(self) -> dict[str, Any]:
        """Refuse limits of the score between which nothing lies."""
        values = super().clean() or {}
        least, most = values.get("least"), values.get("most")
        if least is not None and most is not None and least > most:
            self.add_error("most", f"The greatest score {most:g} is below the smallest score {least:g}. Exchange them.")
        return values

    def advice(self) -> list[str]:
        """Say of each filter in use what would find more."""
        return [RELAX[name] for name in RELAX if self.cleaned_data.get(name) not in ("", None, False)]
