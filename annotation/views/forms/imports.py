"""The forms of the imports: the file to upload, and how it is read."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict

from annotation import imports, ingest

STEPS_BY = {
    ingest.AUTO: "choose for the whole file",
    "lines": "each line is a step",
    "paragraphs": "blank lines between steps",
    "numbered": "numbers, such as “Step 3:” or “3.”",
    "sentences": "each sentence is a step",
}
LABELS = {"annotations": "annotations of the people in the file", "gold": "gold, by which labelers are checked"}


class UploadForm(forms.Form):
    """A file of problems, solutions or labels."""

    file = forms.FileField(
        label="File",
        widget=forms.ClearableFileInput({"accept": ".json,.jsonl,.csv,.tsv,.parquet,.gz"}),
        error_messages={"required": "Choose a file.", "empty": "The file is empty. Choose another file."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, files: MultiValueDict[str, UploadedFile] | None = None) -> None:
        super().__init__(data, files, auto_id="upload-%s", label_suffix="")


class ReadingForm(forms.Form):
    """How a file is read. `token` names the state of the import that the person saw."""

    token = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    format = forms.ChoiceField(required=False, label="Format", choices=[("", "recognize it"), *((name, name) for name in ingest.FORMATS)])
    steps_by = forms.ChoiceField(label="Cut texts into steps by", choices=list(STEPS_BY.items()))
    allow_broken = forms.BooleanField(required=False, label="Allow more than 1 % broken steps")
    labels = forms.ChoiceField(label="Labels in the file become", choices=list(LABELS.items()))
    split = forms.ChoiceField(
        required=False,
        label="Problems belong to",
        choices=[("", "the split that the file names"), ("train", "train"), ("test", "test: they are never labeled")],
    )
    source = forms.CharField(required=False, max_length=200, label="Name of the generator, if the file does not give it")
    mapping = forms.CharField(
        required=False,
        max_length=2_000,
        label="Names in the file, of Label Studio or Potato: NAME=VALUE, one a line",
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, token: int, options: imports.Options) -> None:
        initial = {name: getattr(options, name) for name in ("format", "steps_by", "allow_broken", "labels", "split", "source", "mapping")}
        super().__init__(data, auto_id="reading-%s", label_suffix="", initial={**initial, "token": token})

    def clean_mapping(self) -> str:
        """Return the lines, or say what is wrong with them before a worker looks at the file."""
        mapping: str = self.cleaned_data["mapping"]
        try:
            ingest.read_mapping(mapping.splitlines())
        except ingest.BadFile as bad:
            raise forms.ValidationError(f"{bad.reason[0].upper()}{bad.reason[1:]}. {bad.remedy}.") from None
        return mapping

    @property
    def options(self) -> imports.Options:
        """The options that were chosen."""
        return imports.Options(**{name: value for name, value in self.cleaned_data.items() if name != "token"})
