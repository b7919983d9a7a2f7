"""Addresses of the API: problems and solutions of a project, which are listed, and loaded as lines of JSON."""

import hashlib
import zlib
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers

from annotation import ingest
from annotation.api.base import ApiView
from annotation.api.bodies import pieces_of
from annotation.api.data import ProblemsReading, SolutionsReading
from annotation.api.problems import ApiRefused, Fault
from annotation.api.schema import describe

SENT_BYTES = 20_000_000  # of a body, as it is sent
UNPACKED_BYTES = 50_000_000
PACKED = 1 << 14  # given to zlib at once: after each member it copies the rest, and a member can have 20 bytes
NUL_SHOWN = "\N{SYMBOL FOR NULL}"
LINES = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")
PROBLEMS = (
    "bad_body", "bad_lines", "body_too_large", "unsupported_media_type", "scope_missing", "role_too_low", "load_running", "key_in_use",
    "key_reused",
)  # fmt: skip


class LoadQuery(serializers.Serializer):
    """How lines are loaded."""

    wrong = serializers.ChoiceField(
        ["refuse", "skip"], required=False, default="refuse", help_text="What one wrong line means: nothing is stored, or all others are."
    )


class SolutionLoadQuery(LoadQuery):
    """How lines with solutions are loaded."""

    source = serializers.CharField(required=False, default="", max_length=200, help_text="Of lines that name no generator.")  # type: ignore[assignment]
    steps_by = serializers.ChoiceField(
        ingest.CUTTING_RULES, required=False, default=ingest.BY_LINE, help_text="The rule that cuts a solution that is one text."
    )
    line_format = serializers.ChoiceField(
        ingest.LINE_FORMATS,
        required=False,
        default=ingest.GENERIC,
        help_text="What the lines are. Lines of another labeling tool can have labels, which become annotations.",
    )
    mapping = serializers.CharField(
        required=False,
        default="",
        max_length=10_000,
        help_text="What fields, controls and values of another labeling tool mean: one NAME=VALUE a line.",
    )


class SkippedLineSerializer(serializers.Serializer):
    """A line that was left out."""

    line = serializers.IntegerField(help_text="From 1.")
    detail = serializers.CharField()


class LoadedSerializer(serializers.Serializer):
    """What lines held, and what was new. The difference was stored before, or stood twice in the lines."""

    lines = serializers.IntegerField()
    problems = serializers.IntegerField()
    new_problems = serializers.IntegerField()
    solutions = serializers.IntegerField()
    new_solutions = serializers.IntegerField()
    annotations = serializers.IntegerField(help_text="Labels of one person for one solution.")
    new_annotations = serializers.IntegerField()
    outcomes = serializers.DictField(child=serializers.IntegerField(), help_text="Of the new solutions.")
    skipped = SkippedLineSerializer(many=True, help_text="The first 100 lines that were left out.")
    n_skipped = serializers.IntegerField()
    notes = serializers.ListField(child=serializers.CharField(), help_text="For people.")


@extend_schema_field({"type": ["string", "number", "null"]})
class TextOrNumberField(serializers.Field):
    """A text. A number is one, too, with the digits that it was written with; null is as good as nothing. Only the description uses it."""


class ProblemLineSerializer(serializers.Serializer):
    """One line: a problem."""

    id = TextOrNumberField(required=False, help_text="Identifies the problem. Without it, its statement does.")
    problem = serializers.CharField(help_text="The statement.")
    answer = TextOrNumberField(required=False, help_text="The reference answer.")
    reference_solution = TextOrNumberField(required=False)
    subject = TextOrNumberField(required=False)
    level = TextOrNumberField(required=False)
    split = serializers.ChoiceField(["train", "test"], required=False, allow_null=True, help_text="Null: train.")


class SolutionLineSerializer(ProblemLineSerializer):
    """One line: a solution with its problem."""

    steps = serializers.ListField(child=serializers.CharField(), required=False, allow_null=True, help_text="This or `solution`.")
    solution = serializers.CharField(required=False, help_text="One text, which is cut into steps.")
    source = TextOrNumberField(required=False, help_text="The generator.")  # type: ignore[assignment]


class LoadView(ApiView):
    """What the two addresses for loading share."""

    def load(self, query: dict[str, Any], *, are_solutions: bool) -> HttpResponse:
        """Load the lines of the body, once for each Idempotency-Key."""
        content = self._read_lines()
        # Without what is as it was before these options existed: a key of a request from then is still that of the same request.
        asked = {name: value for name, value in query.items() if (name, value) not in (("line_format", ingest.GENERIC), ("mapping", ""))}
        wanted = {"lines": hashlib.sha256(content).hexdigest(), **asked}
        return self.answer_once(wanted, lambda: self._load(content, query, are_solutions=are_solutions))

    def _load(self, content: bytes, query: dict[str, Any], *, are_solutions: bool) -> tuple[int, Any]:
        more = {name: query[name] for name in ("source", "steps_by", "line_format", "mapping") if name in query}
        try:
            loaded = ingest.upsert(
                self.request.access.project, content, actor=self.person, are_solutions=are_solutions, skips=query["wrong"] == "skip",
                **more,
            )  # fmt: skip
        except ingest.TooManyLines as refused:
            raise ApiRefused("body_too_large", str(refused)) from None
        except ingest.LoadRunning as running:
            raise ApiRefused("load_running", str(running), headers={"Retry-After": "10"}) from None
        except ingest.BadMapping as bad:
            raise ApiRefused("bad_query", str(bad), faults=[Fault("query", "mapping", "invalid", str(bad))]) from None
        except ingest.BadLines as bad:
            faults = [Fault("line", "", "invalid", fault.detail, fault.line) for fault in bad.faults]
            raise ApiRefused("bad_lines", str(bad), faults=faults, n_faults=bad.count) from None
        report = loaded.report
        notes = [_storable(note) for note in (*report.about_the_check(), *report.notes)]
        shown = {
            "lines": report.lines + loaded.n_faults, "problems": report.problems, "new_problems": report.new_problems,
            "solutions": report.solutions, "new_solutions": report.new_solutions,
            "annotations": report.annotations, "new_annotations": report.new_annotations, "outcomes": report.outcomes,
            "skipped": loaded.faults, "n_skipped": loaded.n_faults, "notes": notes,
        }  # fmt: skip
        return 200, LoadedSerializer(shown).data

    def _read_lines(self) -> bytes:
        """Return the body, unpacked. Raises ApiRefused above the limits, before more is read or unpacked."""
        kind = (self.request.content_type or "").partition(";")[0].strip().lower()
        if kind not in LINES:
            raise ApiRefused("unsupported_media_type", f"Send one JSON object a line, with the header “Content-Type: {LINES[0]}”.")
        packing = self.request.headers.get("Content-Encoding", "identity").strip().lower()
        if packing not in ("identity", "gzip"):
            raise ApiRefused("unsupported_media_type", "Send the body as it is, or packed with gzip.")
        unpacker = _Unpacker() if packing == "gzip" else None
        pieces, n_bytes = [], 0
        too_large = f"The body has more than {SENT_BYTES:,} bytes. Send it in several requests."
        for chunk in pieces_of(self.request._request, at_most=SENT_BYTES, too_large=too_large):
            if unpacker is not None:
                chunk = unpacker.unpack(chunk, at_most=UNPACKED_BYTES - n_bytes + 1)
            n_bytes += len(chunk)
            if n_bytes > UNPACKED_BYTES:
                raise ApiRefused("body_too_large", f"The body unpacks to more than {UNPACKED_BYTES:,} bytes. Send it in several requests.")
            pieces.append(chunk)
        if unpacker is not None and unpacker.is_in_member:
            raise ApiRefused("bad_body", "The gzip data of the body is cut off. Pack it again.")
        content = b"".join(pieces)
        if not content.strip():
            raise ApiRefused("bad_body", "The body is empty. Send one JSON object a line.")
        return content


def _storable(note: str) -> str:
    """Return a note without what no answer can hold. It can name unknown keys, with a NUL character or with half of a surrogate pair."""
    return note.replace("\0", NUL_SHOWN).encode(errors="backslashreplace").decode()


class _Unpacker:
    """Unpacks gzip data, which can be several members one after the other."""

    def __init__(self) -> None:
        self.member, self.is_in_member = zlib.decompressobj(wbits=31), False

    def unpack(self, chunk: bytes, *, at_most: int) -> bytes:
        """Return what a part unpacks to, at most so many bytes. Raises ApiRefused."""
        pieces: list[bytes] = []
        try:
            for start in range(0, len(chunk), PACKED):
                part = chunk[start : start + PACKED]
                while part and at_most > 0:
                    self.is_in_member = True
                    pieces.append(self.member.decompress(part, at_most))
                    at_most -= len(pieces[-1])
                    part = b""
                    if self.member.eof:
                        part, self.member, self.is_in_member = self.member.unused_data, zlib.decompressobj(wbits=31), False
        except zlib.error:
            raise ApiRefused("bad_body", "The body is not gzip data, although the header Content-Encoding says so.") from None
        return b"".join(pieces)


class ProblemsView(ProblemsReading, LoadView):
    """The problems of a project."""

    @describe(
        "problems_load", "Load problems", LoadedSerializer, query=LoadQuery, body={LINES[0]: ProblemLineSerializer}, tag="problems",
        has_key=True, problems=PROBLEMS,
        examples=[
            OpenApiExample(
                "One problem", {"id": "sum-1", "problem": "What is 2 + 3?", "answer": "5"}, request_only=True, media_type=LINES[0]
            )
        ],
    )  # fmt: skip
    def post(self, request: Any, slug: str) -> HttpResponse:
        """Load problems, one JSON object a line. Known ones stay as they are, and get what they lacked."""
        return self.load(self.read_query(LoadQuery), are_solutions=False)


class SolutionsView(SolutionsReading, LoadView):
    """The solutions of a project."""

    @describe(
        "solutions_load", "Load solutions", LoadedSerializer, query=SolutionLoadQuery, body={LINES[0]: SolutionLineSerializer},
        tag="solutions", has_key=True, problems=PROBLEMS,
        examples=[
            OpenApiExample(
                "One solution",
                {
                    "id": "sum-1", "problem": "What is 2 + 3?", "answer": "5",
                    "steps": ["2 + 3 is 5.", "So it is 5.\n\n# Answer\n\n5"], "source": "my-model",
                },
                request_only=True,
                media_type=LINES[0],
            )
        ],
    )  # fmt: skip
    def post(self, request: Any, slug: str) -> HttpResponse:
        """Load solutions with their problems, one JSON object a line, and grade new final answers. Known ones stay as they are."""
        return self.load(self.read_query(SolutionLoadQuery), are_solutions=True)
