"""Stage: ingest, the project that is loaded into. Reads Project."""

from typing import TYPE_CHECKING

from annotation.models import Project

if TYPE_CHECKING:
    from trainer.answers import Rules


class BadProject(ValueError):
    """A project that cannot be created or does not exist. The message says why and what to do."""


def rules_of(project: Project) -> "Rules":
    """Return what this project counts as the same answer."""
    from trainer.answers import Rules  # here, because a command waits for it

    return Rules(unreduced=project.accept_unreduced, percent=project.accept_percent)


def find_project(slug: str) -> Project:
    """Return the project with this slug. Raises BadProject, which lists the slugs that exist."""
    if project := Project.objects.filter(slug=slug.replace("\0", "")).first():
        return project
    slugs = list(Project.objects.order_by("slug").values_list("slug", flat=True)[:20])
    remedy = f"These exist: {', '.join(slugs)}" if slugs else f"Create it: manage.py create_project {slug} --name NAME"
    raise BadProject(f"There is no project {slug!r}. {remedy}.")
