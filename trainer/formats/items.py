"""A file of items that another tool showed to people, for its files that have labels only."""

from dataclasses import replace
from pathlib import Path

from trainer.formats.containers import read_lines
from trainer.formats.fields import read_optional
from trainer.formats.json_objects import placed
from trainer.formats.mapping import LabelMapping
from trainer.formats.objects import Fields
from trainer.formats.values import FILE_MEGABYTES, BadLine, in_words

ID_KEYS = ("id", "instance_id")


def with_items(mapping: LabelMapping, path: Path, *, megabytes: int = FILE_MEGABYTES) -> LabelMapping:
    """Return a mapping with the items of a file, by their ids. All are held in memory. Raises BadFile."""
    items: dict[str, Fields] = {}
    for number, fields in read_lines(path, megabytes=megabytes):
        with placed(path, number):
            if (key := read_optional(fields, *ID_KEYS)) is None:
                raise BadLine("the item has no id", "Give each item the id by which its labels name it")
            if key in items:
                raise BadLine(f"the id {in_words(key)} occurs twice", "Give each item its own id")
            items[key] = fields
    return replace(mapping, items=items)
