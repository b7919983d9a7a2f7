"""Stage: people. Who may do what in a project. Reads and writes Membership; every page and every stage right of it asks here."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.http import Http404

from annotation.models import Membership, Project, Role

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Person = AbstractBaseUser | AnonymousUser

MANAGERS = frozenset({Role.OWNER, Role.MANAGER})  # publish, start rounds, see people
RESEARCHERS = MANAGERS | {Role.RESEARCHER}  # see the whole project, download its labels
LABELERS = MANAGERS | {Role.LABELER, Role.REVIEWER}  # rate solutions


class NotMember(Http404):
    """This person has no such role in such a project. A page shows it as a missing one: a stranger learns nothing."""


def require_role(person: "Person", slug: str, roles: Collection[str]) -> Project:
    """Return the project, if the person holds one of the roles in it; else raise NotMember."""
    if person.is_authenticated and (project := Project.objects.filter(slug=slug, membership__in=_memberships(person, roles)).first()):
        return project
    raise NotMember("There is no such project, or it is not open to you.")


def has_role(person: "Person", project: Project, roles: Collection[str]) -> bool:
    """Say whether the person holds one of the roles in the project."""
    return person.is_authenticated and _memberships(person, roles).filter(project=project).exists()


def project_of_seat(person: "Person", assignment_id: int) -> Project:
    """Return the project of a seat the person may label in; else raise NotMember."""
    memberships = _memberships(person, LABELERS)
    if project := Project.objects.filter(batch__assignment=assignment_id, membership__in=memberships).first():
        return project
    raise NotMember("There is no such solution to label, or it is not open to you.")


def _memberships(person: "Person", roles: Collection[str]):  # noqa: ANN202 - a QuerySet
    return Membership.objects.filter(user=person.pk, role__in=roles)
