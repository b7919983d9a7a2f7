"""The broker that is files: whole messages, each taken once, and whatever else lies there is set aside by name."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from labelapp import broker
from trainer.files import is_disk_full


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "messages").mkdir()
    return tmp_path


@pytest.fixture
def app(home: Path) -> Iterator[Celery]:
    broker.use_file_transport()
    options = {"folder": str(home / "messages"), "aside": str(home / "aside")}
    with Celery("test", broker="filesystem://localhost", set_as_current=False) as made:
        made.conf.update(broker_transport_options=options, task_default_queue="default")
        yield made


@pytest.fixture
def channel(app: Celery) -> Iterator[broker.FileChannel]:
    with app.connection_for_read() as connection:
        assert isinstance(connection, Connection)
        yield connection.default_channel


def taken(channel: broker.FileChannel, queue: str = "gpu") -> list[Any]:
    """All messages of a queue: the arguments of their tasks."""
    arguments = []
    while True:
        try:
            message = channel._get(queue)
        except Empty:
            return arguments
        arguments.append(json.loads(channel.Message(message, channel=channel).body)[0])


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def test_messages_are_taken_once_in_their_order(app: Celery, channel: broker.FileChannel, home: Path) -> None:
    for number in range(3):
        app.send_task("run", [number], queue="gpu")
    app.send_task("run", [9], queue="default")
    assert taken(channel) == [[0], [1], [2]] and taken(channel) == []
    assert taken(channel, "default") == [[9]] and names(home / "messages") == []


WHOLE = {"body": "W1tdLCB7fSwge31d", "content-type": "application/json", "content-encoding": "utf-8", "headers": {"task": "run", "id": "1"},
         "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"}}  # fmt: skip
FOREIGN = {
    "empty": "",
    "torn": json.dumps(WHOLE)[:-20],
    "not UTF-8": b"\xff\xfe",
    "a list": "[]",
    "a number": "1",
    "another object": '{"name": "value"}',
    "without headers": json.dumps(WHOLE | {"headers": None}),
    "of a nameless task": json.dumps(WHOLE | {"headers": {"id": "1"}}),
    "without an id": json.dumps(WHOLE | {"headers": {"task": "run"}}),
    "without a place": json.dumps(WHOLE | {"properties": {"delivery_tag": "1", "body_encoding": "base64"}}),
    "of a bad body": json.dumps(WHOLE | {"body": "%%%"}),
    "of a body that is no call": json.dumps(WHOLE | {"body": "e30="}),
    "of nothing but nul": b"\0" * 400,
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_file_that_is_no_message_is_set_aside_and_named(
    app: Celery, channel: broker.FileChannel, home: Path, content: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    name = "1_00000000-0000-4000-8000-000000000000.gpu.msg"
    (home / "messages" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    app.send_task("run", [1], queue="gpu")
    with caplog.at_level(logging.ERROR):
        assert taken(channel) == [[1]]
    assert names(home / "aside") == [name] and names(home / "messages") == [] and name in caplog.text


def test_whatever_else_lies_there_is_set_aside_too(app: Celery, channel: broker.FileChannel, home: Path) -> None:
    messages = home / "messages"
    name = "1_00000000-0000-4000-8000-00000000000{}.gpu.msg"
    (messages / name.format(1)).mkdir()
    (messages / name.format(2)).symlink_to("/nowhere")
    os.mkfifo(messages / name.format(3))
    (messages / "thesis.txt").write_text("years of work")
    app.send_task("run", [1], queue="gpu")
    assert taken(channel) == [[1]]
    assert names(home / "aside") == [*(name.format(n) for n in (1, 2, 3)), "thesis.txt"] and names(messages) == []
    (messages / "thesis.txt").write_text("its second edition")
    assert taken(channel) == [] and len(names(home / "aside")) == 5
    assert (home / "aside" / "thesis.txt").read_text() == "years of work"


def test_a_whole_message_is_none_that_is_set_aside(channel: broker.FileChannel, home: Path) -> None:
    (home / "messages" / "1_00000000-0000-4000-8000-000000000000.gpu.msg").write_text(json.dumps(WHOLE))
    assert taken(channel) == [[]] and names(home / "aside") == []


def test_a_message_that_another_worker_reads_is_left_to_it(app: Celery, channel: broker.FileChannel, home: Path) -> None:
    app.send_task("run", [1], queue="gpu")
    [message] = (home / "messages").iterdir()
    with message.open("rb") as reading:
        broker.fcntl.flock(reading, broker.fcntl.LOCK_EX)
        assert taken(channel) == []
    assert taken(channel) == [[1]], "its reader was killed before it removed the message"


def test_a_full_disk_is_named_and_leaves_no_message(app: Celery, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> int:
        path.touch()  # a name is made, and then there is no room for the text
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(broker.MessageNotSent, match="The disk is full") as refused:
        app.send_task("run", [1], queue="gpu")
    assert is_disk_full(refused.value) and names(home / "messages") == []


def test_the_draft_of_a_killed_process_is_removed_after_an_hour(channel: broker.FileChannel, home: Path) -> None:
    for name, age in (("new", 10), ("old", 7200)):
        draft = home / "messages" / f".{name}"
        draft.touch()
        os.utime(draft, (draft.stat().st_mtime - age,) * 2)
    assert taken(channel) == [] and names(home / "messages") == [".new"]


def test_waiting_messages_are_counted_and_purged_by_queue(app: Celery, channel: broker.FileChannel) -> None:
    for queue in ("gpu", "gpu", "default"):
        app.send_task("run", queue=queue)
    assert (channel._size("gpu"), channel._purge("gpu"), channel._size("gpu"), channel._size("default")) == (2, 2, 0, 1)


def test_a_deleted_folder_is_an_empty_broker_and_the_next_message_makes_it_anew(
    app: Celery, channel: broker.FileChannel, home: Path
) -> None:
    app.send_task("run", [1], queue="gpu")
    shutil.rmtree(home)
    assert taken(channel) == [] and (channel._size("gpu"), channel._purge("gpu")) == (0, 0)
    app.send_task("run", [2], queue="gpu")
    assert taken(channel) == [[2]]
