"""Template tags that every template knows without loading them. Tags and not a context processor: the page for error 500 has no context."""

from django import template

from trainer import __version__

register = template.Library()


@register.simple_tag
def version() -> str:
    """Return the version of Stepmark."""
    return __version__
