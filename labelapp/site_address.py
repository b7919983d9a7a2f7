"""Where the site is: for people, and for the check after a start, which asks for a page as the reverse proxy does.

`python -m labelapp.site_address` makes that check and ends with code 1 if the page does not come. With an address, such as /health/live,
it asks for that one: the health check of a container.
"""

import http.client
import os
import sys

from labelapp import environment

CHECK_SECONDS = 5


def public(*, host: str, port: int) -> str:
    """Return the address that people use, without a path: in production https:// and the first allowed host, else this machine's."""
    if environment.is_production():
        return f"https://{main_host()}"
    name = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def main_host() -> str:
    """Return the first allowed host. A pattern for many hosts is not a name: `.example.org` gives example.org, and `*` localhost."""
    return next((host.lstrip(".") for host in environment.allowed_hosts() if host != "*"), "localhost")


def what_is_wrong(*, host: str, port: int, page: str = "/sign-in/") -> str | None:
    """Ask for a page as the proxy does. Return None if it comes, else what came instead.

    A redirect to https counts as the page where this machine is not among the trusted proxies.
    """
    target = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    path = f"{environment.path_prefix()}{page}"
    headers = {"Host": main_host()} | ({"X-Forwarded-Proto": "https"} if environment.is_production() else {})
    connection = http.client.HTTPConnection(target, port, timeout=CHECK_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"{path}: {error}"
    finally:
        connection.close()
    is_page = answer.status == 200 or (answer.status == 301 and answer.headers["Location"] == f"https://{main_host()}{path}")
    return None if is_page else f"{path}: {answer.status} {answer.reason}"


if __name__ == "__main__":
    here, at = os.environ.get("HOST", "127.0.0.1"), environment.number("PORT", 8000, lowest=1, highest=65535)
    sys.exit(1 if what_is_wrong(host=here, port=at, page=next(iter(sys.argv[1:]), "/sign-in/")) else 0)
