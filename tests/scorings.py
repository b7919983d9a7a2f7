"""A scoring and what befalls it: cut and killed at once, a worker that falls silent, somebody who reads meanwhile."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection

from active_learning import scoring
from active_learning.models import ModelState, ModelVersion, Score, ScoreShard
from active_learning.registry import load
from active_learning.scoring import partitions, shards
from annotation.models import Project
from tests.waiting import PATIENCE


def version_of(project: Project, home: Path, folder: Path, *, number: int = 1, **fields: Any) -> ModelVersion:
    artifact = f"models/{project.slug}/{number}"
    shutil.copytree(folder, home / artifact)
    return ModelVersion.objects.create(
        project=project, number=number, base="tiny", artifact=artifact, **{"state": ModelState.READY, "sha256": "0" * 64, **fields}
    )


def nothing(*_: Any, **__: Any) -> None: ...


def score(version: ModelVersion, progress: Callable[..., None] = nothing, fence: Callable[[], None] = nothing) -> None:
    scoring.score(version, progress=progress, fence=fence)


def rows(version: ModelVersion) -> list[tuple[Any, ...]]:
    return list(Score.objects.filter(model_version=version).order_by("solution_id").values_list(*partitions.COLUMNS.split(", ")))


def begun(version: ModelVersion) -> None:
    """Cut the shards and make the table, as a scoring does that is killed at once."""
    shards._cut(version, fence=nothing)


def silent(shard: ScoreShard) -> None:
    """Let the shard's worker have been silent for four minutes."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE active_learning_scoreshard SET heartbeat_at = now() - interval '4 minutes' WHERE id = %s", [shard.pk])


def run(shard: ScoreShard, version: ModelVersion) -> None:
    scoring.run_shard(shard, version=version, model=load(version))


@contextmanager
def reading() -> Iterator[None]:
    """Let somebody else read scores, in a transaction of their own that goes on."""
    begins, ends = threading.Event(), threading.Event()

    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT count(*) FROM active_learning_score")
            begins.set()
            ends.wait(PATIENCE)
            cursor.execute("COMMIT")
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    assert begins.wait(PATIENCE)
    try:
        yield
    finally:
        ends.set()
        reader.join()
