"""The form of the audit: which events are shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from annotation.audit import AuditFilter


class AuditForm(forms.Form):
    """Person, kind, day and object. Empty fields filter nothing."""

    person = forms.CharField(required=False, max_length=150, label="Person", widget=forms.TextInput({"autocomplete": "off"}))
    verb = forms.ChoiceField(
        required=False, label="What", error_messages={"invalid_choice": "Nobody ever did that. Choose from the list, or leave it empty."}
    )
    day = forms.DateField(
        required=False,
        label="Day (UTC)",
        widget=forms.DateInput({"type": "date"}),
        error_messages={"invalid": "Write the day like 2026-11-26."},
    )
    thing = forms.CharField(
        required=False,
        max_length=200,
        label="Object",
        widget=forms.TextInput({"autocomplete": "off", "placeholder": "solution 12"}),
    )

    def __init__(self, data: Mapping[str, Any], *, verbs: Sequence[str]) -> None:
        super().__init__(data, auto_id="audit-%s", label_suffix="")
        field = self.fields["verb"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "everything"), *((verb, verb) for verb in verbs)]

    @property
    def wanted(self) -> AuditFilter:
        """What is wanted."""
        return AuditFilter(**self.cleaned_data)
