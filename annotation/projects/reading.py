"""Stage: projects, reading. The projects of one person, page by page."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from annotation.models import Membership, Role

if TYPE_CHECKING:
    from annotation.people import Access, Person


@dataclass(frozen=True, slots=True)
class MemberProject:
    """A project as each of its members sees it, with the role of one of them."""

    number: int
    slug: str
    name: str
    role: str
    step_source: str
    guidelines: str
    guidelines_version: int
    created_at: datetime
    archived_at: datetime | None


def member_projects(
    person: "Person", *, after: int, limit: int, only: str | None = None, archived: bool | None = None
) -> tuple[list[MemberProject], int | None]:
    """Return the projects of a person in the order of their keys, and the key after which the next page begins (None at the end).

    `only` is the address of the one project that counts, `archived` whether archived ones are wanted; None: all.
    """
    memberships = Membership.objects.filter(user=person.pk, project__gt=after).exclude(role=Role.FORMER)
    if only is not None:
        memberships = memberships.filter(project__slug=only)
    if archived is not None:
        memberships = memberships.filter(project__archived_at__isnull=not archived)
    rows = list(memberships.select_related("project").order_by("project")[: limit + 1])
    projects = [_project(row) for row in rows[:limit]]
    return projects, projects[-1].number if len(rows) > limit else None


def member_project(access: "Access") -> MemberProject:
    """Return the project that a person has access to."""
    return _project(access)


def _project(membership: "Membership | Access") -> MemberProject:
    project = membership.project
    return MemberProject(
        number=project.pk, slug=project.slug, name=project.name, role=membership.role, step_source=project.step_source,
        guidelines=project.guidelines, guidelines_version=project.guidelines_version, created_at=project.created_at,
        archived_at=project.archived_at,
    )  # fmt: skip
