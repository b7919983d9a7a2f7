"""Files of problems, solutions and labels, in public formats. One reader per format serves the site and the command line.

Reads files within limits. Returns NewProblem and NewSolution values. Knows no torch, no Django and no table. docs/formats.md documents
every format field by field.
"""

from typing import TYPE_CHECKING

from trainer.later import load_later

if TYPE_CHECKING:
    from trainer.formats.blocks import Block, NotDivided, count_blocks, has_blocks, objects_in, read_blocks
    from trainer.formats.containers import read_lines
    from trainer.formats.cutting import choose_steps_by, cut_solution, has_texts
    from trainer.formats.detection import FORMATS, Detected, Format, detect_format, fitting_formats, looks_like_labels, refuse_unread_labels
    from trainer.formats.fields import as_number, as_rating, as_whole, read_list
    from trainer.formats.items import with_items
    from trainer.formats.json_objects import read_object
    from trainer.formats.mapping import LabelMapping, read_mapping
    from trainer.formats.markup import looks_like_markdown
    from trainer.formats.objects import Cell, Fields, Numeral, left_out_in_words, unused_in_words, unused_keys
    from trainer.formats.published import MARK, STEP_END, is_parted
    from trainer.formats.values import (
        FILE_MEGABYTES,
        FINISHES,
        STEP_CHARACTERS,
        STEPS,
        BadFile,
        BadLine,
        BadText,
        Finish,
        Item,
        NewAlternative,
        NewAnnotation,
        NewLabel,
        NewProblem,
        NewSolution,
        Progress,
        check_problem,
        check_solution,
        clean_text,
        in_words,
        place_in_words,
    )
else:
    __getattr__ = load_later(__name__)  # each name is loaded when it is used

__all__ = [
    "FILE_MEGABYTES",
    "FINISHES",
    "MARK",
    "FORMATS",
    "STEPS",
    "STEP_END",
    "STEP_CHARACTERS",
    "BadFile",
    "BadLine",
    "BadText",
    "Block",
    "Cell",
    "Detected",
    "Fields",
    "Finish",
    "Format",
    "Item",
    "LabelMapping",
    "NewAlternative",
    "NewAnnotation",
    "NewLabel",
    "NewProblem",
    "NewSolution",
    "NotDivided",
    "Numeral",
    "Progress",
    "as_number",
    "as_rating",
    "as_whole",
    "check_problem",
    "check_solution",
    "choose_steps_by",
    "count_blocks",
    "clean_text",
    "in_words",
    "cut_solution",
    "detect_format",
    "fitting_formats",
    "has_blocks",
    "has_texts",
    "is_parted",
    "left_out_in_words",
    "looks_like_labels",
    "looks_like_markdown",
    "objects_in",
    "place_in_words",
    "read_blocks",
    "read_lines",
    "read_list",
    "read_mapping",
    "read_object",
    "refuse_unread_labels",
    "unused_in_words",
    "unused_keys",
    "with_items",
]
