"""The session, its person, their preferences and their unread notifications in one statement.

Django's two ORM look-ups cost a third of a labeler's request. Reads and writes BrowserSession as Django's own store does its table, and
reads auth_user, Preferences and Notification. The row names its person, but the signed text decides: the person is used only if the signed
text, the password's hash and `is_active` confirm it. Otherwise Django looks the person up.
"""

import functools
import json
from datetime import datetime
from typing import Any, cast

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends import db
from django.db import connection
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

from annotation import notifications, preferences
from annotation.models import BrowserSession, Preferences

REMEMBERED = 10_000  # sessions, some hundred bytes each
# No page shows the two times. Django reads them when something asks for them.
_COLUMNS = [field.attname for field in User._meta.concrete_fields if field.attname not in ("last_login", "date_joined")]
_PREFERENCES = [field.attname for field in Preferences._meta.concrete_fields]
READ_SESSION = f"""
SELECT s.session_data, s.seen_at < now() - interval '5 minutes', {notifications.COUNT_UNREAD},
       {", ".join([*(f"u.{column}" for column in _COLUMNS), *(f"p.{column}" for column in _PREFERENCES)])}
  FROM annotation_browsersession s LEFT JOIN auth_user u ON u.id = s.person_id
  LEFT JOIN annotation_preferences p ON p.person_id = u.id
 WHERE s.session_key = %(key)s AND s.expire_date > now()
"""
# "Your account" shows when a browser was last seen. A write per request would cost more than the rest of the session.
NOTE_SEEN = "UPDATE annotation_browsersession SET seen_at = now() WHERE session_key = %(key)s AND seen_at < now() - interval '5 minutes'"
DEVICE, BEGAN = "device", "began"  # in the signed text, from the sign-in


@functools.lru_cache(REMEMBERED)
def _checked(text: str) -> str:
    """Return a session as JSON if its signature is right, else an empty one. The same text always has the same result: no time counts."""
    return json.dumps(db.SessionStore().decode(text))


@functools.lru_cache(REMEMBERED)
def _hash_of(password: str, secret_key: str) -> str:
    """Return what the sessions of an account with this stored password hold. `secret_key` is the key that Django makes it with."""
    return User(password=password).get_session_auth_hash()


class SessionStore(db.SessionStore):
    """Django's database sessions. `person` is the person read in the same statement, or None."""

    person: User | None = None

    @classmethod
    def get_model_class(cls) -> type[BrowserSession]:
        """Return the table of the sessions."""
        return BrowserSession

    def create_model_instance(self, data: dict[str, Any]) -> BrowserSession:
        """Return the row of these contents, with its person and browser."""
        row = cast(BrowserSession, super().create_model_instance(data))
        row.person_id = int(data[auth.SESSION_KEY]) if auth.SESSION_KEY in data else None
        row.device, row.seen_at = data.get(DEVICE, ""), timezone.now()
        row.began_at = datetime.fromisoformat(data[BEGAN]) if BEGAN in data else row.seen_at
        return row

    def load(self) -> dict[str, Any]:
        values = {"key": self.session_key or ""}
        with connection.cursor() as cursor:
            row = cursor.execute(READ_SESSION, values).fetchone()
            if row is None:
                self._session_key = None
                return {}
            text, is_stale, unread, *more = row
            if is_stale:
                cursor.execute(NOTE_SEEN, values)
        person, chosen = more[: len(_COLUMNS)], more[len(_COLUMNS) :]
        if person[0]:
            self.person = User.from_db(connection.alias, _COLUMNS, person)
            preferences.remember(self.person, Preferences.from_db(connection.alias, _PREFERENCES, chosen) if chosen[0] else None)
            notifications.remember(self.person, unread)
        else:
            self.person = None
        session: dict[str, Any] = json.loads(_checked(text))
        return session


@receiver(user_logged_in)
def note_browser(request: HttpRequest, user: User, **_: object) -> None:
    """Note in a new session which browser it belongs to and when it began, and remove the person's expired sessions."""
    request.session[DEVICE] = request.META.get("HTTP_USER_AGENT", "")[:300].replace("\0", "")
    request.session[BEGAN] = timezone.now().isoformat()
    BrowserSession.objects.filter(person=user, expire_date__lte=timezone.now()).delete()


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
        and constant_time_compare(session.get(auth.HASH_SESSION_KEY, ""), _hash_of(person.password, settings.SECRET_KEY))
    ):
        return person
    return auth.get_user(request)
