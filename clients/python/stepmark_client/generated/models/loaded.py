from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.loaded_outcomes import LoadedOutcomes
    from ..models.skipped_line import SkippedLine


T = TypeVar("T", bound="Loaded")


@_attrs_define
class Loaded:
    """What lines held, and what was new. The difference was stored before, or stood twice in the lines.

    Attributes:
        lines (int):
        problems (int):
        new_problems (int):
        solutions (int):
        new_solutions (int):
        annotations (int): Labels of one person for one solution.
        new_annotations (int):
        outcomes (LoadedOutcomes): Of the new solutions.
        skipped (list[SkippedLine]): The first 100 lines that were left out.
        n_skipped (int):
        notes (list[str]): For people.
    """

    lines: int
    problems: int
    new_problems: int
    solutions: int
    new_solutions: int
    annotations: int
    new_annotations: int
    outcomes: LoadedOutcomes
    skipped: list[SkippedLine]
    n_skipped: int
    notes: list[str]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        lines = self.lines

        problems = self.problems

        new_problems = self.new_problems

        solutions = self.solutions

        new_solutions = self.new_solutions

        annotations = self.annotations

        new_annotations = self.new_annotations

        outcomes = self.outcomes.to_dict()

        skipped = []
        for skipped_item_data in self.skipped:
            skipped_item = skipped_item_data.to_dict()
            skipped.append(skipped_item)

        n_skipped = self.n_skipped

        notes = self.notes

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "lines": lines,
                "problems": problems,
                "new_problems": new_problems,
                "solutions": solutions,
                "new_solutions": new_solutions,
                "annotations": annotations,
                "new_annotations": new_annotations,
                "outcomes": outcomes,
                "skipped": skipped,
                "n_skipped": n_skipped,
                "notes": notes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.loaded_outcomes import LoadedOutcomes
        from ..models.skipped_line import SkippedLine

        d = dict(src_dict)
        lines = d.pop("lines")

        problems = d.pop("problems")

        new_problems = d.pop("new_problems")

        solutions = d.pop("solutions")

        new_solutions = d.pop("new_solutions")

        annotations = d.pop("annotations")

        new_annotations = d.pop("new_annotations")

        outcomes = LoadedOutcomes.from_dict(d.pop("outcomes"))

        skipped = []
        _skipped = d.pop("skipped")
        for skipped_item_data in _skipped:
            skipped_item = SkippedLine.from_dict(skipped_item_data)

            skipped.append(skipped_item)

        n_skipped = d.pop("n_skipped")

        notes = cast(list[str], d.pop("notes"))

        loaded = cls(
            lines=lines,
            problems=problems,
            new_problems=new_problems,
            solutions=solutions,
            new_solutions=new_solutions,
            annotations=annotations,
            new_annotations=new_annotations,
            outcomes=outcomes,
            skipped=skipped,
            n_skipped=n_skipped,
            notes=notes,
        )

        loaded.additional_properties = d
        return loaded

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
