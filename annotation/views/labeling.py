"""The views of a labeler: the labeling page, drafts, submits, skips.

The page is rendered once. Each submit answers with the next solution as a fragment. A background request that is refused gets JSON
{code, message}. The page shows the message as it is, so that no work is ever lost silently.
"""

from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation import calculator, completions, keys, labels, people, preferences, quality, queue
from annotation.views import COUNT, KEY, BadBody, SignedInRequest, View, for_roles, read_body, render_fragment
from annotation.views.shown_numbers import SHOWN, NoSuchNumber, real_number, shown_number

if TYPE_CHECKING:
    from annotation.models import Project

REFUSALS = {
    "signed_out": "You are signed out, or your account was closed. Sign in with your password, here or in another tab. Or ask the manager "
    "of your project for a sign-in link, and open it in this browser.",
    "not_found": "You can no longer label this solution.",
    "no_calculator": "This project has no calculator.",
}


def for_labelers(view: View) -> View:
    """Decorate a page of labelers. The other members of the project read why they do not label there, and where to go."""

    @for_roles(people.LABELERS | people.RESEARCHERS)
    @wraps(view)
    def answered(request: SignedInRequest, project: "Project", **place: int) -> HttpResponseBase:
        if request.access.labels:
            return view(request, project, **place)
        page = {
            "project": project,
            "why": people.why_no_labeling(request.access.role, project),
            "drafts": labels.drafts_of(request.user, project=project),
        }
        return render(request, "annotation/no_labeling.html", page, status=403)

    return answered


@require_GET
@never_cache
@for_labelers
def label(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the labeling page with the next solution, or with the one this person holds already."""
    return _page(request, project, _next_solution(request, project))


@require_GET
@never_cache
@for_labelers
def recent(request: SignedInRequest, project: "Project") -> HttpResponse:
    """List the recent submissions that this person can reopen."""
    annotations = labels.reopenable(request.user, project=project)
    waiting = labels.sent_back_to(request.user, project=project)
    part = {"project": project, "annotations": annotations, "waiting": waiting, "minutes": labels.REOPEN_MINUTES}
    return render_fragment(request, "annotation/_recent.html", part, title="Your recent submissions")


@require_GET
@never_cache
@for_labelers
def reopen(request: SignedInRequest, project: "Project", annotation_id: int) -> HttpResponse:
    """Show a submitted solution with its ratings, for a correction as a new revision."""
    try:
        annotation, ratings = labels.reopen(annotation_id, labeler=request.user, project=project)
    except labels.NothingToRevise as error:
        messages.error(request, str(error))
        return redirect("label", slug=project.slug)
    problem = annotation.solution.problem
    answer = problem.answer if project.show_reference_answer else None
    reason = annotation.reason if annotation.finish_reason == "found_error" else ""
    ratings_so_far = {"revision": 0, "ratings": ratings, "reason": reason}
    solution = {"problem": problem.statement, "reference_answer": answer, "steps": annotation.solution.steps}
    work = {
        "project": project,
        "reopened": annotation,
        "sent_back": getattr(annotation, "sent_back", None),
        "first_mistake": min((rating["step"] for rating in ratings if rating["rating"] == -1), default=None),
        "assignment": shown_number(annotation.assignment_id),
        "draft": orjson.dumps(ratings_so_far).decode(),
        "lease": solution,
    }
    shown = completions.shown_completions(project, annotation.solution_id, ratings=ratings)
    return _page(request, project, work | _completions(shown))


def background(view: View) -> View:
    """Decorate a background request of the labeling page: POST only, and every refusal is JSON {code, message}, as outages are.

    The address holds the number of the assignment as the page shows it; the view gets the real one.
    """

    @login_not_required  # it answers 401 itself: to a script, a redirect to the sign-in page looks like success
    @require_POST
    @wraps(view)
    def answered(request: SignedInRequest, **place: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _refuse(401, "signed_out")
        try:
            if any(isinstance(key, int) and key not in KEY for key in place.values()):
                raise Http404
            if "assignment_id" in place:
                place["assignment_id"] = real_number(place["assignment_id"])
            return view(request, **place)
        except labels.BadSubmission as error:
            return _refuse(400, error.code, str(error))
        except BadBody as error:
            return _refuse(400, "bad_request", str(error))
        except labels.SubmissionConflict as error:
            return _refuse(409, "submission_conflict", str(error))
        except completions.NoCompletion as error:
            return _refuse(422, "generator_failed", str(error))
        except queue.LeaseLost as error:
            return _refuse(409, error.code, str(error))
        except people.SeesLabels as error:
            return _refuse(409, queue.RoleSeesLabels.code, str(error))
        except (Http404, NoSuchNumber, ObjectDoesNotExist, labels.NothingToRevise):
            return _refuse(404, "not_found")

    return answered


@background
def draft(request: SignedInRequest, assignment_id: int) -> HttpResponse:
    """Store the ratings so far."""
    body = _body(request, {"token": SHOWN, "revision": COUNT, "ratings": list}, assignment_id)
    try:
        return _json({"revision": labels.save_draft(assignment_id, labeler=request.user, **body)})
    except queue.RoleSeesLabels:
        raise
    except queue.LeaseLost:
        people.project_of_assignment(request.user, assignment_id)  # 404: a stranger learns nothing, not even that it was withdrawn
        raise


@background
def submit(request: SignedInRequest, assignment_id: int) -> HttpResponse:
    """Store the ratings and answer with the next solution. Practice is answered with feedback.

    If the page has the next solution already, answer with the end of its lease and with the solution after it.
    """
    fields: dict[str, type | range] = {
        "token": SHOWN,
        "submission_id": UUID,
        "ratings": list,
        "finish_reason": str,
        "reason": str,
        "active_ms": int,
        "total_ms": int,
    }
    try:
        subject = labels.subject_of(assignment_id, labeler=request.user)
    except people.SeesLabels:
        body, _ = _body_and_ahead(request, fields, assignment_id)
        raise labels.keep_late(assignment_id, labeler=request.user, token=body["token"], ratings=body["ratings"]) from None
    body, ahead = _body_and_ahead(request, fields, assignment_id)
    annotation = labels.submit(assignment_id, labeler=request.user, ahead=ahead, subject=subject, **body)
    if ahead is None and (feedback := quality.feedback_on(annotation)):  # practice never reserves the next solution
        return render(request, "annotation/_feedback.html", {"project": subject.project, "feedback": feedback})
    return _go_on(request, subject.project, ahead)


@background
def skip(request: SignedInRequest, assignment_id: int) -> HttpResponse:
    """Pass the solution to another labeler. Answer as `submit` does."""
    project = people.project_of_assignment(request.user, assignment_id)
    body, ahead = _body_and_ahead(request, {"token": SHOWN, "reason": str}, assignment_id)
    labels.skip(assignment_id, labeler=request.user, ahead=ahead, **body)
    return _go_on(request, project, ahead)


@background
def ahead(request: SignedInRequest, assignment_id: int) -> HttpResponse:
    """Reserve the solution after this one and answer with its fragment, which the page prepares out of sight. {} if there is none."""
    read_body(request, {})
    project = people.project_of_assignment(request.user, assignment_id)
    try:
        lease = queue.reserve_next(request.user, project=project)
    except queue.NotQualified:
        lease = None
    return HttpResponse(_fragment(_work(lease))) if lease else _json({})


@background
def release(request: SignedInRequest, assignment_id: int) -> HttpResponse:
    """Release a reserved solution that was not shown."""
    body = _body(request, {"token": SHOWN}, assignment_id)
    people.project_of_assignment(request.user, assignment_id)
    return _json({"released": queue.release_reserved(assignment_id, labeler=request.user, **body)})


@background
def extend(request: SignedInRequest, assignment_id: int) -> HttpResponse:
    """Extend the lease of a labeler who is still working on the solution."""
    body = _body(request, {"token": SHOWN}, assignment_id)
    people.project_of_assignment(request.user, assignment_id)
    expires_at = queue.extend_lease(assignment_id, labeler=request.user, **body)
    return _json({"seconds": _seconds_until(expires_at)})


@background
def show_completions(request: SignedInRequest, assignment_id: int) -> HttpResponse:
    """Answer with the completions after a path in an interactive project. This takes as long as the generator takes."""
    body = _body(request, {"token": SHOWN, "path": list}, assignment_id)
    people.project_of_assignment(request.user, assignment_id)
    shown = completions.next_completions(assignment_id, labeler=request.user, **body)
    return _json({"completions": shown})


@background
def revise(request: SignedInRequest, annotation_id: int) -> HttpResponse:
    """Store corrected ratings as the next revision. Answer with the address of the page to continue on."""
    project = people.project_of_assignment(request.user, labels.assignment_of(annotation_id, labeler=request.user))
    fields: dict[str, type | range] = {
        "submission_id": UUID,
        "ratings": list,
        "finish_reason": str,
        "reason": str,
        "active_ms": int,
        "total_ms": int,
    }
    labels.revise(annotation_id, labeler=request.user, **read_body(request, fields))
    return _json({"next": reverse("label", args=[project.slug])})


@require_POST
@never_cache
@for_roles(people.LABELERS | people.WRITERS)
def calculate(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Find the sums in the text of a step, and work out one: the one that is asked for, else the first of the text."""
    if not project.calculator:
        return _refuse(404, "no_calculator")
    try:
        body = read_body(request, {}, optional={"text": str, "sum": str})
        sums = calculator.sums_in(body.get("text", ""))
        wanted = body.get("sum", sums[0] if sums else None)
        if wanted is None:
            return _json({"sums": sums})
        worked = calculator.work_out(wanted)
    except calculator.BadSum as error:
        return _refuse(400, "bad_sum", str(error))
    except BadBody as error:
        return _refuse(400, "bad_request", str(error))
    return _json({"sums": sums, "sum": worked.sum, "results": worked.results, "verdict": worked.verdict, "is_equal": worked.is_equal})


@background
def reading(request: SignedInRequest) -> HttpResponse:
    """Store the size and the width in which a person reads texts."""
    body = read_body(request, {"text_size": str, "line_width": str})
    for field, choices in (("text_size", preferences.TEXT_SIZES), ("line_width", preferences.LINE_WIDTHS)):
        names = [name for name, _ in choices]
        if body[field] not in names:
            raise BadBody(f"The field {field} must be one of {', '.join(names)}.")
    preferences.choose(request.user, **body)
    return _json(body)


def _page(request: SignedInRequest, project: "Project", work: dict[str, Any]) -> HttpResponse:
    page = {
        "day": quality.day_of(request.user),
        "keys": orjson.dumps(keys.key_map(request.user)).decode(),
        "csrf_cookie": settings.CSRF_COOKIE_NAME,
    }
    return render(request, "annotation/label.html", page | work)


def _body(
    request: SignedInRequest,
    fields: Mapping[str, type | range],
    assignment_id: int,
    *,
    optional: Mapping[str, type | range] | None = None,
) -> dict[str, Any]:
    """Read a body that names a claim, and return it with the real token. A token that was never shown is 0, which no claim has."""
    body = read_body(request, fields, optional=optional)
    body["token"] = _token(body["token"], assignment_id)
    return body


def _token(shown: int, assignment_id: int) -> int:
    if not shown:  # a reopened solution has no claim
        return 0
    try:
        token = real_number(shown, place=assignment_id)
    except NoSuchNumber:
        return 0
    return token if token in COUNT else 0


def _body_and_ahead(
    request: SignedInRequest, fields: Mapping[str, type | range], assignment_id: int
) -> tuple[dict[str, Any], queue.Claim | None]:
    body = _body(request, fields, assignment_id, optional={"ahead": SHOWN, "ahead_token": SHOWN})
    shown, token = body.pop("ahead", None), body.pop("ahead_token", None)
    if shown is None or token is None:
        return body, None
    try:
        ahead = real_number(shown)
    except NoSuchNumber:  # of another site, or invented: no reservation
        return body, queue.Claim(0, 0)
    return body, queue.Claim(ahead, _token(token, ahead))


def _go_on(request: SignedInRequest, project: "Project", ahead: queue.Claim | None) -> HttpResponse:
    if ahead and (confirmed := queue.go_on(ahead, labeler=request.user, project=project)):
        expires_at, following = confirmed
        return _json({"seconds": _seconds_until(expires_at), "ahead": _fragment(_work(following)) if following else None})
    return HttpResponse(_fragment(_next_solution(request, project)))


def _fragment(work: dict[str, Any]) -> str:
    """Return a solution as HTML. Without the request: nothing in it depends on the person, and context processors cost time."""
    return render_to_string("annotation/_work.html", work)


def _next_solution(request: SignedInRequest, project: "Project") -> dict[str, Any]:
    """Lease the next solution and return what its fragment needs, or why there is none."""
    try:
        lease = quality.lease_next(request.user, project=project)
    except queue.NothingToLabel as error:
        return {"project": project, "nothing": "nothing_to_label", "message": str(error)}
    except queue.NotQualified as error:
        return {"project": project, "nothing": "not_qualified", "message": str(error)}
    return _work(lease)


def _work(lease: queue.Lease) -> dict[str, Any]:
    ratings = lease.draft["ratings"] if lease.draft else ()
    assignment = shown_number(lease.assignment_id)
    return {
        "project": lease.project,
        "lease": lease,
        "nothing": None,  # with a value: why there is no solution
        "reopened": None,  # with a value: the annotation that is corrected
        "assignment": assignment,
        "token": shown_number(lease.token, place=lease.assignment_id),
        # Six addresses that differ in their last part. Six look-ups took 70 µs of the fragment's 310.
        "place": reverse("draft", args=[assignment]).removesuffix("draft/"),
        "draft": orjson.dumps(lease.draft).decode() if lease.draft else "",
        "lease_seconds": _seconds_until(lease.expires_at),
        **_completions(completions.shown_completions(lease.project, lease.solution_id, ratings=ratings)),
    }


def _completions(shown: completions.ShownCompletions) -> dict[str, Any]:
    by_step = orjson.dumps(shown.by_step).decode()
    return {"at_mistake": shown.at_mistake, "completions": by_step, "depends_on_path": shown.depends_on_path}


def _seconds_until(moment: Any) -> int:
    return max(0, round((moment - timezone.now()).total_seconds()))


def _refuse(status: int, code: str, message: str = "") -> HttpResponse:
    return _json({"code": code, "message": message or REFUSALS[code]}, status=status)


def _json(answer: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return HttpResponse(orjson.dumps(answer), content_type="application/json", status=status)
