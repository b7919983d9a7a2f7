"""Who held which assignment when, as the database saw it: a trigger of the harness writes each change of a holder into a table.

Changes of one assignment wait for each other's locks, and so do leases of one person (assignment_one_lease). So the numbers of the rows
are in the order in which the changes took effect.
"""

from dataclasses import dataclass

from django.db import connection

BEGIN = """
CREATE TABLE load_history (id bigserial PRIMARY KEY, transaction_id bigint NOT NULL DEFAULT txid_current(), assignment_id bigint NOT NULL,
                           state text NOT NULL, labeler_id integer, token integer NOT NULL);
CREATE FUNCTION load_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO load_history (assignment_id, state, labeler_id, token) VALUES (NEW.id, NEW.state, NEW.labeler_id, NEW.token);
  RETURN NULL;
END $$;
CREATE TRIGGER load_note_new AFTER INSERT ON annotation_assignment FOR EACH ROW WHEN (NEW.state <> 'open') EXECUTE FUNCTION load_note();
CREATE TRIGGER load_note_change AFTER UPDATE ON annotation_assignment FOR EACH ROW
  WHEN ((OLD.state, OLD.labeler_id, OLD.token) IS DISTINCT FROM (NEW.state, NEW.labeler_id, NEW.token)) EXECUTE FUNCTION load_note();
"""
END = """
DROP TRIGGER load_note_new ON annotation_assignment;
DROP TRIGGER load_note_change ON annotation_assignment;
DROP FUNCTION load_note();
DROP TABLE load_history;
"""
HOLDS = ("leased", "reserved")


@dataclass(frozen=True)
class Change:
    """One change of a holder. `assignment` and `labeler` are keys; without a holder `labeler` is None."""

    transaction: int
    assignment: int
    state: str
    labeler: int | None
    token: int


def begin() -> None:
    """Write the history from now on."""
    with connection.cursor() as cursor:
        cursor.execute(BEGIN)


def end() -> None:
    """Remove the history."""
    with connection.cursor() as cursor:
        cursor.execute(END)


def changes() -> list[Change]:
    """Return all changes in order."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT transaction_id, assignment_id, state, labeler_id, token FROM load_history ORDER BY id")
        return [Change(*row) for row in cursor.fetchall()]


def overlaps(of_all: list[Change]) -> list[str]:
    """Return a sentence for each lease that overlapped another one.

    Two people had one claim; or an assignment passed from one holder to the next without being given back; or one person had two leases
    after a transaction.
    """
    found: list[str] = []
    holder: dict[int, Change] = {}  # by assignment
    claims: dict[tuple[int, int], int] = {}  # the holder, by assignment and token
    leases: dict[int, set[int]] = {}  # by labeler
    last_of: dict[int, int] = {}  # the last transaction that touched the leases of a labeler
    for change in of_all:
        before = holder.get(change.assignment)
        if before and before.labeler and change.labeler and before.labeler != change.labeler and before.state in HOLDS:
            found.append(f"Assignment {change.assignment} passed from {before.labeler} to {change.labeler} without being given back.")
        if change.state in HOLDS and change.labeler:
            first = claims.setdefault((change.assignment, change.token), change.labeler)
            if first != change.labeler:
                found.append(f"Token {change.token} of assignment {change.assignment} went to {first} and to {change.labeler}.")
        for labeler in {before.labeler if before else None, change.labeler} - {None}:
            assert labeler is not None
            held = leases.setdefault(labeler, set())
            if last_of.get(labeler) != change.transaction and len(held) > 1:
                found.append(f"Labeler {labeler} had the leases {sorted(held)} at once.")
            last_of[labeler] = change.transaction
            if change.state == "leased" and change.labeler == labeler:
                held.add(change.assignment)
            else:
                held.discard(change.assignment)
        holder[change.assignment] = change
    found += [f"Labeler {labeler} had the leases {sorted(held)} at once." for labeler, held in leases.items() if len(held) > 1]
    return found
