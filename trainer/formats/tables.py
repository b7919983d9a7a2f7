"""Tables: CSV, where every cell is text, and Parquet. Yields (line or row number, object)."""

import csv
import re
import struct
from collections import Counter
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from io import BytesIO
from math import isfinite
from typing import Any

from trainer.formats.json_objects import placed
from trainer.formats.objects import Cell, Fields, Numeral
from trainer.formats.opening import ByteSource
from trainer.formats.values import JSON_DEPTH, LINE_BYTES, SOLUTION_CHARACTERS, BadFile, BadLine, Progress, Row, in_words

BATCH_ROWS = 64
_SINGLE = {"float": "f", "halffloat": "e"}  # Arrow's type -> the code of struct
_DELIMITERS = ",;\t"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_AFTER_RETURN = re.compile(r"(?<=\r)(?!\n)")  # the line ends of old Macs


def read_csv(source: ByteSource, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    """Yield (line number, object) of a CSV file with a header. An empty cell is null. The line is the one where the row begins."""
    csv.field_size_limit(SOLUTION_CHARACTERS)  # the default of 131,072 is less than a solution may have
    with placed(source.path, 1):
        first = source.read_line().decode()
    header = _QUOTED.sub("", first).splitlines()[:1]
    delimiter = max(_DELIMITERS, key="".join(header).count)
    rows = csv.reader(_lines(source, first), strict=True, delimiter=delimiter)
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
                raise BadFile(source.path, line, f"the column {in_words(twice)} occurs twice", "Give each column its own name")
        elif any(row):  # Excel ends a table with rows of empty cells
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
        yield from filter(None, _AFTER_RETURN.split(line))
        content = source.read_line()
        with placed(source.path, source.line):
            line = content.decode()


def read_parquet(source: ByteSource, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    """Yield (row number from 1, object) of a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    if source.stream is not source.raw:  # compressed
        file = BytesIO(source.read_rest())
        source.size, source.unpacked = file.getbuffer().nbytes, 0
    else:
        file = source.raw  # type: ignore[assignment]
    number = 0
    try:
        table = parquet.ParquetFile(file)
        if _depth(list(table.schema_arrow)) > JSON_DEPTH:
            raise BadFile(source.path, None, f"nested deeper than {JSON_DEPTH} levels", "Save the data as a simpler table")
        types = {field.name: field.type for field in table.schema_arrow}
        if twice := next((name for name, count in Counter(table.schema_arrow.names).items() if count > 1), None):
            raise BadFile(source.path, None, f"the column {in_words(twice)} occurs twice", "Give each column its own name")
        for batch in table.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            source.check_unpacked(batch.nbytes)
            for index in range(batch.num_rows):
                number += 1
                with placed(source.path, Row(number)):
                    row = batch.slice(index, 1)
                    if batch.nbytes > LINE_BYTES and row.nbytes > LINE_BYTES:
                        raise BadLine(f"the row has more than {LINE_BYTES:,} bytes", "Leave the row out")
                    values = _values(row)
                    yield Row(number), Fields((name, _plain_value(values[name], types[name], name)) for name in values)
            if progress:
                progress("reading", source.size * number // max(1, table.metadata.num_rows), source.size)
    except (pa.ArrowException, OSError) as error:
        reason = (
            f"cannot be read as Parquet ({str(error).strip().splitlines()[0].rstrip('.') if str(error).strip() else 'no reason given'})"
        )
        raise BadFile(source.path, Row(number + 1) if number else None, reason, "Write the file again") from None


def _depth(fields: list[Any]) -> int:
    return max((1 + _depth([field.type.field(at) for at in range(field.type.num_fields)]) for field in fields), default=0)


def _values(row: Any) -> dict[str, Any]:
    try:
        return dict(row.to_pylist(maps_as_pydicts="strict")[0])
    except KeyError:
        raise BadLine("a map has a key twice", "Remove one of the two") from None


def _plain_value(value: Any, kind: Any, name: str) -> Any:
    """Return a value of an Arrow type as JSON would hold it, with numbers as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float) and not isfinite(value):
        raise BadLine(f"{name!r} is {value}, which is not a number", "Write null")
    if isinstance(value, float):
        return Numeral(repr(_shortest(value, _SINGLE.get(str(kind)))))
    if isinstance(value, int | Decimal):
        return Numeral(str(value))
    if isinstance(value, dict):
        return Fields((key, _plain_value(inner, _type_inside(kind, key), f"{name}.{key}")) for key, inner in value.items())
    if isinstance(value, list):
        return [_plain_value(inner, _type_inside(kind), name) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise BadLine(f"{name!r} holds bytes that are not UTF-8", "Save the column as text") from None
    if isinstance(value, date | time):
        return value.isoformat()
    raise BadLine(f"{name!r} is a {type(value).__name__}", "Save the column as text or numbers")


def _type_inside(kind: Any, key: str = "") -> Any:
    """Return the Arrow type of what a list, a map or the key of an object holds."""
    if hasattr(kind, "item_type"):
        return kind.item_type
    return kind.field(key).type if hasattr(kind, "get_field_index") else getattr(kind, "value_type", None)


def _shortest(value: float, code: str | None) -> float:
    """Return the number with the fewest digits that a number of 2 or 4 bytes can have been, such as 0.1."""
    if code is None:
        return value
    written = (float(f"{value:.{digits}g}") for digits in range(1, 10))
    return next(number for number in written if struct.unpack(code, struct.pack(code, number))[0] == value)
