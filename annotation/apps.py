from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string


class AnnotationConfig(AppConfig):
    name = "annotation"

    def ready(self) -> None:
        from annotation import people

        checks.register(check_generator)
        people.watch_promotions()


def check_generator(**_: object) -> list[checks.CheckMessage]:
    """Report at the start that STEPMARK_GENERATOR names no function, and not only at a labeler's first step."""
    if not (path := settings.STEPMARK_GENERATOR):
        return []
    hint = "Set STEPMARK_GENERATOR to package.module.function, in a folder from which Python imports, or leave it empty."
    try:
        generate = import_string(path)
    except Exception as error:  # the module may raise anything during its import
        return [checks.Error(f"STEPMARK_GENERATOR is {path!r}, which cannot be imported: {error}", hint=hint, id="annotation.E001")]
    if not callable(generate):
        return [checks.Error(f"STEPMARK_GENERATOR is {path!r}, which is not a function.", hint=hint, id="annotation.E001")]
    return []
