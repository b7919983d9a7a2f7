"""Template tags that every template knows without loading them. Tags and not a context processor: the page for error 500 has no context."""

from datetime import date, datetime
from typing import Any

from django import template
from django.urls import reverse

from annotation import notifications, preferences
from labelapp.monitoring import logs
from labelapp.pages import navigation
from trainer import __version__
from trainer.counting import short_time

register = template.Library()
register.filter("short_time", short_time)


@register.filter
def short_seconds(seconds: float) -> str:
    """Write a short time that is given in seconds."""
    return short_time(seconds / 60)


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


@register.simple_tag(takes_context=True, name="preferences")
def chosen_preferences(context: template.Context) -> Any:
    """Return the preferences of the person who reads this page; the defaults where nobody is signed in."""
    return _chosen(context)


@register.simple_tag(takes_context=True)
def unread_notifications(context: template.Context) -> str:
    """Return how many notifications the person who reads this page has not read, as the bell shows it; empty for none."""
    count = notifications.unread_of(getattr(context.get("request"), "user", None))
    return "99+" if count >= notifications.MOST_COUNTED else str(count or "")


@register.simple_tag(takes_context=True)
def moment(context: template.Context, at: datetime, seconds: str = "") -> str:
    """Write a moment as this person wants it. With "seconds", to the second."""
    return preferences.write_moment(at, _chosen(context), seconds=bool(seconds)) if at else ""


@register.simple_tag(takes_context=True)
def day(context: template.Context, of: date) -> str:
    """Write a day as this person wants it."""
    return preferences.write_day(of, _chosen(context)) if of else ""


@register.simple_tag(takes_context=True)
def clock(context: template.Context, at: datetime, seconds: str = "") -> str:
    """Write the time of day of a moment as this person wants it."""
    return preferences.write_clock(at, _chosen(context), seconds=bool(seconds)) if at else ""


@register.simple_tag(takes_context=True)
def zone(context: template.Context) -> str:
    """Return the name of the time zone in which this page shows times."""
    return preferences.name_of_zone(_chosen(context))


def _chosen(context: template.Context) -> Any:
    return preferences.preferences_of(getattr(context.get("request"), "user", None))


@register.simple_tag
def request_id() -> str:
    """Return the id of this request, as every line of the log about it names it."""
    return logs.request_id.get()
