"""The environment of a site for others: what is refused, with which words, and what the settings become."""

import re
import runpy
import secrets
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

from labelapp import environment, supervisor
from labelapp.environment import BadEnvironment

SETTINGS = Path(environment.__file__).with_name("settings.py")
VARIABLES = (
    "PRODUCTION", "DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "PATH_PREFIX", "TRUSTED_PROXIES", "CELERY_BROKER_URL",
    "WEB_WORKERS", "WEB_THREADS", "PORT", "SECURE_HSTS_SECONDS", "SECURE_HSTS_PRELOAD", "SECURE_HSTS_INCLUDE_SUBDOMAINS",
    "SECURE_SSL_REDIRECT", "DATABASE_URL", "EMAIL_HOST", "EMAIL_PORT", "EMAIL_FROM", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD",
    "EMAIL_USE_TLS", "EMAIL_USE_SSL", "WEBHOOK_HOSTS", "WEBHOOK_PRIVATE_HOSTS",
)  # fmt: skip
GOOD = {"PRODUCTION": "1", "SECRET_KEY": secrets.token_hex(32), "ALLOWED_HOSTS": "label.example.org"}


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return the settings in an environment, read as a new process would."""

    def read(home: str = "home", **values: str) -> dict[str, Any]:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("STEPMARK_HOME", str(tmp_path / home))
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(SETTINGS))

    return read


def refusal(settings_of: Any, **values: str) -> str:
    with pytest.raises(BadEnvironment) as refused:
        settings_of(**values)
    assert refused.value.code == 2
    return refused.value.sentence


@pytest.mark.parametrize(
    "key",
    ["", "   ", "x", "x" * 80, "changeme" * 9, "0123456789abcdef" * 4, "abcdefghij" * 6, "a" * 49 + "b",
     "1c648d4f1bcc1c04ea1010ed5a4c18c4f4cc6405b05b3167",
     "django-insecure-MugGA6DcZokG-L3UlGKRinj_lTnhCQpe2lNNQuWtPgwnkIMOYUTG01NAQyEBfYdj_Rg"],
)  # fmt: skip
def test_a_bad_secret_key_is_refused_in_production_with_the_remedy(key: str, settings_of: Any) -> None:
    sentence = refusal(settings_of, **{**GOOD, "SECRET_KEY": key})
    assert "SECRET_KEY" in sentence and "openssl rand -hex 32" in sentence
    assert not key.strip() or len(key) < 3 or key not in sentence


@pytest.mark.parametrize("make", [lambda: secrets.token_hex(32), lambda: secrets.token_hex(25), lambda: secrets.token_urlsafe(50)])
def test_a_random_secret_key_is_taken(make: Any, settings_of: Any) -> None:
    for key in (make() for _ in range(20)):
        assert settings_of(**{**GOOD, "SECRET_KEY": key})["SECRET_KEY"] == key


@pytest.mark.parametrize("hosts", [" label.example.org , ,", "label.example.org,,", "\tlabel.example.org\n"])
def test_blanks_in_allowed_hosts_are_harmless(hosts: str, settings_of: Any) -> None:
    assert settings_of(**{**GOOD, "ALLOWED_HOSTS": hosts})["ALLOWED_HOSTS"] == ["label.example.org"]


@pytest.mark.parametrize("hosts", ["", " ", ",", " , "])
def test_production_needs_a_host_name(hosts: str, settings_of: Any) -> None:
    assert "ALLOWED_HOSTS" in refusal(settings_of, **{**GOOD, "ALLOWED_HOSTS": hosts})


@pytest.mark.parametrize("host", ["https://label.example.org", "label.example.org:8443", "label.example.org/stepmark", "two;names"])
def test_what_is_not_a_host_name_is_refused_by_name(host: str, settings_of: Any) -> None:
    sentence = refusal(settings_of, **{**GOOD, "ALLOWED_HOSTS": f"label.example.org,{host}"})
    assert sentence.startswith(f"ALLOWED_HOSTS: {host} is not a host name.")


def test_the_origins_follow_from_the_hosts_and_blanks_are_harmless(settings_of: Any) -> None:
    hosts = "label.example.org,.example.com,*,[2001:db8::1]"
    site = settings_of(**{**GOOD, "ALLOWED_HOSTS": hosts, "CSRF_TRUSTED_ORIGINS": " https://other.example.net:8443, "})
    assert site["CSRF_TRUSTED_ORIGINS"] == [
        "https://other.example.net:8443",
        "https://label.example.org",
        "https://*.example.com",
        "https://[2001:db8::1]",
    ]
    assert "CSRF_TRUSTED_ORIGINS: other.example.net" in refusal(settings_of, **GOOD, CSRF_TRUSTED_ORIGINS="other.example.net")


def test_hsts_binds_other_sites_only_if_asked(settings_of: Any) -> None:
    site = settings_of(**GOOD)
    assert (site["SECURE_HSTS_SECONDS"], site["SECURE_HSTS_PRELOAD"], site["SECURE_HSTS_INCLUDE_SUBDOMAINS"]) == (31_536_000, False, False)
    asked = settings_of(**GOOD, SECURE_HSTS_SECONDS="60", SECURE_HSTS_PRELOAD="1", SECURE_HSTS_INCLUDE_SUBDOMAINS="true")
    assert (asked["SECURE_HSTS_SECONDS"], asked["SECURE_HSTS_PRELOAD"], asked["SECURE_HSTS_INCLUDE_SUBDOMAINS"]) == (60, True, True)


@pytest.mark.parametrize("prefix", ["/stepmark/", "stepmark", "/stepmark", "stepmark/"])
def test_a_prefix_is_in_addresses_cookies_and_static_files(prefix: str, settings_of: Any) -> None:
    site = settings_of(**GOOD, PATH_PREFIX=prefix)
    paths = [site[name] for name in ("FORCE_SCRIPT_NAME", "SESSION_COOKIE_PATH", "CSRF_COOKIE_PATH", "STATIC_URL")]
    assert paths == ["/stepmark", "/stepmark/", "/stepmark/", "/stepmark/static/"]


@pytest.mark.parametrize("prefix", ["", "/", " // "])
def test_without_a_prefix_the_site_lies_at_the_root(prefix: str, settings_of: Any) -> None:
    site = settings_of(**GOOD, PATH_PREFIX=prefix)
    assert (site["FORCE_SCRIPT_NAME"], site["SESSION_COOKIE_PATH"], site["STATIC_URL"]) == (None, "/", "/static/")


@pytest.mark.parametrize("prefix", ["/a b/", "/../x", "https://label.example.org/x", "/a//b", "/a?b", "/ä"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str, settings_of: Any) -> None:
    assert refusal(settings_of, **GOOD, PATH_PREFIX=prefix).startswith(f"PATH_PREFIX={prefix} is not a path.")


def test_all_hosts_of_a_site_have_one_cookie_name_and_two_sites_have_two(settings_of: Any) -> None:
    first, second = settings_of("one host", **GOOD), settings_of("another host", **GOOD)
    for name in ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME"):
        assert first[name] == second[name]
        assert first[name] != settings_of("one host", **{**GOOD, "SECRET_KEY": secrets.token_hex(32)})[name]
        assert settings_of("a home")[name] != settings_of("another home")[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [("PRODUCTION", "ture"), ("DEBUG", "2"), ("SECURE_SSL_REDIRECT", "maybe"), ("SECURE_HSTS_SECONDS", "-1"), ("SECURE_HSTS_PRELOAD", "x"),
     ("TRUSTED_PROXIES", "proxy.example.org"), ("TRUSTED_PROXIES", "10.0.0.1/8"), ("TRUSTED_PROXIES", "127.0.0.1,*"),
     ("DATABASE_URL", "sqlite:///db"), ("DATABASE_URL", "nonsense"), ("DATABASE_URL", "postgres//x"), ("DATABASE_URL", "postgresql://u:p@h:port/d")],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_named(name: str, value: str, settings_of: Any) -> None:
    assert name in refusal(settings_of, **{**GOOD, name: value})


@pytest.mark.parametrize(("name", "value"), [("WEB_WORKERS", "0"), ("WEB_WORKERS", "many"), ("WEB_THREADS", "-1"), ("WEB_THREADS", "1e3")])
def test_sizes_of_the_web_server_are_whole_numbers_above_0(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadEnvironment, match="^2$"):
        supervisor.commands(bind="127.0.0.1:8000")


@pytest.mark.parametrize("port", ["abc", "0", "65536", "80.5", "-1", "٣"])
def test_a_port_that_is_none_is_a_sentence(port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORT", port)
    monkeypatch.setattr("sys.argv", ["script/server"])
    with pytest.raises(BadEnvironment):
        supervisor.main()
    assert capsys.readouterr().err == f"PORT={port} is not a whole number from 1 to 65535. Correct it, or unset PORT for 8000.\n"


@pytest.mark.parametrize("url", ["kafka://host", "host:6379", "sqs://key:secret@", "redis", "http://host:6379"])
def test_a_broker_that_is_not_known_is_named_without_its_password(url: str, settings_of: Any) -> None:
    sentence = refusal(settings_of, CELERY_BROKER_URL=url)
    assert sentence.startswith("CELERY_BROKER_URL") and "redis://" in sentence and "secret" not in sentence


@pytest.mark.parametrize("url", ["redis://host:6379/0", "rediss://:pass@host", "redis+socket:///run/redis.sock", "filesystem://localhost"])
def test_a_known_broker_is_taken(url: str, settings_of: Any) -> None:
    assert settings_of(CELERY_BROKER_URL=url)["CELERY_BROKER_URL"] == url


def test_debug_and_production_exclude_each_other(settings_of: Any) -> None:
    assert "Unset DEBUG" in refusal(settings_of, **GOOD, DEBUG="1")


def test_only_this_machine_is_a_trusted_proxy_in_production_and_nobody_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUSTED_PROXIES", raising=False)
    monkeypatch.setenv("PRODUCTION", "1")
    assert [str(network) for network in environment.trusted_proxies()] == ["127.0.0.1/32", "::ffff:7f00:1/128", "::1/128"]
    monkeypatch.setenv("PRODUCTION", "0")
    assert environment.trusted_proxies() == []
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8")
    assert any(ip_address("::ffff:10.1.2.3") in network for network in environment.trusted_proxies())


def test_the_deployment_check_of_django_finds_nothing(settings_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)  # tests/conftest.py sets it
    left_out = {"DATABASES", "LOGGING", "INSTALLED_APPS", "STEPMARK_HOME"}
    site = {name: value for name, value in settings_of(**GOOD).items() if name.isupper() and name not in left_out}
    with override_settings(**site):
        found = [message for message in checks.run_checks(include_deployment_checks=True) if not message.is_silenced()]
    assert found == []
    with override_settings(**{**site, "CSRF_COOKIE_SECURE": False}):
        assert [message.id for message in checks.run_checks(include_deployment_checks=True) if not message.is_silenced()] == [
            "security.W016"
        ]


def test_the_table_of_variables_names_all_that_the_site_reads() -> None:
    root = SETTINGS.parent.parent
    sources = "".join(path.read_text() for path in SETTINGS.parent.rglob("*.py"))
    read = set(re.findall(r'(?:os\.environ\.get|flag|number|names|_webhook_hosts)\(\s*"([A-Z_]+)"', sources))
    table = (root / "docs" / "deploy.md").read_text().partition("## All variables")[2]
    named = {name for row in re.findall(r"^\| (`[A-Z].*?) \|", table, re.M) for name in re.findall(r"`([A-Z_]+)`", row)}
    assert len(read) > 15 and named == read


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"EMAIL_HOST": "mail.example.org"}, "EMAIL_HOST needs EMAIL_FROM"),
        ({"EMAIL_HOST": "mail.example.org", "EMAIL_FROM": "stepmark"}, "EMAIL_FROM=stepmark is not an e-mail address"),
        ({"EMAIL_HOST": "mail.example.org", "EMAIL_FROM": "a@b.org\nBcc: c@d.org"}, "is not an e-mail address"),
        ({"EMAIL_USE_TLS": "1", "EMAIL_USE_SSL": "1"}, "exclude each other"),
        ({"EMAIL_PORT": "0"}, "EMAIL_PORT=0 is not a whole number"),
        ({"EMAIL_USE_TLS": "maybe"}, "EMAIL_USE_TLS=maybe"),
    ],
)
def test_a_mail_server_without_a_sender_or_with_wrong_values_is_refused(values: dict[str, str], words: str, settings_of: Any) -> None:
    assert words in refusal(settings_of, **values)


@pytest.mark.parametrize(
    ("values", "port", "is_tls", "is_tls_at_once"),
    [({}, 587, True, False), ({"EMAIL_USE_SSL": "1"}, 465, False, True), ({"EMAIL_USE_TLS": "0"}, 25, False, False)],
)
def test_the_port_of_the_mail_server_follows_its_encryption(
    values: dict[str, str], port: int, is_tls: bool, is_tls_at_once: bool, settings_of: Any
) -> None:
    made = settings_of(EMAIL_HOST="mail.example.org", EMAIL_FROM="Stepmark <stepmark@example.org>", **values)
    assert (made["EMAIL_PORT"], made["EMAIL_USE_TLS"], made["EMAIL_USE_SSL"]) == (port, is_tls, is_tls_at_once)
    assert made["DEFAULT_FROM_EMAIL"] == "Stepmark <stepmark@example.org>"


def test_without_a_mail_server_no_e_mail_is_sent(settings_of: Any) -> None:
    assert settings_of()["EMAIL_HOST"] == ""


# --- webhooks ---------------------------------------------------------------------------------------------------------------------


def test_webhooks_go_to_no_host_unless_the_environment_names_it(settings_of: Any) -> None:
    assert settings_of()["WEBHOOK_HOSTS"] == ()
    named = {"WEBHOOK_HOSTS": "hooks.example.org, .example.net https://b.example.org:8443/", "WEBHOOK_PRIVATE_HOSTS": "http://[::1]:9000"}
    assert [tuple(host) for host in settings_of(**named)["WEBHOOK_HOSTS"]] == [
        ("https", "hooks.example.org", 443, False),
        ("https", ".example.net", 443, False),
        ("https", "b.example.org", 8443, False),
        ("http", "::1", 9000, True),
    ]


@pytest.mark.parametrize("entry", ["*", "ftp://hooks.example.org", "hooks.example.org/path", "hooks.example.org:70000", "a@b", "h\u00f6st"])
def test_a_host_of_webhooks_that_is_none_is_named_with_the_way_to_write_it(settings_of: Any, entry: str) -> None:
    sentence = refusal(settings_of, WEBHOOK_HOSTS=entry)
    assert sentence.startswith(f"WEBHOOK_HOSTS: {entry} is not a host. Write hooks.example.org")


def test_a_host_of_the_own_network_is_named_one_by_one(settings_of: Any) -> None:
    assert "stands for many hosts" in refusal(settings_of, WEBHOOK_PRIVATE_HOSTS=".internal")
