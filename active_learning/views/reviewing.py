"""The pages of reviewers: the queue of disagreements, one solution with everybody's readings, and what a reviewer does with it.

A view reads the request, calls one function of a stage, and renders.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from active_learning import pages, registry
from active_learning.views.forms import ReviewedGoldForm, SendBackForm, faults_of
from annotation import keys, labels, people, quality, queue
from annotation.views import KEY, SignedInRequest, for_roles, read_body, read_key
from annotation.views.labeling import background

if TYPE_CHECKING:
    from annotation.models import Project


@require_GET
@never_cache
@for_roles(people.WRITERS)
def review(request: SignedInRequest, project: "Project") -> HttpResponse:
    """List the disagreements, those worth most first."""
    page = {"project": project, "queue": quality.review_queue(project, reviewer=request.user)}
    return render(request, "active_learning/review/queue.html", page)


@require_GET
@never_cache
@for_roles(people.WRITERS)
def review_solution(request: SignedInRequest, project: "Project", solution_id: int) -> HttpResponse:
    """Show a solution with everybody's readings, to decide on it; after an own verdict, also what the model says. `again`: decide again."""
    shown = _review(request, project, solution_id)
    is_again = "again" in request.GET and not shown.why_not
    is_own = shown.decision is not None and shown.decision.labeler_id == request.user.pk
    if shown.decision and not is_again and (shown.is_settled or is_own or shown.why_not):
        return _decided(request, project, shown)
    page: dict[str, Any] = {"project": project, "review": shown}
    if shown.why_not:
        return render(request, "active_learning/review/closed.html", page)
    own = shown.kept or (labels.ratings_of(shown.decision) if shown.decision and is_own else [])
    page |= {
        "draft": orjson.dumps({"revision": 0, "ratings": own, "reason": ""}).decode(),
        "keys": orjson.dumps(keys.key_map(request.user)).decode(),
        "csrf_cookie": settings.CSRF_COOKIE_NAME,
        "send_back": SendBackForm(readers=shown.to_send_back),
    }
    return render(request, "active_learning/review/rate.html", page)


@background
def decide(request: SignedInRequest, slug: str, solution_id: int) -> HttpResponse:
    """Store a decision. Answer with the address of the page that shows it, or that says what happened meanwhile."""
    request.access = people.access_to(slug, person=request.user, roles=people.WRITERS)
    project = request.access.project
    fields: dict[str, type | range] = {
        "submission_id": UUID, "ratings": list, "finish_reason": str, "reason": str, "active_ms": int, "total_ms": int,
    }  # fmt: skip
    body = read_body(request, fields)
    try:
        labels.adjudicate(project, solution_id, reviewer=request.user, seen=read_key(request.GET.get("seen", "")) or 0, **body)
    except labels.CannotAdjudicate as error:
        messages.warning(request, str(error))
    else:
        with suppress(registry.VersionRefused):
            registry.ask_for_missing_steps(project, solution_id)
    return HttpResponse(orjson.dumps({"next": _address(project, solution_id)}), content_type="application/json")


@require_POST
@for_roles(people.WRITERS)
def send_back(request: SignedInRequest, project: "Project", solution_id: int) -> HttpResponse:
    """Send one reading back to its labeler with a message."""
    shown = _review(request, project, solution_id)
    form = SendBackForm(request.POST, readers=shown.to_send_back)
    if form.is_valid():
        try:
            quality.send_back(project, form.cleaned_data["reading"], sender=request.user, text=form.cleaned_data["text"])
        except quality.BadMessage as error:
            messages.error(request, str(error))
        else:
            messages.success(request, "Sent back. The labeler reads your message on the home page and can look at this solution again.")
            return redirect(_address(project, solution_id) if shown.decision else reverse("review", args=[project.slug]))
    else:
        messages.error(request, " ".join(faults_of(form)))
    return redirect(_address(project, solution_id))


@require_POST
@for_roles(people.WRITERS)
def make_gold(request: SignedInRequest, project: "Project", solution_id: int) -> HttpResponse:
    """Make a decided solution gold, or change its gold."""
    shown = _review(request, project, solution_id)
    form = ReviewedGoldForm(request.POST, review=shown)
    if form.is_valid():
        typed = form.cleaned_data
        try:
            is_new = quality.make_gold(project, solution_id, **typed, seen=request.POST.get("seen", ""), actor=request.user)
        except (quality.GoldRefused, quality.NoGold) as error:
            messages.error(request, str(error))
        else:
            quality.renew_gold(project)
            messages.success(
                request, "The solution is gold now." if is_new else "The gold is changed. Answers are judged by it from now on."
            )
    else:
        messages.error(request, " ".join(faults_of(form)))
    return redirect(_address(project, solution_id))


def _decided(request: SignedInRequest, project: "Project", shown: quality.Review) -> HttpResponse:
    model = pages.model_reading(project, shown.solution) if shown.has_own_verdict else None
    if request.htmx and model:  # from the page that waits for a worker
        return HttpResponseClientRefresh() if model.is_scored else HttpResponse(status=204)
    following = quality.review_queue(project, reviewer=request.user).conflicts
    page = {
        "project": project,
        "review": shown,
        "model": model,
        "rows": list(zip(shown.steps, model.right if model else [None] * len(shown.steps), strict=True)),
        "following": next((row.solution.pk for row in following if row.solution.pk != shown.solution.pk), None),
        "n_left": len(following),
        "send_back": SendBackForm(readers=shown.to_send_back),
        "gold_form": ReviewedGoldForm(None, review=shown),
        "seen": quality.seen_of_gold(shown.gold),
    }
    return render(request, "active_learning/review/decided.html", page)


def _review(request: SignedInRequest, project: "Project", solution_id: int) -> quality.Review:
    try:
        return quality.review_of(project, solution_id if solution_id in KEY else 0, reviewer=request.user)
    except queue.NoSuchSolution as error:
        raise Http404(str(error)) from None


def _address(project: "Project", solution_id: int) -> str:
    return reverse("review-solution", kwargs={"slug": project.slug, "solution_id": solution_id})
