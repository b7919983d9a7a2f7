"""Training: train a version on a snapshot of the labels, write its folder, load it again.

Reads snapshots and solutions; writes ModelVersion and the folders under STEPMARK_HOME/models. Imports `trainer` inside functions: the web
process must never load torch. Knows no rounds: the caller passes `progress`, which may raise to stop the run, and `fence`, which raises
unless the caller still holds the run.
"""

import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, QuerySet
from django.db.models.functions import Now

from active_learning.models import UNFINISHED, Labels, ModelKind, ModelState, ModelVersion
from active_learning.registry.labels import NoConsensus, describe_labels, gold_noted, labeled, note_consensus
from annotation import eligibility, export
from annotation.eligibility import Use
from annotation.models import Annotation, Outcome, Project, SnapshotItem, Solution, Split
from trainer.cautions import cautions, pace_sentences
from trainer.config import TINY, BadBase, BadConfig, TinyShape, TrainConfig
from trainer.counting import counted
from trainer.files import OutputRefused
from trainer.naming import check_base

if TYPE_CHECKING:
    from trainer.data import GradedSolution, LabeledSolution, SolutionText
    from trainer.progress import Progress
    from trainer.score import RewardModel
    from trainer.train import TrainedModel

FEW = 100  # labels that are read first, to tell whether a model can learn
UNLABELED = 20_000  # unlabeled solutions offered to the language-model phase
GRADED = 100_000  # most graded solutions that an ORM learns from; the paper's had 100 a problem
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},  # the small model that ships with the product: `TrainConfig.for_base` knows its settings
    "quick": {  # a still smaller one, trained in seconds, that learns next to nothing: to see the loop go round
        "shape": TinyShape(layers=1, width=32, heads=2, feed_forward=64, merges=100),
        "epochs": 1,
        "language_model_epochs": 1,
        "language_model_solutions": 200,
    },
    "lora": {"lora_rank": 16, "gradient_checkpointing": True},  # adapters for a pretrained base that is too large to train whole
    "frozen": {"frozen": True},  # small heads on the states of a base that stays as it is; the states are kept for all versions
    "full": {},  # every weight of a pretrained base, with the paper's settings
}
OF_TINY = ("tiny", "quick")  # presets with a base of their own
LOADING = threading.Lock()  # transformers mixes up the weights of two models loaded in two threads at once

Fence = Callable[[], None]  # raises unless the caller still holds the run


class ProgressCallback(Protocol):
    """Is called with how far a run is, and may raise to stop it."""

    def __call__(self, stage: str, done: int, total: int | None, seconds_left: float | None = None, loss: float | None = None) -> None: ...


class ModelUnusable(ValueError):
    """A model that cannot be trained or loaded, for a reason that a person can repair; the message says which."""


def readable_solutions(project: Project, **where: Any) -> QuerySet[Solution]:
    """Return the solutions that a model of this project can read: of training problems, not withdrawn."""
    return Solution.objects.filter(problem__project=project, problem__split=Split.TRAIN, withdrawn_at__isnull=True, **where)


# --- training -----------------------------------------------------------------------------------------------------------------


def config_for(
    project: Project, *, kind: str = ModelKind.PRM, preset: str | None = None, base: str | None = None, seed: int = 0
) -> TrainConfig:
    """Return a version's config: for the project's base, or `base`, with what the preset changes. Raises BadConfig and BadBase.

    Without a preset, the base is frozen if the project says so.
    """
    if preset is not None and preset not in PRESETS:
        raise BadConfig(f"There is no preset named {preset}. Known: {', '.join(PRESETS)}.")
    if preset in OF_TINY and base not in (None, TINY):
        raise BadConfig(f"The preset {preset} has its own base. Leave out {base}, or choose another preset.")
    chosen = TINY if preset in OF_TINY else base or project.base_model
    if preset is None and project.frozen_base:
        preset = "frozen"
    if preset not in (None, "frozen", *OF_TINY) and chosen == TINY:
        raise BadConfig(f"The preset {preset} needs a pretrained base. Name one with --base: smollm2, a model folder or a hub id.")
    check_base(chosen)
    changes = {"kind": kind} if kind != ModelKind.PRM else {}
    return TrainConfig.for_base(chosen, seed=seed, **PRESETS.get(preset or "", {}), **changes)


def new_version(project: Project, *, config: TrainConfig, kind: str = ModelKind.PRM, labels: str = Labels.EACH) -> ModelVersion:
    """Create the running version. A PRM will learn from a snapshot of all labels, an ORM from all graded solutions.

    labels: of each person, or the consensus on each solution, which is settled and noted first. Raises ModelUnusable.
    """
    # A version whose round has ended while it was running must not block this one for ever.
    ModelVersion.objects.filter(project=project, state=ModelState.RUNNING).exclude(round__state__in=UNFINISHED).update(
        state=ModelState.FAILED, failure="Its round ended.", token=F("token") + 1
    )
    newest = ModelVersion.objects.filter(project=project).aggregate(newest=Max("number"))["newest"] or 0
    return ModelVersion.objects.create(
        project=project,
        number=newest + 1,
        kind=kind,
        base=config.base,
        seed=config.seed,
        config=orjson.loads(config.to_json()),
        **_learns_from(project, kind=kind, labels=labels),
        code_version=code_version(),
        state=ModelState.RUNNING,
        token=1,
        attempt=1,
    )


def _learns_from(project: Project, *, kind: str, labels: str) -> dict[str, Any]:
    """Return the fields of a version that say what it learns from. Raises ModelUnusable."""
    if kind == ModelKind.ORM:
        return {"snapshot": None}
    try:
        consensus = {} if labels == Labels.EACH else note_consensus(project)
    except NoConsensus as error:
        raise ModelUnusable(str(error)) from error
    return {"snapshot": export.take_snapshot(project, use=Use.TRAINING), "labels": labels, "consensus": consensus}


def take_over(version: ModelVersion) -> bool:
    """Raise the token of a version whose worker was lost. Return False if it is not running any more."""
    taken = ModelVersion.objects.filter(pk=version.pk, state=ModelState.RUNNING).update(token=F("token") + 1, attempt=F("attempt") + 1)
    version.refresh_from_db()
    return bool(taken)


def resumable(project: Project, *, kind: str = ModelKind.PRM) -> ModelVersion | None:
    """Return the newest version whose training failed and left a checkpoint."""
    failed = ModelVersion.objects.filter(project=project, kind=kind, state=ModelState.FAILED).order_by("-number")
    return next((version for version in failed if _checkpoint(version).is_dir()), None)


def has_checkpoint(version: ModelVersion) -> bool:
    """Return whether a training has written a checkpoint from which it can go on."""
    return _checkpoint(version).is_dir()


def nothing_new(project: Project, *, labels: str | None = None) -> str:
    """Say so if a PRM that is trained now would learn from the same labels as the newest one; else return nothing.

    labels: what it would learn of them; by default what the newest one learned.
    """
    newest = ModelVersion.objects.filter(project=project, kind=ModelKind.PRM, state=ModelState.READY).order_by("-number").first()
    if newest is None or newest.snapshot is None or labels not in (None, newest.labels):
        return ""
    if newest.labels != Labels.EACH and newest.consensus["gold"] != gold_noted(project):
        return ""  # the consensus is another one where gold is
    last = SnapshotItem.objects.filter(snapshot=newest.snapshot_id).aggregate(last=Max("annotation"))["last"] or 0
    later = eligibility.counting(Use.TRAINING).filter(pk__gt=last, solution__problem__project=project)
    if later.filter(solution__problem__split=Split.TRAIN, solution__withdrawn_at__isnull=True).exists():
        return ""
    if newest.snapshot.spec.get("left_out", (left_out := eligibility.people_left_out(project))) != left_out:
        return ""  # somebody was admitted, or put into quarantine or out of it
    return f"There is no new label since PRM {newest.number} was trained. A training now would learn from the same labels again."


def has_labels(project: Project) -> bool:
    """Return whether a project has labels to learn from. Whether they are enough, `check_learnable` says."""
    counting = eligibility.counting(Use.TRAINING).filter(assignment__batch__project=project)
    return ModelVersion.objects.filter(project=project, kind=ModelKind.PRM).exists() or counting.exists()


def resume(project: Project, *, number: int) -> ModelVersion | None:
    """Let a failed version run again with its own snapshot and config, under a new token. Return None if it is not failed any more."""
    ModelVersion.objects.filter(project=project, number=number, state=ModelState.FAILED).update(
        state=ModelState.RUNNING, failure="", token=F("token") + 1, attempt=F("attempt") + 1
    )
    return ModelVersion.objects.filter(project=project, number=number, state=ModelState.RUNNING).first()


def train(version: ModelVersion, *, progress: ProgressCallback) -> "TrainedModel":
    """Train the version in a folder of this attempt. A second attempt continues from the checkpoint of the first.

    Raises ModelUnusable: too few labels, a bad base, a loss that is not a number, a full disk or memory.
    """
    from trainer.data import BadLabels
    from trainer.train import DiskFull, LossNotFinite, MemoryFull, TooLittleToLearn
    from trainer.train import train as train_model

    attempt, snapshot = _attempt_folder(version), version.snapshot
    if snapshot:
        learned = {"snapshot": str(snapshot.number), "labels": describe_labels(version)}
    else:
        learned = {"graded solutions until": f"{version.created_at:%Y-%m-%d %H:%M} UTC"}
    try:
        return train_model(
            learned_from(version),
            unlabeled=_unlabeled(version),
            config=_config(version),
            folder=attempt,
            checkpoint=_checkpoint(version),
            progress=trainer_progress(progress),
            provenance={"project": version.project.slug, **learned, "code": version.code_version},
            states=states_folder(),
        )
    except (TooLittleToLearn, LossNotFinite, MemoryFull, DiskFull, OutputRefused, BadBase, BadConfig, BadLabels) as error:
        raise ModelUnusable(str(error)) from error
    finally:
        if not (attempt / "manifest.json").exists():  # it is written last: without it the folder is incomplete
            shutil.rmtree(attempt, ignore_errors=True)


def make_ready(version: ModelVersion, trained: "TrainedModel") -> bool:
    """Make a trained version ready; it does not serve yet. Return False, and change nothing, if another worker runs it now.

    Call it inside the transaction that holds the fence.
    """
    is_ready = ModelVersion.objects.filter(pk=version.pk, token=version.token, state=ModelState.RUNNING).update(
        state=ModelState.READY,
        artifact=str(folder(version).relative_to(settings.STEPMARK_HOME)),
        sha256=trained.sha256,
        metrics=trained.metrics,
        config=orjson.loads(trained.config.to_json()),
        ready_at=Now(),
        progress={},
    )
    if is_ready:
        shutil.rmtree(folder(version), ignore_errors=True)  # from an attempt that was lost between this line and its commit
        trained.folder.rename(folder(version))
        version.refresh_from_db()
        for older in ModelVersion.objects.filter(project=version.project, kind=version.kind, number__lt=version.number):
            shutil.rmtree(_checkpoint(older), ignore_errors=True)  # a newer version is ready: nobody resumes an older one
    return bool(is_ready)


def check_learnable(project: Project, *, config: TrainConfig, kind: str, labels: str = Labels.EACH) -> None:
    """Raise ModelUnusable if there are too few labels to train on now, and say what is missing. Changes nothing and loads no torch."""
    from trainer.split import TooLittleToLearn, hold_out

    some: list[Any] = []
    # Their cursor is closed before the savepoint is rolled back. It is gone after that, and to close it would end a caller's transaction.
    with _version_of_now(project, kind=kind, labels=labels) as version, closing(learned_from(version)) as learned:
        while part := list(islice(learned, max(FEW, len(some)))):  # a few labels are nearly always enough to tell
            some += part
            with suppress(TooLittleToLearn):
                hold_out(some, config=config)
                return
    try:
        hold_out(some, config=config)
    except TooLittleToLearn as error:
        raise ModelUnusable(str(error) if some else _nothing_to_learn(project, kind=kind)) from error


def _nothing_to_learn(project: Project, *, kind: str) -> str:
    if kind == ModelKind.ORM:
        return f"{project.slug} has no graded solutions to learn from. Load solutions of training problems that have a reference answer."
    return (
        f"{project.slug} has no labels to learn from yet. Publish a batch that is chosen at random (strategy uniform), without a tick "
        "at “Train first”. Label some of its solutions, and train then."
    )


@contextmanager
def _version_of_now(project: Project, *, kind: str, labels: str) -> Iterator[ModelVersion]:
    """Give the version that would be trained now. Nothing of it is stored, and no snapshot stays."""
    with transaction.atomic():
        try:
            yield ModelVersion(project=project, kind=kind, created_at=Now(), **_learns_from(project, kind=kind, labels=labels))
        finally:
            transaction.set_rollback(True)


def preview_training(project: Project, *, config: TrainConfig, kind: str, labels: str = Labels.EACH) -> list[str]:
    """Return lines for a terminal: what a training would learn from now. Changes nothing. Raises ModelUnusable: why it would fail."""
    from trainer.model import suits_shipped_base
    from trainer.split import TooLittleToLearn, hold_out
    from trainer.train import some_texts

    with _version_of_now(project, kind=kind, labels=labels) as version:
        learned = list(learned_from(version))
        n_unlabeled = _unlabeled_rows(version).count()
    if not learned:
        raise ModelUnusable(_nothing_to_learn(project, kind=kind))
    try:
        held_out = hold_out(learned, config=config)
    except TooLittleToLearn as error:
        raise ModelUnusable(str(error)) from error
    problems = {one.solution.problem_key for one in learned}
    trained_on = [one.solution for one in learned if one.solution.problem_key not in held_out]
    config = config.settled(text_suits=config.is_tiny and suits_shipped_base(some_texts(trained_on)))
    default = TrainConfig.for_base(config.base)
    always = ("epochs", "learning_rate")
    shown = {name: value for name, value in asdict(config).items() if name in always or value != getattr(default, name)}
    return [
        f"data: {_data(learned, kind)}",
        *([f"labels: {describe_labels(version)}"] if kind == ModelKind.PRM else []),
        f"problems: {len(problems):,}, of which {len(held_out):,} are held out to judge the model",
        f"text without labels: {counted(n_unlabeled, 'solution')}" if config.language_model_epochs else "text without labels: none",
        f"base: {config.base}",
        "config: " + ", ".join(f"{name} {value}" for name, value in shown.items() if name not in ("base", "kind", "shape")),
    ]


def _data(learned: list[Any], kind: str) -> str:
    if kind == ModelKind.ORM:
        n_right = sum(one.right for one in learned)
        return f"{counted(len(learned), 'graded solution')}, {n_right:,} right and {len(learned) - n_right:,} wrong"
    counts = Counter(rating for one in learned for rating in (*one.supervised, *(a.rating for a in one.supervised_alternatives)))
    rated = f"{counts[-1]:,} negative, {counts[0]:,} neutral, {counts[1]:,} positive"
    return f"{counted(len(learned), 'labeled solution')}, {counted(counts[-1] + counts[0] + counts[1], 'rated step')} ({rated})"


def folder(version: ModelVersion) -> Path:
    """Return the folder of a version's files, whether it exists yet or not."""
    return Path(settings.STEPMARK_HOME) / "models" / version.project.slug / str(version.number)


def states_folder() -> Path:
    """Return the folder in which the states of frozen bases are kept, for all projects and versions."""
    return Path(settings.STEPMARK_HOME) / "states"


def _checkpoint(version: ModelVersion) -> Path:
    return folder(version).with_name(f"{version.number}.checkpoint")


def _config(version: ModelVersion) -> TrainConfig:
    return TrainConfig.from_settings({"base": version.base, "seed": version.seed} | version.config)


def _attempt_folder(version: ModelVersion) -> Path:
    return folder(version).with_name(f"{version.number}.attempt-{version.token}")


def learned_from(version: ModelVersion) -> Generator["LabeledSolution | GradedSolution", None, None]:
    """Yield what a version learns from and is judged on: labeled solutions of its snapshot, or graded ones if it is an ORM."""
    if version.kind == ModelKind.ORM:
        return graded(version)
    if version.snapshot is None:
        raise ModelUnusable(f"Model {version.number} has no snapshot of labels to learn from.")
    return labeled(version, version.snapshot)


def graded(version: ModelVersion) -> Generator["GradedSolution", None, None]:
    """Yield the graded solutions that existed when the version was created, at most GRADED. The order of digests is as good as random."""
    from trainer.data import GradedSolution

    solutions = readable_solutions(version.project, outcome__in=[Outcome.CORRECT, Outcome.WRONG], created_at__lte=version.created_at)
    rows = solutions.order_by("digest")[:GRADED].values_list("outcome", "pk", "problem_id", "problem__statement", "steps")
    for outcome, *row in rows.iterator():
        yield GradedSolution(trainer_solution(row), outcome == Outcome.CORRECT)


def _unlabeled(version: ModelVersion) -> Iterator["SolutionText"]:
    """Yield the text of the language-model phase."""
    rows = _unlabeled_rows(version).values_list("pk", "problem_id", "problem__statement", "steps")
    yield from map(trainer_solution, rows.iterator())


def _unlabeled_rows(version: ModelVersion) -> QuerySet[Solution]:
    """Find solutions without a label when the version was created, at most UNLABELED: the same ones when a training is resumed."""
    had_labels = Annotation.objects.filter(solution=OuterRef("pk"), created_at__lte=version.created_at)
    solutions = readable_solutions(version.project, created_at__lte=version.created_at).filter(~Exists(had_labels))
    return solutions.order_by("digest")[:UNLABELED]


def trainer_solution(row: Iterable[Any]) -> "SolutionText":
    """Turn (solution, problem, statement, steps) into the trainer's value."""
    from trainer.data import SolutionText

    key, problem, statement, steps = row
    return SolutionText(str(key), str(problem), statement, tuple(steps))


def trainer_progress(progress: ProgressCallback, *, stage: str | None = None) -> "Progress":
    """Return a callback for the trainer that passes its progress on, under the name `stage` if given."""
    return lambda now: progress(stage or now.phase, now.done, now.total, now.seconds_left, now.loss)


def load(version: ModelVersion) -> "RewardModel":
    """Load a ready version's model. Raises ModelUnusable if its folder is gone or damaged."""
    from trainer.score import load_prm, on_fastest_device

    try:
        with LOADING:
            return on_fastest_device(load_prm(Path(settings.STEPMARK_HOME) / version.artifact)).keeping_states(states_folder())
    except (BadBase, OSError, ValueError) as error:
        raise ModelUnusable(f"Model {version.number} cannot be loaded: {error}") from error


# --- a version in words -------------------------------------------------------------------------------------------------------


def metrics_line(metrics: dict[str, Any]) -> str:
    """Return a version's held-out metrics in one line, the log-loss next to that of the base rate."""
    mistake = metrics.get("first_mistake") or {}
    figures = [
        ("step AUC", metrics.get("step_auc"), ".3f"),
        ("solution AUC", metrics.get("solution_auc"), ".3f"),
        ("first-mistake F1", mistake.get("f1") and 100 * mistake["f1"], ".1f"),
        ("log-loss", metrics.get("log_loss"), ".3f"),
        ("log-loss of the base rate", metrics.get("base_rate_log_loss"), ".3f"),
    ]
    known = [f"{name} {value:{form}}" for name, value, form in figures if value is not None]
    return "held out: " + ", ".join(known) if known else "too few held-out labels for metrics"


def cautions_of(version: ModelVersion) -> list[str]:
    """Return in sentences why a version is not to be trusted yet, and how it was trained on little data; empty if neither is so."""
    return [*cautions(version.metrics), *pace_sentences(version.metrics)]


def code_version() -> str:
    """Return the commit of this code, or STEPMARK_VERSION if there is no checkout."""
    try:
        git = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("STEPMARK_VERSION", "")
    return git.stdout.strip()
