"""Stage: following. What the tables of rounds and models do when something happens in the labeling flow (annotation.happenings).

Writes RoundStage.log and ModelVersion.decision, deletes what is stored about a project, and reads Round. It imports tables alone: every
command of the site loads it.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from active_learning.models import (
    UNFINISHED,
    ModelState,
    ModelVersion,
    Round,
    RoundStage,
    Schedule,
    ScoreShard,
    Selection,
    StageName,
    StepScores,
)
from annotation import happenings
from annotation.models import Project

FOLDERS = ("models", "rounds", "scores", "samples")  # under STEPMARK_HOME, each with a folder for each project


def listen() -> None:
    """Follow the labeling flow from now on."""
    happenings.person_erased.connect(forget_name)
    happenings.project_deleted.connect(delete_rounds)
    happenings.batches_described.connect(describe_batches)


def forget_name(*, name: str, new_name: str, **_: object) -> None:
    """Write the new name of an erased person into the decisions that this person took, and into the logs of the rounds they published."""
    for version in ModelVersion.objects.filter(decision__by=name).only("decision"):
        version.decision["by"] = new_name
        version.save(update_fields=["decision"])
    before = f"{name} published "
    for stage in RoundStage.objects.filter(name=StageName.PUBLISH, log__0__1__startswith=before).only("log"):
        stage.log = [[at, message.replace(before, f"{new_name} published ", 1)] for at, message in stage.log]
        stage.save(update_fields=["log"])


def delete_rounds(*, project: Project, **_: object) -> None:
    """Delete what rounds and models have stored about a project. Raises CannotDelete: a round is unfinished, or a model is ready."""
    from annotation.projects import CannotDelete

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


def describe_batches(*, project: Project, batches: set[int], **_: object) -> dict[int, dict[str, Any]]:
    """Return for each batch that a round published the round, its strategy and seed, and the model that scored the solutions."""
    rounds = Round.objects.filter(project=project, batch__in=batches).select_related("model_version").order_by("pk")
    return {
        round_.batch_id: {
            "round": round_.number,
            "strategy": round_.strategy,
            "seed": round_.plan.get("seed", 0),
            "model": round_.model_version and round_.model_version.number,
            "model_kind": round_.model_version and round_.model_version.kind,
            "model_sha256": round_.model_version and round_.model_version.sha256,
        }
        for round_ in rounds
        if round_.batch_id is not None
    }
