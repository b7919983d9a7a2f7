"""pg_dump and pg_restore: which of them fit the server, and how they are run without a password in the list of processes."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from django.db import connection
from psycopg.conninfo import make_conninfo

from labelapp import embedded_postgres
from labelapp.backups.archive import BackupRefused

_PASSED_ON = ("host", "hostaddr", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "service", "connect_timeout")


def command(name: str) -> list[str]:
    """Return the beginning of a command line: the program and the address of the database, without the password.

    A program of the server's version or a newer one: of PATH if the database is your own, else of the package that brings the private
    server. Raises BackupRefused if there is none.
    """
    connection.ensure_connection()
    server = connection.connection.info.server_version // 10000
    found = []
    own = shutil.which(name) if os.environ.get("DATABASE_URL") else None
    for program in filter(None, (own, str(embedded_postgres.programs() / name))):
        version = _version(Path(program))
        if version >= server:
            parameters = connection.get_connection_params()
            return [program, "--dbname", make_conninfo(**{key: parameters[key] for key in _PASSED_ON if parameters.get(key)})]
        found.append(f"{program} is version {version}")
    raise BackupRefused(
        f"The database runs PostgreSQL {server}, and no {name} of version {server} or newer was found ({'; '.join(found)}). "
        f"Install the client programs of PostgreSQL {server} (Debian: postgresql-client-{server}). Nothing was changed."
    )


def environment() -> dict[str, str]:
    """Return the environment of such a program: ours, with the password of the database."""
    password = connection.get_connection_params().get("password")
    return {**os.environ, "PGAPPNAME": "stepmark backup", **({"PGPASSWORD": str(password)} if password else {})}


def _version(program: Path) -> int:
    """Return the major version, or 0 for a program that does not run."""
    try:
        words = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    match = re.search(r"\) (\d+)", words)
    return int(match[1]) if match else 0
