"""Stage: export. Reads Annotation and StepLabel; writes Snapshot, its manifest, and the files made of it."""

from annotation.export.checker import Report, check_prm800k, read_prm800k
from annotation.export.prm800k import export_prm800k, write_prm800k
from annotation.export.snapshots import Alternative, LabeledSteps, labeled_solutions, take_snapshot

__all__ = [
    "Alternative",
    "LabeledSteps",
    "Report",
    "check_prm800k",
    "export_prm800k",
    "labeled_solutions",
    "read_prm800k",
    "take_snapshot",
    "write_prm800k",
]
