"""How well the models tell each kind of mistake from right steps, with the labels so far: a table with a column for each model.

Only the demonstration has these figures: the truth about its solutions is known (registry.judge).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from active_learning.models import ModelKind, ModelState, ModelVersion
from active_learning.pages.learning import same_for_kinds
from annotation.models import Project
from trainer.counting import counted

SHOWN = 6  # models, the newest ones


@dataclass(frozen=True, slots=True)
class KindCell:
    auc: str
    interval: str


@dataclass(frozen=True, slots=True)
class MistakeTable:
    """heads: model, and how many solutions it learned from. rows: kind in words, number of wrong steps, a cell for each head.

    measured: a sentence, on what the columns are measured, and whether that is the same for all.
    """

    heads: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, int, Sequence[KindCell]]]
    measured: str


def mistake_table(project: Project, *, until: int) -> MistakeTable | None:
    """Return the table of the models up to the one with number `until`; None if none has figures of kinds.

    The first column is the base without any label, if it could judge. The kind whose figure rose most comes first.
    """
    found = list(
        ModelVersion.objects.filter(
            project=project, kind=ModelKind.PRM, state=ModelState.READY, number__lte=until, metrics__has_key="kinds"
        )
        .order_by("-number")
        .values_list("number", "metrics__training__n_solutions", "metrics__kinds", "metrics__kinds_before", "metrics__kinds_on")[:SHOWN]
    )[::-1]
    if not found:
        return None
    columns = [(f"PRM {number}", f"learned from {counted(count or 0, 'solution')}", kinds) for number, count, kinds, *_ in found]
    if before := found[-1][3]:
        columns.insert(0, ("Base", "no label", before))
    names = {name for *_, kinds in columns for name in kinds}
    newest = columns[-1][2]

    def rise(name: str) -> tuple[float, str]:
        aucs = [kinds[name]["auc"] for *_, kinds in columns if name in kinds]
        return aucs[0] - aucs[-1], name

    rows = [
        (name.replace("_", " "), newest.get(name, {}).get("n_wrong", 0), [_cell(kinds.get(name)) for *_, kinds in columns])
        for name in sorted(names, key=rise)
    ]
    return MistakeTable([head[:2] for head in columns], rows, same_for_kinds([on for *_, on in found]))


def _cell(row: Mapping[str, Any] | None) -> KindCell:
    if row is None:
        return KindCell("–", "")
    return KindCell(f"{row['auc']:.3f}", "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}")
