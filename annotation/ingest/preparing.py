"""Stage: ingest, the rows of the temporary tables. Pure: reads lines or values, and returns rows as COPY reads them (its binary form).

It is also the program of the processes that prepare a large file together (preparers.py). So it imports no Django and nothing of the
site, and is run by its path.
"""

import gc
import hashlib
import hmac
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple
from uuid import UUID, uuid5

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[2]))  # last, so that no module here hides one of the standard library

import msgpack
import orjson

from trainer.answers import stated_answer
from trainer.formats import (
    FORMATS,
    BadFile,
    BadLine,
    Block,
    Cell,
    Detected,
    Fields,
    LabelMapping,
    NewAnnotation,
    NewProblem,
    NewSolution,
    Numeral,
    check_problem,
    check_solution,
    cut_solution,
    objects_in,
    place_in_words,
    refuse_unread_labels,
    unused_keys,
)
from trainer.statements import without_blanks
from trainer.steps import RuleChoice, StepFigures

PROGRAM = __file__
FILE_LABELERS = UUID("6f1d5f0e-2c0b-4c5e-9a55-7f6c3a0f9b11")  # namespace of ids for what a file does not name
_NO_PATH = Path("file")
PER_BLOCK = 1 << 21  # numbers of solutions that a block has for itself: a line has at most 5 MB, and a solution more than 2 bytes
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of PostgreSQL


class ReadingOptions(NamedTuple):
    """How the lines of one load are read. `choice` is the rule that cuts texts; None: no text is expected.

    `mapping` says what fields of other tools mean. `person_key` is a secret of the site and project, from which pseudonyms are made.
    """

    project: int
    detected: Detected
    source: str
    split: str | None
    are_labels_gold: bool
    kinds: tuple[str, str]  # of batches of imported labels: ordinary, and gold
    choice: RuleChoice | None
    mapping: LabelMapping | None
    person_key: bytes


class WrongLine(NamedTuple):
    """A line that cannot be loaded. `is_text`: it has a text, and there is no rule to cut it."""

    line: int
    reason: str
    remedy: str
    is_text: bool = False


@dataclass(slots=True)
class Tally:
    """What was counted of some lines."""

    lines: int = 0
    solutions: int = 0
    alternatives: int = 0
    annotations: int = 0
    gold: int = 0
    are_texts_cut: bool = False
    steps: StepFigures = field(default_factory=StepFigures)
    unused: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    labelers: set[UUID] = field(default_factory=set)

    def count(self, solution: NewSolution, *, text: str | None, line: int) -> None:
        """Count a solution with its steps, and the `text` that they were cut from, as it stands in the file."""
        self.steps.add(solution.steps, text=text, place=place_in_words(line))
        self.solutions += 1
        self.alternatives += len(solution.alternatives)
        self.are_texts_cut |= text is not None
        if solution.left_out:
            self.left_out.update(solution.left_out)
        if solution.right is not None:  # the site grades by itself, so that a correction can grade again
            self.left_out["recorded grades of the final answer"] += 1


class Prepared(NamedTuple):
    """The rows of some lines by their table, the problems apart: each with 16 bytes that tell it from others."""

    problems: list[tuple[bytes, bytes]]
    rows: dict[str, bytes]
    tally: Tally
    fault: WrongLine | None = None


class TextMeans(BadLine):
    """A solution is a text, and no rule was chosen."""

    def __init__(self) -> None:
        super().__init__("the solution is a text", "Choose a rule that cuts it")


class Rows:
    """Collects the rows of lines or values. `take` gives them away."""

    def __init__(self, options: ReadingOptions) -> None:
        self.options, self.sequence = options, 0
        self._begin()

    def _begin(self) -> None:
        self.problems: list[tuple[bytes, bytes]] = []
        self.rows: dict[str, list[bytes]] = {}
        self.tally = Tally()
        self.last_problem: tuple[NewProblem, str] | None = None
        self.size = 0

    def take(self, fault: WrongLine | None = None) -> Prepared:
        """Return what was collected, and begin anew."""
        taken = Prepared(self.problems, {table: b"".join(rows) for table, rows in self.rows.items()}, self.tally, fault)
        self._begin()
        return taken

    def read(self, number: int, block: Block) -> Prepared:
        """Return the rows of a block of lines, the n-th of its file, up to the first line that cannot be loaded."""
        format_ = FORMATS[self.options.detected.name].mapped(self.options.mapping or LabelMapping())
        self.sequence, line = number * PER_BLOCK, block.first
        is_cautious = self.options.detected.name == "generic"
        assert format_.solutions is not None
        try:
            for line, fields in objects_in(block, _NO_PATH):
                self.tally.lines += 1
                if is_cautious:
                    refuse_unread_labels(fields, self.options.detected)
                for solution in format_.solutions(fields):
                    self.add_solution(solution, line=line)
                if unused := unused_keys(fields):
                    self.tally.unused.update(unused)
        except BadFile as bad:
            return self.take(WrongLine(bad.line or line, bad.reason, bad.remedy))
        except BadLine as bad:
            return self.take(WrongLine(line, bad.reason, bad.remedy, isinstance(bad, TextMeans)))
        return self.take()

    def add_problem(self, problem: NewProblem, *, line: int) -> str:
        """Add a problem; return the key that its solutions refer to. Raises BadLine."""
        if self.last_problem and self.last_problem[0] == problem:
            return self.last_problem[1]
        check_problem(problem)
        key = f"id:{problem.external_id}" if problem.external_id is not None else f"sha256:{_key_of(problem.statement)}"
        row = (
            key,
            problem.external_id,
            problem.external_id or hashlib.sha256(problem.statement.encode()).hexdigest()[:16],
            problem.statement,
            problem.reference_solution,
            problem.answer,
            problem.subject,
            problem.level,
            self.options.split or problem.split,
        )
        self.problems.append((hashlib.sha256(repr(row).encode()).digest()[:16], b"".join((_PROBLEM(10, 4, line), *map(_text, row)))))
        self.last_problem = (problem, key)
        return key

    def add_solution(self, solution: NewSolution, *, line: int) -> None:
        """Add a solution with its problem and its labels. A text is cut by the rule. Raises BadLine."""
        text, tally = solution.text, self.tally
        if text is not None:
            if self.options.choice is None:
                raise TextMeans
            solution = cut_solution(solution, by=self.options.choice.rule)
        check_solution(solution)
        tally.count(solution, text=text, line=line)
        key, steps = self.add_problem(solution.problem, line=line), orjson.dumps(solution.steps)
        self.sequence += 1
        is_answer_given = solution.final_answer is not None
        answer = solution.final_answer if is_answer_given else stated_answer(solution.steps)
        self._add(
            "incoming_solution",
            _SOLUTION(8, 8, self.sequence, 4, line),
            _text(key),
            _DIGEST,
            hashlib.sha256(steps).digest(),
            _LENGTH(len(steps) + 1),
            b"\1",
            steps,
            _text(answer),
            _BOOL[is_answer_given],
            _text(solution.source or self.options.source),
        )
        for place, alternative in enumerate(solution.alternatives):
            self._add(
                "incoming_alternative", _ALTERNATIVE(4, 8, self.sequence, 4, alternative.step_index, 4, place), _text(alternative.text)
            )
        if solution.annotation and self.options.are_labels_gold:
            self._add_gold(solution.annotation, line)
        elif solution.annotation:
            self._add_annotation(solution.annotation)

    def _add_gold(self, new: NewAnnotation, line: int) -> None:
        if new.finish_reason not in ("solution", "found_error"):
            self.tally.left_out["labels without a verdict (given up, bad problem)"] += 1
            return
        mistake = next((label.step_index for label in new.labels if label.rating == -1 and label.text is None), None)
        if mistake is None and new.finish_reason == "found_error":
            self.tally.left_out["labels that end at a mistake but do not say which step it is"] += 1
            return
        self.tally.gold += 1
        self._add("incoming_gold", _GOLD(3, 8, self.sequence, 4, line), _small(mistake))

    def _add_annotation(self, new: NewAnnotation) -> None:
        body, tally = hashlib.sha256(new.canonical).digest(), self.tally
        if labeler := new.labeler or self._pseudonym_of(new.person):
            tally.labelers.add(labeler)
        tally.annotations += 1
        self._add(
            "incoming_annotation",
            _ANNOTATION(12, 8, self.sequence),
            _UUID,
            submission_id(self.options.project, body, 1).bytes,  # of a line that stands in the file again, staging.py changes it
            _DIGEST,
            body,
            _NULL if labeler is None else _UUID + labeler.bytes,
            _small(new.generation),
            _text(self.options.kinds[new.is_gold]),
            _text(new.finish_reason),
            _text(new.reason),
            _whole(new.total_ms),
            _NULL if new.verifier_score is None else _FLOAT(8, new.verifier_score),
            _NULL if new.created_at is None else _moment(new.created_at.replace(tzinfo=UTC)),
            _json(new.question),
        )
        nth: dict[tuple[int, str | None, bool], int] = {}
        parts: list[bytes] = []
        for label in new.labels:
            text = (label.step_index, label.text, label.by_labeler)
            nth[text] = number = nth.get(text, 0) + 1
            parts += (
                _LABEL(9, 8, self.sequence, 4, label.step_index),
                _text(label.text),
                _BOOL[label.by_labeler],
                _INT(4, number),
                _RATING[label.rating],
                _BOOL[label.flagged],
                _BOOL[label.chosen],
                _whole(label.shown_at),
            )
        if parts:
            self._add("incoming_label", *parts)

    def _pseudonym_of(self, person: str) -> UUID | None:
        """Return the pseudonym of a person whom another tool names: the same in each file of the project, and told by nobody without the
        secret of this site, as names and addresses can be guessed.
        """
        return (
            UUID(bytes=hmac.digest(self.options.person_key, person.encode(errors="surrogatepass"), "sha256")[:16], version=4)
            if person
            else None
        )

    def _add(self, table: str, *parts: bytes) -> None:
        row = b"".join(parts)
        self.size += len(row)
        try:
            self.rows[table].append(row)
        except KeyError:
            self.rows[table] = [row]


def digest(steps: Sequence[str]) -> bytes:
    """Return the sha256 (32 bytes) of the steps as JSON. Two solutions of one problem with the same digest are the same."""
    return hashlib.sha256(orjson.dumps(list(steps))).digest()


def submission_id(project: int, body: bytes, occurrence: int) -> UUID:
    """Return the id of an annotation of a file. Twice in a file means two sittings, in this load and in the next."""
    return uuid5(FILE_LABELERS, f"{project} {body.hex()} {occurrence}")


# --- a row in the binary form of COPY: the number of its columns, then the length of each value and its bytes --------------

_NULL = struct.pack(">i", -1)
_LENGTH = struct.Struct(">i").pack
_DIGEST, _UUID = _LENGTH(32), _LENGTH(16)
_PROBLEM = struct.Struct(">hii").pack
_SOLUTION = _GOLD = struct.Struct(">hiqii").pack
_ALTERNATIVE = struct.Struct(">hiqiiii").pack
_ANNOTATION = struct.Struct(">hiq").pack
_LABEL = struct.Struct(">hiqii").pack
_INT, _SHORT, _MOMENT, _FLOAT = (struct.Struct(form).pack for form in (">ii", ">ih", ">iq", ">id"))
_RATING: dict[int | None, bytes] = {None: _NULL, **{rating: _SHORT(2, rating) for rating in (-1, 0, 1)}}
_BOOL: dict[bool | None, bytes] = {None: _NULL, False: b"\0\0\0\1\0", True: b"\0\0\0\1\1"}


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    content = value.encode()
    return _LENGTH(len(content)) + content


def _whole(value: int | None) -> bytes:
    return _NULL if value is None else _INT(4, value)


def _small(value: int | None) -> bytes:
    return _NULL if value is None else _SHORT(2, value)


def _json(value: object) -> bytes:
    content = orjson.dumps(value)
    return _LENGTH(len(content) + 1) + b"\1" + content


def _moment(value: datetime) -> bytes:
    passed = value - _EPOCH
    return _MOMENT(8, (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds)


def _key_of(statement: str) -> str:
    return hashlib.sha256(without_blanks(statement).encode()).hexdigest()


# --- the program of a process that prepares blocks, and what it exchanges with the load ------------------------------------
#
# As MessagePack, which holds values and no code. Before each message stands its length.

_SIZE = struct.Struct(">Q")
_CELL, _NUMERAL = 1, 2  # types of the items of another tool, which MessagePack does not have
_SURROGATES = "surrogatepass"  # JSON can hold half of a pair


def send(message: bytes, outgoing: IO[bytes]) -> None:
    """Write a message to the other process. Raises OSError if it has ended."""
    outgoing.write(_SIZE.pack(len(message)))
    outgoing.write(message)
    outgoing.flush()


def received(incoming: IO[bytes]) -> bytes:
    """Return the next message of the other process. Raises EOFError if it has ended, also in the middle of a message."""
    if len(head := incoming.read(_SIZE.size)) < _SIZE.size:
        raise EOFError("the process has ended")
    (size,) = _SIZE.unpack(head)
    try:
        message = incoming.read(size)
    except (MemoryError, OverflowError):
        raise EOFError(f"{size:,} bytes are no length of a message") from None
    if len(message) < size:
        raise EOFError("the process has ended in the middle of a message")
    return message


def pack_options(options: ReadingOptions) -> bytes:
    """Return options as a message."""
    mapping = options.mapping and {name: getattr(options.mapping, name) for name in LabelMapping.__slots__}
    values = options._replace(mapping=None)._asdict() | {"mapping": mapping}
    return bytes(msgpack.packb(values, default=_as_plain, strict_types=True, unicode_errors=_SURROGATES))


def unpack_options(message: bytes) -> ReadingOptions:
    """Return the options of a message."""
    values = msgpack.unpackb(message, object_hook=Fields, ext_hook=_of_item, unicode_errors=_SURROGATES)
    return ReadingOptions(
        **values
        | {
            "detected": Detected(*values["detected"]),
            "kinds": tuple(values["kinds"]),
            "choice": values["choice"] and RuleChoice(*values["choice"]),
            "mapping": values["mapping"] and LabelMapping(**values["mapping"]),
        }
    )


def _as_plain(value: object) -> Any:
    match value:
        case Fields():
            return dict(value)
        case tuple():
            return list(value)
        case Cell():
            return msgpack.ExtType(_CELL, value.encode(errors=_SURROGATES))
        case Numeral():
            return msgpack.ExtType(_NUMERAL, value.text.encode())
    raise TypeError(f"{type(value).__name__} is no value of a message")


def _of_item(code: int, content: bytes) -> Cell | Numeral:
    return Cell(content.decode(errors=_SURROGATES)) if code == _CELL else Numeral(content.decode())


def pack_block(number: int, block: Block) -> bytes:
    """Return a block with its number as a message."""
    return bytes(msgpack.packb((number, *block)))


def pack_prepared(prepared: Prepared) -> bytes:
    """Return the rows of a block, and what was counted, as a message."""
    tally = {name: getattr(prepared.tally, name) for name in Tally.__slots__}
    tally["steps"] = {name: getattr(prepared.tally.steps, name) for name in StepFigures.__slots__}
    tally["labelers"] = [labeler.bytes for labeler in prepared.tally.labelers]
    return bytes(msgpack.packb((prepared.problems, prepared.rows, tally, prepared.fault), unicode_errors=_SURROGATES))


def unpack_prepared(message: bytes) -> Prepared:
    """Return what `pack_prepared` was given. Raises ValueError, TypeError, KeyError or AttributeError for any other message."""
    values = msgpack.unpackb(message, use_list=False, strict_map_key=False, unicode_errors=_SURROGATES)
    problems, rows, tally, fault = values
    steps = tally["steps"]
    steps |= {name: Counter(steps[name]) for name in ("counts", "lengths")}
    tally |= {name: Counter(tally[name]) for name in ("unused", "left_out")}
    tally |= {"steps": StepFigures(**steps), "labelers": {UUID(bytes=labeler) for labeler in tally["labelers"]}}
    return Prepared(list(problems), dict(rows), Tally(**tally), fault and WrongLine(*fault))


def _prepare_blocks() -> None:
    """Read the options, then blocks with their numbers, from the process above this one, and write the rows of each."""
    gc.set_threshold(200_000)  # the values of a block refer to each other in no circle
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    try:
        rows = Rows(unpack_options(received(incoming)))
        while True:
            number, *block = msgpack.unpackb(received(incoming))
            send(pack_prepared(rows.read(number, Block(*block))), outgoing)
    except EOFError:  # the load has ended, or was killed
        return


if __name__ == "__main__":
    _prepare_blocks()
