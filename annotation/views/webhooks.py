"""The pages of webhooks: which there are, a new one, and one with its log."""

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import people, webhooks
from annotation.views import SignedInRequest, View, for_roles, read_key
from annotation.views.forms.webhooks import WebhookForm

if TYPE_CHECKING:
    from annotation.models import Project


def of_webhook(view: View) -> View:
    """Decorate a view of one webhook: one that does not exist is a missing page, and a refusal is said on the page of the webhook."""

    @for_roles(people.MANAGERS)
    @wraps(view)
    def guarded(request: SignedInRequest, project: "Project", webhook_number: int, **more: Any) -> HttpResponseBase:
        try:
            return view(request, project, webhook_number, **more)
        except webhooks.NoSuchWebhook as error:
            raise Http404(str(error)) from None
        except webhooks.WebhookRefused as refused:
            messages.error(request, str(refused))
            return redirect("webhook", slug=project.slug, webhook_number=webhook_number)

    return guarded


@never_cache
@require_http_methods(["GET", "POST"])
@for_roles(people.MANAGERS)
def all_webhooks(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the webhooks of a project. A POST adds one, and its answer alone shows the secret.

    The same form sent again adds no second webhook, because two cannot have one address.
    """
    form = WebhookForm(request.POST if request.method == "POST" else None)
    made, secret = None, ""
    if form.is_valid():
        try:
            made, secret = webhooks.add_webhook(project, **form.cleaned_data, actor=request.user)
            form = WebhookForm()
        except webhooks.WebhookRefused as refused:
            form.add_error(refused.field, str(refused))
    page = {"project": project, "form": form, "webhooks": webhooks.webhooks_of(project), "hosts": webhooks.allowed_hosts()}
    page |= {"made": made, "secret": secret, "most": webhooks.MOST_WEBHOOKS}
    return render(request, "annotation/webhooks/webhooks.html", page, status=400 if form.errors else 200)


@never_cache
@require_GET
@of_webhook
def webhook(request: SignedInRequest, project: "Project", webhook_number: int) -> HttpResponse:
    """Show one webhook with the log of its deliveries."""
    return _webhook(request, project, webhook_number)


def _webhook(request: SignedInRequest, project: "Project", webhook_number: int, *, secret: str = "") -> HttpResponse:
    before = read_key(request.GET.get("before", ""))
    rows = webhooks.deliveries_of(project, webhook_number, before=before)
    page = {"project": project, "webhook": webhooks.find_webhook(project, webhook_number), "deliveries": rows, "secret": secret}
    page |= {"before": rows[-1].number if len(rows) == webhooks.SHOWN else None, "is_newest": before is None}
    return render(request, "annotation/webhooks/webhook.html", page)


@never_cache
@require_POST
@of_webhook
def change_secret(request: SignedInRequest, project: "Project", webhook_number: int) -> HttpResponse:
    """Give a webhook a new secret. The answer alone shows it."""
    return _webhook(request, project, webhook_number, secret=webhooks.change_secret(project, webhook_number, actor=request.user))


@require_POST
@of_webhook
def switch(request: SignedInRequest, project: "Project", webhook_number: int) -> HttpResponse:
    """Switch a webhook on or off."""
    is_on = "on" in request.POST
    changed = webhooks.switch(project, webhook_number, is_on=is_on, actor=request.user)
    word = "on" if is_on else "off"
    messages.success(request, f"The webhook is {word}." if changed else f"The webhook was {word} already.")
    return redirect("webhook", slug=project.slug, webhook_number=webhook_number)


@require_POST
@of_webhook
def ping(request: SignedInRequest, project: "Project", webhook_number: int) -> HttpResponse:
    """Send a test."""
    webhooks.ping(project, webhook_number, actor=request.user)
    messages.success(request, "A worker sends a test. Load this page again in a moment to see the answer.")
    return redirect("webhook", slug=project.slug, webhook_number=webhook_number)


@require_POST
@of_webhook
def send_again(request: SignedInRequest, project: "Project", webhook_number: int, delivery_number: int) -> HttpResponse:
    """Send a message once more."""
    webhooks.send_again(project, webhook_number, delivery_number, actor=request.user)
    messages.success(request, "A worker sends it again, under the same id. Load this page again in a moment to see the answer.")
    return redirect("webhook", slug=project.slug, webhook_number=webhook_number)


@require_POST
@of_webhook
def delete(request: SignedInRequest, project: "Project", webhook_number: int) -> HttpResponse:
    """Delete a webhook with its log."""
    webhooks.delete_webhook(project, webhook_number, actor=request.user)
    messages.success(request, "The webhook is deleted.")
    return redirect("webhooks", slug=project.slug)
