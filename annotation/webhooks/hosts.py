"""Stage: webhooks, hosts. To which addresses this site sends: those at hosts that the administrator named in WEBHOOK_HOSTS.

A manager chooses the address, and this machine can reach more than the manager's. So the name is looked up when a message is sent. Its IP
addresses must be public ones, unless the administrator named the host in WEBHOOK_PRIVATE_HOSTS.
"""

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from django.conf import settings

LONGEST_ADDRESS = 500
_PLAIN = re.compile(r"[!-~]+").fullmatch  # ASCII without spaces
_NAT64 = ip_network("64:ff9b::/96")


class BadAddress(ValueError):
    """An address to which this site does not send. The message says why and what to do."""


class Host(Protocol):
    """A host of settings.WEBHOOK_HOSTS."""

    is_private: bool

    def covers(self, scheme: str, name: str, port: int) -> bool:
        """Return whether an address is at this host."""


class Place(NamedTuple):
    """Where an address leads. is_private: it can lie in the network of this site."""

    scheme: str
    name: str
    port: int
    target: str  # path and query
    is_private: bool


def place_of(address: str) -> Place:
    """Return where an address leads. Raises BadAddress: it is none, or its host is not allowed here."""
    if not _PLAIN(address) or len(address) > LONGEST_ADDRESS:
        raise BadAddress(f"Write an address such as https://hooks.example.org/stepmark, in ASCII and up to {LONGEST_ADDRESS} characters.")
    try:
        parts = urlsplit(address)
        name, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise BadAddress("This is not an address. Write it as https://hooks.example.org/stepmark.") from None
    if parts.scheme not in ("https", "http") or not name or port == 0:
        raise BadAddress("Write the address with https:// and the name of the host, such as https://hooks.example.org/stepmark.")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("Leave out the name and the password. The receiver checks the signature instead.")
    if "#" in address:
        raise BadAddress("Leave out the # and what follows it: it is never sent.")
    port = port or (443 if parts.scheme == "https" else 80)
    covering = [host for host in settings.WEBHOOK_HOSTS if host.covers(parts.scheme, name, port)]
    if not covering:
        raise BadAddress(_not_allowed(parts.scheme, name, port))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, name, port, target, any(host.is_private for host in covering))


def _not_allowed(scheme: str, name: str, port: int) -> str:
    shown = f"[{name}]" if ":" in name else name
    entry = f"{'http://' if scheme == 'http' else ''}{shown}{'' if port == (443 if scheme == 'https' else 80) else f':{port}'}"
    return f"This site sends nothing to {entry}. Ask its administrator to add {entry} to WEBHOOK_HOSTS, or choose a host that is allowed."


def numbers_of(name: str, port: int, *, is_private: bool) -> list[str]:
    """Look a name up, and return its IP addresses. Raises BadAddress if one of them is not to be reached, and OSError if there is none."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise BadAddress(f"{name} is not the name of a host. Correct the address of the webhook.") from None
    numbers = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for number in numbers:
        _check_number(name, number, is_private=is_private)
    return numbers


def _check_number(name: str, number: str, *, is_private: bool) -> None:
    inner = _inner(ip_address(number.partition("%")[0]))
    # Nobody means these: a machine of a cloud answers at 169.254.169.254 with its own keys.
    if inner.is_link_local or inner.is_multicast or inner.is_unspecified:
        raise BadAddress(f"{name} stands for {number}, which is no address of a receiver. Correct the address of the webhook.")
    # `is_global` lets through what leads nowhere in public: translations to IPv4 (64:ff9b:1::/48), old forms of it (::/96), fec0::/10.
    is_public = inner.is_global and not inner.is_reserved and not (isinstance(inner, IPv6Address) and inner.is_site_local)
    if not is_private and not is_public:
        raise BadAddress(
            f"{name} stands for {number}, which is inside a private network. "
            "If that is meant, the administrator adds the host to WEBHOOK_PRIVATE_HOSTS."
        )


def _inner(number: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address leads to, if it does."""
    if isinstance(number, IPv6Address):
        if number in _NAT64:
            return IPv4Address(int(number) & 0xFFFFFFFF)
        return number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else number)
    return number
