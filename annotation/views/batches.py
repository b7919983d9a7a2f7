"""The pages of batches: the list, and one batch with what a manager can change while people work in it."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from annotation import people, quality, queue
from annotation.views import SignedInRequest, for_roles, read_key
from annotation.views.bars import bars_of
from annotation.views.forms.batches import ACTS, BatchForm, NewcomersForm

if TYPE_CHECKING:
    from annotation.models import Batch, Project

ASKED_FIRST = frozenset({"publish", "pause", "close", "overlap", "return"})


@require_GET
@for_roles(people.RESEARCHERS)
def batches(request: SignedInRequest, project: "Project") -> HttpResponse:
    """List the batches of a project, the newest first."""
    rows, before = quality.batches_of(project, before=read_key(request.GET.get("before", "")))
    page = {"project": project, "rows": rows, "before": before, "can_begin": not rows and quality.can_begin(project)}
    return render(request, "annotation/batches/list.html", page)


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.RESEARCHERS)
def batch(request: SignedInRequest, project: "Project", batch_id: int) -> HttpResponse:
    """Show one batch. A manager's POST asks what an act will do, and the next one does it."""
    try:
        found = quality.find_batch(project, batch_id)
    except quality.NoSuchBatch as error:
        raise Http404(str(error)) from None
    form, asked = BatchForm(), None
    if request.method == "POST":
        request.access.require(people.MANAGERS)
        form = BatchForm(request.POST)
        if form.is_valid():
            typed = form.cleaned_data
            if typed["act"] in ASKED_FIRST and not typed["sure"]:
                asked = _question(found, typed)
            else:
                try:
                    messages.success(request, _done(found, typed, request=request))
                    return redirect("batch", slug=project.slug, batch_id=found.pk)
                except queue.BadBatch as refused:
                    form.add_error(None, str(refused))
                    found.refresh_from_db()
    shown = quality.batch_page(project, found)
    if not form.errors:  # also with a question, whose own form carries what was typed
        form = BatchForm(overlap=shown["overlaps"]["most"])
    page = {"project": project, "form": form, "asked": asked, "bars": bars_of(shown["days"]), **shown}
    return render(request, "annotation/batches/batch.html", page, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def compose_newcomers(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Compose practice, screening or gold: the form draws solutions, a person leaves some out, and a POST publishes the others."""
    trusted = quality.trusted_people(project)
    data = request.POST if request.method == "POST" else request.GET if "by" in request.GET else None
    form, drawn = NewcomersForm(data, people=trusted), []
    if form.is_valid():
        typed = form.cleaned_data
        choice = {"by": typed["by"], "kind": typed["kind"]}
        try:
            if request.method == "POST":
                kept = [key for text in request.POST.getlist("keep") if (key := read_key(text)) is not None]
                if typed["kind"] == "gold":
                    mixed = quality.mix_gold(project, by=typed["by"], solutions=kept, actor=request.user)
                    messages.success(
                        request, f"Gold in this batch: {len(set(kept)):,} more. People get it at {project.gold_percent} % of turns."
                    )
                    return redirect("batch", slug=project.slug, batch_id=mixed.pk)
                is_draft = "draft" in request.POST
                published = quality.publish_for_newcomers(project, **choice, solutions=kept, is_draft=is_draft, actor=request.user)
                first = "It is for people who get another attempt" if typed["kind"] == "repeat" else "Newcomers get its solutions first"
                state = "kept as a draft. Nobody gets it before you publish it" if is_draft else f"published. {first}"
                messages.success(request, f"The {published.get_kind_display().lower()} is {state}.")
                return redirect("batch", slug=project.slug, batch_id=published.pk)
            drawn = quality.drawn_for_newcomers(project, **choice, size=typed["size"], seed=typed["seed"] or 0)
        except quality.BadScreening as refused:
            form.add_error(None, str(refused))
    page = {"project": project, "form": form, "drawn": drawn, "trusted": trusted, "supply": quality.gold_supply(project)}
    if drawn:
        page["next_seed"] = (form.cleaned_data["seed"] or 0) + 1
    return render(request, "annotation/batches/newcomers.html", page, status=400 if form.errors else 200)


def _question(found: "Batch", typed: dict[str, Any]) -> dict[str, Any]:
    if typed["act"] == "return":
        lines = [
            "The solution goes back to the queue. What the person submits late still counts until somebody else takes it.",
            "Their ratings so far are kept as a draft.",
        ]
    else:
        lines = quality.consequences(found, typed["act"], overlap=typed["overlap"])
    return {"title": ACTS[typed["act"]], "lines": lines, **typed}


def _done(found: "Batch", typed: dict[str, Any], *, request: SignedInRequest) -> str:
    """Do an act and return the sentence that says so. Raises queue.BadBatch."""
    how: dict[str, Any] = {"actor": request.user, "seen": typed["seen"]}
    match typed["act"]:
        case "publish":
            queue.publish_draft(found, **how)
            return "The batch is published. Labelers get its solutions now."
        case "pause":
            queue.pause_batch(found, **how)
            return "The batch is paused. What people hold can be finished."
        case "resume":
            queue.resume_batch(found, **how)
            return "The batch is handed out again."
        case "close":
            closed = queue.close_batch(found, **how)
            return f"The batch is closed. {closed:,} open place{'' if closed == 1 else 's'} closed. What people hold can be finished."
        case "overlap":
            change = queue.change_overlap(found, typed["overlap"], **how)
            counts = f"{change.opened:,} opened, {change.closed:,} closed, {change.in_hand:,} more can still be finished"
            return f"The overlap is {typed['overlap']} now. Places: {counts}."
        case "return":
            person = queue.return_lease(typed["assignment"] or 0, project=request.access.project, actor=request.user)
            return f"The solution that {person} held is back in the queue."
    place = {"first": queue.FIRST, "last": queue.LAST}.get(typed["act"], queue.IN_ORDER)
    queue.move_batch(found, place, **how)
    return "The order is changed. What people hold stays with them."
