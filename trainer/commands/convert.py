"""Command: write a file of solutions in another format."""

import argparse
import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from trainer.answers import Grader
from trainer.counting import counted
from trainer.files import check_output_file, write_file
from trainer.formats import MARK, BadFile, BadLine, LabelMapping, read_mapping, with_items
from trainer.lines import BadInput, SolutionLine, add_format_option, progress_bar, read_solution_lines, say_on_stderr
from trainer.progress import ProgressUpdate
from trainer.writers import marked_text, numbered_steps, turns

Row = dict[str, Any]
Loss = tuple[str, str]  # what a format cannot hold: said of one solution, and of several
_RIGHT = {"correct": True, "wrong": False}
SHOWN_EVERY = 500  # solutions
ROWS_AT_ONCE = 1_000  # of a Parquet file


class Target(NamedTuple):
    """A format that can be written: its columns with their Arrow types, and the row of a solution. The counter names what a row lacks."""

    columns: dict[str, str]
    row: Callable[[SolutionLine, Counter[Loss]], Row | None]
    needs_right: bool = False  # whether the final answer is right: stated by the file, or graded


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `convert`."""
    parser = commands.add_parser("convert", help="write a file of solutions in another format")
    parser.add_argument("input", type=Path, help="a file of solutions in any format of docs/formats.md")
    parser.add_argument("out", type=Path, help="new file; its name ends in .jsonl, .json, .csv or .parquet, or in one of these and .gz")
    parser.add_argument("--to", required=True, choices=list(TARGETS), help="the format to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the new file if it exists")
    add_format_option(parser, "the input")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what a field or value of Label Studio or Potato means, such as steps=chain or bad=Flawed; repeatable",
    )
    parser.add_argument("--items", type=Path, help="the items that Potato showed, for its files that have labels only")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Write every solution of the input that the format can hold, and say what it cannot hold."""
    check_output_file(options.out, overwrite=options.overwrite, inputs=[options.input])
    target, lost = TARGETS[options.to], Counter[Loss]()
    mapping = _mapping(options)
    n_read = n_written = 0
    with progress_bar() as progress, Grader() as grader, _writer(options.out, target.columns, overwrite=options.overwrite) as write:
        for line in read_solution_lines(options.input, format=options.format, mapping=mapping, say=say_on_stderr):
            n_read += 1
            if target.needs_right and line.right is None:
                (given,) = grader.grade_answers([(line.answer, line.reference_answer)])
                line = replace(line, right=_RIGHT.get(given.outcome))
            if (row := target.row(line, lost)) is not None:
                write(row)
                n_written += 1
            if n_read % SHOWN_EVERY == 0:
                progress(ProgressUpdate("converting", n_read, None))
        if not n_written:
            raise BadInput(
                f"{options.input}: it has {counted(n_read, 'solution')}, and none can be written as {options.to}. "
                f"{_in_words(lost)}".rstrip()
            )
    say_on_stderr(f"{options.out}: {n_written:,} of {counted(n_read, 'solution')}. {_in_words(lost)}".rstrip())


def _mapping(options: argparse.Namespace) -> LabelMapping:
    """Return what the options say of the labels of another tool. Raises BadInput."""
    try:
        mapping = read_mapping(options.map)
        return mapping if options.items is None else with_items(mapping, options.items)
    except (BadLine, BadFile) as bad:
        raise BadInput(str(bad)) from None


def _solutions(words: str) -> tuple[str, str]:
    """Return what is said of one solution and of several. The verb comes first, in both forms: "is|are left out"."""
    verbs, rest = words.split(" ", 1)
    one, several = verbs.split("|")
    return f"solution {one} {rest}", f"solutions {several} {rest}"


def _in_words(lost: Counter[Loss]) -> str:
    return " ".join(f"{counted(count, *what)}." for what, count in lost.most_common() if count)


# --- formats ------------------------------------------------------------------------------------------------------------------


def _own_row(line: SolutionLine, lost: Counter[Loss]) -> Row:
    labeled, solution = line.labeled, line.labeled.solution
    row: Row = {"key": solution.key, "problem_key": solution.problem_key, "problem": solution.problem, "steps": list(solution.steps)}
    row["ratings"] = list(labeled.ratings[: _n_rated(line)])
    row["alternatives"] = [{"step_index": a.step_index, "text": a.text, "rating": a.rating} for a in labeled.alternatives]
    row |= {"soft": None if labeled.soft is None else [p and list(p) for p in labeled.soft], "right": line.right, "answer": line.answer}
    if line.reference_answer is not None:
        lost[("reference answer has no place in this format", "reference answers have no place in this format")] += 1
    return row | {"subject": line.subject, "source": line.source}


def _generic_row(line: SolutionLine, lost: Counter[Loss]) -> Row:
    labeled, solution, problem = line.labeled, line.labeled.solution, line.problem
    ratings = [*labeled.ratings[: _n_rated(line)], *[None] * len(solution.steps)]
    if labeled.alternatives:
        lost[_solutions("has|have rated alternatives, which have no place in this format")] += 1
    if labeled.soft is not None:
        lost[_solutions("has|have soft labels, which have no place in this format")] += 1
    if line.right is not None:
        lost[
            (
                "grade (right) has no place in this format: the site grades the answers itself",
                "grades (right) have no place in this format: the site grades the answers itself",
            )
        ] += 1
    return {
        "problem": solution.problem,
        "answer": line.reference_answer,
        "reference_solution": problem and problem.reference_solution,
        "id": problem and problem.external_id,
        "subject": line.subject,
        "level": (problem and problem.level) or None,
        "split": problem and problem.split,
        "source": line.source,
        "steps": [{"text": text, "rating": rating} for text, rating in zip(solution.steps, ratings, strict=False)],
    }


def _trl_row(line: SolutionLine, lost: Counter[Loss]) -> Row | None:
    solution = line.labeled.solution
    if (ratings := _whole_ratings(line, lost)) is None:
        return None
    lost[_solutions("loses|lose the steps after the last rating")] += len(ratings) < len(solution.steps)
    labels = [rating != -1 for rating in ratings]
    return {"prompt": solution.problem, "completions": list(solution.steps[: len(ratings)]), "labels": labels}


def _processbench_row(line: SolutionLine, lost: Counter[Loss]) -> Row | None:
    solution = line.labeled.solution
    ratings = _whole_ratings(line, lost)
    if ratings is None:
        return None
    mistake = line.labeled.first_mistake
    if mistake is None and len(ratings) < len(solution.steps):
        lost[_solutions("is|are left out: the labels stop before the end without a mistake")] += 1
        return None
    if line.right is None:
        lost[_solutions("is|are left out: it is not certain whether the answer is right")] += 1
        return None
    return {
        "id": solution.key,
        "generator": line.source,
        "problem": solution.problem,
        "steps": list(solution.steps),
        "final_answer_correct": line.right,
        "label": -1 if mistake is None else mistake,
    }


def _math_shepherd_row(line: SolutionLine, lost: Counter[Loss]) -> Row | None:
    ratings = _whole_ratings(line, lost)
    if ratings is None:
        return None
    if (steps := _numbered(line, len(ratings), lost)) is None:
        return None
    if any(MARK in text for text in (line.labeled.solution.problem, *steps)):
        lost[_solutions(f"is|are left out: the text holds the mark {MARK}")] += 1
        return None
    problem, signs = line.labeled.solution.problem, ["-" if rating == -1 else "+" for rating in ratings]
    return {"input": marked_text(problem, steps, [MARK] * len(steps)), "label": marked_text(problem, steps, signs)}


def _rlhflow_row(line: SolutionLine, lost: Counter[Loss]) -> Row | None:
    ratings = _whole_ratings(line, lost)
    if ratings is None:
        return None
    if (steps := _numbered(line, len(ratings), lost)) is None:
        return None
    return {"conversations": turns(line.labeled.solution.problem, steps, [rating != -1 for rating in ratings])}


def _whole_ratings(line: SolutionLine, lost: Counter[Loss]) -> Sequence[int] | None:
    """Return the ratings up to the first mistake or the last rating, for a format that has only right and wrong; None if one is missing."""
    labeled = line.labeled
    ratings = labeled.ratings[: _n_rated(line)]
    if not ratings:
        lost[_solutions("is|are left out: there are no ratings")] += 1
        return None
    whole = [rating for rating in ratings if rating is not None]
    if len(whole) < len(ratings):
        lost[_solutions("is|are left out: a step before the end of the labels has no rating")] += 1
        return None
    lost[_solutions("has|have neutral steps, which count as right")] += 0 in ratings
    lost[_solutions("has|have rated alternatives, which have no place in this format")] += bool(labeled.alternatives)
    return whole


def _numbered(line: SolutionLine, count: int, lost: Counter[Loss]) -> list[str] | None:
    """Return the rated steps with their numbers, or None if nobody could part the problem from the first one."""
    statement, own = line.labeled.solution.problem, line.labeled.solution.steps[:count]
    if (steps := numbered_steps(statement, own)) is None:
        lost[_solutions("is|are left out: `Step 1:` occurs inside of the first step")] += 1
        return None
    lost[_solutions("loses|lose the white space around the texts")] += any(text != text.strip() for text in (statement, *own))
    lost[_solutions("loses|lose the steps after the last rating")] += count < len(line.labeled.solution.steps)
    lost[_solutions("gets|get a number before each step (`Step 1:`), which this format needs")] += steps[0] != own[0].strip()
    return steps


def _n_rated(line: SolutionLine) -> int:
    """Return how many steps the labels cover: up to the first mistake, or to the last rating."""
    ratings = line.labeled.ratings
    end = len(ratings) if line.labeled.first_mistake is None else line.labeled.first_mistake + 1
    return max((at + 1 for at, rating in enumerate(ratings[:end]) if rating is not None), default=0)


TARGETS = {
    "trainer": Target(
        {
            **dict.fromkeys(("key", "problem_key", "problem"), "text"),
            "steps": "texts",
            "ratings": "ratings",
            "alternatives": "alternatives",
            "soft": "soft",
            "right": "flag",
            **dict.fromkeys(("answer", "subject", "source"), "text"),
        },
        _own_row,
    ),
    "generic": Target(
        {
            **dict.fromkeys(("problem", "answer", "reference_solution", "id", "subject", "level", "split", "source"), "text"),
            "steps": "rated_steps",
        },
        _generic_row,
    ),
    "trl": Target({"prompt": "text", "completions": "texts", "labels": "flags"}, _trl_row),
    "processbench": Target(
        {
            **dict.fromkeys(("id", "generator", "problem"), "text"),
            "steps": "texts",
            "final_answer_correct": "flag",
            "label": "number",
        },
        _processbench_row,
        needs_right=True,
    ),
    "math_shepherd": Target({"input": "text", "label": "text"}, _math_shepherd_row),
    "rlhflow": Target({"conversations": "turns"}, _rlhflow_row),
}


# --- files --------------------------------------------------------------------------------------------------------------------


@contextmanager
def _writer(path: Path, columns: dict[str, str], *, overwrite: bool) -> Iterator[Callable[[Row], None]]:
    """Give the function that writes one row. The file appears only when it is complete."""
    name = path.name.lower()
    kind = Path(name.removesuffix(".gz")).suffix
    if kind not in _KINDS:
        raise BadInput(f"{path}: the name does not say what to write. Let it end in .jsonl, .json, .csv or .parquet, or in one and .gz.")
    with write_file(path, overwrite=overwrite) as raw:
        if name.endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed, _KINDS[kind](cast(BinaryIO, packed), columns) as write:
                yield write
        else:
            with _KINDS[kind](cast(BinaryIO, raw), columns) as write:
                yield write


@contextmanager
def _json_writer(raw: BinaryIO, columns: dict[str, str]) -> Iterator[Callable[[Row], None]]:
    text = TextIOWrapper(raw, encoding="utf-8", newline="\n")
    yield lambda row: print(json.dumps({key: value for key, value in row.items() if value is not None}, ensure_ascii=False), file=text)
    text.flush()
    text.detach()


@contextmanager
def _csv_writer(raw: BinaryIO, columns: dict[str, str]) -> Iterator[Callable[[Row], None]]:
    text = TextIOWrapper(raw, encoding="utf-8", newline="")
    table = csv.DictWriter(text, list(columns))
    table.writeheader()

    def cell(value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list | bool) else value

    yield lambda row: table.writerow({key: cell(value) for key, value in row.items()})
    text.flush()
    text.detach()


@contextmanager
def _parquet_writer(raw: BinaryIO, columns: dict[str, str]) -> Iterator[Callable[[Row], None]]:
    import pyarrow as pa
    from pyarrow import parquet

    alternative = pa.struct([("step_index", pa.int32()), ("text", pa.string()), ("rating", pa.int8())])
    types = {
        "text": pa.string(),
        "flag": pa.bool_(),
        "number": pa.int32(),
        "turns": pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
        "texts": pa.list_(pa.string()),
        "flags": pa.list_(pa.bool_()),
        "ratings": pa.list_(pa.int8()),
        "soft": pa.list_(pa.list_(pa.float64())),
        "alternatives": pa.list_(alternative),
        "rated_steps": pa.list_(pa.struct([("text", pa.string()), ("rating", pa.int8())])),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    waiting: list[Row] = []
    with parquet.ParquetWriter(raw, schema) as table:

        def flush() -> None:
            table.write_table(pa.Table.from_pylist(waiting, schema))
            waiting.clear()

        def write(row: Row) -> None:
            waiting.append(row)
            if len(waiting) >= ROWS_AT_ONCE:
                flush()

        yield write
        flush()


_KINDS = {".jsonl": _json_writer, ".json": _json_writer, ".csv": _csv_writer, ".parquet": _parquet_writer}
