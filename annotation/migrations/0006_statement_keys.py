"""Statements that differ only in white space are one problem: each problem gets the key of its statement.

Problems that are stored twice by this rule all stay, with their labels: a merge would lose which of them was labeled. Only one thing
changes. If one of the copies is a test problem, the others become test problems too, because a model must not learn from a test problem's
copy. This is printed, and an Event records each.
"""

from django.db import migrations, models

# Keep these equal to trainer/statements.py.
BLANKS = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u180e\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
DIGITS = r"0-9\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\uff10-\uff19"
FUNCTION = rf"""
CREATE FUNCTION stepmark_statement_key(statement text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN md5(regexp_replace(regexp_replace(statement, '([{DIGITS}])[{BLANKS}]+(?=[{DIGITS}])', '\1' || chr(1), 'g'), '[{BLANKS}]+', '', 'g'))
"""
SPREAD_TEST = """
WITH copied AS (
    SELECT p.id, min(t.id) AS test FROM annotation_problem p
      JOIN annotation_problem t ON t.project_id = p.project_id AND t.statement_key = p.statement_key AND t.split = 'test'
     WHERE p.split = 'train' GROUP BY p.id),
moved AS (UPDATE annotation_problem p SET split = 'test' FROM copied WHERE copied.id = p.id RETURNING p.id, copied.test)
INSERT INTO annotation_event (verb, subject)
SELECT 'become test', 'problem ' || id || ': it has the statement of test problem ' || test FROM moved ORDER BY id
"""
COUNT_COPIES = """
SELECT count(*) FROM annotation_problem p
 WHERE EXISTS (SELECT FROM annotation_problem first
                WHERE first.project_id = p.project_id AND first.statement_key = p.statement_key AND first.id < p.id)
"""


def keep_test_problems_apart(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(SPREAD_TEST)
        moved = cursor.rowcount
        cursor.execute(COUNT_COPIES)
        (copies,) = cursor.fetchone()
        # A later migration in the same transaction could not alter a table with checks that wait for the commit.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    if copies:
        print(
            f"\n  {copies:,} problems have the statement of another problem, apart from white space. All stay, with their labels."
            + (f" {moved:,} of them become test problems, because their copy is one. The events name them." if moved else ""),
        )


class Migration(migrations.Migration):

    dependencies = [
        ("annotation", "0005_event_without_request_id"),
    ]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION stepmark_statement_key(text)"),
        migrations.AddField(
            "problem",
            "statement_key",
            models.GeneratedField(
                db_persist=True,
                expression=models.Func(models.F("statement"), function="stepmark_statement_key"),
                output_field=models.CharField(max_length=32),
            ),
        ),
        migrations.AddIndex("problem", models.Index(fields=["project", "statement_key"], name="problem_by_statement")),
        migrations.RunPython(keep_test_problems_apart, migrations.RunPython.noop),
    ]
