"""What goes with a deleted project: its rounds, its versions that never got ready, its schedule, and its folders."""

import shutil
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction

from active_learning.models import UNFINISHED, ModelState, ModelVersion, Round, RoundStage, Schedule, ScoreShard, Selection, StepScores
from annotation.models import Project
from annotation.projects import CannotDelete

FOLDERS = ("models", "rounds", "scores", "samples")  # under STEPMARK_HOME, each with a folder for each project


def delete_rounds(*, project: Project, **_: object) -> None:
    """Delete what rounds and models have stored about a project. Raises CannotDelete: a round is unfinished, or a model is ready."""
    if Round.objects.filter(project=project, state__in=UNFINISHED).exists():
        raise CannotDelete("A round of this project is not finished. Cancel it on the page of rounds first.")
    if ModelVersion.objects.filter(project=project, state=ModelState.READY).exists():
        raise CannotDelete("This project has a trained model, and models are never deleted. Archive it instead.")
    rounds, versions = Round.objects.filter(project=project), ModelVersion.objects.filter(project=project)
    Selection.objects.filter(round__in=rounds).delete()
    RoundStage.objects.filter(round__in=rounds).delete()
    rounds.delete()
    for table in (ScoreShard, StepScores):
        table._default_manager.filter(model_version__in=versions).delete()
    versions.delete()
    Schedule.objects.filter(project=project).delete()
    for folder in FOLDERS:
        transaction.on_commit(partial(shutil.rmtree, Path(settings.STEPMARK_HOME) / folder / project.slug, ignore_errors=True))
