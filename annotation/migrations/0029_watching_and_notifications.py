import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0028_guidelines_versions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Watch',
            fields=[
                ('project', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='annotation.project')),
                ('newest', models.BigIntegerField(default=0)),
                ('looked_at', models.DateTimeField(null=True)),
                ('dry_since', models.DateTimeField(null=True)),
                ('below', models.JSONField(default=list)),
                ('remarks', models.JSONField(default=list)),
            ],
        ),
        migrations.AddField(
            model_name='preferences',
            name='mailed',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=12), blank=True, db_default=[], default=list, size=None),
        ),
        migrations.CreateModel(
            name='Flag',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('truth', 'verdicts that do not fit what is known'), ('others', 'verdicts that do not fit what others found'), ('one_key', 'nearly always the same verdict'), ('pace', 'faster than reading'), ('copies_model', "the model's verdicts"), ('copies_person', "another person's verdicts")], max_length=16)),
                ('evidence', models.JSONField(default=dict)),
                ('raised_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('decision', models.CharField(blank=True, choices=[('dismissed', 'Dismissed'), ('paused', 'Paused'), ('quarantined', 'paused and quarantined')], max_length=16)),
                ('decided_at', models.DateTimeField(null=True)),
                ('note', models.TextField(blank=True)),
                ('decided_by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('person', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='annotation.project')),
            ],
            options={
                'indexes': [models.Index(fields=['project', '-id'], name='flag_by_project')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('decided_at__isnull', True)), fields=('project', 'person', 'kind'), name='flag_one_undecided'), models.CheckConstraint(condition=models.Q(('kind__in', ['truth', 'others', 'one_key', 'pace', 'copies_model', 'copies_person'])), name='flag_kind'), models.CheckConstraint(condition=models.Q(('decision__in', ['', 'dismissed', 'paused', 'quarantined'])), name='flag_decision')],
            },
        ),
        migrations.CreateModel(
            name='Notification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('round', 'a round is done or failed'), ('import', 'a file is loaded, or its load failed'), ('waiting', 'a round or a model waits for a decision'), ('gold', "somebody's answers to gold fell below the line"), ('flag', "somebody's work was flagged"), ('dry', 'a project has no more solutions to label'), ('message', 'somebody wrote to you'), ('sent_back', 'a solution was sent back to you')], max_length=12)),
                ('sentence', models.TextField()),
                ('path', models.CharField(blank=True, max_length=300)),
                ('occasion', models.CharField(max_length=200)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('read_at', models.DateTimeField(null=True)),
                ('is_to_mail', models.BooleanField(default=False)),
                ('mailed_at', models.DateTimeField(null=True)),
                ('about', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('person', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='annotation.project')),
            ],
            options={
                'indexes': [models.Index(fields=['person', '-id'], name='notification_by_person'), models.Index(condition=models.Q(('read_at__isnull', True)), fields=['person'], name='notification_unread'), models.Index(condition=models.Q(('is_to_mail', True), ('mailed_at__isnull', True)), fields=['id'], name='notification_to_mail')],
                'constraints': [models.UniqueConstraint(fields=('person', 'occasion'), name='notification_once'), models.CheckConstraint(condition=models.Q(('kind__in', ['round', 'import', 'waiting', 'gold', 'flag', 'dry', 'message', 'sent_back'])), name='notification_kind')],
            },
        ),
    ]
