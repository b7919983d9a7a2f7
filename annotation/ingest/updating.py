"""Stage: ingest, corrections in a file. Compares the problems of a file with the known ones. Changes nothing: `corrections` does."""

from pathlib import Path

from annotation.ingest.loading import choose_format
from annotation.ingest.staging import staged
from annotation.ingest.statements import CHANGES, CONTRADICTIONS, UNKNOWN_PROBLEMS
from annotation.ingest.values import ProblemChange
from annotation.models import Project
from trainer.formats import FILE_MEGABYTES, BadFile, Progress, place_in_words, read_lines, unused_keys

FIELDS = ("answer", "reference_solution", "subject", "level")  # what a file can correct


def read_changes(
    path: Path | str, *, project: Project, format: str | None = None, progress: Progress | None = None, megabytes: int = FILE_MEGABYTES
) -> tuple[list[ProblemChange], list[str]]:
    """Return what a file says otherwise about known problems, in the order of its lines, and sentences about how the file was read.

    What the file leaves out stays. Raises BadFile for a bad line, for a problem that is not known, and for a file that contradicts itself.
    """
    path = Path(path)
    detected, format_ = choose_format(path, format, megabytes)
    with staged(project, detected, path=path, progress=progress) as staging:
        for line, fields in read_lines(path, megabytes=megabytes, progress=progress):
            with staging.at(line):
                staging.add_problem(format_.problem(fields))
                staging.report.unused.update(unused_keys(fields))
        staging.resolve_problems(are_new_stored=False)
        cursor, values = staging.cursor, {"project": project.pk}
        if unknown := cursor.execute(UNKNOWN_PROBLEMS).fetchall():
            line, statement, count = unknown[0]
            others = f", and {count - 1:,} more problems of this file are not known" if count > 1 else ""
            raise BadFile(
                path,
                staging.placed(line),
                f"{project.slug} has no problem {_beginning(statement)!r}{others}",
                "Load new problems without --update first, or leave the line out",
            )
        for field in FIELDS:
            if clash := cursor.execute(CONTRADICTIONS.format(field=field)).fetchone():
                raise BadFile(
                    path,
                    staging.placed(clash[1]),
                    f"{place_in_words(staging.placed(clash[0]))} gives the same problem another {field}",
                    "Leave one of the two lines out, or give both the same value",
                )
        rows = cursor.execute(CHANGES, values).fetchall()
    changes = []
    for problem_id, external_id, line, *pairs in rows:
        given = {field: pair for field, *pair in zip(FIELDS, pairs[::2], pairs[1::2], strict=True) if pair[1] and pair[0] != pair[1]}
        old, new = ({field: pair[place] for field, pair in given.items()} for place in (0, 1))
        changes.append(ProblemChange(problem_id, external_id, old, new, staging.placed(line)))
    return changes, staging.report.about_the_file()


def _beginning(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."
