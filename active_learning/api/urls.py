"""The addresses of the API in the loop. None has a slash at the end."""

from django.urls import path

from active_learning.api import jobs, loop
from annotation.api.urls import PROJECT

urlpatterns = [
    path(f"{PROJECT}/rounds", loop.RoundsView.as_view(), name="api-rounds"),
    path(f"{PROJECT}/rounds/<int:round_number>", loop.RoundView.as_view(), name="api-round"),
    path(f"{PROJECT}/rounds/<int:round_number>/cancel", loop.CancelRoundView.as_view(), name="api-cancel-round"),
    path(f"{PROJECT}/models", loop.ModelsView.as_view(), name="api-models"),
    path(f"{PROJECT}/models/<int:number>", loop.ModelView.as_view(), name="api-model"),
    path(f"{PROJECT}/models/<int:number>/scores", loop.ScoresView.as_view(), name="api-scores"),
    path(f"{PROJECT}/score-jobs", jobs.ScoreJobsView.as_view(), name="api-score-jobs"),
    path(f"{PROJECT}/score-jobs/<int:job_id>", jobs.ScoreJobView.as_view(), name="api-score-job"),
    path(f"{PROJECT}/score-jobs/<int:job_id>/scores", jobs.JobScoresView.as_view(), name="api-score-job-scores"),
    path(f"{PROJECT}/score-jobs/<int:job_id>/cancel", jobs.CancelJobView.as_view(), name="api-cancel-score-job"),
]
