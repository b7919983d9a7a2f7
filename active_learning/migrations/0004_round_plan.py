"""A round's params held two things at once: what it was asked to do and what it found out. Now each has its own column."""

from django.db import migrations, models

FINDINGS = ("chosen_with", "control", "orm", "mix", "short")


def split(apps, schema_editor):
    for row in apps.get_model("active_learning", "Round").objects.order_by("pk").iterator(chunk_size=500):
        row.plan, row.findings = plan_of(row.params, strategy=row.strategy, seed=row.seed), findings_of(row.params)
        row.save(update_fields=["plan", "findings"])


def plan_of(params, *, strategy, seed):
    size, is_resumed = params.get("size") or 0, bool(params.get("resume"))
    recipe = params.get("recipe")
    if "recipe" not in params and size:  # of the first rounds: one strategy, named by the row alone
        recipe = {
            "parts": [[strategy, 1.0]],
            "size": size,
            "per_problem": params.get("per_problem"),
            "is_diverse": False,
            "is_stratified": False,
        }
    return {
        "recipe": recipe,
        "train": params.get("train", not (recipe and strategy == "uniform")),
        "review": params.get("review", False),
        "sample": params.get("generate") or {},
        "kind": params.get("kind", "prm"),
        "preset": None if is_resumed else params.get("preset"),
        "base": None if is_resumed else params.get("base"),
        "seed": seed,
        "resume": is_resumed,
    }


def findings_of(params):
    findings = {name: params[name] for name in FINDINGS if params.get(name)}
    return findings | ({"resumed": params["resume"]} if params.get("resume") else {})


def join(apps, schema_editor):
    for row in apps.get_model("active_learning", "Round").objects.order_by("pk").iterator(chunk_size=500):
        recipe, findings = row.plan.get("recipe"), dict(row.findings)
        resumed = findings.pop("resumed", None)
        params = {name: row.plan.get(name) for name in ("recipe", "train", "review", "kind", "preset", "base")}
        params |= {"size": recipe["size"] if recipe else 0} | findings
        params |= {"generate": row.plan["sample"]} if row.plan.get("sample") else {}
        params |= {"resume": resumed} if resumed else {}
        if "chosen_with" in params:  # a second attempt reads all three
            params = {"control": None, "orm": None} | params
        row.params, row.seed = params, row.plan.get("seed", 0)
        row.save(update_fields=["params", "seed"])


class Migration(migrations.Migration):
    dependencies = [("active_learning", "0003_rounds_shards_schedules")]

    operations = [
        migrations.AddField("round", "plan", models.JSONField(default=dict)),
        migrations.AddField("round", "findings", models.JSONField(default=dict)),
        migrations.RunPython(split, join),
        migrations.RemoveField("round", "params"),
        migrations.RemoveField("round", "seed"),
        migrations.RenameField("schedule", "generate", "sample"),
    ]
