"""Stage: queue. Solutions are published as batches of tasks (batches.py), whose seats are handed out one by one (leases.py)."""

from annotation.queue.batches import FOR_NEWCOMERS, MAX_BATCH, BadBatch, Chosen, close_batch, counts, has_batch, open_batch, withdraw
from annotation.queue.leases import (
    Claim,
    Lease,
    LeaseLost,
    NothingToLabel,
    NotQualified,
    Withdrawn,
    broken_rule,
    extend_lease,
    fence,
    go_on,
    is_gold_turn,
    lease_next,
    lease_reserved,
    lost,
    one_statement,
    release,
    release_expired,
    release_reserved,
    reserve_next,
)

__all__ = [
    "FOR_NEWCOMERS", "MAX_BATCH", "BadBatch", "Chosen", "Claim", "Lease", "LeaseLost", "NotQualified", "NothingToLabel", "Withdrawn",
    "broken_rule", "close_batch", "counts", "extend_lease", "fence", "go_on", "has_batch", "is_gold_turn", "lease_next", "lease_reserved",
    "lost", "one_statement", "open_batch", "release", "release_expired", "release_reserved", "reserve_next", "withdraw",
]  # fmt: skip
