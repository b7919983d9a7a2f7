"""Times of day and dates, as answers have them. Pure, and without a computer algebra system."""

import re
from typing import NamedTuple

from trainer.answers.quantities import read_words


class TimeOfDay(NamedTuple):
    """A time of day, in seconds. `half` is `am`, `pm`, `24` for a clock of 24 hours, or empty; `precise` if it has minutes."""

    seconds: int
    half: str
    precise: bool


class Date(NamedTuple):
    """A day of a year. `year` and `weekday` are empty if they are not said."""

    month: int
    day: int
    year: str
    weekday: str


NOON, MIDNIGHT = TimeOfDay(12 * 3600, "pm", True), TimeOfDay(0, "am", True)
_HALF = r"(?: ?([APap])\.? ?[Mm]\.?)?"
_CLOCK = re.compile(rf"(\d{{1,2}})(?:(?::| ?h ?(?=\d))(\d\d))?(?::(\d\d))? ?(?:o'clock ?)?{_HALF}(?: ?o'clock)?")
_PAST = re.compile(rf"(?:an? )?(?:(half|quarter)|(\d\d?|[a-z]+(?:[ -][a-z]+)?) minutes?) (past|after|to|till) (\d\d?|[a-z]+){_HALF}", re.I)
_PART_OF_DAY = re.compile(r" (?:in|of) the (morning|afternoon|evening)$")


def read_time(text: str) -> TimeOfDay | None:
    """Read `3:30 PM`, `15:30`, `15h30`, `10 a.m.`, `half past three`, `12:00 noon`. None if it is no time of day."""
    if named := re.fullmatch(r"(?:12(?::00)? )?(?:(noon|midday)|midnight)", text, re.I):
        return NOON if named[1] else MIDNIGHT
    text = re.sub(r"^(?:at|At) (?=[\dhqa])", "", text)
    text = _PART_OF_DAY.sub(lambda part: " am" if part[1] == "morning" else " pm", text)
    text = re.sub(r"^(\d{1,2})\.(\d\d?)(?= ?[APap]\.? ?[Mm])", lambda point: f"{point[1]}:{point[2].ljust(2, '0')}", text)
    told = _CLOCK.fullmatch(text)
    if not told:
        return _past(text)
    if not (told[2] or told[4] or "o'clock" in text):
        return None
    time = _time(int(told[1]), int(told[2] or 0), told[4] or "", is_precise=told[2] is not None)
    return time and time._replace(seconds=time.seconds + int(told[3] or 0))


def _past(text: str) -> TimeOfDay | None:
    if not (told := _PAST.fullmatch(text)):
        return None
    minutes = {"half": 30, "quarter": 15}[told[1].lower()] if told[1] else _whole(told[2])
    hour = _whole(told[4])
    if minutes is None or hour is None or not 0 < minutes < 60 or not 1 <= hour <= 12:
        return None
    if told[3].lower() in ("to", "till"):
        hour, minutes = (hour - 2) % 12 + 1, 60 - minutes
    return _time(hour, minutes, told[5] or "", is_precise=True)


def _whole(text: str) -> int | None:
    number = int(text) if text.isdecimal() else read_words(text)
    return int(number) if number is not None and number == int(number) else None


def _time(hour: int, minutes: int, half: str, *, is_precise: bool) -> TimeOfDay | None:
    half = f"{half.lower()}m" if half else ""
    if hour > 23 or minutes > 59 or half and not 1 <= hour <= 12:
        return None
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    elif hour > 12 or hour == 0:
        half = "24"
    return TimeOfDay(hour * 3600 + minutes * 60, half, is_precise)


_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_MONTH = r"(?P<month>" + "|".join(rf"{name[:3]}(?:{name[3:]})?" for name in _MONTHS) + r"|sept)\.?"
_DAY = r"(?P<day>\d{1,2})(?:\^?\{?(?:st|nd|rd|th)\}?)?"
_WEEKDAY = r"(?:(?P<weekday>(?:mon|tues|wednes|thurs|fri|satur|sun)day),? ?(?:the )?)?"
_YEAR = r"(?:,? ?(?P<year>\d{4}))?"
_DATES = [
    re.compile(rf"(?:on )?{_WEEKDAY}{_MONTH} (?:the )?{_DAY}{_YEAR}", re.I),
    re.compile(rf"(?:on )?{_WEEKDAY}(?:the )?{_DAY} (?:of )?{_MONTH}{_YEAR}", re.I),
]
_ISO_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])")


def read_date(text: str) -> Date | None:
    """Read `January 5`, `Jan. 5th, 2020`, `Monday, 5 May`, `2020-01-05`. None if it is no date; `01/05/2020` has two meanings."""
    if (iso := _ISO_DATE.fullmatch(text)) and "0" in (iso["month"][0], iso["day"][0]):
        return Date(int(iso["month"]), int(iso["day"]), iso["year"], "")
    for pattern in _DATES:
        if told := pattern.fullmatch(text):
            month = next(place for place, name in enumerate(_MONTHS, 1) if name.startswith(told["month"].lower()[:3]))
            if 1 <= int(told["day"]) <= 31:
                return Date(month, int(told["day"]), told["year"] or "", (told["weekday"] or "").lower())
    return None
