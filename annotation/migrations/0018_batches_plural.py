from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("annotation", "0017_imports")]

    operations = [migrations.AlterModelOptions(name="batch", options={"verbose_name_plural": "batches"})]
