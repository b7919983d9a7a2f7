"""Rows into files: JSON lines, a JSON array or Parquet, packed or not, one file or several. The same rows give the same bytes."""

import gzip
import hashlib
import math
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, Self

import orjson

from trainer.counting import counted
from trainer.files import OutputRefused, check_output_file, rename_file
from trainer.formats import Progress
from trainer.writers.shapes import OutRow

if TYPE_CHECKING:
    import pyarrow as pa

CONTAINERS = {"jsonl": ".jsonl", "json": ".json", "parquet": ".parquet"}  # json: one array, for readers that take no lines
COMPRESSIONS = {"none": "", "gzip": ".gz", "zstd": ".zst"}
GZIP_LEVEL, ZSTD_LEVEL = 6, 3  # of zstd in Parquet
WRITTEN_BYTES = 256_000  # of JSON lines at once
GROUP_ROWS, GROUP_BYTES = 2_000, 32_000_000  # of a row group of Parquet: the first that is reached. This is what stays in memory
PARSED_ROWS = 250  # at once: while they are parsed they are in memory three times
SHOWN_EVERY = 500  # rows


class WrittenFile(NamedTuple):
    """A file that was written."""

    name: str
    n_records: int
    n_bytes: int
    sha256: str


def suffix_of(container: str, compression: str = "none") -> str:
    """Return the end of a file's name: .jsonl, .jsonl.gz, .json, .json.zst or .parquet. Parquet is packed inside. Raises OutputRefused."""
    for word, value, known in (("container", container, CONTAINERS), ("compression", compression, COMPRESSIONS)):
        if value not in known:
            raise OutputRefused(f"The {word} {value!r} is not known. Choose one of {', '.join(known)}.")
    return CONTAINERS[container] + ("" if container == "parquet" else COMPRESSIONS[compression])


def write(
    rows: Iterable[OutRow],
    path: Path,
    *,
    schema: "pa.Schema | None" = None,
    container: str = "jsonl",
    compression: str = "none",
    max_records: int | None = None,
    max_bytes: int | None = None,
    max_files: int | None = None,
    overwrite: bool = False,
    description: str = "",
    total: int | None = None,
    progress: Progress | None = None,
) -> list[WrittenFile]:
    """Write rows to `path`, or, with `max_records` or `max_bytes`, to several files beside it that are named NAME-00000-of-00002.jsonl.

    The name must end as `suffix_of` says. Parquet needs a `schema`, and keeps the `description` in its metadata. A file holds at most
    `max_records` rows and `max_bytes` of rows before packing; a row that is larger has a file of its own. If that makes more than
    `max_files`, nothing is written. Memory does not grow with the rows. `progress("writing", rows, total)` is called every 500 rows. The
    files get their names when all of them are whole: an error leaves nothing.
    With `overwrite` the files of an earlier set of this name go. Raises OutputRefused, and OSError.
    """
    suffix = suffix_of(container, compression)
    if not path.name.endswith(suffix) or path.name == suffix:
        raise OutputRefused(f"{path} is not the name of such a file. Let it end in {suffix}.")
    if container == "parquet" and schema is None:
        raise ValueError("Parquet needs a schema")
    for limit, unit in ((max_records, "record"), (max_bytes, "byte")):
        if limit is not None and limit < 1:
            raise OutputRefused(f"A file of {limit} {unit}s holds nothing. Choose at least 1 {unit}.")
    most_records, most_bytes = max_records or math.inf, max_bytes or math.inf
    check_output_file(path, overwrite=overwrite)
    path = path.resolve()
    _earlier(path, suffix, [path.name], overwrite=overwrite)
    drafts: list[_Draft] = []
    with ExitStack() as stack:

        def begin() -> _Draft:
            draft = stack.enter_context(_Draft(path, len(drafts), _opener(schema, container, compression, description)))
            drafts.append(draft)
            return draft

        draft, n_rows = begin(), 0
        for row in rows:
            line = row if isinstance(row, bytes) else orjson.dumps(row)
            n_bytes = len(line) + 1
            if draft.n_records >= most_records or (draft.n_records and draft.n_unpacked + n_bytes > most_bytes):
                draft.end()
                if max_files is not None and len(drafts) >= max_files:
                    raise OutputRefused(f"It would be more than {counted(max_files, 'file')}. Let each hold more records or bytes.")
                draft = begin()
            draft.add(line, n_bytes)
            n_rows += 1
            if progress and n_rows % SHOWN_EVERY == 0:
                progress("writing", n_rows, total)
        draft.end()
        names = [path.name] if max_records is max_bytes is None else _numbered(path.name.removesuffix(suffix), suffix, len(drafts))
        earlier = _earlier(path, suffix, names, overwrite=overwrite)
        _place(drafts, [path.with_name(name) for name in names], overwrite=overwrite)
        for other in earlier:
            other.unlink(missing_ok=True)
        if progress:
            progress("writing", n_rows, total)
    return [WrittenFile(name, draft.n_records, draft.n_bytes, draft.sha256) for name, draft in zip(names, drafts, strict=True)]


def _numbered(stem: str, suffix: str, count: int) -> list[str]:
    """Return the names of the files of a set, as `datasets` names those of a split."""
    return [f"{stem}-{index:05}-of-{count:05}{suffix}" for index in range(count)]


def _earlier(path: Path, suffix: str, names: list[str], *, overwrite: bool) -> list[Path]:
    """Return the files that an earlier run wrote under this name, as one file or as a set, beside the `names` of now.

    A load of the folder would read their rows too. Raises OutputRefused unless they can be overwritten.
    """
    stem = re.escape(path.name.removesuffix(suffix))
    pattern = re.compile(rf"{stem}(-\d{{5,}}-of-\d{{5,}})?{re.escape(suffix)}")
    earlier = [other for other in path.parent.iterdir() if other.name not in names and pattern.fullmatch(other.name)]
    if earlier and not overwrite:
        raise OutputRefused(f"{earlier[0]} is of an earlier set of files of this name. Name another file, or overwrite the set.")
    return earlier


def _place(drafts: "list[_Draft]", places: list[Path], *, overwrite: bool) -> None:
    """Give the finished files their names. If one cannot have its name, those before it lose theirs again."""
    for place in places:
        check_output_file(place, overwrite=overwrite)
    placed: list[Path] = []
    try:
        for draft, place in zip(drafts, places, strict=True):
            is_new = not place.exists()
            rename_file(draft.path, place)
            placed += [place] if is_new else []
    except BaseException:
        for place in placed:
            place.unlink(missing_ok=True)
        raise


# --- one file -------------------------------------------------------------------------------------------------------------------


class _RowWriter(Protocol):
    def add(self, line: bytes) -> None: ...

    def end(self) -> None: ...

    def close(self) -> None: ...  # without what still waits to be written: the file is deleted


class _Hashed:
    """The end of all writing: it hashes and counts what goes to the disk."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.n_bytes, self.closed = file, hashlib.sha256(), 0, False

    def write(self, data: Any) -> int:
        self.digest.update(data)
        written = self.file.write(data)
        self.n_bytes += written
        return written

    def tell(self) -> int:
        return self.n_bytes

    def flush(self) -> None:
        self.file.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


class _Draft:
    """A file that has no name yet. It is deleted unless it gets one."""

    def __init__(self, path: Path, index: int, open_rows: Callable[[Any], _RowWriter]) -> None:
        self.path = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.{index}.part")
        self.n_records = self.n_unpacked = 0
        self._file = self.path.open("xb")
        self._hashed = _Hashed(self._file)
        self._rows: _RowWriter | None = None
        try:
            self._rows = open_rows(self._hashed)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def add(self, line: bytes, n_bytes: int) -> None:
        assert self._rows
        self._rows.add(line)
        self.n_unpacked += n_bytes
        self.n_records += 1

    def end(self) -> None:
        assert self._rows
        self._rows.end()
        self._rows = None
        self._file.close()

    @property
    def n_bytes(self) -> int:
        return self._hashed.n_bytes

    @property
    def sha256(self) -> str:
        return self._hashed.digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError, ValueError):  # it is deleted: a full disk does not matter any more
            if self._rows:
                self._rows.close()
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


def _opener(schema: "pa.Schema | None", container: str, compression: str, description: str) -> Callable[[Any], _RowWriter]:
    if container == "parquet":
        assert schema is not None
        return lambda out: _ParquetRows(out, schema, compression, description)
    return lambda out: _JsonRows(out, compression, is_array=container == "json")


class _JsonRows:
    def __init__(self, out: Any, compression: str, *, is_array: bool) -> None:
        self._between = b",\n" if is_array else b"\n"
        self._is_array, self._is_empty = is_array, True
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._packed: Any = None
        if compression == "gzip":
            self._packed = gzip.GzipFile("", "wb", GZIP_LEVEL, fileobj=out, mtime=0)  # without name and time: the same bytes each time
        elif compression == "zstd":
            import pyarrow as pa

            self._packed = pa.CompressedOutputStream(pa.PythonFile(out, "w"), "zstd")
        self._out = out if self._packed is None else self._packed

    def add(self, line: bytes) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= WRITTEN_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        before = (b"[\n" if self._is_empty else self._between) if self._is_array else b""
        self._out.write(before + self._between.join(self._waiting) + (b"" if self._is_array else b"\n"))
        self._is_empty = False
        self._waiting.clear()
        self._waiting_bytes = 0

    def end(self) -> None:
        self._flush()
        if self._is_array:
            self._out.write(b"[]\n" if self._is_empty else b"\n]\n")
        self.close()

    def close(self) -> None:
        if self._packed is not None:
            self._packed.close()


class _ParquetRows:
    """Row groups. Rows are parsed as JSON, some at a time, while a thread packs and writes the group before."""

    def __init__(self, out: Any, schema: "pa.Schema", compression: str, description: str) -> None:
        from pyarrow import parquet

        self._schema = schema.with_metadata({"description": description}) if description else schema
        self._waiting: list[bytes] = []  # lines
        self._parsed: list[pa.Table] = []
        self._rows = self._bytes = 0  # of the group
        self._background = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None
        level = ZSTD_LEVEL if compression == "zstd" else None
        self._table = parquet.ParquetWriter(out, self._schema, compression=compression, compression_level=level)

    def add(self, line: bytes) -> None:
        self._waiting.append(line)
        self._rows += 1
        self._bytes += len(line)
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()
        elif len(self._waiting) >= PARSED_ROWS:
            self._parse()

    def _parse(self) -> None:
        if self._waiting:
            self._parsed.append(_table(self._waiting, self._schema))
            self._waiting.clear()

    def _flush(self) -> None:
        import pyarrow as pa

        self._parse()
        group = pa.concat_tables(self._parsed)
        self._parsed.clear()
        self._rows = self._bytes = 0
        self._wait()  # no more than two groups are in memory
        self._written = self._background.submit(self._write, group)

    def _write(self, group: "pa.Table") -> None:
        self._table.write_table(group.combine_chunks())  # where it was parted would change the pages

    def _wait(self) -> None:
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def end(self) -> None:
        if self._rows:
            self._flush()
        self._wait()
        self.close()

    def close(self) -> None:
        self._background.shutdown()
        self._table.close()


def _table(lines: Sequence[bytes], schema: "pa.Schema") -> "pa.Table":
    """Return rows as a table. pyarrow parses lines three times as fast as it takes nested values from Python, and without pandas."""
    import pyarrow as pa
    from pyarrow import json

    joined = b"\n".join(lines)
    parsing = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    table = json.read_json(pa.BufferReader(joined), json.ReadOptions(use_threads=False, block_size=len(joined) + 1), parsing)
    return table if table.schema.equals(schema) else table.cast(schema)  # cast loads all that Arrow can compute
