"""The formats `labelstudio` and `labelstudio_min`: what Label Studio exports as JSON and as JSON-MIN, and what our writer makes for it.

Shapes: https://labelstud.io/guide/task_format and https://labelstud.io/guide/export, checked against exports of Label Studio 1.23.2. Steps
are rated in one of four ways: by a control for each step, by labels of paragraphs, by a choice for each paragraph, or by the number of the
first mistake.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args
from uuid import UUID

from trainer.formats.fields import as_number, as_object, as_whole, read_flag, read_list, read_object, read_optional, read_whole
from trainer.formats.mapping import ANSWERS, IDS, PROBLEMS, SOURCES, STEPS, TEXTS, LabelMapping
from trainer.formats.objects import Fields
from trainer.formats.tasks import FIRST_MISTAKE, NUMBERED, Answers, ShownTask, annotate, mark_read, read_task, read_time
from trainer.formats.values import BadLine, Finish, NewProblem, NewSolution, in_words

FINISH = "finish_reason"  # the control of our own labeling config that says why a sitting ended
_CHOSEN = {"choices": "choices", "rating": "rating", "number": "number", "paragraphlabels": "paragraphlabels"}  # type -> key of its value
# What the tool says of its own work. Nothing of it is a label, so the report does not name it.
_TASK_KEYS = {
    "id", "inner_id", "file_upload", "meta", "created_at", "updated_at", "allow_skip", "project", "updated_by", "comment_authors", "drafts",
    "total_annotations", "cancelled_annotations", "total_predictions", "comment_count", "unresolved_comment_count", "avg_lead_time",
    "last_comment_updated_at", "agreement", "predictions", "annotations", "state", "annotators", "dimensions", "precomputed_agreement",
}  # fmt: skip
_MIN_KEYS = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}
_OWN_KEYS = ("annotation", "solution", "labeler", "at", "generation", "seconds", "is_gold", "outcome", "path")
_PLAIN = LabelMapping()


def labelstudio_problem(fields: Fields, mapping: LabelMapping = _PLAIN) -> NewProblem:
    """Return the problem of a task."""
    return read_task(read_object(fields, "data"), mapping, name="the data of the task").problem


def labelstudio_solutions(fields: Fields, mapping: LabelMapping = _PLAIN) -> list[NewSolution]:
    """Return the solution of a task once for each annotation, or once without any."""
    data = read_object(fields, "data")
    task = read_task(data, mapping, name="the data of the task")
    for key in _OWN_KEYS:
        data.get(key)
    fields.used |= _TASK_KEYS
    left_out = [words for key, words in (("predictions", "predictions of models"), ("drafts", "drafts")) if dict.get(fields, key)]
    given = [as_object(one, f"annotation {number}") for number, one in enumerate(read_list(fields, "annotations"), 1)]
    solutions = []
    for number, one in enumerate(given, 1):
        mark_read(one)
        if read_flag(one, "was_cancelled"):
            left_out.append("annotations that were skipped")
        else:
            solutions.append(_annotated(data, task, one, mapping, number=number, is_own=_is_own(data, one)))
    bare = NewSolution(task.problem, task.steps, source=task.source, text=task.text)
    first, *others = solutions or [bare]
    return [replace(first, left_out=tuple(dict.fromkeys((*first.left_out, *left_out)))), *others]


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
        fields.get(result["from_name"])
        mark_read(dict.get(fields, result["from_name"]))
    is_own = dict.get(fields, "annotation") is not None and dict.get(fields, "labeler") is not None
    for key in _OWN_KEYS:
        fields.get(key)
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


def _read_results(task: ShownTask, one: Fields, mapping: LabelMapping, number: int) -> Answers:
    answers = Answers()
    results = [as_object(result, f"a result of annotation {number}") for result in read_list(one, "result")]
    regions = {id_: result for result in results if (id_ := read_optional(result, "id")) and _paragraphs(result) is not None}
    answered = {read_optional(result, "id") for result in results if result.get("type") in ("choices", "rating", "number")}
    numbers = [int(found["number"]) for result in results if (found := _numbered(result, mapping))]
    for result in results:
        name, kind = str(result.get("from_name") or ""), str(result.get("type") or "")
        value = result.get("value")
        chosen = value.get(_CHOSEN[kind]) if isinstance(value, dict) and kind in _CHOSEN else None
        paragraphs = _paragraphs(result) or _paragraphs(regions.get(read_optional(result, "id") or "", Fields()))
        place = f"{name!r} of annotation {number}"
        if chosen is None:
            if kind != "paragraphs":
                answers.unread.add(f"answers of {name!r}")
        elif kind == "paragraphlabels" and read_optional(result, "id") in answered:
            continue  # it marks a paragraph, and another result rates it
        elif name == FINISH and paragraphs is None and (ended := _single(chosen, place)) in get_args(Finish):
            answers.finish = ended
        elif name == mapping.controls.get("first_mistake") or ("first_mistake" not in mapping.controls and FIRST_MISTAKE.search(name)):
            answers.end_at(mapping.first_mistake(_single(chosen, place), place), task, place)
        elif not _is_rating(name, mapping):
            answers.unread.add(f"answers of {name!r}")
        elif paragraphs is not None:
            rating = mapping.rating(_single(chosen, place), place, is_scale=kind == "rating")
            for paragraph in paragraphs:
                answers.rate(task.index_of(paragraph, (0,), replace(mapping, counts_from=0)), rating, place)
        elif found := _numbered(result, mapping):
            rating = mapping.rating(_single(chosen, place), place, is_scale=kind == "rating")
            answers.rate(task.index_of(int(found["number"]), numbers, mapping), rating, place)
        else:
            answers.unread.add(f"answers of {name!r}")
    return answers


def _is_rating(name: str, mapping: LabelMapping) -> bool:
    """Tell whether a control rates steps. If the ratings are named, it is called so, or so with a number."""
    wanted = mapping.controls.get("ratings")
    if wanted is None or name == wanted:
        return True
    found = NUMBERED.fullmatch(name)
    return found is not None and found["stem"].rstrip("_-. ") == wanted.rstrip("_-. ")


def _numbered(result: Fields, mapping: LabelMapping) -> Any:
    """Return the match of a control that is named after the number of a step, such as step_1, rating-0 or step3_rating."""
    name = str(result.get("from_name") or "")
    is_other = FIRST_MISTAKE.search(name) or not _is_rating(name, mapping)
    return None if is_other or result.get("type") not in _CHOSEN else NUMBERED.fullmatch(name)


def _paragraphs(result: Fields) -> range | None:
    """Return the paragraphs of a region, from 0. `start` and `end` name the first and the last one. None: it is no region of paragraphs."""
    value = result.get("value")
    if not isinstance(value, dict) or result.get("type") not in ("paragraphs", "paragraphlabels", "choices", "rating", "number"):
        return None
    ends = []
    for key in ("start", "end"):
        place = value.get(key)
        number = int(place) if isinstance(place, str) and place.isascii() and place.isdecimal() and len(place) < 9 else as_whole(place)
        if number is None or number < 0:
            return None
        ends.append(number)
    return range(ends[0], min(max(ends), ends[0] + 10_000) + 1)


def _single(chosen: Any, place: str) -> Any:
    if not isinstance(chosen, list):
        return chosen
    if len(chosen) != 1:
        raise BadLine(f"{place} has {len(chosen)} values", "Let people choose one value for a step")
    return chosen[0]
