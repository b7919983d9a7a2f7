"""Stage: labels. A labeler's ratings: kept as a draft while they work, and stored once when they submit.

Reads the assignment that the labeler holds (queue) and the texts that were shown (completions). Writes Draft, Annotation, StepLabel,
the steps written by hand (StepAlternative) and the state of the assignment. A stored label never changes.
"""

from annotation.completions import LONGEST_WRITTEN, BadSubmission
from annotation.labels.adjudications import (
    READ,
    CannotAdjudicate,
    DecidedMeanwhile,
    adjudicate,
    decision_on,
    has_verdict_of,
    kept_ratings,
    labeled_by,
    why_no_reviewer,
    why_not,
)
from annotation.labels.reopening import (
    REOPEN_LAST,
    REOPEN_MINUTES,
    assignment_of,
    drafts_of,
    ratings_of,
    reopen,
    reopenable,
    sent_back_to,
)
from annotation.labels.rules import LONGEST_REASON, LONGEST_SKIP_REASON, Rating
from annotation.labels.sittings import (
    NothingToRevise,
    Subject,
    SubmissionConflict,
    keep_late,
    revise,
    save_draft,
    skip,
    subject_of,
    submit,
)

__all__ = [
    "LONGEST_REASON",
    "LONGEST_SKIP_REASON",
    "LONGEST_WRITTEN",
    "READ",
    "REOPEN_LAST",
    "REOPEN_MINUTES",
    "BadSubmission",
    "CannotAdjudicate",
    "DecidedMeanwhile",
    "NothingToRevise",
    "Rating",
    "Subject",
    "SubmissionConflict",
    "adjudicate",
    "assignment_of",
    "decision_on",
    "drafts_of",
    "has_verdict_of",
    "keep_late",
    "kept_ratings",
    "labeled_by",
    "ratings_of",
    "reopen",
    "reopenable",
    "revise",
    "save_draft",
    "sent_back_to",
    "skip",
    "subject_of",
    "submit",
    "why_no_reviewer",
    "why_not",
]
