"""The forms of the pages of batches: one act on a batch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django import forms

from annotation.views.forms.projects import CountField

if TYPE_CHECKING:
    from django.contrib.auth.models import User

ACTS = {
    "publish": "Publish",
    "pause": "Pause",
    "resume": "Resume",
    "close": "Close for good",
    "first": "Hand out first",
    "last": "Hand out last",
    "in order": "Hand out in order",
    "overlap": "Change the overlap",
    "return": "Give back",
}


class BatchForm(forms.Form):
    """One act on a batch. `seen` is the last change that the page showed. `sure`: the person has seen what the act will do."""

    act = forms.ChoiceField(choices=ACTS.items(), error_messages=dict.fromkeys(("required", "invalid_choice"), "Choose what to do."))
    seen = forms.IntegerField(min_value=0, max_value=2**63 - 1, required=False)
    sure = forms.BooleanField(required=False)
    assignment = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    overlap = CountField("The overlap", lowest=1, highest=99, label="People for each solution", required=False)

    def __init__(self, data: Mapping[str, Any] | None = None, *, overlap: int | None = None) -> None:
        super().__init__(data, auto_id="batch-%s", label_suffix="", initial={"overlap": overlap})

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or self.cleaned_data
        if typed.get("act") == "overlap" and typed.get("overlap") is None and "overlap" not in self.errors:
            self.add_error("overlap", self.fields["overlap"].error_messages["required"])
        return typed


class CalibrationForm(forms.Form):
    """How many solutions a calibration set gets. `seed` draws others."""

    size = CountField("The number of solutions", lowest=1, highest=50, label="Solutions", help_text="Ten are enough for a discussion.")
    seed = forms.IntegerField(min_value=0, max_value=2**31 - 1, required=False, widget=forms.HiddenInput)

    def __init__(self, data: Mapping[str, Any] | None = None, *, size: int) -> None:
        super().__init__(data, auto_id="calibration-%s", label_suffix="", initial={"size": size})


class NewcomersForm(forms.Form):
    """What newcomers get first, practice or screening, or gold; from whose labels, and how many solutions. `seed` draws others."""

    kind = forms.ChoiceField(
        label="What to compose",
        choices=[
            ("practice", "Practice: newcomers see after each solution where the mistake is"),
            ("screening", "Screening: the answers decide who is admitted"),
            ("repeat", "Questions for another attempt: other ones for people who did not pass the screening"),
            ("gold", "Gold: solutions among real work whose answers are compared with this person's"),
        ],
        widget=forms.RadioSelect,
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Choose practice, screening, questions for another attempt or gold."),
    )
    size = CountField("The number of solutions", lowest=1, highest=100, label="Solutions")
    seed = forms.IntegerField(min_value=0, max_value=2**31 - 1, required=False, widget=forms.HiddenInput)

    def __init__(self, data: Mapping[str, Any] | None = None, *, people: Sequence["User"]) -> None:
        super().__init__(data, auto_id="newcomers-%s", label_suffix="", initial={"kind": "practice", "size": 5})
        names = [(person.username, person.get_full_name() or person.username) for person in people]
        self.fields["by"] = forms.ChoiceField(
            label="Whose labels are right",
            choices=[("", "Choose a person"), *names],
            help_text="The first mistake of this person counts as right.",
            error_messages={
                "required": "Choose the person whose labels you trust.",
                "invalid_choice": "%(value)s has no labels in this project. Choose a person from the list.",
            },
        )
        self.order_fields(["kind", "by", "size"])
