"""Stage: export. Reads Annotation and StepLabel. Writes Snapshot, its list of annotations, and the exported files.

Also long work: DataOrder, what somebody asks a worker to take or to write (orders.py, fulfilling.py).
"""

from typing import TYPE_CHECKING

from trainer.later import load_later

if TYPE_CHECKING:
    from annotation.export.cards import CardFacts
    from annotation.export.checker import Report, check_prm800k, read_prm800k
    from annotation.export.datasets import (
        EmptySnapshot,
        NoSuchSnapshot,
        export_prm800k,
        export_snapshot,
        find_snapshot,
        take_dataset,
        take_snapshot,
        write_prm800k,
    )
    from annotation.export.differences import NotComparable, SnapshotDifference, changed_since, compare_snapshots
    from annotation.export.filters import BadFilter, SnapshotFilter
    from annotation.export.folders import FORMATS as FOLDER_FORMATS
    from annotation.export.folders import BadFolder, DatasetFolder, check_dataset_folder, write_dataset_folder
    from annotation.export.fulfilling import run_order
    from annotation.export.orders import (
        FOLDER,
        KEPT_BYTES,
        KEPT_ORDERS,
        MAX_FILES,
        ExportChoice,
        ExportFile,
        FolderChoice,
        NoSuchOrder,
        OrderRefused,
        cancel_order,
        card_of,
        delete_files,
        find_file,
        find_order,
        offer_abandoned_orders,
        order_export,
        order_snapshot,
        orders_of,
        sweep_orders,
    )
    from annotation.export.previews import (
        PREVIEW_SECONDS,
        FilterChoices,
        ListedSnapshot,
        SnapshotPreview,
        TooLarge,
        filter_choices,
        listed_snapshots,
        other_snapshots,
        preview_snapshot,
        taken_by,
    )
    from annotation.export.pushing import PushFailed, push_dataset_folder
    from annotation.export.reading import (
        AnnotationRow,
        LabelRow,
        NoSuchAnnotation,
        annotation_rows,
        annotations_of,
        find_annotation_row,
        shown,
        snapshot_row,
        snapshot_rows,
        snapshots_of,
    )
    from annotation.export.sending import DownloadGone, send_file
    from annotation.export.snapshots import Alternative, ContentDamaged, ContentMissing, LabeledSteps, labeled_solutions
    from annotation.export.splits import BadSplitRule, SplitRule
    from annotation.export.wording import CONTAINERS as CONTAINER_WORDS
    from annotation.export.wording import ENDS, choice_in_words, filter_in_words
    from trainer.files import OutputRefused
    from trainer.writers import BadOption
else:
    __getattr__ = load_later(__name__)  # each name is loaded when it is used

__all__ = [
    "CONTAINER_WORDS",
    "ENDS",
    "PREVIEW_SECONDS",
    "BadOption",
    "FilterChoices",
    "card_of",
    "filter_choices",
    "other_snapshots",
    "FOLDER",
    "FolderChoice",
    "ListedSnapshot",
    "SnapshotPreview",
    "TooLarge",
    "choice_in_words",
    "filter_in_words",
    "listed_snapshots",
    "preview_snapshot",
    "taken_by",
    "ExportChoice",
    "ExportFile",
    "NoSuchOrder",
    "OrderRefused",
    "cancel_order",
    "delete_files",
    "find_file",
    "find_order",
    "offer_abandoned_orders",
    "order_export",
    "order_snapshot",
    "orders_of",
    "run_order",
    "sweep_orders",
    "FOLDER_FORMATS",
    "DownloadGone",
    "send_file",
    "BadFolder",
    "CardFacts",
    "DatasetFolder",
    "PushFailed",
    "check_dataset_folder",
    "push_dataset_folder",
    "write_dataset_folder",
    "AnnotationRow",
    "LabelRow",
    "annotation_rows",
    "find_annotation_row",
    "snapshot_row",
    "snapshot_rows",
    "KEPT_BYTES",
    "KEPT_ORDERS",
    "MAX_FILES",
    "Alternative",
    "BadFilter",
    "BadSplitRule",
    "ContentDamaged",
    "ContentMissing",
    "SnapshotDifference",
    "EmptySnapshot",
    "LabeledSteps",
    "NoSuchAnnotation",
    "NoSuchSnapshot",
    "NotComparable",
    "OutputRefused",
    "Report",
    "SnapshotFilter",
    "SplitRule",
    "annotations_of",
    "changed_since",
    "check_prm800k",
    "compare_snapshots",
    "export_prm800k",
    "export_snapshot",
    "find_snapshot",
    "labeled_solutions",
    "read_prm800k",
    "shown",
    "snapshots_of",
    "take_dataset",
    "take_snapshot",
    "write_prm800k",
]
