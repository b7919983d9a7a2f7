from typing import Literal

ScoreJobsListState = Literal["cancelled", "done", "failed", "queued", "running"]

SCORE_JOBS_LIST_STATE_VALUES: set[ScoreJobsListState] = {
    "cancelled",
    "done",
    "failed",
    "queued",
    "running",
}


def check_score_jobs_list_state(value: str) -> ScoreJobsListState:
    if value in SCORE_JOBS_LIST_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SCORE_JOBS_LIST_STATE_VALUES!r}")
