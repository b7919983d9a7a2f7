"""How long a call takes. Tests use no clock; the long form that compares times by their ranks takes them from here."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def timed(act: Callable[[], Value]) -> tuple[Value, float]:
    """Call a function, and return its value and the seconds it took."""
    start = time.perf_counter()
    value = act()
    return value, time.perf_counter() - start
