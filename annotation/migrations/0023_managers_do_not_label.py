from django.db import migrations

# Who sees gold, scores and what others labeled does not label any more. What these people hold goes back to the queue, as by queue.give_back.
# Their drafts and their submitted labels stay.
GIVE_BACK = """
WITH returned AS (
  UPDATE annotation_assignment s
     SET state = 'open', lapsed_id = s.labeler_id, labeler_id = NULL, leased_at = NULL, lease_expires_at = NULL
    FROM annotation_batch b JOIN annotation_membership m ON m.project_id = b.project_id
   WHERE b.id = s.batch_id AND m.user_id = s.labeler_id AND m.role IN ('researcher', 'manager', 'owner') AND s.state IN ('leased', 'reserved')
  RETURNING s.id, s.lapsed_id, s.token, s.batch_id, b.project_id)
INSERT INTO annotation_event (project_id, verb, subject, details)
SELECT project_id, 'return lease', 'assignment ' || id,
       jsonb_build_object('labeler', lapsed_id, 'token', token, 'batch', batch_id, 'reason', 'managers and owners do not label any more')
  FROM returned
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0022_searching_solutions")]
    operations = [migrations.RunSQL(GIVE_BACK, migrations.RunSQL.noop)]
