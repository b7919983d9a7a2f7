"""The form with which a person makes a token of the API."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from annotation import people
from annotation.views.forms.projects import WordsField

DAYS = [(str(days), f"{days} days" if days < 365 else "1 year") for days in people.DAYS]
ALL = ""


class TokenForm(forms.Form):
    """What a token is called, what it allows, for which projects and for how long."""

    name = WordsField(
        "The name",
        longest=60,
        example="Write what uses the token, such as “notebook on the lab server”.",
        label="Name",
        help_text="Write what uses it. Then you know later which one to revoke.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    scope = forms.ChoiceField(
        label="What it allows",
        choices=people.SCOPES,
        initial="read",
        widget=forms.RadioSelect,
        help_text="It never allows more than you can do yourself at that time.",
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Choose what the token allows."),
    )
    project = forms.ChoiceField(
        required=False,
        label="For",
        error_messages={"invalid_choice": "You are no member of this project. Choose one from the list."},
    )
    days = forms.TypedChoiceField(
        label="Expires after",
        choices=DAYS,
        initial="90",
        coerce=int,
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Choose from the list when the token expires."),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, projects: Sequence[tuple[str, str]]) -> None:
        super().__init__(data, auto_id="token-%s", label_suffix="")
        chosen = self.fields["project"]
        assert isinstance(chosen, forms.ChoiceField)
        chosen.choices = [(ALL, "All your projects"), *projects]
