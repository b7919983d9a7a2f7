"""A task of another labeling tool: its data become a problem with a solution, and what one person answered becomes an annotation."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trainer.counting import counted
from trainer.formats.fields import as_object, read_optional, read_split, read_texts
from trainer.formats.mapping import ANSWERS, IDS, PROBLEMS, SOURCES, STEPS, TEXTS, LabelMapping
from trainer.formats.objects import Cell, Fields, type_in_words, use_keys
from trainer.formats.ratings import canonical_bytes, rate_path
from trainer.formats.values import AFTER_MISTAKE, BadLine, Finish, NewAnnotation, NewProblem, NewSolution, in_words

NUMBERED = re.compile(r"(?P<stem>.*?)[_\-. ]*(?P<number>\d{1,4})(?P<end>\D*)")
FIRST_MISTAKE = re.compile(r"(?:first|1st).*(?:error|mistake|wrong|incorrect)|(?:error|mistake)_(?:step|index|position)", re.IGNORECASE)
CUT_SHORT = "the ratings end before the solution does"
_STEP_TEXTS = ("text", "content", "step", "action", "value")
_STEP_KEYS = {key: frozenset({key, "author", "speaker", "index", "turn_id"}) for key in _STEP_TEXTS}
_STEP_NAMES = re.compile(r"(?:solution[_\- ]?|reasoning[_\- ]?)?(?:step|line|sentence)s?(?:[_\- ]?text)?", re.IGNORECASE)


@dataclass(slots=True)
class ShownTask:
    """What a task shows: a problem and a solution, as steps or as one text. `starts_at`: the number of the first step, if known."""

    problem: NewProblem
    steps: tuple[str, ...]
    text: str | None
    source: str
    starts_at: int | None = None

    def index_of(self, number: int, numbers: Sequence[int], mapping: LabelMapping) -> int:
        """Return the index of a step by the number in the name of its control, one of `numbers`. Raises BadLine if there is none."""
        first = mapping.counts_from if mapping.counts_from is not None else self.starts_at
        return self.check(number, 0 if first is None and 0 in numbers else 1 if first is None else first)

    def check(self, number: int, first: int = 0) -> int:
        """Return the index of a step by its number, counted from `first`. Raises BadLine if there is none."""
        if (index := number - first) < 0 or (self.text is None and index >= len(self.steps)):
            raise BadLine(
                f"step {number} is rated, but the solution has {counted(len(self.steps), 'step')}, numbered from {first}",
                "Say where the numbers begin with --map counts_from=0 or --map counts_from=1",
            )
        return index


@dataclass(slots=True)
class Answers:
    """What one person answered about one task."""

    ratings: dict[int, int | None] = field(default_factory=dict)
    finish: Finish | None = None
    unread: set[str] = field(default_factory=set)  # what the person answered and nobody reads, in words

    def rate(self, index: int, rating: int | None, place: str) -> None:
        """Note the rating of a step. Raises BadLine if the step has another one."""
        if self.ratings.setdefault(index, rating) != rating:
            raise BadLine(
                f"step {index + 1} has two ratings, one of them in {place}", "Name the ratings that count with --map ratings=NAME"
            )

    def end_at(self, mistake: int | None, task: ShownTask, place: str) -> None:
        """Note the first mistake, from 0: the steps before it are good. None: all are. Raises BadLine if there is no such step."""
        if task.text is not None and mistake is None:
            raise BadLine(
                f"{place} says that there is no mistake, but not how many steps there are", "Give the solution as a list of steps"
            )
        if mistake is not None and not (mistake >= 0 and (task.text is not None or mistake < len(task.steps))):
            raise BadLine(
                f"{place} names step {mistake + 1}, but the solution has {counted(len(task.steps), 'step')}",
                "Name a step of the solution, and say where the numbers begin with --map counts_from=0 or --map counts_from=1",
            )
        for index in range(len(task.steps) if mistake is None else mistake):
            self.rate(index, 1, place)
        if mistake is not None:
            self.rate(mistake, -1, place)


def read_task(data: Fields, mapping: LabelMapping, *, name: str) -> ShownTask:
    """Return what the data of a task show. `name` says in a sentence where these fields stand. Raises BadLine for what is not there."""
    statement = _first(data, mapping.names("problem", PROBLEMS), _is_text)
    if statement is None:
        raise BadLine(f"{name} have no problem ({_keys(data)})", "Name its field with --map problem=FIELD")
    problem = NewProblem(
        data[statement],
        _optional(data, mapping.names("answer", ANSWERS)),
        external_id=_optional(data, mapping.names("id", IDS)),
        subject=read_optional(data, "subject") or "",
        level=read_optional(data, "level") or "",
        split=read_split(data, "split") if data.get("split") else "train",
    )
    source = _optional(data, mapping.names("source", SOURCES)) or ""
    if (listed := _first(data, mapping.names("steps", STEPS), _is_steps)) is not None:
        return ShownTask(problem, tuple(_texts(data, listed)), None, source)
    if "steps" not in mapping.fields and (numbered := _numbered_steps(data)):
        starts_at = min(numbered)
        if sorted(numbered) != list(range(starts_at, starts_at + len(numbered))) or starts_at > 1:
            raise BadLine(f"{name} have the steps {', '.join(map(str, sorted(numbered)))}", "Number the steps one after the other")
        return ShownTask(problem, tuple(data[numbered[number]] for number in sorted(numbered)), None, source, starts_at)
    if (whole := _first(data, mapping.names("steps", TEXTS), _is_text)) is not None:
        return ShownTask(problem, (), data[whole], source)
    raise BadLine(
        f"{name} have no steps ({_keys(data)})", "Name the field with the list of steps, or with the text, with --map steps=FIELD"
    )


def _first(data: Fields, names: Sequence[str], fits: Callable[[object], bool]) -> str | None:
    for name in names:
        if (value := dict.get(data, name)) is not None and fits(value):
            return name
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_value(value: object) -> bool:
    return not isinstance(value, bool | list | dict)


def _optional(data: Fields, names: Sequence[str]) -> str | None:
    """Return the text or number of the first field that has one. A list or an object under a usual name is left for the report."""
    name = _first(data, names, _is_value)
    return None if name is None else read_optional(data, name)


def _keys(data: Fields) -> str:
    return f"fields: {', '.join(map(repr, list(data)[:12])) or 'none'}"


def _is_steps(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, Cell) and value.startswith("["))


def _texts(data: Fields, name: str) -> list[str]:
    """Return the texts of a list of texts, or of objects that have a text each, as Label Studio's Paragraphs are."""
    if not isinstance(dict.get(data, name), list) or not data[name] or isinstance(data[name][0], str):
        return read_texts(data, name)
    texts = []
    for number, item in enumerate(data[name], 1):
        step = item if type(item) is Fields else as_object(item, f"step {number}")
        if (key := _first(step, _STEP_TEXTS, _is_text)) is None:
            held = next((type_in_words(dict.get(step, key)) for key in _STEP_TEXTS if key in step), "missing")
            raise BadLine(f"the text of step {number} is {held}", f"Give each step a text under {' or '.join(_STEP_TEXTS)}")
        use_keys(step, _STEP_KEYS[key])
        texts.append(dict.__getitem__(step, key))
    return texts


def _numbered_steps(data: Fields) -> dict[int, str]:
    """Return the fields that hold one step each: `step_1`, `step_2` .. by their numbers."""
    found = {}
    for name, value in dict.items(data):
        numbered = NUMBERED.fullmatch(name)
        if numbered and isinstance(value, str) and _STEP_NAMES.fullmatch(numbered["stem"]) and numbered["end"].lower() in ("", "_text"):
            found[int(numbered["number"])] = name
    return found


def annotate(
    task: ShownTask,
    answers: Answers,
    mapping: LabelMapping,
    *,
    person: str,
    identity: str,
    created_at: datetime | None = None,
    seconds: float | None = None,
    is_gold: bool = False,
) -> NewSolution:
    """Return the solution of a task with the annotation of a person, whom the other tool calls `person`. `identity` names the annotation.

    Ratings after the first mistake are left out. Without a finish, a mistake or a rating of all steps says how it ended.
    """
    n_steps = len(task.steps) if task.text is None else max(answers.ratings, default=-1) + 1
    ratings = list(map(answers.ratings.get, range(n_steps)))
    if mapping.missing is not None:
        ratings = [mapping.missing if rating is None else rating for rating in ratings]
    mistake = ratings.index(-1) if -1 in ratings else len(ratings)
    used, later = ratings[: mistake + 1], ratings[mistake + 1 :]
    left_out = sorted(answers.unread)
    if later and any(answers.ratings.get(index) is not None for index in range(mistake + 1, len(ratings))):
        left_out.append(AFTER_MISTAKE)
    if answers.finish is None and used.count(None) == len(used):
        left_out.append("annotations without a rating of a step")
        return NewSolution(task.problem, task.steps, source=task.source, text=task.text, left_out=tuple(left_out))
    rated = rate_path(Fields(), used, [None] * len(used))
    finish = rated.finish_reason if answers.finish is None else answers.finish
    milliseconds = None if seconds is None else round(seconds * 1_000)
    annotation = NewAnnotation(
        labels=rated.labels,
        finish_reason=finish,
        # Not the whole line: an export of the next day has other counts and times, and the same labels are not new then.
        canonical=canonical_bytes([identity, person, task.problem.statement, task.steps or task.text, used, finish]),
        person=person,
        created_at=created_at,
        is_gold=is_gold,
        reason=CUT_SHORT if answers.finish is None and finish == "give_up" else "",
        total_ms=milliseconds if milliseconds is not None and 0 <= milliseconds < 2**31 else None,
    )
    return NewSolution(task.problem, task.steps, source=task.source, annotation=annotation, text=task.text, left_out=tuple(left_out))


def read_time(stated: object, name: str) -> datetime | None:
    """Return a time as UTC without a zone, or None. A time without a zone is UTC. Raises BadLine."""
    if stated is None:
        return None
    try:
        at = datetime.fromisoformat(str(stated))
    except ValueError:
        raise BadLine(f"{name} is {in_words(stated)}", "Write it like 2026-03-09T22:16:08.728353Z") from None
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
