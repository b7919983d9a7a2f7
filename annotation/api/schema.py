"""How the addresses of the API describe themselves in OpenAPI: one decorator, and the shapes that all share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from annotation.api.problems import MEDIA_TYPE, PROBLEMS


class FaultSerializer(serializers.Serializer):
    """One thing that is wrong in a request."""

    vars()["in"] = serializers.ChoiceField(["query", "body", "header", "line"], help_text="Where it stands.")
    name = serializers.CharField(help_text="Of the parameter, the field or the header.", allow_blank=True)
    code = serializers.CharField(help_text="For programs, such as `unknown`.")
    detail = serializers.CharField(help_text="For people: what is wrong, and what to do.")
    line = serializers.IntegerField(required=False, help_text="Of the body, from 1.")


class ProblemDocumentSerializer(serializers.Serializer):
    """An error (RFC 9457)."""

    type = serializers.CharField(help_text="`urn:stepmark:problem:` and the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="For people: what is wrong, and what to do.")
    code = serializers.CharField(help_text="For programs. It never changes.")
    errors = FaultSerializer(many=True, required=False, help_text="What is wrong, one by one.")  # type: ignore[assignment]  # a field
    n_errors = serializers.IntegerField(required=False, help_text="How many there are. The list can be shorter.")


class TokenScheme(OpenApiAuthenticationExtension):
    """The token as OpenAPI describes it."""

    target_class = "annotation.api.base.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the description."""
        return {"type": "http", "scheme": "bearer", "description": "A token of the page “Your API tokens”."}


KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="A text of your choice, such as a UUID. The same request with the same key acts once, for a day.",
)


def page_of(shape: type[serializers.Serializer]) -> type[serializers.Serializer]:
    """Return the shape of a page of a list."""
    name = shape.__name__.removesuffix("Serializer")
    fields = {
        "items": shape(many=True),
        "next": serializers.CharField(allow_null=True, help_text="The cursor of the next page. Null: the list is at its end."),
    }
    made = inline_serializer(f"PageOf{name}", fields)
    return type(made)


def describe(
    operation: str,
    summary: str,
    result: type[serializers.Serializer] | Mapping[Any, Any],
    *,
    tag: str,
    query: type[serializers.Serializer] | None = None,
    body: Any = None,
    status: int = 200,
    has_key: bool = False,
    problems: Sequence[str] = (),
    examples: Sequence[OpenApiExample] = (),
    parameters: Sequence[OpenApiParameter] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate the method of an address with its description. `problems` are codes beside those that every address can answer with.

    `result`: the shape of the answer, or of each status and content type.
    """
    codes = ["bad_query", "not_signed_in", "token_unknown", "other_project", "not_found", "not_acceptable", "too_many_requests", *problems]
    codes.append("precondition_failed" if body is None else "length_required")
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    refused: Mapping[Any, Any] = {
        (number, MEDIA_TYPE): OpenApiResponse(ProblemDocumentSerializer, description=f"Refused: {', '.join(names)}.")
        for number, names in by_status.items()
    }
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[tag],
        parameters=[*([query] if query else []), *([KEY] if has_key else []), *parameters],
        request={"application/json": body} if isinstance(body, type) else body,
        responses={**(result if isinstance(result, Mapping) else {status: result}), **refused},
        examples=list(examples),
    )


# What stands in an address: the pattern of Django's converter, and where the value comes from.
PLACES: dict[str, dict[str, Any]] = {
    "slug": {"schema": {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"}, "description": "The `slug` of the project."},
    "number": {"description": "The `number` of it."},
    "file": {"schema": {"type": "string"}, "description": "The `name` of a file of the order."},
    "round_number": {"description": "The `number` of the round."},
}
KEY_PLACE = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "format": "int64"}


def describe_places(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Describe the parameters in the addresses of a document: a hook of drf-spectacular, which knows the converters only by their kind."""
    for operations in result["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    known = {"schema": KEY_PLACE, "description": "The `id` of it."} | PLACES.get(parameter["name"], {})
                    parameter.update({name: dict(value) if isinstance(value, dict) else value for name, value in known.items()})
    return result
