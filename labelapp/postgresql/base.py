"""Django's engine for PostgreSQL, except that the health check of a kept connection costs no statement."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection with another `is_usable`."""

    def is_usable(self) -> bool:
        """Check the socket instead of asking the server. On an idle connection, only a server that closes it sends anything."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
