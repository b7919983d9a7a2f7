"""Stage: scoring. What a model version says of every solution that a round may choose from, worked out by as many workers as there are.

Reads solutions and the model's folder; writes ScoreShard and Score: a version's scores are a partition, attached when whole (`partitions`),
or a file once the version is old (`files`). `shards` divides the work, `figures` is what one model says of one solution. Imports the
trainer inside functions. Knows no rounds, beyond whether one waits.
"""

from active_learning.scoring.figures import first_mistake_entropy, prefix_hash, step_scores
from active_learning.scoring.files import Kept, ScoreFileDamaged, ScoresRefused, drop_old, drop_to_file, kept, restore
from active_learning.scoring.partitions import ScoringFailed, partition
from active_learning.scoring.shards import ShardLost, claim, help_score, run_shard, score

__all__ = [
    "Kept",
    "ScoreFileDamaged",
    "ScoresRefused",
    "ScoringFailed",
    "ShardLost",
    "claim",
    "drop_old",
    "drop_to_file",
    "first_mistake_entropy",
    "help_score",
    "kept",
    "partition",
    "prefix_hash",
    "restore",
    "run_shard",
    "score",
    "step_scores",
]
