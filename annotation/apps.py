"""The app at the start of a process. Every command waits for it, so it loads no stage: what listens loads one when it is called."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db.models.signals import post_migrate, post_save
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from annotation.models import Membership


class AnnotationConfig(AppConfig):
    name = "annotation"

    def ready(self) -> None:
        checks.register(check_generator)
        watch_promotions()


def watch_promotions() -> None:
    """End the sessions of people who become owner, manager or staff and lack a second factor, on sites that require one.

    After each migration this is checked for everybody: a site may have become a production site since its people signed in.
    """
    post_migrate.connect(_after_migration, dispatch_uid="promotion")
    post_save.connect(_after_membership, sender="annotation.Membership", dispatch_uid="promotion")
    post_save.connect(_after_account, sender=settings.AUTH_USER_MODEL, dispatch_uid="promotion")


def _after_migration(app_config: AppConfig, plan: Iterable[tuple[object, bool]] = (), **_: object) -> None:
    if app_config.label == "annotation" and not any(is_backwards for _, is_backwards in plan):
        from annotation import people

        people.end_all_sessions_without_proof()


def _after_membership(instance: "Membership", **_: object) -> None:
    if settings.SECOND_FACTOR_REQUIRED:
        from annotation import people

        if instance.role in people.MANAGERS:
            people.end_sessions_without_proof(instance.user)


def _after_account(instance: "User", update_fields: Collection[str] | None, **_: object) -> None:
    if settings.SECOND_FACTOR_REQUIRED and instance.is_staff and update_fields is None:  # a sign-in saves one field
        from annotation import people

        people.end_sessions_without_proof(instance)


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
