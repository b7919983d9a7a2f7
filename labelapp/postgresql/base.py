"""Django's engine for PostgreSQL, but for the health check of a kept connection, which costs no statement here."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Ask the socket instead of the server, before every request: nobody speaks on an idle connection but a server that ends it."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
