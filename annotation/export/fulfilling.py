"""Stage: export, fulfilling: what a worker does with an order. One worker has an order at a time, under a token, and one runs at a time.

A snapshot and what the order says of it are stored in one commit; so are the rows of the files and the end of the order. A process that is
killed at any moment leaves an order that the next worker takes up, and perhaps a folder that this worker deletes first.
"""

import hashlib
import logging
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from annotation import longwork
from annotation.export import orders
from annotation.export.cards import CardFacts
from annotation.export.datasets import EmptySnapshot, export_snapshot, note_file, take_dataset
from annotation.export.filters import BadFilter, SnapshotFilter
from annotation.export.folders import CARD, pack_folder, write_dataset_folder
from annotation.export.orders import FOLDER, ExportChoice, FolderChoice
from annotation.export.snapshots import ContentDamaged, ContentMissing
from annotation.hearts import Heart
from annotation.ingest import BadFile
from annotation.longwork import WorkLost, alone
from annotation.models import DataOrder, OrderState, Snapshot, SnapshotFile
from annotation.stopping import StopRequest, stop_request
from trainer.counting import counted
from trainer.files import OutputRefused, is_disk_full
from trainer.progress import Stopped
from trainer.writers import BadOption, Losses

log = logging.getLogger(__name__)

ONE_AT_A_TIME = 7_403_115_201_812  # the number of an advisory lock: an export keeps a core busy, and labelers need the others
NOTIFIED_AFTER = timedelta(minutes=1)  # who waited less is still looking at the page


def run_order(order_id: int) -> DataOrder | None:
    """Do what an order asks for, and return it. None: another order runs; the next sweep offers this one again.

    Running it twice changes nothing. What cannot be done ends the order with a sentence. A stop of the process gives it back.
    """
    with alone(ONE_AT_A_TIME) as is_alone:
        if not is_alone:
            return None
        with stop_request() as stop:  # before the claim: a stop between the two would leave an order that nobody gives back
            claimed = longwork.claim(orders.at_work(), order_id, state=OrderState.RUNNING)
            order = DataOrder.objects.select_related("project", "snapshot__project", "created_by").get(pk=order_id)
            if claimed:
                _guarded(order, stop)
        order.refresh_from_db()
    orders.sweep_orders()  # what waited for this one
    return order


def _guarded(order: DataOrder, stop: StopRequest) -> None:
    heart = Heart(_mine(order), stop, lost=WorkLost)
    try:
        with heart.beating():
            if order.snapshot is None:
                order.snapshot = _take(order, heart)
            if order.format:
                _write(order, order.snapshot, heart)
    except WorkLost:
        log.warning("Order %s was cancelled, or another worker has it now. This one stores nothing.", order.pk)
    except (BadFilter, EmptySnapshot, BadOption, OutputRefused, ContentMissing, ContentDamaged) as refused:
        _fail(order, str(refused))
    except (OperationalError, InterfaceError, OSError, BadFile) as error:
        if is_disk_full(error):
            connection.close()
            _fail(order, "The disk is full on the server. Free some space, and ask for it again.")
        elif isinstance(error, BadFile):
            log.error("Order %s could not be written: %s", order.pk, error)
            _fail(order, f"The file {error.reason} on the server. Its log says more.")
        else:
            log.warning("Order %s broke off, and is tried again: %s", order.pk, error)
            _give_back(order, attempts=0)
    except Stopped:
        _give_back(order, attempts=1)  # a stop in order is no failed attempt
        raise
    except Exception as error:
        log.exception("Order %s broke off.", order.pk)
        _fail(order, f"The server made a mistake ({type(error).__name__}). Its log says more.")


def _take(order: DataOrder, heart: Heart) -> Snapshot:
    assert order.spec is not None

    def stored(snapshot: Snapshot) -> None:
        order.snapshot = snapshot
        if order.format:  # the files follow
            if not _mine(order).update(snapshot=snapshot, progress={}):
                raise WorkLost
        else:
            heart.end()
            _end(order, snapshot=snapshot)
        orders.note(order, order.created_by, "take snapshot", annotations=snapshot.count, sha256=snapshot.sha256)

    return take_dataset(order.project, SnapshotFilter.from_spec(order.spec), allow_empty=False, progress=heart.advance, stored=stored)


def _write(order: DataOrder, snapshot: Snapshot, heart: Heart) -> None:
    folder = orders.folder_of(order)
    orders.clear(order)  # what a killed worker left
    folder.mkdir(parents=True)
    try:
        with transaction.atomic():
            files, report = (_write_folder if order.format == FOLDER else _write_export)(order, snapshot, folder, heart)
            heart.end()
            _end(order, report=report)
            n_bytes, hashes = sum(file.n_bytes for file in files), [file.sha256 for file in files]
            orders.note(order, order.created_by, "export", bytes=n_bytes, sha256=hashes)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    orders.delete_oldest(order.project)


def _write_export(order: DataOrder, snapshot: Snapshot, folder: Path, heart: Heart) -> tuple[list[SnapshotFile], list[str]]:
    choice, losses = ExportChoice.of(order), Losses()
    files = export_snapshot(
        snapshot,
        folder / choice.name_for(snapshot),
        format=choice.format,
        options=choice.options,
        container=choice.container,
        compression=choice.compression,
        rule=choice.rule,
        max_records=choice.max_records,
        max_bytes=choice.max_bytes,
        max_files=orders.MAX_FILES,
        progress=heart.advance,
        losses=losses,
        order=order,
    )
    return files, losses.sentences()


def _write_folder(order: DataOrder, snapshot: Snapshot, folder: Path, heart: Heart) -> tuple[list[SnapshotFile], list[str]]:
    """Write a data set folder, and pack it. Its card becomes a file of its own, for the page."""
    choice = FolderChoice.of(order)
    place = folder / choice.name_for(snapshot)
    written = write_dataset_folder(
        snapshot,
        place,
        CardFacts(choice.title, choice.licence, choice.language),
        formats=choice.formats,
        options=choice.options,
        rule=choice.rule,
        noted=False,
        progress=heart.advance,
    )
    packed, card = folder / f"{place.name}.zip", folder / CARD
    pack_folder(place, packed, heart.advance)
    (place / CARD).rename(card)
    shutil.rmtree(place)
    n_rows = sum(file.written.n_records for file in written.files)
    noted = [_note(order, snapshot, path, n_records) for path, n_records in ((packed, n_rows), (card, 0))]
    return noted, [f"{file.config}, {file.part}: {sentence}" for file in written.files for sentence in file.losses]


def _note(order: DataOrder, snapshot: Snapshot, path: Path, n_records: int) -> SnapshotFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size, options = path.stat().st_size, {"options": order.options, "rule": order.rule}
    return note_file(snapshot, path, format=FOLDER, n_records=n_records, n_bytes=size, sha256=sha256, options=options, order=order)


def _mine(order: DataOrder) -> "QuerySet[DataOrder]":
    """Return the row of an order, as long as it is this worker's."""
    return orders.at_work().filter(pk=order.pk, token=order.token)


def _end(order: DataOrder, **changes: Any) -> None:
    """Note that an order is done. Raises WorkLost if it is not this worker's any more."""
    if not _mine(order).update(state=OrderState.DONE, progress={}, failure="", finished_at=Now(), **changes):
        raise WorkLost
    if order.snapshot and timezone.now() - order.created_at > NOTIFIED_AFTER:
        what = f"The export of snapshot {order.snapshot.number}" if order.format else f"Snapshot {order.snapshot.number}"
        orders.notify_owner(order, f"{what} of {order.project} is ready: {counted(order.snapshot.count, 'annotation')}.")


def _fail(order: DataOrder, failure: str) -> None:
    log.warning("Order %s failed.", order.pk)
    with transaction.atomic():
        ended = {"failure": failure, "token": F("token") + 1, "finished_at": Now(), "progress": {}}
        if _mine(order).update(state=OrderState.FAILED, **ended):
            what = "An export" if order.format else "A snapshot"
            orders.notify_owner(order, f"{what} of {order.project} failed: {failure}")


def _give_back(order: DataOrder, *, attempts: int) -> None:
    longwork.give_back(_mine(order), attempts=attempts, state=OrderState.WAITING)
