"""How far a running stage is, in words."""

import pytest
from django.template.loader import render_to_string
from django.utils.html import strip_tags


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        ({"stage": "reward model", "done": 67, "total": 96, "seconds_left": 1875}, "reward model about 31 min left; step 67 of 96"),
        ({"stage": "reward model", "done": 95, "total": 96, "seconds_left": 9}, "reward model less than 1 min left; step 95 of 96"),
        ({"stage": "scoring", "done": 1200, "total": 90_000, "seconds_left": 9100}, "scoring about 3 h left; solution 1,200 of 90,000"),
        ({"stage": "scoring", "done": 0, "total": 9, "seconds_left": None}, "scoring solution 0 of 9"),
        ({"stage": "reward model", "done": 96, "total": 96, "seconds_left": 0}, "reward model step 96 of 96"),
        ({"stage": "loading", "done": 300, "total": None, "seconds_left": None}, "loading"),
    ],
)
def test_time_left_is_shown_in_minutes_and_work_in_its_own_unit(progress: dict[str, object], words: str) -> None:
    html = render_to_string("active_learning/_how_far.html", {"progress": progress})
    assert " ".join(strip_tags(html).split()) == words
