"""Stage: export, orders: what a person asks a worker to do for a data set, and what becomes of the files. Reads and writes DataOrder.

waiting -> running -> done | failed        cancelled: before its end. The files can be deleted later; what they were stays in SnapshotFile.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from annotation import longwork, notifications
from annotation.export.filters import SnapshotFilter
from annotation.export.folders import CARD, FORMATS
from annotation.export.snapshots import ContentMissing
from annotation.export.splits import SplitRule
from annotation.holders import ATTEMPTS
from annotation.models import DataOrder, Event, NotificationKind, OrderState, Project, Snapshot, SnapshotFile
from trainer.files import OutputRefused
from trainer.writers import WRITERS, BadOption, suffix_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User

AT_WORK = (OrderState.WAITING, OrderState.RUNNING)
FOLDER = "folder"  # the format of a data set folder
KEPT_ORDERS, KEPT_BYTES = 20, 5_000_000_000  # whose files a project keeps
MAX_FILES = 200  # of an export, or of each of its parts: each has a row, and a page lists all
WHY_LOST = f"Its worker was lost {ATTEMPTS} times. Read the log of the worker, remove the cause, and ask for it again."


class OrderRefused(ValueError):
    """An act that does not fit the state of the order. The message says why and what to do."""


class NoSuchOrder(LookupError):
    """This project has no such order, or the order has no such file."""


class ExportFile(NamedTuple):
    """A file that can be read. `file`: its records, bytes and sha256."""

    path: Path
    file: SnapshotFile


@dataclass(frozen=True, kw_only=True)
class ExportChoice:
    """How an export is written. `options` are those of the format (trainer.writers).

    With `rule` there is a file for each part of the problems. With `max_records` or `max_bytes` (of rows before packing) each becomes
    several files that hold no more.
    """

    format: str = "prm800k"
    options: Mapping[str, str] = field(default_factory=dict)
    container: str = "jsonl"
    compression: str = "none"
    rule: SplitRule | None = None
    max_records: int | None = None
    max_bytes: int | None = None

    @classmethod
    def of(cls, order: DataOrder) -> Self:
        """Return how the export of an order is written."""
        rule = SplitRule(**order.rule) if order.rule else None
        return cls(
            format=order.format,
            options=order.options,
            container=order.container,
            compression=order.compression,
            rule=rule,
            max_records=order.limits.get("max_records"),
            max_bytes=order.limits.get("max_bytes"),
        )

    def check(self) -> dict[str, Any]:
        """Return the columns of an order. Raises BadOption for an unknown format or option, and OutputRefused for another kind of file."""
        if self.format not in WRITERS:
            raise BadOption(f"There is no format {self.format!r}. Choose one of {', '.join(WRITERS)}.")
        suffix_of(self.container, self.compression)
        limits = {"max_records": self.max_records, "max_bytes": self.max_bytes}
        for limit in limits.values():
            if limit is not None and limit < 1:
                raise OutputRefused(f"A file with at most {limit} records or bytes holds nothing. Choose at least 1.")
        return {
            "format": self.format,
            "options": WRITERS[self.format].choose(self.options),
            "container": self.container,
            "compression": self.compression,
            "rule": self.rule.spec if self.rule else None,
            "limits": {name: limit for name, limit in limits.items() if limit is not None},
        }

    def name_for(self, snapshot: Snapshot) -> str:
        """Return the name of the file. With a rule the parts have names after it."""
        return f"{snapshot.project.slug}-snapshot-{snapshot.number}-{self.format}{suffix_of(self.container, self.compression)}"


@dataclass(frozen=True, kw_only=True)
class FolderChoice:
    """How a data set folder is written (folders.py). It is packed as a zip file; its card is a file of its own, too."""

    licence: str
    title: str
    language: str = "en"
    formats: tuple[str, ...] = FORMATS
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of each format
    rule: SplitRule | None = None

    @classmethod
    def of(cls, order: DataOrder) -> Self:
        """Return how the folder of an order is written."""
        values = {**order.options, "formats": tuple(order.options["formats"])}
        return cls(**values, rule=SplitRule(**order.rule) if order.rule else None)

    def check(self) -> dict[str, Any]:
        """Return the columns of an order. Raises BadOption."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,59}", self.licence):
            raise BadOption(
                f"{self.licence!r} is no identifier of a licence. Write one such as cc-by-4.0 or mit. For another licence write other."
            )
        if not re.fullmatch(r"[a-z]{2,3}", self.language):
            raise BadOption(f"{self.language!r} is no code of a language. Write one such as en or de.")
        if not self.title.strip() or any(ord(letter) < 32 for letter in self.title):
            raise BadOption("The title is empty or has control characters. Write one line.")
        if not self.formats:
            raise BadOption("The folder would have no data. Choose at least one format.")
        for name in self.formats:
            if name not in WRITERS:
                raise BadOption(f"There is no format {name!r}. Choose from {', '.join(WRITERS)}.")
        chosen = {name: WRITERS[name].choose(self.options.get(name)) for name in self.formats}
        options = {"licence": self.licence, "title": self.title, "language": self.language, "formats": list(chosen), "options": chosen}
        rule = self.rule.spec if self.rule else None
        return {"format": FOLDER, "options": options, "container": "zip", "compression": "none", "rule": rule}

    def name_for(self, snapshot: Snapshot) -> str:
        """Return the name of the folder."""
        return f"{snapshot.project.slug}-snapshot-{snapshot.number}"


# --- what a person does -------------------------------------------------------------------------------------------------------


def order_snapshot(project: Project, chosen: SnapshotFilter, *, export: ExportChoice | None = None, actor: "User | None") -> DataOrder:
    """Let a worker take a snapshot, and then write an `export` of it. Return the order.

    The same asked twice by one person gives the first order, as long as it has not ended. Raises BadFilter, BadOption and OutputRefused.
    """
    chosen.check_in(project)
    wanted = {"spec": chosen.spec, **(export.check() if export else {"format": ""})}
    return _order(project, AT_WORK, actor=actor, wanted=wanted, same={**wanted, "created_by": actor})


def order_export(snapshot: Snapshot, export: ExportChoice | FolderChoice, *, actor: "User | None") -> DataOrder:
    """Let a worker write an export of a snapshot, or a data set folder. Return the order.

    It is the one of before, if that is at work or its files are there.

    Raises BadOption, OutputRefused, and ContentMissing for a snapshot that keeps no content.
    """
    if not snapshot.content:
        raise ContentMissing(
            f"Snapshot {snapshot.number} has only the list of its annotations: a training took it, or an older version. "
            "Take a new snapshot to export."
        )
    wanted = export.check() | {"snapshot": snapshot}
    same = wanted | {"files_deleted_at": None}
    return _order(snapshot.project, (*AT_WORK, OrderState.DONE), actor=actor, wanted=wanted, same=same)


def _order(
    project: Project, states: tuple[OrderState, ...], *, actor: "User | None", wanted: dict[str, Any], same: dict[str, Any]
) -> DataOrder:
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # of two clicks at once, one makes an order
        exact = {f"{name}__isnull" if value is None else name: True if value is None else value for name, value in same.items()}
        for present in DataOrder.objects.filter(project=project, state__in=states, **exact).order_by("-pk")[:1]:
            return present
        order = DataOrder.objects.create(project=project, created_by=actor, **wanted)
        transaction.on_commit(lambda: notify_worker(order.pk))
    return order


def find_order(project: Project, order_id: int) -> DataOrder:
    """Return an order of the project with its files. Raises NoSuchOrder."""
    rows = DataOrder.objects.filter(project=project, pk=order_id)
    order = rows.select_related("project", "snapshot", "created_by", "files_deleted_by").prefetch_related("files").first()
    if order is None:
        raise NoSuchOrder(f"{project} has no export {order_id}.")
    return order


def orders_of(
    project: Project, *, snapshot: Snapshot | None = None, before: int | None = None, limit: int = 50
) -> tuple[list[DataOrder], int | None]:
    """Return the newest orders of a project or a snapshot with their files, and the number before which the next page begins."""
    rows = DataOrder.objects.filter(project=project)
    rows = rows.filter(snapshot=snapshot) if snapshot else rows
    rows = rows.filter(pk__lt=before) if before else rows
    listed = list(rows.order_by("-pk").select_related("snapshot", "created_by").prefetch_related("files")[: limit + 1])
    return listed[:limit], listed[limit - 1].pk if len(listed) > limit else None


def cancel_order(order: DataOrder, *, actor: "User | None") -> None:
    """Stop an order that has not ended. Nothing of it stays, but a snapshot that it has taken already. Raises OrderRefused."""
    with transaction.atomic():
        if not at_work().filter(pk=order.pk).update(state=OrderState.CANCELLED, token=F("token") + 1, finished_at=Now(), progress={}):
            raise OrderRefused("It has ended already. Reload the page to see how.")
        note(order, actor, "cancel export" if order.format else "cancel snapshot")
        transaction.on_commit(lambda: clear(order))


def delete_files(order: DataOrder, *, actor: "User | None") -> None:
    """Delete the files of an export. The record of them stays, and the same export can be written again. Raises OrderRefused."""
    with transaction.atomic():
        rows = DataOrder.objects.filter(pk=order.pk, state=OrderState.DONE, files_deleted_at=None).exclude(format="")
        if not rows.update(files_deleted_at=Now(), files_deleted_by=actor):
            raise OrderRefused("It has no files that could be deleted. Reload the page to see how it stands.")
        note(order, actor, "delete exported files", files=[Path(file.name).name for file in order.files.all()])
        transaction.on_commit(lambda: clear(order))


def find_file(order: DataOrder, name: str) -> ExportFile:
    """Return a file of an export by its name. Raises NoSuchOrder, and OrderRefused if the file was deleted."""
    file = next((file for file in order.files.all() if Path(file.name).name == name), None)
    if file is None:
        raise NoSuchOrder(f"This export has no file {name}.")
    path = Path(settings.STEPMARK_HOME) / file.name
    if order.files_deleted_at or not path.is_file():
        raise OrderRefused(f"{name} was deleted from the server. Export snapshot {file.snapshot.number} again: the bytes are the same.")
    return ExportFile(path, file)


def card_of(order: DataOrder) -> str:
    """Return the card of a data set folder, without the part that hubs read. Empty: the order has none, or its files are deleted."""
    path = next((Path(settings.STEPMARK_HOME) / file.name for file in order.files.all() if Path(file.name).name == CARD), None)
    if order.format != FOLDER or order.files_deleted_at or path is None or not path.is_file():
        return ""
    return re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def note(order: DataOrder, actor: "User | None", verb: str, **details: Any) -> None:
    """Write an event about an order."""
    number = {"snapshot": order.snapshot.number} if order.snapshot else {}
    Event.objects.create(
        actor=actor,
        project=order.project,
        verb=verb,
        subject=f"order {order.pk}",
        details=number | ({"format": order.format} if order.format else {}) | details,
    )


def notify_owner(order: DataOrder, sentence: str) -> None:
    """Notify the person who asked how an order ended."""
    if order.created_by is not None:
        notifications.notify(
            [order.created_by],
            NotificationKind.ORDER,
            sentence,
            occasion=f"order {order.pk}",
            project=order.project,
            page="order",
            at={"slug": order.project.slug, "order_id": order.pk},
        )


# --- its files ------------------------------------------------------------------------------------------------------------------


def folder_of(order: DataOrder) -> Path:
    """Return the folder in which this attempt writes its files. No other attempt writes there."""
    return _exports() / f"{order.pk}-{order.token}"


def _exports() -> Path:
    return Path(settings.STEPMARK_HOME).absolute() / "exports"


def clear(order: DataOrder, *, but: Path | None = None) -> None:
    """Delete the files of all attempts at an order, but those in one folder.

    A download that a browser still receives goes on: Linux keeps a deleted file until it is closed.
    """
    name = re.compile(rf"{order.pk}-\d+")
    for folder in _exports().iterdir() if _exports().is_dir() else ():
        if name.fullmatch(folder.name) and folder != but:
            shutil.rmtree(folder, ignore_errors=True)


def delete_oldest(project: Project) -> None:
    """Delete the files of the oldest exports of a project above the limits. The newest stays, whatever its size."""
    kept_bytes, rows = 0, DataOrder.objects.filter(project=project, state=OrderState.DONE, files_deleted_at=None).exclude(format="")
    for place, order in enumerate(rows.order_by("-finished_at", "-pk").prefetch_related("files")):
        kept_bytes += sum(file.n_bytes for file in order.files.all())
        is_above = place > 0 and (place >= KEPT_ORDERS or kept_bytes > KEPT_BYTES)
        if is_above and rows.filter(pk=order.pk).update(files_deleted_at=Now()):
            clear(order)


# --- how they reach a worker --------------------------------------------------------------------------------------------------


def at_work() -> QuerySet[DataOrder]:
    """Return the orders that a worker has, or should have."""
    return DataOrder.objects.filter(state__in=AT_WORK)


def notify_worker(order_id: int) -> None:
    """Tell a worker that an order waits. If the message is lost, `sweep_orders` sends it again."""
    longwork.tell_worker("annotation.tasks.run_order", order_id)


def sweep_orders() -> list[int]:
    """Offer the orders that no worker has to the workers again, and end those that were tried three times. Return those offered."""
    for lost in longwork.waiting(at_work()).filter(attempt__gte=ATTEMPTS).select_related("project", "snapshot", "created_by"):
        with transaction.atomic():
            ended = longwork.waiting(at_work()).filter(pk=lost.pk, token=lost.token, attempt__gte=ATTEMPTS)
            if ended.update(state=OrderState.FAILED, failure=WHY_LOST, token=F("token") + 1, finished_at=Now(), progress={}):
                notify_owner(lost, f"An export of {lost.project} failed: {WHY_LOST}")
                transaction.on_commit(lambda lost=lost: clear(lost))  # type: ignore[misc]
    offered = list(longwork.waiting(at_work()).values_list("pk", flat=True))
    for order_id in offered:
        notify_worker(order_id)
    return offered


def offer_abandoned_orders() -> list[int]:
    """Offer again, at once, what processes of this machine held that have ended. Return the orders offered. The attempt counts."""
    return sweep_orders() if longwork.release_abandoned(at_work()) else []
