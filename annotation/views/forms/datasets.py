"""The forms of the data sets: the filter of a snapshot, how an export is written, and what a data set folder says about itself."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django import forms
from django.http import QueryDict

from annotation import export
from trainer.writers import COMPRESSIONS, WRITERS
from trainer.writers import CONTAINERS as WRITER_CONTAINERS

ANY = ("", "any")
LINES = {"rows": 2, "spellcheck": "false"}
LABELS = {  # of formats; another one shows its name
    "prm800k": "PRM800K",
    "trl": "TRL",
    "openrlhf": "OpenRLHF",
    "math_shepherd": "Math-Shepherd",
    "rlhflow": "RLHFlow",
    "processbench": "ProcessBench",
    "chat": "Chat with step tokens",
    "orm": "Outcomes",
    "preferences": "Preference pairs",
    "labelstudio": "Label Studio",
    "labels": "Table of labels",
    "consensus": "Consensus with probabilities",
}
CONTAINERS = {name: export.CONTAINER_WORDS[name] for name in WRITER_CONTAINERS}

MOST = 2**53 - 1  # which every program reads as it is
FORMATS = [(name, LABELS.get(name, name)) for name in WRITERS]


class AnyChoices(forms.MultipleChoiceField):
    """Some of the choices, or others: the filter says what a project does not have."""

    def valid_value(self, value: str) -> bool:
        return True


class SnapshotForm(forms.Form):
    """Which labels a snapshot lists. The names of the fields are those of export.SnapshotFilter."""

    splits = forms.ChoiceField(
        label="Problems", required=False, choices=[("train", "of the training split"), ("test", "of the test split"), ("all", "of both")]
    )
    generations = AnyChoices(required=False, label="Generations", help_text="Choose none for all. Ctrl or Space chooses several.")
    batches = AnyChoices(required=False, label="Batches", help_text="Choose none for all.")
    since = forms.CharField(required=False, label="Submitted from this day on (UTC)", widget=forms.DateInput({"type": "date"}))
    until = forms.CharField(required=False, label="Submitted before this day (UTC)", widget=forms.DateInput({"type": "date"}))
    finish_reasons = forms.MultipleChoiceField(
        required=False, label="How the labeler ended", choices=list(export.ENDS.items()), widget=forms.CheckboxSelectMultiple
    )
    people = forms.CharField(
        required=False,
        label="People",
        widget=forms.Textarea(LINES),
        help_text="Pseudonyms as exports show them in the field labeler, one in a line. The preview shows some.",
    )
    sources = forms.CharField(
        required=False,
        label="Generators that wrote the solutions",
        widget=forms.Textarea(LINES),
        help_text="Names as the field source shows them, one in a line.",
    )
    agreement = forms.ChoiceField(
        required=False,
        label="Agreement on the first mistake",
        choices=[ANY, ("agree", "at least two people agree, and nobody differs"), ("disagree", "people differ")],
    )
    min_labels = forms.CharField(
        required=False,
        label="At least so many people judged the solution to the end",
        widget=forms.TextInput({"inputmode": "numeric", "autocomplete": "off"}),
    )
    review = forms.ChoiceField(
        required=False, label="Review", choices=[ANY, ("reviewed", "a reviewer decided"), ("not-reviewed", "no reviewer decided")]
    )
    labels = forms.ChoiceField(
        required=False,
        label="Labels of a solution",
        choices=[("each", "those of each person"), ("consensus", "one: what the consensus says")],
    )
    adjudications = forms.ChoiceField(
        required=False,
        label="Decisions of reviewers",
        choices=[
            ("", "as the settings say"),
            ("beside", "beside other labels"),
            ("instead", "instead of other labels"),
            ("without", "left out"),
        ],
    )
    quarantined = forms.BooleanField(required=False, label="With the labels of people in quarantine")
    without_newcomers = forms.BooleanField(required=False, label="Without the screening answers of people who are not admitted")

    def __init__(self, data: QueryDict | None = None, *, generations: Sequence[int], batches: Sequence[tuple[int, str]]) -> None:
        super().__init__(data, auto_id="snapshot-%s", label_suffix="")
        for name, choices in (
            ("generations", [(number, "the screening" if number == -1 else str(number)) for number in generations]),
            ("batches", batches),
        ):
            field = self.fields[name]
            assert isinstance(field, AnyChoices)
            field.choices = choices
            field.widget.attrs["size"] = min(5, max(2, len(choices)))

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or self.cleaned_data
        splits = {"test": ["test"], "all": ["train", "test"]}.get(typed.get("splits", ""), ["train"])
        spec: dict[str, Any] = {"splits": splits, "newcomers": not typed.get("without_newcomers")}
        for name in ("generations", "batches"):
            spec[name] = [_number(text) for text in typed.get(name, ())]
        for name in ("people", "sources"):
            spec[name] = [line.strip() for line in typed.get(name, "").splitlines() if line.strip()]
        for name in ("since", "until", "agreement", "review", "adjudications"):
            spec[name] = typed.get(name) or None
        spec |= {"finish_reasons": typed.get("finish_reasons", []), "quarantined": bool(typed.get("quarantined"))}
        spec |= {"min_labels": _number(typed["min_labels"]) if typed.get("min_labels") else None, "labels": typed.get("labels") or "each"}
        try:
            self.chosen = export.SnapshotFilter.from_spec(spec)
        except export.BadFilter as bad:
            self.refuse(bad)
        return typed

    def refuse(self, bad: export.BadFilter) -> None:
        """Say at its field why a filter cannot be applied."""
        value = "" if bad.value in ("", None) else f"{str(bad.value)[:60]}: "
        self.add_error(bad.field if bad.field in self.fields else None, f"{value}{bad.reason}. {bad.remedy}.")

    @property
    def typed(self) -> list[tuple[str, str]]:
        """What was typed, as names and values."""
        assert isinstance(self.data, QueryDict)
        return [(name, value) for name in self.fields for value in self.data.getlist(name) if value]


def _number(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?\d{1,12}", text.strip()) else text


class FormatChoice(NamedTuple):
    """A format to choose, with the fields of its options."""

    name: str
    label: str
    title: str
    is_chosen: bool
    options: list[forms.BoundField]


class DividedForm(forms.Form):
    """How problems are divided into training, validation and test: percents, or not at all."""

    divided = forms.BooleanField(required=False, label="Divide by problems into training, validation and test")
    train = forms.FloatField(label="Training, %", initial=90, required=False)
    valid = forms.FloatField(label="Validation, %", initial=5, required=False)
    test = forms.FloatField(label="Test, %", initial=5, required=False)
    seed = forms.IntegerField(label="Seed", initial=0, required=False, min_value=0, max_value=2**31 - 1)

    def __init__(self, data: Mapping[str, Any] | None = None, *, prefix: str, initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, auto_id=f"{prefix}-%s", label_suffix="", initial=dict(initial or {}))
        for name in ("train", "valid", "test", "seed"):
            self.fields[name].widget = forms.TextInput({"inputmode": "decimal", "autocomplete": "off"})

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or self.cleaned_data
        self.rule: export.SplitRule | None = None
        if typed.get("divided") and not self.errors:
            shares = {part: (typed[part] or 0) / 100 for part in ("train", "valid", "test")}
            try:
                self.rule = export.SplitRule(**shares, seed=typed["seed"] or 0)
            except export.BadSplitRule:
                self.add_error("train", "The three shares must be 100 in sum, and each a number from 0 to 100.")
        return typed

    @property
    def shares(self) -> Iterator[forms.BoundField]:
        """The fields that count if the data set is divided."""
        return (self[name] for name in ("train", "valid", "test", "seed"))


class FormatsForm(DividedForm):
    """Formats to choose, each with its options: a field for each option that has a choice, FORMAT.NAME."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, prefix: str, initial: Mapping[str, Any]) -> None:
        super().__init__(data, prefix=prefix, initial=initial)
        for writer in WRITERS.values():
            for option in writer.options:
                if len(option.meanings) > 1:
                    self.fields[f"{writer.name}.{option.name}"] = forms.ChoiceField(
                        label=option.name.capitalize(), required=False, choices=list(option.meanings.items())
                    )

    def options_of(self, name: str) -> dict[str, str]:
        """Return the options that were chosen for a format."""
        return {key.partition(".")[2]: value for key, value in self.cleaned_data.items() if key.startswith(f"{name}.") and value}

    def listed(self, chosen: Collection[str]) -> Iterator[FormatChoice]:
        """Yield the formats with their options, in their order. `chosen`: those that are chosen."""
        for name, writer in WRITERS.items():
            options = [self[key] for key in self.fields if key.startswith(f"{name}.")]
            yield FormatChoice(name, LABELS.get(name, name), writer.title, name in chosen, options)


class ExportForm(FormatsForm):
    """The format of an export with its options, and the kind of file."""

    format = forms.ChoiceField(label="Format", choices=FORMATS, error_messages={"required": "Choose a format."})
    container = forms.ChoiceField(label="Kind of file", choices=list(CONTAINERS.items()))
    compression = forms.ChoiceField(label="Compression", choices=[(name, name) for name in COMPRESSIONS])
    several = forms.BooleanField(required=False, label="Write several files that are smaller")
    max_records = forms.IntegerField(
        label="Rows in a file, at most",
        required=False,
        min_value=1,
        max_value=MOST,
        widget=forms.TextInput({"inputmode": "numeric", "autocomplete": "off"}),
    )
    max_megabytes = forms.FloatField(
        label="MB in a file, at most",
        required=False,
        min_value=0.001,
        max_value=MOST / 1_000_000,
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
        help_text="Of rows before packing. If you fill in both, a file ends at what it reaches first.",
    )

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, prefix="export", initial={"format": "prm800k"})

    def clean(self) -> dict[str, Any]:
        typed = super().clean()
        if typed.get("several") and not typed.get("max_records") and not typed.get("max_megabytes") and not self.errors:
            self.add_error("max_records", "Write how many rows or MB a file holds at most.")
        if not self.errors:
            records, size = (typed["max_records"], typed["max_megabytes"]) if typed.get("several") else (None, None)
            self.choice = export.ExportChoice(
                format=typed["format"],
                options=self.options_of(typed["format"]),
                container=typed["container"],
                compression=typed["compression"],
                rule=self.rule,
                max_records=records,
                max_bytes=round(size * 1_000_000) if size else None,
            )
        return typed

    @property
    def formats(self) -> Iterator[FormatChoice]:
        """The formats with their options."""
        return self.listed([self["format"].value()])


class FolderForm(FormatsForm):
    """What a data set folder says about itself, and its formats."""

    licence = forms.CharField(
        label="Licence of the labels",
        max_length=60,
        help_text="An identifier such as cc-by-4.0 or mit. Only you know it.",
        error_messages={"required": "Write the licence, such as cc-by-4.0."},
    )
    title = forms.CharField(label="Title", max_length=200, error_messages={"required": "Write a title."})
    language = forms.CharField(label="Language of the texts", max_length=3, error_messages={"required": "Write a code such as en."})
    formats = forms.MultipleChoiceField(
        label="Formats",
        choices=FORMATS,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one format."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, title: str) -> None:
        super().__init__(data, prefix="folder", initial={"title": title, "language": "en", "formats": list(export.FOLDER_FORMATS)})

    def clean(self) -> dict[str, Any]:
        typed = super().clean()
        if not self.errors:
            words = {name: typed[name].strip() for name in ("licence", "title", "language")}
            options = {name: self.options_of(name) for name in typed["formats"]}
            self.choice = export.FolderChoice(formats=tuple(typed["formats"]), options=options, rule=self.rule, **words)
        return typed

    @property
    def format_choices(self) -> Iterator[FormatChoice]:
        """The formats with their options."""
        return self.listed(self["formats"].value() or [])
