"""The forms of the pages of people: invitations, and what a manager does about one member."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm

NO_ROLE = "You cannot give this role. Choose one from the list."


class NewAccountForm(UserCreationForm):
    """A user name and a password, twice, of somebody who accepts an invitation."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="account-%s", label_suffix="")
        self.fields["username"].label, self.fields["username"].help_text = "User name", "Others in the project see it."
        self.fields["password1"].label, self.fields["password2"].label = "Password", "Password, again"
        self.fields["password1"].help_text = "At least 10 characters. It must not be a common password, or be like your name."
        self.fields["password2"].help_text = ""
        self.fields["username"].error_messages["unique"] = "This user name is taken. Choose another one."
        self.fields["username"].widget.attrs |= {"autocomplete": "username", "autocapitalize": "none"}


class InviteForm(forms.Form):
    """Names and e-mail addresses, one a line, and the role that all of them get."""

    role = forms.ChoiceField(label="Role", error_messages={"required": NO_ROLE, "invalid_choice": NO_ROLE})
    lines = forms.CharField(
        label="Names or e-mail addresses, one a line",
        strip=False,
        widget=forms.Textarea({"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "There are no names. Write one name or one e-mail address in a line."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, roles: Sequence[tuple[str, str]]) -> None:
        super().__init__(data, auto_id="invite-%s", label_suffix="")
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = roles


class RoleForm(forms.Form):
    """Another role for a member."""

    role = forms.ChoiceField(label="Role", error_messages={"required": NO_ROLE, "invalid_choice": NO_ROLE})

    def __init__(self, data: Mapping[str, Any] | None = None, *, roles: Sequence[tuple[str, str]], role: str) -> None:
        super().__init__(data, auto_id="member-%s", label_suffix="", initial={"role": role})
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = roles


class PauseForm(forms.Form):
    """Why the labeling of a member is paused. The member reads it."""

    reason = forms.CharField(
        label="Reason",
        widget=forms.Textarea({"rows": 3, "maxlength": 1_000}),
        error_messages={"required": "The reason is empty. Write why: the person reads it."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="pause-%s", label_suffix="")


class LetterForm(forms.Form):
    """A message to one person."""

    text = forms.CharField(
        label="Message",
        widget=forms.Textarea({"rows": 3, "maxlength": 2_000}),
        error_messages={"required": "The message is empty. Write a few words."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="letter-%s", label_suffix="")
