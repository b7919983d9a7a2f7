"""Stage: export, data sets. Takes a snapshot with its content file, and writes files from the content of a snapshot. Reads what a data set
holds (content.py). Writes Snapshot, SnapshotItem, SnapshotFile and the files.

A kill at any moment leaves no half: files get their names when they are complete, and the rows are committed last. A content file without
a row is one that the next snapshot replaces.
"""

import hashlib
import secrets
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import psycopg
from django.conf import settings
from django.db import OperationalError, connection, transaction

from annotation import eligibility, happenings, webhooks
from annotation.eligibility import Adjudications, Use
from annotation.export.filters import SnapshotFilter
from annotation.export.snapshots import CHOOSE, ContentDamaged, list_for_training, new_snapshot, take_number
from annotation.export.splits import PARTS, SplitRule
from annotation.export.wording import filter_in_words
from annotation.ingest import BadFile, Progress
from annotation.models import Batch, DataOrder, Project, Snapshot, SnapshotFile, Split
from trainer import __version__
from trainer.files import check_output_file, is_disk_full, rename_file, write_file
from trainer.writers import WRITERS, BadOption, Labeled, Losses, OutRow, from_content, write

if TYPE_CHECKING:
    from annotation.export.content import Counts

SHOWN_EVERY = 500  # annotations


class EmptySnapshot(ValueError):
    """No label fulfils the filter. The message says what was asked for. No snapshot was taken."""


class NoSuchSnapshot(LookupError):
    """This project has no such snapshot."""


def find_snapshot(project: Project, number: int) -> Snapshot:
    """Return a snapshot by its number. Raises NoSuchSnapshot."""
    snapshot = Snapshot.objects.select_related("project").filter(project=project, number=number).first()
    if snapshot is None:
        newest = Snapshot.objects.filter(project=project).order_by("-number").values_list("number", flat=True).first()
        there = f"Its newest snapshot is {newest}." if newest else "It has no snapshot yet. Take one first."
        raise NoSuchSnapshot(f"{project.slug} has no snapshot {number}. {there}")
    return snapshot


def take_snapshot(
    project: Project,
    *,
    splits: tuple[str, ...] = (Split.TRAIN,),
    without: tuple[str, ...] = (),
    use: Use = Use.DATASET,
    newcomers: bool = True,
) -> Snapshot:
    """Take a snapshot: for a training a list alone, for a data set the content too. An empty project gives an empty snapshot."""
    if use == Use.TRAINING:
        return list_for_training(project)
    return take_dataset(project, SnapshotFilter(splits=splits, without=without, newcomers=newcomers))


def take_dataset(
    project: Project,
    chosen: SnapshotFilter | None = None,
    *,
    allow_empty: bool = True,
    progress: Progress | None = None,
    stored: Callable[[Snapshot], None] = lambda snapshot: None,
) -> Snapshot:
    """Take a snapshot with its content. `stored` is called in its transaction, with all that is left to do before the commit.

    Raises BadFilter, EmptySnapshot if a filter leaves nothing, and BadFile if the disk is full. Without `allow_empty` a project without
    labels is refused too.
    """
    chosen = chosen or SnapshotFilter()
    chosen.check_in(project)
    folder = _folder(project)
    with (
        errors_named(folder),
        _reading() as reader,
        transaction.atomic(),
        _drafted(project, chosen, reader, lines=None, progress=progress) as draft,
    ):
        if not draft.snapshot.count and not allow_empty:
            raise EmptySnapshot(f"{project.slug} has no label yet that a snapshot could hold. No snapshot was taken.")
        snapshot = _store(draft)
        stored(snapshot)
        return snapshot


def export_prm800k(
    project: Project,
    out_path: Path | str,
    *,
    splits: tuple[str, ...] = (Split.TRAIN,),
    newcomers: bool = True,
    chosen: SnapshotFilter | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Snapshot:
    """Take a snapshot and write it to a file; return the snapshot with the file's sha256. The project says what becomes of adjudications.

    Without `newcomers` the screening answers of people who are not admitted are left out; `chosen` goes before both options. The file is
    there whole or not at all; an existing one is replaced only with `overwrite`. Raises OutputRefused, BadFilter, EmptySnapshot, and
    BadFile if the writing fails: then there is no snapshot either.
    """
    path = Path(out_path).absolute()
    chosen = chosen or SnapshotFilter(splits=splits, newcomers=newcomers)
    chosen.check_in(project)
    with errors_named(path), _reading() as reader, transaction.atomic(), write_file(path, overwrite=overwrite) as out:
        # The file gets its name before the rows are committed. A kill between the two leaves a whole file that no snapshot names.
        with _drafted(project, chosen, reader, lines=out, progress=progress) as draft:
            draft.snapshot.file = _inside_home(path)
            snapshot = _store(draft)
        note_file(snapshot, path, n_records=snapshot.count, n_bytes=out.tell(), sha256=snapshot.sha256)
    return snapshot


def write_prm800k(snapshot: Snapshot, out: BinaryIO, progress: Progress | None = None) -> int:
    """Write the content of a snapshot as PRM800K records, oldest first; return how many. `progress(stage, done, total)` is called at times.

    Raises ContentMissing, and ContentDamaged if these are not the records that were taken.
    """
    from annotation.export.content import content_records

    count, digest = 0, hashlib.sha256()
    for records in content_records(snapshot):
        lines = b"\n".join([*records, b""])
        digest.update(lines)
        out.write(lines)
        count += len(records)
        if progress:
            progress("exporting", count, snapshot.count)
    _check_records(snapshot, digest)
    return count


def _check_records(snapshot: Snapshot, digest: "hashlib._Hash") -> None:
    if digest.hexdigest() != snapshot.sha256:
        raise ContentDamaged(
            f"The content of snapshot {snapshot.number} is not what was taken: the sha256 differs. "
            f"Restore {snapshot.content} from a backup."
        )


def export_snapshot(
    snapshot: Snapshot,
    out_path: Path | str,
    *,
    format: str = "prm800k",
    options: Mapping[str, str] | None = None,
    container: str = "jsonl",
    compression: str = "none",
    rule: SplitRule | None = None,
    max_records: int | None = None,
    max_bytes: int | None = None,
    max_files: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    losses: Losses | None = None,
    order: DataOrder | None = None,
) -> list[SnapshotFile]:
    """Write the content of a snapshot to a file, or with `rule` to a file for each part of its problems: NAME-train ..

    With `max_records` or `max_bytes` (before packing) each becomes several files that hold no more: NAME-00000-of-00002 .. If it would be
    more than `max_files`, nothing is written.
    `format` and `options` are those of trainer.writers, and `losses` counts what the format cannot hold. `order`: what asked for it. The
    same snapshot and options give the same bytes at any time. Raises OutputRefused, BadOption, ContentMissing, ContentDamaged, and BadFile
    if the writing fails.
    """
    path = Path(out_path).absolute()
    if format not in WRITERS:
        raise BadOption(f"There is no format {format!r}. Choose one of {', '.join(WRITERS)}.")
    described = {"options": WRITERS[format].choose(options), "container": container, "compression": compression}
    if (format, container, compression) != ("prm800k", "jsonl", "none") or max_records is not None or max_bytes is not None:
        limits = {name: limit for name, limit in (("max_records", max_records), ("max_bytes", max_bytes)) if limit is not None}
        losses = losses or Losses()
        return _write_rows(
            snapshot,
            path,
            format,
            described,
            rule,
            limits=limits,
            max_files=max_files,
            overwrite=overwrite,
            progress=progress,
            losses=losses,
            order=order,
        )
    if rule is None:
        with errors_named(path), transaction.atomic(), write_file(path, overwrite=overwrite) as out:
            n_records = write_prm800k(snapshot, out, progress)
            return [note_file(snapshot, path, n_records=n_records, n_bytes=out.tell(), sha256=snapshot.sha256, order=order)]
    paths = {part: _path_of(path, part) for part in PARTS}
    for part_path in paths.values():
        check_output_file(part_path, overwrite=overwrite)
    with errors_named(path), transaction.atomic(), ExitStack() as stack:
        files = {part: stack.enter_context(write_file(part_path, overwrite=overwrite)) for part, part_path in paths.items()}
        counts = _write_parts(snapshot, rule, files, progress)
        return [
            note_file(
                snapshot,
                paths[part],
                n_records=n_records,
                n_bytes=files[part].tell(),
                sha256=sha256,
                split=part,
                options={"rule": rule.spec},
                order=order,
            )
            for part, (n_records, sha256) in counts.items()
        ]


def _write_rows(
    snapshot: Snapshot,
    path: Path,
    format: str,
    described: dict[str, Any],
    rule: SplitRule | None,
    *,
    limits: dict[str, int],
    max_files: int | None,
    overwrite: bool,
    progress: Progress | None,
    losses: Losses,
    order: DataOrder | None,
) -> list[SnapshotFile]:
    """Write the rows of a format to the files of each part. Their names come one part after the other; the rows are committed together."""
    paths = {part: _path_of(path, part) for part in PARTS} if rule else {"": path}
    for part_path in paths.values():
        check_output_file(part_path, overwrite=overwrite)
    writer, noted = WRITERS[format], list[SnapshotFile]()
    with errors_named(path), transaction.atomic():
        for number, (part, part_path) in enumerate(paths.items()):
            read = of_passes(progress, number, of=len(paths))
            files = write(
                format_rows(snapshot, format, described["options"], losses, rule=rule, part=part, progress=read),
                part_path,
                schema=writer.schema if described["container"] == "parquet" else None,
                container=described["container"],
                compression=described["compression"],
                max_records=limits.get("max_records"),
                max_bytes=limits.get("max_bytes"),
                max_files=max_files,
                overwrite=overwrite,
                description=writer.describe(described["options"]),
            )
            options = {**described, **limits, "rule": rule.spec} if rule else {**described, **limits}
            noted += [
                note_file(
                    snapshot,
                    part_path.with_name(file.name),
                    format=format,
                    n_records=file.n_records,
                    n_bytes=file.n_bytes,
                    sha256=file.sha256,
                    split=part,
                    options=options,
                    order=order,
                )
                for file in files
            ]
    return noted


def of_passes(progress: Progress | None, number: int, *, of: int) -> Progress | None:
    """Return the progress of one pass over a content, `number` from 0, as its share of all passes: each part and format reads it once."""
    if progress is None:
        return None

    def advance(stage: str, done: int, total: int | None) -> None:
        assert total is not None
        progress(stage, (number * total + done) // of, total)

    return advance


def format_rows(
    snapshot: Snapshot,
    format: str,
    options: Mapping[str, str],
    losses: Losses,
    *,
    rule: SplitRule | None = None,
    part: str = "",
    progress: Progress | None = None,
) -> Iterator[OutRow]:
    """Return the rows of a snapshot in a format, oldest first; with a rule those of one part of its problems.

    `progress("writing", done, total)` counts the annotations that were read: a format can have more rows, or fewer.
    """
    if format == "prm800k":
        return _records(snapshot, rule, part, progress)
    return WRITERS[format].rows(_labeled(snapshot, rule, part, progress), options, losses)


def _labeled(snapshot: Snapshot, rule: SplitRule | None, part: str, progress: Progress | None) -> Iterator[Labeled]:
    from annotation.export.content import content_rows

    for n_read, row in enumerate(content_rows(snapshot), start=1):
        if rule is None or rule.part_of(row["problem_id"], split=row["split"]) == part:
            yield from_content(row)
        if progress and (n_read % SHOWN_EVERY == 0 or n_read == snapshot.count):
            progress("writing", n_read, snapshot.count)


def _records(snapshot: Snapshot, rule: SplitRule | None, part: str, progress: Progress | None) -> Iterator[bytes]:
    """Yield PRM800K lines as they are stored: to make values of them takes three times as long as to read them."""
    from annotation.export.content import content_batches, content_records

    n_read = 0
    if rule is None:
        digest = hashlib.sha256()
        for records in content_records(snapshot):
            digest.update(b"\n".join([*records, b""]))
            yield from records
            n_read += len(records)
            if progress:
                progress("writing", n_read, snapshot.count)
        _check_records(snapshot, digest)
        return
    for batch in content_batches(snapshot, ("problem_id", "split", "record")):
        for problem, split, record in zip(batch["problem_id"], batch["split"], batch["record"], strict=True):
            if rule.part_of(problem, split=split) == part:
                yield record
        n_read += len(batch["record"])
        if progress:
            progress("writing", n_read, snapshot.count)


def _path_of(path: Path, part: str) -> Path:
    """Return the name of one part's file: labels.jsonl.gz becomes labels-train.jsonl.gz."""
    stem, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{stem}-{part}{dot}{suffixes}")


def _write_parts(snapshot: Snapshot, rule: SplitRule, files: "dict[str, Any]", progress: Progress | None) -> dict[str, tuple[int, str]]:
    """Write each record into the file of its problem's part; return records and sha256 of each."""
    from annotation.export.content import content_batches

    counts, digests = dict.fromkeys(PARTS, 0), {part: hashlib.sha256() for part in PARTS}
    done = 0
    for batch in content_batches(snapshot, ("problem_id", "split", "record")):
        parts = [rule.part_of(problem, split=split) for problem, split in zip(batch["problem_id"], batch["split"], strict=True)]
        for part in PARTS:
            lines = [record for record, own in zip(batch["record"], parts, strict=True) if own == part]
            joined = b"".join(line + b"\n" for line in lines)
            counts[part] += len(lines)
            digests[part].update(joined)
            files[part].write(joined)
        done += len(parts)
        if progress:
            progress("exporting", done, snapshot.count)
    return {part: (counts[part], digests[part].hexdigest()) for part in PARTS}


# --- taking a snapshot -------------------------------------------------------------------------------------------------------


class _SnapshotDraft(NamedTuple):
    """A snapshot that is not stored, and its content under a name that nobody looks for."""

    snapshot: Snapshot
    path: Path


@contextmanager
def _reading() -> Iterator["psycopg.Connection[Any]"]:
    """Give a connection that sees one moment of the database: labels, problems, settings and consensus fit each other.

    Within a transaction of the caller it is the caller's: another one would not see what the caller wrote.
    """
    connection.ensure_connection()
    if connection.in_atomic_block:
        connection.connection.execute("SELECT")  # the transaction begins with the first statement that psycopg knows of, and COPY is none
        yield connection.connection
        return
    parameters = {**connection.get_connection_params(), "autocommit": True}
    parameters.pop("cursor_factory", None)
    with connection.wrap_database_errors:
        opened = psycopg.connect(**parameters)
    with opened as reader:
        reader.execute("SET idle_in_transaction_session_timeout = 0")  # it waits while the file is written
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield reader
        reader.execute("COMMIT")


@contextmanager
def _drafted(
    project: Project, chosen: SnapshotFilter, reader: "psycopg.Connection[Any]", *, lines: BinaryIO | None, progress: Progress | None
) -> Iterator[_SnapshotDraft]:
    """Choose annotations, store their list, and write their content to a temporary file."""
    from annotation.export.content import write_content

    chosen = replace(chosen, adjudications=Adjudications(chosen.adjudications or project.adjudications))
    keys = _chosen_keys(project, chosen, reader)
    if not keys and chosen.narrows:
        asked = "; ".join(filter_in_words(chosen.spec))
        raise EmptySnapshot(
            f"No label of {project.slug} fulfils the filter ({asked}). Change or leave out a part of it. No snapshot was taken."
        )
    if not keys and _chosen_keys(project, replace(chosen, splits=tuple(Split.values)), reader):
        raise EmptySnapshot(
            f"All labels of {project.slug} are on {filter_in_words({'splits': sorted(set(Split.values) - set(chosen.splits))})[0]}, which "
            "were not asked for. Ask for both splits (--split all). No snapshot was taken."
        )
    snapshot = new_snapshot(project)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # it waits while the file is written
        statement = "INSERT INTO annotation_snapshotitem (snapshot_id, annotation_id) SELECT %s, unnest(%s::bigint[])"
        for start in range(0, len(keys), 10_000):
            cursor.execute(statement, [snapshot.pk, f"{{{','.join(map(str, keys[start : start + 10_000]))}}}"])
    folder = _folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{secrets.token_hex(8)}.parquet.part"
    try:
        with draft.open("x+b") as file:
            counts, snapshot.sha256 = write_content(keys, file, reader, lines=lines, progress=progress)
            snapshot.content_bytes = file.seek(0, 2)
            file.seek(0)
            snapshot.content_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        snapshot.count, snapshot.counts = len(keys), counts.summary()
        snapshot.spec = {**chosen.spec, "use": Use.DATASET, "left_out": eligibility.people_left_out(project)}
        snapshot.provenance = _provenance(project, counts)
        yield _SnapshotDraft(snapshot, draft)
    finally:
        draft.unlink(missing_ok=True)


def chosen_now(project: Project, chosen: SnapshotFilter) -> "array[int]":
    """Return the keys of the annotations that a snapshot with this filter would list now. Nothing is stored.

    What the filter names and the project does not have, or has no longer, leaves no annotation.
    """
    with _reading() as reader:
        return _chosen_keys(project, chosen, reader)


def _chosen_keys(project: Project, chosen: SnapshotFilter, reader: "psycopg.Connection[Any]") -> "array[int]":
    """Return the keys of the annotations that a filter leaves, in order."""
    import numpy as np  # here, because a command waits for it

    from annotation.export.content import copied

    parameters: dict[str, Any] = {"project": project.pk}
    statement = CHOOSE.format(condition=chosen.sql(project, parameters))
    if chosen.labels == "consensus":
        statement = statement.replace("SELECT a.id", "SELECT max(a.id)", 1) + " GROUP BY a.solution_id"
    keys = array("q")
    keys.extend(map(int, copied(reader, psycopg.ClientCursor(reader).mogrify(statement, parameters))))
    np.frombuffer(keys, np.int64).sort()  # in place: a list of a million numbers takes 40 MB
    return keys


def _store(draft: _SnapshotDraft) -> Snapshot:
    """Give the snapshot its number, the content file its name, and store the row. From here on other snapshots of the project wait."""
    snapshot = draft.snapshot
    take_number(snapshot)
    path = _folder(snapshot.project) / f"{snapshot.number}.parquet"
    # Another project has had this slug. Its files stay.
    while Snapshot.objects.filter(content=_inside_home(path)).exists():
        path = path.with_name(f"{path.stem}-{secrets.token_hex(2)}.parquet")
    snapshot.content = _inside_home(path)
    snapshot.save(force_insert=True)
    at, more = {"number": snapshot.number}, {"number": snapshot.number, "annotations": snapshot.count}
    occasion, kind = f"snapshot {snapshot.pk}", webhooks.WebhookEventKind.SNAPSHOT_READY
    webhooks.tell(snapshot.project, kind, occasion=occasion, state="ready", page="api-snapshot", at=at, more=more)
    rename_file(draft.path, path)
    return snapshot


def _provenance(project: Project, counts: "Counts") -> dict[str, Any]:
    """Return where the labels come from: versions, and what selected each batch."""
    keys = set(counts.values["batch"])
    selected: dict[int, dict[str, Any]] = {}
    for _, described in happenings.batches_described.send(Project, project=project, batches=keys):
        assert isinstance(described, dict)
        selected.update(described)
    batches = [
        {"batch": batch.pk, "kind": batch.kind, "generation": batch.generation, "annotations": counts.values["batch"][batch.pk]}
        | selected.get(batch.pk, {})
        for batch in Batch.objects.filter(pk__in=keys).order_by("pk")
    ]
    return {
        "stepmark": __version__,
        "graders": sorted(grader for grader in counts.values["grader"] if grader),
        "guidelines_versions": sorted(number for number in counts.values["guidelines_version"] if number is not None),
        "batches": batches,
    }


# --- files -------------------------------------------------------------------------------------------------------------------


def note_file(
    snapshot: Snapshot,
    path: Path,
    *,
    format: str = "prm800k",
    n_records: int,
    n_bytes: int,
    sha256: str,
    split: str = "",
    options: dict[str, Any] | None = None,
    order: DataOrder | None = None,
) -> SnapshotFile:
    """Store that a file was written from a snapshot. The row stays, whatever becomes of the file."""
    return SnapshotFile.objects.create(
        snapshot=snapshot,
        order=order,
        format=format,
        options=options or {},
        split=split,
        name=_inside_home(path) or path.name,
        n_records=n_records,
        n_bytes=n_bytes,
        sha256=sha256,
    )


def _folder(project: Project) -> Path:
    return Path(settings.STEPMARK_HOME).absolute() / "snapshots" / project.slug


def _inside_home(path: Path) -> str:
    """Return a path relative to the home; nothing for a file elsewhere."""
    home = Path(settings.STEPMARK_HOME).absolute()
    return str(path.relative_to(home)) if path.is_relative_to(home) else ""


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Turn errors of disks into BadFile. `path`: what was to be written."""
    try:
        yield
    except OSError as error:
        place = Path(error.filename) if error.filename else path
        raise BadFile(
            place, None, f"cannot be written ({error.strerror or error})", "Name a file in a folder that exists, is yours and has room"
        ) from error
    except (OperationalError, psycopg.OperationalError) as error:
        if not is_disk_full(error):
            raise
        raise BadFile(
            path, None, "cannot be written (the disk of the database is full)", "Free some space there and export again"
        ) from error
