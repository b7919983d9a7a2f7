"""Addresses of the API: the webhooks of a project, and their deliveries. For managers and owners."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers

from annotation import people, webhooks
from annotation.api.base import ApiView, PageQuery
from annotation.api.problems import ApiRefused, Fault
from annotation.api.schema import describe, page_of

KINDS = [kind for kind, _ in webhooks.KINDS]
STATES = ["waiting", "delivered", "failed"]


class WebhookSerializer(serializers.Serializer):
    """An address that is told what happens in a project."""

    number = serializers.IntegerField()
    address = serializers.CharField()
    kinds = serializers.ListField(child=serializers.ChoiceField(KINDS), help_text="What it reports.")
    is_on = serializers.BooleanField(help_text="Messages are sent to it.")
    why_off = serializers.CharField(allow_blank=True, help_text="Why the site switched it off. Empty: a person did, or it is on.")
    created_at = serializers.DateTimeField()
    old_secret_until = serializers.DateTimeField(allow_null=True, help_text="The secret before the last change signs until then.")
    n_waiting = serializers.IntegerField(help_text="Messages that wait for a try.")
    delivered_at = serializers.DateTimeField(allow_null=True, help_text="When it took a message last.")


class WebhookSecretSerializer(serializers.Serializer):
    """A secret, which is shown only once."""

    secret = serializers.CharField(help_text="It begins with `whsec_`. The receiver checks signatures with it.")


class NewWebhookSerializer(WebhookSerializer, WebhookSecretSerializer):
    """A new webhook with its secret, which is shown only once."""


class WebhookTrySerializer(serializers.Serializer):
    """One try to deliver a message."""

    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="Null: there was no answer.")
    duration_ms = serializers.IntegerField(allow_null=True, help_text="Null: a worker is at it, or it was stopped.")
    answer = serializers.CharField(allow_blank=True, help_text="The first 500 bytes.")
    failure = serializers.CharField(allow_blank=True, help_text="Why the message was not taken. Empty: it was.")


class WebhookDeliverySerializer(serializers.Serializer):
    """One message to one webhook."""

    number = serializers.IntegerField()
    message = serializers.CharField(help_text="The header `webhook-id`, the same in every try.")
    kind = serializers.ChoiceField([*KINDS, "ping"])
    state = serializers.ChoiceField(STATES)
    created_at = serializers.DateTimeField()
    next_at = serializers.DateTimeField(allow_null=True, help_text="When it is tried next.")
    body = serializers.CharField(help_text="What was sent.")
    n_tries = serializers.IntegerField()
    tries = WebhookTrySerializer(many=True, help_text="The newest ten, the newest first.")


class WantedWebhookSerializer(serializers.Serializer):
    """A webhook that is wanted."""

    address = serializers.CharField(max_length=webhooks.LONGEST_ADDRESS, help_text="At a host that the administrator allowed.")
    kinds = serializers.ListField(child=serializers.ChoiceField(KINDS), min_length=1, help_text="What it reports.")


class WebhookSwitchSerializer(serializers.Serializer):
    """Whether messages are sent to a webhook."""

    is_on = serializers.BooleanField()


class WebhookNumberSerializer(serializers.Serializer):
    """What was asked is done, or a worker will do it."""

    number = serializers.IntegerField(help_text="Of the webhook.")


def of_webhook(method: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorate the method of an address of one webhook: one that does not exist is not found, and a refusal is a problem."""

    @wraps(method)
    def guarded(view: Any, request: Any, slug: str, **more: Any) -> HttpResponse:
        try:
            return method(view, request, slug, **more)
        except webhooks.NoSuchWebhook as missing:
            raise ApiRefused("not_found", str(missing)) from None
        except webhooks.WebhookRefused as refused:
            raise ApiRefused("webhook_refused", str(refused)) from None

    return guarded


class WebhookView(ApiView):
    """What all addresses of webhooks share."""

    roles = people.MANAGERS


class WebhooksView(WebhookView):
    """The webhooks of a project."""

    @describe("webhooks_list", "List webhooks", page_of(WebhookSerializer), query=PageQuery, tag="webhooks")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """List the webhooks of a project, the oldest first. A project has ten at most."""
        after, limit = self.place(self.read_query(PageQuery))
        rows, following = webhooks.webhook_page(request.access.project, after=after, limit=limit)
        return self.answer_page(WebhookSerializer, rows, None if following is None else (following,))

    @describe(
        "webhooks_add",
        "Add a webhook",
        NewWebhookSerializer,
        tag="webhooks",
        body=WantedWebhookSerializer,
        status=201,
        problems=("bad_body", "body_too_large", "unsupported_media_type", "scope_missing", "webhook_refused"),
    )
    def post(self, request: Any, slug: str) -> HttpResponse:
        """Add a webhook, and answer with its secret. The answer is not stored, so no Idempotency-Key is read: an address is added once."""
        self.read_query()
        wanted = self.read_body(WantedWebhookSerializer)
        try:
            row, secret = webhooks.add_webhook(request.access.project, **wanted, actor=self.person)
        except webhooks.WebhookRefused as refused:
            if refused.field is None:
                raise ApiRefused("webhook_refused", str(refused)) from None
            fault = Fault("body", refused.field, "invalid", str(refused))
            raise ApiRefused("bad_body", str(refused), faults=[fault]) from None
        return self.answer({**WebhookSerializer(row).data, "secret": secret}, status=201)


class OneWebhookView(WebhookView):
    """One webhook."""

    @describe("webhooks_show", "Show a webhook", WebhookSerializer, tag="webhooks")
    @of_webhook
    def get(self, request: Any, slug: str, webhook_number: int) -> HttpResponse:
        """Show a webhook. Its secret is never shown again."""
        self.read_query()
        return self.answer(WebhookSerializer(webhooks.find_webhook(request.access.project, webhook_number)).data)


class SwitchWebhookView(WebhookView):
    """Whether messages are sent to a webhook."""

    @describe(
        "webhooks_switch",
        "Switch a webhook on or off",
        WebhookSerializer,
        tag="webhooks",
        body=WebhookSwitchSerializer,
        problems=("bad_body", "body_too_large", "unsupported_media_type", "scope_missing"),
    )
    @of_webhook
    def post(self, request: Any, slug: str, webhook_number: int) -> HttpResponse:
        """Switch a webhook on or off. What waited is sent when it is on again."""
        self.read_query()
        webhooks.find_webhook(request.access.project, webhook_number)  # one that does not exist is not found, whatever the body is
        is_on = self.read_body(WebhookSwitchSerializer)["is_on"]
        webhooks.switch(request.access.project, webhook_number, is_on=is_on, actor=self.person)
        return self.answer(WebhookSerializer(webhooks.find_webhook(request.access.project, webhook_number)).data)


class WebhookSecretView(WebhookView):
    """The secret of a webhook."""

    @describe("webhooks_change_secret", "Make a new secret", WebhookSecretSerializer, tag="webhooks", problems=("scope_missing",))
    @of_webhook
    def post(self, request: Any, slug: str, webhook_number: int) -> HttpResponse:
        """Give a webhook a new secret. The one before signs too for a day."""
        self.read_query()
        return self.answer({"secret": webhooks.change_secret(request.access.project, webhook_number, actor=self.person)})


class PingWebhookView(WebhookView):
    """A message that reports nothing."""

    @describe(
        "webhooks_test",
        "Send a test",
        WebhookNumberSerializer,
        tag="webhooks",
        status=202,
        problems=("scope_missing", "webhook_refused"),
    )
    @of_webhook
    def post(self, request: Any, slug: str, webhook_number: int) -> HttpResponse:
        """Send a test, once. Its deliveries show how that went."""
        self.read_query()
        webhooks.ping(request.access.project, webhook_number, actor=self.person)
        return self.answer({"number": webhook_number}, status=202)


class DeleteWebhookView(WebhookView):
    """The end of a webhook."""

    @describe("webhooks_delete", "Delete a webhook", WebhookNumberSerializer, tag="webhooks", problems=("scope_missing",))
    @of_webhook
    def post(self, request: Any, slug: str, webhook_number: int) -> HttpResponse:
        """Delete a webhook with its deliveries. What waits is not sent."""
        self.read_query()
        webhooks.delete_webhook(request.access.project, webhook_number, actor=self.person)
        return self.answer({"number": webhook_number})


class DeliveriesView(WebhookView):
    """The deliveries of a webhook."""

    @describe("webhooks_deliveries", "List deliveries", page_of(WebhookDeliverySerializer), query=PageQuery, tag="webhooks")
    @of_webhook
    def get(self, request: Any, slug: str, webhook_number: int) -> HttpResponse:
        """List the deliveries of a webhook, the oldest first. They are kept for 30 days after their end."""
        after, limit = self.place(self.read_query(PageQuery))
        rows, following = webhooks.delivery_page(request.access.project, webhook_number, after=after, limit=limit)
        return self.answer_page(WebhookDeliverySerializer, rows, None if following is None else (following,))


class SendAgainView(WebhookView):
    """A message that is sent once more."""

    @describe(
        "webhooks_send_again",
        "Send a message again",
        WebhookNumberSerializer,
        tag="webhooks",
        status=202,
        problems=("scope_missing", "webhook_refused"),
    )
    @of_webhook
    def post(self, request: Any, slug: str, webhook_number: int, delivery_number: int) -> HttpResponse:
        """Send a message once more, under the id that it had."""
        self.read_query()
        webhooks.send_again(request.access.project, webhook_number, delivery_number, actor=self.person)
        return self.answer({"number": webhook_number}, status=202)
