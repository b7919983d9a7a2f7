"""Stage: ingest, the project that is loaded into. Reads and writes Project and the Membership of its owners."""

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction

from annotation.models import Membership, Project, Role, TextKind, broken_rule
from trainer.answers import NO_RULES, Rules
from trainer.formats import BadText, clean_text


class BadProject(ValueError):
    """A project that cannot be created or does not exist. The message says why and what to do."""


def rules_of(project: Project) -> Rules:
    """Return what this project counts as the same answer."""
    return Rules(unreduced=project.accept_unreduced, percent=project.accept_percent)


def create_project(
    slug: str, *, name: str, owners: Iterable[str] = (), rules: Rules = NO_RULES, text_kind: str = TextKind.UNDECIDED
) -> Project:
    """Create a project that these people (user names) own. Raises BadProject; then nothing was created.

    `text_kind` is plain or markdown. Empty: the first load with solutions decides.
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
            rules_kept = {"accept_unreduced": rules.unreduced, "accept_percent": rules.percent}
            project = Project.objects.create(slug=slug, name=name, text_kind=text_kind, **rules_kept)
            for person in people:  # each is saved by itself: a new owner may need a second factor
                Membership.objects.create(project=project, user=person, role=Role.OWNER)
    except IntegrityError as error:
        if "slug" not in (broken_rule(error) or ""):
            raise
        raise BadProject(f"The project {slug} already exists. Choose another slug, or load into that project.") from None
    return project


def find_project(slug: str) -> Project:
    """Return the project with this slug. Raises BadProject, which lists the slugs that exist."""
    if project := Project.objects.filter(slug=slug.replace("\0", "")).first():
        return project
    slugs = list(Project.objects.order_by("slug").values_list("slug", flat=True)[:20])
    remedy = f"These exist: {', '.join(slugs)}" if slugs else f"Create it: manage.py create_project {slug} --name NAME"
    raise BadProject(f"There is no project {slug!r}. {remedy}.")
