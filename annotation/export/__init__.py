"""Stage: export. Reads Annotation and StepLabel. Writes Snapshot, its list of annotations, and the exported files.

Also long work: DataOrder, what somebody asks a worker to take or to write (orders.py, fulfilling.py).
"""

from annotation.export.cards import CardFacts
from annotation.export.checker import Report, check_prm800k, read_prm800k
from annotation.export.datasets import (
    EmptySnapshot,
    NoSuchSnapshot,
    batches_described,
    export_prm800k,
    export_snapshot,
    find_snapshot,
    take_dataset,
    take_snapshot,
    write_prm800k,
)
from annotation.export.differences import NotComparable, SnapshotDifference, changed_since, compare_snapshots
from annotation.export.downloads import KEPT_BYTES, KEPT_FILES, write_download
from annotation.export.filters import BadFilter, SnapshotFilter
from annotation.export.folders import FORMATS as FOLDER_FORMATS
from annotation.export.folders import BadFolder, DatasetFolder, check_dataset_folder, write_dataset_folder
from annotation.export.fulfilling import run_order
from annotation.export.orders import (
    ExportChoice,
    ExportFile,
    NoSuchOrder,
    OrderRefused,
    cancel_order,
    delete_files,
    find_file,
    find_order,
    offer_abandoned_orders,
    order_export,
    order_snapshot,
    orders_of,
    sweep_orders,
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
from trainer.files import OutputRefused

__all__ = [
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
    "KEPT_FILES",
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
    "batches_described",
    "export_prm800k",
    "export_snapshot",
    "find_snapshot",
    "labeled_solutions",
    "read_prm800k",
    "shown",
    "snapshots_of",
    "take_dataset",
    "take_snapshot",
    "write_download",
    "write_prm800k",
]
