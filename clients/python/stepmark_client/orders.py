"""Snapshots and exports that a worker makes on order, and the files of exports, whose download goes on where it broke off."""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from stepmark_client.errors import DownloadBroken, StepmarkError
from stepmark_client.generated.api.orders import orders_cancel, orders_download, orders_list, orders_show
from stepmark_client.generated.api.snapshots import (
    exports_start,
    snapshots_changes,
    snapshots_list,
    snapshots_preview,
    snapshots_show,
    snapshots_take,
)
from stepmark_client.generated.models.changes import Changes
from stepmark_client.generated.models.exported_file import ExportedFile
from stepmark_client.generated.models.new_export import NewExport
from stepmark_client.generated.models.order import Order as OrderData
from stepmark_client.generated.models.snapshot import Snapshot
from stepmark_client.generated.models.snapshot_filter import SnapshotFilter
from stepmark_client.generated.models.snapshot_preview import SnapshotPreview
from stepmark_client.generated.types import UNSET
from stepmark_client.lists import Collection, Listing
from stepmark_client.transport import PatientClient, backoff, unreachable
from stepmark_client.work import Progress, Work


class Order(Work[OrderData]):
    """An order: a snapshot or an export that a worker makes."""

    fetch: Callable[[ExportedFile, Path, Progress | None], Path]

    @property
    def id(self) -> int:
        """Its key on the site."""
        return self.data.id

    @property
    def snapshot(self) -> int | None:
        """The number of the snapshot that it takes or exports. None: it is not taken yet."""
        return self.data.snapshot

    def download(self, folder: str | os.PathLike[str] = ".", *, progress: Progress | None = None) -> list[Path]:
        """Wait for the export, store its files in a folder, and return their paths. The folder is made if it is missing.

        A file is complete or not there: what was read of it stands in NAME.part, and the next call goes on from it. A file that is there
        with the same sha256 is kept. `progress` is told of the wait, and then of "download", the bytes that are there, and all bytes.
        Raises what `wait` raises, and DownloadBroken if a file has another sha256 than the site says.
        """
        self.wait(progress=progress)
        if not self.data.files:
            raise StepmarkError(f"{self.name} wrote no files. Order an export: project.snapshots.export({self.snapshot}, format=...).")
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        return [self.fetch(file, place / Path(file.name).name, progress) for file in self.data.files]


class Orders:
    """The orders of a project."""

    def __init__(self, api: PatientClient, slug: str) -> None:
        self._api, self._slug = api, slug
        self.listing: Listing[OrderData] = Listing(api, orders_list.call, slug)

    def get(self, number: int) -> Order:
        """Return an order by its `id`. Raises NotFound."""
        return self.order(orders_show.call(self._slug, number, client=self._api).parsed)

    def iterate(self, **filters: Any) -> Iterator[Order]:
        """Return all orders, the newest first. Filter: `snapshot`."""
        return map(self.order, self.listing.iterate(**filters))

    def __iter__(self) -> Iterator[Order]:
        return self.iterate()

    def order(self, data: OrderData) -> Order:
        """Return an order of which the site has said something."""
        show, end = (partial(act, self._slug, data.id, client=self._api) for act in (orders_show.call, orders_cancel.call))
        order = Order(data, name=f"Order {data.id} of {self._slug}", show=show, end=end)
        order.fetch = partial(fetch, self._api, self._slug, data.id)
        return order


class Snapshots(Collection[Snapshot, Snapshot]):
    """The snapshots of a project."""

    def __init__(self, api: PatientClient, slug: str) -> None:
        super().__init__(api, snapshots_list.call, snapshots_show.call, slug)
        self._slug, self._orders = slug, Orders(api, slug)

    def take(self, **filter: Any) -> Order:
        """Order a snapshot, and return the order: `take(..).wait().snapshot` is its number. Without a filter, it has the train split.

        The fields of the filter are those of the API, such as generations, batches, since, until, people, sources, agreement, labels.
        """
        wanted, key = SnapshotFilter.from_dict(filter), f"snapshot-{uuid.uuid4()}"
        return self._orders.order(snapshots_take.call(self._slug, client=self._api, body=wanted, idempotency_key=key).parsed)

    def preview(self, **filter: Any) -> SnapshotPreview:
        """Return what a snapshot with a filter would hold: counts, and its newest annotations. Nothing is stored."""
        return snapshots_preview.call(self._slug, client=self._api, body=SnapshotFilter.from_dict(filter)).parsed

    def export(self, number: int, *, format: str, **how: Any) -> Order:
        """Order an export of a snapshot, and return the order: `export(..).download(folder)` waits for its files and stores them.

        `how`: options, container, compression, shares, max_records and max_bytes, as the API has them. If the same export is there
        already, it is that order.
        """
        wanted, key = NewExport.from_dict({"format": format, **how}), f"export-{uuid.uuid4()}"
        return self._orders.order(exports_start.call(self._slug, number, client=self._api, body=wanted, idempotency_key=key).parsed)

    def changes(self, number: int, *, to: int | None = None) -> Changes:
        """Return how another snapshot differs from this one, or what has changed since it was taken."""
        return snapshots_changes.call(self._slug, number, client=self._api, to=UNSET if to is None else to).parsed


def fetch(api: PatientClient, slug: str, order: int, file: ExportedFile, path: Path, progress: Progress | None) -> Path:
    """Store one file of an export at a path, and return the path. Raises DownloadBroken, Unreachable and RequestRefused."""
    if path.exists() and sha256_of(path) == file.sha256:
        return path
    part = path.with_name(f"{path.name}.part")
    part.touch()
    n_lost = 0
    while (n_there := part.stat().st_size) < file.n_bytes:
        request = api.build_request(**orders_download._request(slug, order, file.name))
        request.headers["Accept"] = "*/*"
        if n_there:
            request.headers.update({"Range": f"bytes={n_there}-", "If-Range": f'"{file.sha256}"'})
        try:
            append(api.send(request, stream=True), part, n_bytes=file.n_bytes, progress=progress)
            break
        except httpx.TransportError as lost:
            n_lost = n_lost + 1 if part.stat().st_size == n_there else 0
            if n_lost > api.retries:
                raise unreachable(request, lost) from lost
            time.sleep(backoff(n_lost))
    found = sha256_of(part)
    if found != file.sha256:
        part.unlink()
        raise DownloadBroken(f"{path.name} came with another sha256 than the site says: {found}, not {file.sha256}. Download it again.")
    part.replace(path)
    return path


def append(answer: httpx.Response, part: Path, *, n_bytes: int, progress: Progress | None) -> None:
    """Write the body of an answer to what is there of a file, or in its place if the answer is the whole. Raises TransportError."""
    try:
        with part.open("ab" if answer.status_code == 206 else "wb") as out:
            for piece in answer.iter_raw():
                out.write(piece)
                if progress is not None:
                    progress("download", out.tell(), n_bytes)
            out.flush()
            os.fsync(out.fileno())
    finally:
        answer.close()


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
