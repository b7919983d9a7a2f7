"""Describing: what selected the batches of a data set. A snapshot stores it. It tells readers of the data where the data comes from."""

from typing import Any

from active_learning.models import Round
from annotation.models import Project


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
