"""The form of a person's preferences on their account page."""

from collections.abc import Mapping
from typing import Any

from django import forms

from annotation import preferences
from annotation.views.forms.projects import CountField

RESTS = [("0", "never"), *((str(minutes), f"after {minutes} minutes") for minutes in (30, 45, 60, 90, 120))]


def _zones() -> list[Any]:
    """Return the time zones, by region."""
    regions: dict[str, list[tuple[str, str]]] = {}
    for name in preferences.zones():
        region, _, place = name.partition("/")
        if place:
            regions.setdefault(region, []).append((name, name.replace("_", " ")))
    return [("", "Not chosen: UTC"), ("UTC", "UTC"), *regions.items()]


def _languages() -> list[tuple[str, str]]:
    return [("", "International: 2026-11-26 15:30"), *preferences.languages()]


class PreferencesForm(forms.Form):
    """Time zone, language of dates, size and width of texts, a day's goal, the hint to rest, and what also comes by e-mail."""

    time_zone = forms.ChoiceField(
        required=False,
        label="Time zone",
        choices=_zones,
        help_text="All pages show times in it. Your day begins at midnight there.",
        error_messages={"invalid_choice": "This time zone is not known here. Choose one from the list."},
    )
    date_language = forms.ChoiceField(
        required=False,
        label="How dates are written",
        choices=_languages,
        help_text="All pages write dates and times as people do in this language. The other words stay English.",
        error_messages={"invalid_choice": "Choose from the list how dates are written."},
    )
    text_size = forms.ChoiceField(
        label="Size of problems and steps",
        choices=preferences.TEXT_SIZES,
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Choose a size from the list."),
    )
    line_width = forms.ChoiceField(
        label="Lines of steps",
        choices=preferences.LINE_WIDTHS,
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Choose a width from the list."),
    )
    goal = CountField(
        "Your goal",
        lowest=1,
        highest=1000,
        required=False,
        label="Solutions a day",
        help_text="Only you see it. Leave it empty for no goal.",
    )
    pace = forms.FloatField(
        required=False,
        min_value=0.1,
        max_value=600,
        label="Minutes for one solution",
        help_text="A pace that you aim at. Only you see it.",
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), "Your pace must be a number from 0.1 to 600."),
    )
    rest_minutes = forms.TypedChoiceField(
        label="Hint to rest",
        choices=RESTS,
        coerce=int,
        help_text="After so much labeling without a break of five minutes, the page suggests a rest. It holds nothing up.",
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Choose from the list when the page suggests a rest."),
    )

    mailed = forms.MultipleChoiceField(
        required=False,
        label="Notifications that also come by e-mail",
        choices=preferences.NOTIFICATIONS,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": "Choose from the list what comes by e-mail."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, chosen: Any) -> None:
        super().__init__(
            data, auto_id="preferences-%s", label_suffix="", initial={name: getattr(chosen, name) for name in self.base_fields}
        )
