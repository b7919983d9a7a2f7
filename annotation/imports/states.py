"""Imports: their options and findings, what a person does with them, and how they reach a worker.

checking -> checked -> loading -> done        failed and cancelled: check again, or resume, as long as the file is kept
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from annotation import ingest, longwork, notifications
from annotation.holders import ATTEMPTS
from annotation.models import Event, Import, ImportState, NotificationKind, Project

if TYPE_CHECKING:
    from django.contrib.auth.models import User

AT_WORK = (ImportState.CHECKING, ImportState.LOADING)
ENDED_EARLY = (ImportState.FAILED, ImportState.CANCELLED)
SHOWN = 50  # imports in the list of a project
WHY_LOST = f"Its worker was lost {ATTEMPTS} times. Read the log of the worker, remove the cause, and load the file again."


class ImportRefused(ValueError):
    """An act that does not fit the state of the import. The message says why and what to do."""


class NoSuchImport(LookupError):
    """This project has no such import."""


@dataclass(frozen=True)
class Options:
    """How a file is read and what its labels become. Empty: the file decides."""

    format: str = ""
    steps_by: str = ingest.AUTO
    labels: str = ingest.LABELS[0]
    split: str = ""
    source: str = ""
    allow_broken: bool = False
    mapping: str = ""  # what fields and values of other labeling tools mean: one NAME=VALUE a line


@dataclass(frozen=True)
class FileFindings:
    """What the check of a file found: what a page shows before the load."""

    has_solutions: bool
    counts: dict[str, int]  # problems, solutions, annotations, gold, alternatives
    about: list[str]  # sentences: the format and why, the steps, keys that are not used
    is_broken: bool  # more broken steps than a load accepts
    steps_by: str  # the rule that cut the texts; empty if the file gives the steps
    outcomes: dict[str, int]  # of a sample of the solutions
    examples: list[dict[str, Any]]
    faults: Sequence[Sequence[str]]  # place, reason, remedy: the first of them
    n_faults: int
    is_markdown: bool
    options: dict[str, Any] = field(default_factory=dict)  # the options that the check went by


def options_of(import_: Import) -> Options:
    """Return the options of an import."""
    return Options(**import_.options)


def findings_of(import_: Import) -> FileFindings | None:
    """Return what the check found. None: it was not checked yet."""
    return FileFindings(**import_.findings) if import_.findings else None


def of_project(project: Project, *, before: int | None = None) -> list[Import]:
    """Return the newest imports of a project, at most SHOWN, or those before a number."""
    rows = Import.objects.filter(project=project).select_related("created_by").order_by("-pk")
    return list((rows.filter(pk__lt=before) if before else rows)[:SHOWN])


def find(project: Project, import_id: int) -> Import:
    """Return an import of the project. Raises NoSuchImport."""
    import_ = Import.objects.filter(project=project, pk=import_id).select_related("project", "created_by").first()
    if import_ is None:
        raise NoSuchImport(f"{project} has no import {import_id}.")
    return import_


def path_of(import_: Import) -> Path:
    """Return the place of the uploaded file."""
    return Path(settings.STEPMARK_HOME) / import_.path


# --- what a person does -------------------------------------------------------------------------------------------------------


def check_again(import_: Import, options: Options, *, actor: "User") -> None:
    """Check the file again by other options. Raises ImportRefused while a worker has it, and when the file is gone."""
    _ask(import_, (ImportState.CHECKED, *ENDED_EARLY), ImportState.CHECKING, actor=actor, verb="check file", options=asdict(options))


def load(import_: Import, *, actor: "User") -> None:
    """Let a worker load a file that was checked. Raises ImportRefused if it has lines that are wrong or too many broken steps."""
    findings = findings_of(import_)
    if findings and findings.n_faults:
        raise ImportRefused("The file has lines that are wrong. Repair them, and upload the file again.")
    if findings and findings.is_broken and not options_of(import_).allow_broken:
        raise ImportRefused("Too many steps are broken. Choose how the texts are cut, or allow broken steps, and check the file again.")
    _ask(import_, (ImportState.CHECKED,), ImportState.LOADING, actor=actor, verb="load file")


def resume(import_: Import, *, actor: "User") -> None:
    """Continue what a cancelled or failed import was stopped at: the load of a checked file, else the check. Raises ImportRefused."""
    findings = findings_of(import_)
    is_ready = findings is not None and not findings.n_faults and findings.options == import_.options
    _ask(import_, ENDED_EARLY, ImportState.LOADING if is_ready else ImportState.CHECKING, actor=actor, verb="resume import")


def cancel(import_: Import, *, actor: "User") -> None:
    """Stop an import that has not ended. What its worker has read so far is dropped. Raises ImportRefused if it has ended."""
    with transaction.atomic():
        changed = Import.objects.filter(pk=import_.pk, state__in=(*AT_WORK, ImportState.CHECKED)).update(
            state=ImportState.CANCELLED, token=F("token") + 1, finished_at=Now(), progress={}
        )
        if not changed:
            raise ImportRefused("This import has ended already. Reload the page to see how.")
        _note(import_, actor, "cancel import")


def discard(import_: Import, *, actor: "User") -> None:
    """Delete the uploaded file of an import that ended without a load. Its row stays. Raises ImportRefused while a worker has it."""
    with transaction.atomic():
        changed = (
            Import.objects.filter(pk=import_.pk, state__in=(ImportState.CHECKED, *ENDED_EARLY))
            .exclude(path="")
            .update(state=ImportState.CANCELLED, token=F("token") + 1, finished_at=Now(), path="")
        )
        if not changed:
            raise ImportRefused("This import is at work, or its file is deleted already. Reload the page to see how it stands.")
        _note(import_, actor, "delete uploaded file")
        transaction.on_commit(lambda: delete_file(import_))


def delete_file(import_: Import) -> None:
    """Delete an uploaded file and its folder."""
    path = path_of(import_)
    path.unlink(missing_ok=True)
    if path.parent.is_dir() and not any(path.parent.iterdir()):
        path.parent.rmdir()


def _ask(
    import_: Import, present: Sequence[str], state: ImportState, *, actor: "User", verb: str, options: dict[str, Any] | None = None
) -> None:
    """Bring an import into a state in which a worker takes it, and tell a worker."""
    changes: dict[str, Any] = {"options": options} if options is not None else {}
    with transaction.atomic():
        changed = (
            Import.objects.filter(pk=import_.pk, state__in=present, token=import_.token)
            .exclude(path="")
            .update(state=state, token=F("token") + 1, attempt=0, heartbeat_at=None, failure="", progress={}, finished_at=None, **changes)
        )
        if not changed:
            raise ImportRefused(
                "Nothing was done: somebody else changed this import meanwhile, or its file is deleted. The page shows how it stands now."
            )
        _note(import_, actor, verb)
        transaction.on_commit(lambda: notify_worker(import_.pk))


def _note(import_: Import, actor: "User", verb: str) -> None:
    Event.objects.create(actor=actor, project=import_.project, verb=verb, subject=f"import {import_.pk}", details={"file": import_.name})


def notify_owner(import_: Import, sentence: str) -> None:
    """Notify the person who uploaded a file how its import ended. A later attempt is another occasion."""
    if import_.created_by is not None:
        notifications.notify(
            [import_.created_by],
            NotificationKind.IMPORT,
            sentence,
            occasion=f"import {import_.pk} {import_.token}",
            project=import_.project,
            page="import",
            at={"slug": import_.project.slug, "import_id": import_.pk},
        )


# --- how they reach a worker --------------------------------------------------------------------------------------------------


def at_work() -> QuerySet[Import]:
    """Return the imports that a worker has, or should have."""
    return Import.objects.filter(state__in=AT_WORK)


def notify_worker(import_id: int) -> None:
    """Tell a worker that an import waits. If the message is lost, `sweep` sends it again."""
    longwork.tell_worker("annotation.tasks.run_import", import_id)


def sweep() -> list[int]:
    """Offer the imports that no worker has to the workers again, and end those that were tried three times. Return those offered."""
    for lost in longwork.waiting(at_work()).filter(attempt__gte=ATTEMPTS).select_related("project", "created_by"):
        with transaction.atomic():
            ended = longwork.waiting(at_work()).filter(pk=lost.pk, token=lost.token, attempt__gte=ATTEMPTS)
            if ended.update(state=ImportState.FAILED, failure=WHY_LOST, token=F("token") + 1, finished_at=Now(), progress={}):
                notify_owner(lost, f"The import of {lost.name} into {lost.project} failed: {WHY_LOST}")
    offered = list(longwork.waiting(at_work()).values_list("pk", flat=True))
    for import_id in offered:
        notify_worker(import_id)
    return offered


def offer_abandoned() -> list[int]:
    """Offer again, at once, what processes of this machine held that have ended. Return the imports offered. The attempt counts."""
    return sweep() if longwork.release_abandoned(at_work()) else []
