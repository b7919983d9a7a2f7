"""The last step before Django: from what a reverse proxy sends to the address of the browser and the path within the site."""

from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from labelapp.environment import Network

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
# gunicorn reads X-Forwarded-Proto (web_server.py). The site reads none of the others, and no library can be led to believe them.
WAS_FORWARDED = "stepmark.was_forwarded"  # whether a proxy sent the request, trusted or not
FORWARDED = (
    "HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_PROTOCOL", "HTTP_X_FORWARDED_SCHEME", "HTTP_X_FORWARDED_SSL", "HTTP_X_REAL_IP",
    "HTTP_X_CLIENT_IP", "HTTP_CLIENT_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_CF_CONNECTING_IP",
)  # fmt: skip


class BehindProxies:
    """A WSGI application whose REMOTE_ADDR is the browser's address, and whose paths lack the prefix of the site."""

    def __init__(self, application: Application, *, trusted: Collection[Network], prefix: str) -> None:
        self.application, self.trusted, self.prefix = application, trusted, prefix

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        peer, chain = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        environ[WAS_FORWARDED] = any([environ.pop(header, None) for header in FORWARDED])
        environ["REMOTE_ADDR"] = browser_address(peer, chain, trusted=self.trusted)
        path: str = environ.get("PATH_INFO", "")
        if self.prefix and path == self.prefix:  # outside of the path of the cookies
            start_response("301 Moved Permanently", [("Location", f"{self.prefix}/"), ("Content-Length", "0")])
            return []
        if self.prefix and path.startswith(f"{self.prefix}/"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = self.prefix, path[len(self.prefix) :]
        return self.application(environ, start_response)


def browser_address(peer: str, chain: str, *, trusted: Collection[Network]) -> str:
    """Return the address that a request comes from. `chain` is X-Forwarded-For, to which each proxy adds whom it was asked by, at the end.

    Read from the end, as long as a trusted proxy wrote the entry. The first address of somebody else is the browser's; what stands before
    it is what the browser itself sent. Without a trusted proxy the peer is the browser.
    """
    address = _address(peer)
    if address is None:
        return peer
    for entry in reversed(chain.split(",")):
        if not any(address in network for network in trusted) or (named := _address(entry)) is None:
            break
        address = named
    return str(address)


@lru_cache(maxsize=256)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address as proxies write it: with a port, in brackets, or IPv4 within IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
