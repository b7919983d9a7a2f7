"""Name the rules and indexes of an assignment after it: seat_* becomes assignment_*. Renaming is a change of the catalog, so
nothing is rebuilt, however many rows there are.
"""

from django.db import migrations, models

UNIQUE = {  # of all rows: a constraint in the database
    "slot_once": models.UniqueConstraint(name="assignment_slot_once", fields=["task", "slot"]),
    "labeler_once": models.UniqueConstraint(name="assignment_labeler_once", fields=["task", "labeler"]),
}
UNIQUE_AMONG = {  # of some rows: an index in the database
    "one_lease": models.UniqueConstraint(name="assignment_one_lease", fields=["labeler"], condition=models.Q(state="leased")),
    "one_reserved": models.UniqueConstraint(name="assignment_one_reserved", fields=["labeler"], condition=models.Q(state="reserved")),
}
CHECKS = {
    "open_is_unowned": models.CheckConstraint(
        name="assignment_open_is_unowned",
        condition=models.Q(state__in=["open", "closed"], labeler__isnull=True)
        | (~models.Q(state__in=["open", "closed"]) & models.Q(labeler__isnull=False)),
    ),
    "state": models.CheckConstraint(
        name="assignment_state", condition=models.Q(state__in=["open", "reserved", "leased", "done", "skipped", "closed"])
    ),
}


def renamed(rules: dict[str, models.BaseConstraint], statement: str) -> migrations.SeparateDatabaseAndState:
    """Rename rules by `statement`, which names {old} and {new}; the state of the models follows."""
    state, forward, backward = [], [], []
    for name, rule in rules.items():
        old, new = f"seat_{name}", f"assignment_{name}"
        state += [migrations.RemoveConstraint("assignment", old), migrations.AddConstraint("assignment", rule)]
        forward.append(statement.format(old=old, new=new))
        backward.append(statement.format(old=new, new=old))
    return migrations.SeparateDatabaseAndState([migrations.RunSQL(forward, backward)], state)


class Migration(migrations.Migration):

    dependencies = [
        ("annotation", "0003_withdrawn_solutions"),
    ]

    operations = [
        migrations.RenameIndex("assignment", old_name="seat_queue", new_name="assignment_queue"),
        migrations.RenameIndex("assignment", old_name="seat_expiry", new_name="assignment_expiry"),
        migrations.RenameIndex("assignment", old_name="seat_by_labeler", new_name="assignment_by_labeler"),
        renamed(UNIQUE_AMONG, "ALTER INDEX {old} RENAME TO {new}"),
        renamed(UNIQUE | CHECKS, "ALTER TABLE annotation_assignment RENAME CONSTRAINT {old} TO {new}"),
    ]
