"""Stage: preferences. How one person wants the pages: time zone, language of dates, size of texts, a day's goal, a hint to rest.

Reads and writes Preferences. A request reads them together with its session (labelapp/http/sessions.py), so no page asks for them again.
"""

import zoneinfo
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any

from babel import Locale, dates
from django.contrib.auth.models import User

from annotation.models import LineWidth, NotificationKind, Preferences, TextSize

if TYPE_CHECKING:
    from annotation.people import Person

DEFAULTS = Preferences()  # of everybody without a row; never changed
REGIONS = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
# Locales of the CLDR. Each is shown under its own name.
LOCALES = (
    "am", "ar", "az", "bg", "bn", "ca", "cs", "da", "de", "el", "en_AU", "en_CA", "en_GB", "en_IN", "en_US", "es", "es_MX", "et", "fa",
    "fi", "fil", "fr", "fr_CA", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk", "ko", "lt", "lv", "ms", "nb", "nl",
    "pl", "pt_BR", "pt_PT", "ro", "ru", "sk", "sl", "sr", "sv", "sw", "ta", "te", "th", "tr", "uk", "ur", "uz", "vi", "zh_Hans", "zh_Hant",
)  # fmt: skip
TEXT_SIZES, LINE_WIDTHS, NOTIFICATIONS = TextSize.choices, LineWidth.choices, NotificationKind.choices
_CACHED = "preferences"


# --- whose --------------------------------------------------------------------------------------------------------------


def preferences_of(person: "Person | None") -> Preferences:
    """Return a person's preferences. It costs a query only if they were not read with the session."""
    if not isinstance(person, User):
        return DEFAULTS
    if _CACHED not in person._state.fields_cache:
        remember(person, Preferences.objects.filter(person=person.pk).first())
    chosen: Preferences = person._state.fields_cache[_CACHED]
    return chosen


def remember(person: User, chosen: Preferences | None) -> None:
    """Keep preferences that were just read with their person. None: the person chose nothing."""
    person._state.fields_cache[_CACHED] = chosen or DEFAULTS


def choose(person: User, **values: Any) -> Preferences:
    """Store some of a person's preferences; the others stay. Values that cannot be are refused by the forms, and by the table."""
    chosen, _ = Preferences.objects.update_or_create(person_id=person.pk, defaults=values)
    remember(person, chosen)
    return chosen


# --- time ---------------------------------------------------------------------------------------------------------------


@cache
def zones() -> list[str]:
    """Return the names of the time zones that people can choose, also the old names that browsers still use."""
    return ["UTC", *sorted(name for name in zoneinfo.available_timezones() if name.partition("/")[0] in REGIONS and "/" in name)]


@cache
def languages() -> list[tuple[str, str]]:
    """Return the languages of dates that people can choose: locale, and its name in its own language, in alphabetical order."""
    named = [(code, (Locale.parse(code).get_display_name() or code)) for code in LOCALES]
    return sorted(((code, name[:1].upper() + name[1:]) for code, name in named), key=lambda pair: pair[1].casefold())


def zone_of(chosen: Preferences) -> tzinfo:
    """Return the time zone of a person. A zone that this machine does not know any more is UTC."""
    return _zone(chosen.time_zone) if chosen.time_zone else UTC


def name_of_zone(chosen: Preferences) -> str:
    """Return the name of the time zone that the pages show times in."""
    return "UTC" if zone_of(chosen) is UTC else chosen.time_zone


def midnight(chosen: Preferences, *, now: datetime) -> datetime:
    """Return when this day began for a person."""
    return now.astimezone(zone_of(chosen)).replace(hour=0, minute=0, second=0, microsecond=0)


def write_day(day: date, chosen: Preferences) -> str:
    """Write a day as a person wants it. Of a moment, it is the day in their time zone."""
    if isinstance(day, datetime):
        day = day.astimezone(zone_of(chosen)).date()
    if locale := _locale(chosen.date_language):
        return str(dates.format_date(day, "medium", locale=locale))
    return day.isoformat()


def write_clock(moment: datetime, chosen: Preferences, *, seconds: bool = False) -> str:
    """Write the time of day of a moment, in a person's time zone."""
    zone = zone_of(chosen)
    if locale := _locale(chosen.date_language):
        return str(dates.format_time(moment, "medium" if seconds else "short", tzinfo=zone, locale=locale))
    return moment.astimezone(zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def write_moment(moment: datetime, chosen: Preferences, *, seconds: bool = False) -> str:
    """Write a moment, to the minute or to the second, in a person's time zone."""
    return f"{write_day(moment, chosen)} {write_clock(moment, chosen, seconds=seconds)}"


@cache
def _zone(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name) if name in zones() and name != "UTC" else UTC
    except zoneinfo.ZoneInfoNotFoundError:
        return UTC


@cache
def _locale(code: str) -> Locale | None:
    return Locale.parse(code) if code in LOCALES else None
