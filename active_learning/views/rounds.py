"""What managers see and do of the loop, and researchers see. Reads the request, calls one function of a stage, renders."""

from collections.abc import Callable, Mapping
from datetime import time
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from active_learning import pages, rounds, schedules
from active_learning.selection import CONVINCING
from annotation import people
from annotation.views import for_roles

if TYPE_CHECKING:
    from annotation.models import Project

View = Callable[..., HttpResponse]
REFUSED = (rounds.RoundRefused, schedules.BadSchedule)


class BadField(ValueError):
    """A field of a form that holds no number or time where one belongs; the message names it."""


def of_rounds(view: View) -> View:
    """Decorate a view of one round: what does not exist is a missing page."""

    @wraps(view)
    def guarded(request: HttpRequest, project: "Project", **more: Any) -> HttpResponse:
        try:
            return view(request, project, **more)
        except rounds.NoSuchRound as error:
            raise Http404(str(error)) from None

    return guarded


# --- looking ------------------------------------------------------------------------------------------------------------------


@require_GET
@for_roles(people.RESEARCHERS)
def loop(request: HttpRequest, project: "Project") -> HttpResponse:
    """The fragment the overview asks for every few seconds: rounds, model versions, workers."""
    page = {"project": project, "may_start": _may_decide(request, project), **pages.loop(project)}
    return render(request, "active_learning/_loop.html", page)


@require_GET
@for_roles(people.RESEARCHERS)
def all_rounds(request: HttpRequest, project: "Project") -> HttpResponse:
    page = {"project": project, "may_decide": _may_decide(request, project), **pages.all_rounds(project)}
    return render(request, "active_learning/rounds.html", page)


@require_http_methods(["GET", "POST"])
@for_roles(people.RESEARCHERS)
@of_rounds
def one_round(request: HttpRequest, project: "Project", round_id: int) -> HttpResponse:
    """Show one round. A fragment is asked for every few seconds until the page has something else to say; a POST turns the pages of a
    proposal and changes nothing: it carries what has been left out so far.
    """
    if request.htmx:
        page = pages.progress(rounds.find(project, round_id))
        if page["seen"] != request.GET.get("seen"):
            return HttpResponseClientRefresh()
        return render(request, "active_learning/_round_progress.html", {"project": project, **page})
    asked = request.POST.get("page") or request.GET.get("page", "1")
    page = pages.one_round(project, round_id, page=int(asked) if asked.isdecimal() else 1, dropped=_left_out(request.POST))
    return render(request, "active_learning/round.html", {"project": project, "may_decide": _may_decide(request, project), **page})


# --- starting, deciding, ending -----------------------------------------------------------------------------------------------


@require_POST
@for_roles(people.MANAGERS)
def start_round(request: HttpRequest, project: "Project") -> HttpResponse:
    """Start a round by the two fields of the overview; it publishes without being looked through."""
    try:
        size = _whole(request.POST, "size", "The size")
        recipe = rounds.recipe_for(project, strategy=request.POST.get("strategy", CONVINCING.name), size=size)
        messages.success(request, f"Round {rounds.start(project, rounds.RoundPlan(recipe)).generation} is queued.")
    except (BadField, *REFUSED) as refused:
        messages.error(request, str(refused))
    return redirect("overview", slug=project.slug)


@require_http_methods(["GET", "POST"])
@for_roles(people.MANAGERS)
def compose(request: HttpRequest, project: "Project") -> HttpResponse:
    """Show the composer; a POST starts a round whose selection waits to be looked through."""
    typed, fault = None, ""
    kept = schedules.find(project).sample
    if request.method == "POST":
        typed = _typed(request.POST)
        try:
            recipe = rounds.checked_recipe(_recipe(typed))
            plan = rounds.RoundPlan(recipe, sample=_sample(typed, kept) or {}, train=typed["train"], review=True)
            started = rounds.start(project, plan)
        except (BadField, *REFUSED) as refused:
            fault = str(refused)
        else:
            return redirect("round", slug=project.slug, round_id=started.pk)
    page = {"project": project, "fault": fault, **pages.composer(project, preset=request.GET.get("preset", ""), typed=typed)}
    return render(request, "active_learning/compose.html", page, status=400 if fault else 200)


@require_POST
@for_roles(people.MANAGERS)
@of_rounds
def publish_round(request: HttpRequest, project: "Project", round_id: int) -> HttpResponse:
    try:
        published = rounds.publish(project, round_id, dropped=_left_out(request.POST), actor=request.user)
        messages.success(request, f"Round {published.generation} is published: its solutions are handed out.")
    except rounds.RoundRefused as refused:
        messages.error(request, str(refused))
    return redirect("round", slug=project.slug, round_id=round_id)


@require_POST
@for_roles(people.MANAGERS)
@of_rounds
def cancel_round(request: HttpRequest, project: "Project", round_id: int) -> HttpResponse:
    ended = rounds.find(project, round_id)
    try:
        if ended.finished_at:  # a later round may have its generation by now
            raise rounds.RoundRefused(f"Round {ended.generation} has already ended.")
        rounds.cancel(project, ended.generation)
        messages.success(request, f"Round {ended.generation} is cancelled.")
    except rounds.RoundRefused as refused:
        messages.error(request, str(refused))
    return redirect("round", slug=project.slug, round_id=round_id)


@require_POST
@for_roles(people.RESEARCHERS)
@of_rounds
def replay_round(request: HttpRequest, project: "Project", round_id: int) -> HttpResponse:
    """Choose again from what the round kept, and say whether it is the same."""
    replayed = rounds.replay(project, round_id)
    (messages.success if replayed.same else messages.error)(request, replayed.message)
    return redirect("round", slug=project.slug, round_id=round_id)


@require_http_methods(["GET", "POST"])
@for_roles(people.RESEARCHERS)
def schedule(request: HttpRequest, project: "Project") -> HttpResponse:
    """Show when rounds start by themselves; a POST of a manager changes it."""
    typed, fault = None, ""
    kept = schedules.find(project)
    if request.method == "POST":
        people.require_role(request.user, project.slug, people.MANAGERS)
        typed = _typed(request.POST)
        try:
            schedules.change(
                project,
                is_on="is_on" in request.POST,
                every_labels=_whole(request.POST, "every_labels", "The number of new labels"),
                every_hours=_whole(request.POST, "every_hours", "The number of hours"),
                daily_at=_time_of_day(request.POST),
                recipe=_recipe(typed),
                sample=_sample(typed, kept.sample),
                actor=request.user,
            )
        except (BadField, *REFUSED) as refused:
            fault = str(refused)
        else:
            messages.success(request, "The schedule is changed.")
            return redirect("schedule", slug=project.slug)
    clauses = request.POST if fault else None
    page = {"project": project, "schedule": kept, "clauses": clauses, "fault": fault, "next_due": schedules.next_due(project)}
    page |= {"may_decide": _may_decide(request, project), **pages.schedule_page(project, kept, typed=typed)}
    return render(request, "active_learning/schedule.html", page, status=400 if fault else 200)


# --- reading forms ------------------------------------------------------------------------------------------------------------


def _may_decide(request: HttpRequest, project: "Project") -> bool:
    return people.has_role(request.user, project, people.MANAGERS)


def _left_out(form: QueryDict) -> set[int]:
    return {int(typed) for typed in form.getlist("drop") if typed.isdecimal() and len(typed) < 19}


def _typed(form: QueryDict) -> dict[str, Any]:
    """Return a recipe as it was typed, to be shown again if it is refused."""
    weights = {name.removeprefix("weight-"): typed.strip() for name, typed in form.items() if name.startswith("weight-")}
    boxes = {name: name in form for name in ("is_diverse", "is_stratified", "train")}
    return {"weights": weights, **{name: form.get(name, "").strip() for name in pages.TYPED}, **boxes}


def _recipe(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of strategies.Recipe that a form tells. Raises BadField where it holds no numbers."""
    parts = []
    for name, weight in typed["weights"].items():
        try:
            given = float(weight or 0)
        except ValueError:
            raise BadField(f"The weight of {name} is a number, not “{weight}”.") from None
        parts += [[name, given]] if given else []
    if not parts:
        raise BadField("Give at least one strategy a weight above 0.")
    size = _whole(typed, "size", "The size")
    if not size:
        raise BadField("Say how many solutions the batch shall hold, at least 1.")
    limits = {"size": size, "per_problem": _whole(typed, "per_problem", "The limit of solutions of one problem")}
    return {"parts": parts, **limits, "is_diverse": typed["is_diverse"], "is_stratified": typed["is_stratified"]}


def _sample(typed: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings by which new solutions are sampled first; of the model that the schedule names, with what else is kept there."""
    n, budget = _whole(typed, "n", "The number of new solutions"), _whole(typed, "budget", "The budget of tokens")
    if not n:
        return None
    others = {name: value for name, value in kept.items() if name != "budget"} if kept.get("model") == typed["model"] else {}
    return others | {"model": typed["model"], "n": n} | ({"budget": budget} if budget else {})


def _whole(form: Mapping[str, str], name: str, words: str) -> int | None:
    typed = form.get(name, "").strip()
    if typed and not (typed.isdecimal() and len(typed) < 10):
        raise BadField(f"{words} is a whole number, not “{typed}”.")
    return int(typed) if typed else None


def _time_of_day(form: Mapping[str, str]) -> time | None:
    typed = form.get("daily_at", "").strip()
    try:
        return time.fromisoformat(typed) if typed else None
    except ValueError:
        raise BadField(f"The time of day is one such as 03:30, not “{typed}”.") from None
