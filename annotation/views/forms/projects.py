"""The forms of the first minute and of projects: the first owner, a new project, its settings, and its deletion."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.db import models

GUIDELINES = 200_000  # characters; the pages set the Markdown of the first half of that

SLUG = re.compile(r"[A-Za-z0-9_-]{1,50}")


class FirstOwnerForm(UserCreationForm):
    """User name, full name and a password, twice, of the person who sets up a site."""

    full_name = forms.CharField(
        label="Full name",
        max_length=150,
        help_text="Others see it beside your work.",
        widget=forms.TextInput({"autocomplete": "name"}),
        error_messages={"required": "The full name is empty. Write your name.", "max_length": "A full name has at most 150 characters."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="owner-%s", label_suffix="")
        name, first, second = (self.fields[field] for field in ("username", "password1", "password2"))
        name.label, name.help_text = "User name", "You sign in with it. Letters, digits and @ . + - _"
        name.widget.attrs |= {"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        name.error_messages |= {"required": "The user name is empty. Choose one, such as olga.", "unique": "This user name is taken."}
        first.label, second.label, second.help_text = "Password", "Password, again", ""
        first.help_text = "At least 10 characters. It must not be a common password, or be like your name."
        first.error_messages["required"] = "The password is empty. Choose one with at least 10 characters."
        second.error_messages["required"] = "Write the password again."
        self.order_fields(["username", "full_name", "password1", "password2"])

    @property
    def account(self) -> dict[str, str]:
        """What was typed, by the names that `people.set_up` takes."""
        typed = self.cleaned_data
        return {"username": typed["username"], "full_name": typed["full_name"], "password": typed["password1"]}


class Collects(models.TextChoices):
    """What a project collects, as people choose it. The columns are its step source, and alternatives after the first mistake."""

    SOLUTIONS = "solutions", "Whole solutions, rated up to the first mistake"
    ALTERNATIVES = "alternatives", "Whole solutions, and a better step in place of the first mistake"
    INTERACTIVE = "interactive", "Step by step: people choose one of several next steps, or write it"

    @classmethod
    def of(cls, *, step_source: str, alternatives_after_error: bool) -> "Collects":
        """Return the choice that stands for these columns."""
        if step_source == "interactive":
            return cls.INTERACTIVE
        return cls.ALTERNATIVES if alternatives_after_error else cls.SOLUTIONS

    def columns(self) -> dict[str, Any]:
        """Return the columns that this choice stands for."""
        source = "interactive" if self is Collects.INTERACTIVE else "solution"
        return {"step_source": source, "alternatives_after_error": self is Collects.ALTERNATIVES}


class WordsField(forms.CharField):
    """A text with a limit. `words` begin the sentences about what is wrong with it."""

    def __init__(self, words: str, *, longest: int, example: str = "", **options: Any) -> None:
        messages = {
            "required": f"{words} is empty. {example}".strip(),
            "max_length": f"{words} has more than {longest:,} characters. Shorten it.",
        }
        super().__init__(max_length=longest, error_messages=messages, **options)
        self.widget.attrs.pop("maxlength", None)  # the browser would cut a pasted text without a word


class CountField(forms.IntegerField):
    """A whole number between two limits. `words` begin the sentence about what is wrong with it."""

    def __init__(self, words: str, *, lowest: int, highest: int, **options: Any) -> None:
        fault = f"{words} must be a whole number from {lowest:,} to {highest:,}."
        messages = dict.fromkeys(("required", "invalid", "min_value", "max_value"), fault)
        widget = forms.TextInput({"inputmode": "numeric", "autocomplete": "off"})
        super().__init__(min_value=lowest, max_value=highest, widget=widget, error_messages=messages, **options)


class ProjectForm(forms.Form):
    """What is asked about every project, new or old."""

    name = WordsField("The name", longest=200, example="Write a name, such as Grade school.", label="Name", help_text="The pages show it.")
    guidelines = WordsField(
        "The text of the guidelines",
        longest=GUIDELINES,
        required=False,
        label="Guidelines",
        help_text="How people rate here, in Markdown. Labelers open them with one key. Formulas stand between dollar signs.",
        widget=forms.Textarea({"rows": 12, "spellcheck": "true"}),
    )
    collects = forms.ChoiceField(
        label="What people label",
        choices=Collects.choices,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what people label.", "invalid_choice": "Choose what people label from the list."},
    )
    completions_per_step = CountField(
        "The number of next steps",
        lowest=1,
        highest=16,
        label="Next steps to choose from",
        help_text="Step by step only: so many next steps are asked from the generator.",
    )
    overlap = CountField(
        "The overlap",
        lowest=1,
        highest=99,
        label="Overlap",
        help_text="How many people label each solution. With 1, every solution is labeled once.",
    )
    show_reference_answer = forms.BooleanField(
        required=False,
        label="Show the reference answer to labelers",
        help_text="With it, people see at once whether the final answer is right. Without it, they judge by the steps alone.",
    )
    text_kind = forms.ChoiceField(
        required=False,
        label="How texts are shown",
        choices=[("", "Decide when the first solutions are loaded"), ("plain", "Plain text"), ("markdown", "Markdown")],
        widget=forms.RadioSelect,
        help_text="Formulas are set in both.",
        error_messages={"invalid_choice": "Choose from the list how texts are shown."},
    )

    def clean(self) -> dict[str, Any]:
        """Put the columns in place of the choice that stands for them."""
        typed = super().clean() or self.cleaned_data
        if choice := typed.pop("collects", None):
            typed |= Collects(choice).columns()
        return typed

    @property
    def faults(self) -> list[str]:
        """Every sentence about what is wrong, each once, for the head of the page."""
        return list(dict.fromkeys(str(fault) for faults in self.errors.values() for fault in faults))


class NewProjectForm(ProjectForm):
    """A new project, with its address."""

    slug = forms.CharField(
        label="Address",
        help_text="Part of the address of its pages. It cannot be changed later.",
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "data-slug": ""}),
        error_messages={"required": "The address is empty. Write a short word, such as gsm8k."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, is_taken: Callable[[str], bool]) -> None:
        first = {"collects": Collects.SOLUTIONS, "completions_per_step": 4, "overlap": 1, "show_reference_answer": True, "text_kind": ""}
        super().__init__(data, auto_id="project-%s", label_suffix="", initial=first)
        self.is_taken = is_taken
        self.order_fields(["name", "slug"])

    def clean_slug(self) -> str:
        """Refuse an address that cannot be used, or that another project has."""
        slug: str = self.cleaned_data["slug"]
        if not SLUG.fullmatch(slug):
            raise forms.ValidationError("An address has 1 to 50 letters a to z, digits, - and _. Write it without spaces.")
        if self.is_taken(slug):
            raise forms.ValidationError(f"Another project has the address {slug}. Choose another one.")
        return slug
