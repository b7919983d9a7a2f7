"""The pages of rounds and of the schedule. Researchers look, managers decide. A view reads the request, calls one function of a stage,
and renders."""

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from active_learning import demonstration, pages, registry, rounds, schedules
from active_learning.views.forms import ComposeForm, ProposalForm, ScheduleForm, StartForm, faults_of
from annotation import people, queue
from annotation.ingest import BadProject
from annotation.views import SignedInRequest, View, for_roles, read_key, render_fragment
from trainer.counting import counted

if TYPE_CHECKING:
    from annotation.models import Project


ACTS = ("publish-round", "cancel-round", "replay-round")


def of_rounds(view: View) -> View:
    """Decorate a view of one round: a round that does not exist is a missing page."""

    @wraps(view)
    def guarded(request: SignedInRequest, project: "Project", **more: Any) -> HttpResponseBase:
        try:
            return view(request, project, **more)
        except rounds.NoSuchRound as error:
            raise Http404(str(error)) from None

    return guarded


# --- looking ------------------------------------------------------------------------------------------------------------------


@require_GET
@for_roles(people.RESEARCHERS)
def loop(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Return the fragment that the overview fetches every few seconds: rounds, model versions, workers."""
    has_oracle = project.slug == demonstration.DEMONSTRATION and demonstration.is_known_to_oracle(project)
    shown = pages.loop(project)
    form = StartForm(size=project.batch_size, strategy=shown["recommended"].mix.name, has_labels=shown["has_labels"])
    part = {"project": project, "form": form, "has_oracle": has_oracle}
    return render_fragment(request, "active_learning/_loop.html", part | shown, title="Rounds and models", again_seconds=5)


@require_GET
@for_roles(people.RESEARCHERS)
def all_rounds(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the rounds, the newest first, and what people confirmed of their choices."""
    page = pages.all_rounds(project, before=read_key(request.GET.get("before", "")))
    return render(request, "active_learning/rounds.html", {"project": project, **page})


@require_http_methods(["GET", "POST"])
@for_roles(people.RESEARCHERS)
@of_rounds
def one_round(request: SignedInRequest, project: "Project", round_number: int) -> HttpResponse:
    """Show one round.

    htmx fetches a fragment every few seconds; once the rest of the page has changed, the answer is to load it again. A POST turns the
    pages of a proposal and changes nothing: it carries the solutions that were left out so far.
    """
    if request.htmx:
        progress = pages.progress(rounds.find(project, round_number))
        if progress["seen"] != request.GET.get("seen"):
            return HttpResponseClientRefresh()
        return render(request, "active_learning/_round_progress.html", {"project": project, **progress})
    form = ProposalForm(request.POST or request.GET)
    typed = form.cleaned_data if form.is_valid() else {}
    page = pages.one_round(project, round_number, page=typed.get("page") or 1, dropped=typed.get("drop", ()))
    return render(request, "active_learning/round.html", {"project": project, **page})


@for_roles(people.RESEARCHERS)
@of_rounds
def old_address(request: SignedInRequest, project: "Project", round_id: int, act: str = "") -> HttpResponse:
    """Redirect from the address that a round had before, with its key in the database. A form that is sent there reaches the new one."""
    if act and f"{act}-round" not in ACTS:
        raise Http404("There is no such page.")
    place = {"slug": project.slug, "round_number": rounds.number_of(project, round_id)}
    here = reverse(f"{act}-round" if act else "round", kwargs=place)
    asked = request.META["QUERY_STRING"]
    return redirect(f"{here}?{asked}" if asked else here, permanent=True, preserve_request=True)


# --- starting, deciding, ending -----------------------------------------------------------------------------------------------


@require_POST
@for_roles(people.MANAGERS)
def start_round(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Start a round with the form of the overview. It publishes without a review."""
    form = StartForm(request.POST, size=project.batch_size)
    if form.is_valid():
        try:
            trains = form.cleaned_data.pop("train")
            plan = rounds.RoundPlan(rounds.recipe_for(project, **form.cleaned_data), train=trains)
            messages.success(request, f"Round {rounds.start(project, plan, actor=request.user).number} is queued.")
        except rounds.RoundRefused as refused:
            messages.error(request, str(refused))
    for fault in faults_of(form):
        messages.error(request, fault)
    return redirect("overview", slug=project.slug)


@require_POST
@for_roles(people.MANAGERS)
def oracle_labels(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Let the oracle of the demonstration label a batch of what waits in the queue. It takes a few seconds."""
    try:
        done = demonstration.label_as_oracle(project, most=demonstration.N_BATCH)
    except queue.NothingToLabel as nothing:
        messages.info(request, str(nothing))
    except (BadProject, queue.NotQualified, queue.LeaseLost) as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"The oracle labeled {counted(done, 'solution')}.")
    return redirect("overview", slug=project.slug)


@require_http_methods(["GET", "POST"])
@for_roles(people.MANAGERS)
def compose(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the composer. A POST starts a round that proposes a batch."""
    typed = request.POST if request.method == "POST" else None
    preset = (typed or request.GET).get("preset", "")
    begun, sample = pages.preset_settings(project, preset=preset), schedules.find(project).sample
    form = ComposeForm(typed, recipe=begun, sample=sample, train=registry.has_labels(project))
    is_valid, is_unfolded = form.is_valid(), form.is_unfolded
    if is_valid:
        try:
            recipe = rounds.checked_recipe(form.recipe)
            plan = rounds.RoundPlan(recipe, train=form.cleaned_data["train"], review=True, sample=form.sampling, labels=form.labels)
            started = rounds.start(project, plan, actor=request.user)
            return redirect("round", slug=project.slug, round_number=started.number)
        except rounds.RoundRefused as refused:
            form.add_error(None, str(refused))
    page = {"project": project, "form": form, "is_unfolded": is_unfolded, **pages.composer(project, preset=preset)}
    return render(request, "active_learning/compose.html", page, status=400 if form.errors else 200)


@require_GET
@for_roles(people.MANAGERS)
def recipes(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Return the part of the composer with the named recipes. The page asks for it while a worker finds out what they would serve."""
    part = {"project": project, **pages.recipes(project, preset=request.GET.get("preset", ""))}
    return render_fragment(request, "active_learning/_recipes.html", part, title="Recipes", again_seconds=3)


@require_POST
@for_roles(people.MANAGERS)
@of_rounds
def publish_round(request: SignedInRequest, project: "Project", round_number: int) -> HttpResponse:
    """Publish a proposal without the solutions that are ticked."""
    form = ProposalForm(request.POST)
    try:
        if not form.is_valid():
            raise rounds.RoundRefused(" ".join(faults_of(form)))
        published = rounds.publish(project, round_number, dropped=form.cleaned_data["drop"], actor=request.user)
        messages.success(request, f"Round {published.number} is published. Labelers get its solutions now.")
    except rounds.RoundRefused as refused:
        messages.error(request, str(refused))
    return redirect("round", slug=project.slug, round_number=round_number)


@require_http_methods(["GET", "POST"])
@for_roles(people.MANAGERS)
@of_rounds
def cancel_round(request: SignedInRequest, project: "Project", round_number: int) -> HttpResponse:
    """Ask whether a round is to be cancelled, or its proposal discarded, and say what is lost. A POST does it."""
    if request.method == "GET":
        return render(request, "active_learning/cancel.html", {"project": project, **pages.cancelling(project, round_number)})
    round_ = rounds.find(project, round_number)
    try:
        if round_.finished_at:
            raise rounds.RoundRefused(f"Round {round_.number} has already ended.")
        rounds.cancel(project, round_number, actor=request.user)
        messages.success(request, f"Round {round_number} is cancelled.")
    except rounds.RoundRefused as refused:
        messages.error(request, str(refused))
    return redirect("round", slug=project.slug, round_number=round_number)


@require_POST
@for_roles(people.RESEARCHERS)
@of_rounds
def replay_round(request: SignedInRequest, project: "Project", round_number: int) -> HttpResponse:
    """Choose again from the candidates that the round kept, and say whether the selection is the same."""
    replayed = rounds.replay(project, round_number)
    (messages.success if replayed.same else messages.error)(request, replayed.message)
    return redirect("round", slug=project.slug, round_number=round_number)


@require_http_methods(["GET", "POST"])
@for_roles(people.RESEARCHERS)
def schedule(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show when rounds start by themselves. A manager changes that with a POST."""
    present = schedules.find(project)
    if request.method == "POST":
        request.access.require(people.MANAGERS)
    typed = request.POST if request.method == "POST" else None
    shown: dict[str, Any] = {
        "recipe": schedules.settings_of(project, present),
        "sample": present.sample,
        "learns": present.labels,
        "is_on": present.is_on,
        "every_labels": project.retrain_every_labels,
        "every_hours": project.retrain_every_hours,
        "daily_at": present.daily_at,
    }
    form = ScheduleForm(typed, **shown)
    page = {"project": project, "schedule": present, "version": schedules.version_of(project, present)}
    status = 200
    if typed is not None and form.is_valid():
        clauses = {name: form.cleaned_data[name] for name in ("is_on", "every_labels", "every_hours", "daily_at")}
        try:
            schedules.change(
                project,
                **clauses,
                recipe=form.recipe,
                sample=form.sampling,
                labels=form.labels,
                actor=request.user,
                version=typed.get("version", ""),
            )
            messages.success(request, "The schedule is saved.")
            return redirect("schedule", slug=project.slug)
        except schedules.ScheduleChangedMeanwhile as changed:
            page |= {"meanwhile": str(changed)}
            form, status = ScheduleForm(None, **shown), 409
        except schedules.BadSchedule as refused:
            form.add_error(None, str(refused))
    page |= {"form": form, "next_due": schedules.next_due(project)}
    return render(request, "active_learning/schedule.html", page, status=400 if form.errors else status)
