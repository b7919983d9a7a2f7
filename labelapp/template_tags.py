"""Template tags that every template knows without loading them. Tags and not a context processor: the page for error 500 has no context."""

from typing import Any

from django import template
from django.urls import reverse

from labelapp import navigation
from labelapp.monitoring import logs
from trainer import __version__

register = template.Library()


@register.simple_tag
def version() -> str:
    """Return the version of Stepmark."""
    return __version__


@register.simple_tag(takes_context=True)
def sections(context: template.Context) -> list[navigation.Link]:
    """Return the sections of the project that this page belongs to. Pages of no project have none."""
    request: Any = context.get("request")
    access = getattr(request, "access", None)
    return navigation.links(access, request.path_info) if access else []


@register.simple_tag(takes_context=True)
def find_address(context: template.Context) -> str:
    """Return the address of the search: in the project that this page belongs to, or on the site."""
    access = getattr(context.get("request"), "access", None)
    return reverse("find", kwargs={"slug": access.project.slug}) if access else reverse("find-on-site")


@register.simple_tag
def request_id() -> str:
    """Return the id of this request, as every line of the log about it names it."""
    return logs.request_id.get()
