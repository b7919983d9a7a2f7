"""Django's engine for PostgreSQL with two changes.

The health check of a kept connection costs no statement. A connection that is refused revives the private server, for the next attempt.
"""

import select
from typing import Any

from django.db.backends.postgresql import base

from labelapp import embedded_postgres


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection with another `is_usable`, and a private server that comes back."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect. If that fails, start the private server if it is gone; the error stays, because the server needs a moment."""
        try:
            return super().get_new_connection(conn_params)
        except self.Database.OperationalError:
            embedded_postgres.revive()
            raise

    def is_usable(self) -> bool:
        """Check the socket instead of asking the server. On an idle connection, only a server that closes it sends anything."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
