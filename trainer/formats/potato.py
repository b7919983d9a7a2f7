"""The formats of Potato: `potato` (annotated_instances.jsonl of version 1), `potato_export` (the JSON lines that version 2 exports),
`potato_state` (user_state.json of version 2) and `potato_table` (CSV and TSV of both versions).

Shapes: https://github.com/davidjurgens/potato, docs/data-export/export_formats.md and docs/agent-evaluation/process_reward_cot.md, and the
code that writes these files: `save_all_annotations` of version 1.1.2, and potato/export/tabular_exporter.py. The files of version 2 have no
texts: the items come from a file of their own.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from trainer.formats.fields import as_object, as_whole, read_object, read_optional
from trainer.formats.json_objects import parse_cell
from trainer.formats.mapping import LabelMapping, plain_word
from trainer.formats.objects import Fields, use_keys, use_whole
from trainer.formats.tasks import FIRST_MISTAKE, NUMBERED, Answers, ShownTask, annotate, read_task
from trainer.formats.values import BadLine, NewProblem, NewSolution, in_words

UNCONFIRMED = "ratings that a model proposed and nobody confirmed"
_PLAIN = LabelMapping()
_NO = ("", "false", "none")
_COLUMN = re.compile(r"(?s:(?P<scheme>.+?):::(?P<label>.*))|(?s:(?P<one>[^.]+)\.(?P<name>.*))")
_SPANS = "span_annotation"  # the scheme of all columns of spans in version 1
_SHOWN = {"displayed_text", "text"}  # columns of what people saw
_META = {"id", "instance_id", "user", "user_id", "label_annotations", "labels", "span_annotations", "spans", "links", "behavioral_data"}


def potato_problem(fields: Fields, mapping: LabelMapping = _PLAIN) -> NewProblem:
    """Return the problem of the first item of a line."""
    instance, _, _ = next(_sittings(fields, has_items=mapping.items is not None), (None, None, None))
    if instance is None:
        raise BadLine("nothing is labeled here", "Leave the file out")
    return _task(instance, fields, mapping).problem


def potato_solutions(fields: Fields, mapping: LabelMapping = _PLAIN) -> list[NewSolution]:
    """Return the solution of each item that a person labeled: one of a line, or all of a user's state."""
    solutions = []
    for instance, person, labels in _sittings(fields, has_items=mapping.items is not None):
        task = _task(instance, fields, mapping)
        answers = _read_labels(task, labels, mapping)
        solutions.append(annotate(task, answers, mapping, person=f"potato {person}" if person else "", identity=f"potato {instance}"))
    for key in _META:
        use_whole(fields, key)
    return solutions


def _sittings(fields: Fields, *, has_items: bool) -> Iterator[tuple[str, str | None, Fields]]:
    """Yield the item, the person and the labels of each sitting: scheme -> label -> value."""
    person = read_optional(fields, "user_id", "user")
    if dict.get(fields, "instance_id_to_label_to_value") is not None:
        for key in fields:
            use_whole(fields, key)
        stored = read_object(fields, "instance_id_to_label_to_value")
        for instance in stored:
            yield instance, person, _as_schemes(stored[instance], instance)
        return
    if (one := read_optional(fields, "id", "instance_id")) is None:
        raise BadLine("the line does not name its item", "Give it an id or an instance_id")
    if any(map(is_label_column, fields)):
        yield one, person, _schemes_of_columns(fields, has_items=has_items)
        return
    key = "label_annotations" if dict.get(fields, "label_annotations") is not None else "labels"
    yield one, person, _as_schemes(fields.get(key), one)


def is_label_column(name: str) -> bool:
    """Tell whether a column of a table has a scheme and a label: `step_1:::good` (version 1), `step_1.good` (version 2)."""
    return _COLUMN.fullmatch(name) is not None


def _schemes_of_columns(fields: Fields, *, has_items: bool) -> Fields:
    """Return the labels of a row as scheme -> label -> value.

    A column named after a scheme alone has the answer without a label, or, beside columns of its labels, the one that Potato takes of
    several. Of the other columns, it is a scheme only if the texts come from a file of items, because else it can be one of these texts.
    """
    schemes = Fields()
    for column, value in dict.items(fields):
        if (found := _COLUMN.fullmatch(column)) is None:
            continue
        use_keys(fields, {column})
        scheme, label = (found["scheme"], found["label"]) if found["scheme"] is not None else (found["one"], found["name"])
        if scheme == _SPANS or label == "_spans":
            continue
        labels = schemes.setdefault(scheme, Fields())
        if value is not None:
            labels[label] = value
    for column, value in dict.items(fields):
        if value is None or column in _META or is_label_column(column) or not (column in schemes or (has_items and column not in _SHOWN)):
            continue
        use_keys(fields, {column})
        labels = schemes.setdefault(column, Fields())
        settled = [label for label, inner in dict.items(labels) if plain_word(value) in (plain_word(label), plain_word(inner))]
        if not labels:
            labels[""] = value
        elif len(settled) == 1:
            schemes[column] = Fields({settled[0]: labels[settled[0]]}.items())
    return schemes


def _as_schemes(stored: Any, instance: str) -> Fields:
    """Return labels as scheme -> label -> value. A user's state has a list of pairs [{schema, name}, value]."""
    if not isinstance(stored, list):
        return as_object(stored, f"the labels of {in_words(instance)}")
    schemes = Fields()
    for pair in stored:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], dict):
            raise BadLine(f"a label of {in_words(instance)} is no pair of a name and a value", "Export the file again")
        named = as_object(pair[0], "the name of a label")
        schemes.setdefault(str(named.get("schema") or ""), Fields())[str(named.get("name") or "")] = pair[1]
    return schemes


def _task(instance: str, fields: Fields, mapping: LabelMapping) -> ShownTask:
    if mapping.items is not None:
        if (item := mapping.items.get(instance)) is None:
            raise BadLine(f"the item {in_words(instance)} is not in the file of the items", "Give the file that Potato showed to people")
        return read_task(item, mapping, name=f"the fields of the item {in_words(instance)}")
    shown = fields.get("displayed_text")
    try:
        is_object = isinstance(shown, str) and shown.lstrip().startswith("{")
        data = parse_cell(shown, "displayed_text", "an object", "{}") if is_object else shown
        return read_task(data if isinstance(data, Fields) else fields, mapping, name="the fields of the line")
    except BadLine as bad:
        raise BadLine(bad.reason, f"Give the file that Potato showed to people with --items FILE. {bad.remedy}") from None


def _read_labels(task: ShownTask, labels: Fields, mapping: LabelMapping) -> Answers:
    answers = Answers()
    rated = {scheme: _chosen(value, scheme) for scheme, value in labels.items()}
    numbers = [int(found["number"]) for scheme in labels if (found := _numbered(scheme, mapping))]
    for scheme, value in rated.items():
        place = f"{scheme!r}"
        if (rewards := _rewards(labels[scheme])) is not None:
            if mapping.controls.get("ratings", scheme) == scheme:
                _read_rewards(task, rewards, answers, mapping, place)
            else:
                answers.unread.add(f"answers of {place}")
        elif value is None:
            continue
        elif scheme == mapping.controls.get("first_mistake") or ("first_mistake" not in mapping.controls and FIRST_MISTAKE.search(scheme)):
            answers.end_at(mapping.first_mistake(value[0], place), task, place)
        elif found := _numbered(scheme, mapping):
            word, is_scale = value
            answers.rate(task.index_of(int(found["number"]), numbers, mapping), mapping.rating(word, place, is_scale=is_scale), place)
        else:
            answers.unread.add(f"answers of {place}")
    return answers


def _numbered(scheme: str, mapping: LabelMapping) -> re.Match[str] | None:
    """Return the match of a scheme that is named after the number of a step, such as step_1 or rating-0."""
    found, wanted = NUMBERED.fullmatch(scheme), mapping.controls.get("ratings")
    if found is None or FIRST_MISTAKE.search(scheme):
        return None
    return found if wanted is None or found["stem"].rstrip("_-. ") == wanted.rstrip("_-. ") else None


def _chosen(value: Any, scheme: str) -> tuple[Any, bool] | None:
    """Return what was chosen in a scheme, and whether it is a place on a scale. None: nothing was.

    Radio buttons store {label: true} or {label: label}, a scale {scale_4: "4"}, a number or a text {name: value}.
    """
    if not isinstance(value, dict):
        return None if value is None or plain_word(value) in _NO else (value, False)
    chosen = [(label, inner) for label, inner in value.items() if inner is not None and plain_word(inner) not in _NO]
    if not chosen or isinstance(chosen[0][1], dict | list):
        return None
    if len(chosen) > 1:
        raise BadLine(f"{scheme!r} has {len(chosen)} values", "Let people choose one value for a step")
    ((label, inner),) = chosen
    if scale := re.fullmatch(r"scale_(\d+)", label):
        return scale[1], True
    is_named = inner is True or plain_word(inner) in ("true", plain_word(label)) or plain_word(label) not in _UNNAMED
    return (label if is_named else inner), False


_UNNAMED = ("", "text_box", "number", "value", "number_box", "slider", "textbox", "select-one")


def _rewards(value: Any) -> list[Fields] | None:
    """Return the steps of a scheme process_reward: its only value is an object with `steps`, written as JSON."""
    for inner in value.values() if isinstance(value, dict) else ():
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            try:
                if "steps" not in json.loads(inner):
                    continue
            except (ValueError, RecursionError):
                continue
            inner = parse_cell(inner, "the rewards of the steps", "an object", '{"steps": []}')
        if isinstance(inner, Fields) and isinstance(steps := inner.get("steps"), list):
            return [as_object(step, f"the reward of step {number}") for number, step in enumerate(steps, 1)]
    return None


def _read_rewards(task: ShownTask, rewards: list[Fields], answers: Answers, mapping: LabelMapping, place: str) -> None:
    """Note the rewards of the steps. A 0 is neutral where unmarked steps are null; elsewhere the mapping says what it is."""
    has_unmarked = any("reward" in reward and reward.get("reward") is None for reward in rewards)
    for at, reward in enumerate(rewards):
        value = reward.get("reward")
        given = as_whole(reward.get("index"))
        index = task.check(at if given is None else given)
        if reward.get("source") == "ai" and reward.get("verified") is not True:
            if value is not None:
                answers.unread.add(UNCONFIRMED)
        elif value is not None:
            if plain_word(value) == "0" and not has_unmarked and "0" not in mapping.values:
                raise BadLine(
                    f"step {index + 1} has the reward 0 in {place}, which Potato writes for neutral steps and for steps that nobody marked",
                    "Say which it is with --map neutral=0 or --map unrated=0",
                )
            answers.rate(index, mapping.rating(value, f"the reward of step {index + 1} in {place}"), place)
