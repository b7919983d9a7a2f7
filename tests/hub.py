"""A stand-in for a hub of data sets: as much of its HTTP interface as huggingface_hub uses to make a repository and to commit files."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_right"


@dataclass
class Hub:
    """What the stand-in holds. `files`: of all repositories together, by path. `refusal`: status and words for commits, if set."""

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    uploaded: dict[str, bytes] = field(default_factory=dict)  # by sha256, before a commit names them
    commits: list[str] = field(default_factory=list)
    refusal: tuple[int, str] | None = None


@contextmanager
def hub() -> Iterator[Hub]:
    """Run a stand-in for as long as the block runs."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def answer(self, status: int, body: Any = None) -> None:
            content = json.dumps(body if body is not None else {}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status >= 400:
                self.send_header("X-Error-Message", body["error"])
            self.end_headers()
            self.wfile.write(content)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def is_allowed(self) -> bool:
            if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                return True
            self.answer(401, {"error": "Invalid username or password."})
            return False

        def do_PUT(self) -> None:
            content = self.body()
            state.uploaded[hashlib.sha256(content).hexdigest()] = content
            self.answer(200)

        def do_GET(self) -> None:
            if self.is_allowed():
                listed = [{"type": "file", "path": name, "oid": "0" * 40, "size": len(content)} for name, content in state.files.items()]
                self.answer(200, listed)

        def do_POST(self) -> None:
            content = self.body()
            if not self.is_allowed():
                return
            if self.path == "/api/repos/create":
                asked = json.loads(content)
                name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
                state.private.setdefault(name, asked.get("private", asked.get("visibility") == "private"))
                self.answer(200, {"url": f"{state.address}/datasets/{name}"})
            elif self.path.startswith("/api/validate-yaml"):
                self.answer(200, {"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                files = json.loads(content)["files"]
                modes = [{"path": file["path"], "uploadMode": _mode(file["path"]), "shouldIgnore": False} for file in files]
                self.answer(200, {"files": modes})
            elif self.path.endswith("/info/lfs/objects/batch"):
                objects = json.loads(content)["objects"]
                uploads = [each | {"actions": {"upload": {"href": f"{state.address}/lfs/{each['oid']}"}}} for each in objects]
                self.answer(200, {"transfer": "basic", "objects": uploads})
            elif "/commit/" in self.path:
                self.commit(content)
            else:
                self.answer(404, {"error": f"nobody expected {self.path}"})

        def commit(self, content: bytes) -> None:
            if state.refusal:
                self.answer(state.refusal[0], {"error": state.refusal[1]})
                return
            for line in content.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "header":
                    state.commits.append(value["summary"])
                elif entry["key"] == "file":
                    state.files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    state.files[value["path"]] = state.uploaded[value["oid"]]
                elif entry["key"] == "deletedFile":
                    del state.files[value["path"]]
            self.answer(200, {"commitUrl": f"{state.address}/datasets/x/y/commit/{len(state.commits)}", "commitOid": "1" * 40})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _mode(path: str) -> str:
    return "lfs" if path.endswith((".parquet", ".gz")) else "regular"
