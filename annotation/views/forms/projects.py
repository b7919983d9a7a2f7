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
    """User name, full name and a password, twice, of the person who sets up a site, and whether they want the demonstration."""

    full_name = forms.CharField(
        label="Full name",
        max_length=150,
        help_text="Others see it beside your work.",
        widget=forms.TextInput({"autocomplete": "name"}),
        error_messages={"required": "The full name is empty. Write your name.", "max_length": "A full name has at most 150 characters."},
    )

    demonstration = forms.BooleanField(
        required=False,
        label="Also make the demonstration project",
        help_text="Word problems and three made-up people, to look around. You own it, and can archive it later.",
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, offers_demonstration: bool = False) -> None:
        super().__init__(data, auto_id="owner-%s", label_suffix="")
        if not offers_demonstration:
            del self.fields["demonstration"]
        name, first, second = (self.fields[field] for field in ("username", "password1", "password2"))
        name.label, name.help_text = "User name", "You sign in with it. Letters, digits and @ . + - _"
        name.widget.attrs |= {"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        name.error_messages |= {"required": "The user name is empty. Choose one, such as olga.", "unique": "This user name is taken."}
        first.label, second.label, second.help_text = "Password", "Password, again", ""
        first.help_text = "At least 10 characters. It must not be a common password, or be like your name."
        first.error_messages["required"] = "The password is empty. Choose one with at least 10 characters."
        second.error_messages["required"] = "Write the password again."
        self.order_fields(["username", "full_name", "password1", "password2", "demonstration"])

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
        help_text="Step by step only: the generator is asked for this many next steps.",
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
    calculator = forms.BooleanField(
        required=False,
        label="Offer a calculator to labelers",
        help_text="A key opens it on the sum of the step in focus. It works with exact fractions.",
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
        first = {"collects": Collects.SOLUTIONS, "completions_per_step": 4, "overlap": 1, "text_kind": ""}
        first |= {"show_reference_answer": True, "calculator": True}
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


class PercentField(forms.FloatField):
    """A share of which people write the percentage. Its value is between 0 and 1."""

    def __init__(self, words: str, **options: Any) -> None:
        fault = f"{words} must be a number from 0 to 100."
        messages = dict.fromkeys(("required", "invalid", "min_value", "max_value"), fault)
        widget = forms.TextInput({"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(min_value=0, max_value=100, widget=widget, error_messages=messages, **options)

    def prepare_value(self, value: Any) -> Any:
        return f"{100 * value:.10g}" if isinstance(value, float) else value

    def clean(self, value: Any) -> float | None:
        percent: float | None = super().clean(value)
        return None if percent is None else percent / 100


class SettingsForm(ProjectForm):
    """The settings of a project that exists."""

    lease_minutes = CountField(
        "The time for one solution",
        lowest=1,
        highest=32_767,
        label="Time for one solution, in minutes",
        help_text="After this time without a sign of work, a solution goes to another person. Ratings that are there stay.",
    )
    gold_percent = CountField(
        "The share of gold",
        lowest=0,
        highest=100,
        label="Share of gold, in percent",
        help_text="For this share of a person’s solutions the first mistake is known. They measure quality and look like all others.",
    )
    screening_size = CountField(
        "The number of screening questions",
        lowest=0,
        highest=32_767,
        label="Screening questions",
        help_text="Newcomers answer this many before real work, if the project has a screening.",
    )
    qualify_rate = PercentField(
        "The share of right screening answers",
        label="Right screening answers, in percent",
        help_text="A newcomer with this share of right answers is admitted at once. A manager decides about the others.",
    )
    adjudications = forms.ChoiceField(
        label="Decisions of reviewers in an export",
        choices=[
            ("beside", "Beside the other labels of their solutions"),
            ("instead", "Instead of the other labels of their solutions"),
            ("without", "Not at all"),
        ],
        widget=forms.RadioSelect,
        help_text="Models always learn from the decision of a reviewer instead of the other labels.",
        error_messages={"required": "Choose what an export has.", "invalid_choice": "Choose what an export has from the list."},
    )
    accept_unreduced = forms.BooleanField(
        required=False,
        label="Accept fractions that are not in lowest terms",
        help_text="2/4 is correct where the answer is 1/2. Otherwise it is unsure.",
    )
    accept_percent = forms.BooleanField(
        required=False,
        label="Accept a percentage for its value",
        help_text="10% is correct where the answer is 0.1. Otherwise it is unsure.",
    )
    base_model = WordsField(
        "The base model",
        longest=500,
        example="Write tiny, smollm2, a folder or a hub id.",
        label="Base model",
        help_text="What new reward models start from: tiny, smollm2 (after script/base smollm2), a folder on the worker’s machine, "
        "or a hub id.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )
    frozen_base = forms.BooleanField(
        required=False,
        label="Keep the base frozen",
        help_text="Rounds train small heads on the states of the base. Each solution is read once, so later rounds are quick.",
    )
    batch_size = CountField(
        "The size of a round’s batch",
        lowest=1,
        highest=10_000,
        label="Solutions a round publishes",
        help_text="A round can be composed with another number.",
    )
    per_problem = CountField(
        "The limit per problem",
        lowest=1,
        highest=32_767,
        label="Most solutions of one problem",
        help_text="A round takes at most this many solutions of the same problem.",
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, values: Mapping[str, Any], lock: str) -> None:
        """Show the stored values, by column. `lock`: why the kind of labeling cannot change; empty: it can."""
        choice = Collects.of(step_source=values["step_source"], alternatives_after_error=values["alternatives_after_error"])
        super().__init__(data, auto_id="project-%s", label_suffix="", initial={**values, "collects": choice})
        collects, kind = self.fields["collects"], self.fields["text_kind"]
        assert isinstance(collects, forms.ChoiceField) and isinstance(kind, forms.ChoiceField)
        if lock:
            is_interactive = choice is Collects.INTERACTIVE
            collects.choices = [pair for pair in Collects.choices if (pair[0] == Collects.INTERACTIVE) == is_interactive]
            collects.help_text = lock
        if values["text_kind"]:
            kind.choices = list(kind.choices)[1:]  # type: ignore[arg-type]  # the loaded solutions have decided it

    def field_of(self, column: str) -> str:
        """Return the field that decides a column."""
        return column if column in self.fields else "collects"

    def clean(self) -> dict[str, Any]:
        """Return the columns. A value that differs from the stored one only in blanks or rounding is the stored one."""
        typed = super().clean()
        for column, value in typed.items():
            stored = self.initial.get(column)
            is_same = isinstance(value, str) and isinstance(stored, str) and _plain(value) == _plain(stored)
            if is_same or (isinstance(value, float) and isinstance(stored, float) and abs(value - stored) < 1e-9):
                typed[column] = stored
            elif isinstance(value, str):
                typed[column] = _plain(value)
        return typed


class RedundancyForm(forms.Form):
    """When one more person is asked for an opinion. An empty field switches its reason off."""

    redundancy_limit = CountField(
        "The most people for one solution",
        lowest=2,
        highest=99,
        required=False,
        label="Most people for one solution",
        help_text="With 3, a third person is asked if two contradict each other. Empty: nobody is asked, and only the overlap counts.",
    )
    redundancy_model = PercentField(
        "The certainty of the model",
        required=False,
        label="Ask a second person if the model contradicts the label and is at least this sure",
        help_text="The model is sure that there is a mistake, or that there is none. Empty: the model asks for nobody.",
    )
    redundancy_gold = PercentField(
        "The share of right answers on gold",
        required=False,
        label="Ask a second person if less than this share of the labeler’s answers on gold was right",
        help_text="Labelers with fewer than 10 answers on gold are not judged by it. Empty: gold asks for nobody.",
    )
    redundancy_spread = forms.FloatField(
        required=False,
        min_value=0,
        max_value=16,
        label="Ask a second person if the entropy of the first mistake is above this",
        help_text="0 bits: the consensus is certain after one label. 1 bit: two steps are equally likely. Empty: it asks for nobody.",
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), "The entropy must be a number of bits from 0 to 16."),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, values: Mapping[str, Any]) -> None:
        """Show the stored values, by column."""
        super().__init__(data, auto_id="redundancy-%s", label_suffix="", initial={name: values[name] for name in self.base_fields})

    def clean(self) -> dict[str, Any]:
        """Return the columns. A share that differs from the stored one only by rounding is the stored one."""
        typed = super().clean() or self.cleaned_data
        for column, value in typed.items():
            stored = self.initial.get(column)
            if isinstance(value, float) and isinstance(stored, float) and abs(value - stored) < 1e-9:
                typed[column] = stored
        return typed

    @property
    def faults(self) -> list[str]:
        """Every sentence about what is wrong, each once, for the head of the page."""
        return list(dict.fromkeys(str(fault) for faults in self.errors.values() for fault in faults))


class DeleteForm(forms.Form):
    """The name of a project, typed again before it is deleted."""

    name = forms.CharField(
        label="Name of the project",
        strip=False,
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Write the name of the project, as it stands above."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="delete-%s", label_suffix="")


def _plain(text: str) -> str:
    """Return a text without blanks at its ends, with the line breaks of Unix: a browser sends CRLF."""
    return text.replace("\r\n", "\n").strip()
