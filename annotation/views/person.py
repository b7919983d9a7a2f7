"""The pages of a person: home, messages, keys, and a project's guidelines."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import keys, people, projects, quality
from annotation.views import COUNT, KEY, SignedInRequest, for_roles, read_key, render_fragment
from annotation.views.forms import KeysForm
from annotation.views.markdown import render_guidelines

if TYPE_CHECKING:
    from annotation.models import Project


@require_GET
@login_required
def home(request: SignedInRequest) -> HttpResponse:
    """Show a person's projects, their own work in each, and their messages."""
    letters = list(quality.messages_to(request.user))
    shown = quality.projects_of(request.user)
    page = {
        "unread": [letter for letter in letters if not letter.read_at],
        "read": [letter for letter in letters if letter.read_at],
        "cards": [card for card in shown if not card.project.archived_at],
        "archived": [card for card in shown if card.project.archived_at],
        "day": quality.day_in(shown) if any(card.labels for card in shown) else None,
        "can_create": projects.can_create(request.user),
    }
    return render(request, "annotation/home.html", page)


@require_POST
@login_required
def mark_read(request: SignedInRequest, message_id: int) -> HttpResponse:
    """Mark a message as read. Somebody else's message, or one that is already read, stays as it is."""
    if message_id in KEY:
        quality.mark_read(message_id, recipient=request.user)
    return redirect("home")


@require_GET
@for_roles(people.LABELERS | people.RESEARCHERS)
def guidelines(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the guidelines, and note that somebody who labels has opened this version."""
    part: dict[str, Any] = {"project": project, "guidelines": render_guidelines(project.guidelines)}
    part["version"] = projects.find_version(project, project.guidelines_version)
    if request.access.labels and request.access.guidelines_read < project.guidelines_version:
        part["missed_since"] = request.access.guidelines_read
        projects.read_guidelines(project, reader=request.user)
    return render_fragment(request, "annotation/_guidelines.html", part, title="Guidelines")


@require_GET
@never_cache
@for_roles(people.LABELERS)
def record(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show a labeler their record on gold, and what they missed: their reading beside gold. Nothing of today and yesterday."""
    return render(request, "annotation/record.html", {"project": project, "missed": quality.missed_gold(request.user, project=project)})


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.LABELERS | people.RESEARCHERS)
def guidelines_versions(request: SignedInRequest, project: "Project") -> HttpResponse:
    """List the versions of the guidelines, and what changed between two of them. A manager's POST notes why one came."""
    error = ""
    if request.method == "POST":
        request.access.require(people.MANAGERS)
        number = read_key(request.POST.get("number", "")) or 0
        try:
            projects.note_version(project, number, request.POST.get("note", ""), actor=request.user)
        except (projects.BadNote, projects.NoSuchGuidelines) as refused:
            error = str(refused)
        else:
            messages.success(request, f"The note of version {number} is stored.")
            return redirect("guidelines-versions", slug=project.slug)
    versions = projects.guidelines_versions(project)
    newest = project.guidelines_version
    asked = [read_key(request.GET.get(name, "")) for name in ("a", "b")]
    first, second = asked[0] or max(newest - 1, 1), asked[1] or newest
    try:
        old, new = (projects.find_version(project, min(number, COUNT.stop - 1)) for number in (first, second))
    except projects.NoSuchGuidelines as unknown:
        raise Http404(str(unknown)) from None
    lines = projects.compare_texts(old.text, new.text)
    page = {
        "project": project,
        "versions": versions,
        "old": old,
        "new": new,
        "lines": lines[: projects.SHOWN_LINES],
        "n_more": max(0, len(lines) - projects.SHOWN_LINES),
        "readers": projects.readers_of(project) if request.access.manages else [],
        "error": error,
        "note": request.POST.get("note", ""),
    }
    return render(request, "annotation/projects/guidelines.html", page, status=400 if error else 200)


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def choose_keys(request: SignedInRequest) -> HttpResponse:
    """Show a person's keys, action by action, and store new ones or restore the defaults."""
    if "defaults" in request.POST:
        keys.reset_keys(request.user)
        messages.success(request, "You have the default keys again.")
        return redirect("keys")
    form = KeysForm(request.POST if request.method == "POST" else None, present=keys.key_map(request.user))
    if form.is_valid():
        try:
            keys.choose_keys(request.user, form.cleaned_data)
        except keys.BadKeys as error:
            for name, fault in error.faults.items():
                form.add_error(name, fault)
        else:
            messages.success(request, "Your keys are saved.")
            return redirect("keys")
    page = {"form": form, "named": " ".join(map(keys.write_key, keys.NAMED.values()))}
    return render(request, "annotation/keys.html", page, status=400 if form.errors else 200)
