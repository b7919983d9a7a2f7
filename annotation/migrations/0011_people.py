"""Who gets in, and who leaves: sessions that name their person, former members, archived projects, and pseudonyms that stay.

The open sessions move to the new table, so nobody has to sign in again.
"""

import django.db.models.deletion
from django.conf import settings
from django.contrib.sessions.serializers import JSONSerializer
from django.core import signing
from django.db import migrations, models
from django.db.models.functions import Now

ROLES = ["owner", "manager", "reviewer", "labeler", "researcher", "former"]

# Exports read the pseudonym from the membership of the labeler, so the row must outlive the person's place in the project.
KEEP_PSEUDONYM = """
CREATE FUNCTION stepmark_keep_pseudonym() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM annotation_annotation a JOIN annotation_assignment s ON s.id = a.assignment_id
                 JOIN annotation_batch b ON b.id = s.batch_id
                WHERE a.labeler_id = OLD.user_id AND b.project_id = OLD.project_id) THEN
        RAISE EXCEPTION 'this person has labeled in this project, and exports show the pseudonym: set the role to former'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'membership_pseudonym_stays';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER annotation_membership_not_deleted BEFORE DELETE ON annotation_membership
    FOR EACH ROW EXECUTE FUNCTION stepmark_keep_pseudonym();
CREATE TRIGGER annotation_membership_same_pseudonym BEFORE UPDATE ON annotation_membership
    FOR EACH ROW WHEN ((OLD.export_uuid, OLD.user_id, OLD.project_id) IS DISTINCT FROM (NEW.export_uuid, NEW.user_id, NEW.project_id))
    EXECUTE FUNCTION stepmark_keep_pseudonym();
"""
FREE_PSEUDONYM = """
DROP TRIGGER annotation_membership_not_deleted ON annotation_membership;
DROP TRIGGER annotation_membership_same_pseudonym ON annotation_membership;
DROP FUNCTION stepmark_keep_pseudonym();
"""


def move_sessions(apps, schema_editor):
    """Move the sessions from Django's own table, which is then dropped. The person is in the signed text."""
    people = set(apps.get_model("auth", "User").objects.values_list("pk", flat=True))
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('django_session')")
        if cursor.fetchone()[0] is None:
            return
        cursor.execute("SELECT session_key, session_data, expire_date FROM django_session WHERE expire_date > now()")
        rows = cursor.fetchall()
        for key, data, expires in rows:
            try:
                session = signing.loads(data, salt="django.contrib.sessions.SessionStore", serializer=JSONSerializer)
                person = int(session["_auth_user_id"])
            except (signing.BadSignature, KeyError, TypeError, ValueError):
                continue  # nobody is signed in with it
            if person in people:
                cursor.execute(
                    "INSERT INTO annotation_browsersession (session_key, session_data, expire_date, person_id, device)"
                    " VALUES (%s, %s, %s, %s, '')",
                    [key, data, expires, person],
                )
        cursor.execute("DROP TABLE django_session")


class Migration(migrations.Migration):
    dependencies = [("annotation", "0010_answers_given"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="BrowserSession",
            fields=[
                ("session_key", models.CharField(max_length=40, primary_key=True, serialize=False, verbose_name="session key")),
                ("session_data", models.TextField(verbose_name="session data")),
                ("expire_date", models.DateTimeField(db_index=True, verbose_name="expire date")),
                ("device", models.CharField(blank=True, max_length=300)),
                ("began_at", models.DateTimeField(db_default=Now())),
                ("seen_at", models.DateTimeField(db_default=Now())),
                (
                    "person",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={"verbose_name": "session", "verbose_name_plural": "sessions", "abstract": False},
        ),
        migrations.RunPython(move_sessions, migrations.RunPython.noop),
        migrations.AddField("project", "archived_at", models.DateTimeField(blank=True, null=True)),
        migrations.AlterField(
            "membership", "project", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="annotation.project")
        ),
        migrations.RemoveConstraint("membership", "membership_role"),
        migrations.AlterField(
            "membership",
            "role",
            models.CharField(
                choices=[(role, "former member" if role == "former" else role.title()) for role in ROLES], max_length=16
            ),
        ),
        migrations.AddConstraint(
            "membership", models.CheckConstraint(condition=models.Q(("role__in", ROLES)), name="membership_role")
        ),
        migrations.RunSQL(KEEP_PSEUDONYM, FREE_PSEUDONYM),
    ]
