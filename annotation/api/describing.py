"""The description of the API as a page shows it: operations in groups, each with its parameters, fields and answers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from annotation.api.base import openapi_document

DEEPEST = 4  # levels of fields within fields


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A parameter or a field. `kind`: what can stand in it, in words."""

    name: str
    kind: str
    is_required: bool
    words: str


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What an operation answers with: a status, what it means, and the fields of the body (none for a problem document)."""

    status: str
    words: str
    kinds: str
    fields: list[FieldRow]


@dataclass(frozen=True, slots=True)
class OperationRow:
    """One method of one address. `body_kind`: the content type of what is sent; empty: nothing is."""

    name: str
    method: str
    path: str
    summary: str
    words: str
    parameters: list[FieldRow]
    body_kind: str
    body: list[FieldRow]
    example: str
    answers: list[AnswerRow]


@dataclass(frozen=True, slots=True)
class OperationGroup:
    """The operations on one kind of object."""

    name: str
    operations: list[OperationRow]


@cache
def described_api() -> list[OperationGroup]:
    """Return all operations in the order of their addresses, grouped by what they are about."""
    document = openapi_document()
    groups: dict[str, list[OperationRow]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(document, path, method, operation))
    return [OperationGroup(name, operations) for name, operations in groups.items()]


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> OperationRow:
    parameters = [
        FieldRow(
            one["name"], f"{_PLACES[one['in']]}: {_kind(document, one['schema'])}", one.get("required", False), one.get("description", "")
        )
        for one in operation.get("parameters", ())
    ]
    sent: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    nothing: dict[str, Any] = {}
    body_kind, content = next(iter(sent.items()), ("", nothing))
    example = next((one["value"] for one in content.get("examples", {}).values()), None)
    answers = []
    for status, answer in sorted(operation["responses"].items()):
        kinds = answer.get("content", {})
        fields = [] if status >= "400" else list(_fields(document, next(iter(kinds.values()), nothing).get("schema", {})))
        answers.append(AnswerRow(status, answer["description"], ", ".join(kinds), fields))
    return OperationRow(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        words=operation["description"],
        parameters=parameters,
        body_kind=body_kind,
        body=list(_fields(document, content.get("schema", {}))),
        example="" if example is None else json.dumps(example, indent=2, ensure_ascii=False),
        answers=answers,
    )


_PLACES = {"path": "address", "query": "query", "header": "header"}


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema without references: drf-spectacular writes one that has a description of its own as allOf of one."""
    if "allOf" in schema:
        inner, *_ = schema["allOf"]
        return {**_resolved(document, inner), **{name: value for name, value in schema.items() if name != "allOf"}}
    if "$ref" in schema:
        found = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return {**_resolved(document, found), **{name: value for name, value in schema.items() if name != "$ref"}}
    return schema


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any], before: str = "", level: int = 0) -> Iterator[FieldRow]:
    """Yield the fields of an object and of the objects in it, by names such as `items[].id`."""
    schema = _resolved(document, schema)
    if schema.get("type") == "array":
        yield from _fields(document, schema["items"], f"{before}[]", level)
        return
    for name, inner in schema.get("properties", {}).items():
        path = f"{before}.{name}" if before else name
        inner = _resolved(document, inner)
        yield FieldRow(path, _kind(document, inner), name in schema.get("required", ()), inner.get("description", ""))
        if level < DEEPEST:
            yield from _fields(document, inner, path, level + 1)


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return in words what can stand in a field."""
    schema = _resolved(document, schema)
    types = schema.get("type", "any value")
    names = [types] if isinstance(types, str) else list(types)
    null = " or null" if "null" in names else ""
    words = [_WORDS.get(name, name) for name in names if name != "null"]
    if choices := [value for value in schema.get("enum", ()) if value is not None]:
        return "one of " + ", ".join(map(str, choices)) + null
    if names[0] == "array":
        return f"list of: {_kind(document, schema['items'])}{null}"
    if (form := schema.get("format")) in _FORMS:
        words = [_FORMS[form]]
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None and most < 2**31 - 1:
        words.append(f"from {least:,} to {most:,}")
    elif least is not None:
        words.append(f"at least {least:,}")
    if (longest := schema.get("maxLength")) is not None:
        words.append(f"at most {longest:,} characters")
    return ", ".join(words) + null


_WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "object": "object"}
_FORMS = {"date-time": "date and time", "uuid": "UUID", "binary": "the bytes of the file"}
