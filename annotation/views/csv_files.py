"""Figures as comma-separated values, which people open in a spreadsheet."""

import csv
import re
from collections.abc import Iterable, Sequence

from django.http import HttpResponse, StreamingHttpResponse

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a cell begins that a spreadsheet would run
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def csv_answer(lines: Iterable[Sequence[str]], *, name: str) -> HttpResponse:
    """Return lines of cells as a file of this name. Names of people and texts from files become no formula."""
    answer = HttpResponse(content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'})
    csv.writer(answer, lineterminator="\n").writerows([defused(cell) for cell in line] for line in lines)
    return answer


class _Line:
    """Takes what a CSV writer writes, and gives it back."""

    def write(self, text: str) -> str:
        return text


def csv_stream(lines: Iterable[Sequence[str]], *, name: str) -> StreamingHttpResponse:
    """Return lines of cells as a file of this name that is sent while it is read, however long. No cell becomes a formula."""
    writer = csv.writer(_Line())
    written = (writer.writerow([defused(cell) for cell in line]) for line in lines)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(written, content_type="text/csv; charset=utf-8", headers=headers)


def defused(cell: str) -> str:
    """Return a cell that a spreadsheet shows as it is, and never runs as a formula. A number stays a number."""
    return f"'{cell}" if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell) else cell
