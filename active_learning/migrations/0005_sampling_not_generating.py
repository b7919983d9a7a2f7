"""The stage that draws new solutions is called sample, not generate: a generation is the number of a batch."""

from django.db import migrations, models
from django.db.models import Q

OLD_STATES = ["queued", "training", "generating", "scoring", "selecting", "proposed", "published", "failed", "cancelled"]
OLD_STAGES = ["train", "judge", "generate", "score", "select", "publish"]


def _new(names):
    return [{"generating": "sampling", "generate": "sample"}.get(name, name) for name in names]


def _one_of(name, field, values):
    return models.CheckConstraint(name=name, condition=Q(**{f"{field}__in": values}))


def _unfinished(states):
    return models.UniqueConstraint(name="round_one_unfinished", fields=["project"], condition=Q(state__in=states[:6]))


NEW_STATES, NEW_STAGES = _new(OLD_STATES), _new(OLD_STAGES)
RENAME = """
UPDATE active_learning_round SET state = '{state}' WHERE state = '{old_state}';
UPDATE active_learning_roundstage SET name = '{stage}' WHERE name = '{old_stage}';
"""
FORWARD = RENAME.format(old_state="generating", state="sampling", old_stage="generate", stage="sample")
BACK = RENAME.format(old_state="sampling", state="generating", old_stage="sample", stage="generate")


class Migration(migrations.Migration):
    dependencies = [("active_learning", "0004_round_plan")]

    operations = [
        migrations.RemoveConstraint("round", "round_one_unfinished"),
        migrations.RemoveConstraint("round", "round_state"),
        migrations.RemoveConstraint("roundstage", "round_stage_name"),
        migrations.RunSQL(FORWARD, BACK),
        migrations.AlterField("round", "state", models.CharField(
            choices=[(name, name.title()) for name in NEW_STATES], default="queued", max_length=10
        )),
        migrations.AlterField("roundstage", "name", models.CharField(choices=[(name, name.title()) for name in NEW_STAGES], max_length=8)),
        migrations.AddConstraint("round", _unfinished(NEW_STATES)),
        migrations.AddConstraint("round", _one_of("round_state", "state", NEW_STATES)),
        migrations.AddConstraint("roundstage", _one_of("round_stage_name", "name", NEW_STAGES)),
    ]
