"""The forms of the pages. A form reads what was typed. The stage behind the view decides whether it is valid and explains what is not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django import forms

from annotation import keys

if TYPE_CHECKING:
    from annotation.models import GoldAnswer, Membership


class KeysField(forms.Field):
    """The names of some keys, separated by spaces. Its value is a list of names."""

    def to_python(self, value: str | None) -> list[str]:
        return (value or "").split()

    def prepare_value(self, value: str | Sequence[str] | None) -> str:
        return value if isinstance(value, str) else " ".join(map(keys.write_key, value or ()))


class KeysForm(forms.Form):
    """The keys of one person: a field for each action."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, present: Mapping[str, Sequence[str]]) -> None:
        super().__init__(data, auto_id="key-%s", initial=dict(present))
        typed = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}
        for name, action in keys.ACTIONS.items():
            widget = forms.TextInput({**typed, "data-words": action.words, "aria-describedby": f"fault-{name}"})
            defaults = " ".join(map(keys.write_key, action.defaults))
            self.fields[name] = KeysField(required=False, label=action.words, help_text=f"default: {defaults}", widget=widget)


class CorrectionForm(forms.Form):
    """Another reference answer for a problem. `seen` comes back from the form that shows what changes: then it is done."""

    answer = forms.CharField(
        label="Reference answer",
        widget=forms.Textarea({"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "The answer is empty. Write the right answer."},
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    withdraw = forms.BooleanField(required=False)

    def __init__(self, data: Mapping[str, Any] | None = None, *, answer: str | None) -> None:
        super().__init__(data, auto_id="correction-%s", label_suffix="", initial={"answer": answer})


class GoldForm(forms.Form):
    """Which steps of a solution may be called the first mistake, and the note. `error`: why nothing was stored."""

    error = ""
    note = forms.CharField(
        required=False,
        label="Note, which practice and the record of a labeler show after the answer",
        widget=forms.Textarea({"rows": 3, "spellcheck": "true"}),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, answer: "GoldAnswer", note: str | None = None) -> None:
        stored = {"steps": answer.acceptable_first_errors, "note": answer.note if note is None else note}
        super().__init__(data, auto_id="gold-%s", label_suffix="", initial=stored)
        self.fields["steps"] = forms.TypedMultipleChoiceField(
            required=False,
            coerce=int,
            label="Steps that may be called the first mistake",
            choices=[(place, text) for place, text in enumerate(answer.solution.steps)],
            widget=forms.CheckboxSelectMultiple,
            error_messages={"invalid_choice": "The solution has no such step. Load the page again, and use its boxes."},
        )
        self.order_fields(["steps", "note"])


class MessageForm(forms.Form):
    """A message to somebody who labels in a project. `to` is a user name."""

    text = forms.CharField(
        label="Message",
        widget=forms.Textarea({"rows": 4, "maxlength": 2_000}),
        error_messages={"required": "The message is empty. Write a few words."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, recipients: Iterable["Membership"]) -> None:
        super().__init__(data, auto_id="message-%s", label_suffix="")
        people = [member.user for member in recipients]
        names = [(person.username, ", ".join(filter(None, (person.username, person.get_full_name())))) for person in people]
        self.fields["to"] = forms.ChoiceField(
            label="To",
            choices=[("", "Choose a labeler"), *names],
            error_messages={
                "required": "Choose who gets the message.",
                "invalid_choice": "%(value)s does not label in this project. Choose a labeler from the list.",
            },
        )
        self.order_fields(["to", "text"])
