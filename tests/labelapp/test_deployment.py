"""What deploy/ describes, without containers: the commands of compose.yaml with two web hosts, Redis, and nginx with TLS under a path.

One site serves all tests of this file. The browser comes from 127.0.0.2, so that it is not the trusted proxy, which is 127.0.0.1.
"""

import configparser
import contextlib
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from compose_spec import PyCompose
from django.urls import reverse
from django_otp.oath import totp

from benchmarks.temporary_site import free_port
from labelapp import embedded_postgres, part
from tests.clients import claim, rated, submission
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
PREFIX, BROWSER, PASSWORD, OTP_KEY = "/stepmark", "127.0.0.2", secrets.token_urlsafe(12), secrets.token_hex(20)
# ann labels; olga owns the project, so production asks her for a code.
FILL = """
import os, django
django.setup()
from django.contrib.auth.models import User
from django_otp.plugins.otp_totp.models import TOTPDevice
from active_learning.demonstration import make_demonstration
make_demonstration()
for person in User.objects.filter(username__in=["ann", "olga"]):
    person.set_password(os.environ["PASSWORD"])
    person.save(update_fields=["password"])
TOTPDevice.objects.create(user=User.objects.get(username="olga"), key=os.environ["OTP_KEY"], confirmed=True)
"""


def compose() -> dict[str, Any]:
    """Return compose.yaml as it is after its anchors are merged."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


SERVICES: dict[str, Any] = compose()["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("stepmark")]


class Deployment:
    """The processes of compose.yaml on this machine."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.processes = folder, dict[str, subprocess.Popen[bytes]]()
        self.started = dict[str, tuple[list[str], dict[str, str]]]()
        self.redis, self.plain, self.secure = free_port(), free_port(), free_port()
        self.web = {"web 1": free_port(), "web 2": free_port()}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "OMP_NUM_THREADS") if name in os.environ}
        self.secrets = {"SECRET_KEY": secrets.token_hex(32), "ALLOWED_HOSTS": "localhost", "PATH_PREFIX": f"{PREFIX}/"}
        here = {"DATABASE_URL": database_url, "CELERY_BROKER_URL": f"redis://127.0.0.1:{self.redis}/0", "TRUSTED_PROXIES": "127.0.0.1"}
        self.inherited, self.here = inherited, here

    def environment(self, service: str, *, home: str = "shared home", **more: str) -> dict[str, str]:
        """Return the environment of a service: what compose.yaml sets, with the addresses of this machine."""
        wanted = {**SERVICES[service]["environment"], **self.here, "HOST": "127.0.0.1", "STEPMARK_HOME": str(self.folder / home)}
        return {**self.inherited, **self.secrets, **wanted, **more}

    def command(self, service: str) -> list[str]:
        python, *arguments = SERVICES[service]["command"]
        assert python == "python"
        return [sys.executable, *arguments]

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.started[name] = command, environment
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)

    def start_again(self, name: str) -> None:
        """Start a killed process as it was started before. `worker 2` is another `worker`."""
        self.start(name, *self.started[name if name in self.started else name.removesuffix(" 2")])

    def run(self, command: list[str], environment: dict[str, str]) -> None:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def wait_until_ready(self) -> None:
        for name, port in self.web.items():
            until(lambda port=port: self.is_healthy(port), what=lambda name=name: f"{name} serves:\n{self.log(name)}")  # type: ignore[misc]

    def is_healthy(self, port: int) -> bool:
        """Make the health check of the web service."""
        assert all(process.poll() is None for process in self.processes.values()), "\n".join(map(self.log, self.processes))
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            kind, python, *check = SERVICES["web"]["healthcheck"]["test"]
            assert (kind, python) == ("CMD", "python")
            return (
                subprocess.run([sys.executable, *check], cwd=ROOT, env=self.environment("web", PORT=str(port)), check=False).returncode == 0
            )
        return False

    def log(self, name: str) -> str:
        return f"{name}: {(self.folder / f'{name}.log').read_text()}"

    def stop(self) -> dict[str, int]:
        """End every process with SIGTERM, as systemd and Docker do; return the exit codes."""
        for process in reversed(self.processes.values()):
            process.terminate()
        try:
            return {name: process.wait(PATIENCE) for name, process in self.processes.items()}
        finally:
            for process in self.processes.values():
                process.kill()
                process.wait()

    def new_browser(self) -> httpx.Client:
        """A browser on another machine, as far as the site can see."""
        trusted = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        transport = httpx.HTTPTransport(verify=trusted, local_address=BROWSER)
        origin = f"https://localhost:{self.secure}"
        return httpx.Client(base_url=origin + PREFIX, transport=transport, headers={"Origin": origin}, timeout=PATIENCE)

    @contextlib.contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        with self.new_browser() as client:
            yield client

    @contextlib.contextmanager
    def direct(self, web: str, *, address: str = "127.0.0.1", cookies: Any = None) -> Iterator[httpx.Client]:
        """A connection to one web host, without nginx."""
        transport, said = httpx.HTTPTransport(local_address=address), {"Host": "localhost", "X-Forwarded-Proto": "https"}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.web[web]}{PREFIX}", transport=transport, headers=said, timeout=PATIENCE
        ) as client:
            if cookies:
                client.headers["Cookie"] = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies.jar)
            yield client


def nginx_configuration(site: Deployment) -> str:
    """Return deploy/nginx.conf with the names and ports of this machine, in the frame of a whole configuration."""
    text = re.sub(r"    listen \[::\].*\n", "", (DEPLOY / "nginx.conf").read_text())
    for written, here in {
        "listen 80;": f"listen 127.0.0.1:{site.plain};",
        "listen 443 ssl": f"listen 127.0.0.1:{site.secure} ssl",
        "server 127.0.0.1:8000 ": " ".join(f"server 127.0.0.1:{port} fail_timeout=0;" for port in site.web.values()) + "# ",
        "server_name label.example.org;": "server_name localhost;",
        "/etc/letsencrypt/live/label.example.org/fullchain.pem": f"{site.folder}/cert.pem",
        "/etc/letsencrypt/live/label.example.org/privkey.pem": f"{site.folder}/key.pem",
        "location / {": f"location {PREFIX}/ {{",
        "location ~ ^/p/": f"location ~ ^{PREFIX}/p/",
    }.items():
        assert written in text, written
        text = text.replace(written, here)
    paths = "".join(f"{kind}_temp_path {site.folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root; " if os.geteuid() == 0 else ""
    log = f"error_log {site.folder}/nginx.log warn; pid {site.folder}/nginx.pid;"
    return f"daemon off; {user}worker_processes 1; {log}\nevents {{}}\nhttp {{ access_log off; {paths}\n{text}\n}}\n"


def program(name: str, *, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if not found:
        pytest.skip(f"{name} is not installed. Install the package {package}, for example with script/test as root on Debian.")
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


@contextlib.contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """Run a site in a folder, with a database of its own."""
    nginx, redis = program("nginx", package="nginx"), program("redis-server", package="redis-server")
    name = f"deployment_{secrets.token_hex(4)}"
    with psycopg.connect(embedded_postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        deployment = Deployment(folder, embedded_postgres.url().rpartition("/")[0] + f"/{name}")
        try:
            start(deployment, nginx, redis)
            yield deployment
        finally:
            deployment.stop()
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def start(site: Deployment, nginx: str, redis: str) -> None:
    """Start everything in the order of compose.yaml."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(site.folder / "key.pem")]
    site.run(["openssl", "req", "-x509", "-days", "2", *key, "-out", str(site.folder / "cert.pem"), *subject], site.inherited)
    _, *options = SERVICES["broker"]["command"]
    site.start("broker", [redis, "--bind", "127.0.0.1", "--port", str(site.redis), *options], site.inherited)
    site.run(site.command("migrate"), site.environment("migrate"))
    fill = site.environment("migrate", PASSWORD=PASSWORD, OTP_KEY=OTP_KEY, DJANGO_SETTINGS_MODULE="labelapp.settings")
    site.run([sys.executable, "-c", FILL], fill)
    for name, port in site.web.items():
        site.start(name, site.command("web"), site.environment("web", home=f"home of {name}", PORT=str(port), WEB_WORKERS="1"))
    for service in ("worker", "trainer", "beat"):
        site.start(service, site.command(service), site.environment(service))
    configuration = site.folder / "nginx.conf"
    configuration.write_text(nginx_configuration(site))
    site.start("nginx", [nginx, "-e", str(site.folder / "nginx.log"), "-c", str(configuration)], site.inherited)
    site.wait_until_ready()


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return client.post("/sign-in/", data={"csrfmiddlewaretoken": token(client), "username": name, "password": password}, headers=headers)


def token(client: httpx.Client, page: str = "/sign-in/") -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get(page).text)
    assert found
    return found[1]


def test_a_labeler_signs_in_over_https_and_labels(site: Deployment) -> None:
    with site.browser() as ann:
        answer = sign_in(ann, "ann")
        assert (answer.status_code, answer.headers["Location"]) == (302, f"{PREFIX}/")
        page = ann.get(reverse("label", args=["demonstration"])).text
        lease = claim(page)
        meta = re.search(r'name="csrf-token" content="([^"]+)"|csrfmiddlewaretoken" value="([^"]+)"', page)
        assert meta
        submit = reverse("submit", args=[lease["assignment"]])
        assert f"{PREFIX}{submit}" in page
        body, proof = submission(lease["token"], rated(-1)), {"X-CSRFToken": meta[1] or meta[2]}
        foreign = ann.post(submit, json=body, headers={**proof, "Origin": "https://evil.example.org"})
        assert foreign.status_code == 403
        answer = ann.post(submit, json=body, headers=proof)
        assert answer.status_code == 200, answer.text


def test_an_owner_signs_in_with_a_code_and_a_round_runs_through_redis(site: Deployment) -> None:
    with site.browser() as olga:
        assert sign_in(olga, "olga").headers["Location"] == f"{PREFIX}/sign-in/code/"
        code = {"csrfmiddlewaretoken": token(olga, "/sign-in/code/"), "code": f"{totp(bytes.fromhex(OTP_KEY)):06d}"}
        assert olga.post("/sign-in/code/", data=code).headers["Location"] == f"{PREFIX}/"
        wish = {"csrfmiddlewaretoken": token(olga, "/p/demonstration/"), "strategy": "uniform", "size": "5"}
        assert olga.post(reverse("start-round", args=["demonstration"]), data=wish).status_code == 302
        rounds = ""

        def is_published() -> bool:
            nonlocal rounds
            rounds = olga.get("/p/demonstration/rounds/").text
            return rounds.count(">Published<") == 2

        until(is_published, what=lambda: f"the round is published:\n{rounds}\n{site.log('trainer')}")


def test_both_web_hosts_have_the_same_secure_cookies_and_one_session(site: Deployment) -> None:
    with site.browser() as ann:
        fields = sign_in(ann, "ann").headers.get_list("Set-Cookie")
        assert len(fields) == 2 and all("Secure" in field and f"Path={PREFIX}/" in field for field in fields)
        assert [("HttpOnly" in field) for field in sorted(fields)] == [False, True]  # a script reads the token, and nothing else
        for web in site.web:
            with site.direct(web, cookies=ann.cookies) as client:
                answer = client.get("/")
            assert (answer.status_code, "Word problems" in answer.text) == (200, True), web


def test_styles_and_scripts_have_hashed_names_that_both_hosts_serve(site: Deployment) -> None:
    with site.browser() as ann:
        sign_in(ann, "ann")
        files = set(re.findall(rf'"({PREFIX}/static/[^"]+)"', ann.get(reverse("label", args=["demonstration"])).text))
        assert len(files) > 10 and all(re.search(r"\.[0-9a-f]{12}\.\w+$", file) for file in files), files
        for file in files:
            for _ in site.web:
                answer = ann.get(file.removeprefix(PREFIX))
                assert (answer.status_code, "immutable" in answer.headers["Cache-Control"]) == (200, True), file


def test_only_uploads_of_files_can_be_large(site: Deployment) -> None:
    with site.browser() as stranger:
        file = {"file": ("large.jsonl", b"x" * 7_000_000)}
        assert stranger.post("/sign-in/", files=file).status_code == 413
        assert stranger.post("/p/demonstration/data/upload/", files=file).status_code == 403  # it reached the site, and lacks the token


def test_an_address_that_a_browser_makes_up_does_not_escape_the_throttle(site: Deployment) -> None:
    with site.browser() as stranger:
        codes = [sign_in(stranger, "nobody", "wrong", **{"X-Forwarded-For": f"198.51.100.{attempt}"}).status_code for attempt in range(6)]
    assert codes[0] == 200 and codes[-1] == 429


def test_only_the_proxy_can_say_that_a_request_came_by_https(site: Deployment) -> None:
    with site.direct("web 1", address=BROWSER) as stranger, site.direct("web 1") as proxy:
        assert (stranger.get("/sign-in/").status_code, proxy.get("/sign-in/").status_code) == (301, 200)
        assert proxy.get("/sign-in/", headers={"X-Forwarded-Proto": "http"}).headers["Location"] == f"https://localhost{PREFIX}/sign-in/"
        assert proxy.get("/sign-in/", headers={"SCRIPT_NAME": "/x", "X-Forwarded-Ssl": "on"}).status_code == 200


def test_plain_http_leads_to_https(site: Deployment) -> None:
    answer = httpx.get(f"http://localhost:{site.plain}{PREFIX}/", timeout=PATIENCE)
    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://localhost{PREFIX}/")


def test_the_health_check_of_the_workers_hears_from_them(site: Deployment) -> None:
    kind, check = SERVICES["trainer"]["healthcheck"]["test"]
    command = check.replace("python ", f'"{sys.executable}" ', 1).replace("$$", "$")
    environment = {**site.environment("trainer"), "HOSTNAME": socket.gethostname()}
    assert kind == "CMD-SHELL" and "trainer@$HOSTNAME" in command
    site.run(["/bin/sh", "-c", command], environment)


def test_a_command_runs_in_the_environment_of_the_service(site: Deployment) -> None:
    file = site.folder / "env"
    values = {
        **site.secrets,
        "PRODUCTION": "1",
        "DATABASE_URL": site.here["DATABASE_URL"],
        "STEPMARK_HOME": f"{site.folder}/a home & $more",
    }
    file.write_text(
        "# secrets\n" + "".join(f'{name}="{value}"\n' if name == "SECRET_KEY" else f"{name}={value}\n" for name, value in values.items())
    )
    command = [str(DEPLOY / "manage"), "check", "--deploy", "--fail-level", "WARNING"]
    site.run(command, {**site.inherited, "STEPMARK_ENV": str(file)})
    show = "from django.conf import settings; print(settings.STEPMARK_HOME, settings.SECRET_KEY)"
    shell = [str(DEPLOY / "manage"), "shell", "--no-imports", "-c", show]
    done = subprocess.run(shell, env={**site.inherited, "STEPMARK_ENV": str(file)}, capture_output=True, text=True, check=False)
    assert done.stdout == f"{values['STEPMARK_HOME']} {values['SECRET_KEY']}\n", done.stderr
    refused = subprocess.run(command, env={**site.inherited, "STEPMARK_ENV": "/nowhere"}, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith("/nowhere cannot be read.")


# --- the files themselves ---------------------------------------------------------------------------------------------


def test_the_compose_file_keeps_to_the_specification() -> None:
    filled = re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda variable: variable[1] or "value", yaml.safe_dump(compose()))
    assert "${" not in filled
    described = PyCompose.from_yaml(filled)
    assert set(described.service_names()) == {"migrate", "web", "worker", "trainer", "beat", "database", "broker", "caddy"}
    with pytest.raises(ValueError, match="restart"):
        PyCompose.from_yaml(yaml.safe_dump({"services": {"web": {"image": "stepmark", "restart": "sometimes"}}}))


def test_every_service_comes_back_by_itself_and_waits_for_what_it_needs() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name
        assert set(service.get("depends_on", {})) <= set(SERVICES) and set(service["networks"]) <= set(compose()["networks"]), name
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {volume for volume in volumes if not volume.startswith(".")} <= set(compose()["volumes"]), name
    assert all({"migrate", "database", "broker"} <= set(SERVICES[name]["depends_on"]) for name in OURS if name != "migrate")
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["caddy"]


def test_our_containers_run_without_rights() -> None:
    last_user = re.findall(r"^USER (\w+)", (DEPLOY / "Dockerfile").read_text(), re.M)[-1]
    assert last_user == "stepmark"
    assert all(SERVICES[name]["cap_drop"] == ["ALL"] and "user" not in SERVICES[name] for name in OURS)


@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("*.service")), ids=lambda unit: unit.name)
def test_a_unit_runs_a_module_that_there_is_and_comes_back_by_itself(unit: Path) -> None:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(unit.read_text())
    service = read["Service"]
    module = re.search(r"/\.venv/bin/python -m ([\w.]+)", service["ExecStart"])
    assert module and (ROOT / f"{module[1].replace('.', '/')}.py").is_file()
    assert (service["Restart"], service["RestartPreventExitStatus"], service["KillMode"]) == ("always", "2", "mixed")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("*.service")), ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_a_unit(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name.replace("@", "@web" if "@" in unit.name else "")
    here.write_text(
        unit.read_text().replace("/opt/stepmark/.venv/bin/python", sys.executable).replace("User=stepmark\nGroup=stepmark\n", "")
    )
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(here)], capture_output=True, text=True, check=False)
    assert unit.stem.split("@")[0] not in done.stderr.replace(str(tmp_path), ""), done.stderr


@pytest.mark.skipif(not shutil.which("caddy"), reason="caddy is not installed")
def test_caddy_understands_its_file_with_and_without_a_prefix(tmp_path: Path) -> None:
    text = (DEPLOY / "Caddyfile").read_text()
    under_a_path = text.replace("# @stepmark path", "@stepmark path").replace("reverse_proxy {$", "reverse_proxy @stepmark {$")
    assert under_a_path.count("@stepmark") == 3
    for number, variant in enumerate((text, under_a_path)):
        file = tmp_path / f"Caddyfile{number}"
        file.write_text(variant)
        command = ["caddy", "adapt", "--adapter", "caddyfile", "--config", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(tmp_path)})
        assert done.returncode == 0 and '"warn"' not in done.stderr, done.stderr


def test_a_part_is_the_process_that_the_supervisor_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: became.append(command))
    monkeypatch.delenv("REMAP_SIGTERM", raising=False)
    for arguments in (["trainer"], ["web", "--host", "::1", "--port", "8001"]):
        monkeypatch.setattr("sys.argv", ["part", *arguments])
        part.main()
    assert became[0][-1] != "" and "gpu" in became[0] and "[::1]:8001" in became[1]
    assert os.environ.pop("REMAP_SIGTERM") == "SIGQUIT"


def test_every_file_that_the_documentation_names_is_there_and_every_file_is_named() -> None:
    text = "".join((ROOT / "docs" / name).read_text() for name in ("deploy.md", "operations.md"))
    named = set(re.findall(r"deploy/([\w@.-]*\w)", text))
    there = {path.name for path in DEPLOY.iterdir() if path.name != ".env"}
    assert named - {".env"} <= there
    assert there - named <= {"Dockerfile", "Dockerfile.dockerignore"}  # compose.yaml names them


def test_the_example_of_the_environment_has_only_variables_that_are_read() -> None:
    names = set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.M))
    documented = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "deploy.md").read_text()))
    assert {"PRODUCTION", "SECRET_KEY", "ALLOWED_HOSTS"} < names <= documented
