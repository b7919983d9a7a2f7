"""Template tags that every template knows without loading them. Tags and not a context processor: the page for error 500 has no context."""

from django import template

from labelapp.monitoring import logs
from trainer import __version__

register = template.Library()


@register.simple_tag
def version() -> str:
    """Return the version of Stepmark."""
    return __version__


@register.simple_tag
def request_id() -> str:
    """Return the id of this request, as every line of the log about it names it."""
    return logs.request_id.get()
