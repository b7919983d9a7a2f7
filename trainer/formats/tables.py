"""Tables: CSV, where every cell is text, and Parquet. Yields (line or row number, object)."""

import csv
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from io import BytesIO
from math import isfinite
from typing import Any

from trainer.formats.json_objects import placed
from trainer.formats.objects import Cell, Fields, Numeral
from trainer.formats.opening import ByteSource
from trainer.formats.values import JSON_DEPTH, LINE_BYTES, SOLUTION_CHARACTERS, BadFile, BadLine, Progress, Row

BATCH_ROWS = 64
_DELIMITERS = ",;\t"


def read_csv(source: ByteSource, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    """Yield (line number, object) of a CSV file with a header. An empty cell is null. The line is the one where the row begins."""
    csv.field_size_limit(SOLUTION_CHARACTERS)  # the default of 131,072 is less than a solution may have
    with placed(source.path, 1):
        header = source.read_line().decode()
    delimiter = max(_DELIMITERS, key=header.count)
    rows = csv.reader(_lines(source, header), strict=True, delimiter=delimiter)
    names: list[str] = []
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            remedy = f"Write CSV with double quotes around texts. A cell has at most {SOLUTION_CHARACTERS:,} characters"
            raise BadFile(source.path, line, f"not CSV ({error}); perhaps a quote is not closed", remedy) from None
        if row is None:
            return
        if not names:
            names = [name.strip() or f"column {number}" for number, name in enumerate(row, 1)]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise BadFile(source.path, line, f"the column {twice!r} occurs twice", "Give each column its own name")
        elif row:
            if len(row) != len(names):
                raise BadFile(
                    source.path,
                    line,
                    f"the row has {len(row)} cells, the header has {len(names)}",
                    "Put texts with commas or line ends in quotes",
                )
            yield line, Fields((name, Cell(cell) if cell else None) for name, cell in zip(names, row, strict=True))
        source.show(progress)


def _lines(source: ByteSource, line: str) -> Iterator[str]:
    while line:
        yield line
        content = source.read_line()
        with placed(source.path, source.line):
            line = content.decode()


def read_parquet(source: ByteSource, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    """Yield (row number from 1, object) of a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    if source.stream is not source.raw:  # gzipped
        file = BytesIO(source.read_rest())
        source.size, source.unpacked = file.getbuffer().nbytes, 0
    else:
        file = source.raw  # type: ignore[assignment]
    number = 0
    try:
        table = parquet.ParquetFile(file)
        if _depth(list(table.schema_arrow)) > JSON_DEPTH:
            raise BadFile(source.path, None, f"nested deeper than {JSON_DEPTH} levels", "Save the data as a simpler table")
        for batch in table.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            source.check_unpacked(batch.nbytes)
            for index in range(batch.num_rows):
                number += 1
                with placed(source.path, Row(number)):
                    row = batch.slice(index, 1)
                    if batch.nbytes > LINE_BYTES and row.nbytes > LINE_BYTES:
                        raise BadLine(f"the row has more than {LINE_BYTES:,} bytes", "Leave the row out")
                    yield Row(number), _fields(row.to_pylist()[0])
            if progress:
                progress("reading", source.size * number // max(1, table.metadata.num_rows), source.size)
    except (pa.ArrowException, OSError) as error:
        reason = (
            f"cannot be read as Parquet ({str(error).strip().splitlines()[0].rstrip('.') if str(error).strip() else 'no reason given'})"
        )
        raise BadFile(source.path, Row(number + 1) if number else None, reason, "Write the file again") from None


def _depth(fields: list[Any]) -> int:
    return max((1 + _depth([field.type.field(at) for at in range(field.type.num_fields)]) for field in fields), default=0)


def _fields(row: dict[str, Any]) -> Fields:
    return Fields((name, _plain_value(value, name)) for name, value in row.items())


def _plain_value(value: Any, name: str) -> Any:
    """Return a value as JSON would hold it, with numbers as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float) and not isfinite(value):
        raise BadLine(f"{name!r} is {value}, which is not a number", "Write null")
    if isinstance(value, int | float | Decimal):
        return Numeral(repr(value) if isinstance(value, float) else str(value))
    if isinstance(value, dict):
        return Fields((key, _plain_value(inner, f"{name}.{key}")) for key, inner in value.items())
    if isinstance(value, list):
        return [_plain_value(inner, name) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise BadLine(f"{name!r} holds bytes that are not UTF-8", "Save the column as text") from None
    if isinstance(value, date | time):
        return value.isoformat()
    raise BadLine(f"{name!r} is a {type(value).__name__}", "Save the column as text or numbers")
