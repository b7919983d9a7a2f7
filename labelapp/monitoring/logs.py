"""The log: each line with its time, level and request id, as text or as JSON, and without what people wrote.

Labeled texts and sign-in tokens reach a log through messages of errors ("invalid literal for int(): ...", "Failing row contains ..."),
through queries of addresses and through reprs of requests. So only known kinds of errors are quoted, queries are cut off, and nothing that
a library attaches to a record is written. LOG_ERROR_TEXTS=1 quotes all errors.
"""

import logging
import os
import re
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import orjson

request_id: ContextVar[str] = ContextVar("request_id", default="")

# Their messages name files, attributes and constraints, but not values. Matched by name, so that nothing is imported for it.
QUOTED = {
    "OSError", "ImportError", "NameError", "AttributeError", "MemoryError", "RecursionError", "OutOfMemoryError", "ImproperlyConfigured",
    "OperationalError", "InterfaceError", "InternalError", "IntegrityError", "ProgrammingError",
}  # fmt: skip
_QUERY = re.compile(r"(?<=[\w/])\?[^\s\"'<>]*=[^\s\"'<>]*")
_BEARER = re.compile(r"(?i)\b(bearer|token)\s+[\w.~+/=-]{8,}")
_PAIR = re.compile(r"(?i)\b(sesame|csrfmiddlewaretoken|password|secret|secret_key|access_token)=[^\s&\"'<>]+")
_LINK = re.compile(r"(/(?:invitations|set-up)/)[\w-]{8,}")  # whose last part lets somebody in
_LINE_BEGINS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def scrub(text: str) -> str:
    """Cut queries of addresses, passwords and tokens out of a text."""
    if "?" in text:
        text = _QUERY.sub("?…", text)
    return _LINK.sub(r"\1…", _PAIR.sub(r"\1=…", _BEARER.sub(r"\1 …", text)))


def brief(error: BaseException) -> str:
    """Return what the log says of an error: its kind, and its first line if that cannot hold a text."""
    name, words = type(error).__name__, str(error).strip()
    if not words:
        return name
    if os.environ.get("LOG_ERROR_TEXTS") == "1":
        return f"{name}: {words}"
    if QUOTED.isdisjoint(kind.__name__ for kind in type(error).__mro__):
        return f"{name} (its text is left out: {len(words):,} characters)"
    # The lines after the first one are PostgreSQL's details, which can quote a whole row.
    return f"{name}: {words.partition(chr(10))[0]}"


def trace(error: BaseException) -> str:
    """Return the traceback of an error and of its causes, the first cause first, as Python prints it but with `brief` messages."""
    return "\n".join(reversed(list(_traces(error))))


def _traces(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        frames = "".join(traceback.format_tb(error.__traceback__))
        within = "".join(f"\n  within: {brief(part)}" for part in getattr(error, "exceptions", ()))
        yield f"Traceback (most recent call last):\n{frames}{brief(error)}{within}"
        following = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if following is None:
            return
        error = following


class LineFormatter(logging.Formatter):
    """Writes `TIME LEVEL [ID] LOGGER: MESSAGE`. The ID is that of the request or of the worker's task."""

    def format(self, record: logging.LogRecord) -> str:
        parts = self.parts(record)
        line = f"{parts['time']} {parts['level']} [{parts['request_id'] or '-'}] {parts['logger']}: {parts['message']}"
        return f"{line}\n{parts['error']}" if parts.get("error") else line

    def parts(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what a line holds."""
        parts = {
            "time": moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "request_id": request_id.get(),
            "message": scrub(_message(record)),
        }
        if record.exc_info and record.exc_info[1] is not None:
            parts["error"] = scrub(trace(record.exc_info[1]))
        return parts


class JSONFormatter(LineFormatter):
    """Writes one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(self.parts(record), option=orjson.OPT_NON_STR_KEYS, default=str).decode()


def moment(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03}Z"


def _message(record: logging.LogRecord) -> str:
    arguments: Any = record.args
    if isinstance(arguments, dict):
        # Celery passes what its task raised as text under "exc".
        error = record.exc_info[1] if record.exc_info else None
        arguments = {name: (brief(error) if error else "…") if name == "exc" else _argument(value) for name, value in arguments.items()}
    elif arguments:
        arguments = tuple(_argument(value) for value in arguments)
    message = str(record.msg) if not isinstance(record.msg, BaseException) else brief(record.msg)
    return message % arguments if arguments else message


def _argument(value: Any) -> Any:
    return brief(value) if isinstance(value, BaseException) else value


def is_json() -> bool:
    """Tell whether LOG_FORMAT asks for JSON."""
    return os.environ.get("LOG_FORMAT", "text") == "json"


def formatter() -> logging.Formatter:
    """Return the formatter that LOG_FORMAT asks for."""
    return JSONFormatter() if is_json() else LineFormatter()


def merged(process: str, line: str, *, level: str = "INFO") -> str:
    """Return a line of a process as the supervisor prints it: with time and level where the process wrote none, as JSON when asked."""
    if not is_json():
        if _LINE_BEGINS.match(line) or line[:1].isspace() or not line:  # it has its time, or belongs to the line before it
            return line
        return f"{moment(time.time())} {level} [-] {line}"
    try:
        parts = orjson.loads(line)
    except orjson.JSONDecodeError:
        parts = None
    if not isinstance(parts, dict):
        parts = {"time": moment(time.time()), "level": level, "logger": process, "request_id": "", "message": scrub(line)}
    return orjson.dumps({**parts, "process": process}).decode()
