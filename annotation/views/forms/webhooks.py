"""The form with which a manager adds a webhook."""

from collections.abc import Mapping
from typing import Any

from django import forms

from annotation import webhooks

KINDS = [(kind, f"{words[0].upper()}{words[1:]}") for kind, words in webhooks.KINDS]


class WebhookForm(forms.Form):
    """Where messages go, and what they report."""

    address = forms.CharField(
        label="Address",
        max_length=webhooks.LONGEST_ADDRESS,
        help_text="Your program receives a POST there, such as https://hooks.example.org/stepmark.",
        widget=forms.URLInput({"autocomplete": "off", "spellcheck": "false"}),
        error_messages={
            "required": "Write the address of your program.",
            "max_length": f"The address has more than {webhooks.LONGEST_ADDRESS} characters. Write a shorter one.",
        },
    )
    kinds = forms.MultipleChoiceField(
        label="What it reports",
        choices=KINDS,
        initial=[kind for kind, _ in KINDS],
        widget=forms.CheckboxSelectMultiple,
        error_messages=dict.fromkeys(("required", "invalid_choice", "invalid_list"), "Choose one or more from the list."),
    )

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="webhook-%s", label_suffix="")
