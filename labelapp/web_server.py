"""The configuration of gunicorn: which requests count as https. The sizes are in `commands` (supervisor.py)."""

from typing import Any

from labelapp import environment
from labelapp.monitoring import metrics_folder

# Only named proxies can say that a request came by https, and only by this header.
forwarded_allow_ips = ",".join(map(str, environment.trusted_proxies()))
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
# Otherwise a request with a header SCRIPT_NAME, passed on by the proxy, ends in a 500.
forwarder_headers = ""
# Lines with time, level and request id, and without queries: they hold the tokens of sign-in links.
logger_class = "labelapp.monitoring.gunicorn_logger.GunicornLogger"


def on_exit(server: Any) -> None:
    """Leave no counts behind in memory."""
    metrics_folder.leave()
