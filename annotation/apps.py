from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string


class AnnotationConfig(AppConfig):
    name = "annotation"

    def ready(self) -> None:
        checks.register(check_generator)


def check_generator(**_: Any) -> list[checks.CheckMessage]:
    """Tell at the start, not at a labeler's first step, that STEPMARK_GENERATOR names no function."""
    if not (path := settings.STEPMARK_GENERATOR):
        return []
    hint = "Name a function as package.module.function, on a path that Python imports from, or leave STEPMARK_GENERATOR empty."
    try:
        generate = import_string(path)
    except Exception as error:  # whatever the module raises while it is imported
        return [checks.Error(f"STEPMARK_GENERATOR is {path!r}, which cannot be imported: {error}", hint=hint, id="annotation.E001")]
    if not callable(generate):
        return [checks.Error(f"STEPMARK_GENERATOR is {path!r}, which is no function.", hint=hint, id="annotation.E001")]
    return []
