"""A backup that is made while people label, and what comes back from it (A13)."""

import errno
import io
import json
import os
import re
import shutil
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from active_learning.models import ModelVersion
from annotation import audit, export, labels, queue
from annotation.models import Annotation, BrowserSession, Event, Project, Snapshot
from labelapp import backups
from labelapp.backups import BackupRefused, archive, programs
from tests import make
from tests.assignments import submit
from tests.trainer.sums import small, sums
from tests.waiting import PATIENCE
from trainer.config import TinyShape
from trainer.files import OutputRefused
from trainer.folders import model_sha256
from trainer.model import load_prm
from trainer.train import train

pytestmark = pytest.mark.django_db(transaction=True)
N_PEOPLE, N_SOLUTIONS = 3, 150
SHAPE = TinyShape(layers=1, width=16, heads=2, feed_forward=32, merges=20)


def quietly(*_: Any, **__: Any) -> None: ...


@pytest.fixture
def home(settings: Any, tmp_path: Path) -> Path:
    settings.STEPMARK_HOME = tmp_path / "home"
    settings.STEPMARK_HOME.mkdir()
    return settings.STEPMARK_HOME


@pytest.fixture
def elsewhere(settings: Any, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Give a function that goes to an empty database and home, and returns the home. Afterwards the first database is back."""
    first = connection.settings_dict["NAME"]
    made: list[str] = []

    def move() -> Path:
        made.append(f"{first}_restored_{len(made)}")
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {made[-1]}")
            cursor.execute(f"CREATE DATABASE {made[-1]} TEMPLATE template0")
        connection.close()
        connection.settings_dict["NAME"] = made[-1]
        settings.STEPMARK_HOME = tmp_path / f"home-{len(made)}"
        return settings.STEPMARK_HOME

    yield move
    connection.close()
    connection.settings_dict["NAME"] = first
    with connection.cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = small(shape=SHAPE, epochs=1, language_model_epochs=0)
    return train(sums(12), config=recipe, folder=tmp_path_factory.mktemp("backed-up") / "model", provenance={}).folder


def labeled_project() -> Project:
    project = make.project(overlap=1)
    make.batch(project, make.solutions(project, 2))
    ann = make.ann(project)
    for _ in range(2):
        submit(queue.lease_next(ann, project=project), ann)
    return project


def label_until(project: Project, name: str, barrier: threading.Barrier, stop: threading.Event, acknowledged: list[uuid.UUID]) -> None:
    person = make.person(name)
    barrier.wait(PATIENCE)
    try:
        while not stop.is_set():
            lease = queue.lease_next(person, project=project)
            submission_id = uuid.uuid4()
            labels.submit(
                lease.assignment_id,
                labeler=person,
                token=lease.token,
                submission_id=submission_id,
                active_ms=1,
                total_ms=1,
                ratings=[{"step": 0, "rating": -1}],
                finish_reason="found_error",
            )
            acknowledged.append(submission_id)
    except queue.NothingToLabel:  # a slow backup: all is labeled
        pass
    finally:
        connection.close()


def test_what_was_acknowledged_before_a_backup_under_load_is_restored(
    home: Path, elsewhere: Callable[[], Path], trained: Path, tmp_path: Path
) -> None:
    project = make.project(overlap=1)
    make.batch(project, make.solutions(project, N_SOLUTIONS))
    names = [f"labeler{n}" for n in range(N_PEOPLE)]
    for name in names:
        make.person(name, project)
    ann = make.ann(project)
    for _ in range(5):
        submit(queue.lease_next(ann, project=project), ann)
    shutil.copytree(trained, home / "models" / "sums" / "1")
    identity = model_sha256(trained)
    ModelVersion.objects.create(project=project, number=1, base="tiny", artifact="models/sums/1", sha256=identity, state="ready")
    acknowledged: list[uuid.UUID] = []
    barrier, stop = threading.Barrier(N_PEOPLE + 1), threading.Event()
    people = [threading.Thread(target=label_until, args=(project, name, barrier, stop, acknowledged)) for name in names]
    for person in people:
        person.start()
    barrier.wait(PATIENCE)
    try:
        file = home / "exports" / "labels.jsonl"
        file.parent.mkdir()
        snapshot = export.export_prm800k(project, file)  # the last snapshot before the backup, of a moment under load
        before = list(acknowledged)
        backups.back_up(tmp_path / "site.tar", progress=quietly)
    finally:
        stop.set()
        for person in people:
            person.join(PATIENCE)
    assert snapshot.count >= 5

    second = elsewhere()
    restored = backups.restore(tmp_path / "site.tar", progress=quietly)
    stored = set(Annotation.objects.values_list("submission_id", flat=True))
    stored_keys = set(Annotation.objects.values_list("pk", flat=True))
    assert set(before) <= stored
    assert len(stored) == Annotation.objects.count() == restored.counts["annotation"]
    assert stored <= {*acknowledged} | set(Annotation.objects.filter(labeler__username="ann").values_list("submission_id", flat=True))
    again = io.BytesIO()
    export.write_prm800k(Snapshot.objects.get(number=snapshot.number), again)
    assert again.getvalue() == file.read_bytes() == (second / "exports" / file.name).read_bytes()
    version = ModelVersion.objects.get()
    assert model_sha256(second / version.artifact) == version.sha256
    load_prm(second / version.artifact)
    again_open = Project.objects.get()
    make.batch(again_open, make.solutions(again_open, 1))
    lease = queue.lease_next(make.person("labeler0"), project=again_open)  # work goes on, with all rules
    assert submit(lease, make.person("labeler0")).pk > max(stored_keys)


def test_a_backup_holds_one_moment_of_the_database_and_of_the_files(
    home: Path, elsewhere: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody labels after the snapshot was taken, and before anything is dumped."""
    project = labeled_project()
    make.batch(project, make.solutions(project, 1))
    begin = programs.command

    def label_first(name: str) -> list[str]:
        submit(queue.lease_next(make.ann(), project=project), make.ann())
        (home / "exports").mkdir()
        export.export_prm800k(project, home / "exports" / "labels.jsonl")
        return begin(name)

    monkeypatch.setattr(programs, "command", label_first)
    written = backups.back_up(tmp_path / "site.tar", progress=quietly)
    monkeypatch.undo()
    assert (written.n_annotations, written.n_files, Annotation.objects.count()) == (2, 0, 3)
    elsewhere()
    backups.restore(tmp_path / "site.tar", progress=quietly)
    assert (Annotation.objects.count(), Snapshot.objects.count()) == (2, 0)


def test_every_kind_of_file_that_a_row_names_comes_back_and_nothing_else(home: Path, elsewhere: Callable[[], Path], tmp_path: Path) -> None:
    project = labeled_project()
    version = make.version(project, 1, artifact="models/sums/1", scores_file="scores/sums/1.csv.gz", scores_sha256="0" * 64)
    make.version(project, 2, artifact="models/sums/2")
    chosen = {"convincing": make.solutions(project, 1)}
    make.round_of(project, chosen, generation=1, candidates_file="rounds/sums/1.candidates.npz", model_version=version)
    kept = ["models/sums/1/weights", "models/sums/1/deep/er", "scores/sums/1.csv.gz", "rounds/sums/1.candidates.npz"]
    kept += [f"samples/sums/{'a' * 120}.jsonl", "experiments/first/plan.json"]
    left_out = [
        "models/sums/3/weights",
        "scores/sums/.draft.csv.gz",
        "samples/sums/.x.part",
        "secret_key",
        "broker/messages/1",
        "static/a.css",
    ]
    for name in [*kept, *left_out]:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    BrowserSession.objects.create(session_key="k", session_data="d", expire_date="2100-01-01T00:00Z", person=make.ann())
    written = backups.back_up(tmp_path / "site.tar", progress=quietly)
    assert written.missing == ["models/sums/2"]
    second = elsewhere()
    restored = backups.restore(tmp_path / "site.tar", progress=quietly)
    assert restored.missing == ["models/sums/2"]
    there = {path.relative_to(second).as_posix(): path.read_text() for path in second.rglob("*") if path.is_file()}
    assert there == {name: name for name in kept}
    assert not BrowserSession.objects.exists()
    assert restored.counts == {"project": 1, "account": 1, "annotation": 2, "model": 2}


def test_rules_and_triggers_come_back(home: Path, elsewhere: Callable[[], Path], tmp_path: Path) -> None:
    labeled_project()
    rules = """
        SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1
    """

    def written() -> set[str]:
        with connection.cursor() as cursor:
            texts = [text for (text,) in cursor.execute(rules).fetchall()]
        # A cast of a list, read again, is written as a cast of each value.
        return {re.sub(r"::(character varying|text)(\[\])?|[()]", "", text) for text in texts}

    first = written()
    backups.back_up(tmp_path / "site.tar", progress=quietly)
    elsewhere()
    backups.restore(tmp_path / "site.tar", progress=quietly)
    assert len(first) > 100 and written() == first


def test_a_backup_replaces_nothing_unasked(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "site.tar"
    file.write_text("mine")
    with pytest.raises(CommandError, match=r"site\.tar already exists\. Name another file, or use --overwrite") as refused:
        call_command("backup", str(file))
    assert refused.value.returncode == 2 and file.read_text() == "mine"
    call_command("backup", str(file), "--overwrite", stdout=io.StringIO())
    archive.check(file, progress=quietly)


@pytest.mark.parametrize("moment", ["the dump", "a file"])
def test_a_full_disk_is_named_and_leaves_nothing(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    labeled_project()
    (home / "samples").mkdir()
    (home / "samples" / "a").write_text("a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archive.Archive, *{"the dump": ("_header", full), "a file": ("copy", full)}[moment])
    with pytest.raises(CommandError, match=r"The disk of .*site\.tar is full\. No backup was written\. Free some space") as refused:
        call_command("backup", str(tmp_path / "site.tar"))
    assert refused.value.returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_a_failing_pg_dump_is_named_and_leaves_nothing(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = programs.command
    monkeypatch.setattr(programs, "command", lambda name: [*begin(name), "--no-such-option"])
    with pytest.raises(BackupRefused, match=r"pg_dump failed: .*no-such-option[\s\S]*No backup was written"):
        backups.back_up(tmp_path / "site.tar", progress=quietly)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_a_database_that_is_not_empty_is_left_as_it_is(home: Path, tmp_path: Path) -> None:
    labeled_project()
    backups.back_up(tmp_path / "site.tar", progress=quietly)
    with pytest.raises(CommandError, match=r"is not empty: it has tables\. Nothing was changed\. Restore into a new one") as refused:
        call_command("restore", str(tmp_path / "site.tar"))
    assert refused.value.returncode == 2 and Annotation.objects.count() == 2


def tables() -> int:
    with connection.cursor() as cursor:
        return int(cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()[0])


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_home_that_is_not_empty_is_left_as_it_is(home: Path, elsewhere: Callable[[], Path], tmp_path: Path) -> None:
    backups.back_up(tmp_path / "site.tar", progress=quietly)
    second = elsewhere()
    (second / "models").mkdir(parents=True)
    (second / "models" / "mine").write_text("mine")
    with pytest.raises(BackupRefused, match=r"models holds files\. Nothing was changed"):
        backups.restore(tmp_path / "site.tar", progress=quietly)
    assert (files(second), tables()) == (["models", "models/mine"], 0)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def without_its_end(file: Path) -> None:
    with tarfile.open(file) as tar:
        os.truncate(file, tar.getmember("manifest.json").offset)


def flip(name: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with tarfile.open(file) as tar:
            place = tar.getmember(name).offset_data
        with file.open("r+b") as opened:
            opened.seek(place)
            byte = opened.read(1)
            opened.seek(place)
            opened.write(bytes([byte[0] ^ 1]))

    return change


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return what changes the manifest, as a person or a newer version would."""

    def write(file: Path) -> None:
        with tarfile.open(file) as tar:
            member = tar.getmember("manifest.json")
            manifest = json.load(tar.extractfile(member))  # type: ignore[arg-type]
        change(manifest)
        text = json.dumps(manifest).encode()
        os.truncate(file, member.offset)
        os.truncate(file, member.offset + 2 * tarfile.BLOCKSIZE)  # the end of a tar
        with tarfile.open(file, "a") as tar:
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))

    return write


@pytest.mark.parametrize(
    "damage, said",
    [
        (cut, r"is damaged or not a backup"),
        (without_its_end, r"its end is missing"),
        (flip("database.dump"), r"database\.dump is not what the manifest says"),
        (flip("samples/sums/a"), r"samples/sums/a is not what the manifest says"),
        (lambda file: file.write_text("something else"), r"cannot be read as a tar"),
        (lambda file: file.write_bytes(b""), r"is damaged or not a backup"),
        (lambda file: file.unlink(), r"There is no file"),
        (rewritten(lambda manifest: manifest["files"].pop("samples/sums/a")), r"samples/sums/a is not what the manifest says"),
        (rewritten(lambda manifest: manifest["files"].update(other={})), r"other is missing"),
        (rewritten(lambda manifest: manifest.update(format="other")), r"is not one of Stepmark"),
        (rewritten(lambda manifest: manifest.update(version=2)), r"version 2 of the format.*Use a newer Stepmark"),
        (rewritten(lambda manifest: manifest.pop("made_at")), r"lacks fields"),
        (
            rewritten(lambda manifest: manifest["migrations"].append(["annotation", "9999_later"])),
            r"made by a newer Stepmark: it has the migration annotation\.9999_later.*Update Stepmark",
        ),
        (rewritten(lambda manifest: manifest.update(server_version=990000)), r"comes from PostgreSQL 99.*a newer one"),
    ],
)
def test_a_damaged_or_foreign_backup_is_named_and_nothing_is_changed(
    home: Path, elsewhere: Callable[[], Path], backup_file: Path, damage: Callable[[Path], object], said: str
) -> None:
    second = elsewhere()
    damage(backup_file)
    with pytest.raises(BackupRefused, match=said) as refused:
        backups.restore(backup_file, progress=quietly)
    assert "Nothing was changed" in str(refused.value)
    assert (second.exists(), tables()) == (False, 0)


@pytest.fixture(scope="module")
def first_backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup") / "site.tar"


@pytest.fixture
def backup_file(home: Path, first_backup: Path, tmp_path: Path) -> Path:
    """Return a copy of a backup, which is made once."""
    if not first_backup.exists():
        (home / "samples" / "sums").mkdir(parents=True)
        (home / "samples" / "sums" / "a").write_text("a")
        backups.back_up(first_backup, progress=quietly)
    return Path(shutil.copy(first_backup, tmp_path / "site.tar"))


@pytest.mark.parametrize("name", ["../outside", "/outside", "samples/../../outside", "secret_key", "postgres/data/x"])
def test_a_backup_that_would_write_elsewhere_is_refused(home: Path, tmp_path: Path, name: str) -> None:
    with (tmp_path / "site.tar").open("x+b") as file:
        written = archive.Archive(file)
        for member in ("database.dump", name):
            with written.member(member) as append:
                append(b"x")
        written.close(archive.Manifest("now", "0", 150000, []))
    with pytest.raises(BackupRefused, match="does not belong into a home"):
        archive.check(tmp_path / "site.tar", progress=quietly)


def test_a_dump_that_cannot_be_loaded_leaves_database_and_home_empty(
    home: Path, elsewhere: Callable[[], Path], tmp_path: Path, backup_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = elsewhere()
    begin = programs.command
    monkeypatch.setattr(programs, "command", lambda name: [*begin(name), "--role=nobody_of_this_name"])
    with pytest.raises(BackupRefused, match=r"pg_restore failed: [\s\S]*nobody_of_this_name[\s\S]*Nothing was changed"):
        backups.restore(backup_file, progress=quietly)
    assert (files(second), tables()) == ([], 0)
    monkeypatch.undo()
    backups.restore(backup_file, progress=quietly)
    assert (second / "samples" / "sums" / "a").read_text() == "a"


def test_programs_older_than_the_server_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_version", lambda program: 12)
    with pytest.raises(BackupRefused, match=r"no pg_dump of version \d+ or newer was found .*is version 12.*Install the client programs"):
        programs.command("pg_dump")


def test_no_password_is_in_the_list_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "hush")
    assert "hush" not in " ".join(programs.command("pg_dump"))
    assert programs.environment()["PGPASSWORD"] == "hush"


def test_the_commands_say_what_they_wrote_and_restored(home: Path, elsewhere: Callable[[], Path], tmp_path: Path) -> None:
    labeled_project()
    out = io.StringIO()
    call_command("backup", str(tmp_path / "site.tar"), stdout=out)
    assert "MB with 2 annotations and 1 file, the database among them." in out.getvalue()
    elsewhere()
    call_command("restore", str(tmp_path / "site.tar"), stdout=out)
    assert "1 project, 1 account, 2 annotations, 0 models, 0 files." in out.getvalue()


def test_a_backup_is_an_event_that_says_how_much_it_holds(home: Path, tmp_path: Path) -> None:
    labeled_project()
    made = backups.back_up(tmp_path / "b.tar", progress=quietly)
    event = Event.objects.get(verb=audit.BACKED_UP)
    assert (event.actor, event.project) == (None, None) and event.details == {"bytes": made.size, "files": made.n_files, "labels": 2}


def test_a_backup_into_a_folder_that_is_not_there_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputRefused, match="is not a folder that you can write to"):
        backups.back_up(tmp_path / "nowhere" / "site.tar", progress=quietly)


def test_the_content_of_a_snapshot_comes_back_and_is_exported_with_the_same_bytes(
    home: Path, elsewhere: Callable[[], Path], tmp_path: Path
) -> None:
    project = labeled_project()
    export.export_prm800k(project, tmp_path / "first.jsonl")
    backups.back_up(tmp_path / "site.tar", progress=quietly)
    elsewhere()
    assert backups.restore(tmp_path / "site.tar", progress=quietly).missing == []
    export.export_snapshot(Snapshot.objects.get(), tmp_path / "second.jsonl")
    assert (tmp_path / "second.jsonl").read_bytes() == (tmp_path / "first.jsonl").read_bytes() != b""


@pytest.mark.parametrize(
    ("damage", "told"), [("gone", "snapshots/sums/1.parquet"), ("changed", "snapshots/sums/1.parquet (there, but damaged")]
)
def test_a_backup_names_the_content_of_a_snapshot_that_is_gone_or_damaged(home: Path, tmp_path: Path, damage: str, told: str) -> None:
    path = home / export.take_snapshot(labeled_project()).content
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"x")
    [missing] = backups.back_up(tmp_path / "site.tar", progress=quietly).missing
    assert missing.startswith(told)
