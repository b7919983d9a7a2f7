"""The broker that is files: one message a file under STEPMARK_HOME/broker/messages. A kombu transport.

kombu's own transport of files writes messages in place, so a full disk leaves an empty one, which ends every worker that reads it. It also
keeps its bindings in files that tear in the same way. Here a message is written next to its place and renamed, so it is whole or not there.
A worker locks a message, reads it and removes it, so a message is never taken twice, and one whose reader was killed in between stays.
What is no message is moved to the folder `aside` and named in the log. Bindings are kept in memory: every process declares its own.
There is no remote control (`celery inspect`) through files.
"""

import fcntl
import logging
import os
import re
import stat
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.utils.json import dumps, loads

from trainer.files import is_disk_full

log = logging.getLogger(__name__)

NAME = re.compile(r"\d+_[0-9a-f-]{36}\.(?P<queue>[^/]+)\.msg")
DRAFT_SECONDS = 3600  # a draft that is older was left by a killed process


class MessageNotSent(OperationalError):
    """A message that could not be written. The text says why."""


class FileChannel(virtual.Channel):
    """Sends and receives messages as files."""

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        folders = connection.client.transport_options
        self.folder, self.aside = Path(folders["folder"]), Path(folders["aside"])

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        """Write a message under a temporary name and rename it. Raises MessageNotSent."""
        # Names are in the order of the writing, also after the machine was started again.
        name = f"{time.time_ns()}_{uuid.uuid4()}.{queue}.msg"
        draft = self.folder / f".{name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                draft.write_text(dumps(message), encoding="utf-8")
                draft.rename(self.folder / name)
            except OSError:
                draft.unlink(missing_ok=True)
                raise
        except OSError as error:
            if is_disk_full(error):
                raise MessageNotSent(f"The disk is full: no message can be written to {self.folder}") from error
            raise MessageNotSent(f"{self.folder} cannot be written: {error.strerror}") from error

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """Take the oldest message of a queue. Raises Empty."""
        for name in sorted(self._names()):
            if name.startswith("."):
                self._remove_old_draft(name)
            elif not (match := NAME.fullmatch(name)):
                self._set_aside(name, "its name is not one of a message")
            elif match["queue"] == queue and (message := self._take(name)):
                return message
        raise Empty

    def _take(self, name: str) -> dict[str, Any] | None:
        """Read a message and remove it. None: another worker was faster, or it is no message and was set aside."""
        path = self.folder / name
        try:
            if not stat.S_ISREG(path.lstat().st_mode):  # opening a pipe would wait for ever
                self._set_aside(name, "it is not a plain file")
                return None
            file = path.open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._set_aside(name, error.strerror or "it cannot be opened")
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            if not os.fstat(file.fileno()).st_nlink:
                return None
            text = file.read()
            try:
                message = self._checked(loads(text.decode()))
            except Exception as error:  # whatever a decoder raises on a text that is none of ours
                self._set_aside(name, f"{type(error).__name__}: {error}" if text else "it is empty")
                return None
            path.unlink(missing_ok=True)
        return message

    def _checked(self, message: Any) -> dict[str, Any]:
        """Return the message, or raise any error: Celery would end on one that lacks these fields."""
        properties, headers = message["properties"], message["headers"]
        args, kwargs, embedded = loads(self.Message(message, channel=self).body or "")
        texts = (headers["task"], headers["id"], properties["delivery_tag"])
        mappings = (properties["delivery_info"], kwargs, embedded)
        if (
            not all(isinstance(text, str) for text in texts)
            or not all(isinstance(one, dict) for one in mappings)
            or not isinstance(args, list)
        ):
            raise TypeError("a field has the wrong type")
        return message

    def _names(self) -> list[str]:
        """Return the names of all files of the folder. None, if a person deleted it: the next message makes it anew."""
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []

    def _set_aside(self, name: str, reason: str) -> None:
        """Move a file out of the way; a full disk does not hinder that."""
        try:
            self.aside.mkdir(parents=True, exist_ok=True)
            target = self.aside / name
            (self.folder / name).rename(self.aside / f"{time.time_ns()}-{name}" if os.path.lexists(target) else target)
        except FileNotFoundError:
            return  # another worker was faster
        except OSError as error:
            log.error("%s is no message (%s), and cannot be moved to %s: %s", self.folder / name, reason, self.aside, error.strerror)
            return
        log.error("%s is no message: %s. It was moved to %s. Work that it asked for is asked for again.", name, reason, self.aside)

    def _remove_old_draft(self, name: str) -> None:
        path = self.folder / name
        try:
            if time.time() - path.lstat().st_mtime > DRAFT_SECONDS:
                path.unlink()
        except OSError:
            pass  # it is a message by now, or not ours to remove

    def _size(self, queue: str) -> int:
        return len(self._waiting(queue))

    def _purge(self, queue: str) -> int:
        waiting = self._waiting(queue)
        for name in waiting:
            (self.folder / name).unlink(missing_ok=True)
        return len(waiting)

    def _waiting(self, queue: str) -> list[str]:
        return [name for name in self._names() if (match := NAME.fullmatch(name)) and match["queue"] == queue]


class FileTransport(virtual.Transport):
    """kombu's transport for `filesystem://`."""

    Channel = FileChannel
    bindings = virtual.BrokerState()  # of this process
    driver_type = driver_name = "filesystem"
    default_port = 0

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.state = self.bindings

    def driver_version(self) -> str:
        return "N/A"


def use_file_transport() -> None:
    """Let kombu use this transport for addresses that begin with `filesystem:`."""
    TRANSPORT_ALIASES["filesystem"] = "labelapp.broker:FileTransport"
