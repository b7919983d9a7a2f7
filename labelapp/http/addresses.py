"""The address that a request comes from, as the throttling of wrong passwords counts it."""

from ipaddress import IPv6Address, ip_address

from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """Return the address of the browser. None: it is not known, as on a Unix socket."""
    return request.META.get("REMOTE_ADDR") or None


def throttled_address(request: HttpRequest) -> str | None:
    """Return the address that wrong passwords are counted for. Of IPv6 it is the network of 64 bits: one household has all of it."""
    try:
        address = ip_address(client_address(request) or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
