"""Stage: scoring. A model version scores every solution that a round can choose from, on as many workers as there are.

Reads solutions and the model's folder; writes ScoreShard and Score. The scores of a version are a partition, attached when complete
(`partitions`), or a file once the version is old (`files`). `shards` divides the work; `figures` computes the scores of one solution;
`jobs` scores what a program sends. Imports the trainer inside functions. All it knows of rounds is whether one waits.
"""

from active_learning.scoring.figures import (
    first_doubted,
    first_mistake_entropy,
    first_mistake_margin,
    marks_of_champion,
    prefix_hash,
    step_scores,
)
from active_learning.scoring.files import ScoreFileDamaged, ScoresRefused, StoredScores, drop_old, drop_to_file, restore, stored
from active_learning.scoring.jobs import (
    MOST_SOLUTIONS,
    JobRow,
    JobScore,
    JobText,
    NoServingModel,
    NoSuchJob,
    ScoreJobRefused,
    UnknownSolutions,
    ask_for_scores,
    cancel_job,
    find_job,
    job_scores,
    jobs_of,
    offer_abandoned_jobs,
    run_job,
    sweep_jobs,
)
from active_learning.scoring.partitions import ScoringFailed, is_attached, partition
from active_learning.scoring.reading import ScoreRow, ScoresStoredAway, scores_of
from active_learning.scoring.shards import ShardLost, claim, help_score, release_abandoned, run_shard, score

__all__ = [
    "MOST_SOLUTIONS",
    "JobRow",
    "JobScore",
    "JobText",
    "NoServingModel",
    "NoSuchJob",
    "ScoreJobRefused",
    "UnknownSolutions",
    "ask_for_scores",
    "cancel_job",
    "find_job",
    "job_scores",
    "jobs_of",
    "offer_abandoned_jobs",
    "run_job",
    "sweep_jobs",
    "ScoreFileDamaged",
    "ScoreRow",
    "ScoresRefused",
    "ScoresStoredAway",
    "scores_of",
    "ScoringFailed",
    "ShardLost",
    "StoredScores",
    "claim",
    "drop_old",
    "drop_to_file",
    "first_doubted",
    "first_mistake_entropy",
    "first_mistake_margin",
    "help_score",
    "is_attached",
    "marks_of_champion",
    "partition",
    "prefix_hash",
    "release_abandoned",
    "restore",
    "run_shard",
    "score",
    "step_scores",
    "stored",
]
