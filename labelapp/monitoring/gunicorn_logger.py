"""gunicorn's own log in the form of all others (logs.py)."""

from typing import Any

from gunicorn.glogging import Logger

from labelapp.monitoring.logs import formatter, scrub


class GunicornLogger(Logger):
    """Writes errors as the rest of the site does. An access log, which is off unless asked for, is written without queries."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter())

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        """Return the parts of an access line."""
        parts = super().atoms(resp, req, environ, request_time)
        return parts | {"r": scrub(str(parts.get("r", ""))), "q": "", "f": scrub(str(parts.get("f", "")))}
