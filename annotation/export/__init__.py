"""Stage: export. Reads Annotation and StepLabel. Writes Snapshot, its list of annotations, and the exported files."""

from annotation.export.checker import Report, check_prm800k, read_prm800k
from annotation.export.downloads import KEPT_BYTES, KEPT_FILES, write_download
from annotation.export.prm800k import export_prm800k, write_prm800k
from annotation.export.reading import NoSuchAnnotation, annotations_of, shown, snapshots_of
from annotation.export.snapshots import Alternative, LabeledSteps, labeled_solutions, take_snapshot
from trainer.files import OutputRefused

__all__ = [
    "KEPT_BYTES",
    "KEPT_FILES",
    "Alternative",
    "LabeledSteps",
    "NoSuchAnnotation",
    "OutputRefused",
    "Report",
    "annotations_of",
    "check_prm800k",
    "export_prm800k",
    "labeled_solutions",
    "read_prm800k",
    "shown",
    "snapshots_of",
    "take_snapshot",
    "write_download",
    "write_prm800k",
]
