"""The environment, read and checked. A wrong value ends the start with a sentence that names the variable and what to write instead.

Knows no Django: the supervisor and the configuration of gunicorn read the same values before Django is loaded.
"""

import hashlib
import hmac
import os
import re
import sys
import zlib
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

Network = IPv4Network | IPv6Network

YES, NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})
MAKE_A_KEY = "Make one with `openssl rand -hex 32` and keep it: every web host and worker of this site needs the same one."
# Django asks for 50 characters. A random key of that length does not compress below 49 bytes, and repeated words compress to about 20.
KEY_LENGTH, KEY_BYTES = 50, 45
INSECURE_PREFIX = "django-insecure-"
HOST = re.compile(r"\*|\.?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?|\[[0-9a-f:.]+\]", re.I)
PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
ORIGIN = re.compile(r"https?://[^/\s]+")
MAIL_SENDER = re.compile(r"[^\s@<>]+@[^\s@<>]+|[^@<>\r\n]*<[^\s@<>]+@[^\s@<>]+>")
WEBHOOK_HOST = re.compile(r"(?:(https?)://)?(\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.I)
BROKERS = ("redis", "rediss", "redis+socket", "filesystem")


class BadEnvironment(SystemExit):
    """A variable that cannot be used. The sentence names it and the remedy. Exit code 2."""

    def __init__(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)
        super().__init__(2)
        self.sentence = sentence


def flag(name: str, *, default: bool = False) -> bool:
    """Return a variable that is on or off. Raises BadEnvironment for anything else: a typing error must not turn production off."""
    value = os.environ.get(name)
    if value is None:
        return default
    if (word := value.strip().lower()) in YES | NO:
        return word in YES
    raise BadEnvironment(f"{name}={value} is neither on nor off. Set {name}=1 or {name}=0.")


def number(name: str, default: int, *, lowest: int, highest: int) -> int:
    """Return a variable that is a whole number. Raises BadEnvironment."""
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    if re.fullmatch(r"[0-9]{1,18}", value) and lowest <= int(value) <= highest:
        return int(value)
    raise BadEnvironment(f"{name}={value} is not a whole number from {lowest} to {highest}. Correct it, or unset {name} for {default}.")


def names(name: str, default: str = "") -> list[str]:
    """Return the entries of a variable, separated by commas or blanks. Empty entries do not count."""
    return [entry for entry in re.split(r"[\s,]+", os.environ.get(name, default)) if entry]


def is_production() -> bool:
    """Return whether this is a site for others. Raises BadEnvironment if it would show its settings to them."""
    if not flag("PRODUCTION"):
        return False
    if flag("DEBUG"):
        raise BadEnvironment("PRODUCTION=1 and DEBUG=1 exclude each other: DEBUG shows code and settings to everybody. Unset DEBUG.")
    return True


def secret_key() -> str:
    """Return SECRET_KEY, or an empty text where none is needed. Raises BadEnvironment in production without a good key."""
    key = os.environ.get("SECRET_KEY", "")
    if not is_production():
        return key
    if not key.strip():
        raise BadEnvironment(f"PRODUCTION=1 needs SECRET_KEY in the environment. {MAKE_A_KEY}")
    if key.startswith(INSECURE_PREFIX):
        raise BadEnvironment(f"SECRET_KEY begins with {INSECURE_PREFIX}: Django made it for trying things out. {MAKE_A_KEY}")
    if len(key) < KEY_LENGTH:
        raise BadEnvironment(f"SECRET_KEY has {len(key)} characters, and {KEY_LENGTH} are needed. {MAKE_A_KEY}")
    if len(zlib.compress(key.encode(errors="replace"), 9)) < KEY_BYTES:
        raise BadEnvironment(f"SECRET_KEY repeats itself, so it can be guessed. {MAKE_A_KEY}")
    return key


def site_mark(key: str) -> str:
    """Return eight hex digits that the web hosts of a site share and two sites do not. They do not tell the key."""
    return hmac.new(key.encode(errors="replace"), b"stepmark.cookies", hashlib.sha256).hexdigest()[:8]


def allowed_hosts() -> list[str]:
    """Return the host names of this site, the main one first. Raises BadEnvironment."""
    hosts = names("ALLOWED_HOSTS")
    for host in hosts:
        if not HOST.fullmatch(host):
            raise BadEnvironment(
                f"ALLOWED_HOSTS: {host} is not a host name. Write the name alone, such as label.example.org, without https:// or a port."
            )
    if hosts:
        return hosts
    if is_production():
        raise BadEnvironment(
            "PRODUCTION=1 needs ALLOWED_HOSTS in the environment: the host names of this site, separated by commas. "
            "For example ALLOWED_HOSTS=label.example.org."
        )
    return ["localhost", "127.0.0.1", "[::1]"]


def csrf_trusted_origins() -> list[str]:
    """Return the origins whose forms are accepted. In production that is https:// and each allowed host, next to those that are named."""
    named = names("CSRF_TRUSTED_ORIGINS")
    for origin in named:
        if not ORIGIN.fullmatch(origin):
            raise BadEnvironment(f"CSRF_TRUSTED_ORIGINS: {origin} is not an origin. Write it as https://label.example.org, without a path.")
    hosts = allowed_hosts() if is_production() else []
    derived = [f"https://{'*' if host.startswith('.') else ''}{host.rstrip('.')}" for host in hosts if host != "*"]
    return list(dict.fromkeys(named + derived))


def path_prefix() -> str:
    """Return the part of the address under which the site lies, such as /stepmark, or an empty text. Raises BadEnvironment."""
    value = os.environ.get("PATH_PREFIX", "").strip()
    prefix = f"/{value.strip('/')}" if value.strip("/") else ""
    if prefix and not (PREFIX.fullmatch(prefix) and not {".", ".."} & set(prefix.split("/"))):
        raise BadEnvironment(f"PATH_PREFIX={value} is not a path. Write it as /stepmark/, with letters, digits and - . _ ~ only.")
    return prefix


def trusted_proxies() -> list[Network]:
    """Return whose X-Forwarded-Proto and X-Forwarded-For are believed: by default this machine in production, and nobody otherwise."""
    networks: list[Network] = []
    for entry in names("TRUSTED_PROXIES", "127.0.0.1,::1" if is_production() else ""):
        try:
            network = ip_network(entry)
        except ValueError:
            raise BadEnvironment(
                f"TRUSTED_PROXIES: {entry} is neither an address nor a network. Write, for example, 127.0.0.1,10.0.0.0/8."
            ) from None
        networks.append(network)
        if isinstance(network, IPv4Network):  # as a socket for both versions shows it
            networks.append(ip_network(f"::ffff:{network.network_address}/{96 + network.prefixlen}"))
    return networks


def broker_url() -> str:
    """Return the address of the message broker: Redis or Valkey, or files under STEPMARK_HOME. Raises BadEnvironment."""
    url = os.environ.get("CELERY_BROKER_URL", "").strip() or "filesystem://localhost"
    scheme = url.partition(":")[0]
    if scheme not in BROKERS or "://" not in url:
        shown = scheme if "://" in url else "an address without a scheme"  # the rest can hold a password
        raise BadEnvironment(
            f"CELERY_BROKER_URL begins with {shown}, which Stepmark does not know. "
            "Write redis://host:6379/0 for Redis or Valkey, or unset it: messages are then files under STEPMARK_HOME."
        )
    return url


class Mail(NamedTuple):
    """The mail server, and who its letters come from."""

    host: str  # empty: no e-mail is sent
    port: int
    user: str
    password: str
    is_tls: bool  # STARTTLS
    is_tls_at_once: bool
    sender: str


def mail() -> Mail:
    """Return the mail server of this site. Raises BadEnvironment."""
    host, sender = os.environ.get("EMAIL_HOST", "").strip(), os.environ.get("EMAIL_FROM", "").strip()
    is_tls_at_once = flag("EMAIL_USE_SSL")
    is_tls = flag("EMAIL_USE_TLS", default=not is_tls_at_once)
    if is_tls and is_tls_at_once:
        raise BadEnvironment("EMAIL_USE_TLS=1 and EMAIL_USE_SSL=1 exclude each other. Set the one that your mail server needs.")
    if host and not MAIL_SENDER.fullmatch(sender):
        given = f"EMAIL_FROM={sender} is not an e-mail address" if sender else "EMAIL_HOST needs EMAIL_FROM"
        raise BadEnvironment(f"{given}. Write the sender of this site's e-mail there, such as EMAIL_FROM=stepmark@example.org.")
    port = number("EMAIL_PORT", 465 if is_tls_at_once else 587 if is_tls else 25, lowest=1, highest=65535)
    user, password = os.environ.get("EMAIL_HOST_USER", ""), os.environ.get("EMAIL_HOST_PASSWORD", "")
    return Mail(host, port, user, password, is_tls, is_tls_at_once, sender)


class WebhookHost(NamedTuple):
    """A host to which projects can send webhooks. A name that begins with a dot stands for the hosts below it."""

    scheme: str
    name: str
    port: int
    is_private: bool  # it can lie in the network of this site, or be this machine

    def covers(self, scheme: str, name: str, port: int) -> bool:
        """Return whether an address is at this host."""
        is_here = name.endswith(self.name) if self.name.startswith(".") else name == self.name
        return is_here and (scheme, port) == (self.scheme, self.port)


def webhook_hosts() -> tuple[WebhookHost, ...]:
    """Return the hosts to which projects can send webhooks: none by default. Raises BadEnvironment."""
    return (*_webhook_hosts("WEBHOOK_HOSTS", is_private=False), *_webhook_hosts("WEBHOOK_PRIVATE_HOSTS", is_private=True))


def _webhook_hosts(variable: str, *, is_private: bool) -> list[WebhookHost]:
    hosts = []
    for entry in names(variable):
        match = WEBHOOK_HOST.fullmatch(entry)
        if not match or int(match[3] or 1) not in range(1, 65536):
            raise BadEnvironment(
                f"{variable}: {entry} is not a host. Write hooks.example.org, hooks.example.org:8443 or http://hooks.example.org."
            )
        if is_private and match[2].startswith("."):
            raise BadEnvironment(f"{variable}: {entry} stands for many hosts. Name each host of your network that may be reached.")
        scheme = (match[1] or "https").lower()
        hosts.append(WebhookHost(scheme, match[2].strip("[]").lower(), int(match[3] or (80 if scheme == "http" else 443)), is_private))
    return hosts
