"""Labels as the files that others train on: twelve formats, as JSON lines or Parquet.

Takes annotations as values (Labeled) and writes files. Knows no torch, no Django and no table. docs/datasets.md documents every format
field by field. trainer.formats reads most of them again.
"""

from trainer.writers.files import COMPRESSIONS, CONTAINERS, WrittenFile, suffix_of, write
from trainer.writers.label_studio import LABEL_STUDIO, LABELING_CONFIG
from trainer.writers.labeled import (
    BadContent,
    Labeled,
    LabeledAlternative,
    LabeledConsensus,
    content_schema,
    from_content,
    read_content,
    read_records,
)
from trainer.writers.losses import Losses
from trainer.writers.shapes import BadOption, Field, Option, OutRow, Writer
from trainer.writers.solutions import SOLUTIONS
from trainer.writers.stepwise import STEPWISE, marked_text, numbered_steps, turns
from trainer.writers.tables import TABLES
from trainer.writers.verdicts import by_consensus

_LISTED = (
    "prm800k",
    "trl",
    "openrlhf",
    "math_shepherd",
    "rlhflow",
    "processbench",
    "chat",
    "orm",
    "preferences",
    "labels",
    "consensus",
    "labelstudio",
)
_ALL = {writer.name: writer for writer in (*TABLES, *STEPWISE, *SOLUTIONS, *LABEL_STUDIO)}
WRITERS: dict[str, Writer] = {name: _ALL[name] for name in _LISTED}

__all__ = [
    "COMPRESSIONS",
    "CONTAINERS",
    "LABELING_CONFIG",
    "WRITERS",
    "BadContent",
    "BadOption",
    "Field",
    "Labeled",
    "LabeledAlternative",
    "Losses",
    "Option",
    "OutRow",
    "LabeledConsensus",
    "WrittenFile",
    "Writer",
    "by_consensus",
    "content_schema",
    "from_content",
    "marked_text",
    "numbered_steps",
    "read_content",
    "read_records",
    "suffix_of",
    "turns",
    "write",
]
