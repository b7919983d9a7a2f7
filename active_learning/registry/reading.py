"""Model versions as values for programs, page by page in the order of their numbers. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from active_learning.models import ModelVersion
from active_learning.registry.serving import find
from annotation.models import Project


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model version. serves: whether it scores solutions now. snapshot: number of the one it learned from."""

    number: int
    kind: str
    state: str
    serves: bool
    base: str
    labels: str
    snapshot: int | None
    seed: int
    sha256: str
    code_version: str
    failure: str
    progress: dict[str, Any]
    metrics: dict[str, Any]
    config: dict[str, Any]
    created_at: datetime
    ready_at: datetime | None


def models_of(
    project: Project, *, after: int, limit: int, kind: str | None = None, state: str | None = None
) -> tuple[list[ModelRow], int | None]:
    """Return a page of the versions of a project after a number, and the number after which the next page begins (None at the end)."""
    filters = {name: value for name, value in (("kind", kind), ("state", state)) if value is not None}
    versions = ModelVersion.objects.filter(project=project, number__gt=after, **filters).select_related("snapshot")
    rows = list(versions.order_by("number")[: limit + 1])
    return [_row(row) for row in rows[:limit]], rows[limit - 1].number if len(rows) > limit else None


def model_row(project: Project, number: int) -> ModelRow:
    """Return a version of a project. Raises NoSuchVersion."""
    return _row(find(project, number))


def _row(version: ModelVersion) -> ModelRow:
    return ModelRow(
        number=version.number, kind=version.kind, state=version.state, serves=version.champion, base=version.base, labels=version.labels,
        snapshot=version.snapshot.number if version.snapshot else None, seed=version.seed, sha256=version.sha256,
        code_version=version.code_version, failure=version.failure, progress=version.progress, metrics=version.metrics,
        config=version.config, created_at=version.created_at, ready_at=version.ready_at,
    )  # fmt: skip
