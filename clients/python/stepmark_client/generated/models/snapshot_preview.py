from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.annotation import Annotation
    from ..models.snapshot_preview_finish_reasons import SnapshotPreviewFinishReasons


T = TypeVar("T", bound="SnapshotPreview")


@_attrs_define
class SnapshotPreview:
    """What a snapshot would hold now.

    Attributes:
        annotations (int): 0: nothing fits the filter, and such a snapshot is refused.
        solutions (int):
        problems (int):
        people (int):
        finish_reasons (SnapshotPreviewFinishReasons): How many annotations ended in each way.
        examples (list[Annotation]): The newest annotations, at most five.
    """

    annotations: int
    solutions: int
    problems: int
    people: int
    finish_reasons: SnapshotPreviewFinishReasons
    examples: list[Annotation]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        annotations = self.annotations

        solutions = self.solutions

        problems = self.problems

        people = self.people

        finish_reasons = self.finish_reasons.to_dict()

        examples = []
        for examples_item_data in self.examples:
            examples_item = examples_item_data.to_dict()
            examples.append(examples_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "annotations": annotations,
                "solutions": solutions,
                "problems": problems,
                "people": people,
                "finish_reasons": finish_reasons,
                "examples": examples,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.annotation import Annotation
        from ..models.snapshot_preview_finish_reasons import SnapshotPreviewFinishReasons

        d = dict(src_dict)
        annotations = d.pop("annotations")

        solutions = d.pop("solutions")

        problems = d.pop("problems")

        people = d.pop("people")

        finish_reasons = SnapshotPreviewFinishReasons.from_dict(d.pop("finish_reasons"))

        examples = []
        _examples = d.pop("examples")
        for examples_item_data in _examples:
            examples_item = Annotation.from_dict(examples_item_data)

            examples.append(examples_item)

        snapshot_preview = cls(
            annotations=annotations,
            solutions=solutions,
            problems=problems,
            people=people,
            finish_reasons=finish_reasons,
            examples=examples,
        )

        snapshot_preview.additional_properties = d
        return snapshot_preview

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
