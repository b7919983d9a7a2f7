"""The page Data of a project: files that are uploaded and imported, snapshots, and the way to new ones."""

import logging
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from annotation import export, imports, people, projects, quality
from annotation.views import SignedInRequest, View, for_roles, read_key
from annotation.views.forms.imports import ReadingForm, UploadForm
from trainer.files import is_disk_full

if TYPE_CHECKING:
    from annotation.models import Import, Project

log = logging.getLogger(__name__)

# Errors of a file name the options of the commands. On a page these are fields.
FIELDS = {
    "--allow-broken-steps": "“Allow more than 1 % broken steps”",
    "--steps-by": "“Cut texts into steps by”",
    "--format": "“Format”",
    "--megabytes": "the command load_solutions",
    "--map": "“Names in the file”",
    "--items FILE": "the command load_solutions --items FILE",
    "--items": "the command load_solutions --items",
    "load_problems --update": "the command load_problems --update",
}


def of_imports(view: View) -> View:
    """Decorate a view of one import: an import that does not exist is a missing page, and a refusal is said on the page of the import."""

    @for_roles(people.MANAGERS)
    @wraps(view)
    def guarded(request: SignedInRequest, project: "Project", import_id: int) -> HttpResponseBase:
        try:
            return view(request, project, imports.find(project, import_id))
        except imports.NoSuchImport as error:
            raise Http404(str(error)) from None
        except imports.ImportRefused as refused:
            messages.error(request, str(refused))
            return redirect("import", slug=project.slug, import_id=import_id)

    return guarded


@require_GET
@for_roles(people.RESEARCHERS)
def data(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the imports of a project, its snapshots, and the download of its labels."""
    return _data(request, project, UploadForm())


def _data(request: SignedInRequest, project: "Project", form: UploadForm) -> HttpResponse:
    rows = imports.of_project(project, before=read_key(request.GET.get("before", "")))
    snapshots, older = export.listed_snapshots(project, before=read_key(request.GET.get("snapshots_before", "")))
    page = {
        "project": project,
        "form": form,
        "most_megabytes": imports.MEGABYTES,
        "imports": rows,
        "before": rows[-1].pk if len(rows) == imports.SHOWN else None,
        "snapshots": [(row, export.filter_in_words(row.snapshot.spec)) for row in snapshots],
        "older_snapshots": older,
        "has_labels": projects.has_labels(project),
        "has_screening": quality.has_screening(project),
    }
    return render(request, "annotation/imports/data.html", page, status=400 if form.errors else 200)


@require_POST
@for_roles(people.MANAGERS)
def upload(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Store an uploaded file, and let a worker check it."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _data(request, project, form)
    file = form.cleaned_data["file"]
    try:
        import_ = imports.receive(project, file.chunks(), name=file.name, actor=request.user)
    except imports.ImportRefused as refused:
        form.add_error("file", str(refused))
        return _data(request, project, form)
    except OSError as error:
        log.error("The upload to %s failed: %s", project.slug, error)
        full = is_disk_full(error)
        why = "The disk is full on the server." if full else "The server could not write the file. Its log says why."
        form.add_error("file", f"{why} Nothing was stored. Upload the file again when that is repaired.")
        return _data(request, project, form)
    return redirect("import", slug=project.slug, import_id=import_.pk)


@require_GET
@never_cache
@of_imports
def one_import(request: SignedInRequest, project: "Project", import_: "Import") -> HttpResponseBase:
    """Show an import: how far it is, what the file holds, what can be done. The page fetches its progress every second."""
    return _page(request, project, import_, ReadingForm(token=import_.token, options=imports.options_of(import_)))


def _page(request: SignedInRequest, project: "Project", import_: "Import", form: ReadingForm) -> HttpResponseBase:
    page: dict[str, Any] = {"project": project, "import": import_, "is_moving": import_.state in imports.AT_WORK}
    if request.htmx:
        if request.GET.get("seen") != import_.state:
            return HttpResponseClientRefresh()  # the rest of the page has changed
        return render(request, "annotation/imports/_progress.html", page)
    findings = imports.findings_of(import_)
    page |= {
        "form": form,
        "findings": findings,
        "n_graded": sum(findings.outcomes.values()) if findings else 0,
        "about": [in_fields(sentence) for sentence in findings.about] if findings else [],
        "faults": [(place, in_fields(reason), in_fields(remedy)) for place, reason, remedy in findings.faults] if findings else [],
        "failure": in_fields(import_.failure),
        "report": in_fields(import_.report).splitlines(),
        "text_kind": "markdown" if (project.text_kind or findings and findings.is_markdown and "markdown") == "markdown" else "plain",
    }
    return render(request, "annotation/imports/import.html", page, status=400 if form.errors else 200)


def in_fields(text: str) -> str:
    """Write a sentence that names options of a command with the fields of the page."""
    before, option, names = text.partition("--map ")
    if option:  # the field takes several lines, so it is named once
        text = f"{before}“Names in the file” {names.replace('--map ', '')}"
    for option, words in FIELDS.items():
        text = text.replace(option, words)
    return text


@require_http_methods(["POST"])
@of_imports
def check_import(request: SignedInRequest, project: "Project", import_: "Import") -> HttpResponseBase:
    """Check the file again by the options of the form."""
    form = ReadingForm(request.POST, token=import_.token, options=imports.options_of(import_))
    if not form.is_valid():
        return _page(request, project, import_, form)
    import_.token = form.cleaned_data["token"]  # of the state that the person saw
    imports.check_again(import_, form.options, actor=request.user)
    return redirect("import", slug=project.slug, import_id=import_.pk)


@require_POST
@of_imports
def load_import(request: SignedInRequest, project: "Project", import_: "Import") -> HttpResponse:
    """Let a worker load the file."""
    import_.token = read_key(request.POST.get("token", "")) or 0
    imports.load(import_, actor=request.user)
    return redirect("import", slug=project.slug, import_id=import_.pk)


@require_POST
@of_imports
def resume_import(request: SignedInRequest, project: "Project", import_: "Import") -> HttpResponse:
    """Continue a cancelled or failed import."""
    imports.resume(import_, actor=request.user)
    return redirect("import", slug=project.slug, import_id=import_.pk)


@require_POST
@of_imports
def cancel_import(request: SignedInRequest, project: "Project", import_: "Import") -> HttpResponse:
    """Cancel an import."""
    imports.cancel(import_, actor=request.user)
    messages.success(request, "The import is cancelled. Nothing of the file was stored. The file is kept, so you can resume.")
    return redirect("import", slug=project.slug, import_id=import_.pk)


@require_POST
@of_imports
def discard_import(request: SignedInRequest, project: "Project", import_: "Import") -> HttpResponse:
    """Delete an uploaded file that was not loaded."""
    imports.discard(import_, actor=request.user)
    messages.success(request, f"{import_.name} is deleted from the server.")
    return redirect("data", slug=project.slug)
