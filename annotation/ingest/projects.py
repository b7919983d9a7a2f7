"""Stage: ingest, where everything starts: a project to load into. Reads and writes Project and its owners' Membership."""

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction

from annotation.ingest.values import BadText, clean_text
from annotation.models import Membership, Project, Role, broken_rule


class BadProject(ValueError):
    """A project that cannot be made or does not exist. The message is one sentence with the remedy."""


def create_project(slug: str, *, name: str, owners: Iterable[str] = ()) -> Project:
    """Create a project owned by these people (user names). Raises BadProject; then nothing was made."""
    try:
        validate_slug(clean_text(slug))
        clean_text(name)
    except (ValidationError, BadText):
        raise BadProject(
            f"{slug!r} is no slug or {name!r} no name: a slug has letters, digits, - and _ only, for it becomes part of addresses."
        ) from None
    if len(slug) > 50 or not name.strip() or len(name) > 200:
        raise BadProject("A slug has at most 50 characters and a name 1 to 200. Choose shorter ones.")
    wanted = dict.fromkeys(owners)
    people = list(User.objects.filter(username__in=wanted))
    if missing := wanted.keys() - {person.username for person in people}:
        raise BadProject(f"There is no account called {', '.join(sorted(missing))}. Create it first, for instance with createsuperuser.")
    try:
        with transaction.atomic():
            project = Project.objects.create(slug=slug, name=name)
            Membership.objects.bulk_create([Membership(project=project, user=person, role=Role.OWNER) for person in people])
    except IntegrityError as error:
        if "slug" not in (broken_rule(error) or ""):
            raise
        raise BadProject(f"There is a project {slug} already. Choose another slug, or load into that one.") from None
    return project


def find_project(slug: str) -> Project:
    """Return the project of that slug. Raises BadProject with the slugs there are."""
    if found := Project.objects.filter(slug=slug.replace("\0", "")).first():
        return found
    slugs = list(Project.objects.order_by("slug").values_list("slug", flat=True)[:20])
    remedy = f"There are: {', '.join(slugs)}" if slugs else f"Create it: manage.py create_project {slug} --name NAME"
    raise BadProject(f"There is no project {slug!r}. {remedy}.")
