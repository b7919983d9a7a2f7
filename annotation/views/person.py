"""What belongs to a person rather than to a solution: home, messages, keys, and a project's guidelines."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from annotation import keys, people, quality
from annotation.views import KEY, for_roles

if TYPE_CHECKING:
    from annotation.models import Project


@require_GET
@login_required
def home(request: HttpRequest) -> HttpResponse:
    letters = list(quality.messages_to(request.user))
    page = {"unread": [one for one in letters if not one.read_at], "read": [one for one in letters if one.read_at]}
    return render(request, "annotation/home.html", {"cards": quality.projects_of(request.user), **page})


@require_POST
@login_required
def mark_read(request: HttpRequest, message_id: int) -> HttpResponse:
    """Put a message away; one that is somebody else's, or was put away before, changes nothing."""
    if message_id in KEY:
        quality.mark_read(message_id, recipient=request.user)
    return redirect("home")


@require_GET
@for_roles(people.LABELERS | people.RESEARCHERS)
def guidelines(request: HttpRequest, project: "Project") -> HttpResponse:
    """Show the guidelines as a tree of nodes: templates write every tag themselves, so no HTML of the text is ever trusted."""
    text = MarkdownIt("js-default", {"html": False}).parse(project.guidelines)
    return render(request, "annotation/_guidelines.html", {"project": project, "tree": SyntaxTreeNode(text)})


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def choose_keys(request: HttpRequest) -> HttpResponse:
    """Show a person's keys, act by act, and take others: names of keys with blanks between them."""
    written, faults = {}, {}
    if request.method == "POST":
        try:
            if "usual" in request.POST:
                keys.reset_keys(request.user)
            else:
                written = {name: request.POST.get(name, "") for name in keys.ACTS}
                keys.choose_keys(request.user, {name: text.split() for name, text in written.items()})
        except keys.BadKeys as error:
            faults = error.faults
        else:
            messages.success(request, "You have the usual keys." if "usual" in request.POST else "Your keys are stored.")
            return redirect("keys")
    mine = keys.key_map(request.user)
    rows = [
        {
            "name": name,
            "words": act.words,
            "fault": faults.get(name),
            "usual": " ".join(map(keys.write_key, act.usual)),
            "keys": written.get(name, " ".join(map(keys.write_key, mine[name]))),
        }
        for name, act in keys.ACTS.items()
    ]
    page = {"rows": rows, "faults": len(faults), "named": " ".join(map(keys.write_key, keys.NAMED.values()))}
    return render(request, "annotation/keys.html", page, status=400 if faults else 200)
