"""A receiver of webhooks on this machine: it keeps every message, and answers what a test asks of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

from django.test import override_settings

from labelapp.environment import WebhookHost


@dataclass
class Receiver:
    """`write`: writes the body of an answer instead of `body`, until it returns. `ended`: set when the receiver ends."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"
    write: Callable[[BufferedIOBase], None] | None = None
    messages: list[tuple[dict[str, str], str]] = field(default_factory=list)  # headers in small letters, and the body
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?from=stepmark"

    def host(self, name: str = "127.0.0.1", *, is_private: bool = True) -> WebhookHost:
        return WebhookHost("http", name, self.port, is_private)

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.messages]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver for as long as the block runs. Webhooks can be sent to it."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            receiver.messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if receiver.write:
                    receiver.write(self.wfile)
                else:
                    self.wfile.write(receiver.body)
            except OSError:
                pass  # the sender has heard enough

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with override_settings(WEBHOOK_HOSTS=(receiver.host(),)):
            yield receiver
    finally:
        receiver.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
