
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('active_learning', '0011_labels_of_a_version'),
        ('annotation', '0040_redundancy_reasons'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ScoreJob',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('n_solutions', models.PositiveIntegerField()),
                ('n_done', models.PositiveIntegerField(default=0)),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=9)),
                ('failure', models.TextField(blank=True)),
                ('progress', models.JSONField(default=dict)),
                ('heartbeat_at', models.DateTimeField(null=True)),
                ('holder', models.CharField(blank=True, max_length=100)),
                ('attempt', models.PositiveSmallIntegerField(default=0)),
                ('token', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(null=True)),
                ('created_by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('model_version', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='active_learning.modelversion')),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='annotation.project')),
            ],
        ),
        migrations.CreateModel(
            name='ScoreJobItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField()),
                ('statement', models.TextField(blank=True)),
                ('steps', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ('score', models.FloatField(null=True)),
                ('probabilities', models.JSONField(default=list)),
                ('first_weak_step', models.PositiveIntegerField(null=True)),
                ('n_unread', models.PositiveIntegerField(default=0)),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='active_learning.scorejob')),
                ('solution', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to='annotation.solution')),
            ],
        ),
        migrations.AddIndex(
            model_name='scorejob',
            index=models.Index(fields=['project', 'id'], name='score_job_by_project'),
        ),
        migrations.AddIndex(
            model_name='scorejob',
            index=models.Index(condition=models.Q(('state__in', ['queued', 'running'])), fields=['id'], name='score_job_waiting'),
        ),
        migrations.AddIndex(
            model_name='scorejob',
            index=models.Index(fields=['finished_at'], name='score_job_ended'),
        ),
        migrations.AddConstraint(
            model_name='scorejob',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['queued', 'running', 'done', 'failed', 'cancelled'])), name='score_job_state'),
        ),
        migrations.AddConstraint(
            model_name='scorejobitem',
            constraint=models.UniqueConstraint(fields=('job', 'position'), name='score_job_item_position'),
        ),
    ]
