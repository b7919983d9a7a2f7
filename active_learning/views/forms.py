"""The forms of the pages of rounds and of reviews. A form reads what was typed; the stage behind the view decides whether it can be
done.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import time
from typing import Any

from django import forms
from django.utils.text import capfirst

from active_learning import rounds, schedules
from active_learning.selection import CONVINCING, HALF_MIX, STRATEGIES, UNIFORM, Parts, without_floor
from annotation import quality, queue

LARGEST = 2_147_483_647  # what the columns hold
KEYS = range(1, 2**63)
WEIGHT = "weight-"


class SendBackForm(forms.Form):
    """Which reading goes back to its labeler, and the message."""

    reading = forms.TypedChoiceField(
        label="Reading",
        widget=forms.RadioSelect,
        error_messages={
            "required": "Choose the reading that goes back.",
            "invalid_choice": "This reading cannot be sent back: it was sent back before, or corrected. Look at the page again.",
        },
    )
    text = forms.CharField(
        label="Message to the labeler",
        widget=forms.Textarea({"rows": 3, "maxlength": 2_000}),
        error_messages={"required": "The message is empty. Write a few words."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, readers: Sequence[quality.SolutionReader]) -> None:
        first, annotation_of = readers[0].key if readers else None, {reader.key: reader.annotation_id for reader in readers}
        super().__init__(data, auto_id="send-back-%s", label_suffix="", initial={"reading": first})
        reading = self.fields["reading"]
        assert isinstance(reading, forms.TypedChoiceField)
        reading.coerce = annotation_of.__getitem__
        reading.choices = [(reader.key, f"Reader {reader.letter}: {reader.verdict}") for reader in readers]


class ReviewedGoldForm(forms.Form):
    """Which steps gold accepts as the first mistake: among those that somebody named. And the note."""

    note = forms.CharField(required=False, label="Note, which practice shows after the answer", widget=forms.Textarea({"rows": 2}))

    def __init__(self, data: Mapping[str, Any] | None = None, *, review: quality.Review) -> None:
        gold, own = review.gold, set() if review.first_mistake is None else {review.first_mistake}
        known = set(gold.acceptable_first_errors) if gold else set()
        named = {reader.first_mistake for reader in review.readers if reader.first_mistake is not None}
        reasons = [reader.reason for reader in review.readers if reader.reason and reader.first_mistake == review.first_mistake]
        note = gold.note if gold else next(iter(reasons), "")
        super().__init__(data, auto_id="gold-%s", label_suffix="", initial={"steps": sorted(known | own) if own else [], "note": note})
        self.fields["steps"] = forms.TypedMultipleChoiceField(
            required=False,
            coerce=int,
            label="Steps that may be called the first mistake",
            choices=[(step, f"Step {step + 1}") for step in sorted(known | own | named)],
            widget=forms.CheckboxSelectMultiple,
            error_messages={"invalid_choice": "Nobody named this step as the first mistake. Load the page again, and use its boxes."},
        )
        self.order_fields(["steps", "note"])


def _text(**attributes: str) -> forms.TextInput:
    return forms.TextInput({"autocomplete": "off", **attributes})


def faults_of(form: forms.BaseForm) -> list[str]:
    """Return every sentence about what is wrong in a form, each once."""
    return list(dict.fromkeys(str(fault) for faults in form.errors.values() for fault in faults))


def _weight(typed: Any) -> float:
    """Return a weight as it was typed; 0 for what is no weight."""
    try:
        weight = float(typed or 0)
    except ValueError:
        return 0.0
    return weight if math.isfinite(weight) and weight > 0 else 0.0


class WholeField(forms.IntegerField):
    """A whole number, or nothing. `words` begin the sentence about what is wrong with it."""

    def __init__(self, words: str, *, field_id: str, lowest: int = 0, highest: int = LARGEST, **options: Any) -> None:
        limits = {"min_value": f"{words} must be at least {lowest}.", "max_value": f"{words} must be at most {highest:,}."}
        messages = limits | options.pop("error_messages", {})
        widget = _text(id=field_id, inputmode="numeric")
        super().__init__(min_value=lowest, max_value=highest, widget=widget, error_messages=messages, **({"required": False} | options))
        self.words = words

    def to_python(self, value: Any) -> int | None:
        try:
            return super().to_python(value)
        except forms.ValidationError:
            raise forms.ValidationError(f"{self.words} must be a whole number, not “{value}”.") from None


class TimeOfDayField(forms.TimeField):
    """A time of day in UTC, such as 03:30, or nothing."""

    def to_python(self, value: Any) -> time | None:
        if value in self.empty_values:
            return None
        try:
            return schedules.read_time(str(value))
        except schedules.BadSchedule as fault:
            raise forms.ValidationError(str(fault)) from None


class WeightField(forms.FloatField):
    """The share of one strategy: a number of at least 0, or nothing."""

    def __init__(self, name: str) -> None:
        strategy = STRATEGIES[name]
        help_text = f"{capfirst(strategy.picks)}. {strategy.note}".strip()
        widget = _text(id=f"{WEIGHT}{name}", inputmode="decimal")
        super().__init__(required=False, label=strategy.label, help_text=help_text, widget=widget)

    def clean(self, value: Any) -> float:
        fault = forms.ValidationError(f"The weight of “{self.label}” must be a number of at least 0, not “{value}”.")
        try:
            weight = super().clean(value) or 0.0
        except forms.ValidationError:
            raise fault from None
        if weight < 0:
            raise fault
        return weight


class RecipeForm(forms.Form):
    """A recipe, and the new solutions that are drawn before the choice."""

    size = WholeField(
        "The number of solutions",
        field_id="size",
        lowest=1,
        highest=queue.MAX_BATCH,
        required=True,
        label="Solutions",
        help_text="The size of the batch, up to 10,000.",
        error_messages={
            "required": "Enter the number of solutions: at least 1.",
            "max_value": "A batch holds up to 10,000 solutions, not %(show_value)s.",
        },
    )
    per_problem = WholeField(
        "The limit per problem",
        field_id="per-problem",
        lowest=1,
        label="Max. per problem",
        help_text="Blank: no limit. The best solutions of all problems together are taken.",
    )
    is_diverse = forms.BooleanField(
        required=False, label="Diverse", help_text="Of solutions with the same steps up to the first doubtful one, only the first is taken."
    )
    is_stratified = forms.BooleanField(
        required=False, label="Stratified", help_text="Subjects and levels have the same shares as among all candidates."
    )
    n = WholeField(
        "The number of new solutions",
        field_id="new-solutions",
        label="New per problem",
        help_text="They are drawn, graded and scored before the choice. Blank: none.",
    )
    model = forms.CharField(
        required=False,
        label="Drawn from",
        help_text="smollm2 (after script/base smollm2), a model folder on the worker’s machine, or a hub id.",
        widget=_text(id="generator", spellcheck="false"),
    )
    learns = forms.ChoiceField(
        required=False,
        choices=rounds.Labels.choices,
        initial=rounds.Labels.EACH,
        label="The model learns",
        help_text="Where several people labeled a solution. The consensus weighs each person by how well they see mistakes.",
        error_messages={"invalid_choice": "A model cannot learn from labels in the form “%(value)s”. Choose one of the list."},
        widget=forms.Select({"id": "learns"}),
    )
    budget = WholeField("The budget", field_id="budget", label="Max. tokens", help_text="Prompts are included. Blank: no limit.")

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, recipe: Mapping[str, Any], sample: Mapping[str, Any], **initial: Any
    ) -> None:
        """Show `recipe` and `sample` (settings as rows hold them) until something is typed."""
        weights = {f"{WEIGHT}{name}": f"{100 * weight:.10g}" for name, weight in recipe["parts"]}
        super().__init__(data, auto_id="%s", label_suffix="", initial={**recipe, **sample, **weights, **initial})
        for name in STRATEGIES:
            self.fields[f"{WEIGHT}{name}"] = WeightField(name)
        self.sample = sample

    @property
    def weights(self) -> list[forms.BoundField]:
        """The fields of the strategies."""
        return [self[f"{WEIGHT}{name}"] for name in STRATEGIES]

    def clean(self) -> dict[str, Any]:
        names = [name.removeprefix(WEIGHT) for name in self.data if name.startswith(WEIGHT)]
        for name in names:
            if name not in STRATEGIES:
                self.add_error(None, f"There is no strategy named {name}. Reload this page.")
        weights = [self.cleaned_data.get(f"{WEIGHT}{name}", 1.0) for name in STRATEGIES]  # a wrong one has its own fault
        if not any(weights):
            self.add_error(None, "Give at least one strategy a weight above 0.")
        if not {"n", "model", "budget"} & self.errors.keys() and self.sampling:
            try:
                rounds.checked_sampling(self.sampling)
            except rounds.RoundRefused as refused:
                self.add_error("model", str(refused))
        return self.cleaned_data

    @property
    def parts(self) -> Parts:
        """The strategies that have a weight above 0, in the order of the page. A weight is the typed percentage, divided by 100."""
        return tuple((name, weight / 100) for name in STRATEGIES if (weight := self.cleaned_data[f"{WEIGHT}{name}"]))

    @property
    def shares(self) -> list[tuple[str, int]]:
        """If the weights shown do not add up to 100: each strategy with its share of the batch, in percent, rounded."""
        shown = [(STRATEGIES[name].label, _weight(self[f"{WEIGHT}{name}"].value())) for name in STRATEGIES]
        whole = sum(weight for _, weight in shown)
        if not whole or math.isclose(whole, 100, abs_tol=1e-6):
            return []
        return [(label, round(100 * weight / whole)) for label, weight in shown if weight]

    @property
    def without_floor(self) -> str:
        """What the recipe shown lacks if no part of it is at random, in a sentence."""
        return without_floor(name for name in STRATEGIES if _weight(self[f"{WEIGHT}{name}"].value()))

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings of a recipe."""
        limits = {name: self.cleaned_data[name] for name in ("size", "per_problem", "is_diverse", "is_stratified")}
        return {"parts": self.parts, **limits}

    @property
    def sampling(self) -> dict[str, Any]:
        """The settings of sampling. Of the model that was set before, the other settings (its url, its temperature) stay."""
        n, model, budget = (self.cleaned_data[name] for name in ("n", "model", "budget"))
        if not n:
            return {}
        others = {name: value for name, value in self.sample.items() if name != "budget"} if self.sample.get("model") == model else {}
        return others | {"model": model, "n": n} | ({"budget": budget} if budget else {})

    @property
    def labels(self) -> str:
        """What the model learns of labels (models.Labels)."""
        return self.cleaned_data["learns"] or rounds.Labels.EACH

    @property
    def faults(self) -> list[str]:
        """Every sentence about what is wrong, for the head of the page."""
        return faults_of(self)


class ComposeForm(RecipeForm):
    """What a manager composes: a recipe, and whether a model is trained first."""

    train = forms.BooleanField(required=False, label="Train first", initial=True)

    @property
    def is_unfolded(self) -> bool:
        """Whether weights and limits are shown: one of them is wrong, or differs from the recipe that the form began with."""
        if self.errors.keys() - {"size", "train", "learns"}:
            return True
        weights = any(_weight(field.value()) != _weight(field.initial) for field in self.weights)
        limits = ("per_problem", "is_diverse", "is_stratified")
        return weights or bool(self["n"].value()) or any((self[name].value() or "") != self._began_with(name) for name in limits)

    def _began_with(self, name: str) -> Any:
        value = self.get_initial_for_field(self.fields[name], name) or ""
        return str(value) if self.is_bound and not isinstance(value, bool) else value


class ScheduleForm(RecipeForm):
    """When rounds start by themselves, and by which recipe."""

    is_on = forms.BooleanField(
        required=False,
        label="On",
        help_text="Whichever happens first starts a round, if there is a new label. It waits while another round is under way.",
    )
    every_labels = WholeField(
        "The number of new labels",
        field_id="every-labels",
        lowest=1,
        error_messages={"min_value": f"The number of new labels must be from 1 to {LARGEST:,}, not %(show_value)s."},
        label="After new labels",
        help_text="Steps rated since the last training. Blank: labels start no round.",
    )
    every_hours = WholeField(
        "The number of hours",
        field_id="every-hours",
        lowest=1,
        error_messages={"min_value": f"The number of hours must be from 1 to {LARGEST:,}, not %(show_value)s."},
        label="After hours",
        help_text="Since the last training began. Blank: hours start no round.",
    )
    daily_at = TimeOfDayField(
        required=False,
        label="Daily at (UTC)",
        help_text="In UTC, not in your own time zone. Blank: the time of day starts no round.",
        widget=forms.TimeInput({"type": "time", "id": "daily-at"}, format="%H:%M"),
    )

    def clean(self) -> dict[str, Any]:
        typed = super().clean()
        starts = ("every_labels", "every_hours", "daily_at")
        if typed.get("is_on") and not any(typed.get(name) for name in starts) and not any(name in self.errors for name in starts):
            self.add_error("is_on", schedules.NEVER)
        return typed


class StartForm(forms.Form):
    """The short way on the overview: one strategy or mix, a size, and whether a model is trained first, as the composer has them."""

    strategy = forms.ChoiceField(
        label="Select",
        choices=[(one.name, one.label) for one in (UNIFORM, HALF_MIX, CONVINCING)],
        error_messages={"invalid_choice": "There is no strategy named %(value)s here. Choose one from the list."},
    )
    train = forms.BooleanField(required=False, label="Train first", initial=True)
    size = forms.IntegerField(
        label="Size",
        min_value=1,
        max_value=10_000,
        error_messages={
            "required": "Enter the size of the batch: at least 1.",
            "invalid": "The size must be a whole number.",
            "min_value": "The size must be at least 1.",
            "max_value": "A batch holds up to 10,000 solutions.",
        },
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, size: int, strategy: str = UNIFORM.name, has_labels: bool = True) -> None:
        super().__init__(data, auto_id="start-%s", label_suffix="", initial={"size": size, "strategy": strategy, "train": has_labels})


class KeysOfSolutionsField(forms.Field):
    """Solutions that are ticked or carried along, by their keys. Its value is a set."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Iterable[str] | None) -> set[int]:
        try:
            keys = {int(key) for key in value or ()}
        except ValueError:
            raise forms.ValidationError("A solution that is left out is named by its number. Reload this page.") from None
        return {key for key in keys if key in KEYS}


class ProposalForm(forms.Form):
    """A page of a proposal: the solutions left out so far, and the page to show next."""

    drop = KeysOfSolutionsField(required=False)
    page = forms.IntegerField(required=False, min_value=1)
