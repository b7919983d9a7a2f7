"""The peer of benchmarks/label_studio.py: Label Studio 1.23.2 with its default SQLite, started on a free port, used through its API."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.temporary_site import free_port

TOKEN = "0" * 40  # of a server that lives as long as the benchmark, and listens to this machine
START_SECONDS, CALL_SECONDS = 180, 1_800


@contextlib.contextmanager
def running(folder: Path) -> Iterator["LabelStudio"]:
    """Start Label Studio with its data in a folder, for as long as the block runs. Exits with 2 if it cannot be installed."""
    program, port = peers.install_apart("label_studio") / "bin" / "label-studio", free_port()
    environment = os.environ | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "0",
    }
    for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "DJANGO_DB", "PYTHONPATH", "SECRET_KEY"):
        environment.pop(name, None)
    words = ["start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port), "--username", "a@example.org", "--password",
             uuid.uuid4().hex, "--user-token", TOKEN]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, *words], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    peer = LabelStudio(f"http://127.0.0.1:{port}")
    try:
        end = time.monotonic() + START_SECONDS
        while not peer.is_up():
            if server.poll() is not None or time.monotonic() > end:
                sys.exit(f"Label Studio did not start:\n{(folder / 'log').read_text()[-2_000:]}")
            time.sleep(0.5)
        yield peer
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # its data are thrown away
        server.wait()


class LabelStudio:
    """A running Label Studio."""

    def __init__(self, address: str) -> None:
        self.address = address

    def is_up(self) -> bool:
        try:
            return bool(self._call("GET", "/api/version/"))
        except (urllib.error.URLError, OSError):
            return False

    def make_project(self, labeling_config: str) -> int:
        body = json.dumps({"title": "sums", "label_config": labeling_config}).encode()
        return int(json.loads(self._call("POST", "/api/projects/", body))["id"])

    def import_file(self, project: int, path: Path) -> dict[str, Any]:
        """Upload a file of tasks, as the page does, and return what was counted."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="tasks.json"\r\nContent-Type: application/json\r\n\r\n'
        )
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = self._call("POST", f"/api/projects/{project}/import", body, f"multipart/form-data; boundary={boundary}")
        return dict(json.loads(answer))

    def export(self, project: int, kind: str = "JSON") -> bytes:
        """Return the export of all tasks: JSON or JSON_MIN."""
        return self._call("GET", f"/api/projects/{project}/export?exportType={kind}&download_all_tasks=true")

    def _call(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": kind}
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:
            return bytes(answer.read())
