"""A project's reward models: train a version on a snapshot, score every solution with it, keep its scores in a partition.

Reads snapshots and solutions; writes ModelVersion, Score and the folders under STEPMARK_HOME/models. The only place of the site that
calls `trainer`, and it imports it inside functions: the web process must never load torch. Knows no rounds: whoever runs a
version passes `say`, which hears of progress and may raise to stop, and `fence`, which must hold whenever something is written.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, F, Max, OuterRef, QuerySet
from django.db.models.functions import Now

from active_learning.models import UNFINISHED, ModelState, ModelVersion
from annotation import export
from annotation.models import Annotation, Project, Solution, Split
from trainer.config import BadBase, BadConfig, TrainConfig

if TYPE_CHECKING:
    from trainer.data import LabeledSolution
    from trainer.data import Solution as TrainerSolution
    from trainer.progress import Progress
    from trainer.score import RewardModel
    from trainer.train import TrainedModel

SCORE_CHUNK = 4096  # solutions scored and copied per transaction: what a killed run loses at most
UNLABELED = 20_000  # unlabeled solutions offered to the language-model stage

Say = Callable[[str, int, int | None, float | None], None]  # stage, done, total, seconds left
Fence = Callable[[], None]  # raises unless the caller still holds the run


class ModelUnusable(ValueError):
    """A model that cannot be trained or loaded for a reason a person can mend; the message says which."""


def readable_solutions(project: Project, **where: Any) -> QuerySet[Solution]:
    """Return the solutions a model of this project may read: of training problems, not withdrawn."""
    return Solution.objects.filter(problem__project=project, problem__split=Split.TRAIN, withdrawn_at__isnull=True, **where)


# --- training -----------------------------------------------------------------------------------------------------------------


def new_version(project: Project, *, base: str, seed: int) -> ModelVersion:
    """Take a snapshot of all labels and make the running version that will learn from it."""
    # A version left running by a round that has ended meanwhile must not block this one for ever.
    ModelVersion.objects.filter(project=project, state=ModelState.RUNNING).exclude(round__state__in=UNFINISHED).update(
        state=ModelState.FAILED, failure="Its round ended.", token=F("token") + 1
    )
    newest = ModelVersion.objects.filter(project=project).aggregate(newest=Max("number"))["newest"] or 0
    return ModelVersion.objects.create(
        project=project, number=newest + 1, base=base, seed=seed, snapshot=export.take_snapshot(project), code_version=code_version(),
        state=ModelState.RUNNING, token=1, attempt=1,
    )  # fmt: skip


def take_over(version: ModelVersion) -> bool:
    """Raise the token of a version whose worker was lost. False: it is not running any more."""
    taken = ModelVersion.objects.filter(pk=version.pk, state=ModelState.RUNNING).update(token=F("token") + 1, attempt=F("attempt") + 1)
    version.refresh_from_db()
    return bool(taken)


def train(version: ModelVersion, *, say: Say) -> "TrainedModel":
    """Train the version in a folder of this attempt; a second attempt goes on from the first one's checkpoint.

    Raises ModelUnusable with a sentence: too little to learn from, a base that is none, a loss that is no number, a full disk.
    """
    from trainer.data import BadLabels
    from trainer.train import DiskFull, LossNotFinite, TooLittleToLearn
    from trainer.train import train as train_model

    attempt = _attempt_folder(version)
    try:
        return train_model(
            _labeled(version), unlabeled=_unlabeled(version.project), config=TrainConfig.for_base(version.base, seed=version.seed),
            folder=attempt, checkpoint=_folder(version).with_name(f"{version.number}.checkpoint"), progress=_listener(say),
            provenance={"project": version.project.slug, "snapshot": str(version.snapshot.number), "code": version.code_version},
        )  # fmt: skip
    except (TooLittleToLearn, LossNotFinite, DiskFull, BadBase, BadConfig, BadLabels) as error:
        raise ModelUnusable(str(error)) from error
    finally:
        if not (attempt / "manifest.json").exists():  # written last: without it the folder is half a model
            shutil.rmtree(attempt, ignore_errors=True)


def publish(version: ModelVersion, trained: "TrainedModel") -> bool:
    """Make a trained version ready, and the champion. False, and nothing changed: somebody else runs it by now.

    Call it inside the transaction that holds the fence.
    """
    ModelVersion.objects.filter(project=version.project, kind=version.kind, champion=True).update(champion=False)
    published = ModelVersion.objects.filter(pk=version.pk, token=version.token, state=ModelState.RUNNING).update(
        state=ModelState.READY, champion=True, artifact=str(_folder(version).relative_to(settings.STEPMARK_HOME)), sha256=trained.sha256,
        metrics=trained.metrics, config=orjson.loads(trained.config.to_json()), ready_at=Now(), progress={},
    )  # fmt: skip
    if published:
        shutil.rmtree(_folder(version), ignore_errors=True)  # of an attempt that was lost between here and its commit
        trained.folder.rename(_folder(version))
        version.refresh_from_db()
    return bool(published)


def _folder(version: ModelVersion) -> Path:
    return Path(settings.STEPMARK_HOME) / "models" / version.project.slug / str(version.number)


def _attempt_folder(version: ModelVersion) -> Path:
    return _folder(version).with_name(f"{version.number}.attempt-{version.token}")


def _labeled(version: ModelVersion) -> Iterator["LabeledSolution"]:
    from trainer.data import Alternative, LabeledSolution

    for one in export.labeled_solutions(version.snapshot):
        yield LabeledSolution(
            _trainer_solution((one.solution_id, one.problem_id, one.problem, one.steps)),
            tuple(one.ratings),
            tuple(Alternative(step_index, text, rating) for step_index, text, rating in one.alternatives if rating is not None),
        )


def _unlabeled(project: Project) -> Iterator["TrainerSolution"]:
    """Yield solutions without labels, at most UNLABELED, for the language-model stage; the order of digests is as good as a draw."""
    labeled = Annotation.objects.filter(solution=OuterRef("pk"))
    rows = readable_solutions(project).filter(~Exists(labeled)).order_by("digest")[:UNLABELED]
    yield from map(_trainer_solution, rows.values_list("pk", "problem_id", "problem__statement", "steps").iterator())


def _trainer_solution(row: tuple[int, int, str, Iterable[str]]) -> "TrainerSolution":
    from trainer.data import Solution as TrainerSolution

    key, problem, statement, steps = row
    return TrainerSolution(str(key), str(problem), statement, tuple(steps))


def _listener(say: Say) -> Callable[["Progress"], None]:
    return lambda progress: say(progress.stage, progress.done, progress.total, progress.seconds_left)


# --- scoring ------------------------------------------------------------------------------------------------------------------


def score(version: ModelVersion, *, say: Say, fence: Fence) -> None:
    """Score every readable solution into the version's partition, from where a killed run stopped.

    Rows are copied into a table of their own, indexed, and attached when complete: readers never see half of it, nor wait.
    """
    project, table = version.project, partition(version)
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid FROM pg_inherits WHERE inhrelid = to_regclass(%s)", [table])
        if cursor.fetchone():
            return  # only a whole table is attached
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} (LIKE active_learning_score)")
        cursor.execute(f"SELECT coalesce(max(solution_id), 0) FROM {table}")
        last = cursor.fetchone()[0]
    total = readable_solutions(project).count()
    done = readable_solutions(project, pk__lte=last).count()
    model = load(version)
    while rows := _chunk(project, after=last):
        scored = list(_score_chunk(model, rows, say=say, done=done, total=total))
        with transaction.atomic(), connection.cursor() as cursor:
            fence()  # takes the row lock, so that nobody else copies the same chunk before this commit
            columns = "model_version_id, solution_id, problem_id, score, first_weak_step, outcome"
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in scored:
                    copy.write_row((version.pk, *row))
        last, done = rows[-1][0], done + len(rows)
    with transaction.atomic(), connection.cursor() as cursor:
        fence()
        cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (model_version_id, solution_id)")
        cursor.execute(f"CREATE INDEX ON {table} (problem_id, score DESC) WHERE outcome = 'wrong'")
        # The check spares ATTACH its search for rows of other versions.
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_version CHECK (model_version_id = {version.pk})")
        cursor.execute(f"ALTER TABLE active_learning_score ATTACH PARTITION {table} FOR VALUES IN ({version.pk})")
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_version")
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")


def step_scores(version: ModelVersion, solution_ids: list[int], *, say: Say) -> dict[int, list[float]]:
    """Return p(neutral) + p(positive) of each step of some solutions."""
    from trainer.score import score_solutions

    rows = readable_solutions(version.project, pk__in=solution_ids).values_list("pk", "problem_id", "problem__statement", "steps")
    scores = score_solutions(load(version), map(_trainer_solution, rows), progress=_listener(say))
    return {int(one.key): (1.0 - one.probabilities[:, 0]).astype(float).round(6).tolist() for one in scores}


def load(version: ModelVersion) -> "RewardModel":
    """Load a ready version's model. Raises ModelUnusable if its folder is gone or damaged."""
    from trainer.score import load_prm

    try:
        return load_prm(Path(settings.STEPMARK_HOME) / version.artifact)
    except (BadBase, OSError, ValueError) as error:
        raise ModelUnusable(f"Model {version.number} cannot be loaded: {error}") from error


def partition(version: ModelVersion) -> str:
    """Return the table that holds this version's scores."""
    return f"active_learning_score_{version.pk}"


def _chunk(project: Project, *, after: int) -> list[tuple[int, int, str, str, list[str]]]:
    rows = readable_solutions(project, pk__gt=after).order_by("pk")
    return list(rows.values_list("pk", "problem_id", "outcome", "problem__statement", "steps")[:SCORE_CHUNK])


def _score_chunk(
    model: "RewardModel", rows: list[Any], *, say: Say, done: int, total: int
) -> Iterator[tuple[int, int, float, int | None, str]]:
    from trainer.score import first_weak_step, score_solutions

    solutions = [_trainer_solution((key, problem, statement, steps)) for key, problem, _, statement, steps in rows]
    scores = score_solutions(model, solutions, progress=lambda progress: say("scoring", done + progress.done, total, None))
    for (key, problem, outcome, *_), one in zip(rows, scores, strict=True):
        yield key, problem, float(one.score), first_weak_step(one.probabilities, threshold=model.threshold), outcome


# --- what is said of a version ------------------------------------------------------------------------------------------------


def metrics_line(metrics: dict[str, Any]) -> str:
    """Say a version's held-out metrics in one line, the log-loss beside the base rate's."""
    mistake = metrics.get("first_mistake") or {}
    figures = [
        ("step AUC", metrics.get("step_auc"), ".3f"),
        ("first-error F1", mistake.get("f1") and 100 * mistake["f1"], ".1f"),
        ("log-loss", metrics.get("log_loss"), ".3f"),
        ("base rate's", metrics.get("base_rate_log_loss"), ".3f"),
    ]
    said = [f"{name} {value:{form}}" for name, value, form in figures if value is not None]
    return "held out: " + ", ".join(said) if said else "too few held-out labels for metrics"


def code_version() -> str:
    """Return the commit this code stands at, or nothing where there is no checkout."""
    try:
        git = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("STEPMARK_VERSION", "")
    return git.stdout.strip()
