"""Files as they come: JSON in its forms, CSV and Parquet, plain and gzipped; and the sentence for a file that cannot be read."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from trainer.formats import FORMATS, BadFile, Fields, NotDivided, blocks, detect_format, objects_in, place_in_words, read_blocks, read_lines

ROWS = [
    {"problem": "What is 2 + 3?", "answer": "5", "solution": "Three more,\nthan two.\n\nSo 5."},
    {"problem": "q", "answer": None, "solution": "ünï 😀"},
]
CSV = 'problem,answer,solution\nWhat is 2 + 3?,5,"Three more,\nthan two.\n\nSo 5."\nq,,ünï 😀\n'


def as_parquet(rows: list[dict], **options: object) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), buffer, **options)
    return buffer.getvalue()


CONTAINERS: dict[str, tuple[bytes, list[int]]] = {
    "lines.jsonl": ("\n".join(map(json.dumps, ROWS)).encode(), [1, 2]),
    "blank_lines.jsonl": (b"\n\n" + "\n\r\n".join(map(json.dumps, ROWS)).encode() + b"\n\n", [3, 5]),
    "array.json": (json.dumps(ROWS).encode(), [1, 2]),
    "indented_array.json": (json.dumps(ROWS, indent=2).encode(), [2, 7]),
    "indented_objects.json": ("\n".join(json.dumps(row, indent=2) for row in ROWS).encode(), [1, 6]),
    "wrapped.json": (json.dumps({"data": ROWS}, indent=2).encode(), [3, 8]),
    "with_mark.json": (b"\xef\xbb\xbf" + json.dumps(ROWS).encode(), [1, 2]),
    "wrapped_in_one_line.json": (json.dumps({"data": ROWS}).encode() + b"\n\n", [1, 2]),
    "side_by_side.json": ("".join(map(json.dumps, ROWS)).encode(), [1, 2]),
    "old_mac.jsonl": ("\r".join(map(json.dumps, ROWS)).encode() + b"\r", [1, 2]),
    "old_mac.csv": (CSV.replace("\nWhat", "\rWhat").replace("\nq,,", "\rq,,").encode(), [2, 6]),
    "empty_rows.csv": (CSV.replace("\nWhat", "\n,,\nWhat").encode() + b",,\n,,,,\n", [3, 7]),
    "semicolons_in_quotes.csv": (CSV.replace("problem,", '"problem",').encode(), [2, 6]),
    "table.csv": (CSV.encode(), [2, 6]),
    "windows.csv": (b"\xef\xbb\xbf" + CSV.replace("q,,", "\r\nq,,").encode(), [2, 7]),
    "quoted.csv": (CSV.replace("problem,answer,solution", '"problem","answer","solution"').encode(), [2, 6]),
    "tabs.tsv": (CSV.replace("Three more,", "Three more;").replace(",", "\t").replace("more;", "more,").encode(), [2, 6]),
    "table.parquet": (as_parquet(ROWS), [1, 2]),
    "snappy_named_wrongly.json": (as_parquet(ROWS, compression="snappy"), [1, 2]),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_holds_the_same_objects(tmp_path: Path, name: str, packed: bool) -> None:
    content, lines = CONTAINERS[name]
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content) if packed else content)
    read = list(read_lines(path))
    assert [dict(fields) for _, fields in read] == ROWS
    assert [number for number, _ in read] == lines
    assert all(isinstance(fields, Fields) for _, fields in read)


def test_objects_that_share_a_line_are_numbered_as_objects(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text('[{"problem": "p"},\n{"problem": "q"}, {"problem": "r"},\n{"problem": "s"}]')
    assert [place_in_words(number) for number, _ in read_lines(path)] == ["line 1", "object 2", "object 3", "line 3"]


@pytest.mark.parametrize("bad", ['{"problem": NaN}', '"q"', '{"problem": "q", "problem": "q"}'])
def test_an_error_in_a_shared_line_names_the_object(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(f'[{{"problem": "p"}}, {{"problem": "p"}}, {bad}, {{"problem": "p"}}]')
    with pytest.raises(BadFile, match=r"f\.json object 3: "):
        list(read_lines(path))


def test_a_conversation_is_one_object_and_no_list_of_objects(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"conversations": [{"role": "user", "content": "q"}]}))
    assert [list(fields) for _, fields in read_lines(path)] == [["conversations"]]


@pytest.mark.parametrize("header", ['"problem","a; b; c"', "problem,answer"])
def test_only_marks_outside_of_quotes_separate_the_cells_of_a_header(tmp_path: Path, header: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f'{header}\np,"5; 6; 7"\n')
    ((_, fields),) = read_lines(path)
    assert list(fields.values()) == ["p", "5; 6; 7"]


def test_an_array_in_one_line_can_be_longer_than_a_line(tmp_path: Path) -> None:
    rows = [{"problem": f"{number}" * 1_000_000} for number in range(6)]
    for name, content in (("array.json", rows), ("wrapped.json", {"data": rows})):
        (tmp_path / name).write_text(json.dumps(content))
        assert [dict(fields) for _, fields in read_lines(tmp_path / name)] == rows


def test_one_object_in_an_array_has_the_limit_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps([{"problem": "p"}, {"problem": "p" * 5_000_000}]))
    with pytest.raises(BadFile, match="object 2: the object has more than 5,000,000 bytes"):
        list(read_lines(tmp_path / "f.json"))


def test_one_object_over_several_lines_is_one_object(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"problem": "p", "steps": [{"text": "a", "rating": 1}]}, indent=4))
    ((line, fields),) = read_lines(path)
    assert line == 1 and FORMATS["generic"].solutions(fields)[0].annotation  # type: ignore[misc]


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "data")
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as packed:
        packed.write(data)
    return buffer.getvalue().to_pybytes()


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "data.zip": (zipped("data.json"), "is a zip archive. Unpack it and name a file in it"),
    "zip.json.gz": (gzip.compress(zipped("data.json")), "is a zip archive"),
    "sheet.xlsx": (zipped("[Content_Types].xml"), "is an Excel file. Save its sheet as CSV in UTF-8"),
    "twice.gz.gz": (gzip.compress(gzip.compress(b"{}")), "is gzipped twice"),
    "utf16.json": ('{"problem": "p"}'.encode("utf-16"), "is UTF-16 or UTF-32, not UTF-8. Save it as UTF-8"),
    "utf16_without_mark.json": ('{"problem": "p"}'.encode("utf-16-le"), "is UTF-16, not UTF-8"),
    "utf16_big_end.json": ('{"problem": "p"}'.encode("utf-16-be"), "is UTF-16, not UTF-8"),
    "page.json": (b"\n<!DOCTYPE html>\n<html><title>404</title>", "is an HTML page, not data. Download the data itself"),
    "page2.json": (b"<HTML><body>Sign in</body></HTML>", "is an HTML page"),
    "feed.json": (b'<?xml version="1.0"?><Error/>', "is XML, not JSON"),
    "pointer.jsonl": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
        "is a pointer of Git LFS, not the data. Fetch",
    ),
    "data.bz2": (b"BZh91AY&SY", "is compressed with bzip2"),
    "data.xz": (b"\xfd7zXZ\x00\x00", "is compressed with xz"),
    "data.zst": (b"\x28\xb5\x2f\xfd\x00", "line 1: is compressed with zstd and cannot be unpacked"),
    "cut.jsonl.zst": (zstd(b'{"problem": "p"}\n' * 1_000)[:-6], "is compressed with zstd and cannot be unpacked (Truncated"),
    "twice.zst.zst": (zstd(zstd(b"{}")), "is compressed twice. Unpack it once"),
    "gzip.zst": (zstd(gzip.compress(b"{}")), "is gzipped twice"),
    "bomb.jsonl.zst": (zstd((b'{"problem": "' + b"p" * 4_000 + b'"}\n') * 2_000), "unpacks to more than 200 times its size"),
    "data.tar": (b"a" * 257 + b"ustar\x00", "is a tar archive"),
    "data.arrow": (b"ARROW1\x00\x00", "is an Arrow file. Save it as Parquet or as JSON lines"),
    "data.pkl": (b"\x80\x04\x95\x00", "is a Python pickle, which is never opened"),
    "text.txt": (b"What is 2 + 3?\n", "line 1: is not JSON: it begins with 'What is 2 + 3?'"),
    "unnamed": (b"problem,answer\np,5\n", "it begins with 'problem,answer'. Every line must be one JSON object. Name a CSV file .csv"),
    "noise": (bytes(range(14, 250)), "is neither JSON nor Parquet"),
    "empty.jsonl": (b"", "the file is empty"),
    "empty.jsonl.gz": (gzip.compress(b"\n \n"), "the file is empty"),
    "empty.csv": (b"", "the file is empty"),
    "header.csv": (b"problem,answer\n", "the file is empty"),
    "empty.parquet": (as_parquet([{"problem": "p"}])[:4], "cannot be read as Parquet"),
    "cut.parquet": (as_parquet(ROWS)[:-20], "cannot be read as Parquet"),
    "cut.json": (json.dumps(ROWS[0], indent=2).encode()[:-3], "line 1: the file ends inside the object. The file is cut off"),
    "cut_in_a_text.json": (b'{\n"problem": "Wha', "line 1: the file ends inside the object"),
    "cut_line.jsonl": (b'{"problem": "p",\n{"problem": "q"}\n', "line 1: not JSON (the line ends inside an object)"),
    "cut_in_the_last_line.jsonl": (b'{"problem": "p"}\n{"problem": "Wha', "line 2: the file ends inside the object"),
    "cut_array.json": (json.dumps(ROWS).encode()[:-1], "the array is not closed"),
    "two_arrays.json": (b'[{"problem": "p"}]\n[{"problem": "q"}]', "something follows it"),
    "open_wrapper.json": (b'{"data": [\n{"problem": "p"}\n]', "line 1: the file ends inside the object"),
    "two_splits.json": (b'{"train": [{"problem": "p"}], "test": [{"problem": "q"}]}', "one object with a list under 'train' and 1 more"),
    "wrapper_with_more.json": (b'{"version": 1,\n"data": [{"problem": "p"}]}', "one object with a list under 'data' and 1 more keys"),
    "pandas.json": (b'{"problem":\n{"0": "p", "1": "q"}, "answer": {"0": "5", "1": "6"}}', 'to_json(orient="records", lines=True)'),
    "python.jsonl": (b"{'problem': 'p'}\n", "line 1: not JSON (Expecting property name enclosed in double quotes"),
    "bare.json": (b'["p", "q"]', "object 1: a text where an object is expected"),
    "quote.csv": (b'problem,answer\np,"5\nq,6\n', "line 2: not CSV"),
    "ragged.csv": (b"problem,answer\np,5\nq,6,7\n", "line 3: the row has 3 cells, the header has 2"),
    "twice.csv": (b"problem,problem\np,5\n", "line 1: the column 'problem' occurs twice"),
    "latin.csv": ("problem,answer\np,5\ncafé,6\n".encode("latin-1"), "line 3: not UTF-8 (byte 0xe9 at position 4)"),
    "long.csv": (b"problem\n" + b"p" * 500_001 + b"\n", "line 2: not CSV (field larger than field limit (500000))"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_gets_the_sentence_that_fits_it(tmp_path: Path, name: str) -> None:
    content, sentence = UNREADABLE[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadFile) as bad:
        detect_format(path)
        list(read_lines(path))
    assert sentence in str(bad.value) and str(bad.value).startswith(str(path))
    assert "\n" not in str(bad.value)


def test_a_folder_and_a_device_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="is a folder. Name a file in it"):
        list(read_lines(tmp_path))
    with pytest.raises(BadFile, match="is a pipe or a device"):
        list(read_lines(Path("/dev/null")))


def test_every_cell_of_a_csv_file_is_text_until_a_value_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text('id,problem,answer,steps,ratings,generation\n007,p,0.10,"[""a"", ""b""]","[1, -1.0]",3\n1e3,q,true,"[""[1]""]",,\n')
    first, second = (FORMATS["generic"].solutions(fields)[0] for _, fields in read_lines(path))  # type: ignore[misc]
    assert (first.problem.external_id, first.problem.answer, first.steps) == ("007", "0.10", ("a", "b"))
    assert first.annotation and first.annotation.generation == 3
    assert [label.rating for label in first.annotation.labels] == [1, -1]
    assert (second.problem.external_id, second.problem.answer, second.steps, second.annotation) == ("1e3", "true", ("[1]",), None)


@pytest.mark.parametrize("cell", ["['a', 'b']", "a", '{""a"": 1}', '""a""', "[" * 2_000])
def test_a_cell_that_should_hold_a_list_and_does_not_is_refused(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f'problem,steps\np,"{cell}"\n')
    ((_, fields),) = read_lines(path)
    with pytest.raises(ValueError, match=r"'steps' is not a list in JSON\. Write it like|nested deeper"):
        FORMATS["generic"].solutions(fields)  # type: ignore[misc]


def test_a_parquet_file_keeps_numbers_lists_and_objects(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    row = {
        "id": 2**62,
        "problem": "p",
        "answer": Decimal("0.10"),
        "level": 1.5,
        "steps": [{"text": "a", "rating": 1.0}, {"text": "b", "rating": -1.0}],
    }
    path.write_bytes(as_parquet([row]))
    ((_, fields),) = read_lines(path)
    (solution,) = FORMATS["generic"].solutions(fields)  # type: ignore[misc]
    assert (solution.problem.external_id, solution.problem.answer, solution.problem.level) == (str(2**62), "0.10", "1.5")
    assert solution.annotation and [label.rating for label in solution.annotation.labels] == [1, -1]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_a_number_of_fewer_bytes_is_written_as_it_was_meant(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "f.parquet"
    schema = pa.schema([("answer", kind), ("steps", pa.list_(pa.struct([("text", pa.string()), ("rating", kind)])))])
    row = {"answer": 0.1, "steps": [{"text": "a", "rating": -1.0}]}
    parquet.write_table(pa.Table.from_pylist([row, {"answer": 3.5}], schema), path)
    (_, first), (_, second) = read_lines(path)
    assert (repr(first["answer"]), repr(first["steps"]), repr(second["answer"])) == ("0.1", "[{'text': 'a', 'rating': -1.0}]", "3.5")


def test_a_map_of_a_parquet_file_is_an_object(tmp_path: Path) -> None:
    path, kind = tmp_path / "f.parquet", pa.map_(pa.string(), pa.list_(pa.float32()))
    parquet.write_table(pa.Table.from_pylist([{"x": [("1", [0.1])]}], pa.schema([("x", kind)])), path)
    ((_, fields),) = read_lines(path)
    assert repr(fields["x"]) == "{'1': [0.1]}"
    parquet.write_table(pa.Table.from_pylist([{"x": [("1", []), ("1", [])]}], pa.schema([("x", kind)])), path)
    with pytest.raises(BadFile, match="row 1: a map has a key twice"):
        list(read_lines(path))


def test_a_column_that_occurs_twice_in_a_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    parquet.write_table(pa.table([pa.array(["p"]), pa.array(["q"])], names=["problem", "problem"]), path)
    with pytest.raises(BadFile, match="the column 'problem' occurs twice"):
        list(read_lines(path))


@pytest.mark.parametrize(
    ("value", "reason"), [(float("nan"), "'answer' is nan, which is not a number"), (b"\xff", "bytes that are not UTF-8")]
)
def test_a_bad_value_in_a_parquet_file_is_named_with_its_row(tmp_path: Path, value: object, reason: str) -> None:
    path = tmp_path / "f.parquet"
    path.write_bytes(as_parquet([{"answer": row} for row in (*[type(value)(0)] * 99, value)]))
    with pytest.raises(BadFile, match=f"row 100: .*{reason}"):
        list(read_lines(path))


BOMBS: dict[str, Callable[[], bytes]] = {
    "repeated.parquet": lambda: as_parquet([{"problem": "p" * 1_000_000}] * 100),
    "long_row.parquet": lambda: as_parquet([{"problem": "p" * 6_000_000}]),
    "array.json.gz": lambda: gzip.compress(b"[" + b'{"problem": "' + b" " * 50_000_000 + b'"}]'),
    "table.csv.gz": lambda: gzip.compress(b"problem\n" + (b"p" * 400_000 + b"\n") * 100),
    "table.parquet.gz": lambda: gzip.compress(
        as_parquet([{"problem": "p" * 2_000_000, "x": n} for n in range(20)], use_dictionary=False, compression="none")
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    assert path.stat().st_size < 300_000
    with pytest.raises(BadFile, match="unpacks to more than 200 times its size|the row has more than 5,000,000 bytes"):
        list(read_lines(path))


def test_a_parquet_file_nested_too_deep_is_refused(tmp_path: Path) -> None:
    value: object = "p"
    for _ in range(40):
        value = [value]
    (tmp_path / "f.parquet").write_bytes(as_parquet([{"problem": value}]))
    with pytest.raises(BadFile, match="nested deeper than 32 levels"):
        list(read_lines(tmp_path / "f.parquet"))


def test_gzip_data_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(b"".join(b'{"problem": "%d"}\n' % number for number in range(5_000))))
    content[20:60] = b"\xff" * 40
    (tmp_path / "f.jsonl.gz").write_bytes(content)
    with pytest.raises(BadFile, match="cannot be unpacked"):
        list(read_lines(tmp_path / "f.jsonl.gz"))


@pytest.mark.parametrize("name", ["lines.jsonl", "indented_array.json", "table.csv", "table.parquet"])
def test_progress_ends_with_the_size_of_the_file(tmp_path: Path, name: str) -> None:
    calls: list[tuple[str, int, int | None]] = []
    path = tmp_path / name
    path.write_bytes(CONTAINERS[name][0])
    list(read_lines(path, progress=lambda *call: calls.append(call)))
    assert calls[-1] == ("reading", path.stat().st_size, path.stat().st_size)
    assert all(done <= path.stat().st_size for _, done, _ in calls)


# --- arrays in blocks, for several processes -----------------------------------------------------------------------------------

NESTED = [{"problem": f'p{{"}}{number}', "steps": ["a\\", "b}] ,{é"], "x": [{"a": {"b": [{}]}}]} for number in range(40)]
DIVIDED = {
    "one line": json.dumps(NESTED),
    "compact": json.dumps(NESTED, separators=(",", ":"), ensure_ascii=False),
    "an object a line": "[\n" + ",\n".join(map(json.dumps, NESTED)) + "\n]\n",
    "indented": json.dumps(NESTED, indent=2),
    "blank lines": "\n\n  [\r\n\r\n" + ",\r\n\r\n".join(map(json.dumps, NESTED)) + "\r\n]",
    "a mark": "\ufeff" + json.dumps(NESTED),
    "one object": f"[{json.dumps(NESTED[0])},]",
}
UNDIVIDED = {
    "two in a line": f"[{json.dumps(NESTED[0])},\n{json.dumps(NESTED[1])}, {json.dumps(NESTED[2])}]",
    "a number": f"[{json.dumps(NESTED[0])}, 3]",
    "open": json.dumps(NESTED)[:-1],
    "an open text": json.dumps(NESTED)[:-20],
    "more after it": json.dumps(NESTED) + "x",
    "deep": "[" + '{"a": ' * 14 + "1" + "}" * 14 + "]",
}


@pytest.mark.parametrize("content", DIVIDED.values(), ids=DIVIDED)
def test_blocks_of_an_array_have_the_objects_that_its_lines_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 300)
    path = tmp_path / "array.json"
    path.write_text(content, newline="")
    divided = list(read_blocks(path))
    read = [(place_in_words(number), fields) for block in divided for number, fields in objects_in(block, path)]
    assert read == [(place_in_words(number), fields) for number, fields in read_lines(path)]
    assert len(read) in (1, len(NESTED)) and [block.is_last for block in divided] == [False] * (len(divided) - 1) + [True]


@pytest.mark.parametrize("content", UNDIVIDED.values(), ids=UNDIVIDED)
def test_an_array_that_cannot_be_divided_is_left_to_its_reader(tmp_path: Path, content: str) -> None:
    (tmp_path / "array.json").write_text(content)
    with pytest.raises(NotDivided):
        list(read_blocks(tmp_path / "array.json"))
