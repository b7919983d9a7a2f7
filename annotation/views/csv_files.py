"""Figures as comma-separated values, which people open in a spreadsheet."""

import csv
import re
from collections.abc import Iterable, Sequence

from django.http import HttpResponse

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a cell begins that a spreadsheet would run
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def csv_answer(lines: Iterable[Sequence[str]], *, name: str) -> HttpResponse:
    """Return lines of cells as a file of this name. Names of people and texts from files become no formula."""
    answer = HttpResponse(content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'})
    csv.writer(answer, lineterminator="\n").writerows([defused(cell) for cell in line] for line in lines)
    return answer


def defused(cell: str) -> str:
    """Return a cell that a spreadsheet shows as it is, and never runs as a formula. A number stays a number."""
    return f"'{cell}" if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell) else cell
