import annotation.models
from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models

from annotation.migrations._again import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # the indexes are built beside running work
    dependencies = [("annotation", "0021_figures")]
    operations = [
        AddIndexConcurrently("problem", models.Index(fields=["project", "id"], name="problem_in_order")),
        AddIndexConcurrently("problem", GinIndex(annotation.models.StatementWords("statement"), name="problem_words")),
        AddIndexConcurrently("solution", models.Index(fields=["source", "problem", "id"], name="solution_by_source")),
        AddIndexConcurrently("solution", models.Index(fields=["outcome", "problem", "id"], name="solution_by_outcome")),
    ]
