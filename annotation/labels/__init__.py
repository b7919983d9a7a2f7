"""Stage: labels. What a person says about each step, kept while they work and stored once they submit.

Reads the assignment they hold (queue) and what was shown to them (completions); writes Draft, Annotation, StepLabel, the steps written by
hand (StepAlternative) and the assignment's end. Nothing stored is ever changed.
"""

from annotation.completions import LONGEST_WRITTEN, BadSubmission
from annotation.labels.reopening import REOPEN_LAST, REOPEN_MINUTES, assignment_of, reopen, reopenable
from annotation.labels.rules import LONGEST_REASON, LONGEST_SKIP_REASON, MAX_STEPS, Rating
from annotation.labels.sittings import NothingToRevise, SubmissionConflict, revise, save_draft, skip, submit

__all__ = [
    "LONGEST_REASON",
    "LONGEST_SKIP_REASON",
    "LONGEST_WRITTEN",
    "MAX_STEPS",
    "REOPEN_LAST",
    "REOPEN_MINUTES",
    "BadSubmission",
    "NothingToRevise",
    "Rating",
    "SubmissionConflict",
    "assignment_of",
    "reopen",
    "reopenable",
    "revise",
    "save_draft",
    "skip",
    "submit",
]
