"""Django's administration. Its pages load all stages, so they are loaded with the addresses of the site, and not by every command."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class AdministrationConfig(SimpleAdminConfig):
    """The app of Django, without the pages at its start."""

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(app_configs: Sequence[AppConfig] | None, **_: object) -> list[checks.CheckMessage]:
    """Check the pages of the administration. They are loaded first: the check of the addresses may come later."""
    admin.autodiscover()
    return check_admin_app(app_configs)
