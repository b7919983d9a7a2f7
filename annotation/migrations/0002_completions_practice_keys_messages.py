import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0001_initial'),
        ('auth', '0012_alter_user_first_name_max_length'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Keys',
            fields=[
                ('person', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='keys', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('chosen', models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('text', models.TextField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('read_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='batch',
            name='batch_kind',
        ),
        migrations.AddField(
            model_name='project',
            name='completions_per_step',
            field=models.PositiveSmallIntegerField(default=4),
        ),
        migrations.AddField(
            model_name='stepalternative',
            name='prefix',
            field=models.BinaryField(max_length=32, null=True),
        ),
        migrations.AlterField(
            model_name='batch',
            name='kind',
            field=models.CharField(choices=[('selected', 'Selected'), ('practice', 'Practice'), ('screening', 'Screening'), ('imported', 'Imported'), ('imported_gold', 'Imported Gold')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='batch',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['selected', 'practice', 'screening', 'imported', 'imported_gold'])), name='batch_kind'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('completions_per_step__gte', 1), ('completions_per_step__lte', 16)), name='project_completions'),
        ),
        migrations.AddField(
            model_name='message',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='annotation.project'),
        ),
        migrations.AddField(
            model_name='message',
            name='recipient',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='messages', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='message',
            name='sender',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['recipient', '-created_at'], name='message_by_recipient'),
        ),
        migrations.RemoveConstraint(
            model_name='assignment',
            name='seat_open_is_unowned',
        ),
        migrations.RemoveConstraint(
            model_name='assignment',
            name='seat_state',
        ),
        migrations.AlterField(
            model_name='assignment',
            name='state',
            field=models.CharField(choices=[('open', 'Open'), ('reserved', 'Reserved'), ('leased', 'Leased'), ('done', 'Done'), ('skipped', 'Skipped'), ('closed', 'Closed')], default='open', max_length=8),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('labeler__isnull', True), ('state__in', ['open', 'closed'])), models.Q(models.Q(('state__in', ['open', 'closed']), _negated=True), ('labeler__isnull', False)), _connector='OR'), name='seat_open_is_unowned'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['open', 'reserved', 'leased', 'done', 'skipped', 'closed'])), name='seat_state'),
        ),
    ]
