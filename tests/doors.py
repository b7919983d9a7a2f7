"""What stands before the live server: it lives as long as the process of the tests, and each test that asks it has a `door` of its own."""

import functools
import mimetypes
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

from tests.waiting import PATIENCE

AXE = Path(__file__).parent / "e2e" / "vendor" / "axe" / "axe.min.js"


@functools.cache
def static_file(path: str) -> tuple[str, bytes] | None:
    """Return the type and the content of a static file, read once: each browser context asks for all of them anew."""
    found = AXE if path == AXE.name else finders.find(path)
    return (mimetypes.guess_type(path)[0] or "application/octet-stream", Path(found).read_bytes()) if found else None


class Door:
    """Stands before the live server: lets requests in, and once shut turns them away and knows when the last one has left.

    It hands out the static files itself.
    """

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app, self.inside, self.is_open, self.left = app, 0, True, threading.Condition()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        with self.left:
            self.inside += self.is_open
            is_let_in = self.is_open
        if not is_let_in:
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return
        try:
            before, _, path = environ["PATH_INFO"].partition(settings.STATIC_URL)
            if not before and (file := static_file(path)):
                kind, content = file
                start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", "max-age=3600")])
                yield content
                return
            response = self.app(environ, start_response)
            try:
                yield from response
            finally:
                response.close()
        finally:
            with self.left:
                self.inside -= 1
                self.left.notify_all()

    def shut(self) -> None:
        """Wait for the requests that are inside. A request that runs while the database is emptied would deadlock with it."""
        with self.left:
            self.is_open = False
            assert self.left.wait_for(lambda: self.inside == 0, timeout=PATIENCE), f"{self.inside} requests never ended"


@pytest.fixture
def door(live_server: Any) -> Iterator[Door]:
    """A new one for every test. The last one's stays shut: a page says what it still has to say after it was closed."""
    httpd, app = live_server.thread.httpd, live_server.thread.httpd.get_app()
    door = Door(app.app if isinstance(app, Door) else app)
    httpd.set_app(door)
    yield door
    door.shut()
