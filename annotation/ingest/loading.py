"""Stage: ingest, what loads. Reads a file or values of a caller, and stages them. All or nothing: loading the same file again changes
nothing.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from annotation.ingest.preparers import prepared
from annotation.ingest.preparing import TextMeans
from annotation.ingest.staging import Staging, check_options, staged
from annotation.ingest.values import LoadReport
from annotation.models import Project
from trainer.formats import (
    FILE_MEGABYTES,
    FORMATS,
    BadFile,
    BadLine,
    Block,
    Detected,
    Format,
    Item,
    LabelMapping,
    NewSolution,
    NotDivided,
    Progress,
    choose_steps_by,
    count_blocks,
    detect_format,
    has_blocks,
    has_texts,
    read_blocks,
    read_lines,
    refuse_unread_labels,
    unused_keys,
    with_items,
)
from trainer.formats import read_mapping as parse_mapping
from trainer.steps import AUTO, BROKEN_SHARE, RULES

STEP_RULES = (*RULES, AUTO)  # how a solution that is one text can be cut into steps


def load_problems(
    path: Path | str,
    *,
    project: Project,
    format: str | None = None,
    split: str | None = None,
    mapping: LabelMapping | None = None,
    progress: Progress | None = None,
    megabytes: int = FILE_MEGABYTES,
) -> LoadReport:
    """Load the problems of a file and report what was new. `split` overrides the file's, and `mapping` names fields of other tools.

    `progress(stage, done, total)` counts bytes of the file, then graded answers. Raises BadFile with the line; then nothing was stored.
    """
    path = Path(path)
    detected, format_ = choose_format(path, format, megabytes, mapping)
    with _staging(project, detected, path=path, split=split, progress=progress) as staging:
        for line, fields in read_lines(path, megabytes=megabytes, progress=progress):
            with staging.at(line):
                refuse_unread_labels(fields, detected)
                staging.add_problem(format_.problem(fields))
                staging.report.unused.update(unused_keys(fields))
    return staging.report


def read_problems(path: Path | str, *, megabytes: int = FILE_MEGABYTES) -> Iterator[tuple[str, str]]:
    """Yield id and text of each problem of a file that `load_problems` or `load_solutions` reads, and store nothing. Raises BadFile.

    A problem without an id has the number of its line.
    """
    path = Path(path)
    _, format_ = choose_format(path, None, megabytes)
    for line, fields in read_lines(path, megabytes=megabytes):
        try:
            problem = format_.problem(fields)
        except BadLine as bad:
            raise BadFile(path, line, bad.reason, bad.remedy) from None
        yield problem.external_id or f"line {line}", problem.statement


def load_solutions(
    path: Path | str,
    *,
    project: Project,
    format: str | None = None,
    source: str = "",
    split: str | None = None,
    steps_by: str = AUTO,
    allow_broken: bool = False,
    labels: str = "annotations",
    mapping: LabelMapping | None = None,
    progress: Progress | None = None,
    megabytes: int = FILE_MEGABYTES,
) -> LoadReport:
    """Load the solutions of a file with their problems and, if it has them, their labels; report what was new.

    The labels become annotations of people that the file names, or, with `labels` "gold", the gold of their solutions: the step at which
    the first mistake is, or none. Gold that is stored already stays.

    `source` names the generator where the file does not, `steps_by` the rule that cuts solutions given as texts. More than 1 % broken steps
    are refused unless `allow_broken`. `mapping` says what fields and values of other labeling tools mean.
    The rest is as in `load_problems`. Every new final answer is graded.
    """
    path = Path(path)
    detected, format_ = choose_format(path, format, megabytes, mapping)
    if format_.solutions is None:
        raise BadFile(path, None, f"a file of format {detected.name} has problems but no solutions", "Load it with load_problems")
    check_options(path, split=split, labels=labels)
    choice = None
    if steps_by != AUTO or has_texts(path, format_, megabytes=megabytes):
        choice = choose_steps_by(path, format_, named=steps_by, megabytes=megabytes, progress=progress)
    in_blocks = has_blocks(path, megabytes=megabytes)
    while True:
        try:
            with _staging(project, detected, path=path, source=source, split=split, progress=progress) as staging:
                staging.use(staging.options._replace(are_labels_gold=labels == "gold", choice=choice, mapping=mapping))
                if in_blocks:
                    blocks = read_blocks(path, megabytes=megabytes, progress=progress)
                    _read_in_blocks(staging, blocks, n_blocks=count_blocks(path))
                else:
                    _read_solutions(staging, path, detected, format_, megabytes, progress)
                staging.flush()
                if not allow_broken and staging.report.steps.share_broken > BROKEN_SHARE:
                    raise _too_many_broken(path, staging.report)
            return staging.report
        except _TextInside:  # after many solutions that are given as steps, so all is read again with a rule
            choice = choose_steps_by(path, format_, named=steps_by, megabytes=megabytes, progress=progress)
        except NotDivided:
            in_blocks = False


class _TextInside(Exception):
    """A file has a solution as a text, and no rule was chosen."""


def _read_solutions(staging: Staging, path: Path, detected: Detected, format_: Format, megabytes: int, progress: Progress | None) -> None:
    """Stage all lines of a file. Raises BadFile for a line that cannot be loaded, and _TextInside."""
    assert format_.solutions is not None
    for line, fields in read_lines(path, megabytes=megabytes, progress=progress):
        with staging.at(line):
            refuse_unread_labels(fields, detected)
            try:
                for solution in format_.solutions(fields):
                    staging.add_solution(solution)
            except TextMeans:
                raise _TextInside from None
            staging.report.unused.update(unused_keys(fields))


def _read_in_blocks(staging: Staging, blocks: Iterator[Block], *, n_blocks: int) -> None:
    """Stage a file that several processes prepare. Raises BadFile, _TextInside, and NotDivided for an array that is to be read whole: only
    then it is known in which line of the file an object breaks off.
    """
    is_array = False

    def noted() -> Iterator[Block]:
        nonlocal is_array
        for block in blocks:
            if block.places:
                is_array, staging.line = True, (Item if block.are_items else int)(0)
            yield block

    with closing(prepared(noted(), staging.options, n_blocks=n_blocks)) as parts:
        for part in parts:
            if part.fault and part.fault.is_text:
                raise _TextInside
            if part.fault and is_array:
                raise NotDivided
            staging.receive(part)


def _too_many_broken(path: Path, report: LoadReport) -> BadFile:
    others = [rule for rule in RULES if report.steps_by is None or rule != report.steps_by.rule]
    remedy = (
        f"Cut the texts by another rule with --steps-by {' or '.join(others)}"
        if report.steps_by
        else "Give each solution as one text with the key 'solution', which --steps-by cuts"
    )
    return BadFile(
        path,
        None,
        f"{report.steps.broken_in_words()}. At most {BROKEN_SHARE:.0%} of the steps can be broken",
        f"{remedy}, or load the file as it is with --allow-broken-steps",
    )


def add_solutions(project: Project, rows: Iterable[NewSolution], *, progress: Progress | None = None) -> LoadReport:
    """Load solutions from values instead of a file, as `load_solutions` does. Errors name the number of the value, from 1."""
    with _staging(project, Detected("values", ""), path="values", progress=progress) as staging:
        for number, solution in enumerate(rows, 1):
            with staging.at(number):
                staging.add_solution(solution)
            if progress and number % 500 == 0:
                progress("reading", number, None)
    return staging.report


def choose_format(path: Path, named: str | None, megabytes: int, mapping: LabelMapping | None = None) -> tuple[Detected, Format]:
    """Return the format of a file and why: the named one, or the one that its content shows. Raises BadFile, also for a mapping of a
    format whose fields have fixed names.
    """
    if named is not None and named not in FORMATS:
        raise BadFile(path, None, f"unknown format {named!r}", f"The formats are {', '.join(FORMATS)}")
    detected = Detected(named, "") if named else detect_format(path, megabytes=megabytes)
    try:
        return detected, FORMATS[detected.name].mapped(mapping or LabelMapping())
    except BadLine as bad:
        raise BadFile(path, None, f"it has the format {detected.name}, and {bad.reason}", bad.remedy) from None


def read_mapping(lines: Iterable[str], *, items: Path | str | None = None) -> LabelMapping | None:
    """Return what lines of NAME=VALUE and a file of items say of the labels of another tool, or None without any. Raises BadFile."""
    try:
        mapping = parse_mapping(lines)
    except BadLine as bad:
        raise BadFile("--map", None, bad.reason, bad.remedy) from None
    mapping = mapping if items is None else with_items(mapping, Path(items))
    return None if mapping == LabelMapping() else mapping


@contextmanager
def _staging(
    project: Project, detected: Detected, *, path: Path | str, source: str = "", split: str | None = None, progress: Progress | None = None
) -> Iterator[Staging]:
    with staged(project, detected, path=path, source=source, split=split, progress=progress) as staging:
        yield staging
        staging.store()
