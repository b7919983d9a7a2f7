"""Serving: which model version serves, who decided that and why; how another one comes to serve; a version as a file.

Reads Judgements and the folders of models; writes ModelVersion.champion, ModelVersion.decision and Events. The first champion of a project
and kind is better than the base rate, or a person let it serve. From then on there is always exactly one champion: one leaves service only
when another takes its place.
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning.models import ModelState, ModelVersion, StepScores
from active_learning.registry.judging import Judgement, serving_version
from active_learning.registry.training import Fence
from annotation import notifications, people
from annotation.models import Event, NotificationKind, Project
from trainer.cautions import why_not_better
from trainer.files import is_disk_full

if TYPE_CHECKING:
    from django.contrib.auth.models import User

REMEDY = "Label more solutions and train again, or let this one serve on its page."
CHUNK = 1 << 20  # bytes of a model file read, and sent, at a time


class NoSuchVersion(LookupError):
    """This project has no such model version."""


class VersionRefused(ValueError):
    """A version that cannot serve or be downloaded; the message says why and what to do."""


def find(project: Project, number: int) -> ModelVersion:
    """Return a version by its number. Raises NoSuchVersion."""
    version = ModelVersion.objects.select_related("project", "snapshot").filter(project=project, number=number).first()
    if version is None:
        raise NoSuchVersion(f"{project} has no model {number}.")
    return version


def by_id(version_id: int) -> ModelVersion:
    """Return a version by its primary key, as a worker gets it."""
    return ModelVersion.objects.select_related("project").get(pk=version_id)


def ask_for_steps(version: ModelVersion, solution_id: int) -> None:
    """Ask a worker to score the steps of one solution. Raises VersionRefused."""
    if version.state != ModelState.READY:
        raise VersionRefused(f"Model {version.number} is {version.state}. Only a ready model can score.")
    try:
        current_app.send_task("active_learning.tasks.score_steps", [version.pk, solution_id], queue="gpu", ignore_result=True)
    except (BrokerUnreachable, OSError) as error:
        if is_disk_full(error):
            raise VersionRefused("The disk is full, so no worker can be asked. Free some space on the server and try again.") from error
        raise VersionRefused(f"No worker could be reached ({error}). Start the workers of the server and try again.") from error


def ask_for_missing_steps(project: Project, solution_id: int) -> None:
    """Ask a worker for the steps of a solution by the model that serves, if one does and has not scored them yet. Raises VersionRefused."""
    version = serving_version(project)
    if version and not StepScores.objects.filter(model_version=version, solution=solution_id).exists():
        ask_for_steps(version, solution_id)


# --- champion and challenger --------------------------------------------------------------------------------------------------


def decide(version: ModelVersion, judgement: Judgement, *, fence: Fence) -> bool:
    """Let a judged version serve unless it is significantly worse than the champion; then it waits for a person.

    Without a champion to compare with it must be better than the base rate on held-out labels.

    Writes the judgement's metrics and the decision with its reason. Returns whether the version serves now.
    """
    with transaction.atomic():
        _take_turn(version.project)
        fence()
        champion = serving_version(version.project, version.kind)
        is_promoted, reason = _verdict(version, champion, judgement)
        event = _note(version, actor=None, verb="promote" if is_promoted else "keep back")
        if is_promoted:
            _put_into_service(version)
        version.metrics |= judgement.metrics
        version.decision = {
            "promoted": is_promoted,
            "by": None,
            "at": event.at.isoformat(),
            "reason": reason,
            "champion": judgement.champion,
            "comparison": judgement.comparison,
            "before": champion and champion.number,
        }
        version.save(update_fields=["metrics", "decision"])
        if not is_promoted:
            _notify_waiting(version, reason)
    return is_promoted


def _notify_waiting(version: ModelVersion, reason: str) -> None:
    project = version.project
    notifications.notify(
        notifications.members(project, people.MANAGERS),
        NotificationKind.WAITING,
        f"Model {version.number} of {project} does not serve, and waits for your decision. {reason}",
        occasion=f"model {version.pk} waits",
        project=project,
        page="model",
        at={"slug": project.slug, "number": version.number},
    )


def _verdict(version: ModelVersion, champion: ModelVersion | None, judgement: Judgement) -> tuple[bool, str]:
    if champion is None:
        if why := why_not_better(version.metrics):
            return False, f"No {version.kind.upper()} serves yet, and this one is not good enough to begin with: {why}. {REMEDY}"
        return True, "It is the first of its kind that is better than the base rate."
    if champion.number != judgement.champion:
        return False, f"Model {champion.number} began to serve while this one was judged, so they were not compared."
    if judgement.champion_is_gone:
        gone = f"Model {champion.number}, which served before, cannot be read any more: {judgement.obstacle}"
        why = why_not_better(version.metrics)
        return (False, f"{gone} This one is not good enough to take its place: {why}. {REMEDY}") if why else (True, gone)
    if judgement.comparison is None:
        return False, f"It could not be compared with model {champion.number}: {judgement.obstacle}"
    if judgement.comparison["worse"]:
        return False, f"It is significantly worse than model {champion.number}."
    return True, f"It is not significantly worse than model {champion.number}."


def promote(project: Project, number: int, *, actor: "User") -> ModelVersion:
    """Let a ready version serve, whatever its comparison found. Raises VersionRefused and NoSuchVersion."""
    with transaction.atomic():
        _take_turn(project)
        version = find(project, number)
        champion = serving_version(project, version.kind)
        _check_servable(version)
        event = _note(version, actor=actor, verb="promote")
        _put_into_service(version)
        version.decision |= {
            "promoted": True,
            "by": actor.get_username(),
            "at": event.at.isoformat(),
            "before": champion and champion.number,
        }
        version.save(update_fields=["decision"])
    return version


def roll_back(project: Project, kind: str, *, actor: "User") -> ModelVersion:
    """Let the version serve again that the champion replaced. A second call goes one step further back. Raises VersionRefused."""
    with transaction.atomic():
        _take_turn(project)
        champion = serving_version(project, kind)
        before = champion and champion.decision.get("before")
        if not before:
            raise VersionRefused("No version served before this one, so there is nothing to go back to.")
        version = find(project, before)
        _check_servable(version)
        _note(version, actor=actor, verb="roll back to")
        _put_into_service(version)
    return version


def _take_turn(project: Project) -> None:
    """Let two people, or a person and a worker, decide one after the other."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def _check_servable(version: ModelVersion) -> None:
    if version.state != ModelState.READY:
        raise VersionRefused(f"Model {version.number} is {version.state}. Only a ready model can serve.")
    if version.champion:
        raise VersionRefused(f"Model {version.number} already serves.")
    _files(version)


def _put_into_service(version: ModelVersion) -> None:
    ModelVersion.objects.filter(project=version.project, kind=version.kind, champion=True).update(champion=False)
    ModelVersion.objects.filter(pk=version.pk).update(champion=True)
    version.champion = True


def _note(version: ModelVersion, *, actor: "User | None", verb: str) -> Event:
    subject = f"{version.kind.upper()} model {version.number} of {version.project.slug}"
    return Event.objects.create(actor=actor, project=version.project, verb=verb, subject=subject)


# --- a version as a file ------------------------------------------------------------------------------------------------------


def card(version: ModelVersion) -> str:
    """Return the model card; empty if the folder is gone."""
    try:
        return (_folder(version) / "README.md").read_text(encoding="utf-8")
    except OSError:
        return ""


def archive(version: ModelVersion) -> Iterator[bytes]:
    """Return a zip of the model folder as a stream: weights, tokenizer, settings, split, card and manifest. Raises VersionRefused.

    The zip is not compressed: weights hardly shrink, and so a gigabyte costs one read and no memory.
    """
    if version.state != ModelState.READY:
        raise VersionRefused(f"Model {version.number} is {version.state}, so there is nothing to download yet.")
    return _zipped(_folder(version), _files(version), within=f"{version.project.slug}-{version.kind}-{version.number}")


def _folder(version: ModelVersion) -> Path:
    return Path(settings.STEPMARK_HOME) / version.artifact


def _files(version: ModelVersion) -> list[str]:
    """Return the names of the files in a version's manifest, and of the manifest. Raises VersionRefused if one is missing."""
    folder = _folder(version)
    try:
        names = [*orjson.loads((folder / "manifest.json").read_bytes()), "manifest.json"]
    except (OSError, orjson.JSONDecodeError):
        names = []
    if not names or not all((folder / name).is_file() for name in names):
        raise VersionRefused(
            f"The files of model {version.number} are gone or damaged on the server. Restore {version.artifact}, or train again."
        )
    return names


class _Outbox(io.RawIOBase):
    """The target of zipfile: it holds the bytes until they are sent."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.waiting += data
        return len(data)

    def take(self) -> bytes:
        taken, self.waiting = bytes(self.waiting), bytearray()
        return taken


def _zipped(folder: Path, names: list[str], *, within: str) -> Iterator[bytes]:
    out = _Outbox()
    with zipfile.ZipFile(out, "w") as packed:
        for name in names:
            header = zipfile.ZipInfo.from_file(folder / name, f"{within}/{name}")
            with (folder / name).open("rb") as file, packed.open(header, "w") as place:
                while piece := file.read(CHUNK):
                    place.write(piece)
                    yield out.take()
    yield out.take()
