"""Stage: export, sending: the answer to a request for a file of the exports folder, for pages and for programs.

A download that broke off goes on with the bytes that are missing (RFC 9110, section 14). The file is never in memory as a whole.
"""

import base64
import os
import re
from pathlib import Path
from typing import cast

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from whitenoise.responders import SlicedFile

TYPES = {
    ".jsonl": "application/x-ndjson",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".gz": "application/gzip",
    ".zst": "application/zstd",
    ".zip": "application/zip",
}
BLOCK = 65_536  # bytes in memory at once
# Several ranges at once, and what is no range, get the whole file: so RFC 9110 allows, and no client of ours asks for them.
_RANGE = re.compile(r"bytes=\s*(?:(\d{1,18})\s*-\s*(\d{1,18})?|-\s*(\d{1,18}))\s*", re.IGNORECASE | re.ASCII)


class DownloadGone(LookupError):
    """The file is not there any more. The message says what to do."""


def send_file(request: HttpRequest, path: Path, *, name: str, sha256: str) -> HttpResponseBase:
    """Answer with a file, or with the part that the header `Range` asks for. Browsers save it as `name`.

    `sha256` is that of the file, in hexadecimal. It is the ETag: `If-Range` continues a download only while the file is the same, and
    `If-None-Match` brings 304 without a body. `Repr-Digest` has it too (RFC 9530). A range behind the end is 416. Raises DownloadGone.
    """
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:",
    }
    answer = cast(HttpResponse, get_conditional_response(request, etag=etag, response=HttpResponse(headers=headers)))
    if answer.status_code != 200:
        return answer
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DownloadGone(
            f"The file {path.name} is not on the server any more. Export the snapshot again: its bytes are the same."
        ) from error
    size = os.fstat(file.fileno()).st_size
    part = _asked(request, etag, size)
    if part is not None and not part:
        file.close()
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    if part is not None:
        headers |= {"Content-Range": f"bytes {part[0]}-{part[-1]}/{size}", "Content-Length": str(len(part))}
    response = FileResponse(
        file if part is None else SlicedFile(file, part[0], part[-1]),
        as_attachment=True,
        filename=name,
        status=200 if part is None else 206,
        content_type=TYPES.get(path.suffix, "application/octet-stream"),
        headers=headers,
    )
    response.block_size = BLOCK
    return response


def _asked(request: HttpRequest, etag: str, size: int) -> range | None:
    """Return the places of the bytes that are asked for; none of them if they are behind the end. None: all bytes are asked for."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if request.method not in ("GET", "HEAD") or not match or request.headers.get("If-Range", etag) != etag:
        return None
    first, last, final = match.groups()
    if final is not None:
        return range(max(0, size - int(final)), size)
    if last is not None and int(last) < int(first):
        return None  # RFC 9110: no range
    return range(int(first), min(int(last) + 1 if last is not None else size, size))
