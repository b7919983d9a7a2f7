"""A file of the exports folder over HTTP: whole, a part of it, and what is left of a download that broke off."""

import hashlib
from pathlib import Path
from typing import cast

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http import FileResponse, HttpResponse, HttpResponseBase
from django.test import RequestFactory

from annotation.export import DownloadGone, send_file

CONTENT = bytes(range(256)) * 700  # 179,200 bytes: more than a block
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{SHA256}"'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    path.write_bytes(CONTENT)
    return path


def ask(path: Path, method: str = "GET", **headers: str) -> HttpResponseBase:
    request = RequestFactory().generic(method, "/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    return send_file(request, path, name="sums snapshot 1.jsonl", sha256=SHA256)


def body(answer: HttpResponseBase) -> bytes:
    sent = answer.content if isinstance(answer, HttpResponse) else b"".join(cast(FileResponse, answer))
    request_finished.disconnect(close_old_connections)  # as the client of tests does: it would close the connection of other tests
    answer.close()
    request_finished.connect(close_old_connections)
    return sent


def test_a_download_names_the_file_its_type_and_its_hash(path: Path) -> None:
    answer = ask(path)
    assert answer.status_code == 200 and body(answer) == CONTENT
    assert answer["Content-Disposition"] == 'attachment; filename="sums snapshot 1.jsonl"'
    assert (answer["Content-Type"], answer["Content-Length"]) == ("application/x-ndjson", "179200")
    assert (answer["ETag"], answer["Accept-Ranges"]) == (ETAG, "bytes")


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-0", 0, 0),
        ("5-9", 5, 9),
        ("179199-", 179_199, 179_199),
        ("100-9999999", 100, 179_199),
        ("-10", 179_190, 179_199),
        ("-999999", 0, 179_199),
    ],
)
def test_a_range_brings_these_bytes_and_no_others(path: Path, asked: str, first: int, last: int) -> None:
    answer = ask(path, range=f"bytes={asked}")
    assert (answer.status_code, answer["Content-Range"]) == (206, f"bytes {first}-{last}/179200")
    assert body(answer) == CONTENT[first : last + 1] and answer["Content-Length"] == str(last - first + 1)
    assert answer["Content-Type"] == "application/x-ndjson" and answer["ETag"] == ETAG


@pytest.mark.parametrize("asked", ["bytes=179200-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(path: Path, asked: str) -> None:
    answer = ask(path, range=asked)
    assert (answer.status_code, answer["Content-Range"], body(answer)) == (416, "bytes */179200", b"")


@pytest.mark.parametrize(
    "asked", ["bytes=9-5", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes=-", "bytes=٣-٤", "bytes=1-" + "9" * 5_000]
)
def test_what_is_no_single_range_brings_the_whole_file(path: Path, asked: str) -> None:
    answer = ask(path, range=asked.encode().decode("latin-1"))
    assert answer.status_code == 200 and body(answer) == CONTENT


def test_a_download_that_broke_off_goes_on_only_while_the_file_is_the_same(path: Path) -> None:
    assert body(ask(path, range="bytes=1000-", if_range=ETAG)) == CONTENT[1000:]
    for other in (f'"{"0" * 64}"', f"W/{ETAG}", "Fri, 27 Nov 2026 04:00:00 GMT"):
        answer = ask(path, range="bytes=1000-", if_range=other)
        assert answer.status_code == 200 and body(answer) == CONTENT


def test_who_has_the_file_gets_no_body(path: Path) -> None:
    answer = ask(path, if_none_match=ETAG, range="bytes=999999-")
    assert (answer.status_code, answer["ETag"], body(answer)) == (304, ETAG, b"")
    assert ask(path, if_match='"another"').status_code == 412


def test_a_range_holds_for_reading_requests_alone(path: Path) -> None:
    answer = ask(path, "POST", range="bytes=0-0")
    assert answer.status_code == 200 and body(answer) == CONTENT


def test_a_file_that_was_deleted_is_named_with_the_remedy(path: Path) -> None:
    path.unlink()
    with pytest.raises(DownloadGone, match=r"labels\.jsonl is not on the server any more\. Export the snapshot again"):
        ask(path)
