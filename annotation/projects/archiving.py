"""Stage: projects, archiving. An archived project hands out no work and starts no round. The rest stays, and it can be opened again."""

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from annotation.models import Event, Project


def archive_project(project: Project, *, actor: User) -> int:
    """Archive one project, as `archive_projects` does."""
    return archive_projects(Project.objects.filter(pk=project.pk), actor=actor)


def open_project_again(project: Project, *, actor: User) -> int:
    """Open one project again, as `open_projects_again` does."""
    return open_projects_again(Project.objects.filter(pk=project.pk), actor=actor)


def archive_projects(projects: QuerySet[Project], *, actor: User) -> int:
    """Close projects for labeling and rounds. Pages, labels and exports stay, and so does work in hand. Return how many were open."""
    return _archive(projects.filter(archived_at=None), Now(), actor=actor, verb="archive")


def open_projects_again(projects: QuerySet[Project], *, actor: User) -> int:
    """Open archived projects again. Return how many were archived."""
    return _archive(projects.filter(archived_at__isnull=False), None, actor=actor, verb="open again")


def _archive(projects: QuerySet[Project], moment: Now | None, *, actor: User, verb: str) -> int:
    with transaction.atomic():
        found = dict(projects.select_for_update(no_key=True).values_list("pk", "slug"))
        Project.objects.filter(pk__in=found).update(archived_at=moment)
        Event.objects.bulk_create(Event(actor=actor, project_id=key, verb=verb, subject=f"project {slug}") for key, slug in found.items())
    return len(found)
