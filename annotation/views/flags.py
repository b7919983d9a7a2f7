"""The page of flags: what the watch over bad work found, and what managers decide."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation import people, quality
from annotation.views import KEY, SignedInRequest, for_roles

if TYPE_CHECKING:
    from annotation.models import Project


@require_GET
@never_cache
@for_roles(people.MANAGERS)
def flags(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the flags that wait for a decision, the people in quarantine, and what was decided before."""
    return _page(request, project)


@require_POST
@never_cache
@for_roles(people.MANAGERS)
def decide(request: SignedInRequest, project: "Project", flag_id: int) -> HttpResponse:
    """Dismiss a flag, pause the person, or also put the labels into quarantine."""
    decision, note, seen = (request.POST.get(name, "") for name in ("decision", "note", "seen"))
    try:
        sentence = quality.decide_flag(
            project, flag_id if flag_id in KEY else 0, actor=request.user, decision=decision, note=note, seen=seen
        )
    except (quality.NoSuchFlag, quality.NoSuchMember) as unknown:
        raise Http404(str(unknown)) from None
    except quality.MemberRefused as refused:
        status = 409 if isinstance(refused, quality.MemberChanged) else 400
        return _page(request, project, error=str(refused), typed={"flag": flag_id, "note": note}, status=status)
    messages.success(request, sentence)
    return redirect("flags", slug=project.slug)


@require_POST
@never_cache
@for_roles(people.MANAGERS)
def lift(request: SignedInRequest, project: "Project", membership_id: int) -> HttpResponse:
    """Lift a quarantine."""
    try:
        number = membership_id if membership_id in KEY else 0
        sentence = quality.lift_quarantine(project, number, actor=request.user, seen=request.POST.get("seen", ""))
    except quality.NoSuchMember as unknown:
        raise Http404(str(unknown)) from None
    except quality.MemberRefused as refused:
        return _page(request, project, error=str(refused), status=409 if isinstance(refused, quality.MemberChanged) else 400)
    messages.success(request, sentence)
    return redirect("flags", slug=project.slug)


def _page(
    request: SignedInRequest, project: "Project", *, error: str = "", typed: dict[str, object] | None = None, status: int = 200
) -> HttpResponse:
    page = {"project": project, "shown": quality.flags_page(project), "error": error, "typed": typed or {}}
    return render(request, "annotation/flags.html", page, status=status)
