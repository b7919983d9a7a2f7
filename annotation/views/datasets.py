"""The pages of data sets: a new snapshot with its preview, one snapshot, and its exports with their files."""

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from annotation import export, people
from annotation.views import SignedInRequest, View, for_roles, read_key
from annotation.views.forms.datasets import ExportForm, FolderForm, SnapshotForm
from annotation.views.markdown import render_guidelines

if TYPE_CHECKING:
    from annotation.models import DataOrder, Project, Snapshot

SHOWN_PROBLEMS = 20  # of a difference
SHOWN_FILES = 6  # of each export of a snapshot; the page of the export shows all


def of_snapshots(view: View) -> View:
    """Decorate a view of one snapshot: one that does not exist is a missing page."""

    @for_roles(people.RESEARCHERS)
    @wraps(view)
    def guarded(request: SignedInRequest, project: "Project", number: int) -> HttpResponseBase:
        try:
            return view(request, project, export.find_snapshot(project, number))
        except export.NoSuchSnapshot as error:
            raise Http404(str(error)) from None

    return guarded


def of_orders(view: View) -> View:
    """Decorate a view of one order: one that does not exist is a missing page, and a refusal is said on the page of the order."""

    @for_roles(people.RESEARCHERS)
    @wraps(view)
    def guarded(request: SignedInRequest, project: "Project", order_id: int, **more: Any) -> HttpResponseBase:
        try:
            return view(request, project, export.find_order(project, order_id), **more)
        except export.NoSuchOrder as error:
            raise Http404(str(error)) from None
        except (export.OrderRefused, export.DownloadGone) as refused:
            messages.error(request, str(refused))
            return redirect("order", slug=project.slug, order_id=order_id)

    return guarded


# --- snapshots ------------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.RESEARCHERS)
def new_snapshot(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the filters and what a snapshot would hold; take it when that was looked at."""
    choices = export.filter_choices(project)
    named = [(row.pk, f"batch {row.pk}: {row.get_kind_display()}{_generation(row.generation)}") for row in choices.batches]
    is_asked = "preview" in request.GET or request.method == "POST"
    form = SnapshotForm((request.POST or request.GET) if is_asked else None, generations=choices.generations, batches=named)
    page: dict[str, Any] = {"project": project, "form": form, "more_batches": choices.has_more_batches}
    if is_asked and form.is_valid():
        try:
            if request.method == "POST":
                order = export.order_snapshot(project, form.chosen, actor=request.user)
                return redirect("order", slug=project.slug, order_id=order.pk)
            page |= {"asked": True, "words": export.filter_in_words(form.chosen.spec)}
            page["preview"] = preview = export.preview_snapshot(project, form.chosen)
            page["examples"] = [(row, export.ENDS[row.finish_reason]) for row in preview.examples]
            page["ends"] = [(export.ENDS[reason], count) for reason, count in preview.finish_reasons.items()]
        except export.BadFilter as bad:
            form.refuse(bad)
            page["asked"] = False
        except export.TooLarge as large:
            page["too_large"] = str(large)
    return render(request, "annotation/datasets/new.html", page, status=400 if form.errors else 200)


def _generation(number: int | None) -> str:
    return "" if number is None else f", generation {number}"


@require_GET
@never_cache
@of_snapshots
def snapshot(request: SignedInRequest, project: "Project", snapshot: "Snapshot") -> HttpResponse:
    """Show a snapshot: what it holds, what changed, and its exports."""
    return _page(request, project, snapshot, ExportForm(), FolderForm(title=project.name))


def _page(request: SignedInRequest, project: "Project", snapshot: "Snapshot", form: ExportForm, folder: FolderForm) -> HttpResponse:
    orders, older = export.orders_of(project, snapshot=snapshot, before=read_key(request.GET.get("before", "")))
    page: dict[str, Any] = {
        "project": project,
        "snapshot": snapshot,
        "by": export.taken_by(snapshot),
        "words": export.filter_in_words(snapshot.spec),
        "ends": [(export.ENDS.get(reason, reason), count) for reason, count in snapshot.counts.get("finish_reasons", {}).items()],
        "orders": [described(order) for order in orders if order.format],
        "older": older,
        "form": form,
        "folder": folder,
        "others": export.other_snapshots(snapshot),
        "kept_orders": export.KEPT_ORDERS,
        "kept_gigabytes": export.KEPT_BYTES // 10**9,
    }
    compared = request.GET.get("with", "")
    if compared:
        page |= {"compared": compared, **_difference(project, snapshot, compared)}
    return render(request, "annotation/datasets/snapshot.html", page, status=400 if form.errors or folder.errors else 200)


def _difference(project: "Project", snapshot: "Snapshot", compared: str) -> dict[str, Any]:
    """Compare a snapshot with another one, or with the labels as they are now ("now")."""
    try:
        if compared == "now":
            found = export.changed_since(snapshot, seconds=export.PREVIEW_SECONDS)
        else:
            other = export.find_snapshot(project, read_key(compared) or 0)
            old, new = sorted((snapshot, other), key=lambda one: one.number)
            found = export.compare_snapshots(old, new)
    except (export.NoSuchSnapshot, export.TooLarge) as refused:
        return {"difference_fault": str(refused)}
    return {
        "difference": found,
        "difference_from": snapshot.number if compared == "now" else old.number,
        "difference_to": None if compared == "now" else new.number,
        "problems": [
            ("With new labels", found.problems_added[:SHOWN_PROBLEMS], len(found.problems_added) - SHOWN_PROBLEMS),
            ("With labels that are gone", found.problems_removed[:SHOWN_PROBLEMS], len(found.problems_removed) - SHOWN_PROBLEMS),
        ],
    }


# --- exports --------------------------------------------------------------------------------------------------------------------


def described(order: "DataOrder") -> dict[str, Any]:
    """Return an order with the words that a page shows."""
    files = [{"row": file, "name": Path(file.name).name} for file in order.files.all()]
    return {
        "order": order,
        "is_moving": order.state in ("waiting", "running"),
        "container": export.CONTAINER_WORDS.get(order.container, order.container),
        "choice": export.choice_in_words(order.format, {"options": order.options, "rule": order.rule, "limits": order.limits}),
        "files": files,
        "first_files": files[:SHOWN_FILES],
        "n_more_files": len(files[SHOWN_FILES:]),
    }


@require_POST
@of_snapshots
def order_export(request: SignedInRequest, project: "Project", snapshot: "Snapshot") -> HttpResponse:
    """Let a worker write an export of a snapshot."""
    form = ExportForm(request.POST)
    if form.is_valid():
        try:
            order = export.order_export(snapshot, form.choice, actor=request.user)
            return redirect("order", slug=project.slug, order_id=order.pk)
        except (export.OutputRefused, export.BadOption, export.ContentMissing) as refused:
            form.add_error(None, str(refused))
    return _page(request, project, snapshot, form, FolderForm(title=project.name))


@require_POST
@of_snapshots
def order_folder(request: SignedInRequest, project: "Project", snapshot: "Snapshot") -> HttpResponse:
    """Let a worker write a snapshot as a data set folder."""
    form = FolderForm(request.POST, title=project.name)
    if form.is_valid():
        try:
            order = export.order_export(snapshot, form.choice, actor=request.user)
            return redirect("order", slug=project.slug, order_id=order.pk)
        except (export.BadOption, export.ContentMissing) as refused:
            form.add_error(None, str(refused))
    return _page(request, project, snapshot, ExportForm(), form)


@require_POST
@for_roles(people.RESEARCHERS)
def download_labels(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Let a worker take a snapshot without a filter and write it as PRM800K records: the quickest way to a file."""
    chosen = export.SnapshotFilter(newcomers="without_newcomers" not in request.POST)
    order = export.order_snapshot(project, chosen, export=export.ExportChoice(), actor=request.user)
    return redirect("order", slug=project.slug, order_id=order.pk)


@require_GET
@never_cache
@of_orders
def order(request: SignedInRequest, project: "Project", order: "DataOrder") -> HttpResponseBase:
    """Show an export: how far it is, its files, what it could not hold. The page fetches its progress every second."""
    page: dict[str, Any] = {"project": project, **described(order)}
    page["several"] = order.format != export.FOLDER and len(page["files"]) > 1
    if request.htmx:
        if request.GET.get("seen") != order.state:
            return HttpResponseClientRefresh()  # the rest of the page has changed
        return render(request, "annotation/datasets/_progress.html", page)
    if order.state == "done" and not order.format and order.snapshot:
        return redirect("snapshot", slug=project.slug, number=order.snapshot.number)
    if order.spec is not None:
        page["words"] = export.filter_in_words(order.spec)
    if card := export.card_of(order):
        page["card"] = render_guidelines(card)
    return render(request, "annotation/datasets/order.html", page)


@require_POST
@of_orders
def cancel_order(request: SignedInRequest, project: "Project", order: "DataOrder") -> HttpResponse:
    """Cancel an order."""
    export.cancel_order(order, actor=request.user)
    messages.success(request, "It is cancelled. No file of it stays.")
    return redirect("order", slug=project.slug, order_id=order.pk)


@require_POST
@of_orders
def delete_files(request: SignedInRequest, project: "Project", order: "DataOrder") -> HttpResponse:
    """Delete the files of an export."""
    export.delete_files(order, actor=request.user)
    messages.success(request, "The files are deleted. Their record stays, and the same export has the same bytes again.")
    return redirect("order", slug=project.slug, order_id=order.pk)


@require_http_methods(["GET", "HEAD"])
@of_orders
def export_file(request: SignedInRequest, project: "Project", order: "DataOrder", file: str) -> HttpResponseBase:
    """Send a file of an export."""
    found = export.find_file(order, file)
    return export.send_file(request, found.path, name=file, sha256=found.file.sha256)
