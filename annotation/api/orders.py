"""Addresses of the API: snapshots that a program takes and compares, exports, and the orders of both, which a worker fulfils."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from annotation import export, people
from annotation.api.base import ApiView, PageQuery, changed
from annotation.api.data import FINISHES, SPLITS, SnapshotsReading
from annotation.api.problems import ApiRefused, Fault
from annotation.api.schema import describe, page_of
from annotation.eligibility import Adjudications
from trainer.writers import COMPRESSIONS, CONTAINERS, WRITERS, BadOption

if TYPE_CHECKING:
    from annotation.models import DataOrder, Snapshot

ORDER_STATES = ["waiting", "running", "done", "failed", "cancelled"]
LISTED = 1_000  # annotations and problems of a difference that are named
FILE_TYPES = (
    "application/x-ndjson", "application/json", "application/vnd.apache.parquet", "application/gzip", "application/zstd", "application/zip",
    "application/octet-stream",
)  # fmt: skip
WRITING = ("bad_body", "scope_missing", "body_too_large", "unsupported_media_type", "key_in_use", "key_reused")

# --- what a program asks for ------------------------------------------------------------------------------------------------------


def _listed(child: serializers.Field[Any, Any, Any, Any], help_text: str) -> serializers.ListField:
    return serializers.ListField(child=child, required=False, max_length=1_000, help_text=help_text)


class SnapshotFilterSerializer(serializers.Serializer):
    """Which annotations a snapshot lists. Each field keeps fewer of them. Without `splits`, they are of the train split only."""

    splits = _listed(serializers.ChoiceField(SPLITS), "Of the problems.")
    generations = _listed(serializers.IntegerField(min_value=-(2**15), max_value=2**15 - 1), "Of the batches. -1: the screening.")
    batches = _listed(serializers.IntegerField(min_value=1, max_value=2**31 - 1), "The `id` of batches.")
    since = serializers.CharField(required=False, max_length=40, help_text="Submitted on this day (UTC) or at this moment, or later.")
    until = serializers.CharField(required=False, max_length=40, help_text="Submitted before this day (UTC) or this moment.")
    people = _listed(serializers.CharField(max_length=36), "The pseudonyms that exports show in the field `labeler`.")
    finish_reasons = _listed(serializers.ChoiceField(FINISHES), "How the labeler ended.")
    without = _listed(serializers.ChoiceField(FINISHES), "Leave out labels that ended so.")
    sources = _listed(serializers.CharField(max_length=200, trim_whitespace=False), "The generators that wrote the solutions.")
    agreement = serializers.ChoiceField(
        ["agree", "disagree"], required=False, help_text="Whether people agree on the first mistake of the solution."
    )
    min_labels = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="The fewest people who judged the solution to its end."
    )
    review = serializers.ChoiceField(
        ["reviewed", "not-reviewed"], required=False, help_text="Whether an adjudication settles the solution."
    )
    quarantined = serializers.BooleanField(required=False, help_text="Keep the labels of people in quarantine.")
    newcomers = serializers.BooleanField(
        required=False, help_text="Keep the screening answers of people who are not admitted. True unless you say no."
    )
    adjudications = serializers.ChoiceField(
        [str(value) for value in Adjudications], required=False, help_text="How adjudications stand to other labels."
    )
    labels = serializers.ChoiceField(
        ["each", "consensus"], required=False, help_text="`consensus`: one label for each solution, which says what the consensus says."
    )


class SharesSerializer(serializers.Serializer):
    """Shares of three parts, which divide the problems. They are 1 in sum."""

    train = serializers.FloatField(min_value=0, max_value=1)
    valid = serializers.FloatField(min_value=0, max_value=1)
    test = serializers.FloatField(min_value=0, max_value=1)
    seed = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)


class NewExportSerializer(serializers.Serializer):
    """How an export is written. docs/datasets.md describes the formats and their options."""

    format = serializers.ChoiceField(list(WRITERS))
    options = serializers.DictField(child=serializers.CharField(max_length=40), required=False, default=dict, help_text="Of the format.")
    container = serializers.ChoiceField(list(CONTAINERS), required=False, default="jsonl")
    compression = serializers.ChoiceField(list(COMPRESSIONS), required=False, default="none")
    shares = SharesSerializer(required=False, help_text="Three parts, which have no problem in common. Without it, the file holds all.")
    max_records = serializers.IntegerField(
        required=False, min_value=1, max_value=2**53 - 1, help_text="Several files, none with more records than this."
    )
    max_bytes = serializers.IntegerField(
        required=False, min_value=1, max_value=2**53 - 1, help_text="Several files, none with more bytes of records before packing."
    )


class ExportedFileSerializer(serializers.Serializer):
    """A file that an order has written."""

    name = serializers.CharField(help_text="Stands in the address of the file.")
    split = serializers.CharField(allow_blank=True, help_text="train, valid or test. Empty: the file holds all.")
    n_records = serializers.IntegerField()
    n_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()


class OrderSerializer(serializers.Serializer):
    """An order: a snapshot or an export that a worker makes, and how far it is."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(ORDER_STATES)
    filter = serializers.DictField(allow_null=True, help_text="Of the snapshot that it takes. Null: it exports one that was there.")
    snapshot = serializers.IntegerField(allow_null=True, help_text="The number of the snapshot. Null: it is not taken yet.")
    format = serializers.CharField(allow_blank=True, help_text="Empty: it writes no export.")
    options = serializers.DictField()
    container = serializers.CharField(allow_blank=True)
    compression = serializers.CharField(allow_blank=True)
    shares = serializers.DictField(allow_null=True)
    max_records = serializers.IntegerField(allow_null=True, help_text="Of each file. Null: it has no limit.")
    max_bytes = serializers.IntegerField(allow_null=True, help_text="Of each file, before packing. Null: it has no limit.")
    progress = serializers.DictField()
    report = serializers.ListField(child=serializers.CharField(), help_text="What the format cannot hold, in sentences.")
    failure = serializers.CharField(allow_blank=True, help_text="Why it failed, and what to do.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    files_deleted_at = serializers.DateTimeField(allow_null=True)
    files = ExportedFileSerializer(many=True, help_text="What it wrote. The record stays when the files are deleted.")


class OrderQuery(PageQuery):
    """Which orders are listed."""

    snapshot = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1, help_text="The number of a snapshot.")


class ChangesQuery(serializers.Serializer):
    """With what a snapshot is compared."""

    to = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="The number of another snapshot. Without it: the labels of now."
    )


class ChangesSerializer(serializers.Serializer):
    """What another snapshot, or the same filter now, has and this snapshot has not, and the reverse. A corrected label is removed."""

    n_added = serializers.IntegerField()
    n_removed = serializers.IntegerField()
    n_unchanged = serializers.IntegerField()
    added = serializers.ListField(child=serializers.IntegerField(), help_text=f"The `id` of annotations, the first {LISTED:,}.")
    removed = serializers.ListField(child=serializers.IntegerField(), help_text=f"The `id` of annotations, the first {LISTED:,}.")
    problems_added = serializers.ListField(child=serializers.CharField(), help_text=f"External ids, the first {LISTED:,}.")
    problems_removed = serializers.ListField(child=serializers.CharField(), help_text=f"External ids, the first {LISTED:,}.")


def shown(order: "DataOrder") -> dict[str, Any]:
    """Return an order as the API shows it."""
    files = [
        {"name": Path(file.name).name, "split": file.split, "n_records": file.n_records, "n_bytes": file.n_bytes, "sha256": file.sha256}
        for file in order.files.all()
    ]
    values = {
        "id": order.pk, "filter": order.spec, "snapshot": order.snapshot and order.snapshot.number, "shares": order.rule, "files": files,
    }  # fmt: skip
    for name in ("state", "format", "options", "container", "compression", "progress", "report", "failure"):
        values[name] = getattr(order, name)
    for name in ("max_records", "max_bytes"):
        values[name] = order.limits.get(name)
    for name in ("created_at", "finished_at", "files_deleted_at"):
        values[name] = getattr(order, name)
    return dict(OrderSerializer(values).data)


def chosen(wanted: dict[str, Any]) -> export.SnapshotFilter:
    """Return the filter of a body. Raises ApiRefused, which names the field."""
    try:
        return export.SnapshotFilter.from_spec(wanted)
    except export.BadFilter as bad:
        raise bad_field(bad.field, str(bad)) from None


def bad_field(name: str, words: str) -> ApiRefused:
    """Return the refusal of a body with one wrong field."""
    return ApiRefused("bad_body", words, faults=[Fault("body", name, "invalid", words)])


# --- snapshots --------------------------------------------------------------------------------------------------------------------


class SnapshotsView(SnapshotsReading):
    """The snapshots of a project."""

    write_roles = people.RESEARCHERS

    @describe(
        "snapshots_take", "Take a snapshot", OrderSerializer, body=SnapshotFilterSerializer, status=201, tag="snapshots", has_key=True,
        problems=(*WRITING, "role_too_low"),
        examples=[OpenApiExample("Labels without a mistake", {"finish_reasons": ["solution"]}, request_only=True)],
    )  # fmt: skip
    def post(self, request: Any, slug: str) -> HttpResponse:
        """Let a worker take a snapshot. The answer is its order, which has the number of the snapshot once it is taken."""
        self.read_query()
        wanted = self.read_body(SnapshotFilterSerializer)
        return self.answer_once(wanted, lambda: self._take(wanted))

    def _take(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        project = self.request.access.project
        try:
            order = export.order_snapshot(project, chosen(wanted), actor=self.person)
        except export.BadFilter as bad:
            raise bad_field(bad.field, str(bad)) from None
        return 201, shown(export.find_order(project, order.pk))


class SnapshotChangesView(ApiView):
    """What changed since a snapshot."""

    @describe(
        "snapshots_changes", "Compare a snapshot", ChangesSerializer, query=ChangesQuery, problems=("too_many_labels",), tag="snapshots"
    )
    def get(self, request: Any, slug: str, number: int) -> HttpResponse:
        """Say how another snapshot differs from this one, or what has changed since it was taken."""
        query = self.read_query(ChangesQuery)
        old = snapshot_of(self, number)
        try:
            if "to" in query:
                difference = export.compare_snapshots(old, snapshot_of(self, query["to"]))
            else:
                difference = export.changed_since(old, seconds=export.PREVIEW_SECONDS)
        except export.TooLarge as large:
            raise ApiRefused("too_many_labels", str(large)) from None
        values = {
            "n_added": len(difference.added), "n_removed": len(difference.removed), "n_unchanged": difference.unchanged,
            "added": difference.added[:LISTED], "removed": difference.removed[:LISTED],
            "problems_added": difference.problems_added[:LISTED], "problems_removed": difference.problems_removed[:LISTED],
        }  # fmt: skip
        return self.answer(ChangesSerializer(values).data)


class ExportsView(ApiView):
    """The exports of a snapshot."""

    http_method_names = ["post"]
    write_roles = people.RESEARCHERS

    @describe(
        "exports_start", "Export a snapshot", OrderSerializer, body=NewExportSerializer, status=201, tag="snapshots", has_key=True,
        problems=(*WRITING, "role_too_low", "snapshot_without_content"),
        examples=[OpenApiExample("For TRL, packed", {"format": "trl", "compression": "gzip"}, request_only=True)],
    )  # fmt: skip
    def post(self, request: Any, slug: str, number: int) -> HttpResponse:
        """Let a worker write a snapshot to one file or several. If the same export is there already, or at work, it is its order."""
        self.read_query()
        snapshot = snapshot_of(self, number)
        wanted = self.read_body(NewExportSerializer)
        return self.answer_once(wanted, lambda: self._export(snapshot, wanted))

    def _export(self, snapshot: "Snapshot", wanted: dict[str, Any]) -> tuple[int, Any]:
        shares = wanted.pop("shares", None)
        try:
            choice = export.ExportChoice(**wanted, rule=export.SplitRule(**shares) if shares else None)
            order = export.order_export(snapshot, choice, actor=self.person)
        except export.BadSplitRule as bad:
            raise bad_field("shares", str(bad)) from None
        except (BadOption, export.OutputRefused) as bad:
            raise bad_field("options", str(bad)) from None
        except export.ContentMissing as missing:
            raise ApiRefused("snapshot_without_content", str(missing)) from None
        return 201, shown(export.find_order(self.request.access.project, order.pk))


def snapshot_of(view: ApiView, number: int) -> "Snapshot":
    """Return a snapshot of the project of the address. Raises ApiRefused."""
    try:
        return export.find_snapshot(view.request.access.project, number)
    except export.NoSuchSnapshot as missing:
        raise ApiRefused("not_found", str(missing)) from None


# --- orders -----------------------------------------------------------------------------------------------------------------------


class OrdersView(ApiView):
    """The orders of a project."""

    @describe("orders_list", "List orders", page_of(OrderSerializer), query=OrderQuery, tag="orders")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the snapshots and exports that were asked for, the newest first."""
        query = self.read_query(OrderQuery)
        before, limit = self.place(query)
        snapshot = snapshot_of(self, query["snapshot"]) if "snapshot" in query else None
        orders, following = export.orders_of(request.access.project, snapshot=snapshot, before=before or None, limit=limit)
        return self.answer_page(OrderSerializer, [shown(order) for order in orders], None if following is None else (following,))


class OrderView(ApiView):
    """One order."""

    @describe("orders_show", "Show an order", OrderSerializer, tag="orders")
    def get(self, request: Any, slug: str, order_id: int) -> HttpResponse:
        """Show an order, how far it is, and the files that it wrote."""
        self.read_query()
        return self.answer(shown(order_of(self, order_id)))


class CancelOrderView(ApiView):
    """The early end of an order."""

    write_roles = people.RESEARCHERS

    @describe(
        "orders_cancel", "Cancel an order", OrderSerializer, tag="orders", problems=("scope_missing", "role_too_low", "order_refused")
    )
    def post(self, request: Any, slug: str, order_id: int) -> HttpResponse:
        """Cancel an order that has not ended. A snapshot that it has taken already stays."""
        self.read_query()
        try:
            export.cancel_order(order_of(self, order_id), actor=self.person)
        except export.OrderRefused as refused:
            raise ApiRefused("order_refused", str(refused)) from None
        return self.answer(shown(order_of(self, order_id)))


class OrderFilesView(ApiView):
    """The files of an order."""

    http_method_names = ["delete"]
    write_roles = people.RESEARCHERS

    @describe(
        "orders_delete_files", "Delete the files of an order", OrderSerializer, tag="orders",
        problems=("scope_missing", "role_too_low", "order_refused"),
    )  # fmt: skip
    def delete(self, request: Any, slug: str, order_id: int) -> HttpResponse:
        """Delete the files of an export. The record of them stays, and the same export can be written again."""
        self.read_query()
        try:
            export.delete_files(order_of(self, order_id), actor=self.person)
        except export.OrderRefused as refused:
            raise ApiRefused("order_refused", str(refused)) from None
        return self.answer(shown(order_of(self, order_id)))


class OrderFileView(ApiView):
    """One file of an order."""

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        """Refuse no `Accept`: the answer is a file, and an error is a problem document whatever was asked for."""
        return super().perform_content_negotiation(request, force=True)

    @describe(
        "orders_download", "Download a file of an order",
        {
            **{(status, kind): OpenApiTypes.BINARY for status in (200, 206) for kind in FILE_TYPES},
            304: None,
        },
        tag="orders", problems=("file_gone", "no_such_range"),
    )  # fmt: skip
    def get(self, request: Any, slug: str, order_id: int, file: str) -> HttpResponseBase:
        """Send a file, or the part that `Range` asks for. The `ETag` is its sha256, so that a download that broke off goes on."""
        self.read_query()
        try:
            found = export.find_file(order_of(self, order_id), file)
            answer = export.send_file(request._request, found.path, name=file, sha256=found.file.sha256)
        except export.NoSuchOrder as missing:
            raise ApiRefused("not_found", str(missing)) from None
        except (export.OrderRefused, export.DownloadGone) as gone:
            raise ApiRefused("file_gone", str(gone)) from None
        if answer.status_code == 412:
            raise changed()
        if answer.status_code == 416:
            headers = {"Content-Range": answer["Content-Range"]}
            raise ApiRefused("no_such_range", f"The file has {found.file.n_bytes:,} bytes. The range begins behind them.", headers=headers)
        return answer


def order_of(view: ApiView, order_id: int) -> "DataOrder":
    """Return an order of the project of the address. Raises ApiRefused."""
    try:
        return export.find_order(view.request.access.project, order_id)
    except export.NoSuchOrder as missing:
        raise ApiRefused("not_found", str(missing)) from None
