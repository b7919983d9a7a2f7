"""Each round gets a number of its own in its project. Rounds without a batch shared theirs with the next one.

The first round keeps the number it had, which was its batch's generation. Every later one keeps its own if that is still free, else it
gets the next.
"""

from django.db import migrations, models

NUMBER = """
DO $$
DECLARE
  old record;
  project bigint := NULL;
  next integer := 0;
BEGIN
  FOR old IN SELECT id, project_id, generation FROM active_learning_round ORDER BY project_id, id LOOP
    IF project IS DISTINCT FROM old.project_id THEN
      project := old.project_id;
      next := 0;
    END IF;
    next := GREATEST(next, old.generation);
    UPDATE active_learning_round SET number = next WHERE id = old.id;
    next := next + 1;
  END LOOP;
END $$;
SET CONSTRAINTS ALL IMMEDIATE;  -- a table with checks that are still to come cannot be altered
CREATE FUNCTION number_round() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.number < 0 THEN
    SELECT GREATEST(NEW.generation, COALESCE(max(number) + 1, 0)) INTO NEW.number FROM active_learning_round WHERE project_id = NEW.project_id;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER round_gets_number BEFORE INSERT ON active_learning_round FOR EACH ROW EXECUTE FUNCTION number_round();
"""
UNNUMBER = """
DROP TRIGGER round_gets_number ON active_learning_round;
DROP FUNCTION number_round();
"""


class Migration(migrations.Migration):
    dependencies = [("active_learning", "0008_scores_in_order")]

    operations = [
        migrations.AddField("round", "number", models.IntegerField(db_default=-1)),
        migrations.RunSQL(NUMBER, UNNUMBER),
        migrations.AddConstraint("round", models.UniqueConstraint(name="round_number", fields=["project", "number"])),
    ]
