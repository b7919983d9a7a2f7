"""Stage: people, the first account. While nobody can administrate a site, one link leads to the page that makes its first owner.

The link holds a token that follows from the site's secret key. So it is the same at every start, nothing is stored, and it works on all web
hosts. It ends for good when the first owner is there: it does not come back when that account is closed or erased.
"""

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from annotation.models import Event, Membership
from annotation.people.erasing import is_reserved
from annotation.people.memberships import MANAGERS

VERB = "set up the site"
TOKEN_CHARACTERS = 40  # hexadecimal: 160 bits


class AlreadySetUp(RuntimeError):
    """Somebody administrates this site already. Nothing was made."""


class NameTaken(ValueError):
    """A user name that a new account cannot have. The message says why and what to do."""


def is_set_up() -> bool:
    """Return whether somebody administrates this site, or did so before."""
    manages = Exists(Membership.objects.filter(user=OuterRef("pk"), role__in=MANAGERS))
    administrators = User.objects.filter(Q(is_staff=True) | Q(is_superuser=True) | manages)
    return administrators.exists() or Event.objects.filter(verb=VERB).exists()


def link_to_set_up() -> str:
    """Return the path of the page that makes the first owner."""
    return reverse("set-up", args=[_token()])


def is_set_up_token(token: str) -> bool:
    """Return whether this is the token of the set-up link."""
    return constant_time_compare(token, _token())


def set_up(*, username: str, full_name: str, password: str) -> User:
    """Make the first account, which can do everything on this site. Of two requests at the same moment, one wins.

    Raises AlreadySetUp, and NameTaken: an account has this name, or loads make such names.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('annotation.people.set_up'))")
        if is_set_up():
            raise AlreadySetUp("This site is already set up. Sign in.")
        if is_reserved(username):
            raise NameTaken(f"The name {username} is reserved. Choose another one.")
        if User.objects.filter(username__iexact=username).exists():
            raise NameTaken(f"There is an account called {username} already. Choose another name.")
        person = User.objects.create_superuser(username, password=password, first_name=full_name)
        Event.objects.create(actor=person, verb=VERB, subject=f"person {person.pk}")
    return person


def _token() -> str:
    digest = salted_hmac("annotation.people.set_up", "first owner", secret=settings.SECRET_KEY, algorithm="sha256").hexdigest()
    return digest[:TOKEN_CHARACTERS]
