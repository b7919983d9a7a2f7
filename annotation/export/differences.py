"""Stage: export, differences: what two snapshots have that the other has not, and what has changed since a snapshot was taken."""

from collections.abc import Iterable
from dataclasses import dataclass

from annotation.export.datasets import chosen_now
from annotation.export.filters import SnapshotFilter
from annotation.export.previews import limited
from annotation.models import Annotation, Problem, Project, Snapshot, SnapshotItem


class NotComparable(ValueError):
    """Two snapshots that have nothing to do with each other. The message says why."""


@dataclass(frozen=True)
class SnapshotDifference:
    """Annotations by their keys, oldest first; problems by their external ids, in order. A corrected label is removed."""

    added: list[int]
    removed: list[int]
    unchanged: int
    problems_added: list[str]  # of the annotations that were added
    problems_removed: list[str]


def compare_snapshots(old: Snapshot, new: Snapshot) -> SnapshotDifference:
    """Return what is in `new` and not in `old`, and the reverse. Raises NotComparable: they belong to two projects."""
    if old.project_id != new.project_id:
        raise NotComparable(
            f"Snapshot {old.number} belongs to {old.project.slug}, and {new.number} to {new.project.slug}. Choose two of one."
        )
    return _difference(old.project, _listed(old), _listed(new))


def changed_since(old: Snapshot, *, seconds: float = 0) -> SnapshotDifference:
    """Return how a snapshot with the same filter would differ if it was taken now. None is stored.

    Raises TooLarge if that takes longer than so many seconds (0: as long as it takes).
    """
    names = {field: value for field, value in old.spec.items() if field not in ("use", "left_out")}
    with limited(seconds):
        now = set(chosen_now(old.project, SnapshotFilter.from_spec(names)))
        return _difference(old.project, _listed(old), now)


def _listed(snapshot: Snapshot) -> set[int]:
    return set(SnapshotItem.objects.filter(snapshot=snapshot).values_list("annotation", flat=True))


def _difference(project: Project, old: set[int], new: set[int]) -> SnapshotDifference:
    added, removed = sorted(new - old), sorted(old - new)
    return SnapshotDifference(added, removed, len(old & new), _problems(project, added), _problems(project, removed))


def _problems(project: Project, annotations: Iterable[int]) -> list[str]:
    """Return the external ids of the problems that annotations belong to. In parts: a statement has a limited number of parameters."""
    keys, found = list(annotations), set[str]()
    for start in range(0, len(keys), 10_000):
        of_part = Annotation.objects.filter(pk__in=keys[start : start + 10_000]).values("solution__problem")
        found |= set(Problem.objects.filter(project=project, pk__in=of_part).values_list("external_id", flat=True))
    return sorted(found)
