"""Stage: export, the content file of a snapshot: everything that an export writes, as it was when the snapshot was taken. Every export of
the snapshot is made from this file alone, so that nothing that happens later changes a byte of it.

It is a Parquet file of SCHEMA under STEPMARK_HOME/snapshots, one row an annotation, oldest first.
"""

import ctypes
import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import orjson
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from django.conf import settings
from django.db import connection
from psycopg.pq import DiagnosticField, ExecStatus

from annotation.export.prm800k import FRAGMENTS, JOINED, prm800k_line, ratings_of
from annotation.export.snapshots import PROBED, ContentDamaged, ContentMissing
from annotation.ingest import Progress
from annotation.models import Snapshot

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

# The other allocator of Arrow keeps what is freed: a third of the memory of an export. And glibc learns from large blocks to keep them,
# in pieces that do not fit together: a block of a megabyte goes back to the system, as it does at first (M_MMAP_THRESHOLD).
pa.set_memory_pool(pa.system_memory_pool())
with suppress(AttributeError, OSError, TypeError):  # a system without glibc
    ctypes.CDLL(None).mallopt(-3, 1_000_000)

_TEXT, _KEY, _NUMBER, _REAL, _BOOL = pa.string(), pa.int64(), pa.int32(), pa.float64(), pa.bool_()

# The columns beside the record. What a record has, a reader takes from it.
_COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "annotation": (_KEY, "a.id"),
    "solution": (_KEY, "s.id"),
    "problem": (_KEY, "p.id"),
    "problem_id": (_TEXT, "p.external_id"),
    "subject": (_TEXT, "p.subject"),
    "level": (_TEXT, "p.level"),
    "split": (_TEXT, "p.split"),
    "source": (_TEXT, "s.source"),
    "outcome": (_TEXT, "s.outcome"),
    "grader": (_TEXT, "s.grader"),
    "final_answer": (_TEXT, "s.final_answer"),
    "reference_answer": (_TEXT, "p.answer"),
    "batch": (_KEY, "b.id"),
    "batch_kind": (_TEXT, "b.kind"),
    "task_kind": (_TEXT, "t.kind"),
    "guidelines_version": (_NUMBER, "a.guidelines_version"),
    "active_ms": (_NUMBER, "a.active_ms"),
    "is_interactive": (_BOOL, "project.step_source = 'interactive' AND b.kind NOT IN ('imported', 'imported_gold')"),
    "labeler": (_TEXT, "m.export_uuid"),
    # What the readers of the solution said together at this moment; null: nothing.
    "first_mistake": (_NUMBER, "CASE WHEN c.solution_id IS NOT NULL THEN coalesce(c.first_mistake, -1) END"),
    "p_none": (_REAL, "c.p_none"),
    "n_readings": (_NUMBER, "c.n_readings"),
    "entropy": (_REAL, "c.entropy"),
    "is_adjudicated": (_BOOL, "c.is_adjudicated"),
}
# Arrays of a number for each step. The second column of a step is null where the consensus has no probabilities.
_LISTS = {name: f"CASE WHEN c.solution_id IS NOT NULL THEN (SELECT json_agg({name} ORDER BY step_index) FROM annotation_stepconsensus"
          " WHERE solution_id = s.id) END" for name in ("p_first", "p_neutral")}  # fmt: skip
SCHEMA = pa.schema(
    [
        *((name, type_) for name, (type_, _) in _COLUMNS.items()),
        *((name, pa.list_(_REAL)) for name in _LISTS),
        ("record", pa.binary()),
    ]
)
# What the database gives beside the parts of the record: values without a quote or the end of a line, mostly.
_VALUES = (
    {name: type_ for name, (type_, _) in _COLUMNS.items()}
    | dict.fromkeys(_LISTS, pa.binary())
    | {"finish_reason": _TEXT, "generation": _NUMBER}
)


# The statistics do not know the rows that this statement reads, so each table is reached by one probe of an index a row (snapshots.py).
_SELECT = f"""
SELECT {", ".join(FRAGMENTS.values())},
       {", ".join(sql for _, sql in _COLUMNS.values())}, {", ".join(_LISTS.values())}, a.finish_reason, g.generation
  FROM (SELECT unnest(:keys) AS annotation_id OFFSET 0) held {PROBED} {JOINED}
  LEFT JOIN LATERAL (SELECT * FROM annotation_solutionconsensus WHERE solution_id = s.id OFFSET 0) c ON true
"""
# COPY gives a row as one message and costs a third of a cursor. As text it doubles the backslashes of LaTeX; as CSV with these two
# characters it changes nothing but texts that hold one of them or the end of a line. The parts of a record never do: they are JSON.
_COPY = "COPY ({}) TO STDOUT (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
_DELIMITER = b"\x02"
_READ_OPTIONS = pyarrow.csv.ReadOptions(column_names=list(_VALUES), use_threads=False)
_PARSE_OPTIONS = pyarrow.csv.ParseOptions(delimiter="\x02", quote_char="\x01", newlines_in_values=True)
_CONVERT_OPTIONS = pyarrow.csv.ConvertOptions(
    column_types=_VALUES,
    null_values=[""],
    true_values=["t"],
    false_values=["f"],
    strings_can_be_null=True,
    quoted_strings_can_be_null=False,
    check_utf8=False,  # the database did
)
_AT_ONCE = 4_000  # annotations of one statement: to plan it takes as long as to read 500 of them
# Rows and bytes of records that are put together at once: the first that is reached. Such a block stays below the size that goes back to
# the system (above): to get a megabyte from it page by page takes eight times as long as to copy it.
_PIECE_ROWS, _PIECE = 250, 600_000
# The same of a group of the file. The file says 27 kB of each group at its end, and who reads or writes it keeps this in memory.
_GROUP_ROWS, _GROUP = 1_000, 8_000_000

_READ_ROWS = 180  # of a content file, at once: 0.8 MB of records as long as those of PRM800K


class _Keys:
    """How many different keys there were. A bit for each key, so that a million of them need little memory."""

    def __init__(self) -> None:
        self.pages: dict[int, np.ndarray[Any, np.dtype[np.bool_]]] = {}

    def add(self, keys: "np.ndarray[Any, np.dtype[np.int64]]") -> None:
        for page in np.unique(keys >> 13).tolist():
            bits = self.pages.setdefault(page, np.zeros(1 << 13, dtype=np.bool_))
            bits[keys[keys >> 13 == page] & 0x1FFF] = True

    def __len__(self) -> int:
        return sum(int(bits.sum()) for bits in self.pages.values())


@dataclass
class Counts:
    """What is in a content file, counted as it is written."""

    annotations: int = 0
    solutions: _Keys = field(default_factory=_Keys)
    problems: _Keys = field(default_factory=_Keys)
    people: set[str] = field(default_factory=set)
    ratings: "Counter[bytes]" = field(default_factory=Counter)  # by the packed labels of an annotation
    values: dict[str, "Counter[Any]"] = field(
        default_factory=lambda: {name: Counter() for name in ("generation", "finish_reason", "batch", "grader", "guidelines_version")}
    )

    def add(self, table: pa.Table) -> None:
        self.annotations += table.num_rows
        self.solutions.add(np.array(table["solution"].to_pylist(), np.int64))  # not to_numpy: it imports pandas, as pyarrow.array does
        self.problems.add(np.array(table["problem"].to_pylist(), np.int64))
        self.people.update(table["labeler"].to_pylist())
        for name, counter in self.values.items():
            counter.update(table[name].to_pylist())

    def summary(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        totals = [0, 0, 0, 0]
        for packed, count in self.ratings.items():
            for place, n_labels in enumerate(ratings_of(packed)):
                totals[place] += count * n_labels
        return {
            "annotations": self.annotations,
            "solutions": len(self.solutions),
            "problems": len(self.problems),
            "people": len(self.people),
            "ratings": dict(zip(("-1", "0", "1", "null"), totals, strict=True)),
            "finish_reasons": _named(self.values["finish_reason"]),
            "generations": _named(self.values["generation"]),
        }


def _named(counter: "Counter[Any]") -> dict[str, int]:
    """Return counts in the order of their values. A value that is missing is called null."""
    in_order = sorted(counter, key=lambda value: (value is None, value if value is not None else 0))
    return {"null" if value is None else str(value): counter[value] for value in in_order}


def write_content(
    keys: "array[int]", file: BinaryIO, reader: "psycopg.Connection[Any]", *, lines: BinaryIO | None, progress: Progress | None
) -> tuple[Counts, str]:
    """Write the content file of these annotations, in this order; return the counts and the sha256 of the records as lines.

    `lines` gets the records too, as PRM800K writes them. Memory does not grow with the number of annotations.
    """
    counts, digest = Counts(), hashlib.sha256()
    plain = [name for name in SCHEMA.names if name not in ("annotation", "solution", "problem", "record")]
    with (
        pq.ParquetWriter(file, SCHEMA, compression="zstd", use_dictionary=plain, write_statistics=False) as writer,
        ThreadPoolExecutor(1) as background,
    ):
        labels, values, blocks = list[bytes](), list[bytes](), list[pa.Array]()

        def write_group() -> None:
            writer.write_table(_table(labels, values, blocks, counts))
            for waiting in (labels, values, blocks):
                waiting.clear()

        def store(piece: _Piece) -> None:
            joined = b"\n".join([*piece.records, b""])
            digest.update(joined)
            if lines is not None:
                lines.write(joined)
            blocks.append(_binary(piece.records))
            labels.extend(piece.labels)
            values.extend(piece.values)
            if len(labels) >= _GROUP_ROWS or sum(block.nbytes for block in blocks) >= _GROUP:
                write_group()

        stored: Future[None] | None = None
        n_rows = 0
        for piece in _pieces(keys, reader):
            if stored is not None:
                stored.result()  # no more than two pieces are in memory
            n_rows += len(piece.records)
            if progress:
                progress("exporting", n_rows, len(keys))
            stored = background.submit(store, piece)
        if stored is not None:
            stored.result()
        if blocks:
            write_group()
    if progress:
        progress("exporting", n_rows, len(keys))
    return counts, digest.hexdigest()


class _Piece(NamedTuple):
    """Rows of the content file, oldest first. `values`: those of _VALUES, as lines of CSV."""

    records: list[bytes]
    labels: list[bytes]
    values: list[bytes]


def _pieces(keys: "array[int]", reader: "psycopg.Connection[Any]") -> Iterator[_Piece]:
    """Yield the rows of these annotations. Each is put together as it arrives, while the database makes the next one."""
    piece, size = _Piece([], [], []), 0
    n_fragments, place = len(FRAGMENTS), list(FRAGMENTS).index("labels")
    for start in range(0, len(keys), _AT_ONCE):
        named = ",".join(map(str, keys[start : start + _AT_ONCE]))
        for row in copied(reader, _SELECT.replace(":keys", f"'{{{named}}}'::bigint[]")):
            *fragments, values = row.split(_DELIMITER, n_fragments)
            record = prm800k_line(*fragments)
            piece.records.append(record)
            piece.labels.append(fragments[place])
            piece.values.append(values)
            size += len(record)
            if len(piece.records) >= _PIECE_ROWS or size >= _PIECE:
                yield piece
                piece, size = _Piece([], [], []), 0
    if piece.records:
        yield piece


def copied(reader: "psycopg.Connection[Any]", statement: str) -> Iterator[bytes]:
    """Yield the rows of a statement as lines of CSV. Between two rows the connection cannot do anything else.

    psycopg's own reading of COPY takes nearly twice as long: it prepares to wait for each row. libpq waits itself.
    """
    server = reader.pgconn
    with connection.wrap_database_errors:
        _check(server.exec_(_COPY.format(statement).encode()), ExecStatus.COPY_OUT)
        take = server.get_copy_data
        size = 1
        try:
            while True:
                size, row = take(0)
                if size < 0:
                    break
                yield bytes(row)
        finally:
            if size > 0:  # the caller stopped: the connection has to be free for what comes next
                server.get_cancel().cancel()
                while server.get_copy_data(0)[0] > 0:
                    pass
            results = list(iter(server.get_result, None))
        for result in results:
            _check(result, ExecStatus.COMMAND_OK)


def _check(result: "PGresult", expected: ExecStatus) -> None:
    """Raise the error of psycopg that a result stands for, unless it is as expected."""
    if result.status != expected:
        state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
        try:
            kind = psycopg.errors.lookup(state)
        except KeyError:
            kind = psycopg.OperationalError
        raise kind(result.error_message.decode(errors="replace").strip())


def _table(labels: list[bytes], values: list[bytes], records: list[pa.Array], counts: Counts) -> pa.Table:
    """Return the rows of a group in SCHEMA, and count them. Their values are read at once: each table costs as much as 300 rows."""
    counts.ratings.update(labels)
    lines = b"".join(values)
    _READ_OPTIONS.block_size = len(lines) + 1
    table = pyarrow.csv.read_csv(pa.BufferReader(lines), _READ_OPTIONS, _PARSE_OPTIONS, _CONVERT_OPTIONS)
    counts.add(table)
    arrays = [table[name] for name in _COLUMNS]
    arrays += [_lists(table[name].to_pylist()) for name in _LISTS]
    return pa.Table.from_arrays([*arrays, pa.chunked_array(records)], schema=SCHEMA)


# pyarrow.array imports pandas where it is installed, which takes 56 MB. So arrays are made of their buffers.


def _binary(values: list[bytes]) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(), len(values), [None, _offsets(values), pa.py_buffer(b"".join(values))])


def _lists(texts: list[bytes | None]) -> pa.Array:
    """Return JSON lists of numbers as an array. The numbers of a solution are all there or all missing: a list with a null is null."""
    if not any(texts):
        return pa.nulls(len(texts), pa.list_(_REAL))
    lists = [numbers if None not in (numbers := orjson.loads(text or b"[null]")) else None for text in texts]
    is_there = np.array([numbers is not None for numbers in lists])
    known = [numbers or [] for numbers in lists]
    values = np.fromiter(chain.from_iterable(known), np.float64)
    children = [pa.Array.from_buffers(_REAL, len(values), [None, pa.py_buffer(values)])]
    validity = pa.py_buffer(np.packbits(is_there, bitorder="little"))
    return pa.Array.from_buffers(pa.list_(_REAL), len(lists), [validity, _offsets(known)], children=children)


def _offsets(values: Sequence[Sized]) -> pa.Buffer:
    """Return where each value begins, and where the last one ends."""
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=offsets[1:])
    return pa.py_buffer(offsets)


# --- reading ---------------------------------------------------------------------------------------------------------------


def content_path(snapshot: Snapshot) -> Path:
    """Return the content file of a snapshot. Raises ContentMissing: it has none, or the file is not there."""
    place = f"Snapshot {snapshot.number} of {snapshot.project.slug}"
    if not snapshot.content:
        if snapshot.spec.get("use", "dataset") != "dataset":
            raise ContentMissing(f"{place} belongs to a training: it lists annotations and has no content. Take a snapshot for a data set.")
        raise ContentMissing(
            f"{place} was taken by an older version of Stepmark, which did not keep its content. "
            f"Its first file was {snapshot.file or 'written elsewhere'}. To write the labels as they are now, take a new snapshot."
        )
    path = Path(settings.STEPMARK_HOME) / snapshot.content
    if not path.is_file():
        raise ContentMissing(
            f"The content of {place[0].lower()}{place[1:]} is not there: {path} is missing. Restore this file from a backup."
        )
    return path


@contextmanager
def opened(snapshot: Snapshot) -> Iterator[pq.ParquetFile]:
    """Give the content file of a snapshot. Raises ContentMissing and ContentDamaged."""
    path = content_path(snapshot)
    try:
        if path.stat().st_size != snapshot.content_bytes:
            raise pa.ArrowInvalid(f"it has {path.stat().st_size:,} bytes instead of {snapshot.content_bytes:,}")
        with pq.ParquetFile(path, pre_buffer=False) as file:  # else it keeps what it has read
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise ContentDamaged(f"{path} cannot be read ({error}). Restore this file from a backup.") from error


def content_records(snapshot: Snapshot) -> Iterator[list[bytes]]:
    """Yield the records of a snapshot as PRM800K lines without line ends, oldest first, some at a time."""
    with opened(snapshot) as file:
        for batch in _batches(file, ["record"]):
            yield batch.column(0).to_pylist()


def content_batches(snapshot: Snapshot, columns: Iterable[str]) -> Iterator[dict[str, list[Any]]]:
    """Yield these columns of a snapshot, oldest first, some rows at a time."""
    with opened(snapshot) as file:
        for batch in _batches(file, columns):
            yield batch.to_pydict()


def content_rows(snapshot: Snapshot, columns: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield the rows of a snapshot, oldest first: all columns of SCHEMA, or those named."""
    with opened(snapshot) as file:
        for batch in _batches(file, columns):
            yield from batch.to_pylist()


def _batches(file: pq.ParquetFile, columns: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """Yield a file some rows at a time, group by group: `iter_batches` of a whole file keeps all that it has read to the end."""
    for number in range(file.num_row_groups):
        yield from file.iter_batches(_READ_ROWS, row_groups=[number], columns=list(columns) or None, use_threads=False)
