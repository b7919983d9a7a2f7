from django.db import migrations, models

WAYS = [
    ("each", "each person’s labels"),
    ("consensus", "the consensus: the most likely rating of each step"),
    ("soft", "the consensus as probabilities"),
]


class Migration(migrations.Migration):
    dependencies = [("active_learning", "0010_stored_forecasts")]
    operations = [
        migrations.AddField(
            model_name="modelversion",
            name="labels",
            field=models.CharField(choices=WAYS, db_default="each", default="each", max_length=9),
        ),
        migrations.AddField(model_name="modelversion", name="consensus", field=models.JSONField(db_default={}, default=dict)),
        migrations.AddField(
            model_name="schedule",
            name="labels",
            field=models.CharField(choices=WAYS, db_default="each", default="each", max_length=9),
        ),
        migrations.AddConstraint(
            model_name="modelversion",
            constraint=models.CheckConstraint(condition=models.Q(("labels__in", ["each", "consensus", "soft"])), name="model_labels"),
        ),
    ]
