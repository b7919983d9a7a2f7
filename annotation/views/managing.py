"""The pages of a manager: a problem with its reference answer, and messages."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotation import corrections, people, quality
from annotation.views import SignedInRequest, for_roles
from annotation.views.forms import CorrectionForm, MessageForm
from trainer.counting import counted

if TYPE_CHECKING:
    from annotation.models import Project


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def problem(request: SignedInRequest, project: "Project", problem_id: int) -> HttpResponse:
    """Show a problem with the answers of its solutions. A POST shows what another reference answer changes, and the next one does it."""
    try:
        page = {"project": project, **corrections.shown_problem(project, problem_id)}
    except corrections.NoSuchProblem as error:
        raise Http404(str(error)) from None
    form = CorrectionForm(request.POST if request.method == "POST" else None, answer=page["problem"].answer)
    if form.is_valid():
        answer, seen, withdraw = (form.cleaned_data[name] for name in ("answer", "seen", "withdraw"))
        try:
            if seen:
                plan, withdrawn = corrections.correct(project, problem_id, answer, seen=seen, withdraw=withdraw, actor=request.user)
                withdrawals = f" Withdrawn: {counted(withdrawn, 'solution')}." if withdrawn else ""
                changed = counted(plan.n_changed, "solution")
                messages.success(request, f"The answer is corrected. Another outcome: {changed}.{withdrawals}")
                return redirect("problem", slug=project.slug, problem_id=problem_id)
            page["plan"] = corrections.look(project, problem_id, answer)
        except corrections.ShownBefore as changed:
            page |= {"plan": changed.plan, "notice": str(changed)}
        except corrections.CorrectionRefused as refused:
            form.add_error("answer", str(refused))
    return render(request, "annotation/problem.html", page | {"form": form}, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.WRITERS)
def write_message(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Send a message to a labeler. Show the form, and the messages sent before with whether they were read."""
    typed = request.POST if request.method == "POST" else None
    form = MessageForm(typed, recipients=quality.recipients(project))
    if form.is_valid():
        to, text = form.cleaned_data["to"], form.cleaned_data["text"]
        try:
            sent = quality.send_message(project, sender=request.user, recipient=to, text=text)
        except quality.BadMessage as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Your message is sent. {sent.recipient} sees it on their home page.")
            return redirect("messages", slug=project.slug)
    page = {"project": project, "form": form, "letters": quality.messages_of(project)}
    return render(request, "annotation/messages.html", page, status=400 if form.errors else 200)
