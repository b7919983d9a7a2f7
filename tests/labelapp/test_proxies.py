"""What a reverse proxy says is believed from named proxies only, and the prefix is taken off the paths."""

from ipaddress import ip_network
from typing import Any

import pytest
from gunicorn.config import Config

from labelapp import environment, web_server
from labelapp.http.proxies import FORWARDED, BehindProxies, browser_address

TRUSTED = [ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("::1")]


@pytest.mark.parametrize(
    ("peer", "chain", "browser"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.7", "203.0.113.7"),  # the browser sent 6.6.6.6 itself
        ("127.0.0.1", "6.6.6.6,203.0.113.7 , 10.1.2.3", "203.0.113.7"),  # two proxies
        ("127.0.0.1", "10.9.9.9, 10.1.2.3", "10.9.9.9"),  # a browser in the network of the proxies
        ("203.0.113.9", "6.6.6.6", "203.0.113.9"),  # no proxy of ours
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "6.6.6.6, <script>, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("127.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("127.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:127.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("::1", "203.0.113.7,", "::1"),
        ("", "203.0.113.7", ""),  # a Unix socket
    ],
)
def test_the_browser_is_the_last_address_that_is_no_trusted_proxy(peer: str, chain: str, browser: str) -> None:
    assert browser_address(peer, chain, trusted=TRUSTED) == browser


def seen_by_django(peer: str = "127.0.0.1", path: str = "/", **headers: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return []

    sent = {"REMOTE_ADDR": peer, "PATH_INFO": path, "SCRIPT_NAME": "", **headers}
    BehindProxies(application, trusted=TRUSTED, prefix="/stepmark")(sent, lambda status, fields: seen.update(status=status, fields=fields))
    return seen


@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.9"])
def test_no_header_of_a_proxy_reaches_the_pages(peer: str) -> None:
    assert not set(FORWARDED) & set(seen_by_django(peer, **dict.fromkeys(FORWARDED, "6.6.6.6")))


@pytest.mark.parametrize(
    ("path", "script", "rest"),
    [
        ("/stepmark/p/demo/", "/stepmark", "/p/demo/"),
        ("/stepmark/", "/stepmark", "/"),
        ("/stepmark/stepmark/", "/stepmark", "/stepmark/"),
        ("/stepmarks/", "", "/stepmarks/"),
        ("/health/live", "", "/health/live"),  # asked without the proxy
    ],
)
def test_the_prefix_is_taken_off_once(path: str, script: str, rest: str) -> None:
    seen = seen_by_django(path=path)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == (script, rest)


def test_the_prefix_without_a_slash_leads_to_the_site() -> None:
    seen = seen_by_django(path="/stepmark")
    assert seen["status"].startswith("301") and ("Location", "/stepmark/") in seen["fields"]


def test_gunicorn_takes_the_configuration_with_networks_of_both_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8,2001:db8::/32")
    config = Config()
    config.set("forwarded_allow_ips", ",".join(map(str, environment.trusted_proxies())))
    config.set("secure_scheme_headers", web_server.secure_scheme_headers)
    config.set("forwarder_headers", web_server.forwarder_headers)
    assert [str(network) for network in config.forwarded_allow_networks()] == ["10.0.0.0/8", "::ffff:a00:0/104", "2001:db8::/32"]
    assert config.forwarder_headers == []
