"""What a labeler sees and sends: home, the labeling page, drafts, submits, skips.

The page is rendered once; each submit answers with the next solution as a fragment. Every refusal of a background request is
JSON {code, message}, a sentence the page shows as it is, so that no work is ever lost silently.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required, login_required
from django.core.exceptions import ObjectDoesNotExist
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from sesame.views import LoginView

from annotation import labels, quality, queue
from annotation.views import KEY, MILLISECONDS, BadBody, for_roles, read_body

if TYPE_CHECKING:
    from annotation.models import Project

log = logging.getLogger(__name__)

REFUSALS = {
    "signed_out": "You are signed out, or your account was closed. Your ratings stay in this browser until you sign in again.",
    "not_found": "This solution is not open to you any more.",
    "busy": "The server is busy. It is tried again by itself; nothing is lost.",
}


@method_decorator(login_not_required, name="dispatch")
class SignInByLink(LoginView):
    """Sign a person in by a one-time link; a used or old one leads to the sign-in page, which says so."""

    def login_failed(self) -> HttpResponse:
        messages.error(self.request, "This sign-in link was used before, or is too old. Ask for a new one, or sign in with your password.")
        return redirect("sign-in")


@require_GET
@login_required
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "annotation/home.html", {"cards": quality.projects_of(request.user)})


@require_GET
@never_cache
@for_roles(quality.LABELERS)
def label(request: HttpRequest, project: "Project") -> HttpResponse:
    """Hand out the next solution, or the one this person already holds, as a whole page."""
    page = {"record": quality.labeler_record(request.user, project=project), "csrf_cookie": settings.CSRF_COOKIE_NAME}
    return render(request, "annotation/label.html", {**page, **_next_solution(request, project)})


@require_GET
@for_roles(quality.LABELERS | quality.RESEARCHERS)
def guidelines(request: HttpRequest, project: "Project") -> HttpResponse:
    """Show the guidelines as a tree of nodes: templates write every tag themselves, so no HTML of the text is ever trusted."""
    text = MarkdownIt("js-default", {"html": False}).parse(project.guidelines)
    return render(request, "annotation/_guidelines.html", {"project": project, "tree": SyntaxTreeNode(text)})


def background(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorate what the labeling page sends in the background: POST, and every refusal as JSON {code, message}."""

    @login_not_required  # it answers 401 itself: a redirect to the sign-in page would look like a success to a script
    @require_POST
    @wraps(view)
    def answered(request: HttpRequest, assignment_id: int) -> HttpResponse:
        if not request.user.is_authenticated:
            return _refuse(401, "signed_out")
        try:
            if assignment_id not in KEY:
                raise Http404
            return view(request, assignment_id)
        except labels.BadSubmission as error:
            return _refuse(400, error.code, str(error))
        except BadBody as error:
            return _refuse(400, "bad_request", str(error))
        except labels.SubmissionConflict as error:
            return _refuse(409, "submission_conflict", str(error))
        except queue.LeaseLost as error:
            return _refuse(409, "lease_lost", str(error))
        except (Http404, ObjectDoesNotExist):
            return _refuse(404, "not_found")
        except (OperationalError, InterfaceError) as error:  # deadlock, lock timeout, database restarting: the page tries again
            log.warning("%s answered 503: %s", request.path, error)
            return _refuse(503, "busy")

    return answered


@background
def draft(request: HttpRequest, assignment_id: int) -> HttpResponse:
    body = read_body(request, {"token": MILLISECONDS, "revision": MILLISECONDS, "ratings": list})
    return JsonResponse({"revision": labels.save_draft(assignment_id, labeler=request.user, **body)})


@background
def submit(request: HttpRequest, assignment_id: int) -> HttpResponse:
    """Store the ratings; answer with the next solution."""
    fields = {
        "token": MILLISECONDS, "submission_id": UUID, "ratings": list, "finish_reason": str, "reason": str,
        "active_ms": MILLISECONDS, "total_ms": MILLISECONDS,
    }  # fmt: skip
    project = quality.project_of_seat(request.user, assignment_id)
    labels.submit(assignment_id, labeler=request.user, **read_body(request, fields))
    return _fragment(request, project)


@background
def skip(request: HttpRequest, assignment_id: int) -> HttpResponse:
    """Hand the solution to another labeler; answer with the next one."""
    project = quality.project_of_seat(request.user, assignment_id)
    labels.skip(assignment_id, labeler=request.user, **read_body(request, {"token": MILLISECONDS, "reason": str}))
    return _fragment(request, project)


@background
def extend(request: HttpRequest, assignment_id: int) -> HttpResponse:
    """Keep the solution for somebody who is still at work on it."""
    body = read_body(request, {"token": MILLISECONDS})
    expires_at = queue.extend_lease(assignment_id, labeler=request.user, **body)
    return JsonResponse({"seconds": _seconds_until(expires_at)})


def _fragment(request: HttpRequest, project: "Project") -> HttpResponse:
    return render(request, "annotation/_work.html", _next_solution(request, project))


def _next_solution(request: HttpRequest, project: "Project") -> dict[str, Any]:
    """Lease the next solution and return what its fragment needs, or why there is none."""
    try:
        lease = quality.lease_next(request.user, project=project)
    except queue.NothingToLabel as error:
        return {"project": project, "nothing": "nothing_to_label", "message": str(error)}
    except queue.NotQualified as error:
        return {"project": project, "nothing": "not_qualified", "message": str(error)}
    return {
        "project": project,
        "lease": lease,
        "draft": orjson.dumps(lease.draft).decode() if lease.draft else "",
        "lease_seconds": _seconds_until(lease.expires_at),
    }


def _seconds_until(moment: Any) -> int:
    return max(0, round((moment - timezone.now()).total_seconds()))


def _refuse(status: int, code: str, message: str = "") -> JsonResponse:
    return JsonResponse({"code": code, "message": message or REFUSALS[code]}, status=status)
