"""A database in the state after all migrations, which every process of the tests copies instead of migrating one of its own.

Migrating takes 8 s of a processor in each of the three processes, and a copy 0.3 s. It stays in the server of the tests, and is made anew
when a migration changes: its name has the checksum of what decides about it.
"""

import fcntl
import os
import subprocess
import sys
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from benchmarks.temporary_site import template
from labelapp import embedded_postgres

PREFIX = "stepmark_migrated_"


def migrated_database() -> str:
    """Return the name of a migrated database that nobody uses; make it if there is none. Exits with what `manage.py migrate` says."""
    name, unfinished = PREFIX + template.fingerprint(), PREFIX + "unfinished"
    home = embedded_postgres.home()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "migrated.lock").open("w") as lock, connection._nodb_cursor() as cursor:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several that start at once, one makes it and the others wait
        cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        there = {found for (found,) in cursor.fetchall()}
        if name not in there:
            for old in there:
                cursor.execute(f'DROP DATABASE "{old}"')
            cursor.execute(f'CREATE DATABASE "{unfinished}"')
            address = urlsplit(os.environ.get("DATABASE_URL") or embedded_postgres.url())._replace(path=f"/{unfinished}").geturl()
            command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
            made = subprocess.run(command, cwd=settings.BASE_DIR, env=os.environ | {"DATABASE_URL": address}, check=False)
            if made.returncode:
                sys.exit(made.returncode)
            cursor.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{name}"')
    return name
