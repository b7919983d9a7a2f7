"""Stage: people, tokens. With a token, a program of a person uses the API. Reads and writes ApiToken and ApiCount.

A token is a password for programs: it allows at most what its scope says, and never more than its person can do at that moment. The table
holds only its hash, so the token is shown once. It always expires.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from knox.crypto import hash_token

from annotation.models import ApiToken, Event, Membership, Project, Role, TokenScope, broken_rule
from annotation.people.memberships import may_administrate
from annotation.people.second_factor import has_second_factor

if TYPE_CHECKING:
    from collections.abc import Sequence

SCOPES = TokenScope.choices
DAYS = (7, 30, 90, 365)  # after which a token expires
MOST_TOKENS = 20  # of one person that can be used
SHOWN_DAYS = 30  # for which a list shows a token that has ended
SEEN_EVERY = timedelta(minutes=5)
LONGEST_TOKEN = 200  # characters that are hashed
# One row for each person and kind. The table is not logged: after a crash it is empty, and everybody begins a new minute.
COUNT_REQUEST = """
INSERT INTO annotation_apicount AS c (person_id, is_write, began_at, count) VALUES (%(person)s, %(is_write)s, clock_timestamp(), 1)
    ON CONFLICT (person_id, is_write) DO UPDATE
   SET count = CASE WHEN c.began_at > clock_timestamp() - interval '1 minute' THEN c.count + 1 ELSE 1 END,
       began_at = CASE WHEN c.began_at > clock_timestamp() - interval '1 minute' THEN c.began_at ELSE clock_timestamp() END
RETURNING count, extract(epoch FROM began_at + interval '1 minute' - clock_timestamp())::float
"""


class CannotMakeToken(ValueError):
    """A token that cannot be made. `field` names what is wrong, and the message says what to do."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BadToken(Exception):
    """A token that does not sign in. `code` says why for programs, and the message says it for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class TokenRow:
    """One token in the list of its person. `state` is active, expired or revoked; project: empty stands for all."""

    number: int
    name: str
    beginning: str
    scope: str
    project: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    state: str


@dataclass(frozen=True)
class TokenGrant:
    """Whom a token signs in, and what it allows at most. project: its address; None stands for all projects of the person."""

    person: User
    scope: str
    project: str | None


@dataclass(frozen=True)
class RequestCount:
    """How many requests of one kind a person sent in the present minute, with the one that is answered."""

    count: int
    limit: int
    seconds_left: int

    @property
    def is_over(self) -> bool:
        """Whether this request is one too many."""
        return self.count > self.limit


def token_projects(person: User) -> "Sequence[tuple[str, str]]":
    """Return the address and the name of each project for which a person can make a token."""
    memberships = Membership.objects.filter(user=person).exclude(role=Role.FORMER)
    return list(memberships.order_by("project__name").values_list("project__slug", "project__name"))


def make_token(person: User, *, name: str, scope: str, project: str, days: int) -> tuple[TokenRow, str]:
    """Make a token, and return its row and the token itself, which is stored nowhere. `project` is an address; empty: all projects.

    Raises CannotMakeToken: the name is in use, there are too many tokens, or the person is no member of the project.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=person.pk)  # one after the other, so that the count below is right
        ended = ApiToken.objects.filter(user=person, expiry__lte=timezone.now(), revoked_at=None)
        ended.filter(name=name).update(revoked_at=F("expiry"))  # it gives its name away
        if _usable(person).count() >= MOST_TOKENS:
            raise CannotMakeToken(f"You have {MOST_TOKENS} tokens that can be used. Revoke one that you no longer need.")
        chosen = Project.objects.filter(slug=project, membership__user=person).exclude(membership__role=Role.FORMER).first()
        if project and chosen is None:
            raise CannotMakeToken("You are no member of this project. Choose one from the list.", field="project")
        try:
            with transaction.atomic():
                token, text = ApiToken.objects.create(person, timedelta(days=days), name=name, scope=scope, project=chosen)
        except IntegrityError as error:
            if broken_rule(error) != "token_name_once":
                raise
            raise CannotMakeToken("You have a token of this name. Choose another name, or revoke that token.", field="name") from None
        details = {"scope": scope, "project": project or "all", "days": days}
        Event.objects.create(actor=person, project=chosen, verb="make token", subject=f"token {token.pk}", details=details)
    token.refresh_from_db()
    return _row(token), text


def tokens_of(person: User) -> list[TokenRow]:
    """Return the tokens of a person: those that can be used, newest first, then those that ended in the last 30 days."""
    since = timezone.now() - timedelta(days=SHOWN_DAYS)
    tokens = ApiToken.objects.filter(user=person).filter(Q(revoked_at=None) | Q(revoked_at__gt=since)).filter(expiry__gt=since)
    rows = [_row(token) for token in tokens.select_related("project").order_by("-pk")]
    return sorted(rows, key=lambda row: row.state != "active")


def count_tokens(person: User) -> int:
    """Return how many tokens of a person can be used now."""
    return _usable(person).count()


def revoke_token(person: User, number: int) -> str | None:
    """End a token of a person for good, and return its name. None: it has ended already, or it is somebody else's."""
    with transaction.atomic():
        token = _usable(person).select_for_update().filter(pk=number).first()
        if token is None:
            return None
        _revoke(token, actor=person)
        return token.name


def revoke_tokens(person: User, *, actor: User | None) -> int:
    """End all tokens of a person for good. Return how many there were."""
    with transaction.atomic():
        tokens = list(_usable(person).select_for_update())
        for token in tokens:
            _revoke(token, actor=actor)
        return len(tokens)


def redeem_token(text: str) -> TokenGrant:
    """Return what the token of this text grants, and note that it was used. Raises BadToken."""
    digest = hash_token(text[:LONGEST_TOKEN])
    token = ApiToken.objects.select_related("user", "project").filter(digest=digest).first()
    if token is None:
        raise BadToken("token_unknown", "This token is not known here. Copy it again, or make another one on the page of your account.")
    if token.revoked_at is not None:
        raise BadToken("token_revoked", "This token was revoked. Make another one on the page of your account.")
    now = timezone.now()
    if token.expiry <= now:
        raise BadToken("token_expired", f"This token expired on {token.expiry:%Y-%m-%d}. Make another one on the page of your account.")
    if not token.user.is_active:
        raise BadToken("account_closed", "The account of this token is closed.")
    if settings.SECOND_FACTOR_REQUIRED and may_administrate(token.user) and not has_second_factor(token.user):
        raise BadToken("second_factor_missing", "Your account needs a second factor. Sign in on the site, and set it up.")
    if token.last_used_at is None or now - token.last_used_at > SEEN_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return TokenGrant(token.user, token.scope, token.project.slug if token.project else None)


def count_request(person: User, *, is_write: bool) -> RequestCount:
    """Count a request of a person to the API, in the minute that began with the first one. All web processes share the count."""
    limit = settings.API_WRITES_A_MINUTE if is_write else settings.API_READS_A_MINUTE
    with connection.cursor() as cursor:
        values = {"person": person.pk, "is_write": is_write}
        count, seconds_left = cursor.execute(COUNT_REQUEST, values).fetchone()
    return RequestCount(count, limit, max(1, math.ceil(seconds_left)))


def _usable(person: User) -> "ApiTokens":
    return ApiToken.objects.filter(user=person, revoked_at=None, expiry__gt=timezone.now())


def _revoke(token: ApiToken, *, actor: User | None) -> None:
    ApiToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())
    Event.objects.create(actor=actor, project_id=token.project_id, verb="revoke token", subject=f"token {token.pk}")


def _row(token: ApiToken) -> TokenRow:
    state = "revoked" if token.revoked_at else "active" if token.expiry > timezone.now() else "expired"
    project = token.project.slug if token.project else ""
    when = (token.created, token.expiry, token.last_used_at)
    return TokenRow(token.pk, token.name, token.token_key, token.get_scope_display(), project, *when, state)


if TYPE_CHECKING:
    from django.db.models import QuerySet

    ApiTokens = QuerySet[ApiToken]
