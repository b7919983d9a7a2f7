"""The sessions of an older version move to the new table, so that nobody has to sign in again."""

import importlib
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import signing
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import BrowserSession
from tests import make

pytestmark = pytest.mark.django_db
OLD_TABLE = "CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text, expire_date timestamptz)"


def test_open_sessions_move_with_their_person_and_the_old_table_goes() -> None:
    client = Client()
    client.force_login(make.ann())
    row = BrowserSession.objects.values_list("session_key", "session_data", "expire_date").get()
    BrowserSession.objects.all().delete()
    soon, past = timezone.now() + timedelta(days=1), timezone.now() - timedelta(days=1)
    anonymous = signing.dumps({"half": 1}, salt="django.contrib.sessions.SessionStore")
    gone = signing.dumps({"_auth_user_id": "987654321"}, salt="django.contrib.sessions.SessionStore")
    rows = [row, ("expired", row[1], past), ("anonymous", anonymous, soon), ("damaged", "x:y", soon), ("gone", gone, soon)]
    migration = importlib.import_module("annotation.migrations.0011_people")
    with connection.cursor() as cursor:
        cursor.execute(OLD_TABLE)
        cursor.executemany("INSERT INTO django_session VALUES (%s, %s, %s)", rows)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    migration.move_sessions(apps, SimpleNamespace(connection=connection))
    assert BrowserSession.objects.get(seen_at__lte=Now()).person == User.objects.get()
    assert client.get(reverse("home")).status_code == 200
    assert "django_session" not in connection.introspection.table_names()
