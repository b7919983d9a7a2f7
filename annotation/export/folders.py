"""Stage: export, data set folders: a snapshot as a folder that others can use without asking: data files, README.md, croissant.json.

The layout is that of a data set repository of Hugging Face. A folder is whole or not there: it gets its name last.
"""

import csv
import hashlib
import io
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from django.db import transaction

from annotation.export.cards import CardFacts, DatasetFile, write_card, written
from annotation.export.croissant import write_croissant
from annotation.export.datasets import errors_named, format_rows, note_file, of_passes
from annotation.export.describing import Description, describe
from annotation.export.splits import PARTS, SplitRule
from annotation.ingest import Progress
from annotation.models import GuidelinesVersion, Snapshot
from trainer.contamination import Fingerprint
from trainer.files import OutputRefused, write_file
from trainer.writers import WRITERS, BadOption, Losses, write

CARD, CROISSANT, MATCHES = "README.md", "croissant.json", "contamination.csv"
FORMATS = ("trl", "prm800k")  # without a choice


class BadFolder(ValueError):
    """A folder that is not a whole data set folder. The message names the file and the remedy."""


@dataclass(frozen=True)
class DatasetFolder:
    """A folder that was written: its data files, and what they hold. A file of `files` without rows is not there."""

    path: Path
    files: list[DatasetFile]
    description: Description


def write_dataset_folder(
    snapshot: Snapshot,
    folder: Path | str,
    facts: CardFacts,
    *,
    formats: Sequence[str] = FORMATS,
    options: Mapping[str, Mapping[str, str]] | None = None,
    rule: SplitRule | None = None,
    benchmarks: Mapping[str, Fingerprint] | None = None,
    overwrite: bool = False,
    noted: bool = True,
    progress: Progress | None = None,
) -> DatasetFolder:
    """Write a snapshot as a data set folder, and note its files if they are to be `noted`.

    `options` are those of each format. Without `rule` the parts are the splits of the project. An empty part has no file. With `overwrite`
    a data set folder is replaced, and nothing else is. Raises OutputRefused, BadOption, ContentMissing, ContentDamaged, and BadFile if the
    writing fails.
    """
    place = Path(folder).absolute()
    if unused := sorted(set(options or {}) - set(formats)):
        raise BadOption(f"The folder has no {unused[0]}, and there is an option for it. Add this format, or leave out the option.")
    chosen = {name: WRITERS[name].choose((options or {}).get(name)) for name in dict.fromkeys(formats)}
    rule = rule or SplitRule(train=1, valid=0, test=0)
    _check_place(place, overwrite=overwrite)
    with errors_named(place), _draft_of(place) as draft:
        found = describe(snapshot, rule=rule, benchmarks=benchmarks, progress=progress)
        planned = list(_write_files(snapshot, draft, chosen, rule, found.parts, progress))
        files = written(planned)
        if empty := [name for name in chosen if not any(file.config == name for file in files)]:
            losses = [sentence for file in planned if file.config == empty[0] for sentence in file.losses]
            reasons = " ".join(losses) or "The snapshot is empty."
            raise OutputRefused(f"No row of {empty[0]} can be written. {reasons} Choose other formats, or another snapshot.")
        (draft / CARD).write_text(write_card(snapshot, found, facts, planned, guidelines=_guidelines(snapshot)), encoding="utf-8")
        (draft / CROISSANT).write_bytes(write_croissant(snapshot, facts, files))
        if found.matches:
            (draft / MATCHES).write_text(_matches(found), encoding="utf-8")
        with transaction.atomic():
            for file in files if noted else ():
                note_file(
                    snapshot,
                    place / file.path,
                    format=file.config,
                    n_records=file.written.n_records,
                    n_bytes=file.written.n_bytes,
                    sha256=file.written.sha256,
                    split=file.part,
                    options={"options": dict(file.options), "rule": rule.spec},
                )
            if overwrite and place.exists():
                shutil.rmtree(place)
            elif place.exists():
                place.rmdir()  # it is empty
            draft.rename(place)  # before the rows are committed: a kill between the two leaves a whole folder
    return DatasetFolder(place, planned, found)


def check_dataset_folder(folder: Path | str) -> list[str]:
    """Compare the data files of a folder with croissant.json, and return the paths of all files that belong to it.

    README.md can be changed by hand. Raises BadFolder: a file is missing, is not what was written, or is strange to the folder.
    """
    place = Path(folder)
    if not (place / CARD).is_file() or not (place / CROISSANT).is_file():
        raise BadFolder(f"{place} is no data set folder: {CARD} or {CROISSANT} is missing. manage.py make_folder writes one.")
    try:
        listed = {file["contentUrl"]: file["sha256"] for file in orjson.loads((place / CROISSANT).read_bytes())["distribution"]}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BadFolder(f"{place / CROISSANT} cannot be read ({error}). Write the folder again.") from error
    for name, sha256 in listed.items():
        path = place / name
        if not path.is_file():
            raise BadFolder(f"{path} is missing. Write the folder again.")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise BadFolder(f"{path} is not what was written: its sha256 differs from that in {CROISSANT}. Write the folder again.")
    known = {CARD, CROISSANT, MATCHES, *listed}
    there = sorted(str(path.relative_to(place)) for path in place.rglob("*") if not path.is_dir())
    if strange := [name for name in there if name not in known]:
        raise BadFolder(f"{place / strange[0]} does not belong to the data set folder. Move it elsewhere.")
    return there


def pack_folder(folder: Path, path: Path, progress: Progress | None = None) -> None:
    """Write a folder as a zip file. The same folder gives the same bytes. Its data files are packed inside, so nothing is packed twice."""
    names = sorted(str(place.relative_to(folder)) for place in folder.rglob("*") if place.is_file())
    with write_file(path, overwrite=False) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for n_done, name in enumerate(names, start=1):
            member = zipfile.ZipInfo(f"{folder.name}/{name}")  # of 1980: a clock would change the bytes
            member.external_attr = 0o644 << 16
            with (folder / name).open("rb") as file, archive.open(member, "w", force_zip64=True) as packed:
                shutil.copyfileobj(file, packed, 1 << 20)
            if progress:
                progress("packing", n_done, len(names))


def _write_files(
    snapshot: Snapshot,
    draft: Path,
    chosen: Mapping[str, Mapping[str, str]],
    rule: SplitRule,
    parts: "Counter[str]",
    progress: Progress | None,
) -> Iterator[DatasetFile]:
    """Write the file of each format and part; one without rows is deleted again.

    All are Parquet: `datasets` reads every file of a repository by the format of most of them.
    """
    (draft / "data").mkdir()
    passes = [(name, part) for name in chosen for part in PARTS if parts[part]]
    for number, (name, part) in enumerate(passes):
        writer, options = WRITERS[name], chosen[name]
        losses, path, read = Losses(), f"data/{name}-{part}.parquet", of_passes(progress, number, of=len(passes))
        [file] = write(
            format_rows(snapshot, name, options, losses, rule=rule, part=part, progress=read),
            draft / path,
            schema=writer.schema,
            container="parquet",
            compression="zstd",
            description=writer.describe(options),
        )
        if not file.n_records:
            (draft / path).unlink()
        yield DatasetFile(path, name, part, options, file, tuple(losses.sentences()))


def _guidelines(snapshot: Snapshot) -> dict[int, str]:
    numbers = snapshot.provenance.get("guidelines_versions", ())
    versions = GuidelinesVersion.objects.filter(project=snapshot.project_id, number__in=numbers)
    return dict(versions.values_list("number", "text"))


def _matches(found: Description) -> str:
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("problem_id", "benchmark", "benchmark_id", "share_of_word_sequences"))
    for match in sorted(found.matches, key=lambda match: (match.benchmark, -match.share, match.problem_id)):
        rows.writerow((match.problem_id, match.benchmark, match.benchmark_id, f"{match.share:.3f}"))
    return table.getvalue()


# --- the place ---------------------------------------------------------------------------------------------------------------------


def _check_place(place: Path, *, overwrite: bool) -> None:
    if place.is_file():
        raise OutputRefused(f"{place} is a file. Name a folder.")
    if not place.parent.is_dir():
        raise OutputRefused(f"{place.parent} is not a folder. Make it, or name another place.")
    if not place.exists() or not any(place.iterdir()):
        return
    if not overwrite:
        raise OutputRefused(f"{place} is not empty. Name another folder, or replace a data set folder with --overwrite.")
    try:
        check_dataset_folder(place)
    except BadFolder as bad:
        raise OutputRefused(f"{place} is not replaced, because it is not a data set folder as it was written. {bad}") from bad


@contextmanager
def _draft_of(place: Path) -> Iterator[Path]:
    """Give a folder beside the place. What is left in it at the end is deleted."""
    draft = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        draft.chmod(0o755)  # mkdtemp's is for the owner alone
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
