"""The formats `labelstudio` and `labelstudio_min`: what Label Studio exports as JSON and as JSON-MIN, and what our writer makes for it.

Shapes: https://labelstud.io/guide/task_format and https://labelstud.io/guide/export, checked against exports of Label Studio 1.23.2. Steps
are rated in one of four ways: by a control for each step, by labels of paragraphs, by a choice for each paragraph, or by the number of the
first mistake.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from uuid import UUID

from trainer.formats.fields import as_number, as_object, as_whole, read_flag, read_list, read_object, read_optional, read_whole
from trainer.formats.mapping import ANSWERS, IDS, PROBLEMS, SOURCES, STEPS, TEXTS, LabelMapping
from trainer.formats.objects import Fields, use_keys, use_whole
from trainer.formats.tasks import FIRST_MISTAKE, NUMBERED, Answers, ShownTask, annotate, read_task, read_time
from trainer.formats.values import FINISHES, BadLine, NewProblem, NewSolution, in_words

FINISH = "finish_reason"  # the control of our own labeling config that says why a sitting ended
_CHOSEN = {"choices": "choices", "rating": "rating", "number": "number", "paragraphlabels": "paragraphlabels"}  # type -> key of its value
# What the tool says of its own work. Nothing of it is a label, so the report does not name it.
_TASK_KEYS = {
    "id", "inner_id", "file_upload", "meta", "created_at", "updated_at", "allow_skip", "project", "updated_by", "comment_authors", "drafts",
    "total_annotations", "cancelled_annotations", "total_predictions", "comment_count", "unresolved_comment_count", "avg_lead_time",
    "last_comment_updated_at", "agreement", "predictions", "annotations", "state", "annotators", "dimensions", "precomputed_agreement",
}  # fmt: skip
_MIN_KEYS = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}
_OWN_KEYS = {"annotation", "solution", "labeler", "at", "generation", "seconds", "is_gold", "outcome", "path"}
_PLAIN = LabelMapping()


def labelstudio_problem(fields: Fields, mapping: LabelMapping = _PLAIN) -> NewProblem:
    """Return the problem of a task."""
    return read_task(read_object(fields, "data"), mapping, name="the data of the task").problem


def labelstudio_solutions(fields: Fields, mapping: LabelMapping = _PLAIN) -> list[NewSolution]:
    """Return the solution of a task once for each annotation, or once without any."""
    data = read_object(fields, "data")
    task = read_task(data, mapping, name="the data of the task")
    use_keys(data, _OWN_KEYS)
    use_keys(fields, _TASK_KEYS)
    use_whole(fields, "annotations")
    left_out = [words for key, words in (("predictions", "predictions of models"), ("drafts", "drafts")) if dict.get(fields, key)]
    given = [as_object(one, f"annotation {number}") for number, one in enumerate(read_list(fields, "annotations"), 1)]
    solutions = []
    for number, one in enumerate(given, 1):
        if read_flag(one, "was_cancelled"):
            left_out.append("annotations that were skipped")
        else:
            solutions.append(_annotated(data, task, one, mapping, number=number, is_own=_is_own(data, one)))
    first, *others = solutions or [NewSolution(task.problem, task.steps, source=task.source, text=task.text)]
    return [replace(first, left_out=tuple(dict.fromkeys((*first.left_out, *left_out)))) if left_out else first, *others]


def labelstudio_min_problem(fields: Fields, mapping: LabelMapping = _PLAIN) -> NewProblem:
    """Return the problem of a record of JSON-MIN."""
    return read_task(fields, mapping, name="the fields of the record").problem


def labelstudio_min_solutions(fields: Fields, mapping: LabelMapping = _PLAIN) -> list[NewSolution]:
    """Return the solution of a record of JSON-MIN, where the answers stand beside the data and each annotation is a record."""
    task = read_task(fields, mapping, name="the fields of the record")
    results = [result for name, value in dict.items(fields) if name not in fields.used for result in _results_of(name, value, mapping)]
    fields.used |= _MIN_KEYS
    one = Fields(
        {
            "id": dict.get(fields, "annotation_id"),
            "completed_by": dict.get(fields, "annotator"),
            **{key: dict.get(fields, key) for key in ("created_at", "lead_time")},
            "result": results,
        }.items()
    )
    for result in results:
        use_whole(fields, result["from_name"])
    is_own = dict.get(fields, "annotation") is not None and dict.get(fields, "labeler") is not None
    use_keys(fields, _OWN_KEYS)
    return [_annotated(fields, task, one, mapping, number=1, is_own=is_own)]


def _results_of(name: str, value: Any, mapping: LabelMapping) -> Iterator[Fields]:
    """Yield what JSON-MIN writes under the name of a control, as results of JSON. Of a field of the data that is no answer, nothing."""
    usual = {*PROBLEMS, *STEPS, *TEXTS, *ANSWERS, *SOURCES, *IDS, *_MIN_KEYS, *_OWN_KEYS, *mapping.fields.values()}
    if name in usual - set(mapping.controls.values()):
        return
    is_named = name in mapping.controls.values() or NUMBERED.fullmatch(name) or FIRST_MISTAKE.search(name) or name == FINISH
    if isinstance(value, str) and is_named:
        yield Fields({"from_name": name, "type": "choices", "value": Fields([("choices", [value])])}.items())
    for item in value if isinstance(value, list) else ():
        if isinstance(item, str) and mapping.controls.get("ratings", "rating") == name:
            raise BadLine(
                f"{name!r} has {len(value)} values, and JSON-MIN does not say of which steps they are", "Export the project as JSON"
            )
        kind = next((kind for kind, key in _CHOSEN.items() if isinstance(item, dict) and dict.get(item, key) is not None), None)
        if kind is not None:
            yield Fields({"from_name": name, "type": kind, "value": item}.items())


def _is_own(data: Fields, one: Fields) -> bool:
    """Tell whether an annotation is the one that our writer put into the task. Label Studio keeps its number as `import_id`."""
    own = as_whole(dict.get(data, "annotation"))
    return own is not None and as_whole(one.get("import_id") if "import_id" in one else one.get("id")) == own


def _annotated(data: Fields, task: ShownTask, one: Fields, mapping: LabelMapping, *, number: int, is_own: bool) -> NewSolution:
    answers = _read_results(task, one, mapping, number)
    seconds, created_at = as_number(one.get("lead_time")), read_time(read_optional(one, "created_at"), "'created_at'")
    is_gold = bool(one.get("ground_truth"))
    if not is_own:
        identity = f"label studio {read_optional(one, 'id') or ''}"
        return annotate(
            task, answers, mapping, person=_person(one), identity=identity, created_at=created_at, seconds=seconds, is_gold=is_gold
        )
    created_at, seconds = read_time(read_optional(data, "at"), "'at'") or created_at, as_number(data.get("seconds"))
    solution = annotate(task, answers, mapping, person="", identity="", created_at=created_at, seconds=seconds, is_gold=is_gold)
    if solution.annotation is None:
        return solution
    labeler = read_optional(data, "labeler")
    try:
        known = UUID(labeler) if labeler else None
    except ValueError:
        raise BadLine(f"the labeler is {in_words(labeler)}", "A labeler must be a UUID or null") from None
    generation = read_whole(data, "generation", -1, 32_767)
    canonical = solution.annotation.canonical + f"{labeler} {read_optional(data, 'annotation')}".encode()
    return replace(
        solution,
        annotation=replace(solution.annotation, labeler=known, generation=0 if generation is None else generation, canonical=canonical),
    )


def _person(one: Fields) -> str:
    """Return what Label Studio calls an annotator: the number of the account or, where an export has only that, the address."""
    by = one.get("completed_by")
    if isinstance(by, dict):
        by = by.get("id") if by.get("id") is not None else by.get("email")
    return "" if by is None or by == "" else f"label studio {by}"


class _Role(NamedTuple):
    """What a control asks by its name: a rating, the first mistake or something else; and the number in the name."""

    asks: Literal["rating", "first_mistake", "other"]
    number: int | None


class _Result(NamedTuple):
    """What one result of an annotation says. `paragraphs`: those of its own region, None if it has none."""

    name: str
    kind: str
    id: str
    chosen: Any
    paragraphs: range | None


@lru_cache(1_000)
def _role(name: str, ratings: str | None, first_mistake: str | None) -> _Role:
    """Return what a control asks. If the ratings are named, it is called so, or so with a number."""
    if name == first_mistake or (first_mistake is None and FIRST_MISTAKE.search(name)):
        return _Role("first_mistake", None)
    found = NUMBERED.fullmatch(name)
    if ratings is not None and name != ratings and not (found and found["stem"].rstrip("_-. ") == ratings.rstrip("_-. ")):
        return _Role("other", None)
    return _Role("rating", int(found["number"]) if found else None)


def _read_results(task: ShownTask, one: Fields, mapping: LabelMapping, number: int) -> Answers:
    answers = Answers()
    ratings, first_mistake = mapping.controls.get("ratings"), mapping.controls.get("first_mistake")
    results = [_read_result(result, number) for result in read_list(one, "result")]
    regions = {result.id: result.paragraphs for result in results if result.id and result.paragraphs}
    answered = {result.id for result in results if result.kind in ("choices", "rating", "number")}
    roles = [_role(result.name, ratings, first_mistake) for result in results]
    numbers = [role.number for role in roles if role.number is not None and role.asks == "rating"]
    for (name, kind, id_, chosen, own), role in zip(results, roles, strict=True):
        paragraphs = own or regions.get(id_)
        place = f"{name!r} of annotation {number}"
        if chosen is None:
            if kind != "paragraphs":
                answers.unread.add(f"answers of {name!r}")
        elif kind == "paragraphlabels" and id_ and id_ in answered:
            continue  # it marks a paragraph, and another result rates it
        elif name == FINISH and paragraphs is None and (ended := _single(chosen, place)) in FINISHES:
            answers.finish = ended
        elif role.asks == "first_mistake":
            answers.end_at(mapping.first_mistake(_single(chosen, place), place), task, place)
        elif role.asks == "other" or (paragraphs is None and role.number is None):
            answers.unread.add(f"answers of {name!r}")
        else:
            rating = mapping.rating(_single(chosen, place), place, is_scale=kind == "rating")
            indexes = map(task.check, paragraphs) if paragraphs is not None else [task.index_of(role.number or 0, numbers, mapping)]
            for index in indexes:
                answers.rate(index, rating, place)
    return answers


def _read_result(given: Any, number: int) -> _Result:
    result = given if type(given) is Fields else as_object(given, f"a result of annotation {number}")
    value = dict.get(result, "value")
    kind, id_ = str(dict.get(result, "type") or ""), str(dict.get(result, "id") or "")
    chosen = dict.get(value, _CHOSEN[kind]) if isinstance(value, dict) and kind in _CHOSEN else None
    paragraphs = _paragraphs(value) if isinstance(value, dict) and (kind in _CHOSEN or kind == "paragraphs") else None
    return _Result(str(dict.get(result, "from_name") or ""), kind, id_, chosen, paragraphs)


def _paragraphs(value: dict[str, Any]) -> range | None:
    """Return the paragraphs of a region by its value, from 0: `start` and `end` name the first and the last one.

    None: it is no region of paragraphs. The places of a region in a text are numbers, and have no `startOffset`.
    """
    start, end = dict.get(value, "start"), dict.get(value, "end")
    if start is None or end is None or ("startOffset" not in value and not isinstance(start, str)):
        return None
    first, last = _paragraph(start), _paragraph(end)
    if first is None or last is None or first < 0:
        return None
    return range(first, min(max(first, last), first + 10_000) + 1)


def _paragraph(place: Any) -> int | None:
    return int(place) if isinstance(place, str) and place.isascii() and place.isdecimal() and len(place) < 9 else as_whole(place)


def _single(chosen: Any, place: str) -> Any:
    if not isinstance(chosen, list):
        return chosen
    if len(chosen) != 1:
        raise BadLine(f"{place} has {len(chosen)} values", "Let people choose one value for a step")
    return chosen[0]
