"""The session and its person in one statement. Django's two ORM look-ups cost a third of a labeler's request.

Reads and writes django_session as Django's own store does, and reads auth_user. The signed text of a session names its person, but the
database cannot read that text. So each process remembers the person of each session and reads both rows at once. The remembered person
is a guess: it is used only if the signed text, the password's hash and `is_active` confirm it. Otherwise Django looks the person up.
"""

import functools
import json
from typing import Any, cast

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends import db
from django.db import connection
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

REMEMBERED = 10_000  # sessions, some hundred bytes each
# No page shows the two times. Django reads them when something asks for them.
_COLUMNS = [field.attname for field in User._meta.concrete_fields if field.attname not in ("last_login", "date_joined")]
READ_SESSION = f"""
SELECT s.session_data, {", ".join(f"u.{column}" for column in _COLUMNS)}
  FROM django_session s LEFT JOIN auth_user u ON u.id = %(person)s WHERE s.session_key = %(key)s AND s.expire_date > now()
"""
_person_of: dict[str, int] = {}  # session key: person


@functools.lru_cache(REMEMBERED)
def _checked(text: str) -> str:
    """Return a session as JSON if its signature is right, else an empty one. The same text always has the same result: no time counts."""
    return json.dumps(db.SessionStore().decode(text))


class SessionStore(db.SessionStore):
    """Django's database sessions. `person` is the person read in the same statement, or None."""

    person: User | None = None

    def load(self) -> dict[str, Any]:
        key = self.session_key or ""
        with connection.cursor() as cursor:
            row = cursor.execute(READ_SESSION, {"person": _person_of.get(key, 0), "key": key}).fetchone()
        if row is None:
            self._session_key = None
            return {}
        text, *person = row
        session: dict[str, Any] = json.loads(_checked(text))
        if (named := session.get(auth.SESSION_KEY)) is not None:
            if len(_person_of) >= REMEMBERED:
                _person_of.clear()
            _person_of[key] = int(named)
            self.person = User.from_db(connection.alias, _COLUMNS, person) if person[0] else None
        return session


class SignedInMiddleware(AuthenticationMiddleware):
    """Django's middleware, which takes the person that was read with the session."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = cast("User | AnonymousUser", SimpleLazyObject(lambda: person_of(request)))


def person_of(request: HttpRequest) -> User | AnonymousUser:
    """Return who is signed in, as django.contrib.auth.get_user does."""
    session = cast(SessionStore, request.session)
    if (
        session.get(auth.BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS
        and (person := session.person) is not None
        and str(person.pk) == session.get(auth.SESSION_KEY)
        and person.is_active
        and constant_time_compare(session.get(auth.HASH_SESSION_KEY, ""), person.get_session_auth_hash())
    ):
        return person
    return auth.get_user(request)
