"""The connection of one person over HTTP: a browser's cookies, and a socket that is closed before the answer."""

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.labeling import Labeler
from benchmarks.traffic.people import Reply


class HttpConnection:
    """One person's connection, signed in by a link."""

    broken: tuple[type[BaseException], ...] = (httpx.HTTPError, OSError)

    def __init__(self, address: str, *, project: str, sign_in: str) -> None:
        browser = Labeler(address, project=project, seed=0)
        browser.sign_in(sign_in)
        self.client, self.place = browser.client, urlsplit(address)

    def ask(self, path: str, *, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Send a GET, or a POST with content, and return the answer. Raises httpx.HTTPError if none comes."""
        if content is None:
            answer = self.client.get(path, headers=dict(headers))
        else:
            answer = self.client.post(path, content=content, headers={"Content-Type": "application/json", **headers})
        return Reply(answer.status_code, answer.text, {name.lower(): value for name, value in answer.headers.items()})

    def hang_up(self, path: str, *, content: bytes, headers: Mapping[str, str]) -> None:
        """Send a POST on a connection of its own, and close it before the answer."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies.jar)
        sent: dict[str, Any] = {
            "Host": self.place.netloc, "Cookie": cookies, "Content-Type": "application/json", "Content-Length": len(content), **headers
        }  # fmt: skip
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        with socket.create_connection((str(self.place.hostname), self.place.port or 80), timeout=30) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
