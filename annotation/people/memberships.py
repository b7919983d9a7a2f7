"""Stage: people, roles. Who can do what in a project. Reads and writes Membership. Every page and every later stage asks this module."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import QuerySet
from django.http import Http404

from annotation.models import Membership, Project, Role

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

    Person = AbstractBaseUser | AnonymousUser

OWNERS = frozenset({Role.OWNER})  # archive and delete the project
MANAGERS = frozenset({Role.OWNER, Role.MANAGER})  # publish, start rounds, see people
RESEARCHERS = MANAGERS | {Role.RESEARCHER}  # see the whole project, download its labels
LABELERS = frozenset({Role.LABELER, Role.REVIEWER})  # label solutions. The others see gold, scores and what others labeled
WRITERS = MANAGERS | {Role.REVIEWER}  # write messages to labelers
RANKS = (Role.LABELER, Role.REVIEWER, Role.RESEARCHER, Role.MANAGER, Role.OWNER)  # from the lowest
_COLUMNS = [field.attname for field in Project._meta.concrete_fields]
# In a statement where `m` is the membership.
MAY_LABEL = "m.role IN ({})".format(", ".join(f"'{role}'" for role in sorted(LABELERS)))
# Raw SQL, because every submit needs it.
PROJECT_OF_ASSIGNMENT = f"""
SELECT {", ".join(f"p.{column}" for column in _COLUMNS)}
  FROM annotation_assignment s JOIN annotation_batch b ON b.id = s.batch_id JOIN annotation_project p ON p.id = b.project_id
  JOIN annotation_membership m ON m.project_id = p.id AND m.user_id = %(person)s AND {MAY_LABEL}
 WHERE s.id = %(assignment)s
"""


@dataclass(frozen=True)
class Access:
    """What one person can do in one project."""

    project: Project
    role: str
    guidelines_read: int = 0  # the newest version of the guidelines that this person opened

    @property
    def misses_guidelines(self) -> bool:
        """Whether the guidelines changed since this person opened them, or since their first version."""
        return max(self.guidelines_read, 1) < self.project.guidelines_version

    @property
    def labels(self) -> bool:
        """Whether this person can label solutions."""
        return self.role in LABELERS

    @property
    def reads(self) -> bool:
        """Whether this person can see the whole project."""
        return self.role in RESEARCHERS

    @property
    def manages(self) -> bool:
        """Whether this person can change the project."""
        return self.role in MANAGERS

    @property
    def grants(self) -> tuple[Role, ...]:
        """The roles that this person can give to others: the own one and those below it, for managers and owners."""
        return roles_up_to(self.role) if self.manages else ()

    def require(self, roles: Collection[str]) -> None:
        """Raise NotMember if the person has none of the roles."""
        if self.role not in roles:
            raise NotMember("There is no such project, or you cannot open it.")


class NotMember(Http404):
    """This person has no such role in such a project. Pages answer 404, so that a stranger learns nothing."""


class SeesLabels(Exception):
    """A member who wants to label, but whose role sees gold, scores and what others labeled. The message says so."""


class NoSuchAccount(ValueError):
    """There is no account of this name. The message says so."""


def roles_up_to(role: str) -> tuple[Role, ...]:
    """Return a role and those below it, from the lowest. A former member has none."""
    return RANKS[: RANKS.index(Role(role)) + 1] if role in RANKS else ()


def find_account(name: str) -> "User":
    """Return the account of this name. Raises NoSuchAccount."""
    account = get_user_model().objects.filter(username=name.replace("\0", "")).first()
    if account is None:
        raise NoSuchAccount(f"There is no account called {name!r}. Use the name of an account, as on the sign-in page.")
    return account


def owner_of(project: Project) -> "User":
    """Return an owner of a project who can sign in. Raises NoSuchAccount."""
    memberships = Membership.objects.filter(project=project, role=Role.OWNER, user__is_active=True).select_related("user")
    membership = memberships.order_by("pk").first()
    if membership is None:
        raise NoSuchAccount(f"The project {project.slug} has no owner who can sign in. Name a manager with --by.")
    return membership.user


def access_to(slug: str, *, person: "Person", roles: Collection[str]) -> Access:
    """Return what a person can do in the project at an address, if they have one of the roles in it. Raises NotMember."""
    memberships = _memberships(person, roles).filter(project__slug=slug).select_related("project")
    membership = memberships.first() if person.is_authenticated else None
    if membership is None:
        raise NotMember("There is no such project, or you cannot open it.")
    return Access(membership.project, membership.role, membership.guidelines_read)


def why_no_labeling(role: str, project: Project) -> str:
    """Return why a member of this role cannot label in the project, in a sentence."""
    return (
        f"You are {role} of {project}. Researchers, managers and owners see gold, scores and what others labeled. "
        "So they do not label in their own project."
    )


def project_of_assignment(person: "Person", assignment_id: int) -> Project:
    """Return the project of an assignment if the person can label in it. Raises NotMember, and SeesLabels for the other members."""
    with connection.cursor() as cursor:
        row = cursor.execute(PROJECT_OF_ASSIGNMENT, {"person": person.pk, "assignment": assignment_id}).fetchone()
    if row:
        return Project.from_db(connection.alias, _COLUMNS, row)
    if membership := other_membership(person, assignment_id):
        raise SeesLabels(why_no_labeling(membership.role, membership.project))
    raise NotMember("There is no such solution to label, or you cannot label it.")


def other_membership(person: "Person", assignment_id: int) -> Membership | None:
    """Return the membership of a person in the project of an assignment if it is one of those that do not label."""
    memberships = _memberships(person, RESEARCHERS).filter(project__batch__assignment=assignment_id)
    return memberships.select_related("project").first()


def member_to_invite(project: Project, name: str) -> "User":
    """Return the member of this name, for whom a manager of the project can make a sign-in link.

    Raises NoSuchAccount: no member, a closed account, or a person who can administrate here or elsewhere. Their link would give a manager
    more rights than the own ones.
    """
    memberships = Membership.objects.filter(project=project, user__username=name.replace("\0", ""), user__is_active=True)
    membership = memberships.exclude(role=Role.FORMER).select_related("user").first()
    if membership is None:
        raise NoSuchAccount(f"There is no member called {name!r} in {project}, or the account is closed.")
    if may_administrate(membership.user):
        raise NoSuchAccount(f"{name} owns or manages a project, or is staff. Ask the administrator of this site for a sign-in link.")
    return membership.user


def may_administrate(person: "User") -> bool:
    """Return whether the person owns or manages a project, or is staff: these accounts need a second factor in production."""
    return person.is_staff or person.is_superuser or _memberships(person, MANAGERS).exists()


def _memberships(person: "Person", roles: Collection[str]) -> QuerySet[Membership]:
    return Membership.objects.filter(user=person.pk, role__in=roles)
