"""Command: migrate, as Django's, but a migration waits for a lock for two seconds at most.

Everybody who asks for a table after a waiting migration waits, too. So a short wait that fails is better than a long one.
"""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from psycopg.errors import LockNotAvailable

LOCK_SECONDS = 2
# Transactions that are old enough to have held the lock all the time.
_HOLDERS = """
SELECT pid, coalesce(nullif(application_name, ''), 'no name'), extract(epoch FROM clock_timestamp() - xact_start)::bigint
  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND xact_start < clock_timestamp() - make_interval(secs => %s) ORDER BY xact_start LIMIT 1
"""


class Command(migrate.Command):
    running: Any = None  # the migration that runs; None: before the first, and after the last

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options.get("database") or DEFAULT_DB_ALIAS]
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])
        try:
            super().handle(*args, **options)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            with connection.cursor() as cursor:
                holder = cursor.execute(_HOLDERS, [LOCK_SECONDS]).fetchone()
            who = f" The oldest transaction is {holder[2]} s old: process {holder[0]} ({holder[1]})." if holder else ""
            raise CommandError(
                f"{self.task()} waited {LOCK_SECONDS} s for a lock and gave up, so that nobody has to wait behind it. {self.left()}{who} "
                "Run the command again when less is going on, or stop web and workers first."
            ) from None
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")  # to that of the connection

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:
        if action in ("apply_start", "unapply_start"):
            self.running = migration
        elif action in ("apply_success", "unapply_success"):
            self.running = None
        super().migration_progress_callback(action, migration, fake)

    def task(self) -> str:
        """Return what waited for the lock."""
        return f"Migration {self.running}" if self.running else "The work before and after all migrations (content types, permissions)"

    def left(self) -> str:
        """Return what a run that gave up has changed."""
        if self.running is None:
            return "All migrations that it began are done."
        own = "It changed nothing." if self.running.atomic else "What it has done so far stays, and the next run goes on where it stopped."
        return f"{own} The migrations before it are done."
