"""Address of the API: what a snapshot with a filter would hold. Its POST stores nothing: the filter is its body, as for taking one."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from annotation import export
from annotation.api.base import ApiView
from annotation.api.data import AnnotationSerializer
from annotation.api.orders import SnapshotFilterSerializer, bad_field, chosen
from annotation.api.problems import ApiRefused
from annotation.api.schema import describe


class SnapshotPreviewSerializer(serializers.Serializer):
    """What a snapshot would hold now."""

    annotations = serializers.IntegerField(help_text="0: nothing fits the filter, and such a snapshot is refused.")
    solutions = serializers.IntegerField()
    problems = serializers.IntegerField()
    people = serializers.IntegerField()
    finish_reasons = serializers.DictField(child=serializers.IntegerField(), help_text="How many annotations ended in each way.")
    examples = AnnotationSerializer(many=True, help_text="The newest annotations, at most five.")


class SnapshotPreviewView(ApiView):
    """What a snapshot would hold."""

    http_method_names = ["post"]
    only_reads = True

    @describe(
        "snapshots_preview", "Preview a snapshot", SnapshotPreviewSerializer, body=SnapshotFilterSerializer, tag="snapshots",
        problems=("bad_body", "body_too_large", "unsupported_media_type", "too_many_labels"),
        examples=[OpenApiExample("Labels without a mistake", {"finish_reasons": ["solution"]}, request_only=True)],
    )  # fmt: skip
    def post(self, request: Any, slug: str) -> HttpResponse:
        """Count what a snapshot with this filter would hold, and show its newest annotations.

        Nothing is stored. A token that reads is enough.
        """
        self.read_query()
        wanted = chosen(self.read_body(SnapshotFilterSerializer))
        try:
            return self.answer(SnapshotPreviewSerializer(export.preview_snapshot(request.access.project, wanted)).data)
        except export.BadFilter as bad:
            raise bad_field(bad.field, str(bad)) from None
        except export.TooLarge as large:
            raise ApiRefused("too_many_labels", str(large)) from None
