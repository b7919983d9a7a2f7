"""The labels of a project as rows: one for each rated step."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stepmark_client.frames import table
from stepmark_client.generated.models.annotation import Annotation
from stepmark_client.lists import Listing

if TYPE_CHECKING:
    import pandas

# What each row repeats of its annotation, then the label itself, with the type of the column in a table.
OF_ANNOTATION = {
    "solution": "int64", "problem": "int64", "labeler": "string", "batch": "int64", "generation": "Int64", "batch_kind": "string",
    "revision": "int64", "supersedes": "Int64", "finish_reason": "string", "first_mistake": "Int64", "guidelines_version": "Int64",
    "mark": "string", "created_at": "datetime64[us, UTC]",
}  # fmt: skip
OF_LABEL = {
    "step": "int64", "position": "int64", "rating": "Int8", "flagged": "boolean", "chosen": "bool", "ms": "Int64", "text": "string",
}  # fmt: skip
COLUMNS = {"annotation": "int64", **OF_ANNOTATION, **OF_LABEL}


class Labels:
    """The labels of all annotations of a project, under pseudonyms.

    All revisions are here. `mark` says why an annotation does not count for every use; where it is empty, it does.
    """

    def __init__(self, annotations: Listing[Annotation]) -> None:
        self._annotations = annotations

    def iterate(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Return a row for each label, in the order of annotations and steps. Filters: `batch`, `solution`."""
        for annotation in self._annotations.iterate(**filters):
            whole = {"annotation": annotation.id, **{name: getattr(annotation, name) for name in OF_ANNOTATION}}
            whole["labeler"] = None if annotation.labeler is None else str(annotation.labeler)
            for label in annotation.labels:
                yield whole | {name: getattr(label, name) for name in OF_LABEL}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.iterate()

    def to_pandas(self, **filters: Any) -> "pandas.DataFrame":
        """Return the labels as a table. `labels[labels["mark"] == ""]` are those that count for every use. Raises PandasMissing."""
        return table(self.iterate(**filters), COLUMNS)
