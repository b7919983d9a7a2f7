"""Orders: a worker takes a snapshot or writes an export, whole or not at all, whatever is killed, stopped or cancelled meanwhile."""

import errno
import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.utils import timezone

from annotation import export, hearts, holders, tasks
from annotation.export import orders
from annotation.models import DataOrder, Event, Notification, OrderState, Project, Snapshot, SnapshotFile
from tests import make
from tests.children import ended, fork
from tests.exports import label
from trainer.files import OutputRefused
from trainer.progress import Stopped
from trainer.writers import BadOption

pytestmark = pytest.mark.django_db
racing = pytest.mark.django_db(transaction=True)
TRL = export.ExportChoice(format="trl", options={"neutral": "bad"}, compression="gzip")


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    settings.STEPMARK_HOME = tmp_path
    return tmp_path


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The orders of which a worker was told."""
    told: list[int] = []
    monkeypatch.setattr(orders, "notify_worker", told.append)
    return told


@pytest.fixture
def project() -> Project:
    project = make.project()
    make.batch(project, make.solutions(project, 2))
    for _ in range(2):
        label(project, 1, -1, finish_reason="found_error")
    return project


@pytest.fixture
def rita(project: Project) -> User:
    return make.rita(project)


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return export.take_dataset(project)


def done(order: DataOrder) -> DataOrder:
    run = export.run_order(order.pk)
    assert run is not None
    return export.find_order(run.project, run.pk)


def files(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home / "exports")) for path in (home / "exports").rglob("*") if path.is_file())


def at_report(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Do something at the first report of progress."""
    advance, left = hearts.Heart.advance, [True]

    def reported(heart: hearts.Heart, *arguments: Any) -> None:
        if left:
            left.clear()
            act(heart)
        advance(heart, *arguments)

    monkeypatch.setattr(hearts.Heart, "advance", reported)


def in_thread(act: Any) -> None:
    """Do something on another connection, as another process would."""

    def doing() -> None:
        act()
        connection.close()

    thread = threading.Thread(target=doing)
    thread.start()
    thread.join()


def test_an_export_is_written_as_it_was_asked_for_and_its_file_is_recorded(snapshot: Snapshot, rita: User, home: Path) -> None:
    order = export.order_export(snapshot, TRL, actor=rita)
    assert order.state == OrderState.WAITING
    order = done(order)
    [file] = order.files.all()
    found = export.find_file(order, "sums-snapshot-1-trl.jsonl.gz")
    content = found.path.read_bytes()
    assert (order.state, files(home)) == (OrderState.DONE, [f"{order.pk}-1/sums-snapshot-1-trl.jsonl.gz"])
    assert (file.n_records, file.n_bytes, file.sha256) == (2, len(content), hashlib.sha256(content).hexdigest())
    assert file.options == {"options": {"neutral": "bad", "written": "leave_out"}, "container": "jsonl", "compression": "gzip"}
    assert Event.objects.get(verb="export", actor=rita).details["sha256"] == [file.sha256]


def test_an_order_takes_a_snapshot_by_its_filter_and_writes_it(project: Project, rita: User, home: Path) -> None:
    chosen = export.SnapshotFilter(finish_reasons=("found_error",), min_labels=1)
    order = done(export.order_snapshot(project, chosen, export=export.ExportChoice(rule=export.SplitRule(seed=3)), actor=rita))
    assert order.snapshot and (order.snapshot.number, order.snapshot.count, order.snapshot.spec["min_labels"]) == (1, 2, 1)
    assert sorted(file.split for file in order.files.all()) == ["test", "train", "valid"] and len(files(home)) == 3
    assert list(Event.objects.order_by("pk").values_list("verb", flat=True)) == ["take snapshot", "export"]


def test_an_order_without_a_format_takes_a_snapshot_alone(project: Project, rita: User, home: Path) -> None:
    order = done(export.order_snapshot(project, export.SnapshotFilter(), actor=rita))
    assert (order.state, order.snapshot, files(home)) == (OrderState.DONE, Snapshot.objects.get(), [])


def test_a_filter_that_leaves_nothing_ends_the_order_with_the_sentence_of_the_command(project: Project, rita: User) -> None:
    order = done(export.order_snapshot(project, export.SnapshotFilter(min_labels=9), actor=rita))
    assert order.state == OrderState.FAILED and "fulfils the filter (problems of the training split; at least 9 people" in order.failure
    assert not Snapshot.objects.exists()


def test_a_project_without_labels_gives_no_snapshot(rita: User) -> None:
    order = done(export.order_snapshot(make.project("empty"), export.SnapshotFilter(), actor=rita))
    assert order.state == OrderState.FAILED and order.failure.startswith("empty has no label yet")


def test_a_large_export_is_several_files_each_with_its_sha256(snapshot: Snapshot, rita: User) -> None:
    rule = export.SplitRule(train=1, valid=0, test=0)
    whole, several, small = (
        done(export.order_export(snapshot, export.ExportChoice(rule=rule, **limits), actor=rita))
        for limits in ({}, {"max_records": 1}, {"max_records": 9, "max_bytes": 1_000_000})
    )
    contents = []
    for place in range(2):
        found = export.find_file(several, f"sums-snapshot-1-prm800k-train-0000{place}-of-00002.jsonl")
        contents.append(found.path.read_bytes())
        assert (found.file.n_records, found.file.sha256) == (1, hashlib.sha256(contents[-1]).hexdigest())
    assert b"".join(contents) == export.find_file(whole, "sums-snapshot-1-prm800k-train.jsonl").path.read_bytes()
    assert {file.options["max_bytes"] for file in small.files.all()} == {1_000_000} and len({whole.pk, several.pk, small.pk}) == 3


def test_an_export_of_too_many_files_is_refused_and_leaves_nothing(
    snapshot: Snapshot, rita: User, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MAX_FILES", 1)
    order = done(export.order_export(snapshot, export.ExportChoice(max_bytes=1), actor=rita))
    assert (order.failure, files(home)) == ("It would be more than 1 file. Let each hold more records or bytes.", [])
    assert order.state == OrderState.FAILED and not SnapshotFile.objects.exists()


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"format": "word"}, BadOption),
        ({"format": "trl", "options": {"neutral": "maybe"}}, BadOption),
        ({"container": "csv"}, OutputRefused),
        ({"compression": "rar"}, OutputRefused),
        ({"max_records": 0}, OutputRefused),
    ],
)
def test_what_no_writer_can_do_is_refused_before_a_worker_is_told(
    snapshot: Snapshot, rita: User, choice: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        export.order_export(snapshot, export.ExportChoice(**choice), actor=rita)
    assert not DataOrder.objects.exists()


def test_a_snapshot_without_content_cannot_be_exported(project: Project, rita: User) -> None:
    training = export.take_snapshot(project, use=export.datasets.Use.TRAINING)
    with pytest.raises(export.ContentMissing, match="Take a new snapshot to export"):
        export.order_export(training, TRL, actor=rita)


def test_the_same_export_is_not_written_twice_while_its_file_is_there(snapshot: Snapshot, rita: User) -> None:
    first = export.order_export(snapshot, TRL, actor=rita)
    assert export.order_export(snapshot, TRL, actor=rita).pk == first.pk
    assert export.order_export(snapshot, TRL, actor=None).pk == done(first).pk
    assert export.order_export(snapshot, export.ExportChoice(format="trl"), actor=rita).pk != first.pk


@racing
def test_of_two_clicks_at_once_one_makes_an_order(project: Project, rita: User) -> None:
    made = make.at_once([lambda: export.order_snapshot(project, export.SnapshotFilter(), actor=rita).pk] * 2)
    assert made[0] == made[1] == DataOrder.objects.get().pk


@racing
def test_deleted_files_keep_their_record_and_a_second_export_has_the_same_bytes(snapshot: Snapshot, rita: User, home: Path) -> None:
    first = done(export.order_export(snapshot, TRL, actor=rita))
    export.delete_files(first, actor=rita)
    first = export.find_order(first.project, first.pk)
    assert files(home) == [] and first.files_deleted_by == rita and first.files.get().n_records == 2
    with pytest.raises(export.OrderRefused, match="Export snapshot 1 again"):
        export.find_file(first, "sums-snapshot-1-trl.jsonl.gz")
    with pytest.raises(export.OrderRefused, match="no files"):
        export.delete_files(first, actor=rita)
    second = done(export.order_export(snapshot, TRL, actor=rita))
    assert second.pk != first.pk and second.files.get().sha256 == first.files.get().sha256
    assert Event.objects.get(verb="delete exported files").details["files"] == ["sums-snapshot-1-trl.jsonl.gz"]


@racing
def test_the_oldest_files_of_a_project_go_and_the_newest_stay_whatever_their_size(
    snapshot: Snapshot, rita: User, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "exports").mkdir()
    (home / "exports" / "mine.jsonl").write_text("a person put this here")
    monkeypatch.setattr(orders, "KEPT_ORDERS", 2)
    made = [done(export.order_export(snapshot, export.ExportChoice(format=name), actor=rita)) for name in ("trl", "chat", "labels")]
    gone, *kept = DataOrder.objects.order_by("pk")
    assert gone.files_deleted_at and gone.files_deleted_by is None and [order.files_deleted_at for order in kept] == [None, None]
    monkeypatch.setattr(orders, "KEPT_BYTES", 1)
    newest = done(export.order_export(snapshot, TRL, actor=rita))
    assert files(home) == sorted([f"{newest.pk}-1/sums-snapshot-1-trl.jsonl.gz", "mine.jsonl"]) and len(made) == 3


def test_who_waited_long_is_notified_and_who_looks_on_is_not(snapshot: Snapshot, rita: User) -> None:
    done(export.order_export(snapshot, TRL, actor=rita))
    assert not Notification.objects.exists()
    slow = export.order_export(snapshot, export.ExportChoice(), actor=rita)
    DataOrder.objects.filter(pk=slow.pk).update(created_at=timezone.now() - timedelta(minutes=2))
    done(slow)
    assert Notification.objects.get(person=rita).sentence == "The export of snapshot 1 of Sums is ready: 2 annotations."


def test_all_parts_of_an_export_and_all_files_of_a_folder_count_towards_one_end(
    snapshot: Snapshot, rita: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a page could not say how much time is left."""
    rule = export.SplitRule(train=0.5, valid=0, test=0.5)
    folder = export.FolderChoice(licence="mit", title="Sums", formats=("labels", "trl"), rule=rule)
    told: list[tuple[int, int | None]] = []
    monkeypatch.setattr(hearts.Heart, "advance", lambda _, stage, done, total: told.append((done, total)) if stage == "writing" else None)
    for choice in (export.ExportChoice(format="labels", rule=rule), export.ExportChoice(rule=rule, compression="gzip"), folder):
        told.clear()
        assert done(export.order_export(snapshot, choice, actor=rita)).state == OrderState.DONE
        assert told[0][0] < 2 and told == sorted(told) and {total for _, total in told} == {2} and told[-1] == (2, 2)


# --- stops, kills and two at once -----------------------------------------------------------------------------------------------


def whole_orders(snapshot: Snapshot, rita: User) -> Iterator[DataOrder]:
    """One order that takes a snapshot, and two that write an export: one file, and several."""
    yield export.order_snapshot(snapshot.project, export.SnapshotFilter(), actor=rita)
    yield export.order_export(snapshot, export.ExportChoice(), actor=rita)
    yield export.order_export(snapshot, export.ExportChoice(max_records=1), actor=rita)


@racing
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_order_whose_worker_is_killed_leaves_nothing_and_is_taken_up_at_once(
    snapshot: Snapshot, rita: User, home: Path, monkeypatch: pytest.MonkeyPatch, offered: list[int], place: int
) -> None:
    order = list(whole_orders(snapshot, rita))[place]
    DataOrder.objects.exclude(pk=order.pk).delete()
    with monkeypatch.context() as patch:
        at_report(patch, lambda heart: os.kill(os.getpid(), signal.SIGKILL))
        assert ended(fork(lambda: export.run_order(order.pk))) == -signal.SIGKILL
    assert Snapshot.objects.count() == 1 and not SnapshotFile.objects.exists()
    offered.clear()
    assert export.offer_abandoned_orders() == [order.pk] == offered
    order = done(order)
    assert (order.state, order.attempt, order.token) == (OrderState.DONE, 2, 2)
    endings: list[list[str]] = [[], [""], ["-00000-of-00002", "-00001-of-00002"]]
    assert files(home) == [f"{order.pk}-2/sums-snapshot-1-prm800k{ending}.jsonl" for ending in endings[place]]
    assert Snapshot.objects.count() == (1 if order.format else 2)


@racing
@pytest.mark.parametrize("place", [0, 1])
def test_a_cancelled_order_leaves_nothing(snapshot: Snapshot, rita: User, home: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    order = list(whole_orders(snapshot, rita))[place]
    at_report(monkeypatch, lambda heart: in_thread(lambda: export.cancel_order(DataOrder.objects.get(pk=order.pk), actor=rita)))
    order = done(order)
    assert (order.state, files(home) if order.format else [], Snapshot.objects.count()) == (OrderState.CANCELLED, [], 1)
    assert not SnapshotFile.objects.exists()
    with pytest.raises(export.OrderRefused, match="has ended already"):
        export.cancel_order(order, actor=rita)


@racing
def test_a_stopped_worker_gives_its_order_back_and_no_attempt_is_counted(
    snapshot: Snapshot, rita: User, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = export.order_export(snapshot, TRL, actor=rita)
    with monkeypatch.context() as patch:
        at_report(patch, lambda heart: setattr(heart.stop, "number", signal.SIGTERM))
        with pytest.raises(Stopped):
            export.run_order(order.pk)
    order.refresh_from_db()
    assert (order.state, order.heartbeat_at, order.attempt, files(home)) == (OrderState.WAITING, None, 0, [])
    assert done(order).state == OrderState.DONE


@racing
def test_an_order_whose_worker_was_lost_three_times_fails_and_its_person_is_notified(snapshot: Snapshot, rita: User, home: Path) -> None:
    order = export.order_export(snapshot, TRL, actor=rita)
    (home / "exports" / f"{order.pk}-3").mkdir(parents=True)
    DataOrder.objects.filter(pk=order.pk).update(attempt=holders.ATTEMPTS, state=OrderState.RUNNING)
    assert export.sweep_orders() == []
    order.refresh_from_db()
    assert order.state == OrderState.FAILED and "lost 3 times" in order.failure and not list((home / "exports").iterdir())
    assert Notification.objects.get(person=rita).sentence.startswith("An export of Sums failed: Its worker was lost")


@racing
def test_of_two_workers_at_the_same_moment_one_writes_and_a_message_that_comes_twice_changes_nothing(
    snapshot: Snapshot, rita: User
) -> None:
    order = export.order_export(snapshot, TRL, actor=rita)
    results = make.at_once([lambda: export.run_order(order.pk)] * 2)
    assert not [result for result in results if isinstance(result, BaseException)]
    tasks.run_order(order.pk)
    assert (SnapshotFile.objects.count(), DataOrder.objects.get().attempt) == (1, 1)


@racing
@pytest.mark.parametrize("place", ["of the database", "of the file"])
def test_an_export_on_a_full_disk_says_so_and_leaves_nothing(
    snapshot: Snapshot, rita: User, home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def full(heart: hearts.Heart) -> None:
        if place == "of the database":
            raise OperationalError("could not extend file") from psycopg.errors.DiskFull("could not extend file")
        raise OSError(errno.ENOSPC, "No space left on device")

    at_report(monkeypatch, full)
    order = done(export.order_export(snapshot, TRL, actor=rita))
    assert order.state == OrderState.FAILED and order.failure.startswith("The disk is full") and files(home) == []
