"""Stage: projects, creating. A new project has its settings, and the people who own it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction

from annotation.ingest import BadProject, BadText, clean_text
from annotation.models import Event, Membership, Project, Role, TextKind, broken_rule
from annotation.projects.guidelines import sign_version

if TYPE_CHECKING:
    from annotation.people import Person


def can_create(person: "Person") -> bool:
    """Return whether this person can make projects: staff, superusers, and the owners of a project."""
    if not isinstance(person, User):
        return False
    return person.is_staff or person.is_superuser or Membership.objects.filter(user=person, role=Role.OWNER).exists()


def is_taken(slug: str) -> bool:
    """Return whether a project has this address."""
    return Project.objects.filter(slug=slug).exists()


def create_project(
    slug: str,
    *,
    name: str,
    owners: Iterable[str] = (),
    text_kind: str = TextKind.UNDECIDED,
    actor: User | None = None,
    **settings: Any,
) -> Project:
    """Create a project that these people (user names) own. Raises BadProject; then nothing was created.

    `text_kind` is plain or markdown. Empty: the first load with solutions decides. `settings` are other columns of Project.
    """
    try:
        validate_slug(clean_text(slug))
        clean_text(name)
    except (ValidationError, BadText):
        raise BadProject(
            f"The slug {slug!r} or the name {name!r} is not valid. A slug has only letters, digits, - and _: it is part of addresses."
        ) from None
    if len(slug) > 50 or not name.strip() or len(name) > 200:
        raise BadProject("A slug has at most 50 characters and a name 1 to 200. Choose shorter ones.")
    if text_kind not in TextKind.values:
        raise BadProject(f"The text kind {text_kind!r} does not exist. Choose plain or markdown.")
    wanted = dict.fromkeys(owners)
    people = list(User.objects.filter(username__in=wanted))
    if missing := wanted.keys() - {person.username for person in people}:
        raise BadProject(f"There is no account called {', '.join(sorted(missing))}. Create it first, for instance with createsuperuser.")
    try:
        with transaction.atomic():
            project = Project.objects.create(slug=slug, name=name, text_kind=text_kind, **settings)
            for person in people:  # each is saved by itself: a new owner may need a second factor
                Membership.objects.create(project=project, user=person, role=Role.OWNER)
            sign_version(project, actor=actor)
            Event.objects.create(actor=actor, project=project, verb="create project", subject=f"project {slug}")
    except IntegrityError as error:
        if "slug" not in (broken_rule(error) or ""):
            raise
        raise BadProject(f"The project {slug} already exists. Choose another slug, or load into that project.") from None
    return project
